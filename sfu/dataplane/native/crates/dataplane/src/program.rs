//! What engine and runtime have programmed: transports, tracks and routes, and the operations on them.

use std::sync::Arc;

use std::collections::VecDeque;

use focus_ice::LiteAgent;
use focus_plane::{
    Credentials, DropReason, Drops, Event, LocalError, Operation, SetRoute, SetTrack, SrtpProfile,
};
use focus_rtp::rtcp::{Bye, ReceiverReport, RtcpPacket};
use focus_srtp::Srtp;
use focus_units::{Instant, Kind, RouteId, Ssrc, TrackHandle, TransportId};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::agenda::Agenda;
use crate::binding::StreamName;
use crate::egress::Egress;
use crate::encoding::Encoding;
use crate::feedback_rows::FeedbackRows;
use crate::packet::ReceptionId;
use crate::peer::Peer;
use crate::random::Random;
use crate::reception::Surroundings;
use crate::reports::{FEEDBACK_SSRC, Unit, compounds};
use crate::resending::Caches;
use crate::route::Route;
use crate::track::{Change, Origin, Track};
use crate::trunk::Trunks;
use crate::upward::Upward;

/// By the ids that Python gave, in the order in which they were set.
type ByNumber<Id> = IndexMap<Id, usize, FxBuildHasher>;

/// Everything that lives in a plane. An operation that names what is gone does nothing.
#[allow(missing_docs)]
pub struct Program {
    pub peers: Slab<Peer>,
    pub tracks: Slab<Track>,
    /// Boxed: they are large, and the slab doubles.
    pub routes: Slab<Box<Route>>,
    pub peer_of: ByNumber<TransportId>,
    pub track_of: ByNumber<TrackHandle>,
    pub route_of: ByNumber<RouteId>,
    pub ice: LiteAgent,
    pub agenda: Agenda,
    pub upward: Upward,
    pub drops: Drops,
    pub caches: Caches,
    pub egress: Egress,
    pub rows: FeedbackRows,
    /// Where a dependency descriptor is rewritten.
    pub described: Vec<u8>,
    /// Peers with something in line.
    pub departing: VecDeque<usize>,
    pub random: Random,
    /// Ours, as a receiver.
    pub cname: String,
    /// Nobody else knows when we report.
    pub report_key: u64,
    /// To other workers.
    pub trunks: Trunks,
    /// Mirrors whose routes may want something else than home was told.
    pub rethinking: Vec<usize>,
    receptions: u32,
}

impl Program {
    /// Nothing is programmed yet.
    pub fn new(consent_timeout_s: f64, packet_cache_bytes: usize, mut random: Random) -> Self {
        // 96 bits of our own name as a receiver (RFC 7022 section 4.2).
        let cname = format!("{:08x}{:08x}{:08x}", random.next_u32(), random.next_u32(), random.next_u32());
        let report_key = u64::from(random.next_u32()) << 32 | u64::from(random.next_u32());
        Self::named(cname, report_key, consent_timeout_s, packet_cache_bytes, random)
    }

    /// As another, which is on the same thread: with its name, its times of reports, and its generator.
    pub fn beside(&self, consent_timeout_s: f64, packet_cache_bytes: usize) -> Self {
        let random = self.random.clone();
        Self::named(self.cname.clone(), self.report_key, consent_timeout_s, packet_cache_bytes, random)
    }

    fn named(
        cname: String,
        report_key: u64,
        consent_timeout_s: f64,
        packet_cache_bytes: usize,
        random: Random,
    ) -> Self {
        Self {
            peers: Slab::new(),
            tracks: Slab::new(),
            routes: Slab::new(),
            peer_of: ByNumber::default(),
            track_of: ByNumber::default(),
            route_of: ByNumber::default(),
            ice: LiteAgent::new(consent_timeout_s),
            agenda: Agenda::default(),
            upward: Upward::default(),
            drops: Drops::default(),
            caches: Caches::new(packet_cache_bytes),
            egress: Egress::default(),
            rows: FeedbackRows::default(),
            described: Vec::new(),
            departing: VecDeque::new(),
            random,
            cname,
            report_key,
            trunks: Trunks::default(),
            rethinking: Vec::new(),
            receptions: 0,
        }
    }

    /// Carry out an operation.
    ///
    /// # Errors
    ///
    /// It contradicts an earlier one.
    pub fn apply(&mut self, now: Instant, operation: Operation) -> Result<(), LocalError> {
        match operation {
            Operation::AddTransport { transport, credentials, own_port, .. } => {
                self.add_transport(transport, credentials, own_port)?;
            }
            Operation::SetCredentials { transport, credentials } => {
                if self.peer_of.contains_key(&transport) {
                    self.ice.restart(transport, credentials)?;
                }
            }
            Operation::InstallSrtp { transport, profile, receive_key, send_key } => {
                self.install_srtp(now, transport, profile, &receive_key, &send_key)?;
            }
            Operation::RemoveTransport { transport } => self.remove_transport(now, transport),
            Operation::SetTrack(spec) => self.set_track(now, spec)?,
            Operation::RemoveTrack { track } => self.remove_track(now, track),
            Operation::SetRoute(spec) => self.set_route(now, spec)?,
            Operation::RemoveRoute { route } => self.remove_route(now, route),
            Operation::RequestKeyframe { track, encoding } => {
                if let (Some(track), Ok(encoding)) = (self.track_of.get(&track), i8::try_from(encoding)) {
                    self.request_keyframe(now, *track, encoding);
                }
            }
            Operation::SendDatagram { transport, data } => self.send_datagram(transport, &data),
            Operation::SendStun { transport, host, port, data } => {
                self.send_stun(transport, (&host, port), &data)?;
            }
            Operation::SelectAddress { transport, host, port } => {
                self.select_address(now, transport, (&host, port))?;
            }
        }
        Ok(())
    }

    /// Somebody needs a key frame of an encoding; of one that does not flow there is nothing to ask.
    pub fn request_keyframe(&mut self, now: Instant, track: usize, encoding: i8) {
        let wanted = &self.tracks[track];
        let Ok(index) = usize::try_from(encoding) else { return };
        let Some(stream) = wanted.encodings.get(index) else { return };
        if wanted.kind() != Kind::Video {
            return;
        }
        match &wanted.origin {
            Origin::Mirror(_) => self.ask_keyframe(track, encoding),
            Origin::Peer(publisher) => {
                if let Some(reception) = stream.reception.as_ref().filter(|_| !stream.is_ended()) {
                    self.peers[*publisher].keyframes.request(now, reception.ssrc, &mut self.agenda);
                }
            }
        }
    }

    /// Send compounds to a peer.
    pub fn send_units(&mut self, peer: usize, units: &[Unit]) {
        let peer = &mut self.peers[peer];
        for compound in compounds(units) {
            let to = self.ice.selected(peer.transport.id);
            if let Err(drop) = peer.transport.send_rtcp(to, &compound, &mut self.egress) {
                self.drops.count(drop);
            }
        }
    }

    /// A name for a stream that begins.
    pub fn new_reception(&mut self) -> ReceptionId {
        self.receptions += 1;
        ReceptionId(self.receptions)
    }

    /// Whether media can be sent to a peer: there are keys, and an address.
    pub fn can_send(&self, peer: usize) -> bool {
        let transport = &self.peers[peer].transport;
        transport.is_secured() && self.ice.selected(transport.id).is_some()
    }

    fn add_transport(
        &mut self,
        id: TransportId,
        credentials: Credentials,
        has_own_port: bool,
    ) -> Result<(), LocalError> {
        if self.peer_of.contains_key(&id) {
            return Err(LocalError(format!("transport {} is there already", id.0)));
        }
        self.ice.add(id, credentials, has_own_port)?;
        let peer = self.peers.insert(Peer::new(id));
        self.peer_of.insert(id, peer);
        Ok(())
    }

    fn install_srtp(
        &mut self,
        now: Instant,
        id: TransportId,
        profile: SrtpProfile,
        receive_key: &[u8],
        send_key: &[u8],
    ) -> Result<(), LocalError> {
        let Some(&peer) = self.peer_of.get(&id) else { return Ok(()) };
        self.wake(now, peer);
        let session = Srtp::new(profile, receive_key, send_key)?;
        for (at, mut data) in self.peers[peer].transport.secure(session) {
            self.receive(at, peer, &mut data);
        }
        self.flush(now);
        Ok(())
    }

    fn remove_transport(&mut self, now: Instant, id: TransportId) {
        let Some(&peer) = self.peer_of.get(&id) else { return };
        // Nobody is there to hear of it.
        let routes: Vec<_> = self.peers[peer].routes.values().copied().collect();
        for route in routes {
            self.forget_route(route);
        }
        let tracks: Vec<_> = self.peers[peer].demux.tracks.values().copied().collect();
        for track in tracks {
            self.remove_track(now, self.tracks[track].handle());
        }
        self.departing.retain(|departing| *departing != peer);
        self.peers.remove(peer);
        self.peer_of.shift_remove(&id);
        self.ice.remove(id);
        self.agenda.cancel(id);
        self.upward.forget(id);
    }

    fn set_track(&mut self, now: Instant, spec: Box<SetTrack>) -> Result<(), LocalError> {
        let Some(&peer) = self.peer_of.get(&spec.transport) else { return Ok(()) };
        let replaced = self.peers[peer].demux.tracks.get(&spec.mid).map(|other| self.tracks[*other].handle());
        if let Some(replaced) = replaced.filter(|handle| *handle != spec.track) {
            self.remove_track(now, replaced);
        }
        let track = match self.track_of.get(&spec.track).copied() {
            None => {
                let handle = spec.track;
                let track = self.tracks.insert(Track::new(spec, Origin::Peer(peer)));
                self.track_of.insert(handle, track);
                self.name_streams(peer, track, Vec::new());
                track
            }
            Some(track) => {
                self.tracks[track].check(&spec)?;
                self.update_track(peer, track, spec);
                track
            }
        };
        debug_assert!(self.tracks.contains(track));
        for mut held in self.peers[peer].demux.bindings.release(None) {
            self.sort(held.at, peer, &held.header, &mut held.data, held.size_bytes);
        }
        self.flush(now);
        Ok(())
    }

    fn update_track(&mut self, peer: usize, track: usize, spec: Box<SetTrack>) {
        let change = self.tracks[track].update(spec);
        self.renumber(track, &change);
        let known = &self.tracks[track];
        if change.are_changed {
            for encoding in known.encodings.iter().filter(|encoding| !encoding.is_ended()) {
                if let Some(event) = known.bound(encoding) {
                    self.upward.tell(event);
                }
            }
        }
        self.name_streams(peer, track, change.gone);
        self.tell_streams(track);
    }

    /// A track is described anew: its routes translate by that, and know its encodings under their new numbers.
    pub fn renumber(&mut self, track: usize, change: &Change) {
        let known = &mut self.tracks[track];
        for route in &known.routes {
            let route = &mut self.routes[*route];
            route.retranslate(&known.spec);
            if let Some(numbers) = &change.renumbered {
                route.renumber(numbers);
            }
        }
        if let Some(numbers) = &change.renumbered {
            known.shares.iter_mut().for_each(|share| share.renumber(numbers));
        }
        self.routes_changed(track);
    }

    /// Take up what the SDP says of a track's SSRCs, and forget encodings that are gone.
    fn name_streams(&mut self, peer: usize, track: usize, gone: Vec<Encoding>) {
        let known = &self.tracks[track];
        let peer = &mut self.peers[peer];
        peer.demux.tracks.retain(|_, other| *other != track);
        for mut encoding in gone {
            peer.demux.forget(track, encoding.id);
            encoding.close(&mut Surroundings {
                keyframes: &mut peer.keyframes,
                caches: &mut self.caches,
                agenda: &mut self.agenda,
            });
        }
        let mid = &known.spec.mid;
        peer.demux.tracks.insert(mid.clone(), track);
        peer.demux.bindings.negotiated(&known.spec.extensions);
        for wanted in &known.spec.encodings {
            for (ssrc, is_repair) in [(wanted.ssrc, false), (wanted.rtx_ssrc, true)] {
                let Some(ssrc) = ssrc else { continue };
                let name = StreamName { mid: mid.clone(), rid: wanted.rid.clone(), is_repair };
                peer.demux.bindings.remember(ssrc, name);
                peer.demux.release_from_others(ssrc, track);
            }
        }
    }

    fn remove_track(&mut self, now: Instant, handle: TrackHandle) {
        let Some(track) = self.track_of.shift_remove(&handle) else { return };
        let routes: Vec<_> =
            self.tracks[track].routes.iter().map(|route| self.routes[*route].spec.route).collect();
        for route in routes {
            self.remove_route(now, route);
        }
        let mut removed = self.tracks.remove(track);
        let peer = match removed.origin {
            Origin::Peer(peer) => &mut self.peers[peer],
            Origin::Mirror(mirror) => return mirror.close(&mut self.caches),
        };
        if peer.demux.tracks.get(&removed.spec.mid) == Some(&track) {
            peer.demux.tracks.shift_remove(&removed.spec.mid);
        }
        for encoding in &mut removed.encodings {
            peer.demux.forget(track, encoding.id);
            encoding.close(&mut Surroundings {
                keyframes: &mut peer.keyframes,
                caches: &mut self.caches,
                agenda: &mut self.agenda,
            });
        }
    }

    fn set_route(&mut self, now: Instant, mut spec: Box<SetRoute>) -> Result<(), LocalError> {
        let (Some(&track), Some(&peer)) = (self.track_of.get(&spec.track), self.peer_of.get(&spec.transport))
        else {
            return Ok(());
        };
        self.wake(now, peer);
        self.reuse(&mut spec, track, peer);
        let known = &mut self.tracks[track];
        if let Some(&route) = self.route_of.get(&spec.route) {
            let route = &mut self.routes[route];
            let before = &route.spec;
            if (before.track, before.transport, before.ssrc, before.rtx_ssrc)
                != (spec.track, spec.transport, spec.ssrc, spec.rtx_ssrc)
            {
                let number = spec.route.0;
                return Err(LocalError(format!(
                    "route {number} has another track, transport or SSRC than before"
                )));
            }
            route.update(spec, &known.spec, &mut self.caches);
            return Ok(());
        }
        let (number, ssrc) = (spec.route, spec.ssrc);
        if ssrc == FEEDBACK_SSRC || self.peers[peer].routes.contains_key(&ssrc) {
            return Err(LocalError(format!("SSRC {} of route {} is taken", ssrc.0, number.0)));
        }
        let route = Route::new(spec, (track, &known.spec), peer, &mut self.random);
        let route = self.routes.insert(Box::new(route));
        self.route_of.insert(number, route);
        known.routes.push(route);
        self.peers[peer].routes.insert(ssrc, route);
        self.routes_changed(track);
        Ok(())
    }

    /// Let a route hold no copy of what its track and the peer's other routes hold as well.
    fn reuse(&self, spec: &mut SetRoute, track: usize, peer: usize) {
        let cname = &self.tracks[track].spec.cname;
        if spec.cname == *cname {
            spec.cname = Arc::clone(cname);
        }
        let mut others = self.peers[peer].routes.values().map(|route| &self.routes[*route].spec.formats);
        if let Some(formats) = others.find(|formats| **formats == spec.formats) {
            spec.formats = Arc::clone(formats);
        }
    }

    fn remove_route(&mut self, now: Instant, number: RouteId) {
        let Some(&route) = self.route_of.get(&number) else { return };
        self.flush(now);
        let removed = self.forget_route(route);
        if removed.packets_sent > 0 && self.can_send(removed.peer) {
            let ssrcs: Vec<Ssrc> = std::iter::once(removed.spec.ssrc).chain(removed.spec.rtx_ssrc).collect();
            let bye = vec![
                RtcpPacket::ReceiverReport(ReceiverReport { ssrc: FEEDBACK_SSRC, reports: Vec::new() }),
                RtcpPacket::Bye(Bye { ssrcs, reason: String::new() }),
            ];
            self.send_units(removed.peer, &[bye]);
        }
    }

    /// Take a route out of everything that knows it.
    fn forget_route(&mut self, route: usize) -> Box<Route> {
        self.forget_departures(route, DropReason::OtherLayer);
        let mut removed = self.routes.remove(route);
        self.route_of.shift_remove(&removed.spec.route);
        let track = &mut self.tracks[removed.track];
        track.routes.retain(|other| *other != route);
        if let Origin::Mirror(mirror) = &mut track.origin {
            mirror.forget_route(route);
        }
        self.routes_changed(removed.track);
        let peer = &mut self.peers[removed.peer];
        peer.routes.shift_remove(&removed.spec.ssrc);
        peer.departures.boarded.retain(|boarded| boarded.route() != route);
        if let Some(mut repeating) = removed.repeating.take() {
            repeating.close(&mut self.caches);
        }
        removed
    }

    fn send_datagram(&mut self, id: TransportId, data: &[u8]) {
        let Some(&peer) = self.peer_of.get(&id) else { return };
        let to = self.ice.reachable(id);
        if let Err(drop) = self.peers[peer].transport.send_datagram(to, data, &mut self.egress) {
            self.drops.count(drop);
        }
    }

    fn send_stun(&mut self, id: TransportId, to: (&str, i64), data: &[u8]) -> Result<(), LocalError> {
        if !self.peer_of.contains_key(&id) {
            return Ok(());
        }
        let to = self.ice.address_for(id, to.0, to.1)?;
        self.ice.ask(id, to, data)?;
        self.egress.push_datagram(to, data);
        Ok(())
    }

    fn select_address(
        &mut self,
        now: Instant,
        id: TransportId,
        address: (&str, i64),
    ) -> Result<(), LocalError> {
        let Some(&peer) = self.peer_of.get(&id) else { return Ok(()) };
        let address = self.ice.address_for(id, address.0, address.1)?;
        if self.ice.select(id, address) {
            self.wake(now, peer);
            self.upward.tell(Event::PairSelected { transport: id });
        }
        Ok(())
    }

    /// Tell Python.
    pub fn tell(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.upward.tell(event);
        }
    }
}
