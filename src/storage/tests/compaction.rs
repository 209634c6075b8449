//! Does compaction give space back, a bounded amount at a time, and leave every message as it was?

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::storage::{Compaction, RecordRef};

/// Messages of which only every 25th is kept, with what is known of it.
struct Sparse {
    store: Store,
    kept: Vec<(Entry, SlotRef, Vec<u8>)>,
}

impl Sparse {
    fn new(store: Store) -> Sparse {
        Sparse { store, kept: Vec::new() }
    }

    fn note(&mut self, n: u32, sent: Appended, body: Vec<u8>) {
        if n.is_multiple_of(25) {
            self.store.note_delivery(sent.first_slot);
            self.kept.push((sent.entry, sent.first_slot, body));
        } else {
            self.store.settle(sent.entry.at, sent.first_slot);
        }
        if n.is_multiple_of(4) {
            turn(&mut self.store);
        }
    }

    fn fill(mut self) -> Sparse {
        for n in 0..1000u32 {
            let body = n.to_le_bytes().repeat(400);
            let sent = publish(&mut self.store, 1, &body);
            self.note(n, sent, body);
        }
        self
    }

    fn fill_with_large(mut self, words: usize) -> Sparse {
        for n in 0..300u32 {
            let body = n.to_le_bytes().repeat(words);
            turn(&mut self.store);
            let sent = publish_large(&mut self.store, 1, &body);
            self.note(n, sent, body);
        }
        self
    }

    /// One call; how many pairs it moved.
    fn step(&mut self, bytes_max: usize) -> (Compaction, usize) {
        let (store, kept) = (&mut self.store, &mut self.kept);
        let mut count = 0;
        let came_to = store.compact(bytes_max, &mut |moved| {
            let held = kept.iter_mut().find(|(_, slot, _)| *slot == moved.old).unwrap();
            assert_eq!((moved.queue, moved.entry.id), (QueueId(1), held.0.id));
            (held.0, held.1) = (moved.entry, moved.slot);
            count += 1;
        });
        (came_to, count)
    }

    fn compact(&mut self) {
        while self.step(10_000).0 != Compaction::Idle {
            turn(&mut self.store);
        }
        for _ in 0..3 {
            turn(&mut self.store);
        }
    }

    fn check(mut self, directory: &Path) {
        for (entry, slot, body) in &self.kept {
            assert!(self.store.record(entry.at).body_to_vec() == *body);
            assert_eq!(self.store.deliveries(*slot), 1);
        }
        self.store.write_out(true).unwrap();
        drop(self.store);
        let mut store = open(directory);
        let found = replay(&mut store);
        let found: Vec<_> = found.iter().map(|found| (found.entry.id, &found.body)).collect();
        let kept: Vec<_> = self.kept.iter().map(|(entry, _, body)| (entry.id, body)).collect();
        assert!(found == kept, "each once, in order");
    }
}

#[test]
fn a_few_old_messages_do_not_keep_many_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    let before = sparse.store.counters().segments_used;
    assert!(before > 20);
    loop {
        let (came_to, moved) = sparse.step(10_000);
        assert!(moved <= 8, "a bounded amount");
        if came_to == Compaction::Idle {
            break;
        }
        turn(&mut sparse.store);
    }
    sparse.compact();
    let after = sparse.store.counters().segments_used;
    assert!(after <= 6, "{before} segments became {after}");
    assert_eq!(sparse.step(10_000), (Compaction::Idle, 0));
    assert!(!sparse.store.may_need_compaction(), "until slots are settled");
    sparse.check(directory.path());
}

#[test]
fn large_bodies_move_too_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_large(2000);
    let before = sparse.store.counters().segments_used;
    assert!(before > 10);
    let mut written = sparse.store.counters().bytes_written;
    loop {
        let (came_to, moved) = sparse.step(1000);
        sparse.store.write_out(true).unwrap();
        let now = sparse.store.counters().bytes_written;
        assert!(now - written < 10_000 && moved <= 8, "a bounded amount: {}", now - written);
        if came_to == Compaction::Idle {
            break;
        }
        turn(&mut sparse.store);
        written = sparse.store.counters().bytes_written;
    }
    sparse.compact();
    let after = sparse.store.counters().segments_used;
    assert!(after <= 6, "{before} segments became {after}");
    sparse.check(directory.path());
}

#[test]
fn a_body_whose_message_is_settled_on_the_way_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_large(8000);
    while !sparse.store.is_moving_a_body() {
        assert_ne!(sparse.step(1000).0, Compaction::Idle);
        turn(&mut sparse.store);
    }
    for (entry, slot, _) in sparse.kept.drain(..) {
        sparse.store.settle(entry.at, slot);
    }
    sparse.compact();
    assert!(sparse.store.counters().segments_used <= 3);
}

#[test]
fn copies_wait_for_a_sync_when_there_are_many() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill().fill();
    let mut steps = 0;
    loop {
        match sparse.step(10_000).0 {
            Compaction::Idle => panic!("it is not done"),
            Compaction::Waiting => break,
            Compaction::Busy => sparse.store.write_out(true).unwrap(),
        }
        steps += 1;
        assert!(steps < 100, "no more than a segment");
    }
    assert_eq!(sparse.step(10_000), (Compaction::Waiting, 0), "still");
    turn(&mut sparse.store);
    assert_eq!(sparse.step(10_000).0, Compaction::Busy);
}

#[test]
fn damage_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    let (entry, _, _) = sparse.kept[0].clone();
    let ring = &sparse.store.durable;
    let path = ring.directory.segment(ring.segment(entry.at.segment.index()).number);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", u64::from(entry.at.offset) + 200).unwrap();
    sparse.compact();
    assert_eq!(sparse.kept[0].0, entry, "it is where it was");
    assert!(sparse.kept[20].0.at.segment != entry.at.segment, "others moved");
    assert!(path.exists());
}

#[test]
fn a_damaged_body_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_large(2000);
    let (entry, _, body) = sparse.kept[1].clone();
    let name = segment_with(directory.path(), &body);
    let bytes = std::fs::read(&name).unwrap();
    let at = bytes.windows(body.len()).position(|window| window == body).unwrap();
    let file = OpenOptions::new().write(true).open(&name).unwrap();
    file.write_all_at(b"damage", at as u64 + 100).unwrap();
    sparse.compact();
    assert_eq!(sparse.kept[1].0, entry, "it is where it was");
    assert!(sparse.kept.iter().filter(|(other, _, _)| is_moved(other.at, entry.at)).count() > 3);
    assert!(name.exists());
}

/// Whether a record is in another segment.
fn is_moved(at: RecordRef, from: RecordRef) -> bool {
    at.segment != from.segment
}

/// The file that holds these bytes.
fn segment_with(directory: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let mut paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    };
    paths.find(holds).unwrap()
}

#[test]
fn a_copy_is_written_with_its_deliveries() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    for (_, slot, _) in &sparse.kept {
        for _ in 0..6 {
            sparse.store.note_delivery(*slot);
        }
        sparse.store.log_deliveries(*slot);
    }
    turn(&mut sparse.store);
    assert!(sparse.step(10_000).1 > 0);
    sparse.store.write_out(true).unwrap();
    drop(sparse.store);
    let found = replay(&mut open(directory.path()));
    assert_eq!(found.len(), sparse.kept.len());
    assert!(found.iter().all(|found| found.deliveries == 7));
}

#[test]
fn after_a_start_the_log_is_as_sparse_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_large(2000);
    (0..3).for_each(|_| turn(&mut sparse.store));
    let (live, all) = sparse.store.live_share();
    assert!(live > 0 && live * 2 < all);
    sparse.store.close().unwrap();
    let (live_after, all_after) = open(directory.path()).live_share();
    assert_eq!(live_after, live);
    assert!(all_after.abs_diff(all) < 1000, "but for what stop and start say");
}

/// Definitions are moved like messages: they kept the first segment for ever.
#[test]
fn definitions_do_not_keep_a_segment() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for n in 0..20u8 {
        store.define(&[n], &[n; 30]);
    }
    let queues = [QueueId(1)];
    let with = Publication { defines: Some((b"name", b"1")), ..publication(true, &queues, b"x") };
    let sent = store.append(&with).unwrap();
    store.settle(sent.entry.at, sent.first_slot);
    store.undefine(&[7]);
    let first = store.end().sequence;
    while store.end().sequence == first {
        let sent = publish(&mut store, 2, &[0; 500]);
        store.settle(sent.entry.at, sent.first_slot);
        turn(&mut store);
    }
    assert!(store.durable.by_sequence.contains_key(&first), "they keep it");
    for _ in 0..20 {
        store.compact(10_000, &mut |_| panic!("no message is alive"));
        turn(&mut store);
    }
    assert!(!store.durable.by_sequence.contains_key(&first), "they moved");
    drop(store);
    let found = definitions(&mut open(directory.path()));
    let keys: Vec<Vec<u8>> = found.into_iter().map(|(key, _)| key).collect();
    let numbers = (0..20u8).filter(|n| *n != 7).map(|n| vec![n]);
    let expected: Vec<Vec<u8>> = numbers.chain([b"name".to_vec()]).collect();
    assert_eq!(keys, expected, "in their order");
}
