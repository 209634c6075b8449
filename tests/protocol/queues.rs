//! Do queues come, go and fail as clients expect?

use crate::common::*;

#[test]
fn declare_ok_carries_ready_messages_and_consumers() {
    let (_server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    client.store(2, &name, &["a", "b", "c"]);
    let expected = DeclareOk { queue: name.clone(), messages: 3, consumers: 0 };
    assert_eq!(client.inspect(1, &name), expected);
    client.prefetch(1, 2);
    client.consume(1, &name);
    client.expect_bodies(1, 2);
    let expected = DeclareOk { queue: name.clone(), messages: 1, consumers: 1 };
    assert_eq!(client.inspect(1, &name), expected);
    let again = queue::Declare { auto_delete: true, ..named(&name) };
    assert_eq!(client.call::<DeclareOk>(1, again), expected);
}

#[test]
fn declare_after_publishes_on_the_same_channel_counts_them() {
    let Some((_server, mut client)) = Server::ours("a declare overtakes publishes there") else {
        return;
    };
    let name = client.queue(1);
    for count in 1..=50 {
        client.publish(1, "", &name, "one more");
        assert_eq!(client.inspect(1, &name).messages, count);
    }
}

#[test]
fn empty_name_makes_one_up() {
    let (_server, mut client) = Server::with_client();
    let (one, two) = (client.queue(1), client.queue(1));
    assert!(one.starts_with("amq.gen-") && two.starts_with("amq.gen-"), "{one} {two}");
    assert_ne!(one, two);
    assert!(one.len() > 20, "{one} can be guessed");
}

#[test]
fn empty_name_later_is_the_last_queue_declared_on_the_channel() {
    let (_server, mut client) = Server::with_client();
    let one = client.queue(1);
    let two = client.queue(1);
    client.open(2);
    let three = client.queue(2);
    client.publish(1, "", &one, "one");
    client.publish(1, "", &two, "two");
    client.publish(1, "", &three, "three");
    client.round_trip(1);
    assert_eq!(client.drain(2, ""), ["three"]);
    assert_eq!(client.drain(1, ""), ["two"]);
    // A passive declare counts as well.
    client.inspect(1, &one);
    assert_eq!(client.drain(1, ""), ["one"]);
}

#[test]
fn empty_name_without_an_earlier_declare_is_404() {
    let (_server, mut client) = Server::with_client();
    let methods: [Method<'_>; 6] = [
        queue::Bind { exchange: b"amq.direct", routing_key: b"k", ..Default::default() }.into(),
        queue::Unbind { exchange: b"amq.direct", ..Default::default() }.into(),
        queue::Purge::default().into(),
        queue::Delete::default().into(),
        basic::Consume::default().into(),
        basic::Get::default().into(),
    ];
    for method in methods {
        client.refused(1, method, 404, "NOT_FOUND - no previously declared queue");
    }
}

#[test]
fn bind_with_empty_queue_and_key_uses_the_queues_name_as_key() {
    let (_server, mut client) = Server::with_client();
    let exchange = client.exchange(1, "direct");
    let name = client.queue(1);
    client.bind(1, "", &exchange, "");
    client.publish(1, &exchange, &name, "found");
    client.publish(1, &exchange, "", "lost");
    assert_eq!(client.drain(1, &name), ["found"]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn inequivalent_flags_are_406_in_order() {
    let (_server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    let text = |arg: &str, received: &str, current: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg '{arg}' for queue '{name}' in vhost '/': \
             received '{received}' but current is '{current}'"
        )
    };
    let same = queue::Declare { auto_delete: true, ..named(&name) };
    let durable = queue::Declare { durable: true, auto_delete: false, ..same };
    client.refused(1, durable, 406, &text("durable", "true", "false"));
    let lasting = queue::Declare { auto_delete: false, ..same };
    client.refused(1, lasting, 406, &text("auto_delete", "false", "true"));
    client.delete_queue(1, &name);
}

#[test]
fn exclusive_queue_is_locked_for_other_connections() {
    let (server, mut owner) = Server::with_client();
    let name = unique("exclusive");
    owner.call::<DeclareOk>(1, queue::Declare { exclusive: true, ..named(&name) });
    let mut other = Client::connect(server.address());
    let queue = name.as_bytes();
    let methods: [Method<'_>; 8] = [
        passive(&name).into(),
        named(&name).into(),
        queue::Declare { exclusive: true, ..named(&name) }.into(),
        queue::Bind { queue, exchange: b"amq.direct", ..Default::default() }.into(),
        queue::Purge { queue, nowait: false }.into(),
        queue::Delete { queue, ..Default::default() }.into(),
        basic::Consume { queue, ..Default::default() }.into(),
        basic::Get { queue, no_ack: true }.into(),
    ];
    for method in methods {
        let text = format!(
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost \
             '/'. It could be originally declared on another connection or the exclusive property \
             value does not match that of th"
        );
        other.refused(1, method, 405, &text);
    }
    // Where there is no binding, nobody looks whose queue it is.
    let unbind = queue::Unbind { queue, exchange: b"amq.direct", ..Default::default() };
    other.call::<UnbindOk>(1, unbind);
    owner.bind(1, &name, "amq.direct", "");
    other.refused(1, unbind, 405, "RESOURCE_LOCKED - cannot obtain exclusive access");
    // Its owner may, also from another channel; and anyone may publish to it.
    owner.open(2);
    assert_eq!(owner.inspect(2, &name).queue, name);
    other.store(2, &name, &["from outside"]);
    assert_eq!(owner.drain(2, &name), ["from outside"]);
}

#[test]
fn ownership_is_looked_at_before_everything_else_of_a_queue() {
    let (server, mut owner) = Server::with_client();
    let mut other = Client::connect(server.address());
    let (exclusive, shared) = (unique("exclusive"), owner.shared_queue(1));
    owner.call::<DeclareOk>(1, queue::Declare { exclusive: true, ..named(&exclusive) });
    let arguments = fields(&[("x-message-ttl", Value::I32(1))]);
    let different = queue::Declare {
        durable: true,
        auto_delete: true,
        arguments: arguments.table(),
        ..named(&exclusive)
    };
    let text = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    other.refused(1, different, 405, text);
    // Its owner is refused in the same way when it does not ask for an exclusive one.
    owner.refused(1, different, 405, text);
    let claimed = queue::Declare { exclusive: true, ..named(&shared) };
    owner.refused(1, claimed, 405, text);
    owner.delete_queue(1, &shared);
}

#[test]
fn durable_means_nothing_for_an_exclusive_queue() {
    let (_server, mut client) = Server::with_client();
    let name = unique("q");
    let transient = queue::Declare { exclusive: true, ..named(&name) };
    let durable = queue::Declare { durable: true, ..transient };
    client.call::<DeclareOk>(1, transient);
    client.call::<DeclareOk>(1, durable);
}

/// They are removed by and by, but for everybody else they are gone.
#[test]
fn very_many_exclusive_queues_are_gone_when_their_connection_is_closed() {
    let server = Server::start();
    let mut owner = Client::connect(server.address());
    let name = |n: usize| format!("exclusive-{n}");
    const COUNT: usize = 10_000;
    for n in 0..COUNT {
        let name = name(n);
        owner.send(1, queue::Declare { exclusive: true, nowait: true, ..named(&name) });
    }
    owner.round_trip(1);
    let mut other = Client::connect(server.address());
    owner.close();
    for n in (0..COUNT).rev().step_by(COUNT / 10) {
        let name = name(n);
        other.refused(1, queue::Declare { passive: true, ..named(&name) }, 404, "NOT_FOUND");
        assert_eq!(other.delete_queue(1, &name), 0);
        other.queue_named(1, &name, Table::EMPTY);
        other.publish(1, "", &name, "for its new owner");
        let got = other.get(1, &name).expect("it is there");
        assert_eq!(text(&got.message.body), "for its new owner");
    }
}

#[test]
fn exclusive_queue_goes_with_a_connection_that_vanishes() {
    let (server, mut watcher) = Server::with_client();
    let mut owner = Client::connect(server.address());
    let name = unique("exclusive");
    owner.call::<DeclareOk>(1, queue::Declare { exclusive: true, ..named(&name) });
    owner.vanish();
    loop {
        watcher.send(1, passive(&name));
        let close = watcher.expect::<ChannelClose>(1).0;
        watcher.send(1, channel::CloseOk {});
        watcher.open(1);
        if close.code == 404 {
            break;
        }
        close.assert(405, "RESOURCE_LOCKED");
    }
}

#[test]
fn auto_delete_queue_goes_with_its_last_consumer() {
    let (_server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    let first = client.consume(1, &name);
    let second = client.consume(1, &name);
    let cancel = |tag: &str| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(tag.as_bytes());
        bytes
    };
    let tag = cancel(&first);
    client.call::<CancelOk>(1, basic::Cancel { consumer_tag: &tag, nowait: false });
    assert_eq!(client.inspect(1, &name).consumers, 1);
    let tag = cancel(&second);
    client.call::<CancelOk>(1, basic::Cancel { consumer_tag: &tag, nowait: false });
    client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
}

#[test]
fn auto_delete_queue_stays_as_long_as_it_had_no_consumer() {
    let (server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    client.close();
    let mut client = Client::connect(server.address());
    assert_eq!(client.inspect(1, &name).consumers, 0);
    client.delete_queue(1, &name);
}

#[test]
fn auto_delete_queue_goes_when_the_channel_of_its_consumer_closes() {
    let (_server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    client.open(2);
    client.consume(2, &name);
    client.close_channel(2);
    client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
}

#[test]
fn deleting_a_queue_returns_its_ready_messages() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.store(2, &name, &["a", "b", "c"]);
    client.get(1, &name).expect("three messages are there");
    assert_eq!(client.delete_queue(1, &name), 2);
}

#[test]
fn deleting_a_missing_queue_is_answered_with_0() {
    let (_server, mut client) = Server::with_client();
    assert_eq!(client.delete_queue(1, "no such queue"), 0);
}

#[test]
fn deleting_with_if_unused_while_consumed_is_406() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.open(2);
    client.consume(2, &name);
    let delete = queue::Delete { queue: name.as_bytes(), if_unused: true, ..Default::default() };
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' in use");
    client.refused(1, delete, 406, &text);
    client.close_channel(2);
    client.call::<DeleteOk>(1, delete);
}

#[test]
fn deleting_with_if_empty_while_messages_are_ready_is_406() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.store(2, &name, &["content"]);
    let delete = queue::Delete { queue: name.as_bytes(), if_empty: true, ..Default::default() };
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty");
    client.refused(1, delete, 406, &text);
    client.drain(1, &name);
    client.call::<DeleteOk>(1, delete);
}

#[test]
fn if_empty_counts_ready_messages_only() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.store(2, &name, &["held"]);
    client.get(1, &name).expect("a message is there");
    let delete = queue::Delete { queue: name.as_bytes(), if_empty: true, ..Default::default() };
    assert_eq!(client.call::<DeleteOk>(1, delete).messages, 0);
    client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
}

#[test]
fn consumers_of_a_deleted_queue_are_cancelled() {
    let (server, mut client) = Server::with_client();
    let name = client.shared_queue(1);
    let tag = client.consume(1, &name);
    let mut other = Client::connect(server.address());
    other.delete_queue(1, &name);
    assert_eq!(client.expect::<Cancel>(1).tag, tag);
    client.round_trip(1);
}

#[test]
fn consumers_that_did_not_announce_it_are_not_told() {
    let server = Server::start();
    let options =
        Options { properties: Options::announcing(&["basic.nack"]), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    let name = client.shared_queue(1);
    client.consume(1, &name);
    let mut other = Client::connect(server.address());
    other.delete_queue(1, &name);
    client.open(2);
    client.expect_nothing_before(1, 2);
}

#[test]
fn purge_takes_ready_messages_only_and_counts_them() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.store(2, &name, &["a", "b", "c"]);
    let held = client.get(1, &name).expect("three messages are there");
    assert_eq!(client.purge(1, &name), 2);
    assert_eq!(client.purge(1, &name), 0);
    client.reject(1, held.tag, true);
    assert_eq!(client.drain(1, &name), ["a"]);
}

#[test]
fn missing_queues_are_404() {
    let (_server, mut client) = Server::with_client();
    let queue = b"no such queue";
    let methods: [Method<'_>; 5] = [
        passive("no such queue").into(),
        queue::Bind { queue, exchange: b"amq.direct", ..Default::default() }.into(),
        queue::Purge { queue, nowait: false }.into(),
        basic::Consume { queue, ..Default::default() }.into(),
        basic::Get { queue, no_ack: true }.into(),
    ];
    for method in methods {
        let text = "NOT_FOUND - no queue 'no such queue' in vhost '/'";
        client.refused(1, method, 404, text);
    }
}

#[test]
fn creating_amq_names_is_403() {
    let (_server, mut client) = Server::with_client();
    client.refused(
        1,
        named("amq.of-our-own"),
        403,
        "ACCESS_REFUSED - queue name 'amq.of-our-own' contains reserved prefix 'amq.*'",
    );
}

#[test]
fn declaring_a_server_named_queue_again_is_403_unless_passive() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    assert_eq!(client.inspect(1, &name).queue, name);
    let again = queue::Declare { exclusive: true, ..named(&name) };
    client.refused(1, again, 403, "ACCESS_REFUSED - queue name 'amq.gen-");
}

#[test]
fn nowait_has_the_effect_without_the_answer() {
    let (_server, mut client) = Server::with_client();
    let name = unique("quiet");
    let queue = name.as_bytes();
    client.send(1, queue::Declare { exclusive: true, nowait: true, ..named(&name) });
    client.send(
        1,
        queue::Bind {
            queue,
            exchange: b"amq.direct",
            routing_key: queue,
            nowait: true,
            ..Default::default()
        },
    );
    client.expect_nothing_before(1, 1);
    client.publish(1, "amq.direct", &name, "bound");
    assert_eq!(client.drain(1, &name), ["bound"]);
    client.send(1, queue::Purge { queue, nowait: true });
    client.send(1, queue::Delete { queue, nowait: true, ..Default::default() });
    client.expect_nothing_before(1, 1);
    client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
}

#[test]
fn nowait_methods_fail_aloud() {
    let (_server, mut client) = Server::with_client();
    let (name, missing) = (client.queue(1), b"no such queue");
    client.store(2, &name, &["one"]);
    let queue = name.as_bytes();
    let text = "NOT_FOUND - no queue 'no such queue' in vhost '/'";
    client.refused(1, queue::Purge { queue: missing, nowait: true }, 404, text);
    let consume = basic::Consume { queue: missing, nowait: true, ..Default::default() };
    client.refused(1, consume, 404, text);
    let exchange = b"amq.direct";
    let bind = queue::Bind { queue: missing, exchange, nowait: true, ..Default::default() };
    client.refused(1, bind, 404, text);
    let delete = queue::Delete { queue, if_unused: false, if_empty: true, nowait: true };
    client.refused(1, delete, 406, "PRECONDITION_FAILED - queue");
    assert_eq!(client.drain(1, &name), ["one"]);
}

#[test]
fn nowait_declare_fails_aloud() {
    let (_server, mut client) = Server::with_client();
    let name = unique("q");
    client.call::<DeclareOk>(1, queue::Declare { exclusive: true, ..named(&name) });
    let other = queue::Declare { auto_delete: true, nowait: true, exclusive: true, ..named(&name) };
    client.refused(1, other, 406, "inequivalent arg 'auto_delete'");
}

#[test]
fn binding_and_unbinding_twice_is_fine() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    client.bind(1, &name, "amq.direct", &name);
    client.bind(1, &name, "amq.direct", &name);
    client.publish(1, "amq.direct", &name, "once");
    assert_eq!(client.drain(1, &name), ["once"]);
    let unbind = queue::Unbind {
        queue: name.as_bytes(),
        exchange: b"amq.direct",
        routing_key: name.as_bytes(),
        ..Default::default()
    };
    client.call::<UnbindOk>(1, unbind);
    client.publish(1, "amq.direct", &name, "lost");
    client.call::<UnbindOk>(1, unbind);
    assert_eq!(client.drain(1, &name), Vec::<String>::new());
}

#[test]
fn binding_to_a_missing_exchange_is_404() {
    let (_server, mut client) = Server::with_client();
    let name = client.queue(1);
    let bind =
        queue::Bind { queue: name.as_bytes(), exchange: b"no such exchange", ..Default::default() };
    client.refused(1, bind, 404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'");
}

#[test]
fn declare_ok_of_a_durable_queue_waits_until_it_is_durable() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let mut client = Client::connect(server.address());
    let mut other = Client::connect(server.address());
    gate.hold();
    let name = unique("durable");
    client.send(1, queue::Declare { durable: true, ..named(&name) });
    client.expect_nothing_yet(1, &mut other);
    gate.release();
    assert_eq!(client.expect::<DeclareOk>(1).queue, name);
}

/// RabbitMQ takes line breaks out of names where something is declared, deleted or bound, and
/// nowhere else.
#[test]
fn line_breaks_in_names_do_not_count() {
    let (_server, mut client) = Server::with_client();
    let (name, broken) = (unique("one"), |name: &str| format!("\r{name}\n\r\n"));
    let long = broken(&name);
    let declare = queue::Declare { exclusive: true, ..named(&long) };
    assert_eq!(client.call::<DeclareOk>(1, declare).queue, name);
    assert_eq!(client.call::<DeclareOk>(1, passive(&long)).queue, name);
    let exchange = unique("line");
    let long_exchange = broken(&exchange);
    let declare = exchange::Declare {
        exchange: long_exchange.as_bytes(),
        kind: b"fanout",
        ..Default::default()
    };
    client.call::<ExchangeDeclareOk>(1, declare);
    client.bind(1, &long, &long_exchange, "key");
    client.publish(1, &exchange, "", "through");
    assert_eq!(client.drain(1, &name), ["through"]);
    let get = basic::Get { queue: long.as_bytes(), no_ack: true };
    client.refused(1, get, 404, "NOT_FOUND - no queue");
    client.delete_exchange(1, &long_exchange);
    client.refused(1, exchange::Declare { passive: true, ..declare_named(&exchange) }, 404, "NOT");
    assert_eq!(client.delete_queue(1, &long), 0);
    client.refused(1, passive(&name), 404, "NOT_FOUND - no queue");
}

fn declare_named(name: &str) -> exchange::Declare<'_> {
    exchange::Declare { exchange: name.as_bytes(), kind: b"fanout", ..Default::default() }
}

#[test]
fn names_that_are_not_utf8_end_the_connection_but_in_a_publish() {
    let (_server, mut client) = Server::with_client();
    let name = b"\xff\xfe";
    let publish = basic::Publish { routing_key: name, ..Default::default() };
    let mut bytes = Vec::new();
    encode_publish(&mut bytes, 1, publish, &PropertyList::default(), b"", 131_072);
    client.send_bytes(&bytes);
    client.round_trip(1);
    client.send(1, queue::Declare { queue: name, ..Default::default() });
    client.expect_connection_error(501, "FRAME_ERROR - Malformed UTF-8 in shortstr");
}
