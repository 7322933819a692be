use focus_rtp::dependency_descriptor::{Structure, parse_dependency_descriptor};

use super::*;
use crate::descriptor_reader::DescriptorReader;
use crate::samples::{L1T2, L1T3, L1T3_PERIOD, L2T2, Own, key_frame, packet, partial_key_frame};

const LOW: Ssrc = Ssrc(1);
const HIGH: Ssrc = Ssrc(2);
const START: i64 = 70_000;

/// One RTP stream, a frame a packet, three temporal layers.
struct Encoding {
    source: Ssrc,
    number: i64,
    seq: i64,
    since_key: usize,
    reader: DescriptorReader,
}

/// A value and what was read of it.
type Frame = (Vec<u8>, PacketDescriptor);

impl Encoding {
    fn new(source: Ssrc, number: i64) -> Self {
        Self { source, number, seq: START, since_key: 0, reader: DescriptorReader::new() }
    }

    fn key(&mut self) -> Frame {
        self.since_key = 0;
        let value = key_frame(L1T3, self.number + 1);
        self.read(value)
    }

    fn frame(&mut self) -> Frame {
        let template = L1T3_PERIOD[self.since_key % 4];
        self.since_key += 1;
        let value = packet(template, self.number + 1, Own::default());
        self.read(value)
    }

    fn read(&mut self, value: Vec<u8>) -> Frame {
        self.seq += 1;
        self.number += 1;
        let descriptor = self.reader.read(self.seq, &value).unwrap();
        (value, descriptor)
    }
}

fn sent(rewriter: &mut DescriptorRewriter, source: Ssrc, frame: &Frame, active: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    rewriter.forward(source, &frame.1, active).apply(&frame.0, &frame.1, &mut out);
    out
}

fn number(rewriter: &mut DescriptorRewriter, source: Ssrc, frame: &Frame) -> u16 {
    parse_dependency_descriptor(&sent(rewriter, source, frame, None), None).unwrap().frame_number
}

#[test]
fn the_first_source_keeps_its_numbers() {
    let (mut rewriter, mut low) = (DescriptorRewriter::default(), Encoding::new(LOW, 500));
    for frame in [low.key(), low.frame()] {
        assert_eq!(sent(&mut rewriter, LOW, &frame, None), frame.0);
    }
}

#[test]
fn numbers_go_on_over_a_switch() {
    for first in [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 2] {
        let mut rewriter = DescriptorRewriter::new();
        let (mut low, mut high) = (Encoding::new(LOW, first), Encoding::new(HIGH, 40_000));
        let mut numbers = Vec::new();
        for _ in 0..2 {
            for encoding in [&mut low, &mut high] {
                let frames = [encoding.key(), encoding.frame()];
                numbers.extend(frames.iter().map(|frame| number(&mut rewriter, encoding.source, frame)));
            }
        }
        assert!(numbers.is_sorted_by(|before, after| after.wrapping_sub(*before) == 1), "{numbers:?}");
    }
}

#[test]
fn frames_left_out_stay_a_gap_and_late_ones_get_their_own_number() {
    let (mut rewriter, mut low, mut high) =
        (DescriptorRewriter::new(), Encoding::new(LOW, 9), Encoding::new(HIGH, 30));
    number(&mut rewriter, LOW, &low.key());
    let (key, late, after) = (high.key(), high.frame(), high.frame());
    assert_eq!([&key, &after, &late].map(|frame| number(&mut rewriter, HIGH, frame)), [11, 13, 12]);
    assert_eq!(number(&mut rewriter, LOW, &low.key()), 14);
}

#[test]
fn a_pause_is_a_switch() {
    let (mut rewriter, mut low) = (DescriptorRewriter::new(), Encoding::new(LOW, 9));
    number(&mut rewriter, LOW, &low.key());
    rewriter.pause();
    for _ in 0..5 {
        low.frame();
    }
    assert_eq!(number(&mut rewriter, LOW, &low.key()), 11);
}

#[test]
fn template_ids_are_never_those_of_the_structure_before() {
    let mut rewriter = DescriptorRewriter::new();
    let mut used = Vec::new();
    for (turn, layout) in (0..40).zip([L1T3, L1T2, L2T2].into_iter().cycle()) {
        let mut encoding = Encoding::new(Ssrc(turn), 100);
        let key = encoding.read(key_frame(layout, 101));
        let value = sent(&mut rewriter, Ssrc(turn), &key, None);
        let read = parse_dependency_descriptor(&value, None).unwrap();
        let structure: Structure = read.structure.unwrap();
        assert_eq!(read.dependencies, Some(structure.templates[0]));
        let ids: Vec<u8> = (0..structure.templates.len() as u8)
            .map(|index| (structure.template_id_offset + index) % MAX_TEMPLATES as u8)
            .collect();
        assert!(ids.iter().all(|id| !used.contains(id)), "{ids:?} after {used:?}");
        used = ids;
        let delta = encoding.read(packet(layout.offset, 102, Own::default()));
        let value = sent(&mut rewriter, Ssrc(turn), &delta, None);
        let read = parse_dependency_descriptor(&value, Some(&structure)).unwrap();
        assert_eq!(read.dependencies, Some(structure.templates[0]));
    }
}

#[test]
fn a_source_that_begins_without_a_structure_keeps_its_templates() {
    let (mut rewriter, mut low, mut high) =
        (DescriptorRewriter::new(), Encoding::new(LOW, 9), Encoding::new(HIGH, 76));
    sent(&mut rewriter, LOW, &low.key(), None);
    assert_eq!(sent(&mut rewriter, HIGH, &high.frame(), None), packet(3, 11, Own::default()));
}

#[test]
fn active_targets_are_told_as_long_as_they_are_given() {
    let (mut rewriter, mut low) = (DescriptorRewriter::new(), Encoding::new(LOW, 9));
    let (key, first, second) = (low.key(), low.frame(), low.frame());
    assert_eq!(sent(&mut rewriter, LOW, &key, Some(0b011)), partial_key_frame(L1T3, 0b011, 10));
    let told = Own { active: Some((3, 0b011)), ..Own::default() };
    assert_eq!(sent(&mut rewriter, LOW, &first, Some(0b011)), packet(3, 11, told));
    assert_eq!(sent(&mut rewriter, LOW, &second, None), second.0);
}
