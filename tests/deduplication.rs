//! Does a message that comes twice arrive once?

mod common;

use common::*;

/// Publishes a message that names itself.
fn publish_named(client: &mut Client, exchange: &str, key: &str, name: Value<'_>, body: &str) {
    let headers = fields(&[("x-deduplication-header", name)]);
    let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
    client.publish_with(1, exchange, key, &properties, body.as_bytes());
}

fn declare(client: &mut Client, name: &str, durable: bool, arguments: &TableBuf) {
    let declare = exchange::Declare {
        exchange: name.as_bytes(),
        kind: b"x-message-deduplication",
        durable,
        arguments: arguments.table(),
        ..Default::default()
    };
    client.call::<ExchangeDeclareOk>(1, declare);
}

#[test]
fn deduplication_exchange_routes_each_name_once() {
    let server = Server::start();
    if server.differs("it has no such exchange") {
        return;
    }
    let mut client = Client::connect(server.address());
    let arguments = fields(&[("x-cache-size", Value::I32(2))]);
    declare(&mut client, "once", false, &arguments);
    let (one, two) = (client.queue(1), client.queue(1));
    client.bind(1, &one, "once", "");
    client.bind(1, &two, "once", "other");
    for (name, body) in [("a", "1"), ("a", "again"), ("b", "2"), ("a", "again"), ("b", "again")] {
        publish_named(&mut client, "once", "any", word(name), body);
    }
    // The number 1 is not the text 1, and what has no name is not looked at.
    publish_named(&mut client, "once", "", Value::I32(1), "3");
    client.publish(1, "once", "", "4");
    client.publish(1, "once", "", "5");
    // There is room for two names: the oldest went, and is new again.
    publish_named(&mut client, "once", "", word("a"), "6");
    for queue in [&one, &two] {
        assert_eq!(client.drain(1, queue), ["1", "2", "3", "4", "5", "6"]);
    }
}

#[test]
fn repeated_message_is_confirmed_and_not_returned_to_a_queue() {
    let server = Server::start();
    if server.differs("it has no such exchange") {
        return;
    }
    let mut client = Client::connect(server.address());
    declare(&mut client, "once", false, &fields(&[("x-cache-size", Value::I32(10))]));
    let queue = client.queue(1);
    client.bind(1, &queue, "once", "");
    client.confirm_select(1);
    for tag in 1..=3 {
        publish_named(&mut client, "once", "", word("same"), "x");
        assert_eq!(client.expect::<Ack>(1).tag, tag);
    }
    assert_eq!(client.drain(1, &queue), ["x"]);
}

#[test]
fn deduplication_exchange_needs_a_cache_size() {
    let server = Server::start();
    if server.differs("it has no such exchange") {
        return;
    }
    let mut client = Client::connect(server.address());
    for arguments in [
        TableBuf::new(),
        fields(&[("x-cache-size", Value::I32(0))]),
        fields(&[("x-cache-size", word("many"))]),
    ] {
        let declare = exchange::Declare {
            exchange: b"once",
            kind: b"x-message-deduplication",
            arguments: arguments.table(),
            ..Default::default()
        };
        client.send(1, declare);
        client.expect_channel_error(1, 406, "PRECONDITION_FAILED - ");
        client.open(1);
    }
}

#[test]
fn deduplicating_queue_takes_a_name_again_once_its_message_is_gone() {
    let server = Server::start();
    if server.differs("it has no such argument") {
        return;
    }
    let mut client = Client::connect(server.address());
    let arguments = fields(&[("x-message-deduplication", Value::Bool(true))]);
    let queue = client.queue_with(1, arguments.table());
    let plain = client.queue(1);
    client.bind(1, &queue, "amq.fanout", "");
    client.bind(1, &plain, "amq.fanout", "");
    for (name, body) in [("a", "1"), ("a", "again"), ("b", "2")] {
        publish_named(&mut client, "amq.fanout", "", word(name), body);
    }
    assert_eq!(client.drain(1, &plain), ["1", "again", "2"]);
    let held = client.get(1, &queue).expect("two messages are there");
    // It was delivered, but is not gone.
    publish_named(&mut client, "", &queue, word("a"), "again");
    client.ack(1, held.tag);
    publish_named(&mut client, "", &queue, word("a"), "3");
    assert_eq!(client.drain(1, &queue), ["2", "3"]);
}

#[test]
fn names_are_remembered_over_a_restart() {
    let Some(mut node) = Node::start() else { return };
    for end in [End::Term, End::Kill] {
        let mut client = node.connect();
        let (exchange, queue) = (unique("once"), client.durable_queue(1));
        declare(&mut client, &exchange, true, &fields(&[("x-cache-size", Value::I32(10))]));
        client.bind(1, &queue, &exchange, "");
        let arguments = fields(&[("x-message-deduplication", Value::Bool(true))]);
        let own = client.durable_queue_with(1, arguments.table());
        client.confirm_select(1);
        publish_named(&mut client, &exchange, "", word("a"), "1");
        client.expect::<Ack>(1);
        publish_named(&mut client, "", &own, word("a"), "1");
        client.expect::<Ack>(1);
        node.restart(end, client);
        let mut client = node.connect();
        for name in ["a", "b"] {
            publish_named(&mut client, &exchange, "", word(name), "2");
            publish_named(&mut client, "", &own, word(name), "2");
        }
        assert_eq!(client.drain(1, &queue), ["1", "2"], "after {end:?}");
        assert_eq!(client.drain(1, &own), ["1", "2"], "after {end:?}");
    }
}
