//! What comes with a queue, and what goes with a queue or an exchange?

use crate::broker::Broker;
use crate::broker::exchange::binding::Destination;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, ExchangeKey, QueueKey};
use crate::broker::queue::Queue;

/// What it costs to remove a queue, beside what is in it.
const WORK_PER_REMOVAL: usize = 10;

impl Broker {
    /// Takes a queue in, under the policies that match it.
    pub(in crate::broker) fn create_queue(&mut self, mut queue: Queue) -> QueueKey {
        queue.settings = self.topology.settings_of(&queue);
        let (vhost, name, is_reply_queue) = (queue.vhost, queue.name.clone(), queue.is_reply_queue);
        let key = self.queues.insert(queue, self.clock_ms);
        self.topology.add_queue(vhost, name, key, is_reply_queue);
        key
    }

    /// Removes a queue, its bindings and consumers; its ready messages are settled by and by.
    pub(in crate::broker) fn remove_queue(&mut self, key: QueueKey) {
        self.queues.cancel_all(key, &mut self.effects);
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        let vhost = queue.vhost;
        let mut gone = Vec::new();
        let destination = Destination::Queue(key);
        let Self { topology, queues, store, .. } = self;
        topology.remove_bindings_of_destination(vhost, destination, queues, store, &mut gone);
        self.drop_delayed(&gone);
        let Some(queue) = self.queues.remove(key) else {
            return;
        };
        self.topology.remove_queue(vhost, &queue.name, queue.is_reply_queue);
        if queue.is_durable() {
            self.topology.erase_queue(&mut self.store, &queue);
        }
        if !queue.ready.is_empty() {
            self.discard(queue.id, queue.ready, false);
        }
        for ready in queue.stream.into_iter().flat_map(|stream| stream.into_lines()) {
            self.discard(queue.id, ready, false);
        }
    }

    /// Removes an exchange and every binding that it has a part in.
    pub(in crate::broker) fn remove_exchange(&mut self, key: ExchangeKey) {
        let mut gone = Vec::new();
        self.topology.remove_exchange(key, &self.queues, &mut self.store, &mut gone);
        self.drop_delayed(&gone);
    }

    /// A connection ended: the queues that belonged to it go, at once what this step allows and the
    /// rest by and by. Nobody finds those any more.
    pub fn delete_exclusive_queues(&mut self, connection: ConnectionKey) {
        self.leaving.extend(self.queues.take_owned(connection));
        self.go_on_removing();
    }

    /// Removes a bounded number of the exclusive queues of connections that ended.
    pub fn go_on_removing(&mut self) {
        while !self.work.is_done()
            && let Some(key) = self.leaving.pop_front()
        {
            self.work.spend(WORK_PER_REMOVAL);
            self.remove_queue(key);
        }
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
        if let Some(queue) = self.queues.end(key, self.clock_ms) {
            self.remove_queue(queue);
        }
    }
}
