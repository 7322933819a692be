//! Which packets to ask for again, and when (generic NACK, RFC 4585 section 6.2.1).

use std::collections::VecDeque;

/// Packets of one RTP stream that are asked for at a time. More: longer bursts of loss are repaired; fewer:
/// a stranger who jumps ahead makes us remember less.
pub const MAX_MISSING: usize = 512;

/// How often one packet is asked for. More: repairs on worse paths; fewer: an end for what nobody has.
pub const MAX_ASKED: u8 = 10;

/// Between two requests for one packet. Shorter: asks again while the first answer is on its way; longer: the
/// repair may come too late for the picture.
pub const RETRY_NS: i64 = 60_000_000;

/// The gaps of one RTP stream.
#[derive(Debug, Default)]
pub struct Missing {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    asked: u8,
    due_ns: i64,
}

impl Missing {
    /// Note that so many packets before this one are not here; of a longer gap the newest.
    pub fn add(&mut self, before: u64, count: u64, now_ns: i64) {
        for seq in before - count.min(MAX_MISSING as u64)..before {
            if self.entries.len() == MAX_MISSING {
                self.entries.pop_front();
            }
            self.entries.push_back(Entry { seq, asked: 0, due_ns: now_ns });
        }
    }

    /// Note that one came after all.
    pub fn remove(&mut self, seq: u64) {
        if let Ok(index) = self.entries.binary_search_by_key(&seq, |entry| entry.seq) {
            self.entries.remove(index);
        }
    }

    /// The packets to ask for now, in order; they count as asked for.
    pub fn due(&mut self, now_ns: i64) -> Vec<u16> {
        let mut due = Vec::new();
        self.entries.retain_mut(|entry| {
            if entry.due_ns > now_ns {
                return true;
            }
            if entry.asked == MAX_ASKED {
                return false;
            }
            entry.asked += 1;
            entry.due_ns = now_ns + RETRY_NS;
            due.push(entry.seq as u16);
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_for_at_once_and_then_in_intervals() {
        let mut missing = Missing::default();
        missing.add(65_538, 3, 0);
        assert_eq!(missing.due(0), [65_535, 0, 1]);
        assert!(missing.due(RETRY_NS - 1).is_empty());
        missing.remove(65_536);
        assert_eq!(missing.due(RETRY_NS), [65_535, 1]);
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let mut missing = Missing::default();
        missing.add(2, 1, 0);
        let asked = (0..20).map(|round| missing.due(round * RETRY_NS).len()).sum::<usize>();
        assert_eq!(asked, usize::from(MAX_ASKED));
    }

    #[test]
    fn a_long_gap_is_remembered_in_part() {
        let mut missing = Missing::default();
        missing.add(100_000, 50_000, 0);
        let due = missing.due(0);
        assert_eq!((due.len(), due.last()), (MAX_MISSING, Some(&(99_999_u64 as u16))));
    }
}
