//! What does the turn ask of a session once the input was read: deliveries, confirms, waits
//! that are over, heartbeats?

use std::time::Instant;

use crate::amqp::method::{basic, connection};
use crate::amqp::{Method, Name, encoder};
use crate::broker::flow::firehose::Passage;
use crate::broker::{Broker, ConsumerKey, Delivery, Handed, LogPos, QueueKey, TakeBack};

use super::channel::ChannelState;
use super::{
    ANSWER_BYTES_MAX, ANSWER_BYTES_RESUMED, OUTBOX_BYTES_MAX, OUTBOX_BYTES_RESUMED, Phase, Session,
    WaitUntil,
};

impl Session {
    /// Writes a delivery into the outbox and keeps it until it is settled.
    pub fn deliver(&mut self, broker: &mut Broker, delivery: &Delivery) {
        if broker.traces() {
            self.trace_delivery(broker, delivery);
        }
        let (channel, mut out) = self.consumers_channel(delivery.channel);
        channel.deliver(broker, &mut out, delivery);
        self.note_outbox(broker);
    }

    /// Copies a delivery for the firehose, before sending it may settle it.
    #[cold]
    #[inline(never)]
    fn trace_delivery(&self, broker: &mut Broker, delivery: &Delivery) {
        let Phase::Open(subject) = &self.phase else {
            return;
        };
        if !broker.is_traced(subject.vhost) {
            return;
        }
        let connection = self.ends.to_string();
        let (channel, user) = (delivery.channel, subject.user.as_bytes());
        let passage = Passage { connection: &connection, channel, user };
        let unsettled = &delivery.unsettled;
        broker.trace_delivered(unsettled.queue, unsettled.entry, delivery.before, &passage);
    }

    /// Writes a message that another session handed over into the outbox; that settles it.
    pub fn take_handed(&mut self, broker: &mut Broker, handed: &Handed<'_>) {
        let (channel, mut out) = self.consumers_channel(handed.to.channel);
        channel.take_handed(broker, &mut out, handed);
        self.note_outbox(broker);
    }

    /// The outbox changed: consumers get nothing while it is full. When it takes more again, each
    /// channel is once the first to fill it.
    pub fn note_outbox(&mut self, broker: &mut Broker) {
        let marks = (OUTBOX_BYTES_MAX, OUTBOX_BYTES_RESUMED);
        let full = is_beyond(self.full, self.outbox.len(), marks);
        if full == self.full {
            return;
        }
        self.full = full;
        if !full {
            self.first_told += 1;
        }
        for state in self.channels.iter_in_turn(self.first_told) {
            if let ChannelState::Open(channel) = state {
                broker.queues_mut().set_room(channel.key, !full);
            }
        }
    }

    /// The outbox changed: nothing is read while it takes no more answers, and the client's silence
    /// means nothing.
    #[inline]
    pub(super) fn note_answers(&mut self, now: Instant) {
        let marks = (ANSWER_BYTES_MAX, ANSWER_BYTES_RESUMED);
        let overfull = is_beyond(self.overfull, self.outbox.len(), marks);
        if overfull != self.overfull {
            self.overfull = overfull;
            self.pause_heartbeat(now);
        }
    }

    /// Acknowledges the publishes that are durable now; `true` while others wait.
    pub fn release_confirms(&mut self, broker: &mut Broker, durable: LogPos) -> bool {
        self.notes.confirming = false;
        for state in self.channels.iter_mut() {
            let ChannelState::Open(channel) = state else {
                continue;
            };
            if let Some((ack, count)) = channel.due_confirm(durable) {
                channel.count_confirmed(broker, count);
                encoder::method_frame(self.outbox.buffer(), channel.number, &ack);
            }
            self.notes.confirming |= channel.is_confirming();
        }
        self.notes.confirming
    }

    /// Whether a publish waits for its confirm.
    pub fn is_confirming(&self) -> bool {
        self.notes.confirming
    }

    /// What the session waits for before it reads on.
    pub fn waits_for(&self) -> Option<WaitUntil> {
        self.notes.wait.as_ref().map(|wait| wait.until)
    }

    /// What the session waited for is on disk: the answer goes out and it reads on.
    pub fn wait_is_over(&mut self) {
        if let Some(wait) = self.notes.wait.take() {
            self.outbox.buffer().extend_from_slice(&wait.reply);
        }
    }

    /// A consumer ended because its queue did. The client may have cancelled it in the meantime,
    /// or begun another one with its tag: then there is nothing to tell.
    pub fn consumer_cancelled(&mut self, number: u16, tag: &Name, consumer: ConsumerKey) {
        if let Some(ChannelState::Open(channel)) = self.channels.get_mut(number)
            && channel.consumers.get(tag) == Some(&consumer)
        {
            channel.consumers.remove(tag);
            if !self.capabilities.consumer_cancel_notify {
                return;
            }
            let cancel = basic::Cancel { consumer_tag: tag.as_bytes(), nowait: true };
            let cancel = Method::BasicCancel(cancel);
            match self.notes.wait.as_mut().filter(|wait| wait.channel == number) {
                // Its own delete is answered first.
                Some(wait) => encoder::method_frame(&mut wait.reply, number, &cancel),
                None => self.send(number, &cancel),
            }
        }
    }

    /// A channel gives back what an operator wants, as far as this step allows; whether that was
    /// all.
    pub fn take_back(&mut self, broker: &mut Broker, wanted: &mut TakeBack) -> bool {
        match self.channels.get_mut(wanted.channel) {
            Some(ChannelState::Open(channel)) => channel.take_back(broker, wanted),
            Some(ChannelState::Closing | ChannelState::Ended) | None => true,
        }
    }

    /// Bytes left the outbox, which is so much shorter.
    pub fn flushed(&mut self, broker: &mut Broker, bytes: usize, now: Instant) {
        self.heartbeat.sent(now);
        self.seen.note_sent(bytes);
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

    /// Whether what it sent next was begun, and has to come again in the next turn.
    pub fn comes_again(&self) -> bool {
        self.comes_again
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

    /// Says in the log that the connection is gone, unless it said before why it ends.
    pub fn log_end(&self) {
        if !self.said_why {
            log::info!("{}: the connection is closed", self.ends.peer);
        }
    }

    /// Whether the client closed the connection, and may still do so again.
    pub fn has_left(&self) -> bool {
        matches!(self.phase, Phase::Left)
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
        std::mem::take(&mut self.notes.answered)
    }

    pub(super) fn send(&mut self, channel: u16, method: &Method<'_>) {
        self.notes.answered = true;
        encoder::method_frame(self.outbox.buffer(), channel, method);
    }
}

/// Whether a buffer of so many bytes is beyond its upper mark, or was and is not yet down to the
/// lower one.
#[inline]
fn is_beyond(was: bool, bytes: usize, (upper, lower): (usize, usize)) -> bool {
    if was { bytes > lower } else { bytes >= upper }
}
