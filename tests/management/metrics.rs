//! Does Prometheus understand the metrics, are they what happened, and do they cost nobody time?

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use leveret::amqp::Table;
use leveret::daemon::{Config, Limit};

use super::common::{Blocked, Client, Server, fields, persistent, queue, word};
use super::http::{GUEST, Http, start};

/// As in `lists`.
const LONGEST_TURN_MAX: Duration = Duration::from_millis(100);

/// What was scraped: for each name its samples, by their labels.
pub struct Metrics(BTreeMap<String, BTreeMap<Labels, f64>>);

/// Names of labels and their values, unescaped.
type Labels = Vec<(String, String)>;

impl Metrics {
    /// Scrapes without saying who asks.
    pub fn scrape<S: std::io::Read + std::io::Write>(http: &mut Http<S>, path: &str) -> Metrics {
        let answer = http.ask_as("", "GET", path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
        Metrics::parse(std::str::from_utf8(&answer.body).expect("metrics are UTF-8"))
    }

    /// Strict where Prometheus is not: a name is explained before its samples, with all of them in
    /// one place, and none of them comes twice.
    fn parse(text: &str) -> Metrics {
        let mut found = Metrics(BTreeMap::new());
        let mut helped = BTreeSet::new();
        let mut present = String::new();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.trim().is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "{name} is explained twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "{name} has a type and no help");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                let parts = match kind {
                    "histogram" => &["_bucket", "_sum", "_count"][..],
                    _ => &[""],
                };
                for part in parts {
                    let family = found.0.insert(format!("{name}{part}"), BTreeMap::new());
                    assert!(family.is_none(), "{name} comes twice");
                }
                name.clone_into(&mut present);
            } else {
                let (name, labels, value) = sample(line);
                // Those of a histogram have endings.
                let ending = name.strip_prefix(&present).expect("a sample of something else");
                assert!(["", "_bucket", "_count", "_sum"].contains(&ending), "{line}");
                let family = found.0.entry(name.to_owned()).or_default();
                assert!(family.insert(labels, value).is_none(), "twice: {line}");
            }
        }
        found
    }

    /// The value of the only sample of a name.
    pub fn value(&self, name: &str) -> f64 {
        let family = self.0.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(family.len(), 1, "{name}");
        *family.values().next().expect("it has one")
    }

    /// The value of the sample with these labels.
    pub fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels: Labels = labels.iter().map(own).collect();
        self.0.get(name)?.get(&labels).copied()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A line's name, labels and value.
fn sample(line: &str) -> (&str, Labels, f64) {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !is_of_name(c)).expect("something follows the name");
    let (name, mut rest) = line.split_at(end);
    assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{line}");
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, behind) = rest.split_once("=\"").expect("a label");
            assert!(!label.is_empty() && label.chars().all(is_of_name), "{line}");
            let mut value = String::new();
            let mut characters = behind.char_indices();
            let end = loop {
                match characters.next().expect("a label's value ends") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next() {
                        Some((_, 'n')) => '\n',
                        Some((_, c @ ('\\' | '"'))) => c,
                        other => panic!("{other:?} is escaped in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &behind[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("labels end");
    }
    let value = rest.strip_prefix(' ').expect("a value").parse().expect("a number");
    (name, labels, value)
}

/// A broker of this test's own and a connection to its port for metrics.
fn scraped() -> Option<(Server, Http)> {
    let server = Server::start();
    let http = Http::connect(server.metrics_address()?);
    Some((server, http))
}

#[test]
fn metrics_are_what_happened() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    client.queue_named(1, "a", Table::EMPTY);
    client.queue_named(1, "b", Table::EMPTY);
    client.queue_named(1, "b", Table::EMPTY);
    client.delete_queue(1, "b");
    (0..5).for_each(|_| client.confirmed(1, "", "a", &persistent(), "x"));
    client.confirmed(1, "", "nowhere", &persistent(), "x");
    client.open(2);
    client.publish(2, "", "a", "not confirmed");
    client.round_trip(2);
    client.get(2, "a").expect("a message");
    let metrics = Metrics::scrape(&mut http, "/metrics");
    for (name, expected) in [
        ("rabbitmq_queues", 1),
        ("rabbitmq_queue_messages_ready", 5),
        ("rabbitmq_queue_messages_unacked", 1),
        ("rabbitmq_queue_messages", 6),
        ("rabbitmq_connections", 1),
        ("rabbitmq_channels", 2),
        ("rabbitmq_consumers", 0),
        ("rabbitmq_connections_opened_total", 1),
        ("rabbitmq_connections_closed_total", 0),
        ("rabbitmq_channels_opened_total", 2),
        ("rabbitmq_channels_closed_total", 0),
        ("rabbitmq_queues_declared_total", 3),
        ("rabbitmq_queues_created_total", 2),
        ("rabbitmq_queues_deleted_total", 1),
        ("rabbitmq_global_publishers", 2),
        ("rabbitmq_global_messages_received_total", 7),
        ("rabbitmq_global_messages_received_confirm_total", 6),
        ("rabbitmq_global_messages_confirmed_total", 6),
        ("rabbitmq_global_messages_routed_total", 6),
        ("rabbitmq_global_messages_unroutable_dropped_total", 1),
        ("rabbitmq_global_messages_delivered_total", 1),
        ("rabbitmq_global_messages_delivered_get_manual_ack_total", 1),
        // The same under the names that dashboards before RabbitMQ 3.12 ask for.
        ("rabbitmq_channel_messages_published_total", 7),
        ("rabbitmq_channel_messages_confirmed_total", 6),
        ("rabbitmq_channel_messages_unconfirmed", 0),
        ("rabbitmq_channel_messages_unroutable_dropped_total", 1),
        ("rabbitmq_channel_messages_unroutable_returned_total", 0),
        ("rabbitmq_channel_messages_delivered_total", 0),
        ("rabbitmq_channel_messages_delivered_ack_total", 0),
        ("rabbitmq_channel_messages_redelivered_total", 0),
        ("rabbitmq_channel_messages_acked_total", 0),
        ("rabbitmq_channel_get_ack_total", 1),
        ("rabbitmq_channel_get_total", 0),
        ("rabbitmq_channel_get_empty_total", 0),
        ("rabbitmq_channel_consumers", 0),
        ("rabbitmq_queue_messages_published_total", 6),
        ("rabbitmq_alarms_memory_used_watermark", 0),
        ("rabbitmq_alarms_free_disk_space_watermark", 0),
        ("rabbitmq_alarms_file_descriptor_limit", 0),
        ("leveret_blocked_connections", 0),
    ] {
        assert_eq!(metrics.value(name), f64::from(expected), "{name}");
    }
    for name in [
        "rabbitmq_erlang_uptime_seconds",
        "rabbitmq_process_open_fds",
        "rabbitmq_process_max_fds",
        "rabbitmq_process_open_tcp_sockets",
        "rabbitmq_process_max_tcp_sockets",
        "rabbitmq_process_resident_memory_bytes",
        "rabbitmq_resident_memory_limit_bytes",
        "rabbitmq_disk_space_available_bytes",
        "rabbitmq_disk_space_available_limit_bytes",
        "leveret_sync_seconds_count",
        "leveret_sync_seconds_sum",
        "leveret_log_messages_total",
        "leveret_log_written_bytes_total",
        "leveret_longest_turn_seconds",
    ] {
        assert!(metrics.value(name) > 0.0, "{name}");
    }
    let full = [("reason", "disk_full")];
    assert_eq!(metrics.labelled("leveret_publishers_blocked", &full), Some(0.0));
    drop(client);
    let after = Metrics::scrape(&mut http, "/metrics");
    assert!(metrics.names().eq(after.names()), "the same names, whatever there is");
}

/// What a channel held goes back, and so do the sums.
#[test]
fn sums_follow_what_ends() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    client.queue_named(1, "a", Table::EMPTY);
    (0..3).for_each(|_| client.confirmed(1, "", "a", &persistent(), "x"));
    client.open(2);
    client.get(2, "a").expect("a message");
    client.close_channel(2);
    let mut seen = |names: [&str; 4]| {
        let metrics = Metrics::scrape(&mut http, "/metrics");
        names.map(|name| metrics.value(&format!("rabbitmq_{name}")))
    };
    let names = ["queue_messages_ready", "queue_messages_unacked", "channels", "global_publishers"];
    assert_eq!(seen(names), [3.0, 0.0, 1.0, 1.0]);
    assert_eq!(client.purge(1, "a"), 3);
    assert_eq!(seen(names), [0.0, 0.0, 1.0, 1.0]);
    client.confirmed(1, "", "a", &persistent(), "x");
    client.delete_queue(1, "a");
    client.close_channel(1);
    assert_eq!(seen(names), [0.0; 4]);
}

#[test]
fn why_publishers_are_blocked_and_how_many_is_shown() {
    let settings = Config { vm_memory_high_watermark: Limit::Absolute(0), ..Config::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.metrics_address() else { return };
    let mut publisher = Client::connect(server.address());
    let queue = publisher.queue(1);
    publisher.publish(1, "", &queue, "waits");
    publisher.expect::<Blocked>(0);
    let metrics = Metrics::scrape(&mut Http::connect(address), "/metrics");
    let blocked = ["memory", "disk", "disk_full"]
        .map(|reason| metrics.labelled("leveret_publishers_blocked", &[("reason", reason)]));
    assert_eq!(blocked, [Some(1.0), Some(0.0), Some(0.0)]);
    assert_eq!(metrics.value("leveret_blocked_connections"), 1.0);
    assert_eq!(metrics.value("rabbitmq_alarms_memory_used_watermark"), 1.0);
    assert_eq!(metrics.value("rabbitmq_alarms_free_disk_space_watermark"), 0.0);
    assert_eq!(metrics.value("rabbitmq_resident_memory_limit_bytes"), 0.0);
}

#[test]
fn the_port_for_metrics_serves_nothing_else() {
    let Some((server, mut http)) = scraped() else { return };
    for path in ["/", "/api/whoami", "/api/overview", "/api/nope", "/metricsx", "/metrics/nope"] {
        assert_eq!(http.ask_as(GUEST, "GET", path, "").status, 404, "{path}");
        assert_eq!(http.ask_as(GUEST, "OPTIONS", path, "").status, 404, "{path}");
    }
    assert_eq!(http.ask_as(GUEST, "PUT", "/api/users/ann", "{\"tags\":\"\"}").status, 404);
    assert_eq!(http.ask_as("", "POST", "/metrics", "").status, 405);
    assert_eq!(http.ask_as("", "GET", "/metrics", "x").status, 400, "no body is taken");
    // They are at the other port, too, where the rest still asks who it is.
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    assert!(Metrics::scrape(&mut http, "/metrics").value("rabbitmq_queues") == 0.0);
    assert_eq!(http.ask_as("", "GET", "/api/whoami", "").status, 401);
    let listeners = http.show("/api/overview")["listeners"].clone();
    let is_metrics = |one: &serde_json::Value| one["protocol"] == "http/prometheus";
    assert!(listeners.as_array().expect("a list").iter().any(is_metrics), "{listeners}");
}

/// A login that fails makes nobody's scrape wait, and a scrape is no login.
#[test]
fn wrong_credentials_do_not_matter_to_metrics() {
    let Some((_server, mut http)) = start() else { return };
    let wrong = "Authorization: Basic YTpi\r\n";
    for _ in 0..30 {
        assert_eq!(http.ask_as(wrong, "GET", "/metrics", "").status, 200);
    }
    assert_eq!(http.ask("GET", "/api/whoami", "").status, 200);
}

fn declare_many(client: &mut Client, count: usize) {
    for number in 0..count {
        let name = format!("q{number:05}");
        client
            .send(1, queue::Declare { queue: name.as_bytes(), nowait: true, ..Default::default() });
    }
    client.round_trip(1);
    // The turn that answered the first one may not be over.
    client.round_trip(1);
}

#[test]
fn a_scrape_of_many_queues_is_as_short_as_one_of_none() {
    const QUEUES: usize = 20_000;
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    let before = http.ask_as("", "GET", "/metrics", "").body.len();
    declare_many(&mut client, QUEUES);
    server.take_longest_turn();
    let metrics = Metrics::scrape(&mut http, "/metrics");
    let longest = server.take_longest_turn().expect("it is ours");
    assert!(longest < LONGEST_TURN_MAX, "a turn took {longest:?}");
    assert_eq!(metrics.value("rabbitmq_queues"), 20_000.0);
    let after = http.ask_as("", "GET", "/metrics", "").body.len();
    assert!(after < before + 100, "{before} and {after} bytes");
}

#[test]
fn every_queue_channel_and_connection_has_its_own_figures_under_whatever_name() {
    let Some((server, mut http)) = scraped() else { return };
    let odd = "a\"b\\c d {e=\"f\"} €";
    let mut client = Client::connect(server.address());
    client.confirm_select(1);
    client.queue_named(1, odd, Table::EMPTY);
    client.queue_named(1, "plain", Table::EMPTY);
    (0..3).for_each(|_| client.confirmed(1, "", odd, &persistent(), "four"));
    let got = client.get(1, odd).expect("a message");
    client.ack(1, got.tag);
    client.get(1, odd).expect("a message");
    client.consume(1, "plain");
    client.round_trip(1);
    let metrics = Metrics::scrape(&mut http, "/metrics/per-object");
    for (name, expected) in [
        ("rabbitmq_queue_messages_ready", [1.0, 0.0]),
        ("rabbitmq_queue_messages_unacked", [1.0, 0.0]),
        ("rabbitmq_queue_messages", [2.0, 0.0]),
        ("rabbitmq_queue_messages_ready_bytes", [4.0, 0.0]),
        ("rabbitmq_queue_messages_unacked_bytes", [4.0, 0.0]),
        ("rabbitmq_queue_messages_bytes", [8.0, 0.0]),
        ("rabbitmq_queue_consumers", [0.0, 1.0]),
        ("leveret_queue_messages_published_total", [3.0, 0.0]),
        ("leveret_queue_messages_delivered_total", [2.0, 0.0]),
        ("leveret_queue_messages_acknowledged_total", [1.0, 0.0]),
    ] {
        let of = |queue| metrics.labelled(name, &[("vhost", "/"), ("queue", queue)]);
        assert_eq!([odd, "plain"].map(of), expected.map(Some), "{name}");
    }
    assert_eq!(metrics.value("rabbitmq_channel_consumers"), 1.0);
    assert_eq!(metrics.value("rabbitmq_connection_channels"), 1.0);
    assert_eq!(metrics.value("rabbitmq_queues"), 2.0, "what the node has as a whole is there, too");
    assert_eq!(metrics.value("rabbitmq_global_messages_received_total"), 3.0);
}

#[test]
fn the_families_that_are_asked_for_come_and_no_others() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    client.queue_named(1, "a", Table::EMPTY);
    client.bind(1, "a", "amq.topic", "a.#");
    let mut names = |query: &str| {
        let metrics = Metrics::scrape(&mut http, &format!("/metrics/detailed{query}"));
        let info = |name: &&str| !name.ends_with("_info");
        let found: Vec<String> = metrics.names().filter(info).map(str::to_owned).collect();
        (found, metrics)
    };
    let nothing: [&str; 0] = [];
    assert_eq!(names("").0, nothing);
    assert_eq!(names("?family=nope").0, nothing);
    let (found, metrics) = names("?family=queue_coarse_metrics&family=queue_consumer_count");
    let expected = ["messages", "messages_ready", "messages_unacked"];
    let expected = expected.map(|name| format!("rabbitmq_detailed_queue_{name}"));
    assert_eq!(found[0], "rabbitmq_detailed_queue_consumers");
    assert_eq!(found[1..], expected);
    assert_eq!(metrics.value("rabbitmq_detailed_queue_messages"), 0.0);
    let (_, metrics) = names("?family=queue_coarse_metrics&vhost=nope");
    let labels = [("vhost", "/"), ("queue", "a")];
    assert_eq!(metrics.labelled("rabbitmq_detailed_queue_messages", &labels), None);
    let (_, metrics) = names("?family=queue_coarse_metrics&vhost=nope&vhost=%2F");
    assert_eq!(metrics.labelled("rabbitmq_detailed_queue_messages", &labels), Some(0.0));
    let (found, metrics) = names("?family=vhost_status&family=exchange_bindings");
    assert_eq!(found, ["rabbitmq_cluster_exchange_bindings", "rabbitmq_cluster_vhost_status"]);
    assert_eq!(metrics.labelled("rabbitmq_cluster_vhost_status", &[("vhost", "/")]), Some(1.0));
    let bindings = |exchange, kind| {
        let labels = [("vhost", "/"), ("exchange", exchange), ("type", kind)];
        metrics.labelled("rabbitmq_cluster_exchange_bindings", &labels)
    };
    assert_eq!(bindings("amq.topic", "topic"), Some(1.0));
    assert_eq!(bindings("amq.fanout", "fanout"), Some(0.0));
    assert_eq!(bindings("", "direct"), Some(1.0));
    let (found, _) = names("?family=channel_metrics&family=connection_metrics");
    assert_eq!(found.len(), 4, "{found:?}");
    let (found, metrics) = names("?family=connection_coarse_metrics");
    let [incoming, outgoing] = &found[..] else { panic!("{found:?}") };
    assert_eq!(incoming, "rabbitmq_detailed_connection_incoming_bytes_total");
    assert_eq!(outgoing, "rabbitmq_detailed_connection_outgoing_bytes_total");
    assert!(metrics.value(incoming) > 100.0 && metrics.value(outgoing) > 100.0);
}

#[test]
fn the_sizes_of_messages_are_counted_up_to_each_bound() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let sizes = [0, 100, 101, 1_000, 1_001, 100_001];
    for size in sizes {
        client.publish(1, "", &queue, &"x".repeat(size));
    }
    client.round_trip(1);
    let metrics = Metrics::scrape(&mut http, "/metrics");
    let labelled = |ending: &str, labels: &[(&str, &str)]| {
        metrics.labelled(&format!("rabbitmq_message_size_bytes_{ending}"), labels)
    };
    let up_to = |bound| labelled("bucket", &[("protocol", "amqp091"), ("le", bound)]);
    for (bound, count) in [
        ("100", 2.0),
        ("1000", 4.0),
        ("10000", 5.0),
        ("100000", 5.0),
        ("1000000", 6.0),
        ("10000000", 6.0),
        ("50000000", 6.0),
        ("100000000", 6.0),
        ("+Inf", 6.0),
    ] {
        assert_eq!(up_to(bound), Some(count), "{bound}");
    }
    assert_eq!(labelled("count", &[("protocol", "amqp091")]), Some(6.0));
    assert_eq!(labelled("sum", &[("protocol", "amqp091")]), Some(102_203.0));
}

#[test]
fn syncs_are_counted_by_how_long_they_took_and_by_how_many_messages_they_were_for() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    let before = Metrics::scrape(&mut http, "/metrics");
    let (mut more, mut syncs) = (Vec::new(), Vec::new());
    // Each waits for a sync of its own; what is not persistent waits for none.
    (0..3).for_each(|_| client.confirmed(1, "", &queue, &persistent(), "x"));
    (0..5).for_each(|_| {
        client.confirmed(1, "", &queue, &leveret::amqp::PropertyList::default(), "x")
    });
    let after = Metrics::scrape(&mut http, "/metrics");
    for name in ["leveret_sync_seconds", "leveret_sync_batch_messages"] {
        let of = |metrics: &Metrics, part: &str| metrics.value(&format!("{name}_{part}"));
        more.push(of(&after, "sum") - of(&before, "sum"));
        syncs.push(of(&after, "count") - of(&before, "count"));
        let all = after.labelled(&format!("{name}_bucket"), &[("le", "+Inf")]);
        assert_eq!(all, Some(of(&after, "count")), "{name}");
    }
    assert!(syncs.iter().all(|&syncs| syncs >= 3.0), "{syncs:?}");
    assert!(more[0] > 0.0);
    assert_eq!(more[1], 3.0, "messages");
}

#[test]
fn the_bytes_of_a_stream_are_those_of_its_messages() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    let arguments = fields(&[("x-queue-type", word("stream"))]);
    let queue = client.durable_queue_with(1, arguments.table());
    client.confirm_select(1);
    (0..3).for_each(|_| client.confirmed(1, "", &queue, &persistent(), "four"));
    let metrics = Metrics::scrape(&mut http, "/metrics/per-object");
    let labels = [("vhost", "/"), ("queue", &*queue)];
    let of = |name: &str| metrics.labelled(&format!("rabbitmq_queue_messages_{name}"), &labels);
    assert_eq!(
        [of("ready_bytes"), of("unacked_bytes"), of("bytes")].map(Option::unwrap),
        [12.0, 0.0, 12.0]
    );
}

/// Each of them has several samples: that takes many turns, and no long one.
#[test]
fn figures_of_many_queues_make_nobody_wait() {
    const QUEUES: usize = 20_000;
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    declare_many(&mut client, QUEUES);
    server.take_longest_turn();
    let metrics = Metrics::scrape(&mut http, "/metrics/per-object");
    let longest = server.take_longest_turn().expect("it is ours");
    assert!(longest < LONGEST_TURN_MAX, "a turn took {longest:?}");
    for name in ["rabbitmq_queue_messages_ready", "leveret_queue_messages_acknowledged_total"] {
        assert_eq!(metrics.0[name].len(), QUEUES, "{name}");
    }
}

/// Words that look like a metric's name.
fn metrics_named(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_of_name(c));
    words.filter(|word| word.starts_with("leveret_") || word.starts_with("rabbitmq_")).collect()
}

/// A panel without data and an alert that never fires look like a broker that is well.
#[test]
fn what_dashboard_and_alerts_look_at_is_there() {
    let Some((_server, mut http)) = scraped() else { return };
    let metrics = Metrics::scrape(&mut http, "/metrics");
    let present: BTreeSet<&str> = metrics.names().collect();
    let dashboard = include_str!("../../packaging/prometheus/leveret-dashboard.json");
    let alerts = include_str!("../../packaging/prometheus/leveret-alerts.yml");
    for (text, at_least) in [(dashboard, 20), (alerts, 10)] {
        let named = metrics_named(text);
        let missing: Vec<_> = named.difference(&present).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(named.len() >= at_least, "only {named:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
}

/// All that the documentation has a row for.
#[test]
fn what_the_documentation_names_is_there() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    client.queue_named(1, "a", Table::EMPTY);
    let metrics = Metrics::scrape(&mut http, "/metrics/per-object");
    // A histogram is named without the endings of its samples.
    let family = |name| str::strip_suffix(name, "_bucket").unwrap_or(name);
    let present: BTreeSet<&str> = metrics.names().map(family).collect();
    let named = metrics_named(include_str!("../../docs/monitoring.md"));
    // Beginnings of names end in a dash.
    let missing = named.difference(&present).filter(|name| !name.ends_with('_'));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(named.len() > 15, "only {named:?}");
}

/// Prometheus's own tool has the last word, where it is installed (Debian's `prometheus`).
#[test]
fn promtool_finds_nothing_to_say() {
    let Some((server, mut http)) = scraped() else { return };
    let mut client = Client::connect(server.address());
    client.queue_named(1, "a \"b\" \\c", Table::EMPTY);
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed?family=exchange_bindings"] {
        let answer = http.ask_as("", "GET", path, "");
        let Some(said) = promtool(&["check", "metrics"], &answer.body) else { return };
        assert_eq!(said, "", "{path}");
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/leveret-alerts.yml");
    let said = promtool(&["check", "rules", rules], b"").expect("it is installed");
    assert!(said.contains("SUCCESS"), "{said}");
}

/// What promtool says of something; `None`: it is not installed.
fn promtool(arguments: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("promtool is not installed: what it would say is not known");
            return None;
        }
        Err(error) => panic!("promtool cannot be started: {error}"),
    };
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("it says text");
    assert!(output.status.success(), "{said}");
    Some(said)
}
