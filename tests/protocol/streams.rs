//! Does a stream (`x-queue-type: stream`) keep what was published, for every reader that comes?
//!
//! A test per sentence of RabbitMQ's documentation of streams as AMQP 0-9-1 clients see them.

use std::path::PathBuf;

use crate::common::*;
use tempfile::TempDir;

fn declare<'a>(name: &'a str, arguments: &'a TableBuf) -> queue::Declare<'a> {
    queue::Declare { durable: true, arguments: arguments.table(), ..named(name) }
}

/// Declares a stream under this name with further arguments.
fn declare_stream(client: &mut Client, name: &str, more: &[(&str, Value<'_>)]) {
    let mut table = fields(more);
    table.put_str(b"x-queue-type", "stream");
    client.call::<DeclareOk>(1, declare(name, &table));
}

/// Declares a stream under a new name.
fn stream(client: &mut Client) -> String {
    let name = unique("stream");
    declare_stream(client, &name, &[]);
    name
}

/// A stream that holds the messages `0`, `1` and so on.
fn filled(client: &mut Client, count: usize) -> String {
    let name = stream(client);
    fill(client, &name, 0..count);
    name
}

/// Publishes numbers and waits for their confirms.
fn fill(client: &mut Client, name: &str, numbers: std::ops::Range<usize>) {
    let bodies: Vec<String> = numbers.map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    client.store(9, name, &bodies);
}

fn consume<'a>(name: &'a str, arguments: Table<'a>) -> basic::Consume<'a> {
    basic::Consume { queue: name.as_bytes(), arguments, ..Default::default() }
}

/// Opens the channel with this prefetch and starts a reader on it.
fn read(client: &mut Client, channel: u16, prefetch: u16, name: &str, from: Value<'_>) -> String {
    if channel != 1 {
        client.open(channel);
    }
    client.prefetch(channel, prefetch);
    let arguments = fields(&[("x-stream-offset", from)]);
    client.consume_with(channel, name, arguments.table())
}

/// The header `x-stream-offset`.
fn offset(delivery: &Delivery) -> i64 {
    let list = delivery.message.list();
    let headers = list.headers.expect("a stream adds a header");
    match headers.find(b"x-stream-offset") {
        Some(Value::I64(offset)) => offset,
        other => panic!("x-stream-offset is a long: {other:?}"),
    }
}

/// The next deliveries, each acknowledged, as offset and body.
fn take(client: &mut Client, channel: u16, count: usize) -> Vec<(i64, String)> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let delivery = client.expect_delivery(channel);
        assert!(!delivery.redelivered, "streams know no redelivery");
        client.ack(channel, delivery.tag);
        taken.push((offset(&delivery), delivery.message.body()));
    }
    taken
}

/// Messages whose bodies are their offsets.
fn numbered(range: std::ops::Range<usize>) -> Vec<(i64, String)> {
    let number = |n: usize| (i64::try_from(n).expect("small"), n.to_string());
    range.map(number).collect()
}

#[test]
fn a_stream_is_durable_and_neither_exclusive_nor_auto_deleted() {
    let (_server, mut client) = Server::with_client();
    let name = unique("stream");
    let table = fields(&[("x-queue-type", word("stream"))]);
    let good = declare(&name, &table);
    for (channel, declare, property) in [
        (2, queue::Declare { durable: false, ..good }, "non-durable"),
        (3, queue::Declare { exclusive: true, ..good }, "exclusive-owner"),
        (4, queue::Declare { auto_delete: true, ..good }, "auto-delete"),
    ] {
        client.open(channel);
        client.send(channel, declare);
        let expected = format!("invalid property '{property}' for queue '{name}' in vhost '/'");
        client.expect_channel_error(channel, 406, &expected);
    }
    client.call::<DeclareOk>(1, good);
    client.delete_queue(1, &name);
}

#[test]
fn every_reader_reads_every_message_whoever_acknowledged_it() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 10);
    for channel in 2..6 {
        read(&mut client, channel, 10, &name, word("first"));
        assert_eq!(take(&mut client, channel, 10), numbered(0..10));
    }
    assert_eq!(client.inspect(1, &name).messages, 10, "none has left");
    client.delete_queue(1, &name);
}

#[test]
fn all_readers_get_what_comes_while_they_read() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    for channel in 2..6 {
        read(&mut client, channel, 3, &name, word("next"));
    }
    for round in 0..4 {
        fill(&mut client, &name, round * 5..round * 5 + 5);
        for channel in 2..6 {
            let expected = numbered(round * 5..round * 5 + 5);
            assert_eq!(take(&mut client, channel, 5), expected);
        }
    }
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_begins_first_last_or_next() {
    let (server, mut client) = Server::with_client();
    let name = filled(&mut client, 10);
    read(&mut client, 2, 100, &name, word("first"));
    read(&mut client, 3, 100, &name, word("last"));
    read(&mut client, 4, 100, &name, word("next"));
    client.open(5);
    client.prefetch(5, 100);
    client.call::<ConsumeOk>(5, consume(&name, Table::EMPTY));
    assert_eq!(take(&mut client, 2, 10), numbered(0..10));
    // RabbitMQ begins with the last chunk, which is what was written together.
    if !server.differs("the last message is a chunk of its own") {
        assert_eq!(take(&mut client, 3, 1), numbered(9..10));
    }
    client.expect_nothing_before(4, 1);
    fill(&mut client, &name, 10..12);
    assert_eq!(take(&mut client, 4, 2), numbered(10..12));
    assert_eq!(take(&mut client, 5, 2), numbered(10..12), "next is what holds without a word");
    client.delete_queue(1, &name);
}

#[test]
fn on_an_empty_stream_every_beginning_is_the_same() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    let starts = [word("first"), word("last"), word("next"), Value::I32(0), word("1h")];
    for (channel, from) in (2..).zip(starts) {
        read(&mut client, channel, 100, &name, from);
    }
    fill(&mut client, &name, 0..3);
    for channel in 2..7 {
        assert_eq!(take(&mut client, channel, 3), numbered(0..3));
    }
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_begins_at_an_offset_and_waits_for_one_that_has_not_come() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 10);
    read(&mut client, 2, 100, &name, Value::I64(7));
    assert_eq!(take(&mut client, 2, 3), numbered(7..10));
    read(&mut client, 3, 100, &name, Value::U8(12));
    fill(&mut client, &name, 10..12);
    client.expect_nothing_before(3, 1);
    fill(&mut client, &name, 12..15);
    assert_eq!(take(&mut client, 3, 3), numbered(12..15));
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_begins_at_a_time_or_an_age() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 10);
    for (channel, from) in [(2, Value::Timestamp(1)), (3, word("1h")), (4, word("3Y"))] {
        read(&mut client, channel, 100, &name, from);
        assert_eq!(take(&mut client, channel, 10), numbered(0..10));
    }
    read(&mut client, 5, 100, &name, Value::Timestamp(32_503_680_000));
    client.expect_nothing_before(5, 1);
    fill(&mut client, &name, 10..11);
    assert_eq!(take(&mut client, 5, 1), numbered(10..11));
    client.delete_queue(1, &name);
}

#[test]
fn a_beginning_that_is_none_is_refused() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    let cases = [
        (word("yesterday"), "{longstr,<<\"yesterday\">>}"),
        (word("5w"), "{longstr,<<\"5w\">>}"),
        (Value::Bool(true), "{bool,true}"),
    ];
    for (channel, (from, shown)) in (2..).zip(cases) {
        client.open(channel);
        client.prefetch(channel, 10);
        let arguments = fields(&[("x-stream-offset", from)]);
        client.send(channel, consume(&name, arguments.table()));
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{name}' in vhost \
             '/': {{invalid_stream_offset_arg,{shown}}}"
        );
        client.expect_channel_error(channel, 406, &expected);
    }
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_needs_a_prefetch() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.open(2);
    client.send(2, consume(&name, Table::EMPTY));
    let expected = format!(
        "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '{name}' in \
         vhost '/'"
    );
    client.expect_channel_error(2, 406, &expected);
    client.delete_queue(1, &name);
}

#[test]
fn a_prefetch_that_the_channel_shares_is_not_for_streams() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.prefetch(1, 10);
    let shared = basic::Qos { prefetch_count: 10, global: true, ..Default::default() };
    client.call::<QosOk>(1, shared);
    client.send(1, consume(&name, Table::EMPTY));
    let expected = format!("queue '{name}' in vhost '/' does not support global qos");
    client.expect_connection_error(540, &expected);
}

#[test]
fn a_reader_has_to_acknowledge() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.prefetch(1, 10);
    let no_ack = basic::Consume { no_ack: true, ..consume(&name, Table::EMPTY) };
    client.send(1, no_ack);
    let expected =
        format!("automatic acknowledgement not supported by stream queue '{name}' in vhost '/'");
    client.expect_connection_error(540, &expected);
}

#[test]
fn no_reader_of_a_stream_is_alone_though_it_asks_for_it() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    for channel in [2, 3] {
        client.open(channel);
        client.prefetch(channel, 10);
        let exclusive = basic::Consume { exclusive: true, ..consume(&name, Table::EMPTY) };
        client.call::<ConsumeOk>(channel, exclusive);
    }
    read(&mut client, 4, 10, &name, word("first"));
}

#[test]
fn a_stream_is_deleted_whoever_reads_it_and_whatever_is_in_it() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.store(9, &name, &["message"]);
    read(&mut client, 2, 10, &name, word("last"));
    let queue = name.as_bytes();
    let delete = queue::Delete { queue, if_unused: true, if_empty: true, nowait: false };
    assert_eq!(client.call::<DeleteOk>(1, delete).messages, 1);
}

#[test]
fn streams_and_other_queues_refuse_each_others_consumer_arguments() {
    let (_server, mut client) = Server::with_client();
    let (stream, classic) = (stream(&mut client), client.queue(1));
    for (queue, name, value, module) in [
        (&stream, "x-priority", Value::I32(1), "rabbit_stream_queue"),
        (&classic, "x-stream-offset", word("first"), "rabbit_classic_queue"),
    ] {
        client.open(2);
        client.prefetch(2, 10);
        let arguments = fields(&[(name, value)]);
        client.send(2, consume(queue, arguments.table()));
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue}' in vhost '/' of queue \
             type {module}"
        );
        client.expect_channel_error(2, 406, &text);
    }
}

/// *Ours*: so many messages before the next one.
#[test]
fn a_reader_may_begin_with_the_last_messages() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.store(9, &name, &["a", "b", "c", "d"]);
    for (channel, (from, expected)) in (2..).zip([(-1, "d"), (-3, "b"), (-100, "a")]) {
        client.open(channel);
        client.prefetch(channel, 1);
        let arguments = fields(&[("x-stream-offset", Value::I64(from))]);
        client.consume_with(channel, &name, arguments.table());
        let delivery = client.expect_delivery(channel);
        assert_eq!(text(&delivery.message.body), expected, "{from}");
    }
}

#[test]
fn segments_of_more_than_3_gb_are_refused() {
    let (_server, mut client) = Server::with_client();
    let size = Value::I64(3_000_000_001);
    let arguments =
        fields(&[("x-queue-type", word("stream")), ("x-stream-max-segment-size-bytes", size)]);
    let declare =
        queue::Declare { durable: true, arguments: arguments.table(), ..named("too large") };
    let text = "PRECONDITION_FAILED - invalid arg 'x-stream-max-segment-size-bytes' for queue \
                'too large' in vhost '/': {value_too_large,3000000001}";
    client.refused(1, declare, 406, text);
}

#[test]
fn nothing_is_got_from_a_stream() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 1);
    let get = basic::Get { queue: name.as_bytes(), no_ack: false };
    client.send(1, get);
    let expected = format!("basic.get not supported by stream queues queue '{name}' in vhost '/'");
    client.expect_connection_error(540, &expected);
}

#[test]
fn a_stream_is_not_purged() {
    let (server, mut client) = Server::with_client();
    let name = filled(&mut client, 1);
    let purge = queue::Purge { queue: name.as_bytes(), nowait: false };
    client.send(1, purge);
    client.expect_connection_error(540, "not supported by stream queues");
    let mut other = Client::connect(server.address());
    assert_eq!(other.inspect(1, &name).messages, 1);
    other.delete_queue(1, &name);
}

#[test]
fn an_ack_gives_credit_and_nothing_else() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 10);
    read(&mut client, 2, 2, &name, word("first"));
    let first = client.expect_delivery(2);
    let second = client.expect_delivery(2);
    assert_eq!((offset(&first), offset(&second)), (0, 1));
    client.expect_nothing_before(2, 1);
    client.ack(2, second.tag);
    assert_eq!(offset(&client.expect_delivery(2)), 2);
    client.expect_nothing_before(2, 1);
    let all = basic::Ack { delivery_tag: 0, multiple: true };
    client.send(2, all);
    assert_eq!(take(&mut client, 2, 7), numbered(3..10));
    client.expect_nothing_before(2, 1);
    client.send(2, basic::Ack { delivery_tag: first.tag, multiple: false });
    client.expect_channel_error(2, 406, "unknown delivery tag 1");
    assert_eq!(client.inspect(1, &name).messages, 10);
    client.delete_queue(1, &name);
}

#[test]
fn refusing_a_message_of_a_stream_brings_it_back_to_nobody() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 6);
    read(&mut client, 2, 1, &name, word("first"));
    for (expected, requeue) in [(0, true), (1, false), (2, true), (3, false)] {
        let delivery = client.expect_delivery(2);
        assert_eq!(offset(&delivery), expected);
        assert!(!delivery.redelivered);
        client.reject(2, delivery.tag, requeue);
    }
    let delivery = client.expect_delivery(2);
    assert_eq!(offset(&delivery), 4);
    let nack = basic::Nack { delivery_tag: 0, multiple: true, requeue: true };
    client.send(2, nack);
    assert_eq!(take(&mut client, 2, 1), numbered(5..6));
    client.expect_nothing_before(2, 1);
    assert_eq!(client.inspect(1, &name).messages, 6);
    client.delete_queue(1, &name);
}

#[test]
fn what_a_channel_held_when_it_closed_is_read_again_only_by_those_who_ask() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 4);
    read(&mut client, 2, 10, &name, word("first"));
    read(&mut client, 3, 10, &name, word("next"));
    client.expect_bodies(2, 4);
    client.close_channel(2);
    client.expect_nothing_before(3, 1);
    read(&mut client, 4, 10, &name, word("first"));
    assert_eq!(take(&mut client, 4, 4), numbered(0..4));
    client.delete_queue(1, &name);
}

#[test]
fn an_ack_in_a_transaction_takes_nothing_out_of_a_stream() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 4);
    client.open(2);
    client.call::<TxSelectOk>(2, tx::Select {});
    client.prefetch(2, 2);
    let arguments = fields(&[("x-stream-offset", word("first"))]);
    client.call::<ConsumeOk>(2, consume(&name, arguments.table()));
    assert_eq!(take(&mut client, 2, 2), numbered(0..2));
    client.publish(2, "", &name, "4");
    client.expect_nothing_before(2, 1);
    client.send(2, tx::Commit {});
    // The credit may bring deliveries before the answer, which waits for the disk.
    let mut seen = Vec::new();
    let mut committed = false;
    while !committed || seen.len() < 2 {
        let event = client.next(2);
        if matches!(event.method(), Method::TxCommitOk(_)) {
            event.expect::<TxCommitOk>();
            committed = true;
        } else {
            seen.push(offset(&event.expect::<Delivery>()));
        }
    }
    assert_eq!(seen, [2, 3]);
    read(&mut client, 3, 10, &name, word("first"));
    assert_eq!(take(&mut client, 3, 5), numbered(0..5));
    client.delete_queue(1, &name);
}

#[test]
fn a_stream_keeps_the_newest_messages_within_its_length() {
    let Some((_server, mut client)) = Server::ours("it drops whole segments") else { return };
    let name = unique("stream");
    declare_stream(
        &mut client,
        &name,
        &[
            ("x-max-length-bytes", Value::I32(100)),
            ("x-stream-max-segment-size-bytes", Value::I32(1_000_000)),
        ],
    );
    let body = "ten bytes!";
    client.store(9, &name, &[body; 35]);
    assert_eq!(client.inspect(1, &name).messages, 10);
    read(&mut client, 2, 100, &name, word("first"));
    read(&mut client, 3, 100, &name, Value::I32(3));
    read(&mut client, 4, 100, &name, Value::I32(33));
    for (channel, first) in [(2, 25), (3, 25), (4, 33)] {
        for expected in first..35 {
            let delivery = client.expect_delivery(channel);
            assert_eq!(offset(&delivery), expected);
        }
        client.expect_nothing_before(channel, 1);
    }
    client.store(9, &name, &["larger than all that the stream may hold".repeat(9).as_str()]);
    assert_eq!(client.inspect(1, &name).messages, 1, "the newest stays");
    client.delete_queue(1, &name);
}

#[test]
fn a_stream_forgets_messages_past_their_age() {
    let Some((_server, mut client)) = Server::ours("it drops whole segments") else { return };
    let name = unique("stream");
    declare_stream(&mut client, &name, &[("x-max-age", word("1s"))]);
    fill(&mut client, &name, 0..5);
    client.wait_for_messages(1, &name, 0);
    read(&mut client, 2, 100, &name, word("first"));
    fill(&mut client, &name, 5..7);
    assert_eq!(take(&mut client, 2, 2), numbered(5..7), "offsets are not used again");
    client.delete_queue(1, &name);
}

#[test]
fn a_message_has_no_time_to_live_and_no_priority_in_a_stream() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    client.confirm_select(1);
    for number in 0..6_u8 {
        let properties =
            PropertyList { expiration: Some(b"0"), priority: Some(number), ..Default::default() };
        let body = number.to_string();
        client.publish_with(1, "", &name, &properties, body.as_bytes());
    }
    client.expect_confirms(1, 1, 6);
    read(&mut client, 2, 100, &name, word("first"));
    assert_eq!(take(&mut client, 2, 6), numbered(0..6));
    client.delete_queue(1, &name);
}

#[test]
fn what_a_stream_does_not_know_is_refused_at_its_declaration() {
    let (_server, mut client) = Server::with_client();
    let name = unique("stream");
    let cases = [
        ("x-message-ttl", Value::I32(5)),
        ("x-expires", Value::I32(5)),
        ("x-max-length", Value::I32(5)),
        ("x-max-priority", Value::I32(5)),
        ("x-overflow", word("drop-head")),
        ("x-dead-letter-exchange", word("dead")),
        ("x-single-active-consumer", Value::Bool(true)),
    ];
    for (channel, (argument, value)) in (2..).zip(cases) {
        client.open(channel);
        let table = fields(&[("x-queue-type", word("stream")), (argument, value)]);
        client.send(channel, declare(&name, &table));
        let expected = format!("invalid arg '{argument}' for queue '{name}'");
        client.expect_channel_error(channel, 406, &expected);
    }
}

#[test]
fn a_message_of_any_kind_is_confirmed_when_the_disk_has_it() {
    let (server, mut client) = Server::with_client();
    let name = stream(&mut client);
    let Some(gate) = server.gate() else { return };
    client.open(2);
    client.confirm_select(2);
    gate.hold();
    client.publish(2, "", &name, "transient");
    client.publish_with(2, "", &name, &PropertyList::default(), &[7; 300_000]);
    client.expect_nothing_before(2, 1);
    gate.release();
    client.expect_confirms(2, 1, 2);
}

#[test]
fn a_stream_takes_the_dead_letters_of_others() {
    let (_server, mut client) = Server::with_client();
    let name = stream(&mut client);
    let table =
        fields(&[("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word(&name))]);
    let jobs = client.queue_with(1, table.table());
    client.publish(1, "", &jobs, "0");
    let got = client.get(1, &jobs).expect("it was published before");
    client.reject(1, got.tag, false);
    read(&mut client, 2, 10, &name, word("first"));
    assert_eq!(take(&mut client, 2, 1), numbered(0..1));
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_back() {
    let (server, mut client) = Server::with_client();
    let name = stream(&mut client);
    let mut stalled = Client::connect(server.address());
    read(&mut stalled, 2, 10_000, &name, word("first"));
    read(&mut client, 2, 10, &name, word("first"));
    let body = "b".repeat(256 * 1024);
    for expected in 0..100 {
        client.publish(1, "", &name, &body);
        let delivery = client.expect_delivery(2);
        assert_eq!(offset(&delivery), expected);
        client.ack(2, delivery.tag);
    }
    for expected in 0..100 {
        assert_eq!(offset(&stalled.expect_delivery(2)), expected);
    }
    client.delete_queue(1, &name);
}

#[test]
fn readers_at_many_places_of_a_long_stream_read_on_side_by_side() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 20_000);
    let places: Vec<usize> = (0..20).map(|reader| reader * 1000).collect();
    for (channel, &place) in (10..).zip(&places) {
        let from = Value::I64(i64::try_from(place).expect("small"));
        read(&mut client, channel, 10, &name, from);
    }
    for round in 0..10 {
        for (channel, &place) in (10..).zip(&places) {
            let begin = place + round * 100;
            assert_eq!(take(&mut client, channel, 100), numbered(begin..begin + 100));
        }
    }
    client.delete_queue(1, &name);
}

#[test]
fn a_reader_that_cancels_gets_no_more_and_a_new_one_begins_anew() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 3);
    let tag = read(&mut client, 2, 10, &name, word("first"));
    assert_eq!(take(&mut client, 2, 3), numbered(0..3));
    assert_eq!(client.inspect(1, &name).consumers, 1);
    assert!(client.cancel(2, &tag).is_empty());
    assert_eq!(client.inspect(1, &name).consumers, 0);
    fill(&mut client, &name, 3..5);
    client.expect_nothing_before(2, 1);
    read(&mut client, 3, 10, &name, word("first"));
    assert_eq!(take(&mut client, 3, 5), numbered(0..5));
    client.delete_queue(1, &name);
}

#[test]
fn deleting_a_stream_cancels_its_readers_and_what_they_hold_can_be_acknowledged() {
    let (_server, mut client) = Server::with_client();
    let name = filled(&mut client, 3);
    read(&mut client, 2, 10, &name, word("first"));
    let first = client.expect_delivery(2);
    client.expect_bodies(2, 2);
    assert_eq!(client.delete_queue(1, &name), 3);
    client.expect::<Cancel>(2);
    client.ack(2, first.tag);
    client.round_trip(2);
    declare_stream(&mut client, &name, &[]);
    read(&mut client, 3, 10, &name, word("first"));
    fill(&mut client, &name, 0..1);
    assert_eq!(take(&mut client, 3, 1), numbered(0..1));
    client.delete_queue(1, &name);
}

/// A directory for brokers of their own process, one after the other.
struct Restarts {
    _root: TempDir,
    data: PathBuf,
}

impl Restarts {
    fn new() -> Restarts {
        let root = TempDir::new().expect("a temporary directory can be made");
        let data = root.path().join("data");
        Restarts { _root: root, data }
    }

    fn start(&self) -> Process {
        Process::start(&self.data, 64 * 1024)
    }
}

#[test]
fn what_is_in_a_stream_survives_every_kind_of_end() {
    let restarts = Restarts::new();
    let broker = restarts.start();
    let mut client = Client::connect(broker.address());
    declare_stream(&mut client, "s", &[]);
    fill(&mut client, "s", 0..100);
    read(&mut client, 2, 100, "s", word("first"));
    assert_eq!(take(&mut client, 2, 100), numbered(0..100));
    client.round_trip(2);
    client.close();
    broker.terminate();

    let broker = restarts.start();
    let mut client = Client::connect(broker.address());
    read(&mut client, 2, 100, "s", Value::I32(90));
    assert_eq!(take(&mut client, 2, 10), numbered(90..100));
    fill(&mut client, "s", 100..200);
    assert_eq!(take(&mut client, 2, 100), numbered(100..200));
    broker.kill();

    let broker = restarts.start();
    let mut client = Client::connect(broker.address());
    read(&mut client, 2, 50, "s", word("first"));
    assert_eq!(take(&mut client, 2, 200), numbered(0..200));
    client.close();
    broker.terminate();
}

#[test]
fn offsets_stay_right_when_messages_were_dropped_before_the_end() {
    let restarts = Restarts::new();
    let mut published = 0;
    // Enough for the dropped ones to be settled; a few that are only passed over; and so on.
    for (count, kill) in [(20_000, true), (50, true), (17_000, false), (10, false), (300, true)] {
        let broker = restarts.start();
        let mut client = Client::connect(broker.address());
        declare_stream(&mut client, "s", &[("x-max-length-bytes", Value::I32(2000))]);
        if published > 0 {
            expect_kept(&mut client, 2, published);
        }
        let body = |number| format!("{number:010}");
        let bodies: Vec<String> = (published..published + count).map(body).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        client.store(9, "s", &bodies);
        published += count;
        expect_kept(&mut client, 3, published);
        if kill {
            broker.kill();
        } else {
            client.close();
            broker.terminate();
        }
    }
}

/// The stream holds the last 200 of the messages published, each at the offset that it says.
fn expect_kept(client: &mut Client, channel: u16, published: usize) {
    client.wait_for_messages(1, "s", 200);
    let tag = read(client, channel, 1000, "s", word("first"));
    for expected in published - 200..published {
        let delivery = client.expect_delivery(channel);
        assert_eq!(usize::try_from(offset(&delivery)).expect("small"), expected);
        assert_eq!(delivery.message.body(), format!("{expected:010}"));
    }
    client.send(channel, basic::Cancel { consumer_tag: tag.as_bytes(), nowait: false });
    client.expect::<CancelOk>(channel);
}
