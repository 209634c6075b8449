//! Do publishes and acks of a transaction take effect together, and only at commit?

use crate::common::*;

const NONE: [&str; 0] = [];

fn transactional(server: &Server) -> Client {
    let mut client = Client::connect(server.address());
    client.call::<TxSelectOk>(1, tx::Select {});
    client.open(2);
    client
}

#[test]
fn commit_without_select_is_406() {
    let (_server, mut client) = Server::with_client();
    client.send(1, tx::Commit {});
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - channel is not transactional");
}

#[test]
fn rollback_without_select_is_406() {
    let (_server, mut client) = Server::with_client();
    client.send(1, tx::Rollback {});
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - channel is not transactional");
}

#[test]
fn select_twice_is_fine() {
    let server = Server::start();
    let mut client = transactional(&server);
    client.call::<TxSelectOk>(1, tx::Select {});
}

#[test]
fn empty_commits_and_rollbacks_are_answered() {
    let server = Server::start();
    let mut client = transactional(&server);
    client.call::<TxCommitOk>(1, tx::Commit {});
    client.call::<TxRollbackOk>(1, tx::Rollback {});
    client.call::<TxCommitOk>(1, tx::Commit {});
}

#[test]
fn publishes_are_enqueued_at_commit() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.publish(1, "", &queue, "one");
    client.publish(1, "", &queue, "two");
    client.round_trip(1);
    client.round_trip(1);
    assert_eq!(client.drain(2, &queue), NONE);
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(2, &queue), ["one", "two"]);
}

#[test]
fn commit_reaches_all_queues() {
    let server = Server::start();
    let mut client = transactional(&server);
    let (one, two) = (client.durable_queue(1), client.queue(1));
    let persistent = PropertyList { delivery_mode: Some(2), ..Default::default() };
    for queue in [&one, &two] {
        client.publish_with(1, "", queue, &persistent, b"both");
    }
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(2, &one), ["both"]);
    assert_eq!(client.drain(2, &two), ["both"]);
    client.delete_queue(1, &one);
}

#[test]
fn publishes_are_routed_at_once() {
    let server = Server::start();
    let mut client = transactional(&server);
    let (early, late) = (client.queue(1), client.queue(1));
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &early, &exchange, "");
    client.publish(1, &exchange, "", "x");
    // A binding that comes after the publish does not matter any more.
    client.bind(1, &late, &exchange, "");
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(2, &early), ["x"]);
    assert_eq!(client.drain(2, &late), NONE);
    client.delete_exchange(1, &exchange);
}

#[test]
fn publishes_are_checked_at_once() {
    let server = Server::start();
    let mut client = transactional(&server);
    client.publish(1, "no such exchange", "key", "x");
    client.expect_channel_error(1, 404, "NOT_FOUND - no exchange 'no such exchange'");
}

#[test]
fn return_comes_before_commit_ok() {
    let server = Server::start();
    let mut client = transactional(&server);
    client.publish_mandatory(1, "amq.direct", "nobody bound this", "lost");
    client.send(1, tx::Commit {});
    assert_eq!(client.expect::<Return>(1).code, 312);
    client.expect::<TxCommitOk>(1);
}

#[test]
fn acks_take_effect_at_commit() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.store(3, &queue, &["a", "b"]);
    let got = client.get(1, &queue).expect("two messages are there");
    client.ack(1, got.tag);
    client.call::<TxCommitOk>(1, tx::Commit {});
    let got = client.get(1, &queue).expect("one message is there");
    client.ack(1, got.tag);
    // Not committed: the message comes back with the end of the channel.
    client.close_channel(1);
    let again = client.get(2, &queue).expect("the ack did not count");
    assert!(again.redelivered);
    assert_eq!(again.message.body(), "b");
    assert_eq!(client.drain(2, &queue), NONE);
}

#[test]
fn rollback_drops_publishes() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.publish(1, "", &queue, "never");
    client.call::<TxRollbackOk>(1, tx::Rollback {});
    client.publish(1, "", &queue, "kept");
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(2, &queue), ["kept"]);
}

#[test]
fn rollback_makes_acked_deliveries_outstanding_again() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.store(3, &queue, &["a"]);
    let got = client.get(1, &queue).expect("a message is there");
    client.ack(1, got.tag);
    client.call::<TxRollbackOk>(1, tx::Rollback {});
    assert_eq!(client.drain(2, &queue), NONE);
    client.ack(1, got.tag);
    client.call::<TxCommitOk>(1, tx::Commit {});
    client.close_channel(1);
    assert_eq!(client.drain(2, &queue), NONE);
}

#[test]
fn rejects_take_effect_at_commit() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.store(3, &queue, &["a", "b"]);
    let a = client.get(1, &queue).expect("two messages are there");
    let b = client.get(1, &queue).expect("two messages are there");
    client.reject(1, a.tag, true);
    client.reject(1, b.tag, false);
    client.round_trip(1);
    assert_eq!(client.drain(2, &queue), NONE);
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(2, &queue), ["a"]);
    client.close_channel(1);
    assert_eq!(client.drain(2, &queue), NONE);
}

#[test]
fn closing_the_channel_rolls_back() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(2);
    client.publish(1, "", &queue, "never");
    client.close_channel(1);
    assert_eq!(client.drain(2, &queue), NONE);
}

#[test]
fn unknown_tag_in_a_transaction_is_406() {
    let server = Server::start();
    let mut client = transactional(&server);
    client.ack(1, 5);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 5");
}

#[test]
fn refused_publish_makes_the_commit_fail_with_406() {
    let server = Server::start();
    let mut client = transactional(&server);
    let mut arguments = TableBuf::new();
    arguments.put_i64(b"x-max-length", 0);
    arguments.put_str(b"x-overflow", "reject-publish");
    let queue = client.queue_with(2, arguments.table());
    client.publish(1, "", &queue, "refused");
    client.send(1, tx::Commit {});
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - partial tx completion");
}

#[test]
fn messages_of_a_commit_keep_their_order_among_others() {
    let server = Server::start();
    let mut client = transactional(&server);
    let queue = client.queue(1);
    client.publish(1, "", &queue, "in the transaction 1");
    client.store(3, &queue, &["outside, before the commit"]);
    client.publish(1, "", &queue, "in the transaction 2");
    client.call::<TxCommitOk>(1, tx::Commit {});
    client.store(3, &queue, &["outside, after the commit"]);
    let expected = [
        "outside, before the commit",
        "in the transaction 1",
        "in the transaction 2",
        "outside, after the commit",
    ];
    assert_eq!(client.drain(2, &queue), expected);
}

#[test]
fn commit_ok_waits_until_the_transaction_is_durable() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let mut client = transactional(&server);
    let mut other = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let persistent = PropertyList { delivery_mode: Some(2), ..Default::default() };
    client.publish_with(1, "", &queue, &persistent, b"x");
    gate.hold();
    client.send(1, tx::Commit {});
    client.expect_nothing_yet(1, &mut other);
    gate.release();
    client.expect::<TxCommitOk>(1);
    assert_eq!(client.drain(2, &queue), ["x"]);
}

/// Room was made ready for the commit of an idle broker, and given back before it was used: the
/// broker was busy with that for good, and the commit was never answered.
#[test]
fn commit_of_more_than_the_log_has_ready_is_answered() {
    let server = Server::start();
    for (properties, count, size) in [
        (PropertyList::default(), 50_000, 0),
        (persistent(), 50_000, 0),
        (PropertyList::default(), 1000, 60_000),
        (persistent(), 1000, 60_000),
    ] {
        let mut client = transactional(&server);
        let queue = client.durable_queue(1);
        let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
        let (mut out, body) = (Vec::new(), vec![b'b'; size]);
        for _ in 0..count {
            encode_publish(&mut out, 1, publish, &properties, &body, 131_072);
        }
        client.send_bytes(&out);
        client.call::<TxCommitOk>(1, tx::Commit {});
        assert_eq!(client.inspect(1, &queue).messages, count);
        client.delete_queue(1, &queue);
        client.close();
    }
}

/// Only properties and bodies were counted: what is kept of a message beside them took gigabytes.
#[test]
fn transaction_of_too_many_empty_messages_is_406() {
    let server = Server::start();
    if server.differs("it has no limit") {
        return;
    }
    let mut client = transactional(&server);
    let exchange = client.exchange(1, "fanout");
    let queues: Vec<String> = (0..20).map(|_| client.queue(1)).collect();
    queues.iter().for_each(|queue| client.bind(1, queue, &exchange, ""));
    let mut out = Vec::new();
    // Each goes another way than the one before it, so that all of that is kept.
    for routing_key in [b"a", b"b"].iter().cycle().take(10_000) {
        let exchange = exchange.as_bytes();
        let publish = basic::Publish { exchange, routing_key: *routing_key, ..Default::default() };
        encode_publish(&mut out, 1, publish, &PropertyList::default(), b"", 131_072);
    }
    // Seven hundred thousand lists of 20 queues are more than 128 MiB.
    for _ in 0..70 {
        client.send_bytes(&out);
    }
    let text = "PRECONDITION_FAILED - a transaction may take at most 134217728 bytes";
    client.expect_channel_error(1, 406, text);
    client.open(1);
    assert_eq!(client.inspect(1, &queues[0]).messages, 0);
}
