//! What should be there? An account of every message of a worker: whether it is confirmed, who has
//! it, and whether it is settled for good.
//!
//! A message is never in two hands at once, never comes again once its settling was answered, comes
//! again only with the mark of a redelivery, and has the body that it was published with. At the
//! end, what was confirmed and is not settled is lost.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::link::Link;
use super::shift::Shift;
use crate::common::{Message, PropertyList, Random, TableBuf, basic, encode_publish};

/// The largest body of all.
pub const BODY_BYTES_MAX: usize = 2_000_000;
/// So many faults are shown.
const SHOWN: usize = 20;

/// A message of an account.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id {
    pub publisher: usize,
    pub number: usize,
}

/// Where a message is, as far as is known. Lives are those of the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// With the broker, or on its way there.
    Queue,
    /// Delivered in this life and not settled.
    Held(u32),
    /// Settled in this life, without an answer to a later question.
    Settling(u32),
    /// Settled on a connection that ended before there was an answer.
    Doubtful,
    Settled,
    /// Was never to get anywhere.
    Void,
}

impl Place {
    /// Whether the broker has it, as far as is known.
    fn is_open(self) -> bool {
        match self {
            Place::Queue | Place::Held(_) | Place::Settling(_) => true,
            // Most of what is in doubt was settled.
            Place::Doubtful | Place::Settled | Place::Void => false,
        }
    }
}

/// What is known of a message; small, since an hour has millions of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u32,
    is_persistent: bool,
    /// The life in which it was confirmed.
    confirmed_in: Option<NonZeroU32>,
    was_delivered: bool,
    place: Place,
}

/// How a message is published.
#[derive(Clone, Copy, Default)]
pub struct Letter<'a> {
    pub exchange: &'a str,
    pub key: &'a str,
    pub headers: Option<&'a TableBuf>,
    pub priority: Option<u8>,
}

/// All messages of a worker.
pub struct Account {
    name: &'static str,
    book: Mutex<Book>,
}

struct Book {
    /// By publisher and number.
    entries: Vec<Vec<Entry>>,
    /// How many bytes of bodies the broker has, without what earlier lives left: nobody knows how
    /// much that is.
    open_bytes: usize,
    /// The last life that was heard of.
    life: u32,
}

impl Book {
    fn of(&mut self, id: Id) -> &mut Entry {
        &mut self.entries[id.publisher][id.number]
    }

    fn put(&mut self, id: Id, place: Place) {
        let entry = self.of(id);
        let bytes = entry.bytes as usize;
        let was = std::mem::replace(&mut entry.place, place);
        match (was.is_open(), place.is_open()) {
            (true, false) => self.open_bytes = self.open_bytes.saturating_sub(bytes),
            (false, true) => self.open_bytes += bytes,
            (true, true) | (false, false) => (),
        }
    }
}

impl Account {
    pub fn new(name: &'static str, publishers: usize) -> Account {
        let entries = vec![Vec::new(); publishers];
        Account { name, book: Mutex::new(Book { entries, open_bytes: 0, life: 0 }) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Who found a fault has said so; others go on, and find theirs.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new message.
    pub fn add(&self, publisher: usize, bytes: usize, is_persistent: bool) -> Id {
        assert!(bytes <= BODY_BYTES_MAX);
        let mut book = self.book();
        let number = book.entries[publisher].len();
        let place = Place::Queue;
        let size = u32::try_from(bytes).expect("it was just checked");
        let entry =
            Entry { bytes: size, is_persistent, confirmed_in: None, was_delivered: false, place };
        book.entries[publisher].push(entry);
        book.open_bytes += bytes;
        Id { publisher, number }
    }

    /// Appends a message as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>, channel: u16, id: Id, letter: Letter<'_>) {
        let entry = *self.book().of(id);
        let text = self.text(id);
        let properties = PropertyList {
            headers: letter.headers.map(TableBuf::table),
            delivery_mode: Some(if entry.is_persistent { 2 } else { 1 }),
            priority: letter.priority,
            message_id: Some(text.as_bytes()),
            ..Default::default()
        };
        let publish = basic::Publish {
            exchange: letter.exchange.as_bytes(),
            routing_key: letter.key.as_bytes(),
            ..Default::default()
        };
        encode_publish(out, channel, publish, &properties, body(id, entry.bytes as usize), 131_072);
    }

    fn text(&self, id: Id) -> String {
        format!("{}:{}:{}", self.name, id.publisher, id.number)
    }

    pub fn confirmed(&self, id: Id, life: u32) {
        let mut book = self.book();
        book.of(id).confirmed_in = NonZeroU32::new(life);
        if life > book.life {
            book.life = life;
            book.open_bytes = 0;
        }
    }

    pub fn is_confirmed(&self, id: Id) -> bool {
        self.book().of(id).confirmed_in.is_some()
    }

    pub fn bytes(&self, id: Id) -> usize {
        self.book().of(id).bytes as usize
    }

    /// How many bytes of bodies the broker has, about.
    pub fn open_bytes(&self) -> usize {
        self.book().open_bytes
    }

    /// It must not arrive anywhere.
    pub fn void(&self, id: Id) {
        self.book().put(id, Place::Void);
    }

    /// Which message this is; it has to be one of this account, with its body.
    pub fn identify(&self, message: &Message) -> Id {
        let list = message.list();
        let text = String::from_utf8_lossy(list.message_id.unwrap_or_default()).into_owned();
        let id = self.parse(&text).unwrap_or_else(|| {
            panic!("{text:?} with {} bytes is no message of {}", message.body.len(), self.name)
        });
        let bytes = self.bytes(id);
        let is_whole = message.body == body(id, bytes);
        assert!(is_whole, "{text} has another body: {} of {bytes} bytes", message.body.len());
        id
    }

    fn parse(&self, text: &str) -> Option<Id> {
        let (publisher, number) =
            text.strip_prefix(self.name)?.strip_prefix(':')?.split_once(':')?;
        let id = Id { publisher: publisher.parse().ok()?, number: number.parse().ok()? };
        let book = self.book();
        (id.number < book.entries.get(id.publisher)?.len()).then_some(id)
    }

    /// A message came on this link; which it is.
    pub fn received(&self, shift: &Shift, link: &Link, message: &Message, again: bool) -> Id {
        let id = self.identify(message);
        let mut book = self.book();
        let entry = book.of(id);
        let (text, life) = (self.text(id), link.life);
        match entry.place {
            Place::Queue | Place::Doubtful => (),
            // Of an earlier life, or of one that ends: then everything goes back.
            Place::Held(held) | Place::Settling(held) => {
                assert!(shift.has_ended(held), "{text} is in two hands: {entry:?}");
            }
            Place::Settled => panic!("{text} came again in life {life}: {entry:?}"),
            Place::Void => panic!("{text} was never to come: {entry:?}"),
        }
        let is_marked = again || !entry.was_delivered;
        assert!(is_marked, "{text} came again without the mark in life {life}: {entry:?}");
        entry.was_delivered = true;
        book.put(id, Place::Held(life));
        id
    }

    /// It went to another queue, where it is new.
    pub fn reborn(&self, id: Id) {
        self.book().of(id).was_delivered = false;
    }

    /// It is given back, or its connection is about to be dropped.
    pub fn freed(&self, id: Id) {
        let mut book = self.book();
        let place = match book.of(id).place {
            Place::Settling(_) => Place::Doubtful,
            Place::Held(_) => Place::Queue,
            place @ (Place::Queue | Place::Doubtful | Place::Settled | Place::Void) => place,
        };
        book.put(id, place);
    }

    /// It is about to be settled.
    pub fn settling(&self, id: Id, life: u32) {
        self.book().put(id, Place::Settling(life));
    }

    /// That was answered.
    pub fn settled(&self, id: Id) {
        self.book().put(id, Place::Settled);
    }

    /// What must still be with the broker in this life.
    pub fn missing(&self, life: u32) -> Vec<String> {
        let book = self.book();
        let mut missing = Vec::new();
        for (publisher, entries) in book.entries.iter().enumerate() {
            for (number, entry) in entries.iter().enumerate() {
                let stays = |in_life: NonZeroU32| entry.is_persistent || in_life.get() == life;
                let is_owed = entry.confirmed_in.is_some_and(stays);
                let is_open = match entry.place {
                    Place::Queue => true,
                    Place::Held(held) => held == life || entry.is_persistent,
                    Place::Settling(_) | Place::Doubtful | Place::Settled | Place::Void => false,
                };
                if is_owed && is_open {
                    missing.push(format!("{} {entry:?}", self.text(Id { publisher, number })));
                }
            }
        }
        missing
    }

    /// Fails when something is missing.
    pub fn check(&self, life: u32) {
        let missing = self.missing(life);
        let shown = missing[..missing.len().min(SHOWN)].join("\n");
        assert!(missing.is_empty(), "{}: {} are lost:\n{shown}", self.name, missing.len());
    }
}

/// The body of a message: a piece of noise, of which everybody knows where it begins.
fn body(id: Id, bytes: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut noise = vec![0; 2 * BODY_BYTES_MAX];
        Random::new(0).fill(&mut noise);
        noise
    });
    let seed = ((id.publisher as u64) << 40) + id.number as u64;
    let from = Random::new(seed).within(0..BODY_BYTES_MAX);
    &noise[from..from + bytes]
}

/// How large bodies are: for some time small, then large, then something between.
#[derive(Default)]
pub struct Sizes {
    most: usize,
    left: usize,
}

impl Sizes {
    pub fn next(&mut self, random: &mut Random) -> usize {
        if self.left == 0 {
            self.most = *random.pick(&[1, 100, 4_000, 60_000, 300_000]);
            self.left = random.within(20..300);
        }
        self.left -= 1;
        if random.within(0..500) == 0 { BODY_BYTES_MAX } else { random.within(0..self.most) }
    }
}

/// First deliveries of a queue come in the order of their publishing: what a consumer has seen.
#[derive(Default)]
pub struct Order(HashMap<(String, usize), usize>);

impl Order {
    pub fn check(&mut self, queue: &str, id: Id, again: bool) {
        if again {
            return;
        }
        let last = self.0.insert((queue.to_owned(), id.publisher), id.number);
        let is_next = last.is_none_or(|last| last < id.number);
        assert!(is_next, "{queue}: {id:?} came after number {last:?}");
    }
}
