//! How does a stored message move to other queues, so that a crash finds it either here or
//! there?

use crate::broker::Broker;
use crate::broker::flow::admission::Together;
use crate::broker::flow::expiry::priority_in;
use crate::broker::flow::message::Delay;
use crate::broker::key::QueueKey;
use crate::storage::{AppendError, Appended, Body, Entry, Publication, SlotRef};

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

/// What becomes of the place that a message is stored anew from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {
    /// It is settled.
    Goes,
    /// It stays: the new one is a copy.
    Stays,
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
        let Republish { entry, slot, .. } = *message;
        let body_bytes = self.store.record(entry.at).body_bytes();
        let mut together = Together::default();
        let taking = self.admit(queues, message.properties, body_bytes, &mut together).taking;
        match self.store_anew(message, &taking, Original::Goes)? {
            Some(appended) => self.arrive_anew(message, &taking, &appended),
            None => {
                self.store.settle(entry.at, slot);
            }
        }
        Ok(())
    }

    /// Stores the message anew for queues that take it, and settles its old place with the new
    /// record if it goes. `None`: there is nobody to store it for, and nothing was done.
    pub(in crate::broker) fn store_anew(
        &mut self,
        message: &Republish<'_>,
        taking: &[QueueKey],
        original: Original,
    ) -> Result<Option<Appended>, AppendError> {
        let Republish { entry, slot, delay, .. } = *message;
        self.work.spend(WORK_PER_REPUBLISH);
        self.work.spend_bytes(self.store.record(entry.at).body_bytes());
        let ids = self.ids_of(delay, taking);
        if ids.is_empty() {
            return Ok(None);
        }
        let goes = original == Original::Goes;
        let durable = self.is_logged(taking, message.persistent, delay);
        let replaces = (goes && durable && slot.segment.is_durable()).then_some(slot);
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
        if goes && replaces.is_none() {
            self.store.settle(entry.at, slot);
        }
        Ok(Some(appended))
    }

    /// A message that was stored anew joins its queues, or waits until its delay is over.
    pub(in crate::broker) fn arrive_anew(
        &mut self,
        message: &Republish<'_>,
        taking: &[QueueKey],
        appended: &Appended,
    ) {
        match message.delay {
            Some(delay) => self.delay_stored(delay, appended),
            None => {
                let priority = priority_in(message.properties);
                let record = self.store.record(appended.entry.at);
                let (body_bytes, expires) = (record.body_bytes(), record.expiry_ms() != 0);
                self.push_to_queues(taking, appended, priority, body_bytes, expires);
            }
        }
    }
}
