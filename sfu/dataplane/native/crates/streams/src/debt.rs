//! A rate as a debt: what was sent is owed, and paid as time goes by.
//!
//! Kept as the instant at which all will be paid, in whole nanoseconds: two planes come to the same one.

use focus_units::{Instant, NS_PER_MS, NS_PER_S};

/// No rate is less. Lower: one packet owes more than `MAX_DEBT_MS`. Higher: a link that carries no more is
/// overloaded.
pub const MIN_RATE_BPS: i64 = 30_000;

/// From here on nothing is owed.
pub const MAX_RATE_BPS: i64 = 100_000_000_000;

/// More is never owed. Lower: what goes whatever is owed (sound) is soon forgotten. Higher: after much of it,
/// the rest waits when the rate has long been enough again.
pub const MAX_DEBT_MS: i64 = 500;

const MAX_DEBT_NS: i64 = MAX_DEBT_MS * NS_PER_MS;
const BITS: i64 = 8 * NS_PER_S;

/// What is owed for a stream of packets, at no rate limit before `set_rate`.
#[derive(Debug)]
pub struct Debt {
    ahead_ns: i64,
    behind_ns: i64,
    rate_bps: Option<i64>,
    paid_at: Instant,
}

impl Debt {
    /// `ahead_ns` is how much may be owed for a packet to leave beside others at once, `behind_ns` what is
    /// paid in advance at most, by sending nothing or by sending late.
    pub const fn new(ahead_ns: i64, behind_ns: i64) -> Self {
        Self { ahead_ns, behind_ns, rate_bps: None, paid_at: Instant(0) }
    }

    /// When nothing is owed any more; it may be past.
    pub const fn paid_at(&self) -> Instant {
        self.paid_at
    }

    /// Pay at another rate; what is owed stays so many bytes.
    pub fn set_rate(&mut self, now: Instant, rate_bps: f64) {
        let before = std::mem::replace(&mut self.rate_bps, whole_rate(rate_bps));
        let owed_ns = self.paid_at - now;
        let Some(before) = before.filter(|_| owed_ns > 0) else { return };
        let owed_ns = self.rate_bps.map_or(0, |rate_bps| {
            let bits = i128::from(owed_ns) * i128::from(before);
            let rate_bps = i128::from(rate_bps);
            ((bits + rate_bps - 1) / rate_bps).min(MAX_DEBT_NS.into()) as i64
        });
        self.paid_at = now.after_ns(owed_ns);
    }

    /// Owe nothing, and have nothing paid in advance.
    pub fn begin(&mut self, now: Instant) {
        self.paid_at = now;
    }

    /// There is a rate, so that packets may have to wait.
    pub const fn is_limited(&self) -> bool {
        self.rate_bps.is_some()
    }

    /// Whether a packet may leave now.
    pub fn admits(&self, now: Instant, size_bytes: usize) -> bool {
        self.rate_bps.is_none() || now >= self.admits_at(size_bytes)
    }

    /// When a packet may leave, if no other does before.
    pub fn admits_at(&self, size_bytes: usize) -> Instant {
        self.paid_at.after_ns(-(self.ahead_ns - self.cost_ns(size_bytes)).max(0))
    }

    /// A packet has left.
    pub fn charge(&mut self, now: Instant, size_bytes: usize) {
        if self.rate_bps.is_some() {
            let paid_at = self.paid_at.max(now.after_ns(-self.behind_ns));
            self.paid_at = paid_at.after_ns(self.cost_ns(size_bytes)).min(now.after_ns(MAX_DEBT_NS));
        }
    }

    /// Rounded up: what is owed is never less than what was sent.
    fn cost_ns(&self, size_bytes: usize) -> i64 {
        self.rate_bps.map_or(0, |rate_bps| (size_bytes as i64 * BITS + rate_bps - 1) / rate_bps)
    }
}

/// A rate in whole bits a second; `None` for one without limit. What is no number is the least.
fn whole_rate(rate_bps: f64) -> Option<i64> {
    // Numbers that are none become 0, and those without end the highest.
    let rate_bps = rate_bps as i64;
    (rate_bps < MAX_RATE_BPS).then(|| rate_bps.max(MIN_RATE_BPS))
}

#[cfg(test)]
mod tests;
