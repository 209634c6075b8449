//! What is an exchange? Its declaration and the matcher that finds destinations.

pub mod binding;
pub mod cache;
pub mod consistent_hash;
pub mod destination_set;
pub mod headers;
pub mod matcher;
pub mod random;
pub mod topic;
pub mod values;

use crate::amqp::Name;
use crate::broker::counters::ExchangeCounters;
use crate::broker::exchange::cache::Cache;
use crate::broker::exchange::matcher::{ExchangeKind, Matcher};
use crate::broker::key::VhostKey;
use crate::storage::QueueId;

/// One exchange of a vhost.
#[derive(Debug)]
pub struct Exchange {
    /// Its name, unique in the vhost; empty for the default exchange.
    pub name: Name,
    /// The vhost that it belongs to.
    pub vhost: VhostKey,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding in which it is the source goes.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// The arguments' table as it came, without its length.
    pub arguments: Box<[u8]>,
    /// `alternate-exchange`: routes what this one finds no destination for.
    pub alternate: Option<Name>,
    /// Under which number the log holds the messages of a delayed exchange.
    pub delay_id: Option<QueueId>,
    /// The names of messages that a deduplicating exchange remembers.
    pub cache: Option<Cache>,
    /// Finds the destinations of a message.
    pub matcher: Matcher,
    /// What was published to it; nothing while nothing was.
    pub counters: Option<Box<ExchangeCounters>>,
    /// The number of the last message that came here.
    pub visit: u64,
}
