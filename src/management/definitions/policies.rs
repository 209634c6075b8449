//! Which policies and operator policies are there?

use serde_json::{Value, json};

use super::Wrong;
use super::fields::{self, Fields};
use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::arguments::policy::{ApplyTo, Policy};
use crate::broker::users::pattern::Pattern;
use crate::management::arguments::{self, Nulls};
use crate::management::json;

/// A policy has at most so many bytes: it is one record of the log.
const BYTES_MAX: usize = 64 * 1024;

/// Sets a policy or operator policy; `true` when there was none of its name.
///
/// # Errors
/// What is wrong with the fields, in RabbitMQ's words; there is no such vhost.
pub fn set(
    broker: &mut Broker,
    operator: bool,
    vhost: &[u8],
    name: Name,
    body: &Fields,
) -> Result<bool, Wrong> {
    let policy = read(broker, operator, vhost, name, body)?;
    broker.work.spend(Pattern::work_to_compile(policy.pattern.text()));
    let vhost = broker.topology().vhost_named(vhost);
    let before = vhost.and_then(|key| broker.topology().vhost(key));
    let is_new = before.is_none_or(|vhost| vhost.policies.find(operator, &policy.name).is_none());
    broker.set_policy(policy).map_err(|error| error.to_string())?;
    Ok(is_new)
}

/// The policy that a body asks for, as far as one can say without its vhost.
///
/// # Errors
/// As for [`set`].
pub fn read(
    broker: &Broker,
    operator: bool,
    vhost: &[u8],
    name: Name,
    body: &Fields,
) -> Result<Policy, Wrong> {
    let policy = parsed(operator, vhost, name, body)?;
    let bytes = policy.encode().table().as_bytes().len();
    let most = BYTES_MAX.min(broker.definition_bytes_max());
    if bytes > most {
        return Err(format!("a policy has at most {most} bytes"));
    }
    policy.check().map_err(|error| error.to_string())?;
    Ok(policy)
}

fn parsed(operator: bool, vhost: &[u8], name: Name, body: &Fields) -> Result<Policy, Wrong> {
    fields::require(body, &["pattern", "definition"])?;
    let Some(pattern) = body["pattern"].as_str() else {
        let term = fields::term(&body["pattern"]);
        return Err(invalid(&format!("pattern should be a binary but was {term}")));
    };
    let Some(definition) = body["definition"].as_object() else {
        return Err("definition has to be an object".to_owned());
    };
    let definition = arguments::table(definition, Nulls::Taken)?;
    let apply_to = apply_to(body)?;
    let priority = match body.get("priority") {
        None | Some(Value::Null) => 0,
        Some(value) => fields::integer(value).ok_or_else(|| {
            let term = fields::term(value);
            invalid(&format!("priority should be a number, actually was {term}"))
        })?,
    };
    let pattern = Pattern::of_policy(pattern);
    let vhost = Name::from(vhost);
    Ok(Policy { vhost, name, pattern, apply_to, priority, definition, operator })
}

/// What a policy applies to; where nothing is said, everything.
pub fn apply_to(body: &Fields) -> Result<ApplyTo, Wrong> {
    match fields::optional_text(body, "apply-to")? {
        None | Some("") => Ok(ApplyTo::All),
        Some(text) => ApplyTo::parse(text).map_err(|error| error.to_string()),
    }
}

/// RabbitMQ's words for what its validators refuse.
pub fn invalid(what: &str) -> Wrong {
    format!("Validation failed\n\n{what}\n")
}

/// What is shown of a policy.
pub fn show(policy: &Policy) -> Value {
    let mut value = value(policy);
    value["vhost"] = json::text(&policy.vhost);
    value["name"] = json::text(&policy.name);
    value
}

/// What it says, as the value of a parameter.
pub fn value(policy: &Policy) -> Value {
    json!({
        "pattern": policy.pattern.text(),
        "apply-to": policy.apply_to.name(),
        "definition": json::table(policy.definition.table()),
        "priority": policy.priority,
    })
}
