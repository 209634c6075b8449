//! How do definitions come back from the log at start?

use log::warn;

use crate::amqp::{Name, Table, Value};
use crate::broker::Broker;
use crate::broker::arguments::policy::Policy;
use crate::broker::exchange::Exchange;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::exchange::cache::Cache;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::payload;
use crate::broker::queue::{Declaration, Queue};
use crate::broker::requests::vhosts::Parting;
use crate::broker::topology::definitions::Kind;
use crate::broker::topology::parameters::Scope;
use crate::broker::topology::vhost::VhostSettings;
use crate::broker::users::User;
use crate::storage::{Definitions, QueueId};

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
            if kind == Kind::Policy {
                // What comes follows them; the predeclared exchanges are there already.
                self.topology.apply_to_exchanges();
            }
        }
        let known = |key: &[u8]| Kind::ALL.iter().any(|&kind| key.first() == Some(&(kind as u8)));
        for (key, _) in definitions.iter().filter(|(key, _)| !known(key)) {
            warn_of_unusable(key);
        }
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
                let name = Name::from(take_part(&mut rest)?);
                let (settings, leaving) = VhostSettings::decode(payload);
                let key = self.topology.add_vhost(&name, settings, self.clock_ms);
                // It is deleted once all that is in it is there.
                if leaving {
                    self.parting.push_back(Parting::new(key));
                }
            }
            Kind::User => {
                self.users.put(User::decode(payload).ok()?);
            }
            Kind::Policy => {
                let policy = Policy::decode(payload).ok()?;
                let vhost = self.topology.vhost_named(&policy.vhost)?;
                self.topology.put_policy(vhost, policy);
            }
            Kind::Exchange => {
                let vhost = self.topology.vhost_named(take_part(&mut rest)?)?;
                self.restore_exchange(vhost, take_part(&mut rest)?, payload)?;
            }
            Kind::Queue => {
                let vhost = self.topology.vhost_named(take_part(&mut rest)?)?;
                self.restore_queue(vhost, take_part(&mut rest)?, payload)?;
            }
            Kind::Binding => self.restore_binding(rest, payload, ends)?,
            Kind::DedupKey => self.restore_dedup_key(rest, payload)?,
            Kind::Parameter => self.restore_parameter(rest, payload)?,
        }
        Some(())
    }

    fn restore_exchange(&mut self, vhost: VhostKey, name: &[u8], payload: Table<'_>) -> Option<()> {
        let kind = ExchangeKind::parse(payload.find(b"type")?.text()?).ok()?;
        let arguments = table_at(payload, b"arguments")?;
        let alternate = self.topology.alternate_for(vhost, &Name::from(name), arguments);
        let cache =
            (kind == ExchangeKind::Deduplication).then(|| Cache::of(arguments)).transpose().ok()?;
        let delay_id = payload.find(b"delay_id").and_then(|id| id.integer());
        let delay_id = delay_id.and_then(|id| u64::try_from(id).ok()).map(QueueId);
        self.topology.add_exchange(Exchange {
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
            counters: None,
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
        let binding = Binding::new(source, destination, routing_key, arguments);
        self.topology.add_binding(vhost, binding, &self.queues);
        Some(())
    }

    fn binding_ends_named<'a>(&self, names: &'a [u8]) -> Option<BindingEnds<'a>> {
        let mut rest = names;
        let vhost = self.topology.vhost_named(take_part(&mut rest)?)?;
        let source = self.topology.exchange_named(vhost, take_part(&mut rest)?)?;
        let kind = take_part(&mut rest)?;
        let name = take_part(&mut rest)?;
        let destination = match kind {
            b"q" => Destination::Queue(self.topology.queue_named(vhost, name)?),
            b"e" => Destination::Exchange(self.topology.exchange_named(vhost, name)?),
            _ => return None,
        };
        Some(BindingEnds { names, vhost, source, destination })
    }

    fn restore_dedup_key(&mut self, mut rest: &[u8], payload: Table<'_>) -> Option<()> {
        let vhost = self.topology.vhost_named(take_part(&mut rest)?)?;
        let exchange = self.topology.exchange_named(vhost, take_part(&mut rest)?)?;
        let Value::Timestamp(until_ms) = payload.find(b"until")? else {
            return None;
        };
        let cache = self.topology.exchange_mut(exchange)?.cache.as_mut()?;
        cache.restore(rest, until_ms);
        Some(())
    }

    fn restore_parameter(&mut self, mut rest: &[u8], payload: Table<'_>) -> Option<()> {
        let vhost = take_part(&mut rest)?;
        let component = Name::from(take_part(&mut rest)?);
        let name = Name::from(take_part(&mut rest)?);
        let value = payload::text(payload, "value").ok()?;
        let scope = if component.is_empty() {
            Scope::Global
        } else {
            Scope::Vhost(self.topology.vhost_named(vhost)?, &component)
        };
        self.topology.put_parameter(scope, name, value.into());
        Some(())
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

fn warn_of_unusable(key: &[u8]) {
    warn!("the definitions hold an entry that cannot be used: {}", key.escape_ascii());
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
