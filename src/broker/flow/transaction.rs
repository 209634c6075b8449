//! What will a channel's transaction do when it commits?

use crate::broker::Broker;
use crate::broker::chunks::Chunks;
use crate::broker::flow::message::{Content, Message};
use crate::broker::flow::pending::{PendingMessages, PendingPublishes, Place};
use crate::broker::flow::settle::Settlement;
use crate::broker::key::QueueKey;
use crate::broker::serving::Unsettled;
use crate::storage::LargeBody;

/// Settled deliveries with their tags.
pub type Settlements = Chunks<(u64, Unsettled, Settlement)>;

/// The publishes and acknowledgements of a channel in transaction mode that wait for their
/// commit (AMQP 0-9-1 section 1.9).
#[derive(Debug, Default)]
pub struct Transaction {
    publishes: PendingPublishes,
    /// Settled deliveries with their tags, in the order of the settling.
    pub settlements: Settlements,
    /// How many of them are acknowledgements.
    pub acks: u64,
    /// How far the publishes were looked at for those that have to be returned.
    looked_at: Place,
    /// One of the publishes is mandatory.
    is_any_mandatory: bool,
    /// One of the messages belongs in the durable log: then all go there.
    is_durable: bool,
    /// The bytes of room in the log that the messages take, about.
    log_bytes: u64,
    /// How many messages were added, and the bytes of their bodies.
    totals: (u64, u64),
    /// What it costs to store them.
    work: usize,
}

/// The bytes of memory that the publishes of one transaction may take; large bodies lie in the log
/// and are not counted.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What it costs to store a message, beside its bytes and queues.
pub(in crate::broker) const WORK_PER_MESSAGE: usize = 6;

/// So many bytes are copied for one unit of work.
const BYTES_PER_WORK: usize = 256;

/// What a message of a transaction takes in the log beside its properties and body, about.
const MESSAGE_BYTES: u64 = 768;

/// What a settlement takes there, about.
const SETTLEMENT_BYTES: u64 = 24;

/// What it costs to store a message.
pub(in crate::broker) fn work_of(message: &Message<'_>, queues: &[QueueKey]) -> usize {
    let content = &message.content;
    let body_bytes = content.in_memory().map_or(0, |content| content.body.len());
    let bytes = content.properties.len() + body_bytes;
    WORK_PER_MESSAGE + 2 * queues.len() + bytes / BYTES_PER_WORK
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
        let content = &message.content;
        let body_bytes = content.in_memory().map_or(0, |content| content.body.len());
        self.publishes.push(message, queues, mandatory);
        let kept_bytes = body_bytes + content.properties.len() + 8 * queues.len();
        self.log_bytes += MESSAGE_BYTES + kept_bytes as u64;
        self.totals = (self.totals.0 + 1, self.totals.1 + body_bytes as u64);
        self.work += work_of(message, queues);
        self.is_durable |= broker.is_logged(queues, message.persistent, message.delay);
        self.is_any_mandatory |= mandatory;
        self.publishes.memory_bytes() <= TRANSACTION_BYTES_MAX
    }

    /// The large body of the message that was added last.
    pub fn add_body(&mut self, body: LargeBody) {
        self.totals.1 += body.body_bytes();
        // One of the transient ring is copied when another message has to be durable.
        if !body.is_durable() {
            self.log_bytes += body.body_bytes();
        }
        self.publishes.push_body(body);
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
        let mut messages = self.publishes.iter_from(self.looked_at);
        let mut found = None;
        while found.is_none()
            && !broker.work.is_done()
            && let Some(publish) = messages.next()
        {
            broker.work.spend(1);
            let is_returned = publish.mandatory
                && publish.message.delay.is_none()
                && broker.queues().are_no_destination(publish.queues);
            found = is_returned.then_some(publish.message.content);
        }
        self.looked_at = messages.place();
        found
    }

    /// Whether [`Transaction::next_to_return`] has looked at every message.
    pub fn all_returned(&self) -> bool {
        !self.is_any_mandatory || self.looked_at.count() == self.publishes.len()
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
    pub(in crate::broker) fn publishes(&self) -> PendingMessages<'_> {
        self.publishes.iter()
    }

    /// Drops the messages before a place, with their large bodies.
    pub(in crate::broker) fn drop_until(&mut self, mut place: Place, broker: &mut Broker) {
        while let Some(body) = self.publishes.take_body(&mut place) {
            broker.abandon_body(body);
        }
        self.publishes.drop_until(place);
    }

    /// Gives the large bodies back.
    pub fn release_bodies(&mut self, broker: &mut Broker) {
        self.publishes.take_bodies().for_each(|body| broker.abandon_body(body));
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
