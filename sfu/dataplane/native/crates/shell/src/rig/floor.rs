//! What sending costs without a plane.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use focus_dataplane::Egress;
use focus_ice::Address;
use focus_plane::{DropReason, SrtpProfile};
use focus_srtp::Srtp;

use super::stream::{HEADER_BYTES, Sizes, Stream};
use super::{PATIENCE_NS, RECEIVE_BUFFER_BYTES, pause_before};
use crate::system::clock_ns;
use crate::time::now;
use crate::udp::UdpSocket;

/// Packets on their way to each subscriber, as in the closed loop of bursts around a plane. Lower: the sender waits for
/// the readers. Higher: what is sent has left the caches when it is read.
const WINDOW: u64 = 40;

/// Encrypts for each subscriber, and sends.
pub struct Floor {
    socket: UdpSocket,
    sessions: Vec<(Address, Srtp)>,
    egress: Egress,
}

impl Floor {
    /// To these subscribers, with `segments` datagrams in a message.
    pub fn new(
        subscribers: impl Iterator<Item = Address>,
        segments: usize,
        (profile, send_key): (SrtpProfile, &[u8]),
    ) -> io::Result<Self> {
        let session = || Srtp::new(profile, send_key, send_key).expect("a key of the profile's length");
        Ok(Self {
            socket: UdpSocket::bind(Ipv4Addr::LOCALHOST.into(), 0, RECEIVE_BUFFER_BYTES)?,
            sessions: subscribers.map(|address| (address, session())).collect(),
            egress: Egress::with_segments(segments),
        })
    }

    /// Send bursts as fast as they arrive: the time on a core that it took, without the waiting. Somebody else reads,
    /// and says in `arrived` what the slowest subscriber has.
    pub fn send(
        &mut self,
        bursts: usize,
        sizes: &Sizes,
        stream: &mut Stream,
        arrived: &AtomicU64,
    ) -> io::Result<i64> {
        let mut cpu_ns = 0;
        let mut published = 0;
        for _ in 0..bursts {
            let plain = stream.burst(sizes);
            let before = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
            for (to, session) in &mut self.sessions {
                for packet in plain {
                    let out = self.egress.buffer();
                    let start = out.len();
                    out.extend_from_slice(packet);
                    session.protect_rtp(out, start, HEADER_BYTES).map_err(refused)?;
                    self.egress.push(*to, start);
                }
            }
            self.socket.send(&self.egress);
            self.egress.clear();
            cpu_ns += clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) - before;
            published += sizes.packets() as u64;
            let deadline = now().after_ns(PATIENCE_NS);
            while published.saturating_sub(arrived.load(Ordering::Relaxed)) > WINDOW {
                pause_before(deadline)?;
            }
        }
        Ok(cpu_ns)
    }
}

fn refused(drop: DropReason) -> io::Error {
    io::Error::other(format!("{drop:?}"))
}
