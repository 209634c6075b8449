//! Which publishes of a channel may be confirmed now?

use std::collections::VecDeque;

use crate::broker::{LogPos, Published};

/// The publishes of one channel that wait for their confirm (RabbitMQ's publisher confirms).
///
/// Invariants:
/// 1. Sequence numbers start at 1 and grow by one with each publish on the channel.
/// 2. `waiting` are the last ones, and their positions never fall but for those of refused ones,
///    so what is durable is a prefix.
/// 3. A number leaves `waiting` once, by a release or by never entering it (refused).
#[derive(Debug, Default)]
pub struct Confirms {
    last_sequence: u64,
    /// The position that must be durable first, for each number up to the last one: 16 bytes, since
    /// thousands may wait on each of thousands of channels.
    waiting: VecDeque<LogPos>,
    /// How many of those were refused, and only take a number.
    refused: usize,
}

/// In place of the position of a refused one, which is durable from the start.
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
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
