//! What crosses between two workers where a track's subscriber lives on another than its publisher.
//!
//! A track lives on its publisher's worker, its *home*. Where a route takes it to another, that one has a *mirror* of
//! it. A trunk is one direction between two workers: `Crossing`s in order, values out of one core and into another.
//! What carries them may be full at any time, which costs packets and nothing else.

use std::collections::VecDeque;
use std::ops::Range;

use focus_plane::{DropReason, Drops};
use focus_rtp::packet::RtpHeader;
use focus_rtp::vp8::Vp8Descriptor;
use focus_streams::clock::StreamClock;
use focus_streams::selector::PacketFacts;
use focus_units::{Instant, PayloadType, RouteId, Ssrc, TrackHandle};

use crate::packet::{Packet, ReceptionId};

/// Payloads up to this pass while a trunk is nearly full: sound. Lower: sound with redundancy is lost with video.
/// Higher: video takes the room that is kept for sound.
pub const MAX_SMALL_BYTES: usize = 400;

/// Packets remembered of one trunk that did not fit, to pass when there is room again. Lower: after a short stall
/// subscribers see gaps that are never filled. Higher: more to look up at once; what is older than a second is in no
/// cache any more.
pub const MAX_MISSED: usize = 1_024;

/// What waits for room is offered again after this. Lower: a worker whose neighbour is stalled wakes for nothing.
/// Higher: what waits is later, and sound behind it is lost.
pub const RETRY_MS: i64 = 2;

/// One thing that one core says to another.
#[derive(Debug)]
pub enum Crossing {
    /// From home: the stream that an encoding comes in, when it begins and with each sender report.
    Stream(Streaming),
    /// From home: a packet.
    Packet(Box<Carried>),
    /// From home: the lowest encoding that flows, where the mirror has asked.
    Lowest {
        /// Which track.
        track: TrackHandle,
        /// `None`: none does.
        encoding: Option<i8>,
    },
    /// To home: what somebody takes.
    Wants {
        /// Which track.
        track: TrackHandle,
        /// Of what.
        wants: Wants,
    },
    /// To home: somebody needs a key frame.
    KeyFrame {
        /// Which track.
        track: TrackHandle,
        /// By its number.
        encoding: i8,
    },
    /// To home: nobody chooses any more, and the lowest encoding that flows would do.
    AskLowest {
        /// Which track.
        track: TrackHandle,
    },
    /// To home: a subscriber asks for a packet that the mirror no longer has.
    AskAgain {
        /// Which track.
        track: TrackHandle,
        /// The stream that it was of.
        reception: ReceptionId,
        /// Its number there.
        seq: i64,
        /// For whom.
        asker: Asker,
    },
}

/// What a mirror's routes take of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Wants {
    /// A bit for each encoding that flows to somebody, or is to, by its number.
    pub encodings: u8,
    /// How many routes there are.
    pub routes: u32,
}

impl Wants {
    /// Whether packets of an encoding cross.
    pub fn contain(self, encoding: i8) -> bool {
        bit(encoding) & self.encodings != 0
    }
}

/// An encoding's bit in a mask; none for `PAUSED`.
pub fn bit(encoding: i8) -> u8 {
    u32::try_from(encoding).ok().and_then(|number| 1_u8.checked_shl(number)).unwrap_or(0)
}

/// Who asked for a packet: a route, and the number under which the packet left there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Asker {
    pub route: RouteId,
    pub seq: i64,
}

/// The stream that an encoding comes in.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Streaming {
    pub track: TrackHandle,
    /// Of the encoding: numbers may be others by the time that this is read.
    pub rid: Box<str>,
    pub reception: ReceptionId,
    pub ssrc: Ssrc,
    pub clock: StreamClock,
}

/// A packet that home has decrypted, counted and read.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Carried {
    pub track: TrackHandle,
    pub reception: ReceptionId,
    /// When it arrived.
    pub at: Instant,
    /// The highest number of its stream by then.
    pub highest_seq: i64,
    pub way: Way,
    pub facts: PacketFacts,
    pub vp8: Option<Vp8Descriptor>,
    pub payload_type: PayloadType,
    pub marker: bool,
    pub descriptor_id: Option<u8>,
    pub header: RtpHeader,
    pub payload: Range<usize>,
    pub data: Box<[u8]>,
}

/// Who a packet that crosses is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All routes of the mirror.
    Onward,
    /// Those that have begun with the packet before: it is a key frame's first, and came after this one.
    Behind,
    /// One that has asked.
    Again(Asker),
}

/// How much room must be left for something to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Any: sound, and what is said of streams.
    Now,
    /// A quarter of all: video.
    Soon,
    /// Half of all: what did not fit before.
    Later,
}

impl Urgency {
    /// Whether it passes now.
    pub fn fits(self, link: &impl Link) -> bool {
        let (free, places) = (link.free(), link.places());
        match self {
            Self::Now => free > 0,
            Self::Soon => free > places / 4,
            Self::Later => free > places / 2,
        }
    }
}

/// What carries a trunk from thread to thread, or from one core to another in a test.
pub trait Link {
    /// Places in all.
    fn places(&self) -> usize;

    /// Places that are free.
    fn free(&self) -> usize;

    /// Take a place; there is a free one.
    fn push(&mut self, crossing: Crossing);
}

impl Carried {
    /// A packet of a track of ours, to be passed.
    pub fn of(at: Instant, track: TrackHandle, packet: &Packet, highest_seq: i64, way: Way) -> Crossing {
        Crossing::Packet(Box::new(Self {
            track,
            reception: packet.reception,
            at,
            highest_seq,
            way,
            facts: packet.facts.clone(),
            vp8: packet.vp8,
            payload_type: packet.payload_type,
            marker: packet.marker,
            descriptor_id: packet.descriptor_id,
            header: packet.header,
            payload: packet.payload.clone(),
            data: packet.data.clone(),
        }))
    }
}

impl Crossing {
    /// When its packet arrived, where it is one that goes on to all.
    pub fn arrived_at(&self) -> Option<Instant> {
        match self {
            Self::Packet(packet) if packet.way == Way::Onward => Some(packet.at),
            _ => None,
        }
    }

    /// How urgent it is.
    pub fn urgency(&self) -> Urgency {
        match self {
            Self::Packet(packet) if packet.payload.len() > MAX_SMALL_BYTES => Urgency::Soon,
            _ => Urgency::Now,
        }
    }

    /// Whether a later one says all that this one does.
    fn is_replaced_by(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Stream(one), Self::Stream(other)) => (one.track, &one.rid) == (other.track, &other.rid),
            (Self::Lowest { track, .. }, Self::Lowest { track: other, .. })
            | (Self::Wants { track, .. }, Self::Wants { track: other, .. })
            | (Self::AskLowest { track }, Self::AskLowest { track: other }) => track == other,
            (Self::KeyFrame { track, encoding }, Self::KeyFrame { track: other, encoding: as_well }) => {
                (track, encoding) == (other, as_well)
            }
            _ => false,
        }
    }
}

/// A packet that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Missed {
    pub track: TrackHandle,
    pub reception: ReceptionId,
    pub seq: i64,
}

/// What one core has to say to one other.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Crossing>,
    /// Something did not fit: it stands first, and nothing overtakes it.
    is_held_up: bool,
    /// Packets to pass when there is room.
    missed: VecDeque<Missed>,
}

impl Outbox {
    /// Say something, behind what was said before.
    pub fn push(&mut self, crossing: Crossing) {
        if self.is_held_up {
            // So what waits is bounded by the encodings that there are, however long it does.
            self.waiting.retain(|earlier| !earlier.is_replaced_by(&crossing));
        }
        self.waiting.push_back(crossing);
    }

    /// Say all that waits, in order, as far as there is room.
    ///
    /// Packets don't wait: those of video are remembered in `missed`. Nor do questions that come again by
    /// themselves. All else does.
    pub fn offer(&mut self, link: &mut impl Link, drops: &mut Drops) {
        self.is_held_up = false;
        for _ in 0..self.waiting.len() {
            let Some(crossing) = self.waiting.pop_front() else { return };
            if !self.is_held_up && crossing.urgency().fits(link) {
                link.push(crossing);
                continue;
            }
            match crossing {
                Crossing::AskAgain { .. } => {}
                Crossing::Packet(packet) => {
                    drops.count(DropReason::TrunkFull);
                    self.miss(&packet);
                }
                held_up => {
                    self.is_held_up = true;
                    self.waiting.push_back(held_up);
                }
            }
        }
    }

    /// A packet that did not fit, and may now: the one that came first.
    pub fn next_missed(&mut self) -> Option<Missed> {
        if self.is_held_up { None } else { self.missed.pop_front() }
    }

    /// Whether nothing is left to say.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.missed.is_empty()
    }

    /// Whether a packet is to pass later.
    pub fn has_missed(&self, reception: ReceptionId, seq: i64) -> bool {
        self.missed.iter().any(|missed| (missed.reception, missed.seq) == (reception, seq))
    }

    fn miss(&mut self, packet: &Carried) {
        if packet.way != Way::Onward || packet.payload.is_empty() {
            return;
        }
        if self.missed.len() == MAX_MISSED {
            self.missed.pop_front();
        }
        let Carried { track, reception, ref facts, .. } = *packet;
        self.missed.push_back(Missed { track, reception, seq: facts.seq });
    }
}

/// A core's outboxes, by the number of the other worker.
#[derive(Debug, Default)]
pub struct Trunks {
    outboxes: Vec<Outbox>,
    /// When what waits is offered again.
    pub retry_at: Option<Instant>,
}

impl Trunks {
    /// To one other worker.
    pub fn to(&mut self, worker: usize) -> &mut Outbox {
        if worker >= self.outboxes.len() {
            self.outboxes.resize_with(worker + 1, Outbox::default);
        }
        &mut self.outboxes[worker]
    }
}

#[cfg(test)]
mod tests;
