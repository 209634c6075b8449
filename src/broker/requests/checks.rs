//! May a message be published? The checks of a basic.publish in RabbitMQ's order
//! (`rabbit_channel`): the first that fails is the answer.

use crate::amqp::{AmqpError, Name, PropertyList, ReplyCode, Value};
use crate::broker::key::ExchangeKey;
use crate::broker::requests::reply::REPLY_TO;
use crate::broker::topology::sender_keys::sender_keys;
use crate::broker::{Access, Broker, Content, Subject};

/// What is known of a message that may be published.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The exchange that it goes to.
    pub exchange: ExchangeKey,
    /// The name that stands in for `amq.rabbitmq.reply-to`.
    pub reply_to: Option<&'a [u8]>,
    /// Its time to live in milliseconds.
    pub ttl_ms: Option<u64>,
    /// The keys that it is routed by beside its own.
    pub copies: Copies,
}

/// Which additional routing keys a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// None.
    None,
    /// Those that everybody sees.
    Open,
    /// With a header BCC, which nobody may see.
    Blind,
}

/// The longest time to live in milliseconds.
const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

/// All checks but that of the size ([`check_size`]), which comes first: with the content's header.
pub fn check<'a, B>(
    broker: &Broker,
    subject: &Subject,
    content: &Content<'_, B>,
    properties: &PropertyList<'_>,
    own_reply_to: Option<&'a Name>,
) -> Result<Checked<'a>, AmqpError> {
    let users = broker.users();
    users.check_exchange_access(subject, Access::Write, content.exchange)?;
    let exchange = broker.topology().existing_exchange(subject.vhost, content.exchange)?;
    broker.topology().check_not_internal(exchange)?;
    if let Some(exchange) = broker.topology().exchange(exchange) {
        for key in sender_keys(content.routing_key, properties.headers) {
            users.check_topic_access(subject, Access::Write, exchange, key)?;
        }
    }
    let reply_to = check_reply_to(properties, own_reply_to)?;
    properties.user_id.map(|claimed| users.check_user_id(subject, claimed)).transpose()?;
    let ttl_ms = properties.expiration.map(check_expiration).transpose()?;
    let copies = check_copies(properties)?;
    Ok(Checked { exchange, reply_to, ttl_ms, copies })
}

/// Whether its exchange and routing key say all about a message that [`check`] and routing ask.
#[inline]
pub fn is_plain(properties: &PropertyList<'_>) -> bool {
    properties.headers.is_none()
        && properties.expiration.is_none()
        && properties.user_id.is_none()
        && properties.reply_to.is_none()
}

/// 406 above the largest body.
#[inline]
pub fn check_size(body_bytes: u64, limit: u64) -> Result<(), AmqpError> {
    if body_bytes <= limit {
        return Ok(());
    }
    let text = format!("message size {body_bytes} is larger than configured max size {limit}");
    Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
}

/// The name that stands in for `amq.rabbitmq.reply-to`; 406 on a channel that does not consume
/// from it.
fn check_reply_to<'a>(
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

/// A message's time to live in milliseconds; 406 with RabbitMQ's reasons, which are Erlang's.
fn check_expiration(expiration: &[u8]) -> Result<u64, AmqpError> {
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
