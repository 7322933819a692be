//! What waits in line leaves: numbered, stamped, encrypted, one transport after another.

use focus_plane::DropReason;
use focus_units::Instant;

use crate::departures::Waiting;
use crate::program::Program;
use crate::resending::Sent;
use crate::transport::Outgoing;

impl Program {
    /// Send what may leave now.
    pub fn flush(&mut self, now: Instant) {
        let mut departing = std::mem::take(&mut self.departing);
        for peer in departing.drain(..) {
            let departures = &mut self.peers[peer].departures;
            departures.is_listed = false;
            let mut line = std::mem::take(&mut departures.line);
            for waiting in line.drain(..) {
                if let Err(drop) = self.depart(now, peer, waiting) {
                    self.drops.count(drop);
                }
            }
            self.peers[peer].departures.line = line;
        }
        self.departing = departing;
    }

    fn depart(&mut self, now: Instant, peer: usize, waiting: Waiting) -> Result<(), DropReason> {
        match waiting {
            Waiting::Media { route, at, packet } => {
                let peer = &mut self.peers[peer];
                let route = &mut self.routes[route];
                let numbers = route.number(at, &packet)?;
                let outgoing = Outgoing {
                    packet: &packet,
                    payload_type: numbers.payload_type,
                    sequence_number: numbers.seq as u16,
                    timestamp: numbers.timestamp,
                    ssrc: route.spec.ssrc,
                    vp8: numbers.vp8,
                    original: None,
                };
                let to = self.ice.selected(peer.transport.id);
                let made = peer.transport.send_rtp(
                    now,
                    to,
                    &outgoing,
                    &route.translation,
                    &mut self.egress,
                    &mut self.agenda,
                )?;
                route.sent(now, made.size_bytes, made.payload_bytes);
                peer.transport.resends.sent(made.size_bytes);
                if route.resends_over_rtx() {
                    if let Some(resender) = &mut route.over_rtx {
                        resender.sent(Sent {
                            seq: numbers.seq,
                            source_seq: packet.facts.seq,
                            at: now,
                            cache: packet.cache,
                            timestamp: numbers.timestamp,
                            payload_type: packet.payload_type,
                            vp8: numbers.vp8,
                        });
                    }
                } else {
                    let data = &self.egress.bytes()[made.start..];
                    route.repeating.sent(now, numbers.seq, data, &mut self.caches);
                }
            }
            Waiting::LeftOut { route, packet, is_picture: true } => {
                self.routes[route].leave_out_picture(&packet);
            }
            Waiting::LeftOut { route, packet, is_picture: false } => self.routes[route].leave_out(&packet),
            Waiting::Resend { route, sent, packet } => {
                let route = &mut self.routes[route];
                let form = route.translation.format_of(sent.payload_type);
                let (Some(payload_type), Some(resender)) =
                    (form.and_then(|form| form.rtx_payload_type), route.over_rtx.as_mut())
                else {
                    return Ok(());
                };
                let outgoing = Outgoing {
                    packet: &packet,
                    payload_type,
                    sequence_number: resender.next_seq as u16,
                    timestamp: sent.timestamp,
                    ssrc: resender.ssrc,
                    vp8: sent.vp8,
                    original: Some(sent.seq as u16),
                };
                let transport = &mut self.peers[peer].transport;
                let to = self.ice.selected(transport.id);
                transport.send_rtp(
                    now,
                    to,
                    &outgoing,
                    &route.translation,
                    &mut self.egress,
                    &mut self.agenda,
                )?;
                resender.next_seq += 1;
                route.retransmitted_packets_sent += 1;
            }
            Waiting::Repeat { route, data } => {
                let transport = &mut self.peers[peer].transport;
                let to = self.ice.reachable(transport.id);
                transport.send_datagram(to, &data, &mut self.egress)?;
                self.routes[route].retransmitted_packets_sent += 1;
            }
        }
        Ok(())
    }
}
