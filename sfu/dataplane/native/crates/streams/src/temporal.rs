//! Leaving out temporal layers: which frames of the encoding that flows a subscriber gets.

use std::collections::VecDeque;

use focus_plane::ALL_TEMPORAL;
use focus_rtp::dependency_descriptor::{FrameDependencies, MAX_TEMPORAL_IDS, Structure};

use crate::descriptor_reader::PacketDescriptor;
use crate::selector::PacketFacts;

/// Frames whose decision is remembered for their late packets: two seconds at 30 frames a second.
pub const MAX_FRAMES: usize = 64;

const LEFT_OUT: u32 = 0;
/// What is kept, as of a frame that nothing is known of: whatever it may be, it passes.
const UNKNOWN: u32 = u32::MAX;

/// Drops frames above a temporal layer; goes down at the next frame, up where a decoder can follow.
///
/// A frame passes or is dropped as a whole, its late packets included. Where packets have a dependency
/// descriptor, it decides; else the payload's temporal id.
#[derive(Debug)]
pub struct TemporalFilter {
    by_id: IdFilter,
    by_targets: TargetFilter,
    is_described: bool,
}

impl Default for TemporalFilter {
    fn default() -> Self {
        Self::new()
    }
}

impl TemporalFilter {
    /// Everything passes.
    pub const fn new() -> Self {
        Self { by_id: IdFilter::new(), by_targets: TargetFilter::new(), is_described: false }
    }

    /// The highest temporal layer that passes.
    pub const fn limit(&self) -> i8 {
        if self.is_described { self.by_targets.limit } else { self.by_id.limit }
    }

    /// A key frame starts: every layer up to `limit` can be decoded from here.
    pub fn reset(&mut self, limit: i8) {
        self.by_id.reset(limit);
        self.by_targets.reset(limit);
    }

    /// Frames without a descriptor that passed were dropped after all, down to this layer.
    pub fn lower(&mut self, limit: i8) {
        self.by_id.lower(limit);
    }

    /// Whether a packet is of a frame at or below the layer that can be had towards `target`, the highest
    /// temporal layer that is wanted. Call it for each packet of the encoding that flows, in order of
    /// arrival.
    pub fn passes(&mut self, facts: &PacketFacts, target: i8) -> bool {
        self.is_described = facts.descriptor.is_some();
        match (&facts.descriptor, facts.temporal) {
            (Some(descriptor), _) => {
                let passes = self.by_targets.passes(descriptor, target);
                // A packet whose descriptor can't be read goes by its temporal id, where it has one.
                self.by_id.lower(self.by_targets.limit);
                passes
            }
            (None, Some(temporal)) => self.by_id.passes(facts, temporal, target),
            (None, None) => true,
        }
    }

    /// The decode targets to tell in the descriptor of a packet that passes; `None`: no need to.
    pub fn active_targets(&self, descriptor: &PacketDescriptor) -> Option<u32> {
        self.by_targets.active_targets(descriptor)
    }
}

/// What was decided of the last frames, in the order in which they came.
#[derive(Debug)]
struct Frames<T>(VecDeque<(i64, T)>);

impl<T: Copy> Frames<T> {
    const fn new() -> Self {
        Self(VecDeque::new())
    }

    fn get(&self, frame: i64) -> Option<T> {
        // Most packets are of the frame that came last.
        self.0.iter().rev().find(|(known, _)| *known == frame).map(|(_, decision)| *decision)
    }

    fn push(&mut self, frame: i64, decision: T) {
        if self.0.len() == MAX_FRAMES {
            self.0.pop_front();
        }
        self.0.push_back((frame, decision));
    }
}

/// By decode targets: a frame that belongs to one of those kept passes, and so has what it refers to.
///
/// Targets with a temporal layer above the limit are given up at the next frame. One comes back at a frame
/// that is a switching point for it (AV1 RTP specification, section A.7), if all that this frame refers to
/// has passed. Spatial layers are no matter of this: targets of each are kept.
#[derive(Debug)]
struct TargetFilter {
    limit: i8,
    is_told: bool,
    kept: u32,
    sequence_start: i64,
    newest: i64,
    /// The targets that were kept as of each.
    frames: Frames<u32>,
}

impl TargetFilter {
    const fn new() -> Self {
        Self {
            limit: ALL_TEMPORAL,
            is_told: false,
            kept: 0,
            sequence_start: 0,
            newest: 0,
            frames: Frames::new(),
        }
    }

    fn reset(&mut self, limit: i8) {
        self.limit = limit;
        (self.sequence_start, self.newest) = (0, 0);
        self.frames.0.clear();
    }

    fn passes(&mut self, descriptor: &PacketDescriptor, target: i8) -> bool {
        let number = descriptor.frame_number;
        let kept = self.frames.get(number).unwrap_or_else(|| {
            let kept = self.kept_of_new_frame(descriptor, target);
            self.newest = self.newest.max(number);
            self.frames.push(number, kept);
            kept
        });
        kept != LEFT_OUT
    }

    fn active_targets(&self, descriptor: &PacketDescriptor) -> Option<u32> {
        if descriptor.structure.is_none() || !self.is_told {
            return None;
        }
        Some(self.frames.get(descriptor.frame_number).unwrap_or(self.kept) & descriptor.active)
    }

    /// The decode targets that are kept as of this frame; `LEFT_OUT` where it is of none of them.
    fn kept_of_new_frame(&mut self, descriptor: &PacketDescriptor, target: i8) -> u32 {
        let (Some(structure), Some(frame)) = (&descriptor.structure, &descriptor.fields.dependencies) else {
            return UNKNOWN;
        };
        let wanted = targets_within(structure, descriptor.active, target);
        let mut kept = wanted;
        if descriptor.sequence_start > self.sequence_start {
            self.sequence_start = descriptor.sequence_start;
            self.is_told = false;
            self.keep(structure, wanted, wanted, target);
        } else if descriptor.sequence_start == self.sequence_start {
            if descriptor.frame_number > self.newest {
                let joining = self.joining(descriptor.frame_number, frame, wanted);
                self.keep(structure, self.kept & wanted | joining, wanted, target);
            }
            kept = self.kept;
        }
        let is_wanted = kept == structure.every_target() || frame.targets() & kept != 0;
        if is_wanted { kept } else { LEFT_OUT }
    }

    /// The targets that begin with this frame.
    fn joining(&self, number: i64, frame: &FrameDependencies, wanted: u32) -> u32 {
        let candidates = wanted & !self.kept & frame.switch_targets();
        let passed =
            |diff: &u16| self.frames.get(number - i64::from(*diff)).is_some_and(|kept| kept != LEFT_OUT);
        if candidates != 0 && frame.frame_diffs.iter().all(passed) { candidates } else { 0 }
    }

    fn keep(&mut self, structure: &Structure, kept: u32, wanted: u32, target: i8) {
        self.kept = kept;
        self.is_told |= kept != structure.every_target();
        self.limit = if kept == wanted { target } else { highest_layer(structure, kept) };
    }
}

/// The decode targets without a temporal layer above this; the lowest where all that are active have.
fn targets_within(structure: &Structure, active: u32, limit: i8) -> u32 {
    let every = structure.every_target();
    if limit == ALL_TEMPORAL {
        return every;
    }
    let active = if active == 0 { every } else { active };
    let within = |limit: i8| {
        let above = structure.templates.iter().filter(|template| template.temporal_id as i8 > limit);
        every & !above.fold(0, |targets, template| targets | template.targets())
    };
    (limit.max(0)..MAX_TEMPORAL_IDS as i8).map(within).find(|targets| targets & active != 0).unwrap_or(every)
}

/// The highest temporal layer of all these decode targets.
fn highest_layer(structure: &Structure, targets: u32) -> i8 {
    let of_targets = structure.templates.iter().filter(|template| template.targets() & targets != 0);
    of_targets.map(|template| template.temporal_id as i8).max().unwrap_or(0)
}

/// By the temporal ids of payloads: a layer comes back at a frame that refers to the base layer only.
#[derive(Debug)]
struct IdFilter {
    limit: i8,
    newest: Option<i64>,
    /// The limit that held for each, by timestamp.
    limits: Frames<i8>,
}

impl IdFilter {
    const fn new() -> Self {
        Self { limit: ALL_TEMPORAL, newest: None, limits: Frames::new() }
    }

    fn reset(&mut self, limit: i8) {
        self.limit = limit;
        self.newest = None;
        self.limits.0.clear();
    }

    fn lower(&mut self, limit: i8) {
        self.limit = self.limit.min(limit);
        for (_, known) in &mut self.limits.0 {
            *known = limit.min(*known);
        }
    }

    fn passes(&mut self, facts: &PacketFacts, temporal: i8, target: i8) -> bool {
        let limit = self.limits.get(facts.ts).unwrap_or_else(|| {
            self.adapt(facts, temporal, target);
            self.limits.push(facts.ts, self.limit);
            self.limit
        });
        temporal <= limit
    }

    /// A frame comes that no packet came of before.
    fn adapt(&mut self, facts: &PacketFacts, temporal: i8, target: i8) {
        if self.newest.is_some_and(|newest| facts.ts < newest) {
            return;
        }
        self.newest = Some(facts.ts);
        if facts.starts_key_frame || target < self.limit {
            self.limit = target;
        } else if temporal - 1 == self.limit && temporal <= target && facts.layer_sync {
            // One layer at a time: a frame of layer 2 may also need those of layer 1 that were left out.
            self.limit = temporal;
        }
    }
}

#[cfg(test)]
mod tests;
