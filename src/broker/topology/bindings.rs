//! How do bindings come and go?

use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::exchange::matcher::Bound;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::serving::Queues;
use crate::broker::topology::Topology;
use crate::storage::Store;

impl Topology {
    /// Adds a binding to the table and the source's matcher, unless it is there.
    pub(in crate::broker) fn add_binding(
        &mut self,
        vhost: VhostKey,
        binding: Binding,
        queues: &Queues,
    ) {
        let vhost = self.vhosts.get_mut(vhost);
        let Some(binding) = vhost.and_then(|vhost| vhost.bindings.insert(binding)) else {
            return;
        };
        let by_name = self.exchanges.get(binding.source).is_some_and(|e| e.matcher.goes_by_name());
        let name = match binding.destination {
            Destination::Queue(key) if by_name => queues.get(key).map(|q| q.name.clone()),
            Destination::Exchange(key) if by_name => {
                self.exchanges.get(key).map(|e| e.name.clone())
            }
            Destination::Queue(_) | Destination::Exchange(_) => None,
        };
        if let Some(exchange) = self.exchanges.get_mut(binding.source) {
            exchange.matcher.add(bound(binding, name.as_deref().unwrap_or_default()));
        }
        self.changed();
    }

    /// Whether the binding is there.
    pub fn is_bound(&self, vhost: VhostKey, binding: &Binding) -> bool {
        self.vhosts.get(vhost).is_some_and(|vhost| vhost.bindings.contains(binding))
    }

    /// Removes a binding.
    pub(in crate::broker) fn remove_binding(
        &mut self,
        vhost: VhostKey,
        binding: &Binding,
        queues: &Queues,
        store: &mut Store,
    ) {
        if self.vhosts.get_mut(vhost).is_some_and(|v| v.bindings.remove(binding)) {
            self.binding_removed(vhost, binding, queues, store);
        }
    }

    /// Removes one of the bindings to a queue or exchange; which one. `None`: there is none any
    /// more.
    pub(in crate::broker) fn remove_binding_to(
        &mut self,
        vhost: VhostKey,
        destination: Destination,
        queues: &Queues,
        store: &mut Store,
    ) -> Option<Binding> {
        let binding = self.vhosts.get_mut(vhost)?.bindings.pop_destination(destination)?;
        self.binding_removed(vhost, &binding, queues, store);
        Some(binding)
    }

    /// Removes one of the bindings from an exchange; which one. `None`: there is none any more.
    pub(in crate::broker) fn remove_binding_from(
        &mut self,
        vhost: VhostKey,
        source: ExchangeKey,
        queues: &Queues,
        store: &mut Store,
    ) -> Option<Binding> {
        let binding = self.vhosts.get_mut(vhost)?.bindings.pop_source(source)?;
        self.binding_removed(vhost, &binding, queues, store);
        Some(binding)
    }

    /// Whether an exchange goes with its last binding, and has none.
    pub(in crate::broker) fn is_unbound(&self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key);
        exchange.is_some_and(|e| e.auto_delete && self.bindings_from(e.vhost, key) == 0)
    }

    /// How many bindings an exchange is the source of.
    pub(in crate::broker) fn bindings_from(&self, vhost: VhostKey, source: ExchangeKey) -> usize {
        self.vhosts.get(vhost).map_or(0, |vhost| vhost.bindings.count_from(source))
    }

    /// How many bindings lead to a queue or exchange.
    pub(in crate::broker) fn bindings_to(
        &self,
        vhost: VhostKey,
        destination: Destination,
    ) -> usize {
        self.vhosts.get(vhost).map_or(0, |vhost| vhost.bindings.count_to(destination))
    }

    /// A binding lasts when both of its ends do.
    pub(in crate::broker) fn is_durable_binding(&self, binding: &Binding, queues: &Queues) -> bool {
        let source = self.exchanges.get(binding.source).is_some_and(|e| e.durable);
        source
            && match binding.destination {
                Destination::Queue(key) => queues.get(key).is_some_and(|q| q.is_durable()),
                Destination::Exchange(key) => self.exchanges.get(key).is_some_and(|e| e.durable),
            }
    }

    /// Takes a binding that left the table out of the matcher and the log.
    fn binding_removed(
        &mut self,
        vhost: VhostKey,
        binding: &Binding,
        queues: &Queues,
        store: &mut Store,
    ) {
        if self.is_durable_binding(binding, queues) {
            self.erase_binding(store, queues, vhost, binding);
        }
        if let Some(exchange) = self.exchanges.get_mut(binding.source) {
            exchange.matcher.remove(bound(binding, &[]));
        }
        self.changed();
    }
}

/// A binding as the matchers see it.
fn bound<'a>(binding: &'a Binding, destination_name: &'a [u8]) -> Bound<'a> {
    Bound {
        key: &binding.key,
        destination: binding.destination,
        destination_name,
        arguments: binding.table(),
    }
}
