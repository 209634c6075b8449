//! Which messages are dead-lettered, and where do they go?

use crate::common::*;

#[test]
fn rejected_message_is_dead_lettered_as_rejected() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.confirmed(2, "", &queue, &PropertyList::default(), "refused");
    client.reject_next(1, &queue, "refused");
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.body(), "refused");
    assert_eq!(message.deaths_in_short(), [("rejected".to_owned(), queue, 1)]);
}

#[test]
fn nack_without_requeue_dead_letters_all_up_to_the_tag_in_order() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.store(4, &queue, &["1", "2", "3", "4"]);
    client.consume(3, &queue);
    client.expect_bodies(3, 4);
    let nack = basic::Nack { delivery_tag: 3, multiple: true, requeue: false };
    client.send(3, nack);
    client.wait_for_messages(1, &dead, 3);
    assert_eq!(client.drain(1, &dead), ["1", "2", "3"]);
}

#[test]
fn expired_message_is_dead_lettered_as_expired() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-message-ttl", Value::I64(1))]);
    client.publish(1, "", &queue, "late");
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.deaths_in_short(), [("expired".to_owned(), queue, 1)]);
}

#[test]
fn message_that_is_too_much_is_dead_lettered_as_maxlen() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-max-length", Value::I64(1))]);
    client.publish(1, "", &queue, "first");
    client.publish(1, "", &queue, "second");
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.body(), "first");
    assert_eq!(message.deaths_in_short(), [("maxlen".to_owned(), queue, 1)]);
}

#[test]
fn message_delivered_too_often_is_dead_lettered_as_delivery_limit() {
    let (_server, mut client) = Server::with_confirms();
    let dead = client.queue(1);
    let arguments = fields(&[
        ("x-queue-type", word("quorum")),
        ("x-delivery-limit", Value::I64(1)),
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&dead)),
    ]);
    let queue = client.durable_queue_with(1, arguments.table());
    client.confirmed(2, "", &queue, &PropertyList::default(), "too often");
    client.consume(3, &queue);
    for _ in 0..2 {
        let tag = client.expect_delivery(3).tag;
        client.reject(3, tag, true);
    }
    let message = client.dead_letter(1, &dead);
    let expected = ("delivery_limit".to_owned(), queue.clone(), 1);
    assert_eq!(message.deaths_in_short(), [expected]);
    client.delete_queue(1, &queue);
}

#[test]
fn acked_purged_and_deleted_messages_are_not_dead_lettered() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.store(4, &queue, &["acked", "purged"]);
    let got = client.get(1, &queue).expect("a message waits");
    client.ack(1, got.tag);
    assert_eq!(client.purge(1, &queue), 1);
    client.store(4, &queue, &["deleted"]);
    client.delete_queue(1, &queue);
    client.round_trip(1);
    assert_eq!(client.inspect(1, &dead).messages, 0);
}

#[test]
fn dead_letter_keeps_its_routing_key_without_another() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let (dead, other) = (client.queue(1), client.queue(1));
    client.bind(1, &dead, &exchange, "original");
    client.bind(1, &other, &exchange, "another");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    client.bind(1, &queue, "amq.direct", "original");
    client.confirmed(2, "amq.direct", "original", &PropertyList::default(), "dies");
    client.reject_next(1, &queue, "dies");
    let message = client.dead_letter(1, &dead);
    assert_eq!((message.exchange, message.key), (exchange.clone(), "original".into()));
    assert_eq!(client.inspect(1, &other).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn dead_letter_routing_key_replaces_the_original_one() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let key = [("x-dead-letter-routing-key", word("another"))];
    let queue = client.queue_dying_to(1, &exchange, &key);
    let (dead, other) = (client.queue(1), client.queue(1));
    client.bind(1, &dead, &exchange, "another");
    client.bind(1, &other, &exchange, &queue);
    client.confirmed(2, "", &queue, &PropertyList::default(), "dies");
    client.reject_next(1, &queue, "dies");
    let message = client.dead_letter(1, &dead);
    assert_eq!((message.exchange.as_str(), message.key.as_str()), (&*exchange, "another"));
    assert_eq!(message.deaths()[0].routing_keys, [queue]);
    assert_eq!(client.inspect(1, &other).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn cc_routes_dead_letters_without_a_dead_letter_key() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    let (by_key, by_cc) = (client.queue(1), client.queue(1));
    client.bind(1, &by_key, &exchange, &queue);
    client.bind(1, &by_cc, &exchange, "copy");
    let cc = words(&["copy"]);
    let headers = fields(&[("CC", Value::Array(cc.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    for dead in [by_key, by_cc] {
        let message = client.dead_letter(1, &dead);
        let headers = message.headers();
        assert_eq!(headers.table().find(b"CC"), Some(Value::Array(cc.array())));
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn cc_is_removed_and_does_not_route_with_a_dead_letter_key() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let key = [("x-dead-letter-routing-key", word("another"))];
    let queue = client.queue_dying_to(1, &exchange, &key);
    let (by_key, by_cc) = (client.queue(1), client.queue(1));
    client.bind(1, &by_key, &exchange, "another");
    client.bind(1, &by_cc, &exchange, "copy");
    let cc = words(&["copy"]);
    let headers = fields(&[("CC", Value::Array(cc.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    let message = client.dead_letter(1, &by_key);
    assert_eq!(message.headers().table().find(b"CC"), None);
    assert_eq!(message.deaths()[0].routing_keys, [&queue, "copy"]);
    assert_eq!(client.inspect(1, &by_cc).messages, 0);
    client.delete_exchange(1, &exchange);
}

/// RabbitMQ keeps the keys of BCC with the message, though no consumer sees them; they were lost.
#[test]
fn bcc_routes_dead_letters_at_every_death_without_a_dead_letter_key_and_is_never_seen() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    let by_bcc = client.queue_dying_to(1, &exchange, &[]);
    let (by_cc, once_more) = (client.queue(1), client.queue(1));
    client.bind(1, &by_bcc, &exchange, "blind");
    client.bind(1, &by_cc, &exchange, "copy");
    let (cc, bcc) = (words(&["copy"]), words(&["blind"]));
    let headers = fields(&[("CC", Value::Array(cc.array())), ("BCC", Value::Array(bcc.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    client.wait_for_messages(1, &by_bcc, 1);
    client.bind(1, &once_more, &exchange, "blind");
    let got = client.get(1, &by_bcc).expect("it was just there");
    client.reject(1, got.tag, false);
    let twice_dead = client.dead_letter(1, &once_more);
    assert_eq!(twice_dead.deaths()[0].routing_keys, [&queue, "copy"]);
    for message in [got.message, client.get(1, &by_cc).expect("CC routes too").message, twice_dead]
    {
        assert_eq!(message.headers().table().find(b"BCC"), None);
        assert_eq!(message.headers().table().find(b"CC"), Some(Value::Array(cc.array())));
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn bcc_is_removed_and_does_not_route_with_a_dead_letter_key() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "direct");
    let key = [("x-dead-letter-routing-key", word("another"))];
    let queue = client.queue_dying_to(1, &exchange, &key);
    let (by_key, by_bcc) = (client.queue_dying_to(1, &exchange, &[]), client.queue(1));
    client.bind(1, &by_key, &exchange, "another");
    client.bind(1, &by_bcc, &exchange, "blind");
    let bcc = words(&["blind"]);
    let headers = fields(&[("BCC", Value::Array(bcc.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    client.wait_for_messages(1, &by_key, 1);
    // It is not there any more at the next death either.
    client.reject_next(1, &by_key, "dies");
    client.wait_for_messages(1, &by_key, 1);
    let message = client.dead_letter(1, &by_key);
    assert_eq!(message.headers().table().find(b"BCC"), None);
    assert_eq!(client.inspect(1, &by_bcc).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn missing_dead_letter_exchange_drops_the_message() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = unique("comes.later");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    client.store(4, &queue, &["lost", "found"]);
    client.reject_next(1, &queue, "lost");
    client.round_trip(1);
    let declare =
        exchange::Declare { exchange: exchange.as_bytes(), kind: b"fanout", ..Default::default() };
    client.call::<ExchangeDeclareOk>(1, declare);
    let dead = client.queue(1);
    client.bind(1, &dead, &exchange, "");
    client.reject_next(1, &queue, "found");
    assert_eq!(client.dead_letter(1, &dead).body(), "found");
    assert_eq!(client.inspect(1, &dead).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn dead_letter_without_a_route_is_dropped() {
    let (_server, mut client) = Server::with_confirms();
    let queue = client.queue_dying_to(1, "amq.direct", &[]);
    client.store(4, &queue, &["lost"]);
    client.reject_next(1, &queue, "lost");
    client.round_trip(1);
    assert_eq!(client.inspect(1, &queue).messages, 0);
    assert_eq!(client.get(1, &queue), None);
}

#[test]
fn cycle_without_a_reject_is_dropped() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let witness = client.queue(1);
    let queue = client.queue_dying_to(1, &exchange, &[]);
    client.bind(1, &witness, &exchange, "");
    client.bind(1, &queue, &exchange, "");
    client.publish_with(1, "", &queue, &expiring("1"), b"round");
    let message = client.dead_letter(1, &witness);
    assert_eq!(message.deaths_in_short(), [("expired".to_owned(), queue.clone(), 1)]);
    assert_eq!(client.inspect(1, &queue).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn cycle_over_two_queues_without_a_reject_is_dropped() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let witness = client.queue(1);
    let ttl = ("x-message-ttl", Value::I64(1));
    let two = client.queue_dying_to(1, &exchange, &[ttl]);
    let key = ("x-dead-letter-routing-key", word(&two));
    let one = client.queue_dying_to(1, "", &[ttl, key]);
    client.bind(1, &witness, &exchange, "");
    client.bind(1, &one, &exchange, "");
    client.publish(1, "", &one, "round");
    assert_eq!(client.dead_letter(1, &witness).deaths().len(), 2);
    for queue in [one, two, witness] {
        assert_eq!(client.inspect(1, &queue).messages, 0);
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn cycle_with_a_reject_in_between_goes_on() {
    let (_server, mut client) = Server::with_confirms();
    let one = unique("one");
    let (two, _) = client.dying_queue(1, &[("x-message-ttl", Value::I64(1))]);
    let exchange = client.exchange(1, "fanout");
    let ttl = ("x-message-ttl", Value::I64(1));
    let back = ("x-dead-letter-routing-key", word(&one));
    // Refused by a consumer of `one`, a message waits in `later` and comes back.
    let later = client.queue_dying_to(1, "", &[ttl, back]);
    let arguments = fields(&[("x-dead-letter-exchange", word(&exchange))]);
    client.queue_named(1, &one, arguments.table());
    client.bind(1, &later, &exchange, "");
    client.publish(1, "", &one, "again");
    for round in 1..=3 {
        client.wait_for_messages(1, &one, 1);
        let got = client.get(1, &one).expect("it was just there");
        let deaths: Vec<i64> = got.message.deaths().iter().map(|d| d.count).collect();
        assert_eq!(deaths, if round == 1 { vec![] } else { vec![round - 1; 2] });
        client.reject(1, got.tag, false);
    }
    client.wait_for_messages(1, &one, 1);
    assert_eq!(client.inspect(1, &two).messages, 0);
    client.delete_exchange(1, &exchange);
}

#[test]
fn rejected_message_may_come_back_to_its_own_queue() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    client.bind(1, &queue, &exchange, "");
    client.confirmed(2, "", &queue, &PropertyList::default(), "again");
    for _ in 0..3 {
        client.reject_next(1, &queue, "again");
        client.wait_for_messages(1, &queue, 1);
    }
    let got = client.get(1, &queue).expect("it was just there");
    assert!(!got.redelivered);
    assert_eq!(got.message.deaths()[0].count, 3);
    client.delete_exchange(1, &exchange);
}

#[test]
fn dead_letter_goes_to_all_queues_of_its_exchange() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    let dead = [client.queue(1), client.queue(1), client.durable_queue(1)];
    for dead in &dead {
        client.bind(1, dead, &exchange, "");
    }
    client.confirmed(2, "", &queue, &persistent(), "to all");
    client.reject_next(1, &queue, "to all");
    for dead in &dead {
        let message = client.dead_letter(1, dead);
        assert_eq!(message.body(), "to all");
        assert_eq!(message.deaths().len(), 1);
    }
    client.delete_queue(1, &dead[2]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn death_in_one_queue_leaves_the_copies_in_others_alone() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let (queue, dead) = client.dying_queue(1, &[]);
    let other = client.queue(1);
    client.bind(1, &queue, &exchange, "");
    client.bind(1, &other, &exchange, "");
    client.confirmed(2, &exchange, "", &PropertyList::default(), "two copies");
    client.reject_next(1, &queue, "two copies");
    assert_eq!(client.dead_letter(1, &dead).body(), "two copies");
    let got = client.get(1, &other).expect("its copy stays");
    assert!(!got.redelivered);
    assert_eq!(got.message.deaths(), []);
    client.delete_exchange(1, &exchange);
}

#[test]
fn large_bodies_are_dead_lettered_whole() {
    let (_server, mut client) = Server::with_confirms();
    let dead = client.durable_queue(1);
    let arguments =
        fields(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word(&dead))]);
    let queue = client.durable_queue_with(1, arguments.table());
    let body = "leveret ".repeat(50_000);
    for properties in [PropertyList::default(), persistent()] {
        client.confirmed(2, "", &queue, &properties, &body);
        client.reject_next(1, &queue, &body);
        assert!(client.dead_letter(1, &dead).body() == body);
    }
    client.delete_queue(1, &queue);
    client.delete_queue(1, &dead);
}

#[test]
fn thousands_of_dead_letters_arrive_in_order() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    let bodies: Vec<String> = (0..7000).map(|number| number.to_string()).collect();
    for body in &bodies {
        client.publish(1, "", &queue, body);
    }
    client.consume(3, &queue);
    client.expect_bodies(3, bodies.len());
    let nack = basic::Nack { delivery_tag: 0, multiple: true, requeue: false };
    client.send(3, nack);
    client.consume_no_ack(1, &dead);
    assert_eq!(client.expect_bodies(1, bodies.len()), bodies);
}

#[test]
fn reject_in_a_transaction_dead_letters_at_its_commit() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.store(4, &queue, &["refused"]);
    client.call::<TxSelectOk>(3, tx::Select {});
    let got = client.get(3, &queue).expect("a message waits");
    client.reject(3, got.tag, false);
    client.round_trip(3);
    client.round_trip(1);
    assert_eq!(client.inspect(1, &dead).messages, 0);
    client.call::<TxCommitOk>(3, tx::Commit {});
    assert_eq!(client.dead_letter(1, &dead).deaths()[0].reason, "rejected");
}

#[test]
fn rollback_of_a_reject_dead_letters_nothing() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.store(4, &queue, &["refused"]);
    client.call::<TxSelectOk>(3, tx::Select {});
    let got = client.get(3, &queue).expect("a message waits");
    client.reject(3, got.tag, false);
    client.call::<TxRollbackOk>(3, tx::Rollback {});
    client.ack(3, got.tag);
    client.call::<TxCommitOk>(3, tx::Commit {});
    client.round_trip(1);
    assert_eq!(client.inspect(1, &dead).messages, 0);
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn message_of_a_transaction_that_is_too_much_is_dead_lettered() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-max-length", Value::I64(1))]);
    client.call::<TxSelectOk>(3, tx::Select {});
    client.publish(3, "", &queue, "first");
    client.publish(3, "", &queue, "second");
    client.round_trip(3);
    assert_eq!(client.inspect(1, &dead).messages, 0);
    client.call::<TxCommitOk>(3, tx::Commit {});
    assert_eq!(client.dead_letter(1, &dead).body(), "first");
    assert_eq!(client.drain(1, &queue), ["second"]);
}
