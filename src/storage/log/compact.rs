//! What when a few old messages or definitions keep many segments? They are copied to the end of
//! the log, a bounded amount at a time, and their segments get free. A copy names the slots that it
//! replaces, so a crash leaves everything once: here or there.
//!
//! A segment is emptied in two stages: first the records in it, then the pieces of bodies in it,
//! each with the record that tells of it, wherever that lies. What is copied was checked before:
//! damage is not copied under a new checksum but left where it is.

use std::sync::Arc;

use super::ring::{Rank, Ring};
use super::segment::{Segment, State};
use crate::storage::file::segment::HEADER_BYTES;
use crate::storage::log::append::{Row, Step};
use crate::storage::record::draft::{Draft, DraftBody};
use crate::storage::record::message::{Message, Piece};
use crate::storage::record::statement::SETTLED;
use crate::storage::record::{self, Frame, HEAD_BYTES, in_file};
use crate::storage::store::Store;
use crate::storage::types::{AppendError, Entry, MessageId, QueueId, RecordRef, SlotRef};

/// What a call of [`Store::compact`](crate::storage::Store::compact) came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compaction {
    /// Nothing is worth the effort.
    #[default]
    Idle,
    /// There may be more to do at once.
    Busy,
    /// It goes on once a sync has returned or a segment is ready.
    Waiting,
}

/// A (record, queue) pair that compaction copied to the end of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relocated {
    /// The queue.
    pub queue: QueueId,
    /// The message as before, and where its record lies now.
    pub entry: Entry,
    /// The slot as it was: not valid any more.
    pub old: SlotRef,
    /// The slot as it is.
    pub slot: SlotRef,
}

/// With fewer used segments than this, only what is nearly empty is emptied.
const SEGMENTS_MIN: usize = 4;

/// A segment with no more alive than this share of it is nearly empty.
const NEARLY_EMPTY: u64 = 16;

/// So many copied bytes wait for a sync at most, or a segment if that is less: whoever waits for a
/// sync of his own waits for no more than that.
const UNSYNCED_BYTES_MAX: u32 = 4 << 20;

/// What copies take beside what is copied.
const HEADS_BYTES: usize = 4096;

/// So many records are looked at in one step, most of which may be dead.
const WALKED_MAX: usize = 4096;

/// What is being done about a sparse log.
#[derive(Debug, Default)]
pub(in crate::storage) struct Compacting {
    cursor: Option<Cursor>,
    body: Option<MovingBody>,
    /// Bytes that were copied and that the sync of this number makes durable.
    copied: u64,
    copied_sync: u64,
}

/// How far the emptying of a segment is.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    segment: u32,
    sequence: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The records from this offset on.
    Records { offset: u32 },
    /// The pieces of the records that stand from here on in the segments' lists of large ones.
    Pieces { segment: usize, large: usize },
}

/// A body of which pieces are being copied.
#[derive(Debug)]
struct MovingBody {
    /// The record that tells of it, in the segment's life of this number.
    record: RecordRef,
    sequence: u64,
    /// Its pieces, those in front copied already if they lay in the segment.
    pieces: Vec<Piece>,
    /// Those of `pieces` that are copies, by index.
    copies: Vec<usize>,
    next: usize,
}

/// A record that is to be copied.
struct Live<'a> {
    message: Message<'a>,
    /// Those of its queues in which it is alive.
    queues: Vec<QueueId>,
    /// Their slots, and behind them that of its definition if that is alive.
    slots: Vec<u32>,
    defines: Option<(&'a [u8], &'a [u8])>,
    pieces: Vec<Piece>,
}

impl Store {
    /// When more than half of the log is dead: copies what is alive in the emptiest segments to
    /// the end of the log, about `bytes_max` bytes of it, and tells `moved` of every (record,
    /// queue) pair: its queue entry and whoever else holds its record or slot must be told before
    /// the turn goes on. The message keeps its id. To be called before the turn's records are
    /// written. Never waits for the disk.
    pub fn compact(&mut self, bytes_max: usize, moved: &mut dyn FnMut(Relocated)) -> Compaction {
        let going_on = self.compacting.cursor.filter(|cursor| self.durable.is_at(*cursor));
        if going_on.is_none() {
            self.abandon_moving_body();
        }
        let Some(cursor) = going_on.or_else(|| self.durable.emptiest()) else {
            self.compacting.cursor = None;
            return Compaction::Idle;
        };
        self.compact_from(cursor, bytes_max, moved)
    }

    /// Whether slots were settled since [`Store::compact`] found nothing to do.
    #[inline]
    pub fn may_need_compaction(&self) -> bool {
        self.durable.grew_sparser
    }

    fn compact_from(
        &mut self,
        cursor: Cursor,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Compaction {
        self.compacting.cursor = Some(cursor);
        let bytes_max = bytes_max.min(self.durable.segment_bytes as usize / 4);
        // With a transaction's head, and the record that goes beyond the limit.
        let live = self.durable.segment(cursor.segment).live_bytes();
        let need = usize::try_from(2 * live).unwrap_or(usize::MAX).saturating_add(HEADS_BYTES);
        if self.row.is_some()
            || !self.may_copy()
            || !self.durable.has_room_for(need.min(2 * bytes_max))
        {
            return Compaction::Waiting;
        }
        let next = match cursor.stage {
            Stage::Records { offset } => self.move_records(cursor, offset, bytes_max, moved),
            Stage::Pieces { segment, large } => {
                self.move_body(cursor, (segment, large), bytes_max, moved)
            }
        };
        match next {
            Ok(next) => {
                self.compacting.cursor = next;
                Compaction::Busy
            }
            Err(AppendError::Full | AppendError::TooLarge) => Compaction::Waiting,
        }
    }

    /// Whether what was copied before does not have to be synced first.
    fn may_copy(&mut self) -> bool {
        let copied = &mut self.compacting.copied;
        if self.durable.syncs_done >= self.compacting.copied_sync {
            *copied = 0;
        }
        *copied < u64::from(self.durable.segment_bytes.min(UNSYNCED_BYTES_MAX))
    }

    fn note_copied(&mut self, bytes: usize) {
        self.compacting.copied += bytes as u64;
        self.compacting.copied_sync = self.durable.syncs_started + 1;
    }

    fn move_records(
        &mut self,
        cursor: Cursor,
        from: u32,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<Option<Cursor>, AppendError> {
        let segment = self.durable.segment(cursor.segment);
        let (map, end, salt) = (Arc::clone(&segment.map), segment.end, segment.salt);
        let (mut batch, mut definitions) = (Vec::new(), Vec::new());
        let (mut bytes, mut walked, mut offset) = (0, 0, from);
        while offset < end && walked < WALKED_MAX && bytes < bytes_max {
            let rest = map.slice(offset, end);
            let Some(frame) = record::frame(rest) else {
                return Ok(self.leave_damaged(cursor.segment, offset));
            };
            let before = batch.len() + definitions.len();
            self.gather(cursor, frame, &mut batch, &mut definitions);
            if batch.len() + definitions.len() > before {
                if record::read(rest, salt, offset).is_none() {
                    return Ok(self.leave_damaged(cursor.segment, offset));
                }
                bytes += frame.bytes.len();
            }
            offset += frame.span;
            walked += 1;
        }
        let is_last = offset >= end;
        for (key, payload, id) in definitions {
            self.append_definition(key, payload, Some(id))?;
        }
        if !batch.is_empty() {
            self.relocate(cursor.segment, &batch, moved)?;
        }
        let pieces = Stage::Pieces { segment: 0, large: 0 };
        let stage = if is_last { pieces } else { Stage::Records { offset } };
        Ok(Some(Cursor { stage, ..cursor }))
    }

    /// What of a record is alive and is moved in this stage.
    fn gather<'a>(
        &self,
        cursor: Cursor,
        frame: Frame<'a>,
        batch: &mut Vec<Live<'a>>,
        definitions: &mut Vec<(&'a [u8], &'a [u8], u64)>,
    ) {
        let segment = self.durable.segment(cursor.segment);
        if let Some(definition) = frame.definition() {
            if segment.slots[definition.slot() as usize] != SETTLED {
                definitions.push((definition.key(), definition.payload(), definition.id()));
            }
            return;
        }
        for (_, message) in frame.messages() {
            if message.pieces().any(|piece| piece.sequence == cursor.sequence) {
                // In the other stage.
                continue;
            }
            let Some(live) = live_part(segment, message) else {
                continue;
            };
            match live.defines.filter(|_| live.queues.is_empty()) {
                Some((key, payload)) => definitions.push((key, payload, message.id().0)),
                None => batch.push(live),
            }
        }
    }

    /// What was found damaged stays for whoever wants to look.
    fn leave_damaged(&mut self, index: u32, offset: u32) -> Option<Cursor> {
        let segment = self.durable.segment_mut(index);
        segment.damaged = true;
        let path = self.durable.directory.segment(self.durable.segment(index).number);
        let path = path.display();
        log::error!("{path} is damaged at byte {offset}: the segment is kept");
        None
    }

    /// One step of the copying of one body.
    fn move_body(
        &mut self,
        cursor: Cursor,
        from: (usize, usize),
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<Option<Cursor>, AppendError> {
        let mut cursor = cursor;
        let mut moving = match self.compacting.body.take() {
            Some(moving) => moving,
            None => {
                let Some((record, stage)) = self.durable.next_large(cursor.sequence, from) else {
                    self.durable.segment_mut(cursor.segment).compacted = true;
                    return Ok(None);
                };
                cursor.stage = stage;
                // Should the rest have to wait, it goes on from here.
                self.compacting.cursor = Some(cursor);
                let pieces = self.durable.message(record).pieces().collect();
                let sequence = self.durable.segment(record.segment.index()).sequence;
                MovingBody { record, sequence, pieces, copies: Vec::new(), next: 0 }
            }
        };
        if !self.durable.is_wanted(&moving) {
            self.abandon_body(&moving);
            return Ok(Some(cursor));
        }
        match self.copy_pieces(cursor, &mut moving, bytes_max) {
            Ok(true) => {}
            Ok(false) => {
                self.abandon_body(&moving);
                return Ok(self.leave_damaged(cursor.segment, HEADER_BYTES));
            }
            Err(error) => {
                self.compacting.body = Some(moving);
                return Err(error);
            }
        }
        if moving.next < moving.pieces.len() {
            self.compacting.body = Some(moving);
            return Ok(Some(cursor));
        }
        self.finish_body(cursor, moving, moved)
    }

    /// Copies pieces that lie in the segment; `false`: one is damaged.
    fn copy_pieces(
        &mut self,
        cursor: Cursor,
        moving: &mut MovingBody,
        bytes_max: usize,
    ) -> Result<bool, AppendError> {
        let segment = self.durable.segment(cursor.segment);
        let (map, end, salt) = (Arc::clone(&segment.map), segment.end, segment.salt);
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(&piece) = moving.pieces.get(moving.next)
        {
            if piece.sequence == cursor.sequence {
                let at = piece.offset - in_file(HEAD_BYTES);
                let Some(frame) = record::read(map.slice(at, end), salt, at) else {
                    return Ok(false);
                };
                moving.pieces[moving.next] =
                    self.durable.write_piece(frame.content(), Rank::Change, self.ids)?;
                moving.copies.push(moving.next);
                bytes += frame.bytes.len();
                self.note_copied(frame.bytes.len());
            }
            moving.next += 1;
        }
        Ok(true)
    }

    /// All pieces are there: a record that tells of them replaces the old one.
    fn finish_body(
        &mut self,
        cursor: Cursor,
        moving: MovingBody,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<Option<Cursor>, AppendError> {
        let bytes = self.durable.message(moving.record).bytes.to_vec();
        let index = moving.record.segment.index();
        let live = live_part(self.durable.segment(index), Message { bytes: &bytes });
        let mut live = live.expect("somebody wants it");
        live.pieces.clone_from(&moving.pieces);
        if let Err(error) = self.relocate(index, &[live], moved) {
            self.compacting.body = Some(moving);
            return Err(error);
        }
        self.abandon_body(&moving);
        Ok(Some(cursor))
    }

    fn abandon_moving_body(&mut self) {
        if let Some(moving) = self.compacting.body.take() {
            self.abandon_body(&moving);
        }
    }

    /// The copies go, unless a record holds them by now.
    fn abandon_body(&mut self, moving: &MovingBody) {
        for &copy in &moving.copies {
            self.durable.let_go(moving.pieces[copy].sequence);
        }
    }

    /// Copies records of one segment.
    fn relocate(
        &mut self,
        from: u32,
        batch: &[Live<'_>],
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<(), AppendError> {
        let old = batch.iter().flat_map(|live| &live.slots);
        let old: Vec<_> = old.map(|&slot| self.durable.old_slot(from, slot)).collect();
        let messages: Vec<(Draft<'_>, MessageId)> =
            batch.iter().map(|live| (live.draft(), live.message.id())).collect();
        let mut copies = Vec::with_capacity(batch.len());
        let count = old.len();
        let mut row = Row::new(&mut self.ids);
        let (rank, ids) = (Rank::Change, self.ids);
        let step = Step { messages: &messages, old, is_last: true, rank, ids };
        self.durable.append_step(&mut row, step, &mut copies)?;
        for (live, copy) in batch.iter().zip(&copies) {
            let by = copy.entry.at.segment.index();
            let deliveries = |slot: &u32| self.durable.deliveries(from, *slot);
            let deliveries: Vec<u8> = live.slots.iter().map(deliveries).collect();
            for (slot, deliveries) in (copy.first_slot.slot..).zip(deliveries) {
                if deliveries > 0 {
                    self.durable.set_deliveries(by, slot, deliveries);
                    self.durable.log_deliveries(by, slot);
                }
            }
            if let Some((key, _)) = live.defines {
                self.note_definition(key, copy.entry.at);
            }
            for &slot in &live.slots {
                self.durable.settle_by(from, slot, by);
            }
            for (n, (&slot, &queue)) in live.slots.iter().zip(&live.queues).enumerate() {
                moved(Relocated {
                    queue,
                    entry: Entry { id: copy.entry.id, at: copy.entry.at },
                    old: SlotRef { segment: self.durable.key(from), slot },
                    slot: copy.slot(in_file(n)),
                });
            }
        }
        self.relocated += count as u64;
        self.note_copied(batch.iter().map(|live| live.message.bytes.len()).sum());
        Ok(())
    }
}

impl Live<'_> {
    fn draft(&self) -> Draft<'_> {
        let message = self.message;
        let body = match message.is_large() {
            true => DraftBody::Pieces(&self.pieces),
            false => DraftBody::Inline(message.inline_body()),
        };
        Draft {
            exchange: message.exchange(),
            routing_key: message.routing_key(),
            properties: message.properties(),
            body,
            published_ms: message.published_ms(),
            expiry_ms: message.expiry_ms(),
            queues: &self.queues,
            replaces: None,
            defines: self.defines,
            relocated: true,
        }
    }
}

fn live_part<'a>(segment: &Segment, message: Message<'a>) -> Option<Live<'a>> {
    let (mut queues, mut slots, mut defines) = (Vec::new(), Vec::new(), None);
    for n in 0..message.slot_count() {
        let slot = message.first_slot() + n;
        if segment.slots[slot as usize] == SETTLED {
            continue;
        }
        slots.push(slot);
        if n < message.queue_count() {
            queues.push(message.queue(n));
        } else {
            defines = message.definition();
        }
    }
    let is_alive = !slots.is_empty();
    let pieces = message.pieces().collect();
    is_alive.then_some(Live { message, queues, slots, defines, pieces })
}

impl Ring {
    fn is_at(&self, cursor: Cursor) -> bool {
        let segment = self.segments[cursor.segment as usize].as_ref();
        segment.is_some_and(|segment| {
            segment.sequence == cursor.sequence && segment.is_worth_emptying()
        })
    }

    /// The segment with the smallest share of live messages, if compaction is due.
    fn emptiest(&mut self) -> Option<Cursor> {
        self.grew_sparser = false;
        let is_used = |segment: &Segment| segment.state == State::Sealed && segment.live > 0;
        let used = || self.segments.iter().flatten().filter(|segment| is_used(segment));
        let all: u64 = used().map(|segment| u64::from(segment.end - HEADER_BYTES)).sum();
        let live: u64 = used().map(Segment::live_bytes).sum();
        let is_due = used().count() >= SEGMENTS_MIN && live * 2 <= all;
        let mut best: Option<(u64, u32, u64)> = None;
        for (index, segment) in self.segments.iter_mut().enumerate() {
            let Some(segment) = segment.as_mut().filter(|segment| segment.is_worth_emptying())
            else {
                continue;
            };
            let live = segment.live_bytes();
            // What is nearly empty may be so because it is about to be consumed: it is looked at
            // twice.
            let is_sparse = segment.is_sparse();
            let was_sparse = std::mem::replace(&mut segment.was_sparse, is_sparse);
            self.grew_sparser |= is_sparse;
            let is_chosen = is_due || is_sparse && was_sparse;
            if is_chosen && best.is_none_or(|(least, ..)| live < least) {
                best = Some((live, in_file(index), segment.sequence));
            }
        }
        let (_, segment, sequence) = best?;
        self.grew_sparser = true;
        Some(Cursor { segment, sequence, stage: Stage::Records { offset: HEADER_BYTES } })
    }

    /// Whether copies of so many bytes find room without waiting for the disk, and without taking
    /// the last spare from publishers, unless the disk is full and they do not get it anyway.
    fn has_room_for(&self, bytes: usize) -> bool {
        let room = self.active.map_or(0, |active| self.segment(active).room());
        let kept = usize::from(!self.no_space);
        room >= bytes || self.spares.len() > kept
    }

    /// The next living record, from this place on in the lists, with a piece in the segment
    /// `sequence`; and where to go on.
    fn next_large(&self, sequence: u64, from: (usize, usize)) -> Option<(RecordRef, Stage)> {
        let (mut n, mut large) = from;
        while let Some(segment) = self.segments.get(n) {
            for listed in segment.iter().flat_map(|segment| &segment.large).skip(large) {
                large += 1;
                let segment = segment.as_ref().expect("it lists something");
                let at = RecordRef { segment: self.key(in_file(n)), offset: listed.offset };
                if segment.is_any_alive(listed.first_slot, listed.slots)
                    && self.message(at).pieces().any(|piece| piece.sequence == sequence)
                {
                    return Some((at, Stage::Pieces { segment: n, large }));
                }
            }
            (n, large) = (n + 1, 0);
        }
        None
    }

    /// Whether the record of a body that is being moved is still alive.
    fn is_wanted(&self, moving: &MovingBody) -> bool {
        let segment = self.segments[moving.record.segment.index() as usize].as_ref();
        segment.is_some_and(|segment| {
            segment.sequence == moving.sequence
                && live_part(segment, self.message(moving.record)).is_some()
        })
    }
}

impl Segment {
    /// An estimate: all messages count the same, and so do all pieces.
    fn live_bytes(&self) -> u64 {
        let share = |bytes: u32, live: u32, all: u32| {
            u64::from(bytes) * u64::from(live.min(all)) / u64::from(all.max(1))
        };
        let (all, alive) = (self.definitions, self.definitions_alive);
        let messages = self.end - HEADER_BYTES - self.piece_bytes - all.bytes;
        let live = self.live - self.holds - alive.records;
        share(messages, live, self.slot_count() - all.records)
            + share(self.piece_bytes, self.holds, self.pieces)
            + u64::from(alive.bytes)
    }

    fn is_worth_emptying(&self) -> bool {
        self.state == State::Sealed
            && self.live > 0
            && !self.damaged
            && !self.compacted
            && self.written == self.end
            && (self.live_bytes() * 2 <= u64::from(self.end - HEADER_BYTES) || self.is_sparse())
    }

    /// Whether most of what was appended to it is not alive any more.
    pub(in crate::storage) fn is_mostly_dead(&self) -> bool {
        self.live_bytes() * 4 <= u64::from(self.end - HEADER_BYTES)
    }

    fn is_sparse(&self) -> bool {
        self.live_bytes() * NEARLY_EMPTY <= u64::from(self.bytes)
    }
}

#[cfg(test)]
impl Store {
    /// How many bytes of the used segments are alive, and how many there are.
    pub(in crate::storage) fn live_share(&self) -> (u64, u64) {
        let used = || self.durable.segments.iter().flatten().filter(|s| s.live > 0);
        let all = used().map(|segment| u64::from(segment.end - HEADER_BYTES)).sum();
        (used().map(Segment::live_bytes).sum(), all)
    }

    /// Whether a body is on its way.
    pub(in crate::storage) fn is_moving_a_body(&self) -> bool {
        self.compacting.body.is_some()
    }

    /// Some steps of the emptying of any segment that is used, worth it or not: of the one
    /// that was begun with, now and then.
    pub(in crate::storage) fn compact_any(
        &mut self,
        n: usize,
        steps: usize,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) {
        let is_used = |segment: &Segment| {
            segment.state == State::Sealed && segment.live > 0 && segment.written == segment.end
        };
        let segments = self.durable.segments.iter().enumerate();
        let used: Vec<(u32, u64)> = segments
            .filter_map(|(n, segment)| Some((in_file(n), segment.as_ref()?)))
            .filter(|(_, segment)| is_used(segment))
            .map(|(n, segment)| (n, segment.sequence))
            .collect();
        let begun = self.compacting.cursor.filter(|cursor| {
            !n.is_multiple_of(3) && used.contains(&(cursor.segment, cursor.sequence))
        });
        let mut cursor = begun.or_else(|| {
            self.abandon_moving_body();
            let (segment, sequence) = *used.get(n % used.len().max(1))?;
            let stage = Stage::Records { offset: HEADER_BYTES };
            Some(Cursor { segment, sequence, stage })
        });
        for _ in 0..steps {
            let Some(at) = cursor else { return };
            if self.compact_from(at, bytes_max, moved) != Compaction::Busy {
                return;
            }
            cursor = self.compacting.cursor;
        }
    }
}
