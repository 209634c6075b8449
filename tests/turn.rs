//! Does the order of the steps of a turn keep its promises? Of each pair whose exchange would break
//! one, a test that sees it. (That nothing is confirmed before it is written and synced, and that
//! late channels get nothing more, the simulation sees.)

#[path = "common/memory.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod memory;

use std::time::Duration;

use leveret::amqp::method::{basic, queue};
use leveret::amqp::{Method, TableBuf, Value, encoder};
use leveret::node::Unwatched;
use memory::{Memory, publish};

/// A durable queue with an argument, and a consumer that waits for its messages with so much
/// credit; the publisher's number.
fn waiting_consumer(memory: &mut Memory, argument: &[u8], value: i64, credit: u16) -> usize {
    let (publisher, consumer) = (memory.connect(), memory.connect());
    let mut arguments = TableBuf::new();
    arguments.put(argument, Value::I64(value));
    let declare = queue::Declare {
        queue: b"q",
        durable: true,
        arguments: arguments.table(),
        ..Default::default()
    };
    memory.call(consumer, 1, Method::QueueDeclare(declare));
    memory.consume(consumer, "q", Some(credit));
    publisher
}

fn publish_five(memory: &mut Memory, publisher: usize) -> usize {
    let mut input = Vec::new();
    (0..5).for_each(|_| publish(&mut input, "", "q", true, b"body"));
    memory.send(publisher, &input);
    memory.turn()
}

#[test]
fn deliveries_come_before_lengths_a_consumer_gets_what_the_queue_has_no_place_for() {
    let mut memory = Memory::new();
    let publisher = waiting_consumer(&mut memory, b"x-max-length", 1, 10);
    assert_eq!(publish_five(&mut memory, publisher), 5);
}

#[test]
fn deliveries_come_before_expiry_a_consumer_gets_what_expires_at_once() {
    let mut memory = Memory::new();
    let publisher = waiting_consumer(&mut memory, b"x-message-ttl", 0, 3);
    assert_eq!(publish_five(&mut memory, publisher), 3);
    let broker = &memory.node.broker;
    let vhost = broker.topology().vhost_named(b"/").expect("it was made");
    let queue = broker.topology().queue_named(vhost, b"q").and_then(|key| broker.queues().get(key));
    assert_eq!(queue.map(|queue| queue.ready.len()), Some(0), "the other two are gone");
}

/// A sync covers what was written before it: with the other order, the confirm of a lone publisher
/// would wait for the sync of a turn that nothing brings about.
#[test]
fn what_gathered_is_written_before_the_sync_begins() {
    let mut memory = Memory::new();
    let publisher = waiting_consumer(&mut memory, b"x-max-length", 10, 10);
    memory.confirm(publisher);
    publish_five(&mut memory, publisher);
    assert!(memory.node.broker.store.is_syncing(), "the turn began its sync");
    memory.turn();
    assert!(!memory.is_confirming(publisher), "and the next one confirms");
}

/// Who asks for a commit or a definition gets the answer in the turn in which it became durable.
#[test]
fn the_helpers_answers_are_taken_before_anything_is_released() {
    let mut memory = Memory::new();
    let publisher = waiting_consumer(&mut memory, b"x-max-length", 10, 10);
    memory.confirm(publisher);
    publish_five(&mut memory, publisher);
    let durable = memory.node.broker.store.durable();
    memory.turn();
    assert!(memory.node.broker.store.durable() > durable);
    assert!(!memory.is_confirming(publisher));
}

/// A machine that slept closed the connections of all clients that had said nothing meanwhile, and
/// of those that had and were not read yet.
#[test]
fn a_client_is_not_called_silent_by_who_did_not_listen() {
    let mut memory = Memory::new();
    let client = memory.connect_beating(10);
    memory.wait(Duration::from_secs(3600));
    assert_eq!(memory.node.take_gone(), []);
    // From then on it counts.
    (0..24).for_each(|_| memory.wait(Duration::from_secs(1)));
    assert_eq!(memory.node.take_gone(), []);
    (0..2).for_each(|_| memory.wait(Duration::from_secs(1)));
    assert_eq!(memory.node.take_gone(), [memory.key(client)]);
}

/// Answers that nobody reads count: its input waits when there are too many, and goes on when it
/// has read some.
#[test]
fn who_does_not_read_its_answers_is_not_read_itself() {
    const GETS: usize = 20_000;
    const OUTBOX_BYTES_MAX: usize = 5 << 20;
    let mut memory = Memory::new();
    let client = memory.connect();
    memory.declare(client, "q", false);
    let mut gets = Vec::new();
    for number in 0..GETS {
        let mut input = Vec::new();
        publish(&mut input, "", "q", false, &[7; 1000]);
        memory.send(client, &input);
        if number % 1000 == 0 {
            memory.turn();
        }
        let get = basic::Get { queue: b"q", no_ack: true };
        encoder::method_frame(&mut gets, 1, &get);
    }
    let key = memory.key(client);
    let (mut taken, mut held_up) = (0, 0);
    while taken < gets.len() {
        assert!(memory.node.may_read(key));
        let part = memory.node.receive(key, &gets[taken..], &mut Unwatched);
        let waiting = memory.node.output(key).map_or(0, |outbox| outbox.len());
        assert!(part > 0 && waiting < OUTBOX_BYTES_MAX, "{waiting} bytes wait");
        taken += part;
        held_up += usize::from(!memory.node.may_read(key));
        memory.turn();
    }
    assert!(held_up > 2, "{held_up} times");
}
