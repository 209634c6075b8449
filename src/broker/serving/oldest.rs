//! Which queue has the message that waits for longest?
//!
//! Ids of messages only grow, so that nothing has to be read: some queues are looked at with every
//! sample, and after so many samples each was.

use crate::broker::key::QueueKey;
use crate::broker::queue::Queue;
use crate::broker::serving::Queues;
use crate::storage::MessageId;

/// What was found of late.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    /// The next place to look at.
    place: u32,
    /// The best in this walk over all places, and in the one before.
    best: Option<(MessageId, QueueKey)>,
    best_before: Option<QueueKey>,
}

/// So many places are looked at with each sample: a quarter of a millisecond.
const PLACES_PER_SAMPLE: u32 = 5_000;

impl Queues {
    /// Looks at some more queues.
    pub fn look_for_oldest(&mut self) {
        self.look_at_places(PLACES_PER_SAMPLE);
    }

    fn look_at_places(&mut self, count: u32) {
        let end = self.oldest.place.saturating_add(count).min(self.places());
        for place in self.oldest.place..end {
            let found = self.at(place).and_then(|(key, queue)| Some((front(queue)?, key)));
            self.oldest.best = self.oldest.best.into_iter().chain(found).min();
        }
        self.oldest.place = end;
        if end == self.places() {
            self.oldest.best_before = self.oldest.best.take().map(|(_, key)| key);
            self.oldest.place = 0;
        }
    }

    /// The queue with the message that waits for longest, as far as was seen; streams, which keep
    /// theirs, do not count. With more than 5,000 queues it may be found minutes late.
    pub fn oldest(&self) -> Option<QueueKey> {
        // It may have gone since.
        let now = |key: QueueKey| Some((self.get(key).and_then(front)?, key));
        let keys = [self.oldest.best_before, self.oldest.best.map(|(_, key)| key)];
        keys.into_iter().flatten().filter_map(now).min().map(|(_, key)| key)
    }
}

/// What waits for longest in a queue, as far as its line says.
fn front(queue: &Queue) -> Option<MessageId> {
    queue.ready.front().filter(|_| queue.stream.is_none()).map(|entry| entry.id)
}

#[cfg(test)]
mod tests {
    use crate::amqp::{Table, TableBuf, Value};
    use crate::broker::Broker;
    use crate::broker::testing::{declare, open, publish, subject};

    /// The name of the queue that is found after so many samples.
    fn found_after(broker: &mut Broker, samples: usize) -> Option<String> {
        (0..samples).for_each(|_| broker.queues_mut().look_at_places(10));
        let key = broker.queues().oldest()?;
        Some(broker.queues().get(key)?.name.to_string())
    }

    #[test]
    fn the_oldest_message_is_found_wherever_it_is_and_the_next_when_it_goes() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let count = 15;
        let keys: Vec<_> =
            (0..count).map(|n| declare(&mut broker, &format!("q{n}"), Table::EMPTY)).collect();
        assert_eq!(found_after(&mut broker, 4), None);
        assert_eq!(broker.oldest_message_age_ms(), 0);
        publish(&mut broker, keys[count - 1], 1);
        publish(&mut broker, keys[3], 1);
        assert_eq!(found_after(&mut broker, 2).as_deref(), Some(&*format!("q{}", count - 1)));
        assert_eq!(found_after(&mut broker, 1).as_deref(), Some(&*format!("q{}", count - 1)));
        let guest = subject(&broker);
        broker.purge_queue(&guest, format!("q{}", count - 1).as_bytes()).unwrap();
        assert_eq!(found_after(&mut broker, 2).as_deref(), Some("q3"));
        broker.purge_queue(&guest, b"q3").unwrap();
        assert_eq!(found_after(&mut broker, 0), None, "what is gone at once is no longer told");
    }

    #[test]
    fn what_a_stream_keeps_does_not_wait() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put(b"x-queue-type", Value::LongString(b"stream"));
        let stream = declare(&mut broker, "s", arguments.table());
        publish(&mut broker, stream, 1);
        assert_eq!(found_after(&mut broker, 1), None);
    }
}
