//! What do the bytes of a record mean? Seals a record, binds it to its segment's life and place,
//! checks and frames records of all kinds (drawn at the top of `storage`). The rooms inside:
//! `message` reads messages, `draft` writes them, `statement` is all that is said of slots and
//! segments. No files, no state.

pub(in crate::storage) mod draft;
pub(in crate::storage) mod message;
pub(in crate::storage) mod statement;

use super::types::LogPos;

/// Records start at multiples of this.
pub(in crate::storage) const ALIGN: usize = 8;
/// What every record begins with.
pub(in crate::storage) const HEAD_BYTES: usize = 16;
/// The fixed part of a message record.
pub(in crate::storage) const MESSAGE_BYTES: usize = 48;
/// The fixed part of a transaction record.
pub(in crate::storage) const TRANSACTION_BYTES: usize = 32;
/// The fixed part of a definition record.
pub(in crate::storage) const DEFINITION_BYTES: usize = 56;
/// A mark record.
pub(in crate::storage) const MARK_BYTES: usize = 28;
/// A chain record.
pub(in crate::storage) const CHAIN_BYTES: usize = 80;
/// A clean-stop record.
pub(in crate::storage) const CLEAN_BYTES: usize = 32;
/// An end record; as much is kept free in every segment.
pub(in crate::storage) const END_BYTES: usize = HEAD_BYTES + 8;

/// The kinds of records; the numbers are on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum Kind {
    /// A message and the queues that it went to.
    Message = 1,
    /// Messages and settlements that happen together.
    Transaction = 2,
    /// A part of a large body.
    Piece = 3,
    /// Slots that were settled, and how often others were delivered.
    Settle = 4,
    /// The whole state of a segment's slots.
    State = 5,
    /// A definition has this payload from now on.
    Definition = 6,
    /// How far the log was durable.
    Mark = 7,
    /// The first record of a segment: where the log came from.
    Chain = 8,
    /// Which segments are in use.
    Inventory = 9,
    /// The last record of an orderly stop.
    Clean = 10,
    /// The last record of a segment: nothing behind it counts.
    End = 11,
}

impl Kind {
    fn from_number(number: u8) -> Option<Kind> {
        const ALL: [Kind; 11] = [
            Kind::Message,
            Kind::Transaction,
            Kind::Piece,
            Kind::Settle,
            Kind::State,
            Kind::Definition,
            Kind::Mark,
            Kind::Chain,
            Kind::Inventory,
            Kind::Clean,
            Kind::End,
        ];
        ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }

    /// The least length of such a record.
    fn bytes_min(self) -> usize {
        match self {
            Kind::Message => MESSAGE_BYTES,
            Kind::Transaction => TRANSACTION_BYTES,
            Kind::Definition => DEFINITION_BYTES,
            Kind::Mark => MARK_BYTES,
            Kind::Chain => CHAIN_BYTES,
            Kind::Clean => CLEAN_BYTES,
            Kind::End => END_BYTES,
            Kind::Piece | Kind::Settle | Kind::State | Kind::Inventory => HEAD_BYTES,
        }
    }
}

/// A slot by the sequence number of its segment: how records name other records' slots.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::storage) struct OldSlot {
    pub(in crate::storage) sequence: u64,
    pub(in crate::storage) slot: u32,
}

/// The first record of a segment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::storage) struct Chain {
    /// The segment's number in the log.
    pub(in crate::storage) sequence: u64,
    /// For replication; 0.
    pub(in crate::storage) epoch: u64,
    /// The segment before it: its number (0 for none), salt and end.
    pub(in crate::storage) before: u64,
    pub(in crate::storage) before_salt: u64,
    pub(in crate::storage) before_end: u32,
    pub(in crate::storage) next_message: u64,
    pub(in crate::storage) next_queue: u64,
    /// How far the log was durable.
    pub(in crate::storage) durable: LogPos,
}

/// Begins a record of `bytes` in all: length, kind, flags and two more bytes.
pub(in crate::storage) fn head(
    kind: Kind,
    bytes: u32,
    flags: u8,
    more: [u8; 2],
) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0..4].copy_from_slice(&bytes.to_le_bytes());
    head[12] = kind as u8;
    head[13] = flags;
    head[14..16].copy_from_slice(&more);
    head
}

/// Binds the record `bytes` (without padding) to the segment's life and to the place `offset`.
#[inline]
pub(in crate::storage) fn seal(bytes: &mut [u8], salt: u64, offset: u32) {
    let (head, rest) = bytes.split_at_mut(HEAD_BYTES);
    let head: &mut [u8; HEAD_BYTES] = head.try_into().expect("a record has a head");
    seal_parts(head, rest, salt, offset);
}

/// The same for a record whose content lies elsewhere.
#[inline]
pub(in crate::storage) fn seal_parts(
    head: &mut [u8; HEAD_BYTES],
    rest: &[u8],
    salt: u64,
    offset: u32,
) {
    head[8..12].copy_from_slice(&tag(salt, offset).to_le_bytes());
    let crc = crc(head, rest, salt, offset);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Half of what binds a record: the high half of the salt, and the place.
#[inline]
fn tag(salt: u64, offset: u32) -> u32 {
    u32_at(&salt.to_le_bytes(), 4) ^ offset
}

/// The other half: a crc of everything but itself that begins with the low half of the salt.
#[inline]
fn crc(head: &[u8], rest: &[u8], salt: u64, offset: u32) -> u32 {
    let begin = u32_at(&salt.to_le_bytes(), 0).wrapping_add(offset.wrapping_mul(0x9e37_79b1));
    let mut hasher = crc32fast::Hasher::new_with_initial(begin ^ u32_at(head, 0).rotate_left(16));
    hasher.update(&head[8..]);
    hasher.update(rest);
    hasher.finalize()
}

/// A record whose structure was checked.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Frame<'a> {
    pub(in crate::storage) kind: Kind,
    /// Without padding.
    pub(in crate::storage) bytes: &'a [u8],
    /// With padding: the next record is so much further.
    pub(in crate::storage) span: u32,
}

/// Reads the record that `rest` begins with; `None` when there is none that is whole, sound and of
/// this life and place. `rest` ends where records must end.
pub(in crate::storage) fn read(rest: &[u8], salt: u64, offset: u32) -> Option<Frame<'_>> {
    if rest.len() < HEAD_BYTES || u32_at(rest, 8) != tag(salt, offset) {
        return None;
    }
    let frame = frame(rest)?;
    let (head, content) = frame.bytes.split_at(HEAD_BYTES);
    let sound = u32_at(head, 4) == crc(head, content, salt, offset)
        && match frame.kind {
            Kind::Message => message::is_sound(frame.bytes),
            Kind::Transaction => transaction_is_sound(frame.bytes),
            Kind::Definition => definition_is_sound(frame.bytes),
            Kind::Settle => statement::Statement::read(content).is_some(),
            Kind::State => statement::State::read(content).is_some(),
            Kind::Inventory => statement::Inventory::read(content).is_some(),
            Kind::Piece | Kind::Mark | Kind::Chain | Kind::Clean | Kind::End => true,
        };
    (sound && frame.counts(offset)).then_some(frame)
}

/// How much of a segment the record at `offset` takes that begins with `head`; 0 if nothing of this
/// life and place does.
pub(in crate::storage) fn claimed_bytes(head: &[u8], salt: u64, offset: u32) -> usize {
    if head.len() < HEAD_BYTES || u32_at(head, 8) != tag(salt, offset) {
        return 0;
    }
    padded(u32_at(head, 0) as usize)
}

/// Like [`read`] where it was read before: structure only.
#[inline]
pub(in crate::storage) fn frame(rest: &[u8]) -> Option<Frame<'_>> {
    if rest.len() < HEAD_BYTES {
        return None;
    }
    let length = u32_at(rest, 0) as usize;
    let kind = Kind::from_number(rest[12])?;
    let span = padded(length);
    if length < kind.bytes_min() || span > rest.len() {
        return None;
    }
    Some(Frame { kind, bytes: &rest[..length], span: u32::try_from(span).ok()? })
}

fn transaction_is_sound(bytes: &[u8]) -> bool {
    let statement = TRANSACTION_BYTES + u32_at(bytes, 20) as usize;
    let Some(content) = bytes.get(TRANSACTION_BYTES..statement) else {
        return false;
    };
    if statement::Statement::read(content).is_none() {
        return false;
    }
    let (mut at, mut found) = (padded(statement), 0);
    while at < bytes.len() {
        match frame(&bytes[at..]) {
            Some(nested) if nested.kind == Kind::Message && message::is_sound(nested.bytes) => {
                at += nested.span as usize;
            }
            Some(_) | None => return false,
        }
        found += 1;
    }
    at == bytes.len() && found == u32_at(bytes, 16)
}

fn definition_is_sound(bytes: &[u8]) -> bool {
    let (key, payload) = (u32_at(bytes, 36) as usize, u32_at(bytes, 40) as usize);
    bytes[13] & !FLAG_DEFINITION_REPLACES == 0 && DEFINITION_BYTES + key + payload == bytes.len()
}

/// Ids and sequence numbers are counted up, and never come near this.
pub(in crate::storage) const NUMBER_MAX: u64 = 1 << 62;

const FLAG_DEFINITION_REPLACES: u8 = 1;
const FLAG_PART: u8 = 1;
/// Of a mark: it speaks of the segment that it lies in.
const FLAG_OWN: u8 = 1;

impl<'a> Frame<'a> {
    /// What follows the head.
    pub(in crate::storage) fn content(self) -> &'a [u8] {
        &self.bytes[HEAD_BYTES..]
    }

    /// Whether its numbers are such as counting comes to: ids, sequence numbers, and slots, of
    /// which each took at least 8 bytes of the segment before `offset`.
    fn counts(self, offset: u32) -> bool {
        let places: &[usize] = match self.kind {
            Kind::Chain => &[16, 32, 48, 56, 64],
            Kind::Definition | Kind::Clean => &[16, 24],
            Kind::Mark | Kind::End => &[16],
            Kind::Transaction => &[24],
            Kind::Message | Kind::Piece | Kind::Settle | Kind::State | Kind::Inventory => &[],
        };
        let is_slot = |slot: u32| u64::from(slot) * 8 <= u64::from(offset) + u64::from(self.span);
        places.iter().all(|at| u64_at(self.bytes, *at) <= NUMBER_MAX)
            && self.definition().is_none_or(|definition| is_slot(definition.slot()))
            && self.messages().all(|(_, message)| {
                let mut queues = (0..message.queue_count()).map(|index| message.queue(index).0);
                message.id().0 <= NUMBER_MAX
                    && is_slot(message.first_slot())
                    && queues.all(|queue| queue <= NUMBER_MAX)
            })
    }

    /// The message records of the frame, each with its offset in it: itself, or those of the
    /// transaction.
    pub(in crate::storage) fn messages(self) -> Messages<'a> {
        let at = match self.kind {
            Kind::Message => 0,
            Kind::Transaction => padded(TRANSACTION_BYTES + u32_at(self.bytes, 20) as usize),
            Kind::Piece
            | Kind::Settle
            | Kind::State
            | Kind::Definition
            | Kind::Mark
            | Kind::Chain
            | Kind::Inventory
            | Kind::Clean
            | Kind::End => self.bytes.len(),
        };
        Messages { bytes: self.bytes, at }
    }

    /// What a settle record or a transaction says of slots.
    pub(in crate::storage) fn statement(self) -> Option<statement::Statement<'a>> {
        match self.kind {
            Kind::Settle => statement::Statement::read(self.content()),
            Kind::Transaction => {
                let end = TRANSACTION_BYTES + u32_at(self.bytes, 20) as usize;
                statement::Statement::read(&self.bytes[TRANSACTION_BYTES..end])
            }
            Kind::Message
            | Kind::Piece
            | Kind::State
            | Kind::Definition
            | Kind::Mark
            | Kind::Chain
            | Kind::Inventory
            | Kind::Clean
            | Kind::End => None,
        }
    }

    /// Of a transaction: its number when it has several records, and whether more follow.
    pub(in crate::storage) fn part(self) -> Option<Part> {
        let number = (self.kind == Kind::Transaction).then(|| u64_at(self.bytes, 24))?;
        (number != 0).then_some(Part { number, is_last: self.bytes[13] & FLAG_PART == 0 })
    }

    /// How far a mark or chain says that the log was durable.
    pub(in crate::storage) fn durable(self) -> Option<LogPos> {
        match self.kind {
            Kind::Mark => {
                Some(LogPos { sequence: u64_at(self.bytes, 16), offset: u32_at(self.bytes, 24) })
            }
            Kind::Chain => self.chain().map(|chain| chain.durable),
            Kind::Message
            | Kind::Transaction
            | Kind::Piece
            | Kind::Settle
            | Kind::State
            | Kind::Definition
            | Kind::Inventory
            | Kind::Clean
            | Kind::End => None,
        }
    }

    /// What a chain record says.
    pub(in crate::storage) fn chain(self) -> Option<Chain> {
        let bytes = self.bytes;
        (self.kind == Kind::Chain).then(|| Chain {
            sequence: u64_at(bytes, 16),
            epoch: u64_at(bytes, 24),
            before: u64_at(bytes, 32),
            before_salt: u64_at(bytes, 40),
            next_message: u64_at(bytes, 48),
            next_queue: u64_at(bytes, 56),
            durable: LogPos { sequence: u64_at(bytes, 64), offset: u32_at(bytes, 72) },
            before_end: u32_at(bytes, 76),
        })
    }

    /// The sequence number of the segment that the record lies in, if it tells.
    pub(in crate::storage) fn own_sequence(self) -> Option<u64> {
        let is_own = match self.kind {
            Kind::Chain | Kind::End => true,
            Kind::Mark => self.bytes[13] & FLAG_OWN != 0,
            Kind::Message
            | Kind::Transaction
            | Kind::Piece
            | Kind::Settle
            | Kind::State
            | Kind::Definition
            | Kind::Inventory
            | Kind::Clean => false,
        };
        is_own.then(|| u64_at(self.bytes, 16))
    }

    /// A definition record.
    pub(in crate::storage) fn definition(self) -> Option<Definition<'a>> {
        (self.kind == Kind::Definition).then_some(Definition { bytes: self.bytes })
    }
}

/// One of the records of a transaction that has several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct Part {
    pub(in crate::storage) number: u64,
    /// With it the transaction counts.
    pub(in crate::storage) is_last: bool,
}

/// A definition record as it lies there.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Definition<'a> {
    bytes: &'a [u8],
}

impl<'a> Definition<'a> {
    /// Definitions are told at start in the order of these.
    pub(in crate::storage) fn id(self) -> u64 {
        u64_at(self.bytes, 16)
    }

    pub(in crate::storage) fn next_queue(self) -> u64 {
        u64_at(self.bytes, 24)
    }

    pub(in crate::storage) fn slot(self) -> u32 {
        u32_at(self.bytes, 32)
    }

    pub(in crate::storage) fn key(self) -> &'a [u8] {
        let key = u32_at(self.bytes, 36) as usize;
        &self.bytes[DEFINITION_BYTES..DEFINITION_BYTES + key]
    }

    pub(in crate::storage) fn payload(self) -> &'a [u8] {
        let key = u32_at(self.bytes, 36) as usize;
        &self.bytes[DEFINITION_BYTES + key..]
    }

    pub(in crate::storage) fn replaces(self) -> Option<OldSlot> {
        let is_set = self.bytes[13] & FLAG_DEFINITION_REPLACES != 0;
        is_set.then(|| OldSlot { sequence: u64_at(self.bytes, 48), slot: u32_at(self.bytes, 44) })
    }
}

/// See [`Frame::messages`].
pub(in crate::storage) struct Messages<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u32, message::Message<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let message = message::Message::at_start_of(rest);
        let offset = in_file(self.at);
        self.at += padded(message.bytes.len());
        Some((offset, message))
    }
}

/// An offset, length or number of slots: they all lie in a file below 4 GiB.
#[inline]
pub(in crate::storage) fn in_file(number: usize) -> u32 {
    u32::try_from(number).expect("files are smaller than 4 GiB")
}

/// `bytes` rounded up to where the next record may begin.
#[inline]
pub(in crate::storage) const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

#[inline]
pub(in crate::storage) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[inline]
pub(in crate::storage) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests;
