//! What must happen outside the broker because of what happened in it?

use crate::amqp::Name;
use crate::broker::key::{ConnectionKey, ConsumerKey};

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
}
