//! What do the bytes of a record mean? Seals with the crc, checks and reads records of all kinds
//! (the layouts are drawn at the top of `storage`; `encode` writes them). No files, no state.

use super::types::{LogPos, MessageId, QueueId, SegmentKey, SlotRef};

/// Records start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// The fixed part of a message record.
pub(super) const MESSAGE_BYTES: usize = 52;
/// The fixed part of a transaction record.
pub(super) const TRANSACTION_BYTES: usize = 24;
/// A space record without its content.
pub(super) const SPACE_BYTES: usize = 16;
/// A mark record.
pub(super) const MARK_BYTES: usize = 40;
/// An end record; as much is kept free in every segment.
pub(super) const END_BYTES: usize = 16;
/// A settled or replaced slot.
pub(super) const OLD_SLOT_BYTES: usize = 12;
pub(super) const PLACE_BYTES: usize = 16;

pub(super) const FLAG_REPLACES: u8 = 1;
pub(super) const FLAG_PARKED: u8 = 2;
pub(super) const FLAG_RELOCATED: u8 = 4;

/// The kinds of records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Message,
    Transaction,
    Space,
    Mark,
    End,
}

impl Kind {
    pub(super) fn number(self) -> u8 {
        match self {
            Kind::Message => 1,
            Kind::Transaction => 2,
            Kind::Space => 3,
            Kind::Mark => 4,
            Kind::End => 5,
        }
    }

    fn from_number(number: u8) -> Option<Kind> {
        match number {
            1 => Some(Kind::Message),
            2 => Some(Kind::Transaction),
            3 => Some(Kind::Space),
            4 => Some(Kind::Mark),
            5 => Some(Kind::End),
            _ => None,
        }
    }
}

/// A slot by the sequence number of its segment: how records name other records' slots.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct OldSlot {
    pub(super) sequence: u64,
    pub(super) slot: u32,
}

/// Where a parked body lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) offset: u32,
    pub(super) crc: u32,
}

/// How a segment ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// It was full, or is left behind: there is nothing else in it.
    Orderly,
    /// By a crash: slots that belong to no record may lie in it.
    Torn,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Mark {
    pub(super) durable: LogPos,
    pub(super) next_message: u64,
    pub(super) next_queue: u32,
}

/// The seed of the crc of all records of a segment.
pub(super) fn seed(sequence: u64) -> u32 {
    crc32fast::hash(&sequence.to_le_bytes())
}

/// Sets the crc of the record `bytes` (without padding) that goes to `offset`.
#[inline]
pub(super) fn seal(bytes: &mut [u8], seed: u32, offset: u32) {
    let crc = crc(bytes, seed, offset);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

#[inline]
fn crc(bytes: &[u8], seed: u32, offset: u32) -> u32 {
    let begin = seed.wrapping_add(offset) ^ u32_at(bytes, 0).rotate_left(16);
    let mut hasher = crc32fast::Hasher::new_with_initial(begin);
    hasher.update(&bytes[8..]);
    hasher.finalize()
}

/// A record whose crc and structure were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    /// Without padding and content.
    pub(super) bytes: &'a [u8],
    /// With padding and content: the next record is so much further.
    pub(super) span: u32,
}

/// Reads the record that `rest` begins with; `None` when there is none that is whole and sound.
/// `rest` ends where records must end.
pub(super) fn read(rest: &[u8], seed: u32, offset: u32) -> Option<Frame<'_>> {
    let frame = frame(rest)?;
    let sound = u32_at(frame.bytes, 4) == crc(frame.bytes, seed, offset)
        && match frame.kind {
            Kind::Message => message_is_sound(frame.bytes),
            Kind::Transaction => transaction_is_sound(frame.bytes),
            Kind::Space | Kind::Mark | Kind::End => true,
        };
    sound.then_some(frame)
}

/// Like [`read`] where it was read before: no crc.
pub(super) fn frame(rest: &[u8]) -> Option<Frame<'_>> {
    if rest.len() < END_BYTES {
        return None;
    }
    let length = u32_at(rest, 0) as usize;
    let kind = Kind::from_number(rest[8])?;
    let length_is_right = match kind {
        Kind::Message => length >= MESSAGE_BYTES,
        Kind::Transaction => length >= TRANSACTION_BYTES,
        Kind::Space => length == SPACE_BYTES,
        Kind::Mark => length == MARK_BYTES,
        Kind::End => length == END_BYTES,
    };
    if !length_is_right || length > rest.len() {
        return None;
    }
    let bytes = &rest[..length];
    let span = match kind {
        Kind::Space => padded(length + u32_at(bytes, 12) as usize),
        Kind::Message | Kind::Transaction | Kind::Mark | Kind::End => padded(length),
    };
    if span > rest.len() {
        return None;
    }
    Some(Frame { kind, bytes, span: u32::try_from(span).ok()? })
}

fn message_is_sound(bytes: &[u8]) -> bool {
    if bytes.len() < MESSAGE_BYTES || bytes[8] != Kind::Message.number() {
        return false;
    }
    let head = Head::read(bytes);
    let known = FLAG_REPLACES | FLAG_PARKED | FLAG_RELOCATED;
    bytes[9] & !known == 0 && head.record_bytes() == bytes.len()
}

fn transaction_is_sound(bytes: &[u8]) -> bool {
    let mut at = transaction_messages_at(bytes);
    let mut found = 0;
    while at < bytes.len() {
        match nested(bytes, at) {
            Some(next) => at = next,
            None => return false,
        }
        found += 1;
    }
    at == bytes.len() && found == u32_at(bytes, 12)
}

/// Where the message record behind the one at `at` begins; `None`: the one at `at` is not sound.
fn nested(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let frame = frame(rest)?;
    (frame.kind == Kind::Message && message_is_sound(frame.bytes))
        .then_some(at + frame.span as usize)
}

fn transaction_messages_at(bytes: &[u8]) -> usize {
    padded(TRANSACTION_BYTES + OLD_SLOT_BYTES * u32_at(bytes, 16) as usize)
}

impl<'a> Frame<'a> {
    /// The message records of the frame, each with its offset in it: itself, or those of the
    /// transaction.
    pub(super) fn messages(self) -> Messages<'a> {
        let at = match self.kind {
            Kind::Message => 0,
            Kind::Transaction => transaction_messages_at(self.bytes),
            Kind::Space | Kind::Mark | Kind::End => self.bytes.len(),
        };
        Messages { bytes: self.bytes, at }
    }

    /// The slots that a transaction settles.
    pub(super) fn settled(self) -> impl Iterator<Item = OldSlot> + 'a {
        let count = match self.kind {
            Kind::Transaction => u32_at(self.bytes, 16) as usize,
            Kind::Message | Kind::Space | Kind::Mark | Kind::End => 0,
        };
        let bytes = self.bytes;
        (0..count).map(move |n| old_slot_at(bytes, TRANSACTION_BYTES + OLD_SLOT_BYTES * n))
    }

    /// What an end record says.
    pub(super) fn end(self) -> Option<End> {
        (self.kind == Kind::End).then(|| match u32_at(self.bytes, 12) {
            0 => End::Orderly,
            _ => End::Torn,
        })
    }

    /// What a mark says.
    pub(super) fn mark(self) -> Option<Mark> {
        (self.kind == Kind::Mark).then(|| Mark {
            durable: LogPos { sequence: u64_at(self.bytes, 16), offset: u32_at(self.bytes, 12) },
            next_message: u64_at(self.bytes, 24),
            next_queue: u32_at(self.bytes, 32),
        })
    }
}

/// See [`Frame::messages`].
pub(super) struct Messages<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u32, Message<'a>);

    fn next(&mut self) -> Option<(u32, Message<'a>)> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let message = Message::at_start_of(rest);
        let offset = in_file(self.at);
        self.at += padded(message.bytes.len());
        Some((offset, message))
    }
}

/// A message record as it lies there. Its structure was checked when it was written or found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message record that `rest` begins with.
    #[inline]
    pub(super) fn at_start_of(rest: &'a [u8]) -> Message<'a> {
        let length = u32_at(rest, 0) as usize;
        Message { bytes: &rest[..length] }
    }

    #[inline]
    fn head(self) -> Head {
        Head::read(self.bytes)
    }

    #[inline]
    pub(super) fn id(self) -> MessageId {
        MessageId(u64_at(self.bytes, 16))
    }

    #[inline]
    pub(super) fn first_slot(self) -> u32 {
        u32_at(self.bytes, 12)
    }

    #[inline]
    pub(super) fn queue_count(self) -> u32 {
        u32::from(u16_at(self.bytes, 10))
    }

    #[inline]
    pub(super) fn queue(self, index: u32) -> QueueId {
        QueueId(u32_at(self.bytes, MESSAGE_BYTES + 4 * index as usize))
    }

    pub(super) fn is_relocated(self) -> bool {
        self.bytes[9] & FLAG_RELOCATED != 0
    }

    #[inline]
    pub(super) fn is_parked(self) -> bool {
        self.bytes[9] & FLAG_PARKED != 0
    }

    pub(super) fn body_bytes(self) -> u32 {
        u32_at(self.bytes, 44)
    }

    pub(super) fn replaces(self) -> Option<OldSlot> {
        let at = self.head().replaced_at();
        (self.bytes[9] & FLAG_REPLACES != 0).then(|| old_slot_at(self.bytes, at))
    }

    pub(super) fn place(self) -> Option<Place> {
        let at = self.head().place_at();
        self.is_parked().then(|| Place {
            sequence: u64_at(self.bytes, at),
            offset: u32_at(self.bytes, at + 8),
            crc: u32_at(self.bytes, at + 12),
        })
    }

    /// What a copy of the record repeats.
    pub(super) fn parts(self) -> Parts<'a> {
        let (head, bytes) = (self.head(), self.bytes);
        Parts {
            exchange: &bytes[head.exchange_at()..head.routing_key_at()],
            routing_key: &bytes[head.routing_key_at()..head.properties_at()],
            properties: &bytes[head.properties_at()..head.body_at()],
            published_ms: u64_at(bytes, 24),
            expiry_ms: u64_at(bytes, 32),
        }
    }

    /// An inline body.
    #[inline]
    pub(super) fn inline_body(self) -> &'a [u8] {
        let head = self.head();
        &self.bytes[head.body_at()..]
    }
}

/// See [`Message::parts`].
pub(super) struct Parts<'a> {
    pub(super) exchange: &'a [u8],
    pub(super) routing_key: &'a [u8],
    pub(super) properties: &'a [u8],
    pub(super) published_ms: u64,
    pub(super) expiry_ms: u64,
}

/// The numbers that say where the parts of a message record lie.
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
            flags: bytes[9],
            queues: usize::from(u16_at(bytes, 10)),
            exchange: usize::from(bytes[48]),
            routing_key: usize::from(bytes[49]),
            properties: u32_at(bytes, 40) as usize,
            body: u32_at(bytes, 44) as usize,
        }
    }

    #[inline]
    fn replaced_at(self) -> usize {
        MESSAGE_BYTES + 4 * self.queues
    }

    #[inline]
    fn place_at(self) -> usize {
        let replaced = if self.flags & FLAG_REPLACES == 0 { 0 } else { OLD_SLOT_BYTES };
        self.replaced_at() + replaced
    }

    #[inline]
    fn exchange_at(self) -> usize {
        let place = if self.flags & FLAG_PARKED == 0 { 0 } else { PLACE_BYTES };
        self.place_at() + place
    }

    #[inline]
    fn routing_key_at(self) -> usize {
        self.exchange_at() + self.exchange
    }

    #[inline]
    fn properties_at(self) -> usize {
        self.routing_key_at() + self.routing_key
    }

    #[inline]
    fn body_at(self) -> usize {
        self.properties_at() + self.properties
    }

    fn record_bytes(self) -> usize {
        let body = if self.flags & FLAG_PARKED == 0 { self.body } else { 0 };
        self.body_at() + body
    }
}

/// A message of the log, read where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) segment: SegmentKey,
    pub(super) message: Message<'a>,
    pub(super) body: &'a [u8],
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
        u64_at(self.message.bytes, 24)
    }

    /// When it expires, milliseconds since 1970; 0 is never.
    #[inline]
    pub fn expiry_ms(&self) -> u64 {
        u64_at(self.message.bytes, 32)
    }

    /// The exchange it was published to.
    #[inline]
    pub fn exchange(&self) -> &'a [u8] {
        let head = self.message.head();
        &self.message.bytes[head.exchange_at()..head.routing_key_at()]
    }

    /// The routing key it was published with.
    #[inline]
    pub fn routing_key(&self) -> &'a [u8] {
        let head = self.message.head();
        &self.message.bytes[head.routing_key_at()..head.properties_at()]
    }

    /// Property flags and list as they came.
    #[inline]
    pub fn properties(&self) -> &'a [u8] {
        let head = self.message.head();
        &self.message.bytes[head.properties_at()..head.body_at()]
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Length of the body in bytes.
    #[inline]
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.message.body_bytes())
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

    /// The message's slot in `queue`; `None` when it never went there.
    #[inline]
    pub fn slot_of(&self, queue: QueueId) -> Option<SlotRef> {
        let count = self.message.queue_count();
        let index = (0..count).find(|index| self.message.queue(*index) == queue)?;
        Some(SlotRef { segment: self.segment, slot: self.message.first_slot() + index })
    }
}

/// An offset, length or number of slots: they all lie in a file below 4 GiB.
#[inline]
pub(super) fn in_file(number: usize) -> u32 {
    u32::try_from(number).expect("files are smaller than 4 GiB")
}

/// `bytes` rounded up to where the next record may begin.
#[inline]
pub(super) const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

fn old_slot_at(bytes: &[u8], at: usize) -> OldSlot {
    OldSlot { sequence: u64_at(bytes, at), slot: u32_at(bytes, at + 8) }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut number = [0; 2];
    number.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(number)
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::super::encode::{Draft, DraftBody};
    use super::*;

    fn draft<'a>(queues: &'a [QueueId], body: DraftBody<'a>) -> Draft<'a> {
        Draft {
            exchange: b"exchange",
            routing_key: b"key",
            properties: b"properties",
            body,
            published_ms: 1,
            expiry_ms: 2,
            queues,
            replaces: Some(OldSlot { sequence: 77, slot: 5 }),
            relocated: true,
        }
    }

    fn encoded(draft: &Draft<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = draft.record_bytes().unwrap();
        draft.encode(&mut out, bytes, MessageId(9), 3);
        seal(&mut out[..bytes as usize], seed(4), 4096);
        out
    }

    #[test]
    fn a_message_reads_back_with_everything_it_can_have() {
        let queues = [QueueId(1), QueueId(2)];
        let place = Place { sequence: 6, offset: 8192, crc: 99 };
        let bodies = [DraftBody::Inline(b"body"), DraftBody::Parked { place, bytes: 4 }];
        for body in bodies {
            let out = encoded(&draft(&queues, body));
            let frame = read(&out, seed(4), 4096).unwrap();
            assert_eq!((frame.kind, frame.span as usize), (Kind::Message, out.len()));
            let (offset, message) = frame.messages().next().unwrap();
            assert_eq!((offset, frame.messages().count()), (0, 1));
            assert_eq!((message.id(), message.first_slot()), (MessageId(9), 3));
            let slot = OldSlot { sequence: 77, slot: 5 };
            assert_eq!(message.replaces(), Some(slot));
            assert!(message.is_relocated());
            assert_eq!((message.queue_count(), message.queue(1)), (2, QueueId(2)));
            assert_eq!(message.body_bytes(), 4);
            let parts = message.parts();
            assert_eq!(parts.exchange, b"exchange");
            assert_eq!((parts.routing_key, parts.properties), (&b"key"[..], &b"properties"[..]));
            match body {
                DraftBody::Inline(body) => assert_eq!(message.inline_body(), body),
                DraftBody::Parked { .. } => assert_eq!(message.place(), Some(place)),
            }
        }
    }

    #[test]
    fn a_record_counts_only_where_and_when_it_was_written_and_as_a_whole() {
        let out = encoded(&draft(&[QueueId(1)], DraftBody::Inline(b"body")));
        assert!(read(&out, seed(4), 4096).is_some());
        assert!(read(&out, seed(5), 4096).is_none(), "another life");
        assert!(read(&out, seed(4), 8192).is_none(), "another place");
        for length in 0..out.len() {
            assert!(read(&out[..length], seed(4), 4096).is_none());
        }
        let length = u32_at(&out, 0) as usize;
        for bit in 0..length * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, seed(4), 4096).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics() {
        let mut number = 88_172_645_463_325_252_u64;
        let mut out = encoded(&draft(&[QueueId(1)], DraftBody::Inline(b"body")));
        for _ in 0..20_000 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            let at = usize::try_from(number % out.len() as u64).unwrap();
            out[at] = u8::try_from(number >> 56).unwrap();
            // With a right crc only the structure can be wrong.
            if let Some(found) = frame(&out) {
                let length = found.bytes.len();
                seal(&mut out[..length], seed(4), 4096);
                if let Some(found) = read(&out, seed(4), 4096) {
                    for (_, message) in found.messages() {
                        assert!(message.parts().exchange.len() < 256);
                        assert!(message.place().is_none() || message.is_parked());
                    }
                    assert!(found.settled().count() < 100 && found.span as usize <= out.len());
                }
            }
        }
    }
}
