//! What does management see of the node, beyond its broker? The node gives it as an argument.

use std::net::SocketAddr;
use std::time::Duration;

use crate::broker::ConnectionKey;

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
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// How long it has been running.
    pub uptime: Duration,
    /// AMQP connections that were accepted since it started.
    pub connections_opened: u64,
    /// Connections that are not read because they publish.
    pub connections_blocked: usize,
    /// Memory and disk, where there are limits.
    pub resources: Option<Resources>,
    /// Files that it has open; `None`: the system does not say.
    pub open_files: Option<u64>,
    /// Files that it may have open.
    pub open_files_max: u64,
    /// Clients wait to be accepted until it has fewer.
    pub is_short_of_files: bool,
    /// What its turns took.
    pub turns: Turns,
}

/// What an alarm is raised by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resources {
    /// Anonymous memory that the process has, when it was last looked at.
    pub memory_bytes: u64,
    /// How much it may have.
    pub memory_bytes_max: u64,
    /// What is free on the disk, when it was last looked at.
    pub disk_free_bytes: u64,
    /// How much has to be.
    pub disk_free_bytes_min: u64,
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

/// What is known of an AMQP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// The broker's name for it.
    pub key: ConnectionKey,
    /// Who is at its other end.
    pub peer: SocketAddr,
    /// How many channels are open on it.
    pub channels: usize,
}

/// What management sees of the node.
pub trait NodeView {
    /// What is known of it for as long as it runs.
    fn identity(&self) -> &Identity;

    /// How many AMQP connections there are.
    fn connection_count(&self) -> usize;

    /// How it is doing.
    fn vitals(&self) -> Vitals;

    /// All connections are in places with lower numbers than this.
    fn connection_places(&self) -> u32;

    /// The AMQP connection in the place of this number.
    fn connection_at(&self, place: u32) -> Option<Connected>;

    /// Who is at the other end of an AMQP connection, if it is still there.
    fn peer_of(&self, connection: ConnectionKey) -> Option<SocketAddr>;
}

/// A node without connections, for tests of who looks at one.
#[cfg(test)]
pub struct NoView(pub Identity);

#[cfg(test)]
impl NodeView for NoView {
    fn identity(&self) -> &Identity {
        &self.0
    }

    fn connection_count(&self) -> usize {
        0
    }

    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    fn connection_places(&self) -> u32 {
        0
    }

    fn connection_at(&self, _place: u32) -> Option<Connected> {
        None
    }

    fn peer_of(&self, _connection: ConnectionKey) -> Option<SocketAddr> {
        None
    }
}
