//! Which time limits does a session have, and what happens when one is over?

use std::time::Instant;

use log::warn;

use crate::amqp::{AmqpError, ReplyCode, encoder};
use crate::broker::Broker;

use super::channel::ChannelState;
use super::heartbeat::Due;
use super::{Phase, Session};

impl Session {
    /// When [`Session::tick`] has something to do because of a heartbeat, a handshake or a
    /// close; `None` = never.
    pub fn deadline(&self) -> Option<Instant> {
        self.heartbeat.next()
    }

    /// When [`Session::tick`] has something to do because of a delivery that was not
    /// acknowledged, in ms since 1970.
    pub fn acks_due_ms(&self) -> Option<u64> {
        self.notes.acks_due_ms
    }

    /// The process stood still until now, and may not have heard its client.
    pub fn resumed(&mut self, now: Instant) {
        self.heartbeat.resumed(now);
    }

    /// A time limit came: a heartbeat goes out, a channel closes, or `false`: the socket has
    /// to be closed.
    pub fn tick(&mut self, broker: &mut Broker, now: Instant) -> bool {
        if self.notes.acks_due_ms.is_some_and(|due_ms| broker.clock_ms() >= due_ms) {
            self.close_late_channels(broker);
        }
        match self.heartbeat.due(now) {
            Due::Nothing => true,
            Due::Beat => {
                encoder::heartbeat_frame(self.outbox.buffer());
                self.heartbeat.sent(now);
                true
            }
            Due::Over => {
                let why = match self.phase {
                    // It may take its time, and has taken it.
                    Phase::Left => return false,
                    Phase::Handshake(_) => "the handshake took too long",
                    Phase::Open(_) => "missed heartbeats from the client",
                    Phase::Closing => "the client did not answer connection.close",
                    Phase::Closed(_) => "the login was refused",
                };
                warn!("{}: closing the socket: {why}", self.ends.peer);
                self.said_why = true;
                false
            }
        }
    }

    /// `x-consumer-timeout`: 406 on channels with a delivery that was not acknowledged in
    /// time.
    fn close_late_channels(&mut self, broker: &mut Broker) {
        self.notes.acks_due_ms = None;
        let now_ms = broker.clock_ms();
        let mut late = Vec::new();
        let mut next_ms: Option<u64> = None;
        for channel in self.open_channels() {
            let waiting = channel.unacked.iter().filter(|unsettled| unsettled.due_ms != 0);
            let Some(first) = waiting.min_by_key(|unsettled| unsettled.due_ms) else {
                continue;
            };
            if first.due_ms <= now_ms {
                late.push((channel.number, broker.queues().consumer_timeout_of(first.queue)));
            } else {
                next_ms = Some(next_ms.map_or(first.due_ms, |next| next.min(first.due_ms)));
            }
        }
        self.notes.acks_due_ms = next_ms;
        for (number, timeout_ms) in late {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: \
                 {timeout_ms} ms. This timeout value can be configured, see consumers doc guide \
                 to learn more"
            );
            let error = AmqpError::channel(ReplyCode::PreconditionFailed, text);
            if let Some(ChannelState::Open(_)) = self.channels.get(number) {
                self.close_channel_with(broker, number, &error);
            }
        }
    }
}
