//! Which one of its destinations does a random exchange (`x-random`) send a message to? Any.
//! Imports nothing of the crate but keys.

use std::cell::Cell;

use crate::broker::exchange::binding::Destination;
use crate::broker::exchange::destination_set::DestinationSet;
use crate::broker::hashing::mix;

/// The bindings of a random exchange; binding keys mean nothing.
#[derive(Debug)]
pub struct RandomMatcher {
    destinations: DestinationSet,
    state: Cell<u64>,
}

impl RandomMatcher {
    /// A matcher without bindings; the same seed makes the same choices.
    pub fn new(seed: u64) -> Self {
        Self { destinations: DestinationSet::default(), state: Cell::new(seed) }
    }

    /// Counts a binding of the destination.
    pub fn add(&mut self, destination: Destination) {
        self.destinations.add(destination);
    }

    /// Counts a binding less; `false` when there was none.
    pub fn remove(&mut self, destination: Destination) -> bool {
        self.destinations.remove(destination)
    }

    /// Appends one of the destinations, each as likely as any other.
    pub fn route(&self, out: &mut Vec<Destination>) {
        self.state.set(self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let drawn = u128::from(mix(self.state.get())) * self.destinations.len() as u128;
        let position = usize::try_from(drawn >> 64).expect("less than the number of destinations");
        out.extend(self.destinations.at(position));
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing::queue;

    #[test]
    fn each_message_goes_to_one_destination_and_each_destination_gets_its_share() {
        let mut matcher = RandomMatcher::new(1);
        let mut out = Vec::new();
        matcher.route(&mut out);
        assert!(out.is_empty());
        for index in 0..5 {
            matcher.add(queue(index));
        }
        for _ in 0..5000 {
            matcher.route(&mut out);
        }
        assert_eq!(out.len(), 5000);
        for index in 0..5 {
            let share = out.iter().filter(|&&to| to == queue(index)).count();
            assert!(share.abs_diff(1000) < 150, "{share}");
        }
        for index in 0..4 {
            assert!(matcher.remove(queue(index)));
        }
        out.clear();
        matcher.route(&mut out);
        assert_eq!(out, [queue(4)]);
    }
}
