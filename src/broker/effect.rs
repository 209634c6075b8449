//! What must happen outside the broker because of what happened in it?

use crate::amqp::Name;
use crate::broker::key::{ConnectionKey, ConsumerKey, QueueKey};

/// Something for the sessions to do. The turn takes the list and carries it out.
#[derive(Debug)]
pub enum Effect {
    /// A consumer is gone because its queue is: `basic.cancel` to clients that know it.
    ConsumerCancelled {
        /// The consumer's connection.
        connection: ConnectionKey,
        /// The number of its channel.
        channel: u16,
        /// The consumer's tag.
        tag: Name,
        /// The consumer that was; its tag may be another one's by now.
        consumer: ConsumerKey,
    },
    /// A connection has to end because its user or vhost is gone: `connection.close` with 320.
    ConnectionForced {
        /// The connection.
        connection: ConnectionKey,
        /// What its client is told.
        reason: String,
    },
    /// What a channel has of a queue and did not settle goes back there.
    TakeBack(TakeBack),
}

/// Deliveries of one channel that an operator wants back in their queue.
#[derive(Debug, Clone, Copy)]
pub struct TakeBack {
    /// Whose wish it is.
    pub order: TakeBackOrder,
    /// The connection.
    pub connection: ConnectionKey,
    /// The number of the channel there.
    pub channel: u16,
    /// The queue.
    pub queue: QueueKey,
    /// Only what this consumer got.
    pub consumer: Option<ConsumerKey>,
    /// Deliveries up to this tag were looked at.
    pub looked_at: u64,
}

/// A wish to have deliveries back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TakeBackOrder(pub(in crate::broker) u64);
