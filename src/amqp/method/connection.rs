//! Which methods has class connection (10): the handshake, closing, and alarms?

use super::layout::method;
use crate::amqp::table::Table;

method! {
    /// the server presents itself and offers ways to log in.
    "connection.start" (10, 10)
    pub struct Start<'a> {
        /// 0.
        pub version_major: u8,
        /// 9.
        pub version_minor: u8,
        /// Product, version, capabilities.
        pub server_properties: Table<'a>,
        /// SASL mechanisms, separated by spaces.
        pub mechanisms: &'a [u8],
        /// Locales, separated by spaces.
        pub locales: &'a [u8],
    }
    wire {
        octet version_major;
        octet version_minor;
        table server_properties;
        long_string mechanisms;
        long_string locales;
    }
}

method! {
    /// the client presents itself and logs in.
    "connection.start-ok" (10, 11)
    pub struct StartOk<'a> {
        /// Product, version, capabilities.
        pub client_properties: Table<'a>,
        /// The SASL mechanism of its choice.
        pub mechanism: &'a [u8],
        /// What the mechanism sends first.
        pub response: &'a [u8],
        /// The locale of its choice.
        pub locale: &'a [u8],
    }
    wire {
        table client_properties;
        short_string mechanism;
        long_string response;
        short_string locale;
    }
}

method! {
    /// the SASL mechanism asks on.
    "connection.secure" (10, 20)
    pub struct Secure<'a> {
        /// The mechanism's bytes.
        pub challenge: &'a [u8],
    }
    wire { long_string challenge; }
}

method! {
    /// and is answered.
    "connection.secure-ok" (10, 21)
    pub struct SecureOk<'a> {
        /// The mechanism's bytes.
        pub response: &'a [u8],
    }
    wire { long_string response; }
}

method! {
    /// the server's limits.
    "connection.tune" (10, 30)
    pub struct Tune {
        /// The highest channel number; 0 is no limit.
        pub channel_max: u16,
        /// The largest frame in bytes, overhead included; 0 is no limit.
        pub frame_max: u32,
        /// Seconds; 0 is off.
        pub heartbeat: u16,
    }
    wire {
        short channel_max;
        long frame_max;
        short heartbeat;
    }
}

method! {
    /// the limits that the client settles for.
    "connection.tune-ok" (10, 31)
    pub struct TuneOk {
        /// The highest channel number; 0 is no limit.
        pub channel_max: u16,
        /// The largest frame in bytes, overhead included; 0 is no limit.
        pub frame_max: u32,
        /// Seconds; 0 is off.
        pub heartbeat: u16,
    }
    wire {
        short channel_max;
        long frame_max;
        short heartbeat;
    }
}

method! {
    /// the client chooses a virtual host.
    "connection.open" (10, 40)
    pub struct Open<'a> {
        /// Its name.
        pub virtual_host: &'a [u8],
    }
    wire {
        short_string virtual_host;
        reserved_short_string;
        reserved_bit;
    }
}

method! {
    /// the connection is ready.
    "connection.open-ok" (10, 41)
    pub struct OpenOk {}
    wire { reserved_short_string; }
}

method! {
    /// either side closes the connection.
    "connection.close" (10, 50)
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
    /// the last word on a connection.
    "connection.close-ok" (10, 51)
    pub struct CloseOk {}
    wire {}
}

method! {
    /// the server reads no more from publishers (RabbitMQ's).
    "connection.blocked" (10, 60)
    pub struct Blocked<'a> {
        /// What it lacks.
        pub reason: &'a [u8],
    }
    wire { short_string reason; }
}

method! {
    /// the server reads again (RabbitMQ's).
    "connection.unblocked" (10, 61)
    pub struct Unblocked {}
    wire {}
}

method! {
    /// the client renews its credentials (RabbitMQ's).
    "connection.update-secret" (10, 70)
    pub struct UpdateSecret<'a> {
        /// The new password or token.
        pub new_secret: &'a [u8],
        /// Why, for the log.
        pub reason: &'a [u8],
    }
    wire {
        long_string new_secret;
        short_string reason;
    }
}

method! {
    /// taken (RabbitMQ's).
    "connection.update-secret-ok" (10, 71)
    pub struct UpdateSecretOk {}
    wire {}
}
