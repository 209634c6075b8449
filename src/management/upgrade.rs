//! Who asks for AMQP over WebSocket, and may he have it (RFC 6455 section 4.2)?
//!
//! Nobody logs in here: AMQP's own handshake asks who it is. But a page of another site must not
//! use what only a browser on this network reaches, so that the sites are asked for that CORS lets
//! in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::cors::Cors;
use super::request::{Framing, Method, Request};
use super::response::Response;

/// Where it is asked for: our own path, and the one of RabbitMQ's plugins.
const PATHS: [&[&[u8]]; 2] = [&[b"ws", b"amqp"], &[b"ws"]];

/// The only version that there is.
const VERSION: &str = "13";

/// What a client may say that it wants to speak; others say nothing.
const PROTOCOL: &str = "amqp";

/// What is hashed behind the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is so many bytes.
const KEY_BYTES: usize = 16;

/// Whether a request is for it, if for anything good.
pub fn is_asked(request: &Request) -> bool {
    PATHS.iter().any(|path| request.path.iter().map(Vec::as_slice).eq(path.iter().copied()))
}

/// What is answered to a request that is for it: 101, which is all that HTTP has to say on the
/// connection, or why not.
pub fn answer(request: &Request, framing: Framing, cors: &Cors, has_room: bool) -> Response {
    if request.method != Method::Get {
        let status = if request.method == Method::Options { 200 } else { 405 };
        return Response::empty(status).header("allow", "GET, OPTIONS");
    }
    let wants = |name: &str, word: &[u8]| request.words(name).any(|found| found == word);
    if !request.takes_chunks || !wants("upgrade", b"websocket") || !wants("connection", b"upgrade")
    {
        let text = "AMQP over WebSocket is served here: ask with 'Connection: Upgrade' and \
                    'Upgrade: websocket'";
        return upgrade_required(text);
    }
    if request.header("sec-websocket-version") != Some(VERSION.as_bytes()) {
        return upgrade_required("the only version of WebSocket here is 13");
    }
    if framing != Framing::COMPLETE {
        return Response::bad_request("no body is taken here");
    }
    let Some(accept) = request.only_header("sec-websocket-key").and_then(accept) else {
        return Response::bad_request("the Sec-WebSocket-Key is none");
    };
    if !cors.lets_in(request) {
        let text = "pages of this site may not connect: see management.cors.allow_origins";
        return Response::error(403, "forbidden", text);
    }
    if !has_room {
        return Response::error(503, "connections", "too many AMQP connections are open");
    }
    let response = Response::empty(101)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", accept);
    match wants("sec-websocket-protocol", PROTOCOL.as_bytes()) {
        true => response.header("sec-websocket-protocol", PROTOCOL),
        false => response,
    }
}

fn upgrade_required(reason: &str) -> Response {
    Response::error(426, "upgrade_required", reason)
        .header("upgrade", "websocket")
        .header("sec-websocket-version", VERSION)
}

/// What is said of a key; `None`: it is none.
fn accept(key: &[u8]) -> Option<String> {
    let bytes = STANDARD.decode(key).ok()?;
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    (bytes.len() == KEY_BYTES).then(|| STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::super::request::{Head, parse};
    use super::*;

    const GOOD: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                        Sec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn ask(line: &str, headers: &str, cors: &Cors) -> Response {
        let text = format!("{line}\r\nHost: here:15672\r\n{headers}\r\n");
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(request, _, framing)) => {
                assert!(is_asked(&request), "{line}");
                answer(&request, framing, cors, true)
            }
            other => panic!("{other:?}"),
        }
    }

    fn get(headers: &str) -> Response {
        ask("GET /ws/amqp HTTP/1.1", headers, &Cors::default())
    }

    /// The key and the answer are those of RFC 6455 section 1.3.
    #[test]
    fn a_client_that_knows_how_to_ask_is_let_in() {
        for line in ["GET /ws/amqp HTTP/1.1", "GET /ws HTTP/1.1", "GET /ws/amqp/?a=b HTTP/1.1"] {
            let response = ask(line, GOOD, &Cors::default());
            assert_eq!(response.status, 101);
            let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(response.value_of("sec-websocket-accept"), accept);
            assert_eq!(response.value_of("sec-websocket-protocol"), None);
        }
    }

    #[test]
    fn the_protocol_is_named_to_who_names_it() {
        for (asked, told) in [
            ("amqp", Some("amqp")),
            ("AMQP", Some("amqp")),
            ("mqtt, amqp", Some("amqp")),
            ("mqtt", None),
        ] {
            let response = get(&format!("{GOOD}Sec-WebSocket-Protocol: {asked}\r\n"));
            let found = (response.status, response.value_of("sec-websocket-protocol"));
            assert_eq!(found, (101, told), "{asked}");
        }
    }

    #[test]
    fn who_does_not_know_is_told_what_is_missing() {
        let without = |name: &str| {
            let lines = GOOD.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
            lines.collect::<String>()
        };
        assert_eq!(get("").status, 426);
        assert_eq!(get(&without("Connection")).status, 426);
        assert_eq!(get(&without("Upgrade")).status, 426);
        let old = get(&GOOD.replace("13", "8"));
        assert_eq!((old.status, old.value_of("sec-websocket-version")), (426, Some("13")));
        assert_eq!(get(&without("Sec-WebSocket-Version")).status, 426);
        assert_eq!(get(&without("Sec-WebSocket-Key")).status, 400);
        for key in
            ["", "dGhlIHNhbXBsZQ==", "!", "dGhlIHNhbXBsZSBub25jZQ", "YWJjZGVmZ2hpamtsbW5vcHE="]
        {
            let headers = format!("{}Sec-WebSocket-Key: {key}\r\n", without("Sec-WebSocket-Key"));
            assert_eq!(get(&headers).status, 400, "{key}");
        }
        let twice = format!("{GOOD}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        assert_eq!(get(&twice).status, 400);
        assert_eq!(get(&format!("{GOOD}Content-Length: 2\r\n")).status, 400);
        assert_eq!(ask("GET /ws/amqp HTTP/1.0", GOOD, &Cors::default()).status, 426);
        for line in ["POST /ws/amqp HTTP/1.1", "PUT /ws HTTP/1.1", "HEAD /ws HTTP/1.1"] {
            let response = ask(line, GOOD, &Cors::default());
            let found = (response.status, response.value_of("allow"));
            assert_eq!(found, (405, Some("GET, OPTIONS")), "{line}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_let_in_only_where_they_are_named() {
        let of = |cors: &Cors, origin: &str| {
            ask("GET /ws/amqp HTTP/1.1", &format!("{GOOD}{origin}"), cors).status
        };
        let named = |names: &[&str]| Cors {
            origins: names.iter().map(|&name| name.to_owned()).collect(),
            ..Cors::default()
        };
        let nobody = Cors::default();
        // A program, and our own page, also where a proxy takes TLS away.
        for own in ["", "Origin: http://here:15672\r\n", "Origin: https://HERE:15672\r\n"] {
            assert_eq!(of(&nobody, own), 101, "{own}");
        }
        for other in [
            "Origin: http://here\r\n",
            "Origin: http://here:80\r\n",
            "Origin: http://there:15672\r\n",
            "Origin: http://here:15672.evil\r\n",
            "Origin: http://x@here:15672\r\n",
            "Origin: here:15672\r\n",
            "Origin: null\r\n",
            "Origin: \r\n",
            "Origin: http://here:15672\r\nOrigin: http://here:15672\r\n",
        ] {
            assert_eq!(of(&nobody, other), 403, "{other}");
        }
        let shop = "Origin: https://shop.example\r\n";
        assert_eq!(of(&nobody, shop), 403);
        assert_eq!(of(&named(&["https://shop.example"]), shop), 101);
        assert_eq!(of(&named(&["https://other.example"]), shop), 403);
        assert_eq!(of(&named(&["*"]), shop), 101);
        assert_eq!(of(&named(&["*"]), "Origin: null\r\n"), 403);
    }

    #[test]
    fn who_comes_when_all_places_are_taken_is_told_so() {
        let text = format!("GET /ws/amqp HTTP/1.1\r\nHost: h\r\n{GOOD}\r\n");
        let Ok(Head::Complete(request, _, framing)) = parse(text.as_bytes(), 0) else { panic!() };
        assert_eq!(answer(&request, framing, &Cors::default(), false).status, 503);
    }
}
