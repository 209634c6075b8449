//! What happened to messages, how often, and how fast?
//!
//! Counted where it happens, for each queue and for all of them. A rate is what was counted since
//! the last sample; samples are taken of what changed only, so that idle queues cost nothing.

use std::time::Duration;

use crate::broker::times_in_queue::TimesInQueue;

/// What can happen to a message, in RabbitMQ's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was published: to a queue, or to the node.
    Publish,
    /// It was published to the node on a channel that confirms.
    PublishToConfirm,
    /// Its publisher was told that it is safe.
    Confirm,
    /// No queue took it, and it went back to its publisher.
    ReturnUnroutable,
    /// No queue took it, and it is gone.
    DropUnroutable,
    /// A consumer got it that acknowledges.
    Deliver,
    /// A consumer got it that does not.
    DeliverNoAck,
    /// `basic.get` took it, with an acknowledgement to come.
    Get,
    /// `basic.get` took it without.
    GetNoAck,
    /// `basic.get` found none.
    GetEmpty,
    /// Whoever got it was told that somebody else may have had it.
    Redeliver,
    /// It was acknowledged.
    Ack,
}

/// How many of them there are.
const HAPPENINGS: usize = Happening::Ack as usize + 1;

/// How long from one sample to the next.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// How often each thing happened, and how often in a second lately.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    counts: [u64; HAPPENINGS],
    /// What they were at the last sample.
    sampled: [u64; HAPPENINGS],
    /// For each second between the last two samples.
    rates: [f32; HAPPENINGS],
    /// How long messages had been there when somebody first got them.
    pub times_in_queue: TimesInQueue,
    /// Something was counted since its rates were last nothing.
    is_listed: bool,
}

impl Counters {
    /// It happened; whether this is to be listed for the next sample, once.
    #[inline]
    pub fn note(&mut self, what: Happening) -> bool {
        self.counts[what as usize] += 1;
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// It happened so many times.
    #[inline]
    pub fn note_many(&mut self, what: Happening, times: u64) {
        self.counts[what as usize] += times;
        self.is_listed |= times > 0;
    }

    /// How often it happened.
    pub fn count(&self, what: Happening) -> u64 {
        self.counts[what as usize]
    }

    /// How often in a second lately.
    pub fn rate(&self, what: Happening) -> f32 {
        self.rates[what as usize]
    }

    /// Whether there is anything to sample.
    #[inline]
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// What was counted since the last time, so long ago, is the rate now; whether there is one.
    pub fn sample(&mut self, interval: Duration) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        for (what, count) in self.counts.iter().enumerate() {
            self.rates[what] = (count - self.sampled[what]) as f32 / interval.as_secs_f32();
        }
        self.is_listed = self.counts != self.sampled;
        self.sampled = self.counts;
        self.is_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_happened_since_the_last_sample_and_ends() {
        let mut counters = Counters::default();
        assert!(counters.note(Happening::Publish), "the first is listed");
        assert!(!counters.note(Happening::Publish));
        counters.note_many(Happening::Confirm, 10);
        assert_eq!(counters.rate(Happening::Publish), 0.0);
        assert!(counters.sample(SAMPLE_EVERY));
        let rates = |counters: &Counters| {
            [Happening::Publish, Happening::Confirm, Happening::Ack].map(|what| counters.rate(what))
        };
        assert_eq!(rates(&counters), [0.4, 2.0, 0.0]);
        assert!(!counters.sample(SAMPLE_EVERY), "nothing happened since");
        assert_eq!(rates(&counters), [0.0; 3]);
        assert_eq!(counters.count(Happening::Confirm), 10);
        assert!(counters.note(Happening::Ack), "it is listed again");
    }
}
