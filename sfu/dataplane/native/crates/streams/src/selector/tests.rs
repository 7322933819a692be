use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const OTHER: Option<DropReason> = Some(DropReason::OtherLayer);
const WAITING: Option<DropReason> = Some(DropReason::WaitingForKeyframe);
const TEMPORAL: Option<DropReason> = Some(DropReason::TemporalLayer);

fn delta(encoding: i8, seq: i64) -> PacketFacts {
    let ts = seq * 3_000;
    PacketFacts {
        encoding,
        seq,
        ts,
        starts_key_frame: false,
        temporal: None,
        layer_sync: false,
        descriptor: None,
    }
}

fn key(encoding: i8, seq: i64) -> PacketFacts {
    PacketFacts { starts_key_frame: true, ..delta(encoding, seq) }
}

fn layer(seq: i64, temporal: i8) -> PacketFacts {
    PacketFacts { temporal: Some(temporal), ..delta(0, seq) }
}

fn sync(seq: i64, temporal: i8) -> PacketFacts {
    PacketFacts { layer_sync: true, ..layer(seq, temporal) }
}

fn decide(selector: &mut EncodingSelector, facts: &PacketFacts) -> Option<DropReason> {
    selector.decide(facts, true)
}

fn forwarding(temporal: i8) -> EncodingSelector {
    let mut selector = EncodingSelector::new(Kind::Video);
    selector.set_target(0, temporal);
    assert_eq!(decide(&mut selector, &PacketFacts { temporal: Some(0), ..key(0, 100) }), None);
    selector
}

/// Set a target with all temporal layers.
fn aim(selector: &mut EncodingSelector, encoding: i8) {
    selector.set_target(encoding, ALL_TEMPORAL);
}

#[test]
fn a_new_route_sends_nothing() {
    let mut selector = EncodingSelector::new(Kind::Video);
    assert_eq!(selector.state(), SelectorState::Paused);
    assert_eq!((selector.current(), selector.target()), (None, PAUSED));
    assert_eq!(decide(&mut selector, &key(0, 1)), OTHER);
}

#[test]
fn video_starts_at_the_start_of_a_key_frame() {
    let mut selector = EncodingSelector::new(Kind::Video);
    aim(&mut selector, 1);
    assert_eq!(selector.state(), SelectorState::Switching { target: 1, current: None });
    assert_eq!((selector.current(), selector.target()), (None, 1));
    assert_eq!(decide(&mut selector, &delta(1, 1)), WAITING);
    assert_eq!(decide(&mut selector, &key(0, 2)), OTHER);
    assert_eq!(decide(&mut selector, &key(1, 3)), None);
    assert_eq!(decide(&mut selector, &delta(1, 4)), None);
    assert_eq!(selector.state(), SelectorState::Forwarding(1));
    assert_eq!((selector.current(), selector.target(), selector.switches()), (Some(1), 1, 0));
}

#[test]
fn audio_starts_and_switches_at_once() {
    let mut selector = EncodingSelector::new(Kind::Audio);
    aim(&mut selector, 0);
    assert_eq!(decide(&mut selector, &delta(0, 7)), None);
    aim(&mut selector, 1);
    assert_eq!(decide(&mut selector, &delta(0, 8)), OTHER);
    assert_eq!(decide(&mut selector, &delta(1, 3)), None);
    assert_eq!(selector.switches(), 1);
    selector.source_changed(1);
    assert_eq!(decide(&mut selector, &delta(1, 0)), None);
}

#[test]
fn the_old_encoding_flows_until_the_key_frame_of_the_new() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 2);
    assert_eq!(selector.state(), SelectorState::Switching { target: 2, current: Some(0) });
    assert_eq!(decide(&mut selector, &delta(0, 101)), None);
    assert_eq!(decide(&mut selector, &delta(2, 50)), WAITING);
    assert_eq!(decide(&mut selector, &key(1, 70)), OTHER);
    assert_eq!(decide(&mut selector, &key(0, 102)), None);
    assert_eq!(decide(&mut selector, &key(2, 51)), None);
    assert_eq!(selector.state(), SelectorState::Forwarding(2));
    assert_eq!(selector.switches(), 1);
}

#[test]
fn late_packets_of_the_old_encoding_are_dropped() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    decide(&mut selector, &key(1, 51));
    assert_eq!(decide(&mut selector, &delta(0, 101)), OTHER);
}

#[test]
fn late_packets_from_before_the_key_frame_are_dropped() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    decide(&mut selector, &key(1, 51));
    assert_eq!(decide(&mut selector, &delta(1, 50)), WAITING);
    aim(&mut selector, 0);
    assert_eq!(decide(&mut selector, &delta(1, 50)), WAITING);
    assert_eq!(decide(&mut selector, &delta(1, 52)), None);
}

#[test]
fn a_target_taken_back_needs_no_key_frame() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    aim(&mut selector, 0);
    assert_eq!(selector.state(), SelectorState::Forwarding(0));
    assert_eq!(decide(&mut selector, &delta(0, 101)), None);
    assert_eq!(decide(&mut selector, &key(1, 50)), OTHER);
}

#[test]
fn a_target_changed_while_waiting_keeps_what_flows() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    aim(&mut selector, 2);
    assert_eq!(selector.state(), SelectorState::Switching { target: 2, current: Some(0) });
}

#[test]
fn pausing_stops_at_once_and_resuming_needs_a_key_frame() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, PAUSED);
    assert_eq!(decide(&mut selector, &delta(0, 101)), OTHER);
    aim(&mut selector, 0);
    assert_eq!(decide(&mut selector, &delta(0, 102)), WAITING);
    assert_eq!(decide(&mut selector, &key(0, 103)), None);
    assert_eq!(selector.switches(), 0);
}

#[test]
fn where_the_current_dries_up_the_target_is_still_joined_at_a_key_frame() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    assert!((0..500).all(|seq| decide(&mut selector, &delta(1, seq)) == WAITING));
    assert_eq!(decide(&mut selector, &key(1, 500)), None);
}

#[test]
fn a_switch_waits_until_timestamps_can_be_mapped() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    assert_eq!(selector.decide(&key(1, 50), false), WAITING);
    assert_eq!(selector.decide(&delta(0, 101), false), None);
    assert_eq!(selector.decide(&key(1, 60), true), None);
}

#[test]
fn an_encoding_under_another_ssrc_is_joined_at_a_key_frame() {
    let mut selector = forwarding(ALL_TEMPORAL);
    selector.source_changed(1);
    assert_eq!(selector.state(), SelectorState::Forwarding(0));
    selector.source_changed(0);
    assert_eq!(selector.state(), SelectorState::Switching { target: 0, current: None });
    assert_eq!(decide(&mut selector, &delta(0, 3)), WAITING);
    assert_eq!(decide(&mut selector, &key(0, 4)), None);
    aim(&mut selector, 1);
    selector.source_changed(0);
    assert_eq!(selector.state(), SelectorState::Switching { target: 1, current: None });
}

proptest! {
    #[test]
    fn what_is_forwarded_always_began_with_a_key_frame(
        steps in vec((0..3u8, PAUSED..=2, any::<bool>()), 0..100),
    ) {
        let mut selector = EncodingSelector::new(Kind::Video);
        let (mut seq, mut joined) = (0, None);
        for (step, encoding, starts) in steps {
            match step {
                0 => {
                    aim(&mut selector, encoding);
                    joined = joined.filter(|_| encoding != PAUSED);
                }
                1 => {
                    selector.source_changed(encoding);
                    joined = joined.filter(|joined| *joined != encoding);
                }
                _ => {
                    seq += 1;
                    let facts = if starts { key(encoding, seq) } else { delta(encoding, seq) };
                    if decide(&mut selector, &facts).is_none() {
                        prop_assert!(starts || joined == Some(encoding));
                        joined = Some(encoding);
                    } else {
                        prop_assert_ne!(joined, Some(encoding));
                    }
                }
            }
            prop_assert_eq!(selector.current(), joined);
        }
    }

    #[test]
    fn a_frame_passes_whole_or_not_at_all(
        layers in vec((0..3i8, any::<bool>(), 0..3i8, [0..8i64, 0..8, 0..8]), 0..40),
    ) {
        let mut selector = forwarding(ALL_TEMPORAL);
        let mut packets = Vec::new();
        for (frame, (temporal, layer_sync, target, delays)) in (0..).zip(layers) {
            for (part, delay) in (0..).zip(delays) {
                let seq = 101 + 3 * frame + part;
                let ts = 1_000_000 + 3_000 * frame;
                packets.push((seq + delay, target, PacketFacts { ts, layer_sync, ..layer(seq, temporal) }));
            }
        }
        packets.sort_by_key(|packet| packet.0);
        let mut fates = std::collections::BTreeMap::new();
        for (_, target, facts) in packets {
            selector.set_target(0, target);
            let fate = decide(&mut selector, &facts);
            prop_assert_eq!(*fates.entry(facts.ts).or_insert(fate), fate);
        }
    }
}

#[test]
fn layers_above_the_target_are_dropped() {
    let mut selector = forwarding(1);
    let decisions =
        [0, 1, 2].map(|temporal| decide(&mut selector, &layer(101 + i64::from(temporal), temporal)));
    assert_eq!(decisions, [None, None, TEMPORAL]);
    assert_eq!(selector.temporal(), 1);
}

#[test]
fn packets_that_tell_no_layer_pass() {
    assert_eq!(decide(&mut forwarding(0), &delta(0, 101)), None);
}

#[test]
fn going_down_waits_for_the_next_frame() {
    let mut selector = forwarding(ALL_TEMPORAL);
    let at = |seq, ts| PacketFacts { ts, ..layer(seq, 2) };
    assert_eq!(decide(&mut selector, &at(101, 1_000_000)), None);
    selector.set_target(0, 0);
    assert_eq!(decide(&mut selector, &at(102, 1_000_000)), None);
    assert_eq!(decide(&mut selector, &at(103, 1_003_000)), TEMPORAL);
}

#[test]
fn going_up_waits_for_a_frame_that_needs_only_the_base_layer() {
    let mut selector = forwarding(0);
    selector.set_target(0, 2);
    assert_eq!(decide(&mut selector, &layer(101, 1)), TEMPORAL);
    assert_eq!(decide(&mut selector, &sync(102, 2)), TEMPORAL);
    assert_eq!(decide(&mut selector, &sync(103, 1)), None);
    assert_eq!(decide(&mut selector, &layer(104, 2)), TEMPORAL);
    assert_eq!(decide(&mut selector, &sync(105, 2)), None);
    assert_eq!(decide(&mut selector, &layer(106, 2)), None);
    assert_eq!(decide(&mut selector, &layer(107, 0)), None);
}

#[test]
fn going_up_stops_at_the_target() {
    let mut selector = forwarding(0);
    selector.set_target(0, 1);
    assert_eq!(decide(&mut selector, &sync(101, 1)), None);
    assert_eq!(decide(&mut selector, &sync(102, 2)), TEMPORAL);
}

#[test]
fn a_key_frame_brings_every_layer_of_the_target() {
    let mut selector = forwarding(0);
    selector.set_target(0, 2);
    assert_eq!(decide(&mut selector, &PacketFacts { temporal: Some(0), ..key(0, 101) }), None);
    assert_eq!(decide(&mut selector, &layer(102, 2)), None);
}

#[test]
fn a_switch_starts_with_every_layer_of_the_target() {
    let mut selector = forwarding(0);
    selector.set_target(1, 1);
    decide(&mut selector, &PacketFacts { temporal: Some(0), ..key(1, 10) });
    assert_eq!(selector.temporal(), 1);
    assert_eq!(decide(&mut selector, &PacketFacts { temporal: Some(1), ..delta(1, 11) }), None);
}

#[test]
fn the_base_layer_always_passes() {
    for temporal in [0, 1, ALL_TEMPORAL] {
        assert_eq!(decide(&mut forwarding(temporal), &layer(101, 0)), None);
    }
}

#[test]
fn encodings_that_stand_under_other_numbers_flow_on() {
    let mut selector = forwarding(ALL_TEMPORAL);
    selector.renumber(|encoding| (encoding == 0).then_some(1));
    assert_eq!(selector.state(), SelectorState::Forwarding(1));
    assert_eq!(decide(&mut selector, &delta(1, 101)), None);
    assert_eq!(decide(&mut selector, &delta(0, 102)), OTHER);
    assert_eq!(selector.switches(), 0);
}

#[test]
fn a_switch_goes_on_where_its_target_stands_under_another_number() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    selector.renumber(|encoding| Some(encoding + 1));
    assert_eq!(selector.state(), SelectorState::Switching { target: 2, current: Some(1) });
}

#[test]
fn an_encoding_that_is_gone_flows_no_more() {
    let mut selector = forwarding(ALL_TEMPORAL);
    aim(&mut selector, 1);
    selector.renumber(|encoding| (encoding == 1).then_some(0));
    assert_eq!(selector.state(), SelectorState::Switching { target: 0, current: None });
    selector.renumber(|_| None);
    assert_eq!(selector.state(), SelectorState::Paused);
    selector.renumber(Some);
    assert_eq!(selector.state(), SelectorState::Paused);
}
