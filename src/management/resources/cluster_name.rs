//! What is the cluster's name?

use log::info;
use serde_json::json;

use crate::management::call::{Call, Order, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::{body, json};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[Route {
    path: "cluster-name",
    methods: &[(Method::Get, Right::Management, show), (Method::Put, Right::Administrator, put)],
}];

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 255;

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({ "name": call.context.node.identity().cluster_name }))
}

/// Gives the cluster another name, until the node starts again.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let body = json::object(&call.request.body)?;
    body::require(&body, &["name"])?;
    let name = body::text(&body, "name")?.filter(|name| !name.is_empty());
    let name = name.filter(|name| name.len() <= NAME_BYTES_MAX);
    let name = name.ok_or_else(|| Response::bad_request("name has 1 to 255 bytes"))?;
    let order = Order::ClusterName(name.to_owned());
    info!("user '{}' set {order}", call.caller.name);
    call.context.orders.push(order);
    Ok(Response::empty(204).into())
}
