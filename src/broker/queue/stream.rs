//! What is in a stream, and what leaves it?
//!
//! A stream is a queue whose messages stay, whoever reads them, until retention drops them at
//! the front: those beyond the length in bytes, and those past their age. Messages are numbered
//! by offsets from 0, in the order in which they came.
//!
//! No record holds an offset. It is the offset of the front plus the place behind it, so the
//! front has to be found again at start: the queue's definition says from which message id on
//! messages count, and which offset the first of them has. The log says that what was dropped is
//! settled only behind the definition that passes over it. A crash in between finds those messages
//! alive, and drops those before that id at once and the others by retention, as before.

use crate::amqp::{Table, TableBuf};
use crate::broker::key::ConsumerKey;
use crate::broker::queue::ready::Ready;
use crate::storage::{Entry, EntryQueue, MessageId, ScratchPool, Store};

/// The messages of one stream.
///
/// Invariants:
/// 1. The message at position `n` of `log` has the offset `first_offset + n`.
/// 2. Every message of the stream with an id below `first_id` was dropped.
/// 3. A reader is in `caught_up` or may be in its queue's line, never in both.
#[derive(Debug)]
pub(in crate::broker) struct Stream {
    log: EntryQueue,
    first_offset: u64,
    first_id: MessageId,
    /// The bodies' bytes of the messages in `log`.
    bytes: u64,
    /// Dropped messages that no definition passes over yet.
    dropped: Ready,
    dropped_bytes: u64,
    /// When the first of them was dropped, in ms since 1970.
    dropped_since_ms: u64,
    /// Readers that have read everything; the next message puts them into the line again.
    caught_up: Vec<ConsumerKey>,
}

/// What [`Stream::retain`] came to.
#[derive(Debug)]
pub(in crate::broker) struct Retained {
    /// They are to be settled, once the queue's definition passes over them.
    pub dropped: Option<Ready>,
    /// When the stream has to be looked at again, in ms since 1970.
    pub wake_at_ms: Option<u64>,
}

/// How many messages of one stream are dropped before the others have their turn.
const DROPPED_AT_A_TIME_MAX: usize = 20_000;

/// So many dropped messages are worth a definition.
const DROPPED_MAX: usize = 16_384;

/// So many bytes of dropped messages are worth a definition.
const DROPPED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Dropped messages keep their space for no longer than this.
pub(in crate::broker) const DROPPED_FOR_MS_MAX: u64 = 1000;

/// The age of messages is looked at no more often than this.
pub(in crate::broker) const AGE_STEP_MS: u64 = 100;

const FIRST_OFFSET: &[u8] = b"first_offset";
const FIRST_ID: &[u8] = b"first_id";

impl Default for Stream {
    fn default() -> Self {
        Self {
            log: EntryQueue::new(),
            first_offset: 0,
            first_id: MessageId(0),
            bytes: 0,
            dropped: Ready::new(0),
            dropped_bytes: 0,
            dropped_since_ms: 0,
            caught_up: Vec::new(),
        }
    }
}

impl Stream {
    /// Adds a message behind all others.
    pub(in crate::broker) fn push(
        &mut self,
        entry: Entry,
        body_bytes: u64,
        scratch: &mut ScratchPool,
    ) {
        self.log.push_back(entry, scratch);
        self.bytes += body_bytes;
    }

    /// Adds a message found at start-up; `false` when the stream had dropped it.
    pub(in crate::broker) fn restore(
        &mut self,
        entry: Entry,
        body_bytes: u64,
        scratch: &mut ScratchPool,
    ) -> bool {
        if entry.id < self.first_id {
            return false;
        }
        self.push(entry, body_bytes, scratch);
        true
    }

    /// The record of a message lies elsewhere now; `false` when the message was dropped.
    pub(in crate::broker) fn relocate(&mut self, entry: Entry, scratch: &mut ScratchPool) -> bool {
        self.log.relocate(entry.id, entry.at, scratch)
    }

    /// Drops the first message, whose body has this many bytes.
    fn drop_front(&mut self, body_bytes: u64, now_ms: u64, scratch: &mut ScratchPool) {
        let Some(entry) = self.log.pop_front(scratch) else {
            return;
        };
        if self.dropped.is_empty() {
            self.dropped_since_ms = now_ms;
        }
        self.first_offset += 1;
        self.first_id = MessageId(entry.id.0 + 1);
        self.bytes -= body_bytes;
        self.dropped.push(entry, 0, scratch);
        self.dropped_bytes += body_bytes;
    }

    /// Takes the dropped messages when they are many or old enough.
    fn take_dropped(&mut self, now_ms: u64) -> Option<Ready> {
        let many = self.dropped.len() >= DROPPED_MAX || self.dropped_bytes >= DROPPED_BYTES_MAX;
        let due = many || now_ms >= self.dropped_since_ms + DROPPED_FOR_MS_MAX;
        if self.dropped.is_empty() || !due {
            return None;
        }
        self.dropped_bytes = 0;
        Some(std::mem::replace(&mut self.dropped, Ready::new(0)))
    }

    /// A reader has read everything there is.
    pub(in crate::broker) fn note_caught_up(&mut self, reader: ConsumerKey) {
        self.caught_up.push(reader);
    }

    /// Strikes off the readers that ended.
    pub(in crate::broker) fn strike_readers(&mut self, is_there: impl Fn(ConsumerKey) -> bool) {
        self.caught_up.retain(|&reader| is_there(reader));
    }

    /// Everything that is to be settled when the stream is deleted.
    pub(in crate::broker) fn into_lines(self) -> [Ready; 2] {
        [self.dropped, Ready::from_entries(self.log)]
    }

    /// Adds to the queue's definition where the stream begins.
    pub(in crate::broker) fn encode_front(&self, definition: &mut TableBuf) {
        let signed = |number| i64::try_from(number).expect("counted up from 0");
        definition.put_i64(FIRST_OFFSET, signed(self.first_offset));
        definition.put_i64(FIRST_ID, signed(self.first_id.0));
    }

    /// Takes from the queue's definition where the stream begins.
    pub(in crate::broker) fn restore_front(&mut self, definition: Table<'_>) {
        let number = |key| {
            let value = definition.find(key).and_then(|value| value.integer());
            value.and_then(|number| u64::try_from(number).ok())
        };
        self.first_offset = number(FIRST_OFFSET).unwrap_or(0);
        self.first_id = MessageId(number(FIRST_ID).unwrap_or(0));
    }

    /// How many messages there are.
    pub(in crate::broker) fn len(&self) -> usize {
        self.log.len()
    }

    /// The offset of the first message, or of the next one when there is none.
    pub(in crate::broker) fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// The offset that the next message gets.
    pub(in crate::broker) fn next_offset(&self) -> u64 {
        self.first_offset + self.log.len() as u64
    }

    /// The message at an offset; `None` when it was dropped or has not come yet.
    #[inline]
    pub(in crate::broker) fn at(&self, offset: u64, scratch: &ScratchPool) -> Option<Entry> {
        let place = offset.checked_sub(self.first_offset)?;
        self.log.at_position(usize::try_from(place).ok()?, scratch)
    }

    /// The bodies' bytes of its messages.
    pub(in crate::broker) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The readers that had read everything until now.
    pub(in crate::broker) fn take_caught_up(&mut self) -> impl Iterator<Item = ConsumerKey> {
        self.caught_up.drain(..)
    }

    /// Drops what the stream holds beyond its length and age; of the messages that are only too
    /// many the last one stays.
    pub(in crate::broker) fn retain(
        &mut self,
        bytes_max: Option<u64>,
        age_seconds_max: Option<u64>,
        now_ms: u64,
        store: &Store,
        scratch: &mut ScratchPool,
    ) -> Retained {
        let age_ms = age_seconds_max.map(|seconds| seconds.saturating_mul(1000));
        let mut budget = DROPPED_AT_A_TIME_MAX;
        let mut wake_at = None;
        while let Some(entry) = self.log.front() {
            let record = store.record(entry.at);
            let ends_at = age_ms.map(|age| record.published_ms().saturating_add(age));
            let is_too_old = ends_at.is_some_and(|at| at <= now_ms);
            let is_too_long = bytes_max.is_some_and(|most| self.bytes > most) && self.log.len() > 1;
            if !is_too_old && !is_too_long {
                wake_at = ends_at.map(|at| at.max(now_ms + AGE_STEP_MS));
                break;
            }
            if budget == 0 {
                wake_at = Some(now_ms + 1);
                break;
            }
            budget -= 1;
            self.drop_front(record.body_bytes(), now_ms, scratch);
        }
        let dropped = self.take_dropped(now_ms);
        if !self.dropped.is_empty() {
            let settled_at = self.dropped_since_ms + DROPPED_FOR_MS_MAX;
            wake_at = Some(wake_at.map_or(settled_at, |at: u64| at.min(settled_at)));
        }
        Retained { dropped, wake_at_ms: wake_at }
    }
}
