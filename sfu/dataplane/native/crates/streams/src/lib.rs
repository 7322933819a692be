//! One RTP stream: choosing, rewriting, counting, remembering.
//!
//! Mirrors `sfu/streams`, module by module, decision by decision. Numbers are unwrapped and `i64`; time is an
//! argument; what a packet on its way costs here is a few comparisons and no allocation.
#![forbid(unsafe_code)]

pub mod audio_level;
pub mod cache;
pub mod clock;
pub mod keyframe;
pub mod nack;
pub mod offsets;
pub mod resend;
pub mod rewriter;
pub mod selector;
pub mod statistics;
pub mod twcc_receiver;
