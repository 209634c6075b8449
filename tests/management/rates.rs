//! Is what happens to messages counted, and how fast it is?

use serde_json::{Value, json};

use crate::common::*;
use crate::http::{Http, basic_login, start};

/// What the API says of a queue, or of the node.
fn stats(http: &mut Http, path: &str) -> Value {
    http.ask("GET", path, "").json()["message_stats"].clone()
}

#[test]
fn what_happens_to_messages_is_counted_for_their_queue_and_for_the_node() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let (mut http, mut client) = (Http::connect(address), Client::connect(server.address()));
    let (queue, idle) = (client.shared_queue(1), client.shared_queue(1));
    client.confirm_select(1);
    for n in 1..=7 {
        client.publish(1, "", &queue, "m");
        client.expect_confirms(1, n, n);
    }
    client.open(2);
    client.publish(2, "", "nowhere", "dropped");
    let mandatory =
        basic::Publish { routing_key: b"nowhere", mandatory: true, ..Default::default() };
    let mut out = Vec::new();
    encode_publish(&mut out, 2, mandatory, &PropertyList::default(), b"returned", 131_072);
    client.send_bytes(&out);
    client.expect::<Return>(2);
    assert!(client.get(2, &idle).is_none());
    let first = client.get(2, &queue).expect("it is there").tag;
    client.reject(2, first, true);
    let again = client.get(2, &queue).expect("it is there again").tag;
    client.ack(2, again);
    client.consume(2, &queue);
    let last = (0..6).map(|_| client.expect_delivery(2).tag).last().expect("some");
    client.send(2, basic::Ack { delivery_tag: last, multiple: true });
    client.round_trip(2);

    let count = |stats: &Value, name: &str| stats[name].as_u64();
    let of_queue = stats(&mut http, &format!("/api/queues/%2F/{queue}"));
    let expected = [("publish", 7), ("get", 2), ("deliver", 6), ("deliver_get", 8), ("ack", 7)];
    for (name, times) in expected.into_iter().chain([("redeliver", 1)]) {
        assert_eq!(count(&of_queue, name), Some(times), "{name}: {of_queue}");
        assert!(of_queue[format!("{name}_details")]["rate"].is_number(), "{of_queue}");
    }
    assert_eq!(count(&of_queue, "confirm"), None);
    let of_idle = stats(&mut http, &format!("/api/queues/%2F/{idle}"));
    assert_eq!((count(&of_idle, "get_empty"), count(&of_idle, "publish")), (Some(1), None));
    let of_node = stats(&mut http, "/api/overview");
    let others = [("publish", 9), ("confirm", 7), ("get_empty", 1), ("ack", 7)];
    let unroutable = [("drop_unroutable", 1), ("return_unroutable", 1)];
    for (name, times) in others.into_iter().chain(unroutable) {
        assert_eq!(count(&of_node, name), Some(times), "{name}: {of_node}");
    }
}

#[test]
fn what_happens_on_a_channel_is_counted_for_it_alone() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    client.confirm_select(1);
    client.open(2);
    client.open(3);
    for n in 1..=5 {
        client.publish(1, "", &queue, "m");
        client.expect_confirms(1, n, n);
    }
    client.publish(1, "", "nowhere", "dropped");
    client.expect_confirms(1, 6, 6);
    let mandatory =
        basic::Publish { routing_key: b"nowhere", mandatory: true, ..Default::default() };
    let mut out = Vec::new();
    encode_publish(&mut out, 3, mandatory, &PropertyList::default(), b"returned", 131_072);
    client.send_bytes(&out);
    client.expect::<Return>(3);
    let first = client.get(2, &queue).expect("it is there").tag;
    client.reject(2, first, true);
    let again = client.get(2, &queue).expect("it is there again").tag;
    client.ack(2, again);
    client.consume(2, &queue);
    let last = (0..4).map(|_| client.expect_delivery(2).tag).last().expect("some");
    client.send(2, basic::Ack { delivery_tag: last, multiple: true });
    assert!(client.get(2, &queue).is_none());
    let auto = basic::Consume { queue: queue.as_bytes(), no_ack: true, ..Default::default() };
    client.call::<ConsumeOk>(3, auto);
    client.close_channel(2);
    client.open(2);
    client.publish(1, "", &queue, "m");
    client.expect_confirms(1, 7, 7);
    client.expect_delivery(3);
    client.round_trip(3);

    let all = http.show("/api/channels?sort=number");
    let counts = |number: usize| {
        let stats = all[number - 1]["message_stats"].as_object().cloned().unwrap_or_default();
        let counts = stats.into_iter().filter(|(name, _)| !name.ends_with("_details"));
        counts.map(|(name, count)| (name, count.as_u64().expect("a count"))).collect::<Vec<_>>()
    };
    let named = |all: &[(&str, u64)]| {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(counts(1), named(&[("confirm", 7), ("drop_unroutable", 1), ("publish", 7)]));
    assert_eq!(counts(2), [], "it is another one than before");
    let third = [("deliver_get", 1), ("deliver_no_ack", 1), ("publish", 1)];
    assert_eq!(counts(3), named(&[&third[..], &[("return_unroutable", 1)]].concat()));
    let name = all[0]["name"].as_str().expect("a name").replace(' ', "%20");
    let alone = http.show(&format!("/api/channels/{name}"));
    assert_eq!(alone["message_stats"], all[0]["message_stats"]);
    assert!(alone["message_stats"]["publish_details"]["rate"].is_number(), "{alone}");
    assert_eq!((&alone["deliveries"], &alone["publishes"]), (&json!([]), &json!([])));
}

#[test]
fn what_a_consumer_and_getters_do_on_one_channel_is_told_apart() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    (0..9).for_each(|_| client.publish(1, "", &queue, "m"));
    let tag = client.get(1, &queue).expect("it is there").tag;
    client.reject(1, tag, true);
    let tag = client.get(1, &queue).expect("it is there").tag;
    client.ack(1, tag);
    let auto = basic::Get { queue: queue.as_bytes(), no_ack: true };
    (0..2).for_each(|_| drop(client.got(1, auto)));
    client.prefetch(1, 2);
    client.consume(1, &queue);
    client.expect_bodies(1, 2);
    let auto = basic::Consume { queue: queue.as_bytes(), no_ack: true, ..Default::default() };
    client.call::<ConsumeOk>(1, auto);
    client.expect_bodies(1, 4);
    assert!(client.get(1, &queue).is_none());
    let stats = &http.show("/api/channels")[0]["message_stats"];
    for (name, times) in [
        ("publish", 9),
        ("get", 2),
        ("get_no_ack", 2),
        ("get_empty", 1),
        ("redeliver", 1),
        ("deliver", 2),
        ("deliver_no_ack", 4),
        ("deliver_get", 10),
        ("ack", 1),
    ] {
        assert_eq!(stats[name], json!(times), "{name}: {stats}");
    }
}

#[test]
fn what_a_transaction_does_counts_when_it_commits() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    (0..3).for_each(|_| client.publish(1, "", &queue, "m"));
    client.open(2);
    client.call::<TxSelectOk>(2, tx::Select {});
    let mut counts = |client: &mut Client| {
        client.round_trip(2);
        let all = http.show("/api/channels?sort=number");
        let stats = all[1]["message_stats"].clone();
        ["publish", "ack"].map(|name| stats[name].as_u64().unwrap_or(0))
    };
    (0..4).for_each(|_| client.publish(2, "", &queue, "m"));
    let tag = client.get(2, &queue).expect("it is there").tag;
    client.ack(2, tag);
    assert_eq!(counts(&mut client), [0, 0]);
    client.call::<TxRollbackOk>(2, tx::Rollback {});
    assert_eq!(counts(&mut client), [0, 0]);
    client.ack(2, tag);
    (0..2).for_each(|_| client.publish(2, "", &queue, "m"));
    client.call::<TxCommitOk>(2, tx::Commit {});
    assert_eq!(counts(&mut client), [2, 1]);
}

/// Waits until an exchange shows so many messages that came and went; all that it shows then.
fn expect_published(http: &mut Http, name: &str, expected: [u64; 2]) -> Value {
    let until = now() + 2 * PATIENCE;
    loop {
        let stats = stats(http, &format!("/api/exchanges/%2F/{name}"));
        let count = |name: &str| stats[name].as_u64().unwrap_or(0);
        if ["publish_in", "publish_out"].map(count) == expected {
            return stats;
        }
        assert!(now() < until, "{stats} never is {expected:?}");
    }
}

#[test]
fn an_exchange_counts_what_comes_to_it_and_what_queues_get_of_that() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let (one, other) = (client.shared_queue(1), client.shared_queue(1));
    let exchange = client.exchange(1, "topic");
    client.bind(1, &one, &exchange, "a.#");
    client.bind(1, &other, &exchange, "a.b");
    assert_eq!(expect_published(&mut http, &exchange, [0, 0]), json!(null), "nothing came");
    // Several exchanges and keys in turn, in one piece of input and in several.
    for _ in 0..3 {
        for (exchange, key) in
            [(&*exchange, "a.b"), (&exchange, "a.c"), (&exchange, "b"), ("", &one), ("", "nope")]
        {
            client.publish(1, exchange, key, "m");
        }
        client.round_trip(1);
    }
    let stats = expect_published(&mut http, &exchange, [9, 9]);
    let all = http.show("/api/exchanges/%2F?columns=name,message_stats.publish_in");
    let listed = all.as_array().expect("a list").iter().find(|one| one["name"] == *exchange);
    assert_eq!(listed.expect("it is there")["message_stats"]["publish_in"], stats["publish_in"]);
    expect_published(&mut http, "amq.default", [6, 3]);
    let burst = (0..20).fold(Burst::default(), |burst, _| burst.message(&one, b"m"));
    client.send_bytes(&burst.0);
    client.round_trip(1);
    // Its channel ends before anything was sampled, or just after.
    client.close_channel(1);
    expect_published(&mut http, "amq.default", [26, 23]);
    let body = format!(
        r#"{{"properties":{{}},"routing_key":"{one}","payload":"m","payload_encoding":"string"}}"#
    );
    http.ask("POST", "/api/exchanges/%2F/amq.default/publish", &body);
    let stats = &http.show("/api/exchanges/%2F/amq.default")["message_stats"];
    assert_eq!((&stats["publish_in"], &stats["publish_out"]), (&json!(27), &json!(24)));
}

#[test]
fn the_bytes_of_a_queue_are_ready_or_not_acknowledged() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    let path = format!("/api/queues/%2F/{queue}");
    let mut bytes = |client: &mut Client| {
        client.round_trip(1);
        let shown = http.show(&path);
        ["", "_ready", "_unacknowledged"]
            .map(|kind| shown[format!("message_bytes{kind}")].as_u64().expect("bytes"))
    };
    for size in [1, 10, 100, 70_000] {
        client.publish(1, "", &queue, &"x".repeat(size));
    }
    assert_eq!(bytes(&mut client), [70_111, 70_111, 0]);
    client.open(2);
    client.prefetch(2, 2);
    client.consume(2, &queue);
    let tags: Vec<u64> = (0..2).map(|_| client.expect_delivery(2).tag).collect();
    assert_eq!(bytes(&mut client), [70_111, 70_100, 11]);
    client.ack(2, tags[0]);
    client.expect_delivery(2);
    assert_eq!(bytes(&mut client), [70_110, 70_000, 110]);
    let large = client.get(1, &queue).expect("it is there").tag;
    assert_eq!(bytes(&mut client), [70_110, 0, 70_110]);
    client.reject(1, large, false);
    client.close_channel(2);
    assert_eq!(bytes(&mut client), [110, 110, 0]);
    let auto = basic::Get { queue: queue.as_bytes(), no_ack: true };
    client.got(1, auto).expect("it is there");
    assert_eq!(bytes(&mut client), [100, 100, 0]);
    client.purge(1, &queue);
    assert_eq!(bytes(&mut client), [0, 0, 0]);
}

/// Every place that has rates, and where they stand there.
fn rates(http: &mut Http, queue: &str) -> Vec<(&'static str, f64)> {
    let rate = |of: &Value, path: &str| {
        let found = path.split('.').fold(of, |of, name| &of[name]);
        found["rate"].as_f64().unwrap_or_else(|| panic!("no {path} in {of}"))
    };
    let overview = http.show("/api/overview");
    let connection = &http.show("/api/connections")[0];
    let channel = &http.show("/api/channels")[0];
    let exchange = http.show("/api/exchanges/%2F/amq.default");
    let (vhost, queue) =
        (http.show("/api/vhosts/%2F"), http.show(&format!("/api/queues/%2F/{queue}")));
    if exchange["message_stats"].is_null() || vhost["recv_oct"].is_null() {
        return vec![("nothing was sampled", 0.0)];
    }
    let of_vhost = |name: &str| match vhost["message_stats"].is_null() {
        true => 0.0,
        false => rate(&vhost, name),
    };
    vec![
        ("overview", rate(&overview, "message_stats.publish_details")),
        ("all messages", rate(&overview, "queue_totals.messages_details")),
        ("all ready", rate(&overview, "queue_totals.messages_ready_details")),
        ("churn", rate(&overview, "churn_rates.queue_declared_details")),
        ("queue", rate(&queue, "message_stats.publish_details")),
        ("messages", rate(&queue, "messages_details")),
        ("ready", rate(&queue, "messages_ready_details")),
        ("channel", rate(channel, "message_stats.publish_details")),
        ("exchange in", rate(&exchange, "message_stats.publish_in_details")),
        ("exchange out", rate(&exchange, "message_stats.publish_out_details")),
        ("received", rate(connection, "recv_oct_details")),
        ("sent", rate(connection, "send_oct_details")),
        ("vhost", of_vhost("message_stats.publish_details")),
        ("vhost messages", rate(&vhost, "messages_details")),
        ("vhost received", rate(&vhost, "recv_oct_details")),
    ]
}

#[test]
fn rates_come_while_something_happens_and_go_when_nothing_does() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let until = now() + 6 * PATIENCE;
    loop {
        client.publish(1, "", &queue, "m");
        client.queue_named(1, "churn", Table::EMPTY);
        let rates = rates(&mut http, &queue);
        let missing: Vec<_> = rates.iter().filter(|(_, rate)| *rate <= 0.0).collect();
        if missing.is_empty() {
            break;
        }
        assert!(now() < until, "they never come: {missing:?}");
    }
    loop {
        let rates = rates(&mut http, &queue);
        let left: Vec<_> = rates.iter().filter(|(_, rate)| *rate != 0.0).collect();
        if left.is_empty() {
            break;
        }
        assert!(now() < until, "they never go: {left:?}");
    }
    // A queue that shrinks does so at a rate, too.
    client.purge(1, &queue);
    let path = format!("/api/queues/%2F/{queue}?columns=messages_details");
    while http.show(&path)["messages_details"]["rate"].as_f64() >= Some(0.0) {
        assert!(now() < until, "it never shrinks");
    }
}

#[test]
fn who_asks_for_samples_gets_them_from_then_on() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    client.confirm_select(1);
    client.publish(1, "", &queue, "m");
    client.expect_confirms(1, 1, 1);
    let ranges = "msg_rates_age=60&msg_rates_incr=1&lengths_age=60&lengths_incr=1&\
                  data_rates_age=60&data_rates_incr=1&node_stats_age=60&node_stats_incr=1";
    let connection = http.show("/api/connections")[0]["name"].clone();
    let connection = connection.as_str().expect("a name").replace(' ', "%20");
    let node = http.show("/api/overview")["node"].as_str().expect("a name").to_owned();
    let places = [
        ("/api/overview".to_owned(), "message_stats.publish_details"),
        ("/api/overview".to_owned(), "queue_totals.messages_ready_details"),
        ("/api/overview".to_owned(), "churn_rates.channel_created_details"),
        (format!("/api/queues/%2F/{queue}"), "message_stats.publish_details"),
        (format!("/api/queues/%2F/{queue}"), "messages_details"),
        ("/api/exchanges/%2F/amq.default".to_owned(), "message_stats.publish_in_details"),
        (format!("/api/channels/{connection}%20(1)"), "message_stats.publish_details"),
        (format!("/api/connections/{connection}"), "recv_oct_details"),
        (format!("/api/nodes/{node}"), "mem_used_details"),
        (format!("/api/nodes/{node}"), "io_sync_count_details"),
        (format!("/api/nodes/{node}"), "fd_used_details"),
    ];
    let found = |http: &mut Http, (path, field): &(String, &str)| {
        let shown = http.show(&format!("{path}?{ranges}"));
        let details = field.split('.').fold(&shown, |of, name| &of[name]).clone();
        assert!(details["avg"].is_number() && details["avg_rate"].is_number(), "{path}: {shown}");
        details["samples"].as_array().cloned().unwrap_or_else(|| panic!("{path}: {shown}"))
    };
    let until = now() + 6 * PATIENCE;
    for place in &places {
        while found(&mut http, place).len() < 4 {
            assert!(now() < until, "too few samples: {place:?}");
        }
        let samples = found(&mut http, place);
        for pair in samples.windows(2) {
            let at = |one: &Value| one["timestamp"].as_u64().expect("a time");
            assert_eq!(at(&pair[0]), at(&pair[1]) + 1000, "the newest comes first");
        }
    }
    let published = |samples: &[Value]| samples[0]["sample"].as_u64();
    assert_eq!(published(&found(&mut http, &places[3])), Some(1));
    client.publish(1, "", &queue, "m");
    client.expect_confirms(1, 2, 2);
    for place in [&places[0], &places[3], &places[5], &places[6]] {
        while published(&found(&mut http, place)) < Some(2) {
            assert!(now() < until, "it is never remembered: {place:?}");
        }
    }
    let path = format!("/api/queues/%2F/{queue}");
    let refused = http.get(&format!("{path}?msg_rates_age=99999999&msg_rates_incr=5"));
    let reason = "Invalid range parameters: age 99999999, incr 5";
    assert_eq!(refused.error(400), ("bad_request".into(), reason.into()));
    let shown = http.show(&format!("{path}?msg_rates_age=x&msg_rates_incr=5"));
    assert!(shown["message_stats"]["publish_details"]["samples"].is_null(), "{shown}");
}

/// Rates are of what everybody does: who may not see that is not told.
#[test]
fn who_is_no_monitor_sees_no_rates_of_others() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    client.publish(1, "", &queue, "m");
    client.round_trip(1);
    let user = r#"{"password": "p", "tags": "management"}"#;
    assert_eq!(http.ask("PUT", "/api/users/u", user).status, 201);
    let ranges = "msg_rates_age=60&msg_rates_incr=1&lengths_age=60&lengths_incr=1";
    let login = basic_login("u:p");
    let overview = http.ask_as(&login, "GET", &format!("/api/overview?{ranges}"), "").json();
    assert_eq!(overview["message_stats"], json!({}));
    assert_eq!(overview["queue_totals"]["messages_details"], json!({ "rate": 0.0 }));
}
