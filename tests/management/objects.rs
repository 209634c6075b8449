//! What is shown of vhosts, users and queues, and how are they made?

use serde_json::json;

use super::common::{Client, Options, unique};
use super::http::start;

#[test]
fn a_user_is_made_shown_and_changed_and_logs_in() {
    let Some((server, mut http)) = start() else { return };
    let put = http.ask("PUT", "/api/users/ann", r#"{"password": "secret", "tags": "a, b"}"#);
    assert_eq!((put.status, put.body.len()), (201, 0));
    let shown = http.show("/api/users/ann");
    assert_eq!((&shown["name"], &shown["tags"]), (&json!("ann"), &json!(["a", "b"])));
    assert_eq!(shown["hashing_algorithm"], json!("rabbit_password_hashing_sha256"));
    let hash = json!({"password_hash": shown["password_hash"], "tags": ["x"]}).to_string();
    assert_eq!(http.ask("PUT", "/api/users/bob", &hash).status, 201);
    assert_eq!(http.ask("PUT", "/api/users/ann", r#"{"password": "new", "tags": ""}"#).status, 204);
    assert_eq!(http.show("/api/users/ann")["tags"], json!([]));
    let (user, password) = ("bob".to_owned(), "secret".to_owned());
    let options = Options { user, password, ..Options::default() };
    Client::tuned(server.address(), &options);
    let names = http.show("/api/users?sort=name&sort_reverse=true&columns=name");
    assert_eq!(names, json!([{"name": "guest"}, {"name": "bob"}, {"name": "ann"}]));
}

#[test]
fn what_is_wrong_with_a_user_is_said() {
    let Some((_server, mut http)) = start() else { return };
    let twice = "both_password_and_password_hash_are_provided";
    let long = json!({"tags": "x".repeat(5000)}).to_string();
    for (body, reason) in [
        ("{bad", "not_json"),
        ("[]", "not_json"),
        ("{}", "tags_not_present"),
        (r#"{"tags": 5}"#, "tags has to be a text or a list of texts"),
        (r#"{"tags": "", "password": 5}"#, "password has to be a text"),
        (r#"{"tags": "", "password": "a", "password_hash": ""}"#, twice),
        (r#"{"tags": "", "password_hash": "bad!"}"#, "the password hash is not base64"),
        (&long, "tags have at most 4096 bytes together"),
    ] {
        let answer = http.ask("PUT", "/api/users/ann", body);
        assert_eq!(answer.error(400), ("bad_request".into(), reason.into()), "{body}");
    }
    // Nothing that is stored has a longer name.
    let path = format!("/api/users/{}", "n".repeat(256));
    assert_eq!(http.ask("PUT", &path, r#"{"tags": ""}"#).status, 400);
    assert_eq!(http.ask("PUT", "/api/users/%ff", r#"{"tags": ""}"#).status, 400);
    assert_eq!(http.get("/api/users/ann").status, 404);
}

#[test]
fn a_vhost_is_made_and_shown() {
    let Some((_server, mut http)) = start() else { return };
    assert_eq!(http.ask("PUT", "/api/vhosts/a%2Fb", "{}").status, 201);
    assert_eq!(http.ask("PUT", "/api/vhosts/a%2Fb", "").status, 204);
    assert_eq!(http.show("/api/vhosts/a%2Fb")["name"], json!("a/b"));
    assert_eq!(http.get("/api/vhosts/a/b").status, 404);
    let page = http.show("/api/vhosts?page=2&page_size=1&columns=name");
    assert_eq!(page["items"], json!([{"name": "a/b"}]));
    assert_eq!(page["page_count"], json!(2));
}

#[test]
fn a_queue_is_shown_with_what_is_in_it() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    (0..5).for_each(|_| client.publish(1, "", &queue, "body"));
    client.open(2);
    client.consume(2, &queue);
    client.expect_bodies(2, 5);
    client.round_trip(2);
    (0..2).for_each(|_| client.publish(1, "", &queue, "body"));
    client.round_trip(1);
    let shown = http.show(&format!("/api/queues/%2F/{queue}"));
    for (field, value) in [
        ("name", json!(queue)),
        ("vhost", json!("/")),
        ("type", json!("classic")),
        ("messages", json!(7)),
        ("messages_unacknowledged", json!(7)),
        ("messages_ready", json!(0)),
        ("consumers", json!(1)),
        ("state", json!("running")),
        ("policy", json!(null)),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    let overview = http.show("/api/overview?columns=queue_totals.messages,object_totals.queues");
    let expected = json!({"queue_totals": {"messages": 7}, "object_totals": {"queues": 1}});
    assert_eq!(overview, expected);
    let totals = &http.show("/api/overview")["object_totals"];
    assert_eq!(totals["connections"], json!(1), "HTTP connections do not count: {totals}");
}

#[test]
fn health_is_told() {
    let Some((_server, mut http)) = start() else { return };
    assert_eq!(http.show("/api/health/checks/alarms"), json!({"status": "ok"}));
    assert_eq!(http.show("/api/extensions"), json!([]));
    let ways = json!({
        "enable_uaa": false, "uaa_client_id": "", "uaa_location": "", "oauth_enabled": false,
    });
    assert_eq!(http.ask_as("", "GET", "/api/auth", "").json(), ways, "nobody has to log in for it");
    assert_eq!(http.show("/api/cluster-name"), json!({"name": "leveret@localhost"}));
    assert_eq!(http.show("/api/version")["product_name"], json!("RabbitMQ"));
    assert_eq!(http.get(&format!("/api/queues/%2F/{}", unique("gone"))).status, 404);
}
