//! How does the log begin? Finds the segment files, has them read, repairs what a torn end left
//! behind, and puts the ring together; and how does it end: the clean marker. What is damaged is
//! reported and left as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encode;
use super::helper::NewSegment;
use super::log::{Ids, Ring, Segment, State};
use super::record::{self, END_BYTES, End, SPACE_BYTES, u32_at, u64_at};
use super::scan::{Loaded, Scan};
use super::segment::{
    self, FoundHeader, HEADER_BYTES, Header, HeaderState, Mapping, SegmentFile, VERSION,
};
use super::types::{Damage, LogPos, RecordRef, RecoveryReport, StorageError};

pub(super) use super::scan::{Replay, replay};

const CLEAN_MAGIC: [u8; 8] = *b"LEVERETC";
const CLEAN_BYTES: usize = 40;
/// After an unclean stop ids go on so much further: the last ones may have been given to messages
/// of which nothing is left.
const MESSAGE_ID_LEAP: u64 = 1 << 32;
/// When a header is damaged: it may have known higher numbers.
const DAMAGE_LEAP: u32 = 1 << 16;

/// The log as it was found.
pub(super) struct Opened {
    pub(super) ring: Ring,
    pub(super) ids: Ids,
    pub(super) report: RecoveryReport,
    pub(super) replay: Replay,
}

/// The files of the directory, their headers read.
struct Listing {
    ready: Vec<Loaded>,
    /// Found `preparing`.
    free: Vec<Segment>,
    damaged: Vec<Damage>,
    ids: Ids,
    next_sequence: u64,
    next_file: u64,
    headers_lost: bool,
}

/// See [`Store::open`](super::Store::open).
pub(super) fn open(directory: &Path, segment_bytes: u32) -> Result<Opened, StorageError> {
    make_directory(directory)?;
    let marker = read_clean(directory)?;
    let listing = list(directory)?;
    let clean = marker.filter(|_| !listing.headers_lost);
    let fresh = listing.ready.is_empty() && listing.free.is_empty() && !listing.headers_lost;
    let orderly = clean.is_some() || (fresh && marker.is_none());
    let mut ids = listing.ids;
    if let Some((_, marked)) = marker {
        ids.next_message = ids.next_message.max(marked.next_message);
        ids.next_queue = ids.next_queue.max(marked.next_queue);
    }
    let mut scan = Scan::new(listing.ready, ids, marker.map_or(LogPos::START, |(end, _)| end));
    scan.run();
    let mut ids = scan.ids;
    if !orderly {
        ids.next_message = ids.next_message.saturating_add(MESSAGE_ID_LEAP);
    }
    let mut damaged = listing.damaged;
    damaged.append(&mut scan.damaged);
    let mut next_sequence = listing.next_sequence;
    if !damaged.is_empty() {
        next_sequence += u64::from(DAMAGE_LEAP);
        ids.next_queue = ids.next_queue.saturating_add(DAMAGE_LEAP);
    }
    for damage in &damaged {
        log::error!("message log: {damage}");
    }
    remove_clean(directory, marker.is_some())?;

    let mut ring = Ring::new(true, directory.to_path_buf(), segment_bytes);
    ring.next_sequence = next_sequence;
    ring.next_file = listing.next_file;
    let report = RecoveryReport {
        segments: scan.loaded.len() + listing.free.len(),
        messages: 0,
        bytes: scan.bytes,
        damaged,
        clean: orderly,
    };
    let end = clean.map(|(end, _)| end).filter(|_| orderly);
    let replay = assemble(&mut ring, scan, listing.free, end)?;
    begin(&mut ring, ids, orderly)?;
    let messages = ring.segments.iter().flatten().map(live_slots).sum();
    Ok(Opened { ring, ids, report: RecoveryReport { messages, ..report }, replay })
}

fn live_slots(segment: &Segment) -> u64 {
    segment.slots.iter().filter(|slot| **slot != super::slots::SETTLED).count() as u64
}

fn make_directory(directory: &Path) -> Result<(), StorageError> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(StorageError::io("creating", directory))?;
    segment::sync_directory(segment::parent(directory))
}

/// Reads the headers of all segment files and removes files that were not finished.
fn list(directory: &Path) -> Result<Listing, StorageError> {
    let mut listing = Listing {
        ready: Vec::new(),
        free: Vec::new(),
        damaged: Vec::new(),
        ids: Ids { next_message: 1, next_queue: 1 },
        next_sequence: 1,
        next_file: 1,
        headers_lost: false,
    };
    let mut paths = Vec::new();
    let entries = fs::read_dir(directory).map_err(StorageError::io("reading", directory))?;
    for entry in entries {
        let path = entry.map_err(StorageError::io("reading", directory))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse::<u64>().ok());
        match (extension, number) {
            (Some("new"), Some(_)) => {
                fs::remove_file(&path).map_err(StorageError::io("removing", &path))?;
            }
            (Some("segment"), Some(number)) => {
                listing.next_file = listing.next_file.max(number.saturating_add(1));
                paths.push(path);
            }
            (Some("damaged"), Some(number)) => {
                listing.next_file = listing.next_file.max(number.saturating_add(1));
            }
            (_, _) => {}
        }
    }
    paths.sort();
    for path in paths {
        listing.add(path)?;
    }
    listing.ready.sort_by_key(|found| found.segment.sequence);
    listing.refuse_twins();
    Ok(listing)
}

impl Listing {
    fn add(&mut self, path: PathBuf) -> Result<(), StorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StorageError::io("opening", &path))?;
        let length = file.metadata().map_err(StorageError::io("reading", &path))?.len();
        let file = Arc::new(SegmentFile { file, path });
        let header = match Header::read(&file)? {
            FoundHeader::Sound(header) => header,
            FoundHeader::Broken => {
                self.headers_lost = true;
                let path = file.path.clone();
                self.damaged.push(Damage { path, offset: 0, skipped_bytes: length });
                return Ok(());
            }
            FoundHeader::OtherVersion(found) => {
                return Err(StorageError::UnknownVersion { path: file.path.clone(), found });
            }
        };
        self.ids.next_message = self.ids.next_message.max(header.next_message);
        self.ids.next_queue = self.ids.next_queue.max(header.next_queue);
        self.next_sequence = self.next_sequence.max(header.sequence.saturating_add(1));
        let bytes = u64::from(header.bytes);
        if length < bytes {
            let path = file.path.clone();
            self.damaged.push(Damage { path, offset: length, skipped_bytes: bytes - length });
            // Only what is there may be read through the mapping.
            file.file.set_len(bytes).map_err(StorageError::io("extending", &file.path))?;
        }
        let map = Mapping::new(&file, header.bytes)?;
        let mut segment = Segment::new(NewSegment { file, map, header });
        segment.damaged = length < bytes;
        match header.state {
            HeaderState::Ready => self.ready.push(Loaded::new(segment, false)),
            HeaderState::InUse => self.ready.push(Loaded::new(segment, true)),
            HeaderState::Preparing { zero_from } => {
                segment.zero_from = zero_from;
                segment.damaged = false;
                self.free.push(segment);
            }
        }
        Ok(())
    }

    /// Of two files with the same sequence number one is a copy that somebody made.
    fn refuse_twins(&mut self) {
        let mut last = None;
        let damaged = &mut self.damaged;
        self.ready.retain(|found| {
            let is_twin = last == Some(found.segment.sequence);
            last = Some(found.segment.sequence);
            if is_twin {
                let skipped_bytes = u64::from(found.segment.bytes);
                damaged.push(Damage { path: found.path(), offset: 0, skipped_bytes });
            }
            !is_twin
        });
    }
}

/// Puts the segments into the ring, in the order of `scan.loaded`. `end` is where an orderly stop
/// left off.
fn assemble(
    ring: &mut Ring,
    scan: Scan,
    free: Vec<Segment>,
    end: Option<LogPos>,
) -> Result<Replay, StorageError> {
    let mut replay = Replay { walks: Vec::new(), relocated: Vec::new() };
    for found in scan.loaded {
        let index = add(ring, found, end, &mut replay)?;
        ring.end = ring.end.max(LogPos {
            sequence: ring.segment(index).sequence,
            offset: ring.segment(index).end,
        });
    }
    for segment in free {
        let index = ring.add(segment);
        ring.segment_mut(index).state = State::Free;
        ring.free.push(index);
    }
    let bodies: Vec<u32> = ring
        .segments
        .iter()
        .flatten()
        .flat_map(|segment| segment.parked.iter().map(|parked| parked.body_segment))
        .collect();
    for body in bodies {
        let body = ring.segment_mut(body);
        body.live += 1;
        body.bodies += 1;
    }
    for index in 0..ring.segments.len() {
        let index = u32::try_from(index).expect("the table is made with u32");
        let segment = ring.segment(index);
        if segment.state == State::Used && segment.live == 0 {
            ring.dead.push(index);
        }
    }
    for (id, n, offset) in scan.relocated {
        let index = record::in_file(n);
        if ring.segment(index).live > 0 {
            // The others may be gone by then, as with the walks.
            let segment = ring.key(index);
            replay.relocated.push((id, RecordRef { segment, offset }));
        }
    }
    replay.relocated.sort_unstable();
    if let Some(end) = end {
        ring.end = end;
    }
    ring.durable = ring.end;
    ring.in_files = ring.end;
    Ok(replay)
}

fn add(
    ring: &mut Ring,
    found: Loaded,
    end: Option<LogPos>,
    replay: &mut Replay,
) -> Result<u32, StorageError> {
    let has_records = found.has_records();
    let Loaded { mut segment, in_use, ended, gaps, voided, .. } = found;
    segment.state = match end {
        Some(end) if !has_records && segment.sequence > end.sequence => State::Spare,
        _ if !has_records && !segment.damaged => State::Free,
        Some(end)
            if end.sequence == segment.sequence && end.offset == segment.end && ended.is_none() =>
        {
            State::Active
        }
        Some(_) | None => State::Used,
    };
    if segment.damaged && segment.state != State::Used {
        segment.state = State::Used;
    }
    if end.is_none() {
        raise_deliveries(&mut segment);
        if ended.is_none() && (has_records || in_use) && !segment.damaged {
            let (path, end) = (segment.file.path.display(), segment.end);
            log::info!("{path} ends at byte {end}: the last stop was not an orderly one");
            write_end(&mut segment)?;
        }
    }
    for (at, span) in voided {
        write_void(&segment, at, span)?;
    }
    let is_new = matches!(segment.state, State::Active | State::Spare);
    if !is_new && ended != Some(End::Orderly) {
        // Slots of records that were torn may have been written.
        segment.zero_from = segment.end;
    }
    let (state, dirty) = (segment.state, segment.dirty.is_some());
    let index = ring.add(segment);
    match state {
        State::Spare => ring.spares.push_back(index),
        State::Free => ring.free.push(index),
        State::Active => ring.reopen(index),
        State::Used | State::Preparing => {}
    }
    if dirty {
        ring.dirty.push(index);
    }
    if ring.segment(index).live > 0 {
        // The others may be gone by then.
        replay.walks.push((index, gaps));
    }
    Ok(index)
}

/// After an unclean stop the mark of a delivery may be lost.
fn raise_deliveries(segment: &mut Segment) {
    let mut raised = false;
    for slot in segment.slots.iter_mut().filter(|slot| **slot == 0) {
        *slot = 1;
        raised = true;
    }
    if raised {
        segment.dirty = Some((0, segment.slot_count()));
    }
}

/// Makes a space of a record that does not count.
fn write_void(segment: &Segment, at: u32, span: u32) -> Result<(), StorageError> {
    let mut space = Vec::with_capacity(SPACE_BYTES);
    encode::encode_space(&mut space, span - record::in_file(SPACE_BYTES));
    record::seal(&mut space, segment.seed, at);
    segment.file.write(&space, at)
}

/// Marks a torn end as such, so that it is not taken for damage later.
fn write_end(segment: &mut Segment) -> Result<(), StorageError> {
    if segment.room_with_end() < END_BYTES {
        return Ok(());
    }
    let mut end = Vec::with_capacity(END_BYTES);
    encode::encode_end(&mut end, End::Torn);
    record::seal(&mut end, segment.seed, segment.end);
    segment.file.write(&end, segment.end)
}

/// Makes what was found durable, after an unclean stop, and finds the first segment to write to.
/// What was read came from the page cache and may not be on the disk yet, but what is done from
/// now on builds on it.
fn begin(ring: &mut Ring, ids: Ids, orderly: bool) -> Result<(), StorageError> {
    if !orderly {
        ring.write_slots()?;
        for segment in ring.segments.iter().flatten() {
            segment.file.sync()?;
        }
        segment::sync_directory(&ring.directory)?;
    }
    if ring.active.is_none() {
        let first = match ring.spares.pop_front() {
            Some(spare) => Some(spare),
            None => ring.create_here(ring.segment_bytes, ids),
        };
        let first = match (first, ring.free.pop()) {
            (Some(first), Some(free)) => {
                ring.free.push(free);
                Some(first)
            }
            (None, Some(free)) => ring.prepare_here(free, ids),
            (first, None) => first,
        };
        if let Some(first) = first {
            ring.activate(first, ids);
        }
    }
    ring.failure.take().map_or(Ok(()), Err)
}

/// Where the log ended, and the next ids, if the last run ended in an orderly way.
fn read_clean(directory: &Path) -> Result<Option<(LogPos, Ids)>, StorageError> {
    let path = directory.join("clean");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("reading", &path)(error)),
    };
    let is_sound = bytes.len() == CLEAN_BYTES
        && bytes[..8] == CLEAN_MAGIC
        && u32_at(&bytes, 36) == crc32fast::hash(&bytes[..36]);
    if !is_sound {
        log::warn!("{} is broken: taken for an unclean stop", path.display());
        return Ok(None);
    }
    if u32_at(&bytes, 8) != VERSION {
        return Err(StorageError::UnknownVersion { path, found: u32_at(&bytes, 8) });
    }
    let end = LogPos { offset: u32_at(&bytes, 12), sequence: u64_at(&bytes, 16) };
    let ids = Ids { next_message: u64_at(&bytes, 24), next_queue: u32_at(&bytes, 32) };
    Ok(Some((end, ids)))
}

fn remove_clean(directory: &Path, was_read: bool) -> Result<(), StorageError> {
    let path = directory.join("clean");
    match fs::remove_file(&path) {
        Ok(()) => segment::sync_directory(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !was_read => Ok(()),
        Err(error) => Err(StorageError::io("removing", &path)(error)),
    }
}

/// Says that everything up to the end of `ring` is durable and nothing is missing.
pub(super) fn write_clean(ring: &Ring, ids: Ids) -> Result<(), StorageError> {
    let mut bytes = Vec::with_capacity(CLEAN_BYTES);
    bytes.extend_from_slice(&CLEAN_MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&ring.end.offset.to_le_bytes());
    bytes.extend_from_slice(&ring.end.sequence.to_le_bytes());
    bytes.extend_from_slice(&ids.next_message.to_le_bytes());
    bytes.extend_from_slice(&ids.next_queue.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let path = ring.directory.join("clean");
    let unfinished = ring.directory.join("clean.unfinished");
    let write = || -> io::Result<File> {
        let mut file = File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        Ok(file)
    };
    let file = SegmentFile { file: write().map_err(StorageError::io("writing", &path))?, path };
    file.sync()?;
    segment::sync_directory(&ring.directory)
}

impl Segment {
    /// Room that the end record may use, too.
    fn room_with_end(&self) -> usize {
        (self.bytes as usize).saturating_sub(self.end as usize + self.slots.len())
    }
}

const _: () = assert!((HEADER_BYTES as usize).is_multiple_of(record::ALIGN));
