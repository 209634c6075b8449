//! What becomes of a message that leaves its queue without being acknowledged?
//!
//! Without a dead-letter exchange it is settled. With one it moves: it is routed anew, stored
//! with headers that tell of its death, and the new record replaces the old one, so that a
//! crash finds it in one place or the other.

use crate::amqp::{Name, Properties, PropertyList, Table};
use crate::broker::Broker;
use crate::broker::flow::death::{self, Death, Reason};
use crate::broker::flow::delivery::slot_in;
use crate::broker::flow::held_letters::Waits;
use crate::broker::flow::message::{Delay, PERSISTENT};
use crate::broker::flow::republish::{Republish, WORK_PER_REPUBLISH};
use crate::broker::key::{QueueKey, VhostKey};
use crate::broker::queue::Queue;
use crate::storage::{AppendError, Entry, QueueId, SlotRef};

/// A message that left its queue and has to be dead-lettered.
#[derive(Debug)]
pub(in crate::broker) struct Dying {
    pub(in crate::broker) vhost: VhostKey,
    /// Its queue, which may be gone.
    pub(in crate::broker) key: QueueKey,
    queue: Name,
    /// It stays in its queue until its targets have it.
    at_least_once: bool,
    /// Bytes of its body, which count there.
    pub(in crate::broker) kept_bytes: u64,
    /// It found nobody before.
    pub(in crate::broker) was_held: bool,
    pub(in crate::broker) exchange: Name,
    routing_key: Option<Name>,
    entry: Entry,
    slot: SlotRef,
    queue_id: QueueId,
    reason: Reason,
}

/// While so many messages wait for that, no more are made to die than have to.
const DYING_MAX: usize = 10_000;

impl Dying {
    /// Takes the way that its queue has for dead letters now; `false`: it has none.
    pub(in crate::broker) fn follow(&mut self, queue: &Queue) -> bool {
        let Some(exchange) = &queue.settings.dead_letter_exchange else {
            return false;
        };
        self.exchange = exchange.clone();
        self.routing_key = queue.settings.dead_letter_routing_key.clone();
        true
    }
}

impl Broker {
    /// Whether this step may make more messages die.
    #[inline]
    pub fn may_kill(&self) -> bool {
        // Where nothing can be buried, waiting would not help.
        !self.work.is_done() && (self.dying.len() < DYING_MAX || self.waits_for_room)
    }

    /// A message that was just taken out of a queue's ready line dies.
    pub(in crate::broker) fn die(&mut self, key: QueueKey, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let (slot, body_bytes) = slot_in(&self.store, entry, queue.id);
        queue.ready_bytes -= body_bytes;
        self.queues.note_gone(key, 1);
        self.die_unaccounted(key, entry, slot, reason);
    }

    /// A message that is not in its queue's ready line dies; the queue may be gone.
    pub(in crate::broker) fn die_unaccounted(
        &mut self,
        key: QueueKey,
        entry: Entry,
        slot: SlotRef,
        reason: Reason,
    ) {
        self.work.spend(1);
        self.drop_dedup_key(key, entry);
        let queue = self.queues.get_mut(key);
        match queue.and_then(|queue| Some((queue.settings.dead_letter_exchange.clone()?, queue))) {
            None => self.store.settle(entry.at, slot),
            Some((exchange, queue)) => {
                let at_least_once = queue.settings.dead_letter_at_least_once;
                let mut kept_bytes = 0;
                if at_least_once {
                    kept_bytes = self.store.record(entry.at).body_bytes();
                    queue.letters += 1;
                    queue.letter_bytes += kept_bytes;
                }
                self.dying.push_back(Dying {
                    vhost: queue.vhost,
                    key,
                    queue: queue.name.clone(),
                    at_least_once,
                    kept_bytes,
                    was_held: false,
                    exchange,
                    routing_key: queue.settings.dead_letter_routing_key.clone(),
                    entry,
                    slot,
                    queue_id: queue.id,
                    reason,
                });
                if at_least_once {
                    self.queues.note_back(key);
                }
            }
        }
    }

    /// Moves dying messages to their dead-letter exchanges, a bounded number a turn.
    pub fn bury(&mut self) {
        if self.waits_for_room || self.commits.is_any_running() {
            return;
        }
        self.retry_letters();
        while !self.work.is_done()
            && let Some(mut dying) = self.dying.pop_front()
        {
            let Dying { queue_id, entry, slot, at_least_once, .. } = dying;
            (dying.entry, dying.slot) = self.relocations.take(queue_id, entry, slot);
            match self.bury_one(&dying) {
                Ok(None) if at_least_once => self.letter_has_gone(&dying),
                Ok(None) => {}
                Ok(Some(waits)) => self.hold_letter(dying, waits),
                Err(AppendError::TooLarge) => {
                    log::warn!(
                        "queue '{}': a dead letter is too large for the log and is dropped",
                        dying.queue
                    );
                    self.drop_letter(dying);
                }
                Err(error @ AppendError::Full) => {
                    self.wait_for_room("dead letters wait", error);
                    self.dying.push_front(dying);
                    return;
                }
            }
        }
    }

    /// Nobody gets it.
    pub(in crate::broker) fn drop_letter(&mut self, dying: Dying) {
        let Dying { queue_id, entry, slot, at_least_once, .. } = dying;
        let (entry, slot) = self.relocations.take(queue_id, entry, slot);
        self.store.settle(entry.at, slot);
        if at_least_once {
            self.letter_has_gone(&dying);
        }
    }

    /// Moves one; or says why it has to stay.
    fn bury_one(&mut self, dying: &Dying) -> Result<Option<Waits>, AppendError> {
        let Dying { entry, reason, at_least_once, .. } = *dying;
        if at_least_once && self.queues.get(dying.key).is_none() {
            // It went with its queue.
            self.store.settle(entry.at, dying.slot);
            return Ok(None);
        }
        let record = self.store.record(entry.at);
        let old = record.properties().to_vec();
        let (exchange, key) = (record.exchange().to_vec(), record.routing_key().to_vec());
        let list = Properties::new(&old).list().unwrap_or_default();
        let properties = death::properties_after(
            &list,
            &Death {
                queue: &dying.queue,
                reason,
                time_s: self.clock_ms / 1000,
                exchange: &exchange,
                routing_key: &key,
                rerouted: dying.routing_key.is_some(),
            },
        );
        let new = Properties::new(&properties).list().unwrap_or_default();
        let to = dying.routing_key.as_ref();
        let delay = self.delay_of_dead(dying.vhost, &dying.exchange, &new);
        let mut queues = Vec::new();
        if delay.is_none() {
            queues = self.route_dead(dying.vhost, &dying.exchange, to, &key, &new);
            self.drop_cycles(new.headers.unwrap_or(Table::EMPTY), reason, &mut queues);
        }
        if at_least_once
            && delay.is_none()
            && let Some(waits) = self.waits_for_targets(dying, &queues)
        {
            // It was looked at all the same.
            self.work.spend(WORK_PER_REPUBLISH);
            self.work.spend_bytes(old.len() as u64);
            return Ok(Some(waits));
        }
        let message = Republish {
            entry,
            slot: dying.slot,
            exchange: &dying.exchange,
            routing_key: dying.routing_key.as_deref().unwrap_or(&key),
            properties: &properties,
            persistent: list.delivery_mode == Some(PERSISTENT),
            ttl_ms: None,
            delay,
        };
        self.republish(&message, &queues)?;
        Ok(None)
    }

    /// Why a letter that has to arrive cannot go to all of its targets, if it cannot.
    fn waits_for_targets(&self, dying: &Dying, queues: &[QueueKey]) -> Option<Waits> {
        if self.topology.exchange_named(dying.vhost, &dying.exchange).is_none() {
            return Some(Waits::NoExchange);
        }
        if queues.is_empty() {
            return Some(Waits::NoRoute);
        }
        let body_bytes = self.store.record(dying.entry.at).body_bytes();
        let refuses = |queue: &QueueKey| self.queues.refuses_more(*queue, 1, body_bytes);
        queues.iter().any(refuses).then_some(Waits::Full)
    }

    /// Whether a dead-letter exchange delays the message first.
    pub(in crate::broker) fn delay_of_dead(
        &self,
        vhost: VhostKey,
        exchange: &Name,
        properties: &PropertyList<'_>,
    ) -> Option<Delay> {
        self.delay_of(self.topology.exchange_named(vhost, exchange)?, properties)
    }

    /// The queues behind a dead-letter exchange; none when it is missing.
    pub(in crate::broker) fn route_dead(
        &mut self,
        vhost: VhostKey,
        exchange: &Name,
        dead_letter_key: Option<&Name>,
        original_key: &[u8],
        properties: &PropertyList<'_>,
    ) -> Vec<QueueKey> {
        let mut queues = Vec::new();
        let Some(exchange) = self.topology.exchange_named(vhost, exchange) else {
            return queues;
        };
        match dead_letter_key {
            Some(key) => {
                self.route(exchange, key, properties, &mut queues);
            }
            None => self.topology.route_all(
                &mut self.work,
                exchange,
                original_key,
                properties,
                &mut queues,
            ),
        }
        queues
    }

    /// Takes out the queues that a message would reach again without having been rejected.
    pub(in crate::broker) fn drop_cycles(
        &self,
        headers: Table<'_>,
        reason: Reason,
        queues: &mut Vec<QueueKey>,
    ) {
        queues.retain(|&key| {
            let queue = self.queues.get(key);
            queue.is_some_and(|queue| !death::is_cycle(headers, reason, &queue.name))
        });
    }
}
