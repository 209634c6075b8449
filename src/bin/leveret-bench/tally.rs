//! What has been counted so far? Each worker counts for itself and shows its counters to the
//! runner once per turn; histograms are handed over at the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::pace::SECOND_NS;

/// The counters of one worker, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages published for the first time.
    pub published: u64,
    /// Messages sent again after a lost connection.
    pub resent: u64,
    /// Messages confirmed (acked, or committed).
    pub confirmed: u64,
    /// Messages that the broker refused (basic.nack).
    pub refused: u64,
    /// Deliveries.
    pub received: u64,
    /// Deliveries of messages of this run that had not been delivered before.
    pub first: u64,
    /// Consumers (queues consumed from) that the broker has acknowledged.
    pub subscribed: u64,
    /// Publishers that have sent everything and have all answers.
    pub finished: u64,
    /// Connections made anew.
    pub reconnects: u64,
    /// Connections that are down.
    pub down: u64,
    /// How often the broker said connection.blocked.
    pub blocked: u64,
    /// When a message or an answer last came or went, by the clock.
    pub active_ns: u64,
}

impl Counts {
    fn fields(&self) -> [u64; FIELDS] {
        [
            self.published,
            self.resent,
            self.confirmed,
            self.refused,
            self.received,
            self.first,
            self.subscribed,
            self.finished,
            self.reconnects,
            self.down,
            self.blocked,
            self.active_ns,
        ]
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Counts) {
        self.published += other.published;
        self.resent += other.resent;
        self.confirmed += other.confirmed;
        self.refused += other.refused;
        self.received += other.received;
        self.first += other.first;
        self.subscribed += other.subscribed;
        self.finished += other.finished;
        self.reconnects += other.reconnects;
        self.down += other.down;
        self.blocked += other.blocked;
        self.active_ns = self.active_ns.max(other.active_ns);
    }
}

/// One worker's counters, for another thread to read.
#[derive(Debug, Default)]
pub struct Live([AtomicU64; FIELDS]);

impl Live {
    /// Shows the counters as they are now.
    pub fn show(&self, counts: &Counts) {
        for (shown, value) in self.0.iter().zip(counts.fields()) {
            shown.store(value, Ordering::Relaxed);
        }
    }

    /// The counters as last shown; each by itself, not all of one moment.
    pub fn read(&self) -> Counts {
        let [
            published,
            resent,
            confirmed,
            refused,
            received,
            first,
            subscribed,
            finished,
            reconnects,
            down,
            blocked,
            active_ns,
        ] = std::array::from_fn(|field| self.0[field].load(Ordering::Relaxed));
        Counts {
            published,
            resent,
            confirmed,
            refused,
            received,
            first,
            subscribed,
            finished,
            reconnects,
            down,
            blocked,
            active_ns,
        }
    }
}

/// What a worker counts and measures.
#[derive(Debug)]
pub struct Tally {
    /// The counters.
    pub counts: Counts,
    /// Messages meant to be sent before this moment are not in the histograms.
    pub measure_from_ns: u64,
    /// From publishing to delivery, nanoseconds.
    pub delivery_ns: Histogram<u64>,
    /// From publishing to confirm or commit-ok, nanoseconds.
    pub confirm_ns: Histogram<u64>,
}

impl Tally {
    /// Nothing counted; nothing is measured until `measure_from_ns` is set.
    pub fn new() -> Tally {
        Tally {
            counts: Counts::default(),
            measure_from_ns: u64::MAX,
            delivery_ns: new_histogram(),
            confirm_ns: new_histogram(),
        }
    }
}

/// What the runner tells the workers.
#[derive(Debug)]
pub struct Control {
    start_ns: AtomicU64,
    measure_from_ns: AtomicU64,
    stop_publishing: AtomicBool,
    finish: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Control {
    /// Not started.
    pub fn new() -> Control {
        Control {
            start_ns: AtomicU64::new(u64::MAX),
            measure_from_ns: AtomicU64::new(u64::MAX),
            stop_publishing: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            failures: Mutex::new(Vec::new()),
        }
    }

    /// Publishers begin now; latencies count from `measure_from_ns`.
    pub fn start(&self, now_ns: u64, measure_from_ns: u64) {
        self.measure_from_ns.store(measure_from_ns, Ordering::Relaxed);
        self.start_ns.store(now_ns, Ordering::Release);
    }

    /// When publishers began and from when on latencies count, once they have.
    pub fn started(&self) -> Option<(u64, u64)> {
        match self.start_ns.load(Ordering::Acquire) {
            u64::MAX => None,
            start_ns => Some((start_ns, self.measure_from_ns.load(Ordering::Relaxed))),
        }
    }

    /// Publishers send nothing new from now on.
    pub fn stop_publishing(&self) {
        self.stop_publishing.store(true, Ordering::Relaxed);
    }

    /// Whether they were told to.
    pub fn publishing_stopped(&self) -> bool {
        self.stop_publishing.load(Ordering::Relaxed)
    }

    /// Workers close their connections and return.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Relaxed);
    }

    /// Whether they were told to.
    pub fn finishing(&self) -> bool {
        self.finish.load(Ordering::Relaxed)
    }

    /// Ends the run with a reason.
    pub fn fail(&self, reason: String) {
        let mut failures = self.failures.lock().unwrap_or_else(|poison| poison.into_inner());
        if failures.len() < FAILURES_MAX {
            failures.push(reason);
        }
    }

    /// The reasons so far.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }
}

/// A histogram of nanoseconds up to an hour, to three digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3600 * SECOND_NS, 3).expect("these bounds are in order")
}

const FIELDS: usize = 12;

/// Most failures kept; when the broker dies, every connection has the same one.
const FAILURES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        let counts = Counts { published: 1, first: 6, active_ns: 12, ..Counts::default() };
        let live = Live::default();
        live.show(&counts);
        assert_eq!(live.read(), counts);
        let mut sum = counts;
        sum.add(&Counts { published: 4, active_ns: 5, ..Counts::default() });
        assert_eq!((sum.published, sum.first, sum.active_ns), (5, 6, 12));
    }

    #[test]
    fn a_run_starts_once_told() {
        let control = Control::new();
        assert_eq!(control.started(), None);
        control.start(5, 7);
        assert_eq!(control.started(), Some((5, 7)));
        control.fail(String::from("x"));
        assert_eq!(control.failures(), ["x"]);
    }
}
