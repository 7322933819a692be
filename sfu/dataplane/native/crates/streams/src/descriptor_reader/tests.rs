use focus_rtp::dependency_descriptor::Structure;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::samples::{FAR, L1T2, L1T3, L1T3_PERIOD, L2T2, Layout, Own, key_frame, packet, partial_key_frame};

/// Sequence number of the first packet, unwrapped.
const START: i64 = 70_000;

fn structure(layout: Layout) -> Structure {
    parse_dependency_descriptor(&key_frame(layout, 1), None).unwrap().structure.unwrap()
}

fn plain(template_id: u8, number: i64) -> Vec<u8> {
    packet(template_id, number, Own::default())
}

fn told(template_id: u8, number: i64, active: u32) -> Vec<u8> {
    packet(template_id, number, Own { active: Some((3, active)), ..Own::default() })
}

fn read(reader: &mut DescriptorReader, seq: i64, value: &[u8]) -> PacketDescriptor {
    reader.read(seq, value).unwrap()
}

/// The structure that a packet is read by; `None` where it is not known.
fn structure_of(reader: &mut DescriptorReader, seq: i64, value: &[u8]) -> Option<Structure> {
    read(reader, seq, value).structure.map(|structure| (*structure).clone())
}

fn joined(number: i64) -> DescriptorReader {
    let mut reader = DescriptorReader::new();
    read(&mut reader, START, &key_frame(L1T3, number));
    reader
}

#[test]
fn frames_are_read_by_the_structure_of_their_key_frame() {
    let l1t3 = structure(L1T3);
    for number in [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1] {
        let mut reader = DescriptorReader::new();
        let first = read(&mut reader, START, &key_frame(L1T3, number));
        assert_eq!(first.structure.as_deref(), Some(&l1t3));
        assert_eq!((first.sequence_start, first.active), (START, 0b111));
        assert!(first.fields.starts_key_frame());
        for (step, template_id) in (1..9).zip(L1T3_PERIOD.into_iter().cycle()) {
            let descriptor = read(&mut reader, START + step, &plain(template_id, number + step));
            assert_eq!(descriptor.fields.dependencies, Some(l1t3.templates[usize::from(template_id)]));
            assert_eq!(descriptor.structure.as_deref(), Some(&l1t3));
            assert_eq!(descriptor.sequence_start, START);
            assert_eq!(descriptor.frame_number, first.frame_number + step);
        }
    }
}

#[test]
fn before_the_structure_comes_a_frame_has_a_number_and_no_more() {
    let mut reader = DescriptorReader::new();
    let first = read(&mut reader, START + 1, &plain(3, 101));
    assert_eq!((&first.structure, first.sequence_start, first.active), (&None, 0, 0));
    read(&mut reader, START, &key_frame(L1T3, 100));
    let again = read(&mut reader, START + 1, &plain(3, 101));
    assert_eq!(again.structure.as_deref(), Some(&structure(L1T3)));
    assert_eq!((again.sequence_start, again.active), (START, 0b111));
    assert_eq!(again.frame_number, first.frame_number);
}

#[test]
fn a_frame_of_a_structure_that_has_not_come_waits_for_it() {
    let mut reader = joined(100);
    let early = read(&mut reader, START + 2, &plain(21, 102));
    assert_eq!((early.structure, early.sequence_start), (None, 0));
    read(&mut reader, START + 1, &key_frame(FAR, 101));
    assert_eq!(structure_of(&mut reader, START + 2, &plain(21, 102)), Some(structure(FAR)));
}

#[test]
fn what_is_late_is_read_by_the_structure_of_its_own_key_frame() {
    let mut reader = joined(100);
    read(&mut reader, START + 10, &key_frame(L1T2, 110));
    let late = read(&mut reader, START + 9, &plain(3, 109));
    assert_eq!(late.structure.as_deref(), Some(&structure(L1T3)));
    assert_eq!((late.sequence_start, late.active), (START, 0b111));
    assert_eq!(structure_of(&mut reader, START + 11, &plain(63, 111)), Some(structure(L1T2)));
    assert_eq!(structure_of(&mut reader, START - 1, &plain(3, 99)), None);
}

#[test]
fn a_structure_that_comes_twice_is_one() {
    let mut reader = joined(100);
    read(&mut reader, START + 1, &told(3, 101, 0b011));
    assert_eq!(read(&mut reader, START, &key_frame(L1T3, 100)).sequence_start, START);
    assert_eq!(reader.sequences.len(), 1);
    assert_eq!(read(&mut reader, START + 2, &plain(3, 102)).active, 0b011);
}

#[test]
fn active_targets_hold_for_the_packets_behind() {
    let mut reader = joined(100);
    let mut active = |step: i64, value: &[u8]| read(&mut reader, START + step, value).active;
    assert_eq!(active(2, &told(3, 102, 0b001)), 0b001);
    assert_eq!(active(3, &plain(3, 103)), 0b001);
    // One that is late speaks for itself only.
    assert_eq!(active(1, &told(3, 101, 0b011)), 0b011);
    assert_eq!(active(4, &plain(3, 104)), 0b001);
    assert_eq!(active(5, &partial_key_frame(L1T3, 0b101, 105)), 0b101);
    assert_eq!(active(6, &plain(3, 106)), 0b101);
    assert_eq!(active(7, &key_frame(L1T3, 107)), 0b111);
}

#[test]
fn numbers_go_on_where_an_encoder_starts_anew() {
    let mut reader = joined(20_000);
    let mut number = |step: i64, value: &[u8]| read(&mut reader, START + step, value).frame_number;
    let before = number(1, &plain(3, 20_001));
    assert_eq!(number(2, &key_frame(FAR, 7)), before + 1);
    assert_eq!(number(3, &plain(21, 8)), before + 2);
    assert_eq!(number(1, &plain(3, 20_001)), before);
    assert_eq!(number(4, &key_frame(L1T3, 9)), before + 3);
}

#[test]
fn a_key_frame_that_is_late_is_no_new_start() {
    let mut reader = joined(100);
    let newest = read(&mut reader, START + 5, &plain(3, 105)).frame_number;
    assert_eq!(read(&mut reader, START + 1, &key_frame(FAR, 101)).frame_number, newest - 4);
}

#[test]
fn what_can_not_be_read_is_for_nobody() {
    for value in [&[][..], &[0xC0], &[0xC3, 0, 101, 0x08]] {
        let mut reader = joined(100);
        assert_eq!(reader.read(START + 1, value), None);
        assert_eq!(structure_of(&mut reader, START + 2, &plain(3, 102)), Some(structure(L1T3)));
    }
}

#[test]
fn a_structure_that_can_not_be_read_takes_its_frames_along() {
    let mut reader = joined(100);
    let (l1t3, l2t2) = (Some(structure(L1T3)), Some(structure(L2T2)));
    assert_eq!(reader.read(START + 5, &key_frame(L2T2, 105)[..9]), None);
    assert_eq!(reader.read(START + 6, &plain(3, 106)), None);
    assert_eq!(structure_of(&mut reader, START + 4, &plain(3, 104)), l1t3);
    assert_eq!(structure_of(&mut reader, START + 7, &key_frame(L2T2, 107)), l2t2);
    assert_eq!(structure_of(&mut reader, START + 8, &plain(2, 108)), l2t2);
    assert_eq!(reader.read(START + 6, &plain(3, 106)), None);
}

#[test]
fn a_stream_that_starts_with_a_broken_structure_has_no_descriptors() {
    let mut reader = DescriptorReader::new();
    assert_eq!(reader.read(START, &key_frame(L2T2, 100)[..9]), None);
    assert_eq!(reader.read(START + 1, &plain(3, 101)), None);
}

#[test]
fn a_structure_behind_the_first_packet_of_a_frame_is_refused() {
    let mut reader = joined(100);
    let value = packet(0, 101, Own { is_inside: true, structure: Some(L1T3), ..Own::default() });
    assert_eq!(reader.read(START + 1, &value), None);
    assert_eq!(read(&mut reader, START + 2, &plain(3, 102)).sequence_start, START);
}

#[test]
fn sequences_remembered_are_bounded() {
    let most = MAX_SEQUENCES as i64;
    let mut reader = DescriptorReader::new();
    for step in 0..2 * most {
        read(&mut reader, START + 10 * step, &key_frame(L1T3, step));
    }
    assert_eq!(reader.sequences.len(), MAX_SEQUENCES);
    assert_eq!(structure_of(&mut reader, START + 10 * most + 1, &plain(3, 5)), Some(structure(L1T3)));
    assert_eq!(structure_of(&mut reader, START + 10 * most - 1, &plain(3, 5)), None);
    assert_eq!(structure_of(&mut reader, START + 3, &key_frame(L1T2, 1)), Some(structure(L1T2)));
    assert_eq!(reader.sequences.len(), MAX_SEQUENCES);
    assert_eq!(reader.read(START + 4, &key_frame(L2T2, 1)[..9]), None);
    assert_eq!(reader.sequences.len(), MAX_SEQUENCES);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_not(
        values in vec(
            (START..START + 50, prop_oneof![
                vec(any::<u8>(), 0..30),
                select(vec![key_frame(L1T3, 4), partial_key_frame(L2T2, 3, 9), plain(3, 5), plain(2, 70)]),
            ]),
            0..40,
        ),
    ) {
        let mut reader = DescriptorReader::new();
        for (seq, value) in values {
            let descriptor = reader.read(seq, &value);
            prop_assert!(reader.sequences.len() <= MAX_SEQUENCES);
            let Some(descriptor) = descriptor else { continue };
            if let Some(structure) = descriptor.structure {
                prop_assert!(descriptor.sequence_start <= seq);
                prop_assert!(descriptor.active <= structure.every_target());
            }
        }
    }
}
