//! What will a channel's transaction do when it commits?

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::flow::message::Delay;
use crate::broker::{
    Body, Broker, Content, LargeBody, Message, QueueKey, Settlement, TransactionMessage, Unsettled,
};

/// The publishes and acknowledgements of a channel in transaction mode that wait for their
/// commit (AMQP 0-9-1 section 1.9).
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages in publish order; checked and routed, not stored.
    publishes: Vec<PendingPublish>,
    /// Settled deliveries with their tags, in the order of the settling.
    pub settlements: Vec<(u64, Unsettled, Settlement)>,
    /// Bodies in the message log, in publish order.
    pub large: Vec<LargeBody>,
    /// The bytes of properties and bodies in `publishes`.
    bytes: usize,
    /// The bytes of memory that `publishes` take.
    memory_bytes: usize,
}

/// The bytes of memory that the publishes of one transaction may take; large bodies lie in the log
/// and are not counted.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A message of a transaction.
#[derive(Debug)]
struct PendingPublish {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    properties: Vec<u8>,
    /// `None`: the next one of `large`.
    body: Option<Vec<u8>>,
    queues: Vec<QueueKey>,
    mandatory: bool,
    persistent: bool,
    priority: u8,
    ttl_ms: Option<u64>,
    delay: Option<Delay>,
    dedup_key: Option<NewDedupKey>,
}

/// What a message of a transaction takes in the log beside its properties and body, about.
const MESSAGE_BYTES: u64 = 768;

/// What each piece of memory of its own takes beside its bytes, about.
const ALLOCATION_BYTES: usize = 16;

impl PendingPublish {
    /// What it takes of memory, about.
    fn memory_bytes(&self) -> usize {
        let queues = self.queues.len() * size_of::<QueueKey>();
        let body = self.body.as_ref().map_or(0, Vec::len);
        let dedup_key = self.dedup_key.as_ref().map_or(0, NewDedupKey::bytes);
        let pieces = [
            self.exchange.len(),
            self.routing_key.len(),
            self.properties.len(),
            body,
            queues,
            dedup_key,
        ];
        let held = pieces.iter().filter(|bytes| **bytes > 0);
        size_of::<Self>() + held.map(|bytes| bytes + ALLOCATION_BYTES).sum::<usize>()
    }
}

impl Transaction {
    /// So many bytes of room its commit takes, about.
    pub fn log_bytes(&self) -> u64 {
        let queues: usize = self.publishes.iter().map(|publish| publish.queues.len()).sum();
        let messages = self.publishes.len() as u64 * MESSAGE_BYTES;
        // A body of the transient ring is copied when one message has to be durable.
        let copied = self.large.iter().filter(|body| !body.is_durable());
        let bodies: u64 = copied.map(LargeBody::body_bytes).sum();
        self.bytes as u64
            + bodies
            + messages
            + 8 * queues as u64
            + 24 * self.settlements.len() as u64
    }

    /// Whether one of the messages belongs in the durable log: then all go there.
    pub fn is_durable(&self, broker: &Broker) -> bool {
        let is_logged = |p: &PendingPublish| broker.is_logged(&p.queues, p.persistent, p.delay);
        self.publishes.iter().any(is_logged)
    }

    /// Keeps a copy of a message; 406 when the transaction grows too large. A large body is
    /// handed over by its owner afterwards.
    pub fn note(
        &mut self,
        message: &Message<'_>,
        queues: &[QueueKey],
        mandatory: bool,
    ) -> Result<(), AmqpError> {
        let content = &message.content;
        let body = match content.body {
            Body::Inline(body) => Some(body.to_vec()),
            Body::Large(_) | Body::Of(_) => None,
        };
        self.bytes += content.properties.len() + body.as_ref().map_or(0, Vec::len);
        let publish = PendingPublish {
            exchange: content.exchange.to_vec(),
            routing_key: content.routing_key.to_vec(),
            properties: content.properties.to_vec(),
            body,
            queues: queues.to_vec(),
            mandatory,
            persistent: message.persistent,
            priority: message.priority,
            ttl_ms: message.ttl_ms,
            delay: message.delay,
            dedup_key: message.dedup_key.cloned(),
        };
        self.memory_bytes += publish.memory_bytes();
        if self.memory_bytes > TRANSACTION_BYTES_MAX {
            let text = format!("a transaction may take at most {TRANSACTION_BYTES_MAX} bytes");
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        self.publishes.push(publish);
        Ok(())
    }

    /// The messages in publish order; with each, whether it has to be returned because no
    /// queue gets it.
    pub fn messages(&self, broker: &Broker) -> Vec<(TransactionMessage<'_>, bool)> {
        let mut large = self.large.iter();
        let mut messages = Vec::with_capacity(self.publishes.len());
        for publish in &self.publishes {
            let body = match &publish.body {
                Some(body) => Body::Inline(body),
                None => Body::Large(large.next().expect("each was handed over")),
            };
            let message = Message {
                content: Content {
                    exchange: &publish.exchange,
                    routing_key: &publish.routing_key,
                    properties: &publish.properties,
                    body,
                },
                persistent: publish.persistent,
                priority: publish.priority,
                ttl_ms: publish.ttl_ms,
                delay: publish.delay,
                dedup_key: publish.dedup_key.as_ref(),
            };
            let returned = publish.mandatory
                && publish.delay.is_none()
                && broker.queues().are_no_destination(&publish.queues);
            messages.push((TransactionMessage { queues: &publish.queues, message }, returned));
        }
        messages
    }

    /// Gives the large bodies back; what was stored keeps its own hold on them.
    pub fn release_bodies(&mut self, broker: &mut Broker) {
        for body in self.large.drain(..) {
            broker.abandon_body(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing;

    /// The body of a message for a transient queue is copied when another message of the
    /// transaction is durable: without room for it the client was told that the disk was full.
    #[test]
    fn a_body_that_may_have_to_be_copied_takes_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = testing::open(directory.path());
        let mut transaction = Transaction::default();
        transaction.large.push(broker.begin_body(true, 80_000));
        assert_eq!(transaction.log_bytes(), 0, "it stays where it is");
        transaction.large.push(broker.begin_body(false, 80_000));
        assert_eq!(transaction.log_bytes(), 80_000);
    }
}
