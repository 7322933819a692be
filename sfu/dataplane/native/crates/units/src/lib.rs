//! The names of things: ids, numbers and times that must not pass for one another.
//!
//! Mirrors `sfu/units.py`. Wire values have their widths (`u16`, `u32`); `seq` and `ts` are unwrapped and `i64`.
#![forbid(unsafe_code)]

use std::ops::Sub;

/// Nanoseconds in a microsecond.
pub const NS_PER_US: i64 = 1_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`: in Python, here and in every array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

impl Instant {
    /// The instant so many nanoseconds later.
    #[must_use]
    pub const fn after_ns(self, delay_ns: i64) -> Self {
        Self(self.0 + delay_ns)
    }

    /// The instant so many milliseconds later.
    #[must_use]
    pub const fn after_ms(self, delay_ms: i64) -> Self {
        self.after_ns(delay_ms * NS_PER_MS)
    }

    /// The instant so many seconds later.
    #[must_use]
    pub const fn after_s(self, delay_s: i64) -> Self {
        self.after_ns(delay_s * NS_PER_S)
    }
}

impl Sub for Instant {
    type Output = i64;

    /// Nanoseconds from the other to this one.
    fn sub(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

/// The first of the given instants; `None` when there is none.
pub fn earliest(instants: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    instants.into_iter().flatten().min()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
    };
}

id!(
    /// The SSRC of an RTP stream.
    Ssrc
);
id!(
    /// One bundled transport of one leg. Never reused.
    TransportId
);
id!(
    /// One published track. Never reused.
    TrackHandle
);
id!(
    /// One track on its way to one subscriber. Never reused.
    RouteId
);

/// An RTP payload type, 0 to 127.
pub type PayloadType = u8;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A microphone.
    Audio,
    /// A camera or a screen.
    Video,
}

/// Something in bytes that is not what it should be: a short name of what is wrong, as in `sfu/errors.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_nothing_is_nothing() {
        assert_eq!(earliest([None, None]), None);
    }

    #[test]
    fn the_earliest_is_the_least() {
        assert_eq!(earliest([Some(Instant(3)), None, Some(Instant(2))]), Some(Instant(2)));
    }

    #[test]
    fn delays_are_nanoseconds() {
        assert_eq!(Instant(1).after_ms(2), Instant(2_000_001));
        assert_eq!(Instant(1).after_s(2) - Instant(1), 2 * NS_PER_S);
    }
}
