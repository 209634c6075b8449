//! Which figures of the node are remembered, and how far back?

use super::view::ConnectionChurn;
use crate::broker::Broker;
use crate::broker::counters::HAPPENINGS;
use crate::broker::history::{History, Span};

/// Those that go up and down: messages that are ready, and unacknowledged.
pub const READY: usize = 0;
/// The same.
pub const UNACKED: usize = 1;
/// Memory and free disk space in bytes, open files, sockets.
pub const MEMORY: usize = 2;
/// The same.
pub const DISK_FREE: usize = 3;
/// The same.
pub const FILES: usize = 4;
/// The same.
pub const SOCKETS: usize = 5;
/// How many of these there are.
const GAUGES: usize = 6;

/// Where what happened to messages begins.
pub const HAPPENED: usize = GAUGES;

/// Where what came and went begins, in the order of [`CHURN_NAMES`].
pub const CHURN: usize = HAPPENED + HAPPENINGS;

/// What came and went, by the names that tools read.
pub const CHURN_NAMES: [&str; 7] = [
    "channel_closed",
    "channel_created",
    "connection_closed",
    "connection_created",
    "queue_created",
    "queue_declared",
    "queue_deleted",
];

/// Syncs of the log, and how long all of them took in nanoseconds.
pub const SYNCS: usize = CHURN + CHURN_NAMES.len();
/// The same.
pub const SYNC_NANOS: usize = SYNCS + 1;
/// Write calls of the log, and bytes written.
pub const WRITES: usize = SYNCS + 2;
/// The same.
pub const WRITTEN_BYTES: usize = SYNCS + 3;
/// Messages appended to the log.
pub const APPENDED: usize = SYNCS + 4;

/// How many figures there are.
pub const FIGURES: usize = SYNCS + 5;

/// All of them at one time.
pub type NodeFigures = [u64; FIGURES];

/// All of them over a day.
pub type NodeHistory = History<FIGURES>;

const MINUTE_MS: u64 = 60_000;

/// How far back: ten minutes in samples, an hour in half minutes, eight hours in four minutes, a
/// day in twelve. That are about 120 samples each, which take 120 kB after a day.
pub const SPANS: &[Span] = &[
    Span { step_ms: 0, age_ms: 10 * MINUTE_MS },
    Span { step_ms: MINUTE_MS / 2, age_ms: 60 * MINUTE_MS },
    Span { step_ms: 4 * MINUTE_MS, age_ms: 8 * 60 * MINUTE_MS },
    Span { step_ms: 12 * MINUTE_MS, age_ms: 24 * 60 * MINUTE_MS },
];

/// Nothing is remembered yet.
pub fn new_history() -> NodeHistory {
    History::new(GAUGES, SPANS)
}

/// The figures now, with those that only the node has: memory, disk, files and sockets.
pub fn of_node(broker: &Broker, of_process: [u64; 4], churn: ConnectionChurn) -> NodeFigures {
    let mut figures = [0; FIGURES];
    let totals = broker.queues().totals();
    figures[READY] = totals.ready;
    figures[UNACKED] = totals.unacked;
    figures[MEMORY..GAUGES].copy_from_slice(&of_process);
    figures[HAPPENED..CHURN].copy_from_slice(broker.counters.counts());
    figures[CHURN..SYNCS].copy_from_slice(&came_and_went(broker, churn));
    let log = broker.log_counters();
    let of_log = [log.syncs, log.sync_nanos_total, log.writes, log.bytes_written, log.messages];
    figures[SYNCS..].copy_from_slice(&of_log);
    figures
}

/// How much came and went, in the order of [`CHURN_NAMES`].
pub fn came_and_went(broker: &Broker, churn: ConnectionChurn) -> [u64; CHURN_NAMES.len()] {
    let others = broker.queues().churn();
    [
        others.channels_closed,
        others.channels_opened,
        churn.closed,
        churn.opened,
        others.queues_created,
        others.queues_declared,
        others.queues_deleted,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_node_takes_a_few_hundred_kilobytes_at_most() {
        let mut history = new_history();
        assert_eq!(history.bytes(), 0);
        let day_ms = 24 * 60 * MINUTE_MS;
        for at_ms in (0..=2 * day_ms).step_by(5_000) {
            history.record(at_ms, [at_ms; FIGURES]);
        }
        assert!(history.bytes() < 300_000, "{}", history.bytes());
        assert!(history.at(day_ms).is_some(), "it reaches back a day");
    }
}
