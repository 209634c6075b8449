//! How is a record written? Drafts of messages and the bytes of all other kinds, the crc still 0:
//! see `record::seal`. No files, no state.

use super::record::{
    ALIGN, END_BYTES, End, FLAG_PARKED, FLAG_RELOCATED, FLAG_REPLACES, Kind, MARK_BYTES,
    MESSAGE_BYTES, Mark, OLD_SLOT_BYTES, OldSlot, PLACE_BYTES, Place, SPACE_BYTES,
    TRANSACTION_BYTES, padded,
};
use super::types::{MessageId, QueueId};

/// The body of a record that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum DraftBody<'a> {
    Inline(&'a [u8]),
    Parked { place: Place, bytes: u32 },
}

/// A message record that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    pub(super) exchange: &'a [u8],
    pub(super) routing_key: &'a [u8],
    pub(super) properties: &'a [u8],
    pub(super) body: DraftBody<'a>,
    pub(super) published_ms: u64,
    pub(super) expiry_ms: u64,
    pub(super) queues: &'a [QueueId],
    pub(super) replaces: Option<OldSlot>,
    /// The id is older than those of the records before it.
    pub(super) relocated: bool,
}

impl Draft<'_> {
    /// Length of the record without padding; `None`: it cannot be written.
    #[inline]
    pub(super) fn record_bytes(&self) -> Option<u32> {
        if self.exchange.len() > 255
            || self.routing_key.len() > 255
            || self.queues.len() > usize::from(u16::MAX)
        {
            return None;
        }
        let mut bytes = MESSAGE_BYTES
            + 4 * self.queues.len()
            + self.exchange.len()
            + self.routing_key.len()
            + self.properties.len();
        if self.replaces.is_some() {
            bytes += OLD_SLOT_BYTES;
        }
        bytes += match self.body {
            DraftBody::Inline(body) => body.len(),
            DraftBody::Parked { .. } => PLACE_BYTES,
        };
        u32::try_from(bytes).ok().filter(|bytes| *bytes < u32::MAX - 4096)
    }

    /// Appends the record and its padding to `out`, the crc still 0. `bytes` is
    /// [`Draft::record_bytes`].
    #[inline]
    pub(super) fn encode(&self, out: &mut Vec<u8>, bytes: u32, id: MessageId, first_slot: u32) {
        let begin = out.len();
        out.reserve(padded(bytes as usize));
        let (body_bytes, parked) = match self.body {
            DraftBody::Inline(body) => (body.len(), 0),
            DraftBody::Parked { bytes, .. } => (bytes as usize, FLAG_PARKED),
        };
        let mut flags = parked;
        if self.replaces.is_some() {
            flags |= FLAG_REPLACES;
        }
        if self.relocated {
            flags |= FLAG_RELOCATED;
        }
        let mut head = [0; MESSAGE_BYTES];
        head[0..4].copy_from_slice(&bytes.to_le_bytes());
        head[8] = Kind::Message.number();
        head[9] = flags;
        head[10..12].copy_from_slice(&narrow_u16(self.queues.len()).to_le_bytes());
        head[12..16].copy_from_slice(&first_slot.to_le_bytes());
        head[16..24].copy_from_slice(&id.0.to_le_bytes());
        head[24..32].copy_from_slice(&self.published_ms.to_le_bytes());
        head[32..40].copy_from_slice(&self.expiry_ms.to_le_bytes());
        head[40..44].copy_from_slice(&narrow_u32(self.properties.len()).to_le_bytes());
        head[44..48].copy_from_slice(&narrow_u32(body_bytes).to_le_bytes());
        head[48] = narrow_u8(self.exchange.len());
        head[49] = narrow_u8(self.routing_key.len());
        out.extend_from_slice(&head);
        for queue in self.queues {
            out.extend_from_slice(&queue.0.to_le_bytes());
        }
        if let Some(old) = self.replaces {
            push_old_slot(out, old);
        }
        if let DraftBody::Parked { place, .. } = self.body {
            out.extend_from_slice(&place.sequence.to_le_bytes());
            out.extend_from_slice(&place.offset.to_le_bytes());
            out.extend_from_slice(&place.crc.to_le_bytes());
        }
        out.extend_from_slice(self.exchange);
        out.extend_from_slice(self.routing_key);
        out.extend_from_slice(self.properties);
        if let DraftBody::Inline(body) = self.body {
            out.extend_from_slice(body);
        }
        debug_assert_eq!(out.len() - begin, bytes as usize);
        pad(out);
    }
}

/// Begins a transaction record of `bytes` in all; the message records follow.
pub(super) fn encode_transaction(out: &mut Vec<u8>, bytes: u32, messages: u32, old: &[OldSlot]) {
    let mut head = [0; TRANSACTION_BYTES];
    head[0..4].copy_from_slice(&bytes.to_le_bytes());
    head[8] = Kind::Transaction.number();
    head[12..16].copy_from_slice(&messages.to_le_bytes());
    head[16..20].copy_from_slice(&narrow_u32(old.len()).to_le_bytes());
    out.extend_from_slice(&head);
    for &slot in old {
        push_old_slot(out, slot);
    }
    pad(out);
}

/// Appends a space record, the crc still 0; the content has its place in the file behind it.
pub(super) fn encode_space(out: &mut Vec<u8>, content_bytes: u32) {
    let mut head = [0; SPACE_BYTES];
    head[0..4].copy_from_slice(&narrow_u32(SPACE_BYTES).to_le_bytes());
    head[8] = Kind::Space.number();
    head[12..16].copy_from_slice(&content_bytes.to_le_bytes());
    out.extend_from_slice(&head);
}

/// Appends a mark record, the crc still 0.
pub(super) fn encode_mark(out: &mut Vec<u8>, mark: Mark) {
    let mut head = [0; MARK_BYTES];
    head[0..4].copy_from_slice(&narrow_u32(MARK_BYTES).to_le_bytes());
    head[8] = Kind::Mark.number();
    head[12..16].copy_from_slice(&mark.durable.offset.to_le_bytes());
    head[16..24].copy_from_slice(&mark.durable.sequence.to_le_bytes());
    head[24..32].copy_from_slice(&mark.next_message.to_le_bytes());
    head[32..36].copy_from_slice(&mark.next_queue.to_le_bytes());
    out.extend_from_slice(&head);
}

/// Appends an end record, the crc still 0.
pub(super) fn encode_end(out: &mut Vec<u8>, end: End) {
    let mut head = [0; END_BYTES];
    head[0..4].copy_from_slice(&narrow_u32(END_BYTES).to_le_bytes());
    head[8] = Kind::End.number();
    head[12] = match end {
        End::Orderly => 0,
        End::Torn => 1,
    };
    out.extend_from_slice(&head);
}

#[inline]
fn pad(out: &mut Vec<u8>) {
    let missing = padded(out.len()) - out.len();
    out.extend_from_slice(&[0; ALIGN][..missing]);
}

fn push_old_slot(out: &mut Vec<u8>, old: OldSlot) {
    out.extend_from_slice(&old.sequence.to_le_bytes());
    out.extend_from_slice(&old.slot.to_le_bytes());
}

fn narrow_u8(number: usize) -> u8 {
    u8::try_from(number).expect("checked by record_bytes")
}

fn narrow_u16(number: usize) -> u16 {
    u16::try_from(number).expect("checked by record_bytes")
}

fn narrow_u32(number: usize) -> u32 {
    u32::try_from(number).expect("checked by record_bytes")
}
