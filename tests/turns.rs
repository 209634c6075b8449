//! Does anything that one client does make the others wait? Each case is work that multiplies; the
//! longest turn of the loop while it goes on is what a message of somebody else may have to wait.
//!
//! `LEVERET_TURNS=full` makes the cases as large as `scripts/bench --turns` shows them, which
//! prints the figures of an optimised build; otherwise they are a tenth of that.

mod common;

use std::time::Duration;

use common::*;
use leveret::amqp::encoder;

/// Generous: unoptimised code on a busy machine. The promise is 5 ms.
const LONGEST_TURN_MAX: Duration = Duration::from_millis(100);

/// How many of what a case takes very many of.
fn many(count: usize) -> usize {
    let is_full = std::env::var_os("LEVERET_TURNS").is_some_and(|how| how == "full");
    if is_full { count } else { count / 10 }
}

/// A broker, somebody who makes work, and how long its turns took.
struct Case {
    server: Server,
    client: Client,
}

impl Case {
    /// `None` for another broker, whose turns are not ours to measure.
    fn new() -> Option<Case> {
        let server = Server::start();
        server.take_longest_turn()?;
        let client = Client::connect(server.address());
        Some(Case { server, client })
    }

    /// From here on the turns count.
    fn begin(&mut self) {
        self.client.round_trip(1);
        self.server.take_longest_turn();
    }

    fn end(mut self, what: &str) {
        self.client.round_trip(1);
        self.look(what);
    }

    #[allow(clippy::print_stdout, reason = "`scripts/bench --turns` shows the figures")]
    fn look(&self, what: &str) {
        let longest = self.server.take_longest_turn().expect("it is ours");
        println!("longest turn {:>8.2} ms  {what}", longest.as_secs_f64() * 1e3);
        assert!(longest < LONGEST_TURN_MAX, "{what}: a turn took {longest:?}");
    }

    fn declare(&mut self, arguments: &[(&str, Value<'_>)]) -> String {
        let arguments = fields(arguments);
        self.client.queue_with(1, arguments.table())
    }

    /// A queue with so many messages, all of them delivered to one consumer and unacknowledged.
    fn with_unacked(count: usize) -> Option<(Case, String, Client)> {
        let mut case = Case::new()?;
        let queue = case.client.shared_queue(1);
        case.fill(&queue, count, 10);
        let mut consumer = Client::connect(case.server.address());
        consumer.consume(1, &queue);
        consumer.expect_bodies(1, count);
        Some((case, queue, consumer))
    }

    /// Publishes so many messages, and returns when the queue has them.
    fn fill(&mut self, queue: &str, count: usize, size: usize) {
        let body = vec![b'x'; size];
        self.client.open(9);
        self.client.confirm_select(9);
        let (mut left, mut confirmed) = (count, 0);
        while left > 0 {
            let part = left.min((4 << 20) / (size + 100)).min(20_000);
            self.client.send_bytes(&messages(9, "", queue, part, &body));
            left -= part;
            let sent = (count - left) as u64;
            self.client.expect_confirms(9, confirmed + 1, sent);
            confirmed = sent;
        }
        self.client.close_channel(9);
    }

    /// Waits until a queue that others fill or empty has so many messages.
    fn wait_for(&mut self, queue: &str, count: usize) {
        let count = u32::try_from(count).expect("few");
        let until = now() + Duration::from_secs(120);
        while self.client.inspect(1, queue).messages != count {
            assert!(now() < until, "'{queue}' never has {count} messages");
        }
    }
}

/// Publishes as they go over the wire.
fn messages(channel: u16, exchange: &str, key: &str, count: usize, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    };
    let mut out = Vec::new();
    for _ in 0..count {
        encode_publish(&mut out, channel, publish, &PropertyList::default(), body, 131_072);
    }
    out
}

#[test]
fn many_large_messages_are_rejected_to_a_dead_letter_exchange() {
    let Some(mut case) = Case::new() else { return };
    let dead = case.declare(&[]);
    let to = word(&dead);
    let queue =
        case.declare(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", to)]);
    let count = many(5000);
    case.fill(&queue, count, 60_000);
    case.client.open(2);
    case.client.consume(2, &queue);
    let last = case.client.expect_bodies(2, count).len() as u64;
    case.begin();
    let nack = basic::Nack { delivery_tag: last, multiple: true, requeue: false };
    case.client.send(2, nack);
    case.wait_for(&dead, count);
    case.end("reject 5,000 messages of 60 kB to a dead-letter exchange");
}

#[test]
fn small_messages_go_to_very_many_queues() {
    let Some(mut case) = Case::new() else { return };
    let exchange = case.client.exchange(1, "fanout");
    let queues: Vec<String> = (0..many(2000)).map(|_| case.client.queue(1)).collect();
    queues.iter().for_each(|queue| case.client.bind(1, queue, &exchange, ""));
    case.begin();
    let segment = messages(1, &exchange, "", 256 * 1024 / 60, b"");
    case.client.send_bytes(&segment);
    case.wait_for(queues.last().expect("there are some"), 256 * 1024 / 60);
    case.end("256 KB of empty publishes to a fanout of 2,000 queues");
}

/// Somebody else waited for 153 s.
#[test]
fn messages_drive_others_out_of_very_many_queues() {
    let Some(mut case) = Case::new() else { return };
    let exchange = case.client.exchange(1, "fanout");
    let limited = [("x-max-length", Value::I32(1))];
    let queues: Vec<String> = (0..many(10_000)).map(|_| case.declare(&limited)).collect();
    queues.iter().for_each(|queue| case.client.bind(1, queue, &exchange, ""));
    let mut publisher = Client::connect(case.server.address());
    publisher.confirm_select(1);
    case.begin();
    publisher.send_bytes(&messages(1, &exchange, "", many(500), b"body"));
    (0..100).for_each(|_| case.client.round_trip(1));
    publisher.expect_confirms(1, 1, many(500) as u64);
    case.end("500 publishes to 10,000 queues with x-max-length");
}

#[test]
fn a_message_is_compared_with_very_many_header_bindings() {
    let Some(mut case) = Case::new() else { return };
    let exchange = case.client.exchange(1, "headers");
    let queue = case.client.queue(1);
    for number in 0..many(100_000) {
        let arguments = fields(&[("number", Value::I64(number as i64)), ("kind", word("b"))]);
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            arguments: arguments.table(),
            nowait: true,
            ..Default::default()
        };
        case.client.send(1, bind);
    }
    let headers = fields(&[("number", Value::I64(-1)), ("kind", word("b"))]);
    case.begin();
    for _ in 0..100 {
        case.client.publish_headers(1, &exchange, "", &headers, "compared");
    }
    case.end("100 publishes to a headers exchange of 100,000 bindings");
}

/// Somebody else waited for 4.7 s.
#[test]
fn very_many_keys_go_through_very_many_exchanges() {
    let Some(mut case) = Case::new() else { return };
    let exchanges: Vec<String> =
        (0..many(3000)).map(|_| case.client.exchange(1, "direct")).collect();
    for pair in exchanges.windows(2) {
        let bind = exchange::Bind {
            destination: pair[1].as_bytes(),
            source: pair[0].as_bytes(),
            routing_key: b"key.0",
            ..Default::default()
        };
        case.client.call::<ExchangeBindOk>(1, bind);
    }
    let keys: Vec<String> = (0..4000).map(|n| format!("key.{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let keys = words(&keys);
    let headers = fields(&[("CC", Value::Array(keys.array()))]);
    case.begin();
    case.client.publish_headers(1, &exchanges[0], "key", &headers, "by many ways");
    case.end("a message of 4,000 keys through a chain of 3,000 exchanges");
}

#[test]
fn names_come_again_after_their_time() {
    let Some(mut case) = Case::new() else { return };
    let exchange = unique("once");
    let size = i64::try_from(many(100_000)).expect("few");
    let arguments = fields(&[("x-cache-size", Value::I64(size)), ("x-cache-ttl", Value::I64(1))]);
    case.client.call::<ExchangeDeclareOk>(
        1,
        exchange::Declare {
            exchange: exchange.as_bytes(),
            kind: b"x-message-deduplication",
            arguments: arguments.table(),
            ..Default::default()
        },
    );
    let mut segment = Vec::new();
    for number in 0..many(100_000) {
        let name = number.to_string();
        let headers = fields(&[("x-deduplication-header", word(&name))]);
        let list = PropertyList { headers: Some(headers.table()), ..Default::default() };
        let publish = basic::Publish { exchange: exchange.as_bytes(), ..Default::default() };
        encode_publish(&mut segment, 1, publish, &list, b"", 131_072);
    }
    case.client.send_bytes(&segment);
    case.begin();
    case.client.send_bytes(&segment);
    case.end("100,000 names come again at a deduplicating exchange");
}

#[test]
fn a_message_drives_very_many_out_of_their_queue() {
    let Some(mut case) = Case::new() else { return };
    let count = many(1_000_000);
    let limit = i64::try_from(count * 20).expect("not that many");
    let queue = case.declare(&[("x-max-length-bytes", Value::I64(limit))]);
    case.fill(&queue, count, 20);
    case.begin();
    let segment = messages(1, "", &queue, 1, &vec![b'x'; count * 20]);
    case.client.send_bytes(&segment);
    case.wait_for(&queue, 1);
    case.end("a publish of 20 MB drops 1,000,000 messages");
}

#[test]
fn a_delayed_exchange_goes_with_very_many_messages() {
    let Some(mut case) = Case::new() else { return };
    let exchange = unique("later");
    let arguments = fields(&[("x-delayed-type", word("fanout"))]);
    case.client.call::<ExchangeDeclareOk>(
        1,
        exchange::Declare {
            exchange: exchange.as_bytes(),
            kind: b"x-delayed-message",
            arguments: arguments.table(),
            ..Default::default()
        },
    );
    let headers = fields(&[("x-delay", Value::I64(3_600_000))]);
    let list = PropertyList { headers: Some(headers.table()), ..Default::default() };
    let publish = basic::Publish { exchange: exchange.as_bytes(), ..Default::default() };
    let mut segment = Vec::new();
    for _ in 0..10_000 {
        encode_publish(&mut segment, 1, publish, &list, b"", 131_072);
    }
    for _ in 0..many(1_000_000) / 10_000 {
        case.client.send_bytes(&segment);
        case.client.round_trip(1);
    }
    case.begin();
    case.client.delete_exchange(1, &exchange);
    // It is settled by and by.
    (0..200).for_each(|_| case.client.round_trip(1));
    case.end("delete a delayed exchange with 1,000,000 messages");
}

#[test]
fn very_many_messages_expire_in_one_instant() {
    let Some(mut case) = Case::new() else { return };
    let dead = case.declare(&[]);
    let to = word(&dead);
    let queue = case.declare(&[
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", to),
        ("x-message-ttl", Value::I64(3000)),
    ]);
    let count = many(1_000_000).min(400_000);
    case.fill(&queue, count, 10);
    case.begin();
    case.wait_for(&dead, count);
    case.end("400,000 messages expire, with a dead-letter exchange");
}

#[test]
fn very_many_messages_are_purged_and_deleted() {
    let Some(mut case) = Case::new() else { return };
    let count = many(1_000_000);
    let (purged, deleted) = (case.declare(&[]), case.declare(&[]));
    case.fill(&purged, count, 10);
    case.fill(&deleted, count, 10);
    case.begin();
    case.client.send(1, queue::Purge { queue: purged.as_bytes(), nowait: false });
    case.client.expect::<PurgeOk>(1);
    case.client.delete_queue(1, &deleted);
    (0..200).for_each(|_| case.client.round_trip(1));
    case.end("purge 1,000,000 messages and delete a queue with as many");
}

#[test]
fn a_message_goes_through_very_many_exchanges() {
    let Some(mut case) = Case::new() else { return };
    let count = many(3000);
    let names: Vec<String> = (0..count).map(|_| case.client.exchange(1, "direct")).collect();
    for pair in names.windows(2) {
        case.client.bind_exchange(1, &pair[1], &pair[0], "key");
    }
    let queue = case.client.queue(1);
    case.client.bind(1, &queue, &names[count - 1], "key");
    case.begin();
    let segment = messages(1, &names[0], "key", 1000, b"");
    case.client.send_bytes(&segment);
    case.wait_for(&queue, 1000);
    case.end("1,000 publishes through a chain of 3,000 exchanges");
}

#[test]
fn exclusive_queues_go_with_their_connection() {
    let Some(mut case) = Case::new() else { return };
    let mut owner = Client::connect(case.server.address());
    let exchange = case.client.exchange(1, "fanout");
    for _ in 0..many(1500) {
        let queue = owner.queue(1);
        owner.bind(1, &queue, &exchange, "");
    }
    let witness = case.client.queue(1);
    case.client.bind(1, &witness, &exchange, "");
    let count = many(10_000);
    case.client.send_bytes(&messages(1, &exchange, "", count, b""));
    case.wait_for(&witness, count);
    case.begin();
    owner.close();
    (0..200).for_each(|_| case.client.round_trip(1));
    case.end("close a connection with 1,500 exclusive queues of 10,000 messages of one fanout");
}

#[test]
fn very_many_unacked_messages_are_settled_and_given_back() {
    let count = many(1_000_000);
    let Some((mut case, queue, mut consumer)) = Case::with_unacked(count) else { return };
    case.begin();
    consumer.send(1, basic::Nack { delivery_tag: 0, multiple: true, requeue: true });
    consumer.expect_bodies(1, count);
    case.look("requeue 1,000,000 messages with one basic.nack");
    consumer.send(1, basic::Ack { delivery_tag: count as u64 + 10, multiple: true });
    consumer.round_trip(1);
    case.look("acknowledge some of them with one basic.ack");
    // A second consumer keeps the queue.
    case.client.prefetch(1, 1);
    case.client.consume(1, &queue);
    consumer.close();
    case.client.expect_delivery(1);
    case.end("close a connection with as many unacked");
}

/// Each took a search through all that came before it, and moved all that came behind it.
#[test]
fn very_many_unacked_messages_are_settled_in_any_order() {
    let count = many(1_000_000);
    let Some((mut case, _, mut consumer)) = Case::with_unacked(count) else { return };
    let mut tags: Vec<u64> = (1..=count as u64).collect();
    let mut random = Random::new(seed(1));
    for place in 0..count {
        tags.swap(place, random.within(place..count));
    }
    let mut acks = Vec::new();
    for delivery_tag in tags {
        encoder::method_frame(&mut acks, 1, &basic::Ack { delivery_tag, multiple: false });
    }
    case.begin();
    consumer.send_bytes(&acks);
    consumer.round_trip(1);
    case.look("acknowledge 1,000,000 messages one by one in random order");
    consumer.close();
}

/// Starts so many consumers of one queue on one channel.
fn consume_many(client: &mut Client, queue: &str, count: usize) {
    for n in 0..count {
        let tag = n.to_string();
        let (queue, consumer_tag) = (queue.as_bytes(), tag.as_bytes());
        let consume = basic::Consume { queue, consumer_tag, nowait: true, ..Default::default() };
        client.send(1, consume);
    }
    client.round_trip(1);
}

#[test]
fn very_many_consumers_of_one_queue_end() {
    let Some(mut case) = Case::new() else { return };
    let count = many(100_000);
    let queue = case.client.durable_queue(1);
    let mut owner = Client::connect(case.server.address());
    consume_many(&mut owner, &queue, count);
    case.begin();
    for n in 0..count / 10 {
        let tag = n.to_string();
        owner.send(1, basic::Cancel { consumer_tag: tag.as_bytes(), nowait: true });
    }
    owner.round_trip(1);
    case.look("cancel 10,000 of 100,000 consumers of one queue");
    owner.close();
    case.look("close their connection");
    let mut owner = Client::connect(case.server.address());
    consume_many(&mut owner, &queue, count);
    case.begin();
    case.client.delete_queue(1, &queue);
    case.end("delete a queue with 100,000 consumers on one channel");
}

#[test]
fn very_many_exclusive_queues_go_with_their_connection() {
    let Some(mut case) = Case::new() else { return };
    let mut owner = Client::connect(case.server.address());
    for _ in 0..many(100_000) {
        owner.send(1, queue::Declare { exclusive: true, nowait: true, ..Default::default() });
    }
    owner.round_trip(1);
    case.begin();
    owner.close();
    (0..200).for_each(|_| case.client.round_trip(1));
    case.end("close a connection with 100,000 exclusive queues");
}

#[test]
fn very_many_acks_are_committed_at_once() {
    let Some(mut case) = Case::new() else { return };
    let count = many(100_000);
    let queue = case.client.shared_queue(1);
    case.fill(&queue, count, 10);
    let mut consumer = Client::connect(case.server.address());
    consumer.call::<TxSelectOk>(1, tx::Select {});
    consumer.consume(1, &queue);
    consumer.expect_bodies(1, count);
    consumer.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    case.begin();
    consumer.call::<TxCommitOk>(1, tx::Commit {});
    case.end("commit 100,000 acks");
}

#[test]
fn very_many_acks_are_committed_in_any_order() {
    let count = many(500_000);
    let Some((mut case, queue, mut consumer)) = Case::with_unacked(count) else { return };
    consumer.call::<TxSelectOk>(1, tx::Select {});
    let mut tags: Vec<u64> = (1..=count as u64).collect();
    let mut random = Random::new(seed(1));
    for place in 0..count {
        tags.swap(place, random.within(place..count));
    }
    let mut acks = Vec::new();
    for (n, delivery_tag) in tags.into_iter().enumerate() {
        if n % 2 == 0 {
            encoder::method_frame(&mut acks, 1, &basic::Ack { delivery_tag, multiple: false });
        } else {
            let nack = basic::Nack { delivery_tag, multiple: false, requeue: true };
            encoder::method_frame(&mut acks, 1, &nack);
        }
    }
    consumer.send_bytes(&acks);
    consumer.round_trip(1);
    case.begin();
    consumer.send(1, tx::Commit {});
    // What is put back comes again.
    while !matches!(consumer.next(1).method(), Method::TxCommitOk(_)) {}
    assert_eq!(case.client.inspect(1, &queue).messages, 0);
    case.end("commit 500,000 acks and requeues in random order");
}

#[test]
fn very_many_publishes_are_committed_at_once() {
    let Some(mut case) = Case::new() else { return };
    let count = many(3_000_000);
    let (queue, other) = (case.client.durable_queue(1), case.client.durable_queue(1));
    let mut owner = Client::connect(case.server.address());
    owner.call::<TxSelectOk>(1, tx::Select {});
    for (queue, delivery_mode) in [(&queue, Some(2)), (&other, None)] {
        let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
        let properties = PropertyList { delivery_mode, ..Default::default() };
        let mut out = Vec::new();
        for _ in 0..count / 10 {
            encode_publish(&mut out, 1, publish, &properties, b"", 131_072);
        }
        (0..10).for_each(|_| owner.send_bytes(&out));
        owner.round_trip(1);
        case.begin();
        owner.call::<TxCommitOk>(1, tx::Commit {});
        assert_eq!(owner.inspect(1, queue).messages as usize, count);
        let how = if delivery_mode.is_some() { "persistent" } else { "transient" };
        case.look(&format!("commit 3,000,000 {how} messages"));
    }
}

#[test]
fn a_commit_goes_to_very_many_queues() {
    let Some(mut case) = Case::new() else { return };
    let exchange = case.client.exchange(1, "fanout");
    let queues: Vec<String> = (0..many(1000)).map(|_| case.client.durable_queue(1)).collect();
    queues.iter().for_each(|queue| case.client.bind(1, queue, &exchange, ""));
    let mut owner = Client::connect(case.server.address());
    owner.call::<TxSelectOk>(1, tx::Select {});
    owner.send_bytes(&messages(1, &exchange, "", many(1000), b""));
    owner.round_trip(1);
    case.begin();
    owner.call::<TxCommitOk>(1, tx::Commit {});
    case.end("commit 1,000 messages that go to 1,000 queues each");
}

/// Binds a queue to an exchange with so many keys.
fn bind_many(client: &mut Client, queue: &str, exchange: &str, count: usize) {
    for n in 0..count {
        let key = format!("key.{n}");
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            nowait: true,
            ..Default::default()
        };
        client.send(1, bind);
    }
    client.round_trip(1);
}

#[test]
fn very_many_bindings_go_with_their_queue_and_their_exchange() {
    let Some(mut case) = Case::new() else { return };
    let count = many(100_000);
    let exchange = unique("bound");
    case.client.durable_exchange_with(1, &exchange, "topic", Table::EMPTY);
    let mut other = Client::connect(case.server.address());
    let queue = case.client.durable_queue(1);
    bind_many(&mut other, &queue, &exchange, count);
    case.begin();
    other.delete_queue(1, &queue);
    case.look("delete a queue with 100,000 bindings");
    let queue = case.client.durable_queue(1);
    bind_many(&mut other, &queue, &exchange, count);
    case.begin();
    other.delete_exchange(1, &exchange);
    case.end("delete an exchange with 100,000 bindings");
}

/// Each goes with its last binding, which goes with the one behind it.
#[test]
fn a_chain_of_very_many_auto_delete_exchanges_goes_link_by_link() {
    let Some(mut case) = Case::new() else { return };
    let count = many(200_000);
    let name = |n: usize| format!("link-{n}");
    for n in 0..count {
        let (source, destination) = (name(n), name(n + 1));
        let declare = exchange::Declare {
            exchange: destination.as_bytes(),
            kind: b"fanout",
            auto_delete: n + 1 < count,
            nowait: true,
            ..Default::default()
        };
        case.client.send(1, declare);
        if n > 0 {
            let bind = exchange::Bind {
                source: source.as_bytes(),
                destination: destination.as_bytes(),
                nowait: true,
                ..Default::default()
            };
            case.client.send(1, bind);
        }
    }
    case.begin();
    case.client.delete_exchange(1, &name(count));
    let first = name(1);
    let exchange = first.as_bytes();
    let passive = exchange::Declare { exchange, passive: true, ..Default::default() };
    loop {
        case.client.send(1, passive);
        let event = case.client.next(1);
        if matches!(event.method(), Method::ChannelClose(_)) {
            break;
        }
    }
    case.client.send(1, channel::CloseOk {});
    case.client.open(1);
    case.end("delete the last of a chain of 200,000 auto-delete exchanges");
}
