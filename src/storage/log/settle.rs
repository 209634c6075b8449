//! Which slots are settled, how often were the others delivered, and what does the log not say of
//! it yet? Memory knows at once; a statement in the log follows with the next write of the turn.
//! Nothing has to be held back for that: statements stand behind the records that they follow
//! from, and what is durable is a prefix of the log.

use super::ring::{Ids, Rank, Ring};
use super::segment::State;
use crate::storage::record::statement::{self, DELIVERIES_MAX, Range, SETTLED};
use crate::storage::record::{HEAD_BYTES, Kind, OldSlot, padded};
use crate::storage::types::{AppendError, RecordRef};

/// So many ranges go into one record at most.
const RANGES_MAX: usize = 2048;

/// What the log does not say yet.
#[derive(Debug, Default)]
pub(in crate::storage) struct Unsaid {
    /// Slots that were settled, in the order of the settling; neighbours are merged.
    settled: Vec<Range>,
    /// Slots whose count of deliveries changed: sequence and slot.
    counted: Vec<(u64, u32)>,
    scratch: Vec<u8>,
}

impl Unsaid {
    #[inline]
    pub(in crate::storage) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.counted.is_empty()
    }

    /// Whether so much gathered that it should be said.
    #[inline]
    pub(in crate::storage) fn is_much(&self) -> bool {
        self.settled.len() + self.counted.len() >= RANGES_MAX
    }

    #[inline]
    fn note(&mut self, sequence: u64, slot: u32) {
        let range = Range { sequence, first: slot, count: 1, state: SETTLED };
        if !self.settled.last_mut().is_some_and(|last| last.join(range)) {
            self.settled.push(range);
        }
    }
}

impl Ring {
    /// Settles a slot for good; the log says so with its next statement.
    #[inline]
    pub(in crate::storage) fn settle(&mut self, index: u32, slot: u32) {
        let sequence = self.set_settled(index, slot);
        if self.durable_ring {
            self.unsaid.note(sequence, slot);
            self.grew_sparser = true;
        }
        self.after_settling(index, slot);
    }

    /// Settles a slot because a record in segment `by`, which was just appended, says so.
    pub(in crate::storage) fn settle_by(&mut self, index: u32, slot: u32, by: u32) {
        let sequence = self.set_settled(index, slot);
        self.note_spoken_of(by, sequence);
        self.grew_sparser = true;
        self.after_settling(index, slot);
    }

    /// The log says with its next statement that these slots are settled, which recovery found out.
    pub(in crate::storage) fn say_undone(&mut self, undone: Vec<Range>) {
        let counts = |range: &Range| self.by_sequence.contains_key(&range.sequence);
        self.unsaid.settled.extend(undone.into_iter().filter(counts));
    }

    /// A record in segment `by` says something of slots in the segment `sequence`.
    pub(in crate::storage) fn note_spoken_of(&mut self, by: u32, sequence: u64) {
        let segment = self.segment_mut(by);
        if segment.sequence != sequence && segment.speaks_of.last() != Some(&sequence) {
            segment.speaks_of.insert(sequence);
        }
    }

    #[inline]
    fn set_settled(&mut self, index: u32, slot: u32) -> u64 {
        let segment = self.segments[index as usize].as_mut().expect("a live slot's segment");
        let value = std::mem::replace(&mut segment.slots[slot as usize], SETTLED);
        assert!(value != SETTLED, "a slot is settled once");
        segment.live -= 1;
        if slot >= segment.slots_written {
            self.buffer_live -= 1;
        }
        segment.sequence
    }

    #[inline]
    fn after_settling(&mut self, index: u32, slot: u32) {
        let segment = self.segment(index);
        let is_dead = segment.live == 0 && segment.state == State::Sealed;
        if !segment.large.is_empty() {
            self.release_pieces_of(index, slot);
        }
        if is_dead {
            self.dead.push(index);
        }
    }

    /// When `slot` was the last one of a record whose body lies in pieces, they go, too.
    fn release_pieces_of(&mut self, index: u32, slot: u32) {
        let segment = self.segment(index);
        let Some(large) = segment.large_with(slot) else {
            return;
        };
        if segment.is_any_alive(large.first_slot, large.slots) {
            return;
        }
        let at = RecordRef { segment: self.key(index), offset: large.offset };
        let pieces: Vec<_> = self.message(at).pieces().collect();
        for piece in pieces {
            self.let_go(piece.sequence);
        }
    }

    /// One hold fewer on a piece in the segment.
    pub(in crate::storage) fn let_go(&mut self, sequence: u64) {
        let index = *self.by_sequence.get(&sequence).expect("a piece that is held");
        let segment = self.segment_mut(index);
        segment.live -= 1;
        segment.holds -= 1;
        if segment.live == 0 && segment.state == State::Sealed {
            self.dead.push(index);
        }
    }

    /// Somebody more holds a piece in the segment.
    pub(in crate::storage) fn hold(&mut self, sequence: u64) {
        let index = *self.by_sequence.get(&sequence).expect("a piece that is held");
        let segment = self.segment_mut(index);
        segment.live += 1;
        segment.holds += 1;
        // Now there is one record more with which it can be moved.
        segment.compacted = false;
    }

    /// How often the message was delivered.
    #[inline]
    pub(in crate::storage) fn deliveries(&self, index: u32, slot: u32) -> u8 {
        self.segment(index).slots[slot as usize]
    }

    /// Sets the count of deliveries; the log is told of it at an orderly stop.
    #[inline]
    pub(in crate::storage) fn set_deliveries(&mut self, index: u32, slot: u32, deliveries: u8) {
        let segment = self.segment_mut(index);
        let byte = &mut segment.slots[slot as usize];
        assert!(*byte != SETTLED, "a settled message is not delivered");
        *byte = deliveries.min(DELIVERIES_MAX);
        segment.counts_unlogged = true;
    }

    /// The log says with its next statement how often the message was delivered.
    pub(in crate::storage) fn log_deliveries(&mut self, index: u32, slot: u32) {
        if self.durable_ring {
            let sequence = self.segment(index).sequence;
            self.unsaid.counted.push((sequence, slot));
        }
    }

    /// Appends what the log does not say yet of slots, as far as there is room.
    pub(in crate::storage) fn say(&mut self, ids: Ids) -> Result<(), AppendError> {
        if self.unsaid.is_empty() {
            return Ok(());
        }
        let mut ranges = std::mem::take(&mut self.unsaid.settled);
        let mut counted = std::mem::take(&mut self.unsaid.counted);
        if !counted.is_empty() {
            counted.sort_unstable();
            counted.dedup();
            ranges.extend(counted.iter().filter_map(|&(sequence, slot)| {
                let segment = self.segment(*self.by_sequence.get(&sequence)?);
                let state = segment.slots[slot as usize];
                let range = Range { sequence, first: slot, count: 1, state };
                (state != SETTLED).then_some(range)
            }));
        }
        if !ranges.is_sorted() {
            ranges.sort_unstable();
        }
        ranges.dedup_by(|next, range| range.join(*next));
        let mut said = 0;
        let mut scratch = std::mem::take(&mut self.unsaid.scratch);
        let mut result = Ok(());
        while said < ranges.len() {
            let part = &ranges[said..ranges.len().min(said + RANGES_MAX)];
            scratch.clear();
            statement::encode(&mut scratch, part);
            match self.make_room(padded(HEAD_BYTES + scratch.len()), Rank::Statement, ids) {
                Ok(by) => {
                    self.append_plain(by, Kind::Settle, &scratch);
                    for run in part.chunk_by(|a, b| a.sequence == b.sequence) {
                        self.note_spoken_of(by, run[0].sequence);
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            said += part.len();
        }
        self.unsaid.scratch = scratch;
        // What found no room is said later; counts as they are by then.
        let left = ranges.drain(said..).collect::<Vec<_>>();
        counted.clear();
        ranges.clear();
        for range in left {
            if range.state == SETTLED {
                ranges.push(range);
            } else {
                let slots = range.first..range.first + range.count;
                counted.extend(slots.map(|slot| (range.sequence, slot)));
            }
        }
        (self.unsaid.settled, self.unsaid.counted) = (ranges, counted);
        result
    }

    /// The same where it is tried again later.
    pub(in crate::storage) fn say_what_fits(&mut self, ids: Ids) {
        match self.say(ids) {
            Ok(()) | Err(AppendError::Full | AppendError::TooLarge) => {}
        }
    }

    /// The slot as records name it.
    pub(in crate::storage) fn old_slot(&self, index: u32, slot: u32) -> OldSlot {
        OldSlot { sequence: self.segment(index).sequence, slot }
    }
}
