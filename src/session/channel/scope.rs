//! What does a channel's method use of its connection, and what does it leave there?

use crate::amqp::{Method, encoder};
use crate::broker::ends::Ends;
use crate::broker::flow::firehose::Passage;
use crate::broker::{Broker, Content, QueueKey, Subject};
use crate::outbox::Outbox;
use crate::session::wait::{Wait, WaitUntil};

/// What a method works with besides its channel.
pub struct Scope<'a> {
    /// Whom it asks, and what it changes.
    pub broker: &'a mut Broker,
    /// On whose behalf.
    pub subject: &'a Subject,
    /// What the connection is called.
    pub ends: &'a Ends,
    /// The largest body that may be published.
    pub message_bytes_max: u64,
    /// Where its answers go.
    pub out: Out<'a>,
}

/// The way from a channel to its client.
#[derive(Debug)]
pub struct Out<'a> {
    /// The connection's outbox.
    pub outbox: &'a mut Outbox,
    /// What the connection has to see to.
    pub notes: &'a mut Notes,
    /// The channel's number.
    pub number: u16,
    /// The largest frame.
    pub frame_bytes_max: u32,
}

/// What channels leave for their connection to see to.
#[derive(Debug, Default)]
pub struct Notes {
    /// What it waits for before it reads on.
    pub wait: Option<Wait>,
    /// The client was told something that it asked for.
    pub answered: bool,
    /// A channel has publishes that are not confirmed.
    pub confirming: bool,
    /// A message was returned: the outbox may be full of such.
    pub returned: bool,
    /// When the first of the unacked deliveries has to be acknowledged, in ms since 1970.
    pub acks_due_ms: Option<u64>,
}

impl Scope<'_> {
    /// Copies a message that was published to these queues for the firehose.
    #[cold]
    #[inline(never)]
    pub fn trace_published(&mut self, content: &Content<'_>, queues: &[QueueKey]) {
        let connection = self.ends.to_string();
        let passage = Passage {
            connection: &connection,
            channel: self.out.number,
            user: self.subject.user.as_bytes(),
        };
        self.broker.trace_published(self.subject.vhost, content, queues, &passage);
    }

    /// As [`Scope::answer`]; what does not last, or was only asked for, waits for nothing.
    pub fn answer_declare(&mut self, lasting: bool, nowait: bool, ok: Method<'_>) {
        if lasting {
            self.answer(nowait, ok);
        } else if !nowait {
            self.out.send(&ok);
        }
    }

    /// Sends the -ok, unless the client does not want it; at once, or when the definition that
    /// the method made is on disk.
    pub fn answer(&mut self, nowait: bool, ok: Method<'_>) {
        let until = self.broker.undurable_change().map(WaitUntil::Changed);
        self.out.answer_when(nowait, until, ok);
    }
}

impl Out<'_> {
    /// Answers on the channel.
    pub fn send(&mut self, method: &Method<'_>) {
        self.notes.answered = true;
        encoder::method_frame(self.outbox.buffer(), self.number, method);
    }

    /// Sends the -ok, unless the client does not want it, once something is on disk.
    pub fn answer_when(&mut self, nowait: bool, until: Option<WaitUntil>, ok: Method<'_>) {
        match until {
            _ if nowait => {}
            None => self.send(&ok),
            Some(until) => {
                let mut reply = Vec::new();
                encoder::method_frame(&mut reply, self.number, &ok);
                self.notes.wait = Some(Wait { until, channel: self.number, reply });
            }
        }
    }
}

impl Notes {
    /// Notes when a delivery has to be acknowledged; 0 = never.
    #[inline]
    pub fn note_ack_due(&mut self, due_ms: u64) {
        if due_ms != 0 && self.acks_due_ms.is_none_or(|next| due_ms < next) {
            self.acks_due_ms = Some(due_ms);
        }
    }
}
