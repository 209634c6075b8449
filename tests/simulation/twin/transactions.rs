//! What do commit and rollback do?

use std::rc::Rc;

use leveret::amqp::Method;
use leveret::amqp::method::tx;

use super::deduplication::{NewName, name_in};
use super::delayed::Delay;
use super::{At, Held, Message, Mode, QueueId, Settlement, Twin};
use crate::ops::{Overflow, Publish};

/// A publish that waits for its commit.
#[derive(Debug, Clone)]
pub struct Pending {
    pub publish: Publish,
    pub queues: Vec<QueueId>,
    /// Its exchange holds it back for so long from the commit on.
    pub delay: Option<Delay>,
    /// Its exchange remembers this name from the commit on.
    pub name: Option<NewName>,
}

impl Twin {
    /// The publishes and settlements of the open transaction; 406 when there is none.
    fn take_transaction(&mut self, at: At, method: u16) -> Option<Parts> {
        if let Mode::Transaction { publishes, settled } = &mut self.channel(at).mode {
            return Some((std::mem::take(publishes), std::mem::take(settled)));
        }
        self.channel_error(at, &[406], 90, method);
        None
    }

    /// Publishes first, then settlements, as one.
    pub fn commit(&mut self, at: At) {
        let Some((publishes, settled)) = self.take_transaction(at, 20) else {
            return;
        };
        for Pending { publish, queues, delay, .. } in &publishes {
            if publish.mandatory && self.is_unroutable(queues) && delay.is_none() {
                self.expect_return(at, publish);
            }
        }
        // An acknowledgement changes nothing in a stream.
        let settles = |queue: &QueueId| {
            self.queues.get(queue).is_some_and(|q| q.spec.durable && q.stream.is_none())
        };
        let acked = |(_, held, how): &(u64, Held, Settlement)| {
            *how == Settlement::Ack && held.copied.durable && settles(&held.queue)
        };
        let acks_last = settled.iter().any(acked);
        let publishes = self.without_known(publishes);
        let (refused, needs_disk) = self.enqueue_all(publishes);
        let needs = (needs_disk || acks_last).then_some(self.stamp);
        let (acks, others): (Vec<_>, Vec<_>) =
            settled.into_iter().partition(|(_, _, how)| *how == Settlement::Ack);
        for (_, held, how) in acks.into_iter().chain(others) {
            self.settle_one(at, held, how);
        }
        if refused {
            self.count("partial tx completion");
            return self.channel_error(at, &[406], 90, 20);
        }
        self.count("committed");
        self.reply(at, &Method::TxCommitOk(tx::CommitOk {}), needs);
    }

    /// Those whose names nobody brought since they were published, nor one before them.
    fn without_known(&mut self, publishes: Vec<Pending>) -> Vec<Pending> {
        let mut names: Vec<NewName> = Vec::new();
        let mut new = Vec::new();
        for pending in publishes {
            if let Some(name) = &pending.name {
                if self.is_known(name) || names.iter().any(|other| other.is_same(name)) {
                    self.count("repeated in a transaction");
                    continue;
                }
                names.push(name.clone());
            }
            new.push(pending);
        }
        new
    }

    /// Which are refused is settled before any of them is enqueued. Whether one was, and whether
    /// one of the others has to be on disk: then all go there.
    fn enqueue_all(&mut self, publishes: Vec<Pending>) -> (bool, bool) {
        let mut refused = false;
        self.logging = true;
        let mut accepted = Vec::new();
        let mut names = Vec::new();
        for Pending { publish, queues, delay, name } in publishes {
            let bytes = publish.body.len() as u64;
            let full = |queue: &QueueId| {
                self.refuses(*queue, bytes) || self.is_filled(*queue, bytes, &accepted)
            };
            let (full, rest): (Vec<_>, Vec<_>) = queues.iter().copied().partition(full);
            refused |= !full.is_empty();
            names.extend(name.filter(|_| full.is_empty()));
            let named = |earlier: &Accepted, queue: &QueueId| {
                let names = (name_in(&earlier.publish.props), name_in(&publish.props));
                names.0 == names.1 && earlier.queues.contains(queue)
            };
            let repeats = |queue: &QueueId| {
                let found = self.queues.get(queue).is_some_and(|q| q.spec.deduplicates);
                let has_name = name_in(&publish.props).is_some();
                found && has_name && accepted.iter().any(|one| named(one, queue))
            };
            let rest: Vec<_> = rest.into_iter().filter(|queue| !repeats(queue)).collect();
            let rest = self.without_repeated(&rest, &publish.props);
            let mut letters = Vec::new();
            for queue in full {
                let letter = self.letter_of_refused(queue, &publish, &rest);
                letters.extend(letter.map(|(letter, mut queues)| {
                    queues.retain(|queue| !self.is_filled(*queue, bytes, &accepted));
                    let (publish, letter) = (publish.clone(), Some(letter));
                    Accepted { publish, queues, delay: None, letter }
                }));
            }
            accepted.append(&mut letters);
            accepted.push(Accepted { publish, queues: rest, delay, letter: None });
        }
        let needs_disk = accepted.iter().any(|Accepted { publish, queues, delay, .. }| {
            let persistent = publish.props.delivery_mode == Some(2);
            let held = |delay| self.holds_back(publish, delay);
            (persistent && delay.is_some_and(held)) || self.is_logged(queues, persistent)
        });
        self.logging = needs_disk;
        let group = self.fresh();
        for Accepted { publish, queues, delay, letter } in accepted {
            if let Some(delay) = delay {
                self.hold_back(&publish, delay);
                continue;
            }
            let message = letter.unwrap_or_else(|| self.message_of(&publish));
            let persistent = publish.props.delivery_mode == Some(2);
            let place = self.own_place();
            self.group = group;
            self.add(&message, &queues, place, persistent, None);
        }
        self.logging = false;
        names.into_iter().for_each(|name| self.remember(name));
        (refused, needs_disk)
    }

    /// Whether those of the same transaction fill a queue that refuses what is too much.
    fn is_filled(&self, queue: QueueId, bytes: u64, accepted: &[Accepted]) -> bool {
        let Some(found) = self.queues.get(&queue) else {
            return false;
        };
        if found.spec.overflow == Overflow::DropHead {
            return false;
        }
        let earlier = accepted.iter().filter(|earlier| earlier.queues.contains(&queue));
        let (mut messages, mut all_bytes) = (1, bytes);
        for Accepted { publish, .. } in earlier {
            messages += 1;
            all_bytes += publish.body.len() as u64;
        }
        found.too_long(messages, all_bytes)
    }

    /// Publishes are forgotten; what was acked is outstanding again.
    pub fn rollback(&mut self, at: At) {
        let Some((_, settled)) = self.take_transaction(at, 30) else {
            return;
        };
        let channel = self.channel(at);
        let held = settled.into_iter().map(|(tag, held, _)| (tag, held));
        channel.unacked.extend(held);
        self.count("rolled back");
        self.expect(at, &Method::TxRollbackOk(tx::RollbackOk {}));
    }
}

/// What a commit stores.
struct Accepted {
    publish: Publish,
    /// They take it.
    queues: Vec<QueueId>,
    /// For so long it is held back first.
    delay: Option<Delay>,
    /// It is the letter of a queue that refused the publish.
    letter: Option<Rc<Message>>,
}

type Parts = (Vec<Pending>, Vec<(u64, Held, Settlement)>);
