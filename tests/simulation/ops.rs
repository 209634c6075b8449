//! What can a client do, and how does it look on the wire?

use std::rc::Rc;

use leveret::amqp::method::{basic, channel, confirm, connection, exchange, queue, tx};
use leveret::amqp::{Method, Table, encoder};

use super::values::{Fields, Props, Val, table_of};

/// One thing that a client does on a channel.
#[derive(Clone, Debug)]
pub enum Op {
    OpenChannel,
    CloseChannel,
    /// The answer to the broker's `channel.close`.
    ChannelCloseOk,
    CloseConnection,
    DeclareQueue {
        queue: String,
        passive: bool,
        spec: QueueSpec,
        nowait: bool,
    },
    DeleteQueue {
        queue: String,
        if_unused: bool,
        if_empty: bool,
    },
    Purge {
        queue: String,
    },
    DeclareExchange {
        exchange: String,
        spec: ExchangeSpec,
    },
    DeleteExchange {
        exchange: String,
        if_unused: bool,
    },
    Bind(Binding),
    Unbind(Binding),
    Publish(Publish),
    Consume(Consume),
    Cancel {
        tag: String,
    },
    Get {
        queue: String,
        no_ack: bool,
    },
    Qos {
        count: u16,
        global: bool,
    },
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
        multiple: bool,
        requeue: bool,
    },
    Reject {
        tag: u64,
        requeue: bool,
    },
    Recover,
    ConfirmSelect,
    TxSelect,
    TxCommit,
    TxRollback,
}

#[derive(Clone, Debug)]
pub struct Publish {
    pub exchange: String,
    pub key: String,
    pub mandatory: bool,
    pub props: Props,
    pub body: Rc<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct Consume {
    pub queue: String,
    pub tag: String,
    pub no_ack: bool,
    pub exclusive: bool,
    pub priority: i32,
    /// Where a stream's reader begins.
    pub offset: Option<Val>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Queue,
    Exchange,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    pub source: String,
    pub end: End,
    pub destination: String,
    pub key: String,
    pub arguments: Fields,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeSpec {
    pub kind: &'static str,
    pub durable: bool,
    pub auto_delete: bool,
    pub alternate: Option<String>,
    /// Further arguments.
    pub arguments: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    DropHead,
    Reject,
    RejectDlx,
}

/// What a queue is declared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub expires_ms: Option<u64>,
    pub ttl_ms: Option<u64>,
    pub max_length: Option<u64>,
    pub max_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dlx: Option<String>,
    pub dlx_key: Option<String>,
    pub max_priority: Option<u8>,
    pub delivery_limit: Option<u32>,
    pub single_active: bool,
    pub deduplicates: bool,
    pub stream: bool,
    pub max_age_s: Option<u64>,
    pub consumer_timeout_ms: Option<u64>,
}

impl QueueSpec {
    pub fn plain(durable: bool) -> Self {
        Self {
            durable,
            exclusive: false,
            auto_delete: false,
            expires_ms: None,
            ttl_ms: None,
            max_length: None,
            max_bytes: None,
            overflow: Overflow::DropHead,
            dlx: None,
            dlx_key: None,
            max_priority: None,
            delivery_limit: None,
            single_active: false,
            deduplicates: false,
            stream: false,
            max_age_s: None,
            consumer_timeout_ms: None,
        }
    }

    fn arguments(&self) -> Fields {
        let mut all = Fields::new();
        let mut number = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                all.push((name.into(), Val::I64(i64::try_from(value).unwrap())));
            }
        };
        number("x-expires", self.expires_ms);
        number("x-message-ttl", self.ttl_ms);
        number("x-consumer-timeout", self.consumer_timeout_ms);
        number("x-max-length", self.max_length);
        number("x-max-length-bytes", self.max_bytes);
        number("x-max-priority", self.max_priority.map(u64::from));
        number("x-delivery-limit", self.delivery_limit.map(u64::from));
        let mut text = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                all.push((name.into(), Val::Text(value.into())));
            }
        };
        text("x-dead-letter-exchange", self.dlx.as_deref());
        text("x-dead-letter-routing-key", self.dlx_key.as_deref());
        let overflow = match self.overflow {
            Overflow::DropHead => None,
            Overflow::Reject => Some("reject-publish"),
            Overflow::RejectDlx => Some("reject-publish-dlx"),
        };
        text("x-overflow", overflow);
        if self.single_active {
            all.push(("x-single-active-consumer".into(), Val::Bool(true)));
        }
        if self.deduplicates {
            all.push(("x-message-deduplication".into(), Val::Bool(true)));
        }
        if self.stream {
            all.push(("x-queue-type".into(), Val::Text("stream".into())));
        }
        if let Some(seconds) = self.max_age_s {
            all.push(("x-max-age".into(), Val::Text(format!("{seconds}s"))));
        }
        all
    }
}

impl Op {
    /// Appends the frames of this on a channel.
    pub fn encode(&self, out: &mut Vec<u8>, number: u16, frame_bytes_max: u32) {
        match self {
            Op::Publish(publish) => publish.encode(out, number, frame_bytes_max),
            Op::CloseConnection => {
                let close = connection::Close {
                    reply_code: 200,
                    reply_text: b"",
                    class_id: 0,
                    method_id: 0,
                };
                encoder::method_frame(out, 0, &close);
            }
            Op::OpenChannel => encoder::method_frame(out, number, &channel::Open {}),
            Op::CloseChannel => {
                let close =
                    channel::Close { reply_code: 200, reply_text: b"", class_id: 0, method_id: 0 };
                encoder::method_frame(out, number, &close);
            }
            Op::ChannelCloseOk => encoder::method_frame(out, number, &channel::CloseOk {}),
            Op::Bind(binding) => binding.encode(out, number, true),
            Op::Unbind(binding) => binding.encode(out, number, false),
            Op::DeclareQueue { .. }
            | Op::DeleteQueue { .. }
            | Op::Purge { .. }
            | Op::DeclareExchange { .. }
            | Op::DeleteExchange { .. } => self.encode_topology(out, number),
            Op::Consume(_)
            | Op::Cancel { .. }
            | Op::Get { .. }
            | Op::Qos { .. }
            | Op::Ack { .. }
            | Op::Nack { .. }
            | Op::Reject { .. }
            | Op::Recover
            | Op::ConfirmSelect
            | Op::TxSelect
            | Op::TxCommit
            | Op::TxRollback => self.encode_basic(out, number),
        }
    }

    fn encode_topology(&self, out: &mut Vec<u8>, number: u16) {
        match self {
            Op::DeclareQueue { queue, passive, spec, nowait } => {
                let arguments = table_of(&spec.arguments());
                let declare = queue::Declare {
                    queue: queue.as_bytes(),
                    passive: *passive,
                    durable: spec.durable,
                    exclusive: spec.exclusive,
                    auto_delete: spec.auto_delete,
                    nowait: *nowait,
                    arguments: arguments.table(),
                };
                encoder::method_frame(out, number, &declare);
            }
            Op::DeleteQueue { queue, if_unused, if_empty } => {
                let delete = queue::Delete {
                    queue: queue.as_bytes(),
                    if_unused: *if_unused,
                    if_empty: *if_empty,
                    nowait: false,
                };
                encoder::method_frame(out, number, &delete);
            }
            Op::Purge { queue } => {
                let purge = queue::Purge { queue: queue.as_bytes(), nowait: false };
                encoder::method_frame(out, number, &purge);
            }
            Op::DeclareExchange { exchange, spec } => spec.encode(out, number, exchange),
            Op::DeleteExchange { exchange, if_unused } => {
                let delete = exchange::Delete {
                    exchange: exchange.as_bytes(),
                    if_unused: *if_unused,
                    nowait: false,
                };
                encoder::method_frame(out, number, &delete);
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn encode_basic(&self, out: &mut Vec<u8>, number: u16) {
        let mut method = |method: Method<'_>| encoder::method_frame(out, number, &method);
        match self {
            Op::Consume(consume) => {
                let mut arguments = Vec::new();
                if consume.priority != 0 {
                    arguments.push(("x-priority".into(), Val::I32(consume.priority)));
                }
                let offset = consume.offset.clone();
                arguments.extend(offset.map(|offset| ("x-stream-offset".into(), offset)));
                let arguments = table_of(&arguments);
                method(Method::BasicConsume(basic::Consume {
                    queue: consume.queue.as_bytes(),
                    consumer_tag: consume.tag.as_bytes(),
                    no_local: false,
                    no_ack: consume.no_ack,
                    exclusive: consume.exclusive,
                    nowait: false,
                    arguments: arguments.table(),
                }));
            }
            Op::Cancel { tag } => method(Method::BasicCancel(basic::Cancel {
                consumer_tag: tag.as_bytes(),
                nowait: false,
            })),
            Op::Get { queue, no_ack } => {
                method(Method::BasicGet(basic::Get { queue: queue.as_bytes(), no_ack: *no_ack }))
            }
            &Op::Qos { count, global } => method(Method::BasicQos(basic::Qos {
                prefetch_size: 0,
                prefetch_count: count,
                global,
            })),
            &Op::Ack { tag, multiple } => {
                method(Method::BasicAck(basic::Ack { delivery_tag: tag, multiple }))
            }
            &Op::Nack { tag, multiple, requeue } => {
                method(Method::BasicNack(basic::Nack { delivery_tag: tag, multiple, requeue }))
            }
            &Op::Reject { tag, requeue } => {
                method(Method::BasicReject(basic::Reject { delivery_tag: tag, requeue }))
            }
            Op::Recover => method(Method::BasicRecover(basic::Recover { requeue: true })),
            Op::ConfirmSelect => {
                method(Method::ConfirmSelect(confirm::Select { nowait: false }));
            }
            Op::TxSelect => method(Method::TxSelect(tx::Select {})),
            Op::TxCommit => method(Method::TxCommit(tx::Commit {})),
            Op::TxRollback => method(Method::TxRollback(tx::Rollback {})),
            other => unreachable!("{other:?}"),
        }
    }
}

impl Publish {
    fn encode(&self, out: &mut Vec<u8>, number: u16, frame_bytes_max: u32) {
        let method = basic::Publish {
            exchange: self.exchange.as_bytes(),
            routing_key: self.key.as_bytes(),
            mandatory: self.mandatory,
            immediate: false,
        };
        encoder::method_frame(out, number, &method);
        let properties = self.props.encode();
        encoder::content(out, number, &properties, &self.body, frame_bytes_max);
    }
}

impl ExchangeSpec {
    /// A durable one without arguments.
    pub fn plain(kind: &'static str) -> Self {
        let arguments = Fields::new();
        Self { kind, durable: true, auto_delete: false, alternate: None, arguments }
    }

    fn encode(&self, out: &mut Vec<u8>, number: u16, name: &str) {
        let mut arguments = self.arguments.clone();
        if let Some(alternate) = &self.alternate {
            arguments.push(("alternate-exchange".into(), Val::Text(alternate.clone())));
        }
        let arguments = table_of(&arguments);
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: self.kind.as_bytes(),
            passive: false,
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: false,
            nowait: false,
            arguments: arguments.table(),
        };
        encoder::method_frame(out, number, &declare);
    }
}

impl Binding {
    fn encode(&self, out: &mut Vec<u8>, number: u16, bind: bool) {
        let buffer = table_of(&self.arguments);
        let arguments: Table<'_> = buffer.table();
        let (source, destination) = (self.source.as_bytes(), self.destination.as_bytes());
        let routing_key = self.key.as_bytes();
        let method = match (self.end, bind) {
            (End::Queue, true) => Method::QueueBind(queue::Bind {
                queue: destination,
                exchange: source,
                routing_key,
                nowait: false,
                arguments,
            }),
            (End::Queue, false) => Method::QueueUnbind(queue::Unbind {
                queue: destination,
                exchange: source,
                routing_key,
                arguments,
            }),
            (End::Exchange, true) => Method::ExchangeBind(exchange::Bind {
                destination,
                source,
                routing_key,
                nowait: false,
                arguments,
            }),
            (End::Exchange, false) => Method::ExchangeUnbind(exchange::Unbind {
                destination,
                source,
                routing_key,
                nowait: false,
                arguments,
            }),
        };
        encoder::method_frame(out, number, &method);
    }
}
