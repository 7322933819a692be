//! When packets wait for others, so that they leave together: never while there is little to send.

use focus_units::{Instant, NS_PER_MS};

/// Longest that a packet waits for others. Lower: fewer of them leave together. Higher: every packet is late by
/// as much.
pub const WINDOW_NS: i64 = NS_PER_MS;

/// Packets within `MEASURED_NS` above which waiting pays: 5,000 a second. Lower: calls of few people wait as well,
/// and gain nothing. Higher: a core is busier than it has to be.
pub const BUSY_PACKETS: u64 = 50;

/// What the rate is measured over.
pub const MEASURED_NS: i64 = 10 * NS_PER_MS;

/// Decides whether what could leave now waits a little.
#[derive(Debug, Default)]
pub struct Gathering {
    until: Option<Instant>,
    began_at: Instant,
    packets: u64,
    is_busy: bool,
}

impl Gathering {
    /// Until when packets wait; `None`: none do.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Something could leave: whether it may leave now. If not, `until` says when.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let is_busy = self.is_busy_at(now);
        match self.until {
            None if is_busy => {
                self.until = Some(now.after_ns(WINDOW_NS));
                false
            }
            Some(until) if now < until => false,
            _ => {
                self.until = None;
                true
            }
        }
    }

    /// Nothing waits any more: what did has left another way.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// So many packets left.
    pub fn sent(&mut self, now: Instant, packets: usize) {
        self.is_busy_at(now);
        self.packets += packets as u64;
    }

    fn is_busy_at(&mut self, now: Instant) -> bool {
        let measured_ns = now - self.began_at;
        if measured_ns >= MEASURED_NS {
            self.is_busy = measured_ns < 2 * MEASURED_NS && self.packets >= BUSY_PACKETS;
            self.packets = 0;
            self.began_at = now;
        }
        self.is_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_us(us: i64) -> Instant {
        Instant(1_000_000_000).after_ns(us * 1_000)
    }

    /// Twenty packets every millisecond, for a while.
    fn busy() -> Gathering {
        let mut gathering = Gathering::default();
        for ms in 0..30 {
            gathering.sent(at_us(ms * 1_000), 20);
        }
        gathering
    }

    #[test]
    fn while_there_is_little_to_send_nothing_waits() {
        let mut gathering = Gathering::default();
        for ms in (0..1_000).step_by(20) {
            assert!(gathering.is_over(at_us(ms * 1_000)));
            gathering.sent(at_us(ms * 1_000), 20);
        }
    }

    #[test]
    fn under_load_a_packet_waits_for_a_millisecond() {
        let mut gathering = busy();
        assert!(!gathering.is_over(at_us(30_000)));
        assert_eq!(gathering.until(), Some(at_us(31_000)));
        assert!(!gathering.is_over(at_us(30_999)));
        assert!(gathering.is_over(at_us(31_000)));
        assert_eq!(gathering.until(), None);
    }

    #[test]
    fn after_a_pause_nothing_waits() {
        let mut gathering = busy();
        assert!(gathering.is_over(at_us(100_000)));
    }
}
