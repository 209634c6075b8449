//! Is everything over TLS as it is without? Much at once, in both directions.

use std::io::{Read, Write};

use crate::broker::Broker;
use crate::common::{Client, persistent};
use leveret::amqp::method::{channel, connection};
use leveret::amqp::{Frame, FrameKind, Method, Parsed, Table, encoder};

/// What a client sends, and the class and method of the answer that it waits for, if it does.
pub type Step = (Vec<u8>, Option<(u16, u16)>);

/// What a client sends to have channel 1 open.
pub fn opening() -> Vec<Step> {
    let frame = |channel: u16, method: Method<'_>| {
        let mut bytes = Vec::new();
        encoder::method_frame(&mut bytes, channel, &method);
        bytes
    };
    let start_ok = connection::StartOk {
        client_properties: Table::EMPTY,
        mechanism: b"PLAIN",
        response: b"\0guest\0guest",
        locale: b"en_US",
    };
    let tune_ok = connection::TuneOk { channel_max: 100, frame_max: 131_072, heartbeat: 0 };
    vec![
        (Vec::new(), Some((10, 10))),
        (frame(0, start_ok.into()), Some((10, 30))),
        (frame(0, tune_ok.into()), None),
        (frame(0, connection::Open { virtual_host: b"/" }.into()), Some((10, 41))),
        (frame(1, channel::Open {}.into()), Some((20, 11))),
    ]
}

/// Reads frames until this method came; what follows stays in `input`.
pub fn read_until(stream: &mut impl Read, input: &mut Vec<u8>, wanted: (u16, u16)) {
    let mut buffer = [0; 4096];
    loop {
        while let Ok(Parsed::Complete(frame, used)) = Frame::parse(input, 1 << 20) {
            let is_it = frame.kind == FrameKind::Method
                && Method::decode(frame.payload).unwrap().id() == wanted;
            input.drain(..used);
            if is_it {
                return;
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it closed before {wanted:?}");
        input.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn messages_of_every_size_come_whole_and_in_order_both_ways() {
    let broker = Broker::start();
    let mut publisher = broker.connect();
    let queue = publisher.shared_queue(1);
    let mut consumer = broker.connect();
    consumer.consume(1, &queue);
    publisher.confirm_select(1);
    let sizes = (0..400usize).map(|number| (number * 7919) % 50_000 + number % 3);
    let bodies: Vec<String> = sizes.map(|size| "b".repeat(size) + &size.to_string()).collect();
    for body in &bodies {
        publisher.publish_with(1, "", &queue, &persistent(), body.as_bytes());
    }
    assert_eq!(consumer.expect_bodies(1, bodies.len()), bodies);
    publisher.expect_confirms(1, 1, bodies.len() as u64);
}

/// Large bodies leave from the log; what the client does not take waits.
#[test]
fn a_client_that_reads_late_gets_all_of_it() {
    let broker = Broker::start();
    let mut plain = broker.plain();
    let queue = plain.shared_queue(1);
    plain.confirm_select(1);
    let body = "x".repeat(1 << 20);
    for _ in 0..24 {
        plain.publish_with(1, "", &queue, &persistent(), body.as_bytes());
    }
    plain.expect_confirms(1, 1, 24);
    let mut late = broker.connect();
    late.consume(1, &queue);
    let mut other = broker.connect();
    for _ in 0..50 {
        other.round_trip(1);
    }
    let bodies = late.expect_bodies(1, 24);
    assert!(bodies.iter().all(|came| *came == body));
}

#[test]
fn both_ends_close_in_an_orderly_way() {
    let broker = Broker::start();
    let mut client = broker.connect();
    client.round_trip(1);
    client.close();
    let mut client = Client::raw(broker.tunnel(&broker.dialect()));
    client.send_bytes(b"AMQP\x02\x02\x02\x02");
    client.expect_bytes(&leveret::amqp::PROTOCOL_HEADER);
    client.expect_closed();
}

/// Clients such as Python's wait for the end of our side for half a minute.
#[test]
fn the_end_of_the_clients_side_is_answered_with_the_end_of_ours() {
    let broker = Broker::start();
    let mut stream = crate::handshakes::stream(&broker, &broker.dialect());
    stream.write_all(&leveret::amqp::PROTOCOL_HEADER).unwrap();
    let mut first = [0; 7];
    stream.read_exact(&mut first).unwrap();
    stream.conn.send_close_notify();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    // The rest of start, and then an end that TLS knows of; without one this is an error.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
}

#[test]
fn a_stop_of_the_broker_is_told() {
    let broker = Broker::start();
    let mut client = broker.connect();
    let server = broker.server;
    let stopping = std::thread::spawn(move || server.stop().unwrap());
    client.expect_connection_error(320, "CONNECTION_FORCED - broker forced connection closure");
    drop(client);
    stopping.join().unwrap();
}
