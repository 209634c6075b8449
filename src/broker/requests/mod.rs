//! What may clients ask for: declare, delete, bind, consume, purge?

pub mod administration;
pub mod bindings;
pub mod checks;
pub mod consume;
mod events;
pub mod exchanges;
pub mod messages;
pub mod queues;
pub mod reply;
pub mod reviews;
pub mod stream_start;
pub mod take_back;
pub mod users;
pub mod vhosts;
