//! The node under test: a virtual clock, clients whose bytes arrive in random pieces, and a storage
//! helper that works when it likes. The world looks on while the node does its turn, and tells the
//! twin of each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret::amqp::method::connection;
use leveret::amqp::{Method, Name, PROTOCOL_HEADER, TableBuf, Value, encoder};
use leveret::broker::key::ArenaKey;
use leveret::broker::{Broker, ConnectionKey, Delivery, Handed, QueueKey, VhostKey};
use leveret::node::{Calendar, Node, Step, Told, Watch};
use leveret::outbox::SLICES_MAX;
use leveret::session::{Limits, Session};
use leveret::storage::{Body, HelperMode, Publication, QueueId, StorageError, StoreOptions};
use tempfile::TempDir;

use super::client::{Client, Profile, View};
use super::disk::{Disk, memory_directory};
use super::ops::Op;
use super::permissions::{Rights, USERS};
use super::random::Random;
use super::twin::{At, ConnId, Connection, Twin, short};
use super::values::{Received, take_received};

pub const FRAME_BYTES_MAX: u32 = 8192;
/// What a segment has, one of these; each start may bring another one.
pub const SEGMENT_BYTES: [u32; 3] = [64 << 10, 128 << 10, 256 << 10];
const EVENTS_KEPT: usize = 60;
/// The time at which every simulation begins, in ms since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// A place in the turn at which the process may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Input,
    Burial,
    WriteOut,
    Deliveries,
    End,
}

/// Why a turn was not finished.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process is gone.
    Killed,
    /// A choice of the broker that cannot be seen has consequences: nothing more can be said.
    Ambiguous,
    /// The disk failed while the broker took what a client sent: what it answers leaves no more,
    /// and what it stored nobody knows.
    FailedInput,
}

pub struct World {
    pub random: Random,
    pub twin: Twin,
    pub profile: Profile,
    pub node: Option<Node>,
    pub clients: BTreeMap<ConnId, Client>,
    pub events: Events,
    pub now_ms: u64,
    pub directory: TempDir,
    pub disk: Arc<Disk>,
    pub segment_bytes: u32,
    base: Instant,
    pub vhost: VhostKey,
    next_conn: ConnId,
    /// What the running sync covers, and whether it ran.
    syncing: Option<(u64, bool)>,
    /// How many deliveries a queue may make in this turn.
    deliveries_max: usize,
    /// The input that is being taken: where it lies in memory, and where in what was sent.
    input_at: (usize, u64),
    /// Nothing more can be said of what is being received.
    stopped: Option<Stop>,
    /// The power was cut while input was taken.
    input_failed: bool,
    /// What went straight to other connections, with where it began in what was sent.
    passed: VecDeque<(u64, At)>,
    pub kill_at: Option<Stage>,
    /// Nothing is late or cut any more.
    pub orderly: bool,
}

/// The last things that happened, shown when a run fails.
#[derive(Default)]
pub struct Events {
    seed: u64,
    kept: VecDeque<String>,
}

impl Events {
    pub fn note(&mut self, event: String) {
        if std::env::var_os("LEVERET_SIMULATION_TRACE").is_some() {
            eprintln!("{event}");
        }
        self.kept.push_back(event);
        if self.kept.len() > EVENTS_KEPT {
            self.kept.pop_front();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last events:");
            for event in &self.kept {
                eprintln!("  {event}");
            }
            eprintln!("run again with LEVERET_SIMULATION_SEED={}", self.seed);
        }
    }
}

impl World {
    // The one time that is real: where the virtual clock begins.
    #[allow(clippy::disallowed_methods)]
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let profile = Profile::random(&mut random);
        let directory = memory_directory();
        let disk = Disk::with(directory.path());
        let segment_bytes = *random.pick(&SEGMENT_BYTES);
        let mut world = World {
            random,
            twin: Twin::new(),
            profile,
            node: None,
            clients: BTreeMap::new(),
            events: Events { seed, kept: VecDeque::new() },
            now_ms: BEGIN_MS,
            directory,
            disk,
            segment_bytes,
            base: Instant::now(),
            vhost: VhostKey::new(0, 0),
            next_conn: 1,
            syncing: None,
            deliveries_max: usize::MAX,
            input_at: (0, 0),
            passed: VecDeque::new(),
            stopped: None,
            input_failed: false,
            kill_at: None,
            orderly: false,
        };
        world.open().unwrap();
        let broker = world.broker();
        let vhost = broker.create_vhost(&Name::from("/"));
        for name in USERS {
            broker.put_user(Rights::ALL.user(name));
        }
        broker.store.sync_now().unwrap();
        broker.start_clock(BEGIN_MS);
        world.vhost = vhost;
        world.twin.now_ms = BEGIN_MS;
        world
    }

    /// Opens the broker on what is in the directory; it has no time yet.
    ///
    /// # Errors
    /// The disk lost its power meanwhile.
    pub fn open(&mut self) -> Result<(), StorageError> {
        let directory = self.directory.path();
        let mut options = StoreOptions::new(directory, self.segment_bytes, HelperMode::Manual);
        options.witness = Some(self.disk.clone());
        let (broker, _) = Broker::open(directory, options)?;
        assert_eq!(broker.store.report().damaged, [], "nothing was damaged");
        self.vhost = broker.topology().vhost_named(b"/").unwrap_or(self.vhost);
        let limits = Limits {
            frame_bytes_max: FRAME_BYTES_MAX,
            channel_max: 100,
            heartbeat_s: 0,
            message_bytes_max: 1 << 20,
            cluster_name: Name::from("simulation"),
            product_name: Name::from("RabbitMQ"),
            product_version: Name::from("3.13.7"),
            mechanisms: leveret::session::Mechanisms::default(),
        };
        let calendar = Calendar::new(self.base, Duration::from_millis(BEGIN_MS));
        self.node = Some(Node::new(broker, limits, calendar, self.now()));
        self.syncing = None;
        Ok(())
    }

    pub fn broker(&mut self) -> &mut Broker {
        &mut self.node.as_mut().unwrap().broker
    }

    /// A connection's session.
    pub fn session(&self, client: &Client) -> &Session {
        self.node.as_ref().unwrap().session(client.key).unwrap()
    }

    /// Does something with the node while the world looks on.
    fn with_node<T>(&mut self, act: impl FnOnce(&mut World, &mut Node) -> T) -> T {
        let mut node = self.node.take().unwrap();
        let result = act(self, &mut node);
        self.node = Some(node);
        result
    }

    /// Whose connection it is.
    fn conn_of(&self, key: ConnectionKey) -> Option<ConnId> {
        let found = self.clients.iter().find(|(_, client)| client.key == key);
        found.map(|(conn, _)| *conn)
    }

    pub fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.now_ms - BEGIN_MS)
    }

    /// A queue of the broker under test.
    pub fn queue(&self, name: &str) -> Option<&leveret::broker::Queue> {
        let broker = &self.node.as_ref().unwrap().broker;
        broker.queues().get(broker.topology().queue_named(self.vhost, name.as_bytes())?)
    }

    /// A client that has logged in.
    pub fn connect(&mut self) -> ConnId {
        let conn = self.next_conn;
        self.next_conn += 1;
        let wants_cancels = self.random.chance(80);
        let user = if self.profile.permissions { *self.random.pick(&USERS) } else { USERS[0] };
        let client = self.log_in(wants_cancels, user);
        self.clients.insert(conn, client);
        let connection = Connection { wants_cancels, user, ..Connection::default() };
        self.twin.connections.insert(conn, connection);
        self.events.note(format!("connection {conn} opens"));
        conn
    }

    pub fn log_in(&mut self, wants_cancels: bool, user: &str) -> Client {
        let hello = hello(wants_cancels, user);
        self.with_node(|world, node| {
            let key = node.connect(SocketAddr::from(([127, 0, 0, 1], 1)));
            let taken = node.receive(key, &hello, world);
            assert_eq!(taken, hello.len());
            assert!(node.session(key).unwrap().is_open(), "the login is fine");
            let bytes = node.output(key).unwrap().len();
            node.flushed(key, bytes);
            Client::new(key)
        })
    }

    /// A client sends this; it arrives by and by.
    pub fn send(&mut self, conn: ConnId, channel: u16, op: Op) {
        let client = self.clients.get_mut(&conn).unwrap();
        op.encode(&mut client.sent, channel, FRAME_BYTES_MAX);
        let end = client.taken + client.sent.len() as u64;
        client.ops.push_back((end, channel, op));
    }

    /// One turn.
    pub fn turn(&mut self) -> Result<(), Stop> {
        self.advance_clock();
        self.change_policies();
        self.change_permissions();
        self.with_node(|world, node| world.run_helper(node));
        let mut order: Vec<ConnId> = self.clients.keys().copied().collect();
        for index in (1..order.len()).rev() {
            order.swap(index, self.random.below(index + 1));
        }
        for conn in order {
            if self.orderly || self.random.chance(70) {
                self.with_node(|world, node| world.run_connection(node, conn))?;
            }
        }
        let is_limited = !self.orderly && self.random.chance(50);
        self.deliveries_max = if is_limited { self.random.between(1, 4) } else { usize::MAX };
        self.with_node(|world, node| node.turn(world))?;
        let node = self.node.as_mut().unwrap();
        let mut touched = Vec::new();
        node.take_touched(&mut touched);
        for key in touched {
            node.flush_is_over(key);
        }
        self.end_connections();
        self.check_certain()?;
        self.node.as_mut().unwrap().end().unwrap();
        self.compare();
        self.stage(Stage::End)
    }

    /// What the twin does when the node has done a step.
    fn follow(&mut self, node: &mut Node, step: Step) -> Result<(), Stop> {
        match step {
            Step::Deadlines => {
                self.time_out();
                self.stage(Stage::Input)?;
                self.thin_out(node);
            }
            Step::Unfinished => {
                // Which dead letters found room is not known.
                self.twin.ambiguous |= node.broker.waits_for_room();
                self.check_certain()?;
                self.twin.bury();
                self.twin.release_delayed();
                self.twin.let_streams_forget();
                self.check_certain()?;
                self.run_helper(node);
                self.stage(Stage::Burial)?;
            }
            Step::Answers(durable_moved) => {
                if durable_moved {
                    let (covers, ran) = self.syncing.take().expect("a sync was begun");
                    assert!(ran, "a sync that nobody made");
                    self.twin.synced(covers);
                }
            }
            Step::Written => {
                self.twin.written_out(!node.broker.store.has_unwritten_settlements());
            }
            Step::SyncBegun(begun) => {
                if begun {
                    self.syncing = Some((self.twin.stamp, false));
                }
                self.stage(Stage::WriteOut)?;
            }
            Step::Effects => {
                let left = &self.twin.cancels;
                assert!(left.is_empty(), "nobody was told of the end of {left:?}");
            }
            Step::Deliveries => {
                if self.deliveries_max == usize::MAX {
                    self.twin.nothing_to_deliver();
                    self.twin.expire_for_consumers();
                }
                self.check_certain()?;
                self.stage(Stage::Deliveries)?;
            }
            Step::Lengths => self.twin.enforce_limits(),
            Step::Expired => {
                self.twin.expire();
                self.check_certain()?;
            }
            Step::Confirms => self.twin.no_confirm_is_missing(),
            Step::Waits => {}
        }
        Ok(())
    }

    /// A message of no queue comes and goes: what is left lies in segments that are mostly dead,
    /// so that it is moved.
    fn thin_out(&mut self, node: &mut Node) {
        if self.orderly || !self.random.chance(20) {
            return;
        }
        let body = vec![0; self.segment_bytes as usize / 4];
        let store = &mut node.broker.store;
        let appended = store.append(&Publication {
            durable: true,
            exchange: b"",
            routing_key: b"",
            properties: &[0, 0],
            body: Body::Inline(&body),
            published_ms: 0,
            expiry_ms: 0,
            deliveries: 0,
            queues: &[QueueId(0)],
            replaces: None,
            defines: None,
        });
        if let Ok(appended) = appended {
            store.settle(appended.entry.at, appended.first_slot);
        }
    }

    fn stage(&mut self, stage: Stage) -> Result<(), Stop> {
        if self.kill_at == Some(stage) {
            self.events.note(format!("killed at {stage:?}"));
            return Err(Stop::Killed);
        }
        Ok(())
    }

    fn advance_clock(&mut self) {
        let step = match self.random.below(100) {
            0..=39 => 0,
            40..=79 => self.random.below(6) as u64,
            80..=98 => {
                let next = self.broker().next_expiry_ms().unwrap_or(0);
                next.saturating_sub(self.now_ms).min(60)
            }
            _ => 500,
        };
        self.now_ms += step;
        let (now, now_ms) = (self.now(), self.now_ms);
        self.node.as_mut().unwrap().begin(now);
        self.twin.now_ms = now_ms;
        self.events.note(format!("-- at {} ms", now_ms - BEGIN_MS));
    }

    fn run_helper(&mut self, node: &mut Node) {
        let steps = if self.orderly { 20 } else { self.random.below(4) };
        for _ in 0..steps {
            let store = &mut node.broker.store;
            let syncing = store.is_syncing();
            if store.run_helper(1) == 0 {
                return;
            }
            // A sync goes before all else.
            if let Some((_, ran)) = self.syncing.as_mut().filter(|_| syncing) {
                *ran = true;
            }
        }
    }

    /// A piece of what a client sent arrives.
    fn run_connection(&mut self, node: &mut Node, conn: ConnId) -> Result<(), Stop> {
        let client = self.clients.get_mut(&conn).unwrap();
        let key = client.key;
        if !node.may_read(key) {
            return Ok(());
        }
        let missing = client.sent.len() - client.arrived;
        let more = match self.random.below(4) {
            _ if self.orderly => missing,
            0 => self.random.below(30),
            1 => self.random.below(2000),
            _ => missing,
        };
        client.arrived += more.min(missing).min(100_000);
        let input = client.sent[..client.arrived].to_vec();
        self.input_at = (input.as_ptr().addr(), client.taken);
        node.receive(key, &input, self);
        if self.input_failed {
            return Err(Stop::FailedInput);
        }
        self.stopped.take().map_or(Ok(()), Err)
    }

    /// A session took what a client sent up to here.
    fn take(&mut self, node: &mut Node, conn: ConnId, taken: u64) -> Result<(), Stop> {
        let client = self.clients.get_mut(&conn).unwrap();
        let bytes = (taken - client.taken) as usize;
        client.sent.drain(..bytes);
        client.arrived -= bytes;
        client.taken = taken;
        let waits = node.session(client.key).unwrap().waits_for().is_some();
        let mut done = Vec::new();
        while client.ops.front().is_some_and(|(end, _, _)| *end <= client.taken) {
            let (end, channel, op) = client.ops.pop_front().unwrap();
            done.push((end, At { conn, channel }, op));
        }
        self.observe(node, conn);
        let last = done.len().saturating_sub(1);
        let mut takers = BTreeSet::new();
        let mut passed = std::mem::take(&mut self.passed);
        for (index, (end, at, op)) in done.into_iter().enumerate() {
            self.events.note(describe(at, &op));
            self.twin.apply(at, &op, waits && index == last);
            self.check_certain()?;
            while passed.front().is_some_and(|(begin, _)| *begin < end) {
                let (_, to) = passed.pop_front().unwrap();
                self.events.note(format!("it goes straight to {to:?}"));
                self.twin.passed(to);
                self.check_certain()?;
                takers.insert(to.conn);
            }
        }
        assert!(passed.is_empty(), "of an unfinished publish: {passed:?}");
        for taker in takers {
            self.twin.nothing_received(taker);
            self.note_full(node, taker);
        }
        self.refuse_early(conn);
        self.twin.nothing_received(conn);
        self.note_full(node, conn);
        Ok(())
    }

    /// A publish with a large body may be refused as soon as its header is there.
    fn refuse_early(&mut self, conn: ConnId) {
        // What is due is confirmed before.
        let mut received = self.twin.connection(conn).received.iter();
        let is_close = |one: &&Received| !matches!(one.method(), Method::BasicAck(_));
        let Some(received) = received.find(is_close) else {
            return;
        };
        let closed = matches!(received.method(), Method::ChannelClose(_));
        let channel = received.channel;
        let client = self.clients.get_mut(&conn).unwrap();
        let begun =
            |(_, on, op): &(u64, u16, Op)| closed && *on == channel && matches!(op, Op::Publish(_));
        if client.ops.front().is_some_and(begun) {
            let (_, channel, op) = client.ops.pop_front().unwrap();
            let at = At { conn, channel };
            self.events.note(format!("refused at its header: {}", describe(at, &op)));
            self.twin.apply(at, &op, false);
        }
    }

    /// Channels whose time is over are closed, and no other.
    fn time_out(&mut self) {
        self.twin.time_out_together();
        let all: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in all {
            if !self.twin.connection(conn).closed {
                self.twin.time_out(conn);
                self.twin.nothing_received(conn);
            }
        }
    }

    fn check_certain(&self) -> Result<(), Stop> {
        if self.twin.ambiguous {
            return Err(Stop::Ambiguous);
        }
        Ok(())
    }

    /// The client reads, or not any more.
    pub fn stall(&mut self, conn: ConnId, stalled: bool) {
        self.clients.get_mut(&conn).unwrap().stalled = stalled;
        self.with_node(|world, node| world.observe(node, conn));
        self.twin.nothing_received(conn);
    }

    /// Hands what the broker sent to the twin; the client sees it, too.
    fn observe(&mut self, node: &mut Node, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        while let Some(outbox) = node.output(client.key) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
            client.inbox.extend_from_slice(&all[client.seen..]);
            client.seen = all.len();
            if client.stalled && count < SLICES_MAX - 1 {
                break;
            }
            node.flushed(client.key, all.len());
            client.seen = 0;
        }
        let received = take_received(&mut client.inbox, FRAME_BYTES_MAX);
        for one in &received {
            let Some(view) = usize::from(one.channel).checked_sub(1) else {
                continue;
            };
            match one.method() {
                Method::ChannelClose(_) => {
                    client.channels[view] = View::Unused;
                    let op = Op::ChannelCloseOk;
                    op.encode(&mut client.sent, one.channel, FRAME_BYTES_MAX);
                    let end = client.taken + client.sent.len() as u64;
                    client.ops.push_back((end, one.channel, op));
                }
                Method::ChannelCloseOk(_) if client.channels[view] == View::Closing => {
                    client.channels[view] = View::Unused;
                }
                _ => {}
            }
        }
        let full = node.session(client.key).unwrap().is_full();
        let connection = self.twin.connection(conn);
        if connection.full != full {
            self.events.note(format!("connection {conn} is full: {full}"));
        }
        connection.full = full;
        connection.received.extend(received);
    }

    fn note_full(&mut self, node: &Node, conn: ConnId) {
        if let Some(client) = self.clients.get(&conn) {
            let session = node.session(client.key).unwrap();
            self.twin.connection(conn).full = session.is_full();
        }
    }

    /// A message that is not stored went to its session: where it began in what was sent.
    fn pass_on(&mut self, conn: ConnId, handed: &Handed<'_>) {
        let offset = handed.message.exchange.as_ptr().addr() - self.input_at.0;
        let at = At { conn, channel: handed.to.channel };
        self.passed.push_back((self.input_at.1 + offset as u64, at));
    }

    fn cancelled(&mut self, conn: ConnId, channel: u16, tag: &str) {
        self.events.note(format!("consumer {tag} of {conn}/{channel} ends"));
        self.twin.cancelled(At { conn, channel }, tag);
        self.twin.nothing_received(conn);
    }

    fn delivered(&mut self, node: &Node, conn: ConnId, delivery: &Delivery) {
        let broker = &node.broker;
        let name = broker.queues().get(delivery.unsettled.queue).unwrap().name.to_string();
        let tag = broker.queues().consumer(delivery.consumer).unwrap().tag.to_string();
        let at = At { conn, channel: delivery.channel };
        self.events.note(format!("queue {name} delivers to {at:?} {tag}"));
        let queue = self.twin.queue_of(at, &tag);
        let found = &self.twin.queues[&queue];
        assert!(found.replies || found.name == name, "it consumes from '{}'", found.name);
        self.twin.delivered(queue, at, &tag);
        self.twin.nothing_received(conn);
        self.note_full(node, conn);
    }

    /// Connections that are closed, and now and then one that breaks.
    fn end_connections(&mut self) {
        let all: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in all {
            let closed = self.twin.connection(conn).closed;
            let breaks = !self.orderly && self.random.below(3000) == 0;
            if closed || breaks {
                let client = self.clients.remove(&conn).unwrap();
                self.node.as_mut().unwrap().remove(client.key);
                self.events.note(format!("connection {conn} is gone"));
                if !closed {
                    self.twin.end_connection(conn);
                }
                self.twin.connections.remove(&conn);
            }
        }
    }
}

impl Watch for World {
    type Stop = Stop;

    fn after(&mut self, node: &mut Node, step: Step) -> Result<(), Stop> {
        self.follow(node, step)
    }

    fn took(&mut self, node: &mut Node, from: ConnectionKey, bytes: usize) {
        self.input_failed = self.disk.is_dead();
        if let Some(conn) = self.conn_of(from)
            && self.stopped.is_none()
            && !self.input_failed
        {
            let taken = self.input_at.1 + bytes as u64;
            self.stopped = self.take(node, conn, taken).err();
        }
    }

    fn served(&mut self, node: &mut Node, queue: QueueKey) {
        let name = node.broker.queues().get(queue).map(|queue| queue.name.to_string());
        if let Some(id) = name.and_then(|name| self.twin.queue_named(&name)) {
            self.twin.expire_for_consumers_of(id);
        }
    }

    fn told(&mut self, node: &mut Node, to: ConnectionKey, what: Told<'_>) {
        // The inspector after a crash is no client. Of input that nobody took nothing is known.
        if self.stopped.is_some() || self.input_failed {
            return;
        }
        let Some(conn) = self.conn_of(to) else {
            return;
        };
        self.observe(node, conn);
        match what {
            Told::Handed(handed) => self.pass_on(conn, handed),
            Told::Delivery(delivery) => self.delivered(node, conn, delivery),
            Told::ConsumerCancelled(channel, tag) => {
                self.cancelled(conn, channel, &String::from_utf8_lossy(tag));
            }
            Told::Deadline => {}
            Told::Confirms => self.twin.confirmed(conn),
            Told::WaitIsOver => {
                self.twin.wait_is_over(conn);
                self.twin.nothing_received(conn);
            }
        }
    }

    fn deliveries_max(&mut self) -> usize {
        self.deliveries_max
    }
}

impl From<StorageError> for Stop {
    fn from(_: StorageError) -> Stop {
        Stop::Killed
    }
}

/// Everything that a client says until it is connected, at once.
fn hello(wants_cancels: bool, user: &str) -> Vec<u8> {
    let mut capabilities = TableBuf::new();
    capabilities.put_bool(b"consumer_cancel_notify", wants_cancels);
    let mut properties = TableBuf::new();
    properties.put(b"capabilities", Value::Table(capabilities.table()));
    let mut out = PROTOCOL_HEADER.to_vec();
    // The password is the name.
    let response = format!("\0{user}\0{user}");
    let start_ok = connection::StartOk {
        client_properties: properties.table(),
        mechanism: b"PLAIN",
        response: response.as_bytes(),
        locale: b"en_US",
    };
    encoder::method_frame(&mut out, 0, &start_ok);
    let tune_ok = connection::TuneOk { channel_max: 100, frame_max: FRAME_BYTES_MAX, heartbeat: 0 };
    encoder::method_frame(&mut out, 0, &tune_ok);
    let open = connection::Open { virtual_host: b"/" };
    encoder::method_frame(&mut out, 0, &open);
    out
}

fn describe(at: At, op: &Op) -> String {
    let At { conn, channel } = at;
    let text = match op {
        Op::Publish(publish) => format!(
            "Publish {} to '{}' '{}' mandatory {} {:?}",
            short(&publish.body),
            publish.exchange,
            publish.key,
            publish.mandatory,
            publish.props
        ),
        op => format!("{op:?}"),
    };
    format!("{conn}/{channel}: {text}")
}
