//! STUN requests of ours: where each went, and which transport waits for its answer.

use std::collections::VecDeque;

use focus_plane::MAX_STUN_REQUESTS;
use focus_units::TransportId;
use rustc_hash::FxHashMap;

use crate::address::Address;
use crate::stun::TransactionId;

/// Where it went, and its transaction id: an answer names both.
type Request = (Address, TransactionId);

/// A bounded queue for each transport. No timers: what nobody answers makes room for what is newer.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    askers: FxHashMap<Request, TransportId>,
    /// The oldest first.
    waiting: FxHashMap<TransportId, VecDeque<Request>>,
}

impl Requests {
    /// Wait for an answer; of too many, the oldest is forgotten. The same one again is the newest.
    pub(crate) fn add(&mut self, transport: TransportId, address: Address, id: TransactionId) {
        self.take(address, id);
        let waiting = self.waiting.entry(transport).or_default();
        if waiting.len() >= MAX_STUN_REQUESTS
            && let Some(oldest) = waiting.pop_front()
        {
            self.askers.remove(&oldest);
        }
        waiting.push_back((address, id));
        self.askers.insert((address, id), transport);
    }

    /// Whether somebody waits for this answer.
    pub(crate) fn contains(&self, address: Address, id: TransactionId) -> bool {
        self.askers.contains_key(&(address, id))
    }

    /// Who waits for this answer, but not for another like it; `None`: nobody does.
    pub(crate) fn take(&mut self, address: Address, id: TransactionId) -> Option<TransportId> {
        let asker = self.askers.remove(&(address, id))?;
        if let Some(waiting) = self.waiting.get_mut(&asker) {
            waiting.retain(|request| *request != (address, id));
        }
        Some(asker)
    }

    /// Wait for nothing on behalf of this transport.
    pub(crate) fn forget(&mut self, transport: TransportId) {
        for request in self.waiting.remove(&transport).unwrap_or_default() {
            self.askers.remove(&request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    const ONE: TransportId = TransportId(1);
    const OTHER: TransportId = TransportId(2);

    fn address(port: u16) -> Address {
        Address::from(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn id(number: usize) -> TransactionId {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn an_answer_is_taken_once_and_from_where_the_request_went() {
        let mut requests = Requests::default();
        requests.add(ONE, address(1), id(1));
        assert_eq!(requests.take(address(2), id(1)), None);
        assert_eq!(requests.take(address(1), id(2)), None);
        assert!(requests.contains(address(1), id(1)));
        assert_eq!(requests.take(address(1), id(1)), Some(ONE));
        assert!(!requests.contains(address(1), id(1)));
        assert_eq!(requests.take(address(1), id(1)), None);
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten_and_others_keep_theirs() {
        let mut requests = Requests::default();
        requests.add(OTHER, address(9), id(0));
        for number in 0..MAX_STUN_REQUESTS {
            requests.add(ONE, address(1), id(number));
        }
        requests.add(ONE, address(1), id(0)); // again: the newest
        requests.add(ONE, address(1), id(MAX_STUN_REQUESTS));
        assert!(!requests.contains(address(1), id(1)));
        assert_eq!(requests.take(address(1), id(0)), Some(ONE));
        assert_eq!(requests.take(address(9), id(0)), Some(OTHER));
        assert_eq!(requests.askers.len(), MAX_STUN_REQUESTS - 1);
    }

    #[test]
    fn who_asks_last_is_answered() {
        let mut requests = Requests::default();
        requests.add(ONE, address(1), id(1));
        requests.add(OTHER, address(1), id(1));
        requests.forget(ONE);
        assert_eq!(requests.take(address(1), id(1)), Some(OTHER));
    }

    proptest! {
        #[test]
        fn what_is_waited_for_is_known_from_both_sides_and_bounded(
            steps in prop::collection::vec((0..4_u8, 1..4_u32, 1..3_u16, 0..90_usize), 1..600),
        ) {
            let mut requests = Requests::default();
            for (kind, transport, port, number) in steps {
                match kind {
                    0 | 1 => requests.add(TransportId(transport), address(port), id(number)),
                    2 => {
                        requests.take(address(port), id(number));
                    }
                    _ if number == 0 => requests.forget(TransportId(transport)),
                    _ => {}
                }
                prop_assert!(requests.waiting.values().all(|queue| queue.len() <= MAX_STUN_REQUESTS));
                let waiting = requests.waiting.iter();
                let mut all: Vec<_> =
                    waiting.flat_map(|(asker, queue)| queue.iter().map(|one| (*one, *asker))).collect();
                prop_assert_eq!(all.len(), requests.askers.len());
                all.retain(|(request, asker)| requests.askers.get(request) != Some(asker));
                prop_assert!(all.is_empty());
            }
        }
    }
}
