//! What should be in the queues? What the clients of all rounds know of every message: that it was
//! published, confirmed, returned, received, acked.
//!
//! A message is written down before it is sent and an ack before it is sent; a confirm after it
//! came. So whatever the broker may know, the model knows.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::bodies::{Filling, checksum};
use super::parts::{Part, Parts};
use super::topology::{
    DONE_ROUTE, FLOODED, LATER, Naming, PHOENIX, PURGED, ROUTES, Route, STREAM, flood_route,
    station,
};
use crate::common::{Message, PropertyList, Random, TableBuf, Value};

/// A message: who published it, and its number there.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id {
    pub publisher: usize,
    pub number: usize,
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.publisher, self.number)
    }
}

impl Id {
    fn parse(text: &str) -> Option<Id> {
        let (publisher, number) = text.split_once('.')?;
        Some(Id { publisher: publisher.parse().ok()?, number: number.parse().ok()? })
    }
}

/// What is known of a message in one queue of its route, and where it goes from there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Nobody saw it there.
    Unseen,
    /// Somebody received it and has not acked it.
    Received,
    /// An ack was sent.
    AckSent,
    /// A purge or delete was sent.
    Wiping,
    /// It was under way while its queue was purged or deleted: it is there or not.
    Doubtful,
    /// It is settled, or was never there, for sure: it must not come (again).
    Gone,
}

/// A place, and how many times the message had moved when it was last seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spot {
    pub place: Place,
    pub station: usize,
}

impl Spot {
    pub const NEW: Spot = Spot { place: Place::Unseen, station: 0 };
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub struct Sent {
    pub route: usize,
    pub bytes: usize,
    pub filling: Filling,
    checksum: u32,
    pub confirmed: bool,
    pub returned: bool,
    /// Refused, rolled back or lost before its confirm. It is not there, and its name is free.
    pub absent: bool,
    /// How often it is under way now.
    pub flights: usize,
    /// The transaction that it is part of.
    pub group: Option<usize>,
    /// One for each queue of the route.
    pub spots: Vec<Spot>,
}

impl Sent {
    pub fn is_named(&self) -> bool {
        ROUTES[self.route].naming != Naming::Nameless
    }

    /// Nothing is left of it, and the same name may be used again.
    pub fn not_taken(&mut self) {
        self.absent = true;
        for spot in &mut self.spots {
            spot.place = Place::Gone;
        }
    }
}

/// A transaction that was begun.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub messages: Vec<Id>,
    /// Messages of the queue [`WORK`](super::topology::WORK) that it acks.
    pub acks: Vec<Id>,
    /// commit-ok came, or a drain has shown that it took effect.
    pub committed: bool,
    /// A drain has shown that it did not, or it was rolled back.
    pub void: bool,
}

/// A queue that is emptied now and then, by purge or delete.
#[derive(Clone, Debug, Default)]
struct Wiped {
    /// What may be in it.
    messages: Vec<Id>,
    /// How often that was begun, and ended.
    begun: usize,
    ended: usize,
}

/// What is known of everything.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub parts: Parts,
    /// An answer to a later question shows that an ack will never be forgotten: true of a process
    /// that is killed, not of a machine that loses power.
    pub acks_are_sure: bool,
    pub sent: HashMap<Id, Sent>,
    pub groups: Vec<Group>,
    /// Messages with a name for deduplication.
    pub named: Vec<Id>,
    /// What a stream said where its messages are.
    pub offsets: HashMap<Id, i64>,
    wiped: HashMap<&'static str, Wiped>,
    next: HashMap<usize, usize>,
    /// Confirms and deliveries so far.
    pub events: usize,
}

impl Model {
    /// Nothing was published yet.
    pub fn new(parts: Parts) -> Model {
        Model { parts, ..Model::default() }
    }

    /// Notes a message that is about to be sent; its body is to follow.
    pub fn publish(&mut self, publisher: usize, route: usize) -> Id {
        let number = self.next.entry(publisher).or_default();
        let id = Id { publisher, number: *number };
        *number += 1;
        let sent = Sent {
            route,
            bytes: 0,
            filling: Filling::Zeros,
            checksum: 0,
            confirmed: false,
            returned: false,
            absent: false,
            flights: 1,
            group: None,
            spots: vec![Spot::NEW; ROUTES[route].queues.len()],
        };
        self.sent.insert(id, sent);
        for queue in [PURGED, PHOENIX, FLOODED] {
            if let Some(index) = ROUTES[route].queues.iter().position(|other| *other == queue) {
                let wiped = self.wiped.entry(queue).or_default();
                wiped.messages.push(id);
                if wiped.begun > wiped.ended {
                    self.of(id).spots[index].place = Place::Doubtful;
                }
            }
        }
        id
    }

    /// The body of a message that is about to be sent.
    pub fn note_body(&mut self, id: Id, filling: Filling, body: &[u8]) {
        let sent = self.of(id);
        (sent.bytes, sent.filling, sent.checksum) = (body.len(), filling, checksum(body));
        if sent.is_named() {
            self.named.push(id);
        }
    }

    /// A transaction's message.
    pub fn publish_in(&mut self, group: usize, publisher: usize, route: usize) -> Id {
        let id = self.publish(publisher, route);
        self.groups[group].messages.push(id);
        self.of(id).group = Some(group);
        id
    }

    /// A message of this route that may be sent again, if this one may: it is there once then.
    pub fn publish_again(&mut self, route: usize, random: &mut Random) -> Option<Id> {
        if self.named.is_empty() {
            return None;
        }
        // The latest are asked for most.
        let back = random.within(1..self.named.len().min(200) + 1);
        let id = self.named[self.named.len() - back];
        let group = self.sent[&id].group;
        let is_open = group.is_some_and(|group| !self.groups[group].is_over());
        let retries = self.parts.has(Part::Retry);
        let sent = self.of(id);
        if sent.absent && !retries {
            return None;
        }
        if sent.route != route || is_open || sent.spots[0].place == Place::Doubtful {
            return None;
        }
        let was_settled = matches!(sent.spots[0].place, Place::AckSent | Place::Gone);
        let may_be_sent = match ROUTES[route].naming {
            Naming::Nameless => false,
            Naming::ByExchange => true,
            Naming::ByExchangeIfRoom => sent.flights == 0,
            Naming::ByQueue => sent.absent || !was_settled,
        };
        if !may_be_sent {
            return None;
        }
        sent.flights += 1;
        if sent.absent {
            sent.absent = false;
            sent.spots.fill(Spot::NEW);
        }
        Some(id)
    }

    /// A transaction that is about to begin.
    pub fn begin(&mut self) -> usize {
        self.groups.push(Group::default());
        self.groups.len() - 1
    }

    /// commit-ok came.
    pub fn committed(&mut self, group: usize) {
        self.events += 1;
        self.groups[group].committed = true;
        for id in self.groups[group].messages.clone() {
            let sent = self.of(id);
            sent.confirmed = true;
            sent.flights = 0;
        }
        for id in self.groups[group].acks.clone() {
            self.of(id).spots[0].place = Place::Gone;
        }
    }

    /// rollback-ok came.
    pub fn rolled_back(&mut self, group: usize) {
        self.groups[group].void = true;
        for id in self.groups[group].messages.clone() {
            let sent = self.of(id);
            sent.not_taken();
            sent.flights = 0;
        }
        for id in self.groups[group].acks.clone() {
            self.of(id).spots[0].place = Place::Received;
        }
    }

    /// A purge, or a delete, is about to be sent.
    pub fn begin_wipe(&mut self, queue: &'static str) {
        let wiped = self.wiped.entry(queue).or_default();
        wiped.begun += 1;
        for id in wiped.messages.clone() {
            let sent = self.of(id);
            let (confirmed, spot) = (sent.confirmed, sent.spot(queue));
            spot.place = match spot.place {
                Place::Unseen | Place::Doubtful if !confirmed => Place::Doubtful,
                Place::Gone => Place::Gone,
                Place::Unseen
                | Place::Doubtful
                | Place::Received
                | Place::AckSent
                | Place::Wiping => Place::Wiping,
            };
        }
    }

    /// purge-ok came, or the last answer that makes a deleted queue what it was.
    pub fn end_wipe(&mut self, queue: &'static str) {
        self.events += 1;
        let wiped = self.wiped.entry(queue).or_default();
        wiped.ended = wiped.begun;
        let messages = std::mem::take(&mut wiped.messages);
        let mut left = Vec::new();
        for id in messages {
            let spot = self.of(id).spot(queue);
            match spot.place {
                Place::Wiping => spot.place = Place::Gone,
                Place::Gone => {}
                Place::Unseen | Place::Doubtful | Place::Received | Place::AckSent => {
                    left.push(id);
                }
            }
        }
        self.wiped.entry(queue).or_default().messages = left;
    }

    /// How many messages a queue that is wiped may have.
    pub fn unwiped(&self, queue: &str) -> usize {
        self.wiped.get(queue).map_or(0, |wiped| wiped.messages.len())
    }

    /// Whether the queue may be away.
    pub fn is_being_wiped(&self, queue: &str) -> bool {
        self.wiped.get(queue).is_some_and(|wiped| wiped.begun > wiped.ended)
    }

    /// The broker ended: what was under way is not any more.
    pub fn land(&mut self) {
        for wiped in self.wiped.values_mut() {
            wiped.ended = wiped.begun;
        }
        for sent in self.sent.values_mut() {
            sent.flights = 0;
        }
    }

    pub fn of(&mut self, id: Id) -> &mut Sent {
        self.sent.get_mut(&id).expect("a message of the model")
    }

    pub fn place(&mut self, id: Id, queue: &str) -> &mut Place {
        &mut self.of(id).spot(queue).place
    }

    /// Checks what can be said of a message by itself, and that it was not settled before.
    pub fn check(&mut self, queue: &str, message: &Message) -> Result<Id, String> {
        let id = self.identify(queue, message)?;
        if *self.place(id, queue) == Place::Gone {
            let sent = self.of(id);
            return Err(format!("{queue}: {id:?} came after it was settled: {sent:?}"));
        }
        Ok(id)
    }

    /// Checks everything that can be said of a message by itself: that it was published, to this
    /// queue, and is as it was.
    pub fn identify(&self, queue: &str, message: &Message) -> Result<Id, String> {
        let list = message.list();
        let name = list.message_id.map(String::from_utf8_lossy);
        let id = name.as_deref().and_then(Id::parse);
        let id = id.ok_or_else(|| format!("{queue}: nobody published {list:?}"))?;
        let sent = self.sent.get(&id);
        let sent = sent.ok_or_else(|| format!("{queue}: nobody published {id:?}"))?;
        let route = &ROUTES[sent.route];
        let found = route.queues.iter().find_map(|first| station(first, queue));
        let station = found.ok_or_else(|| format!("{queue}: {id:?} was sent to {route:?}"))?;
        let came_by = (message.exchange.as_str(), message.key.as_str());
        if station == 0 && queue != LATER && came_by != (route.exchange, route.key) {
            return Err(format!("{queue}: {id:?} came by {came_by:?}"));
        }
        let name = name.as_deref().unwrap_or_default();
        check_properties(name, route_headers(sent.route, name), sent.route, &list)
            .map_err(|what| format!("{queue}: {what} of {id:?}: {list:?}"))?;
        if message.body.len() != sent.bytes || checksum(&message.body) != sent.checksum {
            let bytes = message.body.len();
            return Err(format!("{queue}: the body of {id:?} is another, of {bytes}: {sent:?}"));
        }
        Ok(id)
    }

    /// A delivery while the broker is used.
    pub fn received(&mut self, queue: &str, message: &Message, redelivered: bool) -> Id {
        self.events += 1;
        let id = self.check(queue, message).unwrap_or_else(|fault| panic!("{fault}"));
        let sent = self.of(id);
        let station = sent.station(queue);
        let spot = *sent.spot(queue);
        assert!(station >= spot.station, "{queue}: {id:?} came back: {sent:?}");
        let is_new = matches!(spot.place, Place::Unseen | Place::Doubtful);
        assert!(
            is_new || redelivered || station > spot.station,
            "{queue}: {id:?} came twice and is not marked as redelivered ({spot:?})"
        );
        *sent.spot(queue) = Spot { place: Place::Received, station };
        id
    }
}

impl Group {
    fn is_over(&self) -> bool {
        self.committed || self.void
    }
}

impl Sent {
    /// Which of the route's queues leads to this one, and by how many moves.
    fn way(&self, queue: &str) -> (usize, usize) {
        let firsts = ROUTES[self.route].queues.iter().enumerate();
        let mut ways = firsts.filter_map(|(index, first)| Some((index, station(first, queue)?)));
        ways.next().expect("it was checked when it came")
    }

    pub fn spot(&mut self, queue: &str) -> &mut Spot {
        let (index, _) = self.way(queue);
        &mut self.spots[index]
    }

    /// Which of the route's queues leads to this one.
    pub fn index(&self, queue: &str) -> usize {
        self.way(queue).0
    }

    /// By how many moves a message gets here.
    pub fn station(&self, queue: &str) -> usize {
        self.way(queue).1
    }
}

/// What is known of a state between two looks at the model: what was certain at the first, and all
/// that is possible at the second.
pub fn between(first: &Model, second: &Model) -> Model {
    let mut model = second.clone();
    for (id, sent) in &mut model.sent {
        let before = first.sent.get(id);
        sent.confirmed = before.is_some_and(|before| before.confirmed);
        for (n, spot) in sent.spots.iter_mut().enumerate() {
            let was_gone = before.is_some_and(|before| before.spots[n].place == Place::Gone);
            if spot.place == Place::Gone && !was_gone {
                spot.place = if sent.absent { Place::Doubtful } else { Place::AckSent };
            }
        }
    }
    for (number, group) in model.groups.iter_mut().enumerate() {
        let before = first.groups.get(number);
        group.committed = before.is_some_and(|before| before.committed);
        group.void = before.is_some_and(|before| before.void);
    }
    for (queue, wiped) in &mut model.wiped {
        let ended = first.wiped.get(queue).map_or(0, |before| before.ended);
        wiped.ended = wiped.ended.min(ended);
    }
    model
}

/// A route's headers, among them the message's name where it has one for deduplication.
pub fn route_headers(route: usize, name: &str) -> Option<TableBuf> {
    let Route { headers, delay_ms, naming, .. } = &ROUTES[route];
    let mut table = TableBuf::new();
    for (name, value) in *headers {
        table.put_str(name.as_bytes(), value);
    }
    if let Some(ms) = delay_ms {
        table.put(b"x-delay", Value::I32(*ms));
    }
    if *naming != Naming::Nameless {
        table.put_str(b"x-deduplication-header", name);
    }
    (!table.table().is_empty()).then_some(table)
}

/// The properties of a message.
pub fn properties<'a>(
    name: &'a str,
    headers: &'a Option<TableBuf>,
    route: usize,
) -> PropertyList<'a> {
    PropertyList {
        delivery_mode: Some(2),
        message_id: Some(name.as_bytes()),
        headers: headers.as_ref().map(TableBuf::table),
        priority: ROUTES[route].priority,
        content_type: Some(b"application/octet-stream"),
        ..PropertyList::default()
    }
}

/// Compares properties that came with those that were sent; what differs. The broker may add
/// headers, and turns the delay round when it is over.
fn check_properties(
    name: &str,
    headers: Option<TableBuf>,
    route: usize,
    came: &PropertyList<'_>,
) -> Result<(), &'static str> {
    let expected = properties(name, &headers, route);
    let is_plain = ROUTES[route].parts.is_empty();
    if is_plain && *came != expected {
        return Err("properties");
    }
    if (PropertyList { headers: None, ..*came }) != (PropertyList { headers: None, ..expected }) {
        return Err("properties besides the headers");
    }
    for (key, value) in expected.headers.into_iter().flat_map(|table| table.iter()) {
        let found = came.headers.and_then(|table| table.find(key));
        if key != b"x-delay" && found != Some(value) {
            return Err("headers");
        }
    }
    Ok(())
}

/// A random route of a load with these parts; not that of the mover, nor that of floods.
pub fn route(random: &mut Random, parts: Parts) -> usize {
    loop {
        let route = random.within(DONE_ROUTE + 1..flood_route());
        // Nothing ever leaves a stream, so that there is less of it.
        let is_rare = ROUTES[route].queues.contains(&STREAM);
        if parts.have_all(ROUTES[route].parts) && (!is_rare || random.chance(30)) {
            return route;
        }
    }
}

/// The model, shared by the clients of a round.
#[derive(Default)]
pub struct Shared {
    model: Mutex<Model>,
    changed: Condvar,
}

impl Shared {
    pub fn new(model: Model) -> Shared {
        Shared { model: Mutex::new(model), changed: Condvar::new() }
    }

    /// A look at the model, or a change of it.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        let guard = self.model.lock().expect("no other client has failed");
        self.changed.notify_all();
        guard
    }

    /// Waits until there were so many events.
    pub fn wait_for(&self, events: usize) {
        let mut model = self.model.lock().expect("no client has failed");
        while model.events < events {
            let before = model.events;
            let (guard, waited) = self
                .changed
                .wait_timeout(model, Duration::from_secs(20))
                .expect("no client has failed");
            model = guard;
            let stuck = waited.timed_out() && model.events == before;
            assert!(!stuck, "the broker does not go on after {before} events");
        }
    }

    /// Waits until there were so many events, or none for a tenth of a second: for who would be
    /// too fast.
    pub fn pause_for(&self, events: usize) {
        let mut model = self.model.lock().expect("no client has failed");
        let until = model.events + events;
        let mut is_stuck = false;
        while model.events < until && !is_stuck {
            let before = model.events;
            let patience = Duration::from_millis(100);
            let waited =
                self.changed.wait_timeout_while(model, patience, |model| model.events == before);
            let waited = waited.expect("no client has failed");
            (model, is_stuck) = (waited.0, waited.1.timed_out());
        }
    }

    pub fn into_model(self) -> Model {
        self.model.into_inner().expect("no client has failed")
    }
}
