//! What do operators see of a connection?

use std::net::SocketAddr;
use std::time::Duration;

use crate::amqp::{Name, Table};
use crate::broker::counters::Counters;
use crate::broker::{Broker, ChannelKey, Subject};
use crate::tls;

use super::channel::{Channel, ChannelState, Mode};
use super::{Limits, Phase, Session};

/// What a client said of itself, and how much came and went.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When the connection came in, in ms since 1970.
    connected_at_ms: u64,
    /// It was said that it ended.
    pub told_of_end: bool,
    /// The client properties, as they came.
    properties: Box<[u8]>,
    /// How the user showed who it is.
    mechanism: Name,
    /// Bytes and pieces that came, and that went.
    pub received: (u64, u64),
    pub sent: (u64, u64),
}

/// What there is to see of an open channel.
#[derive(Debug, Clone, Copy)]
pub struct ChannelSight {
    /// The broker's name for it.
    pub key: ChannelKey,
    /// Publishes that wait for their confirm, where they are confirmed.
    pub unconfirmed: Option<usize>,
    /// Publishes and settlements that wait for their commit, in a transaction.
    pub uncommitted: Option<(usize, usize)>,
    /// The prefetch count for consumers that start from now on; 0 = unlimited.
    pub prefetch: u32,
    /// How many consumers it has.
    pub consumers: usize,
    /// Deliveries that are not settled.
    pub unacked: usize,
}

impl Seen {
    /// The client said who it is.
    pub fn note_client(&mut self, properties: Table<'_>, mechanism: &[u8]) {
        self.properties = properties.as_bytes().into();
        self.mechanism = Name::from(mechanism);
    }

    /// Something came.
    #[inline]
    pub fn note_received(&mut self, bytes: usize) {
        self.received.0 += bytes as u64;
        self.received.1 += 1;
    }

    /// Something went.
    #[inline]
    pub fn note_sent(&mut self, bytes: usize) {
        self.sent.0 += bytes as u64;
        self.sent.1 += 1;
    }
}

impl Session {
    /// It came in there, at this time in ms since 1970.
    pub fn note_arrival(&mut self, local: SocketAddr, now_ms: u64) {
        self.ends.local = Some(local);
        self.seen.connected_at_ms = now_ms;
    }

    /// The handshake of TLS is over, and this was agreed on.
    pub fn note_tls(&mut self, peer: Box<tls::Peer>) {
        self.tls = Some(peer);
    }

    /// The log says already why it ends.
    pub fn note_failure(&mut self) {
        self.said_why = true;
    }

    /// What TLS agreed on; `None`: without it.
    pub fn tls(&self) -> Option<&tls::Peer> {
        self.tls.as_deref()
    }

    /// On whose behalf it acts; `None` unless it is open.
    pub fn subject(&self) -> Option<&Subject> {
        match &self.phase {
            Phase::Open(subject) => Some(subject),
            Phase::Handshake(_) | Phase::Closing | Phase::Left | Phase::Closed(_) => None,
        }
    }

    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.ends.peer
    }

    /// Where it came in; where nobody said so, an address that means nothing.
    pub fn local(&self) -> SocketAddr {
        self.ends.local()
    }

    /// When it came, in ms since 1970.
    pub fn connected_at_ms(&self) -> u64 {
        self.seen.connected_at_ms
    }

    /// How the user showed who it is.
    pub fn mechanism(&self) -> &Name {
        &self.seen.mechanism
    }

    /// What the client said of itself.
    pub fn client_properties(&self) -> Table<'_> {
        Table::new(&self.seen.properties).unwrap_or(Table::EMPTY)
    }

    /// What was negotiated.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The largest frame that was negotiated.
    pub fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max
    }

    /// Whether it is not read until there is room, memory or disk again.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Bytes that came and in how many pieces, and those that went.
    pub fn traffic(&self) -> [(u64, u64); 2] {
        [self.seen.received, self.seen.sent]
    }

    /// How many channels are open.
    pub fn channel_count(&self) -> usize {
        self.channels.count()
    }

    /// What happened on the channel of this number; `None` while nothing did.
    pub fn channel_counters(&self, number: u16) -> Option<Counters> {
        match self.channels.get(number)? {
            ChannelState::Open(channel) => channel.counters(),
            ChannelState::Closing | ChannelState::Ended => None,
        }
    }

    /// Samples what happened on an open channel since the last time, so long ago; whether it has
    /// rates.
    pub fn sample_channel(&mut self, broker: &mut Broker, number: u16, interval: Duration) -> bool {
        match self.channels.get_mut(number) {
            Some(ChannelState::Open(channel)) => channel.sample(broker, interval),
            Some(ChannelState::Closing | ChannelState::Ended) | None => false,
        }
    }

    /// The open channel of this number.
    pub fn channel(&self, number: u16) -> Option<ChannelSight> {
        match self.channels.get(number)? {
            ChannelState::Open(channel) => Some(channel.sight()),
            ChannelState::Closing | ChannelState::Ended => None,
        }
    }
}

impl Channel {
    fn sight(&self) -> ChannelSight {
        let (unconfirmed, uncommitted) = match &self.mode {
            Mode::Plain => (None, None),
            Mode::Confirm(confirms) => (Some(confirms.len()), None),
            Mode::Transaction(transaction) => (None, Some(transaction.counts())),
        };
        ChannelSight {
            key: self.key,
            unconfirmed,
            uncommitted,
            prefetch: self.prefetch,
            consumers: self.consumers.len(),
            unacked: self.unacked.len(),
        }
    }
}
