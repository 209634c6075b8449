//! What happens between "bytes arrived" and "bytes may leave"?
//!
//! A [`Node`] is the broker, the sessions of its clients, the conversations of its operators, the
//! lists of who waits for what, and the
//! table of deadlines: everything that a turn works on, without sockets and without a clock.
//! Whoever owns the sockets tells it the time ([`Node::begin`]), hands it what arrived
//! ([`Node::receive`]), lets it do its turn ([`Node::turn`]), sends what is in the outboxes and
//! says how much went ([`Node::flushed`]). The order of all that is drawn at the top of [`turn`].
//!
//! May import everything but `net` and `daemon`.

mod alarms;
mod blocking;
mod calendar;
mod deadlines;
mod endpoint;
mod input;
mod log_tail;
mod operators;
mod orders;
mod output;
mod places;
mod release;
mod sampling;
mod sync;
pub mod turn;
mod view;
mod vitals;
mod watch;
mod web;

use std::time::Instant;

use crate::broker::key::Arena;
use crate::broker::work::WORK_PER_INPUT;
use crate::broker::{Broker, ConnectionKey, Handed, QueueKey};
use crate::session::{Limits, Session};

pub use alarms::ResourceLimits;
pub use calendar::Calendar;
pub use log_tail::LogTail;
pub use watch::{Step, Told, Unwatched, Watch};

use blocking::Blocking;
use deadlines::Deadlines;
use endpoint::Endpoint;
use operators::Operators;
use release::Waiting;
use sampling::Sampling;
use sync::SyncPlan;
use vitals::Health;

/// The broker and the sessions of its clients.
pub struct Node {
    /// Who gets which message.
    pub broker: Broker,
    limits: Limits,
    endpoints: Arena<ConnectionKey, Endpoint>,
    /// How many of them speak AMQP.
    amqp_count: usize,
    /// What operators ask for, and what they see.
    operators: Operators,
    /// Where lines of the log come from that are to be published.
    log_tail: Option<&'static LogTail>,
    calendar: Calendar,
    now: Instant,
    deadlines: Deadlines,
    /// What was counted, and how much it was of late.
    sampling: Sampling,
    /// Who waits for the durable position.
    waiting: Waiting,
    /// Which publishers wait for room, memory or disk.
    blocking: Blocking,
    /// What it remembers of how it is doing.
    health: Health,
    /// When what is written and synced.
    sync: SyncPlan,
    /// Connections that may have output.
    touched: Vec<ConnectionKey>,
    /// Connections that may be read again.
    resumed: Vec<ConnectionKey>,
    /// Connections whose sockets are of no more use.
    gone: Vec<ConnectionKey>,
    /// Connections that may hold buffers.
    warm: Vec<ConnectionKey>,
    /// Scratch lists, kept for their memory.
    dirty: Vec<QueueKey>,
    handed: Vec<Handed<'static>>,
}

impl Node {
    /// A node around a broker, without connections; it is `now`.
    pub fn new(broker: Broker, limits: Limits, calendar: Calendar, now: Instant) -> Self {
        Self {
            broker,
            limits,
            endpoints: Arena::new(),
            amqp_count: 0,
            operators: Operators::new(now),
            log_tail: None,
            calendar,
            now,
            deadlines: Deadlines::default(),
            sampling: Sampling::new(now),
            waiting: Waiting::default(),
            blocking: Blocking::default(),
            health: Health::new(now),
            sync: SyncPlan::new(now),
            touched: Vec::new(),
            resumed: Vec::new(),
            gone: Vec::new(),
            warm: Vec::new(),
            dirty: Vec::new(),
            handed: Vec::new(),
        }
    }

    /// A turn begins, and it is `now` until it ends.
    pub fn begin(&mut self, now: Instant) {
        self.now = now;
        self.broker.set_clock(self.calendar.unix_ms(now));
        self.broker.work.begin(WORK_PER_INPUT);
    }

    /// How many connections there are, of both kinds.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// How many AMQP connections there are.
    pub fn connection_count(&self) -> usize {
        self.amqp_count
    }

    /// The session of a connection, if it is still there.
    pub fn session(&self, key: ConnectionKey) -> Option<&Session> {
        self.endpoints.get(key).and_then(Endpoint::session)
    }

    /// Whether sessions took as much of what arrived as a turn allows.
    pub fn is_input_over(&self) -> bool {
        self.broker.work.is_done()
    }

    /// Whether the next turn has something to do without any input: also what a session answered,
    /// or has left to read, after the others were flushed and resumed.
    pub fn has_work(&self) -> bool {
        self.broker.has_work()
            || !self.touched.is_empty()
            || !self.resumed.is_empty()
            || self.operators.has_work()
            || self.sampling.is_sampling()
            || self.has_log_lines()
    }

    /// When the next turn has something to do, whatever arrives; `None` = never.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Connections that may have output since this was last asked; `list` is emptied and swapped
    /// in. Each of them has to be flushed ([`Node::flush_is_over`]).
    pub fn take_touched(&mut self, list: &mut Vec<ConnectionKey>) {
        list.clear();
        std::mem::swap(list, &mut self.touched);
    }

    /// Connections that may be read again since this was last asked; `list` is emptied and swapped
    /// in.
    pub fn take_resumed(&mut self, list: &mut Vec<ConnectionKey>) {
        list.clear();
        std::mem::swap(list, &mut self.resumed);
    }

    /// Connections whose sockets are of no more use since this was last asked: they are to be
    /// removed ([`Node::remove`]).
    pub fn take_gone(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.gone)
    }

    /// The broker of a node that has ended.
    pub fn into_broker(self) -> Broker {
        self.broker
    }
}
