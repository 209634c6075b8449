//! Which dead letters wait until their targets take them?
//!
//! Quorum queues with `x-dead-letter-strategy: at-least-once` (and `x-overflow: reject-publish`, as
//! in RabbitMQ, <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>) let go of a dead
//! message only to all of its targets at once. Until then it counts as one of the queue's, and its
//! place in the log stays: after a restart it is in the queue.

use std::collections::VecDeque;

use crate::broker::Broker;
use crate::broker::flow::dead_letter::Dying;
use crate::broker::resource::Resource;

/// The dead letters that nobody takes for now.
#[derive(Debug, Default)]
pub(in crate::broker) struct HeldLetters {
    letters: VecDeque<Dying>,
    /// When some of them are tried again, in ms since 1970.
    retry_ms: u64,
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
        if self.held.letters.is_empty() {
            self.held.retry_ms = self.clock_ms + RETRY_EVERY_MS;
        }
        dying.was_held = true;
        self.held.letters.push_back(dying);
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
        }
    }

    /// Has some of the held letters tried again, if it is time for that.
    pub(in crate::broker) fn retry_letters(&mut self) {
        if self.held.letters.is_empty() || self.clock_ms < self.held.retry_ms {
            return;
        }
        self.held.retry_ms = self.clock_ms + RETRY_EVERY_MS;
        let count = self.held.letters.len().min(RETRIED_AT_ONCE);
        let retried: Vec<Dying> = self.held.letters.drain(..count).collect();
        for mut letter in retried {
            // A policy may have given its queue another exchange meanwhile, or none.
            if self.queues.get(letter.key).is_none_or(|queue| letter.follow(queue)) {
                self.dying.push_back(letter);
            } else {
                self.drop_letter(letter);
            }
        }
    }

    /// When that is, in ms since 1970.
    pub(in crate::broker) fn next_retry_ms(&self) -> Option<u64> {
        (!self.held.letters.is_empty()).then_some(self.held.retry_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{TableBuf, Value};
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, publish};

    #[test]
    fn letters_that_nobody_takes_are_left_alone_for_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let channel = open_channel(&mut broker);
        let mut arguments = TableBuf::new();
        for (key, value) in [
            ("x-queue-type", "quorum"),
            ("x-overflow", "reject-publish"),
            ("x-dead-letter-exchange", "nowhere"),
            ("x-dead-letter-strategy", "at-least-once"),
        ] {
            arguments.put(key.as_bytes(), Value::LongString(value.as_bytes()));
        }
        let queue = declare(&mut broker, "q", arguments.table());
        publish(&mut broker, queue, 300);
        while let Some(got) = broker.get(queue, channel, false) {
            broker.reject(&got.unsettled);
        }
        broker.bury();
        for round in 1..=5 {
            assert_eq!((broker.held.letters.len(), broker.dying.len()), (300, 0));
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
}
