//! A packet of a publisher, read once for all its routes.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use focus_rtp::packet::RtpHeader;
use focus_rtp::vp8::Vp8Descriptor;
use focus_streams::cache::CacheId;
use focus_streams::clock::StreamClock;
use focus_streams::selector::PacketFacts;
use focus_units::{PayloadType, Ssrc};

/// One RTP stream from its first packet on; another stream never has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceptionId(pub u32);

/// The clock of a stream: sender reports move it, and what was made of the stream sees that.
pub type SharedClock = Rc<RefCell<StreamClock>>;

/// A packet as its publisher meant it: one that came by RTX is restored.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Packet {
    pub reception: ReceptionId,
    pub clock: SharedClock,
    /// Where it is kept for a while.
    pub cache: CacheId,
    /// Of the stream, also where it came by RTX.
    pub ssrc: Ssrc,
    pub payload_type: PayloadType,
    pub marker: bool,
    pub facts: PacketFacts,
    pub vp8: Option<Vp8Descriptor>,
    /// A dependency descriptor came with it that nobody can make sense of.
    pub is_descriptor_unread: bool,
    /// Of the dependency descriptor in its section.
    pub descriptor_id: Option<u8>,
    /// As it came: for its extension elements.
    pub header: RtpHeader,
    pub payload: Range<usize>,
    /// Decrypted, whole.
    pub data: Box<[u8]>,
}

impl Packet {
    /// What it carries.
    pub fn payload(&self) -> &[u8] {
        &self.data[self.payload.clone()]
    }

    /// Its dependency descriptor as it came.
    pub fn descriptor_value(&self) -> Option<&[u8]> {
        self.header.element(&self.data, self.descriptor_id)
    }

    /// It fills the line, and carries nothing.
    pub fn is_padding(&self) -> bool {
        self.payload.is_empty()
    }

    /// Bytes of the payload as subscribers get it: a picture id of 7 bits becomes one of 15.
    pub fn rewritten_payload_bytes(&self) -> usize {
        let grows = self.vp8.is_some_and(|descriptor| descriptor.picture_id_bits() == 7);
        self.payload.len() + usize::from(grows)
    }
}
