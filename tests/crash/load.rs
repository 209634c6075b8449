//! Who uses the broker until it is gone? Publishers with confirms and with transactions, consumers
//! that ack one by one and many at once, and a mover that takes and publishes in transactions.
//! Each runs until its socket is closed or it is told to finish.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

use leveret::amqp::encoder;

use super::drain::Ended;
use super::model::{Id, Model, Place, Shared, body, headers_of, properties, route, size};
use super::random::Random;
use super::topology::{DONE, DONE_ROUTE, ROUTES, WORK};
use crate::common::{
    Client, ConfirmSelectOk, ConnectionClose, Delivery, Event, GetOk, Method, Owned, Process,
    Return, TxSelectOk, basic, confirm, connection, encode_publish, tx,
};

/// Publishers that wait for confirms, by number.
const PUBLISHERS: usize = 3;
/// The number of the publisher that uses transactions.
const TRANSACTOR: usize = PUBLISHERS;
/// The number under which the mover publishes.
const MOVER: usize = PUBLISHERS + 1;
/// What one burst of a publisher has at most, in bytes.
const BURST_BYTES_MAX: usize = 600_000;

/// What all clients of a round share.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub shared: &'a Shared,
    /// Publishers finish, once everything is confirmed.
    pub finish: &'a AtomicBool,
    /// An answer to a later question shows that an ack will never be forgotten: true of a process
    /// that is killed, not of a machine that loses power.
    pub acks_are_sure: bool,
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
    let mut clients: Vec<_> = (0..PUBLISHERS + 3).map(|_| Client::connect(address)).collect();
    for client in &mut clients[..PUBLISHERS] {
        client.call::<ConfirmSelectOk>(1, confirm::Select { nowait: false });
    }
    let mut clients = clients.into_iter();
    let mut next = || clients.next().expect("there is one for each");
    for publisher in 0..PUBLISHERS {
        let (client, random) = (next(), Random::new(random.next()));
        scope.spawn(move || Publisher::new(load, client, random, publisher).run());
    }
    let [client, mover] = transactors;
    let seed = random.next();
    scope.spawn(move || transact(load, client, Random::new(seed)));
    for queues in [&["a", "b"][..], &["c", "d", "a"], &["e", DONE]] {
        let (client, random) = (next(), Random::new(random.next()));
        scope.spawn(move || Consumer::new(load, client, random).run(queues));
    }
    let seed = random.next();
    scope.spawn(move || take_and_publish(load, mover, Random::new(seed)));
}

/// Uses a broker until there were so many confirms and deliveries more, and ends it; what it said.
pub fn work(
    process: Process,
    model: Model,
    random: &mut Random,
    events: usize,
    ended: Ended,
) -> (Model, Vec<String>) {
    let events = model.events + events;
    let shared = Shared::new(model);
    let finish = AtomicBool::new(false);
    let load = Load { shared: &shared, finish: &finish, acks_are_sure: true };
    let log = thread::scope(|scope| {
        // When this fails, the broker ends first, and with it the clients.
        let process = process;
        start(scope, load, process.address(), random);
        shared.wait_for(events);
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
    publisher: usize,
    /// What waits for its confirm: sequence number, message, whether it is mandatory.
    waiting: VecDeque<(u64, Id, bool)>,
    sequence: u64,
}

impl<'a> Publisher<'a> {
    fn new(load: Load<'a>, client: Client, random: Random, publisher: usize) -> Publisher<'a> {
        Publisher { load, client, random, publisher, waiting: VecDeque::new(), sequence: 0 }
    }

    fn run(mut self) {
        loop {
            let finish = self.load.finish.load(Ordering::Relaxed);
            if !finish {
                self.burst();
            }
            let waiting_max = if finish { 0 } else { self.random.within(0..60) };
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
        for _ in 0..self.random.within(1..40) {
            let route = route(&mut self.random);
            let bytes = size(&mut self.random);
            // What comes back is small: a publisher that writes and does not read would block
            // itself.
            let may_come_back = ROUTES[route].queues.is_empty();
            let mandatory = self.random.chance(50) && (bytes < 1000 || !may_come_back);
            let id = self.load.shared.model().publish(self.publisher, route, bytes);
            self.sequence += 1;
            self.waiting.push_back((self.sequence, id, mandatory));
            encode(&mut out, &self.client, id, route, bytes, mandatory);
            if out.len() > BURST_BYTES_MAX {
                break;
            }
        }
        // If the broker is gone, reading shows it.
        drop(self.client.try_send_bytes(&out));
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
        let Method::BasicAck(ack) = event.method() else {
            return expect_farewell(&mut self.client, event);
        };
        let mut model = self.load.shared.model();
        model.events += 1;
        self.waiting.retain(|(sequence, id, mandatory)| {
            let confirmed =
                *sequence == ack.delivery_tag || (ack.multiple && *sequence < ack.delivery_tag);
            if confirmed {
                let sent = model.of(*id);
                sent.confirmed = true;
                let comes_back = *mandatory && sent.places.is_empty();
                assert_eq!(sent.returned, comes_back, "{id:?} was to come back before its confirm");
            }
            !confirmed
        });
    }
}

/// Publishes in transactions.
fn transact(load: Load<'_>, mut client: Client, mut random: Random) {
    while !load.finish.load(Ordering::Relaxed) {
        let group = load.shared.model().begin();
        let mut out = Vec::new();
        for _ in 0..random.within(1..6) {
            let route = route(&mut random);
            let bytes = size(&mut random);
            let id = load.shared.model().publish_in(group, TRANSACTOR, route, bytes);
            encode(&mut out, &client, id, route, bytes, false);
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
                let bytes = size(&mut random);
                let copy = model.publish_in(group, MOVER, DONE_ROUTE, bytes);
                drop(model);
                encode(&mut out, &client, copy, DONE_ROUTE, bytes, false);
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

/// Receives and acks.
struct Consumer<'a> {
    load: Load<'a>,
    client: Client,
    random: Random,
    queues: Vec<(String, &'static str)>,
    /// Deliveries that are not acked, by tag.
    unacked: VecDeque<(u64, &'static str, Id)>,
    /// Acks since the last question, and those before it.
    acked: Vec<(&'static str, Id)>,
    asked: Option<Vec<(&'static str, Id)>>,
}

impl<'a> Consumer<'a> {
    fn new(load: Load<'a>, client: Client, random: Random) -> Consumer<'a> {
        Consumer {
            load,
            client,
            random,
            queues: Vec::new(),
            unacked: VecDeque::new(),
            acked: Vec::new(),
            asked: None,
        }
    }

    fn run(mut self, queues: &[&'static str]) {
        let prefetch = self.random.within(1..100);
        self.client.prefetch(1, u16::try_from(prefetch).expect("small"));
        for queue in queues {
            let tag = format!("from {queue}");
            let consume = basic::Consume {
                queue: queue.as_bytes(),
                consumer_tag: tag.as_bytes(),
                nowait: true,
                ..Default::default()
            };
            self.queues.push((tag.clone(), queue));
            self.client.send_unless_closed(1, consume);
        }
        while let Some(event) = self.client.next_of_any() {
            if let Some(delivery) = Delivery::from_event(&event) {
                self.take(&delivery);
            } else if matches!(event.method(), Method::BasicQosOk(_)) {
                self.answered();
            } else {
                expect_farewell(&mut self.client, &event);
            }
        }
    }

    fn take(&mut self, delivery: &Delivery) {
        let found = self.queues.iter().find(|(tag, _)| *tag == delivery.consumer);
        let (_, queue) = *found.expect("one of the consumers");
        let mut model = self.load.shared.model();
        let id = model.received(queue, &delivery.message, delivery.redelivered);
        drop(model);
        self.unacked.push_back((delivery.tag, queue, id));
        // Some stay unacked: what a killed consumer leaves behind.
        if self.random.chance(30) && self.unacked.len() < 10 {
            return;
        }
        match self.random.within(0..100) {
            0..5 => {
                let index = self.random.within(0..self.unacked.len());
                let (tag, _, _) = self.unacked.remove(index).expect("within its length");
                let reject = basic::Reject { delivery_tag: tag, requeue: true };
                self.client.send_unless_closed(1, reject);
            }
            5..60 => {
                let index = self.random.within(0..self.unacked.len());
                let settled = self.unacked.remove(index).expect("within its length");
                self.ack(settled.0, false, [settled].into());
            }
            _ => {
                let index = self.random.within(0..self.unacked.len());
                let settled: Vec<_> = self.unacked.drain(..=index).collect();
                self.ack(settled[index].0, true, settled);
            }
        }
    }

    fn ack(&mut self, tag: u64, multiple: bool, settled: Vec<(u64, &'static str, Id)>) {
        let mut model = self.load.shared.model();
        for (_, queue, id) in settled {
            *model.place(id, queue) = Place::AckSent;
            self.acked.push((queue, id));
        }
        drop(model);
        let ack = basic::Ack { delivery_tag: tag, multiple };
        self.client.send_unless_closed(1, ack);
        if self.asked.is_none() && self.acked.len() > 20 {
            self.asked = Some(std::mem::take(&mut self.acked));
            // Says the same as before: a question whose answer comes after all that was sent.
            let qos = basic::Qos { prefetch_count: 50, ..Default::default() };
            self.client.send_unless_closed(1, qos);
        }
    }

    fn answered(&mut self) {
        let settled = self.asked.take().expect("it was asked");
        if self.load.acks_are_sure {
            let mut model = self.load.shared.model();
            for (queue, id) in settled {
                *model.place(id, queue) = Place::Gone;
            }
        }
    }
}

fn encode(out: &mut Vec<u8>, client: &Client, id: Id, route: usize, bytes: usize, mandatory: bool) {
    let publish = basic::Publish {
        exchange: ROUTES[route].exchange.as_bytes(),
        routing_key: ROUTES[route].key.as_bytes(),
        mandatory,
        immediate: false,
    };
    let (name, headers) = (format!("{id:?}"), headers_of(route));
    let properties = properties(&name, &headers);
    let body = body(id, bytes);
    encode_publish(out, 1, publish, &properties, &body, client.frame_bytes_max);
}

/// Checks that the broker says that it stops, and answers it.
fn expect_farewell(client: &mut Client, event: &Event) {
    let close = event.expect::<ConnectionClose>().0;
    close.assert(320, "shutdown");
    client.send_unless_closed(0, connection::CloseOk {});
}
