//! What is in a message? Bodies of sizes and kinds that change over time, and some that an enemy
//! would send: nothing but 0x00, nothing but 0xFF, pieces of what the broker itself wrote.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::model::Id;
use super::parts::{Part, Parts};
use crate::common::Random;

/// How many events a phase of each kind lasts. Many small messages pass where a few large ones
/// were.
const LARGE_EVENTS: usize = 400;
const SMALL_EVENTS: usize = 1600;
const MIXED_EVENTS: usize = 500;
/// How many messages are sent at once, and how many when they are small.
const BURST_MAX: usize = 40;
const SMALL_BURST_MAX: usize = 400;
/// How much is read of the broker's files at once.
const STOLEN_BYTES: usize = 1 << 20;
/// How many bodies are made of that.
const THEFT_EVERY: usize = 40;

/// What a body is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Filling {
    Random,
    Zeros,
    Ones,
    /// Bytes from the broker's files, at any alignment.
    Stolen,
}

/// How large bodies are for a while.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Large,
    Small,
    Mixed,
}

/// Makes the bodies of one client.
pub struct Bodies {
    random: Random,
    parts: Parts,
    /// The broker's directory.
    directory: PathBuf,
    stolen: Vec<u8>,
    thefts: usize,
}

impl Bodies {
    pub fn new(random: Random, parts: Parts, directory: &Path) -> Bodies {
        let directory = directory.to_owned();
        Bodies { random, parts, directory, stolen: Vec::new(), thefts: 0 }
    }

    /// How many messages to send at once.
    pub fn burst(&mut self, events: usize) -> usize {
        let max = match phase(events).0 {
            Phase::Small if self.parts.has(Part::Phases) => SMALL_BURST_MAX,
            Phase::Large | Phase::Small | Phase::Mixed => BURST_MAX,
        };
        self.random.within(1..max)
    }

    /// A size that suits the time, which is told by the events so far.
    pub fn size(&mut self, events: usize, is_flood: bool) -> usize {
        let random = &mut self.random;
        if is_flood {
            return random.within(0..40);
        }
        if !self.parts.has(Part::Phases) {
            return mixed(random);
        }
        match phase(events).0 {
            Phase::Large => random.within(30_000..300_000),
            Phase::Small => random.within(10..200),
            Phase::Mixed => mixed(random),
        }
    }

    /// What a body is made of at this time. One that may have to be made again is not stolen.
    pub fn filling(&mut self, events: usize, again: bool) -> Filling {
        if !self.parts.has(Part::Hostile) {
            return Filling::Random;
        }
        let fillings = [Filling::Random, Filling::Zeros, Filling::Ones, Filling::Stolen];
        // Most of a phase is of one kind, so that whole segments are.
        let (_, favourite) = phase(events);
        let filling = match self.random.chance(70) {
            true => fillings[favourite],
            false => *self.random.pick(&fillings),
        };
        if again && filling == Filling::Stolen { Filling::Ones } else { filling }
    }

    pub fn body(&mut self, id: Id, bytes: usize, filling: Filling) -> Vec<u8> {
        match filling {
            Filling::Zeros => vec![0; bytes],
            Filling::Ones => vec![0xff; bytes],
            Filling::Random => named(id, bytes),
            Filling::Stolen => self.steal(bytes),
        }
    }

    fn steal(&mut self, bytes: usize) -> Vec<u8> {
        if self.thefts.is_multiple_of(THEFT_EVERY) {
            self.stolen = self.read_segment().unwrap_or_default();
            // There may be none yet.
            self.stolen.resize(STOLEN_BYTES, 0xff);
        }
        self.thefts += 1;
        let from = self.random.within(0..STOLEN_BYTES - bytes);
        self.stolen[from..from + bytes].to_vec()
    }

    /// A piece of one of the broker's segments; `None` when the file is gone meanwhile.
    fn read_segment(&mut self) -> Option<Vec<u8>> {
        let entries = fs::read_dir(&self.directory).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "segment");
        let mut segments: Vec<_> = paths.filter(is_segment).collect();
        segments.sort();
        if segments.is_empty() {
            return None;
        }
        let file = File::open(self.random.pick(&segments)).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).expect("segments are small");
        let from = self.random.within(0..length.saturating_sub(STOLEN_BYTES) + 1);
        let mut bytes = vec![0; STOLEN_BYTES.min(length - from)];
        file.read_exact_at(&mut bytes, from as u64).ok()?;
        Some(bytes)
    }
}

/// What kind of time it is, and the number of the filling that is used most.
fn phase(events: usize) -> (Phase, usize) {
    let cycle = LARGE_EVENTS + SMALL_EVENTS + MIXED_EVENTS;
    let (number, phase) = match (events / cycle, events % cycle) {
        (cycles, 0..LARGE_EVENTS) => (3 * cycles, Phase::Large),
        (cycles, at) if at < LARGE_EVENTS + SMALL_EVENTS => (3 * cycles + 1, Phase::Small),
        (cycles, _) => (3 * cycles + 2, Phase::Mixed),
    };
    (phase, Random::new(number as u64).within(0..4))
}

/// Mostly small, now and then large enough to come in pieces.
fn mixed(random: &mut Random) -> usize {
    match random.within(0..100) {
        0..70 => random.within(0..2000),
        70..92 => random.within(2000..65_536),
        _ => random.within(65_536..300_000),
    }
}

/// Random bytes in which the id stands again and again, if it fits: a segment can be searched for
/// it, whichever piece of the body lies there.
fn named(id: Id, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    Random::new((id.publisher as u64) << 32 | id.number as u64).fill(&mut body);
    let name = format!("<{id:?}>");
    let last = bytes.saturating_sub(name.len());
    for at in (0..last).step_by(4096).chain([last]) {
        if let Some(place) = body.get_mut(at..at + name.len()) {
            place.copy_from_slice(name.as_bytes());
        }
    }
    body
}

/// What a body is known by.
pub fn checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}
