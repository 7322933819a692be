//! Wire numbers that wrap, as plain growing numbers.

/// Turns numbers of so many bits into integers that go on after a wrap.
///
/// The first number starts one whole turn up, so that numbers reordered before it are never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwrapper<const BITS: u32> {
    highest: Option<i64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    const TURN: i64 = 1 << BITS;

    /// Nothing heard of yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The full number nearest to the highest so far (ties go down: as old as can be).
    pub fn unwrap(&mut self, number: impl Into<u32>) -> i64 {
        let full = self.nearest(number);
        if self.highest.is_none_or(|highest| full > highest) {
            self.highest = Some(full);
        }
        full
    }

    /// What `unwrap` would say, for a number that is only heard of: nothing moves on.
    #[must_use]
    pub fn nearest(&self, number: impl Into<u32>) -> i64 {
        let number = i64::from(number.into());
        let Some(highest) = self.highest else { return Self::TURN + number };
        let step = (number - highest) & (Self::TURN - 1);
        highest + if step < Self::TURN / 2 { step } else { step - Self::TURN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wraps(bits: u32) -> [i64; 4] {
        [0, (1 << (bits - 1)) - 1, 1 << (bits - 1), (1 << bits) - 1]
    }

    fn follows<const BITS: u32>(wrap: usize, steps: &[i64]) {
        let start = wraps(BITS)[wrap];
        let wire = |number: i64| (number & ((1 << BITS) - 1)) as u32;
        let mut unwrapper = Unwrapper::<BITS>::new();
        let first = unwrapper.unwrap(wire(start));
        let (mut number, mut highest) = (start, start);
        for step in steps {
            number += step;
            if highest - number > 127 {
                number = highest; // further back than half a turn of 8 bits: nobody can tell
            }
            highest = highest.max(number);
            assert_eq!(unwrapper.nearest(wire(number)) - first, number - start);
            assert_eq!(unwrapper.unwrap(wire(number)) - first, number - start);
        }
    }

    fn is_the_wire_number_in_some_turn<const BITS: u32>() {
        for start in wraps(BITS) {
            for number in wraps(BITS) {
                let mut unwrapper = Unwrapper::<BITS>::new();
                assert_eq!(unwrapper.unwrap(start as u32) & ((1 << BITS) - 1), start);
                let full = unwrapper.unwrap(number as u32);
                assert!(full >= 0);
                assert_eq!(full & ((1 << BITS) - 1), number);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_steps_the_full_numbers_follow_them(
            wrap in 0_usize..4,
            steps in prop::collection::vec(-100_i64..=120, 0..300),
        ) {
            follows::<8>(wrap, &steps);
            follows::<15>(wrap, &steps);
            follows::<16>(wrap, &steps);
            follows::<32>(wrap, &steps);
        }

        #[test]
        fn hearing_of_a_number_says_the_same_and_moves_nothing(numbers in prop::collection::vec(any::<u16>(), 1..20)) {
            let mut unwrapper = Unwrapper::<16>::new();
            for number in &numbers {
                let before = unwrapper;
                let heard = unwrapper.nearest(*number);
                prop_assert_eq!(unwrapper, before);
                prop_assert_eq!(unwrapper.unwrap(*number), heard);
            }
        }
    }

    #[test]
    fn the_full_number_is_the_wire_number_in_some_turn_and_never_negative() {
        is_the_wire_number_in_some_turn::<8>();
        is_the_wire_number_in_some_turn::<15>();
        is_the_wire_number_in_some_turn::<16>();
        is_the_wire_number_in_some_turn::<32>();
    }

    #[test]
    fn what_was_sent_before_the_first_is_below_it() {
        let mut unwrapper = Unwrapper::<16>::new();
        let first = unwrapper.unwrap(1_u16);
        assert_eq!([65_535_u16, 0, 2].map(|number| unwrapper.unwrap(number) - first), [-2, -1, 1]);
    }

    #[test]
    fn an_old_number_does_not_pull_the_others_back() {
        let mut unwrapper = Unwrapper::<16>::new();
        let first = unwrapper.unwrap(0_u16);
        unwrapper.unwrap(35_536_u16);
        assert_eq!(unwrapper.unwrap(32_000_u16), first + 32_000);
    }

    #[test]
    fn half_a_turn_away_is_old() {
        let mut unwrapper = Unwrapper::<16>::new();
        let first = unwrapper.unwrap(100_u16);
        assert_eq!(unwrapper.unwrap(100_u16 + (1 << 15)), first - (1 << 15));
        assert_eq!(unwrapper.unwrap(100_u16 + (1 << 15) - 1), first + (1 << 15) - 1);
    }
}
