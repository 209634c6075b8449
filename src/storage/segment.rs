//! What is a segment file? Its header, its blocks, its read-only mapping and its syncs. The only
//! file of the message log with `unsafe`: the mapping. Knows nothing of records.

#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

use super::record::{u32_at, u64_at};
use super::types::StorageError;
use crate::sys;

/// Where the records begin.
pub(super) const HEADER_BYTES: u32 = 4096;
/// Segment sizes are multiples of this.
pub(super) const PAGE_BYTES: u32 = 4096;
const COPY_BYTES: usize = 64;
const SECOND_COPY: usize = 2048;
const MAGIC: [u8; 8] = *b"LEVERETS";
pub(super) const VERSION: u32 = 1;

/// A segment file that is open for reading and writing.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl SegmentFile {
    /// Writes all of `bytes` at `offset`; the space has its blocks, so that a full disk cannot
    /// make this fail.
    pub(super) fn write(&self, bytes: &[u8], offset: u32) -> Result<(), StorageError> {
        self.file
            .write_all_at(bytes, u64::from(offset))
            .map_err(StorageError::io("writing", &self.path))
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// Final: the kernel may have dropped what it could not write.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(StorageError::io("syncing", &self.path))?;
        #[cfg(test)]
        watch::synced_file(&self.file);
        Ok(())
    }

    /// Overwrites `from..to` with zeros.
    pub(super) fn zero(&self, from: u32, to: u32) -> Result<(), StorageError> {
        static ZEROS: [u8; 65536] = [0; 65536];
        let mut at = from;
        while at < to {
            let part = u32::min(65536, to - at);
            self.write(&ZEROS[..part as usize], at)?;
            at += part;
        }
        Ok(())
    }
}

/// Makes the names in `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    sys::sync_directory(directory).map_err(StorageError::io("syncing directory", directory))?;
    #[cfg(test)]
    watch::synced_directory(directory);
    Ok(())
}

/// What the header of a segment says about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) state: HeaderState,
    pub(super) sequence: u64,
    /// Size of the file.
    pub(super) bytes: u32,
    pub(super) next_message: u64,
    pub(super) next_queue: u32,
}

/// Whether a segment may be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HeaderState {
    /// It is free: slot bytes of its previous life lie from here on.
    Preparing { zero_from: u32 },
    /// Nothing in it was durable yet.
    Ready,
    /// It has at least a mark, durable together with this header.
    InUse,
}

/// What was found where a header should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FoundHeader {
    Sound(Header),
    /// Both copies are broken.
    Broken,
    /// A sound header of a version that is not ours.
    OtherVersion(u32),
}

impl Header {
    /// Writes both copies; does not sync.
    pub(super) fn write(&self, file: &SegmentFile) -> Result<(), StorageError> {
        let mut page = [0; HEADER_BYTES as usize];
        let copy = self.encode();
        page[..COPY_BYTES].copy_from_slice(&copy);
        page[SECOND_COPY..SECOND_COPY + COPY_BYTES].copy_from_slice(&copy);
        file.write(&page, 0)
    }

    /// Reads the header of `file`.
    ///
    /// # Errors
    /// Those of reading; a file that is too short is `Broken`.
    pub(super) fn read(file: &SegmentFile) -> Result<FoundHeader, StorageError> {
        let mut page = [0; HEADER_BYTES as usize];
        match file.file.read_exact_at(&mut page, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(FoundHeader::Broken);
            }
            Err(error) => return Err(StorageError::io("reading", &file.path)(error)),
        }
        let first = Header::decode(&page[..COPY_BYTES]);
        let second = Header::decode(&page[SECOND_COPY..SECOND_COPY + COPY_BYTES]);
        Ok(match (first, second) {
            // A write that was torn between the copies: the newer one counts.
            (FoundHeader::Sound(a), FoundHeader::Sound(b)) if b.sequence > a.sequence => second,
            (FoundHeader::Broken, _) => second,
            (FoundHeader::Sound(_) | FoundHeader::OtherVersion(_), _) => first,
        })
    }

    fn encode(&self) -> [u8; COPY_BYTES] {
        let (state, zero_from) = match self.state {
            HeaderState::Preparing { zero_from } => (1u32, zero_from),
            HeaderState::Ready => (2, 0),
            HeaderState::InUse => (3, 0),
        };
        let mut copy = [0; COPY_BYTES];
        copy[0..8].copy_from_slice(&MAGIC);
        copy[8..12].copy_from_slice(&VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&state.to_le_bytes());
        copy[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        copy[24..32].copy_from_slice(&u64::from(self.bytes).to_le_bytes());
        copy[32..40].copy_from_slice(&self.next_message.to_le_bytes());
        copy[40..44].copy_from_slice(&self.next_queue.to_le_bytes());
        copy[44..48].copy_from_slice(&zero_from.to_le_bytes());
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
        copy
    }

    fn decode(copy: &[u8]) -> FoundHeader {
        if copy[..8] != MAGIC || u32_at(copy, 60) != crc32fast::hash(&copy[..60]) {
            return FoundHeader::Broken;
        }
        let version = u32_at(copy, 8);
        if version != VERSION {
            return FoundHeader::OtherVersion(version);
        }
        let Ok(bytes) = u32::try_from(u64_at(copy, 24)) else {
            return FoundHeader::Broken;
        };
        let zero_from = u32_at(copy, 44);
        let state = match u32_at(copy, 12) {
            1 if (HEADER_BYTES..=bytes).contains(&zero_from) => {
                HeaderState::Preparing { zero_from }
            }
            2 => HeaderState::Ready,
            3 => HeaderState::InUse,
            _ => return FoundHeader::Broken,
        };
        if !bytes.is_multiple_of(PAGE_BYTES) || bytes < 2 * PAGE_BYTES {
            return FoundHeader::Broken;
        }
        FoundHeader::Sound(Header {
            state,
            sequence: u64_at(copy, 16),
            bytes,
            next_message: u64_at(copy, 32),
            next_queue: u32_at(copy, 40),
        })
    }
}

/// Why a segment could not be created.
#[derive(Debug)]
pub(super) enum CreateError {
    /// An ordinary state: no space, no file handle. Nothing is left behind.
    NoSpace(io::Error),
    /// The disk failed.
    Fatal(StorageError),
}

impl From<StorageError> for CreateError {
    fn from(error: StorageError) -> CreateError {
        CreateError::Fatal(error)
    }
}

/// Creates `path` under its unfinished name with real blocks and, when there is one, a durable
/// header. See [`publish`].
pub(super) fn allocate(
    path: &Path,
    bytes: u32,
    header: Option<&Header>,
) -> Result<File, CreateError> {
    let unfinished = unfinished(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)
        .map_err(CreateError::NoSpace)?;
    #[cfg(test)]
    if watch::is_full() {
        drop(fs::remove_file(&unfinished));
        return Err(CreateError::NoSpace(io::ErrorKind::StorageFull.into()));
    }
    if let Err(error) = sys::allocate_blocks(&file, 0, u64::from(bytes)) {
        // What is left of it is removed at the next start if this fails, too.
        drop(fs::remove_file(&unfinished));
        return Err(CreateError::NoSpace(error));
    }
    let file = SegmentFile { file, path: unfinished };
    if let Some(header) = header {
        header.write(&file)?;
        file.sync()?;
    }
    Ok(file.file)
}

/// Gives the file of [`allocate`] its name, durably.
pub(super) fn publish(file: File, path: &Path) -> Result<Arc<SegmentFile>, StorageError> {
    fs::rename(unfinished(path), path).map_err(StorageError::io("renaming to", path))?;
    sync_directory(parent(path))?;
    Ok(Arc::new(SegmentFile { file, path: path.to_path_buf() }))
}

/// Takes the name of the file of [`allocate`] away: it goes with the process.
pub(super) fn unlink(file: File, path: &Path) -> Result<Arc<SegmentFile>, StorageError> {
    let unfinished = unfinished(path);
    fs::remove_file(&unfinished).map_err(StorageError::io("unlinking", &unfinished))?;
    Ok(Arc::new(SegmentFile { file, path: unfinished }))
}

/// The name of a file that is not finished.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// A read-only view of a whole segment file.
#[derive(Debug)]
pub(super) struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps the first `bytes` of `file`, which is at least as long.
    pub(super) fn new(file: &SegmentFile, bytes: u32) -> Result<Arc<Mapping>, StorageError> {
        let raw = MmapOptions::new()
            .len(bytes as usize)
            .map_raw_read_only(&file.file)
            .map_err(StorageError::io("mapping", &file.path))?;
        Ok(Arc::new(Mapping { raw }))
    }

    /// The bytes `from..to`, which must be *committed*: written, and not written again as long as
    /// the slice lives. That is so for what lies below a segment's `written` and for parked bodies
    /// that are complete, until the segment is reused, and for everything while nothing was
    /// written yet (recovery).
    #[inline]
    pub(super) fn slice(&self, from: u32, to: u32) -> &[u8] {
        assert!(from <= to && to as usize <= self.raw.len());
        // SAFETY: the range lies in the mapping (asserted above), which lives as long as `self`.
        // The file has at least the mapping's length (`Mapping::new`: allocated, or extended by
        // recovery) and is never truncated, so reading does not fault. The bytes do not change:
        // callers ask for committed bytes only, and a segment is handed to the helper for reuse
        // only when no other `Arc` of its mapping exists and no record of it is alive
        // (`Ring::is_reusable`), both under `&mut` of the store that slices borrow from.
        unsafe {
            std::slice::from_raw_parts(self.raw.as_ptr().add(from as usize), (to - from) as usize)
        }
    }
}

/// A part of a mapping that keeps its segment from being reused.
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
pub(super) fn pinned(map: &Arc<Mapping>, from: u32, to: u32) -> Bytes {
    Bytes::from_owner(Pinned { map: Arc::clone(map), from, to })
}

/// Lets a test see what was synced and when, and fill the disk, on its own thread.
#[cfg(test)]
pub(super) mod watch {
    use std::cell::{Cell, RefCell};
    use std::fs::File;
    use std::path::Path;

    /// What a watcher is told.
    pub(in super::super) enum Synced<'a> {
        File(&'a File),
        Directory(&'a Path),
    }

    type Watcher = Box<dyn FnMut(Synced<'_>)>;

    thread_local! {
        static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
        static FULL: Cell<bool> = const { Cell::new(false) };
    }

    pub(in super::super) fn set_full(full: bool) {
        FULL.set(full);
    }

    pub(super) fn is_full() -> bool {
        FULL.get()
    }

    pub(in super::super) fn set(watcher: Option<Watcher>) {
        WATCHER.with(|cell| *cell.borrow_mut() = watcher);
    }

    pub(super) fn synced_file(file: &File) {
        tell(Synced::File(file));
    }

    pub(super) fn synced_directory(path: &Path) {
        tell(Synced::Directory(path));
    }

    fn tell(synced: Synced<'_>) {
        WATCHER.with(|cell| {
            if let Some(watcher) = cell.borrow_mut().as_mut() {
                watcher(synced);
            }
        });
    }
}
