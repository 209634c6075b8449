//! What has to be done at a certain time, whatever arrives?

use std::collections::BTreeSet;
use std::time::Instant;

use crate::broker::ConnectionKey;

/// What the node itself has to do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Look at memory and disk.
    Alarms,
    /// Ask for more space while the disk is full.
    Space,
    /// Free the buffers of idle connections.
    Sweep,
    /// A message, a queue or a delayed message is past its time.
    Expiry,
    /// Write acknowledgements that nobody asks about.
    Settlements,
    /// Sync what nobody waits for.
    Sync,
    /// The log looks back at what it may free.
    LookBack,
    /// What was counted is sampled.
    Sample,
}

/// How many kinds of them there are.
const KINDS: usize = Due::Sample as usize + 1;

/// The table of all deadlines: one at most of each kind, and of each session.
#[derive(Debug, Default)]
pub struct Deadlines {
    node: [Option<Instant>; KINDS],
    sessions: BTreeSet<(Instant, ConnectionKey)>,
}

impl Deadlines {
    /// Sets the node's own deadline, or takes it back.
    pub fn set(&mut self, due: Due, at: Option<Instant>) {
        self.node[due as usize] = at;
    }

    /// Moves a session's deadline from `before` to `at`.
    pub fn move_session(
        &mut self,
        connection: ConnectionKey,
        before: Option<Instant>,
        at: Option<Instant>,
    ) {
        if let Some(before) = before {
            self.sessions.remove(&(before, connection));
        }
        if let Some(at) = at {
            self.sessions.insert((at, connection));
        }
    }

    /// Whether the node's own deadline is set.
    pub fn is_set(&self, due: Due) -> bool {
        self.node[due as usize].is_some()
    }

    /// Whether the node's own deadline has come.
    pub fn has_come(&self, due: Due, now: Instant) -> bool {
        self.node[due as usize].is_some_and(|at| at <= now)
    }

    /// The next session whose deadline has come, and that deadline; it has none from now on.
    pub fn pop_session(&mut self, now: Instant) -> Option<(Instant, ConnectionKey)> {
        let first = *self.sessions.first()?;
        (first.0 <= now).then(|| {
            self.sessions.remove(&first);
            first
        })
    }

    /// The first deadline.
    pub fn next(&self) -> Option<Instant> {
        let session = self.sessions.first().map(|(at, _)| *at);
        self.node.iter().copied().flatten().chain(session).min()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::key::ArenaKey;

    #[test]
    fn a_session_has_one_deadline_and_it_comes_once() {
        let (mut table, start) = (Deadlines::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let (one, other) = (ConnectionKey::new(0, 1), ConnectionKey::new(1, 1));
        table.move_session(one, None, Some(at(50)));
        table.move_session(other, None, Some(at(20)));
        table.move_session(one, Some(at(50)), Some(at(10)));
        assert_eq!(table.next(), Some(at(10)));
        assert_eq!(table.pop_session(at(9)), None);
        assert_eq!(table.pop_session(at(30)), Some((at(10), one)));
        assert_eq!(table.pop_session(at(30)), Some((at(20), other)));
        assert_eq!(table.pop_session(at(1000)), None, "what was moved left nothing behind");
        assert_eq!(table.next(), None);
    }

    #[test]
    fn what_the_node_has_to_do_in_time_counts_like_the_sessions_deadlines() {
        let (mut table, start) = (Deadlines::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        table.move_session(ConnectionKey::new(0, 1), None, Some(at(20)));
        table.set(Due::Sync, Some(at(10)));
        table.set(Due::LookBack, Some(at(30)));
        assert_eq!(table.next(), Some(at(10)));
        assert!(table.has_come(Due::Sync, at(10)) && !table.has_come(Due::Sync, at(9)));
        assert!(!table.has_come(Due::LookBack, at(29)));
        table.set(Due::Sync, None);
        assert!(!table.has_come(Due::Sync, at(1000)));
        assert_eq!(table.next(), Some(at(20)));
    }
}
