//! Reads the dependency descriptors of one RTP stream: each by the structure of its key frame.

use std::sync::Arc;

use focus_rtp::dependency_descriptor::{
    DependencyDescriptor, FRAME_NUMBER_BITS, Structure, claims_structure, parse_dependency_descriptor,
};
use focus_rtp::unwrap::Unwrapper;

/// Coded video sequences remembered of one stream, one for each key frame: what comes late is read by its
/// own. Lower: packets from before the last key frames can't be read. Higher: nothing that is of use any
/// more.
pub const MAX_SEQUENCES: usize = 4;

/// The descriptor of one packet, read in its place among those of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketDescriptor {
    /// What was read of it; the value itself stays in the packet.
    pub fields: DependencyDescriptor,
    /// Unwrapped. It goes on where an encoder starts its numbers anew.
    pub frame_number: i64,
    /// Sequence number of the packet that began the coded video sequence; 0 where `structure` is `None`.
    pub sequence_start: i64,
    /// Of that sequence; `None` where it has not come, or the frame means one that has not.
    pub structure: Option<Arc<Structure>>,
    /// Decode targets that the publisher sends, as of this packet.
    pub active: u32,
}

/// A coded video sequence: from one key frame to the next.
#[derive(Clone, Debug)]
struct Sequence {
    first_seq: i64,
    /// `None`: it came, and could not be read.
    structure: Option<Arc<Structure>>,
    /// From the encoder's frame numbers to ours.
    shift: i64,
    active: u32,
    /// Sequence number of the packet that told which targets are active.
    told_seq: i64,
}

impl Sequence {
    const fn new(first_seq: i64, structure: Option<Arc<Structure>>, shift: i64) -> Self {
        Self { first_seq, structure, shift, active: 0, told_seq: 0 }
    }

    /// The active decode targets as of a packet; what one tells holds for those behind it.
    fn active(&mut self, seq: i64, fields: &DependencyDescriptor) -> u32 {
        let Some(active) = fields.active_decode_targets else { return self.active };
        // A packet that comes twice with another structure has targets that the first did not.
        let active = active & self.structure.as_ref().map_or(0, |structure| structure.every_target());
        if seq >= self.told_seq {
            (self.active, self.told_seq) = (active, seq);
        }
        active
    }
}

/// What is known of one RTP stream's frames.
///
/// A structure holds for the packets behind the one that brought it, by sequence number: what is late is read
/// by the structure of its own key frame. A structure that can't be read takes with it the descriptors of all
/// frames up to the next.
#[derive(Debug, Default)]
pub struct DescriptorReader {
    numbers: Unwrapper<FRAME_NUMBER_BITS>,
    /// Newest first.
    sequences: Vec<Sequence>,
    newest_seq: i64,
    highest_number: i64,
}

impl DescriptorReader {
    /// Of a stream that nothing came of yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Read the descriptor of a packet with this unwrapped number; `None` for one that nobody can make sense
    /// of.
    pub fn read(&mut self, seq: i64, value: &[u8]) -> Option<PacketDescriptor> {
        let place = self.sequences.iter().position(|sequence| sequence.first_seq <= seq);
        let known = place.map(|place| &self.sequences[place]);
        let shift = known.map_or(0, |sequence| sequence.shift);
        let brings_structure = claims_structure(value);
        if !brings_structure && known.is_some_and(|sequence| sequence.structure.is_none()) {
            return None;
        }
        let structure = known.and_then(|sequence| sequence.structure.as_deref());
        let Ok(fields) = parse_dependency_descriptor(value, structure) else {
            if brings_structure {
                self.begin(Sequence::new(seq, None, shift));
                self.sequences.truncate(MAX_SEQUENCES);
            }
            return None;
        };
        if brings_structure && !fields.start_of_frame {
            return None;
        }
        let is_newest = seq > self.newest_seq;
        self.newest_seq = self.newest_seq.max(seq);
        let number = self.numbers.unwrap(fields.frame_number);
        let mut frame_number = number + shift;
        let place = match &fields.structure {
            None => place,
            Some(structure) => {
                if is_newest {
                    frame_number = frame_number.max(self.highest_number + 1);
                }
                let structure = Arc::new(structure.clone());
                Some(self.begin(Sequence::new(seq, Some(structure), frame_number - number)))
            }
        };
        self.highest_number = self.highest_number.max(frame_number);
        let sequence =
            place.map(|place| &mut self.sequences[place]).filter(|_| fields.dependencies.is_some());
        let read = match sequence {
            None => PacketDescriptor { fields, frame_number, sequence_start: 0, structure: None, active: 0 },
            Some(sequence) => PacketDescriptor {
                active: sequence.active(seq, &fields),
                fields,
                frame_number,
                sequence_start: sequence.first_seq,
                structure: sequence.structure.clone(),
            },
        };
        self.sequences.truncate(MAX_SEQUENCES);
        Some(read)
    }

    /// Note a sequence in its place; the same for the same packet. One too many is there until the packet is
    /// read.
    fn begin(&mut self, begun: Sequence) -> usize {
        match self.sequences.binary_search_by(|known| begun.first_seq.cmp(&known.first_seq)) {
            Ok(place) => place,
            Err(place) => {
                self.sequences.insert(place, begun);
                place
            }
        }
    }
}

#[cfg(test)]
mod tests;
