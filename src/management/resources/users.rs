//! Which users are there, and with which passwords and tags?

use log::info;
use serde_json::{Value, json};

use crate::amqp::Name;
use crate::broker::users::password::{HashError, PasswordHash};
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::change;
use crate::management::definitions::fields;
use crate::management::definitions::users;
use crate::management::definitions::walk::Walk;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "users", methods: &[(Method::Get, Right::Administrator, list_all)] },
    Route {
        path: "users/without-permissions",
        methods: &[(Method::Get, Right::Administrator, list_without_permissions)],
    },
    Route {
        path: "users/bulk-delete",
        methods: &[(Method::Post, Right::Administrator, delete_several)],
    },
    Route {
        path: "users/*",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
            (Method::Delete, Right::Administrator, delete),
        ],
    },
    Route {
        path: "auth/hash_password/*",
        methods: &[(Method::Get, Right::Administrator, hash_of_part)],
    },
    Route {
        path: "auth/hash_password",
        methods: &[(Method::Post, Right::Administrator, hash_of_field)],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Users { after: None })
}

fn list_without_permissions(call: &mut Call<'_, '_>) -> Outcome {
    let walk = Walk::users(|user| match user.permissions().next() {
        None => vec![users::show(user)],
        Some(_) => Vec::new(),
    });
    list::answer(call, walk)
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let user = call.context.broker.users().find(call.part(0)).ok_or_else(Response::not_found)?;
    call.show(users::show(user))
}

fn put(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    let body = call.fields()?;
    change::made(users::put(call.context.broker, name, &body))
}

fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let name = Name::from(call.part(0));
    let was_there = call.context.broker.delete_user(&name);
    if was_there {
        info!("user '{name}' was deleted by '{}'", call.caller.name);
    }
    change::removed(was_there)
}

/// Deletes all of them, or nobody.
fn delete_several(call: &mut Call<'_, '_>) -> Outcome {
    let body = call.fields()?;
    let wrong = |wrong: String| Response::bad_request(&wrong);
    fields::require(&body, &["users"]).map_err(wrong)?;
    let names = body["users"].as_array();
    let names = names.map(|names| names.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let Some(Some(names)) = names else {
        return Err(Response::bad_request("users has to be a list of names"));
    };
    let users = call.context.broker.users();
    if let Some(name) = names.iter().find(|name| users.find(name.as_bytes()).is_none()) {
        let reason = json!({ "error": "bad_request", "reason": ["no_such_user", name] });
        return Err(Response::with(400, &reason));
    }
    for name in names {
        if call.context.broker.delete_user(&Name::from(name)) {
            info!("user '{name}' was deleted by '{}'", call.caller.name);
        }
    }
    change::changed(Ok(()))
}

/// As RabbitMQ 3.13 has it; addresses end up in the histories of shells and the logs of proxies.
fn hash_of_part(call: &mut Call<'_, '_>) -> Outcome {
    hash(call, call.part(0))
}

/// As later ones have it.
fn hash_of_field(call: &mut Call<'_, '_>) -> Outcome {
    let body = call.fields()?;
    let password = fields::text(&body, "password");
    let password = password.map_err(|wrong| Response::bad_request(&wrong))?;
    hash(call, password.as_bytes())
}

fn hash(call: &Call<'_, '_>, password: &[u8]) -> Outcome {
    let refuse = |error: HashError| Response::error(500, "internal", &error.to_string());
    let hash = PasswordHash::create(password).map_err(refuse)?;
    call.show(json!({ "ok": hash.to_base64() }))
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
        context.broker.users().find(name).map(users::show)
    }
}
