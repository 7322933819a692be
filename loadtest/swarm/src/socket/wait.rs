//! Waiting: for a bell until some time, and for whichever sockets hold something.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::{check, monotonic_ns};

/// Sockets that are told of in one call; the others are told of in the next.
const MAX_READY: usize = 256;

/// Something that another thread rings and an event loop can watch.
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
}

impl Bell {
    /// A bell that is silent.
    ///
    /// # Errors
    ///
    /// Where the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes numbers and returns a descriptor or -1.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the descriptor was just made, and nobody else has it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Ring, whether it rings already or not.
    pub fn ring(&self) {
        let one = 1_u64;
        // SAFETY: eight readable bytes, as an eventfd takes them. It fails when 2^64 - 2 rings wait: it rings then.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Fall silent.
    pub fn silence(&self) {
        let mut count = 0_u64;
        // SAFETY: eight writable bytes, as an eventfd fills them. It fails when it was silent: it is then.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Wait until it rings, but not beyond a time.
    pub fn wait_until(&self, until_ns: i64) {
        let remaining = (until_ns - monotonic_ns()).clamp(0, 3_600_000_000_000);
        let timeout =
            libc::timespec { tv_sec: remaining / 1_000_000_000, tv_nsec: remaining % 1_000_000_000 };
        let mut watched = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd and one timespec, both ours, both outliving the call; no signal mask is given. Whether
        // it was the bell, the time or a signal makes no difference to the caller, who looks at everything.
        unsafe { libc::ppoll(&raw mut watched, 1, &raw const timeout, ptr::null()) };
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Tells which of many sockets hold something to read.
pub struct Poller {
    fd: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

impl Poller {
    /// A poller that watches nothing.
    ///
    /// # Errors
    ///
    /// Where the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes a number and returns a descriptor or -1.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, ready: vec![libc::epoll_event { events: 0, u64: 0 }; MAX_READY] })
    }

    /// Watch a socket under a key, until it is closed.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn watch(&self, socket: &impl AsRawFd, key: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: u64::from(key) };
        // SAFETY: `event` is ours and only read during the call.
        let outcome = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        };
        check(outcome).map(drop)
    }

    /// The keys of sockets that hold something now, without waiting; at most `MAX_READY` of them.
    pub fn ready(&mut self) -> impl ExactSizeIterator<Item = u32> + use<> {
        // SAFETY: the vector has MAX_READY initialised elements, and the kernel fills at most as many.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.ready.as_mut_ptr(), MAX_READY as libc::c_int, 0)
        };
        let keys = self.ready[..count.max(0) as usize].iter().map(|event| event.u64 as u32);
        keys.collect::<Vec<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_bell_that_rings_ends_the_wait() {
        let bell = Bell::new().expect("descriptor");
        bell.ring();
        bell.ring();
        bell.wait_until(i64::MAX);
        bell.silence();
        bell.wait_until(0);
    }

    #[test]
    fn a_poller_tells_the_keys_of_sockets_that_hold_something() {
        let mut poller = Poller::new().expect("descriptor");
        let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("socket"));
        for (key, socket) in sockets.iter().enumerate() {
            poller.watch(socket, key as u32 + 7).expect("watched");
        }
        assert_eq!(poller.ready().len(), 0);
        sockets[0].send_to(b"x", sockets[1].local_addr().expect("bound")).expect("sent");
        assert_eq!(poller.ready().collect::<Vec<_>>(), [8]);
    }
}
