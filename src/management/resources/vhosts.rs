//! Which virtual hosts are there?

use serde_json::{Value, json};

use crate::amqp::Name;
use crate::broker::VhostKey;
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Right, Route};
use crate::management::json;
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

/// Makes a vhost; one that is there is fine. Nothing else can be said of it.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    json::object(&call.request.body)?;
    let broker = &mut call.context.broker;
    let is_new = broker.topology().vhost_named(&name).is_none();
    broker.create_vhost(&name);
    Ok(Answer::OnceDurable(Response::empty(if is_new { 201 } else { 204 })))
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
            Some((key, vhost)) if self.caller.sees(context.broker.users(), &vhost.name) => {
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
    let node = &context.node.identity().node_name;
    Some(json!({
        "name": json::text(&vhost.name),
        "description": "",
        "tags": [],
        "default_queue_type": "undefined",
        "metadata": { "description": "", "tags": [] },
        "tracing": false,
        "cluster_state": { node.as_str(): "running" },
    }))
}
