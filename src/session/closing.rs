//! How do channels and connections end, and what becomes of what they held?

use std::time::Instant;

use log::{info, warn};

use crate::amqp::method::{channel as channel_methods, connection};
use crate::amqp::{AmqpError, Method, ReplyCode};
use crate::broker::Broker;

use super::channel::arriving::Arriving;
use super::channel::{Channel, ChannelState, Mode, drop_body};
use super::{CLOSE_OK_WITHIN, Phase, Session, WaitUntil};

impl Session {
    /// The broker ends the connection: `connection.close` with this error.
    // Seldom: kept apart, so that the way of a publish becomes one function.
    #[inline(never)]
    pub fn close_with(&mut self, broker: &mut Broker, now: Instant, error: &AmqpError) {
        if matches!(self.phase, Phase::Closing | Phase::Left | Phase::Closed(_)) {
            self.phase = Phase::Closed(None);
            return;
        }
        if error.code == ReplyCode::ConnectionForced {
            info!("{}: closing the connection: {}", self.ends.peer, error.text);
        } else {
            warn!("{}: closing the connection: {}", self.ends.peer, error.text);
        }
        self.end(broker);
        let close = connection::Close {
            reply_code: error.code.number(),
            reply_text: error.text.as_bytes(),
            class_id: error.class_id,
            method_id: error.method_id,
        };
        self.send(0, &Method::ConnectionClose(close));
        self.phase = Phase::Closing;
        self.heartbeat.over_by(now + CLOSE_OK_WITHIN);
    }

    /// The socket is gone, or the connection ends: every channel goes, then the exclusive
    /// queues.
    pub fn end(&mut self, broker: &mut Broker) {
        if let Some(WaitUntil::Committed(number)) = self.notes.wait.take().map(|wait| wait.until) {
            broker.disown_commit(number);
        }
        let channels = std::mem::take(&mut self.channels);
        for state in channels.into_states() {
            if let ChannelState::Open(channel) = state {
                self.release(broker, *channel);
            }
        }
        broker.delete_exclusive_queues(self.key);
        broker.users_mut().forget_connection(self.key);
        self.note_connection_closed(broker);
    }

    /// What carries the connection is gone, and nothing more comes; what waits to be sent may still
    /// leave.
    pub fn abandon(&mut self, broker: &mut Broker) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.end(broker);
        }
        self.said_why = true;
        self.phase = Phase::Closed(None);
    }

    /// A mistake on a channel: `channel.close` with the error, and nothing after it, also no answer
    /// that waits for the disk; the rest of the connection goes on.
    // Seldom: kept apart, so that the way of a publish becomes one function.
    #[inline(never)]
    pub(super) fn close_channel_with(
        &mut self,
        broker: &mut Broker,
        number: u16,
        error: &AmqpError,
    ) {
        warn!("{}: closing channel {number}: {}", self.ends.peer, error.text);
        let before = self.channels.put(number, ChannelState::Closing);
        if let Some(ChannelState::Open(channel)) = before {
            self.release(broker, *channel);
        }
        if let Some(wait) = self.notes.wait.as_mut().filter(|wait| wait.channel == number) {
            wait.reply.clear();
        }
        let close = channel_methods::Close {
            reply_code: error.code.number(),
            reply_text: error.text.as_bytes(),
            class_id: error.class_id,
            method_id: error.method_id,
        };
        self.send(number, &Method::ChannelClose(close));
    }

    /// The client closes a channel: what it held goes back before `close-ok`.
    // Seldom: kept apart, so that the way of a publish becomes one function.
    #[inline(never)]
    pub(super) fn channel_close(&mut self, broker: &mut Broker, number: u16) {
        self.act(broker);
        if let Some(ChannelState::Open(channel)) = self.channels.get_mut(number)
            && !give_back(broker, channel)
        {
            self.comes_again = true;
            broker.act_for(None);
            return;
        }
        let before = self.channels.put(number, ChannelState::Ended);
        if let Some(ChannelState::Open(channel)) = before {
            self.release(broker, *channel);
        }
        self.send(number, &Method::ChannelCloseOk(channel_methods::CloseOk {}));
    }

    /// Gives everything that a channel held back: its consumers end, its unacked messages return
    /// to their queues in order, an unfinished content and an open transaction are dropped. What
    /// is durable by now is confirmed first.
    fn release(&mut self, broker: &mut Broker, mut channel: Channel) {
        self.act(broker);
        stop(broker, &mut channel);
        if let Arriving::Body(growing) = std::mem::take(&mut channel.content) {
            drop_body(broker, growing.body);
        }
        if let Some((ack, count)) = channel.due_confirm(broker.durable()) {
            channel.count_confirmed(broker, count);
            self.send(channel.number, &ack);
        }
        if let Mode::Transaction(transaction) = &mut channel.mode {
            transaction.release_bodies(broker);
        }
        channel.count_at_end(broker);
        broker.give_back(channel.unacked.into_deliveries());
        broker.queues_mut().close_channel(channel.key);
        self.note_channel_closed(broker, channel.key);
        broker.act_for(None);
    }

    /// Ends all consumers and gives what was delivered back, as far as this step allows; whether
    /// that was all.
    pub(super) fn give_back_all(&mut self, broker: &mut Broker) -> bool {
        self.act(broker);
        let mut open = self.channels.iter_mut().filter_map(|state| match state {
            ChannelState::Open(channel) => Some(channel),
            ChannelState::Closing | ChannelState::Ended => None,
        });
        let is_all = open.all(|channel| give_back(broker, channel));
        broker.act_for(None);
        is_all
    }
}

/// Ends a channel's consumers, so that nothing that it gives back comes to it again. What its open
/// transaction settled is not.
fn stop(broker: &mut Broker, channel: &mut Channel) {
    broker.end_consumers(channel.key);
    if let Mode::Transaction(transaction) = &mut channel.mode {
        let settled = std::mem::take(&mut transaction.settlements);
        channel.unacked.put_back(settled.map(|(tag, unsettled, _)| (tag, unsettled)));
    }
}

/// Stops a channel and gives what was delivered back, as far as this step allows; whether that was
/// all.
fn give_back(broker: &mut Broker, channel: &mut Channel) -> bool {
    stop(broker, channel);
    while !broker.work.is_done()
        && let Some((_, unsettled)) = channel.unacked.take_first()
    {
        broker.requeue(&unsettled);
    }
    channel.unacked.is_empty()
}
