//! How is a record written? Drafts of messages and the bytes of all other kinds, not yet sealed:
//! see `record::seal`. No files, no state.

use super::message::{
    DEFINES_BYTES, EXPIRES_BYTES, FLAG_DEFINES, FLAG_EXPIRES, FLAG_LARGE, FLAG_RELOCATED,
    FLAG_REPLACES, OLD_SLOT_BYTES, PIECE_BYTES, Piece,
};
use super::{
    ALIGN, CHAIN_BYTES, Chain, DEFINITION_BYTES, FLAG_DEFINITION_REPLACES, FLAG_OWN, FLAG_PART,
    HEAD_BYTES, Kind, MARK_BYTES, MESSAGE_BYTES, OldSlot, Part, TRANSACTION_BYTES, head, in_file,
    padded,
};
use crate::storage::types::{LogPos, MessageId, QueueId};

/// The body of a record that is to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum DraftBody<'a> {
    Inline(&'a [u8]),
    Pieces(&'a [Piece]),
}

/// A message record that is to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Draft<'a> {
    pub(in crate::storage) exchange: &'a [u8],
    pub(in crate::storage) routing_key: &'a [u8],
    pub(in crate::storage) properties: &'a [u8],
    pub(in crate::storage) body: DraftBody<'a>,
    pub(in crate::storage) published_ms: u64,
    /// 0 is never.
    pub(in crate::storage) expiry_ms: u64,
    pub(in crate::storage) queues: &'a [QueueId],
    pub(in crate::storage) replaces: Option<OldSlot>,
    /// Key and payload of a definition that it carries.
    pub(in crate::storage) defines: Option<(&'a [u8], &'a [u8])>,
    pub(in crate::storage) relocated: bool,
}

impl Draft<'_> {
    /// Length of the record without padding; `None`: it cannot be written.
    #[inline]
    pub(in crate::storage) fn record_bytes(&self) -> Option<u32> {
        if self.exchange.len() > 255 || self.routing_key.len() > 255 {
            return None;
        }
        let mut bytes = MESSAGE_BYTES
            + 8 * self.queues.len()
            + self.exchange.len()
            + self.routing_key.len()
            + self.properties.len();
        if self.expiry_ms != 0 {
            bytes += EXPIRES_BYTES;
        }
        if self.replaces.is_some() {
            bytes += OLD_SLOT_BYTES;
        }
        if let Some((key, payload)) = self.defines {
            bytes += DEFINES_BYTES + key.len() + payload.len();
        }
        bytes += match self.body {
            DraftBody::Inline(body) => body.len(),
            DraftBody::Pieces(pieces) => 4 + PIECE_BYTES * pieces.len(),
        };
        u32::try_from(bytes).ok().filter(|bytes| *bytes < u32::MAX - 4096)
    }

    /// How many slots the record gets.
    #[inline]
    pub(in crate::storage) fn slots(&self) -> usize {
        self.queues.len() + usize::from(self.defines.is_some())
    }

    fn body_bytes(&self) -> u32 {
        match self.body {
            DraftBody::Inline(body) => in_file(body.len()),
            DraftBody::Pieces(pieces) => pieces.iter().map(|piece| piece.bytes).sum(),
        }
    }

    #[inline]
    fn flags(&self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        flag(self.replaces.is_some(), FLAG_REPLACES)
            | flag(matches!(self.body, DraftBody::Pieces(_)), FLAG_LARGE)
            | flag(self.relocated, FLAG_RELOCATED)
            | flag(self.expiry_ms != 0, FLAG_EXPIRES)
            | flag(self.defines.is_some(), FLAG_DEFINES)
    }

    /// Appends the record and its padding to `out`. `bytes` is [`Draft::record_bytes`].
    #[inline]
    pub(in crate::storage) fn encode(
        &self,
        out: &mut Vec<u8>,
        bytes: u32,
        id: MessageId,
        first_slot: u32,
    ) {
        let begin = out.len();
        out.reserve(padded(bytes as usize));
        let names = [narrow(self.exchange.len()), narrow(self.routing_key.len())];
        let mut fixed = [0; MESSAGE_BYTES];
        fixed[..HEAD_BYTES].copy_from_slice(&head(Kind::Message, bytes, self.flags(), names));
        fixed[16..24].copy_from_slice(&id.0.to_le_bytes());
        fixed[24..32].copy_from_slice(&self.published_ms.to_le_bytes());
        fixed[32..36].copy_from_slice(&first_slot.to_le_bytes());
        fixed[36..40].copy_from_slice(&in_file(self.queues.len()).to_le_bytes());
        fixed[40..44].copy_from_slice(&in_file(self.properties.len()).to_le_bytes());
        fixed[44..48].copy_from_slice(&self.body_bytes().to_le_bytes());
        out.extend_from_slice(&fixed);
        for queue in self.queues {
            out.extend_from_slice(&queue.0.to_le_bytes());
        }
        if self.expiry_ms != 0 {
            out.extend_from_slice(&self.expiry_ms.to_le_bytes());
        }
        if let Some(old) = self.replaces {
            out.extend_from_slice(&old.sequence.to_le_bytes());
            out.extend_from_slice(&old.slot.to_le_bytes());
        }
        if let DraftBody::Pieces(pieces) = self.body {
            out.extend_from_slice(&in_file(pieces.len()).to_le_bytes());
            for piece in pieces {
                out.extend_from_slice(&piece.sequence.to_le_bytes());
                out.extend_from_slice(&piece.offset.to_le_bytes());
                out.extend_from_slice(&piece.bytes.to_le_bytes());
            }
        }
        if let Some((key, payload)) = self.defines {
            out.extend_from_slice(&in_file(key.len()).to_le_bytes());
            out.extend_from_slice(&in_file(payload.len()).to_le_bytes());
        }
        out.extend_from_slice(self.exchange);
        out.extend_from_slice(self.routing_key);
        out.extend_from_slice(self.properties);
        if let Some((key, payload)) = self.defines {
            out.extend_from_slice(key);
            out.extend_from_slice(payload);
        }
        if let DraftBody::Inline(body) = self.body {
            out.extend_from_slice(body);
        }
        debug_assert_eq!(out.len() - begin, bytes as usize);
        pad(out);
    }
}

/// Begins a transaction record of `bytes` in all, with what it says of slots; the message records
/// follow.
pub(in crate::storage) fn transaction(
    out: &mut Vec<u8>,
    bytes: u32,
    messages: usize,
    statement: &[u8],
    part: Option<Part>,
) {
    let flags = if part.is_some_and(|part| !part.is_last) { FLAG_PART } else { 0 };
    let mut fixed = [0; TRANSACTION_BYTES];
    fixed[..HEAD_BYTES].copy_from_slice(&head(Kind::Transaction, bytes, flags, [0; 2]));
    fixed[16..20].copy_from_slice(&in_file(messages).to_le_bytes());
    fixed[20..24].copy_from_slice(&in_file(statement.len()).to_le_bytes());
    fixed[24..32].copy_from_slice(&part.map_or(0, |part| part.number).to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(statement);
    pad(out);
}

/// A definition that is to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct DraftDefinition<'a> {
    pub(in crate::storage) id: u64,
    pub(in crate::storage) next_queue: u64,
    pub(in crate::storage) key: &'a [u8],
    pub(in crate::storage) payload: &'a [u8],
    pub(in crate::storage) replaces: Option<OldSlot>,
}

impl DraftDefinition<'_> {
    /// Length of the record without padding; `None`: it cannot be written.
    pub(in crate::storage) fn record_bytes(&self) -> Option<u32> {
        u32::try_from(DEFINITION_BYTES + self.key.len() + self.payload.len()).ok()
    }

    pub(in crate::storage) fn encode(&self, out: &mut Vec<u8>, bytes: u32, slot: u32) {
        let flags = if self.replaces.is_some() { FLAG_DEFINITION_REPLACES } else { 0 };
        let old = self.replaces.unwrap_or(OldSlot { sequence: 0, slot: 0 });
        let mut fixed = [0; DEFINITION_BYTES];
        fixed[..HEAD_BYTES].copy_from_slice(&head(Kind::Definition, bytes, flags, [0; 2]));
        fixed[16..24].copy_from_slice(&self.id.to_le_bytes());
        fixed[24..32].copy_from_slice(&self.next_queue.to_le_bytes());
        fixed[32..36].copy_from_slice(&slot.to_le_bytes());
        fixed[36..40].copy_from_slice(&in_file(self.key.len()).to_le_bytes());
        fixed[40..44].copy_from_slice(&in_file(self.payload.len()).to_le_bytes());
        fixed[44..48].copy_from_slice(&old.slot.to_le_bytes());
        fixed[48..56].copy_from_slice(&old.sequence.to_le_bytes());
        out.extend_from_slice(&fixed);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.payload);
        pad(out);
    }
}

/// Appends a mark record to the segment `own`.
pub(in crate::storage) fn mark(out: &mut Vec<u8>, durable: LogPos, own: u64) {
    let flags = if durable.sequence == own { FLAG_OWN } else { 0 };
    out.extend_from_slice(&head(Kind::Mark, in_file(MARK_BYTES), flags, [0; 2]));
    out.extend_from_slice(&durable.sequence.to_le_bytes());
    out.extend_from_slice(&durable.offset.to_le_bytes());
    pad(out);
}

/// Appends a chain record.
pub(in crate::storage) fn chain(out: &mut Vec<u8>, chain: &Chain) {
    out.extend_from_slice(&head(Kind::Chain, in_file(CHAIN_BYTES), 0, [0; 2]));
    let Chain { sequence, epoch, before, before_salt, next_message, next_queue, .. } = *chain;
    for number in [sequence, epoch, before, before_salt, next_message, next_queue] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&chain.durable.sequence.to_le_bytes());
    out.extend_from_slice(&chain.durable.offset.to_le_bytes());
    out.extend_from_slice(&chain.before_end.to_le_bytes());
}

/// Appends an end record to the segment `own`.
pub(in crate::storage) fn end(out: &mut Vec<u8>, own: u64) {
    plain(out, Kind::End, &own.to_le_bytes());
}

/// Appends a record that is a head and this content.
pub(in crate::storage) fn plain(out: &mut Vec<u8>, kind: Kind, content: &[u8]) {
    out.extend_from_slice(&head(kind, in_file(HEAD_BYTES + content.len()), 0, [0; 2]));
    out.extend_from_slice(content);
    pad(out);
}

/// Appends zeros up to where the next record may begin, as seen from the end of `out`, which
/// begins where a record does.
#[inline]
fn pad(out: &mut Vec<u8>) {
    let missing = padded(out.len()) - out.len();
    out.extend_from_slice(&[0; ALIGN][..missing]);
}

fn narrow(number: usize) -> u8 {
    u8::try_from(number).expect("checked by record_bytes")
}
