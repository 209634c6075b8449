//! Does the store do what it is for: append, read, settle, stop and start?

use super::*;
use crate::storage::{AppendError, LogPos, MessageId};

#[test]
fn a_record_reads_back_from_the_buffer_and_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for durable in [true, false] {
        let queues = [QueueId(7), QueueId(8)];
        let publication = Publication {
            expiry_ms: 1_700_000_060_000,
            deliveries: 2,
            ..publication(durable, &queues, b"body")
        };
        let sent = store.append(&publication).unwrap();
        for _ in 0..2 {
            let record = store.record(sent.entry.at);
            assert_eq!((record.id(), record.body_to_vec()), (sent.entry.id, b"body".to_vec()));
            assert_eq!(
                (record.exchange(), record.routing_key()),
                (&b"exchange"[..], &b"routing.key"[..])
            );
            assert_eq!(record.properties(), b"\x10\x00\x02");
            assert_eq!(record.published_ms(), 1_700_000_000_000);
            assert_eq!(record.expiry_ms(), 1_700_000_060_000);
            assert_eq!((record.queue_count(), record.queue(1)), (2, QueueId(8)));
            assert_eq!(record.slot_of(QueueId(8)), Some(sent.slot(1)));
            assert_eq!(record.slot_of(QueueId(9)), None);
            assert_eq!(store.deliveries(sent.slot(1)), 2);
            store.write_out(true).unwrap();
            store.write_out_transient().unwrap();
        }
    }
}

#[test]
fn what_was_appended_is_there_after_an_orderly_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let first = publish(&mut store, 1, b"first");
    let second = publish(&mut store, 2, b"second");
    store.append(&publication(false, &[QueueId(1)], b"transient")).unwrap();
    assert_eq!(store.note_delivery(second.first_slot), 1);
    assert_eq!(store.note_delivery(second.first_slot), 2);
    store.close().unwrap();
    let mut store = open(directory.path());
    assert!(store.report().clean);
    assert_eq!(store.report().messages, 2);
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [&b"first"[..], b"second"]);
    assert_eq!((found[0].queue, found[0].deliveries), (1, 0));
    assert_eq!((found[1].queue, found[1].deliveries), (2, 2), "an orderly stop tells");
    assert_eq!(found[0].entry.id, first.entry.id);
    let next = publish(&mut store, 1, b"third");
    assert!(next.entry.id > second.entry.id);
}

#[test]
fn what_was_synced_is_there_after_a_kill_and_counts_as_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let sent = publish(&mut store, 1, b"body");
    let often = publish(&mut store, 1, b"often");
    for _ in 0..5 {
        store.note_delivery(often.first_slot);
    }
    store.log_deliveries(often.first_slot);
    assert!(sent.position > store.durable());
    turn(&mut store);
    assert!(sent.position <= store.durable());
    drop(store);
    let mut store = open(directory.path());
    assert!(!store.report().clean);
    let found = replay(&mut store);
    let deliveries: Vec<u8> = found.iter().map(|found| found.deliveries).collect();
    assert_eq!(deliveries, [1, 5]);
}

#[test]
fn what_was_settled_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let sent: Vec<_> = (0..20).map(|n| publish(&mut store, 1, &[n])).collect();
    // In no order, some before they are written.
    for n in [3, 19, 0, 7, 4, 5, 6] {
        store.settle(sent[n].entry.at, sent[n].first_slot);
    }
    turn(&mut store);
    for n in [12, 11, 1] {
        store.settle(sent[n].entry.at, sent[n].first_slot);
    }
    store.write_out(true).unwrap();
    drop(store);
    let found = replay(&mut open(directory.path()));
    let left: Vec<u8> = found.iter().map(|found| found.body[0]).collect();
    assert_eq!(left, [2, 8, 9, 10, 13, 14, 15, 16, 17, 18]);
}

#[test]
fn a_pair_that_nobody_keeps_is_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"one");
    publish(&mut store, 2, b"two");
    store.close().unwrap();
    let mut store = open(directory.path());
    store.replay(&mut |found| found.queue == QueueId(2));
    store.close().unwrap();
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [b"two"]);
}

/// Queue ids had 32 bits and wrapped: a new queue inherited the messages of another.
#[test]
fn ids_neither_wrap_nor_repeat_also_when_everything_was_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.ids.next_queue = u64::from(u32::MAX) - 1;
    store.ids.next_message = u64::from(u32::MAX) - 1;
    let (mut queues, mut highest) = (Vec::new(), MessageId(0));
    for round in 0..6 {
        for _ in 0..3 {
            let queue = store.new_queue_id();
            assert!(queues.last().is_none_or(|last| *last < queue), "{queue:?} after {queues:?}");
            queues.push(queue);
            let sent = store.append(&publication(true, &[queue], b"x")).unwrap();
            assert!(sent.entry.id > highest);
            highest = sent.entry.id;
            store.settle(sent.entry.at, sent.first_slot);
        }
        // Ids that nothing in the log tells of.
        queues.push(store.new_queue_id());
        let sent = store.append(&publication(false, &[QueueId(1)], b"x")).unwrap();
        highest = sent.entry.id;
        (0..4).for_each(|_| roll(&mut store));
        highest = highest.max(publish(&mut store, 99, b"x").entry.id);
        match round % 2 {
            0 => store.close().unwrap(),
            _ => drop(store),
        }
        store = open(directory.path());
        replay(&mut store).iter().for_each(|found| store.settle(found.entry.at, found.slot));
    }
    assert!(queues.last().unwrap().0 > u64::from(u32::MAX));
}

#[test]
fn definitions_are_there_in_the_order_in_which_they_were_first_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for key in [b"c", b"a", b"b", b"d"] {
        store.define(key, b"1");
    }
    store.define(b"a", b"2");
    store.undefine(b"c");
    store.undefine(b"never there");
    store.define(b"c", b"new");
    let change = store.undefine(b"d");
    assert!(!store.is_kept(change));
    turn(&mut store);
    assert!(store.is_kept(change));
    drop(store);
    for orderly in [false, true, true] {
        let mut store = open(directory.path());
        let found = definitions(&mut store);
        let found: Vec<_> = found.iter().map(|(key, payload)| (&key[..], &payload[..])).collect();
        assert_eq!(found, [(&b"a"[..], &b"2"[..]), (b"b", b"1"), (b"c", b"new")]);
        // A definition is found again, wherever it lies.
        store.define(b"a", b"2");
        if orderly { store.close().unwrap() } else { drop(store) }
    }
}

#[test]
fn a_definition_that_travels_with_a_message_outlives_it_and_can_be_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let queues = [QueueId(1)];
    let with = |key, payload| Publication {
        defines: Some((key, payload)),
        ..publication(true, &queues, b"body")
    };
    let sent = store.append(&with(b"a", b"1")).unwrap();
    store.append(&with(b"b", b"1")).unwrap();
    store.append(&with(b"b", b"2")).unwrap();
    store.append_transaction(&[with(b"c", b"1"), with(b"a", b"2")], &[]).unwrap();
    store.settle(sent.entry.at, sent.first_slot);
    store.undefine(b"c");
    turn(&mut store);
    drop(store);
    let mut store = open(directory.path());
    let found: Vec<_> = definitions(&mut store);
    assert_eq!(found, [(b"b".to_vec(), b"2".to_vec()), (b"a".to_vec(), b"2".to_vec())]);
    assert_eq!(replay(&mut store).len(), 4);
}

#[test]
fn the_ring_turns_without_growing_and_nothing_old_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.define(b"stays", b"1");
    let stays = publish(&mut store, 1, b"stays");
    for n in 0..2000u32 {
        let sent = publish(&mut store, 1, &n.to_le_bytes().repeat(300));
        store.settle(sent.entry.at, sent.first_slot);
        if n.is_multiple_of(10) {
            turn(&mut store);
        }
    }
    turn(&mut store);
    assert!(store.counters().segments_used <= 8, "{:?}", store.counters());
    assert!(segment_files(directory.path()).len() <= 14);
    drop(store);
    let mut store = open(directory.path());
    assert_eq!(definitions(&mut store).len(), 1);
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [b"stays"]);
    assert_eq!(found[0].entry, stays.entry);
}

#[test]
fn a_transient_message_that_is_consumed_at_once_is_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let before = store.counters().bytes_written;
    for _ in 0..1000 {
        let sent = store.append(&publication(false, &[QueueId(1)], &[1; 500])).unwrap();
        assert_eq!(sent.position, LogPos::START, "nobody waits for it");
        store.settle(sent.entry.at, sent.first_slot);
        store.write_out_transient().unwrap();
    }
    assert_eq!(store.counters().bytes_written, before);
    assert_eq!(store.counters().segments_transient, 1);
}

#[test]
fn a_body_larger_than_a_segment_is_cut_into_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for durable in [true, false] {
        let mut large = store.begin_body(durable, body.len() as u64);
        for chunk in body.chunks(7001) {
            store.add_to_body(&mut large, chunk);
            turn(&mut store);
        }
        let queues = [QueueId(1), QueueId(2)];
        let publication = publication(durable, &queues, b"");
        let sent = store.append(&Publication { body: Body::Large(&large), ..publication }).unwrap();
        store.abandon(large);
        assert_eq!(store.record(sent.entry.at).body_bytes(), 300_000);
        assert!(store.record(sent.entry.at).body_to_vec() == body);
        let shared = store.shared_body(sent.entry.at).unwrap();
        assert!(shared.flatten().eq(body.iter().copied()));
    }
    turn(&mut store);
    drop(store);
    let found = replay(&mut open(directory.path()));
    assert!(found.len() == 2 && found.iter().all(|found| found.body == body));
}

#[test]
fn a_long_inline_body_is_cut_into_pieces_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body = vec![7; 20_000];
    let one = store.append(&publication(false, &[QueueId(1)], &body)).unwrap();
    let queues = [QueueId(1)];
    let both = [publication(true, &queues, &body), publication(true, &queues, b"short")];
    let (sent, _) = store.append_transaction(&both, &[]).unwrap();
    for sent in [one, sent[0]] {
        assert!(store.record(sent.entry.at).body_to_vec() == body);
        assert_eq!(store.record(sent.entry.at).small_body(), b"");
    }
    turn(&mut store);
    drop(store);
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [&body[..], b"short"]);
}

#[test]
fn what_cannot_be_a_record_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let end = store.end();
    let queues = [QueueId(1)];
    let long = [0; 256];
    let many: Vec<QueueId> = (0..10_000).map(QueueId).collect();
    let good = publication(true, &queues, b"good");
    for bad in [
        Publication { exchange: &long, ..good },
        Publication { routing_key: &long, ..good },
        Publication { properties: &[0; SEGMENT_BYTES as usize], ..good },
        Publication { queues: &many, ..good },
    ] {
        assert_eq!(store.append(&bad), Err(AppendError::TooLarge));
        let transaction = store.append_transaction(&[good, bad], &[]);
        assert_eq!(transaction.unwrap_err(), AppendError::TooLarge);
    }
    assert_eq!(store.end(), end);
    turn(&mut store);
    assert_eq!(replay(&mut open(directory.path())), []);
}

#[test]
fn a_message_may_go_to_more_than_65535_queues() {
    let directory = tempfile::tempdir().unwrap();
    let large = || StoreOptions { segment_bytes: 4 << 20, ..options(directory.path()) };
    let mut store = Store::open(large()).unwrap();
    let queues: Vec<QueueId> = (1..=100_000).map(QueueId).collect();
    let sent = store.append(&publication(true, &queues, b"to all")).unwrap();
    store.settle(sent.entry.at, sent.slot(70_000));
    turn(&mut store);
    drop(store);
    let mut store = Store::open(large()).unwrap();
    assert_eq!(replay(&mut store).len(), 99_999);
}

#[test]
fn a_failed_sync_is_final_and_confirms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let before = store.durable();
    let sent = publish(&mut store, 1, b"x");
    store.write_out(true).unwrap();
    store.fail_next_sync();
    assert!(store.start_sync_if(true).unwrap());
    store.run_helper(usize::MAX);
    assert!(store.take_answers().is_err());
    assert_eq!(store.durable(), before);
    assert!(sent.position > store.durable());
    assert!(store.write_out(true).is_err(), "nothing goes on");
}

#[test]
fn a_thread_syncs_and_wakes_and_a_gate_holds_it_back() {
    use crate::storage::Gate;
    use std::sync::mpsc;
    let directory = tempfile::tempdir().unwrap();
    let (gate, (tell, woken)) = (Gate::default(), mpsc::channel());
    let wake = Box::new(move || tell.send(()).unwrap());
    let helper = HelperMode::ThreadGated { wake, gate: gate.clone() };
    let mut store = Store::open(StoreOptions { helper, ..options(directory.path()) }).unwrap();
    gate.hold();
    let sent = publish(&mut store, 1, b"x");
    store.write_out(true).unwrap();
    assert!(store.start_sync_if(true).unwrap());
    assert!(!store.start_sync_if(true).unwrap(), "one at a time");
    store.take_answers().unwrap();
    assert!(store.durable() < sent.position);
    gate.release();
    while store.durable() < sent.position {
        woken.recv().unwrap();
        store.take_answers().unwrap();
    }
    // Behind a gate that is never opened again.
    gate.hold();
    publish(&mut store, 1, b"y");
    store.write_out(true).unwrap();
    store.start_sync_if(true).unwrap();
    drop(store);
}

/// How many bytes this thread has read from files.
fn read_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_start_reads_little_more_than_what_is_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let large = || StoreOptions { segment_bytes: 16 * 1024 * 1024, ..options(directory.path()) };
    let mut store = Store::open(large()).unwrap();
    publish(&mut store, 1, &[7; 1000]);
    turn(&mut store);
    for stops in [true, false] {
        if stops {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let before = read_bytes();
        store = Store::open(large()).unwrap();
        let read = read_bytes() - before;
        assert!(read < 2 * 1024 * 1024, "orderly {stops}: {read} bytes were read");
        turn(&mut store);
    }
}

#[test]
fn after_an_orderly_stop_no_start_reads_what_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for _ in 0..12 {
        roll(&mut store);
    }
    store.close().unwrap();
    let free = segment_files(directory.path()).len();
    assert!(free > 2, "there are free segments, used before: {free}");
    let before = read_bytes();
    let store = open(directory.path());
    let read = read_bytes() - before;
    assert!(store.report().clean);
    assert!(read < 5 * u64::from(SEGMENT_BYTES), "{free} files, {read} bytes were read");
}
