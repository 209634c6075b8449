//! What is one HTTP connection, and what does it wait for?
//!
//! Requests are worked on one after the other: what follows a request stays unread until that one
//! is answered. Who asks is looked at before a body is read. A client that does not read its
//! answers is not worked for ([`OUTBOX_BYTES_MAX`]), and closed when it does not begin to.

use std::time::{Duration, Instant};

use log::debug;

use super::authentication::{Caller, Login, Logins, Origin};
use super::call::{Answer, Call, Context, Progress, Right, Work};
use super::request::{self, Framing, Head, Method, Refusal, Request};
use super::response::{self, Response, Style};
use super::router::{self, Found};
use crate::broker::Users;
use crate::outbox::Outbox;

/// One connection of the HTTP API.
pub struct Conversation {
    origin: Origin,
    phase: Phase,
    /// How much of the head that arrives was looked at.
    seen: usize,
    /// When what it does has to have gone on.
    due: Option<Instant>,
    /// When the client has to have taken something of what it was answered.
    taken_by: Option<Instant>,
    /// What waits to be sent.
    pub outbox: Outbox,
}

/// What a connection does.
enum Phase {
    /// It waits for a request, of which nothing is there yet.
    Idle,
    /// The head of a request arrives.
    Head,
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
    /// The change of this number has to be durable before this is sent.
    Waiting(u64, Response, Style),
    /// Nothing more is read; the socket closes when the outbox is empty.
    Closed,
}

/// A request that is being worked on.
pub struct Job(Box<Unanswered>);

struct Unanswered {
    request: Request,
    caller: Caller,
    found: Found,
    /// What is left to do, once it was begun.
    work: Option<Box<dyn Work>>,
    /// A part of the answer was sent.
    is_streaming: bool,
}

/// Where a job stands after a step.
pub enum Step {
    /// There is more to do.
    Unfinished,
    /// The piece is the last.
    Finished,
    /// This is the answer; it is sent once the change of this number is durable.
    Answer(Response, Option<u64>),
}

/// A client whose outbox has this many bytes is not worked for until it took most of them.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Work goes on when the outbox is down to this.
const OUTBOX_BYTES_RESUMED: usize = 64 * 1024;

/// The body of a refused request is thrown away, and the connection stays, if it is no longer.
const SKIPPED_BYTES_MAX: u64 = 64 * 1024;

/// How long a head or a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// How long a connection may be idle.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a client may take nothing of what it was answered.
const TAKES_WITHIN: Duration = Duration::from_secs(60);

/// What a request costs before anybody looks at what it asks: its head, and the hash of a password.
const WORK_PER_REQUEST: usize = 60;

impl Conversation {
    /// A connection that was just accepted.
    pub fn new(origin: Origin, now: Instant) -> Self {
        let due = Some(now + IDLE_MAX);
        let outbox = Outbox::default();
        Self { origin, phase: Phase::Idle, seen: 0, due, taken_by: None, outbox }
    }

    /// Takes what the client sent; the number of bytes that are done with. What is left is the
    /// beginning of a head or of a line, or all that follows a request.
    pub fn receive(
        &mut self,
        users: &Users,
        logins: &mut Logins,
        input: &[u8],
        now: Instant,
    ) -> usize {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let taken = match &mut self.phase {
                Phase::Idle | Phase::Head => self.take_head(users, logins, rest, now),
                Phase::Body(..) => self.take_body(rest),
                Phase::Skipping(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.phase = Phase::Idle;
                    }
                    taken
                }
                Phase::Closed => return input.len(),
                Phase::Held(..) | Phase::Working(_) | Phase::AtWork | Phase::Waiting(..) => break,
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    fn take_head(
        &mut self,
        users: &Users,
        logins: &mut Logins,
        input: &[u8],
        now: Instant,
    ) -> usize {
        // Line ends between requests are nobody's (RFC 9112 section 2.2).
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.seen = 0;
            return blank;
        }
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Head;
            self.due = Some(now + ARRIVES_WITHIN);
        }
        match request::parse(input, std::mem::replace(&mut self.seen, input.len())) {
            Ok(Head::Incomplete) => 0,
            Ok(Head::Complete(request, bytes, framing)) => {
                self.seen = 0;
                self.begin(users, logins, request, framing, now);
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
        users: &Users,
        logins: &mut Logins,
        request: Box<Request>,
        framing: Framing,
        now: Instant,
    ) {
        if self.origin.is_scraper() && !router::is_of_metrics(&request) {
            return self.answer_unread(&request, framing, &Response::not_found());
        }
        match router::find(&request) {
            Ok(found) if found.right == Right::Anyone => {
                if framing == Framing::COMPLETE {
                    return self.let_in(*request, framing, found, Caller::anyone());
                }
                let response = Response::bad_request("no body is taken here");
                self.answer_unread(&request, framing, &response);
            }
            Ok(found) => self.log_in(users, logins, (request, framing, found), false, now),
            Err(response) => self.answer_unread(&request, framing, &response),
        }
    }

    fn log_in(
        &mut self,
        users: &Users,
        logins: &mut Logins,
        (request, framing, found): (Box<Request>, Framing, Found),
        has_waited: bool,
        now: Instant,
    ) {
        let authorization = request.header("authorization");
        match logins.check(users, self.origin, authorization, has_waited, now) {
            Login::Granted(caller) => match caller.check(found.right) {
                Ok(()) => self.let_in(*request, framing, found, caller),
                Err(response) => self.answer_unread(&request, framing, &response),
            },
            Login::Refused(response) => self.answer_unread(&request, framing, &response),
            Login::Later(at) => {
                self.phase = Phase::Held(request, framing, found);
                self.due = Some(at);
            }
        }
    }

    fn let_in(&mut self, request: Request, framing: Framing, found: Found, caller: Caller) {
        if framing != Framing::COMPLETE && request.expects_continue() {
            self.outbox.buffer().extend_from_slice(response::CONTINUE);
        }
        let job = Unanswered { request, caller, found, work: None, is_streaming: false };
        let job = Job(Box::new(job));
        self.phase = if framing == Framing::COMPLETE {
            Phase::Working(job)
        } else {
            Phase::Body(job, framing)
        };
        self.due = None;
    }

    fn take_body(&mut self, input: &[u8]) -> usize {
        let Phase::Body(Job(job), framing) = &mut self.phase else {
            return 0;
        };
        match framing.take(input, &mut job.request.body) {
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
        let style = Style { chunks: false, keep_alive: false, head_only: false };
        response::write(&mut self.outbox, response, style);
        self.close();
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
        response::write(&mut self.outbox, response, style);
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
    pub fn tick(&mut self, users: &Users, logins: &mut Logins, now: Instant) -> bool {
        if self.taken_by.is_some_and(|at| at <= now) {
            debug!("{}: it takes no answers, the HTTP connection is closed", self.origin);
            return false;
        }
        if self.due.is_none_or(|at| now < at) {
            return true;
        }
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Held(request, framing, found) => {
                self.log_in(users, logins, (request, framing, found), true, now);
                true
            }
            Phase::Head | Phase::Body(..) | Phase::Skipping(_) => {
                let text = "the request did not arrive within 30 s";
                self.close_with(&Response::error(408, "request_timeout", text));
                true
            }
            phase @ (Phase::Working(_) | Phase::AtWork | Phase::Waiting(..)) => {
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
            Phase::Head | Phase::Body(..) | Phase::Skipping(_) => {
                self.due.get_or_insert(now + ARRIVES_WITHIN);
            }
            // It has its own.
            Phase::Held(..) => {}
            // That is ours to do.
            Phase::Working(_) | Phase::AtWork | Phase::Waiting(..) | Phase::Closed => {
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
            response::write(&mut self.outbox, &response, style);
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
    pub fn put_back(&mut self, mut job: Job, step: Step, piece: &[u8]) {
        let style = job.style();
        match step {
            Step::Unfinished => {
                if !piece.is_empty() && !std::mem::replace(&mut job.0.is_streaming, true) {
                    let content_type = job.content_type();
                    response::begin_stream(&mut self.outbox, content_type, style);
                }
                response::write_piece(&mut self.outbox, piece, style);
                self.phase = Phase::Working(job);
            }
            Step::Finished if job.0.is_streaming => {
                response::write_piece(&mut self.outbox, piece, style);
                response::end_stream(&mut self.outbox, style);
                self.finish(Style { keep_alive: style.keep_alive && style.chunks, ..style });
            }
            Step::Finished => {
                let response = Response { body: piece.to_vec(), ..Response::empty(200) }
                    .header("content-type", job.content_type());
                response::write(&mut self.outbox, &response, style);
                self.finish(style);
            }
            Step::Answer(response, None) => {
                response::write(&mut self.outbox, &response, style);
                self.finish(style);
            }
            Step::Answer(response, Some(change)) => {
                self.phase = Phase::Waiting(change, response, style);
            }
        }
    }

    /// The node ends: a client whose answer has not begun is told so.
    pub fn stop(&mut self) {
        let is_unanswered = match &self.phase {
            Phase::Working(job) => !job.0.is_streaming,
            Phase::Waiting(..) => true,
            Phase::Idle
            | Phase::Head
            | Phase::Held(..)
            | Phase::Body(..)
            | Phase::Skipping(_)
            | Phase::AtWork
            | Phase::Closed => false,
        };
        if is_unanswered {
            self.close_with(&Response::error(503, "stopping", "the broker stops"));
        }
        self.close();
    }

    /// When [`Conversation::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.taken_by).min()
    }

    /// The change of definitions that has to be durable before it goes on.
    pub fn waits_for(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting(change, ..) => Some(change),
            Phase::Idle
            | Phase::Head
            | Phase::Held(..)
            | Phase::Body(..)
            | Phase::Skipping(_)
            | Phase::Working(_)
            | Phase::AtWork
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
            Phase::Idle | Phase::Head | Phase::Body(..) | Phase::Skipping(_) => {
                self.outbox.len() < OUTBOX_BYTES_MAX
            }
            Phase::Closed => true,
            Phase::Held(..) | Phase::Working(_) | Phase::AtWork | Phase::Waiting(..) => false,
        }
    }

    /// Whether nothing more is read and the socket has to be closed once the outbox is empty.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }
}

impl Job {
    fn style(&self) -> Style {
        style_of(&self.0.request)
    }

    fn content_type(&self) -> &'static str {
        self.0.work.as_ref().map_or(response::JSON, |work| work.content_type())
    }

    /// Works on the request as long as the budget of this step allows.
    pub fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Step {
        let job = &mut *self.0;
        if job.work.is_none() {
            context.broker.work.spend(WORK_PER_REQUEST);
            context.broker.work.spend_bytes(job.request.body.len() as u64);
            let parts = job.found.parts(&job.request);
            let (caller, request) = (&job.caller, &job.request);
            let mut call = Call { context: &mut *context, caller, request, parts };
            match (job.found.action)(&mut call) {
                Ok(Answer::Whole(response)) | Err(response) => return Step::Answer(response, None),
                Ok(Answer::OnceDurable(response)) => {
                    return Step::Answer(response, context.broker.undurable_change());
                }
                Ok(Answer::Later(work)) => job.work = Some(work),
            }
        }
        let Some(work) = &mut job.work else {
            return Step::Unfinished;
        };
        // Whoever wants no body is not worked for further.
        if job.request.method == Method::Head && job.is_streaming {
            return Step::Finished;
        }
        match work.go_on(context, piece) {
            Progress::Unfinished => Step::Unfinished,
            Progress::Finished => Step::Finished,
            Progress::Instead(response) => Step::Answer(response, None),
        }
    }
}

fn style_of(request: &Request) -> Style {
    Style {
        chunks: request.takes_chunks,
        keep_alive: request.keeps_alive,
        head_only: request.method == Method::Head,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::net::SocketAddr;

    use tempfile::TempDir;

    use super::super::view::{Identity, NoView};
    use super::*;
    use crate::broker::Broker;
    use crate::broker::testing::{declare, open};

    /// `guest:guest`
    const LOGIN: &str = "Host: h\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

    /// A conversation, its broker, and what was sent and not taken.
    struct Bench {
        conversation: Conversation,
        broker: Broker,
        logins: Logins,
        now: Instant,
        unread: Vec<u8>,
        /// All that left.
        sent: Vec<u8>,
        _directory: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let broker = open(directory.path());
            let now = Instant::now();
            let here = Origin::Address(SocketAddr::from(([127, 0, 0, 1], 1)));
            Self {
                conversation: Conversation::new(here, now),
                broker,
                logins: Logins::default(),
                now,
                unread: Vec::new(),
                sent: Vec::new(),
                _directory: directory,
            }
        }

        /// The client sends something; what can be done is, and what is answered leaves.
        fn send(&mut self, bytes: &[u8]) {
            self.unread.extend_from_slice(bytes);
            loop {
                self.read();
                if !self.work() {
                    break;
                }
                self.flush();
            }
            self.flush();
        }

        fn read(&mut self) {
            if self.conversation.may_read() {
                let users = self.broker.users();
                let (logins, unread) = (&mut self.logins, &self.unread);
                let taken = self.conversation.receive(users, logins, unread, self.now);
                self.unread.drain(..taken);
            }
            self.conversation.note_deadlines(self.now);
        }

        /// One step of the request that is there, if one is.
        fn work(&mut self) -> bool {
            let Some(mut job) = self.conversation.take_job() else {
                return false;
            };
            self.broker.work.begin(1_000);
            let view = NoView(Identity::default());
            let mut context = Context { broker: &mut self.broker, node: &view };
            let mut piece = Vec::new();
            let step = job.go_on(&mut context, &mut piece);
            self.conversation.put_back(job, step, &piece);
            self.conversation.note_deadlines(self.now);
            true
        }

        fn flush(&mut self) {
            let outbox = &self.conversation.outbox;
            self.sent.extend_from_slice(outbox.plain().unwrap());
            self.conversation.flushed(outbox.len(), self.now);
        }

        /// Time passes; whether the connection stays.
        fn wait(&mut self, seconds: u64) -> bool {
            self.now += Duration::from_secs(seconds);
            let stays = self.conversation.tick(self.broker.users(), &mut self.logins, self.now);
            self.conversation.note_deadlines(self.now);
            stays
        }

        fn text(&self) -> &str {
            std::str::from_utf8(&self.sent).unwrap()
        }

        /// The statuses of all answers.
        fn statuses(&self) -> Vec<&str> {
            let answers = self.text().split("HTTP/1.1 ").skip(1);
            answers.map(|answer| answer.split(' ').next().unwrap()).collect()
        }
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\n{LOGIN}\r\n")
    }

    #[test]
    fn requests_are_answered_in_order_wherever_the_input_is_cut() {
        let put = format!(
            "PUT /api/users/ann HTTP/1.1\r\n{LOGIN}Transfer-Encoding: chunked\r\n\r\n\
             5\r\n{{\"tag\r\n6\r\ns\":\"\"}}\r\n0\r\n\r\n"
        );
        let nope = get("/api/nope");
        let all = [&get("/api/whoami"), "\r\n", &put, &nope, &get("/api/users/ann")].concat();
        let whole = {
            let mut bench = Bench::new();
            bench.send(all.as_bytes());
            bench.conversation.wait_is_over();
            bench.send(b"");
            bench.text().to_owned()
        };
        for piece in 1..60 {
            let mut bench = Bench::new();
            for part in all.as_bytes().chunks(piece) {
                bench.send(part);
            }
            assert_eq!(bench.statuses(), ["200"], "the second waits for the disk");
            assert_eq!(bench.conversation.waits_for(), bench.broker.undurable_change());
            assert!(!bench.conversation.may_read());
            bench.conversation.wait_is_over();
            bench.send(b"");
            assert_eq!(bench.statuses(), ["200", "201", "404", "200"], "{piece}");
            assert_eq!(bench.text(), whole);
            assert!(bench.unread.is_empty());
        }
    }

    #[test]
    fn who_expects_to_be_told_to_go_on_is_told_only_when_let_in() {
        let put = |login: &str| {
            format!(
                "PUT /api/users/ann HTTP/1.1\r\n{login}Content-Length: 11\r\n\
                 Expect: 100-continue\r\n\r\n"
            )
        };
        let mut bench = Bench::new();
        bench.send(put(LOGIN).as_bytes());
        assert_eq!(bench.statuses(), ["100"]);
        bench.send(b"{\"tags\":\"\"}");
        bench.conversation.wait_is_over();
        bench.flush();
        assert_eq!(bench.statuses(), ["100", "201"]);
        let mut bench = Bench::new();
        bench.send(put("Host: h\r\n").as_bytes());
        assert_eq!(bench.statuses(), ["401"]);
        assert!(bench.conversation.is_closed(), "nobody knows whether the body comes");
        assert!(bench.text().contains("connection: close"));
    }

    #[test]
    fn a_short_body_of_a_refused_request_is_thrown_away_and_a_long_one_ends_the_connection() {
        let put = |body: &str| {
            let length = body.len();
            format!(
                "PUT /api/users/a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        let mut bench = Bench::new();
        let short = put(&get("/api/whoami"));
        for part in [short, get("/api/whoami")].concat().as_bytes().chunks(7) {
            bench.send(part);
        }
        assert_eq!(bench.statuses(), ["401", "200"], "nothing is smuggled");
        let mut bench = Bench::new();
        bench.send(put(&"x".repeat(70_000)).as_bytes());
        bench.send(get("/api/whoami").as_bytes());
        assert_eq!(bench.statuses(), ["401"]);
        assert!(bench.conversation.is_closed());
    }

    #[test]
    fn after_what_is_no_request_nothing_is_read() {
        let mut bench = Bench::new();
        let twice = "Content-Length: 5\r\nContent-Length: 50\r\n";
        bench.send(format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}{twice}\r\n").as_bytes());
        bench.send(get("/api/whoami").as_bytes());
        assert_eq!(bench.statuses(), ["400"]);
        assert!(bench.conversation.is_closed() && bench.unread.is_empty());
    }

    #[test]
    fn a_request_has_to_arrive_in_time_and_idleness_ends() {
        let mut bench = Bench::new();
        bench.send(b"GET /api/who");
        assert!(bench.wait(29));
        bench.send(b"ami");
        assert!(bench.wait(1), "it is told why");
        bench.flush();
        assert_eq!(bench.statuses(), ["408"], "a byte now and then makes it no longer");
        let mut bench = Bench::new();
        bench.send(get("/api/whoami").as_bytes());
        assert!(bench.wait(59) && !bench.wait(1));
        let mut bench = Bench::new();
        bench.send(
            format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}Content-Length: 9\r\n\r\n").as_bytes(),
        );
        assert!(bench.wait(30));
        bench.flush();
        assert_eq!(bench.statuses(), ["408"]);
    }

    #[test]
    fn who_does_not_read_is_not_worked_for_and_is_closed() {
        let mut bench = Bench::new();
        for number in 0..3000 {
            declare(&mut bench.broker, &format!("q{number}"), crate::amqp::Table::EMPTY);
        }
        bench.unread = get("/api/queues").into_bytes();
        bench.read();
        while bench.work() {}
        let waiting = bench.conversation.outbox.len();
        assert!((OUTBOX_BYTES_MAX..OUTBOX_BYTES_MAX * 2).contains(&waiting), "{waiting}");
        assert!(!bench.conversation.has_room_again());
        assert!(bench.wait(59) && !bench.wait(1));
        // Had it read, all of it would have come.
        bench.flush();
        bench.send(b"");
        assert!(bench.text().ends_with("\r\n0\r\n\r\n"));
        assert_eq!(bench.text().matches("\"name\":\"q").count(), 3000);
    }

    #[test]
    fn a_login_that_follows_many_failures_is_looked_at_later() {
        let mut bench = Bench::new();
        let wrong = "GET /api/whoami HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTpi\r\n\r\n";
        (0..12).for_each(|_| bench.send(wrong.as_bytes()));
        assert_eq!(bench.statuses().len(), 11);
        assert!(!bench.conversation.may_read());
        assert!(bench.wait(1));
        bench.send(b"");
        assert_eq!(bench.statuses(), ["401"; 12]);
    }

    #[test]
    fn a_client_of_http_1_0_gets_a_list_that_ends_with_the_connection() {
        let mut bench = Bench::new();
        for number in 0..500 {
            declare(&mut bench.broker, &format!("q{number}"), crate::amqp::Table::EMPTY);
        }
        let line = "GET /api/queues HTTP/1.0\r\nConnection: keep-alive\r\n";
        bench.send(format!("{line}{LOGIN}\r\n").as_bytes());
        assert!(bench.text().ends_with("}]") && !bench.text().contains("chunked"));
        assert!(bench.conversation.is_closed());
        let mut bench = Bench::new();
        bench.send(format!("HEAD /api/queues HTTP/1.1\r\n{LOGIN}\r\n").as_bytes());
        assert!(bench.text().ends_with("\r\n\r\n") && !bench.conversation.is_closed());
    }
}
