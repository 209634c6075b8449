//! Who keeps the messages and definitions of the node? The facade over both rings, the ids that
//! never repeat and the helper. The loop owns it. Only `open` and `close` wait for the disk.

use super::file::directory::Directory;
use super::file::segment::PAGE_BYTES;
use super::helper::Helper;
use super::helper::jobs::{Answer, Job, Release, SyncJob};
use super::log::append::Row;
use super::log::compact::Compacting;
use super::log::define::DefinitionIndex;
use super::log::publication::{Appended, LargeBody, Publication};
use super::log::ring::{Ids, Pace, Rank, Ring};
use super::log::view::{Record, SharedBody};
use super::options::StoreOptions;
use super::record::{CLEAN_BYTES, Kind, MARK_BYTES, padded};
use super::recovery::report::{Recovered, RecoveryReport};
use super::recovery::{self, Definitions, Replay};
use super::types::{
    Answers, AppendError, LogPos, MessageId, QueueId, RecordRef, SlotRef, StorageError,
    StoreCounters,
};
use crate::sys;

/// How often the store looks at what it could give back, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;

/// What a message takes in the log beside its body, at the most but for odd ones.
const MESSAGE_BYTES: u64 = 64 * 1024;

/// What the clean-stop record takes, and the mark before it.
const CLEAN_NEED: usize = padded(MARK_BYTES) + padded(CLEAN_BYTES);

/// The log of the node.
pub struct Store {
    pub(in crate::storage) durable: Ring,
    pub(in crate::storage) transient: Ring,
    pub(in crate::storage) ids: Ids,
    pub(in crate::storage) definitions: DefinitionIndex,
    /// Copies of bodies pass through here.
    pub(in crate::storage) scratch: Vec<u8>,
    pub(in crate::storage) messages: u64,
    pub(in crate::storage) messages_durable: u64,
    pub(in crate::storage) compacting: Compacting,
    /// The transaction that is being appended.
    pub(in crate::storage) row: Option<Row>,
    /// (Record, queue) pairs that compaction copied.
    pub(in crate::storage) relocated: u64,
    helper: Helper,
    report: RecoveryReport,
    replay: Option<Replay>,
    /// When the store looks at what it could give back, in ms since 1970; `None`: not before
    /// something happens.
    look_at_ms: Option<u64>,
    /// The helper is to give memory back.
    heap_is_due: bool,
    end_seen: LogPos,
    syncs: u64,
    sync_nanos_last: u64,
    sync_nanos_total: u64,
}

/// A definition has no more bytes than this, nor than half a segment.
const DEFINITION_BYTES_MAX: usize = 1 << 20;

impl Store {
    /// Opens the log in `options.directory`, checks every record and finds out what is alive.
    /// [`Store::take_definitions`] and [`Store::replay`] tell of it.
    ///
    /// # Errors
    /// Those of the file system, and files of another version. Damage is no error: see
    /// [`Store::report`]. A full disk is none either: then nothing can be appended.
    pub fn open(options: StoreOptions) -> Result<Store, StorageError> {
        let StoreOptions { directory, segment_bytes, helper, witness, mut progress, .. } = options;
        if segment_bytes < 64 * 1024 || !segment_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(StorageError::Options(
                "segment_bytes must be a multiple of 4096 and at least 65536",
            ));
        }
        let reads_ahead = !sys::has_little_memory();
        let directory = Directory { path: directory, witness, reads_ahead };
        let progress = progress.as_deref_mut().map(|tell| tell as &mut dyn FnMut(_));
        let found = recovery::open(directory.clone(), segment_bytes, progress)?;
        if let Some(is_usable) = options.is_usable
            && !is_usable(&found.report, &found.definitions())
        {
            let RecoveryReport { messages, damaged, .. } = found.report;
            let path = found.ring.directory.path;
            return Err(StorageError::Unusable { path, messages, damaged });
        }
        let (tail, is_clean) = (found.tail, found.report.clean);
        let mut store = Store {
            durable: found.ring,
            transient: Ring::new(false, directory, segment_bytes),
            ids: found.ids,
            definitions: DefinitionIndex::default(),
            scratch: Vec::new(),
            messages: 0,
            messages_durable: 0,
            compacting: Compacting::default(),
            row: None,
            relocated: 0,
            helper: Helper::start(helper)?,
            report: found.report,
            replay: Some(found.replay),
            look_at_ms: None,
            heap_is_due: false,
            end_seen: LogPos::START,
            syncs: 0,
            sync_nanos_last: 0,
            sync_nanos_total: 0,
        };
        recovery::begin(&mut store, tail, is_clean)?;
        store.maintain()?;
        Ok(store)
    }

    /// The definitions that were found, in the order in which their keys were first defined.
    pub fn take_definitions(&mut self) -> Definitions {
        recovery::take_definitions(self)
    }

    /// Hands over every live (record, queue) pair, in the order of the message ids. When `keep`
    /// says no, because there is no such queue any more, the pair is settled. Only the first call
    /// has an effect.
    pub fn replay(&mut self, keep: &mut dyn FnMut(Recovered<'_>) -> bool) {
        if let Some(replay) = self.replay.take() {
            recovery::replay(&mut self.durable, replay, keep);
        }
    }

    /// All messages that were stored so far have smaller ids than this.
    pub fn next_message_id(&self) -> MessageId {
        MessageId(self.ids.next_message)
    }

    /// An id for a new queue. It never repeats.
    pub fn new_queue_id(&mut self) -> QueueId {
        let id = QueueId(self.ids.next_queue);
        self.ids.next_queue += 1;
        id
    }

    /// Appends a message. Nothing is written yet, but for a body that is long.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing was changed.
    #[inline]
    pub fn append(&mut self, publication: &Publication<'_>) -> Result<Appended, AppendError> {
        if publication.durable && (self.has_deferred() || self.row.is_some()) {
            self.may_append()?;
        }
        match self.append_message(publication) {
            Err(AppendError::Full) => Err(self.found_no_room(publication)),
            other => other,
        }
    }

    #[cold]
    fn found_no_room(&mut self, publication: &Publication<'_>) -> AppendError {
        // Pieces leave room at the ends of segments.
        let need = 2 * self.body_room(publication) + MESSAGE_BYTES;
        self.want_room(publication.durable, need);
        AppendError::Full
    }

    fn may_append(&mut self) -> Result<(), AppendError> {
        // The messages of a transaction stand side by side.
        if self.row.is_some() { Err(AppendError::Full) } else { self.append_deferred() }
    }

    /// Appends a part of a transaction: durable messages, and slots that it settles. It is all
    /// there or nothing of it, also after a crash: it counts when its last part is in the log.
    /// `appended` gets the messages; their `position` says nothing. No other message can be
    /// appended before the transaction ends ([`Store::end_transaction`]); then those whose slots
    /// were given must have been settled ([`Store::settle_with_transaction`]), which is done after
    /// the last part.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing of this part was appended. What the parts before it
    /// appended has to be taken back ([`Store::abandon_transaction`]). After
    /// [`AppendError::Full`] the store sees to it that there is room for as much.
    pub fn append_part(
        &mut self,
        publications: &[Publication<'_>],
        settles: &[SlotRef],
        is_last: bool,
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        let is_durable = |p: &Publication<'_>| p.durable && p.replaces.is_none();
        assert!(publications.iter().all(is_durable), "a transaction is in the durable log");
        if self.has_deferred() {
            self.append_deferred()?;
        }
        let result = self.append_step(publications, settles, is_last, appended);
        if let Err(AppendError::Full) = result {
            let need = self.transaction_room(publications, settles.len());
            self.want_room(true, need);
        }
        if result.is_ok() && is_last {
            let definitions = self.row.as_mut().map(Row::take_definitions).unwrap_or_default();
            definitions.into_iter().for_each(|(key, at)| self.define_with(&key, at));
        }
        result
    }

    /// The transaction whose last part was just appended settled this slot.
    pub fn settle_with_transaction(&mut self, slot: SlotRef) {
        let by = self.row.as_ref().expect("a transaction that has not ended").last();
        self.durable.settle_by(slot.segment.index(), slot.slot, by);
    }

    /// Takes back up to so many messages' slots of a transaction that does not come to its end;
    /// `true` when that was all of it. Others may append then.
    pub fn abandon_transaction(&mut self, slots_max: usize) -> bool {
        for _ in 0..slots_max {
            let Some(slot) = self.row.as_mut().and_then(Row::take_slot) else {
                self.end_transaction();
                return true;
            };
            self.settle_slot(slot);
        }
        false
    }

    /// All that a transaction does is done: others may append.
    pub fn end_transaction(&mut self) {
        self.row = None;
        self.durable.row_is_open = false;
    }

    /// Somebody waits for room for so many bytes in one of the rings.
    pub fn want_room(&mut self, durable: bool, bytes: u64) {
        let ring = self.ring_mut(durable);
        ring.wanted_bytes = ring.wanted_bytes.max(bytes);
    }

    /// Begins a large body, which is given back with [`Store::abandon`] in the end, also after it
    /// was appended.
    pub fn begin_body(&mut self, durable: bool, bytes: u64) -> LargeBody {
        LargeBody::new(durable, bytes)
    }

    /// Writes the next part of a body straight to the file; what finds no room waits in memory.
    /// `chunk` is not longer than what is missing.
    pub fn add_to_body(&mut self, body: &mut LargeBody, chunk: &[u8]) {
        let ids = self.ids;
        self.ring_mut(body.durable).add_to_body(body, chunk, ids);
        if body.is_complete() {
            self.ring_mut(body.durable).write_waiting(body, ids);
        }
    }

    /// The parts of a complete body, from where they lie.
    pub fn large_body<'a>(&'a self, body: &'a LargeBody) -> impl Iterator<Item = &'a [u8]> {
        let ring = self.ring(body.durable);
        let written = body.pieces.iter().map(|piece| ring.piece(*piece));
        written.chain(std::iter::once(&body.waiting[..]))
    }

    /// Gives a large body back: it never became a message, or the messages that it became keep
    /// it alive from now on.
    pub fn abandon(&mut self, body: LargeBody) {
        let ring = self.ring_mut(body.durable);
        body.pieces.iter().for_each(|piece| ring.let_go(piece.sequence));
    }

    /// The record at `at`, of which at least one slot is not settled.
    #[inline]
    pub fn record(&self, at: RecordRef) -> Record<'_> {
        let ring = self.ring(at.segment.is_durable());
        Record { ring, segment: at.segment, message: ring.message(at) }
    }

    /// The body of the record at `at` where it lies in the mapping, in parts; they keep their
    /// segments from being used again. `None` while it is not yet written out.
    pub fn shared_body(&self, at: RecordRef) -> Option<SharedBody<'_>> {
        self.ring(at.segment.is_durable()).shared_body(at)
    }

    /// How often the message was delivered, at most 254; 255 is settled.
    #[inline]
    pub fn deliveries(&self, slot: SlotRef) -> u8 {
        self.ring(slot.segment.is_durable()).deliveries(slot.segment.index(), slot.slot)
    }

    /// Counts one delivery more and says how many there are now. The log does not know of it: see
    /// [`Store::log_deliveries`].
    #[inline]
    pub fn note_delivery(&mut self, slot: SlotRef) -> u8 {
        let deliveries = self.deliveries(slot).saturating_add(1);
        let deliveries = deliveries.min(super::record::statement::DELIVERIES_MAX);
        let index = slot.segment.index();
        self.ring_mut(slot.segment.is_durable()).set_deliveries(index, slot.slot, deliveries);
        deliveries
    }

    /// The message goes back to its queue: the log is told how often it was delivered.
    pub fn log_deliveries(&mut self, slot: SlotRef) {
        self.ring_mut(slot.segment.is_durable()).log_deliveries(slot.segment.index(), slot.slot);
    }

    /// Settles a slot of the record at `at`, for good. The record may be gone after that.
    #[inline]
    pub fn settle(&mut self, at: RecordRef, slot: SlotRef) {
        assert_eq!(at.segment, slot.segment, "a record and its slots share a segment");
        self.settle_slot(slot);
    }

    #[inline]
    pub(in crate::storage) fn settle_slot(&mut self, slot: SlotRef) {
        let index = slot.segment.index();
        self.ring_mut(slot.segment.is_durable()).settle(index, slot.slot);
        if self.durable.unsaid.is_much() {
            self.durable.say_what_fits(self.ids);
        }
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
            Answer::Made { durable, segment } => {
                answers.space_changed = true;
                let ring = self.ring_mut(durable);
                ring.made(segment);
                ring.note_room();
            }
            Answer::NoSpace { durable, free, error } => {
                answers.space_changed = true;
                self.ring_mut(durable).not_made(free, &error);
            }
            Answer::Removed => answers.space_changed = true,
            Answer::Released => {}
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
        self.definitions.note_durable(self.durable.durable);
        self.syncs += 1;
        self.sync_nanos_last = nanos;
        self.sync_nanos_total += nanos;
    }

    /// Writes the durable ring's appends, with everything that the log does not say yet of slots if
    /// that is asked for, or if something is written anyway.
    ///
    /// # Errors
    /// Final ones. A full disk is none: what finds no space is tried again.
    pub fn write_out(&mut self, settlements: bool) -> Result<(), StorageError> {
        // What finds no room is tried again in the next turn.
        let has_deferred = self.append_deferred().is_err();
        let is_changed = self.definitions.has_unplaced();
        if settlements || is_changed || !self.durable.is_written() {
            let all_said = self.durable.say(self.ids).is_ok();
            if is_changed && all_said && !has_deferred {
                self.definitions.place(self.durable.end);
                self.definitions.note_durable(self.durable.durable);
            }
        }
        self.durable.write_buffer()
    }

    /// Whether [`Store::write_out`] has settlements to write.
    #[inline]
    pub fn has_unwritten_settlements(&self) -> bool {
        !self.durable.unsaid.is_empty()
    }

    /// Whether something waits to be written that is more than settlements, and may be.
    #[inline]
    pub fn has_unwritten(&self) -> bool {
        let waits = !self.durable.is_written() || self.definitions.has_unplaced();
        waits && !self.durable.no_space && !self.has_deferred()
    }

    /// Writes the transient ring's appends, unless nothing of them is alive: then they were
    /// never written and the space is used again.
    ///
    /// # Errors
    /// Final ones.
    pub fn write_out_transient(&mut self) -> Result<(), StorageError> {
        self.transient.rewind();
        self.transient.write_buffer()
    }

    /// How many syncs there were, and how many nanoseconds the last one took.
    pub fn last_sync(&self) -> (u64, u64) {
        (self.syncs, self.sync_nanos_last)
    }

    /// How many messages were appended that syncs are for.
    pub fn messages_durable(&self) -> u64 {
        self.messages_durable
    }

    /// Starts a sync of everything that is written, if it is wanted, none is running and there is
    /// anything to sync. Says whether it did.
    ///
    /// # Errors
    /// The helper is gone.
    pub fn start_sync_if(&mut self, wanted: bool) -> Result<bool, StorageError> {
        if !wanted || !self.may_sync() {
            return Ok(false);
        }
        let (number, files) = self.durable.begin_sync();
        self.helper.submit(Job::Sync(SyncJob { number, files }))?;
        Ok(true)
    }

    /// Whether a sync can be started: none is running, and there is something to sync.
    pub fn may_sync(&self) -> bool {
        !self.durable.unsynced.is_empty() && !self.is_syncing()
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

    /// Whether there is anything that a sync would make durable.
    #[inline]
    pub fn has_unsynced(&self) -> bool {
        self.durable.durable < self.durable.end
    }

    /// Whether that is more than settlements.
    #[inline]
    pub fn has_unsynced_content(&self) -> bool {
        self.durable.durable < self.durable.end_of_content
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

    /// The most bytes of a definition, key and payload together.
    pub fn definition_bytes_max(&self) -> usize {
        DEFINITION_BYTES_MAX.min(self.durable.segment_bytes as usize / 2)
    }

    /// Whether one of the rings has room for less than `bytes_min`, or for less than half a segment
    /// where segments are so small that there may never be that much; or for less than somebody
    /// waits for.
    #[inline]
    pub fn is_short_of_room(&self, bytes_min: u64) -> bool {
        let is_short = |ring: &Ring| {
            let reachable = u64::from(ring.segment_bytes) / 2;
            ring.wanted_bytes > 0 || !ring.has_room(bytes_min.min(reachable))
        };
        is_short(&self.durable)
            || is_short(&self.transient)
            || self.has_deferred()
            || self.durable.no_space && !self.durable.is_written()
    }

    /// Whether no space could be had for a spare segment: the disk alarm. Publications fail with
    /// [`AppendError::Full`] before the last spare is used.
    pub fn is_disk_full(&self) -> bool {
        self.durable.no_space || self.transient.no_space
    }

    /// Whether no space was found and what is left is less than `bytes_min`: it is kept for what
    /// makes room. Unlike [`Store::is_disk_full`] it lasts while space is looked for again.
    pub fn is_out_of_room(&self, bytes_min: u64) -> bool {
        self.durable.warned_of_space && self.is_short_of_room(bytes_min)
    }

    /// Lets [`Store::maintain`] try again to get space: from a timer while the disk is full. Who
    /// still waits for room asks again.
    pub fn retry_space(&mut self) {
        for ring in [&mut self.durable, &mut self.transient] {
            ring.no_space = false;
            ring.wanted_bytes = 0;
        }
    }

    /// Once a turn, before its records are written: appends what has to be in the log before dead
    /// segments are free.
    pub fn retire(&mut self) {
        if self.durable.retire(self.ids) {
            self.look_at_ms.get_or_insert(0);
        }
    }

    /// Has the helper give memory back that nobody uses: it takes a while.
    pub fn release_heap(&mut self) {
        self.heap_is_due = true;
    }

    /// Once a turn: begins new lives of free segments, has spares made and removes what is not
    /// needed.
    ///
    /// # Errors
    /// The helper is gone.
    pub fn maintain(&mut self) -> Result<(), StorageError> {
        if std::mem::take(&mut self.heap_is_due) {
            self.helper.submit(Job::Release(Release::Heap))?;
        }
        self.durable.maintain(&mut self.helper)?;
        self.transient.maintain(&mut self.helper)?;
        Ok(())
    }

    /// Looks now and then whether files and memory can be given back.
    ///
    /// # Errors
    /// The helper is gone.
    pub fn look_back(&mut self, now_ms: u64) -> Result<(), StorageError> {
        let is_busy = [&self.durable, &self.transient].map(|ring| ring.pace != Pace::Idle);
        if self.end_seen < self.durable.end || is_busy.contains(&true) {
            self.look_at_ms.get_or_insert(0);
        }
        match self.look_at_ms {
            Some(0) => self.look_at_ms = Some(now_ms.saturating_add(LOOK_EVERY_MS)),
            Some(at) if at <= now_ms => {
                self.end_seen = self.durable.end;
                self.durable.look_back(&mut self.helper)?;
                self.transient.look_back(&mut self.helper)?;
                self.look_at_ms = None;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// When [`Store::look_back`] has something to do, in ms since 1970.
    pub fn next_look_ms(&self) -> Option<u64> {
        self.look_at_ms
    }

    /// Ends in an orderly way: everything is written and synced, and the next start knows it.
    ///
    /// # Errors
    /// As with [`Store::write_out`] and [`Store::take_answers`].
    pub fn close(mut self) -> Result<(), StorageError> {
        let is_complete = self.log_counts().is_ok();
        self.write_out(true)?;
        self.sync_all()?;
        let is_said = !self.has_unwritten_settlements() && !self.has_deferred();
        if is_complete && is_said && self.durable.is_written() {
            self.append_clean();
            self.write_out(true)?;
            self.sync_all()?;
        }
        while self.helper.outstanding > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// The last record of all: behind the mark that would follow it otherwise. Without room for it
    /// the next start treats the stop as a crash, and so it does when something could not be read:
    /// it may be there again.
    fn append_clean(&mut self) {
        let mut segments = self.durable.segments.iter().flatten();
        if !self.durable.missing.is_empty() || segments.any(|segment| segment.damaged) {
            return;
        }
        if let Ok(index) = self.durable.make_room(CLEAN_NEED, Rank::Statement, self.ids) {
            self.durable.append_mark();
            let Ids { next_message, next_queue } = self.ids;
            let ids = [next_message.to_le_bytes(), next_queue.to_le_bytes()].concat();
            self.durable.append_plain(index, Kind::Clean, &ids);
        }
    }

    /// What was delivered and is not settled is written down, where the log does not know of it.
    /// Not of a damaged segment: what could not be read would be said to be settled, and the next
    /// start, which finds the damage again, takes everything for delivered anyway.
    fn log_counts(&mut self) -> Result<(), AppendError> {
        for index in 0..self.durable.segments.len() {
            let segment = self.durable.segments[index].as_ref();
            if segment.is_some_and(|s| s.counts_unlogged && s.live > 0 && !s.damaged) {
                self.durable.restate(super::record::in_file(index), self.ids)?;
            }
        }
        Ok(())
    }

    pub(in crate::storage) fn replay_mut(&mut self) -> Option<&mut Replay> {
        self.replay.as_mut()
    }

    /// Writes and syncs everything, and waits for it.
    ///
    /// # Errors
    /// As with [`Store::write_out`] and [`Store::take_answers`].
    pub fn sync_now(&mut self) -> Result<(), StorageError> {
        self.write_out(true)?;
        self.sync_all()
    }

    pub(in crate::storage) fn sync_all(&mut self) -> Result<(), StorageError> {
        while self.durable.durable < self.durable.in_files {
            self.start_sync_if(true)?;
            while self.is_syncing() {
                self.wait()?;
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), StorageError> {
        let answer = self.helper.wait()?;
        self.take_answer(answer, &mut Answers::default())
    }

    /// With [`HelperMode::Manual`](super::HelperMode::Manual): does up to `jobs` jobs of the
    /// helper and says how many there were. The answers still have to be taken.
    pub fn run_helper(&mut self, jobs: usize) -> usize {
        let Some(manual) = self.helper.manual() else {
            return 0;
        };
        (0..jobs).take_while(|_| manual.run_one()).count()
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
        StoreCounters {
            bytes_written: ring.written.bytes + self.transient.written.bytes,
            writes: ring.written.writes + self.transient.written.writes,
            syncs: self.syncs,
            sync_nanos_last: self.sync_nanos_last,
            sync_nanos_total: self.sync_nanos_total,
            messages: self.messages,
            relocated: self.relocated,
            segments_used: ring.segments.iter().flatten().count(),
            segments_spare: ring.spares.len(),
            segments_free: ring.free.len(),
            segments_transient: self.transient.segments.iter().flatten().count(),
        }
    }

    #[inline]
    pub(in crate::storage) fn ring(&self, durable: bool) -> &Ring {
        if durable { &self.durable } else { &self.transient }
    }

    #[inline]
    pub(in crate::storage) fn ring_mut(&mut self, durable: bool) -> &mut Ring {
        if durable { &mut self.durable } else { &mut self.transient }
    }
}
