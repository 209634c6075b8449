//! Which objects does somebody look at over time, and what were they some time ago?
//!
//! An object has a history from when it is first asked for until nobody asked for some time. How
//! many there are is bounded, and with it what they cost.

use std::collections::HashMap;

use crate::broker::counters::HAPPENINGS;
use crate::broker::history::{History, Span};
use crate::broker::key::{ChannelKey, ConnectionKey, ExchangeKey, QueueKey};

/// Something that can be looked at over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watchable {
    /// A queue.
    Queue(QueueKey),
    /// An exchange.
    Exchange(ExchangeKey),
    /// A channel.
    Channel(ChannelKey),
    /// A connection.
    Connection(ConnectionKey),
}

/// What is kept of one: two figures that go up and down, and what is counted.
pub type Figures = [u64; 2 + HAPPENINGS];

/// The figures of a queue that go up and down.
pub const READY: usize = 0;
/// The same.
pub const UNACKED: usize = 1;
/// Where what happened begins; of exchanges and connections, what they count has the first places.
pub const HAPPENED: usize = 2;

/// An object's figures: the two that go up and down, and what is counted.
pub fn figures(gauges: [u64; 2], counts: &[u64]) -> Figures {
    let mut figures = Figures::default();
    figures[..HAPPENED].copy_from_slice(&gauges);
    figures[HAPPENED..HAPPENED + counts.len()].copy_from_slice(counts);
    figures
}

/// How far back: ten minutes sample by sample, an hour in minutes.
const SPANS: &[Span] =
    &[Span { step_ms: 0, age_ms: 10 * 60_000 }, Span { step_ms: 60_000, age_ms: 60 * 60_000 }];

/// The most objects that have a history: 1.4 MB in full.
pub const WATCHED_MAX: usize = 64;

/// A history goes when nobody asked for it for so long.
pub const KEPT_MS: u64 = 10 * 60_000;

/// All that somebody looks at.
#[derive(Debug, Default)]
pub struct Watched {
    objects: HashMap<Watchable, Watching>,
}

#[derive(Debug)]
struct Watching {
    history: History<{ 2 + HAPPENINGS }>,
    asked_at_ms: u64,
}

impl Watched {
    /// Somebody looks at an object, which has these figures now. The one that nobody asked for
    /// longest makes room for it.
    pub fn look(
        &mut self,
        object: Watchable,
        now_ms: u64,
        figures: Figures,
    ) -> &History<{ 2 + HAPPENINGS }> {
        if !self.objects.contains_key(&object) && self.objects.len() >= WATCHED_MAX {
            let oldest = self.objects.iter().min_by_key(|(_, watching)| watching.asked_at_ms);
            if let Some(oldest) = oldest.map(|(object, _)| *object) {
                self.objects.remove(&oldest);
            }
        }
        let watching = self.objects.entry(object).or_insert_with(|| {
            let mut history = History::new(HAPPENED, SPANS);
            history.record(now_ms, figures);
            Watching { history, asked_at_ms: now_ms }
        });
        watching.asked_at_ms = now_ms;
        &watching.history
    }

    /// It is time for samples: `figures` says what an object has; what is gone, or was not asked
    /// for, leaves.
    pub fn record(&mut self, now_ms: u64, figures: impl Fn(Watchable) -> Option<Figures>) {
        self.objects.retain(|object, watching| {
            let is_asked_for = now_ms.saturating_sub(watching.asked_at_ms) < KEPT_MS;
            let Some(figures) = figures(*object).filter(|_| is_asked_for) else {
                return false;
            };
            watching.history.record(now_ms, figures);
            true
        });
    }

    /// Whether nobody looks at anything.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::key::ArenaKey;

    fn queue(number: u32) -> Watchable {
        Watchable::Queue(QueueKey::new(number, 1))
    }

    #[test]
    fn a_history_begins_when_it_is_asked_for_and_goes_when_nobody_asks() {
        let mut watched = Watched::default();
        let one = |count| std::array::from_fn(|_| count);
        watched.look(queue(1), 1_000, one(5));
        watched.record(6_000, |_| Some(one(6)));
        let history = watched.look(queue(1), 7_000, one(9));
        assert_eq!(history.at(999), None);
        assert_eq!(history.at(5_999).map(|figures| figures[READY]), Some(5));
        assert_eq!(history.at(7_000).map(|figures| figures[HAPPENED]), Some(6));
        watched.record(7_000 + KEPT_MS - 1, |_| Some(one(7)));
        assert!(!watched.is_empty());
        watched.record(7_000 + KEPT_MS, |_| Some(one(7)));
        assert!(watched.is_empty());
        watched.look(queue(2), 1_000_000, one(5));
        watched.record(1_000_001, |_| None);
        assert!(watched.is_empty(), "the object is gone");
    }

    #[test]
    fn so_many_objects_have_a_history_and_no_more() {
        let mut watched = Watched::default();
        for (number, at_ms) in (0..).zip(0..3 * WATCHED_MAX as u64) {
            watched.look(queue(number), at_ms, [0; 2 + HAPPENINGS]);
            watched.look(queue(0), at_ms, [0; 2 + HAPPENINGS]);
            assert!(watched.objects.len() <= WATCHED_MAX);
        }
        assert!(watched.objects.contains_key(&queue(0)), "somebody always asks for it");
        assert!(!watched.objects.contains_key(&queue(1)));
    }

    #[test]
    fn a_history_takes_as_much_memory_as_was_said() {
        let mut watched = Watched::default();
        watched.look(queue(1), 0, [0; 2 + HAPPENINGS]);
        for second in 0..24 * 60 * 60 / 5 {
            watched.look(queue(1), 5_000 * second, [0; 2 + HAPPENINGS]);
            watched.record(5_000 * second, |_| Some([second; 2 + HAPPENINGS]));
        }
        let bytes = watched.objects[&queue(1)].history.bytes();
        assert!(bytes * WATCHED_MAX < 3_000_000, "{bytes}");
    }
}
