//! What becomes of messages that operators move, copy, delete or take back, and of all others?

use serde_json::{Value, json};

use super::common::{
    Cancel, Client, Options, PropertyList, TxCommitOk, TxSelectOk, Value as Field, basic, fields,
    now, persistent, prioritized, tx, with_headers, word, words,
};
use super::http::{Http, start};
use super::permissions::{put, user};

pub fn path(queue: &str, action: &str) -> String {
    format!("/api/queues/%2F/{queue}/messages/{action}")
}

/// Asks, and expects it to work.
pub fn act(http: &mut Http, queue: &str, action: &str, body: &Value) -> Value {
    let answer = http.ask("POST", &path(queue, action), &body.to_string());
    assert_eq!(answer.status, 200, "{action} {body}: {answer:?}");
    answer.json()
}

fn refused(http: &mut Http, queue: &str, action: &str, body: &Value) -> (u16, String) {
    let answer = http.ask("POST", &path(queue, action), &body.to_string());
    assert!(answer.status >= 400, "{action} {body}: {answer:?}");
    let error = answer.json();
    assert!(!error["reason"].is_null(), "{error}");
    (answer.status, error["reason"].to_string())
}

pub fn moved(count: u64) -> Value {
    json!({"moved": count, "missing": 0, "unroutable": 0, "skipped": 0, "reasons": {}})
}

fn browse(http: &mut Http, queue: &str, query: &str) -> Vec<Value> {
    let seen = http.show(&format!("/api/queues/%2F/{queue}/browse?{query}"));
    seen.as_array().expect("a list").clone()
}

pub fn ids(http: &mut Http, queue: &str) -> Vec<String> {
    let id = |one: &Value| one["id"].as_str().expect("each has one").to_owned();
    browse(http, queue, "count=1000").iter().map(id).collect()
}

fn payloads(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["payload"].as_str().expect("a text")).collect()
}

/// The bodies of what is ready.
pub fn ready(http: &mut Http, queue: &str) -> Vec<String> {
    payloads(&browse(http, queue, "count=1000")).into_iter().map(str::to_owned).collect()
}

pub fn publish_all(client: &mut Client, queue: &str, bodies: &[&str]) {
    bodies
        .iter()
        .for_each(|body| client.publish_with(1, "", queue, &persistent(), body.as_bytes()));
    client.round_trip(1);
}

#[test]
fn an_id_stays_with_its_message_while_others_come_and_go() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    publish_all(&mut client, &queue, &["a", "b", "c"]);
    let before = ids(&mut http, &queue);
    let got = client.get(1, &queue).expect("a message");
    client.ack(1, got.tag);
    publish_all(&mut client, &queue, &["d"]);
    let after = ids(&mut http, &queue);
    assert_eq!((&after[..2], after.len()), (&before[1..], 3));
    let again = client.get(1, &queue).expect("a message");
    client.reject(1, again.tag, true);
    client.round_trip(1);
    assert_eq!(ids(&mut http, &queue), after, "it is back where it was");
}

#[test]
fn messages_are_looked_for_by_what_is_in_them() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &queue, &exchange, "");
    for n in 0..200_i32 {
        let headers = fields(&[("n", Field::I32(n % 10)), ("word", word("even"))]);
        let plain = PropertyList::default();
        let properties = if n % 2 == 0 { with_headers(&headers) } else { plain };
        let key = if n % 50 == 0 { "rare" } else { "common" };
        client.publish_with(1, &exchange, key, &properties, format!("body {n} end").as_bytes());
    }
    client.round_trip(1);
    let found = |http: &mut Http, query: &str| {
        let seen = browse(http, &queue, query);
        let position = |one: &Value| one["position"].as_u64().expect("each has one");
        seen.iter().map(position).collect::<Vec<_>>()
    };
    assert_eq!(found(&mut http, "contains=body%207%20"), [7]);
    assert_eq!(found(&mut http, "contains=nowhere"), [0_u64; 0]);
    assert_eq!(found(&mut http, "routing_key=rare"), [0, 50, 100, 150]);
    assert_eq!(found(&mut http, "header=n:4&from=100"), (104..200).step_by(10).collect::<Vec<_>>());
    assert_eq!(found(&mut http, "header=word&count=1000").len(), 100);
    assert_eq!(found(&mut http, "header=word:odd"), [0_u64; 0]);
    assert_eq!(found(&mut http, "header=n:0&routing_key=rare&contains=50"), [50, 150]);
    assert_eq!(found(&mut http, "last=true&count=3"), [197, 198, 199]);
    assert_eq!(found(&mut http, "last=true&routing_key=rare&scan=60"), [150]);
    assert_eq!(http.get(&format!("/api/queues/%2F/{queue}/browse?last=true&from=1")).status, 400);
    let long = "x".repeat(256);
    let path = format!("/api/queues/%2F/{queue}/browse?contains={long}");
    assert_eq!(http.get(&path).status, 400);
    // In pages, each of which looks at so many.
    let (mut from, mut all, mut pages) = (json!(0), Vec::new(), 0);
    while let Some(position) = from.as_u64() {
        let query = format!("paged=true&routing_key=rare&scan=30&from={position}");
        let page = http.show(&format!("/api/queues/%2F/{queue}/browse?{query}"));
        let messages = page["messages"].as_array().expect("a list").clone();
        all.extend(messages.iter().map(|one| one["position"].as_u64()));
        assert!(page["scanned"].as_u64() <= Some(30));
        from = page["next"].clone();
        pages += 1;
    }
    assert_eq!(all, [Some(0), Some(50), Some(100), Some(150)]);
    assert_eq!(pages, 7);
}

#[test]
fn chosen_messages_are_moved_as_they_are_and_the_others_stay_where_they_were() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (source, target) = (client.durable_queue(1), client.durable_queue(1));
    let copies = words(&["x"]);
    let headers = fields(&[("a", Field::I32(1)), ("CC", Field::Array(copies.array()))]);
    let list = PropertyList {
        content_type: Some(b"text/plain"),
        delivery_mode: Some(2),
        priority: Some(3),
        correlation_id: Some(b"c"),
        expiration: Some(b"600000"),
        headers: Some(headers.table()),
        ..PropertyList::default()
    };
    for n in 0..6 {
        client.publish_with(1, "", &source, &list, n.to_string().as_bytes());
    }
    client.round_trip(1);
    let known = ids(&mut http, &source);
    let wanted = [&known[4], &known[1], "nonsense", &known[1], "", "-1", "99999999999999999999"];
    let to = json!({"queue": target});
    let answer = act(&mut http, &source, "move", &json!({"ids": wanted, "to": to}));
    let expected = json!({"moved": 2, "missing": 4, "unroutable": 0, "skipped": 0, "reasons": {}});
    assert_eq!(answer, expected, "an id that is there twice counts once");
    assert_eq!(ready(&mut http, &source), ["0", "2", "3", "5"]);
    assert_eq!(ready(&mut http, &target), ["4", "1"]);
    let got = client.get(1, &target).expect("it was moved");
    let found = got.message.list();
    assert_eq!((found.content_type, found.priority), (list.content_type, list.priority));
    assert_eq!((found.correlation_id, found.expiration), (list.correlation_id, list.expiration));
    let found = got.message.headers();
    assert_eq!(found.table().find(b"a"), Some(Field::I32(1)));
    assert_eq!(found.table().iter().count(), 1, "no CC: it was sent to this queue alone");
    assert!(!got.redelivered);
    // It has another id there, by which the first queue does not know it.
    let answer = act(&mut http, &source, "move", &json!({"ids": [known[1]], "to": to}));
    assert_eq!((&answer["moved"], &answer["missing"]), (&json!(0), &json!(1)));
    let others = ids(&mut http, &target);
    let answer = act(&mut http, &source, "delete", &json!({"ids": others}));
    assert_eq!(answer, json!({"deleted": 0, "missing": 1}));
    // Copies.
    let answer = act(&mut http, &source, "copy", &json!({"count": 2, "to": to}));
    assert_eq!((&answer["copied"], &answer["skipped"]), (&json!(2), &json!(0)));
    assert_eq!(ready(&mut http, &source), ["0", "2", "3", "5"]);
    assert_eq!(ready(&mut http, &target), ["1", "0", "2"]);
    assert_eq!(act(&mut http, &source, "move", &json!({"all": true, "to": to})), moved(4));
    assert_eq!(ready(&mut http, &source), [""; 0]);
    assert_eq!(act(&mut http, &source, "move", &json!({"all": true, "to": to})), moved(0));
}

#[test]
fn nothing_is_done_without_a_target_that_is_there() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    publish_all(&mut client, &queue, &["a", "b"]);
    let internal = json!({"type": "fanout", "internal": true, "durable": true});
    assert_eq!(put(&mut http, "/api/exchanges/%2F/inner", &internal), 201);
    let long = "n".repeat(256);
    let all = |to: Value| json!({"all": true, "to": to});
    for action in ["move", "copy"] {
        for (body, status) in [
            (json!({"all": true}), 400),
            (all(json!(null)), 400),
            (all(json!("")), 400),
            (all(json!("nowhere")), 400),
            (all(json!({})), 400),
            (all(json!([])), 400),
            (all(json!({"queue": ""})), 400),
            (all(json!({"exchange": ""})), 400),
            (all(json!({"queue": null})), 400),
            (all(json!({"queue": 5})), 400),
            (all(json!({"queue": long})), 400),
            (all(json!({"queue": "a", "exchange": "b"})), 400),
            (all(json!({"queue": "a", "routing_key": "b"})), 400),
            (all(json!({"routing_key": queue})), 400),
            (all(json!({"queu": queue})), 400),
            (all(json!({"queue": queue})), 400),
            (all(json!({"queue": "nope"})), 404),
            (all(json!({"exchange": "nope"})), 404),
            (all(json!({"exchange": "inner"})), 401),
            (json!({"to": {"queue": "nope"}}), 400),
            (json!({"ids": "1", "to": "origin"}), 400),
            (json!({"ids": [], "all": true, "to": "origin"}), 400),
            (json!({"count": -1, "to": "origin"}), 400),
            (json!({"count": 1, "all": true, "to": "origin"}), 400),
            (json!({"all": false, "to": "origin"}), 400),
        ] {
            let (found, reason) = refused(&mut http, &queue, action, &body);
            assert_eq!(found, status, "{action} {body}: {reason}");
        }
    }
    for body in [json!({}), json!({"all": true}), json!({"count": 2}), json!({"ids": null})] {
        assert_eq!(refused(&mut http, &queue, "delete", &body).0, 400);
    }
    for action in ["move", "copy", "delete", "requeue"] {
        for text in ["", "x", "[]", "5"] {
            let answer = http.ask("POST", &path(&queue, action), text);
            assert_eq!(answer.status, 400, "{action} {text}");
        }
        let body = json!({"all": true, "ids": [], "all_unacked": true, "to": {"queue": queue}});
        assert!(refused(&mut http, "nope", action, &body).0 >= 400);
    }
    // Who misspells a field means something else than without it.
    for (action, body) in [
        ("move", json!({"ids": ["1"], "to": "origin", "dry_run": true})),
        ("copy", json!({"all": true, "to": {"exchange": "amq.fanout"}, "limit": 1})),
        ("delete", json!({"ids": ["1"], "count": 1})),
        ("requeue", json!({"all_unacked": true, "consumer": "x"})),
    ] {
        let (status, reason) = refused(&mut http, &queue, action, &body);
        assert!(status == 400 && reason.contains("unknown field"), "{action}: {reason}");
    }
    assert_eq!(ready(&mut http, &queue), ["a", "b"]);
    // More ids than one request may bring.
    let many: Vec<String> = (0..100_000).map(|n: u32| n.to_string()).collect();
    let body = json!({"ids": many, "to": "origin"});
    assert_eq!(refused(&mut http, &queue, "move", &body).0, 413);
    let body = json!({"ids": vec![1; 20_001], "to": {"queue": "amq"}});
    assert!(refused(&mut http, &queue, "move", &body).1.contains("at most 20000"));
    // A stream keeps what it has.
    let stream = json!({"durable": true, "arguments": {"x-queue-type": "stream"}});
    assert_eq!(put(&mut http, "/api/queues/%2F/stream", &stream), 201);
    for action in ["move", "copy", "delete"] {
        let body = match action {
            "delete" => json!({"ids": ["1"]}),
            _ => json!({"all": true, "to": {"queue": queue}}),
        };
        let (status, reason) = refused(&mut http, "stream", action, &body);
        assert!(status == 400 && reason.contains("stream"), "{reason}");
    }
    // But it takes what comes from elsewhere.
    let to = json!({"queue": "stream"});
    assert_eq!(act(&mut http, &queue, "move", &json!({"all": true, "to": to})), moved(2));
    assert_eq!(ready(&mut http, "stream"), ["a", "b"]);
}

#[test]
fn what_nobody_takes_stays_in_its_place() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let source = client.durable_queue(1);
    let full = client.durable_queue_with(
        1,
        fields(&[("x-max-length", Field::I64(2)), ("x-overflow", word("reject-publish"))]).table(),
    );
    let other = client.durable_queue(1);
    let exchange = client.exchange(1, "direct");
    client.bind(1, &full, &exchange, "both");
    client.bind(1, &other, &exchange, "both");
    publish_all(&mut client, &source, &["a", "b", "c", "d"]);
    let to = json!({"exchange": exchange});
    let answer = act(&mut http, &source, "move", &json!({"all": true, "to": to}));
    assert_eq!((&answer["unroutable"], &answer["moved"]), (&json!(4), &json!(0)));
    // All of its queues get it or none: a message that stays is not elsewhere as well.
    let to = json!({"exchange": exchange, "routing_key": "both"});
    let answer = act(&mut http, &source, "move", &json!({"all": true, "to": to}));
    let expected = json!({
        "moved": 2, "missing": 0, "unroutable": 0, "skipped": 2, "reasons": {"queue_full": 2},
    });
    assert_eq!(answer, expected);
    assert_eq!(ready(&mut http, &source), ["c", "d"]);
    assert_eq!(ready(&mut http, &full), ["a", "b"]);
    assert_eq!(ready(&mut http, &other), ["a", "b"]);
    let taken = client.take_all(1, &source);
    assert_eq!(taken, [("c".to_owned(), false), ("d".to_owned(), false)]);
    // One that takes a deduplication key once has it already.
    let once = fields(&[("x-message-deduplication", Field::Bool(true))]);
    let once = client.durable_queue_with(1, once.table());
    let headers = fields(&[("x-deduplication-header", word("k"))]);
    for _ in 0..2 {
        client.publish_with(1, "", &source, &with_headers(&headers), b"same");
    }
    client.round_trip(1);
    let to = json!({"queue": once});
    let answer = act(&mut http, &source, "move", &json!({"all": true, "to": to}));
    assert_eq!((&answer["moved"], &answer["reasons"]), (&json!(1), &json!({"repeated": 1})));
    // Its key is free again once the message has left by a move.
    let to = json!({"queue": other});
    assert_eq!(act(&mut http, &once, "move", &json!({"all": true, "to": to})), moved(1));
    let to = json!({"queue": once});
    assert_eq!(act(&mut http, &source, "move", &json!({"all": true, "to": to})), moved(1));
}

#[test]
fn dead_letters_go_back_to_where_they_came_from() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (origin, dead) = client.durable_dying_queue(1, &[]);
    let exchange = client.exchange(1, "topic");
    client.bind(1, &origin, &exchange, "key.#");
    client.publish_with(1, &exchange, "key.one", &persistent(), b"letter");
    client.round_trip(1);
    client.reject_next(1, &origin, "letter");
    client.wait_for_messages(1, &dead, 1);
    publish_all(&mut client, &dead, &["never died"]);
    let back = json!({"all": true, "to": "origin"});
    let answer = act(&mut http, &dead, "move", &back);
    let expected = json!({
        "moved": 1, "missing": 0, "unroutable": 0, "skipped": 1, "reasons": {"no_origin": 1},
    });
    assert_eq!(answer, expected);
    assert_eq!(ready(&mut http, &dead), ["never died"]);
    let seen = &browse(&mut http, &origin, "")[0];
    assert_eq!((&seen["exchange"], &seen["routing_key"]), (&json!(exchange), &json!("key.one")));
    // It says that it died, and dies once more.
    client.reject_next(1, &origin, "letter");
    client.wait_for_messages(1, &dead, 2);
    let seen = &browse(&mut http, &dead, "contains=letter")[0];
    let death = &seen["properties"]["headers"]["x-death"][0];
    assert_eq!((&death["count"], &death["routing-keys"]), (&json!(2), &json!(["key.one"])));
    // Without its queue, by its exchange and key.
    client.delete_queue(1, &origin);
    let heir = client.durable_queue(1);
    let answer = act(&mut http, &dead, "move", &back);
    assert_eq!((&answer["moved"], &answer["unroutable"]), (&json!(0), &json!(1)));
    client.bind(1, &heir, &exchange, "key.one");
    assert_eq!(act(&mut http, &dead, "move", &back)["moved"], json!(1));
    assert_eq!(ready(&mut http, &heir), ["letter"]);
    // And without either it stays.
    let to = json!({"queue": dead});
    assert_eq!(act(&mut http, &heir, "move", &json!({"all": true, "to": to})), moved(1));
    client.delete_exchange(1, &exchange);
    let answer = act(&mut http, &dead, "move", &back);
    assert_eq!(answer["reasons"], json!({"no_origin": 1, "origin_gone": 1}));
    assert_eq!(ready(&mut http, &dead), ["never died", "letter"]);
    // Whatever a client wrote there.
    let forged = fields(&[
        ("x-first-death-queue", word(&dead)),
        ("x-first-death-exchange", word("")),
        ("x-death", word("nonsense")),
    ]);
    client.publish_with(1, "", &dead, &with_headers(&forged), b"forged");
    client.round_trip(1);
    let answer = act(&mut http, &dead, "move", &back);
    assert_eq!(answer["reasons"]["at_origin"], json!(1));
}

#[test]
fn a_move_that_leads_back_ends_and_priorities_hold() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let priorities = fields(&[("x-max-priority", Field::I64(5))]);
    let queue = client.durable_queue_with(1, priorities.table());
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &queue, &exchange, "");
    for n in 0..500_u32 {
        let priority = prioritized(u8::try_from(n % 4).expect("small"));
        client.publish_with(1, "", &queue, &priority, n.to_string().as_bytes());
    }
    client.round_trip(1);
    let before = ready(&mut http, &queue);
    let to = json!({"exchange": exchange});
    assert_eq!(act(&mut http, &queue, "move", &json!({"all": true, "to": to})), moved(500));
    assert_eq!(ready(&mut http, &queue), before, "each behind all of its priority");
    let chosen = ids(&mut http, &queue)[1].clone();
    let answer = act(&mut http, &queue, "delete", &json!({"ids": [chosen, chosen]}));
    assert_eq!(answer, json!({"deleted": 1, "missing": 0}));
    let all: Vec<String> = ready(&mut http, &queue);
    let expected: Vec<String> =
        before.iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, one)| one.clone()).collect();
    assert_eq!(all, expected);
    // With a limit, what is moved drives others out, and the walk goes on.
    let limit = json!({"pattern": format!("^{queue}$"), "definition": {"max-length": 499}});
    assert_eq!(put(&mut http, "/api/policies/%2F/short", &limit), 201);
    let answer = act(&mut http, &queue, "move", &json!({"all": true, "to": to}));
    assert_eq!(answer["moved"], json!(499));
    client.wait_for_messages(1, &queue, 499);
}

#[test]
fn kinds_of_queues_and_exchanges_take_what_is_moved_as_if_it_was_published() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let quorum = fields(&[("x-queue-type", word("quorum")), ("x-delivery-limit", Field::I64(1))]);
    let (source, quorum) = (client.durable_queue(1), client.durable_queue_with(1, quorum.table()));
    publish_all(&mut client, &source, &["a"]);
    for from_to in [[&source, &quorum], [&quorum, &source], [&source, &quorum]] {
        // Whatever came before, the count of deliveries begins anew.
        let got = client.get(1, from_to[0]).expect("it is there");
        client.reject(1, got.tag, true);
        client.round_trip(1);
        let to = json!({"queue": from_to[1]});
        assert_eq!(act(&mut http, from_to[0], "move", &json!({"all": true, "to": to})), moved(1));
        assert_eq!(browse(&mut http, from_to[1], "")[0]["redelivered"], json!(false));
    }
    let later = fields(&[("x-delayed-type", word("fanout"))]);
    let later = client.exchange_with(1, "x-delayed-message", later.table());
    client.bind(1, &source, &later, "");
    let soon = fields(&[("x-delay", Field::I32(200))]);
    client.publish_with(1, "", &quorum, &with_headers(&soon), b"later");
    client.round_trip(1);
    let to = json!({"exchange": later});
    assert_eq!(act(&mut http, &quorum, "move", &json!({"all": true, "to": to})), moved(2));
    client.wait_for_messages(1, &source, 2);
    assert_eq!(ready(&mut http, &source), ["a", "later"]);
    // Its time to live begins anew, and ends.
    let short = fields(&[("x-message-ttl", Field::I64(100))]);
    let short = client.durable_queue_with(1, short.table());
    let to = json!({"queue": short});
    assert_eq!(act(&mut http, &source, "move", &json!({"all": true, "to": to})), moved(2));
    client.wait_for_messages(1, &short, 0);
}

#[test]
fn who_moves_has_to_be_allowed_to_read_and_to_write() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    for name in ["from", "to", "other"] {
        let durable = json!({"durable": true});
        assert_eq!(put(&mut http, &format!("/api/queues/%2F/{name}"), &durable), 201);
    }
    publish_all(&mut client, "from", &["a"]);
    user(&mut http, "ann");
    let path_of_ann = "/api/users/ann";
    assert_eq!(put(&mut http, path_of_ann, &json!({"password": "ann", "tags": "management"})), 204);
    // ann:ann
    let ann = "Authorization: Basic YW5uOmFubg==\r\n";
    let ask = |http: &mut Http, action: &str, body: &Value| {
        http.ask_as(ann, "POST", &path("from", action), &body.to_string()).status
    };
    let set = |http: &mut Http, read: &str, write: &str| {
        let rights = json!({"configure": "", "write": write, "read": read});
        assert_eq!(put(http, "/api/permissions/%2F/ann", &rights), 204);
    };
    let to_queue = json!({"all": true, "to": {"queue": "to"}});
    let to_exchange = json!({"all": true, "to": {"exchange": "amq.fanout"}});
    for (read, write, status) in [
        ("", ".*", 401),
        ("^from$", "", 401),
        ("^from$", "^to$", 401),
        ("^from$", "^amq.default$", 401),
        ("^from$", "^other$", 401),
    ] {
        set(&mut http, read, write);
        assert_eq!(ask(&mut http, "copy", &to_queue), status, "{read} {write}");
        assert_eq!(ask(&mut http, "copy", &to_exchange), 401, "{read} {write}");
    }
    assert_eq!(ask(&mut http, "requeue", &json!({"all_unacked": true})), 401);
    set(&mut http, "^from$", "^(amq.default|to)$");
    assert_eq!(ask(&mut http, "copy", &to_queue), 200);
    assert_eq!(ask(&mut http, "copy", &to_exchange), 401);
    set(&mut http, "^from$", "^amq.fanout$");
    assert_eq!(ask(&mut http, "copy", &to_exchange), 200);
    set(&mut http, "", "");
    let known = ids(&mut http, "from");
    assert_eq!(ask(&mut http, "delete", &json!({"ids": known})), 401);
    set(&mut http, "^from$", "");
    assert_eq!(ask(&mut http, "delete", &json!({"ids": known})), 200);
    // The way back is one that it has to have, too.
    let forged =
        fields(&[("x-first-death-queue", word("other")), ("x-first-death-exchange", word(""))]);
    client.publish_with(1, "", "from", &with_headers(&forged), b"letter");
    client.round_trip(1);
    let back = json!({"all": true, "to": "origin"});
    let answer = http.ask_as(ann, "POST", &path("from", "move"), &back.to_string());
    assert_eq!(answer.json()["reasons"], json!({"access_refused": 1}));
    // A queue that is somebody's alone is nobody else's target.
    let own = client.queue(1);
    let body = json!({"all": true, "to": {"queue": own}});
    assert_eq!(refused(&mut http, "from", "move", &body).0, 400);
}

/// The name of a client's channel, as the API has it.
fn channel_name(http: &mut Http, queue: &str) -> String {
    let shown = http.show(&format!("/api/queues/%2F/{queue}"));
    let details = &shown["consumer_details"][0]["channel_details"];
    details["name"].as_str().expect("a name").to_owned()
}

#[test]
fn what_a_stuck_consumer_has_goes_back_and_its_late_acks_harm_nobody() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (queue, other) = (client.durable_queue(1), client.durable_queue(1));
    publish_all(&mut client, &queue, &["a", "b", "c", "d"]);
    publish_all(&mut client, &other, &["other"]);
    let mut stuck = Client::connect(server.address());
    let own = stuck.get(1, &other).expect("a message");
    let tag = stuck.consume(1, &queue);
    stuck.expect_bodies(1, 4);
    let last = own.tag + 4;
    stuck.ack(1, own.tag + 1);
    stuck.round_trip(1);
    let channel = channel_name(&mut http, &queue);
    for (body, status) in [
        (json!({"consumer_tag": "nobody", "channel": channel}), 404),
        (json!({"consumer_tag": tag, "channel": "nowhere"}), 404),
        (json!({"consumer_tag": tag, "channel": channel.replace("(1)", "(2)")}), 404),
        (json!({"consumer_tag": tag}), 400),
        (json!({"all_unacked": false}), 400),
        (json!({"all_unacked": true, "channel": channel}), 400),
    ] {
        assert_eq!(refused(&mut http, &queue, "requeue", &body).0, status, "{body}");
    }
    let body = json!({"consumer_tag": tag, "channel": channel});
    assert_eq!(act(&mut http, &queue, "requeue", &body), json!({"requeued": 3}));
    assert_eq!(stuck.expect::<Cancel>(1).tag, tag);
    assert_eq!(ready(&mut http, &queue), ["b", "c", "d"]);
    // Somebody else has them now.
    let mut healthy = Client::connect(server.address());
    healthy.consume(1, &queue);
    let deliveries: Vec<_> = (0..3).map(|_| healthy.expect_delivery(1)).collect();
    assert!(deliveries.iter().all(|delivery| delivery.redelivered));
    for tag in own.tag + 1..=last {
        stuck.ack(1, tag);
        stuck.reject(1, tag, tag % 2 == 0);
    }
    stuck.send(1, basic::Ack { delivery_tag: last, multiple: true });
    stuck.round_trip(1);
    // That settled what was its own, and nothing else.
    assert_eq!(http.show(&format!("/api/queues/%2F/{other}"))["messages"], json!(0));
    assert_eq!(http.show(&format!("/api/queues/%2F/{queue}"))["messages_unacknowledged"], json!(3));
    deliveries.iter().for_each(|delivery| healthy.ack(1, delivery.tag));
    healthy.round_trip(1);
    assert_eq!(http.show(&format!("/api/queues/%2F/{queue}"))["messages"], json!(0));
    // What it never got is as wrong as ever.
    stuck.ack(1, last + 1);
    stuck.expect_channel_error(1, 406, "unknown delivery tag");
}

#[test]
fn everything_that_is_not_settled_goes_back_whoever_has_it() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let bodies: Vec<String> = (0..2_000).map(|n: u32| format!("{n:04}")).collect();
    let all: Vec<&str> = bodies.iter().map(String::as_str).collect();
    publish_all(&mut client, &queue, &all);
    // One that does not know basic.cancel from a broker, one in a transaction, and a basic.get.
    let properties = Options::announcing(&["basic.nack"]);
    let options = Options { properties, ..Options::default() };
    let mut plain = Client::connect_with(server.address(), &options);
    plain.open(1);
    plain.prefetch(1, 700);
    plain.consume(1, &queue);
    plain.expect_bodies(1, 700);
    let mut careful = Client::connect(server.address());
    careful.call::<TxSelectOk>(1, tx::Select {});
    careful.prefetch(1, 700);
    careful.consume(1, &queue);
    careful.expect_bodies(1, 700);
    careful.ack(1, 1);
    careful.round_trip(1);
    let got = client.get(1, &queue).expect("a message");
    let answer = act(&mut http, &queue, "requeue", &json!({"all_unacked": true}));
    assert_eq!(answer, json!({"requeued": 1400}), "but what its transaction settles");
    let left: Vec<&str> = all.iter().copied().filter(|body| *body != "0700").collect();
    let seen: Vec<String> = client.take_all(1, &queue).into_iter().map(|(body, _)| body).collect();
    let first = left.len() - seen.len();
    assert_eq!(first, 0);
    assert_eq!(seen, left, "in their order");
    careful.expect::<Cancel>(1);
    careful.call::<TxCommitOk>(1, tx::Commit {});
    plain.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    plain.round_trip(1);
    client.ack(1, got.tag);
    client.round_trip(1);
    let again = json!({"all_unacked": true});
    let shown = http.show(&format!("/api/queues/%2F/{queue}"));
    assert_eq!(shown["messages_unacknowledged"], json!(1999));
    assert_eq!(act(&mut http, &queue, "requeue", &again), json!({"requeued": 1999}));
    // A queue that would go with its consumers is left alone.
    let body = json!({"auto_delete": true});
    assert_eq!(put(&mut http, "/api/queues/%2F/passing", &body), 201);
    assert_eq!(refused(&mut http, "passing", "requeue", &again).0, 400);
}

#[test]
fn the_time_that_messages_were_in_a_queue_is_counted_when_they_first_leave_it() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    let times = |http: &mut Http| {
        let shown = http.show(&format!("/api/queues/%2F/{queue}"));
        let times = &shown["time_in_queue"];
        let of = |bucket: &Value| bucket["count"].as_u64().expect("a count");
        let buckets: Vec<u64> =
            times["buckets"].as_array().expect("a list").iter().map(of).collect();
        (buckets, times["count"].as_u64(), times["sum_ms"].as_u64())
    };
    assert_eq!(times(&mut http), (vec![0; 10], Some(0), Some(0)));
    publish_all(&mut client, &queue, &["a", "b", "c"]);
    let before = now();
    while before.elapsed().as_millis() < 120 {
        client.round_trip(1);
    }
    let got = client.get(1, &queue).expect("a message");
    client.reject(1, got.tag, true);
    let again = client.get(1, &queue).expect("the same");
    client.ack(1, again.tag);
    client.consume_no_ack(1, &queue);
    client.expect_bodies(1, 2);
    let (buckets, all, sum_ms) = times(&mut http);
    assert_eq!(all, Some(3), "only when they leave for the first time");
    assert!(sum_ms >= Some(3 * 100), "{sum_ms:?}");
    assert_eq!((&buckets[..3], buckets[9]), (&[0, 0, 0][..], 3));
    assert!(buckets.is_sorted());
    // What a consumer waits for is not there for long; whether or not it is stored.
    client.publish(1, "", &queue, "d");
    client.expect_bodies(1, 1);
    assert_eq!(times(&mut http).1, Some(4));
}
