//! What when the disk is full? Publishing stops; moves, settling and definitions go on, and space
//! comes back by itself.

use super::*;
use crate::storage::AppendError;
use tempfile::TempDir;

struct Full {
    store: Store,
    disk: Arc<Disk>,
    directory: TempDir,
}

impl Full {
    /// A store that is in use, on a disk that takes no more files.
    fn start() -> Full {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::with(directory.path());
        let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
        roll(&mut store);
        disk.fill(true);
        Full { store, disk, directory }
    }

    fn publish(&mut self) -> Result<Appended, AppendError> {
        self.store.append(&publication(true, &[QueueId(1)], &[1; 5000]))
    }

    /// Publishes until there is no room.
    fn fill(&mut self) -> Vec<Appended> {
        let mut sent = Vec::new();
        loop {
            match self.publish() {
                Ok(appended) => sent.push(appended),
                Err(error) => {
                    assert_eq!(error, AppendError::Full);
                    return sent;
                }
            }
            turn(&mut self.store);
            assert!(sent.len() < 200, "the disk is full");
        }
    }

    fn turns(&mut self) {
        (0..6).for_each(|_| turn(&mut self.store));
    }
}

#[test]
fn a_full_disk_stops_publishing_but_neither_moves_nor_settling() {
    let mut full = Full::start();
    let mut sent = full.fill();
    assert!(full.store.is_disk_full());
    assert!(full.store.room_bytes(true) < 6000, "it can be seen coming");
    assert_eq!(full.store.counters().segments_spare, 1, "the last one is kept");
    let old = sent.pop().unwrap();
    let moved = full.store.append(&Publication {
        body: Body::Of(old.entry.at),
        replaces: Some(old.first_slot),
        ..publication(true, &[QueueId(2)], b"")
    });
    moved.unwrap();
    turn(&mut full.store);
    // Consumers drain, segments become free, and publishing goes on though the disk is full.
    for sent in sent.drain(..) {
        full.store.settle(sent.entry.at, sent.first_slot);
    }
    full.turns();
    assert!(full.publish().is_ok(), "{:?}", full.store.counters());
    full.store.close().unwrap();
    assert_eq!(replay(&mut open(full.directory.path())).len(), 2);
}

#[test]
fn definitions_come_and_go_on_a_full_disk() {
    let mut full = Full::start();
    let sent = full.fill();
    let mut kept = 0;
    for n in 0..3000u32 {
        full.store.define(b"key", &n.to_le_bytes().repeat(20));
        full.store.define(&n.to_le_bytes(), &[0; 100]);
        let change = full.store.undefine(&n.to_le_bytes());
        turn(&mut full.store);
        kept += u32::from(full.store.is_kept(change));
    }
    // As many as the last spare takes; the others wait, and so does whoever made them.
    assert!(kept > 100, "{kept}");
    // With one message that is consumed there is room for all that comes.
    let home = sent.last().unwrap().entry.at.segment;
    for sent in sent.iter().filter(|sent| sent.entry.at.segment == home) {
        full.store.settle(sent.entry.at, sent.first_slot);
    }
    (0..200).for_each(|_| turn(&mut full.store));
    assert!(full.store.is_kept(full.store.changes()), "{:?}", full.store.counters());
    drop(full.store);
    let found = definitions(&mut open(full.directory.path()));
    assert_eq!(found, [(b"key".to_vec(), 2999u32.to_le_bytes().repeat(20))]);
}

/// With one segment in use and one kept back, everything could be settled and still there was no
/// room: nothing ever left the active segment.
#[test]
fn on_a_full_disk_what_was_settled_in_the_active_segment_becomes_room() {
    let mut full = Full::start();
    for _ in 0..3 {
        let sent = full.fill();
        assert!(full.store.is_disk_full());
        sent.iter().for_each(|sent| full.store.settle(sent.entry.at, sent.first_slot));
        full.turns();
        assert!(full.store.room_bytes(true) > 30_000, "{:?}", full.store.counters());
    }
    full.disk.fill(false);
    full.store.close().unwrap();
    assert_eq!(replay(&mut open(full.directory.path())), []);
}

/// Definitions that find no room at all wait, and what is published later does not overtake them.
#[test]
fn definitions_wait_for_room_in_their_order() {
    let mut full = Full::start();
    full.fill();
    let large = vec![0; 6000];
    let mut count = 0u32;
    while !full.store.has_deferred() {
        full.store.define(&count.to_le_bytes(), &large);
        turn(&mut full.store);
        count += 1;
        assert!(count < 100);
    }
    let change = full.store.define(b"last", b"1");
    full.store.undefine(&0u32.to_le_bytes());
    full.store.define(b"last", b"2");
    full.turns();
    assert!(!full.store.is_kept(change));
    assert_eq!(full.publish(), Err(AppendError::Full));
    full.disk.fill(false);
    full.store.retry_space();
    full.turns();
    assert!(full.store.is_kept(change + 2) && full.publish().is_ok());
    drop(full.store);
    let found = definitions(&mut open(full.directory.path()));
    assert_eq!(found.len(), count as usize);
    assert_eq!(found.last(), Some(&(b"last".to_vec(), b"2".to_vec())));
    assert!(found.iter().all(|(key, _)| key[..] != 0u32.to_le_bytes()));
}

#[test]
fn a_full_disk_does_not_keep_the_store_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"one");
    store.write_out(true).unwrap();
    drop(store);
    let disk = Disk::with(directory.path());
    disk.fill(true);
    let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
    let found = replay(&mut store);
    assert_eq!(found.len(), 1);
    assert_eq!(store.room_bytes(true), 0);
    let refused = store.append(&publication(true, &[QueueId(1)], b"two"));
    assert_eq!(refused, Err(AppendError::Full));
    turn(&mut store);
    assert!(store.is_disk_full());
    store.settle(found[0].entry.at, found[0].slot);
    turn(&mut store);
    disk.fill(false);
    store.retry_space();
    turn(&mut store);
    publish(&mut store, 1, b"three");
    store.close().unwrap();
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [b"three"]);
}

/// A body in the other ring was taken for one that takes no room: it was copied as far as there was
/// some, dropped, and tried again, for ever.
#[test]
fn room_is_made_for_a_body_that_has_to_be_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let bytes = vec![7; 500_000];
    store.want_room(false, 2 * 500_000);
    (0..20).for_each(|_| turn(&mut store));
    let body = large_body(&mut store, false, &bytes);
    assert!(body.waiting.is_empty());
    let queues = [QueueId(1)];
    let message = Publication { body: Body::Large(&body), ..publication(true, &queues, b"") };
    assert_eq!(store.append(&message), Err(AppendError::Full));
    let tries = (0..40).map(|_| {
        turn(&mut store);
        (!store.is_short_of_room(1)).then(|| store.append(&message))
    });
    let tried: Vec<_> = tries.flatten().take(1).collect();
    assert!(tried[0].is_ok(), "the first try after there was room");
    store.abandon(body);
    turn(&mut store);
    drop(store);
    assert_eq!(bodies(&replay(&mut open(directory.path()))), [&bytes]);
}

/// A transaction that found too little room has the store make enough.
#[test]
fn room_is_made_for_whoever_asks_for_much() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let bodies: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 5000]).collect();
    let queues = [QueueId(1)];
    let all: Vec<_> = bodies.iter().map(|body| publication(true, &queues, body)).collect();
    assert_eq!(store.append_transaction(&all, &[]).unwrap_err(), AppendError::Full);
    assert!(store.is_short_of_room(1), "others wait, too");
    for _ in 0..20 {
        turn(&mut store);
    }
    assert!(!store.is_short_of_room(1));
    let (sent, until) = store.append_transaction(&all, &[]).unwrap();
    assert_eq!(sent.len(), 100);
    turn(&mut store);
    assert!(store.durable() >= until);
    drop(store);
    assert_eq!(replay(&mut open(directory.path())).len(), 100);
}

/// On file systems that copy what they change, `fallocate` promises nothing.
#[test]
fn a_write_that_finds_no_space_waits_and_is_made_up_for() {
    let mut full = Full::start();
    full.disk.fill(false);
    full.turns();
    let before = full.store.durable();
    full.disk.refuse_writes(true);
    let sent = full.publish().unwrap();
    let change = full.store.define(b"key", b"1");
    for _ in 0..3 {
        full.store.write_out(true).unwrap();
        full.store.start_sync_if(true).unwrap();
        full.store.run_helper(usize::MAX);
        full.store.take_answers().unwrap();
    }
    assert!(full.store.durable() < sent.position && full.store.durable() >= before);
    assert!(full.store.is_disk_full() && full.store.is_short_of_room(1));
    let large = large_body(&mut full.store, true, &[3; 30_000]);
    assert_eq!(full.store.record(sent.entry.at).body_bytes(), 5000, "it can be read");
    full.disk.refuse_writes(false);
    full.store.retry_space();
    full.turns();
    assert!(full.store.durable() >= sent.position && full.store.is_kept(change));
    full.store.abandon(large);
    drop(full.store);
    let mut store = open(full.directory.path());
    assert_eq!(definitions(&mut store).len(), 1);
    assert_eq!(replay(&mut store).len(), 1);
}

/// A file became free while another one was being made, and was removed as one too many; then the
/// other one found no space, and there was none for good.
#[test]
fn what_is_free_is_kept_while_what_is_being_made_may_find_no_space() {
    let mut full = Full::start();
    let mut now_ms = 0;
    for round in 0..20 {
        let sent = full.fill();
        assert!(!sent.is_empty(), "round {round}");
        for sent in sent {
            full.store.settle(sent.entry.at, sent.first_slot);
        }
        for _ in 0..12 {
            let store = &mut full.store;
            store.take_answers().unwrap();
            store.retire();
            store.write_out(true).unwrap();
            store.start_sync_if(true).unwrap();
            // As the loop does while the disk is full; nothing was used up for a while.
            store.retry_space();
            now_ms += 1500;
            store.look_back(now_ms).unwrap();
            store.maintain().unwrap();
            store.run_helper(1);
        }
        full.turns();
        let left = segment_files(full.directory.path()).len();
        assert!(left >= 2, "round {round}: the log has no other file to go on in");
    }
    drop(full.disk);
}
