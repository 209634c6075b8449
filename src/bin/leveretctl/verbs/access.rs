//! Who may do what, and where?

use serde_json::{Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::output::Column;
use crate::session::{Listing, Session, in_order};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Access);
const USER: Argument = ("<username>", "the user's name");
const WRITE: Argument = ("<write>", "pattern of what may be written to");
const READ: Argument = ("<read>", "pattern of what may be read from");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "clear_permissions",
        arguments: &[USER],
        summary: "Revokes user permissions for a vhost",
        run: clear_permissions,
        ..ROW
    },
    Verb {
        name: "clear_topic_permissions",
        arguments: &[USER, ("[<exchange>]", "only those for this exchange")],
        summary: "Clears user topic permissions for a vhost or exchange",
        run: clear_topic_permissions,
        ..ROW
    },
    Verb {
        name: "list_permissions",
        options: LIST,
        columns: Some(&OF_VHOST),
        summary: "Lists user permissions in a virtual host",
        run: list_permissions,
        ..ROW
    },
    Verb {
        name: "list_topic_permissions",
        options: LIST,
        columns: Some(&TOPICS_OF_VHOST),
        summary: "Lists topic permissions in a virtual host",
        run: list_topic_permissions,
        ..ROW
    },
    Verb {
        name: "list_user_permissions",
        arguments: &[USER],
        options: LIST,
        columns: Some(&OF_USER),
        summary: "Lists permissions of a user across all virtual hosts",
        run: list_user_permissions,
        ..ROW
    },
    Verb {
        name: "list_user_topic_permissions",
        arguments: &[USER],
        options: LIST,
        columns: Some(&TOPICS_OF_USER),
        summary: "Lists user topic permissions",
        run: list_user_topic_permissions,
        ..ROW
    },
    Verb {
        name: "set_permissions",
        arguments: &[USER, ("<conf>", "pattern of what may be declared and deleted"), WRITE, READ],
        summary: "Sets user permissions for a vhost",
        run: set_permissions,
        ..ROW
    },
    Verb {
        name: "set_topic_permissions",
        arguments: &[USER, ("<exchange>", "the topic exchange"), WRITE, READ],
        summary: "Sets user topic permissions for an exchange",
        run: set_topic_permissions,
        ..ROW
    },
];

const CONFIGURE: Column = Column::plain("configure");
const WRITES: Column = Column::plain("write");
const READS: Column = Column::plain("read");

static OF_VHOST: Columns =
    Columns { all: &[Column::plain("user"), CONFIGURE, WRITES, READS], usual: "" };
static OF_USER: Columns =
    Columns { all: &[Column::plain("vhost"), CONFIGURE, WRITES, READS], usual: "" };
static TOPICS_OF_VHOST: Columns =
    Columns { all: &[Column::plain("user"), Column::plain("exchange"), WRITES, READS], usual: "" };
static TOPICS_OF_USER: Columns =
    Columns { all: &[Column::plain("vhost"), Column::plain("exchange"), WRITES, READS], usual: "" };

fn set_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let (user, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
    let [configure, write, read] = [1, 2, 3].map(|index| session.given.argument(index));
    let body = json!({"configure": configure, "write": write, "read": read});
    let request = Request::new(Method::Put, &["permissions", vhost, user]).json(&body);
    put(session, &request, user)
}

fn set_topic_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let (user, vhost) = (session.given.argument(0), session.given.vhost());
    let [exchange, write, read] = [1, 2, 3].map(|index| session.given.argument(index));
    session.banner(&format!(
        "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
    ))?;
    let body = json!({"exchange": exchange, "write": write, "read": read});
    let request = Request::new(Method::Put, &["topic-permissions", vhost, user]).json(&body);
    put(session, &request, user)
}

fn clear_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let (user, vhost) = (session.given.argument(0), session.given.vhost());
    session
        .banner(&format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
    clear(session, &["permissions", vhost, user], user)
}

fn clear_topic_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let (user, vhost) = (session.given.argument(0), session.given.vhost());
    match session.given.arguments().get(1) {
        Some(exchange) => {
            session.banner(&format!(
                "Clearing topic permissions on \"{exchange}\" for user \"{user}\" in vhost \
                 \"{vhost}\" ..."
            ))?;
            clear(session, &["topic-permissions", vhost, user, exchange], user)
        }
        None => {
            session.banner(&format!(
                "Clearing topic permissions for user \"{user}\" in vhost \"{vhost}\" ..."
            ))?;
            clear(session, &["topic-permissions", vhost, user], user)
        }
    }
}

fn list_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("Listing permissions for vhost \"{vhost}\" ...");
    session.list(&Listing::short(banner, &["vhosts", vhost, "permissions"]))
}

fn list_topic_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("Listing topic permissions for vhost \"{vhost}\" ...");
    session.list(&Listing::short(banner, &["vhosts", vhost, "topic-permissions"]))
}

fn list_user_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let user = session.given.argument(0);
    let banner = format!("Listing permissions for user \"{user}\" ...");
    list_of_user(session, &Listing::short(banner, &["users", user, "permissions"]))
}

fn list_user_topic_permissions(session: &mut Session<'_>) -> Result<(), Failure> {
    let user = session.given.argument(0);
    let banner = format!("Listing topic permissions for user \"{user}\" ...");
    let segments = &["users", user, "topic-permissions"];
    // Alone among the lists this one has no first line in rabbitmqctl.
    list_of_user(session, &Listing { headers: false, ..Listing::short(banner, segments) })
}

fn list_of_user(session: &mut Session<'_>, listing: &Listing<'_>) -> Result<(), Failure> {
    session.banner(&listing.banner)?;
    let Some(found) = session.find(&Request::get(listing.segments))? else {
        let text = format!("User \"{}\" does not exist", session.given.argument(0));
        return Err(Failure::error(Exit::Unavailable, text));
    };
    let objects: Vec<Value> = in_order(&found).into_iter().cloned().collect();
    session.rows(listing, &objects)
}

/// Sends a request that needs user and virtual host, and finds out which of them is missing.
fn put(session: &mut Session<'_>, request: &Request, user: &str) -> Result<(), Failure> {
    let answer = session.send(request)?;
    if answer.is_success() {
        return session.done(None);
    }
    let vhost = session.given.vhost();
    if !exists(session, &["vhosts", vhost])? {
        let text = format!("Virtual host {vhost} does not exist");
        return Err(Failure::error(Exit::Unavailable, text));
    }
    if !exists(session, &["users", user])? {
        return Err(no_user(user));
    }
    Err(Failure::answered(&answer))
}

/// Removes permissions; that there are none is as good.
fn clear(session: &mut Session<'_>, segments: &[&str], user: &str) -> Result<(), Failure> {
    let gone: Option<Value> = session.find(&Request::new(Method::Delete, segments))?;
    if gone.is_none() {
        if !exists(session, &["users", user])? {
            return Err(no_user(user));
        }
        let vhost = session.given.vhost();
        if !exists(session, &["vhosts", vhost])? {
            let text = format!("Virtual host {vhost} does not exist");
            return Err(Failure::error(Exit::Unavailable, text));
        }
    }
    session.done(None)
}

fn exists(session: &mut Session<'_>, segments: &[&str]) -> Result<bool, Failure> {
    session.find(&Request::get(segments)).map(|found| found.is_some())
}

fn no_user(name: &str) -> Failure {
    Failure::error(Exit::NoUser, format!("User {name} does not exist"))
}
