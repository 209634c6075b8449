//! How much is in all queues together?
//!
//! Kept where it changes, so that it costs the same however many queues there are. Queues of
//! direct replies are not counted: they are queues to nobody.

use crate::broker::key::{ChannelKey, QueueKey};
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;

/// What is in all queues together.
///
/// 1. `ready` is the sum of [`Queue::message_count`], `unacked` that of `Queue::unacked`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Messages that wait, those of streams and dead ones that wait for their targets among them.
    pub ready: u64,
    /// Messages that were delivered and are not settled.
    pub unacked: u64,
    /// Queues that there are.
    pub queues: u64,
    /// Channels that are open and on which something was published.
    pub publishers: u64,
}

impl Totals {
    /// A queue that is there came in.
    pub(super) fn add(&mut self, queue: &Queue) {
        self.ready += queue.message_count() as u64;
        self.unacked += queue.unacked as u64;
        self.queues += u64::from(!queue.is_reply_queue);
    }

    /// A queue went, with what is in it.
    pub(super) fn remove(&mut self, queue: &Queue) {
        self.ready -= queue.message_count() as u64;
        self.unacked -= queue.unacked as u64;
        self.queues -= u64::from(!queue.is_reply_queue);
    }
}

impl Queues {
    /// What is in all queues together.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// A message came into a queue other than by a push.
    pub fn note_back(&mut self, key: QueueKey) {
        self.totals.ready += 1;
        self.note_length(key);
    }

    /// So many messages left a queue, and nobody got them.
    pub fn note_gone(&mut self, key: QueueKey, messages: usize) {
        if messages > 0 {
            self.totals.ready -= messages as u64;
            self.note_length(key);
        }
    }

    /// A message left its queue for somebody, which is counted as well.
    #[inline]
    pub fn note_taken(&mut self) {
        self.totals.ready -= 1;
    }

    /// The first message was published on a channel.
    pub fn note_publisher(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.publishes = true;
            self.totals.publishers += 1;
        }
    }

    /// At start: the queues came in empty, and were filled without anybody counting.
    pub fn count_all(&mut self) {
        let mut totals = Totals::default();
        self.queues.iter().for_each(|(_, queue)| totals.add(queue));
        self.totals = totals;
    }
}
