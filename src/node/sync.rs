//! When is what gathered written, and when is it synced?

use std::time::{Duration, Instant};

use crate::management::Syncs;
use crate::storage::StorageError;

use super::Node;
use super::deadlines::Due;

/// Persistent messages that nobody waits for are synced within this time.
const SYNC_WITHIN: Duration = Duration::from_millis(200);

/// Acknowledgements are synced within this time.
const SYNC_SETTLEMENTS_WITHIN: Duration = Duration::from_secs(1);

/// Acknowledgements that nobody asks about are written within this time, or with the next message:
/// written alone in every turn, they cost a lone publisher half as many bytes again and a third of
/// its latency.
const SETTLEMENTS_WITHIN: Duration = Duration::from_millis(5);

/// What the log was told, and when.
#[derive(Debug)]
pub(super) struct SyncPlan {
    /// Since when the log holds something that nobody waits for and that is not synced.
    unsynced_since: Option<Instant>,
    /// When settlements were last written.
    settlements_at: Instant,
    /// A client got an answer in this turn: settlements are written before it leaves.
    pub(super) answered: bool,
    /// What syncs took, and of how many of them that is known.
    pub(super) syncs: Syncs,
    noted: u64,
    /// How many messages had been appended when the last sync began.
    messages_before: u64,
}

impl SyncPlan {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            unsynced_since: None,
            settlements_at: now,
            answered: false,
            syncs: Syncs::default(),
            noted: 0,
            messages_before: 0,
        }
    }
}

impl Node {
    /// Writes the turn's records, and with them what was settled: that alone not in every turn.
    pub(super) fn write_out(&mut self) -> Result<(), StorageError> {
        let plan = &mut self.sync;
        let answered = std::mem::take(&mut plan.answered);
        let settlements = answered || self.now >= plan.settlements_at + SETTLEMENTS_WITHIN;
        let store = &mut self.broker.store;
        let had_settlements = store.has_unwritten_settlements();
        store.write_out(settlements)?;
        if had_settlements && !store.has_unwritten_settlements() {
            plan.settlements_at = self.now;
        }
        Ok(())
    }

    /// Begins a sync when somebody waits for one, or when something has waited for long; whether it
    /// did.
    pub(super) fn start_sync(&mut self) -> Result<bool, StorageError> {
        if !self.broker.store.has_unsynced() {
            self.sync.unsynced_since = None;
            return Ok(false);
        }
        self.sync.unsynced_since.get_or_insert(self.now);
        let is_due = self.sync_due().is_some_and(|due| self.now >= due);
        // What is settled makes room once it is durable.
        let is_wanted = self.waiting.is_anybody() || self.somebody_waits_for_room();
        let begun = self.broker.store.start_sync_if(is_due || is_wanted)?;
        if begun {
            self.sync.unsynced_since = None;
            let messages = self.broker.store.messages_durable();
            self.sync.syncs.batches.note(messages - self.sync.messages_before);
            self.sync.messages_before = messages;
        }
        Ok(begun)
    }

    /// The helper answered: notes how long a sync took that ended.
    pub(super) fn note_sync(&mut self) {
        let (count, nanos) = self.broker.store.last_sync();
        if count > self.sync.noted {
            self.sync.noted = count;
            self.sync.syncs.times.note(nanos / 1_000);
        }
    }

    /// When what nobody waits for has to be synced.
    fn sync_due(&self) -> Option<Instant> {
        let within = match self.broker.store.has_unsynced_content() {
            true => SYNC_WITHIN,
            false => SYNC_SETTLEMENTS_WITHIN,
        };
        self.sync.unsynced_since.map(|since| since + within)
    }

    /// Notes when the log wants the next turn.
    pub(super) fn plan_writes(&mut self) {
        let store = &self.broker.store;
        let unwritten = store.has_unwritten_settlements();
        let settlements = unwritten.then_some(self.sync.settlements_at + SETTLEMENTS_WITHIN);
        // While one runs, its end brings the next turn.
        let sync = self.sync_due().filter(|_| store.may_sync());
        let look_back = store.next_look_ms().map(|at_ms| self.calendar.instant_of(at_ms));
        self.deadlines.set(Due::Settlements, settlements);
        self.deadlines.set(Due::Sync, sync);
        self.deadlines.set(Due::LookBack, look_back);
    }
}
