//! What do a queue's or exchange's arguments come to, together with the policies that match it?
//!
//! Policy and operator policy are merged first ([`merge_definitions`]); then each number is the
//! smaller of argument and policy, and everything else is the argument's, or else the policy's.
//! Imports `amqp`.

use crate::amqp::{Name, Table, TableBuf, Value};
use crate::broker::arguments::{QueueKind, age_seconds};

/// What becomes of a publish when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The oldest message goes.
    #[default]
    DropHead,
    /// The new one is refused.
    RejectPublish,
    /// The new one is refused and dead-lettered.
    RejectPublishDlx,
}

impl Overflow {
    /// The value of `x-overflow` or of the policy key.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"drop-head" => Some(Self::DropHead),
            b"reject-publish" => Some(Self::RejectPublish),
            b"reject-publish-dlx" => Some(Self::RejectPublishDlx),
            _ => None,
        }
    }

    /// The value as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropHead => "drop-head",
            Self::RejectPublish => "reject-publish",
            Self::RejectPublishDlx => "reject-publish-dlx",
        }
    }
}

/// What holds for a queue now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveArguments {
    /// What kind of queue it is.
    pub kind: QueueKind,
    /// How long a message stays, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// How long the queue stays unused, in milliseconds.
    pub expires_ms: Option<u64>,
    /// The most ready messages.
    pub max_length: Option<u64>,
    /// The most bytes of ready messages' bodies.
    pub max_length_bytes: Option<u64>,
    /// What happens beyond that.
    pub overflow: Overflow,
    /// Where dead messages go.
    pub dead_letter_exchange: Option<Name>,
    /// With which key, if not their own.
    pub dead_letter_routing_key: Option<Name>,
    /// A dead message is settled only when it has arrived (`at-least-once`): only quorum queues
    /// that refuse what is too much can do that.
    pub dead_letter_at_least_once: bool,
    /// How often a message is redelivered before it is dead.
    pub delivery_limit: Option<u64>,
    /// How long a delivery may stay unacknowledged, in milliseconds.
    pub consumer_timeout_ms: Option<u64>,
    /// The highest priority; a queue without it has no priorities.
    pub max_priority: Option<u8>,
    /// Only the first consumer in line gets messages.
    pub single_active_consumer: bool,
    /// Messages with the same deduplication header are taken once.
    pub message_deduplication: bool,
    /// How long a stream keeps messages, in seconds.
    pub max_age_seconds: Option<u64>,
}

impl EffectiveArguments {
    /// What holds for a queue with these (checked) arguments under this (merged) definition.
    pub fn of_queue(arguments: Table<'_>, definition: Table<'_>) -> Self {
        let sources = Sources { arguments, definition };
        let kind = QueueKind::of(arguments);
        if kind == QueueKind::Stream {
            return Self::of_stream(sources);
        }
        let overflow = sources.text("overflow").and_then(Overflow::parse).unwrap_or_default();
        let strategy = sources.text("dead-letter-strategy");
        Self {
            kind,
            message_ttl_ms: sources.least("message-ttl"),
            expires_ms: sources.least("expires"),
            max_length: sources.least("max-length"),
            max_length_bytes: sources.least("max-length-bytes"),
            overflow,
            dead_letter_exchange: sources.name("dead-letter-exchange"),
            dead_letter_routing_key: sources.name("dead-letter-routing-key"),
            dead_letter_at_least_once: kind == QueueKind::Quorum
                && overflow == Overflow::RejectPublish
                && strategy == Some(b"at-least-once"),
            delivery_limit: sources.delivery_limit(),
            consumer_timeout_ms: sources.least("consumer-timeout"),
            max_priority: arguments
                .find(b"x-max-priority")
                .and_then(|value| value.integer())
                .and_then(|number| u8::try_from(number).ok()),
            single_active_consumer: is_true(arguments.find(b"x-single-active-consumer")),
            message_deduplication: is_true(arguments.find(b"x-message-deduplication")),
            max_age_seconds: None,
        }
    }

    /// A stream knows retention and nothing else: no policy makes its messages expire one by
    /// one, die or go in another order.
    fn of_stream(sources: Sources<'_>) -> Self {
        Self {
            kind: QueueKind::Stream,
            max_length_bytes: sources.least("max-length-bytes"),
            consumer_timeout_ms: sources.least("consumer-timeout"),
            max_age_seconds: sources.text("max-age").and_then(age_seconds),
            ..Self::default()
        }
    }
}

/// The alternate exchange of an exchange with these arguments under this (merged) definition.
pub fn alternate_exchange(arguments: Table<'_>, definition: Table<'_>) -> Option<Name> {
    let argument = arguments.find(b"alternate-exchange").and_then(|value| value.text());
    let policy = || definition.find(b"alternate-exchange").and_then(|value| value.text());
    argument.or_else(policy).map(Name::from)
}

/// The definition of a policy with the operator policy's on top: of two numbers the smaller one
/// holds, of two other values the operator's. Sorted by key.
pub fn merge_definitions(policy: Table<'_>, operator: Table<'_>) -> TableBuf {
    let mut fields: Vec<(&[u8], Value<'_>)> = Vec::new();
    for (key, value) in policy.iter() {
        let merged = match operator.find(key) {
            None => value,
            Some(limit) => match (value.integer(), limit.integer()) {
                (Some(number), Some(most)) if number < most => value,
                (Some(_) | None, _) => limit,
            },
        };
        fields.push((key, merged));
    }
    fields.extend(operator.iter().filter(|(key, _)| policy.find(key).is_none()));
    fields.sort_by_key(|(key, _)| *key);
    let mut merged = TableBuf::new();
    for (key, value) in fields {
        merged.put(key, value);
    }
    merged
}

/// The highest delivery limit that acts: deliveries are counted up to 254.
pub const DELIVERY_LIMIT_MAX: u64 = 253;

/// Where values come from: `x-key` among the arguments, `key` in the definition.
#[derive(Clone, Copy)]
struct Sources<'a> {
    arguments: Table<'a>,
    definition: Table<'a>,
}

impl<'a> Sources<'a> {
    fn values(self, key: &str) -> (Option<Value<'a>>, Option<Value<'a>>) {
        let argument = self
            .arguments
            .iter()
            .find(|(name, _)| name.strip_prefix(b"x-").is_some_and(|name| name == key.as_bytes()));
        (argument.map(|(_, value)| value), self.definition.find(key.as_bytes()))
    }

    /// The smaller of the numbers that there are; negative ones do not count.
    fn least(self, key: &str) -> Option<u64> {
        let (argument, policy) = self.values(key);
        [argument, policy].into_iter().flatten().filter_map(natural).min()
    }

    fn text(self, key: &str) -> Option<&'a [u8]> {
        let (argument, policy) = self.values(key);
        argument.and_then(|v| v.text()).or_else(|| policy.and_then(|v| v.text()))
    }

    fn name(self, key: &str) -> Option<Name> {
        self.text(key).map(Name::from)
    }

    /// A negative limit is none; a high one acts as the highest.
    fn delivery_limit(self) -> Option<u64> {
        self.least("delivery-limit").map(|limit| limit.min(DELIVERY_LIMIT_MAX))
    }
}

fn natural(value: Value<'_>) -> Option<u64> {
    if let Value::U64(number) = value {
        return Some(number);
    }
    value.integer().and_then(|number| u64::try_from(number).ok())
}

fn is_true(value: Option<Value<'_>>) -> bool {
    match value {
        Some(Value::Bool(flag)) => flag,
        // The deduplication plugin takes text too.
        Some(Value::LongString(text)) => text == b"true",
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn effective(
        arguments: &[(&str, Value<'_>)],
        definition: &[(&str, Value<'_>)],
    ) -> EffectiveArguments {
        EffectiveArguments::of_queue(table(arguments).table(), table(definition).table())
    }

    #[test]
    fn nothing_said_is_nothing_held() {
        assert_eq!(effective(&[], &[]), EffectiveArguments::default());
    }

    #[test]
    fn a_delivery_limit_that_cannot_be_counted_to_acts_as_the_highest() {
        let limit = |number| effective(&[("x-delivery-limit", Value::I64(number))], &[]);
        assert_eq!(limit(253).delivery_limit, Some(253));
        assert_eq!(limit(300).delivery_limit, Some(DELIVERY_LIMIT_MAX));
        assert_eq!(limit(-1).delivery_limit, None);
    }

    #[test]
    fn of_two_numbers_the_smaller_holds() {
        for (argument, policy, expected) in [
            (Some(5), None, Some(5)),
            (None, Some(7), Some(7)),
            (Some(5), Some(7), Some(5)),
            (Some(7), Some(5), Some(5)),
            (Some(0), Some(5), Some(0)),
        ] {
            for key in ["message-ttl", "expires", "max-length", "max-length-bytes"] {
                let name = format!("x-{key}");
                let arguments: Vec<_> =
                    argument.map(|n| (name.as_str(), Value::I32(n))).into_iter().collect();
                let definition: Vec<_> = policy.map(|n| (key, Value::I64(n))).into_iter().collect();
                let held = effective(&arguments, &definition);
                let values =
                    [held.message_ttl_ms, held.expires_ms, held.max_length, held.max_length_bytes];
                assert!(values.contains(&expected), "{key} {argument:?} {policy:?} {held:?}");
                assert_eq!(values.iter().flatten().count(), 1);
            }
        }
    }

    #[test]
    fn of_other_values_the_arguments_hold() {
        let held = effective(
            &[("x-dead-letter-exchange", text("mine")), ("x-overflow", text("drop-head"))],
            &[
                ("dead-letter-exchange", text("theirs")),
                ("dead-letter-routing-key", text("k")),
                ("overflow", text("reject-publish")),
                ("dead-letter-strategy", text("at-least-once")),
            ],
        );
        assert_eq!(held.dead_letter_exchange, Some(Name::from("mine")));
        assert_eq!(held.dead_letter_routing_key, Some(Name::from("k")));
        assert_eq!(held.overflow, Overflow::DropHead);
        assert!(!held.dead_letter_at_least_once, "it is no quorum queue");
        let held = effective(&[], &[("overflow", text("reject-publish-dlx"))]);
        assert_eq!(held.overflow, Overflow::RejectPublishDlx);
    }

    #[test]
    fn dead_letters_are_kept_by_quorum_queues_that_refuse_what_is_too_much() {
        let policy = [("dead-letter-strategy", text("at-least-once"))];
        for (kind, overflow, kept) in [
            ("quorum", "reject-publish", true),
            ("quorum", "drop-head", false),
            ("classic", "reject-publish", false),
        ] {
            let arguments = [("x-queue-type", text(kind)), ("x-overflow", text(overflow))];
            let held = effective(&arguments, &policy);
            assert_eq!(held.dead_letter_at_least_once, kept, "{kind} {overflow}");
        }
    }

    #[test]
    fn what_only_arguments_can_say() {
        let held = effective(
            &[
                ("x-max-priority", Value::I32(9)),
                ("x-single-active-consumer", Value::Bool(true)),
                ("x-message-deduplication", text("true")),
            ],
            &[("max-priority", Value::I32(1))],
        );
        assert_eq!(held.max_priority, Some(9));
        assert!(held.single_active_consumer && held.message_deduplication);
        let held = effective(&[("x-queue-type", text("stream")), ("x-max-age", text("1h"))], &[]);
        assert_eq!((held.kind, held.max_age_seconds), (QueueKind::Stream, Some(3600)));
    }

    #[test]
    fn a_quorum_queue_has_a_delivery_limit_only_where_one_is_set() {
        let quorum = ("x-queue-type", text("quorum"));
        let limit = |argument: Option<i64>, policy: Option<i64>| {
            let mut arguments = vec![quorum];
            arguments.extend(argument.map(|n| ("x-delivery-limit", Value::I64(n))));
            let definition: Vec<_> =
                policy.map(|n| ("delivery-limit", Value::I64(n))).into_iter().collect();
            effective(&arguments, &definition).delivery_limit
        };
        assert_eq!(limit(None, None), None);
        assert_eq!(limit(Some(50), None), Some(50));
        assert_eq!(limit(Some(50), Some(30)), Some(30));
        assert_eq!(limit(None, Some(30)), Some(30));
        assert_eq!(limit(Some(-1), None), None);
        assert_eq!(effective(&[("x-delivery-limit", Value::I32(3))], &[]).delivery_limit, Some(3));
        assert_eq!(effective(&[], &[]).delivery_limit, None);
    }

    #[test]
    fn operators_cap_numbers_and_decide_the_rest() {
        let policy = table(&[
            ("max-length", Value::I64(100)),
            ("message-ttl", Value::I64(5)),
            ("overflow", text("drop-head")),
            ("expires", Value::I64(7)),
        ]);
        let operator = table(&[
            ("message-ttl", Value::I64(10)),
            ("max-length", Value::I64(10)),
            ("overflow", text("reject-publish")),
            ("delivery-limit", Value::I64(3)),
        ]);
        let expected = table(&[
            ("delivery-limit", Value::I64(3)),
            ("expires", Value::I64(7)),
            ("max-length", Value::I64(10)),
            ("message-ttl", Value::I64(5)),
            ("overflow", text("reject-publish")),
        ]);
        assert_eq!(merge_definitions(policy.table(), operator.table()), expected);
        assert!(merge_definitions(Table::EMPTY, Table::EMPTY).is_empty());
    }

    #[test]
    fn an_alternate_exchange_is_the_arguments_or_else_the_policys() {
        let (mine, theirs) = (
            table(&[("alternate-exchange", text("a"))]),
            table(&[("alternate-exchange", text("b"))]),
        );
        let alternate = |a: Table<'_>, d: Table<'_>| alternate_exchange(a, d);
        assert_eq!(alternate(mine.table(), theirs.table()), Some(Name::from("a")));
        assert_eq!(alternate(Table::EMPTY, theirs.table()), Some(Name::from("b")));
        assert_eq!(alternate(Table::EMPTY, Table::EMPTY), None);
    }
}
