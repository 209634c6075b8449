//! What the tests of this module share: a seeded generator, keys out of thin air, and a broker
//! on a directory whose storage helper only runs when it is told to.

use std::path::Path;

use crate::amqp::{Name, PropertyList, Table};
use crate::broker::arguments::QueueTraits;
use crate::broker::exchange::binding::Destination;
use crate::broker::flow::message::{Content, Message, Published};
use crate::broker::hashing::mix;
use crate::broker::key::{ArenaKey, ChannelKey, ConnectionKey, ExchangeKey, QueueKey};
use crate::broker::{Broker, Subject, Users};
use crate::storage::{Body, HelperMode, StoreOptions};

/// Numbers that are the same in every run (SplitMix64).
pub struct Seeded {
    state: u64,
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub fn queue(index: u32) -> Destination {
    Destination::Queue(QueueKey::new(index, 1))
}

pub fn exchange(index: u32) -> ExchangeKey {
    ExchangeKey::new(index, 1)
}

/// The time that these brokers begin at, in ms since 1970.
pub const NOW_MS: u64 = 1_000_000;

/// A broker on this directory, with the vhost `/` and guest.
pub fn open(directory: &Path) -> Broker {
    let options = StoreOptions::new(directory, 64 * 1024, HelperMode::Manual);
    let (mut broker, found) = Broker::open(directory, options).unwrap();
    if found.empty {
        broker.create_vhost(&Name::from("/"));
        broker.put_user(Users::first_user("guest", "guest", "/").unwrap());
    }
    broker.set_clock(NOW_MS);
    broker
}

/// Guest in `/`.
pub fn subject(broker: &Broker) -> Subject {
    Subject {
        user: Name::from("guest"),
        vhost: broker.topology().vhost_named(b"/").unwrap(),
        vhost_name: Name::from("/"),
        connection: ConnectionKey::new(0, 1),
        is_owner: false,
    }
}

/// A channel of guest's connection.
pub fn open_channel(broker: &mut Broker) -> ChannelKey {
    let connection = subject(broker).connection;
    broker.queues_mut().open_channel(connection, 1)
}

/// A durable queue.
pub fn declare(broker: &mut Broker, name: &str, arguments: Table<'_>) -> QueueKey {
    let subject = subject(broker);
    let traits = QueueTraits { durable: true, exclusive: false, auto_delete: false, arguments };
    broker.declare_queue(&subject, name.as_bytes(), false, &traits).unwrap();
    broker.topology().queue_named(subject.vhost, name.as_bytes()).unwrap()
}

/// A persistent message with these headers, for this queue.
pub fn publish_with(broker: &mut Broker, queue: QueueKey, headers: Table<'_>) -> Published {
    let mut properties = Vec::new();
    let list =
        PropertyList { headers: Some(headers), delivery_mode: Some(2), ..PropertyList::default() };
    list.encode(&mut properties);
    let message = Message {
        content: Content {
            exchange: b"",
            routing_key: b"q",
            properties: &properties,
            body: Body::Inline(b"body"),
        },
        persistent: true,
        priority: 0,
        ttl_ms: None,
        delay: None,
        dedup_key: None,
    };
    broker.enqueue(&[queue], &message).unwrap()
}

/// Persistent messages for this queue.
pub fn publish(broker: &mut Broker, queue: QueueKey, count: usize) {
    for _ in 0..count {
        publish_with(broker, queue, Table::EMPTY);
    }
}
