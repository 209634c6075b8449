//! Who gets which message, in which order, and how much of it at once?

use crate::common::*;

const NONE: [&str; 0] = [];

fn consume<'a>(queue: &'a str, tag: &'a str) -> basic::Consume<'a> {
    basic::Consume { queue: queue.as_bytes(), consumer_tag: tag.as_bytes(), ..Default::default() }
}

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["waiting"]);
    client.send(1, consume(&queue, "mine"));
    assert_eq!(client.expect::<ConsumeOk>(1).tag, "mine");
    let delivery = client.expect_delivery(1);
    assert_eq!(delivery.consumer, "mine");
    assert_eq!(delivery.message.body(), "waiting");
}

#[test]
fn empty_tag_makes_one_up() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let (one, two) = (client.consume(1, &queue), client.consume(1, &queue));
    assert!(one.starts_with("amq.ctag-"), "{one}");
    assert_ne!(one, two);
}

#[test]
fn reuse_of_a_tag_is_530() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.call::<ConsumeOk>(1, consume(&queue, "mine"));
    client.send(1, consume(&queue, "mine"));
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'mine'";
    client.expect_connection_error(530, text);
}

#[test]
fn tag_may_be_used_on_another_channel_and_after_its_end() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    client.call::<ConsumeOk>(1, consume(&queue, "mine"));
    client.call::<ConsumeOk>(2, consume(&queue, "mine"));
    client.cancel(1, "mine");
    client.call::<ConsumeOk>(1, consume(&queue, "mine"));
}

#[test]
fn consume_without_wait_is_not_answered() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["waiting"]);
    client.send(1, basic::Consume { nowait: true, ..consume(&queue, "mine") });
    assert_eq!(client.expect_delivery(1).consumer, "mine");
    client.send(1, basic::Cancel { consumer_tag: b"mine", nowait: true });
    client.expect_nothing_before(1, 1);
}

#[test]
fn exclusive_consumer_keeps_others_out() {
    let (server, mut client) = Server::with_client();
    let queue = client.shared_queue(1);
    client.call::<ConsumeOk>(1, basic::Consume { exclusive: true, ..consume(&queue, "mine") });
    let mut other = Client::connect(server.address());
    for exclusive in [false, true] {
        other.send(1, basic::Consume { exclusive, ..consume(&queue, "theirs") });
        let text = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
        other.expect_channel_error(1, 403, &text);
        other.open(1);
    }
}

#[test]
fn exclusive_consumer_is_refused_where_others_are() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.consume(1, &queue);
    client.send(1, basic::Consume { exclusive: true, ..consume(&queue, "mine") });
    client.expect_channel_error(1, 403, "in exclusive use");
}

#[test]
fn queue_is_free_again_when_its_exclusive_consumer_ends() {
    let (server, mut client) = Server::with_client();
    let mut other = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let exclusive = || basic::Consume { exclusive: true, ..consume(&queue, "mine") };
    client.call::<ConsumeOk>(1, exclusive());
    client.cancel(1, "mine");
    other.call::<ConsumeOk>(1, exclusive());
    other.close_channel(1);
    let tag = client.consume(1, &queue);
    client.cancel(1, &tag);
    client.delete_queue(1, &queue);
}

#[test]
fn get_is_free_to_anyone_beside_an_exclusive_consumer() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.prefetch(1, 1);
    client.call::<ConsumeOk>(1, basic::Consume { exclusive: true, ..consume(&queue, "mine") });
    client.open(2);
    client.publish(2, "", &queue, "consumed");
    assert_eq!(client.expect_delivery(1).message.body(), "consumed");
    client.publish(2, "", &queue, "got");
    assert_eq!(client.drain(2, &queue), ["got"]);
}

#[test]
fn no_local_is_ignored() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.call::<ConsumeOk>(1, basic::Consume { no_local: true, ..consume(&queue, "mine") });
    client.publish(1, "", &queue, "from myself");
    assert_eq!(client.expect_delivery(1).message.body(), "from myself");
}

#[test]
fn cancel_of_an_unknown_tag_is_answered() {
    let (_server, mut client) = Server::with_client();
    let cancel = basic::Cancel { consumer_tag: b"nobody", nowait: false };
    assert_eq!(client.call::<CancelOk>(1, cancel).tag, "nobody");
}

#[test]
fn cancel_leaves_unacked_messages_with_the_channel() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b"]);
    client.prefetch(1, 1);
    let tag = client.consume(1, &queue);
    let delivery = client.expect_delivery(1);
    client.cancel(1, &tag);
    client.open(2);
    assert_eq!(client.drain(2, &queue), ["b"]);
    client.ack(1, delivery.tag);
    client.close_channel(1);
    assert_eq!(client.drain(2, &queue), NONE);
}

#[test]
fn nothing_is_delivered_after_cancel_ok() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    for _ in 0..20 {
        let tag = client.consume_no_ack(1, &queue);
        for _ in 0..5 {
            client.publish(2, "", &queue, "x");
        }
        let late = client.cancel(1, &tag).len();
        client.round_trip(2);
        client.expect_nothing_before(1, 2);
        assert_eq!(late + client.drain(2, &queue).len(), 5);
    }
}

#[test]
fn deliveries_come_in_publish_order() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    client.consume_no_ack(1, &queue);
    client.open(2);
    for body in &expected {
        client.publish(2, "", &queue, body);
    }
    assert_eq!(client.expect_bodies(1, 500), expected);
}

#[test]
fn delivery_tags_count_from_1_over_deliver_and_get() {
    let (_server, mut client) = Server::with_client();
    let (one, two) = (client.queue(1), client.queue(1));
    client.store(2, &one, &["a", "b", "c"]);
    client.store(2, &two, &["d"]);
    assert_eq!(client.get(1, &one).map(|got| got.tag), Some(1));
    client.consume(1, &two);
    assert_eq!(client.expect_delivery(1).tag, 2);
    assert_eq!(client.get(1, &one).map(|got| got.tag), Some(3));
    // Each channel counts on its own.
    client.open(2);
    assert_eq!(client.get(2, &one).map(|got| got.tag), Some(1));
}

#[test]
fn consumers_take_turns() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    for channel in 2..=4 {
        client.open(channel);
        client.consume_no_ack(channel, &queue);
    }
    for number in 0..30 {
        client.publish(1, "", &queue, &number.to_string());
    }
    let mut all = Vec::new();
    for channel in 2..=4 {
        all.extend(client.expect_bodies(channel, 10));
    }
    all.sort_by_key(|body| body.parse::<u32>().expect("a number"));
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(all, expected);
}

#[test]
fn consumer_without_credit_is_passed_over() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.open(2);
    client.open(3);
    client.prefetch(2, 1);
    client.consume(2, &queue);
    client.consume(3, &queue);
    for number in 0..10 {
        client.publish(1, "", &queue, &number.to_string());
    }
    client.expect_delivery(2);
    client.expect_bodies(3, 9);
    client.expect_nothing_before(2, 1);
}

#[test]
fn consumer_of_higher_priority_is_served_first_while_it_has_credit() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    for (channel, priority) in [(2, 0), (3, 10), (4, -5)] {
        client.open(channel);
        client.prefetch(channel, 2);
        client.consume_with_priority(channel, &queue, priority);
    }
    for number in 0..5 {
        client.publish(1, "", &queue, &number.to_string());
    }
    assert_eq!(client.expect_bodies(3, 2), ["0", "1"]);
    assert_eq!(client.expect_bodies(2, 2), ["2", "3"]);
    assert_eq!(client.expect_bodies(4, 1), ["4"]);
}

#[test]
fn get_carries_the_number_of_messages_left() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b", "c"]);
    for (left, body) in [(2, "a"), (1, "b"), (0, "c")] {
        let got = client.get(1, &queue).expect("three messages are there");
        assert_eq!((got.left, got.redelivered), (left, false));
        assert_eq!(got.message.body(), body);
        assert_eq!(got.message.key, queue);
    }
    assert!(client.get(1, &queue).is_none());
}

#[test]
fn get_of_an_empty_queue_is_get_empty() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let get = basic::Get { queue: queue.as_bytes(), no_ack: false };
    client.send(1, get);
    assert!(matches!(client.next(1).method(), Method::BasicGetEmpty(_)));
    client.store(2, &queue, &["a"]);
    let got = client.get(1, &queue).expect("a message is there");
    // What is delivered and not acked is not there for others.
    client.send(1, get);
    assert!(matches!(client.next(1).method(), Method::BasicGetEmpty(_)));
    client.ack(1, got.tag);
}

#[test]
fn get_without_acks_settles_at_once() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a"]);
    client.open(2);
    client.send(2, basic::Get { queue: queue.as_bytes(), no_ack: true });
    client.expect::<GetOk>(2);
    client.close_channel(2);
    assert_eq!(client.drain(1, &queue), NONE);
}

#[test]
fn prefetch_limits_what_is_outstanding() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b", "c", "d", "e"]);
    client.open(2);
    client.prefetch(1, 2);
    client.consume(1, &queue);
    assert_eq!(client.expect_bodies(1, 2), ["a", "b"]);
    client.expect_nothing_before(1, 2);
    client.ack(1, 1);
    assert_eq!(client.expect_bodies(1, 1), ["c"]);
    client.expect_nothing_before(1, 2);
    client.send(1, basic::Ack { delivery_tag: 3, multiple: true });
    assert_eq!(client.expect_bodies(1, 2), ["d", "e"]);
}

#[test]
fn prefetch_applies_to_each_consumer_started_later() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let (before, one, two) = (client.queue(2), client.queue(2), client.queue(2));
    client.consume(1, &before);
    client.prefetch(1, 1);
    client.consume(1, &one);
    client.consume(1, &two);
    for queue in [&before, &one, &two] {
        for _ in 0..3 {
            client.publish(2, "", queue, queue);
        }
    }
    let mut bodies = client.expect_bodies(1, 5);
    client.expect_nothing_before(1, 2);
    bodies.sort();
    let mut expected = vec![before.clone(), before.clone(), before, one, two];
    expected.sort();
    assert_eq!(bodies, expected);
}

#[test]
fn global_prefetch_is_shared_by_the_channel() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let (one, two) = (client.queue(2), client.queue(2));
    let qos = basic::Qos { prefetch_count: 3, global: true, ..Default::default() };
    client.call::<QosOk>(1, qos);
    client.consume(1, &one);
    client.consume(1, &two);
    for queue in [&one, &two] {
        for _ in 0..4 {
            client.publish(2, "", queue, "x");
        }
    }
    client.expect_bodies(1, 3);
    client.expect_nothing_before(1, 2);
    client.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    client.expect_bodies(1, 3);
    client.expect_nothing_before(1, 2);
    client.ack(1, 4);
    client.expect_bodies(1, 1);
}

#[test]
fn prefetch_for_each_consumer_lifts_the_shared_one() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(2);
    let qos = basic::Qos { prefetch_count: 2, global: true, ..Default::default() };
    client.call::<QosOk>(1, qos);
    client.consume(1, &queue);
    for _ in 0..5 {
        client.publish(2, "", &queue, "x");
    }
    client.expect_bodies(1, 2);
    client.expect_nothing_before(1, 2);
    // It applies to consumers started later, hence this one has no limit at all now.
    client.prefetch(1, 1);
    client.expect_bodies(1, 3);
}

#[test]
fn shared_prefetch_holds_beside_that_of_each_consumer() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let (one, two) = (client.queue(2), client.queue(2));
    client.prefetch(1, 2);
    let qos = basic::Qos { prefetch_count: 3, global: true, ..Default::default() };
    client.call::<QosOk>(1, qos);
    client.consume(1, &one);
    for _ in 0..5 {
        client.publish(2, "", &one, "one");
    }
    assert_eq!(client.expect_bodies(1, 2), ["one", "one"], "what a consumer may have");
    client.expect_nothing_before(1, 2);
    client.consume(1, &two);
    for _ in 0..5 {
        client.publish(2, "", &two, "two");
    }
    assert_eq!(client.expect_bodies(1, 1), ["two"], "what the channel may have");
    client.expect_nothing_before(1, 2);
    client.ack(1, 1);
    client.expect_bodies(1, 1);
    client.expect_nothing_before(1, 2);
}

#[test]
fn prefetch_0_is_unlimited() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.prefetch(1, 1);
    client.prefetch(1, 0);
    client.consume(1, &queue);
    for _ in 0..100 {
        client.publish(1, "", &queue, "x");
    }
    client.expect_bodies(1, 100);
}

#[test]
fn prefetch_does_not_limit_consumers_without_acks() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.prefetch(1, 1);
    client.consume_no_ack(1, &queue);
    for _ in 0..10 {
        client.publish(1, "", &queue, "x");
    }
    client.expect_bodies(1, 10);
}

#[test]
fn get_does_not_count_against_the_prefetch() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b", "c"]);
    client.prefetch(1, 1);
    client.get(1, &queue).expect("three messages are there");
    client.get(1, &queue).expect("three messages are there");
    client.consume(1, &queue);
    assert_eq!(client.expect_bodies(1, 1), ["c"]);
}

#[test]
fn prefetch_size_other_than_0_is_540() {
    let (_server, mut client) = Server::with_client();
    client.send(1, basic::Qos { prefetch_size: 1024, ..Default::default() });
    client.expect_connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1024)");
}

#[test]
fn single_active_consumer_is_the_first_in_line() {
    let (_server, mut client) = Server::with_client();
    let mut arguments = TableBuf::new();
    arguments.put_bool(b"x-single-active-consumer", true);
    let queue = client.queue_with(1, arguments.table());
    client.open(2);
    client.open(3);
    client.call::<ConsumeOk>(2, consume(&queue, "first"));
    client.call::<ConsumeOk>(3, consume(&queue, "second"));
    for _ in 0..3 {
        client.publish(1, "", &queue, "x");
    }
    client.expect_bodies(2, 3);
    client.expect_nothing_before(3, 1);
    client.cancel(2, "first");
    client.publish(1, "", &queue, "y");
    assert_eq!(client.expect_bodies(3, 1), ["y"]);
}

#[test]
fn exclusive_consumer_of_a_single_active_queue_is_403() {
    let (_server, mut client) = Server::with_client();
    let mut arguments = TableBuf::new();
    arguments.put_bool(b"x-single-active-consumer", true);
    let queue = client.queue_with(1, arguments.table());
    client.send(1, basic::Consume { exclusive: true, ..consume(&queue, "mine") });
    client.expect_channel_error(1, 403, "ACCESS_REFUSED - ");
}

#[test]
fn cancel_ok_from_a_client_is_503() {
    let (_server, mut client) = Server::with_client();
    client.send(1, basic::CancelOk { consumer_tag: b"tag" });
    client.expect_connection_error(503, "COMMAND_INVALID - unimplemented method");
}
