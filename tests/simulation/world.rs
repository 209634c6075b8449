//! The broker under test without sockets: its turns in the order of `net::turn`, a virtual clock,
//! clients whose bytes arrive in random pieces, and a storage helper that works when it likes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret::amqp::method::connection;
use leveret::amqp::{Method, Name, PROTOCOL_HEADER, TableBuf, Value, encoder};
use leveret::broker::key::ArenaKey;
use leveret::broker::{Broker, ConnectionKey, Effect, Handed, QueueKey, VhostKey};
use leveret::session::{Limits, SLICES_MAX, Session, WaitUntil};
use leveret::storage::{Body, HelperMode, Publication, QueueId, StorageError, StoreOptions};
use tempfile::TempDir;

use super::client::{CHANNELS, Client, Profile, View};
use super::disk::{Disk, memory_directory};
use super::ops::Op;
use super::permissions::{Rights, USERS};
use super::random::Random;
use super::twin::{At, ConnId, Connection, Twin, short};
use super::values::take_received;

pub const FRAME_BYTES_MAX: u32 = 8192;
/// What a segment has, one of these; each start may bring another one.
pub const SEGMENT_BYTES: [u32; 3] = [64 << 10, 128 << 10, 256 << 10];
/// As in `net::turn`: within this time acknowledgements that nobody asks about are written.
const SETTLEMENTS_WITHIN_MS: u64 = 5;
/// Within these times what nobody waits for is synced.
const SYNC_WITHIN_MS: u64 = 200;
const SYNC_SETTLEMENTS_WITHIN_MS: u64 = 1000;
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
    pub broker: Option<Broker>,
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
    unsynced_since: Option<u64>,
    /// A client got an answer in this turn.
    answered: bool,
    settlements_at: u64,
    dirty: Vec<QueueKey>,
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
            broker: None,
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
            unsynced_since: None,
            answered: false,
            settlements_at: BEGIN_MS,
            dirty: Vec::new(),
            kill_at: None,
            orderly: false,
        };
        world.open().unwrap();
        let broker = world.broker.as_mut().unwrap();
        world.vhost = broker.create_vhost(&Name::from("/"));
        for name in USERS {
            broker.put_user(Rights::ALL.user(name));
        }
        broker.store.sync_now().unwrap();
        broker.start_clock(BEGIN_MS);
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
        self.vhost = broker.vhost_named(b"/").unwrap_or(self.vhost);
        self.broker = Some(broker);
        self.syncing = None;
        self.unsynced_since = None;
        self.dirty.clear();
        Ok(())
    }

    pub fn broker(&mut self) -> &mut Broker {
        self.broker.as_mut().unwrap()
    }

    pub fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.now_ms - BEGIN_MS)
    }

    /// A queue of the broker under test.
    pub fn queue(&self, name: &str) -> Option<&leveret::broker::Queue> {
        let broker = self.broker.as_ref().unwrap();
        broker.queue(broker.queue_named(self.vhost, name.as_bytes())?)
    }

    /// A client that has logged in.
    pub fn connect(&mut self) -> ConnId {
        let conn = self.next_conn;
        self.next_conn += 1;
        let wants_cancels = self.random.chance(80);
        let user = if self.profile.permissions { *self.random.pick(&USERS) } else { USERS[0] };
        let client = self.log_in(conn, wants_cancels, user);
        self.clients.insert(conn, client);
        let connection = Connection { wants_cancels, user, ..Connection::default() };
        self.twin.connections.insert(conn, connection);
        self.events.note(format!("connection {conn} opens"));
        conn
    }

    pub fn log_in(&mut self, conn: ConnId, wants_cancels: bool, user: &str) -> Client {
        let limits = Limits {
            frame_bytes_max: FRAME_BYTES_MAX,
            channel_max: 100,
            heartbeat_s: 0,
            message_bytes_max: 1 << 20,
            cluster_name: Name::from("simulation"),
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let now = self.now();
        let key = ConnectionKey::new(conn, 1);
        let mut session = Session::new(key, peer, limits, now);
        let hello = hello(wants_cancels, user);
        let broker = self.broker.as_mut().unwrap();
        let taken = session.receive(broker, now, &hello, &mut Vec::new());
        assert_eq!(taken, hello.len());
        assert!(session.is_open(), "the login is fine");
        let bytes = session.outbox.len();
        session.flushed(self.broker.as_mut().unwrap(), bytes, now);
        Client {
            session,
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
        self.run_helper();
        let mut order: Vec<ConnId> = self.clients.keys().copied().collect();
        for index in (1..order.len()).rev() {
            order.swap(index, self.random.below(index + 1));
        }
        for conn in order {
            if self.orderly || self.random.chance(70) {
                self.run_connection(conn)?;
            }
        }
        self.fire_timers();
        self.stage(Stage::Input)?;
        self.broker().settle_discarded();
        self.broker().bury();
        self.broker().release_delayed();
        self.thin_out();
        self.broker().compact();
        self.twin.bury();
        self.twin.release_delayed();
        self.twin.let_streams_forget();
        self.check_certain()?;
        self.run_helper();
        self.stage(Stage::Burial)?;
        self.take_answers().map_err(|_| Stop::Killed)?;
        self.broker().store.retire();
        self.write_out().map_err(|_| Stop::Killed)?;
        self.start_sync();
        self.stage(Stage::WriteOut)?;
        self.carry_out_effects();
        self.deliver();
        self.check_certain()?;
        self.stage(Stage::Deliveries)?;
        self.broker().enforce_limits();
        self.twin.enforce_limits();
        self.broker().expire();
        self.twin.expire();
        self.check_certain()?;
        self.broker().store.write_out_transient().unwrap();
        self.release();
        self.end_connections();
        self.check_certain()?;
        let now_ms = self.now_ms;
        let store = &mut self.broker().store;
        store.look_back(now_ms).unwrap();
        store.maintain().unwrap();
        self.compare();
        self.stage(Stage::End)
    }

    /// A message of no queue comes and goes: what is left lies in segments that are mostly dead,
    /// so that it is moved.
    fn thin_out(&mut self) {
        if self.orderly || !self.random.chance(20) {
            return;
        }
        let body = vec![0; self.segment_bytes as usize / 4];
        let store = &mut self.broker.as_mut().unwrap().store;
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
        let now_ms = self.now_ms;
        self.broker().set_clock(now_ms);
        self.twin.now_ms = now_ms;
        self.events.note(format!("-- at {} ms", now_ms - BEGIN_MS));
    }

    fn run_helper(&mut self) {
        let steps = if self.orderly { 20 } else { self.random.below(4) };
        for _ in 0..steps {
            let store = &mut self.broker.as_mut().unwrap().store;
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
    fn run_connection(&mut self, conn: ConnId) -> Result<(), Stop> {
        let has_room = self.broker().has_room();
        let now = self.now();
        let client = self.clients.get_mut(&conn).unwrap();
        let session = &mut client.session;
        let held_back = session.awaits_room() && !has_room;
        if session.waits_for().is_some() || session.is_full() || held_back {
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
        let broker = self.broker.as_mut().unwrap();
        let (input, begin) = (client.sent[..client.arrived].to_vec(), client.taken);
        let mut handed = Vec::new();
        let taken = session.receive(broker, now, &input, &mut handed);
        if self.disk.is_dead() {
            return Err(Stop::FailedInput);
        }
        client.sent.drain(..taken);
        client.arrived -= taken;
        client.taken += taken as u64;
        let mut passed = self.pass_on(&input, begin, &handed);
        let client = self.clients.get_mut(&conn).unwrap();
        let mut done = Vec::new();
        while client.ops.front().is_some_and(|(end, _, _)| *end <= client.taken) {
            let (end, channel, op) = client.ops.pop_front().unwrap();
            done.push((end, At { conn, channel }, op));
        }
        let waits = client.session.waits_for().is_some();
        self.answered |= client.session.take_answered() || waits;
        self.observe(conn);
        let last = done.len().saturating_sub(1);
        let mut takers = BTreeSet::new();
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
            self.note_full(taker);
        }
        self.refuse_early(conn);
        self.twin.nothing_received(conn);
        self.note_full(conn);
        Ok(())
    }

    /// Gives messages that are not stored to their sessions; where each began in what the
    /// publisher sent, and who got it.
    fn pass_on(&mut self, input: &[u8], begin: u64, handed: &[Handed<'_>]) -> VecDeque<(u64, At)> {
        let mut passed = VecDeque::new();
        for one in handed {
            let offset = one.message.exchange.as_ptr().addr() - input.as_ptr().addr();
            let at = At { conn: one.to.connection.index(), channel: one.to.channel };
            let client = self.clients.get_mut(&at.conn).unwrap();
            client.session.take_handed(self.broker.as_mut().unwrap(), one);
            self.observe(at.conn);
            passed.push_back((begin + offset as u64, at));
        }
        passed
    }

    /// A publish with a large body may be refused as soon as its header is there.
    fn refuse_early(&mut self, conn: ConnId) {
        let Some(received) = self.twin.connection(conn).received.front() else {
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

    /// Sessions whose time has come are asked what is due.
    fn fire_timers(&mut self) {
        let (now, now_ms) = (self.now(), self.now_ms);
        let all: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in all {
            let session = &mut self.clients.get_mut(&conn).unwrap().session;
            if session.acks_due_ms().is_some_and(|due| due <= now_ms) {
                assert!(session.tick(self.broker.as_mut().unwrap(), now), "nobody is silent");
                self.answered |= session.take_answered();
                self.observe(conn);
            }
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

    /// Hands what the broker sent to the twin; the client sees it, too.
    pub fn observe(&mut self, conn: ConnId) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = client.session.outbox.slices(&mut slices);
            let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
            client.inbox.extend_from_slice(&all[client.seen..]);
            client.seen = all.len();
            if client.stalled && count < SLICES_MAX - 1 {
                break;
            }
            let broker = self.broker.as_mut().unwrap();
            client.session.flushed(broker, all.len(), now);
            client.seen = 0;
            if client.session.outbox.is_empty() {
                break;
            }
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
        let full = client.session.is_full();
        let connection = self.twin.connection(conn);
        if connection.full != full {
            self.events.note(format!("connection {conn} is full: {full}"));
        }
        connection.full = full;
        connection.received.extend(received);
    }

    fn note_full(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.get(&conn) {
            self.twin.connection(conn).full = client.session.is_full();
        }
    }

    fn take_answers(&mut self) -> Result<(), StorageError> {
        let broker = self.broker.as_mut().unwrap();
        let answers = broker.store.take_answers()?;
        if answers.space_changed {
            broker.room_changed();
        }
        if answers.durable_moved {
            let (covers, ran) = self.syncing.take().expect("a sync was begun");
            assert!(ran, "a sync that nobody made");
            self.twin.synced(covers);
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        let answered = std::mem::take(&mut self.answered);
        let settlements = answered || self.now_ms >= self.settlements_at + SETTLEMENTS_WITHIN_MS;
        let store = &mut self.broker.as_mut().unwrap().store;
        store.write_out(settlements)?;
        let all_said = !store.has_unwritten_settlements();
        if all_said {
            self.settlements_at = self.now_ms;
        }
        self.twin.written_out(all_said);
        Ok(())
    }

    fn start_sync(&mut self) {
        let store = &mut self.broker.as_mut().unwrap().store;
        if !store.has_unsynced() {
            self.unsynced_since = None;
            return;
        }
        let since = *self.unsynced_since.get_or_insert(self.now_ms);
        let somebody = self
            .clients
            .values()
            .any(|client| client.session.is_confirming() || client.session.waits_for().is_some());
        let within = match store.has_unsynced_content() {
            true => SYNC_WITHIN_MS,
            false => SYNC_SETTLEMENTS_WITHIN_MS,
        };
        let wanted = somebody || self.now_ms >= since + within;
        if store.start_sync_if(wanted).unwrap() {
            self.unsynced_since = None;
            self.syncing = Some((self.twin.stamp, false));
        }
    }

    fn carry_out_effects(&mut self) {
        for effect in self.broker().take_effects() {
            let Effect::ConsumerCancelled { connection, channel, tag, .. } = &effect else {
                panic!("nothing here closes connections: {effect:?}");
            };
            let conn = connection.index();
            self.events.note(format!("consumer {tag} of {conn}/{channel} ends"));
            if let Some(client) = self.clients.get_mut(&conn) {
                tell(&mut client.session, &effect);
                self.observe(conn);
            }
            let at = At { conn, channel: *channel };
            self.twin.cancelled(at, &tag.to_string());
            if self.clients.contains_key(&conn) {
                self.twin.nothing_received(conn);
            }
        }
        let left = &self.twin.cancels;
        assert!(left.is_empty(), "nobody was told of the end of {left:?}");
    }

    fn deliver(&mut self) {
        let budget = if self.orderly || self.random.chance(50) {
            usize::MAX
        } else {
            self.random.between(1, 4)
        };
        let mut dirty = std::mem::take(&mut self.dirty);
        self.broker().take_dirty(&mut dirty);
        for &queue in &dirty {
            for _ in 0..budget {
                let Some(delivery) = self.broker().next_delivery(queue) else {
                    break;
                };
                self.deliver_one(&delivery);
            }
            self.broker().mark_dirty(queue);
        }
        self.dirty = dirty;
        if budget == usize::MAX {
            self.twin.nothing_to_deliver();
            self.twin.expire_for_consumers();
        }
    }

    fn deliver_one(&mut self, delivery: &leveret::broker::Delivery) {
        let broker = self.broker.as_mut().unwrap();
        let conn = delivery.connection.index();
        let name = broker.queue(delivery.held.queue).unwrap().name.to_string();
        let tag = broker.consumer(delivery.consumer).unwrap().tag.to_string();
        let at = At { conn, channel: delivery.channel };
        self.events.note(format!("queue {name} delivers to {at:?} {tag}"));
        let client = self.clients.get_mut(&conn).unwrap();
        client.session.deliver(broker, delivery);
        self.observe(conn);
        let queue = self.twin.queue_of(at, &tag);
        let found = &self.twin.queues[&queue];
        assert!(found.replies || found.name == name, "it consumes from '{}'", found.name);
        self.twin.delivered(queue, at, &tag);
        self.twin.nothing_received(conn);
        self.note_full(conn);
    }

    fn release(&mut self) {
        let durable = self.broker().store.durable();
        let all: Vec<ConnId> = self.clients.keys().copied().collect();
        for &conn in &all {
            let client = self.clients.get_mut(&conn).unwrap();
            if client.session.is_confirming() {
                client.session.release_confirms(durable);
                self.observe(conn);
                self.twin.confirmed(conn);
            }
        }
        self.twin.no_confirm_is_missing();
        for &conn in &all {
            let client = self.clients.get_mut(&conn).unwrap();
            let broker = self.broker.as_ref().unwrap();
            let over = match client.session.waits_for() {
                Some(WaitUntil::Changed(change)) => broker.store.is_kept(change),
                Some(WaitUntil::Discarded(line)) => broker.is_discarded(line),
                Some(WaitUntil::Messages(position)) => position <= durable,
                None => false,
            };
            if over {
                client.session.wait_is_over();
                self.observe(conn);
                self.twin.wait_is_over(conn);
                self.twin.nothing_received(conn);
            }
        }
    }

    /// Connections that are closed, and now and then one that breaks.
    fn end_connections(&mut self) {
        let all: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in all {
            let closed = self.twin.connection(conn).closed;
            let breaks = !self.orderly && self.random.below(3000) == 0;
            if closed || breaks {
                let mut client = self.clients.remove(&conn).unwrap();
                client.session.end(self.broker.as_mut().unwrap());
                self.events.note(format!("connection {conn} is gone"));
                if !closed {
                    self.twin.end_connection(conn);
                }
                self.twin.connections.remove(&conn);
            }
        }
    }
}

fn tell(session: &mut Session, effect: &Effect) {
    if let Effect::ConsumerCancelled { channel, tag, consumer, .. } = effect {
        session.consumer_cancelled(*channel, tag, *consumer);
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
