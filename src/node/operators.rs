//! What is done for operators, who ask over HTTP, and what do they see of the node?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::broker::ConnectionKey;
use crate::management::{ConnectionChurn, Context, Conversation, Identity, Listening, Logins};
use crate::management::{Order, Origin, Protocol};

use super::Node;
use super::endpoint::{Endpoint, Peer};
use super::view::View;

/// What the node keeps for operators.
pub(super) struct Operators {
    /// What they may know of the node.
    identity: Identity,
    /// Who failed to log in.
    pub(super) logins: Logins,
    /// Conversations whose requests can be worked on; whoever waited longest comes first.
    working: VecDeque<ConnectionKey>,
    /// What a request's step appends to its answer; kept for its memory.
    piece: Vec<u8>,
    /// What a request's step orders; kept for its memory.
    orders: Vec<Order>,
    /// How many clients came and went.
    pub(super) churn: ConnectionChurn,
    /// When the node started.
    started: Instant,
    /// Somebody wants the node to end.
    is_stop_ordered: bool,
}

/// The most conversations at a time: all of them together hold a bounded amount of memory.
pub const CONVERSATIONS_MAX: usize = 256;

/// So many more are the owner's alone, whom nobody at the port can keep out.
const CONVERSATIONS_OF_OWNER: usize = 16;

impl Operators {
    /// Nobody has asked yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            identity: Identity::default(),
            logins: Logins::default(),
            working: VecDeque::new(),
            piece: Vec::new(),
            orders: Vec::new(),
            churn: ConnectionChurn::default(),
            started: now,
            is_stop_ordered: false,
        }
    }

    /// Whether a request can be worked on.
    pub(super) fn has_work(&self) -> bool {
        !self.working.is_empty()
    }
}

impl Node {
    /// Tells operators who this node is.
    pub fn introduce(&mut self, node_name: String, directory: String) {
        let limits = &self.limits;
        let listening = std::mem::take(&mut self.operators.identity.listening);
        self.operators.identity = Identity {
            node_name,
            cluster_name: limits.cluster_name.to_string(),
            product_name: limits.product_name.to_string(),
            product_version: limits.product_version.to_string(),
            listening,
            message_bytes_max: limits.message_bytes_max,
            directory,
        };
    }

    /// Whether an operator ordered the node to end.
    pub fn is_stop_ordered(&self) -> bool {
        self.operators.is_stop_ordered
    }

    /// Tells operators where the node listens.
    pub fn note_listener(&mut self, protocol: Protocol, address: SocketAddr) {
        self.operators.identity.listening.push(Listening { protocol, address });
    }

    /// An operator connected; `None` when too many are.
    pub fn connect_operator(&mut self, origin: Origin) -> Option<ConnectionKey> {
        let most = match origin {
            Origin::Address(_) | Origin::Scraper(_) => CONVERSATIONS_MAX,
            Origin::Owner => CONVERSATIONS_MAX + CONVERSATIONS_OF_OWNER,
        };
        if self.endpoints.len() - self.amqp_count >= most {
            return None;
        }
        let conversation = Box::new(Conversation::new(origin, self.now));
        let key = self.endpoints.insert(Endpoint::new(Peer::Http(conversation)));
        self.after_change(key);
        Some(key)
    }

    /// Gives what arrived to a conversation; how many bytes are done with.
    pub(super) fn hear(&mut self, key: ConnectionKey, input: &[u8]) -> usize {
        let endpoint = self.endpoints.get_mut(key);
        let Some(conversation) = endpoint.and_then(Endpoint::conversation_mut) else {
            return input.len();
        };
        let (users, logins) = (self.broker.users(), &mut self.operators.logins);
        let taken = conversation.receive(users, logins, input, self.now);
        self.broker.work.spend_bytes(taken as u64);
        self.after_change(key);
        taken
    }

    /// Puts a conversation on the list of those that are worked for, once, if there is something
    /// to do.
    pub(super) fn note_work(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let wants_work = endpoint.conversation_mut().is_some_and(|it| it.wants_work());
        if wants_work && !endpoint.listed_working {
            endpoint.listed_working = true;
            self.operators.working.push_back(key);
        }
    }

    /// Goes on with operators' requests, one after the other, as far as this step allows. One that
    /// is not finished is the last of them then.
    pub(super) fn work_for_operators(&mut self) {
        for _ in 0..self.operators.working.len() {
            if self.broker.work.is_done() {
                break;
            }
            let Some(key) = self.operators.working.pop_front() else {
                break;
            };
            self.work_for(key);
        }
    }

    fn work_for(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        endpoint.listed_working = false;
        let Some(mut job) = endpoint.conversation_mut().and_then(Conversation::take_job) else {
            return;
        };
        let mut piece = std::mem::take(&mut self.operators.piece);
        piece.clear();
        let mut orders = std::mem::take(&mut self.operators.orders);
        let view = View {
            identity: &self.operators.identity,
            amqp_count: self.amqp_count,
            endpoints: &self.endpoints,
            alarms: self.blocking.alarms.as_ref(),
            vitals: self.health.vitals(&self.blocking),
            churn: self.operators.churn,
            started: self.operators.started,
            history: &self.sampling.history,
            now: self.now,
        };
        let broker = &mut self.broker;
        let mut context = Context { broker, node: &view, orders: &mut orders };
        let step = job.go_on(&mut context, &mut piece);
        orders.drain(..).for_each(|order| self.carry_out(order));
        self.operators.orders = orders;
        if let Some(endpoint) = self.endpoints.get_mut(key)
            && let Some(conversation) = endpoint.conversation_mut()
        {
            conversation.put_back(job, step, &piece);
        }
        self.operators.piece = piece;
        self.after_change(key);
        self.resume_conversation(key);
    }

    /// What a conversation was sent while it waited is read now.
    pub(super) fn resume_conversation(&mut self, key: ConnectionKey) {
        let endpoint = self.endpoints.get_mut(key);
        let conversation = endpoint.and_then(Endpoint::conversation_mut);
        if conversation.is_some_and(|conversation| conversation.may_read()) {
            self.resumed.push(key);
        }
    }

    /// Changes what somebody may order.
    pub fn carry_out(&mut self, order: Order) {
        match order {
            Order::LimitMemory(bytes) => {
                self.change_limits(|limits| limits.memory_bytes_max = bytes);
            }
            Order::LimitDisk(bytes) => {
                self.change_limits(|limits| limits.disk_free_bytes_min = bytes);
            }
            Order::LogLevel(level) => log::set_max_level(level),
            Order::ClusterName(name) => {
                self.limits.cluster_name = name.as_str().into();
                self.operators.identity.cluster_name = name;
            }
            Order::Stop => self.operators.is_stop_ordered = true,
        }
    }

    /// Bytes of a conversation's output are with the kernel: its work goes on if it waited for
    /// that, and so does its input.
    pub(super) fn flushed_conversation(&mut self, key: ConnectionKey, bytes: usize) {
        let endpoint = self.endpoints.get_mut(key);
        let Some(conversation) = endpoint.and_then(Endpoint::conversation_mut) else {
            return;
        };
        let read_before = conversation.may_read();
        conversation.flushed(bytes, self.now);
        if !read_before && conversation.may_read() {
            self.resumed.push(key);
        }
        if conversation.has_room_again() {
            self.note_work(key);
        }
    }
}
