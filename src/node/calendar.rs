//! How do the two ways to tell time belong together? Deadlines of sessions are instants of the
//! monotonic clock; messages and queues carry milliseconds since 1970.

use std::time::{Duration, Instant};

/// An instant and the time of day that it was.
///
/// The wall clock is read once, at start: a clock that is set while the broker runs neither
/// expires messages early nor keeps them for ever.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    started: Instant,
    started_unix: Duration,
}

/// The longest time that anything is waited for at once.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Calendar {
    /// At `started` it was `started_unix` after the beginning of 1970.
    pub fn new(started: Instant, started_unix: Duration) -> Self {
        Self { started, started_unix }
    }

    /// When it will be that many milliseconds since 1970; a far time comes early.
    pub fn instant_of(self, unix_ms: u64) -> Instant {
        let since = Duration::from_millis(unix_ms).saturating_sub(self.started_unix);
        self.started + since.min(FAR)
    }

    /// How many milliseconds since 1970 it is at `now`.
    pub fn unix_ms(self, now: Instant) -> u64 {
        let since = self.started_unix + now.duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
