//! Messages on their way out, appended to a buffer.

use std::net::IpAddr;

use super::{
    Attribute, FINGERPRINT_BYTES, HEADER_BYTES, INTEGRITY_BYTES, MAGIC_COOKIE, MessageClass, StunMessage,
    TransactionId, digest, fingerprint,
};
use crate::address::Address;

const INTEGRITY_ATTRIBUTE_BYTES: usize = 4 + INTEGRITY_BYTES;
const FINGERPRINT_ATTRIBUTE_BYTES: usize = 4 + FINGERPRINT_BYTES;

/// Error codes that a lite agent answers (RFC 8489 section 14.8, RFC 8445 section 7.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their own names
pub enum ErrorCode {
    BadRequest = 400,
    Unauthenticated = 401,
    RoleConflict = 487,
}

impl ErrorCode {
    const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthenticated => "Unauthenticated",
            Self::RoleConflict => "Role conflict",
        }
    }
}

/// Append a message, signed where a password is given, and always with a fingerprint.
pub fn serialise(
    buffer: &mut Vec<u8>,
    class: MessageClass,
    method: u16,
    transaction_id: TransactionId,
    attributes: &[(u16, &[u8])],
    password: Option<&str>,
) {
    let start = buffer.len();
    let class = class as u16;
    let kind =
        (method & 0xf80) << 2 | (method & 0x70) << 1 | method & 0x0f | (class & 2) << 7 | (class & 1) << 4;
    buffer.extend_from_slice(&kind.to_be_bytes());
    buffer.extend_from_slice(&[0; 2]);
    buffer.extend_from_slice(&MAGIC_COOKIE);
    buffer.extend_from_slice(&transaction_id);
    for (kind, value) in attributes {
        append(buffer, *kind, value);
    }
    if let Some(password) = password {
        set_length(buffer, start, INTEGRITY_ATTRIBUTE_BYTES);
        let digest = digest(password, &[&buffer[start..]]);
        append(buffer, Attribute::MessageIntegrity as u16, digest.as_ref());
    }
    set_length(buffer, start, FINGERPRINT_ATTRIBUTE_BYTES);
    let fingerprint = fingerprint(&buffer[start..]);
    append(buffer, Attribute::Fingerprint as u16, &fingerprint);
}

/// Append the signed answer to a check: where it came from.
pub fn write_success(buffer: &mut Vec<u8>, request: &StunMessage<'_>, mapped: Address, password: &str) {
    let value = xor_address(mapped, request.transaction_id);
    let attributes: [(u16, &[u8]); 1] = [(Attribute::XorMappedAddress as u16, &value)];
    serialise(
        buffer,
        MessageClass::Success,
        request.method,
        request.transaction_id,
        &attributes,
        Some(password),
    );
}

/// Append an error response; signed only to who has proved to know the password.
pub fn write_error(buffer: &mut Vec<u8>, request: &StunMessage<'_>, code: ErrorCode, password: Option<&str>) {
    let mut value = vec![0, 0, (code as u16 / 100) as u8, (code as u16 % 100) as u8];
    value.extend_from_slice(code.reason().as_bytes());
    let attributes: [(u16, &[u8]); 1] = [(Attribute::ErrorCode as u16, &value)];
    serialise(buffer, MessageClass::Error, request.method, request.transaction_id, &attributes, password);
}

/// The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
pub fn xor_address(address: Address, transaction_id: TransactionId) -> Vec<u8> {
    let key = MAGIC_COOKIE.iter().chain(&transaction_id);
    let masked_port = address.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let [high, low] = masked_port.to_be_bytes();
    let mask = |octets: &[u8], family| {
        let masked = octets.iter().zip(key).map(|(octet, mask)| octet ^ mask);
        [0, family, high, low].into_iter().chain(masked).collect()
    };
    match address.ip() {
        IpAddr::V4(ip) => mask(&ip.octets(), 1),
        IpAddr::V6(ip) => mask(&ip.octets(), 2),
    }
}

/// Say that the message from `start` on goes on for so many bytes more.
fn set_length(buffer: &mut [u8], start: usize, more: usize) {
    let length = (buffer.len() - start - HEADER_BYTES + more) as u16;
    buffer[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn append(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    buffer.extend_from_slice(&kind.to_be_bytes());
    buffer.extend_from_slice(&(value.len() as u16).to_be_bytes());
    buffer.extend_from_slice(value);
    buffer.resize(buffer.len() + value.len().next_multiple_of(4) - value.len(), 0);
}
