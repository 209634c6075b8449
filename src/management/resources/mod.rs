//! What can be asked for: one file a resource, each with its rows of the table in `router`.

pub mod aliveness;
pub mod bindings;
pub mod channels;
pub mod cluster_name;
pub mod connections;
pub mod consumers;
pub mod definitions;
pub mod exchanges;
pub mod extensions;
pub mod features;
pub mod health;
pub mod limits;
pub mod nodes;
pub mod overview;
pub mod parameters;
mod payload;
pub mod permissions;
pub mod policies;
mod publishing;
mod queue_changes;
mod queue_messages;
pub mod queues;
pub mod settings;
pub mod users;
pub mod version;
pub mod vhosts;
pub mod whoami;
