use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const WRAPS: [i64; 4] = [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1];
const SSRC: Ssrc = Ssrc(0xCAFE);
const START: Instant = Instant(NS_PER_S);
const RATE: u32 = 90_000;
const DUPLICATE: Option<DropReason> = Some(DropReason::Duplicate);
const TOO_OLD: Option<DropReason> = Some(DropReason::TooOld);

fn receive(statistics: &mut ReceiveStatistics, seq: i64) -> Option<DropReason> {
    statistics.received(START, seq, 0, 100)
}

fn fed(seqs: &[i64]) -> ReceiveStatistics {
    let mut statistics = ReceiveStatistics::new(RATE);
    for seq in seqs {
        receive(&mut statistics, *seq);
    }
    statistics
}

fn block_of(statistics: &mut ReceiveStatistics) -> ReportBlock {
    statistics.report_block(START, SSRC).unwrap()
}

/// One packet after another, a frame of 20 ms each, some late by so many milliseconds.
fn paced(late_ms: impl Fn(i64) -> i64, count: i64) -> ReceiveStatistics {
    let mut statistics = ReceiveStatistics::new(RATE);
    for number in 0..count {
        statistics.received(START.after_ms(20 * number + late_ms(number)), number, 1_800 * number, 100);
    }
    statistics
}

#[test]
fn a_stream_without_packets_has_no_report() {
    let mut statistics = ReceiveStatistics::new(RATE);
    assert_eq!(statistics.report_block(START, SSRC), None);
    assert_eq!(statistics.highest_seq(), None);
    assert_eq!(statistics.last_received_at(), None);
    assert_eq!(statistics.packets_lost(), 0);
}

proptest! {
    #[test]
    fn what_did_not_come_is_lost_in_whatever_order_the_rest_came(
        start in select(&WRAPS[..]),
        (received, order) in vec(any::<bool>(), 0..300).prop_flat_map(|received| {
            let numbers: Vec<i64> = (1..).take(received.len()).collect();
            (Just(received), Just(numbers).prop_shuffle())
        }),
    ) {
        let mut middle = order;
        middle.retain(|number| received[*number as usize - 1]);
        let last = start + received.len() as i64 + 1;
        let mut statistics = fed(&[start]);
        for number in &middle {
            receive(&mut statistics, start + number);
        }
        receive(&mut statistics, last);
        let lost = (received.len() - middle.len()) as i64;
        let block = block_of(&mut statistics);
        prop_assert_eq!((statistics.packets_lost(), block.packets_lost), (lost, lost));
        prop_assert_eq!(i64::from(block.fraction_lost), 256 * lost / (received.len() as i64 + 2));
        prop_assert_eq!(i64::from(block.highest_sequence_number), last);
        prop_assert_eq!(statistics.packets_received(), middle.len() as u64 + 2);
        prop_assert_eq!(statistics.bytes_received(), 100 * statistics.packets_received());
        prop_assert_eq!(statistics.last_received_at(), Some(START));
        prop_assert_eq!(statistics.highest_seq(), Some(last));
    }

    #[test]
    fn a_packet_comes_once(start in select(&WRAPS[..]), back in 0..WINDOW) {
        let mut window = ReplayWindow::default();
        prop_assert_eq!(window.check(start), None);
        prop_assert_eq!(window.check(start + WINDOW), None);
        let again = if back == 0 { DUPLICATE } else { None };
        prop_assert_eq!(window.check(start + WINDOW - back), again);
        prop_assert_eq!(window.check(start + WINDOW - back), DUPLICATE);
        prop_assert_eq!(window.check(start), TOO_OLD);
    }

    #[test]
    fn the_window_agrees_with_a_set(
        start in select(&[-5_000, 0, (1 << 16) - 1, 1 << 40][..]),
        steps in vec(
            prop_oneof![4 => -70..80i64, 2 => -WINDOW..WINDOW + 70, 1 => -3 * WINDOW..3 * WINDOW],
            0..100,
        ),
    ) {
        let (mut window, mut seen, mut highest) = (ReplayWindow::new(), BTreeSet::new(), start);
        for step in steps {
            let seq = highest + step;
            let reason = window.check(seq);
            if seen.last().is_some_and(|highest| seq <= highest - WINDOW) {
                prop_assert_eq!(reason, TOO_OLD);
            } else {
                prop_assert_eq!(reason, if seen.insert(seq) { None } else { DUPLICATE });
            }
            highest = *seen.last().unwrap();
        }
    }

    #[test]
    fn ticks_are_what_wide_numbers_say(ns in -(1i64 << 60)..1 << 60, clock_rate in 1..200_000u32) {
        let wide = (i128::from(ns) * i128::from(clock_rate)).div_euclid(NS_PER_S.into());
        prop_assert_eq!(i128::from(ticks_of(Instant(ns), clock_rate)), wide);
    }
}

#[test]
fn a_jump_forgets_all_that_was_before() {
    let mut window = ReplayWindow::new();
    window.check(0);
    assert_eq!(window.check(1 << 60), None);
    assert_eq!(window.check((1 << 60) - WINDOW + 1), None);
    assert_eq!(window.seen.iter().map(|word| word.count_ones()).sum::<u32>(), 2);
}

#[test]
fn cycles_are_counted_from_the_first_packet() {
    for turn in [0, 1 << 16, 5 << 16] {
        let mut statistics = fed(&[turn + (1 << 16) - 1, turn + (1 << 16)]);
        assert_eq!(block_of(&mut statistics).highest_sequence_number, 0x1_0000);
    }
}

#[test]
fn the_fraction_lost_is_of_the_last_interval() {
    let mut statistics = fed(&[0, 1, 4]);
    assert_eq!(u32::from(block_of(&mut statistics).fraction_lost), 2 * 256 / 5);
    receive(&mut statistics, 5);
    let block = block_of(&mut statistics);
    assert_eq!((block.fraction_lost, block.packets_lost), (0, 2));
    assert_eq!(statistics.report_block(START, SSRC), None);
}

#[test]
fn late_packets_make_the_fraction_zero_not_negative() {
    let mut statistics = fed(&[0, 1, 4]);
    block_of(&mut statistics);
    receive(&mut statistics, 2);
    receive(&mut statistics, 3);
    let block = block_of(&mut statistics);
    assert_eq!((block.fraction_lost, block.packets_lost), (0, 0));
}

#[test]
fn packets_from_before_the_first_make_loss_negative_as_the_rfc_has_it() {
    assert_eq!(block_of(&mut fed(&[10, 8, 9])).packets_lost, -2);
}

#[test]
fn the_fraction_lost_fits_its_byte() {
    let mut statistics = fed(&[0]);
    block_of(&mut statistics);
    receive(&mut statistics, MAX_DROPOUT - 1);
    assert_eq!(block_of(&mut statistics).fraction_lost, 255);
}

#[test]
fn a_jump_of_a_source_that_started_anew_is_no_loss() {
    let mut statistics = fed(&[0, 1, 1 + MAX_DROPOUT, 2 + MAX_DROPOUT]);
    assert_eq!(statistics.packets_lost(), 0);
    assert_eq!(i64::from(block_of(&mut statistics).highest_sequence_number), 2 + MAX_DROPOUT);
    assert_eq!(fed(&[0, 1, MAX_DROPOUT]).packets_lost(), MAX_DROPOUT - 2);
}

#[test]
fn cumulative_loss_stays_in_its_24_bits() {
    let mut statistics = ReceiveStatistics::new(RATE);
    for number in 0..(1 << 23) / (MAX_DROPOUT - 1) + 10 {
        receive(&mut statistics, number * (MAX_DROPOUT - 1));
    }
    assert_eq!(block_of(&mut statistics).packets_lost, (1 << 23) - 1);
}

#[test]
fn duplicates_are_refused_and_not_counted() {
    let mut statistics = fed(&[1, 2]);
    assert_eq!(receive(&mut statistics, 2), DUPLICATE);
    assert_eq!(statistics.packets_received(), 2);
    assert_eq!(statistics.packets_lost(), 0);
}

#[test]
fn what_is_too_old_is_refused_and_not_counted() {
    let mut statistics = fed(&[0, 2_999]);
    assert_eq!(receive(&mut statistics, 1), TOO_OLD);
    assert_eq!(statistics.packets_received(), 2);
}

#[test]
fn a_repaired_packet_passes_once_and_stays_lost() {
    let mut statistics = fed(&[1, 3]);
    assert_eq!(statistics.repaired(2), None);
    assert_eq!(statistics.repaired(2), DUPLICATE);
    assert_eq!(statistics.packets_lost(), 1);
}

#[test]
fn the_original_behind_its_repair_counts_and_is_not_forwarded() {
    let mut statistics = fed(&[1, 3]);
    statistics.repaired(2);
    assert_eq!(receive(&mut statistics, 2), DUPLICATE);
    assert_eq!(statistics.packets_received(), 3);
    assert_eq!(statistics.packets_lost(), 0);
}

#[test]
fn a_repair_nobody_asked_for_is_refused() {
    let mut statistics = ReceiveStatistics::new(RATE);
    assert_eq!(statistics.repaired(1), TOO_OLD);
    receive(&mut statistics, 1);
    assert_eq!(statistics.repaired(1 + MAX_DROPOUT), TOO_OLD);
    assert_eq!(statistics.repaired(2), None);
    assert_eq!(receive(&mut statistics, 3), None);
}

fn assert_near(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 0.01 * expected, "{value}");
}

#[test]
fn a_steady_stream_has_no_jitter() {
    let mut statistics = paced(|_| 0, 50);
    assert_near(statistics.jitter_ms(), 0.0);
    assert_eq!(block_of(&mut statistics).jitter, 0);
}

#[test]
fn jitter_nears_the_mean_difference_in_transit() {
    let mut statistics = paced(|number| 10 * (number % 2), 500);
    assert_near(statistics.jitter_ms(), 10.0);
    assert_near(block_of(&mut statistics).jitter.into(), 900.0);
}

#[test]
fn one_step_of_jitter_is_a_sixteenth() {
    assert_near(paced(|number| 16 * number, 2).jitter_ms(), 1.0);
}

#[test]
fn a_clock_that_is_set_is_no_jitter() {
    let mut statistics = ReceiveStatistics::new(RATE);
    statistics.received(START, 0, 0, 100);
    for seq in [1, 2] {
        statistics.received(START, seq, i64::from(RATE) * 6, 100);
        assert_near(statistics.jitter_ms(), 0.0);
    }
}

#[test]
fn the_last_sender_report_is_named_with_its_age() {
    let mut statistics = fed(&[1]);
    assert_eq!(block_of(&mut statistics).last_sender_report, 0);
    statistics.sender_report(START, 0x1122_3344_5566_7788);
    receive(&mut statistics, 2);
    let block = statistics.report_block(START.after_ms(1_500), SSRC).unwrap();
    assert_eq!(block.last_sender_report, 0x3344_5566);
    assert_eq!(block.delay_since_last_sender_report, 65_536 * 3 / 2);
    assert_eq!(block.ssrc, SSRC);
}

#[test]
fn a_report_made_at_an_earlier_instant_has_no_negative_delay() {
    let mut statistics = fed(&[1]);
    statistics.sender_report(START, 1);
    let block = statistics.report_block(START.after_ns(-1), SSRC).unwrap();
    assert_eq!(block.delay_since_last_sender_report, 0);
}
