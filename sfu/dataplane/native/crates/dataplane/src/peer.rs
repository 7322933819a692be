//! One peer: what it publishes, what it receives, and when it is told of either.

use focus_streams::twcc_receiver::TwccReceiver;
use focus_units::{Instant, Ssrc, TransportId, earliest};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::demux::Demux;
use crate::departures::Departures;
use crate::keyframes::KeyframeRequests;
use crate::reports::FEEDBACK_SSRC;
use crate::transport::Transport;

/// Everything of one transport above its bytes.
#[allow(missing_docs)]
pub struct Peer {
    pub transport: Transport,
    pub demux: Demux,
    /// Routes, as the program numbers them, by the SSRC under which each goes out.
    pub routes: IndexMap<Ssrc, usize, FxBuildHasher>,
    pub keyframes: KeyframeRequests,
    pub arrivals: TwccReceiver,
    pub departures: Departures,
}

impl Peer {
    /// One that has said nothing yet.
    pub fn new(transport: TransportId) -> Self {
        Self {
            transport: Transport::new(transport),
            demux: Demux::default(),
            routes: IndexMap::default(),
            keyframes: KeyframeRequests::new(transport),
            arrivals: TwccReceiver::new(FEEDBACK_SSRC),
            departures: Departures::default(),
        }
    }

    /// When it next has something to do, but for what `nacks_due_at` says of its tracks.
    pub fn next_timeout(&self, nacks_due_at: Option<Instant>) -> Option<Instant> {
        earliest([
            nacks_due_at,
            self.demux.next_timeout(),
            self.keyframes.next_timeout(),
            self.arrivals.next_timeout(),
            self.transport.reports.next_timeout(),
        ])
    }
}
