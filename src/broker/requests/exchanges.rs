//! What may clients do with exchanges: declare, delete, bind one to another.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::arguments::{self, ExchangeTraits};
use crate::broker::exchange::Exchange;
use crate::broker::exchange::binding::Destination;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::flow::deduplication::Cache;
use crate::broker::key::{ExchangeKey, VhostKey};
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

/// The exchanges that every vhost has from the start.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

impl Broker {
    /// Declares an exchange, or checks that it exists as asked for.
    pub fn declare_exchange(
        &mut self,
        subject: &Subject,
        request: &ExchangeDeclare<'_>,
    ) -> Result<(), AmqpError> {
        if request.passive {
            self.refuse_default_exchange(request.name)?;
            return self.existing_exchange(subject.vhost, request.name).map(|_| ());
        }
        let kind = ExchangeKind::parse(request.kind)?;
        self.refuse_default_exchange(request.name)?;
        self.users.check_exchange_access(subject, Access::Configure, request.name)?;
        if let Some(key) = self.exchange_named(subject.vhost, request.name) {
            return self.check_exchange_equivalence(key, request);
        }
        refuse_reserved("exchange", request.name)?;
        let vhost = self.vhost_name(subject.vhost);
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
        let alternate = self.alternate_for(subject.vhost, &name, request.arguments);
        let key = self.create_exchange(Exchange {
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
            self.keep_exchange(key);
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
        self.refuse_default_exchange(name)?;
        if name.starts_with(b"amq.") {
            let vhost = self.vhost_name(subject.vhost);
            let resource = Resource::exchange(&vhost, name);
            let text = format!("deletion of system {resource} not allowed");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        self.users.check_exchange_access(subject, Access::Configure, name)?;
        let Some(key) = self.exchange_named(subject.vhost, name) else {
            return Ok(());
        };
        let bindings = self.vhosts.get(subject.vhost).map(|vhost| &vhost.bindings);
        if if_unused && bindings.is_some_and(|bindings| bindings.count_from(key) > 0) {
            let vhost = self.vhost_name(subject.vhost);
            let text = format!("{} in use", Resource::exchange(&vhost, name));
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        self.remove_exchange(key);
        Ok(())
    }

    /// An exchange that must be there, else 404.
    pub fn existing_exchange(
        &self,
        vhost: VhostKey,
        name: &[u8],
    ) -> Result<ExchangeKey, AmqpError> {
        self.exchange_named(vhost, name).ok_or_else(|| {
            let vhost = self.vhost_name(vhost);
            let text = format!("no {}", Resource::exchange(&vhost, name));
            AmqpError::channel(ReplyCode::NotFound, text)
        })
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

    /// Every vhost's exchanges of AMQP 0-9-1 section 3.1.3 and RabbitMQ's own.
    pub(in crate::broker) fn predeclare_exchanges(&mut self, vhost: VhostKey) {
        for (name, kind, internal) in PREDECLARED {
            let matcher = Matcher::new(kind, Table::EMPTY, self.clock_ms)
                .expect("no kind here needs arguments");
            self.create_exchange(Exchange {
                name: Name::from(name),
                vhost,
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Box::default(),
                alternate: None,
                delay_id: None,
                cache: None,
                matcher,
                visit: 0,
            });
        }
    }

    pub(in crate::broker) fn create_exchange(&mut self, exchange: Exchange) -> ExchangeKey {
        let (name, vhost) = (exchange.name.clone(), exchange.vhost);
        let key = self.exchanges.insert(exchange);
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            vhost.exchanges.insert(name, key);
        }
        self.topology_changed();
        key
    }

    /// Removes an exchange and every binding that it has a part in.
    pub(in crate::broker) fn remove_exchange(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let (vhost, name, durable) = (exchange.vhost, exchange.name.clone(), exchange.durable);
        if durable {
            self.forget_seen(key);
        }
        self.remove_bindings_of_source(vhost, key);
        self.remove_bindings_of_destination(vhost, Destination::Exchange(key));
        if self.exchanges.remove(key).is_some_and(|exchange| exchange.delay_id.is_some()) {
            self.drop_delayed(key);
        }
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            vhost.exchanges.remove(&name);
        }
        if durable {
            self.forget_exchange(vhost, &name);
        }
        self.topology_changed();
    }

    fn check_exchange_equivalence(
        &self,
        key: ExchangeKey,
        request: &ExchangeDeclare<'_>,
    ) -> Result<(), AmqpError> {
        let Some(current) = self.exchanges.get(key) else {
            return Ok(());
        };
        let vhost = self.vhost_name(current.vhost);
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

    pub(in crate::broker) fn refuse_default_exchange(&self, name: &[u8]) -> Result<(), AmqpError> {
        if name.is_empty() {
            let text = "operation not permitted on the default exchange";
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        Ok(())
    }
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
