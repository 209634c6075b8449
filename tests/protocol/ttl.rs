//! When do messages and queues leave by themselves?
//!
//! No test here measures time: it waits for what has to happen, a dead letter that arrives or a
//! queue that is gone, and then looks at what must not have happened before.

use std::time::Duration;

use crate::common::*;

/// Longer than any test takes.
const NEVER: &str = "600000";
const NEVER_MS: i64 = 600_000;

/// A time to live in milliseconds that is over while a test waits for it.
const SOON: &str = "200";
const SOON_MS: i64 = 200;

/// How long an unused queue stays in these tests.
const EXPIRES_MS: i64 = 1000;

fn ttl(milliseconds: i64) -> TableBuf {
    fields(&[("x-message-ttl", Value::I64(milliseconds))])
}

/// A queue that goes when nobody used it for a while.
fn expiring_queue(client: &mut Client) -> String {
    let name = unique("expiring");
    let arguments = fields(&[("x-expires", Value::I64(EXPIRES_MS))]);
    let declare = queue::Declare { arguments: arguments.table(), ..named(&name) };
    client.call::<DeclareOk>(1, declare).queue
}

/// Does something again and again until a queue is gone; to publish to it is not to use it.
fn until_gone(client: &mut Client, queue: &str, mut meanwhile: impl FnMut(&mut Client)) {
    let deadline = deadline();
    while client.reaches(2, "", queue) {
        assert!(now() < deadline, "the queue stays");
        meanwhile(client);
    }
}

#[test]
fn message_leaves_when_the_ttl_of_its_queue_is_over() {
    let (_server, mut client) = Server::with_confirms();
    let ttl = [("x-message-ttl", Value::I64(SOON_MS))];
    let (queue, dead) = client.dying_queue(1, &ttl);
    client.consume_no_ack(3, &dead);
    client.publish(1, "", &queue, "mortal");
    assert_eq!(client.expect_bodies(3, 1), ["mortal"]);
    assert_eq!(client.inspect(1, &queue).messages, 0);
    assert_eq!(client.get(1, &queue), None);
}

#[test]
fn message_leaves_when_its_own_ttl_is_over() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.consume_no_ack(3, &dead);
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    client.publish(1, "", &queue, "immortal");
    assert_eq!(client.expect_bodies(3, 1), ["mortal"]);
    assert_eq!(client.drain(1, &queue), ["immortal"]);
    client.expect_nothing_before(3, 1);
}

#[test]
fn expired_message_without_a_dead_letter_exchange_is_dropped() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, ttl(SOON_MS).table());
    client.confirmed(2, "", &queue, &PropertyList::default(), "mortal");
    client.wait_for_messages(1, &queue, 0);
    assert_eq!(client.get(1, &queue), None);
}

#[test]
fn smaller_of_queue_and_message_ttl_holds() {
    let (_server, mut client) = Server::with_confirms();
    for (queues, own) in [(SOON_MS, NEVER), (NEVER_MS, SOON)] {
        let ttl = [("x-message-ttl", Value::I64(queues))];
        let (queue, dead) = client.dying_queue(1, &ttl);
        client.publish_with(1, "", &queue, &expiring(own), b"mortal");
        client.wait_for_messages(1, &dead, 1);
        assert_eq!(client.drain(1, &queue), [""; 0]);
    }
    let queue = client.queue_with(1, ttl(NEVER_MS).table());
    client.publish_with(1, "", &queue, &expiring(NEVER), b"stays");
    assert_eq!(client.drain(1, &queue), ["stays"]);
}

#[test]
fn ttl_0_expires_at_once_without_a_consumer() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, ttl(0).table());
    client.confirmed(2, "", &queue, &PropertyList::default(), "gone");
    assert_eq!(client.get(1, &queue), None);
    let queue = client.queue(1);
    client.confirmed(2, "", &queue, &expiring("0"), "gone");
    assert_eq!(client.get(1, &queue), None);
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn ttl_0_is_delivered_to_a_consumer_that_waits() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_with(1, ttl(0).table());
    client.consume_no_ack(3, &queue);
    client.publish(1, "", &queue, "caught");
    assert_eq!(client.expect_bodies(3, 1), ["caught"]);
    client.publish_with(1, "", &queue, &expiring("0"), b"caught, too");
    assert_eq!(client.expect_bodies(3, 1), ["caught, too"]);
}

#[test]
fn ttl_0_expires_before_a_consumer_without_credit() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-message-ttl", Value::I64(0))]);
    client.prefetch(3, 1);
    client.consume(3, &queue);
    client.publish(1, "", &queue, "delivered");
    let tag = client.expect_delivery(3).tag;
    client.publish(1, "", &queue, "expired");
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["expired"]);
    client.ack(3, tag);
    client.expect_nothing_before(3, 3);
}

#[test]
fn ttl_0_is_dead_lettered() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring("0"), b"dead at once");
    client.wait_for_messages(1, &dead, 1);
    let got = client.get(1, &dead).expect("it was just there");
    assert_eq!(got.message.deaths()[0].reason, "expired");
}

#[test]
fn expiration_above_the_limit_is_406() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue(1);
    let most = "315360000000";
    client.confirmed(2, "", &queue, &expiring(most), "as long as can be");
    assert_eq!(client.drain(1, &queue), ["as long as can be"]);
    client.publish_with(1, "", &queue, &expiring("315360000001"), b"too long");
    let text = "PRECONDITION_FAILED - invalid expiration '315360000001'";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn message_leaves_the_middle_of_the_queue_on_time() {
    let server = Server::start();
    if server.differs("a message expires when it reaches the head") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    client.consume_no_ack(3, &dead);
    client.publish_with(1, "", &queue, &expiring(NEVER), b"first");
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    client.publish(1, "", &queue, "last");
    assert_eq!(client.expect_bodies(3, 1), ["mortal"]);
    assert_eq!(client.inspect(1, &queue).messages, 2);
    assert_eq!(client.drain(1, &queue), ["first", "last"]);
}

#[test]
fn messages_leave_in_the_order_of_their_deadlines() {
    let server = Server::start();
    if server.differs("a message expires when it reaches the head") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    client.consume_no_ack(3, &dead);
    for (expiration, body) in [("600", "third"), ("200", "first"), ("400", "second")] {
        client.publish_with(1, "", &queue, &expiring(expiration), body.as_bytes());
    }
    assert_eq!(client.expect_bodies(3, 3), ["first", "second", "third"]);
}

#[test]
fn expired_messages_of_one_ttl_leave_in_publish_order() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-message-ttl", Value::I64(SOON_MS))]);
    client.consume_no_ack(3, &dead);
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for body in &bodies {
        client.publish(1, "", &queue, body);
    }
    assert_eq!(client.expect_bodies(3, 200), bodies);
}

#[test]
fn requeue_keeps_the_deadline() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"held");
    let held = client.get(1, &queue).expect("it waits");
    client.publish_with(1, "", &queue, &expiring(SOON), b"witness");
    // When the later one is dead, the time of the earlier one is over, too.
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["witness"]);
    client.reject(1, held.tag, true);
    assert_eq!(client.get(1, &queue), None);
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["held"]);
}

#[test]
fn requeue_keeps_the_deadline_of_the_queues_ttl() {
    let (_server, mut client) = Server::with_confirms();
    let ttl = [("x-message-ttl", Value::I64(SOON_MS))];
    let (queue, dead) = client.dying_queue(1, &ttl);
    client.publish(1, "", &queue, "held");
    let held = client.get(1, &queue).expect("it waits");
    client.publish(1, "", &queue, "witness");
    client.wait_for_messages(1, &dead, 1);
    client.reject(1, held.tag, true);
    assert_eq!(client.get(1, &queue), None);
    client.wait_for_messages(1, &dead, 2);
    assert_eq!(client.drain(1, &dead), ["witness", "held"]);
}

#[test]
fn requeued_message_still_leaves_on_time() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    let held = client.get(1, &queue).expect("it waits");
    client.reject(1, held.tag, true);
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn unacked_message_does_not_expire() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"held");
    let held = client.get(1, &queue).expect("it waits");
    client.publish_with(1, "", &queue, &expiring(SOON), b"witness");
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["witness"]);
    client.ack(1, held.tag);
    client.round_trip(1);
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

#[test]
fn expired_message_is_never_delivered() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue(1);
    for _ in 0..10 {
        client.confirmed(2, "", &queue, &expiring("20"), "mortal");
        // It was published before it was confirmed, so it is dead at the latest then.
        let dead_at = now() + Duration::from_millis(20);
        loop {
            let asked_at = now();
            let Some(got) = client.get(1, &queue) else {
                break;
            };
            assert!(asked_at <= dead_at, "an expired message was delivered");
            client.reject(1, got.tag, true);
        }
    }
}

#[test]
fn get_after_the_head_expired_takes_the_next() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue(1);
    for _ in 0..30 {
        client.confirmed(2, "", &queue, &expiring("1"), "mortal");
        client.confirmed(2, "", &queue, &PropertyList::default(), "next");
        // Sometimes the head is not dead yet, sometimes dead and not yet taken away.
        let bodies = client.drain(1, &queue);
        assert!(bodies == ["next"] || bodies == ["mortal", "next"]);
    }
}

#[test]
fn get_after_the_head_expired_counts_what_is_left() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    client.publish(1, "", &queue, "next");
    client.publish(1, "", &queue, "last");
    client.wait_for_messages(1, &dead, 1);
    let got = client.get(1, &queue).expect("the next one");
    assert_eq!((got.message.body(), got.left), ("next".to_owned(), 1));
}

#[test]
fn consumer_that_starts_after_the_head_expired_gets_the_next() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    client.publish(1, "", &queue, "next");
    client.wait_for_messages(1, &dead, 1);
    client.consume(3, &queue);
    let delivery = client.expect_delivery(3);
    assert_eq!(delivery.message.body(), "next");
    assert!(!delivery.redelivered);
}

#[test]
fn expired_messages_are_not_purged_and_not_counted() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"mortal");
    client.publish(1, "", &queue, "counts");
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.purge(1, &queue), 1);
}

#[test]
fn purged_message_does_not_expire_later() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring(SOON), b"purged");
    assert_eq!(client.purge(1, &queue), 1);
    client.publish_with(1, "", &queue, &expiring(SOON), b"witness");
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["witness"]);
}

#[test]
fn ttl_counts_anew_in_the_queue_of_the_dead() {
    let (_server, mut client) = Server::with_confirms();
    let last = client.queue(1);
    let middle = fields(&[
        ("x-message-ttl", Value::I64(SOON_MS)),
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&last)),
    ]);
    let middle = client.queue_with(1, middle.table());
    let first = fields(&[
        ("x-message-ttl", Value::I64(SOON_MS)),
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&middle)),
    ]);
    let first = client.queue_with(1, first.table());
    client.publish(1, "", &first, "dies twice");
    client.wait_for_messages(1, &middle, 1);
    client.wait_for_messages(1, &last, 1);
    let got = client.get(1, &last).expect("it was just there");
    let expired = "expired".to_owned();
    assert_eq!(got.message.deaths_in_short(), [(expired.clone(), middle, 1), (expired, first, 1)]);
}

#[test]
fn unused_queue_goes_when_its_time_is_over() {
    let (_server, mut client) = Server::with_confirms();
    let queue = expiring_queue(&mut client);
    client.bind(1, &queue, "amq.direct", &queue);
    // Publishing, which goes on all the time, is no use of the queue.
    until_gone(&mut client, &queue, |_| {});
    client.publish_mandatory(1, "amq.direct", &queue, "unroutable");
    assert_eq!(client.expect::<Return>(1).code, 312);
    let passive = passive(&queue);
    client.send(1, passive);
    client.expect_channel_error(1, 404, "NOT_FOUND - no queue");
}

#[test]
fn get_renews_the_time_of_a_queue() {
    let (_server, mut client) = Server::with_confirms();
    let (used, unused) = (expiring_queue(&mut client), expiring_queue(&mut client));
    until_gone(&mut client, &unused, |client| {
        assert_eq!(client.get(3, &used), None);
    });
    assert!(client.reaches(2, "", &used));
}

#[test]
fn declaring_again_renews_the_time_of_a_queue() {
    let (_server, mut client) = Server::with_confirms();
    let (used, unused) = (expiring_queue(&mut client), expiring_queue(&mut client));
    let arguments = fields(&[("x-expires", Value::I64(EXPIRES_MS))]);
    let again = queue::Declare {
        queue: used.as_bytes(),
        arguments: arguments.table(),
        ..Default::default()
    };
    until_gone(&mut client, &unused, |client| {
        client.call::<DeclareOk>(3, again);
    });
    assert!(client.reaches(2, "", &used));
}

#[test]
fn passive_declare_renews_the_time_of_a_queue() {
    let (_server, mut client) = Server::with_confirms();
    let (used, unused) = (expiring_queue(&mut client), expiring_queue(&mut client));
    until_gone(&mut client, &unused, |client| {
        client.inspect(3, &used);
    });
    assert!(client.reaches(2, "", &used));
}

#[test]
fn queue_with_a_consumer_stays_and_its_time_begins_with_the_end_of_the_last() {
    let (_server, mut client) = Server::with_confirms();
    let (used, unused) = (expiring_queue(&mut client), expiring_queue(&mut client));
    let tag = client.consume(3, &used);
    until_gone(&mut client, &unused, |_| {});
    assert!(client.reaches(2, "", &used));
    client.cancel(3, &tag);
    assert!(client.reaches(2, "", &used));
    until_gone(&mut client, &used, |_| {});
}

#[test]
fn queue_that_goes_dead_letters_nothing() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-expires", Value::I64(SOON_MS))]);
    client.publish(1, "", &queue, "goes with it");
    until_gone(&mut client, &queue, |_| {});
    client.round_trip(1);
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

fn persistent_for(expiration: &str) -> PropertyList<'_> {
    PropertyList { expiration: Some(expiration.as_bytes()), ..persistent() }
}

#[test]
fn both_ttls_survive_a_restart() {
    for end in [End::Term, End::Kill] {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let ttl = [("x-message-ttl", Value::I64(2000))];
        let (by_queue, dead_by_queue) = client.durable_dying_queue(1, &ttl);
        let (by_itself, dead_by_itself) = client.durable_dying_queue(1, &[]);
        client.open(2);
        client.confirm_select(2);
        client.confirmed(2, "", &by_queue, &persistent(), "by its queue");
        client.confirmed(2, "", &by_itself, &persistent_for("2000"), "by itself");
        client.confirmed(2, "", &by_itself, &persistent_for(NEVER), "stays");
        node.restart(end, client);
        let mut client = node.connect();
        client.wait_for_messages(1, &dead_by_queue, 1);
        client.wait_for_messages(1, &dead_by_itself, 1);
        assert_eq!(client.drain(1, &dead_by_queue), ["by its queue"]);
        assert_eq!(client.drain(1, &dead_by_itself), ["by itself"]);
        assert_eq!(client.drain(1, &by_itself), ["stays"]);
    }
}

#[test]
fn message_whose_time_was_over_before_the_restart_is_not_delivered_after_it() {
    for end in [End::Term, End::Kill] {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let (queue, dead) = client.durable_dying_queue(1, &[]);
        client.open(2);
        client.confirm_select(2);
        client.confirmed(2, "", &queue, &persistent_for(SOON), "held");
        client.get(1, &queue).expect("it waits");
        client.confirmed(2, "", &queue, &persistent_for(SOON), "witness");
        client.wait_for_messages(1, &dead, 1);
        // What was held expires in the moment in which the end of the broker requeues it.
        node.restart(end, client);
        let mut client = node.connect();
        assert_eq!(client.get(1, &queue), None);
        client.wait_for_messages(1, &dead, 2);
    }
}

#[test]
fn time_of_an_unused_queue_begins_again_with_a_restart() {
    for end in [End::Term, End::Kill] {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let expires = |milliseconds| fields(&[("x-expires", Value::I64(milliseconds))]);
        let queue = client.durable_queue_with(1, expires(NEVER_MS).table());
        let short = client.durable_queue_with(1, expires(2000).table());
        node.restart(end, client);
        let mut client = node.connect();
        client.open(2);
        client.confirm_select(2);
        assert!(client.reaches(2, "", &queue));
        assert!(client.reaches(2, "", &short));
        until_gone(&mut client, &short, |_| {});
        assert!(client.reaches(2, "", &queue));
    }
}
