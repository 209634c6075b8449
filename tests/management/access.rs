//! Who is let in, and what may they ask?

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::common::{Client, Options};
use super::http::{Http, basic_login as basic, start};

#[test]
fn without_a_login_one_is_asked_to_log_in() {
    let Some((_server, mut http)) = start() else { return };
    let answer = http.ask_as("", "GET", "/api/overview", "");
    assert_eq!((answer.status, answer.body.len()), (401, 0));
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"RabbitMQ Management\""));
    for login in ["guest:wrong", "ghost:guest", "guest:"] {
        let answer = http.ask_as(&basic(login), "GET", "/api/overview", "");
        assert_eq!(answer.error(401), ("not_authorized".into(), "Login failed".into()), "{login}");
    }
    assert_eq!(http.get("/api/whoami").json(), json!({"name": "guest", "tags": ["administrator"]}));
}

#[test]
fn each_tag_opens_what_is_meant_for_it() {
    let Some((_server, mut http)) = start() else { return };
    for (name, tags) in [("none", ""), ("mgmt", "management"), ("mon", "monitoring,other")] {
        let body = json!({"password": name, "tags": tags}).to_string();
        assert_eq!(http.ask("PUT", &format!("/api/users/{name}"), &body).status, 201);
    }
    for (login, path, reason) in [
        ("none:none", "/api/whoami", "Not management user"),
        ("mgmt:mgmt", "/api/users", "Not administrator user"),
        ("mon:mon", "/api/users/mon", "Not administrator user"),
        ("mgmt:mgmt", "/api/vhosts/%2F", "Not administrator user"),
        ("mgmt:mgmt", "/api/queues/%2F", "User not authorised to access virtual host"),
        ("mon:mon", "/api/queues/%2F", "User not authorised to access virtual host"),
    ] {
        let answer = http.ask_as(&basic(login), "GET", path, "");
        assert_eq!(answer.error(401), ("not_authorised".into(), reason.into()), "{login} {path}");
    }
    let put = http.ask_as(&basic("mgmt:mgmt"), "PUT", "/api/users/me", "{}");
    assert_eq!(put.error(401).1, "Not administrator user");
    let mut list = |login: &str| http.ask_as(&basic(login), "GET", "/api/vhosts", "").json();
    assert_eq!(list("mgmt:mgmt"), json!([]), "it may enter none");
    assert_eq!(list("mon:mon").as_array().map(Vec::len), Some(1));
}

#[test]
fn the_owner_comes_in_by_the_socket_in_the_data_directory() {
    let Some((server, _)) = start() else { return };
    let directory = server.directory().expect("it is ours").to_owned();
    let mut owner = Http::connect_owner(&directory);
    let answer = owner.ask_as("", "GET", "/api/whoami", "");
    assert_eq!(answer.json(), json!({"name": "owner", "tags": ["administrator"]}));
    assert_eq!(owner.ask_as("", "GET", "/api/queues/%2F", "").status, 200);
    let path = directory.join("leveret.sock");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may open it");
    drop(owner);
    drop(server);
    assert!(!path.exists(), "it goes with the broker");
}

/// It is looked at later than others, and what it sent meanwhile is not forgotten.
#[test]
fn who_fails_too_often_waits_and_goes_on() {
    let Some((_server, mut http)) = start() else { return };
    let wrong = super::http::request(&basic("guest:wrong"), "GET", "/api/whoami", "");
    let right = super::http::request(super::http::GUEST, "GET", "/api/whoami", "");
    let body = r#"{"tags": ""}"#;
    let put = super::http::request(super::http::GUEST, "PUT", "/api/users/ann", body);
    http.send([wrong.repeat(12), right, put].concat().as_bytes());
    (0..12).for_each(|_| assert_eq!(http.answer().status, 401));
    assert_eq!([http.answer().status, http.answer().status], [200, 201]);
}

#[test]
fn nobody_at_the_port_keeps_the_owner_out() {
    let Some((server, first)) = start() else { return };
    let address = server.management_address().expect("it is ours");
    let mut others: Vec<_> = (1..256).map(|_| Http::connect(address)).collect();
    // The last of them is in.
    assert_eq!(others.last_mut().expect("it is there").get("/api/whoami").status, 200);
    let mut owner = Http::connect_owner(server.directory().expect("it is ours"));
    assert_eq!(owner.ask_as("", "GET", "/api/whoami", "").status, 200);
    drop(first);
}

/// They kept others out for as long as half a head may take to arrive.
#[test]
fn connections_that_say_nothing_or_half_a_request_keep_nobody_out() {
    let Some((server, mut first)) = start() else { return };
    let address = server.management_address().expect("it is ours");
    assert_eq!(first.get("/api/whoami").status, 200);
    let mut others = Vec::new();
    for number in 0..600 {
        let mut http = Http::connect(address);
        if number % 2 == 0 {
            http.send(b"GET /api/whoami HTTP/1.1\r\nHost:");
        }
        others.push(http);
        if number % 100 == 99 {
            assert_eq!(Http::connect(address).get("/api/whoami").status, 200, "{number}");
        }
    }
    // Who asked before stays as long as others say nothing, and so do the newest of them.
    assert_eq!(first.get("/api/whoami").status, 200);
    assert_eq!(others.last_mut().expect("it is there").get("/api/whoami").status, 200);
    others.first_mut().expect("it is there").expect_closed();
}

/// Who watches for guessed passwords counts failures.
#[test]
fn logins_are_counted_by_protocol_and_by_how_they_ended() {
    let Some((server, mut http)) = start() else { return };
    let node = http.show("/api/overview")["node"].as_str().expect("it has a name").to_owned();
    let path = format!("/api/auth/attempts/{node}");
    assert_eq!(http.ask("DELETE", &path, "").status, 204);
    let wrong = "Authorization: Basic Z3Vlc3Q6d3Jvbmc=\r\n";
    (0..3).for_each(|_| assert_eq!(http.ask_as(wrong, "GET", "/api/whoami", "").status, 401));
    let mut stranger = Client::raw(server.address());
    let options = Options { password: "wrong".into(), ..Options::default() };
    stranger.log_in(&options);
    stranger.expect_connection_error(403, "ACCESS_REFUSED - Login was refused");
    Client::connect(server.address()).close();
    let row = |protocol: &str, failed: u64, succeeded: u64| {
        json!({
            "protocol": protocol, "auth_attempts": failed + succeeded,
            "auth_attempts_failed": failed, "auth_attempts_succeeded": succeeded,
        })
    };
    // This one counts, too.
    assert_eq!(http.show(&path), json!([row("http", 3, 1), row("amqp091", 1, 1)]));
    assert_eq!(http.show(&format!("{path}/source")), json!([]));
    let metrics = String::from_utf8(http.get("/metrics").body).expect("it is text");
    let line = "rabbitmq_auth_attempts_failed_total{protocol=\"amqp091\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(http.get("/api/auth/attempts/another@node").status, 404);
}

#[test]
fn what_is_not_there_is_not_found_and_what_may_not_be_done_is_said() {
    let Some((_server, mut http)) = start() else { return };
    let not_found = ("Object Not Found".to_owned(), "Not Found".to_owned());
    for path in ["/api/nope", "/nope", "/api//queues", "/api/queues/nope", "/api/queues/%2F/nope"] {
        assert_eq!(http.get(path).error(404), not_found, "{path}");
    }
    let answer = http.ask("POST", "/api/whoami", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("HEAD, GET, OPTIONS")));
    let answer = http.ask_as("", "OPTIONS", "/api/users/x", "");
    assert_eq!(
        (answer.status, answer.header("allow")),
        (200, Some("HEAD, GET, PUT, DELETE, OPTIONS"))
    );
}
