//! Which message goes first, and to which consumer: priorities on both sides?

use crate::common::*;

/// A broker, and a client with confirms on channel 2 and nothing on channels 3 to 5.
fn start() -> (Server, Client) {
    let (server, mut client) = Server::with_confirms();
    client.open(4);
    client.open(5);
    (server, client)
}

/// An exclusive queue with priorities up to `most`.
fn queue_up_to(client: &mut Client, most: i64) -> String {
    let arguments = fields(&[("x-max-priority", Value::I64(most))]);
    client.queue_with(1, arguments.table())
}

/// Stores messages with these priorities; the priority is the body, with a letter that tells
/// those of one priority apart.
fn store(client: &mut Client, queue: &str, messages: &[&str]) {
    for message in messages {
        let digits = message.trim_end_matches(char::is_alphabetic);
        let properties = match digits.parse() {
            Ok(priority) => prioritized(priority),
            Err(_) => PropertyList::default(),
        };
        client.confirmed(2, "", queue, &properties, message);
    }
}

fn single_active() -> TableBuf {
    fields(&[("x-single-active-consumer", Value::Bool(true))])
}

#[test]
fn higher_priority_goes_first_and_publish_order_holds_within_one() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 10);
    store(&mut client, &queue, &["1a", "10a", "5a", "1b", "10b", "5b", "0a"]);
    let expected = ["10a", "10b", "5a", "5b", "1a", "1b", "0a"];
    assert_eq!(client.drain(1, &queue), expected);
}

#[test]
fn all_priorities_up_to_255_are_told_apart() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 255);
    // 151 has no divisor in common with 256, so every priority comes once, in disorder.
    let priorities = (0..=255u8).map(|number| number.wrapping_mul(151));
    for priority in priorities {
        let body = priority.to_string();
        client.publish_with(1, "", &queue, &prioritized(priority), body.as_bytes());
    }
    client.round_trip(1);
    client.wait_for_messages(1, &queue, 256);
    let expected: Vec<String> = (0..=255u8).rev().map(|number| number.to_string()).collect();
    assert_eq!(client.drain(1, &queue), expected);
}

#[test]
fn message_without_priority_counts_as_0() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 3);
    store(&mut client, &queue, &["none", "0a", "1a", "other", "0b"]);
    assert_eq!(client.drain(1, &queue), ["1a", "none", "0a", "other", "0b"]);
}

#[test]
fn priority_above_the_maximum_counts_as_the_maximum() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 3);
    store(&mut client, &queue, &["2a", "3a", "255a", "3b", "4a"]);
    assert_eq!(client.drain(1, &queue), ["3a", "255a", "3b", "4a", "2a"]);
}

#[test]
fn priority_above_the_maximum_is_delivered_as_it_was_published() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 3);
    store(&mut client, &queue, &["200a"]);
    let got = client.get(1, &queue).expect("it waits");
    assert_eq!(got.message.list().priority, Some(200));
}

#[test]
fn queue_without_max_priority_ignores_priorities() {
    let (_server, mut client) = start();
    let queue = client.queue(1);
    store(&mut client, &queue, &["1a", "9a", "5a"]);
    assert_eq!(client.drain(1, &queue), ["1a", "9a", "5a"]);
}

#[test]
fn consumers_get_higher_priorities_first() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 5);
    store(&mut client, &queue, &["0a", "5a", "2a"]);
    client.prefetch(3, 1);
    client.consume(3, &queue);
    for expected in ["5a", "2a", "0a"] {
        let delivery = client.expect_delivery(3);
        assert_eq!(delivery.message.body(), expected);
        client.ack(3, delivery.tag);
    }
}

#[test]
fn message_of_higher_priority_does_not_overtake_what_was_delivered() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 5);
    client.prefetch(3, 1);
    client.consume(3, &queue);
    store(&mut client, &queue, &["1a", "1b", "5a"]);
    for expected in ["1a", "5a", "1b"] {
        let delivery = client.expect_delivery(3);
        assert_eq!(delivery.message.body(), expected);
        client.ack(3, delivery.tag);
    }
}

#[test]
fn requeue_puts_a_message_back_among_its_priority() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 5);
    store(&mut client, &queue, &["5a", "3a", "3b", "1a"]);
    let first = client.get(1, &queue).expect("it waits");
    let second = client.get(1, &queue).expect("it waits");
    store(&mut client, &queue, &["5b", "3c", "1b"]);
    client.reject(1, second.tag, true);
    client.reject(1, first.tag, true);
    client.round_trip(1);
    let expected = ["5a", "5b", "3a", "3b", "3c", "1a", "1b"];
    assert_eq!(client.drain(1, &queue), expected);
}

#[test]
fn requeue_by_many_consumers_restores_the_position_within_each_priority() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 2);
    let messages = ["0a", "1a", "2a", "0b", "1b", "2b", "0c", "1c", "2c", "0d", "1d", "2d"];
    store(&mut client, &queue, &messages);
    for channel in 3..=5 {
        client.consume(channel, &queue);
    }
    // Each of them gets some; the last ones give back first.
    client.round_trip(1);
    client.wait_for_messages(1, &queue, 0);
    for channel in [5, 3, 4] {
        client.close_channel(channel);
        client.open(channel);
    }
    client.wait_for_messages(1, &queue, 12);
    let mut expected = messages;
    expected.sort_by_key(|message| (std::cmp::Reverse(message.as_bytes()[0]), *message));
    assert_eq!(client.drain(1, &queue), expected);
}

#[test]
fn unacked_messages_of_a_priority_queue_come_back_redelivered_in_order() {
    let (_server, mut client) = start();
    let queue = queue_up_to(&mut client, 2);
    store(&mut client, &queue, &["0a", "2a", "1a"]);
    client.consume(3, &queue);
    assert_eq!(client.expect_bodies(3, 3), ["2a", "1a", "0a"]);
    client.send(3, basic::Recover { requeue: true });
    client.expect::<RecoverOk>(3);
    for expected in ["2a", "1a", "0a"] {
        let delivery = client.expect_delivery(3);
        assert!(delivery.redelivered);
        assert_eq!(delivery.message.body(), expected);
    }
}

#[test]
fn ttl_holds_in_every_priority() {
    let (_server, mut client) = start();
    let arguments = [("x-max-priority", Value::I64(5)), ("x-message-ttl", Value::I64(200))];
    let (queue, dead) = client.dying_queue(1, &arguments);
    store(&mut client, &queue, &["5a", "0a", "3a"]);
    client.wait_for_messages(1, &dead, 3);
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn consumers_of_one_priority_take_turns_above_those_of_a_lower_one() {
    let (_server, mut client) = start();
    let queue = client.queue(1);
    client.consume_with_priority(3, &queue, 0);
    client.consume_with_priority(4, &queue, 10);
    client.consume_with_priority(5, &queue, 10);
    client.store(6, &queue, &["1", "2", "3", "4"]);
    for channel in [4, 5] {
        assert_eq!(client.expect_bodies(channel, 2).len(), 2);
    }
    client.expect_nothing_before(3, 1);
}

#[test]
fn consumer_of_lower_priority_gets_what_the_higher_one_has_no_credit_for() {
    let (_server, mut client) = start();
    let queue = client.queue(1);
    client.prefetch(4, 2);
    client.consume_with_priority(3, &queue, -1);
    client.consume_with_priority(4, &queue, 1);
    client.store(6, &queue, &["1", "2", "3"]);
    assert_eq!(client.expect_bodies(4, 1), ["1"]);
    let second = client.expect_delivery(4);
    assert_eq!(client.expect_bodies(3, 1), ["3"]);
    client.ack(4, second.tag);
    client.round_trip(4);
    client.store(6, &queue, &["4"]);
    assert_eq!(client.expect_bodies(4, 1), ["4"]);
}

#[test]
fn consumer_without_priority_counts_as_0() {
    let (_server, mut client) = start();
    let queue = client.queue(1);
    client.consume_with_priority(3, &queue, -5);
    client.consume(4, &queue);
    client.store(6, &queue, &["to 0", "to 0 again"]);
    assert_eq!(client.expect_bodies(4, 2), ["to 0", "to 0 again"]);
    client.consume_with_priority(5, &queue, 1);
    client.store(6, &queue, &["to 1"]);
    assert_eq!(client.expect_bodies(5, 1), ["to 1"]);
    client.expect_nothing_before(3, 1);
}

#[test]
fn consumer_priority_that_is_no_integer_is_406() {
    let (_server, mut client) = start();
    let queue = client.queue(1);
    let arguments = fields(&[("x-priority", word("high"))]);
    let consume = basic::Consume {
        queue: queue.as_bytes(),
        arguments: arguments.table(),
        ..Default::default()
    };
    client.send(3, consume);
    client.expect_channel_error(3, 406, "PRECONDITION_FAILED - ");
}

#[test]
fn single_active_consumer_gets_everything_while_others_wait() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    for channel in 3..=5 {
        client.consume(channel, &queue);
    }
    client.store(6, &queue, &["1", "2", "3"]);
    assert_eq!(client.expect_bodies(3, 3), ["1", "2", "3"]);
    client.expect_nothing_before(4, 1);
    client.expect_nothing_before(5, 1);
}

#[test]
fn single_active_consumer_without_credit_is_not_helped() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    client.prefetch(3, 1);
    client.consume(3, &queue);
    client.consume(4, &queue);
    client.store(6, &queue, &["1", "2"]);
    let first = client.expect_delivery(3);
    client.expect_nothing_before(4, 1);
    client.ack(3, first.tag);
    assert_eq!(client.expect_bodies(3, 1), ["2"]);
}

#[test]
fn next_in_line_takes_over_when_the_active_one_is_cancelled() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    let first = client.consume(3, &queue);
    client.consume(4, &queue);
    client.consume(5, &queue);
    client.store(6, &queue, &["1"]);
    let held = client.expect_delivery(3);
    client.cancel(3, &first);
    client.store(6, &queue, &["2"]);
    assert_eq!(client.expect_bodies(4, 1), ["2"]);
    // What the first one holds is still its own, until it gives it back.
    client.reject(3, held.tag, true);
    let again = client.expect_delivery(4);
    assert_eq!((again.message.body().as_str(), again.redelivered), ("1", true));
    client.expect_nothing_before(5, 1);
}

#[test]
fn next_in_line_gets_what_the_active_one_held_when_its_channel_closes() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    client.prefetch(3, 2);
    client.consume(3, &queue);
    client.consume(4, &queue);
    client.store(6, &queue, &["1", "2", "3"]);
    assert_eq!(client.expect_bodies(3, 2), ["1", "2"]);
    client.close_channel(3);
    let got: Vec<_> = (0..3)
        .map(|_| client.expect_delivery(4))
        .map(|delivery| (delivery.message.body(), delivery.redelivered))
        .collect();
    let expected = [("1", true), ("2", true), ("3", false)];
    assert_eq!(got, expected.map(|(body, again)| (body.to_owned(), again)));
}

#[test]
fn message_requeued_by_the_active_consumer_comes_back_to_it() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    client.prefetch(3, 1);
    client.consume(3, &queue);
    client.consume(4, &queue);
    client.store(6, &queue, &["1", "2"]);
    let first = client.expect_delivery(3);
    client.reject(3, first.tag, true);
    let again = client.expect_delivery(3);
    assert_eq!((again.message.body().as_str(), again.redelivered), ("1", true));
    client.expect_nothing_before(4, 1);
}

#[test]
fn waiting_consumer_that_goes_changes_nothing_for_the_active_one() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    client.consume(3, &queue);
    let waiting = client.consume(4, &queue);
    client.consume(5, &queue);
    client.cancel(4, &waiting);
    client.store(6, &queue, &["1"]);
    assert_eq!(client.expect_bodies(3, 1), ["1"]);
    client.close_channel(3);
    assert_eq!(client.expect_bodies(5, 1), ["1"]);
}

#[test]
fn get_is_free_to_anyone_beside_a_single_active_consumer() {
    let (_server, mut client) = start();
    let queue = client.queue_with(1, single_active().table());
    client.prefetch(3, 1);
    client.consume(3, &queue);
    client.store(6, &queue, &["1", "2"]);
    assert_eq!(client.expect_bodies(3, 1), ["1"]);
    assert_eq!(client.drain(1, &queue), ["2"]);
}

#[test]
fn active_consumer_whose_connection_vanishes_is_followed() {
    let (server, mut client) = start();
    let name = unique("followed");
    let arguments = single_active();
    let declare = queue::Declare { arguments: arguments.table(), ..named(&name) };
    client.call::<DeclareOk>(1, declare);
    let mut active = Client::connect(server.address());
    active.consume(1, &name);
    client.consume(3, &name);
    client.store(6, &name, &["1"]);
    assert_eq!(active.expect_bodies(1, 1), ["1"]);
    active.vanish();
    let again = client.expect_delivery(3);
    assert_eq!((again.message.body().as_str(), again.redelivered), ("1", true));
    client.delete_queue(1, &name);
}

#[test]
fn next_active_consumer_is_the_one_of_the_highest_priority_that_came_first() {
    let (_server, mut client) = Server::with_client();
    let single = fields(&[("x-single-active-consumer", Value::Bool(true))]);
    let queue = client.queue_with(1, single.table());
    let mut tags = Vec::new();
    for (channel, priority) in (2..).zip([0, 1, 5, 5]) {
        client.open(channel);
        tags.push(client.consume_with_priority(channel, &queue, priority));
    }
    // The first stays active, whoever comes after it.
    for (channel, body) in [(2, "a"), (4, "b"), (5, "c"), (3, "d")] {
        client.publish(1, "", &queue, body);
        let delivery = client.expect_delivery(channel);
        assert_eq!(text(&delivery.message.body), body);
        client.ack(channel, delivery.tag);
        client.cancel(channel, &tags[usize::from(channel) - 2]);
    }
}
