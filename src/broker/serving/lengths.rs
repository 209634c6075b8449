//! Is a queue too long, or would it be?
//!
//! Limits count ready messages and, where publishes are refused, dead letters that the queue keeps
//! for their targets. A message that a consumer takes at once does not count, so a
//! queue whose consumers can take all that waits is looked at again after the deliveries.

use crate::broker::arguments::effective::Overflow;
use crate::broker::key::QueueKey;
use crate::broker::serving::Queues;

impl Queues {
    /// Whether the queue refuses the last of so many messages of together so many bytes
    /// (`reject-publish`), whoever waits for them.
    #[inline]
    pub fn refuses_more(&self, key: QueueKey, messages: u64, bytes: u64) -> bool {
        let Some(queue) = self.queues.get(key) else {
            return false;
        };
        match queue.settings.overflow {
            Overflow::DropHead => false,
            Overflow::RejectPublish | Overflow::RejectPublishDlx => {
                queue.would_be_too_long(messages, bytes)
            }
        }
    }

    /// Whether the queue's consumers can take everything that is ready and `more` messages.
    pub fn consumers_take_all(&self, key: QueueKey, more: u64) -> bool {
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

    /// The queue is looked at after the deliveries, or in the next turn, if it is too long.
    pub fn look_again(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.is_too_long()
            && !queue.overfull
        {
            queue.overfull = true;
            self.overfull.push_back(key);
        }
    }

    /// How many queues there are that may be too long.
    pub fn overfull(&self) -> usize {
        self.overfull.len()
    }

    /// Takes the first of them.
    pub fn pop_overfull(&mut self) -> Option<QueueKey> {
        let key = self.overfull.pop_front()?;
        if let Some(queue) = self.queues.get_mut(key) {
            queue.overfull = false;
        }
        Some(key)
    }
}
