//! What is a consumer, and how much may it take?

use crate::amqp::Name;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::queue::roll::Roll;

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
    /// When it last settled one: acknowledged, refused or put it back; in ms since 1970, 0 = never.
    pub settled_at_ms: u64,
    /// Since when it has deliveries and has settled none, in ms since 1970; means nothing while it
    /// has none.
    pub waits_since_ms: u64,
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
    pub consumers: Roll,
    /// `basic.qos` with global true: unacked deliveries on the whole channel; 0 = unlimited.
    pub prefetch: u32,
    /// Unacked deliveries on the channel, those of `basic.get` not counted.
    pub unacked: u32,
    /// The connection's outbox takes more.
    pub room: bool,
    /// Something was published on it.
    pub publishes: bool,
}

impl ChannelCredit {
    /// A consumer got something: where credit is shared, the others come before it now. Says among
    /// how many it was looked for.
    #[inline]
    pub(in crate::broker) fn had_its_turn(&mut self, consumer: ConsumerKey) -> usize {
        if self.prefetch == 0 {
            return 0;
        }
        self.consumers.move_to_end(consumer);
        self.consumers.places()
    }
}

impl Consumer {
    /// For how long it has had deliveries and settled none, in ms; 0 = it has none.
    pub fn awaited_ms(&self, now_ms: u64) -> u64 {
        if self.unacked == 0 { 0 } else { now_ms.saturating_sub(self.waits_since_ms) }
    }

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
