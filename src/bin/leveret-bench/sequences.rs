//! Which sequence numbers have arrived? A window of bits over the front, which slides.
//!
//! In the common case, everything in order, it is one word. Numbers that stay away are held
//! open in the window until it would grow beyond [`WINDOW_WORDS_MAX`]; then they become holes,
//! which may still be filled later.

use std::collections::VecDeque;

use crate::ranges::Ranges;

/// The set of sequence numbers seen of one publisher in one queue.
#[derive(Debug, Default)]
pub struct SequenceSet {
    /// Everything below has been seen, unless it is in `holes`. A multiple of 64.
    base: u64,
    window: VecDeque<u64>,
    holes: Ranges,
    count: u64,
    lowest: Option<u64>,
    end: u64,
}

/// The widest window, in words of 64 numbers: 8 MiB, 67 million numbers.
pub const WINDOW_WORDS_MAX: usize = 1 << 20;

impl SequenceSet {
    /// Notes `number`; false when it was there before.
    #[inline]
    pub fn insert(&mut self, number: u64) -> bool {
        if number < self.base {
            return self.fill_hole(number);
        }
        let word = (number - self.base) / 64;
        let bit = 1_u64 << (number % 64);
        let index = match usize::try_from(word) {
            Ok(index) if index < self.window.len() => index,
            Ok(_) | Err(_) => self.grow(number),
        };
        let word = &mut self.window[index];
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        let complete = *word == u64::MAX;
        self.counted(number);
        if index == 0 && complete {
            self.slide();
        }
        true
    }

    /// Whether `number` has been seen.
    pub fn contains(&self, number: u64) -> bool {
        if number < self.base {
            return !self.holes.contains(number);
        }
        let word = usize::try_from((number - self.base) / 64).unwrap_or(usize::MAX);
        self.window.get(word).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many different numbers have been seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lowest number seen.
    pub fn lowest(&self) -> Option<u64> {
        self.lowest
    }

    /// One past the highest number seen.
    pub fn end(&self) -> u64 {
        self.end
    }

    #[inline]
    fn counted(&mut self, number: u64) {
        self.count += 1;
        self.end = self.end.max(number + 1);
        if self.lowest.is_none_or(|lowest| number < lowest) {
            self.lowest = Some(number);
        }
    }

    #[cold]
    fn fill_hole(&mut self, number: u64) -> bool {
        let new = self.holes.remove(number);
        if new {
            self.counted(number);
        }
        new
    }

    /// Drops complete words from the front.
    fn slide(&mut self) {
        while self.window.front() == Some(&u64::MAX) {
            self.window.pop_front();
            self.base += 64;
        }
    }

    /// Makes the window reach `number`, which lies behind its end, and returns its word.
    #[cold]
    fn grow(&mut self, number: u64) -> usize {
        loop {
            let word = usize::try_from((number - self.base) / 64).unwrap_or(usize::MAX);
            if word < WINDOW_WORDS_MAX {
                self.window.resize(word + 1, 0);
                return word;
            }
            match self.window.pop_front() {
                Some(front) => {
                    self.give_up(front);
                    self.slide();
                }
                None => {
                    let start = number & !63;
                    self.holes.append(self.base, start);
                    self.base = start;
                }
            }
        }
    }

    /// Turns what is missing in the front word, just taken off, into holes.
    fn give_up(&mut self, front: u64) {
        for bit in 0..64 {
            if front & (1 << bit) == 0 {
                self.holes.append(self.base + bit, self.base + bit + 1);
            }
        }
        self.base += 64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn in_order_it_stays_one_word() {
        let mut set = SequenceSet::default();
        for number in 0..100_000 {
            assert!(set.insert(number));
            assert!(set.window.len() <= 1);
        }
        assert!(!set.insert(5));
        assert!(!set.insert(99_999));
        assert_eq!((set.count(), set.end(), set.lowest()), (100_000, 100_000, Some(0)));
    }

    #[test]
    fn it_agrees_with_an_ordinary_set() {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let (mut set, mut twin) = (SequenceSet::default(), BTreeSet::new());
        for round in 0..50_000 {
            let number = round / 4 + next() % 300;
            assert_eq!(set.insert(number), twin.insert(number));
        }
        for number in 0..15_000 {
            assert_eq!(set.contains(number), twin.contains(&number));
        }
        assert_eq!(set.count(), u64::try_from(twin.len()).unwrap());
        assert_eq!(set.end(), twin.last().unwrap() + 1);
    }

    #[test]
    fn a_gap_too_wide_becomes_holes_that_can_be_filled() {
        let mut set = SequenceSet::default();
        assert!(set.insert(1));
        let far = 64 * u64::try_from(WINDOW_WORDS_MAX).unwrap() * 3;
        assert!(set.insert(far));
        assert!(set.window.len() <= WINDOW_WORDS_MAX);
        assert!(!set.insert(1), "seen before the jump");
        assert!(set.insert(0), "a hole is filled once");
        assert!(!set.insert(0));
        assert!(set.insert(far - 1));
        assert!(!set.contains(far - 2));
        assert_eq!(set.count(), 4);
        assert_eq!(set.lowest(), Some(0));
    }

    #[test]
    fn one_lost_number_does_not_grow_without_end() {
        let mut set = SequenceSet::default();
        let most = 64 * u64::try_from(WINDOW_WORDS_MAX).unwrap();
        // 0 is lost; every 64th of the rest is enough to show the sliding.
        for number in (64..most * 2).step_by(4096) {
            set.insert(number);
        }
        assert!(set.window.len() <= WINDOW_WORDS_MAX);
        assert!(!set.contains(0));
        assert!(set.insert(0));
    }
}
