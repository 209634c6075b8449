//! Where is a block of a long queue's entries? Owns what all queues of a node share: the scratch
//! file that blocks are paged out to and a few spare vectors ([`ScratchPool`]). Imports the scratch
//! file and the types of `storage`.
//!
//! In the scratch file an entry has 16 bytes, little-endian: message id u64, segment u32, offset
//! u32. If the file cannot grow, a block stays in memory, so that paging out never fails.

use std::io;
use std::mem;
use std::path::Path;

use super::scratch::{SLOT_BYTES, ScratchFile, Slot};
use crate::storage::types::{Entry, MessageId, RecordRef, SegmentKey};

/// What the queues of a node share: the scratch file and a few spare vectors.
pub struct ScratchPool {
    scratch: ScratchFile,
    /// Class `n` has capacity `FIRST_ENTRIES << n`; at most [`SPARES_MAX`] of each.
    spares: [Vec<Vec<Entry>>; CLASSES],
    /// The last attempt to get a slot failed, and it was logged.
    full: bool,
    /// What [`ScratchPool::stagger`] gave last.
    last_stagger: u32,
}

impl ScratchPool {
    /// Creates the scratch file in `directory`; it has no name there and takes no space until a
    /// queue grows long.
    ///
    /// # Errors
    /// When the file cannot be created; the text names it.
    pub fn open(directory: &Path) -> io::Result<ScratchPool> {
        let scratch = ScratchFile::create(directory)?;
        Ok(ScratchPool { scratch, spares: Default::default(), full: false, last_stagger: 0 })
    }

    /// Disk space that the scratch file takes, in bytes.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.mapped_bytes()
    }

    /// One whose scratch file has no room.
    #[cfg(test)]
    pub(super) fn refusing() -> ScratchPool {
        let scratch = ScratchFile::refusing();
        ScratchPool { scratch, spares: Default::default(), full: false, last_stagger: 0 }
    }

    #[cfg(test)]
    pub(super) fn spare_vectors(&self) -> usize {
        self.spares.iter().map(Vec::len).sum()
    }

    /// An empty vector with room for `entries`, or for [`FIRST_ENTRIES`] if that is more, and no
    /// more than [`BLOCK_ENTRIES`].
    pub(super) fn take(&mut self, entries: usize) -> Vec<Entry> {
        let capacity = entries.next_power_of_two().clamp(FIRST_ENTRIES, BLOCK_ENTRIES);
        let spare = self.spares[class_of(capacity)].pop();
        spare.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// A number below `bound` that differs from one time to the next, evenly spread.
    pub(super) fn stagger(&mut self, bound: usize) -> usize {
        // A linear congruential generator (Knuth, The Art of Computer Programming, 3.3.4).
        self.last_stagger = self.last_stagger.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.last_stagger as usize * bound) >> u32::BITS
    }

    /// Takes a vector back.
    pub(super) fn give(&mut self, mut entries: Vec<Entry>) {
        if (FIRST_ENTRIES..=BLOCK_ENTRIES).contains(&entries.capacity()) {
            let spares = &mut self.spares[class_of(entries.capacity())];
            if spares.len() < SPARES_MAX {
                entries.clear();
                spares.push(entries);
            }
        }
    }

    /// Copies the live ones of a block's entries to where they cost no anonymous memory.
    pub(super) fn page_out(&mut self, entries: &[Entry]) -> Paged {
        let alive = || entries.iter().filter(|entry| entry.at != TOMBSTONE);
        let first = alive().next().expect("a block that is paged out has a live entry").id;
        let (place, len) = match self.scratch.allocate() {
            Ok(slot) => {
                self.full = false;
                let (bytes, _) = self.scratch.bytes_mut(&slot).as_chunks_mut::<ENTRY_BYTES>();
                let mut len = 0;
                for (bytes, &entry) in bytes.iter_mut().zip(alive()) {
                    *bytes = encode(entry);
                    len += 1;
                }
                (Place::Scratch(slot), len)
            }
            Err(error) => {
                if !self.full {
                    log::warn!("scratch file cannot grow, long queues stay in memory: {error}");
                    self.full = true;
                }
                let entries: Box<[Entry]> = alive().copied().collect();
                let len = u32::try_from(entries.len()).expect("a block is shorter");
                (Place::Memory(entries), len)
            }
        };
        Paged { first, len, live: len, place }
    }

    /// Appends the live entries of a block to `entries` and frees it.
    pub(super) fn load(&mut self, paged: Paged, entries: &mut Vec<Entry>) {
        match &paged.place {
            Place::Scratch(slot) => {
                let (bytes, _) = self.scratch.bytes(slot).as_chunks::<ENTRY_BYTES>();
                let all = bytes[..paged.len as usize].iter().map(decode);
                if paged.live == paged.len {
                    entries.extend(all);
                } else {
                    entries.extend(all.filter(|entry| entry.at != TOMBSTONE));
                }
            }
            Place::Memory(all) => {
                entries.extend(all.iter().filter(|entry| entry.at != TOMBSTONE));
            }
        }
        self.free(paged);
    }

    pub(super) fn free(&mut self, paged: Paged) {
        match paged.place {
            Place::Scratch(slot) => self.scratch.release(slot),
            Place::Memory(_) => {}
        }
    }

    pub(super) fn set(&mut self, paged: &mut Paged, index: usize, entry: Entry) {
        match &mut paged.place {
            Place::Scratch(slot) => {
                let (bytes, _) = self.scratch.bytes_mut(slot).as_chunks_mut::<ENTRY_BYTES>();
                bytes[index] = encode(entry);
            }
            Place::Memory(entries) => entries[index] = entry,
        }
    }

    pub(super) fn entry(&self, paged: &Paged, index: usize) -> Entry {
        match &paged.place {
            Place::Scratch(slot) => {
                let (bytes, _) = self.scratch.bytes(slot).as_chunks::<ENTRY_BYTES>();
                decode(&bytes[index])
            }
            Place::Memory(entries) => entries[index],
        }
    }

    /// Index of a live entry in a block.
    pub(super) fn position(&self, paged: &Paged, id: MessageId) -> Option<usize> {
        let index = match &paged.place {
            Place::Scratch(slot) => {
                let (bytes, _) = self.scratch.bytes(slot).as_chunks::<ENTRY_BYTES>();
                let entries = &bytes[..paged.len as usize];
                entries.binary_search_by_key(&id, |bytes| decode(bytes).id).ok()?
            }
            Place::Memory(entries) => entries.binary_search_by_key(&id, |entry| entry.id).ok()?,
        };
        (self.entry(paged, index).at != TOMBSTONE).then_some(index)
    }

    /// Index of the first entry of a message later than this one, alive or not.
    pub(super) fn first_after(&self, paged: &Paged, id: MessageId) -> usize {
        match &paged.place {
            Place::Scratch(slot) => {
                let (bytes, _) = self.scratch.bytes(slot).as_chunks::<ENTRY_BYTES>();
                bytes[..paged.len as usize].partition_point(|bytes| decode(bytes).id <= id)
            }
            Place::Memory(entries) => entries.partition_point(|entry| entry.id <= id),
        }
    }
}

/// A block in the middle of a long queue.
#[derive(Debug)]
pub(super) struct Paged {
    /// Id of its first entry, alive or not.
    pub(super) first: MessageId,
    /// Entries in it, dead ones included.
    pub(super) len: u32,
    /// Those that are alive.
    pub(super) live: u32,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    Scratch(Slot),
    /// The scratch file had no room.
    Memory(Box<[Entry]>),
}

#[inline]
fn encode(entry: Entry) -> [u8; ENTRY_BYTES] {
    let record = u64::from(entry.at.segment.0) | u64::from(entry.at.offset) << 32;
    (u128::from(entry.id.0) | u128::from(record) << 64).to_le_bytes()
}

#[inline]
fn decode(bytes: &[u8; ENTRY_BYTES]) -> Entry {
    let (quarters, _) = bytes.as_chunks::<4>();
    let quarter = |index: usize| u32::from_le_bytes(quarters[index]);
    let id = MessageId(u64::from(quarter(0)) | u64::from(quarter(1)) << 32);
    Entry { id, at: RecordRef { segment: SegmentKey(quarter(2)), offset: quarter(3) } }
}

/// Which class of spare vectors a capacity belongs to.
fn class_of(capacity: usize) -> usize {
    (capacity.ilog2() - FIRST_ENTRIES.ilog2()) as usize
}

const ENTRY_BYTES: usize = mem::size_of::<Entry>();

/// Entries of a full block: 8 KiB. A long queue has two in anonymous memory, and there may be
/// hundreds of such queues where all of it is a few megabytes.
pub(super) const BLOCK_ENTRIES: usize = 512;

/// Entries that a queue's first vector has room for: 128 bytes.
pub(super) const FIRST_ENTRIES: usize = 8;

/// Classes of spare vectors: 8, 16 .. 512 entries.
const CLASSES: usize = 7;

/// Spare vectors of each class: 64 KiB in all at most.
const SPARES_MAX: usize = 4;

/// Stands where the record of an entry was that is removed. No record begins in the last byte of
/// 4 GiB.
pub(super) const TOMBSTONE: RecordRef =
    RecordRef { segment: SegmentKey(u32::MAX), offset: u32::MAX };

/// What stands where there is no entry.
pub(super) const NOTHING: Entry = Entry { id: MessageId(0), at: TOMBSTONE };

const _: () = assert!(BLOCK_ENTRIES * ENTRY_BYTES == SLOT_BYTES, "a block fills a slot");
const _: () = assert!(FIRST_ENTRIES << (CLASSES - 1) == BLOCK_ENTRIES, "a class for each size");
const _: () = assert!(mem::size_of::<Paged>() <= 32, "10 million entries have 20,000 of them");
