//! What becomes of a frame on an open channel?
//!
//! Methods are done one by one. The content of a publish is taken whole where it lies whole; one
//! that is cut is put together frame by frame.

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, Frame, FrameKind, Method, Properties, ReplyCode, tolerated_bytes};
use crate::broker::flow::message::PERSISTENT;
use crate::broker::requests::checks::check_size;
use crate::broker::{Body, Broker, Content, Handed, QueueKey};

use super::Channel;
use super::arriving::{self, Arriving, Growing, GrowingBody, LARGE_BYTES_MIN, Started};
use super::publish::at_publish;
use super::scope::Scope;
use super::settle::Settling;

/// What became of a frame on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It was taken, with so many bytes behind it.
    Took(usize),
    /// The log has no room for what it begins or completes.
    NoRoom,
    /// It looks at a queue that has messages for consumers that wait.
    LooksAt(QueueKey),
    /// It was begun, and goes on when it comes again.
    ComesAgain,
    /// The client closes the channel.
    Closes,
}

/// Class and method of `basic.publish`, as a frame's payload begins with them.
const PUBLISH_IDS: [u8; 4] = [0, 60, 0, 40];

/// Class and method of `tx.commit`.
const COMMIT_IDS: [u8; 4] = [0, 90, 0, 20];

impl Channel {
    /// A frame on this channel, with the input behind it.
    #[inline(never)]
    pub fn frame<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &Frame<'a>,
        rest: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> Result<Progress, AmqpError> {
        if self.must_wait_for_room(scope.broker, frame) {
            return Ok(Progress::NoRoom);
        }
        match frame.kind {
            FrameKind::Method => {
                match &self.content {
                    Arriving::Nothing => {}
                    Arriving::Header(_) => return Err(arriving::expected_header()),
                    Arriving::Body(_) => return Err(arriving::expected_body()),
                }
                let decoded = Method::decode(frame.payload);
                // Looked at where it lies: it is not small.
                let Ok(method) = &decoded else {
                    return decoded.map(|_| Progress::Took(0));
                };
                // Most of what comes is one of these.
                if let Method::BasicPublish(publish) = method {
                    return self.begin_publish(scope, publish, rest, handed);
                }
                let (class, id) = method.id();
                let at_method = |error: AmqpError| {
                    if error.class_id == 0 { error.at(class, id) } else { error }
                };
                if let Some(settling) = Settling::of(method) {
                    return self.settle(scope, settling).map_err(at_method);
                }
                let looked_at = self.queue_looked_at(scope, method);
                if let Some(queue) =
                    looked_at.filter(|&queue| scope.broker.queues().can_deliver(queue))
                {
                    return Ok(Progress::LooksAt(queue));
                }
                self.method(scope, *method).map_err(at_method)
            }
            FrameKind::Header => self.content_header(scope, frame),
            FrameKind::Body => self.content_body(scope, frame),
            FrameKind::Heartbeat => Err(AmqpError::connection(
                ReplyCode::UnexpectedFrame,
                format!("heartbeat frame on channel {}", frame.channel),
            )),
        }
    }

    /// What needs room in the log is not taken while there is none, and from then on the
    /// connection is not even read. Whatever came before it is taken: acks make room.
    fn must_wait_for_room(&self, broker: &mut Broker, frame: &Frame<'_>) -> bool {
        let commits = match frame.kind {
            FrameKind::Method if frame.payload.starts_with(&PUBLISH_IDS) => false,
            FrameKind::Method if frame.payload.starts_with(&COMMIT_IDS) => true,
            FrameKind::Header | FrameKind::Body => false,
            FrameKind::Method | FrameKind::Heartbeat => return false,
        };
        let mut must_wait = !broker.has_room();
        if commits {
            let (durable, bytes) = self.transaction_room();
            must_wait |= !broker.has_room_for(durable, bytes);
        }
        must_wait
    }

    /// `basic.publish`, with its content when all of that is there.
    fn begin_publish<'a>(
        &mut self,
        scope: &mut Scope<'_>,
        publish: &basic::Publish<'a>,
        rest: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> Result<Progress, AmqpError> {
        if publish.immediate {
            let text = "immediate=true";
            return Err(at_publish(AmqpError::connection(ReplyCode::NotImplemented, text)));
        }
        let frame_bytes_max = tolerated_bytes(scope.out.frame_bytes_max);
        let Some(whole) = arriving::take_whole(rest, scope.out.number, frame_bytes_max)? else {
            self.content = Arriving::Header(Box::new(Started::new(publish)));
            return Ok(Progress::Took(0));
        };
        let content = Content {
            exchange: publish.exchange,
            routing_key: publish.routing_key,
            properties: whole.header.properties.as_bytes(),
            body: Body::Inline(whole.body),
        };
        let is_taken = self.publish(scope, content, publish.mandatory, Some(handed))?;
        Ok(if is_taken { Progress::Took(whole.consumed) } else { Progress::NoRoom })
    }

    /// A content's header, which may complete the message.
    fn content_header(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &Frame<'_>,
    ) -> Result<Progress, AmqpError> {
        let started = match std::mem::take(&mut self.content) {
            Arriving::Header(started) => started,
            Arriving::Nothing => {
                return Err(arriving::expected_method());
            }
            Arriving::Body(growing) => {
                drop_body(scope.broker, growing.body);
                return Err(arriving::expected_body());
            }
        };
        let header = arriving::parse_header(frame.payload)?;
        let properties = header.properties.as_bytes();
        if header.body_bytes == 0 {
            let content = started.content(properties, Body::Inline(&[]));
            let is_taken = self.publish(scope, content, started.mandatory, None)?;
            if !is_taken {
                self.content = Arriving::Header(started);
                return Ok(Progress::NoRoom);
            }
            return Ok(Progress::Took(0));
        }
        check_size(header.body_bytes, scope.message_bytes_max).map_err(at_publish)?;
        let body = if header.body_bytes < LARGE_BYTES_MIN {
            let bytes = usize::try_from(header.body_bytes).expect("small");
            GrowingBody::Inline(Vec::with_capacity(bytes))
        } else {
            let durable = self.belongs_on_disk(scope, &started.content(properties, ()))?;
            GrowingBody::Large(scope.broker.begin_body(durable, header.body_bytes))
        };
        self.content = Arriving::Body(Box::new(Growing {
            started: *started,
            properties: properties.to_vec(),
            body_bytes: header.body_bytes,
            body,
        }));
        Ok(Progress::Took(0))
    }

    /// A part of a content's body. When the log has no room for the message that it completes, it
    /// comes again, and is known already.
    fn content_body(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &Frame<'_>,
    ) -> Result<Progress, AmqpError> {
        let mut growing = match std::mem::take(&mut self.content) {
            Arriving::Body(growing) => growing,
            Arriving::Header(_) => {
                return Err(arriving::expected_header());
            }
            Arriving::Nothing => {
                return Err(arriving::expected_method());
            }
        };
        let is_known = growing.body.len() == growing.body_bytes;
        let part = if is_known { &[] } else { frame.payload };
        if growing.body.len() + part.len() as u64 > growing.body_bytes {
            drop_body(scope.broker, growing.body);
            return Err(arriving::body_too_long());
        }
        match &mut growing.body {
            GrowingBody::Inline(body) => body.extend_from_slice(part),
            GrowingBody::Large(body) => scope.broker.add_to_body(body, part),
        }
        if growing.body.len() < growing.body_bytes {
            self.content = Arriving::Body(growing);
            return Ok(Progress::Took(0));
        }
        self.finish_content(scope, growing)
    }

    /// Publishes what is complete; keeps it where the log has no room.
    fn finish_content(
        &mut self,
        scope: &mut Scope<'_>,
        growing: Box<Growing>,
    ) -> Result<Progress, AmqpError> {
        let mandatory = growing.started.mandatory;
        let outcome = self.publish(scope, growing.content(), mandatory, None);
        if matches!(outcome, Ok(false)) {
            self.content = Arriving::Body(growing);
            return Ok(Progress::NoRoom);
        }
        if let GrowingBody::Large(large) = growing.body {
            self.give_up_large(scope.broker, large);
        }
        outcome.map(|_| Progress::Took(0))
    }

    /// Where the large body of a content belongs: in the durable log or in the transient ring.
    fn belongs_on_disk(
        &mut self,
        scope: &mut Scope<'_>,
        content: &Content<'_, ()>,
    ) -> Result<bool, AmqpError> {
        let list = Properties::new(content.properties).list().map_err(at_publish)?;
        let resolved = self.resolve(scope.broker, scope.subject, content, &list);
        let delay = resolved.map_err(at_publish)?.delay;
        let persistent = list.delivery_mode == Some(PERSISTENT);
        Ok(scope.broker.is_logged(self.route.queues(), persistent, delay))
    }
}

/// Nobody wants the body of an unfinished content any more.
pub fn drop_body(broker: &mut Broker, body: GrowingBody) {
    if let GrowingBody::Large(body) = body {
        broker.abandon_body(body);
    }
}
