//! What was published to each exchange, what happened in each vhost, and who is sampled next?

use std::time::Duration;

use crate::broker::counters::{HAPPENINGS, Listed, PUBLISH_IN, PUBLISH_OUT, VhostCounters};
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::topology::Topology;
use crate::broker::work::Work;

/// The exchanges and vhosts in which something was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    exchanges: Listed<ExchangeKey>,
    vhosts: Listed<VhostKey>,
}

impl Topology {
    /// So many messages were published to an exchange, for so many queues together.
    pub fn count_published(&mut self, key: ExchangeKey, messages: u64, queues: u64) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            let counters = exchange.counters.get_or_insert_default();
            if counters.add(PUBLISH_IN, messages) {
                self.counted.exchanges.push(key);
            }
            counters.add(PUBLISH_OUT, queues);
        }
    }

    /// All of this happened on a channel of a vhost.
    pub fn count_happened(&mut self, key: VhostKey, times: &[u64; HAPPENINGS]) {
        self.count_in_vhost(key, |counters| {
            counters.happened.add_all(times);
        });
    }

    /// So many bytes came from a client of a vhost, and went to it.
    pub fn count_traffic(&mut self, key: VhostKey, bytes: &[u64; 2]) {
        self.count_in_vhost(key, |counters| {
            counters.traffic.add_all(bytes);
        });
    }

    fn count_in_vhost(&mut self, key: VhostKey, count: impl FnOnce(&mut VhostCounters)) {
        if let Some(vhost) = self.vhosts.get_mut(key) {
            let counters = vhost.counters.get_or_insert_default();
            let was_listed = counters.is_listed();
            count(counters);
            if !was_listed {
                self.counted.vhosts.push(key);
            }
        }
    }

    /// Samples are due, so long after the last ones: channels and connections were sampled, and
    /// told what they counted.
    pub fn begin_sampling(&mut self, interval: Duration) {
        self.counted.exchanges.begin(interval);
        self.counted.vhosts.begin(interval);
    }

    /// Whether samples are left to take.
    pub fn is_sampling(&self) -> bool {
        self.counted.exchanges.is_sampling() || self.counted.vhosts.is_sampling()
    }

    /// Whether some rate will change.
    pub fn has_listed(&self) -> bool {
        !self.counted.exchanges.is_empty() || !self.counted.vhosts.is_empty()
    }

    /// Takes samples, as far as this step allows.
    pub fn go_on_sampling(&mut self, work: &mut Work) {
        let (exchanges, vhosts) = (&mut self.exchanges, &mut self.vhosts);
        self.counted.exchanges.go_on(work, |key, interval| {
            let exchange = exchanges.get_mut(key);
            let counters = exchange.and_then(|exchange| exchange.counters.as_mut());
            counters.is_some_and(|counters| counters.sample(interval))
        });
        self.counted.vhosts.go_on(work, |key, interval| {
            let vhost = vhosts.get_mut(key);
            let counters = vhost.and_then(|vhost| vhost.counters.as_mut());
            counters.is_some_and(|counters| counters.sample(interval))
        });
    }
}
