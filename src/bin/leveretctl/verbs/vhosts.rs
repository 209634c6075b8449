//! Which virtual hosts are there, and what is traced?

use serde_json::{Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::Column;
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Vhosts);
const VHOST: Argument = ("<vhost>", "the virtual host's name");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "add_vhost",
        arguments: &[VHOST],
        options: &["description", "tags", "default-queue-type"],
        summary: "Creates a virtual host",
        run: add_vhost,
        ..ROW
    },
    Verb {
        name: "delete_vhost",
        arguments: &[VHOST],
        summary: "Deletes a virtual host",
        run: delete_vhost,
        ..ROW
    },
    Verb {
        name: "disable_vhost_protection_from_deletion",
        arguments: &[VHOST],
        summary: "Lets a virtual host be deleted again",
        run: unprotect,
        ..ROW
    },
    Verb {
        name: "enable_vhost_protection_from_deletion",
        arguments: &[VHOST],
        summary: "Has a virtual host kept: nobody deletes it before this is taken back",
        run: protect,
        ..ROW
    },
    Verb {
        name: "list_vhosts",
        group: Group::Access,
        arguments: &[("[<column> ...]", "")],
        options: LIST,
        columns: Some(&VHOSTS),
        summary: "Lists virtual hosts",
        run: list_vhosts,
        ..ROW
    },
    Verb {
        name: "set_vhost_tags",
        arguments: &[
            VHOST,
            ("[<tag> ...]", "tags separated by spaces; without any, all are removed"),
        ],
        summary: "Sets virtual host tags",
        run: set_vhost_tags,
        ..ROW
    },
    Verb {
        name: "trace_off",
        summary: "Stops publishing copies of all messages to amq.rabbitmq.trace",
        run: trace_off,
        ..ROW
    },
    Verb {
        name: "trace_on",
        summary: "Starts publishing copies of all messages to amq.rabbitmq.trace",
        run: trace_on,
        ..ROW
    },
];

static VHOSTS: Columns = Columns {
    all: &[
        Column::plain("name"),
        Column::plain("tracing"),
        Column::plain("cluster_state"),
        Column::plain("description"),
        Column::atom("tags"),
        Column::plain("default_queue_type"),
    ],
    usual: "name",
};

fn add_vhost(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Adding vhost \"{name}\" ..."))?;
    // RabbitMQ's API does not look at the type, and some versions not at all.
    let queue_type = session.given.text("default-queue-type");
    if queue_type.is_some_and(|name| !["classic", "quorum", "stream"].contains(&name)) {
        return Err(Failure::error(Exit::Unavailable, "invalid_queue_type"));
    }
    let mut body = json!({});
    for (option, field) in [
        ("description", "description"),
        ("tags", "tags"),
        ("default-queue-type", "default_queue_type"),
    ] {
        if let Some(text) = session.given.text(option) {
            body[field] = json!(text);
        }
    }
    session.ask(&Request::new(Method::Put, &["vhosts", name]).json(&body))?;
    session.done(None)
}

fn delete_vhost(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Deleting vhost \"{name}\" ..."))?;
    let request = Request::new(Method::Delete, &["vhosts", name]);
    match session.patiently(|session| session.find(&request))? {
        Some(_) => session.done(None),
        None => Err(Failure::no_vhost(name)),
    }
}

fn list_vhosts(session: &mut Session<'_>) -> Result<(), Failure> {
    session.list(&Listing::short("Listing vhosts ...".to_owned(), &["vhosts"]))
}

fn set_vhost_tags(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    let tags = &session.given.arguments()[1..];
    let shown = tags.join(", ");
    session.banner(&format!("Setting tags for virtual host \"{name}\" to [{shown}] ..."))?;
    let text = format!("Virtual host \"{name}\" does not exist");
    let missing = Failure::error(Exit::DataError, text);
    change(session, name, missing, &json!({"tags": tags.join(",")}))?;
    session.done(None)
}

fn protect(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Protecting virtual host \"{name}\" from deletion ..."))?;
    set_protected(session, name, true)
}

fn unprotect(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Letting virtual host \"{name}\" be deleted ..."))?;
    set_protected(session, name, false)
}

fn set_protected(session: &mut Session<'_>, name: &str, protected: bool) -> Result<(), Failure> {
    let text = format!("Virtual host \"{name}\" does not exist");
    let missing = Failure::error(Exit::DataError, text);
    change(session, name, missing, &json!({"protected_from_deletion": protected}))?;
    session.done(None)
}

fn trace_on(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.vhost();
    session.banner(&format!("Starting tracing for vhost \"{name}\" ..."))?;
    change(session, name, Failure::no_vhost(name), &json!({"tracing": true}))?;
    session.done(Some(&format!("Trace enabled for vhost {name}")))
}

fn trace_off(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.vhost();
    session.banner(&format!("Stopping tracing for vhost \"{name}\" ..."))?;
    change(session, name, Failure::no_vhost(name), &json!({"tracing": false}))?;
    session.done(Some(&format!("Trace disabled for vhost {name}")))
}

/// Changes one property of a virtual host. The API would create what does not exist, and takes
/// what is not said as empty, so what is there is asked for first.
fn change(
    session: &mut Session<'_>,
    name: &str,
    missing: Failure,
    change: &Value,
) -> Result<(), Failure> {
    let vhost = session.find(&Request::get(&["vhosts", name]))?.ok_or(missing)?;
    let mut body = json!({});
    for field in ["description", "default_queue_type"] {
        if let Some(Value::String(text)) = vhost.get(field)
            && text != "undefined"
        {
            body[field] = json!(text);
        }
    }
    if let Some(Value::Array(tags)) = vhost.get("tags") {
        let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
        body["tags"] = json!(tags.join(","));
    }
    body["tracing"] = vhost.get("tracing").cloned().unwrap_or(json!(false));
    for (field, value) in change.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    session.ask(&Request::new(Method::Put, &["vhosts", name]).json(&body)).map(|_| ())
}
