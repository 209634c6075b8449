//! Which messages wait in a queue, and in which order? Owns the 16-byte entries of one queue
//! ([`EntryQueue`]); the pool that all queues share is lent to it. Imports `blocks` and the types
//! of `storage`.
//!
//! ```text
//!        pop <- | head |  block  block  block ...  | tail | <- push
//!                vector      in the scratch file     vector
//! ```
//!
//! A short queue is its head alone, a vector that grows from 8 entries to 512. A
//! queue that outgrows it gets a tail, and each full tail is copied to the scratch file and read
//! back when it becomes the head. So a queue has at most two blocks of anonymous memory plus 32
//! bytes for every 512 entries, and an empty one has no more than 32.
//!
//! If the scratch file cannot grow, blocks stay in memory: a push never fails.

use std::collections::VecDeque;
use std::mem;

pub use super::blocks::ScratchPool;
use super::blocks::{BLOCK_ENTRIES, NOTHING, Paged, Place, TOMBSTONE};
use crate::storage::types::{Entry, MessageId, RecordRef};

/// The entries of one queue, sorted by message id.
///
/// A queue that is given up must be [`clear`](EntryQueue::clear)ed, or its part of the scratch
/// file stays taken until the process ends.
///
/// Invariants:
/// 1. Ids grow from the front to the back; an entry that was removed keeps its id (so that a
///    search works) with `TOMBSTONE` in place of its record until it is cleaned away.
/// 2. The first entry of the head is alive, and the head is empty only if the queue is.
/// 3. A block in the middle has an entry that is alive.
/// 4. `live` is the number of entries that are alive.
#[derive(Debug, Default)]
pub struct EntryQueue {
    head: Block,
    behind: Option<Box<Behind>>,
    live: usize,
}

/// What a long queue has behind its head.
#[derive(Debug, Default)]
struct Behind {
    middle: VecDeque<Paged>,
    /// Nothing is popped from it: `begin` is 0.
    tail: Block,
}

/// Entries in a vector: the head or the tail.
#[derive(Debug, Default)]
struct Block {
    entries: Vec<Entry>,
    /// Those before it were popped.
    begin: u32,
    /// Tombstones at or after `begin`.
    dead: u32,
}

impl EntryQueue {
    /// An empty queue; allocates nothing.
    pub fn new() -> EntryQueue {
        EntryQueue::default()
    }

    /// Adds an entry behind all others. Its id must be above theirs.
    #[inline]
    pub fn push_back(&mut self, entry: Entry, pool: &mut ScratchPool) {
        debug_assert_ne!(entry.at, TOMBSTONE, "no record lies there");
        let block = match &mut self.behind {
            None => &mut self.head,
            Some(behind) => &mut behind.tail,
        };
        let last = block.entries.last();
        assert!(last.is_none_or(|last| last.id < entry.id), "ids grow: {last:?} then {entry:?}");
        self.live += 1;
        if block.entries.len() == block.entries.capacity() {
            self.push_back_full(entry, pool);
        } else {
            block.entries.push(entry);
        }
    }

    /// Takes the first entry.
    #[inline]
    pub fn pop_front(&mut self, pool: &mut ScratchPool) -> Option<Entry> {
        let head = &mut self.head;
        let entry = *head.entries.get(head.begin as usize)?;
        head.begin += 1;
        self.live -= 1;
        if head.dead != 0 || head.begin as usize == head.entries.len() {
            if self.live == 0 && head.entries.capacity() <= KEPT_ENTRIES {
                // A queue whose consumers keep up is here for every message. Nothing is behind
                // a head that small: it has the size of a block before there is a tail.
                debug_assert!(self.behind.is_none());
                head.clear();
            } else {
                self.clean_front(pool);
            }
        }
        Some(entry)
    }

    /// Takes the entry of a message, wherever in the queue it is. `None`: it is not there.
    pub fn remove(&mut self, id: MessageId, pool: &mut ScratchPool) -> Option<Entry> {
        let removed = match self.place_of(id, pool)? {
            Found::Head(index) => {
                let removed = self.head.bury(index);
                self.clean_front(pool);
                self.head.close_gaps_if_mostly_dead();
                removed
            }
            Found::Middle(number, index) => {
                let behind = self.behind.as_mut().expect("it was found there");
                behind.bury(number, index, pool)
            }
            Found::Tail(index) => {
                let behind = self.behind.as_mut().expect("it was found there");
                let removed = behind.tail.bury(index);
                behind.tail.close_gaps_if_mostly_dead();
                removed
            }
        };
        self.live -= 1;
        Some(removed)
    }

    /// Notes that the record of a message lies elsewhere now (compaction moved it). `false`: the
    /// message is not in this queue.
    pub fn relocate(&mut self, id: MessageId, at: RecordRef, pool: &mut ScratchPool) -> bool {
        let Some(found) = self.place_of(id, pool) else {
            return false;
        };
        let entry = Entry { id, at };
        match (found, &mut self.behind) {
            (Found::Middle(number, index), Some(behind)) => {
                pool.set(&mut behind.middle[number], index, entry);
            }
            (Found::Tail(index), Some(behind)) => behind.tail.entries[index] = entry,
            (Found::Head(index), _) => self.head.entries[index] = entry,
            (Found::Middle(..) | Found::Tail(_), None) => unreachable!("found behind the head"),
        }
        true
    }

    /// Empties the queue and gives back all that it holds. Also to be called before a queue is
    /// dropped.
    pub fn clear(&mut self, pool: &mut ScratchPool) {
        pool.give(mem::take(&mut self.head).entries);
        if let Some(behind) = self.behind.take() {
            behind.middle.into_iter().for_each(|paged| pool.free(paged));
            pool.give(behind.tail.entries);
        }
        self.live = 0;
    }

    /// The first entry.
    #[inline]
    pub fn front(&self) -> Option<Entry> {
        self.head.entries.get(self.head.begin as usize).copied()
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The entry of a message, if it is in the queue.
    pub fn find(&self, id: MessageId, pool: &ScratchPool) -> Option<Entry> {
        match (self.place_of(id, pool)?, &self.behind) {
            (Found::Middle(number, index), Some(behind)) => {
                Some(pool.entry(&behind.middle[number], index))
            }
            (Found::Tail(index), Some(behind)) => Some(behind.tail.entries[index]),
            (Found::Head(index), _) => Some(self.head.entries[index]),
            (Found::Middle(..) | Found::Tail(_), None) => unreachable!("found behind the head"),
        }
    }

    /// The first entry of a message later than this one, which need not be here any more.
    pub fn first_after(&self, id: MessageId, pool: &ScratchPool) -> Option<Entry> {
        let mut entries = self.iter(pool);
        if self.head.entries.last().is_some_and(|last| id < last.id) {
            entries.index = self.head.first_after(id);
            return entries.next();
        }
        let behind = self.behind.as_ref()?;
        if behind.tail.entries.first().is_some_and(|first| first.id <= id) {
            entries.block = behind.middle.len() + 1;
            entries.index = behind.tail.first_after(id);
            return entries.next();
        }
        let begun = behind.middle.partition_point(|paged| paged.first <= id);
        entries.block = begun.max(1);
        entries.index = match begun.checked_sub(1) {
            Some(number) => pool.first_after(&behind.middle[number], id),
            None => 0,
        };
        entries.next()
    }

    /// The entry at a position; the front is 0. Takes the same time everywhere unless entries were
    /// removed elsewhere than at the front: then as long as [`iter_from`](EntryQueue::iter_from).
    #[inline]
    pub fn at_position(&self, position: usize, pool: &ScratchPool) -> Option<Entry> {
        let begin = self.head.begin as usize;
        let in_head = self.head.entries.len() - begin;
        let (middle, tail): (usize, &[Entry]) = match &self.behind {
            None => (0, &[]),
            Some(behind) => (behind.middle.len(), &behind.tail.entries),
        };
        // Blocks in the middle were full when they came there. If this is all that there is, they
        // still are, and nothing is dead.
        if in_head + middle * BLOCK_ENTRIES + tail.len() != self.live {
            return self.iter_from(position, pool).next();
        }
        let Some(place) = position.checked_sub(in_head) else {
            return Some(self.head.entries[begin + position]);
        };
        let (number, index) = (place / BLOCK_ENTRIES, place % BLOCK_ENTRIES);
        let paged = self.behind.as_ref().and_then(|b| b.middle.get(number));
        match paged {
            Some(paged) => Some(pool.entry(paged, index)),
            None => tail.get(place - middle * BLOCK_ENTRIES).copied(),
        }
    }

    /// All entries from the front on.
    pub fn iter<'a>(&'a self, pool: &'a ScratchPool) -> Entries<'a> {
        Entries { queue: self, pool, block: 0, index: self.head.begin as usize }
    }

    /// The entries from a position on; the front is 0. Finding the start costs a step per block
    /// before it, and a step per entry within its block if some of that block were removed.
    pub fn iter_from<'a>(&'a self, position: usize, pool: &'a ScratchPool) -> Entries<'a> {
        let mut entries = self.iter(pool);
        let mut left = position;
        while let Some((live, len)) = self.block_size(entries.block) {
            let start = if entries.block == 0 { self.head.begin as usize } else { 0 };
            if left < live {
                entries.index = start;
                if live == len - start {
                    entries.index += left;
                } else if left > 0 {
                    entries.nth(left - 1);
                }
                return entries;
            }
            left -= live;
            entries.block += 1;
            entries.index = 0;
        }
        entries
    }

    /// Anonymous memory that the queue holds besides itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let bytes = |block: &Block| block.entries.capacity() * mem::size_of::<Entry>();
        let behind = self.behind.as_ref().map_or(0, |behind| {
            let places = behind.middle.iter().map(|paged| match &paged.place {
                Place::Scratch(_) => 0,
                Place::Memory(entries) => mem::size_of_val(&**entries),
            });
            mem::size_of::<Behind>()
                + behind.middle.capacity() * mem::size_of::<Paged>()
                + places.sum::<usize>()
                + bytes(&behind.tail)
        });
        bytes(&self.head) + behind
    }

    /// Live entries of a block and its length with those that are not; 0 is the head, then come
    /// the middle and the tail.
    fn block_size(&self, number: usize) -> Option<(usize, usize)> {
        let of = |block: &Block| (block.live(), block.entries.len());
        if number == 0 {
            return Some(of(&self.head));
        }
        let behind = self.behind.as_ref()?;
        match behind.middle.get(number - 1) {
            Some(paged) => Some((paged.live as usize, paged.len as usize)),
            None => (number == behind.middle.len() + 1).then(|| of(&behind.tail)),
        }
    }

    /// Where a live entry is.
    fn place_of(&self, id: MessageId, pool: &ScratchPool) -> Option<Found> {
        if self.head.entries.last().is_some_and(|last| id <= last.id) {
            return self.head.position(id).map(Found::Head);
        }
        let behind = self.behind.as_ref()?;
        if behind.tail.entries.first().is_some_and(|first| id >= first.id) {
            return behind.tail.position(id).map(Found::Tail);
        }
        let after = behind.middle.partition_point(|paged| paged.first <= id);
        let number = after.checked_sub(1)?;
        let index = pool.position(&behind.middle[number], id)?;
        Some(Found::Middle(number, index))
    }

    /// Upholds invariant 2 after the front was popped or removed.
    #[cold]
    #[inline(never)]
    fn clean_front(&mut self, pool: &mut ScratchPool) {
        loop {
            let head = &mut self.head;
            while head.dead != 0 && head.entries[head.begin as usize].at == TOMBSTONE {
                head.begin += 1;
                head.dead -= 1;
            }
            if (head.begin as usize) < head.entries.len() {
                return;
            }
            head.clear();
            let Some(behind) = &mut self.behind else {
                if head.entries.capacity() > KEPT_ENTRIES {
                    pool.give(mem::take(&mut head.entries));
                }
                return;
            };
            if let Some(paged) = behind.middle.pop_front() {
                pool.load(paged, &mut head.entries);
            } else {
                mem::swap(head, &mut behind.tail);
                pool.give(mem::take(&mut behind.tail.entries));
                self.behind = None;
            }
        }
    }

    /// Makes room at the back and pushes.
    #[cold]
    #[inline(never)]
    fn push_back_full(&mut self, entry: Entry, pool: &mut ScratchPool) {
        let block = match &mut self.behind {
            None => &mut self.head,
            Some(behind) => &mut behind.tail,
        };
        let len = block.entries.len();
        if len > 0 && block.live() <= len / 2 {
            block.close_gaps();
        } else if len < BLOCK_ENTRIES {
            let grown = pool.take(len * 2);
            let small = mem::replace(&mut block.entries, grown);
            // Queues that get the same messages would all grow, and page out, with the same one.
            let unused = pool.stagger(len / 2);
            block.entries.resize(unused, NOTHING);
            block.entries.extend_from_slice(&small[block.begin as usize..]);
            block.begin = u32::try_from(unused).expect("less than a block");
            pool.give(small);
        } else if let Some(behind) = &mut self.behind {
            behind.middle.push_back(pool.page_out(&behind.tail.entries));
            behind.tail.clear();
        } else {
            let mut behind = Box::<Behind>::default();
            behind.tail.entries = pool.take(BLOCK_ENTRIES);
            self.behind = Some(behind);
        }
        match &mut self.behind {
            None => self.head.entries.push(entry),
            Some(behind) => behind.tail.entries.push(entry),
        }
    }
}

/// Where an entry was found, with its index there.
enum Found {
    Head(usize),
    Middle(usize, usize),
    Tail(usize),
}

impl Behind {
    /// Removes an entry from a block in the middle, and the block or its neighbour if little is
    /// left of them.
    fn bury(&mut self, number: usize, index: usize, pool: &mut ScratchPool) -> Entry {
        let paged = &mut self.middle[number];
        let removed = pool.entry(paged, index);
        pool.set(paged, index, Entry { id: removed.id, at: TOMBSTONE });
        paged.live -= 1;
        let live = paged.live as usize;
        if live == 0 {
            self.middle.remove(number).into_iter().for_each(|paged| pool.free(paged));
        } else if live < BLOCK_ENTRIES / 4 {
            let fits = |other: Option<&Paged>| {
                other.is_some_and(|other| live + other.live as usize <= BLOCK_ENTRIES / 2)
            };
            if fits(self.middle.get(number + 1)) {
                self.merge(number, pool);
            } else if number > 0 && fits(self.middle.get(number - 1)) {
                self.merge(number - 1, pool);
            }
        }
        removed
    }

    /// Makes one block of `number` and the one after it, without their dead entries.
    fn merge(&mut self, number: usize, pool: &mut ScratchPool) {
        let mut merged = pool.take(BLOCK_ENTRIES);
        for paged in self.middle.drain(number..number + 2) {
            pool.load(paged, &mut merged);
        }
        self.middle.insert(number, pool.page_out(&merged));
        pool.give(merged);
    }
}

impl Block {
    fn live(&self) -> usize {
        self.entries.len() - self.begin as usize - self.dead as usize
    }

    /// Index of a live entry.
    fn position(&self, id: MessageId) -> Option<usize> {
        let begin = self.begin as usize;
        let index =
            begin + self.entries[begin..].binary_search_by_key(&id, |entry| entry.id).ok()?;
        (self.entries[index].at != TOMBSTONE).then_some(index)
    }

    /// Index of the first entry of a message later than this one, alive or not.
    fn first_after(&self, id: MessageId) -> usize {
        let begin = self.begin as usize;
        begin + self.entries[begin..].partition_point(|entry| entry.id <= id)
    }

    fn bury(&mut self, index: usize) -> Entry {
        self.dead += 1;
        let id = self.entries[index].id;
        mem::replace(&mut self.entries[index], Entry { id, at: TOMBSTONE })
    }

    /// Keeps the dead ones fewer than the others, so that what walks over them costs little.
    fn close_gaps_if_mostly_dead(&mut self) {
        if self.dead as usize > self.live() {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        self.entries.drain(..self.begin as usize);
        self.entries.retain(|entry| entry.at != TOMBSTONE);
        self.begin = 0;
        self.dead = 0;
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.begin = 0;
        self.dead = 0;
    }
}

/// The entries of a queue in order: see [`EntryQueue::iter`].
pub struct Entries<'a> {
    queue: &'a EntryQueue,
    pool: &'a ScratchPool,
    /// Numbered as in `block_size`.
    block: usize,
    /// Of the next entry in the block.
    index: usize,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let (_, len) = self.queue.block_size(self.block)?;
            while self.index < len {
                let entry = match (self.block, &self.queue.behind) {
                    (0, _) | (_, None) => self.queue.head.entries[self.index],
                    (number, Some(behind)) => match behind.middle.get(number - 1) {
                        Some(paged) => self.pool.entry(paged, self.index),
                        None => behind.tail.entries[self.index],
                    },
                };
                self.index += 1;
                if entry.at != TOMBSTONE {
                    return Some(entry);
                }
            }
            self.block += 1;
            self.index = 0;
        }
    }
}

/// A queue that becomes empty keeps a vector of this many entries at most: 512 bytes.
const KEPT_ENTRIES: usize = 32;

const _: () = assert!(mem::size_of::<EntryQueue>() <= 48, "there may be 100,000 of them");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::SegmentKey;

    #[allow(clippy::cast_possible_truncation, reason = "masked")]
    fn entry(id: u64) -> Entry {
        let segment = SegmentKey((id >> 20 & 0xff_ffff) as u32);
        let offset = (id & 0xf_ffff) as u32;
        Entry { id: MessageId(id), at: RecordRef { segment, offset } }
    }

    fn pool() -> ScratchPool {
        ScratchPool::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    /// Numbers that look random and are the same each time.
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 11).unwrap() % bound
        }
    }

    /// The slow twin, and both of them side by side.
    struct Pair {
        queue: EntryQueue,
        pool: ScratchPool,
        twin: VecDeque<Entry>,
        next_id: u64,
        random: Seeded,
    }

    impl Pair {
        fn new(seed: u64, pool: ScratchPool) -> Pair {
            let random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Pair { queue: EntryQueue::new(), pool, twin: VecDeque::new(), next_id: 1, random }
        }

        fn push(&mut self, count: usize) {
            for _ in 0..count {
                self.next_id += 1 + self.random.below(3) as u64;
                self.queue.push_back(entry(self.next_id), &mut self.pool);
                self.twin.push_back(entry(self.next_id));
            }
        }

        fn pop(&mut self, count: usize) {
            for _ in 0..count {
                assert_eq!(self.queue.front(), self.twin.front().copied());
                assert_eq!(self.queue.pop_front(&mut self.pool), self.twin.pop_front());
            }
        }

        fn remove_at(&mut self, position: usize) {
            let id = self.twin[position].id;
            assert_eq!(self.queue.find(id, &self.pool), Some(self.twin[position]));
            assert_eq!(self.queue.remove(id, &mut self.pool), self.twin.remove(position));
            assert_eq!(self.queue.remove(id, &mut self.pool), None, "it is gone");
            assert!(!self.queue.relocate(id, entry(1).at, &mut self.pool));
        }

        fn relocate_at(&mut self, position: usize) {
            let entry = &mut self.twin[position];
            entry.at.offset ^= 0x10_0000;
            assert!(self.queue.relocate(entry.id, entry.at, &mut self.pool));
        }

        /// One random operation of a random size.
        fn step(&mut self) {
            let len = self.twin.len();
            match self.random.below(12) {
                0..=2 => {
                    let count = self.random.below(8000);
                    self.push(count);
                }
                3 | 4 => {
                    let count = self.random.below(len.min(3500) + 2);
                    self.pop(count);
                }
                5 if len > 0 => {
                    // Thin out a stretch.
                    let start = self.random.below(len);
                    for _ in 0..self.random.below(3000) {
                        let end = self.twin.len().min(start + 4000);
                        if start < end {
                            let position = start + self.random.below(end - start);
                            self.remove_at(position);
                        }
                    }
                }
                6 if len > 0 => {
                    let start = self.random.below(len);
                    (0..self.random.below(len - start + 1)).for_each(|_| self.remove_at(start));
                }
                7 if self.random.below(8) == 0 => {
                    self.queue.clear(&mut self.pool);
                    self.twin.clear();
                }
                8 if self.random.below(4) == 0 => self.pop(len + 1),
                _ if len > 0 => {
                    let position = self.random.below(len);
                    self.remove_at(position.saturating_sub(1));
                    if position > 0 {
                        self.relocate_at(position - 1);
                    }
                    let absent = MessageId(self.next_id + 1);
                    assert_eq!(self.queue.remove(absent, &mut self.pool), None);
                    assert_eq!(self.queue.remove(MessageId(0), &mut self.pool), None);
                }
                _ => {}
            }
        }

        fn compare(&mut self) {
            assert_eq!(self.queue.len(), self.twin.len());
            assert_eq!(self.queue.is_empty(), self.twin.is_empty());
            assert_eq!(self.queue.front(), self.twin.front().copied());
            assert!(self.queue.iter(&self.pool).eq(self.twin.iter().copied()));
            let position = self.random.below(self.twin.len() + 2);
            assert!(
                self.queue.iter_from(position, &self.pool).take(100).eq(self
                    .twin
                    .iter()
                    .copied()
                    .skip(position)
                    .take(100))
            );
            let here = self.queue.at_position(position, &self.pool);
            assert_eq!(here, self.twin.get(position).copied());
            if self.twin.is_empty() {
                assert!(self.queue.heap_bytes() <= KEPT_ENTRIES * mem::size_of::<Entry>());
            }
        }
    }

    #[test]
    fn it_does_what_a_deque_does() {
        let mut deepest = 0;
        for seed in 1..=4 {
            let mut pair = Pair::new(seed, pool());
            for _ in 0..150 {
                pair.step();
                pair.compare();
                let behind = pair.queue.behind.as_ref();
                deepest = deepest.max(behind.map_or(0, |behind| behind.middle.len()));
            }
        }
        assert!(deepest >= 6, "the middle was hardly used: {deepest} blocks");
    }

    #[test]
    fn it_does_so_without_a_scratch_file_too() {
        for seed in 21..=23 {
            let mut pair = Pair::new(seed, ScratchPool::refusing());
            for _ in 0..150 {
                pair.step();
                pair.compare();
            }
        }
    }

    #[test]
    fn small_steps_on_a_short_queue() {
        let mut pair = Pair::new(40, pool());
        for _ in 0..30_000 {
            match (pair.random.below(7), pair.twin.len()) {
                (0..=2, _) => pair.push(1),
                (3 | 4, _) => pair.pop(1),
                (_, 0) => {}
                (_, len) => {
                    let position = pair.random.below(len);
                    pair.remove_at(position);
                }
            }
            pair.compare();
        }
    }

    #[test]
    fn any_place_of_a_line_that_only_lost_its_front_is_found_at_once() {
        let mut pair = Pair::new(50, pool());
        for (push, pop) in [(5, 2), (3000, 0), (40_000, 1), (0, 2500), (10, 30_000)] {
            pair.push(push);
            pair.pop(pop);
            for position in 0..pair.twin.len() + 3 {
                let here = pair.queue.at_position(position, &pair.pool);
                assert_eq!(here, pair.twin.get(position).copied());
            }
        }
    }

    #[test]
    fn many_queues_share_one_pool() {
        let mut pool = pool();
        let mut queues: Vec<EntryQueue> = (0..20).map(|_| EntryQueue::new()).collect();
        for (turn, id) in (0..200_000).enumerate() {
            queues[turn % 20].push_back(entry(id), &mut pool);
        }
        for (number, queue) in queues.iter().enumerate() {
            let expected = (0..10_000).map(|i| entry(i * 20 + number as u64));
            assert!(queue.iter(&pool).eq(expected));
        }
        queues.iter_mut().for_each(|queue| queue.clear(&mut pool));
        assert!(pool.scratch_bytes() <= 2 << 20, "one free region is kept");
    }

    #[test]
    fn a_million_entries_have_a_few_blocks_of_anonymous_memory() {
        let mut pool = pool();
        let mut queue = EntryQueue::new();
        (0..1_000_000).for_each(|id| queue.push_back(entry(id), &mut pool));
        assert!(queue.heap_bytes() < 2 * 32 * 1024 + 40 * 1024, "{}", queue.heap_bytes());
        assert!(pool.scratch_bytes() >= 15_900_000 && pool.scratch_bytes() < 20 << 20);
        // Nearly all leave from the middle: what is left moves together.
        for id in (0..1_000_000).filter(|id| id % 100 != 0) {
            assert!(queue.remove(MessageId(id), &mut pool).is_some());
        }
        assert_eq!(queue.len(), 10_000);
        let regions = pool.scratch_bytes() >> 21;
        assert!(regions <= 2, "{regions}: one in use and a free one");
        assert!(queue.iter(&pool).eq((0..10_000).map(|id| entry(id * 100))));
        for id in 0..10_000 {
            assert_eq!(queue.pop_front(&mut pool), Some(entry(id * 100)));
        }
        assert_eq!(queue.pop_front(&mut pool), None);
    }

    #[test]
    fn an_empty_queue_gives_its_memory_back_and_a_busy_one_allocates_nothing() {
        let mut pool = pool();
        let mut queue = EntryQueue::new();
        assert_eq!(queue.heap_bytes(), 0);
        queue.push_back(entry(1), &mut pool);
        assert_eq!(queue.heap_bytes(), 128);
        (2..1000).for_each(|id| queue.push_back(entry(id), &mut pool));
        while queue.pop_front(&mut pool).is_some() {}
        assert_eq!(queue.heap_bytes(), 0, "the large vector went back to the pool");
        let spares = pool.spare_vectors();
        for id in (2..100).map(|round| round * 1000) {
            (0..900).for_each(|i| queue.push_back(entry(id + i), &mut pool));
            (0..900).for_each(|i| assert_eq!(queue.pop_front(&mut pool), Some(entry(id + i))));
            assert_eq!(pool.spare_vectors(), spares, "the same vectors go round");
        }
    }

    #[test]
    #[should_panic(expected = "ids grow")]
    fn an_id_that_does_not_grow_is_a_bug() {
        let (mut queue, mut pool) = (EntryQueue::new(), pool());
        queue.push_back(entry(5), &mut pool);
        queue.push_back(entry(5), &mut pool);
    }
}
