//! Waits for many descriptors at once, and for a time that is exact to less than a millisecond.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, epoll_event};

use crate::system;

/// Descriptors told of by one wait; the others are told of by the next.
const MAX_EVENTS: usize = 64;

const READABLE: u32 = libc::EPOLLIN as u32;
const WRITABLE: u32 = libc::EPOLLOUT as u32;

/// What is waited for. That a descriptor has failed is told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Reading,
    ReadingAndWriting,
}

/// A set of descriptors, each under a token.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: [epoll_event; MAX_EVENTS],
    is_exact: bool,
}

impl Poller {
    /// Nothing is waited for.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = system::epoll_create()?;
        Ok(Self { epoll, events: [epoll_event { events: 0, u64: 0 }; MAX_EVENTS], is_exact: true })
    }

    /// Wait for a descriptor to be readable.
    ///
    /// # Errors
    ///
    /// It is there already, or the system's limit of watches is reached.
    pub(crate) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, READABLE, token)
    }

    /// Wait for something else of a descriptor that is there.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn change(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Nothing => 0,
            Interest::Reading => READABLE,
            Interest::ReadingAndWriting => READABLE | WRITABLE,
        };
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    /// Wait for it no more: somebody else will.
    ///
    /// # Errors
    ///
    /// It was not waited for.
    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// The tokens of the descriptors that are ready, or have failed. `None`: wait for as long as it takes.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> impl Iterator<Item = u64> + '_ {
        // An interrupted wait is one that ended early.
        let count = self.wait_exactly(timeout).unwrap_or(0);
        self.events[..count].iter().map(|event| event.u64)
    }

    fn wait_exactly(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if self.is_exact {
            let exact = timeout.map(|timeout| libc::timespec {
                tv_sec: timeout.as_secs() as libc::time_t,
                tv_nsec: timeout.subsec_nanos() as libc::c_long,
            });
            match system::epoll_wait_ns(self.epoll.as_fd(), &mut self.events, exact) {
                // Sandboxes that do not know the call say that it is not permitted.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.is_exact = false;
                }
                outcome => return outcome,
            }
        }
        let timeout_ms = timeout.map_or(-1, |timeout| {
            c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
        });
        system::epoll_wait_ms(self.epoll.as_fd(), &mut self.events, timeout_ms)
    }

    fn control(&self, operation: c_int, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        system::epoll_control(self.epoll.as_fd(), operation, fd, epoll_event { events, u64: token })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::time::now;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let one = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        (one, listener.accept().expect("one has connected").0)
    }

    #[test]
    fn a_wait_ends_at_its_time_and_not_before() {
        for is_exact in [true, false] {
            let mut poller = Poller { is_exact, ..Poller::new().expect("there are descriptors") };
            for us in [0, 300, 1_500] {
                let before = now();
                assert_eq!(poller.wait(Some(Duration::from_micros(us))).count(), 0);
                assert!(now() - before >= us as i64 * 1_000);
            }
        }
    }

    #[test]
    fn writable_is_told_where_it_is_waited_for() {
        let (one, _other) = pair();
        for is_exact in [true, false] {
            let mut poller = Poller { is_exact, ..Poller::new().expect("there are descriptors") };
            poller.add(one.as_raw_fd(), 3).expect("it can be waited for");
            assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
            poller.change(one.as_raw_fd(), 3, Interest::ReadingAndWriting).expect("it is there");
            assert_eq!(poller.wait(None).collect::<Vec<_>>(), [3]);
            poller.change(one.as_raw_fd(), 3, Interest::Reading).expect("it is there");
            assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
        }
    }

    #[test]
    fn nothing_is_told_of_what_is_not_waited_for() {
        let (one, mut other) = pair();
        let mut poller = Poller::new().expect("there are descriptors");
        poller.add(one.as_raw_fd(), 3).expect("it can be waited for");
        poller.change(one.as_raw_fd(), 3, Interest::Nothing).expect("it is there");
        other.write_all(b"x").expect("there is room");
        assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
        poller.change(one.as_raw_fd(), 3, Interest::Reading).expect("it is there");
        assert_eq!(poller.wait(None).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_is_closed_is_waited_for_no_more() {
        let (one, other) = pair();
        let mut poller = Poller::new().expect("there are descriptors");
        poller.add(one.as_raw_fd(), 3).expect("it can be waited for");
        drop(other);
        assert_eq!(poller.wait(None).collect::<Vec<_>>(), [3]);
        drop(one);
        assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
    }
}
