//! Which optional features are there, and which old ones go? None: every node has all there is.

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "feature-flags", methods: &[(Method::Get, Right::Management, list)] },
    Route { path: "deprecated-features", methods: &[(Method::Get, Right::Management, list)] },
    Route { path: "deprecated-features/used", methods: &[(Method::Get, Right::Management, list)] },
];

fn list(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::json(&json!([])).into())
}
