//! What can be asked for: one file a resource, each with its rows of the table in `router`.

pub mod cluster_name;
pub mod definitions;
pub mod extensions;
pub mod health;
pub mod limits;
pub mod overview;
pub mod parameters;
pub mod permissions;
pub mod policies;
pub mod queues;
pub mod users;
pub mod version;
pub mod vhosts;
pub mod whoami;
