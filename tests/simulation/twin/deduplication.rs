//! Which messages came before?
//!
//! An exchange of the type `x-message-deduplication` remembers the last names that it saw; a
//! queue takes a name only while no other message of that name is in it.

use super::{Copied, QueueId, Twin};
use crate::ops::Publish;
use crate::values::{Props, Val};

/// A name that an exchange saw, and until when it counts.
#[derive(Clone, Debug)]
pub struct Seen {
    name: Val,
    until_ms: Option<u64>,
}

pub fn name_in(props: &Props) -> Option<&Val> {
    props.header("x-deduplication-header")
}

impl Twin {
    /// Whether the exchange saw a message of this name; it will have from now on.
    pub fn is_repeated(&mut self, publish: &Publish) -> bool {
        let (now, stamp) = (self.now_ms, self.stamp);
        let Some(name) = name_in(&publish.props) else {
            return false;
        };
        let exchange = self.exchanges.get_mut(&publish.exchange).unwrap();
        if exchange.spec.kind != "x-message-deduplication" {
            return false;
        }
        let counts = |seen: &Seen| seen.until_ms.is_none_or(|until| now < until);
        if exchange.seen.iter().any(|seen| seen.name == *name && counts(seen)) {
            self.count("repeated");
            return true;
        }
        let number = |value: Option<&Val>| match value {
            Some(Val::I64(number)) => Some(u64::try_from(*number).unwrap()),
            _ => None,
        };
        let argument = |wanted: &str| {
            let found = exchange.spec.arguments.iter().find(|(name, _)| name == wanted);
            number(found.map(|(_, value)| value))
        };
        let own = number(publish.props.header("x-cache-ttl"));
        let until_ms = own.or(argument("x-cache-ttl")).map(|ttl| now + ttl);
        let most = usize::try_from(argument("x-cache-size").unwrap()).unwrap();
        exchange.seen.retain(|seen| seen.name != *name);
        exchange.seen.push(Seen { name: name.clone(), until_ms });
        let beyond = exchange.seen.len().saturating_sub(most);
        exchange.seen.drain(..beyond);
        if exchange.spec.durable {
            self.topology_stamp = Some(stamp);
        }
        false
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
