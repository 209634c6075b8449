//! Is everything there that must be, and nothing else? Empties all queues and compares.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::model::{Id, Model, Place};
use super::random::Random;
use super::topology::{QUEUES, ROUTES, WORK};
use crate::common::{Client, Delivery, QosOk, basic};

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

/// What came.
type Found = HashSet<(Id, &'static str)>;

/// Receives everything that is in the queues, checks it against the model, notes what is known now,
/// and acks some of it. Returns how many messages there were.
pub fn drain(address: SocketAddr, model: &mut Model, ended: Ended, random: &mut Random) -> usize {
    let mut client = Client::connect(address);
    client.open(2);
    let mut found = Found::new();
    let mut tags = Vec::new();
    for queue in QUEUES {
        let deliveries = receive(&mut client, queue);
        let mut last = HashMap::new();
        for delivery in deliveries {
            let id = model.check(queue, &delivery.message);
            let before = last.insert(id.publisher, id);
            assert!(before < Some(id), "{queue}: {id:?} came after {before:?}");
            check_mark(*model.place(id, queue), &delivery, ended, id);
            found.insert((id, queue));
            tags.push((delivery.tag, queue, id));
        }
    }
    // Nothing more came of any queue meanwhile.
    client.expect_nothing_before(1, 2);
    judge_transactions(model, &found, ended);
    judge_messages(model, &found, ended);
    settle_some(&mut client, model, tags, random);
    client.close();
    found.len()
}

fn receive(client: &mut Client, queue: &str) -> Vec<Delivery> {
    let ready = client.inspect(1, queue).messages;
    client.consume(1, queue);
    (0..ready).map(|_| client.expect_delivery(1)).collect()
}

fn check_mark(place: Place, delivery: &Delivery, ended: Ended, id: Id) {
    let must_be_marked = ended != Ended::Orderly || place != Place::Unseen;
    assert!(
        delivery.redelivered || !must_be_marked,
        "{id:?} ({place:?}) is not marked as redelivered: {ended:?}"
    );
}

/// Whether a message was in a queue when the broker ended; `None` when that cannot be told.
fn was_there(place: Place, is_found: bool, ended: Ended) -> Option<bool> {
    match place {
        _ if is_found => Some(true),
        Place::Unseen => Some(false),
        // Without a sync, what was received can be lost again. And what was acked may have gone
        // because of that or because it was lost.
        Place::Received | Place::AckSent | Place::Gone if ended == Ended::Cut => None,
        Place::Received | Place::AckSent | Place::Gone => Some(true),
    }
}

/// Transactions without an answer took effect as a whole or not at all.
fn judge_transactions(model: &mut Model, found: &Found, ended: Ended) {
    for number in 0..model.groups.len() {
        let group = model.groups[number].clone();
        if group.committed || group.void {
            continue;
        }
        let mut signs = Vec::new();
        for id in &group.messages {
            let sent = model.of(*id);
            for (queue, place) in ROUTES[sent.route].queues.iter().zip(&sent.places) {
                let is_found = found.contains(&(*id, *queue));
                signs.extend(was_there(*place, is_found, ended).map(|there| (there, *id)));
            }
        }
        for id in &group.acks {
            // Back in its queue: it was not acked. Unless it was lost itself before.
            if ended == Ended::Cut && !model.of(*id).confirmed {
                continue;
            }
            signs.push((!found.contains(&(*id, WORK)), *id));
        }
        let took_effect = signs.first().is_some_and(|(sign, _)| *sign);
        let whole = signs.iter().all(|(sign, _)| *sign == took_effect);
        assert!(whole, "a transaction is torn: {signs:?}");
        model.groups[number].committed = took_effect;
        model.groups[number].void = !took_effect;
        for id in group.messages {
            model.of(id).confirmed |= took_effect;
        }
    }
}

/// What was confirmed is there, and what was not is there in all queues or in none.
fn judge_messages(model: &mut Model, found: &Found, ended: Ended) {
    for (id, sent) in &mut model.sent {
        let queues = ROUTES[sent.route].queues;
        let is_found = |queue: &&'static str| found.contains(&(*id, *queue));
        for (queue, place) in queues.iter().zip(&sent.places) {
            let must_be_there = match place {
                Place::Unseen => sent.confirmed,
                Place::Received => sent.confirmed || ended != Ended::Cut,
                Place::AckSent | Place::Gone => false,
            };
            assert!(
                !must_be_there || is_found(queue),
                "{queue}: {id:?} is lost ({ended:?}): {sent:?}"
            );
        }
        if !sent.confirmed {
            let signs = queues.iter().zip(&sent.places);
            let signs: Vec<bool> = signs
                .filter_map(|(queue, place)| was_there(*place, is_found(queue), ended))
                .collect();
            let whole = signs.iter().all(|sign| *sign == signs[0]);
            assert!(whole, "{id:?} is there in some queues only: {sent:?}");
        }
        sent.confirmed |= queues.iter().any(is_found);
        for (queue, place) in queues.iter().zip(&mut sent.places) {
            *place = if found.contains(&(*id, *queue)) { Place::Received } else { Place::Gone };
        }
    }
}

/// Acks most of what came, in a random order, and waits until that is done.
fn settle_some(
    client: &mut Client,
    model: &mut Model,
    tags: Vec<(u64, &'static str, Id)>,
    random: &mut Random,
) {
    for (tag, queue, id) in tags {
        if random.chance(70) {
            client.ack(1, tag);
            *model.place(id, queue) = Place::Gone;
        }
    }
    client.call::<QosOk>(1, basic::Qos::default());
}

/// The same after a file was spoilt: what lay in that file may be lost, or come again. `spoilt` is
/// what it held before. Returns how many messages were lost.
pub fn drain_damaged(address: SocketAddr, model: &mut Model, spoilt: &[u8]) -> usize {
    let spoilt = String::from_utf8_lossy(spoilt);
    let mut client = Client::connect(address);
    client.open(2);
    let mut found = Found::new();
    for queue in QUEUES {
        let mut last = HashMap::new();
        for delivery in receive(&mut client, queue) {
            let id = model.identify(queue, &delivery.message);
            let before = last.insert(id.publisher, id);
            assert!(before < Some(id), "{queue}: {id:?} came after {before:?}");
            if *model.place(id, queue) == Place::Gone {
                let may_come_back = model.is_acked_in_transaction(id) || lay_in(&spoilt, id);
                assert!(may_come_back, "{queue}: {id:?} came after it was settled");
            }
            found.insert((id, queue));
        }
    }
    client.expect_nothing_before(1, 2);
    let mut lost = 0;
    for (id, sent) in &mut model.sent {
        for (queue, place) in ROUTES[sent.route].queues.iter().zip(&mut sent.places) {
            let is_found = found.contains(&(*id, *queue));
            let was_there = match place {
                Place::Unseen => sent.confirmed,
                Place::Received => true,
                Place::AckSent | Place::Gone => false,
            };
            if was_there && !is_found {
                assert!(
                    lay_in(&spoilt, *id),
                    "{queue}: {id:?} is lost and lay elsewhere: {sent:?}"
                );
                lost += 1;
            }
            *place = if is_found { Place::Received } else { Place::Gone };
        }
    }
    for group in &mut model.groups {
        group.void = true;
    }
    client.close();
    lost
}

/// Whether the record or the body of a message lay in this file, in this life of it or an earlier.
/// The file is a string for the sake of its fast search; the marks are ASCII.
fn lay_in(file: &str, id: Id) -> bool {
    let name = format!("{id:?}");
    let length = char::from(u8::try_from(name.len()).expect("it is short"));
    file.contains(&format!("{length}{name}")) || file.contains(&format!("<{name}>"))
}
