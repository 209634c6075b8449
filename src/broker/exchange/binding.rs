//! What is bound to what: every binding of a vhost, found by identity, by source and by
//! destination.
//!
//! The table is the truth about bindings (declaring, listing, deleting); the matchers
//! ([`crate::broker::exchange::matcher`]) hold the same bindings in the shape that routing needs.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::quality::RandomState;
use slab::Slab;

use crate::amqp::{Name, Table, TableBuf};
use crate::broker::hashing::IdBuild;
use crate::broker::key::{ExchangeKey, QueueKey};

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// To a queue (queue.bind).
    Queue(QueueKey),
    /// To another exchange (exchange.bind).
    Exchange(ExchangeKey),
}

/// One binding; two are the same when all four fields are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: ExchangeKey,
    /// Where they go to.
    pub destination: Destination,
    /// The binding key, at most 255 bytes.
    pub key: Name,
    /// The arguments as raw table bytes, their fields sorted by name.
    pub arguments: Box<[u8]>,
}

impl Binding {
    /// A binding with its arguments brought into order, since their order is no part of a
    /// binding's identity.
    pub fn new(
        source: ExchangeKey,
        destination: Destination,
        key: Name,
        arguments: Table<'_>,
    ) -> Self {
        Self { source, destination, key, arguments: sorted_arguments(arguments) }
    }

    /// The arguments, readable.
    pub fn table(&self) -> Table<'_> {
        Table::new(&self.arguments).expect("they were written from a valid table")
    }
}

/// All bindings of a vhost.
///
/// 1. No two entries are the same binding.
/// 2. Every entry is in exactly three lists: all, its source's, its destination's; each list is in
///    order of insertion, and a source or destination has a list only while it is not empty.
/// 3. Every entry is in the chain of its hash, which begins in `by_hash`.
#[derive(Debug, Default)]
pub struct BindingTable {
    entries: Slab<Entry>,
    by_hash: HashMap<u64, EntryId, IdBuild>,
    by_source: HashMap<ExchangeKey, List, IdBuild>,
    by_destination: HashMap<Destination, List, IdBuild>,
    all: List,
    hasher: RandomState,
}

impl BindingTable {
    /// A table without bindings; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a binding and returns it; `None` when it is there already.
    ///
    /// # Panics
    /// At 2^32 - 1 bindings, which no memory holds.
    pub fn insert(&mut self, binding: Binding) -> Option<&Binding> {
        let hash = self.hasher.hash_one(&binding);
        if self.find(hash, &binding).is_some() {
            return None;
        }
        let (source, destination) = (binding.source, binding.destination);
        let next_of_hash = self.by_hash.get(&hash).copied();
        let id = EntryId::of(self.entries.insert(Entry {
            binding,
            of_source: Link::default(),
            of_destination: Link::default(),
            of_all: Link::default(),
            next_of_hash,
        }));
        self.by_hash.insert(hash, id);
        let entries = &mut self.entries;
        self.all.append(entries, id, Chain::All);
        self.by_source.entry(source).or_default().append(entries, id, Chain::Source);
        self.by_destination.entry(destination).or_default().append(entries, id, Chain::Destination);
        Some(&self.entries[id.index()].binding)
    }

    /// Removes a binding; `false` when it was not there.
    pub fn remove(&mut self, binding: &Binding) -> bool {
        let hash = self.hasher.hash_one(binding);
        match self.find(hash, binding) {
            Some(id) => {
                self.remove_entry(id);
                true
            }
            None => false,
        }
    }

    /// Takes the oldest binding in which the exchange is the source.
    pub fn pop_source(&mut self, source: ExchangeKey) -> Option<Binding> {
        let first = self.by_source.get(&source)?.first?;
        Some(self.remove_entry(first))
    }

    /// Takes the oldest binding that leads to the queue or exchange.
    pub fn pop_destination(&mut self, destination: Destination) -> Option<Binding> {
        let first = self.by_destination.get(&destination)?.first?;
        Some(self.remove_entry(first))
    }

    /// Whether the binding is there.
    pub fn contains(&self, binding: &Binding) -> bool {
        self.find(self.hasher.hash_one(binding), binding).is_some()
    }

    /// The binding in the place of this number, for a walk over all of them in several turns.
    pub fn at(&self, place: u32) -> Option<&Binding> {
        self.entries.get(place as usize).map(|entry| &entry.binding)
    }

    /// All bindings are in places with lower numbers than this.
    pub fn places(&self) -> u32 {
        u32::try_from(self.entries.capacity()).unwrap_or(u32::MAX)
    }

    /// The places of those that lead from an exchange, or to a queue or exchange, or from the one
    /// to the other; `None` when more would have to be looked at than this.
    pub fn places_of(
        &self,
        source: Option<ExchangeKey>,
        destination: Option<Destination>,
        looked_at_max: usize,
    ) -> Option<Vec<u32>> {
        let of_source = |source| self.by_source.get(&source).copied().unwrap_or_default();
        let of_destination = |to| self.by_destination.get(&to).copied().unwrap_or_default();
        let lists = [
            source.map(|source| (of_source(source), Chain::Source)),
            destination.map(|to| (of_destination(to), Chain::Destination)),
        ];
        let (list, chain) = lists.into_iter().flatten().min_by_key(|(list, _)| list.count)?;
        if list.count as usize > looked_at_max {
            return None;
        }
        let mut places = Vec::new();
        let mut next = list.first;
        while let Some(id) = next {
            let entry = &self.entries[id.index()];
            next = entry.link(chain).next;
            let Binding { source: from, destination: to, .. } = entry.binding;
            if source.is_none_or(|source| source == from)
                && destination.is_none_or(|destination| destination == to)
            {
                places.push(u32::try_from(id.index()).expect("made of a u32"));
            }
        }
        Some(places)
    }

    /// All bindings in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.walk(self.all.first, Chain::All)
    }

    /// The bindings in which the exchange is the source, in order of insertion.
    pub fn from_source(&self, source: ExchangeKey) -> impl Iterator<Item = &Binding> {
        let first = self.by_source.get(&source).and_then(|list| list.first);
        self.walk(first, Chain::Source)
    }

    /// The bindings that lead to the queue or exchange, in order of insertion.
    pub fn to_destination(&self, destination: Destination) -> impl Iterator<Item = &Binding> {
        let first = self.by_destination.get(&destination).and_then(|list| list.first);
        self.walk(first, Chain::Destination)
    }

    /// The bindings between the two, in order of insertion; walks the shorter of the two lists.
    pub fn between(
        &self,
        source: ExchangeKey,
        destination: Destination,
    ) -> impl Iterator<Item = &Binding> {
        let from = self.by_source.get(&source).copied().unwrap_or_default();
        let to = self.by_destination.get(&destination).copied().unwrap_or_default();
        let (first, chain) = if from.count <= to.count {
            (from.first, Chain::Source)
        } else {
            (to.first, Chain::Destination)
        };
        self.walk(first, chain)
            .filter(move |binding| binding.source == source && binding.destination == destination)
    }

    /// The number of bindings in which the exchange is the source.
    pub fn count_from(&self, source: ExchangeKey) -> usize {
        self.by_source.get(&source).map_or(0, |list| list.count as usize)
    }

    /// The number of bindings that lead to the queue or exchange.
    pub fn count_to(&self, destination: Destination) -> usize {
        self.by_destination.get(&destination).map_or(0, |list| list.count as usize)
    }

    /// The number of bindings.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove_entry(&mut self, id: EntryId) -> Binding {
        self.leave_hash_chain(id);
        let entries = &mut self.entries;
        let Binding { source, destination, .. } = entries[id.index()].binding;
        self.all.unlink(entries, id, Chain::All);
        if let MapEntry::Occupied(mut list) = self.by_source.entry(source) {
            list.get_mut().unlink(entries, id, Chain::Source);
            if list.get().count == 0 {
                list.remove();
            }
        }
        if let MapEntry::Occupied(mut list) = self.by_destination.entry(destination) {
            list.get_mut().unlink(entries, id, Chain::Destination);
            if list.get().count == 0 {
                list.remove();
            }
        }
        entries.remove(id.index()).binding
    }

    fn leave_hash_chain(&mut self, id: EntryId) {
        let entry = &self.entries[id.index()];
        let hash = self.hasher.hash_one(&entry.binding);
        let after = entry.next_of_hash;
        let mut current = *self.by_hash.get(&hash).expect("invariant 3");
        if current == id {
            match after {
                Some(after) => self.by_hash.insert(hash, after),
                None => self.by_hash.remove(&hash),
            };
            return;
        }
        loop {
            let entry = &mut self.entries[current.index()];
            let next = entry.next_of_hash.expect("invariant 3");
            if next == id {
                entry.next_of_hash = after;
                return;
            }
            current = next;
        }
    }

    fn find(&self, hash: u64, binding: &Binding) -> Option<EntryId> {
        let mut next = self.by_hash.get(&hash).copied();
        while let Some(id) = next {
            let entry = &self.entries[id.index()];
            if entry.binding == *binding {
                return Some(id);
            }
            next = entry.next_of_hash;
        }
        None
    }

    fn walk(&self, first: Option<EntryId>, chain: Chain) -> impl Iterator<Item = &Binding> {
        let mut next = first;
        std::iter::from_fn(move || {
            let entry = &self.entries[next?.index()];
            next = entry.link(chain).next;
            Some(&entry.binding)
        })
    }
}

/// The arguments with their fields sorted by name, fields of the same name in their order.
pub fn sorted_arguments(arguments: Table<'_>) -> Box<[u8]> {
    let mut fields: Vec<_> = arguments.iter().collect();
    if fields.is_sorted_by_key(|(name, _)| *name) {
        return arguments.as_bytes().into();
    }
    fields.sort_by_key(|(name, _)| *name);
    let mut sorted = TableBuf::new();
    for (name, value) in fields {
        sorted.put(name, value);
    }
    sorted.table().as_bytes().into()
}

/// A binding with its places in the lists: 88 bytes.
#[derive(Debug)]
struct Entry {
    binding: Binding,
    of_source: Link,
    of_destination: Link,
    of_all: Link,
    next_of_hash: Option<EntryId>,
}

impl Entry {
    fn link_mut(&mut self, chain: Chain) -> &mut Link {
        match chain {
            Chain::Source => &mut self.of_source,
            Chain::Destination => &mut self.of_destination,
            Chain::All => &mut self.of_all,
        }
    }

    fn link(&self, chain: Chain) -> Link {
        match chain {
            Chain::Source => self.of_source,
            Chain::Destination => self.of_destination,
            Chain::All => self.of_all,
        }
    }
}

/// The index of an entry, plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntryId(NonZeroU32);

impl EntryId {
    fn of(index: usize) -> Self {
        let number = u32::try_from(index + 1).expect("fewer than 2^32 bindings fit into memory");
        Self(NonZeroU32::new(number).expect("one was added"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Which of its three lists of an entry is meant.
#[derive(Clone, Copy, Debug)]
enum Chain {
    Source,
    Destination,
    All,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    previous: Option<EntryId>,
    next: Option<EntryId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: Option<EntryId>,
    last: Option<EntryId>,
    count: u32,
}

impl List {
    fn append(&mut self, entries: &mut Slab<Entry>, id: EntryId, chain: Chain) {
        *entries[id.index()].link_mut(chain) = Link { previous: self.last, next: None };
        match self.last {
            Some(last) => entries[last.index()].link_mut(chain).next = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
        self.count += 1;
    }

    fn unlink(&mut self, entries: &mut Slab<Entry>, id: EntryId, chain: Chain) {
        let Link { previous, next } = entries[id.index()].link(chain);
        match previous {
            Some(previous) => entries[previous.index()].link_mut(chain).next = next,
            None => self.first = next,
        }
        match next {
            Some(next) => entries[next.index()].link_mut(chain).previous = previous,
            None => self.last = previous,
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Value;
    use crate::broker::testing::{Seeded, exchange, queue};

    fn binding(source: u32, destination: u32, key: &str) -> Binding {
        Binding::new(exchange(source), queue(destination), Name::from(key), Table::EMPTY)
    }

    fn listed<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Vec<Binding> {
        bindings.cloned().collect()
    }

    #[test]
    fn a_binding_is_the_same_when_all_four_fields_are() {
        let mut table = BindingTable::new();
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"a", 1);
        let with = |arguments| Binding::new(exchange(1), queue(1), Name::from("k"), arguments);
        assert!(table.insert(with(Table::EMPTY)).is_some());
        assert!(table.insert(with(Table::EMPTY)).is_none());
        assert!(table.insert(with(arguments.table())).is_some());
        assert!(table.insert(binding(1, 1, "other")).is_some());
        assert!(table.insert(binding(2, 1, "k")).is_some());
        assert!(table.insert(binding(1, 2, "k")).is_some());
        let to_exchange = Destination::Exchange(exchange(1));
        let exchanges = Binding::new(exchange(1), to_exchange, Name::from("k"), Table::EMPTY);
        assert!(table.insert(exchanges.clone()).is_some());
        assert_eq!(table.len(), 6);
        assert!(table.remove(&exchanges));
        assert!(!table.remove(&exchanges));
        assert!(table.contains(&with(arguments.table())));
        assert_eq!(with(arguments.table()).table().find(b"a"), Some(Value::I64(1)));
    }

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        let mut one = TableBuf::new();
        one.put_i64(b"b", 1);
        one.put_i64(b"a", 2);
        let mut other = TableBuf::new();
        other.put_i64(b"a", 2);
        other.put_i64(b"b", 1);
        assert_eq!(sorted_arguments(one.table()), sorted_arguments(other.table()));
        assert_eq!(&*sorted_arguments(other.table()), other.table().as_bytes());
    }

    #[test]
    fn the_table_does_what_a_plain_list_does() {
        let mut random = Seeded::new(11);
        for _ in 0..60 {
            let mut table = BindingTable::new();
            let mut twin: Vec<Binding> = Vec::new();
            for _ in 0..400 {
                let number = |random: &mut Seeded| u32::try_from(random.below(6)).unwrap();
                let (from, to) = (number(&mut random), number(&mut random));
                let one = binding(from, to, ["a", "b", "c"][random.below(3)]);
                match random.below(20) {
                    0 => {
                        let removed =
                            std::iter::from_fn(|| table.pop_source(one.source)).collect::<Vec<_>>();
                        assert_eq!(removed, extract(&mut twin, |b| b.source == one.source));
                    }
                    1 => {
                        let removed = std::iter::from_fn(|| table.pop_destination(one.destination))
                            .collect::<Vec<_>>();
                        let expected = extract(&mut twin, |b| b.destination == one.destination);
                        assert_eq!(removed, expected);
                    }
                    2..8 => {
                        let expected = !extract(&mut twin, |b| *b == one).is_empty();
                        assert_eq!(table.remove(&one), expected);
                    }
                    _ => {
                        let is_new = !twin.contains(&one);
                        assert_eq!(table.insert(one.clone()).is_some(), is_new);
                        if is_new {
                            twin.push(one.clone());
                        }
                    }
                }
                compare(&table, &twin, &one);
            }
        }
    }

    fn extract(twin: &mut Vec<Binding>, which: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        twin.extract_if(.., |binding| which(binding)).collect()
    }

    fn compare(table: &BindingTable, twin: &[Binding], one: &Binding) {
        let from: Vec<_> = twin.iter().filter(|b| b.source == one.source).cloned().collect();
        let to: Vec<_> =
            twin.iter().filter(|b| b.destination == one.destination).cloned().collect();
        let both: Vec<_> = to.iter().filter(|b| b.source == one.source).cloned().collect();
        assert_eq!(listed(table.iter()), twin);
        assert_eq!(table.count_from(one.source), from.len());
        assert_eq!(table.count_to(one.destination), to.len());
        assert_eq!(listed(table.from_source(one.source)), from);
        assert_eq!(listed(table.to_destination(one.destination)), to);
        assert_eq!(listed(table.between(one.source, one.destination)), both);
        assert_eq!(table.len(), twin.len());
        assert_eq!(table.contains(one), twin.contains(one));
    }

    #[test]
    fn a_table_that_was_emptied_keeps_no_lists() {
        let mut table = BindingTable::new();
        for n in 0..1000 {
            assert!(table.insert(binding(n % 10, n, "key")).is_some());
        }
        for n in 0..10 {
            assert_eq!(std::iter::from_fn(|| table.pop_source(exchange(n))).count(), 100);
        }
        assert!(table.is_empty());
        assert!(table.by_hash.is_empty());
        assert!(table.by_source.is_empty());
        assert!(table.by_destination.is_empty());
    }

    #[test]
    fn an_entry_takes_88_bytes() {
        // With two words for the key's allocation and about 60 bytes in the maps, a binding stays
        // well below 300 bytes at a million.
        assert_eq!(size_of::<Entry>(), 88);
        assert_eq!(size_of::<Destination>(), 12);
    }

    /// Places find what the walks find, whatever came and went before; and a list that is too long
    /// is not looked through.
    #[test]
    fn places_are_those_of_the_bindings_with_these_ends() {
        let mut table = BindingTable::new();
        let mut random = Seeded::new(3);
        for number in 0..500 {
            let (from, to) = (random.below(4), random.below(4));
            let [from, to] = [from, to].map(|index| u32::try_from(index).unwrap());
            let one = binding(from, to, &(number % 40).to_string());
            if random.below(3) == 0 {
                table.remove(&one);
            } else {
                table.insert(one);
            }
        }
        let all: Vec<_> = (0..table.places()).filter_map(|place| table.at(place)).collect();
        assert_eq!(all.len(), table.len());
        let found = |source, destination| -> Vec<Binding> {
            let places = table.places_of(source, destination, usize::MAX).unwrap();
            listed(places.into_iter().map(|place| table.at(place).unwrap()))
        };
        for index in 0..5 {
            let (from, to) = (exchange(index), queue(index));
            assert_eq!(found(Some(from), None), listed(table.from_source(from)));
            assert_eq!(found(None, Some(to)), listed(table.to_destination(to)));
            assert_eq!(found(Some(from), Some(queue(1))), listed(table.between(from, queue(1))));
            let count = table.count_from(from);
            assert_eq!(
                table.places_of(Some(from), None, count).map(|found| found.len()),
                Some(count)
            );
            let is_too_long = count > 0;
            let less = count.saturating_sub(1);
            assert_eq!(table.places_of(Some(from), None, less).is_none(), is_too_long);
        }
        assert_eq!(table.places_of(None, None, usize::MAX), None);
    }
}
