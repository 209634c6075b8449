//! How does a stored message move to other queues, so that a crash finds it either here or
//! there?

use crate::broker::Broker;
use crate::broker::flow::admission::Together;
use crate::broker::flow::expiry::priority_in;
use crate::broker::flow::message::Delay;
use crate::broker::key::QueueKey;
use crate::storage::{AppendError, Body, Entry, Publication, SlotRef};

/// A message on its way from one place in the log to another.
#[derive(Debug)]
pub(in crate::broker) struct Republish<'a> {
    /// The message as it is stored.
    pub entry: Entry,
    /// The slot that it leaves.
    pub slot: SlotRef,
    /// The exchange that it goes through.
    pub exchange: &'a [u8],
    /// The routing key that it goes with.
    pub routing_key: &'a [u8],
    /// Its property bytes from now on.
    pub properties: &'a [u8],
    /// It belongs on disk when one of its queues is durable.
    pub persistent: bool,
    /// Its own time to live from now on, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// The exchange delays it first.
    pub delay: Option<Delay>,
}

/// What it costs to route, change and store a message anew, beside its bytes.
pub(in crate::broker) const WORK_PER_REPUBLISH: usize = 10;

impl Broker {
    /// Stores the message anew for those of `queues` that take it and settles its old place
    /// with the new record; without any queue it is only settled.
    pub(in crate::broker) fn republish(
        &mut self,
        message: &Republish<'_>,
        queues: &[QueueKey],
    ) -> Result<(), AppendError> {
        let Republish { entry, slot, delay, .. } = *message;
        let body_bytes = self.store.record(entry.at).body_bytes();
        self.work.spend(WORK_PER_REPUBLISH);
        self.work.spend_bytes(body_bytes);
        let mut together = Together::default();
        let taking = self.admit(queues, message.properties, body_bytes, &mut together).taking;
        let ids = self.ids_of(delay, &taking);
        if ids.is_empty() {
            self.store.settle(entry.at, slot);
            return Ok(());
        }
        let durable = self.is_logged(&taking, message.persistent, delay);
        let replaces = (durable && slot.segment.is_durable()).then_some(slot);
        let now_ms = self.clock_ms;
        let ttl_ends_ms = message.ttl_ms.map_or(0, |ttl| now_ms.saturating_add(ttl).max(1));
        let appended = self.store.append(&Publication {
            durable,
            exchange: message.exchange,
            routing_key: message.routing_key,
            properties: message.properties,
            body: Body::Of(entry.at),
            published_ms: now_ms,
            expiry_ms: delay.map_or(ttl_ends_ms, |delay| self.due_ms(delay)),
            deliveries: 0,
            queues: &ids,
            replaces,
            defines: None,
        })?;
        if replaces.is_none() {
            self.store.settle(entry.at, slot);
        }
        match delay {
            Some(delay) => self.delay_stored(delay, &appended),
            None => {
                let priority = priority_in(message.properties);
                self.push_to_queues(&taking, &appended, priority, body_bytes);
            }
        }
        Ok(())
    }
}
