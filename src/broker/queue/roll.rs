//! In which order did consumers come, where any may leave at any time?
//!
//! One that leaves is not looked for. It stays on the roll, where its key finds nothing any more,
//! until as many have left as are there: then all of them are struck off at once. So a hundred
//! thousand can come and go in any order, each at a constant cost.

use std::collections::VecDeque;

use crate::broker::key::ConsumerKey;

/// How many that left may stay, beside as many as are there.
const LEFT_MAX: usize = 16;

/// Consumers in an order, some of which may have left.
#[derive(Debug, Default)]
pub struct Roll {
    order: VecDeque<ConsumerKey>,
    /// How many of them have left.
    left: usize,
}

impl Roll {
    /// A consumer comes last.
    pub fn push(&mut self, consumer: ConsumerKey) {
        self.order.push_back(consumer);
    }

    /// How many there are, without those that left.
    pub fn len(&self) -> usize {
        self.order.len() - self.left
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them left, so that `is_there` denies it, unless all were taken. Says whether those
    /// that left were struck off: then they may be elsewhere too.
    pub fn leave(&mut self, is_there: impl Fn(ConsumerKey) -> bool) -> bool {
        if self.order.is_empty() {
            return false;
        }
        self.left += 1;
        let is_due = self.left > self.len() + LEFT_MAX || self.is_empty();
        if is_due {
            self.order.retain(|&consumer| is_there(consumer));
            self.left = 0;
        }
        is_due
    }

    /// All of them and those that left, in order: how many places there are.
    pub fn places(&self) -> usize {
        self.order.len()
    }

    /// Who is at a place, or was.
    pub fn at(&self, place: usize) -> Option<ConsumerKey> {
        self.order.get(place).copied()
    }

    /// The first comes last.
    pub fn rotate(&mut self) {
        if self.order.len() > 1 {
            self.order.rotate_left(1);
        }
    }

    /// One of them comes last; the others stay in order. Looks for it.
    pub fn move_to_end(&mut self, consumer: ConsumerKey) {
        if self.order.len() > 1
            && let Some(place) = self.order.iter().position(|&other| other == consumer)
        {
            self.order.remove(place);
            self.order.push_back(consumer);
        }
    }

    /// Takes all of them, and those that left.
    pub fn take(&mut self) -> VecDeque<ConsumerKey> {
        self.left = 0;
        std::mem::take(&mut self.order)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::broker::key::ArenaKey;

    #[test]
    fn those_that_left_cost_little_and_are_struck_off_in_time() {
        let mut roll = Roll::default();
        let mut there = BTreeSet::new();
        for n in 0..1000 {
            roll.push(ConsumerKey::new(n, 1));
            there.insert(n);
        }
        let mut sweeps = 0;
        for n in (0..1000).rev().filter(|n| n % 10 != 3) {
            there.remove(&n);
            sweeps += u32::from(roll.leave(|consumer| there.contains(&consumer.index())));
            assert_eq!(roll.len(), there.len());
            assert!(roll.places() <= 2 * there.len() + LEFT_MAX);
        }
        assert!((1..10).contains(&sweeps), "{sweeps}");
        let is_there = |consumer: &ConsumerKey| there.contains(&consumer.index());
        let left: Vec<u32> =
            roll.take().iter().filter(|c| is_there(c)).map(|c| c.index()).collect();
        assert_eq!(left, (0..100).map(|n| 10 * n + 3).collect::<Vec<_>>());
        assert!(!roll.leave(|_| false) && roll.is_empty());
    }

    #[test]
    fn who_was_served_comes_last_and_the_others_keep_their_order() {
        let mut roll = Roll::default();
        (0..4).for_each(|n| roll.push(ConsumerKey::new(n, 1)));
        roll.move_to_end(ConsumerKey::new(1, 1));
        roll.rotate();
        let order: Vec<u32> = (0..4).filter_map(|n| roll.at(n)).map(ArenaKey::index).collect();
        assert_eq!(order, [2, 3, 1, 0]);
    }
}
