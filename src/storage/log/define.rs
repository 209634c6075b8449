//! Which definitions (vhosts, users, exchanges, queues, bindings, deduplication keys ...) last? A
//! map from key to payload, of which the log holds the payloads: a definition is a record with a
//! slot like a message's, or travels in the record of a message. One that replaces another, or the
//! end of one, settles that slot. Keys and payloads are bytes; what they mean is the broker's
//! business.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::ring::{Ids, Rank, Ring};
use super::segment::Counted;
use crate::storage::record::draft::DraftDefinition;
use crate::storage::record::message::Message;
use crate::storage::record::{self, in_file, padded};
use crate::storage::store::Store;
use crate::storage::types::{AppendError, LogPos, RecordRef, SlotRef};

/// What is known of the definitions.
///
/// Every key that lasts is in `places` by its hash or, should that be taken by another key, in
/// `collided`.
#[derive(Debug, Default)]
pub(in crate::storage) struct DefinitionIndex {
    places: HashMap<u64, RecordRef, RandomState>,
    collided: BTreeMap<Box<[u8]>, RecordRef>,
    hasher: RandomState,
    /// What the log had no room for, in its order.
    deferred: VecDeque<Deferred>,
    /// How many changes there were.
    changes: u64,
    /// Changes up to these numbers are durable when the log is up to there.
    positions: VecDeque<(u64, LogPos)>,
    /// Changes up to here have their position, and are durable.
    placed: u64,
    durable: u64,
}

/// A change that waits for room: a key and its payload; `None` is the end of its definition.
type Deferred = (Box<[u8]>, Option<Box<[u8]>>);

impl DefinitionIndex {
    /// What is durable now that the log is up to there.
    pub(in crate::storage) fn note_durable(&mut self, durable: LogPos) {
        while let Some(&(change, _)) = self.positions.front().filter(|(_, at)| *at <= durable) {
            self.durable = change;
            self.positions.pop_front();
        }
    }

    /// Whether the log has to be told of changes.
    pub(in crate::storage) fn has_unplaced(&self) -> bool {
        self.placed < self.changes
    }

    /// Everything that changed so far is durable when the log is up to there.
    pub(in crate::storage) fn place(&mut self, at: LogPos) {
        if self.deferred.is_empty() && self.has_unplaced() {
            self.placed = self.changes;
            self.positions.push_back((self.changes, at));
        }
    }
}

impl Store {
    /// From now on the key has this payload; the number is that of the change: see
    /// [`Store::is_kept`]. If the log has no room, that is made up for when it has.
    ///
    /// # Panics
    /// When both together do not fit into a segment: what peers send is held to
    /// [`Store::definition_bytes_max`] before.
    pub fn define(&mut self, key: &[u8], payload: &[u8]) -> u64 {
        if self.definitions.deferred.is_empty() {
            match self.append_definition(key, payload, None) {
                Ok(()) => {}
                Err(AppendError::Full) => self.defer(key, Some(payload)),
                Err(AppendError::TooLarge) => panic!("a definition of {} bytes", payload.len()),
            }
        } else {
            self.defer(key, Some(payload));
        }
        self.note_change()
    }

    /// The key is gone; the number is that of the change: see [`Store::is_kept`].
    pub fn undefine(&mut self, key: &[u8]) -> u64 {
        if self.definitions.deferred.is_empty() {
            self.settle_definition(key);
        } else {
            self.defer(key, None);
        }
        self.note_change()
    }

    /// The number of the last change.
    pub fn changes(&self) -> u64 {
        self.definitions.changes
    }

    /// A change whose number stands for everything that was settled so far.
    pub fn note_change(&mut self) -> u64 {
        self.definitions.changes += 1;
        self.definitions.changes
    }

    /// Whether the change of this number, and all before it, survive a power cut.
    pub fn is_kept(&self, change: u64) -> bool {
        change <= self.definitions.durable
    }

    /// Whether definitions wait for room in the log.
    pub fn has_deferred(&self) -> bool {
        !self.definitions.deferred.is_empty()
    }

    fn defer(&mut self, key: &[u8], payload: Option<&[u8]>) {
        self.definitions.deferred.push_back((key.into(), payload.map(Into::into)));
    }

    /// Appends what had to wait, as far as there is room.
    pub(in crate::storage) fn append_deferred(&mut self) -> Result<(), AppendError> {
        while let Some((key, payload)) = self.definitions.deferred.pop_front() {
            match &payload {
                None => self.settle_definition(&key),
                Some(bytes) => {
                    if let Err(error) = self.append_definition(&key, bytes, None) {
                        self.definitions.deferred.push_front((key, payload));
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends a definition, which settles the one that it replaces; with the id of an older one
    /// when compaction moves that.
    pub(in crate::storage) fn append_definition(
        &mut self,
        key: &[u8],
        payload: &[u8],
        id: Option<u64>,
    ) -> Result<(), AppendError> {
        let old = self.find_definition(key);
        let replaced = old.map(|at| (at, self.slot_of_definition(at)));
        let ring = &self.durable;
        let old_id = old.map(|at| definition_id(ring, at));
        let draft = DraftDefinition {
            id: id.or(old_id).unwrap_or(self.ids.next_message),
            next_queue: self.ids.next_queue,
            key,
            payload,
            replaces: replaced.map(|(_, slot)| ring.old_slot(slot.segment.index(), slot.slot)),
        };
        let at = self.durable.append_draft_definition(&draft, self.ids)?;
        if draft.id == self.ids.next_message {
            self.ids.next_message += 1;
        }
        self.note_definition(key, at);
        if let Some((old, slot)) = replaced {
            self.durable.count_definition(old, Counted::remove);
            self.durable.settle_by(slot.segment.index(), slot.slot, at.segment.index());
        }
        Ok(())
    }

    /// A definition travels with the message record at `at`, which was just appended.
    pub(in crate::storage) fn define_with(&mut self, key: &[u8], at: RecordRef) {
        if let Some(old) = self.note_definition(key, at) {
            self.end_definition(old);
        }
    }

    /// The record at `at` defines the key from now on; where it was defined before.
    pub(in crate::storage) fn note_definition(
        &mut self,
        key: &[u8],
        at: RecordRef,
    ) -> Option<RecordRef> {
        let old = self.find_definition(key);
        let index = &mut self.definitions;
        if let Some(place) = index.collided.get_mut(key) {
            *place = at;
            return old;
        }
        let hash = index.hasher.hash_one(key);
        if old.is_none() && index.places.contains_key(&hash) {
            index.collided.insert(key.into(), at);
        } else {
            index.places.insert(hash, at);
        }
        old
    }

    fn settle_definition(&mut self, key: &[u8]) {
        let Some(at) = self.find_definition(key) else {
            return;
        };
        if self.definitions.collided.remove(key).is_none() {
            let hash = self.definitions.hasher.hash_one(key);
            self.definitions.places.remove(&hash);
        }
        self.end_definition(at);
    }

    /// What the record at `at` defines does not last any longer.
    fn end_definition(&mut self, at: RecordRef) {
        let slot = self.slot_of_definition(at);
        self.durable.count_definition(at, Counted::remove);
        self.durable.settle(slot.segment.index(), slot.slot);
    }

    /// Where the record lies that defines a key.
    pub(in crate::storage) fn find_definition(&self, key: &[u8]) -> Option<RecordRef> {
        let index = &self.definitions;
        if let Some(&at) = index.collided.get(key) {
            return Some(at);
        }
        let at = *index.places.get(&index.hasher.hash_one(key))?;
        (definition_at(&self.durable, at).0 == key).then_some(at)
    }

    fn slot_of_definition(&self, at: RecordRef) -> SlotRef {
        SlotRef { segment: at.segment, slot: definition_slot(&self.durable, at) }
    }
}

impl Ring {
    /// Appends a definition; says where.
    fn append_draft_definition(
        &mut self,
        draft: &DraftDefinition<'_>,
        ids: Ids,
    ) -> Result<RecordRef, AppendError> {
        let bytes = draft.record_bytes().ok_or(AppendError::TooLarge)?;
        let index = self.make_room(padded(bytes as usize), Rank::Change, ids)?;
        let slot = self.segment(index).slot_count();
        let start = self.begin_record(index);
        draft.encode(self.buffer_mut(), bytes, slot);
        let offset = self.finish_record(index, start, bytes as usize, 1, 0);
        let bytes = in_file(padded(bytes as usize));
        let segment = self.segment_mut(index);
        segment.definitions.add(bytes);
        segment.definitions_alive.add(bytes);
        Ok(RecordRef { segment: self.key(index), offset })
    }

    /// Counts the definition record at `at` among those of its segment that last, or no longer.
    /// One that travels with a message is part of that.
    pub(in crate::storage) fn count_definition(
        &mut self,
        at: RecordRef,
        count: fn(&mut Counted, u32),
    ) {
        let frame = record::frame(self.bytes_from(at)).expect("a record lies there");
        if frame.definition().is_some() {
            let span = frame.span;
            count(&mut self.segment_mut(at.segment.index()).definitions_alive, span);
        }
    }
}

/// Key and payload of the definition in the record at `at`: its own or its message's.
pub(in crate::storage) fn definition_at(ring: &Ring, at: RecordRef) -> (&[u8], &[u8]) {
    let bytes = ring.bytes_from(at);
    let frame = record::frame(bytes).expect("a record lies there");
    match frame.definition() {
        Some(definition) => (definition.key(), definition.payload()),
        None => Message { bytes: frame.bytes }.definition().expect("it defines something"),
    }
}

fn definition_id(ring: &Ring, at: RecordRef) -> u64 {
    // The same place in both kinds of records.
    record::u64_at(ring.bytes_from(at), 16)
}

pub(in crate::storage) fn definition_slot(ring: &Ring, at: RecordRef) -> u32 {
    let frame = record::frame(ring.bytes_from(at)).expect("a record lies there");
    match frame.definition() {
        Some(definition) => definition.slot(),
        None => {
            let message = Message { bytes: frame.bytes };
            message.first_slot() + message.queue_count()
        }
    }
}
