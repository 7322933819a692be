//! AES in Galois/counter mode (RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::cipher::{RTCP_ENCRYPTED, RTCP_HEADER_BYTES, RTCP_INDEX_BYTES, word_at};
use crate::keys::{Label, MasterKey};

const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 12;

/// Session keys of one direction, expanded once (AES key schedule and GHASH table).
pub(crate) struct Gcm {
    rtp: LessSafeKey,
    rtp_salt: [u8; SALT_BYTES],
    rtcp: LessSafeKey,
    rtcp_salt: [u8; SALT_BYTES],
}

impl Gcm {
    /// Derive the session keys of a master key of so many bytes.
    pub(crate) fn new<const KEY_BYTES: usize>(material: &[u8]) -> Self {
        let master = MasterKey::new(material, KEY_BYTES);
        Self {
            rtp: aead_key(&master.derive::<KEY_BYTES>(Label::RtpEncryption)),
            rtp_salt: master.derive(Label::RtpSalt),
            rtcp: aead_key(&master.derive::<KEY_BYTES>(Label::RtcpEncryption)),
            rtcp_salt: master.derive(Label::RtcpSalt),
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
        let (header, payload) = buffer[start..].split_at_mut(header_len);
        let tag = self
            .rtp
            .seal_in_place_separate_tag(self.rtp_nonce(ssrc, index), Aad::from(&*header), payload)
            .expect("a packet is shorter than the cipher's limit");
        buffer.extend_from_slice(tag.as_ref());
    }

    #[inline]
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let (header, sealed) = packet.split_at_mut_checked(header_len)?;
        let plain = self.rtp.open_in_place(self.rtp_nonce(ssrc, index), Aad::from(&*header), sealed).ok()?;
        Some(header_len + plain.len())
    }

    pub(crate) fn seal_rtcp(&self, buffer: &mut Vec<u8>, start: usize, ssrc: u32, index: u32) {
        let trailer = (index | RTCP_ENCRYPTED).to_be_bytes();
        let (header, payload) = buffer[start..].split_at_mut(RTCP_HEADER_BYTES);
        let covered = [&*header, &trailer].concat();
        let tag = self
            .rtcp
            .seal_in_place_separate_tag(self.rtcp_nonce(ssrc, index), Aad::from(covered), payload)
            .expect("a packet is shorter than the cipher's limit");
        buffer.extend_from_slice(tag.as_ref());
        buffer.extend_from_slice(&trailer);
    }

    pub(crate) fn rtcp_trailer(packet: &[u8]) -> Option<u32> {
        let at = packet.len().checked_sub(RTCP_INDEX_BYTES)?;
        if at < RTCP_HEADER_BYTES + TAG_BYTES {
            return None;
        }
        word_at(packet, at)
    }

    pub(crate) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, trailer: u32) -> Option<usize> {
        let (packet, index) = packet.split_at_mut_checked(packet.len().checked_sub(RTCP_INDEX_BYTES)?)?;
        // Where only authentication was wanted, all that is before the tag is covered and nothing encrypted
        // (RFC 7714 section 9.3).
        let clear_bytes = if trailer & RTCP_ENCRYPTED != 0 {
            RTCP_HEADER_BYTES
        } else {
            packet.len().checked_sub(TAG_BYTES)?
        };
        let (clear, sealed) = packet.split_at_mut_checked(clear_bytes)?;
        let covered = [&*clear, &*index].concat();
        let nonce = self.rtcp_nonce(ssrc, trailer & !RTCP_ENCRYPTED);
        let plain = self.rtcp.open_in_place(nonce, Aad::from(covered), sealed).ok()?;
        Some(clear_bytes + plain.len())
    }

    /// RFC 7714 section 8.1.
    #[inline]
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        nonce(self.rtp_salt, ssrc, index)
    }

    /// RFC 7714 section 9.1.
    fn rtcp_nonce(&self, ssrc: u32, index: u32) -> Nonce {
        nonce(self.rtcp_salt, ssrc, u64::from(index))
    }
}

/// 16 bits of nothing, the SSRC and 48 bits of index, under the salt.
#[inline]
fn nonce(mut salt: [u8; SALT_BYTES], ssrc: u32, index: u64) -> Nonce {
    let number = u128::from(ssrc) << 48 | u128::from(index);
    for (masked, byte) in salt.iter_mut().zip(&number.to_be_bytes()[4..]) {
        *masked ^= byte;
    }
    Nonce::assume_unique_for_key(salt)
}

fn aead_key(key: &[u8]) -> LessSafeKey {
    let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("lengths are checked before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::hex;

    const RTP_SSRC: u32 = 0x5501_a0b2;
    const RTP_INDEX: u64 = 0xf17b;
    const RTP: &str = "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120
                       696e207061727465732074726573";
    const RTCP_SSRC: u32 = 0x4d61_7273;
    const RTCP_INDEX: u32 = 0x5d4;
    const RTCP: &str = "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61
                        deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

    /// The RFC gives session keys: 0, 1, 2 … and "Quid pro quo".
    fn session(key_bytes: u8) -> Gcm {
        let key: Vec<u8> = (0..key_bytes).collect();
        let salt = *b"Quid pro quo";
        Gcm { rtp: aead_key(&key), rtp_salt: salt, rtcp: aead_key(&key), rtcp_salt: salt }
    }

    // RFC 7714 sections 16.1.1 and 16.2.1.
    #[test]
    fn rtp_is_sealed_and_opened_as_in_rfc_7714() {
        for (key_bytes, expected) in [
            (
                16,
                "8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de
                 3adf8833 899d7f27beb16a9152cf765ee4390cce",
            ),
            (
                32,
                "8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba6
                 3799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
            ),
        ] {
            let mut buffer = vec![0xee; 3];
            buffer.extend(hex(RTP));
            session(key_bytes).seal_rtp(&mut buffer, 3, 12, RTP_SSRC, RTP_INDEX);
            assert_eq!(buffer[..3], [0xee; 3]);
            assert_eq!(buffer[3..], hex(expected)[..]);
            let length = session(key_bytes).open_rtp(&mut buffer[3..], 12, RTP_SSRC, RTP_INDEX);
            assert_eq!(length, Some(hex(RTP).len()));
            assert_eq!(buffer[3..][..hex(RTP).len()], hex(RTP)[..]);
        }
    }

    // RFC 7714 sections 17.1 and 17.2.
    #[test]
    fn rtcp_is_sealed_and_opened_as_in_rfc_7714() {
        for (key_bytes, expected) in [
            (
                16,
                "81c8000d4d617273 63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46
                 86303ded0bb9275b c84aa45896cf4d2fc5abf87245d9eade 800005d4",
            ),
            (
                32,
                "81c8000d4d617273 d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658
                 c61de0476f1b6fad 1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
            ),
        ] {
            let mut buffer = hex(RTCP);
            session(key_bytes).seal_rtcp(&mut buffer, 0, RTCP_SSRC, RTCP_INDEX);
            assert_eq!(buffer, hex(expected));
            let trailer = Gcm::rtcp_trailer(&buffer);
            assert_eq!(trailer, Some(RTCP_INDEX | RTCP_ENCRYPTED));
            let length = session(key_bytes).open_rtcp(&mut buffer, RTCP_SSRC, RTCP_INDEX | RTCP_ENCRYPTED);
            assert_eq!(length, Some(hex(RTCP).len()));
            assert_eq!(buffer[..hex(RTCP).len()], hex(RTCP)[..]);
        }
    }

    // RFC 7714 section 17.3.
    #[test]
    fn rtcp_that_is_only_authenticated_is_taken_as_in_rfc_7714() {
        let mut packet = hex(RTCP);
        packet.extend(hex("841dd9683dd78ec92ae58790125f62b3 000005d4"));
        let trailer = Gcm::rtcp_trailer(&packet).expect("it is long enough");
        assert_eq!(trailer, RTCP_INDEX);
        assert_eq!(session(16).open_rtcp(&mut packet, RTCP_SSRC, trailer), Some(hex(RTCP).len()));
        packet[9] ^= 1;
        assert_eq!(session(16).open_rtcp(&mut packet, RTCP_SSRC, trailer), None);
    }
}
