//! What may clients ask for when they consume?

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::flow::events::Event;
use crate::broker::key::{ChannelKey, ConsumerKey};
use crate::broker::queue::consumer::Consumer;
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;
use crate::broker::{Broker, arguments};

/// What a `basic.consume` asks for.
#[derive(Debug)]
pub struct Consume<'a> {
    /// The queue's name.
    pub queue: &'a [u8],
    /// The consumer's tag, not empty, unused on this channel.
    pub tag: Name,
    /// Deliveries need no acknowledgement.
    pub no_ack: bool,
    /// Nobody else may consume from the queue.
    pub exclusive: bool,
    /// The prefetch count in force for new consumers of the channel; 0 = unlimited.
    pub prefetch: u32,
    /// Further arguments.
    pub arguments: Table<'a>,
}

impl Broker {
    /// 530 when the user has as many channels as it may, over all of its connections.
    pub fn check_channel_limit(&self, user: &Name) -> Result<(), AmqpError> {
        self.users.check_channel_limit(user, self.queues.connections())
    }

    /// Starts a consumer. 404 for a missing queue, 403 without read permission or against an
    /// exclusive consumer, 405 for another connection's exclusive queue.
    pub fn consume(
        &mut self,
        subject: &Subject,
        channel: ChannelKey,
        request: Consume<'_>,
    ) -> Result<ConsumerKey, AmqpError> {
        self.users.check_queue_access(subject, Access::Read, request.queue)?;
        let key = self.usable_queue(subject, request.queue)?;
        let vhost = self.topology.vhost_name(subject.vhost);
        let resource = Resource::queue(&vhost, request.queue);
        let kind = self.queues.get(key).map(|queue| queue.settings.kind).unwrap_or_default();
        arguments::check_consumer(resource, kind, request.arguments)?;
        let start = self.reader_start(key, channel, resource, &request)?;
        let priority = request.arguments.find(b"x-priority");
        let priority = priority.and_then(|value| value.integer()).unwrap_or(0);
        // The readers of a stream take nothing from each other: none of them is alone.
        let exclusive = request.exclusive && start.is_none();
        let queue = self.queues.get_mut(key).expect("found just now");
        let taken =
            queue.exclusively_consumed || (exclusive && queue.settings.single_active_consumer);
        if taken || (exclusive && !queue.line.is_empty()) {
            let text = format!("{resource} in exclusive use");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        queue.exclusively_consumed = exclusive;
        let consumer = self.queues.start(Consumer {
            queue: key,
            channel,
            tag: request.tag,
            no_ack: request.no_ack,
            exclusive,
            priority,
            prefetch: request.prefetch,
            unacked: 0,
            settled_at_ms: 0,
            waits_since_ms: 0,
            arguments: request.arguments.as_bytes().into(),
            cursor: start.unwrap_or(0),
            parked: false,
        });
        self.note_consumer(Event::ConsumerCreated, consumer);
        Ok(consumer)
    }
}
