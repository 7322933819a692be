use super::*;
use proptest::prelude::*;

/// A packet by its values, as the twin's `RtpPacket`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    payload_type: u8,
    marker: bool,
    sequence_number: u16,
    timestamp: u32,
    ssrc: u32,
    elements: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
    padding_bytes: u8,
}

impl Packet {
    fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let header = RtpHeader::parse(data)?;
        Ok(Self {
            payload_type: header.payload_type,
            marker: header.marker,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            ssrc: header.ssrc.0,
            elements: header.elements(data).map(|(id, value)| (id, value.to_vec())).collect(),
            payload: header.payload(data).to_vec(),
            padding_bytes: header.padding_bytes,
        })
    }

    fn write(&self, out: &mut Vec<u8>, two_bytes: bool) {
        let start = out.len();
        let mut writer = HeaderWriter::start(
            out,
            self.payload_type,
            self.marker,
            self.sequence_number,
            self.timestamp,
            Ssrc(self.ssrc),
            two_bytes,
        );
        for (id, value) in &self.elements {
            writer.element(*id, value);
        }
        let header = writer.finish();
        assert_eq!(out.len() - start, header);
        out.extend_from_slice(&self.payload);
        pad(out, start, self.padding_bytes);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, false);
        out
    }
}

prop_compose! {
    fn element()(short in any::<bool>(), id in 1_u8..=255, value in prop::collection::vec(any::<u8>(), 0..40)) -> (u8, Vec<u8>) {
        if short {
            let length = value.len().clamp(1, 16);
            (id % 14 + 1, value.into_iter().chain([0]).take(length).collect())
        } else {
            (id, value)
        }
    }
}

prop_compose! {
    fn packet()(
        payload_type in 0_u8..128,
        marker: bool,
        sequence_number: u16,
        timestamp: u32,
        ssrc: u32,
        elements in prop::collection::vec(element(), 0..8),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        padding_bytes: u8,
    ) -> Packet {
        Packet { payload_type, marker, sequence_number, timestamp, ssrc, elements, payload, padding_bytes }
    }
}

/// A packet with this extension block, or without one.
fn packet_with(first: u8, block: &[u8], payload: &[u8]) -> Vec<u8> {
    let first = first | if block.is_empty() { 0 } else { HAS_EXTENSION };
    let head = [first, 96, 0, 17, 0, 1, 0x5F, 0x90, 0, 0, 0xCA, 0xFE];
    [&head, block, payload].concat()
}

fn block_of(profile: u16, body: &[u8]) -> Vec<u8> {
    assert_eq!(body.len() % 4, 0);
    let words = (body.len() / 4) as u16;
    [&profile.to_be_bytes(), &words.to_be_bytes(), body].concat()
}

fn elements_of(data: &[u8]) -> Vec<(u8, &[u8])> {
    RtpHeader::parse(data).expect("a packet").elements(data).collect()
}

fn reason(data: &[u8]) -> &'static str {
    RtpHeader::parse(data).expect_err("no packet").0
}

proptest! {
    #[test]
    fn a_packet_survives_the_wire(packet in packet(), two_bytes: bool) {
        let mut data = b"something before".to_vec();
        let start = data.len();
        packet.write(&mut data, two_bytes);
        prop_assert_eq!(Packet::parse(&data[start..]), Ok(packet.clone()));
        if two_bytes && !packet.elements.is_empty() {
            prop_assert_eq!(&data[start + 12..start + 14], TWO_BYTE_PROFILE.to_be_bytes());
        }
    }

    #[test]
    fn every_beginning_of_a_packet_is_a_packet_or_refused(packet in packet()) {
        let data = packet.bytes();
        for end in 0..data.len() {
            if let Ok(read) = Packet::parse(&data[..end]) {
                prop_assert!(read.payload.len() + usize::from(read.padding_bytes) <= end);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_refused(
        mut data in prop::collection::vec(any::<u8>(), 0..200),
        likely in prop::option::of(Just([0xB0_u8, 0x60])),
    ) {
        if let (Some(likely), Some(head)) = (likely, data.first_chunk_mut::<2>()) {
            *head = likely;
        }
        match Packet::parse(&data) {
            Ok(packet) => prop_assert_eq!(Packet::parse(&packet.bytes()), Ok(packet)),
            Err(error) => prop_assert!(["short", "version", "extension", "padding"].contains(&error.0)),
        }
    }
}

#[test]
fn a_header_is_small_enough_to_be_kept_with_its_packet() {
    assert!(size_of::<RtpHeader>() <= 32);
}

#[test]
fn a_packet_has_its_fields_where_the_rfc_puts_them() {
    let data = [
        0x92, 0xE0, 0x12, 0x34, 0x89, 0xAB, 0xCD, 0xEF, 0, 0, 0xCA, 0xFE, 0, 0, 0, 1, 0, 0, 0, 2, 0xBE, 0xDE,
        0, 1, 0x10, 0xFF, 0, 0, 0xAB, 0xCD,
    ];
    let header = RtpHeader::parse(&data).expect("a packet");
    assert_eq!((header.payload_type, header.marker), (96, true));
    assert_eq!((header.sequence_number, header.timestamp), (0x1234, 0x89AB_CDEF));
    assert_eq!((header.ssrc, header.csrc_count()), (Ssrc(0xCAFE), 2));
    assert_eq!(elements_of(&data), [(1, &[0xFF][..])]);
    assert_eq!(header.payload(&data), [0xAB, 0xCD]);
    assert_eq!(header.payload_range(), 28..30);
}

#[test]
fn an_element_is_found_by_its_id() {
    let data = packet_with(0x80, &block_of(ONE_BYTE_PROFILE, b"\x10a\x21bb\x10z\0"), b"payload");
    let header = RtpHeader::parse(&data).expect("a packet");
    assert_eq!(header.element(&data, Some(2)), Some(&b"bb"[..]));
    assert_eq!(header.element(&data, Some(1)), Some(&b"a"[..]));
    assert_eq!(header.element(&data, Some(3)), None);
    assert_eq!(header.element(&data, None), None);
}

#[test]
fn the_two_byte_form_is_taken_only_where_it_must_be() {
    let cases: [(u8, &[u8], bool); 6] = [
        (14, &[0; 16], false),
        (1, b"x", false),
        (15, b"x", true),
        (1, b"", true),
        (1, &[0; 17], true),
        (255, &[0; 255], true),
    ];
    for (id, value, wide) in cases {
        assert_eq!(needs_two_bytes(id, value), wide);
        let mut out = Vec::new();
        let mut writer = HeaderWriter::start(&mut out, 96, false, 0, 0, Ssrc(0), false);
        writer.element(2, b"yy");
        writer.element(id, value);
        writer.element(3, b"z");
        writer.finish();
        let profile = if wide { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
        assert_eq!(out[12..14], profile.to_be_bytes());
        assert_eq!(elements_of(&out), [(2, &b"yy"[..]), (id, value), (3, b"z")]);
    }
}

#[test]
fn a_value_that_fits_no_form_is_left_out() {
    let mut out = Vec::new();
    let mut writer = HeaderWriter::start(&mut out, 96, false, 0, 0, Ssrc(0), false);
    writer.element(2, &[0; 256]);
    assert_eq!(writer.finish(), 12);
}

#[test]
fn no_extensions_make_no_block() {
    let plain = packet_with(0x80, &[], b"payload");
    assert_eq!(Packet::parse(&plain).map(|packet| packet.bytes()), Ok(plain.clone()));
    let empty = packet_with(0x80, &block_of(ONE_BYTE_PROFILE, b""), b"payload");
    assert_eq!(Packet::parse(&empty).map(|packet| packet.bytes()), Ok(plain));
}

#[test]
fn application_bits_do_not_matter() {
    for profile in [0x1000, 0x1005, 0x100F] {
        let data = packet_with(0x80, &block_of(profile, b"\x14\x03abc\0\0\0"), b"");
        assert_eq!(elements_of(&data), [(20, &b"abc"[..])]);
    }
}

#[test]
fn an_unknown_profile_is_stepped_over() {
    for profile in [0x0000, 0x0FFF, 0x1010, 0xBEDF] {
        let data = packet_with(0x80, &block_of(profile, &[0xFF; 8]), b"payload");
        assert_eq!(elements_of(&data), []);
        assert_eq!(RtpHeader::parse(&data).expect("a packet").payload(&data), b"payload");
    }
}

#[test]
fn padding_among_elements_is_stepped_over() {
    let one = packet_with(0x80, &block_of(ONE_BYTE_PROFILE, b"\0\x10a\0\0\x21bb"), b"");
    assert_eq!(elements_of(&one), [(1, &b"a"[..]), (2, b"bb")]);
    let two = packet_with(0x80, &block_of(TWO_BYTE_PROFILE, b"\0\x01\x01a\0\x02\0\0"), b"");
    assert_eq!(elements_of(&two), [(1, &b"a"[..]), (2, b"")]);
}

#[test]
fn a_reserved_id_ends_the_one_byte_elements() {
    for stop in [b"\xF0\x10b\0\0", b"\xFF\x10b\0\0", b"\x01\x10b\0\0"] {
        let block = block_of(ONE_BYTE_PROFILE, &[&b"\x10a\0"[..], stop].concat());
        let data = packet_with(0x80, &block, b"payload");
        assert_eq!(elements_of(&data), [(1, &b"a"[..])]);
    }
}

#[test]
fn extensions_beyond_their_block_are_refused() {
    let blocks: [&[u8]; 5] = [
        b"\xBE\xDE\0",
        b"\xBE\xDE\0\x03\0\0\0\0",
        &block_of(ONE_BYTE_PROFILE, b"\x13abc"),
        &block_of(TWO_BYTE_PROFILE, b"\x01\x03ab"),
        &block_of(TWO_BYTE_PROFILE, b"\x01\x01a\x02"),
    ];
    for block in blocks {
        assert_eq!(reason(&packet_with(0x80, block, b"")), "extension");
    }
}

#[test]
fn as_many_elements_as_are_allowed_are_read() {
    let packet_of = |count: usize| {
        let body = [b"\x10a".repeat(count), vec![0; count % 2 * 2]].concat();
        packet_with(0x80, &block_of(ONE_BYTE_PROFILE, &body), b"")
    };
    assert_eq!(elements_of(&packet_of(MAX_EXTENSIONS)).len(), MAX_EXTENSIONS);
    assert_eq!(reason(&packet_of(MAX_EXTENSIONS + 1)), "extension");
}

#[test]
fn what_is_too_short_is_refused() {
    for data in [&[][..], &[0; 11], &packet_with(0x81, &[], b"")] {
        assert_eq!(reason(data), "short");
    }
}

#[test]
fn another_version_is_refused() {
    for first in [0x00, 0x40, 0xC0] {
        assert_eq!(reason(&packet_with(first, &[], b"payload")), "version");
    }
}

#[test]
fn more_padding_than_packet_is_refused() {
    for payload in [&b"abc\0"[..], b"abc\x05", b"\xFF", b""] {
        assert_eq!(reason(&packet_with(0xA0, &[], payload)), "padding");
    }
    let block = block_of(ONE_BYTE_PROFILE, b"\x12aa\x01");
    assert_eq!(reason(&packet_with(0xA0, &block, b"")), "padding");
}

#[test]
fn a_packet_may_be_all_padding() {
    let mut data = packet_with(0x80, &[], b"");
    pad(&mut data, 0, 3);
    assert_eq!(data, packet_with(0xA0, &[], b"\0\0\x03"));
    let header = RtpHeader::parse(&data).expect("a packet");
    assert_eq!((header.payload(&data), header.padding_bytes), (&b""[..], 3));
}

#[test]
fn a_payload_may_begin_later_and_elements_stay() {
    let data = packet_with(0x80, &block_of(ONE_BYTE_PROFILE, b"\x12aaa"), b"\x01\x02rest");
    let mut header = RtpHeader::parse(&data).expect("a packet");
    header.skip_payload(2);
    assert_eq!(header.payload(&data), b"rest");
    assert_eq!(header.element(&data, Some(1)), Some(&b"aaa"[..]));
    header.skip_payload(9);
    assert_eq!(header.payload(&data), b"");
}
