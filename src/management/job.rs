//! How far is the work on one request?

use super::authentication::Caller;
use super::call::{Answer, Call, Context, Durable, Progress, Work};
use super::coding::{self, Gzip};
use super::request::{Method, Request};
use super::response::{JSON, Response, Style};
use super::router::Found;
use crate::amqp::Name;
use crate::broker::Broker;

/// A request that is being worked on.
pub struct Job {
    inner: Box<Unanswered>,
    /// A part of the answer was sent.
    pub is_streaming: bool,
    /// It waited for too long.
    pub is_late: bool,
    /// What is sent is compressed.
    pub gzip: Option<Gzip>,
}

struct Unanswered {
    request: Request,
    style: Style,
    caller: Caller,
    found: Found,
    /// What is left to do, once it was begun.
    work: Option<Box<dyn Work>>,
    /// How many bytes of the body that has taken over.
    taken_over_bytes: usize,
}

/// Where a job stands after a step.
pub enum Step {
    /// There is more to do.
    Unfinished,
    /// There is more to do once publishers go on; nothing was sent yet.
    AwaitsRoom,
    /// The piece is the last.
    Finished,
    /// This is the answer; it is sent once something is durable.
    Answer(Response, Option<Durable>),
}

/// What a request costs before anybody looks at what it asks: its head, and the hash of a password.
const WORK_PER_REQUEST: usize = 60;

impl Job {
    /// A request that was let in.
    pub fn new(request: Request, caller: Caller, found: Found) -> Self {
        let (style, work) = (style_of(&request), None);
        let taken_over_bytes = 0;
        let inner = Box::new(Unanswered { request, style, caller, found, work, taken_over_bytes });
        Self { inner, is_streaming: false, is_late: false, gzip: None }
    }

    /// The user who asks.
    pub fn user(&self) -> &Name {
        &self.inner.caller.name
    }

    /// The request's body, while it arrives.
    pub fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.inner.request.body
    }

    /// How many bytes of a body it holds.
    pub fn held_bytes(&self) -> u64 {
        (self.inner.request.body.len() + self.inner.taken_over_bytes) as u64
    }

    /// How its answer is written.
    pub fn style(&self) -> Style {
        self.inner.style
    }

    /// What the pieces of its answer are.
    pub fn content_type(&self) -> &'static str {
        self.inner.work.as_ref().map_or(JSON, |work| work.content_type())
    }

    /// A header that the pieces of its answer go with.
    pub fn header(&self) -> Option<(&'static str, String)> {
        self.inner.work.as_ref().and_then(|work| work.header())
    }

    /// Works on the request as long as the budget of this step allows.
    pub fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Step {
        if self.is_late {
            self.abandon(context.broker);
            let text = "publishers are blocked for want of memory or disk: try again later";
            return Step::Answer(Response::error(503, "blocked", text), None);
        }
        let job = &mut *self.inner;
        if job.work.is_none() {
            context.broker.work.spend(WORK_PER_REQUEST);
            context.broker.work.spend_bytes(job.request.body.len() as u64);
            let parts = job.found.parts(&job.request);
            let (caller, request) = (&job.caller, &job.request);
            let mut call = Call { context: &mut *context, caller, request, parts };
            match (job.found.action)(&mut call) {
                Ok(Answer::Whole(response)) | Err(response) => return Step::Answer(response, None),
                Ok(Answer::OnceDurable(response)) => {
                    return Step::Answer(response, Durable::changes(context.broker));
                }
                Ok(Answer::Later(work)) => {
                    job.work = Some(work);
                    // It was read, and may be large.
                    job.request.body = Vec::new();
                }
                Ok(Answer::LaterOf(make)) => {
                    job.taken_over_bytes = job.request.body.len();
                    job.work = Some(make(std::mem::take(&mut job.request.body)));
                }
            }
        }
        let Some(work) = &mut job.work else {
            return Step::Unfinished;
        };
        // Whoever wants no body is not worked for further.
        if job.request.method == Method::Head && self.is_streaming {
            work.abandon(context.broker);
            return Step::Finished;
        }
        match work.go_on(context, piece) {
            Progress::Unfinished => Step::Unfinished,
            Progress::AwaitsRoom => Step::AwaitsRoom,
            Progress::Finished => Step::Finished,
            Progress::Instead(response) => Step::Answer(response, None),
            Progress::Once(durable, response) => Step::Answer(response, durable),
        }
    }

    /// Nobody goes on with it.
    pub fn abandon(&mut self, broker: &mut Broker) {
        if let Some(work) = &mut self.inner.work {
            work.abandon(broker);
        }
    }
}

/// How the answer to a request is written.
pub fn style_of(request: &Request) -> Style {
    Style {
        chunks: request.takes_chunks,
        keep_alive: request.keeps_alive,
        head_only: request.method == Method::Head,
        gzip: coding::is_wanted(request),
    }
}
