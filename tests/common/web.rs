//! How does a test speak WebSocket? A blocking client that can send any frame, and a bridge that
//! lets an AMQP client of the tests go over WebSocket without knowing it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::client::PATIENCE;

/// A frame that came: its first byte, and its payload.
pub type WebFrame = (u8, Vec<u8>);

/// What a whole binary message begins with, and other frames.
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

const MASK: [u8; 4] = [0x9a, 0x01, 0xff, 0x5c];

/// One WebSocket connection to the broker.
pub struct Web {
    stream: TcpStream,
    /// What came and was not looked at.
    unread: Vec<u8>,
    /// What came of the stream and was not looked at.
    carried: Vec<u8>,
}

impl Web {
    /// Connects, and is let in.
    pub fn connect(address: SocketAddr) -> Web {
        let (web, head) = Web::ask(address, "/ws/amqp", "", b"");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        web
    }

    /// Asks for it with these headers, and sends what follows at once; the head of the answer.
    pub fn ask(address: SocketAddr, path: &str, headers: &str, more: &[u8]) -> (Web, String) {
        Web::ask_behind(address, b"", path, headers, more)
    }

    /// The same where something has to come before it.
    pub fn ask_behind(
        address: SocketAddr,
        before: &[u8],
        path: &str,
        headers: &str,
        more: &[u8],
    ) -> (Web, String) {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it can be set");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("it can be set");
        let mut web = Web { stream, unread: Vec::new(), carried: Vec::new() };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        web.send_raw(&[before, request.as_bytes(), more].concat());
        let end = loop {
            if let Some(at) = web.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(web.fill(), "the connection ended in a head");
        };
        let head = web.unread.drain(..end).collect();
        (web, String::from_utf8(head).expect("heads are text"))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it takes them");
    }

    /// The same with a broker that may have closed the connection.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame, masked.
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload));
    }

    /// The next frame; `None` at the connection's end.
    pub fn next(&mut self) -> Option<WebFrame> {
        loop {
            if let Some((frame, bytes)) = parse(&self.unread) {
                self.unread.drain(..bytes);
                return Some(frame);
            }
            if !self.fill() {
                assert!(self.unread.is_empty(), "the connection ended in a frame");
                return None;
            }
        }
    }

    /// Takes so many bytes of the stream, and answers no pings.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.carried.len() < bytes {
            match self.next() {
                Some((BINARY, payload)) => self.carried.extend(payload),
                Some((PONG, _)) => {}
                other => panic!("the stream was to go on: {other:?}"),
            }
        }
        self.carried.drain(..bytes).collect()
    }

    /// The code of the close that comes next, after which the broker closes the connection.
    pub fn expect_close(&mut self) -> Option<u16> {
        let payload = loop {
            match self.next() {
                Some((CLOSE, payload)) => break payload,
                Some((BINARY | PONG, _)) => {}
                other => panic!("a close was to come: {other:?}"),
            }
        };
        assert_eq!(self.next(), None, "the close is the last");
        payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// Waits for so long for what comes.
    pub fn be_patient_for(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("it can be set");
    }

    /// Closes the socket without a word.
    pub fn vanish(self) {
        drop(self.stream.shutdown(Shutdown::Both));
    }

    /// Reads once; `false` at the connection's end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.unread.extend_from_slice(&buffer[..bytes]);
                bytes > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

/// A frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | u8::try_from(short).expect("it is short")),
        longer @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(longer).expect("it fits").to_be_bytes());
        }
        longest => {
            out.push(0xff);
            out.extend_from_slice(&(longest as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// The frame that some bytes of the broker's begin with, and its length.
fn parse(bytes: &[u8]) -> Option<(WebFrame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server masks nothing");
    let (head, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => {
            let length = u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?);
            (10, usize::try_from(length).expect("it is not that long"))
        }
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(head..head + length)?;
    Some(((first, payload.to_vec()), head + length))
}

/// A port at which an AMQP client of the tests finds the broker whose HTTP API is there: what goes
/// through it goes in frames of at most so many bytes.
pub fn bridge(to: SocketAddr, frame_bytes_max: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = listener.local_addr().expect("it has one");
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("it can be taken");
            thread::spawn(move || carry(client, Web::connect(to), frame_bytes_max));
        }
    });
    address
}

/// Both ways, until either side has enough.
fn carry(mut client: TcpStream, mut web: Web, frame_bytes_max: usize) {
    let mut up = web.stream.try_clone().expect("a socket can have two names");
    web.stream.set_read_timeout(None).expect("it can be set");
    let mut from = client.try_clone().expect("a socket can have two names");
    thread::spawn(move || {
        let mut buffer = vec![0; frame_bytes_max];
        loop {
            let bytes = from.read(&mut buffer).unwrap_or(0);
            let first = if bytes == 0 { CLOSE } else { BINARY };
            if up.write_all(&frame(first, &buffer[..bytes])).is_err() || bytes == 0 {
                return;
            }
        }
    });
    while let Some((BINARY, payload)) = web.next() {
        if client.write_all(&payload).is_err() {
            break;
        }
    }
    // Whoever is gone already needs no end.
    drop(client.shutdown(Shutdown::Both));
}
