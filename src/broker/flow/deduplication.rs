//! Which messages are duplicates?
//!
//! A message has a deduplication key in the header `x-deduplication-header`. An exchange of the
//! type `x-message-deduplication` remembers the keys of the last messages (`x-cache-size`, for
//! `x-cache-ttl` milliseconds) and routes each once; a queue with the argument
//! `x-message-deduplication` takes a message only while no other of its key is in it. What a
//! durable exchange remembers is a definition that is stored in the record of the message that took
//! the key; what a queue holds tells its own keys.

use crate::amqp::{Properties, PropertyList, TableBuf};
use crate::broker::Broker;
use crate::broker::exchange::cache::natural;
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};
use crate::storage::{Entry, MessageId};

/// What an exchange has to say of a message's key.
#[derive(Debug)]
pub enum Sighting {
    /// The exchange does not look at keys, or the message has none.
    Keyless,
    /// It has routed a message of this key already.
    Repeated,
    /// The key is new; it is remembered once the message is stored.
    New(NewDedupKey),
}

impl Sighting {
    /// The key that is to be remembered.
    pub fn new_key(&self) -> Option<&NewDedupKey> {
        match self {
            Self::Keyless | Self::Repeated => None,
            Self::New(dedup_key) => Some(dedup_key),
        }
    }
}

/// A key that an exchange has not seen.
#[derive(Debug, Clone)]
pub struct NewDedupKey {
    exchange: ExchangeKey,
    dedup_key: Box<[u8]>,
    until_ms: u64,
}

impl NewDedupKey {
    /// How long the key is, in bytes.
    pub fn bytes(&self) -> usize {
        self.dedup_key.len()
    }

    /// What two messages of one key at one exchange have in common.
    pub(in crate::broker) fn identity(&self) -> (ExchangeKey, &[u8]) {
        (self.exchange, &self.dedup_key)
    }
}

impl Broker {
    /// Whether an exchange has routed a message of this key already. A new key is not remembered
    /// before its message is stored: one that is refused or rolled back may come again.
    pub fn look_for_dedup_key(
        &self,
        vhost: VhostKey,
        exchange: &[u8],
        properties: &PropertyList<'_>,
    ) -> Sighting {
        let Some(key) = self.topology.exchange_named(vhost, exchange) else {
            return Sighting::Keyless;
        };
        let cache = self.topology.exchange(key).and_then(|exchange| exchange.cache.as_ref());
        let Some((cache, dedup_key)) =
            cache.and_then(|cache| Some((cache, dedup_key_in(properties)?)))
        else {
            return Sighting::Keyless;
        };
        if cache.has(&dedup_key, self.clock_ms) {
            return Sighting::Repeated;
        }
        let ttl = properties.headers.and_then(|headers| headers.find(b"x-cache-ttl"));
        let until_ms = cache.until_ms(ttl.and_then(natural), self.clock_ms);
        Sighting::New(NewDedupKey { exchange: key, dedup_key, until_ms })
    }

    /// Whether a key was remembered since it was found to be new.
    pub(in crate::broker) fn is_known(&self, new: &NewDedupKey) -> bool {
        let cache =
            self.topology.exchange(new.exchange).and_then(|exchange| exchange.cache.as_ref());
        cache.is_some_and(|cache| cache.has(&new.dedup_key, self.clock_ms))
    }

    /// The definition that makes a new key last: with a message that is stored, or by itself.
    pub(in crate::broker) fn definition_of_dedup_key(
        &self,
        new: &NewDedupKey,
    ) -> Option<(Vec<u8>, TableBuf)> {
        let exchange = self.topology.exchange(new.exchange)?;
        exchange.durable.then(|| {
            self.topology.dedup_key_definition(new.exchange, &new.dedup_key, new.until_ms)
        })?
    }

    /// The message of a new key was stored, or it needed not be: the exchange remembers the key
    /// from now on. `is_defined`: its definition, if it needs one, went with the message.
    pub(in crate::broker) fn remember_dedup_key(&mut self, new: &NewDedupKey, is_defined: bool) {
        let definition = if is_defined { None } else { self.definition_of_dedup_key(new) };
        let Some(exchange) = self.topology.exchange_mut(new.exchange) else {
            return;
        };
        let Some(cache) = &mut exchange.cache else {
            return;
        };
        let durable = exchange.durable;
        let gone = cache.remember(&new.dedup_key, new.until_ms);
        if let Some((key, payload)) = definition {
            // As a new one: keys are told at start in the order in which they were seen.
            self.store.undefine(&key);
            self.store.define(&key, payload.table().as_bytes());
        }
        for dedup_key in gone.iter().filter(|_| durable) {
            self.topology.erase_dedup_key(&mut self.store, new.exchange, dedup_key);
        }
    }

    /// Whether a queue takes only one message of each key at a time.
    #[inline]
    pub(in crate::broker) fn takes_dedup_keys_once(&self, key: QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.settings.message_deduplication)
    }

    /// Whether a message of this key is in the queue.
    pub(in crate::broker) fn holds_dedup_key(&self, key: QueueKey, dedup_key: &[u8]) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.dedup_keys.contains_key(dedup_key))
    }

    /// A message joined a queue that takes each key once.
    pub(in crate::broker) fn add_dedup_key(&mut self, key: QueueKey, entry: Entry) {
        if let Some(dedup_key) = self.read_dedup_key(entry)
            && let Some(queue) = self.queues.get_mut(key)
        {
            queue.dedup_keys.insert(dedup_key, entry.id);
        }
    }

    /// A message leaves a queue for good: its key may come again.
    #[inline]
    pub(in crate::broker) fn drop_dedup_key(&mut self, key: QueueKey, entry: Entry) {
        if let Some(dedup_key) = self.dedup_key_of(key, entry) {
            self.free_dedup_key(key, entry.id, &dedup_key);
        }
    }

    /// The same where the key is known. After a purge somebody else may have it.
    pub(in crate::broker) fn free_dedup_key(
        &mut self,
        key: QueueKey,
        id: MessageId,
        dedup_key: &[u8],
    ) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.dedup_keys.get(dedup_key) == Some(&id)
        {
            queue.dedup_keys.remove(dedup_key);
        }
    }

    /// The key under which a queue that takes each key once holds this message.
    #[inline]
    pub(in crate::broker) fn dedup_key_of(&self, key: QueueKey, entry: Entry) -> Option<Box<[u8]>> {
        if self.takes_dedup_keys_once(key) { self.read_dedup_key(entry) } else { None }
    }

    fn read_dedup_key(&self, entry: Entry) -> Option<Box<[u8]>> {
        let record = self.store.record(entry.at);
        dedup_key_in(&Properties::new(record.properties()).list().unwrap_or_default())
    }
}

/// A message's key: the kind and the value of its header, so that 1 and "1" differ. Integers are
/// of one kind, however wide they are.
pub(in crate::broker) fn dedup_key_in(properties: &PropertyList<'_>) -> Option<Box<[u8]>> {
    let value = properties.headers?.find(b"x-deduplication-header")?;
    let kind = if value.integer().is_some() { "integer" } else { value.type_name() };
    Some(format!("{kind}:{value}").into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::arguments::ExchangeTraits;
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, publish_with, subject};

    fn is_repeated(broker: &mut Broker, properties: &PropertyList<'_>) -> bool {
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        match broker.look_for_dedup_key(vhost, b"once", properties) {
            Sighting::Keyless => panic!("it has a key"),
            Sighting::Repeated => true,
            Sighting::New(new) => {
                broker.remember_dedup_key(&new, false);
                false
            }
        }
    }

    fn named(dedup_key: &str) -> TableBuf {
        let mut headers = TableBuf::new();
        headers.put_str(b"x-deduplication-header", dedup_key);
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
        for dedup_key in ["a", "b", "a", "a"] {
            publish_with(&mut broker, queue, named(dedup_key).table());
        }
        assert_eq!(ready(&broker, queue), 2);
        broker.close().unwrap();
        let mut broker = open(directory.path());
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let queue = broker.topology().queue_named(vhost, b"q").unwrap();
        publish_with(&mut broker, queue, named("a").table());
        assert_eq!(ready(&broker, queue), 2, "the key is known after a restart");
        let channel = open_channel(&mut broker);
        let first = broker.get(queue, channel, false).unwrap();
        broker.ack(&first.unsettled);
        publish_with(&mut broker, queue, named("a").table());
        assert_eq!(ready(&broker, queue), 2, "the first one of this key was acked");
    }

    #[test]
    fn a_durable_exchange_remembers_names_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"x-cache-size", 10);
        let traits = ExchangeTraits {
            kind: b"x-message-deduplication",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        broker.declare_exchange(&subject(&broker), b"once", &traits).unwrap();
        let headers = named("a");
        let list = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        assert!(!is_repeated(&mut broker, &list));
        assert!(is_repeated(&mut broker, &list));
        broker.close().unwrap();
        let mut broker = open(directory.path());
        assert!(is_repeated(&mut broker, &list));
        broker.delete_exchange(&subject(&broker), b"once", false).unwrap();
        broker.declare_exchange(&subject(&broker), b"once", &traits).unwrap();
        assert!(!is_repeated(&mut broker, &list), "a new exchange remembers nothing");
    }

    /// A key that was seen anew kept its old place in the definitions: after a restart it had to
    /// go before keys that were older.
    #[test]
    fn a_name_that_was_seen_anew_is_the_newest_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"x-cache-size", 2);
        let traits = ExchangeTraits {
            kind: b"x-message-deduplication",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        broker.declare_exchange(&subject(&broker), b"once", &traits).unwrap();
        let is_repeated = |broker: &mut Broker, dedup_key: &str, ttl_ms: i64| {
            let mut headers = named(dedup_key);
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
