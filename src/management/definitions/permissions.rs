//! What may users do where?

use serde_json::{Value, json};

use super::fields::{self, Fields};
use super::{Wrong, users};
use crate::amqp::Name;
use crate::broker::users::pattern::Pattern;
use crate::broker::users::user::{Permissions, TopicPermissions};
use crate::broker::{Broker, User};
use crate::management::json;

/// Said of a vhost or user that is not there, in RabbitMQ's words.
pub const NOT_FOUND: &str = "vhost_or_user_not_found";

/// Sets what a user may do in a vhost; `true` when nothing was set before.
///
/// # Errors
/// What is wrong with the fields; there is no such vhost or user.
pub fn set(broker: &mut Broker, vhost: &[u8], user: &[u8], body: &Fields) -> Result<bool, Wrong> {
    let permissions = read(body)?;
    let Permissions { configure, write, read } = &permissions;
    for pattern in [configure, write, read] {
        broker.work.spend(Pattern::work_to_compile(pattern.text()));
    }
    let mut user = find(broker, vhost, user)?;
    let is_new = user.set_permissions(Name::from(vhost), permissions);
    users::store(broker, user)?;
    Ok(is_new)
}

/// The permissions that a body asks for.
///
/// # Errors
/// What is wrong with the fields.
pub fn read(body: &Fields) -> Result<Permissions, Wrong> {
    fields::require(body, &["configure", "write", "read"])?;
    let [configure, write, read] = ["configure", "write", "read"].map(|field| pattern(body, field));
    Ok(Permissions::new(configure?, write?, read?))
}

/// Sets which routing keys a user may use with an exchange; `true` when nothing was set before.
///
/// # Errors
/// As for [`set`].
pub fn set_topic(
    broker: &mut Broker,
    vhost: &[u8],
    user: &[u8],
    body: &Fields,
) -> Result<bool, Wrong> {
    let (exchange, write, read) = read_topic(body)?;
    for pattern in [write, read] {
        broker.work.spend(Pattern::work_to_compile(pattern));
    }
    let mut user = find(broker, vhost, user)?;
    let is_new = user.set_topic_permissions(Name::from(vhost), exchange, write, read);
    users::store(broker, user)?;
    Ok(is_new)
}

/// The exchange, and the patterns to write and to read, that a body asks for.
///
/// # Errors
/// What is wrong with the fields.
pub fn read_topic(body: &Fields) -> Result<(Name, &str, &str), Wrong> {
    fields::require(body, &["exchange", "write", "read"])?;
    let exchange = fields::name(body, "exchange")?;
    Ok((exchange, pattern(body, "write")?, pattern(body, "read")?))
}

fn find(broker: &Broker, vhost: &[u8], user: &[u8]) -> Result<User, Wrong> {
    let has_vhost = broker.topology().vhost_named(vhost).is_some();
    let user = broker.users().find(user).filter(|_| has_vhost);
    user.cloned().ok_or_else(|| NOT_FOUND.to_owned())
}

fn pattern<'a>(body: &'a Fields, field: &str) -> Result<&'a str, Wrong> {
    let text = fields::text(body, field)?;
    match Pattern::of_permission(text).defect() {
        Some(defect) => Err(format!("invalid_regexp: {field} '{text}' does not compile: {defect}")),
        None => Ok(text),
    }
}

/// What is shown of a user's permissions in a vhost.
pub fn show(user: &Name, vhost: &Name, permissions: &Permissions) -> Value {
    json!({
        "user": json::text(user),
        "vhost": json::text(vhost),
        "configure": permissions.configure.text(),
        "write": permissions.write.text(),
        "read": permissions.read.text(),
    })
}

/// What is shown of a user's permissions for routing keys.
pub fn show_topic(
    user: &Name,
    vhost: &Name,
    exchange: &Name,
    permissions: &TopicPermissions,
) -> Value {
    json!({
        "user": json::text(user),
        "vhost": json::text(vhost),
        "exchange": json::text(exchange),
        "write": permissions.write_text,
        "read": permissions.read_text,
    })
}
