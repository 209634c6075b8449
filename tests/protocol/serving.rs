//! Does a queue serve who waits, at once and in turn?

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::*;
use leveret::amqp::encoder;

fn consume_as(client: &mut Client, channel: u16, queue: &str, tag: &str, no_ack: bool) {
    let (queue, consumer_tag) = (queue.as_bytes(), tag.as_bytes());
    let consume = basic::Consume { queue, consumer_tag, no_ack, ..Default::default() };
    client.call::<ConsumeOk>(channel, consume);
}

fn share_prefetch(client: &mut Client, channel: u16, prefetch_count: u16) {
    client
        .call::<QosOk>(channel, basic::Qos { prefetch_count, global: true, ..Default::default() });
}

/// A consumer with credit waits; a publish and something that looks at the queue come together.
#[test]
fn nothing_overtakes_a_consumer_that_waits() {
    let server = Server::start();
    for no_ack in [true, false] {
        for what in ["get", "purge", "delete", "delete if empty", "cancel", "declare"] {
            let mut client = Client::connect(server.address());
            let queue = client.queue(1);
            consume_as(&mut client, 1, &queue, "mine", no_ack);
            let both = Burst::default().message(&queue, b"body");
            let name = queue.as_bytes();
            let both = match what {
                "get" => both.method(basic::Get { queue: name, no_ack: true }),
                "purge" => both.method(queue::Purge { queue: name, nowait: false }),
                "delete" => both.method(queue::Delete { queue: name, ..Default::default() }),
                "delete if empty" => {
                    both.method(queue::Delete { queue: name, if_empty: true, ..Default::default() })
                }
                "cancel" => both.method(basic::Cancel { consumer_tag: b"mine", nowait: false }),
                _ => both.method(passive(&queue)),
            };
            client.send_bytes(&both.0);
            let case = format!("{what}, no_ack {no_ack}");
            assert_eq!(client.expect_delivery(1).message.body(), "body", "{case}");
            match what {
                "get" => drop(client.expect::<GetEmpty>(1)),
                "purge" => assert_eq!(client.expect::<PurgeOk>(1).messages, 0, "{case}"),
                "cancel" => drop(client.expect::<CancelOk>(1)),
                "declare" => assert_eq!(client.expect::<DeclareOk>(1).messages, 0, "{case}"),
                _ => assert_eq!(client.expect::<DeleteOk>(1).messages, 0, "{case}"),
            }
        }
    }
}

#[test]
fn nothing_overtakes_a_consumer_on_another_connection() {
    let server = Server::start();
    for no_ack in [true, false] {
        let mut consumer = Client::connect(server.address());
        let queue = consumer.shared_queue(1);
        consume_as(&mut consumer, 1, &queue, "theirs", no_ack);
        let mut other = Client::connect(server.address());
        let get = basic::Get { queue: queue.as_bytes(), no_ack: true };
        other.send_bytes(&Burst::default().message(&queue, b"body").method(get).0);
        other.expect::<GetEmpty>(1);
        assert_eq!(consumer.expect_delivery(1).message.body(), "body", "no_ack {no_ack}");
        other.delete_queue(1, &queue);
    }
}

#[test]
fn credit_that_comes_back_is_used_before_a_get_that_follows() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b"]);
    client.prefetch(1, 1);
    client.consume(1, &queue);
    let first = client.expect_delivery(1);
    let ack = basic::Ack { delivery_tag: first.tag, multiple: false };
    let get = basic::Get { queue: queue.as_bytes(), no_ack: true };
    client.send_bytes(&Burst::default().method(ack).method(get).0);
    assert_eq!(client.expect_delivery(1).message.body(), "b");
    client.expect::<GetEmpty>(1);
}

/// The deliveries of one round, each acked at once: how many by consumer.
fn take_and_ack(client: &mut Client, count: usize) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for _ in 0..count {
        let delivery = client.expect_delivery(1);
        *taken.entry(delivery.consumer.clone()).or_default() += 1;
        client.ack(1, delivery.tag);
    }
    taken
}

#[test]
fn queues_of_a_channel_take_turns_with_its_shared_prefetch() {
    let server = Server::start();
    for prefetch in [1, 4, 10] {
        let mut client = Client::connect(server.address());
        share_prefetch(&mut client, 1, prefetch);
        let queues: Vec<String> = (0..3).map(|_| client.queue(1)).collect();
        let bodies = vec!["body"; 300];
        queues.iter().for_each(|queue| client.store(2, queue, &bodies));
        queues.iter().for_each(|queue| {
            client.send(
                1,
                basic::Consume {
                    queue: queue.as_bytes(),
                    consumer_tag: queue.as_bytes(),
                    nowait: true,
                    ..Default::default()
                },
            )
        });
        let taken = take_and_ack(&mut client, 300);
        let least = taken.values().min().copied().unwrap_or(0);
        assert!(taken.len() == 3 && least >= 60, "prefetch {prefetch}: {taken:?}");
    }
}

#[test]
fn consumers_of_a_queue_take_turns_with_their_shared_prefetch() {
    let (_server, mut client) = Server::with_client();
    share_prefetch(&mut client, 1, 1);
    let queue = client.queue(1);
    consume_as(&mut client, 1, &queue, "one", false);
    consume_as(&mut client, 1, &queue, "two", false);
    client.store(2, &queue, &vec!["body"; 100]);
    let taken = take_and_ack(&mut client, 100);
    assert_eq!(taken, BTreeMap::from([("one".into(), 50), ("two".into(), 50)]));
}

#[test]
fn a_used_up_shared_prefetch_stops_consumers_without_acks_too() {
    let (_server, mut client) = Server::with_client();
    share_prefetch(&mut client, 1, 1);
    let (acked, free) = (client.queue(1), client.queue(1));
    consume_as(&mut client, 1, &acked, "acked", false);
    client.store(2, &acked, &["a"]);
    let first = client.expect_delivery(1);
    consume_as(&mut client, 1, &free, "free", true);
    client.store(2, &free, &["b"]);
    client.open(2);
    client.expect_nothing_before(1, 2);
    client.ack(1, first.tag);
    let second = client.expect_delivery(1);
    assert_eq!((second.consumer.as_str(), second.message.body().as_str()), ("free", "b"));
}

/// py-amqp (kombu, Celery) asks for the limit of a channel with global false where the broker is
/// not called RabbitMQ; here it is told so, and asks as it means.
#[test]
fn every_client_gets_rabbitmqs_meaning_of_qos() {
    let server = Server::start();
    let mut properties = Options::default().properties;
    properties.set(b"product", Value::LongString(b"py-amqp"));
    let options = Options { properties, ..Options::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    client.prefetch(1, 1);
    let queues = [client.queue(1), client.queue(1)];
    for queue in &queues {
        client.store(2, queue, &["a", "b"]);
        let queue = queue.as_bytes();
        client.send(1, basic::Consume { queue, nowait: true, ..Default::default() });
    }
    client.expect_bodies(1, 2);
    client.open(2);
    client.expect_nothing_before(1, 2);
}

/// Bytes of a message of which a few fill an outbox.
const LARGE: usize = 4000;

/// Fills a queue with so many messages of that size.
fn fill(client: &mut Client, queue: &str, count: u32) {
    let body = vec![b'x'; LARGE];
    for _ in 0..count / 100 {
        let hundred = (0..100).fold(Burst::default(), |all, _| all.message(queue, &body));
        client.send_bytes(&hundred.0);
    }
    client.wait_for_messages(1, queue, count);
}

#[test]
fn consumers_of_a_slow_connection_share_its_outbox() {
    let server = Server::start();
    for channels in [1, 3] {
        let mut filler = Client::connect(server.address());
        let queues: Vec<String> = (0..3).map(|_| filler.shared_queue(1)).collect();
        queues.iter().for_each(|queue| fill(&mut filler, queue, 3000));
        let mut slow = Client::connect(server.address());
        (2..=channels).for_each(|number| slow.open(number));
        for (index, queue) in (0u16..).zip(&queues) {
            slow.send(
                1 + index % channels,
                basic::Consume {
                    queue: queue.as_bytes(),
                    consumer_tag: queue.as_bytes(),
                    no_ack: true,
                    nowait: true,
                    ..Default::default()
                },
            );
        }
        let numbers: Vec<u16> = (1..=channels).collect();
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..3000 {
            let delivery: Delivery = slow.next_of(&numbers).expect();
            *taken.entry(delivery.consumer).or_default() += 1;
        }
        let least = taken.values().min().copied().unwrap_or(0);
        assert!(taken.len() == 3 && least >= 300, "{channels} channels: {taken:?}");
        drop(slow);
        for queue in &queues {
            filler.delete_queue(1, queue);
        }
    }
}

/// It has a backlog to receive, and writes a lot before it reads again: what it publishes is
/// input, not output.
#[test]
fn who_does_not_read_deliveries_may_publish_all_the_same() {
    let (server, mut other) = Server::with_client();
    let (backlog, target) = (other.shared_queue(1), other.shared_queue(1));
    fill(&mut other, &backlog, 5000);
    let mut client = Client::connect(server.address());
    consume_as(&mut client, 1, &backlog, "mine", true);
    let body = vec![b'y'; LARGE];
    for _ in 0..50 {
        let hundred = (0..100).fold(Burst::default(), |all, _| all.message(&target, &body));
        client.send_bytes(&hundred.0);
    }
    other.wait_for_messages(1, &target, 5000);
    assert_eq!(client.expect_bodies(1, 5000).len(), 5000);
}

/// Far more than its outbox and the sockets hold is on its way.
#[test]
fn what_a_client_that_is_behind_settles_is_read() {
    let (server, mut other) = Server::with_client();
    let dead = other.shared_queue(1);
    let arguments =
        fields(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word(&dead))]);
    let declare =
        queue::Declare { auto_delete: true, arguments: arguments.table(), ..Default::default() };
    let backlog = other.call::<DeclareOk>(1, declare).queue;
    fill(&mut other, &backlog, 5000);
    other.consume(1, &backlog);
    let first = other.expect_delivery(1);
    // Until nothing more goes.
    let mut watcher = Client::connect(server.address());
    let (mut left, mut same) = (5000, 0);
    while same < 200 {
        let now = watcher.inspect(1, &backlog).messages;
        same = if now == left { same + 1 } else { 0 };
        left = now;
    }
    assert!(left > 0, "there is more than its outbox takes");
    other.reject(1, first.tag, false);
    watcher.wait_for_messages(1, &dead, 1);
}

/// It closes its connection while megabytes are on their way, and reads on only later.
#[test]
fn a_closed_connection_stays_until_its_client_has_read_all() {
    let (server, mut other) = Server::with_client();
    let queue = other.shared_queue(1);
    fill(&mut other, &queue, 1000);
    let mut client = Client::connect(server.address());
    consume_as(&mut client, 1, &queue, "mine", true);
    other.wait_for_messages(1, &queue, 0);
    client.send_close();
    // Its peer takes its time: longer than a lingering of two seconds would last.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(client.expect_bodies(1, 1000).len(), 1000);
    client.expect::<ConnectionCloseOk>(0);
}

#[test]
fn a_delete_is_answered_before_its_channel_learns_of_its_consumers_ends() {
    let server = Server::start();
    for durable in [true, false] {
        let mut client = Client::connect(server.address());
        let queue = if durable { client.durable_queue(1) } else { client.queue(1) };
        consume_as(&mut client, 1, &queue, "mine", false);
        client.send(1, queue::Delete { queue: queue.as_bytes(), ..Default::default() });
        client.expect::<DeleteOk>(1);
        assert_eq!(client.expect::<Cancel>(1).tag, "mine", "durable {durable}");
    }
}

/// A publish that goes nowhere is due at once.
#[test]
fn a_confirm_that_is_due_leaves_before_its_channel_closes() {
    let server = Server::start();
    let publish = || Burst::default().message("nowhere", b"body");
    let close = channel::Close { reply_code: 200, ..Default::default() };

    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    client.send_bytes(&publish().method(close).0);
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.expect::<ChannelCloseOk>(1);

    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    let wrong = basic::Ack { delivery_tag: 5, multiple: false };
    client.send_bytes(&publish().method(wrong).0);
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - unknown delivery tag 5");

    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    let mut both = publish().0;
    let close = connection::Close { reply_code: 200, ..Default::default() };
    encoder::method_frame(&mut both, 0, &close);
    client.send_bytes(&both);
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    client.expect::<ConnectionCloseOk>(0);
}
