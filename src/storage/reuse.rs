//! Where do empty segments come from, and when may a used one begin a new life? Spares, reuse,
//! creation, removal; what is slow goes through the helper.
//!
//! A segment of the durable ring is reusable when
//! 1. nothing in it is alive and it is not the active one;
//! 2. every copy made from it is durable (no holds on its slots), and what its own records
//!    settled elsewhere, and the last slots of its parked bodies, are settled on disk;
//! 3. the log is durable beyond it: a later segment begins with a mark that carries the ids on;
//! 4. nobody has a slice of its mapping.

use std::io;
use std::sync::Arc;

use super::helper::{
    self, CreateJob, Helper, Job, NewSegment, PrepareJob, PrepareStage, RemoveJob, RemoveKind,
};
use super::log::{Ids, Ring, Segment, State};
use super::segment::{CreateError, Header, HeaderState};
use super::types::{AppendError, StorageError};

/// So many segments are kept ready for the next record.
pub(super) const SPARES: usize = 2;
/// So many free segments are kept, and one more for every four that are in use.
const FREE_KEPT: usize = 4;

impl Ring {
    /// The next segment for small records.
    pub(super) fn take_spare(&mut self, privileged: bool, ids: Ids) -> Result<u32, AppendError> {
        self.drop_stale_spares();
        if self.no_space && !privileged && self.spares.len() <= 1 {
            return Err(AppendError::Full);
        }
        if let Some(index) = self.spares.pop_front() {
            return Ok(index);
        }
        if let Some(index) = self.free.pop() {
            return self.prepare_here(index, ids).ok_or(AppendError::Full);
        }
        self.create_here(self.segment_bytes, ids).ok_or(AppendError::Full)
    }

    /// A spare that was overtaken by a segment made in a hurry cannot be used: sequences grow.
    fn drop_stale_spares(&mut self) {
        while let Some(&index) = self.spares.front() {
            if self.segment(index).sequence > self.end.sequence {
                break;
            }
            self.spares.pop_front();
            self.make_free(index);
        }
    }

    fn make_free(&mut self, index: u32) {
        // Its slots are still written: if it is still free at an orderly stop, nothing may come
        // back.
        self.segment_mut(index).state = State::Free;
        self.free.push(index);
    }

    /// Creates a segment at once, waiting for the disk.
    pub(super) fn create_here(&mut self, bytes: u32, ids: Ids) -> Option<u32> {
        let create = self.create_job(bytes, ids);
        match helper::create_now(&create) {
            Ok(new) => Some(self.add(Segment::new(new))),
            Err(CreateError::NoSpace(error)) => {
                self.note_no_space(&error);
                None
            }
            Err(CreateError::Fatal(error)) => {
                self.failure = Some(error);
                None
            }
        }
    }

    /// Prepares a free segment at once, waiting for the disk.
    pub(super) fn prepare_here(&mut self, index: u32, ids: Ids) -> Option<u32> {
        if !self.durable_ring {
            self.begin_life(index);
            return Some(index);
        }
        let prepare = self.prepare_job(index, ids);
        let sequence = prepare.header.sequence;
        if let Err(error) = helper::prepare_now(prepare) {
            self.failure = Some(error);
            return None;
        }
        let segment = self.segment_mut(index);
        segment.renew(sequence);
        segment.state = State::Spare;
        Some(index)
    }

    /// A new life in the transient ring, where nothing has to be prepared.
    fn begin_life(&mut self, index: u32) {
        let sequence = self.new_sequence();
        let segment = self.segment_mut(index);
        segment.renew(sequence);
        segment.state = State::Spare;
    }

    fn new_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    fn create_job(&mut self, bytes: u32, ids: Ids) -> CreateJob {
        let number = self.next_file;
        self.next_file += 1;
        let kind = if self.durable_ring { "segment" } else { "transient" };
        CreateJob {
            durable: self.durable_ring,
            path: self.directory.join(format!("{number:08}.{kind}")),
            header: self.header(bytes, ids),
            allocated: None,
        }
    }

    fn prepare_job(&mut self, index: u32, ids: Ids) -> PrepareJob {
        let header = self.header(self.segment(index).bytes, ids);
        let segment = self.segment_mut(index);
        // From here on the file is the helper's.
        segment.dirty = None;
        PrepareJob {
            segment: index,
            file: Arc::clone(&segment.file),
            header,
            zero_from: segment.zero_from.min(segment.bytes - segment.slot_count()),
            stage: PrepareStage::MarkPreparing,
        }
    }

    fn header(&mut self, bytes: u32, ids: Ids) -> Header {
        let Ids { next_message, next_queue } = ids;
        let sequence = self.new_sequence();
        Header { state: HeaderState::Ready, sequence, bytes, next_message, next_queue }
    }

    /// Has spares made, has what is not needed removed. Cheap when there is nothing to do.
    pub(super) fn maintain(&mut self, helper: &mut Helper, ids: Ids) -> Result<(), StorageError> {
        self.collect_dead(helper)?;
        self.drop_stale_spares();
        self.leave_dead_active(ids);
        while self.spares.len() + self.in_flight < SPARES {
            if let Some(index) = self.free.pop() {
                if self.durable_ring {
                    self.segment_mut(index).state = State::Preparing;
                    let job = self.prepare_job(index, ids);
                    helper.submit(Job::Prepare(job))?;
                    self.in_flight += 1;
                } else {
                    self.begin_life(index);
                    self.spares.push_back(index);
                }
            } else if self.no_space {
                break;
            } else {
                let job = self.create_job(self.segment_bytes, ids);
                helper.submit(Job::Create(job))?;
                self.in_flight += 1;
            }
        }
        self.remove_excess(helper)
    }

    /// On a full disk the active segment may be the only one that was used: what was settled in it
    /// is room again only when another one takes its place.
    fn leave_dead_active(&mut self, ids: Ids) {
        let Some(active) = self.active.filter(|_| self.durable_ring && self.no_space) else {
            return;
        };
        let segment = self.segment(active);
        if segment.live > 0 || segment.room() >= self.segment_bytes as usize / 2 {
            return;
        }
        if let Some(spare) = self.spares.pop_front() {
            self.seal_active();
            self.activate(spare, ids);
        }
    }

    /// Moves dead segments that are reusable to the free ones.
    fn collect_dead(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        let mut n = 0;
        while let Some(&index) = self.dead.get(n) {
            if !self.is_reusable(index) {
                n += 1;
                continue;
            }
            self.dead.swap_remove(n);
            let segment = self.segment(index);
            if segment.damaged {
                self.remove(index, RemoveKind::KeepAsDamaged, helper)?;
            } else if segment.bytes != self.segment_bytes {
                self.remove(index, RemoveKind::Unlink, helper)?;
            } else {
                self.make_free(index);
            }
        }
        Ok(())
    }

    /// See the top of the file.
    fn is_reusable(&self, index: u32) -> bool {
        let segment = self.segment(index);
        let is_unused = segment.state == State::Used
            && segment.live == 0
            && segment.held.is_empty()
            && segment.owed == 0
            && segment.slots_written == segment.slot_count()
            && Arc::strong_count(&segment.map) == 1;
        let is_past = !self.durable_ring
            || (segment.wait_sync <= self.syncs_done && self.durable.sequence > segment.sequence);
        is_unused && is_past
    }

    fn remove_excess(&mut self, helper: &mut Helper) -> Result<(), StorageError> {
        let idle = self.spares.len() + self.free.len() + self.dead.len();
        let used = self.segments.iter().flatten().count() - idle;
        while self.free.len() > FREE_KEPT + used / 4 && self.active.is_some() {
            let index = self.free.pop().expect("more than none");
            self.remove(index, RemoveKind::Unlink, helper)?;
        }
        Ok(())
    }

    fn remove(
        &mut self,
        index: u32,
        kind: RemoveKind,
        helper: &mut Helper,
    ) -> Result<(), StorageError> {
        let segment = self.segments[index as usize].take().expect("a segment of the ring");
        self.unsynced.retain(|other| *other != index);
        self.dirty.retain(|other| *other != index);
        let kind = if self.durable_ring { kind } else { RemoveKind::Drop };
        // It gives space back: what failed for want of it may succeed.
        self.no_space = false;
        let Segment { file, map, .. } = segment;
        helper.submit(Job::Remove(RemoveJob { file, map, kind }))
    }

    /// The helper created a segment.
    pub(super) fn created(&mut self, new: NewSegment) {
        self.in_flight -= 1;
        self.no_space = false;
        let index = self.add(Segment::new(new));
        self.spares.push_back(index);
    }

    /// The helper prepared a segment.
    pub(super) fn prepared(&mut self, index: u32, sequence: u64) {
        self.in_flight -= 1;
        let segment = self.segment_mut(index);
        segment.renew(sequence);
        segment.state = State::Spare;
        self.spares.push_back(index);
        // What was wanted was found elsewhere.
        self.no_space &= self.spares.len() < SPARES;
    }

    /// The helper found no space for a segment.
    pub(super) fn not_created(&mut self, error: &io::Error) {
        self.in_flight -= 1;
        self.note_no_space(error);
    }

    fn note_no_space(&mut self, error: &io::Error) {
        if !self.no_space {
            let directory = self.directory.display();
            log::warn!("no space for another segment in {directory}: {error}");
        }
        self.no_space = true;
    }
}
