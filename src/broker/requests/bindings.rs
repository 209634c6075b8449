//! What may clients do with bindings: bind and unbind queues and exchanges.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::exchange::matcher::Bound;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::requests::reply::REPLY_TO;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;

/// One binding as a client names it.
#[derive(Debug, Clone, Copy)]
pub struct BindRequest<'a> {
    /// The exchange that messages come from.
    pub source: &'a [u8],
    /// The queue or exchange that they go to.
    pub destination: DestinationName<'a>,
    /// The binding key.
    pub routing_key: &'a [u8],
    /// What headers exchanges compare.
    pub arguments: Table<'a>,
}

/// The name of what a binding leads to.
#[derive(Debug, Clone, Copy)]
pub enum DestinationName<'a> {
    /// A queue.
    Queue(&'a [u8]),
    /// An exchange.
    Exchange(&'a [u8]),
}

impl Broker {
    /// Binds; a binding that is there already is fine.
    pub fn bind(&mut self, subject: &Subject, request: &BindRequest<'_>) -> Result<(), AmqpError> {
        let (source, destination) = self.binding_ends(subject, request)?;
        if let Some(exchange) = self.exchanges.get(source) {
            exchange.matcher.check(request.routing_key, request.arguments)?;
        }
        let key = Name::from(request.routing_key);
        let binding = Binding::new(source, destination, key, request.arguments);
        if self.add_binding(subject.vhost, binding.clone()) && self.is_durable_binding(&binding) {
            self.keep_binding(subject.vhost, &binding);
        }
        Ok(())
    }

    /// Unbinds; a binding that is not there is fine.
    pub fn unbind(
        &mut self,
        subject: &Subject,
        request: &BindRequest<'_>,
    ) -> Result<(), AmqpError> {
        let (source, destination) = self.binding_ends(subject, request)?;
        let key = Name::from(request.routing_key);
        let binding = Binding::new(source, destination, key, request.arguments);
        let removed =
            self.vhosts.get_mut(subject.vhost).is_some_and(|v| v.bindings.remove(&binding));
        if removed {
            self.binding_removed(subject.vhost, &binding);
            self.delete_if_unbound(subject.vhost, source);
        }
        Ok(())
    }

    /// Adds a binding to the table and the source's matcher; `false` when it was there.
    pub(in crate::broker) fn add_binding(&mut self, vhost: VhostKey, binding: Binding) -> bool {
        let Some(vhost) = self.vhosts.get_mut(vhost) else {
            return false;
        };
        let Some(binding) = vhost.bindings.insert(binding) else {
            return false;
        };
        let by_name = self.exchanges.get(binding.source).is_some_and(|e| e.matcher.goes_by_name());
        let name = match binding.destination {
            Destination::Queue(key) if by_name => self.queues.get(key).map(|q| q.name.clone()),
            Destination::Exchange(key) if by_name => {
                self.exchanges.get(key).map(|e| e.name.clone())
            }
            Destination::Queue(_) | Destination::Exchange(_) => None,
        };
        if let Some(exchange) = self.exchanges.get_mut(binding.source) {
            exchange.matcher.add(bound(binding, name.as_deref().unwrap_or_default()));
        }
        self.topology_changed();
        true
    }

    /// The destination goes: so do all bindings to it, and auto-delete exchanges that lose
    /// their last one.
    pub(in crate::broker) fn remove_bindings_of_destination(
        &mut self,
        vhost: VhostKey,
        destination: Destination,
    ) {
        let Some(table) = self.vhosts.get_mut(vhost) else {
            return;
        };
        let removed = table.bindings.remove_destination(destination);
        for binding in &removed {
            self.binding_removed(vhost, binding);
        }
        for binding in &removed {
            self.delete_if_unbound(vhost, binding.source);
        }
    }

    /// The source goes: so do all bindings from it.
    pub(in crate::broker) fn remove_bindings_of_source(
        &mut self,
        vhost: VhostKey,
        source: ExchangeKey,
    ) {
        let Some(table) = self.vhosts.get_mut(vhost) else {
            return;
        };
        for binding in table.bindings.remove_source(source) {
            self.binding_removed(vhost, &binding);
        }
    }

    /// Takes a binding that left the table out of the matcher and the definitions.
    fn binding_removed(&mut self, vhost: VhostKey, binding: &Binding) {
        if self.is_durable_binding(binding) {
            self.forget_binding(vhost, binding);
        }
        if let Some(exchange) = self.exchanges.get_mut(binding.source) {
            exchange.matcher.remove(bound(binding, &[]));
        }
        self.topology_changed();
    }

    /// An auto-delete exchange goes when a binding was removed and none is left.
    fn delete_if_unbound(&mut self, vhost: VhostKey, source: ExchangeKey) {
        let auto_delete = self.exchanges.get(source).is_some_and(|e| e.auto_delete);
        let bound = self.vhosts.get(vhost).is_some_and(|v| v.bindings.count_from(source) > 0);
        if auto_delete && !bound {
            self.remove_exchange(source);
        }
    }

    /// A binding lasts when both of its ends do.
    fn is_durable_binding(&self, binding: &Binding) -> bool {
        let source = self.exchanges.get(binding.source).is_some_and(|e| e.durable);
        source
            && match binding.destination {
                Destination::Queue(key) => self.queues.get(key).is_some_and(|q| q.is_durable()),
                Destination::Exchange(key) => self.exchanges.get(key).is_some_and(|e| e.durable),
            }
    }

    fn binding_ends(
        &self,
        subject: &Subject,
        request: &BindRequest<'_>,
    ) -> Result<(ExchangeKey, Destination), AmqpError> {
        match request.destination {
            DestinationName::Queue(REPLY_TO) => {
                let text = "direct reply-to is no queue that can be bound";
                return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
            }
            DestinationName::Queue(name) => {
                self.users.check_queue_access(subject, Access::Write, name)?;
            }
            DestinationName::Exchange(name) => {
                self.users.check_exchange_access(subject, Access::Write, name)?;
                self.refuse_default_exchange(name)?;
            }
        }
        self.refuse_default_exchange(request.source)?;
        self.users.check_exchange_access(subject, Access::Read, request.source)?;
        let source = self.existing_exchange(subject.vhost, request.source)?;
        if let Some(exchange) = self.exchanges.get(source) {
            let key = request.routing_key;
            self.users.check_topic_access(subject, Access::Read, exchange, key)?;
        }
        let destination = match request.destination {
            DestinationName::Queue(name) => Destination::Queue(self.usable_queue(subject, name)?),
            DestinationName::Exchange(name) => {
                Destination::Exchange(self.existing_exchange(subject.vhost, name)?)
            }
        };
        Ok((source, destination))
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
