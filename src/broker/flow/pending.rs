//! How are the messages of a transaction kept until it commits?
//!
//! One behind the other in pieces of memory that are given back as they are used up:
//!
//! ```text
//! flags u8 | bytes of exchange, key u32 | exchange | key, unless it goes the same way
//!          | priority u8, if it has one
//!          | bytes of properties, body u32 | properties | body
//! ```
//!
//! As a rule a message goes where the one before it went: then it says no more than that. The
//! first one of a piece says it all.

use std::collections::VecDeque;

use crate::broker::chunks::Chunks;
use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::flow::message::{Content, Delay, Message};
use crate::broker::key::QueueKey;
use crate::storage::{Body, LargeBody};

/// Messages in publish order; checked and routed, not stored.
#[derive(Debug, Default)]
pub(in crate::broker) struct PendingPublishes {
    pieces: VecDeque<Vec<u8>>,
    /// Where messages go that do not go the way of the one before them.
    ways: Chunks<Destinations>,
    seldom: Chunks<Seldom>,
    /// Bodies in the message log.
    large: Chunks<LargeBody>,
    len: usize,
    /// Where the first one that is left begins.
    front: Place,
    /// The names of the last one, in the last piece.
    last: Option<Names>,
    /// The bytes of memory that it all takes, about.
    memory_bytes: usize,
}

/// A place between two messages.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::broker) struct Place {
    /// How many messages come before it.
    count: usize,
    /// In which piece, and where in it.
    piece: usize,
    offset: usize,
    /// Where the names of the message before it stand in the piece, if there is one.
    names: Option<Names>,
    /// How many ways, rare things and large bodies belong to messages before it.
    ways: usize,
    seldom: usize,
    large: usize,
}

/// Where the names stand in a piece.
#[derive(Debug, Default, Clone, Copy)]
struct Names {
    offset: usize,
    exchange_bytes: usize,
    key_bytes: usize,
}

/// A message as it is kept.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct PendingPublish<'a> {
    /// What is to be stored.
    pub message: Message<'a>,
    /// The queues that it was routed to.
    pub queues: &'a [QueueKey],
    pub mandatory: bool,
}

/// The queues that a message goes to: as a rule one.
#[derive(Debug)]
pub(in crate::broker) enum Destinations {
    One(QueueKey),
    Others(Box<[QueueKey]>),
}

/// What few messages have.
#[derive(Debug)]
struct Seldom {
    ttl_ms: Option<u64>,
    delay: Option<Delay>,
    dedup_key: Option<NewDedupKey>,
}

/// It goes the way of the message before it.
const FLAG_SAME_WAY: u8 = 1;
const FLAG_LARGE: u8 = 2;
const FLAG_MANDATORY: u8 = 4;
const FLAG_PERSISTENT: u8 = 8;
const FLAG_PRIORITY: u8 = 16;
const FLAG_SELDOM: u8 = 32;

/// A piece with so many bytes gets no other message.
const PIECE_BYTES: usize = 64 * 1024;

/// What each piece of memory of its own takes beside its bytes, about.
const ALLOCATION_BYTES: usize = 16;

impl Destinations {
    pub(in crate::broker) fn new(queues: &[QueueKey]) -> Self {
        match queues {
            [queue] => Self::One(*queue),
            others => Self::Others(others.into()),
        }
    }

    pub(in crate::broker) fn as_slice(&self) -> &[QueueKey] {
        match self {
            Self::One(queue) => std::slice::from_ref(queue),
            Self::Others(queues) => queues,
        }
    }

    /// The bytes of memory that it takes, about.
    fn memory_bytes(&self) -> usize {
        let others = match self {
            Self::One(_) => 0,
            Self::Others(queues) => size_of_val::<[QueueKey]>(queues) + ALLOCATION_BYTES,
        };
        size_of::<Self>() + others
    }
}

impl PendingPublishes {
    /// Keeps a copy of a message. A large body is handed over by its owner afterwards.
    pub(in crate::broker) fn push(
        &mut self,
        message: &Message<'_>,
        queues: &[QueueKey],
        mandatory: bool,
    ) {
        let Content { exchange, routing_key, properties, body } = message.content;
        let body = match body {
            Body::Inline(body) => Some(body),
            Body::Large(_) | Body::Of(_) => None,
        };
        let goes_same_way = self.goes_same_way(exchange, routing_key, queues);
        let flags = [
            (FLAG_SAME_WAY, goes_same_way),
            (FLAG_LARGE, body.is_none()),
            (FLAG_MANDATORY, mandatory),
            (FLAG_PERSISTENT, message.persistent),
            (FLAG_PRIORITY, message.priority > 0),
            (FLAG_SELDOM, !message.may_pass()),
        ];
        let flags = flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum::<u8>();
        if !goes_same_way {
            self.keep_way(queues);
        }
        if !message.may_pass() {
            self.keep_seldom(message);
        }
        if self.pieces.back().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
            self.pieces.push_back(Vec::new());
        }
        let piece = self.pieces.back_mut().expect("it was just looked at");
        let before = piece.len();
        piece.push(flags);
        if !goes_same_way {
            piece.extend_from_slice(&length(exchange));
            piece.extend_from_slice(&length(routing_key));
            let (offset, exchange_bytes) = (piece.len(), exchange.len());
            self.last = Some(Names { offset, exchange_bytes, key_bytes: routing_key.len() });
            piece.extend_from_slice(exchange);
            piece.extend_from_slice(routing_key);
        }
        if message.priority > 0 {
            piece.push(message.priority);
        }
        let body = body.unwrap_or_default();
        piece.extend_from_slice(&length(properties));
        piece.extend_from_slice(&length(body));
        piece.extend_from_slice(properties);
        piece.extend_from_slice(body);
        self.memory_bytes += piece.len() - before;
        self.len += 1;
    }

    /// Whether a message goes where the last one went, whose names stand in the same piece.
    fn goes_same_way(&self, exchange: &[u8], routing_key: &[u8], queues: &[QueueKey]) -> bool {
        let Some(piece) = self.pieces.back().filter(|piece| piece.len() < PIECE_BYTES) else {
            return false;
        };
        let way = self.ways.len().checked_sub(1).and_then(|last| self.ways.get(last));
        self.last.is_some_and(|names| names.of(piece) == (exchange, routing_key))
            && way.is_some_and(|way| way.as_slice() == queues)
    }

    fn keep_way(&mut self, queues: &[QueueKey]) {
        let way = Destinations::new(queues);
        self.memory_bytes += way.memory_bytes();
        self.ways.push_back(way);
    }

    fn keep_seldom(&mut self, message: &Message<'_>) {
        let Message { ttl_ms, delay, dedup_key, .. } = *message;
        let key_bytes = dedup_key.map_or(0, NewDedupKey::bytes) + ALLOCATION_BYTES;
        self.memory_bytes += size_of::<Seldom>() + key_bytes;
        self.seldom.push_back(Seldom { ttl_ms, delay, dedup_key: dedup_key.cloned() });
    }

    /// The large body of the message that was pushed last.
    pub(in crate::broker) fn push_body(&mut self, body: LargeBody) {
        self.large.push_back(body);
    }

    /// How many there are.
    pub(in crate::broker) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of memory that was taken for them, about.
    pub(in crate::broker) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Those that are left, in publish order.
    pub(in crate::broker) fn iter(&self) -> PendingMessages<'_> {
        self.iter_from(self.front)
    }

    /// Those behind a place.
    pub(in crate::broker) fn iter_from(&self, place: Place) -> PendingMessages<'_> {
        PendingMessages { all: self, place }
    }

    /// Drops those before a place. Their large bodies are to be taken first
    /// ([`PendingPublishes::take_body`]).
    pub(in crate::broker) fn drop_until(&mut self, place: Place) {
        self.pieces.drain(..place.piece);
        // The next one may go the way of the one before it.
        let kept = usize::from(place.ways > 0);
        (0..place.ways - kept).for_each(|_| drop(self.ways.pop_front()));
        (0..place.seldom).for_each(|_| drop(self.seldom.pop_front()));
        self.len -= place.count;
        self.front = Place { count: 0, piece: 0, ways: kept, seldom: 0, large: 0, ..place };
    }

    /// Takes the first large body, if a message before the place has it.
    pub(in crate::broker) fn take_body(&mut self, place: &mut Place) -> Option<LargeBody> {
        place.large = place.large.checked_sub(1)?;
        self.large.pop_front()
    }

    /// Takes all large bodies.
    pub(in crate::broker) fn take_bodies(&mut self) -> Chunks<LargeBody> {
        std::mem::take(&mut self.large)
    }
}

/// Messages as they are kept, one after the other.
#[derive(Clone)]
pub(in crate::broker) struct PendingMessages<'a> {
    all: &'a PendingPublishes,
    place: Place,
}

impl PendingMessages<'_> {
    /// Where the next one begins.
    pub(in crate::broker) fn place(&self) -> Place {
        self.place
    }
}

impl<'a> Iterator for PendingMessages<'a> {
    type Item = PendingPublish<'a>;

    fn next(&mut self) -> Option<PendingPublish<'a>> {
        let (all, place) = (self.all, &mut self.place);
        if all.pieces.get(place.piece)?.len() == place.offset {
            (place.piece, place.offset, place.names) = (place.piece + 1, 0, None);
        }
        let mut rest = Reader { piece: all.pieces.get(place.piece)?, at: place.offset };
        let flags = rest.u8();
        let has = |flag: u8| flags & flag != 0;
        if !has(FLAG_SAME_WAY) {
            let (exchange_bytes, key_bytes) = (rest.length(), rest.length());
            place.names = Some(Names { offset: rest.at, exchange_bytes, key_bytes });
            place.ways += 1;
            rest.at += exchange_bytes + key_bytes;
        }
        let names = place.names.expect("the first one of a piece says its names");
        let (exchange, routing_key) = names.of(rest.piece);
        let priority = if has(FLAG_PRIORITY) { rest.u8() } else { 0 };
        let (properties_bytes, body_bytes) = (rest.length(), rest.length());
        let (properties, body) = (rest.take(properties_bytes), rest.take(body_bytes));
        place.offset = rest.at;
        place.count += 1;
        let body = if has(FLAG_LARGE) {
            place.large += 1;
            Body::Large(all.large.get(place.large - 1).expect("each was handed over"))
        } else {
            Body::Inline(body)
        };
        let mut seldom = None;
        if has(FLAG_SELDOM) {
            seldom = all.seldom.get(place.seldom);
            place.seldom += 1;
        }
        let message = Message {
            content: Content { exchange, routing_key, properties, body },
            persistent: has(FLAG_PERSISTENT),
            priority,
            ttl_ms: seldom.and_then(|seldom| seldom.ttl_ms),
            delay: seldom.and_then(|seldom| seldom.delay),
            dedup_key: seldom.and_then(|seldom| seldom.dedup_key.as_ref()),
        };
        let way = all.ways.get(place.ways - 1).expect("each that goes another way has one");
        Some(PendingPublish { message, queues: way.as_slice(), mandatory: has(FLAG_MANDATORY) })
    }
}

impl Place {
    /// How many messages come before it.
    pub(in crate::broker) fn count(&self) -> usize {
        self.count
    }
}

impl Names {
    /// Exchange and routing key.
    fn of(self, piece: &[u8]) -> (&[u8], &[u8]) {
        let names = &piece[self.offset..self.offset + self.exchange_bytes + self.key_bytes];
        names.split_at(self.exchange_bytes)
    }
}

/// Reads what was written.
struct Reader<'a> {
    piece: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn u8(&mut self) -> u8 {
        self.at += 1;
        self.piece[self.at - 1]
    }

    fn length(&mut self) -> usize {
        let bytes = self.take(4).try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let taken = &self.piece[self.at..self.at + bytes];
        self.at += bytes;
        taken
    }
}

/// How long something is, as it is written.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("what fits into frames").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::key::ArenaKey;

    /// What a message is, in a form that lasts.
    type Kept = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u8, bool, bool, Option<u64>, Vec<QueueKey>);

    fn kept(publish: &PendingPublish<'_>) -> Kept {
        let PendingPublish { message, queues, mandatory } = publish;
        let Content { exchange, routing_key, properties, body } = message.content;
        let Body::Inline(body) = body else { panic!("it was at hand") };
        let [exchange, key, properties, body] =
            [exchange, routing_key, properties, body].map(<[u8]>::to_vec);
        let Message { priority, persistent, ttl_ms, .. } = *message;
        (exchange, key, properties, body, priority, persistent, *mandatory, ttl_ms, queues.to_vec())
    }

    /// Long ones, short ones, the same way and others; taken in parts of any size.
    #[test]
    fn messages_are_as_they_were() {
        let mut random = 7u64;
        let mut below = move |most: usize| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (random >> 33) as usize % most
        };
        let (mut publishes, mut twin) = (PendingPublishes::default(), VecDeque::new());
        for n in 0..3000usize {
            let way = if below(5) > 0 { n / 100 } else { below(4) };
            let exchange = vec![b'e'; way % 3];
            let key = vec![b'k'; way % 256];
            let queues: Vec<_> = (0..).take(way % 3).map(|n| QueueKey::new(n, 1)).collect();
            let body = n.to_string().repeat([0, 3, 2000][below(3)]).into_bytes();
            let message = Message {
                content: Content {
                    exchange: &exchange,
                    routing_key: &key,
                    properties: &[0, 0],
                    body: Body::Inline(&body),
                },
                persistent: below(2) == 0,
                priority: [0, 3][below(2)],
                ttl_ms: (below(10) == 0).then_some(n as u64),
                delay: None,
                dedup_key: None,
            };
            let publish = PendingPublish { message, queues: &queues, mandatory: below(2) == 0 };
            publishes.push(&message, &queues, publish.mandatory);
            twin.push_back(kept(&publish));
        }
        assert!(publishes.pieces.len() > 10);
        while !twin.is_empty() {
            assert_eq!(publishes.len(), twin.len());
            let count = 1 + below(50);
            let mut messages = publishes.iter();
            for expected in twin.iter().take(count) {
                assert!(kept(&messages.next().unwrap()) == *expected);
            }
            let place = messages.place();
            twin.drain(..place.count());
            publishes.drop_until(place);
        }
        assert!(publishes.iter().next().is_none() && publishes.len() == 0);
        assert!(publishes.pieces.len() <= 1 && publishes.ways.len() <= 1);
    }

    /// Three million of them fit into a transaction.
    #[test]
    fn an_empty_message_that_goes_the_same_way_takes_a_few_bytes() {
        let mut publishes = PendingPublishes::default();
        let content = Content {
            exchange: &[],
            routing_key: b"queue",
            properties: &[0, 0],
            body: Body::Inline(&[]),
        };
        let (persistent, priority, ttl_ms, delay, dedup_key) = (true, 0, None, None, None);
        let message = Message { content, persistent, priority, ttl_ms, delay, dedup_key };
        for _ in 0..100_000 {
            publishes.push(&message, &[QueueKey::new(1, 1)], false);
        }
        assert!(publishes.memory_bytes() < 100_000 * 12, "{}", publishes.memory_bytes());
    }
}
