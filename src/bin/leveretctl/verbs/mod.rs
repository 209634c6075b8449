//! What does each verb do? One file a group, and the list of their tables.

mod access;
mod admin;
mod checks;
mod connections;
mod definitions;
mod diagnostics;
mod limits;
mod listing;
mod node;
mod objects;
mod parameters;
mod plugins;
mod policies;
mod queues;
pub mod refused;
mod settings;
mod shells;
mod single;
mod top;
mod users;
mod vhosts;

use crate::verb::Verb;

/// Every table, in the order of help within a group.
pub const TABLES: &[&[Verb]] = &[
    shells::VERBS,
    node::VERBS,
    single::VERBS,
    diagnostics::VERBS,
    top::VERBS,
    plugins::VERBS,
    users::VERBS,
    access::VERBS,
    listing::VERBS,
    checks::VERBS,
    parameters::VERBS,
    policies::VERBS,
    vhosts::VERBS,
    limits::VERBS,
    settings::VERBS,
    definitions::VERBS,
    connections::VERBS,
    queues::VERBS,
    objects::VERBS,
    admin::VERBS,
];

/// The options of a verb that lists something.
const LIST: &[&str] = &["no-table-headers"];
