//! Which queues are there, and how do they go away?

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session, in_order};
use crate::verb::{Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Objects);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "list_queues",
        group: Group::Monitoring,
        arguments: &[("[<column> ...]", "")],
        options: &["online", "offline", "local", "no-table-headers"],
        columns: Some(&QUEUES),
        summary: "Lists queues and their properties",
        run: list_queues,
        ..ROW
    },
    Verb {
        name: "delete_queue",
        arguments: &[("<queue_name>", "the queue")],
        options: &["if-empty", "if-unused"],
        summary: "Deletes a queue",
        run: delete_queue,
        ..ROW
    },
    Verb {
        name: "purge_queue",
        arguments: &[("<queue>", "the queue")],
        summary: "Purges a queue (removes all messages in it)",
        run: purge_queue,
        ..ROW
    },
];

static QUEUES: Columns = Columns {
    all: &[
        Column::plain("name"),
        Column::plain("durable"),
        Column::plain("auto_delete"),
        Column { name: "arguments", from: "arguments", show: Show::Arguments },
        Column::plain("policy"),
        Column::plain("pid"),
        Column::renamed("owner_pid", "owner_pid|owner_pid_details.name"),
        Column::plain("exclusive"),
        Column::plain("exclusive_consumer_pid"),
        Column::plain("exclusive_consumer_tag"),
        Column::plain("messages_ready"),
        Column::plain("messages_unacknowledged"),
        Column::plain("messages"),
        Column::plain("messages_ready_ram"),
        Column::plain("messages_unacknowledged_ram"),
        Column::plain("messages_ram"),
        Column::plain("messages_persistent"),
        Column::plain("message_bytes"),
        Column::plain("message_bytes_ready"),
        Column::plain("message_bytes_unacknowledged"),
        Column::plain("message_bytes_ram"),
        Column::plain("message_bytes_persistent"),
        Column::plain("head_message_timestamp"),
        Column::renamed("disk_reads", "disk_reads|message_stats.disk_reads"),
        Column::renamed("disk_writes", "disk_writes|message_stats.disk_writes"),
        Column::plain("consumers"),
        Column::plain("consumer_utilisation"),
        Column::plain("consumer_capacity"),
        Column::plain("memory"),
        Column::renamed("slave_pids", "slave_pids|slave_nodes"),
        Column::renamed(
            "synchronised_slave_pids",
            "synchronised_slave_pids|synchronised_slave_nodes",
        ),
        Column::atom("state"),
        Column::atom("type"),
        Column::atom("leader"),
        Column::plain("members"),
        Column::plain("online"),
    ],
    usual: "name messages",
};

fn list_queues(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let seconds = session.given.limit(ROW.seconds).as_secs();
    let banner = format!("Timeout: {seconds}.0 seconds ...\nListing queues for vhost {vhost} ...");
    session.banner(&banner)?;
    let mut fields: Vec<&str> =
        session.columns()?.iter().flat_map(|column| column.sources()).collect();
    fields.push("state");
    fields.sort_unstable();
    fields.dedup();
    let request = Request::get(&["queues", vhost]).query("columns", &fields.join(","));
    let found = session.ask_in_vhost(&request)?;
    let (online, offline) = (session.given.flag("online"), session.given.flag("offline"));
    let wanted = |queue: &&Value| {
        let down = queue.get("state").is_some_and(|state| state == "down");
        // Neither or both: all of them.
        online == offline || offline == down
    };
    let queues: Vec<Value> = in_order(&found).into_iter().filter(wanted).cloned().collect();
    session.rows(&Listing::stream(banner, &[]), &queues)
}

fn delete_queue(session: &mut Session<'_>) -> Result<(), Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    let mut conditions = Vec::new();
    let mut request = Request::new(Method::Delete, &["queues", vhost, queue]);
    for (option, text) in [("if-empty", "queue is empty"), ("if-unused", "queue is unused")] {
        if session.given.flag(option) {
            conditions.push(text);
            request = request.query(option, "true");
        }
    }
    let conditions = match conditions.join(" and if ") {
        none if none.is_empty() => String::new(),
        some => format!(" if {some}"),
    };
    session.banner(&format!("Deleting queue '{queue}' on vhost '{vhost}'{conditions} ..."))?;
    let not_found = || Failure::error(Exit::Usage, "Queue not found");
    let Some(before) = session.find(&Request::get(&["queues", vhost, queue]))? else {
        return Err(not_found());
    };
    let answer = session.patiently(|session| session.send(&request))?;
    if answer.status == 404 {
        return Err(not_found());
    }
    if !answer.is_success() {
        let reason = answer.reason();
        return Err(match reason {
            _ if reason.ends_with("not empty") => Failure::error(Exit::Usage, "Queue is not empty"),
            _ if reason.ends_with("in use") => Failure::error(Exit::Usage, "Queue is in use"),
            _ => Failure::answered(&answer),
        });
    }
    let ready = before.get("messages_ready").and_then(Value::as_u64).unwrap_or(0);
    session.done(Some(&format!("Queue was successfully deleted with {ready} ready messages")))
}

fn purge_queue(session: &mut Session<'_>) -> Result<(), Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Purging queue '{queue}' in vhost '{vhost}' ..."))?;
    let request = Request::new(Method::Delete, &["queues", vhost, queue, "contents"]);
    match session.patiently(|session| session.find(&request))? {
        Some(_) => session.done(None),
        None => Err(Failure::error(Exit::Unavailable, "not_found")),
    }
}
