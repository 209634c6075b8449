//! What are the words of the message log? The ids, positions and errors that all of it uses, and
//! the rest of the broker to talk to it. Plain values; imports nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Grows with every publish; what queues are sorted by. Never repeats, also after a restart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub u64);

/// A queue as the log knows it. Never repeats, also after a restart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueueId(pub u64);

/// A segment: the top bit says transient ring, the rest is its index in the ring's table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SegmentKey(pub u32);

impl SegmentKey {
    const TRANSIENT: u32 = 1 << 31;

    pub(super) fn new(durable: bool, index: u32) -> SegmentKey {
        debug_assert!(index < SegmentKey::TRANSIENT);
        SegmentKey(if durable { index } else { index | SegmentKey::TRANSIENT })
    }

    /// Whether the segment belongs to the ring that survives.
    #[inline]
    pub fn is_durable(self) -> bool {
        self.0 & SegmentKey::TRANSIENT == 0
    }

    #[inline]
    pub(super) fn index(self) -> u32 {
        self.0 & !SegmentKey::TRANSIENT
    }
}

/// Where a record lies. Valid as long as one of the record's slots is not settled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordRef {
    /// The segment.
    pub segment: SegmentKey,
    /// Byte offset in it.
    pub offset: u32,
}

/// The delivery state of one record in one queue.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotRef {
    /// The segment.
    pub segment: SegmentKey,
    /// Number of the slot in it.
    pub slot: u32,
}

/// A position in the durable log; it only grows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogPos {
    /// Sequence number of the segment.
    pub sequence: u64,
    /// Byte offset in it.
    pub offset: u32,
}

impl LogPos {
    /// Before everything: what needs no sync waits for this.
    pub const START: LogPos = LogPos { sequence: 0, offset: 0 };
}

impl fmt::Display for LogPos {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "byte {} of segment {}", self.offset, self.sequence)
    }
}

/// What a queue holds of a message: 16 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The message.
    pub id: MessageId,
    /// Where its record lies.
    pub at: RecordRef,
}

/// Why a publication was not taken. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AppendError {
    /// No spare segment and none to be had: the disk is full, or the store has failed.
    Full,
    /// The record does not fit into a segment (its body may: that is cut into pieces), or a name
    /// is longer than 255 bytes.
    TooLarge,
}

impl fmt::Display for AppendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            AppendError::Full => "there is no space left in the message log",
            AppendError::TooLarge => "the message is too large for the message log",
        })
    }
}

impl std::error::Error for AppendError {}

/// A failure that ends the process: nothing that waits for the log may be confirmed any more.
#[derive(Debug)]
pub enum StorageError {
    /// A system call failed.
    Io {
        /// What we were doing, for example "syncing".
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file has a format that this version does not know.
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The directory holds files of the format before this one.
    EarlierFormat(PathBuf),
    /// The log does not hold what [`StoreOptions::is_usable`](super::StoreOptions) asks for.
    Unusable {
        /// The directory.
        path: PathBuf,
        /// How many (record, queue) pairs there are.
        messages: u64,
        /// What cannot be read.
        damaged: Vec<Damage>,
    },
    /// Two files say that they are the same part of the log.
    Twice {
        /// One file.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The options cannot be.
    Options(&'static str),
    /// The storage helper's thread is gone.
    HelperGone,
    /// The store has failed before; the first error said why.
    AlreadyFailed,
}

impl StorageError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        move |source| StorageError::Io { doing, path: path.to_path_buf(), source }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Io { doing, path, source } => {
                write!(out, "{doing} {}: {source}", path.display())
            }
            StorageError::UnknownVersion { path, found } => write!(
                out,
                "{} has format version {found}, which this version of the broker does not know",
                path.display()
            ),
            StorageError::EarlierFormat(path) => write!(
                out,
                "{} was written by an earlier version of the broker, whose format this one does \
                 not read; move the directory away to begin anew, or drain it with that version",
                path.display()
            ),
            StorageError::Unusable { path, messages, damaged } => {
                let path = path.display();
                write!(
                    out,
                    "{path} with {messages} messages lacks what it needs: put the missing or \
                     damaged segment files back"
                )?;
                damaged.iter().try_for_each(|damage| write!(out, "; {damage}"))
            }
            StorageError::Twice { path, other } => write!(
                out,
                "{} and {} are the same part of the log; move the copy to another directory",
                path.display(),
                other.display()
            ),
            StorageError::Options(what) => write!(out, "storage options: {what}"),
            StorageError::HelperGone => out.write_str("the storage helper's thread is gone"),
            StorageError::AlreadyFailed => out.write_str("the message log has failed before"),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StorageError::Io { source, .. } => Some(source),
            StorageError::UnknownVersion { .. }
            | StorageError::EarlierFormat(_)
            | StorageError::Unusable { .. }
            | StorageError::Twice { .. }
            | StorageError::Options(_)
            | StorageError::HelperGone
            | StorageError::AlreadyFailed => None,
        }
    }
}

/// What the helper's answers changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Answers {
    /// [`Store::durable`](super::Store::durable) moved: confirms may be released.
    pub durable_moved: bool,
    /// A spare segment became ready, or none could be had.
    pub space_changed: bool,
}

/// Figures for the operator; they only grow, except where it says so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreCounters {
    /// Bytes written to both rings by the loop.
    pub bytes_written: u64,
    /// Write calls of the loop.
    pub writes: u64,
    /// Syncs that returned.
    pub syncs: u64,
    /// How long the last sync took in nanoseconds.
    pub sync_nanos_last: u64,
    /// How long all syncs took in nanoseconds.
    pub sync_nanos_total: u64,
    /// Messages appended.
    pub messages: u64,
    /// (Record, queue) pairs that compaction copied.
    pub relocated: u64,
    /// Segments of the durable ring that hold records; goes up and down.
    pub segments_used: usize,
    /// Segments of the durable ring that are ready to be written; goes up and down.
    pub segments_spare: usize,
    /// Segments of the durable ring that wait for reuse; goes up and down.
    pub segments_free: usize,
    /// Segments of the transient ring; goes up and down.
    pub segments_transient: usize,
}

/// A part of a file that holds what was durable once and cannot be read any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file; it is left as it is.
    pub path: PathBuf,
    /// Where the damage begins, in bytes.
    pub offset: u64,
    /// How many bytes from there on were left out; 0 at offset 0: the segment is missing.
    pub skipped_bytes: u64,
    /// Of a missing segment: the files of which nothing tells which segment they were. They are
    /// left as they are.
    pub may_be: Vec<PathBuf>,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, offset, skipped_bytes, may_be } = self;
        let path = path.display();
        if (*offset, *skipped_bytes) == (0, 0) {
            write!(out, "{path} is missing")?;
            for (n, file) in may_be.iter().enumerate() {
                let before =
                    if n == 0 { "; it may be one of these, which are left alone:" } else { "," };
                write!(out, "{before} {}", file.display())?;
            }
            return Ok(());
        }
        write!(out, "{path} is damaged at byte {offset}; {skipped_bytes} bytes were skipped, ")?;
        out.write_str("the file is kept as it is")
    }
}
