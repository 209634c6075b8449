//! The destinations that share one binding key: a set that counts, small when it is small.
//!
//! A destination can be bound several times with the same key and different arguments, so each is
//! counted and goes with its last binding. One destination costs no allocation; adding and removing
//! stay cheap with a hundred thousand. Imports nothing of the crate but keys.

use std::collections::HashMap;

use crate::broker::exchange::binding::Destination;
use crate::broker::hashing::IdBuild;

/// A set of destinations with the number of bindings that lead to each; 16 bytes.
#[derive(Debug, Default)]
pub struct DestinationSet(Inner);

#[derive(Debug, Default)]
enum Inner {
    #[default]
    Empty,
    /// One destination, bound once.
    One(Destination),
    Many(Box<Many>),
}

/// 1. `positions`, when there, holds the position of each element of `members`.
/// 2. It is there when more than [`SCAN_MAX`] members are.
#[derive(Debug)]
struct Many {
    members: Vec<Member>,
    positions: Option<HashMap<Destination, usize, IdBuild>>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    destination: Destination,
    bindings: u32,
}

impl DestinationSet {
    /// Counts one binding more for the destination.
    pub fn add(&mut self, destination: Destination) {
        match &mut self.0 {
            Inner::Empty => self.0 = Inner::One(destination),
            Inner::One(first) => {
                let first = Member { destination: *first, bindings: 1 };
                let mut many = Many { members: vec![first], positions: None };
                many.add(destination);
                self.0 = Inner::Many(Box::new(many));
            }
            Inner::Many(many) => many.add(destination),
        }
    }

    /// Counts one binding less for the destination; `false` when it was not in the set.
    pub fn remove(&mut self, destination: Destination) -> bool {
        match &mut self.0 {
            Inner::Empty => false,
            Inner::One(only) => {
                let found = *only == destination;
                if found {
                    self.0 = Inner::Empty;
                }
                found
            }
            Inner::Many(many) => {
                let found = many.remove(destination);
                match many.members[..] {
                    [] => self.0 = Inner::Empty,
                    [Member { destination, bindings: 1 }] => self.0 = Inner::One(destination),
                    _ => {}
                }
                found
            }
        }
    }

    /// Appends every destination once, in no particular order.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<Destination>) {
        match &self.0 {
            Inner::Empty => {}
            Inner::One(only) => out.push(*only),
            Inner::Many(many) => out.extend(many.members.iter().map(|m| m.destination)),
        }
    }

    /// The destination at `position`, for a choice among them; positions change with every add
    /// and remove.
    pub fn at(&self, position: usize) -> Option<Destination> {
        match &self.0 {
            Inner::Empty => None,
            Inner::One(only) => (position == 0).then_some(*only),
            Inner::Many(many) => many.members.get(position).map(|m| m.destination),
        }
    }

    /// The number of different destinations.
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Empty => 0,
            Inner::One(_) => 1,
            Inner::Many(many) => many.members.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Inner::Empty)
    }
}

impl Many {
    fn add(&mut self, destination: Destination) {
        if let Some(position) = self.position(destination) {
            self.members[position].bindings += 1;
            return;
        }
        if let Some(positions) = &mut self.positions {
            positions.insert(destination, self.members.len());
        }
        self.members.push(Member { destination, bindings: 1 });
        if self.positions.is_none() && self.members.len() > SCAN_MAX {
            let numbered = self.members.iter().enumerate();
            self.positions = Some(numbered.map(|(at, m)| (m.destination, at)).collect());
        }
    }

    fn remove(&mut self, destination: Destination) -> bool {
        let Some(position) = self.position(destination) else {
            return false;
        };
        self.members[position].bindings -= 1;
        if self.members[position].bindings > 0 {
            return true;
        }
        self.members.swap_remove(position);
        if let Some(positions) = &mut self.positions {
            positions.remove(&destination);
            if let Some(moved) = self.members.get(position) {
                positions.insert(moved.destination, position);
            }
        }
        if self.members.len() <= SCAN_MAX / 2 {
            self.positions = None;
            self.members.shrink_to(SCAN_MAX);
        }
        true
    }

    fn position(&self, destination: Destination) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(&destination).copied(),
            None => self.members.iter().position(|m| m.destination == destination),
        }
    }
}

/// Up to so many members are looked through one by one.
const SCAN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::broker::testing::{Seeded, queue};

    #[test]
    fn the_set_counts_as_a_map_does() {
        let mut random = Seeded::new(3);
        for round in 0..40 {
            let mut set = DestinationSet::default();
            let mut twin: BTreeMap<Destination, u32> = BTreeMap::new();
            let range = 1 + round * 3;
            for step in 0..800 {
                let destination = queue(u32::try_from(random.below(range)).unwrap());
                // Grow first, shrink later, so that every representation is passed both ways.
                let grow = random.below(10) < if step < 400 { 7 } else { 2 };
                if grow {
                    set.add(destination);
                    *twin.entry(destination).or_default() += 1;
                } else {
                    assert_eq!(set.remove(destination), twin.contains_key(&destination));
                    if let Some(count) = twin.get_mut(&destination) {
                        *count -= 1;
                    }
                    twin.retain(|_, count| *count > 0);
                }
                let mut members = Vec::new();
                set.append_to(&mut members);
                members.sort();
                assert_eq!(members, twin.keys().copied().collect::<Vec<_>>());
                assert_eq!(set.len(), twin.len());
                assert_eq!(set.is_empty(), twin.is_empty());
                assert!((0..set.len()).all(|at| set.at(at).is_some()));
                assert_eq!(set.at(set.len()), None);
            }
        }
    }

    #[test]
    fn a_set_takes_16_bytes() {
        assert_eq!(size_of::<DestinationSet>(), 16);
    }
}
