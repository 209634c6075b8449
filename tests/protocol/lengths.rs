//! What happens when a queue is as long as it may be?

use crate::common::*;

fn max_length(messages: i64) -> TableBuf {
    fields(&[("x-max-length", Value::I64(messages))])
}

fn max_bytes(bytes: i64) -> TableBuf {
    fields(&[("x-max-length-bytes", Value::I64(bytes))])
}

/// Publishes on channel 2 one after the other; whether each was acked.
fn publish_all(client: &mut Client, queue: &str, bodies: &[&str]) -> Vec<bool> {
    let publish = |body: &&str| {
        client.publish(2, "", queue, body);
        let event = client.next(2);
        let acked = matches!(event.method(), Method::BasicAck(_));
        if !acked {
            event.expect::<Nack>();
        }
        acked
    };
    bodies.iter().map(publish).collect()
}

#[test]
fn oldest_message_is_dropped_when_there_are_too_many() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_length(2).table());
    let acked = publish_all(&mut client, &queue, &["1", "2", "3", "4"]);
    assert_eq!(acked, [true; 4]);
    assert_eq!(client.inspect(1, &queue).messages, 2);
    assert_eq!(client.drain(1, &queue), ["3", "4"]);
}

#[test]
fn drop_head_by_name_is_the_same() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(1);
    arguments.put_str(b"x-overflow", "drop-head");
    let queue = client.queue_with(1, arguments.table());
    assert_eq!(publish_all(&mut client, &queue, &["1", "2"]), [true; 2]);
    assert_eq!(client.drain(1, &queue), ["2"]);
}

#[test]
fn oldest_messages_are_dropped_when_their_bodies_are_too_long() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_bytes(10).table());
    publish_all(&mut client, &queue, &["12345", "67890"]);
    assert_eq!(client.inspect(1, &queue).messages, 2);
    publish_all(&mut client, &queue, &["x"]);
    assert_eq!(client.drain(1, &queue), ["67890", "x"]);
    publish_all(&mut client, &queue, &["12345", "67890", "all ten!!!"]);
    assert_eq!(client.drain(1, &queue), ["all ten!!!"]);
}

#[test]
fn message_that_is_longer_than_the_limit_is_dropped_itself() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_bytes(10).table());
    publish_all(&mut client, &queue, &["short", "more than ten"]);
    assert_eq!(client.drain(1, &queue), [""; 0]);
    publish_all(&mut client, &queue, &["1234567890"]);
    assert_eq!(client.drain(1, &queue), ["1234567890"]);
}

#[test]
fn properties_and_empty_bodies_do_not_count_as_bytes() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_bytes(1).table());
    publish_all(&mut client, &queue, &["", "", "x", ""]);
    assert_eq!(client.drain(1, &queue), ["", "", "x", ""]);
}

#[test]
fn both_limits_hold() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(2);
    arguments.put_i64(b"x-max-length-bytes", 10);
    let queue = client.queue_with(1, arguments.table());
    publish_all(&mut client, &queue, &["1", "2", "3"]);
    assert_eq!(client.drain(1, &queue), ["2", "3"]);
    publish_all(&mut client, &queue, &["12345678", "90x"]);
    assert_eq!(client.drain(1, &queue), ["90x"]);
}

#[test]
fn max_length_counts_ready_messages_only() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_length(1).table());
    publish_all(&mut client, &queue, &["held"]);
    let held = client.get(1, &queue).expect("it waits");
    publish_all(&mut client, &queue, &["ready"]);
    assert_eq!(client.inspect(1, &queue).messages, 1);
    client.ack(1, held.tag);
    assert_eq!(client.drain(1, &queue), ["ready"]);
}

#[test]
fn max_length_bytes_counts_ready_messages_only() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_bytes(5);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(1, arguments.table());
    assert_eq!(publish_all(&mut client, &queue, &["12345"]), [true]);
    client.get(1, &queue).expect("it waits");
    assert_eq!(publish_all(&mut client, &queue, &["67890"]), [true]);
    assert_eq!(client.inspect(1, &queue).messages, 1);
}

#[test]
fn requeue_that_makes_too_many_drops_the_oldest() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-max-length", Value::I64(1))]);
    publish_all(&mut client, &queue, &["held"]);
    let held = client.get(1, &queue).expect("it waits");
    publish_all(&mut client, &queue, &["ready"]);
    client.reject(1, held.tag, true);
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.body(), "held");
    assert_eq!(message.deaths()[0].reason, "maxlen");
    assert_eq!(client.drain(1, &queue), ["ready"]);
}

#[test]
fn requeue_into_a_full_queue_that_rejects_publishes_drops_nothing() {
    let (_server, mut client) = Server::with_confirms();
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let limits = [("x-max-length", Value::I64(1)), ("x-overflow", word(overflow))];
        let (queue, dead) = client.dying_queue(1, &limits);
        assert_eq!(publish_all(&mut client, &queue, &["held"]), [true]);
        let held = client.get(1, &queue).expect("it waits");
        assert_eq!(publish_all(&mut client, &queue, &["ready"]), [true]);
        client.reject(1, held.tag, true);
        client.round_trip(1);
        assert_eq!(client.inspect(1, &queue).messages, 2);
        assert_eq!(client.drain(1, &queue), ["held", "ready"]);
        assert_eq!(client.inspect(1, &dead).messages, 0);
    }
}

#[test]
fn reject_publish_nacks_what_is_too_much() {
    let (_server, mut client) = Server::with_confirms();
    let limits = [("x-max-length", Value::I64(2)), ("x-overflow", word("reject-publish"))];
    let (queue, dead) = client.dying_queue(1, &limits);
    let acked = publish_all(&mut client, &queue, &["1", "2", "3", "4"]);
    assert_eq!(acked, [true, true, false, false]);
    assert_eq!(client.drain(1, &queue), ["1", "2"]);
    assert_eq!(client.inspect(1, &dead).messages, 0);
    assert_eq!(publish_all(&mut client, &queue, &["5"]), [true]);
}

#[test]
fn reject_publish_drops_silently_without_confirms() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(1);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(1, arguments.table());
    for body in ["kept", "dropped", "dropped, too"] {
        client.publish(1, "", &queue, body);
    }
    client.expect_nothing_before(1, 1);
    assert_eq!(client.drain(1, &queue), ["kept"]);
}

#[test]
fn reject_publish_counts_bytes() {
    let server = Server::start();
    if server.differs("3.10 refuses only what comes after the limit was passed") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let mut arguments = max_bytes(5);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(1, arguments.table());
    let acked = publish_all(&mut client, &queue, &["1234", "56", "5", "6"]);
    assert_eq!(acked, [true, false, true, false]);
    assert_eq!(client.drain(1, &queue), ["1234", "5"]);
}

#[test]
fn reject_publish_dlx_nacks_and_dead_letters() {
    let (_server, mut client) = Server::with_confirms();
    let limits = [("x-max-length", Value::I64(1)), ("x-overflow", word("reject-publish-dlx"))];
    let (queue, dead) = client.dying_queue(1, &limits);
    let acked = publish_all(&mut client, &queue, &["kept", "refused"]);
    assert_eq!(acked, [true, false]);
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.body(), "refused");
    assert_eq!(message.deaths_in_short(), [("maxlen".to_owned(), queue.clone(), 1)]);
    assert_eq!(message.header("x-first-death-reason").as_deref(), Some("maxlen"));
    assert_eq!(client.drain(1, &queue), ["kept"]);
}

#[test]
fn refused_publish_keeps_the_place_of_those_before_it() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(1);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(1, arguments.table());
    for round in ["a", "b", "c"] {
        let acked = publish_all(&mut client, &queue, &[round, "refused"]);
        assert_eq!(acked, [true, false]);
        assert_eq!(client.drain(1, &queue), [round]);
    }
}

#[test]
fn consumer_that_takes_at_once_keeps_the_queue_short() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_length(1).table());
    client.consume(3, &queue);
    publish_all(&mut client, &queue, &["1", "2", "3", "4"]);
    assert_eq!(client.expect_bodies(3, 4), ["1", "2", "3", "4"]);
}

#[test]
fn length_0_passes_on_to_a_waiting_consumer_and_drops_otherwise() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-max-length", Value::I64(0))]);
    publish_all(&mut client, &queue, &["dropped"]);
    assert_eq!(client.dead_letter(1, &dead).body(), "dropped");
    client.consume(3, &queue);
    publish_all(&mut client, &queue, &["passed on"]);
    assert_eq!(client.expect_bodies(3, 1), ["passed on"]);
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

#[test]
fn drop_head_drops_the_lowest_priority_first() {
    let server = Server::start();
    if server.differs("it drops the highest priority first") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let mut arguments = max_length(3);
    arguments.put_i64(b"x-max-priority", 5);
    let queue = client.queue_with(1, arguments.table());
    for (priority, body) in [(3, "a3"), (1, "b1"), (5, "c5"), (1, "d1"), (3, "e3")] {
        client.confirmed(2, "", &queue, &prioritized(priority), body);
    }
    assert_eq!(client.drain(1, &queue), ["c5", "a3", "e3"]);
}

#[test]
fn drop_head_drops_the_oldest_of_the_lowest_priority() {
    let server = Server::start();
    if server.differs("it drops the highest priority first") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let limits = [("x-max-length", Value::I64(3)), ("x-max-priority", Value::I64(2))];
    let (queue, dead) = client.dying_queue(1, &limits);
    for (priority, body) in [(1, "a"), (1, "b"), (2, "c"), (2, "d"), (2, "e")] {
        client.confirmed(2, "", &queue, &prioritized(priority), body);
    }
    client.wait_for_messages(1, &dead, 2);
    assert_eq!(client.drain(1, &dead), ["a", "b"]);
    // Nothing is lower than the newcomer itself.
    client.confirmed(2, "", &queue, &prioritized(0), "f");
    assert_eq!(client.dead_letter(1, &dead).body(), "f");
    assert_eq!(client.drain(1, &queue), ["c", "d", "e"]);
}

#[test]
fn dead_letter_into_a_full_queue_that_rejects_publishes_is_dropped() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(1);
    arguments.put_str(b"x-overflow", "reject-publish");
    let full = client.queue_with(1, arguments.table());
    let key = [("x-dead-letter-routing-key", word(&full))];
    let queue = client.queue_dying_to(1, "", &key);
    publish_all(&mut client, &queue, &["1", "2", "3"]);
    for body in ["1", "2"] {
        client.reject_next(1, &queue, body);
    }
    client.wait_for_messages(1, &full, 1);
    client.round_trip(1);
    assert_eq!(client.drain(1, &full), ["1"]);
    client.reject_next(1, &queue, "3");
    assert_eq!(client.dead_letter(1, &full).body(), "3");
}

#[test]
fn full_queue_of_the_dead_drops_its_oldest() {
    let (_server, mut client) = Server::with_confirms();
    let (dead, dropped) = client.dying_queue(1, &[("x-max-length", Value::I64(1))]);
    let key = [("x-dead-letter-routing-key", word(&dead))];
    let queue = client.queue_dying_to(1, "", &key);
    publish_all(&mut client, &queue, &["1", "2"]);
    client.reject_next(1, &queue, "1");
    client.reject_next(1, &queue, "2");
    assert_eq!(client.dead_letter(1, &dropped).body(), "1");
    assert_eq!(client.drain(1, &dead), ["2"]);
}

#[test]
fn purge_makes_room() {
    let (_server, mut client) = Server::with_confirms();
    let mut arguments = max_length(2);
    arguments.put_i64(b"x-max-length-bytes", 10);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(1, arguments.table());
    let acked = publish_all(&mut client, &queue, &["12345", "67890", "no"]);
    assert_eq!(acked, [true, true, false]);
    assert_eq!(client.purge(1, &queue), 2);
    let acked = publish_all(&mut client, &queue, &["12345", "67890", "no"]);
    assert_eq!(acked, [true, true, false]);
    assert_eq!(client.drain(1, &queue), ["12345", "67890"]);
}

#[test]
fn expired_messages_make_room() {
    let (_server, mut client) = Server::with_confirms();
    let limits = [
        ("x-max-length", Value::I64(1)),
        ("x-max-length-bytes", Value::I64(10)),
        ("x-overflow", word("reject-publish")),
    ];
    let (queue, dead) = client.dying_queue(1, &limits);
    client.confirmed(2, "", &queue, &expiring("1"), "1234567890");
    client.wait_for_messages(1, &dead, 1);
    let acked = publish_all(&mut client, &queue, &["1234567890", "no"]);
    assert_eq!(acked, [true, false]);
}

#[test]
fn limits_hold_within_a_transaction() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, max_length(2).table());
    client.call::<TxSelectOk>(3, tx::Select {});
    for body in ["1", "2", "3"] {
        client.publish(3, "", &queue, body);
    }
    client.call::<TxCommitOk>(3, tx::Commit {});
    assert_eq!(client.drain(1, &queue), ["2", "3"]);
}

#[test]
fn limits_hold_after_a_restart() {
    for end in [End::Term, End::Kill] {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let mut arguments = max_length(2);
        arguments.put_i64(b"x-max-length-bytes", 10);
        arguments.put_str(b"x-overflow", "reject-publish");
        let queue = client.durable_queue_with(1, arguments.table());
        client.open(2);
        client.confirm_select(2);
        client.confirmed(2, "", &queue, &persistent(), "12345");
        node.restart(end, client);
        let mut client = node.connect();
        client.open(2);
        client.confirm_select(2);
        let acked = publish_all(&mut client, &queue, &["678901", "67890", "no"]);
        assert_eq!(acked, [false, true, false]);
        assert_eq!(client.drain(1, &queue), ["12345", "67890"]);
    }
}

/// A consumer that waits does not make room.
#[test]
fn a_publish_is_refused_before_a_waiting_consumer_is_asked() {
    for limit in [("x-max-length", 0), ("x-max-length-bytes", 4)] {
        let (_server, mut client) = Server::with_confirms();
        let limits = [(limit.0, Value::I64(limit.1)), ("x-overflow", word("reject-publish"))];
        let queue = client.queue_with(1, fields(&limits).table());
        client.consume_no_ack(1, &queue);
        assert_eq!(publish_all(&mut client, &queue, &["12345"]), [false], "{limit:?}");
    }
}

/// As RabbitMQ sends it, though the flag says nothing to a publisher.
#[test]
fn a_refusal_carries_requeue() {
    let (_server, mut client) = Server::with_confirms();
    let limits = [("x-max-length", Value::I64(0)), ("x-overflow", word("reject-publish"))];
    let queue = client.queue_with(1, fields(&limits).table());
    client.publish(2, "", &queue, "refused");
    let event = client.next(2);
    let nack = basic::Nack { delivery_tag: 1, multiple: false, requeue: true };
    assert_eq!(event.method(), Method::BasicNack(nack));
}
