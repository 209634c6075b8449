//! Who gets which message?
//!
//! No sockets and no clock: what time it is comes as an argument, what happens to a session leaves
//! as a return value or an [`Effect`]. May import `amqp` and `storage`.
//!
//! [`Topology`] knows what there is to route through, [`Queues`] what waits and who waits for it,
//! [`Users`] who may do what. They do not know each other but downwards, and [`Broker`] leads
//! messages between them and the log. Rooms, of which each imports only those above it:
//!
//! | room | what is in it |
//! |---|---|
//! | [`notices`] | what the broker itself has to publish, while it waits |
//! | [`exchange`] | one exchange: its type's matcher, its bindings, what it remembers |
//! | [`users`] | users, passwords, patterns, permissions, logins, limits |
//! | [`arguments`] | arguments of declarations: checks, equivalence, policies, what they come to |
//! | [`queue`] | one queue: ready line, consumers in line, stream |
//! | [`serving`] | all queues, consumers and channels: credit, turns, deadlines, lengths |
//! | [`topology`] | vhosts, exchanges, bindings, policies; routes; definitions to the log |
//! | [`flow`] | the ways of a message: in, on, out, away |
//! | [`requests`] | what clients and operators ask for, with all that is checked first |

pub mod arguments;
mod block_reasons;
pub mod by_name;
pub mod chunks;
pub mod counters;
pub mod effect;
pub mod ends;
pub mod exchange;
pub mod flow;
pub mod hashing;
pub mod histogram;
pub mod history;
pub mod key;
pub mod notices;
pub mod opening;
pub mod payload;
pub mod queue;
pub mod requests;
pub mod resource;
mod restore;
pub mod serving;
pub mod term;
#[cfg(test)]
pub(crate) mod testing;
pub mod topology;
pub mod users;
pub mod watched;
pub mod work;

use std::collections::VecDeque;
use std::fmt;

use crate::amqp::{AmqpError, ReplyCode};
pub use crate::storage::{
    AppendError, Body, LargeBody, LogPos, MessageId, Record, RecordRef, StoreCounters,
};
use crate::storage::{QueueId, Store};

pub use block_reasons::BlockReasons;
pub use effect::{Effect, TakeBack, TakeBackOrder};
pub use exchange::Exchange;
pub use exchange::matcher::ExchangeKind;
pub use flow::commit::{Commit, Committed};
pub use flow::delivery::{Delivery, Got};
pub use flow::hand_over::Handed;
pub use flow::message::{Content, Message, Published};
pub use flow::republish::Original;
pub use flow::settle::Settlement;
pub use flow::transaction::Transaction;
pub use flow::transfer::{Target, Transferred, Why};
pub use key::{ChannelKey, ConnectionKey, ConsumerKey, ExchangeKey, QueueKey, VhostKey};
pub use opening::Found;
pub use queue::consumer::{ChannelCredit, Consumer};
pub use queue::ready::Place;
pub use queue::{Declaration, Queue};
pub use serving::{Churn, Deliveries, Queues, Unsettled};
pub use topology::Topology;
pub use topology::vhost::{Vhost, VhostSettings};
pub use users::{Access, Subject, User, Users};
pub use work::Work;

use counters::{Counters, Sizes, TimesInQueue};
use flow::commit::Commits;
use flow::compaction::{Compactor, Relocations};
use flow::dead_letter::Dying;
use flow::delayed::Delayed;
use flow::held_letters::HeldLetters;
use flow::settle::Discarding;
use notices::Notices;
use requests::administration::Applying;
use requests::reviews::Review;
use requests::take_back::TakeBacks;
use requests::vhosts::Parting;
use watched::Watched;

/// What it costs to tell a session something.
const WORK_PER_EFFECT: usize = 2;

/// Publishers are blocked while the log has room for less than this.
const ROOM_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// Everything that the node knows, in one place, owned by the loop.
pub struct Broker {
    /// The log of messages and definitions; the turn writes it out and syncs it.
    pub store: Store,
    topology: Topology,
    queues: Queues,
    users: Users,
    clock_ms: u64,
    /// What the present step of the turn may still do.
    pub work: Work,
    /// Memory or disk is low: publishers are blocked.
    alarms: BlockReasons,
    /// What happened to messages, in all queues together.
    pub counters: Counters,
    /// How large messages were that clients published.
    pub sizes: Sizes,
    /// How long messages had been in their queues when somebody first got them.
    pub times_in_queue: TimesInQueue,
    /// What operators look at over time.
    pub watched: Watched,
    /// What the sessions have to be told.
    effects: VecDeque<Effect>,
    /// Messages of delayed exchanges.
    delayed: Delayed,
    /// Messages on their way to a dead-letter exchange.
    dying: VecDeque<Dying>,
    held: HeldLetters,
    /// The transaction that takes effect over several turns.
    commits: Commits,
    /// Deliveries of channels that ended, which go back to their queues by and by.
    returning: VecDeque<Deliveries>,
    /// Deliveries that operators want back in their queues.
    take_backs: TakeBacks,
    /// Queues that nobody uses, or whose connection ended: they are removed by and by.
    leaving: VecDeque<QueueKey>,
    /// Auto-delete exchanges that lost their last binding: so are they.
    unbound: VecDeque<ExchangeKey>,
    /// Vhosts that were deleted: what is in them goes by and by.
    parting: VecDeque<Parting>,
    /// Vhosts whose policies changed: what is in them follows by and by.
    applying: VecDeque<Applying>,
    /// Users whose rights changed: their consumers are looked at by and by.
    reviews: VecDeque<Review>,
    /// Ready lines of purged and deleted queues, settled a bounded number a turn.
    discarding: Discarding,
    /// What keeps mostly dead segments of the log is relocated.
    compactor: Compactor,
    /// Messages that were relocated and stand in no queue's line.
    relocations: Relocations,
    /// What moves by itself found no room in the log; whether the operator was told of it.
    waits_for_room: bool,
    warned_of_waiting: bool,
    /// What the broker itself publishes.
    notices: Notices,
    /// Scratch lists, kept for their memory.
    queue_ids: Vec<QueueId>,
    notice_queues: Vec<QueueKey>,
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

    /// The next thing that a session has to be told, if this step allows it.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.work.is_done() {
            return None;
        }
        self.work.spend(WORK_PER_EFFECT);
        self.effects.pop_front()
    }

    /// Ends a client's connection; it is told why.
    pub fn force_close(&mut self, connection: ConnectionKey, reason: String) {
        self.effects.push_back(Effect::ConnectionForced { connection, reason });
    }

    /// Whether publishers may go on: the message log takes what they send, no commit goes on, and
    /// there is no alarm.
    #[inline]
    pub fn has_room(&self) -> bool {
        !self.alarms.is_any() && !self.commits.is_any_running() && self.has_log_room()
    }

    /// Whether the message log takes what publishers send in a turn.
    #[inline]
    pub fn has_log_room(&self) -> bool {
        !self.store.is_short_of_room(ROOM_BYTES_MIN)
    }

    /// 506 while the disk is full: something durable that is new would take what is kept for
    /// deletes and acknowledgements. Nobody is kept waiting, since who comes to take messages out
    /// often declares first what is there already.
    fn refuse_without_room(&self, what: impl fmt::Display) -> Result<(), AmqpError> {
        if self.store.is_out_of_room(ROOM_BYTES_MIN) {
            let text = format!("no disk space is left for {what}");
            return Err(AmqpError::channel(ReplyCode::ResourceError, text));
        }
        Ok(())
    }

    /// The most bytes of what lasts: of a user with permissions, a policy, a queue's arguments.
    pub fn definition_bytes_max(&self) -> usize {
        // Names and what else is in a record beside that.
        self.store.definition_bytes_max() - 4 * 1024
    }

    /// 406 for arguments that are too long to last.
    fn refuse_too_long(&self, what: impl fmt::Display, arguments: usize) -> Result<(), AmqpError> {
        let most = self.definition_bytes_max();
        if arguments > most {
            let text = format!("arguments of {what} have more than {most} bytes");
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        Ok(())
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
        let alarms = BlockReasons { memory, disk, full: false };
        self.note_alarms(self.alarms, alarms);
        self.alarms = alarms;
    }

    /// Why publishers are blocked.
    pub fn block_reasons(&self) -> BlockReasons {
        BlockReasons { full: self.store.is_disk_full(), ..self.alarms }
    }

    /// What the log did, and how large it is.
    pub fn log_counters(&self) -> StoreCounters {
        self.store.counters()
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
        self.queues.has_work()
            || self.commits.is_any_running()
            || (self.is_discarding() && !self.store.has_deferred())
            || (!self.dying.is_empty() && !self.waits_for_room)
            || !self.returning.is_empty()
            || !self.leaving.is_empty()
            || !self.unbound.is_empty()
            || !self.parting.is_empty()
            || !self.applying.is_empty()
            || !self.reviews.is_empty()
            || !self.effects.is_empty()
            || self.has_notices_to_publish()
            || self.is_compacting()
            || self.queues.is_sampling()
            || self.topology.is_sampling()
            || self.store.has_unwritten()
    }

    /// What there is to route through.
    #[inline]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where messages wait, and who waits for them.
    #[inline]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The same, for the credit of channels and for what the turn delivers from.
    #[inline]
    pub fn queues_mut(&mut self) -> &mut Queues {
        &mut self.queues
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
}
