//! What when a few old messages keep many segments? Their records are copied to the end of the
//! log, a bounded amount at a time, and their segments get free. A batch of copies is a
//! transaction that settles the old slots, so a crash leaves every message once: here or there.

use std::sync::Arc;

use super::encode::{Draft, DraftBody};
use super::log::{Ring, Segment, State};
use super::record::{self, Message, OldSlot};
use super::segment::HEADER_BYTES;
use super::slots::SETTLED;
use super::store::Store;
use super::types::{AppendError, Entry, MessageId, QueueId, Relocated, SlotRef};

/// With fewer segments than this there is nothing to win.
const SEGMENTS_MIN: usize = 4;

/// How far the emptying of a segment is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    segment: u32,
    sequence: u64,
    offset: u32,
}

/// A record that is to be copied.
struct Live<'a> {
    message: Message<'a>,
    /// Those of its queues in which it is alive.
    queues: Vec<QueueId>,
    /// Their slots.
    slots: Vec<u32>,
}

impl Store {
    /// When more than half of the log is dead: copies live records of the emptiest segment to the
    /// end of the log, about `bytes_max` bytes of them, and tells `moved` of every (record, queue)
    /// pair: its queue entry and whoever else holds its record or slot must be told before the
    /// turn goes on. The message keeps its id. Gives back how many pairs were moved. Looks at
    /// every segment, so call it from a timer, and again in the next turns as long as it moves
    /// anything.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is no segment to copy to; then nothing was changed.
    pub fn compact(
        &mut self,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<usize, AppendError> {
        let going_on = self.compacting.filter(|cursor| self.durable.is_at(*cursor));
        self.compacting = going_on.or_else(|| self.durable.emptiest());
        let Some(cursor) = self.compacting else {
            return Ok(0);
        };
        self.compact_from(cursor, bytes_max, moved)
    }

    fn compact_from(
        &mut self,
        cursor: Cursor,
        bytes_max: usize,
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<usize, AppendError> {
        let map = Arc::clone(&self.durable.segment(cursor.segment).map);
        let segment = self.durable.segment(cursor.segment);
        let frames = Frames { at: cursor.offset, segment };
        let (mut batch, mut bytes, mut offset) = (Vec::new(), 0, cursor.offset);
        for (next, from) in frames {
            if bytes >= bytes_max {
                break;
            }
            if let Some(frame) = record::frame(map.slice(from, segment.end)) {
                for (_, message) in frame.messages() {
                    if let Some(live) = live_part(segment, message) {
                        bytes += message.bytes.len();
                        batch.push(live);
                    }
                }
            }
            offset = next;
        }
        if batch.is_empty() {
            self.durable.segment_mut(cursor.segment).compacted = true;
            self.compacting = None;
            return Ok(0);
        }
        let count = self.relocate(cursor, &batch, moved)?;
        self.compacting = Some(Cursor { offset, ..cursor });
        Ok(count)
    }

    fn relocate(
        &mut self,
        cursor: Cursor,
        batch: &[Live<'_>],
        moved: &mut dyn FnMut(Relocated),
    ) -> Result<usize, AppendError> {
        let sequence = cursor.sequence;
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
            self.take_over(cursor.segment, live, copy.first_slot, by);
            for (n, (&slot, &queue)) in live.slots.iter().zip(&live.queues).enumerate() {
                self.durable.settle_held(cursor.segment, slot, by, until);
                moved(Relocated {
                    queue,
                    entry: Entry { id: copy.entry.id, at: copy.entry.at },
                    old: SlotRef { segment: self.durable.key(cursor.segment), slot },
                    slot: copy.slot(record::in_file(n)),
                });
            }
        }
        Ok(old.len())
    }

    /// The copy has the deliveries of the old record, and its parked body.
    fn take_over(&mut self, from: u32, live: &Live<'_>, first_slot: SlotRef, by: u32) {
        let old = self.durable.segment(from);
        let deliveries: Vec<u8> = live.slots.iter().map(|s| old.slots[*s as usize]).collect();
        let body = old.body_segment(live.message.first_slot());
        if let Some(body) = body.filter(|_| live.message.is_parked()) {
            let slots = record::in_file(live.slots.len());
            self.durable.note_parked(by, first_slot.slot, slots, body);
        }
        for (slot, deliveries) in (first_slot.slot..).zip(deliveries) {
            if deliveries > 0 {
                self.durable.set_deliveries(by, slot, deliveries);
            }
        }
    }
}

impl Live<'_> {
    fn draft(&self) -> Draft<'_> {
        let parts = self.message.parts();
        let body = match self.message.place() {
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
    let mut live = Live { message, queues: Vec::new(), slots: Vec::new() };
    for n in 0..message.queue_count() {
        let slot = message.first_slot() + n;
        if segment.slots[slot as usize] != SETTLED {
            live.queues.push(message.queue(n));
            live.slots.push(slot);
        }
    }
    (!live.slots.is_empty()).then_some(live)
}

/// The records of a segment: where each ends and begins.
struct Frames<'a> {
    at: u32,
    segment: &'a Segment,
}

impl Iterator for Frames<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let from = self.at;
        if from >= self.segment.end {
            return None;
        }
        let frame = record::frame(self.segment.map.slice(from, self.segment.end))?;
        self.at += frame.span;
        Some((self.at, from))
    }
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
        Some(Cursor { segment, sequence, offset: HEADER_BYTES })
    }
}

impl Segment {
    /// An estimate: all records count the same.
    fn live_bytes(&self) -> u64 {
        let slots = u64::from(self.slot_count().max(1));
        u64::from(self.end - HEADER_BYTES) * u64::from(self.live).min(slots) / slots
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
mod tests {
    use super::super::tests::{open, publish, replay, turn};
    use super::*;

    impl Store {
        /// Empties any segment that is used, whether it is worth it or not.
        pub(in super::super) fn compact_any(&mut self, n: usize, moved: &mut dyn FnMut(Relocated)) {
            let used: Vec<u32> = (0..record::in_file(self.durable.segments.len()))
                .filter(|index| {
                    let segment = self.durable.segments[*index as usize].as_ref();
                    segment.is_some_and(|s| s.state == State::Used && s.written == s.end)
                })
                .collect();
            if let Some(&segment) = used.get(n % used.len().max(1)) {
                let sequence = self.durable.segment(segment).sequence;
                let cursor = Cursor { segment, sequence, offset: HEADER_BYTES };
                self.compact_from(cursor, 20_000, moved).unwrap();
            }
        }
    }

    #[test]
    fn a_few_old_messages_do_not_keep_many_segments() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut kept: Vec<(Entry, SlotRef, Vec<u8>)> = Vec::new();
        for n in 0..1000u32 {
            let body = n.to_le_bytes().repeat(400);
            let sent = publish(&mut store, 1, &body);
            if n % 25 == 0 {
                store.note_delivery(sent.first_slot);
                kept.push((sent.entry, sent.first_slot, body));
            } else {
                store.settle(sent.entry.at, sent.first_slot);
            }
            if n % 20 == 0 {
                turn(&mut store);
            }
        }
        let before = store.counters().segments_used;
        assert!(before > 20);
        let mut moved_in_turn = usize::MAX;
        while moved_in_turn > 0 {
            moved_in_turn = store
                .compact(10_000, &mut |moved| {
                    let held = kept.iter_mut().find(|(_, slot, _)| *slot == moved.old).unwrap();
                    assert_eq!((moved.queue, moved.entry.id), (QueueId(1), held.0.id));
                    (held.0, held.1) = (moved.entry, moved.slot);
                })
                .unwrap();
            assert!(moved_in_turn <= 8, "a bounded amount");
            turn(&mut store);
        }
        for _ in 0..3 {
            turn(&mut store);
        }
        let after = store.counters().segments_used;
        assert!(after <= 6, "{before} segments became {after}");
        for (entry, slot, body) in &kept {
            assert!(store.record(entry.at).body() == body);
            assert_eq!(store.deliveries(*slot), 1);
        }
        drop(store);
        let mut store = open(directory.path());
        let found = replay(&mut store);
        let ids: Vec<MessageId> = found.iter().map(|found| found.entry.id).collect();
        let expected: Vec<MessageId> = kept.iter().map(|(entry, ..)| entry.id).collect();
        assert_eq!(ids, expected, "each once, in order");
    }
}
