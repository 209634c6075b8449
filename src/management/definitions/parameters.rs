//! Which parameters are kept, and which may there be?
//!
//! Those of shovels and federation are checked as RabbitMQ's plugins do. The limits of vhosts and
//! the operator policies look like parameters, as in RabbitMQ's files, but are no values that
//! nobody looks into: they have places of their own.

use serde_json::{Map, Value, json};

use super::fields::{Fields, term};
use super::policies::invalid;
use super::{Wrong, limits, policies};
use crate::amqp::Name;
use crate::broker::topology::parameters::Scope;
use crate::broker::{Broker, Vhost, VhostSettings};
use crate::management::json;

/// Said of a vhost that is not there.
pub const NO_VHOST: &str = "vhost_not_found";

/// Under which component the limits of a vhost are.
pub const LIMITS: &str = "vhost-limits";
/// And under which name.
pub const LIMITS_NAME: &str = "limits";
/// Under which component operator policies are.
pub const OPERATOR_POLICY: &str = "operator_policy";
/// Under which component policies are.
pub const POLICY: &str = "policy";

/// Which parameter of the node is the cluster's name, as in RabbitMQ.
pub const CLUSTER_NAME: &[u8] = b"cluster_name";
/// The most bytes of that name.
const CLUSTER_NAME_BYTES_MAX: usize = 255;

/// A parameter has at most so many bytes: it is one record of the log.
const BYTES_MAX: usize = 64 * 1024;

/// What the value of a key has to be.
#[derive(Clone, Copy)]
enum Is {
    Text,
    /// One text, or a list of some.
    Texts,
    Number,
    Flag,
    Object,
    /// A number, or one of these texts.
    NumberOr(&'static [&'static str]),
    OneOf(&'static [&'static str]),
}

const ACK_MODES: Is = Is::OneOf(&["no-ack", "on-publish", "on-confirm"]);
const PROTOCOLS: Is = Is::OneOf(&["amqp091", "amqp10"]);
const DELETE_AFTER: Is = Is::NumberOr(&["never", "queue-length"]);

const SHOVEL: &[(&str, Is)] = &[
    ("ack-mode", ACK_MODES),
    ("add-forward-headers", Is::Flag),
    ("delete-after", DELETE_AFTER),
    ("dest-add-forward-headers", Is::Flag),
    ("dest-add-timestamp-header", Is::Flag),
    ("dest-exchange", Is::Text),
    ("dest-exchange-key", Is::Text),
    ("dest-predeclared", Is::Flag),
    ("dest-protocol", PROTOCOLS),
    ("dest-publish-properties", Is::Object),
    ("dest-queue", Is::Text),
    ("dest-queue-args", Is::Object),
    ("dest-uri", Is::Texts),
    ("prefetch-count", Is::Number),
    ("publish-properties", Is::Object),
    ("reconnect-delay", Is::Number),
    ("src-consumer-args", Is::Object),
    ("src-delete-after", DELETE_AFTER),
    ("src-exchange", Is::Text),
    ("src-exchange-key", Is::Text),
    ("src-predeclared", Is::Flag),
    ("src-prefetch-count", Is::Number),
    ("src-protocol", PROTOCOLS),
    ("src-queue", Is::Text),
    ("src-queue-args", Is::Object),
    ("src-uri", Is::Texts),
];

const UPSTREAM: &[(&str, Is)] = &[
    ("ack-mode", ACK_MODES),
    ("bind-nowait", Is::Flag),
    ("channel-use-mode", Is::OneOf(&["multiple", "single"])),
    ("consumer-tag", Is::Text),
    ("exchange", Is::Text),
    ("expires", Is::Number),
    ("ha-policy", Is::Text),
    ("max-hops", Is::Number),
    ("message-ttl", Is::Number),
    ("prefetch-count", Is::Number),
    ("queue", Is::Text),
    ("queue-type", Is::OneOf(&["classic", "quorum"])),
    ("reconnect-delay", Is::Number),
    ("resource-cleanup-mode", Is::OneOf(&["default", "never"])),
    ("trust-user-id", Is::Flag),
    ("uri", Is::Texts),
];

/// Sets a parameter of a vhost; `true` when there was none of its name.
///
/// # Errors
/// What is wrong with it, in RabbitMQ's words; there is no such vhost.
pub fn set(
    broker: &mut Broker,
    vhost: &[u8],
    component: &Name,
    name: Name,
    value: &Value,
) -> Result<bool, Wrong> {
    let Some(key) = broker.topology().vhost_named(vhost) else {
        return Err(NO_VHOST.to_owned());
    };
    match &**component {
        b"policy" => return Err("policies may not be set using this method".to_owned()),
        b"operator_policy" => {
            return Err("operator policies may not be set using this method".to_owned());
        }
        b"vhost-limits" => return set_limits(broker, key, &name, value),
        _ => {}
    }
    let text = checked(broker, component, value)?;
    Ok(broker.set_parameter(Scope::Vhost(key, component), name, &text))
}

/// The value of a parameter of a vhost as it is kept; neither a policy nor limits.
///
/// # Errors
/// What is wrong with it, in RabbitMQ's words.
pub fn checked(broker: &Broker, component: &Name, value: &Value) -> Result<String, Wrong> {
    match &**component {
        b"shovel" => check_shovel(value),
        b"federation-upstream" => check(value, UPSTREAM, &["uri"], "federation-upstream"),
        b"federation-upstream-set" => check_set(value),
        _ => Err(format!("component {component} not found")),
    }
    .map_err(|what| invalid(&what))?;
    bounded(broker, value)
}

/// Sets a parameter of the node; `true` when there was none of its name.
///
/// # Errors
/// It is too long, or no name for a cluster.
pub fn set_global(broker: &mut Broker, name: Name, value: &Value) -> Result<bool, Wrong> {
    let text = read_global(broker, &name, value)?;
    Ok(broker.set_parameter(Scope::Global, name, &text))
}

/// A parameter of the node as it is kept.
///
/// # Errors
/// As for [`set_global`].
pub fn read_global(broker: &Broker, name: &Name, value: &Value) -> Result<String, Wrong> {
    let is_name = |text: &str| (1..=CLUSTER_NAME_BYTES_MAX).contains(&text.len());
    if **name == *CLUSTER_NAME && !value.as_str().is_some_and(is_name) {
        return Err(format!("name has 1 to {CLUSTER_NAME_BYTES_MAX} bytes"));
    }
    bounded(broker, value)
}

/// Gives the cluster a name, if it has another one.
pub fn name_cluster(broker: &mut Broker, name: &str) {
    let value = Value::from(name).to_string();
    if cluster_parameter(broker) != Some(&value) {
        broker.set_parameter(Scope::Global, Name::from(CLUSTER_NAME), &value);
    }
}

/// The name that the cluster was given, as JSON; `None`: it has the one that it has of itself.
pub fn cluster_parameter(broker: &Broker) -> Option<&str> {
    broker.topology().parameter(Scope::Global, CLUSTER_NAME)
}

/// What that says.
pub fn cluster_name(parameter: &str) -> Option<String> {
    serde_json::from_str(parameter).ok()
}

/// A value as it is kept.
///
/// # Errors
/// It is too long.
fn bounded(broker: &Broker, value: &Value) -> Result<String, Wrong> {
    let text = value.to_string();
    let most = BYTES_MAX.min(broker.definition_bytes_max());
    if text.len() > most {
        return Err(format!("a parameter has at most {most} bytes"));
    }
    Ok(text)
}

fn set_limits(
    broker: &mut Broker,
    key: crate::broker::VhostKey,
    name: &[u8],
    value: &Value,
) -> Result<bool, Wrong> {
    let Some(vhost) = broker.topology().vhost(key) else {
        return Err(NO_VHOST.to_owned());
    };
    let (vhost_name, mut settings) = (vhost.name.clone(), vhost.settings.clone());
    let is_new = limits::show_vhost(&settings).is_empty();
    change_limits(&mut settings, name, value)?;
    broker.put_vhost(&vhost_name, settings);
    Ok(is_new)
}

/// Sets all limits of a vhost, which are a parameter of this name.
///
/// # Errors
/// What is wrong with them, in RabbitMQ's words.
pub fn change_limits(
    settings: &mut VhostSettings,
    name: &[u8],
    value: &Value,
) -> Result<(), Wrong> {
    if name != LIMITS_NAME.as_bytes() {
        return Err(invalid("the limits of a vhost are called 'limits'"));
    }
    limits::change_vhost(settings, value).map_err(|what| invalid(&what))
}

fn check_shovel(value: &Value) -> Result<(), Wrong> {
    check(value, SHOVEL, &["src-uri", "dest-uri"], "shovel")?;
    let has = |key: &str| value.get(key).is_some();
    match (has("src-exchange"), has("src-queue")) {
        (true, true) => Err("Cannot specify 'src-exchange' and 'src-queue'".to_owned()),
        (false, false) => Err("Must specify 'src-exchange' or 'src-queue'".to_owned()),
        (true, false) | (false, true) if has("dest-exchange") && has("dest-queue") => {
            Err("Cannot specify 'dest-exchange' and 'dest-queue'".to_owned())
        }
        (true, false) | (false, true) => Ok(()),
    }
}

fn check_set(value: &Value) -> Result<(), Wrong> {
    let Some(upstreams) = value.as_array() else {
        return Err("upstream set should be a list of upstreams".to_owned());
    };
    let known: Vec<_> = UPSTREAM.iter().copied().chain([("upstream", Is::Text)]).collect();
    let what = "federation-upstream-set";
    upstreams.iter().try_for_each(|upstream| check(upstream, &known, &["upstream"], what))
}

/// Checks an object against the keys that there may be and have to be.
fn check(value: &Value, known: &[(&str, Is)], required: &[&str], what: &str) -> Result<(), Wrong> {
    let Some(fields) = value.as_object() else {
        return Err(format!("{what} should be an object, actually was {}", term(value)));
    };
    if let Some(key) = required.iter().find(|key| !fields.contains_key(**key)) {
        return Err(format!("Key \"{key}\" not found in {what}"));
    }
    for (key, value) in fields {
        match known.iter().find(|(known, _)| known == key) {
            Some((_, is)) => is.check(key, value)?,
            None => {
                let value = term(value);
                return Err(format!("Unrecognised terms [{{<<{key:?}>>,{value}}}] in {what}"));
            }
        }
    }
    Ok(())
}

impl Is {
    fn check(self, key: &str, value: &Value) -> Result<(), Wrong> {
        let text = value.as_str();
        let (is_fine, expected) = match self {
            Self::Text => (text.is_some(), "binary".to_owned()),
            Self::Texts => {
                let are_texts =
                    |list: &Vec<Value>| !list.is_empty() && list.iter().all(Value::is_string);
                let is_fine = text.is_some() || value.as_array().is_some_and(are_texts);
                (is_fine, "a binary or a list of binaries".to_owned())
            }
            Self::Number => (value.is_number(), "a number".to_owned()),
            Self::Flag => (value.is_boolean(), "boolean".to_owned()),
            Self::Object => (value.is_object(), "a map".to_owned()),
            Self::NumberOr(words) => {
                let is_word = text.is_some_and(|text| words.contains(&text));
                (value.is_number() || is_word, format!("a number or one of {}", words.join(", ")))
            }
            Self::OneOf(words) => {
                let is_word = text.is_some_and(|text| words.contains(&text));
                (is_word, format!("one of {}", words.join(", ")))
            }
        };
        if is_fine {
            return Ok(());
        }
        Err(format!("{key} should be {expected}, actually was {}", term(value)))
    }
}

/// What is shown of a parameter of a vhost.
pub fn show(vhost: &Name, component: &str, name: &[u8], value: Value) -> Value {
    json!({
        "vhost": json::text(vhost), "component": component, "name": json::text(name),
        "value": value,
    })
}

/// What is shown of a parameter of the node.
pub fn show_global(name: &[u8], value: &str) -> Value {
    json!({ "name": json::text(name), "value": parsed(value) })
}

/// A value that is kept as text.
pub fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or(Value::Null)
}

/// All parameters of a vhost that are its own: what was set here, its limits, its operator
/// policies. Its policies are none, as in RabbitMQ, unless one asks for them.
pub fn all_of(vhost: &Vhost) -> Vec<Value> {
    let mut all = Vec::new();
    for (component, of_component) in &vhost.parameters {
        let component = component.to_string();
        for (name, value) in of_component {
            all.push(show(&vhost.name, &component, name, parsed(value)));
        }
    }
    all.extend(limits_of(vhost));
    all.extend(policies_of(vhost, true));
    all
}

/// The limits of a vhost as a parameter, if it has some.
pub fn limits_of(vhost: &Vhost) -> Option<Value> {
    let limits: Map<String, Value> = limits::show_vhost(&vhost.settings);
    let is_some = !limits.is_empty();
    is_some.then(|| show(&vhost.name, LIMITS, LIMITS_NAME.as_bytes(), Value::Object(limits)))
}

/// The policies or operator policies of a vhost as parameters.
pub fn policies_of(vhost: &Vhost, operator: bool) -> impl Iterator<Item = Value> {
    let component = if operator { OPERATOR_POLICY } else { POLICY };
    let policies = vhost.policies.list(operator).iter();
    policies.map(move |policy| show(&vhost.name, component, &policy.name, policies::value(policy)))
}

/// Takes a parameter from a file in, which may be an operator policy there.
///
/// # Errors
/// As for [`set`].
pub fn import(
    broker: &mut Broker,
    vhost: &[u8],
    component: &Name,
    name: Name,
    value: &Value,
) -> Result<(), Wrong> {
    let none = Fields::new();
    let fields = value.as_object().unwrap_or(&none);
    match &**component {
        b"policy" => policies::set(broker, false, vhost, name, fields).map(drop),
        b"operator_policy" => policies::set(broker, true, vhost, name, fields).map(drop),
        _ => set(broker, vhost, component, name, value).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shovels_are_checked_as_rabbitmq_does() {
        let uris = json!({"src-uri": "amqp://a", "dest-uri": ["amqp://b", "amqp://c"]});
        let with = |more: Value| {
            let mut all = uris.as_object().unwrap().clone();
            all.extend(more.as_object().unwrap().clone());
            check_shovel(&Value::Object(all)).err().unwrap_or_default()
        };
        assert_eq!(with(json!({"src-queue": "q", "dest-queue": "r", "src-delete-after": 5})), "");
        assert_eq!(with(json!({"src-exchange": "x", "ack-mode": "no-ack"})), "");
        assert_eq!(with(json!({})), "Must specify 'src-exchange' or 'src-queue'");
        let both = json!({"src-exchange": "x", "src-queue": "q"});
        assert_eq!(with(both), "Cannot specify 'src-exchange' and 'src-queue'");
        assert_eq!(
            with(json!({"src-queue": "q", "nope": 1})),
            "Unrecognised terms [{<<\"nope\">>,1}] in shovel"
        );
        assert_eq!(with(json!({"src-queue": 5})), "src-queue should be binary, actually was 5");
        assert_eq!(check_shovel(&json!({})).unwrap_err(), "Key \"src-uri\" not found in shovel");
    }

    #[test]
    fn an_upstream_set_is_a_list_of_upstreams() {
        assert_eq!(
            check_set(&json!([{"upstream": "a"}, {"upstream": "b", "max-hops": 2}])),
            Ok(())
        );
        for wrong in [json!({}), json!([{}]), json!([{"upstream": 5}]), json!(["a"])] {
            assert!(check_set(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn known_keys_are_sorted_and_different() {
        for keys in [SHOVEL, UPSTREAM] {
            assert!(keys.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
