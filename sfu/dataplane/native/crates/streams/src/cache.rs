//! Packets kept for retransmission: a second of each stream, and never more than a budget over all.
//!
//! All caches of a worker share one arena of slots and one order of age, so that storing a packet, finding it
//! and giving up the oldest are O(1) each, and a packet that leaves is handed back with its buffer.

use focus_units::Instant;
use rustc_hash::FxHashMap;

use arena::{Arena, Order};

mod arena;

/// How long a packet is kept. Longer: repairs come when the picture has moved on. Shorter: a receiver far
/// away can't repair a burst.
pub const MAX_AGE_S: i64 = 1;

/// Bytes kept of one stream: a second at 8 Mbit/s.
pub const MAX_STREAM_BYTES: usize = 1 << 20;

/// One cache of many. One that was closed names nothing, whatever is opened after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheId {
    index: u32,
    generation: u32,
}

/// A packet in a cache.
#[derive(Debug)]
struct Cached<P> {
    packet: P,
    size_bytes: u32,
    cache: u32,
    stored_at: Instant,
    seq: i64,
}

/// The last packets of one RTP stream by sequence number.
#[derive(Debug)]
struct PacketCache {
    generation: u32,
    is_open: bool,
    max_bytes: usize,
    used_bytes: usize,
    slots: FxHashMap<i64, u32>,
    by_age: Order<1>,
}

/// Caches of many streams under one budget: streams gone quiet give way to those that flow.
#[derive(Debug)]
pub struct PacketCaches<P> {
    limit_bytes: usize,
    used_bytes: usize,
    arena: Arena<Cached<P>>,
    by_age: Order<0>,
    caches: Vec<PacketCache>,
    closed: Vec<u32>,
}

impl<P> PacketCaches<P> {
    /// No caches yet. `limit_bytes` is what all of them together may hold.
    pub const fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            arena: Arena::new(),
            by_age: Order::EMPTY,
            caches: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Bytes that all caches together may hold.
    pub const fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes held now, over all caches.
    pub const fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes that one cache holds now.
    pub fn bytes_of(&self, id: CacheId) -> usize {
        self.cache(id).map_or(0, |cache| cache.used_bytes)
    }

    /// Packets that one cache holds now.
    pub fn packets_of(&self, id: CacheId) -> usize {
        self.cache(id).map_or(0, |cache| cache.slots.len())
    }

    /// A cache for another stream, of `MAX_STREAM_BYTES` at most.
    pub fn open(&mut self) -> CacheId {
        self.open_within(MAX_STREAM_BYTES)
    }

    /// A cache for another stream, of so many bytes at most.
    pub fn open_within(&mut self, max_bytes: usize) -> CacheId {
        let index = self.closed.pop().unwrap_or_else(|| {
            self.caches.push(PacketCache {
                generation: 0,
                is_open: false,
                max_bytes: 0,
                used_bytes: 0,
                slots: FxHashMap::default(),
                by_age: Order::EMPTY,
            });
            self.caches.len() as u32 - 1
        });
        let cache = &mut self.caches[index as usize];
        cache.is_open = true;
        cache.max_bytes = max_bytes;
        CacheId { index, generation: cache.generation }
    }

    /// Keep a packet; the oldest go. What leaves, and what is too large to be kept, goes to `recycle`.
    ///
    /// Where `now` runs back a little over the caches, packets are kept for longer by as much.
    pub fn store(
        &mut self,
        now: Instant,
        id: CacheId,
        seq: i64,
        packet: P,
        size_bytes: usize,
        recycle: &mut impl FnMut(P),
    ) {
        let Some(cache) = self.cache(id) else {
            recycle(packet);
            return;
        };
        let max_bytes = cache.max_bytes;
        if let Some(slot) = cache.slots.get(&seq).copied() {
            self.evict(slot, recycle);
        }
        if size_bytes > max_bytes.min(self.limit_bytes) {
            recycle(packet);
            return;
        }
        let index = id.index as usize;
        while self.caches[index].used_bytes + size_bytes > max_bytes {
            self.evict(self.caches[index].by_age.first, recycle);
        }
        self.make_room(now, size_bytes, recycle);
        let cached = Cached { packet, size_bytes: size_bytes as u32, cache: id.index, stored_at: now, seq };
        let slot = self.arena.insert(cached);
        let cache = &mut self.caches[index];
        self.arena.append(&mut self.by_age, slot);
        self.arena.append(&mut cache.by_age, slot);
        cache.slots.insert(seq, slot);
        cache.used_bytes += size_bytes;
        self.used_bytes += size_bytes;
    }

    /// The packet, while it is not too old to be of use.
    pub fn lookup(&self, now: Instant, id: CacheId, seq: i64) -> Option<&P> {
        let slot = *self.cache(id)?.slots.get(&seq)?;
        let cached = self.arena.get(slot)?;
        (now <= cached.stored_at.after_s(MAX_AGE_S)).then_some(&cached.packet)
    }

    /// Evict what is too old, and then the oldest until `size_bytes` more fit.
    pub fn make_room(&mut self, now: Instant, size_bytes: usize, recycle: &mut impl FnMut(P)) {
        while let Some(oldest) = self.arena.get(self.by_age.first) {
            let fits = self.used_bytes + size_bytes <= self.limit_bytes;
            if fits && now <= oldest.stored_at.after_s(MAX_AGE_S) {
                return;
            }
            self.evict(self.by_age.first, recycle);
        }
    }

    /// Give back everything that a cache holds.
    pub fn clear(&mut self, id: CacheId, recycle: &mut impl FnMut(P)) {
        while let Some(cache) = self.cache(id).filter(|cache| !cache.slots.is_empty()) {
            self.evict(cache.by_age.first, recycle);
        }
    }

    /// The stream is gone: give back everything that its cache holds, and the cache.
    pub fn close(&mut self, id: CacheId, recycle: &mut impl FnMut(P)) {
        if self.cache(id).is_none() {
            return;
        }
        self.clear(id, recycle);
        let cache = &mut self.caches[id.index as usize];
        cache.is_open = false;
        cache.slots = FxHashMap::default();
        // After 2³² lives of one index its ids would come again: it is left alone then.
        if let Some(generation) = cache.generation.checked_add(1) {
            cache.generation = generation;
            self.closed.push(id.index);
        }
    }

    fn cache(&self, id: CacheId) -> Option<&PacketCache> {
        let cache = self.caches.get(id.index as usize)?;
        (cache.is_open && cache.generation == id.generation).then_some(cache)
    }

    /// Take a packet that is there out of its cache.
    fn evict(&mut self, slot: u32, recycle: &mut impl FnMut(P)) {
        let Some(Cached { size_bytes, cache, seq, .. }) = self.arena.get(slot) else { return };
        let (size_bytes, seq) = (*size_bytes as usize, *seq);
        let cache = &mut self.caches[*cache as usize];
        cache.slots.remove(&seq);
        cache.used_bytes -= size_bytes;
        self.used_bytes -= size_bytes;
        self.arena.unlink(&mut self.by_age, slot);
        self.arena.unlink(&mut cache.by_age, slot);
        if let Some(cached) = self.arena.remove(slot) {
            recycle(cached.packet);
        }
    }
}

#[cfg(test)]
mod tests;
