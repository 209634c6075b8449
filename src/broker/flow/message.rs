//! What is a message on its way into its queues?

use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::key::ExchangeKey;
use crate::storage::{Body, LogPos, Publication, QueueId};

/// What a client published: where it goes, and what it is. Its body is at hand, in the log, or has
/// not come.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a, B = Body<'a>> {
    /// The exchange.
    pub exchange: &'a [u8],
    /// The routing key.
    pub routing_key: &'a [u8],
    /// The property bytes as they came.
    pub properties: &'a [u8],
    /// The body.
    pub body: B,
}

impl<'a> Content<'a> {
    /// The same with a body at hand; `None` while that lies in the log.
    #[inline]
    pub fn in_memory(&self) -> Option<Content<'a, &'a [u8]>> {
        let Self { exchange, routing_key, properties, body } = *self;
        match body {
            Body::Inline(body) => Some(Content { exchange, routing_key, properties, body }),
            Body::Large(_) | Body::Of(_) => None,
        }
    }
}

/// A message that was routed and now has to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What is stored; its property bytes may be others than those that came.
    pub content: Content<'a>,
    /// `delivery-mode` 2: it goes to disk when one of its queues is durable.
    pub persistent: bool,
    /// Its priority, 0 when it has none.
    pub priority: u8,
    /// Its own time to live in milliseconds (`expiration`).
    pub ttl_ms: Option<u64>,
    /// Its exchange delays it first.
    pub delay: Option<Delay>,
    /// Its exchange remembers this deduplication key once it is stored.
    pub dedup_key: Option<&'a NewDedupKey>,
}

impl Message<'_> {
    /// Whether a queue that it finds empty has no use for it but to pass it on.
    pub fn may_pass(&self) -> bool {
        self.ttl_ms.is_none() && self.delay.is_none() && self.dedup_key.is_none()
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Every queue has it and nothing has to be waited for.
    Done,
    /// Every queue has it; it survives a power cut once the log is durable up to here.
    DurableAt(LogPos),
    /// A queue was full and refused it; others may have it.
    Refused,
}

/// Persistent messages have this `delivery-mode`.
pub const PERSISTENT: u8 = 2;

/// A message that its exchange delays.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// The exchange.
    pub exchange: ExchangeKey,
    /// For how long, in milliseconds.
    pub ms: u64,
}

/// The record that a message becomes.
pub(in crate::broker) fn publication<'a>(
    message: &Message<'a>,
    queues: &'a [QueueId],
    durable: bool,
    now_ms: u64,
) -> Publication<'a> {
    let Content { exchange, routing_key, properties, body } = message.content;
    Publication {
        durable,
        exchange,
        routing_key,
        properties,
        body,
        published_ms: now_ms,
        expiry_ms: message.ttl_ms.map_or(0, |ttl| now_ms.saturating_add(ttl).max(1)),
        deliveries: 0,
        queues,
        replaces: None,
        defines: None,
    }
}
