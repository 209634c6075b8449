//! How does somebody log in by form, and out again? The cookie of a session.
//!
//! Names and passwords are looked at where all logins are, before this is asked.

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::json;
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::sessions;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[Route {
    path: "login",
    methods: &[(Method::Post, Right::Login, log_in), (Method::Delete, Right::Logout, log_out)],
}];

fn log_in(call: &mut Call<'_, '_>) -> Outcome {
    let caller = call.caller;
    let shown = json!({ "name": json::text(&caller.name), "tags": caller.tags });
    let mut response = Response::json(&shown);
    if let Some(secret) = &caller.session {
        response = response.header("set-cookie", secret.set_cookie());
    }
    Ok(response.into())
}

fn log_out(_call: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::empty(204).header("set-cookie", sessions::clear_cookie()).into())
}
