//! Whose permissions change while clients work?

use leveret::amqp::Name;
use leveret::broker::users::user::Permissions;
use leveret::broker::{User, Users};

use super::random::Random;
use super::world::World;

/// What a user may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    pub configure: &'static str,
    pub write: &'static str,
    pub read: &'static str,
    /// A topic exchange and the patterns for writing to and reading from it by routing key.
    pub topics: Option<(&'static str, &'static str, &'static str)>,
}

/// The user of whom nothing is withheld, and those who may do now this and now that.
pub const USERS: [&str; 3] = ["guest", "ann", "bob"];

/// What these match, the twin finds out in its own way.
const PATTERNS: [&str; 6] = [".*", ".*", ".*", "^[a-d]$|^(dx|amq\\.|e1)", "^(?!b)", ""];
const KEYS: [&str; 3] = [".*", "^a", "^k$"];

impl Rights {
    pub const ALL: Rights = Rights { configure: ".*", write: ".*", read: ".*", topics: None };

    fn random(random: &mut Random) -> Rights {
        let exchange = *random.pick(&["amq.topic", "e1"]);
        let topics = random.chance(50);
        Rights {
            configure: random.pick::<&str>(&PATTERNS),
            write: random.pick::<&str>(&PATTERNS),
            read: random.pick::<&str>(&PATTERNS),
            topics: topics.then(|| (exchange, *random.pick(&KEYS), *random.pick(&KEYS))),
        }
    }

    /// The user with these rights, whose password is the name.
    pub fn user(&self, name: &str) -> User {
        let mut user = Users::first_user(name, name, "/").unwrap();
        let permissions = Permissions::new(self.configure, self.write, self.read);
        user.set_permissions(Name::from("/"), permissions);
        if let Some((exchange, write, read)) = self.topics {
            user.set_topic_permissions(Name::from("/"), Name::from(exchange), write, read);
        }
        user
    }
}

impl World {
    /// Now and then somebody's permissions change.
    pub fn change_permissions(&mut self) {
        if self.orderly || !self.profile.permissions || !self.random.chance(3) {
            return;
        }
        let name = *self.random.pick(&USERS[1..]);
        let rights = Rights::random(&mut self.random);
        self.give(name, rights);
    }

    pub fn give(&mut self, name: &'static str, rights: Rights) {
        self.broker().put_user(rights.user(name));
        self.events.note(format!("{name}: {rights:?}"));
        self.twin.give(name, rights);
    }
}
