//! How do messages get into queues, and how do they leave them without a consumer?

use std::cmp::Reverse;
use std::rc::Rc;

use super::deduplication::name_in;
use super::routing::keys_of;
use super::{Copied, Message, Place, Queue, QueueId, Twin};
use crate::ops::{Overflow, Publish};
use crate::values::{Props, Val};

/// A message that left its queue and is to be dead-lettered.
#[derive(Debug)]
pub struct Dying {
    pub queue: QueueId,
    pub queue_name: String,
    pub exchange: String,
    pub key: Option<String>,
    pub copied: Copied,
    pub reason: &'static str,
    pub source: u64,
}

impl Queue {
    pub fn priority_of(&self, copied: &Copied) -> u8 {
        let asked = copied.message.props.priority.unwrap_or(0);
        self.spec.max_priority.map_or(0, |most| asked.min(most))
    }

    pub fn insert(&mut self, copied: Copied) {
        let rank = |queue: &Self, copied: &Copied| {
            (Reverse(queue.priority_of(copied)), copied.place, copied.serial)
        };
        let own = rank(self, &copied);
        let index = self.ready.partition_point(|other| rank(self, other) < own);
        self.ready.insert(index, copied);
    }

    pub fn deadline(&self, message: &Message) -> Option<u64> {
        let queues = self.spec.ttl_ms.map(|ttl| message.published_ms + ttl);
        queues.into_iter().chain(message.own_deadline).min()
    }

    pub fn bytes(&self) -> u64 {
        let bodies = self.ready.iter().map(|copied| copied.message.body.len());
        bodies.sum::<usize>() as u64
    }

    pub fn too_long(&self, messages: u64, bytes: u64) -> bool {
        let length = self.ready.len() as u64 + messages;
        let most = self.spec.max_length;
        let most_bytes = self.spec.max_bytes;
        most.is_some_and(|most| length > most)
            || most_bytes.is_some_and(|most| self.bytes() + bytes > most)
    }

    /// The indexes of the messages that may come next: the first, or where several have no order
    /// among them, those.
    pub fn candidates(&self) -> Vec<usize> {
        let Some(first) = self.ready.first() else {
            return Vec::new();
        };
        self.first_of(self.priority_of(first))
    }

    fn first_of(&self, priority: u8) -> Vec<usize> {
        let mut all: Vec<usize> = Vec::new();
        for (index, copied) in self.ready.iter().enumerate() {
            if self.priority_of(copied) != priority {
                continue;
            }
            let before = |&other: &usize| {
                let other = self.ready[other].place;
                other.batch < copied.place.batch || other.source == copied.place.source
            };
            if !all.iter().any(before) {
                all.push(index);
            }
        }
        all
    }
}

impl Twin {
    /// Puts a message into queues; whether one of them refused it.
    pub fn enqueue(&mut self, publish: &Publish, queues: &[QueueId]) -> bool {
        let bytes = publish.body.len() as u64;
        let is_refused = |twin: &Twin, queue: &QueueId| twin.refuses(*queue, bytes);
        let (refusing, accepting): (Vec<_>, Vec<_>) =
            queues.iter().copied().partition(|queue| is_refused(self, queue));
        let taking = self.without_repeated(&accepting, &publish.props);
        for &queue in &refusing {
            if let Some((letter, queues)) = self.letter_of_refused(queue, publish, &taking) {
                let persistent = letter.props.delivery_mode == Some(2);
                let place = self.own_place();
                self.group = self.fresh();
                self.add(&letter, &queues, place, persistent, None);
            }
        }
        let message = self.message_of(publish);
        let persistent = publish.props.delivery_mode == Some(2);
        let place = self.own_place();
        self.group = self.fresh();
        self.add(&message, &taking, place, persistent, None);
        !refusing.is_empty()
    }

    /// Those of the queues that would take a message: they are not full and have not got it.
    pub fn taking(&self, queues: &[QueueId], publish: &Publish) -> Vec<QueueId> {
        let bytes = publish.body.len() as u64;
        let takes = |queue: &&QueueId| {
            !self.refuses(**queue, bytes) && !self.holds_name(**queue, &publish.props)
        };
        queues.iter().filter(takes).copied().collect()
    }

    pub fn message_of(&self, publish: &Publish) -> Rc<Message> {
        let mut props = publish.props.clone();
        props.remove_header("BCC");
        let ttl = props.expiration.as_ref().map(|text| text.parse::<u64>());
        Rc::new(Message {
            exchange: publish.exchange.clone(),
            key: publish.key.clone(),
            blind: keys_of(&publish.key, &publish.props, &["BCC"]).split_off(1),
            props,
            body: Rc::clone(&publish.body),
            published_ms: self.now_ms,
            own_deadline: ttl.map(|ttl| self.now_ms + ttl.unwrap()),
        })
    }

    /// A place behind everything, with an order to all else.
    pub fn own_place(&mut self) -> Place {
        let batch = self.fresh();
        Place { batch, source: 0, n: 0 }
    }

    pub fn add(
        &mut self,
        message: &Rc<Message>,
        queues: &[QueueId],
        place: Place,
        durable: bool,
        moved_from: Option<u64>,
    ) {
        let logged = self.is_logged(queues, durable) || self.logging;
        for &queue in queues {
            let serial = self.fresh();
            let (born, group) = (self.stamp, self.group);
            let Some(found) = self.queues.get_mut(&queue) else {
                continue;
            };
            let copied = Copied {
                message: Rc::clone(message),
                place,
                deliveries: 0,
                unsure: 0,
                born,
                // A stream stores everything.
                durable: durable || found.stream.is_some(),
                logged,
                group,
                moved_from,
                serial,
            };
            if found.spec.deduplicates
                && let Some(name) = super::deduplication::name_in(&message.props)
            {
                found.names.insert(name.clone(), serial);
            }
            if let Some(stream) = &mut found.stream {
                stream.push(copied);
                self.ambiguous |= self.burying_unordered && found.spec.max_bytes.is_some();
                continue;
            }
            found.insert(copied);
            self.expire_at_once(queue, serial);
            self.limit(queue);
        }
    }

    /// Whether a message to these queues belongs on disk.
    pub fn is_logged(&self, queues: &[QueueId], persistent: bool) -> bool {
        let wants = |queue: &QueueId| {
            let found = self.queues.get(queue);
            found.is_some_and(|q| q.spec.durable && (persistent || q.stream.is_some()))
        };
        queues.iter().any(wants)
    }

    /// Without any time to live it is delivered at once or gone.
    fn expire_at_once(&mut self, queue: QueueId, serial: u64) {
        if self.consumers_take_all(queue, 0) {
            return;
        }
        let now = self.now_ms;
        let Some(found) = self.queues.get_mut(&queue) else {
            return;
        };
        let index = found.ready.iter().position(|c| c.serial == serial).unwrap();
        let deadline = found.deadline(&found.ready[index].message);
        if deadline.is_some_and(|at| at <= now) {
            let copied = found.ready.remove(index);
            self.ambiguous |= self.burying_unordered && !found.consumers.is_empty();
            self.die(queue, copied, "expired");
        }
    }

    /// Whether a queue that refuses publishes is full, whoever waits for them.
    pub fn refuses(&self, queue: QueueId, bytes: u64) -> bool {
        let Some(found) = self.queues.get(&queue) else {
            return false;
        };
        found.spec.overflow != Overflow::DropHead && found.too_long(1, bytes)
    }

    /// Length limits: what is too much goes, at once or when those who could have taken it did
    /// not. Queues that refuse what is too much never drop anything.
    pub fn limit(&mut self, queue: QueueId) {
        let takes_all = self.consumers_take_all(queue, 0);
        let Some(found) = self.queues.get_mut(&queue) else {
            return;
        };
        if found.overfull || !found.too_long(0, 0) || found.spec.overflow != Overflow::DropHead {
            return;
        }
        if takes_all {
            found.overfull = true;
            return self.overfull.push(queue);
        }
        self.drop_heads(queue);
    }

    fn drop_heads(&mut self, queue: QueueId) {
        while let Some(found) = self.queues.get_mut(&queue)
            && found.too_long(0, 0)
            && let Some(last) = found.ready.last()
        {
            let lowest = found.priority_of(last);
            let candidates = found.first_of(lowest);
            let by_bytes = self.burying_unordered && found.spec.max_bytes.is_some();
            self.ambiguous |= candidates.len() > 1 || by_bytes;
            let copied = found.ready.remove(candidates[0]);
            self.die(queue, copied, "maxlen");
        }
    }

    /// The turn's deliveries are over.
    pub fn enforce_limits(&mut self) {
        let now = self.now_ms;
        for queue in std::mem::take(&mut self.overfull) {
            if let Some(found) = self.queues.get_mut(&queue) {
                found.overfull = false;
                // Somebody may have tried to take what is past its time, or not.
                let late = |c: &Copied| found.deadline(&c.message).is_some_and(|at| at <= now);
                self.ambiguous |= found.spec.dlx.is_some() && found.ready.iter().any(late);
                self.drop_heads(queue);
            }
        }
    }

    /// What has reached its time goes, also from the middle; then queues that nobody uses.
    pub fn expire(&mut self) {
        let now = self.now_ms;
        let all: Vec<QueueId> = self.queues.keys().copied().collect();
        for queue in all {
            while let Some(found) = self.queues.get_mut(&queue) {
                let is_past = |c: &Copied| found.deadline(&c.message).is_some_and(|at| at <= now);
                let Some(index) = found.ready.iter().position(is_past) else {
                    break;
                };
                let copied = found.ready.remove(index);
                self.die(queue, copied, "expired");
            }
            let Some(found) = self.queues.get(&queue) else {
                continue;
            };
            let unused = found.consumers.is_empty()
                && found.spec.expires_ms.is_some_and(|ms| found.used_at_ms + ms <= now);
            if unused {
                self.remove_queue(queue);
            }
        }
    }

    /// Consumers tried to take all that they could: what is past its time at the front is gone.
    pub fn expire_for_consumers(&mut self) {
        let all: Vec<QueueId> = self.queues.keys().copied().collect();
        for queue in all {
            self.expire_for_consumers_of(queue);
        }
    }

    /// The same of one queue.
    pub fn expire_for_consumers_of(&mut self, queue: QueueId) {
        if !self.eligible(queue).is_empty() {
            self.expire_front(queue);
        }
    }

    /// Takes the expired messages at the front of a queue out of it.
    pub fn expire_front(&mut self, queue: QueueId) {
        let now = self.now_ms;
        while let Some(found) = self.queues.get_mut(&queue) {
            let is_past = |&index: &usize| {
                let message = &found.ready[index].message;
                let this_instant = message.published_ms == now;
                let deadline = found.deadline(message);
                !this_instant && deadline.is_some_and(|at| at <= now)
            };
            let Some(index) = found.candidates().into_iter().find(is_past) else {
                return;
            };
            let copied = found.ready.remove(index);
            self.die(queue, copied, "expired");
        }
    }

    /// A message left its queue: it is dead-lettered when its time in the turn comes.
    pub fn die(&mut self, queue: QueueId, copied: Copied, reason: &'static str) {
        self.count(reason);
        self.free_name(queue, &copied);
        let found = self.queues.get(&queue);
        let Some((found, exchange)) = found.and_then(|q| Some((q, q.spec.dlx.clone()?))) else {
            return self.settled.push((queue, copied, self.stamp));
        };
        let own_time = copied.message.own_deadline.is_some();
        let priority = u64::from(found.priority_of(&copied));
        let source = match reason {
            // Those with a time of their own go when it comes, whoever stands before them.
            "expired" if own_time => (1 << 60) + copied.serial,
            // Where it stood among others was the broker's choice, too.
            "expired" if copied.place.source != 0 => (1 << 60) + copied.serial,
            "expired" => 1 + queue * 1024 + priority * 4,
            _ => 2 + queue * 1024,
        };
        self.limbo.push_back(Dying {
            queue,
            queue_name: found.name.clone(),
            exchange,
            key: found.spec.dlx_key.clone(),
            copied,
            reason,
            source,
        });
    }

    /// Dead messages move. When time was a cause, the order among them is the broker's.
    pub fn bury(&mut self) {
        let by_policy = std::mem::take(&mut self.policies_killed);
        let by_time = by_policy || self.limbo.iter().any(|dying| dying.reason == "expired");
        let unordered = by_time && self.limbo.len() > 1;
        self.burying_unordered = unordered;
        let batch = self.fresh();
        while let Some(dying) = self.limbo.pop_front() {
            let n = self.fresh();
            let place = if unordered {
                let source = dying.source;
                Place { batch, source, n }
            } else {
                self.own_place()
            };
            self.bury_one(dying, place);
        }
        self.burying_unordered = false;
    }

    fn bury_one(&mut self, dying: Dying, place: Place) {
        let old = &dying.copied.message;
        let death = Death {
            queue: &dying.queue_name,
            reason: dying.reason,
            exchange: &old.exchange,
            key: &old.key,
            time_s: self.now_ms / 1000,
        };
        let mut props = death.props_after(&old.props);
        let keys = match &dying.key {
            Some(key) => vec![key.clone()],
            None => old.keys(&props),
        };
        let blind = match &dying.key {
            Some(_) => Vec::new(),
            None => old.blind.clone(),
        };
        if dying.key.is_some() {
            props.remove_header("CC");
        }
        let message = Message {
            exchange: dying.exchange.clone(),
            key: dying.key.clone().unwrap_or_else(|| old.key.clone()),
            blind,
            props,
            body: Rc::clone(&old.body),
            published_ms: self.now_ms,
            own_deadline: None,
        };
        let queues = self.dead_letter_targets(&message, &keys, dying.reason);
        let persistent = message.props.delivery_mode == Some(2);
        let serial = dying.copied.serial;
        let (queue, copied) = (dying.queue, dying.copied);
        self.settled.push((queue, copied, self.stamp));
        self.group = self.fresh();
        if !queues.is_empty() {
            self.count("dead-lettered");
        }
        self.add(&Rc::new(message), &queues, place, persistent, Some(serial));
    }

    /// Whether a queue that takes this message takes a copy of it, too.
    fn takes_both(&self, queue: QueueId, publish: &Publish) -> bool {
        let (found, bytes) = (&self.queues[&queue], publish.body.len() as u64);
        let is_repeated = found.spec.deduplicates && name_in(&publish.props).is_some();
        let is_full = found.spec.overflow != Overflow::DropHead && found.too_long(2, 2 * bytes);
        !is_repeated && !is_full
    }

    fn dead_letter_targets(
        &mut self,
        message: &Message,
        keys: &[String],
        reason: &str,
    ) -> Vec<QueueId> {
        let mut queues = self.route(&message.exchange, keys, &message.props);
        let bytes = message.body.len() as u64;
        queues.retain(|queue| !is_cycle(&message.props, reason, &self.queues[queue].name));
        let reached = queues.len();
        queues.retain(|queue| !self.refuses(*queue, bytes));
        self.ambiguous |= self.burying_unordered && queues.len() < reached;
        self.without_repeated(&queues, &message.props)
    }

    /// reject-publish-dlx: the refused message is dead-lettered, to queues that have room and use
    /// for it beside the message itself, which `taking` take.
    pub fn letter_of_refused(
        &mut self,
        queue: QueueId,
        publish: &Publish,
        taking: &[QueueId],
    ) -> Option<(Rc<Message>, Vec<QueueId>)> {
        let found = &self.queues[&queue];
        if found.spec.overflow != Overflow::RejectDlx {
            return None;
        }
        let (exchange, name) = (found.spec.dlx.clone()?, found.name.clone());
        let dlx_key = found.spec.dlx_key.clone();
        let message = self.message_of(publish);
        let death = Death {
            queue: &name,
            reason: "maxlen",
            exchange: &message.exchange,
            key: &message.key,
            time_s: self.now_ms / 1000,
        };
        let mut props = death.props_after(&message.props);
        let keys = match &dlx_key {
            Some(key) => vec![key.clone()],
            None => message.keys(&props),
        };
        let blind = match &dlx_key {
            Some(_) => Vec::new(),
            None => message.blind.clone(),
        };
        if dlx_key.is_some() {
            props.remove_header("CC");
        }
        let moved = Message {
            exchange,
            blind,
            key: dlx_key.unwrap_or_else(|| message.key.clone()),
            props,
            own_deadline: None,
            ..(*message).clone()
        };
        let mut queues = self.dead_letter_targets(&moved, &keys, "maxlen");
        queues.retain(|queue| !taking.contains(queue) || self.takes_both(*queue, publish));
        Some((Rc::new(moved), queues))
    }
}

impl Message {
    /// What it is routed by when it dies with these properties.
    fn keys(&self, props: &Props) -> Vec<String> {
        let mut keys = keys_of(&self.key, props, &["CC"]);
        keys.extend_from_slice(&self.blind);
        keys
    }
}

struct Death<'a> {
    queue: &'a str,
    reason: &'a str,
    exchange: &'a str,
    key: &'a str,
    time_s: u64,
}

impl Death<'_> {
    /// The properties of a message that died so: its deaths newest first, its expiration gone.
    fn props_after(&self, before: &Props) -> Props {
        let text = |text: &str| Val::Text(text.into());
        let mut deaths = match before.header("x-death") {
            Some(Val::List(deaths)) => deaths.clone(),
            _ => Vec::new(),
        };
        let same = |death: &Val| {
            field(death, "queue") == Some(&text(self.queue))
                && field(death, "reason") == Some(&text(self.reason))
        };
        let newest = match deaths.iter().position(same) {
            Some(index) => {
                let Val::Map(mut fields) = deaths.remove(index) else {
                    panic!("a death is a table")
                };
                let count = fields.iter_mut().find(|(name, _)| name == "count");
                let Some((_, Val::I64(count))) = count else { panic!("a death has a count") };
                *count += 1;
                Val::Map(fields)
            }
            None => self.first_time(before),
        };
        deaths.insert(0, newest);
        let mut props = before.clone();
        props.expiration = None;
        props.set_header("x-death", Val::List(deaths));
        let parts = [("reason", self.reason), ("queue", self.queue), ("exchange", self.exchange)];
        for (part, value) in parts {
            if before.header("x-first-death-reason").is_none() {
                props.set_header(&format!("x-first-death-{part}"), text(value));
            }
            props.set_header(&format!("x-last-death-{part}"), text(value));
        }
        props
    }

    fn first_time(&self, before: &Props) -> Val {
        let text = |text: &str| Val::Text(text.into());
        let mut fields = Vec::new();
        if let Some(expiration) = &before.expiration {
            fields.push(("original-expiration".into(), text(expiration)));
        }
        let keys = keys_of(self.key, before, &["CC"]);
        let keys = keys.iter().map(|key| text(key)).collect();
        fields.push(("count".into(), Val::I64(1)));
        fields.push(("reason".into(), text(self.reason)));
        fields.push(("queue".into(), text(self.queue)));
        fields.push(("time".into(), Val::Time(self.time_s)));
        fields.push(("exchange".into(), text(self.exchange)));
        fields.push(("routing-keys".into(), Val::List(keys)));
        Val::Map(fields)
    }
}

fn field<'a>(table: &'a Val, name: &str) -> Option<&'a Val> {
    let Val::Map(fields) = table else {
        return None;
    };
    let found = fields.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value)
}

/// It was in that queue before and nobody rejected it since.
fn is_cycle(props: &Props, reason: &str, queue: &str) -> bool {
    let Some(Val::List(deaths)) = props.header("x-death") else {
        return false;
    };
    let rejected = Val::Text("rejected".into());
    let here = Val::Text(queue.into());
    let Some(last) = deaths.iter().position(|d| field(d, "queue") == Some(&here)) else {
        return false;
    };
    let since = &deaths[..=last];
    reason != "rejected" && !since.iter().any(|d| field(d, "reason") == Some(&rejected))
}
