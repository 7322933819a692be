//! Asking one publisher for key frames: the throttle of all its streams, on the agenda.

use focus_streams::keyframe::KeyframeThrottle;
use focus_units::{Instant, Ssrc, TransportId};

use crate::agenda::Agenda;

/// What everybody wants of one publisher, merged and spaced by `KeyframeThrottle`.
#[derive(Debug)]
pub struct KeyframeRequests {
    transport: TransportId,
    throttle: KeyframeThrottle,
}

impl KeyframeRequests {
    /// Of this publisher.
    pub fn new(transport: TransportId) -> Self {
        Self { transport, throttle: KeyframeThrottle::default() }
    }

    /// Somebody needs a key frame of this stream.
    pub fn request(&mut self, now: Instant, ssrc: Ssrc, agenda: &mut Agenda) {
        self.throttle.request(now, ssrc);
        agenda.plan(self.transport, self.throttle.next_timeout());
    }

    /// A key frame of this stream begins.
    pub fn started(&mut self, ssrc: Ssrc) {
        self.throttle.key_frame_started(ssrc);
    }

    /// The stream is gone.
    pub fn forget(&mut self, ssrc: Ssrc) {
        self.throttle.forget(ssrc);
    }

    /// The streams to send a PLI for now.
    pub fn poll(&mut self, now: Instant) -> Vec<Ssrc> {
        let mut due = Vec::new();
        self.throttle.poll(now, &mut due);
        due
    }

    /// When `poll` next has something to say.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.throttle.next_timeout()
    }
}
