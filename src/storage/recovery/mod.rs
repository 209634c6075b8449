//! What does a directory hold after whatever happened to it? Reads the log, decides where it ends,
//! and makes that good before anything follows from it. `files` finds the segments, `scan` reads
//! their records, `replay` hands over what is alive.
//!
//! The order is that of run time, so that recovery can be cut at any instant and begun again:
//! 1. everything is read, nothing is changed;
//! 2. what was found past the last durable mark is written again and synced: it may so far be in
//!    the page cache only, if a sync failed;
//! 3. the log goes on in a new segment, or behind the mark of an orderly stop: a torn tail is never
//!    appended to. The new segment's chain record says where the log ended, so that nothing which
//!    stands behind that end ever counts;
//! 4. an inventory is appended and synced; only then are files removed that hold records past the
//!    end, do free ones begin new lives, and segments that a crash left open get an end record.

mod files;
mod replay;
pub(super) mod report;
mod scan;

use std::os::unix::fs::FileExt;
use std::sync::Arc;

pub use replay::Definitions;
pub(super) use replay::{Replay, replay, take_definitions};

use super::file::directory::Directory;
use super::file::segment::{HEADER_BYTES, Header, PAGE_BYTES, SegmentFile};
use super::helper::jobs::{MakeError, MakeStage, make_now};
use super::log::define::definition_at;
use super::log::ring::{Before, Ids, Ring};
use super::log::segment::{Segment, State};
use super::record::{self, draft};
use super::recovery::report::{RecoveryProgress, RecoveryReport};
use super::store::Store;
use super::types::{Damage, LogPos, StorageError};
use files::Files;
use scan::{Loaded, Scan};

/// What was found; nothing was changed yet.
pub(super) struct FoundLog {
    pub(super) ring: Ring,
    pub(super) ids: Ids,
    pub(super) report: RecoveryReport,
    pub(super) replay: Replay,
    pub(super) tail: Tail,
}

impl FoundLog {
    /// Keys and payloads of what is defined.
    pub(super) fn definitions(&self) -> Vec<(&[u8], &[u8])> {
        self.replay.living_definitions(&self.ring).map(|at| definition_at(&self.ring, at)).collect()
    }
}

/// Where the log ends, and what is to be done about it.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The segment in which the log ends.
    last: Option<u32>,
    /// The segment before that, as its chain names it.
    before_last: Before,
    /// Files of a size that is not ours, which are free.
    unfit: Vec<u64>,
    /// Files with records past the end of the log.
    void: Vec<u64>,
    /// Segments that have no end record.
    unsealed: Vec<u32>,
}

/// Reads the log in `directory`.
pub(super) fn open(
    directory: Directory,
    segment_bytes: u32,
    progress: Option<&mut dyn FnMut(RecoveryProgress)>,
) -> Result<FoundLog, StorageError> {
    let (found, all);
    found = Files::find(&directory, false)?;
    let mut files = &found;
    let mut scan = Scan::new(files, progress);
    scan.run()?;
    if found.has_unread && !scan.missing.is_empty() {
        // What was taken for free may be what is missing.
        let progress = scan.progress.take();
        all = Files::find(&directory, true)?;
        files = &all;
        scan = Scan::new(files, progress);
        scan.run()?;
    }
    let mut ring = Ring::new(true, directory, segment_bytes);
    ring.next_file = files.next_number;
    ring.next_sequence = files.next_sequence();
    let clean = scan.is_clean();
    let mut report = RecoveryReport {
        segments: scan.loaded.iter().filter(|loaded| loaded.counts).count(),
        messages: 0,
        bytes: scan.bytes,
        damaged: std::mem::take(&mut scan.damaged),
        may_lack_some: false,
        clean,
        durable: scan.durable,
    };
    let mut tail = Tail::default();
    for number in scan.free_numbers(files) {
        if files.bytes_of(number) == u64::from(segment_bytes) {
            ring.free.push(number);
        } else {
            tail.unfit.push(number);
        }
    }
    // They are free like the others; the last ones to be taken stand in front.
    tail.void = std::mem::take(&mut scan.void);
    let is_fit = |number: &&u64| files.bytes_of(**number) == u64::from(segment_bytes);
    ring.free.splice(..0, tail.void.iter().filter(is_fit).copied());
    let ids = scan.ids;
    ring.missing = std::mem::take(&mut scan.missing);
    let named = ring.missing.iter().max().map_or(0, |sequence| sequence + 1);
    ring.next_sequence = ring.next_sequence.max(named);
    ring.durable = scan.durable;
    ring.marked = scan.durable;
    let mut replay = Replay::default();
    let found = scan.into_found();
    let mut indices = Vec::with_capacity(found.loaded.len());
    for loaded in found.loaded {
        indices.push(add_segment(&mut ring, &mut tail, &mut replay, loaded)?);
    }
    ring.end = found.end;
    ring.in_files = found.end;
    ring.end_of_content = found.end;
    ring.say_undone(found.undone);
    replay.take_places(&ring, &indices, found.relocated, found.definitions);
    hold_pieces(&mut ring, &replay, &mut report.damaged);
    report.may_lack_some = !report.damaged.is_empty() || files.has_evidence;
    for index in indices.into_iter().flatten() {
        count_living(&mut ring, &tail, index);
    }
    let definitions = replay.living_definitions(&ring).count() as u64;
    let alive = ring.segments.iter().flatten().map(|s| u64::from(s.live - s.holds)).sum::<u64>();
    report.messages = alive - definitions;
    Ok(FoundLog { ring, ids, report, replay, tail })
}

/// How much of a segment is alive; one in which nothing is may be freed.
fn count_living(ring: &mut Ring, tail: &Tail, index: u32) {
    let segment = ring.segment_mut(index);
    let live = segment.slots.iter().filter(|s| **s != super::record::statement::SETTLED);
    segment.live = segment.holds + super::record::in_file(live.count());
    if segment.live == 0 && Some(index) != tail.last {
        ring.dead.push(index);
    }
}

/// Puts a segment that counts into the ring's table; says where.
fn add_segment(
    ring: &mut Ring,
    tail: &mut Tail,
    replay: &mut Replay,
    loaded: Loaded,
) -> Result<Option<u32>, StorageError> {
    if !loaded.counts {
        return Ok(None);
    }
    let path = ring.directory.segment(loaded.number);
    let file = std::fs::File::open(&path).map_err(StorageError::io("opening", &path))?;
    let map = super::file::mapping::Mapping::new(
        &file,
        loaded.readable_bytes,
        ring.directory.reads_ahead,
    );
    let map = map.map_err(StorageError::io("mapping", &path))?;
    let slots_written = super::record::in_file(loaded.slots.len());
    let (chain, gaps) = (loaded.chain, loaded.gaps);
    let is_sound = gaps.is_empty();
    let header = Header { bytes: loaded.bytes, salt: loaded.salt };
    let segment = Segment {
        end: loaded.end,
        written: loaded.end,
        state: State::Sealed,
        slots: loaded.slots,
        slots_written,
        large: loaded.large,
        pieces: loaded.pieces,
        piece_bytes: loaded.piece_bytes,
        definitions: loaded.definitions,
        speaks_of: loaded.speaks_of,
        restated_in: loaded.restated_in,
        counts_unlogged: loaded.counts_unlogged,
        damaged: !gaps.is_empty(),
        ..Segment::empty(loaded.number, map, chain.sequence, header)
    };
    let index = ring.add(segment);
    // A damaged file is left as it is.
    if !loaded.is_sealed && is_sound {
        tail.unsealed.push(index);
    }
    tail.last = Some(index);
    tail.before_last =
        Before { sequence: chain.before, salt: chain.before_salt, end: chain.before_end };
    replay.walks.push((index, gaps));
    Ok(Some(index))
}

/// Living messages hold their pieces; one of which a piece is missing goes.
fn hold_pieces(ring: &mut Ring, replay: &Replay, damaged: &mut Vec<Damage>) {
    for &(index, _) in &replay.walks {
        let all = std::mem::take(&mut ring.segment_mut(index).large);
        let mut kept = Vec::with_capacity(all.len());
        for large in all {
            if !ring.segment(index).is_any_alive(large.first_slot, large.slots) {
                continue;
            }
            let at = super::types::RecordRef { segment: ring.key(index), offset: large.offset };
            let pieces: Vec<_> = ring.message(at).pieces().collect();
            if pieces.iter().all(|piece| replay.has_piece(ring, *piece)) {
                pieces.iter().for_each(|piece| ring.hold(piece.sequence));
                kept.push(large);
                continue;
            }
            let segment = ring.segment_mut(index);
            let slots = large.first_slot as usize..(large.first_slot + large.slots) as usize;
            segment.slots[slots].fill(super::record::statement::SETTLED);
            segment.damaged = true;
            let path = ring.directory.segment(ring.segment(index).number);
            let skipped_bytes = pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
            let (offset, may_be) = (u64::from(large.offset), Vec::new());
            damaged.push(Damage { path, offset, skipped_bytes, may_be });
        }
        ring.segment_mut(index).large = kept;
    }
}

/// Makes good what was found, and goes on from there; waits for the disk.
pub(super) fn begin(store: &mut Store, tail: Tail, is_clean: bool) -> Result<(), StorageError> {
    let ring = &mut store.durable;
    write_tail_again(ring)?;
    for number in tail.unfit {
        ring.directory.remove(&ring.directory.segment(number))?;
    }
    ring.directory.sync()?;
    (ring.durable, ring.marked) = (ring.end, ring.end);
    if let Some(last) = tail.last {
        let segment = ring.segment(last);
        let Segment { sequence, salt, end, bytes, number, .. } = *segment;
        let has_room = end + 64 * 1024 / 4 < bytes;
        if is_clean && bytes == ring.segment_bytes && has_room {
            let path = ring.directory.segment(number);
            let opened = SegmentFile::open(&ring.directory, path.clone());
            let file = opened.map_err(StorageError::io("opening", &path))?;
            let segment = ring.segment_mut(last);
            (segment.file, segment.state) = (Some(Arc::new(file)), State::Active);
            ring.active = Some(last);
            ring.before = tail.before_last;
        } else {
            ring.before = Before { sequence, salt, end };
            if ring.segment(last).live == 0 {
                ring.dead.push(last);
            }
        }
    }
    begin_segment(store)?;
    remove_void(&mut store.durable, &tail.void)?;
    seal(&store.durable, &tail.unsealed)?;
    begin_transient(store)
}

/// Removes what stands past the end of the log, now that the log goes on elsewhere: the chain
/// record that says so may be gone before these files are used again, and what they say would
/// count.
fn remove_void(ring: &mut Ring, void: &[u64]) -> Result<(), StorageError> {
    let Some(active) = ring.active.map(|active| ring.segment(active).number) else {
        return Ok(());
    };
    for &number in void.iter().filter(|number| **number != active) {
        ring.directory.remove(&ring.directory.segment(number))?;
    }
    ring.free.retain(|number| !void.contains(number));
    ring.directory.sync()
}

/// Gives an end record to segments that a crash left without one, now that it is durable that the
/// log goes on elsewhere: whoever reads them later need not know from others where they end.
fn seal(ring: &Ring, unsealed: &[u32]) -> Result<(), StorageError> {
    if ring.active.is_none() {
        return Ok(());
    }
    for &index in unsealed.iter().filter(|index| Some(**index) != ring.active) {
        let segment = ring.segment(index);
        let mut end = Vec::new();
        draft::end(&mut end, segment.sequence);
        record::seal(&mut end, segment.salt, segment.end);
        let path = ring.directory.segment(segment.number);
        let file = SegmentFile::open(&ring.directory, path.clone());
        let file = file.map_err(StorageError::io("opening", &path))?;
        file.write(segment.end, &[&end]).map_err(StorageError::io("writing", &path))?;
        file.sync()?;
    }
    Ok(())
}

/// Goes on in a new segment where the last one is not gone on with, and says what there is.
fn begin_segment(store: &mut Store) -> Result<(), StorageError> {
    let ids = store.ids;
    let ring = &mut store.durable;
    if ring.active.is_none() {
        let stage = match ring.free.pop() {
            Some(number) => (number, MakeStage::Free),
            None => (ring.new_number(), MakeStage::New),
        };
        let job = ring.make_job(stage);
        match make_now(job) {
            Ok(new) => {
                ring.activate(new, ids);
            }
            Err(MakeError::NoSpace(error)) => {
                ring.note_no_space(&error);
                return Ok(());
            }
            Err(MakeError::Fatal(error)) => return Err(error),
        }
    }
    if ring.append_inventory(ids).is_ok() {
        store.write_out(true)?;
        store.sync_all()?;
    }
    Ok(())
}

fn begin_transient(store: &mut Store) -> Result<(), StorageError> {
    let ids = store.ids;
    let ring = &mut store.transient;
    let number = ring.new_number();
    match make_now(ring.make_job((number, MakeStage::New))) {
        Ok(new) => {
            ring.activate(new, ids);
            Ok(())
        }
        Err(MakeError::NoSpace(error)) => {
            ring.note_no_space(&error);
            Ok(())
        }
        Err(MakeError::Fatal(error)) => Err(error),
    }
}

/// Writes everything past the last durable mark once more, as it was found, and syncs it.
fn write_tail_again(ring: &Ring) -> Result<(), StorageError> {
    let LogPos { sequence: from, offset } = ring.durable;
    let in_tail = ring.segments.iter().flatten().filter(|segment| segment.sequence >= from);
    for segment in in_tail {
        let path = ring.directory.segment(segment.number);
        let begin = if segment.sequence == from { offset } else { 0 };
        let begin = begin / PAGE_BYTES * PAGE_BYTES;
        let end = segment.end.max(HEADER_BYTES);
        if end <= begin {
            // It was cut off before the mark.
            continue;
        }
        let file = SegmentFile::open(&ring.directory, path.clone());
        let file = file.map_err(StorageError::io("opening", &path))?;
        let mut bytes = vec![0; (end - begin) as usize];
        let read = file.file.read_exact_at(&mut bytes, u64::from(begin));
        read.map_err(StorageError::io("reading", &path))?;
        file.write(begin, &[&bytes]).map_err(StorageError::io("writing", &path))?;
        file.sync()?;
    }
    Ok(())
}
