//! What does a client ask for, in HTTP/1.1 or 1.0: where its head ends, what it says, and how much
//! body follows it?
//!
//! Whatever two readers could understand in two ways is refused, so that nobody smuggles one
//! request inside another: a second length, a length beside chunks, a bare line feed. Imports
//! nothing of the crate.

use std::fmt;

/// The most bytes that a request's line and headers may have.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers of a request.
pub const HEADERS_MAX: usize = 64;

/// The most bytes of a body; definitions of a large broker fit.
pub const BODY_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// The most bytes of a line between chunks: the size of a chunk, or a header behind the last one.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// The most bytes of headers behind the last chunk.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// What is to be done with what the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To read it.
    Get,
    /// The same without the body.
    Head,
    /// To make it, or to change it.
    Put,
    /// To have something done.
    Post,
    /// To remove it.
    Delete,
    /// To change a part of it, which nothing here lets be done.
    Patch,
    /// To ask what may be done.
    Options,
}

impl Method {
    fn parse(name: &str) -> Option<Self> {
        const ALL: [Method; 7] = [
            Method::Get,
            Method::Head,
            Method::Put,
            Method::Post,
            Method::Delete,
            Method::Patch,
            Method::Options,
        ];
        ALL.into_iter().find(|method| method.name() == name)
    }

    /// As requests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
        }
    }
}

/// Why a request is not worked on: the status, and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// One sentence for the client.
    pub reason: &'static str,
}

/// A request; its body comes after it.
#[derive(PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Where: the path's segments, each percent-decoded by itself, so that `%2F` is a character
    /// of a name. Names are bytes.
    pub path: Vec<Vec<u8>>,
    /// Names and values of the query, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// Names in lower case, and values, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What came behind the head.
    pub body: Vec<u8>,
    /// The client understands chunks: it speaks HTTP/1.1.
    pub takes_chunks: bool,
    /// The connection stays for further requests.
    pub keeps_alive: bool,
}

impl fmt::Debug for Request {
    /// Without headers and body, which have passwords in them.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.method.name())?;
        self.path.iter().try_for_each(|segment| write!(out, "/{}", segment.escape_ascii()))
    }
}

impl Request {
    /// The value of a query's parameter; of several of the same name, the first.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header, whose name is in lower case; of several, the first.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a header that is there once.
    pub fn only_header(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// The words of headers that are lists, in lower case.
    pub fn words<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
        words(&self.headers, name)
    }

    /// Whether the client waits until it is told to send the body.
    pub fn expects_continue(&self) -> bool {
        let expects = self.header("expect").unwrap_or_default();
        self.takes_chunks && expects.eq_ignore_ascii_case(b"100-continue")
    }
}

/// What a reading of the input found.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// It is not complete.
    Incomplete,
    /// A request of so many bytes, and how its body follows.
    Complete(Box<Request>, usize, Framing),
}

/// How much of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 = it is complete.
    Length(u64),
    /// In chunks: the next line says how many bytes follow.
    ChunkSize,
    /// So many bytes of this chunk.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// Headers behind the last chunk, so many bytes of which were read.
    Trailer(usize),
}

impl Framing {
    /// All is there.
    pub const COMPLETE: Framing = Framing::Length(0);

    /// Takes what there is of the body; how many bytes of the input are done with. What is left
    /// has to come again with what follows it.
    ///
    /// # Errors
    /// The chunks are none, or the body is too large.
    pub fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < input.len() && *self != Framing::COMPLETE {
            let taken = self.step(&input[at..], body)?;
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    fn step(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        match self {
            Self::Length(left) | Self::Chunk(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = input.len().min(most);
                body.extend_from_slice(&input[..taken]);
                *left -= taken as u64;
                if *self == Self::Chunk(0) {
                    *self = Self::ChunkEnd;
                }
                Ok(taken)
            }
            Self::ChunkSize => {
                let Some(line) = line(input)? else { return Ok(0) };
                let size = chunk_size(line).ok_or(bad("a chunk has no size"))?;
                if size > BODY_BYTES_MAX - (body.len() as u64).min(BODY_BYTES_MAX) {
                    return Err(TOO_LARGE);
                }
                *self = if size == 0 { Self::Trailer(0) } else { Self::Chunk(size) };
                Ok(line.len() + 2)
            }
            Self::ChunkEnd => {
                let Some(line) = line(input)? else { return Ok(0) };
                if !line.is_empty() {
                    return Err(bad("a chunk is longer than its size"));
                }
                *self = Self::ChunkSize;
                Ok(2)
            }
            // What stands there is nobody's: nothing that is allowed there is used here.
            Self::Trailer(read) => {
                let Some(line) = line(input)? else { return Ok(0) };
                let bytes = line.len() + 2;
                *self = match *read + bytes {
                    _ if line.is_empty() => Self::COMPLETE,
                    read if read > TRAILER_BYTES_MAX => return Err(bad("the trailer is too long")),
                    read => Self::Trailer(read),
                };
                Ok(bytes)
            }
        }
    }
}

/// A line between chunks, without its end; `None` when that has not come.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let found = input.windows(2).take(CHUNK_LINE_BYTES_MAX).position(|pair| pair == b"\r\n");
    let line = &input[..found.unwrap_or(input.len().min(CHUNK_LINE_BYTES_MAX))];
    // One at the end may be the first half of the line's end.
    let inner = if found.is_none() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    if inner.iter().any(|&byte| byte == b'\r' || byte == b'\n' || byte == 0) {
        return Err(bad("a line between chunks does not end in CRLF"));
    }
    match found {
        Some(_) => Ok(Some(line)),
        None if input.len() > CHUNK_LINE_BYTES_MAX => Err(bad("a line between chunks is too long")),
        None => Ok(None),
    }
}

/// The number that a chunk begins with; what is said behind a semicolon is nobody's.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where the head that `input` begins with ends, if it does; `seen` bytes were searched before.
fn head_end(input: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let found = input.get(from..)?.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from + found + 4)
}

/// Reads the head that `input` begins with, of which `seen` bytes were there before.
///
/// # Errors
/// Why it is none that anybody should send.
pub fn parse(input: &[u8], seen: usize) -> Result<Head, Refusal> {
    let Some(bytes) = head_end(&input[..input.len().min(HEAD_BYTES_MAX)], seen) else {
        return if input.len() >= HEAD_BYTES_MAX {
            Err(HEAD_TOO_LARGE)
        } else {
            Ok(Head::Incomplete)
        };
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(&input[..bytes]) {
        // A head that ends earlier has a bare line feed in it.
        Ok(httparse::Status::Complete(end)) if end == bytes => {}
        Ok(_) => return Err(bad("the head does not end in an empty line")),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_MANY_HEADERS),
        Err(httparse::Error::Version) => return Err(OTHER_VERSION),
        Err(_) => return Err(bad("the head is no HTTP/1.1")),
    }
    if input[..bytes].windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
        return Err(bad("a line ends without a carriage return"));
    }
    let takes_chunks = parsed.version == Some(1);
    let method = parsed.method.and_then(Method::parse).ok_or(OTHER_METHOD)?;
    let (path, query) = target(parsed.path.unwrap_or_default())?;
    let owned =
        |header: &httparse::Header<'_>| (header.name.to_ascii_lowercase(), header.value.to_vec());
    let headers: Vec<_> = parsed.headers.iter().map(owned).collect();
    let keeps_alive = keeps_alive(&headers, takes_chunks);
    let body = Vec::new();
    let request = Request { method, path, query, headers, body, takes_chunks, keeps_alive };
    check_host(&request)?;
    let framing = framing(&request)?;
    Ok(Head::Complete(Box::new(request), bytes, framing))
}

/// Whether the connection stays: in HTTP/1.1 unless the client says otherwise, in 1.0 if it does.
fn keeps_alive(headers: &[(String, Vec<u8>)], is_1_1: bool) -> bool {
    let has = |word: &[u8]| words(headers, "connection").any(|found| found == word);
    if is_1_1 { !has(b"close") } else { has(b"keep-alive") }
}

fn words<'a>(
    headers: &'a [(String, Vec<u8>)],
    name: &'a str,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let of_name = headers.iter().filter(move |(key, _)| key == name);
    let words = of_name.flat_map(|(_, value)| value.split(|&byte| byte == b','));
    words.map(|word| word.trim_ascii().to_ascii_lowercase())
}

fn check_host(request: &Request) -> Result<(), Refusal> {
    match request.headers.iter().filter(|(name, _)| name == "host").count() {
        0 if request.takes_chunks => Err(bad("there is no Host header")),
        0 | 1 => Ok(()),
        _ => Err(bad("there are several Host headers")),
    }
}

/// How the body follows, as RFC 9112 section 6 has it, only that nothing doubtful is let through.
fn framing(request: &Request) -> Result<Framing, Refusal> {
    let all = |wanted: &str| {
        let found = request.headers.iter().filter(move |(name, _)| name == wanted);
        found.map(|(_, value)| value.as_slice()).collect::<Vec<_>>()
    };
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Ok(Framing::COMPLETE),
        ([length], []) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| is_number);
            let length = length.ok_or(bad("the Content-Length is no number"))?;
            // More digits than fit are too many bytes, too.
            let length = length.parse().unwrap_or(u64::MAX);
            if length > BODY_BYTES_MAX { Err(TOO_LARGE) } else { Ok(Framing::Length(length)) }
        }
        ([], [coding]) if !request.takes_chunks => {
            Err(if coding.is_empty() { OTHER_CODING } else { bad("HTTP/1.0 has no chunks") })
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::ChunkSize),
        ([], [_]) => Err(OTHER_CODING),
        (_, []) => Err(bad("there are several Content-Length headers")),
        (_, _) => Err(bad("the body's length is said in several ways")),
    }
}

/// The segments of a path, and the query's parameters.
type Target = (Vec<Vec<u8>>, Vec<(String, String)>);

fn target(target: &str) -> Result<Target, Refusal> {
    let target = match target.split_once("://") {
        // As to a proxy: what stands before the path is where the client thinks that we are.
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let target = target.split('#').next().unwrap_or(target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix('/').ok_or(bad("the path does not begin with a slash"))?;
    // As in RabbitMQ, a slash at the end means nothing.
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = path.split('/').filter(|_| !path.is_empty());
    let decode = |text: &str| percent_decoded(text.as_bytes()).ok_or(BAD_ESCAPE);
    let path = segments.map(decode).collect::<Result<Vec<_>, _>>()?;
    Ok((path, fields(query)?))
}

/// Names and values of a query or a form.
fn fields(encoded: &str) -> Result<Vec<(String, String)>, Refusal> {
    let text = |text: &str| {
        let bytes = percent_decoded(text.replace('+', " ").as_bytes()).ok_or(BAD_ESCAPE)?;
        String::from_utf8(bytes).map_err(|_| bad("the query is no UTF-8"))
    };
    let pairs = encoded.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((text(name)?, text(value)?))
    };
    pairs.map(pair).collect()
}

/// Names and values of a form as a browser sends it; `None`: it is none.
pub fn form_fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    fields(std::str::from_utf8(body).ok()?).ok()
}

/// What `%2F` and the like stand for; `None` when two hexadecimal digits do not follow a `%`.
pub fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? * 16 + digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal { status: 400, reason }
}

const BAD_ESCAPE: Refusal = bad("two hexadecimal digits have to follow a %");
const TOO_LARGE: Refusal = Refusal { status: 413, reason: "the body is larger than 20 MiB" };
const HEAD_TOO_LARGE: Refusal = Refusal { status: 431, reason: "the head is larger than 16 KiB" };
const TOO_MANY_HEADERS: Refusal = Refusal { status: 431, reason: "there are over 64 headers" };
const OTHER_VERSION: Refusal = Refusal { status: 505, reason: "this is HTTP/1.1" };
const OTHER_METHOD: Refusal = Refusal { status: 501, reason: "the method is not known" };
const OTHER_CODING: Refusal =
    Refusal { status: 501, reason: "the only transfer coding is chunked" };

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(request, bytes, _)) if bytes == text.len() => *request,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refusal(text: &str) -> u16 {
        parse(text.as_bytes(), 0).expect_err(text).status
    }

    fn framing_of(headers: &str) -> Result<Framing, u16> {
        let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(_, _, framing)) => Ok(framing),
            Ok(Head::Incomplete) => panic!("{text}"),
            Err(refusal) => Err(refusal.status),
        }
    }

    #[test]
    fn a_head_is_found_wherever_the_input_is_cut() {
        let text = b"GET /api/whoami HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\nGET";
        let end = text.len() - 3;
        for cut in 0..end {
            assert_eq!(parse(&text[..cut], 0), Ok(Head::Incomplete), "{cut}");
            let head = parse(text, cut);
            assert!(matches!(head, Ok(Head::Complete(_, bytes, _)) if bytes == end), "{cut}");
        }
    }

    #[test]
    fn each_segment_is_decoded_by_itself() {
        let found = request("GET /api/queues/%2F/a%2Fb%20c+d%00%ff/ HTTP/1.1\r\nhost: h\r\n\r\n");
        let expected: [&[u8]; 4] = [b"api", b"queues", b"/", b"a/b c+d\0\xff"];
        assert_eq!(found.path, expected);
        assert_eq!(request("GET / HTTP/1.0\r\n\r\n").path, Vec::<Vec<u8>>::new());
        assert_eq!(request("GET //a HTTP/1.0\r\n\r\n").path, [&b""[..], b"a"]);
        assert_eq!(request("GET http://h:1/a?b HTTP/1.0\r\n\r\n").path, [b"a"]);
        for path in ["/%", "/%2", "/%zz", "/a%2x", "/?a=%", "a", "*", "/?%ff", ""] {
            assert_eq!(refusal(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")), 400, "{path}");
        }
    }

    #[test]
    fn a_query_is_a_list_of_names_and_values() {
        let found = request("GET /a?page=1&name=a+b%26c&&use_regex&page=2 HTTP/1.0\r\n\r\n");
        assert_eq!(found.parameter("page"), Some("1"));
        assert_eq!(found.parameter("name"), Some("a b&c"));
        assert_eq!(found.parameter("use_regex"), Some(""));
        assert_eq!(found.parameter("sort"), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, status) in [
            ("\0\0\0\0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: h\n\nGET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\n A: folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
            ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
            ("get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ] {
            assert_eq!(refusal(text), status, "{}", text.escape_debug());
        }
    }

    #[test]
    fn a_head_has_limits() {
        let headers = |count: usize| "a: b\r\n".repeat(count);
        let text = |count| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", headers(count));
        request(&text(HEADERS_MAX - 1));
        assert_eq!(refusal(&text(HEADERS_MAX)), 431);
        let long = "x".repeat(HEAD_BYTES_MAX);
        assert_eq!(parse(&long.as_bytes()[1..], 0), Ok(Head::Incomplete));
        assert_eq!(refusal(&long), 431);
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n")), 431);
    }

    #[test]
    fn a_body_has_one_length_and_no_more() {
        assert_eq!(framing_of(""), Ok(Framing::COMPLETE));
        assert_eq!(framing_of("Content-Length: 17\r\n"), Ok(Framing::Length(17)));
        assert_eq!(framing_of("Transfer-Encoding: Chunked\r\n"), Ok(Framing::ChunkSize));
        assert_eq!(framing_of("Content-Length: 20971520\r\n"), Ok(Framing::Length(20 << 20)));
        for (headers, status) in [
            ("Content-Length: 20971521\r\n", 413),
            ("Content-Length: 99999999999999999999999999\r\n", 413),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 1 1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: 0x1\r\n", 400),
            ("Content-Length: \r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
        ] {
            assert_eq!(framing_of(headers), Err(status), "{}", headers.escape_debug());
        }
        assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    /// The body, and what is left, when the input comes in pieces of this many bytes.
    fn chunks(input: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Refusal> {
        let (mut framing, mut body) = (Framing::ChunkSize, Vec::new());
        let (mut at, mut end) = (0, 0);
        while end < input.len() && framing != Framing::COMPLETE {
            end = (end + piece).min(input.len());
            at += framing.take(&input[at..end], &mut body)?;
        }
        assert_eq!(framing, Framing::COMPLETE, "it ends with the input");
        Ok((body, at))
    }

    #[test]
    fn chunks_make_one_body_wherever_the_input_is_cut() {
        let input = b"4\r\nwiki\r\n5;name=value\r\npedia\r\nA  \r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\
                      Trailer: x\r\n\r\nGET";
        for piece in 1..input.len() {
            let (body, taken) = chunks(input, piece).unwrap();
            assert_eq!(body, b"wikipedia\r\n\r\n\r\n\r\n\r\n", "{piece}");
            assert_eq!(taken, input.len() - 3, "what follows is the next request's");
        }
    }

    #[test]
    fn what_are_no_chunks_is_refused_wherever_it_is_cut() {
        for input in [
            "\r\n\r\n",
            "-1\r\n",
            "g\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "1000000000000000\r\n",
            "5\nhello\r\n",
            "5\rhello\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "5;\0\r\nhello\r\n",
        ] {
            for piece in 1..=input.len() {
                let outcome = chunks(input.as_bytes(), piece);
                assert_eq!(outcome.unwrap_err().status, 400, "{}", input.escape_debug());
            }
        }
        let long = format!("5;{}\r\n", "x".repeat(CHUNK_LINE_BYTES_MAX));
        assert_eq!(chunks(long.as_bytes(), 100).unwrap_err().status, 400);
        let trailer = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILER_BYTES_MAX / 6 + 1));
        assert_eq!(chunks(trailer.as_bytes(), 7).unwrap_err().status, 400);
    }

    #[test]
    fn a_body_in_chunks_is_no_larger_than_another() {
        let mut body = vec![0; 20 << 20];
        let mut framing = Framing::ChunkSize;
        assert_eq!(framing.take(b"1\r\nx", &mut body), Err(TOO_LARGE));
        let mut framing = Framing::ChunkSize;
        assert_eq!(framing.take(b"1400001\r\n", &mut Vec::new()), Err(TOO_LARGE));
    }

    #[test]
    fn a_connection_stays_as_its_version_has_it() {
        let keeps = |text: &str| request(text).keeps_alive;
        assert!(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        let expects = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n";
        assert!(request(expects).expects_continue());
    }
}
