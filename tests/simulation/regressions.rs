//! What went wrong once, each as a short script: the twin looks on.

use std::rc::Rc;

use super::ops::{Consume, Op, Overflow, Publish, QueueSpec};
use super::settle_down;
use super::twin::ConnId;
use super::values::Props;
use super::world::World;

/// A client with an open channel 1 and queues of these kinds.
fn start(queues: &[(&str, QueueSpec)]) -> (World, ConnId) {
    let mut world = World::new(0);
    let conn = world.connect();
    world.send(conn, 1, Op::OpenChannel);
    for (queue, spec) in queues {
        let op = Op::DeclareQueue {
            queue: (*queue).into(),
            passive: false,
            spec: spec.clone(),
            nowait: false,
        };
        world.send(conn, 1, op);
    }
    settle_down(&mut world).unwrap();
    (world, conn)
}

fn publish(queue: &str, body: &str) -> Op {
    let delivery_mode = Some(2);
    Op::Publish(Publish {
        exchange: String::new(),
        key: queue.into(),
        mandatory: false,
        props: Props { delivery_mode, ..Props::default() },
        body: Rc::new(format!("message {body}").into_bytes()),
    })
}

fn consume(queue: &str) -> Op {
    Op::Consume(Consume {
        queue: queue.into(),
        tag: "tag".into(),
        no_ack: true,
        exclusive: false,
        priority: 0,
        offset: None,
    })
}

/// Every message of a commit was weighed against the queue as it was before the commit: a queue
/// for one message that refuses what is too much took all three.
#[test]
fn a_transaction_does_not_fill_a_queue_beyond_its_limit() {
    let mut one = QueueSpec::plain(true);
    one.max_length = Some(1);
    one.overflow = Overflow::Reject;
    let (mut world, conn) = start(&[("one", one)]);
    world.send(conn, 1, Op::TxSelect);
    for body in ["a", "b", "c"] {
        world.send(conn, 1, publish("one", body));
    }
    world.send(conn, 1, Op::TxCommit);
    settle_down(&mut world).unwrap();
    assert_eq!(world.queue("one").unwrap().ready.len(), 1);
    assert_eq!(world.twin.tally["partial tx completion"], 1);
}

/// A queue went, and before the turn told its consumer's session, the client had cancelled the
/// consumer and begun another one under the same tag. That one was taken for the old one: the
/// client was told that it had ended, and could not cancel it any more.
#[test]
fn a_consumer_does_not_end_in_the_place_of_an_older_one() {
    let queues = ["old", "new"].map(|name| (name, QueueSpec::plain(false)));
    let (mut world, conn) = start(&queues);
    world.send(conn, 2, Op::OpenChannel);
    world.send(conn, 1, consume("old"));
    settle_down(&mut world).unwrap();
    let delete = Op::DeleteQueue { queue: "old".into(), if_unused: false, if_empty: false };
    world.send(conn, 2, delete);
    world.send(conn, 1, Op::Cancel { tag: "tag".into() });
    world.send(conn, 1, consume("new"));
    world.send(conn, 1, publish("new", "to the new one"));
    settle_down(&mut world).unwrap();
    assert!(!world.twin.tally.contains_key("consumer cancelled"));
    assert_eq!(world.twin.tally["delivered"], 1);
    world.send(conn, 1, Op::Cancel { tag: "tag".into() });
    settle_down(&mut world).unwrap();
    assert!(world.queue("new").unwrap().line.members().is_empty());
}
