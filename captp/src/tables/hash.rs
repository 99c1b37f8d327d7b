//! A quick hash of single integers, with a random seed.
//!
//! The standard one takes some 150 instructions for eight bytes. Here it is a
//! multiplication by a secret, of which both halves of the product are used: whoever
//! picks the integers does not know which of them will collide.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes the hashers of one table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded {
    add: u64,
    multiply: u64,
}

impl Default for Seeded {
    fn default() -> Self {
        let random = RandomState::new();
        // Odd, so that no bit of an integer is lost.
        Self { add: random.hash_one(0), multiply: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for Seeded {
    type Hasher = IntegerHasher;

    fn build_hasher(&self) -> IntegerHasher {
        IntegerHasher { hash: self.add, multiply: self.multiply }
    }
}

/// Hashes one integer.
pub(crate) struct IntegerHasher {
    hash: u64,
    multiply: u64,
}

impl Hasher for IntegerHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, value: u64) {
        self.hash = fold(fold(self.hash ^ value, self.multiply), SPREAD);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Brings every bit of a number everywhere: to the high and to the low ones.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The two halves of a product, one upon the other.
#[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn fold(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn positions_spread_over_all_bits_and_differently_in_each_table() {
        assert_ne!(Seeded::default().hash_one(7_u64), Seeded::default().hash_one(7_u64));
        let one = Seeded { add: 0x0123_4567_89ab_cdef, multiply: 0x2545_f491_4f6c_dd1d };
        // The map uses the lowest bits for the place and the highest seven for a tag.
        for shift in [0, 3, 20, 32, 54] {
            let hashes = (0..1024_u64).map(|pos| one.hash_one(pos << shift));
            let low: HashSet<_> = hashes.clone().map(|hash| hash & 1023).collect();
            let high: HashSet<_> = hashes.map(|hash| hash >> 57).collect();
            assert!(low.len() > 256 && high.len() > 64, "{shift}: {} {}", low.len(), high.len());
        }
    }
}
