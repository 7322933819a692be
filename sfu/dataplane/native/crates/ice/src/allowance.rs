//! How often something may be done for people who have not proved who they are.

use focus_units::{Instant, NS_PER_S};

/// A token bucket that holds a second's worth.
#[derive(Debug)]
pub struct Allowance {
    per_s: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Allowance {
    /// A full bucket.
    pub fn new(per_s: u32) -> Self {
        Self { per_s: f64::from(per_s), tokens: f64::from(per_s), at: None }
    }

    /// Whether it may be done once more now.
    pub fn admit(&mut self, now: Instant) -> bool {
        if let Some(at) = self.at {
            let earned = (now - at) as f64 * self.per_s / NS_PER_S as f64;
            self.tokens = (self.tokens + earned.max(0.0)).min(self.per_s);
        }
        self.at = Some(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(1_000_000_000);

    #[test]
    fn a_seconds_worth_is_given_at_once_and_then_at_the_rate() {
        let mut allowance = Allowance::new(10);
        assert_eq!((0..20).filter(|_| allowance.admit(START)).count(), 10);
        assert!(!allowance.admit(START.after_ms(99)));
        assert!(allowance.admit(START.after_ms(100)));
        assert!(!allowance.admit(START.after_ms(101)));
        assert_eq!((0..20).filter(|_| allowance.admit(START.after_s(60))).count(), 10);
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing_and_costs_nothing() {
        let mut allowance = Allowance::new(1);
        assert!(allowance.admit(START));
        assert!(!allowance.admit(START.after_ms(-500)));
        assert!(!allowance.admit(START.after_ms(499)));
        assert!(allowance.admit(START.after_ms(500)));
    }
}
