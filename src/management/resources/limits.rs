//! How much may vhosts and users have?

use serde_json::{Map, Value, json};

use crate::broker::{User, Vhost};
use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::definitions::policies::invalid;
use crate::management::definitions::walk::Walk;
use crate::management::definitions::{fields, limits, users};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::{change, json, list};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "vhost-limits", methods: &[(Method::Get, Right::Management, list_vhosts)] },
    Route { path: "vhost-limits/*", methods: &[(Method::Get, Right::Management, list_vhost)] },
    Route {
        path: "vhost-limits/*/*",
        methods: &[
            (Method::Put, Right::Administrator, put_of_vhost),
            (Method::Delete, Right::Administrator, delete_of_vhost),
        ],
    },
    Route { path: "user-limits", methods: &[(Method::Get, Right::Management, list_users)] },
    Route { path: "user-limits/*", methods: &[(Method::Get, Right::Management, list_user)] },
    Route {
        path: "user-limits/*/*",
        methods: &[
            (Method::Put, Right::Administrator, put_of_user),
            (Method::Delete, Right::Administrator, delete_of_user),
        ],
    },
];

fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    shown("vhost", &vhost.name, limits::show_vhost(&vhost.settings))
}

fn of_user(user: &User) -> Vec<Value> {
    shown("user", &user.name, limits::show_user(user))
}

fn shown(field: &str, name: &[u8], limits: Map<String, Value>) -> Vec<Value> {
    let shown = || json!({ field: json::text(name), "value": limits });
    if limits.is_empty() { Vec::new() } else { vec![shown()] }
}

fn list_vhosts(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Walk::vhosts(call.caller, of_vhost))
}

fn list_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost_to_see(0)?;
    list::answer(call, Walk::vhost(vhost, of_vhost))
}

fn list_users(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Walk::users(of_user))
}

fn list_user(call: &mut Call<'_, '_>) -> Outcome {
    let user = call.context.broker.users().find(call.part(0)).ok_or_else(Response::not_found)?;
    list::answer(call, Walk::user(user.name.clone(), of_user))
}

fn put_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let key = call.vhost_to_set(0)?;
    let (limit, value) = limit(call)?;
    let vhost = call.context.broker.topology().vhost(key).ok_or_else(Response::not_found)?;
    let (name, mut settings) = (vhost.name.clone(), vhost.settings.clone());
    limits::set_of_vhost(&mut settings, &limit, &value)
        .map_err(|wrong| Response::bad_request(&invalid(&wrong)))?;
    call.context.broker.put_vhost(&name, settings);
    change::changed(Ok(()))
}

fn delete_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let key = call.vhost_to_see(0)?;
    let vhost = call.context.broker.topology().vhost(key).ok_or_else(Response::not_found)?;
    let (name, mut settings) = (vhost.name.clone(), vhost.settings.clone());
    limits::clear_of_vhost(&mut settings, call.part(1));
    call.context.broker.put_vhost(&name, settings);
    change::changed(Ok(()))
}

fn put_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let (limit, value) = limit(call)?;
    let found = call.context.broker.users().find(call.part(0)).cloned();
    let mut user = found.ok_or_else(|| {
        let name = json::text(call.part(0));
        let reason = json!({ "error": "bad_request", "reason": ["no_such_user", name] });
        Response::with(400, &reason)
    })?;
    limits::set_of_user(&mut user, &limit, &value)
        .map_err(|wrong| Response::bad_request(&wrong))?;
    change::changed(users::store(call.context.broker, user).map(drop))
}

fn delete_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let found = call.context.broker.users().find(call.part(0)).cloned();
    let mut user = found.ok_or_else(Response::not_found)?;
    limits::clear_of_user(&mut user, call.part(1));
    call.context.broker.put_user(user);
    change::changed(Ok(()))
}

/// The limit that the path names, and what it is to be.
fn limit(call: &Call<'_, '_>) -> Result<(String, Value), Response> {
    let mut body = call.fields()?;
    fields::require(&body, &["value"]).map_err(|wrong| Response::bad_request(&wrong))?;
    let name = String::from_utf8_lossy(call.part(1)).into_owned();
    Ok((name, body.remove("value").unwrap_or(Value::Null)))
}
