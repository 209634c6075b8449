//! How do bindings come and go?

use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::exchange::matcher::Bound;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::serving::Queues;
use crate::broker::topology::Topology;
use crate::storage::Store;

impl Topology {
    /// Adds a binding to the table and the source's matcher; `false` when it was there.
    pub(in crate::broker) fn add_binding(
        &mut self,
        vhost: VhostKey,
        binding: Binding,
        queues: &Queues,
    ) -> bool {
        let Some(vhost) = self.vhosts.get_mut(vhost) else {
            return false;
        };
        let Some(binding) = vhost.bindings.insert(binding) else {
            return false;
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
        true
    }

    /// Removes a binding, and its source when that is an auto-delete exchange whose last one it
    /// was: then it is added to `gone`.
    pub(in crate::broker) fn remove_binding(
        &mut self,
        vhost: VhostKey,
        binding: &Binding,
        queues: &Queues,
        store: &mut Store,
        gone: &mut Vec<ExchangeKey>,
    ) {
        if self.vhosts.get_mut(vhost).is_some_and(|vhost| vhost.bindings.remove(binding)) {
            self.binding_removed(vhost, binding, queues, store);
            self.remove_if_unbound(vhost, binding.source, queues, store, gone);
        }
    }

    /// The destination goes: so do all bindings to it, and auto-delete exchanges that lose
    /// their last one, which are added to `gone`.
    pub(in crate::broker) fn remove_bindings_of_destination(
        &mut self,
        vhost: VhostKey,
        destination: Destination,
        queues: &Queues,
        store: &mut Store,
        gone: &mut Vec<ExchangeKey>,
    ) {
        let Some(table) = self.vhosts.get_mut(vhost) else {
            return;
        };
        let removed = table.bindings.remove_destination(destination);
        for binding in &removed {
            self.binding_removed(vhost, binding, queues, store);
        }
        for binding in &removed {
            self.remove_if_unbound(vhost, binding.source, queues, store, gone);
        }
    }

    /// The source goes: so do all bindings from it.
    pub(super) fn remove_bindings_of_source(
        &mut self,
        vhost: VhostKey,
        source: ExchangeKey,
        queues: &Queues,
        store: &mut Store,
    ) {
        let Some(table) = self.vhosts.get_mut(vhost) else {
            return;
        };
        for binding in table.bindings.remove_source(source) {
            self.binding_removed(vhost, &binding, queues, store);
        }
    }

    /// How many bindings an exchange is the source of.
    pub(in crate::broker) fn bindings_from(&self, vhost: VhostKey, source: ExchangeKey) -> usize {
        self.vhosts.get(vhost).map_or(0, |vhost| vhost.bindings.count_from(source))
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

    /// An auto-delete exchange goes when a binding was removed and none is left.
    fn remove_if_unbound(
        &mut self,
        vhost: VhostKey,
        source: ExchangeKey,
        queues: &Queues,
        store: &mut Store,
        gone: &mut Vec<ExchangeKey>,
    ) {
        let auto_delete = self.exchanges.get(source).is_some_and(|e| e.auto_delete);
        if auto_delete && self.bindings_from(vhost, source) == 0 {
            self.remove_exchange(source, queues, store, gone);
        }
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
