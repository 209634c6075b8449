//! What does the firehose show? In a vhost that is traced, a copy of each message that is published
//! and of each that is delivered goes to the topic exchange `amq.rabbitmq.trace`.
//!
//! Copies are published where their messages are, so that nothing of them waits in memory; while a
//! commit goes on, which lets nobody's message in between its own, small ones wait and large ones
//! are dropped. A copy is never copied again.

use crate::amqp::{ArrayBuf, Name, Properties, PropertyList, TableBuf, Value};
use crate::broker::Broker;
use crate::broker::flow::blind;
use crate::broker::flow::message::Content;
use crate::broker::key::{QueueKey, VhostKey};
use crate::broker::notices::{Notice, Notices, Source};
use crate::broker::topology::sender_keys::sender_keys;
use crate::storage::{Body, Entry};

/// On which connection a message came or goes.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// The channel's number.
    pub channel: u16,
    /// Whose connection it is.
    pub user: &'a [u8],
}

/// Names of queues in a copy's headers take no more bytes than this together, so that these fit
/// into a frame: what is beyond that is left out.
const ROUTED_BYTES_MAX: usize = 32 * 1024;

/// A copy with more property bytes than this would fit into no frame of a client with the usual
/// limit.
const PROPERTIES_BYTES_MAX: usize = 128 * 1024 - 64;

/// The channel that operators seem to use.
const OPERATORS_CHANNEL: u16 = 1;

/// What it costs to make a copy's headers.
const WORK_PER_COPY: usize = 4;

impl Broker {
    /// Whether messages of this vhost are traced.
    #[inline]
    pub fn is_traced(&self, vhost: VhostKey) -> bool {
        self.topology.traces() && self.topology.is_traced(vhost)
    }

    /// Whether messages of any vhost are traced.
    #[inline]
    pub fn traces(&self) -> bool {
        self.topology.traces()
    }

    /// Copies a message that was published to these queues.
    pub fn trace_published(
        &mut self,
        vhost: VhostKey,
        content: &Content<'_>,
        queues: &[QueueKey],
        passage: &Passage<'_>,
    ) {
        if content.exchange == Source::Firehose(vhost).exchange().as_bytes() {
            return;
        }
        let mut headers = self.headers_of_copy(content);
        self.put_passage(&mut headers, vhost, passage);
        let (mut routed, mut bytes) = (ArrayBuf::new(), 0);
        for queue in queues.iter().filter_map(|&key| self.queues.get(key)) {
            bytes += queue.name.as_bytes().len() + 5;
            if bytes > ROUTED_BYTES_MAX {
                break;
            }
            if !queue.is_reply_queue {
                routed.push(Value::LongString(queue.name.as_bytes()));
            }
        }
        headers.put(b"routed_queues", Value::Array(routed.array()));
        self.work.spend_bytes(bytes as u64);
        let key = [b"publish.", content.exchange].concat();
        self.publish_copy(vhost, &key, &headers, content.body);
    }

    /// Copies a message that an operator published.
    pub fn trace_published_by_operator(
        &mut self,
        vhost: VhostKey,
        content: &Content<'_>,
        queues: &[QueueKey],
    ) {
        let (node, user) = self.operators_end();
        let passage = Passage { connection: &node, channel: OPERATORS_CHANNEL, user: &user };
        self.trace_published(vhost, content, queues, &passage);
    }

    /// Copies a stored message that an operator takes out of a queue.
    pub fn trace_taken_by_operator(&mut self, queue: QueueKey, entry: Entry, before: u8) {
        let (node, user) = self.operators_end();
        let passage = Passage { connection: &node, channel: OPERATORS_CHANNEL, user: &user };
        self.trace_delivered(queue, entry, before, &passage);
    }

    /// Operators have no connection of their own: the node is named for them, and who asked.
    fn operators_end(&self) -> (String, Name) {
        let Notices { node_name, actor, .. } = &self.notices;
        (format!("<{node_name}>"), actor.clone().unwrap_or_default())
    }

    /// Copies a stored message that a queue hands out; it was delivered so often `before`.
    pub fn trace_delivered(
        &mut self,
        queue: QueueKey,
        entry: Entry,
        before: u8,
        passage: &Passage<'_>,
    ) {
        let Some(queue) = self.queues.get(queue).filter(|queue| !queue.is_reply_queue) else {
            return;
        };
        let vhost = queue.vhost;
        let record = self.store.record(entry.at);
        if !self.is_traced(vhost)
            || record.exchange() == Source::Firehose(vhost).exchange().as_bytes()
        {
            return;
        }
        let key = [b"deliver.", queue.name.as_bytes()].concat();
        let content = Content {
            exchange: record.exchange(),
            routing_key: record.routing_key(),
            properties: record.properties(),
            body: Body::Of(entry.at),
        };
        let mut headers = self.headers_of_copy(&content);
        headers.put(b"redelivered", Value::I32(i32::from(before > 0)));
        self.put_passage(&mut headers, vhost, passage);
        self.publish_copy(vhost, &key, &headers, Body::Of(entry.at));
    }

    /// What there is to say of a message, in RabbitMQ's order.
    fn headers_of_copy(&self, content: &Content<'_>) -> TableBuf {
        let mut headers = TableBuf::new();
        headers.put(b"exchange_name", Value::LongString(content.exchange));
        let list = Properties::new(content.properties).list().unwrap_or_default();
        let mut keys = ArrayBuf::new();
        let chosen = sender_keys(content.routing_key, list.headers);
        chosen.for_each(|key| keys.push(Value::LongString(key)));
        headers.put(b"routing_keys", Value::Array(keys.array()));
        let visible =
            blind::is_blind(content.properties).then(|| blind::visible(content.properties));
        let visible = visible.as_deref().unwrap_or(content.properties);
        let list = Properties::new(visible).list().unwrap_or_default();
        headers.put(b"properties", Value::Table(table_of(&list).table()));
        headers.put(b"node", Value::LongString(&self.notices.node_name));
        headers
    }

    fn put_passage(&self, headers: &mut TableBuf, vhost: VhostKey, passage: &Passage<'_>) {
        let vhost = self.topology.vhost_name(vhost);
        headers.put(b"vhost", Value::LongString(&vhost));
        headers.put_str(b"connection", passage.connection);
        headers.put(b"channel", Value::I32(i32::from(passage.channel)));
        headers.put(b"user", Value::LongString(passage.user));
    }

    fn publish_copy(&mut self, vhost: VhostKey, key: &[u8], headers: &TableBuf, body: Body<'_>) {
        self.work.spend(WORK_PER_COPY);
        // A key has at most 255 bytes, and so have the names behind the word.
        let key = &key[..key.len().min(255)];
        let mut properties = Vec::new();
        let list = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        list.encode(&mut properties);
        let source = Source::Firehose(vhost);
        if properties.len() > PROPERTIES_BYTES_MAX {
            return self.notices.note_dropped(source, "its headers are too long");
        }
        if self.commits.is_any_running() || !self.notices.is_empty() {
            return self.copy_later(source, key, properties, body);
        }
        self.publish_notice(source, key, &properties, body);
    }

    /// Keeps a copy until the commit is over, and what waits before it.
    fn copy_later(&mut self, source: Source, key: &[u8], properties: Vec<u8>, body: Body<'_>) {
        let bytes = usize::try_from(self.body_bytes(&body)).unwrap_or(usize::MAX);
        if bytes > LATER_BYTES_MAX || !self.notices.takes(bytes) {
            return self.notices.note_dropped(source, "a commit goes on, or others wait");
        }
        let body = match body {
            Body::Inline(body) => body.to_vec(),
            Body::Large(_) | Body::Of(_) => self.body_to_vec(&body),
        };
        self.work.spend_bytes(bytes as u64);
        self.notices.push(Notice { source, routing_key: key.to_vec(), properties, body });
    }
}

/// Bodies of more than this are not kept in memory for later.
const LATER_BYTES_MAX: usize = 128 * 1024;

/// Properties as a table, under RabbitMQ's names for them.
fn table_of(list: &PropertyList<'_>) -> TableBuf {
    let mut table = TableBuf::new();
    let text = |table: &mut TableBuf, name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            table.put(name.as_bytes(), Value::LongString(value));
        }
    };
    let number = |table: &mut TableBuf, name: &str, value: Option<u64>| {
        if let Some(value) = value {
            table.put(name.as_bytes(), integer(value));
        }
    };
    text(&mut table, "content_type", list.content_type);
    text(&mut table, "content_encoding", list.content_encoding);
    if let Some(headers) = list.headers {
        table.put(b"headers", Value::Table(headers));
    }
    number(&mut table, "delivery_mode", list.delivery_mode.map(u64::from));
    number(&mut table, "priority", list.priority.map(u64::from));
    text(&mut table, "correlation_id", list.correlation_id);
    text(&mut table, "reply_to", list.reply_to);
    text(&mut table, "expiration", list.expiration);
    text(&mut table, "message_id", list.message_id);
    number(&mut table, "timestamp", list.timestamp);
    text(&mut table, "type", list.kind);
    text(&mut table, "user_id", list.user_id);
    text(&mut table, "app_id", list.app_id);
    text(&mut table, "cluster_id", list.cluster_id);
    table
}

/// RabbitMQ writes 32 bits; what has more is not cut here.
fn integer(value: u64) -> Value<'static> {
    match i32::try_from(value) {
        Ok(value) => Value::I32(value),
        Err(_) => i64::try_from(value).map_or(Value::U64(value), Value::I64),
    }
}
