//! What happened to messages, in their queues and in the node?

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::counters::{HAPPENINGS, Happening, PUBLISH_IN, PUBLISH_OUT};
use crate::broker::key::{ExchangeKey, QueueKey, VhostKey};
use crate::broker::watched::{self, Figures};
use crate::storage::Body;

impl Broker {
    /// Something happened to a message in a queue.
    #[inline]
    pub(in crate::broker) fn count(&mut self, key: QueueKey, what: Happening) {
        self.queues.count(key, what);
        self.counters.note(what);
    }

    /// Samples are due, so long after the last ones.
    pub fn begin_sampling(&mut self, interval: Duration) {
        self.counters.sample(interval);
        self.queues.begin_sampling(interval);
        self.queues.look_for_oldest();
    }

    /// The same of exchanges and vhosts: what channels and connections counted was given to them.
    pub fn begin_sampling_topology(&mut self, interval: Duration) {
        self.topology.begin_sampling(interval);
    }

    /// What was counted of a client of this vhost, beside messages in their queues: bytes that came
    /// and went.
    pub fn count_traffic(&mut self, vhost: VhostKey, bytes: &[u64; 2]) {
        self.topology.count_traffic(vhost, bytes);
    }

    /// All of this happened on a channel of a vhost.
    pub fn count_happened(&mut self, vhost: VhostKey, times: &[u64; HAPPENINGS]) {
        self.topology.count_happened(vhost, times);
    }

    /// So many messages were sent to an exchange, which has so many queues for them together.
    pub fn count_routed(&mut self, exchange: ExchangeKey, messages: u64, queues: u64) {
        self.topology.count_published(exchange, messages, queues);
    }

    /// Takes samples, as far as this step allows.
    pub fn go_on_sampling(&mut self) {
        self.queues.go_on_sampling(&mut self.work);
        self.topology.go_on_sampling(&mut self.work);
    }

    /// A client published a message with this body.
    #[inline]
    pub fn count_size(&mut self, body: &Body<'_>) {
        let bytes = self.body_bytes(body);
        self.sizes.note(bytes);
    }

    /// What there is to remember of a queue, if it is still there.
    pub fn figures_of_queue(&self, key: QueueKey) -> Option<Figures> {
        let queue = self.queues.get(key)?;
        let counters = queue.counters.as_ref();
        let counts = counters.map_or(&[0; HAPPENINGS], |counters| counters.happened.counts());
        let lengths = [queue.message_count() as u64, queue.unacked as u64];
        Some(watched::figures(lengths, counts))
    }

    /// What there is to remember of an exchange, if it is still there.
    pub fn figures_of_exchange(&self, key: ExchangeKey) -> Option<Figures> {
        let counters = self.topology.exchange(key)?.counters.as_ref();
        let counts = counters
            .map_or([0; 2], |counters| [PUBLISH_IN, PUBLISH_OUT].map(|n| counters.count(n)));
        Some(watched::figures([0; 2], &counts))
    }

    /// Whether rates will change.
    pub fn has_counted(&self) -> bool {
        self.counters.is_listed() || self.queues.has_listed() || self.topology.has_listed()
    }

    /// Somebody got a message that was delivered so often before.
    #[inline]
    pub(in crate::broker) fn count_handed_out(
        &mut self,
        key: QueueKey,
        what: Happening,
        before: u8,
        published_ms: u64,
    ) {
        if before > 0 {
            self.count(key, what);
            self.count(key, Happening::Redeliver);
        } else {
            self.count_first(key, what, self.clock_ms.saturating_sub(published_ms));
        }
    }

    /// Somebody got a message for the first time, so many milliseconds after it came.
    #[inline]
    pub(in crate::broker) fn count_first(&mut self, key: QueueKey, what: Happening, after_ms: u64) {
        self.queues.count_first(key, what, after_ms);
        self.counters.note(what);
        self.times_in_queue.note(after_ms);
    }
}

#[cfg(test)]
mod tests {
    use crate::amqp::Table;
    use crate::broker::counters::SAMPLE_EVERY;
    use crate::broker::flow::transfer::Target;
    use crate::broker::queue::ready::Place;
    use crate::broker::testing::{declare, open, open_channel, publish};
    use crate::broker::{Broker, Original, QueueKey};

    /// The rates of ready and unacknowledged messages after the next sample.
    fn sampled(broker: &mut Broker, key: QueueKey) -> [f32; 2] {
        broker.work.begin(1_000);
        broker.begin_sampling(SAMPLE_EVERY);
        broker.go_on_sampling();
        let queue = broker.queues().get(key).unwrap();
        queue.counters.as_ref().unwrap().length_rates()
    }

    /// Whatever happens to them without being counted itself: rejected, given back, dropped,
    /// moved, purged.
    #[test]
    fn a_queue_that_was_at_rest_is_sampled_again_whatever_its_messages_do() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let key = declare(&mut broker, "q", Table::EMPTY);
        let other = declare(&mut broker, "other", Table::EMPTY);
        let channel = open_channel(&mut broker);
        let guest = crate::broker::testing::subject(&broker);
        publish(&mut broker, key, 100);
        let mut held: Vec<_> =
            (0..10).map(|_| broker.get(key, channel, false).unwrap().unsettled).collect();
        let rest = |broker: &mut Broker| {
            while broker.has_counted() {
                sampled(broker, key);
            }
            assert_eq!(sampled(broker, key), [0.0; 2]);
        };
        let each = 1.0 / SAMPLE_EVERY.as_secs_f32();
        rest(&mut broker);
        broker.reject(&held.pop().unwrap());
        assert_eq!(sampled(&mut broker, key), [0.0, -each]);
        rest(&mut broker);
        broker.requeue(&held.pop().unwrap());
        assert_eq!(sampled(&mut broker, key), [each, -each]);
        rest(&mut broker);
        let mut place = Place::first(broker.next_message_id());
        let found = broker.next_ready(key, &mut place).unwrap();
        assert!(broker.drop_ready(key, found.0.id));
        assert_eq!(sampled(&mut broker, key), [-each, 0.0]);
        rest(&mut broker);
        let found = broker.next_ready(key, &mut place).unwrap();
        let target = Target::Queue("other".into());
        broker.transfer(&guest, key, found, &target, Original::Goes).unwrap();
        assert_eq!(sampled(&mut broker, key), [-each, 0.0]);
        assert_eq!(broker.queues().get(other).unwrap().message_count(), 1);
        rest(&mut broker);
        broker.purge_queue(&guest, b"q").unwrap();
        assert_eq!(sampled(&mut broker, key), [-89.0 / SAMPLE_EVERY.as_secs_f32(), 0.0]);
    }
}
