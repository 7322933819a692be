//! A UDP socket: IPv4 or both families, many datagrams a call, and when the kernel received each.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use focus_dataplane::{Egress, Message};
use focus_ice::{Address, AddressKind};
use focus_units::{Instant, TransportId};
use libc::c_int;

use crate::control::SegmentSize;
use crate::messages::{Inbound, MAX_MESSAGES, Outbound, send_messages};
use crate::socket_name::SocketName;
use crate::system;
use crate::time::WallClock;

/// Bytes that wait to be sent (`SO_SNDBUF` asked for). Lower: the burst of a key frame to many subscribers does not
/// fit, and its end is lost. Higher: where a link is full, more of what waits is late when it leaves.
const SEND_BUFFER_BYTES: c_int = 4 << 20;

/// A non-blocking socket. `::` takes IPv4 as well, under plain IPv4 addresses.
pub(crate) struct UdpSocket {
    socket: StdUdpSocket,
    /// Of what comes from here and goes by it.
    kind: AddressKind,
    port: u16,
    is_ipv6: bool,
    /// The kernel cuts messages into datagrams (`UDP_SEGMENT`, Linux 4.18).
    can_segment: bool,
    outbound: Vec<Outbound>,
}

/// Messages that were read from a socket and not given yet, and room for them: one for all sockets of a thread.
pub(crate) struct Fetched {
    inbound: Inbound,
    kind: AddressKind,
    messages: usize,
}

impl UdpSocket {
    /// Listen; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address can't be bound.
    pub(crate) fn bind(host: IpAddr, port: u16, receive_buffer_bytes: usize) -> io::Result<Self> {
        let family = if host.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
        let socket = system::socket(family, libc::SOCK_DGRAM)?;
        let fd = socket.as_fd();
        if host.is_ipv6() {
            system::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        }
        let receive_buffer_bytes = c_int::try_from(receive_buffer_bytes).unwrap_or(c_int::MAX);
        system::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, receive_buffer_bytes)?;
        system::set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER_BYTES)?;
        system::set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        // Kernels before 5.0 join no datagrams, and hand over each by itself.
        let _ = system::set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
        // An older kernel would ignore the size, and send what was many datagrams as one.
        let can_segment = system::option(fd, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok();
        system::bind(fd, &SocketName::new(SocketAddr::new(host, port)))?;
        let socket = StdUdpSocket::from(socket);
        Ok(Self {
            port: socket.local_addr()?.port(),
            socket,
            kind: AddressKind::Udp,
            is_ipv6: host.is_ipv6(),
            can_segment,
            outbound: Vec::new(),
        })
    }

    /// The same, for one transport alone.
    pub(crate) fn owned_by(self, transport: TransportId) -> Self {
        Self { kind: AddressKind::Own(transport), ..self }
    }

    /// The port that was bound.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Readable while there are datagrams.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Read what has come, without waiting: how many messages.
    pub(crate) fn fetch(&self, fetched: &mut Fetched) -> usize {
        // Nothing has come; or an ICMP error about something sent, which is the peer's to notice.
        fetched.messages = fetched.inbound.receive(self.socket.as_fd()).unwrap_or(0);
        fetched.kind = self.kind;
        fetched.messages
    }

    /// Send all messages that go by this socket: how many datagrams the system would not take.
    pub(crate) fn send(&mut self, egress: &Egress) -> u64 {
        let mut blocked = 0;
        for message in egress.messages() {
            if message.to.kind() == self.kind {
                blocked += self.push(egress, message);
            }
        }
        blocked + self.send_pushed(egress)
    }

    /// Send a message now or with `send_pushed`: how many datagrams the system would not take.
    pub(crate) fn push(&mut self, egress: &Egress, message: &Message) -> u64 {
        let Some(to) = SocketName::of_peer(message.to, self.is_ipv6) else {
            return message.datagrams() as u64;
        };
        if message.datagrams() == 1 || self.can_segment {
            return self.queue(egress.bytes(), outbound(message, to));
        }
        singly(&outbound(message, to)).map(|one| self.queue(egress.bytes(), one)).sum()
    }

    /// Send what still waits: how many datagrams the system would not take.
    pub(crate) fn send_pushed(&mut self, egress: &Egress) -> u64 {
        self.send_queued(egress.bytes())
    }

    fn queue(&mut self, bytes: &[u8], message: Outbound) -> u64 {
        self.outbound.push(message);
        if self.outbound.len() < MAX_MESSAGES { 0 } else { self.send_queued(bytes) }
    }

    fn send_queued(&mut self, bytes: &[u8]) -> u64 {
        let mut blocked = 0;
        let mut sent = 0;
        while sent < self.outbound.len() {
            match send_messages(self.socket.as_fd(), bytes, &self.outbound[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    blocked += self.refused(bytes, &self.outbound[sent].clone(), &error);
                    sent += 1;
                }
            }
        }
        self.outbound.clear();
        blocked
    }

    /// A message was not taken: how many of its datagrams are lost.
    fn refused(&mut self, bytes: &[u8], message: &Outbound, error: &io::Error) -> u64 {
        let is_cut = message.segment.is_some();
        match error.raw_os_error() {
            // The device can't make checksums of what is cut behind it; it will not learn to.
            Some(libc::EIO) if is_cut => self.can_segment = false,
            // The path takes no datagrams of this size in one piece; the kernel fragments those that come singly.
            Some(libc::EINVAL) if is_cut => {}
            _ => return singly(message).count() as u64,
        }
        let socket = self.socket.as_fd();
        singly(message).filter(|one| send_messages(socket, bytes, std::slice::from_ref(one)).is_err()).count()
            as u64
    }
}

impl Fetched {
    /// Nothing was read yet.
    pub(crate) fn new() -> Self {
        Self { inbound: Inbound::new(), kind: AddressKind::Udp, messages: 0 }
    }

    /// Give what was read last, in order, with the time at which the kernel received it: how many datagrams.
    ///
    /// A datagram is given in full, whatever its length; an empty one, too.
    pub(crate) fn give(&mut self, take: &mut impl FnMut(Instant, Address, &mut [u8])) -> usize {
        let clock = WallClock::read();
        let mut datagrams = 0;
        for index in 0..std::mem::take(&mut self.messages) {
            let (name, control, data) = self.inbound.message(index);
            let Some(from) = name.address() else { continue };
            let from = from.carried_by(self.kind);
            let at = clock.instant_of(control.received_at_ns());
            let segment = control.segment_bytes().unwrap_or(data.len()).max(1);
            if data.is_empty() {
                take(at, from, data);
                datagrams += 1;
            }
            for datagram in data.chunks_mut(segment) {
                take(at, from, datagram);
                datagrams += 1;
            }
        }
        datagrams
    }
}

fn outbound(message: &Message, to: SocketName) -> Outbound {
    let segment = (message.datagrams() > 1).then(|| SegmentSize::new(message.segment as u16));
    Outbound { to, range: message.start..message.start + message.len, segment }
}

/// The datagrams of a message, each as a message of its own.
fn singly(message: &Outbound) -> impl Iterator<Item = Outbound> + '_ {
    let segment = message.segment.as_ref().map_or(message.range.len().max(1), |size| size.size().into());
    message.range.clone().step_by(segment).map(move |start| Outbound {
        to: message.to,
        range: start..(start + segment).min(message.range.end),
        segment: None,
    })
}

#[cfg(test)]
mod tests;
