//! Which files does the log have? Names, listing, and all that changes a directory.
//!
//! `NNNNNNNN.segment` is a segment file; numbers are never used twice. `*.new` was not finished
//! and goes at the next start. `*.damaged` was a segment in which damage was found and in which
//! nothing is alive any more: it is kept for whoever wants to look, and never read again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::witness::Witness;
use crate::storage::types::StorageError;
use crate::sys;

/// A directory of segment files.
#[derive(Clone)]
pub(in crate::storage) struct Directory {
    pub(in crate::storage) path: PathBuf,
    pub(in crate::storage) witness: Option<Arc<dyn Witness>>,
    /// See [`Mapping`](super::mapping::Mapping).
    pub(in crate::storage) reads_ahead: bool,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(in crate::storage) struct Listing {
    /// Numbers of the segment files, sorted.
    pub(in crate::storage) segments: Vec<u64>,
    /// The highest number that any file of the log has or had, `*.damaged` included.
    pub(in crate::storage) highest: u64,
    /// A segment in which damage was found is still kept.
    pub(in crate::storage) has_evidence: bool,
}

/// Files that the format before this one had.
const EARLIER_FILES: [&str; 2] = ["clean", "definitions"];

impl Directory {
    /// Makes the directory if it is missing, removes what was not finished, and lists the rest.
    pub(in crate::storage) fn open(&self) -> Result<Listing, StorageError> {
        fs::create_dir_all(&self.path).map_err(StorageError::io("making", &self.path))?;
        for name in EARLIER_FILES {
            if self.path.join(name).exists() {
                return Err(StorageError::EarlierFormat(self.path.clone()));
            }
        }
        let read = || StorageError::io("listing", &self.path);
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path).map_err(read())? {
            let path = entry.map_err(read())?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("segment") => listing.segments.extend(number_in(&path)),
                Some("damaged") => {
                    listing.has_evidence = true;
                    listing.highest = listing.highest.max(number_in(&path).unwrap_or(0));
                }
                Some("new") => self.remove(&path)?,
                Some(_) | None => {}
            }
        }
        listing.segments.sort_unstable();
        listing.highest = listing.highest.max(listing.segments.last().copied().unwrap_or(0));
        Ok(listing)
    }

    /// The name of a segment file.
    pub(in crate::storage) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.segment"))
    }

    /// The name of a segment file of the transient ring, as long as it has one.
    pub(in crate::storage) fn transient(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.transient.new"))
    }

    /// Gives a file another name; durable with [`Directory::sync`].
    pub(in crate::storage) fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        fs::rename(from, to).map_err(StorageError::io("renaming to", to))?;
        if let Some(witness) = &self.witness {
            witness.renamed(from, to);
        }
        Ok(())
    }

    /// Removes a file. If somebody was faster, that is what we want.
    pub(in crate::storage) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("removing", path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        if let Some(witness) = &self.witness {
            witness.removed(path);
        }
        Ok(())
    }

    /// Makes the names durable.
    pub(in crate::storage) fn sync(&self) -> Result<(), StorageError> {
        let wrap = || StorageError::io("syncing directory", &self.path);
        if let Some(witness) = &self.witness {
            witness.syncs_directory(&self.path).map_err(wrap())?;
        }
        sys::sync_directory(&self.path).map_err(wrap())
    }
}

fn number_in(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Directory({})", self.path.display())
    }
}
