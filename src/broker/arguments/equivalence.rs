//! Does a declaration agree with the queue or exchange that is there already?
//!
//! RabbitMQ compares some properties and some arguments in an order of its own and has its words
//! for the first difference; clients and their tests match on those texts. Imports `amqp`.

use crate::amqp::{AmqpError, ReplyCode, Table, Value};
use crate::broker::arguments::{ALTERNATE_EXCHANGE, QUEUE_ARGUMENTS, QueueKind, QueueTraits};
use crate::broker::exchange::values::same_value;
use crate::broker::resource::Resource;

/// What an exchange.declare says of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeTraits<'a> {
    /// The name of its type.
    pub kind: &'a [u8],
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// It takes messages from other exchanges only.
    pub internal: bool,
    /// Its arguments.
    pub arguments: Table<'a>,
}

/// Compares a declaration with the queue that is there. Whether an exclusive queue belongs to the
/// declaring connection is for the caller to see before ([`resource_locked`]).
///
/// # Errors
/// 405 when only one of the two is exclusive, 406 for the first other difference.
pub fn check_queue_equivalence(
    queue: Resource<'_>,
    current: &QueueTraits<'_>,
    received: &QueueTraits<'_>,
) -> Result<(), AmqpError> {
    if current.exclusive != received.exclusive {
        return Err(resource_locked(queue));
    }
    same_flag(queue, "durable", current.durable, received.durable)?;
    same_flag(queue, "auto_delete", current.auto_delete, received.auto_delete)?;
    let kind = QueueKind::of(current.arguments);
    for (name, _) in QUEUE_ARGUMENTS.into_iter().filter(|(name, _)| kind.compares(name)) {
        same_argument(queue, name, current.arguments, received.arguments)?;
    }
    Ok(())
}

/// Compares a declaration with the exchange that is there.
///
/// # Errors
/// 406 for the first difference.
pub fn check_exchange_equivalence(
    exchange: Resource<'_>,
    current: &ExchangeTraits<'_>,
    received: &ExchangeTraits<'_>,
) -> Result<(), AmqpError> {
    if current.kind != received.kind {
        let received = String::from_utf8_lossy(received.kind);
        let current = String::from_utf8_lossy(current.kind);
        return inequivalent(exchange, "type", &quoted(&received), &quoted(&current));
    }
    same_flag(exchange, "durable", current.durable, received.durable)?;
    same_flag(exchange, "auto_delete", current.auto_delete, received.auto_delete)?;
    same_flag(exchange, "internal", current.internal, received.internal)?;
    same_argument(exchange, ALTERNATE_EXCHANGE, current.arguments, received.arguments)
}

/// The 405 for the use of an exclusive queue that belongs to another connection.
pub fn resource_locked(queue: Resource<'_>) -> AmqpError {
    AmqpError::channel(
        ReplyCode::ResourceLocked,
        format!(
            "cannot obtain exclusive access to locked {queue}. It could be originally declared on \
             another connection or the exclusive property value does not match that of the \
             original declaration."
        ),
    )
}

fn same_flag(
    resource: Resource<'_>,
    name: &str,
    current: bool,
    received: bool,
) -> Result<(), AmqpError> {
    if current == received {
        return Ok(());
    }
    inequivalent(resource, name, &quoted(&received.to_string()), &quoted(&current.to_string()))
}

fn same_argument(
    resource: Resource<'_>,
    name: &str,
    current: Table<'_>,
    received: Table<'_>,
) -> Result<(), AmqpError> {
    let (current, received) = (current.find(name.as_bytes()), received.find(name.as_bytes()));
    match (current, received) {
        (None, None) => Ok(()),
        (Some(current), Some(received)) if same_value(current, received) => Ok(()),
        (Some(current), Some(received)) => inequivalent(
            resource,
            name,
            &quoted(&received.to_string()),
            &quoted(&current.to_string()),
        ),
        // A classic queue is one whether it says so or not.
        (Some(only), None) | (None, Some(only))
            if name == "x-queue-type" && only.text() == Some(b"classic") =>
        {
            Ok(())
        }
        (current, received) => {
            inequivalent(resource, name, &described(received), &described(current))
        }
    }
}

fn inequivalent(
    resource: Resource<'_>,
    name: &str,
    received: &str,
    current: &str,
) -> Result<(), AmqpError> {
    refuse(format!(
        "inequivalent arg '{name}' for {resource}: received {received} but current is {current}"
    ))
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn described(value: Option<Value<'_>>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{value}' of type '{}'", value.type_name()),
    }
}

fn refuse(text: String) -> Result<(), AmqpError> {
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

    fn redeclare(current: &[(&str, Value<'_>)], received: &[(&str, Value<'_>)]) -> String {
        let (current, received) = (table(current), table(received));
        refusal(check_queue_equivalence(QUEUE, &traits(&current), &traits(&received)))
    }

    #[test]
    fn arguments_that_differ_are_told_in_rabbitmqs_words() {
        let ttl = |value| [("x-message-ttl", Value::I64(value))];
        let prefix = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': ";
        assert_eq!(
            redeclare(&[], &ttl(1)),
            format!("{prefix}received the value '1' of type 'long' but current is none")
        );
        assert_eq!(
            redeclare(&ttl(1), &[]),
            format!("{prefix}received none but current is the value '1' of type 'long'")
        );
        assert_eq!(
            redeclare(&ttl(8_589_934_592), &ttl(2)),
            format!("{prefix}received '2' but current is '8589934592'")
        );
        let dlx = |name| [("x-dead-letter-exchange", text(name))];
        assert_eq!(
            redeclare(&dlx("a"), &dlx("b")),
            "inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received 'b' \
             but current is 'a'"
        );
        let active = |flag| [("x-single-active-consumer", Value::Bool(flag))];
        assert_eq!(
            redeclare(&active(true), &active(false)),
            "inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': received \
             'false' but current is 'true'"
        );
        // In RabbitMQ's order, and without a look at whether the new value is valid.
        let both = [("x-max-length", Value::I32(5)), ("x-expires", Value::I32(-1))];
        assert!(redeclare(&[], &both).starts_with("inequivalent arg 'x-expires'"));
    }

    #[test]
    fn integers_of_any_width_unknown_arguments_and_classic_or_nothing_are_equivalent() {
        assert_eq!(redeclare(&[("x-expires", Value::I32(5))], &[("x-expires", Value::I64(5))]), "");
        assert_eq!(redeclare(&[("x-expires", Value::U8(5))], &[("x-expires", Value::I16(5))]), "");
        assert_ne!(redeclare(&[("x-expires", Value::I8(5))], &[("x-expires", text("5"))]), "");
        assert_eq!(redeclare(&[("x-foo", Value::I32(5))], &[("x-foo", text("5"))]), "");
        let classic = [("x-queue-type", text("classic"))];
        assert_eq!(redeclare(&classic, &[]), "");
        assert_eq!(redeclare(&[], &classic), "");
        assert_eq!(
            redeclare(&[], &[("x-queue-type", text("quorum"))]),
            "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value \
             'quorum' of type 'longstr' but current is none"
        );
    }

    #[test]
    fn properties_that_differ_come_before_arguments() {
        let (none, ttl) = (table(&[]), table(&[("x-message-ttl", Value::I32(1))]));
        let current = traits(&none);
        let differing = |received: QueueTraits<'_>| {
            check_queue_equivalence(QUEUE, &current, &received).unwrap_err().text
        };
        assert_eq!(
            differing(QueueTraits { durable: false, ..traits(&ttl) }),
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': \
             received 'false' but current is 'true'"
        );
        assert_eq!(
            differing(QueueTraits { auto_delete: true, ..traits(&ttl) }),
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': \
             received 'true' but current is 'false'"
        );
        assert_eq!(
            differing(QueueTraits { exclusive: true, durable: false, ..traits(&ttl) }),
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It \
             could be originally declared on another connection or the exclusive property value \
             does not match that of the original declaration."
        );
    }

    #[test]
    fn exchanges_are_compared_by_type_flags_and_alternate() {
        let exchange = Resource::exchange(b"/", b"x");
        let (none, alternate) = (table(&[]), table(&[(ALTERNATE_EXCHANGE, text("a"))]));
        let current = ExchangeTraits {
            kind: b"direct",
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: none.table(),
        };
        let differing =
            |received| refusal(check_exchange_equivalence(exchange, &current, &received));
        let prefix = |name| format!("inequivalent arg '{name}' for exchange 'x' in vhost '/': ");
        assert_eq!(differing(current), "");
        assert_eq!(
            differing(ExchangeTraits { kind: b"fanout", durable: true, ..current }),
            prefix("type") + "received 'fanout' but current is 'direct'"
        );
        for (name, received) in [
            ("durable", ExchangeTraits { durable: true, internal: true, ..current }),
            ("auto_delete", ExchangeTraits { auto_delete: true, internal: true, ..current }),
            ("internal", ExchangeTraits { internal: true, ..current }),
        ] {
            assert_eq!(
                differing(received),
                prefix(name) + "received 'true' but current is 'false'"
            );
        }
        assert_eq!(
            differing(ExchangeTraits { arguments: alternate.table(), ..current }),
            prefix(ALTERNATE_EXCHANGE)
                + "received the value 'a' of type 'longstr' but current is none"
        );
    }
}
