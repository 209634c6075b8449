//! What is appended is there again, as it was, until it is settled.

use std::fs;

use super::*;
use crate::storage::{AppendError, LogPos, MessageId};

#[test]
fn a_record_reads_back_from_the_buffer_and_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for durable in [true, false] {
        let queues = [QueueId(7), QueueId(9)];
        let appended = store
            .append(&Publication { expiry_ms: 42, ..publication(durable, &queues, b"hello") })
            .unwrap();
        for written in [false, true] {
            let record = store.record(appended.entry.at);
            assert_eq!(record.id(), appended.entry.id);
            assert_eq!(record.exchange(), b"exchange");
            assert_eq!(record.routing_key(), b"routing.key");
            assert_eq!(record.properties(), b"\x10\x00\x02");
            assert_eq!(record.body(), b"hello");
            assert_eq!(record.body_bytes(), 5);
            assert_eq!(record.published_ms(), 1_700_000_000_000);
            assert_eq!(record.expiry_ms(), 42);
            assert_eq!(record.queue_count(), 2);
            assert_eq!(record.slot_of(QueueId(7)), Some(appended.slot(0)));
            assert_eq!(record.slot_of(QueueId(9)), Some(appended.slot(1)));
            assert_eq!(record.slot_of(QueueId(8)), None);
            assert_eq!(store.shared_body(appended.entry.at).is_some(), written);
            store.write_out_durable().unwrap();
            store.write_out_transient().unwrap();
        }
        assert_eq!(&store.shared_body(appended.entry.at).unwrap()[..], b"hello");
    }
}

#[test]
fn what_was_appended_is_there_after_an_orderly_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    assert!(store.report().clean);
    let first = publish(&mut store, 1, b"one");
    publish(&mut store, 2, b"two");
    publish(&mut store, 1, b"three");
    assert_eq!(store.note_delivery(first.first_slot), 1);
    store.close().unwrap();

    let mut store = open(directory.path());
    assert!(store.report().clean);
    assert_eq!(store.report().messages, 3);
    assert_eq!(store.report().damaged, []);
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [&b"one"[..], b"two", b"three"]);
    assert_eq!(found[0].entry, first.entry);
    assert_eq!(found[0].slot, first.first_slot);
    assert_eq!([found[0].queue, found[1].queue], [1, 2]);
    assert_eq!([found[0].deliveries, found[1].deliveries], [1, 0]);
    assert!(replay(&mut store).is_empty(), "only once");
}

#[test]
fn what_was_synced_is_there_after_a_kill_and_counts_as_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let appended = publish(&mut store, 1, b"one");
    assert!(store.durable() < appended.position);
    turn(&mut store);
    assert_eq!(store.durable(), appended.position);
    drop(store);

    let mut store = open(directory.path());
    assert!(!store.report().clean);
    assert_eq!(store.report().damaged, []);
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [b"one"]);
    assert_eq!(found[0].deliveries, 1);
    assert_eq!(store.note_delivery(found[0].slot), 2);
}

#[test]
fn what_was_settled_is_gone() {
    for orderly in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let queues = [QueueId(1), QueueId(2)];
        let both = store.append(&publication(true, &queues, b"both")).unwrap();
        let one = publish(&mut store, 1, b"one");
        store.settle(both.entry.at, both.slot(0));
        store.settle(one.entry.at, one.first_slot);
        turn(&mut store);
        if orderly {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let found = replay(&mut open(directory.path()));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].queue, &found[0].body[..]), (2, &b"both"[..]));
    }
}

#[test]
fn a_pair_that_nobody_keeps_is_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"one");
    publish(&mut store, 2, b"two");
    store.close().unwrap();
    let mut store = open(directory.path());
    store.replay(&mut |recovered| recovered.queue == QueueId(2));
    store.close().unwrap();
    let mut store = open(directory.path());
    assert_eq!(bodies(&replay(&mut store)), [b"two"]);
}

#[test]
fn ids_never_repeat() {
    let directory = tempfile::tempdir().unwrap();
    let mut highest = (MessageId(0), LogPos::START, QueueId(0));
    for round in 0..12u32 {
        let mut store = open(directory.path());
        let queue = store.new_queue_id();
        for _ in 0..round * 300 {
            let appended = publish(&mut store, queue.0, &round.to_le_bytes().repeat(25));
            let now = (appended.entry.id, appended.position, queue);
            assert!(now.0 > highest.0 && now.1 > highest.1 && now.2 >= highest.2);
            highest = now;
            store.settle(appended.entry.at, appended.first_slot);
        }
        turn(&mut store);
        turn(&mut store);
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
}

#[test]
fn the_ring_turns_without_growing_and_nothing_old_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let mut waiting = std::collections::VecDeque::new();
    for n in 0..20_000u32 {
        let body = n.to_le_bytes().repeat(1 + n as usize % 100);
        waiting.push_back((publish(&mut store, 1, &body), body));
        if waiting.len() > 100 {
            let (old, body) = waiting.pop_front().unwrap();
            assert_eq!(store.record(old.entry.at).body(), body);
            store.settle(old.entry.at, old.first_slot);
        }
        if n % 50 == 0 {
            turn(&mut store);
        }
    }
    assert!(store.counters().segments_used < 8, "{:?}", store.counters());
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files < 16, "{files} files");
    turn(&mut store);
    drop(store);
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    let found = replay(&mut store);
    let expected: Vec<&[u8]> = waiting.iter().map(|(_, body)| &body[..]).collect();
    assert_eq!(bodies(&found), expected);
}

#[test]
fn a_transient_message_that_is_consumed_at_once_is_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let written = store.counters().bytes_written;
    for _ in 0..1000 {
        let appended = store.append(&publication(false, &[QueueId(1)], &[1; 1000])).unwrap();
        assert_eq!(appended.position, LogPos::START);
        store.settle(appended.entry.at, appended.first_slot);
        store.write_out_transient().unwrap();
        store.maintain().unwrap();
    }
    assert_eq!(store.counters().bytes_written, written);
    assert_eq!(store.counters().segments_transient, 1);
}

#[test]
fn a_message_larger_than_a_segment_gets_one_of_its_own() {
    for durable in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        turn(&mut store);
        let large: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        publish(&mut store, 1, b"before");
        let queues = [QueueId(1)];
        let mut appended = store.append(&publication(durable, &queues, &large)).unwrap();
        let after = publish(&mut store, 1, b"after");
        assert!(!durable || after.position > appended.position);
        turn(&mut store);
        assert_eq!(store.record(appended.entry.at).body(), large);
        if durable {
            drop(store);
            store = open(directory.path());
            let found = replay(&mut store);
            assert_eq!(bodies(&found), [&b"before"[..], &large, b"after"]);
            (appended.entry, appended.first_slot) = (found[1].entry, found[1].slot);
            store.settle(found[2].entry.at, found[2].slot);
        }
        store.settle(appended.entry.at, appended.first_slot);
        for n in 0..2000 {
            let appended = store.append(&publication(durable, &queues, &[1; 100])).unwrap();
            store.settle(appended.entry.at, appended.first_slot);
            if n % 10 == 0 {
                turn(&mut store);
            }
        }
        for file in fs::read_dir(directory.path()).unwrap() {
            let length = file.unwrap().metadata().unwrap().len();
            assert!(length <= u64::from(SEGMENT_BYTES), "the large file is gone");
        }
    }
}

#[test]
fn what_cannot_be_a_record_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let end = store.end();
    let long = [0; 256];
    let queues = vec![QueueId(1); 65_536];
    let exchange = Publication { exchange: &long, ..publication(true, &queues[..1], b"") };
    assert_eq!(store.append(&exchange), Err(AppendError::TooLarge));
    let many = publication(true, &queues, b"");
    assert_eq!(store.append(&many), Err(AppendError::TooLarge));
    assert_eq!(store.append_transaction(&[many], &[]).unwrap_err(), AppendError::TooLarge);
    assert_eq!(store.end(), end);
    let most = publication(true, &queues[1..], b"");
    assert_eq!(store.append(&most).unwrap().slot(65_534).slot, 65_534);
}

#[test]
fn an_empty_directory_needs_no_helper_to_begin() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory.path().join("new"));
    assert!(store.room_bytes(true) > 60_000 && store.room_bytes(false) > 60_000);
    publish(&mut store, 1, b"one");
}

#[test]
fn a_failed_sync_is_final_and_confirms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let durable = store.durable();
    publish(&mut store, 1, b"one");
    store.write_out_durable().unwrap();
    store.fail_next_sync();
    assert!(store.start_sync_if(true).unwrap());
    store.run_helper(usize::MAX);
    assert!(store.take_answers().is_err());
    assert_eq!(store.durable(), durable);
    assert!(store.write_out_durable().is_err());
    assert!(store.close().is_err());
    assert!(!open(directory.path()).report().clean);
}
