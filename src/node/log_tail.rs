//! How do lines of the log come to the turn, which publishes them?
//!
//! The logger appends, from whatever thread; the turn takes. In between is a bounded list: what
//! finds no place is dropped and counted, and nobody waits.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter};

use super::Node;

/// The most lines that wait.
pub const LOG_LINES_MAX: usize = 1_000;

/// A longer line is cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;

/// The last lines of the log that were not published yet.
#[derive(Debug)]
pub struct LogTail {
    /// The least severe level that is kept, as a number; 0: nothing is.
    level: AtomicUsize,
    /// How many wait.
    count: AtomicUsize,
    /// How many found no place.
    dropped: AtomicUsize,
    lines: Mutex<VecDeque<(Level, String)>>,
}

impl LogTail {
    /// One that keeps nothing yet.
    #[allow(clippy::new_without_default, reason = "it is made in a constant")]
    pub const fn new() -> Self {
        Self {
            level: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            lines: Mutex::new(VecDeque::new()),
        }
    }

    /// From now on lines are kept that are at least so severe.
    pub fn keep(&self, level: LevelFilter) {
        self.level.store(level as usize, Ordering::Relaxed);
        if level == LevelFilter::Off {
            self.lock().clear();
            self.count.store(0, Ordering::Release);
        }
    }

    /// A line was logged.
    pub fn push(&self, level: Level, text: &str) {
        if level as usize > self.level.load(Ordering::Relaxed) {
            return;
        }
        let mut lines = self.lock();
        if lines.len() >= LOG_LINES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut end = text.len().min(LOG_LINE_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        lines.push_back((level, text[..end].to_owned()));
        self.count.store(lines.len(), Ordering::Release);
    }

    /// Whether lines wait.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many found no place since this was last asked.
    pub fn take_dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// The line that has waited for longest.
    pub fn pop(&self) -> Option<(Level, String)> {
        let mut lines = self.lock();
        let line = lines.pop_front();
        self.count.store(lines.len(), Ordering::Release);
        line
    }

    /// A thread that died while it held the list left it whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Level, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Lines of the log come from there.
    pub fn follow_log(&mut self, tail: &'static LogTail) {
        self.log_tail = Some(tail);
    }

    /// Whether lines of the log wait to be published.
    pub(super) fn has_log_lines(&self) -> bool {
        self.log_tail.is_some_and(|tail| !tail.is_empty())
    }

    /// Hands lines of the log to the broker, as far as this step allows.
    pub(super) fn take_log_lines(&mut self) {
        let Some(tail) = self.log_tail.filter(|tail| !tail.is_empty()) else {
            return;
        };
        let time = utc(self.broker.clock_ms());
        while !self.broker.work.is_done()
            && let Some((level, text)) = tail.pop()
        {
            let key = key_of(level);
            self.broker.note_log_line(key, &format!("{time} [{key}] {text}\n"));
        }
        let dropped = tail.take_dropped();
        if dropped > 0 {
            log::warn!("{dropped} lines of this log were not published: there were too many");
        }
    }
}

/// A level in RabbitMQ's words.
fn key_of(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// A time in ms since 1970 as RabbitMQ writes it: `2026-11-26 13:45:04.570000+00:00`.
fn utc(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02} ");
    // Writing to a string does not fail.
    let _ = write!(text, "{hour:02}:{minute:02}:{second:02}.{ms:03}000+00:00");
    text
}

/// Year, month and day of a day since 1970, in the calendar that everybody uses.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // Every 400 years it begins anew; 2000 is the year to begin with, and it lies 30 years on.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rabbitmq_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.000000+00:00"),
            (951_782_400_000, "2000-02-29 00:00:00.000000+00:00"),
            (1_709_251_199_999, "2024-02-29 23:59:59.999000+00:00"),
            (1_795_700_704_570, "2026-11-26 13:45:04.570000+00:00"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000000+00:00"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_not_severe_enough_is_not_kept() {
        let tail = LogTail::new();
        tail.push(Level::Error, "before anybody wants it");
        assert!(tail.is_empty());
        tail.keep(LevelFilter::Warn);
        tail.push(Level::Info, "no");
        for _ in 0..LOG_LINES_MAX + 3 {
            tail.push(Level::Warn, &"\u{fc}".repeat(LOG_LINE_BYTES_MAX));
        }
        assert_eq!((tail.take_dropped(), tail.take_dropped()), (3, 0));
        let (level, text) = tail.pop().unwrap();
        assert_eq!((level, text.len()), (Level::Warn, LOG_LINE_BYTES_MAX));
        tail.keep(LevelFilter::Off);
        assert!(tail.is_empty() && tail.pop().is_none());
    }
}
