//! SRTP and SRTCP (RFC 3711, RFC 7714) of one transport.
//!
//! Mirrors `sfu/dataplane/srtp.py`: the outcomes are libsrtp's with a replay window of 1,024 packets, down to
//! which of two reasons is told. Keys are derived and expanded once; a packet costs its own bytes and nothing more.
#![forbid(unsafe_code)]

mod cipher;
mod counter_mode;
mod gcm;
mod keys;
mod session;
mod streams;
mod window;

pub use session::{REPLAY_WINDOW, Srtp, TAG_BYTES, rtp_header_len};
