//! What a publisher sends, and when: frames of packets at a steady period.

use crate::stamp;
use crate::vp8::WRITTEN_LENGTH;

/// The smallest payload that carries descriptor and stamp.
pub const MIN_PAYLOAD_BYTES: u16 = (WRITTEN_LENGTH + stamp::LENGTH) as u16;

/// The largest: with all headers it fits every path that WebRTC is used on.
pub const MAX_PAYLOAD_BYTES: u16 = 1_200;

/// Packets of one frame. More: larger bursts can be asked for; fewer: what may wait in one send.
pub const MAX_FRAME_PACKETS: usize = 512;

/// Frames of one schedule: ten minutes at 30 a second.
pub const MAX_FRAMES: usize = 18_000;

/// The payload sizes of each packet of each frame, and the beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    frames: Vec<Vec<u16>>,
    period_ns: i64,
    key_frame_interval_ns: i64,
}

impl Schedule {
    /// Check what was asked for.
    ///
    /// # Errors
    ///
    /// Says which number is out of its range.
    pub fn new(frames: Vec<Vec<u16>>, period_ms: f64, key_frame_interval_ms: f64) -> Result<Self, String> {
        if frames.is_empty() || frames.len() > MAX_FRAMES {
            return Err(format!("{} frames; 1 to {MAX_FRAMES} are possible", frames.len()));
        }
        for frame in &frames {
            if frame.is_empty() || frame.len() > MAX_FRAME_PACKETS {
                return Err(format!(
                    "a frame of {} packets; 1 to {MAX_FRAME_PACKETS} are possible",
                    frame.len()
                ));
            }
            if let Some(size) =
                frame.iter().find(|size| !(MIN_PAYLOAD_BYTES..=MAX_PAYLOAD_BYTES).contains(size))
            {
                return Err(format!(
                    "a payload of {size} bytes; {MIN_PAYLOAD_BYTES} to {MAX_PAYLOAD_BYTES} are possible"
                ));
            }
        }
        for (name, value) in [("period_ms", period_ms), ("keyframe_interval_ms", key_frame_interval_ms)] {
            if !(0.1..=600_000.0).contains(&value) {
                return Err(format!("{name} is {value}; 0.1 to 600,000 are possible"));
            }
        }
        let nanos = |ms: f64| (ms * 1e6).round() as i64;
        Ok(Self { frames, period_ns: nanos(period_ms), key_frame_interval_ns: nanos(key_frame_interval_ms) })
    }

    /// The payload sizes of a frame; the list repeats.
    pub fn frame(&self, index: u64) -> &[u16] {
        &self.frames[(index % self.frames.len() as u64) as usize]
    }

    /// Between two frames.
    pub fn period_ns(&self) -> i64 {
        self.period_ns
    }

    /// Between two key frames that nobody asked for.
    pub fn key_frame_interval_ns(&self) -> i64 {
        self.key_frame_interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_repeat() {
        let schedule = Schedule::new(vec![vec![100], vec![200, 300]], 33.3, 3_000.0).expect("valid");
        assert_eq!((schedule.frame(0), schedule.frame(3)), (&[100][..], &[200, 300][..]));
        assert_eq!(schedule.period_ns(), 33_300_000);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let refusal =
            |frames, period, interval| Schedule::new(frames, period, interval).expect_err("refused");
        assert!(refusal(vec![], 33.0, 3e3).contains("0 frames"));
        assert!(refusal(vec![vec![]], 33.0, 3e3).contains("0 packets"));
        assert!(refusal(vec![vec![31]], 33.0, 3e3).contains("31 bytes; 32 to 1200"));
        assert!(refusal(vec![vec![1_201]], 33.0, 3e3).contains("1201 bytes"));
        assert!(refusal(vec![vec![100]], 0.0, 3e3).contains("period_ms"));
        assert!(refusal(vec![vec![100]], 33.0, f64::NAN).contains("keyframe_interval_ms"));
    }
}
