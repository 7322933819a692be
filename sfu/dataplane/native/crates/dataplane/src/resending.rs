//! Answering a subscriber's NACKs: over RTX, or by the same bytes again (packet rule 3).

use std::rc::Rc;

use focus_streams::cache::{CacheId, MAX_AGE_S, PacketCaches};
use focus_streams::resend::{OSN_BYTES, ResendPolicy};
use focus_streams::rewriter::Vp8Numbers;
use focus_units::{Instant, PayloadType, Ssrc};

use crate::departures::Rewriting;
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
    /// What was made of its dependency descriptor.
    pub rewriting: Rewriting,
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
    newest: Option<Sent>,
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
            newest: None,
            fill_seq: 0,
        }
    }

    /// Remember how a packet was made.
    pub fn sent(&mut self, sent: Sent) {
        self.history.remember(sent);
        if self.newest.is_none_or(|newest| sent.seq > newest.seq) {
            self.newest = Some(sent);
            self.fill_seq = sent.seq;
        }
    }

    /// The outgoing timestamp of the newest packet.
    pub fn newest_timestamp(&self) -> u32 {
        self.newest.map_or(0, |newest| newest.timestamp)
    }

    /// A packet to send again that nobody asked for: from the newest back, as far as the cache goes.
    pub fn filler(&mut self, now: Instant, caches: &Caches) -> Option<(Sent, Rc<Packet>)> {
        let newest = self.newest?;
        let mut found = self.cached(now, self.fill_seq, caches);
        if found.is_none() {
            self.fill_seq = newest.seq;
            found = self.cached(now, self.fill_seq, caches);
        }
        self.fill_seq -= 1;
        found
    }

    /// What went out under a number, while it can be made again.
    fn cached(&self, now: Instant, seq: i64, caches: &Caches) -> Option<(Sent, Rc<Packet>)> {
        let sent = self.history.find(seq)?;
        match caches.lookup(now, sent.cache, sent.source_seq) {
            Some(Kept::Received(packet)) => Some((*sent, Rc::clone(packet))),
            _ => None,
        }
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
            rewriting: None,
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
