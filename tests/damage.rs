//! What does the broker make of a data directory that is not as it left it? Files with flipped
//! bits, cut off, overwritten: it starts, or says why not; nothing is lost that lay elsewhere,
//! nothing comes that was never published, and it neither panics nor hangs.
//!
//! `LEVERET_CRASH_CASES` says how many cases there are, `LEVERET_CRASH_SEED` what chance begins
//! with.

mod common;
#[path = "crash/mod.rs"]
mod kit;
#[path = "crash/tail.rs"]
mod tail;

use std::fs;
use std::path::{Path, PathBuf};

use common::{
    Client, Process, Random, Refusal, copy_files, files, number, seed, segments, sequence,
};
use kit::drain::{Ended, drain, drain_damaged};
use kit::load;
use kit::model::Model;
use kit::parts::Parts;
use kit::topology;
use leveret::broker::Broker;
use leveret::storage::{HelperMode, StoreOptions};
use tail::Spoil;
use tempfile::TempDir;

const SEGMENT_BYTES: u32 = 256 << 10;
const CASES: u64 = 30;

/// What a file suffers.
#[derive(Clone, Copy, Debug)]
enum Harm {
    FlippedBit { at: usize, bit: usize },
    Truncated { to: usize },
    Zeroed { from: usize, to: usize },
    Garbage { from: usize, to: usize },
}

impl Harm {
    fn random(random: &mut Random, length: usize) -> Harm {
        let at = match random.within(0..4) {
            // Where the headers are.
            0 => random.within(0..length.min(4200)),
            _ => random.within(0..length),
        };
        match random.within(0..6) {
            0..3 => Harm::FlippedBit { at, bit: random.within(0..8) },
            3 => Harm::Truncated { to: at },
            4 => Harm::Zeroed { from: at, to: length.min(at + random.within(1..20_000)) },
            _ => Harm::Garbage { from: at, to: length.min(at + random.within(1..20_000)) },
        }
    }

    fn inflict(self, path: &Path, random: &mut Random) {
        let mut bytes = fs::read(path).expect("the file can be read");
        match self {
            Harm::FlippedBit { at, bit } => bytes[at] ^= 1 << bit,
            Harm::Truncated { to } => bytes.truncate(to),
            Harm::Zeroed { from, to } => bytes[from..to].fill(0),
            Harm::Garbage { from, to } => random.fill(&mut bytes[from..to]),
        }
        fs::write(path, bytes).expect("the file can be written");
    }
}

/// A data directory that was in use, and what is in it.
struct Used {
    _keep: TempDir,
    path: PathBuf,
    model: Model,
    ended: Ended,
}

impl Used {
    fn new(seed: u64, ended: Ended) -> Used {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = keep.path().join("data");
        let mut random = Random::new(seed);
        let process = Process::start(&path, SEGMENT_BYTES);
        topology::declare(&mut Client::connect(process.address()));
        let (model, _) = load::work(process, Model::default(), &mut random, 1200, ended);
        Used { _keep: keep, path, model, ended }
    }

    /// Whether the end of the log is in this file: what no later record says to be durable may as
    /// well be torn, after a kill, and is no damage.
    fn may_be_torn(&self, name: &str) -> bool {
        self.ended == Ended::Killed && self.at_end().iter().any(|last| last == name)
    }

    /// The files of the last two segments of the log.
    fn at_end(&self) -> Vec<String> {
        let mut segments = segments(&self.path);
        segments.sort_by_key(|name| {
            sequence(&fs::read(self.path.join(name)).expect("the file can be read"))
        });
        segments.split_off(segments.len().saturating_sub(2))
    }

    /// What was in the file that is spoilt, and in what goes with it: behind a place that may be
    /// torn nothing counts.
    fn content(&self, name: &str) -> Vec<u8> {
        let read = |name: &str| fs::read(self.path.join(name)).expect("the file can be read");
        match self.may_be_torn(name) {
            true => self.at_end().iter().flat_map(|name| read(name)).collect(),
            false => read(name),
        }
    }

    /// A copy under a new name.
    fn copy(&self, keep: &TempDir) -> PathBuf {
        let path = keep.path().join("data");
        copy_files(&self.path, &path);
        path
    }
}

fn spoil_many(seed: u64, ended: Ended) {
    let used = Used::new(seed, ended);
    let mut random = Random::new(seed);
    for case in 0..number("LEVERET_CRASH_CASES").unwrap_or(CASES) {
        let names = files(&used.path);
        // One in six cases hits the oldest segment, where the definitions are.
        let name = if case % 6 == 5 { &segments(&used.path)[0] } else { random.pick(&names) };
        let length = fs::metadata(used.path.join(name)).expect("it is there").len();
        let length = usize::try_from(length).expect("files are small");
        if length == 0 {
            continue;
        }
        let harm = Harm::random(&mut random, length);
        eprintln!("seed {seed}, case {case}: {name} of {length} bytes: {harm:?}");
        spoil(&used, name, harm, &mut random);
    }
}

fn spoil(used: &Used, name: &str, harm: Harm, random: &mut Random) {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = used.copy(&keep);
    harm.inflict(&path.join(name), random);
    let before = fs::read(used.path.join(name)).expect("the file can be read");
    let mut model = used.model.clone();
    let has_definitions = has_definitions(&path);
    match Process::try_start(&path, SEGMENT_BYTES) {
        Ok(process) if !has_definitions => {
            let log = process.terminate();
            let said = log.iter().any(|line| line.contains(name));
            assert!(said, "definitions are lost and not a word:\n{}", log.join("\n"));
            // What the broker did without its definitions must not have cost a message.
            if !is_kept_as_damaged(&path, name) {
                fs::write(path.join(name), before).expect("the file can be written");
                let process = Process::start(&path, SEGMENT_BYTES);
                drain(process.address(), &mut model, used.ended, random);
                process.terminate();
            }
        }
        Ok(process) => {
            let harmed = drain_damaged(process.address(), &mut model, &used.content(name));
            let log = process.terminate();
            let said = log.iter().any(|line| line.contains(name)) || used.may_be_torn(name);
            assert!(harmed == 0 || said, "{harmed} harmed and not a word:\n{}", log.join("\n"));
            // And it stays like that.
            let process = Process::start(&path, SEGMENT_BYTES);
            drain(process.address(), &mut model, Ended::Orderly, random);
            process.terminate();
        }
        Err(refusal) => {
            let said = refusal.log.last().is_some_and(|line| line.contains(name));
            assert!(said && !refusal.status.success(), "{refusal:?}");
            fs::write(path.join(name), before).expect("the file can be written");
            let process = Process::start(&path, SEGMENT_BYTES);
            drain(process.address(), &mut model, used.ended, random);
            process.terminate();
        }
    }
}

/// Whether everything is defined that a client needs to look into the queues: asked of the library,
/// on a copy.
fn has_definitions(path: &Path) -> bool {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let copy = keep.path().join("copy");
    copy_files(path, &copy);
    let options = StoreOptions::new(&copy, SEGMENT_BYTES, HelperMode::Manual);
    let Ok((broker, _)) = Broker::open(&copy, options) else {
        return false;
    };
    let vhost = broker.vhost_named(b"/");
    let has_queues = vhost.is_some_and(|vhost| {
        let mut queues = topology::queues(Parts::default());
        queues.all(|queue| broker.queue_named(vhost, queue.name.as_bytes()).is_some())
    });
    has_queues && broker.authenticate(b"guest", b"guest", true).is_ok()
}

/// A damaged file in which nothing is alive is kept under another name.
fn is_kept_as_damaged(path: &Path, name: &str) -> bool {
    let is_there = path.join(name).exists();
    assert!(is_there || path.join(name).with_extension("damaged").exists(), "{name} is gone");
    !is_there
}

#[test]
fn a_spoilt_file_of_a_killed_broker_costs_only_what_lay_in_it() {
    spoil_many(seed(4), Ended::Killed);
}

#[test]
fn a_spoilt_file_of_a_broker_at_rest_costs_only_what_lay_in_it() {
    spoil_many(seed(5), Ended::Orderly);
}

/// The oldest segments are missing, one more each time: at some number of them nothing defines the
/// queues of the messages that are left.
#[test]
fn without_definitions_nothing_is_thrown_away() {
    let used = Used::new(seed(6), Ended::Orderly);
    let segments = segments(&used.path);
    let mut refusals = 0;
    for missing in 1..segments.len() {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = used.copy(&keep);
        for name in &segments[..missing] {
            fs::remove_file(path.join(name)).expect("the file can be removed");
        }
        let Err(refusal) = Process::try_start(&path, SEGMENT_BYTES) else {
            continue;
        };
        refusals += 1;
        let refused = Process::try_start(&path, SEGMENT_BYTES);
        let again = refused.err().expect("it does not start the second time either");
        for Refusal { status, log } in [refusal, again] {
            let said = log.last().is_some_and(|line| line.contains("segment files back"));
            assert!(said && !status.success(), "{status}: {log:?}");
        }
        for name in &segments[..missing] {
            fs::copy(used.path.join(name), path.join(name)).expect("the file can be copied");
        }
        let process = Process::start(&path, SEGMENT_BYTES);
        let mut model = used.model.clone();
        drain(process.address(), &mut model, Ended::Orderly, &mut Random::new(6));
        process.terminate();
    }
    assert!(refusals > 0, "there were always definitions");
}

/// A segment of which less than its first record was left was taken for a spare: nobody was told,
/// and the file was used again.
#[test]
fn a_segment_that_lost_nearly_everything_is_kept_and_told_of() {
    let used = Used::new(seed(7), Ended::Orderly);
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = used.copy(&keep);
    let segments = segments(&path);
    let name = &segments[segments.len() / 2];
    let file = fs::File::options().write(true).open(path.join(name)).expect("it is there");
    file.set_len(3000).expect("it can be cut off");
    let log = match Process::try_start(&path, SEGMENT_BYTES) {
        Ok(process) => process.terminate(),
        Err(refusal) => refusal.log,
    };
    assert!(log.iter().any(|line| line.contains(name)), "not a word:\n{}", log.join("\n"));
    assert_eq!(fs::metadata(path.join(name)).expect("it is there").len(), 3000);
}

#[test]
fn what_lies_behind_the_durable_position_does_not_matter() {
    let spoils =
        [Spoil::Nothing, Spoil::Zeros, Spoil::Garbage, Spoil::SomeSectors, Spoil::Truncated];
    let (mut moved, first) = (0, seed(1));
    for (seed, spoil) in (first..first + 15).zip(spoils.into_iter().cycle()) {
        moved += tail::tear(seed, spoil);
    }
    assert!(moved > 0, "compaction was never cut short");
}
