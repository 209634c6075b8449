//! What when a few old messages keep many segments? Their records are copied to the end of the
//! log, a bounded amount at a time, and their segments get free. A batch of copies is a
//! transaction that settles the old slots, so a crash leaves every message once: here or there.
//!
//! A segment is emptied in two stages: first the records in it, then the parked bodies in it, each
//! with the record that tells of it, wherever that lies. What is copied was checked before: damage
//! is not copied under a new checksum but left where it is.

use std::sync::Arc;

use super::encode::{Draft, DraftBody};
use super::log::{Ring, Segment, State};
use super::record::{self, Message, OldSlot, Place};
use super::segment::HEADER_BYTES;
use super::slots::SETTLED;
use super::store::Store;
use super::types::{
    AppendError, Compaction, Entry, MessageId, ParkedBody, QueueId, RecordRef, Relocated, SlotRef,
};

/// With fewer segments than this there is nothing to win.
const SEGMENTS_MIN: usize = 4;

/// So many copied bytes wait for a sync at most, or a segment if that is less: whoever waits for a
/// sync of his own waits for no more than that.
const UNSYNCED_BYTES_MAX: u32 = 4 << 20;

/// So many records are looked at in one step, most of which may be dead.
const WALKED_MAX: usize = 4096;

/// What is being done about a sparse log.
#[derive(Debug, Default)]
pub(super) struct Compacting {
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
    /// The bodies of which records tell that stand from here on in the segments' lists of them.
    Bodies { segment: usize, parked: usize },
}

/// A parked body that is being copied.
#[derive(Debug)]
struct MovingBody {
    /// Its new place.
    to: ParkedBody,
    /// Its old one.
    from: Place,
    /// The record that tells of it, in the segment's life of this number.
    record: RecordRef,
    sequence: u64,
}

/// A record that is to be copied.
struct Live<'a> {
    message: Message<'a>,
    /// Those of its queues in which it is alive.
    queues: Vec<QueueId>,
    /// Their slots.
    slots: Vec<u32>,
    /// Where its body lies from now on: place and segment. `None`: with the record, or where it is.
    body: Option<(Place, u32)>,
}

impl Store {
    /// When more than half of the log is dead: copies what is alive in the emptiest segments to
    /// the end of the log, about `bytes_max` bytes of it, and tells `moved` of every (record,
    /// queue) pair: its queue entry and whoever else holds its record or slot must be told before
    /// the turn goes on. The message keeps its id. To be called before the turn's records are
    /// written. Never waits for the disk unless a record needs a segment of its own.
    pub fn compact(&mut self, bytes_max: usize, moved: &mut dyn FnMut(Relocated)) -> Compaction {
        let going_on = self.compacting.cursor.filter(|cursor| self.durable.is_at(*cursor));
        if going_on.is_none() {
            self.abandon_moving_body();
        }
        let Some(cursor) = going_on.or_else(|| self.durable.emptiest()) else {
            self.durable.grew_sparser = false;
            self.compacting.cursor = None;
            return Compaction::Idle;
        };
        self.compact_from(cursor, bytes_max, moved)
    }

    /// Whether slots were settled since [`Store::compact`] found nothing to do.
    #[inline]
    pub fn may_need_compaction(&self) -> bool {
        self.durable.grew_sparser && self.durable.segments.len() >= SEGMENTS_MIN
    }

    fn compact_from(
        &mut self,
        cursor: Cursor,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Compaction {
        self.compacting.cursor = Some(cursor);
        let bytes_max = bytes_max.min(self.durable.segment_bytes as usize / 4);
        // A transaction's head, and the record that goes beyond the limit.
        if !self.may_copy() || !self.durable.has_room_for(2 * bytes_max) {
            return Compaction::Waiting;
        }
        let next = match cursor.stage {
            Stage::Records { offset } => self.move_records(cursor, offset, bytes_max, moved),
            Stage::Bodies { segment, parked } => {
                self.move_body(cursor, (segment, parked), bytes_max, moved)
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
        let map = Arc::clone(&self.durable.segment(cursor.segment).map);
        let segment = self.durable.segment(cursor.segment);
        let (mut batch, mut bytes, mut walked, mut offset) = (Vec::new(), 0, 0, from);
        'walk: while offset < segment.end && walked < WALKED_MAX {
            let rest = map.slice(offset, segment.end);
            let Some(frame) = record::frame(rest) else {
                return Ok(self.leave_damaged(cursor.segment, offset));
            };
            let before = batch.len();
            for (_, message) in frame.messages() {
                let body = segment.body_segment(message.first_slot());
                if body == Some(cursor.segment) {
                    // In the other stage.
                    continue;
                }
                if bytes >= bytes_max {
                    break 'walk;
                }
                if let Some(live) = live_part(segment, message) {
                    bytes += message.bytes.len();
                    batch.push(live);
                }
            }
            if batch.len() > before && record::read(rest, segment.seed, offset).is_none() {
                return Ok(self.leave_damaged(cursor.segment, offset));
            }
            offset += frame.span;
            walked += 1;
        }
        let is_last = offset >= segment.end;
        if !batch.is_empty() {
            self.relocate(cursor.segment, &batch, moved)?;
        }
        let bodies = Stage::Bodies { segment: 0, parked: 0 };
        let stage = if is_last { bodies } else { Stage::Records { offset } };
        Ok(Some(Cursor { stage, ..cursor }))
    }

    /// What was found damaged stays for whoever wants to look.
    fn leave_damaged(&mut self, index: u32, offset: u32) -> Option<Cursor> {
        let segment = self.durable.segment_mut(index);
        segment.damaged = true;
        let path = segment.file.path.display();
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
                let Some((record, stage)) = self.durable.next_parked(cursor.segment, from) else {
                    self.durable.segment_mut(cursor.segment).compacted = true;
                    return Ok(None);
                };
                let moving = self.begin_body(record)?;
                cursor.stage = stage;
                // Should the rest have to wait, it goes on from here.
                self.compacting.cursor = Some(cursor);
                moving
            }
        };
        if !self.durable.is_wanted(&moving) {
            self.abandon(moving.to);
            return Ok(Some(cursor));
        }
        let map = Arc::clone(&self.durable.segment(cursor.segment).map);
        let begin = moving.from.offset + moving.to.written;
        let chunk = moving.to.missing_bytes().min(bytes_max as u64);
        let end = begin + u32::try_from(chunk).expect("not more than is missing");
        if let Err(error) = self.durable.park(&mut moving.to, map.slice(begin, end)) {
            // The store has failed: it says so when the turn writes out.
            log::error!("{error}");
        }
        self.note_copied((end - begin) as usize);
        if moving.to.is_complete() {
            return self.finish_body(cursor, moving, moved);
        }
        self.compacting.body = Some(moving);
        Ok(Some(cursor))
    }

    fn begin_body(&mut self, record: RecordRef) -> Result<MovingBody, AppendError> {
        let message = self.durable.message(record);
        let bytes = message.body_bytes();
        let from = message.place().expect("it is listed as a record with a parked body");
        if !self.durable.has_room_for(record::padded(record::SPACE_BYTES + bytes as usize)) {
            return Err(AppendError::Full);
        }
        let to = self.durable.park_body(u64::from(bytes), true, self.ids)?;
        let sequence = self.durable.segment(record.segment.index()).sequence;
        Ok(MovingBody { to, from, record, sequence })
    }

    /// The whole body is there: a record that tells of it replaces the old one.
    fn finish_body(
        &mut self,
        cursor: Cursor,
        moving: MovingBody,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<Option<Cursor>, AppendError> {
        let place = self.durable.place_of(&moving.to);
        if place.crc != moving.from.crc {
            self.abandon(moving.to);
            return Ok(self.leave_damaged(cursor.segment, moving.from.offset));
        }
        let bytes = self.durable.message(moving.record).bytes.to_vec();
        let index = moving.record.segment.index();
        let live = live_part(self.durable.segment(index), Message { bytes: &bytes });
        let mut live = live.expect("somebody wants it");
        live.body = Some((place, moving.to.segment.index()));
        if let Err(error) = self.relocate(index, &[live], moved) {
            self.compacting.body = Some(moving);
            return Err(error);
        }
        self.abandon(moving.to);
        Ok(Some(cursor))
    }

    fn abandon_moving_body(&mut self) {
        if let Some(moving) = self.compacting.body.take() {
            self.abandon(moving.to);
        }
    }

    /// Copies records of one segment.
    fn relocate(
        &mut self,
        from: u32,
        batch: &[Live<'_>],
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<(), AppendError> {
        let sequence = self.durable.segment(from).sequence;
        let old: Vec<OldSlot> = batch
            .iter()
            .flat_map(|live| live.slots.iter().map(|&slot| OldSlot { sequence, slot }))
            .collect();
        let drafts: Vec<Draft<'_>> = batch.iter().map(Live::draft).collect();
        let ids: Vec<MessageId> = batch.iter().map(|live| live.message.id()).collect();
        let mut copies = Vec::with_capacity(batch.len());
        let by = self.append_record(&drafts, &ids, &old, true, &mut copies)?;
        let until = self.durable.end;
        for (live, copy) in batch.iter().zip(&copies) {
            self.take_over(from, live, copy.entry.at, copy.first_slot);
            for (n, (&slot, &queue)) in live.slots.iter().zip(&live.queues).enumerate() {
                self.durable.settle_held(from, slot, by, until);
                moved(Relocated {
                    queue,
                    entry: Entry { id: copy.entry.id, at: copy.entry.at },
                    old: SlotRef { segment: self.durable.key(from), slot },
                    slot: copy.slot(record::in_file(n)),
                });
            }
        }
        self.relocated += old.len() as u64;
        self.note_copied(batch.iter().map(|live| live.message.bytes.len()).sum());
        Ok(())
    }

    /// The copy has the deliveries of the old record, and its parked body or a copy of that.
    fn take_over(&mut self, from: u32, live: &Live<'_>, at: RecordRef, first_slot: SlotRef) {
        let old = self.durable.segment(from);
        let by = at.segment.index();
        let deliveries: Vec<u8> = live.slots.iter().map(|s| old.slots[*s as usize]).collect();
        let body = old.body_segment(live.message.first_slot());
        let body = live.body.map(|(_, segment)| segment).or(body);
        if let Some(body) = body.filter(|_| live.message.is_parked()) {
            let slots = record::in_file(live.slots.len());
            self.durable.note_parked(by, at.offset, (first_slot.slot, slots), body);
        }
        for (slot, deliveries) in (first_slot.slot..).zip(deliveries) {
            if deliveries > 0 {
                self.durable.set_deliveries(by, slot, deliveries);
                self.slots_follow = true;
            }
        }
    }
}

impl Live<'_> {
    fn draft(&self) -> Draft<'_> {
        let parts = self.message.parts();
        let place = self.body.map(|(place, _)| place).or(self.message.place());
        let body = match place {
            Some(place) => DraftBody::Parked { place, bytes: self.message.body_bytes() },
            None => DraftBody::Inline(self.message.inline_body()),
        };
        Draft {
            exchange: parts.exchange,
            routing_key: parts.routing_key,
            properties: parts.properties,
            body,
            published_ms: parts.published_ms,
            expiry_ms: parts.expiry_ms,
            queues: &self.queues,
            replaces: None,
            relocated: true,
        }
    }
}

fn live_part<'a>(segment: &Segment, message: Message<'a>) -> Option<Live<'a>> {
    let mut live = Live { message, queues: Vec::new(), slots: Vec::new(), body: None };
    for n in 0..message.queue_count() {
        let slot = message.first_slot() + n;
        if segment.slots[slot as usize] != SETTLED {
            live.queues.push(message.queue(n));
            live.slots.push(slot);
        }
    }
    (!live.slots.is_empty()).then_some(live)
}

impl Ring {
    fn is_at(&self, cursor: Cursor) -> bool {
        let segment = self.segments[cursor.segment as usize].as_ref();
        segment.is_some_and(|segment| {
            segment.sequence == cursor.sequence && segment.is_worth_emptying(self.segment_bytes)
        })
    }

    /// The segment with the smallest share of live messages, if compaction is due.
    fn emptiest(&self) -> Option<Cursor> {
        let is_used = |segment: &Segment| segment.state == State::Used && segment.live > 0;
        let used = || self.segments.iter().flatten().filter(|segment| is_used(segment));
        let all: u64 = used().map(|segment| u64::from(segment.end - HEADER_BYTES)).sum();
        let live: u64 = used().map(Segment::live_bytes).sum();
        if used().count() < SEGMENTS_MIN || live * 2 > all {
            return None;
        }
        let (index, segment) = self
            .segments
            .iter()
            .enumerate()
            .filter_map(|(index, segment)| segment.as_ref().map(|segment| (index, segment)))
            .filter(|(_, segment)| segment.is_worth_emptying(self.segment_bytes))
            .min_by_key(|(_, segment)| segment.live_bytes())?;
        let (segment, sequence) = (record::in_file(index), segment.sequence);
        Some(Cursor { segment, sequence, stage: Stage::Records { offset: HEADER_BYTES } })
    }

    /// Whether copies of so many bytes find room without waiting for the disk, and without taking
    /// the last spare from publishers, unless the disk is full and they do not get it anyway.
    fn has_room_for(&self, bytes: usize) -> bool {
        let room = self.active.map_or(0, |active| self.segment(active).room());
        let kept = usize::from(!self.no_space);
        room >= bytes || self.spares.len() > kept
    }

    /// The next living record, from this place on in the lists, whose body is parked in the
    /// segment `body`; and where to go on.
    fn next_parked(&self, body: u32, from: (usize, usize)) -> Option<(RecordRef, Stage)> {
        let (mut n, mut parked) = from;
        while let Some(segment) = self.segments.get(n) {
            let listed = segment.iter().flat_map(|segment| &segment.parked).skip(parked);
            for listed in listed {
                parked += 1;
                let slots = listed.first_slot as usize..(listed.first_slot + listed.slots) as usize;
                let is_alive = || {
                    let slots = segment.as_ref().map(|segment| &segment.slots[slots]);
                    slots.is_some_and(|slots| slots.iter().any(|slot| *slot != SETTLED))
                };
                if listed.body_segment == body && is_alive() {
                    let segment = self.key(record::in_file(n));
                    let at = RecordRef { segment, offset: listed.offset };
                    return Some((at, Stage::Bodies { segment: n, parked }));
                }
            }
            (n, parked) = (n + 1, 0);
        }
        None
    }

    /// Whether the record of the body is still there and alive.
    fn is_wanted(&self, moving: &MovingBody) -> bool {
        let segment = self.segments[moving.record.segment.index() as usize].as_ref();
        segment.is_some_and(|segment| {
            segment.sequence == moving.sequence
                && live_part(segment, self.message(moving.record)).is_some()
        })
    }
}

impl Segment {
    /// An estimate: all records count the same, and so do all bodies.
    fn live_bytes(&self) -> u64 {
        let share = |bytes: u32, live: u32, all: u32| {
            u64::from(bytes) * u64::from(live.min(all)) / u64::from(all.max(1))
        };
        let records = self.end - HEADER_BYTES - self.space_bytes;
        share(records, self.live - self.bodies, self.slot_count())
            + share(self.space_bytes, self.bodies, self.spaces)
    }

    fn is_worth_emptying(&self, segment_bytes: u32) -> bool {
        self.state == State::Used
            && self.live > 0
            && !self.damaged
            && !self.compacted
            && self.bytes == segment_bytes
            && self.written == self.end
            && self.live_bytes() * 2 <= u64::from(self.end - HEADER_BYTES)
    }
}

#[cfg(test)]
impl Store {
    /// How many bytes of the used segments are alive, and how many there are.
    pub(super) fn live_share(&self) -> (u64, u64) {
        let used = || self.durable.segments.iter().flatten().filter(|s| s.live > 0);
        let all = used().map(|segment| u64::from(segment.end - HEADER_BYTES)).sum();
        (used().map(Segment::live_bytes).sum(), all)
    }

    /// Whether a body is on its way.
    pub(super) fn is_moving_a_body(&self) -> bool {
        self.compacting.body.is_some()
    }

    /// Some steps of the emptying of any segment that is used, worth it or not: of the one
    /// that was begun with, now and then.
    pub(super) fn compact_any(
        &mut self,
        n: usize,
        steps: usize,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) {
        let is_used = |segment: &Segment| {
            segment.state == State::Used && segment.live > 0 && segment.written == segment.end
        };
        let segments = self.durable.segments.iter().enumerate();
        let used: Vec<(u32, u64)> = segments
            .filter_map(|(n, segment)| Some((record::in_file(n), segment.as_ref()?)))
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
