//! A slow, obvious broker in memory, written from the protocol's semantics: what the broker
//! under test has to be in agreement with.
//!
//! It is told what clients did, in the order in which the broker's sessions took it, and at
//! which point of the turn things are. Where the broker has a choice (who gets the next message,
//! when a confirm comes), it is told what the broker chose and says whether that was legal.

mod crash;
mod deduplication;
mod delayed;
mod delivery;
mod ends;
mod names;
mod ops;
mod permissions;
mod policies;
mod queueing;
mod replies;
mod routing;
mod settling;
mod streams;
mod timeouts;
mod topology;
mod transactions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::rc::Rc;

use leveret::amqp::method::{basic, channel, connection};
use leveret::amqp::{Method, encoder};

use super::ops::{Binding, ExchangeSpec, QueueSpec};
use super::permissions::Rights;
use super::policies::PolicySpec;
use super::values::{Props, Received, Val};

pub use crash::{Found, Surviving};
pub use delivery::short;
pub use names::UNNAMED;
pub use permissions::Access;
pub use queueing::Dying;
pub use replies::REPLY_TO;
pub use streams::take_offset;

/// How often things came to pass.
pub type Tally = BTreeMap<&'static str, u64>;

pub type ConnId = u32;
pub type QueueId = u64;
pub type ConsumerId = u64;

/// A channel of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub conn: ConnId,
    pub channel: u16,
}

/// A message as it was published or dead-lettered.
#[derive(Clone, Debug)]
pub struct Message {
    pub exchange: String,
    pub key: String,
    /// The keys of BCC, which no consumer sees and by which it is routed when it dies.
    pub blind: Vec<String>,
    pub props: Props,
    pub body: Rc<Vec<u8>>,
    pub published_ms: u64,
    /// When its own time to live is over.
    pub own_deadline: Option<u64>,
}

/// Where a message stands in its queue. What was enqueued by one publish has a batch of its own;
/// where the order of several is the broker's choice, they share one, and within it only those
/// of the same source are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub batch: u64,
    pub source: u64,
    pub n: u64,
}

/// One message in one queue.
#[derive(Clone, Debug)]
pub struct Copied {
    pub message: Rc<Message>,
    pub place: Place,
    pub deliveries: u32,
    /// So many of them the broker may have forgotten by a crash.
    pub unsure: u32,
    /// It has to survive a stop once what happened at this stamp is on disk.
    pub born: u64,
    pub durable: bool,
    /// It is in the log of durable messages, maybe for another one's sake.
    pub logged: bool,
    /// Which publish, or transaction, or move, it came to be by: all or nothing.
    pub group: u64,
    /// The copy that it replaced by dying, if any.
    pub moved_from: Option<u64>,
    pub serial: u64,
}

#[derive(Debug)]
pub struct Queue {
    pub name: String,
    /// What it was declared with.
    pub declared: QueueSpec,
    /// That and the policies.
    pub spec: QueueSpec,
    pub owner: Option<ConnId>,
    /// Sorted by falling priority, then by place.
    pub ready: Vec<Copied>,
    /// It is no queue to anybody, but takes direct replies.
    pub replies: bool,
    /// Of the messages in it, each with the message's serial number.
    pub names: BTreeMap<Val, u64>,
    /// In place of `ready`.
    pub stream: Option<streams::Stream>,
    pub unacked: usize,
    pub consumers: Vec<ConsumerId>,
    /// Who gets messages where only one does.
    pub active: Option<ConsumerId>,
    pub overfull: bool,
    pub used_at_ms: u64,
    pub born: u64,
}

#[derive(Debug)]
pub struct Consumer {
    pub at: At,
    pub tag: String,
    pub queue: QueueId,
    pub no_ack: bool,
    pub exclusive: bool,
    pub priority: i32,
    pub prefetch: u32,
    pub unacked: u32,
    /// Deliveries that others of its priority got while it could have taken them.
    pub passed_over: usize,
    /// The offset that a stream's reader gets next.
    pub cursor: Option<u64>,
}

/// A delivery that waits to be settled.
#[derive(Clone, Debug)]
pub struct Held {
    pub copied: Copied,
    pub queue: QueueId,
    pub consumer: Option<ConsumerId>,
    /// When it has to be acknowledged.
    pub due_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Ack,
    Requeue,
    Reject,
}

#[derive(Debug, Default)]
pub enum Mode {
    #[default]
    Plain,
    Confirm {
        last: u64,
        /// What each unconfirmed publish waits for: a stamp that has to be durable, and one with
        /// which it waits no longer.
        waiting: BTreeMap<u64, (Option<u64>, Option<u64>)>,
    },
    Transaction {
        publishes: Vec<transactions::Pending>,
        settled: Vec<(u64, Held, Settlement)>,
    },
}

/// What a consumer tag stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Consumer(ConsumerId),
    /// The queue went; the client will be told.
    Ended,
}

#[derive(Debug, Default)]
pub struct Channel {
    pub closing: bool,
    pub tags: BTreeMap<String, Tag>,
    pub unacked: BTreeMap<u64, Held>,
    pub last_tag: u64,
    pub prefetch: u32,
    pub shared_prefetch: u32,
    pub shared_unacked: u32,
    pub mode: Mode,
    /// The name that its direct replies come to.
    pub replies: Option<String>,
    /// What an empty queue name means.
    pub last_queue: Option<String>,
}

/// What has to come.
#[derive(Debug)]
pub enum Reply {
    Exactly(Vec<u8>),
    /// Its channel was closed: nothing.
    Nothing,
    /// `queue.declare-ok` with a name for this queue.
    NameOf(QueueId),
    /// `queue.delete-ok` with one of these numbers of messages.
    Deleted {
        messages: RangeInclusive<u64>,
    },
    /// `queue.declare-ok` with one of these numbers of messages.
    Counted {
        queue: String,
        messages: RangeInclusive<u64>,
        consumers: usize,
    },
}

/// A reply that may only come when something is on disk.
#[derive(Debug)]
pub struct Awaited {
    pub channel: u16,
    pub reply: Reply,
    pub needs: Option<u64>,
    /// Consumers of the channel that ended meanwhile: it learns of that behind the reply.
    pub cancelled: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Connection {
    pub channels: BTreeMap<u16, Channel>,
    /// What the broker sent and nobody has looked at.
    pub received: VecDeque<Received>,
    pub awaited: Option<Awaited>,
    pub closed: bool,
    pub wants_cancels: bool,
    /// Who logged in.
    pub user: &'static str,
    /// Its outbox is full: nothing is delivered to it.
    pub full: bool,
}

#[derive(Debug)]
pub struct Exchange {
    pub spec: ExchangeSpec,
    /// Another one of its name has another.
    pub id: u64,
    /// The last names of messages, the newest last.
    pub seen: Vec<deduplication::Seen>,
}

/// The twin.
#[derive(Debug, Default)]
pub struct Twin {
    pub now_ms: u64,
    /// Counts the write-outs: what has a smaller one was written.
    pub stamp: u64,
    /// What has a smaller stamp is on disk.
    pub durable: u64,
    pub exchanges: BTreeMap<String, Exchange>,
    pub bindings: Vec<Binding>,
    pub queues: BTreeMap<QueueId, Queue>,
    pub consumers: BTreeMap<ConsumerId, Consumer>,
    pub connections: BTreeMap<ConnId, Connection>,
    pub limbo: VecDeque<Dying>,
    pub overfull: Vec<QueueId>,
    /// Consumers whose clients are to be told that they ended, with their channel and tag.
    pub cancels: Vec<(At, String, bool)>,
    /// What was settled and when, for crashes: nothing of it may be written.
    pub settled: Vec<(QueueId, Copied, u64)>,
    /// Queues that went, with their names, and when; for crashes.
    pub removed: Vec<(QueueId, String, u64)>,
    /// The same that is written, with when, and not on disk: for power cuts.
    pub settled_in_cache: Vec<(QueueId, Copied, u64)>,
    pub removed_in_cache: Vec<(QueueId, String, u64)>,
    /// What delayed exchanges hold back.
    pub held_back: Vec<delayed::HeldBack>,
    /// When something that lasts came to its time last.
    pub released_stamp: Option<u64>,
    /// When a definition changed last.
    pub topology_stamp: Option<u64>,
    /// The last operation's reply is held back by the session.
    pub deferring: bool,
    /// A choice of the broker that cannot be seen has consequences: this run ends here.
    pub ambiguous: bool,
    pub group: u64,
    /// The names for direct replies that came to be known, and what stands for them here.
    pub reply_names: BTreeMap<String, String>,
    /// The names to reply to of messages by the beginnings of their bodies.
    pub asked: BTreeMap<Vec<u8>, String>,
    /// Who has not all rights.
    pub rights: BTreeMap<&'static str, Rights>,
    pub policies: Vec<PolicySpec>,
    /// Messages of several queues died because a policy changed.
    pub policies_killed: bool,
    /// Messages are buried whose order is the broker's choice.
    pub burying_unordered: bool,
    /// All messages go to the durable log: they are in one transaction with one that has to.
    pub logging: bool,
    pub tally: Tally,
    /// The names that the broker made.
    pub names_given: BTreeSet<String>,
    next: u64,
}

impl Twin {
    pub fn new() -> Twin {
        let mut twin = Twin::default();
        let predeclared = [
            ("", "direct"),
            ("amq.direct", "direct"),
            ("amq.fanout", "fanout"),
            ("amq.topic", "topic"),
            ("amq.headers", "headers"),
        ];
        for (name, kind) in predeclared {
            let spec = ExchangeSpec::plain(kind);
            twin.exchanges.insert(name.into(), Exchange { spec, id: 0, seen: Vec::new() });
        }
        twin
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// The log was written out; whether with everything that was settled.
    pub fn written_out(&mut self, all_said: bool) {
        let now = self.stamp;
        if all_said {
            let settled = self.settled.drain(..).map(|(queue, copied, _)| (queue, copied, now));
            self.settled_in_cache.extend(settled);
            let removed = self.removed.drain(..).map(|(queue, name, _)| (queue, name, now));
            self.removed_in_cache.extend(removed);
        } else if self.topology_stamp == Some(now) {
            // There was no room to say so.
            self.count("a change waits for room");
            self.topology_stamp = Some(now + 1);
        }
        self.stamp += 1;
    }

    /// What was written before this stamp is on disk.
    pub fn synced(&mut self, stamp: u64) {
        self.durable = stamp;
        self.settled_in_cache.retain(|(_, _, at)| *at >= stamp);
        self.removed_in_cache.retain(|(_, _, at)| *at >= stamp);
    }

    /// A number that was not used before.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn queue_named(&self, name: &str) -> Option<QueueId> {
        let mut queues = self.queues.iter();
        let found = queues.find(|(_, queue)| queue.name == name);
        found.map(|(id, _)| *id)
    }

    pub fn channel(&mut self, at: At) -> &mut Channel {
        let connection = self.connections.get_mut(&at.conn).unwrap();
        connection.channels.get_mut(&at.channel).unwrap()
    }

    pub fn connection(&mut self, conn: ConnId) -> &mut Connection {
        self.connections.get_mut(&conn).unwrap()
    }

    /// The next thing that the broker sent to a connection.
    pub fn next_received(&mut self, at: At, wanted: &str) -> Received {
        let connection = self.connection(at.conn);
        let next = connection.received.pop_front();
        let mut next = next.unwrap_or_else(|| panic!("{at:?}: {wanted} should have come"));
        self.replace_name(&mut next);
        assert_eq!(next.channel, at.channel, "{wanted} came elsewhere: {:?}", next.method());
        next
    }

    /// Exactly this comes next on the channel.
    pub fn expect(&mut self, at: At, method: &Method<'_>) {
        let received = self.next_received(at, method.name());
        assert_eq!(
            format!("{:?}", received.method()),
            format!("{method:?}"),
            "on {at:?}, the broker's answer is on the left"
        );
    }

    /// The answer to a method that may have to wait for the disk: up to a stamp, if `needs`.
    pub fn reply(&mut self, at: At, method: &Method<'_>, needs: Option<u64>) {
        let mut reply = Vec::new();
        encoder::method_frame(&mut reply, at.channel, method);
        self.answer(at, Reply::Exactly(reply[7..reply.len() - 1].to_vec()), needs);
    }

    /// As [`Twin::reply`]: a name for this queue.
    pub fn reply_with_name(&mut self, at: At, queue: QueueId, needs: Option<u64>) {
        self.answer(at, Reply::NameOf(queue), needs);
    }

    pub fn answer(&mut self, at: At, reply: Reply, needs: Option<u64>) {
        let channel = at.channel;
        let awaited = Awaited { channel, reply, needs, cancelled: Vec::new() };
        self.connection(at.conn).awaited = Some(awaited);
        if !self.deferring {
            self.wait_is_over(at.conn);
        }
    }

    /// The reply that a session held back came.
    pub fn wait_is_over(&mut self, conn: ConnId) {
        let awaited = self.connection(conn).awaited.take();
        let awaited = awaited.expect("the session waited for something");
        let Awaited { channel, reply, needs, cancelled } = awaited;
        let early = needs.is_some_and(|stamp| stamp >= self.durable);
        assert!(!early, "an answer before it is on disk: {reply:?}");
        let at = At { conn, channel };
        match reply {
            Reply::Exactly(reply) => self.expect(at, &Method::decode(&reply).unwrap()),
            Reply::Nothing => {}
            Reply::NameOf(queue) => self.take_name(at, queue),
            Reply::Deleted { messages } => self.expect_deleted(at, &messages),
            Reply::Counted { queue, messages, consumers } => {
                self.expect_counts(at, &queue, &messages, consumers)
            }
        }
        for tag in cancelled {
            self.count("cancelled behind a reply");
            let cancel = basic::Cancel { consumer_tag: tag.as_bytes(), nowait: true };
            self.expect(at, &Method::BasicCancel(cancel));
        }
    }

    /// A mistake on a channel: it closes with one of these codes, and what it held goes back.
    pub fn channel_error(&mut self, at: At, codes: &[u16], class_id: u16, method_id: u16) {
        self.confirmed_before_close(at);
        self.release_channel(at);
        let closing = Channel { closing: true, ..Channel::default() };
        let connection = self.connection(at.conn);
        if let Some(awaited) = connection.awaited.as_mut().filter(|a| a.channel == at.channel) {
            awaited.reply = Reply::Nothing;
            awaited.cancelled.clear();
        }
        connection.channels.insert(at.channel, closing);
        let received = self.next_received(at, "channel.close");
        let Method::ChannelClose(close) = received.method() else {
            panic!("channel.close with {codes:?} expected, got {received:?}");
        };
        let channel::Close { reply_code, .. } = close;
        assert!(codes.contains(&reply_code), "{codes:?}: {close:?}");
        let ids = (close.class_id, close.method_id);
        assert_eq!(ids, (class_id, method_id), "{close:?}");
    }

    /// A mistake on the connection: it closes with this code.
    pub fn connection_error(&mut self, conn: ConnId, code: u16) {
        self.confirmed_before_end(conn);
        self.end_connection(conn);
        let channel = 0;
        let received = self.next_received(At { conn, channel }, "connection.close");
        let Method::ConnectionClose(connection::Close { reply_code, .. }) = received.method()
        else {
            panic!("connection.close with {code} expected, got {received:?}");
        };
        assert_eq!(reply_code, code);
    }

    /// Everything that was sent is accounted for.
    pub fn nothing_received(&mut self, conn: ConnId) {
        let connection = self.connection(conn);
        let unexpected = connection.received.front();
        assert!(unexpected.is_none(), "nobody asked for {unexpected:?}");
    }
}
