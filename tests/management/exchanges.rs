//! How are exchanges and bindings made, shown and deleted over HTTP?

use serde_json::{Value, json};

use super::common::{Client, unique};
use super::http::{GUEST, Http, request, start};

#[test]
fn an_exchange_is_made_once_and_is_what_was_asked_for() {
    let Some((server, mut http)) = start() else { return };
    let body = json!({
        "type": "topic", "durable": true, "arguments": {"alternate-exchange": "amq.fanout"},
    });
    let path = "/api/exchanges/%2F/x";
    assert_eq!(http.ask("PUT", path, &body.to_string()).status, 201);
    assert_eq!(http.ask("PUT", path, &body.to_string()).status, 204);
    let shown = http.show(path);
    for (field, value) in [
        ("name", json!("x")),
        ("vhost", json!("/")),
        ("type", json!("topic")),
        ("durable", json!(true)),
        ("auto_delete", json!(false)),
        ("internal", json!(false)),
        ("arguments", json!({"alternate-exchange": "amq.fanout"})),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    let answer = http.ask("PUT", path, r#"{"type": "direct", "durable": true}"#);
    let reason = "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'direct' but \
                  current is 'topic'";
    assert_eq!(answer.error(400), ("bad_request".into(), reason.into()));
    assert_eq!(http.ask("PUT", "/api/exchanges/%2F/y", "").status, 201);
    let shown = http.show("/api/exchanges/%2F/y?columns=type,durable");
    assert_eq!(shown, json!({"type": "direct", "durable": false}));
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    client.bind(1, &queue, "x", "a.#");
    client.publish(1, "x", "a.b", "routed");
    assert_eq!(client.drain(1, &queue), ["routed"]);
    let names = http.show("/api/exchanges/%2F?sort=name&columns=name");
    let names: Vec<_> = names.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!((names.len(), names[0]), (9, &json!("")), "{names:?}");
    assert_eq!(http.show("/api/exchanges/%2F/amq.default")["name"], json!(""));
}

#[test]
fn what_is_wrong_with_an_exchange_is_said_and_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    for (body, reason) in [
        (r#"{"type": "nope"}"#, json!("unknown exchange type 'nope'")),
        (r#"{"type": 5}"#, json!(["not_string", "type"])),
        (r#"{"durable": "nope"}"#, json!(["not_boolean", "nope"])),
        (r#"{"internal": 5}"#, json!(["not_boolean", 5])),
        (r#"{"arguments": 5}"#, json!("arguments has to be an object")),
        (
            r#"{"arguments": {"alternate-exchange": 5}}"#,
            json!("invalid type 'long' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"),
        ),
    ] {
        let answer = http.ask("PUT", "/api/exchanges/%2F/x", body);
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &reason), "{body}");
    }
    assert_eq!(http.get("/api/exchanges/%2F/x").status, 404);
    for name in ["amq.zz", "amq.default"] {
        let answer = http.ask("PUT", &format!("/api/exchanges/%2F/{name}"), "{}");
        assert_eq!(answer.error(401).1, "Access refused.", "{name}");
    }
    for name in ["amq.direct", "amq.default"] {
        let answer = http.ask("DELETE", &format!("/api/exchanges/%2F/{name}"), "");
        assert_eq!(answer.error(401).1, "Access refused.", "{name}");
    }
    let answer = http.ask("PUT", "/api/exchanges/nope/x", "{}");
    assert_eq!(answer.error(404), ("not_found".into(), "vhost_not_found".into()));
}

#[test]
fn an_exchange_is_deleted_unless_something_is_bound_to_it() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (queue, exchange) = (client.queue(1), client.exchange(1, "direct"));
    client.bind(1, &queue, &exchange, "k");
    let path = format!("/api/exchanges/%2F/{exchange}");
    let answer = http.ask("DELETE", &format!("{path}?if-unused=true"), "");
    assert_eq!(answer.error(400).1, format!("exchange '{exchange}' in vhost '/' in use"));
    assert_eq!(http.ask("DELETE", &path, "").status, 204);
    assert_eq!(http.ask("DELETE", &path, "").status, 404);
    assert_eq!(
        http.show(&format!("/api/queues/%2F/{queue}/bindings")).as_array().map(Vec::len),
        Some(1)
    );
}

/// What was answered for lasts: definitions are on disk by then.
#[test]
fn a_binding_is_answered_for_once_it_is_on_disk() {
    let Some((server, mut http)) = start() else { return };
    let gate = server.gate().expect("it is ours");
    let mut other = Http::connect(server.management_address().expect("it is ours"));
    http.ask("PUT", "/api/queues/%2F/q", r#"{"durable": true}"#);
    gate.hold();
    let path = "/api/bindings/%2F/e/amq.direct/q/q";
    http.send(request(GUEST, "POST", path, r#"{"routing_key": "k"}"#).as_bytes());
    while other.show(path) == json!([]) {}
    http.expect_nothing_yet();
    gate.release();
    let answer = http.answer();
    assert_eq!((answer.status, answer.header("location")), (201, Some("q/k")));
}

#[test]
fn a_binding_is_found_again_by_the_key_that_its_maker_was_told() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = unique("a/b");
    let name = queue.replace('/', "%2F");
    http.ask("PUT", &format!("/api/queues/%2F/{name}"), "{}");
    http.ask("PUT", "/api/exchanges/%2F/x", r#"{"type": "headers"}"#);
    let path = format!("/api/bindings/%2F/e/x/q/{name}");
    let bindings = [
        json!({}),
        json!({"routing_key": "rk"}),
        json!({"routing_key": "~"}),
        json!({"routing_key": "a/b~c é#%"}),
        json!({"routing_key": "rk", "arguments": {"k": "v", "x-match": "any"}}),
        json!({"routing_key": "rk", "arguments": {"k": "w", "x-match": "any"}}),
        json!({"routing_key": "", "arguments": {"k": 1}}),
    ];
    for (number, binding) in bindings.iter().enumerate() {
        let answer = http.ask("POST", &path, &binding.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        // Twice is once.
        assert_eq!(http.ask("POST", &path, &binding.to_string()).status, 201);
        assert_eq!(http.show(&path).as_array().map(Vec::len), Some(number + 1));
        let location = answer.header("location").expect("it is told").to_owned();
        let shown = http.show(&format!("/api/bindings/%2F/e/x/q/{location}"));
        let empty = json!({});
        assert_eq!(shown["arguments"], *binding.get("arguments").unwrap_or(&empty), "{location}");
        let key = binding["routing_key"].as_str().unwrap_or_default();
        assert_eq!((&shown["routing_key"], &shown["source"]), (&json!(key), &json!("x")));
        assert_eq!((&shown["destination"], &shown["vhost"]), (&json!(queue), &json!("/")));
        if number % 2 == 0 {
            assert_eq!(http.get(&format!("{path}/nope")).status, 404);
        }
    }
    let all = http.show(&path);
    let keys: Vec<&Value> =
        all.as_array().expect("a list").iter().map(|one| &one["properties_key"]).collect();
    assert_eq!(
        keys[..4],
        [&json!("~"), &json!("rk"), &json!("%7E"), &json!("a%2Fb%7Ec+%C3%A9%23%25")]
    );
    for key in keys {
        let key = key.as_str().expect("a text").replace('%', "%25");
        assert_eq!(http.ask("DELETE", &format!("{path}/{key}"), "").status, 204, "{key}");
        assert_eq!(http.ask("DELETE", &format!("{path}/{key}"), "").status, 404, "{key}");
    }
    assert_eq!(http.show(&path), json!([]));
    assert_eq!(client.inspect(1, &queue).messages, 0);
}

#[test]
fn bindings_are_listed_by_their_ends_and_the_default_exchange_has_one_for_each_queue() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (one, other) = (client.queue(1), client.queue(1));
    let (source, target) = (client.exchange(1, "direct"), client.exchange(1, "fanout"));
    client.bind(1, &one, &source, "a");
    client.bind(1, &other, &source, "b");
    client.bind_exchange(1, &target, &source, "c");
    let mut count = |path: &str| http.show(path).as_array().map(Vec::len);
    for (path, expected) in [
        ("bindings".to_owned(), 5),
        ("bindings/%2F".to_owned(), 5),
        (format!("queues/%2F/{one}/bindings"), 2),
        (format!("exchanges/%2F/{source}/bindings/source"), 3),
        (format!("exchanges/%2F/{source}/bindings/destination"), 0),
        (format!("exchanges/%2F/{target}/bindings/destination"), 1),
        ("exchanges/%2F/amq.default/bindings/source".to_owned(), 2),
        (format!("bindings/%2F/e/amq.default/q/{one}"), 1),
        (format!("bindings/%2F/e/{source}/q/{one}"), 1),
        (format!("bindings/%2F/e/{source}/e/{target}"), 1),
        (format!("bindings/%2F/e/{target}/q/{one}"), 0),
        (format!("bindings/%2F/e/nope/q/{one}"), 0),
        (format!("bindings/%2F/e/{source}/q/nope"), 0),
    ] {
        assert_eq!(count(&format!("/api/{path}")), Some(expected), "{path}");
    }
    let shown = http.show(&format!("/api/bindings/%2F/e/amq.default/q/{one}/{one}"));
    assert_eq!((&shown["source"], &shown["routing_key"]), (&json!(""), &json!(one)));
    let answer = http.ask("DELETE", &format!("/api/bindings/%2F/e/amq.default/q/{one}/{one}"), "");
    assert_eq!(answer.error(401).1, "Access refused.");
    let page = http.show("/api/bindings?page=1&page_size=2&sort=routing_key&sort_reverse=true");
    assert_eq!((&page["total_count"], &page["items"][0]["routing_key"]), (&json!(5), &json!("c")));
}

#[test]
fn what_is_wrong_with_a_binding_is_said() {
    let Some((_server, mut http)) = start() else { return };
    http.ask("PUT", "/api/queues/%2F/q", "{}");
    let mut bind = |ends: &str, body: &str| {
        let answer = http.ask("POST", &format!("/api/bindings/%2F/{ends}"), body);
        (answer.status, answer.json()["reason"].clone())
    };
    let (fine, to_q) = (r#"{"routing_key": "k"}"#, "e/amq.direct/q/q");
    let match_error =
        "Invalid x-match field value <<\"nope\">>; expected all, any, all-with-x, or any-with-x";
    for (ends, body, expected) in [
        ("e/nope/q/q", fine, (404, json!("no exchange 'nope' in vhost '/'"))),
        ("e/amq.direct/q/nope", fine, (404, json!("no queue 'nope' in vhost '/'"))),
        ("e/amq.default/q/q", fine, (401, json!("Access refused."))),
        (to_q, "{bad", (400, json!("not_json"))),
        (to_q, r#"{"routing_key": 5}"#, (400, json!(["not_string", "routing_key"]))),
        (to_q, r#"{"arguments": "x"}"#, (400, json!("arguments has to be an object"))),
        ("e/amq.headers/q/q", r#"{"arguments": {"x-match": "nope"}}"#, (400, json!(match_error))),
    ] {
        assert_eq!(bind(ends, body), expected, "{ends} {body}");
    }
    assert_eq!(http.show("/api/bindings").as_array().map(Vec::len), Some(1));
}

/// The names in a list of an answer.
fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    let mut names: Vec<_> = list.iter().map(|one| one["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names
}

#[test]
fn where_a_message_would_go_is_told_and_nothing_is_published() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let [one, other, rest] = [(); 3].map(|()| client.queue(1));
    let body = json!({ "type": "topic", "arguments": { "alternate-exchange": "else" } });
    assert_eq!(http.ask("PUT", "/api/exchanges/%2F/a%2Fb", &body.to_string()).status, 201);
    assert_eq!(http.ask("PUT", "/api/exchanges/%2F/else", r#"{"type": "fanout"}"#).status, 201);
    let next = client.exchange(1, "direct");
    let body = r#"{"routing_key": "order.#"}"#;
    let bound = http.ask("POST", &format!("/api/bindings/%2F/e/a%2Fb/e/{next}"), body);
    assert_eq!(bound.status, 201);
    client.bind(1, &one, "a/b", "order.*");
    client.bind(1, &other, &next, "order.eu");
    client.bind(1, &rest, "else", "");
    let mut ask =
        |key: &str| http.show(&format!("/api/exchanges/%2F/a%2Fb/route?routing_key={key}"));
    for (key, queues, exchanges) in [
        ("order.eu", vec![&one, &other], vec!["a/b", &next]),
        ("order.us", vec![&one], vec!["a/b", &next]),
        ("order.eu.9", vec![], vec!["a/b", &next]),
        ("mail", vec![&rest], vec!["a/b", "else"]),
    ] {
        let (mut queues, mut exchanges) = (queues, exchanges);
        queues.sort_unstable();
        exchanges.sort_unstable();
        let told = ask(key);
        assert_eq!(names(&told["queues"]), queues, "{key}: {told}");
        assert_eq!(names(&told["exchanges"]), exchanges, "{key}: {told}");
        assert_eq!(told["queue_count"], queues.len(), "{told}");
        assert_eq!(
            (&told["certain"], &told["exchanges"][0]["type"]),
            (&json!(true), &json!("topic"))
        );
    }
    let told = http.show(&format!("/api/exchanges/%2F/amq.default/route?routing_key={one}"));
    assert_eq!(names(&told["queues"]), [&one]);
    for queue in [&one, &other, &rest] {
        assert_eq!(client.drain(1, queue), [""; 0], "{queue}");
    }
    let shown = http.show("/api/exchanges/%2F/a%2Fb");
    assert_eq!(shown.get("message_stats"), None, "{shown}");
}

#[test]
fn headers_have_their_say_in_where_a_message_would_go() {
    let Some((_server, mut http)) = start() else { return };
    let [large, copied] = ["large", "copied"];
    for queue in [large, copied] {
        assert_eq!(http.ask("PUT", &format!("/api/queues/%2F/{queue}"), "{}").status, 201);
    }
    let path = format!("/api/bindings/%2F/e/amq.headers/q/{large}");
    let body = r#"{"arguments": {"x-match": "all", "size": "large", "sort": 5}}"#;
    let bound = http.ask("POST", &path, body);
    assert_eq!(bound.status, 201, "{bound:?}");
    let mut ask = |exchange: &str, body: &Value| {
        let path = format!("/api/exchanges/%2F/{exchange}/route");
        let answer = http.ask("POST", &path, &body.to_string());
        assert_eq!(answer.status, 200, "{body}");
        answer.json()
    };
    let told = ask("amq.headers", &json!({ "headers": { "size": "large", "sort": 5 } }));
    assert_eq!(names(&told["queues"]), [large]);
    let told = ask("amq.headers", &json!({ "headers": { "size": "large" } }));
    assert_eq!(names(&told["queues"]), [""; 0]);
    let told = ask("amq.headers", &json!({}));
    assert_eq!((names(&told["queues"]), &told["queue_count"]), (vec![], &json!(0)));
    let body = json!({ "routing_key": "nobody", "headers": { "CC": [copied, "nobody"] } });
    let told = ask("amq.default", &body);
    assert_eq!(names(&told["queues"]), [copied]);
}

#[test]
fn where_chance_or_a_property_decides_that_is_said() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queues = [(); 2].map(|()| client.queue(1));
    for (kind, arguments, certain) in [
        ("x-random", json!({}), false),
        ("x-consistent-hash", json!({ "hash-property": "message_id" }), false),
        ("x-consistent-hash", json!({ "hash-header": "who" }), true),
        ("x-consistent-hash", json!({}), true),
        ("x-delayed-message", json!({ "x-delayed-type": "x-random" }), false),
    ] {
        let name = unique("x");
        let body = json!({ "type": kind, "arguments": arguments }).to_string();
        assert_eq!(http.ask("PUT", &format!("/api/exchanges/%2F/{name}"), &body).status, 201);
        queues.iter().for_each(|queue| client.bind(1, queue, &name, "1"));
        let told = http.show(&format!("/api/exchanges/%2F/{name}/route?routing_key=k"));
        assert_eq!(
            (&told["certain"], &told["queue_count"]),
            (&json!(certain), &json!(1)),
            "{told}"
        );
    }
}

#[test]
fn who_may_not_publish_is_not_told_where_it_would_go() {
    let Some((_server, mut http)) = start() else { return };
    for (path, body) in [
        ("/api/exchanges/%2F/inner", r#"{"type": "fanout", "internal": true}"#),
        ("/api/users/u", r#"{"password": "p", "tags": "management"}"#),
        ("/api/permissions/%2F/u", r#"{"configure": "", "write": "^amq.topic$", "read": ".*"}"#),
        (
            "/api/topic-permissions/%2F/u",
            r#"{"exchange": "amq.topic", "write": "^eu", "read": ""}"#,
        ),
    ] {
        let answer = http.ask("PUT", path, body);
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
    }
    let user = "Authorization: Basic dTpw\r\n";
    let route =
        |name: &str, key: &str| format!("/api/exchanges/%2F/{name}/route?routing_key={key}");
    assert_eq!(http.ask_as(user, "GET", &route("amq.topic", "eu.x"), "").status, 200);
    for (name, key) in [("amq.topic", "us.x"), ("amq.direct", "eu.x"), ("amq.default", "eu.x")] {
        let answer = http.ask_as(user, "GET", &route(name, key), "");
        assert_eq!(answer.status, 401, "{name} {key}");
    }
    for (path, status) in [
        (route("inner", ""), 401),
        (route("nope", ""), 404),
        (route("amq.topic", &"k".repeat(256)), 400),
        ("/api/exchanges/nope/x/route".to_owned(), 404),
    ] {
        assert_eq!(http.get(&path).status, status, "{path}");
    }
    for body in ["[]", r#"{"headers": 5}"#, r#"{"routing_key": 5}"#] {
        let answer = http.ask("POST", "/api/exchanges/%2F/amq.topic/route", body);
        assert_eq!(answer.status, 400, "{body}");
    }
}

#[test]
fn of_very_many_queues_a_thousand_are_named_and_all_are_counted() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    for _ in 0..1_001 {
        let queue = client.queue(1);
        client.bind(1, &queue, "amq.fanout", "");
    }
    let told = http.show("/api/exchanges/%2F/amq.fanout/route");
    assert_eq!((names(&told["queues"]).len(), &told["queue_count"]), (1_000, &json!(1_001)));
}
