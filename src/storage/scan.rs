//! What do the records of the segments that were found say? Walks and checks them, finds out which
//! slots are settled, and tells a torn tail from damage. Reads only; nothing here panics on any
//! bytes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::log::{Ids, ParkedRecord, Ring, Segment};
use super::record::{self, End, Frame, Kind, Message, OldSlot, Record, in_file};
use super::segment::HEADER_BYTES;
use super::slots::SETTLED;
use super::types::{Damage, Entry, LogPos, MessageId, RecordRef, Recovered, SlotRef};

/// A segment that was found, as far as it was read.
pub(super) struct Loaded {
    pub(super) segment: Segment,
    /// Its header says that something was durable in it.
    pub(super) in_use: bool,
    /// What the end record says, if there is one.
    pub(super) ended: Option<End>,
    /// Places that were skipped between whole records.
    pub(super) gaps: Vec<(u32, u32)>,
    /// Records that do not count, offset and span: to be made spaces, or they would count at the
    /// next start.
    pub(super) voided: Vec<(u32, u32)>,
    /// Slot bytes that the file does not have as they should be.
    changed: bool,
}

/// The walk through all segments, in sequence order.
pub(super) struct Scan {
    pub(super) loaded: Vec<Loaded>,
    pub(super) ids: Ids,
    pub(super) damaged: Vec<Damage>,
    /// The furthest position that is known to have been durable.
    pub(super) durable: LogPos,
    /// Live records that are out of order: index in `loaded`, offset.
    pub(super) relocated: Vec<(MessageId, usize, u32)>,
    pub(super) bytes: u64,
    by_sequence: HashMap<u64, usize>,
    /// Settled slots that were not found yet.
    pending: Vec<OldSlot>,
    /// A segment had no end record, and others follow.
    is_torn: bool,
    /// Records that may not count, see `judge`: index in `loaded`, offset.
    suspects: Vec<(usize, u32)>,
}

impl Loaded {
    pub(super) fn new(segment: Segment, in_use: bool) -> Loaded {
        Loaded {
            segment,
            in_use,
            ended: None,
            gaps: Vec::new(),
            voided: Vec::new(),
            changed: false,
        }
    }

    pub(super) fn has_records(&self) -> bool {
        self.segment.end > HEADER_BYTES
    }

    /// It was written to and is neither complete nor known to be damaged.
    fn is_torn(&self) -> bool {
        let is_used = self.in_use || self.has_records();
        is_used && self.ended.is_none() && !self.segment.damaged
    }

    pub(super) fn path(&self) -> PathBuf {
        self.segment.file.path.clone()
    }

    fn frame_at(&self, offset: u32) -> Option<Frame<'_>> {
        // Records end where slots begin.
        let limit = self.segment.bytes - self.segment.slot_count();
        let rest = self.segment.map.slice(offset.min(limit), limit);
        record::read(rest, self.segment.seed, offset)
    }
}

impl Scan {
    /// `loaded` is in sequence order, no sequence twice; `durable` is what the clean marker says.
    pub(super) fn new(loaded: Vec<Loaded>, ids: Ids, durable: LogPos) -> Scan {
        let by_sequence =
            loaded.iter().enumerate().map(|(n, found)| (found.segment.sequence, n)).collect();
        Scan {
            loaded,
            ids,
            damaged: Vec::new(),
            durable,
            relocated: Vec::new(),
            bytes: 0,
            by_sequence,
            pending: Vec::new(),
            is_torn: false,
            suspects: Vec::new(),
        }
    }

    /// Reads everything.
    pub(super) fn run(&mut self) {
        for n in 0..self.loaded.len() {
            if n > 0 && n.is_multiple_of(64) {
                log::info!("reading the message log: {n} of {} segments", self.loaded.len());
            }
            self.walk(n, HEADER_BYTES);
            self.is_torn |= self.loaded[n].is_torn();
        }
        for n in 0..self.loaded.len() {
            self.examine_end(n);
        }
        for (n, offset) in std::mem::take(&mut self.suspects) {
            self.judge(n, offset);
        }
        for old in std::mem::take(&mut self.pending) {
            // What is not there was torn or damaged itself.
            self.settle(old);
        }
        self.pending.clear();
        for found in &mut self.loaded {
            finish(found);
        }
    }

    /// Takes whole records from `at` on; the segment's `end` is after the last one.
    fn walk(&mut self, n: usize, mut at: u32) {
        loop {
            let found = &self.loaded[n];
            let map = Arc::clone(&found.segment.map);
            let limit = found.segment.bytes - found.segment.slot_count();
            if at >= limit {
                return;
            }
            let Some(frame) = record::read(map.slice(at, limit), found.segment.seed, at) else {
                return;
            };
            if !self.accept(n, at, frame) {
                return;
            }
            at += frame.span;
            self.bytes += u64::from(frame.span);
            let segment = &mut self.loaded[n].segment;
            segment.end = at;
            if frame.kind == Kind::Space {
                segment.spaces += 1;
                segment.space_bytes += frame.span;
            }
            if let Some(end) = frame.end() {
                self.loaded[n].ended = Some(end);
                return;
            }
        }
    }

    /// Takes over what a whole record says; `false`: it cannot be one of ours.
    fn accept(&mut self, n: usize, at: u32, frame: Frame<'_>) -> bool {
        let segment = &self.loaded[n].segment;
        let mut next = segment.slot_count();
        for (_, message) in frame.messages() {
            let first = message.first_slot();
            // Slots of skipped and voided records lie between.
            let end = first.checked_add(message.queue_count());
            let Some(end) = end.filter(|_| first >= next) else {
                return false;
            };
            let taken = u64::from(at) + u64::from(frame.span) + u64::from(end);
            if taken > u64::from(segment.bytes) {
                return false;
            }
            next = end;
        }
        if let Some(mark) = frame.mark() {
            self.durable = self.durable.max(mark.durable);
            self.ids.next_message = self.ids.next_message.max(mark.next_message);
            self.ids.next_queue = self.ids.next_queue.max(mark.next_queue);
        }
        for (_, message) in frame.messages() {
            load_slots(&mut self.loaded[n].segment, message);
            self.note_ids(message);
        }
        if self.is_whole(n, frame) && !(self.is_torn && old_slots(frame).next().is_some()) {
            self.take_effect(n, at, frame, |_| true);
        } else {
            self.suspects.push((n, at));
        }
        true
    }

    fn note_ids(&mut self, message: Message<'_>) {
        let ids = &mut self.ids;
        ids.next_message = ids.next_message.max(message.id().0.saturating_add(1));
        for index in 0..message.queue_count() {
            ids.next_queue = ids.next_queue.max(message.queue(index).0.saturating_add(1));
        }
    }

    /// Settles what the record settles elsewhere, and notes what has to be known of its messages.
    fn take_effect(
        &mut self,
        n: usize,
        at: u32,
        frame: Frame<'_>,
        is_whole: impl Fn(Message<'_>) -> bool,
    ) {
        for old in frame.settled() {
            self.settle(old);
        }
        for (offset, message) in frame.messages() {
            if !is_whole(message) {
                void(&mut self.loaded[n], message);
                continue;
            }
            if let Some(old) = message.replaces() {
                self.settle(old);
            }
            if !is_alive(&self.loaded[n].segment, message) {
                continue;
            }
            if message.is_relocated() {
                self.relocated.push((message.id(), n, at + offset));
            }
            let body = message.place().and_then(|place| self.by_sequence.get(&place.sequence));
            if let Some(&body) = body {
                let parked = ParkedRecord {
                    offset: at + offset,
                    first_slot: message.first_slot(),
                    slots: message.queue_count(),
                    // The ring's table is made in the order of `loaded`.
                    body_segment: in_file(body),
                };
                self.loaded[n].segment.parked.push(parked);
            }
        }
    }

    fn settle(&mut self, old: OldSlot) {
        let Some(&n) = self.by_sequence.get(&old.sequence) else {
            // Its segment was reused since: settled long ago.
            return;
        };
        let found = &mut self.loaded[n];
        match found.segment.slots.get_mut(old.slot as usize) {
            Some(slot) if *slot == SETTLED => {}
            Some(slot) => {
                *slot = SETTLED;
                found.changed = true;
            }
            None => self.pending.push(old),
        }
    }

    /// Whether a parked body is as its record says; it does not matter when nobody wants it.
    fn body_is_whole(&self, n: usize, message: Message<'_>) -> bool {
        let Some(place) = message.place().filter(|_| is_alive(&self.loaded[n].segment, message))
        else {
            return true;
        };
        let Some(body) = self.by_sequence.get(&place.sequence).map(|n| &self.loaded[*n].segment)
        else {
            return false;
        };
        let to = place.offset.checked_add(message.body_bytes());
        let Some(to) = to.filter(|to| place.offset >= HEADER_BYTES && *to <= body.bytes) else {
            return false;
        };
        crc32fast::hash(body.map.slice(place.offset, to)) == place.crc
    }

    /// A segment that has no end record: is that a torn tail, or is something missing that was
    /// durable? Then the record that is damaged is skipped when the next one can be found, and is
    /// whole, by the length of the damaged one; else the rest is.
    fn examine_end(&mut self, n: usize) {
        loop {
            let found = &self.loaded[n];
            let segment = &found.segment;
            let (sequence, stop) = (segment.sequence, segment.end);
            let is_empty = !found.in_use && !found.has_records();
            if found.ended.is_some()
                || is_empty
                || (LogPos { sequence, offset: stop }) >= self.durable
            {
                return;
            }
            let limit = segment.bytes - segment.slot_count();
            let rest = segment.map.slice(stop.min(limit), limit);
            let next = record::frame(rest).map(|frame| stop + frame.span);
            let next = next.filter(|next| found.frame_at(*next).is_some());
            self.loaded[n].segment.damaged = true;
            if let Some(next) = next {
                self.walk(n, next);
            }
            let end = self.loaded[n].segment.end;
            let skipped_to = match next {
                Some(next) if end > stop => {
                    self.loaded[n].gaps.push((stop, next));
                    next
                }
                Some(_) | None if self.durable.sequence == sequence => self.durable.offset,
                Some(_) | None => limit,
            };
            let skipped_bytes = u64::from(skipped_to.saturating_sub(stop));
            let path = self.loaded[n].path();
            self.damaged.push(Damage { path, offset: u64::from(stop), skipped_bytes });
            if end == stop {
                return;
            }
        }
    }

    /// A record that may not count. If it was not durable, it does not count when a body of it is
    /// not whole, nor does anything of its transaction then; nor does a record that settles
    /// something when an earlier segment is torn: what lay behind the tear may have settled the
    /// same message under another slot, so that it would be there twice. If it was durable, a body
    /// is damaged and the rest counts.
    fn judge(&mut self, n: usize, at: u32) {
        let map = Arc::clone(&self.loaded[n].segment.map);
        let Some(frame) = record::frame(map.slice(at, self.loaded[n].segment.end)) else {
            return;
        };
        let end = LogPos { sequence: self.loaded[n].segment.sequence, offset: at + frame.span };
        if end > self.durable && (!self.is_whole(n, frame) || self.may_build_on_torn(n, frame)) {
            for (_, message) in frame.messages() {
                void(&mut self.loaded[n], message);
            }
            self.loaded[n].voided.push((at, frame.span));
            return;
        }
        let broken: Vec<Message<'_>> = frame
            .messages()
            .map(|(_, message)| message)
            .filter(|message| !self.body_is_whole(n, *message))
            .collect();
        for message in &broken {
            if let Some(place) = message.place() {
                self.note_damaged_body(n, place, message.body_bytes());
            }
        }
        self.take_effect(n, at, frame, |m| broken.iter().all(|other| other.id() != m.id()));
    }

    fn is_whole(&self, n: usize, frame: Frame<'_>) -> bool {
        let mut messages = frame.messages();
        messages.all(|(_, message)| self.body_is_whole(n, message))
    }

    /// A slot is settled on disk for a record only once that is durable: then all before it is.
    fn may_build_on_torn(&self, n: usize, frame: Frame<'_>) -> bool {
        let is_torn = self.loaded[..n].iter().any(Loaded::is_torn);
        is_torn && old_slots(frame).all(|old| !self.is_settled_on_disk(old))
    }

    fn is_settled_on_disk(&self, old: OldSlot) -> bool {
        let Some(&n) = self.by_sequence.get(&old.sequence) else {
            // Its segment is gone: settled long ago.
            return true;
        };
        let segment = &self.loaded[n].segment;
        let at = segment.bytes.wrapping_sub(old.slot).wrapping_sub(1);
        old.slot < segment.slot_count() && segment.map.slice(at, at + 1) == [SETTLED]
    }

    fn note_damaged_body(&mut self, n: usize, place: record::Place, bytes: u32) {
        let body = self.by_sequence.get(&place.sequence).copied().unwrap_or(n);
        self.loaded[body].segment.damaged = true;
        self.damaged.push(Damage {
            path: self.loaded[body].path(),
            offset: u64::from(place.offset),
            skipped_bytes: u64::from(bytes),
        });
    }
}

/// All slots that a record settles, by itself or by a message in it.
fn old_slots(frame: Frame<'_>) -> impl Iterator<Item = OldSlot> + '_ {
    let replaced = frame.messages().filter_map(|(_, message)| message.replaces());
    frame.settled().chain(replaced)
}

/// Reads the slot bytes of a message from the file; those of skipped and voided records before it
/// count as settled.
fn load_slots(segment: &mut Segment, message: Message<'_>) {
    segment.slots.resize(message.first_slot() as usize, SETTLED);
    let to = segment.bytes - message.first_slot();
    let from = to - message.queue_count();
    segment.slots.extend(segment.map.slice(from, to).iter().rev());
}

fn slots_of(message: Message<'_>) -> std::ops::Range<usize> {
    let first = message.first_slot() as usize;
    first..first + message.queue_count() as usize
}

fn is_alive(segment: &Segment, message: Message<'_>) -> bool {
    segment.slots[slots_of(message)].iter().any(|slot| *slot != SETTLED)
}

fn void(found: &mut Loaded, message: Message<'_>) {
    found.segment.slots[slots_of(message)].fill(SETTLED);
    found.changed = true;
}

fn finish(found: &mut Loaded) {
    let segment = &mut found.segment;
    segment.written = segment.end;
    segment.slots_written = segment.slot_count();
    let live = segment.slots.iter().filter(|slot| **slot != SETTLED).count();
    segment.live = in_file(live);
    let is_alive = |parked: &ParkedRecord| {
        let first = parked.first_slot as usize;
        segment.slots[first..first + parked.slots as usize].iter().any(|slot| *slot != SETTLED)
    };
    let alive: Vec<ParkedRecord> = segment.parked.iter().copied().filter(is_alive).collect();
    segment.parked = alive;
    segment.parked.sort_by_key(|parked| parked.first_slot);
    if found.changed && segment.slot_count() > 0 {
        segment.dirty = Some((0, segment.slot_count()));
    }
}

/// What is to be handed over after recovery.
pub(super) struct Replay {
    /// Segment indices in sequence order, each with its gaps.
    pub(super) walks: Vec<(u32, Vec<(u32, u32)>)>,
    /// Live records that are out of order, by id.
    pub(super) relocated: Vec<(MessageId, RecordRef)>,
}

/// See [`Store::replay`](super::Store::replay).
pub(super) fn replay(ring: &mut Ring, replay: Replay, keep: &mut dyn FnMut(Recovered<'_>) -> bool) {
    let mut relocated = replay.relocated.into_iter().peekable();
    for (index, gaps) in replay.walks {
        let segment = ring.segment(index);
        let (map, end, key) = (Arc::clone(&segment.map), segment.end, ring.key(index));
        let mut at = HEADER_BYTES;
        while at < end {
            if let Some((_, next)) = gaps.iter().find(|(from, _)| *from == at) {
                at = *next;
                continue;
            }
            let Some(frame) = record::frame(map.slice(at, end)) else {
                break;
            };
            for (offset, message) in frame.messages().filter(|(_, m)| !m.is_relocated()) {
                while let Some((_, moved)) = relocated.next_if(|(id, _)| *id < message.id()) {
                    hand_over_at(ring, moved, keep);
                }
                let at = RecordRef { segment: key, offset: at + offset };
                hand_over(ring, at, message, keep);
            }
            at += frame.span;
        }
    }
    for (_, moved) in relocated {
        hand_over_at(ring, moved, keep);
    }
}

fn hand_over_at(ring: &mut Ring, at: RecordRef, keep: &mut dyn FnMut(Recovered<'_>) -> bool) {
    let segment = ring.segment(at.segment.index());
    let (map, end) = (Arc::clone(&segment.map), segment.end);
    if let Some(frame) = record::frame(map.slice(at.offset, end)) {
        hand_over(ring, at, Message { bytes: frame.bytes }, keep);
    }
}

fn hand_over(
    ring: &mut Ring,
    at: RecordRef,
    message: Message<'_>,
    keep: &mut dyn FnMut(Recovered<'_>) -> bool,
) {
    let index = at.segment.index();
    let first_slot = message.first_slot();
    for n in 0..message.queue_count() {
        let deliveries = ring.deliveries(index, first_slot + n);
        if deliveries == SETTLED {
            continue;
        }
        let body = match ring.body_place(at, message).filter(|_| message.is_parked()) {
            Some((map, from, to)) => map.slice(from, to),
            None => message.inline_body(),
        };
        let record = Record { segment: at.segment, message, body };
        let slot = SlotRef { segment: at.segment, slot: first_slot + n };
        let entry = Entry { id: message.id(), at };
        let queue = message.queue(n);
        if !keep(Recovered { entry, slot, queue, deliveries, record }) {
            ring.settle(index, first_slot + n);
        }
    }
}
