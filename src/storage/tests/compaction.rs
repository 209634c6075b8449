//! Does compaction give space back, a bounded amount at a time, and leave every message as it was?

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::storage::segment::watch;
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
        if n.is_multiple_of(20) {
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

    fn fill_with_parked(mut self) -> Sparse {
        for n in 0..300u32 {
            let body = n.to_le_bytes().repeat(2000);
            let mut parked = self.store.park_body(true, body.len() as u64).unwrap();
            self.store.park(&mut parked, &body).unwrap();
            let queues = [QueueId(1)];
            let publication = publication(true, &queues, b"");
            let sent = self
                .store
                .append(&Publication { body: Body::Parked(&parked), ..publication })
                .unwrap();
            self.store.abandon(parked);
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
            assert!(self.store.record(entry.at).body() == body);
            assert_eq!(self.store.deliveries(*slot), 1);
        }
        self.store.write_out_durable().unwrap();
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
    let mut sparse = Sparse::new(open(directory.path())).fill_with_parked();
    let before = sparse.store.counters().segments_used;
    assert!(before > 10);
    let mut written = sparse.store.counters().bytes_written;
    loop {
        let (came_to, moved) = sparse.step(1000);
        sparse.store.write_out_records().unwrap();
        let now = sparse.store.counters().bytes_written;
        assert!(now - written < 4000 && moved <= 8, "a bounded amount: {}", now - written);
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
    let mut sparse = Sparse::new(open(directory.path())).fill_with_parked();
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
    let mut sparse = Sparse::new(open(directory.path())).fill();
    let mut steps = 0;
    loop {
        match sparse.step(10_000).0 {
            Compaction::Idle => panic!("it is not done"),
            Compaction::Waiting => break,
            Compaction::Busy => sparse.store.write_out_durable().unwrap(),
        }
        steps += 1;
        assert!(steps < 100, "no more than a segment");
    }
    assert_eq!(sparse.step(10_000), (Compaction::Waiting, 0), "still");
    turn(&mut sparse.store);
    assert_eq!(sparse.step(10_000).0, Compaction::Busy);
}

#[test]
fn a_full_disk_gets_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    watch::set_full(true);
    // Until only the last spare is left.
    let mut before = 0;
    while publish_or_not(&mut sparse.store) {
        turn(&mut sparse.store);
        before = sparse.store.counters().segments_used;
    }
    assert!(sparse.store.is_disk_full());
    sparse.compact();
    assert!(sparse.store.counters().segments_used < before);
    assert!(!sparse.store.is_disk_full() && publish_or_not(&mut sparse.store));
    watch::set_full(false);
    sparse.check_kept();
}

#[test]
fn damage_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    let (entry, _, _) = sparse.kept[0].clone();
    let path = sparse.store.durable.segment(entry.at.segment.index()).file.path.clone();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", u64::from(entry.at.offset) + 200).unwrap();
    sparse.compact();
    assert_eq!(sparse.kept[0].0, entry, "it is where it was");
    assert!(sparse.kept[20].0.at.segment != entry.at.segment, "others moved");
    assert!(path.exists());
}

impl Sparse {
    fn check_kept(&self) {
        for (entry, _, body) in &self.kept {
            assert!(self.store.record(entry.at).body() == body);
        }
    }
}

#[test]
fn a_damaged_body_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_parked();
    let (entry, _, body) = sparse.kept[0].clone();
    let name = segment_with(directory.path(), &body);
    let bytes = std::fs::read(&name).unwrap();
    let at = bytes.windows(body.len()).position(|window| window == body).unwrap();
    let file = OpenOptions::new().write(true).open(&name).unwrap();
    file.write_all_at(b"damage", at as u64 + 100).unwrap();
    sparse.compact();
    assert_eq!(sparse.kept[0].0, entry, "it is where it was");
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

/// When they were written later, a kill in between left the copy without them.
#[test]
fn a_copy_is_written_with_its_deliveries() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill();
    for (_, slot, _) in &sparse.kept {
        sparse.store.set_deliveries(*slot, 7);
    }
    turn(&mut sparse.store);
    assert!(sparse.step(10_000).1 > 0);
    sparse.store.write_out_records().unwrap();
    drop(sparse.store);
    let found = replay(&mut open(directory.path()));
    assert_eq!(found.len(), sparse.kept.len());
    assert!(found.iter().all(|found| found.deliveries == 7));
}

/// A body that is still arriving cannot be moved. Once it is a message's, it can.
#[test]
fn a_segment_is_tried_again_when_the_body_in_it_has_become_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path()));
    let body = [7; 300];
    let mut parked = sparse.store.park_body(true, 300).unwrap();
    sparse.store.park(&mut parked, &body[..100]).unwrap();
    // Nothing else stays in its segment, which is the emptiest.
    for _ in 0..10 {
        let sent = publish(&mut sparse.store, 2, &[0; SEGMENT_BYTES as usize / 8]);
        sparse.store.settle(sent.entry.at, sent.first_slot);
    }
    sparse = sparse.fill();
    sparse.compact();
    let before = sparse.store.counters();
    sparse.store.park(&mut parked, &body[100..]).unwrap();
    let queues = [QueueId(1)];
    let publication = publication(true, &queues, b"");
    let publication = Publication { body: Body::Parked(&parked), ..publication };
    let sent = sparse.store.append(&publication).unwrap();
    sparse.store.abandon(parked);
    sparse.kept.push((sent.entry, sent.first_slot, body.to_vec()));
    // The log gets sparse once more.
    let first = sparse.kept.len();
    sparse = sparse.fill();
    sparse.compact();
    let (entry, _, body) = &sparse.kept[first - 1];
    assert!(sparse.store.record(entry.at).body() == &body[..]);
    assert_ne!(*entry, sent.entry, "it was moved, with its body");
    assert!(sparse.store.counters().relocated > before.relocated);
}

#[test]
fn after_a_start_the_log_is_as_sparse_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut sparse = Sparse::new(open(directory.path())).fill_with_parked();
    (0..3).for_each(|_| turn(&mut sparse.store));
    let before = sparse.store.live_share();
    assert!(before.0 > 0 && before.0 * 2 < before.1);
    sparse.store.close().unwrap();
    assert_eq!(open(directory.path()).live_share(), before);
}

#[test]
fn a_prepared_segment_ends_the_shortage() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let kept: Vec<_> = (0..60).map(|n| publish(&mut store, 1, &[n; 5000])).collect();
    turn(&mut store);
    watch::set_full(true);
    while publish_or_not(&mut store) {
        turn(&mut store);
    }
    assert!(store.is_disk_full());
    // What is settled makes two segments free, too few for one to be removed.
    kept[..25].iter().for_each(|sent| store.settle(sent.entry.at, sent.first_slot));
    (0..3).for_each(|_| turn(&mut store));
    watch::set_full(false);
    assert!(!store.is_disk_full());
    assert!(publish_or_not(&mut store));
}

fn publish_or_not(store: &mut Store) -> bool {
    let body = vec![0; SEGMENT_BYTES as usize / 8];
    store.append(&publication(true, &[QueueId(2)], &body)).is_ok()
}
