//! Is what happens to messages counted, and how fast it is?

use serde_json::Value;

use crate::common::*;
use crate::http::Http;

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
fn a_rate_comes_while_something_happens_and_goes_when_nothing_does() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let (mut http, mut client) = (Http::connect(address), Client::connect(server.address()));
    let queue = client.shared_queue(1);
    let path = format!("/api/queues/%2F/{queue}");
    let rate = |http: &mut Http| {
        let rate = &stats(http, &path)["publish_details"]["rate"];
        rate.as_f64().unwrap_or_default()
    };
    let until = now() + 4 * PATIENCE;
    while rate(&mut http) == 0.0 {
        assert!(now() < until, "it never comes");
        client.publish(1, "", &queue, "m");
        client.round_trip(1);
    }
    while rate(&mut http) > 0.0 {
        assert!(now() < until, "it never goes");
    }
}
