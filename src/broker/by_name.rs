//! A map from names that grows in pieces.
//!
//! A hash map that grows moves all that is in it, and for that hashes each key again: with a
//! hundred thousand names, which lie anywhere in memory, that takes longer than a turn may. So a
//! map that has become large is many maps, each of which grows by itself. Imports nothing of the
//! crate.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// Values by names, which peers choose: the hasher has to be keyed.
#[derive(Debug, Clone)]
pub struct ByName<K, V, S = RandomState> {
    /// All, as long as there are few.
    few: HashMap<K, V, S>,
    /// All, once there were more.
    parts: Option<Box<[HashMap<K, V, S>]>>,
    /// How many there are.
    len: usize,
}

/// So many entries are moved at once at most, when there are no longer few.
const FEW: usize = 2_048;

/// How many parts there are then, a power of two. The bits of the hash that choose one are neither
/// its lowest nor its highest: those are what the part itself goes by.
const PARTS: usize = 64;
const PART_SHIFT: u32 = 32;

impl<K, V, S: Default> Default for ByName<K, V, S> {
    fn default() -> Self {
        Self { few: HashMap::default(), parts: None, len: 0 }
    }
}

impl<K, V, S> ByName<K, V, S> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts().iter().flatten()
    }

    /// All values, in any order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.parts().iter().flat_map(HashMap::values)
    }

    fn parts(&self) -> &[HashMap<K, V, S>] {
        self.parts.as_deref().unwrap_or(std::slice::from_ref(&self.few))
    }
}

impl<K, V, S> ByName<K, V, S>
where
    K: Borrow<[u8]> + Hash + Eq,
    S: BuildHasher + Default,
{
    /// What is there under a name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&V> {
        match &self.parts {
            None => self.few.get(name),
            Some(parts) => parts[part(self.few.hasher(), name)].get(name),
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        self.part_of(name).get_mut(name)
    }

    /// Whether something is there under a name.
    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// Puts something under a name; what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.parts.is_none() && self.few.len() >= FEW {
            self.divide();
        }
        let before = self.part_of(key.borrow()).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes away what is there under a name. What held many gives its memory back with the last.
    pub fn remove(&mut self, name: &[u8]) -> Option<V> {
        let value = self.part_of(name).remove(name);
        self.len -= usize::from(value.is_some());
        if self.is_empty() {
            self.parts = None;
        }
        value
    }

    fn part_of(&mut self, name: &[u8]) -> &mut HashMap<K, V, S> {
        match &mut self.parts {
            None => &mut self.few,
            Some(parts) => &mut parts[part(self.few.hasher(), name)],
        }
    }

    fn divide(&mut self) {
        // The empty map that stays has the hasher by which they are told apart from now on.
        let few = std::mem::take(&mut self.few);
        let mut parts: Box<[HashMap<K, V, S>]> = (0..PARTS).map(|_| HashMap::default()).collect();
        for (key, value) in few {
            parts[part(self.few.hasher(), key.borrow())].insert(key, value);
        }
        self.parts = Some(parts);
    }
}

/// Which part a name is in.
fn part(hasher: &impl BuildHasher, name: &[u8]) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "a few bits are what is meant")]
    let bits = (hasher.hash_one(name) >> PART_SHIFT) as usize;
    bits % PARTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Map = ByName<Box<[u8]>, u32>;

    fn name(number: u32) -> Box<[u8]> {
        format!("name {number}").into_bytes().into()
    }

    #[test]
    fn holds_what_a_plain_map_holds_however_many_come_and_go() {
        let (mut map, mut plain) = (Map::default(), BTreeMap::new());
        let mut seed = 5_u32;
        // Many come, most go, many come again, all go.
        for (steps, out_of) in [(20_000, 4), (20_000, 1), (9_000, 5), (40_000, 0)] {
            for _ in 0..steps {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let number = (seed >> 8) % 9_000;
                if (seed >> 4) % 5 < out_of {
                    let before = plain.insert(name(number), seed);
                    assert_eq!(map.insert(name(number), seed), before);
                } else {
                    assert_eq!(map.remove(&name(number)), plain.remove(&name(number)));
                }
            }
            assert_eq!(map.len(), plain.len());
            assert_eq!(map.is_empty(), plain.is_empty());
            let listed: BTreeMap<_, _> =
                map.iter().map(|(key, value)| (key.clone(), *value)).collect();
            assert_eq!(listed, plain);
            for number in 0..9_000 {
                let name = name(number);
                assert_eq!(map.get(&name), plain.get(&name));
                assert_eq!(map.contains_key(&name), plain.contains_key(&name));
                assert_eq!(map.get_mut(&name), plain.get_mut(&name));
            }
        }
    }

    #[test]
    fn no_part_of_a_large_map_is_large() {
        let mut map = Map::default();
        for number in 0..100_000 {
            map.insert(name(number), number);
        }
        let largest = map.parts().iter().map(HashMap::len).max();
        assert!(largest < Some(FEW), "{largest:?}");
    }

    #[test]
    fn the_memory_of_many_goes_with_the_last() {
        let mut map = Map::default();
        for number in 0..5_000 {
            map.insert(name(number), number);
        }
        for number in 0..5_000 {
            map.remove(&name(number));
        }
        assert!(map.parts.is_none());
        assert_eq!(map.few.capacity(), 0);
    }
}
