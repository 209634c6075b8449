//! Which message goes to which consumer next?
//!
//! Chooses and accounts; the session that the delivery names writes it out.

use crate::broker::flow::death::Reason;
use crate::broker::flow::settle::Unsettled;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::{Broker, Queue};
use crate::storage::{Entry, SlotRef};

/// One message on its way to one consumer.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// The connection that gets it.
    pub connection: ConnectionKey,
    /// The number of the channel there.
    pub channel: u16,
    /// The consumer.
    pub consumer: ConsumerKey,
    /// It is settled by being sent: [`Broker::settle_sent`].
    pub no_ack: bool,
    /// How often it was delivered before; it is redelivered unless that is 0.
    pub before: u8,
    /// The queue counts deliveries and says so in a header (`x-delivery-count`).
    pub counted: bool,
    /// Its offset in a stream, which is told in a header (`x-stream-offset`).
    pub stream_offset: Option<u64>,
    /// What to settle later.
    pub held: Unsettled,
}

/// The answer to a `basic.get`.
#[derive(Debug, Clone, Copy)]
pub struct Got {
    /// How often it was delivered before; it is redelivered unless that is 0.
    pub before: u8,
    /// The queue counts deliveries and says so in a header (`x-delivery-count`).
    pub counted: bool,
    /// Ready messages left behind.
    pub left: u32,
    /// What to settle later, or at once when the get needs no acknowledgement.
    pub held: Unsettled,
}

impl Broker {
    /// Takes the next message of a queue for the consumer whose turn it is; `None` when
    /// nothing is ready or nobody can take it.
    pub fn next_delivery(&mut self, key: QueueKey) -> Option<Delivery> {
        let Some(consumer_key) = self.next_consumer(key) else {
            return self.next_stream_delivery(key);
        };
        let entry = self.take_ready(key)?;
        let queue = self.queues.get_mut(key)?;
        queue.line.rotate();
        let consumer = self.consumers.get_mut(consumer_key)?;
        let channel = self.channels.get_mut(consumer.channel)?;
        let (slot, body_bytes) = slot_in(&self.store, entry, queue.id);
        self.work.spend(3);
        self.work.spend_bytes(body_bytes);
        queue.ready_bytes -= body_bytes;
        let before = self.store.deliveries(slot);
        if !consumer.no_ack {
            self.store.note_delivery(slot);
            consumer.unacked += 1;
            channel.unacked += 1;
            queue.unacked += 1;
            channel.had_its_turn(consumer_key);
        }
        let held = Unsettled {
            queue: key,
            entry,
            slot,
            queue_id: queue.id,
            channel: consumer.channel,
            consumer: Some(consumer_key),
            due_ms: due_ms(queue, consumer.no_ack, self.clock_ms, self.consumer_timeout_ms),
            kept: false,
        };
        Some(Delivery {
            connection: channel.connection,
            channel: channel.number,
            consumer: consumer_key,
            no_ack: consumer.no_ack,
            before,
            counted: queue.settings.delivery_limit.is_some(),
            stream_offset: None,
            held,
        })
    }

    /// Settles a message whose consumer needs no acknowledgement, once it is in the outbox.
    #[inline]
    pub fn settle_sent(&mut self, held: &Unsettled) {
        self.forget_name(held.queue, held.entry);
        self.store.settle(held.entry.at, held.slot);
    }

    /// Takes the next message of a queue for a `basic.get`.
    pub fn get(&mut self, key: QueueKey, channel: ChannelKey, no_ack: bool) -> Option<Got> {
        self.touch_queue(key);
        let entry = self.take_ready(key)?;
        let queue = self.queues.get_mut(key)?;
        let (slot, body_bytes) = slot_in(&self.store, entry, queue.id);
        queue.ready_bytes -= body_bytes;
        let before = self.store.deliveries(slot);
        if !no_ack {
            self.store.note_delivery(slot);
            queue.unacked += 1;
        }
        let left = u32::try_from(queue.ready.len()).unwrap_or(u32::MAX);
        let due_ms = due_ms(queue, no_ack, self.clock_ms, self.consumer_timeout_ms);
        let counted = queue.settings.delivery_limit.is_some();
        let (queue_id, consumer, kept) = (queue.id, None, false);
        let held = Unsettled { queue: key, entry, slot, queue_id, channel, consumer, due_ms, kept };
        Some(Got { before, counted, left, held })
    }

    /// The consumer whose turn it is; those before it that can take nothing leave the line.
    #[inline]
    fn next_consumer(&mut self, key: QueueKey) -> Option<ConsumerKey> {
        if self.queues.get(key)?.ready.is_empty() {
            return None;
        }
        self.first_able(key)
    }

    /// The same, whether or not there is anything to take.
    #[inline]
    pub(in crate::broker) fn first_able(&mut self, key: QueueKey) -> Option<ConsumerKey> {
        let queue = self.queues.get_mut(key)?;
        loop {
            let first = queue.line.first()?;
            let consumer = self.consumers.get_mut(first)?;
            let channel = self.channels.get(consumer.channel)?;
            if consumer.may_take(channel) {
                return Some(first);
            }
            consumer.parked = true;
            queue.line.park_first();
        }
    }

    /// Takes the first ready message that is not past its time; those before it die.
    #[inline]
    fn take_ready(&mut self, key: QueueKey) -> Option<Entry> {
        loop {
            let queue = self.queues.get_mut(key)?;
            let entry = queue.ready.pop(&mut self.scratch)?;
            let queue = self.queues.get(key)?;
            if !self.is_past(queue, entry) {
                return Some(entry);
            }
            self.die(key, entry, Reason::Expired);
        }
    }
}

/// When a delivery has to be acknowledged, in ms since 1970; 0 = never.
pub(in crate::broker) fn due_ms(
    queue: &Queue,
    no_ack: bool,
    now_ms: u64,
    node_timeout_ms: Option<u64>,
) -> u64 {
    let timeout = queue.settings.consumer_timeout_ms.or(node_timeout_ms);
    match timeout {
        Some(timeout) if !no_ack && timeout > 0 => now_ms.saturating_add(timeout),
        Some(_) | None => 0,
    }
}

/// Where the delivery state of a message in a queue lies, and how long the body is.
pub(in crate::broker) fn slot_in(
    store: &crate::storage::Store,
    entry: Entry,
    queue: crate::storage::QueueId,
) -> (SlotRef, u64) {
    let record = store.record(entry.at);
    let slot = record.slot_of(queue).expect("a record names every queue that holds it");
    (slot, record.body_bytes())
}
