//! How often did somebody try to log in, and how often in vain?

use serde_json::{Value, json};

use super::nodes::check_name;
use crate::broker::users::{Attempts, LoginBy};
use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route {
        path: "auth/attempts/*",
        methods: &[
            (Method::Get, Right::Monitoring, show),
            (Method::Delete, Right::Monitoring, forget),
        ],
    },
    Route {
        path: "auth/attempts/*/source",
        methods: &[
            (Method::Get, Right::Monitoring, show_sources),
            (Method::Delete, Right::Monitoring, forget),
        ],
    },
];

/// The protocols by which somebody logs in, as tools name them.
pub const PROTOCOLS: [(&str, LoginBy); 2] = [("http", LoginBy::Http), ("amqp091", LoginBy::Amqp)];

fn show(call: &mut Call<'_, '_>) -> Outcome {
    check_name(call)?;
    let users = call.context.broker.users();
    let rows = PROTOCOLS.map(|(protocol, by)| {
        let Attempts { succeeded, failed } = users.attempts(by);
        json!({
            "protocol": protocol,
            "auth_attempts": succeeded + failed,
            "auth_attempts_failed": failed,
            "auth_attempts_succeeded": succeeded,
        })
    });
    call.show(Value::from(rows.to_vec()))
}

/// By address and user: as in RabbitMQ unless that is switched on, none are kept.
fn show_sources(call: &mut Call<'_, '_>) -> Outcome {
    check_name(call)?;
    call.show(json!([]))
}

fn forget(call: &mut Call<'_, '_>) -> Outcome {
    check_name(call)?;
    call.context.broker.users_mut().forget_attempts();
    Ok(Response::empty(204).into())
}
