//! What were figures some time ago?
//!
//! The last minutes are kept sample by sample, what is older in longer and longer steps, so that a
//! day takes a bounded amount of memory, and none before the time has gone by. What goes up and
//! down is averaged as it ages; what only grows is what it was at the end of a step.

use std::collections::VecDeque;

/// How far back figures are kept in steps of which length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From one entry to the next at least, in milliseconds; 0: every sample is kept.
    pub step_ms: u64,
    /// How far back, in milliseconds.
    pub age_ms: u64,
}

/// Several figures over some time, each in several spans; the first one is the finest.
///
/// 1. The entries of a span are as old as they stand there, the oldest first.
/// 2. An entry holds until the next one: where nothing changed, nothing is kept.
#[derive(Debug)]
pub struct History<const N: usize> {
    /// So many of the figures, the first ones, go up and down; the others only grow.
    gauges: usize,
    spans: Vec<Kept<N>>,
}

/// One span, filled so far.
#[derive(Debug)]
struct Kept<const N: usize> {
    span: Span,
    entries: VecDeque<(u64, [u64; N])>,
    /// What the gauges were since the last entry, times for how many milliseconds.
    sums: [f64; N],
}

impl<const N: usize> History<N> {
    /// Nothing yet.
    ///
    /// # Panics
    /// When there is no span.
    pub fn new(gauges: usize, spans: &[Span]) -> Self {
        assert!(!spans.is_empty(), "a history has a finest span");
        let kept = |span: &Span| Kept { span: *span, entries: VecDeque::new(), sums: [0.0; N] };
        Self { gauges, spans: spans.iter().map(kept).collect() }
    }

    /// So it is now, in milliseconds since 1970; what was told before is not later.
    pub fn record(&mut self, now_ms: u64, figures: [u64; N]) {
        let before = self.spans[0].entries.back().copied();
        for kept in &mut self.spans {
            if let Some((then_ms, then)) = before {
                kept.note_time(self.gauges, &then, now_ms.saturating_sub(then_ms));
            }
            kept.record(self.gauges, now_ms, figures);
        }
    }

    /// What the figures were at a time, in milliseconds since 1970; `None`: that is too long ago.
    pub fn at(&self, at_ms: u64) -> Option<&[u64; N]> {
        self.spans.iter().find_map(|kept| kept.at(at_ms))
    }

    /// How much a figure changes in a second, by the last two samples.
    #[allow(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    pub fn rate(&self, figure: usize) -> f32 {
        let entries = &self.spans[0].entries;
        let Some(before) = entries.len().checked_sub(2) else {
            return 0.0;
        };
        let ((then_ms, then), (now_ms, now)) = (&entries[before], &entries[before + 1]);
        let change = now[figure].abs_diff(then[figure]) as f32;
        let seconds = now_ms.saturating_sub(*then_ms).max(1) as f32 / 1000.0;
        if now[figure] < then[figure] { -change / seconds } else { change / seconds }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.spans[0].entries.is_empty()
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let entry = size_of::<(u64, [u64; N])>();
        self.spans.iter().map(|kept| kept.entries.capacity() * entry).sum()
    }
}

impl<const N: usize> Kept<N> {
    /// The gauges were this for so long.
    #[allow(clippy::cast_precision_loss, reason = "they are averaged")]
    fn note_time(&mut self, gauges: usize, figures: &[u64; N], for_ms: u64) {
        let sums = self.sums.iter_mut().zip(figures).take(gauges);
        sums.for_each(|(sum, figure)| *sum += *figure as f64 * for_ms as f64);
    }

    /// Keeps an entry if it is time for one, and drops what is too old.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an average of integers lies between them"
    )]
    fn record(&mut self, gauges: usize, now_ms: u64, figures: [u64; N]) {
        let last_ms = self.entries.back().map(|(at_ms, _)| *at_ms);
        let for_ms = last_ms.map(|last_ms| now_ms.saturating_sub(last_ms));
        if for_ms.is_some_and(|for_ms| for_ms < self.span.step_ms) {
            return;
        }
        let mut entry = figures;
        if let Some(for_ms) = for_ms.filter(|for_ms| self.span.step_ms > 0 && *for_ms > 0) {
            for (figure, sum) in entry.iter_mut().zip(self.sums).take(gauges) {
                *figure = (sum / for_ms as f64).round() as u64;
            }
        }
        self.sums = [0.0; N];
        self.entries.push_back((now_ms, entry));
        // One that is older says what was at the beginning.
        let from_ms = now_ms.saturating_sub(self.span.age_ms);
        while self.entries.get(1).is_some_and(|(at_ms, _)| *at_ms <= from_ms) {
            self.entries.pop_front();
        }
    }

    fn at(&self, at_ms: u64) -> Option<&[u64; N]> {
        let behind = self.entries.partition_point(|(entry_ms, _)| *entry_ms <= at_ms);
        Some(&self.entries.get(behind.checked_sub(1)?)?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: &[Span] = &[
        Span { step_ms: 0, age_ms: 60_000 },
        Span { step_ms: 60_000, age_ms: 600_000 },
        Span { step_ms: 600_000, age_ms: 6_000_000 },
    ];

    #[test]
    fn what_only_grows_is_found_as_it_was_and_more_coarsely_the_longer_ago() {
        let mut history = History::<2>::new(1, SPANS);
        assert!(history.is_empty() && history.at(u64::MAX).is_none());
        let end_ms = 10_000_000;
        for at_ms in (5_000..=end_ms).step_by(5_000) {
            history.record(at_ms, [7, at_ms]);
        }
        for (ago_ms, step_ms) in [(0, 5_000), (55_000, 5_000), (300_000, 60_000)]
            .into_iter()
            .chain([(599_000, 60_000), (700_000, 600_000), (5_900_000, 600_000)])
        {
            let at_ms = end_ms - ago_ms;
            let [gauge, count] = *history.at(at_ms).unwrap();
            assert_eq!(gauge, 7, "an average of the same is the same");
            assert!(count <= at_ms && at_ms - count < step_ms, "{ago_ms} ms ago: {count}");
        }
        assert_eq!(history.at(1_000_000), None, "that is too long ago");
        let entries: usize = history.spans.iter().map(|kept| kept.entries.len()).sum();
        assert!(entries <= 13 + 12 + 12, "{entries}");
        assert_eq!(history.rate(1), 1000.0);
    }

    #[test]
    fn what_goes_up_and_down_is_averaged_by_the_time_that_it_stayed() {
        let mut history = History::<1>::new(1, SPANS);
        history.record(0, [100]);
        history.record(15_000, [200]);
        history.record(45_000, [40]);
        history.record(60_000, [1_000_000]);
        let coarse = &history.spans[1].entries;
        // 100 for 15 s, 200 for 30 s, 40 for 15 s.
        assert_eq!(coarse[1], (60_000, [135]));
        assert_eq!(history.at(60_000), Some(&[1_000_000]), "the finest says what it is now");
    }

    #[test]
    fn where_nothing_is_recorded_what_was_before_holds() {
        let mut history = History::<1>::new(0, SPANS);
        history.record(1_000, [5]);
        assert_eq!(history.rate(0), 0.0);
        assert_eq!((history.at(999), history.at(1_000_000_000)), (None, Some(&[5])));
        // A clock that stands still divides nothing by nothing.
        history.record(1_000, [6]);
        assert_eq!(history.at(1_000), Some(&[6]));
        assert!(history.rate(0).is_finite());
        history.record(11_000, [16]);
        assert_eq!(history.rate(0), 1.0);
        history.record(12_000, [6]);
        assert_eq!(history.rate(0), -10.0);
    }
}
