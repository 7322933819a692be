//! One peer's TCP connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use focus_ice::Address;
use focus_units::Instant;
use libc::c_int;

use super::frames::{FrameQueue, FrameReader};
use crate::system;
use crate::ufrags::{Beginning, Ufrags};

/// Bytes that the kernel keeps for a connection (`SO_SNDBUF` asked for; it doubles them). Lower: a long path carries
/// less than 128 kB a round trip. Higher: a picture that passes slowly is older, and the kernel's memory is not ours
/// to give.
const SEND_BUFFER_BYTES: c_int = 64 << 10;

/// Bytes read in one turn. Lower: more turns. Higher: one peer keeps all others waiting.
pub(crate) const MAX_READ_BYTES: usize = 64 << 10;

/// Its socket, what has come of a frame, and what waits to be written.
pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    reader: FrameReader,
    pub(crate) queue: FrameQueue,
    pub(crate) address: Address,
    /// Since when nobody has proved that it is theirs.
    pub(crate) unproven_at: Instant,
    /// The poller waits for it to be writable.
    pub(crate) waits_to_write: bool,
    /// Its first check has not come, which may be for another worker: so many bytes are waited for.
    pub(crate) awaited_bytes: Option<usize>,
}

/// Which worker a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Its first check has not come in full.
    Unknown,
    /// The one that has it: by its check, or since nobody else would.
    Here,
    /// Another.
    Worker(usize),
}

impl Connection {
    /// A connection that was accepted under a number.
    ///
    /// # Errors
    ///
    /// It has failed already.
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, number: u32, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        system::set_option(stream.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER_BYTES)?;
        Ok(Self {
            stream,
            peer,
            reader: FrameReader::default(),
            queue: FrameQueue::default(),
            address: Address::over_tcp(peer, number),
            unproven_at: now,
            waits_to_write: false,
            awaited_bytes: None,
        })
    }

    /// To wait for it.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Look at the first check without taking it. While there is less of it, the socket is not readable.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub(crate) fn owner(&mut self, scratch: &mut [u8], ufrags: &Ufrags, own: usize) -> io::Result<Owner> {
        let count = match self.stream.peek(scratch) {
            Ok(count) => count,
            Err(error) => return would_block(error).map(|()| Owner::Unknown),
        };
        // Readable with less than is waited for: there will be no more, and it would stay readable.
        if self.awaited_bytes.is_some_and(|awaited| count < awaited) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let owner = match Beginning::of(&scratch[..count]) {
            Beginning::Incomplete(bytes) => {
                self.awaited_bytes = Some(bytes);
                Owner::Unknown
            }
            Beginning::Datagram(check) => match ufrags.worker_of(check) {
                Some(worker) if worker != own => Owner::Worker(worker),
                _ => Owner::Here,
            },
            Beginning::Unreadable => Owner::Here,
        };
        if owner != Owner::Unknown {
            self.awaited_bytes = None;
        }
        let awaited = self.awaited_bytes.unwrap_or(1) as c_int;
        system::set_option(self.stream.as_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, awaited)?;
        Ok(owner)
    }

    /// For another worker, which knows nothing of it yet.
    pub(crate) fn into_stream(self) -> (TcpStream, SocketAddr) {
        (self.stream, self.peer)
    }

    /// Give each datagram that has come in full.
    ///
    /// # Errors
    ///
    /// The connection has ended, or what comes by it are no frames.
    pub(crate) fn read(&mut self, scratch: &mut [u8], take: &mut impl FnMut(&mut [u8])) -> io::Result<()> {
        match self.stream.read(scratch) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.reader.feed(&scratch[..count], take).map_err(|_| ErrorKind::InvalidData.into()),
            Err(error) => would_block(error),
        }
    }

    /// Write what waits, as far as the kernel takes it.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            match self.stream.write(self.queue.front()) {
                Ok(count) => self.queue.consume(count),
                Err(error) => return would_block(error),
            }
        }
        Ok(())
    }
}

fn would_block(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
