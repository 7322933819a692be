//! Socket addresses as the kernel writes them (`struct sockaddr_in`, `struct sockaddr_in6`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use focus_ice::Address;

const IPV4_BYTES: usize = 16;
const IPV6_BYTES: usize = 28;
const IPV4: u16 = libc::AF_INET as u16;
const IPV6: u16 = libc::AF_INET6 as u16;

/// The name of one end of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketName {
    bytes: [u8; IPV6_BYTES],
    len: usize,
}

impl SocketName {
    /// The name of a host and port.
    pub(crate) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::of_ipv4(v4),
            SocketAddr::V6(v6) => Self::of_ipv6(v6),
        }
    }

    /// The name of a peer for a socket of its family; IPv6 sockets know IPv4 peers as IPv4-mapped ones. `None`:
    /// a socket of IPv4 reaches no peer of IPv6.
    pub(crate) fn of_peer(address: Address, socket_is_ipv6: bool) -> Option<Self> {
        if socket_is_ipv6 {
            return Some(Self::of_ipv6(address.to_ipv6()));
        }
        match address.ip() {
            IpAddr::V4(ip) => Some(Self::of_ipv4(SocketAddrV4::new(ip, address.port()))),
            IpAddr::V6(_) => None,
        }
    }

    /// Who that is; `None`: neither of IPv4 nor IPv6.
    pub(crate) fn address(&self) -> Option<Address> {
        let port = u16::from_be_bytes(self.field(2)?);
        let address = match u16::from_ne_bytes(self.field(0)?) {
            IPV4 => SocketAddr::from((Ipv4Addr::from(self.field::<4>(4)?), port)),
            IPV6 => {
                let ip = Ipv6Addr::from(self.field::<16>(8)?);
                SocketAddr::V6(SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(self.field(24)?)))
            }
            _ => return None,
        };
        Some(Address::from(address))
    }

    /// As the kernel reads it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Where the kernel may write a name.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The kernel has written so many bytes, or had more to write.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(IPV6_BYTES);
    }

    fn of_ipv4(address: SocketAddrV4) -> Self {
        let mut name = Self { bytes: [0; IPV6_BYTES], len: IPV4_BYTES };
        name.bytes[0..2].copy_from_slice(&IPV4.to_ne_bytes());
        name.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        name.bytes[4..8].copy_from_slice(&address.ip().octets());
        name
    }

    fn of_ipv6(address: SocketAddrV6) -> Self {
        let mut name = Self { bytes: [0; IPV6_BYTES], len: IPV6_BYTES };
        name.bytes[0..2].copy_from_slice(&IPV6.to_ne_bytes());
        name.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        name.bytes[8..24].copy_from_slice(&address.ip().octets());
        name.bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
        name
    }

    fn field<const BYTES: usize>(&self, at: usize) -> Option<[u8; BYTES]> {
        self.bytes().get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SocketAddr {
        text.parse().expect("it is an address")
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for text in ["192.0.2.1:5000", "[2001:db8::1]:5000", "[fe80::1%3]:9"] {
            assert_eq!(SocketName::new(parsed(text)).address(), Some(Address::from(parsed(text))));
        }
    }

    #[test]
    fn a_socket_of_ipv6_knows_peers_of_ipv4_as_mapped_ones() {
        let peer = Address::from(parsed("192.0.2.1:5000"));
        let name = SocketName::of_peer(peer, true).expect("it reaches all");
        assert_eq!(name.bytes()[8..24], Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
        assert_eq!(name.address(), Some(peer));
    }

    #[test]
    fn a_socket_of_ipv4_reaches_no_peer_of_ipv6() {
        assert!(SocketName::of_peer(Address::from(parsed("[2001:db8::1]:5000")), false).is_none());
        assert!(SocketName::of_peer(Address::from(parsed("192.0.2.1:5000")), false).is_some());
    }

    #[test]
    fn a_name_that_is_cut_or_of_another_family_is_nobodys() {
        let mut name = SocketName::new(parsed("[2001:db8::1]:5000"));
        name.set_len(20);
        assert_eq!(name.address(), None);
        assert_eq!(SocketName::default().address(), None);
        let mut name = SocketName::new(parsed("192.0.2.1:5000"));
        name.room()[0..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        assert_eq!(name.address(), None);
    }
}
