//! What is the cluster's name?

use log::info;
use serde_json::{Value, json};

use crate::amqp::Name;
use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::definitions::parameters::{self, CLUSTER_NAME};
use crate::management::request::Method;
use crate::management::{body, change, json};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[Route {
    path: "cluster-name",
    methods: &[(Method::Get, Right::Management, show), (Method::Put, Right::Administrator, put)],
}];

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({ "name": call.context.node.identity().cluster_name }))
}

/// Gives the cluster another name: that is a parameter, as in RabbitMQ.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let body = json::object(&call.request.body)?;
    body::require(&body, &["name"])?;
    let name = body::text(&body, "name")?.unwrap_or_default();
    let (broker, value) = (&mut *call.context.broker, Value::from(name));
    let named = parameters::set_global(broker, Name::from(CLUSTER_NAME), &value);
    if named.is_ok() {
        info!("user '{}' set the cluster's name to '{name}'", call.caller.name);
    }
    change::made(named.map(|_| false))
}
