//! Counters as rows (`PlaneStats` in `sfu/plane.py`).

use focus_plane::{Drops, EncodingRow, PAUSED, RouteRow, TransportRow, or_zero};
use focus_units::{Instant, NS_PER_MS};

use crate::peer::Peer;
use crate::program::Program;

/// Everything counted, one row for each that lives, packed as the arrays have it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Stats {
    pub now: Instant,
    pub transports: Vec<u8>,
    pub encodings: Vec<u8>,
    pub routes: Vec<u8>,
    pub drops: Drops,
}

impl Stats {
    /// Take in another core's: its rows behind ours, drops in sum, the later time.
    pub fn join(&mut self, other: &Self) {
        self.now = self.now.max(other.now);
        self.transports.extend_from_slice(&other.transports);
        self.encodings.extend_from_slice(&other.encodings);
        self.routes.extend_from_slice(&other.routes);
        for (reason, packets) in other.drops.iter() {
            self.drops.add(reason, packets);
        }
    }
}

impl Program {
    /// All counters now. Reading an audio level begins a new interval of it.
    pub fn stats(&mut self, now: Instant) -> Stats {
        let mut stats = Stats { now, drops: self.drops.clone(), ..Stats::default() };
        for peer in self.peer_of.values() {
            self.transport_row(now, *peer).write(&mut stats.transports);
        }
        for track in self.track_of.values() {
            let track = &mut self.tracks[*track];
            let handle = track.handle().0;
            for encoding in &mut track.encodings {
                let totals = encoding.totals();
                let Some(reception) = &encoding.reception else { continue };
                let loudness = encoding.level.take();
                let layers = encoding.layers.as_deref().copied().unwrap_or_default();
                EncodingRow {
                    track: handle,
                    encoding: encoding.index as u8,
                    ssrc: reception.ssrc.0,
                    packets_received: totals.packets_received,
                    bytes_received: totals.bytes_received,
                    packets_lost: totals.packets_lost,
                    jitter_ms: reception.statistics.jitter_ms() as f32,
                    nack_count: totals.nack_count,
                    pli_count: encoding.pli_count,
                    frames_received: encoding.frames_received,
                    key_frames_received: encoding.key_frames_received,
                    last_received_at: or_zero(reception.statistics.last_received_at()),
                    audio_level: loudness.level,
                    voice: u8::from(loudness.voice),
                    temporal_bytes_received: layers.bytes_received.into(),
                    temporal_frames_received: layers.frames_received.into(),
                }
                .write(&mut stats.encodings);
            }
        }
        for route in self.route_of.values() {
            self.route_row(*route).write(&mut stats.routes);
        }
        stats
    }

    fn transport_row(&self, now: Instant, peer: usize) -> TransportRow {
        let Peer { transport, departures, .. } = &self.peers[peer];
        let queue_ns = departures.pacer.oldest().map_or(0, |oldest| (now - oldest.queued_at).max(0));
        let round_trip_time_ms =
            transport.round_trip_ns.map_or(f32::NAN, |ns| (ns as f64 / NS_PER_MS as f64) as f32);
        TransportRow {
            transport: transport.id.0,
            packets_received: transport.packets_received,
            bytes_received: transport.bytes_received,
            packets_sent: transport.packets_sent,
            bytes_sent: transport.bytes_sent,
            last_received_at: or_zero(transport.last_received_at),
            round_trip_time_ms,
            remb_bps: transport.remb_bps,
            queue_packets: departures.pacer.waiting_packets() as u32,
            queue_ms: (queue_ns as f64 / NS_PER_MS as f64) as f32,
            padding_bytes_sent: transport.padding_bytes_sent,
            feedback_lost: transport.feedback_lost,
            numbered_packets_sent: transport.numbered_packets_sent,
            can_send: u8::from(self.can_send(peer)),
        }
    }

    fn route_row(&self, index: usize) -> RouteRow {
        let route = &self.routes[index];
        let current = route.current();
        let reported = route.reported.as_ref();
        RouteRow {
            route: route.spec.route.0,
            track: route.spec.track.0,
            transport: route.spec.transport.0,
            encoding: current,
            temporal: if current == PAUSED { PAUSED } else { route.temporal() },
            target_encoding: route.target(),
            packets_sent: route.packets_sent,
            bytes_sent: route.bytes_sent,
            retransmitted_packets_sent: route.retransmitted_packets_sent,
            nack_count: route.nack_count,
            pli_count: route.pli_count,
            packets_lost: reported.map_or(0, |block| block.packets_lost),
            fraction_lost: reported.map_or(0.0, |block| f32::from(block.fraction_lost) / 256.0),
            jitter_ms: route.jitter_ms() as f32,
            switches: route.switches(),
            last_sent_at: or_zero(route.last_sent_at),
        }
    }
}
