//! What may operators do with users: make, change and delete them?
//!
//! What a user may no longer do ends at once: the version of the topology, which every remembered
//! route stands under, changes with each user; consumers are looked at here.

use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::effect::Effect;
use crate::broker::key::{ConnectionKey, ConsumerKey};
use crate::broker::queue::consumer::Consumer;
use crate::broker::topology::definitions;
use crate::broker::users::{Access, User};

impl Broker {
    /// Stores a user, new or changed; `true` when there was none of that name.
    pub fn put_user(&mut self, user: User) -> bool {
        definitions::persist_user(&mut self.store, &user);
        let name = user.name.clone();
        let before = self.users.find(&name);
        let has_same_rights =
            before.is_some_and(|before| before.permissions().eq(user.permissions()));
        let is_new = self.users.put(user);
        self.topology.changed();
        if !is_new && !has_same_rights {
            self.cancel_where_refused(&name);
        }
        is_new
    }

    /// Deletes a user: it gets nothing more, and its connections are closed. `false` when there is
    /// none of that name.
    pub fn delete_user(&mut self, name: &Name) -> bool {
        if self.users.remove(name).is_none() {
            return false;
        }
        definitions::erase_user(&mut self.store, name);
        self.topology.changed();
        self.cancel_where_refused(name);
        let connections: Vec<_> = self.users.connections_of(name).collect();
        self.force_to_close(connections, &format!("user '{name}' is deleted"));
        true
    }

    /// Has connections closed with 320.
    pub(super) fn force_to_close(&mut self, connections: Vec<ConnectionKey>, reason: &str) {
        let forced = connections
            .into_iter()
            .map(|connection| Effect::ConnectionForced { connection, reason: reason.to_owned() });
        self.effects.extend(forced);
    }

    /// Ends the consumers of a user where it may not read any more, as if their queues were gone.
    fn cancel_where_refused(&mut self, user: &Name) {
        let consumers = self.queues.consumers();
        let refused = consumers.filter(|(_, consumer)| self.is_refused(user, consumer));
        let refused: Vec<ConsumerKey> = refused.map(|(key, _)| key).collect();
        for key in refused {
            self.cancel(key);
        }
    }

    /// Whether a consumer is this user's, who may not read from its queue. Answers to its own
    /// questions everybody may read.
    fn is_refused(&self, user: &Name, consumer: &Consumer) -> bool {
        let channel = self.queues.channel(consumer.channel);
        let is_users = channel
            .and_then(|channel| self.users.user_of(channel.connection))
            .is_some_and(|owner| owner == user);
        if !is_users {
            return false;
        }
        let Some(queue) = self.queues.get(consumer.queue).filter(|queue| !queue.is_reply_queue)
        else {
            return false;
        };
        let vhost = self.topology.vhost_name(queue.vhost);
        let user = self.users.find(user);
        !user.is_some_and(|user| user.may(&vhost, Access::Read, &queue.name))
    }

    /// Ends a consumer and has its client told.
    fn cancel(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.queues.consumer(key) else {
            return;
        };
        if let Some(channel) = self.queues.channel(consumer.channel) {
            self.effects.push_back(Effect::ConsumerCancelled {
                connection: channel.connection,
                channel: channel.number,
                tag: consumer.tag.clone(),
                consumer: key,
            });
        }
        self.end_consumer(key);
    }
}
