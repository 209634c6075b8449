//! Where is a message while it moves, whoever else does what with its queues?

use std::collections::HashMap;

use serde_json::json;

use super::common::{Client, End, Node, Server, Value as Field, fields, now};
use super::http::{GUEST, Http, granted, request, start};
use super::transfers::{act, ids, moved, path, publish_all, ready};

#[test]
fn a_move_is_answered_once_it_is_on_disk() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (source, target) = (client.durable_queue(1), client.durable_queue(1));
    publish_all(&mut client, &source, &["a", "b", "c"]);
    client.confirm_all(9, &source, [b"d".to_vec()]);
    let known = ids(&mut http, &source);
    let gate = server.gate().expect("it is ours");
    for (action, body) in [
        ("move", json!({"count": 1, "to": {"queue": target}})),
        ("copy", json!({"count": 1, "to": {"queue": target}})),
        ("delete", json!({"ids": [known[3]]})),
    ] {
        gate.hold();
        http.send(request(GUEST, "POST", &path(&source, action), &body.to_string()).as_bytes());
        let before = now();
        while before.elapsed().as_millis() < 50 {
            client.round_trip(1);
        }
        http.expect_nothing_yet();
        gate.release();
        assert_eq!(http.answer().status, 200);
    }
    assert_eq!(ready(&mut http, &source), ["b", "c"]);
    assert_eq!(ready(&mut http, &target), ["a", "b"]);
}

/// A broker whose source has so many messages, and a target.
fn with_many(count: usize) -> Option<(Server, Http, Client, String, String)> {
    let (server, http) = start()?;
    let mut client = Client::connect(server.address());
    let (source, target) = (client.durable_queue(1), client.durable_queue(1));
    client.confirm_all(9, &source, (0..count).map(|n| n.to_string().into_bytes()));
    Some((server, http, client, source, target))
}

fn count(client: &mut Client, queue: &str) -> usize {
    client.inspect(1, queue).messages as usize
}

#[test]
fn a_target_that_goes_while_messages_move_ends_the_move() {
    let Some((_server, mut http, mut client, source, target)) = with_many(30_000) else { return };
    let body = json!({"all": true, "to": {"queue": target}}).to_string();
    http.send(request(GUEST, "POST", &path(&source, "move"), &body).as_bytes());
    while count(&mut client, &target) == 0 {}
    client.delete_queue(1, &target);
    let answer = http.answer();
    let shown = answer.json();
    let moved = shown["moved"].as_u64().expect("some were moved");
    assert_eq!(count(&mut client, &source) as u64, 30_000 - moved, "{shown}");
    assert!(answer.status == 404 && shown["reason"].is_string() || moved == 30_000, "{answer:?}");
}

#[test]
fn a_source_that_others_empty_while_messages_move_loses_none() {
    let Some((server, mut http, mut client, source, target)) = with_many(30_000) else { return };
    let mut consumer = Client::connect(server.address());
    let body = json!({"all": true, "to": {"queue": target}}).to_string();
    http.send(request(GUEST, "POST", &path(&source, "move"), &body).as_bytes());
    while count(&mut client, &target) == 0 {}
    let tag = consumer.consume(1, &source);
    let answer = http.answer().json();
    let mut consumed = consumer.cancel(1, &tag).len() as u64;
    while consumer.next_within(std::time::Duration::from_millis(1)).is_ok_and(|one| one.is_some()) {
        consumed += 1;
    }
    let shown = http.show(&format!("/api/queues/%2F/{source}"));
    let unacked = shown["messages_unacknowledged"].as_u64().expect("a number");
    assert!(consumed <= unacked);
    let moved = answer["moved"].as_u64().expect("a number");
    let ready = shown["messages_ready"].as_u64().expect("a number");
    assert_eq!(moved + unacked + ready, 30_000, "{answer} {shown}");
    assert_eq!(count(&mut client, &target) as u64, moved);
}

#[test]
fn a_source_that_is_purged_or_deleted_while_messages_move_ends_the_move() {
    for is_deleted in [false, true] {
        let Some((_server, mut http, mut client, source, target)) = with_many(30_000) else {
            return;
        };
        let body = json!({"all": true, "to": {"queue": target}}).to_string();
        http.send(request(GUEST, "POST", &path(&source, "move"), &body).as_bytes());
        while count(&mut client, &target) == 0 {}
        let dropped = match is_deleted {
            true => client.delete_queue(1, &source),
            false => client.purge(1, &source),
        };
        let answer = http.answer();
        let moved = answer.json()["moved"].as_u64().expect("a number");
        assert_eq!(moved + u64::from(dropped), 30_000, "{answer:?}");
        assert_eq!(count(&mut client, &target) as u64, moved);
    }
}

#[test]
fn a_client_that_leaves_while_messages_move_leaves_each_in_one_place() {
    let Some((server, mut http, mut client, source, target)) = with_many(30_000) else { return };
    let body = json!({"all": true, "to": {"queue": target}}).to_string();
    http.send(request(GUEST, "POST", &path(&source, "move"), &body).as_bytes());
    while count(&mut client, &target) == 0 {}
    drop(http);
    // It stops, or was over.
    let address = server.management_address().expect("it is ours");
    let mut http = Http::connect(address);
    let mut before = usize::MAX;
    loop {
        (0..50).for_each(|_| client.round_trip(1));
        let now = count(&mut client, &source);
        if now == before {
            break;
        }
        before = now;
    }
    let (left, there) = (count(&mut client, &source), count(&mut client, &target));
    assert_eq!(left + there, 30_000);
    let body = json!({"all": true, "to": {"queue": target}});
    assert_eq!(act(&mut http, &source, "move", &body), moved(left as u64));
    let taken = client.drain(1, &target);
    let expected: Vec<String> = (0..30_000).map(|n: u32| n.to_string()).collect();
    assert_eq!(taken, expected);
}

#[test]
fn messages_that_expire_while_they_move_are_in_one_place_or_gone() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let target = client.durable_queue(1);
    let (dead, arguments) =
        (client.durable_queue(1), fields(&[("x-message-ttl", Field::I64(300))]));
    let mut arguments = arguments;
    arguments.put_str(b"x-dead-letter-exchange", "");
    arguments.put_str(b"x-dead-letter-routing-key", &dead);
    let source = client.durable_queue_with(1, arguments.table());
    client.confirm_all(9, &source, (0..5_000_u32).map(|n| n.to_string().into_bytes()));
    let body = json!({"all": true, "to": {"queue": target}});
    let mut moved = 0;
    while count(&mut client, &source) > 0 {
        moved += act(&mut http, &source, "move", &body)["moved"].as_u64().expect("a number");
    }
    client.wait_for_messages(1, &dead, 5_000 - u32::try_from(moved).expect("few"));
    assert_eq!(count(&mut client, &target) as u64, moved);
}

/// The promise of a move: here or there, or both for a crash, and never nowhere.
#[test]
fn a_kill_in_the_middle_of_a_move_loses_and_invents_nothing() {
    const COUNT: usize = 100_000;
    let Some(mut node) = Node::start() else { return };
    let mut client = node.connect();
    let arguments = json!({"durable": true}).to_string();
    granted(&node, "PUT", "/api/queues/%2F/from", &arguments);
    granted(&node, "PUT", "/api/queues/%2F/to", &arguments);
    client.confirm_all(9, "from", (0..COUNT).map(|n| n.to_string().into_bytes()));
    for (round, at) in [2_000, 30_000, 45_000].into_iter().enumerate() {
        let mut owner = Http::connect_owner(node.process().directory());
        let body = json!({"all": true, "to": {"queue": "to"}}).to_string();
        owner.send(request("", "POST", &path("from", "move"), &body).as_bytes());
        while count(&mut client, "to") < at {}
        node.restart(End::Kill, client);
        client = node.connect();
        let (left, there) = (count(&mut client, "from"), count(&mut client, "to"));
        assert!(left + there >= COUNT, "round {round}: {left} and {there}");
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    for queue in ["from", "to"] {
        for body in client.drain(1, queue) {
            *seen.entry(body).or_default() += 1;
        }
    }
    let lost = (0..COUNT).filter(|n| !seen.contains_key(&n.to_string())).count();
    assert_eq!((lost, seen.len()), (0, COUNT));
    assert!(seen.values().all(|&times| times <= 1 + 3), "once for each crash at most");
}
