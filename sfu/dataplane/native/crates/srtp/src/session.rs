//! The keys of one transport both ways, and what has been under them.

use focus_plane::{DropReason, LocalError, SrtpProfile};

use crate::cipher::{Cipher, RTCP_ENCRYPTED, RTCP_HEADER_BYTES, key_and_salt_bytes, word_at};
use crate::streams::{Stream, Streams};
use crate::window::RTP_WINDOW;

/// What encryption adds to an RTP packet, at most.
pub const TAG_BYTES: usize = 16;

/// Packets of a stream that may come out of order (RFC 3711 section 3.3.2).
pub const REPLAY_WINDOW: u64 = RTP_WINDOW;

const RTP_HEADER_BYTES: usize = 12;
const LAST_RTCP_INDEX: u32 = RTCP_ENCRYPTED - 1;

/// SRTP and SRTCP of one transport; with [`SrtpProfile::Null`] packets pass as they are.
///
/// Packets of an SSRC that has not been begin its state once they are authentic, never before. How many SSRCs
/// there may be is for the caller to bound.
pub struct Srtp {
    keys: Option<Keys>,
}

struct Keys {
    receive: Direction,
    send: Direction,
}

struct Direction {
    cipher: Cipher,
    streams: Streams,
}

impl Srtp {
    /// Derive the keys of both directions.
    ///
    /// # Errors
    ///
    /// A key does not have the length that the profile asks for.
    pub fn new(profile: SrtpProfile, receive_key: &[u8], send_key: &[u8]) -> Result<Self, LocalError> {
        Ok(Self {
            keys: Direction::new(profile, receive_key)?
                .zip(Direction::new(profile, send_key)?)
                .map(|(receive, send)| Keys { receive, send }),
        })
    }

    /// Encrypt the RTP packet that stands in `buffer` from `start` to its end, in place, and append the tag.
    ///
    /// What stands before `start` is not touched, so that packets lie one behind another in one buffer. The
    /// packet begins with its own header of `header_len` bytes, extension included.
    ///
    /// # Errors
    ///
    /// [`DropReason::TooOld`]: its number has been sent before, or lies behind the window. Never is anything
    /// encrypted twice under one number (packet rule 3); the buffer is as it was.
    ///
    /// # Panics
    ///
    /// The packet is shorter than `header_len`, or that than 12: we make these headers ourselves.
    #[inline]
    pub fn protect_rtp(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        header_len: usize,
    ) -> Result<(), DropReason> {
        let Some(Keys { send, .. }) = &mut self.keys else { return Ok(()) };
        let (sequence_number, ssrc) = rtp_numbers(&buffer[start..]).expect("it has a header");
        let window = &mut send.streams.find_or_begin(ssrc).rtp;
        let index = window.estimate(sequence_number);
        window.check(index).map_err(|_| DropReason::TooOld)?;
        window.accept(index);
        send.cipher.seal_rtp(buffer, start, header_len, ssrc, index);
        Ok(())
    }

    /// Verify and decrypt an RTP packet in place: its length without the tag.
    ///
    /// # Errors
    ///
    /// [`DropReason::SrtpReplay`]: its number has been before, or lies behind the window.
    /// [`DropReason::SrtpAuthentication`]: it is short, has no header, or is not the peer's. It leaves no state
    /// here, but what is behind the header is garbage then: who wants to try other keys keeps a copy.
    #[inline]
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let Some(Keys { receive, .. }) = &mut self.keys else { return Ok(packet.len()) };
        let header_len = rtp_header_len(packet).ok_or(DropReason::SrtpAuthentication)?;
        let (sequence_number, ssrc) = rtp_numbers(packet).ok_or(DropReason::SrtpAuthentication)?;
        let known = receive.streams.find(ssrc);
        let index = match &known {
            Some(stream) => stream.rtp.estimate(sequence_number),
            None => u64::from(sequence_number),
        };
        if let Some(stream) = known {
            stream.rtp.check(index).map_err(|_| DropReason::SrtpReplay)?;
        }
        let length =
            receive.cipher.open_rtp(packet, header_len, ssrc, index).ok_or(DropReason::SrtpAuthentication)?;
        receive.streams.find_or_begin(ssrc).rtp.accept(index);
        Ok(length)
    }

    /// Encrypt the compound that stands in `buffer` from `start` to its end, and append tag and index.
    ///
    /// # Errors
    ///
    /// [`DropReason::TooOld`]: all 2³¹ numbers of its SSRC are used up.
    ///
    /// # Panics
    ///
    /// The compound is shorter than 8 bytes: we make these ourselves.
    pub fn protect_rtcp(&mut self, buffer: &mut Vec<u8>, start: usize) -> Result<(), DropReason> {
        let Some(Keys { send, .. }) = &mut self.keys else { return Ok(()) };
        let ssrc = word_at(&buffer[start..], RTCP_HEADER_BYTES - 4).expect("it has a header");
        let sent = &mut send.streams.find_or_begin(ssrc).rtcp_sent;
        if *sent == LAST_RTCP_INDEX {
            return Err(DropReason::TooOld);
        }
        *sent += 1;
        send.cipher.seal_rtcp(buffer, start, ssrc, *sent);
        Ok(())
    }

    /// Verify and decrypt a compound in place: its length without tag and index.
    ///
    /// # Errors
    ///
    /// As [`Srtp::unprotect_rtp`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let Some(Keys { receive, .. }) = &mut self.keys else { return Ok(packet.len()) };
        let trailer = receive.cipher.rtcp_trailer(packet).ok_or(DropReason::SrtpAuthentication)?;
        let ssrc = word_at(packet, RTCP_HEADER_BYTES - 4).ok_or(DropReason::SrtpAuthentication)?;
        let index = trailer & !RTCP_ENCRYPTED;
        if let Some(Stream { rtcp, .. }) = receive.streams.find(ssrc) {
            rtcp.check(index).map_err(|_| DropReason::SrtpReplay)?;
        }
        let length = receive.cipher.open_rtcp(packet, ssrc, trailer).ok_or(DropReason::SrtpAuthentication)?;
        receive.streams.find_or_begin(ssrc).rtcp.accept(index);
        Ok(length)
    }
}

impl Direction {
    fn new(profile: SrtpProfile, material: &[u8]) -> Result<Option<Self>, LocalError> {
        let (key_bytes, salt_bytes) = key_and_salt_bytes(profile);
        if profile != SrtpProfile::Null && material.len() != key_bytes + salt_bytes {
            return Err(LocalError(format!(
                "{profile:?} takes a key and salt of {} bytes, not {}",
                key_bytes + salt_bytes,
                material.len()
            )));
        }
        Ok(Cipher::new(profile, material).map(|cipher| Self { cipher, streams: Streams::default() }))
    }
}

/// The length of an RTP packet's header with its CSRCs and extension (RFC 3550 section 5.1), which encryption
/// leaves in the clear. `None`: the packet is shorter than that.
#[inline]
pub fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let fixed = RTP_HEADER_BYTES + 4 * usize::from(first & 0x0f);
    let length =
        if first & 0x10 == 0 { fixed } else { fixed + 4 + 4 * usize::from(word_at(packet, fixed)? as u16) };
    (length <= packet.len()).then_some(length)
}

/// Sequence number and SSRC.
#[inline]
fn rtp_numbers(packet: &[u8]) -> Option<(u16, u32)> {
    let header: &[u8; RTP_HEADER_BYTES] = packet.first_chunk()?;
    let [_, _, high, low, _, _, _, _, ssrc @ ..] = *header;
    Some((u16::from_be_bytes([high, low]), u32::from_be_bytes(ssrc)))
}

/// Bytes out of hexadecimal digits; white space is for the reader.
#[cfg(test)]
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        digits.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests;
