//! How long were messages in their queues when somebody got them for the first time?

/// A histogram of these times. What goes straight from its publisher to a consumer was there for
/// no time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TimesInQueue {
    /// How many there were up to each bound but above the one before, and above the last.
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_ms: u64,
}

/// The bounds of the buckets, inclusive, in milliseconds: 1, 10, 100 ms; 1, 10 s; 1, 10 min; an
/// hour; a day.
pub const BOUNDS_MS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000];

impl TimesInQueue {
    /// A message was there for so long, in milliseconds.
    #[inline]
    pub fn note(&mut self, ms: u64) {
        // Where consumers keep up there is nothing to look for.
        let bucket = if ms <= BOUNDS_MS[0] { 0 } else { BOUNDS_MS.partition_point(|&b| b < ms) };
        self.counts[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// For each bound, how many were there for at most so long; at last, with no bound, all.
    pub fn up_to(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS_MS.iter().map(|&bound| Some(bound)).chain([None]);
        bounds.zip(self.counts).scan(0, |all, (bound, count)| {
            *all += count;
            Some((bound, *all))
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them were there together, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_up_to_the_bounds_that_it_does_not_exceed() {
        let mut times = TimesInQueue::default();
        let all = [0, 1, 2, 10, 11, 1_000, 60_000, 60_001, 86_400_000, 86_400_001, u64::MAX];
        all.iter().for_each(|&ms| times.note(ms));
        for (bound, count) in times.up_to() {
            let expected = all.iter().filter(|&&ms| bound.is_none_or(|bound| ms <= bound)).count();
            assert_eq!(count, expected as u64, "{bound:?}");
        }
        assert_eq!(times.up_to().count(), 10);
        assert_eq!((times.count(), times.sum_ms()), (11, u64::MAX));
    }
}
