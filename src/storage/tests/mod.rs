//! Does the log keep its promises? Tests of the whole store; what only concerns one file is tested
//! there. This file holds what they share.

// Bodies are made of the low bytes of numbers.
#![allow(clippy::cast_possible_truncation)]

mod basics;
mod compaction;
mod damage;
mod disk;
mod faults;
mod freeing;
mod full;
mod model;

use std::path::Path;
use std::sync::Arc;

use super::{
    AppendError, Appended, Body, Entry, HelperMode, LargeBody, LogPos, Publication, QueueId,
    SlotRef, StorageError, Store, StoreOptions,
};
use disk::Disk;

/// The smallest segment there is, so that rings turn quickly.
pub(super) const SEGMENT_BYTES: u32 = 64 * 1024;

pub(super) fn options(directory: &Path) -> StoreOptions {
    StoreOptions::new(directory, SEGMENT_BYTES, HelperMode::Manual)
}

pub(super) fn open(directory: &Path) -> Store {
    Store::open(options(directory)).unwrap()
}

/// Opens a store on a disk that is watched.
fn open_on(directory: &Path, segment_bytes: u32, disk: &Arc<Disk>) -> Result<Store, StorageError> {
    let witness = Some(Arc::clone(disk) as Arc<dyn super::Witness>);
    Store::open(StoreOptions { segment_bytes, witness, ..options(directory) })
}

impl Store {
    /// A transaction in one part; slots of the transient ring are settled beside it.
    fn append_transaction(
        &mut self,
        publications: &[Publication<'_>],
        settles: &[SlotRef],
    ) -> Result<(Vec<Appended>, LogPos), AppendError> {
        let (logged, others): (Vec<SlotRef>, Vec<SlotRef>) =
            settles.iter().partition(|slot| slot.segment.is_durable());
        let mut appended = Vec::new();
        if !publications.is_empty() || !logged.is_empty() {
            self.append_part(publications, &logged, true, &mut appended)?;
            logged.into_iter().for_each(|slot| self.settle_with_transaction(slot));
            self.end_transaction();
        }
        others.into_iter().for_each(|slot| self.settle_slot(slot));
        let until = self.end();
        appended.iter_mut().for_each(|appended| appended.position = until);
        Ok((appended, until))
    }
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
        defines: None,
    }
}

pub(super) fn publish(store: &mut Store, queue: u64, body: &[u8]) -> Appended {
    store.append(&publication(true, &[QueueId(queue)], body)).unwrap()
}

/// Publishes and settles until another segment is active.
pub(super) fn roll(store: &mut Store) {
    let before = store.end().sequence;
    while store.end().sequence == before {
        let sent = publish(store, 99, &[0; 6000]);
        store.settle(sent.entry.at, sent.first_slot);
        turn(store);
    }
}

/// A large body that has arrived.
pub(super) fn large_body(store: &mut Store, durable: bool, bytes: &[u8]) -> LargeBody {
    let mut body = store.begin_body(durable, bytes.len() as u64);
    store.add_to_body(&mut body, bytes);
    body
}

/// Publishes a body in pieces, however long it is.
pub(super) fn publish_large(store: &mut Store, queue: u64, bytes: &[u8]) -> Appended {
    let body = large_body(store, true, bytes);
    let queues = [QueueId(queue)];
    let publication = publication(true, &queues, b"");
    let sent = store.append(&Publication { body: Body::Large(&body), ..publication }).unwrap();
    store.abandon(body);
    sent
}

/// One turn with a sync in it, the helper doing all there is to do.
pub(super) fn turn(store: &mut Store) {
    store.take_answers().unwrap();
    store.retire();
    store.write_out(true).unwrap();
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
    pub(super) queue: u64,
    pub(super) deliveries: u8,
    pub(super) body: Vec<u8>,
}

pub(super) fn replay(store: &mut Store) -> Vec<Found> {
    store.take_definitions();
    let mut found = Vec::new();
    store.replay(&mut |recovered| {
        found.push(Found {
            entry: recovered.entry,
            slot: recovered.slot,
            queue: recovered.queue.0,
            deliveries: recovered.deliveries,
            body: recovered.record.body_to_vec(),
        });
        true
    });
    found
}

/// The bodies of what was found, in its order.
pub(super) fn bodies(found: &[Found]) -> Vec<&[u8]> {
    found.iter().map(|found| &found.body[..]).collect()
}

/// What is defined, in its order.
pub(super) fn definitions(store: &mut Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let found = store.take_definitions();
    found.iter().map(|(key, payload)| (key.to_vec(), payload.to_vec())).collect()
}

/// Paths of the segment files, sorted.
pub(super) fn segment_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.sort();
    paths
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
