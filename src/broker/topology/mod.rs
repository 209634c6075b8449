//! What is there to route through: vhosts with their exchanges, bindings and policies?

pub mod definitions;
pub mod policies;
pub mod routing;
pub mod vhost;
