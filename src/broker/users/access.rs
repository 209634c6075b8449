//! On whose behalf is something done, and may that user do it?

use log::warn;

use crate::amqp::{AmqpError, Name, ReplyCode};
use crate::broker::Broker;
use crate::broker::exchange::matcher::ExchangeKind;
use crate::broker::key::{ConnectionKey, ExchangeKey, VhostKey};
use crate::broker::resource::Resource;
use crate::broker::users::user::{
    Access, LoginRefusal, access_refused, exchange_permission_name, topic_access_refused,
};

/// On whose behalf something is done.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The user's name.
    pub user: Name,
    /// The vhost that its connection is in.
    pub vhost: VhostKey,
    /// Its connection.
    pub connection: ConnectionKey,
}

impl Broker {
    /// The user with this name and password.
    ///
    /// # Errors
    /// Why the login is refused, for the log; the client is told less.
    pub fn authenticate(
        &self,
        name: &[u8],
        password: &[u8],
        from_loopback: bool,
    ) -> Result<Name, LoginRefusal> {
        self.users.log_in(name, password, from_loopback).map(|user| user.name.clone())
    }

    /// Whether the user has any permission in the vhost.
    pub fn may_enter(&self, user: &Name, vhost: VhostKey) -> bool {
        let vhost = self.vhost_name(vhost);
        self.users.find(user).is_some_and(|user| user.may_enter(&vhost))
    }

    /// Whether the user may publish in the name of others.
    pub fn may_impersonate(&self, user: &Name) -> bool {
        self.users.find(user).is_some_and(|user| user.has_tag("impersonator"))
    }

    /// 403 unless the subject may do this to the queue.
    pub fn check_queue_access(
        &self,
        subject: &Subject,
        access: Access,
        name: &[u8],
    ) -> Result<(), AmqpError> {
        let vhost = self.vhost_name(subject.vhost);
        let user = self.users.find(&subject.user);
        if user.is_some_and(|user| user.may(&vhost, access, name)) {
            return Ok(());
        }
        Err(access_refused(access, Resource::queue(&vhost, name), &subject.user))
    }

    /// 403 unless the subject may do this to the exchange.
    pub fn check_exchange_access(
        &self,
        subject: &Subject,
        access: Access,
        name: &[u8],
    ) -> Result<(), AmqpError> {
        let vhost = self.vhost_name(subject.vhost);
        let name = exchange_permission_name(name);
        let user = self.users.find(&subject.user);
        if user.is_some_and(|user| user.may(&vhost, access, name)) {
            return Ok(());
        }
        Err(access_refused(access, Resource::exchange(&vhost, name), &subject.user))
    }

    /// 403 unless the subject may use this routing key; only topic exchanges ask.
    pub fn check_topic_access(
        &self,
        subject: &Subject,
        access: Access,
        exchange: ExchangeKey,
        routing_key: &[u8],
    ) -> Result<(), AmqpError> {
        let Some(exchange) = self.exchanges.get(exchange) else {
            return Ok(());
        };
        if exchange.kind != ExchangeKind::Topic {
            return Ok(());
        }
        let vhost = self.vhost_name(subject.vhost);
        let allowed = self
            .users
            .find(&subject.user)
            .is_some_and(|user| user.may_route(&vhost, &exchange.name, access, routing_key));
        if allowed {
            return Ok(());
        }
        let resource = Resource::exchange(&vhost, &exchange.name);
        Err(topic_access_refused(access, routing_key, resource, &subject.user))
    }

    /// The reply to a client whose `user-id` property is not its login; for the log as well.
    pub fn wrong_user_id(&self, subject: &Subject, claimed: &[u8]) -> AmqpError {
        let claimed = Name::from(claimed);
        warn!("user '{}' published with user-id '{claimed}'", subject.user);
        let text = format!(
            "user_id property set to '{claimed}' but authenticated user was '{}'",
            subject.user
        );
        AmqpError::channel(ReplyCode::PreconditionFailed, text)
    }
}
