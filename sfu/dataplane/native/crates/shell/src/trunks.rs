//! Trunks between two workers' threads: a ring for each direction, one writer and one reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use focus_dataplane::{Crossing, Link, PlaneCore};
use focus_units::Instant;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::exchange::Exchange;

/// Places of one ring: at 62,000 packets a second, 33 ms. Lower: a reader that is not scheduled for a moment loses
/// video. Higher: more memory for each pair of workers that has a call in common, and what waits is older.
pub(crate) const RING_PLACES: usize = 2_048;

/// One worker's ends of the trunks to and from another.
pub(crate) struct TrunkEnds {
    /// The other worker's number.
    pub(crate) with: usize,
    out: Producer<Crossing>,
    /// The other has been woken for what is in `out`, and has not looked yet.
    has_rung: Arc<AtomicBool>,
    other: Arc<Exchange>,
    into: Consumer<Crossing>,
    is_rung: Arc<AtomicBool>,
}

impl TrunkEnds {
    /// Both workers' ends of a pair of rings.
    ///
    /// Each is given with the number of its worker and how it is woken.
    pub(crate) fn pair([one, other]: [(usize, &Arc<Exchange>); 2]) -> [Self; 2] {
        let (out, out_end) = RingBuffer::new(RING_PLACES);
        let (back, back_end) = RingBuffer::new(RING_PLACES);
        let (bell, back_bell) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let here = Self {
            with: other.0,
            out,
            has_rung: Arc::clone(&bell),
            other: Arc::clone(other.1),
            into: back_end,
            is_rung: Arc::clone(&back_bell),
        };
        let there = Self {
            with: one.0,
            out: back,
            has_rung: back_bell,
            other: Arc::clone(one.1),
            into: out_end,
            is_rung: bell,
        };
        [here, there]
    }

    /// Say what there is to say, and wake who is to hear it.
    pub(crate) fn give(&mut self, now: Instant, core: &mut PlaneCore) {
        let mut ring = Ring { out: &mut self.out, has_pushed: false };
        core.hand_over(now, self.with, &mut ring);
        // The reader clears it before it looks: whoever finds it set has been heard, or will be.
        if ring.has_pushed && !self.has_rung.swap(true, Ordering::AcqRel) {
            self.other.wake();
        }
    }

    /// Hear what the other worker has said by now.
    pub(crate) fn take(&mut self, mut hear: impl FnMut(usize, Crossing)) {
        if !self.is_rung.swap(false, Ordering::AcqRel) {
            return;
        }
        for _ in 0..self.into.slots() {
            let Ok(crossing) = self.into.pop() else { return };
            hear(self.with, crossing);
        }
    }
}

/// The writer's end of a ring.
struct Ring<'a> {
    out: &'a mut Producer<Crossing>,
    has_pushed: bool,
}

impl Link for Ring<'_> {
    fn places(&self) -> usize {
        RING_PLACES
    }

    fn free(&self) -> usize {
        self.out.slots()
    }

    fn push(&mut self, crossing: Crossing) {
        self.has_pushed |= self.out.push(crossing).is_ok();
    }
}
