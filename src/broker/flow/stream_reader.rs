//! Where does the reader of a stream begin, and what does it get next?
//!
//! Every reader has a cursor of its own: the offset of what it gets next. It moves with each
//! delivery and never back; an acknowledgement of any kind only gives credit. Readers that have
//! read everything leave the queue's line until the next message comes.

use crate::amqp::{AmqpError, ReplyCode, Value};
use crate::broker::Broker;
use crate::broker::arguments::age_seconds;
use crate::broker::flow::delivery::{Delivery, due_ms, slot_in};
use crate::broker::flow::settle::Unsettled;
use crate::broker::key::{ChannelKey, ConsumerKey, QueueKey};
use crate::broker::queue::stream::Stream;
use crate::broker::requests::consume::Consume;
use crate::broker::resource::Resource;
use crate::storage::Entry;

/// Where a reader begins (`x-stream-offset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest message.
    First,
    /// With the newest message.
    Last,
    /// With the next message that comes.
    Next,
    /// With the message of this offset, or the first one after it.
    Offset(u64),
    /// With the first message that was published then or later, in seconds since 1970.
    Time(u64),
    /// With the first message that is no older than this, in seconds.
    Age(u64),
}

impl StartAt {
    /// Reads the value of `x-stream-offset`; `None` when it is none.
    pub fn parse(value: Value<'_>) -> Option<Self> {
        if let Value::Timestamp(seconds) = value {
            return Some(Self::Time(seconds));
        }
        if let Value::U64(offset) = value {
            return Some(Self::Offset(offset));
        }
        if let Some(offset) = value.integer() {
            return u64::try_from(offset).ok().map(Self::Offset);
        }
        match value.text()? {
            b"first" => Some(Self::First),
            b"last" => Some(Self::Last),
            b"next" => Some(Self::Next),
            age => age_seconds(age).map(Self::Age),
        }
    }
}

impl Broker {
    /// The offset with which a new consumer begins; `None` when its queue is no stream.
    ///
    /// # Errors
    /// 406 without a prefetch, 540 without acknowledgements or with a prefetch shared by the
    /// channel, 403 for an exclusive consumer.
    pub(in crate::broker) fn reader_start(
        &self,
        key: QueueKey,
        channel: ChannelKey,
        resource: Resource<'_>,
        request: &Consume<'_>,
    ) -> Result<Option<u64>, AmqpError> {
        let queue = self.queues.get(key);
        let Some(stream) = queue.and_then(|queue| queue.stream.as_deref()) else {
            return Ok(None);
        };
        if request.prefetch == 0 {
            let text = format!("consumer prefetch count is not set for stream {resource}");
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        if request.no_ack {
            let text = format!("automatic acknowledgement not supported by stream {resource}");
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let channel = self.channels.get(channel);
        if channel.is_some_and(|channel| channel.prefetch > 0) {
            let text = format!("{resource} does not support global qos");
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        if request.exclusive {
            let text = format!("exclusive consumers not supported by stream {resource}");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        let asked = request.arguments.find(b"x-stream-offset");
        let start = asked.and_then(StartAt::parse).unwrap_or(StartAt::Next);
        Ok(Some(self.offset_of(stream, start)))
    }

    /// The next message for the next reader that has credit and has not read everything.
    pub(in crate::broker) fn next_stream_delivery(&mut self, key: QueueKey) -> Option<Delivery> {
        let (reader, offset, entry) = self.next_reader(key)?;
        let queue = self.queues.get_mut(key)?;
        let consumer = self.consumers.get_mut(reader)?;
        let channel = self.channels.get_mut(consumer.channel)?;
        let queue_id = queue.id;
        let (slot, _) = slot_in(&self.store, entry, queue_id);
        consumer.unacked += 1;
        channel.unacked += 1;
        queue.unacked += 1;
        channel.had_its_turn(reader);
        let held = Unsettled {
            queue: key,
            entry,
            slot,
            queue_id,
            channel: consumer.channel,
            consumer: Some(reader),
            due_ms: due_ms(queue, false, self.clock_ms, self.consumer_timeout_ms),
            kept: true,
        };
        Some(Delivery {
            connection: channel.connection,
            channel: channel.number,
            consumer: reader,
            no_ack: false,
            before: 0,
            counted: false,
            stream_offset: Some(offset),
            held,
        })
    }

    /// Chooses the reader whose turn it is and moves its cursor; those before it that can take
    /// nothing, or have read everything, leave the line.
    fn next_reader(&mut self, key: QueueKey) -> Option<(ConsumerKey, u64, Entry)> {
        let queue = self.queues.get_mut(key)?;
        let stream = queue.stream.as_deref_mut()?;
        loop {
            let first = queue.line.first()?;
            let consumer = self.consumers.get_mut(first)?;
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

    fn offset_of(&self, stream: &Stream, start: StartAt) -> u64 {
        match start {
            StartAt::First => stream.first_offset(),
            StartAt::Last => {
                let last = stream.next_offset().saturating_sub(1);
                last.max(stream.first_offset())
            }
            StartAt::Next => stream.next_offset(),
            StartAt::Offset(offset) => offset.max(stream.first_offset()),
            StartAt::Time(seconds) => self.offset_at(stream, seconds.saturating_mul(1000)),
            StartAt::Age(seconds) => {
                let age_ms = seconds.saturating_mul(1000);
                self.offset_at(stream, self.clock_ms.saturating_sub(age_ms))
            }
        }
    }

    /// The offset of the first message that was published at `time_ms` (since 1970) or later.
    fn offset_at(&self, stream: &Stream, time_ms: u64) -> u64 {
        let (mut low, mut high) = (stream.first_offset(), stream.next_offset());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = stream.at(middle, &self.scratch);
            let is_before =
                entry.is_some_and(|entry| self.store.record(entry.at).published_ms() < time_ms);
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_offset_is_read() {
        for (value, expected) in [
            (Value::LongString(b"first"), Some(StartAt::First)),
            (Value::LongString(b"last"), Some(StartAt::Last)),
            (Value::LongString(b"next"), Some(StartAt::Next)),
            (Value::LongString(b"1h"), Some(StartAt::Age(3600))),
            (Value::LongString(b"2D"), Some(StartAt::Age(172_800))),
            (Value::LongString(b"5"), None),
            (Value::LongString(b"h"), None),
            (Value::LongString(b""), None),
            (Value::I32(7), Some(StartAt::Offset(7))),
            (Value::U8(7), Some(StartAt::Offset(7))),
            (Value::U64(u64::MAX), Some(StartAt::Offset(u64::MAX))),
            (Value::I64(-1), None),
            (Value::Timestamp(5), Some(StartAt::Time(5))),
            (Value::Bool(true), None),
            (Value::F64(1.0), None),
            (Value::Void, None),
        ] {
            assert_eq!(StartAt::parse(value), expected, "{value:?}");
        }
    }
}
