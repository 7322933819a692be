//! One received RTP stream: what came, what is missing, and whether it goes on as it should.

use crate::vp8::{Descriptor, PictureId};

/// Sequence numbers behind the newest of which we know whether they came. More: later repairs still count;
/// fewer: less memory. 1,024 are a second and more of any stream here.
pub const WINDOW: u64 = 1_024;

const WORDS: usize = WINDOW as usize / 64;

/// A packet whose authenticity is proven.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The sequence number, unwrapped.
    pub seq: u64,
    /// The RTP timestamp as on the wire.
    pub timestamp: u32,
    /// Without padding.
    pub payload: &'a [u8],
    /// The VP8 descriptor, where this is VP8.
    pub descriptor: Option<Descriptor>,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first, or the one after the newest.
    Next,
    /// After this many that are missing.
    Ahead(u64),
    /// Before the newest, and not here yet.
    Late,
    /// Here already, or too old to tell.
    Duplicate,
}

/// Counters of one RTP stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets, each once.
    pub packets_received: i64,
    /// Bytes of their payloads.
    pub bytes_received: i64,
    /// Expected so far and not here; shrinks when they come after all.
    pub packets_lost: i64,
    /// Came again.
    pub duplicates: i64,
    /// Came after a later one: reordered or resent.
    pub late: i64,
    /// Changes of the timestamp.
    pub frames: i64,
    /// Packets that begin a key frame.
    pub key_frames: i64,
    /// Frames whose picture id isn't the next one, and packets that change it within a frame.
    pub picture_id_breaks: i64,
    /// The same of the index of the base layer.
    pub tl0_breaks: i64,
    /// Timestamps that run backwards.
    pub timestamp_breaks: i64,
}

/// Follows one RTP stream.
#[derive(Debug, Default)]
pub struct Reception {
    counts: Counts,
    first: u64,
    newest: Option<Landmark>,
    seen: [u64; WORDS],
}

/// The newest packet, against which the next is held.
#[derive(Debug, Clone, Copy)]
struct Landmark {
    seq: u64,
    timestamp: u32,
    picture_id: Option<PictureId>,
    tl0: Option<u8>,
}

impl Reception {
    /// The counters so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The newest sequence number.
    pub fn newest(&self) -> Option<u64> {
        Some(self.newest?.seq)
    }

    /// How many sequence numbers there were from the first to the newest.
    pub fn expected(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.seq - self.first + 1)
    }

    /// Count a packet.
    pub fn take(&mut self, arrival: &Arrival<'_>) -> Place {
        let place = self.place(arrival.seq);
        match place {
            Place::Duplicate => {
                self.counts.duplicates += 1;
                return place;
            }
            Place::Late => {
                self.counts.late += 1;
                self.first = self.first.min(arrival.seq);
            }
            Place::Next | Place::Ahead(_) => self.advance(arrival, place == Place::Next),
        }
        self.mark(arrival.seq);
        self.counts.packets_received += 1;
        self.counts.bytes_received += arrival.payload.len() as i64;
        self.counts.packets_lost = self.expected() as i64 - self.counts.packets_received;
        if arrival.descriptor.is_some_and(|found| found.starts_key_frame(arrival.payload)) {
            self.counts.key_frames += 1;
        }
        place
    }

    fn place(&self, seq: u64) -> Place {
        let Some(newest) = self.newest else {
            return Place::Next;
        };
        if seq > newest.seq {
            return if seq == newest.seq + 1 { Place::Next } else { Place::Ahead(seq - newest.seq - 1) };
        }
        if newest.seq - seq >= WINDOW || self.has(seq) { Place::Duplicate } else { Place::Late }
    }

    fn advance(&mut self, arrival: &Arrival<'_>, is_gapless: bool) {
        let landmark = Landmark {
            seq: arrival.seq,
            timestamp: arrival.timestamp,
            picture_id: arrival.descriptor.and_then(|found| found.picture_id),
            tl0: arrival.descriptor.and_then(|found| found.tl0),
        };
        if let Some(before) = self.newest.replace(landmark) {
            self.clear(before.seq + 1, arrival.seq);
            self.compare(before, landmark, arrival.descriptor, is_gapless);
        } else {
            self.first = arrival.seq;
            self.counts.frames = 1;
        }
    }

    /// Hold a packet against the one before it; over a gap only what can't depend on what is missing.
    fn compare(&mut self, before: Landmark, now: Landmark, found: Option<Descriptor>, is_gapless: bool) {
        let is_new_frame = now.timestamp != before.timestamp;
        if is_new_frame {
            self.counts.frames += 1;
        }
        if (now.timestamp.wrapping_sub(before.timestamp) as i32) < 0 {
            self.counts.timestamp_breaks += 1;
        }
        if !is_gapless {
            return;
        }
        if let (Some(id), Some(last)) = (now.picture_id, before.picture_id) {
            let goes_on = if is_new_frame { id.follows(last) } else { id == last };
            self.counts.picture_id_breaks += i64::from(!goes_on);
        }
        if let (Some(tl0), Some(last)) = (now.tl0, before.tl0) {
            let is_base = found.is_some_and(|found| found.temporal_layer.unwrap_or(0) == 0);
            let step = u8::from(is_new_frame && is_base);
            self.counts.tl0_breaks += i64::from(tl0 != last.wrapping_add(step));
        }
    }

    fn has(&self, seq: u64) -> bool {
        self.seen[word(seq)] & bit(seq) != 0
    }

    fn mark(&mut self, seq: u64) {
        self.seen[word(seq)] |= bit(seq);
    }

    /// Forget what stood where `from..=to` now stands.
    fn clear(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for seq in from..=to {
            self.seen[word(seq)] &= !bit(seq);
        }
    }
}

fn word(seq: u64) -> usize {
    (seq % WINDOW) as usize / 64
}

fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn frame_packet(seq: u64, frame: u64) -> (u64, u32, [u8; 7]) {
        let mut payload = [0; 7];
        payload[..6].copy_from_slice(&Descriptor::write(true, frame as u16 & 0x7fff, frame as u8));
        payload[6] = u8::from(!frame.is_multiple_of(30));
        (seq, (frame * 3_000) as u32, payload)
    }

    fn take(reception: &mut Reception, (seq, timestamp, payload): (u64, u32, [u8; 7])) -> Place {
        let descriptor = Descriptor::parse(&payload);
        reception.take(&Arrival { seq, timestamp, payload: &payload, descriptor })
    }

    fn breaks(counts: &Counts) -> (i64, i64, i64) {
        (counts.picture_id_breaks, counts.tl0_breaks, counts.timestamp_breaks)
    }

    #[test]
    fn a_stream_that_goes_on_over_every_wrap_shows_no_break() {
        let mut reception = Reception::default();
        for step in 0..70_000 {
            assert_eq!(take(&mut reception, frame_packet(65_000 + step, 32_000 + step)), Place::Next);
        }
        let counts = reception.counts();
        assert_eq!((counts.packets_received, counts.frames, counts.packets_lost), (70_000, 70_000, 0));
        assert_eq!(breaks(counts), (0, 0, 0));
        assert_eq!(counts.key_frames, 2_333);
    }

    #[test]
    fn what_is_missing_counts_as_lost_until_it_comes() {
        let mut reception = Reception::default();
        take(&mut reception, frame_packet(10, 1));
        assert_eq!(take(&mut reception, frame_packet(14, 5)), Place::Ahead(3));
        assert_eq!(reception.counts().packets_lost, 3);
        assert_eq!(take(&mut reception, frame_packet(12, 3)), Place::Late);
        assert_eq!((reception.counts().packets_lost, reception.counts().late), (2, 1));
        assert_eq!(take(&mut reception, frame_packet(12, 3)), Place::Duplicate);
        assert_eq!((reception.counts().packets_received, reception.counts().duplicates), (3, 1));
        assert_eq!(breaks(reception.counts()), (0, 0, 0));
    }

    #[test]
    fn a_packet_from_before_the_first_moves_the_beginning() {
        let mut reception = Reception::default();
        take(&mut reception, frame_packet(10, 5));
        assert_eq!(take(&mut reception, frame_packet(8, 3)), Place::Late);
        assert_eq!(reception.counts().packets_lost, 1);
    }

    #[test]
    fn each_kind_of_break_is_counted_on_its_own() {
        let with = |picture_id: u16, tl0: u8| {
            let mut payload = [1; 7];
            payload[..6].copy_from_slice(&Descriptor::write(true, picture_id, tl0));
            payload
        };
        let mut reception = Reception::default();
        take(&mut reception, (1, 0, with(7, 7)));
        take(&mut reception, (2, 3_000, with(9, 8)));
        assert_eq!(breaks(reception.counts()), (1, 0, 0));
        take(&mut reception, (3, 6_000, with(10, 8)));
        assert_eq!(breaks(reception.counts()), (1, 1, 0));
        take(&mut reception, (4, 3_000, with(11, 9)));
        assert_eq!(breaks(reception.counts()), (1, 1, 1));
        take(&mut reception, (5, 3_000, with(12, 9)));
        assert_eq!(breaks(reception.counts()), (2, 1, 1));
    }

    #[test]
    fn frames_of_upper_temporal_layers_leave_the_base_index_alone() {
        let mut reception = Reception::default();
        take(&mut reception, (1, 0, [0x90, 0xe0, 0x80, 1, 5, 0, 1]));
        take(&mut reception, (2, 3_000, [0x90, 0xe0, 0x80, 2, 5, 0x80, 1]));
        take(&mut reception, (3, 6_000, [0x90, 0xe0, 0x80, 3, 6, 0, 1]));
        assert_eq!(breaks(reception.counts()), (0, 0, 0));
    }

    #[test]
    fn a_jump_beyond_the_window_forgets_what_was_seen() {
        let mut reception = Reception::default();
        take(&mut reception, frame_packet(5, 1));
        take(&mut reception, frame_packet(5 + 3 * WINDOW, 2));
        assert_eq!(take(&mut reception, frame_packet(5 + 3 * WINDOW - 1, 2)), Place::Late);
        assert_eq!(take(&mut reception, frame_packet(5, 1)), Place::Duplicate);
    }

    proptest! {
        #[test]
        fn counting_agrees_with_a_set(start in prop_oneof![Just(0u64), Just(65_535), Just(1 << 20)],
                                      steps in proptest::collection::vec(0u64..60, 1..400)) {
            let mut reception = Reception::default();
            let mut here = HashSet::new();
            for (index, step) in steps.iter().enumerate() {
                let seq = start + index as u64 + step;
                take(&mut reception, frame_packet(seq, 1));
                here.insert(seq);
            }
            let span = here.iter().max().unwrap() - here.iter().min().unwrap() + 1;
            let counts = reception.counts();
            prop_assert_eq!(counts.packets_received, here.len() as i64);
            prop_assert_eq!(counts.packets_lost, span as i64 - here.len() as i64);
            prop_assert_eq!(counts.duplicates, (steps.len() - here.len()) as i64);
        }
    }
}
