//! When is what was counted sampled, and what is remembered of it?

use std::time::{Duration, Instant};

use crate::broker::counters::{Listed, SAMPLE_EVERY};
use crate::broker::watched::{self, Figures, Watchable};
use crate::broker::{ChannelKey, ConnectionKey};
use crate::management::figures::{self, NodeFigures, NodeHistory};
use crate::sys;

use super::Node;
use super::alarms::Alarms;
use super::deadlines::Due;

/// The samples of what the node has beside its broker: channels, connections, and itself.
pub(super) struct Sampling {
    /// When what was counted was last sampled, and how long after the time before.
    sampled_at: Instant,
    interval: Duration,
    channels: Listed<ChannelKey>,
    /// Those that had traffic.
    pub(super) connections: Listed<ConnectionKey>,
    /// Exchanges and vhosts are sampled once channels and connections are.
    others_wait: bool,
    /// What the node was like of late, and up to a day ago.
    pub(super) history: NodeHistory,
}

impl Sampling {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sampled_at: now,
            interval: SAMPLE_EVERY,
            channels: Listed::default(),
            connections: Listed::default(),
            others_wait: false,
            history: figures::new_history(),
        }
    }

    /// Whether samples are left to take.
    pub(super) fn is_sampling(&self) -> bool {
        self.others_wait
    }
}

impl Node {
    /// Begins to sample what was counted, if it is time for that.
    pub(super) fn begin_sampling(&mut self) {
        if !self.deadlines.has_come(Due::Sample, self.now) {
            return;
        }
        self.deadlines.set(Due::Sample, None);
        let interval = self.now.duration_since(self.sampling.sampled_at);
        self.sampling.sampled_at = self.now;
        self.sampling.interval = interval;
        self.broker.begin_sampling(interval);
        self.sampling.channels.append(self.broker.queues_mut().counted_channels());
        self.sampling.channels.begin(interval);
        self.sampling.connections.begin(interval);
        self.sampling.others_wait = true;
        self.remember();
    }

    /// Takes samples, as far as this step allows.
    pub(super) fn go_on_sampling(&mut self) {
        self.broker.go_on_sampling();
        while !self.broker.work.is_done()
            && let Some((key, interval)) = self.sampling.channels.next_due()
        {
            self.broker.work.spend(1);
            if !self.sample_channel(key, interval) {
                self.sampling.channels.strike();
            }
        }
        while !self.broker.work.is_done()
            && let Some((key, interval)) = self.sampling.connections.next_due()
        {
            self.broker.work.spend(1);
            if !self.sample_connection(key, interval) {
                self.sampling.connections.strike();
            }
        }
        let is_left =
            self.sampling.channels.is_sampling() || self.sampling.connections.is_sampling();
        if self.sampling.others_wait && !is_left {
            self.sampling.others_wait = false;
            self.broker.begin_sampling_topology(self.sampling.interval);
        }
    }

    /// Whether the channel has rates.
    fn sample_channel(&mut self, key: ChannelKey, interval: Duration) -> bool {
        let channel = self.broker.queues().channel(key);
        let Some((connection, number)) = channel.map(|it| (it.connection, it.number)) else {
            return false;
        };
        let session = self.endpoints.get_mut(connection).and_then(|it| it.session_mut());
        session.is_some_and(|session| session.sample_channel(&mut self.broker, number, interval))
    }

    /// Whether the connection has rates.
    fn sample_connection(&mut self, key: ConnectionKey, interval: Duration) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return false;
        };
        endpoint.count_for_vhost(&mut self.broker);
        endpoint.sample_traffic(interval)
    }

    /// Sees to it that what was counted is sampled in time. Where nobody looks at memory and disk,
    /// nobody wakes up while nothing happens.
    pub(super) fn plan_sampling(&mut self) {
        let sampling = &self.sampling;
        let is_always = self.blocking.alarms.is_some() || !self.broker.watched.is_empty();
        let has_counted = self.broker.has_counted()
            || !sampling.channels.is_empty()
            || !sampling.connections.is_empty();
        if sampling.history.is_empty() {
            self.remember();
        }
        if !is_always && !has_counted {
            // What happens next begins an interval.
            self.sampling.sampled_at = self.now;
        } else if !self.deadlines.is_set(Due::Sample) {
            self.deadlines.set(Due::Sample, Some(self.sampling.sampled_at + SAMPLE_EVERY));
        }
    }

    /// Keeps what the node is like now, and what somebody looks at.
    fn remember(&mut self) {
        let now_ms = self.broker.clock_ms();
        let now = self.figures();
        self.sampling.history.record(now_ms, now);
        let mut watched = std::mem::take(&mut self.broker.watched);
        watched.record(now_ms, |object| self.figures_of(object));
        self.broker.watched = watched;
    }

    fn figures(&self) -> NodeFigures {
        let (memory_bytes, disk_bytes) =
            self.blocking.alarms.as_ref().map_or((0, 0), Alarms::last_seen);
        let sockets = self.endpoints.len() as u64;
        let gauges = [memory_bytes, disk_bytes, sys::open_files().unwrap_or(sockets), sockets];
        figures::of_node(&self.broker, gauges, self.operators.churn)
    }

    /// What there is to remember of an object, if it is still there.
    fn figures_of(&self, object: Watchable) -> Option<Figures> {
        match object {
            Watchable::Queue(key) => self.broker.figures_of_queue(key),
            Watchable::Exchange(key) => self.broker.figures_of_exchange(key),
            Watchable::Channel(key) => {
                let channel = self.broker.queues().channel(key)?;
                let session = self.endpoints.get(channel.connection)?.session()?;
                let counters = session.channel_counters(channel.number).unwrap_or_default();
                Some(watched::figures([0; 2], counters.counts()))
            }
            Watchable::Connection(key) => {
                let [(received, _), (sent, _)] = self.endpoints.get(key)?.session()?.traffic();
                Some(watched::figures([0; 2], &[received, sent]))
            }
        }
    }
}
