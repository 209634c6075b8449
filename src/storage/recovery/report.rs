//! What does a start say of the log that it found?

use crate::storage::log::view::Record;
use crate::storage::types::{Damage, Entry, LogPos, QueueId, SlotRef};

/// How much of the log was read at start.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryProgress {
    /// Bytes of segment files.
    pub done_bytes: u64,
    /// All of them.
    pub total_bytes: u64,
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
