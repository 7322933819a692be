//! The kernel's clocks as numbers.

use std::time::Instant;

use crate::clock::{Clock, WallOffset};

/// Readings of two clocks of which the closest pair is taken: one may be torn apart by whoever gets the core.
const ATTEMPTS: usize = 5;

/// `CLOCK_MONOTONIC`, in ns.
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// What the calling thread has used of a core, in ns.
pub fn thread_cpu_ns() -> i64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// A clock that knows now both ways.
pub fn clock() -> Clock {
    let (instant, at_ns) = closest(Instant::now);
    Clock::new(instant, at_ns)
}

/// How far the time of day is ahead now.
pub fn wall_offset() -> WallOffset {
    let (real_ns, at_ns) = closest(|| read(libc::CLOCK_REALTIME));
    WallOffset::new(at_ns, real_ns)
}

/// A reading of something, with the monotonic time in the middle of it.
fn closest<T>(mut reading: impl FnMut() -> T) -> (T, i64) {
    let mut best = None;
    for _ in 0..ATTEMPTS {
        let before = monotonic_ns();
        let value = reading();
        let took = monotonic_ns() - before;
        if best.as_ref().is_none_or(|&(shortest, _, _)| took < shortest) {
            best = Some((took, value, before + took / 2));
        }
    }
    let (_, value, at_ns) = best.expect("there is an attempt");
    (value, at_ns)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours and lives through the call, which writes nothing else.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(outcome, 0, "each of these clocks exists on every Linux");
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_tell_the_same_now() {
        let clock = clock();
        let before = monotonic_ns();
        let now = clock.nanos(Instant::now());
        // Later by no more than a machine under load takes between two lines.
        assert!((before - 1_000_000..before + 1_000_000_000).contains(&now));
    }
}
