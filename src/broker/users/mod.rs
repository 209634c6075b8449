//! Who may log in, and what may they do?

pub mod access;
pub mod logins;
pub mod password;
pub mod pattern;
pub mod user;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::amqp::Name;
use crate::broker::key::{ConnectionKey, VhostKey};

pub use access::Subject;
pub use user::{Access, User};

use password::{HashError, PasswordHash};
use user::{LoginRefusal, Permissions};

/// The user of a new node.
const DEFAULT_USER: &str = "guest";

/// All users, who of them may log in from this host only, and whose connections are open.
#[derive(Debug, Default)]
pub struct Users {
    users: BTreeMap<Name, User>,
    loopback_only: BTreeSet<Name>,
    /// Whose each open connection is, and where.
    logins: HashMap<ConnectionKey, Login>,
    /// The most connections at a time.
    connections_max: Option<u32>,
    /// How often somebody tried to log in by each of the protocols.
    attempts: [Attempts; 2],
}

/// By which protocol somebody logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginBy {
    /// AMQP.
    Amqp,
    /// HTTP, where each request is a login.
    Http,
}

/// How often somebody tried to log in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// And could.
    pub succeeded: u64,
    /// And could not.
    pub failed: u64,
}

/// Who opened a connection, and to which vhost.
#[derive(Debug)]
struct Login {
    user: Name,
    vhost: VhostKey,
}

impl Users {
    /// No users; `guest`, should it come, may log in from this host only.
    pub fn new() -> Self {
        let loopback_only = BTreeSet::from([Name::from(DEFAULT_USER)]);
        Self { loopback_only, ..Self::default() }
    }

    /// The user of a new node: an administrator with all permissions in `vhost`.
    ///
    /// # Errors
    /// When the system gives no random bytes for the salt.
    pub fn first_user(name: &str, password: &str, vhost: &str) -> Result<User, HashError> {
        let hash = PasswordHash::create(password.as_bytes())?;
        let mut user = User::new(Name::from(name), Some(hash), vec!["administrator".to_owned()]);
        user.set_permissions(Name::from(vhost), Permissions::new(".*", ".*", ".*"));
        Ok(user)
    }

    /// Adds a user or replaces the one of that name; `true` when there was none.
    pub fn put(&mut self, user: User) -> bool {
        match self.users.entry(user.name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(user);
                true
            }
            Entry::Occupied(mut entry) => {
                entry.insert(user);
                false
            }
        }
    }

    /// Takes a user out; `None`: there is none of that name.
    pub fn remove(&mut self, name: &[u8]) -> Option<User> {
        self.users.remove(name)
    }

    /// Sets who may log in from this host only (`loopback_users`).
    pub fn set_loopback_only(&mut self, names: BTreeSet<Name>) {
        self.loopback_only = names;
    }

    /// Whether this user may log in from this host only.
    pub fn is_loopback_only(&self, name: &[u8]) -> bool {
        self.loopback_only.contains(name)
    }

    /// Checks a login, and counts it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn log_in(
        &mut self,
        by: LoginBy,
        name: &[u8],
        password: &[u8],
        from_loopback: bool,
    ) -> Result<&User, LoginRefusal> {
        let checked = self.check_login(name, Some(password), from_loopback);
        self.note_login(by, name, checked)
    }

    /// Lets a user in who showed in another way who it is, and counts it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn log_in_known(
        &mut self,
        by: LoginBy,
        name: &[u8],
        from_loopback: bool,
    ) -> Result<&User, LoginRefusal> {
        let checked = self.check_login(name, None, from_loopback);
        self.note_login(by, name, checked)
    }

    fn note_login(
        &mut self,
        by: LoginBy,
        name: &[u8],
        checked: Result<(), LoginRefusal>,
    ) -> Result<&User, LoginRefusal> {
        let attempts = &mut self.attempts[by as usize];
        match checked {
            Ok(()) => attempts.succeeded += 1,
            Err(_) => attempts.failed += 1,
        }
        checked.and_then(|()| self.users.get(name).ok_or(LoginRefusal::UnknownUser))
    }

    /// How often somebody tried to log in by this protocol since the start, or since these counts
    /// were forgotten.
    pub fn attempts(&self, by: LoginBy) -> Attempts {
        self.attempts[by as usize]
    }

    /// Counts begin anew.
    pub fn forget_attempts(&mut self) {
        self.attempts = Default::default();
    }

    fn check_login(
        &self,
        name: &[u8],
        password: Option<&[u8]>,
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        let user = self.users.get(name).ok_or(LoginRefusal::UnknownUser)?;
        let is_right = |password| user.password.as_ref().is_some_and(|hash| hash.verify(password));
        if password.is_some_and(|password| !is_right(password)) {
            return Err(LoginRefusal::WrongPassword);
        }
        if self.is_loopback_only(name) && !from_loopback {
            return Err(LoginRefusal::LoopbackOnly);
        }
        Ok(())
    }

    /// The first user behind this one by name, or of all.
    pub fn after(&self, name: Option<&Name>) -> Option<&User> {
        let start = name.map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_bytes()));
        self.users.range::<[u8], _>((start, Bound::Unbounded)).next().map(|(_, user)| user)
    }

    /// The user of that name.
    pub fn find(&self, name: &[u8]) -> Option<&User> {
        self.users.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_logs_in_from_this_host_only() {
        let mut users = Users::new();
        let guest = Users::first_user("guest", "guest", "/").unwrap();
        assert!(guest.may(b"/", Access::Configure, b"q") && guest.has_tag("administrator"));
        assert!(users.put(guest));
        assert!(users.log_in(LoginBy::Amqp, b"guest", b"guest", true).is_ok());
        let refusal = |users: &mut Users, name: &[u8], password: &[u8], loopback| {
            users.log_in(LoginBy::Http, name, password, loopback).unwrap_err()
        };
        assert_eq!(refusal(&mut users, b"guest", b"guest", false), LoginRefusal::LoopbackOnly);
        assert_eq!(refusal(&mut users, b"guest", b"", true), LoginRefusal::WrongPassword);
        assert_eq!(refusal(&mut users, b"ghost", b"", true), LoginRefusal::UnknownUser);
        users.set_loopback_only(BTreeSet::new());
        assert!(users.log_in(LoginBy::Amqp, b"guest", b"guest", false).is_ok());
        assert!(users.put(User::new(Name::from("nopass"), None, Vec::new())));
        assert_eq!(refusal(&mut users, b"nopass", b"", true), LoginRefusal::WrongPassword);
        assert_eq!(users.attempts(LoginBy::Amqp), Attempts { succeeded: 2, failed: 0 });
        assert_eq!(users.attempts(LoginBy::Http), Attempts { succeeded: 0, failed: 4 });
        users.forget_attempts();
        assert_eq!(users.attempts(LoginBy::Http), Attempts::default());
    }
}
