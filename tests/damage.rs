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

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Client, Process};
use kit::drain::{Ended, drain, drain_damaged};
use kit::load;
use kit::model::Model;
use kit::random::Random;
use kit::topology;
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

    /// A copy under a new name.
    fn copy(&self, keep: &TempDir) -> PathBuf {
        let path = keep.path().join("data");
        fs::create_dir(&path).expect("the directory can be made");
        for name in files(&self.path) {
            fs::copy(self.path.join(&name), path.join(&name)).expect("the file can be copied");
        }
        path
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read").file_name())
        .map(|name| name.into_string().expect("the broker's names are ASCII"))
        .collect();
    names.sort();
    names
}

/// What an environment variable says, or the default.
fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn spoil_many(seed: u64, ended: Ended) {
    let seed = number("LEVERET_CRASH_SEED", seed);
    let used = Used::new(seed, ended);
    let mut random = Random::new(seed);
    for case in 0..number("LEVERET_CRASH_CASES", CASES) {
        let names = files(&used.path);
        // One in six cases hits one of the small files.
        let small = names.iter().filter(|name| !name.ends_with(".segment"));
        let small: Vec<_> = small.cloned().collect();
        let name = if case % 6 == 5 { random.pick(&small) } else { random.pick(&names) };
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
    match Process::try_start(&path, SEGMENT_BYTES) {
        Ok(process) if name == "definitions" => {
            process.terminate();
            // What the broker did without its definitions must not have cost a message.
            fs::write(path.join(name), before).expect("the file can be written");
            let process = Process::start(&path, SEGMENT_BYTES);
            drain(process.address(), &mut model, used.ended, random);
            process.terminate();
        }
        Ok(process) => {
            let lost = drain_damaged(process.address(), &mut model, &before);
            let log = process.terminate();
            let said = log.iter().any(|line| line.contains(name));
            assert!(lost == 0 || said, "{lost} lost and not a word:\n{}", log.join("\n"));
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

#[test]
fn a_spoilt_file_of_a_killed_broker_costs_only_what_lay_in_it() {
    spoil_many(4, Ended::Killed);
}

#[test]
fn a_spoilt_file_of_a_broker_at_rest_costs_only_what_lay_in_it() {
    spoil_many(5, Ended::Orderly);
}

#[test]
fn without_definitions_nothing_is_thrown_away() {
    let mut used = Used::new(6, Ended::Orderly);
    let definitions = used.path.join("definitions");
    let before = fs::read(&definitions).expect("the file can be read");
    fs::remove_file(&definitions).expect("the file can be removed");
    // The second start finds the file that the first one made.
    for _ in 0..2 {
        let refused = Process::try_start(&used.path, SEGMENT_BYTES);
        let refusal = refused.err().expect("it does not start");
        let said = refusal.log.last().is_some_and(|line| line.contains("definitions"));
        assert!(said && !refusal.status.success(), "{refusal:?}");
    }
    fs::write(&definitions, before).expect("the file can be written");
    let process = Process::start(&used.path, SEGMENT_BYTES);
    drain(process.address(), &mut used.model, Ended::Orderly, &mut Random::new(6));
    process.terminate();
}

#[test]
fn what_lies_behind_the_durable_position_does_not_matter() {
    let spoils = [Spoil::Nothing, Spoil::Zeros, Spoil::Garbage, Spoil::SomePages, Spoil::Truncated];
    let mut moved = 0;
    for (seed, spoil) in (1..=15).zip(spoils.into_iter().cycle()) {
        moved += tail::tear(seed, spoil);
    }
    assert!(moved > 0, "compaction was never cut short");
}
