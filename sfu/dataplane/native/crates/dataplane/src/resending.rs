//! Answering a subscriber's NACKs: over RTX, or by the same bytes again (packet rule 3).

use std::rc::Rc;

use focus_streams::cache::{CacheId, PacketCaches};
use focus_streams::resend::{OSN_BYTES, ResendPolicy};
use focus_units::{Instant, Ssrc};

use self::history::History;
pub use self::history::Sent;
use crate::packet::Packet;

mod history;

/// What a cache keeps.
#[derive(Debug)]
pub enum Kept {
    /// Of a publisher, for all its subscribers.
    Received(Rc<Packet>),
    /// Of one route without RTX, encrypted.
    Sent(Rc<Repeat>),
}

/// The bytes of a packet, encrypted.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Repeat {
    pub data: Box<[u8]>,
    /// Its transport-wide number, unwrapped; `None` where it has none.
    pub transport_seq: Option<i64>,
}

/// A packet that is to be sent again; it may have to wait for its turn.
#[derive(Debug)]
pub enum Again {
    /// It is made again, and goes over RTX.
    Rtx(Sent, Rc<Packet>),
    /// The same bytes go again.
    Repeat(Rc<Repeat>),
}

impl Again {
    /// Bytes of its payload at least.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Rtx(_, packet) => OSN_BYTES + packet.rewritten_payload_bytes(),
            Self::Repeat(repeat) => repeat.data.len(),
        }
    }
}

/// All packets that are kept.
pub type Caches = PacketCaches<Kept>;

/// Makes packets again from the publisher's cache, and sends them as another stream (RFC 4588).
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RtxResender {
    pub ssrc: Ssrc,
    pub next_seq: i64,
    policy: ResendPolicy,
    history: History,
    /// The outgoing timestamp of the newest packet; 0 before the first.
    pub newest_timestamp: u32,
    fill_seq: i64,
}

impl RtxResender {
    /// Under this SSRC, from this number on.
    pub fn new(ssrc: Ssrc, first_seq: i64) -> Self {
        Self {
            ssrc,
            next_seq: first_seq,
            policy: ResendPolicy::default(),
            history: History::default(),
            newest_timestamp: 0,
            fill_seq: 0,
        }
    }

    /// Remember how a packet was made.
    pub fn sent(&mut self, now: Instant, sent: &Sent, packet: &Packet) {
        if self.history.newest().is_none_or(|newest| sent.seq > newest) {
            self.newest_timestamp = sent.timestamp;
            self.fill_seq = sent.seq;
        }
        self.history.remember(now, sent, packet);
    }

    /// A packet to send again that nobody asked for: from the newest back, as far as the cache goes.
    pub fn filler(&mut self, now: Instant, caches: &Caches) -> Option<(Sent, Rc<Packet>)> {
        let newest = self.history.newest()?;
        let mut found = self.cached(now, self.fill_seq, caches);
        if found.is_none() {
            self.fill_seq = newest;
            found = self.cached(now, self.fill_seq, caches);
        }
        self.fill_seq -= 1;
        found
    }

    /// What went out under a number, while it can be made again.
    fn cached(&self, now: Instant, seq: i64, caches: &Caches) -> Option<(Sent, Rc<Packet>)> {
        let (cache, source_seq) = self.history.source(seq)?;
        match caches.lookup(now, cache, source_seq) {
            Some(Kept::Received(packet)) => Some((self.history.made(seq, packet)?, Rc::clone(packet))),
            _ => None,
        }
    }

    /// Of the packets asked for, those that were sent and are not kept any more: with where they were, and as what.
    pub fn missing(
        &self,
        now: Instant,
        seqs: &[i64],
        caches: &Caches,
    ) -> impl Iterator<Item = (i64, CacheId, i64)> {
        seqs.iter().filter_map(move |seq| {
            let (cache, source_seq) = self.history.source(*seq)?;
            caches.lookup(now, cache, source_seq).is_none().then_some((*seq, cache, source_seq))
        })
    }

    /// What of the packets asked for is to be made again, in their order.
    pub fn answer(
        &mut self,
        now: Instant,
        seqs: &[i64],
        round_trip_ns: Option<i64>,
        caches: &Caches,
    ) -> Vec<(Sent, Rc<Packet>)> {
        let mut found: Vec<(Sent, Rc<Packet>)> = Vec::new();
        for seq in seqs {
            if !found.iter().any(|(known, _)| known.seq == *seq) {
                found.extend(self.cached(now, *seq, caches));
            }
        }
        let known: Vec<i64> = found.iter().map(|(sent, _)| sent.seq).collect();
        let mut admitted = Vec::new();
        self.policy.answer(now, &known, round_trip_ns, &mut admitted);
        found.retain(|(sent, _)| admitted.contains(&sent.seq));
        found
    }
}

/// Keeps what was sent, encrypted: another ciphertext under the same number would give the key away.
#[derive(Debug)]
pub struct RepeatResender {
    policy: ResendPolicy,
    cache: CacheId,
}

impl RepeatResender {
    /// With a cache of its own.
    pub fn new(caches: &mut Caches) -> Self {
        Self { policy: ResendPolicy::default(), cache: caches.open() }
    }

    /// Keep a packet.
    pub fn sent(&mut self, now: Instant, seq: i64, repeat: Repeat, caches: &mut Caches) {
        let size_bytes = repeat.data.len();
        caches.store(now, self.cache, seq, Kept::Sent(Rc::new(repeat)), size_bytes, &mut drop);
    }

    /// The bytes to send again of the packets asked for, in their order.
    pub fn answer(
        &mut self,
        now: Instant,
        seqs: &[i64],
        round_trip_ns: Option<i64>,
        caches: &Caches,
    ) -> Vec<Rc<Repeat>> {
        let mut kept: Vec<i64> = Vec::new();
        for seq in seqs {
            if !kept.contains(seq) && caches.lookup(now, self.cache, *seq).is_some() {
                kept.push(*seq);
            }
        }
        let mut admitted = Vec::new();
        self.policy.answer(now, &kept, round_trip_ns, &mut admitted);
        let bytes_of = |seq: &i64| match caches.lookup(now, self.cache, *seq) {
            Some(Kept::Sent(repeat)) => Some(Rc::clone(repeat)),
            _ => None,
        };
        admitted.iter().filter_map(bytes_of).collect()
    }

    /// Give the memory back: the route is gone, or has RTX again.
    pub fn close(&mut self, caches: &mut Caches) {
        caches.close(self.cache, &mut drop);
    }
}
