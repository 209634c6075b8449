//! What happens when a queue is as long as it may be?
//!
//! Limits count ready messages. A message that a consumer takes at once does not count, so a
//! queue whose consumers can take all that waits is looked at again after the deliveries.

use crate::broker::Broker;
use crate::broker::flow::death::Reason;
use crate::broker::key::QueueKey;

impl Broker {
    /// Drops what is too much in a queue that just grew, at once or after the deliveries. One
    /// that refuses publishes instead never drops: it is longer than it may be after a requeue.
    pub(in crate::broker) fn limit_length(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        if !queue.drops_heads() || !queue.is_too_long() || queue.overfull {
            return;
        }
        if self.queues.consumers_take_all(key, 0) {
            return self.queues.look_again(key);
        }
        self.drop_heads(key);
    }

    /// After the deliveries: what nobody took and is too much goes.
    pub fn enforce_limits(&mut self) {
        for _ in 0..self.queues.overfull() {
            if let Some(key) = self.queues.pop_overfull() {
                self.drop_heads(key);
                self.retain_stream(key);
            }
            if self.work.is_done() {
                return;
            }
        }
    }

    /// Drops the oldest messages, of the lowest priority first, until the queue is within its
    /// limits; one at least, and the rest of very many by and by.
    pub(in crate::broker) fn drop_heads(&mut self, key: QueueKey) {
        while let Some((queue, scratch)) = self.queues.get_with_scratch(key)
            && queue.drops_heads()
            && queue.is_too_long()
        {
            let Some(entry) = queue.ready.pop_lowest(scratch) else {
                return;
            };
            self.die(key, entry, Reason::MaxLength);
            if !self.may_kill() {
                return self.queues.look_again(key);
            }
        }
    }
}
