//! What happened to messages, how often, and how fast?
//!
//! Counted where it happens, for each object and for all of them. A rate is what was counted since
//! the last sample; samples are taken of what changed only, so that idle objects cost nothing.

use std::time::Duration;

use crate::broker::histogram::Histogram;
use crate::broker::work::Work;

/// What can happen to a message, in RabbitMQ's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was published: to a queue, on a channel, or to the node.
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
pub const HAPPENINGS: usize = Happening::Ack as usize + 1;

/// How long from one sample to the next.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// How often each of several things happened, and how often in a second lately.
#[derive(Debug, Clone)]
pub struct Tally<const N: usize> {
    counts: [u64; N],
    rates: Rates<N>,
    /// Something was counted since its rates were last nothing.
    is_listed: bool,
}

/// What each of several figures was at the last sample, and how it changes.
#[derive(Debug, Clone)]
pub struct Rates<const N: usize> {
    sampled: [u64; N],
    /// For each second between the last two samples.
    rates: [f32; N],
}

/// How often each thing happened to messages.
#[derive(Debug, Default, Clone)]
pub struct Counters(Tally<HAPPENINGS>);

/// What is counted of a queue: what happened to its messages, and how fast it grows.
#[derive(Debug, Clone)]
pub struct QueueCounters {
    /// What happened in it.
    pub happened: Counters,
    /// How long messages had been there when somebody first got them.
    pub times_in_queue: TimesInQueue,
    lengths: Rates<2>,
}

/// What is counted of an exchange: messages published to it, and messages that queues got of them.
pub type ExchangeCounters = Tally<2>;

/// The figures of [`ExchangeCounters`].
pub const PUBLISH_IN: usize = 0;
/// The same.
pub const PUBLISH_OUT: usize = 1;

/// What is counted of all channels and connections of a vhost, when they are sampled and when they
/// end.
#[derive(Debug, Default, Clone)]
pub struct VhostCounters {
    /// What happened on its channels.
    pub happened: Counters,
    /// Bytes that came from its clients, and that went to them.
    pub traffic: Tally<2>,
}

/// How large the bodies of messages are that clients publish, in bytes.
pub type Sizes = Histogram<8>;

/// Those of no message yet. The bounds are RabbitMQ's.
pub const NO_SIZES: Sizes =
    Histogram::new(&[100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000]);

/// How long messages were in their queues when somebody got them for the first time, in
/// milliseconds. What goes straight from its publisher to a consumer was there for no time.
pub type TimesInQueue = Histogram<9>;

/// Those of no message yet. The bounds are 1, 10, 100 ms; 1, 10 s; 1, 10 min; an hour; a day.
pub const NO_TIMES: TimesInQueue =
    Histogram::new(&[1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000]);

impl<const N: usize> Default for Rates<N> {
    fn default() -> Self {
        Self::from([0; N])
    }
}

impl<const N: usize> From<[u64; N]> for Rates<N> {
    /// Figures that are sampled for the first time some time from now.
    fn from(sampled: [u64; N]) -> Self {
        Self { sampled, rates: [0.0; N] }
    }
}

impl<const N: usize> Rates<N> {
    /// What changed since the last time, so long ago, is the rate now; whether anything did.
    pub fn sample(&mut self, now: &[u64; N], interval: Duration) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        for (what, (now, before)) in now.iter().zip(self.sampled).enumerate() {
            let change = now.abs_diff(before) as f32 / interval.as_secs_f32();
            self.rates[what] = if *now < before { -change } else { change };
        }
        let has_changed = *now != self.sampled;
        self.sampled = *now;
        has_changed
    }

    /// How much a figure changes in a second, lately.
    pub fn rate(&self, figure: usize) -> f32 {
        self.rates[figure]
    }

    /// How much each grew since the last sample.
    pub fn grown(&self, now: &[u64; N]) -> [u64; N] {
        std::array::from_fn(|figure| now[figure].saturating_sub(self.sampled[figure]))
    }
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self { counts: [0; N], rates: Rates::default(), is_listed: false }
    }
}

impl<const N: usize> Tally<N> {
    /// It happened so many times; whether this is to be listed for the next sample, once.
    #[inline]
    pub fn add(&mut self, figure: usize, times: u64) -> bool {
        self.counts[figure] += times;
        self.list()
    }

    /// All of it happened; whether this is to be listed for the next sample, once.
    pub fn add_all(&mut self, times: &[u64; N]) -> bool {
        self.counts.iter_mut().zip(times).for_each(|(count, times)| *count += times);
        self.list()
    }

    /// Whether this is to be listed for the next sample, once.
    #[inline]
    fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// What was counted since the last time, so long ago, is the rate now; whether there is one.
    pub fn sample(&mut self, interval: Duration) -> bool {
        self.is_listed = self.rates.sample(&self.counts, interval);
        self.is_listed
    }

    /// How often it happened.
    pub fn count(&self, figure: usize) -> u64 {
        self.counts[figure]
    }

    /// How often in a second lately.
    pub fn rate(&self, figure: usize) -> f32 {
        self.rates.rate(figure)
    }

    /// How often each happened since the last sample.
    pub fn fresh(&self) -> [u64; N] {
        self.rates.grown(&self.counts)
    }
}

impl Counters {
    /// It happened; whether this is to be listed for the next sample, once.
    #[inline]
    pub fn note(&mut self, what: Happening) -> bool {
        self.0.add(what as usize, 1)
    }

    /// It happened so many times; whether this is to be listed for the next sample, once.
    #[inline]
    pub fn note_many(&mut self, what: Happening, times: u64) -> bool {
        times > 0 && self.0.add(what as usize, times)
    }

    /// All of it happened; whether this is to be listed for the next sample, once.
    pub fn add_all(&mut self, times: &[u64; HAPPENINGS]) -> bool {
        self.0.add_all(times)
    }

    /// What was counted since the last time, so long ago, is the rate now; whether there is one.
    pub fn sample(&mut self, interval: Duration) -> bool {
        self.0.sample(interval)
    }

    /// It happened so often, as somebody else counted.
    pub fn set(&mut self, what: Happening, count: u64) {
        self.0.counts[what as usize] = count;
    }

    /// How often it happened.
    pub fn count(&self, what: Happening) -> u64 {
        self.0.count(what as usize)
    }

    /// How often in a second lately.
    pub fn rate(&self, what: Happening) -> f32 {
        self.0.rate(what as usize)
    }

    /// How often each thing happened.
    pub fn counts(&self) -> &[u64; HAPPENINGS] {
        &self.0.counts
    }

    /// How often each thing happened since the last sample.
    pub fn fresh(&self) -> [u64; HAPPENINGS] {
        self.0.fresh()
    }

    /// Whether there is anything to sample.
    #[inline]
    pub fn is_listed(&self) -> bool {
        self.0.is_listed
    }
}

impl QueueCounters {
    /// Those of a queue in which nothing was counted yet, and that has so many ready and so many
    /// unacknowledged messages.
    pub fn starting_at(lengths: [u64; 2]) -> Self {
        let (happened, times_in_queue) = (Counters::default(), NO_TIMES);
        Self { happened, times_in_queue, lengths: Rates::from(lengths) }
    }

    /// Something changed that is not counted; whether this is to be listed for the next sample,
    /// once.
    pub fn list(&mut self) -> bool {
        self.happened.0.list()
    }

    /// What changed since the last time, so long ago, is the rate now; whether anything did.
    pub fn sample(&mut self, lengths: [u64; 2], interval: Duration) -> bool {
        let grew = self.lengths.sample(&lengths, interval);
        let happened = self.happened.sample(interval);
        self.happened.0.is_listed = grew || happened;
        grew || happened
    }

    /// How many more ready and unacknowledged messages it has each second, lately.
    pub fn length_rates(&self) -> [f32; 2] {
        [self.lengths.rate(0), self.lengths.rate(1)]
    }
}

impl VhostCounters {
    /// What was counted since the last time, so long ago, is the rate now; whether there is one.
    pub fn sample(&mut self, interval: Duration) -> bool {
        let happened = self.happened.sample(interval);
        self.traffic.sample(interval) || happened
    }

    /// Whether there is anything to sample.
    pub fn is_listed(&self) -> bool {
        self.happened.is_listed() || self.traffic.is_listed
    }
}

/// Objects in which something was counted, and how far their samples are.
#[derive(Debug)]
pub struct Listed<K> {
    /// Those with rates, or with something new.
    keys: Vec<K>,
    /// So many of them are still to be sampled, and how long ago they were before.
    left: usize,
    interval: Duration,
}

impl<K> Default for Listed<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), left: 0, interval: SAMPLE_EVERY }
    }
}

impl<K: Copy> Listed<K> {
    /// One more; it is on no list yet.
    #[inline]
    pub fn push(&mut self, key: K) {
        self.keys.push(key);
    }

    /// Those of another list come to this one.
    pub fn append(&mut self, keys: &mut Vec<K>) {
        self.keys.append(keys);
    }

    /// Samples of all that are here are due, so long after the last ones.
    pub fn begin(&mut self, interval: Duration) {
        self.left = self.keys.len();
        self.interval = interval;
    }

    /// The next to be sampled, and how long ago it was before.
    pub fn next_due(&mut self) -> Option<(K, Duration)> {
        self.left = self.left.checked_sub(1)?;
        Some((self.keys[self.left], self.interval))
    }

    /// The last one that was asked for has no rates any more.
    pub fn strike(&mut self) {
        // What comes to its place has been sampled, or came since.
        self.keys.swap_remove(self.left);
    }

    /// Takes samples, as far as this step allows. `sample` says whether there are rates.
    pub fn go_on(&mut self, work: &mut Work, mut sample: impl FnMut(K, Duration) -> bool) {
        while !work.is_done()
            && let Some((key, interval)) = self.next_due()
        {
            work.spend(1);
            if !sample(key, interval) {
                self.strike();
            }
        }
    }

    /// Whether samples are left to take.
    pub fn is_sampling(&self) -> bool {
        self.left > 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
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
        assert!(!counters.note_many(Happening::Confirm, 10));
        assert_eq!(counters.rate(Happening::Publish), 0.0);
        assert!(counters.sample(SAMPLE_EVERY));
        let rates = |counters: &Counters| {
            [Happening::Publish, Happening::Confirm, Happening::Ack].map(|what| counters.rate(what))
        };
        assert_eq!(rates(&counters), [0.4, 2.0, 0.0]);
        assert!(!counters.sample(SAMPLE_EVERY), "nothing happened since");
        assert_eq!(rates(&counters), [0.0; 3]);
        assert_eq!(counters.count(Happening::Confirm), 10);
        assert!(!counters.note_many(Happening::Ack, 0), "nothing is nothing");
        assert!(counters.note(Happening::Ack), "it is listed again");
    }

    #[test]
    fn a_queue_that_shrinks_has_a_rate_below_nothing() {
        let mut counters = QueueCounters::starting_at([100, 0]);
        assert!(counters.list() && !counters.list());
        assert!(counters.sample([50, 5], SAMPLE_EVERY), "its length changed");
        assert_eq!(counters.length_rates(), [-10.0, 1.0]);
        assert!(!counters.sample([50, 5], SAMPLE_EVERY));
        assert_eq!(counters.length_rates(), [0.0, 0.0]);
        assert!(counters.list(), "it may be listed again");
    }

    #[test]
    fn each_that_is_listed_is_sampled_once_and_leaves_when_it_has_no_rate() {
        let mut listed = Listed::default();
        (0..5).for_each(|key| listed.push(key));
        listed.begin(SAMPLE_EVERY);
        let mut seen = Vec::new();
        while let Some((key, interval)) = listed.next_due() {
            assert_eq!(interval, SAMPLE_EVERY);
            seen.push(key);
            if key % 2 == 0 {
                listed.strike();
            }
            if key == 3 {
                listed.push(7);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4], "what came meanwhile waits for the next time");
        listed.begin(SAMPLE_EVERY);
        let mut left: Vec<_> =
            std::iter::from_fn(|| listed.next_due()).map(|(key, _)| key).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3, 7]);
    }

    #[test]
    fn each_time_is_counted_up_to_the_bounds_that_it_does_not_exceed() {
        let mut times = NO_TIMES;
        let all = [0, 1, 2, 10, 11, 1_000, 60_000, 60_001, 86_400_000, 86_400_001, u64::MAX];
        all.iter().for_each(|&ms| times.note(ms));
        for (bound, count) in times.up_to() {
            let expected = all.iter().filter(|&&ms| bound.is_none_or(|bound| ms <= bound)).count();
            assert_eq!(count, expected as u64, "{bound:?}");
        }
        assert_eq!(times.up_to().count(), 10);
        assert_eq!((times.count(), times.sum()), (11, u64::MAX));
    }

    #[test]
    fn a_size_counts_below_the_first_bound_that_is_not_less() {
        let mut sizes = NO_SIZES;
        [0, 100, 101, 1_000, 100_000_000, 100_000_001].iter().for_each(|size| sizes.note(*size));
        let up_to: Vec<u64> = sizes.up_to().map(|(_, count)| count).collect();
        assert_eq!(up_to, [2, 4, 4, 4, 4, 4, 4, 5, 6]);
        assert_eq!(sizes.up_to().last(), Some((None, 6)));
        assert_eq!(sizes.sum(), 200_001_202);
    }
}
