//! How loud an audio stream was, from the header extension alone (RFC 6464).

use focus_plane::SILENT;

/// The loudest packet of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loudness {
    /// 0 (loud) to 127 (silent), in -dBov.
    pub level: u8,
    /// The sender's opinion.
    pub voice: bool,
}

impl Loudness {
    const NONE: Self = Self { level: SILENT, voice: false };
}

/// Keeps the loudest level between two readings.
#[derive(Debug)]
pub struct AudioLevelMeter {
    loudest: Loudness,
}

impl Default for AudioLevelMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl AudioLevelMeter {
    /// Silence so far.
    pub const fn new() -> Self {
        Self { loudest: Loudness::NONE }
    }

    /// One packet's level in -dBov.
    pub fn received(&mut self, level: u8, voice: bool) {
        self.loudest.level = self.loudest.level.min(level);
        self.loudest.voice |= voice;
    }

    /// The loudest since the last call; silence where no packet came.
    pub fn take(&mut self) -> Loudness {
        std::mem::replace(&mut self.loudest, Loudness::NONE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn silence_is_what_no_packet_says() {
        assert_eq!(AudioLevelMeter::new().take(), Loudness { level: SILENT, voice: false });
    }

    proptest! {
        #[test]
        fn the_loudest_packet_of_an_interval_counts(
            packets in proptest::collection::vec((0..=127u8, any::<bool>()), 1..20),
        ) {
            let mut meter = AudioLevelMeter::default();
            for (level, voice) in &packets {
                meter.received(*level, *voice);
            }
            let level = packets.iter().map(|packet| packet.0).min().unwrap();
            let voice = packets.iter().any(|packet| packet.1);
            prop_assert_eq!(meter.take(), Loudness { level, voice });
            prop_assert_eq!(meter.take(), Loudness { level: SILENT, voice: false });
        }
    }
}
