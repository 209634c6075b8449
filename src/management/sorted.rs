//! Which things come first, of more than are kept?
//!
//! What is offered and not among the first so many is gone again at once. Things often come in
//! order, each before all that came so far (a list by name, shown backwards): those wait in a run
//! that costs one comparison each, and only what is left of it is sorted in.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

/// The first of what is offered, by their places; no two places are the same.
pub struct Sorted<P, K> {
    /// The most that are kept.
    most: usize,
    /// Whether the greatest comes first.
    reverse: bool,
    /// What is sorted in.
    tree: BTreeMap<P, K>,
    /// Each of these comes before the one in front of it, and all before the tree.
    run: VecDeque<(P, K)>,
}

/// A run that is longer is sorted in; so much may be done at once.
const RUN_MAX: usize = 512;

impl<P: Ord, K> Sorted<P, K> {
    /// Keeps the first `most` things; the greatest come first if `reverse`.
    pub fn new(most: usize, reverse: bool) -> Self {
        Self { most, reverse, tree: BTreeMap::new(), run: VecDeque::new() }
    }

    /// Keeps a thing, unless so many come before it already.
    pub fn offer(&mut self, place: P, key: K) {
        let is_full = self.tree.len() + self.run.len() >= self.most;
        if is_full && self.last().is_some_and(|last| self.is_before(last, &place)) {
            return;
        }
        if self.first().is_none_or(|first| self.is_before(&place, first)) {
            if self.run.len() >= RUN_MAX {
                self.sort_in_run();
            }
            self.run.push_back((place, key));
        } else {
            self.sort_in_run();
            self.tree.insert(place, key);
        }
        if is_full {
            self.drop_last();
        }
    }

    /// Takes the first of what is left.
    pub fn next(&mut self) -> Option<K> {
        self.sort_in_run();
        let next = if self.reverse { self.tree.pop_last() } else { self.tree.pop_first() };
        next.map(|(_, key)| key)
    }

    fn is_before(&self, one: &P, other: &P) -> bool {
        one.cmp(other) == if self.reverse { Ordering::Greater } else { Ordering::Less }
    }

    fn first(&self) -> Option<&P> {
        match self.run.back() {
            Some((place, _)) => Some(place),
            None if self.reverse => self.tree.last_key_value().map(|(place, _)| place),
            None => self.tree.first_key_value().map(|(place, _)| place),
        }
    }

    fn last(&self) -> Option<&P> {
        let tree =
            if self.reverse { self.tree.first_key_value() } else { self.tree.last_key_value() };
        match tree {
            Some((place, _)) => Some(place),
            None => self.run.front().map(|(place, _)| place),
        }
    }

    fn drop_last(&mut self) {
        let last = if self.reverse { self.tree.pop_first() } else { self.tree.pop_last() };
        if last.is_none() {
            self.run.pop_front();
        }
    }

    fn sort_in_run(&mut self) {
        self.tree.extend(self.run.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::testing::Random;

    /// What is kept, from the first on.
    fn kept(most: usize, reverse: bool, offered: &[usize]) -> Vec<usize> {
        let mut sorted = Sorted::new(most, reverse);
        for (at, place) in offered.iter().enumerate() {
            sorted.offer((*place, at), *place);
        }
        std::iter::from_fn(|| sorted.next()).collect()
    }

    /// The same, slowly.
    fn expected(most: usize, reverse: bool, offered: &[usize]) -> Vec<usize> {
        let mut all = offered.to_vec();
        all.sort_unstable();
        if reverse {
            all.reverse();
        }
        all.truncate(most);
        all
    }

    #[test]
    fn keeps_the_first_in_whatever_order_they_come() {
        let mut random = Random::new(1);
        let mut orders: Vec<Vec<usize>> =
            vec![vec![], vec![7], (0..2_000).collect(), (0..2_000).rev().collect(), vec![3; 1_500]];
        // Two lists at a time, one after the other, and with something strange in between.
        orders.push((0..1_000).flat_map(|at| [at, at + 5_000]).collect());
        orders.push((0..1_000).flat_map(|at| [at + 5_000, 999 - at]).collect());
        orders.push((0..700).chain(0..700).chain((0..700).rev()).collect());
        orders.push((0..2_000).map(|at| if at % 600 == 599 { 0 } else { at }).collect());
        orders.extend((1..40).map(|len| (0..len * 50).map(|_| random.below(len * 20)).collect()));
        for offered in &orders {
            for most in [1, 2, 3, 100, 511, 512, 513, 1_000, 5_000] {
                for reverse in [false, true] {
                    let expected = expected(most, reverse, offered);
                    assert_eq!(kept(most, reverse, offered), expected, "{most} {reverse}");
                }
            }
        }
    }

    #[test]
    fn what_comes_in_order_is_not_sorted_in() {
        let mut sorted = Sorted::new(100, true);
        for place in 0..10_000 {
            sorted.offer(place, place);
        }
        assert_eq!(sorted.tree.len(), 0);
        assert_eq!(sorted.run.len(), 100);
    }
}
