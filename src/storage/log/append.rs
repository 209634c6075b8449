//! How does a publication become a record, and many become one? Single appends and transactions:
//! ids, bodies wherever they come from, and what a record settles.
//!
//! A transaction is one record, so that it is there as a whole or not at all. One that is too large
//! for that, or that is appended in several steps, is a row of records with one number, of which
//! none counts before the last one is there; so segments all have one size.

use std::collections::BTreeSet;

use super::ring::{Ids, Rank, Ring, capacity};
use super::segment::LargeRecord;
use crate::storage::log::publication::{Appended, Body, Publication};
use crate::storage::record::draft::{self, Draft, DraftBody};
use crate::storage::record::message::Piece;
use crate::storage::record::statement::{self, Range, SETTLED};
use crate::storage::record::{OldSlot, Part, TRANSACTION_BYTES, in_file, padded};
use crate::storage::store::Store;
use crate::storage::types::{AppendError, Entry, LogPos, MessageId, RecordRef, SlotRef};

/// A transaction of more than this is several records, if segments are not even smaller.
const TRANSACTION_RECORD_BYTES_MAX: usize = 4 << 20;

/// Where the body of a publication comes from.
enum Source<'a> {
    Inline(&'a [u8]),
    /// From another record or the other ring.
    Copy(Vec<u8>),
    /// It lies in the ring already; `true`: these pieces were made for this record alone.
    Pieces(Vec<Piece>, bool),
}

impl Source<'_> {
    fn body(&self) -> DraftBody<'_> {
        match self {
            Source::Inline(bytes) => DraftBody::Inline(bytes),
            Source::Copy(bytes) => DraftBody::Inline(bytes),
            Source::Pieces(pieces, _) => DraftBody::Pieces(pieces),
        }
    }
}

impl Store {
    #[inline]
    pub(in crate::storage) fn append_message(
        &mut self,
        publication: &Publication<'_>,
    ) -> Result<Appended, AppendError> {
        if let Body::Inline(bytes) = publication.body
            && bytes.len() <= self.ring(publication.durable).inline_bytes_max()
        {
            return self.append_one(publication, DraftBody::Inline(bytes));
        }
        let mut source = self.source(publication)?;
        let result = self.append_one(publication, source.body());
        self.release_source(publication.durable, &mut source);
        result
    }

    #[inline]
    fn append_one(
        &mut self,
        publication: &Publication<'_>,
        body: DraftBody<'_>,
    ) -> Result<Appended, AppendError> {
        let draft = self.draft(publication, body);
        let bytes = draft.record_bytes().ok_or(AppendError::TooLarge)?;
        let (ids, durable) = (self.ids, publication.durable);
        let ring = self.ring_mut(durable);
        let rank = Rank::of(publication.replaces.is_some());
        let index = ring.make_room(padded(bytes as usize), rank, ids)?;
        let id = MessageId(ids.next_message);
        let first_slot = ring.segment(index).slot_count();
        let start = ring.begin_record(index);
        draft.encode(ring.buffer_mut(), bytes, id, first_slot);
        let slots = draft.slots();
        let deliveries = initial_deliveries(publication);
        let offset = ring.finish_record(index, start, bytes as usize, slots, deliveries);
        ring.note_pieces(index, offset, first_slot, &draft);
        let position = if durable { ring.end } else { LogPos::START };
        let segment = ring.key(index);
        self.ids.next_message += 1;
        self.messages += 1;
        self.messages_durable += u64::from(durable);
        let at = RecordRef { segment, offset };
        if let Some((key, _)) = publication.defines {
            self.define_with(key, at);
        }
        if let Some(old) = publication.replaces {
            self.settle_replaced(old, durable.then_some(index));
        }
        Ok(Appended {
            entry: Entry { id, at },
            first_slot: SlotRef { segment, slot: first_slot },
            position,
        })
    }

    /// Settles what a record in segment `by` of the durable ring replaces.
    fn settle_replaced(&mut self, old: SlotRef, by: Option<u32>) {
        match by.filter(|_| old.segment.is_durable()) {
            Some(by) => self.durable.settle_by(old.segment.index(), old.slot, by),
            None => self.settle_slot(old),
        }
    }

    #[inline]
    fn draft<'a>(&self, publication: &Publication<'a>, body: DraftBody<'a>) -> Draft<'a> {
        let replaces = publication
            .replaces
            .filter(|old| publication.durable && old.segment.is_durable())
            .map(|old| self.durable.old_slot(old.segment.index(), old.slot));
        debug_assert!(publication.durable || publication.defines.is_none());
        Draft {
            exchange: publication.exchange,
            routing_key: publication.routing_key,
            properties: publication.properties,
            body,
            published_ms: publication.published_ms,
            expiry_ms: publication.expiry_ms,
            queues: publication.queues,
            replaces,
            defines: publication.defines,
            relocated: false,
        }
    }

    fn source<'a>(&mut self, publication: &Publication<'a>) -> Result<Source<'a>, AppendError> {
        let durable = publication.durable;
        let most = self.ring(durable).inline_bytes_max();
        let ids = self.ids;
        match publication.body {
            Body::Inline(bytes) if bytes.len() <= most => Ok(Source::Inline(bytes)),
            Body::Inline(bytes) => {
                let parts = std::iter::once(bytes);
                let pieces = self.ring_mut(durable).copy_to_pieces(parts, ids)?;
                Ok(Source::Pieces(pieces, true))
            }
            Body::Large(body) => {
                assert!(body.is_complete(), "a body counts only when it is complete");
                if !body.waiting.is_empty() {
                    return Err(AppendError::Full);
                }
                if body.durable == durable {
                    return Ok(Source::Pieces(body.pieces.clone(), false));
                }
                let pieces = body.pieces.iter().copied();
                self.copy_across(durable, pieces)
            }
            Body::Of(at) => {
                let message = self.ring(at.segment.is_durable()).message(at);
                if !message.is_large() {
                    return Ok(Source::Copy(self.copy_inline(at)));
                }
                let pieces: Vec<Piece> = message.pieces().collect();
                if at.segment.is_durable() == durable {
                    return Ok(Source::Pieces(pieces, false));
                }
                self.copy_across(durable, pieces.into_iter())
            }
        }
    }

    fn copy_inline(&mut self, at: RecordRef) -> Vec<u8> {
        let mut copy = std::mem::take(&mut self.scratch);
        copy.clear();
        let message = self.ring(at.segment.is_durable()).message(at);
        copy.extend_from_slice(message.inline_body());
        copy
    }

    /// Copies a body from one ring to the other.
    fn copy_across<'a>(
        &mut self,
        durable: bool,
        pieces: impl Iterator<Item = Piece>,
    ) -> Result<Source<'a>, AppendError> {
        let ids = self.ids;
        let (from, to) = match durable {
            true => (&self.transient, &mut self.durable),
            false => (&self.durable, &mut self.transient),
        };
        let parts = pieces.map(|piece| from.piece(piece));
        Ok(Source::Pieces(to.copy_to_pieces(parts, ids)?, true))
    }

    /// What was made for a record only: it holds it by itself now, or nobody does.
    fn release_source(&mut self, durable: bool, source: &mut Source<'_>) {
        match source {
            Source::Inline(_) | Source::Pieces(_, false) => {}
            Source::Copy(bytes) => self.scratch = std::mem::take(bytes),
            Source::Pieces(pieces, true) => {
                let ring = self.ring_mut(durable);
                pieces.iter().for_each(|piece| ring.let_go(piece.sequence));
            }
        }
    }

    /// Appends one step of a transaction; see [`Store::append_part`].
    pub(in crate::storage) fn append_step(
        &mut self,
        publications: &[Publication<'_>],
        settles: &[SlotRef],
        is_last: bool,
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        let mut sources = Vec::with_capacity(publications.len());
        let mut result = Ok(());
        for publication in publications {
            match self.source(publication) {
                Ok(source) => sources.push(source),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let from = appended.len();
        let result = result
            .and_then(|()| self.append_sources(publications, &sources, settles, is_last, appended));
        sources.iter_mut().for_each(|source| self.release_source(true, source));
        if result.is_ok() {
            self.note_appended(publications, &appended[from..]);
        }
        result
    }

    fn append_sources(
        &mut self,
        publications: &[Publication<'_>],
        sources: &[Source<'_>],
        settles: &[SlotRef],
        is_last: bool,
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        let mut row = self.row.take().unwrap_or_else(|| Row::new(&mut self.ids));
        let ring = &self.durable;
        let old = settles.iter().map(|slot| ring.old_slot(slot.segment.index(), slot.slot));
        let (old, next) = (old.collect(), self.ids.next_message);
        let with_ids = publications.iter().zip(sources).zip(next..);
        let messages: Vec<_> =
            with_ids.map(|((p, s), id)| (self.draft(p, s.body()), MessageId(id))).collect();
        let rank = if publications.is_empty() { Rank::Statement } else { Rank::Publish };
        let step = Step { messages: &messages, old, is_last, rank, ids: self.ids };
        let result = self.durable.append_step(&mut row, step, appended);
        if result.is_ok() {
            self.ids.next_message += messages.len() as u64;
        }
        if result.is_ok() || row.is_begun() {
            self.row = Some(row);
            self.durable.row_is_open = true;
        }
        result
    }

    fn note_appended(&mut self, publications: &[Publication<'_>], appended: &[Appended]) {
        for (publication, appended) in publications.iter().zip(appended) {
            let deliveries = initial_deliveries(publication);
            if deliveries > 0 {
                let index = appended.first_slot.segment.index();
                let slots = in_file(publication.queues.len());
                for slot in appended.first_slot.slot..appended.first_slot.slot + slots {
                    self.durable.set_deliveries(index, slot, deliveries);
                }
            }
            if let (Some((key, _)), Some(row)) = (publication.defines, &mut self.row) {
                row.defines.push((key.to_vec(), appended.entry.at));
            }
        }
        self.messages += appended.len() as u64;
        self.messages_durable += appended.len() as u64;
    }

    /// So many bytes of room the body of a publication takes: none where it lies in the ring
    /// already, in pieces.
    pub(in crate::storage) fn body_room(&self, publication: &Publication<'_>) -> u64 {
        match publication.body {
            Body::Inline(body) => body.len() as u64,
            Body::Large(body) if body.durable == publication.durable => body.waiting.len() as u64,
            Body::Large(body) => body.bytes,
            Body::Of(at) => self.record(at).body_bytes(),
        }
    }

    /// So many bytes of room a step of a transaction takes, about.
    pub(in crate::storage) fn transaction_room(
        &self,
        publications: &[Publication<'_>],
        settles: usize,
    ) -> u64 {
        let one = |p: &Publication<'_>| {
            let names = p.exchange.len() + p.routing_key.len() + p.properties.len();
            512 + names as u64 + self.body_room(p) + 8 * p.queues.len() as u64
        };
        publications.iter().map(one).sum::<u64>() + 16 * settles as u64
    }
}

/// A transaction that is being appended.
#[derive(Debug)]
pub(in crate::storage) struct Row {
    /// What its records have in common, if they are several.
    number: u64,
    /// The segments of its records so far, and those of whose slots they say something.
    speaks_of: BTreeSet<u64>,
    /// Where the last record lies.
    last: Option<u32>,
    /// The slots of its records: the first one of each, and how many.
    slots: Vec<(SlotRef, u32)>,
    /// What its messages define once all of it is there.
    defines: Vec<(Vec<u8>, RecordRef)>,
}

impl Row {
    /// Takes a number that no other one has.
    pub(in crate::storage) fn new(ids: &mut Ids) -> Row {
        let number = ids.next_message;
        ids.next_message += 1;
        let (speaks_of, last) = (BTreeSet::new(), None);
        Row { number, speaks_of, last, slots: Vec::new(), defines: Vec::new() }
    }

    /// Whether something of it was appended.
    pub(in crate::storage) fn is_begun(&self) -> bool {
        self.last.is_some()
    }

    /// The segment of its last record.
    pub(in crate::storage) fn last(&self) -> u32 {
        self.last.expect("a transaction has at least one record")
    }

    /// One of its slots, each once.
    pub(in crate::storage) fn take_slot(&mut self) -> Option<SlotRef> {
        let (first, count) = self.slots.last_mut().map(|(slot, count)| (*slot, count))?;
        *count -= 1;
        let slot = SlotRef { slot: first.slot + *count, ..first };
        if *count == 0 {
            self.slots.pop();
        }
        Some(slot)
    }

    /// What its messages define, key and record; only once.
    pub(in crate::storage) fn take_definitions(&mut self) -> Vec<(Vec<u8>, RecordRef)> {
        std::mem::take(&mut self.defines)
    }
}

/// What is appended of a transaction at once.
pub(in crate::storage) struct Step<'a> {
    pub(in crate::storage) messages: &'a [(Draft<'a>, MessageId)],
    /// What it settles.
    pub(in crate::storage) old: Vec<OldSlot>,
    /// Nothing more follows: with this it counts.
    pub(in crate::storage) is_last: bool,
    pub(in crate::storage) rank: Rank,
    pub(in crate::storage) ids: Ids,
}

impl Ring {
    /// Appends the record or the records of one step of a transaction, all or none.
    pub(in crate::storage) fn append_step(
        &mut self,
        transaction: &mut Row,
        step: Step<'_>,
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        let Step { messages, mut old, is_last, rank, ids } = step;
        old.sort_unstable();
        let ranges = ranges_of(&old);
        let most = TRANSACTION_RECORD_BYTES_MAX.min(capacity(self.segment_bytes) / 2);
        let records = records_of(messages, ranges.len(), most, capacity(self.segment_bytes))?;
        if records.len() > 1 && !self.takes_all(&records, rank) {
            return Err(AppendError::Full);
        }
        let is_alone = is_last && records.len() == 1 && !transaction.is_begun();
        for (n, record) in records.iter().enumerate() {
            let is_last = is_last && n + 1 == records.len();
            let part = (!is_alone).then_some(Part { number: transaction.number, is_last });
            let (messages, said) =
                (&messages[record.messages.clone()], &ranges[record.ranges.clone()]);
            let index = self.append_transaction(messages, said, part, rank, ids, appended);
            // What was only begun would have to be undone.
            assert!(n == 0 || index.is_ok(), "there was room for all of it");
            let index = index?;
            transaction.last = Some(index);
            if is_alone {
                return Ok(());
            }
            let slots = messages.iter().map(|(draft, _)| draft.slots()).sum();
            if slots > 0 {
                let slot = self.segment(index).slot_count() - in_file(slots);
                let segment = self.key(index);
                transaction.slots.push((SlotRef { segment, slot }, in_file(slots)));
            }
            transaction.speaks_of.insert(self.segment(index).sequence);
            transaction.speaks_of.extend(said.iter().map(|range| range.sequence));
            if is_last {
                // The others count, and with them what they say, only because of this one.
                let spoken_of = transaction.speaks_of.iter();
                spoken_of.for_each(|sequence| self.note_spoken_of(index, *sequence));
            }
        }
        Ok(())
    }

    /// Whether there is room for these records one behind the other.
    fn takes_all(&self, records: &[OneRecord], rank: Rank) -> bool {
        let mut room = self.active.map_or(0, |active| self.segment(active).room());
        let (mut spares, mut taken) = (self.spares_for(rank), 0);
        records.iter().all(|record| {
            if record.bytes + self.reserve(rank, taken) > room && spares > 0 {
                (spares, taken) = (spares - 1, taken + 1);
                room = capacity(self.segment_bytes);
            }
            let fits = record.bytes + self.reserve(rank, taken) <= room;
            room = room.saturating_sub(record.bytes);
            fits
        })
    }

    fn append_transaction(
        &mut self,
        messages: &[(Draft<'_>, MessageId)],
        ranges: &[Range],
        part: Option<Part>,
        rank: Rank,
        ids: Ids,
        appended: &mut Vec<Appended>,
    ) -> Result<u32, AppendError> {
        let mut said = Vec::new();
        statement::encode(&mut said, ranges);
        let mut total = padded(TRANSACTION_BYTES + said.len());
        let mut sizes = Vec::with_capacity(messages.len());
        for (draft, _) in messages {
            let bytes = draft.record_bytes().ok_or(AppendError::TooLarge)?;
            total += padded(bytes as usize);
            sizes.push(bytes);
        }
        let bytes = u32::try_from(total).map_err(|_| AppendError::TooLarge)?;
        let index = self.make_room(total, rank, ids)?;
        let segment = self.key(index);
        let start = self.begin_record(index);
        let (begin, mut slot) = (self.segment(index).end, self.segment(index).slot_count());
        let first = appended.len();
        let out = self.buffer_mut();
        draft::transaction(out, bytes, messages.len(), &said, part);
        for ((draft, id), &bytes) in messages.iter().zip(&sizes) {
            let offset = begin + in_file(out.len() - start);
            draft.encode(out, bytes, *id, slot);
            appended.push(Appended {
                entry: Entry { id: *id, at: RecordRef { segment, offset } },
                first_slot: SlotRef { segment, slot },
                position: LogPos::START,
            });
            slot += in_file(draft.slots());
        }
        debug_assert_eq!(out.len() - start, total);
        let slots = messages.iter().map(|(draft, _)| draft.slots()).sum();
        self.finish_record(index, start, total, slots, 0);
        self.end_of_content = self.end;
        for ((draft, _), appended) in messages.iter().zip(&appended[first..]) {
            let (offset, slot) = (appended.entry.at.offset, appended.first_slot.slot);
            self.note_pieces(index, offset, slot, draft);
        }
        for run in ranges.chunk_by(|a, b| a.sequence == b.sequence) {
            self.note_spoken_of(index, run[0].sequence);
        }
        Ok(index)
    }

    /// The record at `offset` in segment `index` tells of pieces from now on, if it does.
    #[inline]
    pub(in crate::storage) fn note_pieces(
        &mut self,
        index: u32,
        offset: u32,
        first_slot: u32,
        draft: &Draft<'_>,
    ) {
        let DraftBody::Pieces(pieces) = draft.body else {
            return;
        };
        let slots = in_file(draft.slots());
        if slots == 0 {
            return;
        }
        self.segment_mut(index).large.push(LargeRecord { offset, first_slot, slots });
        pieces.iter().for_each(|piece| self.hold(piece.sequence));
    }
}

/// One record of a transaction: these of its messages and of what it says of slots.
struct OneRecord {
    messages: std::ops::Range<usize>,
    ranges: std::ops::Range<usize>,
    bytes: usize,
}

/// A range takes no more than this in a statement, its segment's number included.
const RANGE_BYTES_MAX: usize = 22;

fn records_of(
    messages: &[(Draft<'_>, MessageId)],
    ranges: usize,
    bytes_max: usize,
    capacity: usize,
) -> Result<Vec<OneRecord>, AppendError> {
    let record =
        |messages, ranges, bytes| OneRecord { messages, ranges, bytes: TRANSACTION_BYTES + bytes };
    let mut records = vec![record(0..0, 0..0, 0)];
    for (n, (draft, _)) in messages.iter().enumerate() {
        let bytes = padded(draft.record_bytes().ok_or(AppendError::TooLarge)? as usize);
        if bytes + padded(TRANSACTION_BYTES) > capacity {
            return Err(AppendError::TooLarge);
        }
        let last = records.last_mut().expect("there is always one");
        if last.messages.is_empty() || last.bytes + bytes <= bytes_max {
            (last.messages.end, last.bytes) = (n + 1, last.bytes + bytes);
        } else {
            records.push(record(n..n + 1, 0..0, bytes));
        }
    }
    let mut said = 0;
    while said < ranges {
        let last = records.last_mut().expect("there is always one");
        let fit = bytes_max.saturating_sub(last.bytes) / RANGE_BYTES_MAX;
        let now = fit.min(ranges - said);
        last.ranges = said..said + now;
        last.bytes += padded(now * RANGE_BYTES_MAX);
        said += now;
        if said < ranges {
            records.push(record(messages.len()..messages.len(), said..said, 0));
        }
    }
    Ok(records)
}

fn ranges_of(old: &[OldSlot]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for &OldSlot { sequence, slot } in old {
        let range = Range { sequence, first: slot, count: 1, state: SETTLED };
        if !ranges.last_mut().is_some_and(|last| last.join(range)) {
            ranges.push(range);
        }
    }
    ranges
}

fn initial_deliveries(publication: &Publication<'_>) -> u8 {
    publication.deliveries.min(statement::DELIVERIES_MAX)
}
