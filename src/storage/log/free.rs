//! Where do empty segments come from, and when may a used one begin a new life? Spares, freeing
//! with restatement, removal; what is slow goes through the helper.
//!
//! A segment in which nothing is alive gets free in these steps:
//! 1. what it says of slots in older segments that stay is *restated* at the end of the log (the
//!    whole state of such a segment at once), after everything that was not said yet;
//! 2. an *inventory* of the log without it is appended behind that;
//! 3. when that is durable, the file is free: a header with another salt begins its next life, or
//!    it is removed.
//!
//! Whatever instant the power goes at, either the log still counts the segment and it is as it was,
//! or the log says that it does not count.

use std::sync::Arc;

use super::ring::{Ids, Pace, Rank, Ring, capacity};
use super::segment::{Segment, State};
use crate::storage::helper::Helper;
use crate::storage::helper::jobs::{
    Job, MakeJob, MakeStage, NewSegment, Release, RemoveJob, RemoveKind,
};
use crate::storage::record::statement::{encode_inventory, encode_state, state_bytes_max};
use crate::storage::record::{HEAD_BYTES, Kind, padded};
use crate::storage::types::{AppendError, LogPos, StorageError};

/// A ring that has hardly been used has so many spares.
const SPARES_FRESH: usize = 1;
/// One that is in use has so many.
const SPARES: usize = 2;
/// One that goes through its segments quickly has so many.
const SPARES_BUSY: usize = 3;
/// So many free files are kept for reuse while segments are used up.
const FREE_KEPT: usize = 8;

/// A segment whose file is free once the log is durable up to there.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct FreeingSegment {
    index: u32,
    until: LogPos,
}

impl Ring {
    /// Appends what has to be in the log before dead segments are free. Says whether it appended
    /// anything.
    pub(in crate::storage) fn retire(&mut self, ids: Ids) -> bool {
        if self.row_is_open {
            return false;
        }
        self.leave_dead_active(ids);
        if self.dead.is_empty() {
            return false;
        }
        let mut dead = std::mem::take(&mut self.dead);
        let unused: Vec<u32> = dead.extract_if(.., |index| self.is_unused(*index)).collect();
        self.dead = dead;
        if unused.len() == self.unworthy {
            self.dead.extend(unused);
            return false;
        }
        let chosen = self.worth_freeing(&unused);
        let left = unused.iter().filter(|index| !chosen.contains(index));
        self.dead.extend(left);
        self.unworthy = unused.len() - chosen.len();
        if chosen.is_empty() {
            return false;
        }
        if self.free_after_restating(&chosen, ids).is_err() {
            self.dead.extend(chosen);
        }
        true
    }

    /// On a full disk the active segment may be the only one that was used: what was settled in it
    /// is room again only when another one takes its place, and what is alive in it moved there.
    fn leave_dead_active(&mut self, ids: Ids) {
        let Some(active) = self.active.filter(|_| self.no_space) else {
            return;
        };
        let segment = self.segment(active);
        let is_room = segment.room() >= self.segment_bytes as usize / 2;
        if segment.is_mostly_dead()
            && !is_room
            && let Some(spare) = self.spares.pop_front()
        {
            self.activate(spare, ids);
        }
    }

    /// Nothing in it is alive, nobody reads from it, and nothing of it is still to be written.
    fn is_unused(&self, index: u32) -> bool {
        let segment = self.segment(index);
        segment.state == State::Sealed
            && segment.live == 0
            && segment.written == segment.end
            && Arc::strong_count(&segment.map) == 1
    }

    /// Segments that stay and whose state has to be restated before these are free.
    fn to_restate(&self, freed: &[u32]) -> Vec<u32> {
        let mut restated = Vec::new();
        for &index in freed {
            let segment = self.segment(index);
            for spoken_of in &segment.speaks_of {
                let Some(&other) = self.by_sequence.get(spoken_of) else {
                    continue;
                };
                let needs_it = self.segment(other).restated_in <= segment.sequence
                    && self.segment(other).state != State::Freeing;
                if needs_it && !freed.contains(&other) {
                    restated.push(other);
                }
            }
        }
        restated.sort_unstable();
        restated.dedup();
        restated
    }

    /// Restating must cost no more than a quarter of what it frees: of segments that are full of
    /// statements, a few are freed at once or none. And none for which a damaged segment would have
    /// to be restated: that would say that what could not be read is settled.
    fn worth_freeing(&self, unused: &[u32]) -> Vec<u32> {
        let is_sound = |index: &u32| !self.segment(*index).damaged;
        let may_go = |index: &u32| self.to_restate(&[*index]).iter().all(is_sound);
        let unused: Vec<u32> = unused.iter().copied().filter(may_go).collect();
        let cost = |freed: &[u32]| -> usize {
            let bytes = |n: &u32| state_bytes_max(self.segment(*n).slots.len());
            self.to_restate(freed).iter().map(bytes).sum()
        };
        let is_worth = |freed: &[u32]| {
            let won: u64 = freed.iter().map(|n| u64::from(self.segment(*n).bytes)).sum();
            cost(freed) as u64 <= won / 4
        };
        if unused.is_empty() || is_worth(&unused) {
            return unused;
        }
        unused.into_iter().filter(|index| is_worth(&[*index])).collect()
    }

    fn free_after_restating(&mut self, freed: &[u32], ids: Ids) -> Result<(), AppendError> {
        self.say(ids)?;
        for index in self.to_restate(freed) {
            self.restate(index, ids)?;
        }
        for &index in freed {
            self.segment_mut(index).state = State::Freeing;
        }
        if let Err(error) = self.append_inventory(ids) {
            for &index in freed {
                self.segment_mut(index).state = State::Sealed;
            }
            return Err(error);
        }
        let until = self.end;
        self.freeing.extend(freed.iter().map(|&index| FreeingSegment { index, until }));
        Ok(())
    }

    /// Appends the whole state of a segment.
    pub(in crate::storage) fn restate(&mut self, index: u32, ids: Ids) -> Result<(), AppendError> {
        let segment = self.segment(index);
        let sequence = segment.sequence;
        let mut content = Vec::new();
        encode_state(&mut content, sequence, &segment.slots);
        let by = self.make_room(padded(HEAD_BYTES + content.len()), Rank::Statement, ids)?;
        self.append_plain(by, Kind::State, &content);
        self.note_spoken_of(by, sequence);
        let by_sequence = self.segment(by).sequence;
        let segment = self.segment_mut(index);
        segment.restated_in = by_sequence;
        segment.counts_unlogged = false;
        Ok(())
    }

    /// Appends which segments are in use.
    pub(in crate::storage) fn append_inventory(&mut self, ids: Ids) -> Result<(), AppendError> {
        let used = self.segments.iter().flatten().filter(|s| s.state != State::Freeing);
        let mut in_use: Vec<u64> = used.map(|segment| segment.sequence).collect();
        in_use.extend(&self.missing);
        in_use.sort_unstable();
        let mut content = Vec::new();
        encode_inventory(&mut content, &in_use);
        // The room may be in a segment that begins with this: it is in use then, too.
        let need = padded(HEAD_BYTES + content.len() + 16);
        let by = self.make_room(need, Rank::Statement, ids)?;
        let sequence = self.segment(by).sequence;
        if in_use.last() != Some(&sequence) {
            in_use.push(sequence);
            content.clear();
            encode_inventory(&mut content, &in_use);
        }
        self.append_plain(by, Kind::Inventory, &content);
        self.end_of_content = self.end;
        Ok(())
    }

    /// Gives what is free its next life or removes it, and has spares made. Cheap when there is
    /// nothing to do.
    pub(in crate::storage) fn maintain(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        if self.durable_ring {
            self.collect_freed(helper)?;
        } else {
            self.collect_dead(helper)?;
        }
        self.note_room();
        let wanted = self.spares_wanted();
        let has_spares = self.spares.len() >= wanted;
        self.warned_of_space &= !has_spares || self.no_space || !self.is_written();
        while self.spares.len() + self.in_flight < wanted {
            let stage = match self.free.pop() {
                Some(number) => (number, MakeStage::Free),
                None if self.no_space => break,
                None => (self.new_number(), MakeStage::New),
            };
            let job = self.make_job(stage);
            helper.submit(Job::Make(job))?;
            self.in_flight += 1;
        }
        self.remove_excess(helper)
    }

    pub(in crate::storage) fn new_number(&mut self) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        number
    }

    pub(in crate::storage) fn make_job(&self, (number, stage): (u64, MakeStage)) -> MakeJob {
        MakeJob {
            durable: self.durable_ring,
            number,
            bytes: self.segment_bytes,
            directory: self.directory.clone(),
            stage,
        }
    }

    fn spares_wanted(&self) -> usize {
        let used = self.active.map_or(u32::MAX, |active| self.segment(active).end);
        let usual = match used >= self.segment_bytes / 8 {
            _ if self.is_used_up() => SPARES_BUSY,
            true => SPARES,
            false if self.durable_ring => SPARES_FRESH,
            false => 0,
        };
        let segments = self.wanted_bytes.div_ceil(capacity(self.segment_bytes) as u64);
        let asked = usize::try_from(segments).unwrap_or(usize::MAX).saturating_add(1);
        usual.max(if segments > 0 { asked } else { 0 })
    }

    /// Segments whose inventory is durable are free.
    fn collect_freed(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        let durable = self.durable;
        let mut freeing = std::mem::take(&mut self.freeing);
        for freed in freeing.extract_if(.., |freed| freed.until <= durable) {
            let Segment { number, map, file, bytes, damaged, .. } = self.take(freed.index);
            helper.submit(Job::Release(Release::Segment(map, file)))?;
            if damaged {
                // What speaks of it may go, too.
                self.unworthy = 0;
                self.remove(number, RemoveKind::KeepAsDamaged, helper)?;
            } else if bytes != self.segment_bytes {
                self.remove(number, RemoveKind::Unlink, helper)?;
            } else {
                self.free.push(number);
            }
        }
        self.freeing = freeing;
        Ok(())
    }

    /// In the transient ring a dead segment is a spare at once.
    fn collect_dead(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        let mut dead = std::mem::take(&mut self.dead);
        let unused: Vec<u32> = dead.extract_if(.., |index| self.is_unused(*index)).collect();
        self.dead = dead;
        for index in unused {
            let Segment { number, file, map, bytes, salt, .. } = self.take(index);
            let header = crate::storage::file::segment::Header { bytes, salt };
            match file {
                Some(file) if self.spares.len() < self.spares_wanted().max(SPARES) => {
                    self.spares.push_back(NewSegment { number, file, map, header });
                }
                file => helper.submit(Job::Release(Release::Segment(map, file)))?,
            }
            self.no_space = false;
        }
        Ok(())
    }

    /// Whether segments were begun lately.
    fn is_used_up(&self) -> bool {
        self.pace == Pace::Busy || self.rolls > self.rolls_seen
    }

    fn remove_excess(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        let is_idle = self.pace == Pace::Idle && !self.is_used_up();
        // What is being made may find no space: then these are what there is.
        let needed = self.spares_wanted().saturating_sub(self.spares.len());
        let kept = needed.max(if is_idle { 0 } else { FREE_KEPT });
        while self.free.len() > kept {
            let number = self.free.pop().expect("more than are kept");
            self.remove(number, RemoveKind::Unlink, helper)?;
        }
        let most = self.spares_wanted().max(SPARES);
        while is_idle && self.spares.len() > most {
            let spare = self.spares.pop_back().expect("more than are wanted");
            let file = Some(spare.file);
            helper.submit(Job::Release(Release::Segment(spare.map, file)))?;
            if self.durable_ring {
                self.remove(spare.number, RemoveKind::Unlink, helper)?;
            }
        }
        Ok(())
    }

    fn remove(
        &mut self,
        number: u64,
        kind: RemoveKind,
        helper: &mut Helper,
    ) -> Result<(), StorageError> {
        // It gives space back: what failed for want of it may succeed.
        self.no_space = false;
        let directory = self.directory.clone();
        helper.submit(Job::Remove(RemoveJob { number, directory, kind }))
    }

    /// The helper made a segment ready.
    pub(in crate::storage) fn made(&mut self, new: NewSegment) {
        self.in_flight -= 1;
        self.no_space = false;
        self.warned_of_space = false;
        self.spares.push_back(new);
    }

    /// The helper found no space for a segment.
    pub(in crate::storage) fn not_made(&mut self, free: Option<u64>, error: &std::io::Error) {
        self.in_flight -= 1;
        self.free.extend(free);
        self.note_no_space(error);
    }

    /// Now and then: whether segments were used up since, and memory of what nobody reads.
    pub(in crate::storage) fn look_back(
        &mut self,
        helper: &mut Helper,
    ) -> Result<(), StorageError> {
        let is_used_up = self.rolls > self.rolls_seen || self.wanted_bytes > 0;
        self.pace = if is_used_up { Pace::Busy } else { Pace::Idle };
        self.rolls_seen = self.rolls;
        if let Some(active) = self.active
            && self.segment(active).live == 0
        {
            let map = Arc::clone(&self.segment(active).map);
            helper.submit(Job::Release(Release::Pages(map)))?;
        }
        Ok(())
    }
}
