//! AES in counter mode with 80 bits of HMAC-SHA1 (RFC 3711 sections 4.1.1, 4.2.1).

use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::cipher::{RTCP_ENCRYPTED, RTCP_HEADER_BYTES, RTCP_INDEX_BYTES, word_at};
use crate::keys::{Label, MasterKey, apply_key_stream, counter_key};

const KEY_BYTES: usize = 16;
const SALT_BYTES: usize = 14;
const AUTHENTICATION_KEY_BYTES: usize = 20;
const TAG_BYTES: usize = 10;
const ROLL_OVER_BYTES: usize = 4;

/// Session keys of one direction, expanded once (AES key schedule, inner and outer states of the HMAC).
pub(crate) struct CounterMode {
    rtp: SessionKey,
    rtcp: SessionKey,
}

struct SessionKey {
    cipher: EncryptingKey,
    salt: [u8; SALT_BYTES],
    authentication: hmac::Key,
}

impl CounterMode {
    /// Derive the session keys of a master key.
    pub(crate) fn new(material: &[u8]) -> Self {
        let master = MasterKey::new(material, KEY_BYTES);
        let session_key = |encryption, authentication, salt| SessionKey {
            cipher: counter_key(&master.derive::<KEY_BYTES>(encryption)),
            salt: master.derive(salt),
            authentication: hmac::Key::new(
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &master.derive::<AUTHENTICATION_KEY_BYTES>(authentication),
            ),
        };
        Self {
            rtp: session_key(Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt),
            rtcp: session_key(Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt),
        }
    }

    #[inline]
    pub(crate) fn seal_rtp(
        &self,
        buffer: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) {
        self.rtp.encrypt(&mut buffer[start + header_len..], ssrc, index);
        let end = buffer.len();
        buffer.extend_from_slice(&roll_over(index));
        let tag = self.rtp.tag(&buffer[start..]);
        buffer.truncate(end);
        buffer.extend_from_slice(&tag);
    }

    #[inline]
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let end = packet.len().checked_sub(TAG_BYTES).filter(|end| *end >= header_len)?;
        // What is authenticated is the packet and the roll-over counter, which takes the place of the tag.
        let tag: [u8; TAG_BYTES] = *packet[end..].first_chunk()?;
        packet[end..end + ROLL_OVER_BYTES].copy_from_slice(&roll_over(index));
        let expected = self.rtp.tag(&packet[..end + ROLL_OVER_BYTES]);
        packet[end..].copy_from_slice(&tag);
        verify_slices_are_equal(&expected, &tag).ok()?;
        self.rtp.encrypt(&mut packet[header_len..end], ssrc, index);
        Some(end)
    }

    pub(crate) fn seal_rtcp(&self, buffer: &mut Vec<u8>, start: usize, ssrc: u32, index: u32) {
        self.rtcp.encrypt(&mut buffer[start + RTCP_HEADER_BYTES..], ssrc, u64::from(index));
        buffer.extend_from_slice(&(index | RTCP_ENCRYPTED).to_be_bytes());
        let tag = self.rtcp.tag(&buffer[start..]);
        buffer.extend_from_slice(&tag);
    }

    pub(crate) fn rtcp_trailer(packet: &[u8]) -> Option<u32> {
        let at = packet.len().checked_sub(RTCP_INDEX_BYTES + TAG_BYTES)?;
        if at < RTCP_HEADER_BYTES {
            return None;
        }
        word_at(packet, at).filter(|trailer| trailer & RTCP_ENCRYPTED != 0)
    }

    pub(crate) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, trailer: u32) -> Option<usize> {
        let (covered, tag) = packet.split_at_mut_checked(packet.len().checked_sub(TAG_BYTES)?)?;
        verify_slices_are_equal(&self.rtcp.tag(covered), tag).ok()?;
        let end = covered.len().checked_sub(RTCP_INDEX_BYTES)?;
        let index = u64::from(trailer & !RTCP_ENCRYPTED);
        self.rtcp.encrypt(covered.get_mut(RTCP_HEADER_BYTES..end)?, ssrc, index);
        Some(end)
    }
}

impl SessionKey {
    /// Encrypt or decrypt (RFC 3711 section 4.1.1).
    #[inline]
    fn encrypt(&self, bytes: &mut [u8], ssrc: u32, index: u64) {
        let mut iv = (u128::from(ssrc) << 64 | u128::from(index) << 16).to_be_bytes();
        for (masked, salt) in iv.iter_mut().zip(&self.salt) {
            *masked ^= salt;
        }
        apply_key_stream(&self.cipher, iv, bytes);
    }

    #[inline]
    fn tag(&self, covered: &[u8]) -> [u8; TAG_BYTES] {
        let digest = hmac::sign(&self.authentication, covered);
        *digest.as_ref().first_chunk().expect("SHA-1 has 20 bytes")
    }
}

#[inline]
fn roll_over(index: u64) -> [u8; ROLL_OVER_BYTES] {
    ((index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::hex;

    // The reference packet of libsrtp's own test driver, under the keys of RFC 3711 appendix B.3.
    #[test]
    fn rtp_is_sealed_and_opened_as_by_libsrtp() {
        let cipher = CounterMode::new(&hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6"));
        let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
        let mut buffer = plain.clone();
        cipher.seal_rtp(&mut buffer, 0, 12, 0xcafe_babe, 0x1234);
        assert_eq!(
            buffer,
            hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb")
        );
        assert_eq!(cipher.open_rtp(&mut buffer, 12, 0xcafe_babe, 0x1234), Some(plain.len()));
        assert_eq!(buffer[..plain.len()], plain[..]);
    }

    #[test]
    fn a_packet_that_is_not_authentic_is_left_as_it_was() {
        let cipher = CounterMode::new(&[7; 30]);
        let mut buffer = vec![1; 40];
        cipher.seal_rtp(&mut buffer, 0, 12, 1, 2);
        let sealed = buffer.clone();
        assert_eq!(cipher.open_rtp(&mut buffer, 12, 1, 3 << 16 | 2), None);
        assert_eq!(buffer, sealed);
    }
}
