//! Which methods has class queue (50): queues and their bindings?

use super::layout::method;
use crate::amqp::table::Table;

method! {
    /// the client wants a queue to be there.
    "queue.declare" (50, 10)
    pub struct Declare<'a> {
        /// Its name; empty: the server makes one up.
        pub queue: &'a [u8],
        /// Only look whether it is there.
        pub passive: bool,
        /// It survives a restart.
        pub durable: bool,
        /// For this connection alone, and gone with it.
        pub exclusive: bool,
        /// It goes with its last consumer.
        pub auto_delete: bool,
        /// No declare-ok is wanted.
        pub nowait: bool,
        /// `x-message-ttl` and so on.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string queue;
        bits passive durable exclusive auto_delete nowait;
        table arguments;
    }
}

method! {
    /// it is there.
    "queue.declare-ok" (50, 11)
    pub struct DeclareOk<'a> {
        /// Its name.
        pub queue: &'a [u8],
        /// Messages ready for delivery.
        pub message_count: u32,
        /// Consumers.
        pub consumer_count: u32,
    }
    wire {
        short_string queue;
        long message_count;
        long consumer_count;
    }
}

method! {
    /// from an exchange to a queue.
    "queue.bind" (50, 20)
    pub struct Bind<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// The exchange.
        pub exchange: &'a [u8],
        /// Which messages.
        pub routing_key: &'a [u8],
        /// No bind-ok is wanted.
        pub nowait: bool,
        /// What the exchange's type takes.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string queue;
        short_string exchange;
        short_string routing_key;
        bits nowait;
        table arguments;
    }
}

method! {
    /// bound.
    "queue.bind-ok" (50, 21)
    pub struct BindOk {}
    wire {}
}

method! {
    /// no longer.
    "queue.unbind" (50, 50)
    pub struct Unbind<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// The exchange.
        pub exchange: &'a [u8],
        /// Which messages.
        pub routing_key: &'a [u8],
        /// As in the binding.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string queue;
        short_string exchange;
        short_string routing_key;
        table arguments;
    }
}

method! {
    /// unbound.
    "queue.unbind-ok" (50, 51)
    pub struct UnbindOk {}
    wire {}
}

method! {
    /// the client throws away what is ready in a queue.
    "queue.purge" (50, 30)
    pub struct Purge<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// No purge-ok is wanted.
        pub nowait: bool,
    }
    wire {
        reserved_short;
        short_string queue;
        bits nowait;
    }
}

method! {
    /// thrown away.
    "queue.purge-ok" (50, 31)
    pub struct PurgeOk {
        /// How many messages.
        pub message_count: u32,
    }
    wire { long message_count; }
}

method! {
    /// the client wants a queue to go.
    "queue.delete" (50, 40)
    pub struct Delete<'a> {
        /// The queue; empty: the last one declared on this channel.
        pub queue: &'a [u8],
        /// Only if it has no consumer.
        pub if_unused: bool,
        /// Only if it has no message ready.
        pub if_empty: bool,
        /// No delete-ok is wanted.
        pub nowait: bool,
    }
    wire {
        reserved_short;
        short_string queue;
        bits if_unused if_empty nowait;
    }
}

method! {
    /// it is gone.
    "queue.delete-ok" (50, 41)
    pub struct DeleteOk {
        /// How many messages went with it.
        pub message_count: u32,
    }
    wire { long message_count; }
}
