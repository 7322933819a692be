//! The UDP sockets that some transports have for themselves, each on a port that the system chooses.
//!
//! Where we dial, two transports may go to one port of another focus: there and here they are told apart by these.

use std::net::IpAddr;

use focus_dataplane::Egress;
use focus_ice::AddressKind;
use focus_units::TransportId;
use rustc_hash::FxHashMap;

use crate::poller::Poller;
use crate::udp::{Fetched, UdpSocket};

/// The token of transport 0's port; those of others are above, by number.
pub(crate) const OWN_PORTS: u64 = 1 << 40;

/// By transport. One that is not here although it should be was refused: what is sent by it is lost.
pub(crate) struct OwnPorts {
    host: IpAddr,
    receive_buffer_bytes: usize,
    sockets: FxHashMap<TransportId, UdpSocket>,
}

impl OwnPorts {
    /// None yet. They will be on this address.
    pub(crate) fn new(host: IpAddr, receive_buffer_bytes: usize) -> Self {
        Self { host, receive_buffer_bytes, sockets: FxHashMap::default() }
    }

    /// Listen for a transport; false where the system has no port or no descriptor left.
    pub(crate) fn open(&mut self, transport: TransportId, poller: &Poller) -> bool {
        if self.sockets.contains_key(&transport) {
            return true; // the core will say that it is there already
        }
        let Ok(socket) = UdpSocket::bind(self.host, 0, self.receive_buffer_bytes) else { return false };
        if poller.add(socket.as_raw_fd(), OWN_PORTS + u64::from(transport.0)).is_err() {
            return false;
        }
        self.sockets.insert(transport, socket.owned_by(transport));
        true
    }

    /// Close all but some.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(TransportId) -> bool) {
        self.sockets.retain(|transport, _| is_kept(*transport));
    }

    /// Read what has come for whose token this is, without waiting: how many messages.
    pub(crate) fn fetch(&self, token: u64, fetched: &mut Fetched) -> usize {
        let transport = u32::try_from(token - OWN_PORTS).map(TransportId);
        let socket = transport.ok().and_then(|transport| self.sockets.get(&transport));
        socket.map_or(0, |socket| socket.fetch(fetched))
    }

    /// Send all messages that go by these: how many datagrams were not taken.
    pub(crate) fn send(&mut self, egress: &Egress) -> u64 {
        let mut blocked = 0;
        let mut written = None;
        for message in egress.messages() {
            let AddressKind::Own(transport) = message.to.kind() else { continue };
            if let Some(before) = written.replace(transport).filter(|before| *before != transport) {
                blocked += self.send_pushed(before, egress);
            }
            blocked += match self.sockets.get_mut(&transport) {
                Some(socket) => socket.push(egress, message),
                None => message.datagrams() as u64,
            };
        }
        blocked + written.map_or(0, |last| self.send_pushed(last, egress))
    }

    fn send_pushed(&mut self, transport: TransportId, egress: &Egress) -> u64 {
        self.sockets.get_mut(&transport).map_or(0, |socket| socket.send_pushed(egress))
    }
}

#[cfg(test)]
mod tests;
