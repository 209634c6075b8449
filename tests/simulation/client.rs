//! What do the clients of a simulation do next?

use std::collections::VecDeque;
use std::rc::Rc;

use leveret::broker::ConnectionKey;

use super::ops::{Binding, Consume, End, ExchangeSpec, Op, Overflow, Publish, QueueSpec};
use super::random::Random;
use super::twin::{At, Mode, REPLY_TO, Tag, Twin, UNNAMED};
use super::values::{Fields, Props, Val};

/// A client.
pub struct Client {
    pub key: ConnectionKey,
    /// What it sent and the session has not taken.
    pub sent: Vec<u8>,
    /// How much of that arrived.
    pub arrived: usize,
    /// Bytes that the session took since the beginning.
    pub taken: u64,
    /// Operations that are not taken whole, with where their last byte is.
    pub ops: VecDeque<(u64, u16, Op)>,
    /// Bytes of the outbox that were looked at.
    pub seen: usize,
    /// Bytes of a frame that is not complete.
    pub inbox: Vec<u8>,
    /// It does not read what it is sent.
    pub stalled: bool,
    pub channels: [View; CHANNELS],
}

impl Client {
    pub fn new(key: ConnectionKey) -> Client {
        Client {
            key,
            sent: Vec::new(),
            arrived: 0,
            taken: 0,
            ops: VecDeque::new(),
            seen: 0,
            inbox: Vec::new(),
            stalled: false,
            channels: [View::Unused; CHANNELS],
        }
    }
}

/// How a client sees one of its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Unused,
    Open,
    /// It sent `channel.close`.
    Closing,
}

/// Channels 1 to this number are used.
pub const CHANNELS: usize = 3;

/// The stream.
const STREAM: &str = "z";

/// What exists in one run, and what its clients like to do.
pub struct Profile {
    pub queues: Vec<(&'static str, QueueSpec)>,
    pub exchanges: Vec<(&'static str, ExchangeSpec)>,
    pub transactions: bool,
    pub large_bodies: bool,
    pub prefetch: bool,
    pub policies: bool,
    pub permissions: bool,
    /// Bodies are made of more than dots.
    pub hostile: bool,
    /// What sizes bodies have at this time.
    pub sizes: Sizes,
    /// Bytes of the log's files.
    pub stolen: Vec<u8>,
}

/// What sizes bodies have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    Mixed,
    Small,
    Large,
}

/// The largest body, but for a few bytes.
pub const BODY_BYTES_MAX: usize = 90_000;

const KEYS: [&str; 6] = ["k", "a.b", "a.c.d", "", "a", "a..b"];
const PATTERNS: [&str; 8] = ["k", "a.*", "#", "a.#", "*", "#.b", "*.*", "a.#.b"];
const TAGS: [&str; 3] = ["one", "two", "three"];
const SOURCES: [&str; 4] = ["amq.direct", "amq.topic", "amq.fanout", "amq.headers"];

impl Profile {
    pub fn random(random: &mut Random) -> Profile {
        let mut queues = Vec::new();
        let times = random.chance(60);
        let mut b = QueueSpec::plain(true);
        b.dlx = Some(if random.chance(50) { "dx" } else { "" }.into());
        b.dlx_key = random.chance(60).then(|| "d".into());
        b.delivery_limit = random.chance(50).then(|| u32::from(random.small(3)));
        b.ttl_ms = (times && random.chance(50)).then(|| random.below(60) as u64);
        let mut a = QueueSpec::plain(true);
        a.max_priority = random.chance(50).then_some(3);
        let mut c = QueueSpec::plain(random.chance(70));
        c.max_length = random.chance(70).then(|| random.below(5) as u64);
        c.max_bytes = random.chance(40).then(|| random.below(400) as u64);
        c.max_priority = random.chance(30).then_some(2);
        c.dlx = random.chance(60).then(|| "dx".into());
        let mut r = QueueSpec::plain(random.chance(70));
        r.max_length = Some(random.below(5) as u64);
        r.overflow = if random.chance(50) { Overflow::Reject } else { Overflow::RejectDlx };
        r.dlx = random.chance(70).then(|| "dx".into());
        let mut d = QueueSpec::plain(true);
        if random.chance(50) {
            d.dlx = Some(String::new());
            d.dlx_key = Some((*random.pick(&["b", "d", "c"])).into());
            d.ttl_ms = (times && random.chance(50)).then(|| random.below(60) as u64);
        }
        let mut t = QueueSpec::plain(false);
        t.auto_delete = random.chance(50);
        t.ttl_ms = (times && random.chance(50)).then(|| random.below(30) as u64);
        t.dlx = random.chance(50).then(|| "dx".into());
        let mut x = QueueSpec::plain(random.chance(50));
        x.exclusive = true;
        let mut s = QueueSpec::plain(true);
        s.single_active = true;
        let mut e = QueueSpec::plain(random.chance(70));
        e.expires_ms = Some(random.between(20, 400) as u64);
        let mut z = QueueSpec::plain(true);
        z.stream = true;
        z.max_bytes = random.chance(50).then(|| random.between(300, 5000) as u64);
        z.max_age_s = random.chance(30).then(|| random.between(1, 2) as u64);
        for one in [&mut a, &mut s, &mut z] {
            let timeout_ms = random.between(30, 400) as u64;
            one.consumer_timeout_ms = random.chance(25).then_some(timeout_ms);
        }
        d.deduplicates = random.chance(40);
        let mut u = QueueSpec::plain(random.chance(80));
        u.deduplicates = true;
        u.max_length = random.chance(40).then(|| random.between(1, 4) as u64);
        u.overflow = *random.pick(&[Overflow::DropHead, Overflow::Reject]);
        u.ttl_ms = (times && random.chance(30)).then(|| random.below(60) as u64);
        u.delivery_limit = random.chance(30).then(|| u32::from(random.small(3)));
        let specs = [a, b, c, r, d, t, x, s, e, u, z];
        let names = ["a", "b", "c", "r", "d", "t", "x", "s", "e", "u", STREAM];
        queues.extend(names.into_iter().zip(specs));
        let exchange = |kind, durable, auto_delete, alternate: Option<&str>| ExchangeSpec {
            kind,
            durable,
            auto_delete,
            alternate: alternate.map(Into::into),
            arguments: Fields::new(),
        };
        let kind = *random.pick(&["fanout", "topic", "direct"]);
        let mut later = exchange("x-delayed-message", random.chance(70), random.chance(20), None);
        let inner = *random.pick(&["fanout", "topic", "direct"]);
        later.arguments.push(("x-delayed-type".into(), Val::Text(inner.into())));
        let mut once = exchange("x-message-deduplication", random.chance(70), false, None);
        let size = Val::I64(random.between(1, 3) as i64);
        once.arguments.push(("x-cache-size".into(), size));
        if random.chance(50) {
            let ttl_ms = Val::I64(random.between(5, 200) as i64);
            once.arguments.push(("x-cache-ttl".into(), ttl_ms));
        }
        let exchanges = vec![
            ("dx", exchange(kind, true, false, None)),
            ("e1", exchange("topic", true, true, Some("e2"))),
            ("e2", exchange("fanout", random.chance(50), false, Some("e1"))),
            ("e3", exchange("headers", false, true, Some("amq.fanout"))),
            ("later", later),
            ("once", once),
        ];
        Profile {
            queues,
            exchanges,
            transactions: random.chance(60),
            large_bodies: random.chance(40),
            prefetch: random.chance(80),
            policies: random.chance(50),
            permissions: random.chance(40),
            hostile: random.chance(60),
            sizes: Sizes::Mixed,
            stolen: Vec::new(),
        }
    }

    /// What the first client begins with, so that there is something to work on.
    pub fn setup(&self, random: &mut Random) -> Vec<Op> {
        let mut ops = vec![Op::OpenChannel];
        for (name, spec) in &self.exchanges {
            ops.push(Op::DeclareExchange { exchange: (*name).into(), spec: spec.clone() });
        }
        for (name, spec) in &self.queues {
            ops.push(Op::DeclareQueue {
                queue: (*name).into(),
                passive: false,
                spec: spec.clone(),
                nowait: random.chance(20),
            });
        }
        for _ in 0..8 {
            ops.push(Op::Bind(self.binding(random)));
        }
        let bound = [("#", "b"), ("k", "d"), ("a.b", "b"), ("a.b", "u")];
        let bound = bound.map(|(key, queue)| ("later", key, queue));
        for (source, key, queue) in bound.into_iter().chain([("once", "", "s")]) {
            let (source, destination) = (source.into(), queue.into());
            let (key, arguments) = (key.into(), Fields::new());
            ops.push(Op::Bind(Binding { source, end: End::Queue, destination, key, arguments }));
        }
        ops
    }

    fn binding(&self, random: &mut Random) -> Binding {
        let own: Vec<&str> = self.exchanges.iter().map(|(name, _)| *name).collect();
        let source = if random.chance(50) { *random.pick(&SOURCES) } else { *random.pick(&own) };
        let (end, destination) = if random.chance(80) {
            (End::Queue, random.pick(&self.queues).0)
        } else {
            (End::Exchange, *random.pick(&own[..4]))
        };
        let keys = if random.chance(50) { &KEYS[..] } else { &PATTERNS[..] };
        let key = (*random.pick(keys)).into();
        let mut arguments = Fields::new();
        if source == "amq.headers" || source == "e3" {
            let mode = *random.pick(&["any", "all"]);
            arguments.push(("x-match".into(), Val::Text(mode.into())));
            let value = random.pick(&[Val::I32(1), Val::I64(1), Val::Void]).clone();
            arguments.push(("number".into(), value));
            if random.chance(50) {
                arguments.push(("word".into(), Val::Text("yes".into())));
            }
        }
        Binding { source: source.into(), end, destination: destination.into(), key, arguments }
    }

    fn spec_of(&self, queue: &str) -> QueueSpec {
        let mut queues = self.queues.iter();
        queues.find(|(name, _)| *name == queue).unwrap().1.clone()
    }

    /// The name of a queue: one of this run's, or one that the broker made.
    fn queue(&self, twin: &Twin, random: &mut Random) -> String {
        let given: Vec<&String> = server_named(twin).collect();
        if !twin.reply_names.is_empty() && random.below(1000) < 4 {
            return replier(twin, random);
        }
        if random.below(1000) < 2 {
            return REPLY_TO.into();
        }
        if !given.is_empty() && random.chance(12) {
            return (*random.pick(&given)).clone();
        }
        random.pick(&self.queues).0.into()
    }

    /// The same for methods that take no name as the last declared queue's.
    fn queue_at(&self, twin: &Twin, at: At, random: &mut Random) -> String {
        let connection = twin.connections.get(&at.conn);
        let channel = connection.and_then(|connection| connection.channels.get(&at.channel));
        let declared = channel.is_some_and(|channel| channel.last_queue.is_some());
        if random.below(1000) < if declared { 120 } else { 3 } {
            return String::new();
        }
        self.queue(twin, random)
    }

    /// An operation on an open channel.
    pub fn next_op(&self, twin: &Twin, at: At, idle: bool, random: &mut Random) -> Op {
        let roll = random.below(1000);
        match roll {
            0..=379 => Op::Publish(self.publish(twin, at, random)),
            380..=469 => self.consume(twin, at, random),
            470..=499 => Op::Cancel { tag: (*random.pick(&TAGS)).into() },
            500..=569 => self.get(twin, at, random),
            570..=779 if idle => self.settlement(twin, at, random),
            570..=779 => Op::Publish(self.publish(twin, at, random)),
            780..=799 => Op::Recover,
            800..=839 if self.prefetch => {
                Op::Qos { count: u16::from(random.small(4)), global: random.chance(40) }
            }
            800..=869 => self.selecting(twin, at, random),
            870..=889 => self.selecting(twin, at, random),
            890..=899 => Op::Bind(self.binding_at(twin, at, random)),
            900..=909 => self.unbinding(twin, at, random),
            _ => self.rare(twin, at, random),
        }
    }

    fn selecting(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        let channel = twin.connections.get(&at.conn);
        let channel = channel.and_then(|connection| connection.channels.get(&at.channel));
        match channel.map(|channel| &channel.mode) {
            Some(Mode::Transaction { .. }) if random.chance(70) => Op::TxCommit,
            Some(Mode::Transaction { .. }) => Op::TxRollback,
            _ if self.transactions && random.chance(30) => Op::TxSelect,
            _ => Op::ConfirmSelect,
        }
    }

    fn rare(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        let queue = self.queue_at(twin, at, random);
        match random.below(90) {
            0..=5 => self.declare_unnamed(twin, random),
            6..=29 if queue.is_empty() || queue.starts_with("amq.") => Op::DeclareQueue {
                queue,
                passive: random.chance(90),
                spec: QueueSpec::plain(false),
                nowait: false,
            },
            6..=29 => Op::DeclareQueue {
                passive: random.chance(10),
                spec: if random.chance(5) { QueueSpec::plain(false) } else { self.spec_of(&queue) },
                queue,
                nowait: random.chance(20),
            },
            30..=39 => {
                Op::DeleteQueue { queue, if_unused: random.chance(40), if_empty: random.chance(40) }
            }
            40..=49 if queue == STREAM && random.chance(90) => self.get(twin, at, random),
            40..=49 => Op::Purge { queue },
            50..=69 => {
                let (exchange, spec) = random.pick(&self.exchanges).clone();
                let exchange = exchange.into();
                Op::DeclareExchange { exchange, spec }
            }
            70..=74 => Op::DeleteExchange {
                exchange: random.pick(&self.exchanges).0.into(),
                if_unused: random.chance(50),
            },
            75..=83 => Op::CloseChannel,
            84 => Op::CloseConnection,
            _ => Op::TxCommit,
        }
    }

    /// A queue that is to get its name from the broker; only so many of them.
    fn declare_unnamed(&self, twin: &Twin, random: &mut Random) -> Op {
        if server_named(twin).count() > 3 {
            return Op::Get { queue: self.queue(twin, random), no_ack: false };
        }
        let mut spec = QueueSpec::plain(random.chance(40));
        spec.exclusive = random.chance(40);
        spec.auto_delete = random.chance(40);
        spec.expires_ms = random.chance(60).then(|| random.between(20, 400) as u64);
        Op::DeclareQueue { queue: String::new(), passive: false, spec, nowait: false }
    }

    /// A binding whose queue may be the last declared one.
    fn binding_at(&self, twin: &Twin, at: At, random: &mut Random) -> Binding {
        let mut binding = self.binding(random);
        if binding.end == End::Queue {
            binding.destination = self.queue_at(twin, at, random);
        }
        binding
    }

    fn unbinding(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        if twin.bindings.is_empty() {
            return Op::Unbind(self.binding(random));
        }
        let mut binding = random.pick(&twin.bindings).clone();
        let connection = twin.connections.get(&at.conn);
        let channel = connection.and_then(|connection| connection.channels.get(&at.channel));
        let last = channel.and_then(|channel| channel.last_queue.as_ref());
        if binding.end == End::Queue && last == Some(&binding.destination) {
            binding.destination.clear();
            if Some(&binding.key) == last {
                binding.key.clear();
            }
        }
        Op::Unbind(binding)
    }

    fn consume(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        let mut queue = self.queue_at(twin, at, random);
        let replies = random.chance(15);
        if replies {
            queue = REPLY_TO.into();
        }
        if queue == STREAM && random.chance(98) {
            return read(twin, at, random);
        }
        Op::Consume(Consume {
            queue,
            // The third tag is on nobody's list of favourites: reuse is an error of the connection.
            tag: (*random.pick(&TAGS)).into(),
            no_ack: random.chance(if replies { 96 } else { 30 }),
            exclusive: random.chance(5),
            priority: *random.pick(&[0, 0, 0, 1, -1]),
            offset: None,
        })
    }

    fn get(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        let mut queue = self.queue_at(twin, at, random);
        // It would be the end of the connection.
        if queue == STREAM && random.chance(95) {
            queue = "a".into();
        }
        Op::Get { queue, no_ack: random.chance(30) }
    }

    fn settlement(&self, twin: &Twin, at: At, random: &mut Random) -> Op {
        let connection = twin.connections.get(&at.conn);
        let channel = connection.and_then(|c| c.channels.get(&at.channel));
        let tags: Vec<u64> = channel.map_or(Vec::new(), |c| c.unacked.keys().copied().collect());
        let tag = if tags.is_empty() {
            if !random.chance(3) {
                return Op::Publish(self.publish(twin, at, random));
            }
            random.below(4) as u64
        } else if random.chance(50) {
            tags[0]
        } else {
            *random.pick(&tags)
        };
        let multiple = random.chance(20);
        let tag = if multiple && random.chance(20) { 0 } else { tag };
        match random.below(10) {
            0..=4 => Op::Ack { tag, multiple },
            5..=7 => Op::Nack { tag, multiple, requeue: random.chance(60) },
            _ if tag == 0 => Op::Ack { tag, multiple },
            _ => Op::Reject { tag, requeue: random.chance(50) },
        }
    }

    /// A body that begins with a number of its own, in a few bytes more or less: what follows comes
    /// to lie at every alignment.
    fn body(&self, random: &mut Random) -> Vec<u8> {
        let number = random.next() % 1_000_000_000;
        let width = if self.hostile { 9 + random.below(8) } else { 9 };
        let mut body = format!("m{number:0width$}:").into_bytes();
        let size = match (self.sizes, random.below(100)) {
            (Sizes::Small, _) => random.below(60),
            (Sizes::Mixed, 0..=89) | (Sizes::Large, 0..=29) => random.below(200),
            (Sizes::Mixed, 90..=97) | (Sizes::Large, 30..=89) => random.between(3_000, 9_000),
            _ if self.large_bodies => random.between(60_000, BODY_BYTES_MAX),
            _ => 0,
        };
        let end = body.len() + size;
        match random.below(4) {
            0 if self.hostile => body.resize(end, 0),
            1 if self.hostile => body.resize(end, 0xff),
            2 if self.hostile && !self.stolen.is_empty() => {
                let from = random.below(self.stolen.len()) / 8 * 8;
                body.extend(self.stolen.iter().cycle().skip(from).take(size));
            }
            _ => body.resize(end, b'.'),
        }
        body
    }

    fn publish(&self, twin: &Twin, at: At, random: &mut Random) -> Publish {
        let mut props = Props::default();
        if random.chance(70) {
            props.delivery_mode = Some(2);
        }
        if random.chance(30) {
            props.priority = Some(random.small(6));
        }
        if random.chance(8) {
            props.expiration = Some(random.below(50).to_string());
        }
        if random.chance(20) {
            let number = random.pick(&[Val::I32(1), Val::I64(1), Val::I64(2)]).clone();
            props.set_header("number", number);
        }
        if random.chance(25) {
            let name = *random.pick(&["n1", "n2", "n3"]);
            props.set_header("x-deduplication-header", Val::Text(name.into()));
            if random.chance(10) {
                props.set_header("x-cache-ttl", Val::I64(random.between(1, 50) as i64));
            }
        }
        if random.chance(10) {
            props.set_header("word", Val::Text("yes".into()));
        }
        for (name, percent) in [("CC", 8), ("BCC", 5)] {
            if random.chance(percent) {
                let more = Val::Text((*random.pick(&["k", "a", "d", "b"])).into());
                props.set_header(name, Val::List(vec![more]));
            }
        }
        let body = self.body(random);
        let large = body.len() > 20_000;
        let channel = twin.connections.get(&at.conn).and_then(|c| c.channels.get(&at.channel));
        let is_transaction =
            channel.is_some_and(|channel| matches!(channel.mode, Mode::Transaction { .. }));
        let (exchange, key) = match random.below(100) {
            // Two of one name in a transaction do not come by chance.
            0..=19 if is_transaction && !large => ("once", String::new()),
            0..=49 => ("", self.queue(twin, random)),
            50..=74 => (*random.pick(&SOURCES), (*random.pick(&KEYS)).to_string()),
            _ if large => ("amq.topic", "a.b".to_string()),
            75..=79 => ("once", (*random.pick(&KEYS)).to_string()),
            80..=84 => ("later", (*random.pick(&KEYS[..2])).to_string()),
            _ => (random.pick(&self.exchanges).0, (*random.pick(&KEYS)).to_string()),
        };
        if exchange == "later" && random.chance(85) {
            let delay = i32::from(random.small(120)) - 10;
            let delays = [Val::I32(delay), Val::I64(delay.into())];
            props.set_header("x-delay", random.pick(&delays).clone());
        }
        let connection = twin.connections.get(&at.conn);
        let channel = connection.and_then(|connection| connection.channels.get(&at.channel));
        let waits = channel.is_some_and(|channel| channel.replies.is_some());
        if random.below(1000) < if waits { 300 } else { 6 } {
            props.reply_to = Some(REPLY_TO.into());
        }
        let answers = !twin.reply_names.is_empty() && random.chance(3);
        let key = if answers && exchange.is_empty() { replier(twin, random) } else { key };
        Publish {
            exchange: exchange.into(),
            key,
            mandatory: random.chance(15),
            props,
            body: Rc::new(body),
        }
    }
}

/// The next thing to do for somebody who wants to read the stream: a prefetch count, then that.
fn read(twin: &Twin, at: At, random: &mut Random) -> Op {
    let connection = twin.connections.get(&at.conn);
    let channel = connection.and_then(|connection| connection.channels.get(&at.channel));
    if !channel.is_some_and(|c| c.prefetch > 0 && c.shared_prefetch == 0) {
        return Op::Qos { count: 1 + u16::from(random.small(4)), global: false };
    }
    let offset = match random.below(6) {
        0 => None,
        1 => Some(Val::I64(random.below(60) as i64)),
        2 => Some(Val::Time(twin.now_ms / 1000 - random.below(3) as u64)),
        _ => Some(Val::Text((*random.pick(&["first", "first", "last", "next"])).into())),
    };
    Op::Consume(Consume {
        queue: STREAM.into(),
        tag: (*random.pick(&TAGS)).into(),
        no_ack: false,
        exclusive: false,
        priority: *random.pick(&[0, 0, 0, 1, -1]),
        offset,
    })
}

/// The name of somebody who waits for replies, or did once: mostly the last one.
fn replier(twin: &Twin, random: &mut Random) -> String {
    let alive: Vec<&String> =
        twin.reply_names.keys().filter(|name| twin.queue_named(name).is_some()).collect();
    let all: Vec<&String> = twin.reply_names.keys().collect();
    let names = if alive.is_empty() || random.chance(10) { all } else { alive };
    (*random.pick(&names)).clone()
}

/// The queues that have their names from the broker.
fn server_named(twin: &Twin) -> impl Iterator<Item = &String> {
    let queues = twin.queues.values().map(|queue| &queue.name);
    queues.filter(|name| name.starts_with("amq.gen-") && *name != UNNAMED)
}

/// Whether the tag of a consume would be reused, which would end the connection: mostly avoided.
pub fn reuses_tag(twin: &Twin, at: At, op: &Op) -> bool {
    let Op::Consume(consume) = op else {
        return false;
    };
    let connection = twin.connections.get(&at.conn);
    let channel = connection.and_then(|connection| connection.channels.get(&at.channel));
    let tag = channel.and_then(|channel| channel.tags.get(&consume.tag));
    matches!(tag, Some(Tag::Consumer(_)))
}
