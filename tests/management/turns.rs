//! Does what operators change make anybody wait?

use std::time::Duration;

use serde_json::json;

use leveret::daemon::Config;

use super::common::{Client, Options, Server, basic, encode_publish, now, persistent};
use super::http::{GUEST, Http, request};
use super::permissions::{all, connect, delete, put};

/// Generous: unoptimised code on a busy machine. The promise is 5 ms.
const LONGEST_TURN_MAX: Duration = Duration::from_millis(100);

/// How many of what a case takes very many of: a tenth, unless `LEVERET_TURNS=full`.
fn many(count: usize) -> usize {
    let is_full = std::env::var_os("LEVERET_TURNS").is_some_and(|how| how == "full");
    if is_full { count } else { count / 10 }
}

#[allow(clippy::print_stdout, reason = "`scripts/bench --turns` shows such figures")]
fn look(server: &Server, what: &str) {
    let longest = server.take_longest_turn().expect("it is ours");
    println!("longest turn {:>8.2} ms  {what}", longest.as_secs_f64() * 1e3);
    assert!(longest < LONGEST_TURN_MAX, "{what}: a turn took {longest:?}");
}

/// A broker, its API, and somebody whom nothing of it concerns.
fn start() -> Option<(Server, Http, Client)> {
    let server = Server::start();
    let http = Http::connect(server.management_address()?);
    let bystander = Client::connect(server.address());
    Some((server, http, bystander))
}

/// Publishes so many messages.
fn fill(client: &mut Client, exchange: &str, key: &str, count: usize) {
    client.open(9);
    client.confirm_select(9);
    let publish = basic::Publish {
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    };
    let (mut left, mut confirmed) = (count, 0);
    while left > 0 {
        let part = left.min(5_000);
        let mut out = Vec::new();
        for _ in 0..part {
            encode_publish(&mut out, 9, publish, &persistent(), b"body", 131_072);
        }
        client.send_bytes(&out);
        left -= part;
        let sent = (count - left) as u64;
        client.expect_confirms(9, confirmed + 1, sent);
        confirmed = sent;
    }
    client.close_channel(9);
}

#[test]
fn a_vhost_with_very_many_messages_is_deleted() {
    let Some((server, mut http, mut bystander)) = start() else { return };
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({})), 201);
    assert_eq!(put(&mut http, "/api/permissions/v/guest", &all()), 201);
    let options = Options { vhost: "v".into(), ..Options::default() };
    let mut client = connect(&server, &options);
    let queue = client.durable_queue(1);
    fill(&mut client, "", &queue, many(1_000_000));
    bystander.round_trip(1);
    server.take_longest_turn();
    let began = now();
    http.send(request(GUEST, "DELETE", "/api/vhosts/v", "").as_bytes());
    client.expect_connection_error(320, "vhost 'v' is deleted");
    assert_eq!(http.answer().status, 204);
    assert!(began.elapsed() < Duration::from_secs(10));
    (0..500).for_each(|_| bystander.round_trip(1));
    look(&server, "a vhost with 1,000,000 messages is deleted");
}

/// All of it is told: what finds no place among what waits is dropped, and nobody waits for it.
#[test]
fn a_vhost_with_very_many_queues_is_deleted_while_events_are_told() {
    let settings = Config { event_exchange: true, ..Config::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let (mut http, mut watcher) = (Http::connect(address), Client::connect(server.address()));
    let count = many(100_000);
    let queues: Vec<_> = (0..count)
        .map(|number| json!({"name": format!("q{number}"), "vhost": "v", "durable": true}))
        .collect();
    let file = json!({ "vhosts": [{"name": "v"}], "queues": queues }).to_string();
    assert_eq!(http.ask("POST", "/api/definitions", &file).status, 204);
    let (events, last) = (watcher.shared_queue(1), watcher.shared_queue(1));
    watcher.bind(1, &events, "amq.rabbitmq.event", "queue.deleted");
    watcher.bind(1, &last, "amq.rabbitmq.event", "vhost.deleted");
    server.take_longest_turn();
    assert_eq!(delete(&mut http, "/api/vhosts/v"), 204);
    watcher.wait_for_messages(1, &last, 1);
    look(&server, "a vhost with 100,000 queues is deleted while events are told");
    let told = watcher.inspect(1, &events).messages as usize;
    assert_eq!(told, count, "as they go no faster than they are told");
}

#[test]
fn a_policy_is_set_that_holds_for_very_many_queues() {
    let Some((server, mut http, mut client)) = start() else { return };
    let queues: Vec<_> = (0..many(100_000))
        .map(|number| json!({"name": format!("q{number}"), "vhost": "/", "durable": true}))
        .collect();
    let file = json!({ "queues": queues }).to_string();
    server.take_longest_turn();
    let said = http.ask("POST", "/api/definitions?dry_run=true", &file);
    assert_eq!(said.json()["added"], json!(many(100_000)));
    look(&server, "it is found out what a file with 100,000 queues would change");
    assert_eq!(http.ask("POST", "/api/definitions", &file).status, 204);
    client.round_trip(1);
    server.take_longest_turn();
    let policy = json!({"pattern": "^q.*[13579]$", "definition": {"max-length": 5}});
    let said = http.ask("POST", "/api/policy-preview/%2F", &policy.to_string());
    assert_eq!(said.json()["queues"]["count"], json!(many(100_000) / 2));
    look(&server, "it is found out which of 100,000 queues a policy would match");
    assert_eq!(put(&mut http, "/api/policies/%2F/p", &policy), 201);
    // Answered for, it holds for all of them.
    let last = format!("/api/queues/%2F/q{}?columns=policy", many(100_000) - 1);
    assert_eq!(http.show(&last), json!({"policy": "p"}));
    look(&server, "a policy for half of 100,000 queues is set");
    assert_eq!(delete(&mut http, "/api/policies/%2F/p"), 204);
    look(&server, "and taken back");
}

#[test]
fn dead_letters_are_looked_for_in_very_many_queues() {
    let Some((server, mut http, mut client)) = start() else { return };
    let names: Vec<_> = (0..many(100_000)).map(|number| format!("q{number}")).collect();
    let queues = names.iter().map(|name| json!({"name": name, "vhost": "/", "durable": true}));
    let bindings = names.iter().map(|name| {
        json!({
            "source": "amq.fanout", "vhost": "/", "destination": name,
            "destination_type": "queue", "routing_key": "", "arguments": {},
        })
    });
    let (queues, bindings): (Vec<_>, Vec<_>) = (queues.collect(), bindings.collect());
    let file = json!({ "queues": queues, "bindings": bindings }).to_string();
    assert_eq!(http.ask("POST", "/api/definitions", &file).status, 204);
    fill(&mut client, "amq.fanout", "", 1);
    client.round_trip(1);
    server.take_longest_turn();
    let found = http.show("/api/queues?page=1&page_size=1&state=ready,dead_letters");
    assert_eq!((&found["total_count"], &found["filtered_count"]), (&json!(0), &json!(0)));
    look(&server, "dead letters are looked for in 100,000 queues");
    let found = http.show("/api/queues?page=1&page_size=1&state=ready,no_consumers,idle,ready");
    assert_eq!(found["filtered_count"], json!(names.len()));
    look(&server, "queues without consumers are looked for among 100,000");
}

#[test]
fn a_user_with_very_many_consumers_loses_his_rights() {
    let Some((server, mut http, mut bystander)) = start() else { return };
    let ann = super::permissions::user(&mut http, "ann");
    let mut client = connect(&server, &ann);
    let queue = client.durable_queue(1);
    for number in 0..many(10_000) {
        let tag = format!("c{number}");
        let consume = basic::Consume {
            queue: queue.as_bytes(),
            consumer_tag: tag.as_bytes(),
            nowait: true,
            ..Default::default()
        };
        client.send(1, consume);
    }
    client.round_trip(1);
    server.take_longest_turn();
    assert_eq!(delete(&mut http, "/api/permissions/%2F/ann"), 204);
    (0..100).for_each(|_| bystander.round_trip(1));
    look(&server, "a user with 10,000 consumers loses his rights");
}

/// Asks for something that takes many turns, and is answered in the end.
fn act(http: &mut Http, server: &Server, path: &str, body: &serde_json::Value, what: &str) {
    server.take_longest_turn();
    http.send(request(GUEST, "POST", path, &body.to_string()).as_bytes());
    let answer = http.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    look(server, what);
}

#[test]
fn very_many_messages_are_moved_copied_and_taken_back() {
    let Some((server, mut http, mut bystander)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (source, target) = (client.durable_queue(1), client.durable_queue(1));
    let count = many(1_000_000);
    fill(&mut client, "", &source, count);
    bystander.round_trip(1);
    let path = |queue: &str, action: &str| format!("/api/queues/%2F/{queue}/messages/{action}");
    let all = json!({"all": true, "to": {"queue": target}});
    act(&mut http, &server, &path(&source, "move"), &all, "move 1,000,000 messages");
    assert_eq!(client.inspect(1, &target).messages as usize, count);
    let some = json!({"count": many(200_000), "to": {"exchange": "amq.fanout"}});
    act(&mut http, &server, &path(&target, "copy"), &some, "200,000 messages lead nowhere");
    // Nothing of it is there: every part of the line is looked through for each.
    let ids: Vec<u64> = (0..20_000).collect();
    let what = "20,000 ids are looked for, among 1,000,000 messages";
    act(&mut http, &server, &path(&target, "delete"), &json!({ "ids": ids }), what);
    let scan = format!("/api/queues/%2F/{target}/browse?contains=nowhere&scan=100000");
    server.take_longest_turn();
    assert_eq!(http.get(&scan).json(), json!([]));
    look(&server, "100,000 messages are looked through");
    let mut stuck = Client::connect(server.address());
    let unacked = many(500_000);
    stuck.consume(1, &target);
    stuck.expect_bodies(1, unacked);
    let everything = json!({"all_unacked": true});
    let what = "take back 500,000 unacked messages and more";
    act(&mut http, &server, &path(&target, "requeue"), &everything, what);
    assert_eq!(client.inspect(1, &target).messages as usize, count);
}
