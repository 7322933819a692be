//! When the packets to one peer leave, and in which order (packet rules 7 and 8).

use std::collections::VecDeque;

use focus_units::{Instant, NS_PER_MS, RouteId, earliest};
use rustc_hash::FxHashMap;

use crate::debt::Debt;
use crate::probing::{LATE_NS, MAX_PROBE_BPS, Probes, least};

/// With `BEHIND_NS` what leaves at once: 5 ms of the rate, or one packet. Lower: more and smaller batches, so
/// more CPU for a packet. Higher: short queues on the way overflow.
pub const AHEAD_NS: i64 = 4 * NS_PER_MS;

/// The part of it that a late timer makes up for.
pub const BEHIND_NS: i64 = NS_PER_MS;

/// How long video waits at most. Lower: a key frame on a narrow link is thrown away while it is being sent.
/// Higher: who falls behind sees the call later than the others do before anything is done about it.
pub const DEFAULT_QUEUE_LIMIT_MS: i64 = 250;

/// The longest limit that is believed.
pub const MAX_QUEUE_LIMIT_MS: f64 = 10_000.0;

/// Packets that wait in one queue: 250 ms at 36 Mbit/s. Lower: a fast link drops what it could carry. Higher:
/// more memory for who is slow.
pub const MAX_QUEUED: usize = 1_024;

/// What may leave next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The resend that waits longest.
    Resend,
    /// The media that waits longest.
    Media,
    /// Something for its size alone: part of a probe, or padding.
    Filler,
}

/// Something that waits. Without a size it only keeps its place, and nothing is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued<T> {
    /// What it is part of: the order within a flow matters.
    pub flow: RouteId,
    /// What waits.
    pub item: T,
    /// As it is charged.
    pub size_bytes: usize,
    /// When it began to wait.
    pub queued_at: Instant,
}

/// The queues of one peer, and what is owed for what has left. Sound is only charged: it does not wait.
#[derive(Debug)]
pub struct Pacer<M, R> {
    debt: Debt,
    padding: Debt,
    pads: bool,
    probes: Probes,
    limit_ns: i64,
    resends: VecDeque<Queued<R>>,
    media: VecDeque<Queued<M>>,
    /// Media that waits, by flow.
    held: FxHashMap<RouteId, u32>,
}

impl<M, R> Default for Pacer<M, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M, R> Pacer<M, R> {
    /// At no rate limit: nothing waits.
    pub fn new() -> Self {
        Self {
            debt: Debt::new(AHEAD_NS, BEHIND_NS),
            padding: Debt::new(0, LATE_NS),
            pads: false,
            probes: Probes::new(),
            limit_ns: DEFAULT_QUEUE_LIMIT_MS * NS_PER_MS,
            resends: VecDeque::new(),
            media: VecDeque::new(),
            held: FxHashMap::default(),
        }
    }

    /// What leaves now is part of this probe; 0 for none.
    pub fn cluster(&self) -> u32 {
        self.probes.cluster()
    }

    /// Fillers are to be sent, now or later.
    pub fn wants_fillers(&self) -> bool {
        self.pads || self.probes.next_timeout().is_some()
    }

    /// Packets may have to wait: there is a rate, or something waits from when there was one.
    pub fn is_limited(&self) -> bool {
        self.debt.is_limited() || !self.media.is_empty() || !self.resends.is_empty()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.media.is_empty() && self.resends.is_empty()
    }

    /// No more media can wait.
    pub fn is_full(&self) -> bool {
        self.media.len() >= MAX_QUEUED
    }

    /// Packets that wait.
    pub fn waiting_packets(&self) -> usize {
        self.resends.len() + self.media.iter().filter(|queued| queued.size_bytes > 0).count()
    }

    /// The media that waits longest.
    pub fn oldest(&self) -> Option<&Queued<M>> {
        self.media.front()
    }

    /// Send at other rates from now on (`sfu.rows.PACING_DTYPE`).
    pub fn set_pacing(&mut self, now: Instant, rate_bps: f64, padding_bps: f64, queue_limit_ms: f64) {
        self.debt.set_rate(now, rate_bps);
        self.pads = padding_bps > 0.0;
        if self.pads {
            self.padding.set_rate(now, least(padding_bps, MAX_PROBE_BPS));
        }
        let limit_ms = if queue_limit_ms > 0.0 { least(queue_limit_ms, MAX_QUEUE_LIMIT_MS) } else { 0.0 };
        self.limit_ns = (limit_ms * NS_PER_MS as f64).round_ties_even() as i64;
    }

    /// Send so much at this rate, when the probes before have ended.
    pub fn probe(&mut self, now: Instant, cluster: u32, rate_bps: f64, size_bytes: u32) {
        self.probes.ask(now, cluster, rate_bps, size_bytes);
    }

    /// Whether media may leave at once, before it has waited.
    pub fn admits(&self, now: Instant, size_bytes: usize) -> bool {
        self.media.is_empty() && self.admits_resend(now, size_bytes)
    }

    /// Whether a resend may leave at once, before it has waited.
    pub fn admits_resend(&self, now: Instant, size_bytes: usize) -> bool {
        self.resends.is_empty() && self.debt.admits(now, size_bytes)
    }

    /// Queue media; not while `is_full`.
    pub fn wait(&mut self, now: Instant, flow: RouteId, size_bytes: usize, item: M) {
        self.media.push_back(Queued { flow, item, size_bytes, queued_at: now });
        *self.held.entry(flow).or_default() += 1;
    }

    /// Queue a resend; false where too many wait.
    pub fn wait_resend(&mut self, now: Instant, flow: RouteId, size_bytes: usize, item: R) -> bool {
        let has_room = self.resends.len() < MAX_QUEUED;
        if has_room {
            self.resends.push_back(Queued { flow, item, size_bytes, queued_at: now });
        }
        has_room
    }

    /// What leaves next, if something may now; `None`: not before `next_timeout`.
    ///
    /// `can_fill`: there is something to make fillers of, and something that carries them.
    pub fn turn(&mut self, now: Instant, can_fill: bool) -> Option<Turn> {
        if self.media.front().is_some_and(|oldest| oldest.size_bytes == 0) {
            return Some(Turn::Media);
        }
        let probes = can_fill && self.probes.poll(now);
        let (turn, may_leave) = if let Some(oldest) = self.resends.front() {
            (Turn::Resend, self.debt.admits(now, oldest.size_bytes))
        } else if let Some(oldest) = self.media.front() {
            (Turn::Media, self.debt.admits(now, oldest.size_bytes))
        } else {
            (Turn::Filler, can_fill && self.pads && now >= self.pads_at())
        };
        (probes || may_leave).then_some(turn)
    }

    /// The media whose turn it is, to be sent now.
    pub fn take(&mut self) -> Option<Queued<M>> {
        let queued = self.media.pop_front()?;
        self.release(queued.flow);
        Some(queued)
    }

    /// The resend whose turn it is, to be sent now.
    pub fn take_resend(&mut self) -> Option<Queued<R>> {
        self.resends.pop_front()
    }

    /// A packet has left, of any kind.
    pub fn sent(&mut self, now: Instant, size_bytes: usize) {
        self.debt.charge(now, size_bytes);
        if self.pads {
            self.padding.charge(now, size_bytes);
        }
        self.probes.sent(now, size_bytes);
    }

    /// The flow whose media has waited for too long, if one has.
    pub fn overdue(&self, now: Instant) -> Option<RouteId> {
        self.oldest().filter(|oldest| now >= self.overdue_at(oldest)).map(|oldest| oldest.flow)
    }

    /// Whether media of a flow waits.
    pub fn holds(&self, flow: RouteId) -> bool {
        self.held.contains_key(&flow)
    }

    /// The media of a flow that waits, in order.
    pub fn of(&self, flow: RouteId) -> impl Iterator<Item = &Queued<M>> + Clone {
        self.media.iter().filter(move |queued| queued.flow == flow)
    }

    /// Replace what waits of a flow, one by one and in order; `None` takes it away.
    pub fn sift(&mut self, flow: RouteId, mut judge: impl FnMut(Queued<M>) -> Option<Queued<M>>) {
        for _ in 0..self.media.len() {
            let Some(queued) = self.media.pop_front() else { return };
            let judged = if queued.flow == flow { judge(queued) } else { Some(queued) };
            match judged {
                Some(kept) => self.media.push_back(kept),
                None => self.release(flow),
            }
        }
    }

    /// Nothing of a flow is sent any more.
    pub fn forget(&mut self, flow: RouteId) {
        if self.held.remove(&flow).is_some() {
            self.media.retain(|queued| queued.flow != flow);
        }
        self.resends.retain(|queued| queued.flow != flow);
    }

    /// When `turn` or `overdue` next has something to say.
    pub fn next_timeout(&self, can_fill: bool) -> Option<Instant> {
        let probes_at = self.probes.next_timeout().filter(|_| can_fill);
        let first_bytes = self.resends.front().map(|oldest| oldest.size_bytes);
        let first_bytes = first_bytes.or_else(|| self.media.front().map(|oldest| oldest.size_bytes));
        let first_at = match first_bytes {
            Some(size_bytes) => Some(self.debt.admits_at(size_bytes)),
            None => (can_fill && self.pads).then(|| self.pads_at()),
        };
        let overdue_at = self.oldest().map(|oldest| self.overdue_at(oldest));
        earliest([first_at, probes_at, overdue_at])
    }

    /// When padding may leave: it never owes more than media would.
    fn pads_at(&self) -> Instant {
        self.padding.paid_at().max(self.debt.paid_at())
    }

    fn overdue_at(&self, queued: &Queued<M>) -> Instant {
        queued.queued_at.after_ns(self.limit_ns)
    }

    /// One less of a flow waits.
    fn release(&mut self, flow: RouteId) {
        if let Some(held) = self.held.get_mut(&flow) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&flow);
            }
        }
    }
}

#[cfg(test)]
mod tests;
