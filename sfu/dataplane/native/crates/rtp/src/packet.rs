//! RTP packets (RFC 3550 section 5.1) with their header extensions (RFC 8285).
//!
//! A packet is read as [`RtpHeader`]: numbers, and offsets into the bytes they came from. It is written by
//! [`HeaderWriter`] in one pass behind whatever a buffer holds already, so that many packets can lie in one.

use std::ops::Range;

use focus_units::{ParseError, PayloadType, Ssrc};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 12;
/// Profile of the one-byte extension form.
pub const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// Profile of the two-byte extension form, without its application bits.
pub const TWO_BYTE_PROFILE: u16 = 0x1000;
/// Highest id that the one-byte form can name.
pub const ONE_BYTE_MAX_ID: u8 = 14;
/// Longest value that the one-byte form can hold.
pub const ONE_BYTE_MAX_LENGTH: usize = 16;
/// Elements read from one packet; more are a malformed packet.
pub const MAX_EXTENSIONS: usize = 64;

const MARKER: u8 = 0x80;
const VERSION: u8 = 0x80;
const HAS_PADDING: u8 = 0x20;
const HAS_EXTENSION: u8 = 0x10;
const BLOCK_HEAD_BYTES: usize = 4;

const SHORT: ParseError = ParseError("short");
const EXTENSION: ParseError = ParseError("extension");

/// The header of one packet, with where things are in it. `sequence_number` and `timestamp` are wire values.
///
/// It is kept with each packet in the cache, which is why it is small and holds no reference. Methods take the
/// bytes that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Wire value, modulo 2³².
    pub timestamp: u32,
    /// Of the stream that the packet belongs to.
    pub ssrc: Ssrc,
    /// Wire value, modulo 2¹⁶.
    pub sequence_number: u16,
    /// 0 to 127.
    pub payload_type: PayloadType,
    /// The last packet of a frame of video.
    pub marker: bool,
    /// Bytes of padding behind the payload, its length byte included.
    pub padding_bytes: u8,
    csrc_count: u8,
    form: Form,
    elements_start: u32,
    elements_end: u32,
    payload_start: u32,
    payload_end: u32,
}

/// The form of extension elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

impl RtpHeader {
    /// Read the header of a decrypted packet, and make sure of its elements and its padding.
    ///
    /// # Errors
    ///
    /// `short`, `version`, `extension`, `padding`.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let Some(fixed) = data.first_chunk::<HEADER_BYTES>() else { return Err(SHORT) };
        let first = fixed[0];
        if first >> 6 != 2 {
            return Err(ParseError("version"));
        }
        let csrc_count = first & 15;
        let mut position = HEADER_BYTES + 4 * usize::from(csrc_count);
        if data.len() < position {
            return Err(SHORT);
        }
        let mut form = Form::OneByte;
        let mut elements = 0..0;
        if first & HAS_EXTENSION != 0 {
            let (profile, body) = extension_block(data, position)?;
            position = body.end;
            if profile == ONE_BYTE_PROFILE {
                elements = body;
            } else if profile & 0xFFF0 == TWO_BYTE_PROFILE {
                form = Form::TwoByte;
                elements = body;
            }
            Elements { rest: &data[elements.clone()], form }.validate()?;
        }
        let mut end = data.len();
        let mut padding_bytes = 0;
        if first & HAS_PADDING != 0 {
            padding_bytes = data[end - 1];
            end = end.saturating_sub(padding_bytes.into());
            if padding_bytes == 0 || end < position {
                return Err(ParseError("padding"));
            }
        }
        Ok(Self {
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            payload_type: fixed[1] & !MARKER,
            marker: fixed[1] & MARKER != 0,
            padding_bytes,
            csrc_count,
            form,
            elements_start: elements.start as u32,
            elements_end: elements.end as u32,
            payload_start: position as u32,
            payload_end: end as u32,
        })
    }

    /// Where the payload is.
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload_start as usize..self.payload_end as usize
    }

    /// The payload, without padding.
    pub fn payload<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.payload_range()]
    }

    /// Let the payload begin so many bytes later (but not beyond its end), as behind the number that stands
    /// before the payload of a resent packet (RFC 4588 section 4).
    pub fn skip_payload(&mut self, bytes: u32) {
        self.payload_start = self.payload_end.min(self.payload_start + bytes);
    }

    /// Contributing sources that the header names.
    pub const fn csrc_count(&self) -> usize {
        self.csrc_count as usize
    }

    /// The extension elements (id, value), in the order of the packet.
    pub fn elements<'a>(&self, data: &'a [u8]) -> Elements<'a> {
        Elements { rest: &data[self.elements_start as usize..self.elements_end as usize], form: self.form }
    }

    /// The first element with this id; `None` where there is none, or no id was negotiated.
    pub fn element<'a>(&self, data: &'a [u8], id: Option<u8>) -> Option<&'a [u8]> {
        let id = id?;
        self.elements(data).find(|(other, _)| *other == id).map(|(_, value)| value)
    }
}

/// The profile of the block at a position, and where its elements are.
fn extension_block(data: &[u8], position: usize) -> Result<(u16, Range<usize>), ParseError> {
    let head = data[position..].first_chunk::<BLOCK_HEAD_BYTES>().ok_or(EXTENSION)?;
    let start = position + BLOCK_HEAD_BYTES;
    let end = start + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    if data.len() < end {
        return Err(EXTENSION);
    }
    Ok((u16::from_be_bytes([head[0], head[1]]), start..end))
}

/// The extension elements of one packet.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    form: Form,
}

impl<'a> Elements<'a> {
    fn validate(mut self) -> Result<(), ParseError> {
        let mut count = 0;
        while self.read()?.is_some() {
            count += 1;
        }
        if count > MAX_EXTENSIONS { Err(EXTENSION) } else { Ok(()) }
    }

    fn read(&mut self) -> Result<Option<(u8, &'a [u8])>, ParseError> {
        while let [head, rest @ ..] = self.rest {
            if *head == 0 {
                self.rest = rest; // padding
                continue;
            }
            let (id, length, rest) = match (self.form, rest) {
                (Form::TwoByte, [length, rest @ ..]) => (*head, *length, rest),
                (Form::TwoByte, []) => return Err(EXTENSION),
                // RFC 8285 section 4.2: behind a reserved id nothing counts.
                (Form::OneByte, _) if matches!(head >> 4, 0 | 15) => break,
                (Form::OneByte, rest) => (head >> 4, (head & 15) + 1, rest),
            };
            let (value, rest) = rest.split_at_checked(length.into()).ok_or(EXTENSION)?;
            self.rest = rest;
            return Ok(Some((id, value)));
        }
        self.rest = &[];
        Ok(None)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.read().unwrap_or_default() // what was validated has no errors
    }
}

/// Whether an element fits only the two-byte form (RFC 8285 section 4.3).
pub const fn needs_two_bytes(id: u8, value: &[u8]) -> bool {
    id > ONE_BYTE_MAX_ID || value.is_empty() || value.len() > ONE_BYTE_MAX_LENGTH
}

/// Writes the header of one packet at the end of a buffer: [`start`](Self::start), elements, then
/// [`finish`](Self::finish); the payload follows by the caller's hand.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    form: Form,
}

impl<'a> HeaderWriter<'a> {
    /// Begin a packet.
    ///
    /// `two_bytes` asks for the two-byte extension form, also where no element needs it.
    pub fn start(
        out: &'a mut Vec<u8>,
        payload_type: PayloadType,
        marker: bool,
        sequence_number: u16,
        timestamp: u32,
        ssrc: Ssrc,
        two_bytes: bool,
    ) -> Self {
        let start = out.len();
        let mut fixed = [0; HEADER_BYTES];
        fixed[0] = VERSION;
        fixed[1] = payload_type | if marker { MARKER } else { 0 };
        fixed[2..4].copy_from_slice(&sequence_number.to_be_bytes());
        fixed[4..8].copy_from_slice(&timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
        out.extend_from_slice(&fixed);
        Self { out, start, form: if two_bytes { Form::TwoByte } else { Form::OneByte } }
    }

    /// Add an element; its id is not 0. What is longer than 255 bytes fits no form and is left out.
    ///
    /// The first element that needs the two-byte form turns those before it into that form. That moves bytes;
    /// a caller that knows beforehand asks for it at the start.
    pub fn element(&mut self, id: u8, value: &[u8]) {
        debug_assert_ne!(id, 0, "RFC 8285: an id of padding");
        let Ok(length) = u8::try_from(value.len()) else { return };
        if !self.has_block() {
            self.out.extend_from_slice(&[0; BLOCK_HEAD_BYTES]);
        }
        if self.form == Form::OneByte && needs_two_bytes(id, value) {
            self.widen();
        }
        match self.form {
            Form::OneByte => self.out.push(id << 4 | (length - 1)),
            Form::TwoByte => self.out.extend_from_slice(&[id, length]),
        }
        self.out.extend_from_slice(value);
    }

    /// End the extension block, if there is one. Returns the bytes of the header.
    pub fn finish(self) -> usize {
        if self.has_block() {
            let body = self.start + HEADER_BYTES + BLOCK_HEAD_BYTES;
            let words = (self.out.len() - body).div_ceil(4);
            self.out.resize(body + 4 * words, 0);
            let profile = match self.form {
                Form::OneByte => ONE_BYTE_PROFILE,
                Form::TwoByte => TWO_BYTE_PROFILE,
            };
            self.out[body - 4..body - 2].copy_from_slice(&profile.to_be_bytes());
            self.out[body - 2..body].copy_from_slice(&(words as u16).to_be_bytes());
            self.out[self.start] |= HAS_EXTENSION;
        }
        self.out.len() - self.start
    }

    fn has_block(&self) -> bool {
        self.out.len() > self.start + HEADER_BYTES
    }

    fn widen(&mut self) {
        self.form = Form::TwoByte;
        let mut position = self.start + HEADER_BYTES + BLOCK_HEAD_BYTES;
        while let Some(head) = self.out.get(position).copied() {
            let length = (head & 15) + 1;
            self.out[position] = head >> 4;
            self.out.insert(position + 1, length);
            position += 2 + usize::from(length);
        }
    }
}

/// End the packet that begins at `start` with so many bytes of padding (RFC 3550 section 5.1), its length byte
/// included; 0 adds none.
pub fn pad(out: &mut Vec<u8>, start: usize, bytes: u8) {
    if bytes > 0 {
        out[start] |= HAS_PADDING;
        out.resize(out.len() + usize::from(bytes) - 1, 0);
        out.push(bytes);
    }
}

#[cfg(test)]
mod tests;
