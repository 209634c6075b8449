//! Which messages came before?
//!
//! An exchange of the type `x-message-deduplication` remembers the last names that it saw; a
//! queue takes a name only while no other message of that name is in it.

use super::{Copied, Exchange, QueueId, Twin};
use crate::ops::Publish;
use crate::values::{Props, Val};

/// A name that an exchange saw, and until when it counts.
#[derive(Clone, Debug)]
pub struct Seen {
    name: Val,
    until_ms: Option<u64>,
}

/// What an exchange has to say of a message's name.
#[derive(Debug)]
pub enum Sighting {
    Nameless,
    Repeated,
    New(NewName),
}

/// A name that an exchange has not seen, with which exchange that is.
#[derive(Clone, Debug, PartialEq)]
pub struct NewName {
    exchange: String,
    id: u64,
    name: Val,
    until_ms: Option<u64>,
}

impl NewName {
    pub fn is_same(&self, other: &NewName) -> bool {
        (self.id, &self.name) == (other.id, &other.name)
    }
}

impl Exchange {
    fn remembers(&self, name: &Val, now_ms: u64) -> bool {
        let counts = |seen: &Seen| seen.until_ms.is_none_or(|until| now_ms < until);
        self.seen.iter().any(|seen| seen.name == *name && counts(seen))
    }

    fn argument(&self, wanted: &str) -> Option<u64> {
        let found = self.spec.arguments.iter().find(|(name, _)| name == wanted);
        number(found.map(|(_, value)| value))
    }
}

fn number(value: Option<&Val>) -> Option<u64> {
    match value {
        Some(Val::I64(number)) => Some(u64::try_from(*number).unwrap()),
        _ => None,
    }
}

pub fn name_in(props: &Props) -> Option<&Val> {
    props.header("x-deduplication-header")
}

impl Twin {
    /// What the exchange has to say of the message's name. It remembers a new one once the message
    /// is taken.
    pub fn look_for_name(&mut self, publish: &Publish) -> Sighting {
        let now = self.now_ms;
        let Some(name) = name_in(&publish.props) else {
            return Sighting::Nameless;
        };
        let exchange = &self.exchanges[&publish.exchange];
        if exchange.spec.kind != "x-message-deduplication" {
            return Sighting::Nameless;
        }
        if exchange.remembers(name, now) {
            self.count("repeated");
            return Sighting::Repeated;
        }
        let own = number(publish.props.header("x-cache-ttl"));
        let until_ms = own.or(exchange.argument("x-cache-ttl")).map(|ttl| now + ttl);
        let (exchange, id) = (publish.exchange.clone(), exchange.id);
        Sighting::New(NewName { exchange, id, name: name.clone(), until_ms })
    }

    /// Whether another message brought the name in the meantime.
    pub fn is_known(&self, new: &NewName) -> bool {
        let exchange = self.exchanges.get(&new.exchange).filter(|found| found.id == new.id);
        exchange.is_some_and(|exchange| exchange.remembers(&new.name, self.now_ms))
    }

    /// The message was taken.
    pub fn remember(&mut self, new: NewName) {
        let NewName { exchange, id, name, until_ms } = new;
        let Some(exchange) = self.exchanges.get_mut(&exchange).filter(|found| found.id == id)
        else {
            return;
        };
        let most = usize::try_from(exchange.argument("x-cache-size").unwrap()).unwrap();
        exchange.seen.retain(|seen| seen.name != name);
        exchange.seen.push(Seen { name, until_ms });
        let beyond = exchange.seen.len().saturating_sub(most);
        exchange.seen.drain(..beyond);
        if exchange.spec.durable {
            self.topology_stamp = Some(self.stamp);
        }
    }

    /// Whether a queue that takes each name once has one of this name.
    pub fn holds_name(&self, queue: QueueId, props: &Props) -> bool {
        let queue = self.queues.get(&queue).filter(|queue| queue.spec.deduplicates);
        let name = name_in(props);
        queue.is_some_and(|queue| name.is_some_and(|name| queue.names.contains_key(name)))
    }

    /// Those of the queues that have not got a message of this name.
    pub fn without_repeated(&mut self, queues: &[QueueId], props: &Props) -> Vec<QueueId> {
        let (known, new): (Vec<_>, Vec<_>) =
            queues.iter().partition(|queue| self.holds_name(**queue, props));
        if !known.is_empty() {
            self.count("held already");
            self.ambiguous |= self.burying_unordered;
        }
        new
    }

    /// A message joined its queue.
    pub fn note_name(&mut self, queue: QueueId, copied: &Copied) {
        let found = self.queues.get_mut(&queue).filter(|queue| queue.spec.deduplicates);
        if let (Some(found), Some(name)) = (found, name_in(&copied.message.props)) {
            found.names.insert(name.clone(), copied.serial);
        }
    }

    /// A message left its queue for good. After a purge another one may have its name.
    pub fn free_name(&mut self, queue: QueueId, copied: &Copied) {
        if let (Some(found), Some(name)) =
            (self.queues.get_mut(&queue), name_in(&copied.message.props))
            && found.names.get(name) == Some(&copied.serial)
        {
            found.names.remove(name);
        }
    }
}
