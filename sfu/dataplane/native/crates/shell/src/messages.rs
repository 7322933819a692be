//! Many datagrams by one system call, with what stands beside them: `recvmmsg` and `sendmmsg`.
#![allow(unsafe_code)] // this module and `system`: nowhere else in the data plane

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_uint, iovec, mmsghdr};

use crate::control::{Control, SegmentSize};
use crate::socket_name::SocketName;
use crate::system::counted;

/// Messages of one system call. Lower: more calls. Higher: what was read first waits longer.
pub(crate) const MAX_MESSAGES: usize = 64;

/// Room for one message: what one IP packet can hold, as the kernel may join many datagrams. Three cache lines
/// more keep the beginnings of messages from falling into the same set of the cache.
const MESSAGE_BYTES: usize = 65_536 + 192;

const EMPTY_IOVEC: iovec = iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// Messages that came, and room for them.
pub(crate) struct Inbound {
    bytes: Box<[u8]>,
    names: Box<[SocketName]>,
    controls: Box<[Control]>,
    lengths: [usize; MAX_MESSAGES],
}

impl Inbound {
    /// Nothing came yet. The room is only memory where something has been received.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; MAX_MESSAGES * MESSAGE_BYTES].into_boxed_slice(),
            names: vec![SocketName::default(); MAX_MESSAGES].into_boxed_slice(),
            controls: vec![Control::default(); MAX_MESSAGES].into_boxed_slice(),
            lengths: [0; MAX_MESSAGES],
        }
    }

    /// Read what has come, without waiting: how many messages.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut iovecs = [EMPTY_IOVEC; MAX_MESSAGES];
        let mut headers = [empty_header(); MAX_MESSAGES];
        let rooms = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        let beside = self.names.iter_mut().zip(self.controls.iter_mut());
        for (((iovec, header), room), (name, control)) in
            iovecs.iter_mut().zip(&mut headers).zip(rooms).zip(beside)
        {
            *iovec = iovec_of(room);
            let name = name.room();
            let control = control.room();
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = name.len() as _;
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
        // SAFETY: each header names one iovec of this frame, and a name, a control buffer and a room that are
        // fields of `self`, apart from one another, each with its true length; all of them are borrowed mutably
        // over the call, and the kernel keeps no pointer. There are as many headers as it is told. It writes
        // bytes, which any value is right for.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MAX_MESSAGES as c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = counted(count as isize)?;
        for (index, header) in headers.iter().enumerate().take(count) {
            self.lengths[index] = (header.msg_len as usize).min(MESSAGE_BYTES);
            self.names[index].set_len(header.msg_hdr.msg_namelen as usize);
            self.controls[index].set_len(header.msg_hdr.msg_controllen as _);
        }
        Ok(count)
    }

    /// One of the messages that `receive` counted: from whom, what the kernel says of it, and its bytes.
    pub(crate) fn message(&mut self, index: usize) -> (&SocketName, &Control, &mut [u8]) {
        let start = index * MESSAGE_BYTES;
        let bytes = &mut self.bytes[start..start + self.lengths[index]];
        (&self.names[index], &self.controls[index], bytes)
    }
}

/// A message to be sent: a part of the bytes that are lent to `send_messages`.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    pub(crate) to: SocketName,
    pub(crate) range: Range<usize>,
    /// The kernel cuts the message into datagrams of this size; `None`: it is one datagram.
    pub(crate) segment: Option<SegmentSize>,
}

/// Send messages, `MAX_MESSAGES` at most, without waiting: how many were taken, at least one.
///
/// # Errors
///
/// Why the first one was not.
pub(crate) fn send_messages(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    messages: &[Outbound],
) -> io::Result<usize> {
    let mut iovecs = [EMPTY_IOVEC; MAX_MESSAGES];
    let mut headers = [empty_header(); MAX_MESSAGES];
    for ((iovec, header), message) in iovecs.iter_mut().zip(&mut headers).zip(messages) {
        let data = &bytes[message.range.clone()];
        *iovec = iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        let name = message.to.bytes();
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len() as _;
        header.msg_hdr.msg_iov = iovec;
        header.msg_hdr.msg_iovlen = 1;
        if let Some(segment) = &message.segment {
            let control = segment.bytes();
            header.msg_hdr.msg_control = control.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
    }
    let count = messages.len().min(MAX_MESSAGES);
    // SAFETY: each header names one iovec of this frame, and bytes of `messages` and `bytes` with their true
    // lengths, which are borrowed over the call. The kernel only reads through these pointers (they are `*mut`
    // because receiving shares the type) and keeps none. It writes to `headers` how much was sent, and `count` is
    // not more than there are.
    let sent = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as c_uint, libc::MSG_DONTWAIT)
    };
    counted(sent as isize)
}

fn iovec_of(room: &mut [u8]) -> iovec {
    iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() }
}

const fn empty_header() -> mmsghdr {
    // SAFETY: it is numbers and pointers, for which zero is a value; null pointers go with lengths of zero.
    unsafe { std::mem::zeroed() }
}
