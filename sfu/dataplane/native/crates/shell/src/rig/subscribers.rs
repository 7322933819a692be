//! The far ends: sockets that count what comes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use focus_ice::Address;
use focus_units::Instant;
use libc::c_int;

use crate::messages::Inbound;
use crate::system;
use crate::time::{WallClock, now};

/// What waits for a subscriber while the rig is elsewhere.
const RECEIVE_BUFFER_BYTES: c_int = 2 << 20;

struct Subscriber {
    socket: UdpSocket,
    address: Address,
    arrived: u64,
}

/// All of them. Datagrams are not joined on arrival (`UDP_GRO`): those of a real call arrive elsewhere.
pub struct Subscribers {
    all: Vec<Subscriber>,
    inbound: Inbound,
    /// When each packet of the run left the publisher, where that is measured.
    departed_at: Vec<Instant>,
    delays_ns: Vec<u32>,
}

impl Subscribers {
    pub fn open(count: usize) -> io::Result<Self> {
        let all = (0..count).map(|_| Subscriber::open()).collect::<io::Result<_>>()?;
        Ok(Self { all, inbound: Inbound::new(), departed_at: Vec::new(), delays_ns: Vec::new() })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn address(&self, index: usize) -> Address {
        self.all[index].address
    }

    pub fn send(&self, index: usize, to: Address, data: &[u8]) -> io::Result<()> {
        self.all[index].socket.send_to(data, SocketAddr::from(to)).map(|_| ())
    }

    /// A run begins: what is left of the one before does not count.
    pub fn begin(&mut self) {
        while self.receive() > 0 {}
        for subscriber in &mut self.all {
            subscriber.arrived = 0;
        }
        self.departed_at.clear();
        self.delays_ns.clear();
    }

    /// So many packets leave the publisher now.
    pub fn departs(&mut self, packets: usize) {
        self.departed_at.extend(std::iter::repeat_n(now(), packets));
    }

    /// Take what has come to all: how many packets.
    pub fn receive(&mut self) -> usize {
        (0..self.all.len()).map(|index| self.receive_one(index)).sum()
    }

    /// Take what has come to one.
    pub fn receive_one(&mut self, index: usize) -> usize {
        let subscriber = &mut self.all[index];
        let Ok(messages) = self.inbound.receive(subscriber.socket.as_fd()) else { return 0 };
        let clock = WallClock::read();
        let mut packets = 0;
        for message in 0..messages {
            let (_, control, data) = self.inbound.message(message);
            if !matches!(data, [128..=191, second, ..] if !(192..=223).contains(second)) {
                continue; // reports, answers to checks
            }
            if let Some(departed_at) = self.departed_at.get(subscriber.arrived as usize) {
                let delay_ns = clock.instant_of(control.received_at_ns()) - *departed_at;
                self.delays_ns.push(delay_ns.clamp(0, u32::MAX.into()) as u32);
            }
            subscriber.arrived += 1;
            packets += 1;
        }
        if packets == 0 { messages } else { packets }
    }

    /// What the slowest has.
    pub fn least(&self) -> u64 {
        self.all.iter().map(|subscriber| subscriber.arrived).min().unwrap_or(0)
    }

    pub fn arrived(&self) -> u64 {
        self.all.iter().map(|subscriber| subscriber.arrived).sum()
    }

    pub fn take_delays(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.delays_ns)
    }
}

impl Subscriber {
    fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        system::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES)?;
        system::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        Ok(Self { address: Address::from(socket.local_addr()?), socket, arrived: 0 })
    }
}
