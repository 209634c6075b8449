//! What may users do in which vhosts?

use serde_json::Value;

use super::permission_check;
use crate::amqp::Name;
use crate::broker::User;
use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::change;
use crate::management::definitions::permissions;
use crate::management::definitions::walk::Walk;
use crate::management::list;
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "permissions", methods: &[(Method::Get, Right::Administrator, list_all)] },
    Route {
        path: "permissions/check",
        methods: &[(Method::Get, Right::Administrator, permission_check::check)],
    },
    Route {
        path: "permissions/*/*",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
            (Method::Delete, Right::Administrator, delete),
        ],
    },
    Route {
        path: "vhosts/*/permissions",
        methods: &[(Method::Get, Right::Administrator, list_of_vhost)],
    },
    Route {
        path: "users/*/permissions",
        methods: &[(Method::Get, Right::Administrator, list_of_user)],
    },
    Route {
        path: "topic-permissions",
        methods: &[(Method::Get, Right::Administrator, list_all_topic)],
    },
    Route {
        path: "topic-permissions/*/*",
        methods: &[
            (Method::Get, Right::Administrator, list_topic),
            (Method::Put, Right::Administrator, put_topic),
            (Method::Delete, Right::Administrator, delete_topic),
        ],
    },
    Route {
        path: "topic-permissions/*/*/*",
        methods: &[(Method::Delete, Right::Administrator, delete_one_topic)],
    },
    Route {
        path: "vhosts/*/topic-permissions",
        methods: &[(Method::Get, Right::Administrator, list_topic_of_vhost)],
    },
    Route {
        path: "users/*/topic-permissions",
        methods: &[(Method::Get, Right::Administrator, list_topic_of_user)],
    },
];

/// A user's permissions, in one vhost or in all.
fn of_user(user: &User, vhost: Option<&Name>) -> Vec<Value> {
    let all = user.permissions().filter(|(of, _)| vhost.is_none_or(|vhost| vhost == *of));
    all.map(|(vhost, it)| permissions::show(&user.name, vhost, it)).collect()
}

/// The same for routing keys.
fn topic_of_user(user: &User, vhost: Option<&Name>) -> Vec<Value> {
    let all = user.topic_permissions().filter(|(of, ..)| vhost.is_none_or(|vhost| vhost == *of));
    all.map(|(vhost, exchange, it)| permissions::show_topic(&user.name, vhost, exchange, it))
        .collect()
}

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Walk::users(|user| of_user(user, None)))
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = existing_vhost(call)?;
    list::answer(call, Walk::users(move |user| of_user(user, Some(&vhost))))
}

fn list_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let user = existing_user(call, 0)?.name;
    list::answer(call, Walk::user(user, |user| of_user(user, None)))
}

fn list_all_topic(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Walk::users(|user| topic_of_user(user, None)))
}

fn list_topic_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = existing_vhost(call)?;
    list::answer(call, Walk::users(move |user| topic_of_user(user, Some(&vhost))))
}

fn list_topic_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let user = existing_user(call, 0)?.name;
    list::answer(call, Walk::user(user, |user| topic_of_user(user, None)))
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let (vhost, user) = (existing_vhost(call)?, existing_user(call, 1)?);
    let found = of_user(&user, Some(&vhost)).pop();
    call.show(found.ok_or_else(Response::not_found)?)
}

fn list_topic(call: &mut Call<'_, '_>) -> Outcome {
    let (vhost, user) = (existing_vhost(call)?, existing_user(call, 1)?);
    if topic_of_user(&user, Some(&vhost)).is_empty() {
        return Err(Response::not_found());
    }
    list::answer(call, Walk::user(user.name, move |user| topic_of_user(user, Some(&vhost))))
}

fn put(call: &mut Call<'_, '_>) -> Outcome {
    let body = call.fields()?;
    let (vhost, user) = (call.part(0).to_vec(), call.part(1).to_vec());
    change::made(permissions::set(call.context.broker, &vhost, &user, &body))
}

fn put_topic(call: &mut Call<'_, '_>) -> Outcome {
    let body = call.fields()?;
    let (vhost, user) = (call.part(0).to_vec(), call.part(1).to_vec());
    change::made(permissions::set_topic(call.context.broker, &vhost, &user, &body))
}

fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let mut user = existing_user(call, 1)?;
    let was_there = user.clear_permissions(call.part(0));
    if was_there {
        call.context.broker.put_user(user);
    }
    change::removed(was_there)
}

fn delete_topic(call: &mut Call<'_, '_>) -> Outcome {
    let mut user = existing_user(call, 1)?;
    let was_there = user.clear_topic_permissions(call.part(0), None);
    if was_there {
        call.context.broker.put_user(user);
    }
    change::removed(was_there)
}

fn delete_one_topic(call: &mut Call<'_, '_>) -> Outcome {
    let mut user = existing_user(call, 1)?;
    let was_there = user.clear_topic_permissions(call.part(0), Some(call.part(2)));
    if was_there {
        call.context.broker.put_user(user);
    }
    change::removed(was_there)
}

fn existing_vhost(call: &Call<'_, '_>) -> Result<Name, Response> {
    let topology = call.context.broker.topology();
    let key = topology.vhost_named(call.part(0)).ok_or_else(Response::not_found)?;
    Ok(topology.vhost_name(key))
}

fn existing_user(call: &Call<'_, '_>, index: usize) -> Result<User, Response> {
    let found = call.context.broker.users().find(call.part(index));
    found.cloned().ok_or_else(Response::not_found)
}
