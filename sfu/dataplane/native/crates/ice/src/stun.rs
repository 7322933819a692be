//! STUN messages as ICE uses them (RFC 8489, RFC 8445 section 7).

mod crc32;
mod message;
mod writer;

pub use message::{
    Attribute, BINDING, HEADER_BYTES, MAX_ATTRIBUTES, MessageClass, StunMessage, TransactionId,
};
pub use writer::{ErrorCode, serialise, write_error, write_success, xor_address};

use aws_lc_rs::hmac;

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const INTEGRITY_BYTES: usize = 20;
const FINGERPRINT_BYTES: usize = 4;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// The value of FINGERPRINT behind these bytes (RFC 8489 section 14.7).
fn fingerprint(message: &[u8]) -> [u8; FINGERPRINT_BYTES] {
    (crc32::crc32(message) ^ FINGERPRINT_XOR).to_be_bytes()
}

/// The value of MESSAGE-INTEGRITY over these parts (RFC 8489 section 14.5, short-term credentials).
fn digest(password: &str, parts: &[&[u8]]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests;
