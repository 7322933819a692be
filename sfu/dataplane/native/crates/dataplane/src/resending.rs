//! Answering a subscriber's NACKs: over RTX, or by the same bytes again (packet rule 3).

use std::rc::Rc;

use focus_streams::cache::{CacheId, MAX_AGE_S, PacketCaches};
use focus_streams::resend::ResendPolicy;
use focus_streams::rewriter::Vp8Numbers;
use focus_units::{Instant, PayloadType, Ssrc};

use crate::packet::Packet;

/// Packets whose making is remembered, of one route: a second at 9 Mbit/s. What they were made of is in the
/// publisher's cache.
pub const MAX_SENT: usize = 1_024;

/// Where a history begins: a quiet route needs no more.
const FEWEST_SENT: usize = 16;

/// What a cache keeps.
#[derive(Debug)]
pub enum Kept {
    /// Of a publisher, for all its subscribers.
    Received(Rc<Packet>),
    /// Of one route without RTX, encrypted.
    Sent(Box<[u8]>),
}

/// All packets that are kept.
pub type Caches = PacketCaches<Kept>;

/// How a packet was made.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Sent {
    pub seq: i64,
    pub source_seq: i64,
    pub at: Instant,
    pub cache: CacheId,
    pub timestamp: u32,
    pub payload_type: PayloadType,
    pub vp8: Vp8Numbers,
}

/// The last packets of a route, by number. It grows to what a second of the stream needs: what is older is in
/// no cache any more.
#[derive(Debug, Default)]
struct History {
    entries: Vec<Option<Sent>>,
}

impl History {
    fn remember(&mut self, sent: Sent) {
        if self.entries.is_empty() {
            self.entries.resize(FEWEST_SENT, None);
        }
        let displaced = self.entries[self.index(sent.seq)];
        if let Some(displaced) = displaced
            && displaced.seq != sent.seq
            && sent.at < displaced.at.after_s(MAX_AGE_S)
            && self.entries.len() < MAX_SENT
        {
            self.grow();
        }
        let index = self.index(sent.seq);
        self.entries[index] = Some(sent);
    }

    fn find(&self, seq: i64) -> Option<&Sent> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries[self.index(seq)].as_ref().filter(|sent| sent.seq == seq)
    }

    fn grow(&mut self) {
        let twice = self.entries.len() * 2;
        let before = std::mem::replace(&mut self.entries, vec![None; twice]);
        for sent in before.into_iter().flatten() {
            let index = self.index(sent.seq);
            self.entries[index] = Some(sent);
        }
    }

    fn index(&self, seq: i64) -> usize {
        seq.rem_euclid(self.entries.len() as i64) as usize
    }
}

/// Makes packets again from the publisher's cache, and sends them as another stream (RFC 4588).
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RtxResender {
    pub ssrc: Ssrc,
    pub next_seq: i64,
    policy: ResendPolicy,
    history: History,
}

impl RtxResender {
    /// Under this SSRC, from this number on.
    pub fn new(ssrc: Ssrc, first_seq: i64) -> Self {
        Self { ssrc, next_seq: first_seq, policy: ResendPolicy::default(), history: History::default() }
    }

    /// Remember how a packet was made.
    pub fn sent(&mut self, sent: Sent) {
        self.history.remember(sent);
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
            let Some(sent) = self.history.find(*seq) else { continue };
            if found.iter().any(|(known, _)| known.seq == *seq) {
                continue;
            }
            if let Some(Kept::Received(packet)) = caches.lookup(now, sent.cache, sent.source_seq) {
                found.push((*sent, Rc::clone(packet)));
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
    pub fn sent(&mut self, now: Instant, seq: i64, data: &[u8], caches: &mut Caches) {
        caches.store(now, self.cache, seq, Kept::Sent(data.into()), data.len(), &mut drop);
    }

    /// The bytes to send again of the packets asked for, in their order.
    pub fn answer(
        &mut self,
        now: Instant,
        seqs: &[i64],
        round_trip_ns: Option<i64>,
        caches: &Caches,
    ) -> Vec<Box<[u8]>> {
        let mut kept: Vec<i64> = Vec::new();
        for seq in seqs {
            if !kept.contains(seq) && caches.lookup(now, self.cache, *seq).is_some() {
                kept.push(*seq);
            }
        }
        let mut admitted = Vec::new();
        self.policy.answer(now, &kept, round_trip_ns, &mut admitted);
        let bytes_of = |seq: &i64| match caches.lookup(now, self.cache, *seq) {
            Some(Kept::Sent(data)) => Some(data.clone()),
            _ => None,
        };
        admitted.iter().filter_map(bytes_of).collect()
    }

    /// Give the memory back; it may be used again.
    pub fn clear(&mut self, caches: &mut Caches) {
        caches.clear(self.cache, &mut drop);
    }

    /// The route is gone.
    pub fn close(&mut self, caches: &mut Caches) {
        caches.close(self.cache, &mut drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_VP8: Vp8Numbers = Vp8Numbers { picture_id: 0, tl0_pic_idx: 0, key_idx: 0 };

    fn sent(seq: i64, at_ms: i64) -> Sent {
        Sent {
            seq,
            source_seq: seq,
            at: Instant(0).after_ms(at_ms),
            cache: Caches::new(0).open(),
            timestamp: 0,
            payload_type: 96,
            vp8: NO_VP8,
        }
    }

    #[test]
    fn a_quiet_route_remembers_little() {
        let mut history = History::default();
        for seq in 0..100 {
            history.remember(sent(seq, seq * 100));
        }
        assert_eq!(history.entries.len(), FEWEST_SENT);
        assert!(history.find(99).is_some() && history.find(50).is_none());
    }

    #[test]
    fn a_busy_route_remembers_a_second() {
        let mut history = History::default();
        for seq in 0..2_000 {
            history.remember(sent(seq, seq * 4));
        }
        assert!((1_750..2_000).all(|seq| history.find(seq).is_some()));
        assert!(history.entries.len() <= 512);
    }

    #[test]
    fn a_history_never_grows_beyond_its_bound() {
        let mut history = History::default();
        for seq in 0..5_000 {
            history.remember(sent(seq, 0));
        }
        assert_eq!(history.entries.len(), MAX_SENT);
        assert!(history.find(4_999).is_some() && history.find(5_000 - 1 - MAX_SENT as i64).is_none());
    }
}
