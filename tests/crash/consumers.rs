//! Who takes messages out of the queues? Consumers that ack, requeue and reject, and who purges a
//! queue or deletes it and declares it again.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::load::{Load, expect_farewell};
use super::model::{Id, Place};
use super::topology::{FLOODED, PHOENIX, REBORN, REJECTS, arguments, declaration};
use crate::common::{Client, Delivery, Event, GetOk, Method, Owned, Random, basic, queue};

/// Receives and acks.
pub struct Consumer<'a> {
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
    pub fn new(load: Load<'a>, client: Client, random: Random) -> Consumer<'a> {
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

    pub fn run(mut self, queues: &[&'static str]) {
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
            0..40 if queue == REJECTS => {
                let (tag, _, _) = self.unacked.pop_back().expect("it was just put there");
                let reject = basic::Reject { delivery_tag: tag, requeue: false };
                self.client.send_unless_closed(1, reject);
            }
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
        let mut model = self.load.shared.model();
        if model.acks_are_sure {
            for (queue, id) in settled {
                *model.place(id, queue) = Place::Gone;
            }
        }
    }
}

/// Empties a queue again and again, whoever publishes to it meanwhile.
pub fn wipe(load: Load<'_>, mut client: Client, mut random: Random, queue: &'static str) {
    while !load.finish.load(Ordering::Relaxed) {
        // What is flooded has to grow.
        let pause = if queue == FLOODED { 500..6000 } else { 50..400 };
        load.shared.pause_for(random.within(pause));
        let went_on = match random.within(0..3) {
            0 => take_some(load, &mut client, random.within(1..10), queue),
            _ if queue == PHOENIX => bear_again(load, &mut client),
            _ => purge(load, &mut client, queue),
        };
        if went_on.is_none() {
            return;
        }
    }
}

/// The answer to a method; `None` when the broker is gone or stops.
fn ask<'a>(client: &mut Client, method: impl Into<Method<'a>>) -> Option<Event> {
    client.send_unless_closed(1, method);
    let event = client.next_of_any()?;
    if matches!(event.method(), Method::ConnectionClose(_)) {
        expect_farewell(client, &event);
        return None;
    }
    Some(event)
}

fn take_some(load: Load<'_>, client: &mut Client, count: usize, name: &str) -> Option<()> {
    for _ in 0..count {
        let event = ask(client, basic::Get { queue: name.as_bytes(), no_ack: false })?;
        if matches!(event.method(), Method::BasicGetEmpty(_)) {
            return Some(());
        }
        let got = event.expect::<GetOk>();
        let mut model = load.shared.model();
        let id = model.received(name, &got.message, got.redelivered);
        *model.place(id, name) = Place::AckSent;
        drop(model);
        let ack = basic::Ack { delivery_tag: got.tag, multiple: false };
        client.send_unless_closed(1, ack);
    }
    Some(())
}

fn purge(load: Load<'_>, client: &mut Client, name: &'static str) -> Option<()> {
    load.shared.model().begin_wipe(name);
    let event = ask(client, queue::Purge { queue: name.as_bytes(), nowait: false })?;
    assert!(matches!(event.method(), Method::QueuePurgeOk(_)), "{:?}", event.method());
    load.shared.model().end_wipe(name);
    Some(())
}

/// Deletes the queue and declares it again under its name.
fn bear_again(load: Load<'_>, client: &mut Client) -> Option<()> {
    load.shared.model().begin_wipe(PHOENIX);
    let delete = queue::Delete { queue: PHOENIX.as_bytes(), ..Default::default() };
    let event = ask(client, delete)?;
    assert!(matches!(event.method(), Method::QueueDeleteOk(_)), "{:?}", event.method());
    let arguments = arguments(PHOENIX);
    let event = ask(client, declaration(PHOENIX, &arguments))?;
    assert!(matches!(event.method(), Method::QueueDeclareOk(_)), "{:?}", event.method());
    let bind = queue::Bind {
        queue: PHOENIX.as_bytes(),
        exchange: REBORN.as_bytes(),
        ..Default::default()
    };
    let event = ask(client, bind)?;
    assert!(matches!(event.method(), Method::QueueBindOk(_)), "{:?}", event.method());
    load.shared.model().end_wipe(PHOENIX);
    Some(())
}
