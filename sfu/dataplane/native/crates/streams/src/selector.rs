//! Which encoding of a track flows to one subscriber now, and up to which temporal layer.

use std::collections::VecDeque;

use focus_plane::{ALL_TEMPORAL, DropReason, PAUSED};
use focus_units::Kind;

/// Frames whose temporal decision is remembered for their late packets: two seconds at 30 frames a second.
pub const MAX_FRAMES: usize = 64;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// The choice of one route. An encoding starts at the start of one of its key frames and nowhere else.
///
/// There is no time limit on waiting: where the current encoding has dried up and others flow, what reaches the
/// subscriber still begins with a key frame of the target. Asking for it is the caller's.
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
        self.temporal.limit
    }

    /// How often one encoding followed another.
    pub const fn switches(&self) -> u32 {
        self.switches
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

/// Drops frames above a temporal layer; goes down at the next frame, up where a decoder can follow.
///
/// A frame passes or is dropped as a whole, its late packets included.
#[derive(Debug)]
struct TemporalFilter {
    limit: i8,
    /// Timestamps of the last frames in the order in which they came, and the limit that held for each.
    limits: VecDeque<(i64, i8)>,
    newest: Option<i64>,
}

impl TemporalFilter {
    const fn new() -> Self {
        Self { limit: ALL_TEMPORAL, limits: VecDeque::new(), newest: None }
    }

    /// A key frame starts: every layer up to `limit` can be decoded from here.
    fn reset(&mut self, limit: i8) {
        self.limit = limit;
        self.limits.clear();
        self.newest = None;
    }

    fn passes(&mut self, facts: &PacketFacts, target: i8) -> bool {
        let Some(temporal) = facts.temporal else { return true };
        // Most packets are of the frame that came last.
        let known = self.limits.iter().rev().find(|(ts, _)| *ts == facts.ts).map(|(_, limit)| *limit);
        temporal <= known.unwrap_or_else(|| self.of_new_frame(facts, temporal, target))
    }

    fn of_new_frame(&mut self, facts: &PacketFacts, temporal: i8, target: i8) -> i8 {
        self.adapt(facts, temporal, target);
        if self.limits.len() == MAX_FRAMES {
            self.limits.pop_front();
        }
        self.limits.push_back((facts.ts, self.limit));
        self.limit
    }

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
