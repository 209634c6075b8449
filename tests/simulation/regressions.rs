//! What went wrong once, each as a short script: the twin looks on.

use std::rc::Rc;

use super::ops::{Binding, Consume, End, ExchangeSpec, Op, Overflow, Publish, QueueSpec};
use super::policies::PolicySpec;
use super::settle_down;
use super::twin::{ConnId, REPLY_TO};
use super::values::{Fields, Props, Val};
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

fn binding(source: &str, queue: &str, key: &str) -> Binding {
    Binding {
        source: source.into(),
        end: End::Queue,
        destination: queue.into(),
        key: key.into(),
        arguments: Fields::new(),
    }
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
    assert!(world.queue("new").unwrap().line.is_empty());
}

/// What the default exchange had no queue for went to the alternate exchange of a policy that
/// matches every name: it came to queues that nobody had sent it to, and was never returned.
#[test]
fn no_policy_gives_the_default_exchange_an_alternate() {
    let (mut world, conn) = start(&[("here", QueueSpec::plain(true))]);
    world.send(conn, 1, Op::Bind(binding("amq.fanout", "here", "")));
    settle_down(&mut world).unwrap();
    world.set_policy(PolicySpec {
        name: "one",
        operator: false,
        pattern: ".*",
        apply_to: "all",
        priority: 0,
        definition: vec![("alternate-exchange".into(), Val::Text("amq.fanout".into()))],
    });
    let Op::Publish(mut lost) = publish("nowhere", "lost") else { unreachable!() };
    lost.mandatory = true;
    world.send(conn, 1, Op::Publish(lost.clone()));
    lost.exchange = "amq.direct".into();
    world.send(conn, 1, Op::Publish(lost));
    settle_down(&mut world).unwrap();
    assert_eq!(world.twin.tally["returned"], 1);
    assert_eq!(world.queue("here").unwrap().ready.len(), 1);
}

/// Each key of a message went to the alternate exchange by itself when it led nowhere, although
/// another key of the message had a queue.
#[test]
fn an_alternate_exchange_gets_only_what_no_key_has_a_queue_for() {
    let queues = ["main", "rest"].map(|name| (name, QueueSpec::plain(true)));
    let (mut world, conn) = start(&queues);
    let mut spec = ExchangeSpec::plain("direct");
    spec.alternate = Some("amq.fanout".into());
    world.send(conn, 1, Op::DeclareExchange { exchange: "e".into(), spec });
    world.send(conn, 1, Op::Bind(binding("e", "main", "known")));
    world.send(conn, 1, Op::Bind(binding("amq.fanout", "rest", "")));
    for key in ["known", "strange"] {
        let Op::Publish(mut copied) = publish(key, key) else { unreachable!() };
        copied.exchange = "e".into();
        copied.props.set_header("CC", Val::List(vec![Val::Text("unknown".into())]));
        world.send(conn, 1, Op::Publish(copied));
    }
    settle_down(&mut world).unwrap();
    assert_eq!(world.queue("main").unwrap().ready.len(), 1);
    assert_eq!(world.queue("rest").unwrap().ready.len(), 1, "none of its keys is known");
}

/// Whoever knew the name that somebody's direct replies come to could use it as a queue: bind it,
/// or delete it, and no reply came any more.
#[test]
fn the_name_for_direct_replies_is_no_queue() {
    let (mut world, conn) = start(&[("requests", QueueSpec::plain(false))]);
    let Op::Consume(replies) = consume(REPLY_TO) else { unreachable!() };
    world.send(conn, 1, Op::Consume(replies));
    let Op::Publish(mut request) = publish("requests", "request") else { unreachable!() };
    request.props.reply_to = Some(REPLY_TO.into());
    world.send(conn, 1, Op::Publish(request));
    world.send(conn, 1, Op::Get { queue: "requests".into(), no_ack: true });
    settle_down(&mut world).unwrap();
    let name = world.twin.reply_names.keys().next().unwrap().clone();
    let (if_unused, if_empty) = (false, false);
    for op in [
        Op::Bind(binding("amq.fanout", &name, "")),
        Op::Get { queue: name.clone(), no_ack: true },
        Op::Purge { queue: name.clone() },
        Op::DeleteQueue { queue: name.clone(), if_unused, if_empty },
    ] {
        world.send(conn, 2, Op::OpenChannel);
        world.send(conn, 2, op);
        settle_down(&mut world).unwrap();
    }
    world.send(conn, 1, publish(&name, "reply"));
    settle_down(&mut world).unwrap();
    assert_eq!(world.twin.tally["reply"], 1);
}

/// A delivery on a channel was not acknowledged in time while a commit on it waited for the disk:
/// the channel was closed, and then `tx.commit-ok` came on it.
#[test]
fn nothing_comes_on_a_channel_after_its_close() {
    let mut slow = QueueSpec::plain(true);
    slow.consumer_timeout_ms = Some(50);
    let (mut world, conn) = start(&[("slow", slow)]);
    world.send(conn, 1, publish("slow", "first"));
    world.send(conn, 1, Op::TxSelect);
    world.send(conn, 1, Op::Get { queue: "slow".into(), no_ack: false });
    settle_down(&mut world).unwrap();
    world.send(conn, 1, publish("slow", "second"));
    world.send(conn, 1, Op::TxCommit);
    world.orderly = true;
    world.turn().unwrap();
    assert!(world.session(&world.clients[&conn]).waits_for().is_some());
    world.now_ms += 100;
    settle_down(&mut world).unwrap();
    assert_eq!(world.twin.tally["timed out"], 1);
}

/// A rollback made a delivery outstanding again whose time was over: nobody looked at it any more,
/// and its consumer could keep it for ever.
#[test]
fn what_a_rollback_makes_outstanding_again_has_to_be_acknowledged_in_time() {
    let mut slow = QueueSpec::plain(true);
    slow.consumer_timeout_ms = Some(50);
    let (mut world, conn) = start(&[("slow", slow)]);
    world.send(conn, 1, publish("slow", "one"));
    world.send(conn, 1, Op::TxSelect);
    world.send(conn, 1, Op::Get { queue: "slow".into(), no_ack: false });
    world.send(conn, 1, Op::Ack { tag: 1, multiple: false });
    settle_down(&mut world).unwrap();
    world.now_ms += 100;
    settle_down(&mut world).unwrap();
    assert!(!world.twin.tally.contains_key("timed out"), "it is acknowledged, for the time being");
    world.send(conn, 1, Op::TxRollback);
    settle_down(&mut world).unwrap();
    assert_eq!(world.twin.tally["timed out"], 1);
}
