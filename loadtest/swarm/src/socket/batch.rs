//! Receiving many datagrams in one call, with the times at which the kernel took them.

use std::mem::{size_of, size_of_val, zeroed};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;

use super::Udp;

/// Messages of one call. More: fewer calls when much waits; fewer: a smaller part of the cache for their buffers.
const MESSAGES: usize = 16;

/// The largest message: what a sender coalesced comes as one.
const MESSAGE_BYTES: usize = 65_536;

/// Room for a time, a segment size and a count of drops with their headers; of `u64` for their alignment.
type Control = [u64; 12];

/// Buffers that all sockets of a thread share.
pub struct Batch {
    bytes: Vec<u8>,
    controls: [Control; MESSAGES],
    entries: [Entry; MESSAGES],
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    from: SocketAddr,
    length: usize,
    control: ControlValues,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ControlValues {
    segment: usize,
    stamp_ns: Option<i64>,
    drops: u32,
}

/// A datagram.
pub struct Received<'a> {
    /// Where it came from.
    pub from: SocketAddr,
    /// When the kernel took it, by `CLOCK_REALTIME`.
    pub stamp_ns: Option<i64>,
    /// The bytes; they may be changed.
    pub bytes: &'a mut [u8],
}

impl Default for Batch {
    fn default() -> Self {
        let nothing = Entry {
            from: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            length: 0,
            control: ControlValues::default(),
        };
        Self {
            bytes: vec![0; MESSAGES * MESSAGE_BYTES],
            controls: [[0; 12]; MESSAGES],
            entries: [nothing; MESSAGES],
            count: 0,
        }
    }
}

impl Batch {
    /// Take what a socket holds, at most `MESSAGES` of it; true while it may hold more.
    pub fn fill(&mut self, socket: &Udp) -> bool {
        // SAFETY: for these C structures all zeros are valid values: null pointers and empty lengths.
        let (mut names, mut vectors, mut messages): (
            [libc::sockaddr_in; MESSAGES],
            [libc::iovec; MESSAGES],
            [libc::mmsghdr; MESSAGES],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        for (index, buffer) in self.bytes.chunks_exact_mut(MESSAGE_BYTES).enumerate() {
            vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: MESSAGE_BYTES };
            let header = &mut messages[index].msg_hdr;
            header.msg_name = ptr::from_mut(&mut names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = ptr::from_mut(&mut vectors[index]);
            header.msg_iovlen = 1;
            header.msg_control = ptr::from_mut(&mut self.controls[index]).cast();
            header.msg_controllen = size_of::<Control>();
        }
        // SAFETY: MESSAGES messages, each of which points to an address, a vector, a buffer and a control area of the
        // lengths it states; all of them are ours, unshared, and outlive the call.
        let outcome = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                MESSAGES as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.count = outcome.max(0) as usize;
        for index in 0..self.count {
            let name = &names[index];
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            self.entries[index] = Entry {
                from: SocketAddr::from((ip, u16::from_be(name.sin_port))),
                length: messages[index].msg_len as usize,
                // SAFETY: the kernel has just filled the control area that this header points to.
                control: unsafe { control_values(&messages[index].msg_hdr) },
            };
        }
        self.count == MESSAGES
    }

    /// Datagrams that the socket has dropped since it was opened, as far as the last fill tells.
    pub fn drops(&self) -> u32 {
        self.entries[..self.count].iter().map(|entry| entry.control.drops).max().unwrap_or(0)
    }

    /// The datagrams, coalesced ones apart again, in order.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Received<'_>> {
        let buffers = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        self.entries[..self.count].iter().zip(buffers).flat_map(|(entry, buffer)| {
            let segment = if entry.control.segment == 0 { MESSAGE_BYTES } else { entry.control.segment };
            buffer[..entry.length].chunks_mut(segment).map(|bytes| Received {
                from: entry.from,
                stamp_ns: entry.control.stamp_ns,
                bytes,
            })
        })
    }
}

/// Read the control messages of a received message.
///
/// # Safety
///
/// `msg_control` must point to `msg_controllen` readable bytes that the kernel filled.
unsafe fn control_values(header: &libc::msghdr) -> ControlValues {
    let mut values = ControlValues::default();
    // SAFETY: the caller promises a control area in which these macros of libc find their way.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, hence a header within the area. The kernel writes each kind with its own type behind it;
        // `read_unaligned` asks nothing of where that lies.
        unsafe {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time: libc::timespec = data.cast::<libc::timespec>().read_unaligned();
                    debug_assert!((*message).cmsg_len >= size_of_val(&time));
                    values.stamp_ns = Some(time.tv_sec * 1_000_000_000 + time.tv_nsec);
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    values.segment = data.cast::<libc::c_int>().read_unaligned().max(0) as usize;
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => values.drops = data.cast::<u32>().read_unaligned(),
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Datagram;
    use crate::socket::{monotonic_ns, wall_offset};

    fn pair() -> (Udp, Udp) {
        let bind = || Udp::bind(Ipv4Addr::LOCALHOST).expect("socket");
        (bind(), bind())
    }

    #[test]
    fn datagrams_arrive_in_order_with_source_and_time() {
        let (sender, receiver) = pair();
        let datagrams = (0..20_u8).map(|byte| Datagram { to: receiver.local(), bytes: vec![byte; 9] });
        let datagrams = datagrams.collect::<Vec<_>>();
        let before = monotonic_ns();
        assert_eq!(sender.send(&datagrams), 20);
        let (mut batch, mut seen) = (Batch::default(), Vec::new());
        loop {
            let has_more = batch.fill(&receiver);
            for received in batch.datagrams() {
                assert_eq!((received.from, received.bytes.len()), (sender.local(), 9));
                let arrived_at_ns = wall_offset().arrival(received.stamp_ns, i64::MAX);
                assert!(received.stamp_ns.is_some() && arrived_at_ns > before - 1_000_000_000);
                seen.push(received.bytes[0]);
            }
            if !has_more {
                break;
            }
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        assert_eq!(batch.drops(), 0);
    }

    #[test]
    fn what_the_sender_coalesced_comes_apart_again() {
        let (sender, receiver) = pair();
        let segment: libc::c_int = 100;
        // SAFETY: a `c_int` that lives through the call, with its size.
        let outcome = unsafe {
            libc::setsockopt(
                sender.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const segment).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(outcome, 0);
        sender.send(&[Datagram { to: receiver.local(), bytes: vec![7; 250] }]);
        let mut batch = Batch::default();
        batch.fill(&receiver);
        assert_eq!(
            batch.datagrams().map(|received| received.bytes.len()).collect::<Vec<_>>(),
            [100, 100, 50]
        );
    }

    #[test]
    fn what_the_kernel_dropped_is_told() {
        let (sender, receiver) = pair();
        let flood = (0..64).map(|_| Datagram { to: receiver.local(), bytes: vec![0; 1_200] });
        let flood = flood.collect::<Vec<_>>();
        for _ in 0..200 {
            sender.send(&flood);
        }
        let mut batch = Batch::default();
        while batch.fill(&receiver) {}
        sender.send(&flood[..1]);
        batch.fill(&receiver);
        assert!(batch.drops() > 0);
    }
}
