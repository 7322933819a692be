//! A participant's socket, and sending many datagrams in one call.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use super::check;
use crate::effects::Datagram;

/// Bytes of kernel buffer of each direction. Larger: longer pauses of ours lose nothing; smaller: less memory for
/// hundreds of sockets. This is a second of 16 Mbit/s, and more than any pause that still is a measurement.
const BUFFER_BYTES: libc::c_int = 2 << 20;

/// Datagrams of one `sendmmsg`.
const MAX_BATCH: usize = 64;

/// A UDP socket of IPv4 that never blocks, stamps what it receives and takes what the sender coalesced.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Udp {
    /// Bind to a port that is free.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn bind(address: Ipv4Addr) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        for (forced, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            // Without privileges the kernel's own limit holds; drops are counted either way.
            if set_option(fd, libc::SOL_SOCKET, forced, BUFFER_BYTES).is_err() {
                set_option(fd, libc::SOL_SOCKET, plain, BUFFER_BYTES)?;
            }
        }
        set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Send all of these, in order; returns how many the kernel took. The others are lost, as on any path.
    pub fn send(&self, datagrams: &[Datagram]) -> usize {
        datagrams.chunks(MAX_BATCH).map(|chunk| self.send_chunk(chunk)).sum()
    }

    fn send_chunk(&self, datagrams: &[Datagram]) -> usize {
        // SAFETY: for these C structures all zeros are valid values: null pointers and empty lengths.
        let (mut names, mut vectors, mut messages): (
            [libc::sockaddr_in; MAX_BATCH],
            [libc::iovec; MAX_BATCH],
            [libc::mmsghdr; MAX_BATCH],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        let mut count = 0;
        for datagram in datagrams {
            let SocketAddr::V4(to) = datagram.to else {
                continue; // never asked for: candidates of ours are IPv4
            };
            names[count] = name(to);
            vectors[count] = libc::iovec {
                iov_base: datagram.bytes.as_ptr().cast_mut().cast(), // only read: this is a send
                iov_len: datagram.bytes.len(),
            };
            let header = &mut messages[count].msg_hdr;
            header.msg_name = ptr::from_mut(&mut names[count]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = ptr::from_mut(&mut vectors[count]);
            header.msg_iovlen = 1;
            count += 1;
        }
        let mut sent = 0;
        while sent < count {
            // SAFETY: `messages[sent..count]` are filled above and point into `names`, `vectors` and `datagrams`, all
            // of which live to the end of this function and are not moved.
            let outcome = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    messages[sent..].as_mut_ptr(),
                    (count - sent) as u32,
                    0,
                )
            };
            if outcome <= 0 {
                break;
            }
            sent += outcome as usize;
        }
        sent
    }
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: a `c_int` that lives through the call, with its size.
    let outcome = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(outcome).map(drop)
}

fn name(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}
