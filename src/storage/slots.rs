//! Which messages are settled, and what may the file know of it? Slot bytes, live counts, the
//! holds on what a replacing record settles, and the release of parked bodies.
//!
//! A slot that a replacing record (or a transaction) settles is settled in memory at once; the
//! file keeps the old value until the replacing record is durable. Until the new value is durable,
//! too, the segment of the replacing record is not reused: without it the old message would be
//! back after a crash. Likewise the segment of a parked body is not reused before the slots of
//! its record are settled on disk.

use super::log::{Ring, State};
use super::types::{LogPos, StorageError};

/// The slot byte of a settled message.
pub(super) const SETTLED: u8 = 255;
/// The highest number of deliveries that a slot counts.
pub(super) const DELIVERIES_MAX: u8 = 254;

/// A settled slot that the file must not know of yet; the value is in the segment's `held`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// End of the replacing record.
    pub(super) until: LogPos,
    /// Segment of the slot.
    pub(super) segment: u32,
    /// Segment of the replacing record.
    pub(super) by: u32,
}

/// A parked body of which one record fewer tells, once that has reached the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyRelease {
    pub(super) until: LogPos,
    pub(super) record_segment: u32,
    pub(super) body_segment: u32,
}

impl Ring {
    /// Settles a slot for good.
    #[inline]
    pub(super) fn settle(&mut self, index: u32, slot: u32) {
        self.set_settled(index, slot);
        self.mark_dirty(index, slot, slot + 1);
        self.after_settling(index, slot, LogPos::START);
    }

    /// Settles a slot because of a record in segment `by` that ends at `until`.
    pub(super) fn settle_held(&mut self, index: u32, slot: u32, by: u32, until: LogPos) {
        debug_assert!(self.holds.back().is_none_or(|last| last.until <= until));
        let value = self.set_settled(index, slot);
        self.segment_mut(index).held.push_back((slot, value));
        self.holds.push_back(Hold { until, segment: index, by });
        self.segment_mut(by).owed += 1;
        self.after_settling(index, slot, until);
    }

    #[inline]
    fn set_settled(&mut self, index: u32, slot: u32) -> u8 {
        let segment = self.segments[index as usize].as_mut().expect("a live slot's segment");
        let value = std::mem::replace(&mut segment.slots[slot as usize], SETTLED);
        assert!(value != SETTLED, "a slot is settled once");
        segment.live -= 1;
        if slot >= segment.slots_written {
            self.buffer_live -= 1;
        }
        value
    }

    #[inline]
    fn after_settling(&mut self, index: u32, slot: u32, until: LogPos) {
        let segment = self.segment(index);
        let is_dead = segment.live == 0 && segment.state == State::Used;
        if !segment.parked.is_empty() {
            self.release_body_of(index, slot, until);
        }
        if is_dead {
            self.dead.push(index);
        }
    }

    /// When `slot` was the last one of a record with a parked body: the body goes, too.
    fn release_body_of(&mut self, index: u32, slot: u32, until: LogPos) {
        let segment = self.segment(index);
        let n = segment.parked.partition_point(|parked| parked.first_slot <= slot);
        let Some(parked) = n.checked_sub(1).map(|n| segment.parked[n]) else {
            return;
        };
        let slots = parked.first_slot as usize..(parked.first_slot + parked.slots) as usize;
        if slot as usize >= slots.end || segment.slots[slots].iter().any(|b| *b != SETTLED) {
            return;
        }
        // Other slots of the record may still be held.
        let held = segment.held.back().and_then(|_| {
            self.holds.iter().rev().find(|hold| hold.segment == index).map(|hold| hold.until)
        });
        let until = held.map_or(until, |held| held.max(until));
        let body_segment = parked.body_segment;
        self.body_releases.push(BodyRelease { until, record_segment: index, body_segment });
        self.segment_mut(index).owed += 1;
    }

    /// One hold fewer on a body in the segment.
    pub(super) fn let_go(&mut self, index: u32) {
        let segment = self.segment_mut(index);
        segment.live -= 1;
        segment.bodies -= 1;
        if segment.live == 0 && segment.state == State::Used {
            self.dead.push(index);
        }
    }

    /// Remembers to write the slots `from..to`.
    #[inline]
    pub(super) fn mark_dirty(&mut self, index: u32, from: u32, to: u32) {
        if !self.durable_ring {
            return;
        }
        let segment = self.segments[index as usize].as_mut().expect("a live slot's segment");
        match &mut segment.dirty {
            Some((first, last)) => {
                *first = from.min(*first);
                *last = to.max(*last);
            }
            None => {
                segment.dirty = Some((from, to));
                self.dirty.push(index);
            }
        }
    }

    /// Whether [`Ring::write_slots`] has something to do.
    pub(super) fn has_unwritten_slots(&self) -> bool {
        let durable = self.durable;
        !self.dirty.is_empty()
            || self.holds.front().is_some_and(|hold| hold.until <= durable)
            || self.body_releases.iter().any(|release| release.until <= durable)
    }

    /// Writes the slots that changed, lets go what is durable by now, and releases bodies. The
    /// append buffer was written before.
    pub(super) fn write_slots(&mut self) -> Result<(), StorageError> {
        let mut released = Vec::new();
        while let Some(hold) = self.holds.front().copied().filter(|h| h.until <= self.durable) {
            self.holds.pop_front();
            let held = self.segment_mut(hold.segment).held.pop_front();
            let (slot, _) = held.expect("as many as the ring has holds on the segment");
            self.mark_dirty(hold.segment, slot, slot + 1);
            self.mark_unsynced(hold.segment);
            released.push(hold.by);
        }
        for n in 0..self.dirty.len() {
            if let Err(error) = self.write_dirty(self.dirty[n]) {
                self.failure = Some(StorageError::AlreadyFailed);
                return Err(error);
            }
        }
        self.grew_sparser |= !self.dirty.is_empty();
        self.dirty.clear();
        let next_sync = self.syncs_started + 1;
        for by in released {
            self.paid(by, next_sync);
        }
        self.release_bodies(next_sync);
        Ok(())
    }

    fn paid(&mut self, index: u32, next_sync: u64) {
        let segment = self.segment_mut(index);
        segment.owed -= 1;
        segment.wait_sync = next_sync;
    }

    fn release_bodies(&mut self, next_sync: u64) {
        let mut n = 0;
        while let Some(release) = self.body_releases.get(n).copied() {
            if release.until > self.durable {
                n += 1;
                continue;
            }
            self.body_releases.swap_remove(n);
            if self.durable_ring {
                self.mark_unsynced(release.record_segment);
                self.paid(release.record_segment, next_sync);
                self.segment_mut(release.body_segment).wait_sync = next_sync;
            } else {
                self.segment_mut(release.record_segment).owed -= 1;
            }
            self.let_go(release.body_segment);
        }
    }

    fn write_dirty(&mut self, index: u32) -> Result<(), StorageError> {
        let Some(segment) = self.segments[index as usize].as_mut() else {
            return Ok(());
        };
        let Some((from, to)) = segment.dirty.take() else {
            return Ok(());
        };
        // Slot n lies at bytes - 1 - n: the other way round.
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend(segment.slots[from as usize..to as usize].iter().rev());
        for &(slot, value) in &segment.held {
            if (from..to).contains(&slot) {
                scratch[(to - 1 - slot) as usize] = value;
            }
        }
        segment.file.write(scratch, segment.bytes - to)?;
        segment.slots_unsynced = true;
        self.written.writes += 1;
        self.written.bytes += scratch.len() as u64;
        Ok(())
    }

    /// How often the message was delivered.
    #[inline]
    pub(super) fn deliveries(&self, index: u32, slot: u32) -> u8 {
        self.segment(index).slots[slot as usize]
    }

    pub(super) fn set_deliveries(&mut self, index: u32, slot: u32, deliveries: u8) {
        let byte = &mut self.segment_mut(index).slots[slot as usize];
        assert!(*byte != SETTLED, "a settled message is not delivered");
        *byte = deliveries.min(DELIVERIES_MAX);
        self.mark_dirty(index, slot, slot + 1);
    }
}
