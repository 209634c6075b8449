//! Do policies and parameters do what RabbitMQ's do, and hold at once?

use serde_json::json;

use super::common::Client;
use super::http::{granted, start};
use super::permissions::{delete, put, user};

#[test]
fn a_policy_is_set_shown_and_taken_back_and_holds_at_once() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    (0..5).for_each(|_| client.publish(1, "", &queue, "x"));
    client.round_trip(1);
    let path = "/api/policies/%2F/short";
    let body = json!({
        "pattern": format!("^{queue}$"), "definition": {"max-length": 2}, "priority": 3,
        "apply-to": "queues",
    });
    assert_eq!(put(&mut http, path, &body), 201);
    client.wait_for_messages(1, &queue, 2);
    let mut shown = body.clone();
    shown["vhost"] = json!("/");
    shown["name"] = json!("short");
    assert_eq!(http.show(path), shown);
    assert_eq!(http.show("/api/policies"), json!([shown]));
    assert_eq!(http.show("/api/policies/%2F"), json!([shown]));
    let of_queue = format!("/api/queues/%2F/{queue}?columns=policy,operator_policy");
    assert_eq!(http.show(&of_queue), json!({"policy": "short", "operator_policy": null}));
    assert_eq!(put(&mut http, path, &body), 204);
    let operator = json!({"pattern": "", "definition": {"max-length": 1}});
    assert_eq!(put(&mut http, "/api/operator-policies/%2F/short", &operator), 201);
    client.wait_for_messages(1, &queue, 1);
    let shown = http.show("/api/operator-policies/%2F/short");
    assert_eq!((&shown["apply-to"], &shown["priority"]), (&json!("all"), &json!(0)));
    assert_eq!(delete(&mut http, "/api/operator-policies/%2F/short"), 204);
    assert_eq!(delete(&mut http, path), 204);
    assert_eq!(delete(&mut http, path), 404);
    (0..5).for_each(|_| client.publish(1, "", &queue, "x"));
    client.wait_for_messages(1, &queue, 6);
}

#[test]
fn what_is_wrong_with_a_policy_is_said_in_rabbitmqs_words() {
    let Some((_server, mut http)) = start() else { return };
    let (users, operators) = ("/api/policies/%2F/p", "/api/operator-policies/%2F/p");
    let good = json!({"max-length": 1});
    let with = |field: &str, value: serde_json::Value| {
        let mut body = json!({"pattern": "^zz", "definition": good});
        body[field] = value;
        body
    };
    for (path, body, reason) in [
        (users, json!({}), "[{key_missing,pattern},{key_missing,definition}]"),
        (users, with("definition", json!({})), "no policy provided"),
        (users, with("definition", json!([])), "definition has to be an object"),
        (users, with("pattern", json!(5)), "pattern should be a binary but was 5"),
        (
            users,
            with("pattern", json!("(")),
            "pattern should be regular expression but is invalid: ",
        ),
        (
            users,
            with("definition", json!({"nope": 1})),
            "[{<<\"nope\">>,1}] are not recognised policy settings",
        ),
        (
            users,
            with("definition", json!({"max-length": "x"})),
            "<<\"x\">> is not a valid maximum length",
        ),
        (users, with("definition", json!({"message-ttl": -1})), "-1 is not a valid message TTL"),
        (
            users,
            with("priority", json!("x")),
            "priority should be a number, actually was <<\"x\">>",
        ),
        (users, with("apply-to", json!("nope")), "apply-to 'nope' unrecognised; should be one of"),
        (
            operators,
            with("definition", json!({"dead-letter-exchange": "x"})),
            "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings",
        ),
    ] {
        let said = http.ask("PUT", path, &body.to_string()).error(400).1;
        let said = said.trim_start_matches("Validation failed\n\n");
        assert!(said.starts_with(reason), "{body}: {said}");
    }
    let missing = http.ask("PUT", "/api/policies/nope/p", &with("priority", json!(1)).to_string());
    assert_eq!(missing.error(404), ("not_found".into(), "vhost_not_found".into()));
    assert_eq!(http.show("/api/policies"), json!([]));
    assert_eq!(http.get("/api/policies/nope").status, 404);
    assert_eq!(http.get(users).status, 404);
}

fn basic(name: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{name}"));
    format!("Authorization: Basic {text}\r\n")
}

#[test]
fn policymakers_make_policies_where_they_may_enter_and_nothing_else() {
    let Some((_server, mut http)) = start() else { return };
    for (name, tags) in [("pol", "policymaker"), ("mgmt", "management")] {
        user(&mut http, name);
        let body = json!({"password": name, "tags": tags});
        assert_eq!(put(&mut http, &format!("/api/users/{name}"), &body), 204);
    }
    assert_eq!(put(&mut http, "/api/vhosts/other", &json!({})), 201);
    let policy = json!({"pattern": "a", "definition": {"max-length": 1}}).to_string();
    let mut ask = |name: &str, method: &str, path: &str| {
        http.ask_as(&basic(name), method, path, if method == "PUT" { &policy } else { "" })
    };
    assert_eq!(ask("pol", "PUT", "/api/policies/%2F/p").status, 201);
    assert_eq!(ask("mgmt", "GET", "/api/policies/%2F/p").status, 200);
    for (name, method, path, reason) in [
        ("pol", "PUT", "/api/operator-policies/%2F/p", "Not administrator user"),
        ("mgmt", "PUT", "/api/policies/%2F/q", "User not authorised to access object"),
        ("mgmt", "DELETE", "/api/policies/%2F/p", "User not authorised to access object"),
        ("mgmt", "GET", "/api/parameters", "User not authorised to access object"),
        ("mgmt", "GET", "/api/global-parameters", "User not authorised to access object"),
        ("pol", "PUT", "/api/policies/other/p", "User not authorised to access virtual host"),
        ("pol", "GET", "/api/policies/other", "User not authorised to access virtual host"),
        ("pol", "GET", "/api/permissions", "Not administrator user"),
        ("pol", "GET", "/api/definitions", "Not administrator user"),
        ("pol", "PUT", "/api/vhost-limits/%2F/max-queues", "Not administrator user"),
        ("pol", "DELETE", "/api/users/mgmt", "Not administrator user"),
        ("pol", "DELETE", "/api/vhosts/other", "Not administrator user"),
    ] {
        let answer = ask(name, method, path);
        assert_eq!(answer.error(401), ("not_authorised".into(), reason.into()), "{name} {path}");
    }
    assert_eq!(ask("pol", "DELETE", "/api/policies/%2F/p").status, 204);
}

#[test]
fn parameters_are_checked_kept_and_shown() {
    let Some((_server, mut http)) = start() else { return };
    let shovel = json!({"src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "q"});
    let path = "/api/parameters/shovel/%2F/s";
    assert_eq!(put(&mut http, path, &json!({"value": shovel})), 201);
    assert_eq!(put(&mut http, path, &json!({"value": shovel})), 204);
    let shown = json!({"vhost": "/", "component": "shovel", "name": "s", "value": shovel});
    assert_eq!(http.show(path), shown);
    for list in ["/api/parameters", "/api/parameters/shovel", "/api/parameters/shovel/%2F"] {
        assert_eq!(http.show(list), json!([shown]));
    }
    for (path, body, reason) in [
        (path, json!({}), "[{key_missing,value}]"),
        (path, json!({"value": {}}), "Key \"src-uri\" not found in shovel"),
        ("/api/parameters/nope/%2F/x", json!({"value": 1}), "component nope not found"),
        (
            "/api/parameters/policy/%2F/x",
            json!({"value": {}}),
            "policies may not be set using this method",
        ),
        (
            "/api/parameters/vhost-limits/%2F/limits",
            json!({"value": {"max-queues": "x"}}),
            "max-queues should be a number, actually was <<\"x\">>",
        ),
        (
            "/api/parameters/federation-upstream/%2F/u",
            json!({"value": {"uri": 5}}),
            "uri should be a binary or a list of binaries, actually was 5",
        ),
    ] {
        let said = http.ask("PUT", path, &body.to_string()).error(400).1;
        assert_eq!(said.trim_start_matches("Validation failed\n\n").trim_end(), reason);
    }
    let missing = http.ask("PUT", "/api/parameters/shovel/nope/s", r#"{"value": 1}"#);
    assert_eq!(missing.error(404).1, "vhost_not_found");
    assert_eq!(http.show(path), shown);
    assert_eq!(http.show("/api/parameters/nope"), json!([]));
    assert_eq!(delete(&mut http, path), 204);
    assert_eq!(delete(&mut http, path), 404);
    assert_eq!(http.get(path).status, 404);
    let policy = json!({"pattern": "a", "definition": {"max-length": 1}});
    assert_eq!(put(&mut http, "/api/policies/%2F/p", &policy), 201);
    assert_eq!(http.show("/api/parameters"), json!([]));
    assert_eq!(http.show("/api/parameters/policy")[0]["name"], json!("p"));
}

#[test]
fn parameters_of_the_node_are_any_json() {
    let Some((_server, mut http)) = start() else { return };
    let path = "/api/global-parameters/g";
    assert_eq!(put(&mut http, path, &json!({"value": "s"})), 201);
    let value = json!({"a": [1, 2.5, null, true]});
    assert_eq!(put(&mut http, path, &json!({"value": value})), 204);
    assert_eq!(http.show(path), json!({"name": "g", "value": value}));
    // RabbitMQ has the cluster's name among them.
    let name = http.show("/api/cluster-name")["name"].clone();
    let cluster = json!({"name": "cluster_name", "value": name});
    let all = json!([cluster, {"name": "g", "value": value}]);
    assert_eq!(http.show("/api/global-parameters"), all);
    assert_eq!(http.show("/api/global-parameters/cluster_name"), cluster);
    for wrong in [json!({"value": 5}), json!({"value": ""}), json!({"value": "x".repeat(256)})] {
        assert_eq!(put(&mut http, "/api/global-parameters/cluster_name", &wrong), 400);
    }
    let long = json!({"value": "x".repeat(100_000)});
    assert_eq!(put(&mut http, path, &long), 400);
    assert_eq!(delete(&mut http, path), 204);
    assert_eq!(delete(&mut http, path), 404);
}

#[test]
fn policies_and_parameters_survive_a_kill() {
    let Some(mut node) = super::common::Node::start() else { return };
    let client = node.connect();
    let policy = r#"{"pattern": "^a", "definition": {"max-length": 5}, "priority": -3}"#;
    for (method, path, body) in [
        ("PUT", "/api/policies/%2F/kept", policy),
        ("PUT", "/api/policies/%2F/gone", policy),
        ("PUT", "/api/operator-policies/%2F/kept", policy),
        ("DELETE", "/api/policies/%2F/gone", ""),
        ("PUT", "/api/parameters/federation-upstream/%2F/u", r#"{"value": {"uri": "amqp://"}}"#),
        ("PUT", "/api/global-parameters/kept", r#"{"value": [1, {"a": null}]}"#),
        ("PUT", "/api/global-parameters/gone", r#"{"value": 1}"#),
        ("DELETE", "/api/global-parameters/gone", ""),
    ] {
        granted(&node, method, path, body);
    }
    let lists =
        ["/api/policies", "/api/operator-policies", "/api/parameters", "/api/global-parameters"];
    let before = lists.map(|list| granted(&node, "GET", list, ""));
    node.restart(super::common::End::Kill, client);
    assert_eq!(lists.map(|list| granted(&node, "GET", list, "")), before);
}
