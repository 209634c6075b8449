//! Are the arguments of a declaration good?
//!
//! Which arguments exist, what they may be, and RabbitMQ's words for everything else: clients and
//! their tests match on those texts. Whether they agree with what is there already is
//! [`crate::broker::arguments::equivalence`]'s question, what they mean together with policies is
//! [`crate::broker::arguments::effective`]'s. Imports `amqp`.

pub mod definition;
pub mod effective;
pub mod equivalence;
pub mod policy;
pub mod start_at;

use crate::amqp::{AmqpError, ReplyCode, Table, Value};
use crate::broker::arguments::start_at::StartAt;
use crate::broker::resource::Resource;
use crate::broker::term::term;

pub use crate::broker::arguments::equivalence::{
    ExchangeTraits, check_exchange_equivalence, check_queue_equivalence, resource_locked,
};

/// What kind of queue it is (`x-queue-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// The usual one.
    #[default]
    Classic,
    /// A durable one with a delivery limit.
    Quorum,
    /// An append-only one, read by position.
    Stream,
}

impl QueueKind {
    /// What checked arguments ask for; classic when they say nothing.
    pub fn of(arguments: Table<'_>) -> Self {
        arguments
            .find(b"x-queue-type")
            .and_then(|v| v.text())
            .and_then(Self::parse)
            .unwrap_or_default()
    }

    /// The kind of this name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Classic, Self::Quorum, Self::Stream]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// The name that `x-queue-type` uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// RabbitMQ's module of this kind, which its error texts name.
    fn module(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
            Self::Stream => "rabbit_stream_queue",
        }
    }

    /// The arguments that mean nothing to this kind and are refused. Placement hints are not among
    /// them, nor is the delivery limit, which every kind of queue has here.
    fn refused_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Classic => &[
                "x-max-in-memory-length",
                "x-max-in-memory-bytes",
                "x-max-age",
                "x-stream-max-segment-size-bytes",
                "x-stream-filter-size-bytes",
            ],
            Self::Quorum => &[
                "x-max-priority",
                "x-queue-mode",
                "x-queue-version",
                "x-max-age",
                "x-stream-max-segment-size-bytes",
                "x-stream-filter-size-bytes",
            ],
            Self::Stream => &[
                "x-expires",
                "x-message-ttl",
                "x-dead-letter-exchange",
                "x-dead-letter-routing-key",
                "x-dead-letter-strategy",
                "x-max-length",
                "x-max-in-memory-length",
                "x-max-in-memory-bytes",
                "x-max-priority",
                "x-overflow",
                "x-queue-mode",
                "x-queue-version",
                "x-single-active-consumer",
            ],
        }
    }
}

/// What every kind of queue compares when it is declared again.
const COMPARED_BY_ALL: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-message-ttl",
    "x-overflow",
    "x-queue-type",
    "x-single-active-consumer",
    "x-message-deduplication",
];

impl QueueKind {
    /// Whether the argument counts when a queue of this kind is declared again (RabbitMQ 3.13,
    /// `queue_arguments` of each kind's `capabilities`).
    pub(crate) fn compares(self, name: &str) -> bool {
        let own: &[&str] = match self {
            Self::Classic => {
                &["x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator"]
            }
            Self::Quorum => &[
                "x-dead-letter-strategy",
                "x-max-in-memory-length",
                "x-max-in-memory-bytes",
                "x-quorum-initial-group-size",
                "x-delivery-limit",
                "x-consumer-timeout",
                "x-queue-leader-locator",
            ],
            Self::Stream => &[
                "x-max-age",
                "x-stream-max-segment-size-bytes",
                "x-stream-filter-size-bytes",
                "x-initial-cluster-size",
                "x-queue-leader-locator",
            ],
        };
        COMPARED_BY_ALL.contains(&name) || own.contains(&name)
    }
}

/// What a queue.declare says of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueTraits<'a> {
    /// It survives a restart.
    pub durable: bool,
    /// It belongs to its connection.
    pub exclusive: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// Its arguments.
    pub arguments: Table<'a>,
}

/// Checks the declaration of a queue that is not there yet.
///
/// # Errors
/// 406 for an argument that is invalid or that this kind of queue does not take, and for a kind
/// that cannot be transient, exclusive or auto-deleted.
pub fn check_queue(queue: Resource<'_>, traits: &QueueTraits<'_>) -> Result<QueueKind, AmqpError> {
    let arguments = traits.arguments;
    // The channel looks at this one first and has its own words for it.
    check_name(queue, arguments, "x-dead-letter-exchange")?;
    check_argument(queue, arguments, "x-queue-type", Check::Kind)?;
    let kind = QueueKind::of(arguments);
    for (name, check) in QUEUE_ARGUMENTS {
        if !kind.refused_arguments().contains(&name) {
            check_argument(queue, arguments, name, check)?;
        }
    }
    for (name, _) in QUEUE_ARGUMENTS {
        if kind.refused_arguments().contains(&name) && arguments.find(name.as_bytes()).is_some() {
            let module = kind.module();
            return refuse(format!("invalid arg '{name}' for {queue} of queue type {module}"));
        }
    }
    let unfit = match kind {
        QueueKind::Classic => None,
        QueueKind::Quorum | QueueKind::Stream if traits.auto_delete => Some("auto-delete"),
        QueueKind::Quorum | QueueKind::Stream if traits.exclusive => Some("exclusive-owner"),
        QueueKind::Quorum | QueueKind::Stream if !traits.durable => Some("non-durable"),
        QueueKind::Quorum | QueueKind::Stream => None,
    };
    match unfit {
        Some(property) => refuse(format!("invalid property '{property}' for {queue}")),
        None => Ok(kind),
    }
}

/// Checks the arguments of an exchange that is not there yet; those that belong to its type are
/// [`Matcher::new`](crate::broker::exchange::matcher::Matcher::new)'s to check.
///
/// # Errors
/// 406 when `alternate-exchange` is no name.
pub fn check_exchange(exchange: Resource<'_>, arguments: Table<'_>) -> Result<(), AmqpError> {
    check_name(exchange, arguments, ALTERNATE_EXCHANGE)
}

/// Checks the arguments of a basic.consume.
///
/// # Errors
/// 406 for one that is invalid, or that this kind of queue does not take.
pub fn check_consumer(
    queue: Resource<'_>,
    kind: QueueKind,
    arguments: Table<'_>,
) -> Result<(), AmqpError> {
    check_argument(queue, arguments, "x-priority", Check::Integer)?;
    check_argument(queue, arguments, "x-cancel-on-ha-failover", Check::Flag)?;
    let refused = match kind {
        QueueKind::Classic | QueueKind::Quorum => "x-stream-offset",
        QueueKind::Stream => "x-priority",
    };
    if arguments.find(refused.as_bytes()).is_some() {
        let module = kind.module();
        return refuse(format!("invalid arg '{refused}' for {queue} of queue type {module}"));
    }
    match arguments.find(b"x-stream-offset") {
        Some(value) if StartAt::parse(value).is_none() => {
            let (kind, value) = (value.type_name(), term(value));
            let fault = format!("{{invalid_stream_offset_arg,{{{kind},{value}}}}}");
            refuse(format!("invalid arg 'x-stream-offset' for {queue}: {fault}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Kept, compared, not looked at.
    Anything,
    /// An integer.
    Integer,
    /// An integer, 0 or more.
    NonNegative,
    /// An integer, 1 or more.
    Positive,
    /// Bytes, 0 to [`STREAM_SEGMENT_BYTES_MAX`].
    SegmentBytes,
    /// Milliseconds, 0 to [`TIME_MS_MAX`].
    Time,
    /// Milliseconds, 1 to [`TIME_MS_MAX`].
    PositiveTime,
    /// An integer, 0 (no priorities) to 255.
    Priority,
    Flag,
    /// A long string.
    Text,
    /// A long string, and there is a dead-letter exchange.
    DeadLetterKey,
    DeadLetterStrategy,
    Overflow,
    Mode,
    Version,
    Kind,
    Age,
}

/// Every argument that is checked and compared, in the order in which RabbitMQ does so. Others are
/// kept and mean nothing.
pub(crate) const QUEUE_ARGUMENTS: [(&str, Check); 25] = [
    ("x-expires", Check::PositiveTime),
    ("x-message-ttl", Check::Time),
    ("x-dead-letter-exchange", Check::Text),
    ("x-dead-letter-routing-key", Check::DeadLetterKey),
    ("x-dead-letter-strategy", Check::DeadLetterStrategy),
    ("x-max-length", Check::NonNegative),
    ("x-max-length-bytes", Check::NonNegative),
    ("x-max-in-memory-length", Check::NonNegative),
    ("x-max-in-memory-bytes", Check::NonNegative),
    ("x-max-priority", Check::Priority),
    ("x-overflow", Check::Overflow),
    ("x-queue-mode", Check::Mode),
    ("x-queue-version", Check::Version),
    ("x-single-active-consumer", Check::Flag),
    ("x-queue-type", Check::Kind),
    ("x-quorum-initial-group-size", Check::Positive),
    ("x-max-age", Check::Age),
    ("x-stream-max-segment-size-bytes", Check::SegmentBytes),
    ("x-stream-filter-size-bytes", Check::NonNegative),
    ("x-initial-cluster-size", Check::Positive),
    ("x-queue-leader-locator", Check::Anything),
    ("x-queue-master-locator", Check::Anything),
    ("x-delivery-limit", Check::Integer),
    ("x-consumer-timeout", Check::NonNegative),
    ("x-message-deduplication", Check::Anything),
];

/// The one argument that every exchange may have.
pub(crate) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// The longest time that an argument may name: ten years in milliseconds.
pub const TIME_MS_MAX: i64 = 315_360_000_000;

/// The largest `x-stream-max-segment-size-bytes`.
pub const STREAM_SEGMENT_BYTES_MAX: i64 = 3_000_000_000;

/// The highest `x-max-priority`.
pub const PRIORITY_MAX: i64 = 255;

fn check_argument(
    queue: Resource<'_>,
    arguments: Table<'_>,
    name: &str,
    check: Check,
) -> Result<(), AmqpError> {
    let Some(value) = arguments.find(name.as_bytes()) else {
        return Ok(());
    };
    match fault(check, value, arguments) {
        None => Ok(()),
        Some(fault) => refuse(format!("invalid arg '{name}' for {queue}: {fault}")),
    }
}

/// What is wrong with the value, as the Erlang term that RabbitMQ shows.
fn fault(check: Check, value: Value<'_>, arguments: Table<'_>) -> Option<String> {
    match check {
        Check::Anything => None,
        Check::Integer
        | Check::NonNegative
        | Check::Positive
        | Check::SegmentBytes
        | Check::Time
        | Check::PositiveTime
        | Check::Priority
        | Check::Version => integer_fault(check, value),
        Check::Flag => (!matches!(value, Value::Bool(_))).then(|| unacceptable(value)),
        Check::Text
        | Check::DeadLetterKey
        | Check::DeadLetterStrategy
        | Check::Overflow
        | Check::Mode
        | Check::Kind
        | Check::Age => match value.text() {
            Some(text) => text_fault(check, text, arguments),
            None => Some(unacceptable(value)),
        },
    }
}

fn integer_fault(check: Check, value: Value<'_>) -> Option<String> {
    // A U64 beyond i64 is an integer too, and too large for everything that has a bound.
    let number = if let Value::U64(number) = value {
        i64::try_from(number).unwrap_or(i64::MAX)
    } else if let Some(number) = value.integer() {
        number
    } else {
        return Some(format!("\"expected integer, got {}\"", value.type_name()));
    };
    let is_time = matches!(check, Check::Time | Check::PositiveTime);
    let is_positive = matches!(check, Check::Positive | Check::PositiveTime);
    if check == Check::Integer {
        None
    } else if check == Check::Version {
        (number != 1 && number != 2).then(|| format!("\"unsupported queue version '{value}'\""))
    } else if number < 0 {
        Some(format!("{{value_negative,{value}}}"))
    } else if number == 0 && is_positive {
        Some(format!("{{value_zero,{value}}}"))
    } else if number > TIME_MS_MAX && is_time
        || number > STREAM_SEGMENT_BYTES_MAX && check == Check::SegmentBytes
    {
        Some(format!("{{value_too_large,{value}}}"))
    } else if number > PRIORITY_MAX && check == Check::Priority {
        Some(format!("{{max_value_exceeded,{value}}}"))
    } else {
        None
    }
}

fn text_fault(check: Check, text: &[u8], arguments: Table<'_>) -> Option<String> {
    let fault_unless = |is_good: bool, fault: &str| (!is_good).then(|| fault.to_owned());
    let shown = String::from_utf8_lossy(text);
    match check {
        Check::DeadLetterKey => fault_unless(
            arguments.find(b"x-dead-letter-exchange").is_some(),
            "routing_key_but_no_dlx_defined",
        ),
        Check::DeadLetterStrategy => {
            fault_unless(is_dead_letter_strategy(text), "invalid_dlx_strategy")
        }
        Check::Overflow => fault_unless(is_overflow(text), "invalid_overflow"),
        Check::Mode => {
            fault_unless(is_queue_mode(text), &format!("\"unsupported queue mode '{shown}'\""))
        }
        Check::Kind => fault_unless(
            QueueKind::parse(text).is_some(),
            &format!("\"unsupported queue type '{shown}'\""),
        ),
        Check::Age => fault_unless(age_seconds(text).is_some(), "invalid_max_age"),
        Check::Anything
        | Check::Integer
        | Check::NonNegative
        | Check::Positive
        | Check::SegmentBytes
        | Check::Time
        | Check::PositiveTime
        | Check::Priority
        | Check::Version
        | Check::Flag
        | Check::Text => None,
    }
}

/// Whether it is a value of `x-overflow` and of the policy key `overflow`.
pub fn is_overflow(text: &[u8]) -> bool {
    matches!(text, b"drop-head" | b"reject-publish" | b"reject-publish-dlx")
}

/// Whether it is a value of `x-queue-mode` and of the policy key `queue-mode`.
pub fn is_queue_mode(text: &[u8]) -> bool {
    matches!(text, b"default" | b"lazy")
}

/// Whether it is a value of `x-dead-letter-strategy` and of the policy key.
pub fn is_dead_letter_strategy(text: &[u8]) -> bool {
    matches!(text, b"at-most-once" | b"at-least-once")
}

/// The seconds that an age such as `7D` stands for: a positive number and one of Y, M, D, h, m, s.
pub fn age_seconds(text: &[u8]) -> Option<u64> {
    let (unit, number) = text.split_last()?;
    let unit_seconds = match unit {
        b'Y' => 365 * 86_400,
        b'M' => 30 * 86_400,
        b'D' => 86_400,
        b'h' => 3600,
        b'm' => 60,
        b's' => 1,
        _ => return None,
    };
    if !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    number.checked_mul(unit_seconds).filter(|&seconds| seconds > 0)
}

fn check_name(resource: Resource<'_>, arguments: Table<'_>, name: &str) -> Result<(), AmqpError> {
    match arguments.find(name.as_bytes()) {
        Some(value) if value.text().is_none() => {
            refuse(format!("invalid type '{}' for arg '{name}' in {resource}", value.type_name()))
        }
        Some(_) | None => Ok(()),
    }
}

fn unacceptable(value: Value<'_>) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

fn refuse<T>(text: String) -> Result<T, AmqpError> {
    Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Level, TableBuf};

    const QUEUE: Resource<'static> = Resource::queue(b"/", b"q");

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

    fn traits(arguments: &TableBuf) -> QueueTraits<'_> {
        let arguments = arguments.table();
        QueueTraits { durable: true, exclusive: false, auto_delete: false, arguments }
    }

    /// The text of the refusal without its code, empty when the declaration is good.
    fn declare(fields: &[(&str, Value<'_>)]) -> String {
        refusal(check_queue(QUEUE, &traits(&table(fields))).map(|_| ()))
    }

    fn refusal(result: Result<(), AmqpError>) -> String {
        match result {
            Ok(()) => String::new(),
            Err(error) => {
                assert_eq!(error.level, Level::Channel);
                let text = error.text.strip_prefix("PRECONDITION_FAILED - ");
                text.expect("406").to_owned()
            }
        }
    }

    // Every expected text below is what RabbitMQ 3.10.8 answered, but for what is ours alone.

    #[test]
    fn numbers_out_of_range_are_refused_in_rabbitmqs_words() {
        for (name, value, fault) in [
            ("x-expires", 0, "{value_zero,0}"),
            ("x-expires", -1, "{value_negative,-1}"),
            ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
            ("x-message-ttl", -1, "{value_negative,-1}"),
            ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
            ("x-max-length", -1, "{value_negative,-1}"),
            ("x-max-length-bytes", -1, "{value_negative,-1}"),
            ("x-max-priority", 256, "{max_value_exceeded,256}"),
            ("x-max-priority", -1, "{value_negative,-1}"),
            ("x-queue-version", 3, "\"unsupported queue version '3'\""),
            ("x-initial-cluster-size", 0, "{value_zero,0}"),
            ("x-consumer-timeout", -1, "{value_negative,-1}"),
        ] {
            let expected = format!("invalid arg '{name}' for queue 'q' in vhost '/': {fault}");
            assert_eq!(declare(&[(name, Value::I64(value))]), expected);
        }
        for (name, value) in [
            ("x-expires", 1),
            ("x-expires", 315_360_000_000),
            ("x-message-ttl", 0),
            ("x-message-ttl", 315_360_000_000),
            ("x-max-length", 0),
            ("x-max-length-bytes", i64::MAX),
            ("x-max-priority", 1),
            ("x-max-priority", 255),
            ("x-queue-version", 2),
            ("x-delivery-limit", -1),
            ("x-unknown", -1),
        ] {
            assert_eq!(declare(&[(name, Value::I64(value))]), "", "{name} {value}");
        }
        assert_eq!(declare(&[("x-max-length", Value::U64(u64::MAX))]), "");
        let huge = declare(&[("x-expires", Value::U64(u64::MAX))]);
        assert!(huge.ends_with("{value_too_large,18446744073709551615}"), "{huge}");
    }

    #[test]
    fn wrong_types_are_refused_in_rabbitmqs_words() {
        let integers = ["x-expires", "x-message-ttl", "x-max-length", "x-max-priority"];
        for (value, type_name) in [
            (text("1"), "longstr"),
            (Value::Bool(true), "bool"),
            (Value::Void, "void"),
            (Value::Timestamp(1), "timestamp"),
            (Value::F64(1.0), "double"),
            (Value::Table(Table::EMPTY), "table"),
        ] {
            for name in integers {
                let fault = format!("\"expected integer, got {type_name}\"");
                let expected = format!("invalid arg '{name}' for queue 'q' in vhost '/': {fault}");
                assert_eq!(declare(&[(name, value)]), expected);
            }
        }
        for name in ["x-overflow", "x-queue-mode", "x-queue-type", "x-single-active-consumer"] {
            let fault = "{unacceptable_type,signedint}";
            let expected = format!("invalid arg '{name}' for queue 'q' in vhost '/': {fault}");
            assert_eq!(declare(&[(name, Value::I32(1))]), expected);
        }
        assert_eq!(
            declare(&[("x-dead-letter-exchange", Value::I32(1))]),
            "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
        );
    }

    #[test]
    fn words_out_of_the_list_are_refused_in_rabbitmqs_words() {
        for (name, value, fault) in [
            ("x-overflow", "a", "invalid_overflow"),
            ("x-queue-mode", "a", "\"unsupported queue mode 'a'\""),
            ("x-queue-type", "a", "\"unsupported queue type 'a'\""),
            ("x-dead-letter-strategy", "a", "invalid_dlx_strategy"),
            ("x-dead-letter-routing-key", "a", "routing_key_but_no_dlx_defined"),
        ] {
            let expected = format!("invalid arg '{name}' for queue 'q' in vhost '/': {fault}");
            assert_eq!(declare(&[(name, text(value))]), expected);
        }
        for (name, value) in [
            ("x-overflow", "drop-head"),
            ("x-overflow", "reject-publish"),
            ("x-overflow", "reject-publish-dlx"),
            ("x-queue-mode", "lazy"),
            ("x-queue-type", "classic"),
            ("x-queue-type", "quorum"),
            ("x-queue-type", "stream"),
            ("x-queue-leader-locator", "whatever"),
            ("x-queue-master-locator", "whatever"),
            ("x-ha-policy", "all"),
            ("x-dead-letter-exchange", ""),
        ] {
            assert_eq!(declare(&[(name, text(value))]), "", "{name} {value}");
        }
        let both = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("k"))];
        assert_eq!(declare(&both), "");
    }

    #[test]
    fn each_kind_of_queue_refuses_what_it_cannot_be() {
        let quorum = ("x-queue-type", text("quorum"));
        assert_eq!(
            declare(&[quorum, ("x-max-priority", Value::I32(5))]),
            "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type \
             rabbit_quorum_queue"
        );
        assert_eq!(
            declare(&[("x-max-age", text("1h"))]),
            "invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"
        );
        let stream = ("x-queue-type", text("stream"));
        assert_eq!(
            declare(&[stream, ("x-message-ttl", Value::I32(5))]),
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/' of queue type \
             rabbit_stream_queue"
        );
        assert_eq!(declare(&[stream, ("x-max-age", text("1h"))]), "");
        assert!(declare(&[stream, ("x-max-age", text("h"))]).ends_with(": invalid_max_age"));
        assert_eq!(declare(&[quorum, ("x-delivery-limit", Value::I32(5))]), "");

        let arguments = table(&[quorum]);
        let with = |durable, exclusive, auto_delete| {
            let arguments = arguments.table();
            let traits = QueueTraits { durable, exclusive, auto_delete, arguments };
            refusal(check_queue(QUEUE, &traits).map(|kind| assert_eq!(kind, QueueKind::Quorum)))
        };
        assert_eq!(with(true, false, false), "");
        let invalid =
            |property| format!("invalid property '{property}' for queue 'q' in vhost '/'");
        assert_eq!(with(false, false, false), invalid("non-durable"));
        assert_eq!(with(true, true, false), invalid("exclusive-owner"));
        assert_eq!(with(true, false, true), invalid("auto-delete"));
    }

    #[test]
    fn alternate_exchanges_are_names() {
        let exchange = Resource::exchange(b"/", b"x");
        let check = |value| {
            let arguments = table(&[(ALTERNATE_EXCHANGE, value)]);
            refusal(check_exchange(exchange, arguments.table()))
        };
        assert_eq!(check(text("a")), "");
        assert_eq!(
            check(Value::Void),
            "invalid type 'void' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
        );
    }

    #[test]
    fn consumers_have_priorities_that_are_integers() {
        let check = |value| {
            let arguments = table(&[("x-priority", value)]);
            refusal(check_consumer(QUEUE, QueueKind::Classic, arguments.table()))
        };
        assert_eq!(check(Value::I32(-5)), "");
        assert_eq!(
            check(text("a")),
            "invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\""
        );
    }

    #[test]
    fn ages_are_numbers_with_a_unit() {
        assert_eq!(age_seconds(b"7D"), Some(604_800));
        assert_eq!(age_seconds(b"1Y"), Some(31_536_000));
        for bad in ["", "h", "0s", "5", "-1s", "+1s", "1w", "1 h", "99999999999999999999Y"] {
            assert_eq!(age_seconds(bad.as_bytes()), None, "{bad}");
        }
    }
}
