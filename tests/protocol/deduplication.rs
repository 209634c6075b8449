//! Do queues and exchanges take each message once by its name?

use std::time::Duration;

use crate::common::*;

const NONE: [&str; 0] = [];

/// Publishes a transient message with this name.
fn publish(client: &mut Client, channel: u16, exchange: &str, key: &str, name: &str, body: &str) {
    client.publish_headers(channel, exchange, key, &name_header(word(name)), body);
}

/// An exclusive queue that takes each name once, with further arguments.
fn queue(client: &mut Client, more: &[(&str, Value<'_>)]) -> String {
    let mut arguments = fields(more);
    arguments.put_bool(b"x-message-deduplication", true);
    client.queue_with(1, arguments.table())
}

/// An exchange that routes each name once, and a queue bound to it with this key.
fn exchange(client: &mut Client, arguments: &[(&str, Value<'_>)], key: &str) -> (String, String) {
    let kind = "x-message-deduplication";
    let name = client.exchange_with(1, kind, fields(arguments).table());
    let queue = client.queue(1);
    client.bind(1, &queue, &name, key);
    (name, queue)
}

/// A broker with queues and exchanges that deduplicate, and a client.
fn start() -> Option<(Server, Client)> {
    Server::ours("it has no deduplication")
}

#[test]
fn queue_takes_a_name_once_while_a_message_of_it_is_there() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    for (name, body) in [("a", "first a"), ("b", "first b"), ("a", "second a")] {
        publish(&mut client, 1, "", &queue, name, body);
    }
    client.publish(1, "", &queue, "nameless");
    client.publish(1, "", &queue, "nameless");
    assert_eq!(client.drain(1, &queue), ["first a", "first b", "nameless", "nameless"]);
    publish(&mut client, 1, "", &queue, "a", "third a");
    assert_eq!(client.drain(1, &queue), ["third a"], "its name came free");
}

#[test]
fn each_queue_that_takes_names_once_asks_for_itself() {
    let Some((_server, mut client)) = start() else { return };
    let (once, plain) = (queue(&mut client, &[]), client.queue(1));
    client.bind(1, &once, "amq.fanout", "");
    client.bind(1, &plain, "amq.fanout", "");
    for (name, body) in [("a", "1"), ("a", "again"), ("b", "2")] {
        publish(&mut client, 1, "amq.fanout", "", name, body);
    }
    assert_eq!(client.drain(1, &plain), ["1", "again", "2"]);
    assert_eq!(client.drain(1, &once), ["1", "2"]);
}

#[test]
fn number_and_text_are_two_names() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    for name in [word("1"), Value::I32(1), word("1"), Value::I32(1)] {
        client.publish_headers(1, "", &queue, &name_header(name), name.type_name());
    }
    assert_eq!(client.drain(1, &queue), ["longstr", "signedint"]);
}

#[test]
fn name_stays_taken_until_its_message_is_settled() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    publish(&mut client, 1, "", &queue, "a", "first");
    let first = client.get(1, &queue).expect("it is there");
    publish(&mut client, 1, "", &queue, "a", "while it is delivered");
    client.reject(1, first.tag, true);
    publish(&mut client, 1, "", &queue, "a", "after it was put back");
    let again = client.get(1, &queue).expect("it came back");
    assert_eq!(again.message.body(), "first");
    assert!(client.get(1, &queue).is_none(), "neither of the others was taken");
    client.ack(1, again.tag);
    publish(&mut client, 1, "", &queue, "a", "last");
    assert_eq!(client.drain(1, &queue), ["last"]);
}

/// The ack of a message from before a purge freed the name for a third one.
#[test]
fn name_that_a_purge_freed_is_not_freed_again_by_who_had_it_before() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    publish(&mut client, 1, "", &queue, "a", "before the purge");
    let held = client.get(1, &queue).expect("it is there");
    client.purge(1, &queue);
    publish(&mut client, 1, "", &queue, "a", "after the purge");
    client.ack(1, held.tag);
    publish(&mut client, 1, "", &queue, "a", "duplicate");
    assert_eq!(client.drain(1, &queue), ["after the purge"]);
}

#[test]
fn duplicate_is_confirmed() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    client.confirm_select(1);
    for tag in 1..=2 {
        publish(&mut client, 1, "", &queue, "a", "x");
        assert_eq!(client.expect::<Ack>(1).tag, tag);
    }
    assert_eq!(client.drain(1, &queue), ["x"]);
}

/// A transaction's publishes went past the question.
#[test]
fn publish_in_a_transaction_is_asked_for_its_name_like_any_other() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    publish(&mut client, 1, "", &queue, "a", "stored");
    client.call::<TxSelectOk>(1, tx::Select {});
    for (name, body) in [("a", "twice"), ("b", "first b"), ("b", "second b")] {
        publish(&mut client, 1, "", &queue, name, body);
    }
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(1, &queue), ["stored", "first b"]);
}

/// Acks take effect after the publishes of their transaction.
#[test]
fn ack_in_a_transaction_frees_its_name_after_the_publishes() {
    let Some((_server, mut client)) = start() else { return };
    let queue = queue(&mut client, &[]);
    publish(&mut client, 1, "", &queue, "a", "stored");
    client.call::<TxSelectOk>(1, tx::Select {});
    let got = client.get(1, &queue).expect("it is there");
    client.ack(1, got.tag);
    publish(&mut client, 1, "", &queue, "a", "too early");
    client.call::<TxCommitOk>(1, tx::Commit {});
    publish(&mut client, 1, "", &queue, "a", "early enough");
    client.call::<TxCommitOk>(1, tx::Commit {});
    assert_eq!(client.drain(1, &queue), ["early enough"]);
}

/// The name was noted before the queue was asked whether it has room.
#[test]
fn refused_message_leaves_no_name_behind() {
    let Some((_server, mut client)) = start() else { return };
    let full = [("x-max-length", Value::I64(1)), ("x-overflow", word("reject-publish"))];
    let queue = queue(&mut client, &full);
    client.confirm_select(1);
    publish(&mut client, 1, "", &queue, "a", "a");
    client.expect::<Ack>(1);
    publish(&mut client, 1, "", &queue, "b", "refused");
    client.expect::<Nack>(1);
    assert_eq!(client.drain(1, &queue), ["a"]);
    publish(&mut client, 1, "", &queue, "b", "b");
    client.expect::<Ack>(1);
    assert_eq!(client.drain(1, &queue), ["b"]);
}

#[test]
fn dead_letter_is_asked_for_its_name_too() {
    let Some((_server, mut client)) = start() else { return };
    let once = queue(&mut client, &[]);
    let dying = client.queue_dying_to(1, "", &[("x-dead-letter-routing-key", word(&once))]);
    for body in ["first", "second"] {
        publish(&mut client, 1, "", &dying, "a", body);
        client.reject_next(1, &dying, body);
        client.wait_for_messages(1, &once, 1);
    }
    client.round_trip(1);
    assert_eq!(client.drain(1, &once), ["first"]);
}

#[test]
fn exchange_routes_a_name_once_whatever_became_of_it() {
    let Some((_server, mut client)) = start() else { return };
    let (exchange, queue) = exchange(&mut client, &[("x-cache-size", Value::I64(10))], "key");
    for body in ["first", "second"] {
        publish(&mut client, 1, &exchange, "key", "a", body);
    }
    assert_eq!(client.drain(1, &queue), ["first"]);
    publish(&mut client, 1, &exchange, "key", "a", "third");
    publish(&mut client, 1, &exchange, "key", "b", "another");
    client.publish(1, &exchange, "key", "nameless");
    client.publish(1, &exchange, "key", "nameless");
    assert_eq!(client.drain(1, &queue), ["another", "nameless", "nameless"]);
}

#[test]
fn duplicate_of_what_an_exchange_routed_is_confirmed() {
    let Some((_server, mut client)) = start() else { return };
    let (exchange, queue) = exchange(&mut client, &[("x-cache-size", Value::I64(10))], "key");
    client.confirm_select(1);
    for tag in 1..=3 {
        publish(&mut client, 1, &exchange, "key", "same", "x");
        assert_eq!(client.expect::<Ack>(1).tag, tag);
    }
    assert_eq!(client.drain(1, &queue), ["x"]);
}

#[test]
fn exchange_remembers_as_many_names_as_its_cache_holds() {
    let Some((_server, mut client)) = start() else { return };
    let (exchange, queue) = exchange(&mut client, &[("x-cache-size", Value::I64(2))], "key");
    for name in ["a", "b", "c", "b", "a"] {
        publish(&mut client, 1, &exchange, "key", name, name);
    }
    assert_eq!(client.drain(1, &queue), ["a", "b", "c", "a"]);
}

#[test]
fn exchange_forgets_a_name_when_its_time_is_over() {
    let Some((_server, mut client)) = start() else { return };
    let arguments = [("x-cache-size", Value::I64(9)), ("x-cache-ttl", Value::I64(100))];
    let (exchange, queue) = exchange(&mut client, &arguments, "key");
    let (begun, deadline) = (now(), deadline());
    while client.inspect(1, &queue).messages < 2 {
        assert!(now() < deadline, "the name is never forgotten");
        publish(&mut client, 1, &exchange, "key", "a", "x");
    }
    // Its clock stands still during a turn.
    let remembered = begun.elapsed();
    assert!(remembered >= Duration::from_millis(90), "it is forgotten after {remembered:?}");
    assert_eq!(client.drain(1, &queue), ["x", "x"]);
}

#[test]
fn message_may_say_how_long_its_name_is_remembered() {
    let Some((_server, mut client)) = start() else { return };
    let arguments = [("x-cache-size", Value::I64(9)), ("x-cache-ttl", Value::I64(1))];
    let (exchange, queue) = exchange(&mut client, &arguments, "key");
    let mut headers = name_header(word("long"));
    headers.put_i64(b"x-cache-ttl", 3_600_000);
    let properties = with_headers(&headers);
    client.publish_with(1, &exchange, "key", &properties, b"long");
    // Until a name of the exchange's own time was forgotten.
    let deadline = deadline();
    while client.inspect(1, &queue).messages < 3 {
        assert!(now() < deadline, "the other name is never forgotten");
        publish(&mut client, 1, &exchange, "key", "short", "short");
    }
    client.publish_with(1, &exchange, "key", &properties, b"long");
    assert_eq!(client.drain(1, &queue), ["long", "short", "short"]);
}

#[test]
fn deduplicating_exchange_without_a_positive_cache_size_is_406() {
    let Some((_server, mut client)) = start() else { return };
    for arguments in [
        TableBuf::new(),
        fields(&[("x-cache-size", Value::I64(0))]),
        fields(&[("x-cache-size", word("many"))]),
        fields(&[("x-cache-size", Value::I64(1)), ("x-cache-ttl", Value::I64(-1))]),
        fields(&[("x-cache-size", Value::I64(1)), ("x-cache-persistence", word("tape"))]),
    ] {
        let declare = exchange::Declare {
            exchange: b"never",
            kind: b"x-message-deduplication",
            arguments: arguments.table(),
            ..Default::default()
        };
        client.refused(1, declare, 406, "PRECONDITION_FAILED - ");
    }
}

#[test]
fn duplicate_counts_as_unroutable() {
    let Some((_server, mut client)) = start() else { return };
    let (exchange, queue) = exchange(&mut client, &[("x-cache-size", Value::I64(10))], "key");
    let headers = name_header(word("a"));
    let properties = with_headers(&headers);
    let publish = basic::Publish {
        exchange: exchange.as_bytes(),
        routing_key: b"key",
        mandatory: true,
        immediate: false,
    };
    client.publish_as(1, publish, &properties, b"first");
    client.publish_as(1, publish, &properties, b"second");
    assert_eq!(client.expect::<Return>(1).message.body(), "second");
    assert_eq!(client.drain(1, &queue), ["first"]);
    assert_eq!(client.drain(1, &queue), NONE);
}

#[test]
fn sizes_and_times_may_be_strings_of_digits() {
    let Some((_server, mut client)) = start() else { return };
    let arguments = [("x-cache-size", word("1")), ("x-cache-persistence", word("disk"))];
    let (exchange, queue) = exchange(&mut client, &arguments, "key");
    for (name, body) in [("a", "1"), ("a", "again"), ("b", "2"), ("a", "3")] {
        publish(&mut client, 1, &exchange, "key", name, body);
    }
    assert_eq!(client.drain(1, &queue), ["1", "2", "3"], "there is room for one name");
    let mut headers = name_header(word("c"));
    headers.put_str(b"x-cache-ttl", "1");
    let deadline = deadline();
    while client.inspect(1, &queue).messages < 2 {
        assert!(now() < deadline, "the name is never forgotten");
        client.publish_with(1, &exchange, "key", &with_headers(&headers), b"c");
    }
}

#[test]
fn integers_of_every_width_are_one_name_and_their_digits_another() {
    let Some((_server, mut client)) = start() else { return };
    let (exchange, queue) = exchange(&mut client, &[("x-cache-size", Value::I64(10))], "key");
    let widths = [
        Value::I8(7),
        Value::U8(7),
        Value::I16(7),
        Value::U16(7),
        Value::I32(7),
        Value::U32(7),
        Value::I64(7),
        Value::U64(7),
    ];
    for (number, name) in widths.into_iter().chain([word("7")]).enumerate() {
        let body = number.to_string();
        client.publish_headers(1, &exchange, "key", &name_header(name), &body);
    }
    assert_eq!(client.drain(1, &queue), ["0", "8"]);
}
