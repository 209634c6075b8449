//! Who waits for the durable position, and who goes on now that it moved?

use crate::broker::ConnectionKey;
use crate::session::{Session, WaitUntil};
use crate::storage::LogPos;

use super::Node;
use super::endpoint::Endpoint;
use super::watch::{Told, Watch};

/// The connections that wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Their publishes wait for their confirms.
    confirming: Vec<ConnectionKey>,
    /// Those of them that published since confirms were last released.
    fresh: Vec<ConnectionKey>,
    /// The durable position up to which all of them were released.
    released: LogPos,
    /// They read on when what they did is durable.
    paused: Vec<ConnectionKey>,
}

impl Waiting {
    /// Puts a connection on the lists that its session's state asks for.
    pub(super) fn note(&mut self, key: ConnectionKey, endpoint: &mut Endpoint) {
        if endpoint.session().is_some_and(Session::is_confirming) {
            self.fresh.push(key);
            if !endpoint.listed_confirming {
                endpoint.listed_confirming = true;
                self.confirming.push(key);
            }
        }
        if endpoint.waits_for().is_some() && !endpoint.listed_waiting {
            endpoint.listed_waiting = true;
            self.paused.push(key);
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_anybody(&self) -> bool {
        !self.confirming.is_empty() || !self.paused.is_empty()
    }
}

impl Node {
    /// Releases confirms up to the durable position: to everybody when it moved, else to those
    /// who published just now, since what they published may wait for nothing.
    pub(super) fn release_confirms<W: Watch>(&mut self, watch: &mut W) {
        let durable = self.broker.store.durable();
        let moved = durable > self.waiting.released;
        self.waiting.released = durable;
        let fresh = std::mem::take(&mut self.waiting.fresh);
        let confirming = std::mem::take(&mut self.waiting.confirming);
        let mut some_are_done = false;
        for &key in if moved { &confirming } else { &fresh } {
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                some_are_done = true;
                continue;
            };
            let (session, broker) = (endpoint.session_mut(), &mut self.broker);
            endpoint.listed_confirming =
                session.is_some_and(|session| session.release_confirms(broker, durable));
            some_are_done |= !endpoint.listed_confirming;
            if endpoint.has_output() {
                endpoint.touch(&mut self.touched, key);
            }
            watch.told(self, key, Told::Confirms);
        }
        self.waiting.fresh = fresh;
        self.waiting.fresh.clear();
        self.waiting.confirming = confirming;
        if some_are_done {
            let endpoints = &self.endpoints;
            let is_listed = |key| endpoints.get(key).is_some_and(|e| e.listed_confirming);
            self.waiting.confirming.retain(|&key| is_listed(key));
        }
    }

    /// Releases the sessions that waited for what is durable now.
    pub(super) fn release_waiting<W: Watch>(&mut self, watch: &mut W) {
        let durable = self.broker.store.durable();
        let mut paused = std::mem::take(&mut self.waiting.paused);
        paused.retain(|&key| {
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                return false;
            };
            if let Some(WaitUntil::Committed(number)) = endpoint.waits_for()
                && let Some(committed) = self.broker.take_committed(number)
                && let Some(session) = endpoint.session_mut()
            {
                session.committed(&mut self.broker, committed);
            }
            let is_over = match endpoint.waits_for() {
                Some(WaitUntil::Changed(change)) => self.broker.store.is_kept(change),
                Some(WaitUntil::Discarded(line)) => self.broker.is_discarded(line),
                Some(WaitUntil::Messages(position)) => position <= durable,
                Some(WaitUntil::Committed(_)) => false,
                None => true,
            };
            if !is_over {
                return true;
            }
            endpoint.listed_waiting = false;
            endpoint.wait_is_over();
            endpoint.touch(&mut self.touched, key);
            self.resumed.push(key);
            watch.told(self, key, Told::WaitIsOver);
            false
        });
        self.waiting.paused = paused;
    }
}
