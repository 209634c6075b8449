//! Which messages are in a queue: taken for good, or taken and put back?

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::queue_changes::Courtesy;
use crate::amqp::{AmqpError, Properties, PropertyList};
use crate::broker::flow::blind;
use crate::broker::{Access, Broker, QueueKey, RecordRef, Settlement, Unsettled};
use crate::management::call::{Answer, Call, Context, Outcome, PIECE_BYTES_MAX, Progress, Work};
use crate::management::response::Response;
use crate::management::{body, json, refusal};

/// One answer has at most so many messages, and payloads of so many bytes: while it is read, those
/// that go back to their queue are held.
const MESSAGES_MAX: u64 = 10_000;
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// So much of a body is shown: nobody else waits while one is written.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What it costs to show a message, beside its bytes.
const WORK_PER_MESSAGE: usize = 60;

/// Takes messages, which go back or not.
pub fn get(call: &mut Call<'_, '_>) -> Outcome {
    let body = json::object(&call.request.body)?;
    body::require(&body, &["ackmode", "count", "encoding"])?;
    let count = body::integer(&body, "count")?.unwrap_or(0);
    let truncate = body::integer(&body, "truncate")?;
    let style = Style {
        base64: base64(body.get("encoding"))?,
        bytes_max: truncate.map_or(PAYLOAD_BYTES_MAX, bytes_max),
    };
    let fate = match body.get("ackmode").and_then(Value::as_str) {
        Some("ack_requeue_false") => Fate::Settled,
        Some("ack_requeue_true" | "reject_requeue_true") => Fate::Held(Settlement::Requeue),
        Some("reject_requeue_false") => Fate::Held(Settlement::Reject),
        Some(_) | None => {
            let text = "ackmode has to be ack_requeue_true, ack_requeue_false, \
                        reject_requeue_true or reject_requeue_false";
            return Err(Response::bad_request(text));
        }
    };
    let key = readable(call)?;
    // As in RabbitMQ, a negative number means all of them.
    let left = u64::try_from(count).unwrap_or(u64::MAX).min(MESSAGES_MAX);
    let (held, courtesy) = (Vec::new(), Courtesy::default());
    let writer = Writer::new(style);
    Ok(Answer::Later(Box::new(Get { key, left, fate, held, at: 0, writer, courtesy })))
}

/// How much of a body is shown when so much is asked for.
pub fn bytes_max(truncate: i64) -> usize {
    usize::try_from(truncate.max(0)).unwrap_or(usize::MAX).min(PAYLOAD_BYTES_MAX)
}

/// Whether bodies are shown in base64 even if they are text.
///
/// # Errors
/// 400 for any encoding but two.
pub fn base64(encoding: Option<&Value>) -> Result<bool, Response> {
    match encoding.and_then(Value::as_str) {
        Some("auto") => Ok(false),
        Some("base64") => Ok(true),
        Some(_) | None => {
            Err(Response::bad_request("Unsupported encoding. Please use auto or base64."))
        }
    }
}

/// The queue of the path, from which the caller may take messages.
///
/// # Errors
/// 404 when there is none, 401 without the permission to read, 400 for a stream.
fn readable(call: &Call<'_, '_>) -> Result<QueueKey, Response> {
    no_stream(call, refusal::of_get)
}

/// The same for who does not get messages, but has them moved, deleted or given back.
///
/// # Errors
/// The same.
pub fn emptiable(call: &Call<'_, '_>) -> Result<QueueKey, Response> {
    let text = "a stream keeps its messages: they can be browsed, and no more";
    no_stream(call, |_| Response::bad_request(text))
}

fn no_stream(
    call: &Call<'_, '_>,
    refuse: impl FnOnce(&AmqpError) -> Response,
) -> Result<QueueKey, Response> {
    let key = browsable(call)?;
    let refused = call.context.broker.refuse_on_stream(key, "basic.get");
    refused.map_err(|error| refuse(&error)).map(|()| key)
}

/// The queue of the path, whose messages the caller may see.
///
/// # Errors
/// 404 when there is none, 401 without the permission to read.
pub fn browsable(call: &Call<'_, '_>) -> Result<QueueKey, Response> {
    let (subject, name) = (call.subject(0)?, call.part(1));
    let broker = &call.context.broker;
    let allowed = broker.users().check_queue_access(&subject, Access::Read, name);
    let found = allowed.and_then(|()| broker.usable_queue(&subject, name));
    found.map_err(|error| refusal::of_get(&error))
}

/// How payloads are shown.
pub struct Style {
    /// In base64 even if they are text.
    pub base64: bool,
    /// So much of each.
    pub bytes_max: usize,
}

/// Writes messages into an answer.
pub struct Writer {
    style: Style,
    /// How many there are in it.
    pub shown: u64,
    /// Of payloads.
    bytes: usize,
}

impl Writer {
    /// Nothing was written yet.
    pub fn new(style: Style) -> Self {
        Self { style, shown: 0, bytes: 0 }
    }

    /// Whether an answer has no room for more.
    pub fn is_full(&self) -> bool {
        self.bytes >= ANSWER_BYTES_MAX
    }

    /// Appends a message; `more` is what is known besides what was stored.
    pub fn write(
        &mut self,
        broker: &mut Broker,
        at: RecordRef,
        mut more: Map<String, Value>,
        piece: &mut Vec<u8>,
    ) {
        piece.push(if self.shown == 0 { b'[' } else { b',' });
        self.shown += 1;
        let record = broker.record(at);
        let (exchange, routing_key, properties) = record.names_and_properties();
        more.insert("payload_bytes".into(), record.body_bytes().into());
        more.insert("exchange".into(), json::text(exchange));
        more.insert("routing_key".into(), json::text(routing_key));
        let count = more.remove("deliveries");
        more.insert("properties".into(), shown_properties(properties, count));
        let payload = broker.beginning_of_body(at, self.style.bytes_max);
        self.bytes += payload.len();
        broker.work.spend(WORK_PER_MESSAGE);
        broker.work.spend_bytes(4 * payload.len() as u64);
        let (payload, encoding) = match String::from_utf8(payload) {
            Ok(text) if !self.style.base64 => (text, "string"),
            Ok(text) => (STANDARD.encode(text), "base64"),
            Err(bytes) => (STANDARD.encode(bytes.as_bytes()), "base64"),
        };
        more.insert("payload".into(), payload.into());
        more.insert("payload_encoding".into(), encoding.into());
        piece.extend_from_slice(Value::Object(more).to_string().as_bytes());
    }

    /// The list is over.
    pub fn end(&self, piece: &mut Vec<u8>) {
        piece.extend_from_slice(if self.shown == 0 { b"[]" } else { b"]" });
    }
}

/// The properties that consumers see; as RabbitMQ writes them, an empty list where there are none.
fn shown_properties(stored: &[u8], deliveries: Option<Value>) -> Value {
    let visible = blind::is_blind(stored).then(|| blind::visible(stored));
    let properties = visible.as_deref().unwrap_or(stored);
    let list = Properties::new(properties).list().unwrap_or_default();
    let PropertyList { content_type, content_encoding, headers, delivery_mode, .. } = list;
    let PropertyList { priority, correlation_id, reply_to, expiration, message_id, .. } = list;
    let PropertyList { timestamp, kind, user_id, app_id, cluster_id, .. } = list;
    let mut headers = headers.map(json::table);
    if let Some(count) = deliveries {
        headers.get_or_insert_with(|| json!({}))["x-delivery-count"] = count;
    }
    let text = |bytes: Option<&[u8]>| bytes.map(json::text);
    let fields = [
        ("content_type", text(content_type)),
        ("content_encoding", text(content_encoding)),
        ("headers", headers),
        ("delivery_mode", delivery_mode.map(Value::from)),
        ("priority", priority.map(Value::from)),
        ("correlation_id", text(correlation_id)),
        ("reply_to", text(reply_to)),
        ("expiration", text(expiration)),
        ("message_id", text(message_id)),
        ("timestamp", timestamp.map(Value::from)),
        ("type", text(kind)),
        ("user_id", text(user_id)),
        ("app_id", text(app_id)),
        ("cluster_id", text(cluster_id)),
    ];
    let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let set: Map<String, Value> = set.collect();
    if set.is_empty() { json!([]) } else { Value::Object(set) }
}

/// What becomes of a message once it is in the answer.
enum Fate {
    /// It is settled at once.
    Settled,
    /// It is held until the answer is complete, and this happens to it then: nobody gets two of the
    /// same.
    Held(Settlement),
}

struct Get {
    key: QueueKey,
    /// So many are still wanted.
    left: u64,
    fate: Fate,
    /// In the order in which they were taken.
    held: Vec<Unsettled>,
    /// So many of them went back.
    at: usize,
    writer: Writer,
    courtesy: Courtesy,
}

impl Get {
    /// Takes the next one; whether there was one.
    fn take(&mut self, broker: &mut Broker, piece: &mut Vec<u8>) -> bool {
        if self.left == 0 || self.writer.is_full() {
            return false;
        }
        let no_ack = matches!(self.fate, Fate::Settled);
        let Some(got) = broker.take(self.key, no_ack) else {
            self.left = 0;
            return false;
        };
        self.left -= 1;
        let mut more = Map::new();
        more.insert("redelivered".into(), (got.before > 0).into());
        more.insert("message_count".into(), got.left.into());
        if got.counted {
            more.insert("deliveries".into(), got.before.into());
        }
        self.writer.write(broker, got.unsettled.entry.at, more, piece);
        match self.fate {
            Fate::Settled => broker.settle_sent(&got.unsettled),
            Fate::Held(_) => self.held.push(got.unsettled),
        }
        true
    }

    /// Gives back what is held, as far as this step allows; whether that was all.
    fn give_back(&mut self, broker: &mut Broker) -> bool {
        let Fate::Held(settlement) = self.fate else {
            return true;
        };
        while let Some(unsettled) = self.held.get(self.at) {
            if !broker.may_settle(settlement) {
                return false;
            }
            broker.settle(unsettled, settlement);
            self.at += 1;
        }
        true
    }
}

impl Work for Get {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        let broker = &mut context.broker;
        if self.writer.shown == 0 && self.courtesy.waits(broker, Some(self.key)) {
            return Progress::Unfinished;
        }
        loop {
            if broker.work.is_done() || piece.len() >= PIECE_BYTES_MAX {
                return Progress::Unfinished;
            }
            if !self.take(broker, piece) {
                break;
            }
        }
        if !self.give_back(broker) {
            return Progress::Unfinished;
        }
        self.writer.end(piece);
        Progress::Finished
    }

    /// Whoever asked is gone: what is held goes back as it was, whatever was to become of it.
    fn abandon(&mut self, broker: &mut Broker) {
        for unsettled in self.held.drain(..).skip(std::mem::take(&mut self.at)) {
            broker.requeue(&unsettled);
        }
        self.left = 0;
    }
}
