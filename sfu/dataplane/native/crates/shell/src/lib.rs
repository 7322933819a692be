//! Sockets and threads around the data plane's core: the only place with `unsafe`, in `system` and `messages`.
#![deny(unsafe_code)]

mod arrivals;
mod control;
mod directory;
mod dispatch;
mod event;
mod exchange;
mod gathering;
mod messages;
mod plane;
mod poller;
pub mod rig;
mod socket_name;
mod system;
mod tcp;
mod thread;
mod time;
mod udp;
mod ufrags;
mod worker;

pub use plane::{Plane, Settings};
