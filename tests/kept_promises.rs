//! Is what was confirmed still there, whatever lay in the files before, whatever bytes clients
//! send, however the broker ends and whatever size its segments have then? And nothing else?

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use tempfile::TempDir;

const ENDS: [End; 2] = [End::Term, End::Kill];
/// An ack is on disk within a second; the rest is for a machine that is busy.
const ACKS_WITHIN: Duration = Duration::from_secs(4);
const SEGMENT_BYTES: u32 = 1 << 20;

/// What the bytes of a body are.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    Random,
    All(u8),
}

const BYTES: [Bytes; 3] = [Bytes::Random, Bytes::All(0xff), Bytes::All(0)];

/// The body of this number and length: its number in digits, a stop, then bytes of this kind.
fn body(number: usize, length: usize, bytes: Bytes) -> Vec<u8> {
    let mut body = vec![0; length];
    match bytes {
        Bytes::Random => Random::new(number as u64).fill(&mut body),
        Bytes::All(byte) => body.fill(byte),
    }
    let mut numbered = format!("{number}.").into_bytes();
    numbered.extend(body.into_iter().skip(numbered.len()));
    numbered
}

/// Fails with what the first difference is, not with megabytes of bodies.
fn assert_bodies(found: &[Delivery], expected: impl IntoIterator<Item = Vec<u8>>, when: &str) {
    let start = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(16)]).into_owned();
    let mut found = found.iter().map(|delivery| &delivery.message.body);
    for (index, expected) in expected.into_iter().enumerate() {
        let wanted = start(&expected);
        let Some(body) = found.next() else {
            panic!("{when}: there are {index} messages, and then {wanted:?} is missing");
        };
        assert!(*body == expected, "{when}: message {index} is {:?}, not {wanted:?}", start(body));
    }
    let more = found.len();
    if let Some(body) = found.next() {
        panic!("{when}: {more} messages more than there should be, the first is {:?}", start(body));
    }
}

/// A segment kept a byte for each message at its end, which said whether it was settled. When the
/// file was used again for smaller, thus more, messages, those bytes fell on what had been bodies:
/// 0xFF was read as settled, at an orderly start, too, and any other as a number of deliveries.
#[test]
fn small_messages_in_files_that_held_large_ones_are_there_after_a_restart() {
    for (bytes, end) in BYTES.into_iter().flat_map(|bytes| ENDS.map(|end| (bytes, end))) {
        let Some(mut node) = Node::start_with(SEGMENT_BYTES) else { return };
        let mut client = node.connect();
        let (large, small) = (client.durable_queue(1), client.durable_queue(1));
        // They fill their segments to the end.
        let large_body = |number: usize| body(number, [30_000, 10_000, 5000][number % 3], bytes);
        client.confirm_all(2, &large, (0..500).map(large_body));
        assert_eq!(client.empty(2, &large), 500);
        let bodies = || (0..60_000).map(|number| body(number, 10, Bytes::All(b'.')));
        client.confirm_all(2, &small, bodies());
        node.restart(end, client);
        let mut client = node.connect();
        let when = format!("{bytes:?}, {end:?}");
        let found = client.look_at_all(2, &small);
        assert_bodies(&found, bodies(), &when);
        // After a kill nobody knows who had them; before they were looked at nobody had.
        let marked = found.iter().filter(|delivery| delivery.redelivered).count();
        let expected = if matches!(end, End::Kill) { found.len() } else { 0 };
        assert_eq!(marked, expected, "{when}: marked as redelivered");
        assert_eq!(client.inspect(1, &large).messages, 0, "{when}");
    }
}

/// A queue and what must be in it.
struct Modelled {
    name: String,
    waiting: VecDeque<(usize, usize, Bytes)>,
    next: usize,
}

impl Modelled {
    fn new(client: &mut Client) -> Modelled {
        Modelled { name: client.durable_queue(1), waiting: VecDeque::new(), next: 0 }
    }

    /// Publishes about so many bytes in bodies of these lengths.
    fn publish(&mut self, client: &mut Client, random: &mut Random, lengths: &[usize]) {
        let bytes = *random.pick(&BYTES);
        let (mut published, mut new) = (0, Vec::new());
        while published < 1_500_000 && new.len() < 4000 {
            let length = *random.pick(lengths) + random.within(0..10);
            new.push((self.next, length, bytes));
            self.next += 1;
            published += length + 100;
        }
        let bodies = new.iter().map(|&(number, length, bytes)| body(number, length, bytes));
        client.confirm_all(2, &self.name, bodies);
        self.waiting.extend(new);
    }

    /// Publishes so many small ones.
    fn publish_small(&mut self, client: &mut Client, count: usize) {
        let new = (self.next..self.next + count).map(|number| (number, 10, Bytes::All(b'.')));
        self.next += count;
        let bodies = new.clone().map(|(number, length, bytes)| body(number, length, bytes));
        client.confirm_all(2, &self.name, bodies);
        self.waiting.extend(new);
    }

    /// Settles the first of them, most of the time most of them.
    fn settle_some(&mut self, client: &mut Client, random: &mut Random) {
        let left = match random.within(0..4) {
            0 => random.within(0..self.waiting.len() + 1),
            1 => 0,
            _ => random.within(0..50),
        };
        self.settle_but(client, left);
    }

    /// Settles the first of them, so that so many are left.
    fn settle_but(&mut self, client: &mut Client, left: usize) {
        let count = u16::try_from(self.waiting.len().saturating_sub(left)).unwrap_or(u16::MAX);
        let settled = client.settle_first(2, &self.name, count);
        let expected = self.waiting.drain(..usize::from(count));
        assert_bodies(&settled, expected.map(|(n, length, bytes)| body(n, length, bytes)), "taken");
    }

    fn check(&self, client: &mut Client, when: &str) {
        let expected = self.waiting.iter().map(|&(n, length, bytes)| body(n, length, bytes));
        assert_bodies(&client.look_at_all(2, &self.name), expected, when);
    }
}

/// The same bytes, where nobody looked for them: as long as all messages of a test had one size,
/// the state of a file's new life lay where that of its old one had been, and nothing was missing.
#[test]
fn messages_of_sizes_that_change_over_time_are_there_after_each_restart() {
    const SIZES: [&[usize]; 4] = [&[30_000, 60_000, 200_000], &[10], &[10, 500, 30_000], &[2000]];
    let Some(mut node) = Node::start_with(SEGMENT_BYTES) else { return };
    let mut client = node.connect();
    let mut random = Random::new(seed(1));
    let mut queues = [Modelled::new(&mut client), Modelled::new(&mut client)];
    for round in 0..10 {
        for lengths in [*random.pick(&SIZES), SIZES[0], SIZES[round % 4], SIZES[1]] {
            let queue = &mut queues[random.within(0..2)];
            queue.publish(&mut client, &mut random, lengths);
            queue.settle_some(&mut client, &mut random);
        }
        let end = *random.pick(&ENDS);
        node.restart(end, client);
        client = node.connect();
        for queue in &queues {
            queue.check(&mut client, &format!("round {round}, {end:?}"));
        }
    }
}

/// The segments of a broker that runs, as they are now, by name.
fn read_segments(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    // One may be gone by now.
    let read = |name: String| fs::read(directory.join(&name)).ok().map(|bytes| (name, bytes));
    let read = segments(directory).into_iter().filter_map(read);
    // Another may not be finished.
    read.filter(|(_, bytes)| bytes.len() >= SEGMENT_BYTES as usize).collect()
}

/// Bodies that are pieces of these segments, from every place of eight bytes, long ones and short
/// ones over and over.
fn pieces(segments: &BTreeMap<String, Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
    let segments: Vec<_> = segments.values().collect();
    assert!(!segments.is_empty(), "a log consists of segments");
    let cut = |number: usize| {
        let segment = random.pick(&segments);
        let length = if number == 0 { 300_000 } else { *random.pick(&[100, 1000, 5000, 20_000]) };
        let last = segment.len() - length;
        // The beginnings and the ends have a look of their own.
        let within = random.within(0..last);
        let from = *random.pick(&[0, within, last - 8]) / 8 * 8 + number % 8;
        let piece = &segment[from..from + length];
        let times = if random.chance(50) { 1 } else { 20_000 / length };
        piece.repeat(times)
    };
    (0..200).map(cut).collect()
}

/// What lay in a segment that was used again was taken for records and for the state of messages
/// when it looked like them, and clients can publish what looks like them: copies of the log.
#[test]
fn bodies_that_hold_pieces_of_the_log_forge_nothing_and_hide_nothing() {
    let Some(mut node) = Node::start_with(SEGMENT_BYTES) else { return };
    let mut client = node.connect();
    let mut random = Random::new(seed(2));
    let attacker = client.durable_queue(1);
    let mut victim = Modelled::new(&mut client);
    for round in 0..10 {
        for _ in 0..2 {
            victim.publish_small(&mut client, random.within(1..1000));
            let pieces = pieces(&read_segments(&node.path()), &mut random);
            client.confirm_all(2, &attacker, pieces);
            client.empty(2, &attacker);
        }
        victim.publish_small(&mut client, *random.pick(&[5, 20_000, 30_000]));
        node.restart(End::Kill, client);
        client = node.connect();
        victim.check(&mut client, &format!("round {round}"));
        assert_eq!(client.inspect(1, &attacker).messages, 0, "round {round}");
        victim.settle_but(&mut client, random.within(0..50));
    }
}

/// A client publishes large bodies and takes them, and then a victim publishes, whose messages
/// come to lie where the bodies were. One at a time, so that it goes the same way each time.
struct Attack {
    node: Node,
    client: Client,
}

impl Attack {
    const BODIES: usize = 120;
    const BODY_BYTES: usize = 60_000;
    const VICTIMS: usize = 600;

    fn begin(bodies: &[Vec<u8>]) -> Option<Attack> {
        let node = Node::start_with(SEGMENT_BYTES)?;
        let mut client = node.connect();
        for name in [&b"attacker"[..], b"victim"] {
            let declare = queue::Declare { queue: name, durable: true, ..Default::default() };
            client.call::<DeclareOk>(1, declare);
        }
        client.open(2);
        client.confirm_select(2);
        for body in bodies {
            client.publish_with(2, "", "attacker", &persistent(), body);
            client.expect::<Ack>(2);
        }
        assert_eq!(client.drain(1, "attacker").len(), bodies.len());
        Some(Attack { node, client })
    }

    fn publish(&mut self, victims: usize) {
        for number in 0..victims {
            let body = Attack::body("victim", number, 10_000);
            self.client.publish_with(2, "", "victim", &persistent(), &body);
            self.client.expect::<Ack>(2);
        }
    }

    /// Whose it is and its number, then the same byte on and on.
    fn body(whose: &str, number: usize, length: usize) -> Vec<u8> {
        let mut body = format!("<{whose} {number:05}>").into_bytes();
        body.resize(length, b'.');
        body
    }

    /// The numbers of somebody's bodies that begin in these bytes, and where.
    fn find(whose: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
        let start = format!("<{whose} ");
        let starts = bytes.windows(start.len()).enumerate();
        let starts = starts.filter(|(_, window)| *window == start.as_bytes());
        let number = |at: usize| str::from_utf8(bytes.get(at..at + 5)?).ok()?.parse().ok();
        starts.filter_map(|(at, _)| Some((number(at + start.len())?, at))).collect()
    }

    /// Bodies that hold what came to lie in their places later, and the numbers of the victim's
    /// messages that lie in them whole.
    fn rehearse() -> Option<(Vec<Vec<u8>>, Vec<usize>)> {
        let body = |number: usize| Attack::body("attacker", number, Attack::BODY_BYTES);
        let mut bodies: Vec<_> = (0..Attack::BODIES).map(body).collect();
        let mut rehearsal = Attack::begin(&bodies)?;
        let before = read_segments(&rehearsal.node.path());
        rehearsal.publish(Attack::VICTIMS);
        let after = read_segments(&rehearsal.node.path());
        let mut covered = Vec::new();
        for (name, segment) in &before {
            for (number, at) in Attack::find("attacker", segment) {
                let Some(after) = after.get(name) else { continue };
                bodies[number] = after[at..at + Attack::BODY_BYTES].to_vec();
                let victims = Attack::find("victim", &bodies[number]).into_iter();
                let is_whole = |at: &usize| (200..Attack::BODY_BYTES - 10_200).contains(at);
                covered.extend(victims.filter(|(_, at)| is_whole(at)).map(|(victim, _)| victim));
            }
        }
        Some((bodies, covered))
    }
}

/// A broker that did the same wrote the same, numbers and checksums included, so that a client
/// could learn what the next records of another one would be, and publish them in bodies: where
/// the log ended over such a body, a start after a kill took them for records.
#[test]
fn records_that_were_rehearsed_count_for_nothing_where_the_log_ends() {
    let Some((bodies, covered)) = Attack::rehearse() else { return };
    for part in 0..2 {
        // A log that is different each time covers nothing in the same place.
        let victims = covered.get(covered.len() * part / 2).copied().unwrap_or(100 * (1 + part));
        let mut attack = Attack::begin(&bodies).expect("it was rehearsed");
        attack.publish(victims);
        let Attack { mut node, client } = attack;
        node.restart(End::Kill, client);
        let mut client = node.connect();
        let expected = (0..victims).map(|number| Attack::body("victim", number, 10_000));
        assert_bodies(&client.look_at_all(2, "victim"), expected, &format!("after {victims}"));
        assert_eq!(client.inspect(1, "attacker").messages, 0);
    }
}

/// Starts with segments of several sizes, stores something each time, and looks whether it is
/// there after a stop and after a kill.
fn change_sizes(stored: &[Vec<u8>], store: fn(&mut Client, &str, &[Vec<u8>])) {
    let Some(mut node) = Node::start_with(1 << 20) else { return };
    let mut client = node.connect();
    let queue = client.durable_queue(1);
    for (megabytes, end) in [(16, End::Term), (1, End::Kill), (4, End::Term), (16, End::Kill)] {
        node.resize_segments(megabytes << 20);
        node.restart(end, client);
        client = node.connect();
        store(&mut client, &queue, stored);
        for again in ENDS {
            node.restart(again, client);
            client = node.connect();
            let when = format!("{megabytes} MiB, {end:?}, {again:?}");
            assert_bodies(&client.look_at_all(2, &queue), stored.iter().cloned(), &when);
        }
        assert_eq!(client.empty(2, &queue) as usize, stored.len());
        client.round_trip(1);
    }
}

/// Spare segments of the size that was configured before were written as if they had the new one:
/// a transaction that was committed after such a start was gone after the next one.
#[test]
fn committed_transactions_are_there_after_starts_with_segments_of_other_sizes() {
    // Small enough to lie in the record of their transaction, and too large for that.
    let length = |number: usize| if number < 60 { 50_000 } else { 100_000 };
    let bodies = (0..120).map(|number| body(number, length(number), Bytes::Random));
    change_sizes(&bodies.collect::<Vec<_>>(), |client, queue, bodies| {
        client.open(4);
        client.call::<TxSelectOk>(4, tx::Select {});
        for transaction in bodies.chunks(60) {
            for body in transaction {
                client.publish_with(4, "", queue, &persistent(), body);
            }
            client.call::<TxCommitOk>(4, tx::Commit {});
        }
        client.close_channel(4);
    });
}

/// In the same spare segments there seemed to be room for a large message: the broker panicked.
#[test]
fn large_messages_are_there_after_starts_with_segments_of_other_sizes() {
    let bodies = (0..3).map(|number| body(number, 3_000_000, Bytes::Random));
    change_sizes(&bodies.collect::<Vec<_>>(), |client, queue, bodies| {
        client.confirm_all(2, queue, bodies.iter().cloned());
    });
}

/// Publishes 100,000 messages and leaves the first two unacked.
fn fill(client: &mut Client, queue: &str) {
    client.confirm_all(2, queue, (0..100_000).map(|number| body(number, 10, Bytes::All(b'.'))));
    client.prefetch(1, 2);
    client.consume(1, queue);
    for _ in 0..2 {
        client.expect_delivery(1);
    }
}

/// Purging settled message by message, a part of them in each turn of the loop, and what no turn
/// had come to was back after a kill, though purge-ok had been sent.
#[test]
fn purged_messages_are_not_back_after_a_kill_and_unacked_ones_are() {
    let Some(mut node) = Node::start() else { return };
    let mut client = node.connect();
    let queue = client.durable_queue(1);
    fill(&mut client, &queue);
    let mut other = node.connect();
    assert_eq!(other.purge(1, &queue), 99_998);
    for _ in 0..2 {
        node.restart(End::Kill, other);
        other = node.connect();
        let found = other.look_at_all(2, &queue);
        assert!(found.iter().all(|delivery| delivery.redelivered), "they were delivered before");
        let unacked = (0..2).map(|number| body(number, 10, Bytes::All(b'.')));
        assert_bodies(&found, unacked, "after a kill");
    }
}

/// The same for a queue that is deleted, whose messages must not come to the next of its name.
#[test]
fn messages_of_a_deleted_queue_are_not_in_the_next_of_its_name_after_a_kill() {
    let Some(mut node) = Node::start() else { return };
    let mut client = node.connect();
    let queue = client.durable_queue(1);
    fill(&mut client, &queue);
    let mut other = node.connect();
    assert_eq!(other.delete_queue(1, &queue), 99_998);
    let again = queue::Declare { queue: queue.as_bytes(), durable: true, ..Default::default() };
    assert_eq!(other.call::<DeclareOk>(1, again).messages, 0);
    other.confirm_all(2, &queue, [b"new".to_vec()]);
    for _ in 0..2 {
        node.restart(End::Kill, other);
        other = node.connect();
        assert_bodies(&other.look_at_all(2, &queue), [b"new".to_vec()], "after a kill");
    }
}

/// A durable exchange that routes each name once, and a durable queue bound to it.
fn deduplicating(client: &mut Client, more: &[(&str, Value<'_>)]) -> (String, String) {
    let exchange = unique("once");
    let arguments = fields(&[("x-cache-size", Value::I64(100_000))]);
    client.durable_exchange_with(1, &exchange, "x-message-deduplication", arguments.table());
    let queue = client.durable_queue_with(1, fields(more).table());
    client.bind(1, &queue, &exchange, "");
    (exchange, queue)
}

/// Publishes a persistent message whose name is its body.
fn publish_named(client: &mut Client, channel: u16, exchange: &str, name: &str) {
    client.publish_named(channel, exchange, "", word(name), name);
}

/// A deduplicating exchange remembered the name when it routed, and a rollback did not take it
/// back: what was published again was committed and went nowhere.
#[test]
fn message_of_a_transaction_that_was_rolled_back_is_taken_when_it_is_published_again() {
    for end in ENDS {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let (exchange, queue) = deduplicating(&mut client, &[]);
        client.open(2);
        client.call::<TxSelectOk>(2, tx::Select {});
        publish_named(&mut client, 2, &exchange, "order 1");
        client.call::<TxRollbackOk>(2, tx::Rollback {});
        publish_named(&mut client, 2, &exchange, "order 1");
        client.call::<TxCommitOk>(2, tx::Commit {});
        assert_eq!(client.inspect(1, &queue).messages, 1);
        // And a name is taken once within a transaction and after it.
        for _ in 0..2 {
            publish_named(&mut client, 2, &exchange, "order 1");
            publish_named(&mut client, 2, &exchange, "order 2");
        }
        client.call::<TxCommitOk>(2, tx::Commit {});
        node.restart(end, client);
        assert_eq!(node.connect().drain(1, &queue), ["order 1", "order 2"]);
    }
}

/// The name of what a full queue refused was remembered, too: sent again when there was room, the
/// message was confirmed and went nowhere.
#[test]
fn message_that_was_refused_by_a_full_queue_is_taken_when_it_is_sent_again() {
    for end in ENDS {
        let Some(mut node) = Node::start() else { return };
        let mut client = node.connect();
        let full = [("x-max-length", Value::I64(1)), ("x-overflow", word("reject-publish"))];
        let (exchange, queue) = deduplicating(&mut client, &full);
        client.open(2);
        client.confirm_select(2);
        publish_named(&mut client, 2, &exchange, "first");
        client.expect::<Ack>(2);
        for _ in 0..2 {
            publish_named(&mut client, 2, &exchange, "second");
            client.expect::<Nack>(2);
        }
        assert_eq!(client.drain(1, &queue), ["first"]);
        publish_named(&mut client, 2, &exchange, "second");
        client.expect::<Ack>(2);
        node.restart(end, client);
        assert_eq!(node.connect().drain(1, &queue), ["second"]);
    }
}

/// A disk whose state can be looked at; `None` where there can be no such thing.
fn disk() -> Option<Disk> {
    or_left_out(Disk::new(Kind::Ext4))
}

/// Publishes named messages, one after the other, until told to end.
struct Publisher {
    exchange: String,
    /// The number of the last that was sent, and of the last that was confirmed.
    sent: AtomicUsize,
    confirmed: AtomicUsize,
    ends: AtomicBool,
}

impl Publisher {
    fn run(&self, mut client: Client) {
        client.confirm_select(1);
        for number in 1.. {
            self.sent.store(number, Ordering::SeqCst);
            publish_named(&mut client, 1, &self.exchange, &number.to_string());
            client.expect::<Ack>(1);
            self.confirmed.store(number, Ordering::SeqCst);
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Cuts the power and sends everything again that was sent until then.
    fn repeat_after_cut(&self, disk: &mut Disk, queue: &str) {
        let confirmed = self.confirmed.load(Ordering::SeqCst);
        let cut = disk.cut();
        let sent = self.sent.load(Ordering::SeqCst);
        let process = Process::start(&cut.data(), SEGMENT_BYTES);
        let mut client = Client::connect(process.address());
        let found = client.inspect(1, queue).messages as usize;
        assert!((confirmed..=sent).contains(&found), "{found} of {confirmed} to {sent}");
        client.confirm_select(1);
        for number in 1..=sent {
            publish_named(&mut client, 1, &self.exchange, &number.to_string());
        }
        client.expect_confirms(1, 1, sent as u64);
        let expected: Vec<_> = (1..=sent).map(|number| number.to_string()).collect();
        assert_eq!(client.drain(1, queue), expected, "{found} were there");
        process.kill();
    }
}

/// Names lay in another file than messages, which was synced after theirs: a power cut between
/// the two left a message without its name, and one that was sent again was there twice.
#[test]
fn power_cut_leaves_a_name_and_its_message_or_neither() {
    let Some(mut disk) = disk() else { return };
    let process = Process::start(&disk.data(), SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    let (exchange, queue) = deduplicating(&mut client, &[]);
    let publisher = Publisher {
        exchange,
        sent: AtomicUsize::new(0),
        confirmed: AtomicUsize::new(0),
        ends: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        // When this fails, the broker ends first, and with it the publisher.
        let process = process;
        let running = scope.spawn(|| publisher.run(client));
        for _ in 0..16 {
            publisher.repeat_after_cut(&mut disk, &queue);
        }
        publisher.ends.store(true, Ordering::SeqCst);
        running.join().expect("the broker confirms");
        process.terminate();
    });
}

/// Acks of a queue that nobody used any more were not synced, and the messages were back after a
/// power cut half a minute later.
#[test]
fn acks_are_on_disk_soon_though_nothing_else_happens() {
    let Some(mut disk) = disk() else { return };
    let process = Process::start(&disk.data(), SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    let queue = client.durable_queue(1);
    client.confirm_all(2, &queue, (0..100).map(|number| body(number, 10, Bytes::All(b'.'))));
    client.settle_first(2, &queue, 100);
    let deadline = now() + ACKS_WITHIN;
    loop {
        let cut = disk.cut();
        let process = Process::start(&cut.data(), SEGMENT_BYTES);
        let left = Client::connect(process.address()).inspect(1, &queue).messages;
        process.kill();
        if left == 0 {
            break;
        }
        assert!(now() < deadline, "{left} are there after {ACKS_WITHIN:?}");
    }
    client.close();
    process.terminate();
}

/// What the first format wrote is not read any more. A broker that took it for damage would begin
/// an empty log beside it, and nobody would know why everything is gone.
#[test]
fn directory_of_an_earlier_format_is_refused_with_a_word_on_what_to_do() {
    for other in ["definitions", "clean"] {
        let home = TempDir::new().expect("a temporary directory can be made");
        let path = home.path().join("data");
        fs::create_dir(&path).expect("the directory can be made");
        let mut segment = b"LEVERETS\x01\0\0\0".to_vec();
        segment.resize(SEGMENT_BYTES as usize, 0);
        fs::write(path.join("00000001.segment"), &segment).expect("the file can be written");
        fs::write(path.join(other), b"of another time").expect("the file can be written");
        let Err(refusal) = Process::try_start(&path, SEGMENT_BYTES) else {
            panic!("{other}: the broker starts on a directory that it cannot read");
        };
        assert!(!refusal.status.success(), "{other}: {refusal:?}");
        let name = path.to_str().expect("temporary directories have simple names");
        let mut said = refusal.log.iter().filter(|line| line.contains("earlier version"));
        let line = said.next().unwrap_or_else(|| panic!("{other}: {refusal:?}"));
        assert!(line.contains(name), "{other}: which directory? {line}");
        assert_eq!(said.next(), None, "{other}: once is enough");
        // And everything is as it was.
        let kept = fs::read(path.join("00000001.segment")).expect("it is still there");
        assert!(kept == segment, "{other}: what is not understood is not written to");
        assert!(path.join(other).exists(), "{other}: what is not understood is not removed");
    }
}
