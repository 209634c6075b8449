//! What is published, and what becomes of it?

use crate::storage::record::message::Piece;
use crate::storage::types::{Entry, LogPos, QueueId, RecordRef, SlotRef};

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
    /// [`Store::define`](crate::storage::Store::define). Durable publications only.
    pub defines: Option<(&'a [u8], &'a [u8])>,
}

/// The body of a publication.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Bytes that are copied into the log.
    Inline(&'a [u8]),
    /// What was written before, complete. The record keeps it alive by itself from then on; the
    /// caller still gives its own hold back with
    /// [`Store::abandon`](crate::storage::Store::abandon), whether the append succeeded or not.
    Large(&'a LargeBody),
    /// The body of a record that is alive: copied, or shared when it lies in pieces.
    Of(RecordRef),
}

/// A large body that is written to the log piece by piece, as it arrives. Nothing is reserved for
/// what is still to come. Not `Clone`: whoever has it owes the store one
/// [`Store::abandon`](crate::storage::Store::abandon).
#[derive(Debug)]
#[must_use = "its pieces stay alive until Store::abandon"]
pub struct LargeBody {
    pub(in crate::storage) durable: bool,
    pub(in crate::storage) bytes: u64,
    pub(in crate::storage) arrived: u64,
    /// What arrived in portions too small for a piece, or found no room.
    pub(in crate::storage) waiting: Vec<u8>,
    pub(in crate::storage) pieces: Vec<Piece>,
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
