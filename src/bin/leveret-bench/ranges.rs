//! Which numbers are in a set, when they come mostly in runs: a sorted list of ranges.

/// A set of numbers as sorted, disjoint, non-adjacent half-open ranges.
///
/// It holds at most [`RANGES_MAX`] ranges; numbers that would need one more are left out, so
/// that a run gone wrong cannot eat the memory. (It then excuses fewer messages than it could,
/// never more.)
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    ranges: Vec<(u64, u64)>,
}

/// The most ranges a set holds: 16 MiB.
pub const RANGES_MAX: usize = 1 << 20;

impl Ranges {
    /// Adds one number; adding it twice is adding it once.
    pub fn insert(&mut self, number: u64) {
        // Nearly always the end is extended.
        match self.ranges.last_mut() {
            Some((_, end)) if *end == number => {
                *end += 1;
                return;
            }
            Some((_, end)) if number > *end => {
                self.push(self.ranges.len(), number, number + 1);
                return;
            }
            Some(_) => {}
            None => {
                self.ranges.push((number, number + 1));
                return;
            }
        }
        let at = self.ranges.partition_point(|&(_, end)| end < number);
        let (start, end) = self.ranges[at];
        if number + 1 < start {
            self.push(at, number, number + 1);
        } else if number + 1 == start {
            self.ranges[at].0 = number;
        } else if number == end {
            self.ranges[at].1 = number + 1;
            if self.ranges.get(at + 1).is_some_and(|next| next.0 == number + 1) {
                self.ranges[at].1 = self.ranges[at + 1].1;
                self.ranges.remove(at + 1);
            }
        }
    }

    /// Adds all of `start..end`, which must lie after everything in the set.
    pub fn append(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            Some(last) => {
                assert!(last.1 < start, "ranges are appended in order");
                self.push(self.ranges.len(), start, end);
            }
            None => self.ranges.push((start, end)),
        }
    }

    /// Takes one number out; false when it was not there.
    pub fn remove(&mut self, number: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end <= number);
        let Some(&(start, end)) = self.ranges.get(at) else {
            return false;
        };
        if number < start {
            return false;
        }
        match (number == start, number + 1 == end) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].0 = number + 1,
            (false, true) => self.ranges[at].1 = number,
            (false, false) => {
                self.ranges[at].1 = number;
                self.push(at + 1, number + 1, end);
            }
        }
        true
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end <= number);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= number)
    }

    /// The numbers of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| start..end)
    }

    fn push(&mut self, at: usize, start: u64, end: u64) {
        if self.ranges.len() < RANGES_MAX {
            self.ranges.insert(at, (start, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_an_ordinary_set() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let (mut ranges, mut twin) = (Ranges::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let number = next() % 300;
            if next() % 3 == 0 {
                assert_eq!(ranges.remove(number), twin.remove(&number));
            } else {
                ranges.insert(number);
                twin.insert(number);
            }
            let probe = next() % 300;
            assert_eq!(ranges.contains(probe), twin.contains(&probe));
        }
        assert!(ranges.iter().eq(twin.iter().copied()));
        for pair in ranges.ranges.windows(2) {
            assert!(pair[0].1 < pair[1].0, "adjacent ranges are one");
        }
    }

    #[test]
    fn a_run_is_one_range() {
        let mut ranges = Ranges::default();
        (0..1000).for_each(|number| ranges.insert(number));
        ranges.append(1000, 2000);
        ranges.append(3000, 3000);
        ranges.append(5000, 5002);
        assert_eq!(ranges.ranges, vec![(0, 2000), (5000, 5002)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ranges = Ranges::default();
        let most = u64::try_from(RANGES_MAX).unwrap();
        (0..most + 10).for_each(|number| ranges.insert(number * 2));
        assert_eq!(ranges.ranges.len(), RANGES_MAX);
        assert!(!ranges.contains(most * 2));
    }
}
