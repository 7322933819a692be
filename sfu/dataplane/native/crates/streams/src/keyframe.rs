//! Key-frame requests to publishers: merged, spaced, and asked again per RTP stream.

use focus_units::{Instant, Ssrc};
use rustc_hash::FxHashMap;

/// Shortest gap between two PLIs for one stream. Lower: joins feel faster, but a burst of joins makes the
/// encoder emit nothing but key frames. Higher: a new subscriber stares at black.
pub const MIN_INTERVAL_MS: i64 = 200;

/// A key frame asked for is asked for again after this long, if it is still wanted. Lower: where the round
/// trip is longer, the encoder makes two. Higher: after a request that was lost, the picture is black for
/// longer.
pub const RETRY_MS: i64 = 500;

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    is_answered: bool,
}

impl Asked {
    const fn again_at(self) -> Instant {
        self.at.after_ms(if self.is_answered { MIN_INTERVAL_MS } else { RETRY_MS })
    }
}

/// Merges key-frame requests per RTP stream (PLI, RFC 4585 section 6.3.1).
///
/// What is asked for while a PLI is under way is served by the key frame that answers it. Nothing is asked
/// again by itself: who still waits says so again.
#[derive(Debug, Default)]
pub struct KeyframeThrottle {
    wanted: FxHashMap<Ssrc, Instant>,
    asked: FxHashMap<Ssrc, Asked>,
}

impl KeyframeThrottle {
    /// Nothing is wanted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody needs a key frame of this stream.
    pub fn request(&mut self, now: Instant, ssrc: Ssrc) {
        self.wanted.entry(ssrc).or_insert(now);
    }

    /// A key frame begins: whoever asked before has it now, and a PLI would only make another.
    pub fn key_frame_started(&mut self, ssrc: Ssrc) {
        self.wanted.remove(&ssrc);
        if let Some(asked) = self.asked.get_mut(&ssrc) {
            asked.is_answered = true;
        }
    }

    /// The stream is gone.
    pub fn forget(&mut self, ssrc: Ssrc) {
        self.wanted.remove(&ssrc);
        self.asked.remove(&ssrc);
    }

    /// Append the streams to send a PLI for now to `due`, lowest SSRC first.
    pub fn poll(&mut self, now: Instant, due: &mut Vec<Ssrc>) {
        let first = due.len();
        due.extend(self.wanted.iter().filter(|entry| now >= self.due_at(*entry)).map(|(ssrc, _)| *ssrc));
        let due = &mut due[first..];
        due.sort_unstable();
        self.asked.retain(|_, asked| now < asked.again_at());
        for ssrc in due {
            self.wanted.remove(ssrc);
            self.asked.insert(*ssrc, Asked { at: now, is_answered: false });
        }
    }

    /// When `poll` next has something to say; `None` while nothing is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wanted.iter().map(|entry| self.due_at(entry)).min()
    }

    fn due_at(&self, (ssrc, wanted_at): (&Ssrc, &Instant)) -> Instant {
        self.asked.get(ssrc).map_or(*wanted_at, |asked| asked.again_at().max(*wanted_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ssrc = Ssrc(7);
    const B: Ssrc = Ssrc(3);
    const START: Instant = Instant(1_000);

    fn polled(throttle: &mut KeyframeThrottle, now: Instant) -> Vec<Ssrc> {
        let mut due = Vec::new();
        throttle.poll(now, &mut due);
        due
    }

    fn asked() -> KeyframeThrottle {
        let mut throttle = KeyframeThrottle::new();
        throttle.request(START, A);
        assert_eq!(polled(&mut throttle, START), [A]);
        throttle
    }

    #[test]
    fn nothing_is_asked_for_unwanted() {
        let mut throttle = KeyframeThrottle::new();
        assert_eq!(throttle.next_timeout(), None);
        assert_eq!(polled(&mut throttle, START), []);
    }

    #[test]
    fn requests_of_many_become_one_at_once() {
        let mut throttle = KeyframeThrottle::new();
        for _ in 0..10 {
            throttle.request(START, A);
            throttle.request(START, B);
        }
        assert_eq!(throttle.next_timeout(), Some(START));
        let mut due = vec![Ssrc(9)];
        throttle.poll(START, &mut due);
        assert_eq!(due, [Ssrc(9), B, A]);
        assert_eq!(polled(&mut throttle, START), []);
        assert_eq!(throttle.next_timeout(), None);
    }

    #[test]
    fn while_a_request_is_unanswered_others_wait_for_the_retry() {
        let mut throttle = asked();
        throttle.request(START.after_ms(10), A);
        let due_at = START.after_ms(RETRY_MS);
        assert_eq!(throttle.next_timeout(), Some(due_at));
        assert_eq!(polled(&mut throttle, due_at.after_ns(-1)), []);
        assert_eq!(polled(&mut throttle, due_at), [A]);
    }

    #[test]
    fn nothing_is_asked_again_that_nobody_still_wants() {
        let mut throttle = asked();
        assert_eq!(throttle.next_timeout(), None);
        assert_eq!(polled(&mut throttle, START.after_s(10)), []);
    }

    #[test]
    fn a_key_frame_that_starts_serves_who_asked_before() {
        let mut throttle = asked();
        throttle.request(START.after_ms(100), A);
        throttle.key_frame_started(A);
        throttle.key_frame_started(B);
        assert_eq!(throttle.next_timeout(), None);
    }

    #[test]
    fn who_asks_after_the_key_frame_started_waits_for_the_interval_only() {
        let mut throttle = asked();
        throttle.key_frame_started(A);
        throttle.request(START.after_ms(110), A);
        let due_at = START.after_ms(MIN_INTERVAL_MS);
        assert_eq!(throttle.next_timeout(), Some(due_at));
        assert_eq!(polled(&mut throttle, due_at.after_ns(-1)), []);
        assert_eq!(polled(&mut throttle, due_at), [A]);
    }

    #[test]
    fn a_request_long_after_the_last_is_due_at_once() {
        let mut throttle = asked();
        let later = START.after_s(5);
        throttle.request(later, A);
        assert_eq!(throttle.next_timeout(), Some(later));
    }

    #[test]
    fn a_stream_that_is_gone_is_forgotten() {
        let mut throttle = asked();
        throttle.request(START, A);
        throttle.forget(A);
        throttle.forget(B);
        assert_eq!(polled(&mut throttle, START.after_s(1)), []);
        throttle.request(START, A);
        assert_eq!(polled(&mut throttle, START), [A]);
    }

    #[test]
    fn memory_does_not_grow_with_streams_that_come_and_go() {
        let mut throttle = KeyframeThrottle::new();
        for number in 0..1_000 {
            let now = START.after_ms(i64::from(number) * RETRY_MS / 10);
            throttle.request(now, Ssrc(number));
            polled(&mut throttle, now);
        }
        assert!(throttle.asked.len() <= 11);
    }
}
