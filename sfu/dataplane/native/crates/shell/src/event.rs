//! One thread wakes another.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use crate::system;

/// A descriptor that is readable from a signal until it is cleared.
pub(crate) struct EventFd(File);

impl EventFd {
    /// Nothing is signalled.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(File::from(system::event_fd()?)))
    }

    /// Make it readable, from any thread.
    pub(crate) fn signal(&self) {
        // It would only block where 2⁶⁴ signals are pending, and then it is readable.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// What was signalled is seen to.
    pub(crate) fn clear(&self) {
        // It would only block where nothing is signalled.
        let _ = (&self.0).read(&mut [0; 8]);
    }

    /// To wait for it.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poller::Poller;

    #[test]
    fn it_is_readable_from_a_signal_until_it_is_cleared() {
        let event = EventFd::new().expect("there are descriptors");
        let mut poller = Poller::new().expect("there are descriptors");
        poller.add(event.as_raw_fd(), 7).expect("it can be waited for");
        assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
        event.signal();
        event.signal();
        for _ in 0..2 {
            assert_eq!(poller.wait(None).collect::<Vec<_>>(), [7]);
        }
        event.clear();
        event.clear();
        assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
    }
}
