//! How does a published message reach the broker?
//!
//! First come the checks (`broker::requests::checks`), then routing, and storing.

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, Properties, PropertyList, ReplyCode, encoder};
use crate::broker::counters::Happening;
use crate::broker::flow::blind;
use crate::broker::flow::deduplication::Sighting;
use crate::broker::flow::message::{Delay, PERSISTENT, Published};
use crate::broker::flow::transaction::TRANSACTION_BYTES_MAX;
use crate::broker::requests::checks::{Checked, Copies, check, check_size, is_plain};
use crate::broker::topology::routing::Reuse;
use crate::broker::{AppendError, Body, Broker, Content, Handed, LargeBody, Message, Subject};

use super::arriving::{CLASS_BASIC, METHOD_PUBLISH};
use super::scope::{Out, Scope};
use super::{Channel, Mode};

impl Channel {
    /// Checks, routes and stores a complete message, or leaves it in `handed` where that is lent.
    /// `false`: the log has no room for it, and nothing was done.
    pub(super) fn publish<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        content: Content<'a>,
        mandatory: bool,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        self.publish_checked(scope, content, mandatory, handed).map_err(at_publish)
    }

    fn publish_checked<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        content: Content<'a>,
        mandatory: bool,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        if let Body::Inline(body) = content.body {
            check_size(body.len() as u64, scope.message_bytes_max)?;
        }
        let is_traced = scope.broker.is_traced(scope.subject.vhost);
        let Scope { broker, subject, .. } = scope;
        let list = Properties::new(content.properties).list()?;
        let resolved = self.resolve(broker, subject, &content, &list)?;
        self.note_publisher(broker);
        let sighting = match list.headers {
            Some(_) => broker.look_for_dedup_key(subject.vhost, content.exchange, &list),
            None => Sighting::Keyless,
        };
        let repeated = matches!(sighting, Sighting::Repeated);
        if repeated {
            self.route.drop_queues();
        }
        let properties = resolved.properties.as_deref().unwrap_or(content.properties);
        let message = Message {
            content: Content { properties, ..content },
            persistent: list.delivery_mode == Some(PERSISTENT),
            priority: list.priority.unwrap_or(0),
            ttl_ms: resolved.ttl_ms,
            delay: resolved.delay,
            dedup_key: sighting.new_key(),
        };
        if let Mode::Transaction(_) = self.mode {
            self.add_to_transaction(scope, &message, mandatory)?;
            return Ok(true);
        }
        let Scope { broker, subject, out, .. } = scope;
        let queues = self.route.queues();
        let unroutable = resolved.delay.is_none() && broker.queues().are_no_destination(queues);
        if mandatory && unroutable {
            out.send_return(broker, &message.content);
        }
        let is_as_it_came = resolved.properties.is_none() && !blind::is_blind(content.properties);
        // What is handed over is in no queue, and only from a queue a delivery is traced.
        let passes = is_as_it_came && !is_traced && message.may_pass();
        let passing = content.in_memory().filter(|_| passes);
        let is_handed = handed.zip(passing).is_some_and(|(handed, passing)| {
            !broker.queues().need_durability(queues, message.persistent)
                && broker.hand_over(subject.connection, queues, passing, handed)
        });
        let published = if repeated && message.persistent {
            broker.repeated()
        } else if is_handed {
            Published::Done
        } else {
            match broker.enqueue(queues, &message) {
                Ok(published) => published,
                Err(AppendError::Full) => return Ok(false),
                Err(error @ AppendError::TooLarge) => return Err(no_room(error)),
            }
        };
        self.count_published(broker);
        broker.count_size(&content.body);
        self.count_unroutable(broker, lost(mandatory), u64::from(unroutable));
        self.note_published(out, published);
        if is_traced {
            scope.trace_published(&message.content, self.route.queues());
        }
        Ok(true)
    }

    /// Leaves a message in the channel's transaction.
    fn add_to_transaction(
        &mut self,
        scope: &mut Scope<'_>,
        message: &Message<'_>,
        mandatory: bool,
    ) -> Result<(), AmqpError> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Ok(());
        };
        if !transaction.add(scope.broker, message, self.route.queues(), mandatory) {
            let text = format!("a transaction may take at most {TRANSACTION_BYTES_MAX} bytes");
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        self.count_added(scope.broker, &message.content.body);
        if scope.broker.is_traced(scope.subject.vhost) {
            scope.trace_published(&message.content, self.route.queues());
        }
        Ok(())
    }

    /// The channel publishes.
    fn note_publisher(&mut self, broker: &mut Broker) {
        if !std::mem::replace(&mut self.publishes, true) {
            broker.queues_mut().note_publisher(self.key);
        }
    }

    /// A message of a transaction comes to its exchange, before it commits.
    fn count_added(&self, broker: &mut Broker, body: &Body<'_>) {
        broker.count_size(body);
        if let (Some(exchange), queues) = self.route.exchange_and_queues() {
            broker.count_routed(exchange, 1, queues as u64);
        }
    }

    /// No queue takes so many messages of this channel.
    #[inline]
    pub(super) fn count_unroutable(&mut self, broker: &mut Broker, what: Happening, times: u64) {
        if times > 0 {
            broker.counters.note_many(what, times);
            self.count_many(broker, what, times);
        }
    }

    /// Leaves the queues of a message in the channel's `route`, after the checks.
    pub(super) fn resolve<B>(
        &mut self,
        broker: &mut Broker,
        subject: &Subject,
        content: &Content<'_, B>,
        properties: &PropertyList<'_>,
    ) -> Result<Resolved, AmqpError> {
        let route = &mut self.route;
        let version = broker.topology().version();
        let known = route.find(version, content.exchange, content.routing_key);
        if known && is_plain(properties) {
            return Ok(Resolved::default());
        }
        let checked = check(broker, subject, content, properties, self.reply_to.as_ref())?;
        let Checked { exchange, reply_to, ttl_ms, copies } = checked;
        let delay = broker.delay_of(exchange, properties);
        if delay.is_some() {
            route.fresh_from(exchange).clear();
        } else if copies == Copies::None {
            if !known {
                let queues = route.fresh_from(exchange);
                match broker.route(exchange, content.routing_key, properties, queues) {
                    Reuse::WhileTopologyStands => route.note(content.exchange, content.routing_key),
                    Reuse::Never => {}
                }
            }
        } else {
            broker.route_all(exchange, content.routing_key, properties, route.fresh_from(exchange));
        }
        if reply_to.is_none() && copies != Copies::Blind {
            return Ok(Resolved { properties: None, ttl_ms, delay });
        }
        let reply_to = reply_to.or(properties.reply_to);
        let bytes = blind::stored(&PropertyList { reply_to, ..*properties });
        Ok(Resolved { properties: Some(bytes), ttl_ms, delay })
    }

    /// A channel that confirms will, or says no at once.
    fn note_published(&mut self, out: &mut Out<'_>, published: Published) {
        if let Mode::Confirm(confirms) = &mut self.mode {
            match confirms.note(published) {
                Some(delivery_tag) => {
                    // As RabbitMQ sends it; the flag means nothing here.
                    let nack = basic::Nack { delivery_tag, multiple: false, requeue: true };
                    encoder::method_frame(out.outbox.buffer(), out.number, &nack);
                }
                None => out.notes.confirming = true,
            }
        }
    }

    /// A large body was published: a transaction keeps it until it ends, else the record
    /// alone does from now on.
    pub(super) fn give_up_large(&mut self, broker: &mut Broker, body: LargeBody) {
        match &mut self.mode {
            Mode::Transaction(transaction) => transaction.add_body(body),
            Mode::Plain | Mode::Confirm(_) => broker.abandon_body(body),
        }
    }
}

/// What routing found besides the queues.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The property bytes to store, where they are not those that came.
    properties: Option<Vec<u8>>,
    /// Its own time to live in milliseconds.
    ttl_ms: Option<u64>,
    /// The exchange delays the message.
    pub(super) delay: Option<Delay>,
}

/// What becomes of a message that no queue takes.
fn lost(mandatory: bool) -> Happening {
    if mandatory { Happening::ReturnUnroutable } else { Happening::DropUnroutable }
}

/// 506: the log takes no more.
pub(super) fn no_room(error: AppendError) -> AmqpError {
    let text = match error {
        AppendError::Full => "no disk space is left for the message",
        AppendError::TooLarge => "the message is too large for the message log",
    };
    AmqpError::channel(ReplyCode::ResourceError, text)
}

pub(super) fn at_publish(error: AmqpError) -> AmqpError {
    if error.class_id == 0 { error.at(CLASS_BASIC, METHOD_PUBLISH) } else { error }
}
