//! What happened to messages, in their queues and in the node?

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::counters::Happening;
use crate::broker::key::QueueKey;

impl Broker {
    /// Something happened to a message in a queue.
    #[inline]
    pub(in crate::broker) fn count(&mut self, key: QueueKey, what: Happening) {
        self.queues.count(key, what);
        self.counters.note(what);
    }

    /// Samples are due, so long after the last ones.
    pub fn begin_sampling(&mut self, interval: Duration) {
        self.counters.sample(interval);
        self.queues.begin_sampling(interval);
    }

    /// Takes samples, as far as this step allows.
    pub fn go_on_sampling(&mut self) {
        self.queues.go_on_sampling(&mut self.work);
    }

    /// Whether rates will change.
    pub fn has_counted(&self) -> bool {
        self.counters.is_listed() || self.queues.has_listed()
    }

    /// Somebody got a message that was delivered so often before.
    #[inline]
    pub(in crate::broker) fn count_handed_out(
        &mut self,
        key: QueueKey,
        what: Happening,
        before: u8,
        published_ms: u64,
    ) {
        if before > 0 {
            self.count(key, what);
            self.count(key, Happening::Redeliver);
        } else {
            self.count_first(key, what, self.clock_ms.saturating_sub(published_ms));
        }
    }

    /// Somebody got a message for the first time, so many milliseconds after it came.
    #[inline]
    pub(in crate::broker) fn count_first(&mut self, key: QueueKey, what: Happening, after_ms: u64) {
        self.queues.count_first(key, what, after_ms);
        self.counters.note(what);
        self.counters.times_in_queue.note(after_ms);
    }
}
