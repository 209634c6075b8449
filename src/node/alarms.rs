//! Is there so little memory or disk left that publishers have to be blocked? And is there memory
//! that the allocator may give back?
//!
//! Owns the limits and what was found last. An alarm that is on ends only with some distance to
//! its limit, so that it does not flutter.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::sys;

/// How much memory and disk the broker may take.
#[derive(Debug, Clone)]
pub struct ResourceLimits {
    /// Anonymous memory in bytes; with 0 publishers are always blocked.
    pub memory_bytes_max: u64,
    /// What has to be free on the file system of `directory`, in bytes.
    pub disk_free_bytes_min: u64,
    /// The data directory.
    pub directory: PathBuf,
}

/// The alarms of one node.
#[derive(Debug)]
pub struct Alarms {
    limits: ResourceLimits,
    memory: bool,
    disk: bool,
    look_at: Instant,
    last_seen: (u64, u64),
    unused: Unused,
    /// The log says already that something cannot be seen.
    said_blind: bool,
}

/// Memory that the process has and nobody uses: a burst leaves it with the allocator.
#[derive(Debug, Default)]
struct Unused {
    /// What was left when the allocator was last told to give it back, and stays with it.
    left_bytes: u64,
    /// It is to be told.
    is_due: bool,
}

/// So much more than what stays is always worth the trouble.
const UNUSED_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// So much never is.
const UNUSED_BYTES_TOO_FEW: u64 = 512 * 1024;

/// A limit so low that the allocator can be told whenever publishers are blocked.
const SMALL_BYTES: u64 = 64 * 1024 * 1024;

impl Unused {
    /// With little memory, little is worth the trouble; and nobody is blocked for memory that is
    /// not used.
    fn look(&mut self, resident_bytes: u64, allocated_bytes: u64, memory_bytes_max: u64) {
        let worth = (memory_bytes_max / 16).clamp(UNUSED_BYTES_TOO_FEW, UNUSED_BYTES_MIN);
        let unused = resident_bytes.saturating_sub(allocated_bytes);
        let is_near = resident_bytes >= memory_bytes_max / 4 * 3;
        let is_much = unused >= resident_bytes / 4 || is_near;
        // It takes well below a millisecond there, and publishers are blocked.
        let is_urgent = memory_bytes_max <= SMALL_BYTES
            && resident_bytes >= memory_bytes_max - distance(memory_bytes_max);
        if (unused >= self.left_bytes + worth && is_much) || (is_urgent && unused >= worth) {
            // The next look shows what was given back.
            self.left_bytes = unused;
            self.is_due = true;
        } else {
            self.left_bytes = self.left_bytes.min(unused);
        }
    }
}

/// How often is looked while both limits are far away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often is looked while an alarm is on or near.
const LOOK_OFTEN_EVERY: Duration = Duration::from_millis(100);

impl Alarms {
    /// No alarm yet; it is to be looked at once.
    pub fn new(limits: ResourceLimits, now: Instant) -> Self {
        let unused = Unused::default();
        Self {
            limits,
            memory: false,
            disk: false,
            look_at: now,
            last_seen: (0, 0),
            unused,
            said_blind: false,
        }
    }

    /// How much the broker may take.
    pub fn limits(&self) -> &ResourceLimits {
        &self.limits
    }

    /// The same, to change it; it is looked at anew at once.
    pub fn limits_mut(&mut self, now: Instant) -> &mut ResourceLimits {
        self.look_at = now;
        &mut self.limits
    }

    /// Looks at memory and disk when it is time; whether there is an alarm for each.
    pub fn look(&mut self, now: Instant) -> (bool, bool) {
        if now >= self.look_at {
            let memory_bytes = self.seen(sys::anonymous_memory_bytes(), 0);
            if let Some(allocated_bytes) = sys::allocated_bytes() {
                let memory_bytes_max = self.limits.memory_bytes_max;
                self.unused.look(memory_bytes, allocated_bytes, memory_bytes_max);
            }
            let disk = sys::disk_space(&self.limits.directory).map(|disk| disk.available_bytes);
            let free_bytes = self.seen(disk, u64::MAX);
            self.last_seen = (memory_bytes, free_bytes);
            let near = self.judge(memory_bytes, free_bytes);
            self.look_at = now + if near { LOOK_OFTEN_EVERY } else { LOOK_EVERY };
        }
        (self.memory, self.disk)
    }

    /// Whether the allocator is to be told that it gives back what nobody uses.
    pub fn take_unused(&mut self) -> bool {
        std::mem::take(&mut self.unused.is_due)
    }

    /// What cannot be seen counts as no cause for alarm; the log says so once.
    fn seen(&mut self, bytes: io::Result<u64>, harmless: u64) -> u64 {
        bytes.unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.said_blind, true) {
                warn!("cannot see how much memory or disk there is: {error}");
            }
            harmless
        })
    }

    /// Memory and free disk space in bytes, as they were last seen.
    pub fn last_seen(&self) -> (u64, u64) {
        self.last_seen
    }

    /// When it will look again.
    pub fn next(&self) -> Instant {
        self.look_at
    }

    /// Raises and ends alarms; whether one is on or near.
    fn judge(&mut self, memory_bytes: u64, free_bytes: u64) -> bool {
        let ResourceLimits { memory_bytes_max, disk_free_bytes_min, .. } = self.limits;
        let memory_low = memory_bytes_max - distance(memory_bytes_max);
        let memory = match self.memory {
            true => memory_bytes >= memory_low,
            false => memory_bytes >= memory_bytes_max,
        };
        let disk_high = disk_free_bytes_min.saturating_add(distance(disk_free_bytes_min));
        let disk = match self.disk {
            true => free_bytes < disk_high,
            false => free_bytes < disk_free_bytes_min,
        };
        tell("memory", self.memory, memory, memory_bytes, memory_bytes_max);
        tell("disk", self.disk, disk, free_bytes, disk_free_bytes_min);
        (self.memory, self.disk) = (memory, disk);
        memory || disk || memory_bytes > memory_bytes_max / 2 || free_bytes / 2 < disk_high
    }
}

/// How far from its limit an alarm ends.
const fn distance(limit: u64) -> u64 {
    limit / 20
}

/// Says in the log that an alarm went on or off.
fn tell(what: &str, before: bool, now: bool, bytes: u64, limit: u64) {
    match (before, now) {
        (false, true) => {
            warn!("{what} alarm: {bytes} bytes, the limit is {limit}; publishers are blocked");
        }
        (true, false) => info!("{what} alarm is over: {bytes} bytes, the limit is {limit}"),
        (false, false) | (true, true) => {}
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn alarms() -> Alarms {
        let limits = ResourceLimits {
            memory_bytes_max: 1000,
            disk_free_bytes_min: 1000,
            directory: PathBuf::from("/"),
        };
        Alarms::new(limits, Instant::now())
    }

    #[test]
    fn an_alarm_ends_at_a_distance_from_its_limit() {
        let mut alarms = alarms();
        let plenty = 1_000_000;
        for (memory, disk, expected) in [
            (999, plenty, (false, false)),
            (1000, plenty, (true, false)),
            (950, plenty, (true, false)),
            (949, plenty, (false, false)),
            (999, plenty, (false, false)),
            (0, 1000, (false, false)),
            (0, 999, (false, true)),
            (0, 1049, (false, true)),
            (5000, 1049, (true, true)),
            (5000, 1050, (true, false)),
            (0, 1050, (false, false)),
        ] {
            alarms.judge(memory, disk);
            assert_eq!((alarms.memory, alarms.disk), expected, "memory {memory}, disk {disk}");
        }
    }

    #[test]
    fn the_allocator_is_told_once_of_what_is_worth_it() {
        const MIB: u64 = 1 << 20;
        let mut unused = Unused::default();
        for (resident, allocated, is_due) in [
            (30, 20, false),
            (100, 80, false),
            (500, 20, true),
            // Nothing was given back: it is not told again.
            (500, 20, false),
            (510, 20, false),
            (520, 20, true),
            // Most of it was.
            (50, 40, false),
            (90, 50, true),
            (50, 60, false),
            (80, 60, true),
        ] {
            unused.look(resident * MIB, allocated * MIB, 1 << 30);
            assert_eq!(std::mem::take(&mut unused.is_due), is_due, "{resident} {allocated}");
        }
    }

    #[test]
    fn on_a_small_host_a_megabyte_is_worth_it() {
        const KIB: u64 = 1 << 10;
        for (unused_kib, is_due) in [(300, false), (500, false), (700, true)] {
            let mut unused = Unused::default();
            unused.look((1000 + unused_kib) * KIB, 1000 * KIB, 8 << 20);
            assert_eq!(unused.is_due, is_due, "{unused_kib} KiB");
        }
        // Where publishers are blocked it is told again and again.
        let mut unused = Unused::default();
        for _ in 0..3 {
            unused.look(8000 * KIB, 7000 * KIB, 8 << 20);
            assert!(std::mem::take(&mut unused.is_due));
        }
        // A part of what is there so small that it is left alone, unless publishers may be blocked.
        for (allocated_kib, is_due) in [(5000, false), (7000, true)] {
            let mut unused = Unused::default();
            unused.look((allocated_kib + 700) * KIB, allocated_kib * KIB, 8 << 20);
            assert_eq!(unused.is_due, is_due, "{allocated_kib} KiB");
        }
    }

    #[test]
    fn what_is_near_its_limit_is_looked_at_more_often() {
        let mut alarms = alarms();
        assert!(!alarms.judge(500, 1_000_000));
        assert!(alarms.judge(501, 1_000_000));
        assert!(alarms.judge(0, 2000));
        assert!(!alarms.judge(0, 3000));
    }

    #[test]
    fn limits_of_0_block_always_and_never() {
        let mut alarms = alarms();
        alarms.limits.memory_bytes_max = 0;
        alarms.limits.disk_free_bytes_min = 0;
        for _ in 0..2 {
            alarms.judge(0, 0);
            assert!(alarms.memory && !alarms.disk);
        }
    }

    #[test]
    fn it_looks_at_this_process_and_this_disk() {
        let mut alarms = alarms();
        let now = alarms.next();
        alarms.limits.disk_free_bytes_min = u64::MAX;
        assert_eq!(alarms.look(now), (true, true));
        assert_eq!(alarms.next(), now + LOOK_OFTEN_EVERY);
    }
}
