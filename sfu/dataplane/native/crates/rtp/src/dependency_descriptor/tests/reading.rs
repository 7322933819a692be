use super::super::*;
use super::encoder::*;
use proptest::prelude::*;

#[test]
fn the_mandatory_fields_are_three_bytes() {
    let read = parsed(&[0x86, 0xAB, 0xCD], None);
    assert_eq!((read.start_of_frame, read.end_of_frame), (true, false));
    assert_eq!((read.template_id, read.frame_number), (6, 0xABCD));
    let read = parsed(&[0x7F, 0x00, 0x01], None);
    assert_eq!((read.start_of_frame, read.end_of_frame), (false, true));
    assert_eq!((read.template_id, read.frame_number), (63, 1));
    assert_eq!(
        (read.structure, read.active_decode_targets, read.dependencies, read.mask),
        (None, None, None, None)
    );
}

#[test]
fn a_key_frame_brings_its_structure() {
    for structure in [l1t2(), l1t3(), l2t2(), without_chains()] {
        let read = parsed(&key_frame(&structure), None);
        assert!(read.starts_key_frame());
        assert_eq!(read.frame_number, 0x1234);
        assert_eq!(read.active_decode_targets, Some((1 << structure.targets()) - 1));
        assert_same(read.structure.as_ref().expect("a structure"), &structure);
    }
}

#[test]
fn a_key_frame_is_where_the_format_puts_it() {
    // 11 111110 | frame number | 10 000 | 111110 00001 | 00 01 11 | 1010 1111 0001 | 0 100010 100000 |
    // ns(3)=1: 10 | ns(1)=0: none | 0000 0010 0001 | 1 | 1279 | 719
    let text = [
        "11111110",
        "0001001000110100",
        "10000",
        "111110",
        "00001",
        "000111",
        "101011110001",
        "0",
        "1",
        "0001",
        "0",
        "1",
        "0000",
        "0",
        "10",
        "000000100001",
        "1",
        "0000010011111111",
        "0000001011001111",
    ]
    .concat();
    let mut expected = Vec::new();
    let mut writer = BitWriter::new(&mut expected);
    for bit in text.chars() {
        writer.put((bit == '1').into(), 1);
    }
    assert_eq!(key_frame(&l1t2()), expected);
}

#[test]
fn a_structure_may_come_with_the_targets_that_are_active() {
    for active in [0b0000, 0b0011, 0b1111] {
        let read = parsed(&key_frame_with(&l2t2(), Some(active), 1), None);
        assert_eq!(read.active_decode_targets, Some(active));
    }
}

#[test]
fn as_many_decode_targets_as_can_be_told_are_read() {
    let frames = vec![Frame(0, 0, vec![2; 32], vec![], vec![15; 32])];
    let most = Described { offset: 0, frames, protected_by: (0..32).collect(), resolutions: vec![] };
    let read = parsed(&key_frame_with(&most, Some(0x8000_0001), 1), None);
    assert_eq!(read.active_decode_targets, Some(0x8000_0001));
    assert_same(read.structure.as_ref().expect("a structure"), &most);
    assert_eq!(most.structure().every_target(), u32::MAX);
}

#[test]
fn a_frame_without_its_structure_tells_its_number_and_nothing_else() {
    let plain = Packet::of(1, 2);
    let masked = Packet { active: Some((0b0011, 4)), ..plain.clone() };
    let own = Packet { frame_diffs: Some(vec![1, 300]), ..plain.clone() };
    for packet in [plain, masked, own] {
        let read = parsed(&packet.bytes(), None);
        assert_eq!((read.template_id, read.frame_number), (1, 2));
        assert!(!read.starts_key_frame());
        assert_eq!((read.active_decode_targets, read.dependencies, read.mask), (None, None, None));
    }
}

#[test]
fn a_frame_is_what_its_template_says() {
    for (template_id, template) in [62, 63, 0].into_iter().zip(l1t2().frames) {
        let packet = Packet { is_middle: true, ..Packet::of(template_id, 7) };
        assert_eq!(own_frame(&packet, &l1t2()), Some(template));
        let read = parsed(&packet.bytes(), Some(&l1t2()));
        assert_eq!((read.structure, read.active_decode_targets), (None, None));
    }
    for outside in [1, 61] {
        let read = parsed(&Packet::of(outside, 7).bytes(), Some(&l1t2()));
        assert_eq!((read.dependencies, read.mask), (None, None));
    }
}

#[test]
fn a_frame_may_have_dependencies_of_its_own() {
    let own = Packet {
        indications: Some(vec![2, 0, 3, 1]),
        frame_diffs: Some(vec![1, 17, 4_096]),
        chain_diffs: Some(vec![255, 0]),
        ..Packet::of(2, 9)
    };
    assert_eq!(
        own_frame(&own, &l2t2()),
        Some(Frame(0, 1, vec![2, 0, 3, 1], vec![1, 17, 4_096], vec![255, 0]))
    );
    let dependencies = parsed(&own.bytes(), Some(&l2t2())).dependencies.expect("dependencies");
    assert_eq!((dependencies.targets(), dependencies.switch_targets()), (0b1101, 0b0001));

    let template = l2t2().frames[2].clone();
    let indications = Packet { indications: Some(vec![0; 4]), ..Packet::of(2, 9) };
    assert_eq!(own_frame(&indications, &l2t2()), Some(Frame { 2: vec![0; 4], ..template.clone() }));
    let frame_diffs = Packet { frame_diffs: Some(vec![]), ..Packet::of(2, 9) };
    assert_eq!(own_frame(&frame_diffs, &l2t2()), Some(Frame { 3: vec![], ..template.clone() }));
    let chain_diffs = Packet { chain_diffs: Some(vec![9, 8]), ..Packet::of(2, 9) };
    assert_eq!(own_frame(&chain_diffs, &l2t2()), Some(Frame { 4: vec![9, 8], ..template }));
}

#[test]
fn active_targets_are_as_many_bits_as_the_structure_has_targets() {
    let packet = Packet { active: Some((0b0101, 4)), chain_diffs: Some(vec![3, 4]), ..Packet::of(2, 9) };
    assert_eq!(parsed(&packet.bytes(), Some(&l2t2())).active_decode_targets, Some(0b0101));
    assert_eq!(own_frame(&packet, &l2t2()), Some(Frame { 4: vec![3, 4], ..l2t2().frames[2].clone() }));
}

#[test]
fn a_key_frame_must_be_of_its_own_structure() {
    let of_template = |template_id| Packet { structure: Some(l1t3()), ..Packet::of(template_id, 1) };
    assert!(is_refused(&of_template(5).bytes(), None));
    let read = parsed(&of_template(4).bytes(), None);
    assert_eq!(read.dependencies.as_ref().map(frame), Some(l1t3().frames[4].clone()));
}

#[test]
fn a_new_structure_takes_the_place_of_the_one_known() {
    let read = parsed(&key_frame(&l1t3()), Some(&l2t2()));
    assert_eq!(read.dependencies.as_ref().map(frame), Some(l1t3().frames[0].clone()));
}

#[test]
fn the_layers_of_decode_targets_are_the_highest_of_their_frames() {
    let ids = |structure: &Described| structure.structure().temporal_ids().collect::<Vec<u8>>();
    assert_eq!(ids(&l1t3()), [0, 1, 2]);
    assert_eq!(ids(&l2t2()), [0, 1, 0, 1]);
    assert_eq!(ids(&without_chains()), [0]);
    assert_eq!((l1t3().structure().every_target(), l2t2().structure().every_target()), (0b111, 0b1111));
}

#[test]
fn it_is_told_whether_a_structure_comes_along() {
    assert!(claims_structure(&key_frame(&l1t2())));
    assert!(claims_structure(&key_frame(&l1t2())[..4]));
    assert!(!claims_structure(&Packet::of(1, 2).bytes()));
    assert!(!claims_structure(&Packet { active: Some((1, 2)), ..Packet::of(1, 2) }.bytes()));
}

fn layered(spatial_steps: u8, temporal_steps: u8) -> Described {
    let temporal = (0..=temporal_steps).map(|temporal| (0, temporal));
    let spatial = (1..=spatial_steps).map(|spatial| (spatial, 0));
    let frames =
        temporal.chain(spatial).map(|(spatial, temporal)| Frame(spatial, temporal, vec![3], vec![], vec![]));
    Described { frames: frames.collect(), ..without_chains() }
}

#[test]
fn layers_are_as_many_as_a_receiver_takes() {
    let most = layered(MAX_SPATIAL_IDS - 1, MAX_TEMPORAL_IDS - 1);
    assert_same(&most.structure(), &most);
    for more in [layered(MAX_SPATIAL_IDS, 0), layered(0, MAX_TEMPORAL_IDS)] {
        assert!(is_refused(&key_frame(&more), None));
    }
}

#[test]
fn as_many_templates_as_can_be_named_are_read() {
    let of_count =
        |count| Described { frames: vec![Frame(0, 0, vec![3], vec![], vec![]); count], ..without_chains() };
    assert_eq!(of_count(MAX_TEMPLATES).structure().templates.len(), MAX_TEMPLATES);
    assert!(is_refused(&key_frame(&of_count(MAX_TEMPLATES + 1)), None));
}

#[test]
fn as_many_references_as_are_allowed_are_read() {
    let of_count =
        |count| Described { frames: vec![Frame(0, 0, vec![3], vec![1; count], vec![])], ..without_chains() };
    assert_eq!(of_count(MAX_FRAME_DIFFS).structure().templates[0].frame_diffs.len(), MAX_FRAME_DIFFS);
    assert!(is_refused(&key_frame(&of_count(MAX_FRAME_DIFFS + 1)), None));
    let own = |count| Packet { frame_diffs: Some((1..=count).collect()), ..Packet::of(2, 9) };
    assert!(!is_refused(&own(MAX_FRAME_DIFFS as u16).bytes(), Some(&l2t2())));
    assert!(is_refused(&own(MAX_FRAME_DIFFS as u16 + 1).bytes(), Some(&l2t2())));
}

#[test]
fn every_beginning_is_refused_but_for_the_mandatory_fields() {
    let own = Packet {
        active: Some((1, 4)),
        indications: Some(vec![0, 1, 2, 3]),
        frame_diffs: Some(vec![1, 4_096]),
        chain_diffs: Some(vec![9, 8]),
        ..Packet::of(2, 9)
    };
    for value in [key_frame(&l1t2()), key_frame(&l2t2()), own.bytes()] {
        for end in 0..value.len() {
            assert_eq!(is_refused(&value[..end], Some(&l2t2())), end != MANDATORY_BYTES);
        }
    }
}

#[test]
fn only_the_first_packet_starts_a_key_frame() {
    let mut value = key_frame(&l1t2());
    value[0] &= 0x7F;
    let read = parsed(&value, None);
    assert_same(read.structure.as_ref().expect("a structure"), &l1t2());
    assert!(!read.starts_key_frame());
}

proptest! {
    #[test]
    fn a_structure_survives_the_wire(
        offset in 0_u8..64,
        templates in prop::collection::vec(
            (
                prop::collection::vec(0_u8..4, 3),
                prop::collection::vec(1_u16..=16, 0..4),
                prop::collection::vec(0_u8..16, 3),
            ),
            1..12,
        ),
        protected_by in prop::collection::vec(0_u8..3, 3),
        resolution in prop::option::of((1_u32..=65_536, 1_u32..=65_536)),
    ) {
        let frame = |(indications, frame_diffs, chain_diffs)| Frame(0, 0, indications, frame_diffs, chain_diffs);
        let frames = templates.into_iter().map(frame).collect();
        let resolutions = resolution.into_iter().collect();
        let described = Described { offset, frames, protected_by, resolutions };
        assert_same(&described.structure(), &described);
    }
}
