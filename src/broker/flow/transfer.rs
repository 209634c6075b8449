//! How does an operator move a message that waits, or copy it?
//!
//! It is stored anew for the queues that it goes to, and one that is moved leaves its old place
//! with the new record: a crash finds it here or there, as a dead letter. What nobody takes, or
//! not every queue that it is routed to, stays where it is. Its properties stay as they are; as
//! with a publish, its time to live begins anew, and so does the count of its deliveries.

use crate::amqp::{AmqpError, Name, Properties, PropertyList, ReplyCode, Table, TableBuf};
use crate::broker::flow::admission::Together;
use crate::broker::flow::blind;
use crate::broker::flow::death::{self, Origin};
use crate::broker::flow::delivery::slot_in;
use crate::broker::flow::expiry::ttl_in;
use crate::broker::flow::message::{Delay, PERSISTENT};
use crate::broker::flow::republish::{Original, Republish};
use crate::broker::key::{ExchangeKey, QueueKey};
use crate::broker::queue::ready::Place;
use crate::broker::topology::sender_keys::{BCC, CC, sender_keys};
use crate::broker::{Access, Broker, Subject};
use crate::storage::{AppendError, Entry, MessageId};

/// Where messages are moved or copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This queue, by way of the default exchange.
    Queue(Name),
    /// What this exchange leads to.
    Exchange {
        /// Its name.
        name: Name,
        /// In place of each message's own routing keys.
        routing_key: Option<Name>,
    },
    /// Dead letters, each to where it was before its first death.
    Origin,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transferred {
    /// It is where it was to go.
    Done,
    /// It is not in the queue, or its time is over.
    Missing,
    /// It is routed to no queue.
    Unroutable,
    /// It stays for this reason.
    Skipped(Why),
}

/// Why a message stays that could be routed, or has nowhere to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A queue is full and refuses it.
    Full,
    /// The queue has a message of its deduplication key.
    Repeated,
    /// It is no dead letter.
    NoOrigin,
    /// Queue and exchange that it came from are gone.
    OriginGone,
    /// It is where it came from.
    AtOrigin,
    /// The operator may not publish to where it would go.
    Refused,
    /// Its record is too large for the log.
    TooLarge,
}

impl Why {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "queue_full",
            Self::Repeated => "repeated",
            Self::NoOrigin => "no_origin",
            Self::OriginGone => "origin_gone",
            Self::AtOrigin => "at_origin",
            Self::Refused => "access_refused",
            Self::TooLarge => "too_large",
        }
    }
}

/// Where one message goes.
struct Way<'a> {
    exchange: &'a [u8],
    routing_key: &'a [u8],
    queues: Vec<QueueKey>,
    delay: Option<Delay>,
    /// The keys of CC and BCC are replaced with its own.
    rerouted: bool,
}

/// A message as it is stored.
struct Stored<'a> {
    routing_key: &'a [u8],
    list: PropertyList<'a>,
}

impl Broker {
    /// Whether there is a target for messages of this queue, and the operator may publish there.
    ///
    /// # Errors
    /// 404 when it does not exist, 403 without the permission to write, 406 for the queue itself.
    pub fn check_target(
        &self,
        subject: &Subject,
        source: QueueKey,
        target: &Target,
    ) -> Result<(), AmqpError> {
        match target {
            Target::Queue(name) => {
                self.users.check_exchange_access(subject, Access::Write, b"")?;
                self.users.check_queue_access(subject, Access::Write, name)?;
                if self.usable_queue(subject, name)? == source {
                    let text = "messages cannot be moved or copied to the queue that they are in";
                    return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
                }
                Ok(())
            }
            Target::Exchange { name, .. } => {
                self.users.check_exchange_access(subject, Access::Write, name)?;
                let exchange = self.topology.existing_exchange(subject.vhost, name)?;
                self.topology.check_not_internal(exchange)
            }
            Target::Origin => Ok(()),
        }
    }

    /// The ready message of this id in a queue.
    pub fn find_ready(&self, key: QueueKey, id: MessageId) -> Option<(Entry, u8)> {
        self.queues.get(key)?.ready.find(id, self.queues.scratch())
    }

    /// The next ready message of a queue behind this place, which moves there.
    pub fn next_ready(&self, key: QueueKey, place: &mut Place) -> Option<(Entry, u8)> {
        self.queues.get(key)?.ready.next_behind(place, self.queues.scratch())
    }

    /// All messages of now have smaller ids than this.
    pub fn next_message_id(&self) -> MessageId {
        self.store.next_message_id()
    }

    /// The number of a change that is durable once all that was stored and settled so far is.
    pub fn mark_change(&mut self) -> u64 {
        self.store.note_change()
    }

    /// Moves or copies a ready message to a target that was checked in this step.
    ///
    /// # Errors
    /// The log has no room: nothing was done, and it may be tried again.
    pub fn transfer(
        &mut self,
        subject: &Subject,
        source: QueueKey,
        (entry, lane): (Entry, u8),
        target: &Target,
        original: Original,
    ) -> Result<Transferred, AppendError> {
        self.work.spend(1);
        let Some(queue) = self.queues.get(source).filter(|queue| !self.is_past(queue, entry))
        else {
            return Ok(Transferred::Missing);
        };
        let (queue_id, source_name) = (queue.id, queue.name.clone());
        let record = self.store.record(entry.at);
        let old = record.properties().to_vec();
        let key = record.routing_key().to_vec();
        self.work.spend_bytes(old.len() as u64);
        let list = Properties::new(&old).list().unwrap_or_default();
        let stored = Stored { routing_key: &key, list };
        let way = match self.way_of(subject, &source_name, &stored, target) {
            Ok(way) => way,
            Err(why) => return Ok(Transferred::Skipped(why)),
        };
        if way.delay.is_none() && self.queues.are_no_destination(&way.queues) {
            return Ok(Transferred::Unroutable);
        }
        let rerouted = if way.rerouted { without_copies(&list) } else { None };
        let properties = rerouted.as_deref().unwrap_or(&old);
        let (slot, body_bytes) = slot_in(&self.store, entry, queue_id);
        let admitted = self.admit(&way.queues, properties, body_bytes, &mut Together::default());
        if !admitted.refusing.is_empty() {
            return Ok(Transferred::Skipped(Why::Full));
        }
        if way.delay.is_none() && admitted.taking.is_empty() {
            return Ok(Transferred::Skipped(Why::Repeated));
        }
        let message = Republish {
            entry,
            slot,
            exchange: way.exchange,
            routing_key: way.routing_key,
            properties,
            persistent: list.delivery_mode == Some(PERSISTENT),
            ttl_ms: ttl_in(&list),
            delay: way.delay,
        };
        let dedup_key = self.dedup_key_of(source, entry);
        let appended = match self.store_anew(&message, &admitted.taking, original) {
            Ok(Some(appended)) => appended,
            Ok(None) => return Ok(Transferred::Unroutable),
            Err(AppendError::TooLarge) => return Ok(Transferred::Skipped(Why::TooLarge)),
            Err(AppendError::Full) => return Err(AppendError::Full),
        };
        // Before it arrives: its target may be too long then, and drop what it has.
        if original == Original::Goes {
            self.take_out(source, (entry, lane), body_bytes, dedup_key);
        }
        self.arrive_anew(&message, &admitted.taking, &appended);
        Ok(Transferred::Done)
    }

    /// Drops a ready message; whether it was there.
    pub fn drop_ready(&mut self, key: QueueKey, id: MessageId) -> bool {
        self.work.spend(2);
        let Some((entry, lane)) = self.find_ready(key, id) else {
            return false;
        };
        let Some(queue) = self.queues.get(key) else {
            return false;
        };
        let (slot, body_bytes) = slot_in(&self.store, entry, queue.id);
        let dedup_key = self.dedup_key_of(key, entry);
        self.take_out(key, (entry, lane), body_bytes, dedup_key);
        self.store.settle(entry.at, slot);
        true
    }

    /// A ready message leaves its queue's line for good.
    fn take_out(
        &mut self,
        key: QueueKey,
        (entry, lane): (Entry, u8),
        body_bytes: u64,
        dedup_key: Option<Box<[u8]>>,
    ) {
        if let Some(dedup_key) = dedup_key {
            self.free_dedup_key(key, entry.id, &dedup_key);
        }
        let Some((queue, scratch)) = self.queues.get_with_scratch(key) else {
            return;
        };
        let removed = queue.ready.remove(entry.id, lane, scratch);
        assert!(removed.is_some(), "it was just found there");
        queue.ready_bytes -= body_bytes;
        self.queues.note_gone(key, 1);
    }

    /// Where a message goes; or why it has to stay.
    fn way_of<'a>(
        &mut self,
        subject: &Subject,
        source: &Name,
        stored: &Stored<'a>,
        target: &'a Target,
    ) -> Result<Way<'a>, Why> {
        match target {
            Target::Queue(name) => {
                let queues = self.topology.queue_named(subject.vhost, name).into_iter().collect();
                let exchange: &[u8] = b"";
                Ok(Way { exchange, routing_key: name, queues, delay: None, rerouted: true })
            }
            Target::Exchange { name, routing_key } => {
                let found = self.topology.exchange_named(subject.vhost, name);
                let Some(exchange) = found else {
                    let (queues, delay) = (Vec::new(), None);
                    let routing_key = stored.routing_key;
                    return Ok(Way { exchange: name, routing_key, queues, delay, rerouted: false });
                };
                let rerouted = routing_key.is_some();
                let key = routing_key.as_deref().unwrap_or(stored.routing_key);
                self.check_keys(subject, exchange, key, &stored.list, rerouted)?;
                let (queues, delay) = self.behind(exchange, key, &stored.list, rerouted);
                Ok(Way { exchange: name, routing_key: key, queues, delay, rerouted })
            }
            Target::Origin => self.way_back(subject, source, stored),
        }
    }

    /// Whether the operator may publish with the keys that a message is routed by.
    fn check_keys(
        &self,
        subject: &Subject,
        exchange: ExchangeKey,
        key: &[u8],
        list: &PropertyList<'_>,
        rerouted: bool,
    ) -> Result<(), Why> {
        let Some(exchange) = self.topology.exchange(exchange) else {
            return Ok(());
        };
        let headers = list.headers.filter(|_| !rerouted);
        let mut keys = sender_keys(key, headers);
        let allowed = keys.all(|key| {
            self.users.check_topic_access(subject, Access::Write, exchange, key).is_ok()
        });
        if allowed { Ok(()) } else { Err(Why::Refused) }
    }

    /// The queues behind an exchange, unless it delays the message first.
    fn behind(
        &mut self,
        exchange: ExchangeKey,
        key: &[u8],
        list: &PropertyList<'_>,
        rerouted: bool,
    ) -> (Vec<QueueKey>, Option<Delay>) {
        let delay = self.delay_of(exchange, list);
        let mut queues = Vec::new();
        if delay.is_some() {
            return (queues, delay);
        }
        if rerouted {
            self.route(exchange, key, list, &mut queues);
        } else {
            self.route_all(exchange, key, list, &mut queues);
        }
        (queues, None)
    }

    /// Where a dead letter was before its first death: its queue, which gets it as it was published
    /// then, or else what that exchange leads to now. Others that had got it too do not get it
    /// again by way of CC and BCC.
    fn way_back<'a>(
        &mut self,
        subject: &Subject,
        source: &Name,
        stored: &Stored<'a>,
    ) -> Result<Way<'a>, Why> {
        let headers = stored.list.headers.unwrap_or(Table::EMPTY);
        let Origin { queue, exchange, routing_key } =
            death::origin(headers).ok_or(Why::NoOrigin)?;
        if queue == source.as_bytes() {
            return Err(Why::AtOrigin);
        }
        let known_key = routing_key;
        let routing_key = known_key.unwrap_or(stored.routing_key);
        let (delay, rerouted) = (None, false);
        if let Ok(found) = self.usable_queue(subject, queue) {
            let by_default = self.users.check_exchange_access(subject, Access::Write, b"");
            let to_queue = self.users.check_queue_access(subject, Access::Write, queue);
            if by_default.and(to_queue).is_err() {
                return Err(Why::Refused);
            }
            return Ok(Way { exchange, routing_key, queues: vec![found], delay, rerouted });
        }
        let found = self.topology.exchange_named(subject.vhost, exchange);
        let (Some(found), Some(_), false) = (found, known_key, exchange.is_empty()) else {
            return Err(Why::OriginGone);
        };
        let by_name = self.users.check_exchange_access(subject, Access::Write, exchange);
        if by_name.and(self.topology.check_not_internal(found)).is_err() {
            return Err(Why::Refused);
        }
        self.check_keys(subject, found, routing_key, &stored.list, true)?;
        let (queues, delay) = self.behind(found, routing_key, &stored.list, true);
        Ok(Way { exchange, routing_key, queues, delay, rerouted })
    }
}

/// The properties without further routing keys; `None` when there are none.
fn without_copies(list: &PropertyList<'_>) -> Option<Vec<u8>> {
    let headers = list.headers?;
    if headers.find(CC).is_none() && headers.find(BCC).is_none() {
        return None;
    }
    let mut headers = TableBuf::from(headers);
    headers.remove(CC);
    headers.remove(BCC);
    Some(blind::stored(&PropertyList { headers: Some(headers.table()), ..*list }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing::{self, NOW_MS, Seeded, declare, open, open_channel, subject};

    /// How many messages a queue has after a restart.
    fn found_in(directory: &std::path::Path, name: &str) -> usize {
        let broker = open(directory);
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let key = broker.topology().queue_named(vhost, name.as_bytes()).unwrap();
        let mut place = Place::first(broker.next_message_id());
        let count = std::iter::from_fn(|| broker.next_ready(key, &mut place)).count();
        broker.close().unwrap();
        count
    }

    /// Whatever is moved, copied, dropped, taken and given back, what queues say that they have is
    /// what they have, now and after a restart, and every message is somewhere.
    #[test]
    fn counts_hold_whatever_is_moved_and_every_message_is_somewhere() {
        for seed in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let mut broker = open(directory.path());
            let guest = subject(&broker);
            let mut arguments = TableBuf::new();
            arguments.put(b"x-max-priority", crate::amqp::Value::I32(3));
            let names = ["a", "b", "c"];
            let tables = [Table::EMPTY, arguments.table(), Table::EMPTY];
            let keys: Vec<QueueKey> = names
                .iter()
                .zip(tables)
                .map(|(name, table)| declare(&mut broker, name, table))
                .collect();
            let channel = open_channel(&mut broker);
            let mut random = Seeded::new(seed);
            let (mut expected, mut unsettled) = (0_usize, Vec::new());
            for _ in 0..600 {
                let (from, to) = (*random.pick(&keys), random.below(3));
                let target = Target::Queue(Name::from(names[to]));
                match random.below(8) {
                    0..=1 => {
                        testing::publish(&mut broker, from, 3);
                        expected += 3;
                    }
                    2 => {
                        unsettled.extend(broker.get(from, channel, false).map(|got| got.unsettled))
                    }
                    3 if !unsettled.is_empty() => {
                        let unsettled = unsettled.remove(random.below(unsettled.len()));
                        broker.requeue(&unsettled);
                    }
                    4 => {
                        let before = broker.next_message_id();
                        let id = MessageId(random.next() % before.0.max(1));
                        expected -= usize::from(broker.drop_ready(from, id));
                    }
                    _ => {
                        let mut place = Place::first(broker.next_message_id());
                        let skipped = random.below(4);
                        let walk = std::iter::from_fn(|| broker.next_ready(from, &mut place));
                        let Some(found) = walk.take(skipped + 1).last() else {
                            continue;
                        };
                        if broker.check_target(&guest, from, &target).is_err() {
                            assert_eq!(from, keys[to]);
                            continue;
                        }
                        let original = *random.pick(&[Original::Goes, Original::Stays]);
                        let done = broker.transfer(&guest, from, found, &target, original);
                        assert_eq!(done, Ok(Transferred::Done));
                        expected += usize::from(original == Original::Stays);
                    }
                }
                let queues = broker.queues();
                let ready: usize =
                    keys.iter().map(|&key| queues.get(key).unwrap().ready.len()).sum();
                assert_eq!(ready + unsettled.len(), expected, "seed {seed}");
                assert_eq!(queues.totals().ready, ready as u64);
                for &key in &keys {
                    let queue = queues.get(key).unwrap();
                    assert_eq!(queue.ready_bytes, 4 * queue.ready.len() as u64);
                }
            }
            broker.store.sync_now().unwrap();
            broker.close().unwrap();
            let all: usize = names.iter().map(|name| found_in(directory.path(), name)).sum();
            assert_eq!(all, expected, "seed {seed}");
        }
    }

    /// It was moved as if it had just come, to a consumer that would have got it.
    #[test]
    fn a_message_that_is_past_its_time_is_not_moved() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let guest = subject(&broker);
        let mut arguments = TableBuf::new();
        arguments.put(b"x-message-ttl", crate::amqp::Value::I64(1000));
        let from = declare(&mut broker, "from", arguments.table());
        let to = declare(&mut broker, "to", Table::EMPTY);
        testing::publish(&mut broker, from, 1);
        let mut place = Place::first(broker.next_message_id());
        let found = broker.next_ready(from, &mut place).unwrap();
        broker.set_clock(NOW_MS + 1000);
        let target = Target::Queue(Name::from("to"));
        let moved = broker.transfer(&guest, from, found, &target, Original::Goes);
        assert_eq!(moved, Ok(Transferred::Missing));
        assert_eq!(broker.queues().get(to).unwrap().ready.len(), 0);
        broker.expire();
        assert_eq!(broker.queues().get(from).unwrap().ready.len(), 0);
    }

    /// The publisher is where dead letters and moves meet a full disk: nothing may have changed.
    #[test]
    fn what_the_log_has_no_room_for_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let guest = subject(&broker);
        let from = declare(&mut broker, "from", Table::EMPTY);
        declare(&mut broker, "to", Table::EMPTY);
        testing::publish(&mut broker, from, 10);
        let target = Target::Queue(Name::from("to"));
        let (mut copied, mut refused) = (0, 0);
        // The helper makes no new segment until it runs.
        for _ in 0..5_000 {
            let mut place = Place::first(broker.next_message_id());
            let found = broker.next_ready(from, &mut place).unwrap();
            match broker.transfer(&guest, from, found, &target, Original::Stays) {
                Ok(done) => {
                    assert_eq!(done, Transferred::Done);
                    copied += 1;
                }
                Err(error) => {
                    assert_eq!(error, AppendError::Full);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0 && copied > 0);
        // Moves, which give room back, may take what is kept for that; but no more.
        let to = broker.topology().queue_named(guest.vhost, b"to").unwrap();
        let target = Target::Queue(Name::from("from"));
        let mut moved = 0;
        let error = loop {
            let mut place = Place::first(broker.next_message_id());
            let found = broker.next_ready(to, &mut place).expect("it is full before");
            match broker.transfer(&guest, to, found, &target, Original::Goes) {
                Ok(done) => assert_eq!(done, Transferred::Done),
                Err(error) => break error,
            }
            moved += 1;
        };
        assert_eq!(error, AppendError::Full);
        let counts = [from, to].map(|key| broker.queues().get(key).unwrap().ready.len());
        assert_eq!(counts, [10 + moved, copied - moved]);
    }
}
