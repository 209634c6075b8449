//! What ends at its time: messages, and queues that nobody uses?
//!
//! A queue's own time to live ends in the order of its line, so only the fronts are looked at;
//! messages with one of their own stand in a heap of the queue. The broker keeps one heap of
//! the times at which queues have to be looked at.

use std::cmp::Reverse;

use crate::amqp::{Properties, PropertyList};
use crate::broker::flow::death::Reason;
use crate::broker::key::QueueKey;
use crate::broker::{Broker, Queue};
use crate::storage::{Entry, Store};

impl Broker {
    /// When a turn has something to do that only the time brings about, in ms since 1970.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let others = [self.next_delayed_ms(), self.next_compaction_ms(), self.next_retry_ms()];
        self.queues.next_wakeup_ms().into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Ends what has reached its time.
    pub fn expire(&mut self) {
        while self.may_kill()
            && let Some(due) = self.queues.pop_due(self.clock_ms)
        {
            self.work.spend(1);
            if let Some(key) = due {
                self.expire_messages(key);
                self.retain_stream(key);
                self.expire_queue(key);
            }
        }
    }

    /// The node starts at this time, in ms since 1970.
    pub fn start_clock(&mut self, unix_ms: u64) {
        self.set_clock(unix_ms);
        self.queues.touch_all(self.clock_ms);
    }

    /// Notes when a message that joined a queue has to leave it.
    pub(in crate::broker) fn note_deadline(&mut self, key: QueueKey, entry: Entry, priority: u8) {
        let record = self.store.record(entry.at);
        let times = (record.published_ms(), record.expiry_ms());
        self.queues.note_deadline(key, entry, priority, times);
    }

    /// A message without any time to live that no consumer takes at once is gone at once.
    pub(in crate::broker) fn expire_at_once(&mut self, key: QueueKey, entry: Entry, priority: u8) {
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        let record = self.store.record(entry.at);
        let deadline = queue.deadline_ms(record.published_ms(), record.expiry_ms());
        if deadline.is_none_or(|at| at > self.clock_ms) || self.queues.consumers_take_all(key, 0) {
            return;
        }
        let Some((queue, scratch)) = self.queues.get_with_scratch(key) else {
            return;
        };
        if queue.ready.remove(entry.id, priority, scratch).is_some() {
            self.die(key, entry, Reason::Expired);
        }
    }

    /// Whether a message of a queue is past its time.
    pub(in crate::broker) fn is_past(&self, queue: &Queue, entry: Entry) -> bool {
        let record = self.store.record(entry.at);
        queue.is_past(record.published_ms(), record.expiry_ms(), self.clock_ms)
    }

    fn expire_messages(&mut self, key: QueueKey) {
        let now = self.clock_ms;
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |next| next.min(at)));
        let lanes = match self.queues.get(key) {
            Some(queue) if queue.settings.message_ttl_ms.is_some() => queue.ready.lanes(),
            Some(_) => 0,
            None => return,
        };
        for lane in 0..lanes {
            while let Some((entry, deadline)) = self.front_deadline(key, lane) {
                if deadline > now || !self.may_kill() {
                    sooner(deadline);
                    break;
                }
                if let Some((queue, scratch)) = self.queues.get_with_scratch(key) {
                    queue.ready.remove(entry.id, lane, scratch);
                }
                self.die(key, entry, Reason::Expired);
            }
        }
        loop {
            let may_kill = self.may_kill();
            let Some((queue, scratch)) = self.queues.get_with_scratch(key) else {
                return;
            };
            let Some(&Reverse((deadline, id, lane))) = queue.timed.peek() else {
                break;
            };
            if deadline > now || !may_kill {
                sooner(deadline);
                break;
            }
            queue.timed.pop();
            self.work.spend(1);
            if let Some(entry) = queue.ready.remove(id, lane, scratch) {
                self.die(key, entry, Reason::Expired);
            }
        }
        if let Some(at) = next {
            self.queues.wake(key, at);
        }
    }

    fn front_deadline(&self, key: QueueKey, lane: u8) -> Option<(Entry, u64)> {
        let queue = self.queues.get(key)?;
        let entry = queue.ready.front_of(lane)?;
        let record = self.store.record(entry.at);
        Some((entry, queue.deadline_ms(record.published_ms(), record.expiry_ms())?))
    }

    /// `x-expires`: a queue without consumers that nobody asked for long enough goes.
    fn expire_queue(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        let Some(expires) = queue.settings.expires_ms else {
            return;
        };
        if !queue.line.is_empty() {
            return;
        }
        let at = queue.used_at_ms.saturating_add(expires);
        if at > self.clock_ms {
            return self.queues.wake(key, at);
        }
        log::info!("queue '{}' expired: it was not used for {expires} ms", queue.name);
        self.let_queue_go(key);
    }
}

/// The priority that a stored message asked for; 0 when it has none.
pub(in crate::broker) fn priority_of(store: &Store, entry: Entry) -> u8 {
    priority_in(store.record(entry.at).properties())
}

/// The priority in a message's property bytes; 0 when it has none.
pub(in crate::broker) fn priority_in(properties: &[u8]) -> u8 {
    Properties::new(properties).list().ok().and_then(|list| list.priority).unwrap_or(0)
}

/// The time to live that a message brings itself, in milliseconds.
pub(in crate::broker) fn ttl_in(list: &PropertyList<'_>) -> Option<u64> {
    // With a sign, as it was let in; a nought may have any.
    let text = std::str::from_utf8(list.expiration?).ok()?;
    text.parse::<i64>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Table;
    use crate::broker::flow::message::{Content, Message};
    use crate::broker::key::{ArenaKey, ChannelKey};
    use crate::broker::queue::STALE_DEADLINES_MAX;
    use crate::broker::testing::{NOW_MS, declare, open};
    use crate::storage::Body;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn publish_for(broker: &mut Broker, queue: QueueKey, ttl_ms: u64) {
        let message = Message {
            content: Content {
                exchange: b"",
                routing_key: b"q",
                properties: &[0, 0],
                body: Body::Inline(b"body"),
            },
            persistent: false,
            priority: 0,
            ttl_ms: Some(ttl_ms),
            delay: None,
            dedup_key: None,
        };
        broker.enqueue(&[queue], &message).unwrap();
    }

    #[test]
    fn deadlines_of_messages_that_were_taken_are_forgotten_and_the_others_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        let channel = ChannelKey::new(0, 1);
        for _ in 0..10 {
            publish_for(&mut broker, queue, 100);
        }
        let returned = broker.get(queue, channel, false).unwrap().unsettled;
        let kept = broker.get(queue, channel, false).unwrap().unsettled;
        broker.requeue(&returned);
        for _ in 0..3 * STALE_DEADLINES_MAX {
            publish_for(&mut broker, queue, DAY_MS);
            let last = broker.queues().get(queue).unwrap().ready.len() - 1;
            // The newest is taken each time; the older ones go back.
            let mut taken: Vec<_> =
                (0..=last).map(|_| broker.get(queue, channel, false).unwrap().unsettled).collect();
            broker.ack(&taken.pop().unwrap());
            taken.iter().for_each(|unsettled| broker.requeue(unsettled));
        }
        let timed = broker.queues().get(queue).unwrap().timed.len();
        assert!(timed <= 2 * 9 + STALE_DEADLINES_MAX + 1, "{timed}");
        broker.requeue(&kept);
        broker.set_clock(NOW_MS + 100);
        broker.expire();
        assert_eq!(broker.queues().get(queue).unwrap().ready.len(), 0);
    }
}
