//! What becomes of a delivered message: acknowledged, put back, or dropped?

use std::collections::VecDeque;

use crate::broker::Broker;
use crate::broker::counters::Happening;
use crate::broker::flow::compaction::Relocations;
use crate::broker::flow::death::Reason;
use crate::broker::flow::delivery::slot_in;
use crate::broker::flow::expiry::priority_of;
use crate::broker::queue::ready::Ready;
use crate::broker::serving::{Deliveries, Unsettled};
use crate::broker::work::CONSUMERS_PER_WORK;
use crate::storage::{Entry, QueueId, Store};

/// What an acknowledgement does to its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The message was processed.
    Ack,
    /// The message goes back to its queue.
    Requeue,
    /// The message was refused.
    Reject,
}

impl Broker {
    /// Whether this step may carry out one settlement of this kind more.
    #[inline]
    pub fn may_settle(&self, settlement: Settlement) -> bool {
        match settlement {
            Settlement::Ack | Settlement::Requeue => !self.work.is_done(),
            Settlement::Reject => self.may_kill(),
        }
    }

    /// Deliveries of a channel that ended go back to their queues: at once what this step allows,
    /// and the rest by and by.
    pub fn give_back(&mut self, deliveries: impl IntoIterator<Item = Deliveries>) {
        self.returning.extend(deliveries);
        self.go_on_returning();
    }

    /// Puts back a bounded number of the deliveries of channels that ended.
    pub fn go_on_returning(&mut self) {
        while let Some(deliveries) = self.returning.front_mut() {
            let Some((_, unsettled)) = deliveries.pop_front() else {
                self.returning.pop_front();
                continue;
            };
            if let Some(unsettled) = unsettled {
                self.requeue(&unsettled);
            } else {
                self.work.spend(1);
            }
            if self.work.is_done() {
                return;
            }
        }
    }

    /// Carries a settlement out.
    pub fn settle(&mut self, unsettled: &Unsettled, settlement: Settlement) {
        match settlement {
            Settlement::Ack => self.ack(unsettled),
            Settlement::Requeue => self.requeue(unsettled),
            Settlement::Reject => self.reject(unsettled),
        }
    }

    /// Whether the settlement does nothing but settle the message, so that a transaction's
    /// record can do it.
    pub fn is_settled_by(&self, unsettled: &Unsettled, settlement: Settlement) -> bool {
        let dead_lettered = || {
            let queue = self.queues.get(unsettled.queue);
            queue.is_some_and(|queue| queue.settings.dead_letter_exchange.is_some())
        };
        match settlement {
            Settlement::Ack => true,
            Settlement::Requeue => false,
            Settlement::Reject => !dead_lettered(),
        }
    }

    /// The consumer is done with the message.
    pub fn ack(&mut self, unsettled: &Unsettled) {
        self.work.spend(1);
        self.count(unsettled.queue, Happening::Ack);
        if !unsettled.kept {
            let (entry, slot) =
                self.relocations.take(unsettled.queue_id, unsettled.entry, unsettled.slot);
            self.drop_dedup_key(unsettled.queue, entry);
            self.store.settle(entry.at, slot);
        }
        self.give_credit_back(unsettled);
    }

    /// The consumer does not want the message and nobody else shall have it.
    pub fn reject(&mut self, unsettled: &Unsettled) {
        if unsettled.kept {
            return self.give_credit_back(unsettled);
        }
        let (entry, slot) =
            self.relocations.take(unsettled.queue_id, unsettled.entry, unsettled.slot);
        self.die_unaccounted(unsettled.queue, entry, slot, Reason::Rejected);
        self.give_credit_back(unsettled);
    }

    /// The message goes back to where it was, marked as redelivered; one that was delivered
    /// too often dies.
    pub fn requeue(&mut self, unsettled: &Unsettled) {
        self.work.spend(2);
        if unsettled.kept {
            return self.give_credit_back(unsettled);
        }
        self.put_back(unsettled);
        self.give_credit_back(unsettled);
        self.queues.mark_dirty(unsettled.queue);
    }

    fn put_back(&mut self, unsettled: &Unsettled) {
        let (entry, slot) =
            self.relocations.take(unsettled.queue_id, unsettled.entry, unsettled.slot);
        let Some(queue) = self.queues.get_mut(unsettled.queue) else {
            return self.store.settle(entry.at, slot);
        };
        let deliveries = u64::from(self.store.deliveries(slot));
        if queue.settings.delivery_limit.is_some_and(|limit| deliveries > limit) {
            let reason = Reason::DeliveryLimit;
            return self.die_unaccounted(unsettled.queue, entry, slot, reason);
        }
        self.store.log_deliveries(slot);
        let priority = match queue.ready.priority_max() {
            0 => 0,
            _ => priority_of(&self.store, entry),
        };
        queue.ready_bytes += self.store.record(entry.at).body_bytes();
        queue.ready.put_back(entry, priority);
        self.queues.note_back(unsettled.queue);
        self.note_deadline(unsettled.queue, entry, priority);
        self.limit_length(unsettled.queue);
    }

    /// A transaction settled the message in the log; what is left is the credit and the
    /// deduplication key under which its queue knew it.
    pub(in crate::broker) fn settled_by_transaction(
        &mut self,
        unsettled: &Unsettled,
        dedup_key: Option<Box<[u8]>>,
    ) {
        if let Some(dedup_key) = dedup_key {
            self.free_dedup_key(unsettled.queue, unsettled.entry.id, &dedup_key);
        }
        self.relocations.forget(unsettled.queue_id, unsettled.entry.id);
        self.give_credit_back(unsettled);
    }

    /// A delivery was settled: whoever had it may take as much more.
    #[inline]
    fn give_credit_back(&mut self, unsettled: &Unsettled) {
        let looked_at = self.queues.give_credit_back(unsettled, self.clock_ms);
        self.work.spend(looked_at / CONSUMERS_PER_WORK);
    }

    /// Gives a line of messages up: they are settled by and by. `awaited`: somebody asks when that
    /// is durable. Says which line of all it is.
    pub(in crate::broker) fn discard(
        &mut self,
        queue: QueueId,
        ready: Ready,
        awaited: bool,
    ) -> u64 {
        self.discarding.lines.push_back((queue, ready, awaited));
        self.discarding.done + self.discarding.lines.len() as u64
    }

    /// Whether there are messages to settle that purges and deletes left behind.
    pub(in crate::broker) fn is_discarding(&self) -> bool {
        !self.discarding.lines.is_empty() || self.delayed.has_dropped()
    }

    /// Settles a bounded number of the messages that purges and deletes left behind.
    pub fn settle_discarded(&mut self) {
        let changes = &mut self.discarding.changes;
        while changes.front().is_some_and(|&(_, change)| self.store.is_kept(change)) {
            changes.pop_front();
        }
        // What ends a queue, or moves the front of a stream, comes first.
        if self.store.has_deferred() {
            return;
        }
        self.settle_dropped();
        while let Some((queue, ready, awaited)) = self.discarding.lines.front_mut() {
            while !self.work.is_done()
                && let Some(entry) = ready.pop(self.queues.scratch_mut())
            {
                self.work.spend(2);
                settle_for(&mut self.store, &mut self.relocations, *queue, entry);
            }
            if !ready.is_empty() {
                return;
            }
            let awaited = *awaited;
            self.discarding.lines.pop_front();
            self.discarding.done += 1;
            if awaited {
                let change = self.store.note_change();
                self.discarding.changes.push_back((self.discarding.done, change));
            }
        }
    }

    /// Whether all messages of an awaited line are settled, and stay so after a power cut.
    pub fn is_discarded(&self, line: u64) -> bool {
        let change = self.discarding.changes.iter().find(|(done, _)| *done == line);
        line <= self.discarding.done && change.is_none_or(|&(_, change)| self.store.is_kept(change))
    }
}

/// Lines of messages that purges, deletes and streams left behind.
#[derive(Debug, Default)]
pub(in crate::broker) struct Discarding {
    /// With each, whether somebody asks when its messages are settled for good.
    pub(in crate::broker) lines: VecDeque<(QueueId, Ready, bool)>,
    /// Of how many lines every message is settled.
    done: u64,
    /// Awaited lines that are done, each with the change of the log after which that is durable;
    /// those that are durable by now leave.
    changes: VecDeque<(u64, u64)>,
}

fn settle_for(store: &mut Store, relocations: &mut Relocations, queue: QueueId, entry: Entry) {
    let (at, slot) = match relocations.forget(queue, entry.id) {
        Some(place) => place,
        None => (entry.at, slot_in(store, entry, queue).0),
    };
    store.settle(at, slot);
}

#[cfg(test)]
mod tests {
    use super::Settlement;
    use crate::amqp::{Name, Table};
    use crate::broker::requests::consume::Consume;
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, publish, subject};

    #[test]
    fn a_consumer_is_awaited_from_its_first_delivery_or_its_last_settlement() {
        for settlement in [Settlement::Ack, Settlement::Requeue, Settlement::Reject] {
            let directory = tempfile::tempdir().unwrap();
            let mut broker = open(directory.path());
            let (guest, channel) = (subject(&broker), open_channel(&mut broker));
            let queue = declare(&mut broker, "q", Table::EMPTY);
            let (tag, arguments) = (Name::from("tag"), Table::EMPTY);
            let (no_ack, exclusive, prefetch) = (false, false, 2);
            let request = Consume { queue: b"q", tag, no_ack, exclusive, prefetch, arguments };
            let key = broker.consume(&guest, channel, request).unwrap();
            publish(&mut broker, queue, 2);
            broker.set_clock(NOW_MS + 1_000);
            let first = broker.next_delivery(queue).unwrap().unsettled;
            broker.set_clock(NOW_MS + 2_000);
            let second = broker.next_delivery(queue).unwrap().unsettled;
            let told = |broker: &super::Broker| {
                let consumer = broker.queues().consumer(key).unwrap();
                (consumer.awaited_ms(broker.clock_ms()), consumer.settled_at_ms)
            };
            assert_eq!(told(&broker), (1_000, 0), "since the first");
            broker.set_clock(NOW_MS + 5_000);
            broker.settle(&first, settlement);
            broker.set_clock(NOW_MS + 7_000);
            assert_eq!(told(&broker), (2_000, NOW_MS + 5_000));
            broker.settle(&second, settlement);
            broker.set_clock(NOW_MS + 9_000);
            assert_eq!(told(&broker), (0, NOW_MS + 7_000), "it has none");
        }
    }

    /// The answer to a declare waits for every change there was so far.
    #[test]
    fn what_is_discarded_is_a_change_where_somebody_asks_for_it_only() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let client = subject(&broker);
        let queue = declare(&mut broker, "q", Table::EMPTY);
        publish(&mut broker, queue, 10);
        let (_, line) = broker.purge_queue(&client, b"q").unwrap();
        let before = broker.store.changes();
        broker.settle_discarded();
        assert_eq!(broker.store.changes(), before + 1);
        let line = line.expect("a durable queue");
        assert!(!broker.is_discarded(line));
        broker.store.sync_now().unwrap();
        assert!(broker.is_discarded(line));

        publish(&mut broker, queue, 10);
        broker.delete_queue(&client, b"q", false, false).unwrap();
        let before = broker.store.changes();
        broker.settle_discarded();
        assert!(broker.discarding.lines.is_empty());
        assert_eq!(broker.store.changes(), before);
    }
}
