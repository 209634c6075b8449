//! How does AMQP over WebSocket begin, how do its bytes leave their frames and get into them, and
//! how does it end?
//!
//! A conversation over HTTP makes way for a session, in its place and with its key. From then on
//! the session is one like others: what carries its bytes ([`WebSocket`]) stands between it and the
//! socket, and nobody else knows of it.

use log::{info, warn};

use crate::broker::ConnectionKey;
use crate::management::Origin;
use crate::session::Session;
use crate::websocket::WebSocket;

use super::Node;
use super::endpoint::{Carrier, Endpoint, Peer};

/// So many sockets more than connections are accepted: handshakes, and clients that have to be
/// told that there are too many.
const CLIENTS_BEYOND_MAX: usize = 64;

impl Node {
    /// Whether one more client may connect, if only to be told in AMQP that there are too many.
    pub fn has_place_for_client(&self) -> bool {
        let (_, connections_max) = self.broker.users().connections();
        connections_max.is_none_or(|most| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.amqp_count < most.saturating_add(CLIENTS_BEYOND_MAX)
        })
    }

    /// A conversation makes way for AMQP over WebSocket.
    pub(super) fn upgrade(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let Peer::Http(conversation) = &mut endpoint.peer else {
            return;
        };
        let (Origin::Address(peer), Some(local)) = (conversation.origin(), conversation.local())
        else {
            return;
        };
        conversation.forget_held(&mut self.operators.held_bytes);
        let outbox = std::mem::take(&mut conversation.outbox);
        let mut session = Session::new(key, peer, self.limits.clone(), self.now);
        session.note_arrival(local, self.broker.clock_ms());
        endpoint.peer = Peer::Amqp(session);
        endpoint.carrier = Some(Box::new(Carrier { web: WebSocket::new(outbox), is_new: true }));
        self.free_place(key);
        self.amqp_count += 1;
        // What came behind the request was not looked at.
        self.resumed.push(key);
    }

    /// Takes what arrived on a connection out of what carries it: `input`, whose first `kept` bytes
    /// came before and were taken out of it then. How many bytes it is afterwards.
    pub fn unwrap_input(&mut self, key: ConnectionKey, input: &mut [u8], kept: usize) -> usize {
        let carrier = self.endpoints.get_mut(key).and_then(|endpoint| endpoint.carrier.as_mut());
        let Some(carrier) = carrier else {
            return input.len();
        };
        // What was kept of a request's turn never was in a frame.
        let kept = if std::mem::take(&mut carrier.is_new) { 0 } else { kept };
        let taken = carrier.web.decode(&mut input[kept..]);
        self.broker.work.spend(taken.frames);
        self.broker.work.spend_bytes((input.len() - kept - taken.bytes) as u64);
        kept + taken.bytes
    }

    /// Puts what a connection's client is to get into what carries it, as far as there is room.
    pub(super) fn wrap_output(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let (Some(carrier), Peer::Amqp(session)) = (&mut endpoint.carrier, &mut endpoint.peer)
        else {
            return;
        };
        let is_last = session.is_closed();
        let moved = carrier.web.encode(&mut session.outbox, is_last);
        if moved > 0 {
            self.note_sent(key, moved);
        }
    }

    /// What carried a connection's bytes has come to its end, and so does the session, as it does
    /// when a socket closes: once it has had what came before.
    pub(super) fn end_with_carrier(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let (Some(carrier), Peer::Amqp(session)) = (&endpoint.carrier, &mut endpoint.peer) else {
            return;
        };
        if carrier.web.has_ended() && !session.is_closed() {
            match carrier.web.fault() {
                Some(fault) => warn!("{}: closed, over WebSocket: {fault}", session.peer()),
                None => info!("{}: the WebSocket is closed", session.peer()),
            }
            session.abandon(&mut self.broker);
        }
    }
}

impl Endpoint {
    /// Whether its bytes come and go in WebSocket frames.
    pub(super) fn is_web(&self) -> bool {
        self.carrier.is_some()
    }

    /// How many bytes wait in WebSocket frames.
    pub(super) fn carried_bytes(&self) -> usize {
        self.carrier.as_ref().map_or(0, |carrier| carrier.web.outbox.len())
    }
}
