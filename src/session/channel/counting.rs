//! What happened on a channel?
//!
//! What happens to most messages is counted in plain integers beside what is touched anyway, and
//! deliveries by their tags; counters and rates are made of that when it is sampled or looked at.

use std::time::Duration;

use crate::broker::counters::{Counters, Happening};
use crate::broker::{Broker, ExchangeKey};

use super::scope::Notes;
use super::{Channel, Mode};

/// What a channel counts.
#[derive(Debug, Default)]
pub struct Counting {
    /// Something was counted since its rates were last nothing.
    is_listed: bool,
    /// Messages published, and messages acknowledged.
    published: u64,
    acked: u64,
    uncounted: Uncounted,
    /// The rates, and what happens less often; nothing while there are none.
    counters: Option<Box<Counters>>,
}

/// Messages of the input that is being read, which are counted together at its end.
#[derive(Debug, Default)]
struct Uncounted {
    /// All of them were published to this one.
    exchange: Option<ExchangeKey>,
    messages: u64,
    /// The queues that they go to, together.
    queues: u64,
}

impl Channel {
    /// It happened to a message.
    pub(super) fn count(&mut self, broker: &mut Broker, what: Happening) {
        self.count_many(broker, what, 1);
    }

    /// It happened to so many messages.
    pub fn count_many(&mut self, broker: &mut Broker, what: Happening, times: u64) {
        if times > 0 {
            self.counting.counters.get_or_insert_default().note_many(what, times);
            self.list(broker);
        }
    }

    /// A message was published for so many queues.
    #[inline]
    pub(super) fn count_published(&mut self, broker: &mut Broker, notes: &mut Notes) {
        let exchange = self.route.exchange();
        if self.counting.uncounted.exchange != exchange {
            self.count_all_published(broker);
            self.counting.uncounted.exchange = exchange;
        }
        if self.counting.uncounted.messages == 0 {
            notes.uncounted.push(self.number);
        }
        self.counting.uncounted.messages += 1;
        self.counting.uncounted.queues += self.route.queues().len() as u64;
    }

    /// Counts what was published since it was last counted.
    pub fn count_all_published(&mut self, broker: &mut Broker) {
        let Uncounted { exchange, messages, queues } = self.counting.uncounted;
        if messages == 0 {
            return;
        }
        self.counting.uncounted = Uncounted { exchange, messages: 0, queues: 0 };
        self.counting.published += messages;
        self.list(broker);
        broker.counters.note_many(Happening::Publish, messages);
        if let Mode::Confirm(_) = self.mode {
            broker.counters.note_many(Happening::PublishToConfirm, messages);
        }
        if let Some(exchange) = exchange {
            broker.count_routed(exchange, messages, queues);
        }
    }

    /// So many messages were published by a transaction, which counts them itself.
    pub(super) fn count_committed(&mut self, broker: &mut Broker, messages: u64, acks: u64) {
        self.counting.published += messages;
        self.counting.acked += acks;
        self.list(broker);
    }

    /// So many messages were acknowledged.
    #[inline]
    pub(super) fn count_acked(&mut self, broker: &mut Broker, messages: u64) {
        self.counting.acked += messages;
        self.list(broker);
    }

    /// A message was delivered: its tag counts it.
    #[inline]
    pub(super) fn count_delivered(&mut self, broker: &mut Broker, is_again: bool) {
        self.list(broker);
        if is_again {
            self.count(broker, Happening::Redeliver);
        }
    }

    /// Something is to be sampled.
    #[inline]
    fn list(&mut self, broker: &mut Broker) {
        if !self.counting.is_listed {
            self.counting.is_listed = true;
            broker.queues_mut().list_channel(self.key);
        }
    }

    /// What happened, and how fast; `None`: nothing yet.
    pub fn counters(&self) -> Option<Counters> {
        let has_any = self.counting.is_listed || self.counting.counters.is_some();
        has_any.then(|| {
            let mut counters = self.counting.counters.as_deref().cloned().unwrap_or_default();
            self.complete(&mut counters);
            counters
        })
    }

    /// What was counted since the last time, so long ago, is the rate now, and counts for its
    /// vhost; whether there is one.
    pub fn sample(&mut self, broker: &mut Broker, interval: Duration) -> bool {
        let mut counters = self.counting.counters.take().unwrap_or_default();
        self.complete(&mut counters);
        broker.count_happened(self.vhost, &counters.fresh());
        self.counting.is_listed = counters.sample(interval);
        self.counting.counters = Some(counters);
        self.counting.is_listed
    }

    /// The channel ends: what was counted since the last sample counts for its vhost.
    pub fn count_at_end(&mut self, broker: &mut Broker) {
        self.count_all_published(broker);
        if let Some(counters) = self.counters() {
            broker.count_happened(self.vhost, &counters.fresh());
        }
    }

    /// Puts what is counted elsewhere into counters.
    fn complete(&self, counters: &mut Counters) {
        let (kept, settled) = self.unacked.tags_given();
        counters.set(Happening::Publish, self.counting.published);
        counters.set(Happening::Ack, self.counting.acked);
        let got = counters.count(Happening::Get);
        counters.set(Happening::Deliver, kept.saturating_sub(got));
        let got = counters.count(Happening::GetNoAck);
        counters.set(Happening::DeliverNoAck, settled.saturating_sub(got));
    }
}
