//! Which parameters of vhosts and of the node are kept?

use serde_json::{Value, json};

use crate::amqp::Name;
use crate::broker::topology::parameters::Scope;
use crate::broker::{Vhost, VhostKey, VhostSettings};
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::change;
use crate::management::definitions::walk::Walk;
use crate::management::definitions::{fields, parameters};
use crate::management::list;
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "parameters", methods: &[(Method::Get, Right::Policymaker, list_all)] },
    Route {
        path: "parameters/*",
        methods: &[(Method::Get, Right::Policymaker, list_of_component)],
    },
    Route { path: "parameters/*/*", methods: &[(Method::Get, Right::Policymaker, list_of_vhost)] },
    Route {
        path: "parameters/*/*/*",
        methods: &[
            (Method::Get, Right::Policymaker, show),
            (Method::Put, Right::Policymaker, put),
            (Method::Delete, Right::Policymaker, delete),
        ],
    },
    Route { path: "global-parameters", methods: &[(Method::Get, Right::Policymaker, list_global)] },
    Route {
        path: "global-parameters/*",
        methods: &[
            (Method::Get, Right::Policymaker, show_global),
            (Method::Put, Right::Policymaker, put_global),
            (Method::Delete, Right::Policymaker, delete_global),
        ],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Walk::vhosts(call.caller, parameters::all_of))
}

fn list_of_component(call: &mut Call<'_, '_>) -> Outcome {
    let component = call.part(0).to_vec();
    list::answer(call, Walk::vhosts(call.caller, move |vhost| of_component(vhost, &component)))
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let (component, vhost) = (call.part(0).to_vec(), call.vhost_to_see(1)?);
    list::answer(call, Walk::vhost(vhost, move |vhost| of_component(vhost, &component)))
}

/// A vhost's parameters of one component; policies are some here.
fn of_component(vhost: &Vhost, component: &[u8]) -> Vec<Value> {
    if component == parameters::POLICY.as_bytes() {
        return parameters::policies_of(vhost, false).collect();
    }
    let mut all = parameters::all_of(vhost);
    let component = String::from_utf8_lossy(component);
    all.retain(|shown| shown["component"] == *component);
    all
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost_to_see(1)?;
    let vhost = call.context.broker.topology().vhost(vhost).ok_or_else(Response::not_found)?;
    let name = String::from_utf8_lossy(call.part(2));
    let all = of_component(vhost, call.part(0));
    let found = all.into_iter().find(|shown| shown["name"] == *name);
    call.show(found.ok_or_else(Response::not_found)?)
}

fn put(call: &mut Call<'_, '_>) -> Outcome {
    call.vhost_to_set(1)?;
    let (component, vhost) = (call.new_name(0)?, call.part(1).to_vec());
    let name = call.new_name(2)?;
    let value = value(call)?;
    let broker = &mut *call.context.broker;
    change::made(parameters::set(broker, &vhost, &component, name, &value))
}

fn value(call: &Call<'_, '_>) -> Result<Value, Response> {
    let mut body = call.fields()?;
    fields::require(&body, &["value"]).map_err(|wrong| Response::bad_request(&wrong))?;
    Ok(body.remove("value").unwrap_or(Value::Null))
}

fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let (component, vhost) = (Name::from(call.part(0)), call.vhost_to_see(1)?);
    if component == *parameters::LIMITS {
        return change::removed(clear_limits(call.context, vhost));
    }
    let name = call.part(2).to_vec();
    let scope = Scope::Vhost(vhost, &component);
    change::removed(call.context.broker.clear_parameter(scope, &name))
}

/// Takes all limits of a vhost back; `false`: it has none.
fn clear_limits(context: &mut Context<'_>, key: VhostKey) -> bool {
    let Some(vhost) = context.broker.topology().vhost(key) else {
        return false;
    };
    let had_some = parameters::limits_of(vhost).is_some();
    let settings =
        VhostSettings { connections_max: None, queues_max: None, ..vhost.settings.clone() };
    let name = vhost.name.clone();
    if had_some {
        context.broker.put_vhost(&name, settings);
    }
    had_some
}

fn list_global(call: &mut Call<'_, '_>) -> Outcome {
    let topology = call.context.broker.topology();
    let said = topology.global_parameters().iter();
    let said = said.map(|(name, value)| parameters::show_global(name, value));
    let is_named = topology.parameter(Scope::Global, parameters::CLUSTER_NAME).is_some();
    let named = (!is_named).then(|| cluster_name(call));
    let all = named.into_iter().chain(said).collect();
    list::answer(call, Walk::of(all))
}

fn show_global(call: &mut Call<'_, '_>) -> Outcome {
    let (topology, name) = (call.context.broker.topology(), call.part(0));
    match topology.parameter(Scope::Global, name) {
        Some(value) => call.show(parameters::show_global(name, value)),
        None if name == parameters::CLUSTER_NAME => call.show(cluster_name(call)),
        None => Err(Response::not_found()),
    }
}

/// The cluster's name, which is a parameter in RabbitMQ.
fn cluster_name(call: &Call<'_, '_>) -> Value {
    json!({ "name": "cluster_name", "value": call.context.node.identity().cluster_name })
}

fn put_global(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    let value = value(call)?;
    change::made(parameters::set_global(call.context.broker, name, &value))
}

fn delete_global(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.part(0).to_vec();
    change::removed(call.context.broker.clear_parameter(Scope::Global, &name))
}
