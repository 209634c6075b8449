//! Which queue, exchange, connection ... is meant: keys of slab slots that tell a slot's present
//! tenant from its past ones, and the arena that gives them out.
//!
//! Everything that outlives a turn refers to broker objects by these keys and never by pointer or
//! by reference; a key of something that is gone finds nothing. Imports nothing of the crate.

use std::marker::PhantomData;

use slab::Slab;

/// What an [`Arena`] can give out: a slot's index with the generation of its tenant.
pub trait ArenaKey: Copy {
    /// The key of slot `index` for the tenant of that `generation`.
    fn new(index: u32, generation: u32) -> Self;
    /// The slot; small numbers, reused.
    fn index(self) -> u32;
    /// The tenant of the slot.
    fn generation(self) -> u32;
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            index: u32,
            generation: u32,
        }

        impl ArenaKey for $name {
            fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }

            fn index(self) -> u32 {
                self.index
            }

            fn generation(self) -> u32 {
                self.generation
            }
        }
    )*};
}

keys! {
    /// A virtual host.
    VhostKey;
    /// A queue.
    QueueKey;
    /// An exchange.
    ExchangeKey;
    /// A consumer of a queue.
    ConsumerKey;
    /// A channel of a connection.
    ChannelKey;
    /// A connection.
    ConnectionKey;
}

/// Objects of one kind, found by their keys in constant time.
///
/// 1. A key finds the object that it was given out for, or nothing.
/// 2. A pair of index and generation comes again only after 2^32 inserts into the arena, and then
///    only if the same slot is hit.
#[derive(Debug)]
pub struct Arena<K, T> {
    slots: Slab<Slot<T>>,
    next_generation: u32,
    keys: PhantomData<K>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    tenant: T,
}

impl<K: ArenaKey, T> Arena<K, T> {
    /// An arena without objects; allocates nothing.
    pub fn new() -> Self {
        Self { slots: Slab::new(), next_generation: 1, keys: PhantomData }
    }

    /// Takes `tenant` in and gives out its key.
    ///
    /// # Panics
    /// When 2^32 objects are in the arena, which no memory holds.
    pub fn insert(&mut self, tenant: T) -> K {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let index = self.slots.insert(Slot { generation, tenant });
        K::new(u32::try_from(index).expect("fewer than 2^32 objects fit into memory"), generation)
    }

    /// The key that the next [`Arena::insert`] will give out, for objects that hold their own key.
    pub fn next_key(&self) -> K {
        let index = self.slots.vacant_key();
        K::new(
            u32::try_from(index).expect("fewer than 2^32 objects fit into memory"),
            self.next_generation,
        )
    }

    /// Takes the object out; `None` when the key's object is gone already.
    pub fn remove(&mut self, key: K) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index() as usize).tenant)
    }

    /// The object, unless it is gone.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        (slot.generation == key.generation()).then_some(&mut slot.tenant)
    }

    /// All objects in slot order, which is no order that means anything.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.slots.iter_mut().map(|(index, slot)| {
            let index = u32::try_from(index).expect("`insert` gave out a u32");
            (K::new(index, slot.generation), &mut slot.tenant)
        })
    }

    /// The object, unless it is gone.
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        let slot = self.slots.get(key.index() as usize)?;
        (slot.generation == key.generation()).then_some(&slot.tenant)
    }

    /// Whether the key's object is still there.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// All objects in slot order, which is no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().map(|(index, slot)| {
            let index = u32::try_from(index).expect("`insert` gave out a u32");
            (K::new(index, slot.generation), &slot.tenant)
        })
    }

    /// What is in the slot of this number: a way through all objects that goes on where it stopped
    /// while they come and go.
    pub fn at(&self, slot: u32) -> Option<(K, &T)> {
        let found = self.slots.get(slot as usize)?;
        Some((K::new(slot, found.generation), &found.tenant))
    }

    /// All objects are in slots with lower numbers than this.
    pub fn places(&self) -> u32 {
        u32::try_from(self.slots.capacity()).unwrap_or(u32::MAX)
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl<K: ArenaKey, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_object_and_no_later_tenant_of_the_slot() {
        let mut arena: Arena<QueueKey, &str> = Arena::new();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let expected = arena.next_key();
        let second = arena.insert("second");
        assert_eq!(second, expected);
        assert_eq!(second.index(), first.index(), "the slot is reused");
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.get_mut(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&"second"));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn iteration_names_every_object_with_its_key() {
        let mut arena: Arena<ExchangeKey, u32> = Arena::new();
        let keys: Vec<_> = (0..10).map(|n| arena.insert(n)).collect();
        arena.remove(keys[3]);
        for (_, value) in arena.iter_mut() {
            *value += 100;
        }
        let seen: Vec<_> = arena.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(seen.len(), 9);
        assert!(seen.iter().all(|(key, value)| arena.get(*key) == Some(value)));
        assert!(!seen.iter().any(|(_, value)| *value == 103));
        assert!(!arena.contains(keys[3]));
    }

    #[test]
    fn a_walk_over_the_slots_finds_what_stays_whatever_comes_and_goes() {
        let mut arena: Arena<QueueKey, u32> = Arena::new();
        let keys: Vec<_> = (0..10).map(|n| arena.insert(n)).collect();
        let (mut slot, mut seen) = (0, Vec::new());
        while slot < arena.places() {
            seen.extend(arena.at(slot).map(|(key, _)| key));
            if slot == 4 {
                arena.remove(keys[2]);
                arena.remove(keys[7]);
                for n in 10..50 {
                    arena.insert(n);
                }
            }
            slot += 1;
        }
        let stays = |key: &&QueueKey| **key != keys[7];
        assert!(keys.iter().filter(stays).all(|key| seen.contains(key)));
        assert!(!seen.contains(&keys[7]));
    }
}
