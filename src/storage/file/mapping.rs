//! How are records read where they lie? A read-only mapping of a segment file, and slices of it
//! that keep the segment from being used again. The only file of the log with `unsafe`.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

/// A read-only view of a segment file.
#[derive(Debug)]
pub(in crate::storage) struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps the first `bytes` of `file`, which is at least as long. `reads_ahead`: whoever reads a
    /// page that is not in memory may get those around it as well, as many as the system likes.
    pub(in crate::storage) fn new(
        file: &File,
        bytes: u32,
        reads_ahead: bool,
    ) -> io::Result<Arc<Mapping>> {
        let raw = MmapOptions::new().len(bytes as usize).map_raw_read_only(file)?;
        let mapping = Mapping { raw };
        if !reads_ahead {
            mapping.read_ahead(false);
        }
        Ok(Arc::new(mapping))
    }

    /// The bytes `from..to`, which must be *committed*: written, and not written again as long as
    /// the slice lives. That is so for everything below a segment's `written`, until the segment
    /// is used again.
    #[inline]
    pub(in crate::storage) fn slice(&self, from: u32, to: u32) -> &[u8] {
        assert!(from <= to && to as usize <= self.raw.len());
        // SAFETY: the range lies in the mapping (asserted above), which lives as long as `self`.
        // The file has at least the mapping's length (`Mapping::new`: allocated, or measured by
        // recovery) and is never truncated, so reading does not fault. The bytes do not change:
        // the log is append only, callers ask for committed bytes only, and a file is given to the
        // helper for another life only when no other `Arc` of its mapping exists and no record of
        // it is alive (`Ring::is_unused`), both under `&mut` of the store that slices borrow from.
        unsafe {
            std::slice::from_raw_parts(self.raw.as_ptr().add(from as usize), (to - from) as usize)
        }
    }

    /// Says anew what [`Mapping::new`] was told: a walk through all of it wants `reads_ahead`.
    /// It is advice: a system that does not take it reads as before.
    pub(in crate::storage) fn read_ahead(&self, reads_ahead: bool) {
        let advice = if reads_ahead { Advice::Normal } else { Advice::Random };
        if let Err(error) = self.raw.advise(advice) {
            log::debug!("reading ahead: {error}");
        }
    }

    /// The pages need not stay in this process's memory: they are read again when they are wanted.
    pub(in crate::storage) fn release_pages(&self) -> io::Result<()> {
        // SAFETY: of a shared mapping of a file, `DontNeed` only drops pages from the process's
        // tables; the next access finds the same bytes in the page cache or the file.
        unsafe { self.raw.unchecked_advise(UncheckedAdvice::DontNeed) }
    }
}

/// A part of a mapping that keeps its segment from being used again.
struct Pinned {
    map: Arc<Mapping>,
    from: u32,
    to: u32,
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        self.map.slice(self.from, self.to)
    }
}

/// The committed bytes `from..to` as a shared slice that pins the segment.
pub(in crate::storage) fn pinned(map: &Arc<Mapping>, from: u32, to: u32) -> Bytes {
    Bytes::from_owner(Pinned { map: Arc::clone(map), from, to })
}
