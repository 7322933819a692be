use super::super::*;
use super::encoder::*;
use proptest::prelude::*;

fn rewritten(
    value: &[u8],
    known: Option<&Described>,
    frame_number: u16,
    shift: u8,
    active: Option<u32>,
) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let numbers = NewNumbers { frame_number, template_shift: shift, active };
    rewrite_dependency_descriptor(value, &parsed(value, known), numbers, &mut out);
    out.split_off(6)
}

#[test]
fn a_short_descriptor_grows_by_the_mask_and_its_flags() {
    let packet = Packet::of(3, 9).bytes();
    assert_eq!(rewritten(&packet, Some(&l1t3()), 65_535, 2, None), [0xC5, 0xFF, 0xFF]);
    assert_eq!(rewritten(&packet, Some(&l1t3()), 1, 61, Some(0b011)), [0xC0, 0x00, 0x01, 0x43]);
}

#[test]
fn what_the_publisher_says_of_active_targets_is_replaced() {
    let of = |active| Packet { active: Some((active, 3)), ..Packet::of(3, 9) }.bytes();
    assert_eq!(rewritten(&of(0b111), Some(&l1t3()), 9, 0, Some(0b001)), of(0b001));
    assert_eq!(rewritten(&of(0b111), Some(&l1t3()), 9, 0, None), of(0b111));
}

#[test]
fn a_structure_moves_its_templates_and_takes_a_mask_behind_it() {
    let moved = Described { offset: 61, ..l2t2() };
    let plain = key_frame(&l2t2());
    assert_eq!(rewritten(&plain, None, 7, 61, None), key_frame_with(&moved, None, 7));
    assert_eq!(rewritten(&plain, None, 7, 61, Some(0b0101)), key_frame_with(&moved, Some(0b0101), 7));
    let told = key_frame_with(&l2t2(), Some(0b1111), 1);
    assert_eq!(rewritten(&told, None, 7, 0, Some(0b0101)), key_frame_with(&l2t2(), Some(0b0101), 7));
}

#[test]
fn padding_is_left_away_where_a_mask_is_written() {
    let of = |active| Packet { active: Some((active, 3)), ..Packet::of(3, 9) }.bytes();
    let padded = [of(0b111), vec![0; 9]].concat();
    assert_eq!(rewritten(&padded, Some(&l1t3()), 9, 0, Some(0b001)), of(0b001));
    let padded = [Packet::of(3, 9).bytes(), vec![0; 2]].concat();
    assert_eq!(rewritten(&padded, Some(&l1t3()), 9, 0, Some(0b010)), of(0b010));
}

#[test]
fn without_the_structure_numbers_move_and_what_cannot_be_read_stays() {
    let of = |template_id, frame_number| {
        let own = Packet::of(template_id, frame_number);
        Packet { active: Some((0b111, 3)), frame_diffs: Some(vec![4]), ..own }.bytes()
    };
    assert_eq!(rewritten(&of(3, 9), None, 10, 1, Some(0b001)), of(4, 10));
}

prop_compose! {
    fn packets()(
        structure in prop::sample::select(vec![l1t2(), l1t3(), l2t2(), without_chains()]),
        index in 0_u8..3,
        (brings, is_middle) in any::<(bool, bool)>(),
        told: Option<u32>,
        own in any::<[bool; 3]>(),
        diffs in prop::collection::vec(1_u16..=4_096, 0..4),
    ) -> (Described, Packet) {
        let width = structure.targets();
        let index = index % structure.frames.len() as u8;
        let chains = structure.frames[0].4.len();
        let packet = Packet {
            is_middle,
            structure: brings.then(|| structure.clone()),
            active: told.map(|active| (active & ((1 << width) - 1), width)),
            indications: own[0].then(|| vec![1; width as usize]),
            frame_diffs: own[1].then_some(diffs),
            chain_diffs: own[2].then(|| vec![200; chains]),
            ..Packet::of((structure.offset + index) % 64, 4_711)
        };
        (structure, packet)
    }
}

proptest! {
    #[test]
    fn rewriting_changes_what_it_says_and_nothing_else(
        (structure, packet) in packets(),
        frame_number: u16,
        shift in 0_u8..64,
        active: Option<u32>,
        padding in 0_usize..4,
    ) {
        let value = [packet.bytes(), vec![0; padding]].concat();
        let active = active.map(|active| active & ((1 << structure.targets()) - 1));
        let moved = Described { offset: (structure.offset + shift) % 64, ..structure.clone() };
        let before = parsed(&value, Some(&structure));
        let after = parsed(&rewritten(&value, Some(&structure), frame_number, shift, active), Some(&moved));
        let expected = DependencyDescriptor {
            frame_number,
            template_id: (packet.template_id + shift) % 64,
            structure: packet.structure.map(|_| moved.structure()),
            active_decode_targets: active.or(before.active_decode_targets),
            mask: after.mask,
            ..before
        };
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn any_bytes_are_a_descriptor_or_refused(
        mut value in prop::collection::vec(any::<u8>(), 0..250),
        claims in any::<bool>(),
    ) {
        if let (true, Some(head)) = (claims, value.first_chunk_mut::<4>()) {
            *head = [0xC0, 0x00, 0x01, 0x80];
        }
        is_refused(&value, None);
        if !is_refused(&value, Some(&l2t2())) {
            let again = rewritten(&value, Some(&l2t2()), 1, 0, Some(0b0001));
            prop_assert_eq!(parsed(&again, Some(&l2t2())).frame_number, 1);
        }
    }
}
