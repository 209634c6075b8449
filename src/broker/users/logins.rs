//! Whose connections are open, and may there be more of them?
//!
//! A connection counts from its `connection.open` until its session ends. Only users that have a
//! limit are counted, when they open something: no number has to be kept right.

use crate::amqp::{AmqpError, Name, ReplyCode};
use crate::broker::key::{ConnectionKey, VhostKey};
use crate::broker::users::{Login, Users};

impl Users {
    /// The most connections at a time (`connection_max`); `None` = no limit.
    pub fn limit_connections(&mut self, connections_max: Option<u32>) {
        self.connections_max = connections_max;
    }

    /// How many connections are open, and how many may be; `None` = no limit.
    pub fn connections(&self) -> (usize, Option<u32>) {
        (self.logins.len(), self.connections_max)
    }

    /// Whether there are as many connections as there may be.
    pub fn are_full(&self) -> bool {
        let (open, max) = self.connections();
        max.is_some_and(|max| is_reached(max, open))
    }

    /// 530 when the node or the user has as many connections as it may.
    pub fn check_connection_limits(&self, user: &Name) -> Result<(), AmqpError> {
        if let Some(max) = self.connections_max.filter(|_| self.are_full()) {
            let text = format!("connection refused: node connection limit ({max}) is reached");
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        let max = self.find(user).and_then(|user| user.connections_max);
        let of_user = || self.logins.values().filter(|login| login.user == *user).count();
        if let Some(max) = max.filter(|&max| is_reached(max, of_user())) {
            let text = format!(
                "connection refused for user '{user}': user connection limit ({max}) is reached"
            );
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        Ok(())
    }

    /// 530 when the user has as many channels as it may, over all of its connections; these are
    /// the connections of all channels that are open.
    pub fn check_channel_limit(
        &self,
        user: &Name,
        channels: impl Iterator<Item = ConnectionKey>,
    ) -> Result<(), AmqpError> {
        let Some(max) = self.find(user).and_then(|user| user.channels_max) else {
            return Ok(());
        };
        let is_users = |connection: &ConnectionKey| self.user_of(*connection) == Some(user);
        let open = channels.filter(is_users).count();
        if is_reached(max, open) {
            let text = format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user \
                 limit of ({max})"
            );
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        Ok(())
    }

    /// 530 when the vhost has as many connections as it may.
    pub fn check_vhost_limit(
        &self,
        vhost: VhostKey,
        max: Option<u32>,
        refused: impl FnOnce(u32) -> String,
    ) -> Result<(), AmqpError> {
        let Some(max) = max.filter(|&max| is_reached(max, self.connections_to(vhost).count()))
        else {
            return Ok(());
        };
        Err(AmqpError::connection(ReplyCode::NotAllowed, refused(max)))
    }

    /// The user's connection to this vhost is open.
    pub fn note_connection(&mut self, connection: ConnectionKey, user: &Name, vhost: VhostKey) {
        self.logins.insert(connection, Login { user: user.clone(), vhost });
    }

    /// Whose an open connection is.
    pub fn user_of(&self, connection: ConnectionKey) -> Option<&Name> {
        self.logins.get(&connection).map(|login| &login.user)
    }

    /// The open connections of a user.
    pub fn connections_of(&self, user: &[u8]) -> impl Iterator<Item = ConnectionKey> {
        let of_user = self.logins.iter().filter(move |(_, login)| *login.user == *user);
        of_user.map(|(&connection, _)| connection)
    }

    /// The open connections to a vhost.
    pub fn connections_to(&self, vhost: VhostKey) -> impl Iterator<Item = ConnectionKey> {
        let to_vhost = self.logins.iter().filter(move |(_, login)| login.vhost == vhost);
        to_vhost.map(|(&connection, _)| connection)
    }

    /// The connection is no longer open; one that never was is fine.
    pub fn forget_connection(&mut self, connection: ConnectionKey) {
        self.logins.remove(&connection);
    }
}

fn is_reached(max: u32, open: usize) -> bool {
    usize::try_from(max).is_ok_and(|max| open >= max)
}
