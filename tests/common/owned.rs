//! What did the broker answer? Its methods in forms that own their strings.

use leveret::amqp::{Method, Properties, PropertyList, TableBuf};

use super::client::Event;

/// A method of the broker's, taken out of an event.
pub trait Owned: Sized {
    /// The method as the specification names it.
    const NAME: &'static str;

    /// `None` when it is another method.
    fn from_event(event: &Event) -> Option<Self>;
}

/// Owned forms of methods: the struct, and how its fields are taken from the borrowed one.
macro_rules! owned {
    ($($(#[$doc:meta])* $name:ident = $variant:ident, $wire:literal
        { $($field:ident: $kind:ty = $take:expr),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                $(#[allow(missing_docs)] pub $field: $kind,)*
            }

            impl Owned for $name {
                const NAME: &'static str = $wire;

                fn from_event(event: &Event) -> Option<$name> {
                    let Method::$variant(_method) = event.method() else { return None };
                    $(let take: fn(&_) -> $kind = $take; let $field = take(&_method);)*
                    Some($name { $($field),* })
                }
            }
        )*
    };
}

use leveret::amqp::method::{basic, connection, queue};

owned! {
    /// connection.start
    Start = ConnectionStart, "connection.start" {
        version: (u8, u8) = |m: &connection::Start<'_>| (m.version_major, m.version_minor),
        properties: TableBuf = |m: &connection::Start<'_>| TableBuf::from(m.server_properties),
        mechanisms: String = |m: &connection::Start<'_>| text(m.mechanisms),
        locales: String = |m: &connection::Start<'_>| text(m.locales),
    }
    /// connection.tune
    Tune = ConnectionTune, "connection.tune" {
        channel_max: u16 = |m: &connection::Tune| m.channel_max,
        frame_max: u32 = |m: &connection::Tune| m.frame_max,
        heartbeat: u16 = |m: &connection::Tune| m.heartbeat,
    }
    /// connection.open-ok
    ConnectionOpenOk = ConnectionOpenOk, "connection.open-ok" {}
    /// connection.close-ok
    ConnectionCloseOk = ConnectionCloseOk, "connection.close-ok" {}
    /// connection.blocked
    Blocked = ConnectionBlocked, "connection.blocked" {
        reason: String = |m: &connection::Blocked<'_>| text(m.reason),
    }
    /// connection.unblocked
    Unblocked = ConnectionUnblocked, "connection.unblocked" {}
    /// connection.update-secret-ok
    UpdateSecretOk = ConnectionUpdateSecretOk, "connection.update-secret-ok" {}
    /// channel.open-ok
    ChannelOpenOk = ChannelOpenOk, "channel.open-ok" {}
    /// channel.close-ok
    ChannelCloseOk = ChannelCloseOk, "channel.close-ok" {}
    /// channel.flow-ok
    FlowOk = ChannelFlowOk, "channel.flow-ok" {
        active: bool = |m: &leveret::amqp::method::channel::FlowOk| m.active,
    }
    /// access.request-ok
    AccessRequestOk = AccessRequestOk, "access.request-ok" {}
    /// exchange.declare-ok
    ExchangeDeclareOk = ExchangeDeclareOk, "exchange.declare-ok" {}
    /// exchange.delete-ok
    ExchangeDeleteOk = ExchangeDeleteOk, "exchange.delete-ok" {}
    /// exchange.bind-ok
    ExchangeBindOk = ExchangeBindOk, "exchange.bind-ok" {}
    /// exchange.unbind-ok
    ExchangeUnbindOk = ExchangeUnbindOk, "exchange.unbind-ok" {}
    /// queue.declare-ok
    DeclareOk = QueueDeclareOk, "queue.declare-ok" {
        queue: String = |m: &queue::DeclareOk<'_>| text(m.queue),
        messages: u32 = |m: &queue::DeclareOk<'_>| m.message_count,
        consumers: u32 = |m: &queue::DeclareOk<'_>| m.consumer_count,
    }
    /// queue.bind-ok
    BindOk = QueueBindOk, "queue.bind-ok" {}
    /// queue.unbind-ok
    UnbindOk = QueueUnbindOk, "queue.unbind-ok" {}
    /// queue.purge-ok
    PurgeOk = QueuePurgeOk, "queue.purge-ok" {
        messages: u32 = |m: &queue::PurgeOk| m.message_count,
    }
    /// queue.delete-ok
    DeleteOk = QueueDeleteOk, "queue.delete-ok" {
        messages: u32 = |m: &queue::DeleteOk| m.message_count,
    }
    /// basic.qos-ok
    QosOk = BasicQosOk, "basic.qos-ok" {}
    /// basic.consume-ok
    ConsumeOk = BasicConsumeOk, "basic.consume-ok" {
        tag: String = |m: &basic::ConsumeOk<'_>| text(m.consumer_tag),
    }
    /// basic.cancel
    Cancel = BasicCancel, "basic.cancel" {
        tag: String = |m: &basic::Cancel<'_>| text(m.consumer_tag),
    }
    /// basic.cancel-ok
    CancelOk = BasicCancelOk, "basic.cancel-ok" {
        tag: String = |m: &basic::CancelOk<'_>| text(m.consumer_tag),
    }
    /// basic.get-empty
    GetEmpty = BasicGetEmpty, "basic.get-empty" {}
    /// basic.ack
    Ack = BasicAck, "basic.ack" {
        tag: u64 = |m: &basic::Ack| m.delivery_tag,
        multiple: bool = |m: &basic::Ack| m.multiple,
    }
    /// basic.nack
    Nack = BasicNack, "basic.nack" {
        tag: u64 = |m: &basic::Nack| m.delivery_tag,
        multiple: bool = |m: &basic::Nack| m.multiple,
    }
    /// basic.recover-ok
    RecoverOk = BasicRecoverOk, "basic.recover-ok" {}
    /// confirm.select-ok
    ConfirmSelectOk = ConfirmSelectOk, "confirm.select-ok" {}
    /// tx.select-ok
    TxSelectOk = TxSelectOk, "tx.select-ok" {}
    /// tx.commit-ok
    TxCommitOk = TxCommitOk, "tx.commit-ok" {}
    /// tx.rollback-ok
    TxRollbackOk = TxRollbackOk, "tx.rollback-ok" {}
}

/// What channel.close and connection.close say.
#[derive(Clone, Debug, PartialEq)]
pub struct Close {
    /// The reply code.
    pub code: u16,
    /// The reply text.
    pub text: String,
    /// Class and method of the offender.
    pub offender: (u16, u16),
}

impl Close {
    /// Checks code and text.
    pub fn assert(&self, code: u16, text: &str) {
        let right = self.code == code && self.text.contains(text);
        assert!(right, "{code} with {text:?} expected, but this came: {self:?}");
    }
}

/// channel.close
pub struct ChannelClose(pub Close);

impl Owned for ChannelClose {
    const NAME: &'static str = "channel.close";

    fn from_event(event: &Event) -> Option<ChannelClose> {
        let Method::ChannelClose(close) = event.method() else {
            return None;
        };
        Some(ChannelClose(Close {
            code: close.reply_code,
            text: text(close.reply_text),
            offender: (close.class_id, close.method_id),
        }))
    }
}

/// connection.close
pub struct ConnectionClose(pub Close);

impl Owned for ConnectionClose {
    const NAME: &'static str = "connection.close";

    fn from_event(event: &Event) -> Option<ConnectionClose> {
        let Method::ConnectionClose(close) = event.method() else {
            return None;
        };
        Some(ConnectionClose(Close {
            code: close.reply_code,
            text: text(close.reply_text),
            offender: (close.class_id, close.method_id),
        }))
    }
}

/// A message from the broker: basic.deliver, basic.get-ok or basic.return, with its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub key: String,
    /// Flags and values of the properties.
    pub properties: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    fn new(event: &Event, exchange: &[u8], key: &[u8]) -> Message {
        Message {
            exchange: text(exchange),
            key: text(key),
            properties: event.properties.clone(),
            body: event.body.clone(),
        }
    }

    /// The decoded properties.
    pub fn list(&self) -> PropertyList<'_> {
        Properties::new(&self.properties).list().expect("the broker sends good properties")
    }

    /// The body as text.
    pub fn body(&self) -> String {
        text(&self.body)
    }
}

/// basic.deliver
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The consumer.
    pub consumer: String,
    /// The delivery tag.
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

impl Owned for Delivery {
    const NAME: &'static str = "basic.deliver";

    fn from_event(event: &Event) -> Option<Delivery> {
        let Method::BasicDeliver(deliver) = event.method() else {
            return None;
        };
        Some(Delivery {
            consumer: text(deliver.consumer_tag),
            tag: deliver.delivery_tag,
            redelivered: deliver.redelivered,
            message: Message::new(event, deliver.exchange, deliver.routing_key),
        })
    }
}

/// basic.get-ok
#[derive(Clone, Debug, PartialEq)]
pub struct GetOk {
    /// The delivery tag.
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Messages left in the queue.
    pub left: u32,
    /// The message.
    pub message: Message,
}

impl Owned for GetOk {
    const NAME: &'static str = "basic.get-ok";

    fn from_event(event: &Event) -> Option<GetOk> {
        let Method::BasicGetOk(got) = event.method() else {
            return None;
        };
        Some(GetOk {
            tag: got.delivery_tag,
            redelivered: got.redelivered,
            left: got.message_count,
            message: Message::new(event, got.exchange, got.routing_key),
        })
    }
}

/// basic.return
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// The reply code.
    pub code: u16,
    /// The reply text.
    pub text: String,
    /// The message.
    pub message: Message,
}

impl Owned for Return {
    const NAME: &'static str = "basic.return";

    fn from_event(event: &Event) -> Option<Return> {
        let Method::BasicReturn(returned) = event.method() else {
            return None;
        };
        Some(Return {
            code: returned.reply_code,
            text: text(returned.reply_text),
            message: Message::new(event, returned.exchange, returned.routing_key),
        })
    }
}

/// Bytes that are text, for messages and comparisons.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
