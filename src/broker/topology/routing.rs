//! Which queues does a message go to?
//!
//! Follows exchange-to-exchange bindings and alternate exchanges; visits each exchange once
//! and names each queue once.

use crate::amqp::{Name, PropertyList};
use crate::broker::exchange::binding::Destination;
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};
use crate::broker::topology::Topology;
use crate::broker::topology::sender_keys::sender_keys;
use crate::broker::work::Work;

/// What routing found besides the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// The same exchange and key lead to the same queues until the topology changes.
    WhileTopologyStands,
    /// The message's headers had a say.
    Never,
}

impl Topology {
    /// Fills `queues` with the queues that a message published to `exchange` with this key
    /// reaches, each once, in no particular order.
    pub fn route(
        &mut self,
        work: &mut Work,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> Reuse {
        self.route_keys(work, exchange, &[routing_key], properties, queues)
    }

    /// As [`Topology::route`] for the routing key and every key of the headers CC and BCC. An
    /// exchange looks at all of them before it turns to its alternate.
    pub fn route_all(
        &mut self,
        work: &mut Work,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) {
        let mut keys: Vec<&[u8]> = sender_keys(routing_key, properties.headers).collect();
        work.spend(keys.len());
        keys[1..].sort_unstable();
        keys.dedup();
        self.route_keys(work, exchange, &keys, properties, queues);
    }

    /// As [`Topology::route_all`], and the exchanges that the message passes, in that order: the
    /// first is `exchange`.
    pub fn trace(
        &mut self,
        work: &mut Work,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> &[ExchangeKey] {
        self.route_all(work, exchange, routing_key, properties, queues);
        &self.visited
    }

    /// `keys[0]` is the message's own, the others ascend.
    fn route_keys(
        &mut self,
        work: &mut Work,
        exchange: ExchangeKey,
        keys: &[&[u8]],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> Reuse {
        queues.clear();
        let mut visited = std::mem::take(&mut self.visited);
        visited.clear();
        let mut reuse = Reuse::WhileTopologyStands;
        self.visit += 1;
        self.visit_exchange(exchange, &mut visited);
        let mut next = 0;
        while let Some(&exchange) = visited.get(next) {
            next += 1;
            if !self.route_one(work, exchange, keys, properties, queues, &mut visited) {
                reuse = Reuse::Never;
            }
        }
        work.spend(visited.len() + queues.len());
        self.visited = visited;
        if queues.len() > 1 {
            queues.sort_unstable();
            queues.dedup();
        }
        reuse
    }

    /// Routes at one exchange; whether the keys alone decided.
    fn route_one(
        &mut self,
        work: &mut Work,
        key: ExchangeKey,
        keys: &[&[u8]],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
        visited: &mut Vec<ExchangeKey>,
    ) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return true;
        };
        let before = self.destinations.len();
        let looked_at = if exchange.name.is_empty() {
            let vhost = self.vhosts.get(exchange.vhost);
            let queues = keys.iter().filter_map(|&key| vhost?.destination_named(key));
            self.destinations.extend(queues.map(Destination::Queue));
            0
        } else {
            exchange.matcher.route_all(keys, properties, &mut self.destinations)
        };
        if self.destinations.len() == before
            && let Some(alternate) = self.alternate_of(exchange.vhost, exchange.alternate.as_ref())
        {
            self.destinations.push(Destination::Exchange(alternate));
        }
        let by_key_alone = exchange.matcher.is_decided_by_key();
        work.spend(1 + looked_at);
        let mut found = std::mem::take(&mut self.destinations);
        for destination in found.drain(before..) {
            match destination {
                Destination::Queue(queue) => queues.push(queue),
                Destination::Exchange(exchange) => self.visit_exchange(exchange, visited),
            }
        }
        self.destinations = found;
        by_key_alone
    }

    /// Puts an exchange on the list of those that the message comes to, once.
    fn visit_exchange(&mut self, key: ExchangeKey, visited: &mut Vec<ExchangeKey>) {
        if let Some(exchange) = self.exchanges.get_mut(key)
            && exchange.visit != self.visit
        {
            exchange.visit = self.visit;
            visited.push(key);
        }
    }

    /// The exchange that takes what another one does not route. The default exchange takes
    /// nothing in this way, as in RabbitMQ.
    fn alternate_of(&self, vhost: VhostKey, name: Option<&Name>) -> Option<ExchangeKey> {
        self.exchange_named(vhost, name.filter(|name| !name.is_empty())?)
    }
}
