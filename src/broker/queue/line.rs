//! Whose turn is it at a queue?
//!
//! Consumers that wait, highest priority first, round robin within one priority. Those that cannot
//! take anything stand outside until they can. It hands out turns; it does not deliver.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use crate::broker::key::ConsumerKey;
use crate::broker::queue::roll::Roll;

/// The priority of those that ask for none.
const USUAL: Reverse<i64> = Reverse(0);

/// How many priorities with nobody waiting are kept for those that come back.
const EMPTY_LEVELS_MAX: usize = 8;

/// A queue's consumers in the order of their turns. Some that left may still be in it: they are to
/// be parked when their turn comes.
#[derive(Debug, Default)]
pub struct Line {
    /// Those of the usual priority that wait. Nearly always they are all.
    usual: VecDeque<ConsumerKey>,
    /// The others, by priority.
    others: BTreeMap<Reverse<i64>, VecDeque<ConsumerKey>>,
    /// All consumers of the queue, parked ones included.
    members: Roll,
    /// `x-single-active-consumer`: only this one ever waits.
    active: Option<ConsumerKey>,
    single_active: bool,
}

/// What became of a line that a consumer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Where only one is active, it left: another one has to be told to [`Line::activate`].
    pub was_active: bool,
    /// Those that left were struck off: it is time to do so elsewhere too.
    pub struck_off: bool,
}

impl Line {
    /// A line without consumers.
    pub fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    /// A new consumer joins behind those of its priority.
    pub fn join(&mut self, consumer: ConsumerKey, priority: i64) {
        self.members.push(consumer);
        if !self.single_active {
            self.wait(consumer, priority);
        } else if self.active.is_none() {
            self.activate(consumer, priority);
        }
    }

    /// Where only one is active, this one is from now on.
    pub fn activate(&mut self, consumer: ConsumerKey, priority: i64) {
        self.active = Some(consumer);
        self.wait(consumer, priority);
    }

    /// Where only one is active: which one that is.
    pub fn active(&self) -> Option<ConsumerKey> {
        self.active
    }

    /// Whether only one is active.
    pub fn is_single_active(&self) -> bool {
        self.single_active
    }

    /// All consumers, in the order in which they came, and some that left.
    pub fn members(&self) -> impl Iterator<Item = ConsumerKey> {
        (0..self.members.places()).filter_map(|place| self.members.at(place))
    }

    /// A consumer left for good, so that `is_there` denies it.
    pub fn leave(&mut self, consumer: ConsumerKey, is_there: impl Fn(ConsumerKey) -> bool) -> Left {
        let was_active = self.active == Some(consumer);
        if was_active {
            self.active = None;
        }
        let struck_off = self.members.leave(&is_there);
        if struck_off {
            self.usual.retain(|&waiting| is_there(waiting));
            self.others.values_mut().for_each(|level| level.retain(|&waiting| is_there(waiting)));
            self.others.retain(|_, level| !level.is_empty());
        }
        Left { was_active, struck_off }
    }

    /// Those that wait for a turn, the next one first.
    pub fn waiting(&self) -> impl Iterator<Item = &ConsumerKey> {
        let above = self.others.range(..USUAL).flat_map(|(_, level)| level);
        let below = self.others.range(USUAL..).flat_map(|(_, level)| level);
        above.chain(&self.usual).chain(below)
    }

    /// The consumer whose turn it is.
    #[inline]
    pub fn first(&self) -> Option<ConsumerKey> {
        if self.others.is_empty() {
            return self.usual.front().copied();
        }
        self.waiting().next().copied()
    }

    /// The first one had its turn and goes behind the others of its priority.
    #[inline]
    pub fn rotate(&mut self) {
        if let Some((level, _)) = self.first_level()
            && level.len() > 1
        {
            level.rotate_left(1);
        }
    }

    /// The first one cannot take anything; it leaves the line until [`Line::wait`].
    pub fn park_first(&mut self) {
        let Some((level, priority)) = self.first_level() else {
            return;
        };
        level.pop_front();
        let is_empty = level.is_empty();
        if is_empty && self.others.len() > EMPTY_LEVELS_MAX {
            self.others.remove(&priority);
        }
    }

    /// A parked (or new) consumer waits for its turn again.
    pub fn wait(&mut self, consumer: ConsumerKey, priority: i64) {
        let priority = Reverse(priority);
        let level = match priority {
            USUAL => &mut self.usual,
            _ => self.others.entry(priority).or_default(),
        };
        level.push_back(consumer);
    }

    /// How many consumers the queue has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes all of its consumers, in the order in which they came, and some that left.
    pub fn take_members(&mut self) -> VecDeque<ConsumerKey> {
        self.usual.clear();
        self.others.clear();
        self.members.take()
    }

    /// Whether somebody waits for a turn.
    #[inline]
    pub fn anyone_waits(&self) -> bool {
        self.first().is_some()
    }

    /// Those of the highest priority of which somebody waits.
    #[inline]
    fn first_level(&mut self) -> Option<(&mut VecDeque<ConsumerKey>, Reverse<i64>)> {
        if !self.others.is_empty() {
            let is_above = |(priority, _): &(&Reverse<i64>, _)| **priority < USUAL;
            let mut waiting = self.others.iter_mut().filter(|(_, level)| !level.is_empty());
            let found = match self.usual.is_empty() {
                true => waiting.next(),
                false => waiting.next().filter(is_above),
            };
            if let Some((&priority, level)) = found {
                return Some((level, priority));
            }
        }
        (!self.usual.is_empty()).then_some((&mut self.usual, USUAL))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::broker::key::ArenaKey;

    fn key(n: u32) -> ConsumerKey {
        ConsumerKey::new(n, 1)
    }

    /// Takes a turn as the broker does: who left is passed over.
    fn serve(line: &mut Line, there: &BTreeSet<u32>) -> Option<u32> {
        loop {
            let first = line.first()?.index();
            if there.contains(&first) {
                line.rotate();
                return Some(first);
            }
            line.park_first();
        }
    }

    #[test]
    fn the_highest_priority_is_served_in_turn_and_who_left_is_not() {
        let mut line = Line::new(false);
        let mut there: BTreeSet<u32> = (0..6).collect();
        for n in 0..6 {
            line.join(key(n), i64::from(n % 2));
        }
        let turns = |line: &mut Line, there: &BTreeSet<u32>| {
            (0..4).filter_map(|_| serve(line, there)).collect::<Vec<_>>()
        };
        assert_eq!(turns(&mut line, &there), [1, 3, 5, 1]);
        there.remove(&3);
        line.leave(key(3), |consumer| there.contains(&consumer.index()));
        assert_eq!(turns(&mut line, &there), [5, 1, 5, 1]);
        line.park_first();
        line.park_first();
        assert_eq!(turns(&mut line, &there), [0, 2, 4, 0]);
        line.wait(key(5), 1);
        assert_eq!((turns(&mut line, &there), line.len()), (vec![5; 4], 5));
    }

    #[test]
    fn one_is_active_until_it_leaves() {
        let mut line = Line::new(true);
        (0..3).for_each(|n| line.join(key(n), 0));
        assert_eq!((line.first(), line.len()), (Some(key(0)), 3));
        assert!(!line.leave(key(1), |consumer| consumer != key(1)).was_active);
        let is_there = |consumer| consumer == key(2);
        assert!(line.leave(key(0), is_there).was_active);
        assert_eq!(line.members().filter(|&member| is_there(member)).count(), 1);
        line.park_first();
        line.activate(key(2), 0);
        assert_eq!((line.first(), line.len()), (Some(key(2)), 1));
    }

    /// A hundred thousand consumers of as many priorities leave the line in any order.
    #[test]
    fn priorities_with_nobody_waiting_do_not_add_up() {
        let mut line = Line::new(false);
        for n in 0..1000 {
            line.join(key(n), i64::from(n));
        }
        for _ in 0..1000 {
            line.park_first();
        }
        assert!(!line.anyone_waits() && line.others.len() <= EMPTY_LEVELS_MAX);
    }
}
