//! Who ends the broker and starts it again? A keeper that kills it or tells it to stop every so
//! often, reads what it said, and looks at the end whether it is as slim as it was.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::link::STALL;
use super::shift::Shift;
use crate::common::{
    Process, Random, allocated_bytes, anonymous_bytes, descriptors, descriptors_beside, now,
    segments,
};

const MIB: u64 = 1 << 20;
/// What an empty broker that has been busy keeps of its log, and small files beside it.
const SEGMENTS_MAX: u64 = 4;
const SMALL_FILES_BYTES: u64 = MIB;
/// What it keeps of its memory.
const ANONYMOUS_BYTES_MAX: u64 = 24 * MIB;
/// So many descriptors it keeps for its log: each segment has one, also those of the transient
/// ring, which have no name.
const LOG_DESCRIPTORS_MAX: usize = 12;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The broker in all its lives.
pub struct Keeper<'a> {
    shift: &'a Shift,
    directory: PathBuf,
    segment_bytes: u32,
    /// `None` only while it is started again.
    process: Option<Process>,
    /// Those beside the log's.
    descriptors_at_start: usize,
    kills: usize,
    stops: usize,
}

impl<'a> Keeper<'a> {
    /// Starts the broker for the first time.
    pub fn start(shift: &'a Shift, directory: &Path, segment_bytes: u32) -> Keeper<'a> {
        let process = Process::start(directory, segment_bytes);
        let descriptors_at_start = descriptors_beside(process.id(), directory).expect("it runs");
        shift.life_begins(process.address(), process.id());
        Keeper {
            shift,
            directory: directory.to_owned(),
            segment_bytes,
            process: Some(process),
            descriptors_at_start,
            kills: 0,
            stops: 0,
        }
    }

    /// Ends and starts the broker until the time is over, and ends the shift.
    pub fn keep(&mut self, time: Duration, mut random: Random) {
        let end = now() + time;
        loop {
            let pause = match self.shift.is_short {
                true => time / 3,
                false => Duration::from_secs(random.within(60..150) as u64).min(time / 4),
            };
            let left = end.saturating_duration_since(now());
            if self.shift.wait(pause.min(left)) {
                return;
            }
            if now() >= end {
                self.shift.end();
                return;
            }
            // The first end is a kill and the second an orderly one.
            let is_kill = self.kills == 0 || (self.stops > 0 && random.chance(60));
            self.restart(is_kill);
        }
    }

    fn restart(&mut self, is_kill: bool) {
        self.shift.life_ends();
        self.end(is_kill);
        let process = Process::start(&self.directory, self.segment_bytes);
        self.shift.life_begins(process.address(), process.id());
        self.process = Some(process);
    }

    fn end(&mut self, is_kill: bool) {
        let process = self.process.take().expect("it runs");
        let (count, log) = match is_kill {
            true => (&mut self.kills, process.kill()),
            false => (&mut self.stops, process.terminate()),
        };
        *count += 1;
        let errors: Vec<_> = log.iter().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.is_empty(), "the broker has failed: {errors:#?}");
    }

    /// Waits until the broker, whom everybody has left, has given back what it took.
    pub fn check_flat(&self) {
        let process = self.process.as_ref().expect("it runs");
        let disk_max = SEGMENTS_MAX * u64::from(self.segment_bytes) + SMALL_FILES_BYTES;
        let open_max = self.descriptors_at_start;
        let deadline = now() + STALL;
        loop {
            let disk = allocated_bytes(&self.directory);
            let anonymous = anonymous_bytes(process.id()).expect("it runs");
            let all = descriptors(process.id()).expect("it runs");
            let open = descriptors_beside(process.id(), &self.directory).expect("it runs");
            let is_flat = disk <= disk_max
                && anonymous <= ANONYMOUS_BYTES_MAX
                && open <= open_max
                && all <= open_max + LOG_DESCRIPTORS_MAX;
            let files = segments(&self.directory);
            if is_flat || now() >= deadline {
                let (disk, anonymous) = (disk / MIB, anonymous / MIB);
                eprintln!(
                    "at the end: {anonymous} MiB of memory, {disk} MiB of disk, {all} \
                     descriptors, {open} of them not the log's (at the start {open_max})"
                );
                assert!(is_flat, "the broker keeps that, and the segments {files:?}");
                return;
            }
            // Nothing else tells that it has given something back.
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The last end, an orderly one, and a look at what is left: nothing. How often it was killed
    /// and told to stop.
    pub fn finish(mut self) -> (usize, usize) {
        self.end(false);
        let log = Process::start(&self.directory, self.segment_bytes).terminate();
        let is_empty = log.iter().any(|line| line.contains(" and 0 messages recovered"));
        assert!(is_empty, "everybody took everything, but: {log:#?}");
        (self.kills, self.stops)
    }
}
