//! A message that was received, read in place.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use focus_units::ParseError;

use super::{INTEGRITY_BYTES, MAGIC_COOKIE, digest, fingerprint};

/// Bytes before the attributes.
pub const HEADER_BYTES: usize = 20;

/// The method of all that ICE asks.
pub const BINDING: u16 = 1;

/// Attributes read from one message; a browser's check has seven.
pub const MAX_ATTRIBUTES: usize = 32;

/// The 96 bits by which an answer names its request.
pub type TransactionId = [u8; 12];

const NOT_STUN: ParseError = ParseError("stun");

/// RFC 8489 section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their own names
pub enum MessageClass {
    Request = 0,
    Indication = 1,
    Success = 2,
    Error = 3,
}

/// Types of the attributes that we read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)] // their own names
pub enum Attribute {
    Username = 0x0006,
    MessageIntegrity = 0x0008,
    ErrorCode = 0x0009,
    XorMappedAddress = 0x0020,
    UseCandidate = 0x0025,
    Fingerprint = 0x8028,
    IceControlled = 0x8029,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StunMessage<'a> {
    /// Request, answer, or neither.
    pub class: MessageClass,
    /// What is asked.
    pub method: u16,
    /// The name of the request.
    pub transaction_id: TransactionId,
    /// The attributes that integrity covers, or all where there is none.
    attributes: &'a [u8],
    signature: Option<Signature<'a>>,
}

/// A MESSAGE-INTEGRITY attribute and what it covers: a length that ends with it, in place of the message's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature<'a> {
    kind: &'a [u8],
    length: [u8; 2],
    rest: &'a [u8],
    digest: &'a [u8],
}

impl<'a> StunMessage<'a> {
    /// Read a datagram that is one message; its fingerprint is checked where it has one.
    ///
    /// # Errors
    ///
    /// `stun`.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let header: &[u8; HEADER_BYTES] = data.first_chunk().ok_or(NOT_STUN)?;
        let [kind_high, kind_low, length_high, length_low, cookie @ .., _, _, _, _, _, _, _, _, _, _, _, _] =
            *header;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if kind_high > 3 || length % 4 != 0 || HEADER_BYTES + length != data.len() || cookie != MAGIC_COOKIE {
            return Err(NOT_STUN);
        }
        let (attributes, signature) = parse_attributes(data)?;
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        Ok(Self {
            class: match kind >> 7 & 2 | kind >> 4 & 1 {
                0 => MessageClass::Request,
                1 => MessageClass::Indication,
                2 => MessageClass::Success,
                _ => MessageClass::Error,
            },
            method: kind >> 2 & 0xf80 | kind >> 1 & 0x70 | kind & 0x0f,
            transaction_id: *data[8..].first_chunk().ok_or(NOT_STUN)?,
            attributes,
            signature,
        })
    }

    /// All attributes with their types, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let (kind, value, behind) = next_attribute(rest)?;
            rest = behind;
            Some((kind, value))
        })
    }

    /// The first attribute of a type.
    pub fn attribute(&self, kind: Attribute) -> Option<&'a [u8]> {
        self.attributes().find(|(number, _)| *number == kind as u16).map(|(_, value)| value)
    }

    /// Whether there is a MESSAGE-INTEGRITY, right or wrong.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and right (short-term credentials).
    pub fn is_signed_with(&self, password: &str) -> bool {
        self.signature.is_some_and(|signature| {
            let expected = digest(password, &[signature.kind, &signature.length, signature.rest]);
            verify_slices_are_equal(expected.as_ref(), signature.digest).is_ok()
        })
    }
}

fn parse_attributes(data: &[u8]) -> Result<(&[u8], Option<Signature<'_>>), ParseError> {
    let mut rest = &data[HEADER_BYTES..];
    let mut end = data.len();
    let mut signature = None;
    for _ in 0..MAX_ATTRIBUTES {
        if rest.is_empty() {
            return Ok((&data[HEADER_BYTES..end], signature));
        }
        let position = data.len() - rest.len();
        let (kind, value, behind) = next_attribute(rest).ok_or(NOT_STUN)?;
        if kind == Attribute::Fingerprint as u16 {
            if !behind.is_empty() || value != fingerprint(&data[..position]) {
                return Err(NOT_STUN);
            }
            end = end.min(position);
        } else if kind == Attribute::MessageIntegrity as u16 && signature.is_none() {
            if value.len() != INTEGRITY_BYTES {
                return Err(NOT_STUN);
            }
            let covered = position + 4 + INTEGRITY_BYTES - HEADER_BYTES;
            signature = Some(Signature {
                kind: &data[..2],
                length: (covered as u16).to_be_bytes(),
                rest: &data[4..position],
                digest: value,
            });
            // RFC 8489 section 14.5: what stands behind MESSAGE-INTEGRITY is ignored.
            end = position;
        }
        rest = behind;
    }
    if rest.is_empty() { Ok((&data[HEADER_BYTES..end], signature)) } else { Err(NOT_STUN) }
}

/// Type and value of the first attribute, and what is behind it.
fn next_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let ([kind_high, kind_low, length_high, length_low], rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    let (padded, behind) = rest.split_at_checked(length.next_multiple_of(4))?;
    Some((u16::from_be_bytes([*kind_high, *kind_low]), &padded[..length], behind))
}
