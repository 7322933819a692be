//! Bits of a byte string, the highest of each byte first.

use std::ops::Range;

use focus_units::ParseError;

use super::MALFORMED;

/// Reads bits one after the other.
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    /// A reader of what follows so many bits.
    pub(super) const fn at(data: &'a [u8], position: usize) -> Self {
        Self { data, position }
    }

    /// Bits before the next one.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// The next bits as a number, 32 at most.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, ParseError> {
        let mut value = 0_u64;
        let mut left = count as usize;
        while left > 0 {
            let byte = self.data.get(self.position / 8).ok_or(MALFORMED)?;
            let offset = self.position % 8;
            let taken = left.min(8 - offset);
            value = value << taken | u64::from((byte << offset) >> (8 - taken));
            self.position += taken;
            left -= taken;
        }
        Ok(value as u32)
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Result<bool, ParseError> {
        Ok(self.bits(1)? != 0)
    }

    /// `ns(n)` of AV1: a value below `count` in as few bits as can be.
    pub(super) fn non_symmetric(&mut self, count: u32) -> Result<u32, ParseError> {
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        let value = self.bits(width - 1)?;
        if value < short { Ok(value) } else { Ok((value << 1) + self.bits(1)? - short) }
    }
}

/// Writes bits one after the other behind what a buffer holds; the last byte is filled up with zeros.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl<'a> BitWriter<'a> {
    /// Begin with a byte of its own.
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, free: 0 }
    }

    /// Write the lowest bits of a number, 32 at most.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) as u8 & (u8::MAX >> (8 - taken));
            self.free -= taken;
            left -= taken;
            if let Some(last) = self.out.last_mut() {
                *last |= part << self.free;
            }
        }
    }

    /// Write bits of a byte string; what it does not have is left away.
    pub(super) fn copy(&mut self, data: &[u8], bits: Range<usize>) {
        let mut reader = BitReader::at(data, bits.start);
        let mut left = bits.end.min(8 * data.len()).saturating_sub(bits.start);
        while left > 0 {
            let taken = left.min(32) as u32;
            let Ok(value) = reader.bits(taken) else { return };
            self.put(value, taken);
            left -= taken as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in prop::collection::vec((any::<u32>(), 1_u32..=32), 0..20)) {
            let mut out = b"before".to_vec();
            let mut writer = BitWriter::new(&mut out);
            for (value, count) in &numbers {
                writer.put(*value, *count);
            }
            let bits: usize = numbers.iter().map(|(_, count)| *count as usize).sum();
            prop_assert_eq!(out.len(), 6 + bits.div_ceil(8));
            let mut reader = BitReader::at(&out, 48);
            for (value, count) in numbers {
                prop_assert_eq!(reader.bits(count), Ok(value & (u32::MAX >> (32 - count))));
            }
            prop_assert_eq!(reader.position(), 48 + bits);
        }

        #[test]
        fn bits_are_copied_whatever_their_places(
            data in prop::collection::vec(any::<u8>(), 0..12),
            before in 0_u32..8,
            start in 0_usize..100,
            count in 0_usize..100,
        ) {
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            writer.put(0, before);
            writer.copy(&data, start..start + count);
            let mut copied = BitReader::at(&out, before as usize);
            let mut original = BitReader::at(&data, start);
            for _ in 0..count.min((8 * data.len()).saturating_sub(start)) {
                prop_assert_eq!(copied.flag(), Ok(original.flag().expect("a bit")));
            }
            prop_assert!(8 * out.len() - copied.position() < 8);
        }

        #[test]
        fn a_number_below_a_count_takes_as_few_bits_as_can_be(count in 1_u32..=33, value in 0_u32..33) {
            let value = value % count;
            // By its definition in AV1, section 4.10.7.
            let width = 32 - count.leading_zeros();
            let short = (1 << width) - count;
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            if value < short {
                writer.put(value, width - 1);
            } else {
                writer.put(value + short, width);
            }
            writer.put(0b1010_1010, 8);
            let mut reader = BitReader::at(&out, 0);
            prop_assert_eq!(reader.non_symmetric(count), Ok(value));
            prop_assert_eq!(reader.bits(8), Ok(0b1010_1010));
        }
    }

    #[test]
    fn bits_that_are_not_there_are_an_error() {
        let mut reader = BitReader::at(&[0xFF], 3);
        assert_eq!(reader.bits(5), Ok(31));
        assert_eq!(reader.bits(0), Ok(0));
        assert_eq!(reader.bits(1), Err(MALFORMED));
        assert_eq!(BitReader::at(&[], 40).flag(), Err(MALFORMED));
    }
}
