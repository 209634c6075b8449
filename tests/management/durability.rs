//! Is what a request changed durable when it is answered?

use super::common::Server;
use super::http::{Http, start};

#[test]
fn a_user_is_answered_for_once_it_is_on_disk_and_others_are_served_meanwhile() {
    let Some((server, mut http)) = start() else { return };
    let gate = server.gate().expect("it is ours");
    let mut other = Http::connect(server.management_address().expect("it is ours"));
    gate.hold();
    let body = r#"{"password": "x", "tags": ""}"#;
    http.send(super::http::request(super::http::GUEST, "PUT", "/api/users/ann", body).as_bytes());
    // It is made, and seen; but its maker has no answer: whoever asks later is answered first.
    while other.get("/api/users/ann").status == 404 {}
    (0..10).for_each(|_| drop(other.get("/api/whoami")));
    http.expect_nothing_yet();
    gate.release();
    assert_eq!(http.answer().status, 201);
}

/// Nothing that was not asked for may be in the way of what was.
#[test]
fn what_was_answered_for_is_there_after_a_kill() {
    let Some(mut node) = super::common::Node::start() else { return };
    let client = node.connect();
    let mut owner = Http::connect_owner(node.process().directory());
    for number in 0..20 {
        let path = format!("/api/users/user{number}");
        let answer = owner.ask_as("", "PUT", &path, r#"{"password": "x", "tags": "management"}"#);
        assert_eq!(answer.status, 201);
        assert_eq!(owner.ask_as("", "PUT", &format!("/api/vhosts/v{number}"), "").status, 201);
    }
    node.restart(super::common::End::Kill, client);
    let mut owner = Http::connect_owner(node.process().directory());
    let mut count = |path: &str| owner.ask_as("", "GET", path, "").json().as_array().map(Vec::len);
    assert_eq!([count("/api/users"), count("/api/vhosts")], [Some(21), Some(21)]);
}

/// A killed broker leaves its socket behind.
#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let server = Server::start();
    let Some(directory) = server.directory() else { return };
    assert_eq!(Http::connect_owner(directory).ask_as("", "GET", "/api/whoami", "").status, 200);
}

/// Nothing that a request asks for is too long for the log, however short its segments are.
#[test]
fn the_longest_arguments_fit_into_the_shortest_segments() {
    let settings = leveret::daemon::Config { segment_bytes: 64 << 10, ..Default::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let mut http = Http::connect(address);
    let name = "n".repeat(255);
    let with = |bytes: usize, more: &str| {
        format!(r#"{{"durable": true{more}, "arguments": {{"long": "{}"}}}}"#, "x".repeat(bytes))
    };
    let longest = 16 * 1024 - 10;
    let key = format!(r#", "routing_key": "{name}""#);
    // A binding stands in the log with its arguments twice.
    for (method, path, more, longest) in [
        ("PUT", format!("/api/queues/%2F/{name}"), "", longest),
        ("PUT", format!("/api/exchanges/%2F/{name}"), "", longest),
        ("POST", format!("/api/bindings/%2F/e/{name}/q/{name}"), key.as_str(), longest / 2),
    ] {
        assert_eq!(http.ask(method, &path, &with(16 * 1024, more)).status, 400, "{path}");
        assert_eq!(http.ask(method, &path, &with(longest, more)).status, 201, "{path}");
    }
}
