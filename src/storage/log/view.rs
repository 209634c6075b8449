//! How is a stored message read? [`Record`] lends its parts from where they lie: the mapping or the
//! append buffer.

use std::cmp::Ordering;

use bytes::Bytes;

use super::ring::Ring;
use crate::storage::file::mapping;
use crate::storage::record::HEAD_BYTES;
use crate::storage::record::message::{Message, Piece, Pieces};
use crate::storage::types::{MessageId, QueueId, RecordRef, SegmentKey, SlotRef};

/// Among more queues than these, one is looked for by halves.
const QUEUES_LOOKED_THROUGH: u32 = 16;

/// A message of the log, read where it lies.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(in crate::storage) ring: &'a Ring,
    pub(in crate::storage) segment: SegmentKey,
    pub(in crate::storage) message: Message<'a>,
}

impl<'a> Record<'a> {
    /// The message's id.
    #[inline]
    pub fn id(&self) -> MessageId {
        self.message.id()
    }

    /// Time of publishing, milliseconds since 1970.
    #[inline]
    pub fn published_ms(&self) -> u64 {
        self.message.published_ms()
    }

    /// When it expires, milliseconds since 1970; 0 is never.
    #[inline]
    pub fn expiry_ms(&self) -> u64 {
        self.message.expiry_ms()
    }

    /// The exchange it was published to.
    #[inline]
    pub fn exchange(&self) -> &'a [u8] {
        self.message.exchange()
    }

    /// The routing key it was published with.
    #[inline]
    pub fn routing_key(&self) -> &'a [u8] {
        self.message.routing_key()
    }

    /// Property flags and list as they came.
    #[inline]
    pub fn properties(&self) -> &'a [u8] {
        self.message.properties()
    }

    /// Exchange, routing key and properties at once.
    #[inline]
    pub fn names_and_properties(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        self.message.names_and_properties()
    }

    /// Length of the body in bytes.
    #[inline]
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.message.body_bytes())
    }

    /// The parts of the body, in their order: one, unless it came in pieces.
    #[inline]
    pub fn body(&self) -> BodyParts<'a> {
        BodyParts {
            ring: self.ring,
            inline: (!self.message.is_large()).then(|| self.message.inline_body()),
            pieces: self.message.pieces(),
        }
    }

    /// A body that is too short to lie in pieces; nothing of one that does.
    #[inline]
    pub fn small_body(&self) -> &'a [u8] {
        self.message.inline_body()
    }

    /// The body, copied into one.
    pub fn body_to_vec(&self) -> Vec<u8> {
        self.body().flatten().copied().collect()
    }

    /// How many queues it went to.
    #[inline]
    pub fn queue_count(&self) -> u32 {
        self.message.queue_count()
    }

    /// The queue of the given index, which is below [`Record::queue_count`].
    #[inline]
    pub fn queue(&self, index: u32) -> QueueId {
        self.message.queue(index)
    }

    /// Which of the message's queues it is; as a rule they stand in order.
    #[inline]
    fn index_of(&self, queue: QueueId) -> Option<u32> {
        let count = self.message.queue_count();
        if count > QUEUES_LOOKED_THROUGH {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low + (high - low) / 2;
                match self.message.queue(middle).cmp(&queue) {
                    Ordering::Less => low = middle + 1,
                    Ordering::Equal => return Some(middle),
                    Ordering::Greater => high = middle,
                }
            }
        }
        (0..count).find(|index| self.message.queue(*index) == queue)
    }

    /// The message's slot in `queue`; `None` when it never went there.
    #[inline]
    pub fn slot_of(&self, queue: QueueId) -> Option<SlotRef> {
        let index = self.index_of(queue)?;
        Some(SlotRef { segment: self.segment, slot: self.message.first_slot() + index })
    }
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Record({:?}, {} bytes)", self.id(), self.body_bytes())
    }
}

/// See [`Record::body`].
pub struct BodyParts<'a> {
    ring: &'a Ring,
    inline: Option<&'a [u8]>,
    pieces: Pieces<'a>,
}

impl<'a> Iterator for BodyParts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(inline) = self.inline.take() {
            return Some(inline);
        }
        self.pieces.next().map(|piece| self.ring.piece(piece))
    }
}

/// The parts of a body as slices of the mapping that keep their segments from being used again.
pub struct SharedBody<'a> {
    ring: &'a Ring,
    inline: Option<Bytes>,
    pieces: Pieces<'a>,
}

impl Iterator for SharedBody<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(inline) = self.inline.take() {
            return Some(inline);
        }
        let piece = self.pieces.next()?;
        let segment = self.ring.segment_of(piece);
        Some(mapping::pinned(&segment.map, piece.offset, piece.offset + piece.bytes))
    }
}

impl Ring {
    /// The message record at `at`, which is alive, from the file or the buffer.
    #[inline]
    pub(in crate::storage) fn message(&self, at: RecordRef) -> Message<'_> {
        Message::at_start_of(self.bytes_from(at))
    }

    /// The content of a piece that somebody holds.
    #[inline]
    pub(in crate::storage) fn piece(&self, piece: Piece) -> &[u8] {
        self.segment_of(piece).map.slice(piece.offset, piece.offset + piece.bytes)
    }

    #[inline]
    pub(in crate::storage) fn segment_of(&self, piece: Piece) -> &super::segment::Segment {
        let index = self.by_sequence.get(&piece.sequence);
        self.segment(*index.expect("the segment of a piece that is held"))
    }

    /// The body of the record at `at` where it lies in the mapping. `None`: it is not in the file
    /// yet.
    pub(in crate::storage) fn shared_body(&self, at: RecordRef) -> Option<SharedBody<'_>> {
        let message = self.message(at);
        let segment = self.segment(at.segment.index());
        let mut inline = None;
        if !message.is_large() {
            if at.offset >= segment.written {
                return None;
            }
            debug_assert!(message.bytes.len() >= HEAD_BYTES);
            let to = at.offset + crate::storage::record::in_file(message.bytes.len());
            inline = Some(mapping::pinned(&segment.map, to - message.body_bytes(), to));
        }
        Some(SharedBody { ring: self, inline, pieces: message.pieces() })
    }
}
