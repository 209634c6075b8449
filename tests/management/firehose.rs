//! Does the firehose show every message of a vhost that is traced, and only these, whatever way
//! they go; and does nobody have to wait for it?

use serde_json::json;

use leveret::amqp::TableBuf;

use super::common::*;
use super::http::{Http, start};
use super::permissions::{all, connect, put};

/// Says whether messages of `/` are traced.
fn trace(http: &mut Http, is_on: bool) {
    let status = put(http, "/api/vhosts/%2F", &json!({ "tracing": is_on }));
    assert_eq!(status, 204);
}

/// A copy: its routing key, what its headers say of the message, and its body.
struct Copied {
    key: String,
    headers: TableBuf,
    body: String,
}

impl Copied {
    fn text(&self, name: &str) -> String {
        let found = self.headers.table().find(name.as_bytes());
        text(found.and_then(|value| value.text()).unwrap_or_else(|| panic!("no {name}")))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.headers.table().find(name.as_bytes()).and_then(|value| value.integer())
    }

    /// An array of texts.
    fn list(&self, name: &str) -> Vec<String> {
        match self.headers.table().find(name.as_bytes()) {
            Some(Value::Array(array)) => {
                array.iter().map(|value| text(value.text().expect("a text"))).collect()
            }
            other => panic!("{name} is {other:?}"),
        }
    }

    fn properties(&self) -> TableBuf {
        match self.headers.table().find(b"properties") {
            Some(Value::Table(table)) => TableBuf::from(table),
            other => panic!("the properties are {other:?}"),
        }
    }
}

/// The next copy in a queue, which has to be there.
fn next(client: &mut Client, queue: &str) -> Copied {
    let deadline = deadline();
    loop {
        if let Some(got) = client.get(1, queue) {
            client.ack(1, got.tag);
            let list = got.message.list();
            assert_eq!(got.message.exchange, "amq.rabbitmq.trace");
            assert_eq!(list.delivery_mode, None, "copies are transient");
            let headers = TableBuf::from(list.headers.expect("a copy has headers"));
            return Copied { key: got.message.key.clone(), headers, body: got.message.body() };
        }
        assert!(now() < deadline, "no copy came");
    }
}

/// All copies that are there: routing key and body.
fn rest(client: &mut Client, queue: &str) -> Vec<(String, String)> {
    client.round_trip(1);
    let mut copies = Vec::new();
    while client.inspect(1, queue).messages > 0 {
        let copy = next(client, queue);
        copies.push((copy.key, copy.body));
    }
    copies
}

fn pair(key: &str, body: &str) -> (String, String) {
    (key.to_owned(), body.to_owned())
}

/// A broker in which `/` is traced, its API, somebody who publishes and somebody with a queue of
/// all copies.
fn traced() -> Option<(Server, Http, Client, Client, String)> {
    let (server, mut http) = start()?;
    let mut watcher = Client::connect(server.address());
    let copies = watcher.shared_queue(1);
    watcher.bind(1, &copies, "amq.rabbitmq.trace", "#");
    let publisher = Client::connect(server.address());
    trace(&mut http, true);
    Some((server, http, publisher, watcher, copies))
}

#[test]
fn a_publish_and_a_delivery_are_shown_with_what_rabbitmq_says_of_them() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    let queue = client.queue(1);
    let mut headers = TableBuf::new();
    headers.put_i64(b"n", 1);
    let properties = PropertyList {
        content_type: Some(b"text/plain"),
        headers: Some(headers.table()),
        delivery_mode: Some(2),
        priority: Some(3),
        expiration: Some(b"60000"),
        timestamp: Some(1_700_000_000),
        kind: Some(b"ty"),
        user_id: Some(b"guest"),
        ..PropertyList::default()
    };
    client.publish_with(1, "", &queue, &properties, b"body");
    client.round_trip(1);
    let copy = next(&mut watcher, &copies);
    assert_eq!((copy.key.as_str(), copy.body.as_str()), ("publish.", "body"));
    assert_eq!((copy.text("exchange_name"), copy.text("vhost")), ("".into(), "/".into()));
    assert_eq!(copy.list("routing_keys"), [queue.as_str()]);
    assert_eq!(copy.list("routed_queues"), [queue.as_str()]);
    assert_eq!((copy.text("user"), copy.number("channel")), ("guest".into(), Some(1)));
    assert!(copy.text("connection").starts_with("127.0.0.1:"), "{}", copy.text("connection"));
    assert!(copy.text("connection").contains(" -> 127.0.0.1:"));
    assert!(copy.text("node").starts_with("leveret@"));
    assert_eq!(copy.number("redelivered"), None);
    let shown = copy.properties();
    let of = |name: &[u8]| shown.table().find(name).and_then(|value| value.integer());
    assert_eq!((of(b"delivery_mode"), of(b"priority")), (Some(2), Some(3)));
    assert_eq!(of(b"timestamp"), Some(1_700_000_000));
    assert_eq!(shown.table().find(b"type").and_then(|value| value.text()), Some(&b"ty"[..]));
    assert_eq!(shown.table().find(b"headers"), Some(Value::Table(headers.table())));
    assert_eq!(shown.table().find(b"app_id"), None);
    let got = client.get(1, &queue).expect("it is there");
    let copy = next(&mut watcher, &copies);
    assert_eq!(copy.key, format!("deliver.{queue}"));
    assert_eq!((copy.number("redelivered"), copy.body.as_str()), (Some(0), "body"));
    assert_eq!(copy.headers.table().find(b"routed_queues"), None);
    client.reject(1, got.tag, true);
    client.get(1, &queue).expect("it came back");
    assert_eq!(next(&mut watcher, &copies).number("redelivered"), Some(1));
    assert_eq!(rest(&mut watcher, &copies), []);
}

/// BCC routes, and only the copy tells of it, as in RabbitMQ; not in the properties.
#[test]
fn hidden_keys_are_among_the_routing_keys_and_not_among_the_properties() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    let (open, hidden) = (client.queue(1), client.queue(1));
    let mut headers = TableBuf::new();
    let (cc, bcc) = (words(&[&open]), words(&[&hidden]));
    headers.put(b"CC", Value::Array(cc.array()));
    headers.put(b"BCC", Value::Array(bcc.array()));
    client.publish_with(1, "", "nobody", &with_headers(&headers), b"b");
    client.round_trip(1);
    let copy = next(&mut watcher, &copies);
    assert_eq!(copy.list("routing_keys"), ["nobody", &open, &hidden]);
    let mut routed = copy.list("routed_queues");
    routed.sort();
    let mut expected = [open.clone(), hidden.clone()];
    expected.sort();
    assert_eq!(routed, expected);
    let properties = copy.properties();
    let Some(Value::Table(shown)) = properties.table().find(b"headers") else {
        panic!("it had headers")
    };
    assert!(shown.find(b"CC").is_some() && shown.find(b"BCC").is_none());
    client.get(1, &hidden).expect("it is there");
    let copy = next(&mut watcher, &copies);
    assert_eq!(copy.key, format!("deliver.{hidden}"));
}

#[test]
fn every_way_in_and_out_is_shown_once() {
    let Some((_server, mut http, mut client, mut watcher, copies)) = traced() else { return };
    // Nobody gets it.
    client.publish(1, "amq.topic", "nowhere", "unroutable");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.amq.topic", "unroutable")]);
    // Many get it: one publish, and as many deliveries.
    let queues: Vec<_> = (0..20).map(|_| client.queue(1)).collect();
    for queue in &queues {
        client.bind(1, queue, "amq.fanout", "");
        client.consume_no_ack(1, queue);
    }
    let mut other = Client::connect(_server.address());
    other.publish(1, "amq.fanout", "", "to all");
    client.expect_bodies(1, queues.len());
    let mut shown = rest(&mut watcher, &copies);
    assert_eq!(shown.remove(0), pair("publish.amq.fanout", "to all"));
    shown.sort();
    let mut expected: Vec<_> =
        queues.iter().map(|queue| pair(&format!("deliver.{queue}"), "to all")).collect();
    expected.sort();
    assert_eq!(shown, expected);
    // What is consumed the moment it comes, from a publisher that confirms.
    other.confirm_select(1);
    other.publish(1, "", &queues[3], "at once");
    other.expect_confirms(1, 1, 1);
    client.expect_bodies(1, 1);
    let deliver = format!("deliver.{}", queues[3]);
    let expected = [pair("publish.", "at once"), pair(&deliver, "at once")];
    assert_eq!(rest(&mut watcher, &copies), expected);
    // Over HTTP.
    let queue = other.queue(1);
    let body = json!({"routing_key": queue, "payload": "http", "payload_encoding": "string",
        "properties": {}});
    let path = "/api/exchanges/%2F/amq.default/publish";
    assert_eq!(http.ask("POST", path, &body.to_string()).status, 200);
    assert_eq!(next(&mut watcher, &copies).text("user"), "guest");
}

/// A transaction shows what was published in it, whether it is committed or not; no sooner than
/// the publish, and no message twice.
#[test]
fn a_transaction_is_shown_at_its_publishes() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    let queue = client.shared_queue(1);
    client.call::<TxSelectOk>(1, tx::Select {});
    client.publish(1, "", &queue, "kept");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "kept")]);
    client.call::<TxCommitOk>(1, tx::Commit {});
    client.publish(1, "", &queue, "given up");
    client.call::<TxRollbackOk>(1, tx::Rollback {});
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "given up")]);
    // One that takes effect over several turns, into the very queue of the copies too.
    let mut burst = Burst::default();
    for _ in 0..3_000 {
        burst = burst.publish(&queue, &persistent(), b"many");
        burst = burst.publish(&copies, &persistent(), b"own");
    }
    client.send_bytes(&burst.0);
    client.call::<TxCommitOk>(1, tx::Commit {});
    let mut ends = [0; 2];
    while watcher.inspect(1, &copies).messages > 0 {
        let got = watcher.get(1, &copies).expect("it is there");
        ends[usize::from(got.message.exchange.is_empty())] += 1;
        watcher.ack(1, got.tag);
    }
    assert_eq!(ends[1], 3_000);
    assert_eq!(ends[0], 6_000 + 3_000);
}

#[test]
fn copies_are_not_copied_again() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    let second = watcher.shared_queue(1);
    watcher.bind(1, &second, "amq.rabbitmq.trace", "#");
    watcher.consume_no_ack(1, &second);
    client.publish(1, "", "nobody", "once");
    client.round_trip(1);
    watcher.expect_bodies(1, 1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "once")]);
    watcher.expect_silence(1);
}

#[test]
fn only_the_vhost_that_is_traced_is_shown_and_only_while_it_is() {
    let Some((server, mut http, mut client, mut watcher, copies)) = traced() else { return };
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({})), 201);
    assert_eq!(put(&mut http, "/api/permissions/v/guest", &all()), 201);
    let mut other = connect(&server, &Options { vhost: "v".into(), ..Options::default() });
    let queue = other.queue(1);
    let all = other.queue(1);
    other.bind(1, &all, "amq.rabbitmq.trace", "#");
    other.publish(1, "", &queue, "elsewhere");
    other.get(1, &queue).expect("it is there");
    client.publish(1, "", "nobody", "here");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "here")]);
    assert_eq!(other.inspect(1, &all).messages, 0);
    trace(&mut http, false);
    client.publish(1, "", "nobody", "off");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), []);
    trace(&mut http, true);
    client.publish(1, "", "nobody", "on");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "on")]);
    // A vhost that was traced goes, and with it what it cost the others.
    assert_eq!(put(&mut http, "/api/vhosts/v", &json!({"tracing": true})), 204);
    assert_eq!(http.ask("DELETE", "/api/vhosts/v", "").status, 204);
    trace(&mut http, false);
    client.publish(1, "", "nobody", "off");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), []);
}

/// It lies in pieces, which the copies share; and they outlive it.
#[test]
fn large_bodies_are_shown_whole_transient_and_persistent() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    let queue = client.durable_queue(1);
    for properties in [PropertyList::default(), persistent()] {
        for size in [0, 4_095, 65_535, 65_536, 131_073, 3_000_000] {
            let body: String = ('a'..'x').cycle().take(size).collect();
            client.publish_with(1, "", &queue, &properties, body.as_bytes());
            let got = client.get(1, &queue).expect("it is there");
            client.ack(1, got.tag);
            client.round_trip(1);
            for _ in 0..2 {
                let copy = next(&mut watcher, &copies);
                assert!(copy.body == body, "{size}: {}", copy.body.len());
            }
        }
    }
}

/// The queue of copies is full, and another one is not.
#[test]
fn a_queue_that_refuses_copies_holds_nobody_back() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    for overflow in ["reject-publish", "reject-publish-dlx", "drop-head"] {
        let arguments = fields(&[("x-max-length", Value::I32(1)), ("x-overflow", word(overflow))]);
        let full = watcher.queue_with(1, arguments.table());
        watcher.bind(1, &full, "amq.rabbitmq.trace", "#");
        client.open(7);
        client.confirm_select(7);
        (0..5).for_each(|_| client.publish(7, "", "nobody", "x"));
        client.expect_confirms(7, 1, 5);
        client.close_channel(7);
        assert_eq!(watcher.inspect(1, &full).messages, 1);
        assert_eq!(rest(&mut watcher, &copies).len(), 5);
        watcher.delete_queue(1, &full);
    }
}

/// With memory low, nobody publishes; what is delivered goes on, and its copies are dropped.
#[test]
fn an_alarm_drops_copies_and_holds_no_delivery_back() {
    let Some((_server, mut http, mut client, mut watcher, copies)) = traced() else { return };
    let queue = client.durable_queue(1);
    (0..3).for_each(|_| client.publish(1, "", &queue, "m"));
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies).len(), 3);
    let limit = |http: &mut Http, bytes: u64, health: u16| {
        let body = json!({ "vm_memory_high_watermark": { "absolute": bytes } });
        assert_eq!(put(http, "/api/leveret/settings", &body), 204);
        let deadline = deadline();
        while http.get("/api/health/checks/alarms").status != health {
            assert!(now() < deadline, "the alarm does not change");
        }
    };
    limit(&mut http, 0, 503);
    assert_eq!(client.take_all(1, &queue).len(), 3);
    assert_eq!(rest(&mut watcher, &copies), []);
    limit(&mut http, 1 << 40, 200);
    client.publish(1, "", "nobody", "after");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "after")]);
}

/// So many names would fit into no frame.
#[test]
fn a_publish_to_a_thousand_queues_is_shown_once_in_headers_that_fit() {
    let Some((_server, _http, mut client, mut watcher, copies)) = traced() else { return };
    for number in 0..1_000 {
        let name = format!("{number:04}{}", "n".repeat(200));
        client.queue_named(1, &name, TableBuf::new().table());
        client.bind(1, &name, "amq.fanout", "");
    }
    client.publish(1, "amq.fanout", "", "all");
    client.round_trip(1);
    let copy = next(&mut watcher, &copies);
    let named = copy.list("routed_queues").len();
    assert!((100..200).contains(&named), "{named}");
    assert_eq!(rest(&mut watcher, &copies), []);
    // Nor would headers as long as a frame.
    let note = "h".repeat(131_072 - 200);
    let headers = fields(&[("note", word(&note))]);
    client.publish_with(1, "", "nobody", &with_headers(&headers), b"long");
    client.publish(1, "", "nobody", "short");
    client.round_trip(1);
    assert_eq!(rest(&mut watcher, &copies), [pair("publish.", "short")]);
}
