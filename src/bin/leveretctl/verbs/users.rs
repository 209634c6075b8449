//! Who may log in?

use serde_json::{Value, json};

use super::LIST;
use crate::failure::{Exit, Failure};
use crate::http::{Credentials, Method, Request};
use crate::output::Column;
use crate::session::{Listing, Session};
use crate::terminal;
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Users);
const USER: Argument = ("<username>", "the user's name");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "add_user",
        arguments: &[
            USER,
            (
                "[<password>]",
                "what the user logs in with; read from standard input if it is not given",
            ),
        ],
        summary: "Creates a new user, who has no permissions for any virtual host yet",
        run: add_user,
        ..ROW
    },
    Verb {
        name: "authenticate_user",
        arguments: &[USER, ("[<password>]", "read from standard input if it is not given")],
        summary: "Attempts to authenticate a user. Exits with a non-zero code if that fails",
        run: authenticate_user,
        ..ROW
    },
    Verb {
        name: "change_password",
        arguments: &[
            USER,
            ("[<password>]", "the new one; read from standard input if it is not given"),
        ],
        summary: "Changes the user password",
        run: change_password,
        ..ROW
    },
    Verb {
        name: "clear_password",
        arguments: &[USER],
        summary: "Clears (resets) password and disables password login for a user",
        run: clear_password,
        ..ROW
    },
    Verb {
        name: "delete_user",
        arguments: &[USER],
        summary: "Removes a user",
        run: delete_user,
        ..ROW
    },
    Verb {
        name: "hash_password",
        arguments: &[("[<password>]", "read from standard input if it is not given")],
        summary: "Prints the hash of a password, as definitions hold it",
        run: hash_password,
        ..ROW
    },
    Verb {
        name: "list_users",
        options: LIST,
        columns: Some(&USERS),
        summary: "List user names and tags",
        run: list_users,
        ..ROW
    },
    Verb {
        name: "set_user_tags",
        arguments: &[
            USER,
            ("[<tag> ...]", "tags separated by spaces; without any, all are removed"),
        ],
        summary: "Sets user tags",
        run: set_user_tags,
        ..ROW
    },
];

static USERS: Columns =
    Columns { all: &[Column::renamed("user", "name"), Column::atom("tags")], usual: "" };

fn add_user(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    if name.is_empty() {
        return Err(Failure::bad_argument("Bad argument: user cannot be an empty string"));
    }
    session.banner(&format!("Adding user \"{name}\" ..."))?;
    let password = password(session, 1, Exit::DataError)?;
    if session.find(&Request::get(&["users", name]))?.is_some() {
        let text = format!("User \"{name}\" already exists");
        return Err(Failure::error(Exit::Software, text));
    }
    put_user(session, name, &secret(&password), &json!([]))?;
    let program = session.program;
    session.remark(&format!(
        "Done. Don't forget to grant the user permissions to some virtual hosts! See '{program} \
         help set_permissions' to learn more."
    ))
}

fn authenticate_user(session: &mut Session<'_>) -> Result<(), Failure> {
    let user = session.given.argument(0).to_owned();
    session.banner(&format!("Authenticating user \"{user}\" ..."))?;
    let password = password(session, 1, Exit::Software)?;
    let credentials = Credentials { user: user.clone(), password };
    let answer = session.send(&Request::get(&["whoami"]).login(credentials))?;
    // Whoever may not use the API has been recognised all the same.
    let stranger = answer.status == 401 && answer.reason() == "Not management user";
    match answer.status {
        200..300 if answer.json().is_none_or(|body| body["name"] != *user) => {
            let text = "The broker did not say who the user is, so nothing is known about them.";
            Err(Failure::error(Exit::Unavailable, text))
        }
        200..300 => session.done(Some("Success")),
        _ if stranger => session.done(Some("Success")),
        401 => {
            let text = format!(
                "Error: failed to authenticate user \"{user}\"\nuser '{user}' - invalid credentials"
            );
            Err(Failure::error(Exit::DataError, text))
        }
        _ => Err(Failure::answered(&answer)),
    }
}

fn change_password(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Changing password for user \"{name}\" ..."))?;
    let password = password(session, 1, Exit::Software)?;
    let user = user(session, name, Failure::no_user(name))?;
    put_user(session, name, &secret(&password), &user["tags"])?;
    session.done(None)
}

fn clear_password(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Clearing password for user \"{name}\" ..."))?;
    let text = format!("User \"{name}\" does not exist");
    let user = user(session, name, Failure::error(Exit::Unavailable, text))?;
    put_user(session, name, &secret(""), &user["tags"])?;
    session.done(None)
}

fn delete_user(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Deleting user \"{name}\" ..."))?;
    let deleted = session.find(&Request::new(Method::Delete, &["users", name]))?;
    deleted.ok_or_else(|| Failure::no_user(name))?;
    session.done(None)
}

fn hash_password(session: &mut Session<'_>) -> Result<(), Failure> {
    session.banner("Will hash password")?;
    let password = password(session, 0, Exit::DataError)?;
    let hash = session.ask(&Request::get(&["auth", "hash_password", &password]))?;
    let hash = hash.get("ok").and_then(Value::as_str).unwrap_or_default().to_owned();
    session.done(Some(&hash))
}

fn list_users(session: &mut Session<'_>) -> Result<(), Failure> {
    session.list(&Listing::short("Listing users ...".to_owned(), &["users"]))
}

fn set_user_tags(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    let tags = &session.given.arguments()[1..];
    let shown = tags.join(", ");
    session.banner(&format!("Setting tags for user \"{name}\" to [{shown}] ..."))?;
    let user = user(session, name, Failure::no_user(name))?;
    let kept = json!({
        "password_hash": user["password_hash"],
        "hashing_algorithm": user["hashing_algorithm"],
    });
    put_user(session, name, &kept, &json!(tags))?;
    session.done(None)
}

/// What the API knows about the user.
fn user(session: &mut Session<'_>, name: &str, missing: Failure) -> Result<Value, Failure> {
    session.find(&Request::get(&["users", name]))?.ok_or(missing)
}

/// Puts the user there with this password and these tags.
fn put_user(
    session: &mut Session<'_>,
    name: &str,
    secret: &Value,
    tags: &Value,
) -> Result<(), Failure> {
    let mut body = secret.clone();
    // Joined by commas they are understood by every version of the API.
    let tags: Vec<&str> = tags.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    body["tags"] = json!(tags.join(","));
    session.ask(&Request::new(Method::Put, &["users", name]).json(&body)).map(|_| ())
}

/// The part of a user that lets them in; an empty password lets nobody in.
fn secret(password: &str) -> Value {
    if password.is_empty() { json!({"password_hash": ""}) } else { json!({"password": password}) }
}

/// The password at this place of the arguments, or from standard input. What it means that there
/// is none differs between rabbitmqctl's verbs.
fn password(session: &Session<'_>, index: usize, missing: Exit) -> Result<String, Failure> {
    if let Some(password) = session.given.arguments().get(index) {
        return Ok(password.clone());
    }
    let text = "Password is not provided via argument or stdin";
    match terminal::password() {
        Ok(Some(password)) => Ok(password),
        Ok(None) => Err(Failure::error(missing, text)),
        Err(failure) => Err(failure),
    }
}
