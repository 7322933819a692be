//! Publishers and their subscribers on one thread, to measure a plane and what the system allows at best.
//!
//! They speak what a plane must hear (checks, SRTP), and no more: the subscribers count. Both sides use the plane's own
//! sockets and cryptography, so what a plane costs and what the floor costs differ only by what the plane does.

mod stream;
mod subscribers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use focus_dataplane::Egress;
use focus_ice::{Address, Attribute, BINDING, MessageClass, serialise};
use focus_plane::SrtpProfile;
use focus_srtp::Srtp;
use focus_units::{Instant, NS_PER_MS, Ssrc};

pub use self::stream::Sizes;
use self::stream::Stream;
use self::subscribers::Subscribers;
use crate::system::clock_ns;
use crate::time::now;
use crate::udp::{Fetched, UdpSocket};

/// Longest that a packet is waited for. Lower: a machine that is busy elsewhere looks like loss.
const PATIENCE_NS: i64 = 2_000 * NS_PER_MS;

/// The SSRC of the first publisher's one stream; the others count on from it.
pub const FIRST_SSRC: Ssrc = Ssrc(1_111);

const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What was seen in one run.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Measured {
    pub elapsed_ns: i64,
    /// Packets that reached subscribers, over all of them.
    pub arrived: u64,
    /// Packets that should have.
    pub expected: u64,
    /// From a packet's departure to each arrival, by the kernel's clock.
    pub delays_ns: Vec<u32>,
    /// Time on a core that sending took; of the floor only.
    pub cpu_ns: i64,
}

struct Publisher {
    socket: UdpSocket,
    session: Srtp,
    stream: Stream,
}

/// Publishers and their subscribers. A *round* is one burst of each publisher.
pub struct Rig {
    publishers: Vec<Publisher>,
    subscribers: Subscribers,
    plane: Address,
    egress: Egress,
    fetched: Fetched,
}

impl Rig {
    /// So many of both around a plane on this port of the loopback.
    ///
    /// # Errors
    ///
    /// The system has no socket left.
    ///
    /// # Panics
    ///
    /// `send_key` has not the length that the profile asks for.
    pub fn new(
        port: u16,
        publishers: usize,
        subscribers: usize,
        (profile, send_key): (SrtpProfile, &[u8]),
    ) -> io::Result<Self> {
        let loopback = Ipv4Addr::LOCALHOST;
        let open = |index: usize| {
            Ok(Publisher {
                socket: UdpSocket::bind(loopback.into(), 0, RECEIVE_BUFFER_BYTES)?,
                session: Srtp::new(profile, send_key, send_key).expect("a key of the profile's length"),
                stream: Stream::new(Ssrc(FIRST_SSRC.0 + index as u32)),
            })
        };
        Ok(Self {
            publishers: (0..publishers).map(open).collect::<io::Result<_>>()?,
            subscribers: Subscribers::open(subscribers)?,
            plane: Address::from(SocketAddr::new(loopback.into(), port)),
            egress: Egress::with_segments(1),
            fetched: Fetched::new(),
        })
    }

    /// A publisher's address becomes that of the transport with these credentials.
    ///
    /// # Errors
    ///
    /// The plane does not answer.
    pub fn check_publisher(&mut self, index: usize, ufrag: &str, password: &str) -> io::Result<()> {
        let publisher = &mut self.publishers[index];
        self.egress.push_datagram(self.plane, &check(ufrag, password));
        publisher.socket.send(&self.egress);
        self.egress.clear();
        let deadline = now().after_ns(PATIENCE_NS);
        while publisher.socket.fetch(&mut self.fetched) == 0 {
            pause_before(deadline)?;
        }
        Ok(())
    }

    /// A subscriber's address becomes that of the transport with these credentials.
    ///
    /// # Errors
    ///
    /// The plane does not answer.
    pub fn check_subscriber(&mut self, index: usize, ufrag: &str, password: &str) -> io::Result<()> {
        self.subscribers.send(index, self.plane, &check(ufrag, password))?;
        let deadline = now().after_ns(PATIENCE_NS);
        while self.subscribers.receive_one(index) == 0 {
            pause_before(deadline)?;
        }
        Ok(())
    }

    /// Publish rounds as fast as they arrive: at most `window` packets are on their way to each subscriber, who gets
    /// `share` of each round.
    ///
    /// # Errors
    ///
    /// A packet is lost: the run says nothing then.
    pub fn closed_loop(
        &mut self,
        rounds: usize,
        sizes: &[Sizes],
        share: u64,
        window: u64,
    ) -> io::Result<Measured> {
        self.subscribers.begin();
        let began_at = now();
        let mut expected = 0;
        for _ in 0..rounds {
            self.publish(sizes);
            expected += share;
            let deadline = now().after_ns(PATIENCE_NS);
            while expected - self.subscribers.least() > window {
                if self.subscribers.receive() == 0 {
                    pause_before(deadline)?;
                }
            }
        }
        self.collect(began_at, expected)
    }

    /// Publish a round every `period_ns`, for a while. Of a single publisher each packet's delay is measured.
    ///
    /// # Errors
    ///
    /// A packet is lost: the run says nothing then.
    pub fn paced(
        &mut self,
        rounds: usize,
        sizes: &[Sizes],
        share: u64,
        period_ns: i64,
    ) -> io::Result<Measured> {
        self.subscribers.begin();
        let began_at = now();
        for round in 0..rounds {
            let due_at = began_at.after_ns(round as i64 * period_ns);
            while now() < due_at {
                if self.subscribers.receive() == 0 {
                    std::thread::sleep(Duration::from_micros(20));
                }
            }
            if let [only] = sizes {
                self.subscribers.departs(only.packets());
            }
            self.publish(sizes);
        }
        self.collect(began_at, rounds as u64 * share)
    }

    /// What sending costs at best: encrypt the same packets for each subscriber, and send them from one socket, with
    /// `segments` of them in a message.
    ///
    /// # Errors
    ///
    /// The system has no socket left.
    ///
    /// # Panics
    ///
    /// `send_key` has not the length that the profile asks for.
    pub fn floor(
        &mut self,
        bursts: usize,
        sizes: &Sizes,
        segments: usize,
        (profile, send_key): (SrtpProfile, &[u8]),
    ) -> io::Result<Measured> {
        let mut socket = UdpSocket::bind(Ipv4Addr::LOCALHOST.into(), 0, RECEIVE_BUFFER_BYTES)?;
        let mut sessions: Vec<Srtp> = (0..self.subscribers.len())
            .map(|_| Srtp::new(profile, send_key, send_key).expect("a key of the profile's length"))
            .collect();
        let mut egress = Egress::with_segments(segments);
        let mut measured = Measured::default();
        self.subscribers.begin();
        let began_at = now();
        let mut published = 0;
        let stream = &mut self.publishers[0].stream;
        for _ in 0..bursts {
            let plain = stream.burst(sizes);
            let before = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
            for (index, session) in sessions.iter_mut().enumerate() {
                let to = self.subscribers.address(index);
                for packet in plain {
                    let out = egress.buffer();
                    let start = out.len();
                    out.extend_from_slice(packet);
                    session.protect_rtp(out, start, stream::HEADER_BYTES).map_err(refused)?;
                    egress.push(to, start);
                }
            }
            socket.send(&egress);
            egress.clear();
            measured.cpu_ns += clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) - before;
            published += sizes.packets() as u64;
            while self.subscribers.receive() > 0 {}
        }
        let collected = self.collect(began_at, published)?;
        Ok(Measured { cpu_ns: measured.cpu_ns, ..collected })
    }

    fn publish(&mut self, sizes: &[Sizes]) {
        for (publisher, sizes) in self.publishers.iter_mut().zip(sizes) {
            for packet in publisher.stream.burst(sizes) {
                let out = self.egress.buffer();
                let start = out.len();
                out.extend_from_slice(packet);
                publisher.session.protect_rtp(out, start, stream::HEADER_BYTES).expect("numbers only grow");
                self.egress.push(self.plane, start);
            }
            publisher.socket.send(&self.egress);
            self.egress.clear();
            // What comes back (NACKs, PLIs, feedback) is read and forgotten.
            publisher.socket.fetch(&mut self.fetched);
        }
    }

    /// Wait for what is on its way.
    fn collect(&mut self, began_at: Instant, expected: u64) -> io::Result<Measured> {
        let deadline = now().after_ns(PATIENCE_NS);
        while self.subscribers.least() < expected {
            if self.subscribers.receive() == 0 {
                pause_before(deadline)?;
            }
        }
        Ok(Measured {
            elapsed_ns: now() - began_at,
            arrived: self.subscribers.arrived(),
            expected: expected * self.subscribers.len() as u64,
            delays_ns: self.subscribers.take_delays(),
            cpu_ns: 0,
        })
    }
}

/// A signed check that nominates.
fn check(ufrag: &str, password: &str) -> Vec<u8> {
    let mut request = Vec::new();
    let username = format!("{ufrag}:rig");
    let attributes =
        [(Attribute::Username as u16, username.as_bytes()), (Attribute::UseCandidate as u16, &[][..])];
    serialise(&mut request, MessageClass::Request, BINDING, *b"rig's check!", &attributes, Some(password));
    request
}

fn pause_before(deadline: Instant) -> io::Result<()> {
    if now() >= deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "a packet was lost"));
    }
    std::thread::yield_now();
    Ok(())
}

fn refused(drop: focus_plane::DropReason) -> io::Error {
    io::Error::other(format!("{drop:?}"))
}
