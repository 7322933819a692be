use super::*;
use proptest::prelude::*;

/// A frame as an encoder describes it: layer, indications, frame diffs, chain diffs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame(u8, u8, Vec<u8>, Vec<u16>, Vec<u8>);

/// A structure as an encoder describes it.
#[derive(Clone, Debug)]
struct Described {
    offset: u8,
    frames: Vec<Frame>,
    protected_by: Vec<u8>,
    resolutions: Vec<(u32, u32)>,
}

impl Described {
    fn targets(&self) -> u32 {
        self.frames[0].2.len() as u32
    }

    fn write(&self, writer: &mut BitWriter) {
        writer.put(self.offset.into(), 6);
        writer.put(self.targets() - 1, 5);
        for pair in self.frames.windows(2) {
            let step = if pair[1].0 == pair[0].0 { pair[1].1 - pair[0].1 } else { 2 };
            writer.put(step.into(), 2);
        }
        writer.put(3, 2);
        for Frame(_, _, indications, ..) in &self.frames {
            put_all(writer, indications, 2);
        }
        for Frame(_, _, _, diffs, _) in &self.frames {
            for diff in diffs {
                writer.put(16 | u32::from(diff - 1), 5);
            }
            writer.put(0, 1);
        }
        let chains = self.frames[0].4.len() as u32;
        put_non_symmetric(writer, self.targets() + 1, chains);
        for chain in &self.protected_by {
            put_non_symmetric(writer, chains, (*chain).into());
        }
        for Frame(.., diffs) in &self.frames {
            put_all(writer, diffs, 4);
        }
        writer.put((!self.resolutions.is_empty()).into(), 1);
        for (width, height) in &self.resolutions {
            writer.put(width - 1, 16);
            writer.put(height - 1, 16);
        }
    }

    fn structure(&self) -> Structure {
        parse_dependency_descriptor(&key_frame(self), None)
            .expect("a descriptor")
            .structure
            .expect("a structure")
    }
}

fn put_all(writer: &mut BitWriter, values: &[u8], count: u32) {
    for value in values {
        writer.put((*value).into(), count);
    }
}

/// `ns(n)` by its definition in AV1, section 4.10.7.
fn put_non_symmetric(writer: &mut BitWriter, count: u32, value: u32) {
    let width = 32 - count.leading_zeros();
    let short = (1 << width) - count;
    if value < short { writer.put(value, width - 1) } else { writer.put(value + short, width) }
}

/// One spatial and three temporal layers, in libwebrtc's order: decode target 0 is the lowest.
fn l1t3() -> Described {
    Described {
        offset: 0,
        frames: vec![
            Frame(0, 0, vec![2, 2, 2], vec![], vec![0]),
            Frame(0, 0, vec![2, 2, 2], vec![4], vec![4]),
            Frame(0, 1, vec![0, 1, 2], vec![2], vec![2]),
            Frame(0, 2, vec![0, 0, 1], vec![1], vec![1]),
            Frame(0, 2, vec![0, 0, 1], vec![1], vec![3]),
        ],
        protected_by: vec![0, 0, 0],
        resolutions: vec![(640, 360)],
    }
}

/// One spatial and two temporal layers, template ids over their wrap.
fn l1t2() -> Described {
    Described {
        offset: 62,
        frames: vec![
            Frame(0, 0, vec![2, 2], vec![], vec![0]),
            Frame(0, 0, vec![3, 3], vec![2], vec![2]),
            Frame(0, 1, vec![0, 1], vec![1], vec![1]),
        ],
        protected_by: vec![0, 0],
        resolutions: vec![(1280, 720)],
    }
}

/// Two spatial layers, the upper built on the lower, with two temporal layers each.
fn l2t2() -> Described {
    Described {
        offset: 0,
        frames: vec![
            Frame(0, 0, vec![2, 2, 2, 2], vec![], vec![0, 0]),
            Frame(0, 0, vec![2, 2, 3, 3], vec![4], vec![4, 3]),
            Frame(0, 1, vec![0, 1, 0, 3], vec![2], vec![2, 1]),
            Frame(1, 0, vec![0, 0, 2, 2], vec![1], vec![1, 1]),
            Frame(1, 0, vec![0, 0, 2, 2], vec![1, 4], vec![1, 1]),
            Frame(1, 1, vec![0, 0, 0, 1], vec![1, 2], vec![3, 2]),
        ],
        protected_by: vec![0, 0, 1, 1],
        resolutions: vec![(640, 360), (1280, 720)],
    }
}

fn without_chains() -> Described {
    let frames = vec![Frame(0, 0, vec![3], vec![], vec![]), Frame(0, 0, vec![3], vec![1], vec![])];
    Described { offset: 7, frames, protected_by: vec![], resolutions: vec![] }
}

/// A packet as an encoder describes it.
#[derive(Clone, Debug, Default)]
struct Packet {
    template_id: u8,
    frame_number: u16,
    is_middle: bool,
    structure: Option<Described>,
    /// The mask and its bits.
    active: Option<(u32, u32)>,
    indications: Option<Vec<u8>>,
    frame_diffs: Option<Vec<u16>>,
    chain_diffs: Option<Vec<u8>>,
}

impl Packet {
    fn of(template_id: u8, frame_number: u16) -> Self {
        Self { template_id, frame_number, ..Self::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        writer.put(if self.is_middle { 0 } else { 3 }, 2);
        writer.put(self.template_id.into(), 6);
        writer.put(self.frame_number.into(), 16);
        let flags = [
            self.structure.is_some(),
            self.active.is_some(),
            self.indications.is_some(),
            self.frame_diffs.is_some(),
            self.chain_diffs.is_some(),
        ];
        if flags.contains(&true) {
            for flag in flags {
                writer.put(flag.into(), 1);
            }
        }
        if let Some(structure) = &self.structure {
            structure.write(&mut writer);
        }
        if let Some((active, width)) = self.active {
            writer.put(active, width);
        }
        put_all(&mut writer, self.indications.as_deref().unwrap_or_default(), 2);
        if let Some(diffs) = &self.frame_diffs {
            for diff in diffs {
                let size = (u16::BITS - (diff - 1).leading_zeros()).div_ceil(4).max(1);
                writer.put(size, 2);
                writer.put(u32::from(diff - 1), 4 * size);
            }
            writer.put(0, 2);
        }
        put_all(&mut writer, self.chain_diffs.as_deref().unwrap_or_default(), 8);
        out
    }
}

fn key_frame(structure: &Described) -> Vec<u8> {
    key_frame_with(structure, None, 0x1234)
}

fn key_frame_with(structure: &Described, active: Option<u32>, frame_number: u16) -> Vec<u8> {
    Packet {
        structure: Some(structure.clone()),
        active: active.map(|active| (active, structure.targets())),
        ..Packet::of(structure.offset, frame_number)
    }
    .bytes()
}

/// The same as plain lists.
fn described(structure: &Structure) -> Described {
    Described {
        offset: structure.template_id_offset,
        frames: structure.templates.iter().map(frame).collect(),
        protected_by: structure.decode_target_protected_by.to_vec(),
        resolutions: structure.resolutions.to_vec(),
    }
}

fn frame(dependencies: &FrameDependencies) -> Frame {
    Frame(
        dependencies.spatial_id,
        dependencies.temporal_id,
        dependencies.indications.iter().map(|indication| indication as u8).collect(),
        dependencies.frame_diffs.to_vec(),
        dependencies.chain_diffs.to_vec(),
    )
}

fn parsed(value: &[u8], structure: Option<&Described>) -> DependencyDescriptor {
    let structure = structure.map(Described::structure);
    parse_dependency_descriptor(value, structure.as_ref()).expect("a descriptor")
}

fn own_frame(packet: &Packet, structure: &Described) -> Option<Frame> {
    parsed(&packet.bytes(), Some(structure)).dependencies.as_ref().map(frame)
}

fn is_refused(value: &[u8], structure: Option<&Described>) -> bool {
    let structure = structure.map(Described::structure);
    match parse_dependency_descriptor(value, structure.as_ref()) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error, ParseError("dependency_descriptor"));
            true
        }
    }
}

fn assert_same(structure: &Structure, expected: &Described) {
    let read = described(structure);
    assert_eq!(u32::from(structure.decode_target_count), expected.targets());
    assert_eq!((read.offset, read.frames), (expected.offset, expected.frames.clone()));
    assert_eq!(
        (read.protected_by, read.resolutions),
        (expected.protected_by.clone(), expected.resolutions.clone())
    );
}

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
