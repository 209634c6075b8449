//! Who else may log in? Users of a test's own, for [`Server::start_prepared`](super::Server).

use std::net::SocketAddr;

use leveret::amqp::Name;
use leveret::broker::User;
use leveret::broker::users::password::PasswordHash;
use leveret::broker::users::user::Permissions;

use super::client::{Client, Options};

/// The password of all of them.
const PASSWORD: &str = "secret";

/// A user with these patterns for configure, write and read in `/`, and no tags.
pub fn user(name: &str, configure: &str, write: &str, read: &str) -> User {
    let hash = PasswordHash::create(PASSWORD.as_bytes()).expect("it can be hashed");
    let mut user = User::new(Name::from(name), Some(hash), Vec::new());
    user.set_permissions(Name::from("/"), Permissions::new(configure, write, read));
    user
}

impl Options {
    /// What a user that [`user`] made says when it connects to a vhost.
    pub fn of(user: &str, vhost: &str) -> Options {
        Options {
            user: user.into(),
            password: PASSWORD.into(),
            vhost: vhost.into(),
            ..Default::default()
        }
    }
}

impl Client {
    /// Connects as this user to `/` and opens channel 1.
    pub fn connect_as(address: SocketAddr, user: &str) -> Client {
        let mut client = Client::connect_with(address, &Options::of(user, "/"));
        client.open(1);
        client
    }
}
