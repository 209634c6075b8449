//! Which exchanges, queues and bindings does a file have?
//!
//! What is there already stays as it is, as in RabbitMQ.

use serde_json::{Map, Value, json};

use super::Wrong;
use super::fields::{self, Fields};
use crate::amqp::{Name, Table, TableBuf};
use crate::broker::arguments::{ExchangeTraits, QueueTraits};
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::requests::bindings::{BindRequest, DestinationName};
use crate::broker::{Broker, Exchange, Queue, VhostKey};
use crate::management::arguments::{self, Nulls};
use crate::management::json;

/// Takes a queue in.
///
/// # Errors
/// What is wrong with it.
pub fn import_queue(broker: &mut Broker, vhost: VhostKey, body: &Fields) -> Result<(), Wrong> {
    let (name, queue) = read_queue(body)?;
    broker.import_queue(vhost, &name, &queue.traits()).map(drop).map_err(|error| error.text)
}

/// A queue that a file asks for.
pub struct QueueDefinition {
    durable: bool,
    auto_delete: bool,
    arguments: TableBuf,
}

impl QueueDefinition {
    /// As the broker takes it.
    pub fn traits(&self) -> QueueTraits<'_> {
        let Self { durable, auto_delete, arguments } = self;
        let (durable, auto_delete) = (*durable, *auto_delete);
        QueueTraits { durable, exclusive: false, auto_delete, arguments: arguments.table() }
    }
}

/// The queue, with its name, that a file asks for.
///
/// # Errors
/// What is wrong with it.
pub fn read_queue(body: &Fields) -> Result<(Name, QueueDefinition), Wrong> {
    let name = named(body, "name")?;
    let mut arguments = arguments_of(body)?;
    // Newer files say it twice.
    if let Some(kind) = fields::optional_text(body, "type")?
        && arguments.table().find(b"x-queue-type").is_none()
        && kind != "classic"
    {
        arguments.put_str(b"x-queue-type", kind);
    }
    let durable = fields::flag(body, "durable", true)?;
    let auto_delete = fields::flag(body, "auto_delete", false)?;
    Ok((name, QueueDefinition { durable, auto_delete, arguments }))
}

/// Takes an exchange in.
///
/// # Errors
/// What is wrong with it.
pub fn import_exchange(broker: &mut Broker, vhost: VhostKey, body: &Fields) -> Result<(), Wrong> {
    let (name, exchange) = read_exchange(body)?;
    broker.import_exchange(vhost, &name, &exchange.traits()).map(drop).map_err(|error| error.text)
}

/// An exchange that a file asks for.
pub struct ExchangeDefinition<'a> {
    kind: &'a str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: TableBuf,
}

impl ExchangeDefinition<'_> {
    /// As the broker takes it.
    pub fn traits(&self) -> ExchangeTraits<'_> {
        let Self { kind, durable, auto_delete, internal, arguments } = self;
        ExchangeTraits {
            kind: kind.as_bytes(),
            durable: *durable,
            auto_delete: *auto_delete,
            internal: *internal,
            arguments: arguments.table(),
        }
    }
}

/// The exchange, with its name, that a file asks for.
///
/// # Errors
/// What is wrong with it.
pub fn read_exchange(body: &Fields) -> Result<(Name, ExchangeDefinition<'_>), Wrong> {
    let name = named(body, "name")?;
    let arguments = arguments_of(body)?;
    let exchange = ExchangeDefinition {
        kind: fields::text(body, "type")?,
        durable: fields::flag(body, "durable", true)?,
        auto_delete: fields::flag(body, "auto_delete", false)?,
        internal: fields::flag(body, "internal", false)?,
        arguments,
    };
    Ok((name, exchange))
}

/// Takes a binding in.
///
/// # Errors
/// What is wrong with it.
pub fn import_binding(broker: &mut Broker, vhost: VhostKey, body: &Fields) -> Result<(), Wrong> {
    let binding = read_binding(body)?;
    broker.import_binding(vhost, &binding.request()).map_err(|error| error.text)
}

/// A binding that a file asks for.
pub struct BindingDefinition {
    source: Name,
    destination: Name,
    is_to_queue: bool,
    key: Name,
    arguments: TableBuf,
}

impl BindingDefinition {
    /// As the broker takes it.
    pub fn request(&self) -> BindRequest<'_> {
        let Self { source, destination, is_to_queue, key, arguments } = self;
        let destination = match is_to_queue {
            true => DestinationName::Queue(destination),
            false => DestinationName::Exchange(destination),
        };
        BindRequest { source, destination, routing_key: key, arguments: arguments.table() }
    }
}

/// The binding that a file asks for.
///
/// # Errors
/// What is wrong with it.
pub fn read_binding(body: &Fields) -> Result<BindingDefinition, Wrong> {
    let (source, destination) = (named(body, "source")?, named(body, "destination")?);
    let key = fields::name(body, "routing_key")?;
    let arguments = arguments_of(body)?;
    let is_to_queue = match fields::text(body, "destination_type")? {
        "queue" => true,
        "exchange" => false,
        other => return Err(format!("destination_type '{other}' is neither queue nor exchange")),
    };
    Ok(BindingDefinition { source, destination, is_to_queue, key, arguments })
}

fn named(body: &Fields, field: &str) -> Result<Name, Wrong> {
    let name = fields::name(body, field)?;
    if name.is_empty() { Err(format!("{field} is empty")) } else { Ok(name) }
}

/// RabbitMQ writes an empty list where there are none.
fn arguments_of(body: &Fields) -> Result<TableBuf, Wrong> {
    match body.get("arguments") {
        None | Some(Value::Null) => Ok(TableBuf::new()),
        Some(Value::Array(none)) if none.is_empty() => Ok(TableBuf::new()),
        Some(Value::Object(object)) => Ok(arguments::table(object, Nulls::Taken)?),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err("arguments have to be an object".to_owned())
        }
    }
}

/// What a file has of a queue; `None`: it does not last.
pub fn export_queue(queue: &Queue) -> Option<Map<String, Value>> {
    if !queue.is_durable() || queue.is_reply_queue {
        return None;
    }
    object(json!({
        "name": json::text(&queue.name),
        "durable": true,
        "auto_delete": queue.declaration.auto_delete,
        "arguments": json::table(queue.declaration.table()),
    }))
}

/// What a file has of an exchange; `None`: every vhost has it from the start.
pub fn export_exchange(exchange: &Exchange) -> Option<Map<String, Value>> {
    if exchange.name.is_empty() || exchange.name.starts_with(b"amq.") {
        return None;
    }
    let arguments = Table::new(&exchange.arguments).unwrap_or(Table::EMPTY);
    object(json!({
        "name": json::text(&exchange.name),
        "type": exchange.kind.name(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": json::table(arguments),
    }))
}

/// What a file has of a binding; `None`: an end of it is not in the file.
pub fn export_binding(broker: &Broker, binding: &Binding) -> Option<Map<String, Value>> {
    let source = broker.topology().exchange(binding.source)?;
    let (destination, kind) = match binding.destination {
        Destination::Queue(key) => {
            let queue = broker.queues().get(key).filter(|queue| queue.is_durable())?;
            (&queue.name, "queue")
        }
        Destination::Exchange(key) => (&broker.topology().exchange(key)?.name, "exchange"),
    };
    object(json!({
        "source": json::text(&source.name),
        "destination": json::text(destination),
        "destination_type": kind,
        "routing_key": json::text(&binding.key),
        "arguments": json::table(binding.table()),
    }))
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    }
}
