//! The data plane without its sockets: datagrams in, datagrams out, time as an argument.
//!
//! Modules are named like their twins in `sfu/dataplane/`, whose DESIGN.md says what all of this must do.
//! What the twin's objects know of each other, here `Program` knows of all: peers, tracks and routes stand in
//! slabs and name one another by number.
#![forbid(unsafe_code)]

mod agenda;
mod binding;
mod core;
mod demux;
mod departures;
mod egress;
mod encoding;
mod feedback;
mod feedback_rows;
mod filling;
mod flush;
mod ingress;
mod keyframes;
mod mirror;
mod packet;
mod payload;
mod peer;
mod polling;
mod program;
mod random;
mod reception;
mod reports;
mod resending;
mod route;
mod sharing;
mod stats;
mod track;
mod translation;
mod transport;
mod trunk;
mod upward;
mod wire;

pub use crate::core::{Config, PlaneCore};
pub use egress::{Egress, MAX_MESSAGE_BYTES, MAX_SEGMENTS, Message};
pub use random::Random;
pub use stats::Stats;
pub use trunk::{Crossing, Link};
pub use upward::Batch;
pub use wire::{MAX_DATAGRAM_BYTES, MAX_PACKET_BYTES, WireProtocol, protocol_of};
