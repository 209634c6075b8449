//! What may clients do with exchanges: declare, delete, bind one to another.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::arguments::{self, ExchangeTraits};
use crate::broker::exchange::Exchange;
use crate::broker::exchange::cache::Cache;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::key::ExchangeKey;
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;

/// What an `exchange.declare` asks for (AMQP 0-9-1 section 1.6.2.1).
#[derive(Debug, Clone)]
pub struct ExchangeDeclare<'a> {
    /// The exchange's name.
    pub name: &'a [u8],
    /// The type's name.
    pub kind: &'a [u8],
    /// Only ask whether it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Further arguments.
    pub arguments: Table<'a>,
}

impl Broker {
    /// Declares an exchange, or checks that it exists as asked for.
    pub fn declare_exchange(
        &mut self,
        subject: &Subject,
        request: &ExchangeDeclare<'_>,
    ) -> Result<(), AmqpError> {
        if request.passive {
            refuse_default_exchange(request.name)?;
            return self.topology.existing_exchange(subject.vhost, request.name).map(|_| ());
        }
        let kind = ExchangeKind::parse(request.kind)?;
        refuse_default_exchange(request.name)?;
        self.users.check_exchange_access(subject, Access::Configure, request.name)?;
        if let Some(key) = self.topology.exchange_named(subject.vhost, request.name) {
            return self.check_exchange_equivalence(key, request);
        }
        refuse_reserved("exchange", request.name)?;
        let vhost = self.topology.vhost_name(subject.vhost);
        arguments::check_exchange(Resource::exchange(&vhost, request.name), request.arguments)?;
        let alternate = request.arguments.find(b"alternate-exchange");
        let alternate = alternate.and_then(|value| value.text()).map(Name::from);
        if let Some(alternate) = &alternate {
            self.users.check_exchange_access(subject, Access::Read, request.name)?;
            self.users.check_exchange_access(subject, Access::Write, alternate)?;
        }
        let matcher = Matcher::new(kind, request.arguments, self.clock_ms)?;
        let name = Name::from(request.name);
        let cache = (kind == ExchangeKind::Deduplication)
            .then(|| Cache::of(request.arguments))
            .transpose()?;
        let delay_id = (kind == ExchangeKind::Delayed).then(|| self.store.new_queue_id());
        let alternate = self.topology.alternate_for(subject.vhost, &name, request.arguments);
        let key = self.topology.add_exchange(Exchange {
            name: name.clone(),
            vhost: subject.vhost,
            kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            arguments: request.arguments.as_bytes().into(),
            delay_id,
            cache,
            alternate,
            matcher,
            visit: 0,
        });
        if request.durable {
            self.topology.persist_exchange(&mut self.store, key);
        }
        Ok(())
    }

    /// Deletes an exchange with its bindings; one that is not there is fine.
    pub fn delete_exchange(
        &mut self,
        subject: &Subject,
        name: &[u8],
        if_unused: bool,
    ) -> Result<(), AmqpError> {
        refuse_default_exchange(name)?;
        if name.starts_with(b"amq.") {
            let vhost = self.topology.vhost_name(subject.vhost);
            let resource = Resource::exchange(&vhost, name);
            let text = format!("deletion of system {resource} not allowed");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        self.users.check_exchange_access(subject, Access::Configure, name)?;
        let Some(key) = self.topology.exchange_named(subject.vhost, name) else {
            return Ok(());
        };
        if if_unused && self.topology.bindings_from(subject.vhost, key) > 0 {
            let vhost = self.topology.vhost_name(subject.vhost);
            let text = format!("{} in use", Resource::exchange(&vhost, name));
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        self.remove_exchange(key);
        Ok(())
    }

    fn check_exchange_equivalence(
        &self,
        key: ExchangeKey,
        request: &ExchangeDeclare<'_>,
    ) -> Result<(), AmqpError> {
        let Some(current) = self.topology.exchange(key) else {
            return Ok(());
        };
        let vhost = self.topology.vhost_name(current.vhost);
        let traits = ExchangeTraits {
            kind: current.kind.name().as_bytes(),
            durable: current.durable,
            auto_delete: current.auto_delete,
            internal: current.internal,
            arguments: Table::new(&current.arguments).unwrap_or(Table::EMPTY),
        };
        let received = ExchangeTraits {
            kind: request.kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            arguments: request.arguments,
        };
        let resource = Resource::exchange(&vhost, &current.name);
        arguments::check_exchange_equivalence(resource, &traits, &received)
    }
}

/// 403 for the default exchange, which nobody declares, deletes or binds.
pub(in crate::broker) fn refuse_default_exchange(name: &[u8]) -> Result<(), AmqpError> {
    if name.is_empty() {
        let text = "operation not permitted on the default exchange";
        return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
    }
    Ok(())
}

/// 403 for a name that only the broker may create or delete.
pub(in crate::broker) fn refuse_reserved(what: &str, name: &[u8]) -> Result<(), AmqpError> {
    if name.starts_with(b"amq.") {
        let name = Name::from(name);
        let text = format!("{what} name '{name}' contains reserved prefix 'amq.*'");
        return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
    }
    Ok(())
}
