//! What does the load consist of? Every part can be left out, to see which one a failure needs:
//! `LEVERET_LOAD_WITHOUT=purge,sizes` leaves out these two.

use std::env;

/// A part of the load beyond plain queues, publishes, transactions and acks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Dead letters: rejected, expired, driven out by others.
    Dead,
    /// A delayed exchange.
    Delayed,
    /// Deduplicating exchanges and a deduplicating queue, and messages that are sent again.
    Once,
    /// What was refused, rolled back or lost is sent again under its name.
    Retry,
    Purge,
    /// A queue that is deleted and declared again under its name.
    Delete,
    Priority,
    Quorum,
    Stream,
    /// Bodies of 0x00, of 0xFF and of bytes that the broker wrote.
    Hostile,
    /// Large messages for a while, then small ones, then both.
    Phases,
    /// Thousands of tiny messages at once, in a queue that is not read.
    Flood,
    /// Another segment size at every start.
    Sizes,
    /// Starts that are cut short.
    Recovery,
}

const NAMES: [(&str, Part); 14] = [
    ("dead", Part::Dead),
    ("delayed", Part::Delayed),
    ("once", Part::Once),
    ("retry", Part::Retry),
    ("purge", Part::Purge),
    ("delete", Part::Delete),
    ("priority", Part::Priority),
    ("quorum", Part::Quorum),
    ("stream", Part::Stream),
    ("hostile", Part::Hostile),
    ("phases", Part::Phases),
    ("flood", Part::Flood),
    ("sizes", Part::Sizes),
    ("recovery", Part::Recovery),
];

/// A set of parts; by default none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts(u32);

impl Parts {
    /// All but what `LEVERET_LOAD_WITHOUT` names.
    pub fn wide() -> Parts {
        let without = env::var("LEVERET_LOAD_WITHOUT").unwrap_or_default();
        let mut parts = Parts((1 << NAMES.len()) - 1);
        for name in without.split(',').filter(|name| !name.is_empty()) {
            let found = NAMES.iter().find(|(other, _)| *other == name);
            let (_, part) = found.unwrap_or_else(|| panic!("there is no part {name:?}: {NAMES:?}"));
            parts.0 &= !(1 << *part as u32);
        }
        parts
    }

    pub fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u32) != 0
    }

    pub fn have_all(self, parts: &[Part]) -> bool {
        parts.iter().all(|part| self.has(*part))
    }
}
