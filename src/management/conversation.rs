//! What is one HTTP connection, and what does it wait for?
//!
//! Requests are worked on one after the other: what follows a request stays unread until that one
//! is answered. Who asks is looked at before a body is read. A client that does not read its
//! answers is not worked for ([`OUTBOX_BYTES_MAX`]), and closed when it does not begin to. How
//! much all of them together hold is for the node to say ([`Reception::body_room`]), and whose
//! place somebody else gets, too ([`Conversation::standing`]).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use super::authentication::{Caller, Login, Logins, Origin};
use super::call::{Durable, Right};
use super::coding::{self, Gzip};
use super::cors::{Cors, Headers};
use super::job::{Job, Step, style_of};
use super::request::{self, Framing, Head, Refusal, Request};
use super::response::{self, Response, Style};
use super::router::{self, Found};
use super::sign_in::{self, FORM_BYTES_MAX};
use super::upgrade;
use crate::broker::work::Work;
use crate::broker::{Broker, Users};
use crate::outbox::Outbox;

/// One connection of the HTTP API.
pub struct Conversation {
    origin: Origin,
    /// Where it came in.
    local: Option<SocketAddr>,
    phase: Phase,
    /// How much of the head that arrives was looked at.
    seen: usize,
    /// When what it does has to have gone on.
    due: Option<Instant>,
    /// When the client has to have taken something of what it was answered.
    taken_by: Option<Instant>,
    /// Headers that every answer to this request has.
    further: Headers,
    /// How many bytes of a body it held when that was last asked.
    noted_bytes: u64,
    /// Whether it ever sent a whole head.
    has_asked: bool,
    /// Whether its last request was of somebody who logged in.
    is_known: bool,
    /// When it came, or when its last head was whole.
    since: Instant,
    /// What waits to be sent.
    pub outbox: Outbox,
}

/// What is needed to receive a request.
pub struct Reception<'a> {
    /// Who may ask.
    pub users: &'a mut Users,
    /// Who failed to log in.
    pub logins: &'a mut Logins,
    /// Which other sites' pages may read answers.
    pub cors: &'a Cors,
    /// How many bytes of a body may be held, besides those that are.
    pub body_room: u64,
    /// Whether one more may speak AMQP.
    pub has_place: bool,
}

/// How much a connection has to show for its place; whose place somebody else may have comes
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is at its end.
    Ended,
    /// It never sent a whole head.
    Silent,
    /// It was answered, and nothing is to be done for it now.
    Answered,
    /// Something is done for somebody who did not log in.
    Unknown,
    /// Somebody who did sends a body.
    Sending,
    /// Something is done for him.
    Known,
}

/// What a connection does.
enum Phase {
    /// It waits for a request, of which nothing is there yet.
    Idle,
    /// The head of a request arrives.
    Head,
    /// The body of a login by form arrives.
    Form(Box<Request>, Framing, Found),
    /// So many logins from there failed that this one is looked at later.
    Held(Box<Request>, Framing, Found),
    /// The body of a request arrives.
    Body(Job, Framing),
    /// A request was refused, and so many bytes of its body are thrown away.
    Skipping(u64),
    /// A request is to be worked on.
    Working(Job),
    /// Somebody works on it.
    AtWork,
    /// It goes on when publishers do.
    Blocked(Job),
    /// Something has to be durable before this is sent.
    Waiting(Durable, Response, Style),
    /// What follows is AMQP over WebSocket.
    Upgraded,
    /// Nothing more is read; the socket closes when the outbox is empty.
    Closed,
}

/// A client whose outbox has this many bytes is not worked for until it took most of them.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Work goes on when the outbox is down to this.
const OUTBOX_BYTES_RESUMED: usize = 64 * 1024;

/// The body of a refused request is thrown away, and the connection stays, if it is no longer.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;

/// All clients together sent so much that this body is not taken.
const NO_ROOM: Refusal =
    Refusal { status: 503, reason: "too many bodies of requests arrive at once: try again later" };

/// How long a head or a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// How long a connection may be idle.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a request may wait for publishers to go on: there are not many connections, and most
/// clients wait no longer.
const ROOM_WITHIN: Duration = Duration::from_secs(30);

/// How long a client may take nothing of what it was answered.
const TAKES_WITHIN: Duration = Duration::from_secs(60);

impl Conversation {
    /// A connection that was just accepted.
    pub fn new(origin: Origin, now: Instant) -> Self {
        let due = Some(now + IDLE_MAX);
        let outbox = Outbox::default();
        Self {
            origin,
            local: None,
            phase: Phase::Idle,
            seen: 0,
            due,
            taken_by: None,
            further: Headers::new(),
            noted_bytes: 0,
            has_asked: false,
            is_known: false,
            since: now,
            outbox,
        }
    }

    /// Takes what the client sent; the number of bytes that are done with. What is left is the
    /// beginning of a head or of a line, or all that follows a request.
    pub fn receive(&mut self, reception: &mut Reception<'_>, input: &[u8], now: Instant) -> usize {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let taken = match &mut self.phase {
                Phase::Idle | Phase::Head => self.take_head(reception, rest, now),
                Phase::Body(..) => self.take_body(reception, rest),
                Phase::Form(..) => self.take_form(reception, rest, now),
                Phase::Skipping(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.phase = Phase::Idle;
                    }
                    taken
                }
                Phase::Closed => return input.len(),
                Phase::Held(..)
                | Phase::Working(_)
                | Phase::AtWork
                | Phase::Blocked(_)
                | Phase::Waiting(..)
                | Phase::Upgraded => break,
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    fn take_head(&mut self, reception: &mut Reception<'_>, input: &[u8], now: Instant) -> usize {
        // Line ends between requests are nobody's (RFC 9112 section 2.2).
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.seen = 0;
            return blank;
        }
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Head;
            self.due = Some(now + ARRIVES_WITHIN);
            self.further = Headers::new();
        }
        match request::parse(input, std::mem::replace(&mut self.seen, input.len())) {
            Ok(Head::Incomplete) => 0,
            Ok(Head::Complete(request, bytes, framing)) => {
                self.seen = 0;
                self.has_asked = true;
                self.since = now;
                self.begin(reception, request, framing, now);
                bytes
            }
            Err(refusal) => {
                self.refuse(refusal);
                input.len()
            }
        }
    }

    /// A head is there: where does it lead, and who asks?
    fn begin(
        &mut self,
        reception: &mut Reception<'_>,
        request: Box<Request>,
        framing: Framing,
        now: Instant,
    ) {
        self.is_known = false;
        if self.origin.is_scraper() && !router::is_of_metrics(&request) {
            return self.answer_unread(&request, framing, &Response::not_found());
        }
        if upgrade::is_asked(&request) {
            return self.upgrade(reception, &request, framing);
        }
        let found = router::find(&request);
        let methods = found.as_ref().err().and_then(|response| response.value_of("allow"));
        self.further = reception.cors.headers(&request, methods);
        match found {
            Ok(found) if found.right == Right::Anyone => {
                if framing == Framing::COMPLETE {
                    return self.let_in(reception, *request, framing, found, Caller::anyone());
                }
                let response = Response::bad_request("no body is taken here");
                self.answer_unread(&request, framing, &response);
            }
            Ok(found) if found.right == Right::Login => {
                self.await_form(reception, (request, framing, found), now);
            }
            Ok(found) => self.log_in(reception, (request, framing, found), false, now),
            Err(response) => self.answer_unread(&request, framing, &response),
        }
    }

    /// Somebody asks for AMQP over WebSocket, which is to be had at the port.
    fn upgrade(&mut self, reception: &Reception<'_>, request: &Request, framing: Framing) {
        if self.origin == Origin::Owner {
            return self.answer_unread(request, framing, &Response::not_found());
        }
        let response = upgrade::answer(request, framing, reception.cors, reception.has_place);
        if response.status == 101 {
            self.write(&response, Style { keep_alive: true, ..style_of(request) });
            self.phase = Phase::Upgraded;
            self.due = None;
            return;
        }
        debug!("{}: WebSocket refused with {}", self.origin, response.status);
        self.answer_unread(request, framing, &response);
    }

    fn log_in(
        &mut self,
        reception: &mut Reception<'_>,
        (request, framing, found): (Box<Request>, Framing, Found),
        has_waited: bool,
        now: Instant,
    ) {
        let Reception { users, logins, .. } = reception;
        let asked = (&*request, found.right);
        match sign_in::check(logins, users, self.origin, asked, has_waited, now) {
            Login::Granted(caller) => match caller.check(found.right) {
                Ok(()) => self.let_in(reception, *request, framing, found, caller),
                Err(response) => self.answer_unread(&request, framing, &response),
            },
            Login::Refused(response) => self.answer_unread(&request, framing, &response),
            Login::Later(at) => {
                self.phase = Phase::Held(request, framing, found);
                self.due = Some(at);
            }
        }
    }

    /// The head of a login by form is there: who asks is looked at once its body is. Nobody in
    /// particular sends it, so that it has to be short.
    fn await_form(
        &mut self,
        reception: &mut Reception<'_>,
        (request, framing, found): (Box<Request>, Framing, Found),
        now: Instant,
    ) {
        match framing {
            Framing::COMPLETE => self.log_in(reception, (request, framing, found), false, now),
            Framing::Length(1..=FORM_BYTES_MAX) => {
                if request.expects_continue() {
                    self.outbox.buffer().extend_from_slice(response::CONTINUE);
                }
                self.phase = Phase::Form(request, framing, found);
            }
            Framing::Length(_)
            | Framing::ChunkSize
            | Framing::Chunk(_)
            | Framing::ChunkEnd
            | Framing::Trailer(_) => {
                let text = format!("a login has a length, and at most {FORM_BYTES_MAX} bytes");
                let response = Response::error(413, "bad_request", &text);
                self.answer_unread(&request, framing, &response);
            }
        }
    }

    fn take_form(&mut self, reception: &mut Reception<'_>, input: &[u8], now: Instant) -> usize {
        let Phase::Form(request, framing, _) = &mut self.phase else {
            return 0;
        };
        let taken = match framing.take(input, &mut request.body) {
            Ok(taken) => taken,
            Err(refusal) => {
                self.refuse(refusal);
                return input.len();
            }
        };
        if *framing == Framing::COMPLETE
            && let Phase::Form(request, framing, found) =
                std::mem::replace(&mut self.phase, Phase::Idle)
        {
            self.log_in(reception, (request, framing, found), false, now);
        }
        taken
    }

    fn let_in(
        &mut self,
        reception: &Reception<'_>,
        request: Request,
        framing: Framing,
        found: Found,
        caller: Caller,
    ) {
        if let Framing::Length(bytes) = framing
            && bytes > reception.body_room
        {
            let response = Response::error(NO_ROOM.status, "bodies", NO_ROOM.reason);
            return self.answer_unread(&request, framing, &response);
        }
        self.is_known = found.right != Right::Anyone;
        if framing != Framing::COMPLETE && request.expects_continue() {
            self.outbox.buffer().extend_from_slice(response::CONTINUE);
        }
        let job = Job::new(request, caller, found);
        self.phase = if framing == Framing::COMPLETE {
            Phase::Working(job)
        } else {
            Phase::Body(job, framing)
        };
        self.due = None;
    }

    fn take_body(&mut self, reception: &Reception<'_>, input: &[u8]) -> usize {
        let Phase::Body(job, framing) = &mut self.phase else {
            return 0;
        };
        let before = job.body_mut().len();
        match framing.take(input, job.body_mut()) {
            Ok(_) if (job.body_mut().len() - before) as u64 > reception.body_room => {
                self.refuse(NO_ROOM);
                input.len()
            }
            Ok(taken) => {
                if *framing == Framing::COMPLETE
                    && let Phase::Body(job, _) = std::mem::replace(&mut self.phase, Phase::Idle)
                {
                    self.phase = Phase::Working(job);
                }
                if taken > 0 {
                    self.due = None;
                }
                taken
            }
            Err(refusal) => {
                self.refuse(refusal);
                input.len()
            }
        }
    }

    /// What came is no request: nobody knows where the next one begins.
    fn refuse(&mut self, refusal: Refusal) {
        debug!("{}: HTTP request refused: {}", self.origin, refusal.reason);
        let response = Response::error(refusal.status, "bad_request", refusal.reason);
        self.close_with(&response);
    }

    fn close_with(&mut self, response: &Response) {
        let style = Style { chunks: false, keep_alive: false, head_only: false, gzip: false };
        self.write(response, style);
        self.close();
    }

    fn write(&mut self, response: &Response, style: Style) {
        response::write(&mut self.outbox, response, &self.further, style);
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.due = None;
    }

    /// Answers a request whose body is not looked at. After a long one, or one that may never
    /// come, the connection is of no more use.
    fn answer_unread(&mut self, request: &Request, framing: Framing, response: &Response) {
        let mut style = style_of(request);
        let skipped = match framing {
            Framing::Length(bytes) if bytes <= SKIPPED_BYTES_MAX => Some(bytes),
            Framing::Length(_)
            | Framing::ChunkSize
            | Framing::Chunk(_)
            | Framing::ChunkEnd
            | Framing::Trailer(_) => None,
        };
        let skipped = skipped.filter(|bytes| *bytes == 0 || !request.expects_continue());
        style.keep_alive &= skipped.is_some();
        self.write(response, style);
        self.finish(style);
        if let Some(bytes) = skipped.filter(|bytes| *bytes > 0)
            && style.keep_alive
        {
            self.phase = Phase::Skipping(bytes);
        }
    }

    /// The answer is in the outbox. While it is there, it is to leave; afterwards the next request
    /// is to come.
    fn finish(&mut self, style: Style) {
        self.phase = if style.keep_alive { Phase::Idle } else { Phase::Closed };
        self.due = None;
    }

    /// A time limit came; `false`: the socket has to be closed.
    pub fn tick(&mut self, reception: &mut Reception<'_>, now: Instant) -> bool {
        if self.taken_by.is_some_and(|at| at <= now) {
            debug!("{}: it takes no answers, the HTTP connection is closed", self.origin);
            return false;
        }
        if self.due.is_none_or(|at| now < at) {
            return true;
        }
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Held(request, framing, found) => {
                self.log_in(reception, (request, framing, found), true, now);
                true
            }
            Phase::Head | Phase::Body(..) | Phase::Form(..) | Phase::Skipping(_) => {
                let text = "the request did not arrive within 30 s";
                self.close_with(&Response::error(408, "request_timeout", text));
                true
            }
            Phase::Blocked(mut job) => {
                job.is_late = true;
                self.phase = Phase::Working(job);
                true
            }
            phase @ (Phase::Working(_) | Phase::AtWork | Phase::Waiting(..) | Phase::Upgraded) => {
                self.phase = phase;
                true
            }
            Phase::Idle | Phase::Closed => false,
        }
    }

    /// Something changed: notes until when it has to go on.
    pub fn note_deadlines(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle => {
                self.due.get_or_insert(now + IDLE_MAX);
            }
            Phase::Head | Phase::Body(..) | Phase::Form(..) | Phase::Skipping(_) => {
                self.due.get_or_insert(now + ARRIVES_WITHIN);
            }
            Phase::Blocked(_) => {
                self.due.get_or_insert(now + ROOM_WITHIN);
            }
            // It has its own.
            Phase::Held(..) => {}
            // That is ours to do.
            Phase::Working(_)
            | Phase::AtWork
            | Phase::Waiting(..)
            | Phase::Upgraded
            | Phase::Closed => {
                self.due = None;
            }
        }
        match self.outbox.is_empty() {
            true => self.taken_by = None,
            false => {
                self.taken_by.get_or_insert(now + TAKES_WITHIN);
            }
        }
    }

    /// Bytes of the outbox went to the kernel.
    pub fn flushed(&mut self, bytes: usize, now: Instant) {
        self.outbox.advance(bytes);
        self.taken_by = None;
        self.note_deadlines(now);
    }

    /// What it waited for is durable: the answer goes out.
    pub fn wait_is_over(&mut self) {
        if let Phase::Waiting(_, response, style) = std::mem::replace(&mut self.phase, Phase::Idle)
        {
            self.write(&response, style);
            self.finish(style);
        }
    }

    /// Takes the request that is to be worked on.
    pub fn take_job(&mut self) -> Option<Job> {
        if !self.wants_work() {
            return None;
        }
        let Phase::Working(job) = std::mem::replace(&mut self.phase, Phase::AtWork) else {
            return None;
        };
        Some(job)
    }

    /// A step of the request is done: `piece` is the next part of the answer.
    pub fn put_back(&mut self, mut job: Job, step: Step, piece: &[u8], work: &mut Work) {
        let style = job.style();
        match step {
            Step::AwaitsRoom => self.phase = Phase::Blocked(job),
            Step::Unfinished => {
                if !piece.is_empty() {
                    self.stream(&mut job, piece, work);
                }
                self.phase = Phase::Working(job);
            }
            Step::Finished if job.is_streaming => {
                self.stream(&mut job, piece, work);
                if let Some(mut gzip) = job.gzip {
                    response::write_piece(&mut self.outbox, &gzip.end(), style);
                }
                response::end_stream(&mut self.outbox, style);
                self.finish(Style { keep_alive: style.keep_alive && style.chunks, ..style });
            }
            Step::Finished => {
                let mut response = Response { body: piece.to_vec(), ..Response::empty(200) }
                    .header("content-type", job.content_type());
                response.headers.extend(job.header());
                self.write(&packed(response, style, work), style);
                self.finish(style);
            }
            Step::Answer(response, None) => {
                self.write(&packed(response, style, work), style);
                self.finish(style);
            }
            Step::Answer(response, Some(durable)) => {
                self.phase = Phase::Waiting(durable, packed(response, style, work), style);
            }
        }
    }

    /// Appends a piece of an answer whose length is not known.
    fn stream(&mut self, job: &mut Job, piece: &[u8], work: &mut Work) {
        let style = job.style();
        if !std::mem::replace(&mut job.is_streaming, true) {
            self.further.extend(job.header());
            if style.gzip {
                let (name, value) = coding::CONTENT_ENCODING;
                self.further.push((name, value.to_owned()));
                job.gzip = Some(Gzip::default());
            }
            response::begin_stream(&mut self.outbox, job.content_type(), &self.further, style);
        }
        match &mut job.gzip {
            // Nobody packs what nobody gets.
            _ if style.head_only => {}
            Some(gzip) => {
                response::write_piece(&mut self.outbox, &gzip.piece(piece, work), style);
            }
            None => response::write_piece(&mut self.outbox, piece, style),
        }
    }

    /// Publishers may go on: so does a request that waited for that.
    pub fn unblock(&mut self) {
        if !self.awaits_room() {
            return;
        }
        if let Phase::Blocked(job) = std::mem::replace(&mut self.phase, Phase::AtWork) {
            self.phase = Phase::Working(job);
        }
    }

    /// Whether its request waits until publishers go on.
    pub fn awaits_room(&self) -> bool {
        matches!(self.phase, Phase::Blocked(_))
    }

    /// Nobody goes on with its request: what that took goes back.
    pub fn abandon(&mut self, broker: &mut Broker) {
        if let Phase::Working(job) | Phase::Blocked(job) = &mut self.phase {
            job.abandon(broker);
        }
    }

    /// The node ends: a client whose answer has not begun is told so.
    pub fn stop(&mut self) {
        let is_unanswered = match &self.phase {
            Phase::Working(job) => !job.is_streaming,
            Phase::Waiting(..) | Phase::Blocked(_) => true,
            Phase::Idle
            | Phase::Head
            | Phase::Held(..)
            | Phase::Form(..)
            | Phase::Body(..)
            | Phase::Skipping(_)
            | Phase::AtWork
            | Phase::Upgraded
            | Phase::Closed => false,
        };
        if is_unanswered {
            self.close_with(&Response::error(503, "stopping", "the broker stops"));
        }
        self.close();
    }

    /// How many bytes of a body it holds: `total`, which is that of all, is brought up to date.
    pub fn note_held(&mut self, total: &mut u64) {
        let bytes = match &self.phase {
            Phase::Body(job, _) | Phase::Working(job) | Phase::Blocked(job) => job.held_bytes(),
            Phase::Form(request, ..) | Phase::Held(request, ..) => request.body.len() as u64,
            Phase::Idle
            | Phase::Head
            | Phase::Skipping(_)
            | Phase::AtWork
            | Phase::Waiting(..)
            | Phase::Upgraded
            | Phase::Closed => 0,
        };
        *total = *total + bytes - std::mem::replace(&mut self.noted_bytes, bytes);
    }

    /// It goes, with what it held.
    pub fn forget_held(&mut self, total: &mut u64) {
        *total -= std::mem::take(&mut self.noted_bytes);
    }

    /// How much it has to show for its place, and when it last sent a whole head, if it ever did.
    pub fn standing(&self) -> (Standing, Instant) {
        let served = if self.is_known { Standing::Known } else { Standing::Unknown };
        let standing = match &self.phase {
            Phase::Body(..) | Phase::Form(..) => served.min(Standing::Sending),
            Phase::Working(_) | Phase::AtWork | Phase::Blocked(_) | Phase::Waiting(..) => served,
            Phase::Upgraded => served,
            // The client is still to get what it was answered.
            Phase::Idle | Phase::Head if self.has_asked && !self.outbox.is_empty() => served,
            Phase::Idle | Phase::Head if !self.has_asked => Standing::Silent,
            Phase::Idle | Phase::Head | Phase::Held(..) | Phase::Skipping(_) => Standing::Answered,
            Phase::Closed if self.outbox.is_empty() => Standing::Ended,
            Phase::Closed => Standing::Silent,
        };
        (standing, self.since)
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// When [`Conversation::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.taken_by).min()
    }

    /// What has to be durable before it goes on.
    pub fn waits_for(&self) -> Option<Durable> {
        match self.phase {
            Phase::Waiting(durable, ..) => Some(durable),
            Phase::Idle
            | Phase::Head
            | Phase::Held(..)
            | Phase::Form(..)
            | Phase::Body(..)
            | Phase::Skipping(_)
            | Phase::Working(_)
            | Phase::AtWork
            | Phase::Blocked(_)
            | Phase::Upgraded
            | Phase::Closed => None,
        }
    }

    /// Whether there is a request to work on, and room for its answer.
    pub fn wants_work(&self) -> bool {
        matches!(self.phase, Phase::Working(_)) && self.outbox.len() < OUTBOX_BYTES_MAX
    }

    /// Whether work that paused because of the outbox goes on now.
    pub fn has_room_again(&self) -> bool {
        matches!(self.phase, Phase::Working(_)) && self.outbox.len() <= OUTBOX_BYTES_RESUMED
    }

    /// Whether what comes next is read now.
    pub fn may_read(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Head | Phase::Body(..) | Phase::Form(..) | Phase::Skipping(_) => {
                self.outbox.len() < OUTBOX_BYTES_MAX
            }
            Phase::Closed => true,
            Phase::Held(..)
            | Phase::Working(_)
            | Phase::AtWork
            | Phase::Blocked(_)
            | Phase::Waiting(..)
            | Phase::Upgraded => false,
        }
    }

    /// Whether what follows is AMQP over WebSocket: HTTP has said in the outbox all that it has to.
    pub fn is_upgraded(&self) -> bool {
        matches!(self.phase, Phase::Upgraded)
    }

    /// It came in there.
    pub fn note_arrival(&mut self, local: SocketAddr) {
        self.local = Some(local);
    }

    /// Where it came in, if somebody said so.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether nothing more is read and the socket has to be closed once the outbox is empty.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }
}

/// The same answer, as the client would rather have it.
fn packed(response: Response, style: Style, work: &mut Work) -> Response {
    if style.gzip { coding::pack(response, work) } else { response }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
