//! Who uses the broker until it is gone? Publishers with confirms and with transactions, consumers
//! that ack one by one and many at once, a mover that takes and publishes in transactions, and who
//! empties queues in other ways.
//! Each runs until its socket is closed or it is told to finish.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use leveret::amqp::encoder;

use super::bodies::Bodies;
use super::consumers::{Consumer, wipe};
use super::drain::Ended;
use super::model::{Id, Model, Place, Shared, properties, route, route_headers};
use super::parts::{Part, Parts};
use super::topology::{
    DEAD, DONE, DONE_ROUTE, FLOODED, LATER, NARROW, Naming, ONCE, PHOENIX, PURGED, QUORUM, REJECTS,
    ROUTES, URGENT, WORK, flood_route, queues,
};
use crate::common::{
    Ack, Client, ConfirmSelectOk, ConnectionClose, Event, GetOk, Method, Nack, Owned, Process,
    Random, Return, TxSelectOk, basic, confirm, connection, encode_publish, tx,
};

/// Publishers that wait for confirms, by number.
const PUBLISHERS: usize = 3;
/// The number of the publisher that uses transactions.
const TRANSACTOR: usize = PUBLISHERS;
/// The number under which the mover publishes.
const MOVER: usize = PUBLISHERS + 1;
/// The number under which floods are published.
const FLOODER: usize = PUBLISHERS + 2;
/// How many messages a flood has at most, and how many may be there before it.
const FLOOD_MAX: usize = 15_000;
const FLOODED_MAX: usize = 10_000;
/// What each consumer takes from.
const CONSUMED: [&[&str]; 5] = [
    &["a", "b"],
    &["c", "d", "a"],
    &["e", DONE],
    &[REJECTS, DEAD, LATER],
    &[ONCE, NARROW, QUORUM, URGENT],
];
/// What is emptied in other ways.
const WIPED: [(Part, &str); 3] =
    [(Part::Purge, PURGED), (Part::Delete, PHOENIX), (Part::Flood, FLOODED)];
/// What one burst of a publisher has at most, in bytes.
const BURST_BYTES_MAX: usize = 600_000;

/// What all clients of a round share.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub shared: &'a Shared,
    /// Publishers finish, once everything is confirmed.
    pub finish: &'a AtomicBool,
    pub parts: Parts,
    /// Where the broker's files are.
    pub directory: &'a Path,
}

/// Connects all clients and lets them work.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    load: Load<'scope>,
    address: SocketAddr,
    random: &mut Random,
) {
    // Everything that waits for an answer comes first: once the clients work, the end may come.
    let mut transactors = [Client::connect(address), Client::connect(address)];
    for client in &mut transactors {
        client.call::<TxSelectOk>(1, tx::Select {});
    }
    let mut publishers: Vec<_> = (0..PUBLISHERS + 1).map(|_| Client::connect(address)).collect();
    for client in &mut publishers {
        client.call::<ConfirmSelectOk>(1, confirm::Select { nowait: false });
    }
    let consumers = CONSUMED.map(|_| Client::connect(address));
    let wipers = WIPED.map(|_| Client::connect(address));
    let flooder = publishers.pop().expect("there is one more");
    let seed = random.next();
    if load.parts.has(Part::Flood) {
        scope.spawn(move || Publisher::new(load, flooder, Random::new(seed), FLOODER).run());
    }
    for (publisher, client) in publishers.into_iter().enumerate() {
        let random = Random::new(random.next());
        scope.spawn(move || Publisher::new(load, client, random, publisher).run());
    }
    let [client, mover] = transactors;
    let seed = random.next();
    scope.spawn(move || transact(load, client, Random::new(seed)));
    let is_used = |queue: &str| queues(load.parts).any(|other| other.name == queue);
    for (names, client) in CONSUMED.iter().zip(consumers) {
        let names: Vec<_> = names.iter().copied().filter(|name| is_used(name)).collect();
        let random = Random::new(random.next());
        if !names.is_empty() {
            scope.spawn(move || Consumer::new(load, client, random).run(&names));
        }
    }
    for ((part, queue), client) in WIPED.into_iter().zip(wipers) {
        let random = Random::new(random.next());
        if load.parts.has(part) {
            scope.spawn(move || wipe(load, client, random, queue));
        }
    }
    let seed = random.next();
    scope.spawn(move || take_and_publish(load, mover, Random::new(seed)));
}

/// When a broker is ended.
#[derive(Clone, Copy)]
pub struct Moment {
    /// After so many confirms and deliveries more.
    pub events: usize,
    /// And then as soon as it says this, if it does so soon.
    pub said: Option<&'static str>,
}

/// How long the broker may take to say what it is to be ended at.
const SAID_WITHIN: Duration = Duration::from_secs(2);

/// Uses a broker until that moment and ends it; what it said.
pub fn work(
    process: Process,
    mut model: Model,
    random: &mut Random,
    moment: Moment,
    ended: Ended,
) -> (Model, Vec<String>) {
    model.acks_are_sure = true;
    work_on(process, model, random, moment, ended)
}

/// The same where power may be cut later on.
pub fn work_on(
    process: Process,
    model: Model,
    random: &mut Random,
    moment: Moment,
    ended: Ended,
) -> (Model, Vec<String>) {
    let events = model.events + moment.events;
    let parts = model.parts;
    let shared = Shared::new(model);
    let finish = AtomicBool::new(false);
    let directory = process.directory().to_owned();
    let load = Load { shared: &shared, finish: &finish, parts, directory: &directory };
    let log = thread::scope(|scope| {
        // When this fails, the broker ends first, and with it the clients.
        let process = process;
        start(scope, load, process.address(), random);
        shared.wait_for(events);
        if let Some(text) = moment.said {
            // If it does not say it, the load has gone on for a while.
            process.wait_until_said(text, SAID_WITHIN);
        }
        let log = match ended {
            Ended::Orderly => process.terminate(),
            Ended::Killed | Ended::Cut => process.kill(),
        };
        finish.store(true, Ordering::Relaxed);
        log
    });
    (shared.into_model(), log)
}

/// Publishes in bursts and reads confirms.
struct Publisher<'a> {
    load: Load<'a>,
    client: Client,
    random: Random,
    bodies: Bodies,
    publisher: usize,
    /// What waits for its confirm: sequence number, message, whether it is mandatory.
    waiting: VecDeque<(u64, Id, bool)>,
    sequence: u64,
}

impl<'a> Publisher<'a> {
    fn new(load: Load<'a>, client: Client, mut random: Random, publisher: usize) -> Publisher<'a> {
        let bodies = load.bodies(&mut random);
        let waiting = VecDeque::new();
        Publisher { load, client, random, bodies, publisher, waiting, sequence: 0 }
    }

    fn run(mut self) {
        loop {
            let finish = self.load.finish.load(Ordering::Relaxed);
            if !finish {
                self.burst();
            }
            let waiting_max =
                if finish || self.publisher == FLOODER { 0 } else { self.random.within(0..60) };
            while self.waiting.len() > waiting_max {
                let Some(event) = self.client.next_of_any() else {
                    return;
                };
                self.take(&event);
            }
            if finish {
                return;
            }
        }
    }

    fn burst(&mut self) {
        let mut out = Vec::new();
        for _ in 0..self.count() {
            let route = match self.publisher {
                FLOODER => flood_route(),
                _ => route(&mut self.random, self.load.parts),
            };
            self.sequence += 1;
            let again = self.random.chance(40);
            let again = again.then(|| self.load.again(route, &mut self.random)).flatten();
            let (id, body) = match again {
                Some(id) => (id, self.load.body_again(&mut self.bodies, id)),
                None => {
                    let id = self.load.shared.model().publish(self.publisher, route);
                    (id, self.load.write(&mut self.bodies, id))
                }
            };
            // What comes back is small: a publisher that writes and does not read would block
            // itself.
            let may_come_back = ROUTES[route].queues.is_empty();
            let is_plain = ROUTES[route].parts.is_empty();
            let mandatory =
                is_plain && self.random.chance(50) && (body.len() < 1000 || !may_come_back);
            self.waiting.push_back((self.sequence, id, mandatory));
            encode(&mut out, &self.client, id, route, &body, mandatory);
            if out.len() > BURST_BYTES_MAX && self.publisher != FLOODER {
                break;
            }
        }
        // If the broker is gone, reading shows it.
        drop(self.client.try_send_bytes(&out));
    }

    /// How many messages come at once.
    fn count(&mut self) -> usize {
        if self.publisher != FLOODER {
            let events = self.load.shared.model().events;
            return self.bodies.burst(events);
        }
        self.load.shared.pause_for(self.random.within(200..2500));
        let is_enough = self.load.shared.model().unwiped(FLOODED) > FLOODED_MAX;
        if is_enough { 1 } else { self.random.within(1..FLOOD_MAX) }
    }

    fn take(&mut self, event: &Event) {
        if let Method::BasicReturn(_) = event.method() {
            let message = event.expect::<Return>().message;
            let text = message.list().message_id.map(String::from_utf8_lossy);
            let returned = self.waiting.iter().find(|(_, id, mandatory)| {
                *mandatory && Some(format!("{id:?}")).as_deref() == text.as_deref()
            });
            let (_, id, _) = *returned.unwrap_or_else(|| panic!("{text:?} came back"));
            let mut model = self.load.shared.model();
            let sent = model.of(id);
            assert!(ROUTES[sent.route].queues.is_empty(), "{id:?} came back");
            sent.returned = true;
            return;
        }
        if let Some(ack) = Ack::from_event(event) {
            self.answered(ack.tag, ack.multiple, true);
        } else if let Some(nack) = Nack::from_event(event) {
            self.answered(nack.tag, nack.multiple, false);
        } else {
            expect_farewell(&mut self.client, event);
        }
    }

    fn answered(&mut self, tag: u64, multiple: bool, confirmed: bool) {
        let mut model = self.load.shared.model();
        model.events += 1;
        self.waiting.retain(|(sequence, id, mandatory)| {
            if *sequence != tag && !(multiple && *sequence < tag) {
                return true;
            }
            let sent = model.of(*id);
            sent.flights -= 1;
            if !confirmed {
                let may_be = ROUTES[sent.route].naming == Naming::ByExchangeIfRoom;
                assert!(may_be, "{id:?} was refused: {sent:?}");
                sent.not_taken();
                return false;
            }
            sent.confirmed = true;
            let comes_back = *mandatory && sent.spots.is_empty();
            assert_eq!(sent.returned, comes_back, "{id:?} was to come back before its confirm");
            false
        });
    }
}

impl Load<'_> {
    pub fn bodies(&self, random: &mut Random) -> Bodies {
        Bodies::new(Random::new(random.next()), self.parts, self.directory)
    }

    /// The body of a message that is about to be sent for the first time.
    fn write(&self, bodies: &mut Bodies, id: Id) -> Vec<u8> {
        let (events, route) = {
            let mut model = self.shared.model();
            (model.events, model.of(id).route)
        };
        let is_named = ROUTES[route].naming != Naming::Nameless;
        let filling = bodies.filling(events, is_named);
        let size = bodies.size(events, route == flood_route());
        let body = bodies.body(id, size, filling);
        self.shared.model().note_body(id, filling, &body);
        body
    }

    /// A message of this route that was sent before and may be sent again.
    fn again(&self, route: usize, random: &mut Random) -> Option<Id> {
        self.shared.model().publish_again(route, random)
    }

    fn body_again(&self, bodies: &mut Bodies, id: Id) -> Vec<u8> {
        let (bytes, filling) = {
            let mut model = self.shared.model();
            let sent = model.of(id);
            (sent.bytes, sent.filling)
        };
        bodies.body(id, bytes, filling)
    }
}

/// Publishes in transactions.
fn transact(load: Load<'_>, mut client: Client, mut random: Random) {
    let mut bodies = load.bodies(&mut random);
    while !load.finish.load(Ordering::Relaxed) {
        let group = load.shared.model().begin();
        let mut out = Vec::new();
        for _ in 0..random.within(1..6) {
            let route = route(&mut random, load.parts);
            // A transaction hears nothing of a queue that refuses a message.
            if ROUTES[route].naming == Naming::ByExchangeIfRoom {
                continue;
            }
            let id = load.shared.model().publish_in(group, TRANSACTOR, route);
            let body = load.write(&mut bodies, id);
            encode(&mut out, &client, id, route, &body, false);
        }
        drop(client.try_send_bytes(&out));
        let commits = !random.chance(15);
        if commits {
            client.send_unless_closed(1, tx::Commit {});
        } else {
            client.send_unless_closed(1, tx::Rollback {});
        }
        let Some(event) = client.next_of_any() else {
            return;
        };
        if matches!(event.method(), Method::TxCommitOk(_)) && commits {
            load.shared.model().committed(group);
        } else if matches!(event.method(), Method::TxRollbackOk(_)) && !commits {
            load.shared.model().rolled_back(group);
        } else {
            expect_farewell(&mut client, &event);
        }
    }
}

/// Takes from one queue and publishes to another, in one transaction.
fn take_and_publish(load: Load<'_>, mut client: Client, mut random: Random) {
    let get = basic::Get { queue: WORK.as_bytes(), no_ack: false };
    let mut bodies = load.bodies(&mut random);
    while !load.finish.load(Ordering::Relaxed) {
        let group = load.shared.model().begin();
        let mut out = Vec::new();
        for _ in 0..random.within(1..5) {
            client.send_unless_closed(1, get);
            let Some(event) = client.next_of_any() else {
                return;
            };
            if let Some(taken) = GetOk::from_event(&event) {
                let mut model = load.shared.model();
                let id = model.received(WORK, &taken.message, taken.redelivered);
                *model.place(id, WORK) = Place::AckSent;
                model.groups[group].acks.push(id);
                let copy = model.publish_in(group, MOVER, DONE_ROUTE);
                drop(model);
                let body = load.write(&mut bodies, copy);
                encode(&mut out, &client, copy, DONE_ROUTE, &body, false);
                let ack = basic::Ack { delivery_tag: taken.tag, multiple: false };
                encoder::method_frame(&mut out, 1, &ack);
            } else if matches!(event.method(), Method::BasicGetEmpty(_)) {
                break;
            } else {
                expect_farewell(&mut client, &event);
            }
        }
        drop(client.try_send_bytes(&out));
        client.send_unless_closed(1, tx::Commit {});
        let Some(event) = client.next_of_any() else {
            return;
        };
        if matches!(event.method(), Method::TxCommitOk(_)) {
            load.shared.model().committed(group);
        } else {
            expect_farewell(&mut client, &event);
        }
    }
}

fn encode(out: &mut Vec<u8>, client: &Client, id: Id, route: usize, body: &[u8], mandatory: bool) {
    let publish = basic::Publish {
        exchange: ROUTES[route].exchange.as_bytes(),
        routing_key: ROUTES[route].key.as_bytes(),
        mandatory,
        immediate: false,
    };
    let name = format!("{id:?}");
    let headers = route_headers(route, &name);
    let properties = properties(&name, &headers, route);
    encode_publish(out, 1, publish, &properties, body, client.frame_bytes_max);
}

/// Checks that the broker says that it stops, and answers it.
pub fn expect_farewell(client: &mut Client, event: &Event) {
    let close = event.expect::<ConnectionClose>().0;
    close.assert(320, "shutdown");
    client.send_unless_closed(0, connection::CloseOk {});
}
