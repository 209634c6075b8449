//! Which publishes of a channel may be confirmed now?

use std::collections::VecDeque;

use crate::broker::{LogPos, Published};

/// The publishes of one channel that wait for their confirm (RabbitMQ's publisher confirms).
///
/// Invariants:
/// 1. Sequence numbers start at 1 and grow by one with each publish on the channel.
/// 2. `waiting` is sorted by number and its positions never fall, so what is durable is a
///    prefix.
/// 3. A number leaves `waiting` once, by a release or by never entering it (refused).
#[derive(Debug, Default)]
pub struct Confirms {
    last_sequence: u64,
    /// Number and the position that must be durable first; `None` waits for nothing.
    waiting: VecDeque<(u64, Option<LogPos>)>,
}

impl Confirms {
    /// Notes a publish; the number of one that was refused, for its `basic.nack`.
    #[inline]
    pub fn note(&mut self, published: Published) -> Option<u64> {
        self.last_sequence += 1;
        let position = match published {
            Published::Done => None,
            Published::DurableAt(position) => Some(position),
            Published::Refused => return Some(self.last_sequence),
        };
        self.waiting.push_back((self.last_sequence, position));
        None
    }

    /// The highest number to acknowledge, now that the log is durable up to `durable`, and
    /// for how many it stands; `None` when nothing new is.
    pub fn release(&mut self, durable: LogPos) -> Option<(u64, u64)> {
        let mut highest = None;
        while let Some(&(sequence, position)) = self.waiting.front() {
            if position.is_some_and(|position| position > durable) {
                break;
            }
            highest = Some((sequence, highest.map_or(0, |(_, count)| count) + 1));
            self.waiting.pop_front();
        }
        highest
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
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
    fn a_refused_publish_takes_a_number_and_is_not_confirmed() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.note(Published::Refused), Some(1));
        assert!(confirms.is_empty());
        confirms.note(Published::Done);
        assert_eq!(confirms.release(durable(0)), Some((2, 1)));
    }
}
