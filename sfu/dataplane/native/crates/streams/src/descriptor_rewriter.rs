//! Rewriting dependency descriptors so that a route's frames are those of one RTP stream.

use focus_rtp::dependency_descriptor::{MAX_TEMPLATES, NewNumbers, rewrite_dependency_descriptor};
use focus_units::Ssrc;

use crate::descriptor_reader::PacketDescriptor;

/// What makes a publisher's descriptor a route's: all that a resend must remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorRewriting {
    /// What frame numbers move by.
    pub number_shift: i64,
    /// Decode targets that the packet tells to be active; `None`: it says what the publisher said.
    pub active: Option<u32>,
    /// What template ids move by, modulo 64.
    pub template_shift: u8,
}

impl DescriptorRewriting {
    /// Append the value to send to `out`; `value` is as received, `descriptor` what was read of it.
    pub fn apply(self, value: &[u8], descriptor: &PacketDescriptor, out: &mut Vec<u8>) {
        let numbers = NewNumbers {
            frame_number: (descriptor.frame_number + self.number_shift) as u16,
            template_shift: self.template_shift,
            active: self.active,
        };
        rewrite_dependency_descriptor(value, &descriptor.fields, numbers, out);
    }
}

/// Keeps frame numbers and template ids going over switches.
///
/// Frames refer to each other by the difference of their numbers, so what is left out stays a gap among them;
/// numbers move only where the frames of another source begin, with a key frame. Template ids of a structure
/// are not those of the one before, so that a receiver which misses a key frame's first packet knows it.
#[derive(Debug)]
pub struct DescriptorRewriter {
    source: Option<Ssrc>,
    rewriting: DescriptorRewriting,
    next_number: Option<i64>,
    next_template: u8,
}

impl Default for DescriptorRewriter {
    fn default() -> Self {
        Self::new()
    }
}

impl DescriptorRewriter {
    /// Nothing flowed yet.
    pub const fn new() -> Self {
        Self {
            source: None,
            rewriting: DescriptorRewriting { number_shift: 0, active: None, template_shift: 0 },
            next_number: None,
            next_template: 0,
        }
    }

    /// How to send the descriptor of a packet that is forwarded; the first of a source is a key frame's.
    ///
    /// Another source than before is a switch. `active` are the decode targets to tell; `None` to tell none.
    pub fn forward(
        &mut self,
        source: Ssrc,
        descriptor: &PacketDescriptor,
        active: Option<u32>,
    ) -> DescriptorRewriting {
        if self.source != Some(source) {
            self.join(descriptor);
            self.source = Some(source);
        }
        self.rewriting.active = active;
        let number = descriptor.frame_number + self.rewriting.number_shift;
        self.next_number = Some(self.next_number.unwrap_or(0).max(number + 1));
        if let Some(structure) = &descriptor.fields.structure {
            let first = structure.template_id_offset + self.rewriting.template_shift;
            self.next_template = template_id(first + structure.templates.len() as u8);
        }
        self.rewriting
    }

    /// Nothing is forwarded for a while: what comes next is joined like another source.
    pub fn pause(&mut self) {
        self.source = None;
    }

    fn join(&mut self, descriptor: &PacketDescriptor) {
        let Some(next_number) = self.next_number else { return };
        self.rewriting.number_shift = next_number - descriptor.frame_number;
        if let Some(structure) = &descriptor.fields.structure {
            self.rewriting.template_shift =
                template_id(self.next_template.wrapping_sub(structure.template_id_offset));
        }
    }
}

/// Ids of templates go round.
const fn template_id(id: u8) -> u8 {
    id % MAX_TEMPLATES as u8
}

#[cfg(test)]
mod tests;
