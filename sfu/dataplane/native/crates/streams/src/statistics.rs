//! What a receiver knows of one RTP stream (RFC 3550 sections 6.4 and A.1, A.3, A.8).

use focus_plane::DropReason;
use focus_rtp::ntp::{middle_bits, ns_to_compact};
use focus_rtp::rtcp::ReportBlock;
use focus_units::{Instant, NS_PER_S, Ssrc};

/// Sequence numbers for which duplicates are told from late packets. What is older is refused.
pub const WINDOW: i64 = 2_048;

/// A jump of at least this many numbers is a source that started anew, not loss (A.1, which first waits for
/// two packets in sequence; ours are authenticated by SRTP).
pub const MAX_DROPOUT: i64 = 3_000;

/// A difference in transit above this is a clock that was set, not jitter.
pub const MAX_CLOCK_STEP_S: i64 = 5;

const JITTER_GAIN: f64 = 16.0;
const MOST_LOST: i64 = (1 << 23) - 1;
const SEQUENCE_BITS: u32 = 16;

const WORD_BITS: i64 = u64::BITS as i64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// Remembers which of the last `WINDOW` numbers have been seen.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    highest: Option<i64>,
    /// A bit for each number, at its place modulo `WINDOW`.
    seen: [u64; WORDS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayWindow {
    /// Nothing was seen.
    pub const fn new() -> Self {
        Self { highest: None, seen: [0; WORDS] }
    }

    /// Mark a number as seen; a reason where it was before, or is too old to tell.
    pub fn check(&mut self, seq: i64) -> Option<DropReason> {
        let highest = *self.highest.get_or_insert(seq);
        if seq > highest {
            self.clear(highest + 1, seq);
            self.highest = Some(seq);
        } else if highest - seq >= WINDOW {
            return Some(DropReason::TooOld);
        }
        let (word, bit) = place(seq);
        if self.seen[word] & 1 << bit != 0 {
            return Some(DropReason::Duplicate);
        }
        self.seen[word] |= 1 << bit;
        None
    }

    /// Numbers from `first` to `last` have not been seen: forget those that stood in their places.
    fn clear(&mut self, first: i64, last: i64) {
        let mut number = first.max(last - WINDOW + 1);
        while number <= last {
            let (word, bit) = place(number);
            let count = (WORD_BITS - bit).min(last - number + 1);
            self.seen[word] &= !(u64::MAX >> (WORD_BITS - count) << bit);
            number += count;
        }
    }
}

/// The word of a number's bit, and the bit.
const fn place(seq: i64) -> (usize, i64) {
    let at = seq.rem_euclid(WINDOW);
    ((at / WORD_BITS) as usize, at % WORD_BITS)
}

/// Counts one received RTP stream, and makes its report blocks.
///
/// Packets repaired by RTX are told apart by `repaired`: they keep duplicates out, but don't hide the loss
/// from the sender (RFC 4588 section 6.2: the two streams are reported separately).
#[derive(Debug)]
pub struct ReceiveStatistics {
    clock_rate: u32,
    counted: ReplayWindow,
    seen: ReplayWindow,
    base: i64,
    first: i64,
    highest: Option<i64>,
    packets_received: u64,
    bytes_received: u64,
    last_received_at: Option<Instant>,
    transit: Option<i64>,
    jitter: f64,
    expected_before: i64,
    received_before: u64,
    sender_report: Option<(u64, Instant)>,
}

impl ReceiveStatistics {
    /// Of a stream that nothing came of yet, with so many ticks a second of its clock.
    pub const fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            counted: ReplayWindow::new(),
            seen: ReplayWindow::new(),
            base: 0,
            first: 0,
            highest: None,
            packets_received: 0,
            bytes_received: 0,
            last_received_at: None,
            transit: None,
            jitter: 0.0,
            expected_before: 0,
            received_before: 0,
            sender_report: None,
        }
    }

    /// The highest so far, unwrapped; `None` before the first packet.
    pub const fn highest_seq(&self) -> Option<i64> {
        self.highest
    }

    /// Packets counted, duplicates and repaired ones apart.
    pub const fn packets_received(&self) -> u64 {
        self.packets_received
    }

    /// Their sizes together.
    pub const fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// When the last of them arrived.
    pub const fn last_received_at(&self) -> Option<Instant> {
        self.last_received_at
    }

    /// Expected and not received, over the life of the stream (A.3); repaired ones are lost here.
    pub fn packets_lost(&self) -> i64 {
        self.expected() - self.packets_received as i64
    }

    /// Interarrival jitter (A.8).
    pub fn jitter_ms(&self) -> f64 {
        self.jitter * 1_000.0 / f64::from(self.clock_rate)
    }

    /// A packet of the stream itself arrived; `seq` and `ts` are unwrapped, the size is whatever the caller
    /// counts by.
    ///
    /// `None`, or why it must not be forwarded: `Duplicate` (also of a repaired packet) or `TooOld`.
    pub fn received(&mut self, now: Instant, seq: i64, ts: i64, size_bytes: usize) -> Option<DropReason> {
        let drop = self.seen.check(seq);
        if drop == Some(DropReason::TooOld) || self.counted.check(seq).is_some() {
            return drop;
        }
        self.count(seq);
        self.packets_received += 1;
        self.bytes_received += size_bytes as u64;
        self.last_received_at = Some(now);
        self.measure_jitter(now, ts);
        drop
    }

    /// A packet came by RTX; a reason where it must not be forwarded.
    ///
    /// One far ahead of what was received is refused: nobody asked for it, and it would make all that comes
    /// too old.
    pub fn repaired(&mut self, seq: i64) -> Option<DropReason> {
        if self.highest.is_none_or(|highest| seq - highest >= MAX_DROPOUT) {
            return Some(DropReason::TooOld);
        }
        self.seen.check(seq)
    }

    /// A sender report of the stream arrived, with this 64-bit NTP timestamp.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some((ntp, now));
    }

    /// The block of the next report; `None` where nothing was received since the last (section 6.4).
    pub fn report_block(&mut self, now: Instant, ssrc: Ssrc) -> Option<ReportBlock> {
        let received = self.packets_received - self.received_before;
        let highest = self.highest.filter(|_| received > 0)?;
        let expected = self.expected() - self.expected_before;
        self.expected_before = self.expected();
        self.received_before = self.packets_received;
        let lost = (expected - received as i64).max(0);
        let (last_report, delay) = self
            .sender_report
            .map_or((0, 0), |(ntp, at)| (middle_bits(ntp), ns_to_compact((now - at).max(0))));
        Some(ReportBlock {
            ssrc,
            fraction_lost: if lost > 0 { ((lost << 8) / expected).min(255) as u8 } else { 0 },
            packets_lost: self.packets_lost().clamp(-MOST_LOST - 1, MOST_LOST),
            highest_sequence_number: self.extended(highest),
            jitter: self.jitter as u32,
            last_sender_report: last_report,
            delay_since_last_sender_report: delay,
        })
    }

    fn expected(&self) -> i64 {
        self.highest.map_or(0, |highest| highest - self.base + 1)
    }

    fn count(&mut self, seq: i64) {
        let Some(highest) = self.highest else {
            (self.base, self.first, self.highest) = (seq, seq, Some(seq));
            return;
        };
        if seq - highest >= MAX_DROPOUT {
            // What was jumped over is not expected.
            self.base += seq - highest - 1;
        }
        self.highest = Some(highest.max(seq));
    }

    /// Cycles since the first packet in the upper half, as A.1 counts them.
    const fn extended(&self, seq: i64) -> u32 {
        (seq - (self.first >> SEQUENCE_BITS << SEQUENCE_BITS)) as u32
    }

    fn measure_jitter(&mut self, now: Instant, ts: i64) {
        let transit = ticks_of(now, self.clock_rate) - ts;
        if let Some(before) = self.transit {
            let difference = (transit - before).abs();
            if difference <= MAX_CLOCK_STEP_S * i64::from(self.clock_rate) {
                self.jitter += (difference as f64 - self.jitter) / JITTER_GAIN;
            }
        }
        self.transit = Some(transit);
    }
}

/// Ticks of a clock that started with ours, rounded down.
fn ticks_of(now: Instant, clock_rate: u32) -> i64 {
    let (seconds, rest) = (now.0.div_euclid(NS_PER_S), now.0.rem_euclid(NS_PER_S));
    seconds * i64::from(clock_rate) + rest * i64::from(clock_rate) / NS_PER_S
}

#[cfg(test)]
mod tests;
