//! What went wrong with a connection, and is it worth connecting again?

use std::fmt;
use std::io;

use leveret::amqp::{AmqpError, Level, Method};

/// The end of a connection, or of an attempt at one.
#[derive(Debug)]
pub enum Fault {
    /// No connection could be made.
    Unreachable(io::Error),
    /// The socket broke, ended or timed out.
    Lost(io::Error),
    /// The broker closed the connection or the channel.
    Closed {
        /// Which of the two.
        level: Level,
        /// Reply code, 320 for instance.
        code: u16,
        /// Its words.
        text: String,
        /// Class and method it blames, or zeros.
        blamed: (u16, u16),
    },
    /// The broker cancelled a consumer, mostly since its queue is gone.
    Cancelled(String),
    /// The broker sent what is not AMQP, or what does not belong there.
    Protocol(String),
}

impl Fault {
    /// The fault of a method that ends a connection, `None` for all others.
    pub fn of_method(method: &Method<'_>) -> Option<Fault> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Method::ConnectionClose(close) = method {
            return Some(Fault::Closed {
                level: Level::Connection,
                code: close.reply_code,
                text: text(close.reply_text),
                blamed: (close.class_id, close.method_id),
            });
        }
        if let Method::ChannelClose(close) = method {
            return Some(Fault::Closed {
                level: Level::Channel,
                code: close.reply_code,
                text: text(close.reply_text),
                blamed: (close.class_id, close.method_id),
            });
        }
        if let Method::BasicCancel(cancel) = method {
            return Some(Fault::Cancelled(text(cancel.consumer_tag)));
        }
        None
    }

    /// Whether the same may go well a little later: the broker restarts, or someone closed
    /// the connection.
    pub fn is_passing(&self) -> bool {
        match self {
            Fault::Unreachable(_) | Fault::Lost(_) | Fault::Cancelled(_) => true,
            Fault::Closed { level, code, .. } => *level == Level::Connection && *code == FORCED,
            Fault::Protocol(_) => false,
        }
    }
}

impl From<AmqpError> for Fault {
    fn from(error: AmqpError) -> Fault {
        Fault::Protocol(format!("the broker's bytes are wrong: {}", error.text))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreachable(error) => write!(out, "cannot connect: {error}"),
            Fault::Lost(error) => write!(out, "connection lost: {error}"),
            Fault::Closed { level, code, text, blamed } => {
                let what = match level {
                    Level::Connection => "connection",
                    Level::Channel => "channel",
                };
                write!(out, "the broker closed the {what}: {code} {text}")?;
                match blamed {
                    (0, 0) => Ok(()),
                    (class, method) => write!(out, " (class {class}, method {method})"),
                }
            }
            Fault::Cancelled(tag) => write!(out, "the broker cancelled consumer '{tag}'"),
            Fault::Protocol(text) => write!(out, "{text}"),
        }
    }
}

/// connection-forced: an operator or a shutdown.
const FORCED: u16 = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use leveret::amqp::method::{channel, connection};

    #[test]
    fn a_close_is_reported_with_code_and_text() {
        let close = Method::ChannelClose(channel::Close {
            reply_code: 404,
            reply_text: b"NOT_FOUND - no queue 'x'",
            class_id: 60,
            method_id: 20,
        });
        let fault = Fault::of_method(&close).unwrap();
        assert!(!fault.is_passing());
        assert_eq!(
            fault.to_string(),
            "the broker closed the channel: 404 NOT_FOUND - no queue 'x' (class 60, method 20)"
        );
    }

    #[test]
    fn a_shutdown_passes_and_a_refusal_does_not() {
        let close = |reply_code| {
            Fault::of_method(&Method::ConnectionClose(connection::Close {
                reply_code,
                reply_text: b"",
                class_id: 0,
                method_id: 0,
            }))
            .unwrap()
        };
        assert!(close(320).is_passing());
        assert!(!close(530).is_passing());
        assert!(Fault::Lost(io::ErrorKind::UnexpectedEof.into()).is_passing());
        assert!(Fault::of_method(&Method::ChannelOpenOk(channel::OpenOk {})).is_none());
    }
}
