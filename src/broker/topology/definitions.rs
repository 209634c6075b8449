//! How are vhosts, users, exchanges, queues and bindings kept on disk, and found again?
//!
//! Each is a definition of the log: a key that names it and a field table with what it is. A key
//! is a kind octet and short strings, each behind its length.

use log::warn;

use crate::amqp::{Name, Table, TableBuf, Value};
use crate::broker::Broker;
use crate::broker::arguments::policy::Policy;
use crate::broker::exchange::Exchange;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::flow::deduplication::Cache;
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};
use crate::broker::queue::{Declaration, Queue};
use crate::broker::topology::vhost::Vhost;
use crate::broker::users::user::User;
use crate::storage::{Definitions, QueueId};

/// What an entry describes; the numbers are on disk, and are the order of restoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vhost = 1,
    User = 2,
    Policy = 3,
    Exchange = 4,
    Queue = 5,
    Binding = 6,
    Seen = 7,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Vhost,
        Kind::User,
        Kind::Policy,
        Kind::Exchange,
        Kind::Queue,
        Kind::Binding,
        Kind::Seen,
    ];
}

impl Broker {
    /// Puts everything that the log held into place; what cannot be read is passed over with
    /// a warning.
    pub(in crate::broker) fn restore_definitions(&mut self, definitions: &Definitions) {
        let mut ends = None;
        for kind in Kind::ALL {
            let of_kind = definitions.iter().filter(|(key, _)| key.first() == Some(&(kind as u8)));
            for (key, payload) in of_kind {
                if self.restore(kind, &key[1..], payload, &mut ends).is_none() {
                    warn_of_unusable(key);
                }
            }
        }
        let known = |key: &[u8]| Kind::ALL.iter().any(|&kind| key.first() == Some(&(kind as u8)));
        for (key, _) in definitions.iter().filter(|(key, _)| !known(key)) {
            warn_of_unusable(key);
        }
    }

    /// Creates a vhost with its predeclared exchanges, and keeps it.
    pub fn create_vhost(&mut self, name: &Name) -> VhostKey {
        if let Some(key) = self.vhost_named(name) {
            return key;
        }
        let key = self.insert_vhost(name);
        self.store.define(&key_of(Kind::Vhost, &[name]), TableBuf::new().table().as_bytes());
        key
    }

    /// Stores a user, new or changed.
    pub fn put_user(&mut self, user: User) {
        let payload = user.encode();
        self.store.define(&key_of(Kind::User, &[&user.name]), payload.table().as_bytes());
        self.users.put(user);
        self.topology_changed();
    }

    pub(in crate::broker) fn keep_policy(&mut self, policy: &Policy) {
        let key = policy_key(&policy.vhost, policy.operator, &policy.name);
        self.store.define(&key, policy.encode().table().as_bytes());
    }

    pub(in crate::broker) fn forget_policy(
        &mut self,
        vhost: VhostKey,
        operator: bool,
        name: &Name,
    ) {
        let vhost = self.vhost_name(vhost);
        self.store.undefine(&policy_key(&vhost, operator, name));
    }

    pub(in crate::broker) fn keep_exchange(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
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
        self.store.define(&key, payload.table().as_bytes());
    }

    pub(in crate::broker) fn forget_exchange(&mut self, vhost: VhostKey, name: &Name) {
        let vhost = self.vhost_name(vhost);
        self.store.undefine(&key_of(Kind::Exchange, &[&vhost, name]));
    }

    pub(in crate::broker) fn keep_queue(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(key) else {
            return;
        };
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
        self.store.define(&key, payload.table().as_bytes());
    }

    pub(in crate::broker) fn forget_queue(&mut self, vhost: VhostKey, name: &Name) {
        let vhost = self.vhost_name(vhost);
        self.store.undefine(&key_of(Kind::Queue, &[&vhost, name]));
    }

    pub(in crate::broker) fn keep_binding(&mut self, vhost: VhostKey, binding: &Binding) {
        if let Some(key) = self.binding_key(vhost, binding) {
            let mut payload = TableBuf::new();
            payload.put(b"arguments", Value::Table(binding.table()));
            self.store.define(&key, payload.table().as_bytes());
        }
    }

    pub(in crate::broker) fn forget_binding(&mut self, vhost: VhostKey, binding: &Binding) {
        if let Some(key) = self.binding_key(vhost, binding) {
            self.store.undefine(&key);
        }
    }

    /// The definition of a deduplication key that a durable exchange remembers: key and payload.
    pub(in crate::broker) fn seen_definition(
        &self,
        exchange: ExchangeKey,
        name: &[u8],
        until_ms: u64,
    ) -> Option<(Vec<u8>, TableBuf)> {
        let mut payload = TableBuf::new();
        payload.put(b"until", Value::Timestamp(until_ms));
        Some((self.seen_key(exchange, name)?, payload))
    }

    /// A durable exchange forgets a deduplication key.
    pub(in crate::broker) fn forget_one_seen(&mut self, exchange: ExchangeKey, name: &[u8]) {
        if let Some(key) = self.seen_key(exchange, name) {
            self.store.undefine(&key);
        }
    }

    /// The exchange goes, and what it remembers.
    pub(in crate::broker) fn forget_seen(&mut self, exchange: ExchangeKey) {
        let cache = self.exchanges.get(exchange).and_then(|exchange| exchange.cache.as_ref());
        let names: Vec<Box<[u8]>> =
            cache.map(|cache| cache.names().cloned().collect()).unwrap_or_default();
        for name in names {
            self.forget_one_seen(exchange, &name);
        }
    }

    fn seen_key(&self, exchange: ExchangeKey, name: &[u8]) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get(exchange)?;
        let vhost = self.vhost_name(exchange.vhost);
        let mut key = key_of(Kind::Seen, &[&vhost, &exchange.name]);
        key.extend_from_slice(name);
        Some(key)
    }

    fn restore_seen(&mut self, mut rest: &[u8], payload: Table<'_>) -> Option<()> {
        let vhost = self.vhost_named(take_part(&mut rest)?)?;
        let exchange = self.exchange_named(vhost, take_part(&mut rest)?)?;
        let Value::Timestamp(until_ms) = payload.find(b"until")? else {
            return None;
        };
        let cache = self.exchanges.get_mut(exchange)?.cache.as_mut()?;
        cache.restore(rest, until_ms);
        Some(())
    }

    fn binding_key(&self, vhost: VhostKey, binding: &Binding) -> Option<Vec<u8>> {
        let vhost = self.vhost_name(vhost);
        let source = &self.exchanges.get(binding.source)?.name;
        let (kind, destination) = match binding.destination {
            Destination::Queue(key) => (b"q", &self.queues.get(key)?.name),
            Destination::Exchange(key) => (b"e", &self.exchanges.get(key)?.name),
        };
        let parts = [&vhost[..], source, kind, destination, &binding.key];
        let mut key = key_of(Kind::Binding, &parts);
        key.extend_from_slice(&binding.arguments);
        Some(key)
    }

    fn insert_vhost(&mut self, name: &Name) -> VhostKey {
        let key = self.vhosts.insert(Vhost::new(name.clone()));
        self.vhost_names.insert(name.clone(), key);
        self.predeclare_exchanges(key);
        self.topology_changed();
        key
    }

    fn restore<'a>(
        &mut self,
        kind: Kind,
        mut rest: &'a [u8],
        payload: &'a [u8],
        ends: &mut Option<BindingEnds<'a>>,
    ) -> Option<()> {
        let payload = Table::new(payload).ok()?;
        match kind {
            Kind::Vhost => {
                let name = take_part(&mut rest)?;
                self.insert_vhost(&Name::from(name));
            }
            Kind::User => {
                self.users.put(User::decode(payload).ok()?);
            }
            Kind::Policy => {
                let policy = Policy::decode(payload).ok()?;
                let vhost = self.vhost_named(&policy.vhost)?;
                self.insert_policy(vhost, policy);
                // The predeclared ones are there already.
                self.apply_to_exchanges(vhost);
            }
            Kind::Exchange => {
                let vhost = self.vhost_named(take_part(&mut rest)?)?;
                self.restore_exchange(vhost, take_part(&mut rest)?, payload)?;
            }
            Kind::Queue => {
                let vhost = self.vhost_named(take_part(&mut rest)?)?;
                self.restore_queue(vhost, take_part(&mut rest)?, payload)?;
            }
            Kind::Binding => self.restore_binding(rest, payload, ends)?,
            Kind::Seen => self.restore_seen(rest, payload)?,
        }
        Some(())
    }

    fn restore_exchange(&mut self, vhost: VhostKey, name: &[u8], payload: Table<'_>) -> Option<()> {
        let kind = ExchangeKind::parse(payload.find(b"type")?.text()?).ok()?;
        let arguments = table_at(payload, b"arguments")?;
        let alternate = self.alternate_for(vhost, &Name::from(name), arguments);
        let cache =
            (kind == ExchangeKind::Deduplication).then(|| Cache::of(arguments)).transpose().ok()?;
        let delay_id = payload.find(b"delay_id").and_then(|id| id.integer());
        let delay_id = delay_id.and_then(|id| u64::try_from(id).ok()).map(QueueId);
        self.create_exchange(Exchange {
            name: Name::from(name),
            vhost,
            kind,
            durable: true,
            auto_delete: bool_at(payload, b"auto_delete")?,
            internal: bool_at(payload, b"internal")?,
            arguments: arguments.as_bytes().into(),
            alternate,
            delay_id,
            cache,
            matcher: Matcher::new(kind, arguments, self.clock_ms).ok()?,
            visit: 0,
        });
        Some(())
    }

    fn restore_queue(&mut self, vhost: VhostKey, name: &[u8], payload: Table<'_>) -> Option<()> {
        let id = QueueId(u64::try_from(payload.find(b"id")?.integer()?).ok()?);
        let declaration = Declaration {
            durable: true,
            owner: None,
            auto_delete: bool_at(payload, b"auto_delete")?,
            arguments: table_at(payload, b"arguments")?.as_bytes().into(),
        };
        let mut queue = Queue::new(Name::from(name), vhost, id, declaration);
        if let Some(stream) = &mut queue.stream {
            stream.restore_front(payload);
        }
        self.create_queue(queue);
        Some(())
    }

    fn restore_binding<'a>(
        &mut self,
        key: &'a [u8],
        payload: Table<'_>,
        ends: &mut Option<BindingEnds<'a>>,
    ) -> Option<()> {
        let mut rest = key;
        for _ in 0..4 {
            take_part(&mut rest)?;
        }
        let names = &key[..key.len() - rest.len()];
        let known = ends.filter(|ends| ends.names == names);
        let BindingEnds { vhost, source, destination, .. } = match known {
            Some(ends) => ends,
            None => *ends.insert(self.binding_ends_named(names)?),
        };
        let routing_key = Name::from(take_part(&mut rest)?);
        let arguments = table_at(payload, b"arguments")?;
        self.add_binding(vhost, Binding::new(source, destination, routing_key, arguments));
        Some(())
    }

    fn binding_ends_named<'a>(&self, names: &'a [u8]) -> Option<BindingEnds<'a>> {
        let mut rest = names;
        let vhost = self.vhost_named(take_part(&mut rest)?)?;
        let source = self.exchange_named(vhost, take_part(&mut rest)?)?;
        let kind = take_part(&mut rest)?;
        let name = take_part(&mut rest)?;
        let destination = match kind {
            b"q" => Destination::Queue(self.queue_named(vhost, name)?),
            b"e" => Destination::Exchange(self.exchange_named(vhost, name)?),
            _ => return None,
        };
        Some(BindingEnds { names, vhost, source, destination })
    }
}

/// What the first four parts of a binding's key mean. Bindings of one queue mostly follow each
/// other in the log, so that its name is looked up once for all of them.
#[derive(Clone, Copy)]
struct BindingEnds<'a> {
    names: &'a [u8],
    vhost: VhostKey,
    source: ExchangeKey,
    destination: Destination,
}

fn id_on_disk(id: QueueId) -> i64 {
    i64::try_from(id.0).expect("counted up from 1")
}

fn warn_of_unusable(key: &[u8]) {
    warn!("the definitions hold an entry that cannot be used: {}", key.escape_ascii());
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

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&bytes, tail) = rest.split_first()?;
    let (part, tail) = tail.split_at_checked(usize::from(bytes))?;
    *rest = tail;
    Some(part)
}

fn bool_at(table: Table<'_>, key: &[u8]) -> Option<bool> {
    let Value::Bool(value) = table.find(key)? else {
        return None;
    };
    Some(value)
}

fn table_at<'a>(table: Table<'a>, key: &[u8]) -> Option<Table<'a>> {
    let Value::Table(value) = table.find(key)? else {
        return None;
    };
    Some(value)
}
