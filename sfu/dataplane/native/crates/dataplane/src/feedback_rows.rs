//! What subscribers say of packets, kept for Python as rows of `FEEDBACK_DTYPE`.

use std::collections::VecDeque;

use focus_streams::twcc_sender::Reported;
use focus_units::{Instant, TransportId};

/// Rows that wait, of all transports; the oldest go. Lower: a stall of Python leaves a hole in what estimates are
/// made of, at 250,000 packets a second after a quarter of a second. Higher: more memory, for the past.
pub const MAX_ROWS: usize = 1 << 16;

/// A row, packed.
const ROW_BYTES: usize = 44;

/// A bounded queue of rows.
#[derive(Debug, Default)]
pub struct FeedbackRows {
    rows: VecDeque<(TransportId, Instant, Reported)>,
}

impl FeedbackRows {
    /// Keep what a peer has reported now; who loses a row for it is told to `lost`.
    pub fn add(
        &mut self,
        now: Instant,
        transport: TransportId,
        reported: &[Reported],
        mut lost: impl FnMut(TransportId),
    ) {
        for one in reported {
            if self.rows.len() == MAX_ROWS
                && let Some((loser, ..)) = self.rows.pop_front()
            {
                lost(loser);
            }
            self.rows.push_back((transport, now, *one));
        }
    }

    /// All rows since the last call, in order, as the array has them.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rows.len() * ROW_BYTES);
        for (transport, at, one) in self.rows.drain(..) {
            bytes.extend_from_slice(&transport.0.to_le_bytes());
            bytes.extend_from_slice(&one.seq.to_le_bytes());
            bytes.extend_from_slice(&one.cluster.to_le_bytes());
            bytes.extend_from_slice(&one.size_bytes.to_le_bytes());
            bytes.extend_from_slice(&one.sent_at.0.to_le_bytes());
            bytes.extend_from_slice(&one.arrived_at.to_le_bytes());
            bytes.extend_from_slice(&at.0.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(seq: i64) -> Reported {
        Reported { seq, cluster: 0, size_bytes: 100, sent_at: Instant(1), arrived_at: 2 }
    }

    #[test]
    fn a_row_is_packed() {
        let mut rows = FeedbackRows::default();
        rows.add(Instant(3), TransportId(4), &[reported(5)], |_| unreachable!());
        let bytes = rows.take();
        assert_eq!(bytes.len(), ROW_BYTES);
        assert_eq!(bytes[..12], [4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert!(rows.take().is_empty());
    }

    #[test]
    fn the_oldest_rows_give_way() {
        let mut rows = FeedbackRows::default();
        let mut losers = Vec::new();
        rows.add(Instant(3), TransportId(4), &[reported(0)], |_| unreachable!());
        let many: Vec<_> = (1..=MAX_ROWS as i64).map(reported).collect();
        rows.add(Instant(3), TransportId(5), &many, |loser| losers.push(loser));
        assert_eq!(losers, [TransportId(4)]);
        assert_eq!(rows.take().len(), MAX_ROWS * ROW_BYTES);
    }
}
