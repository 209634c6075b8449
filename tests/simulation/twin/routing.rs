//! Which queues does a message reach? By looking at every binding.

use std::collections::BTreeSet;

use super::{QueueId, Twin};
use crate::ops::{Binding, End, ExchangeSpec};
use crate::values::{Props, Val};

impl Twin {
    /// The queues behind an exchange for these keys, each once.
    pub fn route(&self, exchange: &str, keys: &[String], props: &Props) -> Vec<QueueId> {
        let mut queues = BTreeSet::new();
        let mut visited = vec![exchange.to_string()];
        let mut next = 0;
        while next < visited.len() {
            let here = visited[next].clone();
            self.route_one(&here, keys, props, &mut queues, &mut visited);
            next += 1;
        }
        queues.into_iter().collect()
    }

    fn route_one(
        &self,
        exchange: &str,
        keys: &[String],
        props: &Props,
        queues: &mut BTreeSet<QueueId>,
        visited: &mut Vec<String>,
    ) {
        let Some(spec) = self.exchanges.get(exchange).map(|found| &found.spec) else {
            return;
        };
        let mut destinations = Vec::new();
        if exchange.is_empty() {
            destinations.extend(keys.iter().map(|key| (End::Queue, key.clone())));
            destinations.retain(|(_, name)| self.queue_named(name).is_some());
        }
        for binding in self.bindings.iter().filter(|b| b.source == exchange) {
            if keys.iter().any(|key| matches(spec, binding, key, props)) {
                destinations.push((binding.end, binding.destination.clone()));
            }
        }
        if destinations.is_empty() {
            let alternate = self.alternate_of(exchange);
            let there = alternate.filter(|name| self.exchanges.contains_key(name));
            destinations.extend(there.map(|name| (End::Exchange, name)));
        }
        for (end, name) in destinations {
            match end {
                End::Queue => {
                    queues.extend(self.queue_named(&name));
                }
                End::Exchange if visited.contains(&name) => {}
                End::Exchange => visited.push(name),
            }
        }
    }
}

/// The keys that a message is routed by: its own and those of these headers.
pub fn keys_of(key: &str, props: &Props, headers: &[&str]) -> Vec<String> {
    let mut keys = vec![key.to_string()];
    for name in headers {
        if let Some(Val::List(more)) = props.header(name) {
            for value in more {
                let Val::Text(text) = value else { continue };
                keys.push(text.clone());
            }
        }
    }
    keys
}

fn matches(spec: &ExchangeSpec, binding: &Binding, key: &str, props: &Props) -> bool {
    let inner = spec.arguments.iter().find(|(name, _)| name == "x-delayed-type");
    let kind = match inner {
        Some((_, Val::Text(kind))) => kind,
        _ => spec.kind,
    };
    match kind {
        "fanout" | "x-message-deduplication" => true,
        "direct" => binding.key == key,
        "topic" => topic_matches(&words_of(&binding.key), &words_of(key)),
        "headers" => headers_match(binding, props),
        other => panic!("a {other} exchange"),
    }
}

/// Empty words are words; but nothing at all is no word, as in RabbitMQ.
fn words_of(key: &str) -> Vec<&str> {
    if key.is_empty() {
        return Vec::new();
    }
    key.split('.').collect()
}

fn topic_matches(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern.split_first(), words.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&"#", rest)), _) => {
            topic_matches(rest, words) || (!words.is_empty() && topic_matches(pattern, &words[1..]))
        }
        (Some(_), None) => false,
        (Some((&"*", rest)), Some((_, more))) => topic_matches(rest, more),
        (Some((wanted, rest)), Some((word, more))) => wanted == word && topic_matches(rest, more),
    }
}

fn headers_match(binding: &Binding, props: &Props) -> bool {
    let mut arguments = binding.arguments.iter();
    let mode = arguments.find(|(name, _)| name == "x-match");
    let any = mode.is_some_and(|(_, mode)| *mode == Val::Text("any".into()));
    let wanted = binding.arguments.iter();
    let mut wanted = wanted.filter(|(name, _)| !name.starts_with("x-"));
    let has = |(name, value): &(String, Val)| {
        let found = props.header(name);
        found.is_some_and(|found| *value == Val::Void || same(value, found))
    };
    if any { wanted.any(has) } else { wanted.all(has) }
}

/// Integers compare by value, whatever their width.
fn same(a: &Val, b: &Val) -> bool {
    let integer = |value: &Val| match value {
        Val::I32(value) => Some(i64::from(*value)),
        Val::I64(value) => Some(*value),
        _ => None,
    };
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
