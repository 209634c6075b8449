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

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{
    Burst, Client, Process, Random, Refusal, copy_files, files, number, persistent, seed, segments,
    sequence,
};
use kit::drain::{Ended, drain, drain_damaged, judge_loss};
use kit::load;
use kit::model::Model;
use kit::parts::Parts;
use kit::topology;
use leveret::broker::Broker;
use leveret::broker::users::LoginBy;
use leveret::storage::{HelperMode, LogPos, Store, StoreOptions};
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
    /// The last durable mark of its log.
    durable: LogPos,
}

impl Used {
    fn new(seed: u64, ended: Ended) -> Used {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = keep.path().join("data");
        let mut random = Random::new(seed);
        let process = Process::start(&path, SEGMENT_BYTES);
        topology::declare(&mut Client::connect(process.address()));
        let moment = load::Moment { events: 1200, said: None };
        let (model, _) = load::work(process, Model::default(), &mut random, moment, ended);
        let copy = keep.path().join("copy");
        copy_files(&path, &copy);
        let options = StoreOptions::new(&copy, SEGMENT_BYTES, HelperMode::Manual);
        let store = Store::open(options).expect("the log can be opened");
        let durable = store.report().durable;
        Used { _keep: keep, path, model, ended, durable }
    }

    /// Whether the end of the log may be in this file: what no later record says to be durable may
    /// as well be torn, after a kill, and is no damage.
    fn may_be_torn(&self, name: &str) -> bool {
        self.ended == Ended::Killed
            && segments(&self.path).iter().any(|segment| segment == name)
            && self.sequence(name) >= self.durable.sequence
    }

    fn sequence(&self, name: &str) -> u64 {
        sequence(&fs::read(self.path.join(name)).expect("the file can be read"))
    }

    /// What was in the file that is spoilt, and in what goes with it: behind a place that may be
    /// torn nothing counts.
    fn content(&self, name: &str) -> Vec<u8> {
        let mut names = vec![name.to_owned()];
        if self.may_be_torn(name) {
            names = segments(&self.path);
            names.retain(|later| self.sequence(later) >= self.sequence(name));
        }
        self.contents(&names)
    }

    /// What is in these files.
    fn contents(&self, names: &[String]) -> Vec<u8> {
        let read = |name| fs::read(self.path.join(name)).expect("the file can be read");
        names.iter().flat_map(read).collect()
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
    let length = |name: &String| {
        let bytes = fs::metadata(used.path.join(name)).expect("it is there").len();
        usize::try_from(bytes).expect("files are small")
    };
    let mut names = files(&used.path);
    names.retain(|name| length(name) > 0);
    let cases = number("LEVERET_CRASH_CASES").unwrap_or(CASES);
    let mut outcomes = Vec::new();
    for case in 0..cases {
        // One in six cases hits the oldest segment, where the definitions are.
        let name = if case % 6 == 5 { &segments(&used.path)[0] } else { random.pick(&names) };
        let harm = Harm::random(&mut random, length(name));
        eprintln!("case {case}: {name} of {} bytes: {harm:?}", length(name));
        outcomes.push(spoil(&used, name, harm, &mut random));
    }
    eprintln!("{outcomes:?}");
    // What harms nothing proves nothing.
    let harmless = outcomes.iter().filter(|outcome| **outcome == Outcome::Harmless).count();
    assert!(cases < CASES || harmless < outcomes.len(), "no case did any harm");
}

/// What became of a spoilt file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// Nothing that mattered lay there.
    Harmless,
    /// So many messages were lost or came again.
    Harmed(usize),
    /// The broker started without what defines the queues.
    WithoutDefinitions,
    Refused,
}

fn spoil(used: &Used, name: &str, harm: Harm, random: &mut Random) -> Outcome {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = used.copy(&keep);
    harm.inflict(&path.join(name), random);
    let before = fs::read(used.path.join(name)).expect("the file can be read");
    let spoilt = fs::read(path.join(name)).expect("the file can be read");
    let mut model = used.model.clone();
    let has_definitions = has_definitions(&path);
    match Process::try_start(&path, SEGMENT_BYTES) {
        Ok(process) if !has_definitions => {
            let log = process.terminate();
            let said = log.iter().any(|line| line.contains(name));
            assert!(said, "definitions are lost and not a word:\n{}", log.join("\n"));
            // What the broker did without its definitions must not have cost a message.
            if path.join(name).exists() {
                fs::write(path.join(name), before).expect("the file can be written");
                let process = Process::start(&path, SEGMENT_BYTES);
                drain(process.address(), &mut model, used.ended, random);
                process.terminate();
            } else {
                // One in which nothing is alive is kept under another name.
                let kept = fs::read(path.join(name).with_extension("damaged"));
                assert!(kept.expect("it is kept") == spoilt, "{name} is not as it was");
            }
            Outcome::WithoutDefinitions
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
            if harmed == 0 { Outcome::Harmless } else { Outcome::Harmed(harmed) }
        }
        Err(refusal) => {
            let said = refusal.log.last().is_some_and(|line| line.contains(name));
            assert!(said && !refusal.status.success(), "{refusal:?}");
            fs::write(path.join(name), before).expect("the file can be written");
            let process = Process::start(&path, SEGMENT_BYTES);
            drain(process.address(), &mut model, used.ended, random);
            process.terminate();
            Outcome::Refused
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
    let Ok((mut broker, _)) = Broker::open(&copy, options) else {
        return false;
    };
    let vhost = broker.topology().vhost_named(b"/");
    let has_queues = vhost.is_some_and(|vhost| {
        let mut queues = topology::queues(Parts::default());
        queues.all(|queue| broker.topology().queue_named(vhost, queue.name.as_bytes()).is_some())
    });
    has_queues && broker.users_mut().log_in(LoginBy::Amqp, b"guest", b"guest", true).is_ok()
}

#[test]
fn a_spoilt_file_of_a_killed_broker_costs_only_what_lay_in_it() {
    spoil_many(seed(4), Ended::Killed);
}

#[test]
fn a_spoilt_file_of_a_broker_at_rest_costs_only_what_lay_in_it() {
    spoil_many(seed(5), Ended::Orderly);
}

/// The oldest segments are missing, some more each time: at some number of them nothing defines the
/// queues of the messages that are left.
#[test]
fn without_definitions_nothing_is_thrown_away() {
    let used = Used::new(seed(6), Ended::Orderly);
    let segments = segments(&used.path);
    let mut refusals = 0;
    for missing in (1..segments.len()).step_by(3) {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = used.copy(&keep);
        let missing = &segments[..missing];
        for name in missing {
            fs::remove_file(path.join(name)).expect("the file can be removed");
        }
        let mut model = used.model.clone();
        let has_definitions = has_definitions(&path);
        match Process::try_start(&path, SEGMENT_BYTES) {
            Ok(process) if has_definitions => {
                drain_damaged(process.address(), &mut model, &used.contents(missing));
                process.terminate();
            }
            // Then everything that was in a queue lay in the files that are missing.
            Ok(process) => {
                judge_loss(&mut model, &HashSet::new(), &used.contents(missing));
                process.terminate();
            }
            Err(refusal) => {
                refusals += 1;
                expect_refused_for_good(refusal, &path);
                for name in missing {
                    fs::copy(used.path.join(name), path.join(name)).expect("it can be copied");
                }
                let process = Process::start(&path, SEGMENT_BYTES);
                drain(process.address(), &mut model, Ended::Orderly, &mut Random::new(6));
                process.terminate();
            }
        }
    }
    assert!(refusals > 0, "there were always definitions");
}

/// A broker that did not start says what to do, and does not start the second time either.
fn expect_refused_for_good(refusal: Refusal, path: &Path) {
    let again = Process::try_start(path, SEGMENT_BYTES);
    let again = again.err().expect("it does not start the second time either");
    for Refusal { status, log } in [refusal, again] {
        let said = log.last().is_some_and(|line| line.contains("segment files back"));
        assert!(said && !status.success(), "{status}: {log:?}");
    }
}

/// A segment of which less than its first record was left was taken for a spare: nobody was told,
/// and the file was used again.
#[test]
fn a_segment_that_lost_nearly_everything_is_kept_and_told_of() {
    let used = Used::new(seed(7), Ended::Orderly);
    let segments = segments(&used.path);
    let name = &segments[segments.len() / 2];
    let harm = Harm::Truncated { to: 3000 };
    spoil(&used, name, harm, &mut Random::new(7));
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = used.copy(&keep);
    harm.inflict(&path.join(name), &mut Random::new(7));
    let log = match Process::try_start(&path, SEGMENT_BYTES) {
        Ok(process) => process.terminate(),
        Err(refusal) => refusal.log,
    };
    assert!(log.iter().any(|line| line.contains(name)), "not a word:\n{}", log.join("\n"));
    assert_eq!(fs::metadata(path.join(name)).expect("it is there").len(), 3000);
}

/// A broker on a directory of its own, and a client whose channel confirms, with a durable queue.
fn begin() -> (TempDir, Process, Client, String) {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let process = Process::start(&keep.path().join("data"), SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    (keep, process, client, queue)
}

/// The broker came up, and nobody could log in.
#[test]
fn a_start_without_a_user_or_a_virtual_host_says_how_to_mend_it() {
    // Something of the user's record, and the whole key of the virtual host's.
    for lost in [&b"password_hash"[..], b"\x01\x01/"] {
        let (_keep, process, mut client, queue) = begin();
        let path = process.directory().to_owned();
        client.publish_with(1, "", &queue, &persistent(), b"a message");
        client.expect_confirms(1, 1, 1);
        process.terminate();
        let segment = path.join(&segments(&path)[0]);
        let mut bytes = fs::read(&segment).expect("the file can be read");
        let at = bytes.windows(lost.len()).position(|found| found == lost).expect("it is there");
        bytes[at] ^= 1;
        fs::write(&segment, bytes).expect("the file can be written");

        let refusal = Process::try_start(&path, SEGMENT_BYTES).err().expect("nobody could log in");
        let says = |what: &str| refusal.log.last().is_some_and(|line| line.contains(what));
        assert!(says("--make-default-user") && says("00000001.segment is damaged"), "{refusal:?}");
        assert_eq!(refusal.status.code(), Some(74));
        let process = Process::start_with(&path, SEGMENT_BYTES, &["--make-default-user"]);
        assert_eq!(Client::connect(process.address()).empty(2, &queue), 1);
        process.terminate();
        Process::start(&path, SEGMENT_BYTES).terminate();
    }
}

/// It confirmed on, into files without a name, and went on waiting for space.
#[test]
fn a_directory_that_is_removed_ends_the_broker_before_it_confirms_more() {
    let (_keep, process, mut client, queue) = begin();
    let path = process.directory().to_owned();
    client.publish_with(1, "", &queue, &persistent(), b"safe");
    client.expect_confirms(1, 1, 1);
    fs::remove_dir_all(&path).expect("it can be removed");
    client.publish_with(1, "", &queue, &persistent(), b"lost");
    expect_end_of_a_broker_without_files(process);
    client.expect_closed();
}

/// What was confirmed until then is where the directory is now.
#[test]
fn a_directory_that_is_moved_away_ends_the_broker_and_keeps_what_it_confirmed() {
    let (keep, process, mut client, queue) = begin();
    let path = process.directory().to_owned();
    let elsewhere = keep.path().join("elsewhere");
    fs::rename(&path, &elsewhere).expect("it can be moved");
    let publish = Burst::default().publish(&queue, &persistent(), &[7; 20_000]).0;
    let mut confirmed = 0;
    while client.try_send_bytes(&publish).is_ok() && client.next_of_any().is_some() {
        confirmed += 1;
    }
    expect_end_of_a_broker_without_files(process);
    let process = Process::start(&elsewhere, SEGMENT_BYTES);
    let found = Client::connect(process.address()).empty(2, &queue);
    assert!(found == confirmed || found == confirmed + 1, "{found} of {confirmed} are there");
    process.terminate();
}

fn expect_end_of_a_broker_without_files(process: Process) {
    let Refusal { status, log } = process.end();
    let said: Vec<_> = log.iter().filter(|line| line.contains("stopped at once")).collect();
    assert!(status.code() == Some(74) && said.len() == 1 && log.last() == Some(said[0]), "{log:?}");
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

/// Every message in the file was there twice.
#[test]
fn a_copy_of_a_segment_is_refused_by_name() {
    let used = Used::new(seed(8), Ended::Orderly);
    let segments = segments(&used.path);
    for name in [&segments[0], &segments[segments.len() / 2]] {
        let keep = TempDir::new().expect("a temporary directory can be made");
        let path = used.copy(&keep);
        fs::copy(path.join(name), path.join("00009999.segment")).expect("it can be copied");
        let refusal = Process::try_start(&path, SEGMENT_BYTES).err().expect("it cannot be used");
        let says = |what: &str| refusal.log.last().is_some_and(|line| line.contains(what));
        assert!(says(name) && says("00009999.segment") && says("move the copy"), "{refusal:?}");
        fs::remove_file(path.join("00009999.segment")).expect("it can be removed");
        Process::start(&path, SEGMENT_BYTES).terminate();
    }
}
