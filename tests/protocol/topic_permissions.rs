//! Which routing keys may who use with a topic exchange?

use crate::common::*;
use leveret::amqp::Name;

const NONE: [&str; 0] = [];

/// On `amq.topic` Ann may publish with keys that begin with her name and bind with keys that begin
/// with her vhost's, which is called `v`, or are `#`.
fn server() -> Option<Server> {
    Server::start_prepared(|broker| {
        broker.create_vhost(&Name::from("v"));
        let mut ann = user("ann", ".*", ".*", ".*");
        let all = ann.permissions().next().expect("it has some").1.clone();
        ann.set_permissions(Name::from("v"), all);
        let (vhost, exchange) = (Name::from("v"), Name::from("amq.topic"));
        ann.set_topic_permissions(vhost.clone(), exchange, "^{username}\\.", "^({vhost}\\.|#$)");
        // An exchange that is no topic exchange does not ask.
        ann.set_topic_permissions(vhost, Name::from("amq.direct"), "^never$", "^never$");
        broker.put_user(ann);
    })
}

fn connect(server: &Server) -> Client {
    let mut ann = Client::connect_with(server.address(), &Options::of("ann", "v"));
    ann.open(1);
    ann
}

fn expect_refusal(ann: &mut Client, access: &str, key: &str) {
    let text = format!(
        "ACCESS_REFUSED - {access} access to topic '{key}' in exchange exchange 'amq.topic' in \
         vhost 'v' refused for user 'ann'"
    );
    assert_eq!(ann.expect_channel_error(1, 403, &text).text, text);
    ann.open(1);
}

fn bind<'a>(queue: &'a str, key: &'a str) -> queue::Bind<'a> {
    queue::Bind {
        queue: queue.as_bytes(),
        exchange: b"amq.topic",
        routing_key: key.as_bytes(),
        ..Default::default()
    }
}

#[test]
fn publishing_needs_a_routing_key_that_the_user_may_write() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let queue = ann.queue(1);
    ann.bind(1, &queue, "amq.topic", "#");
    ann.publish(1, "amq.topic", "ann.news", "hers");
    for key in ["bob.news", "v.news", "", "{username}.news"] {
        ann.publish(1, "amq.topic", key, "refused");
        expect_refusal(&mut ann, "write", key);
    }
    ann.publish(1, "amq.topic", "ann.news", "hers again");
    assert_eq!(ann.drain(1, &queue), ["hers", "hers again"]);
}

#[test]
fn additional_routing_keys_are_held_to_the_same_pattern() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let queue = ann.queue(1);
    ann.bind(1, &queue, "amq.topic", "#");
    for header in ["CC", "BCC"] {
        for (key, allowed) in [("ann.copy", true), ("bob.copy", false)] {
            let mut keys = ArrayBuf::new();
            keys.push_str(key);
            let headers = fields(&[(header, Value::Array(keys.array()))]);
            let properties = with_headers(&headers);
            ann.publish_with(1, "amq.topic", "ann.news", &properties, b"letter");
            if allowed {
                assert_eq!(ann.drain(1, &queue), ["letter"]);
            } else {
                expect_refusal(&mut ann, "write", "bob.copy");
                assert_eq!(ann.drain(1, &queue), NONE);
            }
        }
    }
}

#[test]
fn binding_needs_a_key_that_the_user_may_read() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let queue = ann.queue(1);
    ann.call::<BindOk>(1, bind(&queue, "v.news"));
    for key in ["ann.news", "*.news", "w.news"] {
        ann.send(1, bind(&queue, key));
        expect_refusal(&mut ann, "read", key);
        let unbind = queue::Unbind {
            queue: queue.as_bytes(),
            exchange: b"amq.topic",
            routing_key: key.as_bytes(),
            ..Default::default()
        };
        ann.send(1, unbind);
        expect_refusal(&mut ann, "read", key);
    }
    ann.publish(1, "amq.topic", "ann.news", "not bound");
    assert_eq!(ann.drain(1, &queue), NONE);
}

#[test]
fn binding_an_exchange_needs_a_key_that_the_user_may_read() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let fanout = ann.exchange(1, "fanout");
    ann.bind_exchange(1, &fanout, "amq.topic", "v.news");
    let bind = exchange::Bind {
        destination: fanout.as_bytes(),
        source: b"amq.topic",
        routing_key: b"ann.news",
        ..Default::default()
    };
    ann.send(1, bind);
    expect_refusal(&mut ann, "read", "ann.news");
}

#[test]
fn only_topic_exchanges_look_at_routing_keys() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let queue = ann.queue(1);
    ann.bind(1, &queue, "amq.direct", "bob.news");
    ann.publish(1, "amq.direct", "bob.news", "direct");
    assert_eq!(ann.drain(1, &queue), ["direct"]);
}

#[test]
fn topic_permissions_hold_for_their_exchange_and_vhost_only() {
    let Some(server) = server() else { return };
    let mut ann = connect(&server);
    let other = ann.exchange(1, "topic");
    let queue = ann.queue(1);
    ann.bind(1, &queue, &other, "bob.news");
    ann.publish(1, &other, "bob.news", "another exchange");
    assert_eq!(ann.drain(1, &queue), ["another exchange"]);
    let mut elsewhere = Client::connect_as(server.address(), "ann");
    let queue = elsewhere.queue(1);
    elsewhere.bind(1, &queue, "amq.topic", "bob.news");
    elsewhere.publish(1, "amq.topic", "bob.news", "another vhost");
    assert_eq!(elsewhere.drain(1, &queue), ["another vhost"]);
}
