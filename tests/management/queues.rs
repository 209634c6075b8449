//! How are queues made, shown and deleted over HTTP?

use serde_json::{Value, json};

use leveret::broker::arguments::policy::{ApplyTo, Policy};
use leveret::broker::users::pattern::Pattern;

use super::common::{Client, Server, TableBuf, Value as Field, fields, persistent, unique};
use super::http::{GUEST, Http, request, start};

#[test]
fn a_queue_is_made_once_and_is_what_was_asked_for() {
    let Some((server, mut http)) = start() else { return };
    let arguments = json!({
        "x-max-length": 7, "list": [1, "y", {"z": 2}], "half": 1.5, "flag": true,
        "x-queue-mode": "lazy",
    });
    let body = json!({"durable": true, "arguments": arguments, "node": null}).to_string();
    assert_eq!(http.ask("PUT", "/api/queues/%2F/a%2Fb", &body).status, 201);
    assert_eq!(http.ask("PUT", "/api/queues/%2F/a%2Fb", &body).status, 204);
    let shown = http.show("/api/queues/%2F/a%2Fb");
    assert_eq!((&shown["name"], &shown["durable"]), (&json!("a/b"), &json!(true)));
    assert_eq!((&shown["arguments"], &shown["exclusive"]), (&arguments, &json!(false)));
    let answer = http.ask("PUT", "/api/queues/%2F/a%2Fb", r#"{"durable": false}"#);
    let reason = "inequivalent arg 'durable' for queue 'a/b' in vhost '/': received 'false' but \
                  current is 'true'";
    assert_eq!(answer.error(400), ("bad_request".into(), reason.into()));
    // It is a queue like any other.
    let mut client = Client::connect(server.address());
    client.publish(1, "", "a/b", "x");
    assert_eq!(client.inspect(1, "a/b").messages, 1);
    // What is not said is false, and texts count.
    assert_eq!(http.ask("PUT", "/api/queues/%2F/c", r#"{"auto_delete": "true"}"#).status, 201);
    let shown = http.show("/api/queues/%2F/c?columns=durable,auto_delete,arguments");
    assert_eq!(shown, json!({"durable": false, "auto_delete": true, "arguments": {}}));
}

#[test]
fn what_is_wrong_with_a_queue_is_said_and_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    let kind = r#"{"durable": true, "arguments": {"x-queue-type": "nope"}}"#;
    for (body, reason) in [
        ("{bad", json!("not_json")),
        ("[]", json!("not_json")),
        (r#"{"durable": "x"}"#, json!(["not_boolean", "x"])),
        (r#"{"durable": 5}"#, json!(["not_boolean", 5])),
        (r#"{"auto_delete": {}}"#, json!(["not_boolean", {}])),
        (r#"{"arguments": 5}"#, json!("arguments has to be an object")),
        (r#"{"arguments": {"x": [null]}}"#, json!("null_not_allowed")),
        (r#"{"node": "nope@x"}"#, json!("Node nope@x could not be contacted")),
        (
            r#"{"arguments": {"x-message-ttl": "x"}}"#,
            json!(
                "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \"expected integer, got \
                 longstr\""
            ),
        ),
        (
            kind,
            json!(
                "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type \
                 'nope'\""
            ),
        ),
    ] {
        let answer = http.ask("PUT", "/api/queues/%2F/q", body);
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &reason), "{body}");
    }
    assert_eq!(http.show("/api/queues"), json!([]));
    assert_eq!(http.ask("PUT", "/api/queues/%2F/amq.x", "{}").error(401).1, "Access refused.");
    let answer = http.ask("PUT", "/api/queues/nope/q", "{}");
    assert_eq!(answer.error(404), ("not_found".into(), "vhost_not_found".into()));
    let path = format!("/api/queues/%2F/{}", "n".repeat(256));
    assert_eq!(http.ask("PUT", &path, "{}").status, 400);
}

#[test]
fn a_queue_is_deleted_unless_it_is_used_or_not_empty() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let path = format!("/api/queues/%2F/{queue}");
    let refused = |why: &str| format!("queue '{queue}' in vhost '/' {why}");
    client.publish(1, "", &queue, "x");
    client.round_trip(1);
    let answer = http.ask("DELETE", &format!("{path}?if-empty=true"), "");
    assert_eq!(answer.error(400), ("bad_request".into(), refused("not empty")));
    client.open(2);
    client.consume(2, &queue);
    client.expect_bodies(2, 1);
    let answer = http.ask("DELETE", &format!("{path}?if-unused=true&if-empty=true"), "");
    assert_eq!(answer.error(400), ("bad_request".into(), refused("in use")));
    assert_eq!(http.get(&path).status, 200);
    // What is delivered is not in it.
    assert_eq!(
        http.ask("DELETE", &format!("{path}?if-empty=true&if-unused=false"), "").status,
        204
    );
    assert_eq!(http.ask("DELETE", &path, "").status, 404);
    assert_eq!(http.get(&path).status, 404);
    let exclusive = client.queue(1);
    let answer = http.ask("DELETE", &format!("/api/queues/%2F/{exclusive}"), "");
    assert!(answer.error(400).1.contains("exclusive access"), "{answer:?}");
}

/// Whoever was told that a purge is over will not see the messages again, whatever happens.
#[test]
fn a_purge_is_answered_once_it_is_on_disk() {
    let Some((server, mut http)) = start() else { return };
    let gate = server.gate().expect("it is ours");
    let mut client = Client::with_confirms(server.address());
    let queue = client.durable_queue(1);
    (0..2).for_each(|_| client.publish_with(2, "", &queue, &persistent(), b"x"));
    client.expect_confirms(2, 1, 2);
    gate.hold();
    let path = format!("/api/queues/%2F/{queue}");
    http.send(request(GUEST, "DELETE", &format!("{path}/contents"), "").as_bytes());
    let mut other = Http::connect(server.management_address().expect("it is ours"));
    while other.show(&path)["messages"] != json!(0) {}
    http.expect_nothing_yet();
    gate.release();
    assert_eq!(http.answer().status, 204);
    assert_eq!(http.ask("DELETE", "/api/queues/%2F/nope/contents", "").status, 404);
    let body = r#"{"durable": true, "arguments": {"x-queue-type": "stream"}}"#;
    http.ask("PUT", "/api/queues/%2F/s", body);
    let answer = http.ask("DELETE", "/api/queues/%2F/s/contents", "");
    let reason = "queue.purge not supported by stream queues queue 's' in vhost '/'";
    assert_eq!(answer.error(400), ("bad_request".into(), reason.into()));
}

#[test]
fn mirrors_are_synchronised_if_there_are_any() {
    let Some((_server, mut http)) = start() else { return };
    http.ask("PUT", "/api/queues/%2F/q", "{}");
    let mut act = |body: &str| http.ask("POST", "/api/queues/%2F/q/actions", body);
    assert_eq!(act(r#"{"action": "sync"}"#).status, 204);
    assert_eq!(act(r#"{"action": "cancel_sync"}"#).status, 204);
    assert_eq!(act(r#"{"action": "nope"}"#).json()["reason"], json!(["unknown", "nope"]));
    assert_eq!(act("{}").error(400).1, "[{key_missing,action}]");
}

#[test]
fn a_queue_is_shown_with_its_policy_its_messages_and_its_consumers() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let alone = fields(&[("x-single-active-consumer", Field::Bool(true))]);
    let queue = client.durable_queue_with(1, alone.table());
    client.open(2);
    client.prefetch(2, 3);
    let first = client.consume_with_priority(2, &queue, 4);
    let second = client.consume(2, &queue);
    for n in 0..5 {
        client.publish(1, "", &queue, &n.to_string());
    }
    client.expect_bodies(2, 3);
    client.round_trip(1);
    let shown = http.show(&format!("/api/queues/%2F/{queue}"));
    for (field, value) in [
        ("messages", json!(5)),
        ("messages_ready", json!(2)),
        ("messages_unacknowledged", json!(3)),
        ("message_bytes_ready", json!(2)),
        ("consumers", json!(2)),
        ("single_active_consumer_tag", json!(first)),
        ("exclusive_consumer_tag", json!(null)),
        ("policy", json!(null)),
        ("effective_policy_definition", json!({})),
        ("head_message_timestamp", json!(null)),
        ("deliveries", json!([])),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    assert!(shown["memory"].as_u64() > Some(0) && shown["idle_since"].is_null(), "{shown}");
    let consumers = shown["consumer_details"].as_array().expect("a list");
    let field = |name: &str| consumers.iter().map(|one| one[name].clone()).collect::<Vec<Value>>();
    assert_eq!(field("consumer_tag"), [json!(first), json!(second)]);
    assert_eq!(field("active"), [json!(true), json!(false)]);
    assert_eq!(field("activity_status"), [json!("single_active"), json!("waiting")]);
    assert_eq!(field("prefetch_count"), [json!(3), json!(3)]);
    assert_eq!(field("ack_required"), [json!(true), json!(true)]);
    assert_eq!(consumers[0]["arguments"], json!({"x-priority": 4}));
    assert_eq!(consumers[0]["queue"], json!({"name": queue, "vhost": "/"}));
    assert_eq!(consumers[0]["channel_details"]["number"], json!(2));
    let all = http.show("/api/consumers/%2F?sort=consumer_tag&columns=consumer_tag");
    let mut tags = [first, second];
    tags.sort();
    assert_eq!(all, json!([{"consumer_tag": tags[0]}, {"consumer_tag": tags[1]}]));
}

/// Somebody sees whether a consumer works slowly or not at all.
#[test]
fn a_consumer_tells_for_how_long_it_has_held_messages_and_acknowledged_none() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    client.open(2);
    client.prefetch(2, 2);
    let tag = client.consume(2, &queue);
    let mut shown = || {
        let consumer =
            http.show(&format!("/api/queues/%2F/{queue}"))["consumer_details"][0].clone();
        let ages = ["awaiting_ack_ms", "last_ack_age_ms"].map(|field| consumer[field].as_u64());
        let long = http.show("/api/consumers?awaiting_ack_ms_min=20&sort=awaiting_ack_ms");
        let short = http.show("/api/consumers?awaiting_ack_ms_min=3600000");
        assert_eq!(short, json!([]), "nobody has waited for an hour");
        (ages, long.as_array().expect("a list").len())
    };
    assert_eq!(shown(), ([Some(0), None], 0), "it has nothing, and never had");
    for n in 0..3 {
        client.publish(1, "", &queue, &n.to_string());
    }
    let tags: Vec<u64> = (0..2).map(|_| client.expect_delivery(2).tag).collect();
    loop {
        let ([_, acked], listed) = shown();
        assert_eq!(acked, None, "it never acknowledged anything");
        if listed == 1 {
            break;
        }
    }
    client.ack(2, tags[0]);
    client.expect_delivery(2);
    let ([waited_since, acked], _) = shown();
    assert!(waited_since == acked && acked.is_some(), "{waited_since:?} {acked:?}");
    client.reject(2, tags[1], false);
    client.cancel(2, &tag);
    client.round_trip(2);
    assert_eq!(http.show("/api/consumers"), json!([]));
    for text in ["-1", "1.5", "soon"] {
        let path = format!("/api/consumers?awaiting_ack_ms_min={text}");
        assert!(http.get(&path).error(400).1.contains("milliseconds"), "{text}");
    }
}

#[test]
fn a_policy_is_shown_where_it_holds() {
    let policy = |name: &str, operator: bool, max: i64| Policy {
        vhost: "/".into(),
        name: name.into(),
        pattern: Pattern::of_policy("^q"),
        apply_to: ApplyTo::Queues,
        priority: 0,
        definition: {
            let mut definition = TableBuf::new();
            definition.put_i64(b"max-length", max);
            definition
        },
        operator,
    };
    let policies = [policy("short", false, 9), policy("cap", true, 5)];
    let prepared = Server::start_prepared(|broker| {
        policies.into_iter().for_each(|policy| broker.set_policy(policy).expect("it is good"));
    });
    let Some(server) = prepared else { return };
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    http.ask("PUT", "/api/queues/%2F/q", "{}");
    let shown = http.show("/api/queues/%2F/q");
    assert_eq!((&shown["policy"], &shown["operator_policy"]), (&json!("short"), &json!("cap")));
    assert_eq!(shown["effective_policy_definition"], json!({"max-length": 5}));
}

#[test]
fn quorum_queues_and_streams_have_members() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let node = http.show("/api/overview")["node"].clone();
    for kind in ["quorum", "stream"] {
        let name = unique(kind);
        let body = json!({"durable": true, "arguments": {"x-queue-type": kind}}).to_string();
        assert_eq!(http.ask("PUT", &format!("/api/queues/%2F/{name}"), &body).status, 201);
        client.publish(1, "", &name, "four");
        client.round_trip(1);
        let shown = http.show(&format!("/api/queues/%2F/{name}"));
        assert_eq!((&shown["type"], &shown["messages"]), (&json!(kind), &json!(1)), "{shown}");
        assert_eq!((&shown["leader"], &shown["message_bytes"]), (&node, &json!(4)));
        assert_eq!((&shown["members"], &shown["online"]), (&json!([node]), &json!([node])));
        assert_eq!(shown["messages_persistent"], json!(1));
    }
}

#[test]
fn without_stats_a_list_shows_what_was_declared_and_perhaps_the_totals() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    client.publish(1, "", &queue, "x");
    client.round_trip(1);
    let shown = http.show("/api/queues/%2F?disable_stats=true");
    let shown = shown[0].as_object().expect("an object");
    assert!(!shown.contains_key("messages") && !shown.contains_key("memory"), "{shown:?}");
    assert_eq!((&shown["name"], &shown["type"]), (&json!(queue), &json!("classic")));
    let shown = http.show("/api/queues/%2F?disable_stats=true&enable_queue_totals=true");
    assert_eq!((&shown[0]["messages"], &shown[0]["memory"]), (&json!(1), &json!(null)));
}
