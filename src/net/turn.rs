//! How do bytes get from the sockets to the node, and back? Polls, reads, flushes, accepts; what
//! happens in between is [`crate::node::turn`].

use std::time::{Duration, Instant};

use log::{debug, info, warn};

use crate::broker::ConnectionKey;
use crate::management::Order;
use crate::node::Unwatched;
use crate::sys;

use super::connection::{Connection, Fill};
use super::event_loop::{EventLoop, EventSource, LoopError, STOP_WITHIN};
use super::listener::{Accepted, Listener, Visitor};
use super::shaking::receive_encrypted;
use super::socket::Socket;

/// Input that one connection may bring in one turn.
const READ_BYTES_PER_TURN: usize = 256 * 1024;

/// So many bytes are encrypted in one turn, which takes about a millisecond; whoever is not sent to
/// then is in the next one.
const ENCRYPTED_BYTES_PER_TURN: usize = 1024 * 1024;

/// So many may come in at one listener in one turn: a millisecond. The others come in the next.
const ACCEPTED_PER_TURN: usize = 64;

/// How long a closed connection may take to read what it was sent last.
const LINGER: Duration = Duration::from_secs(30);

impl EventLoop {
    /// Runs until told to stop; `signalled` is called when the source given to
    /// [`EventLoop::watch_signals`] is ready.
    ///
    /// # Errors
    /// The poll or the disk failed; nothing that was not on disk has been confirmed.
    pub fn run(&mut self, signalled: &mut dyn FnMut() -> Vec<Order>) -> Result<(), LoopError> {
        while !self.has_stopped() {
            self.turn(signalled)?;
            let took = self.clock.since_read();
            self.remote.note_turn(took);
            self.node.note_turn(took);
        }
        Ok(())
    }

    /// One turn.
    fn turn(&mut self, signalled: &mut dyn FnMut() -> Vec<Order>) -> Result<(), LoopError> {
        self.wait()?;
        self.node.begin(self.clock.now());
        self.mark_readiness(signalled);
        self.hear_newcomers();
        self.run_connections();
        self.end_lingering();
        self.end_late_handshakes();
        self.node.turn(&mut Unwatched)?;
        self.flush();
        self.accept();
        self.node.end()?;
        self.resume();
        self.go_on_shaking();
        self.look_at_certificates();
        self.remove_gone();
        sys::sort_freed_memory();
        Ok(())
    }

    /// Waits for something to do, then reads the clock.
    fn wait(&mut self) -> Result<(), LoopError> {
        let is_idle = self.run_queue.is_empty()
            && self.unflushed.is_empty()
            && !self.shaking.has_work()
            && !self.has_arrivals()
            && !self.node.has_work();
        let must_stop = self.node.is_stop_ordered() && self.stopping.is_none();
        let timeout = if is_idle && !must_stop {
            let next = [
                self.node.next_deadline(),
                self.listeners.iter().filter_map(|listener| listener.retry_at()).min(),
                self.lingering.front().map(|(at, _)| *at),
                self.shaking.deadline(),
                self.sites.deadline(),
                self.newcomers.deadline(),
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
        Ok(())
    }

    /// Remembers what became ready; the kernel will not say it again.
    fn mark_readiness(&mut self, signalled: &mut dyn FnMut() -> Vec<Order>) {
        let mut orders = Vec::new();
        for event in &self.events {
            match Self::source_of(event.token()) {
                EventSource::Waker => orders.extend(self.orders.try_iter()),
                EventSource::Signals => orders.extend(signalled()),
                EventSource::Listener(index) => self.listeners[index].ready = true,
                EventSource::Newcomer(place) => {
                    self.newcomers.note(place, event.is_read_closed() || event.is_error());
                }
                EventSource::Connection(key) => {
                    let Some(connection) = self.connections.get_mut(key) else {
                        continue;
                    };
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        connection.readable = true;
                        connection.read_closed |= event.is_read_closed();
                        connection.enqueue(&mut self.run_queue, key);
                    }
                    // Said with every event; as long as it was so, all was sent that there was.
                    if event.is_writable() && !connection.writable {
                        connection.writable = true;
                        self.writable.push(key);
                    }
                }
            }
        }
        orders.into_iter().for_each(|order| self.carry_out(order));
        // Who ordered it over HTTP was answered at the end of the last turn.
        if self.node.is_stop_ordered() && self.stopping.is_none() {
            info!("stopping: {} connections are closed", self.node.connection_count());
            self.stopping = Some(self.clock.now() + STOP_WITHIN);
            self.newcomers.clear();
            self.node.stop();
        }
    }

    /// Gives every connection on the run queue one read.
    fn run_connections(&mut self) {
        for _ in 0..self.run_queue.len() {
            // Whoever has to wait for the next turn is the first then.
            if self.node.is_input_over() {
                break;
            }
            let Some(key) = self.run_queue.pop_front() else {
                break;
            };
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.dequeued();
            if connection.gone {
                continue;
            }
            if connection.lingers {
                self.discard_input(key);
            } else if connection.is_shaking() {
                connection.requeued();
                self.shaking.push(key);
            } else {
                self.run_connection(key);
            }
        }
    }

    /// Reads what one connection sent and lets its session work on it.
    pub(super) fn run_connection(&mut self, key: ConnectionKey) {
        if !self.node.may_read(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let kept = connection.unread.len();
        self.buffer[..kept].copy_from_slice(&connection.unread);
        connection.unread.clear();
        let mut bytes = kept;
        if connection.readable && kept < READ_BYTES_PER_TURN {
            let end = self.buffer.len().min(kept + READ_BYTES_PER_TURN);
            let room = &mut self.buffer[kept..end];
            let fill = match &connection.socket {
                Socket::Tls(_) => {
                    receive_encrypted(connection, room, &self.sites, &mut self.node, key)
                }
                Socket::Tcp(_) | Socket::Unix(_) => connection.fill(room),
            };
            match fill {
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
        let bytes = self.node.unwrap_input(key, &mut self.buffer[..bytes], kept);
        let taken = self.node.receive(key, &self.buffer[..bytes], &mut Unwatched);
        let rest = &self.buffer[taken..bytes];
        if rest.is_empty() {
            connection.unread = Vec::new();
        } else {
            connection.unread.extend_from_slice(rest);
        }
        if connection.readable && !connection.gone && self.node.may_read(key) {
            connection.enqueue(&mut self.run_queue, key);
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

    /// Closes the connections whose peers took too long to read the end.
    fn end_lingering(&mut self) {
        while let Some(&(until, key)) = self.lingering.front()
            && until <= self.clock.now()
        {
            self.lingering.pop_front();
            if let Some(connection) = self.connections.get_mut(key) {
                connection.gone = true;
                self.gone.push(key);
            }
        }
    }

    /// Sends what there is to those for whom there is something, and to those who can be written
    /// again.
    fn flush(&mut self) {
        self.begin_flush();
        let mut keys = std::mem::take(&mut self.keys);
        self.node.take_touched(&mut keys);
        for &key in &keys {
            self.flush_connection(key);
        }
        self.keys = keys;
        for index in 0..self.writable.len() {
            self.flush_connection(self.writable[index]);
        }
        self.writable.clear();
    }

    /// Who was left out of the last turn's flush because so much was encrypted comes first now.
    fn begin_flush(&mut self) {
        self.encrypted_bytes = 0;
        while self.encrypted_bytes < ENCRYPTED_BYTES_PER_TURN
            && let Some(key) = self.unflushed.pop_front()
        {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.unflushed = false;
                self.flush_connection(key);
            }
        }
    }

    /// One vectored write, more while the kernel takes all.
    fn flush_connection(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.gone || connection.lingers {
            return self.node.untouch(key);
        }
        let is_encrypted = matches!(connection.socket, Socket::Tls(_));
        while connection.writable
            && let Some(outbox) = self.node.output(key)
        {
            if is_encrypted && self.encrypted_bytes >= ENCRYPTED_BYTES_PER_TURN {
                if !std::mem::replace(&mut connection.unflushed, true) {
                    self.unflushed.push_back(key);
                }
                break;
            }
            match connection.write(outbox) {
                Ok(Some(bytes)) => {
                    self.node.flushed(key, bytes);
                    self.encrypted_bytes += if is_encrypted { bytes } else { 0 };
                }
                Ok(None) => connection.writable = false,
                Err(error) => {
                    debug!("{}: writing failed: {error}", connection.peer());
                    connection.gone = true;
                    self.gone.push(key);
                    break;
                }
            }
        }
        let is_sent = connection.send_pending();
        if !self.node.flush_is_over(key) || connection.gone {
            return;
        }
        if !connection.closes {
            connection.closes = true;
            self.lingering.push_back((self.clock.now() + LINGER, key));
        }
        let waits = self.node.output(key).is_some() || matches!(is_sent, Ok(false));
        if !waits && !connection.linger() {
            connection.gone = true;
            self.gone.push(key);
        }
    }

    /// Accepts new connections, as far as their number is allowed.
    fn accept(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let now = self.clock.now();
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTED_PER_TURN {
                let sockets = self.node.endpoint_count() + self.newcomers.len();
                let Some(accepted) = self.listeners[index].accept(now, sockets) else {
                    break;
                };
                self.receive(accepted);
            }
        }
        let is_short = self.listeners.iter().any(|listener| listener.retry_at().is_some());
        self.node.note_shortage_of_files(is_short);
    }

    /// Whether somebody waits to be accepted who can be.
    fn has_arrivals(&self) -> bool {
        self.stopping.is_none() && self.listeners.iter().any(Listener::has_arrivals)
    }

    /// Takes somebody in who connected, unless too many of the kind are there.
    pub(super) fn take_in(&mut self, accepted: Accepted) {
        if let Visitor::Client(peer, _) = &accepted.visitor
            && !self.node.has_place_for_client()
        {
            let count = self.node.connection_count();
            let why = format!("{count} connections are open");
            return self.refusals.note(self.clock.now(), peer, &why);
        }
        let Some(Accepted { mut socket, visitor, .. }) = self.encrypt_if_wanted(accepted) else {
            return;
        };
        let key = match visitor {
            Visitor::Client(peer, local) => {
                let key = self.node.connect(peer);
                self.node.note_arrival(key, local);
                key
            }
            Visitor::Operator(origin, local) => match self.node.connect_operator(origin) {
                Some(key) => {
                    local.into_iter().for_each(|local| self.node.note_arrival(key, local));
                    key
                }
                None => {
                    let why = "too many HTTP connections are open";
                    return self.refusals.note(self.clock.now(), &origin, why);
                }
            },
        };
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        let registry = self.poll.registry();
        if let Err(error) = registry.register(&mut socket, Self::token_of(key), interest) {
            warn!("{}: cannot watch the socket: {error}", socket.peer());
            self.gone.push(key);
        }
        if let Socket::Tls(_) = socket {
            self.expect_handshake(key);
        }
        self.connections.insert(key, Connection::new(socket));
    }

    /// Those whose sessions go on are read again.
    fn resume(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        self.node.take_resumed(&mut keys);
        for &key in &keys {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.enqueue(&mut self.run_queue, key);
            }
        }
        self.keys = keys;
    }

    /// Removes what is closed; its slot is free from the next turn on.
    fn remove_gone(&mut self) {
        self.gone.extend(self.node.take_gone());
        for key in std::mem::take(&mut self.gone) {
            if let Some(mut connection) = self.connections.remove(key) {
                if let Err(error) = self.poll.registry().deregister(&mut connection.socket) {
                    debug!("{}: {error}", connection.peer());
                }
                self.node.remove(key);
            }
        }
    }

    /// Whether the stop is complete: every client closed, or took too long.
    fn has_stopped(&self) -> bool {
        let is_quiet = || self.connections.iter().all(|connection| connection.lingers);
        let is_late = |until: Instant| self.clock.now() >= until;
        self.stopping.is_some_and(|until| is_late(until) || is_quiet())
    }
}
