//! What goes up: DTLS datagrams, events and answers to our checks, kept until the next `take`.

use focus_ice::Address;
use focus_plane::Event;
use focus_units::TransportId;
use rustc_hash::FxHashMap;

/// DTLS datagrams of one transport that wait. Lower: a stall of Python loses handshakes and data. Higher: a
/// flood holds more memory, and DTLS and SCTP send again what is lost anyway.
pub const MAX_QUEUED: usize = 64;

/// Everything since the last `take`, in order of arrival.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// DTLS datagrams, only of transports with a selected or authenticated pair.
    pub datagrams: Vec<(TransportId, Box<[u8]>)>,
    /// What happened.
    pub events: Vec<Event>,
    /// What answers requests of `SendStun`, from the addresses that these went to; nobody knows yet whether it is
    /// authentic.
    pub responses: Vec<(TransportId, Address, Box<[u8]>)>,
}

impl Batch {
    /// Whether nothing came up.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.events.is_empty() && self.responses.is_empty()
    }

    /// What came up of another worker, or later, stands behind what is here.
    pub fn append(&mut self, mut other: Self) {
        self.datagrams.append(&mut other.datagrams);
        self.events.append(&mut other.events);
        self.responses.append(&mut other.responses);
    }
}

/// Three queues in order of arrival.
#[derive(Debug, Default)]
pub struct Upward {
    batch: Batch,
    queued: FxHashMap<TransportId, usize>,
}

impl Upward {
    /// Whether `take` would return something.
    pub fn has_output(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Queue a datagram; false where too many of this transport wait.
    pub fn pass_datagram(&mut self, transport: TransportId, data: &[u8]) -> bool {
        let queued = self.queued.entry(transport).or_default();
        if *queued >= MAX_QUEUED {
            return false;
        }
        *queued += 1;
        self.batch.datagrams.push((transport, data.into()));
        true
    }

    /// Queue an event. Of a pair selected again and again one is enough: it says nothing but that.
    pub fn tell(&mut self, event: Event) {
        let is_repeated = matches!(event, Event::PairSelected { .. }) && self.batch.events.contains(&event);
        if !is_repeated {
            self.batch.events.push(event);
        }
    }

    /// Queue an answer to a request. There are no more of them than Python has sent requests.
    pub fn pass_response(&mut self, transport: TransportId, from: Address, data: &[u8]) {
        self.batch.responses.push((transport, from, data.into()));
    }

    /// Nobody will read this transport's datagrams, nor what answers its requests.
    pub fn forget(&mut self, transport: TransportId) {
        if self.queued.remove(&transport).is_some() {
            self.batch.datagrams.retain(|(of, _)| *of != transport);
        }
        self.batch.responses.retain(|(of, ..)| *of != transport);
    }

    /// Everything since the last call.
    pub fn take(&mut self) -> Batch {
        self.queued.clear();
        std::mem::take(&mut self.batch)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const ONE: TransportId = TransportId(1);
    const OTHER: TransportId = TransportId(2);

    fn from() -> Address {
        Address::from(SocketAddr::from(([192, 0, 2, 1], 9)))
    }

    #[test]
    fn a_full_queue_refuses_datagrams_of_that_transport_only() {
        let mut upward = Upward::default();
        for _ in 0..MAX_QUEUED {
            assert!(upward.pass_datagram(ONE, b"x"));
        }
        assert!(!upward.pass_datagram(ONE, b"x"));
        assert!(upward.pass_datagram(OTHER, b"y"));
        upward.take();
        assert!(upward.pass_datagram(ONE, b"x"));
    }

    #[test]
    fn who_is_forgotten_takes_its_datagrams_along() {
        let mut upward = Upward::default();
        upward.pass_datagram(ONE, b"x");
        upward.pass_datagram(OTHER, b"y");
        for transport in [ONE, OTHER] {
            upward.pass_response(transport, from(), b"answer");
        }
        upward.forget(ONE);
        let taken = upward.take();
        assert_eq!(taken.datagrams, [(OTHER, b"y"[..].into())]);
        assert_eq!(taken.responses, [(OTHER, from(), b"answer"[..].into())]);
        assert!(!upward.has_output());
    }

    #[test]
    fn an_answer_is_something_to_take_and_taken_once() {
        let mut upward = Upward::default();
        upward.pass_response(ONE, from(), b"answer");
        assert!(upward.has_output());
        let mut batch = upward.take();
        upward.pass_response(ONE, from(), b"another");
        batch.append(upward.take());
        let expected = [b"answer"[..].into(), b"another"[..].into()].map(|data| (ONE, from(), data));
        assert_eq!(batch.responses, expected);
        assert!(!upward.has_output());
    }

    #[test]
    fn a_pair_selected_twice_is_told_once() {
        let mut upward = Upward::default();
        let lost = Event::ConsentLost { transport: ONE };
        for event in
            [Event::PairSelected { transport: ONE }, lost, Event::PairSelected { transport: ONE }, lost]
        {
            upward.tell(event);
        }
        assert_eq!(upward.take().events, [Event::PairSelected { transport: ONE }, lost, lost]);
    }
}
