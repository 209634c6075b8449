//! How long does the message log take for an append, a settle, and to come back?

use std::path::Path;

use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use leveret::storage::{Body, HelperMode, Publication, QueueId, Store, StoreOptions};
use tempfile::TempDir;

fn main() {
    divan::main();
}

fn open(directory: &Path) -> Store {
    let options = StoreOptions::new(directory, StoreOptions::SEGMENT_BYTES, HelperMode::Manual);
    Store::open(options).expect("the directory can be used")
}

fn publication(durable: bool, body: &[u8]) -> Publication<'_> {
    Publication {
        durable,
        exchange: b"",
        routing_key: b"queue",
        properties: b"\x10\0\x02",
        body: Body::Inline(body),
        published_ms: 1,
        expiry_ms: 0,
        deliveries: 0,
        queues: &[QueueId(1)],
        replaces: None,
        defines: None,
    }
}

fn turn(store: &mut Store) {
    store.retire();
    store.write_out(true).expect("the disk takes it");
    store.write_out_transient().expect("the disk takes it");
    store.start_sync_if(true).expect("the helper lives");
    store.run_helper(usize::MAX);
    store.take_answers().expect("the helper lives");
    store.maintain().expect("the helper lives");
}

const BATCH: u32 = 1000;

fn append_and_settle(bencher: Bencher<'_, '_>, durable: bool, body_bytes: usize) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let mut store = open(directory.path());
    let body = vec![7; body_bytes];
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let publication = publication(durable, &body);
        for _ in 0..BATCH {
            let appended = store.append(&publication).expect("there is room");
            let record = store.record(appended.entry.at);
            divan::black_box(record.small_body());
            store.settle(appended.entry.at, appended.first_slot);
        }
        if durable {
            turn(&mut store);
        } else {
            store.write_out_transient().expect("the disk takes it");
        }
    });
}

/// With one write and one sync for a thousand.
#[divan::bench(args = [128, 1024])]
fn append_durable(bencher: Bencher<'_, '_>, body_bytes: usize) {
    append_and_settle(bencher, true, body_bytes);
}

/// Never written, since all are settled in the same turn.
#[divan::bench(args = [128, 1024])]
fn append_transient(bencher: Bencher<'_, '_>, body_bytes: usize) {
    append_and_settle(bencher, false, body_bytes);
}

#[divan::bench(sample_count = 10)]
fn recovery_of_a_million_100_byte_messages(bencher: Bencher<'_, '_>) {
    const MESSAGES: u32 = 1_000_000;
    let directory = TempDir::new().expect("a temporary directory can be made");
    let mut store = open(directory.path());
    for number in 0..MESSAGES {
        store.append(&publication(true, &[7; 100])).expect("there is room");
        if number % BATCH == 0 {
            turn(&mut store);
        }
    }
    turn(&mut store);
    drop(store);
    let files = std::fs::read_dir(directory.path()).expect("it is there").flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
    bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut store = open(directory.path());
        let mut found = 0;
        store.replay(&mut |_| {
            found += 1;
            true
        });
        assert_eq!(found, MESSAGES);
    });
}
