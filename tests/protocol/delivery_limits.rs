//! How often and for how long may a consumer keep a message?

use crate::common::*;

/// The types of queues that know a delivery limit.
fn kinds(server: &Server) -> Vec<&'static str> {
    if server.differs("only quorum queues have a delivery limit") {
        vec!["quorum"]
    } else {
        vec!["quorum", "classic"]
    }
}

/// A durable queue of this type with this limit, and an exclusive one for its dead.
fn limited(client: &mut Client, kind: &str, limit: i64) -> (String, String) {
    let dead = client.queue(1);
    let arguments = fields(&[
        ("x-queue-type", word(kind)),
        ("x-delivery-limit", Value::I64(limit)),
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&dead)),
    ]);
    (client.durable_queue_with(1, arguments.table()), dead)
}

/// Starts a consumer on channel 3 and gives a message back as often as it comes, until it is in
/// the queue of the dead; the counts that came with it.
fn refuse_until_dead(client: &mut Client, queue: &str, dead: &str) -> Vec<Option<i64>> {
    client.consume(3, queue);
    let mut counts = Vec::new();
    loop {
        let event = client.next_of(&[3, 4]);
        if event.channel == 4 {
            return counts;
        }
        let delivery = event.expect::<Delivery>();
        assert_eq!(delivery.redelivered, !counts.is_empty());
        counts.push(delivery.message.delivery_count());
        client.reject(3, delivery.tag, true);
        if counts.len() == 1 {
            client.open(4);
            client.consume_no_ack(4, dead);
        }
    }
}

#[test]
fn redelivery_beyond_the_limit_dead_letters() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 2);
        client.confirmed(2, "", &queue, &persistent(), "too often");
        client.consume(3, &queue);
        for _ in 0..3 {
            let delivery = client.expect_delivery(3);
            client.reject(3, delivery.tag, true);
        }
        let message = client.dead_letter(1, &dead);
        assert_eq!(message.body(), "too often");
        let expected = ("delivery_limit".to_owned(), queue.clone(), 1);
        assert_eq!(message.deaths_in_short(), [expected]);
        client.expect_nothing_before(3, 1);
        assert_eq!(client.inspect(1, &queue).messages, 0);
        client.delete_queue(1, &queue);
        client.close_channel(3);
        client.open(3);
    }
}

#[test]
fn limit_of_0_allows_one_delivery() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 0);
        client.confirmed(2, "", &queue, &persistent(), "once");
        let got = client.get(3, &queue).expect("it waits");
        client.reject(3, got.tag, true);
        client.wait_for_messages(1, &dead, 1);
        assert_eq!(client.get(3, &queue), None);
        client.delete_queue(1, &queue);
    }
}

#[test]
fn message_beyond_the_limit_is_dropped_without_a_dead_letter_exchange() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let arguments =
            fields(&[("x-queue-type", word(kind)), ("x-delivery-limit", Value::I64(1))]);
        let queue = client.durable_queue_with(1, arguments.table());
        client.confirmed(2, "", &queue, &persistent(), "dropped");
        client.confirmed(2, "", &queue, &persistent(), "next");
        for left in [2, 1] {
            let got = client.get(3, &queue).expect("it waits");
            assert_eq!(got.message.body(), "dropped");
            client.reject(3, got.tag, true);
            client.wait_for_messages(1, &queue, left);
        }
        assert_eq!(client.drain(3, &queue), ["next"]);
        client.delete_queue(1, &queue);
    }
}

#[test]
fn deliveries_carry_how_often_the_message_came_before() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 3);
        client.confirmed(2, "", &queue, &persistent(), "counted");
        let counts = refuse_until_dead(&mut client, &queue, &dead);
        assert_eq!(counts, [None, Some(1), Some(2), Some(3)]);
        client.delete_queue(1, &queue);
        for channel in [3, 4] {
            client.close_channel(channel);
        }
        client.open(3);
    }
}

#[test]
fn get_carries_how_often_the_message_came_before_also_when_it_did_not() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, _) = limited(&mut client, kind, 5);
        let headers = fields(&[("mine", word("stays"))]);
        let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
        client.confirmed(2, "", &queue, &properties, "counted");
        for before in [0, 1, 2] {
            let got = client.get(3, &queue).expect("it waits");
            assert_eq!(got.message.delivery_count(), Some(before));
            assert_eq!(got.message.header("mine").as_deref(), Some("stays"));
            client.reject(3, got.tag, true);
            client.wait_for_messages(1, &queue, 1);
        }
        client.delete_queue(1, &queue);
    }
}

/// As in RabbitMQ 3.13.
#[test]
fn quorum_queue_has_no_limit_unless_one_is_set() {
    let (_server, mut client) = Server::with_confirms();
    let dead = client.queue(1);
    let arguments = fields(&[
        ("x-queue-type", word("quorum")),
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&dead)),
    ]);
    let queue = client.durable_queue_with(1, arguments.table());
    client.confirmed(2, "", &queue, &persistent(), "again and again");
    client.consume(3, &queue);
    for round in 0..30 {
        let delivery = client.expect_delivery(3);
        assert_eq!(delivery.redelivered, round > 0);
        client.reject(3, delivery.tag, true);
    }
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

#[test]
fn classic_queue_without_a_limit_redelivers_without_end_and_counts_nothing() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.confirmed(2, "", &queue, &PropertyList::default(), "again and again");
    client.consume(3, &queue);
    for round in 0..300 {
        let delivery = client.expect_delivery(3);
        assert_eq!(delivery.redelivered, round > 0);
        assert_eq!(delivery.message.delivery_count(), None);
        client.reject(3, delivery.tag, true);
    }
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

#[test]
fn every_way_of_giving_a_message_back_counts() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 3);
        client.confirmed(2, "", &queue, &persistent(), "unwanted");
        let take = |client: &mut Client, channel: u16| {
            client.wait_for_messages(1, &queue, 1);
            client.get(channel, &queue).expect("it was just there")
        };
        let nack =
            basic::Nack { delivery_tag: take(&mut client, 3).tag, multiple: true, requeue: true };
        client.send(3, nack);
        assert_eq!(take(&mut client, 3).message.delivery_count(), Some(1));
        client.close_channel(3);
        client.open(3);
        let mut other = Client::connect(server.address());
        assert_eq!(take(&mut client, 3).message.delivery_count(), Some(2));
        client.send(3, basic::Recover { requeue: true });
        client.expect::<RecoverOk>(3);
        client.wait_for_messages(1, &queue, 1);
        let last = other.get(1, &queue).expect("it was just there");
        assert_eq!(last.message.delivery_count(), Some(3));
        other.vanish();
        client.wait_for_messages(1, &dead, 1);
        client.delete_queue(1, &queue);
    }
}

#[test]
fn dead_letter_of_a_counting_queue_carries_no_count() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 1);
        client.confirmed(2, "", &queue, &persistent(), "counted");
        for _ in 0..2 {
            client.wait_for_messages(1, &queue, 1);
            let got = client.get(3, &queue).expect("it was just there");
            client.reject(3, got.tag, true);
        }
        let message = client.dead_letter(1, &dead);
        assert_eq!(message.delivery_count(), None);
        client.delete_queue(1, &queue);
    }
}

#[test]
fn only_the_message_given_back_is_counted() {
    let (server, mut client) = Server::with_confirms();
    for kind in kinds(&server) {
        let (queue, dead) = limited(&mut client, kind, 1);
        for body in ["wanted", "unwanted", "wanted, too"] {
            client.confirmed(2, "", &queue, &persistent(), body);
        }
        client.consume(3, &queue);
        let mut wanted = Vec::new();
        for _ in 0..4 {
            let delivery = client.expect_delivery(3);
            let body = delivery.message.body();
            if body == "unwanted" {
                client.reject(3, delivery.tag, true);
            } else {
                client.ack(3, delivery.tag);
                wanted.push(body);
            }
        }
        assert_eq!(wanted, ["wanted", "wanted, too"]);
        assert_eq!(client.dead_letter(1, &dead).body(), "unwanted");
        client.delete_queue(1, &queue);
        client.close_channel(3);
        client.open(3);
    }
}

/// A durable queue whose deliveries have to be acked within this time; `None` where the broker
/// does not know the argument.
fn timed(server: &Server, client: &mut Client, milliseconds: i64) -> Option<String> {
    if server.differs("x-consumer-timeout came with 3.12") {
        return None;
    }
    let arguments = fields(&[("x-consumer-timeout", Value::I64(milliseconds))]);
    Some(client.queue_with(1, arguments.table()))
}

#[test]
fn delivery_that_is_not_acked_in_time_is_406() {
    let (server, mut client) = Server::with_confirms();
    let Some(queue) = timed(&server, &mut client, 200) else { return };
    client.store(4, &queue, &["slow"]);
    client.consume(3, &queue);
    client.expect_delivery(3);
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 3 timed out. \
                Timeout value used: 200 ms. This timeout value can be configured, \
                see consumers doc guide to learn more";
    let close = client.expect_channel_error(3, 406, text);
    assert_eq!(close.text, text);
    assert_eq!(close.offender, (0, 0));
}

#[test]
fn delivery_that_is_not_acked_in_time_goes_back_and_the_other_channels_stay() {
    let (server, mut client) = Server::with_confirms();
    let Some(queue) = timed(&server, &mut client, 200) else { return };
    client.store(4, &queue, &["slow", "slow, too"]);
    client.consume(3, &queue);
    client.expect_bodies(3, 2);
    client.expect_channel_error(3, 406, "timed out");
    let again = client.get(1, &queue).expect("it is back");
    assert_eq!((again.message.body().as_str(), again.redelivered), ("slow", true));
    client.ack(1, again.tag);
    assert_eq!(client.drain(1, &queue), ["slow, too"]);
}

#[test]
fn get_has_to_be_acked_in_time_too() {
    let (server, mut client) = Server::with_confirms();
    let Some(queue) = timed(&server, &mut client, 200) else { return };
    client.store(4, &queue, &["slow"]);
    client.get(3, &queue).expect("it waits");
    client.expect_channel_error(3, 406, "on channel 3 timed out");
    assert_eq!(client.drain(1, &queue), ["slow"]);
}

#[test]
fn acks_in_time_and_deliveries_without_acks_have_no_timeout() {
    let (server, mut client) = Server::with_confirms();
    let Some(queue) = timed(&server, &mut client, 200) else { return };
    client.store(4, &queue, &["acked", "needs none", "slow"]);
    client.open(5);
    let acked = client.get(3, &queue).expect("it waits");
    client.ack(3, acked.tag);
    let get = basic::Get { queue: queue.as_bytes(), no_ack: true };
    client.call::<GetOk>(3, get);
    client.get(5, &queue).expect("it waits");
    // This one is later than the others, whose time is over, too, when its own is.
    client.expect_channel_error(5, 406, "on channel 5 timed out");
    client.expect_nothing_before(3, 3);
}
