//! Receiving one RTP stream, and the stream that repairs it (RFC 3550, RFC 4588).

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use focus_plane::DropReason;
use focus_rtp::packet::RtpHeader;
use focus_rtp::unwrap::Unwrapper;
use focus_streams::cache::CacheId;
use focus_streams::clock::StreamClock;
use focus_streams::descriptor_reader::DescriptorReader;
use focus_streams::nack::NackGenerator;
use focus_streams::selector::PacketFacts;
use focus_streams::statistics::ReceiveStatistics;
use focus_units::{Instant, Kind, PayloadType, Ssrc};

use crate::keyframes::KeyframeRequests;
use crate::packet::{Packet, ReceptionId, SharedClock};
use crate::payload::{PayloadFacts, inspect};
use crate::resending::{Caches, Kept};

/// A packet of a stream on its way in, with what its section says of it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Arrival<'a> {
    pub header: &'a RtpHeader,
    pub data: &'a [u8],
    /// As it came, encrypted.
    pub size_bytes: usize,
    pub form: Form,
    pub encoding: i8,
    /// Of the dependency descriptor in its section.
    pub descriptor_id: Option<u8>,
    pub dependency_descriptor: Option<&'a [u8]>,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Form {
    pub payload_type: PayloadType,
    pub codec: focus_plane::Codec,
    pub clock_rate: u32,
}

/// A packet as the stream has it, whichever way it came.
struct Restored {
    sequence_number: u16,
    payload: Range<usize>,
}

/// What taking a packet needs of its publisher and its plane.
pub struct Surroundings<'a> {
    /// The publisher's.
    pub keyframes: &'a mut KeyframeRequests,
    /// Where packets are kept.
    pub caches: &'a mut Caches,
    /// Where timers go.
    pub agenda: &'a mut crate::agenda::Agenda,
}

/// One RTP stream, from its first packet on.
///
/// Lost packets of video are asked for again, and packets are kept for its subscribers' own requests. Audio is
/// neither repaired nor kept: a packet of 20 ms is too late by then.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Reception {
    pub id: ReceptionId,
    pub ssrc: Ssrc,
    pub statistics: ReceiveStatistics,
    pub nacks: NackGenerator,
    pub cache: CacheId,
    pub clock: SharedClock,
    is_video: bool,
    descriptors: DescriptorReader,
    seqs: Unwrapper<16>,
    timestamps: Unwrapper<32>,
}

impl Reception {
    /// From its first packet, which is to be received yet.
    pub fn new(
        id: ReceptionId,
        ssrc: Ssrc,
        kind: Kind,
        now: Instant,
        clock_rate: u32,
        first: &RtpHeader,
        caches: &mut Caches,
    ) -> Self {
        let mut timestamps = Unwrapper::default();
        let first_ts = timestamps.unwrap(first.timestamp);
        Self {
            id,
            ssrc,
            statistics: ReceiveStatistics::new(clock_rate),
            nacks: NackGenerator::default(),
            cache: caches.open(),
            clock: Rc::new(RefCell::new(StreamClock::new(clock_rate, now, first_ts))),
            is_video: kind == Kind::Video,
            descriptors: DescriptorReader::default(),
            seqs: Unwrapper::default(),
            timestamps,
        }
    }

    /// Take a packet that came in the stream itself.
    ///
    /// # Errors
    ///
    /// Why it goes no further.
    pub fn receive(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Rc<Packet>, DropReason> {
        let seq = self.seqs.unwrap(arrival.header.sequence_number);
        let ts = self.timestamps.unwrap(arrival.header.timestamp);
        match self.statistics.received(now, seq, ts, arrival.size_bytes) {
            None => self.accept(now, seq, ts, arrival, arrival.header.payload_range(), around),
            Some(drop) => Err(drop),
        }
    }

    /// Take a packet that came by RTX: its payload names the number that it repairs.
    ///
    /// # Errors
    ///
    /// Why it goes no further.
    pub fn repaired(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Rc<Packet>, DropReason> {
        let restored = Restored::of(&arrival).ok_or(DropReason::RtxMalformed)?;
        // Numbers that a repair makes up must not turn the stream's own numbers over.
        let seq = self.seqs.nearest(restored.sequence_number);
        let ts = self.timestamps.nearest(arrival.header.timestamp);
        match self.statistics.repaired(seq) {
            None => self.accept(now, seq, ts, arrival, restored.payload, around),
            Some(drop) => Err(drop),
        }
    }

    /// The packets behind this number that have come already, in order, and read anew.
    ///
    /// With the packet of this number, the structure may have come that their descriptors mean.
    pub fn after(&mut self, now: Instant, seq: i64, caches: &Caches) -> Vec<Rc<Packet>> {
        let highest = self.statistics.highest_seq().unwrap_or(0);
        let mut later = Vec::new();
        for number in seq + 1..=highest {
            if let Some(Kept::Received(packet)) = caches.lookup(now, self.cache, number) {
                later.push(self.read_again(packet));
            }
        }
        later
    }

    /// The stream is gone.
    pub fn close(&mut self, keyframes: &mut KeyframeRequests, caches: &mut Caches) {
        caches.close(self.cache, &mut drop);
        keyframes.forget(self.ssrc);
    }

    fn read_again(&mut self, packet: &Rc<Packet>) -> Rc<Packet> {
        let Some(value) = packet.facts.descriptor.as_ref().and_then(|_| packet.descriptor_value()) else {
            return Rc::clone(packet);
        };
        let descriptor = self.descriptors.read(packet.facts.seq, value).map(Arc::new);
        Rc::new(Packet { facts: PacketFacts { descriptor, ..packet.facts.clone() }, ..(**packet).clone() })
    }

    fn accept(
        &mut self,
        now: Instant,
        seq: i64,
        ts: i64,
        arrival: Arrival<'_>,
        payload: Range<usize>,
        around: &mut Surroundings<'_>,
    ) -> Result<Rc<Packet>, DropReason> {
        if self.is_video && self.nacks.received(now, seq) {
            around.keyframes.request(now, self.ssrc, around.agenda);
        }
        let bytes = &arrival.data[payload.clone()];
        let mut descriptor = None;
        let mut told = PayloadFacts::default();
        if !bytes.is_empty() {
            if self.is_video {
                descriptor =
                    arrival.dependency_descriptor.and_then(|value| self.descriptors.read(seq, value));
            }
            told = inspect(arrival.form.codec, bytes, descriptor.as_ref())
                .map_err(|_| DropReason::RtpMalformed)?;
        }
        let is_descriptor_unread = self.is_video
            && !bytes.is_empty()
            && arrival.dependency_descriptor.is_some()
            && descriptor.is_none();
        self.clock.borrow_mut().received(ts);
        let facts = PacketFacts {
            encoding: arrival.encoding,
            seq,
            ts,
            starts_key_frame: told.starts_key_frame,
            temporal: told.temporal,
            layer_sync: told.layer_sync,
            descriptor: descriptor.map(Arc::new),
        };
        let packet = Rc::new(Packet {
            reception: self.id,
            clock: Rc::clone(&self.clock),
            cache: self.cache,
            ssrc: self.ssrc,
            payload_type: arrival.form.payload_type,
            marker: arrival.header.marker,
            facts,
            vp8: told.vp8,
            is_descriptor_unread,
            descriptor_id: arrival.descriptor_id,
            header: *arrival.header,
            payload,
            data: arrival.data.into(),
        });
        if self.is_video && !packet.is_padding() {
            let size_bytes = packet.payload.len();
            let kept = Kept::Received(Rc::clone(&packet));
            around.caches.store(now, self.cache, seq, kept, size_bytes, &mut drop);
            if packet.facts.starts_key_frame {
                around.keyframes.started(self.ssrc);
            }
        }
        Ok(packet)
    }
}

impl Restored {
    /// RFC 4588 section 4: two bytes of the original number, then the original payload.
    fn of(arrival: &Arrival<'_>) -> Option<Self> {
        let payload = arrival.header.payload_range();
        let number = arrival.data.get(payload.start..payload.start + 2)?;
        (payload.len() >= 2).then(|| Self {
            sequence_number: u16::from_be_bytes([number[0], number[1]]),
            payload: payload.start + 2..payload.end,
        })
    }
}

/// The RTX stream of an encoding: reported on like any other, its packets are those of another.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RepairReception {
    pub ssrc: Ssrc,
    pub statistics: ReceiveStatistics,
    seqs: Unwrapper<16>,
    timestamps: Unwrapper<32>,
}

impl RepairReception {
    /// With the clock of what it repairs.
    pub fn new(ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            statistics: ReceiveStatistics::new(clock_rate),
            seqs: Unwrapper::default(),
            timestamps: Unwrapper::default(),
        }
    }

    /// Count a packet; a reason where it came before, or too late.
    pub fn receive(&mut self, now: Instant, header: &RtpHeader, size_bytes: usize) -> Option<DropReason> {
        let seq = self.seqs.unwrap(header.sequence_number);
        let ts = self.timestamps.unwrap(header.timestamp);
        self.statistics.received(now, seq, ts, size_bytes)
    }
}
