//! Which packets of a stream have been: never one twice, and none that is too old to tell.

/// Packets (RFC 3711 section 3.3.2). Lower: bursts that were reordered by much are taken for replays.
/// libsrtp's own 128 are 50 ms of a key frame at 30 Mbit/s.
pub(crate) const RTP_WINDOW: u64 = 1_024;

/// SRTCP packets. Reports are few and seldom reordered; libsrtp has no other.
const RTCP_WINDOW: u32 = 128;

const WORDS: usize = RTP_WINDOW as usize / 64;
const HALF: i64 = 1 << 15;

/// A number stands behind the window, or was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replayed;

/// The packets of one SSRC by index: roll-over counter ‖ sequence number.
#[derive(Clone, Debug, Default)]
pub(crate) struct RtpWindow {
    highest: u64,
    /// A ring: index `i` has bit `i % 1024`.
    seen: [u64; WORDS],
}

impl RtpWindow {
    /// The index that a sequence number most likely means (RFC 3711 section 3.3.1), as libsrtp estimates it.
    #[inline]
    pub(crate) fn estimate(&self, sequence_number: u16) -> u64 {
        let number = u64::from(sequence_number);
        if self.highest <= HALF as u64 {
            return number; // before the first half of the numbers is through, none can be of a roll-over before
        }
        let ahead = number as i64 - (self.highest & 0xffff) as i64;
        let base = self.highest & !0xffff;
        match ahead {
            _ if ahead > HALF => base + number - 0x1_0000,
            _ if ahead < -HALF => base + number + 0x1_0000,
            _ => base + number,
        }
    }

    /// Whether a packet of this index may still come.
    #[inline]
    pub(crate) fn check(&self, index: u64) -> Result<(), Replayed> {
        if index > self.highest {
            return Ok(());
        }
        let is_old = self.highest - index >= RTP_WINDOW;
        if is_old || self.seen[word(index)] & bit(index) != 0 { Err(Replayed) } else { Ok(()) }
    }

    /// Note a packet that passed `check`.
    #[inline]
    pub(crate) fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest > 1 {
                self.forget_between(index);
            }
            // Where the ring comes round, the bit of the packet 1,024 before is overwritten by this one's.
            self.highest = index;
        }
        self.seen[word(index)] |= bit(index);
    }

    fn forget_between(&mut self, index: u64) {
        if index - self.highest >= RTP_WINDOW {
            self.seen = [0; WORDS];
        } else {
            for skipped in self.highest + 1..index {
                self.seen[word(skipped)] &= !bit(skipped);
            }
        }
    }
}

/// The SRTCP packets of one SSRC by their explicit index.
#[derive(Clone, Debug, Default)]
pub(crate) struct RtcpWindow {
    start: u32,
    seen: u128,
}

impl RtcpWindow {
    /// Whether a packet of this index may still come.
    pub(crate) fn check(&self, index: u32) -> Result<(), Replayed> {
        match index.checked_sub(self.start) {
            Some(offset) if offset >= RTCP_WINDOW || self.seen >> offset & 1 == 0 => Ok(()),
            _ => Err(Replayed),
        }
    }

    /// Note a packet that passed `check`.
    pub(crate) fn accept(&mut self, index: u32) {
        let offset = index - self.start;
        let shift = offset.saturating_sub(RTCP_WINDOW - 1);
        self.seen = self.seen.checked_shr(shift).unwrap_or(0) | 1 << (offset - shift);
        self.start += shift;
    }
}

#[inline]
const fn word(index: u64) -> usize {
    (index % RTP_WINDOW / 64) as usize
}

#[inline]
const fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn offer(window: &mut RtpWindow, sequence_number: u16) -> Result<u64, Replayed> {
        let index = window.estimate(sequence_number);
        window.check(index)?;
        window.accept(index);
        Ok(index)
    }

    #[test]
    fn a_packet_passes_once() {
        let mut window = RtpWindow::default();
        assert_eq!(offer(&mut window, 0), Ok(0));
        assert_eq!(offer(&mut window, 0), Err(Replayed));
        assert_eq!(offer(&mut window, 7), Ok(7));
        assert_eq!(offer(&mut window, 6), Ok(6));
        assert_eq!(offer(&mut window, 6), Err(Replayed));
    }

    #[test]
    fn what_stands_just_within_the_window_passes_and_one_further_does_not() {
        let mut window = RtpWindow::default();
        assert!(offer(&mut window, 5_000).is_ok());
        assert!(offer(&mut window, 5_000 - 1_023).is_ok());
        assert!(offer(&mut window, 5_000 - 1_024).is_err());
    }

    #[test]
    fn a_long_jump_forgets_what_the_ring_held() {
        for jump in [1_023, 1_024, 1_025, 3_000] {
            let mut window = RtpWindow::default();
            for number in 0..1_024 {
                assert!(offer(&mut window, number).is_ok());
            }
            assert!(offer(&mut window, 1_023 + jump).is_ok());
            for number in 1_024..1_023 + jump {
                assert_eq!(
                    offer(&mut window, number).is_ok(),
                    1_023 + jump - number < 1_024,
                    "{jump} {number}"
                );
            }
        }
    }

    #[test]
    fn a_roll_over_is_counted_and_late_packets_belong_before_it() {
        let mut window = RtpWindow::default();
        assert_eq!(offer(&mut window, 65_534), Ok(65_534));
        assert_eq!(offer(&mut window, 1), Ok(65_537));
        assert_eq!(offer(&mut window, 65_535), Ok(65_535));
        assert_eq!(offer(&mut window, 0), Ok(65_536));
        assert_eq!(offer(&mut window, 32_768), Ok(65_536 + 32_768));
        assert_eq!(offer(&mut window, 65_535), Ok(65_536 + 65_535));
        assert_eq!(offer(&mut window, 0), Ok(2 * 65_536));
    }

    proptest! {
        #[test]
        fn the_window_remembers_what_a_set_would(
            start in prop::sample::select(vec![0_u16, 32_767, 32_768, 65_535]),
            steps in prop::collection::vec(-1_500_i64..1_600, 1..400),
        ) {
            let mut window = RtpWindow::default();
            let (mut seen, mut highest) = (HashSet::new(), i64::from(start));
            prop_assert!(offer(&mut window, start).is_ok());
            seen.insert(highest);
            for step in steps {
                let at = (highest + step).max(0);
                let is_new = at > highest || (highest - at < 1_024 && !seen.contains(&at));
                let outcome = offer(&mut window, at as u16);
                prop_assert_eq!(outcome, if is_new { Ok(at as u64) } else { Err(Replayed) });
                seen.insert(at);
                highest = highest.max(at);
            }
        }

        #[test]
        fn the_rtcp_window_remembers_what_a_set_would(indices in prop::collection::vec(0_u32..600, 1..300)) {
            let mut window = RtcpWindow::default();
            let (mut seen, mut start) = (HashSet::new(), 0);
            for index in indices {
                let passes = index >= start && !seen.contains(&index);
                prop_assert_eq!(window.check(index).is_ok(), passes);
                if passes {
                    window.accept(index);
                    seen.insert(index);
                    start = start.max((index + 1).saturating_sub(RTCP_WINDOW));
                }
            }
        }
    }

    #[test]
    fn the_last_of_all_rtcp_numbers_passes_once() {
        let mut window = RtcpWindow::default();
        let last = 0x7fff_ffff;
        assert_eq!(window.check(last), Ok(()));
        window.accept(last);
        assert_eq!(window.check(last), Err(Replayed));
        assert_eq!(window.check(last - 127), Ok(()));
        assert_eq!(window.check(last - 128), Err(Replayed));
    }
}
