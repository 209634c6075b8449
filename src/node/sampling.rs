//! When is what was counted sampled?

use crate::broker::counters::SAMPLE_EVERY;

use super::Node;
use super::deadlines::Due;

impl Node {
    /// Begins to sample what was counted, if it is time for that.
    pub(super) fn begin_sampling(&mut self) {
        if self.deadlines.has_come(Due::Sample, self.now) {
            self.deadlines.set(Due::Sample, None);
            let interval = self.now.duration_since(self.sampled_at);
            self.sampled_at = self.now;
            self.broker.begin_sampling(interval);
        }
    }

    /// Sees to it that what was counted is sampled in time. Nobody wakes up while nothing happens.
    pub(super) fn plan_sampling(&mut self) {
        if !self.broker.has_counted() {
            // What happens next begins an interval.
            self.sampled_at = self.now;
        } else if !self.deadlines.is_set(Due::Sample) {
            self.deadlines.set(Due::Sample, Some(self.sampled_at + SAMPLE_EVERY));
        }
    }
}
