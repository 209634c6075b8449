//! How do whole frames get into an output buffer?
//!
//! Free functions that append to a `Vec<u8>`; none allocates but by growing it.

use super::frame::{FRAME_END, FRAME_OVERHEAD_BYTES, FrameKind};
use super::method::{Payload, basic};
use super::properties::BASIC_CLASS_ID;
use super::wire::Writer;

/// What a client sends first: the protocol and its version.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// Appends a method frame: of a [`Method`](super::Method), or of a method's struct as it is.
///
/// # Panics
/// When the method's arguments take 4 GiB or more.
#[inline]
pub fn method_frame(out: &mut Vec<u8>, channel: u16, method: &impl Payload) {
    let bytes = method.payload_bytes();
    let payload_bytes =
        u32::try_from(bytes).expect("the arguments of a method are far below 4 GiB");
    let mut writer = Writer::grow(out, bytes + FRAME_OVERHEAD_BYTES as usize);
    writer.octets(frame_header(FrameKind::Method, channel, payload_bytes));
    method.write(&mut writer);
    writer.octet(FRAME_END);
    writer.end();
}

/// Appends the header frame of a content of class basic. `properties` are flags and values as in
/// [`Properties::as_bytes`](super::Properties::as_bytes); `body_bytes` is the size of the body to
/// come.
///
/// # Panics
/// When the properties take 4 GiB or more.
#[inline]
pub fn header_frame(out: &mut Vec<u8>, channel: u16, body_bytes: u64, properties: &[u8]) {
    let bytes = CONTENT_HEADER_BYTES + properties.len();
    let payload_bytes =
        u32::try_from(bytes).expect("properties came in a frame or are far below 4 GiB");
    let mut writer = Writer::grow(out, bytes + FRAME_OVERHEAD_BYTES as usize);
    writer.octets(frame_header(FrameKind::Header, channel, payload_bytes));
    writer.short(BASIC_CLASS_ID);
    writer.short(0);
    writer.long_long(body_bytes);
    writer.bytes(properties);
    writer.octet(FRAME_END);
    writer.end();
}

/// Appends one body frame. The caller keeps within the connection's frame size.
///
/// # Panics
/// When the chunk takes 4 GiB or more.
#[inline]
pub fn body_frame(out: &mut Vec<u8>, channel: u16, chunk: &[u8]) {
    let payload_bytes =
        u32::try_from(chunk.len()).expect("a chunk is kept below the frame size by the caller");
    out.extend_from_slice(&body_frame_header(channel, payload_bytes));
    out.extend_from_slice(chunk);
    out.push(FRAME_END);
}

/// The seven bytes before the payload of a body frame, for who sends the payload from where it
/// lies; [`FRAME_END`] follows it.
#[must_use]
#[inline]
pub fn body_frame_header(channel: u16, payload_bytes: u32) -> [u8; 7] {
    frame_header(FrameKind::Body, channel, payload_bytes)
}

/// Appends a content: its header frame and as many body frames as its body needs (none for an empty
/// one), each of at most `frame_bytes_max` bytes, overhead included.
///
/// # Panics
/// When `frame_bytes_max` leaves no room for a payload, or the properties take 4 GiB or more.
#[inline]
pub fn content(
    out: &mut Vec<u8>,
    channel: u16,
    properties: &[u8],
    body: &[u8],
    frame_bytes_max: u32,
) {
    assert!(frame_bytes_max > FRAME_OVERHEAD_BYTES, "a frame holds at least one byte");
    let chunk_bytes = (frame_bytes_max - FRAME_OVERHEAD_BYTES) as usize;
    if body.len() > chunk_bytes {
        let frames = body.len().div_ceil(chunk_bytes);
        out.reserve(body.len() + frames * FRAME_OVERHEAD_BYTES as usize);
    }
    header_frame(out, channel, body.len() as u64, properties);
    for chunk in body.chunks(chunk_bytes) {
        body_frame(out, channel, chunk);
    }
}

/// Appends `basic.deliver` and its content, as [`method_frame`] and [`content`] one after the
/// other would. The usual one, whose body is one frame or none, makes room once for all of it.
///
/// # Panics
/// As those two.
#[inline]
pub fn delivery(
    out: &mut Vec<u8>,
    channel: u16,
    deliver: &basic::Deliver<'_>,
    properties: &[u8],
    body: &[u8],
    frame_bytes_max: u32,
) {
    let overhead = FRAME_OVERHEAD_BYTES as usize;
    if body.is_empty() || body.len() + overhead > frame_bytes_max as usize {
        method_frame(out, channel, deliver);
        return content(out, channel, properties, body, frame_bytes_max);
    }
    let method_bytes = deliver.payload_bytes();
    let header_bytes = CONTENT_HEADER_BYTES + properties.len();
    let bytes = |bytes: usize| u32::try_from(bytes).expect("a frame is below 4 GiB");
    let all = method_bytes + header_bytes + body.len() + 3 * overhead;
    let mut writer = Writer::grow(out, all);
    writer.octets(frame_header(FrameKind::Method, channel, bytes(method_bytes)));
    deliver.write(&mut writer);
    writer.octet(FRAME_END);
    writer.octets(frame_header(FrameKind::Header, channel, bytes(header_bytes)));
    writer.short(BASIC_CLASS_ID);
    writer.short(0);
    writer.long_long(body.len() as u64);
    writer.bytes(properties);
    writer.octet(FRAME_END);
    writer.octets(frame_header(FrameKind::Body, channel, bytes(body.len())));
    writer.bytes(body);
    writer.octet(FRAME_END);
    writer.end();
}

/// Appends a heartbeat frame.
pub fn heartbeat_frame(out: &mut Vec<u8>) {
    out.extend_from_slice(&frame_header(FrameKind::Heartbeat, 0, 0));
    out.push(FRAME_END);
}

/// Type, channel and payload size.
const HEADER_BYTES: usize = 7;

/// Class, weight and body size.
const CONTENT_HEADER_BYTES: usize = 12;

#[inline]
fn frame_header(kind: FrameKind, channel: u16, payload_bytes: u32) -> [u8; HEADER_BYTES] {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = payload_bytes.to_be_bytes();
    [kind.octet(), c0, c1, s0, s1, s2, s3]
}

#[cfg(test)]
mod tests {
    use super::super::method::basic;
    use super::super::{ContentHeader, Frame, Method, Parsed};
    use super::*;

    #[test]
    fn frames_have_the_bytes_of_the_specification() {
        let mut out = b"before".to_vec();
        let ack = basic::Ack { delivery_tag: 1, multiple: true };
        method_frame(&mut out, 0x0102, &Method::from(ack));
        method_frame(&mut out, 0x0102, &ack);
        header_frame(&mut out, 3, 0x0102_0304_0506_0708, b"\x10\x00\x02");
        body_frame(&mut out, 4, b"abc");
        heartbeat_frame(&mut out);
        let expected = b"before\
            \x01\x01\x02\x00\x00\x00\x0d\x00\x3c\x00\x50\0\0\0\0\0\0\0\x01\x01\xce\
            \x01\x01\x02\x00\x00\x00\x0d\x00\x3c\x00\x50\0\0\0\0\0\0\0\x01\x01\xce\
            \x02\x00\x03\x00\x00\x00\x0f\x00\x3c\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\
            \x10\x00\x02\xce\
            \x03\x00\x04\x00\x00\x00\x03abc\xce\
            \x08\x00\x00\x00\x00\x00\x00\xce";
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(body_frame_header(4, 3), *b"\x03\x00\x04\x00\x00\x00\x03");
        assert_eq!(PROTOCOL_HEADER, [b'A', b'M', b'Q', b'P', 0, 0, 9, 1]);
    }

    #[test]
    fn a_delivery_is_its_method_and_its_content() {
        let deliver = basic::Deliver {
            consumer_tag: b"tag",
            delivery_tag: 7,
            redelivered: true,
            exchange: b"x",
            routing_key: b"key",
        };
        for (body, frame_bytes_max) in [
            (&[][..], 100),
            (b"a", 100),
            (&[7; 92], 100),
            (&[7; 93], 100),
            (&[7; 500], 100),
            (&[7; 500], 4096),
        ] {
            let (mut at_once, mut in_parts) = (b"before".to_vec(), b"before".to_vec());
            delivery(&mut at_once, 3, &deliver, b"\x10\0\x02", body, frame_bytes_max);
            method_frame(&mut in_parts, 3, &deliver);
            content(&mut in_parts, 3, b"\x10\0\x02", body, frame_bytes_max);
            assert_eq!(at_once, in_parts);
        }
    }

    #[test]
    fn a_body_is_cut_into_frames_of_the_limit() {
        let body: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for (body_bytes, frame_bytes_max, frames) in [
            (0, 100, vec![]),
            (1, 100, vec![1]),
            (92, 100, vec![92]),
            (93, 100, vec![92, 1]),
            (184, 100, vec![92, 92]),
            (1000, 408, vec![400, 400, 200]),
            (3, 9, vec![1, 1, 1]),
        ] {
            let mut out = Vec::new();
            content(&mut out, 9, b"\0\0", &body[..body_bytes], frame_bytes_max);
            let mut input = out.as_slice();
            let mut chunks = Vec::new();
            let mut joined = Vec::new();
            // The header frame has 22 bytes, whatever the limit of this small test.
            while let Parsed::Complete(frame, taken) =
                Frame::parse(input, frame_bytes_max.max(22)).unwrap()
            {
                assert_eq!(frame.channel, 9);
                if frame.kind == FrameKind::Header {
                    let header = ContentHeader::parse(frame.payload).unwrap();
                    assert_eq!(header.body_bytes, body_bytes as u64);
                    assert_eq!(header.properties.as_bytes(), b"\0\0");
                    assert_eq!(header.class_id, BASIC_CLASS_ID);
                } else {
                    assert_eq!(frame.kind, FrameKind::Body);
                    chunks.push(frame.payload.len());
                    joined.extend_from_slice(frame.payload);
                }
                input = &input[taken..];
            }
            assert!(input.is_empty());
            assert_eq!(chunks, frames);
            assert_eq!(joined, body[..body_bytes]);
        }
    }
}
