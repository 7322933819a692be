use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::address::Address;

// RFC 5769, sections 2.1 to 2.3.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae
    802200105354554e207465737420636c69656e74
    002400046e0001ff80290008932ff9b151263b36
    000600096576746a3a68367659202020
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
    80280004e57a3bcf";
const IPV4_RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae
    8022000b7465737420766563746f7220
    002000080001a147e112a643
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7
    80280004c07d4c96";
const IPV6_RESPONSE: &str = "010100482112a442b7e7a701bc34d686fa87dfae
    8022000b7465737420766563746f7220
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014a382954e4be67bf11784c97c8292c275bfe3ed41
    80280004c8fb0b4c";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
const IPV4: &str = "192.0.2.1:32853";
const IPV6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        digits.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn address(text: &str) -> Address {
    Address::from(text.parse::<SocketAddr>().expect("it is an address"))
}

fn vectors() -> [Vec<u8>; 3] {
    [REQUEST, IPV4_RESPONSE, IPV6_RESPONSE].map(hex)
}

fn parsed(data: &[u8]) -> StunMessage<'_> {
    StunMessage::parse(data).expect("it is a message")
}

#[test]
fn the_request_of_rfc_5769_is_read_and_verified() {
    let data = hex(REQUEST);
    let message = parsed(&data);
    assert_eq!((message.class, message.method), (MessageClass::Request, BINDING));
    assert_eq!(message.transaction_id, TRANSACTION);
    assert_eq!(message.attribute(Attribute::Username), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.attribute(Attribute::IceControlled), Some(&hex("932ff9b151263b36")[..]));
    assert_eq!(message.attribute(Attribute::UseCandidate), None);
    assert!(message.is_signed_with(PASSWORD));
    assert!(!message.is_signed_with(&PASSWORD.to_lowercase()));
}

#[test]
fn the_responses_of_rfc_5769_are_read_and_verified() {
    for (text, expected) in [(IPV4_RESPONSE, IPV4), (IPV6_RESPONSE, IPV6)] {
        let data = hex(text);
        let message = parsed(&data);
        assert_eq!(message.class, MessageClass::Success);
        assert!(message.is_signed_with(PASSWORD));
        assert_eq!(
            message.attribute(Attribute::XorMappedAddress),
            Some(&xor_address(address(expected), TRANSACTION)[..])
        );
    }
}

#[test]
fn every_beginning_of_a_message_is_refused() {
    for vector in vectors() {
        for end in 0..vector.len() {
            assert!(StunMessage::parse(&vector[..end]).is_err());
        }
    }
}

#[test]
fn what_stands_behind_the_integrity_is_ignored() {
    let mut data = Vec::new();
    serialise(&mut data, MessageClass::Request, BINDING, TRANSACTION, &[], Some("password"));
    data.truncate(data.len() - 8);
    data.extend(hex("00250000"));
    let length = (data.len() - HEADER_BYTES) as u16;
    data[2..4].copy_from_slice(&length.to_be_bytes());
    let message = parsed(&data);
    assert_eq!(message.attribute(Attribute::UseCandidate), None);
    assert!(message.is_signed_with("password"));
}

#[test]
fn a_second_integrity_changes_nothing() {
    let mut data = Vec::new();
    serialise(&mut data, MessageClass::Request, BINDING, TRANSACTION, &[], Some("password"));
    data.truncate(data.len() - 8);
    data.extend(hex("00080004 00000000"));
    let length = (data.len() - HEADER_BYTES) as u16;
    data[2..4].copy_from_slice(&length.to_be_bytes());
    assert!(parsed(&data).is_signed_with("password"));
}

#[test]
fn attributes_are_bounded() {
    let with_attributes = |count: usize| {
        let mut data = hex(REQUEST)[..HEADER_BYTES].to_vec();
        data[2..4].copy_from_slice(&(count as u16 * 4).to_be_bytes());
        data.extend([0x80, 0, 0, 0].repeat(count));
        data
    };
    assert!(StunMessage::parse(&with_attributes(MAX_ATTRIBUTES)).is_ok());
    assert!(StunMessage::parse(&with_attributes(MAX_ATTRIBUTES + 1)).is_err());
}

#[test]
fn a_success_tells_where_the_request_came_from_and_is_signed() {
    let request = hex(REQUEST);
    let mut data = vec![1, 2, 3];
    write_success(&mut data, &parsed(&request), address(IPV4), PASSWORD);
    let answer = parsed(&data[3..]);
    assert_eq!((answer.class, answer.transaction_id), (MessageClass::Success, TRANSACTION));
    assert_eq!(
        answer.attribute(Attribute::XorMappedAddress),
        Some(&xor_address(address(IPV4), TRANSACTION)[..])
    );
    assert!(answer.is_signed_with(PASSWORD));
}

#[test]
fn an_error_tells_its_code() {
    let request = hex(REQUEST);
    for (code, number, reason) in [
        (ErrorCode::BadRequest, [4, 0], "Bad request"),
        (ErrorCode::Unauthenticated, [4, 1], "Unauthenticated"),
        (ErrorCode::RoleConflict, [4, 87], "Role conflict"),
    ] {
        let mut data = Vec::new();
        write_error(&mut data, &parsed(&request), code, None);
        let answer = parsed(&data);
        assert_eq!(answer.class, MessageClass::Error);
        assert!(!answer.is_signed());
        let value = answer.attribute(Attribute::ErrorCode).expect("an error has a code");
        assert_eq!((&value[2..4], &value[4..]), (&number[..], reason.as_bytes()));
    }
}

fn classes() -> impl Strategy<Value = MessageClass> {
    prop::sample::select(vec![
        MessageClass::Request,
        MessageClass::Indication,
        MessageClass::Success,
        MessageClass::Error,
    ])
}

fn attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let kinds = any::<u16>().prop_filter("these have a meaning to the parser", |kind| {
        *kind != Attribute::MessageIntegrity as u16 && *kind != Attribute::Fingerprint as u16
    });
    prop::collection::vec((kinds, prop::collection::vec(any::<u8>(), 0..20)), 0..8)
}

proptest! {
    #[test]
    fn a_message_survives_the_wire(
        class in classes(),
        method in 0_u16..0x100, // above, the first byte is not one of STUN on a shared port
        transaction_id: TransactionId,
        attributes in attributes(),
        password in prop::option::of(".{0,30}"),
    ) {
        let borrowed: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        let mut data = Vec::new();
        serialise(&mut data, class, method, transaction_id, &borrowed, password.as_deref());
        let read = parsed(&data);
        prop_assert_eq!((read.class, read.method, read.transaction_id), (class, method, transaction_id));
        prop_assert_eq!(read.attributes().collect::<Vec<_>>(), borrowed);
        prop_assert_eq!(read.is_signed(), password.is_some());
        if let Some(password) = password {
            prop_assert!(read.is_signed_with(&password));
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(
        data in prop::collection::vec(any::<u8>(), 0..120),
        after_header: bool,
        length_is_right: bool,
    ) {
        let mut data = if after_header { [&hex(REQUEST)[..HEADER_BYTES], &data].concat() } else { data };
        if length_is_right && data.len() >= HEADER_BYTES {
            data.truncate(data.len() / 4 * 4);
            let length = (data.len() - HEADER_BYTES) as u16;
            data[2..4].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(message) = StunMessage::parse(&data) {
            prop_assert!(message.attributes().count() <= MAX_ATTRIBUTES);
            message.is_signed_with(PASSWORD);
        }
    }

    #[test]
    fn no_bit_can_be_changed_unnoticed(vector in 0_usize..3, at: prop::sample::Index, bit in 0_u8..8) {
        let mut data = vectors()[vector].clone();
        let at = at.index(data.len());
        data[at] ^= 1 << bit;
        if let Ok(message) = StunMessage::parse(&data) {
            // Only where the fingerprint itself became another attribute, behind what integrity covers.
            prop_assert!(!message.is_signed_with(PASSWORD) || at >= data.len() - 8);
        }
    }

    #[test]
    fn a_mapped_address_is_undone_by_the_same_mask(
        ip: IpAddr,
        port: u16,
        transaction_id: TransactionId,
    ) {
        let value = xor_address(Address::from(SocketAddr::from((ip, port))), transaction_id);
        let packed = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mask = [&MAGIC_COOKIE[..], &transaction_id].concat();
        let unmasked: Vec<_> = value[4..].iter().zip(mask).map(|(one, other)| one ^ other).collect();
        prop_assert_eq!(&unmasked, &packed);
        prop_assert_eq!(u16::from_be_bytes([value[2], value[3]]) ^ 0x2112, port);
        prop_assert_eq!(&value[..2], &[0, if packed.len() == 4 { 1 } else { 2 }]);
    }
}
