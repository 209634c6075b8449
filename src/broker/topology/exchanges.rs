//! How do vhosts and exchanges come and go?

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::exchange::Exchange;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::resource::Resource;
use crate::broker::topology::Topology;
use crate::broker::topology::vhost::{Vhost, VhostSettings};
use crate::storage::Store;

/// The exchanges that every vhost has from the start.
pub const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// The 404 for an exchange that is not there.
pub fn no_exchange(vhost: &Name, name: &[u8]) -> AmqpError {
    let text = format!("no {}", Resource::exchange(vhost, name));
    AmqpError::channel(ReplyCode::NotFound, text)
}

/// The 404 for a queue that is not there.
pub fn no_queue(vhost: &Name, name: &[u8]) -> AmqpError {
    let text = format!("no {}", Resource::queue(vhost, name));
    AmqpError::channel(ReplyCode::NotFound, text)
}

impl Topology {
    /// Takes a vhost in, with the exchanges of AMQP 0-9-1 section 3.1.3 and RabbitMQ's own.
    pub(in crate::broker) fn add_vhost(
        &mut self,
        name: &Name,
        settings: VhostSettings,
        now_ms: u64,
    ) -> VhostKey {
        self.traced += usize::from(settings.tracing);
        let key = self.vhosts.insert(Vhost::new(name.clone(), settings));
        self.vhost_names.insert(name.clone(), key);
        for (name, kind, internal) in PREDECLARED {
            let matcher =
                Matcher::new(kind, Table::EMPTY, now_ms).expect("no kind here needs arguments");
            self.add_exchange(Exchange {
                name: Name::from(name),
                vhost: key,
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Box::default(),
                alternate: None,
                delay_id: None,
                cache: None,
                matcher,
                counters: None,
                visit: 0,
            });
        }
        self.changed();
        key
    }

    /// A vhost, to change what operators say of it.
    pub(in crate::broker) fn vhost_mut(&mut self, key: VhostKey) -> Option<&mut Vhost> {
        self.vhosts.get_mut(key)
    }

    /// Takes a vhost out that has nothing in it any more.
    pub(in crate::broker) fn remove_vhost(&mut self, key: VhostKey) {
        if let Some(vhost) = self.vhosts.remove(key) {
            self.vhost_names.remove(&vhost.name);
            self.traced -= usize::from(vhost.settings.tracing);
        }
        self.changed();
    }

    /// Operators say something else of a vhost.
    pub(in crate::broker) fn set_settings(&mut self, key: VhostKey, settings: VhostSettings) {
        if let Some(vhost) = self.vhosts.get_mut(key) {
            self.traced -= usize::from(vhost.settings.tracing);
            self.traced += usize::from(settings.tracing);
            vhost.settings = settings;
        }
    }

    /// The exchanges of a vhost.
    pub(in crate::broker) fn exchanges_of(&self, vhost: VhostKey) -> Vec<ExchangeKey> {
        let vhost = self.vhosts.get(vhost);
        vhost.map(|vhost| vhost.exchanges.values().copied().collect()).unwrap_or_default()
    }

    /// Takes an exchange in.
    pub(in crate::broker) fn add_exchange(&mut self, exchange: Exchange) -> ExchangeKey {
        let (name, vhost) = (exchange.name.clone(), exchange.vhost);
        let key = self.exchanges.insert(exchange);
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            vhost.exchanges.insert(name, key);
        }
        self.changed();
        key
    }

    /// Removes an exchange that has no part in any binding.
    pub(in crate::broker) fn remove_exchange(&mut self, key: ExchangeKey, store: &mut Store) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        if exchange.durable {
            self.erase_exchange(store, key);
        }
        if let Some(exchange) = self.exchanges.remove(key)
            && let Some(vhost) = self.vhosts.get_mut(exchange.vhost)
        {
            vhost.exchanges.remove(&exchange.name);
        }
        self.changed();
    }

    /// A deduplicating exchange that is about to go forgets the oldest of its keys; `false`: it
    /// remembers none.
    pub(in crate::broker) fn forget_dedup_key(
        &mut self,
        key: ExchangeKey,
        store: &mut Store,
    ) -> bool {
        let exchange = self.exchanges.get_mut(key);
        let durable = exchange.as_ref().is_some_and(|exchange| exchange.durable);
        let cache = exchange.and_then(|exchange| exchange.cache.as_mut());
        let Some(dedup_key) = cache.and_then(|cache| cache.pop()) else {
            return false;
        };
        if durable {
            self.erase_dedup_key(store, key, &dedup_key);
        }
        true
    }

    /// An exchange that must be there, else 404.
    pub fn existing_exchange(
        &self,
        vhost: VhostKey,
        name: &[u8],
    ) -> Result<ExchangeKey, AmqpError> {
        let found = self.exchange_named(vhost, name);
        found.ok_or_else(|| no_exchange(&self.vhost_name(vhost), name))
    }

    /// Whether clients may publish to this exchange; 403 for an internal one.
    pub fn check_not_internal(&self, key: ExchangeKey) -> Result<(), AmqpError> {
        match self.exchanges.get(key) {
            Some(exchange) if exchange.internal => {
                let vhost = self.vhost_name(exchange.vhost);
                let resource = Resource::exchange(&vhost, &exchange.name);
                let text = format!("cannot publish to internal {resource}");
                Err(AmqpError::channel(ReplyCode::AccessRefused, text))
            }
            _ => Ok(()),
        }
    }
}
