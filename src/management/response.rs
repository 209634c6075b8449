//! How is an answer written: status, headers, a body of known length or in chunks?
//!
//! Imports `outbox`.

use serde_json::{Value, json};

use crate::outbox::Outbox;

/// An answer that is known as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers besides those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent behind the head, in JSON unless a header says otherwise.
    pub body: Vec<u8>,
}

impl Response {
    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 200 with something.
    pub fn json(value: &Value) -> Self {
        Self::with(200, value)
    }

    /// A status with something.
    pub fn with(status: u16, value: &Value) -> Self {
        Self { status, headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    /// An error as RabbitMQ words it: a kind, and a sentence.
    pub fn error(status: u16, error: &str, reason: &str) -> Self {
        Self::with(status, &json!({ "error": error, "reason": reason }))
    }

    /// 400: what was sent cannot be meant.
    pub fn bad_request(reason: &str) -> Self {
        Self::error(400, "bad_request", reason)
    }

    /// 401 for who may not do that, whoever it is.
    pub fn not_authorised(reason: &str) -> Self {
        Self::error(401, "not_authorised", reason)
    }

    /// 404: there is nothing of that name.
    pub fn not_found() -> Self {
        Self::error(404, "Object Not Found", "Not Found")
    }

    /// The same with a further header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What a header says, if it has that.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// What an answer is unless it says otherwise.
pub const JSON: &str = "application/json";

/// How the answers on a connection are written, which depends on who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The client understands chunks; otherwise the end of the connection ends the body.
    pub chunks: bool,
    /// The connection stays.
    pub keep_alive: bool,
    /// The client wants no body.
    pub head_only: bool,
    /// The client would rather have it in gzip's format.
    pub gzip: bool,
}

/// What the client is told before its body is read.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends an answer, with headers that not the answer has but who asked.
pub fn write(
    outbox: &mut Outbox,
    response: &Response,
    further: &[(&'static str, String)],
    style: Style,
) {
    let out = outbox.buffer();
    begin(out, response.status, style.keep_alive);
    let has_body = !response.body.is_empty();
    if has_body && !response.headers.iter().any(|(name, _)| *name == "content-type") {
        header(out, "content-type", JSON);
    }
    let headers = response.headers.iter().chain(further);
    headers.for_each(|(name, value)| header(out, name, value));
    // These have no body, and say nothing of its length (RFC 9110 section 8.6).
    if !matches!(response.status, 101 | 204 | 304) {
        header(out, "content-length", &response.body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    if !style.head_only {
        out.extend_from_slice(&response.body);
    }
}

/// Begins an answer whose length is not known yet.
pub fn begin_stream(
    outbox: &mut Outbox,
    content_type: &str,
    further: &[(&'static str, String)],
    style: Style,
) {
    let out = outbox.buffer();
    begin(out, 200, style.keep_alive && style.chunks);
    header(out, "content-type", content_type);
    further.iter().for_each(|(name, value)| header(out, name, value));
    if style.chunks {
        header(out, "transfer-encoding", "chunked");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a further piece of such an answer.
pub fn write_piece(outbox: &mut Outbox, piece: &[u8], style: Style) {
    // An empty chunk would be the last one.
    if piece.is_empty() || style.head_only {
        return;
    }
    let out = outbox.buffer();
    if style.chunks {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
    }
    out.extend_from_slice(piece);
    if style.chunks {
        out.extend_from_slice(b"\r\n");
    }
}

/// Ends such an answer; without chunks the connection's end does.
pub fn end_stream(outbox: &mut Outbox, style: Style) {
    if style.chunks && !style.head_only {
        outbox.buffer().extend_from_slice(b"0\r\n\r\n");
    }
}

/// Status and the headers of every answer.
fn begin(out: &mut Vec<u8>, status: u16, keep_alive: bool) {
    out.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", phrase(status)).as_bytes());
    header(out, "cache-control", "no-cache");
    header(out, "vary", "accept, accept-encoding, origin");
    if !keep_alive {
        header(out, "connection", "close");
    }
}

/// What is no header's goes no further: a name that somebody chose cannot begin a header of its
/// own.
fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
    out.extend_from_slice(b"\r\n");
}

/// What a status is called.
fn phrase(status: u16) -> &'static str {
    let known = PHRASES.iter().find(|(number, _)| *number == status);
    known.map_or("Unknown", |(_, phrase)| phrase)
}

const PHRASES: &[(u16, &str)] = &[
    (101, "Switching Protocols"),
    (200, "OK"),
    (201, "Created"),
    (204, "No Content"),
    (304, "Not Modified"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (417, "Expectation Failed"),
    (426, "Upgrade Required"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (503, "Service Unavailable"),
    (505, "HTTP Version Not Supported"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Style = Style { chunks: true, keep_alive: true, head_only: false, gzip: false };

    fn text(write: impl FnOnce(&mut Outbox)) -> String {
        let mut outbox = Outbox::default();
        write(&mut outbox);
        String::from_utf8(outbox.plain().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let response = Response::error(404, "Object Not Found", "Not Found");
        let found = text(|outbox| write(outbox, &response, &[], KEPT));
        assert!(found.starts_with("HTTP/1.1 404 Not Found\r\n"), "{found}");
        assert!(found.contains("\r\ncontent-type: application/json\r\ncontent-length: 49\r\n\r\n"));
        assert!(found.ends_with("{\"error\":\"Object Not Found\",\"reason\":\"Not Found\"}"));
        assert!(!found.contains("connection:") && !found.contains("access-control"));
        let style = Style { keep_alive: false, head_only: true, ..KEPT };
        let found = text(|outbox| write(outbox, &response, &[], style));
        assert!(found.contains("connection: close\r\n"), "{found}");
        assert!(found.ends_with("content-length: 49\r\n\r\n"), "{found}");
        let found = text(|outbox| write(outbox, &Response::empty(204), &[], KEPT));
        assert!(!found.contains("content-"), "{found}");
    }

    #[test]
    fn nobody_smuggles_a_header() {
        let response = Response::empty(201).header("location", "a\r\nset-cookie: b\0");
        let found = text(|outbox| write(outbox, &response, &[], KEPT));
        assert!(found.contains("location: aset-cookie: b\r\n"), "{found}");
    }

    #[test]
    fn a_stream_comes_in_chunks_or_ends_with_the_connection() {
        let stream = |style| {
            text(|outbox| {
                begin_stream(outbox, JSON, &[], style);
                for piece in [&b"[1,"[..], b"", b"2345678901234567]"] {
                    write_piece(outbox, piece, style);
                }
                end_stream(outbox, style);
            })
        };
        let found = stream(KEPT);
        assert!(found.contains("transfer-encoding: chunked\r\n"), "{found}");
        assert!(found.ends_with("\r\n\r\n3\r\n[1,\r\n11\r\n2345678901234567]\r\n0\r\n\r\n"));
        let found = stream(Style { chunks: false, ..KEPT });
        assert!(found.contains("connection: close\r\n"), "it would never end: {found}");
        assert!(found.ends_with("\r\n\r\n[1,2345678901234567]"), "{found}");
        assert!(stream(Style { head_only: true, ..KEPT }).ends_with("chunked\r\n\r\n"));
    }
}
