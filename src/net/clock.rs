//! What time is it? Read once a turn, here and nowhere else.

#![allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time of a turn and the wall-clock time that belongs to it.
///
/// The wall clock is read once, at start: a clock that is set while the broker runs neither
/// expires messages early nor keeps them for ever.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_unix: Duration,
    now: Instant,
}

/// The longest time that anything is waited for at once.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Clock {
    /// Reads both clocks.
    pub fn start() -> Self {
        let started = Instant::now();
        let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started, started_unix, now: started }
    }

    /// Reads the monotonic clock, for one turn.
    pub fn read(&mut self) {
        self.now = Instant::now();
    }

    /// The turn's time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How long ago the turn's time was read.
    pub fn since_read(&self) -> Duration {
        self.now.elapsed()
    }

    /// When it will be that many milliseconds since 1970; a far time comes early.
    pub fn instant_of(&self, unix_ms: u64) -> Instant {
        let since = Duration::from_millis(unix_ms).saturating_sub(self.started_unix);
        self.started + since.min(FAR)
    }

    /// The turn's time in milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        let since = self.started_unix + self.now.duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
