//! What should be in the queues? What the clients of all rounds know of every message: that it was
//! published, confirmed, returned, received, acked.
//!
//! A message is written down before it is sent and an ack before it is sent; a confirm after it
//! came. So whatever the broker may know, the model knows.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::random::Random;
use super::topology::{DONE_ROUTE, ROUTES};
use crate::common::{Message, PropertyList, TableBuf};

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

/// What is known of a message in one queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Nobody saw it there.
    Unseen,
    /// Somebody received it and has not acked it.
    Received,
    /// An ack was sent.
    AckSent,
    /// It is settled, or was never there, for sure: it must not come (again).
    Gone,
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub struct Sent {
    pub route: usize,
    pub bytes: usize,
    pub confirmed: bool,
    pub returned: bool,
    /// The transaction that it is part of.
    pub group: Option<usize>,
    /// One for each queue of the route.
    pub places: Vec<Place>,
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

/// What is known of everything.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub sent: HashMap<Id, Sent>,
    pub groups: Vec<Group>,
    next: HashMap<usize, usize>,
    /// Confirms and deliveries so far.
    pub events: usize,
}

impl Model {
    /// Notes a message that is about to be sent.
    pub fn publish(&mut self, publisher: usize, route: usize, bytes: usize) -> Id {
        let number = self.next.entry(publisher).or_default();
        let id = Id { publisher, number: *number };
        *number += 1;
        let sent = Sent {
            route,
            bytes,
            confirmed: false,
            returned: false,
            group: None,
            places: vec![Place::Unseen; ROUTES[route].queues.len()],
        };
        self.sent.insert(id, sent);
        id
    }

    /// A transaction's message.
    pub fn publish_in(&mut self, group: usize, publisher: usize, route: usize, bytes: usize) -> Id {
        let id = self.publish(publisher, route, bytes);
        self.groups[group].messages.push(id);
        self.of(id).group = Some(group);
        id
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
            self.of(id).confirmed = true;
        }
        for id in self.groups[group].acks.clone() {
            self.of(id).places[0] = Place::Gone;
        }
    }

    /// rollback-ok came.
    pub fn rolled_back(&mut self, group: usize) {
        self.groups[group].void = true;
        for id in self.groups[group].messages.clone() {
            self.of(id).places.fill(Place::Gone);
        }
        for id in self.groups[group].acks.clone() {
            self.of(id).places[0] = Place::Received;
        }
    }

    pub fn of(&mut self, id: Id) -> &mut Sent {
        self.sent.get_mut(&id).expect("a message of the model")
    }

    pub fn place(&mut self, id: Id, queue: &str) -> &mut Place {
        let sent = self.of(id);
        let index = index_of(sent.route, queue);
        &mut sent.places[index.expect("it was checked when it came")]
    }

    /// Checks what can be said of a message by itself, and that it was not settled before.
    pub fn check(&mut self, queue: &str, message: &Message) -> Id {
        let id = self.identify(queue, message);
        let place = *self.place(id, queue);
        assert!(place != Place::Gone, "{queue}: {id:?} came after it was settled");
        id
    }

    /// Whether some transaction acks this message.
    pub fn is_acked_in_transaction(&self, id: Id) -> bool {
        self.groups.iter().any(|group| group.acks.contains(&id))
    }

    /// Checks everything that can be said of a message by itself: that it was published, to this
    /// queue, and is as it was.
    pub fn identify(&mut self, queue: &str, message: &Message) -> Id {
        let list = message.list();
        let name = list.message_id.map(String::from_utf8_lossy);
        let id = name.as_deref().and_then(Id::parse);
        let id = id.unwrap_or_else(|| panic!("{queue}: nobody published {list:?}"));
        let sent = self.sent.get(&id);
        let sent = sent.unwrap_or_else(|| panic!("{queue}: nobody published {id:?}"));
        let route = &ROUTES[sent.route];
        let reached = index_of(sent.route, queue).is_some();
        assert!(reached, "{queue}: {id:?} was sent to {route:?}");
        assert_eq!((message.exchange.as_str(), message.key.as_str()), (route.exchange, route.key));
        let headers = headers_of(sent.route);
        let expected = properties(name.as_deref().expect("it was parsed"), &headers);
        assert_eq!(list, expected, "{queue}: the properties of {id:?}");
        assert_eq!(message.body.len(), sent.bytes, "{queue}: the length of {id:?}");
        assert!(message.body == body(id, sent.bytes), "{queue}: the body of {id:?} is another");
        id
    }

    /// A delivery while the broker is used.
    pub fn received(&mut self, queue: &str, message: &Message, redelivered: bool) -> Id {
        self.events += 1;
        let id = self.check(queue, message);
        let place = self.place(id, queue);
        assert!(
            *place == Place::Unseen || redelivered,
            "{queue}: {id:?} came twice and is not marked as redelivered ({place:?})"
        );
        *place = Place::Received;
        id
    }
}

/// What is known of a state between two looks at the model: what was certain at the first, and all
/// that is possible at the second.
pub fn between(first: &Model, second: &Model) -> Model {
    let mut model = second.clone();
    for (id, sent) in &mut model.sent {
        let before = first.sent.get(id);
        sent.confirmed = before.is_some_and(|before| before.confirmed);
        for (n, place) in sent.places.iter_mut().enumerate() {
            let was_gone = before.is_some_and(|before| before.places[n] == Place::Gone);
            *place = match *place {
                Place::Gone if !was_gone => Place::AckSent,
                Place::Gone | Place::Unseen | Place::Received | Place::AckSent => *place,
            };
        }
    }
    for (number, group) in model.groups.iter_mut().enumerate() {
        group.committed = first.groups.get(number).is_some_and(|group| group.committed);
    }
    model
}

fn index_of(route: usize, queue: &str) -> Option<usize> {
    ROUTES[route].queues.iter().position(|other| *other == queue)
}

/// The headers of a route's messages.
pub fn headers_of(route: usize) -> Option<TableBuf> {
    let headers = ROUTES[route].headers;
    let mut table = TableBuf::new();
    for (name, value) in headers {
        table.put_str(name.as_bytes(), value);
    }
    (!headers.is_empty()).then_some(table)
}

/// The properties of a message.
pub fn properties<'a>(name: &'a str, headers: &'a Option<TableBuf>) -> PropertyList<'a> {
    PropertyList {
        delivery_mode: Some(2),
        message_id: Some(name.as_bytes()),
        headers: headers.as_ref().map(TableBuf::table),
        content_type: Some(b"application/octet-stream"),
        ..PropertyList::default()
    }
}

/// A message's body. It begins with its id, if that fits, so that a segment can be searched for it.
pub fn body(id: Id, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    Random::new((id.publisher as u64) << 32 | id.number as u64).fill(&mut body);
    let name = format!("<{id:?}>");
    if name.len() <= bytes {
        body[..name.len()].copy_from_slice(name.as_bytes());
    }
    body
}

/// A random size of a body: mostly small, now and then large enough to be parked.
pub fn size(random: &mut Random) -> usize {
    match random.within(0..100) {
        0..70 => random.within(0..2000),
        70..92 => random.within(2000..65_536),
        _ => random.within(65_536..300_000),
    }
}

/// A random route; not that of the mover.
pub fn route(random: &mut Random) -> usize {
    random.within(DONE_ROUTE + 1..ROUTES.len())
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

    pub fn into_model(self) -> Model {
        self.model.into_inner().expect("no client has failed")
    }
}
