use focus_units::Ssrc;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant(10_000_000_000_000);
/// The 24 bits of reference time.
const TURN_NS: i64 = (1 << 32) * DELTA_NS;

fn told(sender: &mut TwccSender, now: Instant, arrivals: &[(u16, Option<i64>)]) -> Vec<Reported> {
    let mut reported = Vec::new();
    let arrivals =
        arrivals.iter().map(|(number, ticks)| (*number, ticks.map(|ticks| ticks * DELTA_NS))).collect();
    let feedback =
        TransportFeedback { sender_ssrc: Ssrc(9), media_ssrc: Ssrc(10), feedback_count: 0, arrivals };
    sender.report(now, &feedback, &mut reported);
    reported
}

/// A sender that has sent so many packets, of 100 bytes and more, a millisecond apart from START on.
fn stamped(count: usize, first: usize) -> TwccSender {
    let mut sender = TwccSender::new();
    for _ in 0..first {
        sender.stamp(START, 1, 0);
    }
    for index in 0..count {
        sender.stamp(START.after_ms(index as i64), 100 + index, index as u32 % 3);
    }
    sender
}

#[test]
fn numbers_start_at_zero_and_wrap_at_16_bits_without_a_gap() {
    let mut sender = TwccSender::new();
    for seq in 0..(1 << 16) + 2 {
        assert_eq!(sender.next_number(), seq as u16);
        assert_eq!(sender.stamp(START, 1, 0), seq);
    }
}

#[test]
fn feedback_tells_of_each_packet_when_it_came_or_that_it_did_not() {
    let mut sender = stamped(3, 0);
    let arrivals = [(0, Some(5_000)), (1, None), (2, Some(5_004))];
    let rows = told(&mut sender, START.after_ms(100), &arrivals);
    let expected = [TURN_NS + 5_000 * DELTA_NS, LOST, TURN_NS + 5_004 * DELTA_NS];
    for ((row, arrived_at), index) in rows.iter().zip(expected).zip(0..) {
        let sent_at = START.after_ms(index.into());
        let row_of =
            Reported { seq: index.into(), cluster: index, size_bytes: 100 + index, sent_at, arrived_at };
        assert_eq!(*row, row_of);
    }
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_packet_that_was_lost_and_comes_after_all_is_told_again_and_nothing_else_is() {
    let mut sender = stamped(2, 0);
    assert_eq!(told(&mut sender, START, &[(0, None), (1, Some(1))])[0].arrived_at, LOST);
    assert_eq!(told(&mut sender, START, &[(0, None), (1, None)]), []);
    let again = told(&mut sender, START, &[(0, Some(2))]);
    assert_eq!((again[0].seq, again[0].arrived_at), (0, TURN_NS + 2 * DELTA_NS));
    assert_eq!(told(&mut sender, START, &[(0, Some(3)), (0, None)]), []);
}

#[test]
fn numbers_that_were_never_given_say_nothing() {
    assert_eq!(told(&mut TwccSender::new(), START, &[(0, Some(1)), (65_535, None)]), []);
    let unknown = [(2, Some(1)), (65_535, Some(1)), (3, None)];
    assert_eq!(told(&mut stamped(2, 0), START, &unknown), []);
}

#[test]
fn what_is_forgotten_says_nothing() {
    let mut sender = stamped(2, 0);
    for seq in [0, 0, 77, -1] {
        sender.forget(seq);
    }
    let rows = told(&mut sender, START, &[(0, Some(1)), (1, Some(1))]);
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1]);
}

#[test]
fn numbers_are_remembered_for_a_while_only() {
    let mut sender = stamped(MAX_NUMBERS + 1, 0);
    assert_eq!(told(&mut sender, START, &[(0, Some(1))]), []);
    assert_eq!(told(&mut sender, START, &[(1, Some(1))])[0].seq, 1);
    let late = START.after_ms(2).after_s(MAX_AGE_S);
    assert_eq!(told(&mut sender, late.after_ns(1), &[(2, Some(1))]), []);
    assert_eq!(told(&mut sender, late, &[(2, Some(1))]).len(), 1);
}

#[test]
fn memory_is_for_what_may_yet_be_heard_of() {
    let mut sender = TwccSender::new();
    for step in 0..100_000u32 {
        let now = START.after_ms(step.into());
        let seq = sender.stamp(now, 1_000, 0);
        // One in a hundred is lost, all others are told of at once.
        let arrival = (seq % 100 != 0).then_some(i64::from(step));
        told(&mut sender, now, &[(seq as u16, arrival)]);
    }
    assert!(sender.sent.capacity() <= MAX_NUMBERS);
    let mut sender = TwccSender::new();
    for step in 0..100_000u32 {
        let now = START.after_ms(i64::from(step) * 50);
        let seq = sender.stamp(now, 100, 0);
        if step % 2 == 0 {
            told(&mut sender, now, &[(seq as u16, Some(i64::from(step)))]);
        }
    }
    assert!(sender.sent.len() <= FORGET_AFTER_S as usize * 20 + 2);
}

#[test]
fn numbers_are_unwrapped() {
    for first in [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1] {
        let mut sender = stamped(4, first);
        let arrivals: Vec<_> = (0..4).map(|index| ((first + index) as u16, Some(index as i64))).collect();
        let seqs: Vec<i64> = told(&mut sender, START, &arrivals).iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (first as i64..first as i64 + 4).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn arrivals_keep_their_differences_over_the_turn_of_the_peers_clock(
        start in 0..1i64 << 32, steps in vec(-(1i64 << 14)..=1 << 30, 1..20),
    ) {
        let mut sender = stamped(steps.len() + 1, 0);
        let mut ticks = vec![start];
        for step in steps {
            ticks.push(ticks[ticks.len() - 1] + step);
        }
        let mut arrived = Vec::new();
        for (number, tick) in (0..).zip(&ticks) {
            arrived.extend(told(&mut sender, START, &[(number, Some(tick.rem_euclid(1 << 32)))]));
        }
        for (row, tick) in arrived.iter().zip(&ticks) {
            prop_assert_eq!(row.arrived_at - arrived[0].arrived_at, (tick - start) * DELTA_NS);
        }
    }
}

#[test]
fn a_peer_that_plays_with_its_clock_never_leaves_64_bits() {
    let mut sender = TwccSender::new();
    let (mut tick, mut highest) = (0u32, 0);
    for number in 0..3 * MAX_TICKS / (1 << 31) {
        sender.stamp(START, 1, 0);
        tick = tick.wrapping_add((1 << 31) - 1);
        let rows = told(&mut sender, START, &[(number as u16, Some(tick.into()))]);
        highest = highest.max(rows[0].arrived_at);
    }
    assert!(highest > 1 << 60);
    assert!(highest < MAX_TICKS * DELTA_NS);
}
