//! Is what was changed over HTTP there after any end of the broker, whatever was changed before it
//! and in whichever order?
//!
//! Seeded changes of every kind: made, made again, taken away with all that hangs on them. The
//! segments are so short that the log restates definitions over and over.

use serde_json::{Value, json};

use super::common::{End, Node, Random};
use super::http::Http;

/// The shortest that there may be.
const SEGMENT_BYTES: u32 = 64 * 1024;

const LIVES: usize = 6;
const CHANGES_PER_LIFE: usize = 250;

/// Encoded for paths: plain ones, and those that somebody has to get wrong.
const NAMES: [&str; 10] =
    ["a", "b", "%C3%BC", "x%20y", "s%2Fl", "%2541", "%22q%22", "%F0%9F%98%80", "..", "c%0Ad"];

fn name(random: &mut Random) -> &'static str {
    NAMES[random.within(0..NAMES.len())]
}

/// A request that may change something: what it names is there, or not.
fn change(random: &mut Random) -> (&'static str, String, Value) {
    let mut vhost = name(random);
    if random.chance(50) {
        vhost = "%2F";
    }
    let (one, other) = (name(random), name(random));
    let number = random.within(0..1_000_000);
    let text = "x".repeat(random.within(0..900));
    let policy =
        json!({"pattern": "^a", "definition": {"max-length": number}, "apply-to": "queues"});
    let (path, body) = match random.within(0..15) {
        0 => (format!("vhosts/{one}"), json!({"description": text, "tags": "t"})),
        1 | 2 => (format!("users/{one}"), json!({"password": text, "tags": "monitoring"})),
        3 => (
            format!("permissions/{vhost}/{one}"),
            json!({"configure": text, "write": "", "read": ".*"}),
        ),
        4 => (
            format!("topic-permissions/{vhost}/{one}"),
            json!({"exchange": "amq.topic", "write": "^a", "read": text}),
        ),
        5 | 6 => (format!("queues/{vhost}/{one}"), json!({"durable": true, "arguments": {}})),
        7 => (format!("exchanges/{vhost}/{one}"), json!({"durable": true, "type": "topic"})),
        8 | 9 => {
            let body = json!({"routing_key": text[..text.len().min(255)], "arguments": {}});
            let path = format!("bindings/{vhost}/e/{one}/q/{other}");
            return ("POST", format!("/api/{path}"), body);
        }
        10 => (format!("policies/{vhost}/{one}"), policy),
        11 => (format!("operator-policies/{vhost}/{one}"), policy),
        12 => (format!("global-parameters/{one}"), json!({"value": {"text": text, "n": number}})),
        13 => (format!("vhost-limits/{vhost}/max-queues"), json!({"value": 1000 + number})),
        _ => (format!("user-limits/{one}/max-channels"), json!({"value": number})),
    };
    if random.chance(33) {
        return ("DELETE", format!("/api/{path}"), Value::Null);
    }
    ("PUT", format!("/api/{path}"), body)
}

/// All there is, in an order that does not depend on the past.
fn all(node: &Node) -> Vec<String> {
    let mut owner = Http::connect_owner(node.process().directory());
    let file = owner.ask_as("", "GET", "/api/definitions", "").json();
    let sections = file.as_object().expect("a file of definitions").iter();
    let rows = sections.flat_map(|(section, rows)| {
        let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
        rows.iter().map(move |row| format!("{section} {row}"))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

#[test]
fn any_changes_in_any_order_are_there_after_any_end() {
    for seed in 1..=3 {
        let Some(mut node) = Node::start_with(SEGMENT_BYTES) else { return };
        let mut random = Random::new(seed);
        let (mut made, mut gone) = (0, 0);
        for life in 0..LIVES {
            let client = node.connect();
            let mut owner = Http::connect_owner(node.process().directory());
            for _ in 0..CHANGES_PER_LIFE {
                let (method, path, body) = change(&mut random);
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let status = owner.ask_as("", method, &path, &body).status;
                assert!([201, 204, 400, 404].contains(&status), "{method} {path}: {status}");
                match (method, status) {
                    ("DELETE", 204) => gone += 1,
                    (_, 201) => made += 1,
                    _ => {}
                }
            }
            let before = all(&node);
            let end = if random.chance(33) { End::Term } else { End::Kill };
            node.restart(end, client);
            assert_eq!(all(&node), before, "seed {seed}, life {life}, {end:?}");
        }
        assert!(made > 200 && gone > 100, "{made} made, {gone} gone");
    }
}
