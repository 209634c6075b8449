//! Which channels does a connection have, and which one is a frame for?

use crate::amqp::method::channel as channel_methods;
use crate::amqp::{AmqpError, Frame, FrameKind, Level, Method, ReplyCode};
use crate::broker::{Broker, Committed, Handed, Subject};

use super::channel::{Channel, ChannelState, Out, Progress, Scope};
use super::{Phase, Session, Step};

impl Session {
    /// A frame on a channel's number, with the input behind it. Errors are on the connection's
    /// level; those of a channel are dealt with here.
    #[inline]
    pub(super) fn channel_frame<'a>(
        &mut self,
        broker: &mut Broker,
        frame: &Frame<'a>,
        rest: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> Result<Step, AmqpError> {
        let progress = match self.open_channel_at(broker, frame.channel) {
            Some((channel, mut scope)) => channel.frame(&mut scope, frame, rest, handed),
            None => self.frame_without_channel(broker, frame).map(|()| Progress::Took(0)),
        };
        if std::mem::take(&mut self.notes.returned) {
            self.note_outbox(broker);
        }
        match progress {
            Ok(Progress::Took(more)) => Ok(Step::Took(more)),
            Ok(Progress::NoRoom) => {
                self.awaits_room = true;
                Ok(Step::ComesAgain)
            }
            Ok(Progress::ComesAgain) => {
                self.comes_again = true;
                Ok(Step::ComesAgain)
            }
            Ok(Progress::LooksAt(queue)) => {
                self.looks_at = Some(queue);
                Ok(Step::ComesAgain)
            }
            Ok(Progress::Closes) => {
                self.channel_close(broker, frame.channel);
                Ok(if self.comes_again { Step::ComesAgain } else { Step::Took(0) })
            }
            Err(error) if error.level == Level::Channel => {
                self.close_channel_with(broker, frame.channel, &error);
                Ok(Step::Took(0))
            }
            Err(error) => Err(error),
        }
    }

    /// The commit that the session waited for is over. If its channel was closed meanwhile, nobody
    /// is told.
    pub fn committed(&mut self, broker: &mut Broker, committed: Committed) {
        let Some(wait) = self.notes.wait.take() else {
            return;
        };
        let result = match self.open_channel_at(broker, wait.channel) {
            Some((channel, mut scope)) => channel.committed(&mut scope, committed),
            None => {
                broker.give_back_failed(committed);
                Ok(())
            }
        };
        if let Err(error) = result {
            self.close_channel_with(broker, wait.channel, &error.at(90, 20));
        }
    }

    /// A frame on a number whose channel is not open, or waits for its `close-ok`.
    // Seldom: kept apart, so that the way of a publish becomes one function.
    #[inline(never)]
    fn frame_without_channel(
        &mut self,
        broker: &mut Broker,
        frame: &Frame<'_>,
    ) -> Result<(), AmqpError> {
        let number = frame.channel;
        if frame.kind == FrameKind::Heartbeat {
            let text = format!("heartbeat frame on channel {number}");
            return Err(AmqpError::connection(ReplyCode::UnexpectedFrame, text));
        }
        let is_closing = matches!(self.channels.get(number), Some(ChannelState::Closing));
        let was_open = is_closing || self.channels.get(number).is_some();
        if frame.kind != FrameKind::Method && is_closing {
            // The rest of what was sent before the client knew.
            return Ok(());
        }
        let method = match frame.kind {
            FrameKind::Method => Some(Method::decode(frame.payload)?),
            FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => None,
        };
        match method {
            Some(Method::ChannelOpen(_)) if is_closing => {
                let text = "second 'channel.open' seen";
                Err(AmqpError::connection(ReplyCode::ChannelError, text).at(20, 10))
            }
            Some(Method::ChannelOpen(_)) => self.open_channel(broker, number),
            Some(Method::ChannelCloseOk(_)) if was_open => {
                self.channels.put(number, ChannelState::Ended);
                Ok(())
            }
            // It was closed already, by the other side or by another thread of the client.
            Some(Method::ChannelClose(_)) if was_open => {
                self.send(number, &Method::ChannelCloseOk(channel_methods::CloseOk {}));
                Ok(())
            }
            Some(_) if is_closing => Ok(()),
            _ => {
                let (class, id) = method.map_or((0, 0), |method| method.id());
                let text = "expected 'channel.open'";
                Err(AmqpError::connection(ReplyCode::ChannelError, text).at(class, id))
            }
        }
    }

    /// 530 when there are as many channels as were negotiated, whatever their numbers, or as the
    /// user may have.
    fn open_channel(&mut self, broker: &mut Broker, number: u16) -> Result<(), AmqpError> {
        let (count, channel_max) = (self.channels.count(), self.limits.channel_max);
        if count >= usize::from(channel_max) {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max \
                 ({channel_max})"
            );
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text).at(20, 10));
        }
        // Frames of channels are looked at on open connections only.
        let Phase::Open(Subject { user, vhost, .. }) = &self.phase else {
            return Ok(());
        };
        broker.check_channel_limit(user).map_err(|error| error.at(20, 10))?;
        let vhost = *vhost;
        let key = broker.queues_mut().open_channel(self.key, number);
        broker.queues_mut().set_room(key, !self.full);
        self.note_channel_created(broker, key, number);
        self.channels.put(number, ChannelState::Open(Box::new(Channel::new(key, number, vhost))));
        self.send(number, &Method::ChannelOpenOk(channel_methods::OpenOk {}));
        Ok(())
    }

    /// The channel with this number, if it is open, and what its methods may use.
    #[inline]
    fn open_channel_at<'a>(
        &'a mut self,
        broker: &'a mut Broker,
        number: u16,
    ) -> Option<(&'a mut Channel, Scope<'a>)> {
        let Phase::Open(subject) = &self.phase else {
            return None;
        };
        let Some(ChannelState::Open(channel)) = self.channels.get_mut(number) else {
            return None;
        };
        let out = Out {
            outbox: &mut self.outbox,
            notes: &mut self.notes,
            number,
            frame_bytes_max: self.frame_bytes_max,
        };
        let message_bytes_max = self.limits.message_bytes_max;
        let ends = &self.ends;
        Some((channel, Scope { broker, subject, ends, message_bytes_max, out }))
    }

    /// The channel of a consumer, and the way to its client.
    ///
    /// # Panics
    /// It is not open: a consumer goes before its channel.
    #[inline]
    pub(super) fn consumers_channel(&mut self, number: u16) -> (&mut Channel, Out<'_>) {
        let Some(ChannelState::Open(channel)) = self.channels.get_mut(number) else {
            unreachable!("a consumer goes before its channel");
        };
        let out = Out {
            outbox: &mut self.outbox,
            notes: &mut self.notes,
            number,
            frame_bytes_max: self.frame_bytes_max,
        };
        (channel, out)
    }

    pub(super) fn open_channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter_map(|state| match state {
            ChannelState::Open(channel) => Some(&**channel),
            ChannelState::Closing | ChannelState::Ended => None,
        })
    }
}
