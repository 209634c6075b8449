//! How much may a user or a vhost have?
//!
//! A negative number is no limit, as in RabbitMQ, and is not shown.

use serde_json::{Map, Value};

use super::Wrong;
use super::fields;
use crate::broker::{User, VhostSettings};

/// What a vhost may have limits on.
pub const OF_VHOSTS: [&str; 2] = ["max-connections", "max-queues"];

/// What a user may have limits on.
pub const OF_USERS: [&str; 2] = ["max-connections", "max-channels"];

/// Sets all limits of a vhost: those that are not in `limits` end.
///
/// # Errors
/// A limit that there is not, or that is no number.
pub fn change_vhost(settings: &mut VhostSettings, limits: &Value) -> Result<(), Wrong> {
    let limits = object(limits)?;
    let mut changed = VhostSettings { connections_max: None, queues_max: None, ..settings.clone() };
    for (name, value) in &limits {
        set_of_vhost(&mut changed, name, value)?;
    }
    *settings = changed;
    Ok(())
}

/// Sets one limit of a vhost.
///
/// # Errors
/// As for [`change_vhost`].
pub fn set_of_vhost(settings: &mut VhostSettings, name: &str, value: &Value) -> Result<(), Wrong> {
    let limit = match name {
        "max-connections" => &mut settings.connections_max,
        "max-queues" => &mut settings.queues_max,
        _ => return Err(unrecognised(name, value, "limits")),
    };
    *limit = number(name, value)?;
    Ok(())
}

/// Takes one limit of a vhost back; one that there is not is fine.
pub fn clear_of_vhost(settings: &mut VhostSettings, name: &[u8]) {
    match name {
        b"max-connections" => settings.connections_max = None,
        b"max-queues" => settings.queues_max = None,
        _ => {}
    }
}

/// The limits of a vhost.
pub fn show_vhost(settings: &VhostSettings) -> Map<String, Value> {
    let limits = OF_VHOSTS.into_iter().zip([settings.connections_max, settings.queues_max]);
    limits.filter_map(|(name, max)| Some((name.to_owned(), max?.into()))).collect()
}

/// Sets all limits of a user: those that are not in `limits` end.
///
/// # Errors
/// As for [`change_vhost`].
pub fn change_user(user: &mut User, limits: &Value) -> Result<(), Wrong> {
    let limits = object(limits)?;
    let before = (user.connections_max.take(), user.channels_max.take());
    let result = limits.iter().try_for_each(|(name, value)| set_of_user(user, name, value));
    if result.is_err() {
        (user.connections_max, user.channels_max) = before;
    }
    result
}

/// Sets one limit of a user.
///
/// # Errors
/// As for [`change_vhost`].
pub fn set_of_user(user: &mut User, name: &str, value: &Value) -> Result<(), Wrong> {
    let limit = match name {
        "max-connections" => &mut user.connections_max,
        "max-channels" => &mut user.channels_max,
        _ => return Err(unrecognised(name, value, "user-limits")),
    };
    *limit = number(name, value)?;
    Ok(())
}

/// Takes one limit of a user back; one that there is not is fine.
pub fn clear_of_user(user: &mut User, name: &[u8]) {
    match name {
        b"max-connections" => user.connections_max = None,
        b"max-channels" => user.channels_max = None,
        _ => {}
    }
}

/// The limits of a user.
pub fn show_user(user: &User) -> Map<String, Value> {
    let limits = OF_USERS.into_iter().zip([user.connections_max, user.channels_max]);
    limits.filter_map(|(name, max)| Some((name.to_owned(), max?.into()))).collect()
}

/// RabbitMQ writes an empty list where there are none.
fn object(limits: &Value) -> Result<Map<String, Value>, Wrong> {
    match limits {
        Value::Object(limits) => Ok(limits.clone()),
        Value::Array(none) if none.is_empty() => Ok(Map::new()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err("limits have to be an object".to_owned())
        }
    }
}

fn number(name: &str, value: &Value) -> Result<Option<u32>, Wrong> {
    match value.as_i64() {
        Some(number) if number < 0 => Ok(None),
        // More than there can be is no limit.
        Some(number) => Ok(u32::try_from(number).ok()),
        None => Err(format!("{name} should be a number, actually was {}", fields::term(value))),
    }
}

fn unrecognised(name: &str, value: &Value, what: &str) -> Wrong {
    format!("Unrecognised terms [{{<<{name:?}>>,{}}}] in {what}", fields::term(value))
}
