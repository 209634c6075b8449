//! Which users are there, and with which passwords and tags?

use serde_json::{Map, Value, json};

use crate::amqp::Name;
use crate::broker::User;
use crate::broker::users::password::{HashAlgorithm, HashError, PasswordHash};
use crate::management::call::{Answer, Call, Context, Outcome, Right, Route};
use crate::management::json;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "users", methods: &[(Method::Get, Right::Administrator, list_all)] },
    Route {
        path: "users/*",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
        ],
    },
];

/// All tags of a user together have at most so many bytes: a user is one record of the log.
const TAG_BYTES_MAX: usize = 4096;

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Users { after: None })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let user = call.context.broker.users().find(call.part(0)).ok_or_else(Response::not_found)?;
    call.show(item(user))
}

/// Makes a user or gives one another password and tags; permissions and limits stay.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    let body = json::object(&call.request.body)?;
    let tags = body.get("tags").ok_or_else(|| Response::bad_request("tags_not_present"))?;
    let tags = json::words("tags", tags)?;
    if tags.iter().map(String::len).sum::<usize>() > TAG_BYTES_MAX {
        let text = format!("tags have at most {TAG_BYTES_MAX} bytes together");
        return Err(Response::bad_request(&text));
    }
    let password = password(&body)?;
    let found = call.context.broker.users().find(&name).cloned();
    let is_new = found.is_none();
    let mut user = found.unwrap_or_else(|| User::new(name, None, Vec::new()));
    user.password = password;
    user.tags = tags;
    call.context.broker.put_user(user);
    Ok(Answer::OnceDurable(Response::empty(if is_new { 201 } else { 204 })))
}

/// The hash that a body asks for. Without a password, or with an empty hash, nobody logs in.
fn password(body: &Map<String, Value>) -> Result<Option<PasswordHash>, Response> {
    let refuse = |error: HashError| Response::bad_request(&error.to_string());
    match (body.get("password"), body.get("password_hash")) {
        (Some(_), Some(_)) => {
            Err(Response::bad_request("both_password_and_password_hash_are_provided"))
        }
        (Some(password), None) => {
            let password = text("password", password)?;
            PasswordHash::create(password.as_bytes()).map(Some).map_err(refuse)
        }
        (None, Some(hash)) => {
            let hash = text("password_hash", hash)?;
            let algorithm = match body.get("hashing_algorithm") {
                Some(name) => HashAlgorithm::parse(text("hashing_algorithm", name)?),
                None => Ok(HashAlgorithm::Sha256),
            };
            let algorithm = algorithm.map_err(refuse)?;
            let make = || PasswordHash::from_base64(algorithm, hash).map_err(refuse);
            (!hash.is_empty()).then(make).transpose()
        }
        (None, None) => Ok(None),
    }
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, Response> {
    let wrong = || Response::bad_request(&format!("{field} has to be a text"));
    value.as_str().ok_or_else(wrong)
}

/// All, by their names.
struct Users {
    /// The last one that was found.
    after: Option<Name>,
}

impl Source for Users {
    type Key = Name;

    const WORK_PER_ITEM: usize = 30;

    fn next(&mut self, context: &Context<'_>) -> Next<Name> {
        match context.broker.users().after(self.after.as_ref()) {
            Some(user) => {
                self.after = Some(user.name.clone());
                Next::Item(user.name.clone())
            }
            None => Next::End,
        }
    }

    fn place(&self, _: &Context<'_>, name: &Name) -> Option<(Name, Name)> {
        Some((Name::default(), name.clone()))
    }

    fn field(&self, _: &Context<'_>, name: &Name, path: &str) -> Option<Field> {
        (path == "name").then(|| Field::Text(name.clone()))
    }

    fn item(&self, context: &Context<'_>, name: &Name) -> Option<Value> {
        context.broker.users().find(name).map(item)
    }
}

fn item(user: &User) -> Value {
    let password = user.password.as_ref();
    let algorithm = password.map_or(HashAlgorithm::Sha256, PasswordHash::algorithm);
    let limits = [("max-connections", user.connections_max), ("max-channels", user.channels_max)];
    let limits = limits.into_iter().filter_map(|(name, max)| Some((name.to_owned(), max?.into())));
    json!({
        "name": json::text(&user.name),
        "password_hash": password.map(PasswordHash::to_base64).unwrap_or_default(),
        "hashing_algorithm": algorithm.name(),
        "tags": user.tags,
        "limits": limits.collect::<Map<_, Value>>(),
    })
}
