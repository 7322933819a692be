//! When which peer has been silent for too long, without a look at all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use focus_units::{Instant, TransportId};

/// One appointment for each peer, not after its consent ends.
///
/// A check moves the end of consent and no appointment: whoever finds one that came too early makes the next.
/// So a check costs nothing here, and what is found costs O(log peers), at most once for each check.
#[derive(Debug, Default)]
pub(crate) struct Appointments {
    heap: BinaryHeap<Reverse<(Instant, TransportId)>>,
}

impl Appointments {
    /// Have a look at a peer then.
    pub(crate) fn make(&mut self, at: Instant, transport: TransportId) {
        self.heap.push(Reverse((at, transport)));
    }

    /// The next one.
    pub(crate) fn next(&self) -> Option<(Instant, TransportId)> {
        self.heap.peek().map(|Reverse(next)| *next)
    }

    /// The next one is done with.
    pub(crate) fn pop(&mut self) {
        self.heap.pop();
    }
}
