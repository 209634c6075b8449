//! How does a publication become a record, and many become one? Single appends and transactions:
//! ids, bodies wherever they come from, and what a record settles. A transaction is one record, so
//! that it is there as a whole or not at all.

use super::encode::{self, Draft, DraftBody};
use super::log::{ParkedRecord, Ring};
use super::record::{OLD_SLOT_BYTES, OldSlot, TRANSACTION_BYTES, in_file, padded};
use super::store::Store;
use super::types::{
    AppendError, Appended, Body, Entry, LogPos, MessageId, Publication, RecordRef, SlotRef,
};

/// Where the body of a publication comes from.
enum Source<'a> {
    Inline(&'a [u8]),
    /// From another record or the other ring.
    Copy(Vec<u8>),
    /// It lies in the ring already.
    Parked {
        body: DraftBody<'a>,
        segment: u32,
    },
}

impl Source<'_> {
    fn body(&self) -> DraftBody<'_> {
        match self {
            Source::Inline(bytes) => DraftBody::Inline(bytes),
            Source::Copy(bytes) => DraftBody::Inline(bytes),
            Source::Parked { body, .. } => *body,
        }
    }

    fn segment(&self) -> Option<u32> {
        match self {
            Source::Inline(_) | Source::Copy(_) => None,
            Source::Parked { segment, .. } => Some(*segment),
        }
    }
}

impl Store {
    #[inline]
    pub(super) fn append_message(
        &mut self,
        publication: &Publication<'_>,
    ) -> Result<Appended, AppendError> {
        if let Body::Inline(bytes) = publication.body {
            return self.append_one(publication, DraftBody::Inline(bytes), None);
        }
        let source = self.source(publication);
        let result = self.append_one(publication, source.body(), source.segment());
        if let Source::Copy(bytes) = source {
            self.scratch = bytes;
        }
        result
    }

    #[inline]
    fn append_one(
        &mut self,
        publication: &Publication<'_>,
        body: DraftBody<'_>,
        body_segment: Option<u32>,
    ) -> Result<Appended, AppendError> {
        let draft = self.draft(publication, body);
        let bytes = draft.record_bytes().ok_or(AppendError::TooLarge)?;
        let slots = draft.queues.len();
        let (ids, durable) = (self.ids, publication.durable);
        let ring = self.ring_mut(durable);
        let privileged = publication.replaces.is_some();
        let index = ring.make_room(padded(bytes as usize) + slots, privileged, ids)?;
        let id = MessageId(ids.next_message);
        let first_slot = ring.segment(index).slot_count();
        let deliveries = initial_deliveries(publication);
        let offset = ring.append_draft(index, &draft, bytes, id, deliveries);
        if let Some(body_segment) = body_segment {
            ring.note_parked(index, offset, (first_slot, in_file(slots)), body_segment);
        }
        let position = if durable { ring.end } else { LogPos::START };
        let segment = ring.key(index);
        self.ids.next_message += 1;
        self.messages += 1;
        if let Some(old) = publication.replaces {
            self.settle_replaced(old, durable.then_some(index), position);
        }
        Ok(Appended {
            entry: Entry { id, at: RecordRef { segment, offset } },
            first_slot: SlotRef { segment, slot: first_slot },
            position,
        })
    }

    /// Settles what a record in segment `by` of the durable ring replaces.
    fn settle_replaced(&mut self, old: SlotRef, by: Option<u32>, until: LogPos) {
        match by.filter(|_| old.segment.is_durable()) {
            Some(by) => {
                self.durable.settle_held(old.segment.index(), old.slot, by, until);
            }
            // What does not survive anyway needs no order.
            None => self.settle_slot(old),
        }
    }

    #[inline]
    fn draft<'a>(&self, publication: &Publication<'a>, body: DraftBody<'a>) -> Draft<'a> {
        let replaces = publication
            .replaces
            .filter(|old| publication.durable && old.segment.is_durable())
            .map(|old| self.old_slot(old));
        Draft {
            exchange: publication.exchange,
            routing_key: publication.routing_key,
            properties: publication.properties,
            body,
            published_ms: publication.published_ms,
            expiry_ms: publication.expiry_ms,
            queues: publication.queues,
            replaces,
            relocated: false,
        }
    }

    fn old_slot(&self, slot: SlotRef) -> OldSlot {
        let sequence = self.durable.segment(slot.segment.index()).sequence;
        OldSlot { sequence, slot: slot.slot }
    }

    fn source<'a>(&mut self, publication: &Publication<'a>) -> Source<'a> {
        let durable = publication.durable;
        match publication.body {
            Body::Inline(bytes) => Source::Inline(bytes),
            Body::Parked(parked) => {
                let segment = parked.segment.index();
                let mut scratch = std::mem::take(&mut self.scratch);
                let ring = self.ring(parked.segment.is_durable());
                let place = ring.place_of(parked);
                if parked.segment.is_durable() == durable {
                    let body = DraftBody::Parked { place, bytes: parked.bytes };
                    return Source::Parked { body, segment };
                }
                let to = place.offset + parked.bytes;
                let bytes = ring.segment(segment).map.slice(place.offset, to);
                Source::Copy(copy(&mut scratch, bytes))
            }
            Body::Of(at) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let record = self.record(at);
                let ring = self.ring(at.segment.is_durable());
                if let Some(place) = record.message.place() {
                    let segment = ring.segment(at.segment.index());
                    let first_slot = record.message.first_slot();
                    if let Some(segment) = segment
                        .body_segment(first_slot)
                        .filter(|_| at.segment.is_durable() == durable)
                    {
                        let bytes = record.message.body_bytes();
                        let body = DraftBody::Parked { place, bytes };
                        return Source::Parked { body, segment };
                    }
                }
                Source::Copy(copy(&mut scratch, record.body()))
            }
        }
    }

    pub(super) fn append_all(
        &mut self,
        publications: &[Publication<'_>],
        settles: &[SlotRef],
    ) -> Result<(Vec<Appended>, LogPos), AppendError> {
        assert!(publications.iter().all(|p| p.durable), "a transaction is a durable record");
        let old: Vec<OldSlot> = settles
            .iter()
            .filter(|slot| slot.segment.is_durable())
            .map(|slot| self.old_slot(*slot))
            .collect();
        let sources: Vec<Source<'_>> = publications.iter().map(|p| self.source(p)).collect();
        let drafts: Vec<Draft<'_>> =
            publications.iter().zip(&sources).map(|(p, s)| self.draft(p, s.body())).collect();
        let mut appended = Vec::with_capacity(publications.len());
        let mut by = None;
        if !drafts.is_empty() || !old.is_empty() {
            let privileged = publications.iter().all(|p| p.replaces.is_some());
            let next = self.ids.next_message;
            let ids: Vec<MessageId> = (next..).map(MessageId).take(drafts.len()).collect();
            by = Some(self.append_record(&drafts, &ids, &old, privileged, &mut appended)?);
            self.ids.next_message += ids.len() as u64;
        }
        let until = self.durable.end;
        for (n, publication) in publications.iter().enumerate() {
            self.finish_nested(publication, sources[n].segment(), &mut appended[n], until);
        }
        for &slot in settles {
            self.settle_replaced(slot, by, until);
        }
        self.messages += appended.len() as u64;
        Ok((appended, until))
    }

    /// Appends the record of a transaction, of messages with these ids; says in which segment.
    pub(super) fn append_record(
        &mut self,
        drafts: &[Draft<'_>],
        ids: &[MessageId],
        old: &[OldSlot],
        privileged: bool,
        appended: &mut Vec<Appended>,
    ) -> Result<u32, AppendError> {
        let mut total = padded(TRANSACTION_BYTES + OLD_SLOT_BYTES * old.len());
        let mut sizes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let bytes = draft.record_bytes().ok_or(AppendError::TooLarge)?;
            total += padded(bytes as usize);
            sizes.push(bytes);
        }
        let slots: usize = drafts.iter().map(|draft| draft.queues.len()).sum();
        let bytes = u32::try_from(total).map_err(|_| AppendError::TooLarge)?;
        let messages = u32::try_from(drafts.len()).map_err(|_| AppendError::TooLarge)?;
        let ring = &mut self.durable;
        let index = ring.make_room(total + slots, privileged, self.ids)?;
        let segment = ring.key(index);
        let start = ring.begin_record(index);
        let (begin, mut slot) = (ring.segment(index).end, ring.segment(index).slot_count());
        let out = ring.buffer_mut();
        encode::encode_transaction(out, bytes, messages, old);
        for ((draft, &bytes), &id) in drafts.iter().zip(&sizes).zip(ids) {
            let offset = begin + in_file(out.len() - start);
            draft.encode(out, bytes, id, slot);
            appended.push(Appended {
                entry: Entry { id, at: RecordRef { segment, offset } },
                first_slot: SlotRef { segment, slot },
                position: LogPos::START,
            });
            slot += in_file(draft.queues.len());
        }
        debug_assert_eq!(out.len() - start, total);
        ring.finish_record(index, start, total, slots, 0);
        Ok(index)
    }

    fn finish_nested(
        &mut self,
        publication: &Publication<'_>,
        body_segment: Option<u32>,
        appended: &mut Appended,
        until: LogPos,
    ) {
        appended.position = until;
        let index = appended.first_slot.segment.index();
        let first_slot = appended.first_slot.slot;
        let slots = in_file(publication.queues.len());
        if let Some(body_segment) = body_segment {
            let offset = appended.entry.at.offset;
            self.durable.note_parked(index, offset, (first_slot, slots), body_segment);
        }
        let deliveries = initial_deliveries(publication);
        if deliveries > 0 {
            for slot in first_slot..first_slot + slots {
                self.durable.set_deliveries(index, slot, deliveries);
            }
        }
        if let Some(old) = publication.replaces {
            self.settle_replaced(old, Some(index), until);
        }
    }
}

impl Ring {
    /// A record at `offset` in segment `index`, with its first slot and so many of them, tells of
    /// a parked body from now on.
    pub(super) fn note_parked(
        &mut self,
        index: u32,
        offset: u32,
        (first_slot, slots): (u32, u32),
        body_segment: u32,
    ) {
        if slots == 0 {
            return;
        }
        let parked = ParkedRecord { offset, first_slot, slots, body_segment };
        self.segment_mut(index).parked.push(parked);
        let body = self.segment_mut(body_segment);
        body.live += 1;
        body.bodies += 1;
        // Now there is a record with which the body can be moved.
        body.compacted = false;
    }
}

fn initial_deliveries(publication: &Publication<'_>) -> u8 {
    publication.deliveries.min(super::slots::DELIVERIES_MAX)
}

fn copy(scratch: &mut Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut copy = std::mem::take(scratch);
    copy.clear();
    copy.extend_from_slice(bytes);
    copy
}
