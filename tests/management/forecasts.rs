//! Is it said before what a change would do, and is it that which happens?

use serde_json::{Value, json};

use super::http::{Http, basic_login, start};
use super::permissions::{all, delete, put, user};

fn post(http: &mut Http, path: &str, body: &Value) -> Value {
    let answer = http.ask("POST", path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// A file with something good and something bad of every section.
fn mixed() -> Value {
    let queue = |name: &str, arguments: Value| {
        json!({"name": name, "vhost": "new", "durable": true, "auto_delete": false,
               "arguments": arguments})
    };
    let binding = |source: &str, destination: &str, key: &str, arguments: Value| {
        json!({"source": source, "vhost": "new", "destination": destination,
               "destination_type": "queue", "routing_key": key, "arguments": arguments})
    };
    let policy = |name: &str, vhost: &str, pattern: &str, definition: Value| {
        json!({"name": name, "vhost": vhost, "pattern": pattern,
               "definition": definition})
    };
    json!({
        "users": [
            {"name": "ann", "tags": ["management"], "password_hash": ""},
            {"name": "bad", "tags": 5},
            {"name": "both", "tags": "", "password": "x", "password_hash": "y"},
            5,
        ],
        "vhosts": [
            {"name": "new", "limits": {"max-queues": 3}},
            {"name": ""},
            {"name": "odd", "default_queue_type": "none"},
        ],
        "permissions": [
            {"user": "ann", "vhost": "new", "configure": "", "write": "^a", "read": ".*"},
            {"user": "ann", "vhost": "nowhere", "configure": "", "write": "", "read": ""},
            {"user": "ann", "vhost": "new", "configure": "(", "write": "", "read": ""},
        ],
        "topic_permissions": [
            {"user": "ann", "vhost": "new", "exchange": "amq.topic", "write": "^k", "read": ""},
            {"user": "nobody", "vhost": "new", "exchange": "amq.topic", "write": "", "read": ""},
        ],
        "parameters": [
            {"component": "shovel", "vhost": "new", "name": "s", "value": {
                "src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "a"}},
            {"component": "shovel", "vhost": "new", "name": "t", "value": {}},
            {"component": "unknown", "vhost": "new", "name": "t", "value": {}},
            {"component": "shovel", "vhost": "nowhere", "name": "t", "value": {}},
            {"component": "vhost-limits", "vhost": "new", "name": "limits",
             "value": {"max-queues": 2}},
            {"component": "vhost-limits", "vhost": "new", "name": "others", "value": {}},
            {"component": "operator_policy", "vhost": "new", "name": "o",
             "value": {"pattern": "", "definition": {"max-length": 5}}},
            {"component": "operator_policy", "vhost": "new", "name": "o",
             "value": {"pattern": "", "definition": {"dead-letter-exchange": "x"}}},
        ],
        "global_parameters": [
            {"name": "g", "value": {"a": 1}},
            {"name": "g"},
        ],
        "policies": [
            policy("p", "new", "^a", json!({"max-length": 1})),
            policy("p", "nowhere", "^a", json!({"max-length": 1})),
            policy("q", "new", "(", json!({"max-length": 1})),
            policy("q", "new", "", json!({"max-length": "one"})),
        ],
        "exchanges": [
            {"name": "x", "vhost": "new", "type": "x-consistent-hash", "durable": true},
            {"name": "x", "vhost": "new", "type": "fanout", "durable": true},
            {"name": "y", "vhost": "new", "type": "circle", "durable": true},
            {"name": "y", "vhost": "nowhere", "type": "fanout", "durable": true},
            {"name": "d", "vhost": "new", "type": "x-delayed-message", "durable": true},
        ],
        "queues": [
            queue("a", json!({})),
            queue("a", json!({"x-max-length": 5})),
            queue("wrong", json!({"x-max-length": "many"})),
            queue("b", json!({})),
            queue("one too many", json!({})),
        ],
        "bindings": [
            binding("x", "a", "5", json!({})),
            binding("x", "a", "5", json!({})),
            binding("x", "a", "no weight", json!({})),
            binding("amq.headers", "a", "", json!({"x-match": "all", "h": 1})),
            binding("amq.headers", "a", "", json!({"x-match": "some"})),
            binding("missing", "a", "", json!({})),
            binding("x", "missing", "1", json!({})),
            binding("", "a", "", json!({})),
        ],
    })
}

#[test]
fn a_dry_run_refuses_what_the_real_one_refuses_and_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    let before = http.show("/api/definitions");
    let file = mixed();
    let said = post(&mut http, "/api/definitions?dry_run=true", &file);
    assert_eq!(http.show("/api/definitions"), before);
    let answer = http.ask("POST", "/api/definitions", &file.to_string());
    assert_eq!(answer.status, 400);
    let done = answer.json();
    assert_eq!(said["refused"], done["refused"]);
    assert_eq!(said["refused_count"], done["refused_count"]);
    assert_eq!(said["refused_count"], json!(27));
    // What was said to be added is there; what it named twice it left as it was.
    assert_eq!((&said["added"], &said["changed"]), (&json!(13), &json!(1)));
    assert_eq!(said["unchanged"], json!(3));
    let count = |section: &str| {
        let found = said["items"].as_array().unwrap().iter();
        found.filter(|item| item["section"] == section && item["effect"] == "added").count()
    };
    assert_eq!((count("queues"), count("bindings"), count("users")), (2, 2, 1));
    assert_eq!(put(&mut http, "/api/permissions/new/guest", &all()), 201);
    assert_eq!(http.show("/api/queues/new?columns=name"), json!([{"name": "a"}, {"name": "b"}]));
    let bound = http.show("/api/exchanges/new/x/bindings/source");
    assert_eq!(bound.as_array().unwrap().len(), 1);
    // What the node has it can be told again without a change.
    let file = http.show("/api/definitions");
    let again = post(&mut http, "/api/definitions?dry_run=true", &file);
    assert_eq!((&again["added"], &again["changed"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(again["refused_count"], json!(0));
}

#[test]
fn a_dry_run_tells_what_is_new_from_what_changes() {
    let Some((_server, mut http)) = start() else { return };
    let policy = json!({"pattern": "^a", "definition": {"max-length": 1}});
    assert_eq!(put(&mut http, "/api/policies/%2F/p", &policy), 201);
    let item = |name: &str, length: u32| {
        json!({"vhost": "/", "name": name, "pattern": "^a", "apply-to": "all", "priority": 0,
               "definition": {"max-length": length}})
    };
    let file = json!({"policies": [item("p", 1), item("p", 2), item("n", 1)], "comment": "x"});
    let said = post(&mut http, "/api/definitions?dry_run=true", &file);
    assert_eq!(
        said["sections"],
        json!([{"section": "policies", "added": 1, "changed": 1, "unchanged": 1}])
    );
    let item = |name: &str, effect: &str| {
        json!({"section": "policies", "vhost": "/", "name": name,
               "effect": effect})
    };
    assert_eq!(said["items"], json!([item("p", "changed"), item("n", "added")]));
    // Into a vhost, whatever the file says.
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({})), 201);
    let said = post(&mut http, "/api/definitions/v?dry_run=true", &file);
    assert_eq!((&said["added"], &said["changed"]), (&json!(2), &json!(1)));
    assert_eq!(said["items"][0]["vhost"], "v");
    assert_eq!(http.ask("POST", "/api/definitions?dry_run=true", "{no").status, 400);
}

#[test]
fn a_permission_is_checked_as_the_broker_checks_it() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    assert_eq!(put(&mut http, "/api/vhosts/v%2Fw", &json!({})), 201);
    let check = |http: &mut Http, rest: &str| {
        http.show(&format!("/api/permissions/check?user=ann&vhost=v%2Fw&{rest}"))
    };
    let queue = "access=write&resource=queue&name=a%20b";
    let said = check(&mut http, queue);
    assert_eq!((&said["allowed"], &said["decided_by"]), (&json!(false), &json!("no_permissions")));
    let patterns = json!({"configure": "", "write": "^a b$|^amq\\.topic$", "read": "("});
    assert_eq!(http.ask("PUT", "/api/permissions/v%2Fw/ann", &patterns.to_string()).status, 400);
    let patterns = json!({"configure": "", "write": "^a b$|^amq\\.topic$", "read": "^amq.default"});
    assert_eq!(put(&mut http, "/api/permissions/v%2Fw/ann", &patterns), 201);
    let said = check(&mut http, queue);
    assert_eq!((&said["allowed"], &said["pattern"]), (&json!(true), &patterns["write"]));
    assert_eq!((&said["exists"], &said["reason"]), (&json!(false), &Value::Null));
    let said = check(&mut http, "access=configure&resource=queue&name=a%20b");
    let reason = "ACCESS_REFUSED - configure access to queue 'a b' in vhost 'v/w' refused for \
                  user 'ann'";
    assert_eq!((&said["allowed"], &said["reason"]), (&json!(false), &json!(reason)));
    // The default exchange has a name for permissions.
    for name in ["", "amq.default"] {
        let said = check(&mut http, &format!("access=read&resource=exchange&name={name}"));
        assert_eq!((&said["allowed"], &said["exists"]), (&json!(true), &json!(true)), "{name}");
    }
    for (wrong, status) in [
        ("user=ann&vhost=%2F&access=own&resource=queue&name=q", 400),
        ("user=ann&vhost=%2F&access=read&resource=binding&name=q", 400),
        ("user=ann&vhost=%2F&access=read&resource=queue", 400),
        ("user=ghost&vhost=%2F&access=read&resource=queue&name=q", 404),
        ("user=ann&vhost=nowhere&access=read&resource=queue&name=q", 404),
    ] {
        let path = format!("/api/permissions/check?{wrong}");
        assert_eq!(http.get(&path).status, status, "{wrong}");
    }
    let path = "/api/permissions/check?user=ann&vhost=%2F&access=read&resource=queue&name=q";
    assert_eq!(http.ask_as(&basic_login("ann:ann"), "GET", path, "").status, 401);
}

#[test]
fn a_routing_key_is_checked_where_the_broker_checks_it() {
    let Some((_server, mut http)) = start() else { return };
    user(&mut http, "ann");
    assert_eq!(put(&mut http, "/api/permissions/%2F/ann", &all()), 204);
    let topic = json!({"exchange": "amq.topic", "write": "^{username}\\.", "read": ".*"});
    assert_eq!(put(&mut http, "/api/topic-permissions/%2F/ann", &topic), 201);
    let check = |http: &mut Http, exchange: &str, key: &str| {
        let said = http.show(&format!(
            "/api/permissions/check?user=ann&vhost=%2F&access=write&resource=exchange\
             &name={exchange}&routing_key={key}"
        ));
        let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        (said["allowed"] == true, text("decided_by"), text("pattern"))
    };
    let of_topic = |allowed| (allowed, "topic_permission".to_owned(), "^ann\\.".to_owned());
    assert_eq!(check(&mut http, "amq.topic", "ann.x"), of_topic(true));
    assert_eq!(check(&mut http, "amq.topic", "bob.x"), of_topic(false));
    // Only topic exchanges ask for the key.
    assert_eq!(
        check(&mut http, "amq.direct", "bob.x"),
        (true, "permission".to_owned(), ".*".to_owned())
    );
    assert_eq!(delete(&mut http, "/api/topic-permissions/%2F/ann/amq.topic"), 204);
    assert_eq!(
        check(&mut http, "amq.topic", "bob.x"),
        (true, "permission".to_owned(), ".*".to_owned())
    );
}

#[test]
fn a_preview_of_a_policy_counts_what_the_policy_then_holds_for() {
    let Some((_server, mut http)) = start() else { return };
    for (vhost, name, kind) in [
        ("%2F", "a.1", "classic"),
        ("%2F", "a.2", "quorum"),
        ("%2F", "a.3", "classic"),
        ("%2F", "b.a", "classic"),
        ("v", "a.9", "classic"),
    ] {
        put(&mut http, &format!("/api/vhosts/{vhost}"), &json!({}));
        put(&mut http, &format!("/api/permissions/{vhost}/guest"), &all());
        let body = json!({"durable": true, "arguments": {"x-queue-type": kind}});
        assert_eq!(put(&mut http, &format!("/api/queues/{vhost}/{name}"), &body), 201);
    }
    assert_eq!(put(&mut http, "/api/exchanges/%2F/a.x", &json!({"type": "fanout"})), 201);
    let first = json!({"pattern": "^a\\.1$", "definition": {"max-length": 1}, "priority": 5});
    assert_eq!(put(&mut http, "/api/policies/%2F/first", &first), 201);
    let before = http.show("/api/definitions");
    let preview = "/api/policy-preview/%2F";
    let said = post(
        &mut http,
        preview,
        &json!({"pattern": "^a\\.", "name": "next", "priority": 1, "count": 2}),
    );
    assert_eq!(http.show("/api/definitions"), before);
    assert_eq!(
        said["queues"],
        json!({"count": 3, "overruled": 1, "items": [
            {"name": "a.1", "overruled_by": "first"}, {"name": "a.2"}]})
    );
    assert_eq!(said["exchanges"], json!({"count": 1, "overruled": 0, "items": [{"name": "a.x"}]}));
    // It is what then happens.
    let next = json!({"pattern": "^a\\.", "definition": {"max-length": 9}, "priority": 1});
    assert_eq!(put(&mut http, "/api/policies/%2F/next", &next), 201);
    let queues = http.show("/api/queues/%2F?columns=name,policy&sort=name");
    let holds = |policy: &str| {
        queues.as_array().unwrap().iter().filter(|queue| queue["policy"] == policy).count()
    };
    assert_eq!((holds("next"), holds("first")), (2, 1));
    // A policy is not in its own way; a higher one is in nobody's; others count as their sort.
    for (body, queues, overruled) in [
        (json!({"pattern": "", "apply-to": "quorum_queues"}), 1, 1),
        (json!({"pattern": "^a\\.", "apply-to": "queues", "name": "next", "priority": 1}), 3, 1),
        (json!({"pattern": "^a\\.", "apply-to": "queues", "name": "z", "priority": 6}), 3, 0),
        (json!({"pattern": "^a\\.", "apply-to": "queues", "operator": true}), 3, 0),
        (json!({"pattern": "nothing"}), 0, 0),
    ] {
        let said = post(&mut http, preview, &body);
        let counts = (&said["queues"]["count"], &said["queues"]["overruled"]);
        assert_eq!(counts, (&json!(queues), &json!(overruled)), "{body}");
    }
    for wrong in [json!({}), json!({"pattern": "("}), json!({"pattern": "", "apply-to": "x"})] {
        assert_eq!(http.ask("POST", preview, &wrong.to_string()).status, 400, "{wrong}");
    }
    assert_eq!(http.ask("POST", "/api/policy-preview/none", "{\"pattern\": \"\"}").status, 404);
}
