//! Which messages are duplicates?
//!
//! A message names itself in the header `x-deduplication-header`. An exchange of the type
//! `x-message-deduplication` remembers the names of the last messages (`x-cache-size`, for
//! `x-cache-ttl` milliseconds) and routes each once; a queue with the argument
//! `x-message-deduplication` takes a message only while no other of its name is in it. What a
//! durable exchange remembers is a definition that is stored in the record of the message that
//! took the name; what a queue holds tells its own names.

use crate::amqp::{Properties, PropertyList, TableBuf};
use crate::broker::Broker;
use crate::broker::exchange::cache::natural;
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};
use crate::storage::{Entry, MessageId};

/// What an exchange has to say of a message's name.
#[derive(Debug)]
pub enum Sighting {
    /// The exchange does not look at names, or the message has none.
    Nameless,
    /// It has routed a message of this name already.
    Repeated,
    /// The name is new; it is remembered once the message is stored.
    New(NewName),
}

impl Sighting {
    /// The name that is to be remembered.
    pub fn new_name(&self) -> Option<&NewName> {
        match self {
            Self::Nameless | Self::Repeated => None,
            Self::New(name) => Some(name),
        }
    }
}

/// A name that an exchange has not seen.
#[derive(Debug, Clone)]
pub struct NewName {
    exchange: ExchangeKey,
    name: Box<[u8]>,
    until_ms: u64,
}

impl NewName {
    /// What two messages of one name at one exchange have in common.
    pub(in crate::broker) fn identity(&self) -> (ExchangeKey, &[u8]) {
        (self.exchange, &self.name)
    }
}

impl Broker {
    /// Whether an exchange has routed a message of this name already. A new name is not remembered
    /// before its message is stored: one that is refused or rolled back may come again.
    pub fn look_for_name(
        &self,
        vhost: VhostKey,
        exchange: &[u8],
        properties: &PropertyList<'_>,
    ) -> Sighting {
        let Some(key) = self.topology.exchange_named(vhost, exchange) else {
            return Sighting::Nameless;
        };
        let cache = self.topology.exchange(key).and_then(|exchange| exchange.cache.as_ref());
        let Some((cache, name)) = cache.and_then(|cache| Some((cache, name_in(properties)?)))
        else {
            return Sighting::Nameless;
        };
        if cache.has(&name, self.clock_ms) {
            return Sighting::Repeated;
        }
        let ttl = properties.headers.and_then(|headers| headers.find(b"x-cache-ttl"));
        let until_ms = cache.until_ms(ttl.and_then(natural), self.clock_ms);
        Sighting::New(NewName { exchange: key, name, until_ms })
    }

    /// Whether a name was remembered since it was found to be new.
    pub(in crate::broker) fn is_known(&self, new: &NewName) -> bool {
        let cache =
            self.topology.exchange(new.exchange).and_then(|exchange| exchange.cache.as_ref());
        cache.is_some_and(|cache| cache.has(&new.name, self.clock_ms))
    }

    /// The definition that makes a new name last: with a message that is stored, or by itself.
    pub(in crate::broker) fn definition_of_name(
        &self,
        new: &NewName,
    ) -> Option<(Vec<u8>, TableBuf)> {
        let exchange = self.topology.exchange(new.exchange)?;
        exchange
            .durable
            .then(|| self.topology.dedup_key_definition(new.exchange, &new.name, new.until_ms))?
    }

    /// The message of a new name was stored, or it needed not be: the exchange remembers the name
    /// from now on. `is_defined`: its definition, if it needs one, went with the message.
    pub(in crate::broker) fn remember_name(&mut self, new: &NewName, is_defined: bool) {
        let definition = if is_defined { None } else { self.definition_of_name(new) };
        let Some(exchange) = self.topology.exchange_mut(new.exchange) else {
            return;
        };
        let Some(cache) = &mut exchange.cache else {
            return;
        };
        let durable = exchange.durable;
        let gone = cache.remember(&new.name, new.until_ms);
        if let Some((key, payload)) = definition {
            // As a new one: names are told at start in the order in which they were seen.
            self.store.undefine(&key);
            self.store.define(&key, payload.table().as_bytes());
        }
        for name in gone.iter().filter(|_| durable) {
            self.topology.erase_dedup_key(&mut self.store, new.exchange, name);
        }
    }

    /// Whether a queue takes only one message of each name at a time.
    #[inline]
    pub(in crate::broker) fn takes_names_once(&self, key: QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.settings.message_deduplication)
    }

    /// Whether a message of this name is in the queue.
    pub(in crate::broker) fn holds_name(&self, key: QueueKey, name: &[u8]) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.dedup_keys.contains_key(name))
    }

    /// A message joined a queue that takes each name once.
    pub(in crate::broker) fn note_name(&mut self, key: QueueKey, entry: Entry) {
        if let Some(name) = self.name_of(entry)
            && let Some(queue) = self.queues.get_mut(key)
        {
            queue.dedup_keys.insert(name, entry.id);
        }
    }

    /// A message leaves a queue for good: its name may come again.
    #[inline]
    pub(in crate::broker) fn forget_name(&mut self, key: QueueKey, entry: Entry) {
        if let Some(name) = self.name_held(key, entry) {
            self.free_name(key, entry.id, &name);
        }
    }

    /// The same where the name is known. After a purge somebody else may have it.
    pub(in crate::broker) fn free_name(&mut self, key: QueueKey, id: MessageId, name: &[u8]) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.dedup_keys.get(name) == Some(&id)
        {
            queue.dedup_keys.remove(name);
        }
    }

    /// The name under which a queue that takes each name once holds this message.
    #[inline]
    pub(in crate::broker) fn name_held(&self, key: QueueKey, entry: Entry) -> Option<Box<[u8]>> {
        if self.takes_names_once(key) { self.name_of(entry) } else { None }
    }

    fn name_of(&self, entry: Entry) -> Option<Box<[u8]>> {
        let record = self.store.record(entry.at);
        name_in(&Properties::new(record.properties()).list().unwrap_or_default())
    }
}

/// A message's name: the kind and the value of its header, so that 1 and "1" differ.
pub(in crate::broker) fn name_in(properties: &PropertyList<'_>) -> Option<Box<[u8]>> {
    let value = properties.headers?.find(b"x-deduplication-header")?;
    Some(format!("{}:{value}", value.type_name()).into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::requests::exchanges::ExchangeDeclare;
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, publish_with, subject};

    fn is_repeated(broker: &mut Broker, properties: &PropertyList<'_>) -> bool {
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        match broker.look_for_name(vhost, b"once", properties) {
            Sighting::Nameless => panic!("it has a name"),
            Sighting::Repeated => true,
            Sighting::New(new) => {
                broker.remember_name(&new, false);
                false
            }
        }
    }

    fn named(name: &str) -> TableBuf {
        let mut headers = TableBuf::new();
        headers.put_str(b"x-deduplication-header", name);
        headers
    }

    fn ready(broker: &Broker, queue: QueueKey) -> usize {
        broker.queues().get(queue).unwrap().ready.len()
    }

    #[test]
    fn a_queue_takes_a_name_again_once_its_message_is_gone_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = TableBuf::new();
        arguments.put_bool(b"x-message-deduplication", true);
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", arguments.table());
        for name in ["a", "b", "a", "a"] {
            publish_with(&mut broker, queue, named(name).table());
        }
        assert_eq!(ready(&broker, queue), 2);
        broker.close().unwrap();
        let mut broker = open(directory.path());
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let queue = broker.topology().queue_named(vhost, b"q").unwrap();
        publish_with(&mut broker, queue, named("a").table());
        assert_eq!(ready(&broker, queue), 2, "the name is known after a restart");
        let channel = open_channel(&mut broker);
        let first = broker.get(queue, channel, false).unwrap();
        broker.ack(&first.held);
        publish_with(&mut broker, queue, named("a").table());
        assert_eq!(ready(&broker, queue), 2, "the first one of this name was acked");
    }

    #[test]
    fn a_durable_exchange_remembers_names_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"x-cache-size", 10);
        let request = ExchangeDeclare {
            name: b"once",
            kind: b"x-message-deduplication",
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        broker.declare_exchange(&subject(&broker), &request).unwrap();
        let headers = named("a");
        let list = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        assert!(!is_repeated(&mut broker, &list));
        assert!(is_repeated(&mut broker, &list));
        broker.close().unwrap();
        let mut broker = open(directory.path());
        assert!(is_repeated(&mut broker, &list));
        broker.delete_exchange(&subject(&broker), b"once", false).unwrap();
        broker.declare_exchange(&subject(&broker), &request).unwrap();
        assert!(!is_repeated(&mut broker, &list), "a new exchange remembers nothing");
    }

    /// A name that was seen anew kept its old place in the definitions: after a restart it had to
    /// go before names that were older.
    #[test]
    fn a_name_that_was_seen_anew_is_the_newest_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"x-cache-size", 2);
        let request = ExchangeDeclare {
            name: b"once",
            kind: b"x-message-deduplication",
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        broker.declare_exchange(&subject(&broker), &request).unwrap();
        let is_repeated = |broker: &mut Broker, name: &str, ttl_ms: i64| {
            let mut headers = named(name);
            headers.put_i64(b"x-cache-ttl", ttl_ms);
            let list = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
            is_repeated(broker, &list)
        };
        assert!(!is_repeated(&mut broker, "a", 5));
        assert!(!is_repeated(&mut broker, "b", 10_000));
        broker.set_clock(NOW_MS + 5);
        assert!(!is_repeated(&mut broker, "a", 10_000), "its time was over");
        broker.close().unwrap();
        let mut broker = open(directory.path());
        broker.set_clock(NOW_MS + 5);
        assert!(!is_repeated(&mut broker, "c", 10_000), "b has to go for it");
        assert!(is_repeated(&mut broker, "a", 10_000));
        assert!(!is_repeated(&mut broker, "b", 10_000));
    }
}
