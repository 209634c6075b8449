//! What happens in one turn of the loop, and in which order?
//!
//! [`EventLoop::turn`] is the whole of it. Nothing else in the code syncs, delivers or frees.

use std::time::{Duration, Instant};

use log::{debug, info, warn};

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::hand_over::emptied;
use crate::broker::{ConnectionKey, Effect};
use crate::session::{Session, WaitUntil};
use crate::storage::LogPos;

use super::alarms::Alarms;
use super::clock::Clock;
use super::connection::{Connection, Fill};
use super::event_loop::{Command, EventLoop, EventSource, LoopError, STOP_WITHIN};
use super::timers::Timers;

/// Input that one connection may bring in one turn.
const READ_BYTES_PER_TURN: usize = 256 * 1024;

/// Deliveries that one queue may make in one turn.
const DELIVERIES_PER_TURN: usize = 4096;

/// How often more space is asked for while the disk is full.
const RETRY_SPACE_EVERY: Duration = Duration::from_millis(200);

/// Persistent messages that nobody waits for are synced within this time.
const SYNC_WITHIN: Duration = Duration::from_millis(200);

/// Acknowledgements are synced within this time.
const SYNC_SETTLEMENTS_WITHIN: Duration = Duration::from_secs(1);

/// Acknowledgements that nobody asks about are written within this time, or with the next message:
/// written alone in every turn, they cost a lone publisher half as many bytes again and a third of
/// its latency.
const SETTLEMENTS_WITHIN: Duration = Duration::from_millis(5);

/// Connections that were idle for this long hold no buffers.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a closed connection may take to read what it was sent last.
const LINGER: Duration = Duration::from_secs(2);

impl EventLoop {
    /// Runs until told to stop; `signalled` is called when the source given to
    /// [`EventLoop::watch_signals`] is ready.
    ///
    /// # Errors
    /// The poll or the disk failed; nothing that was not on disk has been confirmed.
    pub fn run(&mut self, signalled: &mut dyn FnMut() -> Option<Command>) -> Result<(), LoopError> {
        while !self.has_stopped() {
            self.turn(signalled)?;
            self.remote.note_turn(self.clock.since_read());
        }
        Ok(())
    }

    /// One turn.
    fn turn(&mut self, signalled: &mut dyn FnMut() -> Option<Command>) -> Result<(), LoopError> {
        self.wait()?;
        self.mark_readiness(signalled);
        self.run_connections();
        self.fire_timers();
        self.broker.settle_discarded();
        self.broker.bury();
        self.broker.release_delayed();
        self.broker.compact();
        self.take_answers()?;
        self.broker.store.retire();
        self.write_out()?;
        self.start_sync()?;
        self.carry_out_effects();
        self.deliver();
        self.broker.enforce_limits();
        self.broker.expire();
        self.broker.store.write_out_transient()?;
        let durable = self.broker.store.durable();
        self.release_confirms(durable);
        self.release_waiting(durable);
        self.flush();
        self.accept();
        self.remove_gone();
        self.broker.store.look_back(self.clock.unix_ms())?;
        self.broker.store.maintain()?;
        // The transient ring uses free segments again without the helper, whose word nobody may
        // wait for then.
        let is_full_now = self.broker.store.is_disk_full() != self.disk_full;
        let somebody_waits = !self.held_back.is_empty() || self.broker.waits_for_room();
        if is_full_now || somebody_waits && self.broker.has_room() {
            self.reconsider_held_back();
        }
        Ok(())
    }

    /// Waits for something to do, then reads the clock.
    fn wait(&mut self) -> Result<(), LoopError> {
        let timeout = if self.run_queue.is_empty() && !self.broker.has_work() {
            let sync_at = self.sync_due().filter(|_| self.broker.store.may_sync());
            let retry_at = self.listeners.iter().filter_map(|listener| listener.retry_at()).min();
            let expiry_at = self.broker.next_expiry_ms().map(|at_ms| self.clock.instant_of(at_ms));
            let store = &self.broker.store;
            let unwritten = store.has_unwritten_settlements();
            let settlements_at = unwritten.then_some(self.settlements_at + SETTLEMENTS_WITHIN);
            let look_at = store.next_look_ms().map(|at_ms| self.clock.instant_of(at_ms));
            let timers = self.timers.next();
            let next = [
                timers,
                settlements_at,
                look_at,
                expiry_at,
                sync_at,
                retry_at,
                self.sweep_at,
                self.retry_space_at,
                self.alarms.as_ref().map(Alarms::next),
                self.stopping,
            ];
            next.into_iter().flatten().min().map(|at| {
                self.clock.read();
                at.saturating_duration_since(self.clock.now())
            })
        } else {
            Some(Duration::ZERO)
        };
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(LoopError::Poll(error));
        }
        self.clock.read();
        self.broker.set_clock(self.clock.unix_ms());
        Ok(())
    }

    /// Remembers what became ready; the kernel will not say it again.
    fn mark_readiness(&mut self, signalled: &mut dyn FnMut() -> Option<Command>) {
        let mut stop = false;
        for event in &self.events {
            match Self::source_of(event.token()) {
                EventSource::Waker => {
                    stop |=
                        self.commands.try_iter().any(|command| matches!(command, Command::Stop));
                }
                EventSource::Signals => stop |= matches!(signalled(), Some(Command::Stop)),
                EventSource::Listener(index) => self.listeners[index].ready = true,
                EventSource::Connection(key) => {
                    let Some(connection) = self.connections.get_mut(key) else {
                        continue;
                    };
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        connection.readable = true;
                        connection.read_closed |= event.is_read_closed();
                        connection.enqueue(&mut self.run_queue, key);
                    }
                    if event.is_writable() {
                        connection.writable = true;
                        connection.touch(&mut self.touched, key);
                    }
                }
            }
        }
        if stop && self.stopping.is_none() {
            self.stop();
        }
    }

    /// Gives every connection on the run queue one read.
    fn run_connections(&mut self) {
        for _ in 0..self.run_queue.len() {
            let Some(key) = self.run_queue.pop_front() else {
                break;
            };
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.queued = false;
            if connection.gone {
                continue;
            }
            if connection.lingers_until.is_some() {
                self.discard_input(key);
            } else {
                self.run_connection(key);
            }
        }
    }

    /// Reads what one connection sent and lets its session work on it.
    fn run_connection(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.session.waits_for().is_some() || connection.session.is_full() {
            return;
        }
        if connection.session.awaits_room() && !self.broker.has_room() {
            return self.hold_back(key);
        }
        let kept = connection.unread.len();
        self.buffer[..kept].copy_from_slice(&connection.unread);
        connection.unread.clear();
        let mut bytes = kept;
        if connection.readable && kept < READ_BYTES_PER_TURN {
            let end = self.buffer.len().min(kept + READ_BYTES_PER_TURN);
            match connection.fill(&mut self.buffer[kept..end]) {
                Fill::Bytes(read) => bytes += read,
                Fill::Drained(read) => {
                    bytes += read;
                    connection.readable = false;
                }
                Fill::Closed => {
                    connection.readable = false;
                    connection.gone = true;
                    self.gone.push(key);
                }
            }
        }
        let now = self.clock.now();
        let mut handed = std::mem::take(&mut self.handed);
        let input = &self.buffer[..bytes];
        let taken = connection.session.receive(&mut self.broker, now, input, &mut handed);
        let rest = &self.buffer[taken..bytes];
        if rest.is_empty() {
            connection.unread = Vec::new();
        } else {
            connection.unread.extend_from_slice(rest);
        }
        for handed in &handed {
            let to = handed.to.connection;
            if let Some(connection) = self.connections.get_mut(to) {
                connection.session.take_handed(&mut self.broker, handed);
                connection.touch(&mut self.touched, to);
            }
        }
        self.handed = emptied(handed);
        self.after_session(key);
    }

    /// The connection is not read until the log has room again.
    fn hold_back(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let full = self.broker.store.is_disk_full();
        let low_on_disk = full.then_some("low on disk");
        let reason = self.alarms.as_ref().map_or(low_on_disk, |alarms| alarms.reason(full));
        connection.session.hold_back(reason, self.clock.now());
        if !connection.listed_held_back {
            connection.listed_held_back = true;
            self.held_back.push(key);
        }
        connection.touch(&mut self.touched, key);
    }

    /// Space was found, or there is none: those that are held back go on, or are told why.
    fn reconsider_held_back(&mut self) {
        let full = self.broker.store.is_disk_full();
        if full != self.disk_full {
            self.disk_full = full;
            if full {
                warn!("disk alarm: no space for the message log, publishers are held back");
                self.retry_space_at = Some(self.clock.now() + RETRY_SPACE_EVERY);
            } else {
                info!("disk alarm is over: publishers go on");
                self.retry_space_at = None;
            }
        }
        self.broker.room_changed();
        let room = self.broker.has_room();
        for key in std::mem::take(&mut self.held_back) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.listed_held_back = false;
            if !room {
                self.hold_back(key);
                continue;
            }
            connection.session.let_go_on(self.clock.now());
            connection.enqueue(&mut self.run_queue, key);
            connection.touch(&mut self.touched, key);
        }
    }

    /// Puts a connection on the lists that its session's new state asks for.
    fn after_session(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let session = &mut connection.session;
        // What waits for the disk is an answer, too.
        self.answered |= session.take_answered() || session.waits_for().is_some();
        if session.is_confirming() {
            self.confirming_fresh.push(key);
            if !connection.listed_confirming {
                connection.listed_confirming = true;
                self.confirming.push(key);
            }
        }
        let waits = session.waits_for().is_some();
        if waits && !connection.listed_waiting {
            connection.listed_waiting = true;
            self.waiting.push(key);
        }
        arm(&self.clock, &mut self.timers, connection, key);
        let session = &connection.session;
        let awaits_room = session.awaits_room();
        let closed = session.is_closed();
        let full = session.is_full();
        let ready = connection.readable && !waits && !full && !awaits_room;
        let has_output = !session.outbox.is_empty() || closed;
        if ready && !connection.gone {
            connection.enqueue(&mut self.run_queue, key);
        }
        if has_output {
            connection.touch(&mut self.touched, key);
        }
        if awaits_room {
            self.hold_back(key);
        }
    }

    /// Throws away what a connection sends after its end.
    fn discard_input(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        for _ in 0..4 {
            match connection.fill(&mut self.buffer) {
                Fill::Bytes(_) => {}
                Fill::Drained(_) => return connection.readable = false,
                Fill::Closed => {
                    connection.gone = true;
                    return self.gone.push(key);
                }
            }
        }
        connection.enqueue(&mut self.run_queue, key);
    }

    /// Asks the connections whose time has come what is due.
    fn fire_timers(&mut self) {
        let now = self.clock.now();
        while let Some(key) = self.timers.pop_due(now) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.timer_at = None;
            let over = connection.lingers_until.is_some_and(|until| now >= until);
            if over || !connection.session.tick(&mut self.broker, now) {
                connection.gone = true;
                self.gone.push(key);
                continue;
            }
            self.after_session(key);
        }
        if self.sweep_at.is_some_and(|at| now >= at) {
            self.sweep();
        }
        if let Some(alarms) = &mut self.alarms {
            self.broker.hold_publishers(alarms.look(now));
        }
        if self.retry_space_at.is_some_and(|at| now >= at) {
            self.retry_space_at = Some(now + RETRY_SPACE_EVERY);
            self.broker.store.retry_space();
        }
    }

    /// Frees the buffers of connections that have been idle for a while.
    fn sweep(&mut self) {
        let mut warm = std::mem::take(&mut self.warm);
        warm.retain(|&key| {
            let Some(connection) = self.connections.get_mut(key) else {
                return false;
            };
            if std::mem::take(&mut connection.active) {
                return true;
            }
            connection.session.outbox.release_memory();
            connection.listed_warm = connection.session.outbox.holds_memory();
            connection.listed_warm
        });
        self.sweep_at = (!warm.is_empty()).then(|| self.clock.now() + SWEEP_EVERY);
        self.warm = warm;
    }

    /// The storage helper's answers: the durable position moved, a segment is ready.
    fn take_answers(&mut self) -> Result<(), LoopError> {
        let answers = self.broker.store.take_answers()?;
        if answers.space_changed {
            self.reconsider_held_back();
        }
        Ok(())
    }

    /// Writes the turn's records, and with them what was settled: that alone not in every turn.
    fn write_out(&mut self) -> Result<(), LoopError> {
        let now = self.clock.now();
        let answered = std::mem::take(&mut self.answered);
        let settlements = answered || now >= self.settlements_at + SETTLEMENTS_WITHIN;
        let store = &mut self.broker.store;
        let had_settlements = store.has_unwritten_settlements();
        store.write_out(settlements)?;
        if had_settlements && !store.has_unwritten_settlements() {
            self.settlements_at = now;
        }
        Ok(())
    }

    /// When what nobody waits for has to be synced.
    fn sync_due(&self) -> Option<Instant> {
        let within = match self.broker.store.has_unsynced_content() {
            true => SYNC_WITHIN,
            false => SYNC_SETTLEMENTS_WITHIN,
        };
        self.unsynced_since.map(|since| since + within)
    }

    /// Starts a sync when somebody waits for one, or when something has waited for long.
    fn start_sync(&mut self) -> Result<(), LoopError> {
        let now = self.clock.now();
        if !self.broker.store.has_unsynced() {
            self.unsynced_since = None;
            return Ok(());
        }
        self.unsynced_since.get_or_insert(now);
        let wanted = !self.confirming.is_empty()
            || !self.waiting.is_empty()
            || self.sync_due().is_some_and(|due| now >= due);
        if self.broker.store.start_sync_if(wanted)? {
            self.unsynced_since = None;
        }
        Ok(())
    }

    /// Tells the sessions what happened to them in the broker.
    fn carry_out_effects(&mut self) {
        for effect in self.broker.take_effects() {
            let key = match effect {
                Effect::ConsumerCancelled { connection: key, channel, tag, consumer } => {
                    let Some(connection) = self.connections.get_mut(key) else {
                        continue;
                    };
                    let session = &mut connection.session;
                    session.consumer_cancelled(channel, &tag, consumer);
                    key
                }
                Effect::CloseConnection { connection: key, error } => {
                    let Some(connection) = self.connections.get_mut(key) else {
                        continue;
                    };
                    let now = self.clock.now();
                    connection.session.close_with(&mut self.broker, now, &error);
                    key
                }
            };
            self.after_session(key);
        }
    }

    /// Hands messages to consumers that have credit and room.
    fn deliver(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.broker.take_dirty(&mut dirty);
        for &queue in &dirty {
            for _ in 0..DELIVERIES_PER_TURN {
                let Some(delivery) = self.broker.next_delivery(queue) else {
                    break;
                };
                let key = delivery.connection;
                let Some(connection) = self.connections.get_mut(key) else {
                    continue;
                };
                connection.session.deliver(&mut self.broker, &delivery);
                connection.touch(&mut self.touched, key);
            }
            self.broker.mark_dirty(queue);
        }
        self.dirty = dirty;
    }

    /// Releases confirms up to the durable position: to everybody when it moved, else to those
    /// who published just now, since what they published may wait for nothing.
    fn release_confirms(&mut self, durable: LogPos) {
        let moved = durable > self.released;
        self.released = durable;
        let fresh = std::mem::take(&mut self.confirming_fresh);
        let mut some_are_done = false;
        for &key in if moved { &self.confirming } else { &fresh } {
            let Some(connection) = self.connections.get_mut(key) else {
                some_are_done = true;
                continue;
            };
            connection.listed_confirming = connection.session.release_confirms(durable);
            some_are_done |= !connection.listed_confirming;
            if !connection.session.outbox.is_empty() {
                connection.touch(&mut self.touched, key);
            }
        }
        if some_are_done {
            let connections = &self.connections;
            let is_listed = |key| connections.get(key).is_some_and(|c| c.listed_confirming);
            self.confirming.retain(|&key| is_listed(key));
        }
        self.confirming_fresh = fresh;
        self.confirming_fresh.clear();
    }

    /// Releases the sessions that waited for what is durable now.
    fn release_waiting(&mut self, durable: LogPos) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&key| {
            let Some(connection) = self.connections.get_mut(key) else {
                return false;
            };
            let over = match connection.session.waits_for() {
                Some(WaitUntil::Changed(change)) => self.broker.store.is_kept(change),
                Some(WaitUntil::Discarded(line)) => self.broker.is_discarded(line),
                Some(WaitUntil::Messages(position)) => position <= durable,
                None => true,
            };
            if !over {
                return true;
            }
            connection.listed_waiting = false;
            connection.session.wait_is_over();
            connection.enqueue(&mut self.run_queue, key);
            connection.touch(&mut self.touched, key);
            false
        });
        self.waiting = waiting;
    }

    /// One vectored write per connection that has output, more while the kernel takes all.
    fn flush(&mut self) {
        for key in std::mem::take(&mut self.touched) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.touched = false;
            if connection.gone || connection.lingers_until.is_some() {
                continue;
            }
            let was_full = connection.session.is_full();
            while connection.writable && !connection.session.outbox.is_empty() {
                match connection.write() {
                    Ok(Some(bytes)) => {
                        let now = self.clock.now();
                        connection.session.flushed(&mut self.broker, bytes, now);
                    }
                    Ok(None) => connection.writable = false,
                    Err(error) => {
                        debug!("{:?}: writing failed: {error}", connection.peer());
                        connection.gone = true;
                        self.gone.push(key);
                        break;
                    }
                }
            }
            connection.active = true;
            arm(&self.clock, &mut self.timers, connection, key);
            if !connection.listed_warm {
                connection.listed_warm = true;
                self.warm.push(key);
                self.sweep_at.get_or_insert(self.clock.now() + SWEEP_EVERY);
            }
            if was_full && !connection.session.is_full() {
                connection.enqueue(&mut self.run_queue, key);
            }
            if connection.session.is_closed() && connection.session.outbox.is_empty() {
                let until = self.clock.now() + LINGER;
                connection.linger(until);
                self.timers.add(until, key);
                if connection.gone {
                    self.gone.push(key);
                }
            }
        }
    }

    /// Accepts new connections, as far as their number is allowed.
    fn accept(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let now = self.clock.now();
        for index in 0..self.listeners.len() {
            while let Some((socket, peer)) = self.listeners[index].accept(now) {
                let full = self.sockets_max.is_some_and(|max| self.connections.len() >= max);
                if full {
                    warn!("{peer}: refused, {} connections are open", self.connections.len());
                    continue;
                }
                if let Err(error) = socket.set_nodelay(true) {
                    debug!("{peer}: TCP_NODELAY cannot be set: {error}");
                }
                let key = self.connections.next_key();
                let session = Session::new(key, peer, self.limits.clone(), now);
                let key = self.connections.insert(Connection::new(socket, session));
                let Some(connection) = self.connections.get_mut(key) else {
                    continue;
                };
                let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
                let registry = self.poll.registry();
                let token = Self::token_of(key);
                if let Err(error) = registry.register(&mut connection.socket, token, interest) {
                    warn!("{peer}: cannot watch the socket: {error}");
                    connection.gone = true;
                    self.gone.push(key);
                    continue;
                }
                self.after_session(key);
            }
        }
    }

    /// Removes what is closed; its slot is free from the next turn on.
    fn remove_gone(&mut self) {
        for key in std::mem::take(&mut self.gone) {
            let Some(mut connection) = self.connections.remove(key) else {
                continue;
            };
            connection.session.end(&mut self.broker);
            if let Err(error) = self.poll.registry().deregister(&mut connection.socket) {
                debug!("{:?}: {error}", connection.peer());
            }
            connection.session.log_end();
        }
    }

    /// Begins the end: no new connections, and every client is told.
    fn stop(&mut self) {
        info!("stopping: {} connections are told", self.connections.len());
        self.stopping = Some(self.clock.now() + STOP_WITHIN);
        let reason = "broker forced connection closure with reason 'shutdown'";
        let error = AmqpError::connection(ReplyCode::ConnectionForced, reason);
        let keys: Vec<_> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(connection) = self.connections.get_mut(key) {
                let now = self.clock.now();
                if connection.session.is_open() {
                    connection.session.close_with(&mut self.broker, now, &error);
                } else {
                    connection.gone = true;
                    self.gone.push(key);
                }
            }
            self.after_session(key);
        }
    }

    /// Whether the stop is complete: every client closed, or took too long.
    fn has_stopped(&self) -> bool {
        let quiet = || self.connections.iter().all(|(_, c)| c.lingers_until.is_some());
        let late = |until: Instant| self.clock.now() >= until;
        self.stopping.is_some_and(|until| late(until) || quiet())
    }
}

/// Makes sure that the connection is asked when its session's next time limit comes.
fn arm(clock: &Clock, timers: &mut Timers, connection: &mut Connection, key: ConnectionKey) {
    let acks_due = connection.session.acks_due_ms().map(|due_ms| clock.instant_of(due_ms));
    let deadline = connection.session.deadline().into_iter().chain(acks_due).min();
    if let Some(deadline) = deadline
        && connection.timer_at.is_none_or(|at| deadline < at)
    {
        connection.timer_at = Some(deadline);
        timers.add(deadline, key);
    }
}
