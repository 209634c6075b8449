//! What is a broker without sockets, threads and clock? A node in this thread, a turn at a time,
//! with a storage helper that does its work when the turn says so. For the test that counts
//! allocations and for the benches.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use leveret::amqp::method::{basic, channel, confirm, connection, queue};
use leveret::amqp::{Method, Name, PROTOCOL_HEADER, PropertyList, Table, encoder};
use leveret::broker::users::user::Permissions;
use leveret::broker::{Broker, ConnectionKey, Users};
use leveret::node::{Calendar, Node, Step, Told, Watch};
use leveret::session::Limits;
use leveret::storage::{HelperMode, StorageError, StoreOptions};
use tempfile::TempDir;

/// A broker and its clients.
pub struct Memory {
    /// The broker and the clients' sessions.
    pub node: Node,
    clients: Vec<ConnectionKey>,
    touched: Vec<ConnectionKey>,
    count: Count,
    now: Instant,
    _directory: TempDir,
}

/// Counts deliveries, and lets the helper do its work.
struct Count(usize);

impl Watch for Count {
    type Stop = StorageError;

    fn after(&mut self, node: &mut Node, step: Step) -> Result<(), StorageError> {
        if matches!(step, Step::SyncBegun(_)) {
            node.broker.store.run_helper(usize::MAX);
        }
        Ok(())
    }

    fn told(&mut self, _: &mut Node, _: ConnectionKey, what: Told<'_>) {
        self.0 += usize::from(matches!(what, Told::Handed(_) | Told::Delivery(_)));
    }
}

impl Memory {
    /// An empty broker with the user guest.
    #[allow(clippy::disallowed_methods, reason = "it has to begin at some time")]
    pub fn new() -> Memory {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let options =
            StoreOptions::new(directory.path(), StoreOptions::SEGMENT_BYTES, HelperMode::Manual);
        let (mut broker, _) = Broker::open(directory.path(), options).expect("it opens");
        let vhost = Name::from("/");
        broker.create_vhost(&vhost);
        let mut user = Users::first_user("guest", "guest", "/").expect("it can be hashed");
        user.set_permissions(vhost, Permissions::new(".*", ".*", ".*"));
        broker.put_user(user);
        let limits = Limits {
            frame_bytes_max: 131_072,
            channel_max: 2047,
            heartbeat_s: 0,
            message_bytes_max: 1 << 27,
            cluster_name: Name::from("memory"),
            product_name: Name::from("RabbitMQ"),
            product_version: Name::from("3.13.7"),
            mechanisms: leveret::session::Mechanisms::default(),
        };
        let now = Instant::now();
        let node = Node::new(broker, limits, Calendar::new(now, Duration::ZERO), now);
        let (clients, touched, count) = (Vec::new(), Vec::new(), Count(0));
        Memory { node, clients, touched, count, now, _directory: directory }
    }

    /// A client with channel 1 open; its number.
    pub fn connect(&mut self) -> usize {
        self.connect_beating(0)
    }

    /// The same with a heartbeat, in seconds.
    pub fn connect_beating(&mut self, heartbeat: u16) -> usize {
        self.clients.push(self.node.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
        let client = self.clients.len() - 1;
        self.send(client, &PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            client_properties: Table::EMPTY,
            mechanism: b"PLAIN",
            response: b"\0guest\0guest",
            locale: b"en_US",
        };
        self.call(client, 0, Method::ConnectionStartOk(start_ok));
        let tune_ok = connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat };
        self.call(client, 0, Method::ConnectionTuneOk(tune_ok));
        let open = connection::Open { virtual_host: b"/" };
        self.call(client, 0, Method::ConnectionOpen(open));
        self.call(client, 1, Method::ChannelOpen(channel::Open {}));
        let session = self.node.session(self.clients[client]);
        assert!(session.is_some_and(|session| session.is_open()));
        client
    }

    /// Declares a queue.
    pub fn declare(&mut self, client: usize, name: &str, durable: bool) {
        let declare = queue::Declare { queue: name.as_bytes(), durable, ..Default::default() };
        self.call(client, 1, Method::QueueDeclare(declare));
    }

    /// Binds a queue with an empty key.
    pub fn bind(&mut self, client: usize, name: &str, exchange: &str) {
        let bind = queue::Bind {
            queue: name.as_bytes(),
            exchange: exchange.as_bytes(),
            ..Default::default()
        };
        self.call(client, 1, Method::QueueBind(bind));
    }

    /// Consumes from a queue, without acknowledgements when there is no prefetch count.
    pub fn consume(&mut self, client: usize, name: &str, prefetch: Option<u16>) {
        if let Some(prefetch_count) = prefetch {
            let qos = basic::Qos { prefetch_count, ..Default::default() };
            self.call(client, 1, Method::BasicQos(qos));
        }
        let consume = basic::Consume {
            queue: name.as_bytes(),
            no_ack: prefetch.is_none(),
            ..Default::default()
        };
        self.call(client, 1, Method::BasicConsume(consume));
    }

    /// Puts a client's channel into confirm mode.
    pub fn confirm(&mut self, client: usize) {
        self.call(client, 1, Method::ConfirmSelect(confirm::Select { nowait: false }));
    }

    /// Sends a method and does the turns until its answer is there.
    pub fn call(&mut self, client: usize, number: u16, method: Method<'_>) {
        let mut frame = Vec::new();
        encoder::method_frame(&mut frame, number, &method);
        self.send(client, &frame);
        for _ in 0..4 {
            self.turn();
        }
    }

    /// Time passes, and a turn comes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.node.begin(self.now);
        self.turn();
    }

    /// The node's key of a client.
    pub fn key(&self, client: usize) -> ConnectionKey {
        self.clients[client]
    }

    /// Whether a client waits for a confirm.
    pub fn is_confirming(&self, client: usize) -> bool {
        self.node.session(self.clients[client]).is_some_and(|session| session.is_confirming())
    }

    /// What a client sent; all of it is whole frames.
    pub fn send(&mut self, client: usize, input: &[u8]) {
        let taken = self.node.receive(self.clients[client], input, &mut self.count);
        assert_eq!(taken, input.len());
    }

    /// One turn, its sync included; the bytes that each client got are thrown away. How many
    /// deliveries there were since the last one.
    pub fn turn(&mut self) -> usize {
        self.node.turn(&mut self.count).expect("the disk takes it");
        self.node.take_touched(&mut self.touched);
        for &key in &self.touched {
            let bytes = self.node.output(key).map_or(0, |outbox| outbox.len());
            self.node.flushed(key, bytes);
            self.node.flush_is_over(key);
        }
        self.node.end().expect("the helper lives");
        self.node.begin(self.now);
        std::mem::take(&mut self.count.0)
    }
}

/// The frames of a publish on channel 1.
pub fn publish(out: &mut Vec<u8>, exchange: &str, key: &str, persistent: bool, body: &[u8]) {
    let publish = basic::Publish {
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    };
    encoder::method_frame(out, 1, &publish);
    let mut properties = Vec::new();
    let list = PropertyList { delivery_mode: persistent.then_some(2), ..Default::default() };
    list.encode(&mut properties);
    encoder::content(out, 1, &properties, body, 131_072);
}

/// Appends the frame of a `basic.ack` for everything up to `delivery_tag`.
pub fn ack(out: &mut Vec<u8>, delivery_tag: u64) {
    let multiple = true;
    encoder::method_frame(out, 1, &basic::Ack { delivery_tag, multiple });
}
