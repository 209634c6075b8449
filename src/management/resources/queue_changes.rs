//! How are queues made, deleted and emptied?

use serde_json::json;

use crate::amqp::Name;
use crate::broker::arguments::QueueTraits;
use crate::broker::{Broker, QueueKey, Subject};
use crate::management::call::{Answer, Call, Context, Durable, Outcome, Progress, Work};
use crate::management::response::Response;
use crate::management::{body, json, refusal};

/// What is to find a queue as if all deliveries that are possible had been made lets so many turns
/// pass for that, and no more: consumers that take everything at once leave nothing else to see.
const TURNS_MAX: u8 = 20;

/// Lets a queue's consumers have what they wait for first.
#[derive(Default)]
pub struct Courtesy {
    turns: u8,
}

impl Courtesy {
    /// Whether to come again in the next turn.
    pub fn waits(&mut self, broker: &Broker, key: Option<QueueKey>) -> bool {
        self.turns += 1;
        self.turns <= TURNS_MAX && key.is_some_and(|key| broker.queues().can_deliver(key))
    }
}

/// Makes a queue, or finds that it is there as it is wanted.
pub fn put(call: &mut Call<'_, '_>) -> Outcome {
    let subject = call.subject(0)?;
    let name = call.new_name(1)?;
    let body = json::object(&call.request.body)?;
    let node = body::text(&body, "node")?;
    if let Some(other) = node.filter(|node| *node != call.context.node.identity().node_name) {
        let text = format!("Node {other} could not be contacted");
        return Err(Response::bad_request(&text));
    }
    let arguments = body::arguments(&body)?;
    let traits = QueueTraits {
        durable: body::flag(&body, "durable")?,
        exclusive: false,
        auto_delete: body::flag(&body, "auto_delete")?,
        arguments: arguments.table(),
    };
    let broker = &mut call.context.broker;
    let found = broker.topology().queue_named(subject.vhost, &name);
    let is_new = found.is_none_or(|key| broker.queues().is_leaving(key));
    let declared = broker.declare_queue(&subject, &name, false, &traits);
    declared.map_err(|error| refusal::of_change(&error))?;
    Ok(Answer::OnceDurable(Response::empty(if is_new { 201 } else { 204 })))
}

/// Deletes a queue, perhaps only if it is empty or nobody uses it.
pub fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let (subject, name) = existing(call)?;
    let (if_unused, if_empty) = (call.has_flag("if-unused"), call.has_flag("if-empty"));
    let courtesy = Courtesy::default();
    Ok(Answer::Later(Box::new(Delete { subject, name, if_unused, if_empty, courtesy })))
}

/// Drops all ready messages.
pub fn purge(call: &mut Call<'_, '_>) -> Outcome {
    let (subject, name) = existing(call)?;
    Ok(Answer::Later(Box::new(Purge { subject, name, courtesy: Courtesy::default() })))
}

/// Mirrors are synchronised, if there are any.
pub fn act(call: &mut Call<'_, '_>) -> Outcome {
    existing(call)?;
    let body = json::object(&call.request.body)?;
    body::require(&body, &["action"])?;
    match body.get("action").and_then(serde_json::Value::as_str) {
        Some("sync" | "cancel_sync") => Ok(Response::empty(204).into()),
        Some(_) | None => Err(body::refuse(&json!(["unknown", body["action"]]))),
    }
}

/// The queue that the path names.
fn existing(call: &Call<'_, '_>) -> Result<(Subject, Name), Response> {
    call.vhost(0)?;
    let (subject, name) = (call.subject(0)?, call.part(1));
    let broker = &call.context.broker;
    let found = broker.topology().queue_named(subject.vhost, name);
    match found.filter(|&key| !broker.queues().is_leaving(key)) {
        Some(_) => Ok((subject, Name::from(name))),
        None => Err(Response::not_found()),
    }
}

struct Delete {
    subject: Subject,
    name: Name,
    if_unused: bool,
    if_empty: bool,
    courtesy: Courtesy,
}

impl Work for Delete {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut context.broker;
        let key = broker.topology().queue_named(self.subject.vhost, &self.name);
        if self.if_empty && self.courtesy.waits(broker, key) {
            return Progress::Unfinished;
        }
        match broker.delete_queue(&self.subject, &self.name, self.if_unused, self.if_empty) {
            Ok(Some(_)) => Progress::Once(Durable::changes(broker), Response::empty(204)),
            Ok(None) => Progress::Unfinished,
            Err(error) => Progress::Instead(refusal::of_change(&error)),
        }
    }
}

struct Purge {
    subject: Subject,
    name: Name,
    courtesy: Courtesy,
}

impl Work for Purge {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut context.broker;
        let key = broker.topology().queue_named(self.subject.vhost, &self.name);
        if self.courtesy.waits(broker, key) {
            return Progress::Unfinished;
        }
        match broker.purge_queue(&self.subject, &self.name) {
            Ok((_, line)) => Progress::Once(line.map(Durable::Discarded), Response::empty(204)),
            Err(error) => Progress::Instead(refusal::of_change(&error)),
        }
    }
}
