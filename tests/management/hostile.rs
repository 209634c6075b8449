//! What does the HTTP API make of what is no request, or of more than it takes?

use super::http::{GUEST, Http, request, start};

#[test]
fn a_request_is_understood_wherever_it_is_cut() {
    let Some((_server, mut http)) = start() else { return };
    let text = request(GUEST, "GET", "/api/whoami", "");
    for cut in 1..text.len() {
        http.send(&text.as_bytes()[..cut]);
        http.send(&text.as_bytes()[cut..]);
        assert_eq!(http.answer().status, 200, "{cut}");
    }
}

#[test]
fn requests_that_follow_each_other_at_once_are_answered_in_order() {
    let Some((_server, mut http)) = start() else { return };
    let put = request(GUEST, "PUT", "/api/users/ann", r#"{"tags": ""}"#);
    let get = request(GUEST, "GET", "/api/users/ann", "");
    let nope = request(GUEST, "GET", "/api/nope", "");
    let many = [put.as_str(), &get, &nope].concat().repeat(200);
    http.send(many.as_bytes());
    for round in 0..200 {
        let put = if round == 0 { 201 } else { 204 };
        assert_eq!([(); 3].map(|()| http.answer().status), [put, 200, 404], "{round}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let Some((server, _)) = start() else { return };
    let address = server.management_address().expect("it is ours");
    let smuggled = request(GUEST, "GET", "/api/users", "");
    for (headers, status) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 501),
        ("Content-Length: 5\nX: y\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        ("X: \0\r\n", 400),
        ("Host: again\r\n", 400),
        ("Content-Length: 20971521\r\n", 413),
    ] {
        let mut http = Http::connect(address);
        let text = request(&[GUEST, headers].concat(), "PUT", "/api/users/a", "");
        http.send([text, smuggled.clone()].concat().as_bytes());
        let answer = http.answer();
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("connection"), Some("close"));
        http.expect_closed();
    }
}

#[test]
fn what_is_no_http_is_refused() {
    let Some((server, _)) = start() else { return };
    let address = server.management_address().expect("it is ours");
    for (bytes, status) in [
        (&b"AMQP\0\0\x09\x01\r\n\r\n"[..], 400),
        (b"\x16\x03\x01\0\xff\x01\r\n\r\n", 400),
        (b"GET /api/%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /api/whoami HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    ] {
        let mut http = Http::connect(address);
        http.send(bytes);
        assert_eq!(http.answer().status, status, "{}", bytes.escape_ascii());
        http.expect_closed();
    }
}

#[test]
fn a_head_and_its_headers_have_limits() {
    let Some((server, _)) = start() else { return };
    let address = server.management_address().expect("it is ours");
    for headers in ["x: y\r\n".repeat(65), format!("x: {}\r\n", "y".repeat(20_000))] {
        let mut http = Http::connect(address);
        http.send(request(&headers, "GET", "/api/whoami", "").as_bytes());
        assert_eq!(http.answer().status, 431);
    }
}

/// Nobody who is not let in makes the broker keep a body.
#[test]
fn a_body_is_read_only_from_who_is_let_in() {
    let Some((server, _)) = start() else { return };
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    http.send(b"PUT /api/users/a HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
    assert_eq!(http.answer().status, 401);
    let megabyte = vec![b'x'; 1 << 20];
    let taken = (0..20).take_while(|_| http.try_send(&megabyte).is_ok()).count();
    // It is thrown away, or the connection was cut: both are fine.
    assert!(taken <= 20);
}

#[test]
fn a_client_is_told_to_send_its_body() {
    let Some((_server, mut http)) = start() else { return };
    let head = "PUT /api/users/ann HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n";
    http.send(format!("{head}{GUEST}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    assert_eq!(http.answer().status, 100);
    http.send(b"6\r\n{\"tags\r\n");
    http.send(b"5\r\n\":\"\"}\r\n0\r\n\r\n");
    assert_eq!(http.answer().status, 201);
}
