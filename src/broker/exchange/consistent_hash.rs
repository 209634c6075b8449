//! Which one of its destinations does a consistent-hash exchange send a message to?
//!
//! The binding key is a weight; messages with the same hash key go to the same destination, and
//! when a binding comes or goes only the messages move that must. Each destination draws a number
//! from (hash key, its own name), scaled by its weight, and the best one wins (rendezvous hashing):
//! shares are exact for any weights, nothing is kept per unit of weight, and the choice depends on
//! names alone, so it is the same after a restart. A choice takes time proportional to the number
//! of destinations. Imports `amqp`.

use crate::amqp::{AmqpError, PropertyList, ReplyCode, Table, Value};
use crate::broker::exchange::binding::Destination;
use crate::broker::hashing::{mix, stable_hash};
use crate::broker::term::binary;

/// The bindings of a consistent-hash exchange.
#[derive(Debug)]
pub struct ConsistentHashMatcher {
    hash_on: HashOn,
    buckets: Vec<Bucket>,
}

/// What a message is hashed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The routing key.
    RoutingKey,
    /// The value of this header (`hash-header`).
    Header(Box<[u8]>),
    /// The property correlation_id (`hash-property`).
    CorrelationId,
    /// The property message_id (`hash-property`).
    MessageId,
    /// The property timestamp (`hash-property`).
    Timestamp,
}

impl HashOn {
    /// What the exchange's arguments `hash-header` and `hash-property` ask for.
    ///
    /// # Errors
    /// 406 when both are given, or a property that cannot be hashed.
    pub fn of(arguments: Table<'_>) -> Result<Self, AmqpError> {
        let header = arguments.find(b"hash-header");
        let property = arguments.find(b"hash-property");
        match (header, property) {
            (None, None) => Ok(Self::RoutingKey),
            (Some(_), Some(_)) => {
                refuse("hash-header and hash-property are mutually exclusive".to_owned())
            }
            (Some(header), None) => match header.text() {
                Some(name) => Ok(Self::Header(name.into())),
                None => refuse(format!("Unsupported type of hash-header: {}", header.type_name())),
            },
            (None, Some(property)) => match property.text().unwrap_or_default() {
                b"correlation_id" => Ok(Self::CorrelationId),
                b"message_id" => Ok(Self::MessageId),
                b"timestamp" => Ok(Self::Timestamp),
                other => {
                    let other = String::from_utf8_lossy(other);
                    refuse(format!("Unsupported property: {other}"))
                }
            },
        }
    }

    /// The hash key; messages without the header or property all have the same.
    fn hash(&self, routing_key: &[u8], properties: &PropertyList<'_>) -> u64 {
        match self {
            Self::RoutingKey => stable_hash(routing_key),
            Self::Header(name) => {
                let headers = properties.headers.unwrap_or(Table::EMPTY);
                headers.find(name).map_or(0, value_hash)
            }
            Self::CorrelationId => stable_hash(properties.correlation_id.unwrap_or_default()),
            Self::MessageId => stable_hash(properties.message_id.unwrap_or_default()),
            Self::Timestamp => mix(properties.timestamp.unwrap_or_default()),
        }
    }
}

impl ConsistentHashMatcher {
    /// A matcher without bindings.
    pub fn new(hash_on: HashOn) -> Self {
        Self { hash_on, buckets: Vec::new() }
    }

    /// Checks a binding key to be: a positive decimal number.
    ///
    /// # Errors
    /// 406 in the words of RabbitMQ's plugin.
    pub fn check(key: &[u8]) -> Result<(), AmqpError> {
        let digits = key.strip_prefix(b"-").or_else(|| key.strip_prefix(b"+")).unwrap_or(key);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return refuse(format!("The binding key must be an integer: {}", binary(key)));
        }
        if key.starts_with(b"-") || digits.iter().all(|&digit| digit == b'0') {
            return refuse("The binding key must be greater than 0".to_owned());
        }
        Ok(())
    }

    /// Adds the key's weight to the destination, whose name is what its share is drawn by.
    pub fn add(&mut self, key: &[u8], destination: Destination, name: &[u8]) {
        let weight = weight_of(key);
        if let Some(bucket) = self.buckets.iter_mut().find(|b| b.destination == destination) {
            bucket.weight += weight;
            bucket.bindings += 1;
            return;
        }
        let seed = match destination {
            Destination::Queue(_) => stable_hash(name),
            Destination::Exchange(_) => mix(stable_hash(name)),
        };
        self.buckets.push(Bucket { destination, seed, weight, bindings: 1 });
    }

    /// Takes the key's weight off the destination; `false` when it is not bound.
    pub fn remove(&mut self, key: &[u8], destination: Destination) -> bool {
        let at = self.buckets.iter().position(|bucket| bucket.destination == destination);
        let Some(at) = at else { return false };
        let bucket = &mut self.buckets[at];
        bucket.bindings -= 1;
        bucket.weight -= weight_of(key);
        if bucket.bindings == 0 {
            self.buckets.swap_remove(at);
        }
        true
    }

    /// Appends the one destination of the message, when there is any.
    pub fn route(
        &self,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        out: &mut Vec<Destination>,
    ) {
        let hash = self.hash_on.hash(routing_key, properties);
        let mut best: Option<(&Bucket, u64, f64)> = None;
        for bucket in &self.buckets {
            let luck = bucket.luck(hash);
            // One with less luck and no more weight than the best cannot win: of many buckets of
            // the same weight only a few need the logarithm.
            if best.is_some_and(|(b, most, _)| luck < most && bucket.weight <= b.weight) {
                continue;
            }
            let draw = bucket.draw(luck);
            // Equal draws are decided by the seed, not by the order of binding.
            if best.is_none_or(|(b, _, least)| (draw, bucket.seed) < (least, b.seed)) {
                best = Some((bucket, luck, draw));
            }
        }
        out.extend(best.map(|(bucket, ..)| bucket.destination));
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// What messages are hashed by.
    pub fn hash_on(&self) -> &HashOn {
        &self.hash_on
    }
}

#[derive(Debug)]
struct Bucket {
    destination: Destination,
    seed: u64,
    weight: f64,
    bindings: u32,
}

impl Bucket {
    /// 53 bits that hash and bucket draw together.
    fn luck(&self, hash: u64) -> u64 {
        mix(hash ^ self.seed) >> 11
    }

    /// From the luck an exponentially distributed number with the weight as its rate: the
    /// probability of being the least among several is the share of the weight.
    fn draw(&self, luck: u64) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let uniform = (luck as f64 + 0.5) / 2_f64.powi(53);
        -uniform.ln() / self.weight
    }
}

/// The weight that a checked key stands for; beyond 2^53 only about.
fn weight_of(key: &[u8]) -> f64 {
    let text = std::str::from_utf8(key).unwrap_or_default();
    text.parse::<f64>().ok().filter(|weight| weight.is_finite()).unwrap_or(1.0)
}

fn value_hash(value: Value<'_>) -> u64 {
    if let Some(integer) = value.integer() {
        return mix(integer.cast_unsigned());
    }
    match value {
        Value::LongString(bytes) | Value::Bytes(bytes) => stable_hash(bytes),
        Value::Bool(value) => mix(u64::from(value)),
        Value::I8(_) | Value::U8(_) | Value::I16(_) | Value::U16(_) => 0,
        Value::I32(_) | Value::U32(_) | Value::I64(_) | Value::Void => 0,
        Value::U64(value) | Value::Timestamp(value) => mix(value),
        Value::F32(value) => mix(f64::from(value).to_bits()),
        Value::F64(value) => mix(value.to_bits()),
        Value::Decimal { scale, value } => mix(u64::from(scale) << 32 | u64::from(value)),
        Value::Array(array) => stable_hash(array.as_bytes()),
        Value::Table(table) => stable_hash(table.as_bytes()),
    }
}

fn refuse<T>(text: String) -> Result<T, AmqpError> {
    Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableBuf;
    use crate::broker::testing::queue;

    fn ring(weights: &[(u32, &str)]) -> ConsistentHashMatcher {
        let mut matcher = ConsistentHashMatcher::new(HashOn::RoutingKey);
        for &(index, weight) in weights {
            matcher.add(weight.as_bytes(), queue(index), format!("queue {index}").as_bytes());
        }
        matcher
    }

    fn choices(matcher: &ConsistentHashMatcher, count: usize) -> Vec<Destination> {
        let mut out = Vec::new();
        for n in 0..count {
            matcher.route(format!("key {n}").as_bytes(), &PropertyList::default(), &mut out);
        }
        assert_eq!(out.len(), count, "each message goes to exactly one destination");
        out
    }

    fn share(choices: &[Destination], of: Destination) -> usize {
        choices.iter().filter(|&&to| to == of).count()
    }

    #[test]
    fn shares_follow_the_weights() {
        let out = choices(&ring(&[(1, "1"), (2, "2"), (3, "7")]), 10_000);
        for (index, expected) in [(1, 1000), (2, 2000), (3, 7000)] {
            let got = share(&out, queue(index));
            assert!(got.abs_diff(expected) < 200, "{got} instead of {expected}");
        }
    }

    #[test]
    fn only_the_messages_of_the_binding_that_came_or_went_move() {
        let without = choices(&ring(&[(1, "1"), (2, "1"), (3, "1")]), 3000);
        let mut matcher = ring(&[(4, "1"), (3, "1"), (1, "1"), (2, "1")]);
        let with = choices(&matcher, 3000);
        for (before, after) in without.iter().zip(&with) {
            assert!(before == after || *after == queue(4));
        }
        assert!(share(&with, queue(4)) > 600);
        assert!(matcher.remove(b"1", queue(4)));
        assert!(!matcher.remove(b"1", queue(4)));
        assert_eq!(choices(&matcher, 3000), without, "the order of binding does not matter");
    }

    #[test]
    fn choices_are_the_same_in_every_version() {
        let out = choices(&ring(&[(1, "1"), (2, "1"), (3, "1")]), 16);
        let first: Vec<usize> = (0..16).filter(|&n| out[n] == queue(1)).collect();
        assert_eq!(first, FIRST_QUEUE_OF_16);
    }

    /// Changing this moves messages of running systems to other queues.
    const FIRST_QUEUE_OF_16: [usize; 8] = [3, 5, 7, 8, 9, 10, 12, 15];

    #[test]
    fn weights_of_several_bindings_add_up() {
        let mut matcher = ring(&[(1, "1"), (2, "1")]);
        matcher.add(b"2", queue(2), b"queue 2");
        let out = choices(&matcher, 8000);
        assert!(share(&out, queue(2)).abs_diff(6000) < 200);
        assert!(matcher.remove(b"1", queue(2)));
        assert!(matcher.remove(b"2", queue(2)));
        assert_eq!(share(&choices(&matcher, 100), queue(1)), 100);
    }

    #[test]
    fn a_header_or_property_can_be_hashed_instead() {
        let mut arguments = TableBuf::new();
        arguments.put_str(b"hash-header", "user");
        let hash_on = HashOn::of(arguments.table()).unwrap();
        let key = |value| {
            let mut headers = TableBuf::new();
            headers.put(b"user", value);
            let headers = Some(headers.table());
            hash_on.hash(b"ignored", &PropertyList { headers, ..Default::default() })
        };
        assert_eq!(key(Value::I32(5)), key(Value::I64(5)));
        assert_ne!(key(Value::LongString(b"a")), key(Value::LongString(b"b")));
        let nothing = PropertyList::default();
        assert_eq!(hash_on.hash(b"a", &nothing), hash_on.hash(b"b", &nothing));

        for property in ["correlation_id", "message_id", "timestamp"] {
            let mut arguments = TableBuf::new();
            arguments.put_str(b"hash-property", property);
            let hash_on = HashOn::of(arguments.table()).unwrap();
            let a = PropertyList {
                correlation_id: Some(b"1"),
                message_id: Some(b"1"),
                timestamp: Some(1),
                ..Default::default()
            };
            let b = PropertyList {
                correlation_id: Some(b"2"),
                message_id: Some(b"2"),
                timestamp: Some(2),
                ..Default::default()
            };
            assert_ne!(hash_on.hash(b"", &a), hash_on.hash(b"", &b), "{property}");
        }
    }

    #[test]
    fn wrong_weights_and_arguments_are_refused_in_the_plugins_words() {
        let text = |key: &[u8]| ConsistentHashMatcher::check(key).unwrap_err().text;
        assert_eq!(
            text(b"abc"),
            "PRECONDITION_FAILED - The binding key must be an integer: <<\"abc\">>"
        );
        assert_eq!(text(b""), "PRECONDITION_FAILED - The binding key must be an integer: <<>>");
        let positive = "PRECONDITION_FAILED - The binding key must be greater than 0";
        assert_eq!(text(b"0"), positive);
        assert_eq!(text(b"-3"), positive);
        assert!(ConsistentHashMatcher::check(b"10").is_ok());

        let mut arguments = TableBuf::new();
        arguments.put_str(b"hash-property", "app_id");
        let error = HashOn::of(arguments.table()).unwrap_err();
        assert_eq!(error.text, "PRECONDITION_FAILED - Unsupported property: app_id");
        arguments.put_str(b"hash-header", "x");
        let error = HashOn::of(arguments.table()).unwrap_err();
        assert!(error.text.ends_with("hash-header and hash-property are mutually exclusive"));
    }
}
