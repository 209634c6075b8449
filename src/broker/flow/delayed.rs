//! How does an exchange of the type `x-delayed-message` delay messages?
//!
//! A message with a header `x-delay` (milliseconds) is stored under a number of its exchange
//! that no queue has, with the time when it is due in place of its expiry. When the time comes
//! it moves to the queues that the exchange leads to then. Nothing is lost by a restart, and
//! any 64-bit delay is taken.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::amqp::{Properties, PropertyList, Table, TableBuf, Value};
use crate::broker::Broker;
use crate::broker::exchange::matcher::ExchangeKind;
use crate::broker::flow::blind;
use crate::broker::flow::compaction::Relocations;
use crate::broker::flow::expiry::ttl_in;
use crate::broker::flow::message::{Delay, Message, PERSISTENT, Published, publication};
use crate::broker::flow::republish::Republish;
use crate::broker::key::{ExchangeKey, QueueKey};
use crate::storage::{AppendError, Appended, Entry, MessageId, QueueId, SlotRef};

/// A delayed message, ordered by when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct DelayedMessage {
    due_ms: u64,
    id: MessageId,
    exchange: ExchangeKey,
    /// The number of the exchange.
    queue: QueueId,
    at: crate::storage::RecordRef,
    slot: SlotRef,
}

/// The messages of all delayed exchanges.
#[derive(Debug, Default)]
pub(in crate::broker) struct Delayed {
    lines: HashMap<ExchangeKey, BinaryHeap<Reverse<DelayedMessage>>>,
    /// When which exchange has to be looked at; some of these come too early.
    wakeups: BinaryHeap<Reverse<(u64, ExchangeKey)>>,
    /// Those of exchanges that are gone.
    dropped: Vec<Vec<Reverse<DelayedMessage>>>,
}

impl Delayed {
    fn push(&mut self, delayed: DelayedMessage) {
        let line = self.lines.entry(delayed.exchange).or_default();
        let first = line.peek().map(|Reverse(first)| first.due_ms);
        if first.is_none_or(|first| delayed.due_ms < first) {
            self.wakeups.push(Reverse((delayed.due_ms, delayed.exchange)));
        }
        line.push(Reverse(delayed));
    }

    /// The first message of an exchange, if it is due.
    fn pop_due(&mut self, exchange: ExchangeKey, now_ms: u64) -> Option<DelayedMessage> {
        let line = self.lines.get_mut(&exchange)?;
        let is_due = line.peek().is_some_and(|Reverse(first)| first.due_ms <= now_ms);
        is_due.then(|| line.pop()).flatten().map(|Reverse(delayed)| delayed)
    }

    /// The exchange was looked at: when it has to be again.
    fn sleep(&mut self, exchange: ExchangeKey) {
        match self.lines.get(&exchange).map(|line| line.peek()) {
            Some(Some(Reverse(first))) => self.wakeups.push(Reverse((first.due_ms, exchange))),
            Some(None) => drop(self.lines.remove(&exchange)),
            None => {}
        }
    }

    /// Whether there is something to settle of exchanges that are gone.
    pub(in crate::broker) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }
}

impl Broker {
    /// Whether the exchange delays a message with these properties.
    pub fn delay_of(&self, key: ExchangeKey, properties: &PropertyList<'_>) -> Option<Delay> {
        let exchange = self.topology.exchange(key)?;
        if exchange.kind != ExchangeKind::Delayed {
            return None;
        }
        let ms = delay_in(properties.headers?)?;
        (ms > 0).then_some(Delay { exchange: key, ms })
    }

    /// Stores a message until it is due.
    pub(in crate::broker) fn delay_message(
        &mut self,
        message: &Message<'_>,
        delay: Delay,
    ) -> Result<Published, AppendError> {
        let ids = self.ids_of(Some(delay), &[]);
        if ids.is_empty() {
            if let Some(dedup_key) = message.dedup_key {
                self.remember_dedup_key(dedup_key, false);
            }
            return Ok(Published::Done);
        }
        let mut delayed = publication(message, &ids, message.persistent, self.clock_ms);
        delayed.expiry_ms = self.due_ms(delay);
        let appended = self.append_with_dedup_key(&delayed, message.dedup_key)?;
        self.delay_stored(delay, &appended);
        Ok(match message.persistent {
            true => Published::DurableAt(appended.position),
            false => Published::Done,
        })
    }

    /// Under which numbers a message is stored: those of the queues that still exist, or that
    /// of the exchange that delays it. None: it is not.
    pub(in crate::broker) fn ids_of(
        &self,
        delay: Option<Delay>,
        queues: &[QueueKey],
    ) -> Vec<QueueId> {
        let mut ids = Vec::new();
        match delay {
            Some(Delay { exchange, .. }) => {
                ids.extend(self.topology.exchange(exchange).and_then(|exchange| exchange.delay_id));
            }
            None => self.queues.live_ids(queues, &mut ids),
        }
        ids
    }

    /// When a message that is published now is due, in ms since 1970.
    pub(in crate::broker) fn due_ms(&self, delay: Delay) -> u64 {
        self.clock_ms.saturating_add(delay.ms)
    }

    /// Whether the exchange is still there to delay a message.
    pub(in crate::broker) fn delays(&self, exchange: ExchangeKey) -> bool {
        self.topology.exchange(exchange).is_some_and(|exchange| exchange.delay_id.is_some())
    }

    /// Notes a message that was just stored.
    pub(in crate::broker) fn delay_stored(&mut self, delay: Delay, appended: &Appended) {
        let id = self.topology.exchange(delay.exchange).and_then(|exchange| exchange.delay_id);
        let from = (delay.exchange, id.expect("it was stored under this number"));
        self.delay_until(from, appended.entry, appended.slot(0), self.due_ms(delay));
    }

    /// Notes a message that is due then, stored under the number of its exchange.
    pub(in crate::broker) fn delay_until(
        &mut self,
        (exchange, queue): (ExchangeKey, QueueId),
        entry: Entry,
        slot: SlotRef,
        due_ms: u64,
    ) {
        let Entry { id, at } = entry;
        self.delayed.push(DelayedMessage { due_ms, id, exchange, queue, at, slot });
    }

    /// When the next message is due, in ms since 1970.
    pub(in crate::broker) fn next_delayed_ms(&self) -> Option<u64> {
        let next = self.delayed.wakeups.peek().filter(|_| !self.waits_for_room);
        next.map(|Reverse((at_ms, _))| *at_ms)
    }

    /// Routes the messages that are due.
    pub fn release_delayed(&mut self) {
        while !self.work.is_done()
            && !self.waits_for_room
            && !self.commits.is_any_running()
            && let Some(&Reverse((at_ms, exchange))) = self.delayed.wakeups.peek()
            && at_ms <= self.clock_ms
        {
            self.delayed.wakeups.pop();
            self.release_from(exchange);
            self.delayed.sleep(exchange);
        }
    }

    fn release_from(&mut self, exchange: ExchangeKey) {
        self.work.spend(1);
        while !self.work.is_done()
            && let Some(mut delayed) = self.delayed.pop_due(exchange, self.clock_ms)
        {
            delayed.follow(&mut self.relocations);
            match self.release_one(&delayed) {
                Ok(()) => {}
                Err(AppendError::TooLarge) => {
                    log::warn!("a delayed message is too large for the log and is dropped");
                    self.store.settle(delayed.at, delayed.slot);
                }
                Err(error @ AppendError::Full) => {
                    self.wait_for_room("delayed messages wait", error);
                    self.delayed.push(delayed);
                    return;
                }
            }
        }
    }

    /// The exchange is gone: what it delayed goes with it.
    pub(in crate::broker) fn drop_delayed(&mut self, exchange: ExchangeKey) {
        let line = self.delayed.lines.remove(&exchange);
        self.delayed.dropped.extend(line.map(BinaryHeap::into_vec));
    }

    /// Settles a bounded number of the messages of exchanges that are gone.
    pub(in crate::broker) fn settle_dropped(&mut self) {
        while let Some(line) = self.delayed.dropped.last_mut() {
            while !self.work.is_done()
                && let Some(Reverse(mut delayed)) = line.pop()
            {
                self.work.spend(1);
                delayed.follow(&mut self.relocations);
                self.store.settle(delayed.at, delayed.slot);
            }
            if !line.is_empty() {
                return;
            }
            self.delayed.dropped.pop();
        }
    }

    fn release_one(&mut self, delayed: &DelayedMessage) -> Result<(), AppendError> {
        let record = self.store.record(delayed.at);
        let old = record.properties().to_vec();
        let (exchange, key) = (record.exchange().to_vec(), record.routing_key().to_vec());
        let list = Properties::new(&old).list().unwrap_or_default();
        let properties = with_delay_spent(&list);
        let mut queues = Vec::new();
        self.route_all(delayed.exchange, &key, &list, &mut queues);
        let republish = Republish {
            entry: Entry { id: delayed.id, at: delayed.at },
            slot: delayed.slot,
            exchange: &exchange,
            routing_key: &key,
            properties: &properties,
            persistent: list.delivery_mode == Some(PERSISTENT),
            ttl_ms: ttl_in(&list),
            delay: None,
        };
        self.republish(&republish, &queues)
    }
}

impl DelayedMessage {
    /// Finds the message where compaction may have moved it.
    fn follow(&mut self, relocations: &mut Relocations) {
        let entry = Entry { id: self.id, at: self.at };
        let (entry, slot) = relocations.take(self.queue, entry, self.slot);
        (self.at, self.slot) = (entry.at, slot);
    }
}

/// What the header `x-delay` says, in milliseconds. Clients send it in every form in which there
/// are numbers: fractions are rounded. Nothing that is negative or no number is a delay.
fn delay_in(headers: Table<'_>) -> Option<u64> {
    let value = headers.find(b"x-delay")?;
    if let Value::U64(ms) = value {
        return Some(ms);
    }
    if let Some(text) = value.text() {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    if let Some(ms) = value.integer() {
        return u64::try_from(ms).ok();
    }
    let ms = value.fraction()?.round();
    // What is more than a number holds becomes the largest one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    (ms >= 0.0).then_some(ms as u64)
}

/// The property bytes with `x-delay` negated, which tells that the delay is over.
fn with_delay_spent(list: &PropertyList<'_>) -> Vec<u8> {
    let mut headers = list.headers.map(TableBuf::from).unwrap_or_default();
    if let Some(delay) = list.headers.and_then(delay_in) {
        headers.set(b"x-delay", Value::I64(-i64::try_from(delay).unwrap_or(i64::MAX)));
    }
    blind::stored(&PropertyList { headers: Some(headers.table()), ..*list })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Name;
    use crate::broker::arguments::ExchangeTraits;
    use crate::broker::flow::message::Content;
    use crate::broker::requests::bindings::{BindRequest, DestinationName};
    use crate::broker::testing::{NOW_MS, declare, open, subject};
    use crate::storage::Body;

    fn delay(broker: &mut Broker, ms: u64) {
        let mut headers = TableBuf::new();
        headers.put(b"x-delay", Value::U64(ms));
        let list = PropertyList {
            headers: Some(headers.table()),
            delivery_mode: Some(PERSISTENT),
            ..PropertyList::default()
        };
        let mut properties = Vec::new();
        list.encode(&mut properties);
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let exchange = broker.topology().exchange_named(vhost, b"later").unwrap();
        let message = Message {
            content: Content {
                exchange: b"later",
                routing_key: b"k",
                properties: &properties,
                body: Body::Inline(b"body"),
            },
            persistent: true,
            priority: 0,
            ttl_ms: None,
            delay: broker.delay_of(exchange, &list),
            dedup_key: None,
        };
        let published = broker.enqueue(&[], &message).unwrap();
        assert!(matches!(published, Published::DurableAt(_)), "a confirm waits for the disk");
    }

    #[test]
    fn delayed_messages_survive_a_restart_and_are_routed_when_they_are_due() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_str(b"x-delayed-type", "direct");
        let traits = ExchangeTraits {
            kind: b"x-delayed-message",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        let guest = subject(&broker);
        broker.declare_exchange(&guest, b"later", &traits).unwrap();
        declare(&mut broker, "q", Table::EMPTY);
        let bind = BindRequest {
            source: b"later",
            destination: DestinationName::Queue(b"q"),
            routing_key: b"k",
            arguments: Table::EMPTY,
        };
        broker.bind(&guest, &bind).unwrap();
        delay(&mut broker, 2_000);
        delay(&mut broker, 1_000);
        delay(&mut broker, u64::MAX);
        broker.close().unwrap();
        let mut broker = open(directory.path());
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let queue = broker.topology().queue_named(vhost, &Name::from("q")).unwrap();
        let mut ready_at = |now_ms| {
            broker.set_clock(now_ms);
            broker.release_delayed();
            broker.queues().get(queue).unwrap().ready.len()
        };
        assert_eq!(ready_at(NOW_MS + 999), 0);
        assert_eq!(ready_at(NOW_MS + 1_000), 1);
        assert_eq!(ready_at(NOW_MS + 1_999), 1);
        assert_eq!(ready_at(NOW_MS + 2_000), 2);
        assert_eq!(ready_at(u64::MAX - 1), 2, "the longest delay is not over yet");
    }
}
