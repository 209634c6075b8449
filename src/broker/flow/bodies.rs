//! How do bodies get into the log before their messages, and out of it to consumers?

use crate::broker::Broker;
use crate::storage::{Body, LargeBody, LogPos, Record, RecordRef, SharedBody};

impl Broker {
    /// A stored message.
    #[inline]
    pub fn record(&self, at: RecordRef) -> Record<'_> {
        self.store.record(at)
    }

    /// The body of a stored message in one piece, if it is: sent from where it lies.
    pub fn shared_body(&self, at: RecordRef) -> Option<SharedBody<'_>> {
        self.store.shared_body(at)
    }

    /// A body's bytes, wherever they are.
    pub fn body_to_vec(&self, body: &Body<'_>) -> Vec<u8> {
        match *body {
            Body::Inline(body) => body.to_vec(),
            Body::Large(body) => self.store.large_body(body).flatten().copied().collect(),
            Body::Of(at) => self.store.record(at).body_to_vec(),
        }
    }

    /// A large body begins to come; its parts go to the log as they do.
    pub fn begin_body(&mut self, durable: bool, body_bytes: u64) -> LargeBody {
        self.store.begin_body(durable, body_bytes)
    }

    /// A part of it came.
    pub fn add_to_body(&mut self, body: &mut LargeBody, part: &[u8]) {
        self.store.add_to_body(body, part);
    }

    /// Its message was stored, or will not be.
    pub fn abandon_body(&mut self, body: LargeBody) {
        self.store.abandon(body);
    }

    /// Up to where the log is durable.
    #[inline]
    pub fn durable(&self) -> LogPos {
        self.store.durable()
    }

    /// The last change of a definition that is not durable yet; answers about it wait for that.
    pub fn undurable_change(&self) -> Option<u64> {
        let change = self.store.changes();
        (!self.store.is_kept(change)).then_some(change)
    }
}
