//! Which segments does a directory hold? Reads headers and chain records only, and decides from
//! them which segments cannot count.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::storage::file::directory::Directory;
use crate::storage::file::segment::{FoundHeader, HEADER_BYTES, Header};
use crate::storage::record::{self, CHAIN_BYTES, Chain};
use crate::storage::types::StorageError;

/// A segment file that begins with a chain record.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    /// Size as the header says.
    pub(super) bytes: u32,
    /// Size of the file, where that is less.
    pub(super) readable_bytes: u32,
    pub(super) chain: Chain,
    /// It stands between a segment and the one that this one says was before it: the log ended
    /// before it, once, and went on elsewhere.
    pub(super) is_void: bool,
}

/// What was found.
pub(super) struct Files {
    pub(super) directory: Directory,
    /// By sequence number.
    pub(super) candidates: Vec<Candidate>,
    /// Files with a header and nothing of this life behind it.
    pub(super) spares: Vec<u64>,
    /// Files whose header cannot be read.
    pub(super) broken: Vec<u64>,
    sizes: Vec<(u64, u64)>,
    pub(super) next_number: u64,
}

impl Files {
    pub(super) fn find(directory: &Directory) -> Result<Files, StorageError> {
        let mut files = Files {
            directory: directory.clone(),
            candidates: Vec::new(),
            spares: Vec::new(),
            broken: Vec::new(),
            sizes: Vec::new(),
            next_number: 1,
        };
        for number in directory.open()? {
            files.look_at(number)?;
        }
        files.next_number = directory.highest_number()? + 1;
        files.candidates.sort_by_key(|candidate| candidate.chain.sequence);
        files.mark_void();
        Ok(files)
    }

    fn look_at(&mut self, number: u64) -> Result<(), StorageError> {
        let path = self.directory.segment(number);
        let file = File::open(&path).map_err(StorageError::io("opening", &path))?;
        let size = file.metadata().map_err(StorageError::io("reading", &path))?.len();
        self.sizes.push((number, size));
        let mut begin = [0; HEADER_BYTES as usize + CHAIN_BYTES];
        let read = read_up_to(&file, &mut begin, 0);
        let read = read.map_err(StorageError::io("reading", &path))?;
        let FoundHeader::Sound(Header { bytes, salt }) = Header::read(&begin[..read], &path)?
        else {
            self.broken.push(number);
            return Ok(());
        };
        let first = begin[..read].get(HEADER_BYTES as usize..).unwrap_or_default();
        let chain = record::read(first, salt, HEADER_BYTES).and_then(record::Frame::chain);
        let Some(chain) = chain else {
            self.spares.push(number);
            return Ok(());
        };
        let readable_bytes = u32::try_from(size).unwrap_or(bytes).min(bytes);
        self.candidates.push(Candidate {
            number,
            path,
            salt,
            bytes,
            readable_bytes,
            chain,
            is_void: false,
        });
        Ok(())
    }

    fn mark_void(&mut self) {
        let mut least_before = u64::MAX;
        for candidate in self.candidates.iter_mut().rev() {
            candidate.is_void = least_before < candidate.chain.sequence;
            least_before = least_before.min(candidate.chain.before);
        }
    }

    /// The number of the next segment of the log.
    pub(super) fn next_sequence(&self) -> u64 {
        self.candidates.last().map_or(1, |candidate| candidate.chain.sequence + 1)
    }

    /// Size of a file.
    pub(super) fn bytes_of(&self, number: u64) -> u64 {
        let found = self.sizes.binary_search_by_key(&number, |(number, _)| *number);
        found.map_or(0, |n| self.sizes[n].1)
    }
}

/// Reads as much as there is; says how much.
pub(super) fn read_up_to(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
