//! What is told of the node as a whole, and what may be changed of it?

use leveret::daemon::Config;
use serde_json::json;

use super::common::{Client, End, Node, Process, Server};
use super::http::{Http, start};

#[test]
fn a_node_tells_its_limits_and_what_it_uses() {
    let Some((server, mut http)) = start() else { return };
    let _client = Client::connect(server.address());
    let all = http.show("/api/nodes");
    let node = &all[0];
    let name = node["name"].as_str().expect("a text");
    let number = |field: &str| node[field].as_u64().unwrap_or_else(|| panic!("{field}: {node}"));
    for (used, total) in [
        ("mem_used", "mem_limit"),
        ("fd_used", "fd_total"),
        ("sockets_used", "sockets_total"),
        ("proc_used", "proc_total"),
        ("disk_free_limit", "disk_free"),
    ] {
        assert!(number(used) > 0 && number(used) < number(total), "{used}, {total}: {node}");
    }
    assert_eq!(number("sockets_used"), 2);
    assert_eq!(node["os_pid"], json!(std::process::id().to_string()));
    let flags = ["running", "mem_alarm", "disk_free_alarm", "being_drained"];
    assert_eq!(flags.map(|flag| node[flag].as_bool()), [true, false, false, false].map(Some));
    assert!(node["longest_turn_ms"].as_f64() > Some(0.0), "{node}");
    assert_eq!(node["connections_blocked"], json!(0));
    assert_eq!(node["partitions"], json!([]));
    assert_eq!(http.show(&format!("/api/nodes/{name}?columns=type")), json!({"type": "disc"}));
    let memory = &http.show(&format!("/api/nodes/{name}/memory"))["memory"];
    assert!(memory["total"]["rss"].as_u64() > Some(0), "{memory}");
    assert_eq!(http.get("/api/nodes/nope@x").status, 404);
    let usual = name.replace("leveret@", "rabbit@");
    assert_eq!(http.show(&format!("/api/nodes/{usual}"))["name"], json!(name));
}

#[test]
fn an_overview_counts_what_there_is() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    client.consume(1, &queue);
    let shown = http.show("/api/overview?disable_stats=true");
    let expected =
        json!({"channels": 1, "connections": 1, "consumers": 1, "exchanges": 7, "queues": 1});
    assert_eq!((&shown["object_totals"], &shown["disable_stats"]), (&expected, &json!(true)));
    assert!(shown["churn_rates"].is_null() && shown["queue_totals"].is_null(), "{shown}");
    let shown = http.show("/api/overview");
    assert_eq!(shown["churn_rates"]["queue_created"], json!(1));
    assert_eq!(shown["churn_rates"]["queue_declared"], json!(1));
    let listeners = shown["listeners"].as_array().expect("a list");
    let ports: Vec<_> = listeners.iter().map(|one| one["port"].as_u64()).collect();
    assert!(ports.contains(&Some(server.address().port().into())), "{ports:?}");
    for path in ["feature-flags", "deprecated-features", "extensions"] {
        assert_eq!(http.show(&format!("/api/{path}")), json!([]), "{path}");
    }
    assert_eq!(http.ask("POST", "/api/rebalance/queues", "").status, 204);
}

#[test]
fn the_cluster_gets_another_name() {
    let Some((server, mut http)) = start() else { return };
    assert_eq!(http.ask("PUT", "/api/cluster-name", r#"{"name": "hares"}"#).status, 204);
    for (body, reason) in [
        ("{}", "[{key_missing,name}]"),
        (r#"{"name": ""}"#, "name has 1 to 255 bytes"),
        ("[]", "not_json"),
    ] {
        assert_eq!(http.ask("PUT", "/api/cluster-name", body).error(400).1, reason);
    }
    assert_eq!(http.ask("PUT", "/api/cluster-name", r#"{"name": 5}"#).status, 400);
    assert_eq!(http.show("/api/cluster-name"), json!({"name": "hares"}));
    assert_eq!(http.show("/api/overview")["cluster_name"], json!("hares"));
    // It is a parameter, as in RabbitMQ, and comes with definitions from there.
    let named = json!({"global_parameters": [{"name": "cluster_name", "value": "rabbits"}]});
    assert_eq!(http.ask("POST", "/api/definitions", &named.to_string()).status, 204);
    assert_eq!(http.show("/api/cluster-name"), json!({"name": "rabbits"}));
    // Without it the cluster has the name that it has of itself.
    assert_eq!(http.ask("DELETE", "/api/global-parameters/cluster_name", "").status, 204);
    assert_eq!(http.show("/api/cluster-name"), json!({"name": "leveret@localhost"}));
    drop(server);
}

#[test]
fn a_cluster_keeps_its_name_over_a_kill() {
    let Some(mut node) = Node::start() else { return };
    let client = node.connect();
    let mut owner = Http::connect_owner(node.process().directory());
    let put = owner.ask_as("", "PUT", "/api/cluster-name", r#"{"name": "hares"}"#);
    assert_eq!(put.status, 204);
    node.restart(End::Kill, client);
    let mut owner = Http::connect_owner(node.process().directory());
    for path in ["/api/cluster-name", "/api/global-parameters/cluster_name"] {
        let shown = owner.ask_as("", "GET", path, "").json();
        assert!(shown.to_string().contains("hares"), "{path}: {shown}");
    }
}

#[test]
fn health_checks_tell_the_truth() {
    let Some((server, mut http)) = start() else { return };
    let port = server.address().port();
    let ok = json!({"status": "ok"});
    let alone = json!({"status": "ok", "reason": "single node cluster"});
    for (check, expected) in [
        ("alarms", ok.clone()),
        ("local-alarms", ok.clone()),
        ("virtual-hosts", ok.clone()),
        ("is-in-service", ok.clone()),
        ("ready-to-serve-clients", ok.clone()),
        ("certificate-expiration/-1/days", ok.clone()),
        ("certificate-expiration/1/months", ok.clone()),
        (
            "below-node-connection-limit",
            json!({"status": "ok", "limit": "infinity", "connections": 0}),
        ),
        ("node-is-mirror-sync-critical", alone.clone()),
        ("node-is-quorum-critical", alone),
        (&format!("port-listener/{port}"), json!({"status": "ok", "port": port})),
        ("protocol-listener/amqp091", json!({"status": "ok", "protocol": "amqp"})),
    ] {
        assert_eq!(http.show(&format!("/api/health/checks/{check}")), expected, "{check}");
    }
    for (check, status, reason) in [
        ("certificate-expiration/x/months", 400, "Invalid expiration value."),
        (
            "certificate-expiration/1/nope",
            400,
            "Time unit not recognised. Supported units: days, weeks, months, years.",
        ),
        ("port-listener/x", 400, "Invalid port"),
        ("port-listener/1", 503, "No active listener"),
        ("port-listener/99999", 503, "No active listener"),
        ("protocol-listener/mqtt", 503, "No active listener"),
    ] {
        let answer = http.get(&format!("/api/health/checks/{check}"));
        assert_eq!((answer.status, &answer.json()["reason"]), (status, &json!(reason)), "{check}");
    }
    assert_eq!(http.show("/api/aliveness-test/%2F"), ok);
    assert_eq!(http.show("/api/queues/%2F/aliveness-test")["messages"], json!(0));
    assert_eq!(http.get("/api/aliveness-test/nope").status, 404);
    assert_eq!(http.show("/api/healthchecks/node"), ok);
}

#[test]
fn a_node_with_as_many_connections_as_it_may_have_says_so() {
    let server = Server::start_with(Config { connection_max: Some(2), ..Config::default() });
    let Some(address) = server.management_address() else { return };
    let mut http = Http::connect(address);
    let path = "/api/health/checks/below-node-connection-limit";
    let _one = Client::connect(server.address());
    assert_eq!(http.show(path), json!({"status": "ok", "limit": 2, "connections": 1}));
    let two = Client::connect(server.address());
    let answer = http.get(path);
    let reason = "node connection limit is reached";
    let expected = json!({"status": "failed", "reason": reason, "limit": 2, "connections": 2});
    assert_eq!((answer.status, answer.json()), (503, expected));
    let answer = http.get("/api/health/checks/ready-to-serve-clients");
    let expected = json!({"status": "failed", "reason": reason});
    assert_eq!((answer.status, answer.json()), (503, expected));
    two.close();
    assert_eq!(http.get(path).status, 200);
}

#[test]
fn limits_act_at_once_and_wrong_ones_change_nothing() {
    let Some((server, mut http)) = start() else { return };
    let settings = "/api/leveret/settings";
    let before = http.show("/api/nodes?columns=mem_limit,disk_free_limit");
    for body in [
        json!({"vm_memory_high_watermark": 5}),
        json!({"vm_memory_high_watermark": {"relative": -1}}),
        json!({"disk_free_limit": {"absolute": "1GB"}}),
        json!({"vm_memory_high_watermark": {"absolute": 0}, "disk_free_limit": {}}),
        json!({"vm_memory_high_watermark": {"absolute": 0}, "log_level": "loud"}),
        json!({"vm_memory_high_watermark": {"absolute": 0}, "nope": 1}),
    ] {
        assert_eq!(http.ask("PUT", settings, &body.to_string()).status, 400, "{body}");
    }
    assert_eq!(http.show("/api/nodes?columns=mem_limit,disk_free_limit"), before);
    let body = json!({
        "vm_memory_high_watermark": {"absolute": 0}, "disk_free_limit": {"absolute": 7},
    });
    assert_eq!(http.ask("PUT", settings, &body.to_string()).status, 204);
    let shown = http.show(&format!("{settings}?columns=vm_memory_high_watermark,disk_free_limit"));
    assert_eq!(shown, body);
    assert!(http.show(settings)["log_level"].is_string());
    let node = &http.show("/api/nodes?columns=mem_limit,disk_free_limit,mem_alarm")[0];
    assert_eq!(node, &json!({"mem_limit": 0, "disk_free_limit": 7, "mem_alarm": true}));
    for (check, reason) in [
        ("alarms", "There are alarms in effect in the cluster"),
        ("local-alarms", "There are alarms in effect on the node"),
    ] {
        let answer = http.get(&format!("/api/health/checks/{check}"));
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["reason"], json!(reason));
        assert_eq!(answer.json()["alarms"][0]["resource"], json!("memory"));
    }
    // Clients are let in all the same.
    assert_eq!(http.show("/api/health/checks/ready-to-serve-clients"), json!({"status": "ok"}));
    let mut client = Client::connect(server.address());
    client.publish(1, "", "nobody", "x");
    client.expect::<super::common::Blocked>(0);
    let state = http.show("/api/connections?columns=state");
    assert_eq!(state, json!([{"state": "blocked"}]));
    let body = json!({"vm_memory_high_watermark": {"relative": 0.9}}).to_string();
    assert_eq!(http.ask("PUT", settings, &body).status, 204);
    client.expect::<super::common::Unblocked>(0);
    assert_eq!(http.show("/api/health/checks/alarms"), json!({"status": "ok"}));
}

#[test]
fn a_node_that_is_told_to_stop_answers_and_ends_in_good_order() {
    if std::env::var("LEVERET_TEST_URI").is_ok() {
        return;
    }
    let home = tempfile::tempdir().expect("it can be made");
    let process = Process::start(&home.path().join("data"), 1 << 20);
    let mut client = Client::connect(process.address());
    let mut owner = Http::connect_owner(process.directory());
    assert_eq!(owner.ask_as("", "POST", "/api/leveret/stop", "").status, 204);
    let close = client.expect_connection_close();
    assert_eq!(close.code, 320);
    client.vanish();
    let refusal = process.end();
    assert!(refusal.status.success(), "{}", refusal.log.join("\n"));
    assert!(refusal.log.iter().any(|line| line.contains("stopped")), "{:?}", refusal.log);
}

/// Nobody else's answers tell of it, and a server that is dropped stops too.
#[test]
fn an_operators_stop_is_the_same_in_a_thread() {
    let Some((server, mut http)) = start() else { return };
    assert_eq!(http.ask("POST", "/api/leveret/stop", "").status, 204);
    http.expect_closed();
    drop::<Server>(server);
}
