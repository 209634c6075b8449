//! Who is told that publishers are blocked, when, and what goes on meanwhile?
//!
//! The disk of these brokers is full on demand: publishes find room in two small segments, and
//! then none.

use crate::common::*;
use leveret::daemon::{Config, Limit};
use leveret::storage::Gate;

/// So many messages of [`BODY`] fit in no case.
const TOO_MANY: u64 = 40;
const BODY: [u8; 10_000] = [7; 10_000];

/// `None` for another broker, whose disk is not ours to fill.
fn server() -> Option<(Server, Gate)> {
    let server = Server::start_with(Config { segment_bytes: 64 << 10, ..Config::default() });
    let gate = server.gate()?.clone();
    server.wait_for_spare();
    Some((server, gate))
}

/// The same, a client and its durable queue.
fn start() -> Option<(Server, Gate, Client, String)> {
    let (server, gate) = server()?;
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    Some((server, gate, client, queue))
}

/// Publishes more than fits; channel 1 confirms.
fn publish_too_much(publisher: &mut Client, queue: &str) {
    publisher.confirm_select(1);
    for _ in 0..TOO_MANY {
        publisher.publish_with(1, "", queue, &persistent(), &BODY);
    }
}

/// Little room may be made at a time: it may be held back again, each time with a word at the
/// beginning and one at the end.
fn expect_all_confirmed(publisher: &mut Client) {
    let mut confirmed = 0;
    let mut blocked = None;
    while confirmed < TOO_MANY {
        let event = publisher.next_of(&[0, 1]);
        if event.channel == 0 {
            let is_blocked = matches!(event.method(), Method::ConnectionBlocked(_));
            assert_ne!(blocked, Some(is_blocked), "told twice: {:?}", event.method());
            blocked = Some(is_blocked);
        } else {
            let ack = event.expect::<Ack>();
            confirmed = if ack.multiple { ack.tag } else { confirmed + 1 };
        }
    }
}

fn expect_blocked(publisher: &mut Client) {
    assert_eq!(publisher.expect::<Blocked>(0).reason, "low on disk");
}

#[test]
fn publisher_is_told_once_that_it_is_blocked_and_once_that_it_is_not() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    let mut publisher = Client::connect(server.address());
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    // Its further publishes are no further change.
    publisher.publish_with(1, "", &queue, &persistent(), &BODY);
    witness.round_trip(1);
    publisher.expect_silence(0);
    gate.fill_disk(false);
    publisher.expect::<Unblocked>(0);
    expect_all_confirmed(&mut publisher);
    witness.wait_for_messages(1, &queue, 41);
    publisher.expect_silence(0);
}

#[test]
fn every_publisher_is_told_by_itself() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    gate.fill_disk(true);
    let mut publishers: Vec<_> = (0..3).map(|_| Client::connect(server.address())).collect();
    for publisher in &mut publishers {
        publish_too_much(publisher, &queue);
        expect_blocked(publisher);
    }
    gate.fill_disk(false);
    for publisher in &mut publishers {
        publisher.expect::<Unblocked>(0);
        expect_all_confirmed(publisher);
    }
    assert_eq!(u64::from(witness.inspect(1, &queue).messages), 3 * TOO_MANY);
}

#[test]
fn connection_is_told_when_it_publishes_during_the_alarm_and_not_before() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    let mut earlier = Client::connect(server.address());
    earlier.store(2, &queue, &["before the alarm"]);
    let mut publisher = Client::connect(server.address());
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    let mut later = Client::connect(server.address());
    for client in [&mut witness, &mut earlier, &mut later] {
        client.expect_nothing_before(0, 1);
    }
    for client in [&mut earlier, &mut later] {
        client.publish(1, "", &queue, "during the alarm");
        expect_blocked(client);
    }
    gate.fill_disk(false);
    for client in [&mut earlier, &mut later, &mut publisher] {
        client.expect::<Unblocked>(0);
    }
    witness.expect_nothing_before(0, 1);
}

#[test]
fn client_that_did_not_announce_it_is_held_back_without_a_word() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    let properties = Options::announcing(&["publisher_confirms"]);
    let options = Options { properties, ..Default::default() };
    let mut publisher = Client::connect_with(server.address(), &options);
    publisher.open(1);
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    // Somebody else is told, so the alarm is on.
    let mut other = Client::connect(server.address());
    publish_too_much(&mut other, &queue);
    expect_blocked(&mut other);
    publisher.expect_silence(0);
    assert!(u64::from(witness.inspect(1, &queue).messages) < TOO_MANY);
    gate.fill_disk(false);
    expect_all_confirmed(&mut publisher);
    publisher.expect_silence(0);
}

#[test]
fn socket_of_a_blocked_connection_is_not_read() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    let mut publisher = Client::connect(server.address());
    publisher.open(2);
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    let name = unique("late");
    let declare = named(&name);
    publisher.send(2, declare);
    publisher.expect_nothing_yet(2, &mut witness);
    witness.send(1, queue::Declare { passive: true, ..declare });
    witness.expect_channel_error(1, 404, "NOT_FOUND - no queue");
    gate.fill_disk(false);
    expect_all_confirmed(&mut publisher);
    assert_eq!(publisher.expect::<DeclareOk>(2).queue, name);
}

#[test]
fn consumers_and_acks_go_on_during_the_alarm_and_end_it() {
    let Some((server, gate, mut consumer, queue)) = start() else { return };
    let mut publisher = Client::connect(server.address());
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    consumer.consume(1, &queue);
    for _ in 0..TOO_MANY {
        let tag = consumer.expect_delivery(1).tag;
        consumer.ack(1, tag);
    }
    // The disk is as full as before: acks alone made room.
    publisher.expect::<Unblocked>(0);
    expect_all_confirmed(&mut publisher);
    consumer.expect_silence(0);
}

/// Such a connection once was not read from the moment that the disk was full, so that its acks,
/// which make room, waited for room.
#[test]
fn acks_of_a_connection_that_published_before_the_alarm_are_taken() {
    let Some((server, gate, mut worker, queue)) = start() else { return };
    worker.store(2, &queue, &["a job"]);
    let job = worker.get(1, &queue).expect("it is there");
    let mut publisher = Client::connect(server.address());
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    worker.ack(1, job.tag);
    worker.open(2);
    worker.send(2, queue::Purge { queue: queue.as_bytes(), nowait: false });
    worker.expect::<PurgeOk>(2);
    publisher.expect::<Unblocked>(0);
    worker.expect_nothing_before(0, 1);
}

#[test]
fn heartbeat_while_blocked_is_sent_and_not_demanded() {
    let Some((server, gate, _witness, queue)) = start() else { return };
    let options = Options { heartbeat: 1, ..Default::default() };
    let mut publisher = Client::connect_with(server.address(), &options);
    publisher.open(1);
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    // Six of the broker's heartbeats are three seconds: longer than two silent intervals.
    for _ in 0..6 {
        publisher.expect_heartbeat();
    }
    gate.fill_disk(false);
    publisher.expect::<Unblocked>(0);
    expect_all_confirmed(&mut publisher);
}

#[test]
fn blocked_connection_that_vanishes_costs_nobody_anything() {
    let Some((server, gate, mut witness, queue)) = start() else { return };
    let mut publisher = Client::connect(server.address());
    gate.fill_disk(true);
    publish_too_much(&mut publisher, &queue);
    expect_blocked(&mut publisher);
    publisher.vanish();
    witness.round_trip(1);
    gate.fill_disk(false);
    let mut other = Client::connect(server.address());
    publish_too_much(&mut other, &queue);
    expect_all_confirmed(&mut other);
}

#[test]
fn reason_is_what_there_is_too_little_of() {
    let low = Limit::Absolute(0);
    let enough = Config::default();
    let unfree = Limit::Absolute(u64::MAX);
    for (memory, disk, reason) in [
        (low, enough.disk_free_limit, "low on memory"),
        (enough.vm_memory_high_watermark, unfree, "low on disk"),
        (low, unfree, "low on memory & disk"),
    ] {
        let server = Server::start_with(Config {
            vm_memory_high_watermark: memory,
            disk_free_limit: disk,
            ..Config::default()
        });
        if server.differs("it has limits of its own") {
            return;
        }
        let mut witness = Client::connect(server.address());
        let queue = witness.durable_queue(1);
        let mut publisher = Client::connect(server.address());
        publisher.publish(1, "", &queue, "waits");
        assert_eq!(publisher.expect::<Blocked>(0).reason, reason);
        witness.expect_nothing_before(0, 1);
        assert_eq!(witness.inspect(1, &queue).messages, 0);
    }
}

#[test]
fn memory_alarm_ends_when_memory_is_given_back() {
    alarm_ends(vec![1_u8; 200 << 20]);
}

/// What many small pieces had taken stayed with the allocator, and publishers were blocked for good
/// by a broker that had nothing.
#[test]
fn memory_alarm_ends_when_small_pieces_of_memory_are_freed() {
    let mut pieces: Vec<Box<[u8]>> = (0..200_000).map(|_| vec![1; 1000].into()).collect();
    // It keeps the end of the allocator's memory in use.
    let last = pieces.pop();
    alarm_ends(pieces);
    drop(last);
}

/// There is an alarm because of `ballast`, until that goes.
fn alarm_ends<T>(ballast: T) {
    // The broker is a thread of this process, so what the test takes counts as the broker's.
    let used_bytes = leveret::sys::anonymous_memory_bytes().expect("/proc can be read");
    let memory = Limit::Absolute(used_bytes - (100 << 20));
    let server =
        Server::start_with(Config { vm_memory_high_watermark: memory, ..Config::default() });
    if server.differs("its memory is its own") {
        return;
    }
    let mut publisher = Client::connect(server.address());
    let queue = publisher.queue(1);
    publisher.confirm_select(1);
    let ballast = std::hint::black_box(ballast);
    // It is looked at once in a while: some more are taken, and then none.
    let mut taken = 0;
    let blocked = loop {
        publisher.publish(1, "", &queue, "one more");
        let event = publisher.next_of(&[0, 1]);
        if event.channel == 0 {
            break event.expect::<Blocked>();
        }
        taken += 1;
        assert_eq!(event.expect::<Ack>().tag, taken);
    };
    assert_eq!(blocked.reason, "low on memory");
    drop(ballast);
    publisher.expect::<Unblocked>(0);
    assert_eq!(publisher.expect::<Ack>(1).tag, taken + 1);
    assert_eq!(u64::from(publisher.inspect(1, &queue).messages), taken + 1);
}

#[test]
fn other_work_goes_on_during_a_memory_alarm() {
    let memory = Limit::Absolute(0);
    let server =
        Server::start_with(Config { vm_memory_high_watermark: memory, ..Config::default() });
    if server.differs("it has limits of its own") {
        return;
    }
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    client.bind(1, &queue, "amq.fanout", "");
    let tag = client.consume(1, &queue);
    client.cancel(1, &tag);
    client.purge(1, &queue);
    client.delete_queue(1, &queue);
    client.expect_nothing_before(0, 1);
    client.close();
}

/// Its answer to connection.close lies behind the publish that waits; it was not read before.
#[test]
fn blocked_connection_that_answers_is_closed_before_others_that_do_not() {
    let low = Limit::Absolute(0);
    let server = Server::start_with(Config { vm_memory_high_watermark: low, ..Config::default() });
    if server.differs("nobody stops it") {
        return;
    }
    let mut silent = Client::connect(server.address());
    let mut publisher = Client::connect(server.address());
    publisher.publish(1, "", "nowhere", "waits");
    publisher.expect::<Blocked>(0);
    let stop = std::thread::spawn(move || drop(server));
    publisher.expect_connection_error(320, "CONNECTION_FORCED");
    silent.expect::<ConnectionClose>(0);
    silent.expect_silence(0);
    silent.send_unless_closed(0, connection::CloseOk {});
    silent.expect_closed();
    stop.join().expect("it stops");
}

#[test]
fn publish_that_is_discarded_waits_for_nothing() {
    let low = Limit::Absolute(0);
    let server = Server::start_with(Config { vm_memory_high_watermark: low, ..Config::default() });
    if server.differs("it has limits of its own") {
        return;
    }
    let mut client = Client::connect(server.address());
    client.send(1, queue::Purge { queue: b"no such queue", nowait: false });
    client.publish(1, "", "nowhere", "discarded");
    client.expect_channel_error(1, 404, "NOT_FOUND - no queue");
    client.open(1);
    // Nor does one on a channel that is not open.
    client.publish(2, "", "nowhere", "refused");
    client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'");
}

/// What is kept of a full disk is for deletes and acks. Nobody waits in line, so that who comes to
/// take messages out can declare what is there.
#[test]
fn nothing_durable_is_declared_on_a_full_disk_and_deletes_work() {
    let Some((_server, gate, mut client, queue)) = start() else { return };
    let others: Vec<String> = (0..20).map(|_| client.durable_queue(1)).collect();
    client.open(2);
    client.bind(2, &queue, "amq.direct", "old");
    gate.fill_disk(true);
    let text = "RESOURCE_ERROR - no disk space is left for ";
    // There is some room, and then none.
    let mut large = TableBuf::new();
    large.put_str(b"purpose", &"?".repeat(2000));
    let mut refused = false;
    for number in 0..1000 {
        let name = format!("new {number}");
        client.send(2, queue::Declare { durable: true, arguments: large.table(), ..named(&name) });
        if let Method::ChannelClose(close) = client.next(2).method() {
            refused = true;
            assert_eq!(close.reply_code, 506);
            let expected = format!("{text}queue '{name}' in vhost '/'");
            assert_eq!(String::from_utf8_lossy(close.reply_text), expected);
            break;
        }
    }
    assert!(refused, "there is room for everything");
    client.send(2, channel::CloseOk {});
    client.open(2);
    let bind = queue::Bind {
        queue: queue.as_bytes(),
        exchange: b"amq.direct",
        routing_key: b"new",
        ..Default::default()
    };
    for nowait in [false, true] {
        let new = queue::Declare { durable: true, nowait, ..named("new") };
        client.refused(2, new, 506, &format!("{text}queue 'new' in vhost '/'"));
        let new = exchange::Declare {
            exchange: b"new",
            kind: b"direct",
            durable: true,
            nowait,
            ..Default::default()
        };
        client.refused(2, new, 506, &format!("{text}exchange 'new' in vhost '/'"));
        let new = queue::Bind { nowait, ..bind };
        client.refused(2, new, 506, &format!("{text}the binding"));
    }
    client.call::<DeclareOk>(2, queue::Declare { durable: true, ..named(&queue) });
    client.bind(2, &queue, "amq.direct", "old");
    client.queue(2);
    for other in &others {
        client.delete_queue(2, other);
    }
    gate.fill_disk(false);
    // It is looked for now and then.
    let deadline = deadline();
    loop {
        assert!(now() < deadline, "there is room, and it is not found");
        client.send(2, queue::Declare { durable: true, ..named("new") });
        if matches!(client.next(2).method(), Method::QueueDeclareOk(_)) {
            break;
        }
        client.send(2, channel::CloseOk {});
        client.open(2);
    }
    client.bind(2, "new", "amq.direct", "new");
}
