//! Does the message log keep its promises? Tests of the whole store; what only concerns one file
//! is tested there. This file holds what they share.

// Bodies are made of the low bytes of numbers.
#![allow(clippy::cast_possible_truncation)]

mod basics;
mod compaction;
mod damage;
mod disk;
mod model;
mod order;

use std::path::Path;

use super::{
    Appended, Body, Entry, HelperMode, Publication, QueueId, SlotRef, Store, StoreOptions,
};

/// The smallest segment there is, so that rings turn quickly.
pub(super) const SEGMENT_BYTES: u32 = 64 * 1024;

pub(super) fn open(directory: &Path) -> Store {
    Store::open(StoreOptions {
        directory: directory.to_path_buf(),
        segment_bytes: SEGMENT_BYTES,
        helper: HelperMode::Manual,
    })
    .unwrap()
}

/// A publication to one queue.
pub(super) fn publication<'a>(
    durable: bool,
    queues: &'a [QueueId],
    body: &'a [u8],
) -> Publication<'a> {
    Publication {
        durable,
        exchange: b"exchange",
        routing_key: b"routing.key",
        properties: b"\x10\x00\x02",
        body: Body::Inline(body),
        published_ms: 1_700_000_000_000,
        expiry_ms: 0,
        deliveries: 0,
        queues,
        replaces: None,
    }
}

pub(super) fn publish(store: &mut Store, queue: u32, body: &[u8]) -> Appended {
    store.append(&publication(true, &[QueueId(queue)], body)).unwrap()
}

/// One turn with a sync in it, the helper doing all there is to do.
pub(super) fn turn(store: &mut Store) {
    store.take_answers().unwrap();
    store.write_out_durable().unwrap();
    store.write_out_transient().unwrap();
    store.start_sync_if(true).unwrap();
    store.maintain().unwrap();
    store.run_helper(usize::MAX);
    store.take_answers().unwrap();
}

/// What replay says of a pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) slot: SlotRef,
    pub(super) queue: u32,
    pub(super) deliveries: u8,
    pub(super) body: Vec<u8>,
}

pub(super) fn replay(store: &mut Store) -> Vec<Found> {
    let mut found = Vec::new();
    store.replay(&mut |recovered| {
        found.push(Found {
            entry: recovered.entry,
            slot: recovered.slot,
            queue: recovered.queue.0,
            deliveries: recovered.deliveries,
            body: recovered.record.body().to_vec(),
        });
        true
    });
    found
}

/// The bodies of what was found, in its order.
pub(super) fn bodies(found: &[Found]) -> Vec<&[u8]> {
    found.iter().map(|found| &found.body[..]).collect()
}

/// A small generator of numbers that are the same every time (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
