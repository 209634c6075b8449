//! What time is it? Read once a turn, here and nowhere else.

#![allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::node::Calendar;

/// The monotonic time of a turn and the wall-clock time that belongs to it.
#[derive(Debug)]
pub struct Clock {
    calendar: Calendar,
    now: Instant,
}

impl Clock {
    /// Reads both clocks.
    pub fn start() -> Self {
        let now = Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { calendar: Calendar::new(now, unix), now }
    }

    /// Reads the monotonic clock, for one turn.
    pub fn read(&mut self) {
        self.now = Instant::now();
    }

    /// The turn's time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How the two kinds of time belong together.
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// How long ago the turn's time was read.
    pub fn since_read(&self) -> Duration {
        self.now.elapsed()
    }

    /// The turn's time in milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.calendar.unix_ms(self.now)
    }
}
