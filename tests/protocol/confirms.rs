//! When is a publisher told that its message is safe, and in which order?

use crate::common::*;

/// Takes acks until everything up to `last` is confirmed, each number once.
fn expect_acks(client: &mut Client, channel: u16, last: u64) {
    let mut open: Vec<u64> = (1..=last).collect();
    while !open.is_empty() {
        let ack = client.expect::<Ack>(channel);
        let before = open.len();
        if ack.multiple {
            open.retain(|&number| number > ack.tag);
        } else {
            open.retain(|&number| number != ack.tag);
        }
        assert!(open.len() < before, "{ack:?} confirms nothing that was open");
    }
}

fn limited_queue(client: &mut Client, messages: i64) -> String {
    let arguments =
        fields(&[("x-max-length", Value::I64(messages)), ("x-overflow", word("reject-publish"))]);
    client.queue_with(1, arguments.table())
}

#[test]
fn numbers_start_at_1_with_the_first_publish_after_select() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.publish(1, "", &queue, "before");
    client.confirm_select(1);
    client.publish(1, "", &queue, "after");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.publish(1, "", &queue, "again");
    assert_eq!(client.expect::<Ack>(1).tag, 2);
    assert_eq!(client.drain(1, &queue), ["before", "after", "again"]);
}

#[test]
fn numbers_count_on_when_select_is_repeated() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.confirm_select(1);
    client.publish(1, "", &queue, "one");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.confirm_select(1);
    client.publish(1, "", &queue, "two");
    assert_eq!(client.expect::<Ack>(1).tag, 2);
}

#[test]
fn numbers_are_the_channels_own() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    for channel in [1, 2] {
        client.confirm_select(channel);
        client.publish(channel, "", &queue, "first");
        assert_eq!(client.expect::<Ack>(channel).tag, 1);
    }
}

#[test]
fn select_without_wait_is_not_answered() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.send(1, confirm::Select { nowait: true });
    client.publish(1, "", &queue, "one");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
}

#[test]
fn channel_without_select_confirms_nothing() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.publish(1, "", &queue, "unconfirmed");
    client.expect_nothing_before(1, 1);
}

#[test]
fn every_publish_of_a_long_row_is_confirmed_once() {
    let (_server, mut client) = Server::with_client();
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    for number in 0..1000 {
        let properties = if number % 3 == 0 { PropertyList::default() } else { persistent() };
        client.publish_with(1, "", &queue, &properties, b"x");
    }
    expect_acks(&mut client, 1, 1000);
    client.expect_nothing_before(1, 1);
    assert_eq!(client.delete_queue(1, &queue), 1000);
}

#[test]
fn persistent_message_in_a_durable_queue_is_confirmed() {
    let (_server, mut client) = Server::with_client();
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    client.publish_with(1, "", &queue, &persistent(), b"safe");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.delete_queue(1, &queue);
}

#[test]
fn message_to_several_queues_is_confirmed_once() {
    let (_server, mut client) = Server::with_client();
    let queues = [client.durable_queue(1), client.queue(1), client.queue(1)];
    let exchange = client.exchange(1, "fanout");
    for queue in &queues {
        client.bind(1, queue, &exchange, "");
    }
    client.confirm_select(1);
    client.publish_with(1, &exchange, "", &persistent(), b"to all");
    expect_acks(&mut client, 1, 1);
    client.expect_nothing_before(1, 1);
    client.delete_queue(1, &queues[0]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn unroutable_message_is_confirmed_at_once() {
    let (_server, mut client) = Server::with_client();
    client.confirm_select(1);
    client.publish(1, "amq.direct", "nobody bound this", "lost");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
}

#[test]
fn return_comes_before_the_ack() {
    let (_server, mut client) = Server::with_client();
    client.confirm_select(1);
    for number in 1..=20 {
        client.publish_mandatory(1, "amq.direct", "nobody bound this", "lost");
        assert_eq!(client.expect::<Return>(1).code, 312);
        assert_eq!(client.expect::<Ack>(1).tag, number);
    }
}

#[test]
fn refused_message_is_nacked() {
    let (_server, mut client) = Server::with_client();
    let queue = limited_queue(&mut client, 1);
    client.confirm_select(1);
    client.publish(1, "", &queue, "first");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.publish(1, "", &queue, "second");
    let nack = client.expect::<Nack>(1);
    assert_eq!(nack.tag, 2);
    assert_eq!(client.drain(1, &queue), ["first"]);
}

#[test]
fn message_that_any_queue_refuses_is_nacked() {
    let (_server, mut client) = Server::with_client();
    let (full, free) = (limited_queue(&mut client, 0), client.queue(1));
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &full, &exchange, "");
    client.bind(1, &free, &exchange, "");
    client.confirm_select(1);
    client.publish(1, &exchange, "", "refused by one");
    assert_eq!(client.expect::<Nack>(1).tag, 1);
    client.expect_nothing_before(1, 1);
    assert_eq!(client.drain(1, &free), ["refused by one"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn multiple_never_covers_a_refused_message() {
    let (_server, mut client) = Server::with_client();
    let (full, free) = (limited_queue(&mut client, 0), client.queue(1));
    client.confirm_select(1);
    let refused = |number: u64| number.is_multiple_of(7);
    for number in 1..=100 {
        let queue = if refused(number) { &full } else { &free };
        client.publish(1, "", queue, "x");
    }
    // 0 is open, 1 confirmed, 2 refused.
    let mut answers = vec![0; 101];
    while answers[1..].contains(&0) {
        let event = client.next(1);
        let (tag, multiple, answer) = if let Method::BasicNack(nack) = event.method() {
            (nack.delivery_tag, nack.multiple, 2)
        } else {
            let ack = event.expect::<Ack>();
            (ack.tag, ack.multiple, 1)
        };
        let tag = usize::try_from(tag).expect("a small number");
        let low = if multiple { 1 } else { tag };
        for open in answers[low..=tag].iter_mut().filter(|open| **open == 0) {
            *open = answer;
        }
    }
    for (number, answer) in answers.into_iter().enumerate().skip(1) {
        let expected = if refused(number as u64) { 2 } else { 1 };
        assert_eq!(answer, expected, "message {number}");
    }
}

#[test]
fn multiple_never_covers_an_unconfirmed_message() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let mut client = Client::connect(server.address());
    client.open(2);
    let queue = client.durable_queue(2);
    client.confirm_select(1);
    gate.hold();
    client.publish(1, "", &queue, "transient");
    client.publish_with(1, "", &queue, &persistent(), b"waits for the disk");
    for _ in 0..10 {
        client.publish(1, "", &queue, "transient");
    }
    let ack = client.expect::<Ack>(1);
    assert_eq!((ack.tag, ack.multiple), (1, false));
    client.expect_nothing_before(1, 2);
    gate.release();
    expect_acks(&mut client, 1, 12);
}

#[test]
fn message_is_acked_when_its_queue_was_deleted_meanwhile() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    client.confirm_select(1);
    let mut last = 0;
    for _ in 0..20 {
        let queue = client.durable_queue(2);
        for _ in 0..10 {
            client.publish_with(1, "", &queue, &persistent(), b"x");
            last += 1;
        }
        client.delete_queue(2, &queue);
    }
    expect_acks(&mut client, 1, last);
}

#[test]
fn message_consumed_and_acked_before_its_confirm_is_confirmed() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.durable_queue(1);
    client.consume(2, &queue);
    client.confirm_select(1);
    for number in 1..=20 {
        client.publish_with(1, "", &queue, &persistent(), b"x");
        let delivery = client.expect_delivery(2);
        assert_eq!(delivery.tag, number);
        client.ack(2, delivery.tag);
    }
    expect_acks(&mut client, 1, 20);
    client.delete_queue(1, &queue);
}

#[test]
fn selecting_confirms_on_a_transaction_channel_is_406() {
    let (_server, mut client) = Server::with_client();
    client.call::<TxSelectOk>(1, tx::Select {});
    client.send(1, confirm::Select { nowait: false });
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn selecting_a_transaction_on_a_confirm_channel_is_406() {
    let (_server, mut client) = Server::with_client();
    client.confirm_select(1);
    client.send(1, tx::Select {});
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn refused_publish_with_a_channel_error_is_not_confirmed() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    client.confirm_select(1);
    client.publish(1, "no such exchange", "key", "lost");
    client.expect_channel_error(1, 404, "NOT_FOUND - ");
    client.expect_nothing_before(1, 2);
}

#[test]
fn nothing_is_confirmed_before_it_is_durable() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let mut client = Client::connect(server.address());
    client.open(2);
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    gate.hold();
    for _ in 0..10 {
        client.publish_with(1, "", &queue, &persistent(), b"x");
    }
    client.expect_nothing_before(1, 2);
    gate.release();
    expect_acks(&mut client, 1, 10);
}

#[test]
fn persistent_message_is_delivered_before_it_is_durable() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let mut client = Client::connect(server.address());
    client.open(2);
    let queue = client.durable_queue(1);
    client.consume(2, &queue);
    client.confirm_select(1);
    gate.hold();
    client.publish_with(1, "", &queue, &persistent(), b"early");
    assert_eq!(client.expect_delivery(2).message.body(), "early");
    client.expect_nothing_before(1, 2);
    gate.release();
    expect_acks(&mut client, 1, 1);
}
