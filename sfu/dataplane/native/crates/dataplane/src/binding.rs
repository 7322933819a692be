//! Which SSRC of a peer is which stream: told by the SDP, or learnt from packets (packet rule 4).
//!
//! Browsers say mid and rid only until a first receiver report, so what was learnt is kept for the life of the
//! transport, also while the section carries no track of ours.

use focus_plane::{Extension, ExtensionIds};
use focus_rtp::extensions::parse_name;
use focus_rtp::packet::RtpHeader;
use focus_units::{Instant, Ssrc};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// Packets of unknown SSRCs that are kept until one tells where they belong. Lower: where the first packets of
/// a stream are lost, the next begin late. Higher: strangers' packets use memory.
pub const MAX_HELD: usize = 32;

/// How long they are kept: as long as a packet cache keeps packets.
pub const HELD_S: i64 = 1;

/// SSRCs whose names are remembered: twice what a transport admits at once. The oldest go.
pub const MAX_NAMES: usize = 2_048;

/// Where an RTP stream belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StreamName {
    pub mid: String,
    pub rid: String,
    pub is_repair: bool,
}

/// A decrypted packet that waits for its name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct HeldPacket {
    pub at: Instant,
    pub header: RtpHeader,
    pub data: Box<[u8]>,
    /// As it came, encrypted.
    pub size_bytes: usize,
}

/// The names of one peer's streams.
#[derive(Debug, Default)]
pub struct Bindings {
    ids: ExtensionIds,
    names: IndexMap<Ssrc, StreamName, FxBuildHasher>,
    held: Vec<HeldPacket>,
}

impl Bindings {
    /// A section's extension ids: bundled sections share them (RFC 8843 section 9.2).
    pub fn negotiated(&mut self, extensions: &ExtensionIds) {
        for (extension, id) in extensions.iter() {
            self.ids.set(extension, id);
        }
    }

    /// An extension's value in a packet whose section is not known yet.
    pub fn element<'a>(&self, header: &RtpHeader, data: &'a [u8], extension: Extension) -> Option<&'a [u8]> {
        header.element(data, self.ids.id_of(extension))
    }

    /// This SSRC belongs there.
    pub fn remember(&mut self, ssrc: Ssrc, name: StreamName) {
        self.names.insert(ssrc, name);
        if self.names.len() > MAX_NAMES {
            self.names.shift_remove_index(0);
        }
    }

    /// Where a packet belongs, as known or as it says itself; `None`: neither.
    pub fn name_of(&self, header: &RtpHeader, data: &[u8]) -> Option<StreamName> {
        if let Some(known) = self.names.get(&header.ssrc) {
            return Some(known.clone());
        }
        let mid = self.text(header, data, Extension::Mid)?.to_owned();
        if let Some(repaired) = self.text(header, data, Extension::RepairedRid) {
            return Some(StreamName { mid, rid: repaired.to_owned(), is_repair: true });
        }
        let rid = self.text(header, data, Extension::Rid).unwrap_or_default().to_owned();
        Some(StreamName { mid, rid, is_repair: false })
    }

    /// Keep a packet; false where too many are kept.
    pub fn hold(&mut self, held: HeldPacket) -> bool {
        if self.held.len() >= MAX_HELD {
            return false;
        }
        self.held.push(held);
        true
    }

    /// Take what is held of an SSRC, or all of it, in order of arrival.
    pub fn release(&mut self, ssrc: Option<Ssrc>) -> Vec<HeldPacket> {
        self.held.extract_if(.., |held| ssrc.is_none_or(|ssrc| held.header.ssrc == ssrc)).collect()
    }

    /// Give up what was held for too long; how many packets that was.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let before = self.held.len();
        self.held.retain(|held| now < held.at.after_s(HELD_S));
        (before - self.held.len()) as u64
    }

    /// When `expire` has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.held.first().map(|held| held.at.after_s(HELD_S))
    }

    fn text<'a>(&self, header: &RtpHeader, data: &'a [u8], extension: Extension) -> Option<&'a str> {
        parse_name(self.element(header, data, extension)?).ok()
    }
}
