//! May a user do something, and which pattern says so?
//!
//! Asked of what also decides when the user does it.

use serde_json::{Value, json};

use crate::amqp::Name;
use crate::broker::users::user::{Access, exchange_permission_name};
use crate::broker::{ExchangeKind, Subject, User};
use crate::management::call::{Call, Outcome};
use crate::management::definitions::fields::NAME_BYTES_MAX;
use crate::management::json;
use crate::management::response::Response;

/// What somebody wants to know.
struct Question {
    user: User,
    subject: Subject,
    access: Access,
    is_exchange: bool,
    name: Name,
    /// With which routing key, at a topic exchange.
    routing_key: Option<Name>,
}

/// Answers `user`, `vhost`, `access` (configure, write or read), `resource` (queue or exchange),
/// `name`, `routing_key`.
pub fn check(call: &mut Call<'_, '_>) -> Outcome {
    let question = read(call)?;
    call.show(answer(call, &question))
}

fn read(call: &Call<'_, '_>) -> Result<Question, Response> {
    let broker = &call.context.broker;
    let text = |field: &str| {
        let given = call.request.parameter(field);
        let fits = given.filter(|text| text.len() <= NAME_BYTES_MAX);
        let most = || format!("{field} is missing, or has more than {NAME_BYTES_MAX} bytes");
        fits.ok_or_else(|| Response::bad_request(&most()))
    };
    let access = match text("access")? {
        "configure" => Access::Configure,
        "write" => Access::Write,
        "read" => Access::Read,
        _ => return Err(Response::bad_request("access has to be configure, write or read")),
    };
    let is_exchange = match text("resource")? {
        "queue" => false,
        "exchange" => true,
        _ => return Err(Response::bad_request("resource has to be queue or exchange")),
    };
    let (name, user, vhost) = (text("name")?, text("user")?, text("vhost")?);
    let routing_key = call.request.parameter("routing_key").map(|_| text("routing_key"));
    let routing_key = routing_key.transpose()?.map(Name::from);
    let gone = |what: &str, name: &str| {
        Response::error(404, "not_found", &format!("there is no {what} '{name}'"))
    };
    let found = broker.users().find(user.as_bytes());
    let user = found.cloned().ok_or_else(|| gone("user", user))?;
    let key = broker.topology().vhost_named(vhost.as_bytes());
    let key = key.ok_or_else(|| gone("virtual host", vhost))?;
    let vhost = broker.topology().vhost_name(key);
    let subject = Subject::operator(user.name.clone(), key, vhost, false);
    let name = Name::from(if is_exchange && name == "amq.default" { "" } else { name });
    Ok(Question { user, subject, access, is_exchange, name, routing_key })
}

fn answer(call: &Call<'_, '_>, question: &Question) -> Value {
    let Question { user, subject, access, is_exchange, name, routing_key } = question;
    let (users, topology) = (call.context.broker.users(), call.context.broker.topology());
    let checked = match is_exchange {
        true => users.check_exchange_access(subject, *access, name),
        false => users.check_queue_access(subject, *access, name),
    };
    // Only topic exchanges ask for the key, and only of what there is anything is known.
    let found = topology.exchange_named(subject.vhost, name).filter(|_| *is_exchange);
    let exchange = found.and_then(|key| topology.exchange(key));
    let topic = exchange.filter(|exchange| exchange.kind == ExchangeKind::Topic);
    let key_checked = match (routing_key, topic) {
        (Some(key), Some(topic)) => users.check_topic_access(subject, *access, topic, key),
        (Some(_) | None, _) => Ok(()),
    };
    let patterns = user.permissions_in(&subject.vhost_name);
    let pattern = patterns.map(|patterns| patterns.pattern(*access));
    let of_topic = topic.filter(|_| routing_key.is_some()).and_then(|topic| {
        user.topic_permissions_for(subject.vhost_name.clone(), topic.name.clone())
    });
    let of_key = of_topic.and_then(|of_topic| of_topic.pattern(*access));
    // A name that may not be used at all ends it; else the key's pattern has the last word.
    let (decided_by, pattern) = match (checked.is_err(), of_key, pattern) {
        (false, Some(pattern), _) => ("topic_permission", Some(pattern)),
        (_, _, Some(pattern)) => ("permission", Some(pattern)),
        (_, _, None) => ("no_permissions", None),
    };
    let reason = checked.and(key_checked).err().map(|error| error.text);
    let exists = match is_exchange {
        true => exchange.is_some(),
        false => topology.queue_named(subject.vhost, name).is_some(),
    };
    let looked_for = if *is_exchange { exchange_permission_name(name) } else { name };
    json!({
        "allowed": reason.is_none(),
        "reason": reason,
        "decided_by": decided_by,
        "pattern": pattern.map(|pattern| pattern.text()),
        "defect": pattern.and_then(|pattern| pattern.defect()),
        "name": json::text(looked_for),
        "exists": exists,
        "routing_key_matters": topic.is_some(),
    })
}
