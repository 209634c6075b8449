//! What is as it was after the broker ended, by TERM or by KILL, and started again?
//!
//! The broker is its binary on a directory that stays. Each test ends it both ways; what a client
//! was told, by a confirm or by an answer after its ack, has to be true afterwards.

mod common;

use common::*;

const ENDS: [End; 2] = [End::Term, End::Kill];

/// Publishes persistent messages, each confirmed.
fn store(client: &mut Client, queue: &str, bodies: &[&str]) {
    for body in bodies {
        client.confirmed(2, "", queue, &persistent(), body);
    }
}

#[test]
fn persistent_messages_come_back_in_publish_order() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        let bodies: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for body in &bodies {
            client.confirmed(2, "", &queue, &persistent(), body);
        }
        let mut client = node.restart_with_confirms(end, client);
        store(&mut client, &queue, &["afterwards"]);
        let mut expected = bodies;
        expected.push("afterwards".into());
        assert_eq!(client.drain(1, &queue), expected);
    }
}

#[test]
fn transient_messages_and_transient_queues_are_gone() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let (queue, transient) = (client.durable_queue(1), client.shared_queue(1));
        client.confirmed(2, "", &queue, &PropertyList::default(), "transient");
        store(&mut client, &queue, &["persistent"]);
        store(&mut client, &transient, &["goes with its queue"]);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["persistent"]);
        let passive = passive(&transient);
        client.send(3, passive);
        client.expect_channel_error(3, 404, "NOT_FOUND - no queue");
    }
}

/// A quorum queue stores every message, whatever its delivery mode, and whichever way it came.
#[test]
fn quorum_queues_store_transient_messages_too() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let quorum = fields(&[("x-queue-type", word("quorum"))]);
        let name = unique("quorum");
        let declare = queue::Declare { durable: true, arguments: quorum.table(), ..named(&name) };
        client.call::<DeclareOk>(1, declare);
        let dying = fields(&[
            ("x-dead-letter-exchange", word("")),
            ("x-dead-letter-routing-key", word(&name)),
        ]);
        let dying = client.queue_with(1, dying.table());
        let transient = PropertyList { delivery_mode: Some(1), ..Default::default() };
        client.confirmed(2, "", &name, &transient, "mode 1");
        client.confirmed(2, "", &name, &PropertyList::default(), "no mode");
        client.confirmed(2, "", &dying, &transient, "dead letter");
        let dead = client.get(1, &dying).expect("it is there");
        client.reject(1, dead.tag, false);
        client.wait_for_messages(1, &name, 3);
        // What is confirmed after it is durable behind it.
        client.confirmed(2, "", &name, &transient, "last");
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &name), ["mode 1", "no mode", "dead letter", "last"]);
    }
}

#[test]
fn durable_exchanges_and_bindings_route_as_before() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        client.durable_exchange_with(1, "lasting", "topic", Table::EMPTY);
        let transient = client.exchange(1, "fanout");
        client.bind(1, &queue, "lasting", "a.*");
        client.bind(1, &queue, &transient, "");
        client.bind_exchange(1, "lasting", "amq.fanout", "");
        let mut client = node.restart_with_confirms(end, client);
        client.confirmed(2, "lasting", "a.b", &persistent(), "direct");
        client.confirmed(2, "amq.fanout", "a.c", &persistent(), "through both");
        client.confirmed(2, "lasting", "b", &persistent(), "unroutable");
        assert_eq!(client.drain(1, &queue), ["direct", "through both"]);
        let passive = exchange::Declare {
            exchange: transient.as_bytes(),
            passive: true,
            ..Default::default()
        };
        client.send(3, passive);
        client.expect_channel_error(3, 404, "NOT_FOUND - no exchange");
    }
}

#[test]
fn acked_messages_do_not_come_back() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        store(&mut client, &queue, &["1", "2", "3", "4", "5"]);
        client.consume(3, &queue);
        let tags: Vec<u64> = (0..5).map(|_| client.expect_delivery(3).tag).collect();
        client.ack(3, tags[1]);
        client.ack(3, tags[3]);
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["1", "3", "5"]);
    }
}

#[test]
fn purged_messages_do_not_come_back() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        store(&mut client, &queue, &["1", "2", "3"]);
        assert_eq!(client.purge(1, &queue), 3);
        store(&mut client, &queue, &["4"]);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["4"]);
    }
}

#[test]
fn messages_of_a_deleted_queue_do_not_come_back_to_a_new_one_of_its_name() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        store(&mut client, &queue, &["1", "2"]);
        assert_eq!(client.delete_queue(1, &queue), 2);
        let again = queue::Declare { durable: true, ..named(&queue) };
        client.call::<DeclareOk>(1, again);
        store(&mut client, &queue, &["3"]);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["3"]);
    }
}

#[test]
fn unacked_messages_come_back_redelivered_in_their_places() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        store(&mut client, &queue, &["1", "2", "3"]);
        client.prefetch(3, 2);
        client.consume(3, &queue);
        assert_eq!(client.expect_bodies(3, 2), ["1", "2"]);
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        let found = client.take_all(3, &queue);
        let bodies: Vec<&str> = found.iter().map(|(body, _)| body.as_str()).collect();
        assert_eq!(bodies, ["1", "2", "3"]);
        assert!(found[0].1 && found[1].1, "{found:?}");
    }
}

#[test]
fn messages_never_delivered_are_not_redelivered_after_an_orderly_end() {
    let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
    let queue = client.durable_queue(1);
    store(&mut client, &queue, &["1", "2"]);
    let first = client.get(3, &queue).expect("it waits");
    client.reject(3, first.tag, true);
    client.round_trip(3);
    let mut client = node.restart_with_confirms(End::Term, client);
    let expected = [("1".to_owned(), true), ("2".to_owned(), false)];
    assert_eq!(client.take_all(3, &queue), expected);
}

#[test]
fn redelivered_flag_stays_over_several_restarts() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queue = client.durable_queue(1);
        store(&mut client, &queue, &["1"]);
        client.get(3, &queue).expect("it waits");
        client.round_trip(3);
        for _ in 0..3 {
            client = node.restart_with_confirms(end, client);
        }
        assert_eq!(client.take_all(3, &queue), [("1".to_owned(), true)]);
    }
}

#[test]
fn delivery_counts_are_as_they_were() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-delivery-limit", Value::I64(10))]);
        let queue = client.durable_queue_with(1, arguments.table());
        store(&mut client, &queue, &["counted"]);
        for _ in 0..3 {
            let got = client.get(3, &queue).expect("it waits");
            client.reject(3, got.tag, true);
        }
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        let got = client.get(3, &queue).expect("it waits");
        assert_eq!(got.message.delivery_count().unwrap_or(0), 3);
    }
}

#[test]
fn delivery_that_was_not_acked_counts_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-delivery-limit", Value::I64(10))]);
        let queue = client.durable_queue_with(1, arguments.table());
        store(&mut client, &queue, &["counted"]);
        let got = client.get(3, &queue).expect("it waits");
        client.reject(3, got.tag, true);
        client.get(3, &queue).expect("it is back");
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        let got = client.get(3, &queue).expect("it waits");
        assert_eq!(got.message.delivery_count().unwrap_or(0), 2);
    }
}

#[test]
fn delivery_limit_counts_on_over_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let limit = [("x-delivery-limit", Value::I64(2))];
        let (queue, dead) = client.durable_dying_queue(1, &limit);
        store(&mut client, &queue, &["too often"]);
        for _ in 0..2 {
            let got = client.get(3, &queue).expect("it waits");
            client.reject(3, got.tag, true);
        }
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        let got = client.get(3, &queue).expect("the last time");
        client.reject(3, got.tag, true);
        assert_eq!(client.get(3, &queue), None);
        let message = client.dead_letter(1, &dead);
        assert_eq!(message.deaths()[0].reason, "delivery_limit");
    }
}

#[test]
fn priorities_come_back_in_their_order() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let arguments = fields(&[("x-max-priority", Value::I64(5))]);
        let queue = client.durable_queue_with(1, arguments.table());
        let messages = [(1, "1a"), (5, "5a"), (0, "0a"), (1, "1b"), (200, "5b")];
        for (priority, body) in messages {
            let properties = PropertyList { delivery_mode: Some(2), ..prioritized(priority) };
            client.confirmed(2, "", &queue, &properties, body);
        }
        store(&mut client, &queue, &["0b"]);
        let held = client.get(3, &queue).expect("it waits");
        assert_eq!(held.message.body(), "5a");
        let acked = client.get(3, &queue).expect("it waits");
        client.ack(3, acked.tag);
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        let properties = PropertyList { delivery_mode: Some(2), ..prioritized(1) };
        client.confirmed(2, "", &queue, &properties, "1c");
        let expected = ["5a", "1a", "1b", "1c", "0a", "0b"];
        assert_eq!(client.drain(1, &queue), expected);
    }
}

#[test]
fn persistent_dead_letter_survives_with_its_headers() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let (queue, dead) = client.durable_dying_queue(1, &[]);
        store(&mut client, &queue, &["refused", "stays"]);
        client.reject_next(1, &queue, "refused");
        client.wait_for_messages(1, &dead, 1);
        let got = client.get(1, &dead).expect("it was just there");
        client.round_trip(1);
        let before = got.message;
        let mut client = node.restart_with_confirms(end, client);
        let after = client.dead_letter(1, &dead);
        assert_eq!(after, before);
        assert_eq!(after.deaths_in_short(), [("rejected".into(), queue.clone(), 1)]);
        assert_eq!(client.drain(1, &queue), ["stays"]);
    }
}

#[test]
fn dead_letter_from_a_transient_queue_to_a_durable_one_survives() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let dead = client.durable_queue(1);
        let key = [("x-dead-letter-routing-key", word(&dead))];
        let queue = client.queue_dying_to(1, "", &key);
        store(&mut client, &queue, &["refused"]);
        client.confirmed(2, "", &queue, &PropertyList::default(), "transient");
        client.reject_next(1, &queue, "refused");
        client.reject_next(1, &queue, "transient");
        client.wait_for_messages(1, &dead, 2);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &dead), ["refused"]);
    }
}

#[test]
fn dead_letter_that_went_to_a_transient_queue_is_gone_from_its_old_one() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let dead = client.shared_queue(1);
        let arguments = fields(&[
            ("x-dead-letter-exchange", word("")),
            ("x-dead-letter-routing-key", word(&dead)),
        ]);
        let queue = client.durable_queue_with(1, arguments.table());
        store(&mut client, &queue, &["refused", "stays"]);
        client.reject_next(1, &queue, "refused");
        client.wait_for_messages(1, &dead, 1);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["stays"]);
    }
}

#[test]
fn large_dead_letter_survives_whole() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let (queue, dead) = client.durable_dying_queue(1, &[]);
        let body = "leveret ".repeat(50_000);
        store(&mut client, &queue, &[&body]);
        client.reject_next(1, &queue, &body);
        client.wait_for_messages(1, &dead, 1);
        let mut client = node.restart_with_confirms(end, client);
        assert!(client.dead_letter(1, &dead).body() == body);
        assert_eq!(client.drain(1, &queue), [""; 0]);
    }
}

#[test]
fn committed_reject_is_dead_lettered_once() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let (queue, dead) = client.durable_dying_queue(1, &[]);
        store(&mut client, &queue, &["refused", "acked", "given back"]);
        client.call::<TxSelectOk>(3, tx::Select {});
        let tags: Vec<u64> = (0..3).map(|_| client.get(3, &queue).expect("it waits").tag).collect();
        client.reject(3, tags[0], false);
        client.ack(3, tags[1]);
        client.reject(3, tags[2], true);
        client.publish_with(3, "", &queue, &persistent(), b"published");
        client.call::<TxCommitOk>(3, tx::Commit {});
        client.wait_for_messages(1, &dead, 1);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &dead), ["refused"]);
        assert_eq!(client.drain(1, &queue), ["given back", "published"]);
    }
}

#[test]
fn committed_transaction_is_there_whole_over_its_queues_and_acks() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queues: Vec<_> = (0..3).map(|_| client.durable_queue(1)).collect();
        store(&mut client, &queues[0], &["acked", "stays"]);
        client.call::<TxSelectOk>(3, tx::Select {});
        let got = client.get(3, &queues[0]).expect("it waits");
        client.ack(3, got.tag);
        for queue in &queues {
            client.publish_with(3, "", queue, &persistent(), b"small");
            client.publish_with(3, "", queue, &persistent(), &[b'x'; 100_000]);
        }
        client.call::<TxCommitOk>(3, tx::Commit {});
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.get(3, &queues[0]).expect("it was not acked").message.body(), "stays");
        for queue in &queues {
            let lengths: Vec<_> = client.drain(1, queue).iter().map(String::len).collect();
            assert_eq!(lengths, [5, 100_000]);
        }
    }
}

#[test]
fn bcc_of_a_stored_message_routes_its_dead_letter_after_a_restart() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let blind = client.durable_queue(1);
        let queue = {
            let arguments = fields(&[("x-dead-letter-exchange", word("amq.direct"))]);
            client.durable_queue_with(1, arguments.table())
        };
        client.bind(1, &blind, "amq.direct", "blind");
        let mut keys = ArrayBuf::new();
        keys.push_str("blind");
        let headers = fields(&[("BCC", Value::Array(keys.array()))]);
        let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
        client.confirmed(2, "", &queue, &properties, "dies later");
        let mut client = node.restart_with_confirms(end, client);
        client.reject_next(3, &queue, "dies later");
        let message = client.dead_letter(1, &blind);
        assert_eq!(message.headers().table().find(b"BCC"), None);
    }
}

#[test]
fn transaction_that_was_not_committed_leaves_no_trace() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let (queue, dead) = client.durable_dying_queue(1, &[]);
        store(&mut client, &queue, &["acked", "refused"]);
        client.call::<TxSelectOk>(3, tx::Select {});
        let first = client.get(3, &queue).expect("it waits");
        let second = client.get(3, &queue).expect("it waits");
        client.ack(3, first.tag);
        client.reject(3, second.tag, false);
        client.publish_with(3, "", &queue, &persistent(), b"published");
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.drain(1, &queue), ["acked", "refused"]);
        assert_eq!(client.drain(1, &dead), [""; 0]);
    }
}

#[test]
fn message_in_several_queues_is_settled_in_each_by_itself() {
    for end in ENDS {
        let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
        let queues = [client.durable_queue(1), client.durable_queue(1), client.durable_queue(1)];
        for queue in &queues {
            client.bind(1, queue, "amq.fanout", "");
        }
        client.confirmed(2, "amq.fanout", "", &persistent(), "to all");
        let acked = client.get(3, &queues[0]).expect("it waits");
        client.ack(3, acked.tag);
        client.get(3, &queues[1]).expect("it waits");
        client.round_trip(3);
        let mut client = node.restart_with_confirms(end, client);
        assert_eq!(client.take_all(3, &queues[0]), []);
        assert_eq!(client.take_all(3, &queues[1]), [("to all".to_owned(), true)]);
        assert_eq!(client.drain(1, &queues[2]), ["to all"]);
    }
}

/// A dead letter that nobody took is in its queue again, and goes on from there.
#[test]
fn letters_that_wait_for_their_targets_survive() {
    let Some((mut node, mut client)) = Node::start_with_confirms() else { return };
    let target = client.durable_queue(1);
    let arguments = fields(&[
        ("x-queue-type", word("quorum")),
        ("x-overflow", word("reject-publish")),
        ("x-dead-letter-exchange", word("later")),
        ("x-dead-letter-strategy", word("at-least-once")),
    ]);
    let queue = client.durable_queue_with(1, arguments.table());
    client.confirmed(2, "", &queue, &expiring("1"), "expired");
    client.wait_for_messages(1, &queue, 1);
    let deadline = deadline();
    while let Some(got) = client.get(1, &queue) {
        assert!(now() < deadline, "it never expires");
        client.reject(1, got.tag, true);
    }
    for end in [End::Term, End::Kill] {
        node.restart(end, client);
        client = node.connect();
        client.wait_for_messages(1, &queue, 1);
    }
    client.durable_exchange_with(1, "later", "fanout", Table::EMPTY);
    client.bind(1, &target, "later", "");
    let message = client.dead_letter(1, &target);
    assert_eq!(message.deaths_in_short(), [("expired".to_owned(), queue, 1)]);
}
