//! The VP8 payload descriptor (RFC 7741 section 4.2): read, and its head written anew.

use focus_units::ParseError;

/// Picture ids of 15 bits are counted modulo this.
pub const PICTURE_ID_MODULO: u16 = 1 << 15;

const KEY_FRAME_START_CODE: [u8; 3] = [0x9D, 0x01, 0x2A];

const HAS_EXTENSION: u8 = 0x80;
const NON_REFERENCE: u8 = 0x20;
const STARTS_PARTITION: u8 = 0x10;
const PARTITION: u8 = 0x07;

const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0_PIC_IDX: u8 = 0x40;
const HAS_TEMPORAL_ID: u8 = 0x20;
const HAS_KEY_IDX: u8 = 0x10;
/// Ours, among the reserved bits of the wire: the picture id has 15 bits.
const LONG_PICTURE_ID: u8 = 0x08;
/// Ours as well: a key frame starts here.
const STARTS_KEY_FRAME: u8 = 0x04;

const LONG: u8 = 0x80;
const LAYER_SYNC: u8 = 0x20;
const KEY_IDX: u8 = 0x1F;

/// What stands before the VP8 bitstream. `None`: the field is not there.
///
/// Kept with each packet in the cache, so it is eight bytes: fields as they were on the wire, behind methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Descriptor {
    picture_id: u16,
    first: u8,
    flags: u8,
    tl0_pic_idx: u8,
    layers: u8,
    size_bytes: u8,
}

impl Vp8Descriptor {
    /// Where the bitstream begins.
    pub const fn size_bytes(self) -> usize {
        self.size_bytes as usize
    }

    /// First packet of a partition.
    pub const fn start_of_partition(self) -> bool {
        self.first & STARTS_PARTITION != 0
    }

    /// Of the frame, 0 to 7.
    pub const fn partition(self) -> u8 {
        self.first & PARTITION
    }

    /// No other frame refers to this one.
    pub const fn non_reference(self) -> bool {
        self.first & NON_REFERENCE != 0
    }

    /// Of 7 or 15 bits.
    pub fn picture_id(self) -> Option<u16> {
        (self.flags & HAS_PICTURE_ID != 0).then_some(self.picture_id)
    }

    /// 0, 7 or 15.
    pub const fn picture_id_bits(self) -> u8 {
        match (self.flags & HAS_PICTURE_ID, self.flags & LONG_PICTURE_ID) {
            (0, _) => 0,
            (_, 0) => 7,
            _ => 15,
        }
    }

    /// Counts the frames of the lowest temporal layer.
    pub fn tl0_pic_idx(self) -> Option<u8> {
        (self.flags & HAS_TL0_PIC_IDX != 0).then_some(self.tl0_pic_idx)
    }

    /// 0 to 3.
    pub fn temporal_id(self) -> Option<u8> {
        (self.flags & HAS_TEMPORAL_ID != 0).then_some(self.layers >> 6)
    }

    /// The frame depends on the lowest temporal layer only: a receiver may go up here.
    pub const fn layer_sync(self) -> bool {
        self.flags & HAS_TEMPORAL_ID != 0 && self.layers & LAYER_SYNC != 0
    }

    /// Counts key frames, modulo 32.
    pub fn key_idx(self) -> Option<u8> {
        (self.flags & HAS_KEY_IDX != 0).then_some(self.layers & KEY_IDX)
    }

    /// First packet of a key frame. Readable also where a client encrypts the rest of the payload, since the
    /// frame tag's first byte is left in the clear.
    pub const fn starts_key_frame(self) -> bool {
        self.flags & STARTS_KEY_FRAME != 0
    }

    /// First packet of a frame.
    pub const fn starts_frame(self) -> bool {
        self.start_of_partition() && self.partition() == 0
    }
}

/// Read the descriptor of a payload.
///
/// # Errors
///
/// `vp8`: it ends inside the descriptor.
pub fn parse_vp8(payload: &[u8]) -> Result<Vp8Descriptor, ParseError> {
    read(payload).ok_or(ParseError("vp8"))
}

fn read(payload: &[u8]) -> Option<Vp8Descriptor> {
    let mut bytes = payload.iter().copied();
    let first = bytes.next()?;
    let (mut flags, mut picture_id, mut tl0_pic_idx, mut layers) = (0, 0, 0, 0);
    if first & HAS_EXTENSION != 0 {
        flags = bytes.next()? & (HAS_PICTURE_ID | HAS_TL0_PIC_IDX | HAS_TEMPORAL_ID | HAS_KEY_IDX);
        if flags & HAS_PICTURE_ID != 0 {
            let high = bytes.next()?;
            picture_id = high.into();
            if high & LONG != 0 {
                picture_id = u16::from_be_bytes([high & !LONG, bytes.next()?]);
                flags |= LONG_PICTURE_ID;
            }
        }
        if flags & HAS_TL0_PIC_IDX != 0 {
            tl0_pic_idx = bytes.next()?;
        }
        if flags & (HAS_TEMPORAL_ID | HAS_KEY_IDX) != 0 {
            layers = bytes.next()?;
        }
    }
    let size_bytes = (payload.len() - bytes.len()) as u8;
    let starts_frame = first & (STARTS_PARTITION | PARTITION) == STARTS_PARTITION;
    if starts_frame && bytes.next().is_some_and(|tag| tag & 1 == 0) {
        flags |= STARTS_KEY_FRAME;
    }
    Some(Vp8Descriptor { picture_id, first, flags, tl0_pic_idx, layers, size_bytes })
}

/// Width and height that the first packet of a key frame tells (RFC 6386 section 9.1).
pub fn frame_size(payload: &[u8], descriptor: Vp8Descriptor) -> Option<(u16, u16)> {
    let frame = payload.get(descriptor.size_bytes()..)?.first_chunk::<10>()?;
    if !descriptor.starts_key_frame() || frame[3..6] != KEY_FRAME_START_CODE {
        return None;
    }
    let side = |at: usize| u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3FFF;
    Some((side(6), side(8)))
}

/// Write what stands instead of the first [`size_bytes`](Vp8Descriptor::size_bytes) bytes of a payload, with
/// other numbers in the fields that it has.
///
/// A 7-bit picture id becomes a 15-bit one, so that the sequence of ids goes on over a switch between encodings
/// with different sizes; the head grows by a byte then. `key_idx` counts modulo 32.
pub fn write_vp8_head(
    payload: &[u8],
    descriptor: Vp8Descriptor,
    picture_id: u16,
    tl0_pic_idx: u8,
    key_idx: u8,
    out: &mut Vec<u8>,
) {
    if descriptor.first & HAS_EXTENSION == 0 {
        out.push(payload[0]);
        return;
    }
    out.extend_from_slice(&payload[..2]);
    if descriptor.flags & HAS_PICTURE_ID != 0 {
        out.extend_from_slice(&(u16::from(LONG) << 8 | picture_id).to_be_bytes());
    }
    if descriptor.flags & HAS_TL0_PIC_IDX != 0 {
        out.push(tl0_pic_idx);
    }
    if descriptor.flags & HAS_KEY_IDX != 0 {
        out.push(descriptor.layers & !KEY_IDX | key_idx & KEY_IDX);
    } else if descriptor.flags & HAS_TEMPORAL_ID != 0 {
        out.push(descriptor.layers);
    }
}

#[cfg(test)]
mod tests;
