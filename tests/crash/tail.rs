//! Does it matter what lies behind the durable position? A log is written through the library, with
//! syncs at random moments; then every byte behind the durable position is spoilt, as a power cut
//! may spoil it, and the broker's binary is started on what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use leveret::storage::{
    Appended, Body, HelperMode, LogPos, Publication, QueueId, RecordRef, SlotRef, Store,
    StoreOptions,
};
use tempfile::TempDir;

use crate::common::{Ack, Client, Process, Random, copy_files, persistent, segments, sequence};

const SEGMENT_BYTES: u32 = 256 << 10;
const HEADER_BYTES: usize = 4096;
const QUEUES: usize = 3;
const STEPS: usize = 400;

/// What is put in the place of what was not durable.
#[derive(Clone, Copy, Debug)]
pub enum Spoil {
    Nothing,
    Zeros,
    Garbage,
    /// Sector by sector: as it was written, or zeros.
    SomeSectors,
    /// The files end there.
    Truncated,
}

/// A message in one queue.
#[derive(Clone, Copy, Debug)]
struct Copy {
    at: RecordRef,
    slot: SlotRef,
    position: LogPos,
}

/// What a test wrote to a log.
struct Writer {
    store: Store,
    random: Random,
    queues: Vec<QueueId>,
    next: usize,
    /// What lies in the queues, by number and queue.
    alive: BTreeMap<(usize, usize), Copy>,
    /// Acked by themselves: they may come again.
    acked: BTreeSet<(usize, usize)>,
    /// Acked by a transaction that ends here.
    acked_at: BTreeMap<(usize, usize), (LogPos, LogPos)>,
    /// Nothing that was not durable is left.
    is_torn: bool,
}

/// The whole test for one seed; how many messages compaction moved.
pub fn tear(seed: u64, spoil: Spoil) -> u64 {
    let keep = TempDir::new().expect("a temporary directory can be made");
    let path = keep.path().join("data");
    let names = declare(&path);
    let mut writer = Writer::new(&path, seed);
    for _ in 0..STEPS {
        writer.step();
    }
    if writer.random.chance(50) {
        writer.write_out();
    }
    let durable = writer.store.durable();
    let kept = writer.alive.values().filter(|copy| copy.position <= durable).count();
    let all = writer.alive.len();
    let moved = writer.store.counters().relocated;
    eprintln!("seed {seed}, {spoil:?}: {kept} of {all} are durable, {durable:?}, {moved} moved");
    let copy = keep.path().join("copy");
    copy_files(&path, &copy);
    writer.spoil(&copy, durable, spoil);
    let process = Process::start(&copy, SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    for (queue, name) in names.iter().enumerate() {
        writer.check(queue, &client.drain(1, name), durable);
    }
    client.close();
    process.terminate();
    moved
}

/// Makes durable queues with the broker and puts into each a message that tells its number.
fn declare(path: &Path) -> Vec<String> {
    let process = Process::start(path, SEGMENT_BYTES);
    let mut client = Client::connect(process.address());
    client.confirm_select(1);
    let names = (0..QUEUES).map(|number| {
        client.open(2);
        let name = client.durable_queue(2);
        client.close_channel(2);
        client.publish_with(1, "", &name, &persistent(), format!("{number}:").as_bytes());
        client.expect::<Ack>(1);
        name
    });
    let names = names.collect();
    client.close();
    process.terminate();
    names
}

/// Begins with its number, has a length that depends on it, and is the same every time.
fn body(number: usize) -> Vec<u8> {
    let mut random = Random::new(number as u64);
    let bytes = if number.is_multiple_of(13) { 70_000 } else { random.within(10..9000) };
    let mut body = format!("{number}:").into_bytes();
    body.resize_with(bytes, || b'a' + random.next().to_le_bytes()[0] % 26);
    body
}

fn publication<'a>(body: Body<'a>, queues: &'a [QueueId]) -> Publication<'a> {
    Publication {
        durable: true,
        exchange: b"",
        routing_key: b"a routing key",
        // No properties but delivery mode 2.
        properties: &[0x10, 0, 2],
        body,
        published_ms: 1,
        expiry_ms: 0,
        deliveries: 0,
        queues,
        replaces: None,
        defines: None,
    }
}

impl Writer {
    fn new(path: &Path, seed: u64) -> Writer {
        let options = StoreOptions::new(path, SEGMENT_BYTES, HelperMode::Manual);
        let mut store = Store::open(options).expect("the log can be opened");
        let mut queues = vec![QueueId(0); QUEUES];
        store.take_definitions();
        store.replay(&mut |found| {
            let text = String::from_utf8_lossy(found.record.small_body());
            let number: usize = text.trim_end_matches(':').parse().expect("a number");
            queues[number] = found.queue;
            // Settles it.
            false
        });
        Writer {
            store,
            random: Random::new(seed),
            queues,
            next: 100,
            alive: BTreeMap::new(),
            acked: BTreeSet::new(),
            acked_at: BTreeMap::new(),
            is_torn: false,
        }
    }

    fn step(&mut self) {
        match self.random.within(0..100) {
            0..45 => self.publish(),
            45..55 => self.transact(),
            55..65 => self.ack(),
            65..70 => self.compact(),
            70..80 => self.write_out(),
            80..85 => {
                self.write_out();
                self.store.start_sync_if(true).expect("the helper is there");
            }
            85..90 => self.store.maintain().expect("the helper is there"),
            _ => {
                let steps = self.random.within(1..6);
                self.store.run_helper(steps);
                self.store.take_answers().expect("the disk works");
            }
        }
    }

    fn write_out(&mut self) {
        self.store.retire();
        self.store.write_out(true).expect("the disk works");
    }

    /// Some of the queues, by index.
    fn some_queues(&mut self) -> Vec<usize> {
        let first = self.random.within(0..QUEUES);
        (first..QUEUES).collect()
    }

    fn publish(&mut self) {
        let number = self.next;
        self.next += 1;
        let body = body(number);
        let indices = self.some_queues();
        let ids: Vec<_> = indices.iter().map(|index| self.queues[*index]).collect();
        let appended = if body.len() >= 65_536 {
            let mut large = self.store.begin_body(true, body.len() as u64);
            for chunk in body.chunks(20_000) {
                self.store.add_to_body(&mut large, chunk);
            }
            let appended = self.store.append(&publication(Body::Large(&large), &ids));
            self.store.abandon(large);
            appended
        } else {
            self.store.append(&publication(Body::Inline(&body), &ids))
        };
        // Without room nothing was changed; the helper makes some by and by.
        let Ok(appended) = appended else {
            return;
        };
        self.note(number, &indices, &appended, appended.position);
    }

    fn transact(&mut self) {
        let settled = self.pick(2);
        let count = self.random.within(1..4);
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        let bodies: Vec<_> = numbers.iter().map(|number| body(*number)).collect();
        let indices = self.some_queues();
        let ids: Vec<_> = indices.iter().map(|index| self.queues[*index]).collect();
        let all: Vec<_> = bodies.iter().map(|body| publication(Body::Inline(body), &ids)).collect();
        let slots: Vec<_> = settled.iter().map(|key| self.alive[key].slot).collect();
        let mut appended = Vec::new();
        if self.store.append_part(&all, &slots, true, &mut appended).is_err() {
            return;
        }
        slots.into_iter().for_each(|slot| self.store.settle_with_transaction(slot));
        self.store.end_transaction();
        let end = self.store.end();
        for (number, appended) in numbers.into_iter().zip(&appended) {
            self.note(number, &indices, appended, end);
        }
        for key in settled {
            let copy = self.alive.remove(&key).expect("it was picked");
            self.acked_at.insert(key, (copy.position, end));
        }
    }

    fn ack(&mut self) {
        // Every seventh message stays for long, so that the log gets sparse.
        let settled = self.pick(12).into_iter().filter(|(number, _)| !number.is_multiple_of(7));
        for key in settled {
            let copy = self.alive.remove(&key).expect("it was picked");
            self.store.settle(copy.at, copy.slot);
            self.acked.insert(key);
        }
    }

    /// Moves what keeps mostly dead segments. What was durable stays so: until the copy is, the
    /// old record counts.
    fn compact(&mut self) {
        let mut moved = Vec::new();
        self.store.compact(30_000, &mut |relocated| moved.push(relocated));
        for moved in moved {
            let copies = self.alive.iter_mut();
            let (_, copy) =
                copies.into_iter().find(|(_, copy)| copy.slot == moved.old).expect("it is alive");
            (copy.at, copy.slot) = (moved.entry.at, moved.slot);
        }
    }

    fn pick(&mut self, count: usize) -> Vec<(usize, usize)> {
        let keys: Vec<_> = self.alive.keys().copied().collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let picked: BTreeSet<_> = (0..count).map(|_| *self.random.pick(&keys)).collect();
        picked.into_iter().collect()
    }

    fn note(&mut self, number: usize, indices: &[usize], appended: &Appended, position: LogPos) {
        for (nth, queue) in (0..).zip(indices) {
            let copy = Copy { at: appended.entry.at, slot: appended.slot(nth), position };
            self.alive.insert((number, *queue), copy);
        }
    }

    /// Spoils what is not durable in the copy of the directory.
    fn spoil(&mut self, directory: &Path, durable: LogPos, spoil: Spoil) {
        self.is_torn = matches!(spoil, Spoil::Zeros | Spoil::Garbage | Spoil::Truncated);
        for name in segments(directory) {
            let path = directory.join(name);
            let mut bytes = fs::read(&path).expect("the file can be read");
            let from = match sequence(&bytes).cmp(&durable.sequence) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => durable.offset as usize,
                std::cmp::Ordering::Greater => HEADER_BYTES,
            };
            match spoil {
                Spoil::Nothing => {}
                Spoil::Zeros => bytes[from..].fill(0),
                Spoil::Garbage => self.random.fill(&mut bytes[from..]),
                Spoil::SomeSectors => {
                    for sector in (from / 512..bytes.len() / 512).filter(|_| self.random.chance(50))
                    {
                        bytes[from.max(sector * 512)..(sector + 1) * 512].fill(0);
                    }
                }
                Spoil::Truncated => bytes.truncate(from),
            }
            fs::write(&path, bytes).expect("the file can be written");
        }
    }

    /// Compares what the broker found in a queue with what must and what may be there.
    fn check(&self, queue: usize, bodies: &[String], durable: LogPos) {
        let mut found = BTreeSet::new();
        let mut last = 0;
        for text in bodies {
            let number = text.split(':').next().and_then(|number| number.parse().ok());
            let number: usize = number.expect("a number");
            if number < QUEUES {
                // What told the queue's number was settled, without a sync.
                continue;
            }
            assert!(text.as_bytes() == body(number), "the body of {number} is another");
            assert!(number > last, "{number} came after {last}");
            last = number;
            let key = (number, queue);
            let may_be_there = match self.acked_at.get(&key) {
                Some((_, settled)) => *settled > durable,
                None => self.alive.contains_key(&key) || self.acked.contains(&key),
            };
            assert!(may_be_there, "{number} is there");
            let was_durable = self.alive.get(&key).is_none_or(|copy| copy.position <= durable);
            assert!(was_durable || !self.is_torn, "{number} is there without its record");
            found.insert(number);
        }
        for ((number, _), copy) in self.alive.iter().filter(|((_, other), _)| *other == queue) {
            let must_be_there = copy.position <= durable;
            assert!(!must_be_there || found.contains(number), "{number} is lost: {copy:?}");
        }
        // What a transaction acked is there, if none of the transaction is.
        let spoilt = self.acked_at.iter().filter(|((_, other), _)| *other == queue);
        for ((number, _), (published, settled)) in spoilt {
            let must_be_there = *published <= durable && *settled > durable && self.is_torn;
            assert!(!must_be_there || found.contains(number), "{number} is lost");
        }
    }
}
