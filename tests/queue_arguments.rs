//! Which arguments may a queue be declared with, and when are two declares the same?

mod common;

use common::*;

fn named(name: &str) -> queue::Declare<'_> {
    queue::Declare { queue: name.as_bytes(), ..Default::default() }
}

fn passive(name: &str) -> queue::Declare<'_> {
    queue::Declare { passive: true, ..named(name) }
}

/// Sends a method that has to fail; the channel is open again afterwards.
fn refuse<'a>(client: &mut Client, method: impl Into<Method<'a>>, code: u16, text: &str) {
    client.send(1, method);
    client.expect_channel_error(1, code, text);
    client.open(1);
}

/// A table with one argument.
fn argument(key: &str, value: Value<'_>) -> TableBuf {
    let mut table = TableBuf::new();
    table.put(key.as_bytes(), value);
    table
}

#[test]
fn inequivalent_argument_is_406_and_says_what_was_received() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    let name = client.shared_queue(1);
    let ttl = argument("x-message-ttl", Value::I64(1));
    let other = queue::Declare { auto_delete: true, arguments: ttl.table(), ..named(&name) };
    refuse(
        &mut client,
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
    let server = Server::start();
    let mut client = Client::connect(server.address());
    let name = unique("q");
    for value in [Value::I64(5), Value::I32(5), Value::I16(5), Value::I8(5), Value::U8(5)] {
        let length = argument("x-max-length", value);
        let declare = queue::Declare { exclusive: true, arguments: length.table(), ..named(&name) };
        client.call::<DeclareOk>(1, declare);
    }
    let length = argument("x-max-length", Value::I64(6));
    let declare = queue::Declare { exclusive: true, arguments: length.table(), ..named(&name) };
    refuse(&mut client, declare, 406, "inequivalent arg 'x-max-length'");
}

#[test]
fn unknown_arguments_are_kept_and_ignored() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    let unknown = argument("x-of-our-own", Value::LongString(b"whatever"));
    let name = client.queue_with(1, unknown.table());
    client.publish(1, "", &name, "works");
    assert_eq!(client.drain(1, &name), ["works"]);
}

#[test]
fn invalid_arguments_are_406() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    let invalid: [(&str, Value<'_>); 24] = [
        ("x-expires", Value::I64(0)),
        ("x-expires", Value::I64(-1)),
        ("x-expires", Value::I64(315_360_000_001)),
        ("x-expires", Value::LongString(b"100")),
        ("x-message-ttl", Value::I64(-1)),
        ("x-message-ttl", Value::I64(315_360_000_001)),
        ("x-message-ttl", Value::LongString(b"100")),
        ("x-max-length", Value::I64(-1)),
        ("x-max-length", Value::LongString(b"10")),
        ("x-max-length-bytes", Value::I64(-1)),
        ("x-max-length-bytes", Value::Bool(true)),
        ("x-max-priority", Value::I64(-1)),
        ("x-max-priority", Value::I64(256)),
        ("x-max-priority", Value::LongString(b"5")),
        ("x-dead-letter-exchange", Value::I64(1)),
        ("x-dead-letter-routing-key", Value::LongString(b"key")),
        ("x-overflow", Value::LongString(b"overflow")),
        ("x-overflow", Value::I64(1)),
        ("x-single-active-consumer", Value::LongString(b"true")),
        ("x-queue-type", Value::LongString(b"mystery")),
        ("x-queue-type", Value::I64(1)),
        ("x-queue-mode", Value::LongString(b"fast")),
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
        refuse(&mut client, passive(&name), 404, "NOT_FOUND - no queue");
    }
}

#[test]
fn invalid_argument_is_named() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    for (key, value) in [
        ("x-expires", Value::I64(0)),
        ("x-message-ttl", Value::I64(-1)),
        ("x-max-length", Value::I64(-1)),
        ("x-overflow", Value::LongString(b"overflow")),
    ] {
        let name = unique("q");
        let arguments = argument(key, value);
        let text = format!("PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost");
        let declare = queue::Declare { arguments: arguments.table(), ..named(&name) };
        refuse(&mut client, declare, 406, &text);
    }
}

#[test]
fn limits_of_arguments_themselves_are_taken() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    for (key, value) in [
        ("x-expires", Value::I64(600_000)),
        ("x-expires", Value::I64(315_360_000_000)),
        ("x-message-ttl", Value::I64(0)),
        ("x-message-ttl", Value::I64(315_360_000_000)),
        ("x-max-length", Value::I64(0)),
        ("x-max-length-bytes", Value::I64(0)),
        ("x-max-priority", Value::I64(1)),
        ("x-max-priority", Value::I64(255)),
        ("x-overflow", Value::LongString(b"drop-head")),
        ("x-overflow", Value::LongString(b"reject-publish")),
        ("x-overflow", Value::LongString(b"reject-publish-dlx")),
        ("x-queue-mode", Value::LongString(b"lazy")),
        ("x-queue-type", Value::LongString(b"classic")),
        ("x-queue-master-locator", Value::LongString(b"min-masters")),
        ("x-single-active-consumer", Value::Bool(true)),
    ] {
        let arguments = argument(key, value);
        let name = client.queue_with(1, arguments.table());
        client.delete_queue(1, &name);
    }
}

#[test]
fn transient_quorum_queue_is_406() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    let arguments = argument("x-queue-type", Value::LongString(b"quorum"));
    let name = unique("q");
    let transient = queue::Declare { arguments: arguments.table(), ..named(&name) };
    refuse(&mut client, transient, 406, "PRECONDITION_FAILED - ");
    let exclusive = queue::Declare { durable: true, exclusive: true, ..transient };
    refuse(&mut client, exclusive, 406, "PRECONDITION_FAILED - ");
}
