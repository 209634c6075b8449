//! What may a policy say?
//!
//! The keys that there are, what their values must be, and RabbitMQ's words for everything else.
//! Imports `amqp`.

use std::fmt;

use crate::amqp::{Name, Table, Value};
use crate::broker::arguments::{age_seconds, is_dead_letter_strategy, is_overflow, is_queue_mode};
use crate::broker::term::{binary, term};

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy(pub String);

impl InvalidPolicy {
    /// Its vhost is not there.
    pub fn no_vhost(vhost: &Name) -> Self {
        Self(format!("vhost '{vhost}' does not exist"))
    }
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validation failed\n\n{}\n", self.0)
    }
}

impl std::error::Error for InvalidPolicy {}

/// What a key of a definition must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Anything,
    Text,
    /// An integer, not below this.
    AtLeast(i64),
    Overflow,
    QueueMode,
    QueueVersion,
    DeadLetterStrategy,
    Age,
    HaMode,
}

/// A key, what it must be, how RabbitMQ calls a value that is not, and whether operator policies
/// may have it.
struct Key(&'static str, Rule, &'static str, Who);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Everyone,
    UsersOnly,
}

const KEYS: [Key; 30] = [
    Key("alternate-exchange", Rule::Text, "alternate exchange name", Who::UsersOnly),
    Key("consumer-timeout", Rule::AtLeast(0), "consumer timeout", Who::Everyone),
    Key("dead-letter-exchange", Rule::Text, "dead letter exchange name", Who::UsersOnly),
    Key("dead-letter-routing-key", Rule::Text, "dead letter routing key", Who::UsersOnly),
    Key("dead-letter-strategy", Rule::DeadLetterStrategy, "dead letter strategy", Who::UsersOnly),
    Key("delivery-limit", Rule::AtLeast(0), "delivery limit", Who::Everyone),
    Key("expires", Rule::AtLeast(1), "queue expiry", Who::Everyone),
    Key("federation-upstream", Rule::Text, "federation upstream name", Who::UsersOnly),
    Key("federation-upstream-pattern", Rule::Text, "federation upstream pattern", Who::UsersOnly),
    Key("federation-upstream-set", Rule::Text, "federation upstream set name", Who::UsersOnly),
    Key("ha-mode", Rule::HaMode, "ha-mode value", Who::Everyone),
    Key("ha-params", Rule::Anything, "ha-params value", Who::Everyone),
    Key("ha-promote-on-failure", Rule::Text, "ha-promote-on-failure value", Who::Everyone),
    Key("ha-promote-on-shutdown", Rule::Text, "ha-promote-on-shutdown value", Who::Everyone),
    Key("ha-sync-batch-size", Rule::AtLeast(1), "ha-sync-batch-size value", Who::Everyone),
    Key("ha-sync-mode", Rule::Text, "ha-sync-mode value", Who::Everyone),
    Key("initial-cluster-size", Rule::AtLeast(0), "cluster size", Who::UsersOnly),
    Key("max-age", Rule::Age, "max age", Who::UsersOnly),
    Key("max-in-memory-bytes", Rule::AtLeast(0), "maximum memory in bytes", Who::Everyone),
    Key("max-in-memory-length", Rule::AtLeast(0), "maximum memory in bytes", Who::Everyone),
    Key("max-length", Rule::AtLeast(0), "maximum length", Who::Everyone),
    Key("max-length-bytes", Rule::AtLeast(0), "maximum length in bytes", Who::Everyone),
    Key("message-ttl", Rule::AtLeast(0), "message TTL", Who::Everyone),
    Key("overflow", Rule::Overflow, "overflow value", Who::UsersOnly),
    Key("queue-leader-locator", Rule::Text, "queue leader locator value", Who::UsersOnly),
    Key("queue-master-locator", Rule::Text, "queue master locator value", Who::UsersOnly),
    Key("queue-mode", Rule::QueueMode, "queue-mode value", Who::UsersOnly),
    Key("queue-version", Rule::QueueVersion, "queue version", Who::UsersOnly),
    Key("stream-filter-size-bytes", Rule::AtLeast(0), "filter size", Who::UsersOnly),
    Key("stream-max-segment-size-bytes", Rule::AtLeast(0), "segment size", Who::UsersOnly),
];

/// Checks what a policy (or operator policy) says.
///
/// # Errors
/// The first value that is invalid, or else all keys that are unknown, in RabbitMQ's words.
pub fn check_definition(definition: Table<'_>, operator: bool) -> Result<(), InvalidPolicy> {
    if definition.is_empty() {
        return Err(InvalidPolicy("no policy provided".to_owned()));
    }
    let mut fields: Vec<_> = definition.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    let mut unknown = Vec::new();
    for (name, value) in fields {
        match KEYS.iter().find(|key| key.0.as_bytes() == name) {
            Some(Key(_, _, _, Who::UsersOnly)) if operator => unknown.push((name, value)),
            None => unknown.push((name, value)),
            Some(Key(_, rule, what, _)) if !rule.allows(value) => {
                return Err(InvalidPolicy(format!("{} is not a valid {what}", json_term(value))));
            }
            Some(_) => {}
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let shown = |(name, value)| format!("{{{},{}}}", binary(name), json_term(value));
    let unknown: Vec<String> = unknown.into_iter().map(shown).collect();
    Err(InvalidPolicy(format!("[{}] are not recognised policy settings", unknown.join(","))))
}

impl Rule {
    fn allows(self, value: Value<'_>) -> bool {
        let is = |good: fn(&[u8]) -> bool| value.text().is_some_and(good);
        match self {
            Self::Anything => true,
            Self::Text => is(|_| true),
            Self::AtLeast(least) => value.integer().is_some_and(|number| number >= least),
            Self::Overflow => is(is_overflow),
            Self::QueueMode => is(is_queue_mode),
            Self::QueueVersion => matches!(value.integer(), Some(1 | 2)),
            Self::DeadLetterStrategy => is(is_dead_letter_strategy),
            Self::Age => is(|text| age_seconds(text).is_some()),
            Self::HaMode => is(|text| matches!(text, b"all" | b"exactly" | b"nodes")),
        }
    }
}

/// A value that came as JSON, as Erlang prints it: without the types that AMQP's values have.
fn json_term(value: Value<'_>) -> String {
    if let Value::Array(array) = value {
        let values: Vec<String> = array.iter().map(json_term).collect();
        format!("[{}]", values.join(","))
    } else if let Value::Table(table) = value {
        let field = |(name, value)| format!("{} => {}", binary(name), json_term(value));
        let fields: Vec<String> = table.iter().map(field).collect();
        format!("#{{{}}}", fields.join(","))
    } else if value == Value::Void {
        "null".to_owned()
    } else {
        term(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{ArrayBuf, TableBuf};

    fn table(fields: &[(&str, Value<'_>)]) -> TableBuf {
        let mut table = TableBuf::new();
        for (name, value) in fields {
            table.put(name.as_bytes(), *value);
        }
        table
    }

    fn text(text: &str) -> Value<'_> {
        Value::LongString(text.as_bytes())
    }

    fn refusal(fields: &[(&str, Value<'_>)], operator: bool) -> String {
        let checked = check_definition(table(fields).table(), operator);
        checked.map_or_else(|error| error.0, |()| String::new())
    }

    // The expected texts are RabbitMQ 3.10.8's.
    #[test]
    fn definitions_are_refused_in_rabbitmqs_words() {
        let mut array = ArrayBuf::new();
        array.push(Value::I32(1));
        array.push(text("a"));
        let nested = table(&[("a", Value::I32(1))]);
        for (key, value, expected) in [
            ("message-ttl", Value::I32(-1), "-1 is not a valid message TTL"),
            ("message-ttl", text("a"), "<<\"a\">> is not a valid message TTL"),
            ("message-ttl", Value::Void, "null is not a valid message TTL"),
            ("max-length", Value::F64(1.5), "1.5 is not a valid maximum length"),
            ("overflow", text("x"), "<<\"x\">> is not a valid overflow value"),
            ("dead-letter-exchange", Value::I32(5), "5 is not a valid dead letter exchange name"),
            ("ha-mode", text("x"), "<<\"x\">> is not a valid ha-mode value"),
            ("expires", Value::I32(0), "0 is not a valid queue expiry"),
            (
                "alternate-exchange",
                Value::Bool(true),
                "true is not a valid alternate exchange name",
            ),
            (
                "queue-mode",
                Value::Array(array.array()),
                "[1,<<\"a\">>] is not a valid queue-mode value",
            ),
            (
                "queue-mode",
                Value::Table(nested.table()),
                "#{<<\"a\">> => 1} is not a valid queue-mode value",
            ),
            ("delivery-limit", Value::I32(-1), "-1 is not a valid delivery limit"),
            ("foo", Value::I32(1), "[{<<\"foo\">>,1}] are not recognised policy settings"),
            ("max-age", text("1w"), "<<\"1w\">> is not a valid max age"),
        ] {
            assert_eq!(refusal(&[(key, value)], false), expected);
        }
        assert_eq!(
            refusal(
                &[("foo", Value::I32(1)), ("bar", text("x")), ("message-ttl", Value::I32(5))],
                false
            ),
            "[{<<\"bar\">>,<<\"x\">>},{<<\"foo\">>,1}] are not recognised policy settings"
        );
        assert_eq!(refusal(&[], false), "no policy provided");
        let good = [("message-ttl", Value::I32(0)), ("overflow", text("drop-head"))];
        assert_eq!(refusal(&good, false), "");
    }

    #[test]
    fn operators_may_cap_but_not_redirect() {
        assert_eq!(refusal(&[("expires", Value::I32(5))], true), "");
        assert_eq!(
            refusal(&[("alternate-exchange", text("x"))], true),
            "[{<<\"alternate-exchange\">>,<<\"x\">>}] are not recognised policy settings"
        );
    }

    #[test]
    fn the_keys_are_sorted_and_different() {
        assert!(KEYS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
