//! What is the cluster's name?

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "cluster-name", methods: &[(Method::Get, Right::Management, show)] }];

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({ "name": call.context.node.identity().cluster_name }))
}
