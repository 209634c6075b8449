//! What was the node told to have, in one file, and how is such a file taken in?

use crate::amqp::Name;
use crate::management::call::{Answer, Call, Outcome, Right, Route};
use crate::management::definitions::export::Export;
use crate::management::definitions::form;
use crate::management::definitions::import::Import;
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route {
        path: "definitions",
        methods: &[
            (Method::Get, Right::Administrator, export),
            (Method::Post, Right::Administrator, import),
        ],
    },
    Route {
        path: "definitions/*",
        methods: &[
            (Method::Get, Right::Administrator, export_vhost),
            (Method::Post, Right::Administrator, import_into_vhost),
        ],
    },
];

fn export(call: &mut Call<'_, '_>) -> Outcome {
    let file_name = call.request.parameter("download");
    Ok(Answer::Later(Box::new(Export::new(None, file_name))))
}

fn export_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.context.broker.topology().vhost_named(call.part(0));
    let vhost = vhost.ok_or_else(|| Response::bad_request("vhost_not_found"))?;
    let file_name = call.request.parameter("download");
    Ok(Answer::Later(Box::new(Export::new(Some(vhost), file_name))))
}

fn import(call: &mut Call<'_, '_>) -> Outcome {
    take_in(call, None)
}

fn import_into_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let key = call.vhost_to_set(0)?;
    let vhost = call.context.broker.topology().vhost_name(key);
    take_in(call, Some(vhost))
}

/// A file comes as the body, or in a form. With `dry_run=true` nothing of it is taken in.
fn take_in(call: &Call<'_, '_>, vhost: Option<Name>) -> Outcome {
    let at = match call.request.header("content-type").and_then(form::boundary) {
        Some(boundary) => form::file_in(&call.request.body, boundary)
            .ok_or_else(|| Response::bad_request("the form has no file in it"))?,
        None => 0,
    };
    let import = if call.has_flag("dry_run") { Import::forecast } else { Import::new };
    Ok(Answer::LaterOf(Box::new(move |file| Box::new(import(file, at, vhost)))))
}
