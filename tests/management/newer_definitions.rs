//! Do files of RabbitMQ 3.13 and 4.1 come in, whose fields 3.10 does not know?
//!
//! The files have one of each field that those versions write.

use serde_json::{Value, json};

use super::common::Options;
use super::http::{Http, start};
use super::permissions::{all, connect, delete, put};

const RABBITMQ_3_13: &str = include_str!("rabbitmq-3.13.json");
const RABBITMQ_4_1: &str = include_str!("rabbitmq-4.1.json");

/// What stands under a name in a list.
fn named(list: &Value, name: &str) -> Value {
    let all = list.as_array().expect("a list");
    let found = all.iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// All of a list in one order, without the fields that only newer versions write.
fn sorted(file: &Value, section: &str) -> Vec<String> {
    let mut all = file[section].as_array().expect("a list").clone();
    for item in &mut all {
        if let Some(fields) = item.as_object_mut() {
            fields.remove("type").filter(|_| section != "exchanges");
        }
    }
    let mut all: Vec<_> = all.iter().map(ToString::to_string).collect();
    all.sort();
    all
}

/// Imports a file, and checks what both versions say.
fn import(http: &mut Http, text: &str) -> Value {
    let answer = http.ask("POST", "/api/definitions", text);
    assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
    let file: Value = serde_json::from_str(text).expect("the file is JSON");
    let ours = http.show("/api/definitions");
    for section in
        ["users", "permissions", "topic_permissions", "policies", "queues", "exchanges", "bindings"]
    {
        assert_eq!(sorted(&ours, section), sorted(&file, section), "{section}");
    }
    let shop = named(&ours["vhosts"], "shop");
    assert_eq!(shop["description"], json!("orders and more"));
    assert_eq!(shop["tags"], json!(["prod", "eu"]));
    assert_eq!(shop["default_queue_type"], json!("quorum"));
    let limits = http.show("/api/vhost-limits/shop");
    assert_eq!(limits[0]["value"], json!({"max-connections": 500, "max-queues": 90}));
    for (component, name) in [("federation-upstream", "elsewhere"), ("shovel", "copies")] {
        let kept = http.show(&format!("/api/parameters/{component}/shop/{name}"));
        let said = named(&file["parameters"], name);
        assert_eq!(kept["value"], said["value"], "{name}");
    }
    let tags = http.show("/api/global-parameters/cluster_tags");
    assert_eq!(tags["value"], json!({"region": "eu"}));
    let caps = http.show("/api/operator-policies/shop/caps");
    assert_eq!(caps["definition"], json!({"max-length": 5000, "delivery-limit": 7}));
    for (queue, policy) in [("orders", "short"), ("payments", "safe"), ("log", "kept")] {
        let shown = http.show(&format!("/api/queues/shop/{queue}"));
        assert_eq!(shown["policy"], json!(policy), "{queue}");
    }
    ours
}

#[test]
fn a_file_of_rabbitmq_3_13_comes_in() {
    let Some((server, mut http)) = start() else { return };
    let ours = import(&mut http, RABBITMQ_3_13);
    assert_eq!(http.ask("POST", "/api/definitions", RABBITMQ_3_13).status, 204, "and once more");
    assert_eq!(http.show("/api/definitions"), ours);
    // Passwords of either kind of hash let in; who has none gets in with no password.
    let clerk = Options {
        user: "clerk".into(),
        password: "clerk".into(),
        vhost: "shop".into(),
        ..Options::default()
    };
    let mut client = connect(&server, &clerk);
    client.publish(1, "sales", "pay.now", "body");
    client.wait_for_messages(1, "payments", 1);
    let guest = Options { vhost: "shop".into(), ..Options::default() };
    connect(&server, &guest).round_trip(1);
}

#[test]
fn a_file_of_rabbitmq_4_1_comes_in() {
    let Some((server, mut http)) = start() else { return };
    let ours = import(&mut http, RABBITMQ_4_1);
    let shop = named(&ours["vhosts"], "shop");
    assert_eq!(shop["metadata"]["protected_from_deletion"], json!(true));
    assert_eq!(named(&ours["vhosts"], "/")["default_queue_type"], json!("classic"));
    assert_eq!(delete(&mut http, "/api/vhosts/shop"), 412, "it stays protected");
    let guest = Options { vhost: "shop".into(), ..Options::default() };
    let mut client = connect(&server, &guest);
    client.publish(1, "sales", "order.new", "body");
    client.wait_for_messages(1, "orders", 1);
}

/// What is exported of one vhost says since 3.13 what it is.
#[test]
fn a_file_of_one_vhost_of_rabbitmq_4_1_comes_into_another() {
    let Some((_server, mut http)) = start() else { return };
    assert_eq!(put(&mut http, "/api/vhosts/target", &json!({})), 201);
    assert_eq!(put(&mut http, "/api/permissions/target/guest", &all()), 201);
    let file = json!({
        "rabbit_version": "4.1.4", "rabbitmq_version": "4.1.4", "product_name": "RabbitMQ",
        "product_version": "4.1.4", "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": "shop", "explanation": "Definitions of virtual host 'shop'",
        "metadata": {"description": "orders", "tags": [], "default_queue_type": "quorum"},
        "description": "orders", "default_queue_type": "quorum", "limits": [],
        "parameters": [{
            "component": "shovel", "name": "copies",
            "value": {
                "src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b",
            },
        }],
        "policies": [{
            "name": "short", "pattern": "^q", "apply-to": "quorum_queues",
            "definition": {"max-length": 5}, "priority": 0,
        }],
        "queues": [{
            "name": "q", "type": "quorum", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"},
        }],
        "exchanges": [{
            "name": "x", "type": "direct", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {},
        }],
        "bindings": [{
            "source": "x", "destination": "q", "destination_type": "queue", "routing_key": "k",
            "arguments": {},
        }],
    });
    let answer = http.ask("POST", "/api/definitions/target", &file.to_string());
    assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(http.show("/api/queues/target/q")["policy"], json!("short"));
    let bound = http.show("/api/bindings/target/e/x/q/q");
    assert_eq!(bound[0]["routing_key"], json!("k"));
    assert_eq!(http.show("/api/parameters/shovel/target")[0]["name"], json!("copies"));
}
