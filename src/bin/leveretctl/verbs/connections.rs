//! How are connections closed?

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::session::Session;
use crate::terminal;
use crate::verb::{Argument, Group, Verb};

const ROW: Verb = Verb::of(Group::Operations);
const EXPLANATION: Argument = ("<explanation>", "what the clients are told");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "close_all_connections",
        arguments: &[EXPLANATION],
        options: &["global", "limit", "per-connection-delay"],
        seconds: 300,
        summary: "Closes all connections of a virtual host, or of the broker with --global",
        run: close_all_connections,
        ..ROW
    },
    Verb {
        name: "close_all_user_connections",
        arguments: &[("<username>", "the user"), EXPLANATION],
        seconds: 300,
        summary: "Closes all connections of a user",
        run: close_all_user_connections,
        ..ROW
    },
    Verb {
        name: "close_connection",
        arguments: &[
            ("<connection>", "its name or pid, as list_connections prints it"),
            EXPLANATION,
        ],
        summary: "Closes a connection",
        run: close_connection,
        ..ROW
    },
];

fn close_connection(session: &mut Session<'_>) -> Result<(), Failure> {
    let (name, reason) = (session.given.argument(0), session.given.argument(1));
    session.banner(&format!("Closing connection {name}, reason: {reason}..."))?;
    if close(session, name, reason)? {
        return session.done(None);
    }
    let text = format!("There is no connection '{name}'. See 'list_connections pid'.");
    Err(Failure::error(Exit::Unavailable, text))
}

fn close_all_connections(session: &mut Session<'_>) -> Result<(), Failure> {
    let (vhost, reason) = (session.given.vhost(), session.given.argument(0));
    if session.given.flag("global") {
        let node = session.node()?;
        session.banner(&format!(
            "Closing all connections to node {node} (across all vhosts), reason: {reason}..."
        ))?;
        return close_each(session, &["connections"], reason, true);
    }
    session.banner(&format!("Closing all connections in vhost {vhost}, reason: {reason}..."))?;
    close_each(session, &["vhosts", vhost, "connections"], reason, true)
}

fn close_all_user_connections(session: &mut Session<'_>) -> Result<(), Failure> {
    let (user, reason) = (session.given.argument(0), session.given.argument(1));
    session.banner(&format!("Closing connections of user {user}, reason: {reason}..."))?;
    close_each(session, &["connections", "username", user], reason, false)
}

/// Closes the connections that the API lists at some place; says how many if `counted`.
fn close_each(
    session: &mut Session<'_>,
    segments: &[&str],
    reason: &str,
    counted: bool,
) -> Result<(), Failure> {
    let request = Request::get(segments).query("columns", "name");
    let found = match segments {
        ["vhosts", ..] => session.ask_in_vhost(&request)?,
        // A user who does not exist has no connections.
        _ => session.find(&request)?.unwrap_or_default(),
    };
    let names = found.as_array().into_iter().flatten().filter_map(|row| row["name"].as_str());
    let positive = |name| session.given.number(name).and_then(|n| u64::try_from(n).ok());
    let limit = positive("limit").filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let delay = positive("per-connection-delay").map(Duration::from_millis);
    let names: Vec<&str> = names.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    let progress = terminal::progress(Some(names.len() as u64), session.given.quiet());
    let mut closed = 0;
    for name in names {
        // One that has gone by itself meanwhile is closed, too.
        closed += u64::from(close(session, name, reason)?);
        progress.inc(1);
        if let Some(delay) = delay {
            thread::sleep(delay);
        }
    }
    progress.finish_and_clear();
    if counted {
        session.done(Some(&format!("Closed {closed} connections")))
    } else {
        session.done(None)
    }
}

/// Whether there was such a connection.
fn close(session: &mut Session<'_>, name: &str, reason: &str) -> Result<bool, Failure> {
    let request = Request::new(Method::Delete, &["connections", name]).reason(reason);
    let gone: Option<Value> = session.find(&request)?;
    Ok(gone.is_some())
}
