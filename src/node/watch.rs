//! Who looks on while a turn goes by? Nobody, in the broker; the simulation, which compares each
//! step with what its twin would have done.

use crate::broker::{ConnectionKey, Delivery, Handed, QueueKey};
use crate::storage::StorageError;

use super::Node;

/// Looks on while a [`Node`] works.
pub trait Watch {
    /// Why a turn is not finished: the store failed, or whoever looks on has seen enough.
    type Stop: From<StorageError>;

    /// A step of the turn is done.
    ///
    /// # Errors
    /// The turn ends here.
    fn after(&mut self, _node: &mut Node, _step: Step) -> Result<(), Self::Stop> {
        Ok(())
    }

    /// A session took so many bytes of what is being received.
    fn took(&mut self, _node: &mut Node, _from: ConnectionKey, _bytes: usize) {}

    /// A queue that a session is about to look at has delivered all that it could.
    fn served(&mut self, _node: &mut Node, _queue: QueueKey) {}

    /// A session's outbox changed.
    fn told(&mut self, _node: &mut Node, _to: ConnectionKey, _what: Told<'_>) {}

    /// How many deliveries a queue may make in a turn.
    fn deliveries_max(&mut self) -> usize {
        DELIVERIES_PER_TURN
    }
}

/// A step of the turn, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What was due was done.
    Deadlines,
    /// Unfinished work went on.
    Unfinished,
    /// The helper's answers were taken; whether the durable position moved.
    Answers(bool),
    /// What gathered was written.
    Written,
    /// Whether a sync was begun.
    SyncBegun(bool),
    /// Sessions know what happened to them in the broker.
    Effects,
    /// Consumers have what they could get.
    Deliveries,
    /// Queues are as long as they may be.
    Lengths,
    /// What is past its time is gone.
    Expired,
    /// What is durable is confirmed.
    Confirms,
    /// Whoever waited for the disk goes on.
    Waits,
}

/// What a session was told.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// A message that is not stored, from another session.
    Handed(&'a Handed<'a>),
    /// A message of a queue.
    Delivery(&'a Delivery),
    /// The end of a consumer: the number of its channel, and its tag.
    ConsumerCancelled(u16, &'a [u8]),
    /// Its deadline came.
    Deadline,
    /// What it published is durable, if something is.
    Confirms,
    /// What it waited for is durable.
    WaitIsOver,
}

/// Deliveries that one queue may make in one turn.
const DELIVERIES_PER_TURN: usize = 4096;

/// Nobody looks on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    type Stop = StorageError;
}
