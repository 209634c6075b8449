//! How does a message come in over HTTP?
//!
//! By the way of every publish: with all checks, not while publishers are blocked, and answered
//! once it is durable if it is persistent.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::payload::{NoJson, PIECE_BYTES, Search, read_piece};
use crate::amqp::{AmqpError, Name, PropertyList, TableBuf};
use crate::broker::requests::checks::check_size;
use crate::broker::requests::messages::Outcome as Published;
use crate::broker::{Body, Broker, Content, LargeBody, Subject};
use crate::management::body;
use crate::management::call::{Answer, Call, Context, Durable, Outcome, Progress, Work};
use crate::management::json as shown;
use crate::management::refusal;
use crate::management::response::Response;

/// Bodies of so many bytes and more go to the log in parts.
const LARGE_BYTES_MIN: usize = 64 * 1024;

/// So much of one goes there in one turn.
const BYTES_PER_TURN: usize = 512 * 1024;

/// The most bytes of a text among the properties, and of a routing key.
const SHORT_BYTES_MAX: usize = 255;

/// A request of more bytes is read in pieces.
const READ_AT_ONCE_MAX: usize = 128 * 1024;

/// Publishes to the exchange of the path.
pub fn publish(call: &mut Call<'_, '_>) -> Outcome {
    if call.context.broker.topology().vhost_named(call.part(0)).is_none() {
        return Err(Response::not_authorised("Access refused."));
    }
    let target = Target {
        subject: call.subject(0)?,
        exchange: Name::from(call.exchange_name(1)),
        body_bytes_max: call.context.node.identity().message_bytes_max,
    };
    if call.request.body.len() <= READ_AT_ONCE_MAX {
        let mut request = shown::object(&call.request.body)?;
        let body = payload(&mut request)?;
        return Ok(Answer::Later(Box::new(target.message(&request, body)?)));
    }
    Ok(Answer::LaterOf(Box::new(move |request| Box::new(Reading::new(request, target)))))
}

/// Where a message is to go, and on whose behalf.
#[derive(Clone)]
struct Target {
    subject: Subject,
    exchange: Name,
    body_bytes_max: u64,
}

impl Target {
    /// The message that a request asks for, with a body that was read before.
    fn message(&self, request: &Map<String, Value>, body: Vec<u8>) -> Result<Publish, Response> {
        let routing_key = body::text(request, "routing_key")?.unwrap_or_default();
        check_short("routing_key", routing_key)?;
        let properties = properties(request)?;
        let size = check_size(body.len() as u64, self.body_bytes_max);
        size.map_err(|error| refusal::of_publish(&error))?;
        let Self { subject, exchange, .. } = self.clone();
        let routing_key = Name::from(routing_key);
        Ok(Publish { subject, exchange, routing_key, properties, body, large: None, at: 0 })
    }
}

/// A long request that is being read, and then the message that it asks for.
struct Reading {
    request: Vec<u8>,
    target: Target,
    phase: Phase,
}

/// What is done with a long request.
enum Phase {
    /// Its payload is looked for.
    Searching(Search),
    /// Its payload, of which this stands where, is read from so far on; the rest was read.
    Payload(Range<usize>, Map<String, Value>, Decoder),
    /// It is published.
    Publishing(Box<Publish>),
}

/// What was read of a payload.
struct Decoder {
    is_base64: bool,
    /// What is no whole group of base64 yet.
    left: String,
    body: Vec<u8>,
}

impl Decoder {
    /// Takes the next piece; `false` when it is not what it should be.
    fn take(&mut self, piece: &str, is_last: bool) -> bool {
        if !self.is_base64 {
            self.body.extend_from_slice(piece.as_bytes());
            return true;
        }
        self.left.push_str(piece);
        let mut whole = if is_last { self.left.len() } else { self.left.len() / 4 * 4 };
        while !self.left.is_char_boundary(whole) {
            whole -= 1;
        }
        let rest = self.left.split_off(whole);
        let group = std::mem::replace(&mut self.left, rest);
        // Padding ends a text.
        let is_good = is_last || !group.ends_with('=');
        is_good && STANDARD.decode_vec(group, &mut self.body).is_ok()
    }
}

impl Reading {
    fn new(request: Vec<u8>, target: Target) -> Self {
        Self { request, target, phase: Phase::Searching(Search::default()) }
    }

    /// Reads the next piece.
    fn read(&mut self) -> Result<(), Response> {
        let no_json = |_: NoJson| Response::bad_request("not_json");
        match &mut self.phase {
            Phase::Searching(search) => {
                if search.go_on(&self.request, "payload") {
                    let found = search.found();
                    self.phase = self.without_payload(found)?;
                }
            }
            Phase::Payload(range, rest, decoder) => {
                let (piece, bytes) = read_piece(&self.request[range.clone()]).map_err(no_json)?;
                range.start += bytes;
                let is_last = range.start >= range.end;
                if !decoder.take(&piece, is_last) {
                    let beginning: String = piece.chars().take(40).collect();
                    return Err(body::refuse(&json!(["not_base64", beginning])));
                }
                if is_last {
                    let body = std::mem::take(&mut decoder.body);
                    let message = self.target.message(rest, body)?;
                    self.request = Vec::new();
                    self.phase = Phase::Publishing(Box::new(message));
                }
            }
            Phase::Publishing(_) => {}
        }
        Ok(())
    }

    /// Reads what there is besides the payload, which has to be short.
    fn without_payload(&self, found: Option<Range<usize>>) -> Result<Phase, Response> {
        let range = found.ok_or_else(|| Response::bad_request("payload_not_string"))?;
        let [before, behind] = [&self.request[..range.start], &self.request[range.end..]];
        if before.len() + behind.len() > READ_AT_ONCE_MAX {
            let text =
                format!("without its payload a message has at most {READ_AT_ONCE_MAX} bytes");
            return Err(Response::bad_request(&text));
        }
        let mut rest = shown::object(&[before, behind].concat())?;
        // The checks of a short one.
        payload(&mut rest)?;
        let is_base64 = rest.get("payload_encoding").is_some_and(|encoding| encoding == "base64");
        let decoder = Decoder { is_base64, left: String::new(), body: Vec::new() };
        Ok(Phase::Payload(range, rest, decoder))
    }
}

impl Work for Reading {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        while !context.broker.work.is_done() {
            if let Phase::Publishing(message) = &mut self.phase {
                return message.go_on(context, piece);
            }
            // Looked at byte by byte, and more than once.
            context.broker.work.spend_bytes(4 * PIECE_BYTES as u64);
            if let Err(response) = self.read() {
                return Progress::Instead(response);
            }
        }
        Progress::Unfinished
    }

    fn abandon(&mut self, broker: &mut Broker) {
        if let Phase::Publishing(message) = &mut self.phase {
            message.abandon(broker);
        }
    }
}

fn check_short(field: &str, text: &str) -> Result<(), Response> {
    if text.len() > SHORT_BYTES_MAX {
        return Err(Response::bad_request(&format!("{field} has at most 255 bytes")));
    }
    Ok(())
}

/// The body that is to be published, out of a request that has all of its fields.
fn payload(request: &mut Map<String, Value>) -> Result<Vec<u8>, Response> {
    body::require(request, &["routing_key", "properties", "payload", "payload_encoding"])?;
    let Some(Value::String(payload)) = request.remove("payload") else {
        return Err(Response::bad_request("payload_not_string"));
    };
    match request.get("payload_encoding") {
        Some(Value::String(encoding)) if encoding == "string" => Ok(payload.into_bytes()),
        Some(Value::String(encoding)) if encoding == "base64" => {
            let decoded = STANDARD.decode(&payload);
            decoded.map_err(|_| body::refuse(&json!(["not_base64", payload])))
        }
        other => Err(body::refuse(&json!(["unsupported_encoding", other]))),
    }
}

/// The property bytes that a request's `properties` stand for. What RabbitMQ does not know there
/// means nothing.
fn properties(request: &Map<String, Value>) -> Result<Vec<u8>, Response> {
    let nothing = Map::new();
    let given = match request.get("properties") {
        Some(Value::Object(given)) => given,
        Some(Value::Array(values)) if values.is_empty() => &nothing,
        Some(_) | None => return Err(Response::bad_request("properties has to be an object")),
    };
    let headers = match given.contains_key("headers") {
        true => Some(body::table(given, "headers", body::HEADERS_BYTES_MAX)?),
        false => None,
    };
    let text = |field: &str| -> Result<Option<&[u8]>, Response> {
        let text = body::text(given, field)?;
        text.map(|text| check_short(field, text)).transpose()?;
        Ok(text.map(str::as_bytes))
    };
    let number = |field: &str| match given.get(field) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(body::refuse(&json!(["not_int", field]))),
        },
    };
    let small = |field: &str| -> Result<Option<u8>, Response> {
        let wrong = |_| body::refuse(&json!(["not_int", field]));
        number(field)?.map(u8::try_from).transpose().map_err(wrong)
    };
    let delivery_mode = small("delivery_mode")?;
    if let Some(mode) = delivery_mode.filter(|mode| ![1, 2].contains(mode)) {
        let text = "406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,";
        return Err(Response::bad_request(&format!("{text}{mode}}}")));
    }
    let list = PropertyList {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: headers.as_ref().map(TableBuf::table),
        delivery_mode,
        priority: small("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp: number("timestamp")?,
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    };
    let mut bytes = Vec::new();
    list.encode(&mut bytes);
    Ok(bytes)
}

struct Publish {
    subject: Subject,
    exchange: Name,
    routing_key: Name,
    properties: Vec<u8>,
    body: Vec<u8>,
    /// What is in the log of a large body, and how much of it that is.
    large: Option<LargeBody>,
    at: usize,
}

impl Publish {
    fn content<'a, B>(&'a self, body: B) -> Content<'a, B> {
        let Self { exchange, routing_key, properties, .. } = self;
        Content { exchange, routing_key, properties, body }
    }

    /// Brings more of a large body to the log; whether all of it is there.
    fn write_body(&mut self, broker: &mut Broker) -> Result<bool, AmqpError> {
        if self.body.len() < LARGE_BYTES_MIN {
            return Ok(true);
        }
        if self.large.is_none() {
            let durable = broker.belongs_on_disk(&self.subject, &self.content(()))?;
            self.large = Some(broker.begin_body(durable, self.body.len() as u64));
        }
        let end = self.body.len().min(self.at + BYTES_PER_TURN);
        if let Some(large) = &mut self.large {
            for part in self.body[self.at..end].chunks(LARGE_BYTES_MIN) {
                broker.add_to_body(large, part);
                broker.work.spend_bytes(part.len() as u64);
            }
        }
        self.at = end;
        Ok(end == self.body.len())
    }

    fn store(&mut self, broker: &mut Broker) -> Result<Progress, AmqpError> {
        if !self.write_body(broker)? {
            return Ok(Progress::Unfinished);
        }
        let body = match &self.large {
            Some(large) => Body::Large(large),
            None => Body::Inline(&self.body),
        };
        let answer = |routed: bool| Response::json(&json!({ "routed": routed }));
        Ok(match broker.publish(&self.subject, &self.content(body))? {
            Published::NoRoom => Progress::AwaitsRoom,
            Published::Unroutable => Progress::Instead(answer(false)),
            Published::Routed(durable) => {
                Progress::Once(durable.map(Durable::Messages), answer(true))
            }
        })
    }
}

impl Work for Publish {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut context.broker;
        if !broker.has_room() {
            return Progress::AwaitsRoom;
        }
        let progress = self.store(broker);
        let progress =
            progress.unwrap_or_else(|error| Progress::Instead(refusal::of_publish(&error)));
        if !matches!(progress, Progress::AwaitsRoom | Progress::Unfinished) {
            self.abandon(broker);
        }
        progress
    }

    /// The message keeps its body from now on, or nobody wants it.
    fn abandon(&mut self, broker: &mut Broker) {
        if let Some(large) = self.large.take() {
            broker.abandon_body(large);
        }
    }
}
