//! How do the exchange types that RabbitMQ has as plugins route?

use crate::common::*;

/// Queues bound with these keys.
fn bound(client: &mut Client, exchange: &str, keys: &[&str]) -> Vec<String> {
    keys.iter()
        .map(|key| {
            let queue = client.queue(1);
            client.bind(1, &queue, exchange, key);
            queue
        })
        .collect()
}

#[test]
fn consistent_hash_sends_a_key_to_one_queue_and_always_the_same() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "x-consistent-hash");
    let queues = bound(&mut client, &exchange, &["1", "1", "2"]);
    for _ in 0..3 {
        for key in 0..100 {
            let key = format!("key {key}");
            client.publish(1, &exchange, &key, &key);
        }
    }
    let mut all = Vec::new();
    for queue in &queues {
        let mut bodies = client.drain(1, queue);
        let taken = bodies.len();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len() * 3, taken, "a key went to two queues");
        all.extend(bodies);
    }
    assert_eq!(all.len(), 100, "each key went to exactly one queue");
    client.delete_exchange(1, &exchange);
}

#[test]
fn consistent_hash_shares_by_weight() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "x-consistent-hash");
    let queues = bound(&mut client, &exchange, &["10", "30"]);
    for key in 0..4000 {
        client.publish(1, &exchange, &format!("key {key}"), "x");
    }
    let counts: Vec<_> = queues.iter().map(|queue| client.drain(1, queue).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 4000);
    assert!((600..1400).contains(&counts[0]), "a quarter of 4000 expected: {counts:?}");
    client.delete_exchange(1, &exchange);
}

#[test]
fn consistent_hash_wants_an_integer_as_binding_key() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "x-consistent-hash");
    let queue = client.queue(1);
    for key in ["heavy", "", "1.5", "-1"] {
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            ..Default::default()
        };
        // An empty key would stand for the queue's name if the queue were empty, too.
        client.refused(1, bind, 406, "PRECONDITION_FAILED - ");
    }
    client.delete_exchange(1, &exchange);
}

/// A hundred messages with these properties and a key each have to go to one of two queues.
fn hash_together(what: &str, by: &str, properties: &PropertyList<'_>) {
    let (_server, mut client) = Server::with_client();
    let arguments = fields(&[(what, word(by))]);
    let exchange = client.exchange_with(1, "x-consistent-hash", arguments.table());
    let queues = bound(&mut client, &exchange, &["1", "1"]);
    for number in 0..100 {
        client.publish_with(1, &exchange, &number.to_string(), properties, b"x");
    }
    let mut counts: Vec<_> = queues.iter().map(|queue| client.drain(1, queue).len()).collect();
    counts.sort();
    assert_eq!(counts, [0, 100], "{what} {by}");
    client.delete_exchange(1, &exchange);
}

#[test]
fn consistent_hash_can_look_at_a_header() {
    let headers = fields(&[("customer", word("the same"))]);
    hash_together("hash-header", "customer", &with_headers(&headers));
}

#[test]
fn consistent_hash_can_look_at_a_property() {
    let properties = PropertyList { correlation_id: Some(b"same"), ..Default::default() };
    hash_together("hash-property", "correlation_id", &properties);
}

#[test]
fn random_sends_each_message_to_one_of_its_queues() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "x-random");
    let queues = bound(&mut client, &exchange, &["", "a", "b"]);
    for _ in 0..300 {
        client.publish(1, &exchange, "ignored", "x");
    }
    let counts: Vec<_> = queues.iter().map(|queue| client.drain(1, queue).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 300);
    assert!(counts.iter().all(|&count| count > 30), "{counts:?}");
    client.delete_exchange(1, &exchange);
}

#[test]
fn random_and_consistent_hash_choose_once_whatever_keys_cc_has() {
    let (_server, mut client) = Server::with_client();
    client.confirm_select(1);
    let mut cc = ArrayBuf::new();
    (0..20).for_each(|number| cc.push_str(&format!("another key {number}")));
    let headers = fields(&[("CC", Value::Array(cc.array()))]);
    let properties = with_headers(&headers);
    for kind in ["x-random", "x-consistent-hash"] {
        let exchange = client.exchange(1, kind);
        let queues = bound(&mut client, &exchange, &["1", "1", "1"]);
        for number in 0..10 {
            client.confirmed(1, &exchange, &number.to_string(), &properties, "x");
        }
        let taken: usize = queues.iter().map(|queue| client.drain(1, queue).len()).sum();
        assert_eq!(taken, 10, "{kind}");
        client.delete_exchange(1, &exchange);
    }
}

fn delay(client: &mut Client, channel: u16, exchange: &str, key: &str, delay_ms: i64, body: &str) {
    let headers = fields(&[("x-delay", Value::I64(delay_ms))]);
    client.publish_headers(channel, exchange, key, &headers, body);
}

#[test]
fn delayed_message_exchange_routes_when_the_time_has_come() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("topic"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let queue = client.queue(1);
    client.bind(1, &queue, &exchange, "a.*");
    client.consume_no_ack(1, &queue);
    delay(&mut client, 1, &exchange, "a.b", 600, "last");
    delay(&mut client, 1, &exchange, "b.a", 1, "not bound");
    delay(&mut client, 1, &exchange, "a.b", 300, "second");
    client.publish(1, &exchange, "a.b", "first");
    assert_eq!(client.expect_bodies(1, 3), ["first", "second", "last"]);
    client.delete_exchange(1, &exchange);
}

/// The header of what is routed then is the negated number, whatever form it had.
#[test]
fn a_delay_may_have_any_form_of_a_number() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("fanout"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let queue = client.queue(1);
    client.bind(1, &queue, &exchange, "");
    for (delay, spent) in [
        (word("20"), -20),
        (Value::F32(10.4), -10),
        (Value::F64(10.5), -11),
        (Value::Decimal { scale: 1, value: 100 }, -10),
        (Value::U8(7), -7),
    ] {
        let headers = fields(&[("x-delay", delay)]);
        client.publish_with(1, &exchange, "", &with_headers(&headers), b"x");
        client.wait_for_messages(1, &queue, 1);
        let message = client.get(1, &queue).expect("it was just there").message;
        assert_eq!(message.headers().table().find(b"x-delay"), Some(Value::I64(spent)));
    }
    for none in [word("soon"), word("-5"), Value::F64(-1.0), Value::Bool(true), Value::Void] {
        let headers = fields(&[("x-delay", none)]);
        client.publish_with(1, &exchange, "", &with_headers(&headers), b"at once");
        let message = client.get(1, &queue).expect("it is there at once").message;
        assert_eq!(message.headers().table().find(b"x-delay"), Some(none));
    }
    client.delete_exchange(1, &exchange);
}

/// The keys of BCC were lost while the message was held back.
#[test]
fn delayed_message_goes_to_the_keys_of_cc_and_bcc_too() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("direct"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let queues = bound(&mut client, &exchange, &["key", "copy", "blind"]);
    let (mut cc, mut bcc) = (ArrayBuf::new(), ArrayBuf::new());
    cc.push_str("copy");
    bcc.push_str("blind");
    let headers = fields(&[
        ("x-delay", Value::I64(1)),
        ("CC", Value::Array(cc.array())),
        ("BCC", Value::Array(bcc.array())),
    ]);
    let properties = with_headers(&headers);
    client.publish_with(1, &exchange, "key", &properties, b"x");
    for queue in queues {
        client.wait_for_messages(1, &queue, 1);
        let message = client.get(1, &queue).expect("it was just there").message;
        assert_eq!(message.headers().table().find(b"CC"), Some(Value::Array(cc.array())));
        assert_eq!(message.headers().table().find(b"BCC"), None);
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn delayed_message_of_a_transaction_is_held_back_from_the_commit_on() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("direct"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let queue = client.queue(1);
    client.bind(1, &queue, &exchange, "key");
    client.open(2);
    client.call::<TxSelectOk>(2, tx::Select {});
    delay(&mut client, 2, &exchange, "key", 1, "rolled back");
    client.call::<TxRollbackOk>(2, tx::Rollback {});
    delay(&mut client, 2, &exchange, "key", 300, "second");
    delay(&mut client, 2, &exchange, "key", 1, "first");
    client.call::<TxCommitOk>(2, tx::Commit {});
    client.consume_no_ack(1, &queue);
    assert_eq!(client.expect_bodies(1, 2), ["first", "second"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn time_to_live_of_a_delayed_message_begins_when_it_is_routed() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("fanout"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let (queue, dead) = client.dying_queue(1, &[]);
    client.bind(1, &queue, &exchange, "");
    let headers = fields(&[("x-delay", Value::I64(50))]);
    // Over twice before it is routed, if it counted from the publish on.
    let properties = PropertyList { headers: Some(headers.table()), ..expiring("25") };
    client.consume(1, &queue);
    client.publish_with(1, &exchange, "", &properties, b"in time");
    let delivery = client.expect_delivery(1);
    assert_eq!(delivery.message.body(), "in time");
    client.ack(1, delivery.tag);
    client.cancel(1, &delivery.consumer);
    client.publish_with(1, &exchange, "", &properties, b"late");
    assert_eq!(client.dead_letter(1, &dead).body(), "late");
    client.delete_exchange(1, &exchange);
}

#[test]
fn dead_letter_is_held_back_by_a_delaying_exchange_like_any_message() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("fanout"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let dead = bound(&mut client, &exchange, &[""]).remove(0);
    let rejecting = client.queue_dying_to(1, &exchange, &[]);
    let refusing = [("x-max-length", Value::I64(0)), ("x-overflow", word("reject-publish-dlx"))];
    let refusing = client.queue_dying_to(1, &exchange, &refusing);
    delay(&mut client, 1, "", &rejecting, 600, "rejected, long");
    delay(&mut client, 1, "", &refusing, 300, "refused, short");
    client.publish(1, "", &rejecting, "rejected, at once");
    client.reject_next(1, &rejecting, "rejected, long");
    client.reject_next(1, &rejecting, "rejected, at once");
    client.consume_no_ack(1, &dead);
    let expected = ["rejected, at once", "refused, short", "rejected, long"];
    assert_eq!(client.expect_bodies(1, 3), expected);
    client.delete_exchange(1, &exchange);
}

#[test]
fn delay_of_any_64_bits_is_taken() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-delayed-type", word("direct"))]);
    let exchange = client.exchange_with(1, "x-delayed-message", arguments.table());
    let queue = client.queue(1);
    client.bind(1, &queue, &exchange, "key");
    client.confirm_select(1);
    delay(&mut client, 1, &exchange, "key", i64::MAX, "never");
    delay(&mut client, 1, &exchange, "key", 1 << 40, "in 34 years");
    delay(&mut client, 1, &exchange, "key", 0, "now");
    client.expect_confirms(1, 1, 3);
    assert_eq!(client.drain(1, &queue), ["now"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn delayed_message_exchange_wants_a_type_to_route_by() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    for arguments in [
        TableBuf::new(),
        fields(&[("x-delayed-type", word("mystery"))]),
        fields(&[("x-delayed-type", Value::I64(1))]),
    ] {
        let name = unique("x-delayed-message");
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: b"x-delayed-message",
            arguments: arguments.table(),
            ..Default::default()
        };
        client.refused(1, declare, 406, "PRECONDITION_FAILED - ");
    }
}

#[test]
fn deduplication_exchange_routes_each_name_once() {
    let Some((_server, mut client)) = Server::ours("it has no such exchange") else { return };
    let arguments = fields(&[("x-cache-size", Value::I32(2))]);
    let once = client.exchange_with(1, "x-message-deduplication", arguments.table());
    let (one, two) = (client.queue(1), client.queue(1));
    client.bind(1, &one, &once, "");
    client.bind(1, &two, &once, "other");
    for (name, body) in [("a", "1"), ("a", "again"), ("b", "2"), ("a", "again"), ("b", "again")] {
        client.publish_named(1, &once, "any", word(name), body);
    }
    // The number 1 is not the text 1, and what has no name is not looked at.
    client.publish_named(1, &once, "", Value::I32(1), "3");
    client.publish(1, &once, "", "4");
    client.publish(1, &once, "", "5");
    // There is room for two names: the oldest went, and is new again.
    client.publish_named(1, &once, "", word("a"), "6");
    for queue in [&one, &two] {
        assert_eq!(client.drain(1, queue), ["1", "2", "3", "4", "5", "6"]);
    }
}

#[test]
fn names_of_messages_are_remembered_over_a_restart() {
    let Some(mut node) = Node::start() else { return };
    for end in [End::Term, End::Kill] {
        let mut client = node.connect();
        let (exchange, queue) = (unique("once"), client.durable_queue(1));
        let arguments = fields(&[("x-cache-size", Value::I32(10))]);
        let kind = "x-message-deduplication";
        client.durable_exchange_with(1, &exchange, kind, arguments.table());
        client.bind(1, &queue, &exchange, "");
        let arguments = fields(&[("x-message-deduplication", Value::Bool(true))]);
        let own = client.durable_queue_with(1, arguments.table());
        client.confirm_select(1);
        client.publish_named(1, &exchange, "", word("a"), "1");
        client.expect::<Ack>(1);
        client.publish_named(1, "", &own, word("a"), "1");
        client.expect::<Ack>(1);
        node.restart(end, client);
        let mut client = node.connect();
        for name in ["a", "b"] {
            client.publish_named(1, &exchange, "", word(name), "2");
            client.publish_named(1, "", &own, word(name), "2");
        }
        assert_eq!(client.drain(1, &queue), ["1", "2"], "after {end:?}");
        assert_eq!(client.drain(1, &own), ["1", "2"], "after {end:?}");
    }
}
