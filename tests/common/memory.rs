//! What is a broker without sockets, threads and clock? Sessions and a broker in this thread, a
//! turn at a time, with a storage helper that does its work when the turn says so. For the test
//! that counts allocations and for the benches.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use leveret::amqp::method::{basic, channel, confirm, connection, queue};
use leveret::amqp::{Method, Name, PROTOCOL_HEADER, PropertyList, Table, encoder};
use leveret::broker::hand_over::emptied;
use leveret::broker::key::ArenaKey;
use leveret::broker::user::Permissions;
use leveret::broker::{Broker, ConnectionKey, Handed, QueueKey, Users};
use leveret::session::{Limits, Session};
use leveret::storage::{HelperMode, StoreOptions};
use tempfile::TempDir;

/// A broker and its clients.
pub struct Memory {
    /// The broker.
    pub broker: Broker,
    sessions: Vec<Session>,
    dirty: Vec<QueueKey>,
    handed: Vec<Handed<'static>>,
    /// Deliveries since the last turn.
    delivered: usize,
    now: Instant,
    _directory: TempDir,
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
        Memory {
            broker,
            sessions: Vec::new(),
            dirty: Vec::new(),
            handed: Vec::new(),
            delivered: 0,
            now: Instant::now(),
            _directory: directory,
        }
    }

    /// A client with channel 1 open; its number.
    pub fn connect(&mut self) -> usize {
        let index = u32::try_from(self.sessions.len()).expect("few");
        let key = ConnectionKey::new(index, 1);
        let limits = Limits {
            frame_bytes_max: 131_072,
            channel_max: 2047,
            heartbeat_s: 0,
            message_bytes_max: 1 << 27,
            cluster_name: Name::from("memory"),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        self.sessions.push(Session::new(key, peer, limits, self.now));
        let client = self.sessions.len() - 1;
        self.send(client, &PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            client_properties: Table::EMPTY,
            mechanism: b"PLAIN",
            response: b"\0guest\0guest",
            locale: b"en_US",
        };
        self.call(client, 0, Method::ConnectionStartOk(start_ok));
        let tune_ok = connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 };
        self.call(client, 0, Method::ConnectionTuneOk(tune_ok));
        let open = connection::Open { virtual_host: b"/" };
        self.call(client, 0, Method::ConnectionOpen(open));
        self.call(client, 1, Method::ChannelOpen(channel::Open {}));
        assert!(self.sessions[client].is_open());
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

    /// What a client sent; all of it is whole frames.
    pub fn send(&mut self, client: usize, input: &[u8]) {
        let mut handed = std::mem::take(&mut self.handed);
        let session = &mut self.sessions[client];
        let taken = session.receive(&mut self.broker, self.now, input, &mut handed);
        assert_eq!(taken, input.len());
        for handed in &handed {
            let client = handed.to.connection.index() as usize;
            self.sessions[client].take_handed(&mut self.broker, handed);
        }
        self.delivered += handed.len();
        self.handed = emptied(handed);
    }

    /// One turn, its sync included; the bytes that each client got are thrown away. How many
    /// deliveries there were since the last one.
    pub fn turn(&mut self) -> usize {
        self.broker.store.take_answers().expect("the helper lives");
        self.broker.store.retire();
        self.broker.store.write_out(true).expect("the disk takes it");
        self.broker.store.start_sync_if(true).expect("the helper lives");
        let delivered = self.deliver();
        self.broker.store.write_out_transient().expect("the disk takes it");
        self.broker.store.run_helper(usize::MAX);
        self.broker.store.take_answers().expect("the helper lives");
        let durable = self.broker.store.durable();
        for session in &mut self.sessions {
            session.release_confirms(durable);
            // Everything is durable by now.
            if session.waits_for().is_some() {
                session.wait_is_over();
            }
            let bytes = session.outbox.len();
            session.flushed(&mut self.broker, bytes, self.now);
        }
        let now_ms = self.broker.clock_ms();
        self.broker.store.look_back(now_ms).expect("the helper lives");
        self.broker.store.maintain().expect("the helper lives");
        delivered
    }

    fn deliver(&mut self) -> usize {
        let mut delivered = std::mem::take(&mut self.delivered);
        let mut dirty = std::mem::take(&mut self.dirty);
        self.broker.take_dirty(&mut dirty);
        for &queue in &dirty {
            while let Some(delivery) = self.broker.next_delivery(queue) {
                let client = delivery.connection.index() as usize;
                self.sessions[client].deliver(&mut self.broker, &delivery);
                delivered += 1;
            }
        }
        self.dirty = dirty;
        delivered
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
