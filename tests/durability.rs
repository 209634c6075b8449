//! Is a confirm really only sent once the disk has the message? The storage helper of a broker in
//! this process is held back, so that nothing becomes durable until the test says so.
//!
//! That something did *not* come is proved by answers to questions asked later, never by waiting:
//! the broker works in turns, and a turn that answers has flushed what earlier turns had to say.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use leveret::daemon::{Config, Server};
use tempfile::TempDir;

/// How long the slowest answer of a loop that does not wait for the disk may take. On a machine
/// that is busy with other things the scheduler alone takes its share of it.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// A turn of the loop is shorter, whatever the disk does.
const TURN_MAX: Duration = Duration::from_millis(5);

/// How long the disk does nothing in the test of that.
const HELD_FOR: Duration = Duration::from_millis(100);

/// A broker in this process and its directory.
struct Held {
    server: Server,
    directory: TempDir,
}

impl Held {
    fn start() -> Held {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let server = start_on(&directory);
        Held { server, directory }
    }

    fn connect(&self) -> Client {
        Client::connect(self.server.address())
    }
}

fn start_on(directory: &TempDir) -> Server {
    Server::start(config(directory)).expect("the broker starts")
}

fn config(directory: &TempDir) -> Config {
    Config {
        data_dir: directory.path().to_path_buf(),
        listeners: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        management: None,
        prometheus: None,
        ..Config::default()
    }
}

/// Declares a durable queue under a fixed name.
fn durable_queue(client: &mut Client, name: &str) {
    client.call::<DeclareOk>(1, declare(name));
}

fn declare(name: &str) -> queue::Declare<'_> {
    queue::Declare { durable: true, ..named(name) }
}

/// Opens a channel with confirms on.
fn confirming(client: &mut Client, channel: u16) {
    client.open(channel);
    client.confirm_select(channel);
}

#[test]
fn a_persistent_message_is_confirmed_only_after_the_sync() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    confirming(&mut client, 2);
    broker.server.gate().hold();
    for number in 0..20 {
        client.publish_with(2, "", "kept", &persistent(), format!("{number}").as_bytes());
        client.expect_nothing_before(2, 1);
    }
    let large = vec![7; 300_000];
    client.publish_with(2, "", "kept", &persistent(), &large);
    client.expect_nothing_before(2, 1);
    let mut other = broker.connect();
    assert_eq!(other.inspect(1, "kept").messages, 21, "they were taken");
    for _ in 0..5 {
        other.round_trip(1);
        client.expect_silence(2);
    }
    broker.server.gate().release();
    client.expect_confirms(2, 1, 21);
}

#[test]
fn one_durable_queue_among_transient_ones_is_enough_to_wait_for() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    let passing = client.queue(1);
    client.bind(1, "kept", "amq.fanout", "");
    client.bind(1, &passing, "amq.fanout", "");
    confirming(&mut client, 2);
    broker.server.gate().hold();
    client.publish_with(2, "amq.fanout", "", &persistent(), b"both");
    client.expect_nothing_before(2, 1);
    broker.server.gate().release();
    client.expect_confirms(2, 1, 1);
}

#[test]
fn what_needs_no_disk_is_confirmed_while_it_is_busy() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    let passing = client.queue(1);
    confirming(&mut client, 2);
    broker.server.gate().hold();
    client.publish_with(2, "", "kept", &PropertyList::default(), b"a transient message");
    client.expect_confirms(2, 1, 1);
    client.publish_with(2, "", &passing, &persistent(), b"to a queue that goes with the broker");
    client.expect_confirms(2, 2, 2);
    client.publish_with(2, "", "nobody's", &persistent(), b"to nobody");
    client.expect_confirms(2, 3, 3);
    let mandatory =
        basic::Publish { routing_key: b"nobody's", mandatory: true, ..Default::default() };
    client.publish_as(2, mandatory, &persistent(), b"comes back");
    assert_eq!(client.expect::<Return>(2).code, 312);
    client.expect_confirms(2, 4, 4);
    // And behind something that waits, on another channel.
    confirming(&mut client, 3);
    client.publish_with(3, "", "kept", &persistent(), b"waits");
    client.publish_with(2, "", "kept", &PropertyList::default(), b"does not");
    client.expect_confirms(2, 5, 5);
    client.expect_nothing_before(3, 1);
}

#[test]
fn a_transaction_is_answered_only_after_the_sync() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    let mut other = broker.connect();
    client.open(2);
    client.call::<TxSelectOk>(2, tx::Select {});
    broker.server.gate().hold();
    client.publish_with(2, "", "kept", &persistent(), b"one");
    client.publish_with(2, "", "kept", &persistent(), b"two");
    client.send(2, tx::Commit {});
    other.wait_for_messages(1, "kept", 2);
    for _ in 0..5 {
        other.round_trip(1);
        client.expect_silence(2);
    }
    broker.server.gate().release();
    client.expect::<TxCommitOk>(2);
}

#[test]
fn acks_of_persistent_messages_in_a_transaction_wait_for_the_sync() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    confirming(&mut client, 2);
    client.publish_with(2, "", "kept", &persistent(), b"one");
    client.expect_confirms(2, 1, 1);
    let mut consumer = broker.connect();
    consumer.call::<TxSelectOk>(1, tx::Select {});
    let got = consumer.get(1, "kept").expect("it is there");
    broker.server.gate().hold();
    consumer.ack(1, got.tag);
    consumer.send(1, tx::Commit {});
    // Whether the commit has been dealt with cannot be asked from outside: what a commit settles
    // is not ready before either. It comes before anything that is sent later, though.
    for _ in 0..10 {
        client.round_trip(1);
        consumer.expect_silence(1);
    }
    broker.server.gate().release();
    consumer.expect::<TxCommitOk>(1);
}

#[test]
fn a_durable_definition_is_answered_only_after_the_sync() {
    let broker = Held::start();
    let mut other = broker.connect();
    let mut client = broker.connect();
    broker.server.gate().hold();
    client.send(1, declare("kept"));
    // Another connection can publish to it already, so the broker has dealt with it.
    confirming(&mut other, 2);
    let deadline = deadline();
    while !other.reaches(2, "", "kept") {
        assert!(now() < deadline, "it cannot be used");
    }
    for _ in 0..5 {
        assert!(other.reaches(2, "", "kept"));
        client.expect_silence(1);
    }
    let mut exchanges = broker.connect();
    let declare = exchange::Declare {
        exchange: b"kept",
        kind: b"topic",
        durable: true,
        ..Default::default()
    };
    exchanges.send(1, declare);
    let bind = queue::Bind {
        queue: b"kept",
        exchange: b"amq.direct",
        routing_key: b"key",
        ..Default::default()
    };
    let mut bindings = broker.connect();
    bindings.send(1, bind);
    // The binding counts already.
    while !other.reaches(2, "amq.direct", "key") {
        assert!(now() < deadline, "it does not count");
    }
    for _ in 0..5 {
        assert!(other.reaches(2, "", "kept"));
        client.expect_silence(1);
        exchanges.expect_silence(1);
        bindings.expect_silence(1);
    }
    broker.server.gate().release();
    client.expect::<DeclareOk>(1);
    exchanges.expect::<ExchangeDeclareOk>(1);
    bindings.expect::<BindOk>(1);
}

#[test]
fn a_sync_that_fails_ends_the_broker_and_confirms_nothing() {
    let broker = Held::start();
    let mut client = broker.connect();
    durable_queue(&mut client, "kept");
    confirming(&mut client, 2);
    client.publish_with(2, "", "kept", &persistent(), b"confirmed");
    client.expect_confirms(2, 1, 1);
    broker.server.gate().hold();
    client.publish_with(2, "", "kept", &persistent(), b"not confirmed");
    client.expect_nothing_before(2, 1);
    let mut committing = broker.connect();
    committing.call::<TxSelectOk>(1, tx::Select {});
    committing.publish_with(1, "", "kept", &persistent(), b"not committed");
    committing.send(1, tx::Commit {});
    client.wait_for_messages(1, "kept", 3);
    broker.server.gate().fail_next_sync();
    broker.server.gate().release();
    client.expect_closed();
    committing.expect_closed();
    let Held { server, directory } = broker;
    let error = server.stop().expect_err("it ended with an error");
    assert!(error.to_string().contains("syncing"), "{error}");
    // What was confirmed before is there.
    let again = start_on(&directory);
    let mut client = Client::connect(again.address());
    let found = client.drain(1, "kept");
    assert_eq!(found.first().map(String::as_str), Some("confirmed"), "{found:?}");
}

#[test]
fn a_failed_sync_answers_no_definition() {
    let broker = Held::start();
    let mut client = broker.connect();
    client.round_trip(1);
    broker.server.gate().fail_next_sync();
    client.send(1, declare("kept"));
    client.expect_closed();
    broker.server.stop().expect_err("it ended with an error");
}

#[test]
fn while_the_disk_is_busy_everybody_else_is_served() {
    let broker = Held::start();
    let mut publisher = broker.connect();
    durable_queue(&mut publisher, "kept");
    confirming(&mut publisher, 2);
    let beating = Options { heartbeat: 1, ..Options::default() };
    let mut beating = Client::connect_with(broker.server.address(), &beating);
    let mut consumer = broker.connect();
    consumer.prefetch(1, 1);
    consumer.consume(1, "kept");
    let mut bystander = broker.connect();
    let passing = bystander.queue(1);
    confirming(&mut bystander, 2);
    broker.server.gate().hold();
    let mut longest = Duration::ZERO;
    let rounds = 200;
    for number in 0..rounds {
        let begin = now();
        let body = vec![b'x'; 20_000];
        publisher.publish_with(2, "", "kept", &persistent(), &body);
        let delivery = consumer.expect_delivery(1);
        assert_eq!(delivery.message.body.len(), body.len());
        consumer.ack(1, delivery.tag);
        bystander.publish_with(2, "", &passing, &PropertyList::default(), b"passing");
        bystander.expect_confirms(2, number + 1, number + 1);
        longest = longest.max(begin.elapsed());
    }
    assert!(longest < ROUND_TRIP_MAX, "the longest round trip took {longest:?}");
    beating.expect_heartbeat();
    publisher.expect_nothing_before(2, 1);
    broker.server.gate().release();
    publisher.expect_confirms(2, 1, rounds);
}

/// A message that is there already was confirmed at once, also when the first one of its name was
/// not on disk yet: a power cut took both.
#[test]
fn a_repeated_message_is_confirmed_no_sooner_than_the_one_that_it_repeats() {
    let broker = Held::start();
    let mut client = broker.connect();
    let once = fields(&[("x-message-deduplication", Value::Bool(true))]);
    let declare = queue::Declare { arguments: once.table(), ..declare("once") };
    client.call::<DeclareOk>(1, declare);
    let size = fields(&[("x-cache-size", Value::I32(10))]);
    let declare = exchange::Declare {
        exchange: b"names",
        kind: b"x-message-deduplication",
        durable: true,
        arguments: size.table(),
        ..Default::default()
    };
    client.call::<ExchangeDeclareOk>(1, declare);
    durable_queue(&mut client, "kept");
    client.bind(1, "kept", "names", "");
    confirming(&mut client, 2);
    client.open(3);
    client.call::<TxSelectOk>(3, tx::Select {});
    let name = fields(&[("x-deduplication-header", word("the same"))]);
    let named = PropertyList { headers: Some(name.table()), ..persistent() };
    broker.server.gate().hold();
    for _ in 0..2 {
        client.publish_with(2, "", "once", &named, b"x");
        client.publish_with(2, "names", "", &named, b"x");
        client.expect_nothing_before(2, 1);
    }
    client.publish_with(3, "", "once", &named, b"x");
    client.send(3, tx::Commit {});
    let mut other = broker.connect();
    assert_eq!(other.inspect(1, "once").messages, 1);
    assert_eq!(other.inspect(1, "kept").messages, 1);
    client.expect_silence(2);
    client.expect_silence(3);
    broker.server.gate().release();
    client.expect_confirms(2, 1, 4);
    client.expect::<TxCommitOk>(3);
}

/// The longest turn while the helper is held for 100 ms. Others on the machine may make a turn
/// longer, but not each time; a turn that waits for the helper takes the 100 ms each time.
#[test]
fn no_turn_of_the_loop_takes_five_milliseconds_while_the_helper_is_held() {
    let broker = Held::start();
    let mut publisher = broker.connect();
    let mut consumer = broker.connect();
    durable_queue(&mut publisher, "kept");
    confirming(&mut publisher, 2);
    consumer.consume(1, "kept");
    let mut sequence = 0;
    let mut longest_turns = Vec::new();
    for _ in 0..20 {
        broker.server.gate().hold();
        broker.server.take_longest_turn();
        let (begin, first) = (now(), sequence + 1);
        let mut large = vec![7; 200_000];
        while begin.elapsed() < HELD_FOR {
            // The large one goes first, so that the disk has something to wait for.
            publisher.publish_with(2, "", "kept", &persistent(), &std::mem::take(&mut large));
            let delivery = consumer.expect_delivery(1);
            consumer.ack(1, delivery.tag);
            consumer.round_trip(1);
            sequence += 1;
        }
        longest_turns.push(broker.server.take_longest_turn());
        publisher.expect_nothing_before(2, 1);
        broker.server.gate().release();
        publisher.expect_confirms(2, first, sequence);
        if longest_turns.last() < Some(&TURN_MAX) {
            return;
        }
    }
    panic!("the longest turns took {longest_turns:?}");
}

#[test]
fn publishers_go_on_whatever_the_size_of_a_segment() {
    // Publishers were once held back until there was room for 2 MiB, which rings of small segments
    // never have.
    for segment_bytes in [64 << 10, 1 << 20] {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let server = Server::start(Config { segment_bytes, ..config(&directory) });
        let server = server.expect("the broker starts");
        let mut client = Client::connect(server.address());
        durable_queue(&mut client, "kept");
        confirming(&mut client, 2);
        let rounds = 100;
        for number in 1..=rounds {
            client.publish_with(2, "", "kept", &persistent(), &[7; 30_000]);
            client.expect_confirms(2, number, number);
        }
    }
}

#[test]
fn publishers_that_were_held_back_for_want_of_segments_go_on() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let server = Server::start(Config { segment_bytes: 256 << 10, ..config(&directory) });
    let server = server.expect("the broker starts");
    let mut client = Client::connect(server.address());
    durable_queue(&mut client, "kept");
    let mut publishers: Vec<_> = (0..3).map(|_| Client::connect(server.address())).collect();
    for publisher in &mut publishers {
        confirming(publisher, 2);
        // From here on it is known as a publisher.
        publisher.publish_with(2, "", "kept", &persistent(), b"first");
        publisher.expect_confirms(2, 1, 1);
    }
    server.gate().hold();
    let count = 60;
    for _ in 0..count {
        for publisher in &mut publishers {
            publisher.publish_with(2, "", "kept", &persistent(), &[7; 9_000]);
        }
    }
    for _ in 0..20 {
        client.round_trip(1);
    }
    for publisher in &mut publishers {
        publisher.expect_silence(2);
    }
    server.gate().release();
    for publisher in &mut publishers {
        publisher.expect_confirms(2, 2, count + 1);
    }
}

#[test]
fn publishers_of_transient_messages_that_were_held_back_go_on() {
    // The transient ring takes a segment that is free for the next one at once, without the
    // helper; publishers once waited for word from the helper that never came.
    let directory = TempDir::new().expect("a temporary directory can be made");
    let server = Server::start(Config { segment_bytes: 256 << 10, ..config(&directory) });
    let server = server.expect("the broker starts");
    let mut client = Client::connect(server.address());
    confirming(&mut client, 2);
    let (bursts, count) = (40, 20);
    for burst in 0..bursts {
        for _ in 0..count {
            client.publish_with(2, "", "nobody's", &PropertyList::default(), &[7; 70_000]);
        }
        client.expect_confirms(2, burst * count + 1, (burst + 1) * count);
    }
    let queue = client.queue(1);
    client.consume_no_ack(1, &queue);
    for burst in bursts..2 * bursts {
        for _ in 0..count {
            client.publish_with(2, "", &queue, &PropertyList::default(), &[7; 40_000]);
        }
        for _ in 0..count {
            client.expect_delivery(1);
        }
        client.expect_confirms(2, burst * count + 1, (burst + 1) * count);
    }
}
