//! The transport-wide numbers of what we send, and what the peer says became of each (packet rule 5).
//!
//! By draft-holmer-rmcat-transport-wide-cc-extensions-01.

use std::collections::VecDeque;

use focus_rtp::twcc::{DELTA_NS, TransportFeedback};
use focus_rtp::unwrap::Unwrapper;
use focus_units::Instant;

/// In a report, the arrival of a packet that had not come (`sfu.rows.LOST`).
pub const LOST: i64 = -1;

/// Numbers that feedback may be about. Lower: at 1,000 packets a second, feedback that comes later than this
/// many milliseconds is of no use. Higher: more memory for each transport.
pub const MAX_NUMBERS: usize = 4_096;

/// Nobody wants to know of packets that were sent earlier than this.
pub const MAX_AGE_S: i64 = 10;

/// Times of the peer, in `DELTA_NS`, end here and begin anew: 139 years, or a peer that plays with its clock.
/// As nanoseconds they fit 64 bits.
pub const MAX_TICKS: i64 = 1 << 44;

/// Packets sent earlier than this are given up before their numbers are needed. Not much more than
/// `MAX_AGE_S`, or a quiet transport holds the memory of a busy one; but more, since feedback comes on a
/// clock that may run back a little.
const FORGET_AFTER_S: i64 = MAX_AGE_S + 1;

/// 24 bits of reference time, in units of 256 ticks.
const TICK_BITS: u32 = 32;

/// What the peer says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its transport-wide number, unwrapped.
    pub seq: i64,
    /// The probe that it was part of; 0 for none.
    pub cluster: u32,
    /// As it was stamped.
    pub size_bytes: u32,
    /// When it was stamped.
    pub sent_at: Instant,
    /// On the peer's clock, in nanoseconds; `LOST` where it had not come.
    pub arrived_at: i64,
}

/// What is still to be heard of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Whether it came.
    Fate,
    /// It was told as lost, and may come yet.
    Arrival,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    cluster: u32,
    size_bytes: u16,
    expected: Expected,
}

/// The one counter of a transport, over sound, video, RTX and padding, and what it counted lately.
///
/// It remembers from the first packet that something may yet be heard of: for a peer that sends feedback and
/// loses little, a round trip's worth.
#[derive(Debug, Default)]
pub struct TwccSender {
    next_seq: i64,
    /// Those before `next_seq`, without a gap.
    sent: VecDeque<Sent>,
    clock: Unwrapper<TICK_BITS>,
}

impl TwccSender {
    /// Of a transport that sent nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the packet that is stamped next gets.
    pub const fn next_number(&self) -> u16 {
        self.next_seq as u16
    }

    /// A packet leaves under `next_number`; its unwrapped number. Call it for what is really sent.
    pub fn stamp(&mut self, now: Instant, size_bytes: usize, cluster: u32) -> i64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        let is_done =
            |sent: &Sent| sent.expected == Expected::Nothing || now > sent.at.after_s(FORGET_AFTER_S);
        while self.sent.front().is_some_and(is_done) || self.sent.len() == MAX_NUMBERS {
            self.sent.pop_front();
        }
        // No datagram is longer.
        let size_bytes = u16::try_from(size_bytes).unwrap_or(u16::MAX);
        self.sent.push_back(Sent { at: now, cluster, size_bytes, expected: Expected::Fate });
        seq
    }

    /// Expect no more of a packet: it is sent once more, and nobody could say which of the two came.
    pub fn forget(&mut self, seq: i64) {
        if let Some(sent) = self.find(seq) {
            sent.expected = Expected::Nothing;
        }
    }

    /// Append what is new in the peer's feedback to `reported`, in its order.
    ///
    /// Of each packet it tells once that it is lost, and once that it came. Numbers that were never given, or
    /// are too old, say nothing.
    pub fn report(&mut self, now: Instant, feedback: &TransportFeedback, reported: &mut Vec<Reported>) {
        for (number, arrival) in &feedback.arrivals {
            // The clock goes on with every arrival that is told, known or not.
            let arrived_at = arrival.map_or(LOST, |arrival| self.unwrapped(arrival));
            let seq = self.next_seq - i64::from(self.next_number().wrapping_sub(*number));
            let Some(sent) = self.find(seq) else { continue };
            if now > sent.at.after_s(MAX_AGE_S) {
                continue;
            }
            sent.expected = match (arrival, sent.expected) {
                (Some(_), _) => Expected::Nothing,
                (None, Expected::Fate) => Expected::Arrival,
                (None, _) => continue,
            };
            reported.push(Reported {
                seq,
                cluster: sent.cluster,
                size_bytes: sent.size_bytes.into(),
                sent_at: sent.at,
                arrived_at,
            });
        }
    }

    /// What went out under a number, while something may be heard of it.
    fn find(&mut self, seq: i64) -> Option<&mut Sent> {
        let first = self.next_seq - self.sent.len() as i64;
        let sent = self.sent.get_mut(usize::try_from(seq - first).ok()?)?;
        (sent.expected != Expected::Nothing).then_some(sent)
    }

    fn unwrapped(&mut self, arrival: i64) -> i64 {
        let mut ticks = self.clock.unwrap(arrival.div_euclid(DELTA_NS) as u32);
        if ticks >= MAX_TICKS {
            self.clock = Unwrapper::new();
            ticks = self.clock.unwrap(ticks as u32);
        }
        ticks * DELTA_NS
    }
}

#[cfg(test)]
mod tests;
