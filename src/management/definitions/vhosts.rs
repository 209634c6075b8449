//! Which virtual hosts are there, and what is said of them?

use serde_json::{Map, Value, json};

use super::fields::{self, Fields};
use super::{Wrong, limits};
use crate::amqp::Name;
use crate::broker::arguments::QueueKind;
use crate::broker::{Broker, Vhost, VhostSettings};
use crate::management::json;

/// Description and tags of a vhost have at most so many bytes: a vhost is one record of the log.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What says that a vhost is not to be deleted.
const PROTECTED: &str = "protected_from_deletion";

/// Makes a vhost or says something else of one: of what the body does not say, what was said
/// before stays. `true` when there was none of the name.
///
/// # Errors
/// What is wrong with the fields; one of this name is still being deleted.
pub fn put(broker: &mut Broker, name: &Name, body: &Fields) -> Result<bool, Wrong> {
    let found = broker.topology().vhost_named(name);
    let vhost = found.and_then(|key| broker.topology().vhost(key));
    let settings = vhost.map(|vhost| vhost.settings.clone()).unwrap_or_default();
    let settings = changed(broker, name, settings, body)?;
    broker.put_vhost(name, settings);
    Ok(found.is_none())
}

/// What is said of a vhost, with what a body says of it.
///
/// # Errors
/// As for [`put`].
pub fn changed(
    broker: &Broker,
    name: &Name,
    mut settings: VhostSettings,
    body: &Fields,
) -> Result<VhostSettings, Wrong> {
    if name.is_empty() {
        return Err("a virtual host has to have a name".to_owned());
    }
    if broker.topology().is_vhost_leaving(name) {
        return Err(format!("vhost '{name}' is being deleted"));
    }
    change(&mut settings, body)?;
    let said = settings.tags.iter().map(String::len).sum::<usize>() + settings.description.len();
    if said > TEXT_BYTES_MAX {
        return Err(format!("description and tags have at most {TEXT_BYTES_MAX} bytes together"));
    }
    Ok(settings)
}

/// Files have some of it in `metadata`.
fn change(settings: &mut VhostSettings, body: &Fields) -> Result<(), Wrong> {
    let none = Map::new();
    let metadata = body.get("metadata").and_then(Value::as_object).unwrap_or(&none);
    for said in [metadata, body] {
        if let Some(text) = fields::optional_text(said, "description")? {
            text.clone_into(&mut settings.description);
        }
        if let Some(tags) = said.get("tags").filter(|tags| !tags.is_null()) {
            settings.tags = fields::words("tags", tags)?;
        }
        if let Some(kind) = fields::optional_text(said, "default_queue_type")? {
            settings.default_queue_type = queue_type(kind)?;
        }
        settings.protected = fields::flag(said, PROTECTED, settings.protected)?;
    }
    settings.tracing = fields::flag(body, "tracing", settings.tracing)?;
    if let Some(said) = body.get("limits") {
        limits::change_vhost(settings, said)?;
    }
    Ok(())
}

fn queue_type(name: &str) -> Result<Option<QueueKind>, Wrong> {
    match name {
        "" | "undefined" => Ok(None),
        name => match QueueKind::parse(name.as_bytes()) {
            Some(kind) => Ok(Some(kind)),
            None => Err(format!("default_queue_type '{name}' is no queue type")),
        },
    }
}

/// What is shown of a vhost of this node.
pub fn show(vhost: &Vhost, node: &str) -> Value {
    let settings = &vhost.settings;
    let kind = settings.default_queue_type.map_or("undefined", QueueKind::name);
    let mut metadata = json!({ "description": settings.description, "tags": settings.tags });
    if settings.default_queue_type.is_some() {
        metadata["default_queue_type"] = kind.into();
    }
    if settings.protected {
        metadata[PROTECTED] = true.into();
    }
    json!({
        "name": json::text(&vhost.name),
        "description": settings.description,
        "tags": settings.tags,
        "default_queue_type": kind,
        "metadata": metadata,
        "tracing": settings.tracing,
        PROTECTED: settings.protected,
        "cluster_state": { node: "running" },
    })
}

/// What a file says of a vhost. Its limits are parameters there.
pub fn export(vhost: &Vhost) -> Value {
    let mut value = show(vhost, "");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("cluster_state");
        if !vhost.settings.protected {
            fields.remove(PROTECTED);
        }
        if vhost.settings.default_queue_type.is_none() {
            fields.remove("default_queue_type");
        }
    }
    value
}
