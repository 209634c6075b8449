//! On whose behalf is something done, and may that user do it?

use log::warn;

use crate::amqp::{AmqpError, Name, ReplyCode};
use crate::broker::exchange::Exchange;
use crate::broker::exchange::matcher::ExchangeKind;
use crate::broker::key::{ArenaKey, ConnectionKey, VhostKey};
use crate::broker::resource::Resource;
use crate::broker::users::Users;
use crate::broker::users::user::{
    Access, access_refused, exchange_permission_name, topic_access_refused,
};

/// On whose behalf something is done.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The user's name.
    pub user: Name,
    /// The vhost that its connection is in.
    pub vhost: VhostKey,
    /// That vhost's name.
    pub vhost_name: Name,
    /// Its connection.
    pub connection: ConnectionKey,
    /// It owns the broker's files: it may do everything, and needs to be no user.
    pub is_owner: bool,
}

impl Subject {
    /// Somebody who asks over HTTP, and has no connection of which anything else knows.
    pub fn operator(user: Name, vhost: VhostKey, vhost_name: Name, is_owner: bool) -> Self {
        // No arena gives this key out.
        let connection = ConnectionKey::new(u32::MAX, 0);
        Self { user, vhost, vhost_name, connection, is_owner }
    }
}

impl Users {
    /// Whether the user has any permission in the vhost.
    pub fn may_enter(&self, user: &Name, vhost_name: &[u8]) -> bool {
        self.find(user).is_some_and(|user| user.may_enter(vhost_name))
    }

    /// 403 unless the subject may do this to the queue.
    pub fn check_queue_access(
        &self,
        subject: &Subject,
        access: Access,
        name: &[u8],
    ) -> Result<(), AmqpError> {
        let vhost = &subject.vhost_name;
        let user = self.find(&subject.user);
        if subject.is_owner || user.is_some_and(|user| user.may(vhost, access, name)) {
            return Ok(());
        }
        Err(access_refused(access, Resource::queue(vhost, name), &subject.user))
    }

    /// 403 unless the subject may do this to the exchange.
    pub fn check_exchange_access(
        &self,
        subject: &Subject,
        access: Access,
        name: &[u8],
    ) -> Result<(), AmqpError> {
        let vhost = &subject.vhost_name;
        let name = exchange_permission_name(name);
        let user = self.find(&subject.user);
        if subject.is_owner || user.is_some_and(|user| user.may(vhost, access, name)) {
            return Ok(());
        }
        Err(access_refused(access, Resource::exchange(vhost, name), &subject.user))
    }

    /// 403 unless the subject may use this routing key; only topic exchanges ask.
    pub fn check_topic_access(
        &self,
        subject: &Subject,
        access: Access,
        exchange: &Exchange,
        routing_key: &[u8],
    ) -> Result<(), AmqpError> {
        if exchange.kind != ExchangeKind::Topic || subject.is_owner {
            return Ok(());
        }
        let vhost = &subject.vhost_name;
        let user = self.find(&subject.user);
        if user.is_some_and(|user| user.may_route(vhost, &exchange.name, access, routing_key)) {
            return Ok(());
        }
        let resource = Resource::exchange(vhost, &exchange.name);
        Err(topic_access_refused(access, routing_key, resource, &subject.user))
    }

    /// 406 for a message whose `user-id` property is not its publisher's login, unless that user
    /// may publish in the name of others (tag `impersonator`).
    pub fn check_user_id(&self, subject: &Subject, claimed: &[u8]) -> Result<(), AmqpError> {
        let may_impersonate =
            || self.find(&subject.user).is_some_and(|user| user.has_tag("impersonator"));
        if subject.is_owner || claimed == subject.user.as_bytes() || may_impersonate() {
            return Ok(());
        }
        let claimed = Name::from(claimed);
        warn!("user '{}' published with user-id '{claimed}'", subject.user);
        let text = format!(
            "user_id property set to '{claimed}' but authenticated user was '{}'",
            subject.user
        );
        Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
    }
}
