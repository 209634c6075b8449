//! Who am I, and what are my tags?

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::json;
use crate::management::request::Method;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "whoami", methods: &[(Method::Get, Right::Management, show)] },
    Route { path: "auth", methods: &[(Method::Get, Right::Anyone, ways)] },
];

/// How else than by name and password one may log in: in no way. In the words of old and of new
/// clients.
fn ways(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({
        "enable_uaa": false, "uaa_client_id": "", "uaa_location": "", "oauth_enabled": false,
    }))
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.show(json!({ "name": json::text(&call.caller.name), "tags": call.caller.tags }))
}
