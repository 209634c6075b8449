//! How are things declared and deleted, and messages sent and seen? As with rabbitmqadmin:
//! `declare queue name=orders durable=true`.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Objects);
const KIND: Argument = (
    "<kind>",
    "queue, exchange, binding, vhost, user, permission, parameter, policy, operator_policy or \
     vhost_limit",
);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "declare",
        arguments: &[
            KIND,
            (
                "[<name>=<value> ...]",
                "queue: name, durable, auto_delete, queue_type, arguments; exchange: name, type, \
                 durable, auto_delete, internal, arguments; binding: source, destination, \
                 destination_type, routing_key, arguments; vhost: name, tracing; user: name, \
                 password or password_hash, tags; permission: vhost, user, configure, write, \
                 read; parameter: component, name, value; policy, operator_policy: name, pattern, \
                 definition, priority, apply-to; vhost_limit: vhost, name, value",
            ),
        ],
        summary: "Declares something: declare queue name=orders",
        run: declare,
        ..ROW
    },
    Verb {
        name: "delete",
        arguments: &[
            KIND,
            (
                "[<name>=<value> ...]",
                "name; binding: source, destination, destination_type, properties_key; \
                 permission: vhost, user; parameter: component, name; vhost_limit: vhost, name",
            ),
        ],
        summary: "Deletes something: delete exchange name=orders",
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
            let known = &["name", "durable", "auto_delete", "queue_type", "arguments"];
            let pairs = Pairs::read(words, known)?;
            let mut body = pairs.body(&["name", "queue_type"], true)?;
            if let Some(queue_type) = pairs.text("queue_type") {
                let arguments = body.entry("arguments").or_insert_with(|| json!({}));
                arguments["x-queue-type"] = json!(queue_type);
            }
            Request::new(Method::Put, &["queues", vhost, pairs.needed("name")?]).json(&body.into())
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
        _ => {
            let (path, body) = definition(session, kind, words, true)?;
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Request::new(Method::Put, &path).json(&body.into())
        }
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
        _ => {
            let (path, _) = definition(session, kind, words, false)?;
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Request::new(Method::Delete, &path)
        }
    };
    match session.find(&request)? {
        Some(_) => session.remark(&format!("{kind} deleted")),
        None => Err(session.missing(Failure::error(Exit::Unavailable, "not_found"))),
    }
}

/// Where the API has something that is defined by its name alone, and what it is, which only
/// matters when it is `declared`.
fn definition(
    session: &Session<'_>,
    kind: &str,
    words: &[String],
    declared: bool,
) -> Result<(Vec<String>, Map<String, Value>), Failure> {
    let Some(Defined { place, path, needed, may, .. }) =
        DEFINED.iter().find(|defined| defined.kind == kind)
    else {
        return Err(strange(kind));
    };
    let (needed, may) = if declared { (*needed, *may) } else { (&[][..], &[][..]) };
    let known = [path, needed, may, &["vhost"]].concat();
    let pairs = Pairs::read(words, &known)?;
    needed.iter().try_for_each(|name| pairs.needed(name).map(|_| ()))?;
    let mut segments = vec![(*place).to_owned()];
    for name in *path {
        segments.push(match *name {
            "vhost" => pairs.text("vhost").unwrap_or(session.given.vhost()).to_owned(),
            name => pairs.needed(name)?.to_owned(),
        });
    }
    let mut body = Map::new();
    let rest = pairs.0.iter().filter(|(name, _)| !path.contains(name) && *name != "vhost");
    for (name, text) in rest {
        let value = match *name {
            "value" | "definition" | "priority" => pairs.json(name)?.unwrap_or_default(),
            "tracing" => json!(flag(name, text)?),
            _ => json!(text),
        };
        body.insert((*name).to_owned(), value);
    }
    Ok((segments, body))
}

/// Something that is defined by its name alone.
struct Defined {
    kind: &'static str,
    /// The first step of its path in the API.
    place: &'static str,
    /// What the other steps are called.
    path: &'static [&'static str],
    /// What it cannot be declared without.
    needed: &'static [&'static str],
    /// What may be said, too.
    may: &'static [&'static str],
}

const DEFINED: [Defined; 7] = [
    Defined { kind: "vhost", place: "vhosts", path: &["name"], needed: &[], may: &["tracing"] },
    Defined {
        kind: "user",
        place: "users",
        path: &["name"],
        needed: &["tags"],
        may: &["password", "password_hash", "hashing_algorithm"],
    },
    Defined {
        kind: "permission",
        place: "permissions",
        path: &["vhost", "user"],
        needed: &["configure", "write", "read"],
        may: &[],
    },
    Defined {
        kind: "parameter",
        place: "parameters",
        path: &["component", "vhost", "name"],
        needed: &["value"],
        may: &[],
    },
    Defined {
        kind: "policy",
        place: "policies",
        path: &["vhost", "name"],
        needed: &["pattern", "definition"],
        may: &["priority", "apply-to"],
    },
    Defined {
        kind: "operator_policy",
        place: "operator-policies",
        path: &["vhost", "name"],
        needed: &["pattern", "definition"],
        may: &["priority", "apply-to"],
    },
    Defined {
        kind: "vhost_limit",
        place: "vhost-limits",
        path: &["vhost", "name"],
        needed: &["value"],
        may: &[],
    },
];

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
pub struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Pairs<'a> {
    /// The pairs in `words`, with names out of `known`.
    ///
    /// # Errors
    /// There is something else.
    pub fn read(words: &'a [String], known: &[&str]) -> Result<Pairs<'a>, Failure> {
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

    /// What must be given.
    ///
    /// # Errors
    /// It is not.
    pub fn needed(&self, name: &str) -> Result<&'a str, Failure> {
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
    let known = DEFINED.map(|defined| defined.kind).join(", ");
    Failure::usage(format!("'{kind}' is not one of queue, exchange, binding, {known}"))
}
