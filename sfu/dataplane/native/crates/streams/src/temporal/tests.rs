//! Temporal layers by dependency descriptor; by the payload's temporal id they are tested with the selector.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::descriptor_reader::DescriptorReader;
use crate::samples::{
    L1T3, L1T3_PERIOD, L2T2, Layout, Own, WITHOUT_CHAINS, key_frame, packet, partial_key_frame,
};

const START: i64 = 70_000;

/// Descriptors of one RTP stream, a frame a packet.
struct Stream {
    layout: Layout,
    seq: i64,
    reader: DescriptorReader,
}

type Frame = Arc<PacketDescriptor>;

impl Stream {
    fn new() -> (Self, Frame) {
        Self::of(L1T3, None)
    }

    fn of(layout: Layout, active: Option<u32>) -> (Self, Frame) {
        let mut stream = Self { layout, seq: START, reader: DescriptorReader::new() };
        let first = match active {
            Some(active) => stream.read(&partial_key_frame(layout, active, START)),
            None => stream.key(),
        };
        (stream, first)
    }

    fn read(&mut self, value: &[u8]) -> Frame {
        let descriptor = self.reader.read(self.seq, value).unwrap();
        self.seq += 1;
        Arc::new(descriptor)
    }

    fn key(&mut self) -> Frame {
        let value = key_frame(self.layout, self.seq);
        self.read(&value)
    }

    fn frame(&mut self, template: u8) -> Frame {
        self.own(template, Own::default())
    }

    fn own(&mut self, template: u8, own: Own) -> Frame {
        let value = packet(template, self.seq, own);
        self.read(&value)
    }

    /// T2, T1, T2 and T0.
    fn period(&mut self) -> [Frame; 4] {
        L1T3_PERIOD.map(|template| self.frame(template))
    }
}

fn facts(ts: i64, temporal: Option<i8>, descriptor: Option<&Frame>) -> PacketFacts {
    PacketFacts {
        encoding: 0,
        seq: 1,
        ts,
        starts_key_frame: descriptor.is_some_and(|descriptor| descriptor.fields.starts_key_frame()),
        temporal,
        layer_sync: false,
        descriptor: descriptor.cloned(),
    }
}

fn passes(filter: &mut TemporalFilter, frame: &Frame, target: i8) -> bool {
    filter.passes(&facts(1, None, Some(frame)), target)
}

fn all<const N: usize>(filter: &mut TemporalFilter, frames: [Frame; N], target: i8) -> [bool; N] {
    frames.map(|frame| passes(filter, &frame, target))
}

fn started(first: &Frame, target: i8) -> TemporalFilter {
    let mut filter = TemporalFilter::default();
    filter.reset(target);
    assert!(passes(&mut filter, first, target));
    filter
}

const TELLS_NOTHING_OF_TARGETS: Own =
    Own { is_inside: false, structure: None, active: None, indications: Some(&[0, 0, 0]), frame_diffs: None };

fn refers_to(diffs: &'static [u32]) -> Own {
    Own { frame_diffs: Some(diffs), ..Own::default() }
}

#[test]
fn frames_of_the_decode_targets_up_to_the_layer_pass() {
    for (target, expected) in [
        (0, [false, false, false, true]),
        (1, [false, true, false, true]),
        (2, [true; 4]),
        (ALL_TEMPORAL, [true; 4]),
    ] {
        let (mut stream, first) = Stream::new();
        let mut filter = started(&first, target);
        for _ in 0..3 {
            assert_eq!(all(&mut filter, stream.period(), target), expected);
        }
        assert_eq!(filter.limit(), target);
    }
}

#[test]
fn going_down_is_at_the_next_frame() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    let [top, middle, top_again, base] = stream.period();
    assert!(passes(&mut filter, &top, ALL_TEMPORAL));
    assert!(passes(&mut filter, &top, 0));
    assert_eq!(filter.limit(), ALL_TEMPORAL);
    assert!(!passes(&mut filter, &middle, 0));
    assert_eq!(filter.limit(), 0);
    assert!(!passes(&mut filter, &middle, ALL_TEMPORAL));
    assert!(!passes(&mut filter, &top_again, 0));
    assert!(passes(&mut filter, &base, 0));
}

#[test]
fn going_up_is_where_a_target_may_begin() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    all(&mut filter, stream.period(), 0);
    // T2 is no switching point. T1 is one for all three layers, as it refers to the base layer; T2 is theirs.
    assert_eq!(all(&mut filter, stream.period(), 2), [false, true, true, true]);
    assert_eq!(filter.limit(), 2);
    assert_eq!(all(&mut filter, stream.period(), 2), [true; 4]);
}

#[test]
fn one_layer_up_begins_with_the_base_layer() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    // T1 is discardable for the target of two layers: it may not begin with it.
    assert_eq!(all(&mut filter, stream.period(), 1), [false, false, false, true]);
    assert_eq!(all(&mut filter, stream.period(), 1), [false, true, false, true]);
}

#[test]
fn a_switching_point_that_refers_to_a_frame_left_out_is_none() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    assert!(!passes(&mut filter, &stream.frame(3), 0));
    assert!(!passes(&mut filter, &stream.own(2, refers_to(&[1, 2])), 2));
    assert!(passes(&mut filter, &stream.own(2, refers_to(&[3])), 2));
}

#[test]
fn a_switching_point_that_refers_to_a_frame_that_never_came_is_none() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    stream.frame(1);
    assert!(!passes(&mut filter, &stream.own(2, refers_to(&[1])), 2));
}

#[test]
fn a_key_frame_brings_every_layer_of_the_target_and_no_more() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    assert!(passes(&mut filter, &stream.key(), 2));
    assert_eq!(all(&mut filter, stream.period(), 2), [true; 4]);
    assert!(passes(&mut filter, &stream.key(), 1));
    assert_eq!(all(&mut filter, stream.period(), 1), [false, true, false, true]);
}

#[test]
fn the_lower_spatial_layers_are_never_left_out() {
    let (mut stream, first) = Stream::of(L2T2, None);
    let mut filter = started(&first, 0);
    for (template, expected) in [(3, true), (2, false), (5, false), (1, true), (4, true)] {
        assert_eq!(passes(&mut filter, &stream.frame(template), 0), expected);
    }
    // The lower spatial layer's upper temporal layer begins with the base, the upper one's with its own.
    for (template, expected) in [(2, false), (5, false), (1, true), (4, true), (2, true), (5, true)] {
        assert_eq!(passes(&mut filter, &stream.frame(template), 1), expected);
    }
}

#[test]
fn the_lowest_target_is_kept_where_all_are_above() {
    let layout = Layout {
        offset: 0,
        targets: 2,
        templates: &[(0, 0, &[2, 2], &[], &[]), (0, 1, &[1, 3], &[1], &[]), (0, 2, &[0, 1], &[1], &[])],
        protected_by: &[],
        resolutions: &[],
    };
    let (mut stream, first) = Stream::of(layout, None);
    let mut filter = started(&first, 0);
    assert!(passes(&mut filter, &stream.frame(1), 0));
    assert!(!passes(&mut filter, &stream.frame(2), 0));
}

#[test]
fn the_lowest_active_target_is_kept_where_the_publisher_stopped_those_below() {
    for (active, expected) in [(0b110, [false, true, false, true]), (0, [false, false, false, true])] {
        let (mut stream, first) = Stream::of(L1T3, Some(active));
        let mut filter = started(&first, 0);
        assert_eq!(all(&mut filter, stream.period(), 0), expected);
    }
}

#[test]
fn a_frame_of_no_target_passes_only_while_nothing_is_left_out() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    assert!(passes(&mut filter, &stream.own(1, TELLS_NOTHING_OF_TARGETS), ALL_TEMPORAL));
    assert!(!passes(&mut filter, &stream.own(1, TELLS_NOTHING_OF_TARGETS), 1));
}

#[test]
fn frames_that_can_not_be_read_yet_pass() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    let unknown = stream.frame(40);
    assert_eq!(unknown.structure, None);
    assert!(passes(&mut filter, &unknown, 0));
    assert_eq!(filter.active_targets(&unknown), None);
    assert!(!passes(&mut filter, &stream.frame(3), 0));
}

#[test]
fn a_frame_that_passed_unread_passes_whole() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    let key = stream.seq;
    stream.seq = key + 2;
    assert!(passes(&mut filter, &stream.frame(40), 0));
    (stream.seq, stream.layout) = (key, Layout { offset: 37, ..L1T3 });
    assert!(passes(&mut filter, &stream.key(), 0));
    stream.seq = key + 2;
    let again = stream.frame(40);
    assert!(again.structure.is_some());
    assert!(passes(&mut filter, &again, 0));
    assert!(!passes(&mut filter, &stream.frame(40), 0));
}

#[test]
fn a_late_key_frame_starts_its_sequence() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    let key = stream.seq;
    stream.seq = key + 1;
    assert!(passes(&mut filter, &stream.frame(40), 2));
    (stream.seq, stream.layout) = (key, Layout { offset: 37, ..L1T3 });
    assert!(passes(&mut filter, &stream.key(), 2));
    stream.seq = key + 2;
    assert!(passes(&mut filter, &stream.frame(40), 2));
    assert_eq!(filter.limit(), 2);
}

#[test]
fn a_late_frame_from_before_the_key_frame_goes_by_its_own_structure() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    let before = stream.seq;
    (stream.seq, stream.layout) = (before + 3, Layout { offset: 20, ..WITHOUT_CHAINS });
    assert!(passes(&mut filter, &stream.key(), 0));
    stream.seq = before;
    assert!(!passes(&mut filter, &stream.frame(3), 0));
    assert!(passes(&mut filter, &stream.frame(1), 0));
    assert!(passes(&mut filter, &stream.frame(4), ALL_TEMPORAL));
    assert_eq!(filter.limit(), 0);
}

#[test]
fn a_late_frame_changes_nothing() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    let [late, _, _, base] = stream.period();
    assert!(passes(&mut filter, &base, 0));
    assert!(!passes(&mut filter, &late, 2));
    assert!(!passes(&mut filter, &stream.frame(3), 2));
    assert_eq!(filter.limit(), 0);
}

#[test]
fn frames_remembered_are_bounded() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    for ts in 0..MAX_FRAMES as i64 {
        all(&mut filter, stream.period(), 0);
        filter.passes(&facts(2 * ts, Some(0), None), 0);
        filter.passes(&facts(2 * ts + 1, Some(1), None), 0);
    }
    for (frames, capacity) in [
        (filter.by_targets.frames.0.len(), filter.by_targets.frames.0.capacity()),
        (filter.by_id.limits.0.len(), filter.by_id.limits.0.capacity()),
    ] {
        assert_eq!((frames, capacity), (MAX_FRAMES, MAX_FRAMES));
    }
}

#[test]
fn packets_without_a_descriptor_go_by_their_temporal_id() {
    let (_, first) = Stream::new();
    let mut filter = started(&first, 0);
    assert_eq!(filter.limit(), 0);
    assert!(filter.passes(&facts(2, None, None), 0));
    assert!(!filter.passes(&facts(2, Some(1), None), 0));
    assert_eq!(filter.limit(), 0);
}

#[test]
fn a_packet_whose_descriptor_can_not_be_read_is_of_no_layer_that_was_left_out() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    all(&mut filter, stream.period(), 0);
    assert!(!filter.passes(&facts(2, Some(1), None), 2));
    assert!(filter.passes(&facts(3, Some(0), None), 2));
}

#[test]
fn what_was_lowered_stays_below_until_a_frame_that_needs_only_the_base_layer() {
    let mut filter = TemporalFilter::new();
    assert!(filter.passes(&facts(1, Some(2), None), ALL_TEMPORAL));
    filter.lower(1);
    filter.lower(5);
    assert_eq!(filter.limit(), 1);
    assert!(!filter.passes(&facts(1, Some(2), None), ALL_TEMPORAL));
    assert!(!filter.passes(&facts(2, Some(2), None), ALL_TEMPORAL));
    let sync = PacketFacts { layer_sync: true, ..facts(3, Some(2), None) };
    assert!(filter.passes(&sync, ALL_TEMPORAL));
}

#[test]
fn nothing_is_told_while_nothing_is_left_out() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    let told = stream.own(2, Own { active: Some((3, 0b011)), ..Own::default() });
    for frame in [stream.frame(3), told] {
        assert!(passes(&mut filter, &frame, ALL_TEMPORAL));
        assert_eq!(filter.active_targets(&frame), None);
    }
}

#[test]
fn targets_left_out_are_told_with_the_key_frame_and_each_packet_behind_it() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 1);
    assert_eq!(filter.active_targets(&first), Some(0b011));
    for frame in stream.period() {
        if passes(&mut filter, &frame, 1) {
            assert_eq!(filter.active_targets(&frame), Some(0b011));
        }
    }
}

#[test]
fn targets_that_came_back_are_told_until_the_next_key_frame() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, 0);
    let [top, middle, top_again, base] = stream.period();
    assert!(!passes(&mut filter, &top, 2));
    // The target of two layers begins with the base layer, that of three did so before it.
    let behind = stream.frame(3);
    for (frame, expected) in [(middle, 0b101), (top_again, 0b101), (base, 0b111), (behind, 0b111)] {
        assert!(passes(&mut filter, &frame, 2));
        assert_eq!(filter.active_targets(&frame), Some(expected));
    }
    let key = stream.key();
    assert!(passes(&mut filter, &key, 2));
    assert_eq!(filter.active_targets(&key), None);
}

#[test]
fn a_late_packet_tells_what_held_for_its_frame() {
    let (mut stream, first) = Stream::new();
    let mut filter = started(&first, ALL_TEMPORAL);
    let early = stream.frame(3);
    assert!(passes(&mut filter, &early, ALL_TEMPORAL));
    all(&mut filter, stream.period(), 0);
    assert_eq!(filter.active_targets(&early), Some(0b111));
}

#[test]
fn what_is_told_is_no_more_than_the_publisher_sends() {
    let (_, first) = Stream::of(L2T2, Some(0b0011));
    assert_eq!(started(&first, 0).active_targets(&first), Some(0b0001));
}

proptest! {
    /// Without loss: whatever is asked for, no frame passes that refers to one left out.
    #[test]
    fn what_passes_can_be_decoded(
        is_spatial in any::<bool>(),
        targets in vec(0..=3i8, 1..60),
        keys in btree_set(1..=60usize, 0..3),
        again in select(&[0, 1, 2i8][..]),
    ) {
        let (mut stream, first) = Stream::of(if is_spatial { L2T2 } else { L1T3 }, None);
        let mut filter = started(&first, targets[0]);
        let mut passed = BTreeSet::from([first.frame_number]);
        let mut since_key = 0;
        for (step, target) in targets.into_iter().enumerate() {
            let frame = if keys.contains(&step) {
                since_key = 0;
                stream.key()
            } else {
                since_key += 1;
                stream.frame(template_of(is_spatial, since_key - 1))
            };
            let dependencies = frame.fields.dependencies.unwrap();
            let is_passed = passes(&mut filter, &frame, target);
            if is_passed {
                let mut diffs = dependencies.frame_diffs.iter();
                prop_assert!(diffs.all(|diff| passed.contains(&(frame.frame_number - i64::from(*diff)))));
                passed.insert(frame.frame_number);
                prop_assert!(filter.limit() <= target);
            } else {
                prop_assert!(dependencies.temporal_id > 0);
            }
            prop_assert_eq!(passes(&mut filter, &frame, again), is_passed);
        }
    }
}

/// The template of a frame so many behind the first behind a key frame.
fn template_of(is_spatial: bool, since_key: usize) -> u8 {
    const L2T2_PERIOD: [u8; 8] = [3, 2, 5, 1, 4, 2, 5, 1];
    match (is_spatial, since_key) {
        (false, since_key) => L1T3_PERIOD[since_key % 4],
        (true, since_key @ 0..8) => L2T2_PERIOD[since_key],
        (true, since_key) => L2T2_PERIOD[(since_key - 4) % 8],
    }
}
