//! SRTP and SRTCP of the lean path: AEAD AES-GCM alone (RFC 7714), of which WebRTC peers offer both sizes.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::dtls::SrtpProfile;

const SALT_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;
const ENCRYPTED: u32 = 0x8000_0000;

/// What a DTLS handshake leaves behind for media (RFC 5764 section 4.2), of an AEAD profile.
#[derive(Clone)]
pub struct Keys {
    material: Vec<u8>,
    key_length: usize,
    is_client: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of a handshake in which we were client or server; None of a profile that isn't read here.
    pub fn new(material: &[u8], profile: SrtpProfile, is_client: bool) -> Option<Self> {
        let key_length = match profile {
            SrtpProfile::AEAD_AES_128_GCM => 16,
            SrtpProfile::AEAD_AES_256_GCM => 32,
            _ => return None,
        };
        (material.len() == 2 * (key_length + SALT_LENGTH)).then(|| Self {
            material: material.to_vec(),
            key_length,
            is_client,
        })
    }

    /// What the other side sends with.
    pub fn opener(&self) -> Opener {
        let (key, salt) = self.half(!self.is_client);
        Opener { rtp: Cipher::derive(key, salt, 0), rtcp: Cipher::derive(key, salt, 3) }
    }

    /// What we send with.
    pub fn sealer(&self) -> Sealer {
        let (key, salt) = self.half(self.is_client);
        Sealer { rtcp: Cipher::derive(key, salt, 3), index: 0 }
    }

    fn half(&self, of_client: bool) -> (&[u8], &[u8]) {
        let (keys, salts) = self.material.split_at(2 * self.key_length);
        let index = usize::from(!of_client);
        (&keys[index * self.key_length..][..self.key_length], &salts[index * SALT_LENGTH..][..SALT_LENGTH])
    }
}

#[cfg(test)]
impl Keys {
    /// Seal an RTP packet as this side sends it, for tests of whoever opens it.
    pub(crate) fn seal_rtp(&self, packet: &[u8], header_length: usize, seq: u64) -> Vec<u8> {
        let (key, salt) = self.half(self.is_client);
        let cipher = Cipher::derive(key, salt, 0);
        let (header, body) = packet.split_at(header_length);
        let mut body = body.to_vec();
        let nonce = cipher.nonce(&header[8..12], seq);
        cipher.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut body).expect("within limits");
        [header, &body].concat()
    }
}

/// One session key and its salt.
struct Cipher {
    key: LessSafeKey,
    salt: [u8; SALT_LENGTH],
}

impl Cipher {
    /// Of the labels (RFC 3711 section 4.3.2) `label` is the key's and `label + 2` the salt's.
    fn derive(master_key: &[u8], master_salt: &[u8], label: u8) -> Self {
        let mut key = [0; 32];
        let key = &mut key[..master_key.len()];
        keystream(master_key, master_salt, label, key);
        let mut salt = [0; SALT_LENGTH];
        keystream(master_key, master_salt, label + 2, &mut salt);
        Self::new(key, salt)
    }

    fn new(key: &[u8], salt: [u8; SALT_LENGTH]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("of the algorithm's length");
        Self { key: LessSafeKey::new(key), salt }
    }

    /// The salt, with SSRC and packet index mixed in (RFC 7714 sections 8.1 and 9.1).
    fn nonce(&self, ssrc: &[u8], index: u64) -> Nonce {
        let mut nonce = self.salt;
        let index = index.to_be_bytes();
        for (byte, mixed) in nonce[2..].iter_mut().zip(ssrc.iter().chain(&index[2..])) {
            *byte ^= mixed;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// AES in counter mode over zeros (RFC 3711 section 4.3.3), from a master salt of up to 14 bytes.
fn keystream(master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) {
    let mut block = [0; 16];
    block[..master_salt.len()].copy_from_slice(master_salt);
    block[7] ^= label;
    out.fill(0);
    let algorithm = if master_key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, master_key).and_then(EncryptingKey::ctr);
    key.and_then(|key| key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(&block))))
        .expect("a key of the algorithm's length encrypts");
}

/// Opens what the other side sends.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
}

impl Opener {
    /// Decrypt a packet in place and return its payload; None where it isn't authentic.
    pub fn open_rtp<'a>(&self, datagram: &'a mut [u8], header_length: usize, seq: u64) -> Option<&'a [u8]> {
        let (header, body) = datagram.split_at_mut_checked(header_length)?;
        let nonce = self.rtp.nonce(&header[8..12], seq);
        let plain = self.rtp.key.open_in_place(nonce, Aad::from(&*header), body).ok()?;
        Some(plain)
    }

    /// Decrypt a compound packet; None where it isn't authentic or not encrypted.
    pub fn open_rtcp(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (sealed, trailer) = datagram.split_at_checked(datagram.len().checked_sub(4)?)?;
        let trailer = u32::from_be_bytes(trailer.try_into().ok()?);
        if trailer & ENCRYPTED == 0 {
            return None;
        }
        let (header, body) = sealed.split_at_checked(8)?;
        let nonce = self.rtcp.nonce(&header[4..], u64::from(trailer ^ ENCRYPTED));
        let mut bytes = [header, body].concat();
        let aad = rtcp_aad(header, trailer);
        let length = self.rtcp.key.open_in_place(nonce, Aad::from(aad), &mut bytes[8..]).ok()?.len();
        bytes.truncate(8 + length);
        Some(bytes)
    }
}

/// Seals the RTCP that we send.
pub struct Sealer {
    rtcp: Cipher,
    index: u32,
}

impl Sealer {
    /// Encrypt a compound packet.
    ///
    /// # Panics
    ///
    /// On less than a header, which no compound packet is.
    pub fn seal_rtcp(&mut self, mut compound: Vec<u8>) -> Vec<u8> {
        self.index = (self.index + 1) & !ENCRYPTED;
        let trailer = self.index | ENCRYPTED;
        let (header, body) = compound.split_at_mut(8);
        let nonce = self.rtcp.nonce(&header[4..], u64::from(self.index));
        let aad = Aad::from(rtcp_aad(header, trailer));
        let tag = self.rtcp.key.seal_in_place_separate_tag(nonce, aad, body).expect("within limits");
        compound.reserve_exact(TAG_LENGTH + 4);
        compound.extend(tag.as_ref());
        compound.extend(trailer.to_be_bytes());
        compound
    }
}

fn rtcp_aad(header: &[u8], trailer: u32) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(header);
    aad[8..].copy_from_slice(&trailer.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.split_whitespace().collect::<String>();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex"))
            .collect()
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b3() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let mut out = [0; 16];
        keystream(&key, &salt, 0, &mut out);
        assert_eq!(out[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        keystream(&key, &salt, 2, &mut out[..14]);
        assert_eq!(out[..14], hex("30CBBC08863D8C85D49DB34A9AE1"));
    }

    #[test]
    fn the_packet_of_rfc_7714_section_16_1_opens() {
        let salt = hex("517569642070726f2071756f").try_into().expect("12 bytes");
        let cipher = || Cipher::new(&hex("000102030405060708090a0b0c0d0e0f"), salt);
        let opener = Opener { rtp: cipher(), rtcp: cipher() };
        let mut packet =
            hex("8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce");
        let plain = opener.open_rtp(&mut packet, 12, 0xf17b).expect("authentic");
        assert_eq!(plain, b"Gallia est omnis divisa in partes tres");
    }

    fn pair() -> (Keys, Keys) {
        let material = (0..88).collect::<Vec<u8>>();
        let side = |is_client| Keys::new(&material, SrtpProfile::AEAD_AES_256_GCM, is_client).expect("GCM");
        (side(true), side(false))
    }

    #[test]
    fn sealed_rtcp_opens_at_the_other_side_alone() {
        let (client, server) = pair();
        let compound = vec![0x80, 201, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4];
        let mut sealer = client.sealer();
        let datagrams = [sealer.seal_rtcp(compound.clone()), sealer.seal_rtcp(compound.clone())];
        assert_ne!(datagrams[0], datagrams[1]);
        for datagram in &datagrams {
            assert_eq!(server.opener().open_rtcp(datagram), Some(compound.clone()));
            assert_eq!(client.opener().open_rtcp(datagram), None);
        }
    }

    #[test]
    fn what_was_touched_or_cut_does_not_open() {
        let (client, server) = pair();
        let sealed = client.sealer().seal_rtcp(vec![0x80, 201, 0, 1, 0, 0, 0, 7]);
        for at in 0..sealed.len() {
            let mut touched = sealed.clone();
            touched[at] ^= 1;
            assert_eq!(server.opener().open_rtcp(&touched), None);
            assert_eq!(server.opener().open_rtcp(&sealed[..at]), None);
        }
        assert_eq!(server.opener().open_rtp(&mut [0; 11], 12, 0), None);
        assert_eq!(server.opener().open_rtp(&mut [0; 20], 12, 0), None);
    }

    #[test]
    fn other_profiles_and_lengths_give_no_keys() {
        assert!(Keys::new(&[0; 60], SrtpProfile::AES128_CM_SHA1_80, true).is_none());
        assert!(Keys::new(&[0; 60], SrtpProfile::AEAD_AES_128_GCM, true).is_none());
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", pair().0), "Keys { .. }");
    }
}
