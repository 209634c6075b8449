//! Do files of definitions come in and go out whole, and what of a broken one?

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use leveret::daemon;
use serde_json::{Value, json};

use super::common::{Client, Options, Server, now};
use super::http::{Answer, GUEST, Http, request, start};
use super::permissions::{all, connect, delete, put};

/// As RabbitMQ 3.10.8 wrote it.
const RABBITMQ: &str = include_str!("rabbitmq-3.10.json");

/// Generous: unoptimised code on a busy machine. The promise is 5 ms.
const LONGEST_TURN_MAX: Duration = Duration::from_millis(100);

fn names(list: &Value) -> Vec<String> {
    let text = |item: &Value| item["name"].as_str().expect("a name").to_owned();
    let mut names: Vec<_> = list.as_array().expect("a list").iter().map(text).collect();
    names.sort();
    names
}

/// Lists of a file, in an order that does not depend on who wrote it.
fn sorted(file: &Value, section: &str) -> Vec<String> {
    let mut all: Vec<_> =
        file[section].as_array().expect("a list").iter().map(ToString::to_string).collect();
    all.sort();
    all
}

#[test]
fn what_rabbitmq_wrote_comes_in_and_goes_out_again() {
    let Some((server, mut http)) = start() else { return };
    let (status, body) = {
        let answer = http.ask("POST", "/api/definitions", RABBITMQ);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    assert_eq!((status, body.as_str()), (204, ""));
    let file: Value = serde_json::from_str(RABBITMQ).unwrap();
    let ours = http.show("/api/definitions");
    for section in ["users", "permissions", "topic_permissions", "global_parameters", "policies"] {
        assert_eq!(sorted(&ours, section), sorted(&file, section), "{section}");
    }
    for section in ["queues", "exchanges", "bindings"] {
        assert_eq!(sorted(&ours, section), sorted(&file, section), "{section}");
    }
    assert_eq!(names(&ours["vhosts"]), names(&file["vhosts"]));
    assert_eq!(ours["rabbit_version"], ours["product_version"]);
    // Limits that there are none of are none.
    assert_eq!(ours["parameters"].as_array().unwrap().len(), 2);
    // Passwords, permissions and bindings are those that RabbitMQ had.
    let mgmt = Options {
        user: "mgmt".into(),
        password: "mgmt".into(),
        vhost: "vf".into(),
        ..Options::default()
    };
    let mut client = connect(&server, &mgmt);
    client.publish(1, "x.direct", "quorum", "body");
    client.wait_for_messages(1, "q.quorum", 1);
    // Twice is as good as once.
    assert_eq!(http.ask("POST", "/api/definitions", RABBITMQ).status, 204);
    assert_eq!(client.inspect(1, "q.quorum").messages, 1);
}

#[test]
fn what_is_written_comes_in_elsewhere() {
    let Some((_server, mut http)) = start() else { return };
    assert_eq!(http.ask("POST", "/api/definitions", RABBITMQ).status, 204);
    let settings = json!({"description": "d", "tags": "a", "default_queue_type": "quorum"});
    assert_eq!(put(&mut http, "/api/vhosts/other", &settings), 204);
    let shovel = json!({"src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "q"});
    assert_eq!(put(&mut http, "/api/parameters/shovel/vf/s", &json!({"value": shovel})), 201);
    let classic = json!({"queues": [{"name": "classic", "durable": true}]}).to_string();
    assert_eq!(http.ask("POST", "/api/definitions/other", &classic).status, 204);
    let first = http.show("/api/definitions");
    let Some((_server, mut second)) = start() else { return };
    assert_eq!(second.ask("POST", "/api/definitions", &first.to_string()).status, 204);
    let again = second.show("/api/definitions");
    for section in first.as_object().unwrap().keys().filter(|key| first[*key].is_array()) {
        assert_eq!(sorted(&again, section), sorted(&first, section), "{section}");
    }
    let classic = second.show("/api/queues?columns=name,type&page=1&name=classic");
    assert_eq!(classic["items"], json!([{"name": "classic", "type": "classic"}]));
}

#[test]
fn a_vhosts_definitions_go_into_another_one() {
    let Some((_server, mut http)) = start() else { return };
    assert_eq!(http.ask("POST", "/api/definitions", RABBITMQ).status, 204);
    let file = http.show("/api/definitions/vf");
    assert_eq!(file.get("users"), None);
    assert_eq!(file["queues"][0].get("vhost"), None);
    assert_eq!(put(&mut http, "/api/vhosts/copy", &json!({})), 201);
    let mut mine = file.clone();
    mine["users"] = json!([{"name": "intruder", "tags": ""}]);
    assert_eq!(http.ask("POST", "/api/definitions/copy", &mine.to_string()).status, 204);
    let copy = http.show("/api/definitions/copy");
    for section in ["queues", "exchanges", "bindings"] {
        assert_eq!(sorted(&copy, section), sorted(&file, section), "{section}");
    }
    let policy = http.show("/api/policies/copy/ttl");
    assert_eq!(policy["definition"], json!({"max-length": 1000, "message-ttl": 600_000}));
    assert_eq!(http.get("/api/users/intruder").status, 404);
    let answer = http.ask("POST", "/api/definitions/nope", "{}");
    assert_eq!(answer.error(404), ("not_found".into(), "vhost_not_found".into()));
    assert_eq!(http.get("/api/definitions/nope").error(400).1, "vhost_not_found");
}

#[test]
fn fields_of_newer_files_are_understood() {
    let Some((_server, mut http)) = start() else { return };
    let file = json!({
        "rabbit_version": "4.1.0", "rabbitmq_version": "4.1.0", "product_name": "RabbitMQ",
        "product_version": "4.1.0", "rabbitmq_definition_format": "cluster",
        "original_cluster_name": "rabbit@a",
        "explanation": "Definitions of cluster 'rabbit@a'",
        "vhosts": [{
            "name": "new", "description": "", "tags": [], "default_queue_type": "undefined",
            "metadata": {"description": "m", "tags": ["t"], "default_queue_type": "quorum"},
            "limits": [],
        }],
        "users": [{
            "name": "u", "tags": ["management"], "limits": {"max-channels": 5},
            "hashing_algorithm": "rabbit_password_hashing_sha512", "password_hash": "",
        }],
        "queues": [{
            "name": "q", "vhost": "new", "type": "quorum", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"},
        }, {
            "name": "typed", "vhost": "new", "type": "stream", "arguments": [],
        }],
        "parameters": [], "topic_permissions": [], "bindings": [], "exchanges": [],
    });
    let answer = http.ask("POST", "/api/definitions", &file.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(put(&mut http, "/api/permissions/new/guest", &all()), 201);
    let types = http.show("/api/queues/new?sort=name&columns=name,type");
    let expected = json!([{"name": "q", "type": "quorum"}, {"name": "typed", "type": "stream"}]);
    assert_eq!(types, expected);
    assert_eq!(http.show("/api/users/u")["limits"], json!({"max-channels": 5}));
    assert_eq!(http.show("/api/vhosts/new")["tags"], json!([]));
}

#[test]
fn a_file_that_is_none_changes_nothing() {
    let Some((_server, mut http)) = start() else { return };
    let before = http.show("/api/definitions");
    let cut = RABBITMQ.trim_end().strip_suffix('}').unwrap();
    for (body, reason) in [
        ("{bad", "failed_to_parse_json"),
        ("[]", "failed_to_parse_json"),
        ("\"str\"", "failed_to_parse_json"),
        (cut, "failed_to_parse_json"),
        (&format!("{RABBITMQ} x"), "failed_to_parse_json"),
        (r#"{"queues": {}}"#, "queues has to be a list"),
    ] {
        assert_eq!(http.ask("POST", "/api/definitions", body).error(400).1, reason);
    }
    assert_eq!(http.show("/api/definitions"), before);
    for body in ["", "{}", r#"{"nope": 1}"#] {
        assert_eq!(http.ask("POST", "/api/definitions", body).status, 204, "{body}");
    }
}

#[test]
fn what_is_refused_is_said_with_its_place_and_all_else_is_there() {
    let Some((_server, mut http)) = start() else { return };
    let file = json!({
        "queues": [
            {"name": "good", "vhost": "/"},
            {"name": "lost", "vhost": "nope"},
            {"vhost": "/"},
            {"name": "bad", "vhost": "/", "arguments": {"x-max-length": -1}},
            5,
        ],
        "users": [{"name": "x"}],
        "bindings": [{
            "source": "nope", "vhost": "/", "destination": "good", "destination_type": "queue",
            "routing_key": "", "arguments": {},
        }],
        "policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"nope": 5}}],
        "permissions": [
            {"user": "nope", "vhost": "/", "configure": "", "write": "", "read": ""},
        ],
    });
    let answer = http.ask("POST", "/api/definitions", &file.to_string());
    assert_eq!(answer.status, 400);
    let refused = answer.json()["refused"].clone();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let refused: Vec<_> = refused
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "path"), text(item, "reason")))
        .collect();
    let expected = [
        ("users[0]", "tags_not_present"),
        ("permissions[0]", "vhost_or_user_not_found"),
        ("policies[0]", "Validation failed"),
        ("queues[1]", "vhost 'nope' does not exist"),
        ("queues[2]", "[{key_missing,name}]"),
        ("queues[3]", "PRECONDITION_FAILED - invalid arg 'x-max-length'"),
        ("queues[4]", "it has to be an object"),
        ("bindings[0]", "NOT_FOUND - no exchange 'nope' in vhost '/'"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:?}");
    for ((path, reason), (at, said)) in refused.iter().zip(expected) {
        assert!(path == at && reason.starts_with(said), "{path}: {reason}");
    }
    assert_eq!(names(&http.show("/api/queues?columns=name")), ["good"]);
}

/// What a dry run said has to be what then happened.
fn expect_as_said(said: &Answer, answer: &Answer) {
    if said.status == 400 {
        return assert_eq!(said.json(), answer.json());
    }
    let said = said.json();
    let refused = match answer.status {
        204 => json!([]),
        _ => answer.json()["refused"].clone(),
    };
    assert_eq!(said["refused"], refused);
}

/// Whatever stands in a file, somebody gets an answer, and nobody else notices.
#[test]
fn a_file_with_anything_in_it_is_answered() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let mut state = 7u64;
    let mut below = |bound: usize| {
        // Numbers that are the same in every run.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    let values = [
        "null",
        "-1",
        "1e300",
        "18446744073709551615",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[[]]",
        "true",
        "{\"a\":{\"b\":[null,1.5]}}",
        "\"\\u0000\"",
        "\"(?<\"",
    ];
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let mut file: Value = serde_json::from_str(RABBITMQ).expect("it is JSON");
        for _ in 0..=below(4) {
            let sections: Vec<_> = file.as_object().expect("a file").keys().cloned().collect();
            let section = &sections[below(sections.len())];
            let Some(list) = file[section].as_array_mut().filter(|list| !list.is_empty()) else {
                continue;
            };
            let index = below(list.len());
            let Some(object) = list[index].as_object_mut().filter(|it| !it.is_empty()) else {
                continue;
            };
            let keys: Vec<_> = object.keys().cloned().collect();
            let key = keys[below(keys.len())].clone();
            let value = values[below(values.len())];
            object.insert(key, serde_json::from_str(value).expect("it is JSON"));
        }
        // Nobody is locked out by it.
        file["users"] = json!([]);
        file["permissions"] = json!([]);
        file["topic_permissions"] = json!([]);
        let said = http.ask("POST", "/api/definitions?dry_run=true", &file.to_string());
        let answer = http.ask("POST", "/api/definitions", &file.to_string());
        expect_as_said(&said, &answer);
        *statuses.entry(answer.status).or_insert(0) += 1;
        client.round_trip(1);
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [204, 400], "{statuses:?}");
    assert_eq!(http.get("/api/definitions").status, 200);
}

/// Everything that lasts is a record of the log, which has an end.
#[test]
fn what_is_too_long_to_last_is_refused() {
    let Some((_server, mut http)) = start() else { return };
    let long = "x".repeat(700_000);
    let queue = |name: &str, more: &str| {
        let arguments = json!({"x-a": long, "x-b": more});
        json!({"name": name, "vhost": "/", "arguments": arguments})
    };
    let file = json!({
        "queues": [queue("good", ""), queue("bad", &long)],
        "exchanges": [{"name": "bad", "vhost": "/", "type": "fanout", "arguments": {"a": long}}],
        "bindings": [{
            "source": "amq.topic", "vhost": "/", "destination": "good",
            "destination_type": "queue", "routing_key": "", "arguments": {"a": long},
        }],
    });
    let answer = http.ask("POST", "/api/definitions", &file.to_string()).json();
    let paths: Vec<_> =
        answer["refused"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, [&json!("queues[1]"), &json!("bindings[0]")]);
    // Many permissions, of which each is short enough.
    let text = "x".repeat(20_000);
    let mut put_topic = |number: usize| {
        let topic = json!({"exchange": format!("x{number}"), "write": text, "read": ""});
        http.ask("PUT", "/api/topic-permissions/%2F/guest", &topic.to_string())
    };
    let taken = (0..100).take_while(|number| put_topic(*number).status == 201).count();
    assert!((40..60).contains(&taken), "{taken}");
    let refused = put_topic(100).error(400).1;
    assert!(refused.starts_with("a user with all of its permissions has at most"), "{refused}");
    let kept = http.show("/api/topic-permissions/%2F/guest");
    assert_eq!(kept.as_array().unwrap().len(), taken);
}

/// What the page sends when somebody chooses a file.
#[test]
fn a_file_comes_in_a_form() {
    let Some((_server, mut http)) = start() else { return };
    let form = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\
         Content-Type: application/json\r\n\r\n{RABBITMQ}\r\n--xyz--\r\n"
    );
    let headers = format!("{GUEST}Content-Type: multipart/form-data; boundary=xyz\r\n");
    assert_eq!(http.ask_as(&headers, "POST", "/api/definitions", &form).status, 204);
    assert_eq!(http.show("/api/queues/vf").as_array().unwrap().len(), 5);
    let answer = http.ask_as(&headers, "POST", "/api/definitions", "--xyz--\r\n");
    assert_eq!(answer.error(400).1, "the form has no file in it");
}

/// `LEVERET_TURNS=full` makes the file as long as the promise is.
fn many() -> usize {
    let is_full = std::env::var_os("LEVERET_TURNS").is_some_and(|how| how == "full");
    if is_full { 100_000 } else { 10_000 }
}

#[test]
fn a_long_file_makes_nobody_wait() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let mut http = Http::connect(address);
    let mut client = Client::connect(server.address());
    let queue = |number: usize| {
        format!(
            "{{\"name\":\"q{number:07}\",\"vhost\":\"v\",\"durable\":true,\"auto_delete\":false,\
             \"arguments\":{{\"x-max-length\":100}}}}"
        )
    };
    let queues: Vec<String> = (0..many()).map(queue).collect();
    let file = format!(
        "{{\"queues\":[{}],\"vhosts\":[{{\"name\":\"v\"}}],\"permissions\":[{{\"user\":\"guest\",\
         \"vhost\":\"v\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}}]}}",
        queues.join(",")
    );
    client.round_trip(1);
    server.take_longest_turn();
    let began = now();
    assert_eq!(http.ask("POST", "/api/definitions", &file).status, 204);
    look(&server, "a file of queues comes in", began.elapsed());
    let began = now();
    let written = http.show("/api/definitions");
    look(&server, "a file of queues goes out", began.elapsed());
    assert_eq!(written["queues"].as_array().unwrap().len(), many());
    client.round_trip(1);
    let began = now();
    assert_eq!(delete(&mut http, "/api/vhosts/v"), 204);
    look(&server, "a vhost of queues is deleted", began.elapsed());
    assert_eq!(http.show("/api/queues"), json!([]));
}

#[allow(clippy::print_stdout, reason = "`scripts/bench --turns` shows such figures")]
fn look(server: &Server, what: &str, took: Duration) {
    let longest = server.take_longest_turn().expect("it is ours");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("longest turn {:>8.2} ms  {what}: {}, in {:.1} ms", ms(longest), many(), ms(took));
    assert!(longest < LONGEST_TURN_MAX, "{what}: a turn took {longest:?}");
}

#[test]
fn what_came_in_is_there_after_a_kill() {
    let Some(mut node) = super::common::Node::start() else { return };
    let client = node.connect();
    let mut owner = Http::connect_owner(node.process().directory());
    owner.send(request("", "POST", "/api/definitions", RABBITMQ).as_bytes());
    assert_eq!(owner.answer().status, 204);
    let before = owner.ask_as("", "GET", "/api/definitions", "").json();
    node.restart(super::common::End::Kill, client);
    let mut owner = Http::connect_owner(node.process().directory());
    let after = owner.ask_as("", "GET", "/api/definitions", "").json();
    for section in before.as_object().unwrap().keys().filter(|key| before[*key].is_array()) {
        // What does not last is not there.
        let lasts = |text: &String| !text.contains("x.headers") && !text.contains("x.fanout");
        let kept = sorted(&before, section).into_iter().filter(lasts).collect::<Vec<_>>();
        assert_eq!(sorted(&after, section), kept, "{section}");
    }
}

/// A broker on this directory that takes the definitions in this file in.
fn start_on(directory: &Path, file: &Path, skip: bool) -> (daemon::Server, Http) {
    let server = daemon::Server::start(daemon::Config {
        data_dir: directory.to_owned(),
        listeners: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        management: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        prometheus: None,
        load_definitions: Some(file.to_owned()),
        skip_unchanged_definitions: skip,
        ..daemon::Config::default()
    });
    let server = server.expect("it starts");
    let http = Http::connect(server.management_address().expect("it listens"));
    (server, http)
}

#[test]
fn files_are_taken_in_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("d.json"));
    fs::write(&file, RABBITMQ).unwrap();
    let (server, mut http) = start_on(&data, &file, true);
    let users = names(&http.show("/api/users?columns=name"));
    assert_eq!(users, ["admin", "guest", "mgmt", "mon", "noperm", "notag", "pol"]);
    assert_eq!(http.show("/api/queues/vf").as_array().unwrap().len(), 5);
    assert_eq!(delete(&mut http, "/api/users/notag"), 204);
    drop(server);
    // The same file is passed over, if that is wanted.
    let (server, mut http) = start_on(&data, &file, true);
    assert_eq!(http.get("/api/users/notag").status, 404);
    drop(server);
    let (server, mut http) = start_on(&data, &file, false);
    assert_eq!(http.get("/api/users/notag").status, 200);
    assert_eq!(delete(&mut http, "/api/users/notag"), 204);
    drop(server);
    fs::write(&file, RABBITMQ.replace("\"noperm\"", "\"another\"")).unwrap();
    let (_server, mut http) = start_on(&data, &file, true);
    assert_eq!(http.get("/api/users/notag").status, 200);
    assert_eq!(http.get("/api/users/another").status, 200);
}

/// Somebody has to log in.
#[test]
fn files_without_users_leave_the_default_one() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("d.json"));
    fs::write(&file, r#"{"vhosts": [{"name": "v"}]}"#).unwrap();
    let (_server, mut http) = start_on(&data, &file, false);
    assert_eq!(names(&http.show("/api/vhosts?columns=name")), ["/", "v"]);
}
