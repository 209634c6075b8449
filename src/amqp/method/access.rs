//! Which methods has class access (30)? It went with AMQP 0-9-1; old clients still ask.

use super::layout::method;

method! {
    /// the client asks for a ticket to a realm.
    "access.request" (30, 10)
    pub struct Request<'a> {
        /// The realm; it has no meaning any more.
        pub realm: &'a [u8],
        /// For itself alone.
        pub exclusive: bool,
        /// To know that the realm is there.
        pub passive: bool,
        /// To do anything.
        pub active: bool,
        /// To publish.
        pub write: bool,
        /// To consume.
        pub read: bool,
    }
    wire {
        short_string realm;
        bits exclusive passive active write read;
    }
}

method! {
    /// a ticket, which every later method carries in a field that is now reserved.
    "access.request-ok" (30, 11)
    pub struct RequestOk {
        /// The ticket; RabbitMQ gives 1.
        pub ticket: u16,
    }
    wire { short ticket; }
}
