//! Who gets which message?
//!
//! Vhosts, exchanges, queues, bindings, consumers, users and policies. No sockets and no
//! clock: what time it is comes as an argument, what happens to a session leaves as a return
//! value or an [`Effect`]. May import `amqp` and `storage`.

pub mod arguments;
mod block_reasons;
pub mod effect;
pub mod exchange;
pub mod flow;
pub mod hashing;
pub mod key;
pub mod opening;
pub mod payload;
pub mod queue;
pub mod requests;
pub mod resource;
pub mod term;
#[cfg(test)]
pub(crate) mod testing;
pub mod topology;
pub mod users;
pub mod work;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::amqp::Name;
pub use crate::storage::{AppendError, Body, LargeBody, LogPos, Record, RecordRef};
use crate::storage::{QueueId, ScratchPool, Store};

pub use block_reasons::BlockReasons;
pub use effect::Effect;
pub use exchange::Exchange;
pub use exchange::matcher::ExchangeKind;
pub use flow::commit::{Committed, TransactionMessage};
pub use flow::delivery::{Delivery, Got};
pub use flow::hand_over::Handed;
pub use flow::publish::{Content, Message, Published};
pub use flow::settle::{Settlement, Unsettled};
pub use key::{ChannelKey, ConnectionKey, ConsumerKey, ExchangeKey, QueueKey, VhostKey};
pub use opening::Found;
pub use queue::consumer::{ChannelCredit, Consumer};
pub use queue::{Declaration, Queue};
pub use topology::vhost::Vhost;
pub use users::{Access, Subject, User, Users};
pub use work::Work;

use key::Arena;

/// Publishers are blocked while the log has room for less than this.
const ROOM_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// Everything that the node knows, in one place, owned by the loop.
pub struct Broker {
    /// The log of messages and definitions; the turn writes it out and syncs it.
    pub store: Store,
    vhosts: Arena<VhostKey, Vhost>,
    vhost_names: HashMap<Name, VhostKey>,
    exchanges: Arena<ExchangeKey, Exchange>,
    queues: Arena<QueueKey, Queue>,
    consumers: Arena<ConsumerKey, Consumer>,
    channels: Arena<ChannelKey, ChannelCredit>,
    /// Memory or disk is low: publishers are blocked.
    alarms: BlockReasons,
    /// The exclusive queues of each connection.
    owned_queues: HashMap<ConnectionKey, Vec<QueueKey>>,
    users: Users,
    scratch: ScratchPool,
    /// Grows with every change that may change a route or a permission.
    topology_version: u64,
    clock_ms: u64,
    /// What the present step of the turn may still do.
    pub work: Work,
    dirty: Vec<QueueKey>,
    effects: Vec<Effect>,
    /// When which queue's deadlines have to be looked at.
    wakeups: BinaryHeap<Reverse<(u64, QueueKey)>>,
    /// Messages of delayed exchanges.
    delayed: flow::delayed::Delayed,
    /// Messages on their way to a dead-letter exchange.
    dying: VecDeque<flow::dead_letter::Dying>,
    /// Queues to look at after the deliveries because they may be too long.
    overfull: Vec<QueueKey>,
    /// The node's limit for acknowledging a delivery, where the queue has none.
    consumer_timeout_ms: Option<u64>,
    /// What keeps mostly dead segments of the log is moved.
    compactor: flow::compaction::Compactor,
    /// Messages that were moved and stand in no queue's line.
    moved: flow::compaction::Relocations,
    /// Ready lines of purged and deleted queues, settled a bounded number a turn.
    discarding: flow::settle::Discarding,
    /// Deliveries of channels that ended, which go back to their queues by and by.
    returning: VecDeque<VecDeque<(u64, Unsettled)>>,
    /// What moves by itself found no room in the log; whether the operator was told of it.
    waits_for_room: bool,
    warned_of_waiting: bool,
    /// How many of the queues are streams.
    streams: usize,
    /// Scratch lists, kept for their memory.
    queue_ids: Vec<QueueId>,
    destinations: Vec<exchange::binding::Destination>,
    visited: Vec<ExchangeKey>,
    /// Which exchanges the present message has been to: those with this number.
    visit: u64,
}

impl Broker {
    /// The turn's time, in milliseconds since 1970; never goes back.
    pub fn set_clock(&mut self, unix_ms: u64) {
        self.clock_ms = self.clock_ms.max(unix_ms);
    }

    /// The turn's time, in milliseconds since 1970.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// The time within which a queue's deliveries have to be acknowledged, in milliseconds;
    /// 0 = no limit.
    pub fn consumer_timeout_of(&self, queue: QueueKey) -> u64 {
        let own = self.queues.get(queue).and_then(|queue| queue.settings.consumer_timeout_ms);
        own.or(self.consumer_timeout_ms).unwrap_or(0)
    }

    /// The time within which deliveries have to be acknowledged, where a queue says nothing.
    pub fn set_consumer_timeout(&mut self, timeout_ms: Option<u64>) {
        self.consumer_timeout_ms = timeout_ms;
    }

    /// Changes whenever a remembered route or permission may be wrong.
    pub fn topology_version(&self) -> u64 {
        self.topology_version
    }

    /// Takes what the sessions have to be told.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
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

    /// Whether publishers may go on: the message log takes what they send, and there is no alarm.
    #[inline]
    pub fn has_room(&self) -> bool {
        !self.alarms.is_any() && self.has_log_room()
    }

    /// Whether the message log takes what publishers send in a turn.
    #[inline]
    pub fn has_log_room(&self) -> bool {
        !self.store.is_short_of_room(ROOM_BYTES_MIN)
    }

    /// Whether the message log takes so many bytes at once, durable ones or transient ones; if
    /// not, it makes room for them.
    pub fn has_room_for(&mut self, durable: bool, bytes: u64) -> bool {
        let has_room = bytes <= self.store.room_bytes(durable) / 2;
        if !has_room {
            self.store.want_room(durable, 2 * bytes);
        }
        has_room
    }

    /// Memory or disk is low, or not any more.
    pub fn set_alarms(&mut self, memory: bool, disk: bool) {
        self.alarms = BlockReasons { memory, disk, full: false };
    }

    /// Why publishers are blocked.
    pub fn block_reasons(&self) -> BlockReasons {
        BlockReasons { full: self.store.is_disk_full(), ..self.alarms }
    }

    /// What moves by itself found no room: it waits until there may be some.
    fn wait_for_room(&mut self, what: &str, error: AppendError) {
        self.waits_for_room = true;
        if !std::mem::replace(&mut self.warned_of_waiting, true) {
            log::warn!("{what} in their queues until the log has room: {error}");
        }
    }

    /// Whether something that moves by itself waits for room.
    pub fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// The log may have room again: what waits for it tries.
    pub fn room_changed(&mut self) {
        self.waits_for_room = false;
        self.warned_of_waiting &= self.store.is_disk_full();
    }

    /// Whether the next turn has something to do without any input.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty()
            || (self.is_discarding() && !self.store.has_deferred())
            || (!self.dying.is_empty() && !self.waits_for_room)
            || !self.overfull.is_empty()
            || !self.returning.is_empty()
            || !self.effects.is_empty()
            || self.is_compacting()
            || self.store.has_unwritten()
    }

    /// Who may log in, and what they may do.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The same, to note logins and limits; users themselves change by [`Broker::put_user`], which
    /// makes it last.
    pub fn users_mut(&mut self) -> &mut Users {
        &mut self.users
    }

    /// An exchange, if it is still there.
    pub fn exchange(&self, key: ExchangeKey) -> Option<&Exchange> {
        self.exchanges.get(key)
    }

    /// A queue, if it is still there.
    pub fn queue(&self, key: QueueKey) -> Option<&Queue> {
        self.queues.get(key)
    }

    /// Whether a queue has messages that a consumer waits for. The readers of a stream take nothing
    /// from each other: nobody has to wait for them.
    pub fn can_deliver(&self, key: QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.stream.is_none() && queue.can_deliver())
    }

    /// A consumer, if it is still there.
    pub fn consumer(&self, key: ConsumerKey) -> Option<&Consumer> {
        self.consumers.get(key)
    }

    /// A vhost by its name.
    pub fn vhost_named(&self, name: &[u8]) -> Option<VhostKey> {
        self.vhost_names.get(name).copied()
    }

    /// A vhost's name; empty when it is gone.
    pub fn vhost_name(&self, key: VhostKey) -> Name {
        self.vhosts.get(key).map_or_else(|| Name::from(""), |vhost| vhost.name.clone())
    }

    /// Puts a queue that can deliver on the list of [`Broker::take_dirty`].
    pub fn mark_dirty(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key)
            && !queue.dirty
            && queue.can_deliver()
        {
            queue.dirty = true;
            self.dirty.push(key);
        }
    }

    pub(in crate::broker) fn topology_changed(&mut self) {
        self.topology_version += 1;
    }
}
