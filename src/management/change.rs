//! What do requests have in common that change something?

use super::call::{Answer, Call, Outcome};
use super::definitions::Wrong;
use super::definitions::fields::Fields;
use super::json;
use super::response::Response;
use crate::broker::VhostKey;

impl Call<'_, '_> {
    /// The object that the body is.
    ///
    /// # Errors
    /// 400.
    pub fn fields(&self) -> Result<Fields, Response> {
        json::object(&self.request.body)
    }

    /// The vhost that a part of the path names, of which something is to be set. As in RabbitMQ,
    /// administrators need no permissions there for that.
    ///
    /// # Errors
    /// 404 when there is none, 401 when the caller has nothing to do there.
    pub fn vhost_to_set(&self, index: usize) -> Result<VhostKey, Response> {
        if self.context.broker.topology().vhost_named(self.part(index)).is_none() {
            return Err(Response::error(404, "not_found", "vhost_not_found"));
        }
        self.vhost_to_see(index)
    }

    /// The vhost that a part of the path names, of which something that was set is to be shown or
    /// taken back.
    ///
    /// # Errors
    /// As for [`Call::vhost_to_set`].
    pub fn vhost_to_see(&self, index: usize) -> Result<VhostKey, Response> {
        let name = self.part(index);
        if !self.caller.sees(self.context.broker.users(), name) {
            return self.vhost(index);
        }
        let found = self.context.broker.topology().vhost_named(name);
        found.ok_or_else(Response::not_found)
    }
}

/// 201 for something new, 204 for something that was there, 400 for what is wrong.
pub fn made(made: Result<bool, Wrong>) -> Outcome {
    let is_new = made.map_err(|wrong| Response::bad_request(&wrong))?;
    Ok(Answer::OnceDurable(Response::empty(if is_new { 201 } else { 204 })))
}

/// 204 once it is durable, whether or not it was there before.
pub fn changed(changed: Result<(), Wrong>) -> Outcome {
    made(changed.map(|()| false))
}

/// 204 for something that is gone, 404 for what was not there.
pub fn removed(was_there: bool) -> Outcome {
    if was_there { changed(Ok(())) } else { Err(Response::not_found()) }
}
