//! One peer as ICE knows it.

use focus_plane::Credentials;
use focus_units::{Instant, TransportId};

use crate::address::{Address, AddressKind};
use crate::agent::MAX_ADDRESSES;

/// Who has credentials of ours, and the addresses it has proved to be at.
pub(crate) struct Peer {
    pub(crate) transport: TransportId,
    /// It is heard on a socket of its own, and on no other.
    pub(crate) has_own_port: bool,
    /// The ones in use first; at most two, during an ICE restart.
    pub(crate) credentials: Vec<Credentials>,
    /// The oldest first.
    pub(crate) addresses: Vec<Address>,
    pub(crate) selected: Option<Address>,
    pub(crate) selected_ufrag: String,
    /// `None`: no consent (yet, or any more).
    pub(crate) checked_at: Option<Instant>,
    /// When consent is looked at next.
    pub(crate) appointment: Option<Instant>,
}

impl Peer {
    pub(crate) fn new(transport: TransportId, has_own_port: bool) -> Self {
        Self {
            transport,
            has_own_port,
            credentials: Vec::new(),
            addresses: Vec::new(),
            selected: None,
            selected_ufrag: String::new(),
            checked_at: None,
            appointment: None,
        }
    }

    /// Whether what comes from an address comes by a socket that is for it.
    pub(crate) fn is_heard_from(&self, address: Address) -> bool {
        match address.kind() {
            AddressKind::Own(transport) => self.has_own_port && transport == self.transport,
            AddressKind::Udp | AddressKind::Tcp(_) => !self.has_own_port,
        }
    }

    /// The password behind a fragment.
    pub(crate) fn password(&self, ufrag: &str) -> Option<&str> {
        self.credentials.iter().find(|one| one.ufrag == ufrag).map(|one| one.password.as_str())
    }

    /// Where a handshake may go: before a nomination, to the newest address that was checked.
    pub(crate) fn reachable(&self) -> Option<Address> {
        self.selected.or_else(|| self.addresses.last().copied())
    }

    /// Note an address; the one that has to go for it, where there were too many.
    pub(crate) fn bind(&mut self, address: Address) -> Option<Address> {
        self.addresses.push(address);
        if self.addresses.len() <= MAX_ADDRESSES {
            return None;
        }
        let oldest = self.addresses.iter().position(|one| Some(*one) != self.selected)?;
        Some(self.addresses.remove(oldest))
    }

    /// An address is somebody else's now, or nobody's.
    pub(crate) fn unbind(&mut self, address: Address) {
        self.addresses.retain(|one| *one != address);
        if self.selected == Some(address) {
            self.selected = None;
        }
    }

    /// Adopt a nominated address; whether that is news.
    pub(crate) fn select(&mut self, address: Address, ufrag: &str) -> bool {
        if self.selected == Some(address) && self.selected_ufrag == ufrag {
            return false;
        }
        self.selected = Some(address);
        ufrag.clone_into(&mut self.selected_ufrag);
        true
    }
}
