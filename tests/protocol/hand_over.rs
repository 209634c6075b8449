//! Is a message that goes straight from its publisher to a consumer without acks, stored nowhere,
//! delivered as any other is?

use crate::common::*;

fn transient() -> PropertyList<'static> {
    PropertyList::default()
}

/// Those that are stored have to keep back those behind them that need not be.
#[test]
fn stored_and_passing_messages_of_a_queue_keep_their_order() {
    let (server, mut consumer) = Server::with_client();
    let mut publisher = Client::connect(server.address());
    let queue = consumer.durable_queue(1);
    consumer.consume_no_ack(1, &queue);
    let expected: Vec<_> = (0..300).map(|number| format!("{number}")).collect();
    let mut burst = Burst::default();
    for (number, body) in expected.iter().enumerate() {
        let stored = number % 7 == 3 || number % 11 == 5;
        let properties = if stored { persistent() } else { transient() };
        burst = burst.publish(&queue, &properties, body.as_bytes());
    }
    publisher.send_bytes(&burst.0);
    assert_eq!(consumer.expect_bodies(1, 300), expected);
    assert_eq!(publisher.delete_queue(1, &queue), 0);
}

#[test]
fn a_message_right_before_the_end_of_its_queue_comes_before_the_cancel() {
    let (server, mut consumer) = Server::with_client();
    let mut publisher = Client::connect(server.address());
    let queue = consumer.shared_queue(1);
    let tag = consumer.consume_no_ack(1, &queue);
    let delete =
        queue::Delete { queue: queue.as_bytes(), if_unused: false, if_empty: false, nowait: true };
    let burst = Burst::default().publish(&queue, &transient(), b"the last one").method(delete);
    publisher.send_bytes(&burst.0);
    let delivery = consumer.expect_delivery(1);
    assert_eq!(delivery.message.body(), "the last one");
    assert_eq!(delivery.tag, 1);
    assert_eq!(consumer.expect::<Cancel>(1).tag, tag);
}

/// The answer to a cancel comes after the last delivery, so that a connection passes nothing to
/// itself.
#[test]
fn a_publisher_that_cancels_its_own_consumer_behind_a_message_loses_nothing() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let tag = client.consume_no_ack(1, &queue);
    let cancel = basic::Cancel { consumer_tag: tag.as_bytes(), nowait: false };
    let burst = Burst::default().publish(&queue, &transient(), b"kept").method(cancel);
    client.send_bytes(&burst.0);
    let mut bodies = Vec::new();
    loop {
        let event = client.next(1);
        if matches!(event.method(), Method::BasicCancelOk(_)) {
            break;
        }
        bodies.push(event.expect::<Delivery>().message.body());
    }
    bodies.extend(client.drain(1, &queue));
    assert_eq!(bodies, ["kept"]);
}

#[test]
fn passing_messages_go_round_robin_and_to_the_highest_priority_first() {
    let (server, mut publisher) = Server::with_client();
    let mut consumers: Vec<_> = (0..3).map(|_| Client::connect(server.address())).collect();
    let queue = publisher.shared_queue(1);
    let priorities = [1, 1, 0].map(|priority| fields(&[("x-priority", Value::I32(priority))]));
    for (consumer, arguments) in consumers.iter_mut().zip(&priorities) {
        let consume = basic::Consume {
            queue: queue.as_bytes(),
            no_ack: true,
            arguments: arguments.table(),
            ..Default::default()
        };
        consumer.call::<ConsumeOk>(1, consume);
    }
    let mut burst = Burst::default();
    for number in 0..6 {
        burst = burst.publish(&queue, &transient(), number.to_string().as_bytes());
    }
    publisher.send_bytes(&burst.0);
    assert_eq!(consumers[0].expect_bodies(1, 3), ["0", "2", "4"]);
    assert_eq!(consumers[1].expect_bodies(1, 3), ["1", "3", "5"]);
    let [_, _, third] = &mut consumers[..] else { unreachable!("there are three") };
    third.expect_nothing_yet(1, &mut publisher);
}

/// A queue counts what waits in it, not what went through it.
#[test]
fn a_message_that_passed_is_confirmed_and_does_not_count_as_ready() {
    let (server, mut consumer) = Server::with_client();
    let mut publisher = Client::connect(server.address());
    let queue = consumer.shared_queue(1);
    consumer.consume_no_ack(1, &queue);
    publisher.confirm_select(1);
    let inspect = passive(&queue);
    let burst = Burst::default().publish(&queue, &transient(), b"gone").method(inspect);
    publisher.send_bytes(&burst.0);
    assert_eq!(consumer.expect_bodies(1, 1), ["gone"]);
    let (mut acked, mut ready) = (None, None);
    while acked.is_none() || ready.is_none() {
        let event = publisher.next(1);
        if let Method::BasicAck(ack) = event.method() {
            acked = Some(ack.delivery_tag);
        } else {
            ready = Some(event.expect::<DeclareOk>().messages);
        }
    }
    assert_eq!((acked, ready), (Some(1), Some(0)));
}
