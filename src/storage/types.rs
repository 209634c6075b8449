//! What are the words of the message log? The ids, positions, requests and answers that the rest
//! of the broker uses to talk to it. Plain values; imports nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::witness::Witness;
use super::helper::Gate;
use super::log::view::Record;
use super::record::message::Piece;

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

/// How to open a [`Store`](super::Store).
pub struct StoreOptions {
    /// Where the segments lie; created when it is missing. The store does not lock it.
    pub directory: PathBuf,
    /// Size of a new segment file in bytes: a multiple of 4096, at least 64 KiB.
    pub segment_bytes: u32,
    /// Who does what waits for the disk.
    pub helper: HelperMode,
    /// Whether a log with messages and without any definition is refused, before anything in it is
    /// changed: files are missing.
    pub needs_definitions: bool,
    /// What a test sees of every write and sync, and may refuse.
    pub witness: Option<Arc<dyn Witness>>,
    /// Is told while the log is read at start.
    pub progress: Option<Box<dyn FnMut(RecoveryProgress)>>,
}

/// How much of the log was read at start.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryProgress {
    /// Bytes of segment files.
    pub done_bytes: u64,
    /// All of them.
    pub total_bytes: u64,
}

impl StoreOptions {
    /// The default size of a segment in bytes.
    pub const SEGMENT_BYTES: u32 = 16 << 20;

    /// Options with which nobody looks on.
    pub fn new(directory: &Path, segment_bytes: u32, helper: HelperMode) -> StoreOptions {
        StoreOptions {
            directory: directory.to_path_buf(),
            segment_bytes,
            helper,
            needs_definitions: false,
            witness: None,
            progress: None,
        }
    }
}

/// Who does what would make the loop wait for the disk.
pub enum HelperMode {
    /// A thread; `wake` is called from it after each answer.
    Thread {
        /// Wakes the loop so that it takes the answers.
        wake: Box<dyn Fn() + Send>,
    },
    /// A thread that a test can hold back.
    ThreadGated {
        /// Wakes the loop so that it takes the answers.
        wake: Box<dyn Fn() + Send>,
        /// What holds it back.
        gate: Gate,
    },
    /// Nobody: the owner calls [`Store::run_helper`](super::Store::run_helper).
    Manual,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Which ring.
    pub durable: bool,
    /// At most 255 bytes.
    pub exchange: &'a [u8],
    /// At most 255 bytes.
    pub routing_key: &'a [u8],
    /// Property flags and list as they came.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
    /// Time of publishing, milliseconds since 1970.
    pub published_ms: u64,
    /// When it expires, milliseconds since 1970; 0 is never.
    pub expiry_ms: u64,
    /// What the slots start with: how often a moved message was delivered already.
    pub deliveries: u8,
    /// Each gets a slot, in this order.
    pub queues: &'a [QueueId],
    /// The slot that is settled in the same step: a move. Such a publication may take the last
    /// spare segment.
    pub replaces: Option<SlotRef>,
    /// Key and payload of a definition that lasts exactly if the message does; see
    /// [`Store::define`](super::Store::define). Durable publications only.
    pub defines: Option<(&'a [u8], &'a [u8])>,
}

/// The body of a publication.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Bytes that are copied into the log.
    Inline(&'a [u8]),
    /// What was written before, complete. The record keeps it alive by itself from then on; the
    /// caller still gives its own hold back with [`Store::abandon`](super::Store::abandon),
    /// whether the append succeeded or not.
    Large(&'a LargeBody),
    /// The body of a record that is alive: copied, or shared when it lies in pieces.
    Of(RecordRef),
}

/// A large body that is written to the log piece by piece, as it arrives. Nothing is reserved for
/// what is still to come. Not `Clone`: whoever has it owes the store one
/// [`Store::abandon`](super::Store::abandon).
#[derive(Debug)]
#[must_use = "its pieces stay alive until Store::abandon"]
pub struct LargeBody {
    pub(super) durable: bool,
    pub(super) bytes: u64,
    pub(super) arrived: u64,
    /// What arrived in portions too small for a piece, or found no room.
    pub(super) waiting: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
}

impl LargeBody {
    /// Whether its pieces lie in the durable ring.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Announced size in bytes.
    pub fn body_bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes are still to come.
    pub fn missing_bytes(&self) -> u64 {
        self.bytes - self.arrived
    }

    /// Whether everything has arrived.
    pub fn is_complete(&self) -> bool {
        self.arrived == self.bytes
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// For the queues.
    pub entry: Entry,
    /// Slot of `queues[0]`; that of `queues[i]` is `i` further.
    pub first_slot: SlotRef,
    /// What a confirm waits for; [`LogPos::START`] in the transient ring.
    pub position: LogPos,
}

impl Appended {
    /// The slot of `queues[index]`.
    pub fn slot(&self, index: u32) -> SlotRef {
        SlotRef { segment: self.first_slot.segment, slot: self.first_slot.slot + index }
    }
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
    /// There are messages, and nothing says what they are in: files are missing.
    NoDefinitions {
        /// The directory.
        path: PathBuf,
        /// How many (record, queue) pairs there are.
        messages: u64,
        /// What cannot be read.
        damaged: Vec<Damage>,
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
            StorageError::NoDefinitions { path, messages, damaged } => {
                let path = path.display();
                write!(
                    out,
                    "{path} names no vhost and no user, although it holds {messages} messages: \
                     put the missing or damaged segment files back, or move the directory away \
                     to begin anew"
                )?;
                damaged.iter().try_for_each(|damage| write!(out, "; {damage}"))
            }
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
            | StorageError::NoDefinitions { .. }
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

/// A live (record, queue) pair that was found at start.
#[derive(Clone, Copy, Debug)]
pub struct Recovered<'a> {
    /// For the queue.
    pub entry: Entry,
    /// Its slot.
    pub slot: SlotRef,
    /// The queue.
    pub queue: QueueId,
    /// How often it was delivered; at least 1 after an unclean stop.
    pub deliveries: u8,
    /// The record.
    pub record: Record<'a>,
}

/// What a call of [`Store::compact`](super::Store::compact) came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compaction {
    /// Nothing is worth the effort.
    #[default]
    Idle,
    /// There may be more to do at once.
    Busy,
    /// It goes on once a sync has returned or a segment is ready.
    Waiting,
}

/// A (record, queue) pair that compaction copied to the end of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relocated {
    /// The queue.
    pub queue: QueueId,
    /// The message as before, and where its record lies now.
    pub entry: Entry,
    /// The slot as it was: not valid any more.
    pub old: SlotRef,
    /// The slot as it is.
    pub slot: SlotRef,
}

/// What was found at start.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Segment files of the durable ring.
    pub segments: usize,
    /// Live (record, queue) pairs.
    pub messages: u64,
    /// Bytes of records that were read and checked.
    pub bytes: u64,
    /// What should have been there and is not, in the order of the log.
    pub damaged: Vec<Damage>,
    /// Something may be missing that was durable once: damage was found, now or at an earlier start
    /// whose evidence (`*.damaged`) is still there.
    pub may_lack_some: bool,
    /// Whether the last run ended in an orderly way.
    pub clean: bool,
    /// The last durable mark that was found: what lies before it was durable, what lies past it may
    /// be torn.
    pub durable: LogPos,
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
