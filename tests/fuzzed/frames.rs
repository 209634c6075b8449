//! Frames, methods and content headers: what is read is within the input, and what was read can be
//! written and read again.

use leveret::amqp::{
    AmqpError, ContentHeader, Frame, FrameKind, Method, Parsed, Properties, PropertyList,
};

use super::cursor::Cursor;
use super::tables;

pub fn run(input: &[u8]) {
    let mut input = Cursor(input);
    let frame_bytes_max = input.one_of(&[4096, 8192, 131_072, u32::MAX]);
    let mut rest = input.0;
    loop {
        match Frame::parse(rest, frame_bytes_max) {
            Ok(Parsed::Complete(frame, bytes)) => {
                assert!(bytes <= rest.len() && bytes as u64 <= u64::from(frame_bytes_max));
                assert_eq!(frame.payload, &rest[7..bytes - 1]);
                let shorter = Frame::parse(&rest[..bytes - 1], frame_bytes_max);
                assert_eq!(shorter.ok(), Some(Parsed::Incomplete));
                look_into(&frame);
                rest = &rest[bytes..];
            }
            Ok(Parsed::Incomplete) => break,
            Err(error) => break explain(&error),
        }
    }
}

fn look_into(frame: &Frame<'_>) {
    match frame.kind {
        FrameKind::Method => match Method::decode(frame.payload) {
            Ok(method) => {
                let mut written = Vec::new();
                method.encode(&mut written);
                let again = Method::decode(&written).expect("what was written can be read");
                let mut twice = Vec::new();
                again.encode(&mut twice);
                assert_eq!(written, twice);
            }
            Err(error) => explain(&error),
        },
        FrameKind::Header => match ContentHeader::parse(frame.payload) {
            Ok(header) => match header.properties.list() {
                Ok(list) => write_again(&list),
                Err(error) => explain(&error),
            },
            Err(error) => explain(&error),
        },
        FrameKind::Body | FrameKind::Heartbeat => {}
    }
}

fn write_again(list: &PropertyList<'_>) {
    if let Some(headers) = list.headers {
        tables::look_through(headers);
    }
    let mut written = Vec::new();
    list.encode(&mut written);
    let again = Properties::new(&written);
    let again = again.list().expect("what was written can be read");
    let mut twice = Vec::new();
    again.encode(&mut twice);
    assert_eq!(written, twice);
}

/// An error says something, on one line.
fn explain(error: &AmqpError) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}
