//! Answering NACKs: the RTX payload (RFC 4588) and which requests are honoured.

use std::collections::VecDeque;

use focus_units::{Instant, NS_PER_MS, ParseError};

use crate::cache::MAX_AGE_S;

/// How often one packet is sent again to one subscriber. More would feed the congestion that lost it.
pub const MAX_RESENDS: u8 = 3;

/// Longest time for which a second request for one packet is taken for an echo of the first.
pub const MAX_SPACING_NS: i64 = 100 * NS_PER_MS;

/// Packets whose resends are counted. More than a packet cache holds of full-sized packets.
pub const MAX_TRACKED: usize = 2_048;

/// Bytes sent again for each byte sent. Lower: a loss of a third is not repaired. Higher: a subscriber that
/// asks for everything multiplies its traffic.
pub const RESEND_SHARE: f64 = 0.5;

/// Resends that are possible at once, earned over time: a lost key frame of a high encoding.
pub const RESEND_BURST_BYTES: f64 = 150_000.0;

/// In front of an RTX payload stands the original sequence number.
pub const OSN_BYTES: usize = 2;

/// A resend is forgotten this long after: no cache has held the packet for half of it, so nobody can ask
/// again. Shorter: a clock that runs back a little would bring it back. Longer: more memory per route that
/// loses.
const FORGET_AFTER_S: i64 = 2 * MAX_AGE_S;

/// Append an RTX payload: the original sequence number, then the original payload (RFC 4588 section 4).
pub fn encapsulate(sequence_number: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&sequence_number.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The original sequence number and payload of an RTX payload (RFC 4588 section 4).
///
/// # Errors
///
/// `rtx_malformed`: there is no room for a sequence number.
pub fn decapsulate(payload: &[u8]) -> Result<(u16, &[u8]), ParseError> {
    match payload.split_first_chunk::<OSN_BYTES>() {
        Some((number, rest)) => Ok((u16::from_be_bytes(*number), rest)),
        None => Err(ParseError("rtx_malformed")),
    }
}

/// What one subscriber may be sent again, over all its streams: a share of what it was sent.
#[derive(Debug)]
pub struct ResendBudget {
    left_bytes: f64,
}

impl Default for ResendBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl ResendBudget {
    /// A burst is there from the start.
    pub const fn new() -> Self {
        Self { left_bytes: RESEND_BURST_BYTES }
    }

    /// A packet was sent for the first time.
    pub fn sent(&mut self, size_bytes: usize) {
        self.left_bytes = RESEND_BURST_BYTES.min(self.left_bytes + size_bytes as f64 * RESEND_SHARE);
    }

    /// Whether a packet of this size may be sent again now; it is taken for sent then.
    pub fn take(&mut self, size_bytes: usize) -> bool {
        let size_bytes = size_bytes as f64;
        if size_bytes > self.left_bytes {
            return false;
        }
        self.left_bytes -= size_bytes;
        true
    }
}

#[derive(Clone, Copy, Debug)]
struct Resent {
    seq: i64,
    at: Instant,
    /// Which packet this was of all that were ever sent again, modulo 2³².
    order: u32,
    count: u8,
}

/// Which packets one subscriber gets again: a few times, not while the last answer may be under way.
///
/// A quiet route holds no memory here, and one that loses holds what was lost in the last seconds.
#[derive(Debug, Default)]
pub struct ResendPolicy {
    /// Ascending by number.
    resent: VecDeque<Resent>,
    next_order: u32,
}

impl ResendPolicy {
    /// Nothing was sent again yet.
    pub const fn new() -> Self {
        Self { resent: VecDeque::new(), next_order: 0 }
    }

    /// Append the requested packets to send again now to `admitted`, in the order asked for; each counts as
    /// sent.
    ///
    /// Call it with what the cache holds, so that only packets that can be sent are counted. A packet is sent
    /// at most `MAX_RESENDS` times, and not sooner than the lesser of `MAX_SPACING_NS` and two round trips
    /// after the last time.
    pub fn answer(
        &mut self,
        now: Instant,
        seqs: &[i64],
        round_trip_ns: Option<i64>,
        admitted: &mut Vec<i64>,
    ) {
        let spacing_ns = round_trip_ns
            .map_or(MAX_SPACING_NS, |round_trip| MAX_SPACING_NS.min(round_trip.saturating_mul(2)));
        while self.resent.front().is_some_and(|oldest| now > oldest.at.after_s(FORGET_AFTER_S)) {
            self.resent.pop_front();
        }
        admitted.extend(seqs.iter().filter(|seq| self.admit(now, **seq, spacing_ns)));
    }

    fn admit(&mut self, now: Instant, seq: i64, spacing_ns: i64) -> bool {
        match self.resent.binary_search_by_key(&seq, |resent| resent.seq) {
            Ok(at) => {
                let resent = &mut self.resent[at];
                if resent.count >= MAX_RESENDS || now < resent.at.after_ns(spacing_ns) {
                    return false;
                }
                resent.count += 1;
                resent.at = now;
            }
            Err(at) => {
                self.resent.insert(at, Resent { seq, at: now, order: self.next_order, count: 1 });
                self.next_order = self.next_order.wrapping_add(1);
                if self.resent.len() > MAX_TRACKED {
                    self.forget_first();
                }
            }
        }
        true
    }

    /// Give up what was sent again before all others for the first time.
    fn forget_first(&mut self) {
        let age = |resent: &Resent| self.next_order.wrapping_sub(resent.order);
        if let Some((at, _)) = self.resent.iter().enumerate().max_by_key(|(_, resent)| age(resent)) {
            self.resent.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant(0);

    fn answered(
        policy: &mut ResendPolicy,
        now: Instant,
        seqs: &[i64],
        round_trip_ms: Option<i64>,
    ) -> Vec<i64> {
        let mut admitted = Vec::new();
        policy.answer(now, seqs, round_trip_ms.map(|ms| ms * NS_PER_MS), &mut admitted);
        admitted
    }

    proptest! {
        #[test]
        fn what_is_encapsulated_comes_out_again(number in any::<u16>(), payload in vec(any::<u8>(), 0..50)) {
            let mut out = Vec::new();
            encapsulate(number, &payload, &mut out);
            prop_assert_eq!(decapsulate(&out), Ok((number, &payload[..])));
        }

        #[test]
        fn any_payload_gives_a_packet_or_a_parse_error(payload in vec(any::<u8>(), 0..8)) {
            match decapsulate(&payload) {
                Err(error) => {
                    prop_assert_eq!(error, ParseError("rtx_malformed"));
                    prop_assert!(payload.len() < OSN_BYTES);
                }
                Ok((number, rest)) => {
                    let mut out = Vec::new();
                    encapsulate(number, rest, &mut out);
                    prop_assert_eq!(out, payload);
                }
            }
        }
    }

    #[test]
    fn the_original_number_comes_first_and_big_endian() {
        let mut out = Vec::new();
        encapsulate(0x1234, b"ab", &mut out);
        assert_eq!(out, b"\x12\x34ab");
    }

    #[test]
    fn a_first_request_is_answered_in_the_order_asked() {
        assert_eq!(answered(&mut ResendPolicy::new(), START, &[5, 3, 4], None), [5, 3, 4]);
    }

    #[test]
    fn an_echo_of_a_request_is_not_answered() {
        for (round_trip_ms, spacing_ns) in
            [(None, MAX_SPACING_NS), (Some(10), 20 * NS_PER_MS), (Some(80), MAX_SPACING_NS)]
        {
            let mut policy = ResendPolicy::new();
            assert_eq!(answered(&mut policy, START, &[1, 1], round_trip_ms), [1]);
            let again = START.after_ns(spacing_ns);
            assert_eq!(answered(&mut policy, again.after_ns(-1), &[1, 2], round_trip_ms), [2]);
            assert_eq!(answered(&mut policy, again, &[1], round_trip_ms), [1]);
        }
    }

    #[test]
    fn a_packet_is_sent_again_only_so_often() {
        let mut policy = ResendPolicy::new();
        let answers =
            [0, 200, 400, 600, 800].map(|ms| answered(&mut policy, START.after_ms(ms), &[1], None).len());
        assert_eq!(answers, [1, 1, 1, 0, 0]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_first_asked_for_goes_first() {
        let most = MAX_TRACKED as i64;
        let mut policy = ResendPolicy::new();
        answered(&mut policy, START, &(0..most + 9).rev().collect::<Vec<_>>(), None);
        assert_eq!(policy.resent.len(), MAX_TRACKED);
        assert_eq!(answered(&mut policy, START, &[0, most - 1, most], None), [most]);
    }

    #[test]
    fn what_no_cache_holds_any_more_is_forgotten() {
        let mut policy = ResendPolicy::new();
        for ms in 0..20 * FORGET_AFTER_S * 1_000 / 10 {
            answered(&mut policy, START.after_ms(10 * ms), &[ms], None);
        }
        assert!(policy.resent.len() as i64 <= FORGET_AFTER_S * 100 + 1);
    }

    fn taken(budget: &mut ResendBudget) -> usize {
        (0..1_000).filter(|_| budget.take(1_000)).count()
    }

    #[test]
    fn a_burst_is_sent_again_and_then_a_share_of_what_is_sent() {
        let mut budget = ResendBudget::new();
        assert_eq!(taken(&mut budget), 150);
        for _ in 0..10 {
            budget.sent(1_000);
        }
        assert_eq!(taken(&mut budget), 5);
    }

    #[test]
    fn what_was_earned_is_no_more_than_a_burst() {
        let mut budget = ResendBudget::default();
        for _ in 0..10_000 {
            budget.sent(1_000);
        }
        assert_eq!(taken(&mut budget), 150);
    }
}
