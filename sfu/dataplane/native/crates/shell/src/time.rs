//! What time it is: the only clock of the data plane.

use focus_units::Instant;

use crate::system::clock_ns;

/// Now.
pub(crate) fn now() -> Instant {
    Instant(clock_ns(libc::CLOCK_MONOTONIC))
}

/// How far the wall clock, by which the kernel stamps datagrams, is from ours. It may be set at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    now: Instant,
    ahead_ns: i64,
}

/// Two looks at the clocks are at one time where no more is between them. Lower: slow machines look in vain.
/// Higher: times of arrival are wrong by as much.
const MAX_APART_NS: i64 = 20 * focus_units::NS_PER_US;

/// Looks before the difference is taken as it is.
const MAX_LOOKS: usize = 3;

/// A datagram that seems to have waited longer was stamped by a clock that has been set since.
const MAX_KERNEL_DELAY_NS: i64 = 5 * focus_units::NS_PER_S;

impl WallClock {
    /// As both clocks stand now. Whoever lost the processor between the two looks again, else all that came with
    /// it would seem to have come at another time.
    pub(crate) fn read() -> Self {
        let mut before = now();
        for _ in 0..MAX_LOOKS {
            let wall_ns = clock_ns(libc::CLOCK_REALTIME);
            let after = now();
            if after - before <= MAX_APART_NS {
                return Self { now: after, ahead_ns: wall_ns - before.0 };
            }
            before = after;
        }
        Self { now: before, ahead_ns: clock_ns(libc::CLOCK_REALTIME) - before.0 }
    }

    /// The instant of a kernel's stamp; now, where there is none that can be believed.
    pub(crate) fn instant_of(self, stamp_ns: Option<i64>) -> Instant {
        stamp_ns
            .and_then(|stamp| stamp.checked_sub(self.ahead_ns))
            .filter(|at| at.abs_diff(self.now.0) <= MAX_KERNEL_DELAY_NS as u64)
            .map_or(self.now, Instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_moved_by_the_difference_of_the_clocks() {
        let clock = WallClock { now: Instant(10_000), ahead_ns: 1_000_000 };
        assert_eq!(clock.instant_of(Some(1_009_000)), Instant(9_000));
    }

    #[test]
    fn a_stamp_of_a_clock_that_was_set_is_not_believed() {
        let clock = WallClock { now: Instant(100 * MAX_KERNEL_DELAY_NS), ahead_ns: 0 };
        for ns in [-1, 1] {
            let edge = clock.now.0 + ns * MAX_KERNEL_DELAY_NS;
            assert_eq!(clock.instant_of(Some(edge)), Instant(edge));
            assert_eq!(clock.instant_of(Some(edge + ns)), clock.now);
        }
        assert_eq!(clock.instant_of(None), clock.now);
        assert_eq!(clock.instant_of(Some(i64::MIN)), clock.now);
    }

    #[test]
    fn time_goes_on() {
        assert!(now() <= WallClock::read().now);
    }
}
