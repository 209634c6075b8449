//! How do the broker's definitions look in JSON, and what does JSON make of the broker?
//!
//! One file a kind of thing: what is shown of it, and what a body or an imported file does with it.
//! What is wrong is said in one sentence, in RabbitMQ's words where it has some; nothing changes
//! then. Whoever calls has looked after who asks.

use crate::amqp::Name;

pub mod export;
pub mod fields;
pub mod form;
pub mod import;
mod item;
pub mod limits;
mod outline;
pub mod parameters;
pub mod permissions;
mod plan;
pub mod policies;
pub mod topology;
pub mod users;
pub mod vhosts;
pub mod walk;

/// Said of a vhost that is not there.
fn no_vhost(vhost: &Name) -> Wrong {
    format!("vhost '{vhost}' does not exist")
}

/// What is wrong, in one sentence for whoever asked.
pub type Wrong = String;
