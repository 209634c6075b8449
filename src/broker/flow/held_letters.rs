//! Which dead letters wait until their targets take them?
//!
//! Quorum queues with `x-dead-letter-strategy: at-least-once` (and `x-overflow: reject-publish`, as
//! in RabbitMQ, <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>) let go of a dead
//! message only to all of its targets at once. Until then it counts as one of the queue's, and its
//! place in the log stays: after a restart it is in the queue.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use crate::broker::Broker;
use crate::broker::flow::dead_letter::Dying;
use crate::broker::key::QueueKey;
use crate::broker::resource::Resource;

/// The dead letters that nobody takes for now, of each queue in a line of their own: those of one
/// do not wait for those of another.
#[derive(Debug, Default)]
pub(in crate::broker) struct HeldLetters {
    lines: BTreeMap<QueueKey, VecDeque<Dying>>,
    /// The queue whose letters were tried last.
    next: Option<QueueKey>,
    /// When some of them are tried again, in ms since 1970.
    retry_ms: u64,
}

impl HeldLetters {
    /// Takes about `count` out, of each queue in turn.
    fn take_some(&mut self, count: usize) -> Vec<Dying> {
        let each = (count / self.lines.len().max(1)).max(1);
        let from = self.next.map_or(Unbounded, Excluded);
        let behind = self.lines.range((from, Unbounded));
        let before = self.next.map(|next| self.lines.range(..=next));
        let in_turn = behind.chain(before.into_iter().flatten()).map(|(key, _)| *key);
        let keys: Vec<QueueKey> = in_turn.take(count).collect();
        self.next = keys.last().copied();
        let mut taken = Vec::new();
        for key in keys {
            let line = self.lines.get_mut(&key).expect("it was just found");
            taken.extend(line.drain(..each.min(line.len())));
            if line.is_empty() {
                self.lines.remove(&key);
            }
        }
        taken
    }
}

/// How long the targets are left alone.
const RETRY_EVERY_MS: u64 = 1000;

/// So many are tried at a time.
const RETRIED_AT_ONCE: usize = 1000;

/// Why a dead letter stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Waits {
    /// There is no dead-letter exchange of that name.
    NoExchange,
    /// No queue is bound to it for the letter, or only such that it came from.
    NoRoute,
    /// One of the queues is full and refuses it.
    Full,
}

impl Waits {
    fn why(self) -> &'static str {
        match self {
            Self::NoExchange => "there is no such exchange",
            Self::NoRoute => "it leads them to no queue",
            Self::Full => "a queue behind it is full",
        }
    }
}

impl Broker {
    /// A dead letter found nobody who takes it. The log says so once for each queue, until all of
    /// its letters have gone.
    pub(in crate::broker) fn hold_letter(&mut self, mut dying: Dying, waits: Waits) {
        let vhost = self.topology.vhost_name(dying.vhost);
        if let Some(queue) = self.queues.get_mut(dying.key)
            && !std::mem::replace(&mut queue.said_letters_wait, true)
        {
            log::warn!(
                "{}: dead letters wait for exchange '{}': {}; they are tried again every second",
                Resource::queue(&vhost, &queue.name),
                dying.exchange,
                waits.why()
            );
        }
        if self.held.lines.is_empty() {
            self.held.retry_ms = self.clock_ms + RETRY_EVERY_MS;
        }
        dying.was_held = true;
        self.held.lines.entry(dying.key).or_default().push_back(dying);
    }

    /// A dead letter that its queue had to keep has gone; if it was held, others may go, too.
    pub(in crate::broker) fn letter_has_gone(&mut self, gone: &Dying) {
        if gone.was_held {
            self.held.retry_ms = self.held.retry_ms.min(self.clock_ms);
        }
        if let Some(queue) = self.queues.get_mut(gone.key) {
            queue.letters -= 1;
            queue.letter_bytes -= gone.kept_bytes;
            queue.said_letters_wait &= queue.letters > 0;
            self.queues.note_gone(gone.key, 1);
        }
    }

    /// Has some of the held letters tried again, if it is time for that.
    pub(in crate::broker) fn retry_letters(&mut self) {
        if self.held.lines.is_empty() || self.clock_ms < self.held.retry_ms {
            return;
        }
        self.held.retry_ms = self.clock_ms + RETRY_EVERY_MS;
        for mut letter in self.held.take_some(RETRIED_AT_ONCE) {
            self.work.spend(1);
            // A policy may have given its queue another exchange meanwhile, or none.
            if self.queues.get(letter.key).is_none_or(|queue| letter.follow(queue)) {
                self.dying.push_back(letter);
            } else {
                self.drop_letter(letter);
            }
        }
    }

    /// When that is, in ms since 1970; while there is no room in the log, they wait for that.
    pub(in crate::broker) fn next_retry_ms(&self) -> Option<u64> {
        let may_be = !self.held.lines.is_empty() && !self.waits_for_room;
        may_be.then_some(self.held.retry_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{TableBuf, Value};
    use crate::broker::arguments::effective::Overflow;
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, publish};

    /// A queue whose so many dead letters go nowhere.
    fn stuck(broker: &mut Broker, name: &str, count: usize) -> QueueKey {
        let channel = open_channel(broker);
        let mut arguments = TableBuf::new();
        for (key, value) in [
            ("x-queue-type", "quorum"),
            ("x-overflow", "reject-publish"),
            ("x-dead-letter-exchange", "nowhere"),
            ("x-dead-letter-strategy", "at-least-once"),
        ] {
            arguments.put(key.as_bytes(), Value::LongString(value.as_bytes()));
        }
        let queue = declare(broker, name, arguments.table());
        publish(broker, queue, count);
        while let Some(got) = broker.get(queue, channel, false) {
            broker.reject(&got.unsettled);
        }
        broker.bury();
        queue
    }

    #[test]
    fn letters_that_nobody_takes_are_left_alone_for_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = stuck(&mut broker, "q", 300);
        for round in 1..=5 {
            let held: usize = broker.held.lines.values().map(VecDeque::len).sum();
            assert_eq!((held, broker.dying.len()), (300, 0));
            assert_eq!(broker.queues().get(queue).unwrap().message_count(), 300);
            let retry_ms = NOW_MS + round * RETRY_EVERY_MS;
            assert_eq!(broker.next_retry_ms(), Some(retry_ms));
            broker.set_clock(retry_ms - 1);
            broker.bury();
            assert_eq!(broker.next_retry_ms(), Some(retry_ms), "it was tried too early");
            broker.set_clock(retry_ms);
            broker.bury();
        }
    }

    /// The loop went round and round on a full disk.
    #[test]
    fn nobody_is_woken_for_letters_while_there_is_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        stuck(&mut broker, "q", 1);
        assert!(broker.next_retry_ms().is_some());
        broker.waits_for_room = true;
        assert_eq!(broker.next_retry_ms(), None);
    }

    #[test]
    fn the_letters_of_a_queue_do_not_wait_for_those_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queues = [stuck(&mut broker, "a", 200), stuck(&mut broker, "b", 3)];
        let taken: Vec<Dying> = (0..6).flat_map(|_| broker.held.take_some(1)).collect();
        let taken: Vec<_> = taken.iter().map(|letter| letter.key).collect();
        assert_eq!(taken, [queues, queues, queues].concat());
        assert_eq!(broker.held.take_some(50).len(), 50);
    }

    #[test]
    fn letters_cost_work_also_where_nobody_takes_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        stuck(&mut broker, "q", 300);
        broker.set_clock(NOW_MS + RETRY_EVERY_MS);
        broker.work.begin(1000);
        broker.bury();
        assert!(broker.dying.len() > 100, "{} are left", broker.dying.len());
    }

    /// A policy made a queue drop what is too much that had letters which wait: all else went.
    #[test]
    fn what_waits_for_its_target_drops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = stuck(&mut broker, "q", 20);
        let settings = &mut broker.queues.get_mut(queue).unwrap().settings;
        (settings.max_length, settings.overflow) = (Some(10), Overflow::DropHead);
        publish(&mut broker, queue, 12);
        assert_eq!(broker.queues().get(queue).unwrap().ready.len(), 10);
    }
}
