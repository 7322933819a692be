//! Numbers that must not be guessed, or that repeat themselves in a test.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator of one plane.
#[derive(Debug)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// From 32 bytes of the system's randomness, or of a test's choice.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A generator that starts from numbers of this one: what it gives tells nothing of the others.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(ChaCha12Rng::from_rng(&mut self.0))
    }

    /// 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
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
        let mut forks = [random.fork(), random.fork(), Random::from_seed([7; 32])];
        let [one, other, root] = forks.each_mut().map(Random::next_u32);
        assert!(one != other && one != root && other != root);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let mut one = Random::from_seed([7; 32]);
        let mut other = Random::from_seed([7; 32]);
        assert_eq!(one.next_u32(), other.next_u32());
    }
}
