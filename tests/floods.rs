//! What can a client make the broker keep that sends without end and reads nothing?

mod common;

use std::io::ErrorKind;

use common::*;
use leveret::amqp::method::tx;

/// What the broker may take in memory, whatever is sent: it has 4 MiB of answers for each
/// connection, and a few of its own.
const RESIDENT_BYTES_MAX: u64 = 64 << 20;

/// So often somebody else asks something meanwhile.
const QUESTIONS: usize = 300;

/// A method that has an answer, or a message that has one, over and over.
fn flood(kind: &str, queue: &str, full: &str) -> Vec<u8> {
    let mandatory =
        basic::Publish { routing_key: b"nowhere", mandatory: true, ..Default::default() };
    let mut lost = Vec::new();
    encode_publish(&mut lost, 1, mandatory, &PropertyList::default(), &[b'b'; 2000], 131_072);
    let one = match kind {
        "passive declares" => Burst::default().method(passive(queue)),
        "gets of nothing" => {
            Burst::default().method(basic::Get { queue: queue.as_bytes(), no_ack: true })
        }
        "refused publishes" => Burst::default().message(full, b""),
        "returned messages" => Burst(lost),
        "empty transactions" => {
            Burst::default().method(tx::Select {}).method(tx::Commit {}).method(tx::Rollback {})
        }
        "binds" => Burst::default().method(queue::Bind {
            queue: queue.as_bytes(),
            exchange: b"amq.direct",
            routing_key: b"key",
            ..Default::default()
        }),
        "consumers" => Burst::default()
            .method(basic::Consume {
                queue: queue.as_bytes(),
                consumer_tag: b"tag",
                ..Default::default()
            })
            .method(basic::Cancel { consumer_tag: b"tag", nowait: false }),
        "recoveries" => Burst::default().method(basic::Recover { requeue: true }),
        other => panic!("no flood of {other}"),
    };
    one.0.repeat(1 + (64 << 10) / one.0.len())
}

/// Answers were kept for who does not read them: 40 million requests took a gigabyte.
#[test]
fn answers_that_nobody_reads_are_bounded_and_others_are_served() {
    let Some(node) = Node::start() else { return };
    let mut other = node.connect();
    let queue = other.durable_queue(1);
    let full = unique("full");
    let arguments =
        fields(&[("x-max-length", Value::I32(0)), ("x-overflow", word("reject-publish"))]);
    other.queue_named(1, &full, arguments.table());
    for kind in [
        "passive declares",
        "gets of nothing",
        "refused publishes",
        "returned messages",
        "empty transactions",
        "binds",
        "consumers",
        "recoveries",
    ] {
        let mut client = node.connect();
        if kind == "refused publishes" {
            client.confirm_select(1);
        }
        let flood = flood(kind, &queue, &full);
        let (mut sent, mut stands) = (0, false);
        for _ in 0..QUESTIONS {
            // As much as it takes, which in the end is nothing.
            loop {
                match client.send_some(&flood, sent) {
                    Ok(bytes) => sent += bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{kind}: {error}"),
                }
                stands = sent > 100 << 20;
                if stands {
                    break;
                }
            }
            other.round_trip(1);
        }
        let resident = resident_bytes(node.process().id());
        assert!(!stands, "{kind}: everything is read, however little of the answers is");
        assert!(resident < RESIDENT_BYTES_MAX, "{kind}: {} MiB", resident >> 20);
        client.vanish();
    }
    other.round_trip(1);
}

/// The kernel says once that somebody waits, and in one turn only some of many are let in: the
/// others must not be forgotten.
#[test]
fn whoever_comes_at_once_is_let_in_however_many_they_are() {
    let Some(node) = Node::start() else { return };
    let mut before = node.connect();
    before.round_trip(1);
    node.process().freeze();
    // As many as the kernel keeps for a listener.
    let crowd: Vec<_> = (0..120).map(|_| Client::raw(node.process().address())).collect();
    node.process().thaw();
    for mut client in crowd {
        client.send_bytes(b"AMQP\0\0\x09\x01");
        client.expect::<Start>(0);
    }
    before.round_trip(1);
}
