//! Which optional features are there, and which old ones go? None: every node has all there is, and
//! all queues are where they belong.

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "feature-flags", methods: &[(Method::Get, Right::Management, list)] },
    Route { path: "deprecated-features", methods: &[(Method::Get, Right::Management, list)] },
    Route { path: "deprecated-features/used", methods: &[(Method::Get, Right::Management, list)] },
    Route { path: "rebalance/queues", methods: &[(Method::Post, Right::Administrator, rebalance)] },
];

fn list(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::json(&json!([])).into())
}

/// Queues are spread over the nodes of a cluster; on one node they are already.
fn rebalance(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::empty(204).into())
}
