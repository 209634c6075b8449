//! How do handshakes of TLS go on without anybody waiting for them?
//!
//! A signature takes up to a millisecond. So connections in their handshake wait in a line of
//! their own, from which each turn takes one, and more while there is time; all others are read
//! before, in every turn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::broker::ConnectionKey;
use crate::broker::work::WORK_PER_INPUT;
use crate::node::Node;

use super::connection::{Connection, Fill};
use super::encrypted::Encrypted;
use super::event_loop::EventLoop;
use super::listener::Accepted;
use super::sites::Sites;
use super::socket::Socket;

/// Handshakes go on until a turn took so long.
const UNTIL: Duration = Duration::from_millis(2);

/// Who is in the middle of a handshake.
#[derive(Debug)]
pub(super) struct Shaking {
    /// Those that sent something.
    line: VecDeque<ConnectionKey>,
    /// All, each with when it has to be over; the first comes first.
    deadlines: VecDeque<(Instant, ConnectionKey)>,
    /// How long a handshake may take.
    pub(super) within: Duration,
}

impl Default for Shaking {
    /// As in RabbitMQ, 5 s.
    fn default() -> Self {
        let within = Duration::from_secs(5);
        Self { line: VecDeque::new(), deadlines: VecDeque::new(), within }
    }
}

impl Shaking {
    /// Whether somebody waits for the next step.
    pub(super) fn has_work(&self) -> bool {
        !self.line.is_empty()
    }

    /// When the first of them takes too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// Somebody who is in his handshake sent something.
    pub(super) fn push(&mut self, key: ConnectionKey) {
        self.line.push_back(key);
    }
}

impl EventLoop {
    /// Has a connection carry TLS, if it came in at a listener that wants it; `None`: it cannot
    /// begin.
    pub(super) fn encrypt_if_wanted(&self, accepted: Accepted) -> Option<Accepted> {
        let Some(site) = accepted.site else {
            return Some(accepted);
        };
        let (Socket::Tcp(stream), Some(shown)) = (accepted.socket, self.sites.at(site)) else {
            return None;
        };
        match Encrypted::new(stream, site, shown) {
            Ok(encrypted) => {
                Some(Accepted { socket: Socket::Tls(Box::new(encrypted)), ..accepted })
            }
            Err(error) => {
                warn!("a connection with TLS cannot begin: {error}");
                None
            }
        }
    }

    /// The handshake of a connection begins.
    pub(super) fn expect_handshake(&mut self, key: ConnectionKey) {
        let at = self.clock.now() + self.shaking.within;
        self.shaking.deadlines.push_back((at, key));
    }

    /// Goes on with handshakes, with one at least.
    pub(super) fn go_on_shaking(&mut self) {
        // What follows a handshake is input like all else.
        self.node.broker.work.begin(WORK_PER_INPUT);
        for _ in 0..self.shaking.line.len() {
            let Some(key) = self.shaking.line.pop_front() else {
                return;
            };
            self.run_handshake(key);
            if self.clock.since_read() > UNTIL {
                return;
            }
        }
    }

    /// One step of a handshake; what came behind it is read like everything else.
    fn run_handshake(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.dequeued();
        if !connection.gone {
            self.run_connection(key);
        }
    }

    /// Ends the handshakes that take too long.
    pub(super) fn end_late_handshakes(&mut self) {
        let now = self.clock.now();
        while let Some(&(at, key)) = self.shaking.deadlines.front()
            && at <= now
        {
            self.shaking.deadlines.pop_front();
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            if connection.is_shaking() && !connection.gone {
                let (peer, within) = (connection.peer(), self.shaking.within.as_millis());
                warn!("{peer}: closed, the TLS handshake took longer than {within} ms");
                connection.gone = true;
                self.gone.push(key);
                self.node.note_failure(key);
            }
        }
    }
}

/// Reads what a connection with TLS sent into `room`, decrypted; what that brought. The node is
/// told what the handshake agreed on.
pub(super) fn receive_encrypted(
    connection: &mut Connection,
    room: &mut [u8],
    sites: &Sites,
    node: &mut Node,
    key: ConnectionKey,
) -> Fill {
    let read_closed = connection.read_closed;
    let Some(encrypted) = connection.socket.encrypted() else {
        return Fill::Closed;
    };
    let received = encrypted.receive(room, read_closed);
    node.broker.work.spend(received.overhead);
    let site = sites.at(encrypted.site);
    if let Some(peer) = site.and_then(|site| encrypted.take_peer(site)) {
        node.note_tls(key, peer);
    }
    if let Some(why) = received.failure {
        warn!("{}: closed, {why}", connection.peer());
        node.note_failure(key);
        return Fill::Closed;
    }
    // Answers of TLS itself: its side of the handshake, new keys.
    if let Err(error) = connection.send_pending() {
        debug!("{}: writing failed: {error}", connection.peer());
        return Fill::Closed;
    }
    received.fill
}
