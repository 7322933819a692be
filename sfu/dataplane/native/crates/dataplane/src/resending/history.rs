//! How the last packets of a route were made: what many in a row have in common is kept once.
//!
//! A packet that can be made again is in the publisher's cache, and most of what was sent follows from what was
//! received: all numbers move by the same for as long as nothing is left out and no encoding follows another. So a
//! route of any rate needs a bit for each packet, and a few words for each change.

use std::collections::VecDeque;

use focus_rtp::vp8::{PICTURE_ID_MODULO, Vp8Descriptor};
use focus_streams::cache::{CacheId, MAX_AGE_S};
use focus_streams::rewriter::Vp8Numbers;
use focus_units::{Instant, PayloadType};

use crate::departures::Rewriting;
use crate::packet::Packet;

/// Packets whose making is remembered, of one route: a second at 9 Mbit/s. What they were made of is in the
/// publisher's cache.
pub const MAX_SENT: usize = 1_024;

/// A run is given up when its last packet is older: no cache has held it for half of this. Shorter: a clock that runs
/// back a little would bring it back. Longer: more memory for a route of which much is left out.
const FORGET_AFTER_S: i64 = 2 * MAX_AGE_S;

const WORD_BITS: usize = u64::BITS as usize;
const KEY_IDX_MASK: u8 = 0x1F;

/// How a packet was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sent {
    pub seq: i64,
    pub timestamp: u32,
    /// Of the publisher.
    pub payload_type: PayloadType,
    pub vp8: Vp8Numbers,
    /// What was made of its dependency descriptor.
    pub rewriting: Rewriting,
}

/// What moves in all packets of a run, and by how much: what goes out less what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shifts {
    cache: CacheId,
    seq: i64,
    timestamp: u32,
    vp8: Vp8Numbers,
    rewriting: Rewriting,
}

impl Shifts {
    fn of(sent: &Sent, packet: &Packet) -> Self {
        let less = |out: u8, came: Option<u8>| out.wrapping_sub(came.unwrap_or(0));
        let came = |read: fn(Vp8Descriptor) -> Option<u8>| packet.vp8.and_then(read);
        Self {
            cache: packet.cache,
            seq: sent.seq - packet.facts.seq,
            timestamp: sent.timestamp.wrapping_sub(packet.facts.ts as u32),
            vp8: Vp8Numbers {
                picture_id: sent.vp8.picture_id.wrapping_sub(picture_id(packet).unwrap_or(0))
                    % PICTURE_ID_MODULO,
                tl0_pic_idx: less(sent.vp8.tl0_pic_idx, came(Vp8Descriptor::tl0_pic_idx)),
                key_idx: less(sent.vp8.key_idx, came(Vp8Descriptor::key_idx)) & KEY_IDX_MASK,
            },
            rewriting: sent.rewriting,
        }
    }

    fn make(&self, packet: &Packet) -> Sent {
        // What is not there goes out as 0.
        let plus = |came: Option<u8>, shift: u8| came.map_or(0, |came| came.wrapping_add(shift));
        let came = |read: fn(Vp8Descriptor) -> Option<u8>| packet.vp8.and_then(read);
        let shift = self.vp8.picture_id;
        Sent {
            seq: packet.facts.seq + self.seq,
            timestamp: (packet.facts.ts as u32).wrapping_add(self.timestamp),
            payload_type: packet.payload_type,
            vp8: Vp8Numbers {
                picture_id: picture_id(packet).map_or(0, |came| came.wrapping_add(shift) % PICTURE_ID_MODULO),
                tl0_pic_idx: plus(came(Vp8Descriptor::tl0_pic_idx), self.vp8.tl0_pic_idx),
                key_idx: plus(came(Vp8Descriptor::key_idx), self.vp8.key_idx) & KEY_IDX_MASK,
            },
            rewriting: self.rewriting,
        }
    }
}

fn picture_id(packet: &Packet) -> Option<u16> {
    packet.vp8.and_then(Vp8Descriptor::picture_id)
}

/// Packets that were made alike, from this number up to the next run.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: i64,
    /// When the last of them left.
    last_at: Instant,
    shifts: Shifts,
}

/// The last `MAX_SENT` numbers of a route.
#[derive(Debug, Default)]
pub struct History {
    newest: Option<i64>,
    /// Which of them were sent, a bit for each number.
    sent: [u64; MAX_SENT / WORD_BITS],
    /// Ascending.
    runs: VecDeque<Run>,
}

impl History {
    /// The highest number of all.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Remember how a packet was made.
    pub fn remember(&mut self, now: Instant, sent: &Sent, packet: &Packet) {
        let seq = sent.seq;
        let newest = *self.newest.get_or_insert(seq);
        if seq <= newest - MAX_SENT as i64 {
            return;
        }
        for skipped in newest.max(seq - MAX_SENT as i64) + 1..=seq {
            self.mark(skipped, false);
        }
        self.newest = Some(newest.max(seq));
        self.mark(seq, true);
        self.enter(now, sent, packet);
        self.forget(now);
    }

    /// Where what went out under a number came from, while that is remembered: its cache, and its number there.
    pub fn source(&self, seq: i64) -> Option<(CacheId, i64)> {
        let shifts = self.find(seq)?;
        Some((shifts.cache, seq - shifts.seq))
    }

    /// How what went out under a number was made of this packet, which came from its `source`.
    pub fn made(&self, seq: i64, packet: &Packet) -> Option<Sent> {
        self.find(seq).map(|shifts| shifts.make(packet))
    }

    fn find(&self, seq: i64) -> Option<&Shifts> {
        let newest = self.newest?;
        let is_known = seq <= newest && seq > newest - MAX_SENT as i64 && self.is_marked(seq);
        let run = self.runs.get(self.after(seq).checked_sub(1)?)?;
        is_known.then_some(&run.shifts)
    }

    /// Put a number into its run, or make one for it.
    fn enter(&mut self, now: Instant, sent: &Sent, packet: &Packet) {
        let seq = sent.seq;
        let after = self.after(seq);
        let before = after.checked_sub(1).map(|at| self.runs[at]);
        if before
            .is_some_and(|run| run.shifts.seq == seq - packet.facts.seq && run.shifts.cache == packet.cache)
            && before.is_some_and(|run| run.shifts.make(packet) == *sent)
        {
            self.runs[after - 1].last_at = now;
            return;
        }
        self.runs.insert(after, Run { start: seq, last_at: now, shifts: Shifts::of(sent, packet) });
        // One that came late, and was made otherwise than those around it.
        if let Some(around) = before
            && self.newest.is_some_and(|newest| seq < newest)
            && self.runs.get(after + 1).is_none_or(|next| next.start > seq + 1)
        {
            self.runs.insert(after + 1, Run { start: seq + 1, ..around });
        }
    }

    /// Give up runs that nothing can be made of any more.
    fn forget(&mut self, now: Instant) {
        let oldest = self.newest.unwrap_or(0) - MAX_SENT as i64 + 1;
        while let (Some(first), Some(second)) = (self.runs.front(), self.runs.get(1))
            && (second.start <= oldest || now > first.last_at.after_s(FORGET_AFTER_S))
        {
            self.runs.pop_front();
        }
    }

    /// The index of the first run behind a number.
    fn after(&self, seq: i64) -> usize {
        // Most packets are of the newest run.
        match self.runs.back() {
            Some(last) if last.start <= seq => self.runs.len(),
            _ => self.runs.partition_point(|run| run.start <= seq),
        }
    }

    fn mark(&mut self, seq: i64, is_sent: bool) {
        let (word, bit) = place(seq);
        self.sent[word] = self.sent[word] & !bit | if is_sent { bit } else { 0 };
    }

    fn is_marked(&self, seq: i64) -> bool {
        let (word, bit) = place(seq);
        self.sent[word] & bit != 0
    }
}

/// Word and bit of a number.
fn place(seq: i64) -> (usize, u64) {
    let index = seq.rem_euclid(MAX_SENT as i64) as usize;
    (index / WORD_BITS, 1 << (index % WORD_BITS))
}

#[cfg(test)]
mod tests;
