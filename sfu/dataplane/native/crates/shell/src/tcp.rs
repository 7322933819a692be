//! ICE over TCP for networks without UDP (RFC 6544): passive, frames of RFC 4571, all connections on one port.

mod connection;
mod frames;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use focus_dataplane::Egress;
use focus_ice::{Address, AddressKind};
use focus_units::Instant;
use libc::c_int;

use crate::poller::{Interest, Poller};
use crate::socket_name::SocketName;
use crate::system;
use crate::ufrags::Ufrags;
use connection::{Connection, MAX_READ_BYTES, Owner};

/// Connections at once. Lower: a large call of people behind such networks does not fit. Higher: more memory where
/// all of them stall (128 KiB each, and as much of the kernel's).
pub(crate) const MAX_CONNECTIONS: usize = 1_000;

/// A connection that nobody has proved to be theirs for so long is closed. Lower: who gathers candidates slowly
/// connects again. Higher: who only connects keeps others out for longer.
pub(crate) const MAX_UNPROVEN_S: i64 = 10;

/// How often connections are looked at, and how long none is accepted when the system has no descriptor left.
const INTERVAL_S: i64 = 1;

/// Connections accepted in one turn.
const MAX_ACCEPTS: usize = 64;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: c_int = 128;

/// The token of the port, under which connections come; theirs are above.
pub(crate) const LISTENER: u64 = 1 << 32;

/// The port and its connections. Each is an [`Address`] with its number; datagrams come from there and go to it.
pub(crate) struct TcpServer {
    /// `None`: nobody can connect.
    listener: Option<TcpListener>,
    is_listening: bool,
    /// In the order in which they were accepted.
    connections: BTreeMap<u32, Connection>,
    max_connections: usize,
    next_number: u32,
    scratch: Box<[u8]>,
    ended: Vec<Address>,
    looked_at: Instant,
    /// `None`: all connections are for the worker that accepts them.
    sorting: Option<Sorting>,
    handed_over: Vec<HandedOver>,
}

/// By what a worker tells its connections from those of others.
struct Sorting {
    ufrags: Arc<Ufrags>,
    own: usize,
}

/// A connection that is for another worker.
pub(crate) struct HandedOver {
    /// Its number.
    pub(crate) worker: usize,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
}

impl TcpServer {
    /// Nobody can connect.
    pub(crate) fn off() -> Self {
        Self::new(None)
    }

    /// Listen; port 0 takes a free one. `::` takes IPv4 as well.
    ///
    /// # Errors
    ///
    /// The address can't be bound.
    pub(crate) fn bind(host: IpAddr, port: u16) -> io::Result<Self> {
        let family = if host.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
        let socket = system::socket(family, libc::SOCK_STREAM)?;
        let fd = socket.as_fd();
        if host.is_ipv6() {
            system::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        }
        // A focus that starts again takes its port back at once.
        system::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        system::bind(fd, &SocketName::new(SocketAddr::new(host, port)))?;
        system::listen(fd, BACKLOG)?;
        Ok(Self::new(Some(TcpListener::from(socket))))
    }

    /// The port is that of several workers, and this one's number is `own`: whose a connection is, its first check says.
    pub(crate) fn share(&mut self, ufrags: Arc<Ufrags>, own: usize) {
        self.sorting = Some(Sorting { ufrags, own });
    }

    /// Have the poller wait for connections.
    ///
    /// # Errors
    ///
    /// The system's limit of watches is reached.
    pub(crate) fn join(&self, poller: &Poller) -> io::Result<()> {
        self.listener.as_ref().map_or(Ok(()), |listener| poller.add(listener.as_raw_fd(), LISTENER))
    }

    /// The port that was bound, where there is one.
    pub(crate) fn port(&self) -> Option<u16> {
        self.listener.as_ref()?.local_addr().ok().map(|address| address.port())
    }

    /// Take new connections. `is_proven` says whether a peer has proved that an address is its own.
    pub(crate) fn accept(&mut self, now: Instant, poller: &Poller, is_proven: impl Fn(Address) -> bool) {
        for _ in 0..MAX_ACCEPTS {
            let Some(listener) = &self.listener else { return };
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // No descriptor is left. The port stays readable, and we would turn on the spot.
                Err(_) => {
                    self.looked_at = now;
                    self.listen(false, poller);
                    return;
                }
            };
            let number = self.next_number;
            self.adopt(now, (stream, peer), poller, &is_proven);
            if self.sorting.is_some()
                && let Some(connection) = self.connections.get_mut(&number)
            {
                connection.awaited_bytes = Some(1);
            }
        }
    }

    /// Take a connection that is for this worker.
    ///
    /// `is_proven` as for `accept`.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        (stream, peer): (TcpStream, SocketAddr),
        poller: &Poller,
        is_proven: &impl Fn(Address) -> bool,
    ) {
        if self.connections.len() >= self.max_connections && !self.close_unproven(is_proven) {
            return;
        }
        let number = self.next_number;
        if let Ok(connection) = Connection::new(stream, peer, number, now)
            && poller.add(connection.as_raw_fd(), token_of(number)).is_ok()
        {
            self.next_number += 1;
            self.connections.insert(number, connection);
        }
    }

    /// Connections for other workers since the last call.
    pub(crate) fn take_handed_over(&mut self) -> Vec<HandedOver> {
        std::mem::take(&mut self.handed_over)
    }

    /// Something has happened under a token above `LISTENER`: datagrams, which are given, or room to write.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        token: u64,
        poller: &Poller,
        take: &mut impl FnMut(Instant, Address, &mut [u8]),
    ) {
        let number = (token - LISTENER - 1) as u32;
        if !self.is_here(number, poller) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let address = connection.address;
        let outcome = connection.read(&mut self.scratch, &mut |datagram| take(now, address, datagram));
        if outcome.is_ok() {
            self.flush(number, poller);
        } else {
            self.close(number);
        }
    }

    /// Send all messages that go over TCP: how many datagrams found no room, or no connection.
    pub(crate) fn send(&mut self, egress: &Egress, poller: &Poller) -> u64 {
        let mut blocked = 0;
        let mut written = None;
        for message in egress.messages() {
            let AddressKind::Tcp(number) = message.to.kind() else { continue };
            if let Some(before) = written.replace(number).filter(|before| *before != number) {
                self.flush(before, poller);
            }
            for datagram in egress.bytes_of(message).chunks(message.segment.max(1)) {
                let connection = self.connections.get_mut(&number);
                if !connection.is_some_and(|connection| connection.queue.push(datagram)) {
                    blocked += 1;
                }
            }
        }
        if let Some(number) = written {
            self.flush(number, poller);
        }
        blocked
    }

    /// Close connections that have been nobody's for too long, and accept again after a pause.
    ///
    /// `is_proven` as for `accept`.
    pub(crate) fn poll(&mut self, now: Instant, poller: &Poller, is_proven: impl Fn(Address) -> bool) {
        if self.next_timeout().is_none_or(|at| now < at) {
            return;
        }
        self.looked_at = now;
        let mut unproven = Vec::new();
        for (number, connection) in &mut self.connections {
            if is_proven(connection.address) {
                connection.unproven_at = now;
            } else if now >= connection.unproven_at.after_s(MAX_UNPROVEN_S) {
                unproven.push(*number);
            }
        }
        for number in unproven {
            self.close(number);
        }
        self.listen(true, poller);
    }

    /// When `poll` next has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let is_idle = self.connections.is_empty() && self.is_listening;
        (!is_idle).then(|| self.looked_at.after_s(INTERVAL_S))
    }

    /// The addresses of connections that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<Address> {
        std::mem::take(&mut self.ended)
    }

    fn new(listener: Option<TcpListener>) -> Self {
        Self {
            listener,
            is_listening: true,
            connections: BTreeMap::new(),
            max_connections: MAX_CONNECTIONS,
            next_number: 0,
            scratch: vec![0; MAX_READ_BYTES].into_boxed_slice(),
            ended: Vec::new(),
            looked_at: Instant::default(),
            sorting: None,
            handed_over: Vec::new(),
        }
    }

    /// Whether a connection is for this worker, as far as can be told; another's is handed over.
    fn is_here(&mut self, number: u32, poller: &Poller) -> bool {
        let (Some(sorting), Some(connection)) = (&self.sorting, self.connections.get_mut(&number)) else {
            return true;
        };
        if connection.awaited_bytes.is_none() {
            return true;
        }
        match connection.owner(&mut self.scratch, &sorting.ufrags, sorting.own) {
            Ok(Owner::Here) => return true,
            Ok(Owner::Unknown) => {}
            Ok(Owner::Worker(worker)) => {
                let is_free = poller.remove(connection.as_raw_fd()).is_ok();
                // Its address was never told to the core: nothing is to be forgotten.
                if let Some(connection) = self.connections.remove(&number).filter(|_| is_free) {
                    let (stream, peer) = connection.into_stream();
                    self.handed_over.push(HandedOver { worker, stream, peer });
                }
            }
            Err(_) => self.close(number),
        }
        false
    }

    /// Make room: the oldest connection that is nobody's goes; false where all of them are somebody's.
    fn close_unproven(&mut self, is_proven: &impl Fn(Address) -> bool) -> bool {
        let oldest = self.connections.iter().find(|(_, connection)| !is_proven(connection.address));
        let number = oldest.map(|(number, _)| *number);
        number.map(|number| self.close(number)).is_some()
    }

    fn flush(&mut self, number: u32, poller: &Poller) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let mut outcome = connection.flush();
        let waits_to_write = !connection.queue.is_empty();
        if outcome.is_ok() && waits_to_write != connection.waits_to_write {
            connection.waits_to_write = waits_to_write;
            let interest = if waits_to_write { Interest::ReadingAndWriting } else { Interest::Reading };
            outcome = poller.change(connection.as_raw_fd(), token_of(number), interest);
        }
        if outcome.is_err() {
            self.close(number);
        }
    }

    fn close(&mut self, number: u32) {
        self.ended.extend(self.connections.remove(&number).map(|connection| connection.address));
    }

    fn listen(&mut self, is_listening: bool, poller: &Poller) {
        if let Some(listener) = &self.listener
            && is_listening != self.is_listening
        {
            let interest = if is_listening { Interest::Reading } else { Interest::Nothing };
            if poller.change(listener.as_raw_fd(), LISTENER, interest).is_ok() {
                self.is_listening = is_listening;
            }
        }
    }
}

fn token_of(number: u32) -> u64 {
    LISTENER + 1 + u64::from(number)
}

#[cfg(test)]
mod tests;
