//! What does each thing that a client does change, and what has the broker to answer?

use leveret::amqp::Method;
use leveret::amqp::method::{basic, channel, confirm, connection, tx};

use super::deduplication::Sighting;
use super::transactions::Pending;
use super::{Access, At, Channel, Consumer, Held, Mode, REPLY_TO, Settlement, Tag, Twin};
use crate::ops::{Consume, Op, Publish};
use crate::values::Received;

impl Twin {
    /// A session took this operation; `deferring`: it holds the reply back.
    pub fn apply(&mut self, at: At, op: &Op, deferring: bool) {
        self.deferring = deferring;
        if self.connection(at.conn).closed {
            return self.apply_closed(at, op);
        }
        if matches!(op, Op::CloseConnection) {
            self.confirmed_before_end(at.conn);
            self.end_connection(at.conn);
            let channel = 0;
            let at = At { channel, ..at };
            return self.expect(at, &Method::ConnectionCloseOk(connection::CloseOk {}));
        }
        let closing = self.connection(at.conn).channels.get(&at.channel);
        match (closing.map(|channel| channel.closing), op) {
            (None, Op::OpenChannel) => {
                let channels = &mut self.connection(at.conn).channels;
                channels.insert(at.channel, Channel::default());
                self.expect(at, &Method::ChannelOpenOk(channel::OpenOk {}));
            }
            (None, op) => panic!("{op:?} on a channel that is not open"),
            (Some(true), Op::ChannelCloseOk) => {
                self.connection(at.conn).channels.remove(&at.channel);
            }
            (Some(true), Op::CloseChannel) => {
                self.expect(at, &Method::ChannelCloseOk(channel::CloseOk {}));
            }
            (Some(true), _) => {}
            (Some(false), op) => {
                if let Some(op) = self.named(at, op) {
                    self.apply_open(at, &op);
                }
            }
        }
    }

    /// After an end by the broker a close of the client's own is answered, nothing else.
    fn apply_closed(&mut self, at: At, op: &Op) {
        let next = self.connection(at.conn).received.front();
        let answered = next.is_some_and(|r| matches!(r.method(), Method::ConnectionCloseOk(_)));
        if answered && matches!(op, Op::CloseConnection) {
            self.connection(at.conn).received.pop_front();
        }
    }

    fn apply_open(&mut self, at: At, op: &Op) {
        if let Op::Get { queue, .. }
        | Op::Purge { queue }
        | Op::DeleteQueue { queue, .. }
        | Op::DeclareQueue { queue, .. } = op
        {
            self.is_served(queue);
        }
        match op {
            Op::CloseChannel => {
                self.confirmed_before_close(at);
                self.release_channel(at);
                self.connection(at.conn).channels.remove(&at.channel);
                self.expect(at, &Method::ChannelCloseOk(channel::CloseOk {}));
            }
            Op::DeclareQueue { .. }
            | Op::DeleteQueue { .. }
            | Op::Purge { .. }
            | Op::DeclareExchange { .. }
            | Op::DeleteExchange { .. }
            | Op::Bind(_)
            | Op::Unbind(_) => self.apply_topology(at, op),
            Op::Publish(publish) => self.publish(at, publish),
            Op::Consume(consume) => self.consume(at, consume),
            Op::Cancel { tag } => self.cancel(at, tag),
            Op::Get { queue, no_ack } => self.get(at, queue, *no_ack),
            &Op::Qos { count, global } => {
                let channel = self.channel(at);
                let count = u32::from(count);
                if global {
                    channel.shared_prefetch = count;
                } else {
                    // As in RabbitMQ, it lifts the shared limit, too.
                    channel.prefetch = count;
                    channel.shared_prefetch = 0;
                }
                self.expect(at, &Method::BasicQosOk(basic::QosOk {}));
            }
            &Op::Ack { tag, multiple } => {
                self.settle(at, tag, multiple, Settlement::Ack, 80);
            }
            &Op::Nack { tag, multiple, requeue } => {
                self.settle(at, tag, multiple, negative(requeue), 120)
            }
            &Op::Reject { tag, requeue } => self.settle(at, tag, false, negative(requeue), 90),
            Op::Recover => {
                let unacked = std::mem::take(&mut self.channel(at).unacked);
                for held in unacked.into_values() {
                    self.settle_one(at, held, Settlement::Requeue);
                }
                self.expect(at, &Method::BasicRecoverOk(basic::RecoverOk {}));
            }
            Op::ConfirmSelect | Op::TxSelect => self.select(at, op),
            Op::TxCommit => self.commit(at),
            Op::TxRollback => self.rollback(at),
            Op::OpenChannel | Op::ChannelCloseOk | Op::CloseConnection => {
                panic!("clients do not send {op:?} here")
            }
        }
    }

    fn select(&mut self, at: At, op: &Op) {
        let mode = &mut self.channel(at).mode;
        match (matches!(op, Op::TxSelect), &mode) {
            (true, Mode::Confirm { .. }) => self.channel_error(at, &[406], 90, 10),
            (false, Mode::Transaction { .. }) => self.channel_error(at, &[406], 85, 10),
            (true, Mode::Plain | Mode::Transaction { .. }) => {
                if matches!(mode, Mode::Plain) {
                    *mode = Mode::Transaction { publishes: Vec::new(), settled: Vec::new() };
                }
                self.expect(at, &Method::TxSelectOk(tx::SelectOk {}));
            }
            (false, Mode::Plain | Mode::Confirm { .. }) => {
                if matches!(mode, Mode::Plain) {
                    *mode = Mode::Confirm { last: 0, waiting: Default::default() };
                }
                self.expect(at, &Method::ConfirmSelectOk(confirm::SelectOk {}));
            }
        }
    }

    fn publish(&mut self, at: At, publish: &Publish) {
        if !self.allows(at, &[(Access::Write, &publish.exchange)], 60, 40) {
            return;
        }
        if !self.exchanges.contains_key(&publish.exchange) {
            return self.channel_error(at, &[404], 60, 40);
        }
        if !self.allows_keys(at, publish) {
            return;
        }
        let Some(publish) = &self.with_reply_name(at, publish) else {
            return;
        };
        let delay = self.delay_of(publish);
        let (repeated, name) = match self.look_for_name(publish) {
            _ if delay.is_some() => (false, None),
            Sighting::Nameless => (false, None),
            Sighting::Repeated => (true, None),
            Sighting::New(name) => (false, Some(name)),
        };
        let queues = match delay {
            Some(_) => Vec::new(),
            None if repeated => Vec::new(),
            None => self.route_publish(publish),
        };
        if let Mode::Transaction { publishes, .. } = &mut self.channel(at).mode {
            let publish = publish.clone();
            return publishes.push(Pending { publish, queues, delay, name });
        }
        if publish.mandatory && self.is_unroutable(&queues) && delay.is_none() {
            self.expect_return(at, publish);
        }
        let persistent = publish.props.delivery_mode == Some(2);
        let held = persistent && delay.is_some();
        let new = self.taking(&queues, publish);
        let needs = (held || self.is_logged(&new, persistent)).then_some(self.stamp);
        // What is there already is confirmed no sooner than the message that it repeats, which may
        // be on disk since long ago.
        let repeated = repeated || queues.iter().any(|q| self.holds_name(*q, &publish.props));
        let until = needs.or((persistent && repeated).then_some(self.stamp));
        let refused = match delay {
            Some(delay) => {
                self.hold_back(publish, delay);
                false
            }
            None => self.enqueue(publish, &queues),
        };
        if let Some(name) = name.filter(|_| !refused) {
            self.remember(name);
        }
        let Mode::Confirm { last, waiting } = &mut self.channel(at).mode else {
            return;
        };
        *last += 1;
        let delivery_tag = *last;
        if !refused {
            waiting.insert(delivery_tag, (needs, until));
            return;
        }
        let nack = basic::Nack { delivery_tag, multiple: false, requeue: true };
        self.count("refused");
        self.expect(at, &Method::BasicNack(nack));
    }

    /// The message comes back because no queue gets it.
    pub fn expect_return(&mut self, at: At, publish: &Publish) {
        let received = self.next_received(at, "basic.return");
        let Method::BasicReturn(returned) = received.method() else {
            panic!("basic.return expected, got {received:?}");
        };
        self.count("returned");
        assert_eq!(returned.reply_code, 312);
        assert_eq!(returned.exchange, publish.exchange.as_bytes());
        assert_eq!(returned.routing_key, publish.key.as_bytes());
        let (props, body) = received.content.as_ref().expect("with its content");
        let mut expected = publish.props.clone();
        expected.remove_header("BCC");
        assert!(props.same_as(&expected), "{props:?} came back");
        assert_eq!(**body, **publish.body);
    }

    fn consume(&mut self, at: At, consume: &Consume) {
        let known = self.channel(at).tags.get(&consume.tag).copied();
        // What is due is confirmed before.
        let is_ack = |r: &&Received| matches!(r.method(), Method::BasicAck(_));
        let next = self.connection(at.conn).received.iter().find(|r| !is_ack(r));
        let refused = next.is_some_and(|r| matches!(r.method(), Method::ConnectionClose(_)));
        match known {
            // Who asks for replies again hears about that, whatever the tag.
            Some(Tag::Consumer(id)) if consume.queue == REPLY_TO && self.gets_replies(id) => {}
            Some(Tag::Consumer(_)) => return self.connection_error(at.conn, 530),
            // The client has not been told yet that the tag is free.
            Some(Tag::Ended) if refused => return self.connection_error(at.conn, 530),
            Some(Tag::Ended) => self.forget_cancel(at, &consume.tag),
            None => {}
        }
        if consume.queue == REPLY_TO {
            return self.consume_replies(at, consume);
        }
        if !self.allows(at, &[(Access::Read, &consume.queue)], 60, 20) {
            return;
        }
        let Some(queue) = self.usable_queue(at, &consume.queue, 60, 20) else {
            return;
        };
        if self.refuses_reader(at, queue, consume) {
            return;
        }
        let cursor = self.cursor_of(queue, consume);
        let found = &self.queues[&queue];
        let mut others = found.consumers.iter();
        let taken = others.any(|other| self.consumers[other].exclusive);
        let alone = !found.spec.single_active && found.consumers.is_empty();
        // No reader of a stream is alone.
        let exclusive = consume.exclusive && cursor.is_none();
        if taken || (exclusive && !alone) {
            return self.channel_error(at, &[403], 60, 20);
        }
        let id = self.fresh();
        let channel = self.channel(at);
        let prefetch = channel.prefetch;
        let tag = consume.tag.clone();
        channel.tags.insert(tag.clone(), Tag::Consumer(id));
        let consumer = Consumer {
            at,
            tag,
            queue,
            no_ack: consume.no_ack,
            exclusive,
            priority: consume.priority,
            prefetch,
            unacked: 0,
            passed_over: 0,
            cursor,
        };
        self.consumers.insert(id, consumer);
        let found = self.queues.get_mut(&queue).unwrap();
        found.consumers.push(id);
        found.active = found.active.or(Some(id));
        let consumer_tag = consume.tag.as_bytes();
        self.expect(at, &Method::BasicConsumeOk(basic::ConsumeOk { consumer_tag }));
    }

    fn cancel(&mut self, at: At, tag: &str) {
        match self.channel(at).tags.remove(tag) {
            Some(Tag::Consumer(id)) => self.remove_consumer(id),
            Some(Tag::Ended) => self.forget_cancel(at, tag),
            None => {}
        }
        let consumer_tag = tag.as_bytes();
        self.expect(at, &Method::BasicCancelOk(basic::CancelOk { consumer_tag }));
    }

    /// The client knows that this consumer is none of its own any more.
    fn forget_cancel(&mut self, at: At, tag: &str) {
        let is_it =
            |(other, name, told): &&mut (At, String, bool)| *other == at && name == tag && *told;
        if let Some((_, _, told)) = self.cancels.iter_mut().find(is_it) {
            *told = false;
        }
    }

    fn get(&mut self, at: At, name: &str, no_ack: bool) {
        if !self.allows(at, &[(Access::Read, name)], 60, 70) {
            return;
        }
        let Some(queue) = self.usable_queue(at, name, 60, 70) else {
            return;
        };
        if self.queues[&queue].stream.is_some() {
            return self.connection_error(at.conn, 540);
        }
        self.queues.get_mut(&queue).unwrap().used_at_ms = self.now_ms;
        self.expire_front(queue);
        if self.queues[&queue].ready.is_empty() {
            return self.expect(at, &Method::BasicGetEmpty(basic::GetEmpty {}));
        }
        let received = self.next_received(at, "basic.get-ok");
        let Method::BasicGetOk(got) = received.method() else {
            panic!("basic.get-ok expected, got {received:?}");
        };
        let mut copied = self.take_candidate(queue, &received, 0);
        self.count("got");
        let due_ms = self.due_ms(queue);
        let left = u32::try_from(self.queues[&queue].ready.len()).unwrap();
        let channel = self.channel(at);
        channel.last_tag += 1;
        let expected = basic::GetOk {
            delivery_tag: channel.last_tag,
            redelivered: copied.deliveries > 0,
            exchange: copied.message.exchange.as_bytes(),
            routing_key: copied.message.key.as_bytes(),
            message_count: left,
        };
        assert_eq!(format!("{got:?}"), format!("{expected:?}"));
        if no_ack {
            self.free_name(queue, &copied);
            return self.settled.push((queue, copied, self.stamp));
        }
        copied.deliveries += 1;
        let held = Held { copied, queue, consumer: None, due_ms };
        let tag = channel.last_tag;
        channel.unacked.insert(tag, held);
        self.queues.get_mut(&queue).unwrap().unacked += 1;
    }
}

fn negative(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Reject }
}
