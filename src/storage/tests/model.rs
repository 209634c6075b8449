//! The store against a naive twin that remembers everything: random appends, moves, transactions,
//! parked bodies, settling and syncs, with kills, power cuts and orderly stops at any moment.

use std::collections::{BTreeMap, HashMap};

use tempfile::TempDir;

use super::disk::Disk;
use super::*;
use crate::storage::{LogPos, MessageId, ParkedBody, RecordRef};

const STEPS: usize = 1500;
const QUEUES: u32 = 5;

/// A (record, queue) pair as the twin knows it.
#[derive(Clone, Debug)]
struct Pair {
    at: RecordRef,
    slot: SlotRef,
    body: Vec<u8>,
    deliveries: u8,
    durable_ring: bool,
    /// It must be there once the log is durable up to here.
    position: LogPos,
    /// The step that published it.
    group: usize,
}

/// A pair that was settled in this life.
#[derive(Clone, Debug)]
struct Gone {
    pair: Pair,
    /// By a move or a transaction; plain otherwise.
    by: Option<usize>,
}

/// What is all or nothing.
#[derive(Clone, Debug)]
struct Group {
    position: LogPos,
    published: Vec<(MessageId, u32)>,
    settled: Vec<(MessageId, u32)>,
}

struct Twin {
    alive: BTreeMap<(MessageId, u32), Pair>,
    gone: HashMap<(MessageId, u32), Gone>,
    groups: HashMap<usize, Group>,
    highest: MessageId,
}

struct World {
    random: Random,
    directory: TempDir,
    disk: Option<Disk>,
    store: Option<Store>,
    twin: Twin,
    parked: Vec<(ParkedBody, Vec<u8>)>,
    pins: Vec<(bytes::Bytes, Vec<u8>)>,
    step: usize,
}

#[test]
fn the_store_keeps_what_its_twin_keeps() {
    let seeds = std::env::var("LEVERET_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let first = std::env::var("LEVERET_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or(1);
    for seed in first..first + seeds.unwrap_or(8) {
        eprintln!("seed {seed}");
        World::new(seed).run();
    }
}

impl World {
    fn new(seed: u64) -> World {
        let directory = tempfile::tempdir().unwrap();
        let disk = Some(Disk::watch(directory.path()));
        let store = Some(open(directory.path()));
        World {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            directory,
            disk,
            store,
            twin: Twin {
                alive: BTreeMap::new(),
                gone: HashMap::new(),
                groups: HashMap::new(),
                highest: MessageId(0),
            },
            parked: Vec::new(),
            pins: Vec::new(),
            step: 0,
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn run(mut self) {
        for step in 1..=STEPS {
            self.step = step;
            match self.random.below(1000) {
                0..250 => self.publish(),
                250..280 => self.publish_parked(),
                280..300 => self.arrive(),
                300..340 => self.move_one(),
                340..365 => self.transact(),
                365..600 => self.settle(),
                600..650 => self.deliver(),
                650..700 => self.look(),
                700..740 => self.pin(),
                740..850 => self.store().write_out_durable().unwrap(),
                850..870 => self.store().write_out_transient().unwrap(),
                870..910 => {
                    self.store().start_sync_if(true).unwrap();
                }
                910..960 => {
                    let steps = self.random.below(4);
                    self.store().run_helper(steps);
                }
                960..980 => {
                    self.store().take_answers().unwrap();
                }
                980..985 => self.store().maintain().unwrap(),
                985..992 => self.compact(),
                992..994 => self.stop(),
                994..997 => self.kill(),
                _ => self.cut_power(),
            }
        }
        self.settle_everything();
    }

    fn body(&mut self) -> Vec<u8> {
        let most = if self.random.chance(10) { 9000 } else { 300 };
        let length = self.random.below(most);
        let first = self.random.next();
        (0..length as u64).map(|n| (first.wrapping_add(n * 7) % 251) as u8).collect()
    }

    fn queues(&mut self) -> Vec<QueueId> {
        let first = self.random.below(QUEUES as usize) as u32;
        let count = 1 + self.random.below(3) as u32;
        (0..count).map(|n| QueueId((first + n) % QUEUES)).collect()
    }

    fn note(&mut self, appended: Appended, queues: &[QueueId], body: &[u8], durable: bool) {
        assert!(appended.entry.id > self.twin.highest, "ids never repeat");
        self.twin.highest = appended.entry.id;
        for (n, queue) in queues.iter().enumerate() {
            let pair = Pair {
                at: appended.entry.at,
                slot: appended.slot(n as u32),
                body: body.to_vec(),
                deliveries: 0,
                durable_ring: durable,
                position: appended.position,
                group: self.step,
            };
            self.twin.alive.insert((appended.entry.id, queue.0), pair);
        }
    }

    fn publish(&mut self) {
        let (queues, body) = (self.queues(), self.body());
        let durable = self.random.chance(80);
        let appended = self.store().append(&publication(durable, &queues, &body)).unwrap();
        self.note(appended, &queues, &body, durable);
    }

    /// Begins a parked body, which arrives later.
    fn publish_parked(&mut self) {
        let body = self.body();
        let durable = self.random.chance(80);
        let length = body.len() as u64;
        let parked = self.store().park_body(durable, length).unwrap();
        self.parked.push((parked, body));
    }

    /// More of a parked body arrives, or its connection breaks.
    fn arrive(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let n = self.random.below(self.parked.len());
        let (mut parked, body) = self.parked.swap_remove(n);
        if self.random.chance(10) {
            return self.store().abandon(parked);
        }
        let done = body.len() - usize::try_from(parked.missing_bytes()).unwrap();
        let to = done + self.random.below(body.len() - done + 1);
        self.store().park(&mut parked, &body[done..to]).unwrap();
        if self.random.chance(30) {
            return self.parked.push((parked, body));
        }
        self.store().park(&mut parked, &body[to..]).unwrap();
        let queues = self.queues();
        let durable = self.random.chance(80);
        let appended = self.store().append(&Publication {
            body: Body::Parked(&parked),
            ..publication(durable, &queues, b"")
        });
        self.note(appended.unwrap(), &queues, &body, durable);
        self.store().abandon(parked);
    }

    fn pick(&mut self) -> Option<(MessageId, u32)> {
        if self.twin.alive.is_empty() {
            return None;
        }
        let n = self.random.below(self.twin.alive.len());
        // Rather the old ones, so that segments get empty.
        let n = if self.random.chance(70) { n / 8 } else { n };
        self.twin.alive.keys().nth(n).copied()
    }

    fn move_one(&mut self) {
        let Some(key) = self.pick() else { return };
        let old = self.twin.alive[&key].clone();
        let queues = self.queues();
        let durable = self.random.chance(80);
        let appended = self.store().append(&Publication {
            body: Body::Of(old.at),
            replaces: Some(old.slot),
            ..publication(durable, &queues, b"")
        });
        let appended = appended.unwrap();
        self.note(appended, &queues, &old.body, durable);
        self.twin.alive.remove(&key);
        let by = (durable && old.durable_ring).then_some(self.step);
        if durable && old.durable_ring {
            let published = queues.iter().map(|queue| (appended.entry.id, queue.0)).collect();
            let group = Group { position: appended.position, published, settled: vec![key] };
            self.twin.groups.insert(self.step, group);
        }
        self.twin.gone.insert(key, Gone { pair: old, by });
    }

    fn transact(&mut self) {
        let mut settled = Vec::new();
        for _ in 0..self.random.below(4) {
            if let Some(key) = self.pick().filter(|key| !settled.contains(key)) {
                settled.push(key);
            }
        }
        let slots: Vec<SlotRef> = settled.iter().map(|key| self.twin.alive[key].slot).collect();
        let parts: Vec<(Vec<QueueId>, Vec<u8>)> =
            (0..self.random.below(4)).map(|_| (self.queues(), self.body())).collect();
        let publications: Vec<Publication<'_>> =
            parts.iter().map(|(queues, body)| publication(true, queues, body)).collect();
        let (appended, position) = self.store().append_transaction(&publications, &slots).unwrap();
        let mut published = Vec::new();
        for (appended, (queues, body)) in appended.into_iter().zip(&parts) {
            assert_eq!(appended.position, position);
            self.note(appended, queues, body, true);
            published.extend(queues.iter().map(|queue| (appended.entry.id, queue.0)));
        }
        for &key in &settled {
            let pair = self.twin.alive.remove(&key).unwrap();
            let by = pair.durable_ring.then_some(self.step);
            self.twin.gone.insert(key, Gone { pair, by });
        }
        settled.retain(|key| self.twin.gone[key].by.is_some());
        self.twin.groups.insert(self.step, Group { position, published, settled });
    }

    fn settle(&mut self) {
        let Some(key) = self.pick() else { return };
        let pair = self.twin.alive.remove(&key).unwrap();
        self.store().settle(pair.at, pair.slot);
        self.twin.gone.insert(key, Gone { pair, by: None });
    }

    fn deliver(&mut self) {
        let Some(key) = self.pick() else { return };
        let slot = self.twin.alive[&key].slot;
        let deliveries = self.store().note_delivery(slot);
        let pair = self.twin.alive.get_mut(&key).unwrap();
        pair.deliveries += 1;
        assert_eq!(deliveries, pair.deliveries);
    }

    fn compact(&mut self) {
        let (n, steps) = (self.random.below(100), self.random.below(8));
        let bytes_max = 1 + self.random.below(20_000);
        let mut moved = Vec::new();
        self.store().compact_any(n, steps, bytes_max, &mut |relocated| moved.push(relocated));
        for moved in moved {
            let pair = self.twin.alive.get_mut(&(moved.entry.id, moved.queue.0)).unwrap();
            assert_eq!(pair.slot, moved.old);
            (pair.at, pair.slot) = (moved.entry.at, moved.slot);
        }
        // The copies are in the file and not durable.
        match self.random.below(8) {
            0 => self.store().write_out_durable().unwrap(),
            1 => {
                self.store().write_out_durable().unwrap();
                self.cut_power();
            }
            _ => {}
        }
    }

    fn look(&mut self) {
        let Some(key) = self.pick() else { return };
        let pair = self.twin.alive[&key].clone();
        let record = self.store().record(pair.at);
        assert_eq!(record.id(), key.0);
        assert!(record.body() == pair.body, "the body is as it was");
        assert_eq!(record.slot_of(QueueId(key.1)), Some(pair.slot));
        assert_eq!(self.store().deliveries(pair.slot), pair.deliveries);
    }

    fn pin(&mut self) {
        if self.pins.len() > 3 {
            let n = self.random.below(self.pins.len());
            let (pin, body) = self.pins.swap_remove(n);
            assert!(pin[..] == body, "a pinned body does not change");
        }
        let Some(key) = self.pick() else { return };
        let pair = self.twin.alive[&key].clone();
        if let Some(bytes) = self.store().shared_body(pair.at) {
            self.pins.push((bytes, pair.body));
        }
    }

    fn stop(&mut self) {
        self.store.take().unwrap().close().unwrap();
        let durable = LogPos { sequence: u64::MAX, offset: 0 };
        self.begin_again(durable, true);
    }

    fn kill(&mut self) {
        let durable = self.store().durable();
        self.store = None;
        self.begin_again(durable, false);
    }

    fn cut_power(&mut self) {
        let durable = self.store().durable();
        let target = tempfile::tempdir().unwrap();
        let percent = [0, 10, 50, 90, 100][self.random.below(5)];
        self.disk.take().unwrap().cut_power(target.path(), percent, &mut self.random);
        self.store = None;
        self.directory = target;
        self.disk = Some(Disk::watch(self.directory.path()));
        self.begin_again(durable, false);
    }

    fn begin_again(&mut self, durable: LogPos, orderly: bool) {
        for (pin, body) in self.pins.drain(..) {
            assert!(pin[..] == body, "a pinned body does not change");
        }
        self.parked.clear();
        let mut store = open(self.directory.path());
        assert_eq!(store.report().clean, orderly);
        assert_eq!(store.report().damaged, [], "step {}", self.step);
        let found = replay(&mut store);
        self.store = Some(store);
        assert!(found.is_sorted_by_key(|found| found.entry.id), "in order");
        let found: BTreeMap<(MessageId, u32), Found> =
            found.into_iter().map(|found| ((found.entry.id, found.queue), found)).collect();
        self.check_found(&found, orderly);
        self.check_lost(&found, durable, orderly);
        if !orderly {
            self.check_groups(&found, durable);
        }
        self.twin.gone.clear();
        self.twin.groups.clear();
        self.twin.alive.retain(|key, _| found.contains_key(key));
        for (key, found) in found {
            let pair = Pair {
                at: found.entry.at,
                slot: found.slot,
                body: found.body,
                deliveries: found.deliveries,
                durable_ring: true,
                position: LogPos::START,
                group: 0,
            };
            self.twin.alive.insert(key, pair);
        }
    }

    /// Nothing is invented, nothing comes back.
    fn check_found(&self, found: &BTreeMap<(MessageId, u32), Found>, orderly: bool) {
        for (key, found) in found {
            let alive = self.twin.alive.get(key);
            let gone = self.twin.gone.get(key).filter(|_| !orderly);
            let pair = alive.or(gone.map(|gone| &gone.pair));
            let pair = pair.unwrap_or_else(|| {
                let settled = self.twin.gone.get(key).map(|gone| (gone.by, gone.pair.slot));
                let (step, slot) = (self.step, found.slot);
                panic!("{key:?} {slot:?} came back in step {step}, settled: {settled:?}");
            });
            assert!(pair.durable_ring && pair.body == found.body, "{key:?} is as it was");
            if orderly {
                assert_eq!(found.deliveries, pair.deliveries, "{key:?}");
            } else {
                assert!(found.deliveries >= 1, "{key:?}");
            }
        }
    }

    /// What was confirmed and not settled is there.
    fn check_lost(
        &self,
        found: &BTreeMap<(MessageId, u32), Found>,
        durable: LogPos,
        orderly: bool,
    ) {
        for (key, pair) in &self.twin.alive {
            let is_due = pair.durable_ring && (orderly || pair.position <= durable);
            let Pair { at, position, group, .. } = pair;
            assert!(
                !is_due || found.contains_key(key),
                "{key:?} at {at:?}, {position:?} of step {group}, is lost in step {}: {durable:?}",
                self.step
            );
        }
    }

    /// A move or transaction happened as a whole or not at all.
    fn check_groups(&self, found: &BTreeMap<(MessageId, u32), Found>, durable: LogPos) {
        for group in self.twin.groups.values() {
            let published = group.published.iter().filter(|key| self.twin.alive.contains_key(key));
            let here = published.clone().filter(|key| found.contains_key(key)).count();
            let published = published.count();
            assert!(here == 0 || here == published, "in part: {group:?}");
            let is_durable = group.position <= durable;
            for key in &group.settled {
                // Unless its own publishing was lost.
                let was_there = self.twin.gone[key].pair.position <= durable;
                if here > 0 || is_durable {
                    assert!(!found.contains_key(key), "{key:?} came back beside its copy");
                } else if published > 0 && was_there {
                    assert!(found.contains_key(key), "{key:?} is neither here nor there");
                }
            }
        }
    }

    /// In the end all segments are free again.
    fn settle_everything(&mut self) {
        self.pins.clear();
        for (parked, _) in std::mem::take(&mut self.parked) {
            self.store().abandon(parked);
        }
        while !self.twin.alive.is_empty() {
            self.settle();
        }
        // It gives up a body that nobody wants any more.
        self.store().compact(1, &mut |_| panic!("nothing is alive"));
        for _ in 0..4 {
            // The last one rolls the segment over.
            for _ in 0..30 {
                let appended = publish(self.store(), 1, &[0; 3000]);
                self.store().settle(appended.entry.at, appended.first_slot);
            }
            turn(self.store());
            turn(self.store());
        }
        let counters = self.store().counters();
        assert!(counters.segments_used <= 4, "{counters:?}");
        assert!(counters.segments_transient <= 5, "{counters:?}");
        self.store.take().unwrap().close().unwrap();
        let mut store = open(self.directory.path());
        assert_eq!(replay(&mut store), []);
    }
}
