//! The data plane's contract as `sfu/plane.py` has it: what goes down, what comes up.
#![forbid(unsafe_code)]

mod extension;
mod operation;
mod reason;
mod rows;

pub use extension::{EXTENSIONS, Extension, ExtensionIds};
pub use operation::{
    Codec, Credentials, EncodingSpec, LocalError, Operation, PayloadFormat, SetRoute, SetTrack, SrtpProfile,
};
pub use reason::{DropReason, Drops};
pub use rows::{EncodingRow, Event, Pacing, Probe, RouteRow, Target, TransportRow, or_zero};

/// Simulcast encodings of one track.
pub const MAX_ENCODINGS: usize = 3;

/// Temporal layers that are counted apart; a stream's higher ones count as the third.
pub const MAX_TEMPORAL: usize = 3;

/// Where no targets come for this long, the plane falls back to the lowest encoding. Lower: one slow tick
/// degrades every picture. Higher: a stalled Python keeps overloading links that got worse.
pub const TARGETS_STALE_MS: i64 = 500;

/// Requests of ours that one transport waits for. Lower: where a check goes to many addresses, and again and again, a
/// slow path answers in vain. Higher: more that a stranger could guess, and more memory.
pub const MAX_STUN_REQUESTS: usize = 64;

/// In a target: send nothing of this route.
pub const PAUSED: i8 = -1;

/// In a target: every temporal layer.
pub const ALL_TEMPORAL: i8 = 7;

/// Nobody's audio level in -dBov: none came (RFC 6464).
pub const SILENT: u8 = 127;
