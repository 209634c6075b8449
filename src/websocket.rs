//! How is a stream of bytes carried in WebSocket frames, and taken out of them (RFC 6455)?
//!
//! The server's side, once HTTP has made way: bytes in, bytes out, no socket. What a client sends
//! is unmasked where it lies, in whatever pieces it comes, so that no frame is ever kept, however
//! long it says that it is. Where frames and messages end means nothing: only binary ones carry
//! the stream, and it may be cut anywhere. Imports `outbox`.

use crate::outbox::Outbox;

/// One WebSocket connection.
#[derive(Debug, Default)]
pub struct WebSocket {
    reading: Reading,
    /// A message is not at its end: what follows continues it.
    in_message: bool,
    /// The payload of the control frame that arrives.
    control: Vec<u8>,
    /// What the last ping said, which is to be said back.
    pong: Option<Vec<u8>>,
    /// Why nothing more is read.
    ended: Option<End>,
    /// Our own close frame is in the outbox: nothing follows it.
    has_closed: bool,
    /// Frames on their way out.
    pub outbox: Outbox,
}

/// Which part of a frame comes next.
#[derive(Debug)]
enum Reading {
    /// Its head, so many bytes of which are there.
    Head([u8; HEAD_BYTES_MAX], usize),
    /// Its payload.
    Payload(Payload),
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    opcode: Opcode,
    /// It is the last one of its message.
    is_last: bool,
    left: u64,
    /// For the byte that comes next, and those behind it.
    mask: [u8; 4],
}

/// What a frame is; others are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

/// Why a connection ends: what its close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// `None`: the client gave none, and gets none.
    code: Option<u16>,
    reason: &'static str,
}

/// What came in a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the stream; they stand at the input's beginning now.
    pub bytes: usize,
    /// Frames that began in it.
    pub frames: usize,
}

/// The client goes, or has come to its end in the protocol that was carried.
const NORMAL: u16 = 1000;
/// It does not keep to RFC 6455.
const PROTOCOL_ERROR: u16 = 1002;
/// It sent text.
const UNSUPPORTED: u16 = 1003;
/// It says in a close frame what is no text.
const INVALID: u16 = 1007;

/// The first two bytes, a length of eight, a mask.
const HEAD_BYTES_MAX: usize = 14;

/// The most that a control frame may carry (section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// A frame to a client carries at most so much: it may keep a whole one before it looks at it.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// An outbox with this many bytes takes no more of the stream.
const OUTBOX_BYTES_MAX: usize = 128 * 1024;

impl Default for Reading {
    fn default() -> Self {
        Self::Head([0; HEAD_BYTES_MAX], 0)
    }
}

impl WebSocket {
    /// A connection whose outbox still holds what HTTP has to say.
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox, ..Self::default() }
    }

    /// Takes all of `input`, which came from the client; what it carries of the stream is at the
    /// input's beginning then. Of what follows the end nothing is.
    pub fn decode(&mut self, input: &mut [u8]) -> Taken {
        let (mut at, mut taken) = (0, Taken { bytes: 0, frames: 0 });
        while at < input.len() && self.ended.is_none() {
            match &mut self.reading {
                Reading::Head(head, there) => {
                    taken.frames += usize::from(*there == 0);
                    head[*there] = input[at];
                    (*there, at) = (*there + 1, at + 1);
                    match read_head(&head[..*there], self.in_message) {
                        Ok(Some(payload)) => self.begin(payload),
                        Ok(None) => {}
                        Err(end) => self.ended = Some(end),
                    }
                }
                Reading::Payload(payload) => {
                    let left = usize::try_from(payload.left).unwrap_or(usize::MAX);
                    let bytes = left.min(input.len() - at);
                    let piece = &mut input[at..at + bytes];
                    unmask(piece, payload.mask);
                    payload.mask.rotate_left(bytes % 4);
                    payload.left -= bytes as u64;
                    let ended = payload.left == 0;
                    if payload.opcode.is_control() {
                        self.control.extend_from_slice(piece);
                    } else {
                        input.copy_within(at..at + bytes, taken.bytes);
                        taken.bytes += bytes;
                    }
                    at += bytes;
                    if ended {
                        self.finish();
                    }
                }
            }
        }
        taken
    }

    /// A frame's head is there.
    fn begin(&mut self, payload: Payload) {
        let is_empty = payload.left == 0;
        self.reading = Reading::Payload(payload);
        if is_empty {
            self.finish();
        }
    }

    /// A frame's payload is there.
    fn finish(&mut self) {
        let Reading::Payload(payload) = std::mem::take(&mut self.reading) else {
            return;
        };
        match payload.opcode {
            Opcode::Continuation | Opcode::Binary => self.in_message = !payload.is_last,
            // Only the last one is answered, if the client takes nothing (section 5.5.3).
            Opcode::Ping => self.pong = Some(std::mem::take(&mut self.control)),
            Opcode::Pong => self.control.clear(),
            Opcode::Close => self.ended = Some(End::of_client(&self.control)),
        }
    }

    /// Puts what is to leave into frames, as far as there is room: control frames, then what waits
    /// in `stream`, and last, if the stream has come to its end, the close. How many bytes of the
    /// stream that were.
    pub fn encode(&mut self, stream: &mut Outbox, is_last: bool) -> usize {
        if self.has_closed {
            return 0;
        }
        if let Some(pong) = self.pong.take() {
            head(self.outbox.buffer(), 0xa, pong.len());
            self.outbox.buffer().extend_from_slice(&pong);
        }
        let mut moved = 0;
        while !stream.is_empty() && self.outbox.len() < OUTBOX_BYTES_MAX {
            let bytes = stream.len().min(FRAME_BYTES_MAX);
            head(self.outbox.buffer(), 0x2, bytes);
            stream.move_to(&mut self.outbox, bytes);
            moved += bytes;
        }
        if is_last && stream.is_empty() {
            self.has_closed = true;
            let end = self.ended.unwrap_or(End { code: Some(NORMAL), reason: "" });
            let code = end.code.map(u16::to_be_bytes);
            let code = code.as_ref().map_or(&[][..], |code| &code[..]);
            let out = self.outbox.buffer();
            head(out, 0x8, code.len() + end.reason.len());
            out.extend_from_slice(code);
            out.extend_from_slice(end.reason.as_bytes());
        }
        moved
    }

    /// Whether there is something to say that is not of the stream.
    pub fn has_answer(&self) -> bool {
        self.pong.is_some() && !self.has_closed
    }

    /// Whether nothing more of the stream comes: the client closed, or did not keep to the
    /// protocol.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// What the client did wrong, if that is why it ended.
    pub fn fault(&self) -> Option<&'static str> {
        self.ended.map(|end| end.reason).filter(|reason| !reason.is_empty())
    }
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl End {
    /// The client does not keep to the protocol.
    const fn fault(code: u16, reason: &'static str) -> Self {
        Self { code: Some(code), reason }
    }

    /// What a client's close frame carries is said back (sections 5.5.1 and 7.4).
    fn of_client(payload: &[u8]) -> Self {
        const NO_CODE: End = End::fault(PROTOCOL_ERROR, "a close frame has no such code");
        match payload {
            [] => Self { code: None, reason: "" },
            [_] => NO_CODE,
            [a, b, reason @ ..] => match u16::from_be_bytes([*a, *b]) {
                1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_err() => {
                    Self::fault(INVALID, "the reason in a close frame is no UTF-8")
                }
                code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => {
                    Self { code: Some(code), reason: "" }
                }
                _ => NO_CODE,
            },
        }
    }
}

/// ```text
/// FIN, 3 reserved, opcode (1)  MASK, length (1)  longer length (0, 2, 8)  mask (4)
/// ```
/// `None`: it is not complete. Faults are found at the first byte that shows them.
fn read_head(head: &[u8], in_message: bool) -> Result<Option<Payload>, End> {
    let wrong = |reason| Err(End::fault(PROTOCOL_ERROR, reason));
    let (is_last, opcode) = (head[0] & 0x80 != 0, head[0] & 0xf);
    if head[0] & 0x70 != 0 {
        return wrong("reserved bits are set, and no extension was agreed on");
    }
    let opcode = match opcode {
        0x0 => Opcode::Continuation,
        0x1 => {
            const TEXT: &str = "AMQP is binary: text frames carry nothing here";
            return Err(End::fault(UNSUPPORTED, TEXT));
        }
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return wrong("a frame is of a kind that there is not"),
    };
    match opcode {
        Opcode::Continuation if !in_message => return wrong("there is nothing to continue"),
        Opcode::Binary if in_message => return wrong("a message begins within another"),
        _ if opcode.is_control() && !is_last => return wrong("a control frame is in pieces"),
        Opcode::Continuation | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
    }
    let Some(&second) = head.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return wrong("a client's frame is not masked");
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return wrong("a control frame carries over 125 bytes");
    }
    let longer = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(length) = head.get(2..2 + longer) else {
        return Ok(None);
    };
    let length = length.iter().fold(0, |length, &byte| (length << 8) | u64::from(byte));
    let left = match short {
        126 if length < 126 => return wrong("a length is written in more bytes than it needs"),
        127 if length <= 0xffff => return wrong("a length is written in more bytes than it needs"),
        127 if length > i64::MAX.unsigned_abs() => return wrong("a length has its first bit set"),
        126 | 127 => length,
        _ => u64::from(short),
    };
    let Some(mask) = head.get(2 + longer..6 + longer) else {
        return Ok(None);
    };
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    Ok(Some(Payload { opcode, is_last, left, mask }))
}

/// A head as a server sends it: the frame is the only one of its message, and not masked.
fn head(out: &mut Vec<u8>, opcode: u8, bytes: usize) {
    out.push(0x80 | opcode);
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(longer)) => {
            out.push(126);
            out.extend_from_slice(&longer.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
}

/// Takes the mask off, eight bytes at a time.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    let rest = chunks.into_remainder().iter_mut();
    rest.zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use bytes::Bytes;

    use super::*;
    use crate::outbox::SLICES_MAX;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame as clients send it; `first` is its first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        head(&mut out, 0, payload.len());
        out[0] = first;
        out[1] |= 0x80;
        out.extend_from_slice(&MASK);
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        out.extend(masked);
        out
    }

    /// The stream in `input`, when it comes in pieces of that many bytes.
    fn decoded(web: &mut WebSocket, input: &[u8], piece: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for piece in input.chunks(piece) {
            let mut piece = piece.to_vec();
            let taken = web.decode(&mut piece);
            stream.extend_from_slice(&piece[..taken.bytes]);
        }
        stream
    }

    /// Everything that leaves.
    fn sent(web: &mut WebSocket, stream: &mut Outbox, is_last: bool) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            web.encode(stream, is_last);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = web.outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
            if bytes.is_empty() {
                return all;
            }
            web.outbox.advance(bytes.len());
            all.extend(bytes);
        }
    }

    /// What a client is told that did wrong, and how much of the stream came before it did.
    fn refused(input: &[u8]) -> (u16, usize) {
        let mut codes = Vec::new();
        for piece in [1, 2, 3, input.len()] {
            let mut web = WebSocket::default();
            let stream = decoded(&mut web, input, piece);
            assert!(web.has_ended() && web.fault().is_some(), "{}", input.escape_ascii());
            assert_eq!(decoded(&mut web, &frame(0x82, b"more"), 4), b"", "nothing follows");
            let close = sent(&mut web, &mut Outbox::default(), true);
            assert_eq!((close[0], usize::from(close[1])), (0x88, close.len() - 2));
            codes.push((u16::from_be_bytes([close[2], close[3]]), stream.len()));
        }
        codes.dedup();
        assert_eq!(codes.len(), 1, "wherever it is cut");
        codes[0]
    }

    #[test]
    fn the_stream_is_the_same_wherever_frames_and_reads_are_cut() {
        let long: Vec<u8> = (0..=250).cycle().take(70_000).collect();
        let mut input = Vec::new();
        let mut expected = Vec::new();
        for (index, bytes) in [0, 1, 125, 126, 127, 65_535, 65_536, 9].into_iter().enumerate() {
            let payload = &long[index..index + bytes];
            // Whole, or begun, continued and ended, with a ping in between.
            match index % 2 {
                0 => input.extend(frame(0x82, payload)),
                _ => {
                    let (one, other) = payload.split_at(bytes / 3);
                    input.extend(frame(0x02, one));
                    input.extend(frame(0x89, b"ping"));
                    input.extend(frame(0x00, other));
                    input.extend(frame(0x80, b""));
                }
            }
            expected.extend_from_slice(payload);
        }
        for piece in [1, 2, 3, 5, 7, 13, 1000, 4096, 65_537, input.len()] {
            let mut web = WebSocket::default();
            assert!(decoded(&mut web, &input, piece) == expected, "pieces of {piece}");
            assert!(!web.has_ended());
        }
    }

    #[test]
    fn what_does_not_keep_to_the_protocol_is_refused_once_it_shows() {
        let mut unmasked = frame(0x82, b"");
        unmasked[1] &= 0x7f;
        for (input, code) in [
            (frame(0x81, b"text"), UNSUPPORTED),
            (unmasked, PROTOCOL_ERROR),
            (frame(0xc2, b"x"), PROTOCOL_ERROR),
            (frame(0xa2, b"x"), PROTOCOL_ERROR),
            (frame(0x92, b"x"), PROTOCOL_ERROR),
            (frame(0x83, b"x"), PROTOCOL_ERROR),
            (frame(0x8b, b"x"), PROTOCOL_ERROR),
            (frame(0x80, b"x"), PROTOCOL_ERROR),
            (frame(0x09, b"x"), PROTOCOL_ERROR),
            (frame(0x08, b""), PROTOCOL_ERROR),
            (frame(0x89, &[0; 126]), PROTOCOL_ERROR),
            (frame(0x8a, &[0; 70_000]), PROTOCOL_ERROR),
            (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], PROTOCOL_ERROR),
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], PROTOCOL_ERROR),
            (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], PROTOCOL_ERROR),
            (vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], PROTOCOL_ERROR),
            (frame(0x88, b"x"), PROTOCOL_ERROR),
            (frame(0x88, &999u16.to_be_bytes()), PROTOCOL_ERROR),
            (frame(0x88, &1005u16.to_be_bytes()), PROTOCOL_ERROR),
            (frame(0x88, &2999u16.to_be_bytes()), PROTOCOL_ERROR),
            (frame(0x88, &5000u16.to_be_bytes()), PROTOCOL_ERROR),
            (frame(0x88, b"\x03\xe8\xff"), INVALID),
        ] {
            assert_eq!(refused(&input), (code, 0), "{:?}", &input[..input.len().min(14)]);
            // What came before it has come.
            let after = [frame(0x82, b"before"), input].concat();
            assert_eq!(refused(&after), (code, 6));
        }
        let within = [frame(0x02, b"begun"), frame(0x82, b"again")].concat();
        assert_eq!(refused(&within), (PROTOCOL_ERROR, 5));
    }

    #[test]
    fn a_frame_of_any_length_is_handed_on_as_it_comes() {
        let mut web = WebSocket::default();
        let head = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        assert_eq!(decoded(&mut web, &head, 14), b"");
        for _ in 0..100 {
            assert_eq!(decoded(&mut web, &[1, 2, 3, 4], 1), [0; 4]);
        }
        assert!(web.control.capacity() == 0 && !web.has_ended());
    }

    #[test]
    fn a_close_is_said_back_with_its_code() {
        for code in [None, Some(1000), Some(1001), Some(1011), Some(3000), Some(4999)] {
            let code = code.map(u16::to_be_bytes);
            let payload = code.as_ref().map_or(&[][..], |code| &code[..]);
            let said = if code.is_some() { [payload, b"bye"].concat() } else { Vec::new() };
            let mut web = WebSocket::default();
            let input = [frame(0x82, b"last"), frame(0x88, &said), frame(0x82, b"no")].concat();
            assert_eq!(decoded(&mut web, &input, 3), b"last");
            assert!(web.has_ended() && web.fault().is_none());
            let back = sent(&mut web, &mut Outbox::default(), true);
            let length = u8::try_from(payload.len()).unwrap();
            assert_eq!(back, [&[0x88, length], payload].concat());
        }
    }

    #[test]
    fn only_the_last_of_many_pings_is_answered_and_none_after_the_close() {
        let mut web = WebSocket::default();
        for number in 0..1000u32 {
            decoded(&mut web, &frame(0x89, &number.to_be_bytes()), 5);
        }
        decoded(&mut web, &frame(0x8a, b"nobody asked"), 5);
        assert!(web.has_answer());
        let sent_first = sent(&mut web, &mut Outbox::default(), false);
        assert_eq!(sent_first, [&[0x8a, 4], &999u32.to_be_bytes()[..]].concat());
        assert!(!web.has_answer());
        assert_eq!(sent(&mut web, &mut Outbox::default(), true), [0x88, 2, 3, 0xe8]);
        decoded(&mut web, &frame(0x89, b""), 9);
        assert!(!web.has_answer(), "the close was the last");
        assert_eq!(sent(&mut web, &mut Outbox::default(), true), b"");
    }

    #[test]
    fn what_leaves_is_in_frames_of_bounded_length_and_large_bodies_are_not_copied() {
        let (mut web, mut stream) = (WebSocket::default(), Outbox::default());
        let body = Bytes::from((0..=255).cycle().take(300_000).collect::<Vec<u8>>());
        stream.buffer().extend_from_slice(b"before");
        stream.push_shared(body.clone());
        stream.buffer().extend_from_slice(b"behind");
        let expected = [b"before", &body[..], b"behind"].concat();
        let moved = web.encode(&mut stream, true);
        assert!((OUTBOX_BYTES_MAX..OUTBOX_BYTES_MAX + FRAME_BYTES_MAX).contains(&moved));
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        web.outbox.slices(&mut slices);
        assert_eq!(slices[1].as_ptr(), body.as_ptr(), "the first frame's body is the log's");
        let all = sent(&mut web, &mut stream, true);
        let (mut rest, mut found) = (&all[..], Vec::new());
        while rest[0] == 0x82 {
            let (skip, bytes) = match rest[1] {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                127 => {
                    let eight = rest[2..10].try_into().unwrap();
                    (10, usize::try_from(u64::from_be_bytes(eight)).unwrap())
                }
                short => (2, usize::from(short)),
            };
            assert!(bytes > 0 && bytes <= FRAME_BYTES_MAX);
            found.extend_from_slice(&rest[skip..skip + bytes]);
            rest = &rest[skip + bytes..];
        }
        assert!(found == expected);
        assert_eq!(rest, [0x88, 2, 3, 0xe8]);
    }
}
