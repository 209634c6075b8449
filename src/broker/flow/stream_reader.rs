//! What does the reader of a stream get next?
//!
//! Every reader has a cursor of its own: the offset of what it gets next. It moves with each
//! delivery and never back; an acknowledgement of any kind only gives credit. Readers that have
//! read everything leave the queue's line until the next message comes.

use crate::broker::Broker;
use crate::broker::flow::delivery::{Delivery, slot_in};
use crate::broker::key::QueueKey;
use crate::broker::serving::Unsettled;
use crate::broker::work::CONSUMERS_PER_WORK;

impl Broker {
    /// The next message for the next reader that has credit and has not read everything.
    pub(in crate::broker) fn next_stream_delivery(&mut self, key: QueueKey) -> Option<Delivery> {
        let (reader, offset, entry) = loop {
            let next = self.queues.next_reader(key)?;
            if !self.ends_at_turn(next.0) {
                break next;
            }
        };
        let queue_id = self.queues.get(key)?.id;
        let (slot, _) = slot_in(&self.store, entry, queue_id);
        let turn = self.queues.take_turn(reader, 0, self.clock_ms)?;
        self.work.spend(3 + turn.looked_at / CONSUMERS_PER_WORK);
        let unsettled = Unsettled {
            queue: key,
            entry,
            slot,
            queue_id,
            channel: turn.channel,
            consumer: Some(reader),
            due_ms: turn.due_ms,
            body_bytes: 0,
            kept: true,
        };
        Some(Delivery {
            connection: turn.connection,
            channel: turn.number,
            consumer: reader,
            no_ack: false,
            before: 0,
            counted: false,
            stream_offset: Some(offset),
            unsettled,
        })
    }
}
