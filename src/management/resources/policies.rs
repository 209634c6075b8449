//! Which policies and operator policies are there?

use serde_json::Value;

use super::policy_preview;
use crate::amqp::Name;
use crate::broker::Vhost;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::definitions::policies;
use crate::management::definitions::walk::Walk;
use crate::management::list;
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "policies", methods: &[(Method::Get, Right::Management, list_users)] },
    Route { path: "policies/*", methods: &[(Method::Get, Right::Management, list_users_of_vhost)] },
    Route {
        path: "policies/*/*",
        methods: &[
            (Method::Get, Right::Management, show_users),
            (Method::Put, Right::Policymaker, put_users),
            (Method::Delete, Right::Policymaker, delete_users),
        ],
    },
    Route {
        path: "policy-preview/*",
        methods: &[(Method::Post, Right::Policymaker, policy_preview::preview)],
    },
    Route {
        path: "operator-policies",
        methods: &[(Method::Get, Right::Management, list_operators)],
    },
    Route {
        path: "operator-policies/*",
        methods: &[(Method::Get, Right::Management, list_operators_of_vhost)],
    },
    Route {
        path: "operator-policies/*/*",
        methods: &[
            (Method::Get, Right::Management, show_operators),
            (Method::Put, Right::Administrator, put_operators),
            (Method::Delete, Right::Administrator, delete_operators),
        ],
    },
];

fn list_users(call: &mut Call<'_, '_>) -> Outcome {
    list_all(call, false)
}

fn list_operators(call: &mut Call<'_, '_>) -> Outcome {
    list_all(call, true)
}

fn list_users_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    list_of_vhost(call, false)
}

fn list_operators_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    list_of_vhost(call, true)
}

fn show_users(call: &mut Call<'_, '_>) -> Outcome {
    show(call, false)
}

fn show_operators(call: &mut Call<'_, '_>) -> Outcome {
    show(call, true)
}

fn put_users(call: &mut Call<'_, '_>) -> Outcome {
    put(call, false)
}

fn put_operators(call: &mut Call<'_, '_>) -> Outcome {
    put(call, true)
}

fn delete_users(call: &mut Call<'_, '_>) -> Outcome {
    delete(call, false)
}

fn delete_operators(call: &mut Call<'_, '_>) -> Outcome {
    delete(call, true)
}

fn list_all(call: &Call<'_, '_>, operator: bool) -> Outcome {
    list::answer(call, Walk::vhosts(call.caller, move |vhost| all_of(vhost, operator)))
}

fn list_of_vhost(call: &Call<'_, '_>, operator: bool) -> Outcome {
    let vhost = call.vhost_to_see(0)?;
    list::answer(call, Walk::vhost(vhost, move |vhost| all_of(vhost, operator)))
}

fn all_of(vhost: &Vhost, operator: bool) -> Vec<Value> {
    vhost.policies.list(operator).iter().map(policies::show).collect()
}

fn show(call: &Call<'_, '_>, operator: bool) -> Outcome {
    let vhost = call.vhost_to_see(0)?;
    let vhost = call.context.broker.topology().vhost(vhost);
    let policy = vhost.and_then(|vhost| vhost.policies.find(operator, call.part(1)));
    call.show(policies::show(policy.ok_or_else(Response::not_found)?))
}

fn put(call: &mut Call<'_, '_>, operator: bool) -> Outcome {
    call.vhost_to_set(0)?;
    let (vhost, name) = (call.part(0).to_vec(), call.new_name(1)?);
    let body = call.fields()?;
    let is_new = policies::set(call.context.broker, operator, &vhost, name, &body)
        .map_err(|wrong| Response::bad_request(&wrong))?;
    Ok(Applied::answer(if is_new { 201 } else { 204 }))
}

fn delete(call: &mut Call<'_, '_>, operator: bool) -> Outcome {
    let (vhost, name) = (call.vhost_to_see(0)?, Name::from(call.part(1)));
    if !call.context.broker.clear_policy(vhost, operator, &name) {
        return Err(Response::not_found());
    }
    Ok(Applied::answer(204))
}

/// Policies changed: what is answered for holds for everything.
struct Applied {
    status: u16,
}

impl Applied {
    fn answer(status: u16) -> Answer {
        Answer::Later(Box::new(Self { status }))
    }
}

impl Work for Applied {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        match context.broker.is_applying_policies() {
            true => Progress::Unfinished,
            false => Progress::once_durable(context.broker, Response::empty(self.status)),
        }
    }
}
