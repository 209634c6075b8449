//! Which version of which product is this?

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "version", methods: &[(Method::Get, Right::Management, show)] }];

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let identity = call.context.node.identity();
    call.show(json!({
        "leveret_version": env!("CARGO_PKG_VERSION"),
        "product_name": identity.product_name,
        "product_version": identity.product_version,
    }))
}
