//! Which messages are in a queue, and where are they to go? What no verb of rabbitmqctl does.

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::http::{Method, Request};
use crate::output::Column;
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Objects);

const SOURCE: &[Argument] = &[("<queue>", "the queue that they are in")];

/// How messages are chosen, and where they go.
const TRANSFER: &[&str] =
    &["ids", "count", "all", "to-queue", "to-exchange", "routing-key", "to-origin"];

/// A move of very many messages takes its time.
const SECONDS: u64 = 600;

/// The broker takes so many ids in one request, and more of them.
const IDS_PER_REQUEST: usize = 10_000;

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "browse_queue",
        arguments: &[("<queue>", "the queue")],
        options: &["count", "from", "last", "contains", "header", "routing-key"],
        columns: Some(&MESSAGES),
        summary: "Shows messages of a queue and leaves them as they are",
        run: browse_queue,
        ..ROW
    },
    Verb {
        name: "move_messages",
        arguments: SOURCE,
        options: TRANSFER,
        seconds: SECONDS,
        summary: "Moves messages to another queue, to an exchange, or to where they came from",
        run: move_messages,
        ..ROW
    },
    Verb {
        name: "copy_messages",
        arguments: SOURCE,
        options: TRANSFER,
        seconds: SECONDS,
        summary: "Copies messages to another queue, to an exchange, or to where they came from",
        run: copy_messages,
        ..ROW
    },
    Verb {
        name: "delete_messages",
        arguments: SOURCE,
        options: &["ids"],
        seconds: SECONDS,
        summary: "Deletes messages, each by its id",
        run: delete_messages,
        ..ROW
    },
    Verb {
        name: "requeue_unacked",
        arguments: &[("<queue>", "the queue that gets them back")],
        options: &["consumer-tag", "channel", "all"],
        summary: "Cancels a stuck consumer, or all that have messages, and puts these back",
        run: requeue_unacked,
        ..ROW
    },
];

static MESSAGES: Columns = Columns {
    all: &[
        Column::plain("position"),
        Column::plain("id"),
        Column::plain("age_ms"),
        Column::plain("redelivered"),
        Column::plain("exchange"),
        Column::plain("routing_key"),
        Column::plain("payload_bytes"),
        Column::plain("payload"),
    ],
    usual: "",
};

fn browse_queue(session: &mut Session<'_>) -> Result<(), Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    let banner = format!("Messages of queue '{queue}' in vhost '{vhost}' ...");
    session.banner(&banner)?;
    let mut request = Request::get(&["queues", vhost, queue, "browse"]);
    for (option, name) in [
        ("count", "count"),
        ("from", "from"),
        ("contains", "contains"),
        ("header", "header"),
        ("routing-key", "routing_key"),
    ] {
        if let Some(text) = session.given.text(option) {
            request = request.query(name, text);
        }
    }
    if session.given.flag("last") {
        request = request.query("last", "true");
    }
    let found = session.ask(&request)?;
    let messages = found.as_array().cloned().unwrap_or_default();
    session.rows(&Listing::stream(banner, &[]), &messages)
}

fn move_messages(session: &mut Session<'_>) -> Result<(), Failure> {
    transfer(session, "move", "Moving", "moved")
}

fn copy_messages(session: &mut Session<'_>) -> Result<(), Failure> {
    transfer(session, "copy", "Copying", "copied")
}

fn transfer(
    session: &mut Session<'_>,
    action: &str,
    doing: &str,
    done: &str,
) -> Result<(), Failure> {
    let (to, target) = target(session)?;
    let bodies = chosen(session)?.into_iter().map(|mut body| {
        body.insert("to".to_owned(), to.clone());
        Value::Object(body)
    });
    let bodies: Vec<Value> = bodies.collect();
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    let banner = format!("{doing} messages of queue '{queue}' in vhost '{vhost}' {target} ...");
    session.banner(&banner)?;
    let total = ask_all(session, action, &bodies)?;
    let mut text = tell(&total, &[done, "missing", "unroutable", "skipped"]);
    let reasons = total.get("reasons").and_then(Value::as_object);
    let reasons = reasons.into_iter().flatten().map(|(why, count)| format!("{why}: {count}"));
    let reasons: Vec<String> = reasons.collect();
    if !reasons.is_empty() {
        text.push_str(&format!(" ({})", reasons.join(", ")));
    }
    session.done(Some(&text))
}

fn delete_messages(session: &mut Session<'_>) -> Result<(), Failure> {
    let Some(ids) = session.given.text("ids") else {
        return Err(Failure::usage("--ids has to say which messages are deleted"));
    };
    let bodies: Vec<Value> = by_ids(ids).into_iter().map(Value::Object).collect();
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Deleting messages of queue '{queue}' in vhost '{vhost}' ..."))?;
    let total = ask_all(session, "delete", &bodies)?;
    session.done(Some(&tell(&total, &["deleted", "missing"])))
}

fn requeue_unacked(session: &mut Session<'_>) -> Result<(), Failure> {
    let given = session.given;
    let wanted = (given.text("consumer-tag"), given.text("channel"), given.flag("all"));
    let (body, whose) = match wanted {
        (Some(tag), Some(channel), false) => (
            json!({ "consumer_tag": tag, "channel": channel }),
            format!("consumer '{tag}' on channel '{channel}' has"),
        ),
        (None, None, true) => (json!({ "all_unacked": true }), "consumers have".to_owned()),
        _ => {
            let text = "either --consumer-tag and --channel, or --all has to be there";
            return Err(Failure::usage(text));
        }
    };
    let (queue, vhost) = (given.argument(0), given.vhost());
    session.banner(&format!(
        "Putting back to queue '{queue}' in vhost '{vhost}' what its {whose} ..."
    ))?;
    let total = ask_all(session, "requeue", &[body])?;
    session.done(Some(&tell(&total, &["requeued"])))
}

/// Where messages go, and how that is said.
fn target(session: &Session<'_>) -> Result<(Value, String), Failure> {
    let given = session.given;
    let key = given.text("routing-key");
    let name = |option| match given.text(option) {
        Some("") => Err(Failure::bad_argument(format!("--{option} has to be a name"))),
        other => Ok(other),
    };
    match (name("to-queue")?, name("to-exchange")?, given.flag("to-origin")) {
        (Some(queue), None, false) if key.is_none() => {
            Ok((json!({ "queue": queue }), format!("to queue '{queue}'")))
        }
        (None, Some(exchange), false) => {
            let mut to = json!({ "exchange": exchange });
            if let Some(key) = key {
                to["routing_key"] = key.into();
            }
            Ok((to, format!("to exchange '{exchange}'")))
        }
        (None, None, true) if key.is_none() => {
            Ok((json!("origin"), "to where they came from".to_owned()))
        }
        _ => Err(Failure::usage(
            "exactly one of --to-queue, --to-exchange (with or without --routing-key) and \
             --to-origin has to be there",
        )),
    }
}

/// What one request after the other says of the messages that are meant.
fn chosen(session: &Session<'_>) -> Result<Vec<Map<String, Value>>, Failure> {
    let given = session.given;
    let one = |name: &str, value: Value| vec![Map::from_iter([(name.to_owned(), value)])];
    match (given.text("ids"), given.number("count"), given.flag("all")) {
        (Some(ids), None, false) => Ok(by_ids(ids)),
        (None, Some(count), false) => Ok(one("count", count.into())),
        (None, None, true) => Ok(one("all", true.into())),
        _ => Err(Failure::usage("exactly one of --ids, --count and --all has to be there")),
    }
}

fn by_ids(ids: &str) -> Vec<Map<String, Value>> {
    let ids: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    let parts = ids.chunks(IDS_PER_REQUEST);
    parts.map(|ids| Map::from_iter([("ids".to_owned(), json!(ids))])).collect()
}

/// Asks for one after the other; what all of them came to.
fn ask_all(session: &mut Session<'_>, action: &str, bodies: &[Value]) -> Result<Value, Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    let mut total = json!({});
    for body in bodies {
        let segments = ["queues", vhost, queue, "messages", action];
        let answer = session.ask(&Request::new(Method::Post, &segments).json(body))?;
        add(&mut total, &answer);
    }
    Ok(total)
}

/// Adds the numbers of an answer, also those further in.
fn add(total: &mut Value, answer: &Value) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value.as_u64() {
            Some(count) => {
                let before = total.get(name).and_then(Value::as_u64).unwrap_or(0);
                total[name] = before.saturating_add(count).into();
            }
            None if value.is_object() => {
                if total.get(name).is_none() {
                    total[name] = json!({});
                }
                add(&mut total[name], value);
            }
            None => {}
        }
    }
}

fn tell(total: &Value, names: &[&str]) -> String {
    let count = |name: &str| total.get(name).and_then(Value::as_u64).unwrap_or(0);
    let counts = names.iter().map(|name| format!("{} {name}", count(name)));
    counts.collect::<Vec<_>>().join(", ")
}
