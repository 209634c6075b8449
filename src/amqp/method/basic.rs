//! Which methods has class basic (60): publishing, consuming and acknowledging?

use super::layout::method;
use crate::amqp::table::Table;

method! {
    /// how much may be outstanding at consumers.
    "basic.qos" (60, 10)
    pub struct Qos {
        /// Bytes; 0 is no limit.
        pub prefetch_size: u32,
        /// Messages; 0 is no limit.
        pub prefetch_count: u16,
        /// Shared by the channel, not for each consumer (RabbitMQ's meaning).
        pub global: bool,
    }
    wire {
        long prefetch_size;
        short prefetch_count;
        bits global;
    }
}

method! {
    /// taken.
    "basic.qos-ok" (60, 11)
    pub struct QosOk {}
    wire {}
}

method! {
    /// the client wants a queue's messages.
    "basic.consume" (60, 20)
    pub struct Consume<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// The consumer's name on this channel; empty: the server makes one up.
        pub consumer_tag: &'a [u8],
        /// Not what this connection published; RabbitMQ ignores it.
        pub no_local: bool,
        /// Messages count as acknowledged when they are sent.
        pub no_ack: bool,
        /// No other consumer is wanted.
        pub exclusive: bool,
        /// No consume-ok is wanted.
        pub nowait: bool,
        /// `x-priority` and so on.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string queue;
        short_string consumer_tag;
        bits no_local no_ack exclusive nowait;
        table arguments;
    }
}

method! {
    /// messages will come.
    "basic.consume-ok" (60, 21)
    pub struct ConsumeOk<'a> {
        /// The consumer's name on this channel.
        pub consumer_tag: &'a [u8],
    }
    wire { short_string consumer_tag; }
}

method! {
    /// the client wants no more; from the server: the queue is gone (RabbitMQ's).
    "basic.cancel" (60, 30)
    pub struct Cancel<'a> {
        /// The consumer's name on this channel.
        pub consumer_tag: &'a [u8],
        /// No cancel-ok is wanted.
        pub nowait: bool,
    }
    wire {
        short_string consumer_tag;
        bits nowait;
    }
}

method! {
    /// no more will come.
    "basic.cancel-ok" (60, 31)
    pub struct CancelOk<'a> {
        /// The consumer's name on this channel.
        pub consumer_tag: &'a [u8],
    }
    wire { short_string consumer_tag; }
}

method! {
    /// a message for an exchange; a content follows.
    "basic.publish" (60, 40)
    pub struct Publish<'a> {
        /// The exchange; empty: the default one.
        pub exchange: &'a [u8],
        /// What the exchange routes by.
        pub routing_key: &'a [u8],
        /// Return it when no queue takes it.
        pub mandatory: bool,
        /// Return it when no consumer takes it at once; RabbitMQ has it no more.
        pub immediate: bool,
    }
    wire {
        reserved_short;
        short_bytes exchange;
        short_bytes routing_key;
        bits mandatory immediate;
    }
}

method! {
    /// a message that could not be routed comes back; a content follows.
    "basic.return" (60, 50)
    pub struct Return<'a> {
        /// A [`ReplyCode`](crate::amqp::ReplyCode)'s number.
        pub reply_code: u16,
        /// Why.
        pub reply_text: &'a [u8],
        /// The exchange that it was published to.
        pub exchange: &'a [u8],
        /// The routing key that it was published with.
        pub routing_key: &'a [u8],
    }
    wire {
        short reply_code;
        short_string reply_text;
        short_bytes exchange;
        short_bytes routing_key;
    }
}

method! {
    /// a message for a consumer; a content follows.
    "basic.deliver" (60, 60)
    pub struct Deliver<'a> {
        /// The consumer's name on this channel.
        pub consumer_tag: &'a [u8],
        /// What an acknowledgement refers to; counts from 1 per channel.
        pub delivery_tag: u64,
        /// It may have been delivered before.
        pub redelivered: bool,
        /// The exchange that it was published to.
        pub exchange: &'a [u8],
        /// The routing key that it was published with.
        pub routing_key: &'a [u8],
    }
    wire {
        short_string consumer_tag;
        long_long delivery_tag;
        bits redelivered;
        short_bytes exchange;
        short_bytes routing_key;
    }
}

method! {
    /// the client wants one message.
    "basic.get" (60, 70)
    pub struct Get<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// The message counts as acknowledged when it is sent.
        pub no_ack: bool,
    }
    wire {
        reserved_short;
        short_string queue;
        bits no_ack;
    }
}

method! {
    /// here it is; a content follows.
    "basic.get-ok" (60, 71)
    pub struct GetOk<'a> {
        /// What an acknowledgement refers to; counts from 1 per channel.
        pub delivery_tag: u64,
        /// It may have been delivered before.
        pub redelivered: bool,
        /// The exchange that it was published to.
        pub exchange: &'a [u8],
        /// The routing key that it was published with.
        pub routing_key: &'a [u8],
        /// How many messages are left in the queue.
        pub message_count: u32,
    }
    wire {
        long_long delivery_tag;
        bits redelivered;
        short_bytes exchange;
        short_bytes routing_key;
        long message_count;
    }
}

method! {
    /// there is none.
    "basic.get-empty" (60, 72)
    pub struct GetEmpty {}
    wire { reserved_short_string; }
}

method! {
    /// done with a message; from the server: a publish is safe (RabbitMQ's).
    "basic.ack" (60, 80)
    pub struct Ack {
        /// Which one; 0 with `multiple`: all so far.
        pub delivery_tag: u64,
        /// And all before it.
        pub multiple: bool,
    }
    wire {
        long_long delivery_tag;
        bits multiple;
    }
}

method! {
    /// the client does not take a message.
    "basic.reject" (60, 90)
    pub struct Reject {
        /// Which one.
        pub delivery_tag: u64,
        /// Back into the queue; else dropped or dead-lettered.
        pub requeue: bool,
    }
    wire {
        long_long delivery_tag;
        bits requeue;
    }
}

method! {
    /// what is outstanding is to come again; deprecated, unanswered.
    "basic.recover-async" (60, 100)
    pub struct RecoverAsync {
        /// To whichever consumer, not to the same one.
        pub requeue: bool,
    }
    wire { bits requeue; }
}

method! {
    /// what is outstanding is to come again.
    "basic.recover" (60, 110)
    pub struct Recover {
        /// To whichever consumer, not to the same one.
        pub requeue: bool,
    }
    wire { bits requeue; }
}

method! {
    /// it will.
    "basic.recover-ok" (60, 111)
    pub struct RecoverOk {}
    wire {}
}

method! {
    /// messages are not taken; from the server: a publish was refused (RabbitMQ's).
    "basic.nack" (60, 120)
    pub struct Nack {
        /// Which one; 0 with `multiple`: all so far.
        pub delivery_tag: u64,
        /// And all before it.
        pub multiple: bool,
        /// Back into the queue; else dropped or dead-lettered.
        pub requeue: bool,
    }
    wire {
        long_long delivery_tag;
        bits multiple requeue;
    }
}
