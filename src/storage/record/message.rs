//! What does a message record say? Reads it where it lies, in the mapping, the append buffer or
//! what recovery read. Its structure was checked when it was written or found.

use super::{HEAD_BYTES, Kind, MESSAGE_BYTES, OldSlot, u32_at, u64_at};
use crate::storage::types::{MessageId, QueueId};

pub(in crate::storage) const FLAG_REPLACES: u8 = 1;
/// The body lies in pieces.
pub(in crate::storage) const FLAG_LARGE: u8 = 2;
/// The id is older than those of the records before it.
pub(in crate::storage) const FLAG_RELOCATED: u8 = 4;
pub(in crate::storage) const FLAG_EXPIRES: u8 = 8;
/// It carries a definition, whose slot follows those of the queues.
pub(in crate::storage) const FLAG_DEFINES: u8 = 16;
const FLAGS: u8 = FLAG_REPLACES | FLAG_LARGE | FLAG_RELOCATED | FLAG_EXPIRES | FLAG_DEFINES;

pub(in crate::storage) const EXPIRES_BYTES: usize = 8;
pub(in crate::storage) const OLD_SLOT_BYTES: usize = 12;
pub(in crate::storage) const PIECE_BYTES: usize = 16;
pub(in crate::storage) const DEFINES_BYTES: usize = 8;

/// Where a part of a large body lies: its content, without the head of its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct Piece {
    pub(in crate::storage) sequence: u64,
    pub(in crate::storage) offset: u32,
    pub(in crate::storage) bytes: u32,
}

/// Where the variable parts of a message record begin.
#[derive(Clone, Copy)]
struct Head {
    flags: u8,
    queues: usize,
    exchange: usize,
    routing_key: usize,
    properties: usize,
    body: usize,
}

impl Head {
    #[inline]
    fn read(bytes: &[u8]) -> Head {
        Head {
            flags: bytes[13],
            exchange: usize::from(bytes[14]),
            routing_key: usize::from(bytes[15]),
            queues: u32_at(bytes, 36) as usize,
            properties: u32_at(bytes, 40) as usize,
            body: u32_at(bytes, 44) as usize,
        }
    }

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn expires_at(self) -> usize {
        MESSAGE_BYTES + 8 * self.queues
    }

    #[inline]
    fn replaced_at(self) -> usize {
        self.expires_at() + if self.has(FLAG_EXPIRES) { EXPIRES_BYTES } else { 0 }
    }

    #[inline]
    fn pieces_at(self) -> usize {
        self.replaced_at() + if self.has(FLAG_REPLACES) { OLD_SLOT_BYTES } else { 0 }
    }

    #[inline]
    fn defines_at(self, bytes: &[u8]) -> usize {
        let at = self.pieces_at();
        let pieces = self.has(FLAG_LARGE).then(|| u32_at(bytes, at) as usize);
        at + pieces.map_or(0, |pieces| 4 + PIECE_BYTES * pieces)
    }

    #[inline]
    fn exchange_at(self, bytes: &[u8]) -> usize {
        if self.flags & (FLAG_LARGE | FLAG_DEFINES) == 0 {
            return self.pieces_at();
        }
        self.defines_at(bytes) + if self.has(FLAG_DEFINES) { DEFINES_BYTES } else { 0 }
    }
}

/// Whether lengths and flags fit the record, whatever its bytes are.
pub(in crate::storage) fn is_sound(bytes: &[u8]) -> bool {
    if bytes.len() < MESSAGE_BYTES || bytes[12] != Kind::Message as u8 || bytes[13] & !FLAGS != 0 {
        return false;
    }
    let head = Head::read(bytes);
    if head.has(FLAG_LARGE) && head.pieces_at() + 4 > bytes.len() {
        return false;
    }
    if head.has(FLAG_DEFINES) && head.defines_at(bytes) + DEFINES_BYTES > bytes.len() {
        return false;
    }
    let message = Message { bytes };
    let pieces: u64 = if head.exchange_at(bytes) > bytes.len() {
        return false;
    } else {
        message.pieces().map(|piece| u64::from(piece.bytes)).sum()
    };
    let body = if head.has(FLAG_LARGE) { 0 } else { head.body };
    let defined = message.defines_bytes();
    let names = head.exchange + head.routing_key + head.properties;
    head.exchange_at(bytes) + names + defined.0 + defined.1 + body == bytes.len()
        && (!head.has(FLAG_LARGE) || pieces == head.body as u64)
}

/// A message record as it lies there.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Message<'a> {
    pub(in crate::storage) bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message record that `rest` begins with.
    #[inline]
    pub(in crate::storage) fn at_start_of(rest: &'a [u8]) -> Message<'a> {
        let length = u32_at(rest, 0) as usize;
        debug_assert!(length >= HEAD_BYTES);
        Message { bytes: &rest[..length] }
    }

    #[inline]
    fn head(self) -> Head {
        Head::read(self.bytes)
    }

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.bytes[13] & flag != 0
    }

    #[inline]
    pub(in crate::storage) fn id(self) -> MessageId {
        MessageId(u64_at(self.bytes, 16))
    }

    #[inline]
    pub(in crate::storage) fn published_ms(self) -> u64 {
        u64_at(self.bytes, 24)
    }

    #[inline]
    pub(in crate::storage) fn first_slot(self) -> u32 {
        u32_at(self.bytes, 32)
    }

    #[inline]
    pub(in crate::storage) fn queue_count(self) -> u32 {
        u32_at(self.bytes, 36)
    }

    /// One for each queue, and one for the definition that it carries.
    #[inline]
    pub(in crate::storage) fn slot_count(self) -> u32 {
        self.queue_count() + u32::from(self.has(FLAG_DEFINES))
    }

    #[inline]
    pub(in crate::storage) fn queue(self, index: u32) -> QueueId {
        QueueId(u64_at(self.bytes, MESSAGE_BYTES + 8 * index as usize))
    }

    #[inline]
    pub(in crate::storage) fn expiry_ms(self) -> u64 {
        if self.has(FLAG_EXPIRES) { u64_at(self.bytes, self.head().expires_at()) } else { 0 }
    }

    pub(in crate::storage) fn is_relocated(self) -> bool {
        self.has(FLAG_RELOCATED)
    }

    #[inline]
    pub(in crate::storage) fn is_large(self) -> bool {
        self.has(FLAG_LARGE)
    }

    #[inline]
    pub(in crate::storage) fn body_bytes(self) -> u32 {
        u32_at(self.bytes, 44)
    }

    pub(in crate::storage) fn replaces(self) -> Option<OldSlot> {
        let at = self.head().replaced_at();
        self.has(FLAG_REPLACES)
            .then(|| OldSlot { sequence: u64_at(self.bytes, at), slot: u32_at(self.bytes, at + 8) })
    }

    /// Where the parts of a large body lie, in their order.
    pub(in crate::storage) fn pieces(self) -> Pieces<'a> {
        if !self.has(FLAG_LARGE) {
            return Pieces { rest: &[] };
        }
        let at = self.head().pieces_at();
        let bytes = PIECE_BYTES * u32_at(self.bytes, at) as usize;
        Pieces { rest: &self.bytes[at + 4..at + 4 + bytes] }
    }

    fn defines_bytes(self) -> (usize, usize) {
        if !self.has(FLAG_DEFINES) {
            return (0, 0);
        }
        let at = self.head().defines_at(self.bytes);
        (u32_at(self.bytes, at) as usize, u32_at(self.bytes, at + 4) as usize)
    }

    /// Key and payload of the definition that it carries.
    pub(in crate::storage) fn definition(self) -> Option<(&'a [u8], &'a [u8])> {
        let (key, payload) = self.defines_bytes();
        let at = self.properties_at() + self.head().properties;
        let key_and_payload = &self.bytes[at..at + key + payload];
        self.has(FLAG_DEFINES).then(|| key_and_payload.split_at(key))
    }

    /// Exchange, routing key and properties, which lie side by side.
    #[inline]
    pub(in crate::storage) fn names_and_properties(self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let head = self.head();
        let bytes = &self.bytes[head.exchange_at(self.bytes)..];
        let (exchange, rest) = bytes.split_at(head.exchange);
        let (routing_key, rest) = rest.split_at(head.routing_key);
        (exchange, routing_key, &rest[..head.properties])
    }

    #[inline]
    pub(in crate::storage) fn exchange(self) -> &'a [u8] {
        let head = self.head();
        let at = head.exchange_at(self.bytes);
        &self.bytes[at..at + head.exchange]
    }

    #[inline]
    pub(in crate::storage) fn routing_key(self) -> &'a [u8] {
        let head = self.head();
        let at = head.exchange_at(self.bytes) + head.exchange;
        &self.bytes[at..at + head.routing_key]
    }

    #[inline]
    fn properties_at(self) -> usize {
        let head = self.head();
        head.exchange_at(self.bytes) + head.exchange + head.routing_key
    }

    #[inline]
    pub(in crate::storage) fn properties(self) -> &'a [u8] {
        let at = self.properties_at();
        &self.bytes[at..at + self.head().properties]
    }

    /// The body; empty when it lies in pieces.
    #[inline]
    pub(in crate::storage) fn inline_body(self) -> &'a [u8] {
        let body = if self.is_large() { 0 } else { self.body_bytes() as usize };
        &self.bytes[self.bytes.len() - body..]
    }
}

/// See [`Message::pieces`].
#[derive(Clone, Debug)]
pub(in crate::storage) struct Pieces<'a> {
    rest: &'a [u8],
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    #[inline]
    fn next(&mut self) -> Option<Piece> {
        let (piece, rest) = self.rest.split_at_checked(PIECE_BYTES)?;
        self.rest = rest;
        Some(Piece {
            sequence: u64_at(piece, 0),
            offset: u32_at(piece, 8),
            bytes: u32_at(piece, 12),
        })
    }
}
