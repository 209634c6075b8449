//! What happened in each queue and channel, and who is sampled next?

use std::time::Duration;

use crate::broker::counters::{Happening, Listed, QueueCounters};
use crate::broker::key::{ChannelKey, QueueKey};
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;
use crate::broker::work::Work;

/// The queues and channels in which something was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    queues: Listed<QueueKey>,
    /// Those of which the node does not know yet, which samples them.
    channels: Vec<ChannelKey>,
}

impl Counted {
    /// Counts something that happened in a queue.
    #[inline]
    pub(super) fn note(&mut self, key: QueueKey, queue: &mut Queue, what: Happening) {
        if counters(queue).happened.note(what) {
            self.queues.push(key);
        }
    }

    /// A queue has more or fewer messages than before, ready or not acknowledged.
    #[inline]
    pub(super) fn note_length(&mut self, key: QueueKey, queue: &mut Queue) {
        if counters(queue).list() {
            self.queues.push(key);
        }
    }
}

/// Those of a queue, from the first time on that something happens there.
#[inline]
fn counters(queue: &mut Queue) -> &mut QueueCounters {
    if queue.counters.is_none() {
        begin_to_count(queue);
    }
    queue.counters.as_mut().expect("it was just put there")
}

#[cold]
fn begin_to_count(queue: &mut Queue) {
    queue.counters = Some(Box::new(QueueCounters::starting_at(lengths(queue))));
}

/// How many ready and unacknowledged messages a queue has.
fn lengths(queue: &Queue) -> [u64; 2] {
    [queue.message_count() as u64, queue.unacked as u64]
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

    /// Messages left a queue, or came back to it, without anything that is counted.
    pub(super) fn note_length(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key) {
            self.counted.note_length(key, queue);
        }
    }

    /// Something was counted on a channel that is not to be sampled yet.
    pub fn list_channel(&mut self, key: ChannelKey) {
        self.counted.channels.push(key);
    }

    /// The channels that were listed since this was last asked.
    pub fn counted_channels(&mut self) -> &mut Vec<ChannelKey> {
        &mut self.counted.channels
    }

    /// Samples are due, so long after the last ones.
    pub fn begin_sampling(&mut self, interval: Duration) {
        self.counted.queues.begin(interval);
    }

    /// Whether samples are left to take.
    pub fn is_sampling(&self) -> bool {
        self.counted.queues.is_sampling()
    }

    /// Whether some queue's or channel's rates will change.
    pub fn has_listed(&self) -> bool {
        !self.counted.queues.is_empty() || !self.counted.channels.is_empty()
    }

    /// Takes samples, as far as this step allows.
    pub fn go_on_sampling(&mut self, work: &mut Work) {
        let queues = &mut self.queues;
        self.counted.queues.go_on(work, |key, interval| {
            queues.get_mut(key).is_some_and(|queue| {
                let lengths = lengths(queue);
                let counters = queue.counters.as_mut();
                counters.is_some_and(|counters| counters.sample(lengths, interval))
            })
        });
    }
}
