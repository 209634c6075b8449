//! How does a message go out on a channel: delivered, got or returned?

use bytes::Bytes;

use crate::amqp::method::basic;
use crate::amqp::{
    FRAME_END, Method, Properties, PropertyList, ReplyCode, TableBuf, Value, encoder,
};
use crate::broker::flow::blind;
use crate::broker::{Body, Broker, Content, Delivery, Handed, Record, RecordRef};

use super::Channel;
use super::scope::Out;

/// Bodies of this many bytes and more are sent from where they lie in the log.
const SHARED_BYTES_MIN: u64 = 4096;

impl Channel {
    /// Writes a delivery into the outbox and keeps it until it is settled.
    #[inline]
    pub fn deliver(&mut self, broker: &mut Broker, out: &mut Out<'_>, delivery: &Delivery) {
        let tag = if delivery.no_ack {
            self.unacked.tag_settled()
        } else {
            self.unacked.keep(delivery.unsettled)
        };
        out.notes.note_ack_due(delivery.unsettled.due_ms);
        let Some(consumer) = broker.queues().consumer(delivery.consumer) else {
            return;
        };
        let at = delivery.unsettled.entry.at;
        let record = broker.record(at);
        let (exchange, routing_key, properties) = record.names_and_properties();
        let deliver = basic::Deliver {
            consumer_tag: consumer.tag.as_bytes(),
            delivery_tag: tag,
            redelivered: delivery.before > 0,
            exchange,
            routing_key,
        };
        let added = Added::to(delivery);
        let unchanged = added.is_none() && !blind::is_blind(properties);
        let (number, frame_bytes_max) = (out.number, out.frame_bytes_max);
        if record.body_bytes() < SHARED_BYTES_MIN && unchanged {
            let (buffer, body) = (out.outbox.buffer(), record.small_body());
            encoder::delivery(buffer, number, &deliver, properties, body, frame_bytes_max);
        } else {
            encoder::method_frame(out.outbox.buffer(), number, &deliver);
            out.send_content(broker, at, &record, added);
        }
        if delivery.no_ack {
            broker.settle_sent(&delivery.unsettled);
        }
        self.count_delivered(broker, delivery.before > 0);
    }

    /// Writes a message that another session handed over into the outbox; that settles it.
    #[inline]
    pub fn take_handed(&mut self, broker: &mut Broker, out: &mut Out<'_>, handed: &Handed<'_>) {
        let Handed { to, message } = handed;
        // The publisher may have deleted the queue right behind the message, and its consumer with
        // it; the client does not know yet.
        let consumer_tag = broker.queues().consumer(to.consumer).map(|consumer| &consumer.tag);
        let named = || self.consumers.iter().find(|(_, key)| **key == to.consumer);
        let Some(consumer_tag) = consumer_tag.or_else(|| named().map(|(tag, _)| tag)) else {
            return;
        };
        let deliver = basic::Deliver {
            consumer_tag: consumer_tag.as_bytes(),
            delivery_tag: self.unacked.tag_settled(),
            redelivered: false,
            exchange: message.exchange,
            routing_key: message.routing_key,
        };
        let (number, frame_bytes_max) = (out.number, out.frame_bytes_max);
        let (buffer, properties) = (out.outbox.buffer(), message.properties);
        encoder::delivery(buffer, number, &deliver, properties, message.body, frame_bytes_max);
        self.count_delivered(broker, false);
    }
}

impl Out<'_> {
    /// A stored message's header and body frames, with what its queue adds to the headers.
    /// RabbitMQ leaves a count of 0 out of basic.deliver, not of basic.get-ok.
    pub fn send_content(
        &mut self,
        broker: &Broker,
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
            SHARED_BYTES_MIN.. => broker.shared_body(at),
            _ => None,
        };
        let buffer = self.outbox.buffer();
        let Some(shared) = shared else {
            let (body, frame_bytes_max) = (record.small_body(), self.frame_bytes_max);
            return encoder::content(buffer, self.number, properties, body, frame_bytes_max);
        };
        encoder::header_frame(buffer, self.number, record.body_bytes(), properties);
        self.send_shared(record.body_bytes(), shared);
    }

    /// Body frames of a body that is sent from where it lies, in parts that have nothing to do with
    /// frames.
    fn send_shared(&mut self, body_bytes: u64, parts: impl Iterator<Item = Bytes>) {
        let frame_bytes = u64::from(self.frame_bytes_max) - 8;
        let (mut left, mut in_frame) = (body_bytes, 0);
        for mut part in parts {
            while !part.is_empty() {
                if in_frame == 0 {
                    in_frame = left.min(frame_bytes);
                    let bytes = u32::try_from(in_frame).expect("at most a frame");
                    let header = encoder::body_frame_header(self.number, bytes);
                    self.outbox.buffer().extend_from_slice(&header);
                }
                let now = (part.len() as u64).min(in_frame);
                let bytes = usize::try_from(now).expect("within the part");
                self.outbox.push_shared(part.split_to(bytes));
                (left, in_frame) = (left - now, in_frame - now);
                if in_frame == 0 {
                    self.outbox.buffer().push(FRAME_END);
                }
            }
        }
        debug_assert_eq!((left, in_frame), (0, 0), "the parts are the body");
    }

    /// `basic.return` with the whole message (312 NO_ROUTE).
    pub fn send_return(&mut self, broker: &Broker, content: &Content<'_>) {
        self.notes.returned = true;
        let method = basic::Return {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: ReplyCode::NoRoute.name().as_bytes(),
            exchange: content.exchange,
            routing_key: content.routing_key,
        };
        let copied: Vec<u8>;
        let body = match content.body {
            Body::Inline(body) => body,
            Body::Large(_) | Body::Of(_) => {
                copied = broker.body_to_vec(&content.body);
                &copied
            }
        };
        let visible =
            blind::is_blind(content.properties).then(|| blind::visible(content.properties));
        let properties = visible.as_deref().unwrap_or(content.properties);
        let buffer = self.outbox.buffer();
        encoder::method_frame(buffer, self.number, &Method::BasicReturn(method));
        encoder::content(buffer, self.number, properties, body, self.frame_bytes_max);
    }
}

/// A header that a queue adds to the messages that it delivers.
#[derive(Debug, Clone, Copy)]
pub enum Added {
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
