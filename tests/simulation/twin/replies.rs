//! Who gets direct replies, and what do the names look like that the broker makes for them?
//!
//! A channel that consumes from [`REPLY_TO`] has a name that nobody knows until somebody gets a
//! message that asks for a reply. Until then a placeholder stands for it here.

use leveret::amqp::Method;
use leveret::amqp::method::{basic, queue};

use super::{At, Consumer, ConsumerId, QueueId, Tag, Twin};
use crate::ops::{Consume, Publish, QueueSpec};
use crate::values::{Props, Received};

pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

impl Twin {
    /// Puts the placeholder into a message that came with a name to reply to.
    pub fn replace_name(&mut self, received: &mut Received) {
        let Some((Props { reply_to: Some(name), .. }, body)) = &mut received.content else {
            return;
        };
        if let Some(known) = self.reply_names.get(name) {
            known.clone_into(name);
            return;
        }
        assert!(name.len() > REPLY_TO.len() + 16, "anybody could guess '{name}'");
        assert!(name.starts_with("amq.rabbitmq.reply-to."), "'{name}'");
        let asked = self.asked.get(&body[..11]).expect("it asks for no reply");
        let other = self.reply_names.values().any(|placeholder| placeholder == asked);
        assert!(!other, "'{name}' is a second name of {asked}");
        self.reply_names.insert(name.clone(), asked.clone());
        if let Some(id) = self.queue_named(asked) {
            self.queues.get_mut(&id).unwrap().name.clone_from(name);
        }
        asked.clone_into(name);
    }

    /// Whether a consumer is the one of a channel that asks for replies.
    pub fn gets_replies(&self, consumer: ConsumerId) -> bool {
        self.queues[&self.consumers[&consumer].queue].replies
    }

    /// The publish with a name to reply to, where it asks for replies; 406 when its channel does
    /// not wait for any.
    pub fn with_reply_name(&mut self, at: At, publish: &Publish) -> Option<Publish> {
        let mut publish = publish.clone();
        if publish.props.reply_to.as_deref() != Some(REPLY_TO) {
            return Some(publish);
        }
        let Some(placeholder) = self.channel(at).replies.clone() else {
            self.channel_error(at, &[406], 60, 40);
            return None;
        };
        self.count("reply asked for");
        self.asked.insert(publish.body[..11].to_vec(), placeholder.clone());
        publish.props.reply_to = Some(placeholder);
        Some(publish)
    }

    /// Consuming from the pseudo-queue: without acknowledgements, once per channel.
    pub fn consume_replies(&mut self, at: At, consume: &Consume) {
        if !consume.no_ack || self.channel(at).replies.is_some() {
            return self.channel_error(at, &[406], 60, 20);
        }
        let (id, queue) = (self.fresh(), self.fresh());
        let name = format!("{REPLY_TO}.?{queue}");
        let mut found = super::topology::empty_queue(&name, QueueSpec::plain(false));
        found.declared.auto_delete = true;
        found.spec.auto_delete = true;
        found.replies = true;
        found.consumers.push(id);
        self.queues.insert(queue, found);
        let tag = consume.tag.clone();
        let channel = self.channel(at);
        channel.replies = Some(name);
        channel.tags.insert(tag.clone(), Tag::Consumer(id));
        let consumer = Consumer {
            at,
            tag,
            queue,
            no_ack: true,
            exclusive: true,
            priority: 0,
            prefetch: 0,
            unacked: 0,
            passed_over: 0,
            cursor: None,
        };
        self.consumers.insert(id, consumer);
        let consumer_tag = consume.tag.as_bytes();
        self.expect(at, &Method::BasicConsumeOk(basic::ConsumeOk { consumer_tag }));
    }

    /// A passive declaration of the pseudo-queue, or of one that is waited on for replies.
    pub fn declare_replies(&mut self, at: At, name: &str) {
        let ok = queue::DeclareOk { queue: name.as_bytes(), message_count: 0, consumer_count: 1 };
        self.expect(at, &Method::QueueDeclareOk(ok));
        self.channel(at).last_queue = Some(name.into());
    }

    /// Whether no queue gets a message; those who wait for replies do not count.
    pub fn is_unroutable(&self, queues: &[QueueId]) -> bool {
        queues.iter().all(|id| self.queues.get(id).is_none_or(|queue| queue.replies))
    }

    /// The queue that a consumer's deliveries come from.
    pub fn queue_of(&mut self, at: At, tag: &str) -> QueueId {
        let Some(Tag::Consumer(id)) = self.channel(at).tags.get(tag).copied() else {
            panic!("{at:?} has no consumer '{tag}'");
        };
        self.consumers[&id].queue
    }
}
