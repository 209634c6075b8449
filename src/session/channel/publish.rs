//! How does a published message reach the broker?
//!
//! Contents are taken whole where they lie whole; then come the checks in RabbitMQ's order
//! (`rabbit_channel`, basic.publish), routing, and storing.

use crate::amqp::method::basic;
use crate::amqp::{
    AmqpError, Frame, FrameKind, Method, Name, Properties, PropertyList, ReplyCode, Value, encoder,
};
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

use super::content::{
    self, CLASS_BASIC, Content, Growing, GrowingBody, LARGE_BYTES_MIN, METHOD_PUBLISH, Started,
};
use super::{Channel, ChannelState, Mode};
use crate::session::{Progress, Session, tolerated};

/// A message with everything that came with it.
#[derive(Clone, Copy)]
struct Arrived<'a> {
    publish: basic::Publish<'a>,
    properties: &'a [u8],
    body: Body<'a>,
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

/// Class and method of `basic.publish`, as a frame's payload begins with them.
const PUBLISH_IDS: [u8; 4] = [0, 60, 0, 40];

/// Class and method of `tx.commit`.
const COMMIT_IDS: [u8; 4] = [0, 90, 0, 20];

/// The longest time to live in milliseconds.
const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

impl Session {
    /// `basic.publish`; how many bytes of `rest` its content took, when all of it is there. `None`:
    /// the log has no room for it.
    pub(in crate::session) fn begin_publish<'a>(
        &mut self,
        broker: &mut Broker,
        number: u16,
        publish: &basic::Publish<'a>,
        rest: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> Result<Progress, AmqpError> {
        if publish.immediate {
            let text = "immediate=true";
            return Err(at_publish(AmqpError::connection(ReplyCode::NotImplemented, text)));
        }
        let Some(whole) = content::take_whole(rest, number, tolerated(self.frame_bytes_max))?
        else {
            let started = Box::new(Started::new(publish));
            self.channel_at(number).content = Content::Header(started);
            return Ok(Progress::Took(0));
        };
        let arrived = Arrived {
            publish: *publish,
            properties: whole.header.properties.as_bytes(),
            body: Body::Inline(whole.body),
        };
        let is_taken = self.publish(broker, number, arrived, Some(handed))?;
        Ok(if is_taken { Progress::Took(whole.consumed) } else { Progress::NoRoom })
    }

    /// What needs room in the log is not taken while there is none, and from then on the
    /// connection is not even read. Whatever came before it is taken: acks make room.
    pub(in crate::session) fn must_wait_for_room(
        &mut self,
        broker: &mut Broker,
        frame: &Frame<'_>,
    ) -> bool {
        let needs_room = match frame.kind {
            FrameKind::Method => {
                frame.payload.starts_with(&PUBLISH_IDS) || frame.payload.starts_with(&COMMIT_IDS)
            }
            FrameKind::Header | FrameKind::Body => true,
            FrameKind::Heartbeat => false,
        };
        // On a channel that is closing or closed it is discarded or refused.
        let is_taken = |channels: &[Option<ChannelState>]| {
            let state = channels.get(usize::from(frame.channel)).and_then(Option::as_ref);
            matches!(state, Some(ChannelState::Open(_)))
        };
        if !needs_room || !is_taken(&self.channels) {
            return false;
        }
        self.awaits_room = !broker.has_room();
        if frame.kind == FrameKind::Method && frame.payload.starts_with(&COMMIT_IDS) {
            let (durable, bytes) = self.transaction_room(broker, frame.channel);
            self.awaits_room |= !broker.has_room_for(durable, bytes);
        }
        self.awaits_room
    }

    /// A content's header; `false`: it completes a message that the log has no room for.
    pub(in crate::session) fn content_header(
        &mut self,
        broker: &mut Broker,
        frame: &Frame<'_>,
    ) -> Result<bool, AmqpError> {
        let channel = self.channel_at(frame.channel);
        let started = match std::mem::take(&mut channel.content) {
            Content::Header(started) => started,
            Content::None => {
                return Err(content::expected_method());
            }
            Content::Body(growing) => {
                drop_body(broker, growing.body);
                return Err(content::expected_body());
            }
        };
        let header = content::parse_header(frame.payload)?;
        let properties = header.properties.as_bytes();
        if header.body_bytes == 0 {
            let body = Body::Inline(&[]);
            let publish = started.publish();
            let arrived = Arrived { publish, properties, body };
            let is_taken = self.publish(broker, frame.channel, arrived, None)?;
            if !is_taken {
                self.channel_at(frame.channel).content = Content::Header(started);
            }
            return Ok(is_taken);
        }
        self.check_size(header.body_bytes)?;
        let body = if header.body_bytes < LARGE_BYTES_MIN {
            let bytes = usize::try_from(header.body_bytes).expect("small");
            GrowingBody::Inline(Vec::with_capacity(bytes))
        } else {
            let durable = self.belongs_on_disk(broker, frame.channel, &started, properties)?;
            GrowingBody::Large(broker.store.begin_body(durable, header.body_bytes))
        };
        self.channel_at(frame.channel).content = Content::Body(Box::new(Growing {
            started: *started,
            properties: properties.to_vec(),
            body_bytes: header.body_bytes,
            body,
        }));
        Ok(true)
    }

    /// A part of a content's body; `false`: it completes a message that the log has no room for.
    /// The last part then comes again, and is known already.
    pub(in crate::session) fn content_body(
        &mut self,
        broker: &mut Broker,
        frame: &Frame<'_>,
    ) -> Result<bool, AmqpError> {
        let channel = self.channel_at(frame.channel);
        let mut growing = match std::mem::take(&mut channel.content) {
            Content::Body(growing) => growing,
            Content::Header(_) => {
                return Err(content::expected_header());
            }
            Content::None => {
                return Err(content::expected_method());
            }
        };
        let is_known = growing.body.len() == growing.body_bytes;
        let part = if is_known { &[] } else { frame.payload };
        if growing.body.len() + part.len() as u64 > growing.body_bytes {
            drop_body(broker, growing.body);
            return Err(content::body_too_long());
        }
        match &mut growing.body {
            GrowingBody::Inline(body) => body.extend_from_slice(part),
            GrowingBody::Large(body) => broker.store.add_to_body(body, part),
        }
        if growing.body.len() < growing.body_bytes {
            self.channel_at(frame.channel).content = Content::Body(growing);
            return Ok(true);
        }
        self.finish_content(broker, frame.channel, growing)
    }

    /// Publishes what is complete; keeps it where the log has no room.
    fn finish_content(
        &mut self,
        broker: &mut Broker,
        number: u16,
        growing: Box<Growing>,
    ) -> Result<bool, AmqpError> {
        let body = match &growing.body {
            GrowingBody::Inline(bytes) => Body::Inline(bytes),
            GrowingBody::Large(large) => Body::Large(large),
        };
        let publish = growing.started.publish();
        let arrived = Arrived { publish, properties: &growing.properties, body };
        let outcome = self.publish(broker, number, arrived, None);
        if matches!(outcome, Ok(false)) {
            self.channel_at(number).content = Content::Body(growing);
        } else if let GrowingBody::Large(large) = growing.body {
            self.give_up_large(broker, number, large);
        }
        outcome
    }

    /// Where a large body belongs: in the durable log or in the transient ring.
    fn belongs_on_disk(
        &mut self,
        broker: &mut Broker,
        number: u16,
        started: &Started,
        properties: &[u8],
    ) -> Result<bool, AmqpError> {
        let (subject, channel) = self.parts(number);
        let list = Properties::new(properties).list().map_err(at_publish)?;
        let resolved = resolve(broker, subject, channel, &started.publish(), &list);
        let held = resolved.map_err(at_publish)?.delay.is_some();
        let persistent = list.delivery_mode == Some(PERSISTENT);
        let durable = broker.needs_durability(channel.route.queues(), persistent);
        Ok(durable || (held && persistent))
    }

    /// Checks, routes and stores a complete message, or leaves it in `handed` where that is lent.
    /// `false`: the log has no room for it, and nothing was done.
    fn publish<'a>(
        &mut self,
        broker: &mut Broker,
        number: u16,
        arrived: Arrived<'a>,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        let outcome = self.publish_checked(broker, number, arrived, handed);
        outcome.map_err(at_publish)
    }

    fn publish_checked<'a>(
        &mut self,
        broker: &mut Broker,
        number: u16,
        arrived: Arrived<'a>,
        handed: Option<&mut Vec<Handed<'a>>>,
    ) -> Result<bool, AmqpError> {
        let Arrived { publish, properties, body } = arrived;
        if let Body::Inline(body) = body {
            self.check_size(body.len() as u64)?;
        }
        let list = Properties::new(properties).list()?;
        let (subject, channel) = self.parts(number);
        let resolved = resolve(broker, subject, channel, &publish, &list)?;
        let sighting = match list.headers {
            Some(_) => broker.look_for_name(subject.vhost, publish.exchange, &list),
            None => Sighting::Nameless,
        };
        let repeated = matches!(sighting, Sighting::Repeated);
        if repeated {
            channel.route.fresh().clear();
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
        if let Mode::Transaction(transaction) = &mut channel.mode {
            let queues = channel.route.queues();
            return transaction.note(&message, queues, publish.mandatory).map(|()| true);
        }
        let unroutable = resolved.delay.is_none() && broker.is_unroutable(channel.route.queues());
        if publish.mandatory && unroutable {
            self.send_return(broker, number, &message);
            self.note_outbox(broker);
        }
        let from = self.key;
        let channel = self.channel_at(number);
        let queues = channel.route.queues();
        let passes = resolved.properties.is_none() && !blind::is_blind(properties);
        let passing = arrived.passing().filter(|_| passes);
        let is_handed = handed.zip(passing).is_some_and(|(handed, passing)| {
            message.may_pass()
                && !broker.needs_durability(queues, message.persistent)
                && broker.hand_over(from, queues, passing, handed)
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
        self.note_published(number, published);
        Ok(true)
    }

    /// A channel that confirms will, or says no at once.
    fn note_published(&mut self, number: u16, published: Published) {
        if let Mode::Confirm(confirms) = &mut self.channel_at(number).mode {
            match confirms.note(published) {
                Some(delivery_tag) => {
                    let nack = basic::Nack { delivery_tag, multiple: false, requeue: false };
                    encoder::method_frame(self.outbox.buffer(), number, &nack);
                }
                None => self.confirming = true,
            }
        }
    }

    /// A large body was published: a transaction keeps it until it ends, else the record
    /// alone does from now on.
    fn give_up_large(&mut self, broker: &mut Broker, number: u16, body: LargeBody) {
        if let Some(Some(ChannelState::Open(channel))) = self.channels.get_mut(usize::from(number))
            && let Mode::Transaction(transaction) = &mut channel.mode
        {
            return transaction.large.push(body);
        }
        broker.store.abandon(body);
    }

    /// `basic.return` with the whole message (312 NO_ROUTE).
    pub(in crate::session) fn send_return(
        &mut self,
        broker: &Broker,
        number: u16,
        message: &Message<'_>,
    ) {
        let method = basic::Return {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: ReplyCode::NoRoute.name().as_bytes(),
            exchange: message.exchange,
            routing_key: message.routing_key,
        };
        let frame_bytes_max = self.frame_bytes_max;
        let copied: Vec<u8>;
        let body = match message.body {
            Body::Inline(body) => body,
            Body::Large(body) => {
                copied = broker.store.large_body(body).flatten().copied().collect();
                &copied
            }
            Body::Of(at) => {
                copied = broker.store.record(at).body_to_vec();
                &copied
            }
        };
        let visible =
            blind::is_blind(message.properties).then(|| blind::visible(message.properties));
        let properties = visible.as_deref().unwrap_or(message.properties);
        let out = self.outbox.buffer();
        encoder::method_frame(out, number, &Method::BasicReturn(method));
        encoder::content(out, number, properties, body, frame_bytes_max);
    }

    fn check_size(&self, body_bytes: u64) -> Result<(), AmqpError> {
        let limit = self.limits.message_bytes_max;
        if body_bytes > limit {
            let text =
                format!("message size {body_bytes} is larger than configured max size {limit}");
            let error = AmqpError::channel(ReplyCode::PreconditionFailed, text);
            return Err(at_publish(error));
        }
        Ok(())
    }
}

/// What routing found besides the queues.
#[derive(Debug, Default)]
struct Resolved {
    /// The property bytes to store, where they are not those that came.
    properties: Option<Vec<u8>>,
    /// The exchange holds the message back.
    delay: Option<Delay>,
}

/// Leaves the queues of a message in the channel's `route`, after the checks in RabbitMQ's
/// order.
fn resolve(
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
pub(in crate::session) fn no_room(error: AppendError) -> AmqpError {
    let text = match error {
        AppendError::Full => "no disk space is left for the message",
        AppendError::TooLarge => "the message is too large for the message log",
    };
    AmqpError::channel(ReplyCode::ResourceError, text)
}

fn drop_body(broker: &mut Broker, body: GrowingBody) {
    if let GrowingBody::Large(body) = body {
        broker.store.abandon(body);
    }
}

fn at_publish(error: AmqpError) -> AmqpError {
    if error.class_id == 0 { error.at(CLASS_BASIC, METHOD_PUBLISH) } else { error }
}
