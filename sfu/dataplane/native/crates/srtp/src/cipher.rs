//! The transforms of one direction: a packet and its index in, the packet encrypted or in the clear out.

use focus_plane::SrtpProfile;

use crate::counter_mode::CounterMode;
use crate::gcm::Gcm;

/// Bytes of an SRTCP header that stay in the clear: first word and SSRC.
pub(crate) const RTCP_HEADER_BYTES: usize = 8;

/// Bytes of the SRTCP index with its flag.
pub(crate) const RTCP_INDEX_BYTES: usize = 4;

/// In the word of the SRTCP index: the packet is encrypted.
pub(crate) const RTCP_ENCRYPTED: u32 = 1 << 31;

/// The cipher of a profile under one master key.
pub(crate) enum Cipher {
    Gcm(Gcm),
    CounterMode(Box<CounterMode>),
}

/// Bytes of key and of salt that a profile takes.
pub(crate) const fn key_and_salt_bytes(profile: SrtpProfile) -> (usize, usize) {
    match profile {
        SrtpProfile::AeadAes128Gcm => (16, 12),
        SrtpProfile::AeadAes256Gcm => (32, 12),
        SrtpProfile::Aes128CmSha1_80 => (16, 14),
        SrtpProfile::Null => (0, 0),
    }
}

impl Cipher {
    /// Expand key material of the right length; `None` for the profile without a cipher.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8]) -> Option<Self> {
        match profile {
            SrtpProfile::AeadAes128Gcm => Some(Self::Gcm(Gcm::new::<16>(material))),
            SrtpProfile::AeadAes256Gcm => Some(Self::Gcm(Gcm::new::<32>(material))),
            SrtpProfile::Aes128CmSha1_80 => Some(Self::CounterMode(Box::new(CounterMode::new(material)))),
            SrtpProfile::Null => None,
        }
    }

    /// Encrypt the RTP packet that stands in `buffer` from `start` on, behind its header, and append the tag.
    #[inline]
    pub(crate) fn seal_rtp(
        &self,
        buffer: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) {
        match self {
            Self::Gcm(gcm) => gcm.seal_rtp(buffer, start, header_len, ssrc, index),
            Self::CounterMode(cipher) => cipher.seal_rtp(buffer, start, header_len, ssrc, index),
        }
    }

    /// Verify and decrypt an RTP packet in place: the length without the tag. `None`: it is not authentic.
    #[inline]
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtp(packet, header_len, ssrc, index),
            Self::CounterMode(cipher) => cipher.open_rtp(packet, header_len, ssrc, index),
        }
    }

    /// Encrypt the compound that stands in `buffer` from `start` on, and append index and tag.
    pub(crate) fn seal_rtcp(&self, buffer: &mut Vec<u8>, start: usize, ssrc: u32, index: u32) {
        match self {
            Self::Gcm(gcm) => gcm.seal_rtcp(buffer, start, ssrc, index),
            Self::CounterMode(cipher) => cipher.seal_rtcp(buffer, start, ssrc, index),
        }
    }

    /// The word of index and flag; `None`: too short, or not encrypted where it has to be.
    pub(crate) fn rtcp_trailer(&self, packet: &[u8]) -> Option<u32> {
        match self {
            Self::Gcm(_) => Gcm::rtcp_trailer(packet),
            Self::CounterMode(_) => CounterMode::rtcp_trailer(packet),
        }
    }

    /// Verify and decrypt a compound in place: the length without index and tag. `None`: it is not authentic.
    pub(crate) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, trailer: u32) -> Option<usize> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtcp(packet, ssrc, trailer),
            Self::CounterMode(cipher) => cipher.open_rtcp(packet, ssrc, trailer),
        }
    }
}

/// The four bytes at a position, as a number.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}
