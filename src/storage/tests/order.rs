//! The orders that must hold: what must not be seen early is not written early, and what a full
//! disk or a slow helper means.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use super::disk::Disk;
use super::*;
use crate::storage::segment::watch;
use crate::storage::{AppendError, Gate, LogPos};

fn path_of(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:08}.segment"))
}

/// The state in the header: 1 preparing, 2 ready, 3 in use.
fn state_of(path: &Path) -> u8 {
    fs::read(path).unwrap()[12]
}

fn slot_in_file(path: &Path, slot: u64) -> u8 {
    let file = fs::File::open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, u64::from(SEGMENT_BYTES) - 1 - slot).unwrap();
    byte[0]
}

/// Appends and settles until the active segment is another one.
fn roll(store: &mut Store) {
    let sequence = store.end().sequence;
    while store.end().sequence == sequence {
        let appended = publish(store, 1, &[0; 5000]);
        store.settle(appended.entry.at, appended.first_slot);
    }
}

#[test]
fn a_segment_is_prepared_in_the_order_that_survives_a_power_cut_at_any_step() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::watch(directory.path());
    let mut store = open(directory.path());
    turn(&mut store);
    roll(&mut store);
    store.write_out_durable().unwrap();
    store.start_sync_if(true).unwrap();
    store.run_helper(1);
    store.take_answers().unwrap();
    let path = path_of(directory.path(), 1);
    assert_eq!(slot_in_file(&path, 0), 255);
    store.maintain().unwrap();
    let mut states = vec![(state_of(&path), slot_in_file(&path, 0))];
    for step in 0..4 {
        for percent in [0, 30, 60, 100] {
            let target = tempfile::tempdir().unwrap();
            disk.cut_power(target.path(), percent, &mut Random(step + 1));
            // The watch is for the other directory.
            let mut store = open(target.path());
            assert_eq!(store.report().damaged, [], "step {step}");
            assert_eq!(replay(&mut store), [], "step {step}: nothing comes back");
        }
        store.run_helper(1);
        states.push((state_of(&path), slot_in_file(&path, 0)));
    }
    assert_eq!(states, [(3, 255), (1, 255), (1, 0), (2, 0), (2, 0)]);
    store.take_answers().unwrap();
    assert_eq!(store.counters().segments_spare, 2);
}

#[test]
fn what_a_move_settles_reaches_the_file_only_when_the_copy_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let old = publish(&mut store, 1, b"old");
    turn(&mut store);
    roll(&mut store);
    turn(&mut store);
    let path = path_of(directory.path(), 1);
    let moved = store
        .append(&Publication {
            body: Body::Of(old.entry.at),
            deliveries: 3,
            replaces: Some(old.first_slot),
            ..publication(true, &[QueueId(2)], b"")
        })
        .unwrap();
    assert_eq!(store.deliveries(old.first_slot), 255, "at once in memory");
    assert_eq!(store.deliveries(moved.first_slot), 3);
    store.write_out_durable().unwrap();
    store.start_sync_if(true).unwrap();
    store.write_out_durable().unwrap();
    store.maintain().unwrap();
    assert_eq!(slot_in_file(&path, 0), 0, "the copy is not durable");
    assert_eq!(state_of(&path), 3, "and the segment is not reused");
    store.run_helper(1);
    store.take_answers().unwrap();
    assert!(store.durable() >= moved.position);
    store.maintain().unwrap();
    assert_eq!(slot_in_file(&path, 0), 0);
    assert!(store.has_unsynced(), "somebody has to see to it");
    store.write_out_durable().unwrap();
    assert_eq!(slot_in_file(&path, 0), 255);
    turn(&mut store);
    assert!(!store.has_unsynced());
    drop(store);
    let found = replay(&mut open(directory.path()));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].queue, found[0].deliveries, &found[0].body[..]), (2, 3, &b"old"[..]));
}

#[test]
fn a_parked_body_can_be_moved_without_a_copy_and_goes_with_the_last_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body = vec![9; 300_000];
    let mut parked = store.park_body(true, 300_000).unwrap();
    for chunk in body.chunks(1000) {
        store.park(&mut parked, chunk).unwrap();
    }
    let written = store.counters().bytes_written;
    let queues = [QueueId(1), QueueId(2)];
    let first = store
        .append(&Publication { body: Body::Parked(&parked), ..publication(true, &queues, b"") })
        .unwrap();
    store.abandon(parked);
    assert_eq!(store.shared_body(first.entry.at).unwrap(), body);
    let second = store
        .append(&Publication {
            body: Body::Of(first.entry.at),
            replaces: Some(first.slot(0)),
            ..publication(true, &queues[..1], b"")
        })
        .unwrap();
    turn(&mut store);
    assert!(store.counters().bytes_written < written + 10_000);
    store.settle(first.entry.at, first.slot(1));
    assert!(store.record(second.entry.at).body() == body);
    drop(store);

    let mut store = open(directory.path());
    let found = replay(&mut store);
    let left: Vec<_> = found.iter().filter(|found| found.queue == 1).collect();
    assert!(left.len() == 1 && left[0].body == body);
    for found in &found {
        store.settle(found.entry.at, found.slot);
    }
    roll(&mut store);
    turn(&mut store);
    turn(&mut store);
    turn(&mut store);
    let large = |path: &Path| fs::metadata(path).unwrap().len() > u64::from(SEGMENT_BYTES);
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| large(path)).count(), 0);
}

#[test]
fn a_body_for_the_other_ring_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for durable in [true, false] {
        let mut parked = store.park_body(!durable, 5000).unwrap();
        store.park(&mut parked, &[3; 5000]).unwrap();
        let parked_in_other =
            Publication { body: Body::Parked(&parked), ..publication(durable, &[QueueId(1)], b"") };
        let appended = store.append(&parked_in_other).unwrap();
        store.abandon(parked);
        assert_eq!(store.record(appended.entry.at).body(), [3; 5000]);
        let moved = store
            .append(&Publication {
                body: Body::Of(appended.entry.at),
                replaces: Some(appended.first_slot),
                ..publication(!durable, &[QueueId(2)], b"")
            })
            .unwrap();
        assert_eq!(store.record(moved.entry.at).body(), [3; 5000]);
        turn(&mut store);
    }
    drop(store);
    let mut store = open(directory.path());
    let found = replay(&mut store);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].queue, found[0].body.len()), (2, 5000));
}

#[test]
fn a_pinned_segment_is_not_reused() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body = vec![5; 4096];
    let first = publish(&mut store, 1, &body);
    turn(&mut store);
    let shared = store.shared_body(first.entry.at).unwrap();
    store.settle(first.entry.at, first.first_slot);
    for _ in 0..6 {
        roll(&mut store);
        turn(&mut store);
        assert_eq!(shared, body);
        assert_eq!(state_of(&path_of(directory.path(), 1)), 3);
    }
    drop(shared);
    turn(&mut store);
    turn(&mut store);
    roll(&mut store);
    turn(&mut store);
    let counters = store.counters();
    assert!(counters.segments_used <= 2, "{counters:?}");
}

#[test]
fn a_full_disk_stops_publishing_but_neither_moves_nor_settling() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    watch::set_full(true);
    let mut sent = Vec::new();
    let body = [1; 5000];
    let mut room = Vec::new();
    loop {
        room.push(store.room_bytes(true));
        match store.append(&publication(true, &[QueueId(1)], &body)) {
            Ok(appended) => sent.push(appended),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                break;
            }
        }
        turn(&mut store);
        assert!(sent.len() < 100);
    }
    assert!(store.is_disk_full());
    assert!(*room.last().unwrap() < 6000, "it could be seen coming: {room:?}");
    assert_eq!(store.counters().segments_spare, 1, "the last one is kept");
    // A move takes it.
    let old = sent.pop().unwrap();
    let moved = store.append(&Publication {
        body: Body::Of(old.entry.at),
        replaces: Some(old.first_slot),
        ..publication(true, &[QueueId(2)], b"")
    });
    moved.unwrap();
    turn(&mut store);
    assert_eq!(store.counters().segments_spare, 0);
    // Consumers drain, segments become free, and publishing goes on though the disk is full.
    for sent in sent.drain(..) {
        store.settle(sent.entry.at, sent.first_slot);
    }
    turn(&mut store);
    turn(&mut store);
    assert!(store.append(&publication(true, &[QueueId(1)], &body)).is_ok());
    turn(&mut store);
    watch::set_full(false);
    store.retry_space();
    turn(&mut store);
    assert!(!store.is_disk_full());
    store.close().unwrap();
    let mut store = open(directory.path());
    assert_eq!(replay(&mut store).len(), 2);
}

/// With one segment in use and one kept back, everything could be settled and still there was no
/// room: nothing ever left the active segment.
#[test]
fn on_a_full_disk_what_was_settled_in_the_active_segment_becomes_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    watch::set_full(true);
    for _ in 0..3 {
        let mut sent = Vec::new();
        while let Ok(appended) = store.append(&publication(true, &[QueueId(1)], &[1; 5000])) {
            sent.push(appended);
            turn(&mut store);
            assert!(sent.len() < 100);
        }
        assert!(store.is_disk_full() && store.room_bytes(true) < 6000);
        // Whatever lies in other segments stays alive.
        let active = sent.last().expect("some were taken").entry.at.segment;
        sent.retain(|sent| sent.entry.at.segment == active);
        let last = sent.pop().expect("the last one is there");
        for sent in sent {
            store.settle(sent.entry.at, sent.first_slot);
        }
        turn(&mut store);
        turn(&mut store);
        assert!(store.room_bytes(true) < 6000, "one is alive");
        store.settle(last.entry.at, last.first_slot);
        for _ in 0..4 {
            turn(&mut store);
        }
        assert!(store.room_bytes(true) > 40_000, "{:?}", store.counters());
        assert_eq!(store.counters().segments_spare, 1, "one is kept");
    }
    watch::set_full(false);
    publish(&mut store, 1, b"alive");
    store.close().unwrap();
    let found = replay(&mut open(directory.path()));
    assert_eq!(bodies(&found).last(), Some(&b"alive".as_slice()));
}

#[test]
fn a_full_disk_does_not_keep_the_store_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"one");
    store.write_out_durable().unwrap();
    drop(store);
    watch::set_full(true);
    let mut store = open(directory.path());
    let found = replay(&mut store);
    assert_eq!(found.len(), 1);
    assert_eq!(store.room_bytes(true), 0);
    let full = store.append(&publication(true, &[QueueId(1)], b"two"));
    assert_eq!(full, Err(AppendError::Full));
    turn(&mut store);
    assert!(store.is_disk_full());
    store.settle(found[0].entry.at, found[0].slot);
    turn(&mut store);
    watch::set_full(false);
    store.retry_space();
    turn(&mut store);
    publish(&mut store, 1, b"three");
    store.close().unwrap();
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [b"three"]);
}

#[test]
fn a_thread_syncs_and_wakes_and_a_gate_holds_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (woken, wakes) = mpsc::channel();
    let mut store = Store::open(StoreOptions {
        directory: directory.path().to_path_buf(),
        segment_bytes: SEGMENT_BYTES,
        helper: HelperMode::ThreadGated {
            wake: Box::new(move || woken.send(()).unwrap_or(())),
            gate: gate.clone(),
        },
    })
    .unwrap();
    gate.hold();
    let appended = publish(&mut store, 1, b"one");
    store.write_out_durable().unwrap();
    assert!(store.start_sync_if(true).unwrap());
    assert!(!store.start_sync_if(true).unwrap(), "one at a time");
    // Whatever was under way before may still answer; the sync may not.
    store.take_answers().unwrap();
    assert!(store.durable() < appended.position);
    assert!(store.is_syncing());
    gate.release();
    while store.durable() < appended.position {
        wakes.recv().unwrap();
        store.take_answers().unwrap();
    }
    store.close().unwrap();
    let mut store = open(directory.path());
    assert!(store.report().clean);
    assert_eq!(bodies(&replay(&mut store)), [b"one"]);
}

#[test]
fn dropping_the_store_ends_the_thread_even_behind_a_gate() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let helper = HelperMode::ThreadGated { wake: Box::new(|| ()), gate: gate.clone() };
    gate.hold();
    let mut store = Store::open(StoreOptions {
        directory: directory.path().to_path_buf(),
        segment_bytes: SEGMENT_BYTES,
        helper,
    })
    .unwrap();
    publish(&mut store, 1, b"one");
    store.write_out_durable().unwrap();
    store.start_sync_if(true).unwrap();
    drop(store);
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [b"one"]);
}

#[test]
fn the_definitions_log_is_synced_by_the_same_helper() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let path = directory.path().join("definitions");
    let file = Arc::new(fs::File::create(&path).unwrap());
    store.also_sync(&file, &path, 10);
    store.also_sync(&file, &path, 30);
    assert!(store.has_unsynced());
    assert!(!store.start_sync_if(false).unwrap());
    assert!(store.start_sync_if(true).unwrap());
    store.also_sync(&file, &path, 40);
    assert_eq!(store.definitions_durable(), 0);
    store.run_helper(usize::MAX);
    assert!(store.take_answers().unwrap().durable_moved);
    assert_eq!(store.definitions_durable(), 30);
    turn(&mut store);
    assert_eq!(store.definitions_durable(), 40);
    assert!(!store.has_unsynced());
}

#[test]
fn many_dead_segments_are_given_back_to_the_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let mut sent = Vec::new();
    for _ in 0..600 {
        sent.push(publish(&mut store, 1, &[0; 5000]));
        if sent.len() % 10 == 0 {
            turn(&mut store);
        }
    }
    assert!(store.counters().segments_used > 40);
    for sent in sent {
        store.settle(sent.entry.at, sent.first_slot);
    }
    for _ in 0..3 {
        turn(&mut store);
    }
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files <= 10, "{files} files");
}

#[test]
fn a_segment_made_in_a_hurry_overtakes_spares_and_positions_still_grow() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let mut last = LogPos::START;
    for n in 0..200 {
        let length = if n % 20 == 7 { 200_000 } else { 9000 };
        let appended = publish(&mut store, 1, &vec![0; length]);
        assert!(appended.position > last);
        last = appended.position;
        store.settle(appended.entry.at, appended.first_slot);
        if n % 9 == 0 {
            turn(&mut store);
        }
    }
    turn(&mut store);
    assert!(store.durable() >= last);
    assert!(store.counters().segments_used < 6);
}
