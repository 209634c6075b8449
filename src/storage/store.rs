//! Who keeps the messages of the node? The facade over both rings, the ids that never repeat and
//! the helper. The loop owns it. Only `open` and `close` wait for the disk, and an append or
//! `park_body` that finds no spare segment ready.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::compaction::Compacting;
use super::helper::{Answer, Helper, Job, SyncJob};
use super::log::{Ids, Ring};
use super::record::Record;
use super::recovery::{self, Replay};
use super::segment;
use super::types::{
    Answers, AppendError, Appended, LogPos, ParkedBody, Publication, QueueId, RecordRef, Recovered,
    RecoveryReport, SlotRef, StorageError, StoreCounters, StoreOptions,
};

/// The message log of the node.
pub struct Store {
    pub(super) durable: Ring,
    pub(super) transient: Ring,
    pub(super) ids: Ids,
    /// Copies of bodies pass through here.
    pub(super) scratch: Vec<u8>,
    pub(super) messages: u64,
    pub(super) compacting: Compacting,
    /// (Record, queue) pairs that compaction copied.
    pub(super) relocated: u64,
    /// The slots of records in the buffer are to be written with them.
    pub(super) slots_follow: bool,
    helper: Helper,
    definitions: Definitions,
    report: RecoveryReport,
    replay: Option<Replay>,
    syncs: u64,
    sync_nanos_last: u64,
    sync_nanos_total: u64,
}

/// What is known of the definitions log, which is synced with the messages.
#[derive(Debug, Default)]
struct Definitions {
    written: Option<(Arc<File>, PathBuf, u64)>,
    syncing: Option<u64>,
    durable: u64,
}

impl Store {
    /// Opens the log in `options.directory`, checks every record and finds out what is alive.
    /// [`Store::replay`] tells of it.
    ///
    /// # Errors
    /// Those of the file system, and files of an unknown version. Damage is no error: see
    /// [`Store::report`]. A full disk is none either: then nothing can be appended.
    pub fn open(options: StoreOptions) -> Result<Store, StorageError> {
        let StoreOptions { directory, segment_bytes, helper } = options;
        if segment_bytes < 64 * 1024 || !segment_bytes.is_multiple_of(segment::PAGE_BYTES) {
            return Err(StorageError::Options(
                "segment_bytes must be a multiple of 4096 and at least 65536",
            ));
        }
        let found = recovery::open(&directory, segment_bytes)?;
        let mut transient = Ring::new(false, directory, segment_bytes);
        if let Some(first) = transient.create_here(segment_bytes, found.ids) {
            transient.activate(first, found.ids);
        }
        let mut store = Store {
            durable: found.ring,
            transient,
            ids: found.ids,
            scratch: Vec::new(),
            messages: 0,
            compacting: Compacting::default(),
            relocated: 0,
            slots_follow: false,
            helper: Helper::start(helper)?,
            definitions: Definitions::default(),
            report: found.report,
            replay: Some(found.replay),
            syncs: 0,
            sync_nanos_last: 0,
            sync_nanos_total: 0,
        };
        store.maintain()?;
        Ok(store)
    }

    /// Hands over every live (record, queue) pair, in the order of the message ids. When `keep`
    /// says no, because there is no such queue any more, the pair is settled. Only the first call
    /// has an effect.
    pub fn replay(&mut self, keep: &mut dyn FnMut(Recovered<'_>) -> bool) {
        if let Some(replay) = self.replay.take() {
            recovery::replay(&mut self.durable, replay, keep);
        }
    }

    /// An id for a new queue. It never repeats as long as messages with it may lie in the log.
    pub fn new_queue_id(&mut self) -> QueueId {
        let id = QueueId(self.ids.next_queue);
        self.ids.next_queue += 1;
        id
    }

    /// Says that `queue` is in use: for every queue of the definitions at start, before the first
    /// [`Store::new_queue_id`].
    pub fn note_queue_id(&mut self, queue: QueueId) {
        self.ids.next_queue = self.ids.next_queue.max(queue.0.saturating_add(1));
    }

    /// Appends a message. Nothing is written yet.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing was changed.
    #[inline]
    pub fn append(&mut self, publication: &Publication<'_>) -> Result<Appended, AppendError> {
        self.append_message(publication)
    }

    /// Appends durable messages and settles slots, all or nothing also after a crash. Slots of
    /// the transient ring are settled at once.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing was changed.
    pub fn append_transaction(
        &mut self,
        publications: &[Publication<'_>],
        settles: &[SlotRef],
    ) -> Result<(Vec<Appended>, LogPos), AppendError> {
        self.append_all(publications, settles)
    }

    /// Reserves space for a large body. Every parked body is given back with [`Store::abandon`]
    /// in the end, also after it was appended.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn park_body(&mut self, durable: bool, bytes: u64) -> Result<ParkedBody, AppendError> {
        let ids = self.ids;
        self.ring_mut(durable).park_body(bytes, false, ids)
    }

    /// Writes the next part of a body straight to the file. `chunk` is not longer than what is
    /// missing.
    ///
    /// # Errors
    /// Final ones of the file system: the space has its blocks already.
    pub fn park(&mut self, body: &mut ParkedBody, chunk: &[u8]) -> Result<(), StorageError> {
        self.ring_mut(body.segment.is_durable()).park(body, chunk)
    }

    /// What was parked of a body, from where it lies.
    pub fn parked_body(&self, body: &ParkedBody) -> &[u8] {
        self.ring(body.segment.is_durable()).parked_body(body)
    }

    /// Gives a parked body back: it never became a message, or the messages that it became keep
    /// it alive from now on.
    pub fn abandon(&mut self, body: ParkedBody) {
        let index = body.segment.index();
        self.ring_mut(body.segment.is_durable()).let_go(index);
    }

    /// The record at `at`, of which at least one slot is not settled.
    #[inline]
    pub fn record(&self, at: RecordRef) -> Record<'_> {
        let ring = self.ring(at.segment.is_durable());
        let message = ring.message(at);
        let body = match message.is_parked() {
            false => message.inline_body(),
            true => match ring.body_place(at, message) {
                Some((map, from, to)) => map.slice(from, to),
                None => &[],
            },
        };
        Record { segment: at.segment, message, body }
    }

    /// The body of the record at `at` where it lies in the mapping; it keeps the segment from
    /// being reused. `None` while it is not yet written out.
    pub fn shared_body(&self, at: RecordRef) -> Option<Bytes> {
        let ring = self.ring(at.segment.is_durable());
        let (map, from, to) = ring.body_place(at, ring.message(at))?;
        Some(segment::pinned(map, from, to))
    }

    /// How often the message was delivered, at most 254; 255 is settled.
    #[inline]
    pub fn deliveries(&self, slot: SlotRef) -> u8 {
        self.ring(slot.segment.is_durable()).deliveries(slot.segment.index(), slot.slot)
    }

    /// Counts one delivery more and says how many there are now.
    #[inline]
    pub fn note_delivery(&mut self, slot: SlotRef) -> u8 {
        let deliveries = self.deliveries(slot).saturating_add(1).min(super::slots::DELIVERIES_MAX);
        self.set_deliveries(slot, deliveries);
        deliveries
    }

    /// Sets the number of deliveries; the slot is not settled.
    #[inline]
    pub fn set_deliveries(&mut self, slot: SlotRef, deliveries: u8) {
        let index = slot.segment.index();
        self.ring_mut(slot.segment.is_durable()).set_deliveries(index, slot.slot, deliveries);
    }

    /// Settles a slot of the record at `at`, for good. The record may be gone after that.
    #[inline]
    pub fn settle(&mut self, at: RecordRef, slot: SlotRef) {
        assert_eq!(at.segment, slot.segment, "a record and its slots share a segment");
        self.settle_slot(slot);
    }

    #[inline]
    pub(super) fn settle_slot(&mut self, slot: SlotRef) {
        let index = slot.segment.index();
        self.ring_mut(slot.segment.is_durable()).settle(index, slot.slot);
    }

    /// Takes what the helper has done since.
    ///
    /// # Errors
    /// A failed sync or the like: final. Nothing that waits may be confirmed any more.
    pub fn take_answers(&mut self) -> Result<Answers, StorageError> {
        let mut answers = Answers::default();
        while let Some(answer) = self.helper.answer()? {
            self.take_answer(answer, &mut answers)?;
        }
        Ok(answers)
    }

    fn take_answer(&mut self, answer: Answer, answers: &mut Answers) -> Result<(), StorageError> {
        match answer {
            Answer::Synced { number, nanos } => {
                answers.durable_moved = true;
                self.synced(number, nanos);
            }
            Answer::Created { durable, segment } => {
                answers.space_changed = true;
                self.ring_mut(durable).created(segment);
            }
            Answer::NoSpace { durable, error } => {
                answers.space_changed = true;
                self.ring_mut(durable).not_created(&error);
            }
            Answer::Prepared { segment, sequence } => {
                answers.space_changed = true;
                self.durable.prepared(segment, sequence);
            }
            Answer::Removed => answers.space_changed = true,
            Answer::Failed(error) => {
                self.durable.failure = Some(StorageError::AlreadyFailed);
                return Err(error);
            }
        }
        Ok(())
    }

    fn synced(&mut self, number: u64, nanos: u64) {
        self.durable.syncs_done = number;
        if let Some(target) = self.durable.sync_target.take() {
            self.durable.durable = self.durable.durable.max(target);
        }
        if let Some(position) = self.definitions.syncing.take() {
            self.definitions.durable = position;
        }
        self.syncs += 1;
        self.sync_nanos_last = nanos;
        self.sync_nanos_total += nanos;
    }

    /// Writes the durable ring's appends, then the slots that changed.
    ///
    /// # Errors
    /// Final ones: the space has its blocks already.
    pub fn write_out_durable(&mut self) -> Result<(), StorageError> {
        self.write_out_records()?;
        self.write_out_slots()
    }

    /// Writes the durable ring's appends, and with what compaction copied how often it was
    /// delivered: that was written before.
    ///
    /// # Errors
    /// Final ones: the space has its blocks already.
    pub fn write_out_records(&mut self) -> Result<(), StorageError> {
        self.durable.write_buffer(self.ids)?;
        if std::mem::take(&mut self.slots_follow) {
            self.durable.write_slots()?;
        }
        Ok(())
    }

    /// Writes the slots of the durable ring that changed; their records were written before.
    ///
    /// # Errors
    /// Final ones: the space has its blocks already.
    pub fn write_out_slots(&mut self) -> Result<(), StorageError> {
        self.durable.write_slots()
    }

    /// Whether [`Store::write_out_slots`] has something to do.
    #[inline]
    pub fn has_unwritten_slots(&self) -> bool {
        self.durable.has_unwritten_slots()
    }

    /// Writes the transient ring's appends, unless nothing of them is alive: then they were
    /// never written and the space is used again.
    ///
    /// # Errors
    /// Final ones: the space has its blocks already.
    pub fn write_out_transient(&mut self) -> Result<(), StorageError> {
        self.transient.rewind();
        self.transient.write_buffer(self.ids)?;
        self.transient.write_slots()
    }

    /// Starts a sync of everything that is written, if it is wanted, none is running and there is
    /// anything to sync. Says whether it did.
    ///
    /// # Errors
    /// The helper is gone.
    pub fn start_sync_if(&mut self, wanted: bool) -> Result<bool, StorageError> {
        let anything = !self.durable.unsynced.is_empty() || self.definitions.written.is_some();
        if !wanted || !anything || self.durable.sync_target.is_some() {
            return Ok(false);
        }
        let (number, files) = self.durable.begin_sync();
        let definitions = self.definitions.written.take().map(|(file, path, position)| {
            self.definitions.syncing = Some(position);
            (file, path)
        });
        self.helper.submit(Job::Sync(SyncJob { number, files, definitions }))?;
        Ok(true)
    }

    /// Has the next sync cover `file`, too: the definitions log, written up to `position`. See
    /// [`Store::definitions_durable`].
    pub fn also_sync(&mut self, file: &Arc<File>, path: &Path, position: u64) {
        self.definitions.written = Some((Arc::clone(file), path.to_path_buf(), position));
    }

    /// The highest position given to [`Store::also_sync`] that is durable.
    pub fn definitions_durable(&self) -> u64 {
        self.definitions.durable
    }

    /// Everything up to here survives; what waits for it may be confirmed.
    #[inline]
    pub fn durable(&self) -> LogPos {
        self.durable.durable
    }

    /// After the last append.
    #[inline]
    pub fn end(&self) -> LogPos {
        self.durable.end
    }

    /// Whether there is anything that a sync would make durable, besides plain settling: for the
    /// rule that what nobody waits for is synced within 200 ms.
    #[inline]
    pub fn has_unsynced(&self) -> bool {
        let ring = &self.durable;
        ring.durable < ring.end
            || !ring.unsynced.is_empty()
            || !ring.holds.is_empty()
            || self.definitions.written.is_some()
    }

    /// Whether a sync is running.
    pub fn is_syncing(&self) -> bool {
        self.durable.sync_target.is_some()
    }

    /// What publishers may still append before the ring would need its last spare, in bytes. When
    /// it is low, stop reading from publishers until [`Answers::space_changed`].
    #[inline]
    pub fn room_bytes(&self, durable: bool) -> u64 {
        self.ring(durable).room_bytes()
    }

    /// Whether one of the rings has room for less than `bytes_min`, or for less than half a segment
    /// where segments are so small that there may never be that much.
    #[inline]
    pub fn is_short_of_room(&self, bytes_min: u64) -> bool {
        let reachable = u64::from(self.durable.segment_bytes) / 2;
        let room = self.room_bytes(true).min(self.room_bytes(false));
        room < bytes_min.min(reachable)
    }

    /// Whether no space could be had for a spare segment: the disk alarm. Publications fail with
    /// [`AppendError::Full`] before the last spare is used.
    pub fn is_disk_full(&self) -> bool {
        self.durable.no_space || self.transient.no_space
    }

    /// Lets [`Store::maintain`] try again to get space: from a timer while the disk is full.
    pub fn retry_space(&mut self) {
        self.durable.no_space = false;
        self.transient.no_space = false;
    }

    /// Once a turn: reuses dead segments, has spares made and removes what is not needed.
    ///
    /// # Errors
    /// The helper is gone.
    pub fn maintain(&mut self) -> Result<(), StorageError> {
        self.durable.maintain(&mut self.helper, self.ids)?;
        self.transient.maintain(&mut self.helper, self.ids)
    }

    /// Ends in an orderly way: everything is written and synced, and the next start knows it.
    ///
    /// # Errors
    /// As with [`Store::write_out_durable`] and [`Store::take_answers`].
    pub fn close(mut self) -> Result<(), StorageError> {
        loop {
            self.take_answers()?;
            self.write_out_durable()?;
            if !self.has_unsynced() && !self.durable.collect_unsynced_slots() {
                break;
            }
            self.start_sync_if(true)?;
            while self.durable.sync_target.is_some() {
                self.wait()?;
            }
        }
        while self.helper.outstanding > 0 {
            self.wait()?;
        }
        recovery::write_clean(&self.durable, self.ids)
    }

    fn wait(&mut self) -> Result<(), StorageError> {
        let answer = self.helper.wait()?;
        self.take_answer(answer, &mut Answers::default())
    }

    /// With [`HelperMode::Manual`](super::HelperMode::Manual): does up to `steps` steps of the
    /// helper's work, one sync each at most, and says how many there were. The answers still have
    /// to be taken.
    pub fn run_helper(&mut self, steps: usize) -> usize {
        let Some(manual) = self.helper.manual() else {
            return 0;
        };
        (0..steps).take_while(|_| manual.run_step()).count()
    }

    /// With [`HelperMode::Manual`](super::HelperMode::Manual): the next sync fails.
    pub fn fail_next_sync(&mut self) {
        if let Some(manual) = self.helper.manual() {
            manual.fail_next_sync = true;
        }
    }

    /// What was found at start.
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Figures for the operator.
    pub fn counters(&self) -> StoreCounters {
        let ring = &self.durable;
        let all = ring.segments.iter().flatten().count();
        let idle = ring.spares.len() + ring.free.len();
        StoreCounters {
            bytes_written: ring.written.bytes + self.transient.written.bytes,
            writes: ring.written.writes + self.transient.written.writes,
            syncs: self.syncs,
            sync_nanos_last: self.sync_nanos_last,
            sync_nanos_total: self.sync_nanos_total,
            messages: self.messages,
            relocated: self.relocated,
            segments_used: all - idle,
            segments_spare: ring.spares.len(),
            segments_free: ring.free.len(),
            segments_transient: self.transient.segments.iter().flatten().count(),
        }
    }

    #[inline]
    pub(super) fn ring(&self, durable: bool) -> &Ring {
        if durable { &self.durable } else { &self.transient }
    }

    #[inline]
    pub(super) fn ring_mut(&mut self, durable: bool) -> &mut Ring {
        if durable { &mut self.durable } else { &mut self.transient }
    }
}
