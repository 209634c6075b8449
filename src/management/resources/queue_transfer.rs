//! Which messages of a queue go somewhere else: moved, copied, or for good?
//!
//! Nothing goes without being named, and nothing without a target that is there. A request may take
//! many turns; what was moved when its client leaves, or its target goes, stays moved, and each
//! message is at all times in one queue or the other.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::queue_changes::Courtesy;
use super::queue_messages::emptiable;
use crate::amqp::{AmqpError, Name};
use crate::broker::{
    Broker, MessageId, Original, Place, QueueKey, Subject, Target, Transferred, Why,
};
use crate::management::call::{Answer, Call, Context, Durable, Outcome, Progress, Work};
use crate::management::definitions::fields::NAME_BYTES_MAX;
use crate::management::response::Response;
use crate::management::{body, json, refusal};

/// One request names at most so many messages.
const IDS_MAX: usize = 20_000;

/// Moves messages: each leaves the queue once its target has it.
pub fn move_messages(call: &mut Call<'_, '_>) -> Outcome {
    transfer(call, Original::Goes)
}

/// Copies messages.
pub fn copy_messages(call: &mut Call<'_, '_>) -> Outcome {
    transfer(call, Original::Stays)
}

fn transfer(call: &mut Call<'_, '_>, original: Original) -> Outcome {
    let request = json::object(&call.request.body)?;
    body::allow(&request, &["ids", "count", "all", "to"])?;
    let target = target(&request)?;
    let chosen = Chosen::of(&request, true, call.context.broker)?;
    let (source, subject) = (emptiable(call)?, call.subject(0)?);
    let checked = call.context.broker.check_target(&subject, source, &target);
    checked.map_err(|error| refusal::of_change(&error))?;
    let (tally, courtesy) = (Tally::default(), Courtesy::default());
    let work = Transfer { subject, source, target, original, chosen, tally, courtesy };
    Ok(Answer::Later(Box::new(work)))
}

/// Drops messages, each by its name.
pub fn delete_messages(call: &mut Call<'_, '_>) -> Outcome {
    let request = json::object(&call.request.body)?;
    body::allow(&request, &["ids"])?;
    let chosen = Chosen::of(&request, false, call.context.broker)?;
    let (tally, courtesy) = (Tally::default(), Courtesy::default());
    Ok(Answer::Later(Box::new(Delete { source: emptiable(call)?, chosen, tally, courtesy })))
}

/// Where messages go, as `to` says.
fn target(request: &Map<String, Value>) -> Result<Target, Response> {
    let wrong = || {
        let text = "to has to be {\"queue\": NAME}, {\"exchange\": NAME} or \"origin\"";
        Response::bad_request(text)
    };
    let to = match request.get("to") {
        Some(Value::String(text)) if text == "origin" => return Ok(Target::Origin),
        Some(Value::Object(to)) => to,
        Some(_) | None => return Err(wrong()),
    };
    let known = |field: &String| ["queue", "exchange", "routing_key"].contains(&field.as_str());
    if !to.keys().all(known) {
        return Err(wrong());
    }
    match (name(to, "queue")?, name(to, "exchange")?) {
        (Some(queue), None) if !to.contains_key("routing_key") => Ok(Target::Queue(queue)),
        (None, Some(exchange)) => {
            let routing_key = body::text(to, "routing_key")?.map(short).transpose()?;
            Ok(Target::Exchange { name: exchange, routing_key })
        }
        _ => Err(wrong()),
    }
}

/// A name, which nobody means when it is empty.
fn name(to: &Map<String, Value>, field: &str) -> Result<Option<Name>, Response> {
    match body::text(to, field)? {
        Some("") => Err(Response::bad_request(&format!("{field} is empty: it has to be a name"))),
        Some(text) => short(text).map(Some),
        None => Ok(None),
    }
}

fn short(text: &str) -> Result<Name, Response> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Response::bad_request("names and routing keys have at most 255 bytes"));
    }
    Ok(Name::from(text))
}

/// Which messages are meant, as far as they were not looked at.
enum Chosen {
    /// Those of these ids, each named once, from here on. What is no id is `None`.
    Ids(Vec<Option<MessageId>>, usize),
    /// So many from this place on.
    First { left: u64, place: Place },
}

impl Chosen {
    /// Reads which of `ids`, `count` and `all` there is, which has to be one.
    fn of(
        request: &Map<String, Value>,
        may_be_many: bool,
        broker: &Broker,
    ) -> Result<Self, Response> {
        let wrong = || {
            Response::bad_request(match may_be_many {
                true => {
                    "exactly one of ids (a list), count (a number) and all (true) has to be \
                         there"
                }
                false => "ids has to be there: a list of ids of messages",
            })
        };
        let ids = request.get("ids");
        let count = body::integer(request, "count")?;
        let all = body::flag(request, "all")?;
        let first = |left| {
            // What comes later is not meant: it may be what was just moved.
            Ok(Self::First { left, place: Place::first(broker.next_message_id()) })
        };
        match (ids, count, all) {
            (Some(Value::Array(ids)), None, false) if ids.len() > IDS_MAX => {
                let text = format!("ids has at most {IDS_MAX} of them: ask more than once");
                Err(Response::bad_request(&text))
            }
            (Some(Value::Array(ids)), None, false) => Ok(Self::Ids(each_once(ids), 0)),
            (None, Some(count), false) if may_be_many => {
                first(u64::try_from(count).map_err(|_| wrong())?)
            }
            (None, None, true) if may_be_many => first(u64::MAX),
            _ => Err(wrong()),
        }
    }
}

/// The ids of a list, in its order. What is no id stands for a message that is not there.
fn each_once(ids: &[Value]) -> Vec<Option<MessageId>> {
    let mut seen = HashSet::new();
    let id = |value: &Value| match value {
        Value::String(text) => text.parse().ok().map(MessageId),
        Value::Number(number) => number.as_u64().map(MessageId),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    ids.iter().map(id).filter(|id| id.is_none_or(|id| seen.insert(id))).collect()
}

/// What became of them.
#[derive(Default)]
struct Tally {
    done: u64,
    missing: u64,
    unroutable: u64,
    skipped: BTreeMap<Why, u64>,
}

impl Tally {
    fn note(&mut self, transferred: Transferred) {
        match transferred {
            Transferred::Done => self.done += 1,
            Transferred::Missing => self.missing += 1,
            Transferred::Unroutable => self.unroutable += 1,
            Transferred::Skipped(why) => *self.skipped.entry(why).or_default() += 1,
        }
    }

    fn shown(&self, done: &str) -> Value {
        let reasons = self.skipped.iter().map(|(why, count)| (why.name().into(), json!(count)));
        let reasons: Map<String, Value> = reasons.collect();
        json!({
            done: self.done,
            "missing": self.missing,
            "unroutable": self.unroutable,
            "skipped": self.skipped.values().sum::<u64>(),
            "reasons": reasons,
        })
    }

    /// The answer, once all that was done is durable.
    fn answer(&self, broker: &mut Broker, response: Response) -> Progress {
        if self.done == 0 {
            return Progress::Instead(response);
        }
        Progress::Once(Some(Durable::Change(broker.mark_change())), response)
    }
}

struct Transfer {
    subject: Subject,
    source: QueueKey,
    target: Target,
    original: Original,
    chosen: Chosen,
    tally: Tally,
    courtesy: Courtesy,
}

impl Transfer {
    fn verb(&self) -> &'static str {
        match self.original {
            Original::Goes => "moved",
            Original::Stays => "copied",
        }
    }

    /// Deals with the next message; `None`: there is no room for it now. `Some(false)`: it was the
    /// last.
    fn step(&mut self, broker: &mut Broker) -> Option<bool> {
        let (found, chosen) = match &self.chosen {
            Chosen::Ids(ids, at) => {
                let Some(id) = ids.get(*at) else {
                    return Some(false);
                };
                (id.and_then(|id| broker.find_ready(self.source, id)), None)
            }
            Chosen::First { left: 0, .. } => return Some(false),
            Chosen::First { left, place } => {
                let mut place = *place;
                let Some(next) = broker.next_ready(self.source, &mut place) else {
                    return Some(false);
                };
                (Some(next), Some(Chosen::First { left: left - 1, place }))
            }
        };
        let transferred = match found {
            None => {
                broker.work.spend(1);
                Transferred::Missing
            }
            Some(found) => {
                let Self { subject, source, target, original, .. } = self;
                broker.transfer(subject, *source, found, target, *original).ok()?
            }
        };
        self.tally.note(transferred);
        match (&mut self.chosen, chosen) {
            (Chosen::Ids(_, at), _) => *at += 1,
            (first, Some(next)) => *first = next,
            (Chosen::First { .. }, None) => {}
        }
        Some(true)
    }

    /// The target is gone, or closed to who asked: what is left stays.
    fn stop(&self, broker: &mut Broker, error: &AmqpError) -> Progress {
        let mut response = refusal::of_change(error);
        if self.tally.done > 0 {
            let mut shown = self.tally.shown(self.verb());
            shown["error"] = "stopped".into();
            shown["reason"] = error.text.clone().into();
            response = Response::with(response.status, &shown);
        }
        self.tally.answer(broker, response)
    }
}

impl Work for Transfer {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut *context.broker;
        if self.courtesy.waits(broker, Some(self.source)) {
            return Progress::Unfinished;
        }
        if let Err(error) = broker.check_target(&self.subject, self.source, &self.target) {
            return self.stop(broker, &error);
        }
        loop {
            if broker.work.is_done() {
                return Progress::Unfinished;
            }
            if !broker.has_room() {
                return Progress::AwaitsRoom;
            }
            match self.step(broker) {
                None => return Progress::AwaitsRoom,
                Some(true) => {}
                Some(false) => break,
            }
        }
        let response = Response::json(&self.tally.shown(self.verb()));
        self.tally.answer(broker, response)
    }
}

struct Delete {
    source: QueueKey,
    chosen: Chosen,
    tally: Tally,
    courtesy: Courtesy,
}

impl Work for Delete {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut *context.broker;
        if self.courtesy.waits(broker, Some(self.source)) {
            return Progress::Unfinished;
        }
        if let Chosen::Ids(ids, at) = &mut self.chosen {
            while let Some(id) = ids.get(*at) {
                if broker.work.is_done() {
                    return Progress::Unfinished;
                }
                broker.work.spend(1);
                let is_dropped = id.is_some_and(|id| broker.drop_ready(self.source, id));
                let Tally { done, missing, .. } = &mut self.tally;
                *(if is_dropped { done } else { missing }) += 1;
                *at += 1;
            }
        }
        let Tally { done, missing, .. } = self.tally;
        let response = Response::json(&json!({ "deleted": done, "missing": missing }));
        self.tally.answer(broker, response)
    }
}
