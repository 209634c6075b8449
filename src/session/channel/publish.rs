//! How does a published message reach the broker?
//!
//! First come the checks in RabbitMQ's order (`rabbit_channel`, basic.publish), then routing, and
//! storing.

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, Name, Properties, PropertyList, ReplyCode, Value, encoder};
use crate::broker::blind;
use crate::broker::death::sender_keys;
use crate::broker::deduplication::Sighting;
use crate::broker::delayed::Delay;
use crate::broker::publish::{PERSISTENT, Published};
use crate::broker::reply::REPLY_TO;
use crate::broker::routing::Reuse;
use crate::broker::{
    Access, AppendError, Body, Broker, Handed, LargeBody, Message, Passing, Subject,
};

use super::content::{CLASS_BASIC, METHOD_PUBLISH};
use super::scope::{Out, Scope};
use super::{Channel, Mode};

/// A message with everything that came with it.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub(super) publish: basic::Publish<'a>,
    pub(super) properties: &'a [u8],
    pub(super) body: Body<'a>,
}

impl<'a> Arrived<'a> {
    /// The message as it may go on unstored; `None` while its body lies in the log.
    fn passing(&self) -> Option<Passing<'a>> {
        let Body::Inline(body) = self.body else {
            return None;
        };
        let basic::Publish { exchange, routing_key, .. } = self.publish;
        Some(Passing { exchange, routing_key, properties: self.properties, body })
    }
}

/// The longest time to live in milliseconds.
const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

impl Channel {
    /// Checks, routes and stores a complete message, or leaves it in `handed` where that is lent.
    /// `false`: the log has no room for it, and nothing was done.
    pub(super) fn publish<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        arrived: Arrived<'a>,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        self.publish_checked(scope, arrived, handed).map_err(at_publish)
    }

    fn publish_checked<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        arrived: Arrived<'a>,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        let Scope { broker, subject, message_bytes_max, out } = scope;
        let Arrived { publish, properties, body } = arrived;
        if let Body::Inline(body) = body {
            check_size(*message_bytes_max, body.len() as u64)?;
        }
        let list = Properties::new(properties).list()?;
        let resolved = resolve(broker, subject, self, &publish, &list)?;
        let sighting = match list.headers {
            Some(_) => broker.look_for_name(subject.vhost, publish.exchange, &list),
            None => Sighting::Nameless,
        };
        let repeated = matches!(sighting, Sighting::Repeated);
        if repeated {
            self.route.fresh().clear();
        }
        let message = Message {
            exchange: publish.exchange,
            routing_key: publish.routing_key,
            properties: resolved.properties.as_deref().unwrap_or(properties),
            body,
            persistent: list.delivery_mode == Some(PERSISTENT),
            priority: list.priority.unwrap_or(0),
            ttl_ms: list.expiration.map(parse_expiration).transpose()?,
            delay: resolved.delay,
            name: sighting.new_name(),
        };
        let queues = self.route.queues();
        if let Mode::Transaction(transaction) = &mut self.mode {
            return transaction.note(&message, queues, publish.mandatory).map(|()| true);
        }
        let unroutable = resolved.delay.is_none() && broker.is_unroutable(queues);
        if publish.mandatory && unroutable {
            out.send_return(broker, &message);
            out.notes.returned = true;
        }
        let passes = resolved.properties.is_none() && !blind::is_blind(properties);
        let passing = arrived.passing().filter(|_| passes);
        let is_handed = handed.zip(passing).is_some_and(|(handed, passing)| {
            message.may_pass()
                && !broker.needs_durability(queues, message.persistent)
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
        self.note_published(out, published);
        Ok(true)
    }

    /// A channel that confirms will, or says no at once.
    fn note_published(&mut self, out: &mut Out<'_>, published: Published) {
        if let Mode::Confirm(confirms) = &mut self.mode {
            match confirms.note(published) {
                Some(delivery_tag) => {
                    let nack = basic::Nack { delivery_tag, multiple: false, requeue: false };
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
            Mode::Transaction(transaction) => transaction.large.push(body),
            Mode::Plain | Mode::Confirm(_) => broker.store.abandon(body),
        }
    }
}

/// 406 above the largest body.
pub(super) fn check_size(limit: u64, body_bytes: u64) -> Result<(), AmqpError> {
    if body_bytes > limit {
        let text = format!("message size {body_bytes} is larger than configured max size {limit}");
        let error = AmqpError::channel(ReplyCode::PreconditionFailed, text);
        return Err(at_publish(error));
    }
    Ok(())
}

/// What routing found besides the queues.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The property bytes to store, where they are not those that came.
    properties: Option<Vec<u8>>,
    /// The exchange holds the message back.
    pub(super) delay: Option<Delay>,
}

/// Leaves the queues of a message in the channel's `route`, after the checks in RabbitMQ's
/// order.
pub(super) fn resolve(
    broker: &mut Broker,
    subject: &Subject,
    channel: &mut Channel,
    publish: &basic::Publish<'_>,
    properties: &PropertyList<'_>,
) -> Result<Resolved, AmqpError> {
    let route = &mut channel.route;
    let version = broker.topology_version();
    let plain = properties.headers.is_none()
        && properties.expiration.is_none()
        && properties.user_id.is_none()
        && properties.reply_to.is_none();
    let known = route.find(version, publish.exchange, publish.routing_key);
    if known && plain {
        return Ok(Resolved::default());
    }
    broker.check_exchange_access(subject, Access::Write, publish.exchange)?;
    let exchange = broker.existing_exchange(subject.vhost, publish.exchange)?;
    broker.check_not_internal(exchange)?;
    let reply_to = reply_address(properties, channel.reply_to.as_ref())?;
    properties.expiration.map(parse_expiration).transpose()?;
    let copies = check_copies(properties)?;
    for key in sender_keys(publish.routing_key, properties.headers) {
        broker.check_topic_access(subject, Access::Write, exchange, key)?;
    }
    if let Some(claimed) = properties.user_id
        && claimed != subject.user.as_bytes()
        && !broker.may_impersonate(&subject.user)
    {
        return Err(broker.wrong_user_id(subject, claimed));
    }
    let delay = broker.delay_of(exchange, properties);
    if delay.is_some() {
        route.fresh().clear();
    } else if copies == Copies::None {
        if !known {
            let queues = route.fresh();
            match broker.route(exchange, publish.routing_key, properties, queues) {
                Reuse::WhileTopologyStands => route.note(publish.exchange, publish.routing_key),
                Reuse::Never => {}
            }
        }
    } else {
        broker.route_all(exchange, publish.routing_key, properties, route.fresh());
    }
    if reply_to.is_none() && copies != Copies::Blind {
        return Ok(Resolved { properties: None, delay });
    }
    let reply_to = reply_to.or(properties.reply_to);
    let bytes = blind::stored(&PropertyList { reply_to, ..*properties });
    Ok(Resolved { properties: Some(bytes), delay })
}

/// The name that stands in for `amq.rabbitmq.reply-to`; 406 on a channel that does not consume
/// from it.
fn reply_address<'a>(
    properties: &PropertyList<'_>,
    own: Option<&'a Name>,
) -> Result<Option<&'a [u8]>, AmqpError> {
    if properties.reply_to != Some(REPLY_TO) {
        return Ok(None);
    }
    own.map(|own| Some(own.as_bytes())).ok_or_else(|| {
        let text = "fast reply consumer does not exist";
        AmqpError::channel(ReplyCode::PreconditionFailed, text)
    })
}

/// Which additional routing keys a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    None,
    Open,
    /// With a header BCC, which nobody may see.
    Blind,
}

/// The headers CC and BCC; 406, in RabbitMQ's words, unless they are arrays. What is no string in
/// them is no key.
fn check_copies(properties: &PropertyList<'_>) -> Result<Copies, AmqpError> {
    let mut copies = Copies::None;
    let Some(headers) = properties.headers else {
        return Ok(copies);
    };
    for (name, kind) in [("CC", Copies::Open), ("BCC", Copies::Blind)] {
        match headers.find(name.as_bytes()) {
            None => {}
            Some(Value::Array(_)) => copies = kind,
            Some(other) => {
                let other = other.type_name();
                let text =
                    format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{other}}}");
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
    }
    Ok(copies)
}

/// A message's time to live in milliseconds; 406 with RabbitMQ's reasons, which are Erlang's.
fn parse_expiration(expiration: &[u8]) -> Result<u64, AmqpError> {
    let (negative, unsigned) = match expiration.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, expiration),
    };
    let end = unsigned.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    let digits = Name::from(digits).to_string();
    let number = digits.trim_start_matches('0');
    let why = if digits.is_empty() {
        "no_integer".to_owned()
    } else if !rest.is_empty() {
        format!("{{leftover_string,\"{}\"}}", Name::from(rest))
    } else if number.is_empty() {
        return Ok(0);
    } else if negative {
        format!("{{value_negative,-{number}}}")
    } else {
        match number.parse() {
            Ok(ttl_ms) if ttl_ms <= EXPIRATION_MS_MAX => return Ok(ttl_ms),
            Ok(_) | Err(_) => format!("{{value_too_large,{number}}}"),
        }
    };
    let text = format!("invalid expiration '{}': {why}", Name::from(expiration));
    Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
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
