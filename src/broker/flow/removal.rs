//! What comes with a queue, and what goes with a queue or an exchange?
//!
//! As many bindings lead to a queue as its clients like, and auto-delete exchanges go with their
//! last binding, one behind the other: what is removed is counted, and the rest goes by and by.

use crate::broker::Broker;
use crate::broker::exchange::binding::Destination;
use crate::broker::flow::events::Event;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, ExchangeKey, QueueKey, VhostKey};
use crate::broker::queue::Queue;

/// What it costs to remove a queue or an exchange, beside what belongs to it.
const WORK_PER_REMOVAL: usize = 10;

/// What it costs to remove a binding, or a deduplication key.
const WORK_PER_BINDING: usize = 10;

/// So many of them go at once whatever was done before: nobody sees an ordinary queue or exchange
/// with a part of its bindings.
const BINDINGS_AT_ONCE: usize = 100;

impl Broker {
    /// Takes a queue in, under the policies that match it.
    pub(in crate::broker) fn create_queue(&mut self, mut queue: Queue) -> QueueKey {
        self.spend_matching(queue.vhost);
        queue.settings = self.topology.settings_of(&queue);
        let (vhost, name, is_reply_queue) = (queue.vhost, queue.name.clone(), queue.is_reply_queue);
        let key = self.queues.insert(queue, self.clock_ms);
        self.topology.add_queue(vhost, name, key, is_reply_queue);
        key
    }

    /// Removes a queue, its bindings and consumers; its ready messages are settled by and by.
    /// `false`: it has more bindings than this step allows, and is to be removed again.
    #[must_use]
    pub(in crate::broker) fn remove_queue(&mut self, key: QueueKey) -> bool {
        self.work.spend(WORK_PER_REMOVAL);
        let Some(queue) = self.queues.get(key) else {
            return true;
        };
        let vhost = queue.vhost;
        if !self.remove_bindings_to(vhost, Destination::Queue(key)) {
            return false;
        }
        self.note_consumers_end(key);
        self.queues.cancel_all(key, &mut self.effects);
        let Some(queue) = self.queues.remove(key) else {
            return true;
        };
        self.topology.remove_queue(vhost, &queue.name, queue.is_reply_queue);
        if !queue.is_reply_queue {
            self.note_deleted(Event::QueueDeleted, vhost, &queue.name);
        }
        if queue.is_durable() {
            self.topology.erase_queue(&mut self.store, &queue);
        }
        if !queue.ready.is_empty() {
            self.discard(queue.id, queue.ready, false);
        }
        for ready in queue.stream.into_iter().flat_map(|stream| stream.into_lines()) {
            self.discard(queue.id, ready, false);
        }
        true
    }

    /// Nobody uses the queue any more: it is removed, at once if this step allows it, or by and by.
    /// Nobody finds it any more.
    pub(in crate::broker) fn let_queue_go(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.leaving = true;
            self.leaving.push_back(key);
            self.go_on_removing();
        }
    }

    /// Removes an exchange and every binding that it has a part in. `false`: that is more than this
    /// step allows, and it is to be removed again.
    #[must_use]
    pub(in crate::broker) fn remove_exchange(&mut self, key: ExchangeKey) -> bool {
        self.work.spend(WORK_PER_REMOVAL);
        let Some(exchange) = self.topology.exchange(key) else {
            return true;
        };
        let vhost = exchange.vhost;
        let is_free = self.remove_dedup_keys(key)
            && self.remove_bindings_from(vhost, key)
            && self.remove_bindings_to(vhost, Destination::Exchange(key));
        if is_free {
            self.note_exchange_deleted(key);
            self.topology.remove_exchange(key, &mut self.store);
            self.drop_delayed(key);
        }
        is_free
    }

    /// An exchange lost a binding: if it was the last one of an auto-delete exchange, that goes.
    pub(in crate::broker) fn lost_binding(&mut self, source: ExchangeKey) {
        if self.topology.is_unbound(source) {
            self.unbound.push_back(source);
            self.go_on_removing();
        }
    }

    /// Removes a bounded number of what is on its way out: auto-delete exchanges without bindings,
    /// and queues that nobody uses or whose connection ended.
    pub fn go_on_removing(&mut self) {
        while !self.work.is_done() {
            // First what goes with what was removed before.
            if let Some(key) = self.unbound.pop_front() {
                // It may have been bound again.
                if self.topology.is_unbound(key) && !self.remove_exchange(key) {
                    self.unbound.push_front(key);
                }
            } else if let Some(key) = self.leaving.pop_front() {
                if !self.remove_queue(key) {
                    self.leaving.push_front(key);
                }
            } else {
                return;
            }
        }
    }

    /// A connection ended: the queues that belonged to it go.
    pub fn delete_exclusive_queues(&mut self, connection: ConnectionKey) {
        self.leaving.extend(self.queues.take_owned(connection));
        self.go_on_removing();
    }

    /// A channel closes: first its consumers go, so that nothing that it gives back comes to
    /// it again.
    pub fn end_consumers(&mut self, key: ChannelKey) {
        for consumer in self.queues.take_consumers(key) {
            self.end_consumer(consumer);
        }
    }

    /// Ends a consumer at its client's wish; what it has not settled stays with the channel. It may
    /// be the end of an auto-delete queue.
    pub fn end_consumer(&mut self, key: ConsumerKey) {
        self.note_consumer(Event::ConsumerDeleted, key);
        if let Some(queue) = self.queues.end(key, self.clock_ms) {
            self.let_queue_go(queue);
        }
    }

    /// Removes the bindings to a queue or exchange; whether none is left.
    fn remove_bindings_to(&mut self, vhost: VhostKey, destination: Destination) -> bool {
        let mut removed = 0;
        while let Some(binding) = {
            let Self { topology, queues, store, .. } = &mut *self;
            topology.remove_binding_to(vhost, destination, queues, store)
        } {
            self.note_binding(Event::BindingDeleted, vhost, &binding);
            if self.topology.is_unbound(binding.source) {
                self.unbound.push_back(binding.source);
            }
            removed += 1;
            self.work.spend(WORK_PER_BINDING);
            if removed >= BINDINGS_AT_ONCE && self.work.is_done() {
                return self.topology.bindings_to(vhost, destination) == 0;
            }
        }
        true
    }

    /// Removes the bindings from an exchange; whether none is left.
    fn remove_bindings_from(&mut self, vhost: VhostKey, source: ExchangeKey) -> bool {
        let mut removed = 0;
        while let Some(binding) = {
            let Self { topology, queues, store, .. } = &mut *self;
            topology.remove_binding_from(vhost, source, queues, store)
        } {
            self.note_binding(Event::BindingDeleted, vhost, &binding);
            removed += 1;
            self.work.spend(WORK_PER_BINDING);
            if removed >= BINDINGS_AT_ONCE && self.work.is_done() {
                return self.topology.bindings_from(vhost, source) == 0;
            }
        }
        true
    }

    /// Removes what a deduplicating exchange remembers; whether nothing is left.
    fn remove_dedup_keys(&mut self, key: ExchangeKey) -> bool {
        let mut removed = 0;
        while self.topology.forget_dedup_key(key, &mut self.store) {
            removed += 1;
            self.work.spend(WORK_PER_BINDING);
            if removed >= BINDINGS_AT_ONCE && self.work.is_done() {
                return false;
            }
        }
        true
    }
}
