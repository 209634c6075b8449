//! How do the frames of a content become one message?
//!
//! Most contents lie whole in the input behind their method and are used where they are. One
//! that is cut is kept here, small bodies in memory, large ones parked in the message log as
//! they arrive.

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, ContentHeader, Frame, FrameKind, Parsed, ReplyCode};
use crate::broker::{Body, Content, LargeBody};

/// Bodies of this many bytes and more are written to the log as they arrive.
pub const LARGE_BYTES_MIN: u64 = 64 * 1024;

/// The class that contents belong to.
pub const CLASS_BASIC: u16 = 60;
/// The id of `basic.publish`.
pub const METHOD_PUBLISH: u16 = 40;

/// A content that lies whole in the input.
#[derive(Debug)]
pub struct Whole<'a> {
    /// Its header.
    pub header: ContentHeader<'a>,
    /// Its body; it came in one frame, or is empty.
    pub body: &'a [u8],
    /// The input's bytes that it took.
    pub consumed: usize,
}

/// A content whose frames are still coming.
#[derive(Debug, Default)]
pub enum Arriving {
    /// None is expected.
    #[default]
    Nothing,
    /// `basic.publish` came, its header has not.
    Header(Box<Started>),
    /// The header came, the body is not complete.
    Body(Box<Growing>),
}

/// A copy of the `basic.publish` that began a content.
#[derive(Debug)]
pub struct Started {
    /// The exchange's name.
    pub exchange: Vec<u8>,
    /// The routing key.
    pub routing_key: Vec<u8>,
    /// Return it when no queue gets it.
    pub mandatory: bool,
}

/// A content that has its header.
#[derive(Debug)]
pub struct Growing {
    /// What began it.
    pub started: Started,
    /// The property bytes.
    pub properties: Vec<u8>,
    /// The body's length as announced.
    pub body_bytes: u64,
    /// What came of the body.
    pub body: GrowingBody,
}

/// What came of a body so far.
#[derive(Debug)]
pub enum GrowingBody {
    /// In memory.
    Inline(Vec<u8>),
    /// In the message log.
    Large(LargeBody),
}

impl Started {
    /// Copies the method.
    pub fn new(publish: &basic::Publish<'_>) -> Self {
        Self {
            exchange: publish.exchange.to_vec(),
            routing_key: publish.routing_key.to_vec(),
            mandatory: publish.mandatory,
        }
    }

    /// What it began, with the rest.
    pub fn content<'a, B>(&'a self, properties: &'a [u8], body: B) -> Content<'a, B> {
        let Self { exchange, routing_key, .. } = self;
        Content { exchange, routing_key, properties, body }
    }
}

impl Growing {
    /// What came so far.
    pub fn content(&self) -> Content<'_> {
        let body = match &self.body {
            GrowingBody::Inline(bytes) => Body::Inline(bytes),
            GrowingBody::Large(large) => Body::Large(large),
        };
        self.started.content(&self.properties, body)
    }
}

impl GrowingBody {
    /// The bytes that came.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Large(body) => body.body_bytes() - body.missing_bytes(),
        }
    }
}

/// The content behind a `basic.publish`, when all of it lies in `input` and its body is one
/// frame or empty; `None` when it has to be put together.
#[inline]
pub fn take_whole(
    input: &[u8],
    channel: u16,
    frame_bytes_max: u32,
) -> Result<Option<Whole<'_>>, AmqpError> {
    let Parsed::Complete(frame, header_bytes) = Frame::parse(input, frame_bytes_max)? else {
        return Ok(None);
    };
    if frame.channel != channel || frame.kind != FrameKind::Header {
        return Ok(None);
    }
    let header = parse_header(frame.payload)?;
    if header.body_bytes == 0 {
        return Ok(Some(Whole { header, body: &[], consumed: header_bytes }));
    }
    if header.body_bytes >= LARGE_BYTES_MIN {
        return Ok(None);
    }
    let Parsed::Complete(frame, body_bytes) =
        Frame::parse(&input[header_bytes..], frame_bytes_max)?
    else {
        return Ok(None);
    };
    let whole = frame.payload.len() as u64 == header.body_bytes;
    if frame.channel != channel || frame.kind != FrameKind::Body || !whole {
        return Ok(None);
    }
    let consumed = header_bytes + body_bytes;
    Ok(Some(Whole { header, body: frame.payload, consumed }))
}

/// A content header for class basic, else 505.
pub fn parse_header(payload: &[u8]) -> Result<ContentHeader<'_>, AmqpError> {
    let header = ContentHeader::parse(payload)?;
    if header.class_id != CLASS_BASIC {
        let text = format!(
            "expected content header for class {CLASS_BASIC}, got one for class {} instead",
            header.class_id
        );
        return Err(
            AmqpError::connection(ReplyCode::UnexpectedFrame, text).at(CLASS_BASIC, METHOD_PUBLISH)
        );
    }
    Ok(header)
}

/// 505: something else came where a content's header had to.
pub fn expected_header() -> AmqpError {
    unexpected(format_args!(
        "expected content header for class {CLASS_BASIC}, got non content header frame instead"
    ))
}

/// 505: something else came where a content's body had to.
pub fn expected_body() -> AmqpError {
    unexpected(format_args!("expected content body, got non content body frame instead"))
}

/// 505: a content frame came without its method.
pub fn expected_method() -> AmqpError {
    let text = "expected method frame, got non method frame instead";
    AmqpError::connection(ReplyCode::UnexpectedFrame, text)
}

/// 505: a body is longer than its header said.
pub fn body_too_long() -> AmqpError {
    unexpected(format_args!("content body is longer than its header announced"))
}

fn unexpected(text: std::fmt::Arguments<'_>) -> AmqpError {
    AmqpError::connection(ReplyCode::UnexpectedFrame, text).at(CLASS_BASIC, METHOD_PUBLISH)
}
