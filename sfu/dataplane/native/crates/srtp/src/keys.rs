//! Session keys out of a master key (RFC 3711 section 4.3), with a key derivation rate of zero.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// Bytes of the salt that the derivation works with; shorter ones are filled with zeros (RFC 7714 section 11).
const DERIVATION_SALT_BYTES: usize = 14;

/// What a session key is for (RFC 3711 section 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Key and salt of one direction, as a DTLS handshake gives them.
pub(crate) struct MasterKey {
    prf: EncryptingKey,
    salt: [u8; DERIVATION_SALT_BYTES],
}

impl MasterKey {
    /// Split key material, which must have the length `key_bytes + salt_bytes`.
    pub(crate) fn new(material: &[u8], key_bytes: usize) -> Self {
        let (key, given_salt) = material.split_at(key_bytes);
        let mut salt = [0; DERIVATION_SALT_BYTES];
        salt[..given_salt.len()].copy_from_slice(given_salt);
        Self { prf: counter_key(key), salt }
    }

    /// The session key for a use.
    pub(crate) fn derive<const BYTES: usize>(&self, label: Label) -> [u8; BYTES] {
        let mut iv = [0; 16];
        iv[..DERIVATION_SALT_BYTES].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        let mut key = [0; BYTES];
        apply_key_stream(&self.prf, iv, &mut key);
        key
    }
}

/// An AES key of 16 or 32 bytes, expanded for counter mode.
pub(crate) fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr).expect("lengths are checked before")
}

/// Encrypt or decrypt in counter mode (RFC 3711 section 4.1.1).
pub(crate) fn apply_key_stream(key: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) {
    // The library expands a key when it is made, and only reads it here.
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(iv)))
        .expect("counter mode takes any length");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::hex;

    // RFC 3711 appendix B.3.
    #[test]
    fn keys_are_derived_as_in_rfc_3711() {
        let master =
            MasterKey::new(&hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6"), 16);
        assert_eq!(
            master.derive::<16>(Label::RtpEncryption)[..],
            hex("c61e7a93744f39ee10734afe3ff7a087")[..]
        );
        assert_eq!(master.derive::<14>(Label::RtpSalt)[..], hex("30cbbc08863d8c85d49db34a9ae1")[..]);
        assert_eq!(
            master.derive::<94>(Label::RtpAuthentication)[..],
            hex("cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce
                 e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25
                 6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2")[..]
        );
    }

    // RFC 6188 section 7.2.
    #[test]
    fn keys_of_256_bits_are_derived_as_in_rfc_6188() {
        let master = MasterKey::new(
            &hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6
                  3b04803de51ee7c96423ab5b78d2"),
            32,
        );
        assert_eq!(
            master.derive::<32>(Label::RtpEncryption)[..],
            hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")[..]
        );
        assert_eq!(master.derive::<14>(Label::RtpSalt)[..], hex("fa31791685ca444a9e07c6c64e93")[..]);
    }

    // RFC 3711 appendix B.2.
    #[test]
    fn the_key_stream_is_that_of_rfc_3711() {
        let key = counter_key(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"));
        let mut stream = vec![0; 0xff02 * 16];
        apply_key_stream(&key, iv, &mut stream);
        for (block, expected) in [
            (0, "e03ead0935c95e80e166b16dd92b4eb4"),
            (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
            (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
            (0xfeff, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
            (0xff00, "362b7c3c6773516318a077d7fc5073ae"),
            (0xff01, "6a2cc3787889374fbeb4c81b17ba6c44"),
        ] {
            assert_eq!(stream[block * 16..][..16], hex(expected)[..], "block {block:#x}");
        }
    }
}
