//! How does a consumer start and end, and how does its credit change?
//!
//! Credit that comes back goes to whoever has waited longest: a consumer that may take messages
//! again joins the end of its queue's line, and the consumers of a channel take turns.

use std::collections::VecDeque;

use crate::broker::effect::Effect;
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::queue::consumer::{ChannelCredit, Consumer};
use crate::broker::queue::roll::Roll;
use crate::broker::serving::{Queues, Unsettled};

impl Queues {
    /// A channel opens.
    pub fn open_channel(&mut self, connection: ConnectionKey, number: u16) -> ChannelKey {
        self.churn.channels_opened += 1;
        self.channels.insert(ChannelCredit {
            connection,
            number,
            consumers: Roll::default(),
            prefetch: 0,
            unacked: 0,
            room: true,
            publishes: false,
        })
    }

    /// A channel closes: the consumers that it had. They are to be removed.
    pub fn take_consumers(&mut self, key: ChannelKey) -> VecDeque<ConsumerKey> {
        self.channels.get_mut(key).map(|channel| channel.consumers.take()).unwrap_or_default()
    }

    /// Forgets a channel whose consumers ended and whose unsettled messages went back.
    pub fn close_channel(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.remove(key) {
            self.churn.channels_closed += 1;
            self.totals.publishers -= u64::from(channel.publishes);
        }
    }

    /// Sets the shared prefetch of a channel (`basic.qos`, global true); 0 = unlimited.
    pub fn set_shared_prefetch(&mut self, key: ChannelKey, prefetch: u32) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.prefetch = prefetch;
        }
        self.unpark_channel(key);
    }

    /// The connection's outbox is full (`false`) or takes more again (`true`).
    pub fn set_room(&mut self, key: ChannelKey, room: bool) {
        if let Some(channel) = self.channels.get_mut(key)
            && channel.room != room
        {
            channel.room = room;
            if room {
                // The one that filled the outbox last may have been the first: it comes last now.
                channel.consumers.rotate();
                self.unpark_channel(key);
            }
        }
    }

    /// Puts a consumer into its queue's line and on its channel's list.
    pub fn start(&mut self, consumer: Consumer) -> ConsumerKey {
        let (queue, channel, priority) = (consumer.queue, consumer.channel, consumer.priority);
        let key = self.consumers.insert(consumer);
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.line.join(key, priority);
        }
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.consumers.push(key);
        }
        self.mark_dirty(queue);
        key
    }

    /// A consumer ends at its client's wish, or with its channel; what it has not settled stays
    /// with the channel. Says which auto-delete queue lost its last consumer, and has to go.
    #[must_use]
    pub fn end(&mut self, key: ConsumerKey, now_ms: u64) -> Option<QueueKey> {
        let consumer = self.consumers.remove(key)?;
        let consumers = &self.consumers;
        if let Some(channel) = self.channels.get_mut(consumer.channel) {
            channel.consumers.leave(|key| consumers.contains(key));
        }
        let queue = self.queues.get_mut(consumer.queue)?;
        let left = queue.line.leave(key, |key| consumers.contains(key));
        if left.struck_off
            && let Some(stream) = &mut queue.stream
        {
            stream.strike_readers(|key| consumers.contains(key));
        }
        if consumer.exclusive {
            queue.exclusively_consumed = false;
        }
        if queue.line.is_empty() && queue.declaration.auto_delete {
            return Some(consumer.queue);
        }
        if left.was_active {
            // The one of the highest priority that came first.
            let members = queue.line.members();
            let members = members.filter_map(|key| Some((key, self.consumers.get(key)?.priority)));
            let next = members.reduce(|best, next| if next.1 > best.1 { next } else { best });
            if let Some((next, priority)) = next {
                queue.line.activate(next, priority);
            }
        }
        self.mark_dirty(consumer.queue);
        self.touch(consumer.queue, now_ms);
        None
    }

    /// A queue is going: its consumers end, and their clients are to be told.
    pub fn cancel_all(&mut self, key: QueueKey, effects: &mut VecDeque<Effect>) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        for consumer_key in queue.line.take_members() {
            let Some(consumer) = self.consumers.remove(consumer_key) else {
                continue;
            };
            let Some(channel) = self.channels.get_mut(consumer.channel) else {
                continue;
            };
            let consumers = &self.consumers;
            channel.consumers.leave(|key| consumers.contains(key));
            effects.push_back(Effect::ConsumerCancelled {
                connection: channel.connection,
                channel: channel.number,
                tag: consumer.tag,
                consumer: consumer_key,
            });
        }
    }

    /// A delivery was settled: its consumer and its channel may take as much more. Says how many
    /// consumers were looked at.
    #[inline]
    pub fn give_credit_back(&mut self, unsettled: &Unsettled, now_ms: u64) -> usize {
        if let Some(queue) = self.queues.get_mut(unsettled.queue) {
            queue.unacked -= 1;
            queue.unacked_bytes -= u64::from(unsettled.body_bytes);
            self.counted.note_length(unsettled.queue, queue);
            self.totals.unacked -= 1;
        }
        let Some(key) = unsettled.consumer else {
            return 0;
        };
        let Some(channel) = self.channels.get_mut(unsettled.channel) else {
            return 0;
        };
        channel.unacked -= 1;
        let is_shared = channel.prefetch > 0;
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.unacked -= 1;
            consumer.settled_at_ms = now_ms;
            consumer.waits_since_ms = now_ms;
            if consumer.parked && !is_shared {
                self.unpark(key);
            }
        }
        if is_shared { self.unpark_channel(unsettled.channel) } else { 0 }
    }

    /// Something changed for all consumers of a channel: those that can take messages again
    /// join their lines. Says how many were looked at.
    fn unpark_channel(&mut self, channel: ChannelKey) -> usize {
        let mut place = 0;
        while let Some(consumer) = self.channels.get(channel).and_then(|c| c.consumers.at(place)) {
            self.unpark(consumer);
            place += 1;
        }
        place
    }

    fn unpark(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        let Some(channel) = self.channels.get(consumer.channel) else {
            return;
        };
        if !consumer.parked || !consumer.may_take(channel) {
            return;
        }
        consumer.parked = false;
        let queue_key = consumer.queue;
        if let Some(queue) = self.queues.get_mut(queue_key) {
            queue.line.wait(key, consumer.priority);
        }
        self.mark_dirty(queue_key);
    }
}
