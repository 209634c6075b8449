//! Which runtime parameters are set, in a virtual host or for all?

use serde_json::{Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session, in_order};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Parameters);
const COMPONENT: Argument =
    ("<component_name>", "what the parameter is for: shovel, federation-upstream ...");
const NAME: Argument = ("<name>", "the parameter's name");
const VALUE: Argument = ("<value>", "the parameter's value, in JSON");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "clear_global_parameter",
        arguments: &[NAME],
        summary: "Clears a global runtime parameter",
        run: clear_global_parameter,
        ..ROW
    },
    Verb {
        name: "clear_parameter",
        arguments: &[COMPONENT, NAME],
        summary: "Clears a runtime parameter",
        run: clear_parameter,
        ..ROW
    },
    Verb {
        name: "list_global_parameters",
        options: LIST,
        columns: Some(&GLOBAL),
        summary: "Lists global runtime parameters",
        run: list_global_parameters,
        ..ROW
    },
    Verb {
        name: "list_parameters",
        options: LIST,
        columns: Some(&PARAMETERS),
        summary: "Lists runtime parameters for a virtual host",
        run: list_parameters,
        ..ROW
    },
    Verb {
        name: "set_global_parameter",
        arguments: &[NAME, VALUE],
        summary: "Sets a global runtime parameter",
        run: set_global_parameter,
        ..ROW
    },
    Verb {
        name: "set_parameter",
        arguments: &[COMPONENT, NAME, VALUE],
        summary: "Sets a runtime parameter",
        run: set_parameter,
        ..ROW
    },
];

const VALUES: Column = Column { name: "value", from: "value", show: Show::Json };

static PARAMETERS: Columns =
    Columns { all: &[Column::plain("component"), Column::plain("name"), VALUES], usual: "" };
static GLOBAL: Columns = Columns { all: &[Column::plain("name"), VALUES], usual: "" };

fn set_parameter(session: &mut Session<'_>) -> Result<(), Failure> {
    let [component, name, text] = [0, 1, 2].map(|index| session.given.argument(index));
    let vhost = session.given.vhost();
    session.banner(&format!(
        "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{text}\" in vhost \
         \"{vhost}\" ..."
    ))?;
    let body = json!({"value": value(text)?});
    let segments = &["parameters", component, vhost, name];
    session.ask_in_vhost(&Request::new(Method::Put, segments).json(&body))?;
    session.done(None)
}

fn set_global_parameter(session: &mut Session<'_>) -> Result<(), Failure> {
    let (name, text) = (session.given.argument(0), session.given.argument(1));
    session.banner(&format!("Setting global runtime parameter \"{name}\" to \"{text}\" ..."))?;
    let body = json!({"value": value(text)?});
    session.ask(&Request::new(Method::Put, &["global-parameters", name]).json(&body))?;
    session.done(None)
}

fn clear_parameter(session: &mut Session<'_>) -> Result<(), Failure> {
    let [component, name] = [0, 1].map(|index| session.given.argument(index));
    let vhost = session.given.vhost();
    session.banner(&format!(
        "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{vhost}\" \
         ..."
    ))?;
    clear(session, &["parameters", component, vhost, name])
}

fn clear_global_parameter(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Clearing global runtime parameter \"{name}\" ..."))?;
    clear(session, &["global-parameters", name])
}

fn list_parameters(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let listing = Listing::short(
        format!("Listing runtime parameters for vhost \"{vhost}\" ..."),
        &["parameters"],
    );
    session.banner(&listing.banner)?;
    // The API lists those of one virtual host only for one component.
    let found = session.ask(&Request::get(listing.segments))?;
    let here = |row: &&Value| row.get("vhost").is_some_and(|name| name == vhost);
    let here: Vec<Value> = in_order(&found).into_iter().filter(here).cloned().collect();
    let vhost_exists = !here.is_empty()
        || session.find(&Request::get(&["vhosts", vhost]).query("columns", "name"))?.is_some();
    if !vhost_exists {
        return Err(Failure::no_vhost(vhost));
    }
    session.rows(&listing, &here)
}

fn list_global_parameters(session: &mut Session<'_>) -> Result<(), Failure> {
    let banner = "Listing global runtime parameters ...".to_owned();
    session.list(&Listing::short(banner, &["global-parameters"]))
}

fn clear(session: &mut Session<'_>, segments: &[&str]) -> Result<(), Failure> {
    match session.find(&Request::new(Method::Delete, segments))? {
        Some(_) => session.done(None),
        None => Err(Failure::error(Exit::Unavailable, "Parameter does not exist")),
    }
}

fn value(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::not_json(&error))
}
