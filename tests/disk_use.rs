//! How much disk and memory does a broker take, what does it give back, and what goes on when there
//! is no more?

mod common;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::*;
use leveret::amqp::encoder;
use leveret::sys::allocate_blocks;
use tempfile::TempDir;

const SEGMENT_BYTES: u32 = 1 << 20;
const MIB: u64 = 1 << 20;
/// What the log of a broker takes that has nothing to keep, the directory and small files.
const FRESH_BYTES: u64 = 32 * MIB + (64 << 10);
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(15);
/// How long a broker is looked at that is to do nothing.
const WATCHED_FOR: Duration = Duration::from_secs(2);
/// A bound for any machine, not a figure.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Both rings made their files under the same temporary names: when two were made at once, one of
/// them was gone before it got its own name, and the broker ended.
#[test]
fn transient_messages_larger_than_a_segment_pass_beside_persistent_ones() {
    let Some(node) = Node::start_with(SEGMENT_BYTES) else { return };
    let mut client = node.connect();
    let (kept, passing) = (client.durable_queue(1), client.queue(1));
    client.consume(1, &passing);
    let mut publisher = node.connect();
    let ((begin, begun), (done, is_done)) = (mpsc::channel(), mpsc::channel());
    let running = thread::spawn(move || {
        for () in begun {
            publisher.confirm_all(2, &kept, (0..104).map(|_| vec![b'k'; 10_000]));
            done.send(()).expect("the test goes on");
        }
        publisher.inspect(1, &kept).messages
    });
    let large = vec![b't'; 3_000_000];
    let rounds = 300;
    for _ in 0..rounds {
        // A new segment for each ring, at the same time.
        begin.send(()).expect("the publisher works");
        client.publish_with(1, "", &passing, &PropertyList::default(), &large);
        let delivery = client.expect_delivery(1);
        assert!(delivery.message.body == large);
        if delivery.tag > 1 {
            // The one before it, whose segment this one cannot have had.
            client.ack(1, delivery.tag - 1);
        }
        is_done.recv().expect("the publisher works");
    }
    drop(begin);
    assert!(running.join().expect("the publisher works") == 104 * rounds);
}

/// It is asked of a small disk: one that other tests use was full for a moment, and they failed.
#[test]
fn more_blocks_than_the_disk_has_are_an_ordinary_error() {
    let Some(disk) = or_left_out(Mounted::in_memory(MIB)) else { return };
    let file = File::create(disk.path.join("file")).expect("there is room");
    allocate_blocks(&file, 0, MIB / 2).expect("there is room");
    file.write_all_at(b"before", 0).expect("it has blocks");
    let error = allocate_blocks(&file, 0, 2 * MIB).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    // The rest can still be had, and what was there is.
    allocate_blocks(&file, MIB / 2, MIB / 4).expect("there is room");
    let found = fs::read(disk.path.join("file")).expect("it is there");
    assert!(found.starts_with(b"before\0"));
}

/// Announces a body and sends nothing of it.
fn announce(client: &mut Client, channel: u16, queue: &str, body_bytes: u64) {
    let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
    let (mut out, mut properties) = (Vec::new(), Vec::new());
    persistent().encode(&mut properties);
    encoder::method_frame(&mut out, channel, &publish);
    encoder::header_frame(&mut out, channel, body_bytes, &properties);
    client.send_bytes(&out);
}

/// Room for a large body was reserved when it was announced: 20 clients that sent nothing more
/// took 2 GB.
#[test]
fn bodies_that_are_announced_and_not_sent_take_no_disk() {
    let Some(node) = Node::start() else { return };
    let mut publisher = node.connect();
    let queue = publisher.durable_queue(1);
    publisher.confirm_all(2, &queue, (0..100).map(|_| vec![b'x'; 1000]));
    let mut clients: Vec<_> = (0..20).map(|_| node.connect()).collect();
    for client in &mut clients {
        announce(client, 1, &queue, 100_000_000);
        // Another channel answers when that was dealt with.
        client.open(2);
    }
    publisher.confirm_all(2, &queue, (0..100).map(|_| vec![b'x'; 1000]));
    publisher.confirm_all(2, &queue, [vec![b'x'; 1_000_000]]);
    publisher.expect_nothing_before(0, 1);
    let disk = allocated_bytes(&node.path());
    assert!(disk <= FRESH_BYTES + 4 * MIB, "{disk} bytes");
    assert_eq!(publisher.inspect(1, &queue).messages, 201);
}

/// A backlog of this many bytes in messages of mixed sizes.
fn pile_up(client: &mut Client, queue: &str, bytes: usize) -> usize {
    let mut random = Random::new(seed(3));
    let (mut published, mut bodies) = (0, Vec::new());
    while published < bytes {
        let length = *random.pick(&[100, 1000, 10_000, 50_000, 300_000]);
        bodies.push(vec![b'b'; length]);
        published += length;
    }
    let count = bodies.len();
    client.confirm_all(2, queue, bodies);
    count
}

/// What a node takes of the disk and of memory.
fn taken(node: &Node) -> (u64, u64) {
    (allocated_bytes(&node.path()), resident_bytes(node.process().id()))
}

/// Where the kernel makes huge pages by itself, a few bytes were 2 MiB.
#[test]
fn memory_comes_in_small_pages() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let process = Process::start(directory.path(), SEGMENT_BYTES);
    let status = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(status).expect("it runs");
    let said = status.lines().find(|line| line.starts_with("THP_enabled:"));
    // Before Linux 5.0 it said nothing.
    assert!(said.is_none_or(|said| said == "THP_enabled:\t0"), "{said:?}");
    process.terminate();
}

/// 112 of 144 MiB of disk were kept, and 79 of memory, for segments that might be used again.
#[test]
fn disk_and_memory_are_given_back_when_a_backlog_was_drained() {
    let Some(node) = Node::start() else { return };
    let mut client = node.connect();
    let queue = client.durable_queue(1);
    let count = pile_up(&mut client, &queue, 100_000_000);
    let (disk, _) = taken(&node);
    assert!(disk >= 100_000_000, "only {disk} bytes of disk for the backlog");
    assert_eq!(client.empty(2, &queue) as usize, count);
    let deadline = now() + GIVEN_BACK_WITHIN;
    loop {
        let (disk, memory) = taken(&node);
        if disk <= 64 * MIB && memory <= 8 * MIB {
            break;
        }
        let (disk, memory) = (disk / MIB, memory / MIB);
        assert!(now() < deadline, "{disk} MiB of disk and {memory} MiB of memory are kept");
        client.round_trip(1);
        thread::sleep(Duration::from_millis(50));
    }
}

/// A broker that had nothing to keep took 48 MiB for three empty segments.
#[test]
fn fresh_data_directory_is_small() {
    let Some(node) = Node::start() else { return };
    let mut client = node.connect();
    let queue = client.durable_queue(1);
    client.confirm_all(2, &queue, [b"the first".to_vec()]);
    // Spare segments are made when there is time.
    let until = now() + WATCHED_FOR;
    while now() < until {
        let disk = allocated_bytes(&node.path());
        assert!(disk <= FRESH_BYTES, "{disk} bytes");
        client.round_trip(1);
        thread::sleep(Duration::from_millis(50));
    }
}

/// A start after a kill synced each segment by itself, 14 s for 12,000 of them.
#[test]
fn start_after_a_kill_does_not_sync_segment_by_segment() {
    let Some(disk) = or_left_out(Mounted::ext4(512 << 20)) else { return };
    let data = disk.path.join("data");
    let process = Process::start(&data, SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    let queue = client.durable_queue(1);
    client.confirm_all(2, &queue, (0..250).map(|_| vec![b'l'; 1_000_000]));
    process.kill();
    let segments = segments(&data).len() as u64;
    assert!(segments >= 250, "{segments}");
    let (before, begin) = (flushes(&disk), now());
    let process = Process::start(&data, SEGMENT_BYTES);
    assert!(begin.elapsed() < START_WITHIN, "{:?}", begin.elapsed());
    let flushes = flushes(&disk) - before;
    assert!(flushes < segments / 4, "{flushes} flushes of the disk for {segments} segments");
    assert_eq!(Client::connect(process.address()).inspect(1, &queue).messages, 250);
}

/// How often something had the disk of this file system make durable what it had.
fn flushes(disk: &Mounted) -> u64 {
    let device = fs::metadata(&disk.path).expect("it is mounted").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let path = format!("/sys/dev/block/{major}:{minor}/stat");
    let text = fs::read_to_string(&path).expect("Linux has figures for block devices");
    let flushes = text.split_whitespace().nth(15).expect("Linux 5.5 counts flushes");
    flushes.parse().expect("a number")
}

/// A file of somebody else's on the disk that is full.
const BALLAST: &str = "ballast";

/// A broker on a disk that is full, and who filled it.
struct Full {
    process: Process,
    publisher: Client,
    published: Published,
    /// Messages of the two queues lie side by side.
    filler: String,
    dying: String,
    dead: String,
    /// It goes last.
    disk: Mounted,
}

impl Full {
    fn new() -> Option<Full> {
        Full::after(|_| ())
    }

    /// The same, once `prepare` was done.
    fn after(prepare: impl FnOnce(&mut Client)) -> Option<Full> {
        let disk = or_left_out(Mounted::in_memory(60 * MIB))?;
        let ballast = vec![b'b'; 12 << 20];
        fs::write(disk.path.join(BALLAST), ballast).expect("there is room");
        let process = Process::start(&disk.path.join("data"), 4 << 20);
        let mut publisher = Client::connect(process.address());
        prepare(&mut publisher);
        let filler = publisher.durable_queue(1);
        let (dying, dead) = publisher.durable_dying_queue(1, &[]);
        publisher.open(2);
        publisher.confirm_select(2);
        let published = Published::default();
        let mut full = Full { process, publisher, published, filler, dying, dead, disk };
        full.fill();
        Some(full)
    }

    /// Publishes until the broker blocks the publisher; then the other file takes what is left.
    fn fill(&mut self) {
        let (filler, dying) = (self.filler.as_str(), self.dying.as_str());
        let queue = |number: u64| if number.is_multiple_of(2) { filler } else { dying };
        let message = |number| (queue(number), vec![b'f'; 1500]);
        self.published.until_blocked(&mut self.publisher, message);
        self.take_the_rest();
    }

    fn take_the_rest(&self) {
        let ballast = File::options().append(true).open(self.disk.path.join(BALLAST));
        let mut ballast = ballast.expect("it is there");
        while ballast.write_all(&[b'b'; 4096]).is_ok() {}
    }

    fn connect(&self) -> Client {
        Client::connect(self.process.address())
    }

    /// Removes what somebody else had, purges the filler, and waits until the publisher was told
    /// that it may go on and everything is confirmed.
    fn relieve(&mut self, client: &mut Client) {
        fs::remove_file(self.disk.path.join(BALLAST)).expect("it is there");
        assert!(client.purge(1, &self.filler) > 1000);
        self.published.until_confirmed(&mut self.publisher);
    }

    /// Ends the broker; its warnings.
    fn end(self, client: Client) -> Vec<String> {
        let Full { process, publisher, disk: _disk, .. } = self;
        client.close();
        publisher.close();
        let mut log = process.terminate();
        log.retain(|line| line.contains(" WARN "));
        log
    }
}

/// Dead letters for which there was no room were tried again in each turn of the loop, with 24,000
/// warnings a second.
#[test]
fn dead_letters_that_wait_for_room_wait_quietly() {
    let Some(mut full) = Full::new() else { return };
    let mut client = full.connect();
    let waiting = client.inspect(1, &full.dying).messages;
    client.open(2);
    client.consume(2, &full.dying);
    for _ in 0..waiting {
        client.expect_delivery(2);
    }
    client.send(2, basic::Nack { delivery_tag: 0, multiple: true, requeue: false });
    client.round_trip(2);
    let before = cpu_time(full.process.id());
    // Nothing is waited for: it is looked at for so long.
    thread::sleep(WATCHED_FOR);
    let used = cpu_time(full.process.id()) - before;
    assert!(used < WATCHED_FOR / 4, "{used:?} of processor time in {WATCHED_FOR:?} of waiting");
    full.relieve(&mut client);
    // The publisher may have found room for a few more before the other file took it.
    let dead = full.dead.clone();
    let deadline = deadline();
    while client.inspect(1, &dead).messages < waiting {
        assert!(now() < deadline, "fewer than {waiting} dead letters");
    }
    let warnings = full.end(client);
    assert!(warnings.len() < 20, "{} warnings:\n{}", warnings.len(), warnings.join("\n"));
}

/// The definitions had a file of their own, for which nobody kept room: some thousand declares and
/// deletes on a full disk ended the broker.
#[test]
fn deletes_and_acks_go_on_while_the_disk_is_full_and_nothing_is_declared() {
    let (mut declared, mut settled) = (Vec::new(), String::new());
    let made = Full::after(|client| {
        declared = (0..5000).map(|_| client.durable_queue(1)).collect();
        settled = client.durable_queue(1);
        client.confirm_all(2, &settled, (0..100).map(|_| vec![b's'; 100]));
    });
    let Some(mut full) = made else { return };
    let mut client = full.connect();
    // What is new is refused when it would take what is kept for them.
    let mut large = TableBuf::new();
    large.put_str(b"purpose", &"?".repeat(5000));
    client.open(2);
    let mut new = 0;
    for (number, queue) in declared.iter().enumerate() {
        assert_eq!(client.delete_queue(1, queue), 0);
        if number % 100 != 0 {
            continue;
        }
        assert_eq!(client.settle_first(3, &settled, 1).len(), 1);
        loop {
            new += 1;
            let name = format!("new {new}");
            let arguments = large.table();
            client.send(2, queue::Declare { durable: true, arguments, ..named(&name) });
            if !matches!(client.next(2).method(), Method::QueueDeclareOk(_)) {
                client.send(2, channel::CloseOk {});
                client.open(2);
                break;
            }
            assert!(new < 10_000, "there is room for everything");
        }
    }
    assert_eq!(client.inspect(1, &settled).messages, 50);
    full.relieve(&mut client);
    full.end(client);
}
