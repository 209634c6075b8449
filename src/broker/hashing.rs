//! Hash functions for keys that no peer chooses, and one that never changes.
//!
//! Names that come from peers are hashed by the standard library's keyed hasher; what stands here
//! is for ids of our own making ([`IdBuild`]) and for the consistent-hash exchange
//! ([`stable_hash`]), whose choices must be the same after a restart. Imports nothing of the crate.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`IdHasher`]s, for maps whose keys are ids or hashes already.
pub type IdBuild = BuildHasherDefault<IdHasher>;

/// A cheap hasher for a few integers: multiply and fold.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher {
    state: u64,
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.state = fold(self.state ^ value, FOLD_FACTOR);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        // Discriminants of enums come this way.
        self.write_u64(value.cast_unsigned() as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

/// A hash of `bytes` that is the same on every machine, in every version and for ever: FNV-1a,
/// then mixed, since FNV alone leaves the high bits of short keys alike.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads every bit of `value` over all bits of the result, one to one (the finalizer of
/// SplitMix64).
#[inline]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The two halves of the product, folded into one word.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let high = (product >> 64) as u64;
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    let low = product as u64;
    high ^ low
}

/// Odd, without pattern: the fraction of the golden ratio.
const FOLD_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn the_stable_hash_is_what_it_always_was() {
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable_hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
        assert_eq!(stable_hash(b"foobar"), mix(0x8594_4171_f739_67e8));
    }

    #[test]
    fn neighbouring_ids_do_not_collide() {
        let build = IdBuild::default();
        let hashes: HashSet<u64> = (0..300u32)
            .flat_map(|a| (0..300u32).map(move |b| (a, b)))
            .map(|k| build.hash_one(k))
            .collect();
        assert_eq!(hashes.len(), 90_000);
    }
}
