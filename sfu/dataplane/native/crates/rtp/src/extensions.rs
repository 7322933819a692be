//! Values of RTP header extension elements.

use focus_units::{Instant, NS_PER_S, ParseError};

/// Longest mid or rid that is read (RFC 8852 section 3: they should be short).
pub const MAX_NAME_BYTES: usize = 16;

const VOICE: u8 = 0x80;

/// RFC 6464: `level` is 0 (loudest) to 127 (silent) in -dBov, `voice` the sender's opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// -dBov, 0 to 127.
    pub level: u8,
    /// Whether the sender takes it for speech.
    pub voice: bool,
}

/// A mid, rid or repaired rid.
///
/// # Errors
///
/// `name`: empty, too long, or no printable ASCII.
pub fn parse_name(value: &[u8]) -> Result<&str, ParseError> {
    let is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if value.is_empty() || value.len() > MAX_NAME_BYTES || !is_printable {
        return Err(ParseError("name"));
    }
    str::from_utf8(value).map_err(|_| ParseError("name"))
}

/// Read an audio level (RFC 6464 section 3); the two-byte form pads with a zero.
///
/// # Errors
///
/// `audio_level`.
pub const fn parse_audio_level(value: &[u8]) -> Result<AudioLevel, ParseError> {
    match value {
        [first] | [first, _] => Ok(AudioLevel { level: *first & !VOICE, voice: *first & VOICE != 0 }),
        _ => Err(ParseError("audio_level")),
    }
}

/// The element of an audio level.
pub const fn serialise_audio_level(level: AudioLevel) -> [u8; 1] {
    [level.level | if level.voice { VOICE } else { 0 }]
}

/// The 16-bit transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
///
/// # Errors
///
/// `transport_cc`.
pub const fn parse_transport_sequence_number(value: &[u8]) -> Result<u16, ParseError> {
    match value {
        [high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(ParseError("transport_cc")),
    }
}

/// The 24-bit send time, 6.18 fixed-point seconds of the sender's own clock.
pub const fn abs_send_time(now: Instant) -> [u8; 3] {
    // Seconds and the rest apart: exact, and no division of 128 bits for each packet sent.
    let (seconds, rest) = (now.0.div_euclid(NS_PER_S), now.0.rem_euclid(NS_PER_S));
    let [.., high, middle, low] = ((seconds << 18) + (rest << 18) / NS_PER_S).to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_refused(value in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert!(parse_name(&value).is_ok_and(|name| name.as_bytes() == value)
                || parse_name(&value) == Err(ParseError("name")));
            prop_assert_eq!(parse_audio_level(&value).is_ok(), matches!(value.len(), 1 | 2));
            prop_assert_eq!(parse_transport_sequence_number(&value).is_ok(), value.len() == 2);
        }

        #[test]
        fn an_audio_level_survives_the_wire(level in 0_u8..128, voice: bool) {
            let level = AudioLevel { level, voice };
            let [value] = serialise_audio_level(level);
            prop_assert_eq!(parse_audio_level(&[value]), Ok(level));
            prop_assert_eq!(parse_audio_level(&[value, 0]), Ok(level));
        }

        #[test]
        fn a_send_time_is_that_of_plain_wide_arithmetic(now: i64) {
            let wide = (i128::from(now) << 18).div_euclid(NS_PER_S.into()) & 0xFF_FFFF;
            let [high, middle, low] = abs_send_time(Instant(now));
            prop_assert_eq!(i128::from(u32::from_be_bytes([0, high, middle, low])), wide);
        }
    }

    #[test]
    fn a_name_is_read() {
        for name in ["0", "f", "q_1", "with space", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(parse_name(name.as_bytes()), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for value in [&b""[..], &[b'x'; MAX_NAME_BYTES + 1], b"\xC3\xA9", b"a\0", b"a\n", b"a\x7F"] {
            assert_eq!(parse_name(value), Err(ParseError("name")));
        }
    }

    #[test]
    fn an_audio_level_has_the_voice_in_its_highest_bit() {
        assert_eq!(parse_audio_level(&[0x8A]), Ok(AudioLevel { level: 10, voice: true }));
        assert_eq!(parse_audio_level(&[0x7F]), Ok(AudioLevel { level: 127, voice: false }));
    }

    #[test]
    fn a_value_of_another_size_is_refused() {
        for value in [&[][..], &[1, 0, 0]] {
            assert_eq!(parse_audio_level(value), Err(ParseError("audio_level")));
            assert_eq!(parse_transport_sequence_number(value), Err(ParseError("transport_cc")));
        }
        assert_eq!(parse_transport_sequence_number(&[0xFF, 0xFE]), Ok(65_534));
    }

    #[test]
    fn a_send_time_counts_in_units_of_two_to_the_minus_18_and_wraps_after_64_seconds() {
        assert_eq!(abs_send_time(Instant(0)), [0, 0, 0]);
        assert_eq!(abs_send_time(Instant(NS_PER_S)), [4, 0, 0]);
        assert_eq!(abs_send_time(Instant(NS_PER_S / 2)), [2, 0, 0]);
        assert_eq!(abs_send_time(Instant(64 * NS_PER_S - 1)), [0xFF; 3]);
        assert_eq!(abs_send_time(Instant(64 * NS_PER_S)), [0, 0, 0]);
    }
}
