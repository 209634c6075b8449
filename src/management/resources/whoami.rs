//! Who am I, and what are my tags?

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::json;
use crate::management::request::Method;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "whoami", methods: &[(Method::Get, Right::Management, show)] }];

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({ "name": json::text(&call.caller.name), "tags": call.caller.tags }))
}
