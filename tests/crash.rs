//! Is everything there after the broker was killed? kill -9 at random moments under load, and in
//! the middle of the next starts, restart on the same directory with another segment size, and
//! compare with what the clients know.
//!
//! `LEVERET_CRASH_ROUNDS` says how many rounds there are for each seed, `LEVERET_CRASH_SEED` which
//! seed it is, `LEVERET_LOAD_WITHOUT` what is left out of the load.

mod common;
#[path = "crash/mod.rs"]
mod kit;

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::*;
use kit::drain::{Ended, drain};
use kit::load;
use kit::model::Model;
use kit::parts::{Part, Parts};
use kit::topology;
use tempfile::TempDir;

const ROUNDS: usize = 7;
/// What the broker says when it begins to move messages out of mostly dead segments.
const MOVES: &str = "what is alive is relocated";

/// A directory for the broker, which makes it itself.
fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("data");
    (directory, path)
}

/// Many rounds on one directory with segments of these sizes; in how many of them the broker was
/// killed while it moved messages out of mostly dead segments.
fn go_through(default: u64, segment_bytes: &[u32]) -> usize {
    let seed = seed(default);
    let rounds = number("LEVERET_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let (_keep, path) = directory();
    let mut random = Random::new(seed);
    let mut model = Model::new(Parts::wide());
    let mut ended = Ended::Orderly;
    let mut killed_while_moving = 0;
    for round in 0..rounds {
        let bytes = size_of_this_start(&model, segment_bytes, &mut random);
        let process = Process::start(&path, bytes);
        let before = model.sent.len();
        if round == 0 {
            topology::declare_for(&mut Client::connect(process.address()), model.parts);
        }
        let found = drain(process.address(), &mut model, ended, &mut random);
        ended = if random.chance(75) { Ended::Killed } else { Ended::Orderly };
        let said = (ended == Ended::Killed && random.chance(50)).then_some(MOVES);
        let moment = load::Moment { events: random.within(300..4000), said };
        let log;
        (model, log) = load::work(process, model, &mut random, moment, ended);
        let was_moving = ended == Ended::Killed && is_moving(&log);
        killed_while_moving += usize::from(was_moving);
        let published = model.sent.len() - before;
        eprintln!(
            "seed {seed}, round {round}, segments of {bytes} bytes: {found} found, {published} \
             published, {ended:?}"
        );
        while model.parts.has(Part::Recovery) && random.chance(50) {
            // It may be killed before it notes that it began, so that `ended` stays as it is.
            let bytes = size_of_this_start(&model, segment_bytes, &mut random);
            begin_in_vain(&path, bytes, &mut random);
        }
    }
    let process = Process::start(&path, segment_bytes[0]);
    drain(process.address(), &mut model, ended, &mut random);
    process.terminate();
    eprintln!("seed {seed}: {killed_while_moving} kills while messages moved");
    killed_while_moving
}

fn size_of_this_start(model: &Model, segment_bytes: &[u32], random: &mut Random) -> u32 {
    let any = *random.pick(segment_bytes);
    if model.parts.has(Part::Sizes) { any } else { segment_bytes[0] }
}

/// Whether compaction had begun and not ended.
fn is_moving(log: &[String]) -> bool {
    let last = log.iter().rfind(|line| line.contains("broker::flow::compaction"));
    last.is_some_and(|line| line.contains(MOVES))
}

/// Starts a broker and kills it while it reads the directory, or soon after.
fn begin_in_vain(path: &Path, segment_bytes: u32, random: &mut Random) {
    let mut child = spawn(path, segment_bytes);
    // The moment is what chance says; nothing waits for this.
    thread::sleep(Duration::from_micros(random.next() % 40_000));
    child.kill().expect("it runs");
    child.wait().expect("it was started");
}

#[test]
fn nothing_is_lost_when_the_broker_is_killed_with_small_segments() {
    // A kill may come too late even if it comes at the word that compaction begins: until one did
    // not.
    let mut seeds = (0..10).map(|n| 1 + 1000 * n);
    let is_short = env::var_os("LEVERET_CRASH_ROUNDS").is_some();
    let was_cut_short = seeds.any(|seed| go_through(seed, &[256 << 10, 320 << 10]) > 0 || is_short);
    assert!(was_cut_short, "compaction was never cut short");
}

#[test]
fn nothing_is_lost_when_the_broker_is_killed_with_middling_segments() {
    go_through(2, &[4 << 20, 1 << 20, 2 << 20]);
}

#[test]
fn nothing_is_lost_when_the_broker_is_killed_with_segments_as_they_come() {
    go_through(3, &[16 << 20, 1 << 20, 4 << 20]);
}

/// What a test publishes: a body that names it, large enough to be parked now and then.
fn numbered(number: usize) -> Vec<u8> {
    let mut body = format!("{number}:").into_bytes();
    body.resize(if number.is_multiple_of(10) { 100_000 } else { 10 + number }, b'.');
    body
}

/// The numbers and marks of everything in the queue, which stays there.
fn look(client: &mut Client, queue: &str) -> Vec<(usize, bool)> {
    client.open(9);
    let found = std::iter::from_fn(|| client.get(9, queue))
        .map(|got| {
            let text = got.message.body();
            let (number, _) = text.split_once(':').expect("a numbered body");
            let number = number.parse().expect("a numbered body");
            assert!(got.message.body == numbered(number), "the body of {number} is another");
            (number, got.redelivered)
        })
        .collect();
    client.close_channel(9);
    found
}

#[test]
fn after_an_orderly_stop_everything_is_as_it_was() {
    let (_keep, path) = directory();
    let process = Process::start(&path, 1 << 20);
    let mut client = Client::connect(process.address());
    topology::declare(&mut client);
    client.open(2);
    client.confirm_select(2);
    for number in 0..100 {
        client.publish_with(2, "x.direct", "one", &persistent(), &numbered(number));
    }
    client.publish(2, "", "a", "a transient message");
    let passing = client.queue(1);
    client.expect_confirms(2, 1, 101);
    client.open(3);
    let got: Vec<_> = (0..30).map(|_| client.get(3, "a").expect("it is there")).collect();
    assert!(got.iter().all(|got| !got.redelivered));
    for got in &got[..5] {
        client.ack(3, got.tag);
    }
    let several = basic::Ack { delivery_tag: got[9].tag, multiple: true };
    client.send(3, several);
    for got in &got[20..] {
        client.reject(3, got.tag, true);
    }
    client.round_trip(3);
    process.tell_to_stop();
    client.expect_connection_error(320, "shutdown");
    process.terminate();

    let process = Process::start(&path, 1 << 20);
    let mut client = Client::connect(process.address());
    let expected: Vec<_> = (10..100).map(|number| (number, number < 30)).collect();
    assert_eq!(look(&mut client, "a"), expected);
    // The other queue's copies were never touched.
    let expected: Vec<_> = (0..100).map(|number| (number, false)).collect();
    assert_eq!(look(&mut client, "b"), expected);
    let passive = queue::Declare { queue: passing.as_bytes(), passive: true, ..Default::default() };
    client.send(1, passive);
    client.expect_channel_error(1, 404, &passing);
    client.close();
    process.terminate();

    // To look is to receive.
    let process = Process::start(&path, 1 << 20);
    let mut client = Client::connect(process.address());
    let expected: Vec<_> = (10..100).map(|number| (number, true)).collect();
    assert_eq!(look(&mut client, "a"), expected);
    client.close();
    process.terminate();
}

#[test]
fn after_a_kill_everything_is_marked_as_redelivered() {
    let (_keep, path) = directory();
    let process = Process::start(&path, 1 << 20);
    let mut client = Client::connect(process.address());
    topology::declare(&mut client);
    let bodies: Vec<_> = (0..50).map(numbered).map(String::from_utf8).collect();
    let bodies: Vec<_> = bodies.into_iter().map(|body| body.expect("ASCII")).collect();
    client.open(2);
    client.confirm_select(2);
    for (body, number) in bodies.iter().zip(1..) {
        client.publish_with(2, "", "a", &persistent(), body.as_bytes());
        assert_eq!(client.expect::<Ack>(2).tag, number);
    }
    process.kill();
    let process = Process::start(&path, 1 << 20);
    let mut client = Client::connect(process.address());
    let expected: Vec<_> = (0..50).map(|number| (number, true)).collect();
    assert_eq!(look(&mut client, "a"), expected);
    client.close();
    process.terminate();
}
