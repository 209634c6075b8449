//! What do the messages that were found say? Whether what was confirmed is there, and whether each
//! transaction is there as a whole or not at all.

use super::drain::{Ended, Found};
use super::model::{Model, Place, Sent, Spot};
use super::topology::{ROUTES, WORK};

/// Whether a message was in a queue when the broker ended; `None` when that cannot be told.
fn was_there(place: Place, is_found: bool, ended: Ended) -> Option<bool> {
    match place {
        _ if is_found => Some(true),
        Place::Unseen => Some(false),
        Place::Doubtful | Place::Wiping => None,
        // Without a sync, what was received can be lost again. And what was acked may have gone
        // because of that or because it was lost.
        Place::Received | Place::AckSent | Place::Gone if ended == Ended::Cut => None,
        Place::Received | Place::AckSent | Place::Gone => Some(true),
    }
}

/// Whether a message must be in the queue of its route with this index, or where that one leads.
pub fn must_be_there(sent: &Sent, index: usize, ended: Ended) -> bool {
    match sent.spots[index].place {
        Place::Unseen => sent.confirmed,
        Place::Received => sent.confirmed || ended != Ended::Cut,
        Place::AckSent | Place::Wiping | Place::Doubtful | Place::Gone => false,
    }
}

/// Transactions without an answer took effect as a whole or not at all.
pub fn judge_transactions(
    model: &mut Model,
    found: &Found,
    ended: Ended,
    faults: &mut Vec<String>,
) {
    for number in 0..model.groups.len() {
        let group = model.groups[number].clone();
        if group.committed || group.void {
            continue;
        }
        let mut signs = Vec::new();
        for id in &group.messages {
            for (index, spot) in model.of(*id).spots.iter().enumerate() {
                let is_found = found.contains_key(&(*id, index));
                signs.extend(was_there(spot.place, is_found, ended).map(|there| (there, *id)));
            }
        }
        for id in &group.acks {
            // Back in its queue: it was not acked. Unless it was lost itself before.
            if ended == Ended::Cut && !model.of(*id).confirmed {
                continue;
            }
            let index = model.of(*id).index(WORK);
            signs.push((!found.contains_key(&(*id, index)), *id));
        }
        let took_effect = signs.first().is_some_and(|(sign, _)| *sign);
        if signs.iter().any(|(sign, _)| *sign != took_effect) {
            faults.push(format!("a transaction is torn: {signs:?}"));
        }
        model.groups[number].committed = took_effect;
        model.groups[number].void = !took_effect;
        for id in group.messages {
            model.of(id).confirmed |= took_effect;
        }
    }
}

/// What was confirmed is there, and what was not is there in all queues or in none.
pub fn judge_messages(model: &mut Model, found: &Found, ended: Ended, faults: &mut Vec<String>) {
    let acks_are_sure = model.acks_are_sure;
    for (id, sent) in &mut model.sent {
        let queues = ROUTES[sent.route].queues;
        let is_found = |index: usize| found.contains_key(&(*id, index));
        for (index, queue) in queues.iter().enumerate() {
            if must_be_there(sent, index, ended) && !is_found(index) {
                let group = sent.group.map(|group| &model.groups[group]);
                let of = group.map_or("none", |group| if group.void { "void" } else { "done" });
                faults.push(format!(
                    "{queue}: {id:?} is lost ({ended:?}): {sent:?}, transaction: {of}"
                ));
            }
        }
        if !sent.confirmed {
            let signs = sent.spots.iter().enumerate();
            let signs: Vec<bool> = signs
                .filter_map(|(index, spot)| was_there(spot.place, is_found(index), ended))
                .collect();
            if signs.iter().any(|sign| *sign != signs[0]) {
                faults.push(format!("{id:?} is there in some queues only: {sent:?}"));
            }
            let is_absent = signs == [false];
            if sent.is_named() && is_absent {
                sent.not_taken();
            }
        }
        sent.confirmed |= (0..queues.len()).any(is_found);
        for (index, spot) in sent.spots.iter_mut().enumerate() {
            *spot = match found.get(&(*id, index)) {
                Some(station) => Spot { place: Place::Received, station: *station },
                None if spot.place == Place::AckSent && !acks_are_sure => *spot,
                None => Spot { place: Place::Gone, ..*spot },
            };
        }
    }
}
