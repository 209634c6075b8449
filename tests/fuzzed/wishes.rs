//! What may a client want, spelled well or nearly so?

use leveret::amqp::method::{basic, channel, confirm, connection, exchange, queue, tx};
use leveret::amqp::{ArrayBuf, Method, PropertyList, TableBuf, Value, encoder};

use super::cursor::Cursor;

const NAMES: [&[u8]; 14] = [
    b"",
    b"a",
    b"b",
    b"c",
    b"d",
    b"e.a",
    b"e.b",
    b"amq.direct",
    b"amq.fanout",
    b"amq.topic",
    b"amq.headers",
    b"amq.match",
    b"amq.rabbitmq.reply-to",
    b"its own",
];

const KINDS: [&[u8]; 10] = [
    b"direct",
    b"fanout",
    b"topic",
    b"headers",
    b"x-consistent-hash",
    b"x-random",
    b"x-delayed-message",
    b"x-message-deduplication",
    b"x-unknown",
    b"",
];

const ARGUMENTS: [&[u8]; 36] = [
    b"x-queue-type",
    b"x-max-length",
    b"x-max-length-bytes",
    b"x-overflow",
    b"x-message-ttl",
    b"x-expires",
    b"x-max-priority",
    b"x-dead-letter-exchange",
    b"x-dead-letter-routing-key",
    b"x-dead-letter-strategy",
    b"x-single-active-consumer",
    b"x-delivery-limit",
    b"x-consumer-timeout",
    b"x-max-age",
    b"x-stream-offset",
    b"x-priority",
    b"x-match",
    b"x-delayed-type",
    b"x-delay",
    b"x-cache-size",
    b"x-cache-ttl",
    b"x-deduplication-header",
    b"x-message-deduplication",
    b"alternate-exchange",
    b"hash-header",
    b"CC",
    b"BCC",
    b"x-death",
    b"x-first-death-queue",
    b"x-cancel-on-ha-failover",
    b"x-queue-mode",
    b"count",
    b"queue",
    b"a",
    b"b",
    b"",
];

const WORDS: [&[u8]; 22] = [
    b"",
    b"a",
    b"b",
    b"quorum",
    b"classic",
    b"stream",
    b"drop-head",
    b"reject-publish",
    b"reject-publish-dlx",
    b"at-least-once",
    b"at-most-once",
    b"all",
    b"any",
    b"first",
    b"last",
    b"next",
    b"direct",
    b"topic",
    b"1D",
    b"7",
    b"rejected",
    b"#",
];

const KEYS: [&[u8]; 9] = [b"", b"a", b"b", b"a.b", b"*.b", b"#", b"a.#", b"its own", b"\xff\r\n"];

/// The capabilities of a client that has them all.
pub fn capabilities() -> TableBuf {
    let mut all = TableBuf::new();
    for name in ["basic.nack", "consumer_cancel_notify", "connection.blocked"] {
        all.put_bool(name.as_bytes(), true);
    }
    for name in ["authentication_failure_close", "publisher_confirms"] {
        all.put_bool(name.as_bytes(), true);
    }
    let mut properties = TableBuf::new();
    properties.put(b"capabilities", Value::Table(all.table()));
    properties
}

/// Appends the frames of something that a client may want.
pub fn wish(input: &mut Cursor<'_>, out: &mut Vec<u8>) {
    let number = input.one_of(&[1, 1, 1, 1, 2, 3, 0, 5]);
    match input.byte() % 8 {
        0 => of_exchanges(input, number, out),
        1 => of_queues(input, number, out),
        2 => of_consumers(input, number, out),
        3 => of_deliveries(input, number, out),
        4 => of_channels(input, number, out),
        5 => any_method(input, number, out),
        _ => publish(input, number, out),
    }
}

fn of_exchanges(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let (name, other) = (input.one_of(&NAMES), input.one_of(&NAMES));
    let flags = input.byte();
    let arguments = table(input, 2);
    let arguments = arguments.table();
    let bit = |number: u8| flags >> number & 1 == 1;
    let (routing_key, nowait) = (input.one_of(&KEYS), bit(0));
    let method = match flags % 5 {
        0 | 1 => Method::ExchangeDeclare(exchange::Declare {
            exchange: name,
            kind: input.one_of(&KINDS),
            passive: bit(3),
            durable: bit(4),
            auto_delete: bit(5),
            internal: bit(6),
            nowait,
            arguments,
        }),
        2 => Method::ExchangeDelete(exchange::Delete { exchange: name, if_unused: bit(3), nowait }),
        3 => Method::ExchangeBind(exchange::Bind {
            destination: name,
            source: other,
            routing_key,
            nowait,
            arguments,
        }),
        _ => Method::ExchangeUnbind(exchange::Unbind {
            destination: name,
            source: other,
            routing_key,
            nowait,
            arguments,
        }),
    };
    encoder::method_frame(out, number, &method);
}

fn of_queues(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let (queue, exchange) = (input.one_of(&NAMES), input.one_of(&NAMES));
    let flags = input.byte();
    let arguments = table(input, 2);
    let arguments = arguments.table();
    let bit = |number: u8| flags >> number & 1 == 1;
    let (routing_key, nowait) = (input.one_of(&KEYS), bit(0));
    let method = match flags % 7 {
        0..3 => Method::QueueDeclare(queue::Declare {
            queue,
            passive: bit(3),
            durable: bit(4),
            exclusive: bit(5),
            auto_delete: bit(6),
            nowait,
            arguments,
        }),
        3 => Method::QueueBind(queue::Bind { queue, exchange, routing_key, nowait, arguments }),
        4 => Method::QueueUnbind(queue::Unbind { queue, exchange, routing_key, arguments }),
        5 => Method::QueuePurge(queue::Purge { queue, nowait }),
        _ => Method::QueueDelete(queue::Delete {
            queue,
            if_unused: bit(3),
            if_empty: bit(4),
            nowait,
        }),
    };
    encoder::method_frame(out, number, &method);
}

fn of_consumers(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let (queue, consumer_tag) = (input.one_of(&NAMES), input.one_of(&NAMES));
    let flags = input.byte();
    let arguments = table(input, 1);
    let bit = |number: u8| flags >> number & 1 == 1;
    let method = match flags % 4 {
        0 => Method::BasicQos(basic::Qos {
            prefetch_size: 0,
            prefetch_count: u16::from(input.byte()),
            global: bit(3),
        }),
        1 | 2 => Method::BasicConsume(basic::Consume {
            queue,
            consumer_tag,
            no_local: bit(3),
            no_ack: bit(4),
            exclusive: bit(5),
            nowait: bit(6),
            arguments: arguments.table(),
        }),
        _ => Method::BasicCancel(basic::Cancel { consumer_tag, nowait: bit(3) }),
    };
    encoder::method_frame(out, number, &method);
}

fn of_deliveries(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let delivery_tag = match input.byte() {
        255 => u64::from(input.long()) << 32 | u64::from(input.long()),
        small => u64::from(small),
    };
    let flags = input.byte();
    let bit = |number: u8| flags >> number & 1 == 1;
    let method = match flags % 6 {
        0 => Method::BasicAck(basic::Ack { delivery_tag, multiple: bit(3) }),
        1 => Method::BasicNack(basic::Nack { delivery_tag, multiple: bit(3), requeue: bit(4) }),
        2 => Method::BasicReject(basic::Reject { delivery_tag, requeue: bit(4) }),
        3 => Method::BasicRecover(basic::Recover { requeue: bit(3) }),
        4 => Method::BasicRecoverAsync(basic::RecoverAsync { requeue: bit(3) }),
        _ => Method::BasicGet(basic::Get { queue: input.one_of(&NAMES), no_ack: bit(3) }),
    };
    encoder::method_frame(out, number, &method);
}

fn of_channels(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let method = match input.byte() % 12 {
        0 | 1 => Method::ChannelOpen(channel::Open {}),
        2 => Method::ChannelClose(channel::Close {
            reply_code: 200,
            reply_text: b"bye",
            class_id: 0,
            method_id: 0,
        }),
        3 => Method::ChannelCloseOk(channel::CloseOk {}),
        4 => Method::ChannelFlow(channel::Flow { active: input.byte().is_multiple_of(2) }),
        5 => Method::ConfirmSelect(confirm::Select { nowait: input.byte().is_multiple_of(2) }),
        6 => Method::TxSelect(tx::Select {}),
        7 | 8 => Method::TxCommit(tx::Commit {}),
        9 => Method::TxRollback(tx::Rollback {}),
        10 => Method::ConnectionClose(connection::Close {
            reply_code: 200,
            reply_text: b"bye",
            class_id: 0,
            method_id: 0,
        }),
        _ => return encoder::heartbeat_frame(out),
    };
    let number = if matches!(method, Method::ConnectionClose(_)) { 0 } else { number };
    encoder::method_frame(out, number, &method);
}

/// A method's number, and anything for its arguments.
fn any_method(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let class = input.one_of(&[10_u8, 20, 30, 40, 50, 60, 85, 90]);
    let mut payload = vec![0, class, 0, input.byte()];
    payload.extend_from_slice(input.short_string());
    out.push(1);
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&u32::try_from(payload.len()).expect("it is short").to_be_bytes());
    out.extend_from_slice(&payload);
    out.push(0xce);
}

fn publish(input: &mut Cursor<'_>, number: u16, out: &mut Vec<u8>) {
    let flags = input.byte();
    let bit = |number: u8| flags >> number & 1 == 1;
    let publish = basic::Publish {
        exchange: input.one_of(&NAMES),
        routing_key: input.one_of(&KEYS),
        mandatory: bit(0),
        immediate: flags == 255,
    };
    encoder::method_frame(out, number, &publish);
    let headers = bit(1).then(|| table(input, 3));
    let list = PropertyList {
        headers: headers.as_ref().map(TableBuf::table),
        delivery_mode: bit(2).then_some(2),
        priority: bit(3).then(|| input.byte()),
        expiration: bit(4).then(|| input.one_of(&[&b"0"[..], b"1", b"100", b"5000", b"x"])),
        reply_to: bit(5).then(|| input.one_of(&NAMES)),
        user_id: (flags == 254).then_some(b"guest"),
        ..Default::default()
    };
    let mut properties = Vec::new();
    list.encode(&mut properties);
    let body = vec![b'x'; usize::from(input.one_of(&[0_u16, 1, 60, 900, 5000, 20_000, 60_000]))];
    let begins = out.len();
    encoder::content(out, number, &properties, &body, 8192);
    if bit(7) {
        // Not all of it.
        let kept = usize::from(input.byte()) * (out.len() - begins) / 256;
        out.truncate(begins + kept);
    }
}

fn table(input: &mut Cursor<'_>, depth: u8) -> TableBuf {
    let mut table = TableBuf::new();
    for _ in 0..input.byte() % 5 {
        let key = input.one_of(&ARGUMENTS);
        with_value(input, depth, &mut |value| table.put(key, value));
    }
    table
}

fn with_value(input: &mut Cursor<'_>, depth: u8, take: &mut dyn FnMut(Value<'_>)) {
    match input.byte() % 14 {
        0..4 => take(Value::LongString(input.one_of(&WORDS))),
        4 | 5 => take(Value::I32(i32::from(input.byte()))),
        6 => take(Value::I64(i64::from(input.long() as i32))),
        7 => take(Value::Bool(input.byte().is_multiple_of(2))),
        8 => take(Value::U64(u64::from(input.long()) << 32)),
        9 => take(Value::F64(f64::from(input.long() as i32))),
        10 => take(Value::Timestamp(u64::from(input.long()))),
        11 if depth > 0 => take(Value::Table(table(input, depth - 1).table())),
        12 if depth > 0 => {
            let mut array = ArrayBuf::new();
            for _ in 0..input.byte() % 4 {
                with_value(input, depth - 1, &mut |value| array.push(value));
            }
            take(Value::Array(array.array()));
        }
        _ => take(Value::Void),
    }
}
