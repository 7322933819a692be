//! What goes up: DTLS datagrams and events, kept until the next `take`.

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
}

/// Two queues in order of arrival.
#[derive(Debug, Default)]
pub struct Upward {
    batch: Batch,
    queued: FxHashMap<TransportId, usize>,
}

impl Upward {
    /// Whether `take` would return something.
    pub fn has_output(&self) -> bool {
        !(self.batch.datagrams.is_empty() && self.batch.events.is_empty())
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

    /// Nobody will read this transport's datagrams.
    pub fn forget(&mut self, transport: TransportId) {
        if self.queued.remove(&transport).is_some() {
            self.batch.datagrams.retain(|(of, _)| *of != transport);
        }
    }

    /// Everything since the last call.
    pub fn take(&mut self) -> Batch {
        self.queued.clear();
        std::mem::take(&mut self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TransportId = TransportId(1);
    const OTHER: TransportId = TransportId(2);

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
        upward.forget(ONE);
        assert_eq!(upward.take().datagrams, [(OTHER, b"y"[..].into())]);
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
