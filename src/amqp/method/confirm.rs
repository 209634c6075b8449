//! Which methods has class confirm (85): publisher confirms (RabbitMQ's)?

use super::layout::method;

method! {
    /// publishes on this channel are to be confirmed.
    "confirm.select" (85, 10)
    pub struct Select {
        /// No select-ok is wanted.
        pub nowait: bool,
    }
    wire { bits nowait; }
}

method! {
    /// from now on.
    "confirm.select-ok" (85, 11)
    pub struct SelectOk {}
    wire {}
}
