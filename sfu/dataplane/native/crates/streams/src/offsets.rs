//! Numbers that stay without gaps though some of what they count is left out.

use std::collections::VecDeque;

/// Ranges remembered of one numbering. Lower: packets late by less can't be placed. Higher: more memory per
/// route. Dropping every other packet at 500 packets a second, this remembers half a second.
pub const MAX_RANGES: usize = 256;

/// A loss longer than this is not shown to the receiver. It could not be repaired any more, and a jump of 2¹⁵
/// breaks the receiver's own unwrapping (and SRTP's roll-over counter, RFC 3711 section 3.3.1).
pub const MAX_GAP: i64 = 1_000;

/// Stands in a range for the offset of numbers that were dropped: a third of the memory of an `Option`.
const DROPPED: i64 = i64::MIN;

/// Numbers from `start` up to the next range.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: i64,
    offset: i64,
}

/// Maps growing numbers to growing numbers: what is dropped closes up, what is lost stays a gap.
///
/// Every run of numbers has the offset that was valid when it passed, so that a number that comes late is put
/// where it belongs, and one that was dropped never comes back under the number of another.
#[derive(Debug)]
pub struct OffsetMap {
    next_out: Option<i64>,
    highest: Option<i64>,
    offset: i64,
    ranges: VecDeque<Range>,
}

impl OffsetMap {
    /// Nothing passed yet. `first` is what the first number becomes; `None` keeps it as it is.
    pub const fn new(first: Option<i64>) -> Self {
        Self { next_out: first, highest: None, offset: 0, ranges: VecDeque::new() }
    }

    /// The number after the highest given out; `None` before the first, where that is not fixed.
    pub fn next_out(&self) -> Option<i64> {
        self.highest.map_or(self.next_out, |highest| Some(highest + 1 + self.offset))
    }

    /// What comes next continues the outgoing numbers whatever its own; nothing before it passes.
    pub fn rebase(&mut self) {
        self.next_out = self.next_out();
        self.highest = None;
        self.ranges.clear();
    }

    /// The outgoing number of what is forwarded; the same for the same number.
    ///
    /// `None` where `number` was dropped, or is from before the last rebase or the oldest range known.
    pub fn forward(&mut self, number: i64) -> Option<i64> {
        if self.highest.is_none_or(|highest| number > highest) {
            self.advance(number);
            return Some(number + self.offset);
        }
        let range =
            *self.ranges.get(self.ranges.partition_point(|range| range.start <= number).checked_sub(1)?)?;
        (range.offset != DROPPED).then(|| number + range.offset)
    }

    /// Leave `number` out: what follows closes up. What has been passed already can't be left out.
    pub fn drop(&mut self, number: i64) {
        if self.highest.is_some_and(|highest| number <= highest) || self.next_out().is_none() {
            return;
        }
        self.advance(number);
        self.offset -= 1;
        let follows_dropped = self.ranges.len() > 1 && self.ranges[self.ranges.len() - 2].offset == DROPPED;
        match self.ranges.back_mut() {
            Some(last) if last.start == number && follows_dropped => {
                // The run of dropped numbers grows by one.
                *last = Range { start: number + 1, offset: self.offset };
                return;
            }
            Some(last) if last.start == number => last.offset = DROPPED,
            _ => self.append(number, DROPPED),
        }
        self.append(number + 1, self.offset);
    }

    /// Move on to a number above the highest.
    fn advance(&mut self, number: i64) {
        if self.highest.is_some_and(|highest| number - highest - 1 > MAX_GAP) {
            self.rebase();
        }
        if self.highest.is_none() {
            self.offset = self.next_out.map_or(0, |next_out| next_out - number);
            self.append(number, self.offset);
        }
        self.highest = Some(number);
    }

    fn append(&mut self, start: i64, offset: i64) {
        // First out, then in: the ring stays at a power of two.
        if self.ranges.len() == MAX_RANGES {
            self.ranges.pop_front();
        }
        self.ranges.push_back(Range { start, offset });
    }
}

#[cfg(test)]
mod tests;
