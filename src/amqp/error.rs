//! How is a peer told what it did wrong: reply codes, the level that is closed, and the text.

use std::fmt::{self, Display, Write};

/// A protocol error as it is answered: with `channel.close` or `connection.close`.
///
/// Specification 1.2 and 2.2.4 ("Error handling").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpError {
    /// The reply code.
    pub code: ReplyCode,
    /// What is closed by it.
    pub level: Level,
    /// `NAME - explanation`, at most [`TEXT_BYTES_MAX`] bytes, so that it is a short string.
    pub text: String,
    /// The class of the method that caused it; 0 when none did.
    pub class_id: u16,
    /// The method that caused it; 0 when none did.
    pub method_id: u16,
}

impl AmqpError {
    /// An error that closes the channel; the text becomes `NAME - explanation`.
    #[cold]
    pub fn channel(code: ReplyCode, explanation: impl Display) -> AmqpError {
        AmqpError::new(code, Level::Channel, &explanation)
    }

    /// An error that closes the connection; the text becomes `NAME - explanation`.
    #[cold]
    pub fn connection(code: ReplyCode, explanation: impl Display) -> AmqpError {
        AmqpError::new(code, Level::Connection, &explanation)
    }

    /// The same error, blamed on a method.
    #[must_use]
    pub fn at(mut self, class_id: u16, method_id: u16) -> AmqpError {
        self.class_id = class_id;
        self.method_id = method_id;
        self
    }

    fn new(code: ReplyCode, level: Level, explanation: &dyn Display) -> AmqpError {
        let mut text = BoundedText(String::new());
        // An error here means that the bound was met, which is no error.
        let _bound_met = write!(text, "{} - {explanation}", code.name());
        AmqpError { code, level, text: text.0, class_id: 0, method_id: 0 }
    }
}

impl Display for AmqpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.text)
    }
}

impl std::error::Error for AmqpError {}

/// What an error closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The channel; the connection and its other channels live on.
    Channel,
    /// The whole connection.
    Connection,
}

/// The reply codes of the specification (1.1, constants) with RabbitMQ's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// Not an error: a close that was asked for.
    ReplySuccess = 200,
    /// The content is too large for a consumer.
    ContentTooLarge = 311,
    /// `basic.return`: mandatory, and no queue wanted it.
    NoRoute = 312,
    /// `basic.return`: immediate, and no consumer was there.
    NoConsumers = 313,
    /// An operator or a shutdown closes the connection.
    ConnectionForced = 320,
    /// The virtual host's name is malformed.
    InvalidPath = 402,
    /// Missing permission, or a name that is the broker's own.
    AccessRefused = 403,
    /// Queue or exchange missing.
    NotFound = 404,
    /// An exclusive queue of another connection.
    ResourceLocked = 405,
    /// A condition of the method does not hold, or an argument is invalid.
    PreconditionFailed = 406,
    /// The bytes are no frame.
    FrameError = 501,
    /// The frame holds a method that cannot be decoded.
    SyntaxError = 502,
    /// An unknown method, or one that makes no sense here.
    CommandInvalid = 503,
    /// A method on a channel in the wrong state.
    ChannelError = 504,
    /// A frame that is not allowed at this point.
    UnexpectedFrame = 505,
    /// The broker lacks a resource.
    ResourceError = 506,
    /// Forbidden by the broker's rules, whoever asks.
    NotAllowed = 530,
    /// In the specification, but not in this broker.
    NotImplemented = 540,
    /// The broker's own fault.
    InternalError = 541,
}

impl ReplyCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The name with which error texts begin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ReplyCode::ReplySuccess => "REPLY_SUCCESS",
            ReplyCode::ContentTooLarge => "CONTENT_TOO_LARGE",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::NoConsumers => "NO_CONSUMERS",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::InvalidPath => "INVALID_PATH",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// How long an error text may be, in bytes: it travels as a short string.
pub const TEXT_BYTES_MAX: usize = 255;

/// The end of a text that was longer.
const CUT_SHORT: &str = "...";

/// Takes text up to the bound and then refuses, so that a huge explanation is never built whole.
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let most = TEXT_BYTES_MAX - CUT_SHORT.len();
        let before = (0..=most.min(self.0.len())).rev().find(|&at| self.0.is_char_boundary(at));
        self.0.truncate(before.unwrap_or(0));
        let room = most - self.0.len();
        let cut = (0..=room.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
        self.0.push_str(&text[..cut.unwrap_or(0)]);
        self.0.push_str(CUT_SHORT);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_begins_with_the_name_of_the_code() {
        let error = AmqpError::channel(ReplyCode::NotFound, "no queue 'a' in vhost '/'").at(50, 10);
        assert_eq!(error.text, "NOT_FOUND - no queue 'a' in vhost '/'");
        assert_eq!((error.class_id, error.method_id), (50, 10));
        assert_eq!(error.level, Level::Channel);
        assert_eq!(error.to_string(), "404 NOT_FOUND - no queue 'a' in vhost '/'");
        let error = AmqpError::connection(ReplyCode::FrameError, format_args!("{}", 7));
        assert_eq!(error.text, "FRAME_ERROR - 7");
        assert_eq!(error.level, Level::Connection);
        assert_eq!((error.class_id, error.method_id), (0, 0));
    }

    #[test]
    fn text_is_cut_to_a_short_string_between_characters() {
        let prefix = "NOT_FOUND - ";
        for shift in 0..4 {
            let explanation = "x".repeat(shift) + &"\u{20ac}".repeat(100);
            let error = AmqpError::channel(ReplyCode::NotFound, &explanation);
            assert!(error.text.len() <= TEXT_BYTES_MAX);
            assert!(error.text.len() > TEXT_BYTES_MAX - 3);
            let text = error.text.strip_suffix("...").expect("it says that it was longer");
            assert!(format!("{prefix}{explanation}").starts_with(text));
        }
        let exact = "x".repeat(TEXT_BYTES_MAX - prefix.len());
        let error = AmqpError::channel(ReplyCode::NotFound, &exact);
        assert_eq!(error.text, format!("{prefix}{exact}"));
        let error = AmqpError::channel(ReplyCode::NotFound, exact.clone() + "y");
        assert_eq!(error.text, format!("{prefix}{}...", &exact[3..]));
        // The same where the text comes in pieces, and the last one is short.
        let error = AmqpError::channel(ReplyCode::NotFound, format_args!("{exact}{}", "y"));
        assert_eq!(error.text, format!("{prefix}{}...", &exact[3..]));
    }

    #[test]
    fn codes_have_the_numbers_of_the_specification() {
        assert_eq!(ReplyCode::ReplySuccess.number(), 200);
        assert_eq!(ReplyCode::NoRoute.number(), 312);
        assert_eq!(ReplyCode::PreconditionFailed.number(), 406);
        assert_eq!(ReplyCode::PreconditionFailed.name(), "PRECONDITION_FAILED");
        assert_eq!(ReplyCode::InternalError.number(), 541);
    }
}
