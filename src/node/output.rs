//! What may leave, and what becomes of a connection once it left?

use std::time::Duration;

use crate::broker::ConnectionKey;
use crate::outbox::Outbox;

use super::Node;
use super::deadlines::Due;
use super::endpoint::Peer;

/// Connections that were idle for this long hold no buffers.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many connections keep their buffers between two outputs; those of a thousand would be
/// megabytes, and to get one anew costs less than a tenth of sending what it holds.
const WARM_MAX: usize = 256;

impl Node {
    /// What a connection's client is to get, if there is something.
    #[inline]
    pub fn output(&mut self, key: ConnectionKey) -> Option<&Outbox> {
        if self.endpoints.get(key)?.carrier.is_some() {
            self.wrap_output(key);
        }
        let outbox = self.endpoints.get(key)?.outbox();
        (!outbox.is_empty()).then_some(outbox)
    }

    /// So many bytes of a connection's output are with the kernel.
    pub fn flushed(&mut self, key: ConnectionKey, bytes: usize) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        match (&mut endpoint.carrier, &mut endpoint.peer) {
            (Some(carrier), _) => carrier.web.outbox.advance(bytes),
            (None, Peer::Amqp(session)) => {
                session.outbox.advance(bytes);
                self.note_sent(key, bytes);
            }
            (None, Peer::Http(_)) => self.flushed_conversation(key, bytes),
        }
    }

    /// So many bytes left a session's outbox.
    #[inline]
    pub(super) fn note_sent(&mut self, key: ConnectionKey, bytes: usize) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        endpoint.note_traffic(&mut self.sampling.connections, key);
        let Peer::Amqp(session) = &mut endpoint.peer else {
            return;
        };
        let was_overfull = session.is_overfull();
        session.flushed(&mut self.broker, bytes, self.now);
        if was_overfull && !session.is_overfull() {
            self.resumed.push(key);
        }
    }

    /// A connection takes nothing more: its output is nobody's.
    pub fn untouch(&mut self, key: ConnectionKey) {
        if let Some(endpoint) = self.endpoints.get_mut(key) {
            endpoint.untouch();
        }
    }

    /// As much as the kernel takes was sent; whether the session is at its end.
    pub fn flush_is_over(&mut self, key: ConnectionKey) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return false;
        };
        endpoint.untouch();
        endpoint.active = true;
        // What the kernel did not take stays, however many there are.
        let keeps = endpoint.listed_warm || self.warm.len() < WARM_MAX || endpoint.release_memory();
        if keeps && !endpoint.listed_warm {
            endpoint.listed_warm = true;
            if self.warm.is_empty() {
                self.deadlines.set(Due::Sweep, Some(self.now + SWEEP_EVERY));
            }
            self.warm.push(key);
        }
        let is_closed = endpoint.is_closed();
        self.arm(key);
        is_closed
    }

    /// Frees the buffers of connections that have been idle for a while.
    pub(super) fn sweep(&mut self) {
        let mut warm = std::mem::take(&mut self.warm);
        warm.retain(|&key| {
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                return false;
            };
            if std::mem::take(&mut endpoint.active) {
                return true;
            }
            endpoint.listed_warm = endpoint.release_memory();
            endpoint.listed_warm
        });
        let next = (!warm.is_empty()).then(|| self.now + SWEEP_EVERY);
        self.deadlines.set(Due::Sweep, next);
        self.warm = warm;
    }
}
