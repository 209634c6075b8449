//! Which deliveries of a channel are not settled yet?

use std::collections::VecDeque;

use crate::broker::{Deliveries, Unsettled};

/// The deliveries of one channel that its client has not settled, sorted by delivery tag.
///
/// One that is settled out of order leaves a hole, so that at most one part of the list has to
/// move: a million are settled in any order in about the time that it takes in theirs.
///
/// Invariants:
/// 1. Tags grow from place to place and from part to part.
/// 2. Each part has a delivery, and the first one begins with one.
#[derive(Debug, Default)]
pub struct Unacked {
    last_tag: u64,
    /// How many of the tags were of deliveries that need no acknowledgement.
    settled: u64,
    parts: VecDeque<Part>,
    /// Memory of a part that is gone, for the next one.
    spare: Deliveries,
}

/// Some deliveries that follow each other.
#[derive(Debug, Default)]
struct Part {
    places: Deliveries,
    /// How many places are no holes.
    count: usize,
}

/// So many places a part has at most.
const PART_MAX: usize = 512;

/// So many holes a part may have, however few deliveries.
const HOLES_MAX: usize = 8;

impl Unacked {
    /// The tag of a delivery that needs no acknowledgement.
    #[inline]
    pub fn tag_settled(&mut self) -> u64 {
        self.last_tag += 1;
        self.settled += 1;
        self.last_tag
    }

    /// How many deliveries were kept until they are settled, and how many needed no
    /// acknowledgement.
    pub fn tags_given(&self) -> (u64, u64) {
        (self.last_tag - self.settled, self.settled)
    }

    /// Keeps a delivery; its tag.
    #[inline]
    pub fn keep(&mut self, unsettled: Unsettled) -> u64 {
        self.last_tag += 1;
        self.push(self.last_tag, unsettled);
        self.last_tag
    }

    /// The oldest delivery if it has this tag.
    #[inline]
    pub fn first_if(&self, tag: u64) -> Option<&Unsettled> {
        let (first, unsettled) = self.parts.front()?.places.front()?;
        unsettled.as_ref().filter(|_| *first == tag)
    }

    /// Drops the oldest delivery.
    #[inline]
    pub fn drop_first(&mut self) {
        if let Some(part) = self.parts.front_mut() {
            part.places.pop_front();
            part.count -= 1;
            if !matches!(part.places.front(), Some((_, Some(_)))) {
                self.tidy_front();
            }
        }
    }

    /// Takes the delivery with this tag; `None` when it is unknown or settled.
    pub fn take(&mut self, tag: u64) -> Option<Unsettled> {
        if self.first_tag() == Some(tag) {
            return self.take_first().map(|(_, taken)| taken);
        }
        let n = self.part_of(tag)?;
        let is_last = n + 1 == self.parts.len();
        let part = &mut self.parts[n];
        let taken = part.take(tag)?;
        if part.count == 0 {
            let gone = self.parts.remove(n);
            self.keep_memory(gone);
        } else if part.places.len() - part.count > part.count.max(HOLES_MAX) {
            part.places.retain(|(_, unsettled)| unsettled.is_some());
            if !is_last {
                part.places.shrink_to_fit();
            }
        }
        Some(taken)
    }

    /// Whether `tag` with `multiple` means something: it is that of a delivery, or 0, which means
    /// all so far.
    pub fn knows(&self, tag: u64) -> bool {
        tag == 0 || self.part_of(tag).is_some_and(|n| self.parts[n].knows(tag))
    }

    /// Takes the oldest delivery with its tag.
    #[inline]
    pub fn take_first(&mut self) -> Option<(u64, Unsettled)> {
        let (tag, unsettled) = *self.parts.front()?.places.front()?;
        self.drop_first();
        Some((tag, unsettled.expect("the first place is no hole")))
    }

    /// The first part is used up, or begins with holes.
    #[cold]
    fn tidy_front(&mut self) {
        if self.parts.front().is_some_and(|part| part.count == 0) {
            let gone = self.parts.pop_front();
            self.keep_memory(gone);
        }
        if let Some(first) = self.parts.front_mut() {
            while let Some((_, None)) = first.places.front() {
                first.places.pop_front();
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.count).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The newest tag so far.
    pub fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// The tag of the oldest delivery.
    #[inline]
    pub fn first_tag(&self) -> Option<u64> {
        self.parts.front().and_then(Part::first_tag)
    }

    /// All deliveries, the oldest first.
    pub fn into_deliveries(self) -> impl Iterator<Item = Deliveries> {
        self.parts.into_iter().map(|part| part.places)
    }

    /// Puts deliveries back that a rolled-back transaction had settled.
    pub fn put_back(&mut self, deliveries: impl IntoIterator<Item = (u64, Unsettled)>) {
        let kept = std::mem::take(&mut self.parts).into_iter().flat_map(|part| part.places);
        let kept = kept.filter_map(|(tag, unsettled)| Some((tag, unsettled?)));
        let mut all: Vec<(u64, Unsettled)> = kept.chain(deliveries).collect();
        all.sort_unstable_by_key(|&(tag, _)| tag);
        for (tag, unsettled) in all {
            self.push(tag, unsettled);
        }
    }

    /// The deliveries that wait to be settled, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Unsettled> {
        self.parts.iter().flat_map(|part| &part.places).filter_map(|(_, one)| one.as_ref())
    }

    /// The oldest delivery with a larger tag than this.
    pub fn first_after(&self, tag: u64) -> Option<(u64, &Unsettled)> {
        let from = self.part_of(tag).unwrap_or(0);
        let later = self.parts.range(from..).flat_map(|part| {
            let start = part.places.partition_point(|&(other, _)| other <= tag);
            part.places.range(start..)
        });
        later.filter_map(|(tag, one)| Some((*tag, one.as_ref()?))).next()
    }

    #[inline]
    fn push(&mut self, tag: u64, unsettled: Unsettled) {
        match self.parts.back_mut() {
            Some(part) if part.places.len() < PART_MAX => part.push(tag, unsettled),
            Some(_) | None => {
                let mut part = Part { places: std::mem::take(&mut self.spare), count: 0 };
                part.push(tag, unsettled);
                self.parts.push_back(part);
            }
        }
    }

    /// The part in which a tag stands, if it stands anywhere.
    fn part_of(&self, tag: u64) -> Option<usize> {
        let behind = self.parts.partition_point(|part| part.first_tag().is_some_and(|f| f <= tag));
        behind.checked_sub(1)
    }

    fn keep_memory(&mut self, gone: Option<Part>) {
        if let Some(Part { mut places, .. }) = gone
            && places.capacity() > self.spare.capacity()
        {
            places.clear();
            self.spare = places;
        }
    }
}

impl Part {
    #[inline]
    fn push(&mut self, tag: u64, unsettled: Unsettled) {
        self.places.push_back((tag, Some(unsettled)));
        self.count += 1;
    }

    #[inline]
    fn first_tag(&self) -> Option<u64> {
        self.places.front().map(|&(tag, _)| tag)
    }

    fn place_of(&self, tag: u64) -> Option<usize> {
        self.places.binary_search_by_key(&tag, |&(tag, _)| tag).ok()
    }

    fn knows(&self, tag: u64) -> bool {
        self.place_of(tag).is_some_and(|place| self.places[place].1.is_some())
    }

    fn take(&mut self, tag: u64) -> Option<Unsettled> {
        let place = self.place_of(tag)?;
        let taken = self.places[place].1.take()?;
        self.count -= 1;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::amqp::Table;
    use crate::broker::testing::{self, Seeded};

    /// Whatever is taken in whatever order, the list is what a sorted set would be.
    #[test]
    fn deliveries_are_taken_in_any_order_and_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = testing::open(directory.path());
        let queue = testing::declare(&mut broker, "q", Table::EMPTY);
        testing::publish(&mut broker, queue, 1);
        let channel = testing::open_channel(&mut broker);
        let unsettled = broker.get(queue, channel, false).unwrap().unsettled;
        let mut random = Seeded::new(7);
        for _ in 0..200 {
            let (mut unacked, mut expected) = (Unacked::default(), BTreeSet::new());
            let mut settled = Vec::new();
            for _ in 0..random.below(2000) {
                match random.below(10) {
                    0..=3 => {
                        expected.insert(unacked.keep(unsettled));
                    }
                    4 => {
                        unacked.tag_settled();
                    }
                    5 => {
                        let first = unacked.take_first().map(|(tag, _)| tag);
                        assert_eq!(first, expected.pop_first());
                        settled.extend(first);
                    }
                    6 if random.below(50) == 0 => {
                        unacked.put_back(settled.drain(..).map(|tag| (tag, unsettled)).inspect(
                            |(tag, _)| {
                                expected.insert(*tag);
                            },
                        ));
                    }
                    _ => {
                        let tag = 1 + random.next() % (unacked.last_tag() + 2);
                        assert_eq!(unacked.knows(tag), expected.contains(&tag));
                        let was_there = expected.remove(&tag);
                        assert_eq!(unacked.take(tag).is_some(), was_there);
                        settled.extend(was_there.then_some(tag));
                    }
                }
                let behind = random.next() % (unacked.last_tag() + 2);
                let later = expected.range(behind + 1..).next().copied();
                assert_eq!(unacked.first_after(behind).map(|(tag, _)| tag), later);
                assert_eq!(unacked.first_tag(), expected.first().copied());
                assert_eq!(unacked.iter().count(), expected.len());
                for part in &unacked.parts {
                    let held = part.places.iter().filter(|(_, one)| one.is_some()).count();
                    assert_eq!(part.count, held);
                    let holes = part.places.len() - held;
                    assert!(held > 0 && holes <= held.max(HOLES_MAX), "{holes} holes in {held}");
                }
            }
            let left = unacked.into_deliveries().flatten();
            let left: Vec<u64> =
                left.filter(|(_, one)| one.is_some()).map(|(tag, _)| tag).collect();
            assert!(left.iter().eq(&expected));
        }
    }
}
