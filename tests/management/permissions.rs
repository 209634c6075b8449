//! Who may do what: how is it set, and does it hold at once?

use serde_json::{Value, json};

use super::common::{Client, Options, Server, basic};
use super::http::{Http, start};

/// All rights in a vhost.
pub fn all() -> Value {
    json!({"configure": ".*", "write": ".*", "read": ".*"})
}

/// Makes something, or changes it.
pub fn put(http: &mut Http, path: &str, body: &Value) -> u16 {
    http.ask("PUT", path, &body.to_string()).status
}

pub fn delete(http: &mut Http, path: &str) -> u16 {
    http.ask("DELETE", path, "").status
}

/// Makes a user whose password is the name, with all rights on `/`.
pub fn user(http: &mut Http, name: &str) -> Options {
    let path = format!("/api/users/{name}");
    assert_eq!(put(http, &path, &json!({"password": name, "tags": ""})), 201);
    assert_eq!(put(http, &format!("/api/permissions/%2F/{name}"), &all()), 201);
    Options { user: name.into(), password: name.into(), ..Options::default() }
}

/// Connects, and opens channel 1.
pub fn connect(server: &Server, options: &Options) -> Client {
    let mut client = Client::connect_with(server.address(), options);
    client.open(1);
    client
}

#[test]
fn permissions_are_set_shown_and_taken_back() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({})), 201);
    let some = json!({"configure": "", "write": "^a", "read": ".*"});
    assert_eq!(put(&mut http, "/api/permissions/v/ann", &some), 201);
    let in_v = json!({"user": "ann", "vhost": "v", "configure": "", "write": "^a", "read": ".*"});
    assert_eq!(http.show("/api/permissions/v/ann"), in_v);
    assert_eq!(http.show("/api/vhosts/v/permissions"), json!([in_v]));
    assert_eq!(http.show("/api/users/ann/permissions").as_array().unwrap().len(), 2);
    let names = http.show("/api/permissions?sort=vhost&columns=user,vhost");
    let expected = json!([
        {"user": "ann", "vhost": "/"}, {"user": "guest", "vhost": "/"},
        {"user": "ann", "vhost": "v"},
    ]);
    assert_eq!(names, expected);
    assert_eq!(put(&mut http, "/api/permissions/v/ann", &all()), 204);
    assert_eq!(delete(&mut http, "/api/permissions/v/ann"), 204);
    assert_eq!(delete(&mut http, "/api/permissions/v/ann"), 404);
    assert_eq!(http.get("/api/permissions/v/ann").status, 404);
    assert_eq!(http.show("/api/vhosts/v/permissions"), json!([]));
    assert_eq!(http.get("/api/vhosts/nope/permissions").status, 404);
    assert_eq!(http.get("/api/users/nope/permissions").status, 404);
}

#[test]
fn what_is_wrong_with_permissions_is_said_and_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    let (ours, none) = ("/api/permissions/%2F/guest", "vhost_or_user_not_found");
    let missing = "[{key_missing,configure},{key_missing,write},{key_missing,read}]";
    let before = http.show(ours);
    for (path, body, reason) in [
        (ours, json!({}), missing),
        (ours, json!({"configure": "", "write": ""}), "[{key_missing,read}]"),
        (ours, json!({"configure": "", "write": "", "read": 5}), "read has to be a text"),
        ("/api/permissions/%2F/nope", all(), none),
        ("/api/permissions/nope/guest", all(), none),
    ] {
        let answer = http.ask("PUT", path, &body.to_string());
        assert_eq!(answer.error(400), ("bad_request".into(), reason.into()), "{path} {body}");
    }
    let broken = json!({"configure": "(", "write": "", "read": ""}).to_string();
    let reason = http.ask("PUT", ours, &broken).error(400).1;
    assert!(reason.starts_with("invalid_regexp: configure '('"), "{reason}");
    assert_eq!(http.ask("PUT", ours, "{bad").error(400).1, "not_json");
    assert_eq!(http.show(ours), before);
}

#[test]
fn topic_permissions_are_set_shown_and_taken_back() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    let path = "/api/topic-permissions/%2F/ann";
    assert_eq!(http.get(path).status, 404);
    let body = json!({"exchange": "amq.topic", "write": "^a", "read": ".*"});
    assert_eq!(put(&mut http, path, &body), 201);
    assert_eq!(put(&mut http, path, &body), 204);
    assert_eq!(put(&mut http, path, &json!({"exchange": "x", "write": "", "read": ""})), 201);
    let shown = json!({
        "user": "ann", "vhost": "/", "exchange": "amq.topic", "write": "^a", "read": ".*",
    });
    assert_eq!(http.show(path)[0], shown);
    for list in ["/api/topic-permissions", "/api/vhosts/%2F/topic-permissions"] {
        assert_eq!(http.show(list)[0], shown);
    }
    assert_eq!(http.show("/api/users/ann/topic-permissions").as_array().unwrap().len(), 2);
    assert_eq!(delete(&mut http, &format!("{path}/x")), 204);
    assert_eq!(http.show(path), json!([shown]));
    assert_eq!(delete(&mut http, path), 204);
    assert_eq!(delete(&mut http, path), 404);
    let missing = http.ask("PUT", path, "{}").error(400).1;
    assert_eq!(missing, "[{key_missing,exchange},{key_missing,write},{key_missing,read}]");
}

/// Routes that were remembered are asked for again.
#[test]
fn a_publisher_loses_his_right_at_once() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut client = connect(&server, &ann);
    let queue = client.queue(1);
    for _ in 0..3 {
        client.publish(1, "", &queue, "before");
    }
    client.round_trip(1);
    let only_read = json!({"configure": ".*", "write": "^other$", "read": ".*"});
    assert_eq!(put(&mut http, "/api/permissions/%2F/ann", &only_read), 204);
    client.publish(1, "", &queue, "after");
    client.expect_channel_error(1, 403, "refused for user 'ann'");
    client.open(2);
    assert_eq!(client.inspect(2, &queue).messages, 3);
}

#[test]
fn a_topic_permission_holds_at_once() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut client = connect(&server, &ann);
    client.publish(1, "amq.topic", "b.c", "before");
    client.round_trip(1);
    let body = json!({"exchange": "amq.topic", "write": "^a\\.", "read": ".*"});
    assert_eq!(put(&mut http, "/api/topic-permissions/%2F/ann", &body), 201);
    client.publish(1, "amq.topic", "b.c", "after");
    client.expect_channel_error(1, 403, "b.c");
}

/// He gets nothing more, is told so, and what he has goes to others.
#[test]
fn a_consumer_loses_his_right_at_once() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut guest = Client::connect(server.address());
    let queue = guest.durable_queue(1);
    let kept = guest.durable_queue(1);
    let mut client = connect(&server, &ann);
    let lost = client.consume(1, &queue);
    client.consume(1, &kept);
    guest.publish(1, "", &queue, "first");
    let first = client.expect_delivery(1).tag;
    let some = json!({"configure": ".*", "write": ".*", "read": format!("^{kept}$")});
    assert_eq!(put(&mut http, "/api/permissions/%2F/ann", &some), 204);
    guest.publish(1, "", &queue, "second");
    guest.publish(1, "", &kept, "still");
    guest.round_trip(1);
    let cancel = client.next(1);
    let leveret::amqp::Method::BasicCancel(basic::Cancel { consumer_tag, .. }) = cancel.method()
    else {
        panic!("basic.cancel expected, not {:?}", cancel.method())
    };
    assert_eq!(consumer_tag, lost.as_bytes());
    assert_eq!(client.expect_bodies(1, 1), ["still"]);
    client.round_trip(1);
    client.reject(1, first, true);
    client.round_trip(1);
    assert_eq!(guest.drain(1, &queue), ["first", "second"]);
    // What he may have again, he may consume again.
    assert_eq!(put(&mut http, "/api/permissions/%2F/ann", &all()), 204);
    client.consume(1, &queue);
    guest.publish(1, "", &queue, "third");
    assert_eq!(client.expect_bodies(1, 1), ["third"]);
}

#[test]
fn who_loses_the_vhost_loses_his_consumers_there() {
    let Some((server, mut http)) = start() else { return };
    let ann = user(&mut http, "ann");
    let mut client = connect(&server, &ann);
    let queue = client.queue(1);
    client.consume(1, &queue);
    assert_eq!(delete(&mut http, "/api/permissions/%2F/ann"), 204);
    assert!(matches!(client.next(1).method(), leveret::amqp::Method::BasicCancel(_)));
    Client::refused_at_open(
        server.address(),
        &ann,
        "NOT_ALLOWED - access to vhost '/' refused for user 'ann'",
    );
}
