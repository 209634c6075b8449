//! Does the broker grow while it works? Its memory, its disk and its descriptors, looked at twice a
//! second, told once a minute, and compared at the end: the last third of the run with the first.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shift::Shift;
use crate::common::{allocated_bytes, anonymous_bytes, descriptors, now};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(60);
/// So much more than in the first third may be taken in the last one.
const FACTOR: u64 = 2;
const ANONYMOUS_SLACK_BYTES: u64 = 16 << 20;
const DISK_SLACK_BYTES: u64 = 64 << 20;
const DESCRIPTORS_SLACK: u64 = 64;

/// What the broker takes.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    anonymous_bytes: u64,
    disk_bytes: u64,
    descriptors: u64,
}

impl Taken {
    /// The larger of each.
    fn max(self, other: Taken) -> Taken {
        Taken {
            anonymous_bytes: self.anonymous_bytes.max(other.anonymous_bytes),
            disk_bytes: self.disk_bytes.max(other.disk_bytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

pub struct Watcher<'a> {
    shift: &'a Shift,
    directory: PathBuf,
    begun_at: Instant,
    told_at: Instant,
    samples: Vec<Taken>,
}

impl Watcher<'_> {
    pub fn new(shift: &Shift, directory: PathBuf) -> Watcher<'_> {
        let now = now();
        Watcher { shift, directory, begun_at: now, told_at: now, samples: Vec::new() }
    }

    /// Looks until the shift is over.
    pub fn watch(&mut self) {
        while !self.shift.wait(LOOK_EVERY) {
            self.look();
            if self.told_at.elapsed() >= TELL_EVERY {
                self.told_at += TELL_EVERY;
                self.tell();
            }
        }
        self.tell();
    }

    fn look(&mut self) {
        let process = self.shift.process();
        let taken = || {
            Some(Taken {
                anonymous_bytes: anonymous_bytes(process)?,
                disk_bytes: allocated_bytes(&self.directory),
                descriptors: descriptors(process)? as u64,
            })
        };
        // Between two lives there is nothing to look at.
        self.samples.extend(taken());
    }

    fn tell(&self) {
        let Some(last) = self.samples.last() else { return };
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        eprintln!(
            "{:>5} s: {} published, {} confirmed, {} consumed, {} restarts, {} MiB of memory, {} \
             MiB of disk, {} descriptors",
            self.begun_at.elapsed().as_secs(),
            count(&self.shift.published),
            count(&self.shift.confirmed),
            count(&self.shift.consumed),
            self.shift.lives() - 1,
            last.anonymous_bytes >> 20,
            last.disk_bytes >> 20,
            last.descriptors,
        );
    }

    /// Compares the most that was taken in the first and in the last third.
    pub fn check_growth(&self) {
        let third = self.samples.len() / 3;
        let most = |samples: &[Taken]| samples.iter().copied().fold(Taken::default(), Taken::max);
        let first = most(&self.samples[..third]);
        let last = most(&self.samples[self.samples.len() - third..]);
        eprintln!("at most in the first third: {first:?}, in the last: {last:?}");
        let grows = |first: u64, last: u64, slack: u64| last > FACTOR * first + slack;
        let is_growing = grows(first.anonymous_bytes, last.anonymous_bytes, ANONYMOUS_SLACK_BYTES)
            || grows(first.disk_bytes, last.disk_bytes, DISK_SLACK_BYTES)
            || grows(first.descriptors, last.descriptors, DESCRIPTORS_SLACK);
        assert!(!is_growing, "the broker grew from {first:?} to {last:?}");
    }
}
