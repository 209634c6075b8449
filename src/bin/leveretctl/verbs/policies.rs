//! Which settings hold for queues and exchanges by name?

use serde_json::{Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Policies);
const NAME: Argument = ("<name>", "the policy's name");
const PATTERN: Argument = ("<pattern>", "pattern of the names of queues and exchanges");
const DEFINITION: Argument = ("<definition>", "the settings, a JSON object");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "clear_operator_policy",
        arguments: &[NAME],
        summary: "Clears an operator policy",
        run: |session| clear(session, &OPERATOR),
        ..ROW
    },
    Verb {
        name: "clear_policy",
        arguments: &[NAME],
        summary: "Clears (removes) a policy",
        run: |session| clear(session, &USER),
        ..ROW
    },
    Verb {
        name: "list_operator_policies",
        options: LIST,
        columns: Some(&POLICIES),
        summary: "Lists operator policy overrides for a virtual host",
        run: |session| list(session, &OPERATOR),
        ..ROW
    },
    Verb {
        name: "list_policies",
        options: LIST,
        columns: Some(&POLICIES),
        summary: "Lists all policies in a virtual host",
        run: |session| list(session, &USER),
        ..ROW
    },
    Verb {
        name: "set_operator_policy",
        arguments: &[NAME, PATTERN, DEFINITION],
        options: &["priority", "apply-to"],
        summary: "Sets an operator policy that overrides a subset of arguments in user policies",
        run: |session| set(session, &OPERATOR),
        ..ROW
    },
    Verb {
        name: "set_policy",
        arguments: &[NAME, PATTERN, DEFINITION],
        options: &["priority", "apply-to"],
        summary: "Sets or updates a policy",
        run: |session| set(session, &USER),
        ..ROW
    },
];

static POLICIES: Columns = Columns {
    all: &[
        Column::plain("vhost"),
        Column::plain("name"),
        Column::plain("pattern"),
        Column::plain("apply-to"),
        Column { name: "definition", from: "definition", show: Show::Json },
        Column::plain("priority"),
    ],
    usual: "",
};

/// One of the two kinds of policies.
struct Kind {
    /// Where the API has them.
    place: &'static str,
    set: &'static str,
    clear: &'static str,
    list: &'static str,
}

static USER: Kind = Kind {
    place: "policies",
    set: "Setting policy",
    clear: "Clearing policy",
    list: "Listing policies",
};

static OPERATOR: Kind = Kind {
    place: "operator-policies",
    set: "Setting operator policy override",
    clear: "Clearing operator policy",
    list: "Listing operator policy overrides",
};

fn set(session: &mut Session<'_>, kind: &Kind) -> Result<(), Failure> {
    let [name, pattern, definition] = [0, 1, 2].map(|index| session.given.argument(index));
    let vhost = session.given.vhost();
    let priority = session.given.number("priority").unwrap_or(0);
    session.banner(&format!(
        "{} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" \
         for vhost \"{vhost}\" ...",
        kind.set
    ))?;
    let definition: Value =
        serde_json::from_str(definition).map_err(|error| Failure::not_json(&error))?;
    let body = json!({
        "pattern": pattern,
        "definition": definition,
        "priority": priority,
        "apply-to": session.given.text("apply-to").unwrap_or("all"),
    });
    session.ask_in_vhost(&Request::new(Method::Put, &[kind.place, vhost, name]).json(&body))?;
    session.done(None)
}

fn clear(session: &mut Session<'_>, kind: &Kind) -> Result<(), Failure> {
    let (name, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("{} \"{name}\" on vhost \"{vhost}\" ...", kind.clear))?;
    match session.find(&Request::new(Method::Delete, &[kind.place, vhost, name]))? {
        Some(_) => session.done(None),
        None => Err(Failure::error(Exit::Unavailable, "Parameter does not exist")),
    }
}

fn list(session: &mut Session<'_>, kind: &Kind) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("{} for vhost \"{vhost}\" ...", kind.list);
    session.list(&Listing::short(banner, &[kind.place, vhost]))
}
