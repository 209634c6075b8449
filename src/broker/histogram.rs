//! How many things are of which size?

/// How many sizes there were up to each of several bounds, and how large all are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const N: usize> {
    /// They ascend.
    bounds: &'static [u64; N],
    /// How many there were up to each bound but above the one before.
    counts: [u64; N],
    /// How many there were above the last.
    beyond: u64,
    sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// One without any size.
    pub const fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, counts: [0; N], beyond: 0, sum: 0 }
    }

    /// There was something of this size.
    #[inline]
    pub fn note(&mut self, size: u64) {
        // Most are small, and there is nothing to look for.
        let bucket =
            if size <= self.bounds[0] { 0 } else { self.bounds.partition_point(|&b| b < size) };
        *self.counts.get_mut(bucket).unwrap_or(&mut self.beyond) += 1;
        self.sum = self.sum.saturating_add(size);
    }

    /// For each bound, how many were at most so large; at last, with no bound, all.
    pub fn up_to(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().map(|&bound| Some(bound)).chain([None]);
        let counts = self.counts.into_iter().chain([self.beyond]);
        bounds.zip(counts).scan(0, |all, (bound, count)| {
            *all += count;
            Some((bound, *all))
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    /// How large all of them were together.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}
