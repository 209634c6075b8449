//! What does management see of the node, beyond its broker? The node gives it as an argument.

use std::net::SocketAddr;

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
}

impl Protocol {
    /// As the API calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Http => "http",
        }
    }
}

/// What management sees of the node.
pub trait NodeView {
    /// What is known of it for as long as it runs.
    fn identity(&self) -> &Identity;

    /// How many AMQP connections there are.
    fn connection_count(&self) -> usize;
}
