//! Which queues does a message go to?
//!
//! Follows exchange-to-exchange bindings and alternate exchanges; visits each exchange once
//! and names each queue once.

use crate::amqp::{Name, PropertyList};
use crate::broker::Broker;
use crate::broker::exchange::binding::Destination;
use crate::broker::flow::death::sender_keys;
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};

/// What routing found besides the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// The same exchange and key lead to the same queues until the topology changes.
    WhileTopologyStands,
    /// The message's headers had a say.
    Never,
}

impl Broker {
    /// An exchange of a vhost by its name.
    pub fn exchange_named(&self, vhost: VhostKey, name: &[u8]) -> Option<ExchangeKey> {
        self.vhosts.get(vhost)?.exchanges.get(name).copied()
    }

    /// A queue of a vhost by its name. Those of direct replies, which only messages reach, are
    /// none.
    pub fn queue_named(&self, vhost: VhostKey, name: &[u8]) -> Option<QueueKey> {
        let key = self.vhosts.get(vhost)?.queues.get(name).copied()?;
        self.queues.get(key).is_some_and(|queue| !queue.is_reply_queue).then_some(key)
    }

    /// Fills `queues` with the queues that a message published to `exchange` with this key
    /// reaches, each once, in no particular order.
    pub fn route(
        &mut self,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> Reuse {
        self.route_keys(exchange, &[routing_key], properties, queues)
    }

    /// As [`Broker::route`] for the routing key and every key of the headers CC and BCC. An
    /// exchange looks at all of them before it turns to its alternate.
    pub fn route_all(
        &mut self,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) {
        let keys: Vec<&[u8]> = sender_keys(routing_key, properties.headers).collect();
        self.route_keys(exchange, &keys, properties, queues);
    }

    fn route_keys(
        &mut self,
        exchange: ExchangeKey,
        keys: &[&[u8]],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> Reuse {
        queues.clear();
        let mut visited = std::mem::take(&mut self.visited);
        let mut reuse = Reuse::WhileTopologyStands;
        self.visit += 1;
        self.visit_exchange(exchange, &mut visited);
        let mut next = 0;
        while let Some(&exchange) = visited.get(next) {
            next += 1;
            reuse = self.route_one(exchange, keys, properties, queues, &mut visited, reuse);
        }
        self.work.spend(visited.len() + queues.len());
        visited.clear();
        self.visited = visited;
        if queues.len() > 1 {
            queues.sort_unstable();
            queues.dedup();
        }
        reuse
    }

    fn route_one(
        &mut self,
        key: ExchangeKey,
        keys: &[&[u8]],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
        visited: &mut Vec<ExchangeKey>,
        reuse: Reuse,
    ) -> Reuse {
        let Some(exchange) = self.exchanges.get(key) else {
            return reuse;
        };
        let before = self.destinations.len();
        if exchange.name.is_empty() {
            let vhost = self.vhosts.get(exchange.vhost);
            let queues = keys.iter().filter_map(|&key| vhost?.queues.get(key));
            self.destinations.extend(queues.map(|&queue| Destination::Queue(queue)));
        } else {
            let looked_at = if exchange.matcher.looks_at_every_key() { keys } else { &keys[..1] };
            for key in looked_at {
                exchange.matcher.route(key, properties, &mut self.destinations);
            }
        }
        if self.destinations.len() == before
            && let Some(alternate) = self.alternate_of(exchange.vhost, exchange.alternate.as_ref())
        {
            self.destinations.push(Destination::Exchange(alternate));
        }
        let by_key_alone = exchange.matcher.is_decided_by_key();
        self.work.spend(keys.len() + exchange.matcher.looked_through());
        let mut found = std::mem::take(&mut self.destinations);
        for destination in found.drain(before..) {
            match destination {
                Destination::Queue(queue) => queues.push(queue),
                Destination::Exchange(exchange) => self.visit_exchange(exchange, visited),
            }
        }
        self.destinations = found;
        if by_key_alone { reuse } else { Reuse::Never }
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

    fn alternate_of(&self, vhost: VhostKey, name: Option<&Name>) -> Option<ExchangeKey> {
        self.exchange_named(vhost, name?)
    }
}
