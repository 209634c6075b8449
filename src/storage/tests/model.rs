//! The store against a naive twin that remembers everything: random appends, moves, transactions,
//! large bodies, definitions, settling, compaction and syncs; with kills, power cuts and orderly
//! stops at any moment, cuts in the middle of recovery, a second and a third time, sizes that
//! change over time, bodies that are pieces of the log itself, and another segment size at the next
//! start.

use std::collections::{BTreeMap, HashMap};

use tempfile::TempDir;

use super::disk::Disk;
use super::*;
use crate::storage::{AppendError, LogPos, MessageId, RecordRef};

const STEPS: usize = 1200;
const QUEUES: u64 = 5;

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
    published: Vec<(MessageId, u64)>,
    settled: Vec<(MessageId, u64)>,
}

/// What a key was defined as in this life, oldest first; with the number of the change, and the
/// message that the definition came with.
type History = Vec<(u64, Option<Vec<u8>>, Option<MessageId>)>;

/// Queues and body of a message.
type Sent = (Vec<QueueId>, Vec<u8>);

#[derive(Default)]
struct Twin {
    alive: BTreeMap<(MessageId, u64), Pair>,
    gone: HashMap<(MessageId, u64), Gone>,
    groups: HashMap<usize, Group>,
    highest: u64,
    definitions: BTreeMap<Vec<u8>, History>,
}

struct World {
    random: Random,
    directory: TempDir,
    disk: Arc<Disk>,
    segment_bytes: u32,
    store: Option<Store>,
    twin: Twin,
    arriving: Vec<(LargeBody, Vec<u8>)>,
    pins: Vec<(bytes::Bytes, Vec<u8>)>,
    /// A transaction that goes on will settle them.
    reserved: Vec<(MessageId, u64)>,
    step: usize,
}

#[test]
fn the_store_keeps_what_its_twin_keeps() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("LEVERET_SEED").unwrap_or(1);
    for seed in first..first + number("LEVERET_SEEDS").unwrap_or(20) {
        eprintln!("seed {seed}");
        World::new(seed).run();
    }
}

/// Memory where there is some: real syncs prove nothing here.
fn fresh_directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let directory = fresh_directory();
        let disk = Disk::with(directory.path());
        let store = open_on(directory.path(), SEGMENT_BYTES, &disk).unwrap();
        World {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            directory,
            disk,
            segment_bytes: SEGMENT_BYTES,
            store: Some(store),
            twin: Twin::default(),
            arriving: Vec::new(),
            pins: Vec::new(),
            reserved: Vec::new(),
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
                0..220 => self.publish(),
                220..240 => self.begin_large(),
                240..270 => self.arrive(),
                270..310 => self.move_one(),
                310..325 => self.transact(),
                325..335 => self.transact_slowly(),
                335..345 => self.transact_much(),
                345..375 => self.define(),
                375..600 => self.settle(),
                600..640 => self.deliver(),
                640..660 => self.put_back(),
                660..700 => self.look(),
                700..740 => self.pin(),
                740..850 => self.write_out(),
                850..870 => self.store().write_out_transient().unwrap(),
                870..910 => {
                    self.store().start_sync_if(true).unwrap();
                }
                910..955 => {
                    let steps = self.random.below(4);
                    self.store().run_helper(steps);
                }
                955..975 => {
                    self.store().take_answers().unwrap();
                }
                975..983 => self.store().maintain().unwrap(),
                983..991 => self.compact(),
                991..993 => self.stop(),
                993..996 => self.kill(),
                _ => self.cut_power(),
            }
            self.store().take_answers().unwrap();
            self.keep_room();
        }
        self.settle_everything();
    }

    fn write_out(&mut self) {
        self.store().retire();
        self.store().write_out(true).unwrap();
    }

    /// A ring that is out of spares has the helper make some.
    fn keep_room(&mut self) {
        let bytes = u64::from(self.segment_bytes);
        let store = self.store.as_mut().unwrap();
        while store.room_bytes(true) < bytes / 2 || store.room_bytes(false) < bytes / 2 {
            store.maintain().unwrap();
            if store.run_helper(1) == 0 {
                store.want_room(true, bytes);
            }
            store.take_answers().unwrap();
        }
    }

    /// Sizes change over time: large ones, small ones, all kinds.
    fn body(&mut self) -> Vec<u8> {
        let most = match self.step / 150 % 3 {
            0 => [9000, 2000][self.random.below(2)],
            1 => 40,
            _ if self.random.chance(10) => 9000,
            _ => 300,
        };
        let length = self.random.below(most);
        self.bytes(length)
    }

    /// Bytes as an enemy would choose them.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        match self.random.below(6) {
            0 => vec![0; length],
            1 => vec![0xff; length],
            2 | 3 => self.bytes_of_the_log(length),
            _ => {
                let first = self.random.next();
                (0..length as u64).map(|n| (first.wrapping_add(n * 7) % 251) as u8).collect()
            }
        }
    }

    /// What lies in a segment file, from any place on: whole records, at any alignment.
    fn bytes_of_the_log(&mut self, length: usize) -> Vec<u8> {
        let files = segment_files(self.directory.path());
        let path = &files[self.random.below(files.len())];
        let bytes = std::fs::read(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let from = self.random.below(used);
        let mut copy = bytes[from..used.min(from + length)].to_vec();
        copy.resize(length, 0);
        copy
    }

    fn queues(&mut self) -> Vec<QueueId> {
        let first = self.random.below(QUEUES as usize) as u64;
        let count = 1 + self.random.below(3) as u64;
        (0..count).map(|n| QueueId((first + n) % QUEUES)).collect()
    }

    fn note(&mut self, appended: Appended, queues: &[QueueId], body: &[u8], durable: bool) {
        assert!(appended.entry.id.0 > self.twin.highest, "ids never repeat");
        self.twin.highest = appended.entry.id.0;
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
        let key = self.key();
        let payload = self.step.to_le_bytes();
        let defines = (durable && self.random.chance(15)).then_some((&key[..], &payload[..]));
        let publication = Publication { defines, ..publication(durable, &queues, &body) };
        let appended = self.store().append(&publication).unwrap();
        self.note(appended, &queues, &body, durable);
        if defines.is_some() {
            let change = self.store().note_change();
            let with = Some(appended.entry.id);
            self.note_definition(key, (change, Some(payload.to_vec()), with));
        }
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key {}", self.random.below(12)).into_bytes()
    }

    fn note_definition(&mut self, key: Vec<u8>, state: (u64, Option<Vec<u8>>, Option<MessageId>)) {
        self.twin.definitions.entry(key).or_default().push(state);
    }

    fn define(&mut self) {
        let (key, length) = (self.key(), self.random.below(300));
        if self.random.chance(30) {
            let change = self.store().undefine(&key);
            return self.note_definition(key, (change, None, None));
        }
        let mut payload = self.step.to_le_bytes().to_vec();
        payload.extend(self.bytes(length));
        let change = self.store().define(&key, &payload);
        self.note_definition(key, (change, Some(payload), None));
    }

    /// Begins a large body, which arrives later.
    fn begin_large(&mut self) {
        let most = [9000, 40_000][self.random.below(2)];
        let length = self.random.below(most);
        let bytes = self.bytes(length);
        let durable = self.random.chance(80);
        let body = self.store().begin_body(durable, length as u64);
        self.arriving.push((body, bytes));
    }

    /// More of a large body arrives, or its connection breaks.
    fn arrive(&mut self) {
        if self.arriving.is_empty() {
            return;
        }
        let n = self.random.below(self.arriving.len());
        let (mut body, bytes) = self.arriving.swap_remove(n);
        if self.random.chance(10) {
            return self.store().abandon(body);
        }
        let done = bytes.len() - usize::try_from(body.missing_bytes()).unwrap();
        let to = done + self.random.below(bytes.len() - done + 1);
        self.store().add_to_body(&mut body, &bytes[done..to]);
        if self.random.chance(30) {
            return self.arriving.push((body, bytes));
        }
        self.keep_room();
        self.store().add_to_body(&mut body, &bytes[to..]);
        let queues = self.queues();
        let durable = self.random.chance(80);
        let publication = publication(durable, &queues, b"");
        match self.store().append(&Publication { body: Body::Large(&body), ..publication }) {
            Ok(appended) => self.note(appended, &queues, &bytes, durable),
            Err(error) => assert_eq!(error, AppendError::Full, "it waits for room"),
        }
        self.store().abandon(body);
    }

    fn pick(&mut self) -> Option<(MessageId, u64)> {
        if self.twin.alive.is_empty() {
            return None;
        }
        let n = self.random.below(self.twin.alive.len());
        // Rather the old ones, so that segments get empty.
        let n = if self.random.chance(70) { n / 8 } else { n };
        self.twin.alive.keys().nth(n).copied().filter(|key| !self.reserved.contains(key))
    }

    fn move_one(&mut self) {
        let Some(key) = self.pick() else { return };
        let old = self.twin.alive[&key].clone();
        let queues = self.queues();
        let durable = self.random.chance(80);
        let publication = Publication {
            body: Body::Of(old.at),
            replaces: Some(old.slot),
            ..publication(durable, &queues, b"")
        };
        let appended = match self.store().append(&publication) {
            Ok(appended) => appended,
            Err(error) => return assert_eq!(error, AppendError::Full, "it waits for room"),
        };
        self.note(appended, &queues, &old.body, durable);
        self.twin.alive.remove(&key);
        let by = (durable && old.durable_ring).then_some(self.step);
        if by.is_some() {
            let published = queues.iter().map(|queue| (appended.entry.id, queue.0)).collect();
            let group = Group { position: appended.position, published, settled: vec![key] };
            self.twin.groups.insert(self.step, group);
        }
        self.twin.gone.insert(key, Gone { pair: old, by });
    }

    fn transact(&mut self) {
        let count = self.random.below(4);
        let parts = (0..count).map(|_| (self.queues(), self.body())).collect();
        self.commit(parts);
    }

    /// So much that it takes several records.
    fn transact_much(&mut self) {
        let count = 10 + self.random.below(10);
        let parts = (0..count).map(|_| (self.queues(), self.bytes(5000))).collect();
        self.commit(parts);
    }

    fn commit(&mut self, parts: Vec<(Vec<QueueId>, Vec<u8>)>) {
        let mut settled = Vec::new();
        for _ in 0..self.random.below(4) {
            if let Some(key) = self.pick().filter(|key| !settled.contains(key)) {
                settled.push(key);
            }
        }
        let slots: Vec<SlotRef> = settled.iter().map(|key| self.twin.alive[key].slot).collect();
        let publications: Vec<Publication<'_>> =
            parts.iter().map(|(queues, body)| publication(true, queues, body)).collect();
        let committed = self.store().append_transaction(&publications, &slots);
        let Ok((appended, position)) = committed else {
            return assert_eq!(committed.unwrap_err(), AppendError::Full, "it waits for room");
        };
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

    /// In parts, with all kinds of things between them; it may be given up, or a life may end.
    fn transact_slowly(&mut self) {
        for _ in 0..self.random.below(4) {
            let picked = self.pick().filter(|key| self.twin.alive[key].durable_ring);
            self.reserved.extend(picked);
        }
        let (settled, count) = (self.reserved.clone(), 1 + self.random.below(4));
        let mut stored = Vec::new();
        for part in 0..count {
            let is_last = part + 1 == count;
            let large = self.random.chance(30);
            let messages: Vec<(Vec<QueueId>, Vec<u8>)> = (0..self.random.below(4))
                .map(|_| (self.queues(), if large { self.bytes(5000) } else { self.body() }))
                .collect();
            let publications: Vec<Publication<'_>> =
                messages.iter().map(|(queues, body)| publication(true, queues, body)).collect();
            let from = settled.len().min(part);
            let to = if is_last { settled.len() } else { settled.len().min(part + 1) };
            let slots: Vec<_> =
                settled[from..to].iter().map(|key| self.twin.alive[key].slot).collect();
            let mut appended = Vec::new();
            let store = self.store.as_mut().unwrap();
            let result = store.append_part(&publications, &slots, is_last, &mut appended);
            let is_given_up = !is_last && self.random.chance(10);
            if result.is_err() || is_given_up {
                assert!(result.is_ok() || result == Err(AppendError::Full), "it waits for room");
                while !self.store().abandon_transaction(2) {}
                return self.reserved.clear();
            }
            stored.extend(appended.into_iter().zip(messages));
            if !is_last && self.something_else_happens() {
                return;
            }
        }
        self.note_transaction(stored, &settled);
    }

    /// What may happen between two parts of a transaction; whether the life of the store ended.
    fn something_else_happens(&mut self) -> bool {
        for _ in 0..self.random.below(5) {
            match self.random.below(24) {
                0..4 => self.settle(),
                4..6 => self.deliver(),
                6..8 => self.put_back(),
                8..10 => self.define(),
                10..14 => self.write_out(),
                14..16 => {
                    self.store().start_sync_if(true).unwrap();
                }
                16..19 => {
                    self.store().run_helper(3);
                    self.store().take_answers().unwrap();
                }
                19..20 => self.store().maintain().unwrap(),
                20..21 => {
                    self.store().compact(9000, &mut |_| panic!("it may be none of it"));
                }
                21..22 => {
                    self.kill();
                    return true;
                }
                _ => {
                    self.cut_power();
                    return true;
                }
            }
        }
        self.keep_room();
        false
    }

    fn note_transaction(&mut self, stored: Vec<(Appended, Sent)>, settled: &[(MessageId, u64)]) {
        let position = self.store().end();
        let mut published = Vec::new();
        for (appended, (queues, body)) in stored {
            self.note(Appended { position, ..appended }, &queues, &body, true);
            published.extend(queues.iter().map(|queue| (appended.entry.id, queue.0)));
        }
        let by = Some(self.step);
        for key in settled {
            let pair = self.twin.alive.remove(key).unwrap();
            self.store().settle_with_transaction(pair.slot);
            self.twin.gone.insert(*key, Gone { pair, by });
        }
        self.store().end_transaction();
        self.reserved.clear();
        let settled = settled.to_vec();
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

    fn put_back(&mut self) {
        let Some(key) = self.pick() else { return };
        let slot = self.twin.alive[&key].slot;
        self.store().log_deliveries(slot);
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
            0 => self.write_out(),
            1 => {
                self.write_out();
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
        assert!(record.body_to_vec() == pair.body, "the body is as it was");
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
        if let Some(mut parts) = self.store().shared_body(pair.at)
            && let Some(part) = parts.next()
        {
            let begin = pair.body[..part.len()].to_vec();
            self.pins.push((part, begin));
        }
    }

    fn stop(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.begin_again(LogPos { sequence: u64::MAX, offset: 0 }, u64::MAX, true);
    }

    fn kill(&mut self) {
        let (durable, kept) = self.kept();
        self.store = None;
        self.begin_again(durable, kept, false);
    }

    /// What was promised: a position, and the number of a change.
    fn kept(&mut self) -> (LogPos, u64) {
        let store = self.store.as_ref().unwrap();
        let kept = (0..=store.changes()).rev().find(|change| store.is_kept(*change));
        (store.durable(), kept.unwrap_or(0))
    }

    fn cut_power(&mut self) {
        let (durable, kept) = self.kept();
        self.lose_power();
        self.store = None;
        // Once more, and again, in the middle of what the start before did.
        while self.random.chance(60) {
            self.disk.fail_after(1 + self.random.below(25) as u64);
            let opened = open_on(self.directory.path(), self.segment_bytes, &self.disk);
            if !self.disk.is_dead() {
                drop(opened);
                break;
            }
            assert!(opened.is_err() || self.disk.is_dead());
            drop(opened);
            self.lose_power();
        }
        self.disk = Disk::with(self.directory.path());
        self.begin_again(durable, kept, false);
    }

    fn lose_power(&mut self) {
        let target = fresh_directory();
        let percent = [0, 10, 50, 90, 100][self.random.below(5)];
        self.disk.cut_power(target.path(), percent, &mut self.random);
        self.directory = target;
        self.disk = Disk::with(self.directory.path());
    }

    fn begin_again(&mut self, durable: LogPos, kept: u64, orderly: bool) {
        for (pin, body) in self.pins.drain(..) {
            assert!(pin[..] == body, "a pinned body does not change");
        }
        self.arriving.clear();
        self.reserved.clear();
        if self.random.chance(30) {
            self.segment_bytes = SEGMENT_BYTES << self.random.below(3);
        }
        let mut store = open_on(self.directory.path(), self.segment_bytes, &self.disk).unwrap();
        assert_eq!(store.report().damaged, [], "step {}", self.step);
        assert_eq!(store.report().clean, orderly);
        let defined: BTreeMap<_, _> = definitions(&mut store).into_iter().collect();
        let found = replay(&mut store);
        self.store = Some(store);
        assert!(found.is_sorted_by_key(|found| found.entry.id), "in order");
        let found: BTreeMap<(MessageId, u64), Found> =
            found.into_iter().map(|found| ((found.entry.id, found.queue), found)).collect();
        self.check_found(&found, orderly);
        self.check_lost(&found, durable, orderly);
        if !orderly {
            self.check_groups(&found, durable);
        }
        self.check_definitions(&defined, &found, kept);
        self.twin.gone.clear();
        self.twin.groups.clear();
        self.twin.alive.clear();
        self.twin.definitions.clear();
        for (key, payload) in defined {
            self.twin.definitions.insert(key, vec![(0, Some(payload), None)]);
        }
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
    fn check_found(&self, found: &BTreeMap<(MessageId, u64), Found>, orderly: bool) {
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
        found: &BTreeMap<(MessageId, u64), Found>,
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
    fn check_groups(&self, found: &BTreeMap<(MessageId, u64), Found>, durable: LogPos) {
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

    /// A definition is what it was when the promise was made, or something that came later; one
    /// that came with a message is there exactly if the message is.
    fn check_definitions(
        &self,
        defined: &BTreeMap<Vec<u8>, Vec<u8>>,
        found: &BTreeMap<(MessageId, u64), Found>,
        kept: u64,
    ) {
        assert!(defined.keys().all(|key| self.twin.definitions.contains_key(key)));
        for (key, history) in &self.twin.definitions {
            let from = history.iter().rposition(|(change, ..)| *change <= kept);
            let mut legal = history[from.unwrap_or(0)..].iter();
            let is = defined.get(key);
            let state = legal.find(|(_, payload, _)| payload.as_ref() == is);
            let was_none = from.is_none() && is.is_none();
            assert!(state.is_some() || was_none, "{key:?} is {is:?}, kept {kept}: {history:?}");
            let alive = |id: MessageId| self.twin.alive.keys().find(|(other, _)| *other == id);
            if let Some((_, Some(_), Some(with))) = state
                && let Some(pair) = alive(*with)
            {
                assert!(found.contains_key(pair), "{key:?} is defined without its message");
            }
            if let Some((_, payload, Some(with))) = history.last()
                && found.keys().any(|(id, _)| id == with)
            {
                assert_eq!(is, payload.as_ref(), "the message of {key:?} is there, it is not");
            }
        }
    }

    /// In the end all segments are free again.
    fn settle_everything(&mut self) {
        self.pins.clear();
        for (body, _) in std::mem::take(&mut self.arriving) {
            self.store().abandon(body);
        }
        while !self.twin.alive.is_empty() {
            self.settle();
        }
        for n in 0..12 {
            self.store().undefine(format!("key {n}").as_bytes());
        }
        // It gives up a body that nobody wants any more.
        self.store().compact(1, &mut |_| panic!("nothing is alive"));
        for _ in 0..6 {
            roll(self.store());
            turn(self.store());
        }
        let counters = self.store().counters();
        assert!(counters.segments_used <= 3, "{counters:?}");
        assert!(counters.segments_transient <= 5, "{counters:?}");
        self.store.take().unwrap().close().unwrap();
        let mut store = open_on(self.directory.path(), self.segment_bytes, &self.disk).unwrap();
        assert!(definitions(&mut store).is_empty());
        let back = replay(&mut store);
        let back: Vec<_> = back.iter().map(|found| (found.entry, found.queue)).collect();
        assert_eq!(back, []);
    }
}
