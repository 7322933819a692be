use super::*;
use proptest::prelude::*;

/// First bytes of a key frame of 322 x 182 (RFC 6386 section 9.1).
const KEY_FRAME: [u8; 10] = [0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0x42, 0x01, 0xB6, 0x00];
const DELTA_FRAME: [u8; 3] = [0x11, 0x02, 0x00];

/// The fields of a descriptor as a sender chooses them.
#[derive(Clone, Debug)]
struct Fields {
    start_of_partition: bool,
    partition: u8,
    non_reference: bool,
    picture_id: Option<(u16, bool)>,
    tl0_pic_idx: Option<u8>,
    temporal: Option<(u8, bool)>,
    key_idx: Option<u8>,
}

impl Fields {
    fn bytes(&self) -> Vec<u8> {
        let flags = u8::from(self.picture_id.is_some()) << 7
            | u8::from(self.tl0_pic_idx.is_some()) << 6
            | u8::from(self.temporal.is_some()) << 5
            | u8::from(self.key_idx.is_some()) << 4;
        let first = u8::from(flags != 0) << 7
            | u8::from(self.non_reference) << 5
            | u8::from(self.start_of_partition) << 4
            | self.partition;
        let mut out = vec![first];
        if flags != 0 {
            out.push(flags);
        }
        match self.picture_id {
            Some((id, true)) => out.extend_from_slice(&(0x8000 | id).to_be_bytes()),
            Some((id, false)) => out.push(id as u8),
            None => {}
        }
        out.extend(self.tl0_pic_idx);
        if self.temporal.is_some() || self.key_idx.is_some() {
            let (id, sync) = self.temporal.unwrap_or_default();
            out.push(id << 6 | u8::from(sync) << 5 | self.key_idx.unwrap_or_default());
        }
        out
    }
}

prop_compose! {
    fn fields()(
        start_of_partition: bool,
        partition in 0_u8..8,
        non_reference: bool,
        picture_id in prop::option::of((0_u16..1 << 15, any::<bool>())),
        tl0_pic_idx: Option<u8>,
        temporal in prop::option::of((0_u8..4, any::<bool>())),
        key_idx in prop::option::of(0_u8..32),
    ) -> Fields {
        let picture_id = picture_id.map(|(id, long)| if long { (id, true) } else { (id & 0x7F, false) });
        Fields { start_of_partition, partition, non_reference, picture_id, tl0_pic_idx, temporal, key_idx }
    }
}

fn rewritten(payload: &[u8], picture_id: u16, tl0_pic_idx: u8, key_idx: u8) -> Vec<u8> {
    let descriptor = parse_vp8(payload).expect("a descriptor");
    let mut out = Vec::new();
    write_vp8_head(payload, descriptor, picture_id, tl0_pic_idx, key_idx, &mut out);
    out.extend_from_slice(&payload[descriptor.size_bytes()..]);
    out
}

proptest! {
    #[test]
    fn a_descriptor_is_read_as_it_was_written(fields in fields(), rest in prop::collection::vec(any::<u8>(), 0..10)) {
        let head = fields.bytes();
        let read = parse_vp8(&[&head, &rest[..]].concat()).expect("a descriptor");
        prop_assert_eq!(read.size_bytes(), head.len());
        prop_assert_eq!(read.start_of_partition(), fields.start_of_partition);
        prop_assert_eq!(read.partition(), fields.partition);
        prop_assert_eq!(read.non_reference(), fields.non_reference);
        prop_assert_eq!(read.picture_id(), fields.picture_id.map(|(id, _)| id));
        let bits = fields.picture_id.map_or(0, |(_, long)| if long { 15 } else { 7 });
        prop_assert_eq!(read.picture_id_bits(), bits);
        prop_assert_eq!(read.tl0_pic_idx(), fields.tl0_pic_idx);
        prop_assert_eq!(read.temporal_id(), fields.temporal.map(|(id, _)| id));
        prop_assert_eq!(read.layer_sync(), fields.temporal.is_some_and(|(_, sync)| sync));
        prop_assert_eq!(read.key_idx(), fields.key_idx);
        let starts_frame = fields.start_of_partition && fields.partition == 0;
        prop_assert_eq!(read.starts_frame(), starts_frame);
        prop_assert_eq!(read.starts_key_frame(), starts_frame && rest.first().is_some_and(|tag| tag % 2 == 0));
    }

    #[test]
    fn any_bytes_are_a_descriptor_or_refused(
        mut payload in prop::collection::vec(any::<u8>(), 0..12),
        is_extended: bool,
    ) {
        if let (true, Some(first)) = (is_extended, payload.first_mut()) {
            *first |= HAS_EXTENSION;
        }
        match parse_vp8(&payload) {
            Ok(descriptor) => {
                prop_assert!((1..=payload.len()).contains(&descriptor.size_bytes()));
                frame_size(&payload, descriptor);
            }
            Err(error) => prop_assert_eq!(error, ParseError("vp8")),
        }
    }

    #[test]
    fn a_rewrite_changes_the_numbers_that_are_there_and_nothing_else(
        fields in fields(),
        rest in prop::collection::vec(any::<u8>(), 0..10),
        picture_id in 0_u16..1 << 15,
        tl0_pic_idx: u8,
        key_idx in 0_u8..32,
    ) {
        let payload = [&fields.bytes(), &rest[..]].concat();
        let wanted = Fields {
            picture_id: fields.picture_id.map(|_| (picture_id, true)),
            tl0_pic_idx: fields.tl0_pic_idx.map(|_| tl0_pic_idx),
            key_idx: fields.key_idx.map(|_| key_idx),
            ..fields
        };
        let wanted = [&wanted.bytes(), &rest[..]].concat();
        prop_assert_eq!(rewritten(&payload, picture_id, tl0_pic_idx, key_idx), wanted);
    }

    #[test]
    fn a_rewrite_to_the_same_numbers_changes_nothing_but_short_ids(payload in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Ok(read) = parse_vp8(&payload) {
            let same = rewritten(
                &payload,
                read.picture_id().unwrap_or_default(),
                read.tl0_pic_idx().unwrap_or_default(),
                read.key_idx().unwrap_or_default(),
            );
            if read.picture_id_bits() == 7 {
                prop_assert_eq!(same.len(), payload.len() + 1);
                prop_assert_eq!(&same[..2], &payload[..2]);
                prop_assert_eq!(&same[4..], &payload[3..]);
            } else {
                prop_assert_eq!(same, payload);
            }
        }
    }
}

#[test]
fn a_descriptor_is_small_enough_to_be_kept_with_its_packet() {
    assert_eq!(size_of::<Vp8Descriptor>(), 8);
}

#[test]
fn every_beginning_of_a_descriptor_is_refused() {
    let payloads: [&[u8]; 6] = [
        &[0x90, 0xF0, 0x81, 0x02, 0x03, 0x04],
        &[0x90, 0x80, 0x01],
        &[0x90, 0x80, 0xFF, 0xFF],
        &[0x90, 0x40, 0x07],
        &[0x90, 0x20, 0x40],
        &[0x90, 0x10, 0x05],
    ];
    for payload in payloads {
        let size = parse_vp8(payload).expect("a descriptor").size_bytes();
        assert_eq!(size, payload.len());
        for end in 0..size {
            assert_eq!(parse_vp8(&payload[..end]), Err(ParseError("vp8")));
        }
    }
}

#[test]
fn the_descriptor_is_where_the_rfc_puts_it() {
    let payload = [&[0xB0, 0xF0, 0x81, 0x23, 0x45, 0xA7], &KEY_FRAME[..]].concat();
    let read = parse_vp8(&payload).expect("a descriptor");
    assert_eq!(read.size_bytes(), 6);
    assert!(read.start_of_partition() && read.non_reference() && read.starts_key_frame());
    assert_eq!((read.partition(), read.picture_id_bits()), (0, 15));
    assert_eq!((read.picture_id(), read.tl0_pic_idx()), (Some(0x123), Some(0x45)));
    assert_eq!((read.temporal_id(), read.layer_sync(), read.key_idx()), (Some(2), true, Some(7)));
}

#[test]
fn a_short_picture_id_has_seven_bits() {
    let read = parse_vp8(&[0x90, 0x80, 0x45]).expect("a descriptor");
    assert_eq!((read.picture_id(), read.picture_id_bits()), (Some(0x45), 7));
}

#[test]
fn the_temporal_layer_counts_only_where_it_is_told() {
    let read = parse_vp8(&[0x90, 0x10, 0xE3]).expect("a descriptor");
    assert_eq!((read.temporal_id(), read.layer_sync(), read.key_idx()), (None, false, Some(3)));
    let read = parse_vp8(&[0x90, 0x20, 0xE3]).expect("a descriptor");
    assert_eq!((read.temporal_id(), read.layer_sync(), read.key_idx()), (Some(3), true, None));
}

#[test]
fn a_key_frame_starts_with_its_first_packet() {
    let cases: [(u8, &[u8], bool, bool); 6] = [
        (0x10, &KEY_FRAME, true, true),
        (0x10, &DELTA_FRAME, true, false),
        (0x10, &[], true, false),
        (0x00, &KEY_FRAME, false, false),
        (0x11, &KEY_FRAME, false, false),
        (0x30, b"\x10encrypted", true, true),
    ];
    for (first, frame, starts_frame, starts_key_frame) in cases {
        let read = parse_vp8(&[&[first], frame].concat()).expect("a descriptor");
        assert_eq!((read.starts_frame(), read.starts_key_frame()), (starts_frame, starts_key_frame));
    }
}

fn size_of_frame(frame: &[u8]) -> Option<(u16, u16)> {
    let payload = [&[0x10], frame].concat();
    frame_size(&payload, parse_vp8(&payload).expect("a descriptor"))
}

#[test]
fn a_size_is_read_without_the_scaling_bits() {
    assert_eq!(size_of_frame(&KEY_FRAME), Some((322, 182)));
    let scaled = [&KEY_FRAME[..6], &[0x42, 0xC1, 0xB6, 0x40]].concat();
    assert_eq!(size_of_frame(&scaled), Some((322, 182)));
}

#[test]
fn a_size_that_is_not_there_is_not_made_up() {
    let mut another = KEY_FRAME;
    another[5] = 0x2B;
    for frame in [&KEY_FRAME[..9], &KEY_FRAME[..3], &another, &DELTA_FRAME.repeat(4)] {
        assert_eq!(size_of_frame(frame), None);
    }
}

#[test]
fn a_short_picture_id_grows_and_the_rest_stays() {
    let payload = [&[0xB0, 0xF0, 0x7F, 0x45, 0xA7], &KEY_FRAME[..]].concat();
    let wanted = [&[0xB0, 0xF0, 0x80, 0x05, 0x06, 0xA9], &KEY_FRAME[..]].concat();
    assert_eq!(rewritten(&payload, 5, 6, 9), wanted);
}
