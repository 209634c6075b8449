//! What does the node keep of a connection: who is at its other end, and the lists that it is on.

use std::time::{Duration, Instant};

use crate::broker::counters::{Listed, Rates};
use crate::broker::{Broker, ConnectionKey, VhostKey};
use crate::management::{Conversation, Durable};
use crate::outbox::Outbox;
use crate::session::{Session, WaitUntil};
use crate::websocket::WebSocket;

use super::deadlines::Deadlines;

/// One connection.
pub struct Endpoint {
    /// What is spoken on it.
    pub(super) peer: Peer,
    /// What its bytes come and go in, if they do not lie in the socket as they are.
    pub(super) carrier: Option<Box<Carrier>>,
    /// It is on the list of those that may have output.
    touched: bool,
    /// It is on the list of those that wait for the disk.
    pub(super) listed_waiting: bool,
    /// It is on the list of those whose confirms wait.
    pub(super) listed_confirming: bool,
    /// It is on the list of those that are blocked.
    pub(super) listed_blocked: bool,
    /// It is on the list of those whose buffers may be freed.
    pub(super) listed_warm: bool,
    /// It had output since its buffers were last looked at.
    pub(super) active: bool,
    /// When it will be asked what is due.
    deadline: Option<Instant>,
    /// It is on the list of conversations that are worked for.
    pub(super) listed_working: bool,
    /// Its socket is of no more use.
    pub(super) gone: bool,
    /// It counts among the connections that were opened.
    pub(super) counted: bool,
    /// It is on the list of those whose traffic is sampled.
    pub(super) listed_traffic: bool,
    /// Where it is open, or was.
    pub(super) vhost: Option<VhostKey>,
    /// Bytes that came and that went each second.
    traffic: Rates<2>,
}

/// What carries the bytes of a session.
pub(super) struct Carrier {
    /// The frames.
    pub(super) web: WebSocket,
    /// Nothing was taken out of it yet.
    pub(super) is_new: bool,
}

/// What is spoken on a connection.
#[allow(clippy::large_enum_variant, reason = "a session is found without another pointer")]
pub(super) enum Peer {
    /// AMQP.
    Amqp(Session),
    /// HTTP, by an operator.
    Http(Box<Conversation>),
}

impl Endpoint {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            carrier: None,
            touched: false,
            listed_waiting: false,
            listed_confirming: false,
            listed_blocked: false,
            listed_warm: false,
            active: false,
            deadline: None,
            listed_working: false,
            gone: false,
            counted: false,
            listed_traffic: false,
            vhost: None,
            traffic: Rates::default(),
        }
    }

    /// The session, where AMQP is spoken.
    #[inline]
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.peer {
            Peer::Amqp(session) => Some(session),
            Peer::Http(_) => None,
        }
    }

    /// The same, to change it.
    #[inline]
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.peer {
            Peer::Amqp(session) => Some(session),
            Peer::Http(_) => None,
        }
    }

    /// Puts it on the list of those whose traffic is sampled, once.
    #[inline]
    pub(super) fn note_traffic(&mut self, listed: &mut Listed<ConnectionKey>, key: ConnectionKey) {
        if !self.listed_traffic {
            self.listed_traffic = true;
            listed.push(key);
        }
    }

    /// What came and went since the last sample counts for its vhost: now, or never.
    pub(super) fn count_for_vhost(&self, broker: &mut Broker) {
        if let Some(vhost) = self.vhost {
            broker.count_traffic(vhost, &self.traffic.grown(&self.bytes()));
        }
    }

    /// What came and went since the last time, so long ago, is the rate now; whether anything did.
    pub(super) fn sample_traffic(&mut self, interval: Duration) -> bool {
        let bytes = self.bytes();
        self.listed_traffic = self.traffic.sample(&bytes, interval);
        self.listed_traffic
    }

    /// Bytes that came and that went each second, lately.
    pub(super) fn traffic_rates(&self) -> [f32; 2] {
        [self.traffic.rate(0), self.traffic.rate(1)]
    }

    /// Bytes that came and that went.
    fn bytes(&self) -> [u64; 2] {
        self.session().map_or([0; 2], |session| session.traffic().map(|(bytes, _)| bytes))
    }

    /// The conversation, where HTTP is spoken.
    pub(super) fn conversation(&self) -> Option<&Conversation> {
        match &self.peer {
            Peer::Amqp(_) => None,
            Peer::Http(conversation) => Some(conversation),
        }
    }

    /// The same, to change it.
    pub(super) fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        match &mut self.peer {
            Peer::Amqp(_) => None,
            Peer::Http(conversation) => Some(conversation),
        }
    }

    /// What waits to be sent, in the form in which it leaves.
    #[inline]
    pub(super) fn outbox(&self) -> &Outbox {
        if let Some(carrier) = &self.carrier {
            return &carrier.web.outbox;
        }
        match &self.peer {
            Peer::Amqp(session) => &session.outbox,
            Peer::Http(conversation) => &conversation.outbox,
        }
    }

    /// Whether something waits to be sent, in whichever form.
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        let has = |carrier: &Carrier| {
            carrier.web.has_answer() || self.session().is_some_and(|it| !it.outbox.is_empty())
        };
        !self.outbox().is_empty() || self.carrier.as_deref().is_some_and(has)
    }

    /// Gives back the memory of what waits to be sent, where nothing does; whether there is some
    /// still.
    pub(super) fn release_memory(&mut self) -> bool {
        let own = match &mut self.peer {
            Peer::Amqp(session) => &mut session.outbox,
            Peer::Http(conversation) => &mut conversation.outbox,
        };
        let carried = self.carrier.as_mut().map(|carrier| &mut carrier.web.outbox);
        let mut holds = false;
        for outbox in [Some(own), carried].into_iter().flatten() {
            outbox.release_memory();
            holds |= outbox.holds_memory();
        }
        holds
    }

    /// What has to be on disk before it goes on.
    #[inline]
    pub(super) fn waits_for(&self) -> Option<WaitUntil> {
        match &self.peer {
            Peer::Amqp(session) => session.waits_for(),
            Peer::Http(conversation) => conversation.waits_for().map(|durable| match durable {
                Durable::Change(change) => WaitUntil::Changed(change),
                Durable::Messages(position) => WaitUntil::Messages(position),
                Durable::Discarded(line) => WaitUntil::Discarded(line),
            }),
        }
    }

    /// What it waited for is on disk.
    pub(super) fn wait_is_over(&mut self) {
        match &mut self.peer {
            Peer::Amqp(session) => session.wait_is_over(),
            Peer::Http(conversation) => conversation.wait_is_over(),
        }
    }

    /// Whether its socket has to be closed once the outbox is empty.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        match &self.peer {
            Peer::Amqp(session) => session.is_closed(),
            Peer::Http(conversation) => conversation.is_closed(),
        }
    }

    /// Puts it on the list of those that may have output, once.
    #[inline]
    pub(super) fn touch(&mut self, touched: &mut Vec<ConnectionKey>, key: ConnectionKey) {
        if !self.touched {
            self.touched = true;
            touched.push(key);
        }
    }

    /// It left the list of those that may have output.
    pub(super) fn untouch(&mut self) {
        self.touched = false;
    }

    /// Makes sure that it is asked when its next time limit comes. One that moved away is kept:
    /// then it is asked early, once.
    #[inline]
    pub(super) fn arm(
        &mut self,
        deadlines: &mut Deadlines,
        key: ConnectionKey,
        at: Option<Instant>,
    ) {
        if let Some(at) = at
            && self.deadline.is_none_or(|before| at < before)
        {
            deadlines.move_session(key, self.deadline, Some(at));
            self.deadline = Some(at);
        }
    }

    /// It left the table of deadlines because its own came.
    pub(super) fn deadline_came(&mut self) {
        self.deadline = None;
    }

    /// It leaves the table of deadlines.
    pub(super) fn disarm(&mut self, deadlines: &mut Deadlines, key: ConnectionKey) {
        deadlines.move_session(key, self.deadline.take(), None);
    }
}
