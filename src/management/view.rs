//! What does management see of the node, beyond its broker? The node gives it as an argument.

use std::net::SocketAddr;

use super::figures::NodeHistory;
use crate::amqp::{Name, Table};
use crate::broker::counters::Counters;
use crate::broker::histogram::Histogram;
use crate::broker::{ChannelKey, ConnectionKey, VhostKey};

/// What is known of the node for as long as it runs.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The node's name, as RabbitMQ's nodes have one: `leveret@host`.
    pub node_name: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// Which product it says that it is: the dialect.
    pub product_name: String,
    /// The version of that.
    pub product_version: String,
    /// Where it listens.
    pub listening: Vec<Listening>,
    /// The largest body that may be published.
    pub message_bytes_max: u64,
    /// Where its files are.
    pub directory: String,
}

/// Where the node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// For what.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP 0-9-1.
    Amqp,
    /// The HTTP API.
    Http,
    /// HTTP, for metrics only.
    Metrics,
}

impl Protocol {
    /// As the API calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Http => "http",
            Self::Metrics => "http/prometheus",
        }
    }
}

/// How the node is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Connections that are not read because they publish.
    pub connections_blocked: usize,
    /// Clients wait to be accepted until it has fewer files open.
    pub is_short_of_files: bool,
    /// What its turns took.
    pub turns: Turns,
    /// What its syncs took.
    pub syncs: Syncs,
}

/// How long syncs of the log took, and for how many messages each was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syncs {
    /// In microseconds.
    pub times: Histogram<11>,
    /// Messages that were appended since the sync before began.
    pub batches: Histogram<9>,
}

impl Default for Syncs {
    fn default() -> Self {
        Self {
            times: Histogram::new(&[
                50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 1_000_000,
            ]),
            batches: Histogram::new(&[0, 1, 5, 10, 50, 100, 500, 1_000, 10_000]),
        }
    }
}

/// How long the turns of the loop took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turns {
    /// How many there were.
    pub count: u64,
    /// How long all took.
    pub nanos: u64,
    /// How long the longest of late took.
    pub longest_nanos: u64,
}

/// What management sees of the node.
pub trait NodeView {
    /// What is known of it for as long as it runs.
    fn identity(&self) -> &Identity;

    /// How many AMQP connections there are.
    fn connection_count(&self) -> usize;

    /// The open connection in the place of this number, for a walk over all of them in several
    /// turns.
    fn connection_at(&self, place: u32) -> Option<Connection<'_>>;

    /// How it is doing.
    fn vitals(&self) -> Vitals;

    /// All connections are in places with lower numbers than this.
    fn connection_places(&self) -> u32;

    /// Where the connection in the place of this number comes from, open or not.
    fn peer_at(&self, place: u32) -> Option<SocketAddr>;

    /// A connection, if it is still open.
    fn connection(&self, key: ConnectionKey) -> Option<Connection<'_>>;

    /// A channel of a connection, if it is still open.
    fn channel(&self, connection: ConnectionKey, number: u16) -> Option<Channel>;

    /// How much the process uses, and may use.
    fn resources(&self) -> Resources;

    /// How many connections were opened and closed since the start.
    fn churn(&self) -> ConnectionChurn;

    /// What it was like of late, and up to a day ago.
    fn history(&self) -> &NodeHistory;

    /// What happened on a channel; `None` while nothing did, and when it is gone.
    fn channel_counters(&self, connection: ConnectionKey, number: u16) -> Option<Counters>;
}

/// An open AMQP connection.
#[derive(Debug, Clone)]
pub struct Connection<'a> {
    /// The broker's name for it.
    pub key: ConnectionKey,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came in.
    pub local: SocketAddr,
    /// Its bytes come and go in WebSocket frames.
    pub is_web: bool,
    /// Whose it is.
    pub user: &'a Name,
    /// Where.
    pub vhost: VhostKey,
    /// That vhost's name.
    pub vhost_name: &'a Name,
    /// How the user showed who it is.
    pub mechanism: &'a Name,
    /// What the client said of itself.
    pub client_properties: Table<'a>,
    /// The highest channel number.
    pub channel_max: u16,
    /// The largest frame.
    pub frame_bytes_max: u32,
    /// The interval of heartbeats in seconds; 0 = none.
    pub heartbeat_s: u16,
    /// When it came, in ms since 1970.
    pub connected_at_ms: u64,
    /// It published and is not read until there is room.
    pub is_blocked: bool,
    /// How many channels it has open.
    pub channels: usize,
    /// What came and went.
    pub traffic: Traffic,
    /// Bytes that came and that went each second, lately.
    pub traffic_rates: [f32; 2],
    /// Bytes that its client has not taken yet.
    pub pending_bytes: usize,
}

/// What came from a client and went to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came.
    pub received_bytes: u64,
    /// In how many pieces.
    pub received_count: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// In how many pieces.
    pub sent_count: u64,
}

/// An open channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// The broker's name for it.
    pub key: ChannelKey,
    /// Its number on the connection.
    pub number: u16,
    /// Publishes are confirmed.
    pub confirms: bool,
    /// Publishes and acknowledgements take effect at commit.
    pub transactional: bool,
    /// The prefetch count for consumers that start from now on; 0 = unlimited.
    pub prefetch: u32,
    /// How many consumers it has.
    pub consumers: usize,
    /// Deliveries that are not settled.
    pub unacked: usize,
    /// Publishes that wait for their confirm.
    pub unconfirmed: usize,
    /// Publishes that wait for their commit.
    pub uncommitted: usize,
    /// Acknowledgements that wait for their commit.
    pub uncommitted_acks: usize,
}

/// How much the process uses, and may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// The process's id.
    pub process: u32,
    /// Anonymous resident memory in bytes.
    pub memory_bytes: u64,
    /// Publishers are blocked beyond this.
    pub memory_bytes_max: u64,
    /// What the watermark's ratio is taken of.
    pub memory_total_bytes: u64,
    /// What is free on the data directory's file system, in bytes.
    pub disk_free_bytes: u64,
    /// Publishers are blocked below this.
    pub disk_free_bytes_min: u64,
    /// What the disk limit's ratio is taken of.
    pub machine_memory_bytes: u64,
    /// Files that the process has open.
    pub files: u64,
    /// How many it may have open.
    pub files_max: u64,
    /// Sockets of clients and operators.
    pub sockets: u64,
    /// How many of those there may be.
    pub sockets_max: u64,
    /// How long the node has run.
    pub uptime_ms: u64,
    /// Threads that run at the same time at most.
    pub processors: u64,
}

/// How many connections were opened and closed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionChurn {
    /// Opened.
    pub opened: u64,
    /// Closed.
    pub closed: u64,
}
