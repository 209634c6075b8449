//! What does an hour of everything at once do to a broker? Publishers with confirms, consumers that
//! die, dead letters, delays, priorities, streams, deletes, transactions, clients that come and go
//! and clients that read slowly, while the broker is killed and stopped every so often: every
//! message is accounted for, and memory, disk and descriptors stay flat.
//!
//! Without `LEVERET_SOAK_MINUTES` it takes some seconds; `scripts/soak` sets it. A failure says
//! which worker found it, and `LEVERET_CRASH_SEED` lets chance begin in the same way.

mod common;
#[path = "soak/mod.rs"]
mod kit;

use std::thread;
use std::time::Duration;

use common::*;
use kit::keeper::Keeper;
use kit::shift::Shift;
use kit::watcher::Watcher;
use kit::{churn, classic, dead, delays, deletes, priorities, slow, streams, transactions};

/// How long it goes on where nothing else is said.
const SHORT: Duration = Duration::from_secs(12);
/// So small, files come and go in seconds.
const SEGMENT_BYTES_SHORT: u32 = 1 << 20;
/// As by default.
const SEGMENT_BYTES: u32 = 16 << 20;

/// A worker: what it does until the shift is over, and whether everything was there then.
type Work = fn(&Shift, Random);

const WORKERS: [(&str, Work); 9] = [
    ("classic", classic::work),
    ("dead letters", dead::work),
    ("delays", delays::work),
    ("priorities", priorities::work),
    ("streams", streams::work),
    ("deletes", deletes::work),
    ("churn", churn::work),
    ("slow readers", slow::work),
    ("transactions", transactions::work),
];

#[test]
fn everything_at_once_loses_nothing_and_nothing_grows() {
    let minutes: Option<u64> = number("LEVERET_SOAK_MINUTES");
    let time = minutes.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    let segment_bytes = if minutes.is_some() { SEGMENT_BYTES } else { SEGMENT_BYTES_SHORT };
    let shift = Shift::new(seed(1), minutes.is_none());
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let data = directory.path().join("data");
    let mut keeper = Keeper::start(&shift, &data, segment_bytes);
    let mut watcher = Watcher::new(&shift, data);
    thread::scope(|scope| {
        let (shift, keeper, watcher) = (&shift, &mut keeper, &mut watcher);
        for (name, work) in WORKERS {
            shift.spawn(scope, name, move |random| work(shift, random));
        }
        shift.spawn(scope, "keeper", move |random| keeper.keep(time, random));
        shift.spawn(scope, "watcher", move |_| watcher.watch());
    });
    keeper.check_flat();
    if minutes.is_some() {
        watcher.check_growth();
    }
    let (kills, stops) = keeper.finish();
    eprintln!("killed {kills} times, told to stop {stops} times");
    assert!(kills > 0 && stops > 1, "it was to be killed and to be stopped");
}
