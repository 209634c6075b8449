//! What can be asked for: one file a resource, each with its rows of the table in `router`.

pub mod cluster_name;
pub mod extensions;
pub mod health;
pub mod metrics;
pub mod object_metrics;
pub mod overview;
pub mod queues;
pub mod users;
pub mod version;
pub mod vhosts;
pub mod whoami;
