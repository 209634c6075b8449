//! Where would a message go, if it were published now?
//!
//! Asks the routing of every publish and publishes nothing. Who may publish may ask.

use serde_json::{Map, Value, json};

use crate::amqp::{Name, PropertyList, TableBuf};
use crate::broker::{Broker, Content, ExchangeKey, QueueKey};
use crate::management::call::{Call, Outcome};
use crate::management::response::Response;
use crate::management::{body, json, refusal};

/// So many queues and exchanges are named; the counts are of all.
const NAMED_MAX: usize = 1_000;

/// What it costs to name one.
const WORK_PER_NAME: usize = 2;

/// The most bytes of a routing key.
const ROUTING_KEY_BYTES_MAX: usize = 255;

/// Of a message without headers, with the routing key of the query.
pub fn of_key(call: &mut Call<'_, '_>) -> Outcome {
    let routing_key = Name::from(call.request.parameter("routing_key").unwrap_or_default());
    preview(call, &routing_key, &TableBuf::new())
}

/// Of a message with the routing key and the headers of the body.
pub fn of_message(call: &mut Call<'_, '_>) -> Outcome {
    let body: Map<String, Value> = json::object(&call.request.body)?;
    let routing_key = Name::from(body::text(&body, "routing_key")?.unwrap_or_default());
    let headers = body::table(&body, "headers", body::HEADERS_BYTES_MAX)?;
    preview(call, &routing_key, &headers)
}

fn preview(call: &mut Call<'_, '_>, routing_key: &[u8], headers: &TableBuf) -> Outcome {
    if routing_key.len() > ROUTING_KEY_BYTES_MAX {
        return Err(Response::bad_request("a routing key has at most 255 bytes"));
    }
    let subject = call.subject(0)?;
    let headers = (!headers.is_empty()).then(|| headers.table());
    let mut properties = Vec::new();
    PropertyList { headers, ..PropertyList::default() }.encode(&mut properties);
    let exchange = Name::from(call.exchange_name(1));
    let content = Content { exchange: &exchange, routing_key, properties: &properties, body: () };
    let mut queues = Vec::new();
    let broker = &mut call.context.broker;
    let exchanges = broker.preview(&subject, &content, &mut queues);
    let exchanges = exchanges.map_err(|error| refusal::of_get(&error))?;
    broker.work.spend(WORK_PER_NAME * (queues.len() + exchanges.len()).min(2 * NAMED_MAX));
    let shown = json!({
        "queues": named(&queues, |key| queue(broker, *key)),
        "queue_count": queues.len(),
        "exchanges": named(&exchanges, |key| exchange_of(broker, *key)),
        "exchange_count": exchanges.len(),
        "certain": exchanges.iter().all(|key| is_certain(broker, *key)),
    });
    call.show(shown)
}

fn named<K>(keys: &[K], show: impl Fn(&K) -> Option<Value>) -> Vec<Value> {
    keys.iter().take(NAMED_MAX).filter_map(show).collect()
}

fn queue(broker: &Broker, key: QueueKey) -> Option<Value> {
    Some(json!({ "name": json::text(&broker.queues().get(key)?.name) }))
}

fn exchange_of(broker: &Broker, key: ExchangeKey) -> Option<Value> {
    let exchange = broker.topology().exchange(key)?;
    Some(json!({ "name": json::text(&exchange.name), "type": exchange.kind.name() }))
}

/// Whether the next message with this key and these headers goes the same way from there.
fn is_certain(broker: &Broker, key: ExchangeKey) -> bool {
    let exchange = broker.topology().exchange(key);
    exchange.is_none_or(|exchange| exchange.matcher.is_decided_by_key_and_headers())
}
