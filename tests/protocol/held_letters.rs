//! Which dead letters stay in their queue until their targets take them?

use crate::common::*;

/// A quorum queue that keeps its dead letters until they arrive, with further arguments.
fn keeping(client: &mut Client, exchange: &str, more: &[(&str, Value<'_>)]) -> String {
    let mut arguments = fields(more);
    arguments.put_str(b"x-queue-type", "quorum");
    arguments.put_str(b"x-overflow", "reject-publish");
    arguments.put_str(b"x-dead-letter-exchange", exchange);
    arguments.put_str(b"x-dead-letter-strategy", "at-least-once");
    client.durable_queue_with(1, arguments.table())
}

/// A broker whose quorum queues keep dead letters, and a client; channel 2 confirms.
fn start() -> Option<(Server, Client)> {
    let (server, mut client) = Server::ours("its letters are retried after minutes")?;
    client.open(2);
    client.confirm_select(2);
    Some((server, client))
}

/// Declares a durable exchange that leads to a queue.
fn declare_target(client: &mut Client, exchange: &str, queue: &str) {
    client.durable_exchange_with(1, exchange, "fanout", Table::EMPTY);
    client.bind(1, queue, exchange, "");
}

#[test]
fn letters_wait_for_an_exchange_that_is_missing_and_count() {
    let Some((_server, mut client)) = start() else { return };
    let exchange = unique("later");
    let queue = keeping(&mut client, &exchange, &[]);
    for body in ["1", "2", "3"] {
        client.confirmed(2, "", &queue, &persistent(), body);
        client.reject_next(1, &queue, body);
    }
    assert_eq!(client.inspect(1, &queue).messages, 3, "they are its own");
    assert!(client.get(1, &queue).is_none(), "nobody else gets them");
    client.open(3);
    let delete = queue::Delete { queue: queue.as_bytes(), if_empty: true, ..Default::default() };
    client.refused(3, delete, 406, "PRECONDITION_FAILED - ");
    let target = client.durable_queue(1);
    declare_target(&mut client, &exchange, &target);
    client.wait_for_messages(1, &target, 3);
    assert_eq!(client.inspect(1, &queue).messages, 0);
    let letters = client.drain(1, &target);
    assert_eq!(letters, ["1", "2", "3"]);
}

#[test]
fn letters_wait_for_a_queue_that_is_not_bound() {
    let Some((_server, mut client)) = start() else { return };
    let exchange = client.exchange(1, "fanout");
    let queue = keeping(&mut client, &exchange, &[("x-message-ttl", Value::I32(1))]);
    client.confirmed(2, "", &queue, &PropertyList::default(), "late");
    let deadline = deadline();
    while let Some(got) = client.get(1, &queue) {
        assert!(now() < deadline, "it never expires");
        client.reject(1, got.tag, true);
    }
    assert_eq!(client.inspect(1, &queue).messages, 1);
    let target = client.durable_queue(1);
    client.bind(1, &target, &exchange, "");
    let message = client.dead_letter(1, &target);
    assert_eq!(message.deaths_in_short(), [("expired".to_owned(), queue, 1)]);
}

/// All of its targets take it at once: none gets it twice.
#[test]
fn letters_wait_until_no_target_is_full() {
    let Some((_server, mut client)) = start() else { return };
    let exchange = client.exchange(1, "fanout");
    let (wide, narrow) = (client.durable_queue(1), {
        let limits =
            fields(&[("x-max-length", Value::I32(1)), ("x-overflow", word("reject-publish"))]);
        client.durable_queue_with(1, limits.table())
    });
    for target in [&wide, &narrow] {
        client.bind(1, target, &exchange, "");
    }
    let queue = keeping(&mut client, &exchange, &[]);
    for body in ["1", "2", "3"] {
        client.confirmed(2, "", &queue, &persistent(), body);
        client.reject_next(1, &queue, body);
    }
    client.wait_for_messages(1, &narrow, 1);
    assert_eq!(client.inspect(1, &queue).messages, 2);
    assert_eq!(client.inspect(1, &wide).messages, 1);
    for body in ["1", "2", "3"] {
        client.wait_for_messages(1, &narrow, 1);
        assert_eq!(client.drain(1, &narrow), [body]);
    }
    assert_eq!(client.drain(1, &wide), ["1", "2", "3"]);
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn letters_count_for_the_length_of_their_queue() {
    let Some((_server, mut client)) = start() else { return };
    let exchange = unique("never");
    let limits = [("x-max-length", Value::I32(2)), ("x-max-length-bytes", Value::I32(20))];
    for (limit, body) in limits.into_iter().zip(["1", "ten bytes!"]) {
        let queue = keeping(&mut client, &exchange, &[limit]);
        for _ in 0..2 {
            client.confirmed(2, "", &queue, &persistent(), body);
            client.reject_next(1, &queue, body);
        }
        client.publish_with(2, "", &queue, &persistent(), b"one more");
        client.expect::<Nack>(2);
        let target = client.durable_queue(1);
        declare_target(&mut client, &exchange, &target);
        client.wait_for_messages(1, &target, 2);
        client.confirmed(2, "", &queue, &persistent(), "one more");
        client.delete_exchange(1, &exchange);
    }
}

#[test]
fn letters_go_with_their_queue() {
    let Some((_server, mut client)) = start() else { return };
    let exchange = unique("never");
    let queue = keeping(&mut client, &exchange, &[]);
    client.confirmed(2, "", &queue, &persistent(), "refused");
    client.reject_next(1, &queue, "refused");
    assert_eq!(client.inspect(1, &queue).messages, 1);
    assert_eq!(client.delete_queue(1, &queue), 1);
    client.queue_named(1, &queue, fields(&[]).table());
    let target = client.durable_queue(1);
    declare_target(&mut client, &exchange, &target);
    // Another queue's letters arrive; the first one has all others tried again.
    let other = keeping(&mut client, &exchange, &[]);
    for body in ["another", "and another"] {
        client.confirmed(2, "", &other, &persistent(), body);
        client.reject_next(1, &other, body);
        client.wait_for_messages(1, &target, 1);
        assert_eq!(client.drain(1, &target), [body]);
    }
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn other_queues_drop_what_nobody_takes() {
    let Some((_server, mut client)) = start() else { return };
    for (kind, overflow, strategy) in [
        ("classic", "reject-publish", "at-least-once"),
        ("quorum", "drop-head", "at-least-once"),
        ("quorum", "reject-publish", "at-most-once"),
    ] {
        let arguments = fields(&[
            ("x-queue-type", word(kind)),
            ("x-overflow", word(overflow)),
            ("x-dead-letter-strategy", word(strategy)),
            ("x-dead-letter-exchange", word("no such exchange")),
        ]);
        let queue = client.durable_queue_with(1, arguments.table());
        client.confirmed(2, "", &queue, &persistent(), "refused");
        client.reject_next(1, &queue, "refused");
        client.wait_for_messages(1, &queue, 0);
    }
}
