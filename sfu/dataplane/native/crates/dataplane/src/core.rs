//! The data plane without its socket: datagrams in, datagrams out, time as an argument.

use focus_ice::{Address, Allowance, CheckResult};
use focus_plane::{
    DropReason, Event, LocalError, Operation, PAUSED, Pacing, Probe, SetTrack, TARGETS_STALE_MS, Target,
};
use focus_units::{Instant, NS_PER_S, TrackHandle, TransportId, earliest};

use crate::egress::Egress;
use crate::program::Program;
use crate::random::Random;
use crate::stats::Stats;
use crate::trunk::{Crossing, Link};
use crate::upward::Batch;
use crate::wire::{MAX_DATAGRAM_BYTES, WireProtocol, protocol_of};

/// Packets from unknown addresses that are looked at, over all of them. Lower: under a flood, who has changed
/// its port waits for its next check. Higher: a flood costs more.
pub const MAX_STRAYS_PER_S: u32 = 200;

/// What a plane is told at its start.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // as in sfu/config.py
pub struct Config {
    pub consent_timeout_s: f64,
    pub packet_cache_bytes: usize,
}

/// All transports, tracks and routes of one port, and of those that transports have for themselves.
///
/// What is to be sent stands in `egress` after `flush`. Whatever a remote party sends is counted where it is
/// refused, and never panics. Call `poll` when `next_timeout` has come, `drain` when `has_output` says so.
pub struct PlaneCore {
    program: Program,
    consent_timeout_ns: i64,
    ice_due_at: Option<Instant>,
    strays: Allowance,
    targets_at: Option<Instant>,
    is_stale: bool,
    answer: Vec<u8>,
}

impl PlaneCore {
    /// Nothing is programmed yet.
    pub fn new(config: Config, random: Random) -> Self {
        Self::of(Program::new(config.consent_timeout_s, config.packet_cache_bytes, random), config)
    }

    /// Another on this thread, for what one core would do and several shall: it says the same of itself as this one,
    /// and draws from the same random numbers.
    #[must_use]
    pub fn beside(&self, config: Config) -> Self {
        Self::of(self.program.beside(config.consent_timeout_s, config.packet_cache_bytes), config)
    }

    fn of(program: Program, config: Config) -> Self {
        Self {
            program,
            consent_timeout_ns: (config.consent_timeout_s * NS_PER_S as f64).round_ties_even() as i64,
            ice_due_at: None,
            strays: Allowance::new(MAX_STRAYS_PER_S),
            targets_at: None,
            is_stale: false,
            answer: Vec::new(),
        }
    }

    /// What is to be sent, in order. The caller clears it.
    pub fn egress(&mut self) -> &mut Egress {
        &mut self.program.egress
    }

    /// Whether `drain` would return something.
    pub fn has_output(&self) -> bool {
        self.program.upward.has_output()
    }

    /// Everything that came up since the last call.
    pub fn drain(&mut self) -> Batch {
        self.program.upward.take()
    }

    /// All counters now.
    pub fn stats(&mut self, now: Instant) -> Stats {
        self.program.stats(now)
    }

    /// Packets that were to be sent ended in the shell.
    pub fn count_drops(&mut self, reason: DropReason, packets: u64) {
        self.program.drops.add(reason, packets);
    }

    /// Whether a peer has proved that an address is its own.
    pub fn is_known(&self, address: Address) -> bool {
        self.program.ice.transport_of(address).is_some()
    }

    /// Whether a packet from an address that nobody has checked may be of a peer that has moved.
    pub fn may_be_moved(&self, now: Instant, from: Address, data: &[u8]) -> bool {
        self.program.may_have_sent(now, from, data).next().is_some()
    }

    /// Whether a transport lives that has a port of its own.
    pub fn has_own_port(&self, transport: TransportId) -> bool {
        self.program.ice.has_own_port(transport)
    }

    /// There is none for a transport that was to have one. Of one that has ended meanwhile, nothing.
    pub fn refuse_port(&mut self, transport: TransportId) {
        if self.has_own_port(transport) {
            self.program.upward.tell(Event::PortRefused { transport });
        }
    }

    /// Whether a datagram answers a request of ours.
    pub fn is_awaited(&self, address: Address, data: &[u8]) -> bool {
        self.program.ice.is_awaited(address, data)
    }

    /// Nothing comes from an address any more, nor reaches it: a connection has ended.
    pub fn forget(&mut self, address: Address) {
        self.program.ice.forget(address);
    }

    /// Carry out operations in order, and what is due.
    ///
    /// # Errors
    ///
    /// An operation contradicts an earlier one; those behind it are not carried out.
    pub fn apply(
        &mut self,
        now: Instant,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<(), LocalError> {
        self.carry_out(now, operations)?;
        self.poll(now);
        Ok(())
    }

    /// As `apply`, and what is due waits for `poll`: others may want to be heard before.
    ///
    /// # Errors
    ///
    /// An operation contradicts an earlier one; those behind it are not carried out.
    pub fn carry_out(
        &mut self,
        now: Instant,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<(), LocalError> {
        self.flush(now);
        operations.into_iter().try_for_each(|operation| self.program.apply(now, operation))
    }

    /// Layer choices; routes not named keep theirs.
    ///
    /// Key frames that they need are asked for by the next `poll`, which is due at once.
    pub fn set_targets(&mut self, now: Instant, targets: impl IntoIterator<Item = Target>) {
        self.targets_at = Some(now);
        if std::mem::take(&mut self.is_stale) {
            self.aim_all(now, |program, route| program.routes[route].recover());
        }
        for target in targets {
            let Some(&route) = self.program.route_of.get(&target.route) else { continue };
            if target.encoding == PAUSED {
                self.program.forget_departures(route, DropReason::OtherLayer);
            }
            let wanted = self.program.routes[route].set_target(target.encoding, target.temporal);
            self.request(now, route, wanted);
        }
    }

    /// How transports are sent to; the next `poll` is due at once.
    pub fn set_pacing(&mut self, now: Instant, pacing: impl IntoIterator<Item = Pacing>) {
        self.flush(now);
        for row in pacing {
            let Some(peer) = self.program.peer_of.get(&row.transport) else { continue };
            let pacer = &mut self.program.peers[*peer].departures.pacer;
            pacer.set_pacing(now, row.rate_bps, row.padding_bps, row.queue_limit_ms.into());
            self.program.agenda.plan(row.transport, Some(now));
        }
    }

    /// Measure what paths carry; the next `poll` is due at once.
    pub fn probe(&mut self, now: Instant, probes: impl IntoIterator<Item = Probe>) {
        self.flush(now);
        for row in probes {
            let Some(peer) = self.program.peer_of.get(&row.transport) else { continue };
            let pacer = &mut self.program.peers[*peer].departures.pacer;
            pacer.probe(now, row.cluster, row.rate_bps, row.size_bytes);
            self.program.agenda.plan(row.transport, Some(now));
        }
    }

    /// What subscribers have said of packets since the last call, as rows of `FEEDBACK_DTYPE`.
    pub fn feedback(&mut self) -> Vec<u8> {
        self.program.rows.take()
    }

    /// Take a datagram from the socket. What is to be sent of it waits for `flush`.
    ///
    /// `now` is when it arrived, as exactly as can be told; it may lie before the last `poll`. `data` is
    /// decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, from: Address, data: &mut [u8]) {
        if data.len() > MAX_DATAGRAM_BYTES {
            return self.program.drops.count(DropReason::TooLarge);
        }
        let protocol = protocol_of(data);
        if protocol == WireProtocol::Stun {
            return self.handle_stun(now, from, data);
        }
        let peer = self.program.ice.transport_of(from).and_then(|id| self.program.peer_of.get(&id).copied());
        let Some(peer) = peer else { return self.handle_stray(now, from, data, protocol) };
        let transport = &mut self.program.peers[peer].transport;
        transport.received(now, data.len());
        match protocol {
            WireProtocol::Rtp | WireProtocol::Rtcp => self.program.receive(now, peer, data),
            WireProtocol::Dtls => {
                if !self.program.upward.pass_datagram(transport.id, data) {
                    self.program.drops.count(DropReason::DtlsQueueFull);
                }
            }
            WireProtocol::Stun | WireProtocol::Unknown => {
                self.program.drops.count(DropReason::UnknownProtocol);
            }
        }
    }

    /// Send what may leave now: it stands in `egress` then.
    pub fn flush(&mut self, now: Instant) {
        self.program.flush(now);
    }

    /// As `flush`, until about so many bytes stand in `egress`: repeat it while something `is_departing`.
    pub fn flush_within(&mut self, now: Instant, limit_bytes: usize) {
        self.program.flush_within(now, limit_bytes);
    }

    /// Whether something waits for `flush`.
    pub fn is_departing(&self) -> bool {
        !self.program.departing.is_empty()
    }

    /// Do what is due; what is to be sent stands in `egress` then.
    pub fn poll(&mut self, now: Instant) {
        self.flush(now);
        if self.ice_due_at.is_some_and(|due_at| now >= due_at) {
            for transport in self.program.ice.poll(now) {
                self.program.upward.tell(Event::ConsentLost { transport });
            }
            self.ice_due_at = self.program.ice.next_timeout();
        }
        self.fall_back(now);
        // Whoever polls offers it anew.
        self.program.trunks.retry_at.take_if(|retry_at| now >= *retry_at);
        while let Some(transport) = self.program.agenda.pop_due(now) {
            let Some(&peer) = self.program.peer_of.get(&transport) else { continue };
            self.program.poll_peer(now, peer);
            let next = self.program.peer_timeout(peer);
            self.program.agenda.plan(transport, next);
        }
    }

    /// Take the lowest encoding that flows of each track, if nobody has chosen for too long. `poll` does so as well.
    pub fn fall_back(&mut self, now: Instant) {
        if self.stale_at().is_none_or(|stale_at| now < stale_at) {
            return;
        }
        self.is_stale = true;
        self.aim_all(now, |program, route| {
            let lowest = program.tracks[program.routes[route].track].lowest_flowing(now);
            program.routes[route].fall_back(lowest)
        });
        self.program.ask_lowest();
    }

    /// When `poll` next has something to do.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        let retry_at = self.program.trunks.retry_at;
        earliest([self.program.agenda.next_timeout(), self.ice_due_at, self.stale_at(), retry_at])
    }

    /// What another worker must know of a track of ours to have a mirror of it; `None`: there is no such track.
    pub fn describe(&self, track: TrackHandle) -> Option<Box<SetTrack>> {
        self.program.describe(track)
    }

    /// Have a mirror of a track that lives on another worker, or take up how it is described now. It goes by
    /// `RemoveTrack`, as any track does.
    ///
    /// # Errors
    ///
    /// It contradicts what was said before.
    pub fn set_mirror(&mut self, now: Instant, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError> {
        self.flush(now);
        self.program.set_mirror(spec, home)
    }

    /// Another worker has a mirror of a track of ours from now on.
    pub fn share(&mut self, track: TrackHandle, with: usize) {
        self.program.share(track, with);
    }

    /// Another worker has no mirror of a track of ours any more.
    pub fn unshare(&mut self, track: TrackHandle, with: usize) {
        self.program.unshare(track, with);
    }

    /// Say to another worker what there is to say, as far as there is room.
    ///
    /// Call it after each turn, for every worker that there is a trunk to.
    pub fn hand_over(&mut self, now: Instant, to: usize, link: &mut impl Link) {
        self.program.tell_wants();
        self.program.hand_over(now, to, link);
    }

    /// Take what another worker says. What is to be sent of it waits for `flush`.
    pub fn take_crossing(&mut self, now: Instant, from: usize, crossing: Crossing) {
        match crossing {
            Crossing::Stream(told) => self.program.take_stream(now, &told),
            Crossing::Packet(carried) => self.program.take_carried(now, *carried),
            Crossing::Lowest { track, encoding } => self.take_lowest(now, track, encoding),
            asked => self.program.answer(now, from, &asked),
        }
    }

    /// Home says which encoding of a mirror would do while nobody chooses.
    fn take_lowest(&mut self, now: Instant, track: TrackHandle, lowest: Option<i8>) {
        let Some(&track) = self.program.track_of.get(&track).filter(|_| self.is_stale) else { return };
        for route in self.program.tracks[track].routes.clone() {
            let wanted = self.program.routes[route].fall_back(lowest);
            self.request(now, route, wanted);
        }
    }

    fn stale_at(&self) -> Option<Instant> {
        if self.is_stale || self.program.routes.is_empty() {
            return None;
        }
        self.targets_at.map(|at| at.after_ms(TARGETS_STALE_MS))
    }

    fn aim_all(&mut self, now: Instant, mut aim: impl FnMut(&mut Program, usize) -> Option<i8>) {
        let routes: Vec<usize> = self.program.route_of.values().copied().collect();
        for route in routes {
            let wanted = aim(&mut self.program, route);
            self.request(now, route, wanted);
        }
    }

    fn request(&mut self, now: Instant, route: usize, wanted: Option<i8>) {
        let track = self.program.routes[route].track;
        self.program.routes_changed(track);
        if let Some(encoding) = wanted {
            self.program.request_keyframe(now, track, encoding);
        }
    }

    /// Take a packet from an address that nobody has checked.
    ///
    /// A peer whose NAT gave it another port goes on sending, and checks seconds later. A packet that only it
    /// can have made moves it at once (packet rule 9).
    fn handle_stray(&mut self, now: Instant, from: Address, data: &mut [u8], protocol: WireProtocol) {
        let is_media = matches!(protocol, WireProtocol::Rtp | WireProtocol::Rtcp);
        if is_media && self.strays.admit(now) {
            let size_bytes = data.len();
            let is_somebodys = self.program.receive_stray(now, from, data, |program, peer| {
                let transport = &mut program.peers[peer].transport;
                transport.received(now, size_bytes);
                program.ice.move_to(transport.id, from);
                program.upward.tell(Event::PairSelected { transport: transport.id });
            });
            if is_somebodys {
                return;
            }
        }
        self.program.drops.count(DropReason::UnknownPeer);
    }

    fn handle_stun(&mut self, now: Instant, from: Address, data: &[u8]) {
        self.answer.clear();
        let CheckResult { drop, selected, asked_by, .. } =
            self.program.ice.handle(now, from, data, &mut self.answer);
        if let Some(drop) = drop {
            self.program.drops.count(drop);
        } else {
            let lost_at = now.after_ns(self.consent_timeout_ns);
            self.ice_due_at = earliest([self.ice_due_at, Some(lost_at)]);
            let peer = self.program.ice.transport_of(from).and_then(|id| self.program.peer_of.get(&id));
            if let Some(peer) = peer {
                self.program.peers[*peer].transport.received(now, data.len());
            }
        }
        if let Some(transport) = selected {
            self.program.upward.tell(Event::PairSelected { transport });
            if let Some(peer) = self.program.peer_of.get(&transport).copied() {
                self.program.wake(now, peer);
            }
        }
        if let Some(transport) = asked_by {
            self.program.upward.pass_response(transport, from, data);
        }
        if !self.answer.is_empty() {
            self.program.egress.push_datagram(from, &self.answer);
        }
    }
}
