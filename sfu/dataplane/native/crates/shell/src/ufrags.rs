//! Which worker knows a peer by its ICE username fragment: asked once for each TCP connection, by its first check.

use std::sync::Mutex;

use focus_dataplane::MAX_DATAGRAM_BYTES;
use focus_ice::{Attribute, StunMessage};
use rustc_hash::FxHashMap;

use crate::exchange::locked;

const LENGTH_BYTES: usize = 2;

/// Our fragments, of all transports on all workers.
#[derive(Debug, Default)]
pub(crate) struct Ufrags(Mutex<FxHashMap<String, usize>>);

impl Ufrags {
    /// A worker answers to it from now on.
    pub(crate) fn add(&self, ufrag: String, worker: usize) {
        locked(&self.0).insert(ufrag, worker);
    }

    /// Nobody does any more.
    pub(crate) fn remove(&self, ufrag: &str) {
        locked(&self.0).remove(ufrag);
    }

    /// Whether another worker answers to it.
    pub(crate) fn is_anothers(&self, ufrag: &str, worker: usize) -> bool {
        locked(&self.0).get(ufrag).is_some_and(|known| *known != worker)
    }

    /// The worker that a check is for, by what it claims; nothing is proven by that.
    pub(crate) fn worker_of(&self, check: &[u8]) -> Option<usize> {
        let message = StunMessage::parse(check).ok()?;
        let username = std::str::from_utf8(message.attribute(Attribute::Username)?).ok()?;
        let (ours, _) = username.split_once(':')?;
        locked(&self.0).get(ours).copied()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        locked(&self.0).len()
    }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning<'a> {
    /// Part of a frame: it is complete with so many bytes.
    Incomplete(usize),
    /// A frame's datagram.
    Datagram(&'a [u8]),
    /// No frame.
    Unreadable,
}

impl<'a> Beginning<'a> {
    /// Of these bytes (RFC 4571).
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Self::Incomplete(LENGTH_BYTES);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_DATAGRAM_BYTES {
            return Self::Unreadable;
        }
        rest.get(..length).map_or(Self::Incomplete(LENGTH_BYTES + length), Self::Datagram)
    }
}

#[cfg(test)]
mod tests {
    use focus_ice::{BINDING, MessageClass, serialise};

    use super::*;

    fn check(username: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        let attributes = [(Attribute::Username as u16, username)];
        serialise(&mut data, MessageClass::Request, BINDING, [7; 12], &attributes, Some("password"));
        data
    }

    #[test]
    fn a_check_is_for_the_worker_whose_fragment_it_names() {
        let ufrags = Ufrags::default();
        ufrags.add("ours".into(), 3);
        assert_eq!(ufrags.worker_of(&check(b"ours:theirs")), Some(3));
        for stranger in [&b"other:ours"[..], b"ours", b":", b"\xff:theirs"] {
            assert_eq!(ufrags.worker_of(&check(stranger)), None);
        }
        assert_eq!(ufrags.worker_of(b"no check"), None);
        ufrags.remove("ours");
        assert_eq!(ufrags.worker_of(&check(b"ours:theirs")), None);
    }

    #[test]
    fn a_frame_is_waited_for_until_it_is_complete() {
        assert_eq!(Beginning::of(b""), Beginning::Incomplete(2));
        assert_eq!(Beginning::of(b"\x00"), Beginning::Incomplete(2));
        assert_eq!(Beginning::of(b"\x00\x03ab"), Beginning::Incomplete(5));
        assert_eq!(Beginning::of(b"\x00\x03abcd"), Beginning::Datagram(b"abc"));
        assert_eq!(Beginning::of(b"\xff\xff"), Beginning::Unreadable);
    }
}
