//! NTP timestamps of RTCP (RFC 3550 section 4).
//!
//! Seconds and what is left of them are converted apart: exact, and without a division of 128 bits.

use focus_units::NS_PER_S;

/// Seconds from 1900, where NTP starts, to 1970.
pub const NTP_UNIX_OFFSET_S: i64 = 2_208_988_800;

/// Nanoseconds since 1900 of a 64-bit NTP timestamp (32.32 fixed-point seconds).
pub const fn ntp_to_ns(ntp: u64) -> i64 {
    let fraction = (ntp & 0xFFFF_FFFF) as i64;
    (ntp >> 32) as i64 * NS_PER_S + ((fraction * NS_PER_S) >> 32)
}

/// The 64-bit NTP timestamp of nanoseconds since 1900; wraps after 136 years as NTP does.
pub const fn ns_to_ntp(ns: i64) -> u64 {
    let (seconds, rest) = (ns.div_euclid(NS_PER_S), ns.rem_euclid(NS_PER_S));
    (seconds as u64) << 32 | ((rest << 32) / NS_PER_S) as u64
}

/// The middle 32 of 64 bits, as in LSR (section 6.4.1).
pub const fn middle_bits(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// A short duration in units of 1/65536 s, as in DLSR; capped at its 32 bits, none where it is negative.
pub fn ns_to_compact(ns: i64) -> u32 {
    let (seconds, rest) = (ns.div_euclid(NS_PER_S), ns.rem_euclid(NS_PER_S));
    ((seconds << 16) + (rest << 16) / NS_PER_S).clamp(0, u32::MAX.into()) as u32
}

/// Nanoseconds of a duration in units of 1/65536 s.
pub const fn compact_to_ns(compact: u32) -> i64 {
    (compact as i64 * NS_PER_S) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_survives_ntp_to_the_nanosecond(ns in 0..(1_i64 << 32) * NS_PER_S) {
            prop_assert!((ns - 1..=ns).contains(&ntp_to_ns(ns_to_ntp(ns))));
        }

        #[test]
        fn conversions_are_those_of_plain_wide_arithmetic(ntp: u64, ns: i64, compact: u32) {
            let second = i128::from(NS_PER_S);
            prop_assert_eq!(i128::from(ntp_to_ns(ntp)), (i128::from(ntp) * second) >> 32);
            let wide = (i128::from(ns) << 32).div_euclid(second) & i128::from(u64::MAX);
            prop_assert_eq!(i128::from(ns_to_ntp(ns)), wide);
            let short = (i128::from(ns) << 16).div_euclid(second).clamp(0, u32::MAX.into());
            prop_assert_eq!(i128::from(ns_to_compact(ns)), short);
            prop_assert_eq!(i128::from(compact_to_ns(compact)), (i128::from(compact) * second) >> 16);
        }

        #[test]
        fn a_duration_survives_to_its_unit(ns in 0..=60_000 * NS_PER_S) {
            prop_assert!((0..=NS_PER_S >> 16).contains(&(ns - compact_to_ns(ns_to_compact(ns)))));
        }
    }

    #[test]
    fn seconds_stand_in_the_upper_half() {
        assert_eq!(ns_to_ntp(3 * NS_PER_S / 2), 1 << 32 | 1 << 31);
        assert_eq!(ntp_to_ns((NTP_UNIX_OFFSET_S as u64) << 32), 2_208_988_800 * NS_PER_S);
    }

    #[test]
    fn ntp_wraps_after_136_years() {
        assert_eq!(ns_to_ntp(((1 << 32) + 5) * NS_PER_S), 5 << 32);
    }

    #[test]
    fn the_middle_bits_are_those_of_a_last_sender_report() {
        assert_eq!(middle_bits(0x0123_4567_89AB_CDEF), 0x4567_89AB);
    }

    #[test]
    fn a_duration_is_capped() {
        assert_eq!(ns_to_compact(NS_PER_S), 65_536);
        assert_eq!(ns_to_compact(70_000 * NS_PER_S), u32::MAX);
        assert_eq!(ns_to_compact(-1), 0);
    }
}
