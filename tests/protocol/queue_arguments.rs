//! Which arguments may a queue be declared with, and when are two declares the same?

use crate::common::*;

/// A table with one argument.
fn argument(key: &str, value: Value<'_>) -> TableBuf {
    let mut table = TableBuf::new();
    table.put(key.as_bytes(), value);
    table
}

#[test]
fn inequivalent_argument_is_406_and_says_what_was_received() {
    let (_server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    let ttl = argument("x-message-ttl", Value::I64(1));
    let other = queue::Declare { auto_delete: true, arguments: ttl.table(), ..named(&name) };
    client.refused(
        1,
        other,
        406,
        &format!(
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{name}' in vhost \
             '/': received the value '1' of type 'long' but current is none"
        ),
    );
    client.delete_queue(1, &name);
}

#[test]
fn integers_of_any_width_are_compared_by_value() {
    let (_server, mut client) = Server::with_client();
    let name = unique("q");
    for value in [Value::I64(5), Value::I32(5), Value::I16(5), Value::I8(5), Value::U8(5)] {
        let length = argument("x-max-length", value);
        let declare = queue::Declare { exclusive: true, arguments: length.table(), ..named(&name) };
        client.call::<DeclareOk>(1, declare);
    }
    let length = argument("x-max-length", Value::I64(6));
    let declare = queue::Declare { exclusive: true, arguments: length.table(), ..named(&name) };
    client.refused(1, declare, 406, "inequivalent arg 'x-max-length'");
}

#[test]
fn argument_of_another_kind_differs() {
    let (_server, mut client) = Server::with_client();
    let name = unique("q");
    let length = argument("x-max-length", Value::I64(5));
    let declare = queue::Declare { exclusive: true, arguments: length.table(), ..named(&name) };
    client.call::<DeclareOk>(1, declare);
    for value in [word("5"), Value::F64(5.0), Value::Bool(true), Value::Void] {
        let other = argument("x-max-length", value);
        let text = format!("inequivalent arg 'x-max-length' for queue '{name}' in vhost '/'");
        client.refused(1, queue::Declare { arguments: other.table(), ..declare }, 406, &text);
    }
    client.call::<DeclareOk>(1, declare);
}

#[test]
fn hints_about_placement_and_mirrors_are_accepted() {
    let Some((_server, mut client)) = Server::ours("it has one of them for each type of queue")
    else {
        return;
    };
    let mut nodes = ArrayBuf::new();
    nodes.push_str("rabbit@elsewhere");
    for (key, value) in [
        ("x-queue-mode", word("default")),
        ("x-queue-mode", word("lazy")),
        ("x-queue-leader-locator", word("balanced")),
        ("x-queue-master-locator", word("min-masters")),
        ("x-ha-policy", word("all")),
        ("x-ha-nodes", Value::Array(nodes.array())),
    ] {
        let arguments = argument(key, value);
        let name = client.queue_with(1, arguments.table());
        client.publish(1, "", &name, key);
        assert_eq!(client.drain(1, &name), [key]);
        client.delete_queue(1, &name);
    }
}

#[test]
fn max_priority_0_means_no_priorities() {
    let (_server, mut client) = Server::with_client();
    let zero = argument("x-max-priority", Value::I32(0));
    let queue = client.queue_with(1, zero.table());
    for (priority, body) in [(0, "first"), (9, "second")] {
        let properties = PropertyList { priority: Some(priority), ..Default::default() };
        client.publish_with(1, "", &queue, &properties, body.as_bytes());
    }
    assert_eq!(client.drain(1, &queue), ["first", "second"]);
}

/// Which arguments are compared depends on the kind of the queue, as in RabbitMQ 3.13.
#[test]
fn declared_again_a_queue_compares_what_its_kind_knows() {
    let (_server, mut client) = Server::with_client();
    fn lasting<'a>(name: &'a str, arguments: Table<'a>) -> queue::Declare<'a> {
        queue::Declare { durable: true, arguments, ..named(name) }
    }
    let queue = unique("again");
    client.call::<DeclareOk>(1, lasting(&queue, Table::EMPTY));
    for (name, value) in [
        ("x-consumer-timeout", Value::I64(60_000)),
        ("x-delivery-limit", Value::I64(5)),
        ("x-dead-letter-strategy", word("at-most-once")),
        ("x-queue-leader-locator", word("client-local")),
    ] {
        let arguments = argument(name, value);
        client.call::<DeclareOk>(1, lasting(&queue, arguments.table()));
    }
    for (name, value) in [("x-queue-master-locator", "min-masters"), ("x-queue-mode", "lazy")] {
        let arguments = argument(name, word(value));
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{name}' for queue '{queue}' in vhost '/': \
             received the value '{value}' of type 'longstr' but current is none"
        );
        client.refused(1, lasting(&queue, arguments.table()), 406, &text);
    }
    client.delete_queue(1, &queue);
    let quorum = fields(&[("x-queue-type", word("quorum"))]);
    client.call::<DeclareOk>(1, lasting(&queue, quorum.table()));
    let limited = fields(&[("x-queue-type", word("quorum")), ("x-delivery-limit", Value::I64(5))]);
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue '{queue}' in vhost \
         '/': received the value '5' of type 'long' but current is none"
    );
    client.refused(1, lasting(&queue, limited.table()), 406, &text);
    client.delete_queue(1, &queue);
}

#[test]
fn dead_letter_key_without_a_dead_letter_exchange_is_406() {
    let (_server, mut client) = Server::with_client();
    let name = unique("q");
    let alone = fields(&[("x-dead-letter-routing-key", word("key"))]);
    let declare = queue::Declare { exclusive: true, arguments: alone.table(), ..named(&name) };
    let text = format!(
        "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue '{name}' in \
         vhost '/': routing_key_but_no_dlx_defined"
    );
    client.refused(1, declare, 406, &text);
    let both =
        fields(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word("k"))]);
    client.call::<DeclareOk>(1, queue::Declare { arguments: both.table(), ..declare });
}

#[test]
fn unknown_arguments_are_kept_and_ignored() {
    let (_server, mut client) = Server::with_client();
    let unknown = argument("x-of-our-own", word("whatever"));
    let name = client.queue_with(1, unknown.table());
    client.publish(1, "", &name, "works");
    assert_eq!(client.drain(1, &name), ["works"]);
}

#[test]
fn invalid_arguments_are_406() {
    let (_server, mut client) = Server::with_client();
    let invalid: [(&str, Value<'_>); 24] = [
        ("x-expires", Value::I64(0)),
        ("x-expires", Value::I64(-1)),
        ("x-expires", Value::I64(315_360_000_001)),
        ("x-expires", word("100")),
        ("x-message-ttl", Value::I64(-1)),
        ("x-message-ttl", Value::I64(315_360_000_001)),
        ("x-message-ttl", word("100")),
        ("x-max-length", Value::I64(-1)),
        ("x-max-length", word("10")),
        ("x-max-length-bytes", Value::I64(-1)),
        ("x-max-length-bytes", Value::Bool(true)),
        ("x-max-priority", Value::I64(-1)),
        ("x-max-priority", Value::I64(256)),
        ("x-max-priority", word("5")),
        ("x-dead-letter-exchange", Value::I64(1)),
        ("x-dead-letter-routing-key", word("key")),
        ("x-overflow", word("overflow")),
        ("x-overflow", Value::I64(1)),
        ("x-single-active-consumer", word("true")),
        ("x-queue-type", word("mystery")),
        ("x-queue-type", Value::I64(1)),
        ("x-queue-mode", word("fast")),
        ("x-queue-mode", Value::I64(1)),
        ("x-dead-letter-exchange", Value::Bool(false)),
    ];
    for (key, value) in invalid {
        let name = unique("q");
        let arguments = argument(key, value);
        let declare =
            queue::Declare { exclusive: true, arguments: arguments.table(), ..named(&name) };
        client.send(1, declare);
        let close = client.expect::<ChannelClose>(1).0;
        assert_eq!(close.code, 406, "{key} = {value}: {close:?}");
        assert!(close.text.starts_with("PRECONDITION_FAILED - "), "{close:?}");
        client.send(1, channel::CloseOk {});
        client.open(1);
        client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
    }
}

#[test]
fn invalid_argument_is_named() {
    let (_server, mut client) = Server::with_client();
    for (key, value) in [
        ("x-expires", Value::I64(0)),
        ("x-message-ttl", Value::I64(-1)),
        ("x-max-length", Value::I64(-1)),
        ("x-overflow", word("overflow")),
    ] {
        let name = unique("q");
        let arguments = argument(key, value);
        let text = format!("PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost");
        let declare = queue::Declare { arguments: arguments.table(), ..named(&name) };
        client.refused(1, declare, 406, &text);
    }
}

#[test]
fn limits_of_arguments_themselves_are_taken() {
    let (_server, mut client) = Server::with_client();
    for (key, value) in [
        ("x-expires", Value::I64(600_000)),
        ("x-expires", Value::I64(315_360_000_000)),
        ("x-message-ttl", Value::I64(0)),
        ("x-message-ttl", Value::I64(315_360_000_000)),
        ("x-max-length", Value::I64(0)),
        ("x-max-length-bytes", Value::I64(0)),
        ("x-max-priority", Value::I64(1)),
        ("x-max-priority", Value::I64(255)),
        ("x-overflow", word("drop-head")),
        ("x-overflow", word("reject-publish")),
        ("x-overflow", word("reject-publish-dlx")),
        ("x-queue-mode", word("lazy")),
        ("x-queue-type", word("classic")),
        ("x-queue-master-locator", word("min-masters")),
        ("x-single-active-consumer", Value::Bool(true)),
    ] {
        let arguments = argument(key, value);
        let name = client.queue_with(1, arguments.table());
        client.delete_queue(1, &name);
    }
}

#[test]
fn queue_that_says_nothing_of_its_type_is_classic() {
    let (_server, mut client) = Server::with_client();
    let classic = argument("x-queue-type", word("classic"));
    let quorum = argument("x-queue-type", word("quorum"));
    for first in [Table::EMPTY, classic.table()] {
        let name = unique("q");
        let declare = |arguments| queue::Declare { durable: true, arguments, ..named(&name) };
        client.call::<DeclareOk>(1, declare(first));
        client.call::<DeclareOk>(1, declare(Table::EMPTY));
        client.call::<DeclareOk>(1, declare(classic.table()));
        let text = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'";
        client.refused(1, declare(quorum.table()), 406, text);
        client.delete_queue(1, &name);
    }
}

#[test]
fn transient_quorum_queue_is_406() {
    let (_server, mut client) = Server::with_client();
    let arguments = argument("x-queue-type", word("quorum"));
    let name = unique("q");
    let transient = queue::Declare { arguments: arguments.table(), ..named(&name) };
    client.refused(1, transient, 406, "PRECONDITION_FAILED - ");
    let exclusive = queue::Declare { durable: true, exclusive: true, ..transient };
    client.refused(1, exclusive, 406, "PRECONDITION_FAILED - ");
}
