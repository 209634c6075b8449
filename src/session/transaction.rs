//! What will a channel's transaction do when it commits?

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::delayed::Delay;
use crate::broker::{
    Body, Broker, Held, Message, ParkedBody, QueueKey, Settlement, TransactionMessage,
};

/// The publishes and acknowledgements of a channel in transaction mode that wait for their
/// commit (AMQP 0-9-1 section 1.9).
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages in publish order; checked and routed, not stored.
    publishes: Vec<PendingPublish>,
    /// Settled deliveries with their tags, in the order of the settling.
    pub settlements: Vec<(u64, Held, Settlement)>,
    /// Bodies in the message log, in publish order.
    pub parked: Vec<ParkedBody>,
    /// The bytes that `publishes` hold.
    bytes: usize,
}

/// The bytes that the publishes of one transaction may hold, parked bodies not counted.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A message of a transaction.
#[derive(Debug)]
struct PendingPublish {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    properties: Vec<u8>,
    /// `None`: the next one of `parked`.
    body: Option<Vec<u8>>,
    queues: Vec<QueueKey>,
    mandatory: bool,
    persistent: bool,
    priority: u8,
    ttl_ms: Option<u64>,
    delay: Option<Delay>,
}

impl Transaction {
    /// Keeps a copy of a message; 406 when the transaction grows too large. A parked body is
    /// handed over by its owner afterwards.
    pub fn note(
        &mut self,
        message: &Message<'_>,
        queues: &[QueueKey],
        mandatory: bool,
    ) -> Result<(), AmqpError> {
        let body = match message.body {
            Body::Inline(body) => Some(body.to_vec()),
            Body::Parked(_) | Body::Of(_) => None,
        };
        self.bytes += message.properties.len() + body.as_ref().map_or(0, Vec::len);
        if self.bytes > TRANSACTION_BYTES_MAX {
            let text = format!("a transaction may hold at most {TRANSACTION_BYTES_MAX} bytes");
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        self.publishes.push(PendingPublish {
            exchange: message.exchange.to_vec(),
            routing_key: message.routing_key.to_vec(),
            properties: message.properties.to_vec(),
            body,
            queues: queues.to_vec(),
            mandatory,
            persistent: message.persistent,
            priority: message.priority,
            ttl_ms: message.ttl_ms,
            delay: message.delay,
        });
        Ok(())
    }

    /// The messages in publish order; with each, whether it has to be returned because no
    /// queue gets it.
    pub fn messages(&self, broker: &Broker) -> Vec<(TransactionMessage<'_>, bool)> {
        let mut parked = self.parked.iter();
        let mut messages = Vec::with_capacity(self.publishes.len());
        for publish in &self.publishes {
            let body = match &publish.body {
                Some(body) => Body::Inline(body),
                None => Body::Parked(parked.next().expect("each was handed over")),
            };
            let message = Message {
                exchange: &publish.exchange,
                routing_key: &publish.routing_key,
                properties: &publish.properties,
                body,
                persistent: publish.persistent,
                priority: publish.priority,
                ttl_ms: publish.ttl_ms,
                delay: publish.delay,
            };
            let returned = publish.mandatory
                && publish.delay.is_none()
                && broker.is_unroutable(&publish.queues);
            messages.push((TransactionMessage { queues: &publish.queues, message }, returned));
        }
        messages
    }

    /// Gives the space of the parked bodies back; what was stored keeps its own hold on it.
    pub fn release_parked(&mut self, broker: &mut Broker) {
        for body in self.parked.drain(..) {
            broker.store.abandon(body);
        }
    }
}
