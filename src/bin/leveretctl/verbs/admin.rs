//! What does `rabbitmqadmin` list, show, close and purge? The API's own names and fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::definitions::{export_definitions, import_definitions};
use super::objects::Pairs;
use super::plugins;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Cell, Column};
use crate::session::{Session, in_order};
use crate::verb::{Argument, Group, Verb};

const ROW: Verb = Verb::of(Group::Objects);
const FIELDS: Argument =
    ("[<column> ...]", "fields of the API, like messages or message_stats.ack");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "close",
        arguments: &[("<kind>", "connection"), ("<name=connection>", "the connection's name")],
        summary: "Closes a connection: close connection name='127.0.0.1:4711 -> 127.0.0.1:5672'",
        run: close,
        ..ROW
    },
    Verb {
        name: "export",
        arguments: &[("<file_path|->", "where to, - for standard output")],
        seconds: 300,
        summary: "Exports definitions, like export_definitions",
        run: export_definitions,
        ..ROW
    },
    Verb {
        name: "import",
        arguments: &[("[<file_path|->]", "where from, - or nothing for standard input")],
        seconds: 300,
        summary: "Imports definitions, like import_definitions",
        run: import_definitions,
        ..ROW
    },
    Verb {
        name: "list",
        arguments: &[
            (
                "[<kind>]",
                "queues, exchanges, bindings, connections, channels, consumers, users, vhosts, \
                 permissions, nodes, parameters, policies, operator_policies or vhost_limits",
            ),
            FIELDS,
        ],
        summary: "Lists objects as the API has them, of all virtual hosts without -p",
        run: list,
        ..ROW
    },
    Verb {
        name: "purge",
        arguments: &[("<kind>", "queue"), ("<name=queue>", "the queue")],
        summary: "Removes all messages in a queue: purge queue name=orders",
        run: purge,
        ..ROW
    },
    Verb {
        name: "show",
        arguments: &[("<kind>", "overview"), FIELDS],
        summary: "Shows the overview as the API has it: show overview",
        run: show,
        ..ROW
    },
];

/// Something that can be listed: its kind, its place in the API, whether it has a virtual host,
/// and what is shown of it; nothing for all.
type Kind = (&'static str, &'static str, bool, &'static str);

const KINDS: [Kind; 14] = [
    ("bindings", "bindings", true, "source destination routing_key"),
    ("channels", "channels", false, "name user"),
    ("connections", "connections", false, "name user channels"),
    ("consumers", "consumers", true, ""),
    ("exchanges", "exchanges", true, "name type"),
    ("nodes", "nodes", false, "name type mem_used"),
    ("operator_policies", "operator-policies", true, ""),
    ("parameters", "parameters", false, ""),
    ("permissions", "permissions", false, ""),
    ("policies", "policies", true, ""),
    ("queues", "queues", true, "name messages"),
    ("users", "users", false, ""),
    ("vhost_limits", "vhost-limits", true, ""),
    ("vhosts", "vhosts", false, "name messages"),
];

fn list(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    // The one verb that two of RabbitMQ's tools have.
    if session.program.starts_with("rabbitmq-plugins") {
        return plugins::list(session);
    }
    if name.is_empty() {
        return Err(Failure::usage("not enough arguments."));
    }
    let Some((_, place, of_vhost, usual)) = KINDS.into_iter().find(|kind| kind.0 == name) else {
        let known = KINDS.map(|kind| kind.0).join(", ");
        return Err(Failure::usage(format!("'{name}' is not one of {known}")));
    };
    let asked = fields(session, usual);
    let vhost = session.given.text("vhost").filter(|_| of_vhost);
    let mut request = Request::get(&vhost.map_or(vec![place], |vhost| vec![place, vhost]));
    if !asked.is_empty() {
        request = request.query("columns", &with_order(&asked));
    }
    let found = session.ask_in_vhost(&request)?;
    let objects: Vec<Value> = in_order(&found).into_iter().cloned().collect();
    print(session, asked, &objects)
}

fn show(session: &mut Session<'_>) -> Result<(), Failure> {
    let kind = session.given.argument(0);
    if kind != "overview" {
        return Err(Failure::usage(format!("'{kind}' is not one of overview")));
    }
    let usual = "rabbitmq_version cluster_name queue_totals.messages object_totals.queues";
    let asked = fields(session, usual);
    let overview = session.ask(&Request::get(&["overview"]))?;
    print(session, asked, &[overview])
}

fn close(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = named(session, "connection")?;
    let request = Request::new(Method::Delete, &["connections", &name]);
    gone(session, &request, "connection closed")
}

fn purge(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = named(session, "queue")?;
    let segments = ["queues", session.given.vhost(), &name, "contents"];
    let request = Request::new(Method::Delete, &segments);
    gone(session, &request, "queue purged")
}

fn gone(session: &mut Session<'_>, request: &Request, remark: &str) -> Result<(), Failure> {
    match session.find(request)? {
        Some(_) => session.remark(remark),
        None => Err(session.missing(Failure::error(Exit::Unavailable, "not_found"))),
    }
}

/// The name after the one kind that a verb takes.
fn named(session: &Session<'_>, kind: &str) -> Result<String, Failure> {
    let given = session.given.argument(0);
    if given != kind {
        return Err(Failure::usage(format!("'{given}' is not one of {kind}")));
    }
    let pairs = Pairs::read(&session.given.arguments()[1..], &["name"])?;
    pairs.needed("name").map(str::to_owned)
}

fn fields(session: &Session<'_>, usual: &str) -> Vec<String> {
    let words = session.given.arguments().iter().skip(1).flat_map(|word| word.split(','));
    let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if words.is_empty() { usual.split_whitespace().map(str::to_owned).collect() } else { words }
}

/// What is asked for and what the order of a list depends on.
fn with_order(fields: &[String]) -> String {
    let order = ["vhost", "name", "source", "destination", "routing_key"].map(str::to_owned);
    let all: BTreeSet<String> = fields.iter().cloned().chain(order).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

fn print(
    session: &mut Session<'_>,
    mut names: Vec<String>,
    objects: &[Value],
) -> Result<(), Failure> {
    if names.is_empty() {
        let fields = objects.iter().filter_map(Value::as_object).flat_map(|object| object.keys());
        let fields: BTreeSet<&String> = fields.collect();
        names = fields.into_iter().cloned().collect();
    }
    let row = |object| names.iter().map(|name| Column::field(name, object)).collect();
    let rows: Vec<Vec<Cell>> = objects.iter().map(row).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    session.sheet(&names, &rows, true, true)
}
