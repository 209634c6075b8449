//! One AMQP connection as a state machine: bytes in, bytes out, no socket.
//!
//! A [`Session`] is fed with what the client sent and changes the broker; what the client
//! gets is in its [`Outbox`]. Time comes as an argument. May import `amqp`, `outbox`, `tls`
//! and `broker`.

mod channel;
mod channels;
mod closing;
mod events;
mod handshake;
mod heartbeat;
mod mechanism;
mod numbers;
mod output;
mod sight;
mod timeouts;
mod wait;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::amqp::method::connection;
use crate::amqp::{AmqpError, Frame, FrameKind, Method, Parsed, ReplyCode, tolerated_bytes};
use crate::broker::ends::Ends;
use crate::broker::{Broker, ConnectionKey, Handed, QueueKey, Subject};
use crate::outbox::Outbox;
use crate::tls;

use channel::Notes;
use handshake::{FRAME_BYTES_MIN, Handshake};
use heartbeat::Heartbeat;
use numbers::Numbers;

pub use handshake::Limits;
pub use mechanism::Mechanisms;
pub use sight::ChannelSight;
pub use wait::{Wait, WaitUntil};

/// One client's connection.
#[derive(Debug)]
pub struct Session {
    key: ConnectionKey,
    ends: Ends,
    phase: Phase,
    frame_bytes_max: u32,
    heartbeat: Heartbeat,
    /// By channel number; 0 is unused.
    channels: Numbers,
    /// What the client knows how to handle.
    capabilities: handshake::Capabilities,
    limits: Limits,
    /// What its channels left for it to see to.
    notes: Notes,
    /// What it sent next is a publish or a commit that the log has no room for.
    awaits_room: bool,
    /// What it sent next looks at this queue, which has messages for consumers that wait.
    looks_at: Option<QueueKey>,
    /// What it sent next was begun, and goes on when it comes again in the next turn.
    comes_again: bool,
    /// It is not read until there is room, memory or disk again.
    blocked: bool,
    /// It was told so (`connection.blocked`).
    told_blocked: bool,
    /// The consumers were told that the outbox takes no more.
    full: bool,
    /// Nothing is read until the client took some of what it was answered.
    overfull: bool,
    /// Which channel's consumers were told first, when the outbox took more again.
    first_told: usize,
    /// The log says why the connection ends.
    said_why: bool,
    /// What operators see of it.
    seen: sight::Seen,
    /// What TLS agreed on, where it is spoken.
    tls: Option<Box<tls::Peer>>,
    /// What waits to be sent.
    pub outbox: Outbox,
}

/// Where a connection is in its life (AMQP 0-9-1 section 1.4).
#[derive(Debug)]
enum Phase {
    /// Until `connection.open-ok`, or the refusal.
    Handshake(Handshake),
    /// Between `open-ok` and either side's close.
    Open(Subject),
    /// `connection.close` was sent; only its answer counts.
    Closing,
    /// The client closed the connection and was answered. Its threads may close it again, and are
    /// answered too, until it ends its stream.
    Left,
    /// Nothing more is read; the socket closes when the outbox is empty and, where a time is
    /// given, not before it.
    Closed(Option<Instant>),
}

/// What a step made of the input.
enum Step {
    /// It took this many bytes.
    Took(usize),
    /// A frame is not complete.
    NeedsMore,
    /// What comes next has to come again later: the log has no room for it, or a queue has to be
    /// delivered from first.
    ComesAgain,
}

/// An outbox with this many bytes takes no more deliveries.
pub const OUTBOX_BYTES_MAX: usize = 512 * 1024;

/// Deliveries go on when a full outbox is down to this.
pub const OUTBOX_BYTES_RESUMED: usize = 128 * 1024;

/// An outbox with this many bytes takes no more answers: its client is not read until it took some.
/// So far above [`OUTBOX_BYTES_MAX`] that who only consumes and publishes, or sends heartbeats and
/// acknowledgements, is always read.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A client is read again when its outbox is down to this.
pub const ANSWER_BYTES_RESUMED: usize = 2 * 1024 * 1024;

/// How long a client that closed the connection may take to end its stream.
const LEFT_WITHIN: Duration = Duration::from_secs(30);

/// How long a client may take to answer `connection.close`.
const CLOSE_OK_WITHIN: Duration = Duration::from_secs(10);

impl Session {
    /// A connection that was just accepted.
    pub fn new(key: ConnectionKey, peer: SocketAddr, limits: Limits, now: Instant) -> Self {
        Self {
            key,
            ends: Ends { peer, local: None },
            phase: Phase::Handshake(Handshake::start()),
            frame_bytes_max: FRAME_BYTES_MIN.min(limits.frame_bytes_max),
            heartbeat: Heartbeat::handshake(now),
            channels: Numbers::default(),
            capabilities: handshake::Capabilities::default(),
            limits,
            notes: Notes::default(),
            awaits_room: false,
            looks_at: None,
            comes_again: false,
            blocked: false,
            told_blocked: false,
            full: false,
            overfull: false,
            first_told: 0,
            said_why: false,
            seen: sight::Seen::default(),
            tls: None,
            outbox: Outbox::default(),
        }
    }

    /// Takes what the client sent; the number of bytes that are done with. What is left is
    /// the beginning of a frame, or all that follows once the session waits. Messages that went
    /// into `handed` have to be given to their sessions ([`Session::take_handed`]) at once; then
    /// the queue that comes next ([`Session::looks_at`]) has to be delivered from.
    pub fn receive<'a>(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        input: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> usize {
        self.heartbeat.received(now);
        self.awaits_room = false;
        self.looks_at = None;
        self.comes_again = false;
        let mut at = 0;
        while at < input.len()
            && self.notes.wait.is_none()
            && !self.overfull
            && !broker.work.is_done()
        {
            if matches!(self.phase, Phase::Closed(_)) {
                return input.len();
            }
            match self.step(broker, now, &input[at..], handed) {
                Ok(Step::Took(bytes)) => {
                    broker.work.spend(1);
                    broker.work.spend_bytes(bytes as u64);
                    at += bytes;
                }
                Ok(Step::NeedsMore | Step::ComesAgain) => break,
                Err(error) => self.close_with(broker, now, &error),
            }
            self.note_answers(now);
        }
        self.seen.note_received(at);
        at
    }

    /// One frame, with the content behind it where it lies whole in the input. Errors are on
    /// the connection's level.
    #[inline]
    fn step<'a>(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        input: &'a [u8],
        handed: &mut Vec<Handed<'a>>,
    ) -> Result<Step, AmqpError> {
        if matches!(self.phase, Phase::Handshake(Handshake::Header)) {
            return Ok(self.take_protocol_header(now, input));
        }
        let (frame, bytes) = match Frame::parse(input, tolerated_bytes(self.frame_bytes_max))? {
            Parsed::Complete(frame, bytes) => (frame, bytes),
            Parsed::Incomplete => return Ok(Step::NeedsMore),
        };
        match &self.phase {
            Phase::Open(_) if frame.channel != 0 => {
                match self.channel_frame(broker, &frame, &input[bytes..], handed)? {
                    Step::Took(more) => Ok(Step::Took(bytes + more)),
                    step @ (Step::NeedsMore | Step::ComesAgain) => Ok(step),
                }
            }
            Phase::Handshake(_) | Phase::Open(_) | Phase::Closing | Phase::Left => {
                self.connection_frame(broker, now, &frame)?;
                Ok(if self.comes_again { Step::ComesAgain } else { Step::Took(bytes) })
            }
            Phase::Closed(_) => Ok(Step::Took(input.len())),
        }
    }

    // Seldom: kept apart, so that the way of a publish becomes one function.
    #[inline(never)]
    fn connection_frame(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        frame: &Frame<'_>,
    ) -> Result<(), AmqpError> {
        let closing = matches!(self.phase, Phase::Closing | Phase::Left);
        match frame.kind {
            FrameKind::Heartbeat if frame.channel == 0 || closing => Ok(()),
            FrameKind::Heartbeat => Err(AmqpError::connection(
                ReplyCode::UnexpectedFrame,
                format!("heartbeat frame on channel {}", frame.channel),
            )),
            FrameKind::Method if frame.channel == 0 => {
                let method = Method::decode(frame.payload)?;
                self.connection_method(broker, now, method)
            }
            FrameKind::Method | FrameKind::Header | FrameKind::Body if closing => Ok(()),
            FrameKind::Method => Err(AmqpError::connection(
                ReplyCode::ChannelError,
                format!("channel {} is used before the connection is open", frame.channel),
            )),
            FrameKind::Header | FrameKind::Body => Err(AmqpError::connection(
                ReplyCode::UnexpectedFrame,
                format!("content frame on channel {}", frame.channel),
            )),
        }
    }

    fn connection_method(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        method: Method<'_>,
    ) -> Result<(), AmqpError> {
        match (&self.phase, method) {
            (Phase::Closing, Method::ConnectionCloseOk(_)) => {
                self.phase = Phase::Closed(None);
                Ok(())
            }
            (Phase::Left, Method::ConnectionClose(_)) => {
                self.send(0, &Method::ConnectionCloseOk(connection::CloseOk {}));
                Ok(())
            }
            (_, Method::ConnectionClose(_)) => {
                self.comes_again = !self.give_back_all(broker);
                if self.comes_again {
                    return Ok(());
                }
                self.end(broker);
                self.send(0, &Method::ConnectionCloseOk(connection::CloseOk {}));
                self.phase = match self.phase {
                    Phase::Closing => Phase::Closed(None),
                    Phase::Handshake(_) | Phase::Open(_) | Phase::Left | Phase::Closed(_) => {
                        self.heartbeat.over_by(now + LEFT_WITHIN);
                        Phase::Left
                    }
                };
                Ok(())
            }
            (Phase::Closing | Phase::Left | Phase::Closed(_), _) => Ok(()),
            (Phase::Handshake(_), method) => self.handshake_method(broker, now, method),
            (Phase::Open(_), Method::ConnectionUpdateSecret(update)) => {
                self.update_secret(&update);
                Ok(())
            }
            (Phase::Open(_), method) => Err(unexpected_method(&method, "running")),
        }
    }
}

/// 504: the method makes no sense on channel 0 in this state of the connection.
fn unexpected_method(method: &Method<'_>, state: &str) -> AmqpError {
    let (class, id) = method.id();
    let text = format!("unexpected method in connection state {state}");
    AmqpError::connection(ReplyCode::ChannelError, text).at(class, id)
}
