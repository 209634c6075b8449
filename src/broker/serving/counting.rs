//! What happened in each queue, and who is sampled next?

use std::time::Duration;

use crate::broker::counters::Happening;
use crate::broker::key::QueueKey;
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;
use crate::broker::work::Work;

/// The queues in which something was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Those with rates, or with something new.
    listed: Vec<QueueKey>,
    /// So many of them are still to be sampled, and how long ago they were before.
    left: usize,
    interval: Duration,
}

impl Counted {
    /// Counts something that happened in a queue.
    #[inline]
    pub(super) fn note(&mut self, key: QueueKey, queue: &mut Queue, what: Happening) {
        if queue.counters.get_or_insert_default().note(what) {
            self.listed.push(key);
        }
    }
}

impl Queues {
    /// Something happened in a queue.
    #[inline]
    pub fn count(&mut self, key: QueueKey, what: Happening) {
        if let Some(queue) = self.queues.get_mut(key) {
            self.counted.note(key, queue, what);
        }
    }

    /// A message was handed out for the first time, so many milliseconds after it came.
    #[inline]
    pub fn count_first(&mut self, key: QueueKey, what: Happening, after_ms: u64) {
        if let Some(queue) = self.queues.get_mut(key) {
            self.counted.note(key, queue, what);
            if let Some(counters) = &mut queue.counters {
                counters.times_in_queue.note(after_ms);
            }
        }
    }

    /// Samples are due, so long after the last ones.
    pub fn begin_sampling(&mut self, interval: Duration) {
        self.counted.interval = interval;
        self.counted.left = self.counted.listed.len();
    }

    /// Whether samples are left to take.
    pub fn is_sampling(&self) -> bool {
        self.counted.left > 0
    }

    /// Whether some queue's rates will change.
    pub fn has_listed(&self) -> bool {
        !self.counted.listed.is_empty()
    }

    /// Takes samples, as far as this step allows.
    pub fn go_on_sampling(&mut self, work: &mut Work) {
        while self.counted.left > 0 && !work.is_done() {
            work.spend(1);
            self.counted.left -= 1;
            let place = self.counted.left;
            let queue = self.queues.get_mut(self.counted.listed[place]);
            let counters = queue.and_then(|queue| queue.counters.as_mut());
            let stays = counters.is_some_and(|counters| counters.sample(self.counted.interval));
            if !stays {
                // What comes to its place has been sampled, or came since.
                self.counted.listed.swap_remove(place);
            }
        }
    }
}
