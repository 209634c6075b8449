//! What happens in one turn, and in which order?
//!
//! ```text
//! net   poll; read the clock once              node.begin: it is this time until the turn ends
//! net   read who is ready, within a budget     node.receive: sessions change the broker,
//!                                              appends gather
//!
//!       node.turn:
//!         1 deadlines     heartbeats, timeouts, alarms
//!         2 unfinished    commits, purges, dead letters, delays, compaction, notices,
//!                         operators' requests: a bounded part of each
//!         3 answers       what the helper did: the durable position moves here and nowhere else
//!         4 write         what gathered, with one call
//!         5 sync          if somebody waits, or something has waited for long
//!         6 effects       sessions learn of the ends of their consumers
//!         7 deliver       while the disk works
//!         8 lengths       queues that are too long drop what nobody took
//!         9 expire        what is past its time goes
//!        10 transient     what is left of transient messages is written
//!        11 release       confirms, commits, -oks: up to the durable position
//!
//! net   flush, one vectored write a connection; accept
//!
//!       node.end: free what the log needs no more, let publishers go on; next deadlines
//!
//! net   remove closed sockets; their keys are free last
//! ```
//!
//! [`Node::turn`] is the whole of it: nothing else syncs, delivers or frees. Each step says why it
//! stands where it does.

use std::time::Duration;

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::work::{WORK_FOR_OPERATORS, WORK_PER_INPUT, WORK_PER_STEP};
use crate::broker::{ConnectionKey, Delivery, Effect, QueueKey, TakeBack};
use crate::storage::StorageError;

use super::Node;
use super::deadlines::Due;
use super::endpoint::{Endpoint, Peer};
use super::watch::{Step, Told, Watch};

/// What it costs to end a connection with its channels.
const WORK_PER_CLOSE: usize = 100;

/// Nothing that is in time fires later than so long after its deadline: if something does, the
/// process stood still, or the machine slept. What clients sent meanwhile may not have been read.
const LATE_MAX: Duration = Duration::from_secs(2);

impl Node {
    /// One turn, from what arrived to what may leave.
    ///
    /// # Errors
    /// The disk failed: nothing that was not on disk has been confirmed, nothing more may be.
    pub fn turn<W: Watch>(&mut self, watch: &mut W) -> Result<(), W::Stop> {
        // Before the deliveries: a channel whose time is over gets nothing more.
        self.broker.work.begin(WORK_PER_STEP);
        self.fire_deadlines(watch);
        watch.after(self, Step::Deadlines)?;
        // Before what gathered is written: what moves by itself goes out with the same call.
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.go_on_committing();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.go_on_returning();
        self.broker.go_on_removing();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.go_on_removing_vhosts();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.go_on_applying_policies();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.go_on_reviewing();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.settle_discarded();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.bury();
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.release_delayed();
        self.broker.compact();
        self.broker.work.begin(WORK_PER_STEP);
        self.go_on_sampling();
        self.broker.work.begin(WORK_PER_STEP);
        self.take_log_lines();
        self.broker.publish_notices();
        // Here, too: what operators change is written with the same call as all else, and what they
        // look at is as clients left it.
        self.broker.work.begin(WORK_FOR_OPERATORS);
        self.work_for_operators();
        watch.after(self, Step::Unfinished)?;
        // Before anything is released, and before a sync begins: one at a time runs.
        let answers = self.broker.store.take_answers()?;
        self.note_sync();
        if answers.space_changed {
            self.room_changed();
        }
        self.broker.store.retire();
        watch.after(self, Step::Answers(answers.durable_moved))?;
        // Before the sync, which covers only what was written.
        self.write_out()?;
        watch.after(self, Step::Written)?;
        // Before the deliveries: the disk works meanwhile.
        let begun = self.start_sync()?;
        watch.after(self, Step::SyncBegun(begun))?;
        // Before the deliveries: a consumer that was cancelled is in no session any more.
        self.broker.work.begin(WORK_PER_STEP);
        self.carry_out_effects(watch);
        watch.after(self, Step::Effects)?;
        self.broker.work.begin(WORK_PER_INPUT);
        self.deliver(watch);
        watch.after(self, Step::Deliveries)?;
        // After the deliveries: what a consumer took counts for no length, and did not expire.
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.enforce_limits();
        watch.after(self, Step::Lengths)?;
        self.broker.work.begin(WORK_PER_STEP);
        self.broker.expire();
        watch.after(self, Step::Expired)?;
        // After the deliveries: what was consumed at once is never written.
        self.broker.store.write_out_transient()?;
        // Last: whoever gets an answer may rely on all that came before it.
        self.release_confirms(watch);
        watch.after(self, Step::Confirms)?;
        self.release_waiting(watch);
        watch.after(self, Step::Waits)
    }

    /// What nobody waits for, once the turn's output is on its way.
    ///
    /// # Errors
    /// As [`Node::turn`].
    pub fn end(&mut self) -> Result<(), StorageError> {
        self.broker.store.look_back(self.broker.clock_ms())?;
        self.broker.store.maintain()?;
        self.reconsider_blocked();
        self.plan_writes();
        self.plan_sampling();
        let expiry = self.broker.next_expiry_ms().map(|at_ms| self.calendar.instant_of(at_ms));
        self.deadlines.set(Due::Expiry, expiry);
        Ok(())
    }

    /// Asks the sessions whose time has come what is due.
    fn fire_deadlines<W: Watch>(&mut self, watch: &mut W) {
        while let Some((at, key)) = self.deadlines.pop_session(self.now) {
            let stood_still = self.now.saturating_duration_since(at) > LATE_MAX;
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                continue;
            };
            endpoint.deadline_came();
            let stays = match &mut endpoint.peer {
                Peer::Amqp(session) => {
                    if stood_still {
                        session.resumed(self.now);
                    }
                    session.tick(&mut self.broker, self.now)
                }
                Peer::Http(_) => self.tick_conversation(key),
            };
            if stays {
                self.after_change(key);
                self.resume_conversation(key);
            } else if let Some(endpoint) = self.endpoints.get_mut(key) {
                endpoint.gone = true;
                self.gone.push(key);
            }
            watch.told(self, key, Told::Deadline);
        }
        if self.deadlines.has_come(Due::Sweep, self.now) {
            self.sweep();
        }
        self.look_at_resources();
        self.begin_sampling();
    }

    /// Tells the sessions what happened to them in the broker, as far as this step allows.
    fn carry_out_effects<W: Watch>(&mut self, watch: &mut W) {
        while let Some(effect) = self.broker.next_effect() {
            match effect {
                Effect::ConsumerCancelled { connection: key, channel, tag, consumer } => {
                    let endpoint = self.endpoints.get_mut(key);
                    if let Some(session) = endpoint.and_then(Endpoint::session_mut) {
                        session.consumer_cancelled(channel, &tag, consumer);
                        self.after_change(key);
                    }
                    watch.told(self, key, Told::ConsumerCancelled(channel, tag.as_bytes()));
                }
                Effect::ConnectionForced { connection, reason } => {
                    self.force_to_close(connection, reason);
                }
                Effect::TakeBack(take_back) => self.take_back(take_back),
            }
        }
    }

    /// Has a channel give back what an operator wants back in its queue.
    fn take_back(&mut self, mut wanted: TakeBack) {
        let endpoint = self.endpoints.get_mut(wanted.connection);
        let session = endpoint.and_then(Endpoint::session_mut);
        if session.is_none_or(|session| session.take_back(&mut self.broker, &mut wanted)) {
            self.broker.took_back(wanted.order);
        } else {
            self.broker.take_back_later(wanted);
        }
    }

    /// Ends a connection that was open when its user or vhost went.
    fn force_to_close(&mut self, key: ConnectionKey, reason: String) {
        self.broker.work.spend(WORK_PER_CLOSE);
        let error = AmqpError::connection(ReplyCode::ConnectionForced, reason);
        let endpoint = self.endpoints.get_mut(key);
        if let Some(session) = endpoint.and_then(Endpoint::session_mut)
            && session.is_open()
        {
            session.close_with(&mut self.broker, self.now, &error);
            self.after_change(key);
        }
    }

    /// Hands messages to consumers that have credit and room.
    fn deliver<W: Watch>(&mut self, watch: &mut W) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.broker.queues_mut().take_dirty(&mut dirty);
        for &queue in &dirty {
            if !self.broker.work.is_done() {
                self.deliver_from(queue, watch);
            }
            self.broker.queues_mut().mark_dirty(queue);
        }
        self.dirty = dirty;
    }

    /// Hands a queue's messages to consumers that have credit and room, as many as a turn allows;
    /// whether that were all that can be handed over.
    pub(super) fn deliver_from<W: Watch>(&mut self, queue: QueueKey, watch: &mut W) -> bool {
        for _ in 0..watch.deliveries_max() {
            let Some(delivery) = self.broker.next_delivery(queue) else {
                return true;
            };
            self.deliver_one(&delivery);
            watch.told(self, delivery.connection, Told::Delivery(&delivery));
            if self.broker.work.is_done() {
                break;
            }
        }
        false
    }

    /// Writes a delivery into the outbox of the session that it is for.
    pub fn deliver_one(&mut self, delivery: &Delivery) {
        let key = delivery.connection;
        if let Some(endpoint) = self.endpoints.get_mut(key)
            && let Peer::Amqp(session) = &mut endpoint.peer
        {
            session.deliver(&mut self.broker, delivery);
            endpoint.touch(&mut self.touched, key);
        }
    }
}
