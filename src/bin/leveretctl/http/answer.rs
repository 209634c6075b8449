//! What did the broker answer? Bytes to an answer, however they are cut.

use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, from 200.
    pub status: u16,
    /// The body, chunks put together.
    pub body: Vec<u8>,
    /// Whether the connection can be used again.
    pub reusable: bool,
}

impl Answer {
    /// Whether it did what was asked.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `None` when it is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Why not, in the broker's words.
    pub fn reason(&self) -> String {
        let told = self.json().and_then(|body| match body.get("reason") {
            Some(Value::String(text)) => Some(without_entities(text)),
            Some(Value::Null) | None => None,
            Some(other) => Some(spoken(other)),
        });
        told.unwrap_or_else(|| format!("the broker answered with status {}", self.status))
    }
}

/// Puts an answer together.
#[derive(Debug, Default)]
pub struct Reader {
    /// What has arrived and is not used yet; from `at` on.
    buffer: Vec<u8>,
    at: usize,
    state: State,
    body: Vec<u8>,
    status: u16,
    reusable: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes are missing.
    Length(u64),
    /// Everything until the connection ends.
    UntilEnd,
    ChunkSize,
    /// So many bytes of the chunk are missing, and the line end after them.
    Chunk(u64),
    Trailer,
    Done,
}

/// What more bytes led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is not whole yet.
    Incomplete,
    /// It is.
    Whole(Answer),
}

impl Reader {
    /// Whether nothing at all has arrived.
    pub fn is_untouched(&self) -> bool {
        self.state == State::Head && self.buffer.is_empty()
    }

    /// Takes the next `bytes`.
    ///
    /// # Errors
    /// This is no HTTP, or more of it than we take: a sentence for the user.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, &'static str> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        if self.state != State::Done {
            return Ok(Progress::Incomplete);
        }
        // Nothing was asked for that could still be coming.
        let reusable = self.reusable && self.at == self.buffer.len();
        let body = std::mem::take(&mut self.body);
        Ok(Progress::Whole(Answer { status: self.status, body, reusable }))
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// The answer has not: a sentence for the user.
    pub fn end(&mut self) -> Result<Answer, &'static str> {
        if self.state != State::UntilEnd {
            return Err("the connection ended before the answer did");
        }
        let body = std::mem::take(&mut self.body);
        Ok(Answer { status: self.status, body, reusable: false })
    }

    /// One step further; `false` when that takes more bytes, or nothing is left to do.
    fn step(&mut self) -> Result<bool, &'static str> {
        match self.state {
            State::Head => self.head(),
            State::Length(0) => {
                self.state = State::Done;
                Ok(true)
            }
            State::Length(missing) => {
                let taken = self.take(missing)?;
                self.state = State::Length(missing - taken);
                Ok(taken > 0)
            }
            State::UntilEnd => Ok(self.take(u64::MAX)? > 0),
            State::ChunkSize => self.chunk_size(),
            State::Chunk(0) => match self.buffer[self.at..] {
                [b'\r', b'\n', ..] => {
                    self.at += 2;
                    self.state = State::ChunkSize;
                    Ok(true)
                }
                [] | [b'\r'] => Ok(false),
                _ => Err("a chunk of the answer does not end where it should"),
            },
            State::Chunk(missing) => {
                let taken = self.take(missing)?;
                self.state = State::Chunk(missing - taken);
                Ok(taken > 0)
            }
            State::Trailer => self.trailer(),
            State::Done => Ok(false),
        }
    }

    fn head(&mut self) -> Result<bool, &'static str> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.buffer[self.at..]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.buffer.len() - self.at > HEAD_BYTES_MAX => {
                return Err("the head of the answer has no end");
            }
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err("the answer is not HTTP"),
        };
        let status = response.code.unwrap_or(0);
        let newer = response.version == Some(1);
        let (state, reusable) = framing(status, newer, response.headers)?;
        self.at += length;
        if (100..200).contains(&status) {
            return Ok(true);
        }
        (self.status, self.state, self.reusable) = (status, state, reusable);
        Ok(true)
    }

    fn chunk_size(&mut self) -> Result<bool, &'static str> {
        match httparse::parse_chunk_size(&self.buffer[self.at..]) {
            Ok(httparse::Status::Complete((length, size))) => {
                self.at += length;
                self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                Ok(true)
            }
            Ok(httparse::Status::Partial) if self.buffer.len() - self.at <= LINE_BYTES_MAX => {
                Ok(false)
            }
            _ => Err("a chunk of the answer has no size"),
        }
    }

    /// Lines after the last chunk, of which we use none, up to an empty one.
    fn trailer(&mut self) -> Result<bool, &'static str> {
        let rest = &self.buffer[self.at..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let empty = matches!(rest[..end], [] | [b'\r']);
                self.at += end + 1;
                if empty {
                    self.state = State::Done;
                }
                Ok(true)
            }
            None if rest.len() > LINE_BYTES_MAX => Err("the answer's trailer has no end"),
            None => Ok(false),
        }
    }

    /// Moves up to `most` bytes to the body; how many.
    fn take(&mut self, most: u64) -> Result<u64, &'static str> {
        let rest = &self.buffer[self.at..];
        let count = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if self.body.len() + count > BODY_BYTES_MAX {
            return Err("the answer is too long");
        }
        self.body.extend_from_slice(&rest[..count]);
        self.at += count;
        Ok(count as u64)
    }
}

/// How the body ends, and whether the connection goes on after it.
fn framing(
    status: u16,
    newer: bool,
    headers: &[httparse::Header<'_>],
) -> Result<(State, bool), &'static str> {
    let mut length = None;
    let mut chunked = false;
    let mut reusable = newer;
    for header in headers {
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let new = value.parse::<u64>().ok().filter(|_| digits);
            let new = new.ok_or("the length of the answer is no number")?;
            if length.replace(new).is_some_and(|old| old != new) {
                return Err("the answer has two lengths");
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") || chunked {
                return Err("the answer is encoded in a way that nobody asked for");
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            reusable &= !value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        }
    }
    if matches!(status, 100..200 | 204 | 304) {
        return Ok((State::Done, reusable));
    }
    match (chunked, length) {
        (true, Some(_)) => Err("the answer has a length and chunks"),
        (true, None) => Ok((State::ChunkSize, reusable)),
        (false, Some(length)) if length > BODY_BYTES_MAX as u64 => Err("the answer is too long"),
        (false, Some(length)) => Ok((State::Length(length), reusable)),
        (false, None) => Ok((State::UntilEnd, false)),
    }
}

/// RabbitMQ writes some reasons as terms, in which texts are lists of numbers.
fn spoken(reason: &Value) -> String {
    let Value::Array(items) = reason else {
        return reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
    };
    let letter = |item: &Value| item.as_u64().and_then(|n| u8::try_from(n).ok()).map(char::from);
    let letters: Option<String> = items.iter().map(letter).collect();
    match letters {
        Some(text) if !text.contains(char::is_control) => text,
        _ => items.iter().map(spoken).collect::<Vec<_>>().join(", "),
    }
}

/// RabbitMQ writes reasons for web pages.
fn without_entities(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        text = text.replace(entity, character);
    }
    text
}

const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const LINE_BYTES_MAX: usize = 4 * 1024;

/// A hundred thousand queues with all that is known about them, a few times over.
const BODY_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer in `bytes`, which come in pieces of `step`.
    fn read(bytes: &[u8], step: usize) -> Result<Answer, &'static str> {
        let mut reader = Reader::default();
        for piece in bytes.chunks(step) {
            if let Progress::Whole(answer) = reader.push(piece)? {
                return Ok(answer);
            }
        }
        reader.end()
    }

    fn answer(status: u16, body: &str, reusable: bool) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), reusable }
    }

    #[test]
    fn answers_are_put_together_however_they_are_cut() {
        for (bytes, expected) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", answer(204, "", true)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", answer(200, "{}", true)),
            (
                "HTTP/1.1 404 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                answer(404, "", false),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n\
                 3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
                answer(200, "abcde", true),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
                answer(200, "a", true),
            ),
            ("HTTP/1.0 200 OK\r\n\r\nall of it", answer(200, "all of it", false)),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
                answer(200, "x", true),
            ),
        ] {
            for step in 1..=bytes.len() {
                assert_eq!(read(bytes.as_bytes(), step), Ok(expected.clone()), "{bytes} by {step}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_with_a_reason() {
        let long_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        let long_trailer = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}",
            "y".repeat(LINE_BYTES_MAX + 1)
        );
        for (bytes, why) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", "ended before"),
            ("HTTP/1.1 200 OK\r\ncont", "ended before"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc", "ended before"),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "two lengths"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n", "too long"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "nobody asked for"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
                "a length and chunks",
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "no size"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n", "not end where"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
                "no size",
            ),
            (&long_head, "no end"),
            (&long_trailer, "no end"),
        ] {
            for step in [1 + bytes.len() / 100, bytes.len()] {
                let error = read(bytes.as_bytes(), step).unwrap_err();
                assert!(error.contains(why), "{bytes:.60}: {error}");
            }
        }
    }

    #[test]
    fn a_connection_with_more_than_was_asked_for_is_not_used_again() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n";
        assert_eq!(read(bytes, bytes.len()), Ok(answer(200, "x", false)));
    }

    #[test]
    fn reasons_are_the_brokers() {
        let of = |body: &str| answer(400, body, true).reason();
        assert_eq!(of(r#"{"error":"x","reason":"no &lt;&amp;lt;&gt;"}"#), "no <&lt;>");
        assert_eq!(of(r#"{"reason":["bad",[42],[[110,111],0]]}"#), "bad, *, no, 0");
        assert_eq!(of(r#"{"reason":{"a":1}}"#), r#"{"a":1}"#);
        assert_eq!(of("<html>"), "the broker answered with status 400");
        assert_eq!(of(""), "the broker answered with status 400");
    }
}
