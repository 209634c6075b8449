//! AMQP over WebSocket: the same stream comes out of the same frames however they are cut, nothing
//! of a frame is kept, and a node whose client sends any frames is well.

use std::time::Duration;

use leveret::management::Origin;
use leveret::outbox::{Outbox, SLICES_MAX};
use leveret::websocket::WebSocket;

use super::cursor::Cursor;
use super::driver::Driver;

const UPGRADE: &[u8] = b"GET /ws/amqp HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What waits in a session's outbox, what is in frames, and the last step.
const OUTPUT_BYTES_MAX: usize = 5 << 20;

pub fn run(input: &[u8]) {
    let mut input = Cursor(input);
    let (piece, kind) = (usize::from(input.byte()) + 1, input.byte());
    if kind & 1 == 0 {
        cut(input.0, piece);
    } else {
        carried(input, piece);
    }
}

/// Whole and in pieces the frames carry the same, and end in the same way.
fn cut(input: &[u8], piece: usize) {
    let (mut whole, mut pieces) = (WebSocket::default(), WebSocket::default());
    let mut bytes = input.to_vec();
    let taken = whole.decode(&mut bytes);
    bytes.truncate(taken.bytes);
    let mut stream = Vec::new();
    for piece in input.chunks(piece) {
        let mut piece = piece.to_vec();
        let taken = pieces.decode(&mut piece);
        assert!(taken.bytes <= piece.len());
        stream.extend_from_slice(&piece[..taken.bytes]);
    }
    assert!(stream == bytes, "pieces of {}", piece);
    assert_eq!((whole.has_ended(), whole.fault()), (pieces.has_ended(), pieces.fault()));
    let mut outbox = Outbox::default();
    outbox.buffer().extend_from_slice(&stream);
    let is_last = whole.has_ended();
    assert_eq!(whole.encode(&mut outbox, is_last), stream.len());
    let sent = all(&whole.outbox);
    assert!(sent.len() <= stream.len() + 4 + 127 * 2, "a head, a pong and a close");
    assert!(sent.first().is_none_or(|first| [0x82, 0x88, 0x8a].contains(first)));
}

fn all(outbox: &Outbox) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); SLICES_MAX];
    let count = outbox.slices(&mut slices);
    slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// A client that was let in sends a handshake and then whatever it likes.
fn carried(mut input: Cursor<'_>, piece: usize) {
    let mut driver = Driver::new();
    driver.connect_operator(Origin::Address(([127, 0, 0, 1], 1).into()));
    driver.send(0, UPGRADE, true);
    driver.turn(Duration::ZERO);
    assert!(driver.clients[0].got.starts_with(b"HTTP/1.1 101 "));
    let mut handshake = Driver::handshake();
    while !handshake.is_empty() {
        let rest = handshake.split_off(piece.min(handshake.len()));
        driver.send(0, &frame(0x82, &handshake), true);
        handshake = rest;
    }
    while !input.is_empty() {
        match input.byte() {
            0 => driver.turn(Duration::from_millis(u64::from(input.byte()))),
            1 => driver.clients[0].reads ^= true,
            2 => driver.send(0, input.short_string(), true),
            first => driver.send(0, &frame(first, input.short_string()), first & 0x40 == 0),
        }
        let key = driver.clients[0].key;
        let waiting = driver.node.output(key).map_or(0, |outbox| outbox.len());
        assert!(waiting < OUTPUT_BYTES_MAX, "{waiting} bytes wait");
    }
    driver.settle();
    driver.expect_good_end();
}

/// A frame as a client sends it, with a mask of nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => out.push(0x80 | short),
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}
