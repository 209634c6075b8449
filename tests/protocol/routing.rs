//! Which queues does a message reach?

use crate::common::*;

const NONE: [&str; 0] = [];

#[test]
fn default_exchange_routes_by_queue_name() {
    let (_server, mut client) = Server::with_client();
    let (one, two) = (client.queue(1), client.queue(1));
    client.publish(1, "", &two, "two");
    client.publish(1, "", "no such queue", "lost");
    assert_eq!(client.drain(1, &one), NONE);
    assert_eq!(client.drain(1, &two), ["two"]);
}

#[test]
fn direct_routes_by_equal_key() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "direct");
    let (one, two) = (client.queue(1), client.queue(1));
    client.bind(1, &one, &exchange, "a");
    client.bind(1, &two, &exchange, "a");
    client.bind(1, &two, &exchange, "a.b");
    for key in ["a", "a.b", "A", "", "*"] {
        client.publish(1, &exchange, key, key);
    }
    assert_eq!(client.drain(1, &one), ["a"]);
    assert_eq!(client.drain(1, &two), ["a", "a.b"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn fanout_routes_to_all_whatever_the_key() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "fanout");
    let queues: Vec<_> = (0..5).map(|_| client.queue(1)).collect();
    for queue in &queues {
        client.bind(1, queue, &exchange, "ignored");
    }
    client.publish(1, &exchange, "anything", "all");
    for queue in &queues {
        assert_eq!(client.drain(1, queue), ["all"]);
    }
    client.delete_exchange(1, &exchange);
}

/// Which of the patterns match which keys.
fn check_topic(cases: &[(&str, &[&str], &[&str])]) {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "topic");
    let queue = client.queue(1);
    for (pattern, matching, other) in cases {
        client.bind(1, &queue, &exchange, pattern);
        for key in matching.iter().chain(*other) {
            client.publish(1, &exchange, key, key);
        }
        assert_eq!(client.drain(1, &queue), *matching, "{pattern}");
        let unbind = queue::Unbind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: pattern.as_bytes(),
            ..Default::default()
        };
        client.call::<UnbindOk>(1, unbind);
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn star_is_exactly_one_word() {
    check_topic(&[
        ("*", &["a", "abc"], &["a.b", "a.b.c"]),
        ("a.*", &["a.b"], &["a", "a.b.c", "b.a"]),
        ("*.b", &["a.b"], &["b", "a.a.b"]),
        ("*.*", &["a.b"], &["a", "a.b.c"]),
        ("a.*.c", &["a.b.c"], &["a.c", "a.b.b.c"]),
    ]);
}

#[test]
fn hash_is_none_or_more_words() {
    check_topic(&[
        ("#", &["a", "a.b", "a.b.c", ""], &[]),
        ("a.#", &["a", "a.b", "a.b.c"], &["b", "b.a", "ab"]),
        ("#.c", &["c", "b.c", "a.b.c"], &["c.a", "a.bc"]),
        ("a.#.c", &["a.c", "a.b.c", "a.b.b.c"], &["a", "c", "a.b"]),
        ("#.b.#", &["b", "a.b", "b.c", "a.b.c", "a.a.b.c.c"], &["a", "a.c"]),
        ("#.#", &["", "a", "a.b"], &[]),
        ("*.#", &["a", "a.b"], &[]),
        ("#.*", &["a", "a.b"], &[]),
    ]);
}

#[test]
fn empty_words_are_words() {
    check_topic(&[
        ("*.*", &[".", "a.", ".b"], &["..", "a"]),
        ("a..b", &["a..b"], &["a.b"]),
        ("a.*.b", &["a..b"], &["a.b"]),
        ("a.", &["a."], &["a"]),
    ]);
}

#[test]
fn wildcards_inside_words_are_letters() {
    check_topic(&[("a*", &["a*"], &["ab", "a"]), ("#a", &["#a"], &["a", "b.a"])]);
}

#[test]
fn headers_match_all_is_the_default() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let (implied, explicit) = (client.queue(1), client.queue(1));
    let wanted = [("a", Value::I32(1)), ("b", word("x"))];
    client.bind_with(1, &implied, &exchange, "", fields(&wanted).table());
    let mut all = fields(&wanted);
    all.put_str(b"x-match", "all");
    client.bind_with(1, &explicit, &exchange, "", all.table());
    let both = fields(&[("b", word("x")), ("a", Value::I32(1))]);
    client.publish_headers(1, &exchange, "", &both, "both");
    let one = fields(&[("a", Value::I32(1))]);
    client.publish_headers(1, &exchange, "", &one, "one");
    let wrong = fields(&[("a", Value::I32(1)), ("b", word("y"))]);
    client.publish_headers(1, &exchange, "", &wrong, "wrong");
    assert_eq!(client.drain(1, &implied), ["both"]);
    assert_eq!(client.drain(1, &explicit), ["both"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn headers_match_any_takes_one_match() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    let any = fields(&[("x-match", word("any")), ("a", Value::I32(1)), ("b", word("x"))]);
    client.bind_with(1, &queue, &exchange, "", any.table());
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(1))]), "a");
    let b = fields(&[("b", word("x")), ("a", Value::I32(9))]);
    client.publish_headers(1, &exchange, "", &b, "b");
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(2))]), "none");
    client.publish_headers(1, &exchange, "", &TableBuf::new(), "empty");
    client.publish(1, &exchange, "", "no headers");
    assert_eq!(client.drain(1, &queue), ["a", "b"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn no_headers_in_the_binding_all_matches_and_any_does_not() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let (all, any) = (client.queue(1), client.queue(1));
    let arguments = fields(&[("x-match", word("all"))]);
    client.bind_with(1, &all, &exchange, "", arguments.table());
    let arguments = fields(&[("x-match", word("any"))]);
    client.bind_with(1, &any, &exchange, "", arguments.table());
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(1))]), "headers");
    client.publish(1, &exchange, "", "none");
    assert_eq!(client.drain(1, &all), ["headers", "none"]);
    assert_eq!(client.drain(1, &any), NONE);
    client.delete_exchange(1, &exchange);
}

#[test]
fn void_in_a_binding_tests_presence() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    client.bind_with(1, &queue, &exchange, "", fields(&[("a", Value::Void)]).table());
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(7))]), "there");
    client.publish_headers(1, &exchange, "", &fields(&[("b", Value::I32(7))]), "not there");
    assert_eq!(client.drain(1, &queue), ["there"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn comparison_of_headers_is_typed() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    client.bind_with(1, &queue, &exchange, "", fields(&[("a", Value::I32(1))]).table());
    client.publish_headers(1, &exchange, "", &fields(&[("a", word("1"))]), "text");
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::Bool(true))]), "true");
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(1))]), "number");
    assert_eq!(client.drain(1, &queue), ["number"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn keys_beginning_x_are_ignored() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    let wanted = fields(&[("x-extra", Value::I32(1)), ("a", Value::I32(1))]);
    client.bind_with(1, &queue, &exchange, "", wanted.table());
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(1))]), "a");
    client.publish_headers(1, &exchange, "", &fields(&[("x-extra", Value::I32(1))]), "x");
    assert_eq!(client.drain(1, &queue), ["a"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn keys_beginning_x_count_with_x() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let (all, any) = (client.queue(1), client.queue(1));
    for (queue, kind) in [(&all, b"all-with-x".as_slice()), (&any, b"any-with-x")] {
        let wanted = fields(&[
            ("x-match", Value::LongString(kind)),
            ("x-extra", Value::I32(1)),
            ("a", Value::I32(1)),
        ]);
        client.bind_with(1, queue, &exchange, "", wanted.table());
    }
    client.publish_headers(1, &exchange, "", &fields(&[("a", Value::I32(1))]), "a");
    client.publish_headers(1, &exchange, "", &fields(&[("x-extra", Value::I32(1))]), "x");
    let both = fields(&[("a", Value::I32(1)), ("x-extra", Value::I32(1))]);
    client.publish_headers(1, &exchange, "", &both, "both");
    assert_eq!(client.drain(1, &all), ["both"]);
    assert_eq!(client.drain(1, &any), ["a", "x", "both"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn unknown_x_match_is_406() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    for value in [word("some"), Value::I32(1)] {
        let arguments = fields(&[("x-match", value)]);
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            arguments: arguments.table(),
            ..Default::default()
        };
        client.refused(1, bind, 406, "PRECONDITION_FAILED - ");
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn bindings_that_differ_in_arguments_are_two() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "headers");
    let queue = client.queue(1);
    let (one, two) = (fields(&[("a", Value::I32(1))]), fields(&[("a", Value::I32(2))]));
    client.bind_with(1, &queue, &exchange, "", one.table());
    client.bind_with(1, &queue, &exchange, "", two.table());
    let unbind = queue::Unbind {
        queue: queue.as_bytes(),
        exchange: exchange.as_bytes(),
        routing_key: b"",
        arguments: one.table(),
    };
    client.call::<UnbindOk>(1, unbind);
    client.publish_headers(1, &exchange, "", &one, "one");
    client.publish_headers(1, &exchange, "", &two, "two");
    assert_eq!(client.drain(1, &queue), ["two"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn queue_gets_one_copy_however_many_bindings_lead_to_it() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "topic");
    let detour = client.exchange(1, "fanout");
    let queue = client.queue(1);
    for key in ["a.b", "a.*", "#"] {
        client.bind(1, &queue, &exchange, key);
    }
    client.bind(1, &queue, &detour, "");
    client.bind_exchange(1, &detour, &exchange, "a.#");
    client.publish(1, &exchange, "a.b", "once");
    assert_eq!(client.drain(1, &queue), ["once"]);
    client.delete_exchange(1, &exchange);
    client.delete_exchange(1, &detour);
}

#[test]
fn exchange_bindings_may_form_a_cycle() {
    let (_server, mut client) = Server::with_client();
    let names: Vec<_> = (0..3).map(|_| client.exchange(1, "fanout")).collect();
    for index in 0..3 {
        client.bind_exchange(1, &names[(index + 1) % 3], &names[index], "");
    }
    client.bind_exchange(1, &names[0], &names[0], "");
    let queue = client.queue(1);
    client.bind(1, &queue, &names[2], "");
    client.publish(1, &names[0], "", "once");
    assert_eq!(client.drain(1, &queue), ["once"]);
    for name in &names {
        client.delete_exchange(1, name);
    }
}

#[test]
fn exchange_unbind_ends_the_route_and_is_idempotent() {
    let (_server, mut client) = Server::with_client();
    let (from, to) = (client.exchange(1, "direct"), client.exchange(1, "fanout"));
    let queue = client.queue(1);
    client.bind(1, &queue, &to, "");
    client.bind_exchange(1, &to, &from, "key");
    client.bind_exchange(1, &to, &from, "key");
    client.publish(1, &from, "key", "routed");
    let unbind = exchange::Unbind {
        destination: to.as_bytes(),
        source: from.as_bytes(),
        routing_key: b"key",
        ..Default::default()
    };
    client.call::<ExchangeUnbindOk>(1, unbind);
    client.call::<ExchangeUnbindOk>(1, unbind);
    client.publish(1, &from, "key", "lost");
    assert_eq!(client.drain(1, &queue), ["routed"]);
    client.delete_exchange(1, &from);
    client.delete_exchange(1, &to);
}

fn exchange_with_alternate(client: &mut Client, kind: &str, alternate: &str) -> String {
    let name = unique(kind);
    let arguments = fields(&[("alternate-exchange", Value::LongString(alternate.as_bytes()))]);
    let declare = exchange::Declare {
        exchange: name.as_bytes(),
        kind: kind.as_bytes(),
        arguments: arguments.table(),
        ..Default::default()
    };
    client.call::<ExchangeDeclareOk>(1, declare);
    name
}

#[test]
fn alternate_exchange_takes_what_its_exchange_does_not_route() {
    let (_server, mut client) = Server::with_client();
    let alternate = client.exchange(1, "fanout");
    let name = exchange_with_alternate(&mut client, "direct", &alternate);
    let (routed, rest) = (client.queue(1), client.queue(1));
    client.bind(1, &routed, &name, "known");
    client.bind(1, &rest, &alternate, "");
    client.publish(1, &name, "known", "1");
    client.publish(1, &name, "unknown", "2");
    assert_eq!(client.drain(1, &routed), ["1"]);
    assert_eq!(client.drain(1, &rest), ["2"]);
    client.delete_exchange(1, &name);
    client.delete_exchange(1, &alternate);
}

#[test]
fn mandatory_message_taken_by_an_alternate_exchange_is_routed_and_not_returned() {
    let (_server, mut client) = Server::with_client();
    let alternate = client.exchange(1, "fanout");
    let name = exchange_with_alternate(&mut client, "direct", &alternate);
    let rest = client.queue(1);
    client.bind(1, &rest, &alternate, "");
    client.confirm_select(1);
    client.publish_mandatory(1, &name, "unknown", "kept");
    assert_eq!(client.expect::<Ack>(1).tag, 1);
    assert_eq!(client.drain(1, &rest), ["kept"]);
    client.delete_queue(1, &rest);
    client.publish_mandatory(1, &name, "unknown", "lost");
    assert_eq!(client.expect::<Return>(1).message.exchange, name);
    assert_eq!(client.expect::<Ack>(1).tag, 2);
    client.delete_exchange(1, &name);
    client.delete_exchange(1, &alternate);
}

#[test]
fn missing_alternate_makes_the_message_unroutable() {
    let (_server, mut client) = Server::with_client();
    let name = exchange_with_alternate(&mut client, "direct", "no such exchange");
    client.publish_mandatory(1, &name, "unknown", "lost");
    assert_eq!(client.expect::<Return>(1).code, 312);
    client.delete_exchange(1, &name);
}

#[test]
fn chain_of_alternates_ends_at_a_visited_exchange() {
    let (_server, mut client) = Server::with_client();
    let (one, two) = (unique("direct"), unique("direct"));
    for (name, alternate) in [(&one, &two), (&two, &one)] {
        let arguments = fields(&[("alternate-exchange", Value::LongString(alternate.as_bytes()))]);
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: b"direct",
            arguments: arguments.table(),
            ..Default::default()
        };
        client.call::<ExchangeDeclareOk>(1, declare);
    }
    client.publish_mandatory(1, &one, "unknown", "lost");
    assert_eq!(client.expect::<Return>(1).message.body(), "lost");
    let queue = client.queue(1);
    client.bind(1, &queue, &two, "known");
    client.publish_mandatory(1, &one, "known", "kept");
    assert_eq!(client.drain(1, &queue), ["kept"]);
    client.delete_exchange(1, &one);
    client.delete_exchange(1, &two);
}

#[test]
fn alternate_without_a_name_routes_nowhere() {
    let (_server, mut client) = Server::with_client();
    let name = exchange_with_alternate(&mut client, "direct", "");
    let queue = client.queue(1);
    client.publish_mandatory(1, &name, &queue, "lost");
    assert_eq!(client.expect::<Return>(1).code, 312);
    assert!(client.drain(1, &queue).is_empty(), "the default exchange is nobody's alternate");
    client.delete_exchange(1, &name);
}
