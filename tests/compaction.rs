//! Does the log get smaller when most of it is dead, and is what is left as it was?
//!
//! The broker is its binary with small segments on a directory that the test looks into. That the
//! log got smaller is an event like any other: the test asks the broker something else until it
//! has come.

mod common;

use std::fs;
use std::path::PathBuf;

use common::*;
use tempfile::TempDir;

const SEGMENT_BYTES: u32 = 64 << 10;
/// For large messages.
const LARGE_SEGMENT_BYTES: u32 = 1 << 20;

/// A broker and its directory.
struct Sparse {
    process: Process,
    client: Client,
    path: PathBuf,
    _keep: Option<TempDir>,
}

impl Sparse {
    fn start() -> Sparse {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = keep.path().join("data");
        Sparse::start_on(path, Some(keep), SEGMENT_BYTES)
    }

    fn start_on(path: PathBuf, keep: Option<TempDir>, segment_bytes: u32) -> Sparse {
        let process = Process::start(&path, segment_bytes);
        let client = Client::with_confirms(process.address());
        Sparse { process, client, path, _keep: keep }
    }

    /// The files of the message log, in bytes.
    fn log_bytes(&self) -> u64 {
        // One may be gone by now.
        let bytes = |name| fs::metadata(self.path.join(name)).map_or(0, |metadata| metadata.len());
        segments(&self.path).into_iter().map(bytes).sum()
    }

    /// Asks and asks until the log has less than half of what it had.
    fn wait_until_smaller(&mut self, before: u64) {
        let deadline = deadline();
        while self.log_bytes() * 2 > before {
            self.client.round_trip(1);
            assert!(now() < deadline, "{before} bytes became {}", self.log_bytes());
        }
    }

    fn kill_and_start(self) -> Sparse {
        let Sparse { process, path, _keep, .. } = self;
        process.kill();
        let process = Process::start(&path, SEGMENT_BYTES);
        let client = Client::with_confirms(process.address());
        Sparse { process, client, path, _keep }
    }
}

/// Publishes without a confirm for each.
fn publish(client: &mut Client, queue: &str, properties: &PropertyList<'_>, body: &str) {
    client.publish_with(1, "", queue, properties, body.as_bytes());
}

fn numbers(numbers: impl IntoIterator<Item = usize>, redelivered: bool) -> Vec<(String, bool)> {
    numbers.into_iter().map(|number| (number.to_string(), redelivered)).collect()
}

#[test]
fn a_queue_that_keeps_one_message_in_a_hundred_does_not_keep_the_log() {
    let mut sparse = Sparse::start();
    let client = &mut sparse.client;
    let (fast, slow) = (client.durable_queue(1), client.durable_queue(1));
    // A hundred of them are less than a segment.
    let small = "x".repeat(400);
    for number in 0..8000usize {
        if number.is_multiple_of(100) {
            publish(client, &slow, &persistent(), &number.to_string());
        }
        publish(client, &fast, &persistent(), &small);
    }
    // The first comes back, the second is held, the third is acked.
    let tags: Vec<u64> = (0..3).map(|_| client.get(3, &slow).expect("it is there").tag).collect();
    client.reject(3, tags[0], true);
    client.ack(3, tags[2]);
    client.confirmed(2, "", &slow, &persistent(), "8000");
    let before = sparse.log_bytes();
    assert!(before > 40 * u64::from(SEGMENT_BYTES), "{before}");
    let taken = sparse.client.consume_no_ack(1, &fast);
    for _ in 0..8000 {
        assert_eq!(sparse.client.expect_delivery(1).message.body.len(), small.len());
    }
    assert_eq!(sparse.client.cancel(1, &taken), []);
    sparse.wait_until_smaller(before);
    let client = &mut sparse.client;
    client.reject(3, tags[1], true);
    let rest: Vec<usize> = (300..=8000).step_by(100).collect();
    let expected = [numbers([0, 100], true), numbers(rest.clone(), false)].concat();
    assert_eq!(client.take_all(3, &slow), expected, "in order, as they were marked");
    // One is settled for good before the broker is killed.
    client.ack(3, tags[2] + 1);
    client.round_trip(3);
    let mut sparse = sparse.kill_and_start();
    let mut expected = [numbers([0, 100], true), numbers(rest, true)].concat();
    expected.remove(0);
    assert_eq!(sparse.client.take_all(3, &slow), expected);
    sparse.client.close();
    sparse.process.terminate();
}

#[test]
fn priorities_and_times_to_live_are_kept() {
    let mut sparse = Sparse::start();
    let client = &mut sparse.client;
    let fast = client.durable_queue(1);
    let arguments = fields(&[("x-max-priority", Value::U8(3))]);
    let ranked = client.durable_queue_with(1, arguments.table());
    let large = "x".repeat(2000);
    for number in 0..800usize {
        if number.is_multiple_of(100) {
            let properties = PropertyList {
                priority: Some(u8::try_from(number / 100 % 4).expect("small")),
                expiration: Some(b"86400000"),
                ..persistent()
            };
            publish(client, &ranked, &properties, &number.to_string());
        }
        publish(client, &fast, &persistent(), &large);
    }
    client.wait_for_messages(1, &fast, 800);
    let before = sparse.log_bytes();
    assert_eq!(sparse.client.purge(1, &fast), 800);
    sparse.wait_until_smaller(before);
    let expected = numbers([300, 700, 200, 600, 100, 500, 0, 400], false);
    let mut got = Vec::new();
    while let Some(next) = sparse.client.get(3, &ranked) {
        assert_eq!(next.message.list().expiration, Some(&b"86400000"[..]));
        got.push((next.message.body(), next.redelivered));
    }
    assert_eq!(got, expected);
    sparse.client.close();
    sparse.process.terminate();
}

#[test]
fn large_messages_do_not_keep_the_log_either() {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = keep.path().join("data");
    let mut sparse = Sparse::start_on(path, Some(keep), LARGE_SEGMENT_BYTES);
    let client = &mut sparse.client;
    let (fast, slow) = (client.durable_queue(1), client.durable_queue(1));
    // One in every segment, among many smaller ones.
    let large = |number: usize| format!("{number}:{}", "y".repeat(100_000));
    for number in 0..1500usize {
        if number.is_multiple_of(30) {
            publish(client, &slow, &persistent(), &large(number));
        }
        publish(client, &fast, &persistent(), &"x".repeat(20_000));
    }
    client.wait_for_messages(1, &fast, 1500);
    let before = sparse.log_bytes();
    assert_eq!(sparse.client.purge(1, &fast), 1500);
    sparse.wait_until_smaller(before);
    let mut sparse = sparse.kill_and_start();
    let expected: Vec<_> = (0..1500).step_by(30).map(|number| (large(number), true)).collect();
    assert!(sparse.client.take_all(3, &slow) == expected, "each as it was");
    sparse.client.close();
    sparse.process.terminate();
}

#[test]
fn on_a_full_disk_room_is_made_and_publishers_go_on() {
    let Some(disk) = or_left_out(Mounted::in_memory(8 << 20)) else { return };
    let mut sparse = Sparse::start_on(disk.path.join("data"), None, SEGMENT_BYTES);
    let client = &mut sparse.client;
    let (fast, slow) = (client.durable_queue(1), client.durable_queue(1));
    let large = "x".repeat(2000).into_bytes();
    let message = |number: u64| match number.is_multiple_of(10) {
        true => (slow.as_str(), number.to_string().into_bytes()),
        false => (fast.as_str(), large.clone()),
    };
    let mut published = Published::default();
    published.until_blocked(client, message);
    let mut other = Client::with_confirms(sparse.process.address());
    assert!(other.purge(1, &fast) > 1000);
    published.until_confirmed(&mut sparse.client);
    let sent = usize::try_from(published.sent).expect("few");
    assert_eq!(other.take_all(3, &slow), numbers((0..sent).step_by(10), false));
    other.close();
    sparse.client.close();
    sparse.process.terminate();
}
