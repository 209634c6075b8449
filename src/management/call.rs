//! What does a resource get, what may it answer, and how does it stand in the table of resources?

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::authentication::Caller;
use super::cors::Cors;
use super::request::{Method, Request};
use super::response::{JSON, Response};
use super::view::NodeView;
use crate::amqp::Name;
use crate::broker::{Broker, LogPos, Subject, VhostKey};

/// What there is to look at and to change.
pub struct Context<'a> {
    /// Who gets which message.
    pub broker: &'a mut Broker,
    /// What there is beyond the broker.
    pub node: &'a dyn NodeView,
    /// What the node is to do once this step is over.
    pub orders: &'a mut Vec<Order>,
}

/// What operators change of the node, beyond its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Publishers are blocked beyond so many bytes of memory.
    LimitMemory(u64),
    /// Publishers are blocked while less is free on the disk.
    LimitDisk(u64),
    /// What is less severe is not logged.
    LogLevel(log::LevelFilter),
    /// The cluster has another name.
    ClusterName(String),
    /// Events are published in this vhost, or nowhere.
    PublishEvents(Option<String>),
    /// Lines of the log are published in this vhost, as far as they are so severe, or nowhere.
    PublishLog(Option<(String, log::LevelFilter)>),
    /// Pages of these sites may read answers.
    Cors(Cors),
    /// A login by the page's form lasts so many minutes.
    LoginSession(u32),
    /// Who connects from now on is offered this heartbeat, in seconds; 0 = none.
    Heartbeat(u16),
    /// Who connects from now on is offered frames of at most so many bytes.
    FrameMax(u32),
    /// Who connects from now on is offered channels up to this number.
    ChannelMax(u16),
    /// Who connects from now on may publish bodies of at most so many bytes.
    MessageMax(u64),
    /// Who connects from now on is told that the product is this one, in this version.
    Product(String, String),
    /// There are at most so many AMQP connections at a time; those that are there stay.
    ConnectionMax(Option<u32>),
    /// What is delivered from now on has to be acknowledged within so many milliseconds.
    ConsumerTimeout(Option<u64>),
    /// From elsewhere than this machine these users may not log in.
    LoopbackUsers(BTreeSet<String>),
    /// The node ends in an orderly way.
    Stop,
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitMemory(bytes) => write!(out, "the memory limit to {bytes} bytes"),
            Self::LimitDisk(bytes) => write!(out, "the free disk limit to {bytes} bytes"),
            Self::LogLevel(level) => write!(out, "the log level to {level}"),
            Self::ClusterName(name) => write!(out, "the cluster's name to '{name}'"),
            Self::PublishEvents(None) => out.write_str("event_exchange to false"),
            Self::PublishEvents(Some(vhost)) => {
                write!(out, "event_exchange to true in vhost '{vhost}'")
            }
            Self::PublishLog(None) => out.write_str("log.exchange to false"),
            Self::PublishLog(Some((vhost, level))) => {
                write!(out, "log.exchange to true in vhost '{vhost}' from level {level}")
            }
            Self::Cors(_) => out.write_str("which sites' pages may read the HTTP API"),
            Self::LoginSession(minutes) => {
                write!(out, "management.login_session_timeout to {minutes} minutes")
            }
            Self::Heartbeat(seconds) => write!(out, "the heartbeat to {seconds} s"),
            Self::FrameMax(bytes) => write!(out, "the largest frame to {bytes} bytes"),
            Self::ChannelMax(number) => write!(out, "the highest channel to {number}"),
            Self::MessageMax(bytes) => write!(out, "the largest message to {bytes} bytes"),
            Self::Product(name, version) => write!(out, "the product to {name} {version}"),
            Self::ConnectionMax(Some(count)) => write!(out, "the most connections to {count}"),
            Self::ConnectionMax(None) => out.write_str("no limit of connections"),
            Self::ConsumerTimeout(Some(ms)) => write!(out, "the consumer timeout to {ms} ms"),
            Self::ConsumerTimeout(None) => out.write_str("no consumer timeout"),
            Self::LoopbackUsers(_) => out.write_str("which users may log in from here alone"),
            Self::Stop => out.write_str("the end of the broker"),
        }
    }
}

/// What has to have reached the disk before an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// The change of definitions of this number.
    Change(u64),
    /// Messages up to here.
    Messages(LogPos),
    /// That the messages of this line of discarded ones are settled.
    Discarded(u64),
}

impl Durable {
    /// All that was changed so far, unless it is durable.
    pub fn changes(broker: &Broker) -> Option<Self> {
        broker.undurable_change().map(Self::Change)
    }
}

/// One request, as a resource gets it.
pub struct Call<'a, 'b> {
    /// What there is to look at and to change.
    pub context: &'a mut Context<'b>,
    /// Who asks.
    pub caller: &'a Caller,
    /// What for.
    pub request: &'a Request,
    /// What stands in the path where its row has a `*`, in order.
    pub parts: Vec<&'a [u8]>,
}

/// What a resource answers.
pub enum Answer {
    /// All of it.
    Whole(Response),
    /// The same; but what the request changed has to be durable first, if it is not.
    OnceDurable(Response),
    /// It takes longer.
    Later(Box<dyn Work>),
    /// The same, made of the request's body, which may be too long to be copied at once.
    LaterOf(Box<dyn FnOnce(Vec<u8>) -> Box<dyn Work>>),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

/// An answer, or the one that says why there is none.
pub type Outcome = Result<Answer, Response>;

/// Something that takes longer than a turn may: it is asked again and again, in later turns, with
/// others in between. Whatever it remembers may be gone by then.
///
/// A trait, where the peers of a node are an enum: there is one for each resource that needs it,
/// and nothing but its resource knows it.
pub trait Work {
    /// Goes on, as long as the broker's budget of this step allows and the piece is not
    /// [`PIECE_BYTES_MAX`] long.
    ///
    /// What is appended to `piece` is the next part of an answer with status 200.
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress;

    /// Nobody will ask again: what it took from the broker goes back.
    fn abandon(&mut self, _broker: &mut Broker) {}

    /// What the pieces are.
    fn content_type(&self) -> &'static str {
        JSON
    }

    /// A header that they go with.
    fn header(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// A piece of this many bytes is sent before more is made.
pub const PIECE_BYTES_MAX: usize = 32 * 1024;

/// How far work is.
pub enum Progress {
    /// There is more to do.
    Unfinished,
    /// There is more to do once publishers go on; nothing was appended to any piece.
    AwaitsRoom,
    /// The pieces are the answer.
    Finished,
    /// This is the answer; nothing was appended to any piece.
    Instead(Response),
    /// The same, once something is durable.
    Once(Option<Durable>, Response),
}

impl Progress {
    /// This is the answer, once what was changed is durable.
    pub fn once_durable(broker: &Broker, response: Response) -> Self {
        Self::Once(Durable::changes(broker), response)
    }
}

/// What one must be to ask for something. Each resource looks after vhosts itself
/// ([`Call::vhost`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nobody in particular: who asks is not looked at, and a body is not taken.
    Anyone,
    /// Who names itself in the body, by a form or in JSON.
    Login,
    /// Whoever has a session, which ends.
    Logout,
    /// Any of the tags that open the API.
    Management,
    /// monitoring or administrator.
    Monitoring,
    /// policymaker or administrator.
    Policymaker,
    /// administrator.
    Administrator,
}

/// What is done with a request that was let through.
pub type Action = fn(&mut Call<'_, '_>) -> Outcome;

/// One row of the table of resources.
pub struct Route {
    /// The path's segments behind `/api/` or `/metrics/`; `*` stands for any one.
    pub path: &'static str,
    /// What may be done there, and who may. HEAD goes with GET and OPTIONS with everything.
    pub methods: &'static [(Method, Right, Action)],
}

impl Call<'_, '_> {
    /// A part of the path.
    ///
    /// # Panics
    /// When the resource's row in the table has not as many `*`.
    pub fn part(&self, index: usize) -> &[u8] {
        self.parts[index]
    }

    /// The part of the path that names something new. What does not fit into a short string of the
    /// protocol is nobody's name.
    ///
    /// # Errors
    /// 400.
    pub fn new_name(&self, index: usize) -> Result<Name, Response> {
        let bytes = self.part(index);
        if bytes.len() > NAME_BYTES_MAX {
            return Err(Response::bad_request("a name has at most 255 bytes"));
        }
        if std::str::from_utf8(bytes).is_err() {
            return Err(Response::bad_request("a name has to be UTF-8"));
        }
        Ok(Name::from(bytes))
    }

    /// The vhost that a part of the path names.
    ///
    /// # Errors
    /// 404 when there is none, 401 when the caller has nothing to do there.
    pub fn vhost(&self, index: usize) -> Result<VhostKey, Response> {
        let name = self.part(index);
        let broker = &self.context.broker;
        let key = broker.topology().vhost_named(name).ok_or_else(Response::not_found)?;
        let user = broker.users().find(self.caller.name.as_bytes());
        // The owner, who comes by the Unix socket, is no user.
        if self.caller.is_owner || user.is_some_and(|user| user.may_enter(name)) {
            return Ok(key);
        }
        Err(Response::not_authorised("User not authorised to access virtual host"))
    }

    /// The vhost that a part of the path names, for who changes something in it.
    ///
    /// # Errors
    /// 404 when there is none, 401 when the caller has nothing to do there.
    pub fn subject(&self, index: usize) -> Result<Subject, Response> {
        if self.context.broker.topology().vhost_named(self.part(index)).is_none() {
            return Err(Response::error(404, "not_found", "vhost_not_found"));
        }
        let vhost = self.vhost(index)?;
        let vhost_name = self.context.broker.topology().vhost_name(vhost);
        let Caller { name, is_owner, .. } = self.caller;
        Ok(Subject::operator(name.clone(), vhost, vhost_name, *is_owner))
    }

    /// The name of an exchange in the path, where the default exchange has one.
    pub fn exchange_name(&self, index: usize) -> &[u8] {
        match self.part(index) {
            b"amq.default" => b"",
            name => name,
        }
    }

    /// Whether the request says `name=true`.
    pub fn has_flag(&self, name: &str) -> bool {
        self.request.parameter(name) == Some("true")
    }

    /// What shows one thing, as much of it as the request's `columns` ask for.
    pub fn show(&self, value: Value) -> Outcome {
        let columns = super::list::Columns::of(self.request);
        Ok(Response::json(&columns.pick(value)).into())
    }
}

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 255;
