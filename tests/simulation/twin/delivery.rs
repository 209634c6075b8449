//! Was it legal to deliver this message to that consumer now? Were confirms neither early nor
//! lost?

use leveret::amqp::Method;
use leveret::amqp::method::basic;

use super::{At, Channel, ConnId, ConsumerId, Copied, Held, Mode, QueueId, Tag, Twin};
use crate::values::{Props, Received, Val};

impl Twin {
    /// How many deliveries a consumer may get now; `None`: any number.
    pub fn credit(&self, id: ConsumerId) -> Option<u32> {
        let consumer = &self.consumers[&id];
        let connection = &self.connections[&consumer.at.conn];
        if connection.full {
            return Some(0);
        }
        let channel = &connection.channels[&consumer.at.channel];
        let left = |limit: u32, used: u32| (limit > 0).then(|| limit.saturating_sub(used));
        let shared = left(channel.shared_prefetch, channel.shared_unacked);
        if consumer.no_ack {
            return shared.filter(|left| *left == 0);
        }
        let own = left(consumer.prefetch, consumer.unacked);
        own.into_iter().chain(shared).min()
    }

    /// The consumers that a queue may deliver to now, whatever their priorities.
    pub fn eligible(&self, queue: QueueId) -> Vec<ConsumerId> {
        let found = &self.queues[&queue];
        let is_in_line = |id: &ConsumerId| !found.spec.single_active || found.active == Some(*id);
        let line = found.consumers.iter().copied().filter(is_in_line);
        line.filter(|&id| self.credit(id) != Some(0) && self.may_read(id)).collect()
    }

    pub fn consumers_take_all(&self, queue: QueueId, more: usize) -> bool {
        let Some(found) = self.queues.get(&queue) else {
            return false;
        };
        let wanted = (found.ready.len() + more) as u64;
        let mut credit = 0;
        for id in self.eligible(queue) {
            match self.credit(id) {
                None => return true,
                Some(more) => credit += u64::from(more),
            }
        }
        credit > 0 && credit >= wanted
    }

    /// The broker gave a message to a consumer without storing it.
    pub fn passed(&mut self, at: At) {
        let received = self.connection(at.conn).received.front();
        let Some(Method::BasicDeliver(deliver)) = received.map(Received::method) else {
            panic!("{at:?}: basic.deliver should have come, not {received:?}");
        };
        let tag = String::from_utf8_lossy(deliver.consumer_tag).into_owned();
        let Some(Tag::Consumer(id)) = self.channel(at).tags.get(&tag).copied() else {
            panic!("{at:?} has no consumer '{tag}'");
        };
        let (queue, no_ack) = (self.consumers[&id].queue, self.consumers[&id].no_ack);
        assert!(no_ack, "it would have to be kept until it is acked");
        self.count("passed");
        self.delivered(queue, at, &tag);
    }

    /// The broker delivered from this queue to the consumer with this tag.
    pub fn delivered(&mut self, queue: QueueId, at: At, tag: &str) {
        let Some(Tag::Consumer(id)) = self.channel(at).tags.get(tag).copied() else {
            panic!("{at:?} has no consumer '{tag}'");
        };
        assert_eq!(self.consumers[&id].queue, queue, "of another queue");
        self.check_turn(queue, id);
        self.expire_front(queue);
        let received = self.next_received(at, "basic.deliver");
        let Method::BasicDeliver(deliver) = received.method() else {
            panic!("basic.deliver expected, got {received:?}");
        };
        let mut copied = match self.queues[&queue].stream {
            Some(_) => self.take_from_stream(id, &received),
            None => self.take_candidate(queue, &received, 1),
        };
        self.count("delivered");
        if self.queues[&queue].replies {
            self.count("reply");
        }
        if copied.deliveries > 0 {
            self.count("redelivered");
        }
        let message = &copied.message;
        let no_ack = self.consumers[&id].no_ack;
        let due_ms = self.due_ms(queue);
        let channel = self.channel(at);
        channel.last_tag += 1;
        let delivery_tag = channel.last_tag;
        let expected = basic::Deliver {
            consumer_tag: tag.as_bytes(),
            delivery_tag,
            redelivered: copied.deliveries > 0,
            exchange: message.exchange.as_bytes(),
            routing_key: message.key.as_bytes(),
        };
        assert_eq!(format!("{deliver:?}"), format!("{expected:?}"));
        if no_ack {
            self.free_name(queue, &copied);
            return self.settled.push((queue, copied, self.stamp));
        }
        copied.deliveries += 1;
        channel.shared_unacked += 1;
        let consumer = Some(id);
        let held = Held { copied, queue, consumer, due_ms };
        channel.unacked.insert(delivery_tag, held);
        self.consumers.get_mut(&id).unwrap().unacked += 1;
        self.queues.get_mut(&queue).unwrap().unacked += 1;
    }

    /// It had credit, nobody of a higher priority had, and nobody of its own waits too long.
    fn check_turn(&mut self, queue: QueueId, id: ConsumerId) {
        let eligible = self.eligible(queue);
        assert!(eligible.contains(&id), "this consumer may take nothing");
        let priority = self.consumers[&id].priority;
        let most = self.queues[&queue].consumers.len() * 2;
        for other in self.queues[&queue].consumers.clone() {
            let consumer = self.consumers.get_mut(&other).unwrap();
            if other == id || !eligible.contains(&other) {
                consumer.passed_over = 0;
                continue;
            }
            let theirs = consumer.priority;
            assert!(theirs <= priority, "'{}' comes before it", consumer.tag);
            if theirs == priority {
                consumer.passed_over += 1;
            }
            let passed_over = consumer.passed_over;
            assert!(passed_over <= most, "'{}' is left out", consumer.tag);
        }
    }

    /// Takes the message that was delivered out of those that may be next. Queues with a
    /// delivery limit tell of so many deliveries and more.
    pub fn take_candidate(
        &mut self,
        queue: QueueId,
        received: &Received,
        counted_from: u32,
    ) -> Copied {
        let found = self.queues.get_mut(&queue).unwrap();
        let (props, body) = received.content.as_ref().expect("it has a content");
        let limited = found.spec.delivery_limit.is_some();
        let counted = limited.then_some(counted_from);
        let candidates = found.candidates();
        let is_it = |&&index: &&usize| {
            let copied = &found.ready[index];
            *copied.message.body == *body && forgotten(copied, counted, props).is_some()
        };
        let Some(&index) = candidates.iter().find(is_it) else {
            let expected: Vec<_> = candidates
                .iter()
                .map(|&index| {
                    let copied = &found.ready[index];
                    (props_of(copied, counted), short(&copied.message.body))
                })
                .collect();
            panic!(
                "queue '{}' delivered {props:?} {}, next would have been one of {expected:?}",
                found.name,
                short(body)
            );
        };
        let mut copied = found.ready.remove(index);
        if limited {
            copied.deliveries -= forgotten(&copied, counted, props).unwrap();
            copied.unsure = 0;
        }
        copied
    }

    /// All queues were asked for deliveries until there were none: was none forgotten?
    pub fn nothing_to_deliver(&self) {
        self.queues.keys().for_each(|&id| self.nothing_to_deliver_from(id));
    }

    /// Nothing overtakes a consumer that waits: whoever looks at a queue or changes it finds it
    /// served. The readers of a stream take nothing from each other, and what direct replies go
    /// through is no queue.
    pub fn is_served(&self, name: &str) {
        if let Some(id) = self.queue_named(name)
            && self.queues[&id].stream.is_none()
            && !self.queues[&id].replies
        {
            self.nothing_to_deliver_from(id);
        }
    }

    fn nothing_to_deliver_from(&self, id: QueueId) {
        let queue = &self.queues[&id];
        let waits = queue.ready.iter().any(|copied| {
            let deadline = queue.deadline(&copied.message);
            deadline.is_none_or(|at| at > self.now_ms)
        });
        let eligible = self.eligible(id);
        let reader = eligible.iter().find(|&&id| self.has_to_read(id));
        assert!(reader.is_none(), "a reader of '{}' waits", queue.name);
        assert!(
            !waits || eligible.is_empty(),
            "queue '{}' has {} messages and {} could take one",
            queue.name,
            queue.ready.len(),
            eligible.len()
        );
    }

    /// The session was told to release what is durable.
    pub fn confirmed(&mut self, conn: ConnId) {
        while let Some(received) = self.connection(conn).received.pop_front() {
            let Method::BasicAck(ack) = received.method() else {
                panic!("a confirm expected, got {received:?}");
            };
            self.confirm(At { conn, channel: received.channel }, ack);
        }
    }

    /// A channel is about to close: what is due is confirmed before.
    pub fn confirmed_before_close(&mut self, at: At) {
        let is_ack = |received: &Received| {
            received.channel == at.channel && matches!(received.method(), Method::BasicAck(_))
        };
        while self.connection(at.conn).received.front().is_some_and(is_ack) {
            let received = self.connection(at.conn).received.pop_front().unwrap();
            let Method::BasicAck(ack) = received.method() else { unreachable!() };
            self.count("confirmed before a close");
            self.confirm(at, ack);
        }
        let overdue = self.overdue(&self.connections[&at.conn].channels[&at.channel]);
        assert!(overdue.is_none(), "{at:?} closes and {overdue:?} was not confirmed");
    }

    fn confirm(&mut self, at: At, ack: basic::Ack) {
        let durable = self.durable;
        let Mode::Confirm { waiting, .. } = &mut self.channel(at).mode else {
            panic!("a confirm on a channel that did not ask for them");
        };
        let first = if ack.multiple { 0 } else { ack.delivery_tag };
        let covered: Vec<u64> =
            waiting.range(first..=ack.delivery_tag).map(|(&sequence, _)| sequence).collect();
        assert_eq!(covered.last(), Some(&ack.delivery_tag), "{ack:?}");
        for sequence in covered {
            let needs = waiting.remove(&sequence).and_then(|(needs, _)| needs);
            let early = needs.is_some_and(|stamp| stamp >= durable);
            assert!(!early, "publish {sequence} is confirmed before it is on disk");
        }
        self.count("confirmed");
    }

    /// The first publish that should have been confirmed and was not.
    fn overdue(&self, channel: &Channel) -> Option<u64> {
        let Mode::Confirm { waiting, .. } = &channel.mode else {
            return None;
        };
        let (sequence, (_, until)) = waiting.iter().next()?;
        until.is_none_or(|stamp| stamp < self.durable).then_some(*sequence)
    }

    /// Whatever may be confirmed was.
    pub fn no_confirm_is_missing(&self) {
        for (conn, connection) in &self.connections {
            for (number, channel) in &connection.channels {
                let overdue = self.overdue(channel);
                assert!(
                    overdue.is_none(),
                    "connection {conn}, channel {number}: {overdue:?} was not confirmed"
                );
            }
        }
    }

    /// A consumer's client was told (or not, if it did not ask for it) that its queue is gone.
    pub fn cancelled(&mut self, at: At, tag: &str) {
        let is_it = |(other, name, _): &(At, String, bool)| *other == at && name == tag;
        let index = self.cancels.iter().position(is_it);
        let index = index.unwrap_or_else(|| panic!("'{tag}' on {at:?} did not end"));
        let (_, _, told) = self.cancels.remove(index);
        let open = self.connections.get(&at.conn);
        let channel = open.and_then(|connection| connection.channels.get(&at.channel));
        if channel.is_none_or(|channel| channel.closing) || !told {
            return;
        }
        let ended = self.channel(at).tags.remove(tag);
        assert_eq!(ended, Some(Tag::Ended), "'{tag}' is somebody else by now");
        if self.connections[&at.conn].wants_cancels {
            self.count("consumer cancelled");
            let awaited = self.connection(at.conn).awaited.as_mut();
            if let Some(awaited) = awaited.filter(|awaited| awaited.channel == at.channel) {
                return awaited.cancelled.push(tag.into());
            }
            let cancel = basic::Cancel { consumer_tag: tag.as_bytes(), nowait: true };
            self.expect(at, &Method::BasicCancel(cancel));
        }
    }
}

/// How many deliveries the broker forgot, going by what it tells; `None`: it tells nonsense.
fn forgotten(copied: &Copied, counted_from: Option<u32>, props: &Props) -> Option<u32> {
    (0..=copied.unsure).find(|less| {
        let deliveries = copied.deliveries - less;
        let copied = Copied { deliveries, ..copied.clone() };
        props_of(&copied, counted_from).same_as(props)
    })
}

/// What a message looks like when it is delivered.
fn props_of(copied: &Copied, counted_from: Option<u32>) -> Props {
    let mut props = copied.message.props.clone();
    if counted_from.is_some_and(|least| copied.deliveries >= least) {
        let count = Val::I64(i64::from(copied.deliveries));
        props.set_header("x-delivery-count", count);
    }
    props
}

pub fn short(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(24)]).into_owned()
}
