//! What comes up: events, and rows of the arrays in `sfu/rows.py`. A row's `write` is its packed little-endian form.

use focus_units::{Instant, RouteId, Ssrc, TrackHandle, TransportId};

use crate::MAX_TEMPORAL;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in sfu/plane.py
pub enum Event {
    PairSelected { transport: TransportId },
    ConsentLost { transport: TransportId },
    PortRefused { transport: TransportId },
    StreamBound { track: TrackHandle, encoding: u8, ssrc: Ssrc },
    StreamEnded { track: TrackHandle, encoding: u8 },
}

/// One layer choice (`TARGET_DTYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Target {
    pub route: RouteId,
    pub encoding: i8,
    pub temporal: i8,
}

/// How a transport is sent to (`PACING_DTYPE`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Pacing {
    pub transport: TransportId,
    pub rate_bps: f64,
    pub padding_bps: f64,
    pub queue_limit_ms: f32,
}

/// One probe (`PROBE_DTYPE`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Probe {
    pub transport: TransportId,
    pub cluster: u32,
    pub rate_bps: f64,
    pub size_bytes: u32,
}

/// A counter for each temporal layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByLayer([u64; MAX_TEMPORAL]);

impl From<[u64; MAX_TEMPORAL]> for ByLayer {
    fn from(counters: [u64; MAX_TEMPORAL]) -> Self {
        Self(counters)
    }
}

impl ByLayer {
    fn to_le_bytes(self) -> [u8; 8 * MAX_TEMPORAL] {
        let mut bytes = [0; 8 * MAX_TEMPORAL];
        for (field, counter) in bytes.chunks_exact_mut(8).zip(self.0) {
            field.copy_from_slice(&counter.to_le_bytes());
        }
        bytes
    }
}

macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[allow(missing_docs)] // as in sfu/rows.py
        pub struct $name { $(pub $field: $type),+ }

        impl $name {
            /// Append the row as the array has it.
            pub fn write(&self, bytes: &mut Vec<u8>) {
                $(bytes.extend_from_slice(&self.$field.to_le_bytes());)+
            }
        }
    };
}

row! {
    /// A row of `TRANSPORT_DTYPE`; `can_send` is 0 or 1.
    TransportRow {
        transport: u32,
        packets_received: u64,
        bytes_received: u64,
        packets_sent: u64,
        bytes_sent: u64,
        last_received_at: i64,
        round_trip_time_ms: f32,
        remb_bps: f64,
        queue_packets: u32,
        queue_ms: f32,
        padding_bytes_sent: u64,
        feedback_lost: u64,
        numbered_packets_sent: u64,
        can_send: u8,
    }
}

row! {
    /// A row of `ENCODING_DTYPE`; `voice` is 0 or 1.
    EncodingRow {
        track: u32,
        encoding: u8,
        ssrc: u32,
        packets_received: u64,
        bytes_received: u64,
        packets_lost: i64,
        jitter_ms: f32,
        nack_count: u64,
        pli_count: u64,
        frames_received: u64,
        key_frames_received: u64,
        last_received_at: i64,
        audio_level: u8,
        voice: u8,
        temporal_bytes_received: ByLayer,
        temporal_frames_received: ByLayer,
    }
}

row! {
    /// A row of `ROUTE_DTYPE`.
    RouteRow {
        route: u32,
        track: u32,
        transport: u32,
        encoding: i8,
        temporal: i8,
        target_encoding: i8,
        packets_sent: u64,
        bytes_sent: u64,
        retransmitted_packets_sent: u64,
        nack_count: u64,
        pli_count: u64,
        packets_lost: i64,
        fraction_lost: f32,
        jitter_ms: f32,
        switches: u32,
        last_sent_at: i64,
    }
}

/// What is not there yet stands as 0 in arrays.
pub fn or_zero(at: Option<Instant>) -> i64 {
    at.map_or(0, |at| at.0)
}
