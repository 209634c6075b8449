//! A node, clients whose bytes arrive in pieces, and turns: what the network does, without it.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use leveret::amqp::method::{channel, connection};
use leveret::amqp::{Frame, FrameKind, Method, Name, PROTOCOL_HEADER, Parsed, encoder};
use leveret::broker::users::user::Permissions;
use leveret::broker::{Broker, ConnectionKey, Users};
use leveret::management::Origin;
use leveret::node::{Calendar, Node, Step, Watch};
use leveret::outbox::SLICES_MAX;
use leveret::session::Limits;
use leveret::storage::{HelperMode, StorageError, StoreOptions};
use tempfile::TempDir;

use super::wishes;

/// Small, so that a few messages fill one.
const SEGMENT_BYTES: u32 = 64 << 10;
const FRAME_BYTES_MAX: u32 = 8192;

/// A broker and its clients.
pub struct Driver {
    pub node: Node,
    pub clients: Vec<Client>,
    touched: Vec<ConnectionKey>,
    now: Instant,
    pub directory: TempDir,
}

/// A client's end of a connection.
pub struct Client {
    pub key: ConnectionKey,
    /// What was sent and not taken yet.
    sent: Vec<u8>,
    /// So much of it the node has seen before.
    kept: usize,
    /// What came and was not looked at yet.
    pub got: Vec<u8>,
    /// Whether it reads.
    pub reads: bool,
    /// Its socket is closed.
    pub gone: bool,
}

/// Lets the storage helper do its work once a turn.
struct Helper;

impl Watch for Helper {
    type Stop = StorageError;

    fn after(&mut self, node: &mut Node, step: Step) -> Result<(), StorageError> {
        if matches!(step, Step::SyncBegun(_)) {
            node.broker.store.run_helper(usize::MAX);
        }
        Ok(())
    }
}

/// A directory that no disk slows down.
pub fn memory_directory() -> TempDir {
    let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    directory.expect("a temporary directory can be made")
}

/// How the log in a directory is opened.
pub fn options(directory: &TempDir) -> StoreOptions {
    StoreOptions::new(directory.path(), SEGMENT_BYTES, HelperMode::Manual)
}

impl Driver {
    /// An empty broker with the user guest.
    pub fn new() -> Driver {
        let directory = memory_directory();
        let (broker, _) = Broker::open(directory.path(), options(&directory)).expect("it opens");
        Driver::around(broker, directory)
    }

    /// A broker that may hold anything, where guest may do everything from here on.
    #[allow(clippy::disallowed_methods, reason = "it has to begin at some time")]
    pub fn around(mut broker: Broker, directory: TempDir) -> Driver {
        let vhost = Name::from("/");
        let mut user = Users::first_user("guest", "guest", "/").expect("it can be hashed");
        user.set_permissions(vhost.clone(), Permissions::new(".*", ".*", ".*"));
        broker.put_user(user);
        broker.create_vhost(&vhost);
        let limits = Limits {
            frame_bytes_max: FRAME_BYTES_MAX,
            channel_max: 4,
            heartbeat_s: 0,
            message_bytes_max: 1 << 20,
            cluster_name: Name::from("fuzzed"),
            product_name: Name::from("RabbitMQ"),
            product_version: Name::from("3.13.7"),
        };
        let now = Instant::now();
        let node = Node::new(broker, limits, Calendar::new(now, Duration::ZERO), now);
        Driver { node, clients: Vec::new(), touched: Vec::new(), now, directory }
    }

    /// A client that has said nothing yet; its number.
    pub fn connect(&mut self) -> usize {
        let key = self.node.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        self.clients.push(Client::new(key));
        self.clients.len() - 1
    }

    /// An operator who has said nothing yet.
    pub fn connect_operator(&mut self, origin: Origin) {
        let key = self.node.connect_operator(origin).expect("there are few");
        self.node.note_arrival(key, SocketAddr::from((Ipv4Addr::LOCALHOST, 2)));
        self.clients.push(Client::new(key));
    }

    /// An operator's connection breaks, and it comes back with another.
    pub fn reconnect_operator(&mut self, client: usize, origin: Origin) {
        self.node.remove(self.clients[client].key);
        let key = self.node.connect_operator(origin).expect("there are few");
        self.node.note_arrival(key, SocketAddr::from((Ipv4Addr::LOCALHOST, 2)));
        self.clients[client] = Client::new(key);
    }

    /// How much a client sent that was not taken.
    pub fn unread(&self, client: usize) -> usize {
        self.clients[client].sent.len()
    }

    /// A client sends all that it has to until its channel 1 is open.
    pub fn log_in(&mut self, client: usize) {
        self.send(client, &Driver::handshake(), true);
    }

    /// All that a client sends until its channel 1 is open.
    pub fn handshake() -> Vec<u8> {
        let mut frames = PROTOCOL_HEADER.to_vec();
        let properties = wishes::capabilities();
        let start_ok = connection::StartOk {
            client_properties: properties.table(),
            mechanism: b"PLAIN",
            response: b"\0guest\0guest",
            locale: b"en_US",
        };
        encoder::method_frame(&mut frames, 0, &start_ok);
        let tune_ok =
            connection::TuneOk { channel_max: 4, frame_max: FRAME_BYTES_MAX, heartbeat: 0 };
        encoder::method_frame(&mut frames, 0, &tune_ok);
        encoder::method_frame(&mut frames, 0, &connection::Open { virtual_host: b"/" });
        encoder::method_frame(&mut frames, 1, &channel::Open {});
        frames
    }

    /// A client's connection breaks, and it comes back with another.
    pub fn reconnect(&mut self, client: usize) {
        self.node.remove(self.clients[client].key);
        let key = self.node.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        self.clients[client] = Client::new(key);
    }

    /// A client sends bytes, which arrive now or with what follows.
    pub fn send(&mut self, client: usize, bytes: &[u8], arrives: bool) {
        self.clients[client].sent.extend_from_slice(bytes);
        if arrives {
            self.arrive(client);
        }
    }

    /// The node takes what it takes of what a client sent.
    fn arrive(&mut self, client: usize) {
        let Client { key, gone, .. } = self.clients[client];
        if gone || self.clients[client].sent.is_empty() || !self.node.may_read(key) {
            return;
        }
        let mut sent = std::mem::take(&mut self.clients[client].sent);
        let bytes = self.node.unwrap_input(key, &mut sent, self.clients[client].kept);
        let taken = self.node.receive(key, &sent[..bytes], &mut Helper);
        assert!(taken <= bytes);
        let rest = sent[taken..bytes].to_vec();
        self.clients[client].kept = rest.len();
        self.clients[client].sent = rest;
    }

    /// Time passes; a whole turn, and what it has for those who read.
    pub fn turn(&mut self, passes: Duration) {
        self.node.turn(&mut Helper).expect("the disk takes it");
        self.node.take_touched(&mut self.touched);
        for key in std::mem::take(&mut self.touched) {
            let mut client = self.clients.iter_mut().find(|client| client.key == key);
            let reads = client.as_ref().is_none_or(|client| client.reads);
            while let Some(outbox) = self.node.output(key)
                && reads
            {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = outbox.slices(&mut slices);
                let sent: Vec<u8> =
                    slices[..count].iter().flat_map(|s| s.iter().copied()).collect();
                if let Some(client) = &mut client {
                    client.got.extend_from_slice(&sent);
                }
                self.node.flushed(key, sent.len());
            }
            if self.node.flush_is_over(key) {
                self.remove(key);
            }
        }
        for key in self.node.take_gone() {
            self.remove(key);
        }
        self.node.end().expect("the helper lives");
        self.now += passes;
        self.node.begin(self.now);
        for client in 0..self.clients.len() {
            self.arrive(client);
        }
    }

    fn remove(&mut self, key: ConnectionKey) {
        self.node.remove(key);
        let all = self.clients.iter_mut();
        all.filter(|client| client.key == key).for_each(|client| client.gone = true);
    }

    /// Does turns until nothing more comes of what was sent.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.turn(Duration::ZERO);
        }
    }

    /// The node stops in an orderly way, and what it leaves can be read.
    pub fn expect_good_end(self) {
        let Driver { node, directory, .. } = self;
        node.into_broker().close().expect("the disk takes it");
        let opened = Broker::open(directory.path(), options(&directory));
        let (broker, _) = opened.expect("it opens again");
        let report = broker.store.report();
        assert!(report.clean && report.damaged.is_empty(), "{report:?}");
    }

    /// Every client finds whole frames in what it got, and methods that it can read.
    pub fn read_all(&mut self) {
        for client in &mut self.clients {
            client.read(&mut |_| {});
        }
    }
}

impl Client {
    fn new(key: ConnectionKey) -> Client {
        Client { key, sent: Vec::new(), kept: 0, got: Vec::new(), reads: true, gone: false }
    }

    /// Takes the frames that came.
    pub fn read(&mut self, each: &mut dyn FnMut(&Frame<'_>)) {
        let got = std::mem::take(&mut self.got);
        let mut rest = got.as_slice();
        // What answers bytes that are no AMQP is the protocol header.
        if let Some(after) = rest.strip_prefix(b"AMQP\x00\x00\x09\x01") {
            rest = after;
        }
        while let Parsed::Complete(frame, bytes) =
            Frame::parse(rest, FRAME_BYTES_MAX).expect("the broker sends good frames")
        {
            if frame.kind == FrameKind::Method {
                Method::decode(frame.payload).expect("the broker sends good methods");
            }
            each(&frame);
            rest = &rest[bytes..];
        }
        self.got = rest.to_vec();
    }
}
