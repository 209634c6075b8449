//! How do messages come in and go out over HTTP, and how are they looked at?

use serde_json::{Value, json};

use leveret::daemon::Config;

use super::common::{Client, PropertyList, Server, fields, persistent, word};
use super::http::{GUEST, Http, request, start};

const PUBLISH: &str = "/api/exchanges/%2F/amq.default/publish";

fn message(key: &str, payload: &str, properties: &Value) -> String {
    json!({
        "routing_key": key, "payload": payload, "payload_encoding": "string",
        "properties": properties,
    })
    .to_string()
}

fn get(http: &mut Http, queue: &str, count: i64, ackmode: &str) -> Vec<Value> {
    let body = json!({"count": count, "ackmode": ackmode, "encoding": "auto"}).to_string();
    let answer = http.ask("POST", &format!("/api/queues/%2F/{queue}/get"), &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().expect("a list").clone()
}

fn payloads(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["payload"].as_str().expect("a text")).collect()
}

#[test]
fn what_is_published_over_http_is_what_a_client_gets() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let properties = json!({
        "content_type": "text/plain", "headers": {"a": 1, "l": [1, "y"], "t": {"z": true}},
        "delivery_mode": 2, "priority": 3, "correlation_id": "c", "expiration": "60000",
        "timestamp": 1_700_000_000, "type": "t", "user_id": "guest", "unknown": 5,
    });
    let answer = http.ask("POST", PUBLISH, &message(&queue, "héllo", &properties));
    assert_eq!((answer.status, answer.json()), (200, json!({"routed": true})));
    let got = client.get(1, &queue).expect("it is there");
    let list = got.message.list();
    assert_eq!(got.message.body(), "héllo");
    assert_eq!((list.content_type, list.kind), (Some(&b"text/plain"[..]), Some(&b"t"[..])));
    assert_eq!((list.delivery_mode, list.priority), (Some(2), Some(3)));
    assert_eq!((list.expiration, list.timestamp), (Some(&b"60000"[..]), Some(1_700_000_000)));
    client.reject(1, got.tag, true);
    client.round_trip(1);
    // And back.
    let shown = &get(&mut http, &queue, 1, "ack_requeue_true")[0];
    let mut expected = properties.clone();
    expected.as_object_mut().expect("an object").remove("unknown");
    assert_eq!((&shown["properties"], &shown["payload_bytes"]), (&expected, &json!(6)));
    assert_eq!((&shown["exchange"], &shown["routing_key"]), (&json!(""), &json!(queue)));
    let answer = http.ask("POST", PUBLISH, &message("nobody", "x", &json!({})));
    assert_eq!(answer.json(), json!({"routed": false}));
}

#[test]
fn bodies_that_are_no_text_travel_in_base64() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let body = json!({
        "routing_key": queue, "payload": "AAH/", "payload_encoding": "base64", "properties": {},
    });
    assert_eq!(http.ask("POST", PUBLISH, &body.to_string()).status, 200);
    let shown = &get(&mut http, &queue, 1, "ack_requeue_true")[0];
    assert_eq!((&shown["payload"], &shown["payload_encoding"]), (&json!("AAH/"), &json!("base64")));
    assert_eq!(shown["properties"], json!([]), "as RabbitMQ says that there are none");
    assert_eq!(client.get(1, &queue).expect("it is there").message.body, [0, 1, 255]);
}

/// Large ones go to the log in parts, and come back truncated.
#[test]
fn a_large_body_is_published_whole_and_shown_in_part() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let payload: String = (0..400_000).map(|n| format!("{:05},", n % 100_000)).collect();
    let answer =
        http.ask("POST", PUBLISH, &message(&queue, &payload, &json!({"delivery_mode": 2})));
    assert_eq!(answer.json(), json!({"routed": true}));
    let shown = &get(&mut http, &queue, 1, "reject_requeue_true")[0];
    assert_eq!(shown["payload_bytes"], json!(payload.len()));
    let part = shown["payload"].as_str().expect("a text");
    assert!(part.len() == 1 << 20 && payload.starts_with(part));
    let body =
        json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 7});
    let answer = http.ask("POST", &format!("/api/queues/%2F/{queue}/get"), &body.to_string());
    assert_eq!(answer.json()[0]["payload"], json!("00000,0"));
    assert_eq!(client.get(1, &queue).expect("it is there").message.body, payload.as_bytes());
}

/// A long request is read in pieces, and refused in the words for a short one.
#[test]
fn a_long_request_is_read_like_a_short_one() {
    use base64::Engine;
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 1009 % 251) as u8).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let with = |payload: &str, encoding: &str, more: Value| {
        let mut body = json!({
            "routing_key": queue, "payload": payload, "payload_encoding": encoding,
            "properties": {"headers": {"payload": "another"}},
        });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("too"));
        body.to_string()
    };
    let text = "é\"\\\n".repeat(100_000);
    for (payload, encoding, body) in
        [(&encoded, "base64", &bytes[..]), (&text, "string", text.as_bytes())]
    {
        let answer = http.ask("POST", PUBLISH, &with(payload, encoding, json!({})));
        assert_eq!(answer.json(), json!({"routed": true}), "{answer:?}");
        let got = client.get(1, &queue).expect("it is there");
        assert!(got.message.body == body, "{encoding}");
    }
    let broken = format!("{}=={}", &encoded[..400_000], &encoded[..400_000]);
    let long = "x".repeat(200_000);
    for (body, reason) in [
        (with(&broken, "base64", json!({})), None),
        (with(&long, "nope", json!({})), Some(json!(["unsupported_encoding", "nope"]))),
        (with(&long, "string", json!({"payload": 5, "x": long})), None),
        (with(&long, "string", json!({"properties": 5})), None),
        (with(&long, "string", json!({"properties": {"app_id": long}})), None),
        (with(&long, "string", json!({})).replace("xxxx", "\\x"), Some(json!("not_json"))),
        (format!("{}}}", with(&long, "string", json!({}))), Some(json!("not_json"))),
        (format!("[{}]", with(&long, "string", json!({}))), Some(json!("payload_not_string"))),
    ] {
        let answer = http.ask("POST", PUBLISH, &body);
        assert_eq!(answer.status, 400, "{answer:?}");
        if let Some(reason) = reason {
            assert_eq!(answer.json()["reason"], reason);
        }
    }
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn what_is_wrong_with_a_publish_is_said_and_nothing_is_published() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let properties = |properties: Value| message(&queue, "x", &properties);
    let missing = "[{key_missing,routing_key},\n {key_missing,properties},\n \
                   {key_missing,payload},\n {key_missing,payload_encoding}]";
    let other = "406 PRECONDITION_FAILED - user_id property set to 'other' but authenticated user \
                 was 'guest'";
    let payload = |payload: Value, encoding: &str| {
        json!({
            "routing_key": queue, "payload": payload, "payload_encoding": encoding,
            "properties": {},
        })
        .to_string()
    };
    for (body, reason) in [
        ("{}".to_owned(), json!(missing)),
        ("{bad".to_owned(), json!("not_json")),
        (payload(json!(5), "string"), json!("payload_not_string")),
        (payload(json!("!!!"), "base64"), json!(["not_base64", "!!!"])),
        (payload(json!("x"), "nope"), json!(["unsupported_encoding", "nope"])),
        (properties(json!(5)), json!("properties has to be an object")),
        (properties(json!({"delivery_mode": "2"})), json!(["not_int", "delivery_mode"])),
        (properties(json!({"priority": 256})), json!(["not_int", "priority"])),
        (properties(json!({"timestamp": -1})), json!(["not_int", "timestamp"])),
        (properties(json!({"expiration": 5})), json!(["not_string", "expiration"])),
        (properties(json!({"headers": {"n": null}})), json!("null_not_allowed")),
        (
            properties(json!({"message_id": "x".repeat(256)})),
            json!("message_id has at most 255 bytes"),
        ),
        (
            properties(json!({"delivery_mode": 3})),
            json!("406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}"),
        ),
        (
            properties(json!({"expiration": "x"})),
            json!("406 PRECONDITION_FAILED - invalid expiration 'x': no_integer"),
        ),
        (properties(json!({"user_id": "other"})), json!(other)),
    ] {
        let answer = http.ask("POST", PUBLISH, &body);
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &reason), "{body}");
    }
    let answer = http.ask("POST", "/api/exchanges/%2F/nope/publish", &properties(json!({})));
    assert_eq!(answer.error(400).1, "404 NOT_FOUND - no exchange 'nope' in vhost '/'");
    let answer = http.ask("POST", "/api/exchanges/nope/x/publish", &properties(json!({})));
    assert_eq!(answer.error(401).1, "Access refused.");
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

/// A persistent message is promised once it is answered for; others wait for nothing.
#[test]
fn a_persistent_message_is_answered_once_it_is_on_disk() {
    let Some((server, mut http)) = start() else { return };
    let gate = server.gate().expect("it is ours");
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    gate.hold();
    let body = message(&queue, "kept", &json!({"delivery_mode": 2}));
    http.send(request(GUEST, "POST", PUBLISH, &body).as_bytes());
    while client.inspect(1, &queue).messages == 0 {}
    let mut other = Http::connect(server.management_address().expect("it is ours"));
    let answer = other.ask("POST", PUBLISH, &message(&queue, "lost", &json!({})));
    assert_eq!(answer.json(), json!({"routed": true}));
    http.expect_nothing_yet();
    gate.release();
    assert_eq!(http.answer().json(), json!({"routed": true}));
}

/// The disk of this broker is full on demand: publishes find room in two small segments.
#[test]
fn a_publish_waits_while_the_log_has_no_room() {
    let settings = Config { segment_bytes: 64 << 10, ..Config::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let (mut http, mut other) = (Http::connect(address), Http::connect(address));
    let gate = server.gate().expect("it is ours");
    server.wait_for_spare();
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    gate.hold();
    for _ in 0..40 {
        client.publish_with(1, "", &queue, &persistent(), &[7; 10_000]);
    }
    // Others are told while nothing can be published.
    while other.show("/api/connections?columns=state")[0]["state"] == json!("running") {}
    let body = message(&queue, "patient", &json!({"delivery_mode": 2}));
    http.send(request(GUEST, "POST", PUBLISH, &body).as_bytes());
    (0..20).for_each(|_| drop(other.show("/api/whoami")));
    http.expect_nothing_yet();
    gate.release();
    assert_eq!(http.answer().json(), json!({"routed": true}));
    client.round_trip(1);
    assert_eq!(client.inspect(1, &queue).messages, 41);
}

#[test]
fn what_is_got_and_goes_back_stands_where_it_was() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    for n in 0..300 {
        client.publish(1, "", &queue, &n.to_string());
    }
    client.round_trip(1);
    let all: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for ackmode in ["ack_requeue_true", "reject_requeue_true"] {
        let got = get(&mut http, &queue, 250, ackmode);
        assert_eq!(payloads(&got), all[..250], "{ackmode}");
        let counts: Vec<_> = got.iter().map(|one| one["message_count"].as_u64()).collect();
        assert_eq!((counts[0], counts[249]), (Some(299), Some(50)));
    }
    assert_eq!(http.show(&format!("/api/queues/%2F/{queue}"))["messages_ready"], json!(300));
    let got = get(&mut http, &queue, -1, "ack_requeue_true");
    assert_eq!((payloads(&got), got.len()), (all.iter().map(String::as_str).collect(), 300));
    assert_eq!((&got[249]["redelivered"], &got[250]["redelivered"]), (&json!(true), &json!(false)));
    let drained = client.drain(1, &queue);
    assert_eq!(drained, all);
}

/// As for a client that gets them, and RabbitMQ's tools show it.
#[test]
fn a_quorum_queue_says_how_often_a_message_was_got() {
    let Some((_server, mut http)) = start() else { return };
    let body = json!({
        "durable": true, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 1},
    });
    assert_eq!(http.ask("PUT", "/api/queues/%2F/q", &body.to_string()).status, 201);
    let properties = json!({"headers": {"a": 1}});
    http.ask("POST", PUBLISH, &message("q", "x", &properties));
    for count in 0..2 {
        let shown = &get(&mut http, "q", 1, "ack_requeue_true")[0];
        let expected = json!({"a": 1, "x-delivery-count": count});
        assert_eq!(shown["properties"]["headers"], expected);
    }
    // It was got too often.
    assert_eq!(get(&mut http, "q", 1, "ack_requeue_true"), Vec::<Value>::new());
}

#[test]
fn what_is_got_and_does_not_go_back_is_gone_or_dead() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let dead = client.shared_queue(1);
    let arguments =
        fields(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word(&dead))]);
    let queue = client.queue_with(1, arguments.table());
    // Over HTTP nobody sees another connection's queue.
    let body = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}).to_string();
    let answer = http.ask("POST", &format!("/api/queues/%2F/{queue}/get"), &body);
    assert!(answer.error(400).1.starts_with("405 RESOURCE_LOCKED"), "{answer:?}");
    let queue = client.durable_queue_with(1, arguments.table());
    (0..4).for_each(|n| client.publish(1, "", &queue, &n.to_string()));
    client.round_trip(1);
    assert_eq!(payloads(&get(&mut http, &queue, 2, "ack_requeue_false")), ["0", "1"]);
    assert_eq!(payloads(&get(&mut http, &queue, 1, "reject_requeue_false")), ["2"]);
    assert_eq!(client.inspect(1, &queue).messages, 1);
    client.wait_for_messages(1, &dead, 1);
    assert_eq!(client.drain(1, &dead), ["2"]);
    assert_eq!(payloads(&get(&mut http, &queue, 0, "ack_requeue_false")), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_get_is_said_and_takes_nothing() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    client.publish(1, "", &queue, "x");
    client.round_trip(1);
    let path = format!("/api/queues/%2F/{queue}/get");
    let with = |field: &str, value: Value| {
        let mut body = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
        body[field] = value;
        body.to_string()
    };
    let missing = "[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]";
    for (body, reason) in [
        ("{}".to_owned(), json!(missing)),
        (with("count", json!("x")), json!(["not_integer", "x"])),
        (with("truncate", json!("x")), json!(["not_integer", "x"])),
        (
            with("encoding", json!("nope")),
            json!("Unsupported encoding. Please use auto or base64."),
        ),
    ] {
        let answer = http.ask("POST", &path, &body);
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &reason), "{body}");
    }
    assert_eq!(http.ask("POST", &path, &with("ackmode", json!("nope"))).status, 400);
    let answer = http.ask("POST", "/api/queues/%2F/nope/get", &with("count", json!("1")));
    let reason = "NOT_FOUND - no queue 'nope' in vhost '/'";
    assert_eq!(answer.error(404), ("not_found".into(), reason.into()));
    assert_eq!(client.inspect(1, &queue).messages, 1);
}

/// Whoever goes away in the middle of an answer has taken nothing.
#[test]
fn an_answer_that_nobody_reads_gives_its_messages_back() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let body = "x".repeat(10_000);
    (0..600).for_each(|_| client.publish(1, "", &queue, &body));
    client.round_trip(1);
    let wanted = json!({"count": 600, "ackmode": "reject_requeue_false", "encoding": "auto"});
    let path = format!("/api/queues/%2F/{queue}/get");
    http.send(request(GUEST, "POST", &path, &wanted.to_string()).as_bytes());
    while client.inspect(1, &queue).messages == 600 {}
    drop(http);
    client.wait_for_messages(1, &queue, 600);
}

#[test]
fn who_looks_takes_nothing_and_marks_nothing() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let priorities = fields(&[("x-max-priority", super::common::Value::I64(5))]);
    let queue = client.durable_queue_with(1, priorities.table());
    for n in 0..6u8 {
        let properties = PropertyList { priority: Some(n % 2), ..Default::default() };
        client.publish_with(1, "", &queue, &properties, n.to_string().as_bytes());
    }
    client.round_trip(1);
    let path = format!("/api/queues/%2F/{queue}/browse");
    for _ in 0..2 {
        let seen = http.show(&format!("{path}?from=1&count=4"));
        let seen = seen.as_array().expect("a list");
        assert_eq!(payloads(seen), ["3", "5", "0", "2"], "in the order in which they are taken");
        let positions: Vec<_> = seen.iter().map(|one| one["position"].as_u64()).collect();
        assert_eq!(positions, [Some(1), Some(2), Some(3), Some(4)]);
        assert!(seen.iter().all(|one| one["redelivered"] == json!(false)));
    }
    assert_eq!(http.get(&format!("{path}?from=x")).status, 400);
    assert_eq!(http.show(&format!("{path}?from=6")), json!([]));
    let taken = client.take_all(1, &queue);
    assert!(taken.iter().all(|(_, redelivered)| !redelivered), "{taken:?}");
    // In a stream positions are offsets.
    let body = json!({"durable": true, "arguments": {"x-queue-type": "stream"}}).to_string();
    assert_eq!(http.ask("PUT", "/api/queues/%2F/seen", &body).status, 201);
    (0..5).for_each(|n| client.publish(1, "", "seen", &n.to_string()));
    client.round_trip(1);
    let seen = http.show("/api/queues/%2F/seen/browse?from=3&encoding=base64");
    assert_eq!((&seen[0]["payload"], &seen[1]["position"]), (&json!("Mw=="), &json!(4)));
}
