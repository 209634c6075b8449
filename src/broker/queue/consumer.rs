//! Who consumes from a queue, and whose turn is it?
//!
//! Owns consumers, the credit of their channels, and each queue's line of consumers. It
//! hands out turns; it does not deliver.

use std::collections::VecDeque;

use crate::amqp::Name;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};

/// One `basic.consume`.
#[derive(Debug)]
pub struct Consumer {
    /// The queue that it consumes from.
    pub queue: QueueKey,
    /// The channel that it was started on.
    pub channel: ChannelKey,
    /// The tag, unique on its channel.
    pub tag: Name,
    /// Deliveries need no acknowledgement and are settled when they are sent.
    pub no_ack: bool,
    /// No other consumer may consume from the queue.
    pub exclusive: bool,
    /// `x-priority`: higher first.
    pub priority: i64,
    /// Deliveries that may be unacked at a time (`basic.qos`, global false); 0 = unlimited.
    pub prefetch: u32,
    /// Deliveries of this consumer that are not settled yet.
    pub unacked: u32,
    /// The consume's arguments, as they came.
    pub arguments: Box<[u8]>,
    /// The offset in a stream of what it gets next; 0 on other queues.
    pub(in crate::broker) cursor: u64,
    /// It had no credit or room when its turn came, so it stands outside the line.
    pub(in crate::broker) parked: bool,
}

/// What the broker knows of a channel: whose it is and how much it may take.
#[derive(Debug)]
pub struct ChannelCredit {
    /// The channel's connection.
    pub connection: ConnectionKey,
    /// The channel's number on that connection.
    pub number: u16,
    /// The consumers on this channel. Those of a shared prefetch take turns: whoever got something
    /// goes to the end.
    pub consumers: VecDeque<ConsumerKey>,
    /// `basic.qos` with global true: unacked deliveries on the whole channel; 0 = unlimited.
    pub prefetch: u32,
    /// Unacked deliveries on the channel, those of `basic.get` not counted.
    pub unacked: u32,
    /// The connection's outbox takes more.
    pub room: bool,
}

impl ChannelCredit {
    /// A consumer got something: where credit is shared, the others come before it now.
    #[inline]
    pub(in crate::broker) fn had_its_turn(&mut self, consumer: ConsumerKey) {
        if self.prefetch > 0
            && self.consumers.len() > 1
            && let Some(place) = self.consumers.iter().position(|&other| other == consumer)
        {
            self.consumers.remove(place);
            self.consumers.push_back(consumer);
        }
    }
}

impl Consumer {
    /// Whether a delivery may be sent to this consumer now.
    #[inline]
    pub(in crate::broker) fn may_take(&self, channel: &ChannelCredit) -> bool {
        self.credit(channel).is_none_or(|credit| credit > 0)
    }

    /// How many deliveries may be sent to this consumer now; `None` = any number.
    #[inline]
    pub(in crate::broker) fn credit(&self, channel: &ChannelCredit) -> Option<u32> {
        if !channel.room {
            return Some(0);
        }
        let shared = channel.prefetch.saturating_sub(channel.unacked);
        let shared = (channel.prefetch > 0).then_some(shared);
        if self.no_ack {
            // It uses nothing up, but waits with the others (as in RabbitMQ).
            return shared.filter(|&left| left == 0);
        }
        let own = (self.prefetch > 0).then(|| self.prefetch.saturating_sub(self.unacked));
        match (own, shared) {
            (Some(own), Some(shared)) => Some(own.min(shared)),
            (credit, None) | (None, credit) => credit,
        }
    }
}

/// A queue's consumers that wait for their turn: highest priority first, round robin within
/// one priority. Parked consumers are not in it.
#[derive(Debug, Default)]
pub struct Line {
    /// Sorted by falling priority; a level stays when it runs empty, its members come back.
    levels: Vec<Level>,
    /// All consumers of the queue in the order in which they came, parked ones included.
    members: Vec<ConsumerKey>,
    /// `x-single-active-consumer`: only the first member ever waits.
    single_active: bool,
}

#[derive(Debug)]
struct Level {
    priority: i64,
    waiting: VecDeque<ConsumerKey>,
}

impl Line {
    /// A line without consumers.
    pub fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    /// A new consumer joins behind those of its priority.
    pub fn join(&mut self, consumer: ConsumerKey, priority: i64) {
        self.members.push(consumer);
        if !self.single_active || self.members.len() == 1 {
            self.wait(consumer, priority);
        }
    }

    /// A consumer goes for good. Where only one is active and this was it, the next one, which
    /// now has to be told to [`Line::wait`].
    pub fn leave(&mut self, consumer: ConsumerKey) -> Option<ConsumerKey> {
        let place = self.members.iter().position(|&member| member == consumer)?;
        self.members.remove(place);
        for level in &mut self.levels {
            level.waiting.retain(|&waiting| waiting != consumer);
        }
        self.levels.retain(|level| !level.waiting.is_empty());
        let was_active = self.single_active && place == 0;
        self.members.first().copied().filter(|_| was_active)
    }

    /// The one consumer that gets messages, where there is only one.
    pub fn active(&self) -> Option<ConsumerKey> {
        self.members.first().copied().filter(|_| self.single_active)
    }

    /// Those that wait for a turn, the next one first.
    pub fn waiting(&self) -> impl Iterator<Item = &ConsumerKey> {
        self.levels.iter().flat_map(|level| &level.waiting)
    }

    /// The consumer whose turn it is.
    #[inline]
    pub fn first(&self) -> Option<ConsumerKey> {
        self.levels.iter().find_map(|level| level.waiting.front().copied())
    }

    /// The first one had its turn and goes behind the others of its priority.
    #[inline]
    pub fn rotate(&mut self) {
        if let Some(level) = self.first_level()
            && level.waiting.len() > 1
        {
            level.waiting.rotate_left(1);
        }
    }

    /// The first one cannot take anything; it leaves the line until [`Line::wait`].
    pub fn park_first(&mut self) -> Option<ConsumerKey> {
        self.first_level()?.waiting.pop_front()
    }

    /// A parked (or new) consumer waits for its turn again.
    pub fn wait(&mut self, consumer: ConsumerKey, priority: i64) {
        let place = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(place).is_none_or(|level| level.priority != priority) {
            self.levels.insert(place, Level { priority, waiting: VecDeque::with_capacity(1) });
        }
        self.levels[place].waiting.push_back(consumer);
    }

    /// All consumers in the order in which they came.
    pub fn members(&self) -> &[ConsumerKey] {
        &self.members
    }

    /// Whether somebody waits for a turn.
    pub fn anyone_waits(&self) -> bool {
        self.first().is_some()
    }

    fn first_level(&mut self) -> Option<&mut Level> {
        self.levels.iter_mut().find(|level| !level.waiting.is_empty())
    }
}
