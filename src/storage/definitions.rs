//! Which definitions (vhosts, users, exchanges, queues, bindings ...) are durable? Owns their file:
//! a map from key to payload, kept as a log of puts and deletes that is rewritten when most of it
//! is dead. Keys and payloads are bytes; what they mean is the broker's business. Imports
//! `definitions_file` (which draws the format) and `sys`.
//!
//! What a crash may leave, and what [`open`](DefinitionsLog::open) makes of it:
//! - a torn tail (no whole record after the bad one): cut off, nothing of it was confirmed;
//! - damage (whole records after it): reported; the file is kept under another name as evidence
//!   and rewritten with the records that are whole;
//! - `definitions.new` beside the file: a rewrite that did not come to its rename; removed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::quality::RandomState;

pub use super::definitions_file::DamagedRange;
use super::definitions_file::{
    FILE_NAME, HEADERS_BYTES, Header, Kind, NEW_FILE_NAME, Place, Scan, append_record,
    has_evidence, invalid, keep_evidence, record_bytes, remove_leftover, wrap, write_new,
};
use crate::sys;

/// The durable definitions and the file that they are in.
///
/// Positions are bytes appended since the log was opened; they only grow, also when the file is
/// rewritten. `durable <= written <= appended`.
#[derive(Debug)]
pub struct DefinitionsLog {
    directory: PathBuf,
    file: Arc<File>,
    salt: u64,
    /// Appended and not yet written.
    buffer: Vec<u8>,
    /// Length of the file without `buffer`.
    file_bytes: u64,
    /// The file has blocks up to here.
    reserved_bytes: u64,
    /// Bytes of the record that counts, by hash of its key. It serves to tell how much is dead, so
    /// that two keys with one hash do no harm.
    sizes: HashMap<u64, u64, RandomState>,
    hasher: RandomState,
    /// The sum of `sizes`.
    live_bytes: u64,
    appended: u64,
    durable: u64,
    /// The file is not rewritten before it has this length.
    rewrite_bytes_min: u64,
    report: DefinitionsReport,
    may_lack_some: bool,
}

/// What the log held when it was opened: keys and their payloads.
#[derive(Debug)]
pub struct Definitions {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Definitions {
    /// Key and payload of each, in the order in which the keys were first put.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|place| place.of(&self.bytes))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DefinitionsReport {
    /// Bytes that were cut from the end.
    pub torn_tail_bytes: u64,
    /// What was skipped before the last whole record.
    pub damaged: Vec<DamagedRange>,
    /// Where the damaged file is kept.
    pub evidence: Option<PathBuf>,
}

impl DefinitionsLog {
    /// Opens the log in `directory`, or makes an empty one, and returns what it holds in the order
    /// in which the keys were first put. All of that is durable then.
    ///
    /// # Errors
    /// `InvalidData` for a file of another format version or without a whole header, which is left
    /// as it is; otherwise those of reading, writing and syncing. The text names the file.
    pub fn open(directory: &Path) -> io::Result<(DefinitionsLog, Definitions)> {
        let path = directory.join(FILE_NAME);
        remove_leftover(&directory.join(NEW_FILE_NAME))?;
        if !path.try_exists().map_err(wrap("looking for", &path))? {
            write_new(directory, std::iter::empty())?;
        }
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).open(&path);
        let file = Arc::new(opened.map_err(wrap("opening", &path))?);
        let bytes = fs::read(&path).map_err(wrap("reading", &path))?;
        let header = Header::find(&bytes).map_err(|text| invalid(&path, &text))?;
        let scan = Scan::new(&bytes, header.salt);
        let mut log = DefinitionsLog {
            directory: directory.to_path_buf(),
            file,
            salt: header.salt,
            buffer: Vec::new(),
            file_bytes: scan.end as u64,
            reserved_bytes: 0,
            sizes: HashMap::default(),
            hasher: RandomState::default(),
            live_bytes: 0,
            appended: 0,
            durable: 0,
            rewrite_bytes_min: REWRITE_BYTES_MIN,
            report: DefinitionsReport {
                torn_tail_bytes: (bytes.len() - scan.end) as u64,
                damaged: header.damaged.into_iter().chain(scan.damaged.iter().copied()).collect(),
                evidence: None,
            },
            may_lack_some: false,
        };
        log.count(scan.definitions());
        log.make_good(scan.definitions())?;
        log.may_lack_some = log.report.torn_tail_bytes > 0 || has_evidence(directory)?;
        let places = scan.places();
        Ok((log, Definitions { bytes, places }))
    }

    /// Whether something may be missing that was durable once: a tail was cut off, or damage was
    /// found, now or at an earlier start whose evidence is still there. What refers to definitions
    /// that are not there must not be thrown away then: somebody may put the file back.
    pub fn may_lack_some(&self) -> bool {
        self.may_lack_some
    }

    /// Appends "this key has this payload"; the returned position is durable when the change is.
    ///
    /// # Panics
    /// When both together have 2 GiB or more: nothing that a peer can send has.
    pub fn put(&mut self, key: &[u8], payload: &[u8]) -> u64 {
        let bytes = append_record(&mut self.buffer, self.salt, Kind::Put, key, payload);
        self.appended += bytes;
        self.live_bytes += bytes;
        if let Some(replaced) = self.sizes.insert(self.hasher.hash_one(key), bytes) {
            self.live_bytes -= replaced;
        }
        self.appended
    }

    /// Appends "this key is gone"; the returned position is durable when the change is.
    ///
    /// # Panics
    /// When the key has 2 GiB or more.
    pub fn delete(&mut self, key: &[u8]) -> u64 {
        self.appended += append_record(&mut self.buffer, self.salt, Kind::Delete, key, &[]);
        if let Some(gone) = self.sizes.remove(&self.hasher.hash_one(key)) {
            self.live_bytes -= gone;
        }
        self.appended
    }

    /// Writes what was appended to the file. `false`: there was nothing.
    ///
    /// # Errors
    /// Those of writing; what was not written is kept, so that it can be tried again when a full
    /// disk has room.
    pub fn write_out(&mut self) -> io::Result<bool> {
        if self.buffer.is_empty() {
            return Ok(false);
        }
        self.reserve_ahead();
        let mut done = 0;
        let mut result = Ok(true);
        while done < self.buffer.len() {
            match self.file.write_at(&self.buffer[done..], self.file_bytes) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    done += count;
                    self.file_bytes += count as u64;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => result = Err(error),
            }
            break;
        }
        self.buffer.drain(..done);
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        result.map_err(wrap("writing", &self.path()))
    }

    /// Notes that a sync which began after `position` was [`written`](Self::written) has returned
    /// without an error.
    pub fn note_durable(&mut self, position: u64) {
        assert!(position <= self.written(), "{position} was not even written");
        self.durable = self.durable.max(position);
    }

    /// Writes out and syncs, and waits for it: at start-up and at the end.
    ///
    /// # Errors
    /// Those of writing and syncing. A failed sync is final.
    pub fn sync_now(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.file.sync_data().map_err(wrap("syncing", &self.path()))?;
        self.durable = self.appended;
        Ok(())
    }

    /// Rewrites the file if it is large and mostly dead, and waits for that. `true`: it did, all
    /// that was appended is durable now and [`file`](Self::file) is another one. A disk without
    /// room for it is a warning and no error: the old file serves on.
    ///
    /// # Errors
    /// Those of reading, writing and syncing. They are final.
    pub fn maintain(&mut self) -> io::Result<bool> {
        if self.file_bytes < self.rewrite_bytes_min || !self.is_mostly_dead() {
            return Ok(false);
        }
        match self.rewrite() {
            Ok(()) => Ok(true),
            Err(error) if is_no_room(&error) => {
                log::warn!("the definitions log stays as long as it is: {error}");
                remove_leftover(&self.directory.join(NEW_FILE_NAME))?;
                self.rewrite_bytes_min = self.file_bytes * 2;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The file, for the helper that syncs it.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    /// Position after the last put or delete: what its confirmation waits for.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// Position up to which the file holds everything: what a sync that begins now makes durable.
    pub fn written(&self) -> u64 {
        self.appended - self.buffer.len() as u64
    }

    /// Position up to which everything survives a power cut.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Length of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// What opening found.
    pub fn report(&self) -> &DefinitionsReport {
        &self.report
    }

    /// After opening: counts what is alive.
    fn count<'a>(&mut self, definitions: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        for (key, payload) in definitions {
            let bytes = record_bytes(key, payload);
            self.live_bytes += bytes;
            if let Some(same_hash) = self.sizes.insert(self.hasher.hash_one(key), bytes) {
                self.live_bytes -= same_hash;
            }
        }
    }

    /// After opening: repairs what was found, and makes durable what was read.
    fn make_good<'a>(
        &mut self,
        definitions: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> io::Result<()> {
        let path = self.path();
        for damage in &self.report.damaged {
            let DamagedRange { offset, skipped_bytes } = damage;
            log::error!("{}: damaged at byte {offset}, skipped {skipped_bytes}", path.display());
        }
        let torn = self.report.torn_tail_bytes;
        if torn > 0 {
            let end = self.file_bytes;
            log::warn!("{}: torn at byte {end}, cut {torn} bytes off", path.display());
        }
        if !self.report.damaged.is_empty() {
            let evidence = keep_evidence(&self.directory)?;
            log::error!("the damaged file is kept as {}", evidence.display());
            self.report.evidence = Some(evidence);
            return self.replace_with(definitions);
        }
        if self.file_bytes >= REWRITE_BYTES_MIN_AT_OPEN && self.is_mostly_dead() {
            match self.replace_with(definitions) {
                Err(error) if is_no_room(&error) => {
                    remove_leftover(&self.directory.join(NEW_FILE_NAME))?;
                }
                result => return result,
            }
        }
        if torn > 0 {
            self.file.set_len(self.file_bytes).map_err(wrap("cutting", &path))?;
        }
        self.reserve_ahead();
        // What was read may so far be in the page cache only, if the last process was killed.
        self.file.sync_all().map_err(wrap("syncing", &path))?;
        sys::sync_directory(&self.directory).map_err(wrap("syncing", &self.directory))
    }

    fn is_mostly_dead(&self) -> bool {
        self.live_bytes < (self.file_bytes - HEADERS_BYTES as u64) / 4
    }

    fn rewrite(&mut self) -> io::Result<()> {
        self.write_out()?;
        let path = self.path();
        let bytes = fs::read(&path).map_err(wrap("reading", &path))?;
        let scan = Scan::new(&bytes, self.salt);
        if !scan.damaged.is_empty() || scan.end as u64 != self.file_bytes {
            return Err(invalid(&path, "was damaged while it was in use, not rewritten"));
        }
        self.replace_with(scan.definitions())
    }

    fn replace_with<'a>(
        &mut self,
        definitions: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> io::Result<()> {
        assert!(self.buffer.is_empty(), "everything was written out before");
        let (file, salt, file_bytes) = write_new(&self.directory, definitions)?;
        self.file = Arc::new(file);
        self.salt = salt;
        self.file_bytes = file_bytes;
        self.reserved_bytes = 0;
        self.rewrite_bytes_min = REWRITE_BYTES_MIN;
        self.durable = self.appended;
        self.reserve_ahead();
        Ok(())
    }

    /// Keeps blocks ready beyond the end of the file, so that deletes can be written when the disk
    /// is full.
    fn reserve_ahead(&mut self) {
        let needed = self.file_bytes + self.buffer.len() as u64;
        if needed + RESERVE_BYTES / 2 <= self.reserved_bytes {
            return;
        }
        let wanted = needed + RESERVE_BYTES - self.file_bytes;
        match sys::reserve_blocks(&self.file, self.file_bytes, wanted) {
            Ok(()) => self.reserved_bytes = self.file_bytes + wanted,
            // The write itself says so if there is no room for it either.
            Err(error) => log::debug!("{}: reserving: {error}", self.path().display()),
        }
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A shorter file is not rewritten while it is in use.
const REWRITE_BYTES_MIN: u64 = 1 << 20;

/// A shorter file is not rewritten when it is opened.
const REWRITE_BYTES_MIN_AT_OPEN: u64 = 64 << 10;

/// Blocks beyond the end of the file: some thousand deletes.
const RESERVE_BYTES: u64 = 256 << 10;

/// The append buffer keeps this much when it was larger.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    type Definition = (Vec<u8>, Vec<u8>);

    fn open(directory: &TempDir) -> (DefinitionsLog, Vec<Definition>) {
        let (log, found) = DefinitionsLog::open(directory.path()).unwrap();
        let found = found.iter().map(|(key, payload)| (key.to_vec(), payload.to_vec())).collect();
        (log, found)
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Numbers that look random and are the same each time.
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }
    }

    /// The slow twin: a list in the order of the first puts.
    #[derive(Clone, Default)]
    struct Twin(Vec<Definition>);

    impl Twin {
        fn put(&mut self, key: &[u8], payload: &[u8]) {
            match self.0.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = payload.to_vec(),
                None => self.0.push((key.to_vec(), payload.to_vec())),
            }
        }

        fn delete(&mut self, key: &[u8]) {
            self.0.retain(|(known, _)| known != key);
        }
    }

    fn change(random: &mut Seeded, log: &mut DefinitionsLog, twin: &mut Twin) {
        let key = format!("key {}", random.below(40)).into_bytes();
        if random.below(4) == 0 {
            log.delete(&key);
            twin.delete(&key);
        } else {
            let length = usize::try_from(random.below(9) * random.below(9)).unwrap();
            let payload = vec![u8::try_from(random.below(256)).unwrap(); length];
            log.put(&key, &payload);
            twin.put(&key, &payload);
        }
    }

    /// A log with a few records; the file's bytes, and the twin after each record with where that
    /// record ends.
    fn sample(directory: &TempDir) -> (Vec<u8>, Vec<(usize, Twin)>) {
        let (mut log, mut twin) = (open(directory).0, Twin::default());
        let mut random = Seeded(99);
        let mut ends = vec![(HEADERS_BYTES, Twin::default())];
        for _ in 0..14 {
            change(&mut random, &mut log, &mut twin);
            log.write_out().unwrap();
            ends.push((usize::try_from(log.file_bytes()).unwrap(), twin.clone()));
        }
        (fs::read(log.path()).unwrap(), ends)
    }

    #[test]
    fn it_holds_what_a_map_holds_through_reopening_and_rewriting() {
        for seed in 1..=8 {
            let directory = tempfile::tempdir().unwrap();
            let mut random = Seeded(seed);
            let (mut log, mut twin) = (open(&directory).0, Twin::default());
            let mut rewritten = 0;
            for _ in 0..2_000 {
                change(&mut random, &mut log, &mut twin);
                match random.below(100) {
                    0..20 => assert!(log.write_out().unwrap()),
                    20..22 => log.rewrite_bytes_min = 6_000,
                    22..30 => rewritten += u32::from(log.maintain().unwrap()),
                    30 => {
                        log.sync_now().unwrap();
                        let (reopened, definitions) = open(&directory);
                        assert_eq!(definitions, twin.0);
                        assert_eq!(reopened.live_bytes, log.live_bytes);
                        assert_eq!(reopened.report(), &DefinitionsReport::default());
                        log = reopened;
                    }
                    _ => {}
                }
            }
            assert!(rewritten > 0);
            log.sync_now().unwrap();
            assert_eq!(open(&directory).1, twin.0);
            assert_eq!(names(&directory), ["definitions"]);
        }
    }

    #[test]
    fn positions_grow_and_tell_what_is_written_and_durable() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        assert!(!log.write_out().unwrap());
        let first = log.put(b"a", b"1");
        assert_eq!((log.written(), log.durable()), (0, 0));
        assert!(log.write_out().unwrap());
        let second = log.put(b"a", b"2");
        assert!(first < second);
        assert_eq!((log.appended(), log.written(), log.durable()), (second, first, 0));
        log.note_durable(first);
        log.note_durable(0);
        assert_eq!(log.durable(), first, "a late answer takes nothing back");
        let before = log.file();
        log.rewrite().unwrap();
        assert_eq!((log.written(), log.durable()), (second, second));
        assert!(!Arc::ptr_eq(&before, &log.file()));
        before.sync_data().unwrap();
        log.note_durable(first);
        assert_eq!(log.durable(), second, "the helper had the old file");
    }

    #[test]
    #[should_panic(expected = "not even written")]
    fn what_was_not_written_cannot_be_durable() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        let position = log.put(b"a", b"1");
        log.note_durable(position);
    }

    #[test]
    fn what_was_not_written_out_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        log.put(b"a", b"1");
        log.write_out().unwrap();
        log.put(b"b", b"2");
        drop(log);
        assert_eq!(open(&directory).1, [(b"a".to_vec(), b"1".to_vec())]);
    }

    /// Also with zeros or old bytes where the end should be.
    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_the_rest_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (bytes, ends) = sample(&directory);
        for cut in HEADERS_BYTES..=bytes.len() {
            let (end, twin) = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap();
            for filler in [&b""[..], &[0; 40], &[0xff; 13]] {
                let mut torn = bytes[..cut].to_vec();
                torn.extend_from_slice(filler);
                // A record may end in zeros, which the filler then completes.
                let whole = bytes.starts_with(&torn) || filler.first() == Some(&0);
                fs::write(directory.path().join(FILE_NAME), &torn).unwrap();
                let (mut log, definitions) = open(&directory);
                if !whole || filler.is_empty() {
                    assert_eq!(definitions, twin.0, "cut at {cut}");
                    assert_eq!(log.report().torn_tail_bytes, (torn.len() - end) as u64);
                }
                assert_eq!(log.report().damaged, []);
                assert_eq!(names(&directory), ["definitions"]);
                if cut % 16 != 0 {
                    continue;
                }
                log.put(b"next", b"payload");
                log.sync_now().unwrap();
                let (log, definitions) = open(&directory);
                assert_eq!(definitions.last().unwrap().0, b"next");
                assert_eq!(log.report(), &DefinitionsReport::default());
            }
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_record_and_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let (bytes, ends) = sample(&directory);
        let last_begin = ends[ends.len() - 2].0;
        for at in 0..bytes.len() {
            let directory = tempfile::tempdir().unwrap();
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1 << (at % 8);
            fs::write(directory.path().join(FILE_NAME), &spoilt).unwrap();
            let (log, definitions) = open(&directory);
            if at >= last_begin {
                // It cannot be told from a torn tail.
                assert_eq!(definitions, ends[ends.len() - 2].1.0);
                assert_eq!(log.report().torn_tail_bytes, (bytes.len() - last_begin) as u64);
                continue;
            }
            let [damage] = log.report().damaged[..] else {
                panic!("byte {at}: {:?}", log.report());
            };
            let damaged = damage.offset..damage.offset + damage.skipped_bytes;
            assert!(damaged.contains(&(at as u64)), "byte {at}: {damage:?}");
            if at < HEADERS_BYTES {
                assert_eq!(definitions, ends.last().unwrap().1.0);
            } else {
                assert!(ends.iter().any(|(end, _)| *end as u64 == damaged.start));
                assert!(ends.iter().any(|(end, _)| *end as u64 == damaged.end));
            }
            // The evidence stays, and the next start finds a file that is whole.
            let evidence = log.report().evidence.clone().unwrap();
            assert_eq!(fs::read(evidence).unwrap(), spoilt);
            let (log, again) = open(&directory);
            assert_eq!(again, definitions);
            assert_eq!(log.report(), &DefinitionsReport::default());
            assert_eq!(names(&directory), ["definitions", "definitions.damaged-1"]);
        }
    }

    #[test]
    fn a_rewrite_that_was_cut_short_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let (_, ends) = sample(&directory);
        let (mut log, _) = open(&directory);
        let old = fs::read(log.path()).unwrap();
        log.rewrite().unwrap();
        let new = fs::read(log.path()).unwrap();
        let twin = &ends.last().unwrap().1;
        for cut in 0..=new.len() {
            fs::write(directory.path().join(FILE_NAME), &old).unwrap();
            fs::write(directory.path().join(NEW_FILE_NAME), &new[..cut]).unwrap();
            let (log, definitions) = open(&directory);
            assert_eq!(definitions, twin.0);
            assert_eq!(log.report(), &DefinitionsReport::default());
            assert_eq!(names(&directory), ["definitions"]);
        }
        fs::write(directory.path().join(FILE_NAME), &new).unwrap();
        assert_eq!(open(&directory).1, twin.0, "cut short after the rename");
        // The very first start was cut short.
        fs::rename(log.path(), directory.path().join(NEW_FILE_NAME)).unwrap();
        assert_eq!(open(&directory).1, []);
    }

    #[test]
    fn a_file_of_another_version_or_kind_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut bytes = Header::encode(7).to_vec();
        bytes[8] = 9;
        bytes[HEADERS_BYTES / 2 + 8] = 9;
        let mut damaged = Header::encode(7).to_vec();
        damaged[20] ^= 1;
        damaged[HEADERS_BYTES / 2 + 31] ^= 1;
        for (bytes, text) in [
            (bytes, "has format version 9, and this Leveret only knows 1"),
            (damaged, "its header is damaged"),
            (b"something else".to_vec(), "is not a definitions log"),
            (Vec::new(), "is not a definitions log"),
        ] {
            fs::write(&path, &bytes).unwrap();
            let error = DefinitionsLog::open(directory.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    /// A peer chooses what is in a payload, also bytes that look like a record.
    #[test]
    fn a_record_inside_of_a_payload_is_not_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        let mut forged = Vec::new();
        append_record(&mut forged, 0, Kind::Put, b"user admin", b"mine");
        log.put(b"12345678", &forged);
        log.put(b"whole", b"1");
        log.sync_now().unwrap();
        log.file.write_all_at(&[0xff], HEADERS_BYTES as u64).unwrap();
        let (log, definitions) = open(&directory);
        assert_eq!(definitions, [(b"whole".to_vec(), b"1".to_vec())]);
        assert_eq!(log.report().damaged.len(), 1);
    }

    #[test]
    fn a_file_that_is_mostly_dead_is_rewritten_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        for number in 0..100_u32 {
            log.put(b"a queue", &[0; 1000]);
            log.put(&number.to_le_bytes(), b"stays");
        }
        log.sync_now().unwrap();
        assert!(!log.maintain().unwrap(), "it is not large enough yet");
        assert!(log.file_bytes() > 100_000);
        let before = open(&directory).1;
        let (log, after) = open(&directory);
        assert_eq!(before, after);
        assert_eq!(after.len(), 101);
        assert_eq!(after[0].0, b"a queue", "the order of the first puts");
        assert!(log.file_bytes() < 6_000);
    }

    #[test]
    fn a_write_that_fails_is_kept_for_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&directory);
        let good = log.file();
        log.file = Arc::new(File::open(log.path()).unwrap());
        let position = log.put(b"a", b"1");
        let error = log.write_out().unwrap_err();
        assert!(error.to_string().contains("definitions"), "{error}");
        assert_eq!(log.written(), 0);
        log.file = good;
        assert!(log.write_out().unwrap());
        assert_eq!(log.written(), position);
        assert_eq!(open(&directory).1, [(b"a".to_vec(), b"1".to_vec())]);
    }
}
