//! Which lost packets to ask a publisher for, when, and when to give up.

use std::collections::VecDeque;

use focus_units::{Instant, NS_PER_MS};

/// A missing packet is first asked for after this long. Lower: reordered packets are sent twice. Higher:
/// every repair is late by as much.
pub const REORDER_TOLERANCE_MS: i64 = 10;

/// Shortest time between two requests for one packet, however short the round trip.
pub const MIN_RETRY_NS: i64 = 20 * NS_PER_MS;

/// The round trip assumed before the first measurement.
pub const DEFAULT_ROUND_TRIP_NS: i64 = 100 * NS_PER_MS;

/// A measured round trip above this is taken for this: the publisher's cache has forgotten more.
pub const MAX_ROUND_TRIP_NS: i64 = 1_000 * NS_PER_MS;

/// Requests for one packet, the first included.
pub const MAX_TRIES: u8 = 10;

/// Packets waited for at once. Beyond, nothing is repaired in time, and a key frame is the cheaper cure.
pub const MAX_MISSING: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: i64,
    due_at: Instant,
    tries: u8,
}

/// Generic NACK for one received RTP stream (RFC 4585 section 6.2.1), with retries by the round trip.
#[derive(Debug)]
pub struct NackGenerator {
    highest: Option<i64>,
    /// Ascending: only numbers above all others are ever added.
    missing: VecDeque<Missing>,
    retry_ns: i64,
    due_at: Option<Instant>,
    nack_count: u64,
}

impl Default for NackGenerator {
    fn default() -> Self {
        Self::new()
    }
}

impl NackGenerator {
    /// Of a stream that nothing came of yet.
    pub const fn new() -> Self {
        Self {
            highest: None,
            missing: VecDeque::new(),
            retry_ns: DEFAULT_ROUND_TRIP_NS,
            due_at: None,
            nack_count: 0,
        }
    }

    /// Packets asked for so far, each as often as it was asked for.
    pub const fn nack_count(&self) -> u64 {
        self.nack_count
    }

    /// Packets waited for now.
    pub fn missing_count(&self) -> usize {
        self.missing.len()
    }

    /// The publisher's round trip as measured; times the retries from now on.
    pub fn set_round_trip_time(&mut self, round_trip_ns: i64) {
        self.retry_ns = round_trip_ns.clamp(MIN_RETRY_NS, MAX_ROUND_TRIP_NS);
    }

    /// A packet came, by itself or repaired.
    ///
    /// True when too much is missing to ask for: all is forgotten, and only a key frame helps.
    pub fn received(&mut self, now: Instant, seq: i64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return false;
        };
        if seq <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&seq, |missing| missing.seq) {
                self.missing.remove(at);
            }
            return false;
        }
        self.highest = Some(seq);
        let first = highest + 1;
        if seq - first + self.missing.len() as i64 > MAX_MISSING as i64 {
            self.clear();
            return true;
        }
        if first < seq {
            let due_at = now.after_ms(REORDER_TOLERANCE_MS);
            self.missing.extend((first..seq).map(|seq| Missing { seq, due_at, tries: 0 }));
            self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
        }
        false
    }

    /// What is missing will not come any more: the stream has ended, or goes on with a key frame.
    pub fn clear(&mut self) {
        self.missing.clear();
    }

    /// Append the sequence numbers to ask for now to `asked`, ascending; those asked for `MAX_TRIES` times
    /// are given up.
    pub fn poll(&mut self, now: Instant, asked: &mut Vec<i64>) {
        if self.due_at.is_none_or(|due_at| now < due_at) {
            return;
        }
        let (first, retry_at) = (asked.len(), now.after_ns(self.retry_ns));
        self.missing.retain_mut(|missing| {
            if now < missing.due_at {
                return true;
            }
            if missing.tries == MAX_TRIES {
                return false;
            }
            missing.tries += 1;
            missing.due_at = retry_at;
            asked.push(missing.seq);
            true
        });
        self.due_at = self.missing.iter().map(|missing| missing.due_at).min();
        self.nack_count += (asked.len() - first) as u64;
    }

    /// When `poll` may have something to say; `None` while nothing is missing.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.missing.is_empty() { None } else { self.due_at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const WRAPS: [i64; 4] = [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1];
    const START: Instant = Instant(0);
    const DUE: Instant = START.after_ms(REORDER_TOLERANCE_MS);

    fn fed(seqs: &[i64]) -> NackGenerator {
        let mut nack = NackGenerator::default();
        for seq in seqs {
            assert!(!nack.received(START, *seq));
        }
        nack
    }

    fn polled(nack: &mut NackGenerator, now: Instant) -> Vec<i64> {
        let mut asked = Vec::new();
        nack.poll(now, &mut asked);
        asked
    }

    #[test]
    fn nothing_is_asked_for_while_nothing_is_missing() {
        let mut nack = fed(&[1, 2, 3]);
        assert_eq!(nack.next_timeout(), None);
        assert_eq!(polled(&mut nack, DUE), []);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_asked_for_after_the_tolerance(start in select(&WRAPS[..]), gap in 1..50i64) {
            let mut nack = fed(&[start, start + gap + 1]);
            prop_assert_eq!(nack.next_timeout(), Some(DUE));
            prop_assert_eq!(polled(&mut nack, DUE.after_ns(-1)), []);
            prop_assert_eq!(polled(&mut nack, DUE), (start + 1..=start + gap).collect::<Vec<_>>());
            prop_assert_eq!(nack.nack_count(), gap as u64);
        }
    }

    #[test]
    fn a_reordered_packet_is_not_asked_for() {
        let mut nack = fed(&[1, 3]);
        assert_eq!(nack.missing_count(), 1);
        nack.received(START, 2);
        assert_eq!(nack.missing_count(), 0);
        assert_eq!(nack.next_timeout(), None);
        assert_eq!(polled(&mut nack, DUE), []);
    }

    #[test]
    fn packets_from_before_the_first_are_not_of_interest() {
        assert_eq!(fed(&[10, 5, 11]).missing_count(), 0);
    }

    #[test]
    fn a_request_is_repeated_after_a_round_trip() {
        for (measured_ns, retry_ns) in [
            (None, DEFAULT_ROUND_TRIP_NS),
            (Some(NS_PER_MS), MIN_RETRY_NS),
            (Some(50 * NS_PER_MS), 50 * NS_PER_MS),
            (Some(i64::MAX), MAX_ROUND_TRIP_NS),
        ] {
            let mut nack = fed(&[1, 3]);
            if let Some(measured_ns) = measured_ns {
                nack.set_round_trip_time(measured_ns);
            }
            assert_eq!(polled(&mut nack, DUE), [2]);
            let again = DUE.after_ns(retry_ns);
            assert_eq!(nack.next_timeout(), Some(again));
            assert_eq!(polled(&mut nack, again.after_ns(-1)), []);
            assert_eq!(polled(&mut nack, again), [2]);
        }
    }

    #[test]
    fn a_packet_is_given_up_after_so_many_tries() {
        let mut nack = fed(&[1, 3]);
        let mut asked = Vec::new();
        while let Some(due_at) = nack.next_timeout() {
            nack.poll(due_at, &mut asked);
        }
        assert_eq!(asked, [2; MAX_TRIES as usize]);
        assert_eq!(nack.nack_count(), u64::from(MAX_TRIES));
        assert_eq!(nack.missing_count(), 0);
    }

    #[test]
    fn each_gap_keeps_its_own_time() {
        let mut nack = fed(&[1, 3]);
        let later = START.after_ms(5);
        nack.received(later, 5);
        assert_eq!(polled(&mut nack, DUE), [2]);
        let due_at = later.after_ms(REORDER_TOLERANCE_MS);
        assert_eq!(nack.next_timeout(), Some(due_at));
        assert_eq!(polled(&mut nack, due_at), [4]);
    }

    #[test]
    fn a_jump_too_wide_to_repair_asks_for_a_key_frame_instead() {
        for jump in [MAX_MISSING as i64 + 2, 30_000, 1 << 40] {
            let mut nack = fed(&[1, 3]);
            assert!(nack.received(START, 3 + jump));
            assert_eq!(nack.missing_count(), 0);
            assert_eq!(nack.next_timeout(), None);
            assert_eq!(polled(&mut nack, DUE), []);
            assert!(!nack.received(START, 4 + jump));
        }
    }

    #[test]
    fn the_missing_are_bounded() {
        let most = MAX_MISSING as i64;
        let mut nack = fed(&[0, most + 1]);
        assert_eq!(nack.missing_count(), MAX_MISSING);
        assert!(!nack.received(START, most + 2));
        assert!(nack.received(START, most + 4));
        assert_eq!(nack.missing_count(), 0);
    }
}
