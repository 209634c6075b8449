//! Which message goes to which consumer next?
//!
//! Chooses and accounts; the session that the delivery names writes it out.

use crate::broker::Broker;
use crate::broker::counters::Happening;
use crate::broker::flow::death::Reason;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::serving::Unsettled;
use crate::broker::work::CONSUMERS_PER_WORK;
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
    pub unsettled: Unsettled,
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
    pub unsettled: Unsettled,
}

impl Broker {
    /// Takes the next message of a queue for the consumer whose turn it is; `None` when
    /// nothing is ready or nobody can take it.
    pub fn next_delivery(&mut self, key: QueueKey) -> Option<Delivery> {
        let consumer = loop {
            let Some(consumer) = self.queues.next_consumer(key) else {
                return self.next_stream_delivery(key);
            };
            if !self.ends_at_turn(consumer) {
                break consumer;
            }
        };
        let Taken { entry, slot, body_bytes, published_ms } = self.take_ready(key)?;
        let queue = self.queues.get_mut(key)?;
        queue.line.rotate();
        let (queue_id, counted) = (queue.id, queue.settings.delivery_limit.is_some());
        queue.ready_bytes -= body_bytes;
        self.queues.note_taken();
        let kept_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        let turn = self.queues.take_turn(consumer, kept_bytes, self.clock_ms)?;
        self.work.spend(3 + turn.looked_at / CONSUMERS_PER_WORK);
        self.work.spend_bytes(body_bytes);
        let before = self.store.deliveries(slot);
        if !turn.no_ack {
            self.store.note_delivery(slot);
        }
        let what = if turn.no_ack { Happening::DeliverNoAck } else { Happening::Deliver };
        self.count_handed_out(key, what, before, published_ms);
        let (channel, due_ms, kept) = (turn.channel, turn.due_ms, false);
        let unsettled = Unsettled {
            queue: key,
            entry,
            slot,
            queue_id,
            channel,
            consumer: Some(consumer),
            due_ms,
            body_bytes: kept_bytes,
            kept,
        };
        Some(Delivery {
            connection: turn.connection,
            channel: turn.number,
            consumer,
            no_ack: turn.no_ack,
            before,
            counted,
            stream_offset: None,
            unsettled,
        })
    }

    /// Takes the next message of a queue for a `basic.get`.
    pub fn get(&mut self, key: QueueKey, channel: ChannelKey, no_ack: bool) -> Option<Got> {
        self.queues.touch(key, self.clock_ms);
        let Some(Taken { entry, slot, body_bytes, published_ms }) = self.take_ready(key) else {
            self.count(key, Happening::GetEmpty);
            return None;
        };
        let queue = self.queues.get_mut(key)?;
        let (queue_id, counted) = (queue.id, queue.settings.delivery_limit.is_some());
        queue.ready_bytes -= body_bytes;
        let left = u32::try_from(queue.ready.len()).unwrap_or(u32::MAX);
        self.queues.note_taken();
        let before = self.store.deliveries(slot);
        if !no_ack {
            self.store.note_delivery(slot);
        }
        let what = if no_ack { Happening::GetNoAck } else { Happening::Get };
        self.count_handed_out(key, what, before, published_ms);
        let body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        let due_ms = self.queues.take_by_get(key, no_ack, body_bytes, self.clock_ms);
        let unsettled = Unsettled {
            queue: key,
            entry,
            slot,
            queue_id,
            channel,
            consumer: None,
            due_ms,
            body_bytes,
            kept: false,
        };
        Some(Got { before, counted, left, unsettled })
    }

    /// Settles a message whose consumer needs no acknowledgement, once it is in the outbox.
    #[inline]
    pub fn settle_sent(&mut self, unsettled: &Unsettled) {
        self.drop_dedup_key(unsettled.queue, unsettled.entry);
        self.store.settle(unsettled.entry.at, unsettled.slot);
    }

    /// Takes the first ready message that is not past its time; those before it die.
    #[inline]
    fn take_ready(&mut self, key: QueueKey) -> Option<Taken> {
        loop {
            let entry = self.queues.pop_ready(key)?;
            let queue = self.queues.get(key)?;
            // The record is found once for all that is asked of it here.
            let record = self.store.record(entry.at);
            let published_ms = record.published_ms();
            if !queue.is_past(published_ms, record.expiry_ms(), self.clock_ms) {
                let slot = record.slot_of(queue.id).expect(NAMES_ITS_QUEUES);
                let body_bytes = record.body_bytes();
                return Some(Taken { entry, slot, body_bytes, published_ms });
            }
            self.die(key, entry, Reason::Expired);
        }
    }
}

/// A message that was taken from the ready ones.
struct Taken {
    entry: Entry,
    slot: SlotRef,
    body_bytes: u64,
    /// When it came, in ms since 1970.
    published_ms: u64,
}

const NAMES_ITS_QUEUES: &str = "a record names every queue that holds it";

/// Where the delivery state of a message in a queue lies, and how long the body is.
pub(in crate::broker) fn slot_in(
    store: &crate::storage::Store,
    entry: Entry,
    queue: crate::storage::QueueId,
) -> (SlotRef, u64) {
    let record = store.record(entry.at);
    let slot = record.slot_of(queue).expect(NAMES_ITS_QUEUES);
    (slot, record.body_bytes())
}
