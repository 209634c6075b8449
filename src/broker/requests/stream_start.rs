//! Where does the reader of a stream begin, and may it?

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::Broker;
use crate::broker::arguments::start_at::StartAt;
use crate::broker::key::{ChannelKey, QueueKey};
use crate::broker::queue::stream::Stream;
use crate::broker::requests::consume::Consume;
use crate::broker::resource::Resource;

impl Broker {
    /// The offset with which a new consumer begins; `None` when its queue is no stream.
    ///
    /// # Errors
    /// 406 without a prefetch, 540 without acknowledgements or with a prefetch shared by the
    /// channel.
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
        let channel = self.queues.channel(channel);
        if channel.is_some_and(|channel| channel.prefetch > 0) {
            let text = format!("{resource} does not support global qos");
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let asked = request.arguments.find(b"x-stream-offset");
        let start = asked.and_then(StartAt::parse).unwrap_or(StartAt::Next);
        Ok(Some(self.offset_of(stream, start)))
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
            StartAt::BeforeEnd(messages) => {
                stream.next_offset().saturating_sub(messages).max(stream.first_offset())
            }
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
            let entry = stream.at(middle, self.queues.scratch());
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
