//! When may a segment begin a new life, and what has to be said before?

use super::*;

/// Settles everything in the first segment, whose end is said in the second, and so on.
#[test]
fn what_a_freed_segment_said_of_others_is_restated() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    // One that stays, beside many that are settled from segment after segment.
    let stays = publish(&mut store, 1, b"stays");
    let sent: Vec<_> = (0..200u8).map(|n| publish(&mut store, 2, &[n])).collect();
    let home = store.end().sequence;
    for chunk in sent.chunks(20) {
        roll(&mut store);
        for sent in chunk.iter().step_by(2) {
            store.settle(sent.entry.at, sent.first_slot);
        }
        store.note_delivery(chunk[1].first_slot);
        for _ in 0..3 {
            store.note_delivery(chunk[3].first_slot);
        }
        store.log_deliveries(chunk[3].first_slot);
        turn(&mut store);
    }
    (0..3).for_each(|_| roll(&mut store));
    let counters = store.counters();
    assert!(counters.segments_used <= 4, "the segments between are free: {counters:?}");
    assert!(store.durable.by_sequence.contains_key(&home));
    drop(store);
    let found = replay(&mut open(directory.path()));
    assert_eq!(found[0].entry, stays.entry);
    let left: Vec<u8> = found[1..].iter().map(|found| found.body[0]).collect();
    let odd: Vec<u8> = (0..200).filter(|n| n % 2 == 1).collect();
    assert_eq!(left, odd);
    let thrice = found[1..].iter().filter(|found| found.body[0] % 20 == 3);
    assert!(thrice.clone().count() == 10 && thrice.clone().all(|found| found.deliveries == 3));
}

/// The segment with the last record of a long transaction is free before those with the others.
#[test]
fn a_transaction_of_several_records_outlives_its_last_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.want_room(true, 400_000);
    (0..10).for_each(|_| turn(&mut store));
    let bodies: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 5000]).collect();
    let queues = [QueueId(1)];
    let all: Vec<_> = bodies.iter().map(|body| publication(true, &queues, body)).collect();
    let (sent, _) = store.append_transaction(&all, &[]).unwrap();
    let (first, last) = (sent[0].entry.at.segment, sent[39].entry.at.segment);
    assert_ne!(first, last);
    let kept = sent.iter().filter(|sent| sent.entry.at.segment == first).count();
    for sent in &sent[kept..] {
        store.settle(sent.entry.at, sent.first_slot);
    }
    (0..4).for_each(|_| roll(&mut store));
    assert!(store.counters().segments_used <= 4, "{:?}", store.counters());
    drop(store);
    let found = replay(&mut open(directory.path()));
    assert_eq!(found.len(), kept);
}

/// A restatement of one of its segments was taken for the end of a transaction that a crash had
/// cut: what lay in the others counted, and what it was to settle was gone.
#[test]
fn a_transaction_without_an_end_never_counts_whatever_is_restated() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let stays = publish(&mut store, 1, b"stays");
    let acked = publish(&mut store, 1, b"acked in the transaction");
    publish(&mut store, 1, b"goes");
    let (queues, body, mut parts) = ([QueueId(1)], vec![7; 12_000], Vec::new());
    let home = stays.entry.at.segment;
    while parts.iter().filter(|part: &&Appended| part.entry.at.segment != home).count() < 2 {
        let part = publication(true, &queues, &body);
        let settles = if parts.is_empty() { &[acked.first_slot][..] } else { &[] };
        store.append_part(&[part], settles, false, &mut parts).unwrap();
        // It keeps the segment from being freed.
        store.define(format!("key {}", parts.len()).as_bytes(), b"value");
        turn(&mut store);
    }
    drop(store);

    let mut store = open(directory.path());
    let found = replay(&mut store);
    let bodies = |found: &[Found]| found.iter().map(|found| found.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&found), [&b"stays"[..], b"acked in the transaction", b"goes"]);
    // A later segment says of the first one what has to be restated before it is free.
    store.settle(found[2].entry.at, found[2].slot);
    let before = store.counters().segments_used;
    (0..6).for_each(|_| roll(&mut store));
    assert!(store.counters().segments_used <= before + 1, "{:?}", store.counters());
    drop(store);

    let found = replay(&mut open(directory.path()));
    assert_eq!(bodies(&found), [&b"stays"[..], b"acked in the transaction"]);
}

/// Only its last record makes the others count: what they settled lasts when that one is gone.
#[test]
fn what_the_parts_of_a_transaction_settled_outlives_its_last_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let (queues, body) = ([QueueId(1)], vec![7; 12_000]);
    publish(&mut store, 1, b"stays");
    let acked = publish(&mut store, 1, b"acked");
    roll(&mut store);
    let mut parts: Vec<Appended> = Vec::new();
    let is_elsewhere = |parts: &[Appended]| {
        let segments = || parts.iter().map(|part| part.entry.at.segment);
        segments().next() != segments().next_back()
    };
    while !is_elsewhere(&parts) {
        let settles = if parts.is_empty() { &[acked.first_slot][..] } else { &[] };
        let part = publication(true, &queues, &body);
        store.append_part(&[part], settles, false, &mut parts).unwrap();
        turn(&mut store);
    }
    store.append_part(&[], &[], true, &mut parts).unwrap();
    store.settle_with_transaction(acked.first_slot);
    store.end_transaction();
    turn(&mut store);
    drop(store);

    // The first part stays, the segment of the last one is free.
    let mut store = open(directory.path());
    let found = replay(&mut store);
    assert_eq!(found.len(), 1 + parts.len());
    for part in &found[2..] {
        store.settle(part.entry.at, part.slot);
    }
    (0..6).for_each(|_| roll(&mut store));
    assert!(store.counters().segments_used <= 4, "{:?}", store.counters());
    drop(store);
    let found = replay(&mut open(directory.path()));
    let bodies: Vec<_> = found.iter().map(|found| &found.body[..]).collect();
    assert_eq!(bodies, [&b"stays"[..], &body]);
}

#[test]
fn a_pinned_segment_is_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body = vec![5; 4096];
    let sent = publish(&mut store, 1, &body);
    let home = store.end().sequence;
    turn(&mut store);
    let shared = store.shared_body(sent.entry.at).unwrap().next().unwrap();
    store.settle(sent.entry.at, sent.first_slot);
    for _ in 0..6 {
        roll(&mut store);
        assert_eq!(shared, body);
        assert!(store.durable.by_sequence.contains_key(&home));
    }
    drop(shared);
    (0..3).for_each(|_| turn(&mut store));
    assert!(!store.durable.by_sequence.contains_key(&home));
}

#[test]
fn a_large_body_keeps_its_segments_as_long_as_any_message_tells_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let mut large = store.begin_body(true, body.len() as u64);
    for chunk in body.chunks(10_000) {
        store.add_to_body(&mut large, chunk);
        turn(&mut store);
    }
    let written = store.counters().bytes_written;
    let queues = [QueueId(1), QueueId(2)];
    let publication = publication(true, &queues, b"");
    let first = store.append(&Publication { body: Body::Large(&large), ..publication }).unwrap();
    store.abandon(large);
    let second = store
        .append(&Publication {
            body: Body::Of(first.entry.at),
            replaces: Some(first.slot(0)),
            queues: &queues[..1],
            ..publication
        })
        .unwrap();
    turn(&mut store);
    assert!(store.counters().bytes_written < written + 2000, "nothing of it was copied");
    store.settle(first.entry.at, first.slot(1));
    (0..3).for_each(|_| roll(&mut store));
    assert!(store.record(second.entry.at).body_to_vec() == body);
    drop(store);
    let mut store = open(directory.path());
    let found = replay(&mut store);
    assert!(found.len() == 1 && found[0].body == body);
    store.settle(found[0].entry.at, found[0].slot);
    (0..4).for_each(|_| roll(&mut store));
    assert!(store.counters().segments_used <= 3, "{:?}", store.counters());
}

#[test]
fn a_body_for_the_other_ring_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let bytes: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    for durable in [true, false] {
        let large = large_body(&mut store, !durable, &bytes);
        let queues = [QueueId(1)];
        let into_other =
            Publication { body: Body::Large(&large), ..publication(durable, &queues, b"") };
        let sent = store.append(&into_other).unwrap();
        store.abandon(large);
        assert!(store.record(sent.entry.at).body_to_vec() == bytes);
        let moved = Publication {
            body: Body::Of(sent.entry.at),
            replaces: Some(sent.first_slot),
            ..publication(!durable, &queues, b"")
        };
        let moved = store.append(&moved).unwrap();
        assert!(store.record(moved.entry.at).body_to_vec() == bytes);
        turn(&mut store);
    }
    drop(store);
    let found = replay(&mut open(directory.path()));
    assert!(found.len() == 1 && found[0].body == bytes);
}

#[test]
fn files_that_nobody_needs_are_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let sent: Vec<_> = (0..2000u32)
        .map(|n| {
            let sent = publish(&mut store, 1, &[1; 3000]);
            if n % 10 == 0 {
                turn(&mut store);
            }
            sent
        })
        .collect();
    assert!(segment_files(directory.path()).len() > 80);
    sent.iter().for_each(|sent| store.settle(sent.entry.at, sent.first_slot));
    for second in 0..6 {
        turn(&mut store);
        store.look_back(second * 1000).unwrap();
    }
    turn(&mut store);
    assert!(segment_files(directory.path()).len() <= 12);
    assert_eq!(store.next_look_ms(), None, "and then it rests");
}

/// No file handle is held for what is only read.
#[test]
fn sealed_segments_hold_no_descriptor() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for _ in 0..400 {
        publish(&mut store, 1, &[1; 3000]);
        turn(&mut store);
    }
    let open_files = |store: &Store| {
        store.durable.segments.iter().flatten().filter(|segment| segment.file.is_some()).count()
    };
    assert!(store.counters().segments_used > 15);
    assert!(open_files(&store) <= 2);
    drop(store);
    let mut store = open(directory.path());
    assert_eq!(replay(&mut store).len(), 400);
    assert!(open_files(&store) <= 1);
}
