//! Bytes to values and back: RTP, RTCP, extensions and codec descriptors.
//!
//! Mirrors `sfu/rtp`, module by module: the same bytes give the same values, or a [`focus_units::ParseError`]
//! with the same name. Nothing allocates where packets of media pass; RTCP is read into values of its own.
#![forbid(unsafe_code)]

pub mod av1;
pub mod dependency_descriptor;
pub mod extensions;
pub mod h264;
pub mod ntp;
pub mod packet;
pub mod rtcp;
pub mod twcc;
pub mod unwrap;
pub mod vp8;
pub mod vp9;
