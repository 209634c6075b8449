//! How does a connection begin and end, and who may be read?

use std::net::SocketAddr;

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::ConnectionKey;
use crate::broker::flow::hand_over::emptied;
use crate::session::Session;

use super::Node;
use super::endpoint::{Endpoint, Peer};
use super::watch::{Told, Watch};

impl Node {
    /// A client connected.
    pub fn connect(&mut self, peer: SocketAddr) -> ConnectionKey {
        let key = self.endpoints.next_key();
        let session = Session::new(key, peer, self.limits.clone(), self.now);
        let key = self.endpoints.insert(Endpoint::new(Peer::Amqp(session)));
        self.amqp_count += 1;
        self.after_change(key);
        key
    }

    /// A connection came in at this address.
    pub fn note_arrival(&mut self, key: ConnectionKey, local: SocketAddr) {
        let now_ms = self.broker.clock_ms();
        match self.endpoints.get_mut(key).map(|endpoint| &mut endpoint.peer) {
            Some(Peer::Amqp(session)) => session.note_arrival(local, now_ms),
            Some(Peer::Http(conversation)) => conversation.note_arrival(local),
            None => {}
        }
    }

    /// Whether a connection may be read: its session waits for nothing, and takes what comes.
    #[inline]
    pub fn may_read(&mut self, key: ConnectionKey) -> bool {
        let Some(endpoint) = self.endpoints.get(key) else {
            return false;
        };
        let session = match &endpoint.peer {
            Peer::Amqp(session) => session,
            Peer::Http(conversation) => return conversation.may_read() && !endpoint.gone,
        };
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
            endpoint.note_traffic(&mut self.sampling.connections, key);
            let Peer::Amqp(session) = &mut endpoint.peer else {
                return self.hear(key, input);
            };
            let mut handed = std::mem::take(&mut self.handed);
            let rest = &input[taken..];
            taken += session.receive(&mut self.broker, self.now, rest, &mut handed);
            let looks_at = session.looks_at();
            for handed in &handed {
                let to = handed.to.connection;
                if let Some(endpoint) = self.endpoints.get_mut(to)
                    && let Peer::Amqp(session) = &mut endpoint.peer
                {
                    session.take_handed(&mut self.broker, handed);
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
        let goes_on = taken < input.len() && waits_for_its_turn;
        if goes_on {
            self.resumed.push(key);
        } else if self.endpoints.get(key).is_some_and(|endpoint| {
            endpoint.carrier.is_some() && (taken == input.len() || endpoint.waits_for().is_none())
        }) {
            self.end_with_carrier(key);
        }
        self.after_change(key);
        taken
    }

    /// Puts a connection on the lists that its new state asks for.
    #[inline]
    pub(super) fn after_change(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let waits = endpoint.waits_for().is_some();
        let answered = endpoint.session_mut().is_some_and(Session::take_answered);
        // What waits for the disk is an answer, too.
        self.sync.answered |= answered || waits;
        self.waiting.note(key, endpoint);
        self.arm(key);
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        if endpoint.has_output() || endpoint.is_closed() {
            endpoint.touch(&mut self.touched, key);
        }
        if let Peer::Http(conversation) = &mut endpoint.peer {
            conversation.note_held(&mut self.operators.held_bytes);
        }
        match &endpoint.peer {
            Peer::Amqp(session) if session.awaits_room() => self.block(key),
            Peer::Amqp(session) if !endpoint.counted && session.is_open() => {
                endpoint.counted = true;
                endpoint.vhost = session.subject().map(|subject| subject.vhost);
                self.operators.churn.opened += 1;
            }
            Peer::Amqp(_) => {}
            Peer::Http(conversation) if conversation.awaits_room() => self.block(key),
            Peer::Http(_) => self.note_work(key),
        }
    }

    /// A connection's socket is closed: everything that it held goes back.
    pub fn remove(&mut self, key: ConnectionKey) {
        let Some(mut endpoint) = self.endpoints.remove(key) else {
            return;
        };
        endpoint.disarm(&mut self.deadlines, key);
        endpoint.count_for_vhost(&mut self.broker);
        match &mut endpoint.peer {
            Peer::Amqp(session) => {
                self.amqp_count -= 1;
                session.end(&mut self.broker);
                session.log_end();
                self.operators.churn.closed += u64::from(endpoint.counted);
            }
            Peer::Http(conversation) => {
                conversation.abandon(&mut self.broker);
                conversation.forget_held(&mut self.operators.held_bytes);
                self.free_place(key);
            }
        }
    }

    /// Tells every client that the node ends.
    pub fn stop(&mut self) {
        let reason = "broker forced connection closure with reason 'shutdown'";
        let error = AmqpError::connection(ReplyCode::ConnectionForced, reason);
        let keys: Vec<_> = self.endpoints.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(endpoint) = self.endpoints.get_mut(key) {
                match &mut endpoint.peer {
                    Peer::Amqp(session) if session.is_open() || session.has_left() => {
                        session.close_with(&mut self.broker, self.now, &error);
                    }
                    Peer::Amqp(_) => {
                        endpoint.gone = true;
                        self.gone.push(key);
                    }
                    Peer::Http(conversation) => {
                        conversation.abandon(&mut self.broker);
                        conversation.stop();
                    }
                }
            }
            self.after_change(key);
        }
    }

    /// Makes sure that the session is asked when its next time limit comes.
    #[inline]
    pub(super) fn arm(&mut self, key: ConnectionKey) {
        if let Some(endpoint) = self.endpoints.get_mut(key) {
            let at = match &mut endpoint.peer {
                Peer::Amqp(session) => {
                    let acks_due_ms = session.acks_due_ms();
                    let acks_due = acks_due_ms.map(|due_ms| self.calendar.instant_of(due_ms));
                    session.deadline().into_iter().chain(acks_due).min()
                }
                Peer::Http(conversation) => {
                    conversation.note_deadlines(self.now);
                    conversation.deadline()
                }
            };
            endpoint.arm(&mut self.deadlines, key, at);
        }
    }
}
