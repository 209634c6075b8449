//! Do exchanges come, go and fail as clients expect?

use crate::common::*;

fn declare<'a>(name: &'a str, kind: &'a str) -> exchange::Declare<'a> {
    exchange::Declare { exchange: name.as_bytes(), kind: kind.as_bytes(), ..Default::default() }
}

fn bind<'a>(destination: &'a str, source: &'a str, key: &'a str) -> exchange::Bind<'a> {
    exchange::Bind {
        destination: destination.as_bytes(),
        source: source.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    }
}

fn unbind<'a>(destination: &'a str, source: &'a str, key: &'a str) -> exchange::Unbind<'a> {
    exchange::Unbind {
        destination: destination.as_bytes(),
        source: source.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    }
}

#[test]
fn predeclared_exchanges_are_there_and_durable() {
    let (_server, mut client) = Server::with_client();
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        let durable = exchange::Declare { durable: true, ..declare(name, kind) };
        client.call::<ExchangeDeclareOk>(1, durable);
        client.refused(
            1,
            declare(name, kind),
            406,
            &format!(
                "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '{name}' in vhost \
                 '/': received 'false' but current is 'true'"
            ),
        );
    }
}

#[test]
fn trace_exchange_is_an_internal_topic() {
    let (_server, mut client) = Server::with_client();
    let trace = declare("amq.rabbitmq.trace", "topic");
    client
        .call::<ExchangeDeclareOk>(1, exchange::Declare { durable: true, internal: true, ..trace });
}

#[test]
fn declare_of_a_new_exchange_is_answered_and_again_the_same() {
    let (_server, mut client) = Server::with_client();
    for kind in ["direct", "fanout", "topic", "headers"] {
        let name = unique(kind);
        client.call::<ExchangeDeclareOk>(1, declare(&name, kind));
        client.call::<ExchangeDeclareOk>(1, declare(&name, kind));
        client.delete_exchange(1, &name);
    }
}

#[test]
fn unknown_type_is_406() {
    let (server, mut client) = Server::with_client();
    let name = unique("x");
    if server.differs("3.10 closes the connection with 503") {
        client.send(1, declare(&name, "mystery"));
        client.expect_connection_error(503, "unknown exchange type 'mystery'");
        return;
    }
    client.refused(
        1,
        declare(&name, "mystery"),
        406,
        "PRECONDITION_FAILED - unknown exchange type 'mystery'",
    );
}

#[test]
fn default_exchange_cannot_be_declared() {
    let (_server, mut client) = Server::with_client();
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    client.refused(1, declare("", "direct"), 403, text);
    client.refused(1, exchange::Declare { passive: true, ..declare("", "direct") }, 403, text);
}

#[test]
fn default_exchange_cannot_be_deleted() {
    let (_server, mut client) = Server::with_client();
    client.send(1, exchange::Delete::default());
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    client.expect_channel_error(1, 403, text);
}

#[test]
fn default_exchange_cannot_be_bound_or_unbound() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    let queue_bind = queue::Bind { queue: queue.as_bytes(), ..Default::default() };
    let queue_unbind = queue::Unbind { queue: queue.as_bytes(), ..Default::default() };
    let methods: [Method<'_>; 6] = [
        queue_bind.into(),
        queue_unbind.into(),
        bind("amq.direct", "", "k").into(),
        bind("", "amq.direct", "k").into(),
        unbind("amq.direct", "", "k").into(),
        unbind("", "amq.direct", "k").into(),
    ];
    for method in methods {
        client.refused(1, method, 403, text);
    }
}

#[test]
fn inequivalent_declares_are_406() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let inequivalent = |arg: &str, received: &str, current: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg '{arg}' for exchange '{name}' in vhost '/': \
             received '{received}' but current is '{current}'"
        )
    };
    let same = declare(&name, "direct");
    let text = inequivalent("type", "fanout", "direct");
    client.refused(1, declare(&name, "fanout"), 406, &text);
    let text = inequivalent("durable", "true", "false");
    client.refused(1, exchange::Declare { durable: true, ..same }, 406, &text);
    let text = inequivalent("auto_delete", "true", "false");
    client.refused(1, exchange::Declare { auto_delete: true, ..same }, 406, &text);
    let text = inequivalent("internal", "true", "false");
    client.refused(1, exchange::Declare { internal: true, ..same }, 406, &text);
    let mut arguments = TableBuf::new();
    arguments.put_str(b"alternate-exchange", "amq.fanout");
    client.refused(
        1,
        exchange::Declare { arguments: arguments.table(), ..same },
        406,
        &format!(
            "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{name}' in \
             vhost '/': received"
        ),
    );
    client.delete_exchange(1, &name);
}

#[test]
fn type_is_compared_before_durability() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let other = exchange::Declare { durable: true, internal: true, ..declare(&name, "topic") };
    client.refused(1, other, 406, "inequivalent arg 'type'");
    client.delete_exchange(1, &name);
}

#[test]
fn unknown_arguments_are_ignored_in_the_comparison() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let mut arguments = TableBuf::new();
    arguments.put_i64(b"x-something", 1);
    let again = exchange::Declare { arguments: arguments.table(), ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, again);
    client.delete_exchange(1, &name);
}

#[test]
fn creating_amq_names_is_403() {
    let (_server, mut client) = Server::with_client();
    client.refused(
        1,
        declare("amq.of-our-own", "direct"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.of-our-own' contains reserved prefix 'amq.*'",
    );
}

#[test]
fn passive_declare_of_a_missing_exchange_is_404() {
    let (_server, mut client) = Server::with_client();
    let passive = exchange::Declare { passive: true, ..declare("no such exchange", "direct") };
    client.refused(1, passive, 404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'");
}

#[test]
fn passive_declare_looks_at_the_name_only() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let passive = exchange::Declare { passive: true, durable: true, ..declare(&name, "topic") };
    client.call::<ExchangeDeclareOk>(1, passive);
    client.delete_exchange(1, &name);
}

#[test]
fn publishing_to_an_internal_exchange_is_403() {
    let (_server, mut client) = Server::with_client();
    let name = unique("internal");
    let internal = exchange::Declare { internal: true, ..declare(&name, "fanout") };
    client.call::<ExchangeDeclareOk>(1, internal);
    client.publish(1, &name, "key", "refused");
    client.expect_channel_error(
        1,
        403,
        &format!("ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'"),
    );
    client.open(1);
    client.delete_exchange(1, &name);
}

#[test]
fn internal_exchange_may_be_bound_to() {
    let (_server, mut client) = Server::with_client();
    let name = unique("internal");
    let internal = exchange::Declare { internal: true, ..declare(&name, "fanout") };
    client.call::<ExchangeDeclareOk>(1, internal);
    let front = client.exchange(1, "fanout");
    let queue = client.queue(1);
    client.bind(1, &queue, &name, "");
    client.bind_exchange(1, &name, &front, "");
    client.publish(1, &front, "", "through");
    assert_eq!(client.drain(1, &queue), ["through"]);
    client.delete_exchange(1, &front);
    client.delete_exchange(1, &name);
}

#[test]
fn auto_delete_exchange_goes_with_its_last_binding_as_source() {
    let (_server, mut client) = Server::with_client();
    let name = unique("auto");
    let auto = exchange::Declare { auto_delete: true, ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, auto);
    let queue = client.queue(1);
    client.bind(1, &queue, &name, "one");
    client.bind(1, &queue, &name, "two");
    let remove = |key: &'static str| queue::Unbind {
        queue: queue.as_bytes(),
        exchange: name.as_bytes(),
        routing_key: key.as_bytes(),
        ..Default::default()
    };
    client.call::<UnbindOk>(1, remove("one"));
    let passive = exchange::Declare { passive: true, ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, passive);
    client.call::<UnbindOk>(1, remove("two"));
    client.refused(1, passive, 404, "NOT_FOUND - no exchange");
}

#[test]
fn auto_delete_exchange_goes_when_its_only_queue_is_deleted() {
    let (_server, mut client) = Server::with_client();
    let name = unique("auto");
    let auto = exchange::Declare { auto_delete: true, ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, auto);
    let queue = client.queue(1);
    client.bind(1, &queue, &name, "key");
    client.delete_queue(1, &queue);
    let passive = exchange::Declare { passive: true, ..declare(&name, "direct") };
    client.refused(1, passive, 404, "NOT_FOUND - no exchange");
}

#[test]
fn auto_delete_exchange_stays_as_long_as_it_was_never_bound() {
    let (_server, mut client) = Server::with_client();
    let name = unique("auto");
    let auto = exchange::Declare { auto_delete: true, ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, auto);
    let queue = client.queue(1);
    let nothing =
        queue::Unbind { queue: queue.as_bytes(), exchange: name.as_bytes(), ..Default::default() };
    client.call::<UnbindOk>(1, nothing);
    client.publish(1, &name, "", "to nobody");
    let passive = exchange::Declare { passive: true, ..declare(&name, "direct") };
    client.call::<ExchangeDeclareOk>(1, passive);
    client.delete_exchange(1, &name);
}

#[test]
fn auto_delete_exchange_stays_when_bindings_to_it_go() {
    let (_server, mut client) = Server::with_client();
    let name = unique("auto");
    let auto = exchange::Declare { auto_delete: true, ..declare(&name, "fanout") };
    client.call::<ExchangeDeclareOk>(1, auto);
    client.bind_exchange(1, &name, "amq.direct", &name);
    client.call::<ExchangeUnbindOk>(1, unbind(&name, "amq.direct", &name));
    let passive = exchange::Declare { passive: true, ..declare(&name, "fanout") };
    client.call::<ExchangeDeclareOk>(1, passive);
    // As a source its last binding is the end of it, whatever still leads to it.
    client.bind_exchange(1, &name, "amq.direct", &name);
    client.bind_exchange(1, "amq.fanout", &name, "");
    client.call::<ExchangeUnbindOk>(1, unbind("amq.fanout", &name, ""));
    client.refused(1, passive, 404, "NOT_FOUND - no exchange");
}

#[test]
fn type_is_looked_at_before_the_name() {
    let Some((_server, mut client)) = Server::ours("3.10 closes the connection with 503") else {
        return;
    };
    let text = "PRECONDITION_FAILED - unknown exchange type 'mystery'";
    client.refused(1, declare("", "mystery"), 406, text);
    client.refused(1, declare("amq.of-our-own", "mystery"), 406, text);
    // Of an exchange that is there the type is not even compared.
    client.refused(1, declare("amq.direct", "mystery"), 406, text);
}

#[test]
fn deleting_an_exchange_is_idempotent() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    client.delete_exchange(1, &name);
    client.delete_exchange(1, &name);
    let passive = exchange::Declare { passive: true, ..declare(&name, "direct") };
    client.refused(1, passive, 404, "NOT_FOUND - no exchange");
}

#[test]
fn deleting_with_if_unused_while_bound_is_406() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let queue = client.queue(1);
    client.bind(1, &queue, &name, "key");
    let delete = exchange::Delete { exchange: name.as_bytes(), if_unused: true, nowait: false };
    client.send(1, delete);
    let text = format!("PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use");
    client.expect_channel_error(1, 406, &text);
    client.open(1);
    client.delete_queue(1, &queue);
    client.call::<ExchangeDeleteOk>(1, delete);
}

#[test]
fn deleting_amq_exchanges_is_403() {
    let (_server, mut client) = Server::with_client();
    client.send(1, exchange::Delete { exchange: b"amq.direct", ..Default::default() });
    client.expect_channel_error(
        1,
        403,
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
    );
}

#[test]
fn binding_missing_exchanges_is_404() {
    let (_server, mut client) = Server::with_client();
    let text = "NOT_FOUND - no exchange 'no such exchange' in vhost '/'";
    for (destination, source) in
        [("amq.direct", "no such exchange"), ("no such exchange", "amq.direct")]
    {
        client.refused(1, bind(destination, source, "key"), 404, text);
    }
}

#[test]
fn unbinding_what_is_gone_is_fine_whatever_is_missing() {
    let (_server, mut client) = Server::with_client();
    let missing = "no such thing";
    for (destination, source) in [("amq.direct", missing), (missing, "amq.direct")] {
        client.call::<ExchangeUnbindOk>(1, unbind(destination, source, "key"));
    }
    client.call::<ExchangeUnbindOk>(1, unbind("amq.direct", "amq.topic", "not bound"));
    client.send(1, exchange::Unbind { nowait: true, ..unbind(missing, missing, "") });
    let queue = client.queue(1);
    for (queue, exchange) in [(missing, "amq.direct"), (&queue, missing), (&queue, "amq.direct")] {
        let (queue, exchange) = (queue.as_bytes(), exchange.as_bytes());
        let unbind = queue::Unbind { queue, exchange, ..Default::default() };
        client.call::<UnbindOk>(1, unbind);
    }
    // Only what nobody may touch is refused.
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    client.refused(1, unbind(missing, "", ""), 403, text);
}

#[test]
fn nowait_declare_has_the_effect_without_the_answer() {
    let (_server, mut client) = Server::with_client();
    let name = unique("quiet");
    client.send(1, exchange::Declare { nowait: true, ..declare(&name, "direct") });
    client.expect_nothing_before(1, 1);
    client.call::<ExchangeDeclareOk>(
        1,
        exchange::Declare { passive: true, ..declare(&name, "direct") },
    );
    client.send(1, exchange::Delete { exchange: name.as_bytes(), if_unused: false, nowait: true });
    let passive = exchange::Declare { passive: true, ..declare(&name, "direct") };
    client.refused(1, passive, 404, "NOT_FOUND - no exchange");
}

#[test]
fn nowait_delete_bind_and_unbind_fail_aloud() {
    let (_server, mut client) = Server::with_client();
    let missing = exchange::Bind { nowait: true, ..bind("amq.fanout", "no such exchange", "") };
    client.refused(1, missing, 404, "NOT_FOUND - no exchange 'no such exchange'");
    let default = exchange::Unbind { nowait: true, ..unbind("amq.fanout", "", "") };
    client.refused(1, default, 403, "ACCESS_REFUSED - operation not permitted");
    let delete = exchange::Delete { exchange: b"amq.direct", if_unused: false, nowait: true };
    client.send(1, delete);
    client.expect_channel_error(1, 403, "ACCESS_REFUSED - deletion of system exchange");
}

#[test]
fn nowait_bind_and_unbind_have_the_effect_without_the_answer() {
    let (_server, mut client) = Server::with_client();
    let (queue, name) = (client.queue(1), client.exchange(1, "fanout"));
    client.bind(1, &queue, &name, "");
    client.send(1, exchange::Bind { nowait: true, ..bind(&name, "amq.direct", &name) });
    client.publish(1, "amq.direct", &name, "bound");
    client.expect_nothing_before(1, 1);
    client.send(1, exchange::Unbind { nowait: true, ..unbind(&name, "amq.direct", &name) });
    client.publish(1, "amq.direct", &name, "not bound");
    client.expect_nothing_before(1, 1);
    assert_eq!(client.drain(1, &queue), ["bound"]);
    client.delete_exchange(1, &name);
}

#[test]
fn nowait_declare_fails_aloud() {
    let (_server, mut client) = Server::with_client();
    let name = client.exchange(1, "direct");
    let other = exchange::Declare { nowait: true, ..declare(&name, "fanout") };
    client.refused(1, other, 406, "inequivalent arg 'type'");
    client.delete_exchange(1, &name);
}
