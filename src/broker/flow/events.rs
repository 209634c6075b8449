//! What happened, as `amq.rabbitmq.event` tells it?
//!
//! An event is noted where it happens, if anybody is to hear of it, and published in a later step.
//! Its key and its headers are RabbitMQ's, which writes what is not plain in them as Erlang does:
//! so do we, since who reads events expects it.

use crate::amqp::{ArrayBuf, PropertyList, Table, TableBuf, Value};
use crate::broker::Broker;
use crate::broker::arguments::QueueKind;
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::flow::message::PERSISTENT;
use crate::broker::key::{ArenaKey, ChannelKey, ConnectionKey, ConsumerKey, ExchangeKey};
use crate::broker::key::{QueueKey, VhostKey};
use crate::broker::notices::{Notice, Source};
use crate::broker::term::{binary, term};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident $key:literal)*) => {
        /// Something that happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $name,)*
        }

        impl Event {
            /// The routing key.
            pub fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }
        }
    };
}

events! {
    /// A queue was made.
    QueueCreated "queue.created"
    /// A queue is gone.
    QueueDeleted "queue.deleted"
    /// An exchange was made.
    ExchangeCreated "exchange.created"
    /// An exchange is gone.
    ExchangeDeleted "exchange.deleted"
    /// A binding was made.
    BindingCreated "binding.created"
    /// A binding is gone.
    BindingDeleted "binding.deleted"
    /// A client's connection is open.
    ConnectionCreated "connection.created"
    /// A connection ended, whether it was open or not.
    ConnectionClosed "connection.closed"
    /// A channel was opened.
    ChannelCreated "channel.created"
    /// A channel ended.
    ChannelClosed "channel.closed"
    /// A consumer began.
    ConsumerCreated "consumer.created"
    /// A consumer ended.
    ConsumerDeleted "consumer.deleted"
    /// A policy or operator policy was set.
    PolicySet "policy.set"
    /// A policy was taken back.
    PolicyCleared "policy.cleared"
    /// An operator policy was taken back.
    OperatorPolicyCleared "operator.policy.cleared"
    /// A parameter was set.
    ParameterSet "parameter.set"
    /// A parameter was taken back.
    ParameterCleared "parameter.cleared"
    /// A vhost was made.
    VhostCreated "vhost.created"
    /// Something else is said of a vhost.
    VhostUpdated "vhost.updated"
    /// A vhost is gone, with all that was in it.
    VhostDeleted "vhost.deleted"
    /// Limits of a vhost were set.
    VhostLimitsSet "vhost.limits.set"
    /// A vhost has no limits any more.
    VhostLimitsCleared "vhost.limits.cleared"
    /// A user was made.
    UserCreated "user.created"
    /// A user is gone.
    UserDeleted "user.deleted"
    /// A user has another password.
    UserPasswordChanged "user.password.changed"
    /// A user has no password any more.
    UserPasswordCleared "user.password.cleared"
    /// A user's tags were set.
    UserTagsSet "user.tags.set"
    /// Limits of a user were set.
    UserLimitsSet "user.limits.set"
    /// A user has no limits any more.
    UserLimitsCleared "user.limits.cleared"
    /// Somebody logged in.
    UserAuthenticationSuccess "user.authentication.success"
    /// Somebody was not let in.
    UserAuthenticationFailure "user.authentication.failure"
    /// Permissions in a vhost were set.
    PermissionCreated "permission.created"
    /// Permissions in a vhost were taken back.
    PermissionDeleted "permission.deleted"
    /// Permissions of a topic exchange were set.
    TopicPermissionCreated "topic.permission.created"
    /// Permissions of a topic exchange were taken back.
    TopicPermissionDeleted "topic.permission.deleted"
    /// Memory or disk is low.
    AlarmSet "alarm.set"
    /// It is not any more.
    AlarmCleared "alarm.cleared"
}

/// Who did what nobody asked for, in RabbitMQ's words.
const INTERNAL_USER: &[u8] = b"rmq-internal";

/// What it costs to write down what happened.
const WORK_PER_EVENT: usize = 20;

/// An event with longer arguments is told without them.
const ARGUMENT_BYTES_MAX: usize = 16 * 1024;

impl Event {
    /// RabbitMQ does not say of these who did them.
    fn has_actor(self) -> bool {
        !matches!(
            self,
            Self::UserAuthenticationSuccess
                | Self::UserAuthenticationFailure
                | Self::ConnectionClosed
                | Self::AlarmSet
                | Self::AlarmCleared
        )
    }
}

impl Broker {
    /// Whether anybody is to hear of events.
    #[inline]
    pub fn tells_events(&self) -> bool {
        self.notices.events.is_some()
    }

    /// Something happened. `fields` puts what is to be said of it, if anything is.
    #[inline]
    pub fn note_event(&mut self, event: Event, fields: impl FnOnce(&Self, &mut TableBuf)) {
        if self.tells_events() && self.may_tell() {
            let mut headers = TableBuf::new();
            fields(self, &mut headers);
            self.put_event(event, headers);
        }
    }

    /// Counts the work of telling an event, and whether there is room for one.
    #[cold]
    #[inline(never)]
    fn may_tell(&mut self) -> bool {
        if self.notices.takes(0) {
            self.work.spend(WORK_PER_EVENT);
            return true;
        }
        self.notices.note_no_room(Source::Events);
        false
    }

    #[cold]
    #[inline(never)]
    fn put_event(&mut self, event: Event, mut headers: TableBuf) {
        if event.has_actor() {
            let actor = self.notices.actor.as_deref().unwrap_or(INTERNAL_USER);
            headers.put(b"user_who_performed_action", Value::LongString(actor));
        }
        let now_ms = i64::try_from(self.clock_ms).unwrap_or(i64::MAX);
        headers.put_i64(b"timestamp_in_ms", now_ms);
        let list = PropertyList {
            headers: Some(headers.table()),
            delivery_mode: Some(PERSISTENT),
            timestamp: Some(self.clock_ms / 1000),
            ..PropertyList::default()
        };
        let mut properties = Vec::new();
        list.encode(&mut properties);
        let (source, routing_key) = (Source::Events, event.key().into());
        self.notices.push(Notice { source, routing_key, properties, body: Vec::new() });
    }

    /// What events call a connection, as RabbitMQ names the process that serves it.
    pub fn connection_id(&self, key: ConnectionKey) -> String {
        format!("<{}.1.{}.{}>", self.notices.node_name, key.index(), key.generation())
    }

    /// What events call a channel.
    pub fn channel_id(&self, key: ChannelKey) -> String {
        format!("<{}.2.{}.{}>", self.notices.node_name, key.index(), key.generation())
    }

    /// What events call the node.
    pub fn node_name(&self) -> &[u8] {
        &self.notices.node_name
    }

    pub(in crate::broker) fn note_queue_created(&mut self, key: QueueKey) {
        self.note_event(Event::QueueCreated, |broker, headers| {
            let Some(queue) = broker.queues.get(key) else {
                return;
            };
            let declaration = &queue.declaration;
            put_name(headers, b"vhost", &broker.topology.vhost_name(queue.vhost));
            put_name(headers, b"name", &queue.name);
            headers.put_bool(b"durable", queue.is_durable());
            headers.put_bool(b"auto_delete", declaration.auto_delete);
            put_arguments(headers, declaration.table());
            let owner = declaration.owner.map(|owner| broker.connection_id(owner));
            headers.put_str(b"owner_pid", &owner.unwrap_or_default());
            headers.put_bool(b"exclusive", declaration.owner.is_some());
            match queue.settings.kind {
                QueueKind::Classic => {}
                QueueKind::Quorum => headers.put_str(b"type", "rabbit_quorum_queue"),
                QueueKind::Stream => headers.put_str(b"type", "rabbit_stream_queue"),
            }
        });
    }

    pub(in crate::broker) fn note_deleted(&mut self, event: Event, vhost: VhostKey, name: &[u8]) {
        self.note_event(event, |broker, headers| {
            put_name(headers, b"vhost", &broker.topology.vhost_name(vhost));
            put_name(headers, b"name", name);
        });
    }

    pub(in crate::broker) fn note_exchange_deleted(&mut self, key: ExchangeKey) {
        self.note_event(Event::ExchangeDeleted, |broker, headers| {
            if let Some(exchange) = broker.topology.exchange(key) {
                put_name(headers, b"vhost", &broker.topology.vhost_name(exchange.vhost));
                put_name(headers, b"name", &exchange.name);
            }
        });
    }

    /// The consumers of a queue end with it.
    pub(in crate::broker) fn note_consumers_end(&mut self, key: QueueKey) {
        if !self.tells_events() {
            return;
        }
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        let consumers: Vec<ConsumerKey> = queue.line.members().collect();
        for consumer in consumers {
            self.note_consumer(Event::ConsumerDeleted, consumer);
        }
    }

    pub(in crate::broker) fn note_exchange_created(&mut self, key: ExchangeKey) {
        self.note_event(Event::ExchangeCreated, |broker, headers| {
            let Some(exchange) = broker.topology.exchange(key) else {
                return;
            };
            put_name(headers, b"vhost", &broker.topology.vhost_name(exchange.vhost));
            put_name(headers, b"name", &exchange.name);
            headers.put_str(b"type", exchange.kind.name());
            headers.put_bool(b"durable", exchange.durable);
            headers.put_bool(b"auto_delete", exchange.auto_delete);
            headers.put_bool(b"internal", exchange.internal);
            put_arguments(headers, Table::new(&exchange.arguments).unwrap_or(Table::EMPTY));
            headers.put_str(b"policy", "");
        });
    }

    /// A binding came, or went while both of its ends were still there.
    pub(in crate::broker) fn note_binding(
        &mut self,
        event: Event,
        vhost: VhostKey,
        binding: &Binding,
    ) {
        self.note_event(event, |broker, headers| {
            let exchange = |key| broker.topology.exchange(key).map(|it| it.name.clone());
            let (destination, kind) = match binding.destination {
                Destination::Queue(key) => {
                    (broker.queues.get(key).map(|queue| queue.name.clone()), "queue")
                }
                Destination::Exchange(key) => (exchange(key), "exchange"),
            };
            put_name(headers, b"source_name", &exchange(binding.source).unwrap_or_default());
            headers.put_str(b"source_kind", "exchange");
            put_name(headers, b"destination_name", &destination.unwrap_or_default());
            headers.put_str(b"destination_kind", kind);
            put_name(headers, b"routing_key", &binding.key);
            put_arguments(headers, binding.table());
            put_name(headers, b"vhost", &broker.topology.vhost_name(vhost));
        });
    }

    pub(in crate::broker) fn note_consumer(&mut self, event: Event, key: ConsumerKey) {
        self.note_event(event, |broker, headers| {
            let Some(consumer) = broker.queues.consumer(key) else {
                return;
            };
            put_name(headers, b"consumer_tag", &consumer.tag);
            if event == Event::ConsumerCreated {
                headers.put_bool(b"exclusive", consumer.exclusive);
                headers.put_bool(b"ack_required", !consumer.no_ack);
            }
            headers.put_str(b"channel", &broker.channel_id(consumer.channel));
            if let Some(queue) = broker.queues.get(consumer.queue) {
                put_name(headers, b"vhost", &broker.topology.vhost_name(queue.vhost));
                put_name(headers, b"queue", &queue.name);
            }
            if event == Event::ConsumerCreated {
                headers.put_i64(b"prefetch_count", i64::from(consumer.prefetch));
                let arguments = Table::new(&consumer.arguments).unwrap_or(Table::EMPTY);
                put_arguments(headers, arguments);
            }
        });
    }
}

pub(in crate::broker) fn put_name(headers: &mut TableBuf, key: &[u8], name: &[u8]) {
    headers.put(key, Value::LongString(name));
}

fn put_arguments(headers: &mut TableBuf, arguments: Table<'_>) {
    put_terms(headers, b"arguments", arguments);
}

/// Puts the fields of a table as RabbitMQ does: an array of Erlang's terms.
pub fn put_terms(headers: &mut TableBuf, key: &[u8], fields: Table<'_>) {
    let mut terms = ArrayBuf::new();
    if fields.as_bytes().len() <= ARGUMENT_BYTES_MAX {
        fields.iter().for_each(|(name, value)| terms.push_str(&field(name, value)));
    }
    headers.put(key, Value::Array(terms.array()));
}

/// A field as Erlang writes it: `{<<"x-max-length">>,signedint,5}`.
fn field(name: &[u8], value: Value<'_>) -> String {
    format!("{{{},{},{}}}", binary(name), value.type_name(), term(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Array;

    /// A client may send arguments as deep as their bytes allow.
    #[test]
    fn very_deep_arguments_are_told_without_a_deep_stack() {
        let mut bytes = Vec::new();
        while bytes.len() + 16 < ARGUMENT_BYTES_MAX {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes.splice(..0, [b'A'].into_iter().chain(length));
        }
        let array = &bytes[5..];
        let mut fields = TableBuf::new();
        fields.put(b"deep", Value::Array(Array::new(array).unwrap()));
        let told = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            let mut headers = TableBuf::new();
            put_terms(&mut headers, b"arguments", fields.table());
            headers.table().as_bytes().iter().filter(|&&byte| byte == b'[').count()
        });
        assert!(told.unwrap().join().unwrap() > 3_000);
    }
}
