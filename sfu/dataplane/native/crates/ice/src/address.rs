//! Where a peer's datagrams come from and go to.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use focus_plane::LocalError;
use focus_units::TransportId;

/// What carries the datagrams of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// The UDP socket that transports share.
    Udp,
    /// The UDP socket that a transport has for itself.
    Own(TransportId),
    /// A TCP connection by its number, which is never used again (RFC 6544).
    Tcp(u32),
}

/// Host and port of a peer, and what carries its datagrams.
///
/// An IPv4-mapped IPv6 address is the IPv4 address. One host and port over two connections, or two sockets of ours, are
/// two addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// IPv4 stands IPv4-mapped here, so that both families have one form.
    ip: [u8; 16],
    /// The interface of a link-local IPv6 address, else 0.
    scope: u32,
    port: u16,
    kind: AddressKind,
}

impl Address {
    /// The address of a peer at the other end of a TCP connection.
    pub fn over_tcp(peer: SocketAddr, connection: u32) -> Self {
        Self { kind: AddressKind::Tcp(connection), ..Self::from(peer) }
    }

    /// That of a host in numbers, without an interface, by UDP.
    ///
    /// # Errors
    ///
    /// The host is not numeric, or the port is none.
    pub fn over_udp(host: &str, port: i64) -> Result<Self, LocalError> {
        let Some(port) = u16::try_from(port).ok().filter(|port| *port > 0) else {
            return Err(LocalError(format!("an address with port {port}")));
        };
        let host: IpAddr =
            host.parse().map_err(|_| LocalError("an address whose host is not numeric".into()))?;
        Ok(Self::from(SocketAddr::new(host, port)))
    }

    /// The same host and port, by something else.
    #[must_use]
    pub const fn carried_by(self, kind: AddressKind) -> Self {
        Self { kind, ..self }
    }

    /// What carries its datagrams.
    pub const fn kind(&self) -> AddressKind {
        self.kind
    }

    /// The host.
    pub fn ip(&self) -> IpAddr {
        let ip = Ipv6Addr::from(self.ip);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The form for a socket of both families, where IPv4 is IPv4-mapped.
    pub fn to_ipv6(&self) -> SocketAddrV6 {
        SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self { ip: ip.octets(), scope, port: address.port(), kind: AddressKind::Udp }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => Self::from((ip, address.port)),
            IpAddr::V6(_) => Self::V6(address.to_ipv6()),
        }
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Three words for the hasher of a table that is asked for every datagram; interfaces need not tell apart.
        let [high, low] =
            [0, 8].map(|at| self.ip[at..].first_chunk().map_or(0, |half| u64::from_be_bytes(*half)));
        let carrier = match self.kind {
            AddressKind::Udp => 0,
            AddressKind::Own(TransportId(transport)) => u64::from(transport) << 18 | 1 << 17,
            AddressKind::Tcp(connection) => u64::from(connection) << 18 | 1 << 16,
        };
        state.write_u64(high);
        state.write_u64(low);
        state.write_u64(carrier | u64::from(self.port));
    }
}

impl fmt::Debug for Address {
    /// Nothing: an address names a person, and belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustc_hash::FxHashSet;

    use super::*;

    fn parsed(text: &str) -> SocketAddr {
        text.parse().expect("it is an address")
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped = Address::from(parsed("[::ffff:192.0.2.1]:5000"));
        assert_eq!(mapped, Address::from(parsed("192.0.2.1:5000")));
        assert_eq!(SocketAddr::from(mapped), parsed("192.0.2.1:5000"));
        assert_eq!(SocketAddr::V6(mapped.to_ipv6()), parsed("[::ffff:192.0.2.1]:5000"));
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let address = parsed("[fe80::1%3]:5000");
        assert_eq!(SocketAddr::from(Address::from(address)), address);
        assert_ne!(Address::from(address), Address::from(parsed("[fe80::1%4]:5000")));
    }

    #[test]
    fn one_host_and_port_over_two_carriers_are_two_addresses() {
        let peer = parsed("192.0.2.1:5000");
        let own = [0, 1].map(|transport| AddressKind::Own(TransportId(transport)));
        let kinds = [AddressKind::Udp, AddressKind::Tcp(0), AddressKind::Tcp(1), own[0], own[1]];
        let all = kinds.map(|kind| Address::from(peer).carried_by(kind));
        assert_eq!(all.iter().collect::<FxHashSet<_>>().len(), 5);
        assert_eq!(all.map(|address| address.kind()), kinds);
        assert_eq!(all[2], Address::over_tcp(peer, 1));
        assert!(all.iter().all(|address| (address.ip(), address.port()) == (peer.ip(), 5000)));
    }

    #[test]
    fn an_address_over_udp_is_one_that_datagrams_come_from() {
        for (host, port) in [("192.0.2.1", 1), ("::ffff:192.0.2.1", 65_535), ("2001:DB8:0::1", 5_000)] {
            let ip: IpAddr = host.parse().expect("it is a host");
            let from = Address::from(SocketAddr::new(ip, u16::try_from(port).expect("it is a port")));
            assert_eq!(Address::over_udp(host, port), Ok(from));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for host in ["", "localhost", "192.0.2", "192.0.2.01", "fe80::1%3", "[::1]", " 192.0.2.1"] {
            assert!(Address::over_udp(host, 5_000).is_err(), "{host}");
        }
        for port in [0, -1, 65_536, i64::MAX, i64::MIN] {
            assert!(Address::over_udp("192.0.2.1", port).is_err(), "{port}");
        }
    }

    #[test]
    fn an_address_is_not_told_in_logs() {
        assert_eq!(format!("{:?}", Address::from(parsed("192.0.2.1:5000"))), "Address(..)");
    }

    proptest! {
        #[test]
        fn an_address_survives(address: SocketAddr) {
            let expected = match address.ip().to_canonical() {
                IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
                IpAddr::V6(ip) => match address {
                    SocketAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id())),
                    SocketAddr::V4(_) => address,
                },
            };
            prop_assert_eq!(SocketAddr::from(Address::from(address)), expected);
        }
    }
}
