//! What may operators do with users: make, change and delete them?
//!
//! What a user may no longer do ends at once: the version of the topology, which every remembered
//! route stands under, changes with each user; consumers are looked at in `reviews`.

use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::effect::Effect;
use crate::broker::key::ConnectionKey;
use crate::broker::topology::definitions;
use crate::broker::users::User;

impl Broker {
    /// Stores a user, new or changed; `true` when there was none of that name.
    pub fn put_user(&mut self, user: User) -> bool {
        definitions::persist_user(&mut self.store, &user);
        let name = user.name.clone();
        let before = self.users.find(&name);
        let has_same_rights =
            before.is_some_and(|before| before.permissions().eq(user.permissions()));
        if self.tells_events() {
            let before = before.cloned();
            self.note_user_put(before.as_ref(), &user);
        }
        let is_new = self.users.put(user);
        self.topology.changed();
        if !is_new && !has_same_rights {
            self.review_consumers(&name);
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
        self.note_user_deleted(name);
        self.topology.changed();
        self.review_consumers(name);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Table;
    use crate::broker::queue::Queue;
    use crate::broker::requests::consume::Consume;
    use crate::broker::testing::publish;
    use crate::broker::testing::{declare, open, open_channel, subject};
    use crate::broker::users::user::Permissions;
    use crate::broker::{ChannelKey, ConsumerKey, QueueKey};

    /// Guest consumes from this queue.
    fn consume(broker: &mut Broker, channel: ChannelKey, queue: &str) -> ConsumerKey {
        let request = Consume {
            queue: queue.as_bytes(),
            tag: Name::from(queue),
            no_ack: false,
            exclusive: false,
            prefetch: 0,
            arguments: Table::EMPTY,
        };
        let guest = subject(broker);
        broker.consume(&guest, channel, request).unwrap()
    }

    fn connected(broker: &mut Broker) -> ChannelKey {
        let guest = subject(broker);
        broker.users_mut().note_connection(guest.connection, &guest.user, guest.vhost);
        open_channel(broker)
    }

    fn guest_who_reads(broker: &Broker, pattern: &str) -> User {
        let mut guest = broker.users().find(b"guest").unwrap().clone();
        guest.set_permissions(Name::from("/"), Permissions::new(".*", ".*", pattern));
        guest
    }

    fn consumers(broker: &Broker, queue: QueueKey) -> Option<usize> {
        broker.queues().get(queue).map(|queue: &Queue| queue.line.len())
    }

    #[test]
    fn consumers_end_where_their_user_may_read_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let (a, b) =
            (declare(&mut broker, "a", Table::EMPTY), declare(&mut broker, "b", Table::EMPTY));
        let channel = connected(&mut broker);
        let ended = consume(&mut broker, channel, "a");
        consume(&mut broker, channel, "b");
        let user = guest_who_reads(&broker, "^b$");
        assert!(!broker.put_user(user));
        assert_eq!([consumers(&broker, a), consumers(&broker, b)], [Some(0), Some(1)]);
        let effect = broker.next_effect();
        let Some(Effect::ConsumerCancelled { tag, consumer, .. }) = effect else {
            panic!("its session has to be told");
        };
        assert_eq!((tag, consumer), (Name::from("a"), ended));
        assert!(broker.next_effect().is_none());
        // What changes nothing ends nothing, and nobody else's consumers end.
        let user = guest_who_reads(&broker, "^b$");
        broker.put_user(user);
        broker.put_user(User::new(Name::from("ann"), None, Vec::new()));
        assert_eq!(consumers(&broker, b), Some(1));
    }

    /// Very many are not ended at once; but nobody gets a message meanwhile who may not.
    #[test]
    fn whose_user_may_read_no_more_gets_nothing_though_others_are_looked_at_first() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let (a, b) =
            (declare(&mut broker, "a", Table::EMPTY), declare(&mut broker, "b", Table::EMPTY));
        publish(&mut broker, a, 3);
        publish(&mut broker, b, 3);
        let channel = connected(&mut broker);
        let (count, mut told) = (200, 0);
        for queue in ["b", "a"] {
            (0..count).for_each(|_| {
                consume(&mut broker, channel, queue);
            });
        }
        let user = guest_who_reads(&broker, "^b$");
        broker.work.begin(1);
        broker.put_user(user);
        assert_eq!(consumers(&broker, a), Some(count), "that is for later");
        assert!(broker.has_work());
        broker.work.begin(u32::MAX);
        assert!(broker.next_delivery(b).is_some(), "he may read that");
        assert!(broker.next_delivery(a).is_none());
        assert_eq!(consumers(&broker, a), Some(0), "all of them had their turn");
        // The rest is looked at in bounded steps.
        let mut steps = 0;
        while !broker.reviews.is_empty() {
            broker.work.begin(50);
            broker.go_on_reviewing();
            steps += 1;
        }
        assert!(steps > 5, "{steps}");
        broker.work.begin(u32::MAX);
        while let Some(effect) = broker.next_effect() {
            told += usize::from(matches!(effect, Effect::ConsumerCancelled { .. }));
        }
        assert_eq!((told, consumers(&broker, b)), (count, Some(count)));
    }

    /// Those are everybody's own.
    #[test]
    fn who_waits_for_answers_waits_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let channel = connected(&mut broker);
        let guest = subject(&broker);
        let name = Name::from("amq.rabbitmq.reply-to.x");
        let consumer = broker.consume_replies(&guest, channel, &name, Name::from("tag"));
        let user = guest_who_reads(&broker, "^none$");
        broker.put_user(user);
        assert!(broker.queues().consumer(consumer).is_some());
    }

    #[test]
    fn a_deleted_user_has_nothing_open_and_does_not_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        let channel = connected(&mut broker);
        consume(&mut broker, channel, "q");
        let connection = subject(&broker).connection;
        broker.put_user(User::new(Name::from("ann"), None, Vec::new()));
        assert!(broker.delete_user(&Name::from("guest")));
        assert!(!broker.delete_user(&Name::from("guest")));
        assert_eq!(consumers(&broker, queue), Some(0));
        let effects: Vec<_> = std::iter::from_fn(|| broker.next_effect()).collect();
        let is_told = |effect: &Effect| match effect {
            Effect::ConnectionForced { connection: told, .. } => *told == connection,
            Effect::ConsumerCancelled { .. } | Effect::TakeBack(_) => false,
        };
        assert!(effects.iter().any(is_told), "{effects:?}");
        broker.close().unwrap();
        let broker = open(directory.path());
        assert!(broker.users().find(b"guest").is_none() && broker.users().find(b"ann").is_some());
    }
}
