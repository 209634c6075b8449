//! How does a client get messages: consume, cancel, get?

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, Method, Name, ReplyCode};
use crate::broker::counters::Happening;
use crate::broker::flow::firehose::Passage;
use crate::broker::requests::consume::Consume;
use crate::broker::requests::reply::REPLY_TO;
use crate::broker::{Access, Broker, ConsumerKey};

use super::deliver::Added;
use super::scope::Scope;
use super::{Channel, generated_name};

impl Channel {
    pub(super) fn basic_consume(
        &mut self,
        scope: &mut Scope<'_>,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let queue = self.queue_name(consume.queue)?;
        let tag = if consume.consumer_tag.is_empty() {
            generated_name("amq.ctag-")
        } else {
            Name::from(consume.consumer_tag)
        };
        let asks_for_replies = queue.as_bytes() == REPLY_TO;
        if let Some(&consumer) = self.consumers.get(&tag)
            // Who asks for replies again hears about that, whatever the tag.
            && !(asks_for_replies && is_reply_consumer(scope.broker, consumer))
        {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        if asks_for_replies {
            return self.consume_replies(scope, tag, consume);
        }
        let request = Consume {
            queue: queue.as_bytes(),
            tag: tag.clone(),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: self.prefetch,
            arguments: consume.arguments,
        };
        let key = scope.broker.consume(scope.subject, self.key, request)?;
        self.consumers.insert(tag.clone(), key);
        if !consume.nowait {
            let ok = basic::ConsumeOk { consumer_tag: tag.as_bytes() };
            scope.out.send(&Method::BasicConsumeOk(ok));
        }
        Ok(())
    }

    /// Direct reply-to: 406 unless it needs no acknowledgement and is the channel's first.
    fn consume_replies(
        &mut self,
        scope: &mut Scope<'_>,
        tag: Name,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let refuse = |text| Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        if !consume.no_ack {
            return refuse("reply consumer cannot acknowledge");
        }
        if self.reply_to.is_some() {
            return refuse("reply consumer already set");
        }
        // Clients know an address by its form: two words, of which the second one is padded.
        let first = generated_name("amq.rabbitmq.reply-to.");
        let name = Name::from(format!("{}==", generated_name(&format!("{first}."))));
        let key = scope.broker.consume_replies(scope.subject, self.key, &name, tag.clone());
        self.consumers.insert(tag.clone(), key);
        self.reply_to = Some(name);
        if !consume.nowait {
            let ok = basic::ConsumeOk { consumer_tag: tag.as_bytes() };
            scope.out.send(&Method::BasicConsumeOk(ok));
        }
        Ok(())
    }

    pub(super) fn basic_cancel(
        &mut self,
        scope: &mut Scope<'_>,
        cancel: &basic::Cancel<'_>,
    ) -> Result<(), AmqpError> {
        let broker = &mut *scope.broker;
        if let Some(consumer) = self.consumers.remove(cancel.consumer_tag) {
            if is_reply_consumer(broker, consumer) {
                self.reply_to = None;
            }
            broker.end_consumer(consumer);
        }
        if !cancel.nowait {
            let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag };
            scope.out.send(&Method::BasicCancelOk(ok));
        }
        Ok(())
    }

    pub(super) fn basic_get(
        &mut self,
        scope: &mut Scope<'_>,
        get: &basic::Get<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(get.queue)?;
        let Scope { broker, subject, out, .. } = scope;
        broker.users().check_queue_access(subject, Access::Read, name.as_bytes())?;
        let queue = broker.usable_queue(subject, name.as_bytes())?;
        broker.refuse_on_stream(queue, "basic.get")?;
        let Some(got) = broker.get(queue, self.key, get.no_ack) else {
            out.send(&Method::BasicGetEmpty(basic::GetEmpty {}));
            self.count(broker, Happening::GetEmpty);
            return Ok(());
        };
        if broker.is_traced(subject.vhost) {
            let connection = scope.ends.to_string();
            let (channel, user) = (out.number, subject.user.as_bytes());
            let passage = Passage { connection: &connection, channel, user };
            broker.trace_delivered(queue, got.unsettled.entry, got.before, &passage);
        }
        let delivery_tag =
            if get.no_ack { self.unacked.tag_settled() } else { self.unacked.keep(got.unsettled) };
        out.notes.note_ack_due(got.unsettled.due_ms);
        let at = got.unsettled.entry.at;
        let record = broker.record(at);
        let added = got.counted.then_some(Added::Deliveries(got.before));
        let get_ok = basic::GetOk {
            delivery_tag,
            redelivered: got.before > 0,
            exchange: record.exchange(),
            routing_key: record.routing_key(),
            message_count: got.left,
        };
        out.send(&Method::BasicGetOk(get_ok));
        out.send_content(broker, at, &record, added);
        if get.no_ack {
            broker.settle_sent(&got.unsettled);
        }
        self.count(broker, if get.no_ack { Happening::GetNoAck } else { Happening::Get });
        if got.before > 0 {
            self.count(broker, Happening::Redeliver);
        }
        Ok(())
    }
}

/// Whether a consumer gets a channel's direct replies.
fn is_reply_consumer(broker: &Broker, consumer: ConsumerKey) -> bool {
    let queues = broker.queues();
    let queue = queues.consumer(consumer).and_then(|consumer| queues.get(consumer.queue));
    queue.is_some_and(|queue| queue.is_reply_queue)
}
