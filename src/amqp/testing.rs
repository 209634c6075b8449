//! Where do the tests get their random numbers from? From a seed.

/// A small generator of numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.number() % bound).unwrap()
    }

    pub fn octet(&mut self) -> u8 {
        self.number().to_be_bytes()[0]
    }

    /// Up to `bound` - 1 random bytes.
    pub fn bytes(&mut self, bound: usize) -> Vec<u8> {
        let count = self.below(bound);
        (0..count).map(|_| self.octet()).collect()
    }

    /// A copy of `bytes` in which up to three bytes are something else.
    pub fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoilt = bytes.to_vec();
        for _ in 0..=self.below(3) {
            if !spoilt.is_empty() {
                let at = self.below(spoilt.len());
                spoilt[at] = self.octet();
            }
        }
        spoilt
    }
}
