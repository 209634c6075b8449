//! Who may log in, and what may they do: users with passwords, tags and permissions.
//!
//! Permissions are patterns per vhost, topic permissions are patterns on routing keys per vhost and
//! exchange. Imports `amqp`.

use std::collections::BTreeMap;
use std::fmt;

use crate::amqp::{AmqpError, ArrayBuf, Name, ReplyCode, Table, TableBuf, Value};
use crate::broker::payload::{self, Unreadable};
use crate::broker::resource::Resource;
use crate::broker::users::password::{HashAlgorithm, PasswordHash};
use crate::broker::users::pattern::Pattern;

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Declaring and deleting.
    Configure,
    /// Publishing, and binding as a destination.
    Write,
    /// Consuming, getting, purging, and binding as a source.
    Read,
}

impl Access {
    /// As error texts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What a user may do in a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Names that may be declared and deleted.
    pub configure: Pattern,
    /// Names that may be written to.
    pub write: Pattern,
    /// Names that may be read from.
    pub read: Pattern,
}

impl Permissions {
    /// Permissions from three patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Self {
        Self {
            configure: Pattern::of_permission(configure),
            write: Pattern::of_permission(write),
            read: Pattern::of_permission(read),
        }
    }

    /// The pattern for this kind of access.
    pub fn pattern(&self, access: Access) -> &Pattern {
        match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
    }
}

/// Which routing keys a user may use with a topic exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    /// The pattern for publishing as it was given, `{username}` and `{vhost}` not filled in.
    pub write_text: Box<str>,
    /// The pattern for binding as it was given, `{username}` and `{vhost}` not filled in.
    pub read_text: Box<str>,
    write: Pattern,
    read: Pattern,
}

impl TopicPermissions {
    /// The pattern for this kind of access, `{username}` and `{vhost}` filled in. They say nothing
    /// about declaring.
    pub fn pattern(&self, access: Access) -> Option<&Pattern> {
        match access {
            Access::Configure => None,
            Access::Write => Some(&self.write),
            Access::Read => Some(&self.read),
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: Name,
    /// The hash of the password; without one nobody logs in as this user.
    pub password: Option<PasswordHash>,
    /// administrator, monitoring, policymaker, management, impersonator; others are kept.
    pub tags: Vec<String>,
    /// The most connections at a time (limit `max-connections`).
    pub connections_max: Option<u32>,
    /// The most channels at a time, over all connections (limit `max-channels`).
    pub channels_max: Option<u32>,
    permissions: BTreeMap<Name, Permissions>,
    topic_permissions: BTreeMap<(Name, Name), TopicPermissions>,
}

impl User {
    /// A user without permissions or limits.
    pub fn new(name: Name, password: Option<PasswordHash>, tags: Vec<String>) -> Self {
        Self {
            name,
            password,
            tags,
            connections_max: None,
            channels_max: None,
            permissions: BTreeMap::new(),
            topic_permissions: BTreeMap::new(),
        }
    }

    /// Sets what the user may do in the vhost; `true` when nothing was set before.
    pub fn set_permissions(&mut self, vhost: Name, permissions: Permissions) -> bool {
        self.permissions.insert(vhost, permissions).is_none()
    }

    /// Takes the vhost from the user; `false` when nothing was set.
    pub fn clear_permissions(&mut self, vhost: &[u8]) -> bool {
        self.permissions.remove(vhost).is_some()
    }

    /// Sets which routing keys the user may use with an exchange; `true` when nothing was set
    /// before.
    pub fn set_topic_permissions(
        &mut self,
        vhost: Name,
        exchange: Name,
        write: &str,
        read: &str,
    ) -> bool {
        let fill_in = |text: &str| {
            let text = text.replace("{username}", &self.name.to_string());
            Pattern::of_permission(&text.replace("{vhost}", &vhost.to_string()))
        };
        let permissions = TopicPermissions {
            write: fill_in(write),
            read: fill_in(read),
            write_text: write.into(),
            read_text: read.into(),
        };
        self.topic_permissions.insert((vhost, exchange), permissions).is_none()
    }

    /// Takes the limits on routing keys back, for one exchange or for all of the vhost; `false`
    /// when nothing was set.
    pub fn clear_topic_permissions(&mut self, vhost: &[u8], exchange: Option<&[u8]>) -> bool {
        let before = self.topic_permissions.len();
        self.topic_permissions.retain(|(of_vhost, of_exchange), _| {
            **of_vhost != *vhost || exchange.is_some_and(|exchange| **of_exchange != *exchange)
        });
        self.topic_permissions.len() < before
    }

    /// Forgets a vhost that was deleted; `false` when the user had nothing there.
    pub fn forget_vhost(&mut self, vhost: &[u8]) -> bool {
        let had_topics = self.clear_topic_permissions(vhost, None);
        self.clear_permissions(vhost) || had_topics
    }

    /// Whether anything is set for the user in the vhost.
    pub fn has_anything_in(&self, vhost: &[u8]) -> bool {
        let mut of_topics = self.topic_permissions.keys().map(|(vhost, _)| vhost);
        self.may_enter(vhost) || of_topics.any(|of_topic| **of_topic == *vhost)
    }

    /// Whether the user may open the vhost.
    pub fn may_enter(&self, vhost: &[u8]) -> bool {
        self.permissions.contains_key(vhost)
    }

    /// The user comes: the patterns for the vhost are compiled; what that cost, in units of the
    /// broker's work.
    pub fn prepare(&self, vhost: &Name) -> usize {
        let plain = self.permissions.get(vhost).into_iter();
        let plain = plain.flat_map(|it| [&it.configure, &it.write, &it.read]);
        let of_topics =
            self.topic_permissions.iter().filter(|((of_vhost, _), _)| of_vhost == vhost);
        let of_topics = of_topics.flat_map(|(_, it)| [&it.write, &it.read]);
        plain.chain(of_topics).map(Pattern::prepare).sum()
    }

    /// Whether the user may do this to the queue or exchange of that name. For exchanges, pass
    /// the name through [`exchange_permission_name`].
    pub fn may(&self, vhost: &[u8], access: Access, name: &[u8]) -> bool {
        let permissions = self.permissions.get(vhost);
        permissions.is_some_and(|permissions| permissions.pattern(access).matches(name))
    }

    /// Whether the user may publish ([`Access::Write`]) or bind ([`Access::Read`]) with this
    /// routing key at a topic exchange. Without topic permissions every key is allowed.
    pub fn may_route(
        &self,
        vhost: &Name,
        exchange: &Name,
        access: Access,
        routing_key: &[u8],
    ) -> bool {
        if self.topic_permissions.is_empty() {
            return true;
        }
        let permissions = self.topic_permissions.get(&(vhost.clone(), exchange.clone()));
        let pattern = permissions.and_then(|permissions| permissions.pattern(access));
        pattern.is_none_or(|pattern| pattern.matches(routing_key))
    }

    /// The user's permissions in a vhost.
    pub fn permissions_in(&self, vhost: &[u8]) -> Option<&Permissions> {
        self.permissions.get(vhost)
    }

    /// The user's topic permissions for an exchange.
    pub fn topic_permissions_for(&self, vhost: Name, exchange: Name) -> Option<&TopicPermissions> {
        self.topic_permissions.get(&(vhost, exchange))
    }

    /// Whether the user has the tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|has| has == tag)
    }

    /// The user's permissions by vhost.
    pub fn permissions(&self) -> impl Iterator<Item = (&Name, &Permissions)> {
        self.permissions.iter()
    }

    /// The user's topic permissions by vhost and exchange.
    pub fn topic_permissions(&self) -> impl Iterator<Item = (&Name, &Name, &TopicPermissions)> {
        self.topic_permissions.iter().map(|((vhost, exchange), p)| (vhost, exchange, p))
    }

    /// The user as a payload of the definitions log.
    pub fn encode(&self) -> TableBuf {
        let mut table = TableBuf::new();
        table.put(b"name", Value::LongString(&self.name));
        if let Some(password) = &self.password {
            table.put_str(b"hashing_algorithm", password.algorithm().name());
            table.put(b"password_hash", Value::LongString(password.as_bytes()));
        }
        let mut tags = ArrayBuf::new();
        for tag in &self.tags {
            tags.push(Value::LongString(tag.as_bytes()));
        }
        table.put(b"tags", Value::Array(tags.array()));
        if let Some(max) = self.connections_max {
            table.put_i64(b"max-connections", i64::from(max));
        }
        if let Some(max) = self.channels_max {
            table.put_i64(b"max-channels", i64::from(max));
        }
        let mut permissions = ArrayBuf::new();
        for (vhost, patterns) in &self.permissions {
            let mut entry = TableBuf::new();
            entry.put(b"vhost", Value::LongString(vhost));
            entry.put_str(b"configure", patterns.configure.text());
            entry.put_str(b"write", patterns.write.text());
            entry.put_str(b"read", patterns.read.text());
            permissions.push(Value::Table(entry.table()));
        }
        table.put(b"permissions", Value::Array(permissions.array()));
        let mut topics = ArrayBuf::new();
        for ((vhost, exchange), patterns) in &self.topic_permissions {
            let mut entry = TableBuf::new();
            entry.put(b"vhost", Value::LongString(vhost));
            entry.put(b"exchange", Value::LongString(exchange));
            entry.put_str(b"write", &patterns.write_text);
            entry.put_str(b"read", &patterns.read_text);
            topics.push(Value::Table(entry.table()));
        }
        table.put(b"topic_permissions", Value::Array(topics.array()));
        table
    }

    /// A user from the definitions log.
    ///
    /// # Errors
    /// When a field is missing or of the wrong type.
    pub fn decode(table: Table<'_>) -> Result<Self, Unreadable> {
        let mut tags = Vec::new();
        for tag in payload::array(table, "tags")? {
            let tag = tag.text().ok_or(Unreadable { field: "tags" })?;
            tags.push(String::from_utf8_lossy(tag).into_owned());
        }
        let name = Name::from(payload::bytes(table, "name")?);
        let mut user = Self::new(name, decode_password(table)?, tags);
        user.connections_max = decode_limit(table, "max-connections")?;
        user.channels_max = decode_limit(table, "max-channels")?;
        for entry in payload::array(table, "permissions")? {
            let Value::Table(entry) = entry else {
                return Err(Unreadable { field: "permissions" });
            };
            let permissions = Permissions::new(
                payload::text(entry, "configure")?,
                payload::text(entry, "write")?,
                payload::text(entry, "read")?,
            );
            user.set_permissions(Name::from(payload::bytes(entry, "vhost")?), permissions);
        }
        for entry in payload::array(table, "topic_permissions")? {
            let Value::Table(entry) = entry else {
                return Err(Unreadable { field: "topic_permissions" });
            };
            user.set_topic_permissions(
                Name::from(payload::bytes(entry, "vhost")?),
                Name::from(payload::bytes(entry, "exchange")?),
                payload::text(entry, "write")?,
                payload::text(entry, "read")?,
            );
        }
        Ok(user)
    }
}

fn decode_password(table: Table<'_>) -> Result<Option<PasswordHash>, Unreadable> {
    if table.find(b"password_hash").is_none() {
        return Ok(None);
    }
    let algorithm = HashAlgorithm::parse(payload::text(table, "hashing_algorithm")?)
        .map_err(|_| Unreadable { field: "hashing_algorithm" })?;
    let hash = PasswordHash::from_bytes(algorithm, payload::bytes(table, "password_hash")?)
        .map_err(|_| Unreadable { field: "password_hash" })?;
    Ok(Some(hash))
}

fn decode_limit(table: Table<'_>, field: &'static str) -> Result<Option<u32>, Unreadable> {
    match table.find(field.as_bytes()) {
        None => Ok(None),
        Some(_) => {
            let limit = payload::integer(table, field)?;
            u32::try_from(limit).map(Some).map_err(|_| Unreadable { field })
        }
    }
}

/// The name that permissions know an exchange by: the default exchange is `amq.default`.
pub fn exchange_permission_name(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"amq.default" } else { name }
}

/// The 403 for something that a user may not do; `what` is a [`Resource`].
pub fn access_refused(access: Access, what: impl fmt::Display, user: &[u8]) -> AmqpError {
    let (access, user) = (access.name(), String::from_utf8_lossy(user));
    AmqpError::channel(
        ReplyCode::AccessRefused,
        format!("{access} access to {what} refused for user '{user}'"),
    )
}

/// The 403 for a routing key that topic permissions forbid.
pub fn topic_access_refused(
    access: Access,
    routing_key: &[u8],
    exchange: Resource<'_>,
    user: &[u8],
) -> AmqpError {
    let key = String::from_utf8_lossy(routing_key);
    // "exchange" twice, as RabbitMQ has it.
    access_refused(access, format_args!("topic '{key}' in exchange {exchange}"), user)
}

/// Why a login was refused; for the log, the peer is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// There is no such user.
    UnknownUser,
    /// The password is wrong, or the user has none.
    WrongPassword,
    /// The user may log in from this host only.
    LoopbackOnly,
}

impl fmt::Display for LoginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "no such user",
            Self::WrongPassword => "invalid credentials",
            Self::LoopbackOnly => "user can only connect via localhost",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User::new(Name::from(name), None, Vec::new())
    }

    #[test]
    fn who_comes_to_a_vhost_has_its_patterns_compiled_once() {
        let mut user = User::new(Name::from("u"), None, Vec::new());
        let vhost = Name::from("v");
        user.set_permissions(vhost.clone(), Permissions::new("^a", ".*", "^b"));
        user.set_permissions(Name::from("w"), Permissions::new("^c", "^d", "^e"));
        user.set_topic_permissions(vhost.clone(), Name::from("x"), "^f", "");
        let cost = user.prepare(&vhost);
        assert_eq!(cost, 3 * Pattern::work_to_compile("^a"));
        assert_eq!(user.prepare(&vhost), 0);
        assert_eq!(user.prepare(&Name::from("w")), cost);
    }

    #[test]
    fn permissions_are_patterns_per_vhost() {
        let mut user = user("u");
        assert!(!user.may_enter(b"/"));
        assert!(!user.may(b"/", Access::Read, b"q"));
        assert!(user.set_permissions(Name::from("/"), Permissions::new("", "^w", ".*")));
        assert!(user.may_enter(b"/"));
        assert!(user.may(b"/", Access::Read, b"q"));
        assert!(!user.may(b"/", Access::Write, b"q"));
        assert!(user.may(b"/", Access::Write, b"work"));
        assert!(!user.may(b"/", Access::Configure, b"q"));
        assert!(user.may(b"/", Access::Configure, b""));
        assert!(!user.may(b"other", Access::Read, b"q"));
        assert!(!user.set_permissions(Name::from("/"), Permissions::new("(", ".*", ".*")));
        assert!(!user.may(b"/", Access::Configure, b"("), "what does not compile denies");
        assert!(user.clear_permissions(b"/"));
        assert!(!user.clear_permissions(b"/"));
        assert!(!user.may(b"/", Access::Read, b"q"));
    }

    #[test]
    fn topic_permissions_hold_routing_keys_to_patterns() {
        let (vhost, topic) = (Name::from("v"), Name::from("amq.topic"));
        let mut user = user("ann");
        let may = |user: &User, access, key: &[u8]| user.may_route(&vhost, &topic, access, key);
        assert!(may(&user, Access::Write, b"any"));
        assert!(user.set_topic_permissions(
            vhost.clone(),
            topic.clone(),
            "^{username}\\.",
            "^{vhost}\\.{username}$"
        ));
        assert!(may(&user, Access::Write, b"ann.x"));
        assert!(!may(&user, Access::Write, b"bob.x"));
        assert!(may(&user, Access::Read, b"v.ann"));
        assert!(!may(&user, Access::Read, b"ann.x"));
        assert!(user.may_route(&vhost, &Name::from("other"), Access::Write, b"bob"));
        assert!(user.may_route(&Name::from("w"), &topic, Access::Write, b"bob"));
        assert!(!user.clear_topic_permissions(b"v", Some(b"other")));
        assert!(user.clear_topic_permissions(b"v", Some(b"amq.topic")));
        assert!(may(&user, Access::Write, b"bob.x"));
        user.set_topic_permissions(vhost.clone(), topic.clone(), "", "");
        assert!(user.forget_vhost(b"v"));
        assert!(!user.forget_vhost(b"v"));
    }

    #[test]
    fn a_user_survives_the_definitions_log() {
        let hash = PasswordHash::salted(HashAlgorithm::Sha512, [1, 2, 3, 4], b"pw");
        let tags = vec!["management".to_owned(), "odd".to_owned()];
        let mut ann = User::new(Name::from("ann"), Some(hash), tags);
        ann.connections_max = Some(5);
        ann.set_permissions(Name::from("/"), Permissions::new("", ".*", "("));
        ann.set_permissions(Name::from("v"), Permissions::new("a", "b", "c"));
        ann.set_topic_permissions(Name::from("v"), Name::from("t"), "{username}", "");
        let copy = User::decode(ann.encode().table()).unwrap();
        assert_eq!(copy, ann);
        assert!(copy.password.unwrap().verify(b"pw"));
        let plain = user("plain");
        assert_eq!(User::decode(plain.encode().table()), Ok(plain));
    }

    #[test]
    fn a_damaged_user_is_not_guessed_at() {
        assert_eq!(User::decode(Table::EMPTY), Err(Unreadable { field: "tags" }));
        let mut table = user("u").encode();
        table.set(b"permissions", Value::I64(1));
        assert_eq!(User::decode(table.table()), Err(Unreadable { field: "permissions" }));
        let mut table = user("u").encode();
        table.put_i64(b"max-channels", -1);
        assert_eq!(User::decode(table.table()), Err(Unreadable { field: "max-channels" }));
    }

    #[test]
    fn refusals_say_who_may_not_do_what_to_what() {
        let error = access_refused(Access::Write, Resource::queue(b"/", b"q"), b"ann");
        assert_eq!(
            error.text,
            "ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'ann'"
        );
        let topic = Resource::exchange(b"/", b"t");
        assert_eq!(
            topic_access_refused(Access::Read, b"a.b", topic, b"ann").text,
            "ACCESS_REFUSED - read access to topic 'a.b' in exchange exchange 't' in vhost '/' \
             refused for user 'ann'"
        );
        assert_eq!(exchange_permission_name(b""), b"amq.default");
        assert_eq!(exchange_permission_name(b"x"), b"x");
    }
}
