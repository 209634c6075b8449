//! What do ack, reject, nack and recover do to messages, and which tags do they take?

use crate::common::*;

const NONE: [&str; 0] = [];

/// A client with `bodies` in a queue, all of them taken by basic.get on channel 1, tags from 1.
fn holding(server: &Server, bodies: &[&str]) -> (Client, String) {
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    client.store(2, &queue, bodies);
    for (index, body) in bodies.iter().enumerate() {
        let got = client.get(1, &queue).expect("the messages are there");
        assert_eq!(got.tag, index as u64 + 1);
        assert_eq!(got.message.body(), *body);
    }
    client.open(2);
    (client, queue)
}

fn nack(tag: u64, multiple: bool, requeue: bool) -> basic::Nack {
    basic::Nack { delivery_tag: tag, multiple, requeue }
}

/// What was not settled comes back when channel 1 closes.
fn left_unacked(client: &mut Client, queue: &str) -> Vec<String> {
    client.close_channel(1);
    client.drain(2, queue)
}

#[test]
fn ack_settles_one_message() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.ack(1, 2);
    assert_eq!(left_unacked(&mut client, &queue), ["a", "c"]);
}

#[test]
fn ack_multiple_settles_all_up_to_the_tag() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.send(1, basic::Ack { delivery_tag: 2, multiple: true });
    assert_eq!(left_unacked(&mut client, &queue), ["c"]);
}

#[test]
fn ack_of_0_with_multiple_settles_all_so_far() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    assert_eq!(left_unacked(&mut client, &queue), NONE);
}

#[test]
fn ack_of_0_with_multiple_is_fine_when_there_is_nothing() {
    let (_server, mut client) = Server::with_client();
    client.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    client.send(1, nack(0, true, true));
    client.round_trip(1);
}

#[test]
fn unknown_tag_is_406() {
    let server = Server::start();
    let methods: [Method<'_>; 6] = [
        basic::Ack { delivery_tag: 3, multiple: false }.into(),
        basic::Ack { delivery_tag: 3, multiple: true }.into(),
        basic::Reject { delivery_tag: 3, requeue: true }.into(),
        nack(3, false, true).into(),
        nack(3, true, false).into(),
        basic::Reject { delivery_tag: 3, requeue: false }.into(),
    ];
    for method in methods {
        let (mut client, queue) = holding(&server, &["a", "b"]);
        client.send(1, method);
        let text = "PRECONDITION_FAILED - unknown delivery tag 3";
        let close = client.expect_channel_error(1, 406, text);
        assert_eq!(close.offender, method.id());
        // The error closed the channel, hence its messages are back.
        assert_eq!(client.drain(2, &queue), ["a", "b"]);
    }
}

#[test]
fn tag_0_without_multiple_is_unknown() {
    let server = Server::start();
    let (mut client, _) = holding(&server, &["a"]);
    client.ack(1, 0);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 0");
}

#[test]
fn settling_twice_is_406() {
    let server = Server::start();
    let (mut client, _) = holding(&server, &["a", "b"]);
    client.ack(1, 1);
    client.ack(1, 1);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

#[test]
fn ack_multiple_up_to_a_settled_tag_is_406() {
    let server = Server::start();
    let (mut client, _) = holding(&server, &["a", "b", "c"]);
    client.ack(1, 2);
    client.send(1, basic::Ack { delivery_tag: 2, multiple: true });
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 2");
}

#[test]
fn ack_of_a_delivery_without_acks_is_unknown() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.consume_no_ack(1, &queue);
    client.publish(1, "", &queue, "x");
    let delivery = client.expect_delivery(1);
    client.ack(1, delivery.tag);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

#[test]
fn tags_of_another_channel_are_unknown() {
    let server = Server::start();
    let (mut client, _) = holding(&server, &["a"]);
    client.ack(2, 1);
    client.expect_channel_error(2, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

#[test]
fn reject_with_requeue_puts_the_message_back_in_its_place() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b", "c", "d"]);
    let taken: Vec<_> = (0..3).map(|_| client.get(1, &queue).expect("four are there")).collect();
    client.reject(1, taken[1].tag, true);
    let again = client.get(1, &queue).expect("the message is back");
    assert!(again.redelivered);
    assert_eq!(again.message.body(), "b");
    client.reject(1, taken[0].tag, true);
    client.reject(1, again.tag, true);
    client.reject(1, taken[2].tag, true);
    assert_eq!(client.drain(1, &queue), ["a", "b", "c", "d"]);
}

#[test]
fn requeue_in_any_order_restores_publish_order() {
    let server = Server::start();
    let bodies: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let texts: Vec<_> = bodies.iter().map(String::as_str).collect();
    let (mut client, queue) = holding(&server, &texts);
    // 7 is prime to 20: every tag once, in a scattered order.
    for step in 0..20_u64 {
        client.reject(1, (step * 7) % 20 + 1, true);
    }
    assert_eq!(client.drain(1, &queue), bodies);
}

#[test]
fn requeue_by_many_consumers_restores_publish_order() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let bodies: Vec<_> = (0..12).map(|number| number.to_string()).collect();
    for channel in 2..=4 {
        client.open(channel);
        client.prefetch(channel, 4);
        client.consume(channel, &queue);
    }
    for body in &bodies {
        client.publish(1, "", &queue, body);
    }
    for channel in 2..=4 {
        client.expect_bodies(channel, 4);
    }
    for channel in [3, 2, 4] {
        client.send(channel, channel::Close { reply_code: 200, ..Default::default() });
    }
    for channel in 2..=4 {
        while !matches!(client.next(channel).method(), Method::ChannelCloseOk(_)) {}
    }
    assert_eq!(client.drain(1, &queue), bodies);
}

#[test]
fn reject_without_requeue_drops() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b"]);
    client.reject(1, 1, false);
    assert_eq!(left_unacked(&mut client, &queue), ["b"]);
}

#[test]
fn nack_multiple_takes_all_up_to_the_tag() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.send(1, nack(2, true, true));
    assert_eq!(client.drain(1, &queue), ["a", "b"]);
    assert_eq!(left_unacked(&mut client, &queue), ["c"]);
}

#[test]
fn nack_of_0_with_multiple_takes_all() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.send(1, nack(0, true, false));
    assert_eq!(left_unacked(&mut client, &queue), NONE);
}

#[test]
fn rejected_message_goes_to_a_consumer_again_as_redelivered() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.consume(1, &queue);
    client.publish(1, "", &queue, "boomerang");
    let mut tag = 0;
    for round in 0..5 {
        let delivery = client.expect_delivery(1);
        assert_eq!(delivery.redelivered, round > 0);
        assert_eq!(delivery.message.body(), "boomerang");
        assert_eq!(delivery.tag, tag + 1);
        tag = delivery.tag;
        client.reject(1, tag, true);
    }
}

#[test]
fn recover_requeues_all_and_is_answered() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b", "c"]);
    client.ack(1, 2);
    client.call::<RecoverOk>(1, basic::Recover { requeue: true });
    let again = client.get(1, &queue).expect("a and c are back");
    assert!(again.redelivered);
    assert_eq!(again.message.body(), "a");
    assert_eq!(client.drain(1, &queue), ["c"]);
}

#[test]
fn recover_async_does_the_same_without_an_answer() {
    let server = Server::start();
    let (mut client, queue) = holding(&server, &["a", "b"]);
    client.send(1, basic::RecoverAsync { requeue: true });
    client.expect_nothing_before(1, 2);
    assert_eq!(client.drain(1, &queue), ["a", "b"]);
}

#[test]
fn recover_without_requeue_is_540() {
    let server = Server::start();
    let methods: [Method<'_>; 2] =
        [basic::Recover { requeue: false }.into(), basic::RecoverAsync { requeue: false }.into()];
    for method in methods {
        let mut client = Client::connect(server.address());
        client.send(1, method);
        client.expect_connection_error(540, "NOT_IMPLEMENTED - requeue=false");
    }
}
