//! The lite side of ICE (RFC 8445 section 2.5): answers checks, and adopts what the peer nominates.
//! Where we are the ones who check, Python does that: here is known which answers are waited for.
//!
//! Integrity comes first: before a check is authenticated, nothing is allocated, bound or refreshed for it.

use focus_plane::{Credentials, DropReason, LocalError};
use focus_units::{Instant, NS_PER_S, TransportId};
use rustc_hash::FxHashMap;

use crate::address::{Address, AddressKind};
use crate::allowance::Allowance;
use crate::consent::Appointments;
use crate::peer::Peer;
use crate::requests::Requests;
use crate::stun::{Attribute, BINDING, ErrorCode, MessageClass, StunMessage, write_error, write_success};

/// Addresses bound to one transport at once. A browser with several networks checks from a handful.
pub const MAX_ADDRESSES: usize = 16;

/// Errors answered to the unauthenticated, over all of them. Lower: under a flood, a client with outdated
/// credentials waits for its own timeout. Higher: we are of more use to who forges the address of a victim.
pub const MAX_REFUSALS_PER_S: u32 = 100;

/// What a STUN datagram came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckResult {
    /// An answer was appended.
    pub has_answer: bool,
    /// Why it was refused.
    pub drop: Option<DropReason>,
    /// The peer of this transport has nominated another pair, or the first.
    pub selected: Option<TransportId>,
    /// It answers a request that was sent for this transport.
    pub asked_by: Option<TransportId>,
}

/// ICE of all transports that share the port, and of those that have one of their own.
pub struct LiteAgent {
    consent_timeout_ns: i64,
    peers: FxHashMap<TransportId, Peer>,
    by_ufrag: FxHashMap<String, TransportId>,
    by_address: FxHashMap<Address, TransportId>,
    refusals: Allowance,
    appointments: Appointments,
    requests: Requests,
}

impl LiteAgent {
    /// An agent without peers. Whose checks stay away for `consent_timeout_s` is gone (RFC 7675 section 5.1).
    pub fn new(consent_timeout_s: f64) -> Self {
        Self {
            consent_timeout_ns: (consent_timeout_s * NS_PER_S as f64).round_ties_even() as i64,
            peers: FxHashMap::default(),
            by_ufrag: FxHashMap::default(),
            by_address: FxHashMap::default(),
            refusals: Allowance::new(MAX_REFUSALS_PER_S),
            appointments: Appointments::default(),
            requests: Requests::default(),
        }
    }

    /// Answer checks that name these credentials, on the port that transports share or on one of its own.
    ///
    /// # Errors
    ///
    /// The fragment is taken.
    pub fn add(
        &mut self,
        transport: TransportId,
        credentials: Credentials,
        has_own_port: bool,
    ) -> Result<(), LocalError> {
        let mut peer = Peer::new(transport, has_own_port);
        accept(&mut self.by_ufrag, &mut peer, credentials)?;
        self.peers.insert(transport, peer);
        Ok(())
    }

    /// Accept these beside the ones in use, until a check with these arrives. Who is gone stays so.
    ///
    /// # Errors
    ///
    /// The fragment is taken.
    pub fn restart(&mut self, transport: TransportId, credentials: Credentials) -> Result<(), LocalError> {
        let Some(peer) = self.peers.get_mut(&transport) else { return Ok(()) };
        if peer.password(&credentials.ufrag) == Some(&credentials.password) {
            return Ok(());
        }
        accept(&mut self.by_ufrag, peer, credentials)?;
        if peer.credentials.len() > 2 {
            let unused = peer.credentials.remove(1); // a restart that never came to a check
            self.by_ufrag.remove(&unused.ufrag);
        }
        Ok(())
    }

    /// Forget a peer.
    pub fn remove(&mut self, transport: TransportId) {
        self.requests.forget(transport);
        if let Some(peer) = self.peers.remove(&transport) {
            for retired in &peer.credentials {
                self.by_ufrag.remove(&retired.ufrag);
            }
            for address in &peer.addresses {
                self.by_address.remove(address);
            }
        }
    }

    /// Forget an address that nothing can come from any more: a connection was closed.
    pub fn forget(&mut self, address: Address) {
        if let Some(transport) = self.by_address.remove(&address)
            && let Some(peer) = self.peers.get_mut(&transport)
        {
            peer.unbind(address);
        }
    }

    /// Whose address this is; `None`: nobody has proved that it is theirs.
    #[inline]
    pub fn transport_of(&self, address: Address) -> Option<TransportId> {
        self.by_address.get(&address).copied()
    }

    /// Whether a transport has a port of its own. Who is gone has none.
    pub fn has_own_port(&self, transport: TransportId) -> bool {
        self.peers.get(&transport).is_some_and(|peer| peer.has_own_port)
    }

    /// Whether what comes from an address comes by a socket that is for this transport.
    pub fn is_heard_from(&self, transport: TransportId, address: Address) -> bool {
        self.peers.get(&transport).is_some_and(|peer| peer.is_heard_from(address))
    }

    /// The address of a host in numbers for who sends to it by UDP, on behalf of a transport.
    ///
    /// # Errors
    ///
    /// The host is not numeric, or the port is none.
    pub fn address_for(&self, transport: TransportId, host: &str, port: i64) -> Result<Address, LocalError> {
        let address = Address::over_udp(host, port)?;
        let is_apart = self.has_own_port(transport);
        Ok(if is_apart { address.carried_by(AddressKind::Own(transport)) } else { address })
    }

    /// Where to send to the peer; `None`: it has nominated nothing, or is gone.
    #[inline]
    pub fn selected(&self, transport: TransportId) -> Option<Address> {
        self.peers.get(&transport)?.selected
    }

    /// Where a handshake may go: before a nomination, to the newest address that was checked.
    ///
    /// Browsers begin DTLS after their first check that was answered, and nominate later. Both sides may use
    /// any valid pair meanwhile (RFC 8445 section 12.1).
    pub fn reachable(&self, transport: TransportId) -> Option<Address> {
        self.peers.get(&transport)?.reachable()
    }

    /// The peer, which has a selected address, has proved in another way that it sends from this one.
    pub fn move_to(&mut self, transport: TransportId, address: Address) {
        self.bind(transport, address);
        if let Some(peer) = self.peers.get_mut(&transport) {
            peer.selected = Some(address);
        }
    }

    /// Send to an address that we have checked ourselves; whether it is another than before. Who is gone stays so.
    pub fn select(&mut self, transport: TransportId, address: Address) -> bool {
        let is_news = self.peers.get(&transport).is_some_and(|peer| peer.selected != Some(address));
        if is_news {
            self.move_to(transport, address);
        }
        is_news
    }

    /// A request of ours goes to an address: wait for its answer from there.
    ///
    /// # Errors
    ///
    /// It is no request that ICE makes.
    pub fn ask(&mut self, transport: TransportId, address: Address, data: &[u8]) -> Result<(), LocalError> {
        let message = StunMessage::parse(data)
            .map_err(|error| LocalError(format!("a request that can't be read: {}", error.0)))?;
        if message.class != MessageClass::Request || message.method != BINDING {
            let StunMessage { class, method, .. } = message;
            return Err(LocalError(format!("a {class:?} of method {method} is asked of nobody")));
        }
        self.requests.add(transport, address, message.transaction_id);
        Ok(())
    }

    /// Whether a datagram is an answer that somebody waits for.
    pub fn is_awaited(&self, address: Address, data: &[u8]) -> bool {
        StunMessage::parse(data).is_ok_and(|message| {
            is_answer(&message) && self.requests.contains(address, message.transaction_id)
        })
    }

    /// Take a STUN datagram. What is to be answered is appended to `answer`, for the address it came from.
    pub fn handle(
        &mut self,
        now: Instant,
        address: Address,
        data: &[u8],
        answer: &mut Vec<u8>,
    ) -> CheckResult {
        let Ok(message) = StunMessage::parse(data) else { return dropped(DropReason::StunMalformed) };
        if message.class == MessageClass::Indication && self.by_address.contains_key(&address) {
            return CheckResult::default(); // RFC 8445 section 11: a keepalive, which nobody answers
        }
        if message.class != MessageClass::Request || message.method != BINDING {
            return self.answered(address, &message);
        }
        let Some(username) = message.attribute(Attribute::Username).filter(|_| message.is_signed()) else {
            return self.refuse(now, &message, ErrorCode::BadRequest, answer);
        };
        let checked = fragment(username).and_then(|ufrag| {
            let peer = self.peers.get(self.by_ufrag.get(ufrag)?)?;
            message.is_signed_with(peer.password(ufrag)?).then_some((peer.transport, ufrag))
        });
        match checked {
            // It is meant, but that is not where it listens: nothing that it said would come from there.
            Some((transport, _)) if !self.is_heard_from(transport, address) => {
                dropped(DropReason::UnknownPeer)
            }
            Some((transport, ufrag)) => self.check(now, transport, ufrag, address, &message, answer),
            None => self.refuse(now, &message, ErrorCode::Unauthenticated, answer),
        }
    }

    /// The transports whose peers have been silent for too long; nothing is sent to them any more.
    pub fn poll(&mut self, now: Instant) -> Vec<TransportId> {
        let mut lost = Vec::new();
        while let Some((at, transport)) = self.next_loss()
            && now >= at
        {
            self.appointments.pop();
            if let Some(peer) = self.peers.get_mut(&transport) {
                peer.checked_at = None;
                peer.appointment = None;
                peer.selected = None;
                for address in peer.addresses.drain(..) {
                    self.by_address.remove(&address);
                }
                lost.push(transport);
            }
        }
        lost.sort_unstable();
        lost
    }

    /// When `poll` may next have something to say.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        self.next_loss().map(|(at, _)| at)
    }

    /// Whose consent ends first, if no check comes.
    fn next_loss(&mut self) -> Option<(Instant, TransportId)> {
        while let Some((at, transport)) = self.appointments.next() {
            let peer = self.peers.get_mut(&transport).filter(|peer| peer.appointment == Some(at));
            let lost_at =
                peer.as_ref().and_then(|peer| peer.checked_at).map(|at| at.after_ns(self.consent_timeout_ns));
            if lost_at == Some(at) {
                return Some((at, transport));
            }
            self.appointments.pop();
            if let (Some(peer), Some(lost_at)) = (peer, lost_at) {
                peer.appointment = Some(lost_at);
                self.appointments.make(lost_at, transport);
            }
        }
        None
    }

    fn check(
        &mut self,
        now: Instant,
        transport: TransportId,
        ufrag: &str,
        address: Address,
        message: &StunMessage<'_>,
        answer: &mut Vec<u8>,
    ) -> CheckResult {
        let Some(peer) = self.peers.get_mut(&transport) else { return dropped(DropReason::UnknownPeer) };
        if message.attribute(Attribute::IceControlled).is_some() {
            // RFC 8445 section 7.3.1.1: a lite agent is always the controlled one.
            write_error(answer, message, ErrorCode::RoleConflict, peer.password(ufrag));
            return CheckResult { has_answer: true, ..dropped(DropReason::StunRoleConflict) };
        }
        while let Some(older) = peer.credentials.first().filter(|older| older.ufrag != ufrag) {
            self.by_ufrag.remove(&older.ufrag);
            peer.credentials.remove(0);
        }
        peer.checked_at = Some(now);
        let lost_at = now.after_ns(self.consent_timeout_ns);
        if peer.appointment.is_none_or(|at| lost_at < at) {
            peer.appointment = Some(lost_at);
            self.appointments.make(lost_at, transport);
        }
        write_success(answer, message, address, peer.password(ufrag).unwrap_or_default());
        self.bind(transport, address);
        let is_nominated = message.attribute(Attribute::UseCandidate).is_some();
        let is_news =
            is_nominated && self.peers.get_mut(&transport).is_some_and(|peer| peer.select(address, ufrag));
        CheckResult { has_answer: true, selected: is_news.then_some(transport), ..CheckResult::default() }
    }

    /// Who waits for what is no request. What nobody has asked for is nobody's.
    fn answered(&mut self, address: Address, message: &StunMessage<'_>) -> CheckResult {
        let asked_by =
            is_answer(message).then(|| self.requests.take(address, message.transaction_id)).flatten();
        if asked_by.is_none() {
            return dropped(DropReason::UnknownPeer);
        }
        CheckResult { asked_by, ..CheckResult::default() }
    }

    fn refuse(
        &mut self,
        now: Instant,
        message: &StunMessage<'_>,
        code: ErrorCode,
        answer: &mut Vec<u8>,
    ) -> CheckResult {
        if !self.refusals.admit(now) {
            return dropped(DropReason::StunRate);
        }
        write_error(answer, message, code, None);
        CheckResult { has_answer: true, ..dropped(DropReason::StunUnauthenticated) }
    }

    fn bind(&mut self, transport: TransportId, address: Address) {
        let owner = self.by_address.insert(address, transport);
        if owner == Some(transport) {
            return;
        }
        // The address was given to another socket, as after a redial behind a NAT.
        if let Some(owner) = owner.and_then(|owner| self.peers.get_mut(&owner)) {
            owner.unbind(address);
        }
        if let Some(evicted) = self.peers.get_mut(&transport).and_then(|peer| peer.bind(address)) {
            self.by_address.remove(&evicted);
        }
    }
}

fn accept(
    by_ufrag: &mut FxHashMap<String, TransportId>,
    peer: &mut Peer,
    credentials: Credentials,
) -> Result<(), LocalError> {
    if by_ufrag.contains_key(&credentials.ufrag) {
        return Err(LocalError(format!("ICE fragment of transport {} is taken", peer.transport.0)));
    }
    by_ufrag.insert(credentials.ufrag.clone(), peer.transport);
    peer.credentials.push(credentials);
    Ok(())
}

/// Our fragment in a user name, which stands before the peer's.
fn fragment(username: &[u8]) -> Option<&str> {
    std::str::from_utf8(username.split(|byte| *byte == b':').next()?).ok()
}

fn is_answer(message: &StunMessage<'_>) -> bool {
    message.method == BINDING && matches!(message.class, MessageClass::Success | MessageClass::Error)
}

fn dropped(reason: DropReason) -> CheckResult {
    CheckResult { drop: Some(reason), ..CheckResult::default() }
}

#[cfg(test)]
mod tests;
