//! What has come up from all workers and waits for Python, behind one descriptor.

use std::io;
use std::os::fd::RawFd;
use std::sync::Mutex;

use focus_dataplane::Batch;

use crate::event::EventFd;
use crate::exchange::locked;

/// One batch, made of the workers'. It is bounded as theirs are: each gives one and waits until it was taken.
pub(crate) struct Arrivals {
    batch: Mutex<Batch>,
    signal: EventFd,
}

impl Arrivals {
    /// Nothing has come up.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { batch: Mutex::default(), signal: EventFd::new()? })
    }

    /// Something came up from a worker.
    pub(crate) fn give(&self, batch: Batch) {
        let mut waiting = locked(&self.batch);
        waiting.append(batch);
        self.signal.signal();
    }

    /// Everything since the last call; what one worker gave is in its order.
    pub(crate) fn take(&self) -> Batch {
        let mut waiting = locked(&self.batch);
        self.signal.clear();
        std::mem::take(&mut *waiting)
    }

    /// Readable while `take` would return something.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.signal.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use focus_ice::Address;
    use focus_plane::Event;
    use focus_units::TransportId;

    use super::*;
    use crate::poller::Poller;

    fn batch(transport: u32) -> Batch {
        let transport = TransportId(transport);
        let datagrams = vec![(transport, Box::from([22]))];
        let from = Address::from(SocketAddr::from(([192, 0, 2, 1], 9)));
        let responses = vec![(transport, from, Box::from([1]))];
        Batch { datagrams, events: vec![Event::PairSelected { transport }], responses }
    }

    #[test]
    fn what_several_workers_gave_is_taken_at_once_and_the_descriptor_says_so() {
        let arrivals = Arrivals::new().expect("there are descriptors");
        let mut poller = Poller::new().expect("there are descriptors");
        poller.add(arrivals.as_raw_fd(), 0).expect("it can be waited for");
        let mut is_readable = || poller.wait(Some(Duration::ZERO)).count() == 1;
        assert!(!is_readable());
        arrivals.give(batch(1));
        arrivals.give(batch(2));
        assert!(is_readable());
        let taken = arrivals.take();
        let (one, other) = (batch(1), batch(2));
        assert_eq!(taken.datagrams, [one.datagrams, other.datagrams].concat());
        assert_eq!(taken.events, [one.events, other.events].concat());
        assert_eq!(taken.responses, [one.responses, other.responses].concat());
        assert!(!is_readable());
        assert_eq!(arrivals.take(), Batch::default());
    }
}
