//! How does a consumer start and end, and how does a channel's credit change?

use std::collections::VecDeque;

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::key::{ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::queue::consumer::{ChannelCredit, Consumer};
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;
use crate::broker::{Broker, Effect, arguments};

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
        let channels = self.channels.iter().map(|(_, channel)| channel.connection);
        self.users.check_channel_limit(user, channels)
    }

    /// A channel opens.
    pub fn open_channel(&mut self, connection: ConnectionKey, number: u16) -> ChannelKey {
        self.channels.insert(ChannelCredit {
            connection,
            number,
            consumers: VecDeque::new(),
            prefetch: 0,
            unacked: 0,
            room: true,
        })
    }

    /// A channel closes: first its consumers go, so that nothing that it gives back comes to
    /// it again.
    pub fn end_consumers(&mut self, key: ChannelKey) {
        let consumers = match self.channels.get_mut(key) {
            Some(channel) => std::mem::take(&mut channel.consumers),
            None => return,
        };
        for consumer in consumers {
            self.remove_consumer(consumer);
        }
    }

    /// Forgets a channel whose consumers ended and whose held messages went back.
    pub fn close_channel(&mut self, key: ChannelKey) {
        self.channels.remove(key);
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
                if channel.consumers.len() > 1 {
                    channel.consumers.rotate_left(1);
                }
                self.unpark_channel(key);
            }
        }
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
        let vhost = self.vhost_name(subject.vhost);
        let resource = Resource::queue(&vhost, request.queue);
        arguments::check_consumer(resource, request.arguments)?;
        let start = self.reader_start(key, channel, resource, &request)?;
        // The readers of a stream take nothing from each other.
        let priority = request.arguments.find(b"x-priority");
        let priority = priority.filter(|_| start.is_none());
        let priority = priority.and_then(|value| value.integer()).unwrap_or(0);
        let queue = self.queues.get_mut(key).expect("found just now");
        let taken = queue.exclusively_consumed
            || (request.exclusive && queue.settings.single_active_consumer);
        if taken || (request.exclusive && !queue.line.members().is_empty()) {
            let text = format!("{resource} in exclusive use");
            return Err(AmqpError::channel(ReplyCode::AccessRefused, text));
        }
        queue.exclusively_consumed = request.exclusive;
        Ok(self.start_consumer(Consumer {
            queue: key,
            channel,
            tag: request.tag,
            no_ack: request.no_ack,
            exclusive: request.exclusive,
            priority,
            prefetch: request.prefetch,
            unacked: 0,
            arguments: request.arguments.as_bytes().into(),
            cursor: start.unwrap_or(0),
            parked: false,
        }))
    }

    /// Puts a consumer into its queue's line and on its channel's list.
    pub(in crate::broker) fn start_consumer(&mut self, consumer: Consumer) -> ConsumerKey {
        let (queue, channel, priority) = (consumer.queue, consumer.channel, consumer.priority);
        let key = self.consumers.insert(consumer);
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.line.join(key, priority);
        }
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.consumers.push_back(key);
        }
        self.mark_dirty(queue);
        key
    }

    /// Ends a consumer at its client's wish; what it holds stays with the channel.
    pub fn cancel(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else {
            return;
        };
        if let Some(channel) = self.channels.get_mut(consumer.channel) {
            channel.consumers.retain(|&other| other != key);
        }
        self.remove_consumer(key);
    }

    /// Takes a consumer out of its queue's line, which may be the end of an auto-delete queue.
    fn remove_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(consumer.queue) else {
            return;
        };
        let next = queue.line.leave(key);
        if let Some(stream) = &mut queue.stream {
            stream.forget_reader(key);
        }
        if consumer.exclusive {
            queue.exclusively_consumed = false;
        }
        if queue.line.members().is_empty() && queue.declaration.auto_delete {
            return self.remove_queue(consumer.queue);
        }
        if let Some(next) = next.and_then(|next| Some((next, self.consumers.get(next)?))) {
            queue.line.wait(next.0, next.1.priority);
        }
        self.mark_dirty(consumer.queue);
        self.touch_queue(consumer.queue);
    }

    /// The queue is going: its consumers end, and their clients are told.
    pub(in crate::broker) fn cancel_consumers_of(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        for consumer_key in queue.line.members().to_vec() {
            let Some(consumer) = self.consumers.remove(consumer_key) else {
                continue;
            };
            let Some(channel) = self.channels.get_mut(consumer.channel) else {
                continue;
            };
            channel.consumers.retain(|&other| other != consumer_key);
            self.effects.push(Effect::ConsumerCancelled {
                connection: channel.connection,
                channel: channel.number,
                tag: consumer.tag,
                consumer: consumer_key,
            });
        }
    }
}
