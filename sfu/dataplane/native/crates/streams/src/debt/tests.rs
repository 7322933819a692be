use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant(10_000 * NS_PER_S);
const AHEAD_NS: i64 = 4 * NS_PER_MS;
const BEHIND_NS: i64 = NS_PER_MS;

fn debt(rate_bps: f64) -> Debt {
    let mut made = Debt::new(AHEAD_NS, BEHIND_NS);
    made.set_rate(START, rate_bps);
    made
}

/// Nanoseconds after the start at which packets of 1,100 bytes leave that are there from the start on.
fn departures(mut debt: Debt, count: usize, late_ns: i64) -> Vec<i64> {
    let mut now = START;
    let mut left = Vec::new();
    for _ in 0..count {
        if !debt.admits(now, 1_100) {
            now = debt.admits_at(1_100).after_ns(late_ns);
        }
        assert!(debt.admits(now, 1_100));
        debt.charge(now, 1_100);
        left.push(now - START);
    }
    left
}

#[test]
fn without_a_rate_nothing_is_owed() {
    let mut free = Debt::new(AHEAD_NS, BEHIND_NS);
    for _ in 0..1_000 {
        assert!(free.admits(START, 1_500));
        free.charge(START, 1_500);
    }
    assert!(free.admits_at(1_500) <= START);
}

#[test]
fn packets_leave_as_the_design_says() {
    for (rate_bps, expected_us) in [
        (f64::INFINITY, &[0, 0, 0, 0, 0, 0][..]),
        (10_000_000.0, &[0, 0, 0, 0, 0, 280]),
        (2_000_000.0, &[0, 3_400, 7_800, 12_200]),
        (300_000.0, &[0, 28_333, 57_667, 87_000]),
    ] {
        let left = departures(debt(rate_bps), expected_us.len(), 0);
        assert_eq!(left.iter().map(|at| (at + 500) / 1_000).collect::<Vec<_>>(), expected_us);
    }
}

proptest! {
    #[test]
    fn no_interval_has_more_than_the_rate_and_five_ms_of_it_or_a_packet(
        rate_bps in MIN_RATE_BPS..1_000_000_000,
        packets in vec((1..=1_400usize, 0..30_000_000i64), 1..60),
    ) {
        let (mut paced, mut now, mut left) = (debt(rate_bps as f64), START, Vec::new());
        for (size_bytes, wait_ns) in &packets {
            now = now.after_ns(*wait_ns);
            if !paced.admits(now, *size_bytes) {
                now = now.max(paced.admits_at(*size_bytes));
            }
            paced.charge(now, *size_bytes);
            left.push((now, *size_bytes as i64));
        }
        let bits_of = |ns: i64| (i128::from(rate_bps) * i128::from(ns) / i128::from(NS_PER_S)) as i64;
        let largest = left.iter().map(|(_, size_bytes)| *size_bytes).max().unwrap();
        let burst_bits = bits_of(AHEAD_NS + BEHIND_NS).max(8 * largest) + bits_of(BEHIND_NS);
        for (first, (from, _)) in left.iter().enumerate() {
            let mut total = 0;
            for (at, size_bytes) in &left[first..] {
                total += size_bytes;
                prop_assert!(8 * total <= bits_of(*at - *from) + burst_bits + 8);
            }
        }
    }

    #[test]
    fn one_instant_has_five_ms_of_the_rate_or_one_packet(
        rate_bps in MIN_RATE_BPS..100_000_000, size_bytes in 100..=1_400usize,
    ) {
        let (mut paced, mut sent) = (debt(rate_bps as f64), 0);
        while paced.admits(START, size_bytes) {
            paced.charge(START, size_bytes);
            sent += 1;
        }
        prop_assert!(sent == 1 || sent * size_bytes as i64 * 8 <= rate_bps * 5 / 1_000);
    }

    #[test]
    fn timers_that_are_late_by_a_millisecond_cost_nothing_of_the_rate(
        rate_bps in MIN_RATE_BPS..1_000_000_000, late_ns in 0..=BEHIND_NS,
    ) {
        let in_time = departures(debt(rate_bps as f64), 200, 0);
        let late = departures(debt(rate_bps as f64), 200, late_ns);
        prop_assert!(late[199] <= in_time[199] + late_ns);
    }
}

#[test]
fn what_is_sent_without_being_admitted_is_owed_but_not_for_ever() {
    let mut paced = debt(1_000_000.0);
    paced.charge(START, 12_500);
    assert_eq!(paced.admits_at(1_250), START.after_ms(99));
    for _ in 0..100 {
        paced.charge(START, 12_500);
    }
    assert_eq!(paced.paid_at(), START.after_ms(MAX_DEBT_MS));
}

#[test]
fn another_rate_leaves_as_many_bytes_owed() {
    let mut paced = debt(1_000_000.0);
    paced.charge(START, 2_500);
    assert_eq!(paced.paid_at(), START.after_ms(19));
    for (rate_bps, owed_ns) in [
        (2_000_000.0, 9_500_000),
        (3_000_000.0, 6_333_334),
        (MIN_RATE_BPS as f64, MAX_DEBT_MS * NS_PER_MS),
        (f64::INFINITY, 0),
    ] {
        paced.set_rate(START, rate_bps);
        assert_eq!(paced.paid_at(), START.after_ns(owed_ns));
    }
}

#[test]
fn what_is_paid_stays_paid_at_any_rate() {
    let mut paced = debt(1_000_000.0);
    paced.charge(START, 1_250);
    let later = START.after_s(1);
    paced.set_rate(later, 50_000.0);
    assert!(paced.admits(later, 1_400));
}

#[test]
fn a_beginning_owes_nothing_and_has_nothing_in_advance() {
    let mut paced = Debt::new(0, BEHIND_NS);
    paced.set_rate(START, 8_000_000.0);
    paced.begin(START);
    assert!(paced.admits(START, 0));
    paced.charge(START, 1_000);
    assert_eq!(paced.admits_at(0), START.after_ms(1));
}

#[test]
fn rates_are_whole_and_not_below_the_least() {
    for (rate_bps, whole) in [
        (f64::NAN, Some(MIN_RATE_BPS)),
        (f64::NEG_INFINITY, Some(MIN_RATE_BPS)),
        (0.0, Some(MIN_RATE_BPS)),
        (MIN_RATE_BPS as f64 - 0.5, Some(MIN_RATE_BPS)),
        (1_234_567.9, Some(1_234_567)),
        (MAX_RATE_BPS as f64 - 1.0, Some(MAX_RATE_BPS - 1)),
        (MAX_RATE_BPS as f64, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(whole_rate(rate_bps), whole, "{rate_bps}");
    }
}
