//! The faults by which logs before this one lost, doubled or invented messages; each has its test.

use std::fs;

use std::os::unix::fs::FileExt;

use super::*;
use tempfile::TempDir;

/// Settles everything that is there, and rolls until no old segment is left.
fn drain(store: &mut Store, sent: Vec<Appended>) {
    sent.iter().for_each(|sent| store.settle(sent.entry.at, sent.first_slot));
    for _ in 0..4 {
        roll(store);
    }
}

/// Slot bytes of a segment's new life fell on body bytes of the old one: 0xFF read as settled,
/// anything else as a count, also after an orderly stop.
#[test]
fn small_messages_in_a_segment_that_held_large_ones_are_all_there() {
    for (byte, orderly) in [(0xff, true), (0xff, false), (0x00, true), (0x7f, false)] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        for _ in 0..5 {
            let large = (0..30).map(|_| {
                turn(&mut store);
                publish(&mut store, 1, &[byte; 6000])
            });
            let large = large.collect();
            drain(&mut store, large);
        }
        let small: Vec<_> = (0..3000u32)
            .map(|n| {
                if n % 50 == 0 {
                    turn(&mut store);
                }
                publish(&mut store, 2, &n.to_le_bytes())
            })
            .collect();
        turn(&mut store);
        assert!(store.durable() >= small[2999].position);
        if orderly {
            store.close().unwrap()
        } else {
            drop(store)
        }
        let found = replay(&mut open(directory.path()));
        let found = found.iter().filter(|found| found.queue == 2).collect::<Vec<_>>();
        assert_eq!(found.len(), 3000, "after bytes of {byte}");
        assert!(found.iter().zip(&small).all(|(found, sent)| found.entry.id == sent.entry.id));
        assert!(found.iter().all(|found| found.deliveries == u8::from(!orderly)));
    }
}

/// Bytes of a body that lay in a reused segment were taken for records behind the end of the log:
/// here whole records of the very same place, in the next life of the file.
#[test]
fn a_body_that_holds_records_forges_nothing_wherever_the_log_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for alignment in 0..8 {
        // What a segment looks like, as far as anybody could know: all of its bytes.
        let files = segment_files(directory.path());
        let mut bodies = Vec::new();
        for path in files {
            let bytes = fs::read(path).unwrap();
            bodies.extend(bytes[4096 - 64 - alignment..].chunks(6000).map(<[u8]>::to_vec));
        }
        let mut sent = Vec::new();
        for body in &bodies {
            sent.push(publish(&mut store, 7, body));
            turn(&mut store);
        }
        drain(&mut store, sent);
        let victim = publish(&mut store, 1, b"victim's");
        turn(&mut store);
        drop(store);
        store = open(directory.path());
        let found = replay(&mut store);
        assert_eq!(found.len(), 1, "alignment {alignment}");
        let id = found[0].entry.id;
        assert_eq!((id, &found[0].body[..]), (victim.entry.id, &b"victim's"[..]));
        store.settle(found[0].entry.at, found[0].slot);
    }
}

/// Spare segments of the old size were used as if they had the new one.
#[test]
fn the_size_of_segments_may_change_at_every_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (start, kib) in [64u32, 1024, 64, 256, 128, 2048, 64].into_iter().enumerate() {
        let bytes = kib << 10;
        let disk = Disk::with(directory.path());
        let mut store = open_on(directory.path(), bytes, &disk).unwrap();
        let found = replay(&mut store);
        assert_eq!(found.len(), expected.len(), "at start {start}");
        assert!(found.iter().zip(&expected).all(|(found, body)| found.body == *body));
        store.want_room(true, 400_000);
        for _ in 0..20 {
            turn(&mut store);
        }
        let bodies: Vec<Vec<u8>> = (0..60).map(|n| vec![n ^ start as u8; 5000]).collect();
        let queues = [QueueId(1)];
        let all: Vec<_> = bodies.iter().map(|body| publication(true, &queues, body)).collect();
        let (sent, until) = store.append_transaction(&all, &[]).unwrap();
        turn(&mut store);
        assert!(store.durable() >= until && sent.len() == 60);
        let body = vec![start as u8; 300_000];
        let mut large = store.begin_body(true, body.len() as u64);
        for chunk in body.chunks(20_000) {
            store.add_to_body(&mut large, chunk);
            turn(&mut store);
        }
        let publication = publication(true, &queues, b"");
        store.append(&Publication { body: Body::Large(&large), ..publication }).unwrap();
        store.abandon(large);
        expected.extend(bodies);
        expected.push(body);
        turn(&mut store);
        if start % 2 == 0 { store.close().unwrap() } else { drop(store) }
    }
    // Segments of other sizes were read, are drained, and go.
    let mut store = open(directory.path());
    let found = replay(&mut store);
    found.iter().for_each(|found| store.settle(found.entry.at, found.slot));
    for _ in 0..4 {
        roll(&mut store);
    }
    let sizes = segment_files(directory.path());
    let sizes: Vec<u64> = sizes.iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    assert!(sizes.iter().all(|bytes| *bytes == u64::from(SEGMENT_BYTES)), "{sizes:?}");
}

/// A crash, then a power cut at every single change that the start after it makes, and again: a
/// moved message was lost, or there twice.
#[test]
fn power_that_goes_at_any_moment_of_recovery_loses_and_doubles_nothing() {
    let mut random = Random(99);
    for cut in 1..40 {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::with(directory.path());
        let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
        let old = publish(&mut store, 1, b"moves");
        let stays = publish(&mut store, 2, b"stays");
        let keyed = Publication { defines: Some((b"key", b"1")), ..publication(true, &[], b"") };
        store.append(&Publication { queues: &[QueueId(3)], ..keyed }).unwrap();
        turn(&mut store);
        roll(&mut store);
        let moved = Publication {
            body: Body::Of(old.entry.at),
            replaces: Some(old.first_slot),
            ..publication(true, &[QueueId(4)], b"")
        };
        store.append(&moved).unwrap();
        store.settle(stays.entry.at, stays.first_slot);
        // Killed: it is in the page cache, the disk has any part of it.
        store.write_out(true).unwrap();
        drop(store);
        let mut current: (TempDir, Arc<Disk>) = (directory, disk);
        for again in 0..3 {
            current.1.fail_after(cut + again);
            drop(open_on(current.0.path(), SEGMENT_BYTES, &current.1));
            let target = tempfile::tempdir().unwrap();
            current.1.cut_power(target.path(), [0, 50, 100][random.below(3)], &mut random);
            let disk = Disk::with(target.path());
            current = (target, disk);
        }
        let mut store = open_on(current.0.path(), SEGMENT_BYTES, &current.1).unwrap();
        assert_eq!(store.report().damaged, [], "cut {cut}");
        let keys = definitions(&mut store);
        let found = replay(&mut store);
        let moving: Vec<u64> =
            found.iter().filter(|f| f.body == b"moves").map(|f| f.queue).collect();
        assert!(moving == [1] || moving == [4], "cut {cut}: {moving:?}");
        let named = found.iter().filter(|found| found.queue == 3).count();
        assert_eq!((named, keys.len()), (1, 1), "the key is there with its message");
    }
}

/// A settled byte that a voided last record left behind swallowed a message of the next life.
#[test]
fn what_a_torn_record_left_does_not_touch_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"durable");
    turn(&mut store);
    let end = store.end();
    let lost = publish(&mut store, 1, &[1; 500]);
    store.settle(lost.entry.at, lost.first_slot);
    store.write_out(true).unwrap();
    drop(store);
    let path = &segment_files(directory.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[end.offset as usize + 100] ^= 1;
    fs::write(path, bytes).unwrap();
    let mut store = open(directory.path());
    replay(&mut store);
    for n in 0..50u8 {
        publish(&mut store, 1, &[n]);
    }
    turn(&mut store);
    drop(store);
    assert_eq!(replay(&mut open(directory.path())).len(), 51);
}

/// After a sync that failed, pages may be in the cache and not on the disk: the next start trusted
/// them. Now it writes them again before anything follows from them.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::with(directory.path());
    let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
    publish(&mut store, 1, b"in the cache");
    store.write_out(true).unwrap();
    store.fail_next_sync();
    store.start_sync_if(true).unwrap();
    store.run_helper(usize::MAX);
    assert!(store.take_answers().is_err());
    drop(store);
    // The kernel takes the pages for clean: another sync alone would not write them. Here it is
    // the disk that takes what was written before for forgotten.
    disk.forget_unsynced();
    let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [b"in the cache"]);
    let target = tempfile::tempdir().unwrap();
    disk.cut_power(target.path(), 0, &mut Random(1));
    drop(store);
    let found = replay(&mut open(target.path()));
    assert_eq!(bodies(&found), [b"in the cache"], "it is on the disk, too");
}

/// The files of both rings had one temporary name.
#[test]
fn files_of_the_two_rings_never_have_one_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for n in 0..60u32 {
        for durable in [true, false] {
            let mut large = store.begin_body(durable, 100_000);
            for chunk in 0..10 {
                store.add_to_body(&mut large, &[chunk; 10_000]);
                // The helper is late, and then does one step at a time.
                store.take_answers().unwrap();
                store.write_out(true).unwrap();
                store.write_out_transient().unwrap();
                store.retire();
                store.maintain().unwrap();
                store.run_helper(1 + n as usize % 3);
            }
            store.abandon(large);
        }
        turn(&mut store);
    }
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    assert!(names.into_iter().all(|path| path.extension().is_some_and(|e| e == "segment")));
}

/// Twenty bodies of 100 MB, none of which sent a byte, took 2 GB of disk.
#[test]
fn a_body_that_was_only_announced_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    turn(&mut store);
    let before = (store.end(), segment_files(directory.path()).len());
    let bodies: Vec<_> = (0..20).map(|_| store.begin_body(true, 100 << 20)).collect();
    turn(&mut store);
    assert_eq!((store.end(), segment_files(directory.path()).len()), before);
    bodies.into_iter().for_each(|body| store.abandon(body));
}

/// Acknowledgements alone are a reason to sync, too.
#[test]
fn settlements_that_nobody_waits_for_are_known_to_be_unsynced() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let sent = publish(&mut store, 1, b"x");
    turn(&mut store);
    assert!(!store.has_unsynced());
    store.settle(sent.entry.at, sent.first_slot);
    assert!(store.has_unwritten_settlements());
    store.write_out(true).unwrap();
    assert!(store.has_unsynced() && !store.has_unsynced_content());
    store.start_sync_if(true).unwrap();
    store.run_helper(1);
    store.take_answers().unwrap();
    assert!(!store.has_unsynced());
    let copy = tempfile::tempdir().unwrap();
    for path in segment_files(directory.path()) {
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(replay(&mut open(copy.path())), []);
}

/// Start after a kill synced every file: 12,000 syncs for 12,000 segments.
#[test]
fn a_start_syncs_no_more_than_the_tail() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for n in 0..1000u32 {
        publish(&mut store, 1, &[1; 5000]);
        if n % 8 == 0 {
            turn(&mut store);
        }
    }
    turn(&mut store);
    drop(store);
    assert!(segment_files(directory.path()).len() > 80);
    let disk = Disk::with(directory.path());
    let mut store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
    assert!(disk.syncs_seen() <= 8, "{}", disk.syncs_seen());
    assert_eq!(replay(&mut store).len(), 1000);
}

/// The chain record that said where the log ended was gone before the file of a segment past that
/// end was used again: its settlements counted at the next start.
#[test]
fn what_stood_past_the_end_never_counts_whatever_is_freed_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.want_room(true, 400_000);
    (0..10).for_each(|_| turn(&mut store));
    let sent: Vec<_> = (0..10u8).map(|n| publish(&mut store, 1, &[n])).collect();
    turn(&mut store);
    while store.end().sequence < 3 {
        publish(&mut store, 2, &[0; 6000]);
    }
    let middle = store.durable.by_sequence[&2];
    let middle =
        directory.path().join(format!("{:08}.segment", store.durable.segment(middle).number));
    sent.iter().for_each(|sent| store.settle(sent.entry.at, sent.first_slot));
    store.write_out(true).unwrap();
    drop(store);
    // The power went: of the second segment nothing is there, of the third everything.
    let file = fs::OpenOptions::new().write(true).open(&middle).unwrap();
    file.write_all_at(&vec![0; (SEGMENT_BYTES - 4096) as usize], 4096).unwrap();

    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    let is_first = |found: &&Found| found.queue == 1;
    assert_eq!(replay(&mut store).iter().filter(is_first).count(), 10);
    (0..6).for_each(|_| roll(&mut store));
    drop(store);
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    assert_eq!(replay(&mut store).iter().filter(is_first).count(), 10);
}

/// Power went while a sync was late and two segments had been begun: neither has its beginning, and
/// the one of which nothing tells its place has the lower number. It was taken for the other one,
/// and the other one for a copy of it.
#[test]
fn two_segments_without_their_beginnings_are_no_copies() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"stays");
    turn(&mut store);
    let first = store.end().sequence;
    let mut further = 0;
    while further < 3 {
        further += u32::from(store.end().sequence == first + 2);
        publish(&mut store, 2, &[0; 6000]);
        store.write_out(true).unwrap();
        store.maintain().unwrap();
        store.run_helper(usize::MAX);
        store.take_answers().unwrap();
    }
    let numbers = [first + 1, first + 2].map(|sequence| {
        let index = store.durable.by_sequence[&sequence];
        store.durable.segment(index).number
    });
    drop(store);
    let paths = numbers.map(|number| directory.path().join(format!("{number:08}.segment")));
    let files = paths.each_ref().map(|path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[4096..4608].fill(0);
        bytes
    });
    fs::write(&paths[1], &files[0]).unwrap();
    fs::write(&paths[0], &files[1]).unwrap();
    let mut store = open(directory.path());
    assert!(bodies(&replay(&mut store)).contains(&&b"stays"[..]));
}

/// After a kill, power went before what had been written in a segment was synced; an inventory
/// that counts leaves it out. It was reported as damaged.
#[test]
fn what_became_of_a_free_file_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"stays");
    let sent: Vec<_> = (0..60)
        .map(|_| {
            turn(&mut store);
            publish(&mut store, 2, &[0; 6000])
        })
        .collect();
    let second = store.durable.by_sequence[&2];
    let number = store.durable.segment(second).number;
    let path = directory.path().join(format!("{number:08}.segment"));
    let mut torn = fs::read(&path).unwrap();
    torn[20_000..50_000].fill(0);
    sent.iter().for_each(|sent| store.settle(sent.entry.at, sent.first_slot));
    (0..4).for_each(|_| roll(&mut store));
    assert!(!store.durable.by_sequence.contains_key(&2));
    drop(store);
    // As if the file had not been used again, if it was.
    let is_as_it_was = fs::read(&path).is_ok_and(|found| found[..5000] == torn[..5000]);
    let path = if is_as_it_was { path } else { directory.path().join("00000999.segment") };
    fs::write(path, torn).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    assert_eq!(bodies(&replay(&mut store)), [b"stays"]);
}
