//! What is a segment to its ring? Where it ends, which of its slots are alive, and what it says
//! about others.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::storage::file::mapping::Mapping;
use crate::storage::file::segment::{HEADER_BYTES, Header, SegmentFile};
use crate::storage::helper::jobs::NewSegment;
use crate::storage::record::{END_BYTES, in_file};

/// Whether records are appended to a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum State {
    /// They are.
    Active,
    /// They are not any more. Once nothing in it is alive it waits in the ring's `dead`.
    Sealed,
    /// An inventory without it was appended: once that is durable, the file is free.
    Freeing,
}

/// A segment of a ring that holds records.
///
/// 1. `slots.len()` is the number of slots given out; `live` counts those that are not settled,
///    and the holds on pieces of bodies here.
/// 2. Records lie in `HEADER_BYTES..end`; those below `written` are in the file.
/// 3. `speaks_of` names every other segment about whose slots a record here says something.
#[derive(Debug)]
pub(in crate::storage) struct Segment {
    /// Number of the file.
    pub(in crate::storage) number: u64,
    /// As long as something may have to be written or synced.
    pub(in crate::storage) file: Option<Arc<SegmentFile>>,
    pub(in crate::storage) map: Arc<Mapping>,
    pub(in crate::storage) sequence: u64,
    pub(in crate::storage) salt: u64,
    pub(in crate::storage) bytes: u32,
    pub(in crate::storage) end: u32,
    pub(in crate::storage) written: u32,
    pub(in crate::storage) state: State,
    pub(in crate::storage) live: u32,
    pub(in crate::storage) slots: Vec<u8>,
    /// Slots of records that are in the file.
    pub(in crate::storage) slots_written: u32,
    /// Records here whose body lies in pieces, by first slot.
    pub(in crate::storage) large: Vec<LargeRecord>,
    /// How often somebody holds a piece here; `live` counts that, too.
    pub(in crate::storage) holds: u32,
    /// Pieces here, and the bytes that they take.
    pub(in crate::storage) pieces: u32,
    pub(in crate::storage) piece_bytes: u32,
    /// Definition records here, and the bytes that they take: all, and those that last.
    pub(in crate::storage) definitions: Counted,
    pub(in crate::storage) definitions_alive: Counted,
    pub(in crate::storage) speaks_of: BTreeSet<u64>,
    /// The segment in which the state of all slots here stands, if it was restated: what segments
    /// before that one say about this one is not needed any more.
    pub(in crate::storage) restated_in: u64,
    /// Slots were counted as delivered that the log does not know of.
    pub(in crate::storage) counts_unlogged: bool,
    /// Listed in the ring's `unsynced`.
    pub(in crate::storage) unsynced: bool,
    /// What could be copied away from it was.
    pub(in crate::storage) compacted: bool,
    /// It was nearly empty when compaction looked last.
    pub(in crate::storage) was_sparse: bool,
    /// Damage was found: the file is kept when nothing in it is alive any more.
    pub(in crate::storage) damaged: bool,
}

/// Records, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::storage) struct Counted {
    pub(in crate::storage) records: u32,
    pub(in crate::storage) bytes: u32,
}

impl Counted {
    pub(in crate::storage) fn add(&mut self, bytes: u32) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub(in crate::storage) fn remove(&mut self, bytes: u32) {
        self.records -= 1;
        self.bytes -= bytes;
    }
}

/// A record whose body lies in pieces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct LargeRecord {
    pub(in crate::storage) offset: u32,
    pub(in crate::storage) first_slot: u32,
    pub(in crate::storage) slots: u32,
}

impl Segment {
    /// A segment with its first record to come.
    pub(in crate::storage) fn new(new: NewSegment, sequence: u64) -> Segment {
        let NewSegment { number, file, map, header } = new;
        Segment { file: Some(file), ..Segment::empty(number, map, sequence, header) }
    }

    /// A segment without a record, whose file is not open for writing.
    pub(in crate::storage) fn empty(
        number: u64,
        map: Arc<Mapping>,
        sequence: u64,
        header: Header,
    ) -> Segment {
        Segment {
            number,
            file: None,
            map,
            sequence,
            salt: header.salt,
            bytes: header.bytes,
            end: HEADER_BYTES,
            written: HEADER_BYTES,
            state: State::Active,
            live: 0,
            slots: Vec::new(),
            slots_written: 0,
            large: Vec::new(),
            holds: 0,
            pieces: 0,
            piece_bytes: 0,
            definitions: Counted::default(),
            definitions_alive: Counted::default(),
            speaks_of: BTreeSet::new(),
            restated_in: 0,
            counts_unlogged: false,
            unsynced: false,
            compacted: false,
            was_sparse: false,
            damaged: false,
        }
    }

    /// Bytes left for records, but for the last one.
    #[inline]
    pub(in crate::storage) fn room(&self) -> usize {
        ((self.bytes - self.end) as usize).saturating_sub(END_BYTES)
    }

    /// The number of slots given out.
    #[inline]
    pub(in crate::storage) fn slot_count(&self) -> u32 {
        in_file(self.slots.len())
    }

    /// The record with pieces that has this slot.
    pub(in crate::storage) fn large_with(&self, slot: u32) -> Option<LargeRecord> {
        let n = self.large.partition_point(|large| large.first_slot <= slot);
        let large = *self.large.get(n.checked_sub(1)?)?;
        (slot < large.first_slot + large.slots).then_some(large)
    }

    /// Whether anything of these slots is alive.
    pub(in crate::storage) fn is_any_alive(&self, first: u32, count: u32) -> bool {
        let slots = first as usize..(first + count) as usize;
        self.slots[slots].iter().any(|slot| *slot != crate::storage::record::statement::SETTLED)
    }
}
