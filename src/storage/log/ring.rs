//! Where does the next record go? A ring of segments: the append buffer, the way to the next
//! segment, and the one door through which all bytes leave. One ring is durable, one transient
//! (unlinked files, no checksums, no statements, never synced).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::free::FreeingSegment;
use super::segment::{Segment, State};
use super::settle::Unsaid;
use crate::storage::file::directory::Directory;
use crate::storage::file::segment::{HEADER_BYTES, SegmentFile};
use crate::storage::helper::jobs::NewSegment;
use crate::storage::record::{
    self, CHAIN_BYTES, Chain, END_BYTES, HEAD_BYTES, Kind, MARK_BYTES, draft, in_file, padded,
};
use crate::storage::types::{AppendError, LogPos, RecordRef, SegmentKey, StorageError};

/// A buffer that grew beyond this is given back.
const BUFFER_KEEP_BYTES: usize = 1 << 20;

/// A buffer with this much is written before the turn ends: one write for all that a turn brings is
/// worth the memory up to here, and a thousand publishers can bring many times as much.
const BUFFER_BYTES_MAX: usize = 512 << 10;

/// The same where memory is little, though more writes cost a publish up to 7 % more time.
const SMALL_BUFFER_BYTES_MAX: usize = 128 << 10;

/// Without a spare, so much of the active segment is kept from publishers, at most an eighth of it.
const RESERVE_BYTES: usize = 1 << 20;
/// And so much even from definitions and moves, at most a sixteenth.
const LAST_RESERVE_BYTES: usize = 64 << 10;

/// What a full disk stops first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum Rank {
    /// Publishes: they leave a spare and a part of the active segment.
    Publish,
    /// Definitions and moves: they may take the last spare.
    Change,
    /// What settles and frees, without which there would never be room again.
    Statement,
}

impl Rank {
    /// Of a message that may replace another.
    pub(in crate::storage) fn of(replaces: bool) -> Rank {
        if replaces { Rank::Change } else { Rank::Publish }
    }
}

/// The numbers that never repeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct Ids {
    pub(in crate::storage) next_message: u64,
    pub(in crate::storage) next_queue: u64,
}

/// The part of the append buffer that goes to one place in one file.
#[derive(Clone, Copy, Debug)]
struct Extent {
    segment: u32,
    offset: u32,
    /// Where it begins in the buffer; it ends where the next one begins.
    start: usize,
    slots_before: u32,
}

/// What the loop wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::storage) struct Written {
    pub(in crate::storage) bytes: u64,
    pub(in crate::storage) writes: u64,
}

/// How fast a ring uses its segments up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum Pace {
    /// Nobody has looked yet.
    Fresh,
    /// A new one was begun between the last two looks.
    Busy,
    /// None was.
    Idle,
}

/// The segment that was written before the active one, as the chain names it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::storage) struct Before {
    pub(in crate::storage) sequence: u64,
    pub(in crate::storage) salt: u64,
    pub(in crate::storage) end: u32,
}

/// See the top of the file.
pub(in crate::storage) struct Ring {
    pub(in crate::storage) durable_ring: bool,
    pub(in crate::storage) directory: Directory,
    pub(in crate::storage) segment_bytes: u32,
    pub(in crate::storage) next_sequence: u64,
    pub(in crate::storage) next_file: u64,
    /// By index; `None` is vacant.
    pub(in crate::storage) segments: Vec<Option<Segment>>,
    vacant: Vec<u32>,
    pub(in crate::storage) by_sequence: HashMap<u64, u32, FixedState>,
    pub(in crate::storage) active: Option<u32>,
    pub(in crate::storage) before: Before,
    /// Ready for their first record.
    pub(in crate::storage) spares: VecDeque<NewSegment>,
    /// Files that are free, by number.
    pub(in crate::storage) free: Vec<u64>,
    /// Sealed, nothing alive.
    pub(in crate::storage) dead: Vec<u32>,
    pub(in crate::storage) freeing: Vec<FreeingSegment>,
    /// Segments that the helper is making ready.
    pub(in crate::storage) in_flight: usize,
    /// Dead ones whose freeing was not worth the restating, when that was last weighed.
    pub(in crate::storage) unworthy: usize,
    /// The last attempt to get space failed.
    pub(in crate::storage) no_space: bool,
    /// The same since a segment was last made ready or the ring had the room that it wants, whether
    /// or not another attempt is being made; the operator was told.
    pub(in crate::storage) warned_of_space: bool,
    /// Somebody waits for room for so many bytes.
    pub(in crate::storage) wanted_bytes: u64,
    /// Segments that were not there at start. The log goes on to name them, so that they count
    /// when they are put back, and whoever misses them knows it until then.
    pub(in crate::storage) missing: Vec<u64>,
    /// How often a new segment became active, and when that was looked at last.
    pub(in crate::storage) rolls: u64,
    pub(in crate::storage) rolls_seen: u64,
    pub(in crate::storage) pace: Pace,

    buffer: Vec<u8>,
    /// With so much it is written.
    buffer_bytes_max: usize,
    extents: Vec<Extent>,
    /// Live slots of records in the buffer.
    pub(in crate::storage) buffer_live: u32,

    /// A transaction is being appended. Until it is there as a whole its messages are neither alive
    /// nor settled: nothing of it is restated or moved.
    pub(in crate::storage) row_is_open: bool,
    /// What the log does not say yet of slots.
    pub(in crate::storage) unsaid: Unsaid,
    /// Slots were settled since compaction found nothing to do.
    pub(in crate::storage) grew_sparser: bool,

    /// Segments with writes that a sync must cover.
    pub(in crate::storage) unsynced: Vec<u32>,
    pub(in crate::storage) syncs_started: u64,
    pub(in crate::storage) syncs_done: u64,
    /// Where `durable` will be when the running sync returns.
    pub(in crate::storage) sync_target: Option<LogPos>,
    pub(in crate::storage) durable: LogPos,
    /// What the last mark said.
    pub(in crate::storage) marked: LogPos,
    /// After the last record that is in a file.
    pub(in crate::storage) in_files: LogPos,
    /// After the last record.
    pub(in crate::storage) end: LogPos,
    /// After the last record that is more than a statement.
    pub(in crate::storage) end_of_content: LogPos,

    pub(in crate::storage) written: Written,
    pub(in crate::storage) failure: Option<StorageError>,
}

impl Ring {
    pub(in crate::storage) fn new(
        durable_ring: bool,
        directory: Directory,
        segment_bytes: u32,
    ) -> Ring {
        let has_memory = directory.reads_ahead;
        Ring {
            durable_ring,
            buffer_bytes_max: if has_memory { BUFFER_BYTES_MAX } else { SMALL_BUFFER_BYTES_MAX },
            directory,
            segment_bytes,
            next_sequence: 1,
            next_file: 1,
            segments: Vec::new(),
            vacant: Vec::new(),
            by_sequence: HashMap::default(),
            active: None,
            before: Before::default(),
            spares: VecDeque::new(),
            free: Vec::new(),
            dead: Vec::new(),
            freeing: Vec::new(),
            in_flight: 0,
            unworthy: 0,
            no_space: false,
            warned_of_space: false,
            wanted_bytes: 0,
            missing: Vec::new(),
            rolls: 0,
            rolls_seen: 0,
            pace: Pace::Fresh,
            buffer: Vec::new(),
            extents: Vec::new(),
            buffer_live: 0,
            row_is_open: false,
            unsaid: Unsaid::default(),
            grew_sparser: true,
            unsynced: Vec::new(),
            syncs_started: 0,
            syncs_done: 0,
            sync_target: None,
            durable: LogPos::START,
            marked: LogPos::START,
            in_files: LogPos::START,
            end: LogPos::START,
            end_of_content: LogPos::START,
            written: Written::default(),
            failure: None,
        }
    }

    /// Makes sure that `need` bytes of records fit into the active segment, which it gives back.
    #[inline]
    pub(in crate::storage) fn make_room(
        &mut self,
        need: usize,
        rank: Rank,
        ids: Ids,
    ) -> Result<u32, AppendError> {
        // What finds no space is tried again once a turn.
        if self.buffer.len() >= self.buffer_bytes_max && self.durable_ring && !self.no_space {
            self.write_early()?;
        }
        let reserve = self.reserve(rank, 0);
        match self.active {
            Some(active) if self.segment(active).room() >= need + reserve => Ok(active),
            Some(_) | None => self.roll(need, rank, ids),
        }
    }

    /// Writes what gathered; what finds no space stays. A failure is the next write's to tell.
    #[cold]
    #[inline(never)]
    fn write_early(&mut self) -> Result<(), AppendError> {
        if let Err(error) = self.write_buffer() {
            self.failure = Some(error);
        }
        if self.failure.is_some() { Err(AppendError::Full) } else { Ok(()) }
    }

    /// What is kept free in the active segment once so many spares more are taken.
    #[inline]
    pub(in crate::storage) fn reserve(&self, rank: Rank, taken: usize) -> usize {
        if !self.durable_ring || self.spares.len() > taken {
            return 0;
        }
        let bytes = self.segment_bytes as usize;
        match rank {
            Rank::Publish => RESERVE_BYTES.min(bytes / 8),
            Rank::Change => LAST_RESERVE_BYTES.min(bytes / 16),
            Rank::Statement => 0,
        }
    }

    /// Spares that publishers may not take.
    fn spares_kept(&self) -> usize {
        usize::from(self.durable_ring)
    }

    /// How many spares an append may take; none after a failure.
    pub(in crate::storage) fn spares_for(&self, rank: Rank) -> usize {
        let kept = if rank == Rank::Publish { self.spares_kept() } else { 0 };
        if self.failure.is_some() { 0 } else { self.spares.len().saturating_sub(kept) }
    }

    /// Leaves the active segment for a new one.
    fn roll(&mut self, need: usize, rank: Rank, ids: Ids) -> Result<u32, AppendError> {
        if need > capacity(self.segment_bytes) {
            return Err(AppendError::TooLarge);
        }
        if self.spares_for(rank) == 0 {
            return Err(AppendError::Full);
        }
        let spare = self.spares.pop_front().expect("more than are kept");
        self.rolls += 1;
        Ok(self.activate(spare, ids))
    }

    /// Seals the active segment and goes on in another one.
    pub(in crate::storage) fn activate(&mut self, spare: NewSegment, ids: Ids) -> u32 {
        self.seal_active();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let segment = Segment::new(spare, sequence);
        self.end = LogPos { sequence, offset: segment.end };
        let index = self.add(segment);
        self.active = Some(index);
        if self.durable_ring {
            self.append_chain(index, ids);
        }
        index
    }

    /// Nothing more is appended to the active segment.
    pub(in crate::storage) fn seal_active(&mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        if self.durable_ring {
            let own = self.segment(active).sequence;
            self.append_with(active, |out| draft::end(out, own));
        }
        let segment = self.segment_mut(active);
        segment.state = State::Sealed;
        segment.slots.shrink_to_fit();
        if !segment.unsynced && segment.written == segment.end {
            segment.file = None;
        }
        let Segment { sequence, salt, end, live, .. } = *segment;
        self.before = Before { sequence, salt, end };
        if live == 0 {
            self.dead.push(active);
        }
    }

    fn append_chain(&mut self, index: u32, ids: Ids) {
        let chain = Chain {
            sequence: self.segment(index).sequence,
            epoch: 0,
            before: self.before.sequence,
            before_salt: self.before.salt,
            before_end: self.before.end,
            next_message: ids.next_message,
            next_queue: ids.next_queue,
            durable: self.durable,
        };
        self.append_with(index, |out| draft::chain(out, &chain));
    }

    /// Appends a head with this content, for which there is room.
    pub(in crate::storage) fn append_plain(&mut self, index: u32, kind: Kind, content: &[u8]) {
        self.append_with(index, |out| draft::plain(out, kind, content));
    }

    /// Appends a record without slots, for which there is room.
    fn append_with(&mut self, index: u32, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin_record(index);
        encode(&mut self.buffer);
        let bytes = record::u32_at(&self.buffer, start) as usize;
        self.finish_record(index, start, bytes, 0, 0);
    }

    /// Where the next record goes in the buffer.
    #[inline]
    pub(in crate::storage) fn begin_record(&mut self, index: u32) -> usize {
        let start = self.buffer.len();
        let segment = self.segments[index as usize].as_ref().expect("an active segment");
        let continues = self.extents.last().is_some_and(|extent| {
            extent.segment == index
                && extent.offset as usize + (start - extent.start) == segment.end as usize
        });
        if !continues {
            let slots_before = segment.slot_count();
            self.extents.push(Extent { segment: index, offset: segment.end, start, slots_before });
        }
        start
    }

    /// The buffer, for a record that is put together from parts.
    pub(in crate::storage) fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Seals the record at `start` of the buffer, gives it `slots` slots, and says at which offset
    /// it lies.
    #[inline]
    pub(in crate::storage) fn finish_record(
        &mut self,
        index: u32,
        start: usize,
        bytes: usize,
        slots: usize,
        deliveries: u8,
    ) -> u32 {
        let segment = self.segments[index as usize].as_mut().expect("an active segment");
        let offset = segment.end;
        if self.durable_ring {
            record::seal(&mut self.buffer[start..start + bytes], segment.salt, offset);
        }
        debug_assert_eq!(self.buffer.len(), start + padded(bytes));
        segment.end += in_file(padded(bytes));
        assert!(segment.end <= segment.bytes, "there was room");
        segment.live += in_file(slots);
        self.buffer_live += in_file(slots);
        let first = segment.slots.len();
        segment.slots.resize(first + slots, deliveries);
        self.end = LogPos { sequence: segment.sequence, offset: segment.end };
        if slots > 0 {
            self.end_of_content = self.end;
        }
        offset
    }

    /// Writes the append buffer to the files. What finds no space stays, and the ring is full.
    pub(in crate::storage) fn write_buffer(&mut self) -> Result<(), StorageError> {
        if let Some(failure) = self.failure.take() {
            self.failure = Some(StorageError::AlreadyFailed);
            return Err(failure);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.append_mark();
        for n in 0..self.extents.len() {
            match self.write_extent(n) {
                Ok(()) => {}
                Err(error) if is_no_space(&error) => {
                    self.note_no_space(&error);
                    self.keep_from(n);
                    return Ok(());
                }
                Err(error) => {
                    self.failure = Some(StorageError::AlreadyFailed);
                    return Err(StorageError::io("writing in", &self.directory.path)(error));
                }
            }
        }
        self.in_files = self.end;
        self.drop_buffer();
        Ok(())
    }

    /// Says with a batch how far the log was durable so far.
    pub(in crate::storage) fn append_mark(&mut self) {
        let Some(active) = self.active.filter(|_| self.durable_ring) else {
            return;
        };
        if self.durable > self.marked && self.segment(active).room() >= padded(MARK_BYTES) {
            self.marked = self.durable;
            let (durable, own) = (self.durable, self.segment(active).sequence);
            self.append_with(active, |out| draft::mark(out, durable, own));
        }
    }

    fn write_extent(&mut self, n: usize) -> io::Result<()> {
        let Extent { segment: index, offset, start, .. } = self.extents[n];
        let (end, slots) = match self.extents.get(n + 1) {
            Some(next) if next.segment == index => (next.start, Some(next.slots_before)),
            Some(next) => (next.start, None),
            None => (self.buffer.len(), None),
        };
        let segment = self.segments[index as usize].as_mut().expect("unwritten records live");
        let file = segment.file.as_ref().expect("open as long as something is to be written");
        emit(&mut self.written, file, offset, &[&self.buffer[start..end]])?;
        segment.written = offset + in_file(end - start);
        segment.slots_written = slots.unwrap_or(in_file(segment.slots.len()));
        self.in_files = LogPos { sequence: segment.sequence, offset: segment.written };
        self.mark_unsynced(index);
        Ok(())
    }

    /// Forgets the extents before `n`, which are written.
    fn keep_from(&mut self, n: usize) {
        let start = self.extents[n].start;
        self.extents.drain(..n);
        self.buffer.drain(..start);
        self.extents.iter_mut().for_each(|extent| extent.start -= start);
    }

    fn drop_buffer(&mut self) {
        self.extents.clear();
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEEP_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer_live = 0;
    }

    /// Writes a record whose content lies elsewhere, right behind what was written before; there
    /// is room for it. Says at which offset the record lies.
    pub(in crate::storage) fn write_record(
        &mut self,
        index: u32,
        head: &mut [u8; HEAD_BYTES],
        content: &[u8],
    ) -> Result<u32, AppendError> {
        if let Err(error) = self.write_buffer() {
            self.failure = Some(error);
        }
        if self.failure.is_some() || !self.buffer.is_empty() {
            return Err(AppendError::Full);
        }
        let segment = self.segments[index as usize].as_mut().expect("an active segment");
        let offset = segment.end;
        if self.durable_ring {
            record::seal_parts(head, content, segment.salt, offset);
        }
        let bytes = HEAD_BYTES + content.len();
        let padding = &[0; record::ALIGN][..padded(bytes) - bytes];
        let file = segment.file.as_ref().expect("open as long as it is active");
        if let Err(error) = emit(&mut self.written, file, offset, &[head, content, padding]) {
            if is_no_space(&error) {
                self.note_no_space(&error);
            } else {
                let path = &self.directory.path;
                self.failure = Some(StorageError::io("writing in", path)(error));
            }
            return Err(AppendError::Full);
        }
        segment.end += in_file(padded(bytes));
        segment.written = segment.end;
        self.end = LogPos { sequence: segment.sequence, offset: segment.end };
        self.in_files = self.end;
        self.mark_unsynced(index);
        Ok(offset)
    }

    /// Takes back the buffer when nothing in it is alive, and starts the active segment anew when
    /// nothing in that is. Transient ring only.
    pub(in crate::storage) fn rewind(&mut self) {
        debug_assert!(!self.durable_ring);
        if self.buffer_live == 0 {
            for extent in std::mem::take(&mut self.extents).into_iter().rev() {
                let segment = self.segment_mut(extent.segment);
                segment.end = extent.offset;
                segment.slots.truncate(extent.slots_before as usize);
                let kept = segment.large.partition_point(|l| l.first_slot < extent.slots_before);
                segment.large.truncate(kept);
            }
            self.drop_buffer();
        }
        let Some(active) = self.active.filter(|_| self.extents.is_empty()) else {
            return;
        };
        let segment = self.segment_mut(active);
        if segment.live == 0 && Arc::strong_count(&segment.map) == 1 {
            (segment.end, segment.written) = (HEADER_BYTES, HEADER_BYTES);
            segment.slots.clear();
            segment.slots_written = 0;
            segment.large.clear();
            (segment.holds, segment.pieces, segment.piece_bytes) = (0, 0, 0);
        }
    }

    /// Where the record at `at` begins: in the file or the buffer. More may follow it.
    #[inline]
    pub(in crate::storage) fn bytes_from(&self, at: RecordRef) -> &[u8] {
        let index = at.segment.index();
        let segment = self.segment(index);
        if at.offset < segment.written {
            return segment.map.slice(at.offset, segment.written);
        }
        let extent = self
            .extents
            .iter()
            .rev()
            .find(|extent| extent.segment == index && extent.offset <= at.offset)
            .expect("a live record is in the file or in the buffer");
        &self.buffer[extent.start + (at.offset - extent.offset) as usize..]
    }

    #[inline]
    pub(in crate::storage) fn segment(&self, index: u32) -> &Segment {
        self.segments[index as usize].as_ref().expect("an index of the ring's own")
    }

    #[inline]
    pub(in crate::storage) fn segment_mut(&mut self, index: u32) -> &mut Segment {
        self.segments[index as usize].as_mut().expect("an index of the ring's own")
    }

    /// Puts a segment into the table.
    pub(in crate::storage) fn add(&mut self, segment: Segment) -> u32 {
        let sequence = segment.sequence;
        let index = match self.vacant.pop() {
            Some(index) => {
                self.segments[index as usize] = Some(segment);
                index
            }
            None => {
                self.segments.push(Some(segment));
                in_file(self.segments.len() - 1)
            }
        };
        self.by_sequence.insert(sequence, index);
        index
    }

    /// Takes a segment out of the table.
    pub(in crate::storage) fn take(&mut self, index: u32) -> Segment {
        let segment = self.segments[index as usize].take().expect("a segment of the ring");
        self.by_sequence.remove(&segment.sequence);
        self.unsynced.retain(|other| *other != index);
        self.vacant.push(index);
        segment
    }

    pub(in crate::storage) fn key(&self, index: u32) -> SegmentKey {
        SegmentKey::new(self.durable_ring, index)
    }

    #[inline]
    pub(in crate::storage) fn mark_unsynced(&mut self, index: u32) {
        if !self.durable_ring {
            return;
        }
        let segment = self.segment_mut(index);
        if !segment.unsynced {
            segment.unsynced = true;
            self.unsynced.push(index);
        }
    }

    /// Takes the files that the next sync must cover, and its number. A file that is sealed and
    /// written is held open no longer than that.
    pub(in crate::storage) fn begin_sync(&mut self) -> (u64, Vec<Arc<SegmentFile>>) {
        let mut files = Vec::with_capacity(self.unsynced.len());
        for index in std::mem::take(&mut self.unsynced) {
            let segment = self.segment_mut(index);
            segment.unsynced = false;
            files.extend(segment.file.clone());
            if segment.state != State::Active && segment.written == segment.end {
                segment.file = None;
            }
        }
        self.syncs_started += 1;
        self.sync_target = Some(self.in_files);
        (self.syncs_started, files)
    }

    /// What publishers may still write before the ring needs a spare that is kept.
    pub(in crate::storage) fn room_bytes(&self) -> u64 {
        let active = self.active.map_or(0, |active| self.segment(active).room());
        let active = active.saturating_sub(self.reserve(Rank::Publish, 0));
        let spares = self.spares.len().saturating_sub(self.spares_kept());
        (active + spares * capacity(self.segment_bytes)) as u64
    }

    /// Whether that is so much; as a rule the active segment alone has it.
    #[inline]
    pub(in crate::storage) fn has_room(&self, bytes: u64) -> bool {
        let active = self.active.map_or(0, |active| self.segment(active).room());
        active as u64 >= bytes + RESERVE_BYTES as u64 || self.room_bytes() >= bytes
    }

    /// There may be as much room as somebody waits for.
    pub(in crate::storage) fn note_room(&mut self) {
        if self.wanted_bytes > 0 && self.room_bytes() >= self.wanted_bytes {
            self.wanted_bytes = 0;
            // Nobody takes it away before it is used.
            self.pace = Pace::Busy;
        }
    }

    /// Whether everything that was appended is in the files.
    pub(in crate::storage) fn is_written(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(in crate::storage) fn note_no_space(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned_of_space, true) {
            let directory = self.directory.path.display();
            log::warn!("no space for the log in {directory}: {error}");
        }
        self.no_space = true;
    }
}

/// The one door: all bytes of the log leave here, in log order within a segment. A replica would
/// listen here, and where a segment begins (`Ring::activate`).
fn emit(
    written: &mut Written,
    file: &SegmentFile,
    offset: u32,
    slices: &[&[u8]],
) -> io::Result<()> {
    file.write(offset, slices)?;
    written.writes += 1;
    written.bytes += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
    Ok(())
}

/// Whether an error is an ordinary state of a disk.
pub(in crate::storage) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What fits into a segment of `bytes`.
pub(in crate::storage) fn capacity(bytes: u32) -> usize {
    bytes as usize - HEADER_BYTES as usize - CHAIN_BYTES - END_BYTES
}
