//! One plain video track: VP8 by its looks, without layers, at the beat of a schedule.

use crate::schedule::Schedule;
use crate::stamp;
use crate::vp8::Descriptor;

const CLOCK_HZ: i128 = 90_000;

/// A frame to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// In units of 90 kHz.
    pub timestamp: u32,
    /// The sequence number of the first packet; the others follow.
    pub seq: u64,
    /// One payload for each packet; the last one is marked.
    pub payloads: Vec<Vec<u8>>,
}

/// Makes the packets of one track.
#[derive(Debug)]
pub struct Publisher {
    schedule: Schedule,
    next_at_ns: Option<i64>,
    began_at_ns: i64,
    key_frame_at_ns: i64,
    frames: u64,
    skipped: u64,
    seq: u64,
}

impl Publisher {
    /// A publisher that has not begun.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, next_at_ns: None, began_at_ns: 0, key_frame_at_ns: 0, frames: 0, skipped: 0, seq: 1 }
    }

    /// Begin, or go on after a stop, with a key frame.
    pub fn start(&mut self, now_ns: i64) {
        if self.next_at_ns.is_none() {
            self.next_at_ns = Some(now_ns);
            self.key_frame_at_ns = now_ns;
            if self.frames == 0 {
                self.began_at_ns = now_ns;
            }
        }
    }

    /// Send nothing more until the next start.
    pub fn stop(&mut self) {
        self.next_at_ns = None;
    }

    /// When the next frame is due; None while stopped.
    pub fn next_at_ns(&self) -> Option<i64> {
        self.next_at_ns
    }

    /// Beats that were let pass because their time was over when their turn came.
    pub fn frames_skipped(&self) -> u64 {
        self.skipped
    }

    /// Make the next frame a key frame.
    pub fn want_key_frame(&mut self) {
        self.key_frame_at_ns = i64::MIN;
    }

    /// The frame that is due. A beat that was missed whole is skipped: sent late and in a row, it would be a burst
    /// that nobody asked for.
    pub fn poll(&mut self, now_ns: i64) -> Option<Frame> {
        let due_ns = self.next_at_ns.filter(|due| *due <= now_ns)?;
        let period_ns = self.schedule.period_ns();
        let missed = (now_ns - due_ns) / period_ns;
        self.skipped += missed as u64;
        self.next_at_ns = Some(due_ns + (missed + 1) * period_ns);
        let is_key_frame = now_ns >= self.key_frame_at_ns;
        if is_key_frame {
            self.key_frame_at_ns = now_ns + self.schedule.key_frame_interval_ns();
        }
        let elapsed_ns = i128::from(due_ns + missed * period_ns - self.began_at_ns);
        let frame = Frame {
            timestamp: (elapsed_ns * CLOCK_HZ / 1_000_000_000) as u32,
            seq: self.seq,
            payloads: self.payloads(is_key_frame, now_ns),
        };
        self.seq += frame.payloads.len() as u64;
        self.frames += 1;
        Some(frame)
    }

    fn payloads(&self, is_key_frame: bool, now_ns: i64) -> Vec<Vec<u8>> {
        let sizes = self.schedule.frame(self.frames);
        let mut payloads = Vec::with_capacity(sizes.len());
        for (index, &size) in sizes.iter().enumerate() {
            let mut payload = Vec::with_capacity(usize::from(size));
            payload.extend(Descriptor::write(index == 0, self.frames as u16 & 0x7fff, self.frames as u8));
            payload.extend(stamp::write(is_key_frame, now_ns));
            payload.resize(usize::from(size), 0);
            payloads.push(payload);
        }
        payloads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn publisher() -> Publisher {
        Publisher::new(Schedule::new(vec![vec![100, 200], vec![50]], 40.0, 3_000.0).expect("valid"))
    }

    fn is_key_frame(frame: &Frame) -> bool {
        let payload = &frame.payloads[0];
        Descriptor::parse(payload).expect("valid").starts_key_frame(payload)
    }

    #[test]
    fn frames_come_at_the_beat_with_numbers_that_go_on() {
        let mut publisher = publisher();
        assert_eq!(publisher.poll(0), None);
        publisher.start(5 * MS);
        let first = publisher.poll(5 * MS).expect("due");
        assert_eq!(publisher.poll(44 * MS), None);
        let second = publisher.poll(46 * MS).expect("due");
        assert_eq!((first.seq, second.seq, publisher.next_at_ns()), (1, 3, Some(85 * MS)));
        assert_eq!((first.timestamp, second.timestamp), (0, 3_600));
        assert_eq!(first.payloads.iter().map(Vec::len).collect::<Vec<_>>(), [100, 200]);
        let descriptors = [&first.payloads[0], &first.payloads[1], &second.payloads[0]]
            .map(|payload| Descriptor::parse(payload).expect("valid"));
        assert_eq!(descriptors.map(|found| found.picture_id.expect("there").value), [0, 0, 1]);
        assert_eq!(descriptors.map(|found| found.starts_frame), [true, false, true]);
        assert_eq!(stamp::read(&second.payloads[0][descriptors[2].length..]), Some(46 * MS));
    }

    #[test]
    fn key_frames_come_first_then_in_intervals_and_on_request() {
        let mut publisher = publisher();
        publisher.start(0);
        let mut keys = Vec::new();
        for beat in 0..100 {
            if beat == 10 {
                publisher.want_key_frame();
            }
            if is_key_frame(&publisher.poll(beat * 40 * MS).expect("due")) {
                keys.push(beat);
            }
        }
        assert_eq!(keys, [0, 10, 85]);
    }

    #[test]
    fn beats_that_were_missed_are_skipped_and_the_clock_goes_on() {
        let mut publisher = publisher();
        publisher.start(0);
        publisher.poll(0);
        let late = publisher.poll(130 * MS).expect("due");
        assert_eq!((late.timestamp, publisher.frames_skipped()), (10_800, 2));
        assert_eq!(publisher.next_at_ns(), Some(160 * MS));
    }

    #[test]
    fn a_stop_silences_until_the_next_start() {
        let mut publisher = publisher();
        publisher.start(0);
        publisher.poll(0);
        publisher.stop();
        assert_eq!(publisher.poll(400 * MS), None);
        publisher.start(400 * MS);
        let again = publisher.poll(400 * MS).expect("due");
        assert!(is_key_frame(&again));
        assert_eq!((again.seq, again.timestamp), (3, 36_000));
    }
}
