//! Which encoding of a track flows to one subscriber now, and up to which temporal layer.

use std::sync::Arc;

use focus_plane::{ALL_TEMPORAL, DropReason, PAUSED};
use focus_units::Kind;

use crate::descriptor_reader::PacketDescriptor;
use crate::temporal::TemporalFilter;

/// What flows and what is wanted. Encodings are numbered as in targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorState {
    /// Nothing flows.
    Paused,
    /// `target` waits for its key frame.
    Switching {
        /// The encoding that is wanted.
        target: i8,
        /// It flows until then; `None` where nothing does.
        current: Option<i8>,
    },
    /// This encoding flows, and is what is wanted.
    Forwarding(i8),
}

/// What choosing needs to know of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketFacts {
    /// As in targets.
    pub encoding: i8,
    /// Of the publisher, unwrapped.
    pub seq: i64,
    /// Of the publisher, unwrapped: the packets of one frame share it.
    pub ts: i64,
    /// The first packet of a key frame. Always false for audio.
    pub starts_key_frame: bool,
    /// Temporal layer (VP8 TID); `None` where the payload does not tell.
    pub temporal: Option<i8>,
    /// The frame depends on the base layer only (VP8 Y bit, RFC 7741 section 4.2).
    pub layer_sync: bool,
    /// Its dependency descriptor, which decides on temporal layers whatever the payload tells.
    pub descriptor: Option<Arc<PacketDescriptor>>,
}

impl PacketFacts {
    /// The temporal layer of its frame, as its descriptor tells, else its payload; 0: neither does.
    pub fn layer(&self) -> usize {
        let told = self.descriptor.as_ref().and_then(|descriptor| descriptor.fields.dependencies.as_ref());
        told.map_or(self.temporal.unwrap_or(0) as usize, |frame| usize::from(frame.temporal_id))
    }
}

/// The choice of one route. An encoding starts at the start of one of its key frames and nowhere else.
///
/// There is no time limit on waiting: where the current encoding has dried up and others flow, what reaches
/// the subscriber still begins with a key frame of the target. Asking for it is the caller's.
#[derive(Debug)]
pub struct EncodingSelector {
    kind: Kind,
    state: SelectorState,
    target_temporal: i8,
    temporal: TemporalFilter,
    since: Option<i64>,
    last: Option<i8>,
    switches: u32,
}

impl EncodingSelector {
    /// Of a route that sends nothing yet. Audio has no key frames and switches at once.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: SelectorState::Paused,
            target_temporal: ALL_TEMPORAL,
            temporal: TemporalFilter::new(),
            since: None,
            last: None,
            switches: 0,
        }
    }

    /// What flows and what is wanted.
    pub const fn state(&self) -> SelectorState {
        self.state
    }

    /// The encoding that flows now; `None` for none.
    pub const fn current(&self) -> Option<i8> {
        match self.state {
            SelectorState::Forwarding(encoding) => Some(encoding),
            SelectorState::Switching { current, .. } => current,
            SelectorState::Paused => None,
        }
    }

    /// The encoding that is wanted, or `PAUSED`.
    pub const fn target(&self) -> i8 {
        match self.state {
            SelectorState::Forwarding(target) | SelectorState::Switching { target, .. } => target,
            SelectorState::Paused => PAUSED,
        }
    }

    /// The highest temporal layer that flows now.
    pub const fn temporal(&self) -> i8 {
        self.temporal.limit()
    }

    /// How often one encoding followed another.
    pub const fn switches(&self) -> u32 {
        self.switches
    }

    /// The decode targets to tell in the descriptor of a packet that is forwarded (a bit mask).
    ///
    /// `None` where nothing was left out since the last key frame: what the publisher says holds.
    pub fn active_targets(&self, descriptor: &PacketDescriptor) -> Option<u32> {
        self.temporal.active_targets(descriptor)
    }

    /// Want another encoding (`PAUSED`: nothing, at once) up to a temporal layer.
    pub fn set_target(&mut self, encoding: i8, temporal: i8) {
        self.target_temporal = temporal;
        let current = self.current();
        self.state = if encoding == PAUSED {
            SelectorState::Paused
        } else if Some(encoding) == current || self.kind == Kind::Audio {
            SelectorState::Forwarding(encoding)
        } else {
            SelectorState::Switching { target: encoding, current }
        };
    }

    /// Frames above this temporal layer were dropped after `decide` had let them pass.
    ///
    /// Their layers come back as after a target that left them out. For frames without a descriptor only.
    pub fn lower(&mut self, temporal: i8) {
        self.temporal.lower(temporal);
    }

    /// An encoding comes from another SSRC now: a new encoder, to be joined at a key frame.
    pub fn source_changed(&mut self, encoding: i8) {
        if self.kind == Kind::Video && self.current() == Some(encoding) {
            self.state = SelectorState::Switching { target: self.target(), current: None };
        }
    }

    /// Encodings stand under other numbers now: `after` says under which, `None` for one that is gone.
    pub fn renumber(&mut self, after: impl Fn(i8) -> Option<i8>) {
        let current = self.current().and_then(&after);
        let target = Some(self.target()).filter(|target| *target != PAUSED).and_then(&after);
        self.last = self.last.and_then(&after);
        self.state = match target {
            None => SelectorState::Paused,
            Some(target) if Some(target) == current => SelectorState::Forwarding(target),
            Some(target) => SelectorState::Switching { target, current },
        };
    }

    /// Decide on one packet; call once for each, in order of arrival. `None` to forward it.
    ///
    /// `ready`: the packet's timestamp can be mapped (`TimestampMapper::ready`); a switch waits for it.
    pub fn decide(&mut self, facts: &PacketFacts, ready: bool) -> Option<DropReason> {
        match self.state {
            SelectorState::Forwarding(encoding) if facts.encoding == encoding => self.forward(facts),
            SelectorState::Switching { target, .. }
                if target == facts.encoding && facts.starts_key_frame && ready =>
            {
                self.state = SelectorState::Forwarding(target);
                self.since = Some(facts.seq);
                self.temporal.reset(self.target_temporal);
                self.forward(facts)
            }
            SelectorState::Switching { current: Some(current), .. } if facts.encoding == current => {
                self.forward(facts)
            }
            SelectorState::Switching { target, .. } if facts.encoding == target => {
                Some(DropReason::WaitingForKeyframe)
            }
            SelectorState::Paused | SelectorState::Switching { .. } | SelectorState::Forwarding(_) => {
                Some(DropReason::OtherLayer)
            }
        }
    }

    /// A packet of the encoding that flows.
    fn forward(&mut self, facts: &PacketFacts) -> Option<DropReason> {
        if self.since.is_some_and(|since| facts.seq < since) {
            // From before the key frame that it was joined at, and late.
            return Some(DropReason::WaitingForKeyframe);
        }
        if !self.temporal.passes(facts, self.target_temporal) {
            return Some(DropReason::TemporalLayer);
        }
        if self.last != Some(facts.encoding) {
            self.switches += u32::from(self.last.is_some());
            self.last = Some(facts.encoding);
        }
        None
    }
}

#[cfg(test)]
mod tests;
