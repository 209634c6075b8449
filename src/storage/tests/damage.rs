//! Files that were torn, flipped, cut off or replaced: a clear report, no panic, and everything
//! that is whole is there.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::storage::LogPos;
use crate::storage::record::{self, Kind};
use tempfile::TempDir;

/// Copies the files of a directory.
fn copy_of(directory: &Path) -> TempDir {
    let target = tempfile::tempdir().unwrap();
    for path in segment_files(directory) {
        fs::copy(&path, target.path().join(path.file_name().unwrap())).unwrap();
    }
    target
}

/// A message that was appended.
#[derive(Clone)]
struct Sent {
    body: Vec<u8>,
    position: LogPos,
}

/// Appends messages of all kinds to queue 1 and tells where each ends.
fn fill(store: &mut Store, count: usize, random: &mut Random) -> Vec<Sent> {
    let mut expected = Vec::new();
    for n in 0..count {
        let body = vec![n as u8; random.below(3000)];
        let queues = [QueueId(1)];
        let (position, copies) = match random.below(4) {
            0 => (publish_large(store, 1, &body).position, 1),
            1 => {
                let one = publication(true, &queues, &body);
                (store.append_transaction(&[one, one], &[]).unwrap().1, 2)
            }
            _ => (publish(store, 1, &body).position, 1),
        };
        expected.resize(expected.len() + copies, Sent { body, position });
        if random.chance(20) {
            turn(store);
        }
    }
    expected
}

/// The salt of a segment file and the sequence number in its chain record; `None` for a spare.
fn chain_of(bytes: &[u8]) -> Option<(u64, u64)> {
    let salt = record::u64_at(bytes, 24);
    let chain = record::read(&bytes[4096..], salt, 4096)?.chain()?;
    Some((salt, chain.sequence))
}

/// The records of a segment file: kind, offset and length.
fn records_of(bytes: &[u8]) -> Vec<(Kind, usize, usize)> {
    let (salt, _) = chain_of(bytes).unwrap();
    let (mut at, mut records) = (4096, Vec::new());
    while let Some(frame) = record::read(&bytes[at..], salt, at as u32) {
        records.push((frame.kind, at, frame.span as usize));
        at += frame.span as usize;
    }
    records
}

/// A log of three segments and more, all of it durable, with marks that say so.
fn durable_log(random: &mut Random) -> (TempDir, Vec<Sent>, LogPos) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut expected = fill(&mut store, 100, random);
    turn(&mut store);
    let durable = store.durable();
    expected.extend(fill(&mut store, 1, random));
    turn(&mut store);
    (directory, expected, durable)
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
        for n in 0..20 {
            publish(&mut store, 1, &[n; 1000]);
        }
        store.write_out(true).unwrap();
        let torn = copy_of(directory.path());
        for path in segment_files(torn.path()) {
            let mut bytes = fs::read(&path).unwrap();
            let Some((_, sequence)) = chain_of(&bytes) else { continue };
            let from = match sequence.cmp(&durable.sequence) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => durable.offset as usize,
                std::cmp::Ordering::Greater => 4096,
            };
            bytes[from..].iter_mut().for_each(|byte| *byte = random.next() as u8);
            fs::write(&path, bytes).unwrap();
        }
        drop(store);
        let mut store = open(torn.path());
        assert_eq!(store.report().damaged, [], "seed {seed}: a torn tail is no damage");
        let found = replay(&mut store);
        let expected: Vec<&[u8]> = expected.iter().map(|sent| &sent.body[..]).collect();
        assert!(bodies(&found) == expected, "seed {seed}: what was durable, and nothing else");
        // And it is no damage later, when the log has gone on and segments were freed.
        found.iter().for_each(|found| store.settle(found.entry.at, found.slot));
        for _ in 0..3 {
            roll(&mut store);
        }
        fill(&mut store, 60, &mut random);
        turn(&mut store);
        drop(store);
        assert_eq!(open(torn.path()).report().damaged, [], "seed {seed}");
    }
}

/// Records that stand behind a torn one count neither at the next start nor at any later one.
#[test]
fn what_stands_behind_a_torn_place_never_counts() {
    let mut random = Random(5);
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.want_room(true, 200_000);
    for _ in 0..10 {
        turn(&mut store);
    }
    let sent: Vec<_> = (0..60).map(|n| publish(&mut store, 1, &[n; 2000])).collect();
    store.write_out(true).unwrap();
    assert!(sent[59].entry.at.segment != sent[0].entry.at.segment, "more than one segment");
    drop(store);
    let first = &segment_files(directory.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes[sent[4].entry.at.offset as usize + 100] ^= 1;
    fs::write(first, bytes).unwrap();
    for _ in 0..4 {
        let mut store = open(directory.path());
        assert_eq!(store.report().damaged, []);
        let found = replay(&mut store);
        let of_old = found.iter().filter(|found| found.body.len() == 2000);
        let left: Vec<u8> = of_old.map(|found| found.body[0]).collect();
        assert_eq!(left, [0, 1, 2, 3]);
        for _ in 0..random.below(3) {
            roll(&mut store);
        }
    }
}

#[test]
fn a_flipped_bit_costs_at_most_what_it_hit() {
    let mut random = Random(4711);
    let (directory, expected, _) = durable_log(&mut random);
    let files: Vec<PathBuf> = segment_files(directory.path());
    for _ in 0..150 {
        let damaged = copy_of(directory.path());
        let name = files[random.below(files.len())].file_name().unwrap();
        let path = damaged.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let Some((_, _)) = chain_of(&bytes) else { continue };
        let records = records_of(&bytes);
        let (kind, at, span) = records[random.below(records.len())];
        bytes[at + random.below(span.min(40))] ^= 1 << random.below(8);
        fs::write(&path, &bytes).unwrap();
        let mut store = open(damaged.path());
        let found = replay(&mut store);
        let missing = expected.len().abs_diff(found.len());
        assert!(missing <= 40, "a piece, a message or a transaction: {missing} by a {kind:?}");
        let mut left = expected.iter();
        for found in &found {
            assert!(left.any(|sent| sent.body == found.body), "in order, and nothing else");
        }
    }
}

#[test]
fn damage_before_the_durable_end_is_reported_with_its_place_and_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let sent: Vec<_> = (0..10).map(|n| publish(&mut store, 1, &[n; 1000])).collect();
    turn(&mut store);
    publish(&mut store, 1, &[10; 1000]);
    turn(&mut store);
    drop(store);
    let path = &segment_files(directory.path())[0];
    let mut bytes = fs::read(path).unwrap();
    let at = sent[3].entry.at.offset as usize;
    bytes[at + 500] ^= 0x40;
    fs::write(path, &bytes).unwrap();
    let mut store = open(directory.path());
    let report = store.report();
    assert_eq!(report.damaged.len(), 1);
    let damage = &report.damaged[0];
    assert_eq!((&damage.path, damage.offset), (path, at as u64));
    let length = u64::from(sent[4].entry.at.offset) - damage.offset;
    assert_eq!(damage.skipped_bytes, length);
    assert!(damage.to_string().contains("damaged at byte"));
    let left: Vec<u8> = replay(&mut store).iter().map(|found| found.body[0]).collect();
    assert_eq!(left, [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
    // It is not deleted when nothing in it is alive any more.
    drop(store);
    let mut store = open(directory.path());
    let found = replay(&mut store);
    found.iter().for_each(|found| store.settle(found.entry.at, found.slot));
    for _ in 0..3 {
        roll(&mut store);
    }
    turn(&mut store);
    assert!(path.with_extension("damaged").exists() && !path.exists());
    assert_eq!(
        fs::read(path.with_extension("damaged")).unwrap()[at..at + 1000],
        bytes[at..at + 1000]
    );
}

/// At the end of a run that could not read a record it was said to be settled.
#[test]
fn a_file_that_is_put_back_holds_everything() {
    let (directory, expected, _) = durable_log(&mut Random(5));
    let first = segment_files(directory.path()).remove(0);
    let sound = fs::read(&first).unwrap();
    let messages = records_of(&sound).into_iter().filter(|record| record.0 == Kind::Message);
    let (_, at, length) = messages.max_by_key(|record| record.2).unwrap();
    let mut spoilt = sound.clone();
    spoilt[at + length / 2] ^= 1;
    fs::write(&first, spoilt).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged.len(), 1);
    let found = replay(&mut store);
    assert!(found.len() < expected.len());
    // What says so lies in a segment that is dead soon after.
    assert_eq!(found[0].body, expected[0].body);
    store.settle(found[0].entry.at, found[0].slot);
    (0..4).for_each(|_| roll(&mut store));
    store.close().unwrap();
    fs::write(&first, sound).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged, []);
    assert!(!store.report().clean, "what was delivered is not known of all of it");
    let bodies: Vec<_> = expected[1..].iter().map(|sent| &sent.body[..]).collect();
    assert_eq!(super::bodies(&replay(&mut store)), bodies);
}

#[test]
fn a_damaged_chain_record_is_reported_and_the_segment_counts() {
    let mut random = Random(3);
    let (directory, expected, durable) = durable_log(&mut random);
    let files = segment_files(directory.path());
    let mut tried = 0;
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let Some((_, sequence)) = chain_of(&bytes) else { continue };
        if sequence >= durable.sequence {
            continue;
        }
        let damaged = copy_of(directory.path());
        let copy = damaged.path().join(path.file_name().unwrap());
        let mut bytes = bytes;
        bytes[4096 + 30] ^= 1;
        fs::write(&copy, bytes).unwrap();
        let mut store = open(damaged.path());
        let damage = store.report().damaged.clone();
        assert!(damage.len() == 1 && damage[0].path == copy && damage[0].offset == 4096);
        assert_eq!(replay(&mut store).len(), expected.len());
        tried += 1;
    }
    assert!(tried >= 2);
}

#[test]
fn a_lost_header_is_reported_and_the_file_left_alone() {
    let mut random = Random(8);
    let (directory, expected, durable) = durable_log(&mut random);
    let path = segment_files(directory.path())
        .into_iter()
        .find(|path| chain_of(&fs::read(path).unwrap()).is_some_and(|c| c.1 < durable.sequence))
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut store = open(directory.path());
    assert!(store.report().damaged.iter().any(|damage| damage.path == path));
    let found = replay(&mut store);
    assert!(found.len() < expected.len() && found.len() > expected.len() / 4);
    for _ in 0..4 {
        roll(&mut store);
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Nothing of a segment can be read but its header, as if it were free: it may be the one that is
/// missing.
#[test]
fn a_file_that_lost_all_its_records_is_left_alone() {
    let mut harmed = 0;
    for seed in 1..12 {
        let mut random = Random(seed);
        let (directory, ..) = durable_log(&mut random);
        // Another start, so that the log goes on in the middle of things.
        let mut store = open(directory.path());
        replay(&mut store);
        fill(&mut store, random.below(60), &mut random);
        turn(&mut store);
        drop(store);
        for path in segment_files(directory.path()) {
            let copies = copy_of(directory.path());
            let copy = copies.path().join(path.file_name().unwrap());
            let mut bytes = fs::read(&copy).unwrap();
            bytes[4096..].fill(0);
            fs::write(&copy, &bytes).unwrap();
            let mut store = open(copies.path());
            if store.report().damaged.is_empty() {
                continue;
            }
            harmed += 1;
            replay(&mut store);
            (0..6).for_each(|_| roll(&mut store));
            // Once the log needs it no more it gets another name.
            let set_aside = copy.with_extension("damaged");
            let kept = fs::read(&copy).or_else(|_| fs::read(&set_aside)).ok();
            let is_kept = kept.is_some_and(|kept| kept == bytes);
            assert!(is_kept, "seed {seed}: {copy:?} was used, {:?}", store.report().damaged);
        }
    }
    assert!(harmed > 20, "{harmed}");
}

/// The same where the segment behind it is free by now, and nobody names the file: the inventory
/// alone tells that a segment is missing.
#[test]
fn an_old_file_that_lost_all_its_records_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"kept");
    (0..6).for_each(|_| roll(&mut store));
    drop(store);
    let path = segment_files(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.windows(4).any(|four| four == b"kept"));
    bytes[4096..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.report().damaged.len(), 1, "{:?}", store.report());
    let said = store.report().damaged[0].to_string();
    assert!(said.contains("is missing") && said.contains(path.to_str().unwrap()), "{said}");
    replay(&mut store);
    (0..12).for_each(|_| roll(&mut store));
    // Free files that nobody needs go.
    for now_ms in (1..10).map(|n| n * 10_000) {
        store.look_back(now_ms).unwrap();
        turn(&mut store);
    }
    drop(store);
    assert!(fs::read(&path).is_ok_and(|left| left == bytes), "it was used or removed");
}

/// After an orderly stop nobody looks into what seems to be free: but where a segment is missing
/// then, it is looked for there, at the first start and not at the next one.
#[test]
fn a_segment_without_its_chain_record_counts_after_an_orderly_stop_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"kept");
    (0..6).for_each(|_| roll(&mut store));
    store.close().unwrap();
    let path = segment_files(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for start in 1..3 {
        let mut store = open(directory.path());
        let damaged: Vec<_> = store.report().damaged.iter().map(|damage| &damage.path).collect();
        assert_eq!(damaged, [&path], "start {start}");
        assert_eq!(bodies(&replay(&mut store)), [b"kept"], "start {start}");
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let mut random = Random(9);
    let (directory, _, durable) = durable_log(&mut random);
    let path = segment_files(directory.path())
        .into_iter()
        .find(|path| {
            let chain = chain_of(&fs::read(path).unwrap());
            chain.is_some_and(|c| c.1 > 1 && c.1 < durable.sequence)
        })
        .unwrap();
    fs::remove_file(path).unwrap();
    let store = open(directory.path());
    assert_eq!(store.report().damaged.len(), 1, "{:?}", store.report());
}

#[test]
fn garbage_and_cuts_anywhere_never_panic_and_keep_what_lies_before() {
    let mut random = Random(77);
    let (directory, expected, _) = durable_log(&mut random);
    let files = segment_files(directory.path());
    for _ in 0..60 {
        let damaged = copy_of(directory.path());
        let path = damaged.path().join(files[random.below(files.len())].file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let from = random.below(bytes.len());
        if random.chance(30) {
            bytes.truncate(from);
        } else {
            let to = (from + random.below(20_000)).min(bytes.len());
            bytes[from..to].iter_mut().for_each(|byte| *byte = random.next() as u8);
        }
        fs::write(&path, &bytes).unwrap();
        let Ok(mut store) = Store::open(options(damaged.path())) else { continue };
        let found = replay(&mut store);
        assert!(found.len() <= expected.len());
        let mut left = expected.iter();
        for found in &found {
            assert!(left.any(|sent| sent.body == found.body), "in order, and nothing else");
        }
        // It goes on.
        let sent = publish(&mut store, 5, b"after");
        turn(&mut store);
        assert!(store.durable() >= sent.position);
        drop(store);
        let found = replay(&mut open(damaged.path()));
        assert_eq!(found.last().map(|found| &found.body[..]), Some(&b"after"[..]));
    }
}

#[test]
fn an_unknown_version_and_the_format_before_this_one_are_refused_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    publish(&mut store, 1, b"x");
    store.close().unwrap();
    let path = &segment_files(directory.path())[0];
    let good = fs::read(path).unwrap();
    let mut other = good.clone();
    other[8] = 9;
    let crc = crc32fast::hash(&other[..32]);
    other[32..36].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &other).unwrap();
    let error = Store::open(options(directory.path())).err().unwrap().to_string();
    assert!(error.contains("format version 9") && error.contains("00000001.segment"), "{error}");
    assert_eq!(fs::read(path).unwrap(), other);

    let mut before = good.clone();
    before[..8].copy_from_slice(b"LEVERETS");
    fs::write(path, &before).unwrap();
    let error = Store::open(options(directory.path())).err().unwrap().to_string();
    assert!(error.contains("earlier version"), "{error}");
    fs::write(path, &good).unwrap();
    for name in ["definitions", "clean"] {
        fs::write(directory.path().join(name), b"x").unwrap();
        let error = Store::open(options(directory.path())).err().unwrap().to_string();
        assert!(error.contains("earlier version"), "{error}");
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    assert_eq!(replay(&mut open(directory.path())).len(), 1);
}

#[test]
fn a_transaction_torn_at_any_byte_is_there_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let old = publish(&mut store, 1, b"old");
    turn(&mut store);
    let (queues, end) = ([QueueId(1)], store.end());
    let two = [publication(true, &queues, b"one"), publication(true, &queues, b"two")];
    let (_, until) = store.append_transaction(&two, &[old.first_slot]).unwrap();
    store.write_out(true).unwrap();
    let path = segment_files(directory.path())
        .into_iter()
        .find(|path| chain_of(&fs::read(path).unwrap()).is_some_and(|c| c.1 == end.sequence))
        .unwrap();
    for cut in end.offset..=until.offset {
        let torn = copy_of(directory.path());
        let copy = torn.path().join(path.file_name().unwrap());
        let mut bytes = fs::read(&copy).unwrap();
        bytes[cut as usize..].fill(0xff);
        fs::write(&copy, bytes).unwrap();
        let found = replay(&mut open(torn.path()));
        let found = bodies(&found);
        let whole = found == [b"one", b"two"];
        assert!(whole || found == [b"old"], "cut at {cut}: {found:?}");
        assert_eq!(whole, cut == until.offset);
    }
}

#[test]
fn a_large_body_counts_only_when_every_piece_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let body: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    let small = publish(&mut store, 1, b"small");
    turn(&mut store);
    publish_large(&mut store, 1, &body);
    store.write_out(true).unwrap();
    let path = &segment_files(directory.path())[0];
    let pieces = records_of(&fs::read(path).unwrap());
    let pieces: Vec<_> = pieces.iter().filter(|(kind, ..)| *kind == Kind::Piece).collect();
    assert_eq!(pieces.len(), 3);
    for (_, at, _) in pieces {
        let torn = copy_of(directory.path());
        let copy = torn.path().join(path.file_name().unwrap());
        let mut bytes = fs::read(&copy).unwrap();
        bytes[at + 1000] ^= 1;
        fs::write(&copy, bytes).unwrap();
        let mut store = open(torn.path());
        assert_eq!(store.report().damaged, [], "it was not durable");
        let found = replay(&mut store);
        assert_eq!((bodies(&found), found[0].entry), (vec![&b"small"[..]], small.entry));
    }
}

/// A crash leaves every file as long as it was: what is missing was lost otherwise.
#[test]
fn a_file_that_was_cut_off_is_reported_also_where_the_log_ends() {
    let (directory, ..) = durable_log(&mut Random(6));
    let read = |path: &PathBuf| fs::read(path).unwrap();
    let sequence = |path: &PathBuf| chain_of(&read(path)).map(|chain| chain.1);
    let last = segment_files(directory.path()).into_iter().max_by_key(sequence).unwrap();
    let (_, at, _) = *records_of(&read(&last)).last().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(at as u64 + 8).unwrap();
    let store = open(directory.path());
    let damaged: Vec<_> = store.report().damaged.iter().map(|damage| &damage.path).collect();
    assert_eq!(damaged, [&last]);
}

/// Whatever is missing of a file, the rest is read, also where the log ends soon behind it: the
/// durable mark may lie in what is missing.
#[test]
fn a_file_that_was_cut_off_does_not_keep_the_log_from_starting() {
    for seed in 1..5 {
        let mut random = Random(seed);
        let (directory, mut expected, _) = durable_log(&mut random);
        let mut store = open(directory.path());
        replay(&mut store);
        // The next segment is begun, and nothing in it is durable.
        let before = store.end().sequence;
        turn(&mut store);
        while store.end().sequence == before {
            expected.extend(fill(&mut store, 1, &mut random));
            store.write_out(true).unwrap();
        }
        store.write_out(true).unwrap();
        drop(store);
        for path in segment_files(directory.path()) {
            let length = fs::metadata(&path).unwrap().len();
            for cut in (4096 + 80..length).step_by(7177) {
                let copies = copy_of(directory.path());
                let copy = copies.path().join(path.file_name().unwrap());
                fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(cut).unwrap();
                let mut store = open(copies.path());
                let found = replay(&mut store).len();
                assert!(found <= expected.len() && found > expected.len() / 4, "{path:?} {cut}");
                publish(&mut store, 1, b"and on it goes");
                turn(&mut store);
            }
        }
    }
}
