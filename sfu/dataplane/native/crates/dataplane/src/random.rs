//! Numbers that must not be guessed, or that repeat themselves in a test.

use std::cell::RefCell;
use std::rc::Rc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator of one core. Cores on one thread may have one in common: whoever asks gets its next number.
#[derive(Clone, Debug)]
pub struct Random(Rc<RefCell<ChaCha12Rng>>);

impl Random {
    /// From 32 bytes of the system's randomness, or of a test's choice.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Rc::new(RefCell::new(ChaCha12Rng::from_seed(seed))))
    }

    /// A seed for another generator: what that gives tells nothing of this one.
    #[must_use]
    pub fn fork(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.borrow_mut().fill_bytes(&mut seed);
        seed
    }

    /// 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.borrow_mut().next_u32()
    }

    /// A number below 2**15, where sequence numbers begin (packet rule 3).
    pub fn first_sequence_number(&mut self) -> i64 {
        i64::from(self.next_u32() & 0x7FFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sequence_numbers_are_in_the_lower_half() {
        let mut random = Random::from_seed([7; 32]);
        assert!((0..1_000).all(|_| (0..1 << 15).contains(&random.first_sequence_number())));
    }

    #[test]
    fn forks_give_other_numbers_than_one_another() {
        let mut random = Random::from_seed([7; 32]);
        let seeds = [random.fork(), random.fork(), [7; 32]];
        let mut forks = seeds.map(Random::from_seed);
        let [one, other, root] = forks.each_mut().map(Random::next_u32);
        assert!(one != other && one != root && other != root);
    }

    #[test]
    fn cores_that_share_a_generator_never_get_the_same_number() {
        let (mut one, mut alone) = (Random::from_seed([7; 32]), Random::from_seed([7; 32]));
        let mut other = one.clone();
        let shared = [one.next_u32(), other.next_u32(), one.next_u32()];
        assert_eq!(shared, [alone.next_u32(), alone.next_u32(), alone.next_u32()]);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let mut one = Random::from_seed([7; 32]);
        let mut other = Random::from_seed([7; 32]);
        assert_eq!(one.next_u32(), other.next_u32());
    }
}
