//! When packets wait for others, so that they leave together: never while there is little to send.

use focus_units::{Instant, NS_PER_MS, NS_PER_US};

/// Longest that a packet waits for others. Lower: fewer of them leave together. Higher: every packet is late by
/// as much.
pub const WINDOW_NS: i64 = NS_PER_MS;

/// So long they wait where nothing but the rest of a burst comes in a window. Lower: a publisher that is slow to send
/// a picture has it leave in pieces. Higher: pictures are late, and nothing is gained.
pub const BURST_NS: i64 = 200 * NS_PER_US;

/// Packets within `MEASURED_NS` above which waiting pays: 5,000 a second. Lower: calls of few people wait as well,
/// and gain nothing. Higher: a core is busier than it has to be.
pub const BUSY_PACKETS: u64 = 50;

/// What the rate is measured over.
pub const MEASURED_NS: i64 = 10 * NS_PER_MS;

/// Arrivals from which is learned how long to wait. Lower: one packet astray makes pictures late. Higher: when the
/// call changes, it is noticed late.
pub const LEARNED_PACKETS: u32 = 64;

/// One in so many of them has to come after a burst's time for the whole window to pay. Lower: fewer packets leave
/// together. Higher: all wait, for the sake of few.
pub const LATE_SHARE: u32 = 8;

/// Decides whether what could leave now waits a little.
#[derive(Debug)]
pub struct Gathering {
    until: Option<Instant>,
    began_at: Instant,
    packets: u64,
    is_busy: bool,
    /// Long enough for what lately came within `WINDOW_NS`.
    window_ns: i64,
    /// The first arrival of the window that arrivals are now counted in.
    first_at: Instant,
    arrived: u32,
    /// Of them those that only the whole window would have waited for.
    late: u32,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            until: None,
            began_at: Instant::default(),
            packets: 0,
            is_busy: false,
            window_ns: WINDOW_NS,
            first_at: Instant::default(),
            arrived: 0,
            late: 0,
        }
    }
}

impl Gathering {
    /// Until when packets wait; `None`: none do.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// A packet came that others may leave with, in order. Learned from whether anybody waited or not, since the
    /// kernel's stamps tell what would have come.
    pub fn arrived(&mut self, at: Instant) {
        let since_ns = at - self.first_at;
        if since_ns >= WINDOW_NS {
            self.first_at = at;
        } else if since_ns > BURST_NS {
            self.late += 1;
        }
        self.arrived += 1;
        if self.arrived == LEARNED_PACKETS {
            self.window_ns = if self.late * LATE_SHARE >= self.arrived { WINDOW_NS } else { BURST_NS };
            (self.arrived, self.late) = (0, 0);
        }
    }

    /// Something could leave: whether it may leave now. If not, `until` says when.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let is_busy = self.is_busy_at(now);
        match self.until {
            None if is_busy => {
                self.until = Some(now.after_ns(self.window_ns));
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

    /// What the window is after bursts of packets that came at these times, once every eight milliseconds.
    fn window_us_after(us: &[i64]) -> i64 {
        let mut gathering = busy();
        for burst in 0..LEARNED_PACKETS as i64 {
            for us in us {
                gathering.arrived(at_us(30_000 + burst * 8_000 + us));
            }
        }
        let now = at_us(30_000);
        assert!(!gathering.is_over(now));
        (gathering.until().expect("it waits") - now) / NS_PER_US
    }

    #[test]
    fn where_nothing_comes_but_bursts_they_do_not_wait_for_more() {
        assert_eq!(window_us_after(&[0, 5, 10, 15, 20, 25, 30, 35]), 200);
        assert_eq!(window_us_after(&[0]), 200);
    }

    #[test]
    fn where_packets_come_at_any_time_they_wait_for_each_other() {
        assert_eq!(window_us_after(&[0, 900]), 1_000);
        assert_eq!(window_us_after(&[0, 201, 202]), 1_000);
    }

    #[test]
    fn few_that_are_late_are_not_waited_for() {
        assert_eq!(window_us_after(&[0, 5, 10, 15, 20, 25, 30, 35, 40, 900]), 200);
    }

    #[test]
    fn what_comes_after_the_longest_wait_is_late_for_nobody() {
        assert_eq!(window_us_after(&[0, 1_000, 2_000, 3_000]), 200);
    }

    #[test]
    fn a_call_that_changes_is_learned_anew() {
        let mut gathering = busy();
        for (step_us, expected_us) in [(8_000, 200), (600, 1_000), (8_000, 200)] {
            let began_at = gathering.first_at.max(at_us(30_000));
            for packet in 0..3 * i64::from(LEARNED_PACKETS) {
                gathering.arrived(began_at.after_ns(packet * step_us * NS_PER_US));
            }
            assert_eq!(gathering.window_ns, expected_us * NS_PER_US);
        }
    }
}
