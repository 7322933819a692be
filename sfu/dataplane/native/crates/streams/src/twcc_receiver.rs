//! Transport-wide congestion control: telling when what we got arrived.
//!
//! By draft-holmer-rmcat-transport-wide-cc-extensions-01.

use focus_rtp::twcc::{STATUSES_PER_PACKET, TransportFeedback, split_arrivals};
use focus_rtp::unwrap::Unwrapper;
use focus_units::{Instant, Ssrc};

/// The first arrival not yet told waits this long. Lower: more feedback packets. Above 100, the publisher's
/// estimate lags behind its link.
pub const FEEDBACK_INTERVAL_MS: i64 = 50;

/// Arrivals waiting to be told: 40,000 packets a second. What exceeds it is as good as lost, and slows down
/// the publisher.
pub const MAX_PENDING: usize = 2_000;

/// Numbers told as lost in front of the first that arrived. A longer jump is a counter that started anew.
pub const MAX_LEADING_LOST: i64 = 500;

const COUNTER_BITS: u32 = 16;

/// Arrival times of one transport's packets as feedback packets (packet rule 5).
///
/// Each number is told once, those that did not come included; one that comes after it was told as lost is
/// told again by itself.
#[derive(Debug)]
pub struct TwccReceiver {
    sender_ssrc: Ssrc,
    media_ssrc: Ssrc,
    unwrapper: Unwrapper<COUNTER_BITS>,
    /// Unwrapped numbers with their arrivals, ascending.
    pending: Vec<(i64, i64)>,
    next_number: Option<i64>,
    feedback_count: u8,
    due_at: Option<Instant>,
}

impl TwccReceiver {
    /// `sender_ssrc` is ours, of the feedback packets.
    pub const fn new(sender_ssrc: Ssrc) -> Self {
        Self {
            sender_ssrc,
            media_ssrc: Ssrc(0),
            unwrapper: Unwrapper::new(),
            pending: Vec::new(),
            next_number: None,
            feedback_count: 0,
            due_at: None,
        }
    }

    /// A packet arrived, of any stream: libwebrtc's first probes have SSRC 0 and belong to none.
    pub fn received(&mut self, at: Instant, ssrc: Ssrc, number: u16) {
        let number = self.unwrapper.unwrap(number);
        if self.pending.len() >= MAX_PENDING {
            return;
        }
        // Most come in order.
        let place = match self.pending.last() {
            Some((last, _)) if *last >= number => {
                self.pending.binary_search_by_key(&number, |pending| pending.0)
            }
            _ => Err(self.pending.len()),
        };
        let Err(place) = place else { return };
        self.pending.insert(place, (number, at.0));
        if ssrc != Ssrc(0) {
            self.media_ssrc = ssrc;
        }
        self.due_at.get_or_insert(at.after_ms(FEEDBACK_INTERVAL_MS));
    }

    /// When `poll` next has something to say; `None` while nothing is to be told.
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    /// Append the feedback to send now to `feedback`; more than one packet after a jump or for late packets.
    pub fn poll(&mut self, now: Instant, feedback: &mut Vec<TransportFeedback>) {
        if self.due_at.is_none_or(|due_at| now < due_at) {
            return;
        }
        self.due_at = None;
        let mut arrivals = std::mem::take(&mut self.pending);
        let told =
            self.next_number.map_or(0, |start| arrivals.partition_point(|(number, _)| *number < start));
        let (late, new) = arrivals.split_at(told);
        // Nothing between two late ones is told again.
        for adjacent in late.chunk_by(|(before, _), (number, _)| *before == number - 1) {
            for run in split_arrivals(adjacent, STATUSES_PER_PACKET) {
                feedback.push(self.feedback(None, run));
            }
        }
        for run in split_arrivals(new, STATUSES_PER_PACKET) {
            let (first, end) = (run[0].0, run[run.len() - 1].0 + 1);
            let lost = self.next_number.replace(end).map_or(0, |start| first - start);
            let leading = (0 < lost && lost <= MAX_LEADING_LOST).then_some(first - lost);
            feedback.push(self.feedback(leading, run));
        }
        arrivals.clear();
        self.pending = arrivals;
    }

    /// One packet: entries from the first lost number, where there is one, ascending.
    fn feedback(&mut self, leading: Option<i64>, run: &[(i64, i64)]) -> TransportFeedback {
        let feedback_count = self.feedback_count;
        self.feedback_count = feedback_count.wrapping_add(1);
        let leading = leading.map(|number| (number as u16, None));
        let entries = run.iter().map(|(number, at)| (*number as u16, Some(*at)));
        TransportFeedback {
            sender_ssrc: self.sender_ssrc,
            media_ssrc: self.media_ssrc,
            feedback_count,
            arrivals: leading.into_iter().chain(entries).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
