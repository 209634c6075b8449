//! How are queues, exchanges and bindings made, and messages sent and seen? As with rabbitmqadmin:
//! `declare queue name=orders durable=true`.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Objects);
const KIND: Argument = ("<kind>", "queue, exchange or binding");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "declare",
        arguments: &[
            KIND,
            (
                "[<name>=<value> ...]",
                "queue: name, durable, auto_delete, arguments; exchange: name, type, durable, \
                 auto_delete, internal, arguments; binding: source, destination, \
                 destination_type, routing_key, arguments",
            ),
        ],
        summary: "Declares a queue, exchange or binding: declare queue name=orders",
        run: declare,
        ..ROW
    },
    Verb {
        name: "delete",
        arguments: &[
            KIND,
            (
                "[<name>=<value> ...]",
                "queue: name; exchange: name; binding: source, destination, destination_type, \
                 properties_key",
            ),
        ],
        summary: "Deletes a queue, exchange or binding: delete exchange name=orders",
        run: delete,
        ..ROW
    },
    Verb {
        name: "get",
        arguments: &[
            ("<queue=name>", "the queue"),
            ("[<name>=<value> ...]", "count, ackmode (ack_requeue_true), encoding"),
        ],
        columns: Some(&MESSAGES),
        summary: "Shows messages at the head of a queue: get queue=orders count=10",
        run: get,
        ..ROW
    },
    Verb {
        name: "publish",
        arguments: &[
            ("<routing_key=key>", "the routing key"),
            (
                "[<name>=<value> ...]",
                "exchange, payload (from standard input if it is not given), payload_encoding, \
                 properties",
            ),
        ],
        summary: "Publishes a message: publish routing_key=orders payload=hello",
        run: publish,
        ..ROW
    },
];

static MESSAGES: Columns = Columns {
    all: &[
        Column::plain("routing_key"),
        Column::plain("exchange"),
        Column::plain("message_count"),
        Column::plain("payload"),
        Column::plain("payload_bytes"),
        Column::plain("payload_encoding"),
        Column { name: "properties", from: "properties", show: Show::Json },
        Column::plain("redelivered"),
    ],
    usual: "",
};

fn declare(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let words = &session.given.arguments()[1..];
    let kind = session.given.argument(0);
    let request = match kind {
        "queue" => {
            let pairs = Pairs::read(words, &["name", "durable", "auto_delete", "arguments"])?;
            Request::new(Method::Put, &["queues", vhost, pairs.needed("name")?])
                .json(&pairs.body(&["name"], true)?.into())
        }
        "exchange" => {
            let known = &["name", "type", "durable", "auto_delete", "internal", "arguments"];
            let pairs = Pairs::read(words, known)?;
            pairs.needed("type")?;
            Request::new(Method::Put, &["exchanges", vhost, pairs.needed("name")?])
                .json(&pairs.body(&["name"], true)?.into())
        }
        "binding" => {
            let ends = &["source", "destination", "destination_type"];
            let pairs = Pairs::read(words, &[ends, &["routing_key", "arguments"][..]].concat())?;
            let [e, source, kind, destination] = pairs.ends()?;
            let mut body = pairs.body(ends, false)?;
            body.entry("routing_key").or_insert(json!(""));
            Request::new(Method::Post, &["bindings", vhost, e, source, kind, destination])
                .json(&body.into())
        }
        _ => return Err(strange(kind)),
    };
    session.ask_in_vhost(&request)?;
    session.remark(&format!("{kind} declared"))
}

fn delete(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let words = &session.given.arguments()[1..];
    let kind = session.given.argument(0);
    let request = match kind {
        "queue" | "exchange" => {
            let pairs = Pairs::read(words, &["name"])?;
            let place = if kind == "queue" { "queues" } else { "exchanges" };
            Request::new(Method::Delete, &[place, vhost, pairs.needed("name")?])
        }
        "binding" => {
            let known = &["source", "destination", "destination_type", "properties_key"];
            let pairs = Pairs::read(words, known)?;
            let [e, source, kind, destination] = pairs.ends()?;
            // What the API calls a binding without a routing key and arguments.
            let key = pairs.text("properties_key").unwrap_or("~");
            Request::new(Method::Delete, &["bindings", vhost, e, source, kind, destination, key])
        }
        _ => return Err(strange(kind)),
    };
    match session.find(&request)? {
        Some(_) => session.remark(&format!("{kind} deleted")),
        None => Err(session.missing(Failure::error(Exit::Unavailable, "not_found"))),
    }
}

fn publish(session: &mut Session<'_>) -> Result<(), Failure> {
    let known = &["routing_key", "exchange", "payload", "payload_encoding", "properties"];
    let pairs = Pairs::read(session.given.arguments(), known)?;
    let payload = match pairs.text("payload") {
        Some(text) => text.to_owned(),
        None => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map_err(|error| {
                Failure::error(Exit::DataError, format!("cannot read the payload: {error}"))
            })?;
            text
        }
    };
    let body = json!({
        "routing_key": pairs.needed("routing_key")?,
        "payload": payload,
        "payload_encoding": pairs.text("payload_encoding").unwrap_or("string"),
        "properties": pairs.json("properties")?.unwrap_or_else(|| json!({})),
    });
    let exchange = exchange(pairs.text("exchange").unwrap_or_default());
    let segments = &["exchanges", session.given.vhost(), exchange, "publish"];
    let request = Request::new(Method::Post, segments).json(&body);
    let Some(answer) = session.find(&request)? else {
        return Err(session.missing(Failure::error(Exit::Unavailable, "not_found")));
    };
    let routed = answer["routed"] == true;
    session.remark(if routed { "Message published" } else { "Message published but NOT routed" })
}

fn get(session: &mut Session<'_>) -> Result<(), Failure> {
    let known = &["queue", "count", "ackmode", "encoding"];
    let pairs = Pairs::read(session.given.arguments(), known)?;
    let count = pairs.text("count").unwrap_or("1");
    let count: u64 = count.parse().map_err(|_| {
        Failure::bad_argument(format!("Bad argument: count is a number, not '{count}'"))
    })?;
    let body = json!({
        "count": count,
        "ackmode": pairs.text("ackmode").unwrap_or("ack_requeue_true"),
        "encoding": pairs.text("encoding").unwrap_or("auto"),
    });
    let segments = &["queues", session.given.vhost(), pairs.needed("queue")?, "get"];
    let Some(found) = session.find(&Request::new(Method::Post, segments).json(&body))? else {
        return Err(session.missing(Failure::error(Exit::Unavailable, "not_found")));
    };
    let messages = found.as_array().map(Vec::as_slice).unwrap_or_default();
    session.rows(&Listing::stream(String::new(), &[]), messages)
}

/// `name=value`, many times.
struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Pairs<'a> {
    fn read(words: &'a [String], known: &[&str]) -> Result<Pairs<'a>, Failure> {
        let pair = |word: &'a String| match word.split_once('=') {
            Some((name, value)) if known.contains(&name) => Ok((name, value)),
            _ => Err(Failure::usage(format!(
                "'{word}' is not name=value with one of the names {}",
                known.join(", ")
            ))),
        };
        words.iter().map(pair).collect::<Result<_, _>>().map(Pairs)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rfind(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn needed(&self, name: &str) -> Result<&'a str, Failure> {
        self.text(name).ok_or_else(|| Failure::usage(format!("{name}=... is missing")))
    }

    fn json(&self, name: &str) -> Result<Option<Value>, Failure> {
        let parsed = self.text(name).map(serde_json::from_str).transpose();
        parsed.map_err(|error| Failure::bad_argument(format!("Bad argument: {name}: {error}")))
    }

    /// The body of a declaration: everything but what is in the path; flags and tables as such.
    fn body(&self, in_path: &[&str], durable: bool) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if durable {
            body.insert("durable".to_owned(), json!(true));
        }
        for (name, value) in self.0.iter().filter(|(name, _)| !in_path.contains(name)) {
            let value = match *name {
                "arguments" => self.json("arguments")?.unwrap_or_default(),
                "durable" | "auto_delete" | "internal" => json!(flag(name, value)?),
                _ => json!(value),
            };
            body.insert((*name).to_owned(), value);
        }
        Ok(body)
    }

    /// The part of a binding's path that says from where to where.
    fn ends(&self) -> Result<[&'a str; 4], Failure> {
        let kind = match self.text("destination_type") {
            None | Some("queue") => "q",
            Some("exchange") => "e",
            Some(_) => {
                let text = "Bad argument: destination_type is queue or exchange";
                return Err(Failure::bad_argument(text));
            }
        };
        Ok(["e", exchange(self.needed("source")?), kind, self.needed("destination")?])
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Failure> {
    value
        .parse()
        .map_err(|_| Failure::bad_argument(format!("Bad argument: {name} is true or false")))
}

/// What the API calls an exchange; the default one has no name, and a path needs one.
fn exchange(name: &str) -> &str {
    if name.is_empty() { "amq.default" } else { name }
}

fn strange(kind: &str) -> Failure {
    Failure::usage(format!("'{kind}' is not one of queue, exchange, binding"))
}
