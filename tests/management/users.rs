//! What becomes of users that are changed and deleted, and of their connections?

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::common::{Client, Options};
use super::http::{basic_login, granted, start};
use super::permissions::{connect, delete, put, user};

#[test]
fn a_deleted_user_is_gone_and_so_are_his_connections() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut guest = Client::connect(server.address());
    let queue = guest.durable_queue(1);
    let mut client = connect(&server, &ann);
    client.consume(1, &queue);
    guest.publish(1, "", &queue, "kept");
    client.expect_delivery(1);
    assert_eq!(delete(&mut http, "/api/users/ann"), 204);
    client.expect_connection_error(320, "CONNECTION_FORCED - user 'ann' is deleted");
    assert_eq!(delete(&mut http, "/api/users/ann"), 404);
    assert_eq!(http.get("/api/users/ann").status, 404);
    guest.wait_for_messages(1, &queue, 1);
    // Whoever gets his name has none of his rights.
    assert_eq!(put(&mut http, "/api/users/ann", &json!({"password": "ann", "tags": ""})), 201);
    assert_eq!(http.show("/api/users/ann/permissions"), json!([]));
    Client::refused_at_open(
        server.address(),
        &ann,
        "NOT_ALLOWED - access to vhost '/' refused for user 'ann'",
    );
    guest.round_trip(1);
}

/// As RabbitMQ before 3.6 made them, and as md5sum and base64 made this one.
#[test]
fn users_whose_passwords_were_hashed_with_md5_log_in_and_go_out_as_they_came() {
    let Some((server, mut http)) = start() else { return };
    let ann = json!({
        "name": "ann", "password_hash": "AQIDBHmvAOYqRbodfiBvtHuyhrY=",
        "hashing_algorithm": "rabbit_password_hashing_md5", "tags": ["administrator"],
    });
    let permission = json!({
        "user": "ann", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*",
    });
    let file = json!({"users": [ann], "permissions": [permission]}).to_string();
    assert_eq!(http.ask("POST", "/api/definitions", &file).status, 204);
    let right = basic_login("ann:old secret");
    assert_eq!(http.ask_as(&right, "GET", "/api/whoami", "").status, 200);
    assert_eq!(http.ask_as(&basic_login("ann:old"), "GET", "/api/whoami", "").status, 401);
    let (user, password) = ("ann".into(), "old secret".into());
    connect(&server, &Options { user, password, ..Options::default() }).round_trip(1);
    let shown = http.show("/api/definitions");
    let users = shown["users"].as_array().expect("a list");
    let shown = users.iter().find(|user| user["name"] == "ann").expect("she is there");
    for field in ["password_hash", "hashing_algorithm"] {
        assert_eq!(shown[field], ann[field]);
    }
    // A new password is hashed as all are now.
    assert_eq!(put(&mut http, "/api/users/ann", &json!({"password": "new", "tags": ""})), 204);
    let shown = http.show("/api/users/ann");
    assert_eq!(shown["hashing_algorithm"], "rabbit_password_hashing_sha256");
    for wrong in ["AAAA", &STANDARD.encode([0; 36])] {
        let file = json!({
            "password_hash": wrong, "hashing_algorithm": "rabbit_password_hashing_md5", "tags": "",
        });
        assert_eq!(put(&mut http, "/api/users/bob", &file), 400, "{wrong}");
    }
}

#[test]
fn several_are_deleted_or_none() {
    let Some((_server, mut http)) = start() else { return };
    for name in ["a", "b", "c"] {
        user(&mut http, name);
    }
    let mut several = |body: &str| http.ask("POST", "/api/users/bulk-delete", body);
    let answer = several(r#"{"users": ["a", "nope"]}"#);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["reason"], json!(["no_such_user", "nope"]));
    for wrong in [r#"{"users": "a"}"#, r#"{"users": [5]}"#, "{}", "[]"] {
        assert_eq!(several(wrong).status, 400, "{wrong}");
    }
    assert_eq!(several(r#"{"users": ["a", "b", "a"]}"#).status, 204);
    let left = http.show("/api/users?columns=name");
    assert_eq!(left, json!([{"name": "c"}, {"name": "guest"}]));
    assert_eq!(http.get("/api/users/bulk-delete").status, 405);
}

#[test]
fn those_without_permissions_are_listed() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    assert_eq!(put(&mut http, "/api/users/bob", &json!({"tags": "x"})), 201);
    let names = http.show("/api/users/without-permissions?columns=name");
    assert_eq!(names, json!([{"name": "bob"}]));
    assert_eq!(http.get("/api/users/without-permissions/").status, 200);
}

#[test]
fn a_changed_password_counts_for_the_next_login() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut client = connect(&server, &ann);
    assert_eq!(put(&mut http, "/api/users/ann", &json!({"password": "new", "tags": ""})), 204);
    client.round_trip(1);
    connect(&server, &Options { password: "new".into(), ..ann });
    let mut old = Client::raw(server.address());
    let options = Options { user: "ann".into(), password: "ann".into(), ..Options::default() };
    old.log_in(&options);
    old.expect_connection_error(403, "ACCESS_REFUSED");
}

#[test]
fn a_hash_is_of_the_password_and_logs_in() {
    let Some((server, mut http)) = start() else { return };
    let hash = http.show("/api/auth/hash_password/secret")["ok"].as_str().unwrap().to_owned();
    user(&mut http, "ann");
    let body = json!({"password_hash": hash, "tags": "management"});
    assert_eq!(put(&mut http, "/api/users/ann", &body), 204);
    let options = Options { user: "ann".into(), password: "secret".into(), ..Options::default() };
    connect(&server, &options);
    assert_ne!(http.show("/api/auth/hash_password/secret")["ok"], json!(hash), "it is salted");
    let mut post = |body: &str| http.ask("POST", "/api/auth/hash_password", body);
    assert!(post(r#"{"password": "secret"}"#).json()["ok"].is_string());
    assert_eq!(post(r#"{"password": 5}"#).error(400).1, "password has to be a text");
}

#[test]
fn limits_of_users_are_kept_and_act_at_once() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let path = "/api/user-limits/ann";
    let mut client = connect(&server, &ann);
    assert_eq!(put(&mut http, &format!("{path}/max-connections"), &json!({"value": 1})), 204);
    assert_eq!(put(&mut http, &format!("{path}/max-channels"), &json!({"value": 2})), 204);
    let shown = json!([{"user": "ann", "value": {"max-channels": 2, "max-connections": 1}}]);
    assert_eq!((http.show(path), http.show("/api/user-limits")), (shown.clone(), shown));
    Client::refused_at_open(
        server.address(),
        &ann,
        "NOT_ALLOWED - connection refused for user 'ann': user connection limit (1) is reached",
    );
    client.open(2);
    client.send(3, leveret::amqp::method::channel::Open {});
    client.expect_connection_error(530, "maximum allowed user limit of (2)");
    assert_eq!(delete(&mut http, &format!("{path}/max-channels")), 204);
    assert_eq!(http.show("/api/users/ann")["limits"], json!({"max-connections": 1}));
    assert_eq!(put(&mut http, &format!("{path}/max-connections"), &json!({"value": -1})), 204);
    assert_eq!(http.show(path), json!([]));
    let mut first = connect(&server, &ann);
    connect(&server, &ann);
    (2..6).for_each(|number| first.open(number));
}

#[test]
fn what_is_wrong_with_a_limit_is_said() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    let mut refused = |path: &str, body: &str| {
        let answer = http.ask("PUT", path, body);
        (answer.status, answer.json()["reason"].clone())
    };
    let number = "max-channels should be a number, actually was";
    let unknown = "Unrecognised terms [{<<\"max-nope\">>,1}] in";
    for (path, body, status, reason) in [
        ("/api/user-limits/ann/max-channels", "{}", 400, json!("[{key_missing,value}]")),
        (
            "/api/user-limits/ann/max-channels",
            r#"{"value": "x"}"#,
            400,
            json!(format!("{number} <<\"x\">>")),
        ),
        (
            "/api/user-limits/ann/max-nope",
            r#"{"value": 1}"#,
            400,
            json!(format!("{unknown} user-limits")),
        ),
        (
            "/api/user-limits/nope/max-channels",
            r#"{"value": 1}"#,
            400,
            json!(["no_such_user", "nope"]),
        ),
        (
            "/api/vhost-limits/%2F/max-queues",
            r#"{"value": 1.5}"#,
            400,
            json!("Validation failed\n\nmax-queues should be a number, actually was 1.5\n"),
        ),
        (
            "/api/vhost-limits/%2F/max-nope",
            r#"{"value": 1}"#,
            400,
            json!(format!("Validation failed\n\n{unknown} limits\n")),
        ),
        ("/api/vhost-limits/nope/max-queues", r#"{"value": 1}"#, 404, json!("vhost_not_found")),
    ] {
        assert_eq!(refused(path, body), (status, reason), "{path} {body}");
    }
    assert_eq!(http.show("/api/user-limits"), json!([]));
    assert_eq!(http.get("/api/user-limits/nope").status, 404);
    assert_eq!(http.get("/api/vhost-limits/nope").status, 404);
}

/// Also what is deleted, and what nobody closed in an orderly way.
#[test]
fn everything_of_users_survives_a_kill() {
    let Some(mut node) = super::common::Node::start() else { return };
    let client = node.connect();
    for (method, path, body) in [
        ("PUT", "/api/users/ann", r#"{"password": "x", "tags": "a,b"}"#),
        ("PUT", "/api/users/bob", r#"{"password": "x", "tags": ""}"#),
        ("PUT", "/api/permissions/%2F/ann", r#"{"configure": "a", "write": "b", "read": "c"}"#),
        (
            "PUT",
            "/api/topic-permissions/%2F/ann",
            r#"{"exchange": "x", "write": "b", "read": "{username}"}"#,
        ),
        ("PUT", "/api/user-limits/ann/max-channels", r#"{"value": 7}"#),
        ("DELETE", "/api/users/bob", ""),
    ] {
        granted(&node, method, path, body);
    }
    let lists = ["/api/users", "/api/permissions", "/api/topic-permissions", "/api/user-limits"];
    let before = lists.map(|list| granted(&node, "GET", list, ""));
    node.restart(super::common::End::Kill, client);
    assert_eq!(lists.map(|list| granted(&node, "GET", list, "")), before);
}
