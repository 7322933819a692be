//! Where the clock of one received RTP stream stands on its publisher's NTP clock.

use focus_units::{Instant, NS_PER_S};

/// Values called `_fixed` count 2⁻³² ticks, so that no switch loses a fraction of one.
pub const TICK_BITS: u32 = 32;

#[derive(Clone, Copy, Debug)]
struct Report {
    ntp: u64,
    ts: i64,
    at: Instant,
}

/// The RTP clock of one received stream, fixed by its sender reports (RFC 3550 section 6.4.1).
///
/// An `ntp` is a 64-bit NTP timestamp as on the wire: seconds in the upper half. Only differences count, so
/// the era that begins in 2036 does no harm.
#[derive(Clone, Copy, Debug)]
pub struct StreamClock {
    clock_rate: u32,
    first_at: Instant,
    ts: i64,
    report: Option<Report>,
}

impl StreamClock {
    /// The clock of a stream whose first packet arrived `now` with this unwrapped timestamp.
    ///
    /// `clock_rate` is ticks a second, at least one.
    pub const fn new(clock_rate: u32, now: Instant, ts: i64) -> Self {
        Self { clock_rate, first_at: now, ts, report: None }
    }

    /// Ticks a second.
    pub const fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// When the first packet arrived.
    pub const fn first_at(&self) -> Instant {
        self.first_at
    }

    /// A sender report has come.
    pub const fn has_report(&self) -> bool {
        self.report.is_some()
    }

    /// A packet came; tells where a report's 32-bit timestamp lies.
    pub fn received(&mut self, ts: i64) {
        self.ts = self.ts.max(ts);
    }

    /// A sender report arrived: `timestamp` (32 bits, as on the wire) was the clock's at `ntp`.
    pub fn sender_report(&mut self, now: Instant, ntp: u64, timestamp: u32) {
        let ahead = timestamp.wrapping_sub(self.ts as u32) as i32;
        self.report = Some(Report { ntp, ts: self.ts + i64::from(ahead), at: now });
    }

    /// The publisher's NTP time of a timestamp; `None` before the first report.
    pub fn ntp_of(&self, ts: i64) -> Option<u64> {
        let report = self.report?;
        Some(report.ntp.wrapping_add(ntp_units(ts - report.ts, i64::from(self.clock_rate))))
    }

    /// The unwrapped timestamp at an NTP time of the publisher; `None` before the first report.
    pub fn ts_fixed_of(&self, ntp: u64) -> Option<i128> {
        let report = self.report?;
        let ahead = ntp.wrapping_sub(report.ntp) as i64;
        Some((i128::from(report.ts) << TICK_BITS) + i128::from(ahead) * i128::from(self.clock_rate))
    }

    /// The publisher's NTP time now, as late as its report was; `None` before the first report.
    pub fn ntp_at(&self, now: Instant) -> Option<u64> {
        let report = self.report?;
        Some(report.ntp.wrapping_add(ntp_units(now - report.at, NS_PER_S)))
    }
}

/// A duration of so many units as a difference of NTP timestamps, rounded down.
///
/// `units << 32` does not fit 64 bits after a second or two; whole seconds and the rest do.
fn ntp_units(units: i64, per_second: i64) -> u64 {
    let (seconds, rest) = (units.div_euclid(per_second) as u64, units.rem_euclid(per_second) as u64);
    (seconds << 32).wrapping_add((rest << 32) / per_second as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant(5_000_000_000);
    const NTP: u64 = 0xE000_0000_0000_0000;
    const RATE: u32 = 90_000;
    const TURN: i64 = 1 << 32;

    fn reported(ntp: u64) -> StreamClock {
        let mut clock = StreamClock::new(RATE, START, TURN);
        clock.sender_report(START, ntp, 0);
        clock
    }

    #[test]
    fn without_a_report_nothing_is_known() {
        let clock = StreamClock::new(RATE, START, 0);
        assert!(!clock.has_report());
        assert_eq!(clock.first_at(), START);
        assert_eq!(clock.clock_rate(), RATE);
        assert_eq!(clock.ntp_of(0), None);
        assert_eq!(clock.ts_fixed_of(NTP), None);
        assert_eq!(clock.ntp_at(START), None);
    }

    proptest! {
        #[test]
        fn a_timestamp_goes_to_ntp_and_back(ticks in -900_000..=900_000i64) {
            let clock = reported(NTP);
            let ts = TURN + ticks;
            let fixed = clock.ts_fixed_of(clock.ntp_of(ts).unwrap()).unwrap();
            prop_assert!((fixed - (i128::from(ts) << TICK_BITS)).abs() <= i128::from(RATE));
        }

        #[test]
        fn durations_are_what_wide_numbers_say(units in any::<i64>(), per_second in 1..=NS_PER_S) {
            let wide = (i128::from(units) << 32).div_euclid(i128::from(per_second));
            prop_assert_eq!(ntp_units(units, per_second), wide as u64);
        }
    }

    #[test]
    fn a_report_lies_near_the_last_packet_across_the_wrap() {
        for (last_ts, timestamp, ts) in [
            (TURN - 1, 5, TURN + 5),
            (TURN + 1, u32::MAX - 4, TURN - 5),
            (3 * TURN + (1 << 31) - 1, 1 << 31, 3 * TURN + (1 << 31)),
        ] {
            let mut clock = StreamClock::new(RATE, START, 0);
            clock.received(last_ts);
            clock.received(0);
            clock.sender_report(START, NTP, timestamp);
            assert_eq!(clock.ntp_of(ts), Some(NTP));
        }
    }

    #[test]
    fn a_later_report_replaces_the_one_before() {
        let mut clock = reported(NTP);
        clock.sender_report(START.after_s(1), NTP + (1 << 32), RATE + 5);
        assert!(clock.has_report());
        assert_eq!(clock.ntp_of(TURN + i64::from(RATE) + 5), Some(NTP + (1 << 32)));
    }

    #[test]
    fn the_publishers_clock_goes_on_after_its_report() {
        assert_eq!(reported(NTP).ntp_at(START.after_ms(1_500)), Some(NTP + (3 << 31)));
    }

    #[test]
    fn the_ntp_era_of_2036_does_no_harm() {
        let clock = reported(u64::MAX - u64::from(u32::MAX));
        assert_eq!(clock.ntp_at(START.after_s(2)), Some(1 << 32));
        let ts = i128::from(TURN + 2 * i64::from(RATE));
        assert_eq!(clock.ts_fixed_of(1 << 32), Some(ts << TICK_BITS));
    }
}
