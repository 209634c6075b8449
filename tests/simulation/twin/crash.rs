//! What may be found after a stop without a word, and what has to be?
//!
//! The process was killed: what was written is there, what was not is gone. Or the power went: then
//! what was synced is there, and of the rest any beginning. What a settlement or a move of the last
//! moments came to may be found undone, but never by half.

use std::collections::{BTreeMap, BTreeSet};

use super::{Copied, Held, Mode, QueueId, Settlement, Twin, UNNAMED};
use crate::ops::End;
use crate::values::{Props, Received};
use leveret::amqp::Method;

/// A message found after the start.
#[derive(Debug)]
pub struct Found {
    pub exchange: String,
    pub key: String,
    pub props: Props,
    pub body: Vec<u8>,
}

/// What may be found.
#[derive(Debug, Default)]
pub struct Surviving {
    /// The queues by name; more than one of a name when it was deleted and declared again.
    names: BTreeMap<String, BTreeSet<QueueId>>,
    /// Per queue: each copy, and whether it was not settled.
    copies: BTreeMap<QueueId, Vec<(Copied, bool)>>,
    /// What has a smaller stamp has to be there.
    pub written: u64,
    /// Queues that have to be there.
    pub certain: BTreeSet<String>,
    /// Definitions changed in the last moments: what is there has to be looked at.
    pub uncertain: bool,
    present: BTreeSet<u64>,
}

impl Found {
    pub fn of(received: &Received) -> Found {
        let Method::BasicGetOk(got) = received.method() else {
            panic!("basic.get-ok expected, got {received:?}");
        };
        assert!(got.redelivered, "after a crash everything is redelivered");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (mut props, body) = received.content.clone().unwrap();
        // The count makes headers where there were none.
        props.headers.get_or_insert_default();
        props.remove_header("x-delivery-count");
        Found { exchange: text(got.exchange), key: text(got.routing_key), props, body }
    }

    fn is(&self, copied: &Copied) -> bool {
        let message = &copied.message;
        let known = Props {
            headers: message.props.headers.clone().or(Some(Vec::new())),
            ..message.props.clone()
        };
        *message.body == self.body
            && message.exchange == self.exchange
            && message.key == self.key
            && known.same_as(&self.props)
    }
}

impl Twin {
    /// The process is gone, and so may be everything that was not on disk.
    pub fn stopped(&mut self, power_cut: bool) -> Surviving {
        let written = if power_cut { self.durable } else { self.stamp };
        let mut surviving = Surviving {
            written,
            uncertain: self.topology_stamp.is_some_and(|stamp| stamp >= written),
            ..Surviving::default()
        };
        let (settled, removed) = (&mut self.settled_in_cache, &mut self.removed_in_cache);
        if power_cut {
            self.settled.append(settled);
            self.removed.append(removed);
        }
        (*settled, *removed) = (Vec::new(), Vec::new());
        let mut alive = Vec::new();
        for dying in std::mem::take(&mut self.limbo) {
            alive.push((dying.queue, dying.copied));
        }
        for connection in self.connections.values_mut() {
            for channel in connection.channels.values_mut() {
                let mut held: Vec<Held> =
                    std::mem::take(&mut channel.unacked).into_values().collect();
                if let Mode::Transaction { settled, .. } = &mut channel.mode {
                    held.extend(settled.drain(..).map(|(_, held, _)| held));
                }
                let kept = |held: &Held| {
                    let queue = self.queues.get(&held.queue);
                    queue.is_some_and(|queue| queue.stream.is_some())
                };
                held.retain(|held| !kept(held));
                for Held { queue, copied, .. } in held {
                    // Of a queue that went a moment ago; a stream may have dropped it before that.
                    match self.queues.contains_key(&queue) {
                        true => alive.push((queue, copied)),
                        false => self.settled.push((queue, copied, written)),
                    }
                }
            }
        }
        for (&id, queue) in &mut self.queues {
            alive.extend(queue.ready.drain(..).map(|copied| (id, copied)));
            if let Some(stream) = &queue.stream {
                let front = usize::try_from(stream.may_lack).unwrap();
                let messages = stream.messages.iter().skip(front);
                alive.extend(messages.map(|kept| (id, kept.copied.clone())));
            }
            if queue.spec.durable && queue.name != UNNAMED {
                surviving.names.entry(queue.name.clone()).or_default().insert(id);
                if queue.born < written && !surviving.uncertain {
                    surviving.certain.insert(queue.name.clone());
                }
            }
        }
        for (id, name, _) in self.removed.drain(..) {
            surviving.names.entry(name).or_default().insert(id);
        }
        for (id, copied) in alive {
            surviving.copies.entry(id).or_default().push((copied, true));
        }
        for (id, copied, _) in self.settled.drain(..) {
            surviving.copies.entry(id).or_default().push((copied, false));
        }
        surviving.uncertain |= self.held_back_after_stop(written);
        self.count(if power_cut { "power cut" } else { "killed" });
        self.forget_the_volatile();
        surviving
    }

    fn forget_the_volatile(&mut self) {
        self.connections.clear();
        self.consumers.clear();
        self.cancels.clear();
        self.overfull.clear();
        // What nobody was told the name of is nobody's.
        self.queues.retain(|_, queue| queue.spec.durable && queue.name != UNNAMED);
        self.exchanges.retain(|_, exchange| exchange.spec.durable);
        for queue in self.queues.values_mut() {
            queue.consumers.clear();
            queue.active = None;
            queue.names.clear();
            queue.unacked = 0;
            queue.overfull = false;
            queue.born = 0;
            queue.used_at_ms = self.now_ms;
        }
        let bindings = std::mem::take(&mut self.bindings);
        let lasts = |binding: &crate::ops::Binding| {
            self.exchanges.contains_key(&binding.source)
                && match binding.end {
                    End::Queue => self.queue_named(&binding.destination).is_some(),
                    End::Exchange => self.exchanges.contains_key(&binding.destination),
                }
        };
        self.bindings = bindings.into_iter().filter(lasts).collect();
        self.topology_stamp = None;
        // What was written before the stop is found by the next one, too.
        self.stamp += 1;
        self.durable = self.stamp;
    }

    /// Takes over what was found in a queue that goes on; or it was drained.
    pub fn adopt(&mut self, name: &str, copies: Vec<Copied>, drained: bool) {
        let Some(id) = self.queue_named(name) else {
            return;
        };
        let at = super::At { conn: u32::MAX, channel: 0 };
        for mut copied in copies {
            // Everything counts as delivered after a crash; how often, may not have been written.
            copied.deliveries = copied.deliveries.max(1);
            copied.unsure = copied.deliveries - 1;
            copied.deliveries += 1;
            copied.born = 0;
            copied.durable = true;
            copied.logged = true;
            if drained {
                self.settled.push((id, copied, self.stamp));
                continue;
            }
            self.note_name(id, &copied);
            let held = Held { copied, queue: id, consumer: None, due_ms: None };
            self.queues.get_mut(&id).unwrap().unacked += 1;
            self.settle_one(at, held, Settlement::Requeue);
        }
    }
}

impl Surviving {
    /// Notes that a message of a stream is there.
    pub fn found_in_stream(&mut self, copied: &Copied) {
        self.present.insert(copied.serial);
    }

    /// The queues that may be there.
    pub fn queues(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Checks what was found in a queue; what each message was.
    pub fn check_queue(&mut self, name: &str, found: &[Found]) -> Vec<Copied> {
        let none = BTreeSet::new();
        let ids = self.names.get(name).unwrap_or(&none);
        let mut matched: Vec<Copied> = Vec::new();
        for found in found {
            let all = ids.iter().filter_map(|id| self.copies.get(id)).flatten();
            let unused = all.filter(|(copied, _)| !self.present.contains(&copied.serial));
            let mut fitting: Vec<&Copied> =
                unused.map(|(copied, _)| copied).filter(|copied| found.is(copied)).collect();
            fitting.sort_by_key(|copied| copied.place);
            let Some(copied) = fitting.first().copied().cloned() else {
                panic!(
                    "queue '{name}' holds {} {:?}, which was settled, or never there",
                    super::delivery::short(&found.body),
                    found.props
                );
            };
            self.present.insert(copied.serial);
            matched.push(copied);
        }
        for pair in matched.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let lane = |copied: &Copied| copied.message.props.priority.unwrap_or(0);
            let ordered = a.place.batch < b.place.batch
                || (a.place.batch == b.place.batch
                    && (a.place.source != b.place.source || a.place.n <= b.place.n));
            assert!(lane(a) != lane(b) || ordered, "queue '{name}' is out of order: {pair:?}");
        }
        matched
    }

    /// All queues were looked at: is anything missing, or there by half?
    pub fn check_all(&self, looked_at: &BTreeSet<String>) {
        let mut groups: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
        let mut moved: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
        for (name, ids) in &self.names {
            let only = ids.len() == 1 && looked_at.contains(name);
            for (copied, alive) in ids.iter().filter_map(|id| self.copies.get(id)).flatten() {
                let present = self.present.contains(&copied.serial);
                let must = *alive && copied.durable && copied.born < self.written;
                assert!(
                    !must || present || !only,
                    "queue '{name}' lost {} ({copied:?})",
                    super::delivery::short(&copied.message.body)
                );
                if only && *alive && copied.durable {
                    let (there, all) = groups.entry(copied.group).or_default();
                    *there += usize::from(present);
                    *all += 1;
                    if let Some(old) = copied.moved_from {
                        moved.entry(old).or_default().push(present);
                    }
                }
            }
        }
        for (group, (there, all)) in groups {
            assert!(there == 0 || there == all, "{there} of {all} of group {group}");
        }
        self.check_moves(&moved);
        for (copied, _) in self.copies.values().flatten() {
            let present = self.present.contains(&copied.serial);
            assert!(!present || copied.logged, "a transient message survived: {copied:?}");
        }
    }

    /// A dead-lettered message is in its old place or in its new ones.
    fn check_moves(&self, moved: &BTreeMap<u64, Vec<bool>>) {
        for (old, new) in moved {
            let all = self.copies.values().flatten();
            let Some((copied, _)) = all.clone().find(|(copied, _)| copied.serial == *old) else {
                continue;
            };
            let known = self.names.values().any(|ids| {
                ids.iter().any(|id| {
                    let copies = self.copies.get(id).into_iter().flatten();
                    copies.clone().any(|(copied, _)| copied.serial == *old)
                })
            });
            if !known || !copied.durable {
                continue;
            }
            let old_there = self.present.contains(old);
            let new_there = new.iter().any(|present| *present);
            assert!(!(old_there && new_there), "a moved message is there twice: {copied:?}");
            let was_written = copied.born < self.written;
            assert!(
                !was_written || old_there || new_there,
                "a message was lost while it moved: {copied:?}"
            );
        }
    }
}
