//! Hundreds of WebRTC receivers on one thread, and the plain publishers that feed them.
//!
//! The benches of forwarders need subscribers that are nobody's kin: ICE, DTLS, SCTP and SDP are str0m's, and so
//! is the media of publishers and of a share of the receivers. The other receivers take the lean path, which
//! costs a third and is held against str0m in the tests.
//!
//! Everything but [`socket`] and [`engine`] is sans-I/O: datagrams and times go in, datagrams and counters come out.

pub mod clock;
pub mod description;
pub mod effects;
pub mod engine;
pub mod error;
pub mod handle;
pub mod histogram;
pub mod inbound;
pub mod keytap;
pub mod lean;
pub mod media;
pub mod missing;
pub mod participant;
pub mod publisher;
#[cfg(feature = "python")]
mod python;
pub mod reception;
pub mod rtcp;
pub mod rtp;
pub mod schedule;
pub mod socket;
pub mod srtp;
pub mod stamp;
pub mod stats;
pub mod twcc;
pub mod vp8;
