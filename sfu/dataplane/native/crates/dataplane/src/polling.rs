//! What one peer is sent when its time has come: key-frame requests, NACKs, feedback and reports.

use focus_plane::DropReason;
use focus_rtp::rtcp::{Pli, RtcpPacket};
use focus_units::{Instant, Kind, earliest};

use crate::program::Program;
use crate::reports::{FEEDBACK_SSRC, Unit, nacks, receiver_reports};

impl Program {
    /// Do what is due for a peer.
    pub fn poll_peer(&mut self, now: Instant, index: usize) {
        let peer = &mut self.peers[index];
        self.drops.add(DropReason::UnknownSsrc, peer.demux.bindings.expire(now));
        self.poll_departures(now, index);
        let mut units = self.plis(now, index);
        self.nacks(now, index, &mut units);
        let peer = &mut self.peers[index];
        let mut feedback = Vec::new();
        peer.arrivals.poll(now, &mut feedback);
        units.extend(feedback.into_iter().map(|packet| vec![RtcpPacket::TransportFeedback(packet)]));
        if peer.transport.reports.take(now) {
            let reports = self.reports(now, index);
            if !reports.is_empty() {
                let schedule = &mut self.peers[index].transport.reports;
                schedule.reported(now, &mut self.agenda, self.report_key);
            }
            units.extend(reports);
        }
        self.send_units(index, &units);
    }

    /// When `poll_peer` next has something to do.
    pub fn peer_timeout(&self, index: usize) -> Option<Instant> {
        let peer = &self.peers[index];
        let nacks_due_at = peer
            .demux
            .streams
            .values()
            .filter(|stream| !stream.is_repair && self.tracks[stream.track].kind() == Kind::Video)
            .flat_map(|stream| &self.tracks[stream.track].encodings)
            .filter_map(|encoding| encoding.reception.as_ref()?.nacks.next_timeout())
            .min();
        earliest([peer.next_timeout(nacks_due_at), self.departures_timeout(index)])
    }

    fn plis(&mut self, now: Instant, index: usize) -> Vec<Unit> {
        let peer = &mut self.peers[index];
        let mut units = Vec::new();
        for ssrc in peer.keyframes.poll(now) {
            let Some(stream) = peer.demux.streams.get(&ssrc) else { continue };
            if let Some(encoding) = self.tracks[stream.track].encoding(stream.encoding) {
                encoding.pli_count += 1;
                units.push(vec![RtcpPacket::Pli(Pli { sender_ssrc: FEEDBACK_SSRC, media_ssrc: ssrc })]);
            }
        }
        units
    }

    fn nacks(&mut self, now: Instant, index: usize, units: &mut Vec<Unit>) {
        let peer = &self.peers[index];
        let mut seqs = Vec::new();
        for (ssrc, stream) in peer.demux.streams.iter().filter(|(_, stream)| !stream.is_repair) {
            let encoding = self.tracks[stream.track].encoding(stream.encoding);
            let Some(reception) = encoding.and_then(|encoding| encoding.reception.as_mut()) else { continue };
            if let Some(round_trip_ns) = peer.transport.round_trip_ns {
                reception.nacks.set_round_trip_time(round_trip_ns);
            }
            seqs.clear();
            reception.nacks.poll(now, &mut seqs);
            units.extend(nacks(*ssrc, &seqs));
        }
    }

    fn reports(&mut self, now: Instant, index: usize) -> Vec<Unit> {
        let peer = &self.peers[index];
        let mut blocks = Vec::new();
        for (ssrc, stream) in &peer.demux.streams {
            let Some(encoding) = self.tracks[stream.track].encoding(stream.encoding) else { continue };
            let statistics = if stream.is_repair {
                encoding.repair.as_mut().map(|repair| &mut repair.statistics)
            } else {
                encoding.reception.as_mut().map(|reception| &mut reception.statistics)
            };
            blocks.extend(statistics.and_then(|statistics| statistics.report_block(now, *ssrc)));
        }
        let mut units: Vec<Unit> = receiver_reports(&blocks, &self.cname).collect();
        for route in peer.routes.values() {
            units.extend(self.routes[*route].sender_report(now));
        }
        units
    }
}
