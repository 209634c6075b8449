//! What will a channel's transaction do when it commits?

use std::collections::VecDeque;

use crate::broker::Broker;
use crate::broker::chunks::Chunks;
use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::flow::message::{Content, Delay, Message};
use crate::broker::flow::settle::Settlement;
use crate::broker::key::QueueKey;
use crate::broker::serving::Unsettled;
use crate::storage::{Body, LargeBody};

/// Settled deliveries with their tags.
pub type Settlements = Chunks<(u64, Unsettled, Settlement)>;

/// The publishes and acknowledgements of a channel in transaction mode that wait for their
/// commit (AMQP 0-9-1 section 1.9).
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages in publish order; checked and routed, not stored.
    publishes: Chunks<PendingPublish>,
    /// Settled deliveries with their tags, in the order of the settling.
    pub settlements: Settlements,
    /// Bodies in the message log, in publish order.
    large: VecDeque<LargeBody>,
    /// So many publishes, and bodies of `large`, were looked at for those that have to be returned.
    looked_at: (usize, usize),
    /// One of the publishes is mandatory.
    is_any_mandatory: bool,
    /// One of the messages belongs in the durable log: then all go there.
    is_durable: bool,
    /// The bytes of memory that `publishes` take.
    memory_bytes: usize,
    /// The bytes of room in the log that they take, about.
    log_bytes: u64,
    /// How many messages were added, and the bytes of their bodies.
    totals: (u64, u64),
    /// What it costs to store them.
    work: usize,
}

/// The bytes of memory that the publishes of one transaction may take; large bodies lie in the log
/// and are not counted.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A message of a transaction.
#[derive(Debug)]
pub(in crate::broker) struct PendingPublish {
    /// Exchange, routing key, properties, and the body where that is at hand.
    bytes: Box<[u8]>,
    exchange_bytes: u16,
    routing_key_bytes: u16,
    properties_bytes: u32,
    /// The body is the next one of `large`.
    is_large: bool,
    mandatory: bool,
    persistent: bool,
    priority: u8,
    queues: Destinations,
    seldom: Option<Box<Seldom>>,
}

/// The queues that a message goes to: as a rule one.
#[derive(Debug)]
pub(in crate::broker) enum Destinations {
    One(QueueKey),
    Others(Box<[QueueKey]>),
}

impl Destinations {
    pub(in crate::broker) fn new(queues: &[QueueKey]) -> Self {
        match queues {
            [queue] => Self::One(*queue),
            others => Self::Others(others.into()),
        }
    }

    pub(in crate::broker) fn as_slice(&self) -> &[QueueKey] {
        match self {
            Self::One(queue) => std::slice::from_ref(queue),
            Self::Others(queues) => queues,
        }
    }
}

/// What few messages have.
#[derive(Debug)]
struct Seldom {
    ttl_ms: Option<u64>,
    delay: Option<Delay>,
    dedup_key: Option<NewDedupKey>,
}

/// What it costs to store a message, beside its bytes and queues.
pub(in crate::broker) const WORK_PER_MESSAGE: usize = 6;

/// So many bytes are copied for one unit of work.
const BYTES_PER_WORK: usize = 256;

/// What a message of a transaction takes in the log beside its properties and body, about.
const MESSAGE_BYTES: u64 = 768;

/// What a settlement takes there, about.
const SETTLEMENT_BYTES: u64 = 24;

/// What each piece of memory of its own takes beside its bytes, about.
const ALLOCATION_BYTES: usize = 16;

impl PendingPublish {
    fn new(message: &Message<'_>, queues: &[QueueKey], mandatory: bool) -> Self {
        let Content { exchange, routing_key, properties, body } = message.content;
        let body = match body {
            Body::Inline(body) => Some(body),
            Body::Large(_) | Body::Of(_) => None,
        };
        let parts = [exchange, routing_key, properties, body.unwrap_or_default()];
        let is_seldom =
            message.ttl_ms.is_some() || message.delay.is_some() || message.dedup_key.is_some();
        let seldom = || Seldom {
            ttl_ms: message.ttl_ms,
            delay: message.delay,
            dedup_key: message.dedup_key.cloned(),
        };
        let bytes_of = |part: &[u8]| u16::try_from(part.len()).unwrap_or(u16::MAX);
        Self {
            bytes: parts.concat().into_boxed_slice(),
            exchange_bytes: bytes_of(exchange),
            routing_key_bytes: bytes_of(routing_key),
            properties_bytes: u32::try_from(properties.len()).expect("a frame is smaller"),
            is_large: body.is_none(),
            mandatory,
            persistent: message.persistent,
            priority: message.priority,
            queues: Destinations::new(queues),
            seldom: is_seldom.then(|| Box::new(seldom())),
        }
    }

    /// What it takes of memory, about.
    fn memory_bytes(&self) -> usize {
        let queues = match &self.queues {
            Destinations::One(_) => 0,
            Destinations::Others(queues) => size_of_val::<[QueueKey]>(queues),
        };
        let dedup_key = self.dedup_key().map_or(0, NewDedupKey::bytes);
        let seldom = if self.seldom.is_some() { size_of::<Seldom>() } else { 0 };
        let pieces = [self.bytes.len(), queues, seldom, dedup_key];
        let held = pieces.iter().filter(|bytes| **bytes > 0);
        size_of::<Self>() + held.map(|bytes| bytes + ALLOCATION_BYTES).sum::<usize>()
    }

    /// The queues that it was routed to.
    pub(in crate::broker) fn queues(&self) -> &[QueueKey] {
        self.queues.as_slice()
    }

    /// What it costs to store it.
    pub(in crate::broker) fn work(&self) -> usize {
        WORK_PER_MESSAGE + 2 * self.queues().len() + self.bytes.len() / BYTES_PER_WORK
    }

    fn dedup_key(&self) -> Option<&NewDedupKey> {
        self.seldom.as_ref().and_then(|seldom| seldom.dedup_key.as_ref())
    }

    /// What is to be stored, with a body of `large` where it has none of its own.
    pub(in crate::broker) fn message<'a>(
        &'a self,
        large: &mut impl Iterator<Item = &'a LargeBody>,
    ) -> Message<'a> {
        let (exchange, rest) = self.bytes.split_at(usize::from(self.exchange_bytes));
        let (routing_key, rest) = rest.split_at(usize::from(self.routing_key_bytes));
        let (properties, body) = rest.split_at(self.properties_bytes as usize);
        let body = match self.is_large {
            true => Body::Large(large.next().expect("each was handed over")),
            false => Body::Inline(body),
        };
        Message {
            content: Content { exchange, routing_key, properties, body },
            persistent: self.persistent,
            priority: self.priority,
            ttl_ms: self.seldom.as_ref().and_then(|seldom| seldom.ttl_ms),
            delay: self.seldom.as_ref().and_then(|seldom| seldom.delay),
            dedup_key: self.dedup_key(),
        }
    }
}

impl Transaction {
    /// Keeps a copy of a message; `false` when the transaction takes too much memory. A large body
    /// is handed over by its owner afterwards ([`Transaction::add_body`]).
    pub fn add(
        &mut self,
        broker: &Broker,
        message: &Message<'_>,
        queues: &[QueueKey],
        mandatory: bool,
    ) -> bool {
        let publish = PendingPublish::new(message, queues, mandatory);
        self.memory_bytes += publish.memory_bytes();
        if self.memory_bytes > TRANSACTION_BYTES_MAX {
            return false;
        }
        self.log_bytes += MESSAGE_BYTES + (publish.bytes.len() + 8 * queues.len()) as u64;
        self.is_durable |= broker.is_logged(queues, message.persistent, message.delay);
        self.is_any_mandatory |= mandatory;
        let body_bytes = message.content.in_memory().map_or(0, |content| content.body.len());
        self.totals = (self.totals.0 + 1, self.totals.1 + body_bytes as u64);
        self.work += publish.work();
        self.publishes.push_back(publish);
        true
    }

    /// The large body of the message that was added last.
    pub fn add_body(&mut self, body: LargeBody) {
        self.totals.1 += body.body_bytes();
        // One of the transient ring is copied when another message has to be durable.
        if !body.is_durable() {
            self.log_bytes += body.body_bytes();
        }
        self.large.push_back(body);
    }

    /// Whether its messages belong in the durable log, and so many bytes of room its commit takes
    /// there or in the transient ring, about.
    pub fn room(&self) -> (bool, u64) {
        let settlements = SETTLEMENT_BYTES * self.settlements.len() as u64;
        (self.is_durable, self.log_bytes + settlements)
    }

    /// Whether one of the messages belongs in the durable log.
    pub(in crate::broker) fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// The next message that has to be returned because no queue gets it; each is told once.
    /// `work` is spent on looking for it; when that is over there may be more.
    pub fn next_to_return(&mut self, broker: &mut Broker) -> Option<Content<'_>> {
        if !self.is_any_mandatory {
            return None;
        }
        while let Some(publish) = self.publishes.get(self.looked_at.0)
            && !broker.work.is_done()
        {
            broker.work.spend(1);
            let large = self.looked_at.1;
            self.looked_at.0 += 1;
            self.looked_at.1 += usize::from(publish.is_large);
            let delay = publish.seldom.as_ref().and_then(|seldom| seldom.delay);
            let is_returned = publish.mandatory
                && delay.is_none()
                && broker.queues().are_no_destination(publish.queues());
            if is_returned {
                // Looked up again: what is lent out ends the loop.
                let publish = self.publishes.get(self.looked_at.0 - 1);
                let large = &mut self.large.iter().skip(large);
                return publish.map(|publish| publish.message(large).content);
            }
        }
        None
    }

    /// Whether [`Transaction::next_to_return`] has looked at every message.
    pub fn all_returned(&self) -> bool {
        !self.is_any_mandatory || self.looked_at.0 == self.publishes.len()
    }

    /// How many messages it still has.
    pub(in crate::broker) fn len(&self) -> usize {
        self.publishes.len()
    }

    /// How many publishes and settlements wait for the commit.
    pub fn counts(&self) -> (usize, usize) {
        (self.publishes.len(), self.settlements.len())
    }

    /// How many messages were added to it, and the bytes of their bodies.
    pub(in crate::broker) fn totals(&self) -> (u64, u64) {
        self.totals
    }

    /// What it costs to store its messages and to carry out what it settles.
    pub(in crate::broker) fn work(&self) -> usize {
        self.work + self.settlements.len()
    }

    /// Its messages, in publish order.
    pub(in crate::broker) fn publishes(&self) -> impl Iterator<Item = &PendingPublish> {
        self.publishes.iter()
    }

    /// Its large bodies, in publish order.
    pub(in crate::broker) fn large(&self) -> impl Iterator<Item = &LargeBody> {
        self.large.iter()
    }

    /// Drops the first message; its large body, if it has one.
    pub(in crate::broker) fn drop_first(&mut self) -> Option<LargeBody> {
        let publish = self.publishes.pop_front()?;
        if publish.is_large { self.large.pop_front() } else { None }
    }

    /// Gives the large bodies back.
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
        transaction.add_body(broker.begin_body(true, 80_000));
        assert_eq!(transaction.room(), (false, 0), "it stays where it is");
        transaction.add_body(broker.begin_body(false, 80_000));
        assert_eq!(transaction.room(), (false, 80_000));
    }
}
