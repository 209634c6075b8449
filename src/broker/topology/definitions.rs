//! How are vhosts, users, policies, parameters, exchanges, queues and bindings kept in the log?
//!
//! Each is a definition of the log: a key that names it and a field table with what it is. A key
//! is a kind octet and short strings, each behind its length. `broker::restore` reads them at
//! start.

use crate::amqp::{Name, Table, TableBuf, Value};
use crate::broker::arguments::policy::Policy;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;
use crate::broker::topology::Topology;
use crate::broker::topology::vhost::VhostSettings;
use crate::broker::users::User;
use crate::storage::{QueueId, Store};

/// What an entry describes; the numbers are on disk, and are the order of restoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Kind {
    Vhost = 1,
    User = 2,
    Policy = 3,
    Exchange = 4,
    Queue = 5,
    Binding = 6,
    DedupKey = 7,
    Parameter = 8,
}

impl Kind {
    pub(in crate::broker) const ALL: [Kind; 8] = [
        Kind::Vhost,
        Kind::User,
        Kind::Policy,
        Kind::Exchange,
        Kind::Queue,
        Kind::Binding,
        Kind::DedupKey,
        Kind::Parameter,
    ];
}

/// A vhost, new or changed, goes to the log; `leaving`: it is to be deleted with all that is in it.
pub(in crate::broker) fn persist_vhost(
    store: &mut Store,
    name: &Name,
    settings: &VhostSettings,
    leaving: bool,
) {
    store.define(&key_of(Kind::Vhost, &[name]), settings.encode(leaving).table().as_bytes());
}

/// A vhost leaves the log.
pub(in crate::broker) fn erase_vhost(store: &mut Store, name: &Name) {
    store.undefine(&key_of(Kind::Vhost, &[name]));
}

/// A user leaves the log.
pub(in crate::broker) fn erase_user(store: &mut Store, name: &Name) {
    store.undefine(&key_of(Kind::User, &[name]));
}

/// A parameter, new or changed, goes to the log; its vhost and component are empty when it is the
/// node's.
pub(super) fn persist_parameter(
    store: &mut Store,
    [vhost, component]: &[Name; 2],
    name: &Name,
    value: &str,
) {
    let mut payload = TableBuf::new();
    payload.put_str(b"value", value);
    let key = key_of(Kind::Parameter, &[vhost, component, name]);
    store.define(&key, payload.table().as_bytes());
}

/// A parameter leaves the log.
pub(super) fn erase_parameter(store: &mut Store, [vhost, component]: &[Name; 2], name: &[u8]) {
    store.undefine(&key_of(Kind::Parameter, &[vhost, component, name]));
}

/// A user, new or changed, goes to the log.
pub(in crate::broker) fn persist_user(store: &mut Store, user: &User) {
    store.define(&key_of(Kind::User, &[&user.name]), user.encode().table().as_bytes());
}

/// A policy, new or changed, goes to the log.
pub(in crate::broker) fn persist_policy(store: &mut Store, policy: &Policy) {
    let key = policy_key(&policy.vhost, policy.operator, &policy.name);
    store.define(&key, policy.encode().table().as_bytes());
}

impl Topology {
    /// A policy leaves the log.
    pub(in crate::broker) fn erase_policy(
        &self,
        store: &mut Store,
        vhost: VhostKey,
        operator: bool,
        name: &Name,
    ) {
        let vhost = self.vhost_name(vhost);
        store.undefine(&policy_key(&vhost, operator, name));
    }

    /// An exchange goes to the log.
    pub(in crate::broker) fn persist_exchange(&self, store: &mut Store, key: ExchangeKey) {
        let Some(exchange) = self.exchange(key) else {
            return;
        };
        let arguments = Table::new(&exchange.arguments).unwrap_or(Table::EMPTY);
        let mut payload = TableBuf::new();
        payload.put_str(b"type", exchange.kind.name());
        payload.put_bool(b"auto_delete", exchange.auto_delete);
        payload.put_bool(b"internal", exchange.internal);
        if let Some(id) = exchange.delay_id {
            payload.put_i64(b"delay_id", id_on_disk(id));
        }
        payload.put(b"arguments", Value::Table(arguments));
        let vhost = self.vhost_name(exchange.vhost);
        let key = key_of(Kind::Exchange, &[&vhost, &exchange.name]);
        store.define(&key, payload.table().as_bytes());
    }

    /// An exchange leaves the log.
    pub(super) fn erase_exchange(&self, store: &mut Store, key: ExchangeKey) {
        if let Some(exchange) = self.exchange(key) {
            let vhost = self.vhost_name(exchange.vhost);
            store.undefine(&key_of(Kind::Exchange, &[&vhost, &exchange.name]));
        }
    }

    /// A queue goes to the log, or where its stream begins now.
    pub(in crate::broker) fn persist_queue(&self, store: &mut Store, queue: &Queue) {
        let arguments = Table::new(&queue.declaration.arguments).unwrap_or(Table::EMPTY);
        let mut payload = TableBuf::new();
        payload.put_i64(b"id", id_on_disk(queue.id));
        payload.put_bool(b"auto_delete", queue.declaration.auto_delete);
        payload.put(b"arguments", Value::Table(arguments));
        if let Some(stream) = &queue.stream {
            stream.encode_front(&mut payload);
        }
        let vhost = self.vhost_name(queue.vhost);
        let key = key_of(Kind::Queue, &[&vhost, &queue.name]);
        store.define(&key, payload.table().as_bytes());
    }

    /// A queue leaves the log.
    pub(in crate::broker) fn erase_queue(&self, store: &mut Store, queue: &Queue) {
        let vhost = self.vhost_name(queue.vhost);
        store.undefine(&key_of(Kind::Queue, &[&vhost, &queue.name]));
    }

    /// A binding goes to the log.
    pub(in crate::broker) fn persist_binding(
        &self,
        store: &mut Store,
        queues: &Queues,
        vhost: VhostKey,
        binding: &Binding,
    ) {
        if let Some(key) = self.binding_key(queues, vhost, binding) {
            let mut payload = TableBuf::new();
            payload.put(b"arguments", Value::Table(binding.table()));
            store.define(&key, payload.table().as_bytes());
        }
    }

    /// A binding leaves the log.
    pub(super) fn erase_binding(
        &self,
        store: &mut Store,
        queues: &Queues,
        vhost: VhostKey,
        binding: &Binding,
    ) {
        if let Some(key) = self.binding_key(queues, vhost, binding) {
            store.undefine(&key);
        }
    }

    /// The definition of a deduplication key that a durable exchange remembers: key and payload.
    pub(in crate::broker) fn dedup_key_definition(
        &self,
        exchange: ExchangeKey,
        dedup_key: &[u8],
        until_ms: u64,
    ) -> Option<(Vec<u8>, TableBuf)> {
        let mut payload = TableBuf::new();
        payload.put(b"until", Value::Timestamp(until_ms));
        Some((self.key_of_dedup_key(exchange, dedup_key)?, payload))
    }

    /// A deduplication key that a durable exchange forgets leaves the log.
    pub(in crate::broker) fn erase_dedup_key(
        &self,
        store: &mut Store,
        exchange: ExchangeKey,
        dedup_key: &[u8],
    ) {
        if let Some(key) = self.key_of_dedup_key(exchange, dedup_key) {
            store.undefine(&key);
        }
    }

    fn key_of_dedup_key(&self, exchange: ExchangeKey, dedup_key: &[u8]) -> Option<Vec<u8>> {
        let exchange = self.exchange(exchange)?;
        let vhost = self.vhost_name(exchange.vhost);
        let mut key = key_of(Kind::DedupKey, &[&vhost, &exchange.name]);
        key.extend_from_slice(dedup_key);
        Some(key)
    }

    fn binding_key(&self, queues: &Queues, vhost: VhostKey, binding: &Binding) -> Option<Vec<u8>> {
        let vhost = self.vhost_name(vhost);
        let source = &self.exchange(binding.source)?.name;
        let (kind, destination) = match binding.destination {
            Destination::Queue(key) => (b"q", &queues.get(key)?.name),
            Destination::Exchange(key) => (b"e", &self.exchange(key)?.name),
        };
        let parts = [&vhost[..], source, kind, destination, &binding.key];
        let mut key = key_of(Kind::Binding, &parts);
        key.extend_from_slice(&binding.arguments);
        Some(key)
    }
}

fn id_on_disk(id: QueueId) -> i64 {
    i64::try_from(id.0).expect("counted up from 1")
}

fn policy_key(vhost: &Name, operator: bool, name: &Name) -> Vec<u8> {
    let sort: &[u8] = if operator { b"o" } else { b"u" };
    key_of(Kind::Policy, &[vhost, sort, name])
}

fn key_of(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind as u8];
    for part in parts {
        key.push(u8::try_from(part.len()).expect("names are short strings"));
        key.extend_from_slice(part);
    }
    key
}
