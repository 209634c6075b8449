//! What may clients do with exchanges: declare, delete, bind one to another.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::arguments::{self, ExchangeTraits};
use crate::broker::exchange::Exchange;
use crate::broker::exchange::cache::Cache;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;

impl Broker {
    /// Looks for an exchange for a passive `exchange.declare`.
    pub fn passive_exchange(&self, subject: &Subject, name: &[u8]) -> Result<(), AmqpError> {
        refuse_default_exchange(name)?;
        self.topology.existing_exchange(subject.vhost, name).map(|_| ())
    }

    /// Declares an exchange, or checks that it exists as asked for (AMQP 0-9-1 section 1.6.2.1).
    pub fn declare_exchange(
        &mut self,
        subject: &Subject,
        name: &[u8],
        traits: &ExchangeTraits<'_>,
    ) -> Result<(), AmqpError> {
        let kind = ExchangeKind::parse(traits.kind)?;
        refuse_default_exchange(name)?;
        self.users.check_exchange_access(subject, Access::Configure, name)?;
        if let Some(key) = self.topology.exchange_named(subject.vhost, name) {
            return self.check_exchange_equivalence(key, traits);
        }
        refuse_reserved("exchange", name)?;
        let vhost = self.topology.vhost_name(subject.vhost);
        arguments::check_exchange(Resource::exchange(&vhost, name), traits.arguments)?;
        let alternate = traits.arguments.find(b"alternate-exchange");
        let alternate = alternate.and_then(|value| value.text()).map(Name::from);
        if let Some(alternate) = &alternate {
            self.users.check_exchange_access(subject, Access::Read, name)?;
            self.users.check_exchange_access(subject, Access::Write, alternate)?;
        }
        self.make_exchange(subject.vhost, name, kind, traits)
    }

    /// Takes an exchange in that an operator has from elsewhere, whoever may do what there;
    /// `false`: there is one of this name, whatever it is like.
    ///
    /// # Errors
    /// 406, 503 and 506, as for clients.
    pub fn import_exchange(
        &mut self,
        vhost: VhostKey,
        name: &[u8],
        traits: &ExchangeTraits<'_>,
    ) -> Result<bool, AmqpError> {
        let kind = ExchangeKind::parse(traits.kind)?;
        if self.topology.exchange_named(vhost, name).is_some() {
            return Ok(false);
        }
        let vhost_name = self.topology.vhost_name(vhost);
        arguments::check_exchange(Resource::exchange(&vhost_name, name), traits.arguments)?;
        self.make_exchange(vhost, name, kind, traits)?;
        Ok(true)
    }

    /// Whether [`Broker::import_exchange`] would make an exchange of a name that is free, and how
    /// it would match then; nothing is made.
    ///
    /// # Errors
    /// As there.
    pub fn check_new_exchange(
        &self,
        vhost: &Name,
        name: &[u8],
        traits: &ExchangeTraits<'_>,
    ) -> Result<Matcher, AmqpError> {
        let kind = ExchangeKind::parse(traits.kind)?;
        arguments::check_exchange(Resource::exchange(vhost, name), traits.arguments)?;
        self.parts_of_exchange(vhost, name, kind, traits).map(|(matcher, _)| matcher)
    }

    /// What an exchange needs by its type.
    fn parts_of_exchange(
        &self,
        vhost: &Name,
        name: &[u8],
        kind: ExchangeKind,
        traits: &ExchangeTraits<'_>,
    ) -> Result<(Matcher, Option<Cache>), AmqpError> {
        let matcher = Matcher::new(kind, traits.arguments, self.clock_ms)?;
        if traits.durable {
            let resource = Resource::exchange(vhost, name);
            self.refuse_too_long(resource, traits.arguments.as_bytes().len())?;
            self.refuse_without_room(resource)?;
        }
        let cache = (kind == ExchangeKind::Deduplication)
            .then(|| Cache::of(traits.arguments))
            .transpose()?;
        Ok((matcher, cache))
    }

    /// Makes an exchange of a name that is free.
    fn make_exchange(
        &mut self,
        vhost: VhostKey,
        name: &[u8],
        kind: ExchangeKind,
        traits: &ExchangeTraits<'_>,
    ) -> Result<(), AmqpError> {
        let vhost_name = self.topology.vhost_name(vhost);
        let (matcher, cache) = self.parts_of_exchange(&vhost_name, name, kind, traits)?;
        let name = Name::from(name);
        let delay_id = (kind == ExchangeKind::Delayed).then(|| self.store.new_queue_id());
        self.spend_matching(vhost);
        let alternate = self.topology.alternate_for(vhost, &name, traits.arguments);
        let key = self.topology.add_exchange(Exchange {
            name: name.clone(),
            vhost,
            kind,
            durable: traits.durable,
            auto_delete: traits.auto_delete,
            internal: traits.internal,
            arguments: traits.arguments.as_bytes().into(),
            delay_id,
            cache,
            alternate,
            matcher,
            counters: None,
            visit: 0,
        });
        self.note_exchange_created(key);
        if traits.durable {
            self.topology.persist_exchange(&mut self.store, key);
        }
        Ok(())
    }

    /// Deletes an exchange with its bindings; one that is not there is fine. `false`: that is more
    /// than this step allows; the next time it goes on.
    pub fn delete_exchange(
        &mut self,
        subject: &Subject,
        name: &[u8],
        if_unused: bool,
    ) -> Result<bool, AmqpError> {
        refuse_default_exchange(name)?;
        if name.starts_with(b"amq.") {
            let vhost = self.topology.vhost_name(subject.vhost);
            let resource = Resource::exchange(&vhost, name);
            let text = format!("deletion of system {resource} not allowed");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        self.users.check_exchange_access(subject, Access::Configure, name)?;
        let Some(key) = self.topology.exchange_named(subject.vhost, name) else {
            return Ok(true);
        };
        if if_unused && self.topology.bindings_from(subject.vhost, key) > 0 {
            let vhost = self.topology.vhost_name(subject.vhost);
            let text = format!("{} in use", Resource::exchange(&vhost, name));
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        let is_done = self.remove_exchange(key);
        self.go_on_removing();
        Ok(is_done)
    }

    fn check_exchange_equivalence(
        &self,
        key: ExchangeKey,
        received: &ExchangeTraits<'_>,
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
        let resource = Resource::exchange(&vhost, &current.name);
        arguments::check_exchange_equivalence(resource, &traits, received)
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
