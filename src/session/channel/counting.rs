//! What happened on a channel?

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::counters::Happening;

use super::Channel;

impl Channel {
    /// It happened to a message.
    #[inline]
    pub(super) fn count(&mut self, broker: &mut Broker, what: Happening) {
        self.count_many(broker, what, 1);
    }

    /// It happened to so many messages.
    #[inline]
    pub fn count_many(&mut self, broker: &mut Broker, what: Happening, times: u64) {
        if self.counters.get_or_insert_default().note_many(what, times) {
            broker.queues_mut().list_channel(self.key);
        }
    }

    /// What was counted since the last time, so long ago, is the rate now, and counts for its
    /// vhost; whether there is one.
    pub fn sample(&mut self, broker: &mut Broker, interval: Duration) -> bool {
        self.count_for_vhost(broker);
        self.counters.as_mut().is_some_and(|counters| counters.sample(interval))
    }

    /// What was counted since the last sample counts for its vhost: now, or never.
    pub fn count_for_vhost(&self, broker: &mut Broker) {
        if let Some(counters) = &self.counters {
            broker.count_happened(self.vhost, &counters.fresh());
        }
    }
}
