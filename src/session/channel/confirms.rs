//! Which publishes of a channel may be confirmed now?

use std::collections::VecDeque;

use crate::broker::{LogPos, Published};

/// The publishes of one channel that wait for their confirm (RabbitMQ's publisher confirms).
///
/// Invariants:
/// 1. Sequence numbers start at 1 and grow by one with each publish on the channel.
/// 2. `waiting` stands for the last ones, up to the last, and the first of them was not refused.
///    The positions of those that need a sync never fall, and what needs none is durable: so what
///    may be confirmed is a prefix.
/// 3. A number is released once, or never if it was refused.
#[derive(Debug, Default)]
pub struct Confirms {
    last_sequence: u64,
    /// The position that must be durable first, for each number up to the last one: 16 bytes, since
    /// thousands may wait on each of thousands of channels.
    waiting: VecDeque<LogPos>,
    /// How many of those were refused, and only take a number.
    refused: usize,
}

/// In place of the position of a refused one, and no position: numbers of segments begin at 1. An
/// enum of both would take 24 bytes.
const REFUSED: LogPos = LogPos { sequence: 0, offset: u32::MAX };

impl Confirms {
    /// Notes a publish; the number of one that was refused, for its `basic.nack`.
    #[inline]
    pub fn note(&mut self, published: Published) -> Option<u64> {
        self.last_sequence += 1;
        match published {
            Published::Done => self.waiting.push_back(LogPos::START),
            Published::DurableAt(position) => self.waiting.push_back(position),
            Published::Refused => {
                if !self.waiting.is_empty() {
                    self.waiting.push_back(REFUSED);
                    self.refused += 1;
                }
                return Some(self.last_sequence);
            }
        }
        None
    }

    /// The highest number to acknowledge, now that the log is durable up to `durable`, and
    /// for how many it stands; `None` when nothing new is.
    pub fn release(&mut self, durable: LogPos) -> Option<(u64, u64)> {
        let mut highest = None;
        while let Some(&position) = self.waiting.front() {
            if position == REFUSED {
                self.refused -= 1;
            } else if position > durable {
                break;
            } else {
                let sequence = self.last_sequence + 1 - self.waiting.len() as u64;
                highest = Some((sequence, highest.map_or(0, |(_, count)| count) + 1));
            }
            self.waiting.pop_front();
        }
        highest
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len() - self.refused
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::testing::Random;

    fn at(offset: u32) -> Published {
        Published::DurableAt(LogPos { sequence: 1, offset })
    }

    fn durable(offset: u32) -> LogPos {
        LogPos { sequence: 1, offset }
    }

    #[test]
    fn what_is_durable_is_confirmed_once_and_nothing_else_is() {
        let mut confirms = Confirms::default();
        for offset in [10, 20, 30] {
            confirms.note(at(offset));
        }
        assert_eq!(confirms.release(durable(9)), None);
        assert_eq!(confirms.release(durable(20)), Some((2, 2)));
        assert_eq!(confirms.release(durable(20)), None);
        assert_eq!(confirms.release(durable(30)), Some((3, 1)));
        assert!(confirms.is_empty());
    }

    #[test]
    fn a_transient_publish_waits_for_nothing_but_its_turn() {
        let mut confirms = Confirms::default();
        confirms.note(Published::Done);
        confirms.note(at(10));
        confirms.note(Published::Done);
        assert_eq!(confirms.release(durable(0)), Some((1, 1)));
        assert_eq!(confirms.release(durable(10)), Some((3, 2)));
    }

    /// The same with a number for each.
    #[derive(Default)]
    struct Naive {
        last: u64,
        waiting: Vec<(u64, LogPos)>,
    }

    impl Naive {
        fn note(&mut self, published: Published) -> Option<u64> {
            self.last += 1;
            match published {
                Published::Done => self.waiting.push((self.last, LogPos::START)),
                Published::DurableAt(position) => self.waiting.push((self.last, position)),
                Published::Refused => return Some(self.last),
            }
            None
        }

        fn release(&mut self, durable: LogPos) -> Option<(u64, u64)> {
            let waits = |&(_, position): &(u64, LogPos)| position > durable;
            let count = self.waiting.iter().position(waits).unwrap_or(self.waiting.len());
            let last = self.waiting.drain(..count).next_back();
            last.map(|(number, _)| (number, count as u64))
        }
    }

    #[test]
    fn numbers_are_those_that_were_given_in_whatever_order_things_come() {
        let mut random = Random::new(1);
        for refused in [1, 5, 9] {
            let (mut confirms, mut naive, mut offset) = (Confirms::default(), Naive::default(), 1);
            for _ in 0..20_000 {
                offset += u32::from(random.octet() & 1);
                let published = match random.below(10) {
                    0 => {
                        let back = u32::from(random.octet() % 40).min(offset - 1);
                        let until = durable(offset - back);
                        assert_eq!(confirms.release(until), naive.release(until));
                        continue;
                    }
                    kind if kind <= refused => Published::Refused,
                    kind if kind % 2 == 0 => Published::Done,
                    _ => at(offset),
                };
                assert_eq!(confirms.note(published), naive.note(published));
                assert_eq!(confirms.len(), naive.waiting.len());
                assert_eq!(confirms.is_empty(), naive.waiting.is_empty());
            }
        }
    }

    #[test]
    fn refused_ones_between_others_change_nothing_for_those() {
        let mut confirms = Confirms::default();
        confirms.note(at(10));
        assert_eq!(confirms.note(Published::Refused), Some(2));
        assert_eq!(confirms.note(Published::Refused), Some(3));
        confirms.note(at(20));
        assert_eq!(confirms.note(Published::Refused), Some(5));
        assert_eq!(confirms.len(), 2);
        // What was refused is not what is said to be confirmed, though it comes after that.
        assert_eq!(confirms.release(durable(10)), Some((1, 1)));
        assert_eq!(confirms.release(durable(10)), None);
        assert_eq!(confirms.len(), 1);
        assert_eq!(confirms.release(durable(20)), Some((4, 1)));
        assert!(confirms.is_empty());
        confirms.note(Published::Done);
        assert_eq!(confirms.release(durable(20)), Some((6, 1)));
    }

    #[test]
    fn a_refused_publish_takes_a_number_and_is_not_confirmed() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.note(Published::Refused), Some(1));
        assert!(confirms.is_empty());
        confirms.note(Published::Done);
        assert_eq!(confirms.release(durable(0)), Some((2, 1)));
    }
}
