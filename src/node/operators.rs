//! What is done for operators, who ask over HTTP, and what do they see of the node?

use std::collections::VecDeque;
use std::time::Instant;

use crate::amqp::Name;
use crate::broker::ConnectionKey;
use crate::management::{
    self, CertificateSight, ConnectionChurn, Context, Conversation, Cors, Identity, Listening,
};
use crate::management::{Logins, Order, Origin, Reception};

use super::Node;
use super::endpoint::{Endpoint, Peer};
use super::view::View;

/// What the node keeps for operators.
pub(super) struct Operators {
    /// What they may know of the node.
    pub(super) identity: Identity,
    /// What the cluster is called unless somebody says, and what was said last.
    own_cluster_name: String,
    cluster_parameter: Option<String>,
    /// Who failed to log in, and who did so by form.
    pub(super) logins: Logins,
    /// Which other sites' pages may read what they are answered.
    pub(super) cors: Cors,
    /// The connections that have a place.
    pub(super) conversations: Vec<ConnectionKey>,
    /// How many bytes of requests' bodies they hold.
    pub(super) held_bytes: u64,
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
    pub(super) is_stop_ordered: bool,
}

impl Operators {
    /// Nobody has asked yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            identity: Identity::default(),
            own_cluster_name: String::new(),
            cluster_parameter: None,
            logins: Logins::default(),
            cors: Cors::default(),
            conversations: Vec::new(),
            held_bytes: 0,
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
        self.broker.name_node(&node_name);
        let limits = &self.limits;
        self.operators.identity = Identity {
            node_name,
            cluster_name: limits.cluster_name.to_string(),
            product_name: limits.product_name.to_string(),
            product_version: limits.product_version.to_string(),
            listening: Vec::new(),
            mechanisms: limits.mechanisms.open(),
            certificates: std::mem::take(&mut self.operators.identity.certificates),
            message_bytes_max: limits.message_bytes_max,
            directory,
        };
        self.operators.own_cluster_name = self.limits.cluster_name.to_string();
        self.follow_cluster_name();
    }

    /// Operators may have named the cluster, or taken that back: everybody is told its name from
    /// now on.
    pub(super) fn follow_cluster_name(&mut self) {
        let parameter = management::cluster_parameter(&self.broker);
        if parameter == self.operators.cluster_parameter.as_deref() {
            return;
        }
        let name = parameter.and_then(management::cluster_name);
        self.operators.cluster_parameter = parameter.map(str::to_owned);
        let name = name.unwrap_or_else(|| self.operators.own_cluster_name.clone());
        self.limits.cluster_name = Name::from(name.as_str());
        self.operators.identity.cluster_name = name;
    }

    /// Whether an operator ordered the node to end.
    pub fn is_stop_ordered(&self) -> bool {
        self.operators.is_stop_ordered
    }

    /// Tells operators where the node listens.
    pub fn note_listener(&mut self, listening: Listening) {
        self.operators.identity.listening.push(listening);
    }

    /// Tells operators which certificates its listeners show.
    pub fn note_certificates(&mut self, certificates: Vec<CertificateSight>) {
        self.operators.identity.certificates = certificates;
    }

    /// An operator connected; `None` when too many are, none of whom can make room.
    pub fn connect_operator(&mut self, origin: Origin) -> Option<ConnectionKey> {
        if !self.make_place(origin) {
            return None;
        }
        let conversation = Box::new(Conversation::new(origin, self.now));
        let key = self.endpoints.insert(Endpoint::new(Peer::Http(conversation)));
        self.operators.conversations.push(key);
        self.after_change(key);
        Some(key)
    }

    /// Gives what arrived to a conversation; how many bytes are done with.
    pub(super) fn hear(&mut self, key: ConnectionKey, input: &[u8]) -> usize {
        let now = self.now;
        let Some((conversation, mut reception)) = self.receive_at(key) else {
            return input.len();
        };
        let taken = conversation.receive(&mut reception, input, now);
        if conversation.is_upgraded() {
            self.upgrade(key);
        }
        self.broker.work.spend_bytes(taken as u64);
        self.after_change(key);
        taken
    }

    /// A conversation's time limit came; whether it stays.
    pub(super) fn tick_conversation(&mut self, key: ConnectionKey) -> bool {
        let now = self.now;
        self.receive_at(key)
            .is_some_and(|(conversation, mut reception)| conversation.tick(&mut reception, now))
    }

    /// A conversation, and what it needs to receive a request.
    fn receive_at(&mut self, key: ConnectionKey) -> Option<(&mut Conversation, Reception<'_>)> {
        let origin = self.endpoints.get(key)?.conversation()?.origin();
        let body_room = self.body_room(origin);
        let has_place = self.has_place_for_client();
        let conversation = self.endpoints.get_mut(key)?.conversation_mut()?;
        let users = self.broker.users_mut();
        let Operators { logins, cors, .. } = &mut self.operators;
        Some((conversation, Reception { users, logins, cors, body_room, has_place }))
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
            self.follow_cluster_name();
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
            vitals: self.health.vitals(&self.blocking, self.sync.syncs),
            churn: self.operators.churn,
            started: self.operators.started,
            history: &self.sampling.history,
            now: self.now,
        };
        let broker = &mut self.broker;
        broker.act_for(Some(job.user()));
        let mut context = Context { broker, node: &view, orders: &mut orders };
        let step = job.go_on(&mut context, &mut piece);
        self.broker.act_for(None);
        orders.drain(..).for_each(|order| self.carry_out(order));
        self.operators.orders = orders;
        if let Some(endpoint) = self.endpoints.get_mut(key)
            && let Some(conversation) = endpoint.conversation_mut()
        {
            conversation.put_back(job, step, &piece, &mut self.broker.work);
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
