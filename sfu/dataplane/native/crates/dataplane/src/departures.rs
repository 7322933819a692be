//! What waits for its turn to leave, of one transport.

use std::rc::Rc;

use focus_units::Instant;

use crate::packet::Packet;
use crate::resending::Sent;

/// Something that waits.
#[derive(Debug)]
pub enum Waiting {
    /// A packet that flows.
    Media {
        /// As the program numbers it.
        route: usize,
        /// When the packet came.
        at: Instant,
        /// As it was received: it is numbered when it leaves.
        packet: Rc<Packet>,
    },
    /// A packet that is left out on purpose: what follows closes up.
    LeftOut {
        /// As the program numbers it.
        route: usize,
        /// The packet.
        packet: Rc<Packet>,
        /// Its whole picture is left out.
        is_picture: bool,
    },
    /// A packet that is sent again over RTX.
    Resend {
        /// As the program numbers it.
        route: usize,
        /// How it was made the first time.
        sent: Sent,
        /// What it was made of.
        packet: Rc<Packet>,
    },
    /// A packet that is sent again as it was, encrypted.
    Repeat {
        /// As the program numbers it.
        route: usize,
        /// The bytes.
        data: Box<[u8]>,
    },
}

impl Waiting {
    /// The route that it is of.
    pub fn route(&self) -> usize {
        match self {
            Self::Media { route, .. }
            | Self::LeftOut { route, .. }
            | Self::Resend { route, .. }
            | Self::Repeat { route, .. } => *route,
        }
    }
}

/// One transport's line.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Departures {
    pub line: Vec<Waiting>,
    /// The transport stands in the program's list of those with something in line.
    pub is_listed: bool,
}
