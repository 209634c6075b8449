//! What is a queue?
//!
//! Its declaration, what holds for it now, its line of ready messages and its line of
//! consumers. A queue pushes and pops; it does not deliver, and it does not know the store.

pub mod consumer;
pub mod line;
pub mod ready;
pub mod roll;
pub mod stream;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::amqp::{Name, Table};
use crate::broker::arguments::QueueKind;
use crate::broker::arguments::effective::{EffectiveArguments, Overflow};
use crate::broker::by_name::ByName;
use crate::broker::counters::QueueCounters;
use crate::broker::key::{ConnectionKey, VhostKey};
use crate::broker::queue::line::Line;
use crate::broker::queue::ready::Ready;
use crate::broker::queue::stream::Stream;
use crate::storage::{Entry, MessageId, QueueId, ScratchPool};

/// How many deadlines of messages that were delivered long ago a queue keeps, beside as many as
/// it has messages.
pub(in crate::broker) const STALE_DEADLINES_MAX: usize = 256;

/// The deduplication keys of the messages in one queue, and who has them.
pub type DedupKeys = ByName<Box<[u8]>, MessageId>;

/// One queue of a vhost.
#[derive(Debug)]
pub struct Queue {
    /// Its name, unique in the vhost.
    pub name: Name,
    /// The vhost that it belongs to.
    pub vhost: VhostKey,
    /// Its number in the records of the store; never used again for another queue.
    pub id: QueueId,
    /// What `queue.declare` asked for.
    pub declaration: Declaration,
    /// What arguments and policies come to.
    pub settings: EffectiveArguments,
    /// Messages that wait for a consumer; of a stream, none ever.
    pub ready: Ready,
    /// A stream's messages, which stay whoever reads them.
    pub(in crate::broker) stream: Option<Box<Stream>>,
    /// The bodies' bytes of the ready messages.
    pub ready_bytes: u64,
    /// Messages that were delivered and are not settled.
    pub unacked: usize,
    /// The bodies' bytes of these; those of a stream, which stay in it, are not counted.
    pub unacked_bytes: u64,
    /// Dead messages that it keeps until their targets have them.
    pub(in crate::broker) letters: usize,
    /// Bytes of their bodies.
    pub(in crate::broker) letter_bytes: u64,
    /// The log says that these find no targets.
    pub(in crate::broker) said_letters_wait: bool,
    /// Its consumers.
    pub line: Line,
    /// A consumer has it for itself.
    pub exclusively_consumed: bool,
    /// Takes the answers of direct reply-to and is no queue to anyone else.
    pub is_reply_queue: bool,
    /// When it was last consumed from, declared or asked for a message, in ms since 1970.
    pub used_at_ms: u64,
    /// Messages with a time to live of their own: when it ends, and the lane that they are in.
    pub(in crate::broker) timed: BinaryHeap<Reverse<(u64, MessageId, u8)>>,
    /// The deduplication keys of its messages, where it takes each only once.
    pub(in crate::broker) dedup_keys: DedupKeys,
    /// When the broker will look at its deadlines.
    pub(in crate::broker) wake_at_ms: Option<u64>,
    /// Nobody uses it any more: it is about to be removed.
    pub(in crate::broker) leaving: bool,
    /// What happened to its messages; nothing while nothing did.
    pub counters: Option<Box<QueueCounters>>,
    /// It is on the broker's list of queues to deliver from.
    pub(in crate::broker) dirty: bool,
    /// It is on the broker's list of queues that may be too long.
    pub(in crate::broker) overfull: bool,
}

/// The properties of a `queue.declare`, compared when the queue is declared again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Survives a restart; an exclusive queue never does.
    pub durable: bool,
    /// The connection that alone may use it and whose end deletes it.
    pub owner: Option<ConnectionKey>,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// The arguments' table as it came, without its length.
    pub arguments: Box<[u8]>,
}

impl Declaration {
    /// The arguments, readable.
    pub fn table(&self) -> Table<'_> {
        Table::new(&self.arguments).unwrap_or(Table::EMPTY)
    }
}

impl Queue {
    /// An empty queue under no policy.
    pub fn new(name: Name, vhost: VhostKey, id: QueueId, declaration: Declaration) -> Self {
        let settings = EffectiveArguments::of_queue(declaration.table(), Table::EMPTY);
        Self {
            name,
            vhost,
            id,
            ready: Ready::new(settings.max_priority.unwrap_or(0)),
            stream: (settings.kind == QueueKind::Stream).then(Box::default),
            declaration,
            line: Line::new(settings.single_active_consumer),
            settings,
            ready_bytes: 0,
            unacked: 0,
            unacked_bytes: 0,
            letters: 0,
            letter_bytes: 0,
            said_letters_wait: false,
            exclusively_consumed: false,
            is_reply_queue: false,
            used_at_ms: 0,
            timed: BinaryHeap::new(),
            dedup_keys: DedupKeys::default(),
            wake_at_ms: None,
            leaving: false,
            dirty: false,
            counters: None,
            overfull: false,
        }
    }

    /// Whether it stores every message that comes, whatever its delivery mode: streams and quorum
    /// queues do.
    #[inline]
    pub fn stores_everything(&self) -> bool {
        self.settings.kind != QueueKind::Classic
    }

    /// Whether records for it belong in the durable log.
    pub fn is_durable(&self) -> bool {
        self.declaration.durable
    }

    /// Whether a delivery may be possible: a message and somebody who waits. The readers of a
    /// stream that have read everything do not wait.
    #[inline]
    pub fn can_deliver(&self) -> bool {
        (!self.ready.is_empty() || self.stream.is_some()) && self.line.anyone_waits()
    }

    /// How many messages it holds: those that are ready, or the whole stream, and dead ones that
    /// are still its own.
    pub fn message_count(&self) -> usize {
        let in_stream = self.stream.as_ref().map_or(0, |stream| stream.len());
        self.ready.len() + in_stream + self.letters
    }

    /// The bytes of the bodies of those messages.
    pub fn message_bytes(&self) -> u64 {
        let in_stream = self.stream.as_ref().map_or(0, |stream| stream.bytes());
        self.ready_bytes + in_stream + self.letter_bytes
    }

    /// How many dead messages it keeps until their targets have them, and their bodies' bytes.
    pub fn waiting_letters(&self) -> (usize, u64) {
        (self.letters, self.letter_bytes)
    }

    /// The record of a message lies elsewhere now; `false` when the message is not here.
    pub(in crate::broker) fn relocate(&mut self, entry: Entry, scratch: &mut ScratchPool) -> bool {
        match &mut self.stream {
            Some(stream) => stream.relocate(entry, scratch),
            None => self.ready.relocate(entry, scratch),
        }
    }

    /// Whether a message that joins may have to go because of it, make another one go, or has
    /// a name to remember.
    #[inline]
    pub fn has_rules(&self) -> bool {
        self.settings.message_deduplication
            || self.settings.message_ttl_ms.is_some()
            || self.settings.max_length.is_some()
            || self.settings.max_length_bytes.is_some()
    }

    /// Whether messages that it holds make room for new ones, and not new ones are refused.
    pub fn drops_heads(&self) -> bool {
        match self.settings.overflow {
            Overflow::DropHead => true,
            Overflow::RejectPublish | Overflow::RejectPublishDlx => false,
        }
    }

    /// Whether more is ready than it may hold: dropping cannot bring it down to less than what it
    /// keeps beside that.
    pub fn is_too_long(&self) -> bool {
        self.exceeds(self.ready.len() as u64, self.ready_bytes)
    }

    /// Whether it would hold more than it may with this much more in it. Dead letters that wait for
    /// their targets count, as in RabbitMQ: a queue that nobody relieves of them is full some day.
    #[inline]
    pub fn would_be_too_long(&self, messages: u64, bytes: u64) -> bool {
        let length = (self.ready.len() + self.letters) as u64 + messages;
        self.exceeds(length, self.ready_bytes + self.letter_bytes + bytes)
    }

    #[inline]
    fn exceeds(&self, messages: u64, bytes: u64) -> bool {
        self.settings.max_length.is_some_and(|most| messages > most)
            || self.settings.max_length_bytes.is_some_and(|most| bytes > most)
    }

    /// When a message that was published then and expires by itself then leaves this queue, in
    /// ms since 1970; `None` = never.
    #[inline]
    pub fn deadline_ms(&self, published_ms: u64, expiry_ms: u64) -> Option<u64> {
        let own = (expiry_ms != 0).then_some(expiry_ms);
        let queues = self.settings.message_ttl_ms.map(|ttl| published_ms.saturating_add(ttl));
        match (own, queues) {
            (Some(own), Some(queues)) => Some(own.min(queues)),
            (deadline, None) | (None, deadline) => deadline,
        }
    }

    /// Whether such a message is past its time. One without any time to live may be delivered in
    /// the turn that it came in.
    #[inline]
    pub fn is_past(&self, published_ms: u64, expiry_ms: u64, now_ms: u64) -> bool {
        match self.deadline_ms(published_ms, expiry_ms) {
            Some(deadline) if deadline == published_ms => now_ms > deadline,
            Some(deadline) => now_ms >= deadline,
            None => false,
        }
    }

    /// Notes when a message with a time to live of its own has to leave.
    pub(in crate::broker) fn note_deadline(
        &mut self,
        expiry_ms: u64,
        id: MessageId,
        lane: u8,
        scratch: &ScratchPool,
    ) {
        self.timed.push(Reverse((expiry_ms, id, lane)));
        if self.timed.len() > 2 * self.ready.len() + STALE_DEADLINES_MAX {
            self.forget_stale_deadlines(scratch);
        }
    }

    /// Drops the deadlines of messages that are not ready any more; one that comes back brings
    /// its own again. Without this a queue whose messages live long and are taken at once would
    /// remember every one of them until its time is over.
    fn forget_stale_deadlines(&mut self, scratch: &ScratchPool) {
        let mut deadlines = std::mem::take(&mut self.timed).into_vec();
        deadlines.sort_unstable();
        deadlines.dedup();
        let ready = &self.ready;
        deadlines.retain(|&Reverse((_, id, lane))| ready.contains(id, lane, scratch));
        self.timed = BinaryHeap::from(deadlines);
    }
}
