//! What is known of a delivery that its consumer has not settled yet?

use std::collections::VecDeque;

use crate::broker::key::{ChannelKey, ConsumerKey, QueueKey};
use crate::storage::{Entry, QueueId, SlotRef};

/// The deliveries of a channel by their tags, the oldest first; `None`: it was settled.
pub type Deliveries = VecDeque<(u64, Option<Unsettled>)>;

/// A delivered message that its consumer has not settled yet.
#[derive(Debug, Clone, Copy)]
pub struct Unsettled {
    /// The queue that it was taken from; may be gone.
    pub queue: QueueKey,
    /// The message.
    pub entry: Entry,
    /// Its delivery state in that queue.
    pub slot: SlotRef,
    /// The queue as the store knows it, also when it is gone. Compaction may move the message: see
    /// `broker::flow::compaction`.
    pub queue_id: QueueId,
    /// The channel that it was delivered on.
    pub channel: ChannelKey,
    /// The consumer that got it; `None` for `basic.get`.
    pub consumer: Option<ConsumerKey>,
    /// When it has to be acknowledged, in ms since 1970; 0 = never.
    pub due_ms: u64,
    /// The body's bytes, or the most that fit; 0 of a stream's.
    pub body_bytes: u32,
    /// Its queue keeps it whatever becomes of the delivery: it is a stream.
    pub kept: bool,
}
