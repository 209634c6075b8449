//! What does the storage helper do? Its jobs, each of at most one sync of a file and one of a
//! directory (a sync: of the files of its batch), and what comes of them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::storage::file::directory::Directory;
use crate::storage::file::mapping::Mapping;
use crate::storage::file::segment::{Header, SegmentFile};
use crate::storage::types::StorageError;
use crate::sys;

/// Something to do.
#[derive(Debug)]
pub(in crate::storage) enum Job {
    Sync(SyncJob),
    Make(MakeJob),
    Remove(RemoveJob),
    Release(Release),
}

/// Makes files durable.
#[derive(Debug)]
pub(in crate::storage) struct SyncJob {
    pub(in crate::storage) number: u64,
    pub(in crate::storage) files: Vec<Arc<SegmentFile>>,
}

/// Makes a file ready for its next life: a new one, or one that is free. Its header, with a salt
/// of its own, is durable before the loop hears of it.
#[derive(Debug)]
pub(in crate::storage) struct MakeJob {
    /// In which ring: files of the transient one have no header and no name.
    pub(in crate::storage) durable: bool,
    pub(in crate::storage) number: u64,
    pub(in crate::storage) bytes: u32,
    pub(in crate::storage) directory: Directory,
    pub(in crate::storage) stage: MakeStage,
}

/// How far a file is.
#[derive(Debug)]
pub(in crate::storage) enum MakeStage {
    /// It does not exist.
    New,
    /// It is there, and free.
    Free,
}

impl MakeJob {
    /// Whether the file takes space that it did not have before.
    pub(in crate::storage) fn is_new(&self) -> bool {
        matches!(self.stage, MakeStage::New)
    }
}

/// Takes a file out of the ring.
#[derive(Debug)]
pub(in crate::storage) struct RemoveJob {
    pub(in crate::storage) number: u64,
    pub(in crate::storage) directory: Directory,
    pub(in crate::storage) kind: RemoveKind,
}

/// How a file leaves the ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum RemoveKind {
    Unlink,
    /// Damage was found in it: it is kept under another name.
    KeepAsDamaged,
}

/// Memory and handles whose release takes a while.
#[derive(Debug)]
pub(in crate::storage) enum Release {
    /// The mapping goes, and the file with it when it has no name.
    Segment(Arc<Mapping>, Option<Arc<SegmentFile>>),
    /// The mapping stays; its pages are read again when they are wanted.
    Pages(Arc<Mapping>),
    /// What the allocator holds and nobody uses.
    Heap,
}

/// What was done.
#[derive(Debug)]
pub(in crate::storage) enum Answer {
    Synced {
        number: u64,
        nanos: u64,
    },
    Made {
        durable: bool,
        segment: NewSegment,
    },
    /// There is no space for the file that was to be made, or no handle; a free one is still free.
    NoSpace {
        durable: bool,
        free: Option<u64>,
        error: io::Error,
    },
    Removed,
    Released,
    /// The disk failed: the end.
    Failed(StorageError),
}

/// A segment file that is ready for its first record.
#[derive(Debug)]
pub(in crate::storage) struct NewSegment {
    pub(in crate::storage) number: u64,
    pub(in crate::storage) file: Arc<SegmentFile>,
    pub(in crate::storage) map: Arc<Mapping>,
    pub(in crate::storage) header: Header,
}

/// Does a job.
pub(in crate::storage) fn run(job: Job) -> Answer {
    let result = match job {
        Job::Sync(sync) => run_sync(&sync),
        Job::Make(make) => run_make(make),
        Job::Remove(remove) => run_remove(&remove),
        Job::Release(release) => {
            run_release(release);
            Ok(Answer::Released)
        }
    };
    result.unwrap_or_else(Answer::Failed)
}

/// What a test asked for with [`Gate::fail_next_sync`](super::Gate) or its like.
pub(in crate::storage) fn failed_sync(sync: &SyncJob) -> Answer {
    let path = sync.files.first().map(|file| file.path.clone()).unwrap_or_default();
    let source = io::Error::other("a failure that a test asked for");
    Answer::Failed(StorageError::Io { doing: "syncing", path, source })
}

/// What a test asked for with [`Gate::fill_disk`](super::Gate).
pub(in crate::storage) fn found_no_space(make: &MakeJob) -> Answer {
    let error = io::ErrorKind::StorageFull.into();
    Answer::NoSpace { durable: make.durable, free: None, error }
}

// The only clock of the storage: how long a sync took is a figure for the operator and decides
// nothing.
#[allow(clippy::disallowed_methods)]
fn run_sync(sync: &SyncJob) -> Result<Answer, StorageError> {
    let begin = Instant::now();
    for file in &sync.files {
        file.sync()?;
    }
    let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(Answer::Synced { number: sync.number, nanos })
}

/// Makes a segment file at once, for the start of the store.
pub(in crate::storage) fn make_now(make: MakeJob) -> Result<NewSegment, MakeError> {
    match run_make(make).map_err(MakeError::Fatal)? {
        Answer::Made { segment, .. } => Ok(segment),
        Answer::NoSpace { error, .. } => Err(MakeError::NoSpace(error)),
        Answer::Synced { .. } | Answer::Removed | Answer::Released | Answer::Failed(_) => {
            unreachable!("a make job has no other outcome")
        }
    }
}

/// Why a segment could not be made.
#[derive(Debug)]
pub(in crate::storage) enum MakeError {
    /// An ordinary state: no space, no file handle. Nothing is left behind.
    NoSpace(io::Error),
    /// The disk failed.
    Fatal(StorageError),
}

fn run_make(make: MakeJob) -> Result<Answer, StorageError> {
    let MakeJob { durable, number, bytes, directory, stage } = make;
    let is_free = matches!(stage, MakeStage::Free);
    let no_space = |error| Ok(Answer::NoSpace { durable, free: is_free.then_some(number), error });
    match stage {
        MakeStage::New => match allocate(durable, number, bytes, &directory) {
            Ok(file) if durable => finish(&directory, durable, number, bytes, file),
            Ok(file) => finish(&directory, durable, number, bytes, file.unlink()?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The directory is gone.
                Err(StorageError::io("making", &directory.segment(number))(error))
            }
            Err(error) => no_space(error),
        },
        MakeStage::Free => {
            let opened = SegmentFile::open(&directory, directory.segment(number));
            match opened {
                Ok(file) => finish(&directory, durable, number, bytes, file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(StorageError::io("opening", &directory.segment(number))(error))
                }
                Err(error) => no_space(error),
            }
        }
    }
}

fn allocate(
    durable: bool,
    number: u64,
    bytes: u32,
    directory: &Directory,
) -> io::Result<SegmentFile> {
    let segment = directory.segment(number);
    let path = if durable { segment.with_extension("new") } else { directory.transient(number) };
    let file = SegmentFile::create(directory, path)?;
    match file.allocate(bytes) {
        Ok(()) => Ok(file),
        Err(error) => {
            // What is left of it is removed at the next start if this fails, too.
            drop(directory.remove(&file.path));
            Err(error)
        }
    }
}

/// Header, name, mapping.
fn finish(
    directory: &Directory,
    durable: bool,
    number: u64,
    bytes: u32,
    file: SegmentFile,
) -> Result<Answer, StorageError> {
    let path = directory.segment(number);
    let is_free = file.path == path;
    let map = match Mapping::new(&file.file, bytes, directory.reads_ahead) {
        Ok(map) => map,
        Err(error) => {
            if durable && !is_free {
                directory.remove(&file.path)?;
            }
            let free = is_free.then_some(number);
            return Ok(Answer::NoSpace { durable, free, error });
        }
    };
    let mut header = Header { bytes, salt: 0 };
    let mut file = file;
    if durable {
        header.salt = random_salt();
        file.write_header(header).map_err(StorageError::io("writing", &file.path))?;
        file.sync()?;
        if !is_free {
            file = file.finish(directory, path)?;
        }
    }
    let segment = NewSegment { number, file: Arc::new(file), map, header };
    Ok(Answer::Made { durable, segment })
}

fn random_salt() -> u64 {
    getrandom::u64().expect("the system has random numbers")
}

fn run_remove(remove: &RemoveJob) -> Result<Answer, StorageError> {
    let path = remove.directory.segment(remove.number);
    match remove.kind {
        RemoveKind::Unlink => remove.directory.remove(&path)?,
        RemoveKind::KeepAsDamaged => {
            remove.directory.rename(&path, &path.with_extension("damaged"))?;
        }
    }
    remove.directory.sync()?;
    Ok(Answer::Removed)
}

fn run_release(release: Release) {
    match release {
        Release::Segment(map, file) => drop((map, file)),
        Release::Heap => sys::release_unused_memory(),
        Release::Pages(map) => {
            if let Err(error) = map.release_pages() {
                log::debug!("giving pages back: {error}");
            }
        }
    }
}
