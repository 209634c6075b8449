//! What does the turn ask of a session once the input was read: deliveries, confirms, waits
//! that are over, heartbeats?

use std::time::Instant;

use bytes::Bytes;

use crate::amqp::method::{basic, connection};
use crate::amqp::{Method, Name, Properties, PropertyList, TableBuf, Value, encoder};
use crate::broker::blind;
use crate::broker::{Broker, ConsumerKey, Delivery, Handed, LogPos, QueueKey, Record, RecordRef};

use super::channel::{ChannelState, Mode};
use super::{
    ANSWER_BYTES_MAX, ANSWER_BYTES_RESUMED, OUTBOX_BYTES_MAX, OUTBOX_BYTES_RESUMED, Phase, Session,
    WaitUntil,
};

/// Bodies of this many bytes and more are sent from where they lie in the log.
const SHARED_BYTES_MIN: u64 = 4096;

impl Session {
    /// Writes a delivery into the outbox and keeps it until it is settled.
    pub fn deliver(&mut self, broker: &mut Broker, delivery: &Delivery) {
        let slot = usize::from(delivery.channel);
        let Some(Some(ChannelState::Open(channel))) = self.channels.get_mut(slot) else {
            unreachable!("a consumer goes before its channel");
        };
        let tag = if delivery.no_ack {
            channel.unacked.tag_settled()
        } else {
            channel.unacked.keep(delivery.held)
        };
        self.note_ack_due(delivery.held.due_ms);
        let Some(consumer) = broker.consumer(delivery.consumer) else {
            return;
        };
        let at = delivery.held.entry.at;
        let record = broker.store.record(at);
        let out = self.outbox.buffer();
        let deliver = basic::Deliver {
            consumer_tag: consumer.tag.as_bytes(),
            delivery_tag: tag,
            redelivered: delivery.before > 0,
            exchange: record.exchange(),
            routing_key: record.routing_key(),
        };
        let added = Added::to(delivery);
        let properties = record.properties();
        let unchanged = added.is_none() && !blind::is_blind(properties);
        if record.body_bytes() < SHARED_BYTES_MIN && unchanged {
            let (body, frame_bytes_max) = (record.small_body(), self.frame_bytes_max);
            encoder::delivery(out, delivery.channel, &deliver, properties, body, frame_bytes_max);
        } else {
            encoder::method_frame(out, delivery.channel, &deliver);
            self.send_content(broker, delivery.channel, at, &record, added);
        }
        if delivery.no_ack {
            broker.settle_sent(&delivery.held);
        }
        self.note_outbox(broker);
    }

    /// Writes a message that another session handed over into the outbox; that settles it.
    pub fn take_handed(&mut self, broker: &mut Broker, handed: &Handed<'_>) {
        let Handed { to, message } = handed;
        let slot = usize::from(to.channel);
        let Some(Some(ChannelState::Open(channel))) = self.channels.get_mut(slot) else {
            unreachable!("a consumer goes before its channel");
        };
        // The publisher may have deleted the queue right behind the message, and its consumer with
        // it; the client does not know yet.
        let consumer_tag = broker.consumer(to.consumer).map(|consumer| &consumer.tag);
        let named = || channel.consumers.iter().find(|(_, key)| **key == to.consumer);
        let Some(consumer_tag) = consumer_tag.or_else(|| named().map(|(tag, _)| tag)) else {
            return;
        };
        let deliver = basic::Deliver {
            consumer_tag: consumer_tag.as_bytes(),
            delivery_tag: channel.unacked.tag_settled(),
            redelivered: false,
            exchange: message.exchange,
            routing_key: message.routing_key,
        };
        let (out, frame_bytes_max) = (self.outbox.buffer(), self.frame_bytes_max);
        let (properties, body) = (message.properties, message.body);
        encoder::delivery(out, to.channel, &deliver, properties, body, frame_bytes_max);
        self.note_outbox(broker);
    }

    /// A stored message's header and body frames, with what its queue adds to the headers.
    /// RabbitMQ leaves a count of 0 out of basic.deliver, not of basic.get-ok.
    pub(super) fn send_content(
        &mut self,
        broker: &Broker,
        channel: u16,
        at: RecordRef,
        record: &Record<'_>,
        added: Option<Added>,
    ) {
        let stored = record.properties();
        let visible = blind::is_blind(stored).then(|| blind::visible(stored));
        let properties = visible.as_deref().unwrap_or(stored);
        let changed = added.map(|added| added.with(properties));
        let properties = changed.as_deref().unwrap_or(properties);
        let shared = match record.body_bytes() {
            SHARED_BYTES_MIN.. => broker.store.shared_body(at),
            _ => None,
        };
        let Some(shared) = shared else {
            let (body, out) = (record.small_body(), self.outbox.buffer());
            return encoder::content(out, channel, properties, body, self.frame_bytes_max);
        };
        encoder::header_frame(self.outbox.buffer(), channel, record.body_bytes(), properties);
        self.send_shared(channel, record.body_bytes(), shared);
    }

    /// Body frames of a body that is sent from where it lies, in parts that have nothing to do with
    /// frames.
    fn send_shared(&mut self, channel: u16, body_bytes: u64, parts: impl Iterator<Item = Bytes>) {
        let frame_bytes = u64::from(self.frame_bytes_max) - 8;
        let (mut left, mut in_frame) = (body_bytes, 0);
        for mut part in parts {
            while !part.is_empty() {
                if in_frame == 0 {
                    in_frame = left.min(frame_bytes);
                    let bytes = u32::try_from(in_frame).expect("at most a frame");
                    let header = encoder::body_frame_header(channel, bytes);
                    self.outbox.buffer().extend_from_slice(&header);
                }
                let now = (part.len() as u64).min(in_frame);
                let bytes = usize::try_from(now).expect("within the part");
                self.outbox.push_shared(part.split_to(bytes));
                (left, in_frame) = (left - now, in_frame - now);
                if in_frame == 0 {
                    self.outbox.buffer().push(crate::amqp::FRAME_END);
                }
            }
        }
        debug_assert_eq!((left, in_frame), (0, 0), "the parts are the body");
    }

    /// The outbox changed: consumers get nothing while it is full. When it takes more again, each
    /// channel is once the first to fill it.
    pub fn note_outbox(&mut self, broker: &mut Broker) {
        let full = if self.full {
            self.outbox.len() > OUTBOX_BYTES_RESUMED
        } else {
            self.outbox.len() >= OUTBOX_BYTES_MAX
        };
        if full == self.full {
            return;
        }
        self.full = full;
        if !full {
            self.first_told += 1;
        }
        let first = self.first_told % self.channels.len().max(1);
        let (before, from_first) = self.channels.split_at(first);
        for state in from_first.iter().chain(before).flatten() {
            if let ChannelState::Open(channel) = state {
                broker.set_room(channel.key, !full);
            }
        }
    }

    /// The outbox changed: nothing is read while it takes no more answers, and the client's silence
    /// means nothing.
    #[inline]
    pub(super) fn note_answers(&mut self, now: Instant) {
        let overfull = if self.overfull {
            self.outbox.len() > ANSWER_BYTES_RESUMED
        } else {
            self.outbox.len() >= ANSWER_BYTES_MAX
        };
        if overfull != self.overfull {
            self.overfull = overfull;
            self.pause_heartbeat(now);
        }
    }

    /// Acknowledges the publishes that are durable now; `true` while others wait.
    pub fn release_confirms(&mut self, durable: LogPos) -> bool {
        self.confirming = false;
        for state in self.channels.iter_mut().flatten() {
            let ChannelState::Open(channel) = state else {
                continue;
            };
            let Mode::Confirm(confirms) = &mut channel.mode else {
                continue;
            };
            if let Some((delivery_tag, multiple)) = confirms.release(durable) {
                let ack = Method::BasicAck(basic::Ack { delivery_tag, multiple });
                encoder::method_frame(self.outbox.buffer(), channel.number, &ack);
            }
            self.confirming |= !confirms.is_empty();
        }
        self.confirming
    }

    /// Whether a publish waits for its confirm.
    pub fn is_confirming(&self) -> bool {
        self.confirming
    }

    /// What the session waits for before it reads on.
    pub fn waits_for(&self) -> Option<WaitUntil> {
        self.wait.as_ref().map(|wait| wait.until)
    }

    /// What the session waited for is on disk: the answer goes out and it reads on.
    pub fn wait_is_over(&mut self) {
        if let Some(wait) = self.wait.take() {
            self.outbox.buffer().extend_from_slice(&wait.reply);
        }
    }

    /// A consumer ended because its queue did. The client may have cancelled it in the meantime,
    /// or begun another one with its tag: then there is nothing to tell.
    pub fn consumer_cancelled(&mut self, number: u16, tag: &Name, consumer: ConsumerKey) {
        let slot = usize::from(number);
        if let Some(Some(ChannelState::Open(channel))) = self.channels.get_mut(slot)
            && channel.consumers.get(tag) == Some(&consumer)
        {
            channel.consumers.remove(tag);
            if !self.capabilities.consumer_cancel_notify {
                return;
            }
            let cancel = basic::Cancel { consumer_tag: tag.as_bytes(), nowait: true };
            let cancel = Method::BasicCancel(cancel);
            match self.wait.as_mut().filter(|wait| wait.channel == number) {
                // Its own delete is answered first.
                Some(wait) => encoder::method_frame(&mut wait.reply, number, &cancel),
                None => self.send(number, &cancel),
            }
        }
    }

    /// Bytes of the outbox went to the kernel.
    pub fn flushed(&mut self, broker: &mut Broker, bytes: usize, now: Instant) {
        self.outbox.advance(bytes);
        self.heartbeat.sent(now);
        self.note_outbox(broker);
        self.note_answers(now);
    }

    /// The client is blocked from now on, so that its silence means nothing; `reason` is told
    /// to clients that understand it (RabbitMQ's `connection.blocked`).
    pub fn block(&mut self, reason: Option<&str>, now: Instant) {
        self.blocked = true;
        self.pause_heartbeat(now);
        if let Some(reason) = reason
            && self.capabilities.connection_blocked
            && !self.told_blocked
        {
            self.told_blocked = true;
            let reason = reason.as_bytes();
            self.send(0, &Method::ConnectionBlocked(connection::Blocked { reason }));
        }
    }

    /// The client is no longer blocked.
    pub fn unblock(&mut self, now: Instant) {
        self.blocked = false;
        self.pause_heartbeat(now);
        if std::mem::take(&mut self.told_blocked) {
            self.send(0, &Method::ConnectionUnblocked(connection::Unblocked {}));
        }
    }

    /// While nothing is read, silence means nothing.
    fn pause_heartbeat(&mut self, now: Instant) {
        self.heartbeat.pause(self.blocked || self.overfull, now);
    }

    /// Whether what it sent next has to wait until the log has room; nothing does once the
    /// connection ends.
    pub fn awaits_room(&self) -> bool {
        self.awaits_room && self.is_open()
    }

    /// The queue that has to be delivered from before it goes on: what it sent next looks at it.
    pub fn looks_at(&self) -> Option<QueueKey> {
        self.looks_at
    }

    /// Whether nothing is read until the client took some of what it was answered.
    pub fn is_overfull(&self) -> bool {
        self.overfull
    }

    /// Whether the outbox takes no more deliveries.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Says in the log that the connection is gone.
    pub fn log_end(&self) {
        log::info!("{}: the connection is closed", self.peer);
    }

    /// Whether nothing more is read and the socket has to be closed once the outbox is empty.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(None))
    }

    /// Whether the connection is open: past its handshake and before its close.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether an answer was put into the outbox since it was last asked. Whoever gets one may
    /// take it that what was sent before the question has been dealt with.
    pub fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    pub(super) fn send(&mut self, channel: u16, method: &Method<'_>) {
        self.answered = true;
        encoder::method_frame(self.outbox.buffer(), channel, method);
    }
}

/// A header that a queue adds to the messages that it delivers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Added {
    /// `x-delivery-count`: deliveries before this one (RabbitMQ's quorum queues).
    Deliveries(u8),
    /// `x-stream-offset`: the place in the stream.
    Offset(u64),
}

impl Added {
    #[inline]
    fn to(delivery: &Delivery) -> Option<Self> {
        if let Some(offset) = delivery.stream_offset {
            return Some(Self::Offset(offset));
        }
        let counted = delivery.counted && delivery.before > 0;
        counted.then_some(Self::Deliveries(delivery.before))
    }

    /// The property bytes with this header.
    fn with(self, properties: &[u8]) -> Vec<u8> {
        let list = Properties::new(properties).list().unwrap_or_default();
        let mut headers = list.headers.map(TableBuf::from).unwrap_or_default();
        let (name, value): (&[u8], i64) = match self {
            Self::Deliveries(count) => (b"x-delivery-count", i64::from(count)),
            Self::Offset(offset) => {
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                (b"x-stream-offset", offset)
            }
        };
        headers.set(name, Value::I64(value));
        let mut bytes = Vec::with_capacity(properties.len() + 40);
        PropertyList { headers: Some(headers.table()), ..list }.encode(&mut bytes);
        bytes
    }
}
