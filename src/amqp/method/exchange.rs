//! Which methods has class exchange (40): exchanges, and bindings between them?

use super::layout::method;
use crate::amqp::table::Table;

method! {
    /// the client wants an exchange to be there.
    "exchange.declare" (40, 10)
    pub struct Declare<'a> {
        /// Its name.
        pub exchange: &'a [u8],
        /// Its type (`type`).
        pub kind: &'a [u8],
        /// Only look whether it is there.
        pub passive: bool,
        /// It survives a restart.
        pub durable: bool,
        /// It goes with its last binding (RabbitMQ's).
        pub auto_delete: bool,
        /// Clients may not publish to it (RabbitMQ's).
        pub internal: bool,
        /// No declare-ok is wanted.
        pub nowait: bool,
        /// `alternate-exchange` and what the type takes.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string exchange;
        short_string kind;
        bits passive durable auto_delete internal nowait;
        table arguments;
    }
}

method! {
    /// it is there.
    "exchange.declare-ok" (40, 11)
    pub struct DeclareOk {}
    wire {}
}

method! {
    /// the client wants an exchange to go.
    "exchange.delete" (40, 20)
    pub struct Delete<'a> {
        /// Its name.
        pub exchange: &'a [u8],
        /// Only if nothing is bound to it.
        pub if_unused: bool,
        /// No delete-ok is wanted.
        pub nowait: bool,
    }
    wire {
        reserved_short;
        short_string exchange;
        bits if_unused nowait;
    }
}

method! {
    /// it is gone.
    "exchange.delete-ok" (40, 21)
    pub struct DeleteOk {}
    wire {}
}

method! {
    /// from one exchange to another (RabbitMQ's).
    "exchange.bind" (40, 30)
    pub struct Bind<'a> {
        /// The exchange that gets messages.
        pub destination: &'a [u8],
        /// The exchange that they come from.
        pub source: &'a [u8],
        /// Which ones.
        pub routing_key: &'a [u8],
        /// No bind-ok is wanted.
        pub nowait: bool,
        /// What the source's type takes.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string destination;
        short_string source;
        short_string routing_key;
        bits nowait;
        table arguments;
    }
}

method! {
    /// bound (RabbitMQ's).
    "exchange.bind-ok" (40, 31)
    pub struct BindOk {}
    wire {}
}

method! {
    /// no longer (RabbitMQ's).
    "exchange.unbind" (40, 40)
    pub struct Unbind<'a> {
        /// The exchange that got messages.
        pub destination: &'a [u8],
        /// The exchange that they came from.
        pub source: &'a [u8],
        /// Which ones.
        pub routing_key: &'a [u8],
        /// No unbind-ok is wanted.
        pub nowait: bool,
        /// As in the binding.
        pub arguments: Table<'a>,
    }
    wire {
        reserved_short;
        short_string destination;
        short_string source;
        short_string routing_key;
        bits nowait;
        table arguments;
    }
}

method! {
    /// unbound (RabbitMQ's, with this number).
    "exchange.unbind-ok" (40, 51)
    pub struct UnbindOk {}
    wire {}
}
