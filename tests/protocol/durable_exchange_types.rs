//! What do exchanges that hold messages back, and queues and exchanges that take each message
//! once, know after a restart?
//!
//! As in `durable_state`: the broker is its binary and ends both ways.

use crate::common::*;

const ENDS: [End; 2] = [End::Term, End::Kill];
const NONE: [&str; 0] = [];

/// Declares a durable exchange, and a durable queue bound to it with `key`; the queue's name.
fn declare(client: &mut Client, name: &str, kind: &str, arguments: &TableBuf) -> String {
    client.durable_exchange_with(1, name, kind, arguments.table());
    let queue = client.durable_queue(1);
    client.bind(1, &queue, name, "key");
    queue
}

fn delaying(client: &mut Client) -> String {
    let arguments = fields(&[("x-delayed-type", word("direct"))]);
    declare(client, "later", "x-delayed-message", &arguments)
}

/// Publishes with a delay, persistently, and returns when it is confirmed.
fn delay(client: &mut Client, delay: Value<'_>, body: &str) {
    let headers = fields(&[("x-delay", delay)]);
    let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
    client.confirmed(2, "later", "key", &properties, body);
}

/// Publishes with a name, persistently, and returns when it is confirmed.
fn publish(client: &mut Client, exchange: &str, key: &str, name: &str, body: &str) {
    client.publish_named(2, exchange, key, word(name), body);
    client.expect::<Ack>(2);
}

#[test]
fn delayed_messages_are_routed_at_their_time_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = delaying(&mut client);
        delay(&mut client, Value::I64(1_200), "last");
        delay(&mut client, Value::I64(1 << 40), "in 34 years");
        delay(&mut client, Value::U64(u64::MAX), "never");
        delay(&mut client, Value::I64(900), "second");
        delay(&mut client, Value::I32(10), "first, maybe while the broker is down");
        let mut client = node.restart_with_confirms(end, client);
        client.consume_no_ack(1, &queue);
        let expected = ["first, maybe while the broker is down", "second", "last"];
        assert_eq!(client.expect_bodies(1, 3), expected);
        client.expect_nothing_before(1, 2);
    }
}

#[test]
fn delayed_message_that_is_not_persistent_is_gone_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = delaying(&mut client);
        let headers = fields(&[("x-delay", Value::I64(100))]);
        client.confirmed(2, "later", "key", &with_headers(&headers), "gone");
        delay(&mut client, Value::I64(300), "kept");
        let mut client = node.restart_with_confirms(end, client);
        client.consume_no_ack(1, &queue);
        // The other one would have come first.
        assert_eq!(client.expect_bodies(1, 1), ["kept"]);
    }
}

#[test]
fn delayed_messages_of_a_transaction_survive_with_it_or_not_at_all() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = delaying(&mut client);
        client.call::<TxSelectOk>(3, tx::Select {});
        let headers = fields(&[("x-delay", Value::I64(300))]);
        let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
        client.publish_with(3, "later", "key", &properties, b"committed");
        client.call::<TxCommitOk>(3, tx::Commit {});
        client.publish_with(3, "later", "key", &properties, b"not committed");
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        client.wait_for_messages(1, &queue, 1);
        delay(&mut client, Value::I64(300), "later still");
        client.wait_for_messages(1, &queue, 2);
        assert_eq!(client.drain(1, &queue), ["committed", "later still"]);
    }
}

#[test]
fn what_a_deleted_exchange_held_back_does_not_come_back() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = delaying(&mut client);
        delay(&mut client, Value::I64(200), "held back by the old one");
        client.delete_exchange(1, "later");
        client.delete_queue(1, &queue);
        let queue = delaying(&mut client);
        let mut client = node.restart_with_confirms(end, client);
        delay(&mut client, Value::I64(300), "by the new one");
        client.wait_for_messages(1, &queue, 1);
        assert_eq!(client.drain(1, &queue), ["by the new one"]);
    }
}

#[test]
fn exchange_remembers_its_names_in_their_order_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-cache-size", Value::I64(3))]);
        let queue = declare(&mut client, "once", "x-message-deduplication", &arguments);
        for name in ["oldest", "c", "b", "a"] {
            publish(&mut client, "once", "key", name, name);
        }
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["oldest", "c", "b", "a"]);
        // c goes for d, and then b for c.
        for name in ["a", "b", "c", "d", "c", "b", "d"] {
            publish(&mut client, "once", "key", name, name);
        }
        assert_eq!(client.drain(1, &queue), ["d", "c", "b"]);
    }
}

#[test]
fn names_are_forgotten_at_their_time_also_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-cache-size", Value::I64(9)), ("x-cache-ttl", Value::I64(1))]);
        let queue = declare(&mut client, "once", "x-message-deduplication", &arguments);
        let named =
            [("x-deduplication-header", word("long")), ("x-cache-ttl", Value::I64(1 << 40))];
        let headers = fields(&named);
        let long = PropertyList { headers: Some(headers.table()), ..persistent() };
        client.confirmed(2, "once", "key", &long, "long");
        publish(&mut client, "once", "key", "short", "short");
        let mut client = node.restart_with_confirms(end, client);
        client.confirmed(2, "once", "key", &long, "long again");
        publish(&mut client, "once", "key", "short", "short again");
        assert_eq!(client.drain(1, &queue), ["long", "short", "short again"]);
    }
}

#[test]
fn queue_knows_the_names_of_its_messages_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-message-deduplication", Value::Bool(true))]);
        let queue = client.durable_queue_with(1, arguments.table());
        for name in ["acked", "unacked", "ready"] {
            publish(&mut client, "", &queue, name, name);
        }
        let acked = client.get(1, &queue).expect("three are there");
        client.get(1, &queue).expect("two are there");
        client.ack(1, acked.tag);
        client.round_trip(1);
        let mut client = node.restart_with_confirms(end, client);
        for name in ["acked", "unacked", "ready"] {
            publish(&mut client, "", &queue, name, "again");
        }
        assert_eq!(client.drain(1, &queue), ["unacked", "ready", "again"]);
        assert_eq!(client.drain(1, &queue), NONE);
    }
}
