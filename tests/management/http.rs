//! How does a test speak HTTP? A blocking client over one socket that hides nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::common::{Node, PATIENCE, Server, deadline, now};

/// `guest:guest`
pub const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

/// One connection to the HTTP API.
pub struct Http<S = TcpStream> {
    stream: S,
    /// What came and was not looked at.
    unread: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// All headers, names as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The body of an error, which has to have this status.
    pub fn error(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.json();
        let text = |name: &str| error[name].as_str().expect("an error has it").to_owned();
        (text("error"), text("reason"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// A broker of this test's own and a connection to its HTTP API; `None` for another broker.
pub fn start() -> Option<(Server, Http)> {
    let server = Server::start();
    let http = Http::connect(server.management_address()?);
    Some((server, http))
}

impl Http {
    /// Connects; nothing is sent.
    pub fn connect(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("it can be set");
        Http { stream, unread: Vec::new() }
    }
}

impl Http<UnixStream> {
    /// Connects to the socket in a broker's data directory.
    pub fn connect_owner(directory: &Path) -> Http<UnixStream> {
        let stream = UnixStream::connect(directory.join("leveret.sock")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        Http { stream, unread: Vec::new() }
    }
}

/// Asks as the broker's owner, on a connection of its own, for what has to be granted; what was
/// answered.
pub fn granted(node: &Node, method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut owner = Http::connect_owner(node.process().directory());
    let answer = owner.ask_as("", method, path, body);
    assert!(answer.status < 300, "{path}: {answer:?}");
    answer.body
}

impl Http {
    /// Checks that nothing came.
    pub fn expect_nothing_yet(&mut self) {
        self.stream.set_nonblocking(true).expect("a socket need not block");
        let found = self.stream.read(&mut [0; 64]);
        self.stream.set_nonblocking(false).expect("a socket can block");
        let nothing = found.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(nothing && self.unread.is_empty(), "something came: {found:?}");
    }
}

impl<S: Read + Write> Http<S> {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it takes them");
    }

    /// The same with a broker that may have closed the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Asks as guest, and reads the answer.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(GUEST, method, path, body)
    }

    /// Asks with these headers.
    pub fn ask_as(&mut self, headers: &str, method: &str, path: &str, body: &str) -> Answer {
        self.send(request(headers, method, path, body).as_bytes());
        self.answer()
    }

    /// Reads as guest.
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// The JSON of something that is there.
    pub fn show(&mut self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Asks as guest until this is what is shown.
    pub fn wait_until_shown(&mut self, path: &str, expected: &Value) {
        let deadline = deadline();
        while self.show(path) != *expected {
            assert!(now() < deadline, "{path} is not {expected}");
        }
    }

    /// The next answer, whole.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let is_chunked = answer.header("transfer-encoding") == Some("chunked");
        let length = answer.header("content-length").map(|text| text.parse().expect("a length"));
        answer.body = match length {
            Some(length) => self.take(length),
            None if is_chunked => self.chunks(),
            None if matches!(answer.status, 100 | 204 | 304) => Vec::new(),
            None => {
                while self.fill() {}
                std::mem::take(&mut self.unread)
            }
        };
        answer
    }

    /// The head of the next answer; the body, if there is one, is still to be read.
    pub fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill(), "the connection ended in a head: {:?}", self.unread);
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).expect("heads are text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("a head begins with a status");
        Answer { status, head, body: Vec::new() }
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.unread.len() < bytes {
            assert!(self.fill(), "the connection ended in a body");
        }
        self.unread.drain(..bytes).collect()
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                assert!(self.fill(), "the connection ended between chunks");
            };
            let size = self.take(end + 2);
            let size = std::str::from_utf8(&size[..end]).expect("digits");
            let size = usize::from_str_radix(size, 16).expect("digits");
            let chunk = self.take(size + 2);
            assert!(chunk.ends_with(b"\r\n"));
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
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
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Expects the broker to end the connection without another answer.
    pub fn expect_closed(&mut self) {
        while self.fill() {}
        assert!(self.unread.is_empty(), "{}", self.unread.escape_ascii());
    }
}

/// The header of a login, `name:password`.
pub fn basic_login(login: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(login);
    format!("Authorization: Basic {text}\r\n")
}

/// A request as it goes over the wire.
pub fn request(headers: &str, method: &str, path: &str, body: &str) -> String {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}{length}\r\n{body}")
}
