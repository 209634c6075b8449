//! Where does a frame end, and is it one?
//!
//! ```text
//!     0      1         3             7                 7 + size
//!     +------+---------+-------------+-----------------+------+
//!     | type | channel | payload size|     payload     | 0xCE |
//!     +------+---------+-------------+-----------------+------+
//! ```
//! Specification 4.2.3.

use super::error::{AmqpError, ReplyCode};
use std::fmt;

/// A frame, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel that it belongs to; 0 is the connection itself.
    pub channel: u16,
    /// What is between the frame's header and its end octet.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `input`, with the number of bytes that it takes, or `Incomplete`.
    ///
    /// `frame_bytes_max` counts the whole frame, its 8 bytes of overhead included.
    ///
    /// # Errors
    /// 501, connection level: an unknown type, an announced size above the limit (both before the
    /// payload has arrived), a wrong end octet. The texts are RabbitMQ's.
    #[inline]
    pub fn parse(input: &'a [u8], frame_bytes_max: u32) -> Result<Parsed<Frame<'a>>, AmqpError> {
        let Some((&[octet, c0, c1, s0, s1, s2, s3], rest)) = input.split_first_chunk() else {
            return Frame::parse_start(input);
        };
        let Some(kind) = FrameKind::from_octet(octet) else {
            return Err(unknown_type(octet));
        };
        let payload_bytes = u32::from_be_bytes([s0, s1, s2, s3]);
        let payload_bytes_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES);
        if payload_bytes > payload_bytes_max {
            return Err(too_large(octet, payload_bytes, payload_bytes_max));
        }
        let Some((payload, rest)) = rest.split_at_checked(payload_bytes as usize) else {
            return Ok(Parsed::Incomplete);
        };
        let Some(&end) = rest.first() else {
            return Ok(Parsed::Incomplete);
        };
        if end != FRAME_END {
            return Err(wrong_end(octet, payload, end));
        }
        let channel = u16::from_be_bytes([c0, c1]);
        let taken = payload.len() + FRAME_OVERHEAD_BYTES as usize;
        Ok(Parsed::Complete(Frame { kind, channel, payload }, taken))
    }

    /// Less than a frame's header: only the type can be judged.
    fn parse_start(input: &[u8]) -> Result<Parsed<Frame<'a>>, AmqpError> {
        match input.first() {
            Some(&octet) if FrameKind::from_octet(octet).is_none() => Err(unknown_type(octet)),
            Some(_) | None => Ok(Parsed::Incomplete),
        }
    }
}

/// What a parser made of its input: not having seen enough of it yet is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The thing, and how many bytes of the input it took.
    Complete(T, usize),
    /// More input is needed.
    Incomplete,
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method with its arguments.
    Method,
    /// The header of a content: size and properties.
    Header,
    /// A part of a content's body.
    Body,
    /// A sign of life.
    Heartbeat,
}

impl FrameKind {
    /// The octet on the wire.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            FrameKind::Method => 1,
            FrameKind::Header => 2,
            FrameKind::Body => 3,
            FrameKind::Heartbeat => 8,
        }
    }

    /// The type that an octet on the wire stands for.
    #[must_use]
    #[inline]
    pub const fn from_octet(octet: u8) -> Option<FrameKind> {
        match octet {
            1 => Some(FrameKind::Method),
            2 => Some(FrameKind::Header),
            3 => Some(FrameKind::Body),
            8 => Some(FrameKind::Heartbeat),
            _ => None,
        }
    }
}

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// What a frame takes besides its payload, in bytes: type, channel, size and end octet.
pub const FRAME_OVERHEAD_BYTES: u32 = 8;

#[cold]
fn unknown_type(octet: u8) -> AmqpError {
    AmqpError::connection(ReplyCode::FrameError, format_args!("unknown frame type {octet}"))
}

#[cold]
fn too_large(octet: u8, payload_bytes: u32, payload_bytes_max: u32) -> AmqpError {
    let explanation = format_args!(
        "type {octet}, all octets = <<>>: {{frame_too_large,{payload_bytes},{payload_bytes_max}}}"
    );
    AmqpError::connection(ReplyCode::FrameError, explanation)
}

#[cold]
fn wrong_end(octet: u8, payload: &[u8], end: u8) -> AmqpError {
    let shown = &payload[..payload.len().min(SHOWN_BYTES_MAX)];
    let amount = if shown.len() == payload.len() { "all" } else { "first 16" };
    let explanation = format_args!(
        "type {octet}, {amount} octets = {}: {{invalid_frame_end_marker,{end}}}",
        Octets(shown)
    );
    AmqpError::connection(ReplyCode::FrameError, explanation)
}

/// How much of a broken frame's payload is shown in the error, in bytes.
const SHOWN_BYTES_MAX: usize = 16;

/// Bytes as RabbitMQ's texts show them: `<<"text">>` where they are text, `<<1,2,3>>` elsewhere.
struct Octets<'a>(&'a [u8]);

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<")?;
        let is_text = self.0.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
        if is_text && !self.0.is_empty() {
            write!(f, "\"{}\"", self.0.escape_ascii())?;
        } else {
            for (index, byte) in self.0.iter().enumerate() {
                write!(f, "{}{byte}", if index == 0 { "" } else { "," })?;
            }
        }
        f.write_str(">>")
    }
}

/// The largest frame that is taken where this much was negotiated. Clients that count the payload
/// alone, such as rabbitpy, send 8 bytes more; RabbitMQ takes them, so we do.
#[must_use]
pub fn tolerated_bytes(frame_bytes_max: u32) -> u32 {
    frame_bytes_max + FRAME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::super::{Level, encoder};
    use super::*;

    const HEARTBEAT: &[u8] = b"\x08\x00\x00\x00\x00\x00\x00\xce";
    const FRAME: &[u8] = b"\x03\x01\x02\x00\x00\x00\x03abc\xce";

    #[test]
    fn a_frame_has_the_bytes_of_the_specification() {
        let frame = Frame { kind: FrameKind::Body, channel: 258, payload: b"abc" };
        assert_eq!(Frame::parse(FRAME, 4096), Ok(Parsed::Complete(frame, 11)));
        let frame = Frame { kind: FrameKind::Heartbeat, channel: 0, payload: b"" };
        assert_eq!(Frame::parse(HEARTBEAT, 4096), Ok(Parsed::Complete(frame, 8)));
        for octet in 0..=255 {
            let kind = FrameKind::from_octet(octet);
            assert_eq!(kind.is_some(), matches!(octet, 1 | 2 | 3 | 8));
            assert!(kind.is_none_or(|kind| kind.octet() == octet));
        }
    }

    #[test]
    fn less_than_a_frame_is_incomplete_wherever_it_is_cut() {
        for frame in [FRAME, HEARTBEAT] {
            for length in 0..frame.len() {
                assert_eq!(Frame::parse(&frame[..length], 4096), Ok(Parsed::Incomplete));
            }
        }
    }

    #[test]
    fn a_hundred_frames_in_one_read_come_one_by_one() {
        let mut random = Random::new(2);
        let payloads: Vec<_> = (0..100).map(|_| random.bytes(40)).collect();
        let mut input = Vec::new();
        for (channel, payload) in (1..).zip(&payloads) {
            encoder::body_frame(&mut input, channel, payload);
        }
        let mut rest = input.as_slice();
        for (channel, payload) in (1..).zip(&payloads) {
            let frame = Frame { kind: FrameKind::Body, channel, payload };
            let taken = payload.len() + 8;
            assert_eq!(Frame::parse(rest, 4096), Ok(Parsed::Complete(frame, taken)));
            rest = &rest[taken..];
        }
        assert_eq!(Frame::parse(rest, 4096), Ok(Parsed::Incomplete));
    }

    #[test]
    fn frames_may_be_as_large_as_the_limit_and_not_a_byte_more() {
        for frame_bytes_max in [4096, 131_072] {
            let payload = vec![0xCE; frame_bytes_max as usize - 7];
            let mut exact = Vec::new();
            encoder::body_frame(&mut exact, 1, &payload[1..]);
            assert_eq!(exact.len(), frame_bytes_max as usize);
            let frame = Frame { kind: FrameKind::Body, channel: 1, payload: &payload[1..] };
            let parsed = Frame::parse(&exact, frame_bytes_max);
            assert_eq!(parsed, Ok(Parsed::Complete(frame, exact.len())));

            // One more is refused as soon as the size is known, before the payload is there.
            let mut over = Vec::new();
            encoder::body_frame(&mut over, 1, &payload);
            for length in 7..=8 {
                let error = Frame::parse(&over[..length], frame_bytes_max).unwrap_err();
                assert_eq!((error.code, error.level), (ReplyCode::FrameError, Level::Connection));
                let text = format!(
                    "FRAME_ERROR - type 3, all octets = <<>>: {{frame_too_large,{},{}}}",
                    frame_bytes_max - 7,
                    frame_bytes_max - 8
                );
                assert_eq!(error.text, text);
            }
            assert_eq!(Frame::parse(&over[..6], frame_bytes_max), Ok(Parsed::Incomplete));
        }
        let largest = b"\x01\x00\x00\xff\xff\xff\xff";
        assert!(Frame::parse(largest, u32::MAX).is_err());
        assert!(Frame::parse(HEARTBEAT, 0).is_ok(), "an empty frame is never too large");
    }

    #[test]
    fn an_unknown_type_is_refused_at_its_first_octet() {
        for input in [b"\x00".as_slice(), b"\x04\0\0", b"AMQP\0\0\x09\x01", b"GET / HTTP/1.1"] {
            let error = Frame::parse(input, 4096).unwrap_err();
            assert_eq!((error.code, error.level), (ReplyCode::FrameError, Level::Connection));
            assert_eq!(error.text, format!("FRAME_ERROR - unknown frame type {}", input[0]));
        }
    }

    #[test]
    fn a_wrong_end_octet_is_a_frame_error_that_shows_the_payload() {
        for (input, shown) in [
            (b"\x03\x00\x01\x00\x00\x00\x03abc\x00".as_slice(), "all octets = <<\"abc\">>"),
            (b"\x03\x00\x01\x00\x00\x00\x02\x01\xff\x00", "all octets = <<1,255>>"),
            (b"\x03\x00\x01\x00\x00\x00\x00\x00", "all octets = <<>>"),
            (
                b"\x03\x00\x01\x00\x00\x00\x110123456789abcdefg\x00",
                "first 16 octets = <<\"0123456789abcdef\">>",
            ),
        ] {
            let error = Frame::parse(input, 4096).unwrap_err();
            assert_eq!((error.code, error.level), (ReplyCode::FrameError, Level::Connection));
            let text = format!("FRAME_ERROR - type 3, {shown}: {{invalid_frame_end_marker,0}}");
            assert_eq!(error.text, text);
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Random::new(3);
        for _ in 0..100_000 {
            let input = match random.below(2) {
                0 => random.bytes(32),
                _ => random.spoil(FRAME),
            };
            if let Ok(Parsed::Complete(frame, taken)) = Frame::parse(&input, 64) {
                assert!(taken <= input.len() && taken <= 64);
                assert_eq!(frame.payload.len() + 8, taken);
            }
        }
    }
}
