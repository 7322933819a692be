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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use focus_dataplane::{Config, Random};
    use focus_plane::{ExtensionIds, SetTrack};
    use focus_units::{Kind, TrackHandle, TransportId};

    use super::*;
    use crate::arrivals::Arrivals;
    use crate::poller::Poller;

    const NOW: Instant = Instant(5);

    fn exchange() -> Arc<Exchange> {
        let arrivals = Arc::new(Arrivals::new().expect("there are descriptors"));
        Arc::new(Exchange::new(arrivals).expect("there are descriptors"))
    }

    /// A core that has something to tell the home of a track.
    fn wishful() -> PlaneCore {
        let config = Config { consent_timeout_s: 30.0, packet_cache_bytes: 1 << 20 };
        let mut core = PlaneCore::new(config, Random::from_seed([7; 32]));
        let spec = SetTrack {
            track: TrackHandle(1),
            transport: TransportId(1),
            mid: "0".into(),
            kind: Kind::Video,
            formats: Vec::new(),
            encodings: Vec::new(),
            extensions: ExtensionIds::default(),
            cname: "".into(),
        };
        for _ in 0..2 {
            core.set_mirror(NOW, Box::new(spec.clone()), 0).expect("it contradicts nothing");
        }
        core
    }

    #[test]
    fn what_is_said_is_heard_once_and_wakes_who_has_not_looked() {
        let (home, beyond) = (exchange(), exchange());
        let [mut here, mut there] = TrunkEnds::pair([(0, &home), (1, &beyond)]);
        let mut poller = Poller::new().expect("there are descriptors");
        poller.add(home.commands_fd(), 0).expect("it can be waited for");
        let mut is_woken = || poller.wait(Some(Duration::ZERO)).count() == 1;
        let heard = |ends: &mut TrunkEnds| {
            let mut from = Vec::new();
            ends.take(|with, _| from.push(with));
            from
        };
        assert_eq!(heard(&mut here), []);
        there.give(NOW, &mut wishful());
        assert!(is_woken());
        home.clear_commands();
        // Said before anybody has looked: one call is enough.
        there.give(NOW, &mut wishful());
        assert!(!is_woken());
        assert_eq!(heard(&mut here), [1, 1]);
        assert_eq!(heard(&mut here), []);
        there.give(NOW, &mut wishful());
        assert!(is_woken());
        assert_eq!((heard(&mut here), heard(&mut there)), (vec![1], vec![]));
    }
}
