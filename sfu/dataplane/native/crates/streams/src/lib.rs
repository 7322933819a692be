//! One RTP stream: choosing, rewriting, counting, remembering.
//!
//! Mirrors `sfu/streams`, module by module, decision by decision. Numbers are unwrapped and `i64`; time is an
//! argument; what a packet on its way costs here is a few comparisons and no allocation.
#![forbid(unsafe_code)]

pub mod audio_level;
pub mod cache;
pub mod clock;
pub mod debt;
pub mod descriptor_reader;
pub mod descriptor_rewriter;
pub mod keyframe;
pub mod nack;
pub mod offsets;
pub mod pacer;
pub mod probing;
pub mod resend;
pub mod rewriter;
#[cfg(test)]
mod samples;
pub mod selector;
pub mod slow_receiver;
pub mod statistics;
pub mod temporal;
pub mod twcc_receiver;
pub mod twcc_sender;
