//! Which virtual hosts are there?

use log::info;
use serde_json::Value;

use crate::amqp::Name;
use crate::broker::{VhostKey, VhostSettings};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::change;
use crate::management::definitions::fields::Fields;
use crate::management::definitions::vhosts;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "vhosts", methods: &[(Method::Get, Right::Management, list_all)] },
    Route {
        path: "vhosts/*",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
            (Method::Delete, Right::Administrator, delete),
        ],
    },
    Route {
        path: "vhosts/*/deletion/protection",
        methods: &[
            (Method::Post, Right::Administrator, protect),
            (Method::Delete, Right::Administrator, expose),
        ],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Vhosts { at: 0, caller: call.caller.clone() })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let key = call.context.broker.topology().vhost_named(call.part(0));
    let vhost = key.and_then(|key| item(call.context, key)).ok_or_else(Response::not_found)?;
    call.show(vhost)
}

/// Makes a vhost, or says something else of one. While one of its name is being deleted, it waits
/// until that is gone.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    let body = call.fields()?;
    if call.context.broker.topology().is_vhost_leaving(&name) {
        return Ok(Answer::Later(Box::new(Arriving { name, body })));
    }
    change::made(vhosts::put(call.context.broker, &name, &body))
}

/// Deletes a vhost with all that is in it, messages excepted, which go by and by.
fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let topology = call.context.broker.topology();
    let key = topology.vhost_named(call.part(0)).ok_or_else(Response::not_found)?;
    let name = topology.vhost_name(key);
    if topology.vhost(key).is_some_and(|vhost| vhost.settings.protected) {
        let reason = format!(
            "Refusing to delete virtual host '{name}' because it is protected from deletion"
        );
        return Err(Response::error(412, "precondition_failed", &reason));
    }
    call.context.broker.delete_vhost(key);
    info!("vhost '{name}' was deleted by '{}'", call.caller.name);
    Ok(Answer::Later(Box::new(Leaving { name })))
}

fn protect(call: &mut Call<'_, '_>) -> Outcome {
    set_protected(call, true)
}

fn expose(call: &mut Call<'_, '_>) -> Outcome {
    set_protected(call, false)
}

fn set_protected(call: &mut Call<'_, '_>, protected: bool) -> Outcome {
    let topology = call.context.broker.topology();
    let key = topology.vhost_named(call.part(0)).ok_or_else(Response::not_found)?;
    let vhost = topology.vhost(key).ok_or_else(Response::not_found)?;
    let (name, settings) = (vhost.name.clone(), vhost.settings.clone());
    call.context.broker.put_vhost(&name, VhostSettings { protected, ..settings });
    change::changed(Ok(()))
}

/// A vhost that is to be made once one of its name is gone.
struct Arriving {
    name: Name,
    body: Fields,
}

impl Work for Arriving {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        if context.broker.topology().is_vhost_leaving(&self.name) {
            return Progress::Unfinished;
        }
        match vhosts::put(context.broker, &self.name, &self.body) {
            Ok(is_new) => Progress::once_durable(
                context.broker,
                Response::empty(if is_new { 201 } else { 204 }),
            ),
            Err(wrong) => Progress::Instead(Response::bad_request(&wrong)),
        }
    }
}

/// A vhost that was deleted.
struct Leaving {
    name: Name,
}

impl Work for Leaving {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        if context.broker.topology().is_vhost_leaving(&self.name) {
            return Progress::Unfinished;
        }
        Progress::once_durable(context.broker, Response::empty(204))
    }
}

/// Those that the caller sees.
struct Vhosts {
    /// The next place.
    at: u32,
    caller: Caller,
}

impl Source for Vhosts {
    type Key = VhostKey;

    const WORK_PER_ITEM: usize = 30;

    fn next(&mut self, context: &Context<'_>) -> Next<VhostKey> {
        let topology = context.broker.topology();
        if self.at >= topology.vhost_places() {
            return Next::End;
        }
        let found = topology.vhost_at(self.at);
        self.at += 1;
        match found {
            Some((key, vhost))
                if !vhost.leaving && self.caller.sees(context.broker.users(), &vhost.name) =>
            {
                Next::Item(key)
            }
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &VhostKey) -> Option<(Name, Name)> {
        let vhost = context.broker.topology().vhost(*key)?;
        Some((Name::default(), vhost.name.clone()))
    }

    fn field(&self, context: &Context<'_>, key: &VhostKey, path: &str) -> Option<Field> {
        let vhost = context.broker.topology().vhost(*key)?;
        (path == "name").then(|| Field::Text(vhost.name.clone()))
    }

    fn item(&self, context: &Context<'_>, key: &VhostKey) -> Option<Value> {
        item(context, *key)
    }
}

fn item(context: &Context<'_>, key: VhostKey) -> Option<Value> {
    let vhost = context.broker.topology().vhost(key)?;
    Some(vhosts::show(vhost, &context.node.identity().node_name))
}
