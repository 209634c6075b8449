//! Are answers written as who asks wants them: compressed, as a file, for another site's page?

use std::io::Read;

use flate2::read::GzDecoder;
use leveret::daemon;
use leveret::management::Cors;
use serde_json::{Value, json};

use super::common::Server;
use super::http::{Answer, GUEST, Http, start};
use super::permissions::put;

const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// What a compressed answer says.
fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "{}", answer.head);
    let mut found = Vec::new();
    let mut decoder = GzDecoder::new(answer.body.as_slice());
    decoder.read_to_end(&mut found).expect("it is gzip");
    assert!(decoder.into_inner().is_empty(), "something stands behind the end");
    found
}

/// A broker with so many queues.
fn with_queues(count: usize) -> Option<(Server, Http)> {
    let (server, mut http) = start()?;
    let queues: Vec<Value> = (0..count)
        .map(|number| json!({"name": format!("queue-{number}"), "durable": true}))
        .collect();
    let file = json!({ "queues": queues }).to_string();
    assert_eq!(http.ask("POST", "/api/definitions/%2F", &file).status, 204);
    Some((server, http))
}

#[test]
fn who_asks_for_gzip_gets_the_same_in_fewer_bytes() {
    let Some((server, mut http)) = with_queues(2_000) else { return };
    let asked = [GUEST, GZIP].concat();
    // One answer that is known as a whole, and others that come in chunks.
    for path in ["/api/vhosts", "/api/definitions", "/api/queues?columns=name"] {
        let plain = http.get(path);
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let packed = http.ask_as(&asked, "GET", path, "");
        assert_eq!(packed.status, 200, "{path}");
        assert_eq!(packed.header("content-type"), Some("application/json"));
        let vary = packed.header("vary").expect("it depends on what was asked");
        assert!(vary.contains("accept-encoding"), "{vary}");
        if path == "/api/vhosts" {
            // Shorter than what is worth it.
            assert_eq!(packed.header("content-encoding"), None);
            continue;
        }
        assert!(packed.body.len() < plain.body.len() / 3, "{path}");
        assert_eq!(unpacked(&packed), plain.body, "{path}");
    }
    let metrics = server.metrics_address().expect("it is ours");
    let packed = Http::connect(metrics).ask_as(GZIP, "GET", "/metrics", "");
    assert!(String::from_utf8(unpacked(&packed)).expect("text").contains("# TYPE"));
}

#[test]
fn a_head_says_what_an_answer_would_be_and_the_next_one_comes_behind_it() {
    let Some((_server, mut http)) = with_queues(2_000) else { return };
    for path in ["/api/definitions", "/api/overview"] {
        let ask =
            |method: &str| format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{GUEST}{GZIP}\r\n");
        let end = super::http::request(GUEST, "GET", "/api/whoami", "");
        http.send([ask("HEAD"), end].concat().as_bytes());
        let head = http.head();
        assert_eq!(head.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(http.answer().json()["name"], "guest", "{path}");
        http.send(ask("GET").as_bytes());
        let whole = http.answer();
        for name in ["content-encoding", "content-type", "transfer-encoding", "vary"] {
            assert_eq!(head.header(name), whole.header(name), "{path} {name}");
        }
    }
}

/// Without chunks, too, the end is where gzip has it.
#[test]
fn who_speaks_http_1_0_gets_gzip_up_to_the_connections_end() {
    let Some((server, mut http)) = with_queues(2_000) else { return };
    let plain = http.get("/api/definitions").body;
    let mut old = Http::connect(server.management_address().expect("it is ours"));
    old.send(format!("GET /api/definitions HTTP/1.0\r\n{GUEST}{GZIP}\r\n").as_bytes());
    let answer = old.answer();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(unpacked(&answer), plain);
}

#[test]
fn requests_for_gzip_that_follow_each_other_at_once_are_answered_in_order() {
    let Some((_server, mut http)) = with_queues(500) else { return };
    let packed = super::http::request(&[GUEST, GZIP].concat(), "GET", "/api/definitions", "");
    let plain = super::http::request(GUEST, "GET", "/api/definitions", "");
    http.send([packed, plain].concat().repeat(20).as_bytes());
    for _ in 0..20 {
        let packed = http.answer();
        assert_eq!(unpacked(&packed), http.answer().body);
    }
}

#[test]
fn definitions_come_as_a_file_of_the_name_that_was_asked_for() {
    let Some((_server, mut http)) = start() else { return };
    let mut disposition = |path: &str| {
        let answer = http.get(path);
        assert_eq!(answer.status, 200);
        answer.json();
        answer.header("content-disposition").map(str::to_owned)
    };
    for (path, expected) in [
        ("/api/definitions", None),
        ("/api/definitions?download=rabbit_1.json", Some("attachment; filename=rabbit_1.json")),
        ("/api/definitions/%2F?download=a%20b", Some("attachment; filename=\"a b\"")),
        ("/api/definitions?download=", Some("attachment; filename=\"\"")),
        (
            "/api/definitions?download=a%22%5C%0d%0aX:y",
            Some("attachment; filename=\"a\\\"\\\\X:y\""),
        ),
        ("/api/overview?download=x", None),
    ] {
        assert_eq!(disposition(path).as_deref(), expected, "{path}");
    }
    let many = "/api/definitions?download=x.json";
    let packed = http.ask_as(&[GUEST, GZIP].concat(), "GET", many, "");
    assert_eq!(packed.header("content-disposition"), Some("attachment; filename=x.json"));
}

const PAGE: &str = "Origin: https://a.example\r\n";

fn cors_of(answer: &Answer) -> Vec<(&str, &str)> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| name.starts_with("access-control")).collect()
}

/// A broker whose API pages of `https://a.example` may read.
fn with_a_page() -> Option<(Server, Http)> {
    let origins = ["https://a.example".to_owned()].into();
    let cors = Cors { origins, ..Cors::default() };
    let server = Server::start_with(daemon::Config { cors, ..daemon::Config::default() });
    let http = Http::connect(server.management_address()?);
    Some((server, http))
}

#[test]
fn no_other_sites_page_may_read_answers_unless_that_was_configured() {
    let Some((_server, mut http)) = start() else { return };
    let asked = "Access-Control-Request-Method: PUT\r\n";
    for (headers, method) in [(GUEST, "GET"), (asked, "OPTIONS")] {
        let answer = http.ask_as(&[headers, PAGE].concat(), method, "/api/whoami", "");
        assert_eq!((answer.status, cors_of(&answer)), (200, vec![]));
        assert!(answer.header("vary").expect("it is there").contains("origin"));
    }
}

#[test]
fn a_page_that_was_configured_may_read_every_answer() {
    let Some((server, mut http)) = with_a_page() else { return };
    let allowed = vec![
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-credentials", "true"),
    ];
    // Whole, in chunks, refused, and of what is not there.
    for (login, path, status) in [
        (GUEST, "/api/whoami", 200),
        (GUEST, "/api/definitions", 200),
        ("", "/api/whoami", 401),
        (GUEST, "/api/queues/%2F/nope", 404),
        (GUEST, "/api/nope", 404),
    ] {
        let answer = http.ask_as(&[login, PAGE].concat(), "GET", path, "");
        assert_eq!((answer.status, cors_of(&answer)), (status, allowed.clone()), "{path}");
        let other = [login, "Origin: https://b.example\r\n"].concat();
        assert_eq!(cors_of(&http.ask_as(&other, "GET", path, "")), [], "{path}");
        // What one page was told is not said to who asks next.
        assert_eq!(cors_of(&http.ask_as(login, "GET", path, "")), [], "{path}");
    }
    let put = http.ask_as(&[GUEST, PAGE].concat(), "PUT", "/api/vhosts/v", "{}");
    assert_eq!((put.status, cors_of(&put)), (201, allowed));
    let mut metrics = Http::connect(server.metrics_address().expect("it is ours"));
    assert_eq!(metrics.ask_as(PAGE, "GET", "/metrics", "").status, 200);
}

#[test]
fn a_browser_asks_first_and_is_told_what_a_page_may_do() {
    let Some((_server, mut http)) = with_a_page() else { return };
    let asked = "Access-Control-Request-Method: PUT\r\n\
                 Access-Control-Request-Headers: authorization, x-y\r\n";
    let answer = http.ask_as(&[asked, PAGE].concat(), "OPTIONS", "/api/queues/%2F/q", "");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("allow"), Some("HEAD, GET, PUT, DELETE, OPTIONS"));
    let mut found = cors_of(&answer);
    found.sort_unstable();
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "authorization, x-y"),
        ("access-control-allow-methods", "HEAD, GET, PUT, DELETE, OPTIONS"),
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-max-age", "1800"),
    ];
    assert_eq!(found, expected);
    let page = "Origin: https://b.example\r\n";
    let answer = http.ask_as(&[asked, page].concat(), "OPTIONS", "/api/queues/%2F/q", "");
    assert_eq!((answer.status, cors_of(&answer)), (200, vec![]));
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({})), 201, "nothing else changed");
}
