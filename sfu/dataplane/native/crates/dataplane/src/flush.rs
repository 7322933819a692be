//! What leaves now, one transport after another: numbered, stamped, encrypted.

use std::rc::Rc;

use focus_ice::Address;
use focus_plane::DropReason;
use focus_streams::pacer::{Queued, Turn};
use focus_streams::slow_receiver::{Fate, cut};
use focus_units::{Instant, RouteId};

use crate::departures::{Boarded, Resend, Waiting};
use crate::filling::PADDING_BYTES;
use crate::packet::Packet;
use crate::program::Program;
use crate::resending::{Again, Repeat, RepeatResender, Sent};
use crate::transport::{Content, Outgoing};

impl Program {
    /// Send what may leave now of all peers that something came for.
    pub fn flush(&mut self, now: Instant) {
        self.flush_within(now, usize::MAX);
    }

    /// Send what may leave now of one peer after another, until the egress holds so many bytes. The others are next.
    pub fn flush_within(&mut self, now: Instant, limit_bytes: usize) {
        while self.egress.bytes().len() < limit_bytes
            && let Some(peer) = self.departing.pop_front()
        {
            let departures = &mut self.peers[peer].departures;
            departures.is_listed = false;
            let to = self.ice.selected(self.peers[peer].transport.id);
            let departures = &mut self.peers[peer].departures;
            let mut boarded = std::mem::take(&mut departures.boarded);
            for one in boarded.drain(..) {
                let outcome = match one {
                    Boarded::Media(at, waiting) => self.depart(now, to, at, &waiting),
                    Boarded::Resend(resend) => self.send_again(now, resend),
                };
                self.count_if_dropped(outcome);
            }
            let departures = &mut self.peers[peer].departures;
            departures.boarded = boarded;
            if !departures.pacer.is_empty() {
                if departures.lingers {
                    self.cut_overdue(now, peer);
                }
                self.take_turns(now, peer, false);
                let next = self.departures_timeout(peer);
                self.agenda.plan(self.peers[peer].transport.id, next);
            }
        }
    }

    /// Send what a peer's pacer lets leave, and spare it what has waited for too long.
    pub fn poll_departures(&mut self, now: Instant, peer: usize) {
        self.cut_overdue(now, peer);
        let fills = self.fills(peer);
        self.take_turns(now, peer, fills);
    }

    /// When `poll_departures` next has something to do.
    pub fn departures_timeout(&self, peer: usize) -> Option<Instant> {
        self.peers[peer].departures.pacer.next_timeout(self.fills(peer))
    }

    fn cut_overdue(&mut self, now: Instant, peer: usize) {
        while let Some(flow) = self.peers[peer].departures.pacer.overdue(now) {
            self.cut(now, peer, flow);
        }
    }

    /// Let one more wait: who has waited longest gives way.
    pub fn make_room(&mut self, now: Instant, peer: usize) {
        let pacer = &self.peers[peer].departures.pacer;
        if pacer.is_full()
            && let Some(oldest) = pacer.oldest()
        {
            let flow = oldest.flow;
            self.cut(now, peer, flow);
        }
    }

    /// Nothing that waits of a route is sent any more.
    pub fn forget_departures(&mut self, route: usize, reason: DropReason) {
        let (peer, flow) = (self.routes[route].peer, self.routes[route].spec.route);
        let departures = &mut self.peers[peer].departures;
        let waiting = departures.pacer.of(flow).filter(|queued| !queued.item.is_left_out).count();
        departures.pacer.forget(flow);
        self.drops.add(reason, waiting as u64);
    }

    fn take_turns(&mut self, now: Instant, peer: usize, fills: bool) {
        let to = self.ice.selected(self.peers[peer].transport.id);
        while let Some(turn) = self.peers[peer].departures.pacer.turn(now, fills) {
            let pacer = &mut self.peers[peer].departures.pacer;
            let outcome = match turn {
                Turn::Resend => {
                    let Some(queued) = pacer.take_resend() else { return };
                    self.send_again(now, queued.item)
                }
                Turn::Media => {
                    let Some(queued) = pacer.take() else { return };
                    self.depart(now, to, queued.queued_at, &queued.item)
                }
                Turn::Filler => self.fill_one(now, peer),
            };
            self.count_if_dropped(outcome);
        }
    }

    /// The turn of something that waited has come.
    fn depart(
        &mut self,
        now: Instant,
        to: Option<Address>,
        arrived_at: Instant,
        waiting: &Waiting,
    ) -> Result<(), DropReason> {
        let packet = &waiting.packet;
        let route = &mut self.routes[waiting.route];
        if waiting.is_left_out {
            route.close_up(packet);
            return Ok(());
        }
        let peer = &mut self.peers[route.peer];
        let can_send = to.is_some() && peer.transport.is_secured();
        let numbers = route.number(arrived_at, packet, waiting.active, can_send)?;
        self.described.clear();
        if let (Some(rewriting), Some(descriptor), Some(value)) =
            (numbers.rewriting, &packet.facts.descriptor, packet.descriptor_value())
        {
            rewriting.apply(value, descriptor, &mut self.described);
        }
        let outgoing = Outgoing {
            payload_type: numbers.payload_type,
            sequence_number: numbers.seq as u16,
            timestamp: numbers.timestamp,
            ssrc: route.spec.ssrc,
            content: Content::Media { packet, vp8: numbers.vp8, descriptor: &self.described, original: None },
        };
        let around = (&mut self.egress, &mut peer.departures.pacer, &mut self.agenda);
        let made = peer.transport.send_rtp(now, to, &outgoing, &route.translation, around)?;
        route.sent(now, made.size_bytes, made.payload_bytes);
        if route.packets_sent == 1 {
            // Another focus behind this one needs the clock before it can switch to what flows here.
            peer.transport.reports.hurry(now, &mut self.agenda);
        }
        peer.transport.resends.sent(made.size_bytes);
        if route.resends_over_rtx()
            && let Some(resender) = &mut route.over_rtx
        {
            let sent = Sent {
                seq: numbers.seq,
                timestamp: numbers.timestamp,
                payload_type: packet.payload_type,
                vp8: numbers.vp8,
                rewriting: numbers.rewriting,
            };
            resender.sent(now, &sent, packet);
        } else if route.repeats() {
            let data = self.egress.bytes()[made.start..].into();
            let repeat = Repeat { data, transport_seq: made.transport_seq };
            let open = || Box::new(RepeatResender::new(&mut self.caches));
            let repeating = route.repeating.get_or_insert_with(open);
            repeating.sent(now, numbers.seq, repeat, &mut self.caches);
        }
        Ok(())
    }

    /// The turn of a packet has come that the subscriber asked for.
    fn send_again(&mut self, now: Instant, resend: Resend) -> Result<(), DropReason> {
        let Resend { route, again } = resend;
        let is_sent = match again {
            Again::Rtx(sent, packet) => self.send_over_rtx(now, route, &sent, &packet)?,
            Again::Repeat(repeat) => {
                let peer = &mut self.peers[self.routes[route].peer];
                let to = self.ice.selected(peer.transport.id);
                let around = (&mut self.egress, &mut peer.departures.pacer);
                peer.transport.repeat(now, to, &repeat.data, repeat.transport_seq, around)?;
                true
            }
        };
        self.routes[route].retransmitted_packets_sent += u64::from(is_sent);
        Ok(())
    }

    /// Make a packet again and send it; false where the subscriber has no RTX for its codec.
    pub fn send_over_rtx(
        &mut self,
        now: Instant,
        route: usize,
        sent: &Sent,
        packet: &Rc<Packet>,
    ) -> Result<bool, DropReason> {
        let route = &mut self.routes[route];
        let payload_type = route.translation.rtx_payload_type(sent.payload_type);
        let (Some(payload_type), Some(resender)) = (payload_type, route.over_rtx.as_mut()) else {
            return Ok(false);
        };
        self.described.clear();
        if let (Some(rewriting), Some(descriptor), Some(value)) =
            (sent.rewriting, &packet.facts.descriptor, packet.descriptor_value())
        {
            rewriting.apply(value, descriptor, &mut self.described);
        }
        let outgoing = Outgoing {
            payload_type,
            sequence_number: resender.next_seq as u16,
            timestamp: sent.timestamp,
            ssrc: resender.ssrc,
            content: Content::Media {
                packet,
                vp8: sent.vp8,
                descriptor: &self.described,
                original: Some(sent.seq as u16),
            },
        };
        let peer = &mut self.peers[route.peer];
        let to = self.ice.selected(peer.transport.id);
        let around = (&mut self.egress, &mut peer.departures.pacer, &mut self.agenda);
        peer.transport.send_rtp(now, to, &outgoing, &route.translation, around)?;
        resender.next_seq += 1;
        Ok(true)
    }

    /// Something for its size alone; where it can't be sent, it is charged all the same, or it would be tried again
    /// at once, for ever.
    fn fill_one(&mut self, now: Instant, peer: usize) -> Result<(), DropReason> {
        let before = self.peers[peer].transport.bytes_sent;
        let outcome = self.fill(now, peer);
        let peer = &mut self.peers[peer];
        match outcome {
            Ok(()) => peer.transport.padding_bytes_sent += peer.transport.bytes_sent - before,
            Err(_) => peer.departures.pacer.sent(now, PADDING_BYTES.into()),
        }
        outcome
    }

    /// Spare a subscriber some of what waits of a route, the oldest of which has waited for too long.
    fn cut(&mut self, now: Instant, peer: usize, flow: RouteId) {
        let pacer = &mut self.peers[peer].departures.pacer;
        let Some(route) = pacer.of(flow).next().map(|oldest| oldest.item.route) else { return };
        let facts = |queued: &'_ Queued<Waiting>| {
            (!queued.item.is_left_out).then(|| queued.item.packet.facts.clone())
        };
        let waiting: Vec<_> = pacer.of(flow).map(facts).collect();
        let verdict = cut(waiting.iter().map(Option::as_ref));
        let mut fates = verdict.fates.iter();
        let drops = &mut self.drops;
        pacer.sift(flow, |mut queued| {
            let fate = fates.next().copied().unwrap_or(Fate::Kept);
            if fate == Fate::Kept {
                return Some(queued);
            }
            drops.add(DropReason::SlowReceiver, u64::from(!queued.item.is_left_out));
            if fate == Fate::Gone {
                return None;
            }
            queued.size_bytes = 0;
            queued.item.is_left_out = true;
            Some(queued)
        });
        if self.routes[route].was_cut(verdict.limit, verdict.needs_key_frame()) {
            let (track, flowing) = (self.routes[route].track, self.routes[route].current());
            self.request_keyframe(now, track, flowing);
        }
        let is_left_out = |queued: &Queued<Waiting>| queued.item.is_left_out;
        while self.peers[peer].departures.pacer.oldest().is_some_and(is_left_out) {
            let Some(queued) = self.peers[peer].departures.pacer.take() else { return };
            let to = self.ice.selected(self.peers[peer].transport.id);
            let outcome = self.depart(now, to, queued.queued_at, &queued.item);
            self.count_if_dropped(outcome);
        }
    }

    fn count_if_dropped(&mut self, outcome: Result<(), DropReason>) {
        if let Err(drop) = outcome {
            self.drops.count(drop);
        }
    }
}
