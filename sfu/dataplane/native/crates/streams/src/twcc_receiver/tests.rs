use focus_rtp::rtcp::{RtcpPacket, parse_compound, serialise};
use focus_units::NS_PER_US;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const WRAPS: [u16; 4] = [0, (1 << 15) - 1, 1 << 15, u16::MAX];
const OURS: Ssrc = Ssrc(1);
const THEIRS: Ssrc = Ssrc(0xBEEF);
const START: Instant = Instant(64_000_000 * NS_PER_US);

type Entries = Vec<(u16, Option<i64>)>;

fn receive(receiver: &mut TwccReceiver, number: u16) {
    receiver.received(START, THEIRS, number);
}

fn polled(receiver: &mut TwccReceiver) -> Vec<TransportFeedback> {
    let mut feedback = Vec::new();
    receiver.poll(START.after_ms(FEEDBACK_INTERVAL_MS), &mut feedback);
    feedback
}

fn told(receiver: &mut TwccReceiver) -> Vec<Entries> {
    polled(receiver).into_iter().map(|feedback| feedback.arrivals).collect()
}

fn came(numbers: &[u16]) -> Entries {
    numbers.iter().map(|number| (*number, Some(START.0))).collect()
}

/// What the publisher reads of our feedback.
fn over_the_wire(feedback: Vec<TransportFeedback>) -> Entries {
    let mut bytes = Vec::new();
    for feedback in feedback {
        serialise(&RtcpPacket::TransportFeedback(feedback), &mut bytes);
    }
    let mut entries = Vec::new();
    for packet in parse_compound(&bytes).unwrap() {
        let RtcpPacket::TransportFeedback(feedback) = packet else { panic!("{packet:?}") };
        entries.extend(feedback.arrivals);
    }
    entries
}

#[test]
fn nothing_is_told_while_nothing_came() {
    let mut receiver = TwccReceiver::new(OURS);
    assert_eq!(receiver.next_timeout(), None);
    assert_eq!(polled(&mut receiver), []);
}

#[test]
fn feedback_comes_an_interval_after_the_first_arrival() {
    let mut receiver = TwccReceiver::new(OURS);
    receiver.received(START, THEIRS, 7);
    let later = START.after_ms(10);
    receiver.received(later, THEIRS, 8);
    let due_at = START.after_ms(FEEDBACK_INTERVAL_MS);
    assert_eq!(receiver.next_timeout(), Some(due_at));
    let mut feedback = Vec::new();
    receiver.poll(due_at.after_ns(-1), &mut feedback);
    assert_eq!(feedback, []);
    receiver.poll(due_at, &mut feedback);
    let expected = TransportFeedback {
        sender_ssrc: OURS,
        media_ssrc: THEIRS,
        feedback_count: 0,
        arrivals: vec![(7, Some(START.0)), (8, Some(later.0))],
    };
    assert_eq!(feedback, [expected]);
    assert_eq!(receiver.next_timeout(), None);
    assert_eq!(polled(&mut receiver), []);
}

proptest! {
    #[test]
    fn every_number_is_told_once_and_in_order(
        start in select(&WRAPS[..]), rounds in vec(vec(0..=3u16, 1..20), 1..8),
    ) {
        let mut receiver = TwccReceiver::new(OURS);
        let (mut number, mut now, mut came, mut entries) = (start, START, Vec::new(), Vec::new());
        for steps in rounds {
            for step in steps {
                number = number.wrapping_add(1 + step);
                now = now.after_ns(250 * NS_PER_US);
                receiver.received(now, THEIRS, number);
                came.push(number);
            }
            now = now.after_ms(FEEDBACK_INTERVAL_MS);
            let mut feedback = Vec::new();
            receiver.poll(now, &mut feedback);
            entries.extend(over_the_wire(feedback));
        }
        let arrived = entries.iter().filter(|entry| entry.1.is_some()).map(|entry| entry.0);
        prop_assert_eq!(arrived.collect::<Vec<_>>(), came);
        prop_assert!(entries.is_sorted_by(|before, after| after.0.wrapping_sub(before.0) == 1));
    }
}

#[test]
fn what_is_lost_between_two_feedbacks_is_told_by_the_second() {
    let mut receiver = TwccReceiver::new(OURS);
    receive(&mut receiver, 1);
    polled(&mut receiver);
    receive(&mut receiver, 4);
    assert_eq!(told(&mut receiver), [vec![(2, None), (4, Some(START.0))]]);
}

#[test]
fn arrival_times_survive_the_wire_to_a_quarter_of_a_millisecond() {
    let mut receiver = TwccReceiver::new(OURS);
    let arrivals: Vec<Instant> =
        (0..100).map(|number| START.after_ns((250 * number + 100 * (number % 2)) * NS_PER_US)).collect();
    for (number, at) in (0..).zip(&arrivals) {
        receiver.received(*at, THEIRS, number);
    }
    let entries = over_the_wire(polled(&mut receiver));
    assert_eq!(entries.len(), arrivals.len());
    assert!(
        entries.iter().zip(&arrivals).all(|((_, told), at)| (told.unwrap() - at.0).abs() <= 125 * NS_PER_US)
    );
}

#[test]
fn a_reordered_packet_stands_in_its_place() {
    let mut receiver = TwccReceiver::new(OURS);
    for number in [65_535, 1, 0] {
        receive(&mut receiver, number);
    }
    assert_eq!(told(&mut receiver), [came(&[65_535, 0, 1])]);
}

#[test]
fn late_packets_are_told_by_themselves() {
    let mut receiver = TwccReceiver::new(OURS);
    for number in [1, 10] {
        receive(&mut receiver, number);
    }
    polled(&mut receiver);
    for number in [3, 4, 7, 11] {
        receive(&mut receiver, number);
    }
    assert_eq!(told(&mut receiver), [came(&[3, 4]), came(&[7]), came(&[11])]);
}

#[test]
fn a_packet_that_comes_twice_keeps_its_first_time() {
    let mut receiver = TwccReceiver::new(OURS);
    for (after_ms, number) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
        receiver.received(START.after_ms(after_ms), THEIRS, number);
    }
    assert_eq!(told(&mut receiver), [[(1, Some(START.0)), (2, Some(START.after_ms(1).0))]]);
}

#[test]
fn probes_with_ssrc_zero_are_told_of() {
    let mut receiver = TwccReceiver::new(OURS);
    receiver.received(START, Ssrc(0), 1);
    let feedback = polled(&mut receiver);
    assert_eq!((feedback[0].media_ssrc, &feedback[0].arrivals), (Ssrc(0), &came(&[1])));
    receiver.received(START, THEIRS, 2);
    receiver.received(START, Ssrc(0), 3);
    let feedback = polled(&mut receiver);
    assert_eq!((feedback[0].media_ssrc, &feedback[0].arrivals), (THEIRS, &came(&[2, 3])));
}

#[test]
fn feedback_packets_are_counted_in_a_byte() {
    let mut receiver = TwccReceiver::new(OURS);
    for number in 0..258 {
        receive(&mut receiver, number);
        let feedback = polled(&mut receiver);
        assert_eq!(
            feedback.iter().map(|feedback| feedback.feedback_count).collect::<Vec<_>>(),
            [number as u8]
        );
    }
}

#[test]
fn a_jump_is_not_told_as_so_many_losses() {
    let most = MAX_LEADING_LOST as u16;
    for (jump, leading) in [(most + 1, 1), (most + 2, 0), (30_000, 0)] {
        let mut receiver = TwccReceiver::new(OURS);
        receive(&mut receiver, 1);
        polled(&mut receiver);
        receive(&mut receiver, 1 + jump);
        assert_eq!(told(&mut receiver).concat().len(), 1 + leading);
    }
}

#[test]
fn a_jump_between_two_feedbacks_gives_two_packets() {
    let mut receiver = TwccReceiver::new(OURS);
    receive(&mut receiver, 1);
    receive(&mut receiver, 20_000);
    assert_eq!(told(&mut receiver), [came(&[1]), came(&[20_000])]);
}

#[test]
fn a_counter_that_starts_anew_further_down_is_told_in_one_packet() {
    let mut receiver = TwccReceiver::new(OURS);
    receive(&mut receiver, 20_000);
    polled(&mut receiver);
    let numbers: Vec<u16> = (0..100).collect();
    for number in &numbers {
        receive(&mut receiver, *number);
    }
    assert_eq!(told(&mut receiver), [came(&numbers)]);
}

#[test]
fn arrivals_waiting_to_be_told_are_bounded() {
    let mut receiver = TwccReceiver::new(OURS);
    for number in 0..2 * MAX_PENDING as u16 {
        receive(&mut receiver, number);
    }
    assert_eq!(receiver.pending.len(), MAX_PENDING);
    assert_eq!(told(&mut receiver).concat().len(), MAX_PENDING);
    assert!(receiver.pending.capacity() >= MAX_PENDING);
}
