//! Sockets and threads around the data plane's core: the only place with `unsafe`, in `system` and `messages`.
#![deny(unsafe_code)]

mod arrivals;
mod control;
mod directory;
mod dispatch;
mod event;
mod exchange;
mod gathering;
mod joined;
mod messages;
mod own_ports;
mod plane;
mod poller;
pub mod rig;
mod socket_name;
mod system;
mod tcp;
mod thread;
mod time;
mod trunks;
mod udp;
mod ufrags;
mod worker;

pub use joined::Joined;
pub use plane::{Plane, Settings};
