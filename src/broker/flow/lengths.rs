//! What happens when a queue is as long as it may be?
//!
//! Limits count ready messages. A message that a consumer takes at once does not count, so a
//! queue whose consumers can take all that waits is looked at again after the deliveries.

use crate::broker::Broker;
use crate::broker::arguments::effective::Overflow;
use crate::broker::flow::death::Reason;
use crate::broker::key::QueueKey;

impl Broker {
    /// Whether the queue refuses the last of so many messages of together so many bytes
    /// (`reject-publish`).
    pub(in crate::broker) fn refuses_more(&self, key: QueueKey, messages: u64, bytes: u64) -> bool {
        let Some(queue) = self.queues.get(key) else {
            return false;
        };
        match queue.settings.overflow {
            Overflow::DropHead => false,
            Overflow::RejectPublish | Overflow::RejectPublishDlx => {
                queue.would_be_too_long(messages, bytes) && !self.consumers_take_all(key, messages)
            }
        }
    }

    /// Drops what is too much in a queue that just grew, at once or after the deliveries. One
    /// that refuses publishes instead never drops: it is longer than it may be after a requeue.
    pub(in crate::broker) fn limit_length(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        if !queue.drops_heads() || !queue.is_too_long() || queue.overfull {
            return;
        }
        if self.consumers_take_all(key, 0) {
            return self.look_again(key);
        }
        self.drop_heads(key);
    }

    /// After the deliveries: what nobody took and is too much goes.
    pub fn enforce_limits(&mut self) {
        let mut overfull = std::mem::take(&mut self.overfull).into_iter();
        for key in overfull.by_ref() {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.overfull = false;
                self.drop_heads(key);
                self.retain_stream(key);
            }
            if self.work.is_done() {
                break;
            }
        }
        self.overfull.extend(overfull);
    }

    /// Drops the oldest messages, of the lowest priority first, until the queue is within its
    /// limits; one at least, and the rest of very many by and by.
    pub(in crate::broker) fn drop_heads(&mut self, key: QueueKey) {
        while let Some(queue) = self.queues.get_mut(key)
            && queue.drops_heads()
            && queue.is_too_long()
        {
            let Some(entry) = queue.ready.pop_lowest(&mut self.scratch) else {
                return;
            };
            self.die(key, entry, Reason::MaxLength);
            if !self.may_kill() {
                return self.look_again(key);
            }
        }
    }

    /// The queue is looked at after the deliveries, or in the next turn.
    fn look_again(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.is_too_long()
            && !queue.overfull
        {
            queue.overfull = true;
            self.overfull.push(key);
        }
    }

    /// Whether the queue's consumers can take everything that is ready and `more` messages.
    pub(in crate::broker) fn consumers_take_all(&self, key: QueueKey, more: u64) -> bool {
        let Some(queue) = self.queues.get(key) else {
            return false;
        };
        let mut wanted = queue.ready.len() as u64 + more;
        for consumer in queue.line.waiting() {
            let Some(consumer) = self.consumers.get(*consumer) else {
                continue;
            };
            let Some(channel) = self.channels.get(consumer.channel) else {
                continue;
            };
            match consumer.credit(channel) {
                None => return true,
                Some(credit) => wanted = wanted.saturating_sub(u64::from(credit)),
            }
            if wanted == 0 {
                return true;
            }
        }
        false
    }
}
