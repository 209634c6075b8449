//! What does each verb do? One file a group, and the list of their tables.

mod access;
mod checks;
mod connections;
mod definitions;
mod limits;
mod listing;
mod messages;
mod node;
mod objects;
mod parameters;
mod policies;
mod queues;
mod settings;
mod shells;
mod users;
mod vhosts;

use crate::verb::Verb;

/// Every table, in the order of help within a group.
pub const TABLES: &[&[Verb]] = &[
    shells::VERBS,
    node::VERBS,
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
    messages::VERBS,
    objects::VERBS,
];

/// The options of a verb that lists something.
const LIST: &[&str] = &["no-table-headers"];
