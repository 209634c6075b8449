//! What does the broker itself have to publish, and did not yet?
//!
//! Three things come from the broker and not from a client: copies of messages for the firehose,
//! events, and lines of the log. What cannot be published where it arises waits here, in a bounded
//! list. What finds no place is dropped and counted, so that nobody is ever kept waiting for a
//! notice; the log says so once, and says how many they were when the next one finds a place.

use std::collections::VecDeque;

use crate::amqp::Name;
use crate::broker::key::VhostKey;

/// The most notices that wait.
pub const NOTICES_MAX: usize = 10_000;

/// The most bytes that they hold together: keys, properties and bodies.
pub const NOTICE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a notice comes from, which says where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A copy of a message of this vhost: to `amq.rabbitmq.trace` there.
    Firehose(VhostKey),
    /// Something happened: to `amq.rabbitmq.event`.
    Events,
    /// A line of the log: to `amq.rabbitmq.log`.
    Log,
}

/// One message that the broker publishes by itself.
#[derive(Debug)]
pub(in crate::broker) struct Notice {
    pub source: Source,
    pub routing_key: Vec<u8>,
    /// Property bytes.
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

/// Notices that wait, and what is published at all.
#[derive(Debug, Default)]
pub(in crate::broker) struct Notices {
    waiting: VecDeque<Notice>,
    bytes: usize,
    /// How many were dropped, by source.
    dropped: [Dropped; 3],
    /// The vhost of the event exchange, where events are published.
    pub events: Option<Name>,
    /// The vhost of the log exchange, where lines of the log are.
    pub log: Option<Name>,
    /// What notices call the node.
    pub node_name: Name,
    /// Who asked for what is being done; nobody did what the broker does by itself.
    pub actor: Option<Name>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Dropped {
    count: u64,
    /// As many as the log spoke of.
    said: u64,
}

impl Source {
    /// The exchange that it publishes to.
    pub fn exchange(self) -> &'static str {
        match self {
            Self::Firehose(_) => "amq.rabbitmq.trace",
            Self::Events => "amq.rabbitmq.event",
            Self::Log => "amq.rabbitmq.log",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Firehose(_) => 0,
            Self::Events => 1,
            Self::Log => 2,
        }
    }
}

impl Notice {
    fn bytes(&self) -> usize {
        self.routing_key.len() + self.properties.len() + self.body.len()
    }
}

impl Notices {
    /// Puts a notice behind all others, or drops it.
    pub fn push(&mut self, notice: Notice) {
        let bytes = self.bytes + notice.bytes();
        if self.waiting.len() >= NOTICES_MAX || bytes > NOTICE_BYTES_MAX {
            return self.note_no_room(notice.source);
        }
        self.bytes = bytes;
        self.waiting.push_back(notice);
    }

    /// One found no place among those that wait.
    pub fn note_no_room(&mut self, source: Source) {
        self.note_dropped(source, "too many of them wait");
    }

    /// Whether there is room for one with a body of so many bytes.
    pub fn takes(&self, bytes: usize) -> bool {
        self.waiting.len() < NOTICES_MAX && self.bytes.saturating_add(bytes) <= NOTICE_BYTES_MAX
    }

    /// The one that has waited for longest.
    pub fn pop(&mut self) -> Option<Notice> {
        let notice = self.waiting.pop_front()?;
        self.bytes -= notice.bytes();
        Some(notice)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One was dropped. Only the first of a row is worth a line.
    pub fn note_dropped(&mut self, source: Source, why: &str) {
        let dropped = &mut self.dropped[source.index()];
        dropped.count += 1;
        if dropped.count == dropped.said + 1 {
            let exchange = source.exchange();
            log::warn!("messages for {exchange} are dropped: {why}; clients' messages go on");
        }
    }

    /// One was published: what was dropped before is over.
    #[inline]
    pub fn note_published(&mut self, source: Source) {
        let dropped = &mut self.dropped[source.index()];
        if dropped.count != dropped.said {
            let now = dropped.count - dropped.said;
            dropped.said = dropped.count;
            let exchange = source.exchange();
            log::warn!("{now} messages for {exchange} were dropped, and now they go on");
        }
    }

    /// How many were dropped since the start.
    pub fn dropped(&self, source: Source) -> u64 {
        self.dropped[source.index()].count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: usize) -> Notice {
        let (routing_key, properties) = (Vec::new(), Vec::new());
        Notice { source: Source::Log, routing_key, properties, body: vec![0; bytes] }
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes() {
        let mut notices = Notices::default();
        for _ in 0..NOTICES_MAX + 7 {
            notices.push(line(1));
        }
        assert_eq!((notices.waiting.len(), notices.bytes), (NOTICES_MAX, NOTICES_MAX));
        assert_eq!((notices.dropped(Source::Log), notices.dropped(Source::Events)), (7, 0));
        while notices.pop().is_some() {}
        assert_eq!((notices.bytes, notices.is_empty()), (0, true));
        notices.push(line(NOTICE_BYTES_MAX - 10));
        assert!(notices.takes(10) && !notices.takes(11) && !notices.takes(usize::MAX));
        notices.push(line(11));
        notices.push(line(10));
        assert_eq!((notices.waiting.len(), notices.dropped(Source::Log)), (2, 8));
    }
}
