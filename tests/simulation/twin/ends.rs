//! What becomes of things when queues, channels and connections end?

use std::ops::RangeInclusive;

use leveret::amqp::Method;

use super::{At, ConnId, Consumer, ConsumerId, Mode, QueueId, Settlement, Tag, Twin};
use crate::ops::End;

impl Twin {
    /// `queue.delete-ok`.
    pub fn expect_deleted(&mut self, at: At, messages: &RangeInclusive<u64>) {
        let received = self.next_received(at, "queue.delete-ok");
        let Method::QueueDeleteOk(ok) = received.method() else {
            panic!("queue.delete-ok expected, got {received:?}");
        };
        assert!(messages.contains(&ok.message_count.into()), "{ok:?}, not {messages:?}");
    }

    /// A queue goes with its messages, bindings and consumers.
    pub fn remove_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(&id) else {
            return;
        };
        for consumer in queue.consumers {
            let Consumer { at, tag, .. } = self.consumers.remove(&consumer).unwrap();
            self.channel(at).tags.insert(tag.clone(), Tag::Ended);
            self.cancels.push((at, tag, true));
        }
        for copied in queue.ready {
            self.settled.push((id, copied, self.stamp));
        }
        if queue.spec.durable {
            self.topology_stamp = Some(self.stamp);
            self.removed.push((id, queue.name.clone(), self.stamp));
        }
        self.remove_bindings_to(End::Queue, &queue.name);
    }

    pub fn remove_exchange(&mut self, name: &str) {
        if self.exchanges.remove(name).is_none() {
            return;
        }
        self.topology_stamp = Some(self.stamp);
        self.forget_held_back(name);
        self.bindings.retain(|binding| binding.source != name);
        self.remove_bindings_to(End::Exchange, name);
    }

    fn remove_bindings_to(&mut self, end: End, name: &str) {
        let (gone, kept) = std::mem::take(&mut self.bindings)
            .into_iter()
            .partition(|binding| binding.end == end && binding.destination == name);
        self.bindings = kept;
        let gone: Vec<crate::ops::Binding> = gone;
        for binding in gone {
            self.delete_if_unbound(&binding.source);
        }
    }

    /// An auto-delete exchange that lost its last binding goes.
    pub fn delete_if_unbound(&mut self, name: &str) {
        let auto_delete = self.exchanges.get(name).is_some_and(|e| e.spec.auto_delete);
        if auto_delete && !self.bindings.iter().any(|b| b.source == name) {
            self.remove_exchange(name);
        }
    }

    /// A consumer ends by its client; that may be the end of an auto-delete queue.
    pub fn remove_consumer(&mut self, id: ConsumerId) {
        let consumer = self.consumers.remove(&id).unwrap();
        let Some(queue) = self.queues.get_mut(&consumer.queue) else {
            return;
        };
        queue.consumers.retain(|&other| other != id);
        if queue.active == Some(id) {
            // The first one of the highest priority.
            let best = queue.consumers.iter().rev().max_by_key(|id| self.consumers[id].priority);
            queue.active = best.copied();
        }
        let replies = queue.replies;
        queue.used_at_ms = self.now_ms;
        if queue.consumers.is_empty() && queue.spec.auto_delete {
            self.remove_queue(consumer.queue);
        }
        if replies {
            self.channel(consumer.at).replies = None;
        }
    }

    /// A channel's consumers end, then everything that it held goes back in order.
    pub fn release_channel(&mut self, at: At) {
        let tags = std::mem::take(&mut self.channel(at).tags);
        let mut ids: Vec<ConsumerId> = tags
            .into_values()
            .filter_map(|tag| match tag {
                Tag::Consumer(id) => Some(id),
                Tag::Ended => None,
            })
            .collect();
        ids.sort_unstable();
        for id in ids {
            self.remove_consumer(id);
        }
        let channel = self.channel(at);
        let mut unacked = std::mem::take(&mut channel.unacked);
        if let Mode::Transaction { settled, .. } = &mut channel.mode {
            let settled = std::mem::take(settled).into_iter();
            unacked.extend(settled.map(|(tag, held, _)| (tag, held)));
        }
        for held in unacked.into_values() {
            self.settle_one(at, held, Settlement::Requeue);
        }
    }

    /// The same of all channels of a connection that is about to close.
    pub fn confirmed_before_end(&mut self, conn: ConnId) {
        let channels = &self.connections[&conn].channels;
        let open = channels.iter().filter(|(_, channel)| !channel.closing);
        for channel in open.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.confirmed_before_close(At { conn, channel });
        }
    }

    /// The connection is over: its channels go, then its exclusive queues.
    pub fn end_connection(&mut self, conn: ConnId) {
        let numbers: Vec<u16> = self.connection(conn).channels.keys().copied().collect();
        for channel in numbers {
            self.release_channel(At { conn, channel });
        }
        self.connection(conn).channels.clear();
        let owned = |(_, queue): &(&QueueId, &super::Queue)| queue.owner == Some(conn);
        let owned: Vec<QueueId> = self.queues.iter().filter(owned).map(|(id, _)| *id).collect();
        for queue in owned {
            self.remove_queue(queue);
        }
        self.connection(conn).closed = true;
        self.connection(conn).awaited = None;
    }
}
