//! Files that were torn, flipped, cut off or replaced: a clear report, no panic, and everything
//! that is whole is there.

use std::fs;
use std::path::Path;

use super::*;
use crate::storage::{LogPos, StorageError};

/// Copies the files of a directory.
fn copy_of(directory: &Path) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), target.path().join(entry.file_name())).unwrap();
    }
    target
}

fn files_of(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A message that was appended.
#[derive(Clone)]
struct Sent {
    body: Vec<u8>,
    position: LogPos,
    /// Its body does not lie in the record.
    parked: bool,
}

/// Appends messages of all kinds to queue 1 and tells where each ends.
fn fill(store: &mut Store, count: usize, random: &mut Random) -> Vec<Sent> {
    let mut expected = Vec::new();
    for n in 0..count {
        let body = vec![n as u8; random.below(3000)];
        let queues = [QueueId(1)];
        let kind = random.below(4);
        let (position, copies) = match kind {
            0 => {
                let mut parked = store.park_body(true, body.len() as u64).unwrap();
                store.park(&mut parked, &body).unwrap();
                let appended = store
                    .append(&Publication {
                        body: Body::Parked(&parked),
                        ..publication(true, &queues, b"")
                    })
                    .unwrap();
                store.abandon(parked);
                (appended.position, 1)
            }
            1 => {
                let one = publication(true, &queues, &body);
                (store.append_transaction(&[one, one], &[]).unwrap().1, 2)
            }
            _ => (publish(store, 1, &body).position, 1),
        };
        let parked = kind == 0;
        expected.resize(expected.len() + copies, Sent { body, position, parked });
        if random.chance(20) {
            turn(store);
        }
    }
    expected
}

/// The sequence number and size that the header of a segment says.
fn sequence_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[16..24].try_into().unwrap())
}

#[test]
fn whatever_lies_past_the_durable_position_does_not_matter() {
    for seed in 1..40 {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut expected = fill(&mut store, 60, &mut random);
        turn(&mut store);
        let durable = store.durable();
        expected.retain(|sent| sent.position <= durable);
        fill(&mut store, 20, &mut random);
        store.write_out_durable().unwrap();
        let torn = copy_of(directory.path());
        for path in files_of(torn.path()) {
            let mut bytes = fs::read(&path).unwrap();
            let from = match sequence_of(&bytes).cmp(&durable.sequence) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => durable.offset as usize,
                std::cmp::Ordering::Greater => 4096,
            };
            // The slots of what is durable are durable, too.
            let to = from.max(bytes.len() - 400);
            for byte in &mut bytes[from..to] {
                *byte = random.next() as u8;
            }
            fs::write(&path, bytes).unwrap();
        }
        drop(store);
        let mut store = open(torn.path());
        assert_eq!(store.report().damaged, [], "seed {seed}: a torn tail is no damage");
        let found = replay(&mut store);
        let expected: Vec<&[u8]> = expected.iter().map(|sent| &sent.body[..]).collect();
        assert!(bodies(&found) == expected, "seed {seed}: what was durable, and nothing else");
        // And it is no damage later, when the log has gone on.
        fill(&mut store, 60, &mut random);
        turn(&mut store);
        drop(store);
        assert_eq!(open(torn.path()).report().damaged, [], "seed {seed}");
    }
}

#[test]
fn a_flipped_bit_costs_at_most_what_it_hit() {
    let mut random = Random(4711);
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let expected = fill(&mut store, 150, &mut random);
    store.close().unwrap();
    for round in 0..400 {
        let damaged = copy_of(directory.path());
        let paths = files_of(damaged.path());
        let path = &paths[random.below(paths.len())];
        let mut bytes = fs::read(path).unwrap();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        fs::write(path, &bytes).unwrap();
        let mut store = open(damaged.path());
        let reported = store.report().damaged.clone();
        let found = replay(&mut store);
        let found = bodies(&found);
        let mut n = 0;
        for Sent { body, .. } in &expected {
            n += usize::from(found.get(n).is_some_and(|found| found == body));
        }
        assert_eq!(n, found.len(), "round {round}: nothing is invented, order is kept");
        let missing = expected.len() - found.len();
        // A settled slot is a flip that nobody can see; a transaction is two messages.
        let slots = path.extension().is_some_and(|e| e == "segment") && at > bytes.len() - 200;
        // When the length is hit, nothing says where the next record begins.
        let rest = reported.iter().any(|damage| damage.skipped_bytes > 6000);
        assert!(missing <= 2 || rest, "round {round}: byte {at} of {path:?} cost {missing}");
        assert!(missing == 0 || slots || !reported.is_empty(), "round {round}: and nobody said so");
        assert!(store.append(&publication(true, &[QueueId(1)], b"goes on")).is_ok());
        turn(&mut store);
        let files: Vec<_> = reported.iter().map(|damage| damage.path.clone()).collect();
        for file in files {
            let kept = file.exists() || file.with_extension("damaged").exists();
            assert!(kept, "round {round}: the evidence is kept");
        }
    }
}

#[test]
fn garbage_and_cuts_anywhere_never_panic_and_keep_what_lies_before() {
    let mut random = Random(815);
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let expected = fill(&mut store, 120, &mut random);
    turn(&mut store);
    drop(store);
    for round in 0..300 {
        let damaged = copy_of(directory.path());
        let paths = files_of(damaged.path());
        let path = &paths[random.below(paths.len())];
        let mut bytes = fs::read(path).unwrap();
        let sequence = sequence_of(&bytes);
        let at = random.below(bytes.len());
        if random.chance(50) {
            bytes.truncate(at);
        } else {
            let to = bytes.len().min(at + 1 + random.below(9000));
            for byte in &mut bytes[at..to] {
                *byte = random.next() as u8;
            }
        }
        fs::write(path, &bytes).unwrap();
        let mut store = match open_or_refuse(damaged.path()) {
            Ok(store) => store,
            Err(StorageError::UnknownVersion { .. }) => continue,
            Err(error) => panic!("round {round}: {error}"),
        };
        let found = replay(&mut store);
        let found = bodies(&found);
        let mut n = 0;
        for sent in &expected {
            let here = found.get(n).is_some_and(|found| *found == sent.body);
            n += usize::from(here);
            let is_before = (sent.position.offset as usize) < at;
            let is_elsewhere = sent.position.sequence != sequence;
            // Slots lie at the end.
            let is_due = (is_before && at < 60_000) || is_elsewhere;
            assert!(
                here || sent.parked || !is_due,
                "round {round}: lost what lies before byte {at} of {path:?}"
            );
        }
        assert_eq!(n, found.len(), "round {round}: nothing is invented, order is kept");
        publish(&mut store, 1, b"goes on");
        turn(&mut store);
        turn(&mut store);
        drop(store);
        replay(&mut open(damaged.path()));
    }
}

fn open_or_refuse(directory: &Path) -> Result<Store, StorageError> {
    Store::open(StoreOptions {
        directory: directory.to_path_buf(),
        segment_bytes: SEGMENT_BYTES,
        helper: HelperMode::Manual,
    })
}

#[test]
fn damage_before_the_durable_end_is_reported_with_its_place_and_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let first = publish(&mut store, 1, b"first");
    let second = publish(&mut store, 1, b"second");
    let third = publish(&mut store, 1, b"third");
    store.close().unwrap();
    let path = directory.path().join("00000001.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[second.entry.at.offset as usize + 60] ^= 4;
    fs::write(&path, &bytes).unwrap();

    let mut store = open(directory.path());
    let report = store.report();
    assert_eq!(report.damaged.len(), 1);
    let damage = &report.damaged[0];
    assert_eq!(damage.path, path);
    assert_eq!(damage.offset, u64::from(first.position.offset));
    let skipped = third.entry.at.offset - second.entry.at.offset;
    assert_eq!(damage.skipped_bytes, u64::from(skipped));
    assert!(damage.to_string().contains("is damaged at byte"));
    let found = replay(&mut store);
    assert_eq!(bodies(&found), [&b"first"[..], b"third"]);
    // When the rest is settled, the file is kept under another name.
    for found in found {
        store.settle(found.entry.at, found.slot);
    }
    publish(&mut store, 1, b"fourth");
    turn(&mut store);
    turn(&mut store);
    assert!(!path.exists());
    let kept = fs::read(path.with_extension("damaged")).unwrap();
    assert_eq!(kept[4096..8192], bytes[4096..8192]);
    drop(store);
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    assert_eq!(bodies(&replay(&mut store)), [b"fourth"]);
}

#[test]
fn one_broken_header_copy_is_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"one");
    store.close().unwrap();
    for at in [3, 2048 + 20] {
        let damaged = copy_of(directory.path());
        let path = damaged.path().join("00000001.segment");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut store = open(damaged.path());
        assert_eq!(store.report().damaged, []);
        assert_eq!(bodies(&replay(&mut store)), [b"one"]);
    }
}

#[test]
fn a_lost_header_is_reported_the_file_left_alone_and_ids_go_far_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let old = publish(&mut store, 1, b"one");
    turn(&mut store);
    drop(store);
    let path = directory.path().join("00000001.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..4096].fill(0);
    fs::write(&path, &bytes).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged.len(), 1);
    assert_eq!(store.report().damaged[0].skipped_bytes, u64::from(SEGMENT_BYTES));
    assert_eq!(replay(&mut store), []);
    let new = publish(&mut store, 1, b"two");
    assert!(new.entry.id > old.entry.id && new.position > old.position);
    turn(&mut store);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn an_unknown_version_is_refused_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().unwrap();
    let path = directory.path().join("00000001.segment");
    let mut bytes = fs::read(&path).unwrap();
    for copy in [0, 2048] {
        bytes[copy + 8] = 9;
        let crc = crc32fast::hash(&bytes[copy..copy + 60]);
        bytes[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    let error = open_or_refuse(directory.path()).err().unwrap();
    assert!(error.to_string().contains("format version 9"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(directory.path().join("clean").exists());
}

#[test]
fn a_transaction_torn_at_any_byte_is_there_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let old = publish(&mut store, 1, b"old");
    turn(&mut store);
    let queues = [QueueId(1), QueueId(2)];
    let parts = [publication(true, &queues, b"a"), publication(true, &queues[..1], b"b")];
    let begin = store.end().offset as usize;
    let (appended, position) = store.append_transaction(&parts, &[old.first_slot]).unwrap();
    assert_eq!(appended.len(), 2);
    assert_eq!(store.record(appended[1].entry.at).body(), b"b");
    store.write_out_durable().unwrap();
    let path = Path::new("00000001.segment");
    let bytes = fs::read(directory.path().join(path)).unwrap();
    for torn_at in begin..=position.offset as usize {
        let torn = copy_of(directory.path());
        let mut bytes = bytes.clone();
        bytes[torn_at..position.offset as usize].fill(0xa5);
        fs::write(torn.path().join(path), &bytes).unwrap();
        let mut store = open(torn.path());
        assert_eq!(store.report().damaged, []);
        let found = replay(&mut store);
        // The last bytes are padding.
        if bodies(&found) == [b"old"] {
            assert!(torn_at < position.offset as usize);
        } else {
            assert_eq!(bodies(&found), [b"a", b"a", b"b"], "torn at {torn_at}");
            assert!(position.offset as usize - torn_at < 8);
        }
    }
}

#[test]
fn a_parked_body_counts_only_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body = vec![7; 10_000];
    let mut unfinished = store.park_body(true, 20_000).unwrap();
    store.park(&mut unfinished, &body).unwrap();
    assert_eq!(unfinished.missing_bytes(), 10_000);
    let mut parked = store.park_body(true, 10_000).unwrap();
    store.park(&mut parked, &body).unwrap();
    let place = parked.offset as usize;
    let queues = [QueueId(1)];
    let with_body = Publication { body: Body::Parked(&parked), ..publication(true, &queues, b"") };
    let tx = [with_body, publication(true, &queues, b"small")];
    store.append_transaction(&tx, &[]).unwrap();
    store.abandon(parked);
    publish(&mut store, 1, b"after");
    store.write_out_durable().unwrap();
    let path = Path::new("00000001.segment");
    for spoiled in [false, true] {
        let torn = copy_of(directory.path());
        let mut bytes = fs::read(torn.path().join(path)).unwrap();
        bytes[place + 5000] ^= u8::from(spoiled);
        fs::write(torn.path().join(path), &bytes).unwrap();
        for _ in 0..2 {
            let mut store = open(torn.path());
            assert_eq!(store.report().damaged, [], "it was not durable");
            let found = replay(&mut store);
            match spoiled {
                false => assert!(bodies(&found) == [&body[..], b"small", b"after"]),
                true => assert_eq!(bodies(&found), [b"after"]),
            }
            turn(&mut store);
        }
    }
    // Once it was durable, it is damage, and only the body's message is lost.
    store.close().unwrap();
    let mut bytes = fs::read(directory.path().join(path)).unwrap();
    bytes[place + 5000] ^= 1;
    fs::write(directory.path().join(path), &bytes).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged.len(), 1);
    assert_eq!(store.report().damaged[0].offset, place as u64);
    assert_eq!(bodies(&replay(&mut store)), [&b"small"[..], b"after"]);
}
