//! How does a transaction take effect, whole or not at all?
//!
//! A large one takes several turns, in these stages:
//! 1. its messages are appended and what it settles is said in the log, in parts of which none
//!    counts before the last one;
//! 2. with the last part it counts: the messages join their queues;
//! 3. what it settled is settled, put back or dead-lettered.
//!
//! Meanwhile nobody else's message is stored: [`Broker::has_room`] says no, and what moves by
//! itself waits. So the messages of a transaction follow one another, in the log and in every
//! queue. Only one commit goes on at a time; a small one is done at once.

use std::collections::HashSet;
use std::ops::Range;

use crate::amqp::TableBuf;
use crate::broker::Broker;
use crate::broker::chunks::Chunks;
use crate::broker::counters::Happening;
use crate::broker::flow::admission::Together;
use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::flow::message::{Delay, Message, publication};
use crate::broker::flow::pending::{Destinations, PendingPublish, Place};
use crate::broker::flow::publish::Letter;
use crate::broker::flow::settle::Settlement;
use crate::broker::flow::transaction::{Settlements, Transaction, WORK_PER_MESSAGE, work_of};
use crate::broker::key::{ExchangeKey, QueueKey};
use crate::storage::{AppendError, Appended, Entry, LogPos, MessageId, Publication, QueueId};
use crate::storage::{RecordRef, SlotRef};

/// What a commit came to.
#[derive(Debug)]
pub enum Committed {
    /// The transaction took effect.
    Done {
        /// What `tx.commit-ok` waits for, if anything.
        position: Option<LogPos>,
        /// A full queue refused a message.
        refused: bool,
    },
    /// The log did not take it, nothing was done; what it would have settled is unsettled.
    Failed(AppendError, Settlements),
}

/// How a commit began.
#[derive(Debug)]
pub enum Commit {
    /// It is over.
    Over(Committed),
    /// It goes on in the next turns, under this number.
    GoesOn(u64),
}

/// The commit that goes on, and what the last one came to that nobody has asked for yet.
#[derive(Debug, Default)]
pub(in crate::broker) struct Commits {
    /// How many there have been.
    count: u64,
    running: Option<Box<Committing>>,
    over: Option<(u64, Committed)>,
}

/// A commit that was begun.
#[derive(Debug)]
struct Committing {
    number: u64,
    transaction: Transaction,
    stage: Stage,
    /// Its messages go to the durable log.
    durable: bool,
    /// Something of it stands there.
    is_in_log: bool,
    together: Together,
    /// Keys that exchanges will remember.
    dedup_keys: HashSet<(ExchangeKey, Box<[u8]>)>,
    /// Messages that are in the log.
    stored: Chunks<Stored>,
    /// Where those go that do not go the way of the one before them.
    ways: Chunks<Destinations>,
    /// What few of them have.
    seldom: Chunks<(Option<Delay>, Option<NewDedupKey>)>,
    /// Where the last one went that joined its queues.
    way: Option<Destinations>,
    /// Keys of messages that no queue took.
    unstored: Vec<NewDedupKey>,
    /// Which of the settlements the log says, as far as they were looked at.
    said: Vec<bool>,
    /// One of its messages repeats one that may not be durable yet.
    repeats: bool,
    refused: bool,
    position: Option<LogPos>,
    /// Whoever began it is gone.
    is_orphan: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Messages are appended, and what is settled is said.
    Appending,
    /// Messages join their queues.
    Pushing,
    /// So many settlements were carried out.
    Settling(usize),
    /// What was appended is taken back.
    Undoing(AppendError),
}

/// A message of the transaction that is in the log, and not yet in its queues.
#[derive(Debug)]
struct Stored {
    at: RecordRef,
    /// Its first slot.
    slot: u32,
    priority: u8,
    /// It goes where the one before it goes.
    goes_same_way: bool,
    /// Something stands of it in the list of what few have.
    is_seldom: bool,
}

/// What becomes of one publish of the transaction.
enum Plan<'a> {
    /// Its exchange knows it already.
    Known,
    /// All of these take it.
    Plain(&'a [QueueKey]),
    /// `taking` take it; if others refuse it, letters may go out for them.
    Apart { taking: Vec<QueueKey>, refusing: bool, letters: Vec<Letter> },
}

/// The messages that are about to be stored together.
struct Parts<'a> {
    planned: Vec<Planned<'a>>,
    /// The numbers of their queues as the log knows them; of a message that its exchange delays,
    /// that of the exchange.
    ids: Vec<QueueId>,
    /// The queues themselves.
    queues: Vec<QueueKey>,
}

/// One of them.
struct Planned<'a> {
    message: Message<'a>,
    /// Where its numbers stand among all, and where its queues do.
    ids: Range<usize>,
    queues: Range<usize>,
}

/// A commit that costs no more than this is done at once.
const AT_ONCE_MAX: usize = 2_000;

/// What is settled out of order lies anywhere in memory.
const WORK_OUT_OF_ORDER: usize = 12;

/// So many settlements are carried out in a step, however little it allows.
const AT_LEAST: usize = 64;

/// A part of a transaction costs no more than this, but for its last message.
const WORK_PER_PART: usize = 2_000;

impl Committing {
    fn new(number: u64, transaction: Transaction) -> Self {
        Self {
            number,
            durable: false,
            transaction,
            stage: Stage::Appending,
            is_in_log: false,
            together: Together::default(),
            dedup_keys: HashSet::new(),
            stored: Chunks::default(),
            ways: Chunks::default(),
            seldom: Chunks::default(),
            way: None,
            unstored: Vec::new(),
            said: Vec::new(),
            repeats: false,
            refused: false,
            position: None,
            is_orphan: false,
        }
    }

    /// Notes messages that were appended.
    fn note_stored(&mut self, parts: &Parts<'_>, appended: Vec<Appended>) {
        for (planned, appended) in parts.planned.iter().zip(appended) {
            let Message { delay, dedup_key, priority, .. } = planned.message;
            let queues = &parts.queues[planned.queues.clone()];
            let last = self.ways.len().checked_sub(1).and_then(|last| self.ways.get(last));
            let goes_same_way = last.is_some_and(|last| last.as_slice() == queues);
            if !goes_same_way {
                self.ways.push_back(Destinations::new(queues));
            }
            let is_seldom = delay.is_some() || dedup_key.is_some();
            if is_seldom {
                self.seldom.push_back((delay, dedup_key.cloned()));
            }
            let (at, slot) = (appended.entry.at, appended.first_slot.slot);
            self.stored.push_back(Stored { at, slot, priority, goes_same_way, is_seldom });
        }
    }
}

impl Stored {
    /// It, as if it was just appended.
    fn appended(&self, id: MessageId) -> Appended {
        let Self { at, slot, .. } = *self;
        Appended {
            entry: Entry { id, at },
            first_slot: SlotRef { segment: at.segment, slot },
            position: LogPos::START,
        }
    }
}

impl Commits {
    /// Whether a commit goes on.
    #[inline]
    pub(in crate::broker) fn is_any_running(&self) -> bool {
        self.running.is_some()
    }
}

impl Broker {
    /// Stores and enqueues the messages of a transaction in order and carries out what it settles,
    /// all or nothing, also after a crash. [`Broker::has_room`] must say yes.
    ///
    /// When one message has to be durable, all of them go into the durable log: one record, or a
    /// row of them, holds the transaction, and ids grow in the order of the publishes.
    pub fn commit(&mut self, transaction: Transaction) -> Commit {
        assert!(self.commits.running.is_none(), "one commit at a time");
        self.commits.count += 1;
        let mut committing = Committing::new(self.commits.count, transaction);
        let is_small = committing.transaction.work() <= AT_ONCE_MAX;
        loop {
            if let Some(committed) = self.commit_step(&mut committing) {
                return Commit::Over(committed);
            }
            if self.work.is_done() && !is_small {
                let number = committing.number;
                self.commits.running = Some(Box::new(committing));
                return Commit::GoesOn(number);
            }
        }
    }

    /// Does a part of the commit that goes on.
    pub fn go_on_committing(&mut self) {
        let Some(mut committing) = self.commits.running.take() else {
            return;
        };
        while !self.work.is_done() {
            let Some(committed) = self.commit_step(&mut committing) else {
                continue;
            };
            if committing.is_orphan {
                self.give_back_failed(committed);
            } else {
                self.commits.over = Some((committing.number, committed));
            }
            return;
        }
        self.commits.running = Some(committing);
    }

    /// What the commit of this number came to, once it is over; only once.
    pub fn take_committed(&mut self, number: u64) -> Option<Committed> {
        self.commits.over.take_if(|(over, _)| *over == number).map(|(_, committed)| committed)
    }

    /// Nobody will ask what the commit of this number came to. It goes on all the same.
    pub fn disown_commit(&mut self, number: u64) {
        match &mut self.commits.running {
            Some(running) if running.number == number => running.is_orphan = true,
            Some(_) | None => {
                if let Some(committed) = self.take_committed(number) {
                    self.give_back_failed(committed);
                }
            }
        }
    }

    /// What a commit would have settled that failed goes back to its queues.
    pub fn give_back_failed(&mut self, committed: Committed) {
        if let Committed::Failed(_, settlements) = committed {
            let unsettled = settlements.map(|(tag, one, _)| (tag, Some(one)));
            self.give_back([unsettled.collect()]);
        }
    }

    /// One bounded step of a commit; what it came to, with the last one.
    fn commit_step(&mut self, committing: &mut Committing) -> Option<Committed> {
        match committing.stage {
            Stage::Appending => match self.append_part(committing) {
                Ok(false) => {}
                Ok(true) => {
                    let waits = committing.is_in_log || committing.repeats;
                    committing.position = waits.then(|| self.store.end());
                    committing.stage = Stage::Pushing;
                }
                Err(error) => committing.stage = Stage::Undoing(error),
            },
            Stage::Pushing => {
                if self.push_stored(committing) {
                    committing.stage = Stage::Settling(0);
                }
            }
            Stage::Settling(from) => {
                let to = self.carry_out(committing, from);
                committing.stage = Stage::Settling(to);
                if committing.transaction.settlements.is_empty() {
                    if committing.is_in_log {
                        self.store.end_transaction();
                    }
                    let Committing { position, refused, .. } = *committing;
                    return Some(Committed::Done { position, refused });
                }
            }
            Stage::Undoing(error) => {
                if self.undo(committing) {
                    let settlements = std::mem::take(&mut committing.transaction.settlements);
                    return Some(Committed::Failed(error, settlements));
                }
            }
        }
        None
    }

    /// Appends as many messages as a part has, and what is settled behind the last of them;
    /// whether that was all.
    fn append_part(&mut self, committing: &mut Committing) -> Result<bool, AppendError> {
        let mut transaction = std::mem::take(&mut committing.transaction);
        let result = self.append_part_of(&transaction, committing);
        if let Ok((until, _)) = result {
            self.counters.note_many(Happening::Publish, until.count() as u64);
            transaction.drop_until(until, self);
        }
        committing.transaction = transaction;
        result.map(|(_, is_last)| is_last)
    }

    /// The same; up to where it took messages.
    fn append_part_of(
        &mut self,
        transaction: &Transaction,
        committing: &mut Committing,
    ) -> Result<(Place, bool), AppendError> {
        let (plans, until) = self.plan_part(transaction, committing);
        let parts = self.lay_out(&plans, &mut committing.unstored);
        let is_logged = |planned: &Planned<'_>| {
            let Message { persistent, delay, .. } = planned.message;
            self.is_logged(&parts.queues[planned.queues.clone()], persistent, delay)
        };
        let all_there = plans.len() == transaction.len();
        // Of what follows in other parts it is only known where it was routed to.
        committing.durable |= parts.planned.iter().any(is_logged);
        committing.durable |= !all_there && transaction.is_durable();
        let slots = if all_there {
            self.say_next(&transaction.settlements, &mut committing.said)
        } else {
            Vec::new()
        };
        let is_last = all_there && committing.said.len() == transaction.settlements.len();
        let mut appended = Vec::with_capacity(parts.planned.len());
        let definitions = self.definitions_of(&parts, committing.durable);
        let mut publications = self.publications(&parts, &definitions, committing.durable);
        if !committing.durable {
            let result = self.append_transient(&publications, &mut appended);
            committing.note_stored(&parts, std::mem::take(&mut appended));
            result?;
            publications.clear();
        }
        if committing.is_in_log || !publications.is_empty() || !slots.is_empty() {
            self.store.append_part(&publications, &slots, is_last, &mut appended)?;
            committing.is_in_log = true;
            committing.note_stored(&parts, appended);
        }
        Ok((until, is_last))
    }

    /// What becomes of the next messages, as many as a part has, and where that ends.
    fn plan_part<'a>(
        &mut self,
        transaction: &'a Transaction,
        committing: &mut Committing,
    ) -> (Vec<(Message<'a>, Plan<'a>)>, Place) {
        let mut plans = Vec::with_capacity(transaction.len().min(WORK_PER_PART / WORK_PER_MESSAGE));
        let (mut publishes, mut work) = (transaction.publishes(), 0);
        while work < WORK_PER_PART
            && let Some(PendingPublish { message, queues, .. }) = publishes.next()
        {
            let body_bytes = self.body_bytes(&message.content.body);
            work += work_of(&message, queues);
            let plan = self.plan(&message, queues, body_bytes, transaction, committing);
            plans.push((message, plan));
        }
        self.work.spend(work);
        (plans, publishes.place())
    }

    fn plan<'a>(
        &mut self,
        message: &Message<'a>,
        queues: &'a [QueueKey],
        body_bytes: u64,
        transaction: &Transaction,
        committing: &mut Committing,
    ) -> Plan<'a> {
        // Somebody else, or an earlier message, may have brought its deduplication key by now.
        if let Some(dedup_key) = message.dedup_key {
            let (exchange, key) = dedup_key.identity();
            let is_new = committing.dedup_keys.insert((exchange, key.into()));
            if self.is_known(dedup_key) || !is_new {
                committing.repeats |= message.persistent;
                return Plan::Known;
            }
        }
        // A queue that takes the whole of the transaction need not be asked for each message.
        let (messages, bytes) = transaction.totals();
        if self.all_take(queues, messages, bytes) {
            return Plan::Plain(queues);
        }
        let properties = message.content.properties;
        let together = &mut committing.together;
        let admitted = self.admit(queues, properties, body_bytes, together);
        let letters = self.letters_of_refused(&admitted, message, body_bytes, together);
        // A message that is there already survives when the one that it repeats does.
        let asked = admitted.taking.len() + admitted.refusing.len();
        committing.repeats |= message.persistent && message.delay.is_none() && asked < queues.len();
        committing.refused |= !admitted.refusing.is_empty();
        Plan::Apart { taking: admitted.taking, refusing: !admitted.refusing.is_empty(), letters }
    }

    /// Which records these plans come to, in their order.
    fn lay_out<'a>(
        &self,
        plans: &'a [(Message<'a>, Plan<'a>)],
        unstored: &mut Vec<NewDedupKey>,
    ) -> Parts<'a> {
        let planned = Vec::with_capacity(plans.len());
        let mut parts = Parts { planned, ids: Vec::new(), queues: Vec::new() };
        for &(message, ref plan) in plans {
            match plan {
                Plan::Known => {}
                Plan::Plain(queues) => self.lay(&mut parts, message, queues, unstored),
                Plan::Apart { taking, refusing, letters } => {
                    for letter in letters {
                        let copy = letter.message(&message);
                        self.lay(&mut parts, copy, &letter.queues, unstored);
                    }
                    // One that is refused may be sent again.
                    let dedup_key = message.dedup_key.filter(|_| !refusing);
                    let own = Message { dedup_key, ..message };
                    self.lay(&mut parts, own, taking, unstored);
                }
            }
        }
        parts
    }

    fn lay<'a>(
        &self,
        parts: &mut Parts<'a>,
        message: Message<'a>,
        queues: &[QueueKey],
        unstored: &mut Vec<NewDedupKey>,
    ) {
        let (ids_from, queues_from) = (parts.ids.len(), parts.queues.len());
        match message.delay {
            Some(Delay { exchange, .. }) => {
                let exchange = self.topology.exchange(exchange);
                parts.ids.extend(exchange.and_then(|exchange| exchange.delay_id));
            }
            None => {
                for &key in queues {
                    if let Some(queue) = self.queues.get(key) {
                        parts.ids.push(queue.id);
                        parts.queues.push(key);
                    }
                }
            }
        }
        let (ids, queues) = (ids_from..parts.ids.len(), queues_from..parts.queues.len());
        if !ids.is_empty() {
            parts.planned.push(Planned { message, ids, queues });
        } else if let Some(dedup_key) = message.dedup_key {
            unstored.push(dedup_key.clone());
        }
    }

    /// What the next settlements do in the log by themselves: these slots are settled there. For
    /// each, `said` learns whether it is one of them.
    fn say_next(&self, settlements: &Settlements, said: &mut Vec<bool>) -> Vec<SlotRef> {
        let mut slots = Vec::new();
        for (_, unsettled, settlement) in settlements.iter_from(said.len()).take(WORK_PER_PART) {
            let slot = self.where_it_is(unsettled).slot;
            let is_said = self.is_settled_by(unsettled, *settlement)
                && slot.segment.is_durable()
                && !unsettled.kept;
            said.push(is_said);
            slots.extend(is_said.then_some(slot));
        }
        slots
    }

    /// What exchanges remember once the messages are stored; nothing where none of them does.
    fn definitions_of(&self, parts: &Parts<'_>, durable: bool) -> Vec<Option<(Vec<u8>, TableBuf)>> {
        let keys = || parts.planned.iter().map(|planned| planned.message.dedup_key);
        if !durable || keys().all(|dedup_key| dedup_key.is_none()) {
            return Vec::new();
        }
        keys().map(|dedup_key| self.definition_of_dedup_key(dedup_key?)).collect()
    }

    fn publications<'a>(
        &self,
        parts: &'a Parts<'a>,
        definitions: &'a [Option<(Vec<u8>, TableBuf)>],
        durable: bool,
    ) -> Vec<Publication<'a>> {
        let one = |(n, Planned { message, ids, .. }): (usize, &'a Planned<'a>)| {
            let ids = &parts.ids[ids.clone()];
            let mut publication = publication(message, ids, durable, self.clock_ms);
            let defines = definitions.get(n).and_then(Option::as_ref);
            publication.defines = defines.map(|(key, t)| (&key[..], t.table().as_bytes()));
            if let Some(delay) = message.delay {
                publication.expiry_ms = self.due_ms(delay);
            }
            publication
        };
        parts.planned.iter().enumerate().map(one).collect()
    }

    /// Appends messages that need not be durable, up to the one that does not fit.
    fn append_transient(
        &mut self,
        publications: &[Publication<'_>],
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        for publication in publications {
            appended.push(self.store.append(publication)?);
        }
        Ok(())
    }

    /// Adds messages that are stored to their queues, as many as a step allows; whether that were
    /// all.
    fn push_stored(&mut self, committing: &mut Committing) -> bool {
        let mut work = 0;
        while work < WORK_PER_PART
            && let Some(stored) = committing.stored.pop_front()
        {
            if !stored.goes_same_way {
                committing.way = committing.ways.pop_front();
            }
            let queues = committing.way.as_ref().map_or(&[][..], Destinations::as_slice);
            let record = self.store.record(stored.at);
            let (appended, body_bytes) = (stored.appended(record.id()), record.body_bytes());
            let expires = record.expiry_ms() != 0;
            work += WORK_PER_MESSAGE + queues.len();
            let seldom = if stored.is_seldom { committing.seldom.pop_front() } else { None };
            let (delay, dedup_key) = seldom.unwrap_or_default();
            if let Some(dedup_key) = dedup_key {
                self.remember_dedup_key(&dedup_key, stored.at.segment.is_durable());
            }
            match delay {
                Some(delay) if self.delays(delay.exchange) => self.delay_stored(delay, &appended),
                Some(_) => self.store.settle(stored.at, appended.slot(0)),
                None => {
                    // First: what it is pushed to may drop it at once.
                    self.settle_for_gone(queues, &appended);
                    let priority = stored.priority;
                    self.push_to_queues(queues, &appended, priority, body_bytes, expires);
                }
            }
        }
        self.work.spend(work);
        if committing.stored.is_empty() {
            for dedup_key in std::mem::take(&mut committing.unstored) {
                self.remember_dedup_key(&dedup_key, false);
            }
        }
        committing.stored.is_empty()
    }

    /// A queue that was deleted since the message was stored for it gets nothing.
    fn settle_for_gone(&mut self, queues: &[QueueKey], appended: &Appended) {
        for (n, key) in (0..).zip(queues) {
            if self.queues.get(*key).is_none() {
                self.store.settle(appended.entry.at, appended.slot(n));
            }
        }
    }

    /// Carries out settlements from this one on, as many as a step allows; how many are done.
    fn carry_out(&mut self, committing: &mut Committing, from: usize) -> usize {
        let Committing { transaction, said, .. } = committing;
        let (mut done, mut last) = (from, MessageId(0));
        while (done < from + AT_LEAST || !self.work.is_done())
            && done < from + WORK_PER_PART
            && let Some((_, unsettled, settlement)) = transaction.settlements.pop_front()
        {
            done += 1;
            let (unsettled, settlement) = (&unsettled, &settlement);
            if unsettled.entry.id < last {
                self.work.spend(WORK_OUT_OF_ORDER);
            }
            last = unsettled.entry.id;
            if !said[done - 1] {
                self.settle(unsettled, *settlement);
                continue;
            }
            self.work.spend(1);
            let found = self.where_it_is(unsettled);
            let dedup_key = self.dedup_key_of(found.queue, found.entry);
            self.store.settle_with_transaction(found.slot);
            if *settlement == Settlement::Ack {
                self.count(found.queue, Happening::Ack);
            }
            self.settled_by_transaction(&found, dedup_key);
        }
        done
    }

    /// Takes back what was appended, as much as a step allows; whether that was all.
    fn undo(&mut self, committing: &mut Committing) -> bool {
        self.work.spend(WORK_PER_PART);
        for _ in 0..WORK_PER_PART {
            let Some(stored) = committing.stored.pop_front() else {
                committing.transaction.release_bodies(self);
                return !committing.is_in_log || self.store.abandon_transaction(WORK_PER_PART);
            };
            if !stored.at.segment.is_durable() {
                let record = self.store.record(stored.at);
                let (appended, slots) = (stored.appended(record.id()), record.queue_count());
                (0..slots).for_each(|n| self.store.settle(stored.at, appended.slot(n)));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableBuf;
    use crate::broker::flow::message::Content;
    use crate::broker::flow::settle::Settlement;
    use crate::broker::testing::{declare, open, open_channel, publish_with};
    use crate::storage::Body;

    fn transient(exchange: &[u8]) -> Message<'_> {
        Message {
            content: Content {
                exchange,
                routing_key: b"q",
                properties: &[0, 0],
                body: Body::Inline(b"body"),
            },
            persistent: false,
            priority: 0,
            ttl_ms: None,
            delay: None,
            dedup_key: None,
        }
    }

    /// With small segments a commit of less than a megabyte did not wait for room that was not
    /// there yet, nor did one of transient messages: the client was told that the disk was full.
    #[test]
    fn there_is_room_for_a_commit_before_it_is_tried() {
        for persistent in [true, false] {
            commit_much(persistent);
        }
    }

    fn commit_much(persistent: bool) {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", TableBuf::new().table());
        let body = vec![b'x'; 7000];
        let transient = transient(b"x");
        let content = Content { body: Body::Inline(&body), ..transient.content };
        let message = Message { content, persistent, ..transient };
        let mut turns = 0;
        while !broker.has_room_for(persistent, 30 * 7000) {
            broker.store.maintain().unwrap();
            broker.store.run_helper(1);
            broker.store.take_answers().unwrap();
            turns += 1;
            assert!(turns < 100, "nobody makes room");
        }
        assert!(turns > 0, "a segment is smaller than that");
        let mut transaction = Transaction::default();
        (0..30).for_each(|_| assert!(transaction.add(&broker, &message, &[queue], false)));
        let committed = broker.commit(transaction);
        assert!(matches!(committed, Commit::Over(Committed::Done { refused: false, .. })));
    }

    /// The acknowledgements of a transaction were carried out, and only then the room for its
    /// transient messages was looked for. The session put the deliveries back that were
    /// settled already, and the end of the channel settled them again: an assertion.
    #[test]
    fn a_commit_that_the_log_refuses_leaves_nothing_done() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_bool(b"x-message-deduplication", true);
        let queue = declare(&mut broker, "q", arguments.table());
        let other = declare(&mut broker, "other", TableBuf::new().table());
        let mut headers = TableBuf::new();
        headers.put_str(b"x-deduplication-header", "key");
        publish_with(&mut broker, queue, headers.table());
        let channel = open_channel(&mut broker);
        let unsettled = broker.get(queue, channel, false).unwrap().unsettled;

        // What the log refuses for its length fails where what it has no room for fails.
        let mut transaction = Transaction::default();
        for exchange in [&b"x"[..], &[b'x'; 256]] {
            assert!(transaction.add(&broker, &transient(exchange), &[other], false));
        }
        transaction.settlements.push_back((1, unsettled, Settlement::Ack));
        let committed = broker.commit(transaction);
        let Commit::Over(Committed::Failed(AppendError::TooLarge, settlements)) = committed else {
            panic!("the log took it: {committed:?}");
        };
        assert_eq!(settlements.len(), 1, "it is unsettled");

        assert_eq!(broker.queues().get(other).unwrap().ready.len(), 0);
        assert_eq!(broker.queues().get(queue).unwrap().unacked, 1);
        publish_with(&mut broker, queue, headers.table());
        assert_eq!(
            broker.queues().get(queue).unwrap().ready.len(),
            0,
            "the key is still in the queue"
        );
        broker.requeue(&unsettled);
        let again = broker.get(queue, channel, false).unwrap();
        assert_eq!(again.before, 1, "the message is there and can be settled");
        broker.ack(&again.unsettled);
        publish_with(&mut broker, queue, headers.table());
        assert_eq!(broker.queues().get(queue).unwrap().ready.len(), 1, "and its key came free");
    }
}
