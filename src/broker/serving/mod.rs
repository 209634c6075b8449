//! What queues are there, and who waits at them?
//!
//! All queues of the node with their consumers and the credit of these, and the lists of those
//! queues that have to be looked at: because they can deliver, are too long, or have a deadline. No
//! message is read or settled here.

mod counting;
mod credit;
mod deadlines;
mod lengths;
mod oldest;
mod streams;
mod totals;
mod turns;
mod unsettled;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use crate::broker::counters::Happening;
use crate::broker::key::{Arena, ChannelKey, ConnectionKey, ConsumerKey, QueueKey};
use crate::broker::queue::Queue;
use crate::broker::queue::consumer::{ChannelCredit, Consumer};
use crate::storage::{Entry, QueueId, ScratchPool};

use counting::Counted;
use oldest::Oldest;

pub use totals::Totals;
pub use turns::Turn;
pub use unsettled::{Deliveries, Unsettled};

/// All queues, consumers and channels.
pub struct Queues {
    queues: Arena<QueueKey, Queue>,
    /// The queues by what the log calls them. Ids only grow, so that a tree takes them in without
    /// ever moving all.
    by_id: BTreeMap<QueueId, QueueKey>,
    consumers: Arena<ConsumerKey, Consumer>,
    channels: Arena<ChannelKey, ChannelCredit>,
    /// The exclusive queues of each connection.
    owned: HashMap<ConnectionKey, BTreeSet<QueueKey>>,
    /// Where the middles of long lines are kept.
    scratch: ScratchPool,
    /// Those in which something happened that is to be sampled.
    counted: Counted,
    /// Where the oldest message is.
    oldest: Oldest,
    /// Those that may have something to deliver.
    dirty: Vec<QueueKey>,
    /// Those to look at after the deliveries because they may be too long.
    overfull: VecDeque<QueueKey>,
    /// When which of them has to be looked at.
    wakeups: BinaryHeap<Reverse<(u64, QueueKey)>>,
    /// The node's limit for acknowledging a delivery, where the queue has none.
    consumer_timeout_ms: Option<u64>,
    /// How many of them store every message, whatever its delivery mode.
    storing: usize,
    /// How many came and went.
    churn: Churn,
    /// What is in all of them together.
    totals: Totals,
}

/// How many queues and channels came and went since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Churn {
    /// Queues that were declared, whether or not they were there.
    pub queues_declared: u64,
    /// Queues that were made.
    pub queues_created: u64,
    /// Queues that were deleted.
    pub queues_deleted: u64,
    /// Channels that were opened.
    pub channels_opened: u64,
    /// Channels that were closed.
    pub channels_closed: u64,
}

impl Queues {
    /// No queues; the lines of those to come keep their middles in `scratch`.
    pub fn new(scratch: ScratchPool) -> Self {
        Self {
            queues: Arena::new(),
            by_id: BTreeMap::new(),
            consumers: Arena::new(),
            channels: Arena::new(),
            owned: HashMap::new(),
            scratch,
            counted: Counted::default(),
            oldest: Oldest::default(),
            dirty: Vec::new(),
            overfull: VecDeque::new(),
            wakeups: BinaryHeap::new(),
            consumer_timeout_ms: None,
            storing: 0,
            churn: Churn::default(),
            totals: Totals::default(),
        }
    }

    /// A queue, if it is still there.
    #[inline]
    pub fn get(&self, key: QueueKey) -> Option<&Queue> {
        self.queues.get(key)
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, key: QueueKey) -> Option<&mut Queue> {
        self.queues.get_mut(key)
    }

    /// The same together with what its lines are kept in.
    #[inline]
    pub fn get_with_scratch(&mut self, key: QueueKey) -> Option<(&mut Queue, &mut ScratchPool)> {
        Some((self.queues.get_mut(key)?, &mut self.scratch))
    }

    /// What the lines of queues are kept in.
    pub fn scratch(&self) -> &ScratchPool {
        &self.scratch
    }

    /// The same, for a line that no queue has any more.
    pub fn scratch_mut(&mut self) -> &mut ScratchPool {
        &mut self.scratch
    }

    /// The queue that the log calls so.
    pub fn with_id(&self, id: QueueId) -> Option<QueueKey> {
        self.by_id.get(&id).copied()
    }

    /// All queues, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (QueueKey, &Queue)> {
        self.queues.iter()
    }

    /// What is in the place of this number, for a walk over all queues in several turns.
    pub fn at(&self, place: u32) -> Option<(QueueKey, &Queue)> {
        self.queues.at(place)
    }

    /// All queues are in places with lower numbers than this.
    pub fn places(&self) -> u32 {
        self.queues.places()
    }

    /// How many consumers there are.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The consumer in the place of this number, for a walk over all of them in several turns.
    pub fn consumer_at(&self, place: u32) -> Option<(ConsumerKey, &Consumer)> {
        self.consumers.at(place)
    }

    /// All consumers are in places with lower numbers than this.
    pub fn consumer_places(&self) -> u32 {
        self.consumers.places()
    }

    /// The channel in the place of this number, for a walk over all of them in several turns.
    pub fn channel_at(&self, place: u32) -> Option<(ChannelKey, &ChannelCredit)> {
        self.channels.at(place)
    }

    /// All channels are in places with lower numbers than this.
    pub fn channel_places(&self) -> u32 {
        self.channels.places()
    }

    /// How many queues and channels came and went since the start.
    pub fn churn(&self) -> Churn {
        self.churn
    }

    /// How many channels there are.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Somebody declared a queue; `is_new`: it was made.
    pub fn note_declared(&mut self, is_new: bool) {
        self.churn.queues_declared += 1;
        self.churn.queues_created += u64::from(is_new);
    }

    /// Takes a queue in, which is used now.
    pub fn insert(&mut self, queue: Queue, now_ms: u64) -> QueueKey {
        let owner = queue.declaration.owner;
        self.storing += usize::from(queue.stores_everything());
        self.totals.add(&queue);
        let id = queue.id;
        let key = self.queues.insert(queue);
        self.by_id.insert(id, key);
        if let Some(owner) = owner {
            self.owned.entry(owner).or_default().insert(key);
        }
        self.touch(key, now_ms);
        key
    }

    /// Takes a queue out whose consumers have ended.
    pub fn remove(&mut self, key: QueueKey) -> Option<Queue> {
        let queue = self.queues.remove(key)?;
        self.by_id.remove(&queue.id);
        self.churn.queues_deleted += u64::from(!queue.is_reply_queue);
        self.storing -= usize::from(queue.stores_everything());
        self.totals.remove(&queue);
        if let Some(owner) = queue.declaration.owner
            && let Some(owned) = self.owned.get_mut(&owner)
        {
            owned.remove(&key);
        }
        Some(queue)
    }

    /// The exclusive queues of a connection that ended; they are to be removed.
    pub fn take_owned(&mut self, connection: ConnectionKey) -> BTreeSet<QueueKey> {
        self.owned.remove(&connection).unwrap_or_default()
    }

    /// Whether the queue is about to be removed: it is to be found no more. So is an exclusive one
    /// whose connection has ended.
    pub fn is_leaving(&self, key: QueueKey) -> bool {
        let Some(queue) = self.queues.get(key) else {
            return true;
        };
        let owner = queue.declaration.owner;
        queue.leaving || owner.is_some_and(|owner| !self.owned.contains_key(&owner))
    }

    /// A consumer, if it is still there.
    #[inline]
    pub fn consumer(&self, key: ConsumerKey) -> Option<&Consumer> {
        self.consumers.get(key)
    }

    /// A channel, if it is still there.
    #[inline]
    pub fn channel(&self, key: ChannelKey) -> Option<&ChannelCredit> {
        self.channels.get(key)
    }

    /// The connection of every channel that is open.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionKey> {
        self.channels.iter().map(|(_, channel)| channel.connection)
    }

    /// Puts a queue that can deliver on the list of [`Queues::take_dirty`].
    #[inline]
    pub fn mark_dirty(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key)
            && !queue.dirty
            && queue.can_deliver()
        {
            queue.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Takes the queues that may have something to deliver; `list` is emptied and swapped in.
    pub fn take_dirty(&mut self, list: &mut Vec<QueueKey>) {
        list.clear();
        std::mem::swap(list, &mut self.dirty);
        for &queue in list.iter() {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.dirty = false;
            }
        }
    }

    /// Whether the turn has something to do at any queue: to deliver, or to shorten it.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.overfull.is_empty()
    }

    /// Whether a queue has messages that a consumer waits for. The readers of a stream take nothing
    /// from each other: nobody has to wait for them.
    pub fn can_deliver(&self, key: QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.stream.is_none() && queue.can_deliver())
    }

    /// Whether any queue stores every message, whatever its delivery mode.
    #[inline]
    pub(in crate::broker) fn any_stores_everything(&self) -> bool {
        self.storing > 0
    }

    /// Whether a message to these queues belongs in the durable log.
    #[inline]
    pub fn need_durability(&self, queues: &[QueueKey], persistent: bool) -> bool {
        if !persistent && !self.any_stores_everything() {
            return false;
        }
        let durable = |&key: &QueueKey| {
            let queue = self.queues.get(key);
            queue.is_some_and(|q| q.is_durable() && (persistent || q.stores_everything()))
        };
        queues.iter().any(durable)
    }

    /// Whether a message for these queues counts as not routed: there is none, but for those
    /// of direct replies.
    pub fn are_no_destination(&self, queues: &[QueueKey]) -> bool {
        queues.iter().all(|&key| self.queues.get(key).is_none_or(|queue| queue.is_reply_queue))
    }

    /// The ids of those of `queues` that still exist.
    #[inline]
    pub fn live_ids(&self, queues: &[QueueKey], ids: &mut Vec<QueueId>) {
        ids.clear();
        ids.extend(queues.iter().filter_map(|&key| self.queues.get(key)).map(|queue| queue.id));
        // Where one of many stands is found faster so.
        ids.sort_unstable();
    }

    /// Adds a stored message to a queue, which then may have something to deliver. Says whether the
    /// queue has rules that the message may fall under; `None` when it is gone, or a stream.
    #[inline]
    pub fn push(
        &mut self,
        key: QueueKey,
        entry: Entry,
        priority: u8,
        body_bytes: u64,
        now_ms: u64,
    ) -> Option<bool> {
        let queue = self.queues.get_mut(key)?;
        self.counted.note(key, queue, Happening::Publish);
        self.totals.ready += 1;
        if queue.stream.is_some() {
            self.push_to_stream(key, entry, body_bytes, now_ms);
            return None;
        }
        queue.ready.push(entry, priority, &mut self.scratch);
        queue.ready_bytes += body_bytes;
        if !queue.dirty && queue.line.anyone_waits() {
            queue.dirty = true;
            self.dirty.push(key);
        }
        Some(queue.has_rules())
    }

    /// Takes the first ready message of a queue.
    #[inline]
    pub fn pop_ready(&mut self, key: QueueKey) -> Option<Entry> {
        self.queues.get_mut(key)?.ready.pop(&mut self.scratch)
    }
}
