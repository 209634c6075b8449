//! How many connections, channels and queues may there be?

use serde_json::{Map, Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Formatter, Show};
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const VHOSTS: Verb = Verb::of(Group::Vhosts);
const USERS: Verb = Verb::of(Group::Users);
const USER: Argument = ("<username>", "the user's name");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "clear_vhost_limits",
        summary: "Clears virtual host limits",
        run: clear_vhost_limits,
        ..VHOSTS
    },
    Verb {
        name: "list_vhost_limits",
        options: &["global", "no-table-headers"],
        columns: Some(&OF_VHOSTS),
        summary: "Displays configured virtual host limits",
        run: list_vhost_limits,
        ..VHOSTS
    },
    Verb {
        name: "set_vhost_limits",
        arguments: &[(
            "<definition>",
            "all limits in JSON: {\"max-connections\": 100, \"max-queues\": 50}",
        )],
        summary: "Sets virtual host limits",
        run: set_vhost_limits,
        ..VHOSTS
    },
    Verb {
        name: "clear_user_limits",
        arguments: &[USER, ("<limit_type>|all", "max-connections, max-channels or all")],
        summary: "Clears user connection/channel limits",
        run: clear_user_limits,
        ..USERS
    },
    Verb {
        name: "list_user_limits",
        options: &["user", "global", LIST[0]],
        columns: Some(&OF_USERS),
        summary: "Displays configured user limits",
        run: list_user_limits,
        ..USERS
    },
    Verb {
        name: "set_user_limits",
        arguments: &[
            USER,
            ("<definition>", "limits in JSON: {\"max-connections\": 10, \"max-channels\": 100}"),
        ],
        summary: "Sets user limits",
        run: set_user_limits,
        ..USERS
    },
];

const LIMITS: Column = Column { name: "limits", from: "value", show: Show::Json };

static OF_VHOSTS: Columns = Columns { all: &[Column::plain("vhost"), LIMITS], usual: "" };
static OF_USERS: Columns = Columns { all: &[Column::plain("user"), LIMITS], usual: "" };

fn set_vhost_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    let (text, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Setting vhost limits to \"{text}\" for vhost \"{vhost}\" ..."))?;
    let wanted = object(text)?;
    let before = session.ask_in_vhost(&Request::get(&["vhost-limits", vhost]))?;
    put(session, "vhost-limits", vhost, &wanted)?;
    // What is set is the whole: limits that are not named end.
    for name in limits(&before).keys().filter(|name| !wanted.contains_key(*name)) {
        session.ask(&Request::new(Method::Delete, &["vhost-limits", vhost, name]))?;
    }
    session.done(None)
}

fn clear_vhost_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    session.banner(&format!("Clearing vhost \"{vhost}\" limits ..."))?;
    let before = session.find(&Request::get(&["vhost-limits", vhost]))?.unwrap_or_default();
    let before = limits(&before);
    if before.is_empty() {
        return Err(Failure::error(Exit::Unavailable, "Parameter does not exist"));
    }
    for name in before.keys() {
        session.ask(&Request::new(Method::Delete, &["vhost-limits", vhost, name]))?;
    }
    session.done(None)
}

fn list_vhost_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    if session.given.flag("global") {
        let banner = "Listing limits for all vhosts ...".to_owned();
        return session.list(&Listing::short(banner, &["vhost-limits"]));
    }
    let vhost = session.given.vhost();
    session.banner(&format!("Listing limits for vhost \"{vhost}\" ..."))?;
    let found = session.ask_in_vhost(&Request::get(&["vhost-limits", vhost]))?;
    let found = limits(&found);
    let text = if found.is_empty() { String::new() } else { Value::Object(found).to_string() };
    session.done(Some(&text))
}

fn set_user_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    let [user, text] = [0, 1].map(|index| session.given.argument(index));
    session.banner(&format!("Setting user limits to \"{text}\" for user \"{user}\" ..."))?;
    let wanted = object(text)?;
    if session.find(&Request::get(&["user-limits", user]))?.is_none() {
        return Err(no_user(user));
    }
    put(session, "user-limits", user, &wanted)?;
    session.done(None)
}

fn clear_user_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    let [user, name] = [0, 1].map(|index| session.given.argument(index));
    session.banner(&match name {
        "all" => format!("Clearing all limits for user \"{user}\" ..."),
        _ => format!("Clearing \"{name}\" limit for user \"{user}\" ..."),
    })?;
    let before = session.find(&Request::get(&["user-limits", user]))?;
    let before = before.ok_or_else(|| no_user(user))?;
    for limit in limits(&before).keys().filter(|limit| name == "all" || *limit == name) {
        session.ask(&Request::new(Method::Delete, &["user-limits", user, limit]))?;
    }
    session.done(None)
}

fn list_user_limits(session: &mut Session<'_>) -> Result<(), Failure> {
    if session.given.flag("global") {
        let banner = "Listing limits for all users ...".to_owned();
        return session.list(&Listing::short(banner, &["user-limits"]));
    }
    let user = session.given.text("user").unwrap_or("guest");
    session.banner(&format!("Listing limits for user \"{user}\" ..."))?;
    let found = session.find(&Request::get(&["user-limits", user]))?;
    let text = Value::Object(limits(&found.ok_or_else(|| no_user(user))?)).to_string();
    match session.formatter() {
        Formatter::Json => session.print(&json!({"message": text}).to_string()),
        Formatter::Erlang => session.done(Some(&text)),
        Formatter::Table | Formatter::PrettyTable | Formatter::Csv => session.print(&text),
    }
}

fn put(
    session: &mut Session<'_>,
    place: &str,
    owner: &str,
    wanted: &Map<String, Value>,
) -> Result<(), Failure> {
    for (name, value) in wanted {
        let body = json!({"value": value});
        session.ask(&Request::new(Method::Put, &[place, owner, name]).json(&body))?;
    }
    Ok(())
}

/// The limits of the one owner that the API was asked about.
fn limits(found: &Value) -> Map<String, Value> {
    let value = found.get(0).and_then(|row| row.get("value")).and_then(Value::as_object);
    value.cloned().unwrap_or_default()
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::not_json(&error))
}

fn no_user(name: &str) -> Failure {
    Failure::error(Exit::Unavailable, format!("User \"{name}\" does not exist"))
}
