//! Where does the next record go? A ring of segments: the append buffer, the way to the next
//! segment, the write-out and the bytes of a record wherever they lie. One is durable, one
//! transient (unlinked files, no crc, no slots on disk, never synced). Settling is in `slots`,
//! reuse in `reuse`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::encode::{self, Draft};
use super::helper::NewSegment;
use super::record::{self, END_BYTES, End, MARK_BYTES, Mark, Message, in_file, padded};
use super::segment::{HEADER_BYTES, Header, HeaderState, Mapping, SegmentFile};
use super::slots::{BodyRelease, Hold};
use super::types::{AppendError, LogPos, MessageId, RecordRef, SegmentKey, StorageError};

/// A mark is written after so many bytes.
const MARK_EVERY_BYTES: u32 = 256 * 1024;
/// A buffer that grew beyond this is given back.
const BUFFER_KEEP_BYTES: usize = 4 << 20;

/// The numbers that never repeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ids {
    pub(super) next_message: u64,
    pub(super) next_queue: u32,
}

/// What a segment is to the ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Ready for its first record.
    Spare,
    /// Records are appended to it.
    Active,
    /// Full, or left behind; once nothing in it is alive it waits in `dead`.
    Used,
    /// To be prepared when a spare is needed.
    Free,
    /// The helper has it.
    Preparing,
}

/// A segment of a ring.
///
/// 1. `slots.len()` is the number of slots given out; `live` counts those that are not settled,
///    and parked bodies here that somebody holds.
/// 2. Records lie in `HEADER_BYTES..end`; those below `written` are in the file.
/// 3. `end + END_BYTES + slots.len() <= bytes`, but for the end record itself.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) map: Arc<Mapping>,
    pub(super) sequence: u64,
    pub(super) seed: u32,
    pub(super) bytes: u32,
    pub(super) end: u32,
    pub(super) written: u32,
    pub(super) state: State,
    pub(super) live: u32,
    pub(super) slots: Vec<u8>,
    /// Slots of records that are in the file.
    pub(super) slots_written: u32,
    /// Slots that changed since they were written.
    pub(super) dirty: Option<(u32, u32)>,
    /// Slots here whose settling must not reach the file yet, with what the file shall say until
    /// then; in the order of the ring's `holds`.
    pub(super) held: VecDeque<(u32, u8)>,
    /// Holds and body releases that come from records here and have not reached the file.
    pub(super) owed: u32,
    /// Number of the sync that must have returned before the segment is reused.
    pub(super) wait_sync: u64,
    /// Records here whose body is parked, by first slot.
    pub(super) parked: Vec<ParkedRecord>,
    /// How often somebody holds a body that is parked here; `live` counts that, too.
    pub(super) bodies: u32,
    /// Spaces for bodies here, and the bytes that they take.
    pub(super) spaces: u32,
    pub(super) space_bytes: u32,
    /// Listed in the ring's `unsynced`.
    pub(super) unsynced: bool,
    /// Slots were written since the file was synced; that alone needs no sync.
    pub(super) slots_unsynced: bool,
    /// Slot bytes that are not zero may lie from here on, besides those of `slots`.
    pub(super) zero_from: u32,
    /// What could be copied away from it was.
    pub(super) compacted: bool,
    /// Damage was found: the file is kept when nothing in it is alive any more.
    pub(super) damaged: bool,
}

/// A record whose body is parked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ParkedRecord {
    pub(super) offset: u32,
    pub(super) first_slot: u32,
    pub(super) slots: u32,
    pub(super) body_segment: u32,
}

impl Segment {
    pub(super) fn new(new: NewSegment) -> Segment {
        let NewSegment { file, map, header } = new;
        Segment {
            file,
            map,
            sequence: header.sequence,
            seed: record::seed(header.sequence),
            bytes: header.bytes,
            end: HEADER_BYTES,
            written: HEADER_BYTES,
            state: State::Spare,
            live: 0,
            slots: Vec::new(),
            slots_written: 0,
            dirty: None,
            held: VecDeque::new(),
            owed: 0,
            wait_sync: 0,
            parked: Vec::new(),
            bodies: 0,
            spaces: 0,
            space_bytes: 0,
            unsynced: false,
            slots_unsynced: false,
            zero_from: header.bytes,
            damaged: false,
            compacted: false,
        }
    }

    /// Forgets its previous life.
    pub(super) fn renew(&mut self, sequence: u64) {
        debug_assert!(self.live == 0 && self.held.is_empty() && self.owed == 0);
        self.sequence = sequence;
        self.seed = record::seed(sequence);
        self.end = HEADER_BYTES;
        self.written = HEADER_BYTES;
        self.slots = Vec::new();
        self.slots_written = 0;
        self.dirty = None;
        self.wait_sync = 0;
        self.parked = Vec::new();
        (self.bodies, self.spaces, self.space_bytes) = (0, 0, 0);
        self.compacted = false;
        self.zero_from = self.bytes;
    }

    /// Bytes left for records and their slots.
    #[inline]
    pub(super) fn room(&self) -> usize {
        let taken = self.end as usize + self.slots.len() + END_BYTES;
        (self.bytes as usize).saturating_sub(taken)
    }

    /// The number of slots given out.
    #[inline]
    pub(super) fn slot_count(&self) -> u32 {
        in_file(self.slots.len())
    }
}

/// The part of the append buffer that goes to one place in one file.
#[derive(Clone, Copy, Debug)]
struct Piece {
    segment: u32,
    offset: u32,
    /// Where it begins in the buffer; it ends where the next one begins.
    start: usize,
    slots_before: u32,
}

/// What the loop wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) writes: u64,
}

/// See the top of the file.
pub(super) struct Ring {
    pub(super) durable_ring: bool,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u32,
    pub(super) next_sequence: u64,
    pub(super) next_file: u64,
    /// By index; `None` is free for the next segment.
    pub(super) segments: Vec<Option<Segment>>,
    pub(super) active: Option<u32>,
    /// In sequence order.
    pub(super) spares: VecDeque<u32>,
    /// Used, nothing alive; not necessarily reusable yet.
    pub(super) dead: Vec<u32>,
    pub(super) free: Vec<u32>,
    /// Segments that the helper is making.
    pub(super) in_flight: usize,
    /// The last attempt to get space failed.
    pub(super) no_space: bool,

    buffer: Vec<u8>,
    pieces: Vec<Piece>,
    /// Live slots of records in the buffer.
    pub(super) buffer_live: u32,
    /// Space was reserved since the last write-out: the buffer must be written.
    pub(super) buffer_pinned: bool,

    /// Segments with dirty slots.
    pub(super) dirty: Vec<u32>,
    /// Slots were written since compaction found nothing to do.
    pub(super) grew_sparser: bool,
    /// In the order of their positions.
    pub(super) holds: VecDeque<Hold>,
    pub(super) body_releases: Vec<BodyRelease>,
    pub(super) scratch: Vec<u8>,

    /// Segments with writes that a sync must cover.
    pub(super) unsynced: Vec<u32>,
    pub(super) syncs_started: u64,
    pub(super) syncs_done: u64,
    /// Where `durable` will be when the running sync returns.
    pub(super) sync_target: Option<LogPos>,
    pub(super) durable: LogPos,
    /// After the last record that is in a file.
    pub(super) in_files: LogPos,
    /// After the last record.
    pub(super) end: LogPos,
    marked_at: u32,

    pub(super) written: Written,
    pub(super) failure: Option<StorageError>,
}

impl Ring {
    pub(super) fn new(durable_ring: bool, directory: PathBuf, segment_bytes: u32) -> Ring {
        Ring {
            durable_ring,
            directory,
            segment_bytes,
            next_sequence: 1,
            next_file: 1,
            segments: Vec::new(),
            active: None,
            spares: VecDeque::new(),
            dead: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            no_space: false,
            buffer: Vec::new(),
            pieces: Vec::new(),
            buffer_live: 0,
            buffer_pinned: false,
            dirty: Vec::new(),
            grew_sparser: true,
            holds: VecDeque::new(),
            body_releases: Vec::new(),
            scratch: Vec::new(),
            unsynced: Vec::new(),
            syncs_started: 0,
            syncs_done: 0,
            sync_target: None,
            durable: LogPos::START,
            in_files: LogPos::START,
            end: LogPos::START,
            marked_at: 0,
            written: Written::default(),
            failure: None,
        }
    }

    /// Makes sure that `need` bytes of records and slots fit into the active segment, which it
    /// gives back. Privileged appends may take the last spare.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        need: usize,
        privileged: bool,
        ids: Ids,
    ) -> Result<u32, AppendError> {
        match self.active {
            Some(active) if self.segment(active).room() >= need => Ok(active),
            Some(_) | None => self.roll(need, privileged, ids),
        }
    }

    /// Leaves the active segment for a new one.
    fn roll(&mut self, need: usize, privileged: bool, ids: Ids) -> Result<u32, AppendError> {
        if self.failure.is_some() {
            return Err(AppendError::Full);
        }
        let next = if need <= capacity(self.segment_bytes) {
            self.take_spare(privileged, ids)?
        } else {
            let bytes = segment_bytes_for(need).ok_or(AppendError::TooLarge)?;
            self.create_here(bytes, ids).ok_or(AppendError::Full)?
        };
        self.seal_active();
        self.activate(next, ids);
        Ok(next)
    }

    /// Appends the end record to the active segment, which is active no more.
    pub(super) fn seal_active(&mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        if self.durable_ring {
            self.append_plain(active, END_BYTES, |out| encode::encode_end(out, End::Orderly));
        }
        let segment = self.segment_mut(active);
        segment.state = State::Used;
        if segment.live == 0 {
            self.dead.push(active);
        }
    }

    pub(super) fn activate(&mut self, index: u32, ids: Ids) {
        let segment = self.segment_mut(index);
        segment.state = State::Active;
        let position = LogPos { sequence: segment.sequence, offset: segment.end };
        debug_assert!(position > self.end, "sequences grow");
        self.active = Some(index);
        self.end = position;
        if self.durable_ring {
            self.append_mark(index, ids);
        }
    }

    /// Goes on with the segment that was active when the log was closed.
    pub(super) fn reopen(&mut self, index: u32) {
        self.marked_at = self.segment(index).end;
        self.active = Some(index);
    }

    /// Takes the files that the next sync must cover, and its number.
    pub(super) fn begin_sync(&mut self) -> (u64, Vec<Arc<SegmentFile>>) {
        let mut files = Vec::with_capacity(self.unsynced.len());
        for index in std::mem::take(&mut self.unsynced) {
            let segment = self.segment_mut(index);
            segment.unsynced = false;
            segment.slots_unsynced = false;
            files.push(Arc::clone(&segment.file));
        }
        self.syncs_started += 1;
        self.sync_target = Some(self.in_files);
        (self.syncs_started, files)
    }

    /// Has the next sync cover slots, too, that were written since; says whether there are any.
    pub(super) fn collect_unsynced_slots(&mut self) -> bool {
        for index in 0..self.segments.len() {
            if self.segments[index].as_ref().is_some_and(|segment| segment.slots_unsynced) {
                self.mark_unsynced(in_file(index));
            }
        }
        !self.unsynced.is_empty()
    }

    fn append_mark(&mut self, index: u32, ids: Ids) {
        let Ids { next_message, next_queue } = ids;
        let mark = Mark { durable: self.durable, next_message, next_queue };
        self.marked_at = self.segment(index).end;
        self.append_plain(index, MARK_BYTES, |out| encode::encode_mark(out, mark));
    }

    /// Appends a record that has no slots; `encode` appends `bytes`, a multiple of 8.
    pub(super) fn append_plain(
        &mut self,
        index: u32,
        bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> u32 {
        let start = self.begin_record(index);
        encode(&mut self.buffer);
        debug_assert_eq!(self.buffer.len(), start + bytes);
        self.finish_record(index, start, bytes, 0, 0)
    }

    /// Appends a message record of `bytes` for which there is room.
    #[inline]
    pub(super) fn append_draft(
        &mut self,
        index: u32,
        draft: &Draft<'_>,
        bytes: u32,
        id: MessageId,
        deliveries: u8,
    ) -> u32 {
        let start = self.begin_record(index);
        let first_slot = self.segment(index).slot_count();
        draft.encode(&mut self.buffer, bytes, id, first_slot);
        self.finish_record(index, start, bytes as usize, draft.queues.len(), deliveries)
    }

    /// Where the next record goes in the buffer.
    #[inline]
    pub(super) fn begin_record(&mut self, index: u32) -> usize {
        let start = self.buffer.len();
        let segment = self.segments[index as usize].as_ref().expect("an active segment");
        let continues = self.pieces.last().is_some_and(|piece| {
            piece.segment == index
                && piece.offset as usize + (start - piece.start) == segment.end as usize
        });
        if !continues {
            let slots_before = segment.slot_count();
            self.pieces.push(Piece { segment: index, offset: segment.end, start, slots_before });
        }
        start
    }

    /// The buffer, for a record that is put together from parts.
    pub(super) fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Seals the record at `start` of the buffer, gives it `slots` slots, and says at which offset
    /// it lies.
    #[inline]
    pub(super) fn finish_record(
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
            record::seal(&mut self.buffer[start..start + bytes], segment.seed, offset);
        }
        segment.end += in_file(padded(bytes));
        segment.live += in_file(slots);
        self.buffer_live += in_file(slots);
        let first = segment.slots.len();
        segment.slots.resize(first + slots, deliveries);
        self.end = LogPos { sequence: segment.sequence, offset: segment.end };
        if deliveries > 0 {
            self.mark_dirty(index, in_file(first), in_file(first + slots));
        }
        offset
    }

    /// Skips `bytes`, a multiple of 8, in the active segment: the content of a space.
    pub(super) fn skip(&mut self, index: u32, bytes: u32) {
        let segment = self.segment_mut(index);
        segment.end += bytes;
        let end = LogPos { sequence: segment.sequence, offset: segment.end };
        self.end = end;
        self.buffer_pinned = true;
    }

    /// Writes the append buffer to the files.
    pub(super) fn write_buffer(&mut self, ids: Ids) -> Result<(), StorageError> {
        if let Some(failure) = self.failure.take() {
            self.failure = Some(StorageError::AlreadyFailed);
            return Err(failure);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Some(active) = self.active.filter(|_| self.durable_ring) {
            let segment = self.segment(active);
            if segment.end - self.marked_at.min(segment.end) >= MARK_EVERY_BYTES
                && segment.room() >= MARK_BYTES
            {
                self.append_mark(active, ids);
            }
        }
        for n in 0..self.pieces.len() {
            if let Err(error) = self.write_piece(n, ids) {
                self.failure = Some(StorageError::AlreadyFailed);
                return Err(error);
            }
        }
        self.in_files = self.end;
        self.drop_buffer();
        Ok(())
    }

    fn write_piece(&mut self, n: usize, ids: Ids) -> Result<(), StorageError> {
        let Piece { segment: index, offset, start, .. } = self.pieces[n];
        let end = self.pieces.get(n + 1).map_or(self.buffer.len(), |next| next.start);
        let segment = self.segments[index as usize].as_mut().expect("unwritten records live");
        if offset == HEADER_BYTES && self.durable_ring {
            // Becomes durable with the first record.
            let (sequence, bytes) = (segment.sequence, segment.bytes);
            let Ids { next_message, next_queue } = ids;
            let state = HeaderState::InUse;
            let header = Header { state, sequence, bytes, next_message, next_queue };
            header.write(&segment.file)?;
        }
        segment.file.write(&self.buffer[start..end], offset)?;
        // Whatever else there is up to the end is the content of spaces.
        segment.written = segment.end;
        segment.slots_written = segment.slot_count();
        self.written.writes += 1;
        self.written.bytes += (end - start) as u64;
        self.mark_unsynced(index);
        Ok(())
    }

    fn drop_buffer(&mut self) {
        self.pieces.clear();
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEEP_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer_live = 0;
        self.buffer_pinned = false;
    }

    /// Takes back the buffer when nothing in it is alive, and starts the active segment anew when
    /// nothing in that is. Transient ring only.
    pub(super) fn rewind(&mut self) {
        debug_assert!(!self.durable_ring);
        if self.buffer_live == 0 && !self.buffer_pinned {
            for piece in std::mem::take(&mut self.pieces).into_iter().rev() {
                let segment = self.segment_mut(piece.segment);
                segment.end = piece.offset;
                segment.slots.truncate(piece.slots_before as usize);
                let kept = segment.parked.partition_point(|p| p.first_slot < piece.slots_before);
                segment.parked.truncate(kept);
            }
            self.drop_buffer();
        }
        if let Some(active) = self.active.filter(|_| self.pieces.is_empty()) {
            let segment = self.segment_mut(active);
            let unused = segment.live == 0 && segment.owed == 0;
            if unused && Arc::strong_count(&segment.map) == 1 {
                let sequence = segment.sequence;
                segment.renew(sequence);
            }
        }
    }

    /// The message record at `at`, which is alive, from the file or the buffer.
    #[inline]
    pub(super) fn message(&self, at: RecordRef) -> Message<'_> {
        let index = at.segment.index();
        let segment = self.segment(index);
        if at.offset < segment.written {
            // Only the record itself: behind it may be the content of a space, which is not
            // committed.
            let length = record::u32_at(segment.map.slice(at.offset, at.offset + 4), 0);
            return Message { bytes: segment.map.slice(at.offset, at.offset + length) };
        }
        let piece = self
            .pieces
            .iter()
            .rev()
            .find(|piece| piece.segment == index && piece.offset <= at.offset)
            .expect("a live record is in the file or in the buffer");
        let start = piece.start + (at.offset - piece.offset) as usize;
        Message::at_start_of(&self.buffer[start..])
    }

    /// Where the body of `message` lies: mapping, from, to. `None`: in the buffer.
    pub(super) fn body_place(
        &self,
        at: RecordRef,
        message: Message<'_>,
    ) -> Option<(&Arc<Mapping>, u32, u32)> {
        let segment = self.segment(at.segment.index());
        if let Some(place) = message.place() {
            let body_segment = segment.body_segment(message.first_slot())?;
            let map = &self.segment(body_segment).map;
            return Some((map, place.offset, place.offset + message.body_bytes()));
        }
        if at.offset >= segment.written {
            return None;
        }
        let record_bytes = in_file(message.bytes.len());
        let to = at.offset + record_bytes;
        Some((&segment.map, to - message.body_bytes(), to))
    }

    #[inline]
    pub(super) fn segment(&self, index: u32) -> &Segment {
        self.segments[index as usize].as_ref().expect("an index of the ring's own")
    }

    #[inline]
    pub(super) fn segment_mut(&mut self, index: u32) -> &mut Segment {
        self.segments[index as usize].as_mut().expect("an index of the ring's own")
    }

    /// Puts a segment into the table.
    pub(super) fn add(&mut self, segment: Segment) -> u32 {
        let index = match self.segments.iter().position(Option::is_none) {
            Some(index) => {
                self.segments[index] = Some(segment);
                index
            }
            None => {
                self.segments.push(Some(segment));
                self.segments.len() - 1
            }
        };
        in_file(index)
    }

    pub(super) fn key(&self, index: u32) -> SegmentKey {
        SegmentKey::new(self.durable_ring, index)
    }

    #[inline]
    pub(super) fn mark_unsynced(&mut self, index: u32) {
        if !self.durable_ring {
            return;
        }
        let segment = self.segment_mut(index);
        if !segment.unsynced {
            segment.unsynced = true;
            self.unsynced.push(index);
        }
    }

    /// What publishers may still write before the ring needs the last spare.
    pub(super) fn room_bytes(&self) -> u64 {
        let active = self.active.map_or(0, |active| self.segment(active).room());
        let spares = self.spares.len().saturating_sub(1) * capacity(self.segment_bytes);
        (active + spares) as u64
    }
}

impl Segment {
    /// Where the parked body of the record with this first slot lies.
    pub(super) fn body_segment(&self, first_slot: u32) -> Option<u32> {
        let found = self.parked.binary_search_by_key(&first_slot, |parked| parked.first_slot);
        found.ok().map(|n| self.parked[n].body_segment)
    }
}

/// What fits into a segment of `bytes`: records and slots.
pub(super) fn capacity(bytes: u32) -> usize {
    bytes as usize - HEADER_BYTES as usize - MARK_BYTES - END_BYTES
}

/// Size of a segment of its own for `need` bytes; `None`: there is no such file.
fn segment_bytes_for(need: usize) -> Option<u32> {
    let bytes = need + HEADER_BYTES as usize + MARK_BYTES + END_BYTES;
    u32::try_from(bytes.next_multiple_of(HEADER_BYTES as usize)).ok()
}
