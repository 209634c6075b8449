//! What is a segment file? Its header, its blocks, its writes and its syncs.
//!
//! The header is written once per life, by the storage helper, and lies within one sector:
//!
//! ```text
//!    0 magic "LEVERETL"   8 version u32   12 zeros   16 file bytes u64   24 salt u64
//!   32 crc32 u32 of what comes before
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::Directory;
use super::witness::Witness;
use crate::storage::record::{u32_at, u64_at};
use crate::storage::types::StorageError;
use crate::sys;

/// Where the records begin.
pub(in crate::storage) const HEADER_BYTES: u32 = 4096;
/// Segment sizes are multiples of this.
pub(in crate::storage) const PAGE_BYTES: u32 = 4096;
/// What the header really takes: less than a sector.
const USED_BYTES: usize = 36;
const MAGIC: [u8; 8] = *b"LEVERETL";
const MAGIC_BEFORE: [u8; 8] = *b"LEVERETS";
pub(in crate::storage) const VERSION: u32 = 1;

/// A segment file that is open for reading and writing.
pub(in crate::storage) struct SegmentFile {
    pub(in crate::storage) file: File,
    pub(in crate::storage) path: PathBuf,
    witness: Option<Arc<dyn Witness>>,
}

/// What the header of a segment file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct Header {
    /// Size of the file.
    pub(in crate::storage) bytes: u32,
    /// What binds records to this life of the file.
    pub(in crate::storage) salt: u64,
}

/// What was found where a header should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum FoundHeader {
    Sound(Header),
    Broken,
}

impl SegmentFile {
    /// Creates a file that has no name yet that counts: see [`SegmentFile::finish`].
    pub(in crate::storage) fn create(directory: &Directory, path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(SegmentFile { file, path, witness: directory.witness.clone() })
    }

    /// Opens a file that is there.
    pub(in crate::storage) fn open(directory: &Directory, path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(SegmentFile { file, path, witness: directory.witness.clone() })
    }

    /// Gives the file real blocks for `bytes`.
    pub(in crate::storage) fn allocate(&self, bytes: u32) -> io::Result<()> {
        if let Some(witness) = &self.witness {
            witness.allocates(&self.path, u64::from(bytes))?;
        }
        sys::allocate_blocks(&self.file, 0, u64::from(bytes))
    }

    /// Writes the slices one behind the other at `offset`.
    pub(in crate::storage) fn write(&self, offset: u32, slices: &[&[u8]]) -> io::Result<()> {
        if let Some(witness) = &self.witness {
            let bytes = slices.concat();
            witness.writes(&self.path, u64::from(offset), &bytes)?;
        }
        let mut at = u64::from(offset);
        if let [one] = slices {
            return self.file.write_all_at(one, at);
        }
        let mut parts: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut left = &mut parts[..];
        while !left.is_empty() {
            match rustix::io::pwritev(&self.file, left, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes everything that was written durable, in a file that still has a name: what is synced
    /// to one that was removed goes with the process.
    ///
    /// # Errors
    /// Final: the kernel may have dropped what it could not write, or the file is gone.
    pub(in crate::storage) fn sync(&self) -> Result<(), StorageError> {
        let wrap = || StorageError::io("syncing", &self.path);
        if let Some(witness) = &self.witness {
            witness.syncs(&self.path).map_err(wrap())?;
        }
        self.file.sync_data().map_err(wrap())?;
        if !sys::has_name(&self.file).map_err(wrap())? {
            return Err(wrap()(io::Error::other("somebody removed the file")));
        }
        Ok(())
    }

    /// Begins another life of the file; durable with [`SegmentFile::sync`].
    pub(in crate::storage) fn write_header(&self, header: Header) -> io::Result<()> {
        let mut page = [0; HEADER_BYTES as usize];
        page[..USED_BYTES].copy_from_slice(&header.encode());
        self.write(0, &[&page])
    }

    /// Gives the file its name, durably.
    pub(in crate::storage) fn finish(
        mut self,
        directory: &Directory,
        path: PathBuf,
    ) -> Result<SegmentFile, StorageError> {
        directory.rename(&self.path, &path)?;
        directory.sync()?;
        self.path = path;
        Ok(self)
    }

    /// The name goes; the file goes with the process.
    pub(in crate::storage) fn unlink(mut self) -> Result<SegmentFile, StorageError> {
        let path = &self.path;
        std::fs::remove_file(path).map_err(StorageError::io("unlinking", path))?;
        self.witness = None;
        Ok(self)
    }
}

impl Header {
    fn encode(self) -> [u8; USED_BYTES] {
        let mut bytes = [0; USED_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&u64::from(self.bytes).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what the file at `path` begins with; it may be shorter than a header.
    ///
    /// # Errors
    /// A sound header of another version, or of the format before this one.
    pub(in crate::storage) fn read(bytes: &[u8], path: &Path) -> Result<FoundHeader, StorageError> {
        if bytes.starts_with(&MAGIC_BEFORE) {
            let directory = path.parent().unwrap_or(path);
            return Err(StorageError::EarlierFormat(directory.to_path_buf()));
        }
        let Some(bytes) = bytes.get(..USED_BYTES) else {
            return Ok(FoundHeader::Broken);
        };
        if bytes[..8] != MAGIC || u32_at(bytes, 32) != crc32fast::hash(&bytes[..32]) {
            return Ok(FoundHeader::Broken);
        }
        let found = u32_at(bytes, 8);
        if found != VERSION {
            return Err(StorageError::UnknownVersion { path: path.to_path_buf(), found });
        }
        let size = u32::try_from(u64_at(bytes, 16)).ok();
        let size = size.filter(|size| *size > HEADER_BYTES && size.is_multiple_of(PAGE_BYTES));
        Ok(match size {
            Some(size) => FoundHeader::Sound(Header { bytes: size, salt: u64_at(bytes, 24) }),
            None => FoundHeader::Broken,
        })
    }
}

impl std::fmt::Debug for SegmentFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SegmentFile({})", self.path.display())
    }
}
