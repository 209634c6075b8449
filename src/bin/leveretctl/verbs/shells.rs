//! What does the program say about itself?

use super::refused;
use crate::completion;
use crate::failure::{Exit, Failure};
use crate::help as texts;
use crate::http::Request;
use crate::session::Session;
use crate::verb::{Group, Verb};

const ROW: Verb = Verb::of(Group::Help);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "autocomplete",
        arguments: &[("<prefix>", "how a command begins")],
        summary: "Prints the commands that begin like this, a line each",
        run: autocomplete,
        ..ROW
    },
    Verb {
        name: "complete",
        arguments: &[("<kind>", "queues, users or vhosts"), ("[<prefix>]", "how the name begins")],
        seconds: 1,
        summary: "Prints names that begin like this, for shells that complete them",
        run: complete,
        ..ROW
    },
    Verb {
        name: "completion",
        arguments: &[("<shell>", "bash, zsh or fish")],
        summary: "Prints what a shell needs to complete commands",
        run: completion,
        ..ROW
    },
    Verb {
        name: "help",
        arguments: &[("[<command>]", "the command to explain")],
        summary: "Displays usage information for a command",
        run: help,
        ..ROW
    },
    Verb { name: "version", summary: "Displays the version", run: version, ..ROW },
];

fn complete(session: &mut Session<'_>) -> Result<(), Failure> {
    let (kind, prefix) = (session.given.argument(0), session.given.argument(1));
    let request = match kind {
        // There may be many, and nobody reads more than some.
        "queues" => Request::get(&["queues", session.given.vhost()])
            .query("page", "1")
            .query("page_size", "100")
            .query("sort", "name")
            .query("use_regex", "true")
            .query("name", &format!("^{}", literally(prefix))),
        "users" | "vhosts" => Request::get(&[kind]),
        _ => return Err(Failure::usage(format!("'{kind}' is not one of queues, users, vhosts"))),
    };
    let found = session.ask(&request.query("columns", "name"))?;
    let rows = found.get("items").unwrap_or(&found).as_array().into_iter().flatten();
    let mut names: Vec<&str> = rows.filter_map(|row| row["name"].as_str()).collect();
    // A line each, so one with a line's end is none that a shell can be told.
    names.retain(|name| name.starts_with(prefix) && !name.contains(char::is_control));
    names.sort_unstable();
    names.into_iter().try_for_each(|name| session.print(name))
}

/// A regular expression for just this text.
fn literally(text: &str) -> String {
    let mut expression = String::new();
    for character in text.chars() {
        if "\\^$.|?*+()[]{}".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

fn completion(session: &mut Session<'_>) -> Result<(), Failure> {
    let shell = session.given.argument(0);
    let script = completion::script(shell, session.program)
        .ok_or_else(|| Failure::bad_argument("Bad argument: the shell is bash, zsh or fish"))?;
    session.print_raw(script.as_bytes())
}

fn autocomplete(session: &mut Session<'_>) -> Result<(), Failure> {
    let prefix = session.given.argument(0);
    let mut names: Vec<&str> =
        Verb::all().map(|verb| verb.name).filter(|name| name.starts_with(prefix)).collect();
    names.sort_unstable();
    names.into_iter().try_for_each(|name| session.print(name))
}

fn help(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    let text = match Verb::named(name) {
        _ if name.is_empty() => texts::general(session.program),
        Some(verb) => texts::of(session.program, verb),
        None => {
            if let Some(reason) = refused::reason(name) {
                return session.print(&format!("'{name}' does nothing here: {reason}."));
            }
            let text = format!("\nCommand '{name}' not found.");
            return Err(Failure::error(Exit::Usage, text));
        }
    };
    session.print_raw(text.as_bytes())
}

fn version(session: &mut Session<'_>) -> Result<(), Failure> {
    session.print(env!("CARGO_PKG_VERSION"))
}
