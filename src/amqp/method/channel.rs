//! Which methods has class channel (20): opening and closing a channel, and flow?

use super::layout::method;

method! {
    /// the client opens the channel that the frame names.
    "channel.open" (20, 10)
    pub struct Open {}
    wire { reserved_short_string; }
}

method! {
    /// the channel is ready.
    "channel.open-ok" (20, 11)
    pub struct OpenOk {}
    wire { reserved_long_string; }
}

method! {
    /// the peer asks to pause or resume contents.
    "channel.flow" (20, 20)
    pub struct Flow {
        /// Whether contents may be sent.
        pub active: bool,
    }
    wire { bits active; }
}

method! {
    /// done.
    "channel.flow-ok" (20, 21)
    pub struct FlowOk {
        /// Whether contents are sent.
        pub active: bool,
    }
    wire { bits active; }
}

method! {
    /// either side closes the channel.
    "channel.close" (20, 40)
    pub struct Close<'a> {
        /// A [`ReplyCode`](crate::amqp::ReplyCode)'s number.
        pub reply_code: u16,
        /// Why.
        pub reply_text: &'a [u8],
        /// The class of the method to blame, or 0.
        pub class_id: u16,
        /// The method to blame, or 0.
        pub method_id: u16,
    }
    wire {
        short reply_code;
        short_string reply_text;
        short class_id;
        short method_id;
    }
}

method! {
    /// the last word on a channel.
    "channel.close-ok" (20, 41)
    pub struct CloseOk {}
    wire {}
}
