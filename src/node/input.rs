//! How does a connection begin and end, and who may be read?

use std::net::SocketAddr;

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::ConnectionKey;
use crate::broker::flow::hand_over::emptied;
use crate::session::Session;

use super::Node;
use super::endpoint::Endpoint;
use super::watch::{Told, Watch};

impl Node {
    /// A client connected.
    pub fn connect(&mut self, peer: SocketAddr) -> ConnectionKey {
        let key = self.endpoints.next_key();
        let session = Session::new(key, peer, self.limits.clone(), self.now);
        let key = self.endpoints.insert(Endpoint::new(session));
        self.after_session(key);
        key
    }

    /// Whether a connection may be read: its session waits for nothing, and takes what comes.
    pub fn may_read(&mut self, key: ConnectionKey) -> bool {
        let Some(endpoint) = self.endpoints.get(key) else {
            return false;
        };
        let session = &endpoint.session;
        if session.waits_for().is_some() || session.is_overfull() || endpoint.gone {
            return false;
        }
        if session.awaits_room() && !self.broker.has_room() {
            self.block(key);
            return false;
        }
        true
    }

    /// Gives what arrived to its session, which changes the broker; how many bytes are done with.
    /// What is left has to come again, with what follows it.
    pub fn receive<W: Watch>(&mut self, key: ConnectionKey, input: &[u8], watch: &mut W) -> usize {
        let mut taken = 0;
        let looks_at = loop {
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                return input.len();
            };
            let mut handed = std::mem::take(&mut self.handed);
            let rest = &input[taken..];
            taken += endpoint.session.receive(&mut self.broker, self.now, rest, &mut handed);
            let looks_at = endpoint.session.looks_at();
            for handed in &handed {
                let to = handed.to.connection;
                if let Some(endpoint) = self.endpoints.get_mut(to) {
                    endpoint.session.take_handed(&mut self.broker, handed);
                    endpoint.touch(&mut self.touched, to);
                    watch.told(self, to, Told::Handed(handed));
                }
            }
            self.handed = emptied(handed);
            watch.took(self, key, taken);
            // Nothing overtakes a consumer that waits.
            let Some(queue) = looks_at else {
                break looks_at;
            };
            if !self.deliver_from(queue, watch) {
                break looks_at;
            }
            watch.served(self, queue);
        };
        let comes_again = self.session(key).is_some_and(Session::comes_again);
        let waits_for_its_turn = looks_at.is_some() || comes_again || self.broker.work.is_done();
        if taken < input.len() && waits_for_its_turn {
            self.resumed.push(key);
        }
        self.after_session(key);
        taken
    }

    /// Puts a connection on the lists that its session's new state asks for.
    pub(super) fn after_session(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let session = &mut endpoint.session;
        let waits = session.waits_for().is_some();
        // What waits for the disk is an answer, too.
        self.sync.answered |= session.take_answered() || waits;
        self.waiting.note(key, endpoint);
        self.arm(key);
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let session = &endpoint.session;
        if !session.outbox.is_empty() || session.is_closed() {
            endpoint.touch(&mut self.touched, key);
        }
        if endpoint.session.awaits_room() {
            self.block(key);
        }
    }

    /// A connection's socket is closed: everything that it held goes back.
    pub fn remove(&mut self, key: ConnectionKey) {
        let Some(mut endpoint) = self.endpoints.remove(key) else {
            return;
        };
        endpoint.disarm(&mut self.deadlines, key);
        endpoint.session.end(&mut self.broker);
        endpoint.session.log_end();
    }

    /// Tells every client that the node ends.
    pub fn stop(&mut self) {
        let reason = "broker forced connection closure with reason 'shutdown'";
        let error = AmqpError::connection(ReplyCode::ConnectionForced, reason);
        let keys: Vec<_> = self.endpoints.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(endpoint) = self.endpoints.get_mut(key) {
                if endpoint.session.is_open() || endpoint.session.has_left() {
                    endpoint.session.close_with(&mut self.broker, self.now, &error);
                } else {
                    endpoint.gone = true;
                    self.gone.push(key);
                }
            }
            self.after_session(key);
        }
    }

    /// Makes sure that the session is asked when its next time limit comes.
    #[inline]
    pub(super) fn arm(&mut self, key: ConnectionKey) {
        if let Some(endpoint) = self.endpoints.get_mut(key) {
            let session = &endpoint.session;
            let acks_due = session.acks_due_ms().map(|due_ms| self.calendar.instant_of(due_ms));
            let at = session.deadline().into_iter().chain(acks_due).min();
            endpoint.arm(&mut self.deadlines, key, at);
        }
    }
}
