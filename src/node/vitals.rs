//! How is the node doing: its turns, and who waits?
//!
//! Turns are noted by whoever runs them, since only that one has a clock.

use std::time::{Duration, Instant};

use crate::management::{Syncs, Turns, Vitals};

use super::Node;
use super::blocking::Blocking;

/// What the node remembers for whoever asks how it is doing.
#[derive(Debug)]
pub(super) struct Health {
    /// Clients wait to be accepted until there are fewer open files.
    is_short_of_files: bool,
    turns: Turns,
    /// When the present window of the longest turn began, and the longest one before and in it.
    window_began: Instant,
    longest_before: u64,
    longest: u64,
}

/// The longest turn of late is that of the present window and the one before. Whoever asks every 15
/// s, as Prometheus does, misses none, and several who ask take nothing from each other.
const WINDOW: Duration = Duration::from_secs(30);

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_short_of_files: false,
            turns: Turns::default(),
            window_began: now,
            longest_before: 0,
            longest: 0,
        }
    }

    fn note_turn(&mut self, now: Instant, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.turns.count += 1;
        self.turns.nanos += nanos;
        let age = now.saturating_duration_since(self.window_began);
        if age >= WINDOW {
            // Where nothing was turned for a whole window, none of it was of late.
            self.longest_before = if age < 2 * WINDOW { self.longest } else { 0 };
            self.longest = 0;
            self.window_began = now;
        }
        self.longest = self.longest.max(nanos);
    }

    /// How it is doing. The same few figures, however much there is in it.
    pub(super) fn vitals(&self, blocking: &Blocking, syncs: Syncs) -> Vitals {
        Vitals {
            connections_blocked: blocking.blocked_count(),
            is_short_of_files: self.is_short_of_files,
            turns: self.turns(),
            syncs,
        }
    }

    fn turns(&self) -> Turns {
        Turns { longest_nanos: self.longest.max(self.longest_before), ..self.turns }
    }
}

impl Node {
    /// A turn ended, which took so long.
    pub fn note_turn(&mut self, took: Duration) {
        self.health.note_turn(self.now, took);
    }

    /// Whether clients wait because too many files are open.
    pub fn note_shortage_of_files(&mut self, is_short: bool) {
        self.health.is_short_of_files = is_short;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_of_late_is_forgotten_after_two_windows() {
        let began = Instant::now();
        let mut health = Health::new(began);
        let mut turn = |after_s: u64, ms: u64| {
            health.note_turn(began + Duration::from_secs(after_s), Duration::from_millis(ms));
            health.turns().longest_nanos / 1_000_000
        };
        assert_eq!([turn(1, 5), turn(2, 90), turn(29, 3)], [5, 90, 90]);
        assert_eq!([turn(31, 4), turn(59, 7)], [90, 90], "it was in the window before");
        assert_eq!(turn(62, 1), 7);
        assert_eq!(turn(1000, 2), 2, "what is long ago is not of late");
        assert_eq!((health.turns().count, health.turns().nanos), (7, 112_000_000));
    }
}
