//! Which connections want to be asked what is due, and when?

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::broker::ConnectionKey;

/// One entry per connection at most: a connection whose deadline moved away keeps its entry and
/// is asked early, once.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnectionKey)>>,
}

impl Timers {
    /// Asks the connection at this time.
    pub fn add(&mut self, at: Instant, connection: ConnectionKey) {
        self.heap.push(Reverse((at, connection)));
    }

    /// The next connection whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<ConnectionKey> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, connection))| connection)
    }

    /// When the next one's time comes.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
