//! What is said of vhosts, and what becomes of everything in one that is deleted?

use serde_json::json;

use super::common::{Client, Node, Options, queue};
use super::http::{GUEST, Http, granted, request, start};
use super::permissions::{all, connect, delete, put};

/// Makes a vhost in which guest may do everything.
fn vhost(http: &mut Http, name: &str) -> Options {
    assert_eq!(put(http, &format!("/api/vhosts/{name}"), &json!({})), 201);
    assert_eq!(put(http, &format!("/api/permissions/{name}/guest"), &all()), 201);
    Options { vhost: name.into(), ..Options::default() }
}

#[test]
fn what_is_said_of_a_vhost_is_kept_where_nothing_else_is_said() {
    let Some((_server, mut http)) = start() else { return };
    let body = json!({
        "description": "for tests", "tags": "a, b", "default_queue_type": "quorum",
        "tracing": true,
    });
    assert_eq!(put(&mut http, "/api/vhosts/v", &body), 201);
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({"tags": ["c"]})), 204);
    let shown = http.show("/api/vhosts/v?disable_stats=true");
    let node = shown["cluster_state"].as_object().unwrap().keys().next().unwrap().clone();
    let expected = json!({
        "name": "v", "description": "for tests", "tags": ["c"], "default_queue_type": "quorum",
        "metadata": {"description": "for tests", "tags": ["c"], "default_queue_type": "quorum"},
        "tracing": true, "cluster_state": {node: "running"}, "protected_from_deletion": false,
    });
    assert_eq!(shown, expected);
    assert_eq!(http.show("/api/vhosts/%2F")["default_queue_type"], json!("undefined"));
}

#[test]
fn what_is_wrong_with_a_vhost_is_said_and_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    let long = json!({"description": "x".repeat(20_000)});
    for wrong in [
        json!({"description": 5}),
        json!({"tags": 5}),
        json!({"tags": [5]}),
        json!({"default_queue_type": "nope"}),
        json!({"tracing": "perhaps"}),
        long,
    ] {
        assert_eq!(put(&mut http, "/api/vhosts/v", &wrong), 400, "{wrong}");
    }
    assert_eq!(http.get("/api/vhosts/v").status, 404);
    assert_eq!(delete(&mut http, "/api/vhosts/v"), 404);
}

#[test]
fn queues_without_a_type_get_the_vhosts() {
    let Some((server, mut http)) = start() else { return };
    let options = vhost(&mut http, "v");
    let mut client = connect(&server, &options);
    let durable = |name| queue::Declare { queue: name, durable: true, ..Default::default() };
    client.call::<super::common::DeclareOk>(1, durable(b"old"));
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({"default_queue_type": "quorum"})), 204);
    client.call::<super::common::DeclareOk>(1, durable(b"new"));
    let transient = queue::Declare { queue: b"brief", ..Default::default() };
    client.call::<super::common::DeclareOk>(1, transient);
    // What was there, and what is there now, may be declared again as they were.
    for name in [&b"old"[..], b"new"] {
        client.call::<super::common::DeclareOk>(1, durable(name));
    }
    let types = http.show("/api/queues/v?sort=name&columns=name,type");
    let expected = json!([
        {"name": "brief", "type": "classic"}, {"name": "new", "type": "quorum"},
        {"name": "old", "type": "classic"},
    ]);
    assert_eq!(types, expected);
    let arguments = http.show("/api/queues/v/new?columns=arguments");
    assert_eq!(arguments["arguments"], json!({"x-queue-type": "quorum"}));
}

#[test]
fn a_deleted_vhost_is_gone_with_everything_in_it() {
    let Some((server, mut http)) = start() else { return };
    let options = vhost(&mut http, "v");
    let mut client = connect(&server, &options);
    let mut other = Client::connect(server.address());
    client.send(1, queue::Declare { queue: b"q", durable: true, ..Default::default() });
    client.expect::<super::common::DeclareOk>(1);
    client.bind(1, "q", "amq.topic", "#");
    client.publish(1, "amq.topic", "a", "body");
    let consumed = client.queue(1);
    client.consume(1, &consumed);
    let policy = json!({"pattern": "", "definition": {"max-length": 5}});
    assert_eq!(put(&mut http, "/api/policies/v/p", &policy), 201);
    let limits = json!({"value": 10});
    assert_eq!(put(&mut http, "/api/vhost-limits/v/max-queues", &limits), 204);
    let topic = json!({"exchange": "amq.topic", "write": "", "read": ""});
    assert_eq!(put(&mut http, "/api/topic-permissions/v/guest", &topic), 201);
    client.round_trip(1);
    assert_eq!(delete(&mut http, "/api/vhosts/v"), 204);
    client.expect_connection_error(320, "CONNECTION_FORCED - vhost 'v' is deleted");
    other.round_trip(1);
    assert_eq!(http.get("/api/vhosts/v").status, 404);
    assert_eq!(http.show("/api/queues"), json!([]));
    assert_eq!(http.show("/api/policies"), json!([]));
    let left = http.show("/api/permissions?columns=vhost");
    assert_eq!(left, json!([{"vhost": "/"}]));
    assert_eq!(http.show("/api/topic-permissions"), json!([]));
    Client::refused_at_open(server.address(), &options, "NOT_ALLOWED - vhost v not found");
    // A new one of that name has nothing of it.
    vhost(&mut http, "v");
    let mut client = connect(&server, &options);
    client.refused(1, super::common::passive("q"), 404, "no queue 'q' in vhost 'v'");
    assert_eq!(http.show("/api/vhost-limits/v"), json!([]));
    assert_eq!(http.show("/api/policies/v"), json!([]));
}

/// One of the same name that is asked for meanwhile waits, and then has nothing of the old one.
#[test]
fn a_vhost_that_is_made_again_at_once_inherits_nothing() {
    let Some((server, mut http)) = start() else { return };
    let options = vhost(&mut http, "v");
    let mut client = connect(&server, &options);
    for number in 0..3_000 {
        let name = format!("q{number}");
        let declare = queue::Declare {
            queue: name.as_bytes(),
            durable: true,
            nowait: true,
            ..Default::default()
        };
        client.send(1, declare);
    }
    client.round_trip(1);
    let mut again = Http::connect(server.management_address().expect("it is ours"));
    http.send(request(GUEST, "DELETE", "/api/vhosts/v", "").as_bytes());
    // It is found no more from the first moment on.
    while again.get("/api/vhosts/v").status != 404 {}
    assert_eq!(put(&mut again, "/api/vhosts/v", &json!({"description": "new"})), 201);
    assert_eq!(http.answer().status, 204);
    assert_eq!(put(&mut again, "/api/permissions/v/guest", &all()), 201);
    assert_eq!(http.show("/api/queues/v"), json!([]));
    assert_eq!(http.show("/api/vhosts/v")["description"], json!("new"));
    client.expect_connection_error(320, "vhost 'v' is deleted");
}

/// As RabbitMQ's 4.x do it: with a path of its own, or with a field of the vhost.
#[test]
fn a_protected_vhost_is_not_deleted_until_that_is_taken_back() {
    let Some((_server, mut http)) = start() else { return };
    vhost(&mut http, "v");
    assert_eq!(http.ask("POST", "/api/vhosts/v/deletion/protection", "").status, 204);
    let shown = http.show("/api/vhosts/v");
    assert_eq!(shown["protected_from_deletion"], json!(true));
    assert_eq!(shown["metadata"]["protected_from_deletion"], json!(true));
    let exported = http.show("/api/definitions")["vhosts"].clone();
    let of_v = exported.as_array().unwrap().iter().find(|vhost| vhost["name"] == "v").unwrap();
    assert_eq!(of_v["metadata"]["protected_from_deletion"], json!(true));
    let (error, reason) = http.ask("DELETE", "/api/vhosts/v", "").error(412);
    assert_eq!(error, "precondition_failed");
    assert!(reason.contains("'v' because it is protected"), "{reason}");
    assert_eq!(http.get("/api/vhosts/v").status, 200);
    assert_eq!(delete(&mut http, "/api/vhosts/v/deletion/protection"), 204);
    assert_eq!(delete(&mut http, "/api/vhosts/v"), 204);

    assert_eq!(put(&mut http, "/api/vhosts/w", &json!({"protected_from_deletion": true})), 201);
    assert_eq!(put(&mut http, "/api/vhosts/w", &json!({"description": "said later"})), 204);
    assert_eq!(delete(&mut http, "/api/vhosts/w"), 412);
    assert_eq!(put(&mut http, "/api/vhosts/w", &json!({"protected_from_deletion": false})), 204);
    assert_eq!(delete(&mut http, "/api/vhosts/w"), 204);
    assert_eq!(delete(&mut http, "/api/vhosts/w/deletion/protection"), 404);
}

#[test]
fn a_vhost_and_its_end_survive_a_kill() {
    let Some(mut node) = Node::start() else { return };
    let client = node.connect();
    let all = all().to_string();
    for (method, path, body) in [
        ("PUT", "/api/vhosts/kept", r#"{"description": "d", "tags": "t", "tracing": true}"#),
        ("POST", "/api/vhosts/kept/deletion/protection", ""),
        ("PUT", "/api/vhost-limits/kept/max-queues", r#"{"value": 3}"#),
        ("PUT", "/api/vhosts/gone", "{}"),
        ("PUT", "/api/permissions/gone/guest", &all),
        ("PUT", "/api/policies/gone/p", r#"{"pattern": "", "definition": {"max-length": 5}}"#),
        ("DELETE", "/api/vhosts/gone", ""),
    ] {
        granted(&node, method, path, body);
    }
    let lists = ["/api/vhosts", "/api/permissions", "/api/vhost-limits", "/api/policies"];
    let before = lists.map(|list| granted(&node, "GET", list, ""));
    node.restart(super::common::End::Kill, client);
    assert_eq!(lists.map(|list| granted(&node, "GET", list, "")), before);
    let names = String::from_utf8(granted(&node, "GET", "/api/vhosts?columns=name", "")).unwrap();
    assert_eq!(names, r#"[{"name":"/"},{"name":"kept"}]"#);
}

#[test]
fn limits_of_vhosts_act_at_once() {
    let Some((server, mut http)) = start() else { return };
    let options = vhost(&mut http, "v");
    let mut client = connect(&server, &options);
    client.queue_named(1, "a", leveret::amqp::Table::EMPTY);
    assert_eq!(put(&mut http, "/api/vhost-limits/v/max-queues", &json!({"value": 1})), 204);
    assert_eq!(put(&mut http, "/api/vhost-limits/v/max-connections", &json!({"value": 1})), 204);
    let shown = json!([{"vhost": "v", "value": {"max-connections": 1, "max-queues": 1}}]);
    assert_eq!(
        (http.show("/api/vhost-limits/v"), http.show("/api/vhost-limits")),
        (shown.clone(), shown)
    );
    let text = "cannot declare queue 'b': queue limit in vhost 'v' (1) is reached";
    client.refused(1, super::common::named("b"), 406, text);
    client.queue_named(1, "a", leveret::amqp::Table::EMPTY);
    let text = "NOT_ALLOWED - access to vhost 'v' refused for user 'guest': connection limit (1) \
        is reached";
    Client::refused_at_open(server.address(), &options, text);
    assert_eq!(delete(&mut http, "/api/vhost-limits/v/max-connections"), 204);
    connect(&server, &options);
    let limits = http.show("/api/parameters/vhost-limits/v/limits");
    assert_eq!(limits["value"], json!({"max-queues": 1}));
    assert_eq!(delete(&mut http, "/api/parameters/vhost-limits/v/limits"), 204);
    client.queue_named(1, "b", leveret::amqp::Table::EMPTY);
    // Others have none.
    Client::connect(server.address()).queue(1);
}

/// However far it was: of a vhost there is all or nothing.
#[test]
fn a_kill_in_the_middle_of_a_delete_leaves_all_or_nothing() {
    const QUEUES: usize = 2_000;
    let Some(mut node) = Node::start() else { return };
    let queues: Vec<_> =
        (0..QUEUES).map(|number| json!({"name": format!("q{number}"), "durable": true})).collect();
    let file = json!({ "queues": queues }).to_string();
    let all = all().to_string();
    for round in 0..4 {
        let client = node.connect();
        let mut owner = Http::connect_owner(node.process().directory());
        let mut other = Http::connect_owner(node.process().directory());
        owner.ask_as("", "PUT", "/api/vhosts/v", "{}");
        owner.ask_as("", "PUT", "/api/permissions/v/guest", &all);
        assert_eq!(owner.ask_as("", "POST", "/api/definitions/v", &file).status, 204);
        owner.send(request("", "DELETE", "/api/vhosts/v", "").as_bytes());
        for _ in 0..round {
            other.ask_as("", "GET", "/api/whoami", "");
        }
        node.restart(super::common::End::Kill, client);
        let mut owner = Http::connect_owner(node.process().directory());
        let is_there = owner.ask_as("", "GET", "/api/vhosts/v", "").status == 200;
        let count = |owner: &mut Http<_>, path: &str| {
            owner.ask_as("", "GET", path, "").json().as_array().map(Vec::len)
        };
        let queues = count(&mut owner, "/api/queues?columns=name");
        let permissions = count(&mut owner, "/api/permissions");
        let expected = if is_there { (QUEUES, 2) } else { (0, 1) };
        assert_eq!((queues, permissions), (Some(expected.0), Some(expected.1)), "{is_there}");
    }
}
