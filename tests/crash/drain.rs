//! Is everything there that must be, and nothing else? Empties all queues and compares.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::bodies::Filling;
use super::judge::{judge_messages, judge_transactions, must_be_there};
use super::model::{Id, Model, Place, properties, route_headers};
use super::parts::Part;
use super::topology::{
    DEAD, FEW, LATER, NARROW, ONCE, PHOENIX, REJECTS, ROUTES, SHORT, SINGLE, STREAM, URGENT,
    declare_phoenix, queues, slowest_route, stream_route,
};
use crate::common::{
    Ack, Client, ConsumeOk, Delivery, GetOk, Message, Method, QosOk, Random, TableBuf, Value,
    basic, deadline, now,
};

/// How the last run of the broker ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// TERM.
    Orderly,
    /// kill -9: what was written is there, synced or not.
    Killed,
    /// The power went: what was not synced may be gone.
    Cut,
}

/// The channels that messages come on: from consumers, by get, from streams; and that of markers.
const CONSUMED: u16 = 1;
const BARRIER: u16 = 2;
const READ: u16 = 3;
const TAKEN: u16 = 4;
const MARKED: u16 = 5;

/// How many gets are sent at once.
const GETS: usize = 50;
/// The number under which the drain publishes markers.
const MARKER: usize = 99;

/// Where each message was found, by the index of the route's queue that led there: how many moves
/// after that.
pub type Found = HashMap<(Id, usize), usize>;

/// What a drain saw.
#[derive(Debug)]
pub struct Drained {
    /// How many messages there were.
    pub found: usize,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

/// Receives everything that is in the queues, checks it against the model, notes what is known now,
/// and acks some of it. Returns how many messages there were.
pub fn drain(address: SocketAddr, model: &mut Model, ended: Ended, random: &mut Random) -> usize {
    let Drained { found, faults } = examine(address, model, ended, random);
    let some = faults.iter().take(12).map(String::as_str).collect::<Vec<_>>();
    assert!(faults.is_empty(), "{} faults, {ended:?}:\n{}", faults.len(), some.join("\n"));
    found
}

/// The same, and says what is wrong instead of failing.
pub fn examine(
    address: SocketAddr,
    model: &mut Model,
    ended: Ended,
    random: &mut Random,
) -> Drained {
    let mut client = Client::connect(address);
    for channel in [BARRIER, READ, TAKEN, MARKED] {
        client.open(channel);
    }
    if model.parts.has(Part::Delete) && model.is_being_wiped(PHOENIX) {
        declare_phoenix(&mut client);
    }
    model.land();
    let mut drain = Drain {
        client,
        model,
        ended,
        found: Found::new(),
        tags: Vec::new(),
        last: HashMap::new(),
        faults: Vec::new(),
    };
    drain.empty_all();
    drain.wait_for_the_dying();
    // Nothing more came of any queue meanwhile.
    drain.client.expect_nothing_before(CONSUMED, BARRIER);
    judge_transactions(drain.model, &drain.found, ended, &mut drain.faults);
    judge_messages(drain.model, &drain.found, ended, &mut drain.faults);
    drain.settle_some(random);
    drain.client.close();
    Drained { found: drain.found.len(), faults: drain.faults }
}

/// A message that came, with the channel and the delivery tag.
struct Came {
    channel: u16,
    tag: u64,
    redelivered: bool,
    message: Message,
}

struct Drain<'a> {
    client: Client,
    model: &'a mut Model,
    ended: Ended,
    found: Found,
    tags: Vec<(u16, u64, &'static str, Id)>,
    /// The last message by queue and by what has an order there.
    last: HashMap<(&'static str, usize, usize), Id>,
    faults: Vec<String>,
}

impl Drain<'_> {
    fn empty_all(&mut self) {
        let parts = self.model.parts;
        self.client.confirm_select(MARKED);
        let slowest = parts.has(Part::Delayed).then(|| self.mark(slowest_route()));
        let last = parts.has(Part::Stream).then(|| self.mark(stream_route()));
        for queue in queues(parts) {
            match queue.name {
                STREAM => self.read_stream(last.expect("it was published")),
                LATER => self.take_until(LATER, slowest.expect("it was published")),
                // What goes on by itself while it is counted.
                SHORT | FEW | DEAD => drop(self.take_all(queue.name)),
                name => self.consume_all(name),
            }
        }
    }

    /// Publishes a message that comes behind all others of its route.
    fn mark(&mut self, route: usize) -> Id {
        let id = self.model.publish(MARKER, route);
        self.model.note_body(id, Filling::Zeros, b"marker");
        let name = format!("{id:?}");
        let headers = route_headers(route, &name);
        let properties = properties(&name, &headers, route);
        let (exchange, key) = (ROUTES[route].exchange, ROUTES[route].key);
        self.client.publish_with(MARKED, exchange, key, &properties, b"marker");
        self.client.expect::<Ack>(MARKED);
        let sent = self.model.of(id);
        (sent.confirmed, sent.flights) = (true, 0);
        id
    }

    fn consume_all(&mut self, queue: &'static str) {
        let mut priority = u8::MAX;
        for delivery in receive(&mut self.client, queue) {
            let found = delivery.message.list().priority.unwrap_or(0);
            if queue == URGENT && found > priority {
                self.faults.push(format!("{queue}: priority {found} after {priority}"));
            }
            priority = found;
            let Delivery { tag, redelivered, message, .. } = delivery;
            self.note(queue, Came { channel: CONSUMED, tag, redelivered, message });
        }
    }

    /// Takes what is there, and says which messages these were.
    fn take_all(&mut self, queue: &'static str) -> Vec<Id> {
        let get = basic::Get { queue: queue.as_bytes(), no_ack: false };
        let mut taken = Vec::new();
        loop {
            for _ in 0..GETS {
                self.client.send(TAKEN, get);
            }
            let mut was_empty = false;
            for _ in 0..GETS {
                let event = self.client.next(TAKEN);
                if matches!(event.method(), Method::BasicGetEmpty(_)) {
                    was_empty = true;
                    continue;
                }
                let GetOk { tag, redelivered, message, .. } = event.expect();
                let came = Came { channel: TAKEN, tag, redelivered, message };
                taken.extend(self.note(queue, came));
            }
            if was_empty {
                return taken;
            }
        }
    }

    /// Takes everything up to a message that is to come.
    fn take_until(&mut self, queue: &'static str, marker: Id) {
        let deadline = deadline();
        while !self.take_all(queue).contains(&marker) {
            if now() > deadline {
                return self.faults.push(format!("{queue}: a message of now does not come"));
            }
        }
    }

    /// What is about to move may be nowhere for a moment.
    fn wait_for_the_dying(&mut self) {
        let deadline = deadline();
        let on_the_way = |first: &str| [SHORT, FEW, REJECTS].contains(&first);
        let mut missing: Vec<(Id, usize)> = Vec::new();
        for (id, sent) in &self.model.sent {
            for (index, first) in ROUTES[sent.route].queues.iter().enumerate() {
                if on_the_way(first) && must_be_there(sent, index, self.ended) {
                    missing.push((*id, index));
                }
            }
        }
        loop {
            missing.retain(|key| !self.found.contains_key(key));
            if missing.is_empty() || now() > deadline {
                return;
            }
            for queue in [SHORT, FEW, DEAD] {
                self.take_all(queue);
            }
        }
    }

    /// Reads a stream from its beginning up to this message.
    fn read_stream(&mut self, marker: Id) {
        self.client.prefetch(READ, 200);
        let mut arguments = TableBuf::new();
        arguments.put_str(b"x-stream-offset", "first");
        let consume = basic::Consume {
            queue: STREAM.as_bytes(),
            arguments: arguments.table(),
            ..Default::default()
        };
        self.client.call::<ConsumeOk>(READ, consume);
        let mut expected = None;
        loop {
            let Delivery { tag, redelivered, message, .. } = self.client.expect_delivery(READ);
            self.client.ack(READ, tag);
            let headers = message.list().headers;
            let offset = match headers.and_then(|table| table.find(b"x-stream-offset")) {
                Some(Value::I64(offset)) => offset,
                other => panic!("x-stream-offset is {other:?}"),
            };
            if expected.is_some_and(|expected| expected != offset) {
                self.faults.push(format!("{STREAM}: {offset} instead of {expected:?}"));
            }
            expected = Some(offset + 1);
            let came = Came { channel: READ, tag, redelivered, message };
            let Some(id) = self.note(STREAM, came) else {
                continue;
            };
            let known = *self.model.offsets.entry(id).or_insert(offset);
            if known != offset {
                self.faults.push(format!("{STREAM}: {id:?} is at {offset}, and was at {known}"));
            }
            if id == marker {
                return self.client.close_channel(READ);
            }
        }
    }

    /// Checks a message that came; `None` when it must not be there.
    fn note(&mut self, queue: &'static str, came: Came) -> Option<Id> {
        let id = match self.model.check(queue, &came.message) {
            Ok(id) => id,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        self.check_order(queue, id);
        self.check_mark(queue, id, came.redelivered);
        let sent = &self.model.sent[&id];
        let (index, station) = (sent.index(queue), sent.station(queue));
        if let Some(other) = self.found.insert((id, index), station) {
            self.faults
                .push(format!("{queue}: {id:?} is there twice, {other}, {station}: {sent:?}"));
        }
        if queue != STREAM {
            self.tags.push((came.channel, came.tag, queue, id));
        }
        Some(id)
    }

    fn check_order(&mut self, queue: &'static str, id: Id) {
        let sent = self.model.of(id);
        let spot = *sent.spot(queue);
        let route = &ROUTES[sent.route];
        // An earlier drain had it, and those behind it went on meanwhile.
        if spot.place == Place::Received && spot.station < sent.station(queue) {
            return;
        }
        let line = match queue {
            // Messages that were refused are sent again.
            ONCE | NARROW | SINGLE => return,
            // In the order of rejection.
            DEAD if route.queues.contains(&REJECTS) => return,
            URGENT => usize::from(route.priority.unwrap_or(0)),
            LATER => sent.route,
            // Those that moved there have an order of their own.
            _ if sent.station(queue) > 0 => 1 + sent.route,
            _ => 0,
        };
        let before = self.last.insert((queue, line, id.publisher), id);
        if before >= Some(id) {
            self.faults.push(format!("{queue}: {id:?} came after {before:?}: {sent:?}"));
        }
    }

    fn check_mark(&mut self, queue: &'static str, id: Id, redelivered: bool) {
        let ended = self.ended;
        let sent = self.model.of(id);
        let station = sent.station(queue);
        let spot = *sent.spot(queue);
        let was_seen = matches!(spot.place, Place::Received | Place::AckSent);
        if was_seen && station < spot.station && ended != Ended::Cut {
            self.faults.push(format!("{queue}: {id:?} came back: {sent:?}"));
            return;
        }
        let must_be_marked = match queue {
            STREAM => false,
            // It may have got there a moment ago.
            LATER => was_seen && ended != Ended::Cut,
            _ if station > 0 => was_seen && station == spot.station && ended != Ended::Cut,
            _ => ended != Ended::Orderly || was_seen,
        };
        if must_be_marked && !redelivered {
            let fault =
                format!("{queue}: {id:?} is not marked as redelivered, {ended:?}: {sent:?}");
            self.faults.push(fault);
        }
    }

    /// Acks most of what came, in a random order, and waits until that is done.
    fn settle_some(&mut self, random: &mut Random) {
        let settled = if self.model.acks_are_sure { Place::Gone } else { Place::AckSent };
        for (channel, tag, queue, id) in self.tags.drain(..) {
            if random.chance(70) {
                self.client.ack(channel, tag);
                *self.model.place(id, queue) = settled;
            }
        }
        for channel in [CONSUMED, TAKEN] {
            self.client.call::<QosOk>(channel, basic::Qos::default());
        }
    }
}

fn receive(client: &mut Client, queue: &str) -> Vec<Delivery> {
    let ready = client.inspect(CONSUMED, queue).messages;
    client.consume(CONSUMED, queue);
    (0..ready).map(|_| client.expect_delivery(CONSUMED)).collect()
}

/// The same after a file was spoilt: what lay in that file may be lost, and what it said was
/// settled may come again, marked. `spoilt` is what it held before. Returns how many messages were
/// lost or came again.
pub fn drain_damaged(address: SocketAddr, model: &mut Model, spoilt: &[u8]) -> usize {
    let mut client = Client::connect(address);
    client.open(2);
    let mut found = HashSet::new();
    let mut harmed = 0;
    for queue in queues(model.parts) {
        let queue = queue.name;
        let mut last = HashMap::new();
        for delivery in receive(&mut client, queue) {
            let id = model.identify(queue, &delivery.message);
            let id = id.unwrap_or_else(|fault| panic!("{fault}"));
            let before = last.insert(id.publisher, id);
            assert!(before < Some(id), "{queue}: {id:?} came after {before:?}");
            if *model.place(id, queue) == Place::Gone {
                assert!(delivery.redelivered, "{queue}: {id:?} came again, without a mark");
                harmed += 1;
            }
            found.insert((id, queue));
        }
    }
    client.expect_nothing_before(1, 2);
    client.close();
    harmed + judge_loss(model, &found, spoilt)
}

/// Checks that only what lay in a file was lost, when this is what was found, and notes what is
/// known now. Returns how many messages were lost.
pub fn judge_loss(model: &mut Model, found: &HashSet<(Id, &str)>, spoilt: &[u8]) -> usize {
    let spoilt = String::from_utf8_lossy(spoilt);
    let mut lost = 0;
    for (id, sent) in &mut model.sent {
        let confirmed = sent.confirmed;
        for (n, queue) in ROUTES[sent.route].queues.iter().enumerate() {
            let place = sent.spots[n].place;
            let is_found = found.contains(&(*id, *queue));
            let was_there = match place {
                Place::Unseen => confirmed,
                Place::Received => true,
                Place::AckSent | Place::Wiping | Place::Doubtful | Place::Gone => false,
            };
            if was_there && !is_found {
                assert!(
                    lay_in(&spoilt, *id),
                    "{queue}: {id:?} is lost and lay elsewhere: {sent:?}"
                );
                lost += 1;
            }
            sent.spots[n].place = if is_found { Place::Received } else { Place::Gone };
        }
    }
    for group in &mut model.groups {
        group.void = true;
    }
    lost
}

/// Whether the record or a piece of the body of a message lay in this file, in this life of it or
/// an earlier one.
/// The file is a string for the sake of its fast search; the marks are ASCII.
fn lay_in(file: &str, id: Id) -> bool {
    let name = format!("{id:?}");
    let length = char::from(u8::try_from(name.len()).expect("it is short"));
    file.contains(&format!("{length}{name}")) || file.contains(&format!("<{name}>"))
}
