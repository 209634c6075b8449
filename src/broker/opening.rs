//! How does a broker come up: what is read, what is made in an empty directory?

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use log::warn;

use crate::amqp::{Properties, Table};
use crate::broker::counters::{Counters, NO_SIZES, NO_TIMES};
use crate::broker::flow::commit::Commits;
use crate::broker::flow::compaction::{Compactor, Relocations};
use crate::broker::flow::deduplication::dedup_key_in;
use crate::broker::flow::delayed::Delayed;
use crate::broker::flow::expiry::priority_in;
use crate::broker::flow::held_letters::HeldLetters;
use crate::broker::flow::settle::Discarding;
use crate::broker::key::ExchangeKey;
use crate::broker::notices::Notices;
use crate::broker::requests::take_back::TakeBacks;
use crate::broker::topology::definitions::Kind;
use crate::broker::users::User;
use crate::broker::watched::Watched;
use crate::broker::{BlockReasons, Broker, Queues, Topology, Users, Work};
use crate::storage::{QueueId, RecoveryReport, ScratchPool, StorageError, Store, StoreOptions};

/// What was found at start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Durable queues.
    pub queues: usize,
    /// Messages in them.
    pub messages: u64,
    /// There is no vhost, which the first start makes last.
    pub empty: bool,
}

impl Broker {
    /// Reads the log of a data directory, in which there is a user and a vhost, or nothing yet.
    ///
    /// # Errors
    /// The directory cannot be used; what is damaged in it is an entry in the log, no error.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<(Self, Found), StorageError> {
        let options = StoreOptions { is_usable: Some(is_new_or_open), ..options };
        Self::open_anyway(directory, options)
    }

    /// The same where nobody may be able to log in.
    ///
    /// # Errors
    /// See [`Broker::open`].
    pub fn open_anyway(
        directory: &Path,
        options: StoreOptions,
    ) -> Result<(Self, Found), StorageError> {
        let mut store = Store::open(options)?;
        let definitions = store.take_definitions();
        let wrap = StorageError::io("making the scratch file in", directory);
        let scratch = ScratchPool::open(directory).map_err(wrap)?;
        let mut broker = Self {
            store,
            topology: Topology::default(),
            queues: Queues::new(scratch),
            users: Users::new(),
            clock_ms: 0,
            work: Work::default(),
            alarms: BlockReasons::default(),
            effects: VecDeque::new(),
            delayed: Delayed::default(),
            dying: VecDeque::new(),
            held: HeldLetters::default(),
            returning: VecDeque::new(),
            take_backs: TakeBacks::default(),
            leaving: VecDeque::new(),
            unbound: VecDeque::new(),
            counters: Counters::default(),
            sizes: NO_SIZES,
            times_in_queue: NO_TIMES,
            watched: Watched::default(),
            parting: VecDeque::new(),
            applying: VecDeque::new(),
            reviews: VecDeque::new(),
            commits: Commits::default(),
            discarding: Discarding::default(),
            compactor: Compactor::default(),
            relocations: Relocations::default(),
            waits_for_room: false,
            warned_of_waiting: false,
            notices: Notices::default(),
            queue_ids: Vec::new(),
            notice_queues: Vec::new(),
        };
        broker.restore_definitions(&definitions);
        let messages = broker.restore_messages();
        broker.finish_removing_vhosts();
        let (queues, empty) = (broker.queues.len(), broker.topology.is_empty());
        Ok((broker, Found { queues, messages, empty }))
    }

    /// Hands the messages of the log to their queues; how many there are.
    fn restore_messages(&mut self) -> u64 {
        let delaying: HashMap<QueueId, ExchangeKey> = self
            .topology
            .exchanges()
            .filter_map(|(key, exchange)| Some((exchange.delay_id?, key)))
            .collect();
        let mut messages = 0;
        let mut delayed = Vec::new();
        let mut with_deadline = Vec::new();
        // Queues that are not there are those that were deleted or not durable, unless a part of
        // the log is damaged or nobody could log in: then their messages wait for somebody to look.
        let keeps_homeless = self.store.report().may_lack_some || self.topology.is_empty();
        let mut homeless = 0u64;
        let queues = &mut self.queues;
        self.store.replay(&mut |found| {
            if let Some(&exchange) = delaying.get(&found.queue) {
                let due_ms = found.record.expiry_ms();
                delayed.push(((exchange, found.queue), found.entry, found.slot, due_ms));
                messages += 1;
                return true;
            }
            let key = queues.with_id(found.queue);
            let queue = key.and_then(|key| Some((key, queues.get_with_scratch(key)?)));
            let Some((key, (queue, scratch))) = queue else {
                homeless += u64::from(keeps_homeless);
                return keeps_homeless;
            };
            let record = &found.record;
            if let Some(stream) = &mut queue.stream {
                let kept = stream.restore(found.entry, record.body_bytes(), scratch);
                messages += u64::from(kept);
                return kept;
            }
            let priority = match queue.ready.priority_max() {
                0 => 0,
                _ => priority_in(record.properties()),
            };
            queue.ready.restore(found.entry, priority, scratch);
            queue.ready_bytes += record.body_bytes();
            if queue.settings.message_deduplication {
                let list = Properties::new(record.properties()).list().unwrap_or_default();
                if let Some(dedup_key) = dedup_key_in(&list) {
                    queue.dedup_keys.insert(dedup_key, found.entry.id);
                }
            }
            if queue.deadline_ms(record.published_ms(), record.expiry_ms()).is_some() {
                with_deadline.push((key, found.entry, priority));
            }
            messages += 1;
            true
        });
        for (exchange, entry, slot, due_ms) in delayed {
            self.delay_until(exchange, entry, slot, due_ms);
        }
        warn_of_homeless(homeless);
        let is_damaged = !self.store.report().damaged.is_empty();
        self.compactor.has_homeless = homeless > 0 || is_damaged;
        for (key, entry, priority) in with_deadline {
            self.note_deadline(key, entry, priority);
        }
        self.queues.wake_streams(self.clock_ms);
        self.queues.count_all();
        messages
    }

    /// Writes everything out and marks the stop as an orderly one.
    ///
    /// # Errors
    /// The disk failed; the next start treats the stop as a crash.
    pub fn close(mut self) -> Result<(), StorageError> {
        self.work.begin(u32::MAX);
        self.go_on_committing();
        self.go_on_returning();
        while self.is_discarding() && !self.store.has_deferred() {
            self.work.begin(u32::MAX);
            self.settle_discarded();
        }
        while !self.dying.is_empty() && !self.waits_for_room {
            self.work.begin(u32::MAX);
            self.bury();
        }
        self.store.close()
    }
}

/// Whether nothing was ever in a log, or somebody can log in to what it defines.
fn is_new_or_open(report: &RecoveryReport, definitions: &[(&[u8], &[u8])]) -> bool {
    let of = |kind| definitions.iter().filter(move |(key, _)| key.first() == Some(&(kind as u8)));
    let has_vhost = of(Kind::Vhost).next().is_some();
    let has_user = of(Kind::User)
        .any(|(_, payload)| Table::new(payload).is_ok_and(|table| User::decode(table).is_ok()));
    let is_new = !has_vhost && report.messages == 0 && !report.may_lack_some;
    is_new || (has_vhost && has_user)
}

/// Says in the log that messages wait for their queues' definitions.
fn warn_of_homeless(messages: u64) {
    if messages > 0 {
        warn!(
            "{messages} messages are in queues that are not defined; they stay in the log as long \
             as it is damaged, or a *.damaged file is in the data directory"
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::amqp::Table;
    use crate::broker::Broker;
    use crate::broker::testing::{declare, open, publish};
    use crate::storage::{HelperMode, StoreOptions};

    fn turn(broker: &mut Broker) {
        broker.store.retire();
        broker.store.write_out(true).unwrap();
        broker.store.start_sync_if(true).unwrap();
        broker.store.maintain().unwrap();
        broker.store.run_helper(usize::MAX);
        broker.store.take_answers().unwrap();
    }

    /// The segment with a queue's definition is missing: its messages wait until somebody looks,
    /// however often the broker starts meanwhile.
    #[test]
    fn messages_of_a_queue_that_is_not_defined_wait_while_a_segment_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        while broker.store.counters().segments_used < 3 {
            publish(&mut broker, queue, 100);
            turn(&mut broker);
        }
        declare(&mut broker, "other", Table::EMPTY);
        publish(&mut broker, queue, 10);
        broker.close().unwrap();
        std::fs::remove_file(directory.path().join("00000001.segment")).unwrap();
        for start in 0..3 {
            let options = StoreOptions::new(directory.path(), 64 * 1024, HelperMode::Manual);
            let (broker, _) = Broker::open_anyway(directory.path(), options).unwrap();
            assert!(broker.store.report().messages >= 10, "start {start}");
            broker.close().unwrap();
        }
    }
}
