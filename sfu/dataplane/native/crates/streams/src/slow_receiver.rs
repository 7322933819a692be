//! What a subscriber that can't keep up is spared, of the packets that wait for it (packet rule 7).

use crate::selector::PacketFacts;

/// What becomes of something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Kept,
    /// Its frame is left out; those around it go on.
    LeftOut,
    /// It is behind us: what is sent next begins anew.
    Gone,
}

/// A verdict on all that waits of one RTP stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// One for each that waits.
    pub fates: Vec<Fate>,
    /// The highest temporal layer that goes on; `None`: all do, but from a key frame on.
    pub limit: Option<i8>,
}

impl Cut {
    /// Nothing that waits can be shown: only a key frame that is yet to come can.
    pub fn needs_key_frame(&self) -> bool {
        self.limit.is_none() && !self.fates.contains(&Fate::Kept)
    }
}

/// Decide on what waits, oldest first; the oldest goes.
///
/// `waiting` has the facts of each packet; `None` is what only keeps its place. The first is a packet.
pub fn cut<'a>(waiting: impl Iterator<Item = Option<&'a PacketFacts>> + Clone) -> Cut {
    let first = waiting.clone().next().flatten();
    let layer = first.filter(|facts| facts.descriptor.is_none()).and_then(|facts| facts.temporal);
    if let Some(layer @ 1..) = layer {
        // Without frames of a layer, those of the layers below it can be shown, and no others.
        let is_above = |facts: &PacketFacts| facts.temporal.is_some_and(|temporal| temporal >= layer);
        let fate = |facts: Option<&PacketFacts>| {
            if facts.is_some_and(is_above) { Fate::LeftOut } else { Fate::Kept }
        };
        return Cut { fates: waiting.map(fate).collect(), limit: Some(layer - 1) };
    }
    let mut fate = Fate::Gone;
    let fates = waiting.map(|facts| {
        if facts.is_some_and(|facts| starts_anew(facts, first)) {
            fate = Fate::Kept;
        }
        fate
    });
    Cut { fates: fates.collect(), limit: None }
}

/// A key frame starts, other than the one that `first` is part of.
fn starts_anew(facts: &PacketFacts, first: Option<&PacketFacts>) -> bool {
    facts.starts_key_frame && first.is_none_or(|first| facts.ts != first.ts)
}

#[cfg(test)]
mod tests;
