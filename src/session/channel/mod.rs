//! What is a channel of a session?
//!
//! Each file has methods of [`Channel`] that answer one question. What they use of the connection
//! is their [`Scope`]; what the connection has to do afterwards they return as [`Progress`], or
//! leave in its [`Notes`].

pub mod arriving;
mod commit;
mod confirms;
mod consume;
mod counting;
mod deliver;
mod exchanges;
mod frames;
mod methods;
mod publish;
mod queues;
mod route_cache;
mod scope;
mod settle;
mod unacked;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::amqp::method::basic;
use crate::amqp::{Method, Name};
use crate::broker::by_name::ByName;
use crate::broker::{ChannelKey, ConsumerKey, LogPos, Transaction, VhostKey};

use arriving::Arriving;
use confirms::Confirms;
use counting::Counting;
use route_cache::RouteCache;
use unacked::Unacked;

pub use frames::{Progress, drop_body};
pub use scope::{Notes, Out, Scope};

/// One open channel.
#[derive(Debug)]
pub struct Channel {
    /// The broker's name for it.
    pub key: ChannelKey,
    /// Its number on the connection.
    pub number: u16,
    /// The connection's vhost.
    pub vhost: VhostKey,
    /// What happened on it.
    counting: Counting,
    /// A content that is arriving.
    pub content: Arriving,
    /// The queue that an empty name stands for.
    pub last_queue: Option<Name>,
    /// The prefetch count for consumers that start from now on; 0 = unlimited.
    pub prefetch: u32,
    /// Its consumers by tag.
    pub consumers: ByName<Name, ConsumerKey>,
    /// Deliveries that wait to be settled.
    pub unacked: Unacked,
    /// Some deliveries with tags up to this one were taken back from the client: it may settle them
    /// all the same.
    pub taken_back_to: u64,
    /// A settlement of many deliveries goes on up to this tag when its frame comes again.
    pub goes_on_to: Option<u64>,
    /// What publishes and acks mean here.
    pub mode: Mode,
    /// Something was published on it.
    pub publishes: bool,
    /// Where its messages went.
    pub route: RouteCache,
    /// The address of this channel's direct replies, once it consumes them.
    pub reply_to: Option<Name>,
}

/// What publishes and acks on a channel mean.
#[derive(Debug, Default)]
pub enum Mode {
    /// They take effect at once and nobody is told.
    #[default]
    Plain,
    /// Publishes are confirmed.
    Confirm(Confirms),
    /// They take effect at commit.
    Transaction(Box<Transaction>),
}

/// A channel number's state.
#[derive(Debug)]
pub enum ChannelState {
    /// In use.
    Open(Box<Channel>),
    /// `channel.close` was sent; everything but its answer is discarded.
    Closing,
    /// It was closed. Whoever closes it again, from another thread, is answered.
    Ended,
}

impl Channel {
    /// A channel just opened.
    pub fn new(key: ChannelKey, number: u16, vhost: VhostKey) -> Self {
        Self {
            key,
            number,
            vhost,
            counting: Counting::default(),
            content: Arriving::Nothing,
            last_queue: None,
            prefetch: 0,
            consumers: ByName::default(),
            unacked: Unacked::default(),
            taken_back_to: 0,
            goes_on_to: None,
            mode: Mode::Plain,
            publishes: false,
            route: RouteCache::default(),
            reply_to: None,
        }
    }

    /// The confirm of what is durable now, if there is something to confirm, and of how much it is.
    #[inline]
    pub fn due_confirm(&mut self, durable: LogPos) -> Option<(Method<'static>, u64)> {
        let Mode::Confirm(confirms) = &mut self.mode else {
            return None;
        };
        let (delivery_tag, count) = confirms.release(durable)?;
        Some((Method::BasicAck(basic::Ack { delivery_tag, multiple: count > 1 }), count))
    }

    /// Whether publishes wait for their confirm.
    pub fn is_confirming(&self) -> bool {
        matches!(&self.mode, Mode::Confirm(confirms) if !confirms.is_empty())
    }
}

/// A name that nobody else has: `prefix` and 128 random bits.
fn generated_name(prefix: &str) -> Name {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the kernel has random numbers");
    Name::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random)))
}
