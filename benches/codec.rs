//! How long does it take to read a publish and to write a delivery?

use divan::{Bencher, black_box, counter::ItemsCount};
use leveret::amqp::method::basic;
use leveret::amqp::{ContentHeader, Frame, Method, Parsed, PropertyList, TableBuf, Value, encoder};

fn main() {
    divan::main();
}

const FRAME_BYTES_MAX: u32 = 131_072;

/// Publishes, each with its content, one behind the other.
fn publishes(count: usize, list: &PropertyList<'_>) -> Vec<u8> {
    let mut properties = Vec::new();
    list.encode(&mut properties);
    let publish = basic::Publish {
        exchange: b"amq.topic",
        routing_key: b"stock.nyse.ibm",
        ..Default::default()
    };
    let mut out = Vec::new();
    for _ in 0..count {
        encoder::method_frame(&mut out, 1, &publish);
        encoder::content(&mut out, 1, &properties, &[7; 16], FRAME_BYTES_MAX);
    }
    out
}

fn decode(mut input: &[u8]) -> usize {
    let mut frames = 0;
    while let Ok(Parsed::Complete(frame, bytes)) = Frame::parse(input, FRAME_BYTES_MAX) {
        match frames % 3 {
            0 => drop(black_box(Method::decode(frame.payload))),
            1 => {
                let header = ContentHeader::parse(frame.payload).expect("it was encoded above");
                drop(black_box(header.properties.list()));
            }
            _ => {
                black_box(frame.payload);
            }
        }
        frames += 1;
        input = &input[bytes..];
    }
    frames
}

#[divan::bench]
fn decode_publish(bencher: Bencher<'_, '_>) {
    let list = PropertyList { delivery_mode: Some(2), ..Default::default() };
    let input = publishes(1000, &list);
    bencher.counter(ItemsCount::new(1000_u32)).bench_local(|| decode(black_box(&input)));
}

#[divan::bench]
fn decode_publish_with_headers(bencher: Bencher<'_, '_>) {
    let mut headers = TableBuf::new();
    headers.put_str(b"kind", "order");
    headers.put_i64(b"attempt", 3);
    headers.put(b"urgent", Value::Bool(true));
    let list = PropertyList {
        content_type: Some(b"application/json"),
        headers: Some(headers.table()),
        delivery_mode: Some(2),
        message_id: Some(b"0190-aa"),
        ..Default::default()
    };
    let input = publishes(1000, &list);
    bencher.counter(ItemsCount::new(1000_u32)).bench_local(|| decode(black_box(&input)));
}

#[divan::bench(args = [16, 256, 1024])]
fn encode_delivery(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let body = vec![7; body_bytes];
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1000_u32)).bench_local(|| {
        out.clear();
        for delivery_tag in 0..1000 {
            let deliver = basic::Deliver {
                consumer_tag: b"consumer-1",
                delivery_tag,
                redelivered: false,
                exchange: b"amq.topic",
                routing_key: b"stock.nyse.ibm",
            };
            encoder::delivery(&mut out, 1, &deliver, b"\x10\0\x02", &body, FRAME_BYTES_MAX);
        }
        out.len()
    });
}
