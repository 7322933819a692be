//! When which transport next has something to do, over all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use focus_units::{Instant, TransportId};
use rustc_hash::FxHashMap;

/// One appointment for each transport, the earliest that was planned. Planning costs O(log transports).
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, TransportId)>>,
    planned: FxHashMap<TransportId, Instant>,
}

impl Agenda {
    /// The transport has something to do then, if not before; `None` is never.
    pub fn plan(&mut self, transport: TransportId, at: Option<Instant>) {
        let Some(at) = at else { return };
        match self.planned.get(&transport) {
            Some(planned) if *planned <= at => {}
            _ => {
                self.planned.insert(transport, at);
                self.heap.push(Reverse((at, transport)));
            }
        }
    }

    /// The transport has nothing to do any more.
    pub fn cancel(&mut self, transport: TransportId) {
        self.planned.remove(&transport);
    }

    /// The transport whose time came first; it has no appointment any more. `None`: nobody's has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<TransportId> {
        let at = self.next_timeout()?;
        if now < at {
            return None;
        }
        let Reverse((_, transport)) = self.heap.pop()?;
        self.planned.remove(&transport);
        Some(transport)
    }

    /// The earliest appointment.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, transport))) = self.heap.peek() {
            if self.planned.get(transport) == Some(at) {
                return Some(*at);
            }
            self.heap.pop(); // moved forward or cancelled since
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TransportId = TransportId(1);
    const OTHER: TransportId = TransportId(2);

    #[test]
    fn the_earliest_plan_of_a_transport_holds() {
        let mut agenda = Agenda::default();
        agenda.plan(ONE, Some(Instant(5)));
        agenda.plan(ONE, Some(Instant(3)));
        agenda.plan(ONE, Some(Instant(9)));
        agenda.plan(ONE, None);
        assert_eq!(agenda.next_timeout(), Some(Instant(3)));
        assert_eq!(agenda.pop_due(Instant(3)), Some(ONE));
        assert_eq!(agenda.pop_due(Instant(100)), None);
    }

    #[test]
    fn nobody_is_due_before_its_time() {
        let mut agenda = Agenda::default();
        agenda.plan(ONE, Some(Instant(5)));
        agenda.plan(OTHER, Some(Instant(4)));
        assert_eq!(agenda.pop_due(Instant(3)), None);
        assert_eq!(agenda.pop_due(Instant(4)), Some(OTHER));
        assert_eq!(agenda.pop_due(Instant(4)), None);
    }

    #[test]
    fn who_is_cancelled_is_never_due() {
        let mut agenda = Agenda::default();
        agenda.plan(ONE, Some(Instant(5)));
        agenda.cancel(ONE);
        assert_eq!(agenda.next_timeout(), None);
    }
}
