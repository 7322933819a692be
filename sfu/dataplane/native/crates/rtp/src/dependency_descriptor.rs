//! The dependency descriptor header extension (AV1 RTP payload format, appendix A), read and rewritten.
//!
//! It tells frame boundaries, layers and key frames without a look at the payload, so that end-to-end encrypted
//! media can be forwarded layer by layer. Sets of decode targets are bit masks here, as on the wire: bit 0 is
//! decode target 0. Nothing is allocated for a packet but the templates that a key frame brings along.

use focus_units::ParseError;

mod bits;
mod structure;

use bits::{BitReader, BitWriter};
pub use structure::{
    FrameDependencies, Indication, Indications, List, MAX_DECODE_TARGETS, MAX_FRAME_DIFFS, MAX_SPATIAL_IDS,
    MAX_TEMPLATES, MAX_TEMPORAL_IDS, Structure,
};

/// Bytes of the fields that each packet has.
pub const MANDATORY_BYTES: usize = 3;
/// Frame numbers are counted modulo 2 to this.
pub const FRAME_NUMBER_BITS: u32 = 16;

const MANDATORY_BITS: usize = 8 * MANDATORY_BYTES;
const FLAG_BITS: usize = 5;
const STARTS_FRAME: u8 = 0x80;
const ENDS_FRAME: u8 = 0x40;
const TEMPLATE_ID: u8 = 0x3F;

// The first byte behind the mandatory ones.
const HAS_STRUCTURE: u8 = 0x80;
const HAS_ACTIVE: u8 = 0x40;
const HAS_INDICATIONS: u8 = 0x20;
const HAS_FRAME_DIFFS: u8 = 0x10;
const HAS_CHAIN_DIFFS: u8 = 0x08;

const MALFORMED: ParseError = ParseError("dependency_descriptor");

/// Where a descriptor has its mask of active decode targets, or would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskPlace {
    /// Bits of the descriptor before it.
    pub at_bit: usize,
    /// Bits of the mask.
    pub width: u8,
    /// Whether the descriptor has it.
    pub is_there: bool,
    /// Bits of the descriptor that say something; what follows is padding.
    pub used_bits: usize,
}

/// The descriptor of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of a frame.
    pub start_of_frame: bool,
    /// Last packet of a frame.
    pub end_of_frame: bool,
    /// 6 bits.
    pub template_id: u8,
    /// 16 bits.
    pub frame_number: u16,
    /// The one that came with it.
    pub structure: Option<Structure>,
    /// Bit mask; `None` where the packet says nothing of it.
    pub active_decode_targets: Option<u32>,
    /// Of its frame; `None` where that is told by a structure that is not known.
    pub dependencies: Option<FrameDependencies>,
    /// `None` where the structure is not known.
    pub mask: Option<MaskPlace>,
}

impl DependencyDescriptor {
    /// The structure comes with the first packet of a key frame.
    pub const fn starts_key_frame(&self) -> bool {
        self.start_of_frame && self.structure.is_some()
    }
}

/// Whether a structure comes with this descriptor, readable or not.
pub fn claims_structure(value: &[u8]) -> bool {
    value.get(MANDATORY_BYTES).is_some_and(|flags| flags & HAS_STRUCTURE != 0)
}

/// Read a descriptor.
///
/// `structure` is the last that came in the stream; without one, only what comes before the dependencies of the
/// frame is read, and what follows may be anything.
///
/// # Errors
///
/// `dependency_descriptor`.
pub fn parse_dependency_descriptor(
    value: &[u8],
    structure: Option<&Structure>,
) -> Result<DependencyDescriptor, ParseError> {
    let head = value.first_chunk::<MANDATORY_BYTES>().ok_or(MALFORMED)?;
    let mut descriptor = DependencyDescriptor {
        start_of_frame: head[0] & STARTS_FRAME != 0,
        end_of_frame: head[0] & ENDS_FRAME != 0,
        template_id: head[0] & TEMPLATE_ID,
        frame_number: u16::from_be_bytes([head[1], head[2]]),
        structure: None,
        active_decode_targets: None,
        dependencies: None,
        mask: None,
    };
    let flags = value.get(MANDATORY_BYTES).copied();
    let mut reader = BitReader::at(value, MANDATORY_BITS + FLAG_BITS);
    if flags.is_some_and(|flags| flags & HAS_STRUCTURE != 0) {
        let attached = Structure::read(&mut reader)?;
        if attached.template(descriptor.template_id).is_none() {
            return Err(MALFORMED); // it describes other frames than the one it came with
        }
        descriptor.active_decode_targets = Some(attached.every_target());
        descriptor.structure = Some(attached);
    }
    let known = descriptor.structure.as_ref().or(structure);
    let Some((structure, template)) = known.and_then(|it| Some((it, it.template(descriptor.template_id)?)))
    else {
        return Ok(descriptor);
    };
    let mut mask = MaskPlace {
        at_bit: reader.position(),
        width: structure.decode_target_count,
        is_there: false,
        used_bits: MANDATORY_BITS,
    };
    let mut dependencies = *template;
    if let Some(flags) = flags {
        if flags & HAS_ACTIVE != 0 {
            mask.is_there = true;
            descriptor.active_decode_targets = Some(reader.bits(mask.width.into())?);
        }
        read_own(&mut reader, flags, &mut dependencies)?;
        mask.used_bits = reader.position();
    }
    descriptor.dependencies = Some(dependencies);
    descriptor.mask = Some(mask);
    Ok(descriptor)
}

/// Read what a frame has of its own, instead of what its template says.
fn read_own(reader: &mut BitReader, flags: u8, frame: &mut FrameDependencies) -> Result<(), ParseError> {
    if flags & HAS_INDICATIONS != 0 {
        frame.indications = Indications::read(reader, frame.indications.len())?;
    }
    if flags & HAS_FRAME_DIFFS != 0 {
        frame.frame_diffs = List::default();
        while let size @ 1.. = reader.bits(2)? {
            frame.frame_diffs.push(reader.bits(4 * size)? as u16 + 1)?;
        }
    }
    if flags & HAS_CHAIN_DIFFS != 0 {
        for diff in frame.chain_diffs.iter_mut() {
            *diff = reader.bits(8)? as u8;
        }
    }
    Ok(())
}

/// The numbers that a descriptor gets instead of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNumbers {
    /// 16 bits.
    pub frame_number: u16,
    /// What template ids move by, modulo 64.
    pub template_shift: u8,
    /// The decode targets that are active, told in this packet; `None` leaves what it says of them. Where the
    /// structure is not known, nothing can be told.
    pub active: Option<u32>,
}

/// Write the same descriptor with other numbers behind what a buffer holds. `value` is as received, `descriptor`
/// what was read of it.
pub fn rewrite_dependency_descriptor(
    value: &[u8],
    descriptor: &DependencyDescriptor,
    numbers: NewNumbers,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let template_id = descriptor.template_id.wrapping_add(numbers.template_shift) & TEMPLATE_ID;
    let [high, low] = numbers.frame_number.to_be_bytes();
    out.extend_from_slice(&[value[0] & !TEMPLATE_ID | template_id, high, low]);
    match (numbers.active, descriptor.mask) {
        (Some(active), Some(mask)) => put_with_mask(value, mask, active, out),
        _ => out.extend_from_slice(&value[MANDATORY_BYTES..]),
    }
    if let Some(structure) = &descriptor.structure {
        // Six bits behind the five of the flags.
        let offset = structure.template_id_offset.wrapping_add(numbers.template_shift) & TEMPLATE_ID;
        let rest = &mut out[start + MANDATORY_BYTES..];
        rest[0] = rest[0] & 0xF8 | offset >> 3;
        rest[1] = rest[1] & 0x1F | offset << 5;
    }
}

/// Write what follows the mandatory fields, with this mask of active decode targets; padding is left away.
fn put_with_mask(value: &[u8], mask: MaskPlace, active: u32, out: &mut Vec<u8>) {
    let flags = value.get(MANDATORY_BYTES).copied().unwrap_or(0) | HAS_ACTIVE;
    let mut writer = BitWriter::new(out);
    writer.put((flags >> (8 - FLAG_BITS)).into(), FLAG_BITS as u32);
    writer.copy(value, MANDATORY_BITS + FLAG_BITS..mask.at_bit);
    writer.put(active, mask.width.into());
    let behind = mask.at_bit + if mask.is_there { mask.width.into() } else { 0 };
    writer.copy(value, behind..mask.used_bits);
}

#[cfg(test)]
mod tests;
