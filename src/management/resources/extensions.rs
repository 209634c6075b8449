//! Which extensions does the management page have? None.

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "extensions", methods: &[(Method::Get, Right::Management, show)] }];

fn show(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::json(&json!([])).into())
}
