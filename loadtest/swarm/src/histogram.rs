//! Delays as a histogram of fixed size: counting one allocates nothing and costs a few instructions.

/// Buckets between one power of two and the next. More: finer quantiles, more memory. 64 keep the error of
/// a quantile under 1.6 %.
pub const STEPS: usize = 64;

const STEP_BITS: u32 = STEPS.trailing_zeros();

/// The largest exponent that is told apart: 2^36 ns are 68 s; what took longer lands in the last bucket.
const MAX_EXPONENT: u32 = 36;

/// How many buckets there are.
pub const BUCKETS: usize = (MAX_EXPONENT - STEP_BITS + 2) as usize * STEPS;

/// Counts of delays, log-linear: exact below 64 ns, then 64 steps for each doubling.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }
}

impl Histogram {
    /// Count one delay; a negative one (clocks read apart) counts as none.
    pub fn record(&mut self, delay_ns: i64) {
        self.counts[bucket(delay_ns.max(0) as u64)] += 1;
    }

    /// The counts, bucket by bucket.
    pub fn counts(&self) -> &[u64] {
        &*self.counts
    }
}

/// The bucket of a delay.
pub fn bucket(delay_ns: u64) -> usize {
    if delay_ns < STEPS as u64 {
        return delay_ns as usize;
    }
    let exponent = delay_ns.ilog2();
    if exponent > MAX_EXPONENT {
        return BUCKETS - 1;
    }
    let step = (delay_ns >> (exponent - STEP_BITS)) as usize & (STEPS - 1);
    (exponent - STEP_BITS + 1) as usize * STEPS + step
}

/// The smallest delay of a bucket, in ns.
pub fn lower_bound(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let octave = (bucket / STEPS - 1) as u32;
    ((STEPS + bucket % STEPS) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_bucket_begins_where_the_one_before_ends() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(lower_bound(index)), index);
            if index > 0 {
                assert_eq!(bucket(lower_bound(index) - 1), index - 1);
            }
        }
    }

    #[test]
    fn extremes_are_counted_at_the_ends() {
        let mut histogram = Histogram::default();
        histogram.record(-5);
        histogram.record(i64::MAX);
        assert_eq!(histogram.counts()[0], 1);
        assert_eq!(histogram.counts()[BUCKETS - 1], 1);
    }

    proptest! {
        #[test]
        fn a_bucket_is_at_most_a_sixty_fourth_wide(delay in 1u64..(1 << 36)) {
            let low = lower_bound(bucket(delay));
            prop_assert!(low <= delay);
            prop_assert!((delay - low) as f64 <= delay as f64 / 64.0);
        }
    }
}
