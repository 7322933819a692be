use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const WRAPS: [i64; 4] = [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Forward,
    Drop,
    Late,
}

/// What the map must say, from all that happened since the last rebase; only for short histories.
struct Model {
    next_out: Option<i64>,
    passed: BTreeMap<i64, bool>,
    first: i64,
}

impl Model {
    fn new(first: Option<i64>) -> Self {
        Self { next_out: first, passed: BTreeMap::new(), first: 0 }
    }

    fn highest(&self) -> Option<i64> {
        self.passed.last_key_value().map(|(number, _)| *number)
    }

    fn next_out(&self) -> Option<i64> {
        self.highest().map_or(self.next_out, |highest| Some(self.out(highest + 1)))
    }

    fn out(&self, number: i64) -> i64 {
        let dropped = self.passed.range(..number).filter(|(_, forwarded)| !**forwarded).count() as i64;
        number - self.first - dropped + self.next_out.unwrap_or(self.first)
    }

    fn rebase(&mut self) {
        self.next_out = self.next_out();
        self.passed.clear();
    }

    fn advance(&mut self, number: i64, forwarded: bool) {
        if self.highest().is_some_and(|highest| number - highest - 1 > MAX_GAP) {
            self.rebase();
        }
        if self.passed.is_empty() {
            self.first = number;
        }
        self.passed.insert(number, forwarded);
    }

    fn forward(&mut self, number: i64) -> Option<i64> {
        if self.highest().is_none_or(|highest| number > highest) {
            self.advance(number, true);
        }
        let is_left_out = number < self.first || self.passed.get(&number) == Some(&false);
        (!is_left_out).then(|| self.out(number))
    }

    fn drop(&mut self, number: i64) {
        if self.highest().is_none_or(|highest| number > highest) && self.next_out().is_some() {
            self.advance(number, false);
        }
    }
}

proptest! {
    #[test]
    fn the_map_agrees_with_a_model(
        first in proptest::option::of(0..40_000i64),
        start in select(&WRAPS[..]),
        steps in vec((0..3u8, prop_oneof![9 => -3..4i64, 1 => -1_100..1_100i64]), 0..120),
    ) {
        let (mut numbers, mut model, mut newest) = (OffsetMap::new(first), Model::new(first), start);
        for (operation, step) in steps {
            let number = newest + step;
            newest = newest.max(number);
            match operation {
                0 => prop_assert_eq!(numbers.forward(number), model.forward(number)),
                1 => {
                    numbers.drop(number);
                    model.drop(number);
                }
                _ if step > 2 => {
                    numbers.rebase();
                    model.rebase();
                }
                _ => prop_assert_eq!(numbers.next_out(), model.next_out()),
            }
        }
    }

    #[test]
    fn what_is_dropped_leaves_no_gap(start in select(&WRAPS[..]), keep in vec(any::<bool>(), 0..300)) {
        let mut numbers = OffsetMap::new(Some(7));
        let mut out = Vec::new();
        for (number, kept) in (start..).zip(&keep) {
            if *kept {
                out.push(numbers.forward(number).unwrap());
            } else {
                numbers.drop(number);
            }
        }
        prop_assert_eq!(&out, &(7..7 + out.len() as i64).collect::<Vec<_>>());
        prop_assert_eq!(numbers.next_out(), Some(7 + out.len() as i64));
    }

    #[test]
    fn what_is_late_fills_exactly_its_own_gap(
        start in select(&WRAPS[..]),
        fates in vec(select(&[Fate::Forward, Fate::Drop, Fate::Late][..]), 1..120),
    ) {
        let mut numbers = OffsetMap::new(Some(100));
        let mut sent = vec![numbers.forward(start).unwrap()];
        for (number, fate) in (start + 1..).zip(&fates) {
            match fate {
                Fate::Forward => sent.push(numbers.forward(number).unwrap()),
                Fate::Drop => numbers.drop(number),
                Fate::Late => {}
            }
        }
        for (number, fate) in (start + 1..).zip(&fates) {
            if *fate == Fate::Late {
                sent.push(numbers.forward(number).unwrap());
            }
        }
        sent.sort_unstable();
        prop_assert_eq!(&sent, &(100..100 + sent.len() as i64).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_dropped_never_comes_back(
        start in select(&WRAPS[..]), keep in vec(any::<bool>(), 0..60), tail in 0..60usize,
    ) {
        let mut numbers = OffsetMap::new(Some(0));
        for (number, kept) in (start..).zip(keep.iter().copied().chain(std::iter::repeat_n(true, tail))) {
            if kept {
                numbers.forward(number);
            } else {
                numbers.drop(number);
            }
        }
        for (number, kept) in (start..).zip(&keep) {
            prop_assert_eq!(numbers.forward(number).is_some(), *kept);
        }
    }
}

#[test]
fn the_same_number_is_the_same_again() {
    let mut numbers = OffsetMap::new(Some(5));
    assert_eq!([10, 12, 10, 12].map(|n| numbers.forward(n)), [5, 7, 5, 7].map(Some));
}

#[test]
fn dropping_what_has_passed_changes_nothing() {
    let mut numbers = OffsetMap::new(Some(5));
    numbers.forward(10);
    numbers.forward(12);
    numbers.drop(10);
    numbers.drop(11);
    assert_eq!([10, 11, 12, 13].map(|n| numbers.forward(n)), [5, 6, 7, 8].map(Some));
}

#[test]
fn without_a_first_number_they_stay_as_they_are() {
    let mut numbers = OffsetMap::new(None);
    assert_eq!(numbers.next_out(), None);
    numbers.drop(39);
    numbers.rebase();
    assert_eq!(numbers.next_out(), None);
    assert_eq!(numbers.forward(40), Some(40));
    assert_eq!(numbers.next_out(), Some(41));
}

#[test]
fn a_first_number_that_is_dropped_takes_none() {
    let mut numbers = OffsetMap::new(Some(100));
    numbers.drop(5);
    assert_eq!(numbers.forward(6), Some(100));
    assert_eq!(numbers.forward(5), None);
}

#[test]
fn rebasing_continues_the_numbers_and_shuts_out_what_was_before() {
    let mut numbers = OffsetMap::new(Some(100));
    numbers.forward(10);
    numbers.rebase();
    assert_eq!(numbers.forward(5_000), Some(101));
    assert_eq!(numbers.forward(4_999), None);
    numbers.rebase();
    assert_eq!(numbers.forward(3), Some(102));
}

#[test]
fn a_loss_too_long_to_repair_closes_up() {
    let mut numbers = OffsetMap::new(Some(100));
    numbers.forward(0);
    assert_eq!(numbers.forward(MAX_GAP + 1), Some(100 + MAX_GAP + 1));
    assert_eq!(numbers.forward(2 * MAX_GAP + 3), Some(100 + MAX_GAP + 2));
    assert_eq!(numbers.forward(2 * MAX_GAP + 2), None);
}

#[test]
fn a_drop_after_a_loss_too_long_to_repair_closes_up_too() {
    let mut numbers = OffsetMap::new(Some(100));
    numbers.forward(0);
    numbers.drop(MAX_GAP + 2);
    assert_eq!(numbers.forward(MAX_GAP + 3), Some(101));
}

#[test]
fn ranges_are_bounded_and_what_is_older_is_refused() {
    let most = MAX_RANGES as i64;
    let mut numbers = OffsetMap::new(Some(0));
    for number in (0..4 * most).step_by(2) {
        numbers.forward(number);
        numbers.drop(number + 1);
    }
    assert_eq!(numbers.forward(0), None);
    assert_eq!(numbers.forward(4 * most - 2), Some(2 * most - 1));
    assert_eq!(numbers.forward(4 * most), Some(2 * most));
    assert_eq!(numbers.ranges.len(), MAX_RANGES);
    assert_eq!(numbers.ranges.capacity(), MAX_RANGES);
}

#[test]
fn dropping_goes_on_where_only_one_range_is_left() {
    let mut numbers = OffsetMap::new(Some(0));
    numbers.drop(0);
    for number in 1..10 * MAX_RANGES as i64 {
        numbers.drop(number);
    }
    assert_eq!(numbers.forward(10 * MAX_RANGES as i64), Some(0));
    assert_eq!(numbers.ranges.len(), 2);
}
