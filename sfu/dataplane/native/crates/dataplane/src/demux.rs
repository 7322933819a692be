//! A peer's RTP packets, sorted by SSRC to the encodings of its tracks (packet rule 4).

use focus_units::{Instant, Ssrc};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::binding::Bindings;
use crate::encoding::EncodingId;

/// Where the packets of a bound SSRC go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stream {
    /// As the program numbers it.
    pub track: usize,
    pub encoding: EncodingId,
    pub is_repair: bool,
}

/// The tracks that one peer publishes, and which of its SSRCs is what.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Demux {
    /// By mid, as the program numbers them, in the order in which they were set.
    pub tracks: IndexMap<String, usize, FxBuildHasher>,
    /// All that are bound, in the order in which they were.
    pub streams: IndexMap<Ssrc, Stream, FxBuildHasher>,
    pub bindings: Bindings,
}

impl Demux {
    /// Forget the SSRCs of an encoding; their names are remembered.
    pub fn forget(&mut self, track: usize, encoding: EncodingId) {
        self.streams.retain(|_, stream| (stream.track, stream.encoding) != (track, encoding));
    }

    /// Forget an SSRC that stands for another track than this.
    pub fn release_from_others(&mut self, ssrc: Ssrc, track: usize) {
        if self.streams.get(&ssrc).is_some_and(|stream| stream.track != track) {
            self.streams.shift_remove(&ssrc);
        }
    }

    /// When packets that wait for their names are given up.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.bindings.next_timeout()
    }
}
