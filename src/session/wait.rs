//! What does a session wait for before it reads on?

use crate::broker::LogPos;

/// What a session waits for before it reads on, and what it says then.
#[derive(Debug)]
pub struct Wait {
    /// What has to be on disk, or done.
    pub until: WaitUntil,
    /// The channel of the answer.
    pub(super) channel: u16,
    /// Frames that may only leave then; none when the channel has been closed.
    pub(super) reply: Vec<u8>,
}

/// What has to be on disk, or done, before a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitUntil {
    /// The change of definitions of this number.
    Changed(u64),
    /// The end of all messages of a discarded line: see
    /// [`Broker::is_discarded`](crate::broker::Broker::is_discarded).
    Discarded(u64),
    /// The message log up to this position.
    Messages(LogPos),
    /// The commit of this number is over: see [`Broker::commit`](crate::broker::Broker::commit).
    /// What it came to is told first ([`Session::committed`](super::Session::committed)).
    Committed(u64),
}
