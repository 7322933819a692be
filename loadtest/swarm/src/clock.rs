//! Times are nanoseconds of `CLOCK_MONOTONIC`; this is where they meet str0m's `Instant`.
//!
//! Publisher and receivers may live in different processes of one machine, and a stamp in a payload has
//! to mean the same to both: `std::time::Instant` hides its number, so the number comes first here.

use std::time::{Duration, Instant};

/// One moment, known as an `Instant` and as a number.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_ns: i64,
}

impl Clock {
    /// A clock of which one moment is known both ways.
    pub fn new(origin: Instant, origin_ns: i64) -> Self {
        Self { origin, origin_ns }
    }

    /// The `Instant` of a number; what lies before the origin becomes the origin.
    pub fn instant(&self, at_ns: i64) -> Instant {
        self.origin + Duration::from_nanos((at_ns - self.origin_ns).max(0) as u64)
    }

    /// The number of an `Instant`; far futures saturate.
    pub fn nanos(&self, at: Instant) -> i64 {
        match at.checked_duration_since(self.origin) {
            Some(after) => {
                i64::try_from(after.as_nanos()).map_or(i64::MAX, |ns| self.origin_ns.saturating_add(ns))
            }
            None => self.origin_ns - self.origin.duration_since(at).as_nanos() as i64,
        }
    }
}

/// How far `CLOCK_REALTIME`, in which the kernel stamps datagrams, is ahead of `CLOCK_MONOTONIC`.
///
/// It moves when the time of day is set, hence measured anew at each drain.
#[derive(Debug, Clone, Copy)]
pub struct WallOffset {
    ahead_ns: i64,
}

impl WallOffset {
    /// The offset from a reading of both clocks.
    pub fn new(monotonic_ns: i64, real_ns: i64) -> Self {
        Self { ahead_ns: real_ns - monotonic_ns }
    }

    /// When the kernel took a datagram; without a stamp of its own, or with one from the future, now.
    pub fn arrival(&self, stamp_ns: Option<i64>, now_ns: i64) -> i64 {
        stamp_ns.map_or(now_ns, |stamp| (stamp - self.ahead_ns).min(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_the_way_to_instant_and_back() {
        let clock = Clock::new(Instant::now(), 1_000);
        assert_eq!(clock.nanos(clock.instant(5_000_000_123)), 5_000_000_123);
    }

    #[test]
    fn moments_before_the_origin_keep_their_order() {
        let before = Instant::now();
        let origin = before + Duration::from_secs(2);
        let clock = Clock::new(origin, 7_000_000_000);
        assert_eq!(clock.nanos(before), 5_000_000_000);
        assert_eq!(clock.instant(0), origin);
    }

    #[test]
    fn a_kernel_stamp_loses_the_offset_between_the_clocks() {
        let offset = WallOffset::new(1_000, 1_700_000_000_000_001_000);
        assert_eq!(offset.arrival(Some(1_700_000_000_000_000_500), 1_000), 500);
    }

    #[test]
    fn an_arrival_is_never_in_the_future_and_needs_no_stamp() {
        let offset = WallOffset::new(0, 0);
        assert_eq!(offset.arrival(Some(20), 10), 10);
        assert_eq!(offset.arrival(None, 10), 10);
    }
}
