//! Whose turn is it at a queue, and what does it cost who has it?

use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;
use crate::storage::Entry;

/// A consumer that gets the next message of its queue.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Its connection.
    pub connection: ConnectionKey,
    /// Its channel.
    pub channel: ChannelKey,
    /// The number of that on the connection.
    pub number: u16,
    /// It settles what it gets by getting it.
    pub no_ack: bool,
    /// When it has to acknowledge, in ms since 1970; 0 = never.
    pub due_ms: u64,
    /// How many consumers were looked at for that.
    pub looked_at: usize,
}

impl Queues {
    /// The consumer whose turn it is at a queue with ready messages; those before it that can take
    /// nothing leave the line.
    #[inline]
    pub fn next_consumer(&mut self, key: QueueKey) -> Option<ConsumerKey> {
        if self.queues.get(key)?.ready.is_empty() {
            return None;
        }
        self.first_able(key)
    }

    /// The same, whether or not there is anything to take.
    #[inline]
    pub fn first_able(&mut self, key: QueueKey) -> Option<ConsumerKey> {
        let queue = self.queues.get_mut(key)?;
        loop {
            let first = queue.line.first()?;
            let Some(consumer) = self.consumers.get_mut(first) else {
                queue.line.park_first();
                continue;
            };
            let channel = self.channels.get(consumer.channel)?;
            if consumer.may_take(channel) {
                return Some(first);
            }
            consumer.parked = true;
            queue.line.park_first();
        }
    }

    /// The reader of a stream whose turn it is, and what it gets at which offset; its cursor moves.
    /// Those before it that can take nothing, or have read everything, leave the line.
    pub fn next_reader(&mut self, key: QueueKey) -> Option<(ConsumerKey, u64, Entry)> {
        let queue = self.queues.get_mut(key)?;
        let stream = queue.stream.as_deref_mut()?;
        loop {
            let first = queue.line.first()?;
            let Some(consumer) = self.consumers.get_mut(first) else {
                queue.line.park_first();
                continue;
            };
            let channel = self.channels.get(consumer.channel)?;
            if !consumer.may_take(channel) {
                consumer.parked = true;
                queue.line.park_first();
                continue;
            }
            let offset = consumer.cursor.max(stream.first_offset());
            if let Some(entry) = stream.at(offset, &self.scratch) {
                consumer.cursor = offset + 1;
                queue.line.rotate();
                return Some((first, offset, entry));
            }
            queue.line.park_first();
            stream.note_caught_up(first);
        }
    }

    /// A consumer gets a message of its queue: it counts against its credit unless it is settled by
    /// that.
    #[inline]
    pub fn take_turn(&mut self, key: ConsumerKey, body_bytes: u32, now_ms: u64) -> Option<Turn> {
        let consumer = self.consumers.get_mut(key)?;
        let channel = self.channels.get_mut(consumer.channel)?;
        let queue = self.queues.get_mut(consumer.queue)?;
        let mut looked_at = 0;
        if !consumer.no_ack {
            if consumer.unacked == 0 {
                consumer.waits_since_ms = now_ms;
            }
            consumer.unacked += 1;
            channel.unacked += 1;
            queue.unacked += 1;
            queue.unacked_bytes += u64::from(body_bytes);
            self.totals.unacked += 1;
            looked_at = channel.had_its_turn(key);
        }
        Some(Turn {
            connection: channel.connection,
            channel: consumer.channel,
            number: channel.number,
            no_ack: consumer.no_ack,
            due_ms: due_ms(queue, consumer.no_ack, now_ms, self.consumer_timeout_ms),
            looked_at,
        })
    }

    /// When a `basic.get` of a message has to be acknowledged, which counts against no credit; 0 =
    /// never.
    pub fn take_by_get(
        &mut self,
        key: QueueKey,
        no_ack: bool,
        body_bytes: u32,
        now_ms: u64,
    ) -> u64 {
        let Some(queue) = self.queues.get_mut(key) else {
            return 0;
        };
        queue.unacked += usize::from(!no_ack);
        queue.unacked_bytes += if no_ack { 0 } else { u64::from(body_bytes) };
        self.totals.unacked += u64::from(!no_ack);
        due_ms(queue, no_ack, now_ms, self.consumer_timeout_ms)
    }

    /// The time within which a queue's deliveries have to be acknowledged, in milliseconds;
    /// 0 = no limit.
    pub fn consumer_timeout_of(&self, key: QueueKey) -> u64 {
        let own = self.queues.get(key).and_then(|queue| queue.settings.consumer_timeout_ms);
        own.or(self.consumer_timeout_ms).unwrap_or(0)
    }

    /// The time within which deliveries have to be acknowledged, where a queue says nothing.
    pub fn set_consumer_timeout(&mut self, timeout_ms: Option<u64>) {
        self.consumer_timeout_ms = timeout_ms;
    }
}

/// When a delivery has to be acknowledged, in ms since 1970; 0 = never.
#[inline]
fn due_ms(queue: &Queue, no_ack: bool, now_ms: u64, node_timeout_ms: Option<u64>) -> u64 {
    let timeout = queue.settings.consumer_timeout_ms.or(node_timeout_ms);
    match timeout {
        Some(timeout) if !no_ack && timeout > 0 => now_ms.saturating_add(timeout),
        Some(_) | None => 0,
    }
}
