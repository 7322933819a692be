//! What leaves to one peer: what is on board already, and what waits for its turn (packet rules 7 and 8).

use std::rc::Rc;

use focus_streams::descriptor_rewriter::DescriptorRewriting;
use focus_streams::pacer::Pacer;
use focus_units::Instant;

use crate::packet::Packet;
use crate::resending::Again;

/// A packet that a route has decided to forward. It is made into what is sent when it leaves.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Waiting {
    /// As the program numbers it.
    pub route: usize,
    pub packet: Rc<Packet>,
    /// The decode targets that it is to tell (`EncodingSelector::active_targets`).
    pub active: Option<u32>,
    /// It is not sent after all: those around it are to stand side by side.
    pub is_left_out: bool,
}

/// A packet that is sent again.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Resend {
    /// As the program numbers it.
    pub route: usize,
    pub again: Again,
}

/// What leaves with the next flush, in order.
#[derive(Debug)]
pub enum Boarded {
    /// A packet of the track, which came at this instant.
    Media(Instant, Waiting),
    /// A packet that is sent again.
    Resend(Resend),
}

impl Boarded {
    /// The route that it is of, as the program numbers it.
    pub fn route(&self) -> usize {
        match self {
            Self::Media(_, waiting) => waiting.route,
            Self::Resend(resend) => resend.route,
        }
    }
}

/// How a packet's dependency descriptor goes out.
pub type Rewriting = Option<DescriptorRewriting>;

/// The packets of one peer between their routes and the wire.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Departures {
    pub boarded: Vec<Boarded>,
    pub pacer: Pacer<Waiting, Resend>,
    /// The peer stands in the program's list of those with something to flush.
    pub is_listed: bool,
    /// Media waited already when the peer was listed. What came since may leave at once, however short the limit.
    pub lingers: bool,
}

impl Departures {
    /// Whether media of a route is to leave yet, so that what is left out must keep its place.
    pub fn holds(&self, route: usize, flow: focus_units::RouteId) -> bool {
        self.pacer.holds(flow) || self.boarded.iter().any(|boarded| boarded.route() == route)
    }
}
