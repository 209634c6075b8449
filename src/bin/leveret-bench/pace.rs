//! What time is it, and is the next message due? The clock of the tool and the schedule of
//! `--rate`.
//!
//! Everything but [`Clock`] takes the time as a number, so that tests bring their own.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds per second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A clock that never goes back and whose readings two processes on one host can compare:
/// the wall clock at its making plus what a monotonic clock counted since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch_ns: u64,
    made: Instant,
}

impl Clock {
    /// Reads both clocks once.
    pub fn new() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { epoch_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(0), made: Instant::now() }
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        let elapsed = self.made.elapsed();
        self.epoch_ns + elapsed.as_secs() * SECOND_NS + u64::from(elapsed.subsec_nanos())
    }
}

/// The schedule of one publisher's share of a rate: publisher p of n at r messages a second
/// intends its message k at (k n + p) / r seconds after the start, so that all publishers
/// together are evenly spaced.
///
/// The schedule does not bend when the broker stalls: what could not be sent in time keeps
/// its intended time, and latencies count from there (no coordinated omission).
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate: u64,
    publishers: u64,
    publisher: u64,
}

impl Schedule {
    /// The share of `publisher` (from 0) of `publishers` at `rate` messages per second over
    /// all of them; both at least 1.
    pub fn new(rate: u64, publishers: u64, publisher: u64) -> Schedule {
        assert!(rate > 0 && publishers > publisher, "a schedule needs a rate and a place in it");
        Schedule { rate, publishers, publisher }
    }

    /// When this publisher's message `k` (from 0) is due, nanoseconds after the start.
    pub fn due_ns(&self, k: u64) -> u64 {
        let place = u128::from(k) * u128::from(self.publishers) + u128::from(self.publisher);
        let due = place * u128::from(SECOND_NS) / u128::from(self.rate);
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// How many messages of this publisher are due when `elapsed_ns` have passed since the
    /// start.
    pub fn due_count(&self, elapsed_ns: u64) -> u64 {
        // The greatest place whose due time, rounded down, is not after now.
        let places =
            ((u128::from(elapsed_ns) + 1) * u128::from(self.rate)).div_ceil(u128::from(SECOND_NS));
        let mine = places.saturating_sub(u128::from(self.publisher));
        u64::try_from(mine.div_ceil(u128::from(self.publishers))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let clock = Clock::new();
        let first = clock.now_ns();
        assert!(first > 0);
        assert!(clock.now_ns() >= first);
    }

    #[test]
    fn a_thousand_a_second_is_one_each_millisecond() {
        let schedule = Schedule::new(1000, 1, 0);
        assert_eq!(schedule.due_ns(0), 0);
        assert_eq!(schedule.due_ns(1), 1_000_000);
        assert_eq!(schedule.due_count(0), 1);
        assert_eq!(schedule.due_count(999_999), 1);
        assert_eq!(schedule.due_count(1_000_000), 2);
        assert_eq!(schedule.due_count(SECOND_NS - 1), 1000);
    }

    #[test]
    fn publishers_share_the_rate_evenly_spaced() {
        let shares: Vec<Schedule> = (0..3).map(|p| Schedule::new(300, 3, p)).collect();
        let mut due: Vec<u64> =
            shares.iter().flat_map(|share| (0..100).map(|k| share.due_ns(k))).collect();
        due.sort_unstable();
        assert_eq!(due.len(), 300);
        for (place, &at) in due.iter().enumerate() {
            assert_eq!(at, u64::try_from(place).unwrap() * SECOND_NS / 300);
        }
        let total: u64 = shares.iter().map(|share| share.due_count(SECOND_NS - 1)).sum();
        assert_eq!(total, 300);
    }

    #[test]
    fn count_and_time_agree_at_odd_rates() {
        for (rate, publishers) in [(7, 3), (999, 4), (1_000_000, 7), (3, 1), (1, 5)] {
            for publisher in 0..publishers {
                let schedule = Schedule::new(rate, publishers, publisher);
                for k in 0..200 {
                    let due = schedule.due_ns(k);
                    assert_eq!(schedule.due_count(due), k + 1, "{rate}/{publishers} message {k}");
                    if due > 0 {
                        assert_eq!(schedule.due_count(due - 1), k);
                    }
                }
            }
        }
    }

    #[test]
    fn a_stall_does_not_move_the_schedule() {
        let schedule = Schedule::new(100, 1, 0);
        // Nothing was sent for five seconds: 501 messages are due, the first at time 0.
        assert_eq!(schedule.due_count(5 * SECOND_NS), 501);
        assert_eq!(schedule.due_ns(0), 0);
    }
}
