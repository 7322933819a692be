//! What a peer says by RTCP, and who it concerns.

use focus_rtp::rtcp::{ReportBlock, RtcpPacket, SenderReport};
use focus_rtp::twcc::TransportFeedback;
use focus_streams::clock::StreamClock;
use focus_units::{Instant, Ssrc};

use crate::packet::ReceptionId;
use crate::program::Program;
use crate::reception::Surroundings;
use crate::resending::Again;

impl Program {
    /// Act on a compound. What is about streams that are not there is ignored.
    pub fn take_feedback(&mut self, now: Instant, peer: usize, packets: &[RtcpPacket]) {
        for packet in packets {
            match packet {
                RtcpPacket::SenderReport(report) => {
                    self.take_sender_report(now, peer, report);
                    self.take_reports(now, peer, &report.reports);
                }
                RtcpPacket::ReceiverReport(report) => self.take_reports(now, peer, &report.reports),
                RtcpPacket::Bye(bye) => {
                    for ssrc in &bye.ssrcs {
                        self.take_bye(now, peer, *ssrc);
                    }
                }
                RtcpPacket::Nack(nack) => self.take_nack(now, peer, nack.media_ssrc, &nack.sequence_numbers),
                RtcpPacket::Pli(pli) => self.take_picture_loss(now, peer, pli.media_ssrc),
                RtcpPacket::Fir(fir) => {
                    for entry in &fir.entries {
                        self.take_picture_loss(now, peer, entry.ssrc);
                    }
                }
                RtcpPacket::Remb(remb) => self.peers[peer].transport.remb_bps = remb.bitrate_bps as f64,
                RtcpPacket::TransportFeedback(feedback) => self.take_arrivals(now, peer, feedback),
                RtcpPacket::Sdes(_) | RtcpPacket::Raw(_) => {}
            }
        }
    }

    fn take_sender_report(&mut self, now: Instant, peer: usize, report: &SenderReport) {
        let Some(stream) = self.peers[peer].demux.streams.get(&report.ssrc).copied() else { return };
        let Some(encoding) = self.tracks[stream.track].encoding(stream.encoding) else { return };
        if stream.is_repair {
            if let Some(repair) = &mut encoding.repair {
                repair.statistics.sender_report(now, report.ntp_timestamp);
            }
            return;
        }
        let Some(reception) = &mut encoding.reception else { return };
        let is_first = !reception.clock.borrow().has_report();
        reception.statistics.sender_report(now, report.ntp_timestamp);
        reception.clock.borrow_mut().sender_report(now, report.ntp_timestamp, report.rtp_timestamp);
        let (id, clock, index) = (reception.id, *reception.clock.borrow(), encoding.index);
        self.clock_reported(now, stream.track, (id, index), &clock, is_first);
        let encodings = &self.tracks[stream.track].encodings;
        if let Some(index) = encodings.iter().position(|encoding| encoding.id == stream.encoding) {
            self.tell_stream(stream.track, index);
        }
    }

    /// The clock of what an encoding comes in has moved: routes that were joined to it see that.
    pub fn clock_reported(
        &mut self,
        now: Instant,
        track: usize,
        (id, encoding): (ReceptionId, i8),
        clock: &StreamClock,
        is_first: bool,
    ) {
        for route in &self.tracks[track].routes {
            let route = &mut self.routes[*route];
            route.clock_reported(id, clock);
            if is_first && route.current() == encoding {
                // The subscriber can be told of its clock.
                self.peers[route.peer].transport.reports.hurry(now, &mut self.agenda);
            }
        }
    }

    fn take_reports(&mut self, now: Instant, peer: usize, blocks: &[ReportBlock]) {
        let peer = &mut self.peers[peer];
        for block in blocks {
            if let Some(route) = peer.routes.get(&block.ssrc)
                && let Some(round_trip_ns) = self.routes[*route].receiver_report(now, *block)
            {
                peer.transport.round_trip_ns = Some(round_trip_ns);
            }
        }
    }

    fn take_bye(&mut self, now: Instant, peer: usize, ssrc: Ssrc) {
        let publisher = &mut self.peers[peer];
        let Some(stream) = publisher.demux.streams.get(&ssrc).copied().filter(|stream| !stream.is_repair)
        else {
            return;
        };
        let track = &mut self.tracks[stream.track];
        let handle = track.handle();
        let Some(encoding) = track.encoding(stream.encoding) else { return };
        let mut around = Surroundings {
            keyframes: &mut publisher.keyframes,
            caches: &mut self.caches,
            agenda: &mut self.agenda,
        };
        if encoding.end(now, &mut around) {
            let event = focus_plane::Event::StreamEnded { track: handle, encoding: encoding.index as u8 };
            self.tell(Some(event));
        }
    }

    fn take_picture_loss(&mut self, now: Instant, peer: usize, ssrc: Ssrc) {
        let Some(route) = self.peers[peer].routes.get(&ssrc).copied() else { return };
        let route = &mut self.routes[route];
        let (track, encoding) = (route.track, route.picture_lost());
        self.request_keyframe(now, track, encoding);
    }

    fn take_nack(&mut self, now: Instant, peer: usize, ssrc: Ssrc, sequence_numbers: &[u16]) {
        let Some(index) = self.peers[peer].routes.get(&ssrc).copied() else { return };
        let route = &mut self.routes[index];
        route.nack_count += sequence_numbers.len() as u64;
        let seqs = route.unwrap_nack(sequence_numbers);
        self.answer_nack(now, index, &seqs);
        self.ask_again(now, index, &seqs);
    }

    /// Send again what a subscriber asks for, as far as it is kept.
    pub fn answer_nack(&mut self, now: Instant, index: usize, seqs: &[i64]) {
        let route = &mut self.routes[index];
        let peer = route.peer;
        let round_trip_ns = self.peers[peer].transport.round_trip_ns;
        let mut answers = Vec::new();
        if route.resends_over_rtx() {
            let Some(resender) = &mut route.over_rtx else { return };
            for (sent, packet) in resender.answer(now, seqs, round_trip_ns, &self.caches) {
                if route.translation.rtx_payload_type(sent.payload_type).is_some() {
                    answers.push(Again::Rtx(sent, packet));
                }
            }
        } else if let Some(repeating) = &mut route.repeating {
            let kept = repeating.answer(now, seqs, round_trip_ns, &self.caches);
            answers.extend(kept.into_iter().map(Again::Repeat));
        }
        for again in answers {
            if self.peers[peer].transport.resends.take(again.size_bytes()) {
                self.resend(now, index, again);
            }
        }
    }

    /// A peer says when packets reached it.
    fn take_arrivals(&mut self, now: Instant, peer: usize, feedback: &TransportFeedback) {
        let transport = &mut self.peers[peer].transport;
        let id = transport.id;
        let mut reported = Vec::new();
        transport.report(now, feedback, &mut reported);
        let (peers, peer_of) = (&mut self.peers, &self.peer_of);
        self.rows.add(now, id, &reported, |loser| {
            if let Some(loser) = peer_of.get(&loser) {
                peers[*loser].transport.feedback_lost += 1;
            }
        });
    }
}
