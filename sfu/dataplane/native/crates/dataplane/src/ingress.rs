//! From a peer's SRTP or SRTCP packet to the routes that take it on.

use std::rc::Rc;

use focus_ice::Address;
use focus_plane::{DropReason, Extension};
use focus_rtp::extensions::{parse_audio_level, parse_transport_sequence_number};
use focus_rtp::packet::RtpHeader;
use focus_rtp::rtcp::RtcpPacket;
use focus_units::{Instant, Kind};

use crate::binding::{HeldPacket, StreamName};
use crate::demux::Stream;
use crate::departures::{Boarded, Resend, Waiting};
use crate::packet::Packet;
use crate::program::Program;
use crate::reception::{Arrival, Form, Surroundings};
use crate::resending::Again;
use crate::track::Origin;
use crate::wire::{WireProtocol, protocol_of};

/// What a packet is taken to have beside its payload, before it is made.
const OVERHEAD_BYTES: usize = 64;

/// A packet that its peer's keys opened.
enum Opened {
    Rtp(RtpHeader, usize),
    Rtcp(Vec<RtcpPacket>),
}

impl Program {
    /// Take an SRTP or SRTCP packet of a peer.
    pub fn receive(&mut self, now: Instant, peer: usize, data: &mut [u8]) {
        let transport = &mut self.peers[peer].transport;
        if !transport.is_secured() {
            if !transport.hold(now, data) {
                self.drops.count(DropReason::EarlyQueueFull);
            }
            return;
        }
        let size_bytes = data.len();
        match self.open(peer, data) {
            Ok(opened) => self.take(now, peer, opened, data, size_bytes),
            Err(drop) => self.drops.count(drop),
        }
    }

    /// Take a packet from an address that is nobody's: whose it is, where it is somebody's.
    pub fn receive_stray(
        &mut self,
        now: Instant,
        from: Address,
        data: &mut [u8],
        moved: impl FnOnce(&mut Self, usize),
    ) -> bool {
        let candidates: Vec<usize> = self.may_have_sent(now, from, data).collect();
        let size_bytes = data.len();
        let mut scratch = Vec::new();
        for peer in candidates {
            scratch.clear();
            scratch.extend_from_slice(data);
            if let Ok(opened) = self.open(peer, &mut scratch) {
                moved(self, peer);
                self.take(now, peer, opened, &mut scratch, size_bytes);
                return true;
            }
        }
        false
    }

    /// Peers that a packet from an address that is nobody's may be of.
    pub fn may_have_sent(&self, now: Instant, from: Address, data: &[u8]) -> impl Iterator<Item = usize> {
        self.peer_of.values().copied().filter(move |peer| {
            let transport = &self.peers[*peer].transport;
            self.can_send(*peer)
                && transport.may_have_sent(now, data)
                && self.ice.is_heard_from(transport.id, from)
        })
    }

    /// Sort a packet to where it belongs, and the packets that waited for its name.
    pub fn sort(
        &mut self,
        now: Instant,
        peer: usize,
        header: &RtpHeader,
        data: &mut [u8],
        size_bytes: usize,
    ) {
        if let Some(stream) = self.peers[peer].demux.streams.get(&header.ssrc).copied() {
            return self.deliver(now, peer, stream, header, data, size_bytes);
        }
        match self.bind(now, peer, header, data) {
            Ok(Some(stream)) => {
                for held in self.peers[peer].demux.bindings.release(Some(header.ssrc)) {
                    self.deliver(held.at, peer, stream, &held.header, &held.data, held.size_bytes);
                }
                self.deliver(now, peer, stream, header, data, size_bytes);
            }
            Ok(None) => {
                let peer = &mut self.peers[peer];
                let held = HeldPacket { at: now, header: *header, data: (&*data).into(), size_bytes };
                if peer.demux.bindings.hold(held) {
                    self.agenda.plan(peer.transport.id, peer.demux.bindings.next_timeout());
                } else {
                    self.drops.count(DropReason::UnknownSsrc);
                }
            }
            Err(drop) => self.drops.count(drop),
        }
    }

    fn open(&mut self, peer: usize, data: &mut [u8]) -> Result<Opened, DropReason> {
        let transport = &mut self.peers[peer].transport;
        if protocol_of(data) == WireProtocol::Rtcp {
            return transport.open_rtcp(data).map(Opened::Rtcp);
        }
        transport.open_rtp(data).map(|(header, len)| Opened::Rtp(header, len))
    }

    fn take(&mut self, now: Instant, peer: usize, opened: Opened, data: &mut [u8], size_bytes: usize) {
        match opened {
            Opened::Rtcp(packets) => self.take_feedback(now, peer, &packets),
            Opened::Rtp(header, len) => {
                self.peers[peer].transport.reports.active(now, &mut self.agenda);
                self.note_arrival(now, peer, &header, &data[..len]);
                self.sort(now, peer, &header, &mut data[..len], size_bytes);
            }
        }
    }

    /// Whatever stream a packet is of, its arrival is fed back: libwebrtc's first probes have SSRC 0.
    fn note_arrival(&mut self, now: Instant, peer: usize, header: &RtpHeader, data: &[u8]) {
        let peer = &mut self.peers[peer];
        let value = peer.demux.bindings.element(header, data, Extension::TransportCc);
        if let Some(Ok(number)) = value.map(parse_transport_sequence_number) {
            peer.arrivals.received(now, header.ssrc, number);
            self.agenda.plan(peer.transport.id, peer.arrivals.next_timeout());
        }
    }

    /// Bind a packet's SSRC; `None` where nothing tells yet what it is.
    fn bind(
        &mut self,
        now: Instant,
        peer: usize,
        header: &RtpHeader,
        data: &[u8],
    ) -> Result<Option<Stream>, DropReason> {
        let demux = &self.peers[peer].demux;
        let is_empty = header.payload(data).is_empty();
        let name = demux.bindings.name_of(header, data).or_else(|| self.name_by_payload_type(peer, header));
        let track = name.as_ref().and_then(|name| demux.tracks.get(&name.mid).copied());
        let (Some(name), Some(track)) = (name, track) else {
            return if is_empty { Err(DropReason::PaddingOnly) } else { Ok(None) };
        };
        let known = &self.tracks[track];
        let Some(index) = known.encoding_named(&name.rid) else {
            return if name.rid.is_empty() { Ok(None) } else { Err(DropReason::UnknownSsrc) };
        };
        let is_repair = name.is_repair || known.repaired_form_of(header.payload_type).is_some();
        if is_empty && !is_repair {
            return Err(DropReason::PaddingOnly);
        }
        if !known.encodings[index].admits(now, header.ssrc) {
            return Err(DropReason::UnknownSsrc);
        }
        let form = if is_repair {
            known.repaired_form_of(header.payload_type)
        } else {
            known.form_of(header.payload_type)
        };
        let form = form.ok_or(DropReason::UnknownPayloadType)?;
        let before = self.rebind(now, (peer, track, index), header, form, is_repair);
        let demux = &mut self.peers[peer].demux;
        if let Some(before) = before {
            demux.streams.shift_remove(&before);
        }
        let stream = Stream { track, encoding: self.tracks[track].encodings[index].id, is_repair };
        demux.streams.insert(header.ssrc, stream);
        demux.bindings.remember(header.ssrc, StreamName { is_repair, ..name });
        Ok(Some(stream))
    }

    /// An encoding, or its repairs, come from this packet's SSRC from now on; the SSRC that was it before.
    fn rebind(
        &mut self,
        now: Instant,
        (peer, track, index): (usize, usize, usize),
        header: &RtpHeader,
        form: Form,
        is_repair: bool,
    ) -> Option<focus_units::Ssrc> {
        let reception = self.new_reception();
        let known = &mut self.tracks[track];
        let encoding = &mut known.encodings[index];
        if is_repair {
            let before = encoding.repair.as_ref().map(|repair| repair.ssrc);
            encoding.bind_repair(header.ssrc, form.clock_rate);
            return before;
        }
        let before = encoding.reception.as_ref().map(|reception| reception.ssrc);
        let publisher = &mut self.peers[peer];
        let mut around = Surroundings {
            keyframes: &mut publisher.keyframes,
            caches: &mut self.caches,
            agenda: &mut self.agenda,
        };
        encoding.bind(now, reception, header, form.clock_rate, &mut around);
        let number = encoding.index;
        for route in &known.routes {
            self.routes[*route].source_changed(number);
        }
        let event = known.bound(&known.encodings[index]);
        self.tell(event);
        self.tell_stream(track, index);
        before
    }

    /// The section whose packets don't say their mid, where it is the only one with this payload type.
    fn name_by_payload_type(&self, peer: usize, header: &RtpHeader) -> Option<StreamName> {
        let tracks = self.peers[peer].demux.tracks.values().map(|track| &self.tracks[*track]);
        let mut candidates = tracks.filter(|track| track.carries(header.payload_type));
        let only = candidates.next()?;
        if candidates.next().is_some() || only.spec.extensions.id_of(Extension::Mid).is_some() {
            return None;
        }
        Some(StreamName { mid: only.spec.mid.clone(), rid: String::new(), is_repair: false })
    }

    fn deliver(
        &mut self,
        now: Instant,
        peer: usize,
        stream: Stream,
        header: &RtpHeader,
        data: &[u8],
        size_bytes: usize,
    ) {
        let track = &mut self.tracks[stream.track];
        let form = if stream.is_repair {
            track.repaired_form_of(header.payload_type)
        } else {
            track.form_of(header.payload_type)
        };
        let Some(form) = form else {
            return self.drops.count(DropReason::UnknownPayloadType);
        };
        let descriptor_id = track.spec.extensions.id_of(Extension::DependencyDescriptor);
        let dependency_descriptor = header.element(data, descriptor_id);
        let level = track.spec.extensions.id_of(Extension::AudioLevel);
        let Some(index) = track.encodings.iter().position(|encoding| encoding.id == stream.encoding) else {
            return self.drops.count(DropReason::UnknownSsrc);
        };
        let encoding = &mut track.encodings[index];
        let arrival = Arrival {
            header,
            data,
            size_bytes,
            form,
            encoding: encoding.index,
            descriptor_id,
            dependency_descriptor,
        };
        let publisher = &mut self.peers[peer];
        let mut around = Surroundings {
            keyframes: &mut publisher.keyframes,
            caches: &mut self.caches,
            agenda: &mut self.agenda,
        };
        let mut resumed = false;
        let outcome = if stream.is_repair {
            encoding.receive_repair(now, arrival, &mut around)
        } else {
            resumed = encoding.resumes(now);
            if let Some(Ok(level)) = header.element(data, level).map(parse_audio_level) {
                encoding.level.received(level.level, level.voice);
            }
            encoding.receive(now, arrival, &mut around)
        };
        if resumed {
            let track = &self.tracks[stream.track];
            let event = track.bound(&track.encodings[index]);
            self.tell(event);
        }
        match outcome {
            Ok(packet) => {
                self.drops.add(DropReason::DescriptorMalformed, u64::from(packet.is_descriptor_unread));
                self.forward(now, stream.track, index, &packet);
            }
            Err(drop) => self.drops.count(drop),
        }
        if let Some(reception) = &self.tracks[stream.track].encodings[index].reception {
            self.agenda.plan(self.peers[peer].transport.id, reception.nacks.next_timeout());
        }
    }

    /// Hand a packet to the routes of its track, and to its mirrors.
    fn forward(&mut self, now: Instant, track: usize, encoding: usize, packet: &Rc<Packet>) {
        let reception = self.tracks[track].encodings[encoding].reception.as_ref();
        let highest_seq = reception.and_then(|reception| reception.statistics.highest_seq()).unwrap_or(0);
        self.drops.add(DropReason::PaddingOnly, u64::from(packet.is_padding()));
        self.forward_to_routes(now, track, packet, highest_seq);
        if !self.tracks[track].shares.is_empty() {
            self.pass_on(now, track, packet, highest_seq);
        }
    }

    /// Hand a packet to the routes that a track has here. `highest_seq` is that of its stream, this one included.
    pub fn forward_to_routes(&mut self, now: Instant, track: usize, packet: &Rc<Packet>, highest_seq: i64) {
        let routes = std::mem::take(&mut self.tracks[track].routes);
        let is_late = packet.facts.seq < highest_seq;
        for route in &routes {
            if packet.is_padding() {
                self.leave_out(now, *route, packet);
            } else if is_late && packet.facts.starts_key_frame {
                self.forward_late_key_frame(now, *route, packet);
            } else {
                self.forward_to(now, *route, packet);
            }
        }
        self.tracks[track].routes = routes;
    }

    /// A key frame's first packet comes after others of it: who begins with it gets those as well.
    fn forward_late_key_frame(&mut self, now: Instant, route: usize, first: &Rc<Packet>) {
        let was_waiting = self.routes[route].waits_for(first.facts.encoding);
        self.forward_to(now, route, first);
        if !was_waiting || self.routes[route].waits_for(first.facts.encoding) {
            return;
        }
        let track = &mut self.tracks[self.routes[route].track];
        if let Origin::Mirror(mirror) = &mut track.origin {
            // Home sends them next.
            return mirror.begun(route);
        }
        let mut receptions = track.encodings.iter_mut().filter_map(|encoding| encoding.reception.as_mut());
        let reception = receptions.find(|reception| reception.id == first.reception);
        let later = reception.map(|reception| reception.after(now, first.facts.seq, &self.caches));
        for packet in later.into_iter().flatten() {
            self.forward_to(now, route, &packet);
        }
    }

    /// Let a packet leave to one subscriber, if it is one of those that flow; it may have to wait.
    pub fn forward_to(&mut self, now: Instant, route: usize, packet: &Rc<Packet>) {
        let index = self.routes[route].peer;
        if self.peers[index].departures.pacer.is_full() {
            self.make_room(now, index);
        }
        let can_send = self.can_send(index);
        if let Err(refused) = self.routes[route].decide(now, packet, can_send) {
            self.drops.count(refused.reason);
            if matches!(refused.reason, DropReason::CodecNotNegotiated | DropReason::TemporalLayer) {
                self.leave_out(now, route, packet);
            }
            if refused.wants_keyframe {
                self.request_keyframe(now, self.routes[route].track, packet.facts.encoding);
            }
            return;
        }
        if packet.facts.starts_key_frame {
            self.routes_changed(self.routes[route].track);
        }
        let active = self.routes[route].active_targets(packet);
        let flow = self.routes[route].spec.route;
        let waits = self.tracks[self.routes[route].track].kind() == Kind::Video;
        self.list(index);
        let departures = &mut self.peers[index].departures;
        let waiting = || Waiting { route, packet: Rc::clone(packet), active, is_left_out: false };
        if waits && departures.pacer.is_limited() {
            departures.pacer.wait(now, flow, packet.payload.len() + OVERHEAD_BYTES, waiting());
        } else {
            departures.boarded.push(Boarded::Media(now, waiting()));
        }
    }

    /// A packet is for nobody, and no loss: where others of its route wait, that waits behind them.
    fn leave_out(&mut self, now: Instant, route: usize, packet: &Rc<Packet>) {
        let index = self.routes[route].peer;
        self.make_room(now, index);
        let flow = self.routes[route].spec.route;
        let departures = &mut self.peers[index].departures;
        if !departures.holds(route, flow) {
            self.routes[route].close_up(packet);
            return;
        }
        self.list(index);
        let departures = &mut self.peers[index].departures;
        let waiting = Waiting { route, packet: Rc::clone(packet), active: None, is_left_out: true };
        if departures.pacer.holds(flow) {
            departures.pacer.wait(now, flow, 0, waiting);
        } else {
            departures.boarded.push(Boarded::Media(now, waiting));
        }
    }

    /// Something is sent again, as soon as it may be.
    pub fn resend(&mut self, now: Instant, route: usize, again: Again) {
        let index = self.routes[route].peer;
        let (flow, size_bytes) = (self.routes[route].spec.route, again.size_bytes());
        self.list(index);
        let departures = &mut self.peers[index].departures;
        let resend = Resend { route, again };
        if !departures.pacer.is_limited() {
            departures.boarded.push(Boarded::Resend(resend));
        } else if !departures.pacer.wait_resend(now, flow, size_bytes, resend) {
            self.drops.count(DropReason::SlowReceiver);
        }
    }

    /// A peer is to have something to flush.
    fn list(&mut self, index: usize) {
        let departures = &mut self.peers[index].departures;
        if !departures.is_listed {
            departures.is_listed = true;
            departures.lingers = departures.pacer.oldest().is_some();
            self.departing.push_back(index);
        }
    }
}
