//! Probes: sending more than media for a moment, to see whether a path carries it.

use std::collections::VecDeque;

use focus_units::{Instant, NS_PER_MS};

use crate::debt::Debt;

/// Clusters that wait for the one before. What was asked for before that is out of date.
pub const MAX_CLUSTERS: usize = 8;

/// A cluster that has not begun by then is forgotten. Lower: one that waits for a path to come up is lost.
/// Higher: it tells of a rate that nobody thinks of any more.
pub const MAX_WAIT_MS: i64 = 2_000;

/// Fastest cluster. Lower: fast links are not found. Higher: a late timer sends more packets at once.
pub const MAX_PROBE_BPS: f64 = 100_000_000.0;

/// What a late timer makes up for. Lower: a cluster is slower than it says. Higher: it comes in lumps.
pub const LATE_NS: i64 = 5 * NS_PER_MS;

#[derive(Clone, Copy, Debug)]
struct Cluster {
    number: u32,
    rate_bps: f64,
    left_bytes: i64,
    asked_at: Instant,
}

/// The clusters of one transport: each begins when what the one before has sent is paid at its rate.
#[derive(Debug)]
pub struct Probes {
    waiting: VecDeque<Cluster>,
    running: Option<Cluster>,
    debt: Debt,
}

impl Default for Probes {
    fn default() -> Self {
        Self::new()
    }
}

impl Probes {
    /// None asked for.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), running: None, debt: Debt::new(0, LATE_NS) }
    }

    /// The number of the cluster that runs; 0 for none.
    pub fn cluster(&self) -> u32 {
        self.running.map_or(0, |cluster| cluster.number)
    }

    /// Send so much at this rate, when the clusters before have ended.
    pub fn ask(&mut self, now: Instant, number: u32, rate_bps: f64, size_bytes: u32) {
        if self.waiting.len() == MAX_CLUSTERS {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Cluster { number, rate_bps, left_bytes: size_bytes.into(), asked_at: now });
    }

    /// Whether the cluster that runs, or begins now, has a packet to send.
    pub fn poll(&mut self, now: Instant) -> bool {
        while self.running.is_none()
            && self.debt.admits(now, 0)
            && let Some(cluster) = self.waiting.pop_front()
        {
            if cluster.left_bytes > 0 && now < cluster.asked_at.after_ms(MAX_WAIT_MS) {
                self.running = Some(cluster);
                self.debt.set_rate(now, least(cluster.rate_bps, MAX_PROBE_BPS));
                self.debt.begin(now);
            }
        }
        self.running.is_some() && self.debt.admits(now, 0)
    }

    /// When `poll` next has something to say.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.running {
            Some(_) => Some(self.debt.paid_at()),
            None => self.waiting.front().map(|cluster| cluster.asked_at.max(self.debt.paid_at())),
        }
    }

    /// A packet has left; it belongs to the cluster that runs.
    pub fn sent(&mut self, now: Instant, size_bytes: usize) {
        let Some(cluster) = &mut self.running else { return };
        self.debt.charge(now, size_bytes);
        cluster.left_bytes -= size_bytes as i64;
        if cluster.left_bytes <= 0 {
            self.running = None;
        }
    }
}

/// The lesser of two, the first where they can't be compared.
pub(crate) fn least(value: f64, limit: f64) -> f64 {
    if limit < value { limit } else { value }
}

#[cfg(test)]
mod tests;
