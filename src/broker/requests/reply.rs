//! How does direct reply-to work?
//!
//! A channel that consumes from the name [`REPLY_TO`] gets a queue of its own under a name that
//! nobody can guess. The queue is transient and hidden, has this one consumer and ends with it;
//! a message that comes to it is delivered in the same turn and so is never written anywhere.

use crate::amqp::{AmqpError, Name, ReplyCode};
use crate::broker::Broker;
use crate::broker::key::{ChannelKey, ConsumerKey};
use crate::broker::queue::consumer::Consumer;
use crate::broker::queue::{Declaration, Queue};
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;

/// The pseudo-queue's name (<https://www.rabbitmq.com/docs/direct-reply-to>).
pub const REPLY_TO: &[u8] = b"amq.rabbitmq.reply-to";

impl Broker {
    /// Starts the consumer of a channel's direct replies, which come to `name`.
    pub fn consume_replies(
        &mut self,
        subject: &Subject,
        channel: ChannelKey,
        name: &Name,
        tag: Name,
    ) -> ConsumerKey {
        let id = self.store.new_queue_id();
        let declaration = Declaration {
            durable: false,
            owner: None,
            auto_delete: true,
            arguments: Box::default(),
        };
        let mut queue = Queue::new(name.clone(), subject.vhost, id, declaration);
        queue.is_reply_queue = true;
        let key = self.create_queue(queue);
        self.queues.start(Consumer {
            queue: key,
            channel,
            tag,
            no_ack: true,
            exclusive: true,
            priority: 0,
            prefetch: 0,
            unacked: 0,
            settled_at_ms: 0,
            waits_since_ms: 0,
            arguments: Box::default(),
            cursor: 0,
            parked: false,
        })
    }

    /// Checks that somebody waits for answers at an address, which is what a declaration of it
    /// asks; 404 when they left. The pseudo-queue is always there.
    pub fn check_reply_address(&self, subject: &Subject, name: &[u8]) -> Result<(), AmqpError> {
        let queue = || {
            let reply_queue = self.topology.reply_queue_named(subject.vhost, name);
            reply_queue.or_else(|| self.topology.queue_named(subject.vhost, name))
        };
        if name == REPLY_TO || queue().is_some() {
            return Ok(());
        }
        let vhost = self.topology.vhost_name(subject.vhost);
        let text = format!("no {}", Resource::queue(&vhost, name));
        Err(AmqpError::channel(ReplyCode::NotFound, text))
    }
}
