//! What happened on a channel?
//!
//! What happens to most messages is counted in plain integers beside what is touched anyway, and
//! deliveries by their tags; counters and rates are made of that when it is sampled or looked at.

use std::time::Duration;

use crate::broker::counters::{Counters, Happening};
use crate::broker::{Broker, ExchangeKey};

use super::{Channel, Mode};

/// What a channel counts.
#[derive(Debug, Default)]
pub struct Counting {
    /// Something was counted since its rates were last nothing.
    is_listed: bool,
    /// Messages published, and how many of these their exchanges know of.
    published: u64,
    passed_on: u64,
    /// Where the others were published to, and how many queues had them, together.
    exchange: Option<ExchangeKey>,
    queues: u64,
    /// Messages confirmed, and messages acknowledged.
    confirmed: u64,
    acked: u64,
    /// The rates, and what happens less often; nothing while there are none.
    counters: Option<Box<Counters>>,
}

impl Channel {
    /// It happened to a message.
    pub(super) fn count(&mut self, broker: &mut Broker, what: Happening) {
        self.count_many(broker, what, 1);
    }

    /// It happened to so many messages.
    pub(super) fn count_many(&mut self, broker: &mut Broker, what: Happening, times: u64) {
        if times > 0 {
            self.counting.counters.get_or_insert_default().note_many(what, times);
            self.list(broker);
        }
    }

    /// A message was published. Its exchange is told when that is another one than before, and when
    /// the channel is sampled.
    #[inline]
    pub(super) fn count_published(&mut self, broker: &mut Broker) {
        broker.counters.note(Happening::Publish);
        if let Mode::Confirm(_) = self.mode {
            broker.counters.note(Happening::PublishToConfirm);
        }
        let (exchange, queues) = self.route.exchange_and_queues();
        if self.counting.exchange != exchange {
            self.tell_exchange(broker);
            self.counting.exchange = exchange;
        }
        self.counting.published += 1;
        self.counting.queues += queues as u64;
        self.list(broker);
    }

    /// Tells the last exchange what was published to it.
    #[cold]
    fn tell_exchange(&mut self, broker: &mut Broker) {
        let Counting { published, exchange, .. } = self.counting;
        let messages = published - std::mem::replace(&mut self.counting.passed_on, published);
        let queues = std::mem::take(&mut self.counting.queues);
        if messages > 0
            && let Some(exchange) = exchange
        {
            broker.count_routed(exchange, messages, queues);
        }
    }

    /// So many messages were published by a transaction, which counts them itself.
    pub(super) fn count_committed(&mut self, broker: &mut Broker, messages: u64, acks: u64) {
        // Their exchanges were told as they came.
        self.counting.published += messages;
        self.counting.passed_on += messages;
        self.counting.acked += acks;
        self.list(broker);
    }

    /// So many messages were confirmed.
    #[inline]
    pub fn count_confirmed(&mut self, broker: &mut Broker, messages: u64) {
        broker.counters.note_many(Happening::Confirm, messages);
        self.counting.confirmed += messages;
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
        self.tell_exchange(broker);
        let mut counters = self.counting.counters.take().unwrap_or_default();
        self.complete(&mut counters);
        broker.count_happened(self.vhost, &counters.fresh());
        self.counting.is_listed = counters.sample(interval);
        self.counting.counters = Some(counters);
        self.counting.is_listed
    }

    /// The channel ends: what was counted since the last sample counts for its exchange and
    /// its vhost.
    pub fn count_at_end(&mut self, broker: &mut Broker) {
        self.tell_exchange(broker);
        if let Some(counters) = self.counters() {
            broker.count_happened(self.vhost, &counters.fresh());
        }
    }

    /// Puts what is counted elsewhere into counters.
    fn complete(&self, counters: &mut Counters) {
        let (kept, settled) = self.unacked.tags_given();
        counters.set(Happening::Publish, self.counting.published);
        counters.set(Happening::Confirm, self.counting.confirmed);
        counters.set(Happening::Ack, self.counting.acked);
        let got = counters.count(Happening::Get);
        counters.set(Happening::Deliver, kept.saturating_sub(got));
        let got = counters.count(Happening::GetNoAck);
        counters.set(Happening::DeliverNoAck, settled.saturating_sub(got));
    }
}
