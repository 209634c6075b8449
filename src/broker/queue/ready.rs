//! Which messages of a queue wait, and in what order do they leave?
//!
//! Owns the queue's entries, nothing else: bodies stay in the store. A lane is one priority;
//! a queue without priorities has a single lane. Within a lane messages leave in the order
//! of their ids, which is the order in which they were published; a message that comes back
//! stands where it stood before.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crate::storage::{Entry, EntryQueue, MessageId, ScratchPool};

/// The ready messages of one queue.
///
/// Invariant: in a lane every id of `returned` is smaller than every id of `waiting`, since
/// only what was taken from the front can come back.
#[derive(Debug)]
pub struct Ready {
    lanes: Box<[Lane]>,
    count: usize,
}

/// How far a walk over a line has come.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// It sees no message of this id, nor any that is later.
    before: MessageId,
    /// The priority that it is at.
    lane: Option<u8>,
    /// The last message that it saw there.
    last: Option<MessageId>,
}

impl Place {
    /// Before everything; the walk passes over messages from this id on.
    pub fn first(before: MessageId) -> Self {
        Self { before, lane: None, last: None }
    }
}

#[derive(Debug, Default)]
struct Lane {
    returned: BTreeMap<MessageId, Entry>,
    waiting: EntryQueue,
    /// The highest id that was ever pushed.
    last: Option<MessageId>,
}

impl Ready {
    /// An empty line for a queue whose highest priority is `priority_max` (0 = none).
    pub fn new(priority_max: u8) -> Self {
        let lanes = (0..=priority_max).map(|_| Lane::default()).collect();
        Self { lanes, count: 0 }
    }

    /// A line without priorities out of entries that are in order.
    pub fn from_entries(waiting: EntryQueue) -> Self {
        let count = waiting.len();
        let lane = Lane { waiting, ..Lane::default() };
        let lanes = Box::new([lane]);
        Self { lanes, count }
    }

    /// Adds a new message behind all of its priority; above the maximum counts as the maximum.
    pub fn push(&mut self, entry: Entry, priority: u8, scratch: &mut ScratchPool) {
        let lane = self.lane_of(priority);
        self.lanes[lane].push(entry, scratch);
        self.count += 1;
    }

    /// Takes the next message: the oldest of the highest priority.
    #[inline]
    pub fn pop(&mut self, scratch: &mut ScratchPool) -> Option<Entry> {
        if self.count == 0 {
            return None;
        }
        let entry = self.lanes.iter_mut().rev().find_map(|lane| lane.pop(scratch))?;
        self.count -= 1;
        Some(entry)
    }

    /// Takes the message that a length limit drops first: the oldest of the lowest priority.
    pub fn pop_lowest(&mut self, scratch: &mut ScratchPool) -> Option<Entry> {
        let entry = self.lanes.iter_mut().find_map(|lane| lane.pop(scratch))?;
        self.count -= 1;
        Some(entry)
    }

    /// The message that [`Ready::pop`] would take.
    pub fn front(&self) -> Option<Entry> {
        self.lanes.iter().rev().find_map(Lane::front)
    }

    /// Puts a message that was taken back to where it was.
    pub fn put_back(&mut self, entry: Entry, priority: u8) {
        let lane = self.lane_of(priority);
        let before = self.lanes[lane].returned.insert(entry.id, entry);
        assert!(before.is_none(), "a message came back twice");
        self.count += 1;
    }

    /// Adds a message found at start-up; ids may come out of order.
    pub fn restore(&mut self, entry: Entry, priority: u8, scratch: &mut ScratchPool) {
        let lane = self.lane_of(priority);
        self.lanes[lane].restore(entry, scratch);
        self.count += 1;
    }

    /// Takes one message out of the middle; `None` when it is not here.
    pub fn remove(
        &mut self,
        id: MessageId,
        priority: u8,
        scratch: &mut ScratchPool,
    ) -> Option<Entry> {
        let lane = self.lane_of(priority);
        let lane = &mut self.lanes[lane];
        let entry = lane.returned.remove(&id).or_else(|| lane.waiting.remove(id, scratch))?;
        self.count -= 1;
        Some(entry)
    }

    /// The record of a message lies elsewhere now; `false` when the message is not here.
    pub fn relocate(&mut self, entry: Entry, scratch: &mut ScratchPool) -> bool {
        self.lanes.iter_mut().any(|lane| lane.relocate(entry, scratch))
    }

    /// Whether a message is ready.
    pub fn contains(&self, id: MessageId, priority: u8, scratch: &ScratchPool) -> bool {
        let lane = &self.lanes[self.lane_of(priority)];
        lane.returned.contains_key(&id) || lane.waiting.find(id, scratch).is_some()
    }

    /// A message by its id, and the lane that it is in.
    pub fn find(&self, id: MessageId, scratch: &ScratchPool) -> Option<(Entry, u8)> {
        let mut lanes = (0..=self.priority_max()).zip(&self.lanes);
        lanes.find_map(|(number, lane)| {
            let entry = lane.returned.get(&id).copied();
            Some((entry.or_else(|| lane.waiting.find(id, scratch))?, number))
        })
    }

    /// The next message behind this place in the order in which they would be taken, and the lane
    /// that it is in; the place moves there. Messages may come and go in between.
    pub fn next_behind(&self, place: &mut Place, scratch: &ScratchPool) -> Option<(Entry, u8)> {
        loop {
            let number = place.lane.unwrap_or(self.priority_max()).min(self.priority_max());
            let lane = self.lanes.get(usize::from(number))?;
            let next = lane.next_behind(place.last, scratch);
            if let Some(entry) = next.filter(|entry| entry.id < place.before) {
                *place = Place { lane: Some(number), last: Some(entry.id), ..*place };
                return Some((entry, number));
            }
            if number == 0 {
                return None;
            }
            *place = Place { lane: Some(number - 1), last: None, ..*place };
        }
    }

    /// The number of ready messages.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of lanes: one per priority.
    pub fn lanes(&self) -> u8 {
        self.priority_max().saturating_add(1)
    }

    /// Messages from a position on, in the order in which they would be taken; and how many others
    /// had to be passed for that.
    pub fn from_position(
        &self,
        position: usize,
        count: usize,
        scratch: &ScratchPool,
    ) -> (Vec<Entry>, usize) {
        let (mut entries, mut left, mut passed) = (Vec::new(), position, 0);
        for lane in self.lanes.iter().rev() {
            let returned = lane.returned.len();
            if left < returned {
                let behind = lane.returned.values().skip(left);
                entries.extend(behind.take(count - entries.len()));
                passed += left;
            }
            left = left.saturating_sub(returned);
            if left < lane.waiting.len() && entries.len() < count {
                let behind = lane.waiting.iter_from(left, scratch);
                entries.extend(behind.take(count - entries.len()));
            }
            left = left.saturating_sub(lane.waiting.len());
            if entries.len() == count {
                break;
            }
        }
        (entries, passed)
    }

    /// The oldest message of one priority.
    pub fn front_of(&self, lane: u8) -> Option<Entry> {
        self.lanes.get(usize::from(lane))?.front()
    }

    /// The highest priority of this line, 0 when it has none.
    pub fn priority_max(&self) -> u8 {
        u8::try_from(self.lanes.len() - 1).expect("made of at most 256 lanes")
    }

    fn lane_of(&self, priority: u8) -> usize {
        usize::from(priority).min(self.lanes.len() - 1)
    }
}

impl Lane {
    #[inline]
    fn push(&mut self, entry: Entry, scratch: &mut ScratchPool) {
        self.last = Some(entry.id);
        self.waiting.push_back(entry, scratch);
    }

    #[inline]
    fn pop(&mut self, scratch: &mut ScratchPool) -> Option<Entry> {
        if let Some((_, entry)) = self.returned.pop_first() {
            return Some(entry);
        }
        self.waiting.pop_front(scratch)
    }

    fn relocate(&mut self, entry: Entry, scratch: &mut ScratchPool) -> bool {
        match self.returned.get_mut(&entry.id) {
            Some(returned) => {
                *returned = entry;
                true
            }
            None => self.waiting.relocate(entry.id, entry.at, scratch),
        }
    }

    fn next_behind(&self, last: Option<MessageId>, scratch: &ScratchPool) -> Option<Entry> {
        let Some(last) = last else {
            return self.front();
        };
        let mut returned = self.returned.range((Excluded(last), Unbounded));
        let next = returned.next().map(|(_, entry)| *entry);
        next.or_else(|| self.waiting.first_after(last, scratch))
    }

    fn front(&self) -> Option<Entry> {
        self.returned.values().next().copied().or_else(|| self.waiting.front())
    }

    /// Keeps the invariant of [`Ready`] when ids arrive out of order: everything that waits
    /// below the late one moves over to `returned` first.
    fn restore(&mut self, entry: Entry, scratch: &mut ScratchPool) {
        if self.last.is_none_or(|last| last < entry.id) {
            return self.push(entry, scratch);
        }
        while self.waiting.front().is_some_and(|front| front.id < entry.id) {
            if let Some(front) = self.waiting.pop_front(scratch) {
                self.returned.insert(front.id, front);
            }
        }
        self.returned.insert(entry.id, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Table;
    use crate::broker::testing;

    /// A position means the same whether messages came back or never left, and in which priority.
    #[test]
    fn positions_are_counted_in_the_order_in_which_messages_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = testing::open(directory.path());
        let queue = testing::declare(&mut broker, "q", Table::EMPTY);
        testing::publish(&mut broker, queue, 12);
        let (queue, scratch) = broker.queues_mut().get_with_scratch(queue).unwrap();
        let mut line = Ready::new(2);
        for priority in [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2] {
            line.push(queue.ready.pop(scratch).unwrap(), priority, scratch);
        }
        let taken: Vec<Entry> = (0..3).map(|_| line.pop(scratch).unwrap()).collect();
        taken.iter().for_each(|&entry| line.put_back(entry, 2));
        let from = |position, count| {
            line.from_position(position, count, scratch).0.iter().map(|entry| entry.id).collect()
        };
        let all: Vec<MessageId> = from(0, 100);
        assert_eq!(all.len(), 12);
        for position in 0..14 {
            for count in [0, 1, 5, 20] {
                let expected: Vec<_> = all.iter().skip(position).take(count).copied().collect();
                let found: Vec<MessageId> = from(position, count);
                assert_eq!(found, expected, "{count} from {position}");
            }
        }
        let popped: Vec<MessageId> =
            std::iter::from_fn(|| line.pop(scratch)).map(|entry| entry.id).collect();
        assert_eq!(popped, all);
    }

    /// Nothing is seen twice, and nothing is passed over that was there all the time.
    #[test]
    fn a_walk_sees_what_stays_once_whatever_comes_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = testing::open(directory.path());
        let queue = testing::declare(&mut broker, "q", Table::EMPTY);
        testing::publish(&mut broker, queue, 1);
        let (queue, scratch) = broker.queues_mut().get_with_scratch(queue).unwrap();
        let at = queue.ready.pop(scratch).unwrap().at;
        let mut random = testing::Seeded::new(3);
        let mut line = Ready::new(2);
        let mut all = Vec::new();
        // Blocks of each kind: at the front, in the middle and at the back.
        for id in (0..21_000).map(|n| MessageId(1 + 3 * n)) {
            let entry = Entry { id, at };
            let priority = u8::try_from(random.below(3)).unwrap();
            line.push(entry, priority, scratch);
            all.push((priority, entry.id));
        }
        all.sort_unstable_by_key(|&(priority, id)| (std::cmp::Reverse(priority), id));
        // Some were taken and come back.
        let taken: Vec<Entry> = (0..50).map(|_| line.pop(scratch).unwrap()).collect();
        taken.iter().for_each(|&entry| line.put_back(entry, 2));
        for (priority, id) in &all {
            assert_eq!(
                line.find(*id, scratch).map(|(entry, lane)| (lane, entry.id)),
                Some((*priority, *id))
            );
        }
        let before = all.iter().map(|(_, id)| *id).max().unwrap();
        all.retain(|(_, id)| *id < before);
        let (mut place, mut seen, mut removed) = (Place::first(before), Vec::new(), Vec::new());
        while let Some((entry, lane)) = line.next_behind(&mut place, scratch) {
            seen.push((lane, entry.id));
            // What it saw goes, and some that it did not see, and others that it passed.
            let (priority, id) = *random.pick(&all);
            for (id, lane) in [(entry.id, lane), (id, priority)] {
                if random.below(2) == 0 && line.remove(id, lane, scratch).is_some() {
                    removed.push(id);
                }
            }
        }
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|(_, id)| *id < before), "that one came too late");
        let stays: Vec<_> = all.iter().filter(|(_, id)| !removed.contains(id)).collect();
        assert!(stays.iter().all(|one| seen.contains(one)));
        let mut sorted = seen.clone();
        sorted.sort_unstable_by_key(|&(priority, id)| (std::cmp::Reverse(priority), id));
        assert_eq!(sorted, seen, "in the order in which they are taken");
        assert_eq!(line.find(MessageId(u64::MAX), scratch), None);
    }
}
