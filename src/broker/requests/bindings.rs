//! What may clients do with bindings: bind and unbind queues and exchanges.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::flow::events::Event;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::requests::exchanges::refuse_default_exchange;
use crate::broker::requests::reply::REPLY_TO;
use crate::broker::topology::exchanges::no_queue;
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
        let ends = self.binding_ends(subject, request)?;
        self.make_binding(subject.vhost, ends, request)
    }

    /// Takes a binding in that an operator has from elsewhere, whoever may do what there; one that
    /// is there is fine.
    ///
    /// # Errors
    /// 404 when an end of it is not there; 406 and 506, as for clients.
    pub fn import_binding(
        &mut self,
        vhost: VhostKey,
        request: &BindRequest<'_>,
    ) -> Result<(), AmqpError> {
        let source = self.topology.existing_exchange(vhost, request.source)?;
        let destination = match request.destination {
            DestinationName::Queue(name) => {
                let found = self.topology.queue_named(vhost, name);
                let vhost = || self.topology.vhost_name(vhost);
                Destination::Queue(found.ok_or_else(|| no_queue(&vhost(), name))?)
            }
            DestinationName::Exchange(name) => {
                Destination::Exchange(self.topology.existing_exchange(vhost, name)?)
            }
        };
        self.make_binding(vhost, (source, destination), request)
    }

    fn make_binding(
        &mut self,
        vhost: VhostKey,
        (source, destination): (ExchangeKey, Destination),
        request: &BindRequest<'_>,
    ) -> Result<(), AmqpError> {
        if let Some(exchange) = self.topology.exchange(source) {
            exchange.matcher.check(request.routing_key, request.arguments)?;
        }
        let key = Name::from(request.routing_key);
        let binding = Binding::new(source, destination, key, request.arguments);
        if self.topology.is_bound(vhost, &binding) {
            return Ok(());
        }
        let is_durable = self.topology.is_durable_binding(&binding, &self.queues);
        if is_durable {
            self.check_durable_binding(request.arguments)?;
        }
        self.note_binding(Event::BindingCreated, vhost, &binding);
        let Self { topology, queues, store, .. } = self;
        topology.add_binding(vhost, binding.clone(), queues);
        if is_durable {
            topology.persist_binding(store, queues, vhost, &binding);
        }
        Ok(())
    }

    /// Whether a binding with these arguments may last.
    ///
    /// # Errors
    /// 406 and 506.
    pub fn check_durable_binding(&self, arguments: Table<'_>) -> Result<(), AmqpError> {
        // They are in its key and in its payload.
        self.refuse_too_long("the binding", 2 * arguments.as_bytes().len())?;
        self.refuse_without_room("the binding")
    }

    /// Unbinds. A binding that is not there is fine, and so is one whose ends are not: only what
    /// the client may not touch is refused, and a queue of another connection where it is bound.
    pub fn unbind(
        &mut self,
        subject: &Subject,
        request: &BindRequest<'_>,
    ) -> Result<(), AmqpError> {
        self.check_binding_access(subject, request)?;
        let vhost = subject.vhost;
        let destination = match request.destination {
            DestinationName::Queue(name) => {
                self.topology.queue_named(vhost, name).map(Destination::Queue)
            }
            DestinationName::Exchange(name) => {
                self.topology.exchange_named(vhost, name).map(Destination::Exchange)
            }
        };
        let source = self.topology.exchange_named(vhost, request.source);
        let Some((source, destination)) = source.zip(destination) else {
            return Ok(());
        };
        let key = Name::from(request.routing_key);
        let binding = Binding::new(source, destination, key, request.arguments);
        if !self.topology.is_bound(vhost, &binding) {
            return Ok(());
        }
        if let Destination::Queue(queue) = destination {
            self.check_exclusive_access(subject, queue)?;
        }
        self.note_binding(Event::BindingDeleted, vhost, &binding);
        let Self { topology, queues, store, .. } = self;
        topology.remove_binding(vhost, &binding, queues, store);
        self.lost_binding(source);
        Ok(())
    }

    fn binding_ends(
        &self,
        subject: &Subject,
        request: &BindRequest<'_>,
    ) -> Result<(ExchangeKey, Destination), AmqpError> {
        self.check_binding_access(subject, request)?;
        let source = self.topology.existing_exchange(subject.vhost, request.source)?;
        let destination = match request.destination {
            DestinationName::Queue(name) => Destination::Queue(self.usable_queue(subject, name)?),
            DestinationName::Exchange(name) => {
                Destination::Exchange(self.topology.existing_exchange(subject.vhost, name)?)
            }
        };
        Ok((source, destination))
    }

    /// 403 for what the client may not bind or unbind, whether it is there or not.
    fn check_binding_access(
        &self,
        subject: &Subject,
        request: &BindRequest<'_>,
    ) -> Result<(), AmqpError> {
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
                refuse_default_exchange(name)?;
            }
        }
        refuse_default_exchange(request.source)?;
        self.users.check_exchange_access(subject, Access::Read, request.source)?;
        let source = self.topology.exchange_named(subject.vhost, request.source);
        match source.and_then(|source| self.topology.exchange(source)) {
            Some(exchange) => {
                let key = request.routing_key;
                self.users.check_topic_access(subject, Access::Read, exchange, key)
            }
            None => Ok(()),
        }
    }
}
